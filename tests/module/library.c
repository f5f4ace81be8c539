// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test keeps commands in flight through the library's queues, by each of their
 * front ends, with interrupts and polling, and verifies all data.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slow.h"

#define POLLED KIND_POLLED
#define URING  KIND_URING

static const struct nvmedmabuf_submit_params nowait = { .size = sizeof(nowait), .nowait = true };

/* What a test is run on, and how. */
struct way {
	const char *path;
	uint32_t flags;
};

static const char *way_name(uint32_t flags)
{
	static const char *const names[] = {
		[0] = "ioctl",
		[POLLED] = "ioctl, polled",
		[URING] = "io_uring",
		[URING | POLLED] = "io_uring, polled",
	};

	return names[flags];
}

static struct nvmedmabuf_queue *queue_create(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags)
{
	struct nvmedmabuf_queue *queue;
	int result = queue_of(ctx, depth, flags, &queue);

	if (result == -EOPNOTSUPP && flags & URING)
		skip("no io_uring here");
	check_that(!result, "no queue: %s", strerror(-result));
	return queue;
}

static void rig_for_queues(struct rig *rig, const struct way *way, uint64_t size)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };

	rig_open(rig, way->path, exporter_any(), size, size);
	rig_attach_all(rig);
	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, &info), 0);
	if (way->flags & POLLED && !(info.out_flags & NVME_DMABUF_NS_POLL))
		note("the drive has no polled queues");
}

static void check_completed(const struct nvme_dmabuf_completion *c, uint64_t bytes)
{
	check_that(!c->error && !c->status && !c->reason && c->bytes == bytes,
		   "error %d, status %#x, reason %s, %llu of %llu bytes", c->error, c->status,
		   nvmedmabuf_reason_name(c->reason), (unsigned long long)c->bytes,
		   (unsigned long long)bytes);
}

/*
 * Mixed commands. Each slot is a part of the buffer and of the window that one command
 * at a time uses; the number of the command is its user_data.
 */

#define DEPTH	  24U
#define SLOT_SIZE (192 * KIB)

struct slot {
	struct nvme_dmabuf_command command;
	uint64_t number;
	bool busy;
};

struct traffic {
	struct rig rig;
	struct nvmedmabuf_queue *queue;
	struct slot slots[DEPTH];
	uint64_t prepared, submitted, read;
};

static struct slot *idle_slot(struct traffic *t)
{
	unsigned int n = rnd_below(DEPTH);

	while (t->slots[n].busy)
		n = (n + 1) % DEPTH;
	return &t->slots[n];
}

static void prepare_some(struct traffic *t, uint64_t total)
{
	uint64_t block = t->rig.drive.block;
	unsigned int most = 1 + rnd_below(DEPTH);
	struct nvme_dmabuf_command *cmd;

	buffer_begin_cpu(&t->rig.buffer);
	while (most-- && t->prepared < total && (cmd = nvmedmabuf_queue_get(t->queue))) {
		struct slot *slot = idle_slot(t);
		uint64_t start = (slot - t->slots) * SLOT_SIZE, room = rnd_below(8) * 4, length;

		length = (1 + rnd_below(rnd() % 4 ? 16 * KIB / block : SLOT_SIZE / block - 1)) *
			 block;
		nvmedmabuf_prep_read(cmd, t->rig.map, start + room, length,
				     t->rig.first + start / block);
		if (may_erase() && rnd() % 2)
			cmd->opcode = NVME_DMABUF_OP_WRITE;
		cmd->user_data = t->prepared << 8 | (slot - t->slots);
		rig_prepare_one(&t->rig, cmd);
		*slot = (struct slot){ *cmd, t->prepared++, true };
	}
	buffer_end_cpu(&t->rig.buffer);
}

