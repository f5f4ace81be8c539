// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test suspends the machine while commands of every kind are in flight, and
 * while every drive is busy. Each command succeeds, and afterwards all data is right
 * on both sides: nothing is lost, and nobody need attach again.
 *
 * The kernel's own test mode does the waking up: it goes all the way into a state of
 * sleep but for the last step, waits for a second, and comes back.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leaving.h"
#include "slow.h"
#include "ways.h"

#define COMMANDS SLOW_COMMANDS
#define LENGTH	 SLOW_LENGTH
#define BYTES	 (COMMANDS * LENGTH)

/**
 * struct state - how deep the machine sleeps
 * @state: what is asked for
 * @test: how far that goes
 */
struct state {
	const char *name;
	const char *state;
	const char *test;
};

static const struct state states[] = {
	/* Devices have no power, CPUs are idle. */
	{ "to idle", "freeze", "platform" },
	/* As if to RAM: all CPUs but one are offline, and their hardware queues with them. */
	{ "without CPUs", "mem", "processors" },
};

static void require_suspend(void)
{
	const char *allowed = getenv("NVME_DMABUF_SUSPEND");

	require_erase();
	if (!allowed || strcmp(allowed, "yes"))
		skip("this machine does not survive that; NVME_DMABUF_SUSPEND=yes says it does");
	if (access("/sys/power/pm_test", W_OK))
		skip("this kernel has no test mode for that: CONFIG_PM_SLEEP_DEBUG");
}

static void machine_suspend(const struct state *state)
{
	static const char succeeded[] = "/sys/power/suspend_stats/success";
	long long before = file_number(succeeded);

	check(before >= 0);
	check(file_put("/sys/module/suspend/parameters/pm_test_delay", "1"));
	check(file_put("/sys/power/pm_test", state->test));
	check_that(file_put("/sys/power/state", state->state), "it did not go to sleep: %m");
	check_eq(file_number(succeeded), before + 1);
}

/*
 * While its process sleeps nobody looks for what a polled queue has completed, but the
 * driver, once a command has taken too long: this long, in ms. It suspends the drive after
 * that. No command takes as long by itself.
 */
#define LOOKED_AT 5000

/**
 * struct user - a thread that submits commands, and waits until all have succeeded
 * @thread: its number, once it runs
 * @submitted: it has submitted, where that is not the same as waiting
 * @done: so many have ended
 */
struct user {
	const struct submit_way *way;
	struct rig *rig;
	struct nvme_dmabuf_command commands[COMMANDS];
	unsigned int count;
	volatile pid_t thread;
	volatile bool submitted;
	volatile unsigned int done;
	pthread_t handle;
};

static void user_work(struct user *u)
{
	struct nvme_dmabuf_completion completions[COMMANDS];

	for (unsigned int i = 0; i < u->count; i++)
		u->commands[i].timeout_ms = way_is_polled(u->way) ? LOOKED_AT : 0;
	way_run(u->way, nvmedmabuf_fd(u->rig->ctx), u->commands, u->count, completions,
		&u->submitted, &u->done);
	for (unsigned int i = 0; i < u->count; i++) {
		check_good(&completions[i]);
		check_eq(completions[i].bytes, u->commands[i].length);
	}
}

static void *user_run(void *arg)
{
	struct user *u = arg;

	u->thread = gettid();
	user_work(u);
	return NULL;
}

/* Reads and writes by turns, of pieces in another order on the drive. */
static void user_prepare(struct user *u)
{
	uint64_t blocks = LENGTH / u->rig->drive.block;
	unsigned int shift = rnd_below(COMMANDS);

	for (unsigned int i = 0; i < COMMANDS; i++) {
		uint64_t slba = u->rig->first + (i + shift) % COMMANDS * blocks;

		if (i % 2)
			nvmedmabuf_prep_write(&u->commands[i], u->rig->map, i * LENGTH, LENGTH,
					      slba);
		else
			nvmedmabuf_prep_read(&u->commands[i], u->rig->map, i * LENGTH, LENGTH,
					     slba);
		u->commands[i].user_data = RIG_FIRST + i;
	}
	u->count = COMMANDS;
	rig_prepare(u->rig, u->commands, COMMANDS);
}

