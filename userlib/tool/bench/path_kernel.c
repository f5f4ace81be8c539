// SPDX-License-Identifier: MIT
/*
 * The paths of 'bench' for comparison, past the module: what the kernel offers
 * by itself, at its best. Both use io_uring with a registered file and a
 * registered buffer: READ_FIXED and WRITE_FIXED of the block device or the file, and
 * NVMe commands on the namespace's generic device. The only file that knows liburing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include <liburing.h>
#include <linux/nvme_ioctl.h>

#include "bench.h"

#define REAP_MAX 64

/* What a ring can have. */
#define MAX_REGISTERED 16384

/* NVM Command Set Specification, 3.2.4 and 3.2.6 */
#define OPCODE_WRITE 0x01
#define OPCODE_READ  0x02

struct kernel_path {
	struct io_uring ring;
	bool has_ring;
	int fd;		/* the generic device, or a file that is written; else -1 */
	uint64_t piece; /* bytes of each registered buffer */
	void *own;
	uint64_t own_size;
};

static bool is_passthrough(const struct bench_queue *q)
{
	return q->id == BENCH_URING_CMD;
}

/*
 * What is cheapest, where the kernel has it: completions are handled when this
 * thread asks for them, which spares interrupting it.
 */
static int make_ring(struct bench_queue *q)
{
	struct kernel_path *k = q->state;
	unsigned int flags = 0;
	int ret;

	if (is_passthrough(q))
		flags |= IORING_SETUP_SQE128 | IORING_SETUP_CQE32;
	if (q->bench->polled)
		flags |= IORING_SETUP_IOPOLL;
	ret = io_uring_queue_init(q->point->depth, &k->ring,
				  flags | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (ret == -EINVAL)
		ret = io_uring_queue_init(q->point->depth, &k->ring, flags);
	k->has_ring = !ret;
	if (ret == -ENOSYS || ret == -EPERM)
		return bench_obstacle(
			q, "no-io-uring",
			"this kernel has no io_uring, or it is switched off (sysctl kernel.io_uring_disabled)");
	if (ret)
		return bench_obstacle(q, "no-io-uring", "cannot make a ring of depth %u: %s",
				      q->point->depth, strerror(-ret));
	return 0;
}

/*
 * A buffer for each part of the memory that a command takes, as programs have it;
 * Linux 6.1 accepts NVMe commands to the whole of a registered buffer only. Where
 * there are too many, several share one.
 */
static int register_memory(struct bench_queue *q, uint8_t *mem)
{
	struct kernel_path *k = q->state;
	uint32_t slots = bench_slots(q);
	uint32_t together = (slots + MAX_REGISTERED - 1) / MAX_REGISTERED;
	uint32_t count = (slots + together - 1) / together;
	struct iovec *iov = calloc(count, sizeof(*iov));
	int ret;

	if (!iov)
		return -ENOMEM;
	k->piece = together * q->point->size;
	for (uint32_t i = 0; i < count; i++)
		iov[i] = (struct iovec){ .iov_base = mem + i * k->piece, .iov_len = k->piece };
	/* The last may be shorter. */
	iov[count - 1].iov_len = slots * q->point->size - (count - 1) * k->piece;
	ret = io_uring_register_buffers(&k->ring, iov, count);
	free(iov);
	return ret;
}

/* Pages of an anonymous file, as udmabuf has them. */
static int make_memory(struct bench_queue *q, bool huge)
{
	uint64_t size = nvmedmabuf_buffer_size(q->bench->channel.buf);
	struct kernel_path *k = q->state;
	void *mem = MAP_FAILED;
	int fd, ret;

	fd = memfd_create("nvme-dmabuf-bench", MFD_CLOEXEC | (huge ? MFD_HUGETLB : 0));
	if (fd < 0)
		return -errno;
	ret = ftruncate(fd, size);
	if (!ret)
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	ret = mem == MAP_FAILED ? -errno : 0;
	close(fd);
	if (!ret) {
		k->own = mem;
		k->own_size = size;
	}
	return ret;
}

/*
 * The CPU's mapping of a dma-buf can rarely be registered: most exporters map
 * addresses, not pages that could be pinned.
 */
static int choose_memory(struct bench_queue *q)
{
	const bool huge = exporter_is_huge(&q->bench->exporter);
	const struct channel *ch = &q->bench->channel;
	struct kernel_path *k = q->state;
	int ret;

	if (!register_memory(q, ch->mem)) {
		q->mem = ch->mem;
		q->buf = ch->buf;
		q->memory = "dma-buf";
		return 0;
	}
	ret = make_memory(q, huge);
	if (!ret)
		ret = register_memory(q, k->own);
	if (ret)
		return bench_obstacle(
			q, "no-memory",
			"memory for the comparison cannot be had or registered: %s%s",
			strerror(-ret),
			ret == -ENOMEM && huge ? "; reserve twice as many huge pages" : "");
	q->mem = k->own;
	q->memory = huge ? "memfd-huge" : "memfd";
	return 0;
}

/*
 * Metadata would need a buffer, or the drive told to make it up: without that it
 * moves more than the data of the blocks.
 */
static int check_format(struct bench_queue *q)
{
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	int ret = ns_get_drive(&q->bench->ns, &drive);

	if (ret)
		return bench_obstacle(
			q, "no-drive",
			"it is not known whether the blocks have metadata (%s); run this as root",
			strerror(-ret));
	if (drive.metadata_size)
		return bench_obstacle(q, "metadata", "it is not used on blocks with metadata");
	return 0;
}

/* A command must not cross the end of a zone, and here nobody splits it. */
static int check_zones(struct bench_queue *q)
{
	const struct bench *b = q->bench;
	uint64_t at = (b->info.out_start + b->start) * b->info.out_block_size, zone;
	char sectors[24];

	if (!(b->info.out_flags & NVME_DMABUF_NS_ZONED))
		return 0;
	sysfs_read(sectors, sizeof(sectors), "/sys/class/block/%s/queue/chunk_sectors", b->ns.disk);
	zone = strtoull(sectors, NULL, 10) * 512;
	if (zone && zone % q->point->size == 0 && at % q->point->size == 0)
		return 0;
	return bench_obstacle(q, "zoned", "some of its commands would cross the end of a zone");
}

/* nvme0n1 has ng0n1. */
static int open_generic(struct bench_queue *q)
{
	const struct ns *ns = &q->bench->ns;
	struct kernel_path *k = q->state;
	char path[PATH_SIZE];
	int ret;

	if (ns->is_file)
		return bench_obstacle(q, "file",
				      "NVMe commands do not know where the blocks of a file are");
	snprintf(path, sizeof(path), "/dev/ng%s", ns->disk + strlen("nvme"));
	k->fd = open(path, (q->point->direction == BENCH_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (k->fd < 0)
		return bench_obstacle(q, "no-generic-device", "cannot open %s: %s", path,
				      strerror(errno));
	ret = check_format(q);
	return ret ? ret : check_zones(q);
}

/* Between the module's measurements, which need it closed. */
static int open_file(struct bench_queue *q)
{
	struct kernel_path *k = q->state;

	if (!q->bench->ns.writes)
		return 0;
	k->fd = file_reopen(&q->bench->ns, O_RDWR | O_DIRECT);
	if (k->fd < 0)
		return bench_obstacle(q, "cannot-open", "cannot open %s for direct I/O: %s",
				      q->bench->ns.path, strerror(-k->fd));
	return 0;
}

static int kernel_open(struct bench_queue *q)
{
	struct kernel_path *k = calloc(1, sizeof(*k));
	int fd, ret;

	if (!k)
		return bench_obstacle(q, "no-memory", "out of memory");
	q->state = k;
	k->fd = -1;
	ret = is_passthrough(q) ? open_generic(q) : open_file(q);
	if (!ret)
		ret = make_ring(q);
	if (!ret)
		ret = choose_memory(q);
	if (ret)
		return ret;
	fd = k->fd >= 0 ? k->fd : q->bench->direct.fd;
	ret = io_uring_register_files(&k->ring, &fd, 1);
	if (ret)
		return bench_obstacle(q, "no-io-uring", "cannot register a file: %s",
				      strerror(-ret));
	return 0;
}

static void prepare_passthrough(const struct bench_queue *q, struct io_uring_sqe *sqe, void *data,
				uint64_t slba)
{
	const struct nvme_dmabuf_ns_info *info = &q->bench->info;
	struct nvme_uring_cmd *cmd = (struct nvme_uring_cmd *)sqe->cmd;

	/* Twice as long as its type says: IORING_SETUP_SQE128. */
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->cmd_op = NVME_URING_CMD_IO;
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	sqe->fd = 0;
	slba += info->out_start;
	cmd->opcode = q->point->direction == BENCH_WRITE ? OPCODE_WRITE : OPCODE_READ;
	cmd->nsid = info->out_nsid;
	cmd->addr = (uintptr_t)data;
	cmd->data_len = q->point->size;
	cmd->cdw10 = slba;
	cmd->cdw11 = slba >> 32;
	cmd->cdw12 = q->point->size / info->out_block_size - 1;
}

static int kernel_prepare(struct bench_queue *q, uint32_t tag, uint64_t offset, uint64_t slba)
{
	struct kernel_path *k = q->state;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&k->ring);
	uint64_t at = slba * q->bench->info.out_block_size;
	void *data = q->mem + offset;

	if (!sqe)
		return -ENOSPC;
	if (is_passthrough(q))
		prepare_passthrough(q, sqe, data, slba);
	else if (q->point->direction == BENCH_WRITE)
		io_uring_prep_write_fixed(sqe, 0, data, q->point->size, at, 0);
	else
		io_uring_prep_read_fixed(sqe, 0, data, q->point->size, at, 0);
	sqe->buf_index = offset / k->piece;
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, tag);
	return 0;
}

static int kernel_submit(struct bench_queue *q)
{
	struct kernel_path *k = q->state;
	int ret = io_uring_submit_and_wait(&k->ring, 1);

	return ret < 0 ? ret : 0;
}

static void translate(const struct bench_queue *q, const struct io_uring_cqe *cqe,
		      struct nvme_dmabuf_completion *cpl)
{
	memset(cpl, 0, sizeof(*cpl));
	cpl->user_data = cqe->user_data;
	if (cqe->res < 0)
		cpl->error = cqe->res;
	else if (is_passthrough(q))
		cpl->status = cqe->res;
	else if ((uint32_t)cqe->res != q->point->size)
		cpl->error = -EIO;
}

static int kernel_reap(struct bench_queue *q, struct nvme_dmabuf_completion *cpls, uint32_t max)
{
	struct io_uring_cqe *cqes[REAP_MAX];
	struct kernel_path *k = q->state;
	unsigned int n;

	n = io_uring_peek_batch_cqe(&k->ring, cqes, max < REAP_MAX ? max : REAP_MAX);
	for (unsigned int i = 0; i < n; i++)
		translate(q, cqes[i], &cpls[i]);
	io_uring_cq_advance(&k->ring, n);
	return n;
}

static void kernel_close(struct bench_queue *q)
{
	struct kernel_path *k = q->state;

	if (!k)
		return;
	/* The kernel ends a ring, and closes its files, some time after this asks for it. */
	if (k->has_ring) {
		io_uring_unregister_files(&k->ring);
		io_uring_queue_exit(&k->ring);
	}
	if (k->own)
		munmap(k->own, k->own_size);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}

const struct bench_path bench_path_kernel = {
	.open = kernel_open,
	.prepare = kernel_prepare,
	.submit = kernel_submit,
	.reap = kernel_reap,
	.close = kernel_close,
};
