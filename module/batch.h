/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands that their submitter waits for, and fences that say when they have ended.
 */
#ifndef NVME_DMABUF_BATCH_H
#define NVME_DMABUF_BATCH_H

#include "command.h"

struct dma_fence;

/**
 * struct nvdm_batch - commands that are submitted and waited for together
 * @refs: one of the submitter, one of all commands together
 * @pending: commands not complete, plus one while they are being issued
 * @done: all commands are complete
 * @fence: signals when all commands are complete, or NULL
 * @error: of a command that failed, for the fence
 * @rcu: frees the batch
 * @count: number of commands
 * @commands: the commands
 */
struct nvdm_batch {
	refcount_t refs;
	atomic_t pending;
	struct completion done;
	struct dma_fence *fence;
	int error;
	struct rcu_head rcu;
	u32 count;
	struct nvdm_command commands[] __counted_by(count);
};

struct nvdm_batch *nvdm_batch_create(u32 count);
void nvdm_batch_submit(struct nvdm_context *ctx, struct nvdm_batch *batch);
void nvdm_batch_put(struct nvdm_batch *batch);

#endif
