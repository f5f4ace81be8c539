// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test submits commands by io_uring as the uapi header describes it, without the
 * library: data at full depth, by workers too, completions that are neither lost nor
 * doubled, what is refused, and rings that end with commands in flight.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring.h"
#include "slow.h"

#define DEPTH 64U

/**
 * struct way - how commands are submitted
 * @setup: flags of the ring
 * @sqe: flags of each entry
 */
struct way {
	const char *name;
	unsigned int setup;
	unsigned int sqe;
};

static const struct way interrupts = { "interrupts", 0, 0 };
static const struct way polled = { "polled", IORING_SETUP_IOPOLL, 0 };
static const struct way registered = { "a registered file", 0, IOSQE_FIXED_FILE };
static const struct way workers = { "workers", 0, IOSQE_ASYNC };
static const struct way polled_workers = { "polled, workers", IORING_SETUP_IOPOLL, IOSQE_ASYNC };

/* Submits in pieces and reads in pieces; each completion comes once. */
static void run_commands(struct io_uring *ring, int fd, unsigned int flags,
			 const struct nvme_dmabuf_command *commands, unsigned int count)
{
	unsigned int submitted = 0, completed = 0;
	bool *seen = calloc(count, sizeof(*seen));
	struct nvme_dmabuf_completion c;

	while (completed < count) {
		unsigned int piece = rnd_below(count - submitted + 1);

		for (unsigned int i = 0; i < piece; i++)
			ring_prepare(ring, fd, &commands[submitted + i])->flags = flags;
		check_eq(io_uring_submit(ring), piece);
		submitted += piece;
		for (unsigned int i = rnd_below(submitted - completed + 1); i; i--) {
			ring_wait(ring, &c);
			check_good(&c);
			check(c.user_data - RIG_FIRST < submitted);
			check(!seen[c.user_data - RIG_FIRST]);
			seen[c.user_data - RIG_FIRST] = true;
			check_eq(c.bytes, commands[c.user_data - RIG_FIRST].length);
			completed++;
		}
	}
	check_eq(io_uring_cq_ready(ring), 0);
	free(seen);
}

static void data_on(const char *path, const struct way *way)
{
	struct nvme_dmabuf_command commands[DEPTH];
	struct io_uring ring;
	struct rig rig;
	int fd;

	rig_open(&rig, path, exporter_any(), 16 * MIB, 16 * MIB);
	rig_attach_all(&rig);
	for (unsigned int i = 0; i < scaled(4); i++) {
		fd = nvmedmabuf_fd(rig.ctx);
		ring_open(&ring, DEPTH, way->setup);
		if (way->sqe & IOSQE_FIXED_FILE) {
			check_eq(io_uring_register_files(&ring, &fd, 1), 0);
			fd = 0;
		}
		for (unsigned int j = 0; j < 4; j++)
			run_commands(&ring, fd, way->sqe, commands,
				     rig_random(&rig, commands, 1 + rnd_below(DEPTH)));
		io_uring_queue_exit(&ring);
	}
	rig_verify(&rig);
	rig_close(&rig);
}

static void data(const void *arg)
{
	const char *paths[3];
	unsigned int count = plain_drives(paths);

	for (unsigned int i = 0; i < count; i++)
		data_on(paths[i], arg);
}

/* A command that has to wait is tried again as it was, with its flags and its timeout. */
static void tried_again(const void *arg)
{
	static const uint32_t timeouts[] = { 1000, 60 * 60 * 1000 };
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_command read;
	const struct way *way = arg;
	struct io_uring ring;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	ring_open(&ring, DEPTH, way->setup);
	for (unsigned int i = 0; i < ARRAY_SIZE(timeouts); i++) {
		uint64_t blocks = rnd_below(MIB / rig.drive.block), at = rnd_below(MIB / 4) * 4;

		/* Longer than any drive takes at once, so that it is given to a worker. */
		nvmedmabuf_prep_read(&read, rig.map, at, 2 * MIB, rig.first + blocks);
		read.flags = NVME_DMABUF_CMD_FUA | NVME_DMABUF_CMD_LIMITED_RETRY;
		read.timeout_ms = timeouts[i];
		ring_prepare(&ring, nvmedmabuf_fd(rig.ctx), &read)->flags = way->sqe;
		check_eq(io_uring_submit(&ring), 1);
		ring_wait(&ring, &c);
		check_good(&c);
		check_eq(c.bytes, 2 * MIB);
		memcpy(rig.mirror + at, rig.disk + blocks * rig.drive.block, 2 * MIB);
	}
	io_uring_queue_exit(&ring);
	rig_verify(&rig);
	rig_close(&rig);
}

