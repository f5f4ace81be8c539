// SPDX-License-Identifier: GPL-2.0-only
/* See ways.h. */
#define _GNU_SOURCE
#include "ways.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sync_file.h>

#include "line.h"
#include "ring.h"

const struct submit_way submit_ways[WAYS] = {
	{ "a call", WAY_CALL, 0 },   { "a fence", WAY_FENCE, 0 },
	{ "a queue", WAY_QUEUE, 0 }, { "a polled queue", WAY_QUEUE, NVME_DMABUF_QUEUE_POLLED },
	{ "io_uring", WAY_RING, 0 }, { "io_uring, polled", WAY_RING, IORING_SETUP_IOPOLL },
};

bool way_is_polled(const struct submit_way *way)
{
	return (way->kind == WAY_QUEUE && way->flags & NVME_DMABUF_QUEUE_POLLED) ||
	       (way->kind == WAY_RING && way->flags & IORING_SETUP_IOPOLL);
}

/* What way_run() was called with. */
struct work {
	const struct submit_way *way;
	int context;
	const struct nvme_dmabuf_command *commands;
	unsigned int count;
	struct nvme_dmabuf_completion *completions;
	volatile bool *submitted;
	volatile unsigned int *done;
	bool *seen;
};

static void completed(struct work *w, const struct nvme_dmabuf_completion *c)
{
	uint64_t i = c->user_data - RIG_FIRST;

	check_that(i < w->count && !w->seen[i], "a completion of command %llu came twice",
		   (unsigned long long)i);
	w->seen[i] = true;
	w->completions[i] = *c;
	++*w->done;
}

static void call(struct work *w)
{
	struct nvme_dmabuf_completion *c = calloc(w->count, sizeof(*c));
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.commands = (uintptr_t)w->commands,
		.completions = (uintptr_t)c,
		.count = w->count,
	};

	check(c);
	check_sys(ioctl(w->context, NVME_DMABUF_IOC_SUBMIT, &args));
	for (unsigned int i = 0; i < w->count; i++)
		completed(w, &c[i]);
	free(c);
}

static void fence(struct work *w)
{
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.flags = NVME_DMABUF_SUBMIT_OUT_FENCE,
		.commands = (uintptr_t)w->commands,
		.count = w->count,
	};
	struct sync_file_info info = { .num_fences = 0 };
	struct pollfd p = { .events = POLLIN };

	if (ioctl(w->context, NVME_DMABUF_IOC_SUBMIT, &args)) {
		info.status = -errno;
	} else {
		*w->submitted = true;
		p.fd = args.out_fence_fd;
		check_eq(poll(&p, 1, 60000), 1);
		check_sys(ioctl(p.fd, SYNC_IOC_FILE_INFO, &info));
		check_sys(close(p.fd));
	}
	for (unsigned int i = 0; i < w->count; i++)
		completed(w, &(struct nvme_dmabuf_completion){
				     .user_data = RIG_FIRST + i,
				     .bytes = info.status == 1 ? w->commands[i].length : 0,
				     .error = info.status == 1 ? 0 : info.status,
			     });
}

static void queue(struct work *w)
{
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_enter args;
	struct line line;
	int result;

	line_open(&line, w->context, w->count, w->way->flags, 0);
	line_submit(&line, w->commands, w->count);
	*w->submitted = true;
	while (*w->done < w->count) {
		/* Who is interrupted has waited for fewer. */
		result = line_enter(&line, NULL, 0, 1, 0, 0, &args);
		check_that(!result || result == -EINTR, "ENTER: %s", strerrorname_np(-result));
		while (line_next(&line, &c))
			completed(w, &c);
	}
	line_close(&line);
}

static void ring(struct work *w)
{
	struct nvme_dmabuf_completion c;
	struct io_uring ring;

	ring_open(&ring, w->count, w->way->flags);
	for (unsigned int i = 0; i < w->count; i++)
		ring_prepare(&ring, w->context, &w->commands[i]);
	check_eq(io_uring_submit(&ring), w->count);
	*w->submitted = true;
	while (*w->done < w->count) {
		ring_wait(&ring, &c);
		completed(w, &c);
	}
	io_uring_queue_exit(&ring);
}

void way_run(const struct submit_way *way, int context, const struct nvme_dmabuf_command *commands,
	     unsigned int count, struct nvme_dmabuf_completion *completions,
	     volatile bool *submitted, volatile unsigned int *done)
{
	static void (*const run[])(struct work *) = {
		[WAY_CALL] = call,
		[WAY_FENCE] = fence,
		[WAY_QUEUE] = queue,
		[WAY_RING] = ring,
	};
	struct work w = {
		.way = way,
		.context = context,
		.commands = commands,
		.count = count,
		.completions = completions,
		.submitted = submitted,
		.done = done,
		.seen = calloc(count, sizeof(*w.seen)),
	};

	check(w.seen);
	*done = 0;
	run[way->kind](&w);
	check_eq(*done, count);
	free(w.seen);
}
