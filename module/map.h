/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Maps: what a caller numbers, which joins memory and storage, and lets commands in or not.
 */
#ifndef NVME_DMABUF_MAP_H
#define NVME_DMABUF_MAP_H

#include <linux/completion.h>

#include "memory/memory.h"
#include "storage/storage.h"

/* A map's state besides NVME_DMABUF_STATE_*: nobody can find it any more. */
#define STATE_DETACHED (NVME_DMABUF_STATE_GONE + 1)

/**
 * struct nvdm_events - what poll() waits for
 * @wait: woken when an event comes
 * @pending: maps that have one
 */
struct nvdm_events {
	wait_queue_head_t wait;
	atomic_t pending;
};

/**
 * struct nvdm_map - a mapping of memory, joined to a namespace
 * @id: its number in the context
 * @plain_read: of a plain Read of this map, struct command_words' kind; of a map for writing
 *	alone, the same as @plain_write
 * @plain_write: of a plain Write likewise, which none to a file is
 * @file_write: of a Write to a file
 * @inflight: one reference for each NVMe command in flight; dead unless LIVE
 * @idle: no command is in flight and none will be, unless LIVE
 * @ns: the namespace
 * @blocks: its part in the file on it, if commands address one
 * @moves: counts how often the file's blocks were found
 * @list: the mapping's list, as of when the map last became LIVE
 * @contiguous: DMA address of the range if it is one segment, for SGLs
 * @sgl: commands carry an SGL descriptor
 * @list_align: alignment of PRP lists that the drive wants
 * @access: NVME_DMABUF_ACCESS_*
 * @flags: NVME_DMABUF_ATTACH_*
 * @length: bytes of the range
 * @lock: for changes of @list, @contiguous, @sgl and these:
 * @exporter_flags: of the mapping that @list is of
 * @segments: likewise
 * @list_bytes: likewise
 * @mapped: likewise its generation
 * @extents: pieces of the file, when the map last began
 * @file_blocks: likewise its blocks that commands may address
 * @file_bytes: likewise its size
 * @file_flags: NVME_DMABUF_MAP_* of the file
 * @generation: counts the mappings that the map has had
 * @state: NVME_DMABUF_STATE_* or STATE_DETACHED
 * @why: NVME_DMABUF_REASON_* if @state is REVOKED
 * @event: the map has stopped, and nobody has read so
 * @events: the context's
 * @poll: the context's
 * @polled: a command went to a polled queue
 * @gone: stops the map when its namespace has gone
 * @stopped: when it stopped to take commands, in jiffies
 * @ref: references: one of the context's, and one of a controller's that leaves
 * @attach_lock: held while the map is attached, refreshed, verified or detached
 * @attached: it has joined both sides; under @attach_lock
 * @memory: its part in the mapping
 * @storage: its part in the controller
 * @rcu: frees the map
 */
struct nvdm_map {
	u32 id;
	u64 plain_read;
	u64 plain_write;
	u64 file_write;
	struct percpu_ref inflight;
	struct completion idle;
	struct nvdm_namespace ns;
	struct nvdm_file_user blocks;
	u64 moves;
	struct prp_list list;
	u64 contiguous;
	bool sgl;
	u32 list_align;
	u32 access;
	u32 flags;
	u64 length;
	spinlock_t lock;
	u32 exporter_flags;
	u64 segments;
	u64 list_bytes;
	u64 mapped;
	u64 extents;
	u64 file_blocks;
	u64 file_bytes;
	u32 file_flags;
	u64 generation;
	int state;
	u32 why;
	bool event;
	struct nvdm_events *events;
	struct nvdm_poll *poll;
	bool polled;
	struct work_struct gone;
	unsigned long stopped;
	struct kref ref;
	struct mutex attach_lock;
	bool attached;
	struct nvdm_mapping_user memory;
	struct nvdm_controller_user storage;
	struct rcu_head rcu;
};

/*
 * May have commands in flight that end only if somebody looks. Who then looks finds the
 * source among those of nvdm_poll_disk().
 */
static inline bool nvdm_map_is_polled(const struct nvdm_map *map)
{
	/* Pairs with nvdm_command_note_request(). */
	return smp_load_acquire(&map->polled);
}

static inline bool nvdm_map_is_of_file(const struct nvdm_map *map)
{
	return map->blocks.file;
}

/**
 * nvdm_map_locate - where does a block stand on the namespace?
 * @map: the map, with an inflight reference
 * @block: as a command says it; of a file, one that it has
 * @count: how many stand there together, from this one on
 *
 * Return: the block, or EXTENT_HOLE.
 */
static inline u64 nvdm_map_locate(const struct nvdm_map *map, u64 block, u64 *count)
{
	const struct extent *extent;

	*count = U64_MAX;
	if (likely(!nvdm_map_is_of_file(map)))
		return map->ns.start + block;
	extent = extents_find(&map->blocks.file->extents, block);
	*count = extent[1].first - block;
	return extent->start == EXTENT_HOLE ? EXTENT_HOLE : extent->start + (block - extent->first);
}

struct nvdm_map *nvdm_map_create(const struct nvme_dmabuf_attach *args, struct nvdm_events *events,
				 struct nvdm_poll *poll, u32 *reason);
void nvdm_map_destroy(struct nvdm_map *map);
void nvdm_map_put(struct nvdm_map *map);
void nvdm_map_stop(struct nvdm_map *map, int state);
int nvdm_map_stopped(const struct nvdm_map *map, u32 *reason);
void nvdm_map_drain(struct nvdm_map *map);
int nvdm_map_wait(struct dma_buf *dmabuf, int why);
int nvdm_map_refresh(struct nvdm_map *map, bool reread, struct nvme_dmabuf_refresh *told,
		     u32 *reason);
int nvdm_map_verify(struct nvdm_map *map, u32 *reason);
bool nvdm_map_take_event(struct nvdm_map *map, struct nvme_dmabuf_event *event);
void nvdm_map_return_event(struct nvdm_map *map);
int nvdm_map_describe(struct nvdm_map *map, struct nvme_dmabuf_map_info *info);

#endif
