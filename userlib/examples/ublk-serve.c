// SPDX-License-Identifier: MIT
/*
 * A block device in user space (ublk, Linux 7.1) whose data never passes through the server:
 * the drive reads and writes the client's own pages.
 *
 *   ublk-serve /dev/nvme0n1 [MIB]    prints: /dev/ublkb0 /proc/PID/fd/N
 *
 * serves a namespace, or a file on XFS or ext4, until SIGINT or SIGTERM. The second name is
 * that of memory, MIB large (64), which the server and its clients share. A client opens and
 * maps it (MAP_SHARED), and takes buffers for O_DIRECT from it.
 *
 * The server gives this memory to both sides, once. ublk learns its pages
 * (UBLK_U_CMD_REG_BUF), and the drive has it as a dma-buf (nvmedmabuf_export()). If the data
 * of a request is in it, ublk says so, with the offset (UBLK_IO_F_SHMEM_ZC). The same offset
 * goes into an NVMe command, and nothing is copied, pinned or mapped for the request.
 *
 * The data of other requests, as of the page cache, ublk copies to or from a buffer of the
 * server's. The drive has these buffers as a dma-buf too, so there is no second copy.
 *
 * One thread and one io_uring do all: ublk's requests, the drive's commands, and signals.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <liburing.h>
#include <nvmedmabuf.h>

#include "ublk.h"

#define DEPTH  32		/* requests in flight */
#define LENGTH (512 * 1024)	/* the longest request */
#define MIB    (1024 * 1024ULL)

/* Where a completion comes from: the upper half of its user_data. The lower is the tag. */
enum source { CONTROL, CLIENT, DRIVE, SIGNAL };

#define USER_DATA(source, tag) ((uint64_t)(source) << 32 | (tag))

/* Memory that the drive can reach. */
struct memory {
	uint8_t *addr;
	uint32_t map;
};

struct server {
	struct nvmedmabuf *ctx;
	struct memory shared;	/* with the clients */
	uint64_t shared_length;
	struct memory own;	/* one buffer for each tag, for all other requests */
	uint64_t bytes;		/* of the namespace or file */
	unsigned int block_shift;

	struct io_uring ring;
	int control;		/* /dev/ublk-control */
	int device;		/* /dev/ublkcN */
	uint32_t number;	/* N */
	const struct ublksrv_io_desc *requests;
	unsigned int fetching;	/* tags that ublk has, or that have a request */

	bool answered;		/* the last control command, */
	int answer;		/* with this */
	bool stop;		/* a signal has arrived */
	uint64_t direct, copied;
};

/* Ends the program if a call failed: ret is a negative errno value then. */
static void must(int ret, const char *what, uint32_t reason)
{
	errno = -ret;
	if (ret < 0 && reason)
		err(1, "%s: %s", what, nvmedmabuf_reason_text(reason));
	if (ret < 0)
		err(1, "%s", what);
}

static struct io_uring_sqe *command(struct server *s, int fd, unsigned int op, uint64_t user_data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	if (!sqe) /* Never: a tag has one command at a time, and the ring has room for all. */
		errx(1, "no room in the ring");
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	sqe->user_data = user_data;
	return sqe;
}

/* Gives a tag to ublk, for its first request, or with the result of one for the next. */
static void fetch(struct server *s, unsigned int op, uint32_t tag, int result)
{
	struct io_uring_sqe *sqe = command(s, s->device, op, USER_DATA(CLIENT, tag));
	struct ublksrv_io_cmd *cmd = (void *)sqe->cmd;

	cmd->tag = tag;
	cmd->result = result;
	cmd->addr = (uintptr_t)s->own.addr + tag * LENGTH;
}

/* A request of a client's becomes one command to the drive. */
static void start_request(struct server *s, uint32_t tag)
{
	const struct ublksrv_io_desc *request = &s->requests[tag];
	uint64_t slba = request->start_sector >> (s->block_shift - 9);
	uint64_t length = (uint64_t)request->nr_sectors << 9;
	bool direct = request->op_flags & UBLK_IO_F_SHMEM_ZC;
	uint64_t offset = direct ? request->addr & UBLK_SHMEM_ZC_OFF_MASK : tag * LENGTH;
	uint32_t map = direct ? s->shared.map : s->own.map;
	struct nvme_dmabuf_command *cmd;

	cmd = (void *)command(s, nvmedmabuf_fd(s->ctx), NVME_DMABUF_URING_CMD,
			      USER_DATA(DRIVE, tag))->cmd;
	switch (ublksrv_get_op(request)) {
	case UBLK_IO_OP_FLUSH: /* It has no data, so it counts as neither. */
		nvmedmabuf_prep_flush(cmd, map);
		return;
	case UBLK_IO_OP_WRITE:
		nvmedmabuf_prep_write(cmd, map, offset, length, slba);
		if (request->op_flags & UBLK_IO_F_FUA)
			cmd->flags = NVME_DMABUF_CMD_FUA;
		break;
	default: /* UBLK_IO_OP_READ; the device was given no others */
		nvmedmabuf_prep_read(cmd, map, offset, length, slba);
	}
	if (direct)
		s->direct++;
	else
		s->copied++;
}

