// SPDX-License-Identifier: MIT
/*
 * Queues by io_uring. What is prepared stands in the submission queue, and is not shown to the
 * kernel before it is submitted. The only user of liburing.
 */
#include <errno.h>
#include <stdlib.h>

#include <liburing.h>

#include <nvmedmabuf_uring.h>

#include "../library.h"
#include "queue.h"

#define URING_FUNCTIONS(f)           \
	f(io_uring_queue_init) \
	f(io_uring_queue_exit) \
	f(io_uring_register_files) \
	f(io_uring_register_eventfd) \
	f(io_uring_unregister_files) \
	f(io_uring_get_events) \
	f(io_uring_submit_and_wait) \
	f(io_uring_submit_and_wait_timeout)

LIBRARY(uring, "liburing.so.2", URING_FUNCTIONS);



struct uring_queue {
	struct nvmedmabuf_queue base;
	struct io_uring ring;
	/* Of a polled queue: read from the ring and not by the caller. */
	uint32_t aside_first;
	uint32_t aside_count;
	struct nvme_dmabuf_completion aside[];
};

/* Nobody writes to the rest of an entry, which was zero from the start. */
static struct nvme_dmabuf_command *uring_get(struct nvmedmabuf_queue *queue)
{
	struct uring_queue *q = (struct uring_queue *)queue;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0;
	sqe->cmd_op = NVME_DMABUF_URING_CMD;
	return (struct nvme_dmabuf_command *)sqe->cmd;
}

/* io_uring returns the entry's user_data, and the program has set the command's. */
static void uring_set_user_data(struct uring_queue *q)
{
	struct io_uring_sq *sq = &q->ring.sq;
	const struct nvme_dmabuf_command *cmd;
	struct io_uring_sqe *sqe;
	uint32_t n;

	for (n = 1; n <= q->base.prepared; n++) {
		/* entries of twice the size */
		sqe = &sq->sqes[((sq->sqe_tail - n) & sq->ring_mask) * 2];
		cmd = (const struct nvme_dmabuf_command *)sqe->cmd;
		sqe->user_data = cmd->user_data;
	}
}

static uint32_t uring_ready(const struct nvmedmabuf_queue *queue)
{
	const struct uring_queue *q = (const struct uring_queue *)queue;

	return q->aside_count + io_uring_cq_ready(&q->ring);
}

static uint32_t uring_read_ring(struct uring_queue *q, struct nvme_dmabuf_completion *cpls,
				uint32_t max)
{
	struct io_uring_cqe *cqe;
	unsigned int head;
	uint32_t count = 0;

	io_uring_for_each_cqe(&q->ring, head, cqe) {
		if (count == max)
			break;
		nvmedmabuf_uring_completion(cqe, &cpls[count++]);
	}
	io_uring_cq_advance(&q->ring, count);
	return count;
}

static void uring_put_aside(struct uring_queue *q)
{
	memmove(q->aside, q->aside + q->aside_first, q->aside_count * sizeof(*q->aside));
	q->aside_first = 0;
	q->aside_count +=
		uring_read_ring(q, q->aside + q->aside_count, q->base.depth - q->aside_count);
}

static uint32_t uring_read(struct nvmedmabuf_queue *queue, struct nvme_dmabuf_completion *cpls,
			   uint32_t max)
{
	struct uring_queue *q = (struct uring_queue *)queue;
	uint32_t count = q->aside_count < max ? q->aside_count : max;

	memcpy(cpls, q->aside + q->aside_first, count * sizeof(*cpls));
	q->aside_first += count;
	q->aside_count -= count;
	return count + uring_read_ring(q, cpls + count, max - count);
}

/*
 * The kernel does not poll as long as there are completions in its ring, ends
 * when it has others to run, and knows no timeout then.
 */
static int uring_submit_and_poll(struct uring_queue *q, uint32_t want, uint64_t timeout_ns)
{
	uint64_t start = timeout_ns ? queue_now_ns() : 0;
	uint32_t missing;
	int ret;

	do {
		missing = 0;
		if (want) {
			uring_put_aside(q);
			if (!timeout_ns && want > q->aside_count)
				missing = want - q->aside_count;
		}
		ret = uring.io_uring_submit_and_wait(&q->ring, missing);
	} while (ret >= 0 && uring_ready(&q->base) < want &&
		 (!timeout_ns || queue_now_ns() - start < timeout_ns));
	return ret;
}

