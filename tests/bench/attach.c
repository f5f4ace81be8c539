// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it takes to attach and to detach a buffer, by its size, and how much of that the
 * exporter needs to map it, which everybody who imports it has to pay. The kernel's
 * tracing tells, in ticks of the same clock, when the exporter was at work, and when
 * nobody was: an attach reads from the drive, and waiting for it is not work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_dmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench.h"
#include "parts.h"

#define TRACING "/sys/kernel/tracing/"
#define REPEATS 3

/* Instructions of one call. */
struct work {
	uint64_t all;
	uint64_t exporter;
};

static void tracing_set(const char *file, const char *text, int flags)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACING "%s", file);
	fd = check_sys(open(path, O_WRONLY | O_CLOEXEC | flags));
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: cannot write '%s': %m", path, text);
	close(fd);
}

static void tracing_start(void)
{
	static const char *const probes[] = {
		"p:bench/work_start dma_buf_map_attachment",
		"r:bench/work_end dma_buf_map_attachment",
		"p:bench/unwork_start dma_buf_unmap_attachment",
		"r:bench/unwork_end dma_buf_unmap_attachment",
		"p:bench/pinwork_start pin_user_pages",
		"r:bench/pinwork_end pin_user_pages",
	};

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		tracing_set("dynamic_events", probes[i], O_APPEND);
	tracing_set("trace_clock", "x86-tsc", 0);
	tracing_set("events/sched/sched_switch/filter", "prev_pid == 0 || next_pid == 0", 0);
	tracing_set("events/sched/sched_switch/enable", "1", 0);
	tracing_set("events/bench/enable", "1", 0);
}

static void tracing_stop(void)
{
	tracing_set("events/bench/enable", "0", 0);
	tracing_set("events/sched/sched_switch/enable", "0", 0);
	tracing_set("events/sched/sched_switch/filter", "0", 0);
	tracing_set("dynamic_events", "", O_TRUNC);
}

/* Adds up, from the trace, what lies between @start and @end. */
static struct work work_between(uint64_t start, uint64_t end)
{
	unsigned long long when, idle_since = 0, mapping_since = 0;
	struct work work = { .all = end - start };
	FILE *trace = fopen(TRACING "trace", "r");
	char line[512], event[32];

	while (trace && fgets(line, sizeof(line), trace)) {
		const char *at = strstr(line, "] ");

		if (line[0] == '#' || !at || sscanf(at, "] %*s %llu: %31[^:]", &when, event) != 2 ||
		    when < start || when > end)
			continue;
		if (strstr(event, "work_start")) {
			mapping_since = when;
		} else if (strstr(event, "work_end")) {
			work.exporter += when - mapping_since;
		} else if (strstr(line, "next_pid=0 ")) {
			idle_since = when;
		} else if (idle_since) {
			work.all -= when - idle_since;
			idle_since = 0;
		}
	}
	if (!trace)
		die("no trace: %m");
	fclose(trace);
	return work;
}

static struct work call(int device, unsigned long request, void *arguments)
{
	uint64_t start;

	tracing_set("trace", "", O_TRUNC);
	start = __rdtsc();
	if (ioctl(device, request, arguments))
		die("attach or detach: %m");
	return work_between(start, __rdtsc());
}

static void measure(int device, int block, const struct memory *memory, const char *layout)
{
	struct work best_attach = { 0 }, best_detach = { 0 };
	struct nvme_dmabuf_map_info info;
	uint64_t pages = memory->exported / PAGE;

	for (int i = 0; i < REPEATS; i++) {
		struct nvme_dmabuf_attach attach = {
			.size = sizeof(attach),
			.dmabuf_fd = memory->dmabuf,
			.ns_fd = block,
			.access = NVME_DMABUF_ACCESS_READ,
			.length = memory->exported,
		};
		struct nvme_dmabuf_detach detach = { .size = sizeof(detach) };
		struct work work = call(device, NVME_DMABUF_IOC_ATTACH, &attach);

		if (!i || work.all < best_attach.all)
			best_attach = work;
		info = (struct nvme_dmabuf_map_info){ .size = sizeof(info), .map = attach.out_map };
		check_sys(ioctl(device, NVME_DMABUF_IOC_MAP_INFO, &info));
		detach.map = attach.out_map;
		work = call(device, NVME_DMABUF_IOC_DETACH, &detach);
		if (!i || work.all < best_detach.all)
			best_detach = work;
	}
	if (!best_attach.exporter)
		die("the trace does not show the exporter");
	print_start("attach", NULL);
	printf(", \"layout\": \"%s\", \"memory\": \"%s\", \"bytes\": %llu, \"segments\": %llu",
	       layout, memory->own ? "own" : "udmabuf", (unsigned long long)memory->exported,
	       (unsigned long long)info.out_segments);
	printf(", \"attach\": %llu, \"attach_exporter\": %llu, \"attach_own_per_page\": %.2f",
	       (unsigned long long)best_attach.all, (unsigned long long)best_attach.exporter,
	       (double)(best_attach.all - best_attach.exporter) / pages);
	printf(", \"detach\": %llu, \"detach_exporter\": %llu, \"detach_own_per_page\": %.2f",
	       (unsigned long long)best_detach.all, (unsigned long long)best_detach.exporter,
	       (double)(best_detach.all - best_detach.exporter) / pages);
	printf(", \"list_bytes\": %llu, \"list_percent\": %.4f}\n",
	       (unsigned long long)info.out_list_bytes,
	       100.0 * info.out_list_bytes / memory->exported);
	fflush(stdout);
}

