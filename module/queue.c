// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: commands in flight that nobody waits for, and the ring to which their
 * completions go. All memory is allocated when a queue is made. Of the ring, which user
 * space may write to, only the head is ever read: it says how much room there is, and
 * all that it can do wrong is to have completions overwritten. Must not know user memory
 * but for the ring.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "fence.h"
#include "queue.h"

static struct nvme_dmabuf_completion *nvdm_queue_slot(const struct nvdm_queue *queue, u32 tail)
{
	return NVME_DMABUF_RING_COMPLETIONS(queue->ring) + (tail & (queue->entries - 1));
}

/* Under the queue's lock, with so many completions in the ring after its tail. */
static void nvdm_queue_tell(struct nvdm_queue *queue, u32 count)
{
	u32 tail = queue->tail + count;

	WRITE_ONCE(queue->tail, tail);
	/* User space reads the completions after this. */
	smp_store_release(&queue->ring->tail, tail);
	if (wq_has_sleeper(&queue->wait))
		wake_up_poll(&queue->wait, EPOLLIN | EPOLLRDNORM);
}

/* Under the queue's lock; but whoever submits takes all without it. */
static __always_inline void nvdm_queue_give_back(struct nvdm_queue *queue,
						 struct nvdm_command *first,
						 struct nvdm_command *last)
{
	last->next = READ_ONCE(queue->free);
	/* Pairs with nvdm_queue_spare(): the submitter may overwrite what was read here. */
	while (!try_cmpxchg_release(&queue->free, &last->next, first))
		;
}

/* Any context. The lock keeps the queue until all is told: see nvdm_queue_destroy(). */
static void nvdm_queue_complete(struct nvdm_command *cmd, void *poll_ctx)
{
	struct nvdm_queue *queue = cmd->owner;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	nvdm_command_describe(cmd, nvdm_queue_slot(queue, queue->tail));
	nvdm_queue_give_back(queue, cmd, cmd);
	nvdm_queue_tell(queue, 1);
	if (queue->event)
		eventfd_signal_one(queue->event);
	spin_unlock_irqrestore(&queue->lock, flags);
}

/* Likewise, and a fence waits for it. */
static void nvdm_queue_complete_fenced(struct nvdm_command *cmd, void *poll_ctx)
{
	struct dma_fence *fence = cmd->fence;
	int error = nvdm_command_error(cmd);

	/* The next submitter has it as soon as it is given back, and perhaps no fence. */
	cmd->complete = nvdm_queue_complete;
	nvdm_queue_complete(cmd, poll_ctx);
	/* Whoever sees the signal finds the completion. The queue may be gone, the fence not. */
	nvdm_fence_end(fence, 1, error);
}

/**
 * nvdm_queue_expect - have a fence wait for commands that are to be submitted
 * @queue: the queue, which is not polled, under its submit_lock
 * @count: how many of nvdm_queue_spare()
 * @fence: the fence
 */
void nvdm_queue_expect(struct nvdm_queue *queue, u32 count, struct dma_fence *fence)
{
	struct nvdm_command *cmd = queue->spare;

	nvdm_fence_expect(fence, count);
	for (; count; count--, cmd = cmd->next) {
		cmd->fence = fence;
		cmd->complete = nvdm_queue_complete_fenced;
	}
}

/**
 * nvdm_queue_unexpect - likewise, of commands that were not submitted
 * @queue: likewise
 * @count: how many, perhaps 0
 * @fence: the fence, of which the caller has a count
 */
void nvdm_queue_unexpect(struct nvdm_queue *queue, u32 count, struct dma_fence *fence)
{
	struct nvdm_command *cmd = queue->spare;
	u32 i;

	for (i = 0; i < count; i++, cmd = cmd->next)
		cmd->complete = nvdm_queue_complete;
	nvdm_fence_end(fence, count, 0);
}

/*
 * What the poller has found goes to the ring, the last one first: plain commands, each
 * completed in full. Polled, so no event. Inside RCU.
 */
static void nvdm_queue_finish(struct nvdm_queue *queue)
{
	struct nvdm_command *cmd = queue->ended.last, *last;
	u32 slot;

	spin_lock_irq(&queue->lock);
	slot = queue->tail + queue->ended.count;
	do {
		*nvdm_queue_slot(queue, --slot) = (struct nvme_dmabuf_completion){
			.user_data = cmd->uapi.user_data,
			.result = cmd->result,
			.bytes = cmd->uapi.length,
		};
		nvdm_ref_put_rcu(&cmd->map->inflight);
		last = cmd;
		cmd = cmd->next;
	} while (cmd);
	nvdm_queue_give_back(queue, queue->ended.last, last);
	nvdm_queue_tell(queue, queue->ended.count);
	spin_unlock_irq(&queue->lock);
}

