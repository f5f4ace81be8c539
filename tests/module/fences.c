// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test submits commands that wait for fences, and commands for whose end
 * others can wait by a fence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slow.h"
#include "sync.h"

#define IMPLICIT NVME_DMABUF_SUBMIT_IMPLICIT_SYNC
#define IN	 NVME_DMABUF_SUBMIT_IN_FENCE
#define OUT	 NVME_DMABUF_SUBMIT_OUT_FENCE

#define WINDOW (64 * KIB)

/* One command, and how it is to be submitted. */
struct submission {
	struct wire *w;
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_submit args;
	volatile pid_t thread;
	int result;
	pthread_t handle;
};

static int submit(struct submission *s, uint32_t flags, int in_fence)
{
	uint32_t count = s->args.count;

	s->args = (struct nvme_dmabuf_submit){
		.size = sizeof(s->args),
		.flags = flags,
		.commands = (uintptr_t)s->commands,
		.completions = flags & OUT ? 0 : (uintptr_t)&s->completion,
		.count = count,
		.in_fence_fd = in_fence,
		.out_fence_fd = 12345,
	};
	return ioctl(nvmedmabuf_fd(s->w->ctx), NVME_DMABUF_IOC_SUBMIT, &s->args) ? -errno : 0;
}

static void *submission_run(void *arg)
{
	struct submission *s = arg;

	s->thread = gettid();
	s->result = submit(s, s->args.flags, s->args.in_fence_fd);
	return NULL;
}

/* Returns when it waits. */
static void submission_start(struct submission *s, uint32_t flags, int in_fence)
{
	s->thread = 0;
	s->args.flags = flags;
	s->args.in_fence_fd = in_fence;
	check_eq(pthread_create(&s->handle, NULL, submission_run, s), 0);
	wait_until(s->thread && stays_in_call(s->thread, NVME_DMABUF_IOC_SUBMIT));
}

static void submission_join(struct submission *s)
{
	check_eq(pthread_join(s->handle, NULL), 0);
}

