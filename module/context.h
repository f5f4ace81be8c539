/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Contexts: open files of /dev/nvme-dmabuf, and the table of their maps.
 */
#ifndef NVME_DMABUF_CONTEXT_H
#define NVME_DMABUF_CONTEXT_H

#include <linux/srcu.h>

#include "map.h"

struct nvdm_command;
struct nvdm_uring_command;

struct nvdm_parked;

/**
 * struct nvdm_map_table - the maps of a context, each in the slot that its number names
 * @rcu: frees the table
 * @mask: number of slots, a power of 2, less 1
 * @slots: the map whose number ends in the slot's bits, or NULL
 *
 * No two maps have numbers that end alike, so that one look finds a map, however many
 * there are. At least half of the slots are free.
 */
struct nvdm_map_table {
	struct rcu_head rcu;
	u32 mask;
	struct nvdm_map __rcu *slots[];
};

/**
 * nvdm_map_table_find - the only map that can have a number
 * @table: the table, inside RCU
 * @id: the number, which is to be compared with the map's
 */
static __always_inline struct nvdm_map *nvdm_map_table_find(const struct nvdm_map_table *table,
							    u32 id)
{
	/* A mask and no branch: no number reads past the slots, not even speculatively. */
	return rcu_dereference(table->slots[id & table->mask]);
}

/**
 * struct nvdm_context - an open file of /dev/nvme-dmabuf
 * @file: the open file, while anybody may use the context
 * @table: maps by number
 * @srcu: maps that were looked up are used inside it
 * @next: where to look for the next free number
 * @count: maps in the table, or about to be
 * @lock: protects all of these against change
 * @events: of the maps
 * @poll: what commands are polled of
 * @queues: how many there are
 * @commands_lock: (spinlock) protects the members below
 * @commands: free commands for io_uring
 * @all_commands: these, and those that are not free
 */
struct nvdm_context {
	struct file *file;
	struct nvdm_map_table __rcu *table;
	struct srcu_struct srcu;
	u32 next;
	u32 count;
	struct mutex lock;
	struct nvdm_events events;
	struct nvdm_poll poll;
	atomic_t queues;
	spinlock_t commands_lock;
	struct nvdm_command *commands;
	struct nvdm_uring_command *all_commands;
};

#define CONTEXT_MAX_QUEUES 256U

struct nvdm_context *nvdm_context_create(struct file *file);
void nvdm_context_destroy(struct nvdm_context *ctx);
int nvdm_context_attach(struct nvdm_context *ctx, struct nvme_dmabuf_attach *args);
int nvdm_context_detach(struct nvdm_context *ctx, u32 id);
int nvdm_context_refresh(struct nvdm_context *ctx, struct nvme_dmabuf_refresh *args);
bool nvdm_context_next_event(struct nvdm_context *ctx, u32 *from, struct nvme_dmabuf_event *event);
void nvdm_context_return_event(struct nvdm_context *ctx, u32 id);
int nvdm_context_wait(struct nvdm_context *ctx, u32 id, int why);
int nvdm_context_wait_fences(struct nvdm_context *ctx, u32 id, enum dma_resv_usage usage);
struct nvdm_map *nvdm_context_map(struct nvdm_context *ctx, u32 id);
void nvdm_context_end_parked(struct nvdm_context *ctx, const struct nvdm_parked *which);

#endif
