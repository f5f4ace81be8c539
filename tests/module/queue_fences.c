// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test submits commands to queues that wait for a fence, and that give one: what is
 * waited for and how the wait ends, when a fence signals and with which error, and who
 * gets none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "line.h"
#include "slow.h"
#include "sync.h"

#define IN     NVME_DMABUF_ENTER_IN_FENCE
#define OUT    NVME_DMABUF_ENTER_OUT_FENCE
#define NOWAIT NVME_DMABUF_ENTER_NOWAIT
#define MS     1000000ULL
#define WINDOW (64 * KIB)
#define MODULE "/sys/module/nvme_dmabuf/refcnt"

/* A queue, what commands on it read to, and another buffer whose fence @gate waits for. */
struct field {
	struct wire w;
	struct exported b;
	struct exported other;
	int gate;
	uint32_t map;
	struct line line;
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
	struct nvme_dmabuf_enter args;
};

static void open_on(struct field *f, const char *path, uint32_t depth, uint32_t flags)
{
	uint32_t reason;

	wire_open(&f->w, path, WINDOW);
	exported_create_pages(&f->b, 2 * MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&f->w, &f->b, 0, f->b.bytes, &f->map, &reason), 0);
	line_open(&f->line, nvmedmabuf_fd(f->w.ctx), depth, flags, 0);
	f->gate = -1;
}

/* Each command reads the same. */
static void open_fast(struct field *f, uint32_t depth, uint32_t flags)
{
	open_on(f, main_drive(), depth, flags);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		nvmedmabuf_prep_read(&f->commands[i], f->map, 0, WINDOW, f->w.first);
		f->commands[i].user_data = i;
	}
}

static void open_slow(struct field *f, uint32_t depth)
{
	open_on(f, drive_path("SLOW"), depth, 0);
	slow_commands(f->commands, f->map, f->w.drive.block);
}

static void open_gate(struct field *f)
{
	exported_create_pages(&f->other, PAGE, 0);
	exported_fence(&f->other, EXPORTER_FENCE_WRITE, 0);
	f->gate = sync_export(&f->other);
}

static void close_gate(struct field *f)
{
	check_sys(close(f->gate));
	exported_close(&f->other);
	f->gate = -1;
}

static void close_field(struct field *f)
{
	if (f->gate >= 0)
		close_gate(f);
	line_close(&f->line);
	exported_close(&f->b);
	wire_close(&f->w);
}

static int enter(struct field *f, uint32_t count, uint32_t flags, int in_fence)
{
	return line_enter_fences(&f->line, f->commands, count, 0, 0, flags, in_fence, &f->args);
}

/* Submits all, and returns the fence. */
static int give(struct field *f, uint32_t count, uint32_t flags, int in_fence)
{
	check_eq(enter(f, count, flags | OUT, in_fence), 0);
	check_eq(f->args.out_submitted, count);
	check(f->args.out_fence_fd > 2);
	return f->args.out_fence_fd;
}

static void check_nothing(const struct field *f)
{
	check_eq(f->args.out_submitted, 0);
	check_eq(f->args.out_completed, 0);
	check_eq(f->args.out_fence_fd, -1);
}

static unsigned int drain(struct line *line)
{
	struct nvme_dmabuf_completion c;
	unsigned int count = 0;

	for (; line_next(line, &c); count++)
		check_eq(c.error | c.status, 0);
	return count;
}

/* The fast commands' effect on the copy. */
static void verify(struct field *f)
{
	memcpy(f->b.mirror, f->w.disk, WINDOW);
	exported_verify(&f->b);
}

/* How many completions were written, read or not. */
static uint32_t tail(const struct line *line)
{
	return __atomic_load_n(&line->ring->tail, __ATOMIC_ACQUIRE);
}