static void completed(struct traffic *t, const struct nvme_dmabuf_completion *c)
{
	struct slot *slot = &t->slots[c->user_data & 0xff];
	uint64_t start = (slot - t->slots) * SLOT_SIZE;

	check((c->user_data & 0xff) < DEPTH);
	check(slot->busy);
	check_eq(c->user_data >> 8, slot->number);
	check_completed(c, slot->command.length);
	buffer_begin_cpu(&t->rig.buffer);
	compare("dma-buf", t->rig.buffer.addr + start, t->rig.mirror + start, SLOT_SIZE, start);
	buffer_end_cpu(&t->rig.buffer);
	slot->busy = false;
	t->read++;
}

static void read_some(struct traffic *t)
{
	struct nvme_dmabuf_completion c[DEPTH];
	unsigned int most = 1 + rnd_below(DEPTH);
	int count = nvmedmabuf_queue_reap(t->queue, c, most);

	check(count >= 0 && count <= (int)most);
	for (int i = 0; i < count; i++)
		completed(t, &c[i]);
}

/* Waits for some completions, perhaps not for long. */
static void submit_and_wait(struct traffic *t)
{
	uint32_t want = rnd_below(DEPTH + 2);
	uint64_t timeout = rnd() % 3 ? 0 : 1 + rnd_below(2000000);
	const struct nvmedmabuf_submit_params params = {
		.size = sizeof(params),
		.nowait = rnd() % 2,
	};
	int result = nvmedmabuf_queue_submit_with(t->queue, want, timeout, &params);

	if (result == -EAGAIN) {
		check(params.nowait || timeout);
		return;
	}
	if (result == -ETIME) {
		check(timeout);
		return;
	}
	check(result >= 0);
	t->submitted += result;
	check(t->submitted <= t->prepared);
}

static void mixed(const void *arg)
{
	const struct way *way = arg;
	uint64_t total = scaled(300);
	struct traffic t = { .read = 0 };

	rig_for_queues(&t.rig, way, DEPTH * SLOT_SIZE);
	t.queue = queue_create(t.rig.ctx, DEPTH, way->flags);
	while (t.read < total) {
		prepare_some(&t, total);
		check(t.prepared - t.read <= DEPTH);
		submit_and_wait(&t);
		read_some(&t);
	}
	check_eq(t.submitted, total);
	nvmedmabuf_queue_free(t.queue);
	rig_verify(&t.rig);
	rig_close(&t.rig);
}

/* Short reads of different blocks to different places, as many as can be prepared. */
static unsigned int prepare_reads(struct rig *rig, struct nvmedmabuf_queue *queue)
{
	struct nvme_dmabuf_command *cmd;
	uint32_t block = rig->drive.block;
	unsigned int n;

	buffer_begin_cpu(&rig->buffer);
	for (n = 0; (cmd = nvmedmabuf_queue_get(queue)); n++) {
		nvmedmabuf_prep_read(cmd, rig->map, n * block, block, rig->first + n);
		cmd->user_data = n;
		rig_prepare_one(rig, cmd);
	}
	buffer_end_cpu(&rig->buffer);
	return n;
}

/* What is not read keeps its place. */
static void depths(const void *arg)
{
	static const uint32_t depths[] = { 1, 2, 3, 31, 64 };
	const struct way *way = arg;
	struct nvme_dmabuf_completion c[64];
	struct nvmedmabuf_queue *queue;
	struct rig rig;

	rig_for_queues(&rig, way, MIB);
	for (unsigned int i = 0; i < ARRAY_SIZE(depths); i++) {
		uint32_t depth = depths[i];

		queue = queue_create(rig.ctx, depth, way->flags);
		for (unsigned int round = 0; round < 3; round++) {
			check_eq(prepare_reads(&rig, queue), depth);
			check_eq(nvmedmabuf_queue_submit(queue, ~0U, 0), depth);
			check_eq(nvmedmabuf_queue_submit(queue, ~0U, 0), 0);
			check(!nvmedmabuf_queue_get(queue));
			check_eq(nvmedmabuf_queue_reap(queue, c, 1), 1);
			check(nvmedmabuf_queue_get(queue));
			check(!nvmedmabuf_queue_get(queue));
			check_eq(nvmedmabuf_queue_reap(queue, c + 1, 64), depth - 1);
			for (unsigned int n = 0; n < depth; n++)
				check_completed(&c[n], rig.drive.block);
			rig_verify(&rig);
			nvmedmabuf_queue_free(queue);
			queue = queue_create(rig.ctx, depth, way->flags);
		}
		nvmedmabuf_queue_free(queue);
	}
	rig_close(&rig);
}

