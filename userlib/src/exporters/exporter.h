/* SPDX-License-Identifier: MIT */
/*
 * Buffers, as those see them who make them. An exporter is a file in this folder and a line in
 * list.h. It looks for its device, or loads its vendor's library, when somebody asks it for a
 * buffer: programs that never do must not need either.
 */
#ifndef NVMEDMABUF_EXPORTER_H
#define NVMEDMABUF_EXPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <nvmedmabuf.h>

/* The static library must not offer these names to the programs that it is linked to. */
#pragma GCC visibility push(hidden)

/**
 * struct nvmedmabuf_buffer - a dma-buf
 * @fd: the dma-buf
 * @size: its bytes
 * @addr: where the CPU sees it, NULL until it is mapped
 * @cpu_fd: what to map for the CPU: @fd, but for exporters whose dma-bufs have no mmap()
 * @cpu_offset: where in @cpu_fd it is
 * @release: frees @kept, after @fd is closed; NULL if the dma-buf is all there is
 * @kept: what the exporter needs as long as the buffer lives
 */
struct nvmedmabuf_buffer {
	int fd;
	uint64_t size;
	void *addr;
	int cpu_fd;
	off_t cpu_offset;
	void (*release)(void *kept);
	void *kept;
};

/**
 * buffer_new - make a buffer of a dma-buf
 * @fd: the dma-buf, taken over also on failure
 */
int buffer_new(int fd, struct nvmedmabuf_buffer **buf);

/* The same of a dma-buf that may be smaller than @size: then it is -EINVAL. */
int buffer_new_of(int fd, uint64_t size, struct nvmedmabuf_buffer **buf);

/* Rounds @size up to a multiple of @unit that file offsets can express, or -EOVERFLOW. */
int round_size(uint64_t *size, uint64_t unit);

/**
 * struct exporter - makes buffers of one kind
 * @takes: whether what stands after the colon of a name makes sense; NULL stands for no colon.
 *	Looks at the text only.
 * @create: makes a buffer of @size bytes or more; 0 is the caller's mistake. @takes has said yes.
 */
struct exporter {
	bool (*takes)(const char *argument);
	int (*create)(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf);
};

/* For @takes: no argument; the path of a device. */
bool takes_nothing(const char *argument);
bool takes_path(const char *argument);

#define EXPORTER(name, form) extern const struct exporter exporter_##name;
#include "list.h"
#undef EXPORTER

#pragma GCC visibility pop

#endif /* NVMEDMABUF_EXPORTER_H */
