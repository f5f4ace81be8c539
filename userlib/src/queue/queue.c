// SPDX-License-Identifier: MIT
/*
 * Queues: commands in flight that nobody waits for, through one of two front ends, as programs
 * call them.
 */
#include <errno.h>

#include "queue.h"

int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags,
			    struct nvmedmabuf_queue **queue)
{
	const uint32_t known = NVMEDMABUF_QUEUE_POLLED | NVMEDMABUF_QUEUE_URING;
	int err;

	if (!depth || flags & ~known)
		return -EINVAL;

	err = flags & NVMEDMABUF_QUEUE_URING ? uring_queue_create(ctx, depth, flags, queue) :
					       ioctl_queue_create(ctx, depth, flags, queue);
	if (err)
		return err;

	(*queue)->depth = depth;
	(*queue)->polled = flags & NVMEDMABUF_QUEUE_POLLED;
	return 0;
}

/*
 * Closing would wait for what is in flight only if nobody else, such as a
 * process forked meanwhile, has the queue.
 */
void nvmedmabuf_queue_free(struct nvmedmabuf_queue *queue)
{
	const struct front_end *front_end;

	if (!queue)
		return;

	front_end = queue->front_end;
	front_end->drop(queue);
	queue->prepared = 0;
	while (front_end->ready(queue) < queue->pending &&
	       front_end->submit(queue, queue->pending, 0, 0) >= 0)
		;
	front_end->free(queue);
}

int nvmedmabuf_queue_fd(const struct nvmedmabuf_queue *queue)
{
	return queue->fd;
}

struct nvme_dmabuf_command *nvmedmabuf_queue_get(struct nvmedmabuf_queue *queue)
{
	struct nvme_dmabuf_command *cmd;

	if (queue->prepared + queue->pending == queue->depth)
		return NULL;
	cmd = queue->front_end->get(queue);
	queue->prepared++;
	return cmd;
}

int nvmedmabuf_queue_submit(struct nvmedmabuf_queue *queue, uint32_t min_complete,
			    uint64_t timeout_ns, uint32_t flags)
{
	uint32_t most = queue->prepared + queue->pending;
	uint32_t want = min_complete < most ? min_complete : most;
	int ret;

	if (flags & ~NVMEDMABUF_SUBMIT_NOWAIT)
		return -EINVAL;
	if (!queue->prepared && queue->front_end->ready(queue) >= want)
		return 0;

	ret = queue->front_end->submit(queue, want, timeout_ns, flags);
	if (ret > 0) {
		queue->prepared -= (uint32_t)ret;
		queue->pending += (uint32_t)ret;
	}
	return ret;
}

int nvmedmabuf_queue_reap(struct nvmedmabuf_queue *queue, struct nvme_dmabuf_completion *cpls,
			  uint32_t max)
{
	uint32_t count = queue->front_end->read(queue, cpls, max);

	if (!count && queue->pending && queue->front_end->look(queue))
		count = queue->front_end->read(queue, cpls, max);
	queue->pending -= count;
	return (int)count;
}