static void check_done(const struct submission *s)
{
	check_eq(s->result, 0);
	check_eq(s->args.out_completed, 1);
	check_eq(s->args.out_fence_fd, -1);
	check_eq(s->completion.error | s->completion.status, 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void open_fast(struct wire *w, struct exported *b, struct submission *s)
{
	uint32_t map, reason;

	check(!sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	wire_open(w, main_drive(), WINDOW);
	exported_create_pages(b, MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(w, b, 0, b->bytes, &map, &reason), 0);
	*s = (struct submission){ .w = w, .args.count = 1 };
	nvmedmabuf_prep_read(&s->commands[0], map, 0, WINDOW, w->first);
}

/* The commands' effect on the copy. */
static void verify(struct submission *s, struct exported *b)
{
	memcpy(b->mirror, s->w->disk, WINDOW);
	exported_verify(b);
}

static void in_fence(const void *arg)
{
	struct exported b, other;
	struct submission s;
	struct wire w;
	int fence;

	(void)arg;
	open_fast(&w, &b, &s);
	exported_create_pages(&other, PAGE, 0);
	exported_fence(&other, EXPORTER_FENCE_WRITE, 0);
	fence = sync_export(&other);

	submission_start(&s, IN, fence);
	exported_verify(&b);
	check_eq(pthread_kill(s.handle, SIGUSR1), 0);
	submission_join(&s);
	check_eq(s.result, -EINTR);
	check_eq(s.args.out_completed, 0);
	exported_verify(&b);

	/* While one call waits, nobody else does. */
	submission_start(&s, IN, fence);
	check_eq(nvmedmabuf_read(w.ctx, s.commands[0].map, b.bytes / 2, WINDOW, w.first, NULL), 0);
	memcpy(b.mirror + b.bytes / 2, w.disk, WINDOW);
	exported_verify(&b);
	exported_signal(&other);
	submission_join(&s);
	check_done(&s);
	verify(&s, &b);

	/* One that has signalled. */
	check_eq(sync_status(fence), 1);
	check_eq(submit(&s, IN, fence), 0);
	check_done(&s);
	check_sys(close(fence));
	exported_close(&other);
	exported_close(&b);
	wire_close(&w);
}

/* Who uses the buffer comes first, if that is asked for. */
static void implicit(const void *arg)
{
	static const uint32_t usages[] = { EXPORTER_FENCE_WRITE, EXPORTER_FENCE_READ };
	struct exported b;
	struct submission s;
	struct wire w;

	(void)arg;
	open_fast(&w, &b, &s);
	for (unsigned int i = 0; i < ARRAY_SIZE(usages); i++) {
		exported_fence(&b, usages[i], 0);
		/* Not asked for. */
		check_eq(submit(&s, 0, 0), 0);
		check_done(&s);
		/* The drive writes the buffer: it must be neither read nor written. */
		submission_start(&s, IMPLICIT, 0);
		exported_signal(&b);
		submission_join(&s);
		check_done(&s);
		verify(&s, &b);
	}
	if (may_erase()) {
		uint32_t map = s.commands[0].map;

		nvmedmabuf_prep_write(&s.commands[0], map, 0, WINDOW, w.first);
		/* The drive reads it: others may, too, but not write. */
		exported_fence(&b, EXPORTER_FENCE_READ, 0);
		check_eq(submit(&s, IMPLICIT, 0), 0);
		check_done(&s);
		exported_fence(&b, EXPORTER_FENCE_WRITE, 0);
		submission_start(&s, IMPLICIT, 0);
		exported_signal(&b);
		submission_join(&s);
		check_done(&s);
	}
	exported_close(&b);
	wire_close(&w);
}

/* What waits for fences holds nothing that detaching needs. */
static void detached_meanwhile(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;

	(void)arg;
	open_fast(&w, &b, &s);
	exported_fence(&b, EXPORTER_FENCE_WRITE, 0);
	submission_start(&s, IMPLICIT, 0);
	check_eq(nvmedmabuf_detach(w.ctx, s.commands[0].map), 0);
	exported_signal(&b);
	submission_join(&s);
	check_eq(s.result, 0);
	check_eq(s.completion.error, -ENOENT);
	exported_verify(&b);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

static void open_slow(struct wire *w, struct exported *b, struct submission *s)
{
	uint32_t map, reason;

	wire_open(w, drive_path("SLOW"), WINDOW);
	exported_create_pages(b, 2 * MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(w, b, 0, b->bytes, &map, &reason), 0);
	*s = (struct submission){ .w = w, .args.count = SLOW_COMMANDS };
	slow_commands(s->commands, map, w->drive.block);
}

static void verify_slow(struct submission *s, struct exported *b)
{
	drive_read(&s->w->drive, 0, b->mirror, SLOW_COMMANDS * SLOW_LENGTH);
	exported_verify(b);
}

static void out_fence(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;
	int fence, early;

	(void)arg;
	open_slow(&w, &b, &s);
	check_eq(submit(&s, OUT, 0), 0);
	fence = s.args.out_fence_fd;
	early = sync_status(fence);
	check_eq(s.args.out_completed, 0);
	check_eq(check_sys(fcntl(fence, F_GETFD)), FD_CLOEXEC);
	check(sync_signals(fence, 30000));
	check_eq(sync_status(fence), 1);
	check_that(!early, "the call waited for the drive");
	verify_slow(&s, &b);

	/* One that waits for the other. */
	check_eq(submit(&s, OUT, 0), 0);
	early = s.args.out_fence_fd;
	s.args.count = 1;
	check_eq(submit(&s, IN, early), 0);
	check_done(&s);
	check_eq(sync_status(early), 1);
	check_sys(close(early));
	check_sys(close(fence));
	exported_close(&b);
	wire_close(&w);
}

static void out_fence_fails(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;
	int fence;

	(void)arg;
	open_slow(&w, &b, &s);
	/* One that is refused, among others. */
	s.commands[7].slba = w.drive.blocks;
	check_eq(submit(&s, OUT, 0), 0);
	check(sync_signals(s.args.out_fence_fd, 30000));
	check_eq(sync_status(s.args.out_fence_fd), -ERANGE);
	check_sys(close(s.args.out_fence_fd));
	/* Refused, all of them: the fence has signalled at once. */
	s.commands[0].map += 1000;
	s.args.count = 1;
	check_eq(submit(&s, OUT, 0), 0);
	check_eq(sync_status(s.args.out_fence_fd), -ENOENT);
	/* What depends on it is not done. */
	s.commands[0].map -= 1000;
	memset(&s.completion, 0xa5, sizeof(s.completion));
	fence = s.args.out_fence_fd;
	check_eq(submit(&s, IN, fence), -ECANCELED);
	check_eq(s.args.out_completed, 0);
	check_eq(s.completion.error, (int32_t)0xa5a5a5a5);
	check_sys(close(fence));
	exported_close(&b);
	wire_close(&w);
}

/* The fence outlives the map, the context and the process. */
static void out_fence_outlives(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;
	int fence;

	(void)arg;
	open_slow(&w, &b, &s);
	check_eq(submit(&s, OUT, 0), 0);
	fence = s.args.out_fence_fd;
	check_eq(nvmedmabuf_detach(w.ctx, s.commands[0].map), 0);
	check_eq(sync_status(fence), 1);
	check_sys(close(fence));
	verify_slow(&s, &b);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);

	open_slow(&w, &b, &s);
	check_eq(submit(&s, OUT, 0), 0);
	fence = s.args.out_fence_fd;
	nvmedmabuf_close(w.ctx);
	check_eq(sync_status(fence), 1);
	verify_slow(&s, &b);
	check_unused(&b);
	w.ctx = ctx_open();
	check_sys(close(fence));
	exported_close(&b);
	wire_close(&w);
}

static void out_fence_inherited(const void *arg)
{
	struct exported b;
	struct submission s;
	int pipes[2], status;
	struct wire w;
	pid_t child;
	char byte;

	(void)arg;
	open_slow(&w, &b, &s);
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		check_eq(submit(&s, OUT, 0), 0);
		check_eq(check_sys(write(pipes[1], "x", 1)), 1);
		pause();
	}
	check_eq(check_sys(read(pipes[0], &byte, 1)), 1);
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	/* Its context is ours as well, and lives; its commands go on. */
	check_eq(nvmedmabuf_detach(w.ctx, s.commands[0].map), 0);
	verify_slow(&s, &b);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

static void unload(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;
	int fence;

	(void)arg;
	require_disposable();
	open_slow(&w, &b, &s);
	s.args.count = 1;
	check_eq(submit(&s, OUT, 0), 0);
	fence = s.args.out_fence_fd;
	exported_close(&b);
	wire_close(&w);
	check_eq(file_number("/sys/module/nvme_dmabuf/refcnt"), 1);
	check(!run_quietly("rmmod nvme_dmabuf"));
	check_eq(sync_status(fence), 1);
	check_sys(close(fence));
	wait_until(!file_number("/sys/module/nvme_dmabuf/refcnt"));
}

static void refused(const void *arg)
{
	struct exported b;
	struct submission s;
	struct wire w;
	int fence;

	(void)arg;
	open_fast(&w, &b, &s);
	exported_fence(&b, EXPORTER_FENCE_WRITE, 0);
	fence = sync_export(&b);
	check_eq(submit(&s, IN, -1), -EBADF);
	check_eq(submit(&s, IN, w.drive.fd), -EBADF);
	check_eq(submit(&s, IN, b.fd), -EBADF);
	check_eq(submit(&s, IN, nvmedmabuf_fd(w.ctx)), -EBADF);
	check_eq(submit(&s, 0, fence), -EINVAL);
	check_eq(submit(&s, OUT, fence), -EINVAL);
	check_eq(s.args.out_fence_fd, -1);
	s.args.flags = OUT;
	s.args.completions = (uintptr_t)&s.completion;
	s.args.in_fence_fd = 0;
	check(ioctl(nvmedmabuf_fd(w.ctx), NVME_DMABUF_IOC_SUBMIT, &s.args) == -1);
	check_eq(errno, EINVAL);
	check_eq(s.args.out_fence_fd, -1);
	exported_verify(&b);
	exported_signal(&b);
	exported_close(&b);
	wire_close(&w);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	tap_add(refused, NULL, "malformed");
	tap_add(in_fence, NULL, "commands wait for a sync_file");
	tap_add(implicit, NULL, "commands wait for the buffer's fences");
	tap_add(detached_meanwhile, NULL, "detached while commands wait");
	tap_add(out_fence, NULL, "a fence signals when commands are done");
	tap_add(out_fence_fails, NULL, "a fence carries an error");
	tap_add(out_fence_outlives, NULL, "a fence outlives its map and its context");
	tap_add(out_fence_inherited, NULL, "who submitted is killed");
	tap_add(unload, NULL, "a fence holds the module");
	return tap_run(argc, argv);
}
