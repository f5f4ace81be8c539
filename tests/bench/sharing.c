// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which cache lines the module writes on one CPU and touches on another. Threads read,
 * each on a CPU of its own, with more and more that is each one's own. QEMU's plugin
 * lines.c counts, and writes its results to the host; what is printed here says what each
 * window of it was. See README.md.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "lines.h"
#include "parts.h"

#define MAX_CPUS 8U
#define WARM_UP	 4U
#define ROUNDS	 8U
#define WINDOWS	 2U /* the least of them counts: what happens once is in one */
#define LINE	 64U

/* A way to submit, and whether completions come by interrupts. */
struct front_end {
	const char *name;
	const struct path *path;
	bool interrupts;
	bool is_stock;
};

/* What the threads share. */
struct sharing {
	const char *name;
	bool context;
	bool map;
	bool queue;
};

static const struct front_end front_ends[] = {
	{ .name = "ioctl", .path = &path_ioctl },
	{ .name = "ioctl_irq", .path = &path_ioctl, .interrupts = true },
	{ .name = "uring", .path = &path_uring },
	{ .name = "uring_irq", .path = &path_uring, .interrupts = true },
	{ .name = "submit", .path = &path_submit, .interrupts = true },
	{ .name = "uring_cmd", .path = &path_uring_cmd, .is_stock = true },
	{ .name = "read_fixed", .path = &path_read_fixed, .is_stock = true },
};

static const struct sharing sharings[] = {
	{ .name = "map", .context = true, .map = true },
	{ .name = "context", .context = true },
	{ .name = "nothing" },
};

/* Threads with one queue must share lines: if none is found, something is wrong. */
static const struct sharing one_queue = {
	.name = "queue",
	.context = true,
	.map = true,
	.queue = true,
};

static const struct front_end *front_end;
static const struct job *job;
static struct io ios[MAX_CPUS][WARM_UP + WINDOWS * ROUNDS][MAX_DEPTH];
static pthread_barrier_t barrier;
static uint32_t turn, threads_in_turn;
static uint64_t window;

static void stay_on(uint32_t cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPU %u: %m", cpu);
}

/*
 * Threads call the kernel in turn: then the module goes the same way in each run, and each
 * finds what the others left. They wait outside of the calls, so whatever the kernel
 * does for that is not counted.
 */
static void take_turn(uint32_t thread)
{
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != thread)
		usleep(200);
}

static void pass_turn(void)
{
	__atomic_store_n(&turn, (turn + 1) % threads_in_turn, __ATOMIC_RELEASE);
}

static void run_round(uint32_t thread, uint32_t round)
{
	const struct path *path = front_end->path;
	bool at_once = job->shared && job->shared->queue >= 0;
	int error;

	path->prepare(ios[thread][round], job->depth);
	take_turn(thread);
	lines_tell(LINES_CALL, 1);
	path->submit(job->depth);
	lines_tell(LINES_CALL, 0);
	/* The others' commands are in flight as well, unless they are for one queue. */
	if (!at_once)
		pass_turn();
	usleep(500 + job->depth * 4);
	if (!at_once)
		take_turn(thread);
	lines_tell(LINES_CALL, 1);
	error = path->reap(job->depth);
	lines_tell(LINES_CALL, 0);
	pass_turn();
	if (error)
		die("%s: %s", front_end->name, error_name(error));
}

static void *run_thread(void *arg)
{
	uint32_t thread = (uintptr_t)arg;
	int error;

	stay_on(thread);
	error = front_end->path->open(job);
	if (error)
		die("%s: %s", front_end->name, error_name(error));
	for (uint32_t round = 0; round < WARM_UP; round++)
		run_round(thread, round);
	for (uint32_t i = 0; i < WINDOWS; i++) {
		pthread_barrier_wait(&barrier);
		/* Here the window opens. */
		pthread_barrier_wait(&barrier);
		for (uint32_t round = 0; round < ROUNDS; round++)
			run_round(thread, WARM_UP + i * ROUNDS + round);
		pthread_barrier_wait(&barrier);
		/* And here it closes. */
		pthread_barrier_wait(&barrier);
	}
	front_end->path->close();
	return NULL;
}