/* More at once than the drive has room for. */
static void deepest(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_completion *c;
	struct nvmedmabuf_queue *queue;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	uint32_t submitted = 0, done = 0, depth;
	struct rig rig;

	rig_for_queues(&rig, way, 16 * MIB);
	check_eq(nvmedmabuf_get_info(rig.ctx, &info), 0);
	depth = info.out_max_depth;
	c = calloc(depth, sizeof(*c));
	check(c);
	queue = queue_create(rig.ctx, depth, way->flags);
	check_eq(prepare_reads(&rig, queue), depth);
	while (done < depth) {
		int result = nvmedmabuf_queue_submit_with(queue, 1, 0, &nowait);

		if (result == -EAGAIN)
			pause_ms();
		else
			check(result >= 0);
		submitted += result < 0 ? 0 : result;
		done += nvmedmabuf_queue_reap(queue, c + done, depth - done);
		check(done <= submitted);
	}
	check_eq(submitted, depth);
	for (uint32_t n = 0; n < depth; n++)
		check_completed(&c[n], rig.drive.block);
	nvmedmabuf_queue_free(queue);
	rig_verify(&rig);
	free(c);
	rig_close(&rig);
}

/* A command that is refused says why, and stops no other. */
static void refused(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_command *cmd;
	struct nvme_dmabuf_completion c[4];
	struct nvmedmabuf_queue *queue;
	struct rig rig;

	rig_for_queues(&rig, way, MIB);
	queue = queue_create(rig.ctx, 4, way->flags);
	for (unsigned int n = 0; n < 4; n++) {
		cmd = nvmedmabuf_queue_get(queue);
		nvmedmabuf_prep_read(cmd, rig.map, n * rig.drive.block, rig.drive.block,
				     rig.first + n);
		cmd->user_data = n;
		if (n == 1)
			cmd->map = 999;
		if (n == 2)
			cmd->slba = rig.drive.blocks;
	}
	check_eq(nvmedmabuf_queue_submit(queue, 4, 0), 4);
	check_eq(nvmedmabuf_queue_reap(queue, c, 4), 4);
	for (unsigned int n = 0; n < 4; n++) {
		if (c[n].user_data == 1) {
			check_eq(c[n].error, -ENOENT);
			check_eq(c[n].reason, NVME_DMABUF_REASON_NO_MAP);
			check_eq(c[n].bytes, 0);
		} else if (c[n].user_data == 2) {
			check_eq(c[n].error, -ERANGE);
			check_eq(c[n].reason, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
			check_eq(c[n].bytes, 0);
		} else {
			check_completed(&c[n], rig.drive.block);
		}
	}
	nvmedmabuf_queue_free(queue);
	rig_close(&rig);
}

/* A read of which the drive can do a part. */
static void failed(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_command *cmd;
	struct nvme_dmabuf_completion c;
	struct nvmedmabuf_queue *queue;
	struct drive drive;
	struct buffer buffer;
	struct nvmedmabuf *ctx;
	uint32_t map;

	drive_open(&drive, drive_path("ERR"));
	buffer_alloc(&buffer, exporter_any(), MIB);
	ctx = ctx_open();
	map = attach(ctx, buffer.fd, drive.fd, 0, MIB, NVME_DMABUF_ACCESS_READ);
	queue = queue_create(ctx, 1, way->flags);
	cmd = nvmedmabuf_queue_get(queue);
	nvmedmabuf_prep_read(cmd, map, 0, 512, 2048);
	check_eq(nvmedmabuf_queue_submit(queue, 1, 0), 1);
	check_eq(nvmedmabuf_queue_reap(queue, &c, 1), 1);
	check_eq(c.error, 0);
	check_eq(c.status & 0x7ff, 0x281);
	check_eq(c.bytes, 0);
	check_eq(c.reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_queue_free(queue);
	nvmedmabuf_close(ctx);
	buffer_free(&buffer);
	drive_close(&drive);
}

/* poll() tells when there is something to read. */
static void polling(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_completion c[8];
	struct nvmedmabuf_queue *queue;
	struct pollfd p = { .events = POLLIN };
	unsigned int done = 0;
	struct rig rig;

	rig_for_queues(&rig, way, MIB);
	queue = queue_create(rig.ctx, 8, way->flags);
	p.fd = nvmedmabuf_queue_fd(queue);
	check_eq(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
	check_eq(poll(&p, 1, 0), 0);
	prepare_reads(&rig, queue);
	check_eq(poll(&p, 1, 0), 0);
	check_eq(nvmedmabuf_queue_submit(queue, 0, 0), 8);
	while (done < 8) {
		int count;

		if (!(way->flags & POLLED))
			check_eq(poll(&p, 1, 60000), 1);
		count = nvmedmabuf_queue_reap(queue, c, 8);
		check(count || way->flags & POLLED);
		done += count;
	}
	check_eq(poll(&p, 1, 0), 0);
	nvmedmabuf_queue_free(queue);
	rig_verify(&rig);
	rig_close(&rig);
}

/* On a drive that takes a second for a MiB. */

#define SLOW_COUNT 16U

struct slow {
	struct rig rig;
	struct nvmedmabuf_queue *queue;
};

static void slow_start(struct slow *s, const struct way *way)
{
	uint64_t length = SLOW_LENGTH;
	struct nvme_dmabuf_command *cmd;

	rig_for_queues(&s->rig, &(struct way){ drive_path("SLOW"), way->flags },
		       SLOW_COUNT * length);
	s->queue = queue_create(s->rig.ctx, SLOW_COUNT + 1, way->flags);
	for (unsigned int n = 0; n < SLOW_COUNT; n++) {
		cmd = nvmedmabuf_queue_get(s->queue);
		nvmedmabuf_prep_read(cmd, s->rig.map, n * length, length,
				     s->rig.first + n * length / s->rig.drive.block);
		rig_prepare(&s->rig, cmd, 1);
	}
}

static void slow_end(struct slow *s)
{
	nvmedmabuf_queue_free(s->queue);
	rig_verify(&s->rig);
	rig_close(&s->rig);
}

static int slow_read(struct slow *s)
{
	struct nvme_dmabuf_completion c[SLOW_COUNT];
	int count = nvmedmabuf_queue_reap(s->queue, c, SLOW_COUNT);

	for (int n = 0; n < count; n++)
		check_completed(&c[n], SLOW_LENGTH);
	return count;
}

/* Not all of the commands can be done in that time. */
static void timeouts(const void *arg)
{
	const uint64_t timeout_ms = 30;
	struct slow s;
	int done = 0;

	slow_start(&s, arg);
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t start = now_ms();

		check_eq(nvmedmabuf_queue_submit(s.queue, ~0U, timeout_ms * 1000000),
			 i ? -ETIME : (int)SLOW_COUNT);
		check(now_ms() - start >= timeout_ms);
		done += slow_read(&s);
		check(done < (int)SLOW_COUNT);
	}
	check_eq(nvmedmabuf_queue_submit(s.queue, ~0U, 0), 0);
	done += slow_read(&s);
	check_eq(done, SLOW_COUNT);
	slow_end(&s);
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
	(void)signal;
	alarms++;
}

/* On a slow machine all of them may have been read before the signal comes. */
static bool interrupted(struct slow *s, const struct way *way)
{
	struct itimerval soon = { .it_value.tv_usec = 50000 };
	int result;

	alarms = 0;
	slow_start(s, way);
	check_eq(nvmedmabuf_queue_submit(s->queue, 0, 0), SLOW_COUNT);
	check_sys(setitimer(ITIMER_REAL, &soon, NULL));
	result = nvmedmabuf_queue_submit(s->queue, ~0U, 0);
	wait_until(alarms);
	if (!result) {
		check_eq(slow_read(s), SLOW_COUNT);
		slow_end(s);
		return false;
	}
	check_eq(result, -EINTR);
	check(slow_read(s) < (int)SLOW_COUNT);
	/* A queue that is freed waits on. */
	check_sys(setitimer(ITIMER_REAL, &soon, NULL));
	slow_end(s);
	wait_until(alarms == 2);
	return true;
}

static void signals(const void *arg)
{
	struct sigaction action = { .sa_handler = count_alarm };

	check_sys(sigaction(SIGALRM, &action, NULL));
	for (struct slow s; !interrupted(&s, arg);)
		note("all was read before the signal came");
}

/* An eventfd counts, and can be waited for. */
static void told_by_eventfd(const void *arg)
{
	const struct way *way = arg;
	struct nvmedmabuf_queue_params params = {
		.size = sizeof(params),
		.uring = way->flags & URING,
		.event = true,
	};
	struct nvme_dmabuf_completion c[4];
	struct nvmedmabuf_queue *queue;
	struct pollfd poller;
	unsigned int done = 0;
	uint64_t count;
	struct rig rig;
	int result;

	rig_for_queues(&rig, way, MIB);
	params.event_fd = rig.buffer.fd;
	result = nvmedmabuf_queue_create(rig.ctx, 4, &params, &queue);
	if (result == -EOPNOTSUPP && params.uring)
		skip("no io_uring here");
	/* io_uring says EINVAL of what is no eventfd. */
	check(result == -EBADF || (params.uring && result == -EINVAL));
	params.event_fd = check_sys(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	params.polled = true;
	check_eq(nvmedmabuf_queue_create(rig.ctx, 4, &params, &queue), -EINVAL);
	params.polled = false;
	check_eq(nvmedmabuf_queue_create(rig.ctx, 4, &params, &queue), 0);
	poller = (struct pollfd){ .fd = params.event_fd, .events = POLLIN };
	check_eq(poll(&poller, 1, 0), 0);
	check_eq(prepare_reads(&rig, queue), 4);
	check_eq(nvmedmabuf_queue_submit(queue, 0, 0), 4);
	while (done < 4) {
		check_eq(poll(&poller, 1, -1), 1);
		check_eq(read(params.event_fd, &count, sizeof(count)), sizeof(count));
		check(count);
		done += nvmedmabuf_queue_reap(queue, c, ARRAY_SIZE(c));
	}
	nvmedmabuf_queue_free(queue);
	check_sys(close(params.event_fd));
	rig_close(&rig);
}

static void *submitting_run(void *arg)
{
	check_eq(nvmedmabuf_queue_submit(arg, 4, 0), 4);
	return NULL;
}

/* Prepared by one thread, submitted by another, read by the first; which may be gone. */
static void handed_over(const void *arg)
{
	struct nvmedmabuf_queue *queue;
	struct nvme_dmabuf_completion c[8];
	pthread_t thread;
	struct rig rig;

	rig_for_queues(&rig, arg, MIB);
	queue = queue_create(rig.ctx, 4, 0);
	for (unsigned int i = 0; i < 3; i++) {
		check_eq(prepare_reads(&rig, queue), 4);
		check_eq(pthread_create(&thread, NULL, submitting_run, queue), 0);
		check_eq(pthread_join(thread, NULL), 0);
		check_eq(nvmedmabuf_queue_reap(queue, c, ARRAY_SIZE(c)), 4);
	}
	nvmedmabuf_queue_free(queue);
	rig_close(&rig);
}

/* Of 4 KiB blocks too. */
#define STORAGE_BYTES (2 * MIB)

/* A namespace by its path: positions in bytes, several parts of the buffer at once. */
static void storage_in_parts(const void *arg)
{
	const struct way *way = arg;
	struct nvmedmabuf_attach_params params = { .size = sizeof(params),
						   .length = STORAGE_BYTES };
	struct nvme_dmabuf_completion c;
	struct nvmedmabuf_storage *storage;
	struct nvmedmabuf_range ranges[70];
	uint64_t block, position, bytes = 0;
	uint32_t reason;
	struct rig rig;

	rig_open(&rig, way->path, exporter_any(), STORAGE_BYTES, STORAGE_BYTES);
	block = rig.drive.block;
	position = rig.first * block;
	params.access = may_erase() ? NVMEDMABUF_ACCESS_READ_WRITE : NVMEDMABUF_ACCESS_READ;
	params.dmabuf_fd = rig.buffer.fd;
	check_eq(nvmedmabuf_storage_open(rig.ctx, way->path, params.access, &storage, &reason), 0);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	check_eq(nvmedmabuf_storage_block_size(storage), block);
	check(nvmedmabuf_storage_size(storage) >= position + STORAGE_BYTES);
	check_eq(nvmedmabuf_storage_attach(storage, &params, &rig.map, &reason), 0);
	rig.length = STORAGE_BYTES;
	/* From the end of the buffer to its start, with room between them. */
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		ranges[i].length = (1 + i % 2) * block;
		ranges[i].offset = STORAGE_BYTES - (i + 1) * 3 * block;
		bytes += ranges[i].length;
	}
	check_eq(nvmedmabuf_storage_readv(storage, rig.map, ranges, ARRAY_SIZE(ranges), position,
					  &c),
		 0);
	check_eq(c.bytes, bytes);
	for (uint64_t i = 0, at = 0; i < ARRAY_SIZE(ranges); at += ranges[i++].length)
		memcpy(rig.mirror + ranges[i].offset, rig.disk + at, ranges[i].length);
	rig_verify(&rig);
	check_eq(nvmedmabuf_storage_read(storage, rig.map, 0, block, position + 1, &c), -EINVAL);
	nvmedmabuf_storage_close(storage);
	rig_close(&rig);
}

/* What is in flight is waited for although a child has the queue as well. */
static void freed_in_flight(const void *arg)
{
	int pipes[2], status;
	struct slow s;
	pid_t child;
	char byte;

	slow_start(&s, arg);
	check_eq(nvmedmabuf_queue_submit(s.queue, 0, 0), SLOW_COUNT);
	check(nvmedmabuf_queue_get(s.queue));
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) != 0);
	}
	nvmedmabuf_queue_free(s.queue);
	rig_verify(&s.rig);
	close(pipes[1]);
	check_eq(waitpid(child, &status, 0), child);
	check_eq(status, 0);
	rig_close(&s.rig);
}

