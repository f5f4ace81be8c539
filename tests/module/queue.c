// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test submits commands to queues without waiting for them: data at full depth,
 * completions that are neither lost nor doubled, queues that are full, waits of every
 * kind, and readers that stall, die, or write nonsense into what they share.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "line.h"
#include "slow.h"

#define DEPTH 64U
#define MS    1000000ULL
#define FIRST RIG_FIRST

struct way {
	const char *name;
	uint32_t flags;
};

static const struct way interrupts = { "interrupts", 0 };
static const struct way polled = { "polled", NVME_DMABUF_QUEUE_POLLED };

/* Submits in pieces and reads in pieces; each completion comes once. */
static void run_commands(struct line *line, const struct nvme_dmabuf_command *commands,
			 unsigned int count)
{
	unsigned int submitted = 0, completed = 0;
	bool *seen = calloc(count, sizeof(*seen));
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_enter args;

	while (completed < count) {
		unsigned int piece = rnd_below(count - submitted + 1);
		unsigned int wait = rnd_below(submitted + piece - completed + 1);
		uint32_t flags = rnd() % 2 ? NVME_DMABUF_ENTER_NOWAIT : 0;
		/* Nobody else makes room in the ring, so the wait for that must end. */
		int result =
			line_enter(line, commands + submitted, piece, wait, 20 * MS, flags, &args);

		check_that(!result || result == -EAGAIN, "ENTER: %s", strerrorname_np(-result));
		submitted += args.out_submitted;
		for (unsigned int i = rnd_below(DEPTH); i && line_next(line, &c); i--) {
			check_good(&c);
			check(c.user_data - FIRST < submitted);
			check(!seen[c.user_data - FIRST]);
			seen[c.user_data - FIRST] = true;
			check_eq(c.bytes, commands[c.user_data - FIRST].length);
			completed++;
		}
	}
	check_eq(submitted, count);
	check(!line_next(line, &c));
	free(seen);
}

static void data_on(const char *path, const struct way *way, const struct exporter *exporter)
{
	struct nvme_dmabuf_command commands[2 * DEPTH];
	struct line line;
	struct rig rig;

	rig_open(&rig, path, exporter, 16 * MIB, 16 * MIB);
	rig_attach_all(&rig);
	for (unsigned int i = 0; i < scaled(6); i++) {
		line_open(&line, nvmedmabuf_fd(rig.ctx), 1 + rnd_below(DEPTH), way->flags, 0);
		for (unsigned int j = 0; j < 4; j++)
			run_commands(&line, commands,
				     rig_random(&rig, commands, 1 + rnd_below(2 * DEPTH)));
		line_close(&line);
	}
	rig_verify(&rig);
	rig_close(&rig);
}

static void data(const void *arg)
{
	const char *paths[3];
	unsigned int count = plain_drives(paths);

	for (unsigned int i = 0; i < count; i++)
		data_on(paths[i], arg, exporter_any());
}

/* The same with several threads on one queue: each submits, whoever waits reads. */
struct crowd {
	struct line *line;
	struct nvme_dmabuf_command *commands;
	unsigned int count, next, completed;
	unsigned int *seen;
	pthread_mutex_t lock;
};

static void crowd_read(struct crowd *crowd)
{
	struct nvme_dmabuf_completion c;

	check_eq(pthread_mutex_lock(&crowd->lock), 0);
	while (line_next(crowd->line, &c)) {
		check_good(&c);
		check_eq(crowd->seen[c.user_data - FIRST]++, 0);
		__atomic_add_fetch(&crowd->completed, 1, __ATOMIC_RELEASE);
	}
	check_eq(pthread_mutex_unlock(&crowd->lock), 0);
}

static void *crowd_run(void *arg)
{
	struct nvme_dmabuf_enter args;
	struct crowd *crowd = arg;
	int result;

	while (__atomic_load_n(&crowd->completed, __ATOMIC_ACQUIRE) < crowd->count) {
		unsigned int n = __atomic_fetch_add(&crowd->next, 1, __ATOMIC_RELAXED);
		bool more = n < crowd->count;

		/* Another may read what this waits for; and it may be too short a time. */
		do {
			result = line_enter(crowd->line, &crowd->commands[n], more, 1, 10 * MS, 0,
					    &args);
			check(!result || (more && result == -EAGAIN));
			check_eq(args.out_submitted, more && !result);
			crowd_read(crowd);
		} while (result);
	}
	return NULL;
}

