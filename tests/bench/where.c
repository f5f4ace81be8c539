// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the instructions of a read, and of an attach, are executed. QEMU's plugin steps.c
 * writes them down; what is printed here says what each window of it was. See README.md.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/nvme_dmabuf.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench.h"
#include "lines.h"
#include "parts.h"

#define WARM_UP 4U
#define ROUNDS	5U

static uint64_t window;

static void print_window(const char *path)
{
	print_start("where", path);
	printf(", \"window\": %llu", (unsigned long long)window);
}

/*
 * A window for each round: a timer interrupt is in one of them. In one call the program
 * polls until the drive is done, which report-where takes out.
 */
static void run_round(const struct path *path, const struct job *job, bool one_call, bool counted)
{
	struct io ios[MAX_DEPTH];
	int error;

	random_ios(job, ios);
	path->prepare(ios, job->depth);
	if (counted)
		lines_tell(LINES_OPEN, ++window);
	lines_tell(LINES_CALL, 1);
	if (one_call) {
		error = path->run(job->depth);
	} else {
		path->submit(job->depth);
		lines_tell(LINES_CALL, 0);
		usleep(500 + job->depth);
		lines_tell(LINES_CALL, 1);
		error = path->reap(job->depth);
	}
	lines_tell(LINES_CALL, 0);
	if (error)
		die("%s: %s", path->name, error_name(error));
	if (!counted)
		return;
	lines_tell(LINES_CLOSE, job->depth);
	print_window(path->name);
	printf(", \"depth\": %u, \"calls\": %u}\n", job->depth, one_call ? 1 : 2);
}

static void run_rounds(const struct path *path, const struct job *job, bool one_call)
{
	int error = path->open(job);

	if (error)
		die("%s: %s", path->name, error_name(error));
	for (uint32_t round = 0; round < WARM_UP + ROUNDS; round++)
		run_round(path, job, one_call, round >= WARM_UP);
	path->close();
}

static void where_of_reads(struct job *job)
{
	static const uint32_t depths[] = { 1, 32 };
	const struct path *const *path;

	job->bytes = 4 * KIB;
	for (path = all_paths(); *path; path++) {
		note("%s", (*path)->name);
		for (size_t i = 0; i < ARRAY_SIZE(depths); i++) {
			job->depth = depths[i];
			if (!wanted_number("DEPTHS", job->depth))
				continue;
			run_rounds(*path, job, false);
			if (job->depth == 1)
				run_rounds(*path, job, true);
		}
	}
}

/* Twice as much memory again, so that what each page of it takes can be told. */
static void where_of_attach(const struct job *job, struct memory *memory)
{
	int device = check_sys(open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC));
	int block = check_sys(open(job->block, O_RDONLY | O_CLOEXEC));

	for (uint64_t bytes = memory->size / 2; bytes <= memory->size; bytes *= 2) {
		note("attach, %llu MiB", (unsigned long long)(bytes / MIB));
		memory_export(memory, bytes);
		for (uint32_t round = 0; round < 2; round++) {
			struct nvme_dmabuf_attach attach = {
				.size = sizeof(attach),
				.dmabuf_fd = memory->dmabuf,
				.ns_fd = block,
				.access = NVME_DMABUF_ACCESS_READ,
				.length = bytes,
			};
			struct nvme_dmabuf_detach detach = { .size = sizeof(detach) };

			lines_tell(LINES_OPEN, ++window);
			lines_tell(LINES_CALL, 1);
			check_sys(ioctl(device, NVME_DMABUF_IOC_ATTACH, &attach));
			lines_tell(LINES_CALL, 0);
			lines_tell(LINES_CLOSE, bytes / PAGE);
			print_window("attach");
			printf(", \"bytes\": %llu}\n", (unsigned long long)bytes);
			detach.map = attach.out_map;
			check_sys(ioctl(device, NVME_DMABUF_IOC_DETACH, &detach));
		}
	}
	close(block);
	close(device);
}

void where_part(struct job *job)
{
	struct memory memory;

	memory_alloc(&memory, 32 * MIB, true);
	memory_export(&memory, memory.size);
	job->memory = &memory;
	where_of_reads(job);
	where_of_attach(job, &memory);
	memory_free(&memory);
}
