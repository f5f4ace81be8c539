// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test resets controllers, lets drives hang until the driver resets them,
 * and pulls plugs while the buffer moves: every command ends, with its data or
 * with an error that says so; maps outlive a reset, and the drive works again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"
#include "leaving.h"
#include "line.h"
#include "qmp.h"
#include "slow.h"

#define COPY  EXPORTER_MOVE_COPY
#define FORCE EXPORTER_MOVE_FORCE
#define WAIT  EXPORTER_MOVE_WAIT

static struct known idle_drive, slow_drive, hot_drive;

/* Set when threads shall end. */
static unsigned int stop;

static bool stopping(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

/* Ways to reset a drive that stays bound to its driver. */
enum reset { CONTROLLER, FUNCTION };

static void require_reset(const struct known *known, enum reset how)
{
	struct device d = { .known = known };
	char path[128];

	require_unbind(known);
	device_file(&d, "reset", path, sizeof(path));
	if (how == FUNCTION && access(path, W_OK))
		skip("the kernel knows no way to reset this PCI function");
}

/*
 * Returns when the controller has been reset and takes commands, or when
 * another reset was under way, which the driver refuses.
 */
static bool reset(const struct device *d, enum reset how)
{
	char path[128];
	glob_t found;
	bool done;

	if (how == FUNCTION) {
		device_file(d, "reset", path, sizeof(path));
		return file_put(path, "1");
	}
	device_file(d, "nvme/nvme*/reset_controller", path, sizeof(path));
	check_that(!glob(path, 0, NULL, &found), "no %s", path);
	done = file_put(found.gl_pathv[0], "1");
	globfree(&found);
	return done;
}

static void check_live(struct rig *rig)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_generation, 1);
}

static void check_transfers(struct rig *rig)
{
	check_live(rig);
	rig_read(rig, 0, 64 * KIB, rig->first);
	if (may_erase())
		rig_write(rig, 4, 64 * KIB, rig->first);
	rig_verify(rig);
}

static void idle(enum reset how)
{
	struct device d;
	struct rig rig;

	require_reset(&idle_drive, how);
	device_find(&d, UNBIND, &idle_drive);
	rig_open(&rig, d.path, exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	for (unsigned int i = 0; i < scaled(3); i++) {
		check_transfers(&rig);
		check(reset(&d, how));
	}
	check_transfers(&rig);
	rig_close(&rig);
	check_works(&d);
}

static void controller_idle(const void *arg)
{
	(void)arg;
	idle(CONTROLLER);
}

static void function_idle(const void *arg)
{
	(void)arg;
	idle(FUNCTION);
}

static bool has_polled_queues(const struct rig *rig)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, &info), 0);
	return info.out_flags & NVME_DMABUF_NS_POLL;
}

/* More at once than the block layer hands out requests for. */
static void check_polled_line(struct line *line, struct rig *rig)
{
	struct nvme_dmabuf_command commands[64];
	struct nvme_dmabuf_completion c;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		nvmedmabuf_prep_read(&commands[i], rig->map, i * 8 * KIB, 8 * KIB,
				     rig->first + i * 8 * KIB / rig->drive.block);
		commands[i].user_data = RIG_FIRST + i;
	}
	line_submit(line, commands, ARRAY_SIZE(commands));
	line_wait(line, ARRAY_SIZE(commands));
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		check(line_next(line, &c));
		check_good(&c);
	}
	memcpy(rig->mirror, rig->disk, ARRAY_SIZE(commands) * 8 * KIB);
	rig_verify(rig);
}

