// SPDX-License-Identifier: MIT
/*
 * What 'bench' shows: a table for each point, with a line for each path, and how
 * the module's paths compare with the others; the same as JSON.
 */
#include <inttypes.h>
#include <string.h>

#include <sys/utsname.h>

#include "bench.h"

static const struct {
	const char *name;  /* in JSON */
	const char *title; /* in the table */
	uint32_t ppm;
} percentiles[] = {
	{ "p50", "50 %", 500000 },     { "p90", "90 %", 900000 },	{ "p99", "99 %", 990000 },
	{ "p99_9", "99.9 %", 999000 }, { "p99_99", "99.99 %", 999900 },
};

const char *bench_point_text(const struct bench_point *point, char *text, size_t size)
{
	char bytes[SIZE_TEXT];

	snprintf(text, size, "%s %s, %s, depth %" PRIu32, bench_pattern_names[point->pattern],
		 bench_direction_names[point->direction], size_text(point->size, bytes),
		 point->depth);
	return text;
}

static bool is_module_path(enum bench_path_id path)
{
	return path == BENCH_IOCTL || path == BENCH_URING;
}

/* An emulator's drive tells nothing of hardware. */
static bool is_emulated(const struct nvmedmabuf_drive *drive)
{
	return strncmp(drive->model, "QEMU", 4) == 0;
}

void bench_report_begin(struct bench *b)
{
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	bool known = !ns_get_drive(&b->ns, &drive);
	bool iommu = b->info.out_flags & NVME_DMABUF_NS_IOMMU;
	struct json_object *root = report_root();
	char size[SIZE_TEXT], buffer[SIZE_TEXT];
	struct utsname system;

	uname(&system);
	put_str(root, "namespace", b->ns.path);
	put_bool(root, "file", b->ns.is_file);
	put_str(root, "model", known ? drive.model : NULL);
	put_str(root, "serial", known ? drive.serial : NULL);
	put_bool(root, "emulated", known && is_emulated(&drive));
	put_str(root, "kernel", system.release);
	put_bool(root, "iommu", iommu);
	put_bool(root, "polled", b->polled);
	put_u64(root, "block_size", b->info.out_block_size);
	put_u64(root, "start_lba", b->start);
	put_u64(root, "blocks", b->count);
	put_str(root, "buffer", b->exporter.name);
	put_u64(root, "buffer_bytes", b->channel.size);
	put_u64(root, "seed", b->seed);
	b->results = put_new_array(root, "results");
	if (report_json())
		return;

	printf("%s: %s; blocks %" PRIu64 " to %" PRIu64 ", %s\n", b->ns.path,
	       known ? drive.model : "unknown drive", b->start, b->start + b->count - 1,
	       size_text(b->count * b->info.out_block_size, size));
	printf("Linux %s, IOMMU %s, %s; %s of %s; --seed %" PRIu64 " repeats the places\n",
	       system.release, iommu ? "translating" : "off or passing through",
	       b->polled ? "polled" : "interrupts", size_text(b->channel.size, buffer),
	       b->exporter.name, b->seed);
	if (known && is_emulated(&drive))
		puts("This drive is emulated: the figures say nothing of hardware.");
}

/* What is counted in @ns, for a second. */
static uint64_t per_second(uint64_t count, uint64_t ns)
{
	return ns ? (uint64_t)(count * 1e9 / ns + 0.5) : 0;
}

static uint64_t per_io(const struct bench_result *r, uint64_t value)
{
	return r->latency.count ? value / r->latency.count : 0;
}

static uint64_t cpu_ns(const struct bench_result *r)
{
	return per_io(r, r->user_ns + r->system_ns);
}

static const char *state_name(enum bench_state state)
{
	switch (state) {
	case BENCH_MEASURED:
		return "measured";
	case BENCH_SKIPPED:
		return "skipped";
	case BENCH_INTERRUPTED:
		return "interrupted";
	default:
		return "failed";
	}
}

static void latency_to_json(struct json_object *obj, const struct histogram *h)
{
	struct json_object *latency = put_new_object(obj, "latency_ns");

	put_u64(latency, "mean", histogram_mean(h));
	put_u64(latency, "min", h->min);
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++)
		put_u64(latency, percentiles[i].name, histogram_percentile(h, percentiles[i].ppm));
	put_u64(latency, "max", h->max);
}