static void threads(const void *arg)
{
	struct nvme_dmabuf_command commands[2 * DEPTH];
	const struct way *way = arg;
	pthread_t handles[4];
	struct line line;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 8 * MIB, 8 * MIB);
	rig_attach_all(&rig);
	line_open(&line, nvmedmabuf_fd(rig.ctx), 16, way->flags, 0);
	for (unsigned int i = 0; i < scaled(10); i++) {
		struct crowd crowd = {
			.line = &line,
			.commands = commands,
			.count = rig_random(&rig, commands, ARRAY_SIZE(commands)),
			.seen = calloc(ARRAY_SIZE(commands), sizeof(*crowd.seen)),
			.lock = PTHREAD_MUTEX_INITIALIZER,
		};

		for (size_t j = 0; j < ARRAY_SIZE(handles); j++)
			check_eq(pthread_create(&handles[j], NULL, crowd_run, &crowd), 0);
		for (size_t j = 0; j < ARRAY_SIZE(handles); j++)
			check_eq(pthread_join(handles[j], NULL), 0);
		free(crowd.seen);
	}
	line_close(&line);
	rig_verify(&rig);
	rig_close(&rig);
}

/* Small reads, as fast as it goes: what counts is that each completes once. */
static void counts(const void *arg)
{
	struct nvme_dmabuf_command commands[DEPTH];
	const struct way *way = arg;
	struct tally tally;
	struct line line;
	struct rig rig;

	tally_open(&tally);
	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	line_open(&line, nvmedmabuf_fd(rig.ctx), DEPTH, way->flags, 0);
	while (tally.done < tally.total) {
		unsigned int n = rnd_below(tally_room(&tally, DEPTH) + 1);
		struct nvme_dmabuf_completion c;
		struct nvme_dmabuf_enter args;

		for (unsigned int i = 0; i < n; i++) {
			nvmedmabuf_prep_read(&commands[i], rig.map, tally.next % 200 * 4096,
					     rig.drive.block, rig.first);
			commands[i].user_data = tally_start(&tally);
		}
		check_eq(line_enter(&line, commands, n, !(rnd() % 4), 0, 0, &args), 0);
		check_eq(args.out_submitted, n);
		while (line_next(&line, &c)) {
			check_good(&c);
			tally_end(&tally, c.user_data);
		}
	}
	tally_close(&tally);
	line_close(&line);
	rig_close(&rig);
}

/* A drive that takes its time, and a queue of it. */
struct slow {
	struct rig rig;
	struct line line;
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
};

static void slow_open(struct slow *s, uint32_t depth, uint32_t flags, int event_fd)
{
	rig_open(&s->rig, drive_path("SLOW"), exporter_any(), 2 * MIB, 0);
	rig_attach(&s->rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	slow_commands(s->commands, s->rig.map, s->rig.drive.block);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		s->commands[i].user_data = FIRST + i;
	line_open(&s->line, nvmedmabuf_fd(s->rig.ctx), depth, flags, event_fd);
}

static void slow_close(struct slow *s)
{
	line_close(&s->line);
	rig_close(&s->rig);
}

static unsigned int drain(struct line *line)
{
	struct nvme_dmabuf_completion c;
	unsigned int count = 0;

	while (line_next(line, &c)) {
		check_good(&c);
		count++;
	}
	return count;
}

static void full_depth(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_enter args;
	unsigned int submitted = 0;
	struct slow s;
	int result;

	slow_open(&s, 4, way->flags, 0);
	/* As fast as this, the drive is not. */
	do {
		drain(&s.line);
		result = line_enter(&s.line, s.commands, 8, 0, 0, NVME_DMABUF_ENTER_NOWAIT, &args);
		check(result || (args.out_submitted && args.out_submitted <= 4));
		submitted += args.out_submitted;
		check(submitted < 1000);
	} while (!result);
	check_eq(result, -EAGAIN);
	check_eq(args.out_submitted, 0);
	/* Too short a time for any to complete. */
	if (line_enter(&s.line, s.commands, 1, 0, 1, 0, &args))
		check_eq(errno, EAGAIN);
	/* Waits for others to complete, one after the other. */
	drain(&s.line);
	line_submit(&s.line, s.commands, 2);
	line_wait(&s.line, 4);
	drain(&s.line);
	slow_close(&s);
}

static void full_ring(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_command commands[16];
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_enter args;
	struct line line;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	line_open(&line, nvmedmabuf_fd(rig.ctx), 4, way->flags, 0);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		nvmedmabuf_prep_read(&commands[i], rig.map, 0, rig.drive.block, i);
		commands[i].user_data = FIRST + i;
	}
	/* Waits for the drive, but not for the caller itself. */
	check_eq(line_enter(&line, commands, 16, 16, 0, 0, &args), 0);
	check_eq(args.out_submitted, line.entries);
	check_eq(args.out_completed, line.entries);
	check_eq(line_enter(&line, commands, 1, 0, 0, NVME_DMABUF_ENTER_NOWAIT, &args), -EAGAIN);
	check_eq(line_enter(&line, commands, 1, 0, 20 * MS, 0, &args), -EAGAIN);
	check_eq(args.out_completed, line.entries);
	check(line_next(&line, &c));
	line_submit(&line, commands, 1);
	check_eq(line_enter(&line, commands, 1, 0, 0, NVME_DMABUF_ENTER_NOWAIT, &args), -EAGAIN);
	line_wait(&line, line.entries);
	check_eq(drain(&line), line.entries);
	line_close(&line);
	rig_close(&rig);
}

