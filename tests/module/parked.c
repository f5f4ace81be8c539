// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has a namespace's queue held as the nvme driver holds it during a controller
 * reset, for longer than anybody should wait: buffers are taken back, maps detached, queues
 * and contexts closed, processes killed, and fences signal all the same. What the drive then
 * gets touches no memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"
#include "line.h"
#include "ring.h"

#define COPY  EXPORTER_MOVE_COPY
#define FORCE EXPORTER_MOVE_FORCE
#define WAIT  EXPORTER_MOVE_WAIT

#define QUIESCE EXPORTER_HOLD_QUIESCE
#define FREEZE	EXPORTER_HOLD_FREEZE

#define COMMANDS 8U
#define LENGTH	 (32 * KIB)
#define WINDOW	 (COMMANDS * LENGTH)

/* What waits for a held namespace ends within so many milliseconds, even on a busy host. */
#define SOON 60000

struct held {
	struct wire w;
	struct exported b;
	uint32_t map;
	struct nvme_dmabuf_command commands[COMMANDS];
};

static void prepare(struct held *h, uint32_t map)
{
	for (unsigned int i = 0; i < COMMANDS; i++) {
		nvmedmabuf_prep_read(&h->commands[i], map, i * LENGTH, LENGTH,
				     h->w.first + i * LENGTH / h->w.drive.block);
		h->commands[i].user_data = RIG_FIRST + i;
	}
}

static void held_open(struct held *h)
{
	uint32_t reason;

	wire_open(&h->w, main_drive(), WINDOW);
	exported_create_pages(&h->b, WINDOW, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&h->w, &h->b, 0, WINDOW, &h->map, &reason), 0);
	prepare(h, h->map);
}

/* Requests of the drive that have not ended, as debugfs tells, or -1. */
static int requests_left(const struct drive *drive)
{
	char pattern[128];
	glob_t files;
	int left = 0;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/block/%s/hctx*/busy",
		 strrchr(drive->path, '/') + 1);
	if (glob(pattern, 0, NULL, &files))
		return -1;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		FILE *file = fopen(files.gl_pathv[i], "re");
		char line[512];

		check(file);
		while (fgets(line, sizeof(line), file))
			left++;
		fclose(file);
	}
	globfree(&files);
	return left;
}

/* Not before the driver's timeout (30 s) looks for completions that nobody looked for. */
static void check_none_left(const struct drive *drive)
{
	uint64_t end = now_ms() + 25000;

	run_quietly("mount -t debugfs none /sys/kernel/debug");
	while (requests_left(drive) > 0) {
		check_that(now_ms() < end, "%d requests are left", requests_left(drive));
		pause_ms();
	}
}

/* Nothing that was ended while it was held has reached the buffer, and all works again. */
static void held_close(struct held *h)
{
	uint32_t map, reason;

	namespace_hold(&h->w.drive, 0);
	check_none_left(&h->w.drive);
	check_eq(wire_attach(&h->w, &h->b, 0, WINDOW, &map, &reason), 0);
	/* These come after what was left in the queue. */
	wire_transfers(&h->w, &h->b, map, 0, WINDOW, 0, 3);
	exported_verify(&h->b);
	wire_close(&h->w);
	check_unused(&h->b);
	exported_close(&h->b);
}

static void check_ended(const struct nvme_dmabuf_completion *c, int error, uint32_t reason)
{
	check(c->user_data >= RIG_FIRST && c->user_data < RIG_FIRST + COMMANDS);
	check_eq(c->error, error);
	check_eq(c->reason, reason);
	check_eq(c->status, 0);
	check_eq(c->bytes, 0);
	check_eq(c->result, 0);
}

static void line_check_ended(struct line *line, int error, uint32_t reason)
{
	struct nvme_dmabuf_completion c;

	line_wait(line, COMMANDS);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		check(line_next(line, &c));
		check_ended(&c, error, reason);
	}
	check(!line_next(line, &c));
}

static const uint32_t plain = 0, polled = NVME_DMABUF_QUEUE_POLLED;

