// SPDX-License-Identifier: GPL-2.0-only
/*
 * Polling: commands on a drive's polled queues end when somebody looks. Any of the
 * hardware queues that a context's commands went to is remembered, so that who waits
 * for a command, or for a map, can look. Must not know commands or user memory.
 */
#include "internal.h"

void nvdm_poll_init(struct nvdm_poll *poll)
{
	spin_lock_init(&poll->lock);
}

void nvdm_poll_exit(struct nvdm_poll *poll)
{
	u32 i;

	for (i = 0; i < poll->count; i++)
		put_device(disk_to_dev(poll->sources[i].disk));
}

static u64 nvdm_poll_find(const struct nvdm_poll *poll, u32 count, const struct blk_mq_hw_ctx *hctx)
{
	u32 i;

	for (i = 0; i < count; i++)
		if (poll->sources[i].hctx == hctx)
			return BIT_ULL(i);
	return 0;
}

/**
 * nvdm_poll_add - remember a hardware queue
 * @poll: where
 * @disk: the disk, of which the caller has a reference
 * @hctx: a polled hardware queue of @disk
 *
 * Return: its bit, for nvdm_poll_mask(), or 0 if there are too many.
 */
u64 nvdm_poll_add(struct nvdm_poll *poll, struct gendisk *disk, struct blk_mq_hw_ctx *hctx)
{
	u64 source = nvdm_poll_find(poll, smp_load_acquire(&poll->count), hctx);

	if (likely(source))
		return source;

	spin_lock(&poll->lock);
	source = nvdm_poll_find(poll, poll->count, hctx);
	if (!source && poll->count < POLL_MAX_SOURCES) {
		get_device(disk_to_dev(disk));
		poll->sources[poll->count] = (struct nvdm_poll_source){ disk, hctx };
		source = BIT_ULL(poll->count);
		smp_store_release(&poll->count, poll->count + 1);
	}
	spin_unlock(&poll->lock);
	return source;
}

/*
 * As blk_rq_poll() does, but without a request, which might be gone by now. The queue's
 * reference keeps the driver's part of it; there is none to get of a queue that no
 * request can be in, such as that of a drive that was removed.
 */
static bool nvdm_poll_source(const struct nvdm_poll_source *source, struct io_comp_batch *iob)
{
	struct request_queue *queue = source->disk->queue;
	int found;

	if (!percpu_ref_tryget(&queue->q_usage_counter))
		return false;
	found = queue->mq_ops->poll(source->hctx, iob);
	percpu_ref_put(&queue->q_usage_counter);
	return found > 0;
}

/**
 * nvdm_poll_once - look for completions
 * @poll: where the hardware queues were added
 * @mask: their bits
 * @iob: gets requests that the caller must complete
 *
 * Return: whether there were any.
 */
bool nvdm_poll_once(struct nvdm_poll *poll, u64 mask, struct io_comp_batch *iob)
{
	bool found = false;

	for (; mask; mask &= mask - 1)
		found |= nvdm_poll_source(&poll->sources[__ffs64(mask)], iob);
	return found;
}

/**
 * nvdm_poll_mask - look for completions, and complete what was found
 * @poll: where the hardware queues were added
 * @mask: their bits
 * @poll_ctx: for the commands' complete(), where the kernel can pass it on; or a struct
 *	nvdm_ended, to which its owner's commands are added, and which the caller protects
 *	and then empties; or NULL
 *
 * Return: whether there were any.
 */
bool nvdm_poll_mask(struct nvdm_poll *poll, u64 mask, void *poll_ctx)
{
	DEFINE_IO_COMP_BATCH(iob);
	bool found;

	io_comp_batch_set_poll_ctx(&iob, poll_ctx);
	found = nvdm_poll_once(poll, mask, &iob);
	if (iob.complete)
		iob.complete(&iob);
	return found;
}

/**
 * nvdm_poll_disk - the same for the hardware queues of one disk, or for all
 * @poll: where the hardware queues were added
 * @disk: the disk, or NULL
 *
 * Return: whether there were any.
 */
bool nvdm_poll_disk(struct nvdm_poll *poll, const struct gendisk *disk)
{
	u32 count = smp_load_acquire(&poll->count), i;
	u64 mask = 0;

	for (i = 0; i < count; i++)
		if (!disk || poll->sources[i].disk == disk)
			mask |= BIT_ULL(i);
	return nvdm_poll_mask(poll, mask, NULL);
}