struct reader {
	struct line *line;
	unsigned int count;
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	struct nvme_dmabuf_completion c;

	usleep(50000);
	for (unsigned int i = 0; i < r->count; i++)
		wait_until(line_next(r->line, &c));
	return NULL;
}

/* Who waits for room in the ring goes on when another thread makes some. */
static void reader_makes_room(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_enter args;
	struct reader reader;
	pthread_t handle;
	struct line line;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	line_open(&line, nvmedmabuf_fd(rig.ctx), 2, way->flags, 0);
	nvmedmabuf_prep_read(&command, rig.map, 0, rig.drive.block, 0);
	for (unsigned int i = 0; i < line.entries; i++)
		line_submit(&line, &command, 1);
	line_wait(&line, line.entries);
	reader = (struct reader){ &line, 2 };
	check_eq(pthread_create(&handle, NULL, reader_run, &reader), 0);
	check_eq(line_enter(&line, &command, 1, 0, 60000 * MS, 0, &args), 0);
	check_eq(args.out_submitted, 1);
	check_eq(pthread_join(handle, NULL), 0);
	line_wait(&line, line.entries - 1);
	drain(&line);
	line_close(&line);
	rig_close(&rig);
}

static void timeout(const void *arg)
{
	const struct way *way = arg;
	struct nvme_dmabuf_enter args;
	uint64_t start = now_ms();
	struct slow s;

	slow_open(&s, SLOW_COMMANDS, way->flags, 0);
	start = now_ms();
	check_eq(line_enter(&s.line, s.commands, SLOW_COMMANDS, SLOW_COMMANDS, 20 * MS, 0, &args),
		 0);
	check_eq(args.out_submitted, SLOW_COMMANDS);
	check(args.out_completed < SLOW_COMMANDS);
	check(now_ms() - start >= 20);
	/* More than can come is not waited for. */
	check_eq(line_enter(&s.line, NULL, 0, 1000, 0, 0, &args), 0);
	check_eq(args.out_completed, SLOW_COMMANDS);
	check_eq(drain(&s.line), SLOW_COMMANDS);
	check_eq(line_enter(&s.line, NULL, 0, 1, 0, 0, &args), 0);
	check_eq(args.out_completed, 0);
	slow_close(&s);
}

static void nothing(int number)
{
	(void)number;
}

struct interrupter {
	pthread_t target;
	unsigned int stop;
	pthread_t handle;
};

/* Again and again, for a signal that comes between two calls ends neither. */
static void *interrupter_run(void *arg)
{
	struct interrupter *i = arg;

	while (!__atomic_load_n(&i->stop, __ATOMIC_RELAXED)) {
		usleep(30000);
		check_eq(pthread_kill(i->target, SIGUSR1), 0);
	}
	return NULL;
}

static void interrupter_start(struct interrupter *i)
{
	*i = (struct interrupter){ .target = pthread_self() };
	check_eq(pthread_create(&i->handle, NULL, interrupter_run, i), 0);
}

static void interrupter_stop(struct interrupter *i)
{
	__atomic_store_n(&i->stop, 1, __ATOMIC_RELAXED);
	check_eq(pthread_join(i->handle, NULL), 0);
}

