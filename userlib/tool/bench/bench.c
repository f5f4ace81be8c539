// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf bench: the command line, what must be so before anything is
 * measured, and the order of the measurements.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../subcommands.h"
#include "bench.h"

#define MAX_SIZE    "1G"
#define MAX_DEPTH   "4096"
#define MAX_BUFFER  (1024 * MIB)
#define MAX_SECONDS 86400

/* How much of what will be overwritten is looked at first. */
#define LOOK_AT (4 * MIB)

static const char help[] =
	"Usage: nvme-dmabuf bench NAMESPACE|FILE [OPTION]...\n"
	"       nvme-dmabuf bench NAMESPACE|FILE --direction write --start LBA --count BLOCKS\n"
	"                         [OPTION]...\n"
	"Measure IOPS, bandwidth, latency and CPU time of a namespace, or of FILE on one, by\n"
	"this module and by what the kernel offers without it. Each path must first move the\n"
	"right data.\n"
	"Options with LIST take several, with commas; each combination is measured.\n"
	"\n"
	"  --pattern LIST   random, sequential (default random)\n"
	"  --size LIST      bytes of each command (default 4K)\n"
	"  --depth LIST     commands in flight (default 1,32)\n"
	"  --paths LIST     ioctl and uring: this module's, by its own calls and by io_uring;\n"
	"                   read-fixed: READ_FIXED or WRITE_FIXED of io_uring; uring-cmd:\n"
	"                   NVMe passthrough by io_uring (default: all that work here)\n"
	"  --polled         poll for completions; needs polled queues (nvme.poll_queues)\n"
	"  --seconds N      time for each measurement (default 5)\n"
	"  --ios N          commands for each measurement, instead\n"
	"  --start LBA      first logical block to use (default 0)\n"
	"  --count BLOCKS   logical blocks to use (default: up to the end)\n"
	"  --buffer KIND    where the dma-buf comes from: " EXPORTER_HELP "\n"
	"                   (default: the first of udmabuf, heap, drm and memory that works)\n"
	"  --buffer-size BYTES\n"
	"                   its size (default: what size and depth need, or 4M)\n"
	"  --seed N         repeat the random places of an earlier run\n"
	"  --progress       show progress even if stderr is no terminal\n"
	"  --json           print JSON\n"
	"  -h, --help       this text\n"
	"\n"
	"Options of measurements that OVERWRITE data, which is lost:\n"
	"  --direction LIST read, write (default read); write needs --start and --count, and\n"
	"                   asks for the serial number of the drive, or the path of FILE,\n"
	"                   after showing what will be overwritten\n"
	"  --yes-overwrite=SERIAL|FILE\n"
	"                   do not ask if this is the drive's serial number, or FILE again\n"
	"\n"
	"Sizes take the suffixes K, M, G and T. See nvme-dmabuf(8).\n";

enum {
	OPT_PATTERN = 256,
	OPT_SIZE,
	OPT_DEPTH,
	OPT_PATHS,
	OPT_POLLED,
	OPT_SECONDS,
	OPT_IOS,
	OPT_START,
	OPT_COUNT,
	OPT_BUFFER,
	OPT_BUFFER_SIZE,
	OPT_SEED,
	OPT_PROGRESS,
	OPT_JSON,
	OPT_DIRECTION,
	OPT_YES,
};

static const struct option options[] = {
	{ "pattern", required_argument, NULL, OPT_PATTERN },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "depth", required_argument, NULL, OPT_DEPTH },
	{ "paths", required_argument, NULL, OPT_PATHS },
	{ "polled", no_argument, NULL, OPT_POLLED },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "ios", required_argument, NULL, OPT_IOS },
	{ "start", required_argument, NULL, OPT_START },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "buffer", required_argument, NULL, OPT_BUFFER },
	{ "buffer-size", required_argument, NULL, OPT_BUFFER_SIZE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "progress", no_argument, NULL, OPT_PROGRESS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "direction", required_argument, NULL, OPT_DIRECTION },
	{ "yes-overwrite", required_argument, NULL, OPT_YES },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

const char *const bench_direction_names[] = { "read", "write" };
const char *const bench_pattern_names[] = { "random", "sequential" };
const char *const bench_path_names[] = { "ioctl", "uring", "read-fixed", "uring-cmd" };

/* Words between commas; a set of them has a bit for each. Reports. */
static int parse_names(const char *name, char *text, const char *const *names, unsigned int count,
		       unsigned int *set)
{
	char *word;

	*set = 0;
	while ((word = strsep(&text, ","))) {
		unsigned int i = 0;

		while (i < count && strcmp(word, names[i]) != 0)
			i++;
		if (i == count)
			return report_usage("%s does not know '%s'", name, word);
		*set |= 1U << i;
	}
	return TOOL_OK;
}

