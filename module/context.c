// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts: an open file of /dev/nvme-dmabuf and the maps that it owns. Must
 * not know how commands work, or user memory.
 */
#include <linux/poll.h>
#include <linux/slab.h>

#include "internal.h"

/**
 * nvdm_context_create - a context without maps
 * @file: the file that it is of, which outlives it
 *
 * Return: the context, or NULL if there is no memory.
 */
struct nvdm_context *nvdm_context_create(struct file *file)
{
	struct nvdm_context *ctx = kzalloc(sizeof(*ctx), NVDM_GFP);

	if (!ctx)
		return NULL;
	if (init_srcu_struct(&ctx->srcu)) {
		kfree(ctx);
		return NULL;
	}
	ctx->file = file;
	xa_init_flags(&ctx->maps, XA_FLAGS_ALLOC1);
	mutex_init(&ctx->lock);
	init_waitqueue_head(&ctx->events.wait);
	nvdm_poll_init(&ctx->poll);
	spin_lock_init(&ctx->commands_lock);
	return ctx;
}

/**
 * nvdm_context_destroy - end a context that no call uses any more
 * @ctx: the context
 *
 * Waits for commands in flight, whose submitter may have been killed.
 */
void nvdm_context_destroy(struct nvdm_context *ctx)
{
	unsigned long id;
	struct nvdm_map *map;

	/* All at once, so that the waits for their commands overlap. */
	xa_for_each(&ctx->maps, id, map)
		nvdm_map_stop(map, STATE_DETACHED);
	xa_for_each(&ctx->maps, id, map)
		nvdm_map_destroy(map);
	xa_destroy(&ctx->maps);
	nvdm_uring_free(ctx);
	nvdm_poll_exit(&ctx->poll);
	cleanup_srcu_struct(&ctx->srcu);
	mutex_destroy(&ctx->lock);
	kfree(ctx);
}

/* Takes a number. It stands for no map until one is stored under it. */
static int nvdm_context_reserve(struct nvdm_context *ctx, u32 *id, u32 *reason)
{
	int ret = -ENOSPC;

	mutex_lock(&ctx->lock);
	if (ctx->count < READ_ONCE(max_maps)) {
		/* Cyclic: a number that a program kept too long finds no other map. */
		ret = xa_alloc_cyclic(&ctx->maps, id, NULL, xa_limit_32b, &ctx->next, NVDM_GFP);
		if (ret >= 0) {
			ctx->count++;
			ret = 0;
		}
	} else {
		*reason = NVME_DMABUF_REASON_MAP_LIMIT;
	}
	mutex_unlock(&ctx->lock);
	return ret;
}

/* Frees a number, whether or not a map was stored under it. */
static void nvdm_context_release(struct nvdm_context *ctx, u32 id)
{
	xa_erase(&ctx->maps, id);
	ctx->count--;
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
	u32 id;
	int ret;

	ret = nvdm_context_reserve(ctx, &id, &args->out_reason);
	if (ret)
		return ret;

	map = nvdm_map_create(args, &ctx->events, &ctx->poll, &args->out_reason);
	if (IS_ERR(map)) {
		mutex_lock(&ctx->lock);
		nvdm_context_release(ctx, id);
		mutex_unlock(&ctx->lock);
		return PTR_ERR(map);
	}

	nvdm_command_recognise(map, id);
	args->out_map = id;
	args->out_reason = NVME_DMABUF_REASON_NONE;
	mutex_lock(&ctx->lock);
	/* The reserved entry takes the map without allocating. */
	xa_store(&ctx->maps, id, map, NVDM_GFP);
	mutex_unlock(&ctx->lock);
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
	struct nvdm_map *map;

	mutex_lock(&ctx->lock);
	map = nvdm_context_map(ctx, id);
	if (map) {
		/* In this order: who finds no such number knows that it takes no command. */
		nvdm_map_stop(map, STATE_DETACHED);
		nvdm_context_release(ctx, id);
	}
	mutex_unlock(&ctx->lock);
	if (!map)
		return -ENOENT;

	/* Commands that found it just now are refused, or in flight after this. */
	synchronize_srcu(&ctx->srcu);
	/* Nobody remembers it any more. */
	cmpxchg(&ctx->last, map, NULL);
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
	int srcu, ret;

	do {
		ret = -ENOENT;
		args->out_reason = NVME_DMABUF_REASON_NO_MAP;
		srcu = srcu_read_lock(&ctx->srcu);
		map = nvdm_context_map(ctx, args->map);
		if (map)
			ret = nvdm_map_refresh(map, true, &args->out_generation, &args->out_reason);
		srcu_read_unlock(&ctx->srcu, srcu);
		if (ret != MAP_MOVES)
			return ret;
		ret = nvdm_context_wait_fences(ctx, args->map, DMA_RESV_USAGE_KERNEL);
	} while (!ret);
	return ret;
}

/**
 * nvdm_context_next_event - take the next event
 * @ctx: the context
 * @id: where to start, and the number of the map that has it
 * @event: the event
 *
 * Return: false if there is none from there on.
 */
bool nvdm_context_next_event(struct nvdm_context *ctx, u32 *id, struct nvme_dmabuf_event *event)
{
	unsigned long at = *id;
	struct nvdm_map *map;
	bool found = false;
	int srcu;

	if (!atomic_read(&ctx->events.pending))
		return false;
	srcu = srcu_read_lock(&ctx->srcu);
	xa_for_each_start(&ctx->maps, at, map, *id) {
		found = nvdm_map_take_event(map, event);
		if (found)
			break;
	}
	srcu_read_unlock(&ctx->srcu, srcu);
	*id = at;
	event->map = at;
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
	struct dma_buf *dmabuf = NULL;
	struct nvdm_map *map;
	int srcu, ret;

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, id);
	if (map) {
		dmabuf = map->dmabuf;
		get_dma_buf(dmabuf);
	}
	srcu_read_unlock(&ctx->srcu, srcu);
	if (!dmabuf)
		return 0;

	ret = nvdm_map_wait_fences(dmabuf, usage);
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
	struct nvdm_map *map = xa_load(&ctx->maps, id);

	if (map && READ_ONCE(ctx->last) != map)
		/* Pairs with nvdm_submitter_take(), which reads what the map holds. */
		smp_store_release(&ctx->last, map);
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
	unsigned long id;
	int srcu;

	srcu = srcu_read_lock(&ctx->srcu);
	xa_for_each(&ctx->maps, id, map) {
		if (map->ns.disk != last)
			nvdm_command_end_parked(&map->ns, which);
		last = map->ns.disk;
	}
	srcu_read_unlock(&ctx->srcu, srcu);
}