static void signals(const void *arg)
{
	const struct sigaction action = { .sa_handler = nothing };
	const struct way *way = arg;
	struct nvme_dmabuf_enter args;
	struct interrupter i;
	int result = 0;
	struct slow s;

	check_sys(sigaction(SIGUSR1, &action, NULL));
	slow_open(&s, SLOW_COMMANDS, way->flags, 0);
	interrupter_start(&i);
	check_eq(line_enter(&s.line, s.commands, SLOW_COMMANDS, SLOW_COMMANDS, 0, 0, &args), 0);
	check_eq(args.out_submitted, SLOW_COMMANDS);
	check(args.out_completed < SLOW_COMMANDS);

	/* While it is full nothing is submitted. */
	while (!result)
		result = line_enter(&s.line, s.commands, 1, 0, 0, 0, &args);
	check_eq(result, -EINTR);
	check_eq(args.out_submitted, 0);
	interrupter_stop(&i);
	slow_close(&s);
}

static void poll_and_eventfd(const void *arg)
{
	int event = check_sys(eventfd(0, EFD_NONBLOCK));
	struct pollfd p = { .events = POLLIN };
	uint64_t total = 0, count;
	struct slow s;

	(void)arg;
	slow_open(&s, SLOW_COMMANDS, NVME_DMABUF_QUEUE_EVENTFD, event);
	p.fd = s.line.fd;
	check_eq(poll(&p, 1, 0), 0);
	line_submit(&s.line, s.commands, SLOW_COMMANDS);
	while (total < SLOW_COMMANDS) {
		check_eq(poll(&p, 1, 60000), 1);
		check_eq(p.revents, POLLIN);
		total += drain(&s.line);
	}
	check_eq(total, SLOW_COMMANDS);
	check_eq(poll(&p, 1, 0), 0);
	check_eq(read(event, &count, sizeof(count)), sizeof(count));
	check_eq(count, SLOW_COMMANDS);
	/* The queue keeps its own hold of it. */
	check_sys(close(event));
	line_submit(&s.line, s.commands, 4);
	line_wait(&s.line, 4);
	slow_close(&s);
}

/* Who only tries, and reads when there is no room, has completions to read for ever. */
static void nowait(const void *arg)
{
	struct nvme_dmabuf_command commands[4];
	unsigned int submitted = 0, done = 0;
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_enter args;
	uint64_t end = now_ms() + 60000;
	struct line line;
	struct rig rig;
	int result;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &info), 0);
	if (!(info.out_flags & NVME_DMABUF_NS_POLL))
		skip("the drive has no polled queues");
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	line_open(&line, nvmedmabuf_fd(rig.ctx), ARRAY_SIZE(commands), NVME_DMABUF_QUEUE_POLLED, 0);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		nvmedmabuf_prep_read(&commands[i], rig.map, 0, rig.drive.block, i);
		commands[i].user_data = FIRST + i;
	}
	while (done < 100 * line.depth) {
		check_that(now_ms() < end, "%u of %u completed", done, submitted);
		result = line_enter(&line, commands, line.depth, 1, 0, NVME_DMABUF_ENTER_NOWAIT,
				    &args);
		submitted += args.out_submitted;
		/* Not before, or its wait would look. */
		if (result == -EAGAIN)
			done += drain(&line);
		else
			check_eq(result, 0);
	}
	line_close(&line);
	rig_close(&rig);
}

/* What is not there is not promised, and what was asked for works nevertheless. */
static void polled_if_there(const void *arg)
{
	long long queues = file_number("/sys/module/nvme/parameters/poll_queues");
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct rig rig;

	(void)arg;
	require_disposable();
	check(queues >= 0);
	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &info), 0);
	check_eq(!!(info.out_flags & NVME_DMABUF_NS_POLL), queues > 0);
	note("the driver was told to poll %lld queues of each drive", queues);
	rig_close(&rig);
}

/* Another context on the slow drive, while the requests for this CPU are all in use. */
struct other {
	struct slow holder;
	unsigned int held;
	struct nvmedmabuf *ctx;
	struct line line;
	struct nvme_dmabuf_command command;
};

static void other_open(struct other *o, uint32_t flags, uint32_t holders_flags)
{
	struct slow *s = &o->holder;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	check_sys(sched_setaffinity(0, sizeof(cpu), &cpu));
	slow_open(s, 4096, holders_flags, 0);
	o->ctx = ctx_open();
	line_open(&o->line, nvmedmabuf_fd(o->ctx), 4, flags, 0);
	nvmedmabuf_prep_read(&o->command,
			     attach(o->ctx, s->rig.buffer.fd, s->rig.drive.fd, 0, MIB,
				    NVME_DMABUF_ACCESS_READ),
			     0, s->rig.drive.block, 0);
	o->command.user_data = FIRST;
}

