// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions for each read: of all paths, sizes and depths, in both layouts of
 * memory. A round is in two phases, between which the program sleeps until the drive
 * is done, for otherwise it would be counted how long the host took to emulate it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <x86intrin.h>

#include "bench.h"
#include "parts.h"

#define WARM_UP	   4U
#define MIN_ROUNDS 9U
#define MAX_ROUNDS 33U

/*
 * struct round - what one took
 * @submit, @reap: instructions
 * @switches: how often another thread ran while this one reaped
 */
struct round {
	uint64_t submit;
	uint64_t reap;
	long switches;
};

/* Of a number of rounds. */
struct figures {
	struct round typical; /* the one with the median sum */
	uint64_t least;	      /* sums */
	uint64_t most;
	bool settled;
};

static uint64_t sum(const struct round *round)
{
	return round->submit + round->reap;
}

static int by_sum(const void *a, const void *b)
{
	uint64_t x = sum(a), y = sum(b);

	return x < y ? -1 : x > y;
}

/*
 * A timer interrupt now and then is not the path's, so most rounds are alike, unless
 * the program had to poll on the host's time. Where that does not end (what the block
 * layer does not take as it is, other threads submit again, and not before somebody asks
 * for completions), the shortest wait is the best that there is.
 */
static struct figures figures_of(struct round *rounds, uint32_t count)
{
	uint32_t switched = 0;
	uint64_t least, middle;
	bool settled;

	qsort(rounds, count, sizeof(rounds[0]), by_sum);
	least = sum(&rounds[0]);
	middle = sum(&rounds[count / 2]);
	for (uint32_t i = 0; i < count; i++)
		switched += rounds[i].switches > 0;
	settled = middle <= least + least / 50 + 200 && switched < count / 2;
	return (struct figures){
		.typical = rounds[settled ? count / 2 : 0],
		.least = least,
		.most = sum(&rounds[count - 1]),
		.settled = settled,
	};
}

static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* What a thread is to do next. */
enum task { OPEN, SUBMIT, REAP, CLOSE };

/*
 * struct worker - a thread that uses a path
 * @go, @done: one task is given, and has been done
 * @error: of the last task
 */
struct worker {
	const struct path *path;
	const struct job *job;
	enum task task;
	struct round round;
	int error;
	pthread_t thread;
	sem_t go;
	sem_t done;
};

static void work(struct worker *worker)
{
	struct round *round = &worker->round;
	struct io ios[MAX_DEPTH];
	uint64_t start;

	switch (worker->task) {
	case OPEN:
		worker->error = worker->path->open(worker->job);
		break;
	case SUBMIT:
		random_ios(worker->job, ios);
		worker->path->prepare(ios, worker->job->depth);
		start = __rdtsc();
		worker->path->submit(worker->job->depth);
		round->submit = __rdtsc() - start;
		break;
	case REAP:
		round->switches = switches();
		start = __rdtsc();
		worker->error = worker->path->reap(worker->job->depth);
		round->reap = __rdtsc() - start;
		round->switches = switches() - round->switches;
		break;
	case CLOSE:
		worker->path->close();
		break;
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	enum task task;

	do {
		check_sys(sem_wait(&worker->go));
		task = worker->task;
		work(worker);
		check_sys(sem_post(&worker->done));
	} while (task != CLOSE);
	return NULL;
}

/* The only worker is this thread. */
static int run_task(struct worker *worker, enum task task)
{
	worker->task = task;
	if (worker->job->threads == 1) {
		work(worker);
	} else {
		check_sys(sem_post(&worker->go));
		check_sys(sem_wait(&worker->done));
	}
	return worker->error;
}

/*
 * One after the other, for there is one CPU, and one hardware queue that is polled: whoever
 * polls would find what the other has in flight.
 */
static int run_round(struct worker *workers, uint32_t count, useconds_t pause, struct round *round)
{
	int error = 0;

	*round = (struct round){ 0 };
	for (uint32_t i = 0; i < count && !error; i++) {
		run_task(&workers[i], SUBMIT);
		usleep(pause);
		error = run_task(&workers[i], REAP);
		round->submit += workers[i].round.submit;
		round->reap += workers[i].round.reap;
		round->switches += workers[i].round.switches;
	}
	return error;
}

static int start_workers(struct worker *workers, const struct path *path, const struct job *job)
{
	int error = 0;

	for (uint32_t i = 0; i < job->threads && !error; i++) {
		workers[i] = (struct worker){ .path = path, .job = job };
		if (job->threads > 1) {
			check_sys(sem_init(&workers[i].go, 0, 0));
			check_sys(sem_init(&workers[i].done, 0, 0));
			if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]))
				die("no thread");
		}
		error = run_task(&workers[i], OPEN);
	}
	/* What one thread can open, two can. */
	if (error && job->threads > 1)
		die("%s: %s", path->name, error_name(error));
	return error;
}

static void end_workers(struct worker *workers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		run_task(&workers[i], CLOSE);
		if (count > 1)
			pthread_join(workers[i].thread, NULL);
	}
}