/* Reports. */
static int parse_numbers(const char *name, char *text, int (*parse)(const char *, uint64_t *),
			 const char *max_text, struct bench_list *list)
{
	uint64_t max;
	char *word;
	int ret;

	parse(max_text, &max);
	list->count = 0;
	while ((word = strsep(&text, ","))) {
		uint64_t value;

		ret = report_parse_value(name, word, parse, &value);
		if (ret)
			return ret;
		if (!value || value > max)
			return report_usage("%s must be from 1 to %s", name, max_text);
		if (list->count == BENCH_MAX_LIST)
			return report_usage("%s takes %d numbers at most", name, BENCH_MAX_LIST);
		list->values[list->count++] = value;
	}
	return TOOL_OK;
}

/* A number that is not 0. Reports. */
static int parse_positive(const char *name, uint64_t max, uint64_t *value)
{
	int ret = report_parse_value(name, optarg, parse_number, value);

	if (!ret && (!*value || *value > max))
		return report_usage("%s must be from 1 to %" PRIu64, name, max);
	return ret;
}

static int parse_option(struct bench *b, int opt)
{
	switch (opt) {
	case OPT_PATTERN:
		return parse_names("--pattern", optarg, bench_pattern_names, BENCH_PATTERNS,
				   &b->patterns);
	case OPT_SIZE:
		return parse_numbers("--size", optarg, parse_size, MAX_SIZE, &b->sizes);
	case OPT_DEPTH:
		return parse_numbers("--depth", optarg, parse_number, MAX_DEPTH, &b->depths);
	case OPT_PATHS:
		return parse_names("--paths", optarg, bench_path_names, BENCH_PATHS, &b->paths);
	case OPT_POLLED:
		b->polled = true;
		return TOOL_OK;
	case OPT_SECONDS:
		b->has_seconds = true;
		return parse_positive("--seconds", MAX_SECONDS, &b->seconds);
	case OPT_IOS:
		return parse_positive("--ios", 1ULL << 40, &b->ios);
	case OPT_START:
		b->has_start = true;
		return report_parse_value("--start", optarg, parse_number, &b->start);
	case OPT_COUNT:
		b->has_count = true;
		return parse_positive("--count", UINT64_MAX, &b->count);
	case OPT_BUFFER:
		return exporter_parse_or_report(optarg, &b->exporter);
	case OPT_BUFFER_SIZE:
		return report_parse_value("--buffer-size", optarg, parse_size, &b->buffer_size);
	case OPT_SEED:
		b->has_seed = true;
		return report_parse_value("--seed", optarg, parse_number, &b->seed);
	case OPT_PROGRESS:
		b->progress_forced = true;
		return TOOL_OK;
	case OPT_JSON:
		report_use_json();
		return TOOL_OK;
	case OPT_DIRECTION:
		return parse_names("--direction", optarg, bench_direction_names, BENCH_DIRECTIONS,
				   &b->directions);
	case OPT_YES:
		b->confirmed = optarg;
		return TOOL_OK;
	case 'h':
		b->help = true;
		return TOOL_OK;
	default:
		return TOOL_USAGE;
	}
}

static bool writes(const struct bench *b)
{
	return b->directions & 1U << BENCH_WRITE;
}

static uint64_t largest(const struct bench_list *list)
{
	uint64_t max = 0;

	for (unsigned int i = 0; i < list->count; i++) {
		if (list->values[i] > max)
			max = list->values[i];
	}
	return max;
}

/* Every command in flight has a part of the buffer. */
static int set_buffer_size(struct bench *b)
{
	uint64_t need = largest(&b->sizes) * largest(&b->depths);
	char text[SIZE_TEXT];

	if (!b->buffer_size)
		b->buffer_size = need > 4 * MIB ? need : 4 * MIB;
	if (b->buffer_size > MAX_BUFFER)
		return report_usage("the buffer would be of %s, but 1 GiB is the most",
				    size_text(b->buffer_size, text));
	if (b->buffer_size < need)
		return report_usage("--buffer-size must be %s at least: size times depth",
				    size_text(need, text));
	return TOOL_OK;
}

static int check_usage(struct bench *b)
{
	if (b->has_seconds && b->ios)
		return report_usage("--seconds and --ios exclude each other");
	if (writes(b) && (!b->has_start || !b->has_count))
		return report_usage(
			"which blocks may be overwritten? Give --start LBA and --count BLOCKS");
	if (!writes(b) && b->confirmed)
		return report_usage("--yes-overwrite needs --direction write");
	return set_buffer_size(b);
}

