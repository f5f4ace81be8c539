// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int ring_try(struct io_uring *ring, unsigned int entries, unsigned int flags)
{
	int result = io_uring_queue_init(entries, ring, flags);

	/* Compiled out, or disabled by a sysctl. */
	if (result == -ENOSYS || result == -EPERM)
		skip("no io_uring here");
	return result;
}

void ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags)
{
	int result = ring_try(ring, entries, IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | flags);

	check_that(!result, "io_uring: %s", strerrorname_np(-result));
}

struct io_uring_sqe *ring_prepare(struct io_uring *ring, int fd,
				  const struct nvme_dmabuf_command *command)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	check(sqe);
	nvmedmabuf_uring_prep(sqe, fd, command);
	return sqe;
}

void ring_wait(struct io_uring *ring, struct nvme_dmabuf_completion *completion)
{
	struct __kernel_timespec second = { .tv_sec = 1 };
	time_t end = time(NULL) + 60;
	struct io_uring_cqe *cqe;
	int result;

	/* A ring that polls may have nothing to poll for some time, and does not wait then. */
	do
		result = io_uring_wait_cqe_timeout(ring, &cqe, &second);
	while ((result == -EINTR || result == -ETIME) && time(NULL) < end);
	check_that(!result, "io_uring: %s", strerrorname_np(-result));
	nvmedmabuf_uring_completion(cqe, completion);
	io_uring_cqe_seen(ring, cqe);
}