/* They come back after about as many seconds as @owed has MiB, less those that this takes. */
static void hold_requests(struct other *o, uint64_t owed)
{
	struct slow *s = &o->holder;
	struct nvme_dmabuf_enter args;
	int result;

	/* It ends at once, but the drive lets others wait for as long as it should take. */
	s->commands[0].length = owed;
	line_submit(&s->line, s->commands, 1);
	line_wait(&s->line, 1);
	check_eq(drain(&s->line), 1);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		s->commands[i].length = s->rig.drive.block;
	o->held = 0;
	do {
		result = line_enter(&s->line, s->commands, SLOW_COMMANDS, 0, 0,
				    NVME_DMABUF_ENTER_NOWAIT, &args);
		o->held += args.out_submitted;
	} while (!result);
	check_eq(result, -EAGAIN);
	note("%u requests", o->held);
	check(o->held < s->line.depth);
}

static void other_close(struct other *o)
{
	line_wait(&o->holder.line, o->held);
	check_eq(drain(&o->holder.line), o->held);
	line_submit(&o->line, &o->command, 1);
	line_wait(&o->line, 1);
	line_close(&o->line);
	nvmedmabuf_close(o->ctx);
	slow_close(&o->holder);
}

/* False if the requests came back before, as on a slow machine. */
static bool waited_in_vain(struct other *o)
{
	struct nvme_dmabuf_enter args;
	struct interrupter i;
	uint64_t start = now_ms();
	int result;

	result = line_enter(&o->line, &o->command, 1, 0, 200 * MS, 0, &args);
	if (result == -EAGAIN) {
		check(now_ms() - start >= 200);
		interrupter_start(&i);
		result = line_enter(&o->line, &o->command, 1, 0, 0, 0, &args);
		interrupter_stop(&i);
	}
	if (!result) {
		note("after %llu ms there were some", (unsigned long long)(now_ms() - start));
		line_wait(&o->line, 1);
		check_eq(drain(&o->line), 1);
		return false;
	}
	check_eq(result, -EINTR);
	return true;
}

static void requests_in_use(const void *arg)
{
	const struct sigaction action = { .sa_handler = nothing };
	struct other o;
	bool done;

	(void)arg;
	check_sys(sigaction(SIGUSR1, &action, NULL));
	do {
		other_open(&o, 0, 0);
		hold_requests(&o, 2 * MIB);
		done = waited_in_vain(&o);
		/* Meanwhile the drive has done nothing. */
		if (done)
			check_eq(drain(&o.holder.line), 0);
		other_close(&o);
	} while (!done);
}

/**
 * struct visitor - who needs a request while others do not look for theirs
 * @queue, @enter: flags
 */
struct visitor {
	const char *name;
	uint32_t queue;
	uint32_t enter;
};

/* Requests that wait to be polled for, by whom does not, are in nobody's way. */
static void nobody_looks(const void *arg)
{
	const struct visitor *visitor = arg;
	struct nvme_dmabuf_enter args;
	unsigned int done = 0;
	struct other o;
	uint64_t start;

	other_open(&o, visitor->queue, NVME_DMABUF_QUEUE_POLLED);
	hold_requests(&o, MIB);
	start = now_ms();
	while (done < 3) {
		int result = line_enter(&o.line, &o.command, 1, 1, 0, visitor->enter, &args);

		check(!result || (result == -EAGAIN && visitor->enter));
		done += drain(&o.line);
	}
	note("after %llu ms", (unsigned long long)(now_ms() - start));
	/* After 30 seconds the driver looks. */
	check(now_ms() - start < 20000);
	other_close(&o);
}

/* Nothing wakes who polls: it must be asked. */
static void poll_polled(const void *arg)
{
	struct pollfd p = { .events = POLLIN };
	struct slow s;

	(void)arg;
	slow_open(&s, SLOW_COMMANDS, NVME_DMABUF_QUEUE_POLLED, 0);
	p.fd = s.line.fd;
	check_eq(poll(&p, 1, 0), 0);
	line_submit(&s.line, s.commands, 1);
	wait_until(poll(&p, 1, 0));
	check_eq(drain(&s.line), 1);
	slow_close(&s);
}