static int run_rounds(const struct path *path, const struct job *job, struct figures *figures)
{
	static struct round rounds[WARM_UP + MAX_ROUNDS];
	uint32_t count = 256 * MIB / job->bytes / job->depth;
	useconds_t pause = 500 + job->depth * (job->bytes >> 10) / 8;
	struct worker workers[MAX_THREADS];
	int error = start_workers(workers, path, job);
	struct figures now;

	if (error)
		return error;
	count = count < MIN_ROUNDS ? MIN_ROUNDS : count > MAX_ROUNDS ? MAX_ROUNDS : count;
	for (int attempt = 0; attempt < 4; attempt++, pause *= 2) {
		for (uint32_t i = 0; i < WARM_UP + count && !error; i++)
			error = run_round(workers, job->threads, pause, &rounds[i]);
		if (error)
			break;
		now = figures_of(rounds + WARM_UP, count);
		if (!attempt || now.settled || now.least < figures->least)
			*figures = now;
		if (now.settled)
			break;
	}
	end_workers(workers, job->threads);
	return error;
}

static void print_figures(const char *part, const struct path *path, const struct job *job,
			  const char *layout, const struct figures *figures, int error)
{
	double reads = job->depth * job->threads;

	print_start(part, path->name);
	printf(", \"layout\": \"%s\", \"memory\": \"%s\", \"bytes\": %u, \"depth\": %u, \"maps\": %u, \"threads\": %u, \"writes\": %s, ",
	       layout, job->memory->own ? "own" : "udmabuf", job->bytes, job->depth, job->maps,
	       job->threads, job->writes ? "true" : "false");
	if (error)
		printf("\"submit\": null, \"reap\": null, \"total\": null, \"error\": \"%s\"}\n",
		       error_name(error));
	else
		printf("\"submit\": %.1f, \"reap\": %.1f, \"total\": %.1f, \"least\": %.1f, \"most\": %.1f, \"settled\": %s}\n",
		       figures->typical.submit / reads, figures->typical.reap / reads,
		       sum(&figures->typical) / reads, figures->least / reads,
		       figures->most / reads, figures->settled ? "true" : "false");
	fflush(stdout);
}

/* The TSC of most machines counts something else. */
static void check_counting(void)
{
	uint64_t start = __rdtsc(), ticks;

	asm volatile(".rept 10000\n\tnop\n\t.endr");
	ticks = __rdtsc() - start;
	if (ticks < 10000 || ticks > 10100)
		die("10000 instructions are %llu ticks of the TSC; see tests/vm/run --count",
		    (unsigned long long)ticks);
}

/* Maps in turn, and threads that share an open file: what one costs, or more? */
static const struct {
	uint32_t maps;
	uint32_t threads;
} shares[] = { { 1, 1 }, { 2, 1 }, { 8, 1 }, { 1, 2 } };

void count_one(const char *part, const struct path *path, struct job *job, const char *layout)
{
	struct figures figures = { .settled = false };
	int error;

	check_counting();
	error = run_rounds(path, job, &figures);
	print_figures(part, path, job, layout, &figures, error);
}

static void count_path(const struct path *path, struct job *job, const char *layout)
{
	bool ours = path == &path_ioctl || path == &path_uring;

	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		/* What does not depend on the size is counted of one size. */
		if (i && (!ours || job->bytes != 4 * KIB))
			break;
		job->maps = shares[i].maps;
		job->threads = shares[i].threads;
		count_one("count", path, job, layout);
	}
}

/* The same memory once more, as this program's own. */
static void count_own(struct job *job, const char *layout)
{
	const struct memory *memory = job->memory;
	int device = check_sys(open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC));
	struct memory own;

	memory_export_own(memory, memory->size, device, &own);
	job->memory = &own;
	job->bytes = 4 * KIB;
	job->depth = 32;
	job->maps = job->threads = 1;
	note("own memory, %s", layout);
	count_one("count", &path_ioctl, job, layout);
	count_one("count", &path_uring, job, layout);
	job->memory = memory;
	close(own.dmabuf);
	close(device);
}

void count_part(struct job *job)
{
	static const uint32_t sizes[] = { 4, 16, 64, 128, 256, 512, 1024 };
	static const uint32_t depths[] = { 1, 8, 32 };

	for (int scattered = 0; scattered < 2; scattered++) {
		const char *layout = scattered ? "scattered" : "contiguous";
		struct memory memory;

		if (!wanted("LAYOUTS", layout))
			continue;
		memory_alloc(&memory, MAX_DEPTH * MIB, scattered);
		memory_export(&memory, memory.size);
		job->memory = &memory;
		for (const struct path *const *path = all_paths(); *path; path++) {
			note("%s, %s buffers", (*path)->name, layout);
			for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
				for (size_t d = 0; d < ARRAY_SIZE(depths); d++) {
					if (!wanted_number("SIZES", sizes[s]) ||
					    !wanted_number("DEPTHS", depths[d]))
						continue;
					job->bytes = sizes[s] * KIB;
					job->depth = depths[d];
					count_path(*path, job, layout);
				}
			}
		}
		if (wanted_number("SIZES", 4) && wanted_number("DEPTHS", 32))
			count_own(job, layout);
		memory_free(&memory);
	}
	job->maps = job->threads = 1;
}
