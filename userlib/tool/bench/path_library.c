// SPDX-License-Identifier: MIT
/*
 * The paths of 'bench' through the library's queues: by the module's own calls
 * ("ioctl"), and by io_uring ("uring"), to and from the dma-buf.
 */
#include <errno.h>
#include <string.h>

#include "bench.h"

static int library_open(struct bench_queue *q)
{
	struct bench *b = q->bench;
	const struct nvmedmabuf_queue_params params = {
		.size = sizeof(params),
		.polled = b->polled,
		.uring = q->id == BENCH_URING,
	};
	struct nvmedmabuf_queue *queue;
	int ret;

	ret = nvmedmabuf_queue_create(b->ctx, q->point->depth, &params, &queue);
	if (ret == -ENOSPC)
		return bench_obstacle(q, "depth", "a queue has a depth of %u at most",
				      b->module.out_max_depth);
	if (ret == -EOPNOTSUPP)
		return bench_obstacle(
			q, "no-io-uring",
			"this kernel has no io_uring, or it is switched off (sysctl kernel.io_uring_disabled)");
	if (ret)
		return bench_obstacle(q, "no-queue", "cannot make a queue: %s", strerror(-ret));
	q->state = queue;
	q->mem = b->channel.mem;
	q->buf = b->channel.buf;
	q->memory = "dma-buf";
	return 0;
}

static int library_prepare(struct bench_queue *q, uint32_t tag, uint64_t offset, uint64_t slba)
{
	struct nvme_dmabuf_command *cmd = nvmedmabuf_queue_get(q->state);

	if (!cmd)
		return -ENOSPC;
	if (q->point->direction == BENCH_WRITE)
		nvmedmabuf_prep_write(cmd, q->bench->channel.map, offset, q->point->size, slba);
	else
		nvmedmabuf_prep_read(cmd, q->bench->channel.map, offset, q->point->size, slba);
	cmd->user_data = tag;
	return 0;
}

static int library_submit(struct bench_queue *q)
{
	int ret = nvmedmabuf_queue_submit(q->state, 1, 0);

	return ret < 0 ? ret : 0;
}

static int library_reap(struct bench_queue *q, struct nvme_dmabuf_completion *cpls, uint32_t max)
{
	return nvmedmabuf_queue_reap(q->state, cpls, max);
}

static void library_close(struct bench_queue *q)
{
	nvmedmabuf_queue_free(q->state);
}

const struct bench_path bench_path_library = {
	.open = library_open,
	.prepare = library_prepare,
	.submit = library_submit,
	.reap = library_reap,
	.close = library_close,
};
