// SPDX-License-Identifier: MIT
/*
 * One measurement: one thread keeps as many commands in flight as the depth
 * says, takes what completed, and replaces it. It does so in the same way for
 * each path. The latency of a command is the time from before the call that
 * submits it until after the call that brings its completion.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include "bench.h"

#define REAP_MAX 64

struct run {
	struct bench_queue *q;
	struct bench_result *result;
	/* Parts of the buffer, a ring: a command takes the next, and gives it back. */
	uint32_t *free;
	uint32_t slots;
	uint64_t *started_ns; /* of the command in each part */
	uint64_t places;
	uint64_t issued;
	uint64_t ended;
	uint64_t deadline_ns;
};

uint32_t bench_slots(const struct bench_queue *q)
{
	return q->bench->channel.size / q->point->size;
}

uint64_t bench_places(const struct bench_queue *q)
{
	return q->bench->count / (q->point->size / q->bench->info.out_block_size);
}

uint64_t bench_slba(const struct bench_queue *q, uint64_t place)
{
	return q->bench->start + place * (q->point->size / q->bench->info.out_block_size);
}

int bench_obstacle(struct bench_queue *q, const char *reason, const char *fmt, ...)
{
	va_list args;

	q->reason = reason;
	va_start(args, fmt);
	vsnprintf(q->obstacle, sizeof(q->obstacle), fmt, args);
	va_end(args);
	return -EOPNOTSUPP;
}

static bool wants_more(const struct run *r, uint64_t now)
{
	if (stop_requested())
		return false;
	return r->q->bench->ios ? r->issued < r->q->bench->ios : now < r->deadline_ns;
}

static uint64_t next_place(struct run *r)
{
	if (r->q->point->pattern == BENCH_SEQUENTIAL)
		return r->issued % r->places;
	return random_below(&r->q->bench->random, r->places);
}

static int fill_queue(struct run *r, uint64_t now)
{
	while (r->issued - r->ended < r->q->point->depth && wants_more(r, now)) {
		uint32_t slot = r->free[r->issued % r->slots];
		int ret = r->q->path->prepare(r->q, slot, slot * r->q->point->size,
					      bench_slba(r->q, next_place(r)));

		if (ret)
			return ret;
		r->issued++;
		r->started_ns[slot] = now;
	}
	return 0;
}

static void count_error(struct bench_result *result, const struct nvme_dmabuf_completion *cpl)
{
	unsigned int i;

	result->errors++;
	for (i = 0; i < result->kind_count; i++) {
		const struct nvme_dmabuf_completion *known = &result->kinds[i].example;

		if (known->error == cpl->error && known->status == cpl->status &&
		    known->reason == cpl->reason)
			break;
	}
	if (i == BENCH_MAX_ERRORS)
		return;
	if (i == result->kind_count)
		result->kinds[result->kind_count++].example = *cpl;
	result->kinds[i].count++;
}

static int take_completions(struct run *r, uint64_t now)
{
	struct nvme_dmabuf_completion cpls[REAP_MAX];
	int n;

	do {
		n = r->q->path->reap(r->q, cpls, REAP_MAX);
		for (int i = 0; i < n; i++) {
			uint32_t slot = cpls[i].user_data;

			if (cpls[i].error || cpls[i].status)
				count_error(r->result, &cpls[i]);
			else
				histogram_add(&r->result->latency, now - r->started_ns[slot]);
			r->free[r->ended++ % r->slots] = slot;
		}
	} while (n == REAP_MAX);
	return n < 0 ? n : 0;
}

static int loop(struct run *r)
{
	uint64_t now = now_ns();
	int ret = 0;

	while (!ret && (r->issued > r->ended || wants_more(r, now))) {
		ret = fill_queue(r, now);
		if (!ret)
			ret = r->q->path->submit(r->q);
		if (ret == -EINTR || ret == -EAGAIN)
			ret = 0;
		if (!ret)
			ret = take_completions(r, now_ns());
		now = now_ns();
	}
	return ret;
}

static uint64_t timeval_ns(const struct timeval *after, const struct timeval *before)
{
	return (after->tv_sec - before->tv_sec) * 1000000000LL +
	       (after->tv_usec - before->tv_usec) * 1000LL;
}

/* The whole process: io_uring's workers are threads of it. */
static int timed_loop(struct run *r)
{
	struct rusage before, after;
	uint64_t began;
	int ret;

	getrusage(RUSAGE_SELF, &before);
	began = now_ns();
	r->deadline_ns = began + r->q->bench->seconds * 1000000000ULL;
	ret = loop(r);
	r->result->elapsed_ns = now_ns() - began;
	getrusage(RUSAGE_SELF, &after);
	r->result->user_ns = timeval_ns(&after.ru_utime, &before.ru_utime);
	r->result->system_ns = timeval_ns(&after.ru_stime, &before.ru_stime);
	return ret;
}

static int run(struct bench_queue *q, struct bench_result *result)
{
	struct run r = {
		.q = q,
		.result = result,
		.slots = bench_slots(q),
		.places = bench_places(q),
	};
	int ret = -ENOMEM;

	r.free = calloc(r.slots, sizeof(*r.free));
	r.started_ns = calloc(r.slots, sizeof(*r.started_ns));
	if (r.free && r.started_ns) {
		for (uint32_t i = 0; i < r.slots; i++)
			r.free[i] = i;
		ret = timed_loop(&r);
	}
	free(r.free);
	free(r.started_ns);
	return ret;
}

static void fail(struct bench_result *result, enum bench_state state, const char *reason,
		 const char *message)
{
	result->state = state;
	result->reason = reason;
	snprintf(result->message, sizeof(result->message), "%s", message);
}

/*
 * The comparison had a file that is written open, so that the next command would have to find
 * its blocks again. That is not what is measured.
 */
static int find_blocks(const struct bench_queue *q)
{
	const struct bench *b = q->bench;

	if (!b->ns.writes || q->path != &bench_path_library)
		return 0;
	return nvmedmabuf_refresh(b->ctx, b->channel.map, NULL, NULL);
}

static void open_and_run(struct bench_queue *q, struct bench_result *result)
{
	int ret;

	if (q->path->open(q)) {
		fail(result, BENCH_SKIPPED, q->reason, q->obstacle);
		return;
	}
	result->memory = q->memory;
	if (!bench_verify(q, result))
		return;
	ret = find_blocks(q);
	if (!ret)
		ret = run(q, result);
	if (stop_requested())
		fail(result, BENCH_INTERRUPTED, "interrupted", "stopped by a signal");
	else if (ret)
		fail(result, BENCH_FAILED, "not-taken", strerror(-ret));
}

void bench_measure(struct bench *b, const struct bench_point *point, struct bench_result *result)
{
	struct bench_queue q = {
		.bench = b,
		.point = point,
		.id = result->path,
		.path = result->path == BENCH_IOCTL || result->path == BENCH_URING ?
				&bench_path_library :
				&bench_path_kernel,
	};

	open_and_run(&q, result);
	q.path->close(&q);
}