static bool user_waits(const struct user *u)
{
	return u->way->kind == WAY_CALL ? u->thread && is_waiting(u->thread) : u->submitted;
}

static struct known slow_drive;

static void in_flight(const void *arg)
{
	struct user u = { .way = arg };
	struct rig rig;

	require_suspend();
	require_unbind(&slow_drive);
	drive_throttle(&slow_drive, 0);
	rig_open(&rig, drive_path("SLOW"), exporter_any(), BYTES, BYTES);
	rig_attach_all(&rig);
	u.rig = &rig;
	for (unsigned int i = 0; i < scaled(ARRAY_SIZE(states)); i++) {
		const struct state *state = &states[i % ARRAY_SIZE(states)];
		uint64_t start;

		u.thread = 0;
		u.submitted = false;
		user_prepare(&u);
		/* They take a second and a half. */
		drive_throttle(&slow_drive, SLOW_SPEED);
		check_eq(pthread_create(&u.handle, NULL, user_run, &u), 0);
		wait_until(user_waits(&u));
		check(u.done < u.count / 2);
		start = now_ms();
		machine_suspend(state);
		note("%s: awake after %llu ms", state->name,
		     (unsigned long long)(now_ms() - start));
		check_eq(pthread_join(u.handle, NULL), 0);
		drive_throttle(&slow_drive, 0);
		rig_verify(&rig);
	}
	drive_throttle(&slow_drive, SLOW_SPEED);
	rig_close(&rig);
}

/**
 * struct busy - a thread that keeps a drive busy, in all ways by turns
 * @rounds: how often it has moved data and found it right
 */
struct busy {
	const char *path;
	unsigned int number;
	volatile unsigned int rounds;
	pthread_t handle;
};

static unsigned int stop;

static void *busy_run(void *arg)
{
	struct busy *b = arg;
	struct user u = { .thread = 0 };
	struct rig rig;

	rnd_start(b->number + 1);
	rig_open(&rig, b->path, exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	u.rig = &rig;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		u.way = &submit_ways[rnd_below(WAYS)];
		u.count = rig_random(&rig, u.commands, COMMANDS);
		if (!u.count)
			continue;
		user_work(&u);
		rig_verify(&rig);
		b->rounds++;
	}
	rig_close(&rig);
	return NULL;
}

static void all_busy(const void *arg)
{
	static const char *const names[] = { "PLAIN512", "PLAIN4K", "SMALLMDTS", "PISEP", "MPATH" };
	struct busy busy[ARRAY_SIZE(names)] = { { .rounds = 0 } };
	unsigned int before[ARRAY_SIZE(names)];

	(void)arg;
	require_suspend();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		busy[i].path = drive_path(names[i]);
		busy[i].number = i;
		check_eq(pthread_create(&busy[i].handle, NULL, busy_run, &busy[i]), 0);
	}
	for (unsigned int n = 0; n < scaled(2 * ARRAY_SIZE(states)); n++) {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			before[i] = busy[i].rounds;
		/* Each of them gets on between the last time and this. */
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			wait_until(busy[i].rounds > before[i]);
		machine_suspend(&states[n % ARRAY_SIZE(states)]);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		check_eq(pthread_join(busy[i].handle, NULL), 0);
		note("%s: %u rounds", names[i], busy[i].rounds);
	}
}

int main(int argc, char **argv)
{
	int status;

	require_device();
	known_remember("SLOW", &slow_drive);
	for (size_t i = 0; i < WAYS; i++)
		tap_add(in_flight, &submit_ways[i], "commands of %s in flight",
			submit_ways[i].name);
	tap_add(all_busy, NULL, "all drives busy");
	status = tap_run(argc, argv);
	/* A test that failed may have left others. */
	file_put("/sys/power/pm_test", "none");
	if (getenv("NVME_DMABUF_QMP"))
		drive_throttle(&slow_drive, SLOW_SPEED);
	return status;
}