static void nvdm_queue_free(struct nvdm_queue *queue)
{
	if (queue->event)
		eventfd_ctx_put(queue->event);
	vfree(queue->ring);
	mutex_destroy(&queue->submit_lock);
	kvfree(queue);
}

/**
 * nvdm_queue_create - a queue without a file
 * @ctx: the context, whose file it holds
 * @args: NVME_DMABUF_IOC_QUEUE; the depth is valid
 *
 * Return: the queue, to be released by nvdm_queue_destroy(), or -EBADF, -ENOSPC or
 * -ENOMEM.
 */
struct nvdm_queue *nvdm_queue_create(struct nvdm_context *ctx, const struct nvme_dmabuf_queue *args)
{
	struct nvdm_queue *queue;
	int ret = -ENOMEM;
	u32 i;

	if (!atomic_add_unless(&ctx->queues, 1, CONTEXT_MAX_QUEUES))
		return ERR_PTR(-ENOSPC);
	queue = kvzalloc(struct_size(queue, commands, args->depth), NVDM_GFP);
	if (!queue)
		goto uncount;
	queue->depth = args->depth;
	queue->flags = args->flags;
	queue->entries = roundup_pow_of_two(2 * args->depth);
	queue->ring_bytes = PAGE_ALIGN(sizeof(*queue->ring) +
				       queue->entries * sizeof(struct nvme_dmabuf_completion));
	mutex_init(&queue->submit_lock);
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->wait);
	for (i = args->depth; i-- > 0;) {
		nvdm_command_init(&queue->commands[i], nvdm_queue_complete, &queue->ended, queue);
		queue->commands[i].next = queue->spare;
		queue->spare = &queue->commands[i];
	}

	queue->ring = __vmalloc(queue->ring_bytes, NVDM_GFP | __GFP_ZERO);
	if (!queue->ring)
		goto free;
	queue->ring->entries = queue->entries;
	if (args->flags & NVME_DMABUF_QUEUE_EVENTFD) {
		queue->event = eventfd_ctx_fdget(args->event_fd);
		if (IS_ERR(queue->event)) {
			queue->event = NULL;
			ret = -EBADF;
			goto free;
		}
	}
	queue->ctx = ctx;
	get_file(ctx->file);
	return queue;
free:
	nvdm_queue_free(queue);
uncount:
	atomic_dec(&ctx->queues);
	return ERR_PTR(ret);
}

/**
 * nvdm_queue_destroy - end a queue that nobody uses any more
 * @queue: the queue
 *
 * Waits for commands in flight; those that the driver keeps from the drive are ended.
 */
void nvdm_queue_destroy(struct nvdm_queue *queue)
{
	const struct nvdm_parked mine = { .owner = queue };
	struct nvdm_context *ctx = queue->ctx;
	unsigned long patience = jiffies + PARKED_PATIENCE;

	while (!wait_event_timeout(queue->wait, !nvdm_queue_in_flight(queue),
				   READ_ONCE(queue->sources) ? 1 : PARKED_PATIENCE)) {
		nvdm_queue_poll(queue);
		if (time_after_eq(jiffies, patience)) {
			nvdm_context_end_parked(ctx, &mine);
			patience = jiffies + PARKED_PATIENCE;
		}
	}
	/* Until the last one to complete has let go. */
	spin_lock_irq(&queue->lock);
	spin_unlock_irq(&queue->lock);

	nvdm_queue_free(queue);
	atomic_dec(&ctx->queues);
	fput(ctx->file);
}

/**
 * nvdm_queue_poll - look for completions of commands on polled queues
 * @queue: the queue
 *
 * Return: whether there were any, perhaps of others.
 */
bool nvdm_queue_poll(struct nvdm_queue *queue)
{
	struct nvdm_poll *poll = &queue->ctx->poll;
	u64 sources = READ_ONCE(queue->sources);
	bool taken = nvdm_ended_take(&queue->ended);
	bool found;

	rcu_read_lock();
	found = nvdm_poll_mask(poll, sources, taken ? &queue->ended : NULL);
	if (likely(taken)) {
		if (queue->ended.last)
			nvdm_queue_finish(queue);
		nvdm_ended_leave(&queue->ended);
	}
	rcu_read_unlock();
	return found;
}