/* This program's own memory: what it takes to export it, and how much of that to pin it. */
static void measure_own(int device, int block, const struct memory *memory, uint64_t bytes,
			const char *layout)
{
	struct work best = { 0 }, work;
	struct memory own;
	uint64_t start;

	for (int i = 0; i < REPEATS; i++) {
		tracing_set("trace", "", O_TRUNC);
		start = __rdtsc();
		memory_export_own(memory, bytes, device, &own);
		work = work_between(start, __rdtsc());
		if (!i || work.all < best.all)
			best = work;
		if (i < REPEATS - 1)
			close(own.dmabuf);
	}
	if (!best.exporter)
		die("the trace does not show the pinning");
	print_start("export", NULL);
	printf(", \"layout\": \"%s\", \"bytes\": %llu, \"export\": %llu, \"pin\": %llu, \"own_per_page\": %.2f}\n",
	       layout, (unsigned long long)bytes, (unsigned long long)best.all,
	       (unsigned long long)best.exporter,
	       (double)(best.all - best.exporter) / (bytes / PAGE));
	measure(device, block, &own, layout);
	close(own.dmabuf);
}

/* The exporter must not be asked: a map of the namespace keeps the buffer mapped. */
static void measure_file(int device, const struct memory *memory, const char *path)
{
	struct nvme_dmabuf_attach attach = {
		.size = sizeof(attach),
		.dmabuf_fd = memory->dmabuf,
		.ns_fd = check_sys(open(path, O_RDONLY | O_CLOEXEC)),
		.access = NVME_DMABUF_ACCESS_READ,
		.length = memory->exported,
	};
	struct nvme_dmabuf_detach detach = { .size = sizeof(detach) };
	struct nvme_dmabuf_map_info info;
	struct work best = { 0 };

	for (int i = 0; i < REPEATS; i++) {
		struct work work = call(device, NVME_DMABUF_IOC_ATTACH, &attach);

		if (!i || work.all < best.all)
			best = work;
		if (work.exporter)
			die("%s: the buffer was mapped once more", path);
		info = (struct nvme_dmabuf_map_info){ .size = sizeof(info), .map = attach.out_map };
		check_sys(ioctl(device, NVME_DMABUF_IOC_MAP_INFO, &info));
		detach.map = attach.out_map;
		check_sys(ioctl(device, NVME_DMABUF_IOC_DETACH, &detach));
	}
	close(attach.ns_fd);
	print_start("files_attach", NULL);
	printf(", \"bytes\": %llu, \"extents\": %llu, \"attach\": %llu}\n",
	       (unsigned long long)info.out_file_bytes, (unsigned long long)info.out_extents,
	       (unsigned long long)best.all);
	fflush(stdout);
}

void attach_files(const struct memory *memory, const char *block, const char *const paths[],
		  unsigned int count)
{
	int device = check_sys(open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC));
	struct nvme_dmabuf_attach first = {
		.size = sizeof(first),
		.dmabuf_fd = memory->dmabuf,
		.ns_fd = check_sys(open(block, O_RDONLY | O_CLOEXEC)),
		.access = NVME_DMABUF_ACCESS_READ,
		.length = memory->exported,
	};

	if (ioctl(device, NVME_DMABUF_IOC_ATTACH, &first))
		die("attach: %m, reason %u", first.out_reason);
	close(first.ns_fd);
	tracing_start();
	for (unsigned int i = 0; i < count; i++)
		measure_file(device, memory, paths[i]);
	tracing_stop();
	close(device);
}

void attach_part(struct job *job)
{
	static const uint64_t sizes[] = { 16, 64, 256, 1024, 4096, 16384 };
	int device = check_sys(open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC));
	int block = check_sys(open(job->block, O_RDONLY | O_CLOEXEC));

	tracing_start();
	for (int scattered = 0; scattered < 2; scattered++) {
		const char *layout = scattered ? "scattered" : "contiguous";
		struct memory memory;

		if (!wanted("LAYOUTS", layout))
			continue;
		/* Larger ones have the same pages many times. */
		memory_alloc(&memory, 256 * MIB, scattered);
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			if (!wanted_number("MAPS", sizes[i]))
				continue;
			note("attach, %llu MiB, %s", (unsigned long long)sizes[i], layout);
			memory_export(&memory, sizes[i] * MIB);
			measure(device, block, &memory, layout);
			if (sizes[i] * MIB <= memory.size)
				measure_own(device, block, &memory, sizes[i] * MIB, layout);
		}
		memory_free(&memory);
	}
	tracing_stop();
	close(block);
	close(device);
}