/* A queue that polls goes on by interrupts, and polls again when that is possible. */
static void polled_queues_go(const void *arg)
{
	static const char path[] = "/sys/module/nvme/parameters/poll_queues";
	char count[16] = "";
	struct line line;
	struct device d;
	struct rig rig;
	FILE *f;

	(void)arg;
	require_reset(&idle_drive, CONTROLLER);
	device_find(&d, UNBIND, &idle_drive);
	rig_open(&rig, d.path, exporter_any(), MIB, MIB);
	if (!has_polled_queues(&rig))
		skip("the drive has no polled queues");
	f = fopen(path, "re");
	check_that(f && fgets(count, sizeof(count), f), "%s: %m", path);
	fclose(f);
	rig_attach_all(&rig);
	line_open(&line, nvmedmabuf_fd(rig.ctx), 64, NVME_DMABUF_QUEUE_POLLED, 0);
	check_polled_line(&line, &rig);
	for (unsigned int i = 0; i < scaled(2); i++) {
		check(file_put(path, "0"));
		check(reset(&d, CONTROLLER));
		check(!has_polled_queues(&rig));
		check_polled_line(&line, &rig);
		check(file_put(path, count));
		check(reset(&d, CONTROLLER));
		check(has_polled_queues(&rig));
		check_polled_line(&line, &rig);
	}
	line_close(&line);
	rig_close(&rig);
	check_works(&d);
}

/*
 * A drive that is reset may have had its data ready, or may just take the
 * command afterwards. It is still there: nothing is GONE.
 */
static void check_ended_here(const struct nvme_dmabuf_completion *c, uint64_t length)
{
	check_ended(c, length);
	check_that(c->error != -ENODEV, "the drive is said to be gone");
}

/*
 * Slow reads, of which those that succeeded must have brought their data. Returns how many
 * the driver gave up.
 */
static unsigned int check_slow_reads(const struct submitter *s, struct rig *rig)
{
	unsigned int failed = 0, given_up = 0;

	buffer_begin_cpu(&rig->buffer);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		const struct nvme_dmabuf_completion *c = &s->completions[i];
		uint64_t at = i * SLOW_LENGTH;

		check_ended_here(c, SLOW_LENGTH);
		if (c->error || c->status) {
			failed++;
			given_up += c->error != 0;
			memcpy(rig->mirror + at, rig->buffer.addr + at, SLOW_LENGTH);
		} else {
			memcpy(rig->mirror + at, rig->disk + at, SLOW_LENGTH);
		}
	}
	compare("dma-buf", rig->buffer.addr, rig->mirror, rig->buffer.size, 0);
	buffer_end_cpu(&rig->buffer);
	note("%u of %u commands failed, of which %u were given up", failed, SLOW_COMMANDS,
	     given_up);
	return given_up;
}

/* The first 1.5 MiB of the slow drive hold what we know. */
static void slow_open(struct rig *rig, const char *path)
{
	require_erase();
	rig_open(rig, path, exporter_any(), 2 * MIB, 0);
	rig_window(rig, 0, SLOW_COMMANDS * SLOW_LENGTH / rig->drive.block,
		   SLOW_COMMANDS * SLOW_LENGTH / rig->drive.block);
	rig_attach_all(rig);
}

/* An attach, whose test read waits behind slow commands. */
struct late_attach {
	struct rig *rig;
	volatile pid_t thread;
	int result;
	uint32_t reason;
	pthread_t handle;
};

static void *late_attach_run(void *arg)
{
	struct late_attach *a = arg;
	uint32_t map;

	a->thread = gettid();
	a->result = attach_to(a->rig->ctx, a->rig->buffer.fd, a->rig->drive.fd, 0, MIB,
			      NVME_DMABUF_ACCESS_READ, 0, &map, &a->reason);
	if (!a->result)
		a->result = nvmedmabuf_detach(a->rig->ctx, map);
	return NULL;
}

static void late_attach_start(struct late_attach *a, struct rig *rig)
{
	*a = (struct late_attach){ .rig = rig };
	check_eq(pthread_create(&a->handle, NULL, late_attach_run, a), 0);
	wait_until(a->thread && is_waiting_in(a->thread, NVME_DMABUF_IOC_ATTACH));
}

static void late_attach_join(struct late_attach *a)
{
	check_eq(pthread_join(a->handle, NULL), 0);
	check_that(!a->result, "attach says %s, %s", strerror(-a->result),
		   nvmedmabuf_reason_name(a->reason));
}

