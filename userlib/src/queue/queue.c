// SPDX-License-Identifier: MIT
/*
 * Queues: commands in flight that nobody waits for, through one of two front ends, as programs
 * call them.
 */
#include <errno.h>
#include <time.h>

#include "../params.h"
#include "queue.h"

static const struct nvmedmabuf_submit_params no_params = { .size = sizeof(no_params) };

int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
			    const struct nvmedmabuf_queue_params *params,
			    struct nvmedmabuf_queue **queue)
{
	struct nvmedmabuf_queue_params p;
	int err;

	err = PARAMS_READ(&p, params);
	if (err)
		return err;
	/* Nobody would see the completions that nobody polls for. */
	if (!depth || (p.polled && p.event))
		return -EINVAL;

	err = p.uring ? uring_queue_create(ctx, depth, &p, queue) :
			ioctl_queue_create(ctx, depth, &p, queue);
	if (err)
		return err;

	(*queue)->depth = depth;
	(*queue)->polled = p.polled;
	return 0;
}

/*
 * Closing would wait for what is in flight only if nobody else, such as a
 * process forked meanwhile, has the queue.
 */
void nvmedmabuf_queue_free(struct nvmedmabuf_queue *queue)
{
	const struct front_end *front_end;
	int ret = 0;

	if (!queue)
		return;

	front_end = queue->front_end;
	front_end->drop(queue);
	queue->prepared = 0;
	while (front_end->ready(queue) < queue->pending && (ret >= 0 || ret == -EINTR))
		ret = front_end->submit(queue, queue->pending, 0, &no_params);
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

uint64_t queue_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* The module and io_uring do not both say why a wait ended. */
static int wait_only(struct nvmedmabuf_queue *queue, uint32_t want, uint64_t timeout_ns)
{
	uint64_t start = timeout_ns ? queue_now_ns() : 0;
	int ret = queue->front_end->submit(queue, want, timeout_ns, &no_params);

	if (ret || queue->front_end->ready(queue) >= want)
		return ret;
	return timeout_ns && queue_now_ns() - start >= timeout_ns ? -ETIME : -EINTR;
}

static int submit(struct nvmedmabuf_queue *queue, uint32_t min_complete, uint64_t timeout_ns,
		  const struct nvmedmabuf_submit_params *params)
{
	uint32_t most = queue->prepared + queue->pending;
	uint32_t want = min_complete < most ? min_complete : most;
	int ret;

	if (!queue->prepared)
		return queue->front_end->ready(queue) >= want ?
			       0 : wait_only(queue, want, timeout_ns);

	ret = queue->front_end->submit(queue, want, timeout_ns, params);
	if (ret > 0) {
		queue->prepared -= (uint32_t)ret;
		queue->pending += (uint32_t)ret;
	}
	return ret;
}

int nvmedmabuf_queue_submit(struct nvmedmabuf_queue *queue, uint32_t min_complete,
			    uint64_t timeout_ns)
{
	return submit(queue, min_complete, timeout_ns, &no_params);
}

int nvmedmabuf_queue_submit_with(struct nvmedmabuf_queue *queue, uint32_t min_complete,
				 uint64_t timeout_ns,
				 const struct nvmedmabuf_submit_params *params)
{
	struct nvmedmabuf_submit_params p;
	int err;

	err = PARAMS_READ(&p, params);
	if (err)
		return err;
	if (p.implicit_sync)
		return -EINVAL;
	return submit(queue, min_complete, timeout_ns, &p);
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
