// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fences that signal on demand, or after a while. Must not know dma-bufs.
 */
#include <linux/dma-fence.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "internal.h"

/* Freed by dma_fence_free(), which takes the fence for the whole. */
struct fence {
	struct dma_fence base;
	spinlock_t lock;
	struct list_head node;
	struct delayed_work timeout;
};

static const char *fence_name(struct dma_fence *base)
{
	return KBUILD_MODNAME;
}

/* A fence may outlive its dma-buf, in a sync_file, but not this code. */
static void fence_release(struct dma_fence *base)
{
	dma_fence_free(base);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
	.release = fence_release,
};

static void fence_timeout(struct work_struct *work)
{
	struct fence *fence = container_of(to_delayed_work(work), struct fence, timeout);

	dma_fence_signal(&fence->base);
}

void fences_init(struct fences *fences)
{
	mutex_init(&fences->lock);
	INIT_LIST_HEAD(&fences->list);
}

/**
 * fences_add - add a fence to a reservation object
 * @fences: the list that will hold it
 * @resv: the reservation object, locked
 * @usage: who has to wait for it
 * @timeout_ms: milliseconds until it signals, or 0
 *
 * Return: 0 or a negative error number.
 */
int fences_add(struct fences *fences, struct dma_resv *resv, enum dma_resv_usage usage,
	       unsigned int timeout_ms)
{
	struct fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	int ret;

	if (!fence)
		return -ENOMEM;
	ret = dma_resv_reserve_fences(resv, 1);
	if (ret) {
		kfree(fence);
		return ret;
	}
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	/* One context each: a fence replaces an older one of its context. */
	dma_fence_init(&fence->base, &fence_ops, &fence->lock, dma_fence_context_alloc(1), 1);
	INIT_DELAYED_WORK(&fence->timeout, fence_timeout);
	dma_resv_add_fence(resv, &fence->base, usage);

	mutex_lock(&fences->lock);
	list_add_tail(&fence->node, &fences->list);
	if (timeout_ms)
		schedule_delayed_work(&fence->timeout, msecs_to_jiffies(timeout_ms));
	mutex_unlock(&fences->lock);
	return 0;
}

/**
 * fences_signal - signal all fences, and let go of them
 * @fences: the list
 */
void fences_signal(struct fences *fences)
{
	struct fence *fence, *next;

	mutex_lock(&fences->lock);
	list_for_each_entry_safe(fence, next, &fences->list, node) {
		cancel_delayed_work_sync(&fence->timeout);
		if (!dma_fence_is_signaled(&fence->base))
			dma_fence_signal(&fence->base);
		list_del(&fence->node);
		dma_fence_put(&fence->base);
	}
	mutex_unlock(&fences->lock);
}

/* How many have not signalled. */
u32 fences_pending(struct fences *fences)
{
	struct fence *fence;
	u32 count = 0;

	mutex_lock(&fences->lock);
	list_for_each_entry(fence, &fences->list, node)
		count += !dma_fence_is_signaled(&fence->base);
	mutex_unlock(&fences->lock);
	return count;
}