/* It signals when so many commands in all have completed, and not before. */
static void check_signals_at(struct field *f, int fence, uint32_t completed)
{
	uint64_t end = now_ms() + 60000;
	uint32_t before;

	do {
		check(now_ms() < end);
		before = tail(&f->line);
		pause_ms();
	} while (!sync_status(fence));
	/* All of them, when it was looked at; and when the last one was missing it was not yet. */
	check_eq(tail(&f->line), completed);
	note("%u of %u when it was last seen to wait", before, completed);
}

/* A call in a thread of its own. */
struct caller {
	struct field *f;
	struct nvme_dmabuf_enter args;
	uint32_t flags;
	uint64_t timeout_ns;
	volatile pid_t thread;
	int result;
	pthread_t handle;
};

static void *caller_run(void *arg)
{
	struct caller *c = arg;

	c->thread = gettid();
	c->result = line_enter_fences(&c->f->line, c->f->commands, 1, 0, c->timeout_ns, c->flags,
				      c->f->gate, &c->args);
	return NULL;
}

/* Returns when it waits for the gate. */
static void caller_start(struct caller *c, struct field *f, uint32_t flags, uint64_t timeout_ns)
{
	*c = (struct caller){ .f = f, .flags = flags | IN, .timeout_ns = timeout_ns };
	check_eq(pthread_create(&c->handle, NULL, caller_run, c), 0);
	wait_until(c->thread && stays_in_call(c->thread, NVME_DMABUF_IOC_ENTER));
}