/* result: 0, a negative errno value, or the drive's status */
static void end_request(struct server *s, uint32_t tag, int result)
{
	if (result > 0)
		result = -EIO;
	else if (!result && ublksrv_get_op(&s->requests[tag]) != UBLK_IO_OP_FLUSH)
		result = s->requests[tag].nr_sectors << 9;
	fetch(s, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
}

static void handle(struct server *s, const struct io_uring_cqe *cqe)
{
	uint32_t tag = (uint32_t)cqe->user_data;

	switch ((enum source)(cqe->user_data >> 32)) {
	case CLIENT:
		if (cqe->res == UBLK_IO_RES_OK)
			start_request(s, tag);
		else
			s->fetching--; /* The device has been stopped. */
		break;
	case DRIVE:
		end_request(s, tag, cqe->res);
		break;
	case CONTROL:
		s->answer = cqe->res;
		s->answered = true;
		break;
	case SIGNAL:
		s->stop = true;
	}
}

/* Submits what has been prepared, and handles what has arrived: one system call. */
static void serve(struct server *s)
{
	struct io_uring_cqe *cqe;
	unsigned int head, count = 0;
	int ret = io_uring_submit_and_wait(&s->ring, 1);

	if (ret != -EINTR)
		must(ret, "io_uring", 0);
	io_uring_for_each_cqe(&s->ring, head, cqe) {
		handle(s, cqe);
		count++;
	}
	io_uring_cq_advance(&s->ring, count);
}

/* Serves meanwhile: a device stops when the requests that have begun have ended. */
static int control(struct server *s, unsigned int op, const void *data, uint16_t length,
		   uint64_t value)
{
	struct io_uring_sqe *sqe = command(s, s->control, op, USER_DATA(CONTROL, 0));
	struct ublksrv_ctrl_cmd *cmd = (void *)sqe->cmd;

	cmd->dev_id = s->number;
	cmd->queue_id = -1;
	cmd->addr = (uintptr_t)data;
	cmd->len = length;
	cmd->data[0] = value;
	for (s->answered = false; !s->answered;)
		serve(s);
	return s->answer;
}

/* Connects memory with what is served; the map takes no commands yet. */
static void attach(struct server *s, struct memory *memory, int memfd, uint64_t length, int fd)
{
	int flags = memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, dmabuf, ret;
	struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = NVMEDMABUF_ACCESS_READ_WRITE,
		.ns_fd = fd,
		.length = length,
		.defer = true,
	};
	uint32_t reason;

	memory->addr = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, memfd, 0);
	if (memory->addr == MAP_FAILED)
		err(1, "mmap");
	ret = nvmedmabuf_export(s->ctx, memory->addr, length, params.access, &dmabuf, &reason);
	must(ret, "export", reason);
	params.dmabuf_fd = dmabuf;
	ret = nvmedmabuf_attach(s->ctx, &params, &memory->map, &reason);
	must(ret, "attach", reason);
	close(dmabuf); /* The map keeps it. */
}

static void open_storage(struct server *s, const char *path, int memfd)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	uint32_t reason;
	int fd, ret;

	must(nvmedmabuf_open(&s->ctx), "/dev/nvme-dmabuf", 0);
	fd = open(path, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	must(nvmedmabuf_get_ns_info(s->ctx, fd, &info), path, 0);
	attach(s, &s->shared, memfd, s->shared_length, fd);
	attach(s, &s->own, -1, DEPTH * LENGTH, fd);
	s->block_shift = __builtin_ctz(info.out_block_size);
	s->bytes = lseek(fd, 0, SEEK_END) >> s->block_shift << s->block_shift;
	/* Nobody may have a file open that is to be written. A map keeps a namespace open. */
	close(fd);
	ret = nvmedmabuf_refresh(s->ctx, s->shared.map, NULL, &reason);
	must(ret, path, reason);
	ret = nvmedmabuf_refresh(s->ctx, s->own.map, NULL, &reason);
	must(ret, path, reason);
}

/* Nobody can make it shorter, so its pages stay those that ublk and the drive know. */
static int make_shared(uint64_t length)
{
	int fd = memfd_create("ublk-serve", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, length) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		err(1, "memfd");
	return fd;
}

