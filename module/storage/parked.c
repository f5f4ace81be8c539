// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parked requests: those that the nvme driver keeps from the drive. While it resets a
 * controller, or recovers one from a PCI Express error, it quiesces the queues. A request
 * that did not start before has no timeout, and starts only when the driver lets the queue
 * go: after it has allocated memory, or never, if the recovery failed. Nobody who waits for
 * a command may depend on that. So this file finds such requests, for whoever can end them.
 *
 * The block layer counts who quiesces a queue. While one count is ours, no request of the
 * queue starts, whatever the driver does. Then a request that has not started can be taken
 * from the block layer's hands: nvdm_stock_request_disown().
 *
 * Nothing here allocates memory: reclaim may wait for it. Must not know dma-bufs, maps or
 * user memory.
 */
#include <linux/dma-fence.h>

#include "storage.h"

/* Returns whether requests of polled queues were disowned. */
static bool nvdm_parked_find_in(const struct request_queue *queue, const struct blk_mq_tags *tags,
				nvdm_parked_fn *end, const void *data)
{
	rq_end_io_fn *end_io;
	bool polled = false;
	struct request *rq;
	unsigned int i;

	for (i = 0; i < tags->nr_tags; i++) {
		rq = tags->static_rqs[i];
		if (READ_ONCE(rq->q) != queue || blk_mq_rq_state(rq) != MQ_RQ_IDLE)
			continue;
		/*
		 * Pairs with nvdm_stock_request_ends(): a request that is idle because it
		 * has ended has no end_io of ours any more.
		 */
		smp_rmb();
		/* Pairs with nvdm_stock_request_set_end(): then all of it can be read. */
		end_io = smp_load_acquire(&rq->end_io);
		/* Tags are shared: another namespace, which is not held, may have taken it. */
		if (!end_io || READ_ONCE(rq->q) != queue)
			continue;
		if (end(rq, end_io, data) && rq->cmd_flags & REQ_POLLED)
			polled = true;
	}
	return polled;
}

/**
 * nvdm_parked_find - find the requests that the driver keeps from the drive
 * @ns: whose requests; of its members @disk and @ctrl the caller has references
 * @end: called for each request that has not started, be it whose it may, with its end_io;
 *	returns whether it has disowned it
 * @data: for @end
 *
 * Does nothing unless the driver has quiesced the queue. If the end_io is @end's own, the
 * request was submitted, has not ended, and stays so until @end returns. Sleeps, but waits
 * only for RCU and for others who look at the same controller.
 */
void nvdm_parked_find(const struct nvdm_namespace *ns, nvdm_parked_fn *end, const void *data)
{
	struct request_queue *queue = ns->disk->queue;
	bool signalling, polled = false;
	struct blk_mq_hw_ctx *hctx;
	unsigned long i;

	if (!blk_queue_quiesced(queue))
		return;
	/* Fences depend on this. */
	signalling = dma_fence_begin_signalling();
	/* Two may want to end the same request. */
	mutex_lock(&ns->ctrl->parked_lock);
	/*
	 * Again, for whoever has waited for the lock must not stop a queue that runs. The
	 * reference keeps the queue's tags. There is none to get if no request is left.
	 */
	if (!blk_queue_quiesced(queue) || !percpu_ref_tryget(&queue->q_usage_counter))
		goto unlock;
	/* What is starting has started, or will not, when this returns. */
	blk_mq_quiesce_queue(queue);
	/* The driver may have let the queue go just before: then all of them start now. */
	if (READ_ONCE(queue->quiesce_depth) > 1) {
		queue_for_each_hw_ctx(queue, hctx, i) {
			if (hctx->sched_tags)
				polled |= nvdm_parked_find_in(queue, hctx->sched_tags, end, data);
			if (hctx->tags)
				polled |= nvdm_parked_find_in(queue, hctx->tags, end, data);
		}
	}
	if (polled)
		nvdm_controller_poll_for(ns->ctrl, ns->disk);
	blk_mq_unquiesce_queue(queue);
	percpu_ref_put(&queue->q_usage_counter);
unlock:
	mutex_unlock(&ns->ctrl->parked_lock);
	dma_fence_end_signalling(signalling);
}

/**
 * nvdm_parked_is_late - has a request been parked for longer than the drive might take?
 * @rq: a request that @end of nvdm_parked_find() has found to be its own
 *
 * Counts from the first time that this was asked.
 */
bool nvdm_parked_is_late(struct request *rq)
{
	u64 limit = jiffies_to_nsecs(rq->timeout ?: rq->q->rq_timeout);
	u64 now = ktime_get_ns();

	/* The block layer sets it to 0, and to something else only when the request starts. */
	if (!rq->io_start_time_ns)
		rq->io_start_time_ns = now;
	return (s64)(now - rq->io_start_time_ns) >= (s64)limit;
}