static void caller_join(struct caller *c)
{
	check_eq(pthread_join(c->handle, NULL), 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void malformed(const void *arg)
{
	struct field f;
	int next;

	(void)arg;
	open_fast(&f, 16, 0);
	open_gate(&f);
	next = next_file();
	check_eq(enter(&f, 1, IN, -1), -EBADF);
	check_nothing(&f);
	check_eq(enter(&f, 1, IN | OUT, f.w.drive.fd), -EBADF);
	check_nothing(&f);
	check_eq(enter(&f, 1, IN, f.b.fd), -EBADF);
	check_eq(enter(&f, 1, IN, f.line.fd), -EBADF);
	check_eq(enter(&f, 1, 0, f.gate), -EINVAL);
	check_eq(enter(&f, 1, OUT, f.gate), -EINVAL);
	/* Fences are of commands. */
	check_eq(enter(&f, 0, OUT, 0), -EINVAL);
	check_eq(enter(&f, 0, IN, f.gate), -EINVAL);
	/* Without a place for them. */
	check_eq(line_enter(&f.line, f.commands, 1, 0, 0, IN, &f.args), -EINVAL);
	check_eq(line_enter(&f.line, f.commands, 1, 0, 0, OUT, &f.args), -EINVAL);
	for (uint32_t size = 0; size < sizeof(f.args); size += 4) {
		f.args = (struct nvme_dmabuf_enter){
			.size = size,
			.flags = OUT,
			.commands = (uintptr_t)f.commands,
			.count = 1,
			.out_fence_fd = 12345,
		};
		check(ioctl(f.line.fd, NVME_DMABUF_IOC_ENTER, &f.args));
		check_eq(errno, EINVAL);
		check_eq(f.args.out_fence_fd, 12345);
	}
	check_eq(tail(&f.line), 0);
	check_eq(next_file(), next);
	exported_verify(&f.b);
	/* Today's structure without a fence. */
	check_eq(enter(&f, 1, 0, 0), 0);
	check_eq(f.args.out_submitted, 1);
	check_eq(f.args.out_fence_fd, -1);
	line_wait(&f.line, 1);
	check_eq(next_file(), next);
	verify(&f);
	exported_signal(&f.other);
	close_field(&f);
}

/* A fence must signal though nobody polls. */
static void polled(const void *arg)
{
	struct field f;
	int next;

	(void)arg;
	open_fast(&f, 16, NVME_DMABUF_QUEUE_POLLED);
	open_gate(&f);
	next = next_file();
	check_eq(enter(&f, 1, OUT, 0), -EINVAL);
	check_eq(next_file(), next);
	check_eq(enter(&f, 1, IN | NOWAIT, f.gate), -EAGAIN);
	check_nothing(&f);
	check_eq(tail(&f.line), 0);
	exported_signal(&f.other);
	check_eq(enter(&f, 1, IN, f.gate), 0);
	line_wait(&f.line, 1);
	check_eq(drain(&f.line), 1);
	verify(&f);
	close_field(&f);
}

static void in_fence(const void *arg)
{
	struct caller c;
	struct field f;
	uint64_t start;

	(void)arg;
	check_sys(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	open_fast(&f, 2, 0);
	open_gate(&f);

	/* Waits that end, and leave nothing behind. */
	check_eq(enter(&f, 1, IN | NOWAIT, f.gate), -EAGAIN);
	check_nothing(&f);
	start = now_ms();
	check_eq(line_enter_fences(&f.line, f.commands, 1, 0, 200 * MS, IN | OUT, f.gate, &f.args),
		 -EAGAIN);
	check(now_ms() - start >= 200);
	check_nothing(&f);
	check_eq(line_enter_fences(&f.line, f.commands, 1, 0, 1, IN, f.gate, &f.args), -EAGAIN);
	check_nothing(&f);
	caller_start(&c, &f, OUT, 0);
	check_eq(pthread_kill(c.handle, SIGUSR1), 0);
	caller_join(&c);
	check_eq(c.result, -EINTR);
	check_eq(c.args.out_submitted, 0);
	check_eq(c.args.out_fence_fd, -1);
	check_eq(tail(&f.line), 0);
	exported_verify(&f.b);

	/* While it waits the queue is everybody else's: to its full depth. */
	caller_start(&c, &f, OUT, 60000 * MS);
	line_submit(&f.line, f.commands, 2);
	line_wait(&f.line, 2);
	check_eq(drain(&f.line), 2);
	check_eq(tail(&f.line), 2);
	exported_signal(&f.other);
	caller_join(&c);
	check_eq(c.result, 0);
	check_eq(c.args.out_submitted, 1);
	check(sync_signals(c.args.out_fence_fd, 60000));
	check_eq(sync_status(c.args.out_fence_fd), 1);
	check_eq(tail(&f.line), 3);
	check_sys(close(c.args.out_fence_fd));
	drain(&f.line);

	/* One that has signalled. */
	check_eq(enter(&f, 1, IN | NOWAIT, f.gate), 0);
	check_eq(f.args.out_submitted, 1);
	check_eq(f.args.out_fence_fd, -1);
	line_wait(&f.line, 1);
	verify(&f);
	close_field(&f);
}

/* Who only asks again and again gets on, also where a fence is moved by who waits for it. */
static void in_fence_merged(const void *arg)
{
	struct field f;
	int slow, merged;

	(void)arg;
	open_slow(&f, SLOW_COMMANDS);
	open_gate(&f);
	slow = give(&f, 4, 0, 0);
	merged = sync_merge(f.gate, slow);
	check_eq(enter(&f, 1, IN | NOWAIT, merged), -EAGAIN);
	exported_signal(&f.other);
	wait_until(!enter(&f, 1, IN | NOWAIT, merged));
	check_eq(sync_status(slow), 1);
	check(tail(&f.line) >= 4);
	check_sys(close(merged));
	check_sys(close(slow));
	close_field(&f);
}

static void in_fence_fails(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct field f;
	int fence;

	(void)arg;
	open_fast(&f, 16, 0);
	f.commands[0].map += 1000;
	fence = give(&f, 1, 0, 0);
	/* It was refused, and so the fence has signalled. */
	check_eq(sync_status(fence), -ENOENT);
	check(line_next(&f.line, &c));
	check_eq(c.error, -ENOENT);
	f.commands[0].map -= 1000;
	check_eq(enter(&f, 1, IN, fence), -ECANCELED);
	check_nothing(&f);
	check_eq(enter(&f, 1, IN | NOWAIT | OUT, fence), -ECANCELED);
	check_nothing(&f);
	check_eq(tail(&f.line), 1);
	exported_verify(&f.b);
	check_sys(close(fence));
	close_field(&f);
}

static void out_fence(const void *arg)
{
	int fence, second, early;
	struct field f;

	(void)arg;
	open_slow(&f, SLOW_COMMANDS);
	fence = give(&f, SLOW_COMMANDS, 0, 0);
	early = sync_status(fence);
	check_eq(check_sys(fcntl(fence, F_GETFD)), FD_CLOEXEC);
	check_signals_at(&f, fence, SLOW_COMMANDS);
	check_eq(sync_status(fence), 1);
	check_that(!early, "the call waited for the drive");
	check_eq(drain(&f.line), SLOW_COMMANDS);
	drive_read(&f.w.drive, 0, f.b.mirror, SLOW_COMMANDS * SLOW_LENGTH);
	exported_verify(&f.b);
	check_sys(close(fence));

	/* Of each call its own commands alone; those without a fence are nobody's. */
	fence = give(&f, 4, 0, 0);
	line_submit(&f.line, f.commands, 4);
	second = give(&f, 8, 0, 0);
	check(sync_signals(fence, 60000));
	check(tail(&f.line) >= SLOW_COMMANDS + 4);
	check_signals_at(&f, second, SLOW_COMMANDS + 16);
	check_sys(close(fence));
	check_sys(close(second));
	check_eq(drain(&f.line), 16);
	/* The call's own wait for completions is another thing, and the fence is there after it. */
	check_eq(line_enter_fences(&f.line, f.commands, 2, 2, 0, OUT, 0, &f.args), 0);
	check_eq(f.args.out_completed, 2);
	check(sync_signals(f.args.out_fence_fd, 60000));
	check_sys(close(f.args.out_fence_fd));
	close_field(&f);
}

static void out_fence_fails(const void *arg)
{
	struct nvme_dmabuf_completion c;
	unsigned int refused = 0;
	struct field f;
	int fence;

	(void)arg;
	open_slow(&f, SLOW_COMMANDS);
	f.commands[7].slba = f.w.drive.blocks;
	fence = give(&f, SLOW_COMMANDS, 0, 0);
	check_eq(sync_status(fence), 0);
	check(sync_signals(fence, 60000));
	check_eq(sync_status(fence), -ERANGE);
	/* Each command says for itself. */
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		check(line_next(&f.line, &c));
		check_eq(c.error, c.user_data == 7 ? -ERANGE : 0);
		refused += !!c.error;
	}
	check_eq(refused, 1);
	check_sys(close(fence));
	/* The next call has no part in it. */
	fence = give(&f, 4, 0, 0);
	check(sync_signals(fence, 60000));
	check_eq(sync_status(fence), 1);
	check_sys(close(fence));
	close_field(&f);
}

static void out_fence_in_part(const void *arg)
{
	uint8_t *pages = pages_alloc(2 * PAGE);
	struct nvme_dmabuf_command *edge = (void *)(pages + PAGE - sizeof(*edge));
	struct nvme_dmabuf_enter *readonly = (void *)pages;
	uint32_t submitted;
	struct field f;
	int fence, next, result;

	(void)arg;
	open_slow(&f, 4);
	next = next_file();
	check_eq(enter(&f, SLOW_COMMANDS, OUT | NOWAIT, 0), 0);
	submitted = f.args.out_submitted;
	check(submitted >= 4 && submitted < SLOW_COMMANDS);
	fence = f.args.out_fence_fd;
	check_signals_at(&f, fence, submitted);
	check_sys(close(fence));
	check_eq(drain(&f.line), submitted);

	/* Until the queue is full; then there is no fence. */
	do {
		drain(&f.line);
		result = enter(&f, 4, OUT | NOWAIT, 0);
		submitted += f.args.out_submitted;
		check(submitted < 1000);
		check((f.args.out_fence_fd >= 0) == !result);
		if (!result)
			check_sys(close(f.args.out_fence_fd));
	} while (!result);
	check_eq(result, -EAGAIN);
	check_eq(f.args.out_submitted, 0);
	check_eq(next_file(), next);
	wait_until(tail(&f.line) == submitted);
	drain(&f.line);

	/* The second one cannot be read; then the first one neither. */
	check_sys(mprotect(pages + PAGE, PAGE, PROT_NONE));
	*edge = f.commands[0];
	check_eq(line_enter_fences(&f.line, edge, 2, 0, 0, OUT, 0, &f.args), 0);
	check_eq(f.args.out_submitted, 1);
	fence = f.args.out_fence_fd;
	check_signals_at(&f, fence, submitted + 1);
	check_sys(close(fence));
	check_eq(drain(&f.line), 1);
	check_eq(line_enter_fences(&f.line, edge + 1, 1, 0, 0, OUT, 0, &f.args), -EFAULT);
	check_nothing(&f);
	check_eq(next_file(), next);

	/* Who cannot learn of the fence has none; the command was submitted. */
	*readonly = (struct nvme_dmabuf_enter){
		.size = sizeof(*readonly),
		.flags = OUT,
		.commands = (uintptr_t)f.commands,
		.count = 1,
	};
	check_sys(mprotect(pages, PAGE, PROT_READ));
	check(ioctl(f.line.fd, NVME_DMABUF_IOC_ENTER, readonly));
	check_eq(errno, EFAULT);
	check_eq(next_file(), next);
	line_wait(&f.line, 1);
	check_eq(drain(&f.line), 1);
	close_field(&f);
	munmap(pages, 2 * PAGE);
}

/* More than the queue's depth, so that commands are used again within the call. */
static void out_fence_of_many(const void *arg)
{
	struct field f;
	int fence;

	(void)arg;
	open_fast(&f, 16, 0);
	for (unsigned int i = 0; i < scaled(20); i++) {
		fence = give(&f, SLOW_COMMANDS, 0, 0);
		check(sync_signals(fence, 60000));
		check_eq(sync_status(fence), 1);
		check_eq(drain(&f.line), SLOW_COMMANDS);
		check_sys(close(fence));
	}
	verify(&f);
	close_field(&f);
}

static int submit(struct field *f, uint32_t flags, int in_fence, int *out_fence)
{
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.flags = flags,
		.commands = (uintptr_t)f->commands,
		.completions = out_fence ? 0 : (uintptr_t)&completion,
		.count = 1,
		.in_fence_fd = in_fence,
	};

	if (ioctl(nvmedmabuf_fd(f->w.ctx), NVME_DMABUF_IOC_SUBMIT, &args))
		return -errno;
	if (out_fence)
		*out_fence = args.out_fence_fd;
	else
		check_eq(completion.error | completion.status, 0);
	return 0;
}

/* A chain of calls of both kinds, each of which waits for the one before. */
static void chained(const void *arg)
{
	int first, second, third;
	struct field f;

	(void)arg;
	open_slow(&f, SLOW_COMMANDS);
	first = give(&f, 12, 0, 0);
	check_eq(sync_status(first), 0);
	second = give(&f, 12, IN, first);
	check_eq(sync_status(first), 1);
	check_eq(sync_status(second), 0);
	check(tail(&f.line) >= 12);
	check_eq(submit(&f, NVME_DMABUF_SUBMIT_IN_FENCE, second, NULL), 0);
	check_eq(sync_status(second), 1);
	check_eq(tail(&f.line), 24);
	check_eq(submit(&f, NVME_DMABUF_SUBMIT_OUT_FENCE, 0, &third), 0);
	check_eq(enter(&f, 1, IN, third), 0);
	check_eq(sync_status(third), 1);
	line_wait(&f.line, 25);
	check_eq(drain(&f.line), 25);
	check_sys(close(first));
	check_sys(close(second));
	check_sys(close(third));
	close_field(&f);
}

/* The fence outlives the queue, the map and the context. */
static void closed(const void *arg)
{
	struct field f;
	int fence;

	(void)arg;
	open_slow(&f, SLOW_COMMANDS);
	fence = give(&f, SLOW_COMMANDS, 0, 0);
	check_eq(sync_status(fence), 0);
	/* The last of these waits. */
	check_sys(close(f.line.fd));
	nvmedmabuf_close(f.w.ctx);
	check_sys(munmap(f.line.ring, f.line.bytes));
	check_eq(sync_status(fence), 1);
	check_sys(close(fence));
	check_unused(&f.b);
	f.w.ctx = ctx_open();
	exported_close(&f.b);
	wire_close(&f.w);
}

static void killed(const void *arg)
{
	int pipes[2], status, fence, pidfd, number;
	struct field f;
	pid_t child;

	(void)arg;
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		open_slow(&f, SLOW_COMMANDS);
		number = give(&f, SLOW_COMMANDS, 0, 0);
		check_eq(write(pipes[1], &number, sizeof(number)), sizeof(number));
		/* In a call, and nobody has the new fence. */
		for (;;)
			line_enter_fences(&f.line, f.commands, 1, 1000, 0, OUT, 0, &f.args);
	}
	check_eq(read(pipes[0], &number, sizeof(number)), sizeof(number));
	pidfd = check_sys((int)syscall(SYS_pidfd_open, child, 0));
	fence = check_sys((int)syscall(SYS_pidfd_getfd, pidfd, number, 0));
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	check(sync_signals(fence, 60000));
	check_eq(sync_status(fence), 1);
	check_sys(close(fence));
	check_sys(close(pidfd));
	check_sys(close(pipes[0]));
	check_sys(close(pipes[1]));
}

