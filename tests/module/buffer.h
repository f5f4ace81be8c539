/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma-bufs from every exporter that a test machine may have, the module's own among them,
 * made with the kernel's own interfaces and not with the library under test. Knows nothing
 * about NVMe.
 */
#ifndef TESTS_MODULE_BUFFER_H
#define TESTS_MODULE_BUFFER_H

#include <stdbool.h>
#include <stdint.h>

enum exporter_kind {
	UDMABUF_PAGES,	   /* small pages in the order of the memfd */
	UDMABUF_SCATTERED, /* small pages, physically shuffled */
	UDMABUF_HUGE,	   /* 2 MiB pages */
	DMA_HEAP,
	DRM_DUMB,
	USER_PAGES, /* this process's memory */
	USER_HUGE,  /* the same of 2 MiB pages */
};

struct exporter {
	enum exporter_kind kind;
	const char *path; /* of a heap or a card */
	char name[48];
};

/** exporters - every exporter worth a test, present or not; returns how many */
unsigned int exporters(const struct exporter **list);

/** exporter_any - one that works here, scattered if possible, or skip */
const struct exporter *exporter_any(void);

/**
 * struct buffer - a dma-buf
 * @exporter: who made it
 * @fd: the dma-buf
 * @size: its bytes, a multiple of the page size; perhaps more than asked for
 * @addr: where this process sees it
 * @memfd: UDMABUF_SCATTERED: the memory behind it, in another order
 * @page: UDMABUF_SCATTERED: the memfd's page that is the buffer's page n
 */
struct buffer {
	const struct exporter *exporter;
	int fd;
	uint64_t size;
	uint8_t *addr;
	int memfd;
	uint32_t *page;
};

/** buffer_alloc - make a dma-buf, or skip with the reason why not */
void buffer_alloc(struct buffer *buffer, const struct exporter *exporter, uint64_t size);

/**
 * user_export - make a dma-buf of own memory
 * @context: open device
 * @reason: gets NVME_DMABUF_REASON_*
 *
 * Returns a descriptor or -errno.
 */
int user_export(int context, void *addr, uint64_t length, uint32_t access, uint32_t *reason);

/** buffer_alloc_mode - make one whose file is open O_RDONLY or O_WRONLY, or skip */
int buffer_alloc_mode(uint64_t size, int access);

void buffer_free(struct buffer *buffer);

/* What the CPU does to @addr must stand between these. */
void buffer_begin_cpu(const struct buffer *buffer);
void buffer_end_cpu(const struct buffer *buffer);

#endif