static void revoked(const void *arg)
{
	struct exporter_move move;
	struct line line;
	struct held h;

	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, *(const uint32_t *)arg, 0);
	namespace_hold(&h.w.drive, QUIESCE);
	line_submit(&line, h.commands, COMMANDS);
	check_eq(exported_move(&h.b, COPY | FORCE | WAIT, &move), 0);
	check_eq(move.out_left, 0);
	check_eq(move.out_held, 0);
	line_check_ended(&line, -ESTALE, NVME_DMABUF_REASON_REVOKED);
	line_close(&line);
	held_close(&h);
}

/* The same of commands by io_uring. */
static void revoked_uring(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct exporter_move move;
	struct io_uring ring;
	struct held h;

	(void)arg;
	held_open(&h);
	ring_open(&ring, COMMANDS, 0);
	namespace_hold(&h.w.drive, QUIESCE);
	for (unsigned int i = 0; i < COMMANDS; i++)
		ring_prepare(&ring, nvmedmabuf_fd(h.w.ctx), &h.commands[i]);
	check_eq(io_uring_submit(&ring), COMMANDS);
	check_eq(exported_move(&h.b, COPY | FORCE | WAIT, &move), 0);
	check_eq(move.out_held, 0);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		ring_wait(&ring, &c);
		check_eq(c.error, -ESTALE);
		check_eq(c.reason, NVME_DMABUF_REASON_REVOKED);
	}
	io_uring_queue_exit(&ring);
	held_close(&h);
}

/* The same of PRP lists that are copies. */
static void revoked_aligned(const void *arg)
{
	char align[16] = "512";

	parameter_swap("prp_list_align", align);
	revoked(arg);
	parameter_swap("prp_list_align", align);
}

/* Two maps of one buffer, and commands in several parts. */
static void revoked_parts(const void *arg)
{
	struct nvme_dmabuf_completion c[2];
	struct nvme_dmabuf_command commands[2];
	struct exporter_move move;
	struct exported b;
	uint32_t maps[2], reason;
	struct line line;
	struct wire w;

	(void)arg;
	wire_open(&w, main_drive(), 4 * MIB);
	exported_create_pages(&b, 4 * MIB, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < 2; i++) {
		check_eq(wire_attach(&w, &b, 0, b.bytes, &maps[i], &reason), 0);
		nvmedmabuf_prep_read(&commands[i], maps[i], 0, b.bytes, w.first);
		commands[i].user_data = RIG_FIRST + i;
	}
	line_open(&line, nvmedmabuf_fd(w.ctx), 2, 0, 0);
	namespace_hold(&w.drive, QUIESCE);
	line_submit(&line, commands, 2);
	check_eq(exported_move(&b, COPY | FORCE | WAIT, &move), 0);
	line_wait(&line, 2);
	for (unsigned int i = 0; i < 2; i++) {
		check(line_next(&line, &c[i]));
		check_ended(&c[i], -ESTALE, NVME_DMABUF_REASON_REVOKED);
	}
	check(c[0].user_data != c[1].user_data);
	line_close(&line);
	namespace_hold(&w.drive, 0);
	wire_close(&w);
	exported_verify(&b);
	exported_close(&b);
}

static void detached(const void *arg)
{
	struct line line;
	struct held h;

	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, *(const uint32_t *)arg, 0);
	namespace_hold(&h.w.drive, QUIESCE);
	line_submit(&line, h.commands, COMMANDS);
	check_eq(nvmedmabuf_detach(h.w.ctx, h.map), 0);
	check_unused(&h.b);
	line_check_ended(&line, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
	line_close(&line);
	held_close(&h);
}

