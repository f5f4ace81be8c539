// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's ways to submit: without waiting an array of commands by ioctl on a queue,
 * and io_uring; and an array that is waited for. Uses the kernel's interface and not the
 * library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/nvme_dmabuf.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "ring.h"

_Static_assert(sizeof(struct nvme_dmabuf_command) <= 80, "a command fits into an entry");

/* What the threads of one job have open. They take turns, so nothing is locked. */
static struct {
	int device;
	uint32_t users;
} together;

static __thread struct {
	const struct shared *shared; /* what the caller has opened, or NULL */
	int device;
	int queue;
	struct nvme_dmabuf_ring *ring;
	uint64_t ring_bytes;
	struct nvme_dmabuf_command commands[MAX_DEPTH];
	struct nvme_dmabuf_completion completions[MAX_DEPTH]; /* of the path submit */
	struct nvme_dmabuf_command command; /* what all have in common, but for the map */
	uint32_t maps[MAX_MAPS];
	uint32_t map_count;
	uint32_t turn;
	struct io_uring uring;
	uint32_t block_shift;
} ours;

static bool shares_map(void)
{
	return ours.shared && ours.shared->has_map;
}

static void ours_close(void)
{
	struct nvme_dmabuf_detach detach = { .size = sizeof(detach) };

	if (!ours.shared) {
		if (!together.users || !--together.users)
			close(ours.device);
		return;
	}
	for (uint32_t i = 0; i < ours.map_count && !shares_map(); i++) {
		detach.map = ours.maps[i];
		check_sys(ioctl(ours.device, NVME_DMABUF_IOC_DETACH, &detach));
	}
}

static int open_device(const struct job *job)
{
	if (job->shared)
		return job->shared->device;
	if (job->threads > 1 && together.users) {
		together.users++;
		return together.device;
	}
	return open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC);
}

/* A job for several threads maps the same memory for each of them. */
static int ours_attach(const struct job *job)
{
	int block;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_refresh refresh = { .size = sizeof(refresh) };
	struct nvme_dmabuf_attach attach = {
		.size = sizeof(attach),
		.flags = job->writes ? NVME_DMABUF_ATTACH_DEFER : 0,
		.dmabuf_fd = job->memory->dmabuf,
		.access = NVME_DMABUF_ACCESS_READ | (job->writes ? NVME_DMABUF_ACCESS_WRITE : 0),
		.length = job->memory->size,
	};

	ours.shared = job->shared;
	ours.device = open_device(job);
	if (ours.device < 0)
		return -errno;
	if (job->threads > 1 && !together.users) {
		together.device = ours.device;
		together.users = 1;
	}
	block = attach.ns_fd =
		check_sys(open(job->block, (job->writes ? O_RDWR : O_RDONLY) | O_CLOEXEC));
	ours.map_count = shares_map() ? 1 : job->maps;
	ours.turn = 0;
	for (uint32_t i = 0; i < ours.map_count; i++) {
		if (shares_map())
			attach.out_map = ours.shared->map;
		else if (ioctl(ours.device, NVME_DMABUF_IOC_ATTACH, &attach))
			die("attach: %m, reason %u", attach.out_reason);
		ours.maps[i] = attach.out_map;
	}
	/* As long as a file is open for writing, its maps take no commands. */
	close(block);
	for (uint32_t i = 0; i < ours.map_count && job->writes; i++) {
		unsigned int tries = 1000;

		/* A ring that was closed lets its files go some time later. */
		refresh.map = ours.maps[i];
		while (ioctl(ours.device, NVME_DMABUF_IOC_REFRESH, &refresh)) {
			if (errno != EBUSY || !tries--)
				die("refresh: %m, reason %u", refresh.out_reason);
			usleep(10000);
		}
	}
	info.map = ours.maps[0];
	check_sys(ioctl(ours.device, NVME_DMABUF_IOC_MAP_INFO, &info));
	ours.block_shift = __builtin_ctz(info.out_block_size);
	ours.command = (struct nvme_dmabuf_command){
		.length = job->bytes,
		.opcode = job->writes ? NVME_DMABUF_OP_WRITE : NVME_DMABUF_OP_READ,
	};
	return 0;
}

static struct nvme_dmabuf_command ours_command(const struct io *io)
{
	struct nvme_dmabuf_command command = ours.command;

	command.map = ours.maps[ours.turn++ % ours.map_count];
	command.offset = io->offset;
	command.slba = io->start >> ours.block_shift;
	return command;
}

static int make_queue(const struct job *job)
{
	struct nvme_dmabuf_queue queue = {
		.size = sizeof(queue),
		.flags = job->interrupts ? 0 : NVME_DMABUF_QUEUE_POLLED,
		.depth = job->depth,
	};

	if (ioctl(ours.device, NVME_DMABUF_IOC_QUEUE, &queue))
		return -errno;
	ours.queue = queue.out_queue_fd;
	ours.ring_bytes = queue.out_ring_bytes;
	return 0;
}

static bool shares_queue(void)
{
	return ours.shared && ours.shared->queue >= 0;
}

static int ioctl_open(const struct job *job)
{
	int result = ours_attach(job);

	if (result)
		return result;
	if (shares_queue()) {
		ours.queue = ours.shared->queue;
		ours.ring_bytes = ours.shared->ring_bytes;
	} else {
		result = make_queue(job);
	}
	if (result) {
		ours_close();
		return result;
	}
	ours.ring = check_sys(mmap(NULL, ours.ring_bytes, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_POPULATE, ours.queue, 0));
	return 0;
}

