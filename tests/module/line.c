// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "line.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int line_try(int context, uint32_t depth, uint32_t flags, int event_fd,
	     struct nvme_dmabuf_queue *args)
{
	*args = (struct nvme_dmabuf_queue){
		.size = sizeof(*args),
		.flags = flags,
		.depth = depth,
		.event_fd = event_fd,
	};
	return ioctl(context, NVME_DMABUF_IOC_QUEUE, args) ? -errno : args->out_queue_fd;
}

void line_open(struct line *line, int context, uint32_t depth, uint32_t flags, int event_fd)
{
	struct nvme_dmabuf_queue args;
	int fd = line_try(context, depth, flags, event_fd, &args);

	check_that(fd >= 0, "QUEUE: %s", strerrorname_np(-fd));
	line_map(line, fd, &args);
}

void line_map(struct line *line, int fd, const struct nvme_dmabuf_queue *args)
{
	uint32_t depth = args->depth;

	line->fd = fd;
	line->depth = depth;
	line->entries = args->out_ring_entries;
	line->bytes = args->out_ring_bytes;
	check(line->entries >= 2 * depth && !(line->entries & (line->entries - 1)));
	line->ring = mmap(NULL, line->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, line->fd, 0);
	check(line->ring != MAP_FAILED);
	check_eq(line->ring->entries, line->entries);
	check_eq(line->ring->head, 0);
	check_eq(line->ring->tail, 0);
	line->head = 0;
}

void line_close(struct line *line)
{
	check_sys(close(line->fd));
	check_sys(munmap(line->ring, line->bytes));
}

static int enter(struct line *line, struct nvme_dmabuf_enter *args)
{
	args->out_submitted = ~0U;
	args->out_completed = ~0U;
	args->out_fence_fd = 12345;
	return ioctl(line->fd, NVME_DMABUF_IOC_ENTER, args) ? -errno : 0;
}

int line_enter(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count,
	       uint32_t min_complete, uint64_t timeout_ns, uint32_t flags,
	       struct nvme_dmabuf_enter *args)
{
	*args = (struct nvme_dmabuf_enter){
		.size = NVME_DMABUF_ENTER_SIZE_VER0,
		.flags = flags,
		.commands = (uintptr_t)commands,
		.count = count,
		.min_complete = min_complete,
		.timeout_ns = timeout_ns,
		/* No part of the structure. */
		.in_fence_fd = 12345,
	};
	return enter(line, args);
}

int line_enter_fences(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count,
		      uint32_t min_complete, uint64_t timeout_ns, uint32_t flags, int in_fence,
		      struct nvme_dmabuf_enter *args)
{
	*args = (struct nvme_dmabuf_enter){
		.size = sizeof(*args),
		.flags = flags,
		.commands = (uintptr_t)commands,
		.count = count,
		.min_complete = min_complete,
		.timeout_ns = timeout_ns,
		.in_fence_fd = in_fence,
	};
	return enter(line, args);
}

void line_submit(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count)
{
	struct nvme_dmabuf_enter args;

	check_eq(line_enter(line, commands, count, 0, 0, 0, &args), 0);
	check_eq(args.out_submitted, count);
}

void line_wait(struct line *line, uint32_t count)
{
	struct nvme_dmabuf_enter args;

	check_eq(line_enter(line, NULL, 0, count, 60000000000ULL, 0, &args), 0);
	check_that(args.out_completed >= count, "%u of %u completions in a minute",
		   args.out_completed, count);
}

bool line_next(struct line *line, struct nvme_dmabuf_completion *completion)
{
	if (line->head == __atomic_load_n(&line->ring->tail, __ATOMIC_ACQUIRE))
		return false;
	*completion = NVME_DMABUF_RING_COMPLETIONS(line->ring)[line->head & (line->entries - 1)];
	line->head++;
	__atomic_store_n(&line->ring->head, line->head, __ATOMIC_RELEASE);
	return true;
}
