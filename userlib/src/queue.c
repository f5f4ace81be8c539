// SPDX-License-Identifier: MIT
/*
 * Queues: commands in flight that nobody waits for, through the module's own
 * calls or through io_uring. Knows the binary interface and liburing, and of a
 * context only its descriptor and its limits.
 *
 * Commands that are prepared, in flight, or complete and not read, are never
 * more than the queue's depth. Every array and ring here has room for so many,
 * so that none can overflow and no completion is lost.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <liburing.h>

#include <nvmedmabuf.h>

#define NSEC_PER_SEC 1000000000ULL

/**
 * struct front_end - one of the ways to the module
 * @get: a place for the next command, which there is
 * @submit: hand over what is prepared, then wait until @want completions can be
 *	read; returns how many commands were handed over, or a negative errno
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
		      uint32_t flags);
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

/*
 * The module's own calls. What is prepared stands in an array, from its start;
 * completions come in a ring that the module writes.
 */

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
			uint32_t flags)
{
	struct ioctl_queue *q = (struct ioctl_queue *)queue;
	struct nvme_dmabuf_enter enter = {
		.size = sizeof(enter),
		.commands = (uintptr_t)q->commands,
		.count = queue->prepared,
		.min_complete = want,
		.timeout_ns = timeout_ns,
	};

	if (flags & NVMEDMABUF_SUBMIT_NOWAIT)
		enter.flags = NVME_DMABUF_ENTER_NOWAIT;
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

static int ioctl_create(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags,
			struct nvmedmabuf_queue **queue)
{
	struct nvme_dmabuf_queue make = {
		.size = sizeof(make),
		.depth = depth,
	};
	struct ioctl_queue *q;
	void *ring;
	int err;

	if (flags & NVMEDMABUF_QUEUE_POLLED)
		make.flags = NVME_DMABUF_QUEUE_POLLED;
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

/*
 * io_uring. What is prepared stands in the submission queue, and is not shown
 * to the kernel before it is submitted.
 */

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

static void completion_from_cqe(struct nvme_dmabuf_completion *cpl, const struct io_uring_cqe *cqe)
{
	*cpl = (struct nvme_dmabuf_completion){
		.user_data = cqe->user_data,
		.bytes = NVME_DMABUF_CQE_BYTES(cqe->big_cqe[0]),
		.error = cqe->res < 0 ? cqe->res : 0,
		.status = cqe->res > 0 ? (uint16_t)cqe->res : 0,
		.reason = NVME_DMABUF_CQE_REASON(cqe->big_cqe[0]),
	};
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
		completion_from_cqe(&cpls[count++], cqe);
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

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/*
 * The kernel does not poll as long as there are completions in its ring, ends
 * when it has others to run, and knows no timeout then.
 */
static int uring_submit_and_poll(struct uring_queue *q, uint32_t want, uint64_t timeout_ns)
{
	uint64_t start = timeout_ns ? now_ns() : 0;
	uint32_t missing;
	int ret;

	do {
		missing = 0;
		if (want) {
			uring_put_aside(q);
			if (!timeout_ns && want > q->aside_count)
				missing = want - q->aside_count;
		}
		ret = io_uring_submit_and_wait(&q->ring, missing);
	} while (ret >= 0 && uring_ready(&q->base) < want &&
		 (!timeout_ns || now_ns() - start < timeout_ns));
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
		return io_uring_submit_and_wait_timeout(&q->ring, &cqe, want, &timeout, NULL);
	return io_uring_submit_and_wait(&q->ring, want);
}

/* What was submitted can be told from the ring alone: a wait that failed hides it. */
static int uring_submit(struct nvmedmabuf_queue *queue, uint32_t want, uint64_t timeout_ns,
			uint32_t flags)
{
	struct uring_queue *q = (struct uring_queue *)queue;
	uint32_t submitted;
	int ret;

	/* What has to wait for room waits in a worker of io_uring's. */
	(void)flags;

	uring_set_user_data(q);
	ret = queue->polled ? uring_submit_and_poll(q, want, timeout_ns) :
			      uring_submit_and_wait(q, want, timeout_ns);
	submitted = queue->prepared - io_uring_sq_ready(&q->ring);
	if (submitted || ret >= 0)
		return (int)submitted;

	if (!queue->prepared && (ret == -ETIME || ret == -EINTR))
		return 0;
	/* EAGAIN is io_uring's word for no memory. */
	return ret == -EAGAIN ? -ENOMEM : ret;
}

static bool uring_look(struct nvmedmabuf_queue *queue)
{
	struct uring_queue *q = (struct uring_queue *)queue;

	if (!queue->polled && !(IO_URING_READ_ONCE(*q->ring.sq.kflags) & IORING_SQ_TASKRUN))
		return false;
	return io_uring_get_events(&q->ring) >= 0;
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

	io_uring_unregister_files(&q->ring);
	io_uring_queue_exit(&q->ring);
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
	err = io_uring_queue_init(depth, ring, flags | wanted);
	if (err == -EINVAL)
		err = io_uring_queue_init(depth, ring, flags);

	/* There is none, it is switched off, or it knows no such entries. */
	if (err == -ENOSYS || err == -EPERM || err == -EINVAL)
		return -EOPNOTSUPP;
	return err;
}

static int uring_create(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags,
			struct nvmedmabuf_queue **queue)
{
	bool polled = flags & NVMEDMABUF_QUEUE_POLLED;
	struct nvme_dmabuf_info info;
	int err, fd = nvmedmabuf_fd(ctx);
	struct uring_queue *q;

	err = nvmedmabuf_get_info(ctx, &info);
	if (err)
		return err;
	if (!(info.out_features & NVME_DMABUF_FEATURE_URING))
		return -EOPNOTSUPP;
	if (depth > info.out_max_depth)
		return -ENOSPC;

	q = calloc(1, sizeof(*q) + (polled ? depth * sizeof(*q->aside) : 0));
	if (!q)
		return -ENOMEM;

	err = uring_setup(&q->ring, depth, polled);
	if (err)
		goto free_queue;
	err = io_uring_register_files(&q->ring, &fd, 1);
	if (err)
		goto exit_ring;

	q->base.front_end = &uring_front_end;
	q->base.fd = q->ring.ring_fd;
	*queue = &q->base;
	return 0;

exit_ring:
	io_uring_queue_exit(&q->ring);
free_queue:
	free(q);
	return err;
}

/* What programs call. */

int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags,
			    struct nvmedmabuf_queue **queue)
{
	const uint32_t known = NVMEDMABUF_QUEUE_POLLED | NVMEDMABUF_QUEUE_URING;
	int err;

	if (!depth || flags & ~known)
		return -EINVAL;

	err = flags & NVMEDMABUF_QUEUE_URING ? uring_create(ctx, depth, flags, queue) :
					       ioctl_create(ctx, depth, flags, queue);
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