static void refusals(const void *arg)
{
	struct nvme_dmabuf_command commands[4];
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_enter args;
	uint8_t *pages = pages_alloc(2 * PAGE);
	const struct way *way = arg;
	struct nvme_dmabuf_command *edge = (void *)(pages + PAGE - sizeof(*edge));
	struct line line;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	line_open(&line, nvmedmabuf_fd(rig.ctx), 4, way->flags, 0);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		nvmedmabuf_prep_read(&commands[i], rig.map, 0, rig.drive.block, 0);
	commands[0].user_data = 5;
	commands[0].opcode = 0x7f;
	commands[1].map = 77;
	commands[2].offset = MIB;
	line_submit(&line, commands, 4);
	line_wait(&line, 4);
	for (unsigned int i = 0; i < 4; i++) {
		static const struct {
			int error;
			uint16_t reason;
		} expected[] = { { -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE },
				 { -ENOENT, NVME_DMABUF_REASON_NO_MAP },
				 { -ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
				 { 0, 0 } };

		/* Those that are refused complete at once. */
		check(line_next(&line, &c));
		check_eq(c.error, expected[i].error);
		check_eq(c.reason, expected[i].reason);
		check_eq(c.user_data, i ? 0 : 5);
		check_eq(c.bytes, i == 3 ? rig.drive.block : 0);
	}

	/* What cannot be read ends the submission. */
	check_sys(mprotect(pages + PAGE, PAGE, PROT_NONE));
	*edge = commands[3];
	check_eq(line_enter(&line, edge, 2, 0, 0, 0, &args), 0);
	check_eq(args.out_submitted, 1);
	check_eq(line_enter(&line, edge + 1, 2, 0, 0, 0, &args), -EFAULT);
	check_eq(args.out_submitted, 0);
	line_wait(&line, 1);
	line_close(&line);
	rig_close(&rig);
	munmap(pages, 2 * PAGE);
}

static void arguments(const void *arg)
{
	int context = device_open(), pipes[2], files, fd;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_queue args;
	struct line line;
	void *at;

	(void)arg;
	check_sys(pipe(pipes));
	check_sys(ioctl(context, NVME_DMABUF_IOC_INFO, &info));
	files = next_file();
	check_eq(line_try(context, 0, 0, 0, &args), -EINVAL);
	check_eq(args.out_queue_fd, -1);
	check_eq(line_try(context, info.out_max_depth + 1, 0, 0, &args), -ENOSPC);
	check_eq(line_try(context, 1, 4, 0, &args), -EINVAL);
	check_eq(line_try(context, 1, 0, 1, &args), -EINVAL);
	check_eq(line_try(context, 1, NVME_DMABUF_QUEUE_EVENTFD, pipes[0], &args), -EBADF);
	check_eq(line_try(context, 1, NVME_DMABUF_QUEUE_EVENTFD, -1, &args), -EBADF);
	check_eq(line_try(context, 1, NVME_DMABUF_QUEUE_EVENTFD | NVME_DMABUF_QUEUE_POLLED,
			  check_sys(eventfd(0, 0)), &args),
		 -EINVAL);
	check_sys(close(files));
	check_eq(next_file(), files);

	line_open(&line, context, info.out_max_depth, 0, 0);
	at = mmap(NULL, line.bytes, PROT_READ, MAP_PRIVATE, line.fd, 0);
	check(at == MAP_FAILED && errno == EINVAL);
	at = mmap(NULL, line.bytes + PAGE, PROT_READ, MAP_SHARED, line.fd, 0);
	check(at == MAP_FAILED);
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, line.fd, line.bytes);
	check(at == MAP_FAILED);
	at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, line.fd, line.bytes - PAGE);
	check(at != MAP_FAILED);
	memset((uint8_t *)line.ring + line.bytes - PAGE, 0x5a, PAGE);
	check(!memcmp(at, (uint8_t *)line.ring + line.bytes - PAGE, PAGE));
	check_sys(munmap(at, PAGE));
	line_close(&line);

	for (uint32_t i = 0; i < info.out_max_queues; i++)
		check(line_try(context, 1, 0, 0, &args) >= 0);
	check_eq(line_try(context, 1, 0, 0, &args), -ENOSPC);
	check_sys(close(context));
	/* The last one to be closed takes the context with it. */
	for (fd = files; fd < files + (int)info.out_max_queues + 8; fd++)
		close(fd);
}

/* The map goes while commands use it: done, or no such map. */
static void detach_in_flight(const void *arg)
{
	const struct way *way = arg;
	struct slow s;

	slow_open(&s, SLOW_COMMANDS, way->flags, 0);
	line_submit(&s.line, s.commands, SLOW_COMMANDS);
	check_eq(nvmedmabuf_detach(s.rig.ctx, s.rig.map), 0);
	s.rig.map = 0;
	/* It waited for them all. */
	check_eq(drain(&s.line), SLOW_COMMANDS);
	slow_close(&s);
}

