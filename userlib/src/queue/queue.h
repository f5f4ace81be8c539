/* SPDX-License-Identifier: MIT */
/*
 * Queues, as their front ends see them. Commands that are prepared, in flight, or complete and
 * not read, are never more than the queue's depth. Every array and ring here has room for so
 * many, so that none can overflow and no completion is lost.
 */
#ifndef NVMEDMABUF_QUEUE_H
#define NVMEDMABUF_QUEUE_H

#include <stdbool.h>

#include <nvmedmabuf.h>

/* The static library must not offer these names to the programs that it is linked to. */
#pragma GCC visibility push(hidden)

/**
 * struct front_end - one of the ways to the module
 * @get: a place for the next command, which there is
 * @submit: hand over what is prepared, after what @params says, then wait until @want
 *	completions can be read; returns how many commands were handed over, or a negative errno
 * @ready: how many completions can be read
 * @look: have the kernel bring completions that nothing else brings; returns
 *	whether it may have
 * @read: read up to @max completions
 * @drop: forget what is prepared
 * @free: free everything; nothing is in flight
 */
struct front_end {
	struct nvme_dmabuf_command *(*get)(struct nvmedmabuf_queue *queue);
	int (*submit)(struct nvmedmabuf_queue *queue, uint32_t want, uint64_t timeout_ns,
		      const struct nvmedmabuf_submit_params *params);
	uint32_t (*ready)(const struct nvmedmabuf_queue *queue);
	bool (*look)(struct nvmedmabuf_queue *queue);
	uint32_t (*read)(struct nvmedmabuf_queue *queue, struct nvme_dmabuf_completion *cpls,
			 uint32_t max);
	void (*drop)(struct nvmedmabuf_queue *queue);
	void (*free)(struct nvmedmabuf_queue *queue);
};

struct nvmedmabuf_queue {
	const struct front_end *front_end;
	int fd;
	uint32_t depth;
	uint32_t prepared; /* not submitted */
	uint32_t pending;  /* submitted and not read */
	bool polled;
};

/* CLOCK_MONOTONIC */
#define NSEC_PER_SEC 1000000000ULL
uint64_t queue_now_ns(void);

int ioctl_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
		       const struct nvmedmabuf_queue_params *params,
		       struct nvmedmabuf_queue **queue);
int uring_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
		       const struct nvmedmabuf_queue_params *params,
		       struct nvmedmabuf_queue **queue);

#pragma GCC visibility pop

#endif /* NVMEDMABUF_QUEUE_H */