/* What is prepared and not submitted is not executed. */
static void dropped(const void *arg)
{
	const struct way *way = arg;
	struct nvmedmabuf_queue *queue;
	struct nvme_dmabuf_command *cmd;
	struct rig rig;

	rig_for_queues(&rig, way, MIB);
	for (unsigned int n = 1; n <= 4; n++) {
		queue = queue_create(rig.ctx, 4, way->flags);
		for (unsigned int i = 0; i < n; i++) {
			cmd = nvmedmabuf_queue_get(queue);
			nvmedmabuf_prep_read(cmd, rig.map, i * rig.drive.block, rig.drive.block,
					     rig.first + i);
			if (i + 1 == n)
				break;
			rig_prepare(&rig, cmd, 1);
			if (i + 2 == n)
				check_eq(nvmedmabuf_queue_submit(queue, 0, 0), n - 1);
		}
		nvmedmabuf_queue_free(queue);
		rig_verify(&rig);
	}
	rig_close(&rig);
}

static void limits(const void *arg)
{
	const struct way *way = arg;
	struct nvmedmabuf_queue *queue, **queues;
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	uint32_t n;

	check_eq(nvmedmabuf_get_info(ctx, &info), 0);
	nvmedmabuf_queue_free(queue_create(ctx, info.out_max_depth, way->flags));
	check_eq(queue_of(ctx, info.out_max_depth + 1, way->flags, &queue), -ENOSPC);
	check_eq(queue_of(ctx, 0, way->flags, &queue), -EINVAL);
	if (!(way->flags & URING)) {
		queues = calloc(info.out_max_queues, sizeof(*queues));
		check(queues);
		for (n = 0; n < info.out_max_queues; n++)
			queues[n] = queue_create(ctx, 1, way->flags);
		check_eq(queue_of(ctx, 1, way->flags, &queue), -ENOSPC);
		while (n--)
			nvmedmabuf_queue_free(queues[n]);
		free(queues);
	}
	nvmedmabuf_close(ctx);
}

