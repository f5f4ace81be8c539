/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A queue of the module's, used without the library: the ioctls and the ring, as the
 * uapi header describes them.
 */
#ifndef TESTS_MODULE_LINE_H
#define TESTS_MODULE_LINE_H

#include "rig.h"

/**
 * struct line - a queue
 * @fd: its file
 * @depth, @entries, @bytes: as asked for, and as told
 * @ring: what is shared
 * @head: completions that were read
 */
struct line {
	int fd;
	uint32_t depth;
	uint32_t entries;
	uint64_t bytes;
	struct nvme_dmabuf_ring *ring;
	uint32_t head;
};

/** line_try - NVME_DMABUF_IOC_QUEUE; returns the descriptor or -errno */
int line_try(int context, uint32_t depth, uint32_t flags, int event_fd,
	     struct nvme_dmabuf_queue *args);

void line_open(struct line *line, int context, uint32_t depth, uint32_t flags, int event_fd);
/** line_map - the same, of a queue that line_try() made */
void line_map(struct line *line, int fd, const struct nvme_dmabuf_queue *args);
void line_close(struct line *line);

/**
 * line_enter - NVME_DMABUF_IOC_ENTER with the structure of its first version; returns 0 or
 * -errno
 */
int line_enter(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count,
	       uint32_t min_complete, uint64_t timeout_ns, uint32_t flags,
	       struct nvme_dmabuf_enter *args);

/**
 * line_enter_fences - the same with today's structure
 * @in_fence: a sync_file, or 0
 */
int line_enter_fences(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count,
		      uint32_t min_complete, uint64_t timeout_ns, uint32_t flags, int in_fence,
		      struct nvme_dmabuf_enter *args);

/** line_submit - submit all, which must succeed at once */
void line_submit(struct line *line, const struct nvme_dmabuf_command *commands, uint32_t count);

/** line_wait - wait for completions, a minute at most */
void line_wait(struct line *line, uint32_t count);

/** line_next - read a completion, if there is one */
bool line_next(struct line *line, struct nvme_dmabuf_completion *completion);

#endif