static void errors_to_json(struct json_object *obj, const struct bench_result *r)
{
	struct json_object *array = put_new_array(obj, "error_kinds");
	char text[256];

	put_u64(obj, "errors", r->errors);
	for (unsigned int i = 0; i < r->kind_count; i++) {
		const struct nvme_dmabuf_completion *cpl = &r->kinds[i].example;
		struct json_object *kind = append_new_object(array);

		put_u64(kind, "count", r->kinds[i].count);
		put_str(kind, "errno", cpl->error ? errno_name(cpl->error) : NULL);
		if (cpl->status)
			put_u64(kind, "nvme_status", cpl->status & 0x7ff);
		else
			put_null(kind, "nvme_status");
		put_str(kind, "message", nvmedmabuf_error_text(text, sizeof(text), 0, 0, cpl));
	}
}

static void figures_to_json(struct json_object *obj, const struct bench_point *point,
			    const struct bench_result *r)
{
	struct json_object *cpu;

	put_u64(obj, "ios", r->latency.count);
	put_u64(obj, "elapsed_ns", r->elapsed_ns);
	put_u64(obj, "iops", per_second(r->latency.count, r->elapsed_ns));
	put_u64(obj, "bytes_per_second", per_second(r->latency.count * point->size, r->elapsed_ns));
	latency_to_json(obj, &r->latency);
	cpu = put_new_object(obj, "cpu_ns_per_io");
	put_u64(cpu, "user", per_io(r, r->user_ns));
	put_u64(cpu, "system", per_io(r, r->system_ns));
	errors_to_json(obj, r);
}

static void no_figures_to_json(struct json_object *obj)
{
	static const char *const names[] = { "ios",	    "elapsed_ns",
					     "iops",	    "bytes_per_second",
					     "latency_ns",  "cpu_ns_per_io",
					     "error_kinds", "errors" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		put_null(obj, names[i]);
}

/* 123 for 1.23 times as much; -1 if one of them is not known. */
static int64_t percent(uint64_t value, uint64_t of)
{
	return value && of ? (int64_t)(value * 100.0 / of + 0.5) : -1;
}

static void put_percent(struct json_object *obj, const char *key, uint64_t value, uint64_t of)
{
	int64_t p = percent(value, of);

	if (p < 0)
		put_null(obj, key);
	else
		put_u64(obj, key, p);
}

/* The measured results of a point, for one path of the module. */
struct comparison {
	const struct bench_result *own;
	const struct bench_result *other;
	uint64_t own_iops;
	uint64_t other_iops;
};

static bool compare(struct comparison *c, const struct bench_result *own,
		    const struct bench_result *other)
{
	if (own->state != BENCH_MEASURED || other->state != BENCH_MEASURED ||
	    !is_module_path(own->path) || is_module_path(other->path))
		return false;
	c->own = own;
	c->other = other;
	c->own_iops = per_second(own->latency.count, own->elapsed_ns);
	c->other_iops = per_second(other->latency.count, other->elapsed_ns);
	return true;
}

static void comparisons_to_json(struct json_object *obj, const struct bench_result *own,
				const struct bench_result *results, unsigned int count)
{
	struct json_object *array = put_new_array(obj, "compared");
	struct comparison c;

	for (unsigned int i = 0; i < count; i++) {
		struct json_object *with;

		if (!compare(&c, own, &results[i]))
			continue;
		with = append_new_object(array);
		put_str(with, "path", bench_path_names[c.other->path]);
		put_percent(with, "iops_percent", c.own_iops, c.other_iops);
		put_percent(with, "mean_latency_percent", histogram_mean(&own->latency),
			    histogram_mean(&c.other->latency));
		put_percent(with, "cpu_percent", cpu_ns(own), cpu_ns(c.other));
	}
}

static void result_to_json(struct json_object *array, const struct bench_point *point,
			   const struct bench_result *r, const struct bench_result *results,
			   unsigned int count)
{
	struct json_object *obj = append_new_object(array);

	put_str(obj, "direction", bench_direction_names[point->direction]);
	put_str(obj, "pattern", bench_pattern_names[point->pattern]);
	put_u64(obj, "size", point->size);
	put_u64(obj, "depth", point->depth);
	put_str(obj, "path", bench_path_names[r->path]);
	put_str(obj, "state", state_name(r->state));
	put_str(obj, "reason", r->reason);
	put_str(obj, "message", r->reason ? r->message : NULL);
	put_str(obj, "memory", r->memory);
	put_bool(obj, "only_zeroes", r->only_zeroes);
	if (r->state == BENCH_MEASURED)
		figures_to_json(obj, point, r);
	else
		no_figures_to_json(obj);
	comparisons_to_json(obj, r, results, count);
}

/* Microseconds, in a column of the table. */
static void print_us(uint64_t ns)
{
	printf(" %8.1f", ns / 1e3);
}

static void figures_to_text(const struct bench_point *point, const struct bench_result *r)
{
	const struct histogram *h = &r->latency;

	printf("  %-10s %9" PRIu64 " %8.1f", bench_path_names[r->path],
	       per_second(h->count, r->elapsed_ns),
	       (double)per_second(h->count * point->size, r->elapsed_ns) / MIB);
	print_us(histogram_mean(h));
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++)
		print_us(histogram_percentile(h, percentiles[i].ppm));
	print_us(h->max);
	print_us(cpu_ns(r));
	putchar('\n');
}