static void switched_off(const void *arg)
{
	const char *path = "/proc/sys/kernel/io_uring_disabled";
	struct nvmedmabuf_queue *queue;
	struct nvmedmabuf *ctx;
	int result;

	(void)arg;
	require_disposable();
	ctx = ctx_open();
	if (!file_put(path, "2"))
		skip("this kernel's io_uring cannot be switched off");
	result = queue_of(ctx, 1, URING, &queue);
	check(file_put(path, "0"));
	check_eq(result, -EOPNOTSUPP);
	nvmedmabuf_close(ctx);
}

int main(int argc, char **argv)
{
	static const uint32_t flags[] = { 0, POLLED, URING, URING | POLLED };
	static struct way ways[ARRAY_SIZE(flags)][4];
	const char *paths[4], *splits = getenv("NVME_DMABUF_NS_SMALLMDTS");
	unsigned int drive_count;

	require_device();
	drive_count = plain_drives(paths);
	if (!drive_count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");
	if (splits && *splits)
		paths[drive_count++] = splits;

	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		const char *name = way_name(flags[i]);
		const struct way *way = ways[i];

		for (unsigned int j = 0; j < drive_count; j++) {
			ways[i][j] = (struct way){ paths[j], flags[i] };
			tap_add(mixed, &ways[i][j], "%s: %s: mixed", name, drive_name(paths[j]));
		}
		tap_add(depths, way, "%s: depth", name);
		tap_add(deepest, way, "%s: as deep as can be", name);
		tap_add(refused, way, "%s: refused commands", name);
		tap_add(failed, way, "%s: a command that fails", name);
		tap_add(polling, way, "%s: poll()", name);
		tap_add(timeouts, way, "%s: timeouts", name);
		tap_add(signals, way, "%s: signals", name);
		if (!(flags[i] & POLLED))
			tap_add(told_by_eventfd, way, "%s: eventfd", name);
		if (!flags[i])
			tap_add(handed_over, way, "%s: handed to another thread", name);
		tap_add(freed_in_flight, way, "%s: freed with a command in flight", name);
		tap_add(dropped, way, "%s: commands that were not submitted", name);
		tap_add(limits, way, "%s: limits", name);
	}
	for (unsigned int j = 0; j < drive_count; j++)
		tap_add(storage_in_parts, &ways[0][j], "%s: by its path, in parts",
			drive_name(paths[j]));
	tap_add(switched_off, NULL, "io_uring that is switched off");
	return tap_run(argc, argv);
}