/* As many small reads as wanted: what counts is that each completes once. */
static void counts(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_command read;
	const struct way *way = arg;
	struct io_uring ring;
	struct tally tally;
	struct rig rig;

	tally_open(&tally);
	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	ring_open(&ring, DEPTH, way->setup);
	while (tally.done < tally.total) {
		unsigned int n = rnd_below(tally_room(&tally, DEPTH) + 1);

		for (unsigned int i = 0; i < n; i++) {
			nvmedmabuf_prep_read(&read, rig.map, tally.next % 200 * 4096,
					     rig.drive.block, rig.first);
			read.user_data = tally_start(&tally);
			ring_prepare(&ring, nvmedmabuf_fd(rig.ctx), &read)->flags = way->sqe;
		}
		check_eq(io_uring_submit(&ring), n);
		for (uint64_t i = rnd_below(tally.next - tally.done + 1); i; i--) {
			ring_wait(&ring, &c);
			check_good(&c);
			tally_end(&tally, c.user_data);
		}
	}
	tally_close(&tally);
	check_eq(io_uring_cq_ready(&ring), 0);
	io_uring_queue_exit(&ring);
	rig_close(&rig);
}

static void check_refused(struct io_uring *ring, int error, unsigned int reason)
{
	struct nvme_dmabuf_completion c;

	check_eq(io_uring_submit(ring), 1);
	ring_wait(ring, &c);
	check_eq(c.error, error);
	check_eq(c.reason, reason);
	check_eq(c.bytes, 0);
}