struct nvdm_queue_waiter {
	wait_queue_entry_t entry;
	struct nvdm_queue *queue;
	u32 tail;
};

static bool nvdm_queue_reached(const struct nvdm_queue *queue, u32 tail)
{
	return (s32)(READ_ONCE(queue->tail) - tail) >= 0;
}

/* Who waits for many completions is not woken for each. */
static int nvdm_queue_wake(wait_queue_entry_t *entry, unsigned int mode, int flags, void *key)
{
	struct nvdm_queue_waiter *waiter = container_of(entry, struct nvdm_queue_waiter, entry);

	if (!nvdm_queue_reached(waiter->queue, waiter->tail))
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

static noinline int nvdm_queue_sleep(struct nvdm_queue *queue, u32 tail, ktime_t deadline)
{
	struct nvdm_queue_waiter waiter = { .queue = queue, .tail = tail };
	int ret = 0;

	init_waitqueue_func_entry(&waiter.entry, nvdm_queue_wake);
	waiter.entry.private = current;
	INIT_LIST_HEAD(&waiter.entry.entry);
	while (!ret) {
		prepare_to_wait(&queue->wait, &waiter.entry, TASK_INTERRUPTIBLE);
		if (nvdm_queue_reached(queue, tail))
			break;
		if (signal_pending(current))
			ret = -EINTR;
		else if (!schedule_hrtimeout(deadline == KTIME_MAX ? NULL : &deadline,
					     HRTIMER_MODE_ABS))
			ret = -ETIME;
	}
	finish_wait(&queue->wait, &waiter.entry);
	return nvdm_queue_reached(queue, tail) ? 0 : ret;
}

/* Has somebody who polls waited long enough? */
static int nvdm_queue_tired(ktime_t deadline)
{
	if (signal_pending(current))
		return -EINTR;
	if (deadline != KTIME_MAX && ktime_compare(ktime_get(), deadline) >= 0)
		return -ETIME;
	cond_resched();
	return 0;
}

/* Commands that are not polled are not worth a busy wait. */
static noinline void nvdm_queue_nap(struct nvdm_queue *queue, u32 tail)
{
	wait_event_interruptible_timeout(queue->wait, nvdm_queue_reached(queue, tail), 1);
}

/* Until so many completions were counted, which must be no more than can come. */
static __always_inline int nvdm_queue_wait_tail(struct nvdm_queue *queue, u32 tail,
						ktime_t deadline)
{
	int ret = 0;

	if (!(queue->flags & NVME_DMABUF_QUEUE_POLLED))
		return nvdm_queue_sleep(queue, tail, deadline);

	while (!nvdm_queue_reached(queue, tail) && !ret) {
		if (READ_ONCE(queue->sources))
			nvdm_queue_poll(queue);
		else
			nvdm_queue_nap(queue, tail);
		if (!nvdm_queue_reached(queue, tail))
			ret = nvdm_queue_tired(deadline);
	}
	return ret;
}

/**
 * nvdm_queue_wait - wait until the ring holds completions
 * @queue: the queue
 * @completions: how many, or all that can come if they are fewer
 * @deadline: until when, or KTIME_MAX
 *
 * Return: 0, -ETIME or -EINTR.
 */
int nvdm_queue_wait(struct nvdm_queue *queue, u32 completions, ktime_t deadline)
{
	u32 tail = READ_ONCE(queue->tail);
	u32 unread = nvdm_queue_unread_at(queue, tail);

	if (unread >= completions)
		return 0;
	tail += min(completions - unread, nvdm_queue_in_flight_at(queue, tail));
	return nvdm_queue_wait_tail(queue, tail, deadline);
}

/**
 * nvdm_queue_wait_room - wait until another command may be submitted
 * @queue: the queue
 * @deadline: until when, or KTIME_MAX
 *
 * Return: 0 if it is worth to try again, -ETIME or -EINTR.
 */
int nvdm_queue_wait_room(struct nvdm_queue *queue, ktime_t deadline)
{
	u32 tail = READ_ONCE(queue->tail);

	if (nvdm_queue_in_flight_at(queue, tail) >= queue->depth)
		return nvdm_queue_wait_tail(queue, tail + 1, deadline);
	if (!nvdm_queue_room(queue))
		schedule_timeout_interruptible(1);
	/* Otherwise there was no request of the driver's, which submitting has waited for. */
	return nvdm_queue_tired(deadline);
}