/* The driver gives all of the commands up, and the test read of an attach. */
static void in_flight(enum reset how, bool attaching)
{
	static struct submitter s;
	struct late_attach a;
	struct device d;
	struct rig rig;

	require_reset(&slow_drive, how);
	device_find(&d, UNBIND, &slow_drive);
	drive_throttle(&slow_drive, 0);
	slow_open(&rig, d.path);
	/* The virtual drive may be done with all of them, just as it is reset. */
	do {
		drive_throttle(&slow_drive, SLOW_SPEED);
		submitter_start(&s, rig.ctx, rig.map, rig.drive.block);
		if (attaching)
			late_attach_start(&a, &rig);
		check(reset(&d, how));
		submitter_join(&s);
		if (attaching)
			late_attach_join(&a);
		drive_throttle(&slow_drive, 0);
	} while (!check_slow_reads(&s, &rig));
	check_transfers(&rig);
	drive_throttle(&slow_drive, SLOW_SPEED);
	rig_close(&rig);
}

static void controller_in_flight(const void *arg)
{
	(void)arg;
	in_flight(CONTROLLER, false);
}

static void function_in_flight(const void *arg)
{
	(void)arg;
	in_flight(FUNCTION, false);
}

static void controller_attach(const void *arg)
{
	(void)arg;
	in_flight(CONTROLLER, true);
}

static void function_attach(const void *arg)
{
	(void)arg;
	in_flight(FUNCTION, true);
}

/*
 * A thread with a part of the buffer and of the window of its own, which reads
 * and writes and knows what must be there, though commands may fail.
 */
#define PART  (256 * KIB)
#define PIECE (16 * KIB)

struct user {
	struct rig *rig;
	unsigned int number;
	volatile unsigned int done, failed;
	pthread_t handle;
};

static void user_round(struct user *u)
{
	struct nvme_dmabuf_command commands[PART / PIECE];
	struct nvme_dmabuf_completion c[PART / PIECE];
	struct rig *rig = u->rig;
	uint64_t start = u->number * PART;
	bool writes = may_erase() && rnd() % 2;

	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
		uint64_t at = start + i * PIECE, slba = rig->first + at / rig->drive.block;

		if (writes)
			nvmedmabuf_prep_write(&commands[i], rig->map, at, PIECE, slba);
		else
			nvmedmabuf_prep_read(&commands[i], rig->map, at, PIECE, slba);
	}
	rig_prepare(rig, commands, ARRAY_SIZE(commands));
	check_eq(nvmedmabuf_submit(rig->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		uint64_t at = start + i * PIECE, slba = rig->first + at / rig->drive.block;

		check_ended_here(&c[i], PIECE);
		if (!c[i].error && !c[i].status) {
			u->done++;
			continue;
		}
		/* It may or may not have happened. A read after it repeats it. */
		u->failed++;
		if (writes)
			drive_read(&rig->drive, slba, rig->disk + at, PIECE);
		else
			memcpy(rig->mirror + at, rig->buffer.addr + at, PIECE);
	}
	compare("this thread's part", rig->buffer.addr + start, rig->mirror + start, PART, start);
	if (writes) {
		uint8_t *actual = pages_alloc(PART);

		drive_read(&rig->drive, rig->first + start / rig->drive.block, actual, PART);
		compare("this thread's blocks", actual, rig->disk + start, PART, start);
		munmap(actual, PART);
	}
}

static void *user_run(void *arg)
{
	struct user *u = arg;

	rnd_start(u->number + 1);
	while (!stopping())
		user_round(u);
	return NULL;
}