void open_shared(const struct job *job, bool map, bool queue, struct shared *shared)
{
	int result = ours_attach(job);

	*shared = (struct shared){
		.device = ours.device,
		.has_map = map,
		.map = ours.maps[0],
		.queue = -1,
	};
	if (!result && queue) {
		result = make_queue(job);
		shared->queue = ours.queue;
		shared->ring_bytes = ours.ring_bytes;
	}
	if (result)
		die("cannot share: %s", strerror(-result));
}

void close_shared(const struct shared *shared)
{
	if (shared->queue >= 0)
		close(shared->queue);
	close(shared->device);
}

static void ioctl_prepare(const struct io *ios, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ours.commands[i] = ours_command(&ios[i]);
}

/* Enters the kernel once. */
static void enter(uint32_t submit, uint32_t complete)
{
	struct nvme_dmabuf_enter enter = {
		.size = NVME_DMABUF_ENTER_SIZE_VER0,
		.commands = (uintptr_t)ours.commands,
		.count = submit,
		.min_complete = complete,
	};

	if (ioctl(ours.queue, NVME_DMABUF_IOC_ENTER, &enter) || enter.out_submitted != submit)
		die("submitted %u of %u commands: %m", enter.out_submitted, submit);
}

static void ioctl_submit(uint32_t count)
{
	enter(count, 0);
}

/* Takes what there is; returns how much that was. */
static uint32_t take(int *error)
{
	struct nvme_dmabuf_ring *ring = ours.ring;
	uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE), head = ring->head;
	uint32_t count = tail - head, mask = ring->entries - 1;

	for (; head != tail; head++) {
		const struct nvme_dmabuf_completion *c =
			&NVME_DMABUF_RING_COMPLETIONS(ring)[head & mask];

		if ((c->error || c->status || c->bytes != ours.command.length) && !*error)
			*error = c->error ? c->error : c->status ? c->status : -EIO;
	}
	__atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
	return count;
}

static int ioctl_reap(uint32_t count)
{
	int error = 0;

	while (count) {
		enter(0, count);
		count -= take(&error);
	}
	return error;
}

static int ioctl_run(uint32_t count)
{
	int error = 0, later;

	enter(count, count);
	count -= take(&error);
	later = ioctl_reap(count);
	return error ? error : later;
}

static void ioctl_close(void)
{
	munmap(ours.ring, ours.ring_bytes);
	if (!shares_queue())
		close(ours.queue);
	ours_close();
}

const struct path path_ioctl = {
	.name = "ioctl",
	.open = ioctl_open,
	.prepare = ioctl_prepare,
	.submit = ioctl_submit,
	.reap = ioctl_reap,
	.run = ioctl_run,
	.close = ioctl_close,
};

static int submit_open(const struct job *job)
{
	return ours_attach(job);
}

/* Waits for all of them: there is nothing to reap, but to look at. */
static void submit_submit(uint32_t count)
{
	struct nvme_dmabuf_submit submit = {
		.size = sizeof(submit),
		.commands = (uintptr_t)ours.commands,
		.completions = (uintptr_t)ours.completions,
		.count = count,
	};

	if (ioctl(ours.device, NVME_DMABUF_IOC_SUBMIT, &submit) || submit.out_completed != count)
		die("completed %u of %u commands: %m", submit.out_completed, count);
}

static int submit_reap(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct nvme_dmabuf_completion *c = &ours.completions[i];

		if (c->error || c->status || c->bytes != ours.command.length)
			return c->error ? c->error : c->status ? c->status : -EIO;
	}
	return 0;
}

static int submit_run(uint32_t count)
{
	submit_submit(count);
	return submit_reap(count);
}

const struct path path_submit = {
	.name = "submit",
	.open = submit_open,
	.prepare = ioctl_prepare,
	.submit = submit_submit,
	.reap = submit_reap,
	.run = submit_run,
	.close = ours_close,
};

static int uring_open(const struct job *job)
{
	int result = ours_attach(job);

	if (result)
		return result;
	ring_open(&ours.uring, job->depth,
		  IORING_SETUP_SQE128 | IORING_SETUP_CQE32 |
			  (job->interrupts ? 0 : IORING_SETUP_IOPOLL),
		  ours.device);
	return 0;
}

static void uring_prepare(const struct io *ios, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = ring_entry(&ours.uring);

		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = NVME_DMABUF_URING_CMD;
		sqe->flags = IOSQE_FIXED_FILE;
		*(struct nvme_dmabuf_command *)sqe->cmd = ours_command(&ios[i]);
	}
}

static void uring_submit(uint32_t count)
{
	ring_submit(&ours.uring, count);
}

static int uring_reap(uint32_t count)
{
	return ring_reap(&ours.uring, count, 0);
}

static int uring_run(uint32_t count)
{
	return ring_run(&ours.uring, count, 0);
}

static void uring_close(void)
{
	io_uring_queue_exit(&ours.uring);
	ours_close();
}

const struct path path_uring = {
	.name = "uring",
	.open = uring_open,
	.prepare = uring_prepare,
	.submit = uring_submit,
	.reap = uring_reap,
	.run = uring_run,
	.close = uring_close,
};
