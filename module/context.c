// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts: an open file of /dev/nvme-dmabuf and the maps that it owns. Must
 * not know how commands work, or user memory.
 */
#include <linux/poll.h>
#include <linux/slab.h>

#include "entry.h"

#define TABLE_MIN_SLOTS 16U

static struct nvdm_map_table *nvdm_map_table_create(size_t slots)
{
	struct nvdm_map_table *table = kvzalloc(struct_size(table, slots, slots), NVDM_GFP);

	if (table)
		table->mask = slots - 1;
	return table;
}

static struct nvdm_map_table *nvdm_context_table(struct nvdm_context *ctx)
{
	return rcu_dereference_protected(ctx->table, lockdep_is_held(&ctx->lock));
}

static struct nvdm_map *nvdm_context_slot(struct nvdm_context *ctx, u32 slot)
{
	return rcu_dereference_protected(nvdm_context_table(ctx)->slots[slot],
					 lockdep_is_held(&ctx->lock));
}

/**
 * nvdm_context_create - a context without maps
 * @file: the file that it is of, which outlives it
 *
 * Return: the context, or NULL if there is no memory.
 */
struct nvdm_context *nvdm_context_create(struct file *file)
{
	struct nvdm_context *ctx = kzalloc(sizeof(*ctx), NVDM_GFP);
	struct nvdm_map_table *table;

	if (!ctx)
		return NULL;
	table = nvdm_map_table_create(TABLE_MIN_SLOTS);
	if (!table)
		goto free;
	if (init_srcu_struct(&ctx->srcu))
		goto free_table;
	ctx->file = file;
	RCU_INIT_POINTER(ctx->table, table);
	mutex_init(&ctx->lock);
	init_waitqueue_head(&ctx->events.wait);
	nvdm_poll_init(&ctx->poll);
	spin_lock_init(&ctx->commands_lock);
	return ctx;
free_table:
	kvfree(table);
free:
	kfree(ctx);
	return NULL;
}

/**
 * nvdm_context_destroy - end a context that no call uses any more
 * @ctx: the context
 *
 * Waits for commands in flight, whose submitter may have been killed.
 */
void nvdm_context_destroy(struct nvdm_context *ctx)
{
	struct nvdm_map_table *table = rcu_dereference_protected(ctx->table, true);
	struct nvdm_map *map;
	u32 i;

	/* All at once, so that the waits for their commands overlap. */
	for (i = 0; i <= table->mask; i++) {
		map = rcu_dereference_protected(table->slots[i], true);
		if (map)
			nvdm_map_stop(map, STATE_DETACHED);
	}
	for (i = 0; i <= table->mask; i++) {
		map = rcu_dereference_protected(table->slots[i], true);
		if (map)
			nvdm_map_destroy(map);
	}
	kvfree(table);
	nvdm_uring_free(ctx);
	nvdm_poll_exit(&ctx->poll);
	cleanup_srcu_struct(&ctx->srcu);
	mutex_destroy(&ctx->lock);
	kfree(ctx);
}

/* Makes the table so large that one more map leaves half of it free. */
static int nvdm_context_grow(struct nvdm_context *ctx)
{
	struct nvdm_map_table *old = nvdm_context_table(ctx), *table;
	size_t slots = (size_t)old->mask + 1;
	struct nvdm_map *map;
	u32 i;

	if (ctx->count < slots / 2)
		return 0;
	table = nvdm_map_table_create(2 * slots);
	if (!table)
		return -ENOMEM;
	/* Numbers that ended in different bits before end so in more bits. */
	for (i = 0; i < slots; i++) {
		map = nvdm_context_slot(ctx, i);
		if (map)
			RCU_INIT_POINTER(table->slots[map->id & table->mask], map);
	}
	rcu_assign_pointer(ctx->table, table);
	kvfree_rcu(old, rcu);
	return 0;
}

/* Counts a map that is about to be made, for which there is a slot from then on. */
static int nvdm_context_reserve(struct nvdm_context *ctx, u32 *reason)
{
	int ret = -ENOSPC;

	mutex_lock(&ctx->lock);
	if (ctx->count < READ_ONCE(max_maps))
		ret = nvdm_context_grow(ctx);
	else
		*reason = NVME_DMABUF_REASON_MAP_LIMIT;
	if (!ret)
		ctx->count++;
	mutex_unlock(&ctx->lock);
	return ret;
}

