/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queues: commands in flight, and a ring for their completions.
 */
#ifndef NVME_DMABUF_QUEUE_H
#define NVME_DMABUF_QUEUE_H

#include <linux/wait.h>

#include "command.h"

struct dma_fence;

/**
 * struct nvdm_queue - commands in flight whose completions go to a ring
 * @ctx: the context, whose file it holds
 * @flags: NVME_DMABUF_QUEUE_*
 * @depth: commands that may be in flight
 * @entries: of the ring
 * @ring: shared with user space; only its head is ever read
 * @ring_bytes: pages of the ring
 * @event: counts completions, or NULL
 * @submit_lock: one submitter at a time; protects the members below
 * @spare: commands that are free, taken from @free
 * @sources: bit for each source that commands in flight may have to be polled of
 * @submitted: counts commands; written by the submitter, read by all
 * @ended: what the poller has found; the completions are to go to the ring
 * @lock: (spinlock) protects the members below, and writes to the ring
 * @tail: counts completions
 * @free: commands that are free; who has the submit_lock takes all, without this lock
 * @wait: who waits for completions
 * @commands: all commands
 */
struct nvdm_queue {
	struct nvdm_context *ctx;
	u32 flags;
	u32 depth;
	u32 entries;
	struct nvme_dmabuf_ring *ring;
	size_t ring_bytes;
	struct eventfd_ctx *event;
	struct mutex submit_lock;
	struct nvdm_command *spare;
	u64 sources;
	u32 submitted;
	struct nvdm_ended ended;
	spinlock_t lock;
	u32 tail;
	struct nvdm_command *free;
	wait_queue_head_t wait;
	struct nvdm_command commands[] __counted_by(depth);
};

#define QUEUE_MAX_DEPTH 4096U
#define QUEUE_FLAGS	(NVME_DMABUF_QUEUE_POLLED | NVME_DMABUF_QUEUE_EVENTFD)

/* Of commands that are being submitted, completions may be counted first. */
static inline u32 nvdm_queue_in_flight_at(const struct nvdm_queue *queue, u32 tail)
{
	s32 count = READ_ONCE(queue->submitted) - tail;

	return max(count, 0);
}

/**
 * nvdm_queue_in_flight - commands that were submitted and have not ended
 * @queue: the queue
 */
static inline u32 nvdm_queue_in_flight(const struct nvdm_queue *queue)
{
	return nvdm_queue_in_flight_at(queue, READ_ONCE(queue->tail));
}

static inline u32 nvdm_queue_unread_at(const struct nvdm_queue *queue, u32 tail)
{
	return min(tail - READ_ONCE(queue->ring->head), queue->entries);
}

/**
 * nvdm_queue_unread - completions that the ring holds
 * @queue: the queue
 *
 * If user space claims to have read what was not there, all of it.
 */
static inline u32 nvdm_queue_unread(const struct nvdm_queue *queue)
{
	return nvdm_queue_unread_at(queue, READ_ONCE(queue->tail));
}

/**
 * nvdm_queue_room - of how many more commands can the ring take the completions?
 * @queue: the queue
 */
static inline u32 nvdm_queue_room(const struct nvdm_queue *queue)
{
	u32 used = READ_ONCE(queue->submitted) - READ_ONCE(queue->ring->head);

	return used < queue->entries ? queue->entries - used : 0;
}

/**
 * nvdm_queue_spare - commands that may be filled in
 * @queue: the queue, under its submit_lock
 *
 * Return: the first of a list, perhaps not of all that are free, or NULL.
 */
static inline struct nvdm_command *nvdm_queue_spare(struct nvdm_queue *queue)
{
	if (!queue->spare)
		queue->spare = xchg_acquire(&queue->free, NULL);
	return queue->spare;
}

/**
 * nvdm_queue_submit - submit commands
 * @queue: the queue, under its submit_lock
 * @sub: who submits, and how
 * @count: how many of nvdm_queue_spare(), with uapi filled in, for which the ring has room
 *
 * Return: how many were submitted; the next one would have had to wait.
 */
static inline u32 nvdm_queue_submit(struct nvdm_queue *queue, struct nvdm_submitter *sub, u32 count)
{
	u32 done = nvdm_command_submit(sub, &queue->spare, count);

	WRITE_ONCE(queue->submitted, queue->submitted + done);
	return done;
}

struct nvdm_queue *nvdm_queue_create(struct nvdm_context *ctx,
				     const struct nvme_dmabuf_queue *args);
void nvdm_queue_destroy(struct nvdm_queue *queue);
void nvdm_queue_expect(struct nvdm_queue *queue, u32 count, struct dma_fence *fence);
void nvdm_queue_unexpect(struct nvdm_queue *queue, u32 count, struct dma_fence *fence);
bool nvdm_queue_poll(struct nvdm_queue *queue);
int nvdm_queue_wait(struct nvdm_queue *queue, u32 completions, ktime_t deadline);
int nvdm_queue_wait_room(struct nvdm_queue *queue, ktime_t deadline);

#endif
