// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel does for each read: DMA mappings, invalidations, allocations,
 * doorbells, system calls. Counted by perf events, each at a place that the kernel has
 * for that (a tracepoint), at the entry of a function (a kprobe), or at an address that
 * is written to (a hardware breakpoint, which is how doorbells are seen).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"
#include "parts.h"

enum where {
	TRACEPOINT,
	FUNCTION,
	DOORBELL,
};

enum scope {
	HERE,	    /* only what this process does */
	EVERYWHERE, /* nobody else uses the drive */
};

/*
 * struct event - one thing to count
 * @figure: what it adds to, in the results
 * @name: of a tracepoint or a function, or the number of a doorbell
 */
struct event {
	const char *figure;
	enum where where;
	enum scope scope;
	const char *name;
};

/* Events of one figure stand together. */
static const struct event events[] = {
	{ "dma_maps", FUNCTION, EVERYWHERE, "dma_map_phys" },
	{ "dma_maps", FUNCTION, EVERYWHERE, "dma_map_sg_attrs" },
	{ "dma_maps", FUNCTION, EVERYWHERE, "dma_map_sgtable" },
	{ "dma_maps", FUNCTION, EVERYWHERE, "dma_iova_link" },
	{ "dma_unmaps", FUNCTION, EVERYWHERE, "dma_unmap_phys" },
	{ "dma_unmaps", FUNCTION, EVERYWHERE, "dma_unmap_sg_attrs" },
	{ "dma_unmaps", FUNCTION, EVERYWHERE, "dma_iova_destroy" },
	{ "iova_allocations", FUNCTION, EVERYWHERE, "alloc_iova_fast" },
	{ "iotlb_invalidations", TRACEPOINT, EVERYWHERE, "intel_iommu/qi_submit" },
	{ "slab_allocations", TRACEPOINT, HERE, "kmem/kmalloc" },
	{ "slab_allocations", TRACEPOINT, HERE, "kmem/kmem_cache_alloc" },
	{ "pool_allocations", FUNCTION, HERE, "mempool_alloc_noprof" },
	{ "pool_allocations", FUNCTION, HERE, "mempool_alloc_bulk_noprof" },
	{ "pool_allocations", FUNCTION, HERE, "dma_pool_alloc" },
	{ "page_allocations", TRACEPOINT, HERE, "kmem/mm_page_alloc" },
	/*
	 * Two for each queue: for submission, then for completion. With one CPU,
	 * queue 1 has an interrupt and queue 2 is polled.
	 */
	{ "doorbells", DOORBELL, EVERYWHERE, "2" },
	{ "doorbells", DOORBELL, EVERYWHERE, "4" },
	{ "completion_doorbells", DOORBELL, EVERYWHERE, "3" },
	{ "completion_doorbells", DOORBELL, EVERYWHERE, "5" },
	{ "system_calls", TRACEPOINT, HERE, "raw_syscalls/sys_enter" },
};

static int counters[ARRAY_SIZE(events)];
static bool seen[ARRAY_SIZE(events)];

static uint64_t number_in(const char *path)
{
	unsigned long long number;
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%llu", &number) != 1)
		die("%s: %m", path);
	fclose(file);
	return number;
}

/* Where the kernel sees the drive's registers. There is one drive. */
static uint64_t registers(void)
{
	unsigned long long start, end, found = 0;
	FILE *file = fopen("/proc/vmallocinfo", "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "nvme_remap_bar") &&
		    sscanf(line, "0x%llx-0x%llx", &start, &end) == 2)
			found = start;
	if (!found)
		die("/proc/vmallocinfo does not tell where the drive's registers are");
	fclose(file);
	return found;
}

static int counter_open(const struct event *event)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char path[128];

	switch (event->where) {
	case TRACEPOINT:
		snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", event->name);
		attr.type = PERF_TYPE_TRACEPOINT;
		attr.config = number_in(path);
		break;
	case FUNCTION:
		attr.type = number_in("/sys/bus/event_source/devices/kprobe/type");
		attr.kprobe_func = (uintptr_t)event->name;
		break;
	case DOORBELL:
		attr.type = PERF_TYPE_BREAKPOINT;
		attr.bp_type = HW_BREAKPOINT_W;
		attr.bp_addr = registers() + 0x1000 + strtoul(event->name, NULL, 10) * 4;
		attr.bp_len = HW_BREAKPOINT_LEN_4;
		break;
	}
	return syscall(SYS_perf_event_open, &attr, event->scope == HERE ? 0 : -1,
		       event->scope == HERE ? -1 : 0, -1, PERF_FLAG_FD_CLOEXEC);
}

static void counters_open(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		counters[i] = counter_open(&events[i]);
		if (counters[i] < 0)
			die("cannot count %s: %m", events[i].name);
	}
}

