// SPDX-License-Identifier: GPL-2.0-only
/*
 * One io_uring. See ring.h.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

void ring_open(struct io_uring *ring, uint32_t depth, unsigned int flags, int file)
{
	/* That one bad read stops the others would be one more case to reap. */
	int result =
		io_uring_queue_init(depth, ring,
				    flags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
					    IORING_SETUP_DEFER_TASKRUN);

	if (result)
		die("io_uring: %s", strerror(-result));
	result = io_uring_register_files(ring, &file, 1);
	if (result)
		die("io_uring: cannot register a file: %s", strerror(-result));
	/* Entry n of the ring is always submission n. */
	for (unsigned int i = 0; i < ring->sq.ring_entries; i++)
		ring->sq.array[i] = i;
	result = io_uring_register_ring_fd(ring);
	if (result != 1)
		die("io_uring: cannot register the ring: %s", strerror(-result));
}

struct io_uring_sqe *ring_entry(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (!sqe)
		die("io_uring: no entry is free");
	memset(sqe, 0, ring->flags & IORING_SETUP_SQE128 ? 2 * sizeof(*sqe) : sizeof(*sqe));
	return sqe;
}

/* Enters the kernel once. */
static void enter(struct io_uring *ring, uint32_t submit, uint32_t complete)
{
	unsigned int flags = IORING_ENTER_REGISTERED_RING;
	int result;

	if (submit) {
		ring->sq.sqe_head = ring->sq.sqe_tail;
		io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
	}
	if (complete)
		flags |= IORING_ENTER_GETEVENTS;
	result = io_uring_enter(ring->enter_ring_fd, submit, complete, flags, NULL);
	if (result != (int)submit && result != -EINTR)
		die("io_uring: %s", result < 0 ? strerror(-result) : "not all was submitted");
}

void ring_submit(struct io_uring *ring, uint32_t count)
{
	enter(ring, count, 0);
}

/* Takes what there is; returns how much that was. */
static uint32_t take(struct io_uring *ring, int32_t expected, int *error)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;

	io_uring_for_each_cqe(ring, head, cqe) {
		if (cqe->res != expected && !*error)
			*error = cqe->res < 0 || !expected ? cqe->res : -EIO;
		seen++;
	}
	io_uring_cq_advance(ring, seen);
	return seen;
}

int ring_reap(struct io_uring *ring, uint32_t count, int32_t expected)
{
	int error = 0;

	while (count) {
		enter(ring, 0, count);
		count -= take(ring, expected, &error);
	}
	return error;
}

int ring_run(struct io_uring *ring, uint32_t count, int32_t expected)
{
	int error = 0, later;

	enter(ring, count, count);
	count -= take(ring, expected, &error);
	later = ring_reap(ring, count, expected);
	return error ? error : later;
}

void ring_register_memory(struct io_uring *ring, const struct memory *memory)
{
	struct iovec all = { .iov_base = memory->addr, .iov_len = memory->size };
	int result = io_uring_register_buffers(ring, &all, 1);

	if (result)
		die("io_uring: cannot register a buffer: %s", strerror(-result));
}