static void no_descriptor(const void *arg)
{
	struct rlimit limit, none;
	struct field f;

	(void)arg;
	open_fast(&f, 16, 0);
	check_sys(getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = next_file();
	check_sys(setrlimit(RLIMIT_NOFILE, &none));
	check_eq(enter(&f, 1, OUT, 0), -EMFILE);
	check_sys(setrlimit(RLIMIT_NOFILE, &limit));
	check_nothing(&f);
	check_eq(tail(&f.line), 0);
	exported_verify(&f.b);
	check_sys(close(give(&f, 1, 0, 0)));
	line_wait(&f.line, 1);
	verify(&f);
	close_field(&f);
}

/*
 * Threads that share a queue, so that each has the commands that another's call has just
 * given back.
 */
struct crowd {
	struct field *f;
	pthread_mutex_t lock;
	uint32_t stream;
	uint32_t rounds;
	uint32_t submitted;
	uint32_t completed;
	uint32_t refused;
};

static void crowd_read(struct crowd *crowd)
{
	struct nvme_dmabuf_completion c;

	check_eq(pthread_mutex_lock(&crowd->lock), 0);
	while (line_next(&crowd->f->line, &c)) {
		check(!c.status && (!c.error || c.error == -ENOENT));
		crowd->refused += !!c.error;
		crowd->completed++;
	}
	check_eq(pthread_mutex_unlock(&crowd->lock), 0);
}

/* One call, of which @good says whether its fence has no error; returns the fence, or -1. */
static int crowd_enter(struct crowd *crowd, int in_fence, bool *good)
{
	struct nvme_dmabuf_command commands[4];
	uint32_t count = 1 + rnd_below(ARRAY_SIZE(commands)), flags = in_fence < 0 ? 0 : IN;
	unsigned int kind = rnd_below(3), wrong = rnd_below(8);
	struct line *line = &crowd->f->line;
	struct nvme_dmabuf_enter args;
	int result;

	memcpy(commands, crowd->f->commands, sizeof(commands));
	for (unsigned int i = 0; i < count; i++)
		commands[i].length = crowd->f->w.drive.block;
	if (wrong < count)
		commands[wrong].map += 1000;
	flags |= kind ? OUT : 0;
	do {
		crowd_read(crowd);
		result = kind || flags ? line_enter_fences(line, commands, count, 0, 20 * MS, flags,
							   flags & IN ? in_fence : 0, &args) :
					 line_enter(line, commands, count, 0, 20 * MS, 0, &args);
	} while (result == -EAGAIN);
	check_eq(result, 0);
	check(args.out_submitted && args.out_submitted <= count);
	*good = wrong >= args.out_submitted;
	__atomic_add_fetch(&crowd->submitted, args.out_submitted, __ATOMIC_RELAXED);
	return kind ? args.out_fence_fd : -1;
}

static void *crowd_run(void *arg)
{
	struct crowd *crowd = arg;
	int fence, last = -1;
	bool good;

	rnd_start(__atomic_add_fetch(&crowd->stream, 1, __ATOMIC_RELAXED));
	for (uint32_t i = 0; i < crowd->rounds; i++) {
		fence = crowd_enter(crowd, last, &good);
		if (last >= 0)
			check_sys(close(last));
		last = -1;
		if (fence < 0)
			continue;
		/* Nearly half of them go while commands are in flight. */
		if (rnd_below(2)) {
			check(sync_signals(fence, 60000));
			check_eq(sync_status(fence), good ? 1 : -ENOENT);
			if (good && rnd_below(2))
				last = fence;
		}
		if (last < 0)
			check_sys(close(fence));
	}
	if (last >= 0)
		check_sys(close(last));
	return NULL;
}

/* Thousands of calls, after which no fence is left: each would hold the module. */
static void crowded(const void *arg)
{
	long long before = file_number(MODULE);
	struct crowd crowd = { .lock = PTHREAD_MUTEX_INITIALIZER, .rounds = scaled(1000) };
	pthread_t threads[4];
	struct field f;
	int next;

	(void)arg;
	open_fast(&f, 6, 0);
	crowd.f = &f;
	next = next_file();
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check_eq(pthread_create(&threads[i], NULL, crowd_run, &crowd), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		check_eq(pthread_join(threads[i], NULL), 0);
	line_enter(&f.line, NULL, 0, f.line.entries, 60000 * MS, 0, &f.args);
	crowd_read(&crowd);
	check_eq(crowd.completed, crowd.submitted);
	note("%u commands in %u calls, %u of them refused", crowd.completed,
	     (unsigned int)ARRAY_SIZE(threads) * crowd.rounds, crowd.refused);
	check(crowd.refused);
	check_eq(next_file(), next);
	memcpy(f.b.mirror, f.w.disk, f.w.drive.block);
	exported_verify(&f.b);
	close_field(&f);
	/* They are freed a moment after the last one has let go. */
	wait_until(file_number(MODULE) <= before);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	tap_add(malformed, NULL, "malformed");
	tap_add(polled, NULL, "polled queues wait for fences, and give none");
	tap_add(in_fence, NULL, "commands wait for a sync_file");
	tap_add(in_fence_merged, NULL, "commands wait for a merged sync_file");
	tap_add(in_fence_fails, NULL, "the sync_file has an error");
	tap_add(out_fence, NULL, "a fence signals when the call's commands are done");
	tap_add(out_fence_fails, NULL, "a fence carries an error");
	tap_add(out_fence_in_part, NULL, "a fence of those that were submitted");
	tap_add(out_fence_of_many, NULL, "a fence of more than the queue's depth");
	tap_add(chained, NULL, "calls that wait for each other's fences");
	tap_add(closed, NULL, "all is closed");
	tap_add(killed, NULL, "the submitter is killed");
	tap_add(no_descriptor, NULL, "no descriptor is left");
	tap_add(crowded, NULL, "thousands of calls by several threads");
	return tap_run(argc, argv);
}
