// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fences: the sync_files that a submission waits for, and those that it hands
 * out. Must not know maps or commands.
 *
 * A fence that is handed out signals when the last command of a batch, or of a call that
 * submitted to a queue, has ended. The nvme driver sees to that for what the drive has, by its
 * timeout, and the controller's watch for what the driver keeps from the drive: nothing of it
 * is user space's, and nothing allocates memory, so that reclaim may wait for it. It may
 * outlive everything else here, so each holds the module.
 */
#include <linux/file.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sync_file.h>

#include "fence.h"
#include "nvdm.h"

/**
 * struct nvdm_fence - a fence that is handed out
 * @base: the fence
 * @lock: its lock
 * @pending: what it waits for, if that is counted here: one of who created it, and
 *	commands
 * @error: of a command that failed, if they are counted
 */
struct nvdm_fence {
	struct dma_fence base;
	spinlock_t lock;
	atomic_t pending;
	int error;
};

static struct nvdm_fence *nvdm_fence_of(struct dma_fence *fence)
{
	return container_of(fence, struct nvdm_fence, base);
}

static const char *nvdm_fence_driver_name(struct dma_fence *fence)
{
	return KBUILD_MODNAME;
}

static const char *nvdm_fence_timeline_name(struct dma_fence *fence)
{
	return "batch";
}

static void nvdm_fence_free(struct rcu_head *rcu)
{
	struct dma_fence *fence = container_of(rcu, struct dma_fence, rcu);

	kfree(nvdm_fence_of(fence));
	/* Unloading waits for RCU callbacks to return. */
	module_put(THIS_MODULE);
}

/* Readers of fences look at them under RCU. */
static void nvdm_fence_release(struct dma_fence *fence)
{
	call_rcu(&fence->rcu, nvdm_fence_free);
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = nvdm_fence_driver_name,
	.get_timeline_name = nvdm_fence_timeline_name,
	.release = nvdm_fence_release,
};

/**
 * nvdm_fence_create - a fence for one submission, on a timeline of its own
 *
 * Return: the fence, to be given to nvdm_fence_signal() or nvdm_fence_end() in the end, or
 * NULL if there is no memory.
 */
struct dma_fence *nvdm_fence_create(void)
{
	struct nvdm_fence *fence = kzalloc(sizeof(*fence), NVDM_GFP);

	if (!fence)
		return NULL;
	/* Called from an ioctl, whose file holds the module. */
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	atomic_set(&fence->pending, 1);
	/* Batches end in any order. */
	dma_fence_init(&fence->base, &fence_ops, &fence->lock, dma_fence_context_alloc(1), 1);
	return &fence->base;
}

/**
 * nvdm_fence_signal - signal a fence, and let it go
 * @fence: from nvdm_fence_create()
 * @error: negative error number, or 0
 *
 * Any context.
 */
void nvdm_fence_signal(struct dma_fence *fence, int error)
{
	if (error)
		dma_fence_set_error(fence, error);
	dma_fence_signal(fence);
	dma_fence_put(fence);
}

/**
 * nvdm_fence_expect - have a fence wait for more commands
 * @fence: from nvdm_fence_create(), of which the caller has a count that has not ended
 * @count: how many, each of them to be given to nvdm_fence_end()
 */
void nvdm_fence_expect(struct dma_fence *fence, u32 count)
{
	atomic_add(count, &nvdm_fence_of(fence)->pending);
}

/**
 * nvdm_fence_end - some of what a fence waits for has ended
 * @fence: the fence, which is let go when all has ended
 * @count: how many: commands, or 1 of who created it and expects no more
 * @error: negative error number of a command that failed, or 0
 *
 * Any context.
 */
void nvdm_fence_end(struct dma_fence *fence, u32 count, int error)
{
	struct nvdm_fence *counted = nvdm_fence_of(fence);

	if (error)
		WRITE_ONCE(counted->error, error);
	if (atomic_sub_and_test(count, &counted->pending))
		nvdm_fence_signal(fence, READ_ONCE(counted->error));
}

/**
 * nvdm_fence_open - a fence, and a sync_file by which user space will know it
 * @fence: where to return the fence, as from nvdm_fence_create()
 * @file: where to return the file
 *
 * Return: a descriptor for the file, not installed yet, or -EMFILE, or -ENOMEM: then there is
 * nothing to release, and @fence and @file are as they were.
 */
int nvdm_fence_open(struct dma_fence **fence, struct file **file)
{
	struct dma_fence *created;
	struct sync_file *sync;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	created = nvdm_fence_create();
	if (!created)
		goto put_fd;
	sync = sync_file_create(created);
	if (!sync)
		goto put_fence;
	*fence = created;
	*file = sync->file;
	return fd;
put_fence:
	nvdm_fence_signal(created, -ENOMEM);
put_fd:
	put_unused_fd(fd);
	return -ENOMEM;
}

/* Returns 0, -EAGAIN or -EINTR. */
static int nvdm_fence_wait(struct dma_fence *fence, bool nowait, ktime_t deadline)
{
	long timeout = MAX_SCHEDULE_TIMEOUT;
	long ret;

	if (nowait)
		timeout = 0;
	else if (deadline != KTIME_MAX)
		timeout = min_t(s64, timeout, nvdm_jiffies_until(deadline));
	/* Also without a wait, for some fences get on only if somebody has asked for their signal. */
	ret = dma_fence_wait_timeout(fence, !nowait, timeout);
	if (ret < 0)
		return -EINTR;
	return ret ? 0 : -EAGAIN;
}

/**
 * nvdm_fence_wait_file - wait until a sync_file has signalled
 * @fd: the caller's file descriptor
 * @nowait: do not wait
 * @deadline: until when to wait, or KTIME_MAX
 *
 * May take as long as the caller likes: not with any lock.
 *
 * Return: 0, -EBADF if it is no sync_file, -ECANCELED if it signalled an error, -EAGAIN if it
 * has not signalled, or -EINTR.
 */
int nvdm_fence_wait_file(int fd, bool nowait, ktime_t deadline)
{
	struct dma_fence *fence = sync_file_get_fence(fd);
	int ret;

	if (!fence)
		return -EBADF;
	ret = nvdm_fence_wait(fence, nowait, deadline);
	if (!ret && dma_fence_get_status(fence) < 0)
		ret = -ECANCELED;
	dma_fence_put(fence);
	return ret;
}