/* Only the queue's own commands are ended with it. */
static void queue_closed(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct line line, other;
	struct held h;

	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, *(const uint32_t *)arg, 0);
	line_open(&other, nvmedmabuf_fd(h.w.ctx), COMMANDS, 0, 0);
	namespace_hold(&h.w.drive, QUIESCE);
	line_submit(&line, h.commands, COMMANDS - 1);
	line_submit(&other, &h.commands[COMMANDS - 1], 1);
	line_close(&line);
	check(!line_next(&other, &c));
	namespace_hold(&h.w.drive, 0);
	line_wait(&other, 1);
	check(line_next(&other, &c));
	check_eq(c.error | c.status, 0);
	check_eq(c.bytes, LENGTH);
	/* As the one command has done. */
	memcpy(h.b.mirror + WINDOW - LENGTH, h.w.disk + WINDOW - LENGTH, LENGTH);
	line_close(&other);
	held_close(&h);
}

static const uint32_t quiesced = QUIESCE, frozen = QUIESCE | FREEZE;

static void killed(const void *arg)
{
	struct nvme_dmabuf_completion c[COMMANDS];
	struct held h;
	int status;
	pid_t child;

	held_open(&h);
	check_eq(nvmedmabuf_detach(h.w.ctx, h.map), 0);
	child = check_sys(fork());
	if (!child) {
		uint32_t map, reason;

		h.w.ctx = ctx_open();
		check_eq(wire_attach(&h.w, &h.b, 0, WINDOW, &map, &reason), 0);
		prepare(&h, map);
		namespace_hold(&h.w.drive, *(const uint32_t *)arg);
		nvmedmabuf_submit(h.w.ctx, h.commands, c, COMMANDS);
		_exit(99);
	}
	wait_until(is_in_call(child, NVME_DMABUF_IOC_SUBMIT));
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	wait_until(!exported_query(&h.b).out_attached);
	held_close(&h);
}

/* For where nobody else waits: the driver's own timeout is long. */
static void set_timeouts(struct held *h)
{
	for (unsigned int i = 0; i < COMMANDS; i++)
		h->commands[i].timeout_ms = 1000;
}

/* Of the map only the fence and its commands are left. */
static void fence(const void *arg)
{
	struct nvme_dmabuf_submit args = { .size = sizeof(args), .count = COMMANDS };
	struct pollfd p = { .events = POLLIN };
	struct held h;

	(void)arg;
	held_open(&h);
	set_timeouts(&h);
	namespace_hold(&h.w.drive, QUIESCE);
	args.flags = NVME_DMABUF_SUBMIT_OUT_FENCE;
	args.commands = (uintptr_t)h.commands;
	check_sys(ioctl(nvmedmabuf_fd(h.w.ctx), NVME_DMABUF_IOC_SUBMIT, &args));
	p.fd = args.out_fence_fd;
	check_eq(check_sys(poll(&p, 1, 0)), 0);
	check_eq(check_sys(poll(&p, 1, SOON)), 1);
	check_sys(close(p.fd));
	held_close(&h);
}

/* Nobody waits for them, and they say that the driver gave them up. */
static void late(const void *arg)
{
	struct io_uring ring;
	struct nvme_dmabuf_completion c;
	struct line line;
	struct held h;

	(void)arg;
	held_open(&h);
	ring_open(&ring, COMMANDS, 0);
	set_timeouts(&h);
	namespace_hold(&h.w.drive, QUIESCE);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, 0, 0);
	line_submit(&line, h.commands, COMMANDS);
	ring_prepare(&ring, nvmedmabuf_fd(h.w.ctx), &h.commands[0]);
	check_eq(io_uring_submit(&ring), 1);
	line_check_ended(&line, -EIO, NVME_DMABUF_REASON_CANCELLED);
	ring_wait(&ring, &c);
	check_eq(c.error, -EIO);
	check_eq(c.reason, NVME_DMABUF_REASON_CANCELLED);
	line_close(&line);
	io_uring_queue_exit(&ring);
	held_close(&h);
}

/* A reset that ends in time costs no command anything. */
static void in_time(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct line line;
	struct held h;

	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, *(const uint32_t *)arg, 0);
	for (unsigned int round = 0; round < scaled(20); round++) {
		namespace_hold(&h.w.drive, QUIESCE);
		line_submit(&line, h.commands, COMMANDS);
		namespace_hold(&h.w.drive, 0);
		line_wait(&line, COMMANDS);
		for (unsigned int i = 0; i < COMMANDS; i++) {
			check(line_next(&line, &c));
			check_good(&c);
		}
	}
	memcpy(h.b.mirror, h.w.disk, WINDOW);
	line_close(&line);
	held_close(&h);
}

