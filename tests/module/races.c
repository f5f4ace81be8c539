// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test does everything that can happen to a map, a context or a drive while
 * two threads use them, in every way there is to use them: each with each. What
 * succeeds has moved the right data, what does not says why, and nothing else
 * was touched or is left behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "exported.h"
#include "leaving.h"
#include "line.h"
#include "qmp.h"
#include "ring.h"

#define LANES  2
#define PIECES 8
#define PIECE  (16 * KIB)
#define PART   (PIECES * PIECE)

/*
 * The buffer: a guard, a part for each lane to read to, a part to read to what nobody
 * waits for, a part for each to write from, a guard. The window: a part to read from, a
 * part for each to write to.
 */
#define GUARD	    PAGE
#define BUFFER	    (2 * GUARD + (2 * LANES + 1) * PART)
#define READ_AT(n)  ((n)*PART)
#define UNAWAITED   LANES
#define WRITE_AT(n) ((LANES + 1 + (n)) * PART)
#define WINDOW	    ((1 + LANES) * PART)

struct round;

/** struct user - a way to use a map; @step returns false when there is an end of it */
struct user {
	const char *name;
	bool (*step)(struct round *r, unsigned int lane);
};

struct refusal {
	int error;
	uint32_t reason;
};

/**
 * struct disturber - something that happens
 * @act: does it
 * @refusals: what users may be told because of it
 * @breaks: commands in flight may fail
 * @kills: users are in a process of their own
 * @takes: the drive goes, and @way it goes
 * @rounds: how often, where there is time
 */
struct disturber {
	const char *name;
	void (*act)(struct round *r);
	struct refusal refusals[6];
	bool breaks, kills, takes;
	enum way way;
	unsigned int rounds;
};

/*
 * What users tell, where a process that is killed leaves it. Busy are those whose commands may be
 * in flight.
 */
struct shared {
	unsigned int stop, busy[LANES];
	unsigned int steps[LANES], done[LANES], refused[LANES];
	unsigned int written[LANES][PIECES];
};

struct round {
	const struct disturber *disturber;
	const struct user *users[LANES];
	struct device device;
	struct wire w;
	struct exported b;
	int fd; /* the context */
	uint32_t map, auto_map;
	pid_t child;
	bool patient; /* waits for a completion first */
	struct shared *shared;
};

struct lane {
	struct round *round;
	unsigned int number;
	pthread_t handle;
};

static struct known plain_drive, hot_drive;

static bool hurry(void)
{
	return scaled(1) == 1;
}