/* Runs threads, and windows while all of them do what is counted. */
static void run_threads(uint32_t count, void *(*run)(void *), uint64_t reads, uint32_t windows)
{
	pthread_t threads[MAX_CPUS];

	turn = 0;
	threads_in_turn = count;
	pthread_barrier_init(&barrier, NULL, count + 1);
	for (uintptr_t i = 0; i < count; i++)
		if ((errno = pthread_create(&threads[i], NULL, run, (void *)i)))
			die("thread: %m");
	while (windows--) {
		pthread_barrier_wait(&barrier);
		lines_tell(LINES_OPEN, ++window);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		lines_tell(LINES_CLOSE, reads);
		pthread_barrier_wait(&barrier);
	}
	for (uint32_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

static void print_window(const char *path)
{
	print_start("sharing", path);
	printf(", \"window\": %llu", (unsigned long long)window);
}

static void count_sharing(struct job *todo, const struct front_end *way,
			  const struct sharing *sharing, uint32_t cpus)
{
	struct shared shared;

	front_end = way;
	job = todo;
	todo->interrupts = way->interrupts;
	if (sharing && sharing->context) {
		open_shared(todo, sharing->map, sharing->queue, &shared);
		todo->shared = &shared;
	}
	for (uint32_t thread = 0; thread < cpus; thread++)
		for (uint32_t round = 0; round < ARRAY_SIZE(ios[0]); round++)
			random_ios(todo, ios[thread][round]);
	run_threads(cpus, run_thread, (uint64_t)cpus * ROUNDS * todo->depth, WINDOWS);
	print_window(way->name);
	printf(", \"windows\": %u", WINDOWS);
	printf(", \"shared\": \"%s\", \"cpus\": %u, \"depth\": %u, \"polled\": %s, \"stock\": %s}\n",
	       sharing ? sharing->name : "nothing", cpus, todo->depth,
	       way->interrupts ? "false" : "true", way->is_stock ? "true" : "false");
	fflush(stdout);
	if (todo->shared)
		close_shared(todo->shared);
	todo->shared = NULL;
}

/*
 * The plugin tries itself: it is told that the code to count is the functions below, which
 * do what is known.
 */
struct known {
	_Alignas(LINE) volatile uint32_t all_write;
	_Alignas(LINE) volatile uint32_t each_writes_a_word[MAX_CPUS];
	_Alignas(LINE) volatile uint32_t all_read;
	_Alignas(LINE) volatile uint32_t first_writes_once;
	struct {
		_Alignas(LINE) volatile uint32_t own;
	} each[MAX_CPUS];
};

static struct known known;
static enum {
	ALL_WRITE,
	EACH_WRITES_A_WORD,
	ALL_READ,
	FIRST_WRITES_ONCE,
	EACH_ITS_OWN,
	HELPER_WRITES,
	HELPER_OF_OTHERS,
} knowledge;

/* The linker names the ends of a section. */
#define KNOWN_CODE   __attribute__((section("known_code"), noinline))
#define KNOWN_HELPER __attribute__((section("known_helper"), noinline))
extern const char __start_known_code[], __stop_known_code[];
extern const char __start_known_helper[], __stop_known_helper[];

KNOWN_HELPER static void help_known(uint32_t i)
{
	known.all_write = i;
}

KNOWN_CODE static void touch_known(uint32_t thread, uint32_t what, uint32_t i)
{
	switch (what) {
	case ALL_WRITE:
		known.all_write = i;
		break;
	case EACH_WRITES_A_WORD:
		known.each_writes_a_word[thread] = i;
		break;
	case ALL_READ:
		(void)known.all_read;
		break;
	case FIRST_WRITES_ONCE:
		if (!thread && !i)
			known.first_writes_once = 1;
		(void)known.first_writes_once;
		break;
	case EACH_ITS_OWN:
		known.each[thread].own = i;
		break;
	case HELPER_WRITES:
		help_known(i);
		break;
	}
}

#define KNOWN_TURNS 100U

static void *run_known(void *arg)
{
	uint32_t thread = (uintptr_t)arg;

	stay_on(thread);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	for (uint32_t i = 0; i < KNOWN_TURNS; i++) {
		lines_tell(LINES_CALL, 1);
		if (knowledge == HELPER_OF_OTHERS)
			help_known(i);
		else
			touch_known(thread, knowledge, i);
		lines_tell(LINES_CALL, 0);
	}
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void count_known(uint32_t cpus)
{
	static const struct {
		const char *what;
		uint32_t moves;
		bool of_each;
	} all[] = {
		[ALL_WRITE] = { "a line that all write", KNOWN_TURNS, true },
		[EACH_WRITES_A_WORD] = { "a line of which each writes a word", KNOWN_TURNS, true },
		[ALL_READ] = { "a line that all read", 0 },
		[FIRST_WRITES_ONCE] = { "a line that one writes once and all read", 1, true },
		[EACH_ITS_OWN] = { "a line for each", 0 },
		[HELPER_WRITES] = { "a line that a helper writes", KNOWN_TURNS, true },
		[HELPER_OF_OTHERS] = { "a line that a helper of other code writes", 0 },
	};

	lines_tell(LINES_FORGET, 0);
	lines_tell(LINES_OWN, (uintptr_t)__start_known_code);
	lines_tell(LINES_END, (uintptr_t)__stop_known_code);
	lines_tell(LINES_HELPER, (uintptr_t)__start_known_helper);
	lines_tell(LINES_END, (uintptr_t)__stop_known_helper);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		knowledge = i;
		run_threads(cpus, run_known, (uint64_t)cpus * KNOWN_TURNS, 1);
		print_window(NULL);
		printf(", \"known\": \"%s\", \"cpus\": %u, \"moves\": %u}\n", all[i].what, cpus,
		       all[i].moves * (all[i].of_each ? cpus : 1));
		fflush(stdout);
	}
}

/* Tells where code is: START-END ... in hexadecimal. */
static void tell_code(const char *variable, enum lines_action action)
{
	const char *list = getenv(variable);
	unsigned long long start, end;
	int length;

	for (; list && sscanf(list, "%llx-%llx %n", &start, &end, &length) == 2; list += length) {
		lines_tell(action, start);
		lines_tell(LINES_END, end);
	}
	if (!list || *list)
		die("%s is wrong: '%s'", variable, list ? list : "");
}

void sharing_part(struct job *todo)
{
	static const uint32_t depths[] = { 1, 32 }, cpus[] = { 2, 4, 8 };
	struct memory memory;

	note("what the plugin must find");
	count_known(cpus[ARRAY_SIZE(cpus) - 1]);
	lines_tell(LINES_FORGET, 0);
	tell_code("MODULE_CODE", LINES_OWN);
	tell_code("HELPER_CODE", LINES_HELPER);
	memory_alloc(&memory, MAX_DEPTH * MIB, true);
	memory_export(&memory, memory.size);
	todo->memory = &memory;
	todo->bytes = 4 * KIB;
	for (size_t f = 0; f < ARRAY_SIZE(front_ends); f++) {
		const struct front_end *way = &front_ends[f];

		if (!wanted("PATHS", way->name))
			continue;
		note("%s", way->name);
		for (size_t d = 0; d < ARRAY_SIZE(depths); d++) {
			todo->depth = depths[d];
			if (!wanted_number("DEPTHS", todo->depth))
				continue;
			for (size_t c = 0; c < ARRAY_SIZE(cpus); c++) {
				if (!wanted_number("CPUS", cpus[c]))
					continue;
				if (way->is_stock) {
					count_sharing(todo, way, NULL, cpus[c]);
					continue;
				}
				for (size_t s = 0; s < ARRAY_SIZE(sharings); s++)
					count_sharing(todo, way, &sharings[s], cpus[c]);
				if (!f)
					count_sharing(todo, way, &one_queue, cpus[c]);
			}
		}
	}
	memory_free(&memory);
}