/* That something was never seen means little if nobody did it. */
static void counters_close(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		close(counters[i]);
		if (!seen[i])
			note("events, never seen: %s %s", events[i].figure, events[i].name);
	}
}

static void counters_read(uint64_t values[ARRAY_SIZE(events)])
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		if (read(counters[i], &values[i], sizeof(values[i])) != sizeof(values[i]))
			die("cannot read the counter of %s: %m", events[i].name);
}

/*
 * struct rounds - reads, and what to do between
 * @path: NULL for nothing but the measuring itself
 * @count: how many times the job's depth
 * @at_once: submit and wait by one system call, as a program does that has nothing else
 *	to do meanwhile; else let the drive finish first, so that it is known how often
 *	the queue is looked at
 */
struct rounds {
	const struct path *path;
	const struct job *job;
	uint32_t count;
	bool at_once;
};

static int run_rounds(const struct rounds *rounds, uint64_t counts[])
{
	const struct path *path = rounds->path;
	const struct job *job = rounds->job;
	uint64_t before[ARRAY_SIZE(events)];
	struct io ios[MAX_DEPTH];
	int error = 0;

	counters_read(before);
	for (uint32_t i = 0; i < rounds->count && !error; i++) {
		random_ios(job, ios);
		if (path)
			path->prepare(ios, job->depth);
		if (path && rounds->at_once)
			error = path->run(job->depth);
		else if (path)
			path->submit(job->depth);
		if (!rounds->at_once)
			usleep(500 + job->depth * (job->bytes >> 10) / 8);
		if (path && !rounds->at_once)
			error = path->reap(job->depth);
	}
	counters_read(counts);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		counts[i] -= before[i];
		seen[i] |= counts[i] > 0;
	}
	return error;
}

static void print_counts(const struct rounds *rounds, const char *layout, const double counts[],
			 int error)
{
	const struct job *job = rounds->job;
	uint32_t ios = rounds->count * job->depth;

	print_start("events", rounds->path->name);
	printf(", \"layout\": \"%s\", \"bytes\": %u, \"depth\": %u, \"ios\": %u", layout,
	       job->bytes, job->depth, ios);
	for (size_t i = 0; i < ARRAY_SIZE(events);) {
		const char *figure = events[i].figure;
		double sum = 0;

		for (; i < ARRAY_SIZE(events) && !strcmp(events[i].figure, figure); i++)
			sum += counts[i];
		if (error)
			printf(", \"%s\": null", figure);
		else
			printf(", \"%s\": %.4f", figure, sum / ios);
	}
	if (error)
		printf(", \"error\": \"%s\"", error_name(error));
	printf("}\n");
	fflush(stdout);
}

static void measure(const struct path *path, const struct job *job, const char *layout)
{
	struct rounds rounds = { .path = path, .job = job };
	uint64_t counts[ARRAY_SIZE(events)], other[ARRAY_SIZE(events)];
	double result[ARRAY_SIZE(events)];
	struct rounds idle;
	int error = path->open(job);

	rounds.count = job->bytes > 128 * KIB ? 25 : 100;
	idle = rounds;
	idle.path = NULL;
	if (!error) {
		/* What only happens at first is not counted. */
		error = run_rounds(&rounds, counts);
		if (!error)
			error = run_rounds(&rounds, counts);
		run_rounds(&idle, other);
		for (size_t i = 0; i < ARRAY_SIZE(events); i++)
			result[i] = (double)counts[i] - (double)other[i];
		rounds.at_once = idle.at_once = true;
		if (!error)
			error = run_rounds(&rounds, counts);
		run_rounds(&idle, other);
		for (size_t i = 0; i < ARRAY_SIZE(events); i++)
			if (!strcmp(events[i].figure, "system_calls"))
				result[i] = (double)counts[i] - (double)other[i];
		path->close();
	}
	print_counts(&rounds, layout, result, error);
}

void events_part(struct job *job)
{
	static const uint32_t sizes[] = { 4, 128, 1024 };

	counters_open();
	for (int scattered = 0; scattered < 2; scattered++) {
		const char *layout = scattered ? "scattered" : "contiguous";
		struct memory memory;

		if (!wanted("LAYOUTS", layout))
			continue;
		memory_alloc(&memory, MAX_DEPTH * MIB, scattered);
		memory_export(&memory, memory.size);
		job->memory = &memory;
		job->depth = MAX_DEPTH;
		for (const struct path *const *path = all_paths(); *path; path++) {
			note("events, %s, %s buffers", (*path)->name, layout);
			for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
				job->bytes = sizes[i] * KIB;
				measure(*path, job, layout);
			}
		}
		memory_free(&memory);
	}
	counters_close();
}