struct submission {
	struct held *h;
	struct nvme_dmabuf_completion c[COMMANDS];
	volatile pid_t thread;
	int result;
	pthread_t handle;
};

static void *submission_run(void *arg)
{
	struct submission *s = arg;

	s->thread = gettid();
	s->result = nvmedmabuf_submit(s->h->w.ctx, s->h->commands, s->c, COMMANDS);
	return NULL;
}

/* While the driver lets no request in, others of the context go on. */
static void frozen_detached(const void *arg)
{
	struct submission s;
	struct held h;

	(void)arg;
	held_open(&h);
	s.h = &h;
	s.thread = 0;
	namespace_hold(&h.w.drive, QUIESCE | FREEZE);
	check_eq(pthread_create(&s.handle, NULL, submission_run, &s), 0);
	wait_until(s.thread && stays_in_call(s.thread, NVME_DMABUF_IOC_SUBMIT));
	check_eq(nvmedmabuf_detach(h.w.ctx, h.map), 0);
	check_unused(&h.b);
	/* It has waited for the drive, and for nothing that it could have been told. */
	namespace_hold(&h.w.drive, 0);
	check_eq(pthread_join(s.handle, NULL), 0);
	check_eq(s.result, COMMANDS);
	for (unsigned int i = 0; i < COMMANDS; i++)
		check_ended(&s.c[i], -ENOENT, NVME_DMABUF_REASON_NO_MAP);
	held_close(&h);
}

static void frozen_entered(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg;
	struct nvme_dmabuf_enter args;
	struct line line;
	struct held h;
	uint64_t begin;

	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, flags, 0);
	namespace_hold(&h.w.drive, QUIESCE | FREEZE);
	begin = now_ms();
	check_eq(line_enter(&line, h.commands, COMMANDS, 0, 50000000, 0, &args), -EAGAIN);
	check(now_ms() - begin >= 50);
	check_eq(line_enter(&line, h.commands, COMMANDS, 0, 0, NVME_DMABUF_ENTER_NOWAIT, &args),
		 -EAGAIN);
	line_close(&line);
	held_close(&h);
}

/* Is a worker of this process's io_uring waiting in the module? */
static bool worker_waits(pid_t process)
{
	char pattern[64], stack[4096];
	bool found = false;
	glob_t files;

	snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stack", process);
	if (glob(pattern, 0, NULL, &files))
		return false;
	for (size_t i = 0; i < files.gl_pathc && !found; i++) {
		int fd = open(files.gl_pathv[i], O_RDONLY | O_CLOEXEC);
		ssize_t length = fd < 0 ? -1 : read(fd, stack, sizeof(stack) - 1);

		if (fd >= 0)
			close(fd);
		stack[length < 0 ? 0 : length] = 0;
		found = strstr(stack, "io_wq_") && strstr(stack, "nvdm_");
	}
	globfree(&files);
	return found;
}

static bool is_stopped(pid_t thread)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", thread);
	file = fopen(path, "re");
	check(file && fscanf(file, "%*d %*s %c", &state) == 1);
	fclose(file);
	return state == 'T';
}

/*
 * A process is stopped, and goes on, while workers of its io_uring wait for the driver. They
 * are told by the same flag as of a signal, but no command fails for that. A process that is
 * frozen, as for a suspend, is told in the same way. (Its other threads stop; the process as
 * a whole does not count as stopped while a worker waits.)
 */