static unsigned int get(const unsigned int *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static void set(unsigned int *to, unsigned int value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static void pause_us(uint64_t us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

/* Fails unless that may happen here. Counts it. */
static void refused(struct round *r, unsigned int lane, const char *what, int error,
		    uint32_t reason)
{
	const struct refusal *refusal = r->disturber->refusals;

	for (; refusal < r->disturber->refusals + ARRAY_SIZE(r->disturber->refusals); refusal++)
		if (refusal->error == error && (reason == ~0U || refusal->reason == reason)) {
			r->shared->refused[lane]++;
			return;
		}
	fail("%s: %s, %s", what, strerrorname_np(error), nvmedmabuf_reason_name(reason));
}

/* Whether the users can go on after this. What replaces a context knows no ioctls. */
static bool is_end(const struct round *r, int error)
{
	return error == ENOTTY || error == EOPNOTSUPP || (r->disturber->takes && error == ENODEV);
}

static void prepare(struct round *r, unsigned int lane, uint32_t map, uint8_t opcode,
		    unsigned int shift, struct nvme_dmabuf_command *commands)
{
	uint64_t blocks = PIECE / r->w.drive.block;

	for (unsigned int i = 0; i < PIECES; i++) {
		if (opcode == NVME_DMABUF_OP_WRITE)
			nvmedmabuf_prep_write(&commands[i], map, WRITE_AT(lane) + i * PIECE, PIECE,
					      r->w.first + (PIECES * (1 + lane) + i) * blocks);
		else
			nvmedmabuf_prep_read(&commands[i], map, READ_AT(lane) + i * PIECE, PIECE,
					     r->w.first + (i + shift) % PIECES * blocks);
		commands[i].user_data = i;
	}
}

/* Returns false if there will never be more. */
static bool look_at(struct round *r, unsigned int lane, unsigned int shift,
		    const struct nvme_dmabuf_command *commands,
		    const struct nvme_dmabuf_completion *c)
{
	uint8_t actual[PIECE];
	bool more = true;

	for (unsigned int i = 0; i < PIECES; i++) {
		if (c[i].error || c[i].status) {
			check_that(c[i].error || r->disturber->breaks, "command: status %#x",
				   c[i].status);
			if (c[i].error)
				refused(r, lane, "command", -c[i].error, c[i].reason);
			check(c[i].bytes < PIECE);
			more &= !is_end(r, -c[i].error);
			continue;
		}
		check_eq(c[i].bytes, PIECE);
		r->shared->done[lane]++;
		if (commands[i].opcode == NVME_DMABUF_OP_WRITE) {
			r->shared->written[lane][i] = 1;
			continue;
		}
		exported_read(&r->b, GUARD + READ_AT(lane) + i * PIECE, actual, PIECE);
		compare("what was read", actual, r->w.disk + (i + shift) % PIECES * PIECE, PIECE,
			0);
	}
	return more;
}

static bool transfer(struct round *r, unsigned int lane, uint32_t map, uint8_t opcode)
{
	struct nvme_dmabuf_command commands[PIECES];
	struct nvme_dmabuf_completion completions[PIECES];
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.commands = (uintptr_t)commands,
		.completions = (uintptr_t)completions,
		.count = PIECES,
	};
	unsigned int shift = r->shared->steps[lane] % PIECES;
	int result;

	prepare(r, lane, map, opcode, shift, commands);
	set(&r->shared->busy[lane], 1);
	result = ioctl(r->fd, NVME_DMABUF_IOC_SUBMIT, &args);
	set(&r->shared->busy[lane], 0);
	if (result) {
		refused(r, lane, "SUBMIT", errno, ~0U);
		return false;
	}
	check_eq(args.out_completed, PIECES);
	return look_at(r, lane, shift, commands, completions);
}

static bool step_reads(struct round *r, unsigned int lane)
{
	return transfer(r, lane, get(&r->map), NVME_DMABUF_OP_READ);
}

static bool step_writes(struct round *r, unsigned int lane)
{
	return transfer(r, lane, get(&r->map), NVME_DMABUF_OP_WRITE);
}

static bool step_auto(struct round *r, unsigned int lane)
{
	return transfer(r, lane, get(&r->auto_map),
			rnd() % 2 ? NVME_DMABUF_OP_READ : NVME_DMABUF_OP_WRITE);
}

/* Does not wait: what comes next comes while these are in flight. */
static bool step_fences(struct round *r, unsigned int lane)
{
	struct nvme_dmabuf_command commands[PIECES];
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.flags = NVME_DMABUF_SUBMIT_OUT_FENCE,
		.commands = (uintptr_t)commands,
		.count = PIECES,
	};
	struct sync_file_info info = { .num_fences = 0 };
	struct pollfd p = { .events = POLLIN };
	bool ends = false;

	prepare(r, lane, get(&r->map), NVME_DMABUF_OP_READ, 0, commands);
	if (ioctl(r->fd, NVME_DMABUF_IOC_SUBMIT, &args)) {
		refused(r, lane, "SUBMIT", errno, ~0U);
		return false;
	}
	p.fd = args.out_fence_fd;
	set(&r->shared->busy[lane], 1);
	check_eq(poll(&p, 1, 60000), 1);
	set(&r->shared->busy[lane], 0);
	check_sys(ioctl(p.fd, SYNC_IOC_FILE_INFO, &info));
	if (info.status == 1)
		r->shared->done[lane] += PIECES;
	else if (info.status == -EIO && r->disturber->breaks)
		r->shared->refused[lane]++;
	else
		refused(r, lane, "fence", -info.status, ~0U);
	ends = is_end(r, -info.status);
	check_sys(close(p.fd));
	return !ends;
}

/* Of commands in flight that end with their queue, perhaps later, nobody hears. */
static void prepare_any(struct round *r, unsigned int lane, bool waits, unsigned int shift,
			struct nvme_dmabuf_command *commands)
{
	if (!waits)
		prepare(r, UNAWAITED, get(&r->map), NVME_DMABUF_OP_READ, 0, commands);
	else if (rnd() % 2)
		prepare(r, lane, get(&r->map), NVME_DMABUF_OP_READ, shift, commands);
	else
		prepare(r, lane, get(&r->map), NVME_DMABUF_OP_WRITE, shift, commands);
}

static bool step_queues(struct round *r, unsigned int lane)
{
	uint32_t flags = rnd() % 2 ? NVME_DMABUF_QUEUE_POLLED : 0;
	unsigned int shift = r->shared->steps[lane] % PIECES;
	struct nvme_dmabuf_completion completions[PIECES], c;
	struct nvme_dmabuf_command commands[PIECES];
	struct nvme_dmabuf_queue args;
	bool waits = rnd() % 4, more = true;
	struct line line;
	int fd = line_try(r->fd, PIECES, flags, 0, &args);

	if (fd < 0) {
		refused(r, lane, "QUEUE", -fd, ~0U);
		return false;
	}
	line_map(&line, fd, &args);
	prepare_any(r, lane, waits, shift, commands);
	line_submit(&line, commands, PIECES);
	if (waits) {
		set(&r->shared->busy[lane], 1);
		line_wait(&line, PIECES);
		set(&r->shared->busy[lane], 0);
		while (line_next(&line, &c))
			completions[c.user_data] = c;
		more = look_at(r, lane, shift, commands, completions);
	}
	set(&r->shared->busy[lane], !waits);
	line_close(&line);
	set(&r->shared->busy[lane], 0);
	return more;
}

static bool step_uring(struct round *r, unsigned int lane)
{
	unsigned int shift = r->shared->steps[lane] % PIECES;
	struct nvme_dmabuf_completion completions[PIECES], c;
	struct nvme_dmabuf_command commands[PIECES];
	bool waits = rnd() % 4, more = true;
	struct io_uring ring;

	ring_open(&ring, PIECES, rnd() % 2 ? IORING_SETUP_IOPOLL : 0);
	prepare_any(r, lane, waits, shift, commands);
	for (unsigned int i = 0; i < PIECES; i++)
		ring_prepare(&ring, r->fd, &commands[i]);
	check_eq(io_uring_submit(&ring), PIECES);
	if (waits) {
		set(&r->shared->busy[lane], 1);
		for (unsigned int i = 0; i < PIECES; i++) {
			ring_wait(&ring, &c);
			completions[c.user_data] = c;
		}
		set(&r->shared->busy[lane], 0);
		more = look_at(r, lane, shift, commands, completions);
	}
	set(&r->shared->busy[lane], !waits);
	io_uring_queue_exit(&ring);
	set(&r->shared->busy[lane], 0);
	return more;
}

static int try_attach(struct round *r, uint32_t flags, uint32_t *map, uint32_t *reason)
{
	struct nvme_dmabuf_attach args = {
		.size = sizeof(args),
		.flags = flags,
		.dmabuf_fd = r->b.fd,
		.ns_fd = r->w.drive.fd,
		.access = ACCESS_BOTH,
		.offset = GUARD,
		.length = BUFFER - 2 * GUARD,
	};
	int error = ioctl(r->fd, NVME_DMABUF_IOC_ATTACH, &args) ? errno : 0;

	*map = args.out_map;
	*reason = args.out_reason;
	return error;
}

static void detach(struct round *r, uint32_t map)
{
	struct nvme_dmabuf_detach args = { .size = sizeof(args), .map = map };

	if (ioctl(r->fd, NVME_DMABUF_IOC_DETACH, &args))
		check_eq(errno, ENOTTY);
}

static bool step_attaches(struct round *r, unsigned int lane)
{
	uint32_t map, reason;
	int error = try_attach(r, 0, &map, &reason);
	bool more;

	if (error) {
		refused(r, lane, "ATTACH", error, reason);
		return !is_end(r, error);
	}
	more = transfer(r, lane, map, NVME_DMABUF_OP_READ);
	detach(r, map);
	return more;
}

static bool step_refreshes(struct round *r, unsigned int lane)
{
	struct nvme_dmabuf_refresh args = { .size = sizeof(args), .map = get(&r->map) };

	if (ioctl(r->fd, NVME_DMABUF_IOC_REFRESH, &args)) {
		refused(r, lane, "REFRESH", errno, args.out_reason);
		if (is_end(r, errno))
			return false;
	}
	return step_reads(r, lane);
}

/* Looks at everything that can be looked at. */
static bool step_looks(struct round *r, unsigned int lane)
{
	struct nvme_dmabuf_placement_run runs[8];
	struct nvme_dmabuf_event events[4];
	struct nvme_dmabuf_placement placement = {
		.size = sizeof(placement),
		.map = get(&r->map),
		.count = ARRAY_SIZE(runs),
		.runs = (uintptr_t)runs,
	};
	struct nvme_dmabuf_events read_events = {
		.size = sizeof(read_events),
		.events = (uintptr_t)events,
		.count = ARRAY_SIZE(events),
	};
	struct nvme_dmabuf_map_info info = { .size = sizeof(info), .map = placement.map };

	if (ioctl(r->fd, NVME_DMABUF_IOC_MAP_INFO, &info))
		refused(r, lane, "MAP_INFO", errno, ~0U);
	else
		check_eq(info.out_length, BUFFER - 2 * GUARD);
	if (ioctl(r->fd, NVME_DMABUF_IOC_PLACEMENT, &placement))
		refused(r, lane, "PLACEMENT", errno, ~0U);
	if (ioctl(r->fd, NVME_DMABUF_IOC_EVENTS, &read_events))
		refused(r, lane, "EVENTS", errno, ~0U);
	return step_reads(r, lane);
}

static void move(struct round *r, uint32_t flags)
{
	struct exporter_move result;

	check_eq(exported_move(&r->b, flags | EXPORTER_MOVE_FORCE | EXPORTER_MOVE_WAIT, &result),
		 0);
	check_moved(&result);
}

static void act_moves(struct round *r)
{
	for (int i = 0; i < 4; i++) {
		struct nvme_dmabuf_refresh args = { .size = sizeof(args), .map = r->map };

		move(r, EXPORTER_MOVE_COPY);
		pause_us(rnd_below(2000));
		/* So that there is something to take back. */
		check_sys(ioctl(r->fd, NVME_DMABUF_IOC_REFRESH, &args));
		pause_us(rnd_below(2000));
	}
}

static void act_revokes(struct round *r)
{
	for (int i = 0; i < 3; i++) {
		struct nvme_dmabuf_refresh args = { .size = sizeof(args), .map = r->map };

		move(r, EXPORTER_MOVE_REVOKE | (rnd() % 2 ? EXPORTER_MOVE_COPY : 0));
		pause_us(rnd_below(2000));
		move(r, EXPORTER_MOVE_RESTORE);
		check_sys(ioctl(r->fd, NVME_DMABUF_IOC_REFRESH, &args));
		pause_us(rnd_below(2000));
	}
}

static void act_detaches(struct round *r)
{
	uint32_t *const maps[] = { &r->map, &r->auto_map };
	static const uint32_t flags[] = { 0, NVME_DMABUF_ATTACH_AUTO_REFRESH };
	uint32_t map, reason;

	for (int i = 0; i < 8; i++) {
		detach(r, *maps[i % 2]);
		check_eq(try_attach(r, flags[i % 2], &map, &reason), 0);
		set(maps[i % 2], map);
		pause_us(rnd_below(2000));
	}
}

static void act_attaches(struct round *r)
{
	uint32_t maps[4], reason;

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		check_eq(try_attach(r, 0, &maps[i], &reason), 0);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		detach(r, maps[i]);
}

static void act_refreshes(struct round *r)
{
	for (int i = 0; i < 20; i++) {
		struct nvme_dmabuf_refresh args = { .size = sizeof(args), .map = r->map };

		check_sys(ioctl(r->fd, NVME_DMABUF_IOC_REFRESH, &args));
		check_eq(args.out_generation, 1);
	}
}

/* At once something else has its number, and not what users open next. */
static void act_closes(struct round *r)
{
	int other = check_sys(eventfd(0, EFD_CLOEXEC));

	check_sys(dup2(other, r->fd));
	check_sys(close(other));
}

static void act_kills(struct round *r)
{
	check_sys(kill(r->child, SIGKILL));
}

static void act_resets(struct round *r)
{
	for (int i = 0; i < 4; i++) {
		drive_attribute_put(r->w.drive.path, "device/reset_controller", "1");
		pause_us(rnd_below(2000));
	}
}

static void act_takes(struct round *r)
{
	device_take(&r->device);
}

static const struct user users[] = {
	{ "reads", step_reads },
	{ "writes", step_writes },
	{ "refreshing by itself", step_auto },
	{ "fences", step_fences },
	{ "attaching", step_attaches },
	{ "refreshing", step_refreshes },
	{ "looking", step_looks },
	{ "queues", step_queues },
	{ "io_uring", step_uring },
};

#define REASON(name) NVME_DMABUF_REASON_##name

/* clang-format off */
static const struct disturber disturbers[] = {
	{ .name = "the buffer moves", .act = act_moves, .rounds = 1,
	  .refusals = { { ESTALE, REASON(REVOKED) } } },
	{ .name = "the buffer is revoked and restored", .act = act_revokes, .rounds = 1,
	  .refusals = { { ESTALE, REASON(REVOKED) }, { ENODEV, REASON(EXPORTER_REVOKED) } } },
	{ .name = "maps are detached", .act = act_detaches, .rounds = 1,
	  .refusals = { { ENOENT, REASON(NO_MAP) } } },
	{ .name = "others attach", .act = act_attaches, .rounds = 1 },
	{ .name = "others refresh", .act = act_refreshes, .rounds = 1 },
	{ .name = "the context is closed", .act = act_closes, .rounds = 7,
	  .refusals = { { ENOTTY, REASON(NONE) }, { EOPNOTSUPP, REASON(NONE) } } },
	{ .name = "the users are killed", .act = act_kills, .rounds = 7, .kills = true },
	{ .name = "the controller is reset", .act = act_resets, .rounds = 2, .breaks = true,
	  .refusals = { { EIO, REASON(CANCELLED) }, { EIO, REASON(PROBE_FAILED) } } },
	{ .name = "the driver is unbound", .act = act_takes, .rounds = 1, .breaks = true,
	  .takes = true, .way = UNBIND,
	  .refusals = { { ENODEV, REASON(GONE) }, { EIO, REASON(CANCELLED) },
			{ EIO, REASON(PROBE_FAILED) } } },
	{ .name = "the drive is removed", .act = act_takes, .rounds = 3, .breaks = true,
	  .takes = true, .way = REMOVE,
	  .refusals = { { ENODEV, REASON(GONE) }, { EIO, REASON(CANCELLED) },
			{ EIO, REASON(PROBE_FAILED) } } },
	{ .name = "the drive is unplugged", .act = act_takes, .rounds = 3, .breaks = true,
	  .takes = true, .way = UNPLUG,
	  .refusals = { { ENODEV, REASON(GONE) }, { EIO, REASON(CANCELLED) },
			{ EIO, REASON(PROBE_FAILED) } } },
	{ .name = "the drive is pulled out", .act = act_takes, .rounds = 3, .breaks = true,
	  .takes = true, .way = PULL,
	  .refusals = { { ENODEV, REASON(GONE) }, { EIO, REASON(CANCELLED) },
			{ EIO, REASON(PROBE_FAILED) } } },
};
/* clang-format on */

static void *lane_run(void *arg)
{
	struct lane *lane = arg;
	struct round *r = lane->round;
	unsigned int *steps = &r->shared->steps[lane->number];

	rnd_start(1 + lane->number);
	/* At least once, so that there is something to be disturbed. */
	while (r->users[lane->number]->step(r, lane->number)) {
		__atomic_add_fetch(steps, 1, __ATOMIC_RELEASE);
		if (get(&r->shared->stop))
			break;
	}
	/* Whoever waits for it need not wait any longer. */
	__atomic_add_fetch(steps, 1000000, __ATOMIC_RELEASE);
	return NULL;
}

static void lanes_start(struct lane *lanes, struct round *r)
{
	for (unsigned int i = 0; i < LANES; i++) {
		lanes[i] = (struct lane){ .round = r, .number = i };
		check_eq(pthread_create(&lanes[i].handle, NULL, lane_run, &lanes[i]), 0);
	}
}

static void lanes_join(struct lane *lanes)
{
	for (unsigned int i = 0; i < LANES; i++)
		check_eq(pthread_join(lanes[i].handle, NULL), 0);
}

/* A process with a context of its own, so that all of that ends with it. */
static void process_run(struct round *r)
{
	struct lane lanes[LANES];
	uint32_t reason;

	r->fd = device_open();
	check_eq(try_attach(r, 0, &r->map, &reason), 0);
	check_eq(try_attach(r, NVME_DMABUF_ATTACH_AUTO_REFRESH, &r->auto_map, &reason), 0);
	lanes_start(lanes, r);
	lanes_join(lanes);
	_exit(1);
}

static void round_open(struct round *r)
{
	struct exporter_segment segments[BUFFER / PAGE];
	uint32_t reason;

	wire_open(&r->w, r->device.path, WINDOW);
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		segments[i] = (struct exporter_segment){ .length = PAGE };
	exported_create(&r->b, segments, ARRAY_SIZE(segments), EXPORTER_DYNAMIC);
	memset(r->shared, 0, sizeof(*r->shared));
	r->fd = device_open();
	check_eq(try_attach(r, 0, &r->map, &reason), 0);
	check_eq(try_attach(r, NVME_DMABUF_ATTACH_AUTO_REFRESH, &r->auto_map, &reason), 0);
}

/* Each block is as before or as written; the latter if that was reported. */
static void verify_written(struct round *r)
{
	uint32_t block = r->w.drive.block;
	uint8_t *actual = pages_alloc(WINDOW);

	drive_read(&r->w.drive, r->w.first, actual, WINDOW);
	compare("what was only read", actual, r->w.disk, PART, 0);
	for (unsigned int lane = 0; lane < LANES; lane++)
		for (uint64_t at = 0; at < PART; at += block) {
			uint64_t window = (1 + lane) * PART + at;
			const uint8_t *source = r->b.mirror + GUARD + WRITE_AT(lane) + at;

			if (r->shared->written[lane][at / PIECE] ||
			    memcmp(actual + window, r->w.disk + window, block))
				compare("what was written", actual + window, source, block, window);
		}
	munmap(actual, WINDOW);
}

/* What the drive has read and what lies around was not changed by anybody. */
static void verify_buffer(struct round *r)
{
	uint8_t *actual = pages_alloc(BUFFER);

	exported_check_damage(&r->b);
	exported_read(&r->b, 0, actual, BUFFER);
	compare("before the map", actual, r->b.mirror, GUARD, 0);
	compare("parts that were written from", actual + GUARD + WRITE_AT(0),
		r->b.mirror + GUARD + WRITE_AT(0), LANES * PART + GUARD, GUARD + WRITE_AT(0));
	memcpy(r->b.mirror, actual, BUFFER);
	munmap(actual, BUFFER);
}

static void round_close(struct round *r)
{
	uint32_t map, reason;
	struct wire fresh;

	wait_until(!exported_query(&r->b).out_attached);
	check_unused(&r->b);
	if (r->disturber->takes) {
		wire_close(&r->w);
		verify_buffer(r);
		device_return(&r->device);
	} else {
		verify_written(r);
		verify_buffer(r);
		wire_close(&r->w);
	}
	wire_open(&fresh, r->device.path, 64 * KIB);
	check_eq(wire_attach(&fresh, &r->b, 0, r->b.bytes, &map, &reason), 0);
	wire_transfers(&fresh, &r->b, map, 0, r->b.bytes, 0, 1);
	wire_close(&fresh);
	check_unused(&r->b);
	exported_close(&r->b);
}

/* Returns whether commands were in flight when it happened. */
static bool round_run(struct round *r)
{
	unsigned int least = 1 + rnd_below(4);
	struct lane lanes[LANES];
	int status;
	bool busy;

	round_open(r);
	if (r->disturber->kills) {
		r->child = check_sys(fork());
		if (!r->child)
			process_run(r);
	} else {
		lanes_start(lanes, r);
	}
	for (unsigned int i = 0; i < LANES; i++)
		wait_until(get(&r->shared->steps[i]) >= least);
	if (r->patient)
		wait_until(get(&r->shared->done[0]) || get(&r->shared->done[1]));
	pause_us(rnd_below(3000));
	busy = get(&r->shared->busy[0]) || get(&r->shared->busy[1]);
	r->disturber->act(r);
	if (!r->disturber->takes)
		set(&r->shared->stop, 1);
	if (r->disturber->kills) {
		check_eq(check_sys(waitpid(r->child, &status, 0)), r->child);
		check_that(WIFSIGNALED(status), "the users ended by themselves");
	} else {
		lanes_join(lanes);
	}
	check_sys(close(r->fd));
	round_close(r);
	return busy;
}

struct pair {
	const struct disturber *disturber;
	const struct user *users[LANES];
};

static void race(const void *arg)
{
	const struct pair *pair = arg;
	enum way way = pair->disturber->way;
	bool plug = way == UNPLUG || way == PULL;
	const struct known *drive = plug ? &hot_drive : &plain_drive;
	unsigned int rounds = hurry() ? 1 : scaled(pair->disturber->rounds);
	unsigned int done = 0, refusals = 0, busy = 0, enough = 10;
	struct round r = { .disturber = pair->disturber };

	require_erase();
	require_unbind(drive);
	if (plug)
		require_qmp();
	memcpy(r.users, pair->users, sizeof(r.users));
	r.shared = mmap(NULL, sizeof(*r.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	check(r.shared != MAP_FAILED);
	device_find(&r.device, way, drive);
	for (unsigned int i = 0; i < rounds; i++) {
		/* Who is killed early has submitted, but seen no completion. */
		r.patient = pair->disturber->kills && !done && i + 1 == rounds;
		busy += round_run(&r);
		for (unsigned int lane = 0; lane < LANES; lane++) {
			done += r.shared->done[lane];
			refusals += r.shared->refused[lane];
		}
	}
	note("%u commands done, %u refusals, in flight in %u rounds of %u", done, refusals, busy,
	     rounds);
	check(done);
	/* A few may all come between two commands; of what is noticed later the users tell. */
	if (pair->users[0]->step == step_attaches && pair->users[1]->step == step_attaches)
		enough = 100; /* for they attach most of the time */
	check(busy || refusals || rounds < enough);
}

static void add(const struct disturber *disturber, const struct user *one, const struct user *other)
{
	struct pair *pair = malloc(sizeof(*pair));

	*pair = (struct pair){ disturber, { one, other } };
	if (one == other)
		tap_add(race, pair, "%s: %s", one->name, disturber->name);
	else
		tap_add(race, pair, "%s and %s: %s", one->name, other->name, disturber->name);
}

int main(int argc, char **argv)
{
	const size_t count = ARRAY_SIZE(users);

	require_device();
	require_exporter();
	known_remember("PLAIN512", &plain_drive);
	known_remember("HOT", &hot_drive);
	for (size_t d = 0; d < ARRAY_SIZE(disturbers); d++) {
		/* What takes long is done to two users at once, unless there is time. */
		bool pairs = disturbers[d].breaks && hurry();

		for (size_t u = 0; u < count; u += 1 + pairs)
			add(&disturbers[d], &users[u], &users[pairs ? (u + 1) % count : u]);
	}
	return tap_run(argc, argv);
}
