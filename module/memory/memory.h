/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory: ranges of dma-bufs that a PCI device has mapped for DMA, their address lists, and
 * where they really are. Must not know storage, maps or commands, nor read or write user
 * memory.
 *
 *   importer   the device that does DMA
 *   mapping    a range of a dma-buf, mapped for an importer in one direction
 *   user       who uses a mapping, and must let go of it when the exporter says so
 */
#ifndef NVME_DMABUF_MEMORY_H
#define NVME_DMABUF_MEMORY_H

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/pci.h>

#include "../nvdm.h"
#include "prp.h"

#define COMMAND_MAX_BYTES PRP_MAX_BYTES

/**
 * struct nvdm_importer - a PCI device that maps dma-bufs
 * @pdev: the device
 * @translated: its DMA addresses are translated by an IOMMU
 * @gone: its driver is being unbound: no new DMA mappings
 * @lock: (spinlock) protects the member below
 * @mappings: all that are referred to
 * @lists_lock: protects the member below
 * @lists: memory for private PRP lists, once there was need for it
 */
struct nvdm_importer {
	struct pci_dev *pdev;
	bool translated;
	bool gone;
	spinlock_t lock;
	struct list_head mappings;
	struct mutex lists_lock;
	struct dma_pool *lists;
};

struct nvdm_mapping_user;

/**
 * struct nvdm_mapping_user_ops - what a user of a mapping does when it is told to
 * @begin: the range is mapped, so the user may begin to use it. On failure it does not, and
 *	the reason is NVME_DMABUF_REASON_*
 * @stop: let nothing new refer to the mapping. Allocates nothing, and does not sleep
 * @drain: after @stop: wait until nothing refers to the mapping. Allocates nothing
 * @stopped: why the user does not use the mapping: 0 if it does, or a negative error number
 *
 * All are called with the reservation lock held.
 */
struct nvdm_mapping_user_ops {
	int (*begin)(struct nvdm_mapping_user *user, u32 *reason);
	void (*stop)(struct nvdm_mapping_user *user);
	void (*drain)(struct nvdm_mapping_user *user);
	int (*stopped)(struct nvdm_mapping_user *user);
};

/**
 * struct nvdm_mapping_user - who uses a mapping
 * @ops: what it does
 * @mapping: the mapping, of which it holds a reference
 * @node: in the mapping's list, while it may use it
 */
struct nvdm_mapping_user {
	const struct nvdm_mapping_user_ops *ops;
	struct nvdm_mapping *mapping;
	struct list_head node;
};

/**
 * struct nvdm_mapping - a range of a dma-buf, mapped for DMA by one device
 * @ref: one reference for each user
 * @node: in the importer's list
 * @importer: the device
 * @dmabuf: the dma-buf, of which it holds a reference
 * @direction: of the DMA
 * @offset: first byte of the range in the dma-buf
 * @length: bytes of the range
 * @lock: one at a time: who is first to join, and last to leave
 * @attach: the attachment, while there are users; under @lock
 * @exporter_flags: NVME_DMABUF_MAP_DYNAMIC or _PINNED, while attached
 * @told: the exporter may call nvdm_mapping_invalidate(), while attached
 * @users: who joined; under the reservation lock
 * @sgt: the DMA mapping, while it lasts; under the reservation lock, and so are the members
 *	below, which stay until it is made again
 * @list: PRP entries of the range
 * @segments: DMA-contiguous segments
 * @list_bytes: memory that @list takes
 * @generation: counts how often it was mapped
 *
 * Everybody who wants the same range, direction and device shares one, within a context and
 * across them, so that a range is mapped once and has one list.
 */
struct nvdm_mapping {
	struct kref ref;
	struct list_head node;
	struct nvdm_importer *importer;
	struct dma_buf *dmabuf;
	enum dma_data_direction direction;
	u64 offset;
	u64 length;
	struct mutex lock;
	struct dma_buf_attachment *attach;
	u32 exporter_flags;
	bool told;
	struct list_head users;
	struct sg_table *sgt;
	struct prp_list list;
	u64 segments;
	u64 list_bytes;
	u64 generation;
};

static inline struct device *nvdm_mapping_device(const struct nvdm_mapping *mapping)
{
	return &mapping->importer->pdev->dev;
}

/* What nvdm_mapping_begin() may return. No error number, for those may be an exporter's. */
#define MAPPING_MOVES 1

/* mapping.c */
void nvdm_importer_init(struct nvdm_importer *importer, struct pci_dev *pdev);
int nvdm_importer_check(const struct nvdm_importer *importer, u32 *reason);
struct nvdm_mapping *nvdm_mapping_get(struct nvdm_importer *importer, struct dma_buf *dmabuf,
				      u64 offset, u64 length, enum dma_data_direction direction);
void nvdm_mapping_put(struct nvdm_mapping *mapping);
int nvdm_mapping_join(struct nvdm_mapping_user *user, u32 *reason);
void nvdm_mapping_leave(struct nvdm_mapping_user *user);
int nvdm_mapping_begin(struct nvdm_mapping_user *user, u32 *reason);
int nvdm_mapping_wait_fences(struct dma_buf *dmabuf, enum dma_resv_usage usage);

/* list.c: a mapping's PRP list, its memory included */
int nvdm_list_build(struct nvdm_mapping *mapping, u64 *segments, u32 *reason);
void nvdm_list_free(struct nvdm_mapping *mapping);

/* placement.c: where the memory really is */
int nvdm_placement_find(struct nvdm_mapping_user *user, struct nvme_dmabuf_placement_run *runs,
			u32 max, u32 *count);
int nvdm_placement_require_peers(struct nvdm_mapping *mapping, u32 *reason);

/* user_pages.c: a process's own memory as a dma-buf */
struct dma_buf *nvdm_user_pages_export(const struct nvme_dmabuf_export *args, u32 *reason);

/* peer.c: may a device reach another one's memory? */
int nvdm_peer_distance(struct pci_dev *pdev, struct pci_dev *peer, u32 *reason);
bool nvdm_peer_unreachable(struct pci_dev *pdev, u32 *reason);

/**
 * struct nvdm_aligned_list - a private copy of a part of a PRP list
 * @importer: the device that reads it
 * @owner: the caller's
 * @slots: the entries
 * @dma: where the drive finds them
 */
struct nvdm_aligned_list {
	struct nvdm_importer *importer;
	void *owner;
	__le64 *slots;
	dma_addr_t dma;
};

/* aligned_list.c */
int nvdm_aligned_list_prepare(struct nvdm_importer *importer);
void nvdm_aligned_list_exit(struct nvdm_importer *importer);
struct nvdm_aligned_list *nvdm_aligned_list_create(struct nvdm_importer *importer,
						   const struct prp_list *from, u64 offset,
						   u64 prp1, u32 length, void *owner);
void nvdm_aligned_list_destroy(struct nvdm_aligned_list *list);

#endif