/* And one that attaches and detaches all the time. */
static void *attacher_run(void *arg)
{
	struct user *u = arg;
	uint32_t map, reason;
	int result;

	while (!stopping()) {
		result = attach_to(u->rig->ctx, u->rig->buffer.fd, u->rig->drive.fd, 0, MIB,
				   NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
		/* A test read may have been given up. */
		check_that(!result || result == -EIO, "attach says %s, %s", strerror(-result),
			   nvmedmabuf_reason_name(reason));
		if (result) {
			u->failed++;
			continue;
		}
		u->done++;
		check_eq(nvmedmabuf_detach(u->rig->ctx, map), 0);
	}
	return NULL;
}

static void busy(enum reset how)
{
	struct user users[4];
	unsigned int last = ARRAY_SIZE(users) - 1, resets = 0, failed = 0;
	struct device d;
	struct rig rig;

	require_reset(&slow_drive, how);
	device_find(&d, UNBIND, &slow_drive);
	drive_throttle(&slow_drive, 0);
	rig_open(&rig, d.path, exporter_any(), last * PART + MIB, last * PART);
	rig_attach_all(&rig);
	/* So that there is always something in flight. */
	drive_throttle(&slow_drive, 16 * MIB);
	for (unsigned int i = 0; i <= last; i++) {
		users[i] = (struct user){ .rig = &rig, .number = i };
		check_eq(pthread_create(&users[i].handle, NULL, i < last ? user_run : attacher_run,
					&users[i]),
			 0);
	}
	for (unsigned int i = 0; i < scaled(10); i++) {
		unsigned int done[ARRAY_SIZE(users)];

		/* Each of them gets on between two resets. */
		for (unsigned int j = 0; j <= last; j++)
			done[j] = users[j].done;
		for (unsigned int j = 0; j <= last; j++)
			wait_until(users[j].done > done[j] + 1);
		for (uint64_t pause = rnd_below(20); pause; pause--)
			pause_ms();
		resets += reset(&d, how);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i <= last; i++) {
		check_eq(pthread_join(users[i].handle, NULL), 0);
		note("thread %u: %u done, %u failed", i, users[i].done, users[i].failed);
		failed += users[i].failed;
	}
	drive_throttle(&slow_drive, 0);
	check(resets);
	/* A slow machine may have none; that is what the tests of I/O in flight are for. */
	if (!failed)
		note("no command was in flight when the drive was reset");
	check_transfers(&rig);
	rig_close(&rig);
	check_works(&d);
	drive_throttle(&slow_drive, SLOW_SPEED);
}

static void controller_busy(const void *arg)
{
	(void)arg;
	busy(CONTROLLER);
}

static void function_busy(const void *arg)
{
	(void)arg;
	busy(FUNCTION);
}

/*
 * The drive takes longer for its work than the commands may take: the driver
 * aborts them and then resets the controller, which gives them up. Much
 * slower it must not be: the virtual drive works off its queue before it is
 * reset, and stops the machine for that long.
 */
#define HANGING (192 * KIB)

static void hung_commands(struct submitter *s, struct rig *rig)
{
	struct nvme_dmabuf_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_info(rig->ctx, &info), 0);
	slow_commands(s->commands, rig->map, rig->drive.block);
	/* The block layer's second look waits for the longest timeout of the queue. */
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		s->commands[i].timeout_ms = info.out_min_timeout_ms;
}

static void *hung_run(void *arg)
{
	struct submitter *s = arg;

	s->thread = gettid();
	s->result = nvmedmabuf_submit(s->ctx, s->commands, s->completions, SLOW_COMMANDS);
	return NULL;
}

static void hung_start(struct submitter *s, struct rig *rig)
{
	s->ctx = rig->ctx;
	s->thread = 0;
	hung_commands(s, rig);
	memset(s->completions, 0xff, sizeof(s->completions));
	check_eq(pthread_create(&s->handle, NULL, hung_run, s), 0);
	wait_until(s->thread && is_waiting(s->thread));
}

/* What the driver's own timeout, which these commands do not wait for, would be. */
#define LONG_MS 30000

static void hung(const void *arg)
{
	static struct submitter s;
	struct device d;
	struct rig rig;
	uint64_t start;

	(void)arg;
	require_unbind(&slow_drive);
	device_find(&d, UNBIND, &slow_drive);
	drive_throttle(&slow_drive, 0);
	slow_open(&rig, d.path);
	for (unsigned int i = 0; i < scaled(1); i++) {
		drive_throttle(&slow_drive, HANGING);
		start = now_ms();
		hung_start(&s, &rig);
		submitter_join(&s);
		note("it took %llu ms", (unsigned long long)(now_ms() - start));
		/* If only the command that took too long a second time. */
		check(check_slow_reads(&s, &rig));
		check(now_ms() - start < LONG_MS);
		drive_throttle(&slow_drive, 0);
		check_transfers(&rig);
	}
	drive_throttle(&slow_drive, SLOW_SPEED);
	rig_close(&rig);
	check_works(&d);
}

