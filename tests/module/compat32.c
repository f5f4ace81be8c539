// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test is a 32-bit program: it does on a 64-bit kernel all that the
 * interface offers, and finds the same structures and the same data.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buffer.h"
#include "common.h"
#include "line.h"

_Static_assert(sizeof(void *) == 4, "must be compiled for a 32-bit machine");

#define CALL(fd, name, args)                                        \
	do {                                                        \
		(args)->size = sizeof(*(args));                     \
		check_sys(ioctl(fd, NVME_DMABUF_IOC_##name, args)); \
	} while (0)

#define FIRST 0x123456789abcdef0ULL
#define MOST  64U

struct fixture {
	struct drive drive;
	struct buffer buffer;
	int fd;
	uint32_t map;
};

static void fixture_open(struct fixture *f)
{
	struct nvme_dmabuf_attach args = { 0 };

	drive_open(&f->drive, main_drive());
	buffer_alloc(&f->buffer, exporter_any(), MIB);
	f->fd = device_open();
	args.dmabuf_fd = f->buffer.fd;
	args.ns_fd = f->drive.fd;
	args.access = NVME_DMABUF_ACCESS_READ | (may_erase() ? NVME_DMABUF_ACCESS_WRITE : 0);
	args.length = MIB;
	args.out_reason = ~0U;
	CALL(f->fd, ATTACH, &args);
	check_eq(args.out_reason, NVME_DMABUF_REASON_NONE);
	check(args.out_map);
	f->map = args.out_map;
}

/* What a 64-bit program sees; the test of the header holds both to it. */
static void sizes(const void *arg)
{
	(void)arg;
	check_eq(sizeof(struct nvme_dmabuf_info), 48);
	check_eq(sizeof(struct nvme_dmabuf_ns_info), 56);
	check_eq(sizeof(struct nvme_dmabuf_attach), 48);
	check_eq(sizeof(struct nvme_dmabuf_detach), 16);
	check_eq(sizeof(struct nvme_dmabuf_map_info), 112);
	check_eq(sizeof(struct nvme_dmabuf_placement_run), 40);
	check_eq(sizeof(struct nvme_dmabuf_placement), 32);
	check_eq(sizeof(struct nvme_dmabuf_command), 64);
	check_eq(sizeof(struct nvme_dmabuf_completion), 32);
	check_eq(sizeof(struct nvme_dmabuf_submit), 40);
	check_eq(sizeof(struct nvme_dmabuf_refresh), 32);
	check_eq(sizeof(struct nvme_dmabuf_event), 16);
	check_eq(sizeof(struct nvme_dmabuf_events), 24);
	check_eq(sizeof(struct nvme_dmabuf_peer_info), 32);
	check_eq(sizeof(struct nvme_dmabuf_queue), 32);
	check_eq(sizeof(struct nvme_dmabuf_ring), 128);
	check_eq(sizeof(struct nvme_dmabuf_enter), 48);
	check_eq(sizeof(struct nvme_dmabuf_export), 40);
}

static void information(const void *arg)
{
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct nvme_dmabuf_map_info map = { .size = sizeof(map) };
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	CALL(f.fd, INFO, &info);
	check(info.out_max_commands >= 1024);
	check(info.out_max_command >= 128 * KIB);
	ns.ns_fd = f.drive.fd;
	CALL(f.fd, NS_INFO, &ns);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(ns.out_block_size, f.drive.block);
	check_eq(ns.out_capacity, f.drive.blocks);
	map.map = f.map;
	CALL(f.fd, MAP_INFO, &map);
	check_eq(map.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(map.out_length, MIB);
	check_eq(map.out_block_size, f.drive.block);
}

static void placement(const void *arg)
{
	struct nvme_dmabuf_placement_run runs[8];
	struct nvme_dmabuf_placement args = { 0 };
	uint64_t next = 0;
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	args.map = f.map;
	args.count = ARRAY_SIZE(runs);
	args.runs = (uintptr_t)runs;
	CALL(f.fd, PLACEMENT, &args);
	check(args.out_count >= 1 && args.out_count <= ARRAY_SIZE(runs));
	for (uint32_t i = 0; i < args.out_count; i++) {
		check_eq(runs[i].offset, next);
		next += runs[i].length;
	}
	check_eq(next, MIB);
}

typedef void run_fn(struct fixture *f, const struct nvme_dmabuf_command *commands,
		    struct nvme_dmabuf_completion *completions, unsigned int count);

static void submit(struct fixture *f, const struct nvme_dmabuf_command *commands,
		   struct nvme_dmabuf_completion *completions, unsigned int count)
{
	struct nvme_dmabuf_submit args = { 0 };

	args.commands = (uintptr_t)commands;
	args.completions = (uintptr_t)completions;
	args.count = count;
	CALL(f->fd, SUBMIT, &args);
	check_eq(args.out_completed, count);
}

static void enter(struct fixture *f, const struct nvme_dmabuf_command *commands,
		  struct nvme_dmabuf_completion *completions, unsigned int count)
{
	struct nvme_dmabuf_completion c;
	struct line line;

	line_open(&line, f->fd, MOST, 0, 0);
	line_submit(&line, commands, count);
	line_wait(&line, count);
	while (line_next(&line, &c)) {
		check(c.user_data - FIRST < count);
		completions[c.user_data - FIRST] = c;
	}
	line_close(&line);
}

/* Each command waits for the fence of the one before. */
static void enter_fences(struct fixture *f, const struct nvme_dmabuf_command *commands,
			 struct nvme_dmabuf_completion *completions, unsigned int count)
{
	struct nvme_dmabuf_enter args;
	struct line line;
	int fence = 0;

	line_open(&line, f->fd, MOST, 0, 0);
	for (unsigned int i = 0; i < count; i++) {
		check_eq(line_enter_fences(&line, &commands[i], 1, 0, 0,
					   NVME_DMABUF_ENTER_OUT_FENCE |
						   (fence ? NVME_DMABUF_ENTER_IN_FENCE : 0),
					   fence, &args),
			 0);
		check_eq(args.out_submitted, 1);
		if (fence)
			check_sys(close(fence));
		check_eq(line.head, i ? i - 1 : 0);
		if (i)
			check(line_next(&line, &completions[i - 1]));
		fence = args.out_fence_fd;
		check(fence > 2);
	}
	check_sys(close(fence));
	line_wait(&line, 1);
	check(line_next(&line, &completions[count - 1]));
	line_close(&line);
}

static void transfer(struct fixture *f, run_fn *run, uint8_t opcode, uint64_t slba,
		     unsigned int count)
{
	struct nvme_dmabuf_completion completions[MOST];
	struct nvme_dmabuf_command commands[MOST];
	uint32_t length = MIB / count;

	memset(commands, 0, sizeof(commands));
	memset(completions, 0xff, sizeof(completions));
	for (unsigned int i = 0; i < count; i++) {
		commands[i].user_data = FIRST + i;
		commands[i].opcode = opcode;
		commands[i].map = f->map;
		commands[i].offset = (uint64_t)i * length;
		commands[i].length = length;
		commands[i].slba = slba + i * (length / f->drive.block);
	}
	run(f, commands, completions, count);
	for (unsigned int i = 0; i < count; i++) {
		check_eq(completions[i].user_data, commands[i].user_data);
		check_eq(completions[i].error | completions[i].status | completions[i].reason, 0);
		check_eq(completions[i].bytes, length);
	}
}

static void data(run_fn *run)
{
	uint8_t *expected = pages_alloc(MIB), *actual = pages_alloc(MIB);
	uint64_t slba;
	struct fixture f;

	fixture_open(&f);
	slba = f.drive.blocks - MIB / f.drive.block;
	for (unsigned int count = 1; count <= MOST; count *= 4) {
		if (may_erase()) {
			rnd_fill(expected, MIB);
			drive_write(&f.drive, slba, expected, MIB);
		}
		drive_read(&f.drive, slba, expected, MIB);
		buffer_begin_cpu(&f.buffer);
		memset(f.buffer.addr, 0xa5, MIB);
		buffer_end_cpu(&f.buffer);
		transfer(&f, run, NVME_DMABUF_OP_READ, slba, count);
		buffer_begin_cpu(&f.buffer);
		compare("dma-buf", f.buffer.addr, expected, MIB, 0);
		if (may_erase()) {
			rnd_fill(expected, MIB);
			memcpy(f.buffer.addr, expected, MIB);
		}
		buffer_end_cpu(&f.buffer);
		if (!may_erase())
			continue;
		transfer(&f, run, NVME_DMABUF_OP_WRITE, slba, count);
		drive_read(&f.drive, slba, actual, MIB);
		compare("namespace", actual, expected, MIB, slba * f.drive.block);
	}
}

static void data_by_submit(const void *arg)
{
	(void)arg;
	data(submit);
}

static void data_by_queue(const void *arg)
{
	(void)arg;
	data(enter);
}

static void data_by_queue_fences(const void *arg)
{
	(void)arg;
	data(enter_fences);
}

static void detach(const void *arg)
{
	struct nvme_dmabuf_detach args = { 0 };
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	args.map = f.map;
	CALL(f.fd, DETACH, &args);
	check_eq(ioctl(f.fd, NVME_DMABUF_IOC_DETACH, &args) ? errno : 0, ENOENT);
}

int main(int argc, char **argv)
{
	require_device();
	tap_add(sizes, NULL, "sizes of structures");
	tap_add(information, NULL, "INFO, NS_INFO and MAP_INFO");
	tap_add(placement, NULL, "PLACEMENT");
	tap_add(data_by_submit, NULL, "SUBMIT");
	tap_add(data_by_queue, NULL, "QUEUE and ENTER");
	tap_add(data_by_queue_fences, NULL, "QUEUE and ENTER with fences");
	tap_add(detach, NULL, "DETACH");
	return tap_run(argc, argv);
}
