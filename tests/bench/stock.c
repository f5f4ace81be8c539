// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel itself offers: io_uring reads of the block device, and NVMe
 * commands through io_uring. Both with everything that makes them fast: files, ring
 * and buffers are registered, and the application polls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench.h"
#include "ring.h"

static __thread struct {
	struct io_uring ring;
	int file;
	uint8_t *addr;
	uint32_t bytes;
	bool writes;
	uint32_t nsid;
	uint32_t block_shift;
} stock;

static int stock_open(const struct job *job, const char *path, int open_flags,
		      unsigned int ring_flags)
{
	stock.addr = job->memory->addr;
	stock.bytes = job->bytes;
	stock.writes = job->writes;
	stock.file =
		check_sys(open(path, (job->writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | open_flags));
	ring_open(&stock.ring, job->depth, ring_flags | (job->interrupts ? 0 : IORING_SETUP_IOPOLL),
		  stock.file);
	ring_register_memory(&stock.ring, job->memory);
	return 0;
}

static void stock_submit(uint32_t count)
{
	ring_submit(&stock.ring, count);
}

static void stock_close(void)
{
	io_uring_queue_exit(&stock.ring);
	close(stock.file);
}

static int read_fixed_open(const struct job *job)
{
	return stock_open(job, job->block, O_DIRECT, 0);
}

static void read_fixed_prepare(const struct io *ios, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_entry(&stock.ring);

		io_uring_prep_read_fixed(sqe, 0, stock.addr + ios[i].offset, stock.bytes,
					 ios[i].start, 0);
		if (stock.writes)
			sqe->opcode = IORING_OP_WRITE_FIXED;
		sqe->flags = IOSQE_FIXED_FILE;
	}
}

static int read_fixed_reap(uint32_t count)
{
	return ring_reap(&stock.ring, count, stock.bytes);
}

static int read_fixed_run(uint32_t count)
{
	return ring_run(&stock.ring, count, stock.bytes);
}

const struct path path_read_fixed = {
	.name = "read_fixed",
	.open = read_fixed_open,
	.prepare = read_fixed_prepare,
	.submit = stock_submit,
	.reap = read_fixed_reap,
	.run = read_fixed_run,
	.close = stock_close,
};

static int uring_cmd_open(const struct job *job)
{
	int block = check_sys(open(job->block, O_RDONLY | O_CLOEXEC)), size;

	check_sys(ioctl(block, BLKSSZGET, &size));
	close(block);
	stock.block_shift = __builtin_ctz(size);
	stock_open(job, job->generic, 0, IORING_SETUP_SQE128 | IORING_SETUP_CQE32);
	stock.nsid = check_sys(ioctl(stock.file, NVME_IOCTL_ID));
	return 0;
}

static void uring_cmd_prepare(const struct io *ios, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_entry(&stock.ring);
		struct nvme_uring_cmd *cmd = (struct nvme_uring_cmd *)sqe->cmd;
		uint64_t slba = ios[i].start >> stock.block_shift;

		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = NVME_URING_CMD_IO;
		sqe->flags = IOSQE_FIXED_FILE;
		sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
		cmd->opcode = 2; /* Read */
		cmd->nsid = stock.nsid;
		cmd->addr = (uintptr_t)stock.addr + ios[i].offset;
		cmd->data_len = stock.bytes;
		cmd->cdw10 = slba;
		cmd->cdw11 = slba >> 32;
		cmd->cdw12 = (stock.bytes >> stock.block_shift) - 1;
	}
}

static int uring_cmd_reap(uint32_t count)
{
	return ring_reap(&stock.ring, count, 0);
}

static int uring_cmd_run(uint32_t count)
{
	return ring_run(&stock.ring, count, 0);
}

const struct path path_uring_cmd = {
	.name = "uring_cmd",
	.open = uring_cmd_open,
	.prepare = uring_cmd_prepare,
	.submit = stock_submit,
	.reap = uring_cmd_reap,
	.run = uring_cmd_run,
	.close = stock_close,
};