static void refusals(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_command good, bad;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	struct rig rig;
	int fd;

	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	fd = nvmedmabuf_fd(rig.ctx);
	nvmedmabuf_prep_read(&good, rig.map, 0, rig.drive.block, 0);
	ring_open(&ring, 4, way->setup);

	bad = good;
	bad.opcode = 0x7f;
	ring_prepare(&ring, fd, &bad);
	check_refused(&ring, -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE);
	bad = good;
	bad.map = 77;
	ring_prepare(&ring, fd, &bad);
	check_refused(&ring, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
	bad = good;
	bad.offset = MIB;
	ring_prepare(&ring, fd, &bad);
	check_refused(&ring, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP);
	bad = good;
	bad.opcode = NVME_DMABUF_OP_WRITE;
	ring_prepare(&ring, fd, &bad);
	check_refused(&ring, -EACCES, NVME_DMABUF_REASON_MAP_ACCESS);
	bad = good;
	bad.reserved2[1] = 1;
	ring_prepare(&ring, fd, &bad);
	check_refused(&ring, -EINVAL, NVME_DMABUF_REASON_RESERVED);

	/* Another command of io_uring's, and flags that it has for others. */
	ring_prepare(&ring, fd, &good)->cmd_op = NVME_DMABUF_URING_CMD + 1;
	check_refused(&ring, -ENOTTY, NVME_DMABUF_REASON_NONE);
	sqe = ring_prepare(&ring, fd, &good);
	sqe->rw_flags = 1; /* uring_cmd_flags: a fixed buffer */
	check_eq(io_uring_submit(&ring), 1);
	check_eq(io_uring_wait_cqe(&ring, &cqe), 0);
	check(cqe->res < 0);
	io_uring_queue_exit(&ring);
	rig_close(&rig);
}

/* Whose completions are small, and whose entries have no room for a command. */
static void small_rings(const void *arg)
{
	struct nvme_dmabuf_command good;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	struct rig rig;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	nvmedmabuf_prep_read(&good, rig.map, 0, rig.drive.block, 0);

	check_eq(ring_try(&ring, 4, IORING_SETUP_SQE128), 0);
	ring_prepare(&ring, nvmedmabuf_fd(rig.ctx), &good);
	check_eq(io_uring_submit(&ring), 1);
	check_eq(io_uring_wait_cqe(&ring, &cqe), 0);
	check_eq(cqe->res, 0);
	io_uring_queue_exit(&ring);

	check_eq(ring_try(&ring, 4, 0), 0);
	sqe = io_uring_get_sqe(&ring);
	check(sqe);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = nvmedmabuf_fd(rig.ctx);
	sqe->cmd_op = NVME_DMABUF_URING_CMD;
	check_eq(io_uring_submit(&ring), 1);
	check_eq(io_uring_wait_cqe(&ring, &cqe), 0);
	check_eq(cqe->res, -EINVAL);
	io_uring_queue_exit(&ring);
	rig_close(&rig);
}

/* The map can be detached then, and the ring's memory is not the drive's to write to. */
static void closed_in_flight(const void *arg)
{
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
	const struct way *way = arg;
	struct io_uring ring;
	struct rig rig;

	rig_open(&rig, drive_path("SLOW"), exporter_any(), 2 * MIB, 0);
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	slow_commands(commands, rig.map, rig.drive.block);
	ring_open(&ring, SLOW_COMMANDS, way->setup);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		ring_prepare(&ring, nvmedmabuf_fd(rig.ctx), &commands[i])->flags = way->sqe;
	check_eq(io_uring_submit(&ring), SLOW_COMMANDS);
	io_uring_queue_exit(&ring);
	rig_detach(&rig);
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	rig_close(&rig);
}

#define MIXED 8U

/* Some of the commands of one submission are ours, the first among them; the others are not. */
static void mix_reads(struct io_uring *ring, struct rig *rig, uint8_t *plain)
{
	struct nvme_dmabuf_command read;
	uint32_t block = rig->drive.block;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;

	memset(plain, 0xaa, MIXED * block);
	for (unsigned int i = 0; i < MIXED; i++) {
		if (!i || rnd_below(2)) {
			nvmedmabuf_prep_read(&read, rig->map, i * block, block, rig->first + i);
			read.user_data = 0;
			ring_prepare(ring, nvmedmabuf_fd(rig->ctx), &read);
			memcpy(rig->mirror + i * block, rig->disk + i * block, block);
			memcpy(plain + i * block, rig->disk + i * block, block);
			continue;
		}
		sqe = io_uring_get_sqe(ring);
		check(sqe);
		memset(sqe, 0, 2 * sizeof(*sqe));
		io_uring_prep_read(sqe, rig->drive.fd, plain + i * block, block,
				   (rig->first + i) * block);
		sqe->user_data = block;
	}
	check_eq(io_uring_submit(ring), MIXED);
	for (unsigned int i = 0; i < MIXED; i++) {
		check_eq(io_uring_wait_cqe(ring, &cqe), 0);
		/* A status, or bytes. */
		check_eq(cqe->res, cqe->user_data);
		io_uring_cqe_seen(ring, cqe);
	}
	check(!memcmp(plain, rig->disk, MIXED * block));
}

/*
 * The block layer may give the one requests that it has allocated for the other. When a
 * scheduler is left that still counts some, the kernel's log tells.
 */
static void scheduled(const void *arg)
{
	const struct way *way = arg;
	char schedulers[64], *before;
	struct io_uring ring;
	uint8_t *plain;
	struct rig rig;

	if (!drive_attribute(main_drive(), "queue/scheduler", schedulers, sizeof(schedulers)) ||
	    !strstr(schedulers, "mq-deadline"))
		skip("no mq-deadline here");
	before = strchr(schedulers, '[') + 1;
	*strchr(before, ']') = 0;

	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	plain = aligned_alloc(4096, MIXED * rig.drive.block);
	ring_open(&ring, DEPTH, way->setup);
	drive_attribute_put(rig.drive.path, "queue/scheduler", "mq-deadline");
	for (unsigned int i = 0; i < scaled(16); i++)
		mix_reads(&ring, &rig, plain);
	/* Left even if it was this one before. */
	drive_attribute_put(rig.drive.path, "queue/scheduler", "none");
	drive_attribute_put(rig.drive.path, "queue/scheduler", before);
	io_uring_queue_exit(&ring);
	free(plain);
	rig_verify(&rig);
	rig_close(&rig);
}

static void add(void (*run)(const void *arg), const struct way *way, const char *name)
{
	tap_add(run, way, "%s: %s", way->name, name);
}

int main(int argc, char **argv)
{
	static const struct way *const ways[] = { &interrupts, &polled, &registered, &workers,
						  &polled_workers };

	require_device();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		add(data, ways[i], "data of many commands at once");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (ways[i] != &registered)
			add(closed_in_flight, ways[i], "a ring is closed with commands in flight");
	add(tried_again, &interrupts, "what a worker tries again");
	add(tried_again, &polled, "what a worker tries again");
	add(counts, &interrupts, "no completion is lost or doubled");
	add(counts, &polled, "no completion is lost or doubled");
	add(refusals, &interrupts, "commands that are refused");
	add(refusals, &polled, "commands that are refused");
	tap_add(small_rings, NULL, "rings without large entries");
	add(scheduled, &interrupts, "commands and other reads, with an I/O scheduler");
	return tap_run(argc, argv);
}
