// SPDX-License-Identifier: MIT
/*
 * Queues by the module's own calls. What is prepared stands in an array, from its start;
 * completions come in a ring that the module writes.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue.h"


struct ioctl_queue {
	struct nvmedmabuf_queue base;
	struct nvme_dmabuf_ring *ring;
	const struct nvme_dmabuf_completion *completions;
	size_t ring_bytes;
	uint32_t mask;
	struct nvme_dmabuf_command commands[];
};

static struct nvme_dmabuf_command *ioctl_get(struct nvmedmabuf_queue *queue)
{
	struct ioctl_queue *q = (struct ioctl_queue *)queue;

	return &q->commands[queue->prepared];
}

static int ioctl_submit(struct nvmedmabuf_queue *queue, uint32_t want, uint64_t timeout_ns,
			const struct nvmedmabuf_submit_params *params)
{
	struct ioctl_queue *q = (struct ioctl_queue *)queue;
	struct nvme_dmabuf_enter enter = {
		/* What is longer takes longer to read. */
		.size = NVME_DMABUF_ENTER_SIZE_VER0,
		.commands = (uintptr_t)q->commands,
		.count = queue->prepared,
		.min_complete = want,
		.timeout_ns = timeout_ns,
	};

	if (params->nowait)
		enter.flags |= NVME_DMABUF_ENTER_NOWAIT;
	if (params->in_fence) {
		enter.size = sizeof(enter);
		enter.flags |= NVME_DMABUF_ENTER_IN_FENCE;
		enter.in_fence_fd = params->in_fence_fd;
	}
	if (ioctl(queue->fd, NVME_DMABUF_IOC_ENTER, &enter) < 0)
		return -errno;

	memmove(q->commands, q->commands + enter.out_submitted,
		(queue->prepared - enter.out_submitted) * sizeof(*q->commands));
	return (int)enter.out_submitted;
}

static uint32_t ioctl_ready(const struct nvmedmabuf_queue *queue)
{
	const struct ioctl_queue *q = (const struct ioctl_queue *)queue;

	return __atomic_load_n(&q->ring->tail, __ATOMIC_ACQUIRE) - q->ring->head;
}

static bool ioctl_look(struct nvmedmabuf_queue *queue)
{
	struct pollfd poller = { .fd = queue->fd, .events = POLLIN };

	return queue->polled && poll(&poller, 1, 0) > 0;
}

static uint32_t ioctl_read(struct nvmedmabuf_queue *queue, struct nvme_dmabuf_completion *cpls,
			   uint32_t max)
{
	struct ioctl_queue *q = (struct ioctl_queue *)queue;
	uint32_t n, head = q->ring->head, count = ioctl_ready(queue);

	if (count > max)
		count = max;
	for (n = 0; n < count; n++)
		cpls[n] = q->completions[head++ & q->mask];

	/* From here on the module may write over what was read. */
	__atomic_store_n(&q->ring->head, head, __ATOMIC_RELEASE);
	return count;
}

static void ioctl_drop(struct nvmedmabuf_queue *queue)
{
	(void)queue;
}

static void ioctl_free(struct nvmedmabuf_queue *queue)
{
	struct ioctl_queue *q = (struct ioctl_queue *)queue;

	munmap(q->ring, q->ring_bytes);
	close(queue->fd);
	free(q);
}

static const struct front_end ioctl_front_end = {
	.get = ioctl_get,
	.submit = ioctl_submit,
	.ready = ioctl_ready,
	.look = ioctl_look,
	.read = ioctl_read,
	.drop = ioctl_drop,
	.free = ioctl_free,
};

int ioctl_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
		       const struct nvmedmabuf_queue_params *params,
		       struct nvmedmabuf_queue **queue)
{
	struct nvme_dmabuf_queue make = {
		.size = sizeof(make),
		.depth = depth,
	};
	struct ioctl_queue *q;
	void *ring;
	int err;

	if (params->polled)
		make.flags |= NVME_DMABUF_QUEUE_POLLED;
	if (params->event) {
		make.flags |= NVME_DMABUF_QUEUE_EVENTFD;
		make.event_fd = params->event_fd;
	}
	if (ioctl(nvmedmabuf_fd(ctx), NVME_DMABUF_IOC_QUEUE, &make) < 0)
		return -errno;

	ring = mmap(NULL, make.out_ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		    make.out_queue_fd, 0);
	if (ring == MAP_FAILED) {
		err = -errno;
		goto close_fd;
	}

	q = calloc(1, sizeof(*q) + depth * sizeof(*q->commands));
	if (!q) {
		err = -ENOMEM;
		goto unmap;
	}

	q->base.front_end = &ioctl_front_end;
	q->base.fd = make.out_queue_fd;
	q->ring = ring;
	q->completions = (const void *)(q->ring + 1);
	q->ring_bytes = make.out_ring_bytes;
	q->mask = make.out_ring_entries - 1;
	*queue = &q->base;
	return 0;

unmap:
	munmap(ring, make.out_ring_bytes);
close_fd:
	close(make.out_queue_fd);
	return err;
}