/* The ring can be read as long as it is mapped, whatever was closed. */
static void close_in_flight(const void *arg)
{
	const struct way *way = arg;
	unsigned int count = 0;
	struct slow s;

	slow_open(&s, SLOW_COMMANDS, way->flags, 0);
	line_submit(&s.line, s.commands, SLOW_COMMANDS);
	check_sys(close(s.line.fd));
	nvmedmabuf_close(s.rig.ctx);
	if (!way->flags) {
		while (count < SLOW_COMMANDS) {
			count += drain(&s.line);
			pause_ms();
		}
	}
	/* Otherwise this waits, and polls. */
	check_sys(munmap(s.line.ring, s.line.bytes));
	buffer_free(&s.rig.buffer);
	drive_close(&s.rig.drive);
}

/* What the dead had in flight does no harm, and is waited for. */
static void killed(const void *arg)
{
	const struct way *way = arg;
	struct slow after;

	for (unsigned int i = 0; i < scaled(3); i++) {
		int pipes[2], status;
		pid_t child;
		char byte;

		check_sys(pipe(pipes));
		child = check_sys(fork());
		if (!child) {
			struct slow s;
			struct nvme_dmabuf_enter args;

			slow_open(&s, SLOW_COMMANDS, way->flags, 0);
			line_submit(&s.line, s.commands, SLOW_COMMANDS);
			check_eq(write(pipes[1], "", 1), 1);
			for (;;)
				line_enter(&s.line, s.commands, 1, SLOW_COMMANDS, 0, 0, &args);
		}
		check_eq(read(pipes[0], &byte, 1), 1);
		usleep(rnd_below(50000));
		check_sys(kill(child, SIGKILL));
		check_eq(check_sys(waitpid(child, &status, 0)), child);
		check(WIFSIGNALED(status));
		check_sys(close(pipes[0]));
		check_sys(close(pipes[1]));
	}
	slow_open(&after, SLOW_COMMANDS, way->flags, 0);
	line_submit(&after.line, after.commands, 1);
	line_wait(&after.line, 1);
	slow_close(&after);
}

struct scribbler {
	struct line *line;
	unsigned int stop;
};

