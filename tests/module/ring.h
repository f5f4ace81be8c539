/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands by io_uring, without the library: what goes into its rings and comes out of
 * them, as the uapi header describes it.
 */
#ifndef TESTS_MODULE_RING_H
#define TESTS_MODULE_RING_H

#include <liburing.h>

#include <nvmedmabuf_uring.h>

#include "rig.h"

/** ring_open - a ring for commands and their completions: SQE128, CQE32 and @flags */
void ring_open(struct io_uring *ring, unsigned int entries, unsigned int flags);

/** ring_prepare - fill in the next submission queue entry; @fd: the context */
struct io_uring_sqe *ring_prepare(struct io_uring *ring, int fd,
				  const struct nvme_dmabuf_command *command);

/** ring_try - set a ring up; skips where there is no io_uring; returns 0 or -errno */
int ring_try(struct io_uring *ring, unsigned int entries, unsigned int flags);

/** ring_wait - wait for a completion, a minute at most; what has an error has no bytes */
void ring_wait(struct io_uring *ring, struct nvme_dmabuf_completion *completion);

#endif