static int parse(struct bench *b, int argc, char **argv)
{
	int opt, ret;

	memset(b, 0, sizeof(*b));
	b->ns.fd = -1;
	b->direct.fd = -1;
	b->directions = 1U << BENCH_READ;
	b->patterns = 1U << BENCH_RANDOM;
	b->paths = (1U << BENCH_PATHS) - 1;
	b->sizes = (struct bench_list){ { 4096 }, 1 };
	b->depths = (struct bench_list){ { 1, 32 }, 2 };
	b->seconds = 5;
	exporter_parse("auto", &b->exporter);

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			return report_bad_option(opt, argv);
		ret = parse_option(b, opt);
		if (ret || b->help)
			return ret;
	}
	ret = report_parse_namespace(argc, argv, &b->ns_word);
	return ret ? ret : check_usage(b);
}

static int set_range(struct bench *b)
{
	uint64_t bs = b->info.out_block_size, capacity = b->info.out_capacity;
	char text[SIZE_TEXT];
	int ret;

	if (!b->has_count && b->start < capacity)
		b->count = capacity - b->start;
	ret = ns_check_range(&b->ns, &b->info, b->start, b->count);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < b->sizes.count; i++) {
		if (b->sizes.values[i] % bs)
			return report_usage("--size must be multiples of the block size, %" PRIu64
					    " bytes",
					    bs);
		if (b->sizes.values[i] / bs > b->count)
			return report_usage("commands of %s do not fit into %" PRIu64 " blocks",
					    size_text(b->sizes.values[i], text), b->count);
	}
	return TOOL_OK;
}

static int check_polled(const struct bench *b)
{
	if (!b->polled || b->info.out_flags & NVME_DMABUF_NS_POLL)
		return TOOL_OK;
	return report_error(
		TOOL_REFUSED, "no-polled-queues",
		"%s has no polled queues that could be used; load the nvme driver with some: nvme.poll_queues=2 on the kernel's command line",
		b->ns.path);
}

static int check_zones(const struct bench *b)
{
	if (!writes(b) || !(b->info.out_flags & NVME_DMABUF_NS_ZONED))
		return TOOL_OK;
	return report_error(TOOL_REFUSED, nvmedmabuf_reason_name(NVME_DMABUF_REASON_ZONED),
			    "%s: %s", b->ns.path, nvmedmabuf_reason_text(NVME_DMABUF_REASON_ZONED));
}

static int open_namespace(struct bench *b)
{
	int ret;

	ret = module_open(&b->ctx, &b->module, NULL);
	if (ret)
		return ret;
	ret = ns_open_for_test(&b->ns, b->ns_word, writes(b));
	if (ret)
		return ret;
	ret = ns_query(b->ctx, &b->ns, &b->info);
	if (ret)
		return ret;
	file_leave_out_tail(&b->ns, &b->info);
	ret = set_range(b);
	if (!ret)
		ret = file_check_holes(&b->ns, &b->info, b->start, b->count);
	if (!ret)
		ret = check_polled(b);
	if (!ret)
		ret = check_zones(b);
	if (ret)
		return ret;
	/* While a file is attached nobody can write to it. */
	b->busy = !writes(b) && !b->ns.is_file && ns_is_busy(&b->ns);
	return direct_open_or_report(&b->direct, &b->ns, &b->info, writes(b));
}

static int confirm(struct bench *b)
{
	uint64_t blocks = LOOK_AT / b->info.out_block_size;
	struct overwrite o = {
		.ns = &b->ns,
		.info = &b->info,
		.start = b->start,
		.count = b->count,
		.looked_at = blocks < b->count ? blocks : b->count,
		.intent = "This measurement will overwrite, and NOT put back:",
		.warning = "What is there now will be lost.\n",
		.confirmed = b->confirmed,
	};
	uint8_t *mem;
	int ret;

	mem = direct_alloc(o.looked_at * b->info.out_block_size);
	if (!mem)
		return report_no_memory();
	o.contents = mem;
	ret = direct_read(&b->direct, mem, b->start, o.looked_at * b->info.out_block_size);
	if (ret)
		ret = report_error(TOOL_FAILED, "cannot-look",
				   "cannot read what is there now: %s; nothing was written",
				   strerror(-ret));
	else
		ret = overwrite_confirm(&o);
	free(mem);
	return ret;
}

static unsigned int set_size(unsigned int set)
{
	return __builtin_popcount(set);
}

static void show_progress(struct bench *b, const struct bench_point *point, enum bench_path_id path)
{
	unsigned int points =
		set_size(b->directions) * set_size(b->patterns) * b->sizes.count * b->depths.count;
	char text[160], what[80];

	snprintf(text, sizeof(text), "measurement %u of %u: %s, by %s", b->measurements + 1,
		 points * set_size(b->paths), bench_point_text(point, what, sizeof(what)),
		 bench_path_names[path]);
	progress_text(&b->progress, text);
}