static int uring_submit_and_wait(struct uring_queue *q, uint32_t want, uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = {
		.tv_sec = (long long)(timeout_ns / NSEC_PER_SEC),
		.tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC),
	};
	struct io_uring_cqe *cqe;

	if (want && timeout_ns)
		return uring.io_uring_submit_and_wait_timeout(&q->ring, &cqe, want, &timeout, NULL);
	return uring.io_uring_submit_and_wait(&q->ring, want);
}

/* What was submitted can be told from the ring alone: a wait that failed hides it. */
static int uring_submit(struct nvmedmabuf_queue *queue, uint32_t want, uint64_t timeout_ns,
			const struct nvmedmabuf_submit_params *params)
{
	struct uring_queue *q = (struct uring_queue *)queue;
	uint32_t submitted;
	int ret;

	/* There is no nowait: what has to wait for room waits in a worker of io_uring's. */
	if (params->in_fence)
		return -EOPNOTSUPP;

	uring_set_user_data(q);
	ret = queue->polled ? uring_submit_and_poll(q, want, timeout_ns) :
			      uring_submit_and_wait(q, want, timeout_ns);
	submitted = queue->prepared - io_uring_sq_ready(&q->ring);
	if (submitted || ret >= 0)
		return (int)submitted;

	/* EAGAIN is io_uring's word for no memory. */
	return ret == -EAGAIN ? -ENOMEM : ret;
}

static bool uring_look(struct nvmedmabuf_queue *queue)
{
	struct uring_queue *q = (struct uring_queue *)queue;

	if (!queue->polled && !(IO_URING_READ_ONCE(*q->ring.sq.kflags) & IORING_SQ_TASKRUN))
		return false;
	return uring.io_uring_get_events(&q->ring) >= 0;
}

static void uring_drop(struct nvmedmabuf_queue *queue)
{
	struct uring_queue *q = (struct uring_queue *)queue;

	q->ring.sq.sqe_tail -= queue->prepared;
}

/*
 * The kernel frees a ring some time after it was closed, and the context's maps
 * must not stay until then.
 */
static void uring_free(struct nvmedmabuf_queue *queue)
{
	struct uring_queue *q = (struct uring_queue *)queue;

	uring.io_uring_unregister_files(&q->ring);
	uring.io_uring_queue_exit(&q->ring);
	free(q);
}

static const struct front_end uring_front_end = {
	.get = uring_get,
	.submit = uring_submit,
	.ready = uring_ready,
	.look = uring_look,
	.read = uring_read,
	.drop = uring_drop,
	.free = uring_free,
};

static int uring_setup(struct io_uring *ring, uint32_t depth, bool polled)
{
	const unsigned int wanted = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
				    IORING_SETUP_TASKRUN_FLAG;
	unsigned int flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL;
	int err;

	if (polled)
		flags |= IORING_SETUP_IOPOLL;
	err = uring.io_uring_queue_init(depth, ring, flags | wanted);
	if (err == -EINVAL)
		err = uring.io_uring_queue_init(depth, ring, flags);

	/* There is none, it is switched off, or it knows no such entries. */
	if (err == -ENOSYS || err == -EPERM || err == -EINVAL)
		return -EOPNOTSUPP;
	return err;
}

int uring_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
		       const struct nvmedmabuf_queue_params *params,
		       struct nvmedmabuf_queue **queue)
{
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	int err, fd = nvmedmabuf_fd(ctx);
	struct uring_queue *q;

	err = library_load(&uring_library);
	if (!err)
		err = nvmedmabuf_get_info(ctx, &info);
	if (err)
		return err;
	if (!(info.out_features & NVME_DMABUF_FEATURE_URING))
		return -EOPNOTSUPP;
	if (depth > info.out_max_depth)
		return -ENOSPC;

	q = calloc(1, sizeof(*q) + (params->polled ? depth * sizeof(*q->aside) : 0));
	if (!q)
		return -ENOMEM;

	err = uring_setup(&q->ring, depth, params->polled);
	if (err)
		goto free_queue;
	err = uring.io_uring_register_files(&q->ring, &fd, 1);
	if (err)
		goto exit_ring;
	if (params->event)
		err = uring.io_uring_register_eventfd(&q->ring, params->event_fd);
	if (err)
		goto unregister_files;

	q->base.front_end = &uring_front_end;
	q->base.fd = q->ring.ring_fd;
	*queue = &q->base;
	return 0;

unregister_files:
	uring.io_uring_unregister_files(&q->ring);
exit_ring:
	uring.io_uring_queue_exit(&q->ring);
free_queue:
	free(q);
	return err;
}