static void *scribbler_run(void *arg)
{
	struct scribbler *s = arg;
	uint32_t *words = (uint32_t *)s->line->ring;

	rnd_start(1);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint64_t at = rnd() % 4 ? rnd_below(4) * 16 : rnd_below(s->line->bytes / 4);

		__atomic_store_n(&words[at], rnd() % 2 ? (uint32_t)rnd() : words[16],
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Nonsense in one ring; the other queue of the same context works as ever. */
static void scribbled(const void *arg)
{
	struct nvme_dmabuf_command commands[DEPTH], bad;
	struct scribbler scribbler = { .stop = 0 };
	const struct way *way = arg;
	struct nvme_dmabuf_enter args;
	struct line good, victim;
	pthread_t handle;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 8 * MIB, 8 * MIB);
	rig_attach_all(&rig);
	line_open(&good, nvmedmabuf_fd(rig.ctx), 32, way->flags, 0);
	line_open(&victim, nvmedmabuf_fd(rig.ctx), 8, way->flags, 0);
	scribbler.line = &victim;
	check_eq(pthread_create(&handle, NULL, scribbler_run, &scribbler), 0);
	/* Reads of a block into where nothing else is read to or written from. */
	nvmedmabuf_prep_read(&bad, rig.map, rig.length - 4096, rig.drive.block, rig.first);
	for (unsigned int i = 0; i < scaled(20); i++) {
		struct rig part = rig;

		part.length -= 4096;
		for (unsigned int j = 0; j < 20; j++) {
			int result = line_enter(&victim, &bad, 1, rnd_below(3), MS, 0, &args);

			check(!result || result == -EAGAIN);
			check(args.out_completed <= victim.entries);
		}
		run_commands(&good, commands, rig_random(&part, commands, DEPTH));
	}
	__atomic_store_n(&scribbler.stop, 1, __ATOMIC_RELAXED);
	check_eq(pthread_join(handle, NULL), 0);
	line_close(&victim);
	line_close(&good);
	/* The last page was read to. */
	rig_read(&rig, rig.length - 4096, 4096, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
}

#define TRACING "/sys/kernel/tracing/"

/* How many requests the block layer says that this thread has begun. */
static unsigned int requests_traced(struct line *line, const struct nvme_dmabuf_command *commands,
				    unsigned int count)
{
	unsigned int traced = 0;
	char text[512];
	FILE *f;

	fclose(fopen(TRACING "trace", "w"));
	check(file_put(TRACING "events/block/block_io_start/enable", "1"));
	line_submit(line, commands, count);
	line_wait(line, count);
	check(file_put(TRACING "events/block/block_io_start/enable", "0"));
	check_eq(drain(line), count);
	f = fopen(TRACING "trace", "r");
	check(f);
	while (fgets(text, sizeof(text), f))
		traced += !!strstr(text, " block_io_start: ");
	fclose(f);
	return traced;
}

/* The block layer tells of requests that it adds to a plug itself. */
static void plug_parameter(const void *arg)
{
	struct nvme_dmabuf_command commands[DEPTH];
	unsigned int major = 0, minor = 0, traced;
	char value[16] = "N", number[16];
	struct utsname system;
	struct line line;
	bool shorter;
	struct rig rig;

	(void)arg;
	if (access(TRACING "events/block/block_io_start/enable", W_OK))
		skip("the kernel does not tell of the requests that it begins");
	check_sys(uname(&system));
	check_eq(sscanf(system.release, "%u.%u", &major, &minor), 2);
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	line_open(&line, nvmedmabuf_fd(rig.ctx), DEPTH, 0, 0);
	for (unsigned int i = 0; i < DEPTH; i++)
		commands[i] = (struct nvme_dmabuf_command){
			.user_data = FIRST + i,
			.slba = rig.first + i * (64 * KIB / rig.drive.block),
			.offset = i * 64 * KIB,
			.length = 64 * KIB,
			.map = rig.map,
			.opcode = NVME_DMABUF_OP_READ,
		};
	snprintf(number, sizeof(number), "%d", getpid());
	check(file_put(TRACING "set_event_pid", number));

	/* Not the first one of a map, and none for which the thread has changed the CPU. */
	traced = requests_traced(&line, commands, DEPTH);
	note("%u of %u requests were traced", traced, DEPTH);
	shorter = major > 6 || (major == 6 && minor >= 13);
	check_eq(traced < DEPTH / 2, shorter);
	parameter_swap("plug", value);
	check_eq(requests_traced(&line, commands, DEPTH), DEPTH);
	parameter_swap("plug", value);
	check_eq(requests_traced(&line, commands, DEPTH) < DEPTH / 2, shorter);

	fclose(fopen(TRACING "set_event_pid", "w"));
	for (unsigned int i = 0; i < DEPTH; i++)
		memcpy(rig.mirror + i * 64 * KIB, rig.disk + i * 64 * KIB, 64 * KIB);
	rig_verify(&rig);
	line_close(&line);
	rig_close(&rig);
}

static void add(void (*run)(const void *arg), const char *name)
{
	tap_add(run, &interrupts, "%s: %s", interrupts.name, name);
	tap_add(run, &polled, "%s: %s", polled.name, name);
}

int main(int argc, char **argv)
{
	static const struct visitor visitors[] = {
		{ "interrupts", 0, 0 },
		{ "polled", NVME_DMABUF_QUEUE_POLLED, 0 },
		{ "polled, nowait", NVME_DMABUF_QUEUE_POLLED, NVME_DMABUF_ENTER_NOWAIT },
	};

	require_device();
	tap_add(arguments, NULL, "arguments");
	add(data, "data of many commands at once");
	add(threads, "several threads on one queue");
	add(counts, "no completion is lost or doubled");
	add(full_depth, "as many in flight as there may be");
	add(full_ring, "a ring that nobody reads");
	add(reader_makes_room, "another thread makes room in the ring");
	add(timeout, "waits end in time");
	add(signals, "signals end waits");
	tap_add(polled_if_there, NULL, "polled: as the driver was told");
	tap_add(nowait, NULL, "polled: nowait gets on");
	tap_add(requests_in_use, NULL, "interrupts: others have all of the drive's requests");
	for (size_t i = 0; i < ARRAY_SIZE(visitors); i++)
		tap_add(nobody_looks, &visitors[i], "%s: others do not look for theirs",
			visitors[i].name);
	tap_add(poll_and_eventfd, NULL, "interrupts: poll() and eventfd");
	tap_add(poll_polled, NULL, "polled: poll() looks");
	add(refusals, "commands that are refused");
	add(detach_in_flight, "the map is detached");
	add(close_in_flight, "all is closed");
	add(killed, "the submitter is killed");
	add(scribbled, "nonsense in the ring");
	tap_add(plug_parameter, NULL, "interrupts: the module's own way to plug, and not");
	return tap_run(argc, argv);
}
