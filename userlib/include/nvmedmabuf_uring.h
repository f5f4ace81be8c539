/* SPDX-License-Identifier: MIT */
/*
 * Commands on a program's own io_uring. The ring must have IORING_SETUP_SQE128, and, for all
 * that completions say, IORING_SETUP_CQE32. With IORING_SETUP_IOPOLL commands go to the
 * drive's polled queues, where it has some. Everything is inline; of io_uring only the
 * kernel's header is needed, and liburing may be included before or after.
 */
#ifndef NVMEDMABUF_URING_H
#define NVMEDMABUF_URING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/io_uring.h>

#include <nvmedmabuf.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * nvmedmabuf_uring_prep - fill in a submission queue entry
 * @sqe: the entry of 128 bytes, all of which is written
 * @fd: nvmedmabuf_fd() of the context. With IOSQE_FIXED_FILE, to be set in @sqe->flags
 *	afterwards, its index among the ring's registered files.
 * @cmd: the command, see nvmedmabuf_prep_read(); need not be kept. Its user_data becomes the
 *	entry's.
 *
 * A command that would have to wait to be submitted is handed to a thread of the kernel's.
 */
static inline void nvmedmabuf_uring_prep(struct io_uring_sqe *sqe, int fd,
					 const struct nvme_dmabuf_command *cmd)
{
	memset(sqe, 0, 128);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = NVME_DMABUF_URING_CMD;
	sqe->user_data = cmd->user_data;
	memcpy((char *)sqe + offsetof(struct io_uring_sqe, cmd), cmd, sizeof(*cmd));
}

/**
 * nvmedmabuf_uring_completion - what a completion queue entry says
 * @cqe: the entry, of a ring with IORING_SETUP_CQE32
 * @cpl: gets all that is known: result is always 0, and status is 0 if error is not
 */
static inline void nvmedmabuf_uring_completion(const struct io_uring_cqe *cqe,
					       struct nvme_dmabuf_completion *cpl)
{
	memset(cpl, 0, sizeof(*cpl));
	cpl->user_data = cqe->user_data;
	cpl->bytes = NVME_DMABUF_CQE_BYTES(cqe->big_cqe[0]);
	cpl->error = cqe->res < 0 ? cqe->res : 0;
	cpl->status = (uint16_t)(cqe->res > 0 ? cqe->res : 0);
	cpl->reason = NVME_DMABUF_CQE_REASON(cqe->big_cqe[0]);
}

#ifdef __cplusplus
}
#endif

#endif /* NVMEDMABUF_URING_H */
