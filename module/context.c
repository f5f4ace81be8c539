// SPDX-License-Identifier: GPL-2.0-only
/*
 * Contexts: an open file of /dev/nvme-dmabuf and the maps that it owns. Must
 * not know commands or user memory.
 */
#include <linux/slab.h>

#include "internal.h"

/**
 * nvdm_context_create - a context without maps
 *
 * Return: the context, or NULL if there is no memory.
 */
struct nvdm_context *nvdm_context_create(void)
{
	struct nvdm_context *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);

	if (!ctx)
		return NULL;
	if (init_srcu_struct(&ctx->srcu)) {
		kfree(ctx);
		return NULL;
	}
	xa_init_flags(&ctx->maps, XA_FLAGS_ALLOC1);
	mutex_init(&ctx->lock);
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
		nvdm_map_stop(map, MAP_DETACHED);
	xa_for_each(&ctx->maps, id, map)
		nvdm_map_destroy(map);
	xa_destroy(&ctx->maps);
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
		ret = xa_alloc_cyclic(&ctx->maps, id, NULL, xa_limit_32b, &ctx->next,
				      GFP_KERNEL_ACCOUNT);
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

	map = nvdm_map_create(args, &args->out_reason);
	if (IS_ERR(map)) {
		mutex_lock(&ctx->lock);
		nvdm_context_release(ctx, id);
		mutex_unlock(&ctx->lock);
		return PTR_ERR(map);
	}

	args->out_map = id;
	args->out_reason = NVME_DMABUF_REASON_NONE;
	mutex_lock(&ctx->lock);
	/* The reserved entry takes the map without allocating. */
	xa_store(&ctx->maps, id, map, GFP_KERNEL_ACCOUNT);
	mutex_unlock(&ctx->lock);
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
	if (map)
		nvdm_context_release(ctx, id);
	mutex_unlock(&ctx->lock);
	if (!map)
		return -ENOENT;

	/* Commands that found it just now are refused, or in flight after this. */
	nvdm_map_stop(map, MAP_DETACHED);
	synchronize_srcu(&ctx->srcu);
	nvdm_map_destroy(map);
	return 0;
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
	return xa_load(&ctx->maps, id);
}
