// SPDX-License-Identifier: GPL-2.0-only
/*
 * Polling: commands on a drive's polled queues end when somebody looks. Any of the
 * hardware queues that a context's commands went to is remembered, so that who waits
 * for a command, or for a map, can look; and all of a drive that had no request left, for
 * those who have them may not be looking. Must not know commands or user memory.
 */
#include "storage.h"

void nvdm_poll_init(struct nvdm_poll *poll)
{
	spin_lock_init(&poll->lock);
}

void nvdm_poll_exit(struct nvdm_poll *poll)
{
	u32 i;

	for (i = 0; i < poll->count; i++) {
		kobject_put(&poll->sources[i].hctx->kobj);
		put_device(disk_to_dev(poll->sources[i].disk));
	}
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
 * @hctx: a polled hardware queue of @disk, which the caller keeps from going
 *
 * Return: its bit, for nvdm_poll_mask(), or 0 if there are too many.
 */
u64 nvdm_poll_add(struct nvdm_poll *poll, struct gendisk *disk, struct blk_mq_hw_ctx *hctx)
{
	/* Pairs with the release below, as in nvdm_poll_disk(): so many are filled in. */
	u64 source = nvdm_poll_find(poll, smp_load_acquire(&poll->count), hctx);

	if (likely(source))
		return source;

	spin_lock(&poll->lock);
	source = nvdm_poll_find(poll, poll->count, hctx);
	if (!source && poll->count < POLL_MAX_SOURCES) {
		get_device(disk_to_dev(disk));
		kobject_get(&hctx->kobj);
		poll->sources[poll->count].disk = disk;
		smp_store_release(&poll->sources[poll->count].hctx, hctx);
		WRITE_ONCE(poll->index[hash_ptr(hctx, POLL_INDEX_BITS)], poll->count);
		source = BIT_ULL(poll->count);
		smp_store_release(&poll->count, poll->count + 1);
	}
	spin_unlock(&poll->lock);
	return source;
}

/**
 * nvdm_poll_add_disk - remember all polled hardware queues of a disk
 * @poll: where
 * @disk: the disk, of which the caller has a reference
 */
void nvdm_poll_add_disk(struct nvdm_poll *poll, struct gendisk *disk)
{
	struct request_queue *queue = disk->queue;
	struct blk_mq_hw_ctx *hctx;
	unsigned long i;

	/*
	 * While it is held the hardware queues stay what they are. If the queue is to be
	 * frozen, requests are not what is lacking, and who tries would hold that up.
	 */
	if (!percpu_ref_tryget_live(&queue->q_usage_counter))
		return;
	queue_for_each_hw_ctx(queue, hctx, i)
		if (hctx->type == HCTX_TYPE_POLL)
			nvdm_poll_add(poll, disk, hctx);
	percpu_ref_put(&queue->q_usage_counter);
}

static DEFINE_SPINLOCK(freezing_lock);

/**
 * nvdm_poll_freezing - look for completions of a queue that is to be frozen, or gone
 * @source: its hardware queue
 * @iob: gets requests that the caller must complete
 *
 * Not if somebody else is looking: of many who look all the time, among them those who
 * wait for other drives, one would always have a reference, and the freeze never end.
 *
 * Return: whether there were any.
 */
bool nvdm_poll_freezing(const struct nvdm_poll_source *source, struct io_comp_batch *iob)
{
	struct percpu_ref *usage = &source->disk->queue->q_usage_counter;
	bool found = false;

	if (!spin_trylock(&freezing_lock))
		return false;
	if (percpu_ref_tryget(usage)) {
		rcu_read_lock();
		found = nvdm_poll_held(source, iob);
		rcu_read_unlock();
		percpu_ref_put(usage);
	}
	spin_unlock(&freezing_lock);
	return found;
}

/**
 * nvdm_poll_disk - look for completions of the hardware queues of one disk, or of all
 * @poll: where the hardware queues were added
 * @disk: the disk, or NULL
 *
 * Return: whether there were any.
 */
bool nvdm_poll_disk(struct nvdm_poll *poll, const struct gendisk *disk)
{
	u32 count = smp_load_acquire(&poll->count), i;
	u64 mask = 0;
	bool found;

	for (i = 0; i < count; i++)
		if (!disk || poll->sources[i].disk == disk)
			mask |= BIT_ULL(i);
	rcu_read_lock();
	found = nvdm_poll_mask(poll, mask, NULL);
	rcu_read_unlock();
	return found;
}

/**
 * nvdm_poll_orphans - look for completions of all polled hardware queues of a disk
 * @disk: the disk, of which the caller has a reference
 *
 * For requests whose submitter has given them up. The queues are those of the controller's
 * other namespaces as well.
 */
void nvdm_poll_orphans(struct gendisk *disk)
{
	struct nvdm_poll_source source = { .disk = disk };
	struct request_queue *queue = disk->queue;
	DEFINE_IO_COMP_BATCH(iob);
	unsigned long i;

	if (!percpu_ref_tryget(&queue->q_usage_counter))
		return;
	queue_for_each_hw_ctx(queue, source.hctx, i) {
		rcu_read_lock();
		nvdm_poll_held(&source, &iob);
		rcu_read_unlock();
	}
	percpu_ref_put(&queue->q_usage_counter);
	if (iob.complete)
		iob.complete(&iob);
}