static void check_moved_within(const struct exporter_move *move, uint64_t limit_ms)
{
	uint64_t us = move->out_notify_us + move->out_fence_us + move->out_unmap_us;

	check_eq(move->out_left, 0);
	check_eq(move->out_held, 0);
	check_that(us < limit_ms * 1000, "moving took %llu us", (unsigned long long)us);
}

/*
 * Two who wait for a reset, and no longer: the end of a process that was killed,
 * and the exporter of its buffer, and of another's, who wants it back.
 */
static void hung_killed_and_moved(const void *arg)
{
	static struct submitter s;
	struct exporter_move move;
	struct exported b;
	struct device d;
	struct rig rig;
	uint32_t map;
	int status;
	pid_t child;

	(void)arg;
	require_exporter();
	require_unbind(&slow_drive);
	device_find(&d, UNBIND, &slow_drive);
	drive_throttle(&slow_drive, 0);
	slow_open(&rig, d.path);
	exported_create_pages(&b, 2 * MIB, EXPORTER_DYNAMIC);
	map = rig.map;
	rig.map = attach(rig.ctx, b.fd, rig.drive.fd, 0, b.bytes, NVME_DMABUF_ACCESS_READ);
	drive_throttle(&slow_drive, HANGING);
	child = check_sys(fork());
	if (!child) {
		rig.ctx = ctx_open();
		rig.map = attach(rig.ctx, b.fd, rig.drive.fd, 0, b.bytes, NVME_DMABUF_ACCESS_READ);
		hung_commands(&s, &rig);
		nvmedmabuf_submit(rig.ctx, s.commands, s.completions, SLOW_COMMANDS / 4);
		_exit(99);
	}
	wait_until(is_waiting(child));
	hung_start(&s, &rig);
	check_sys(kill(child, SIGKILL));
	check_eq(exported_move(&b, COPY | FORCE | WAIT, &move), 0);
	check_moved_within(&move, LONG_MS);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_that(WIFSIGNALED(status), "the child ended too early: %#x", status);
	submitter_join(&s);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		/* Those that the block layer held back may find the map revoked. */
		if (s.completions[i].error == -ESTALE)
			check_eq(s.completions[i].reason, NVME_DMABUF_REASON_REVOKED);
		else
			check_ended_here(&s.completions[i], SLOW_LENGTH);
	}
	note("the exporter waited for %llu ms", (unsigned long long)move.out_notify_us / 1000);
	exported_check_damage(&b);
	drive_throttle(&slow_drive, 0);
	check_eq(nvmedmabuf_detach(rig.ctx, rig.map), 0);
	wait_until(!exported_query(&b).out_attached);
	check_unused(&b);
	exported_close(&b);
	rig.map = map;
	check_transfers(&rig);
	drive_throttle(&slow_drive, SLOW_SPEED);
	rig_close(&rig);
}

/* Moves a buffer until it is told to stop. */
struct mover {
	struct exported *b;
	unsigned int moves;
	pthread_t handle;
};

static void *mover_run(void *arg)
{
	struct mover *m = arg;
	struct exporter_move move;

	while (!stopping()) {
		check_eq(exported_move(m->b, COPY | FORCE | WAIT, &move), 0);
		check_moved_within(&move, 30000);
		exported_check_damage(m->b);
		m->moves++;
	}
	return NULL;
}