static void frozen_stopped(const void *arg)
{
	struct held h;
	int status;
	pid_t child;

	(void)arg;
	held_open(&h);
	namespace_hold(&h.w.drive, QUIESCE | FREEZE);
	child = check_sys(fork());
	if (!child) {
		struct nvme_dmabuf_completion c;
		struct io_uring ring;
		int failed = 0;

		ring_open(&ring, COMMANDS, 0);
		for (unsigned int i = 0; i < COMMANDS; i++)
			ring_prepare(&ring, nvmedmabuf_fd(h.w.ctx), &h.commands[i]);
		if (io_uring_submit(&ring) != COMMANDS)
			_exit(99);
		for (unsigned int i = 0; i < COMMANDS; i++) {
			ring_wait(&ring, &c);
			failed |= c.error ? -c.error : c.status;
		}
		_exit(failed);
	}
	wait_until(worker_waits(child));
	for (unsigned int i = 0; i < 3; i++) {
		check_sys(kill(child, SIGSTOP));
		wait_until(is_stopped(child));
		check_sys(kill(child, SIGCONT));
		pause_ms();
	}
	check(worker_waits(child));
	namespace_hold(&h.w.drive, 0);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFEXITED(status));
	check_eq(WEXITSTATUS(status), 0);
	memcpy(h.b.mirror, h.w.disk, WINDOW);
	held_close(&h);
}

/* Test reads are given up with who waits for them. */
static void attach_killed(const void *arg)
{
	uint32_t hold = *(const uint32_t *)arg;
	struct held h;
	int status;
	pid_t child;

	held_open(&h);
	child = check_sys(fork());
	if (!child) {
		uint32_t map, reason;

		h.w.ctx = ctx_open();
		namespace_hold(&h.w.drive, hold);
		wire_attach(&h.w, &h.b, 0, WINDOW, &map, &reason);
		_exit(99);
	}
	wait_until(is_in_call(child, NVME_DMABUF_IOC_ATTACH));
	pause_ms();
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	held_close(&h);
}

/* What is left to the block layer needs the module no more. */
static void module_unloaded(const void *arg)
{
	struct exporter_move move;
	struct line line;
	struct held h;

	(void)arg;
	require_disposable();
	held_open(&h);
	line_open(&line, nvmedmabuf_fd(h.w.ctx), COMMANDS, 0, 0);
	namespace_hold(&h.w.drive, QUIESCE);
	line_submit(&line, h.commands, COMMANDS);
	check_eq(exported_move(&h.b, COPY | FORCE | WAIT, &move), 0);
	line_close(&line);
	nvmedmabuf_close(h.w.ctx);
	check_eq(module_remove(), 0);
	namespace_hold(&h.w.drive, 0);
	module_insert(module_path(), "");
	h.w.ctx = ctx_open();
	held_close(&h);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	require_erase();
	tap_add(revoked, &plain, "a buffer is taken back");
	tap_add(revoked, &polled, "a buffer is taken back, polled queue");
	tap_add(revoked_uring, NULL, "a buffer is taken back, io_uring");
	tap_add(revoked_aligned, &plain, "a buffer is taken back, lists with alignment");
	tap_add(revoked_parts, NULL, "a buffer is taken back, two maps and split commands");
	tap_add(detached, &plain, "a map is detached");
	tap_add(detached, &polled, "a map is detached, polled queue");
	tap_add(queue_closed, &plain, "a queue is closed");
	tap_add(queue_closed, &polled, "a polled queue is closed");
	tap_add(killed, &quiesced, "a process is killed");
	tap_add(fence, NULL, "a fence signals");
	tap_add(late, NULL, "commands that nobody waits for end");
	tap_add(in_time, &plain, "a short hold costs no command an error");
	tap_add(in_time, &polled, "a short hold costs no command an error, polled queue");
	tap_add(frozen_detached, NULL, "no new requests: a map is detached");
	tap_add(killed, &frozen, "no new requests: a process is killed");
	tap_add(frozen_entered, &plain, "no new requests: a timeout");
	tap_add(frozen_entered, &polled, "no new requests: a timeout, polled queue");
	tap_add(frozen_stopped, NULL, "no new requests: a process is stopped, io_uring");
	tap_add(attach_killed, &quiesced, "a process is killed that attaches");
	tap_add(attach_killed, &frozen, "no new requests: a process is killed that attaches");
	tap_add(module_unloaded, NULL, "the module is unloaded");
	return tap_run(argc, argv);
}
