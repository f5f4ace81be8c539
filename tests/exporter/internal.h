/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test exporter's files share.
 *
 *   buffer  a dma-buf
 *   store   memory with a shape: what a dma-buf has now, or had before it moved
 *   fence   a dma_fence that signals on demand
 *   hold    a namespace's queue, held as in a reset
 *
 * Locks, outermost first: mmap_lock, dmabuf->resv, the address space's i_mmap
 * lock or the buffer's list of fences. The reservation lock protects all that
 * describes a buffer's memory and mappings; a test that only wants to see looks
 * without it. Signalling fences takes the list's lock alone, since importers
 * wait for fences with the reservation lock held.
 */
#ifndef TESTS_EXPORTER_INTERNAL_H
#define TESTS_EXPORTER_INTERNAL_H

#include <linux/dma-buf.h>
#include <linux/dma-direction.h>
#include <linux/dma-resv.h>
#include <linux/iosys-map.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/wait.h>

#include "exporter.h"

/**
 * struct chunk - an allocation, or the BAR
 * @pages: its first page, NULL for a BAR
 * @order: it has 2^@order pages
 * @phys: its address
 * @start: first byte that belongs to a segment
 * @end: first byte behind them
 * @map: where the CPU finds it
 */
struct chunk {
	struct page *pages;
	unsigned int order;
	phys_addr_t phys;
	u64 start;
	u64 end;
	struct iosys_map map;
};

/**
 * struct piece - a segment's memory
 * @chunk: number of its chunk
 * @start: first byte in the chunk
 * @length: bytes
 */
struct piece {
	u32 chunk;
	u64 start;
	u64 length;
};

/**
 * struct store - memory with a shape
 * @node: in the list of a dma-buf's old stores
 * @pdev: whose BAR it is, or NULL
 * @bytes: sum of the pieces
 * @nr_chunks: chunks that have been allocated
 * @nr_pieces: pieces
 * @chunks: the chunks
 * @pieces: the pieces, in the order of the dma-buf
 */
struct store {
	struct list_head node;
	struct pci_dev *pdev;
	u64 bytes;
	u32 nr_chunks;
	u32 nr_pieces;
	struct chunk *chunks;
	struct piece *pieces;
};

struct store *store_create(const struct exporter_segment *segments, u32 count);
struct store *store_create_bar(const struct exporter_segment *segments, u32 count,
			       struct pci_dev *pdev, unsigned int bar);
void store_destroy(struct store *store);
int store_access(struct store *store, u64 pos, void *data, size_t length, bool write);
void store_copy(struct store *to, struct store *from);
void store_poison(struct store *store);
u64 store_guard_damage(const struct store *store);
u64 store_poison_damage(const struct store *store);
bool store_can_mmap(const struct store *store);
struct page *store_page(const struct store *store, u64 pos);
int store_map(const struct store *store, struct device *dev, struct sg_table *sgt,
	      enum dma_data_direction dir);
void store_unmap(const struct store *store, struct device *dev, struct sg_table *sgt,
		 enum dma_data_direction dir);

struct fences {
	struct mutex lock;
	struct list_head list;
};

void fences_init(struct fences *fences);
int fences_add(struct fences *fences, struct dma_resv *resv, enum dma_resv_usage usage,
	       unsigned int timeout_ms);
void fences_signal(struct fences *fences);
u32 fences_pending(struct fences *fences);

/**
 * struct buffer - a dma-buf
 * @dmabuf: itself
 * @flags: EXPORTER_DYNAMIC, _NOTIFY_ON_PIN, _BAR
 * @segments: its shape, for moving
 * @count: number of segments
 * @store: its memory
 * @old: stores that it has left
 * @generation: counts the times that importers were told to unmap
 * @mapped: mappings of this generation
 * @held: mappings of those before
 * @pins: pins
 * @revoked: mapping fails
 * @maps: calls that mapped
 * @unmaps: calls that unmapped
 * @attached: attachments
 * @unmapped: woken by every unmapping
 * @fail: what is to fail: calls left, and with which error
 * @fences: fences added on demand
 * @map_fence: fence to add when it is mapped next, if @map_fence_armed
 * @map_fence_armed: there is one
 */
struct buffer {
	struct dma_buf *dmabuf;
	u32 flags;
	struct exporter_segment *segments;
	u32 count;
	struct store *store;
	struct list_head old;
	u64 generation;
	u32 mapped;
	u32 held;
	u32 pins;
	bool revoked;
	u64 maps;
	u64 unmaps;
	atomic_t attached;
	wait_queue_head_t unmapped;
	struct {
		atomic_t count;
		int error;
	} fail[3];
	struct fences fences;
	struct exporter_fence map_fence;
	bool map_fence_armed;
};

/**
 * struct hold - a namespace whose queue an open file of the exporter's holds
 * @lock: protects the members below
 * @file: the namespace, or NULL
 * @flags: EXPORTER_HOLD_*
 */
struct hold {
	struct mutex lock;
	struct file *file;
	u32 flags;
};

void hold_init(struct hold *hold);
int hold_start(struct hold *hold, const struct exporter_hold *args);
void hold_end(struct hold *hold);

extern const struct dma_buf_ops buffer_static_ops, buffer_dynamic_ops;

void buffer_free(struct buffer *buf);
struct buffer *buffer_get(int fd);
void buffer_notify(struct buffer *buf);
int buffer_add_fence(struct buffer *buf, const struct exporter_fence *args);

#endif