/* Attaches and submits while it moves, until the drive is gone. */
static void *until_gone_run(void *arg)
{
	struct nvme_dmabuf_command commands[16];
	struct nvme_dmabuf_completion c[16];
	struct user *u = arg;
	struct rig *rig = u->rig;
	uint32_t map, reason;
	int result;

	for (;;) {
		result = attach_to(rig->ctx, rig->buffer.fd, rig->drive.fd, 0, MIB,
				   NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
		if (result) {
			check_that(result == -ENODEV && reason == NVME_DMABUF_REASON_GONE,
				   "attach says %s, %s", strerror(-result),
				   nvmedmabuf_reason_name(reason));
			return NULL;
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
			nvmedmabuf_prep_read(&commands[i], map, i * PIECE, PIECE, 0);
		check_eq(nvmedmabuf_submit(rig->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
		for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
			if (c[i].error == -ESTALE)
				check_eq(c[i].reason, NVME_DMABUF_REASON_REVOKED);
			else
				check_ended(&c[i], PIECE);
		}
		u->done++;
		if (rnd() % 4)
			check_eq(nvmedmabuf_detach(rig->ctx, map), 0);
	}
}

static void gone_while_moving(enum way way, const struct known *known)
{
	struct user users[2];
	struct exported b;
	struct device d;
	struct rig rig = { 0 };
	struct mover m = { .b = &b };

	require_exporter();
	require_unbind(known);
	if (way == UNPLUG)
		require_qmp();
	device_find(&d, way, known);
	drive_open(&rig.drive, d.path);
	rig.ctx = ctx_open();
	exported_create_pages(&b, MIB, EXPORTER_DYNAMIC);
	rig.buffer.fd = b.fd;
	rig.map = attach(rig.ctx, b.fd, rig.drive.fd, 0, b.bytes, NVME_DMABUF_ACCESS_READ);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++) {
		users[i] = (struct user){ .rig = &rig, .number = i };
		check_eq(pthread_create(&users[i].handle, NULL, until_gone_run, &users[i]), 0);
		wait_until(users[i].done);
	}
	check_eq(pthread_create(&m.handle, NULL, mover_run, &m), 0);
	for (uint64_t pause = rnd_below(300); pause; pause--)
		pause_ms();
	device_take(&d);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++)
		check_eq(pthread_join(users[i].handle, NULL), 0);
	check_gone(&rig);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	check_eq(pthread_join(m.handle, NULL), 0);
	note("%u and %u batches, %u moves", users[0].done, users[1].done, m.moves);
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
	check_unused(&b);
	exported_check_damage(&b);

	/* The same buffer and another like the drive that went. */
	device_return(&d);
	drive_open(&rig.drive, d.path);
	rig.ctx = ctx_open();
	rig.map = attach(rig.ctx, b.fd, rig.drive.fd, 0, b.bytes, NVME_DMABUF_ACCESS_READ);
	check_eq(nvmedmabuf_read(rig.ctx, rig.map, 0, PIECE, 0, NULL), 0);
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
	check_works(&d);
	exported_check_damage(&b);
	exported_close(&b);
}

static void removed_while_moving(const void *arg)
{
	(void)arg;
	gone_while_moving(REMOVE, &idle_drive);
}

static void unplugged_while_moving(const void *arg)
{
	(void)arg;
	gone_while_moving(UNPLUG, &hot_drive);
}

int main(int argc, char **argv)
{
	int status;

	require_device();
	known_remember("PLAIN4K", &idle_drive);
	known_remember("SLOW", &slow_drive);
	known_remember("HOT", &hot_drive);
	tap_add(controller_idle, NULL, "controller reset, maps idle");
	tap_add(polled_queues_go, NULL, "controller reset, polled queues go and come back");
	tap_add(controller_in_flight, NULL, "controller reset, I/O in flight");
	tap_add(controller_attach, NULL, "controller reset, attach in flight");
	tap_add(controller_busy, NULL, "controller reset, threads submitting and attaching");
	tap_add(function_idle, NULL, "function reset, maps idle");
	tap_add(function_in_flight, NULL, "function reset, I/O in flight");
	tap_add(function_attach, NULL, "function reset, attach in flight");
	tap_add(function_busy, NULL, "function reset, threads submitting and attaching");
	tap_add(hung, NULL, "the drive hangs: aborted, reset, works again");
	tap_add(hung_killed_and_moved, NULL,
		"the drive hangs, a process is killed, the exporter wants the buffer back");
	tap_add(removed_while_moving, NULL, "device removed while the buffer moves");
	tap_add(unplugged_while_moving, NULL, "device unplugged while the buffer moves");
	status = tap_run(argc, argv);
	/* A test that failed may have left another. */
	if (getenv("NVME_DMABUF_QMP"))
		drive_throttle(&slow_drive, SLOW_SPEED);
	return status;
}