static void nvdm_context_unreserve(struct nvdm_context *ctx)
{
	mutex_lock(&ctx->lock);
	ctx->count--;
	mutex_unlock(&ctx->lock);
}

/*
 * Gives a map its number, and lets it be found. Cyclic: a number that a program kept too
 * long finds no other map.
 */
static u32 nvdm_context_add(struct nvdm_context *ctx, struct nvdm_map *map)
{
	struct nvdm_map_table *table;
	u32 id;

	mutex_lock(&ctx->lock);
	table = nvdm_context_table(ctx);
	for (id = ctx->next; !id || nvdm_context_slot(ctx, id & table->mask); id++)
		;
	ctx->next = id + 1;
	nvdm_command_recognise(map, id);
	rcu_assign_pointer(table->slots[id & table->mask], map);
	mutex_unlock(&ctx->lock);
	return id;
}

/**
 * nvdm_context_attach - make a map
 * @ctx: the context that will own it
 * @args: NVME_DMABUF_IOC_ATTACH
 *
 * Return: 0 or a negative error number.
 */
int nvdm_context_attach(struct nvdm_context *ctx, struct nvme_dmabuf_attach *args)
{
	struct nvdm_map *map;
	int ret;

	ret = nvdm_context_reserve(ctx, &args->out_reason);
	if (ret)
		return ret;

	map = nvdm_map_create(args, &ctx->events, &ctx->poll, &args->out_reason);
	if (IS_ERR(map)) {
		nvdm_context_unreserve(ctx);
		return PTR_ERR(map);
	}

	args->out_map = nvdm_context_add(ctx, map);
	args->out_reason = NVME_DMABUF_REASON_NONE;
	/*
	 * Who was woken before may not have found it. Either the event is seen here, or who
	 * sees the event also sees the map: pairs with SRCU's barrier in
	 * nvdm_context_next_event().
	 */
	smp_mb();
	if (atomic_read(&ctx->events.pending))
		wake_up_poll(&ctx->events.wait, EPOLLPRI);
	return 0;
}

/**
 * nvdm_context_detach - end a map
 * @ctx: the context that owns it
 * @id: its number
 *
 * Return: 0 or -ENOENT.
 */
int nvdm_context_detach(struct nvdm_context *ctx, u32 id)
{
	struct nvdm_map_table *table;
	struct nvdm_map *map;

	mutex_lock(&ctx->lock);
	map = nvdm_context_map(ctx, id);
	if (map) {
		/* In this order: who finds no such number knows that it takes no command. */
		nvdm_map_stop(map, STATE_DETACHED);
		table = nvdm_context_table(ctx);
		RCU_INIT_POINTER(table->slots[id & table->mask], NULL);
		ctx->count--;
	}
	mutex_unlock(&ctx->lock);
	if (!map)
		return -ENOENT;

	/* Commands that found it just now are refused, or in flight after this. */
	synchronize_srcu(&ctx->srcu);
	nvdm_map_destroy(map);
	return 0;
}

/**
 * nvdm_context_refresh - make a map usable again
 * @ctx: the context that owns it
 * @args: NVME_DMABUF_IOC_REFRESH
 *
 * Return: 0 or a negative error number.
 */
int nvdm_context_refresh(struct nvdm_context *ctx, struct nvme_dmabuf_refresh *args)
{
	struct nvdm_map *map;
	bool reread = true;
	int srcu, ret;

	do {
		ret = -ENOENT;
		args->out_reason = NVME_DMABUF_REASON_NO_MAP;
		srcu = srcu_read_lock(&ctx->srcu);
		map = nvdm_context_map(ctx, args->map);
		if (map)
			ret = nvdm_map_refresh(map, reread, args, &args->out_reason);
		reread = false;
		srcu_read_unlock(&ctx->srcu, srcu);
		if (ret <= 0)
			return ret;
		ret = nvdm_context_wait(ctx, args->map, ret);
	} while (!ret);
	return ret;
}

/**
 * nvdm_context_next_event - take the next event
 * @ctx: the context
 * @from: the slot where to start, 0 at first; and where the event was found
 * @event: the event
 *
 * Return: false if there is none from there on, but for maps that came meanwhile.
 */
