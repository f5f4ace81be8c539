// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: the commands of one NVME_DMABUF_IOC_SUBMIT, which are waited for together.
 * Must not know user memory.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "batch.h"
#include "fence.h"

static void nvdm_batch_complete_one(struct nvdm_batch *batch)
{
	if (!atomic_dec_and_test(&batch->pending))
		return;
	if (batch->fence)
		nvdm_fence_signal(batch->fence, READ_ONCE(batch->error));
	complete(&batch->done);
	/* Its submitter was killed. In any context, where vfree() may not be called. */
	if (refcount_dec_and_test(&batch->refs))
		kvfree_rcu(batch, rcu);
}

static void nvdm_batch_complete(struct nvdm_command *cmd, void *poll_ctx)
{
	struct nvdm_batch *batch = cmd->owner;
	int error = nvdm_command_error(cmd);

	if (error)
		WRITE_ONCE(batch->error, error);
	nvdm_batch_complete_one(batch);
}

/**
 * nvdm_batch_create - memory for a submission
 * @count: number of commands, whose uapi the caller fills in
 *
 * Return: the batch, to be released by nvdm_batch_put(), or NULL.
 */
struct nvdm_batch *nvdm_batch_create(u32 count)
{
	struct nvdm_batch *batch = kvzalloc(struct_size(batch, commands, count), NVDM_GFP);
	u32 i;

	if (!batch)
		return NULL;
	refcount_set(&batch->refs, 1);
	init_completion(&batch->done);
	batch->count = count;
	for (i = 0; i < count; i++) {
		nvdm_command_init(&batch->commands[i], nvdm_batch_complete, NULL, batch);
		batch->commands[i].next = &batch->commands[i + 1];
	}
	return batch;
}

/**
 * nvdm_batch_put - the submitter needs the batch no more
 * @batch: the batch
 */
void nvdm_batch_put(struct nvdm_batch *batch)
{
	if (refcount_dec_and_test(&batch->refs))
		kvfree(batch);
}

/**
 * nvdm_batch_submit - submit all commands of a batch
 * @ctx: the context that owns their maps
 * @batch: the batch, with its commands' uapi filled in
 *
 * Its member done tells when all of them are complete; the commands hold the
 * batch until then.
 */
void nvdm_batch_submit(struct nvdm_context *ctx, struct nvdm_batch *batch)
{
	u64 sources = 0;
	struct nvdm_submitter sub = {
		.ctx = ctx,
		.sources = &sources,
		.state = TASK_KILLABLE,
		.patience = MAX_SCHEDULE_TIMEOUT,
		.deadline = KTIME_MAX,
	};
	struct nvdm_command *next = batch->commands;
	u32 left = batch->count, count;
	struct blk_plug plug;

	refcount_inc(&batch->refs);
	atomic_set(&batch->pending, batch->count + 1);

	blk_start_plug(&plug);
	for (; left && !fatal_signal_pending(current); left -= count) {
		count = min(left, COMMAND_PLUG);
		plug.nr_ios = count;
		nvdm_command_submit(&sub, &next, count);
	}
	for (; left; left--)
		nvdm_command_refuse(next++, -EINTR, NVME_DMABUF_REASON_NONE);
	blk_finish_plug(&plug);

	nvdm_batch_complete_one(batch);
}