static void add_device(struct server *s)
{
	struct ublksrv_ctrl_dev_info info = {
		.nr_hw_queues = 1,
		.queue_depth = DEPTH,
		.max_io_buf_bytes = LENGTH,
		.dev_id = -1, /* the next that is free */
		.flags = UBLK_F_SHMEM_ZC,
	};
	uint64_t features = 0;
	char path[32];

	s->number = info.dev_id;
	control(s, UBLK_U_CMD_GET_FEATURES, &features, sizeof(features), 0);
	if (!(features & UBLK_F_SHMEM_ZC))
		errx(1, "this kernel's ublk knows no shared memory (UBLK_F_SHMEM_ZC, Linux 7.1)");
	must(control(s, UBLK_U_CMD_ADD_DEV, &info, sizeof(info), 0), "ADD_DEV", 0);
	s->number = info.dev_id;
	snprintf(path, sizeof(path), "/dev/ublkc%u", s->number);
	s->device = open(path, O_RDWR | O_CLOEXEC);
	if (s->device < 0)
		err(1, "%s", path);
	s->requests = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, s->device,
			   UBLKSRV_CMD_BUF_OFFSET);
	if (s->requests == MAP_FAILED)
		err(1, "%s", path);
}

static int start_device(struct server *s)
{
	struct ublk_params params = {
		.len = sizeof(params),
		.types = UBLK_PARAM_TYPE_BASIC,
		.basic = {
			.attrs = UBLK_ATTR_VOLATILE_CACHE | UBLK_ATTR_FUA,
			.logical_bs_shift = s->block_shift,
			.physical_bs_shift = s->block_shift,
			.max_sectors = LENGTH >> 9,
			.dev_sectors = s->bytes >> 9,
		},
	};
	struct ublk_shmem_buf_reg shared = {
		.addr = (uintptr_t)s->shared.addr,
		.len = s->shared_length,
	};
	int ret;

	ret = control(s, UBLK_U_CMD_SET_PARAMS, &params, sizeof(params), 0);
	/* Returns a number. If there are several, each request says which: this is the only one. */
	if (ret >= 0)
		ret = control(s, UBLK_U_CMD_REG_BUF, &shared, sizeof(shared), 0);
	if (ret < 0)
		return ret;
	for (; s->fetching < DEPTH; s->fetching++)
		fetch(s, UBLK_U_IO_FETCH_REQ, s->fetching, 0);
	return control(s, UBLK_U_CMD_START_DEV, NULL, 0, getpid());
}

/* Requests that have begun end; later ones fail. Clients may still have the device open. */
static void stop_device(struct server *s)
{
	must(control(s, UBLK_U_CMD_STOP_DEV, NULL, 0, 0), "STOP_DEV", 0);
	while (s->fetching)
		serve(s);
	must(control(s, UBLK_U_CMD_DEL_DEV_ASYNC, NULL, 0, 0), "DEL_DEV", 0);
}

static void open_ring(struct server *s)
{
	struct io_uring_sqe *sqe;
	sigset_t signals;
	int fd;

	s->control = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (s->control < 0)
		err(1, "/dev/ublk-control (modprobe ublk_drv)");
	must(io_uring_queue_init(2 * DEPTH, &s->ring, IORING_SETUP_SQE128 |
				 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
	     "io_uring", 0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0)
		err(1, "signalfd");
	sqe = io_uring_get_sqe(&s->ring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	sqe->user_data = USER_DATA(SIGNAL, 0);
}

int main(int argc, char **argv)
{
	struct server s = { .shared_length = 64 * MIB };
	int memfd, ret;

	if (argc < 2 || argc > 3)
		errx(2, "usage: ublk-serve NAMESPACE|FILE [MIB]");
	if (argc > 2)
		s.shared_length = strtoull(argv[2], NULL, 10) * MIB;
	memfd = make_shared(s.shared_length);
	open_storage(&s, argv[1], memfd);
	open_ring(&s);
	add_device(&s);
	ret = start_device(&s);
	if (ret >= 0) {
		printf("/dev/ublkb%u /proc/%d/fd/%d\n", s.number, getpid(), memfd);
		fflush(stdout);
		while (!s.stop)
			serve(&s);
	}
	stop_device(&s);
	must(ret, "start", 0);
	printf("%llu requests went directly, %llu were copied\n", (unsigned long long)s.direct,
	       (unsigned long long)s.copied);
	io_uring_queue_exit(&s.ring);
	nvmedmabuf_close(s.ctx); /* detaches the maps */
	return 0;
}