static void heading_to_text(const struct bench_point *point)
{
	char text[80];

	printf("\n%s; times in microseconds\n", bench_point_text(point, text, sizeof(text)));
	printf("  %-10s %9s %8s %8s", "", "IOPS", "MiB/s", "mean");
	for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++)
		printf(" %8s", percentiles[i].title);
	printf(" %8s %8s\n", "max", "CPU");
}

static void errors_to_text(const struct bench_result *r)
{
	char text[256];

	for (unsigned int i = 0; i < r->kind_count; i++)
		printf("  %s: %" PRIu64 " failed: %s\n", bench_path_names[r->path],
		       r->kinds[i].count,
		       nvmedmabuf_error_text(text, sizeof(text), 0, 0, &r->kinds[i].example));
}

static bool is_in_memfd(const struct bench_result *r)
{
	return strcmp(r->memory, "memfd") == 0;
}

static bool is_in_huge_memfd(const struct bench_result *r)
{
	return strcmp(r->memory, "memfd-huge") == 0;
}

static bool has_only_zeroes(const struct bench_result *r)
{
	return r->only_zeroes;
}

/* What must be known of some of the lines to read them rightly. */
static void note_to_text(const struct bench_result *results, unsigned int count,
			 bool (*applies)(const struct bench_result *r), const char *note)
{
	const char *separator = "  ";

	for (unsigned int i = 0; i < count; i++) {
		if (results[i].state != BENCH_MEASURED || !applies(&results[i]))
			continue;
		printf("%s%s", separator, bench_path_names[results[i].path]);
		separator = ", ";
	}
	if (separator[0] == ',')
		printf(": %s\n", note);
}

static void comparison_to_text(const struct comparison *c)
{
	static const char *const names[] = { "IOPS", "mean latency", "CPU time" };
	const int64_t values[] = {
		percent(c->own_iops, c->other_iops),
		percent(histogram_mean(&c->own->latency), histogram_mean(&c->other->latency)),
		percent(cpu_ns(c->own), cpu_ns(c->other)),
	};
	const char *separator = "";

	printf("  %s to %s: ", bench_path_names[c->own->path], bench_path_names[c->other->path]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (values[i] < 0)
			continue;
		printf("%s%s %.2f", separator, names[i], values[i] / 100.0);
		separator = ", ";
	}
	putchar('\n');
}

static void point_to_text(const struct bench_point *point, const struct bench_result *results,
			  unsigned int count)
{
	struct comparison c;

	heading_to_text(point);
	for (unsigned int i = 0; i < count; i++) {
		if (results[i].state == BENCH_MEASURED)
			figures_to_text(point, &results[i]);
		else
			printf("  %-10s not measured: %s\n", bench_path_names[results[i].path],
			       results[i].message);
	}
	for (unsigned int i = 0; i < count; i++) {
		for (unsigned int k = 0; k < count; k++) {
			if (compare(&c, &results[i], &results[k]))
				comparison_to_text(&c);
		}
	}
	for (unsigned int i = 0; i < count; i++)
		errors_to_text(&results[i]);
	note_to_text(results, count, is_in_memfd,
		     "not in the dma-buf, which cannot be registered, but in ordinary pages");
	note_to_text(results, count, is_in_huge_memfd,
		     "not in the dma-buf, which cannot be registered, but in huge pages");
	note_to_text(results, count, has_only_zeroes,
		     "only zeroes were read to compare, so that mistaken blocks would not show");
	fflush(stdout);
}

void bench_report_point(struct bench *b, const struct bench_point *point,
			const struct bench_result *results, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		result_to_json(b->results, point, &results[i], results, count);
	if (!report_json())
		point_to_text(point, results, count);
}