static void count_result(struct bench *b, const struct bench_result *result)
{
	switch (result->state) {
	case BENCH_MEASURED:
		b->measured++;
		b->failed += result->errors > 0;
		break;
	case BENCH_SKIPPED:
		b->skipped++;
		break;
	case BENCH_WRONG_DATA:
		b->wrong_data++;
		break;
	default:
		b->failed++;
	}
}

/* All paths, one after the other, and then what they gave side by side. */
static int measure_point(struct bench *b, const struct bench_point *point)
{
	struct bench_result *results = calloc(BENCH_PATHS, sizeof(*results));
	unsigned int count = 0;

	if (!results)
		return report_no_memory();
	for (unsigned int path = 0; path < BENCH_PATHS && !stop_requested(); path++) {
		if (!(b->paths & 1U << path))
			continue;
		show_progress(b, point, path);
		results[count].path = path;
		/* A run that is repeated finds the same places, however far the others got. */
		b->random = b->seed + b->measurements++;
		bench_measure(b, point, &results[count]);
		count_result(b, &results[count]);
		count++;
	}
	progress_clear(&b->progress);
	bench_report_point(b, point, results, count);
	free(results);
	return TOOL_OK;
}

static int measure_pattern(struct bench *b, struct bench_point *point)
{
	int ret = TOOL_OK;

	for (unsigned int s = 0; s < b->sizes.count; s++) {
		for (unsigned int d = 0; d < b->depths.count && !ret && !stop_requested(); d++) {
			point->size = b->sizes.values[s];
			point->depth = b->depths.values[d];
			ret = measure_point(b, point);
		}
	}
	return ret;
}

/* Mapped for this direction alone, as programs do. */
static int measure_direction(struct bench *b, enum bench_direction direction)
{
	struct bench_point point = { .direction = direction };
	int ret;

	ret = channel_open_or_report(
		&b->channel, b->ctx, &b->ns, &b->info, &b->exporter, b->buffer_size,
		direction == BENCH_WRITE ? NVME_DMABUF_ACCESS_WRITE : NVME_DMABUF_ACCESS_READ);
	if (ret)
		return ret;
	if (!b->results)
		bench_report_begin(b);
	for (unsigned int p = 0; p < BENCH_PATTERNS && !ret; p++) {
		point.pattern = p;
		if (b->patterns & 1U << p)
			ret = measure_pattern(b, &point);
	}
	channel_close(&b->channel);
	return ret;
}

static int conclude(struct bench *b)
{
	struct json_object *root = report_root();

	put_u64(root, "measured", b->measured);
	put_u64(root, "skipped", b->skipped);
	put_u64(root, "failed", b->failed + b->wrong_data);
	if (stop_requested())
		return report_error(TOOL_FAILED, "interrupted", "stopped by a signal");
	if (b->wrong_data)
		return report_error(TOOL_FAILED, "wrong-data",
				    "a path moved the wrong data; do not trust %s with it here",
				    b->ns.path);
	if (b->failed)
		return report_error(TOOL_FAILED, "io-errors",
				    "commands failed in %u of the measurements", b->failed);
	if (!b->measured)
		return report_error(TOOL_FAILED, "nothing-measured",
				    "none of the paths can be measured here");
	return TOOL_OK;
}

static int run(struct bench *b)
{
	uint64_t bs;
	int ret;

	ret = open_namespace(b);
	if (!ret && writes(b))
		ret = confirm(b);
	if (ret)
		return ret;
	/* From here on it is open only while it is compared. */
	if (b->ns.writes)
		ns_close(&b->ns);
	bs = b->info.out_block_size;
	ret = ns_cache_write_back_or_report(&b->ns, b->start * bs, b->count * bs);
	if (ret)
		return ret;
	if (!b->has_seed)
		b->seed = random_seed();
	stop_on_signals();
	progress_begin(&b->progress, 0, b->progress_forced);
	for (unsigned int d = 0; d < BENCH_DIRECTIONS && !ret; d++) {
		if (b->directions & 1U << d)
			ret = measure_direction(b, d);
	}
	if (writes(b))
		ns_cache_drop(&b->ns, b->start * bs, b->count * bs);
	return ret ? ret : conclude(b);
}

int cmd_bench(int argc, char **argv)
{
	struct bench b;
	int ret;

	ret = parse(&b, argc, argv);
	if (ret)
		return ret;
	if (b.help)
		return report_help(help);
	ret = run(&b);
	direct_close(&b.direct);
	ns_close(&b.ns);
	nvmedmabuf_close(b.ctx);
	return ret;
}