bool nvdm_context_next_event(struct nvdm_context *ctx, u32 *from, struct nvme_dmabuf_event *event)
{
	const struct nvdm_map_table *table;
	struct nvdm_map *map;
	bool found = false;
	int srcu;
	u32 i;

	if (!atomic_read(&ctx->events.pending))
		return false;
	srcu = srcu_read_lock(&ctx->srcu);
	rcu_read_lock();
	table = rcu_dereference(ctx->table);
	for (i = *from; i <= table->mask; i++) {
		map = nvdm_map_table_find(table, i);
		found = map && nvdm_map_take_event(map, event);
		if (found) {
			event->map = map->id;
			*from = i;
			break;
		}
	}
	rcu_read_unlock();
	srcu_read_unlock(&ctx->srcu, srcu);
	return found;
}

/**
 * nvdm_context_return_event - an event could not be told
 * @ctx: the context
 * @id: number of the map that has it, unless that was detached
 */
void nvdm_context_return_event(struct nvdm_context *ctx, u32 id)
{
	struct nvdm_map *map;
	int srcu;

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, id);
	if (map)
		nvdm_map_return_event(map);
	srcu_read_unlock(&ctx->srcu, srcu);
}

/* A reference to the dma-buf of a map, or NULL if there is no such map. */
static struct dma_buf *nvdm_context_dmabuf(struct nvdm_context *ctx, u32 id)
{
	struct dma_buf *dmabuf = NULL;
	struct nvdm_map *map;
	int srcu;

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, id);
	if (map) {
		dmabuf = map->memory.mapping->dmabuf;
		get_dma_buf(dmabuf);
	}
	srcu_read_unlock(&ctx->srcu, srcu);
	return dmabuf;
}

/**
 * nvdm_context_wait_fences - wait for those who use a map's dma-buf
 * @ctx: the context
 * @id: the map's number; if there is no such map, there is nothing to wait for
 * @usage: for whom of them
 *
 * Not inside @ctx->srcu, for who detaches a map waits for who is.
 *
 * Return: 0 or -EINTR.
 */
int nvdm_context_wait_fences(struct nvdm_context *ctx, u32 id, enum dma_resv_usage usage)
{
	struct dma_buf *dmabuf = nvdm_context_dmabuf(ctx, id);
	int ret;

	if (!dmabuf)
		return 0;
	ret = nvdm_mapping_wait_fences(dmabuf, usage);
	dma_buf_put(dmabuf);
	return ret;
}

/**
 * nvdm_context_wait - wait until a map may be refreshed
 * @ctx: the context
 * @id: the map's number; if there is no such map, there is nothing to wait for
 * @why: what nvdm_map_refresh() said, more than 0
 *
 * Not inside @ctx->srcu.
 *
 * Return: 0 or -EINTR.
 */
int nvdm_context_wait(struct nvdm_context *ctx, u32 id, int why)
{
	struct dma_buf *dmabuf = nvdm_context_dmabuf(ctx, id);
	int ret;

	if (!dmabuf)
		return 0;
	ret = nvdm_map_wait(dmabuf, why);
	dma_buf_put(dmabuf);
	return ret;
}

/**
 * nvdm_context_map - find a map
 * @ctx: the context that owns it
 * @id: its number
 *
 * Return: the map, for as long as the caller is inside @ctx->srcu, or NULL.
 */
struct nvdm_map *nvdm_context_map(struct nvdm_context *ctx, u32 id)
{
	struct nvdm_map *map;

	rcu_read_lock();
	map = nvdm_map_table_find(rcu_dereference(ctx->table), id);
	if (map && map->id != id)
		map = NULL;
	rcu_read_unlock();
	return map;
}

/**
 * nvdm_context_end_parked - end commands that the nvme driver keeps from their drives
 * @ctx: the context that owns their maps
 * @which: which of them
 */
void nvdm_context_end_parked(struct nvdm_context *ctx, const struct nvdm_parked *which)
{
	struct gendisk *last = NULL;
	struct nvdm_map *map;
	u32 i;

	/* Keeps the maps that are in the table. */
	mutex_lock(&ctx->lock);
	for (i = 0; i <= nvdm_context_table(ctx)->mask; i++) {
		map = nvdm_context_slot(ctx, i);
		if (!map || map->ns.disk == last)
			continue;
		nvdm_command_end_parked(&map->ns, which);
		last = map->ns.disk;
	}
	mutex_unlock(&ctx->lock);
}
