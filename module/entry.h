/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How user space enters: the device, the files of queues, and io_uring.
 */
#ifndef NVME_DMABUF_ENTRY_H
#define NVME_DMABUF_ENTRY_H

#include "command.h"

struct io_comp_batch;
struct io_uring_cmd;
struct nvdm_queue;

/* chardev.c: but for queue_file.c the only code that touches user memory */
int nvdm_chardev_read_args(void *args, size_t size, size_t min_size, const void __user *user);
void nvdm_chardev_install(int fd, struct file *file, bool told);
int nvdm_chardev_register(void);
void nvdm_chardev_unregister(void);

/* queue_file.c */
struct file *nvdm_queue_file(struct nvdm_queue *queue);

/* uring.c */
void nvdm_uring_free(struct nvdm_context *ctx);
enum rq_end_io_ret nvdm_uring_end_io(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_uring_end_io_write(RQ_END_IO_ARGS(rq, blk_status));
struct nvdm_map *nvdm_uring_map(struct io_uring_cmd *ioucmd);
void nvdm_uring_give_up(struct io_uring_cmd *ioucmd, int error, u32 reason);
int nvdm_uring_cmd(struct io_uring_cmd *ioucmd, unsigned int issue_flags);
int nvdm_uring_iopoll(struct io_uring_cmd *ioucmd, struct io_comp_batch *iob,
		      unsigned int poll_flags);

#endif
