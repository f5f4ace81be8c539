// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands: checked against their map and namespace, split into what the drive
 * takes at once, handed to the stock driver, and completed. Nothing is mapped
 * or allocated per command. Must not know dma-bufs or user memory.
 */
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

/* Requests that the block layer allocates and hands over at once. */
#define BATCH_PLUG 32U

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

/* A part of a command has ended, or the issuing of all of them. */
static void nvdm_command_put_part(struct nvdm_command *cmd)
{
	if (atomic_dec_and_test(&cmd->parts))
		nvdm_batch_complete_one(cmd->batch);
}

/* Parts may fail in any order: what counts is the first in order of blocks. */
static void nvdm_command_fail(struct nvdm_command *cmd, u64 at, int error, u16 status, u32 reason)
{
	unsigned long flags;

	spin_lock_irqsave(&cmd->batch->lock, flags);
	if (at < cmd->failed_at) {
		WRITE_ONCE(cmd->failed_at, at);
		cmd->error = error;
		cmd->status = status;
		cmd->reason = reason;
		WRITE_ONCE(cmd->batch->error, error ?: -EIO);
	}
	spin_unlock_irqrestore(&cmd->batch->lock, flags);
}

/* A part that the drive did not complete, or not well. */
static void nvdm_command_fail_part(struct nvdm_command *cmd, struct request *rq,
				   blk_status_t blk_status, const struct nvdm_stock_result *result)
{
	const struct nvdm_map *map = cmd->map;
	u32 reason = NVME_DMABUF_REASON_NONE;
	u64 block = 0;
	int error = 0;

	if (cmd->uapi.opcode != NVME_DMABUF_OP_FLUSH)
		block = nvdm_stock_request_slba(rq) - map->ns.start - cmd->uapi.slba;

	if (result->cancelled) {
		reason = NVME_DMABUF_REASON_CANCELLED;
		error = -EIO;
	} else if (!result->status) {
		error = blk_status_to_errno(blk_status);
	}
	if (error && (READ_ONCE(map->state) == NVME_DMABUF_STATE_GONE || blk_queue_dying(rq->q))) {
		reason = NVME_DMABUF_REASON_GONE;
		error = -ENODEV;
	}
	nvdm_command_fail(cmd, block << map->ns.block_shift, error, result->status, reason);
}

static void nvdm_command_end_part(struct nvdm_command *cmd, struct request *rq,
				  blk_status_t blk_status)
{
	struct nvdm_stock_result result = nvdm_stock_request_result(rq);
	struct nvdm_map *map = cmd->map;

	if (unlikely(result.status || blk_status))
		nvdm_command_fail_part(cmd, rq, blk_status, &result);
	WRITE_ONCE(cmd->result, result.result);
	nvdm_command_put_part(cmd);
	/* Last: whoever waits for it may free the map and unload this module. */
	percpu_ref_put(&map->inflight);
}

static enum rq_end_io_ret nvdm_command_end_io(RQ_END_IO_ARGS(rq, blk_status))
{
	nvdm_command_end_part(rq->end_io_data, rq, blk_status);
	return RQ_END_IO_FREE;
}

static enum rq_end_io_ret nvdm_command_end_io_aligned(RQ_END_IO_ARGS(rq, blk_status))
{
	struct nvdm_aligned_list *list = rq->end_io_data;
	struct nvdm_command *cmd = list->cmd;

	nvdm_aligned_list_destroy(list);
	nvdm_command_end_part(cmd, rq, blk_status);
	return RQ_END_IO_FREE;
}

static int nvdm_command_refuse(struct nvdm_command *cmd, int error, u32 reason)
{
	cmd->failed_at = 0;
	cmd->error = error;
	cmd->reason = reason;
	WRITE_ONCE(cmd->batch->error, error);
	return error;
}

static int nvdm_command_check_reserved(struct nvdm_command *cmd)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;

	if (uapi->reserved || uapi->reserved1 || uapi->reserved2[0] || uapi->reserved2[1] ||
	    uapi->flags & ~(NVME_DMABUF_CMD_FUA | NVME_DMABUF_CMD_LIMITED_RETRY))
		return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_RESERVED);
	if (uapi->timeout_ms && (uapi->timeout_ms < COMMAND_MIN_TIMEOUT_MS ||
				 uapi->timeout_ms > COMMAND_MAX_TIMEOUT_MS))
		return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_TIMEOUT);
	return 0;
}

static int nvdm_command_check_range(struct nvdm_command *cmd)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;
	const struct nvdm_map *map = cmd->map;
	u64 capacity, end;

	if (!uapi->length)
		return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH);
	if (uapi->length & ((1U << map->ns.block_shift) - 1))
		return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE);
	if (uapi->offset & 3)
		return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN);

	if (check_add_overflow(uapi->offset, uapi->length, &end))
		return nvdm_command_refuse(cmd, -EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP);
	if (end > map->length)
		return nvdm_command_refuse(cmd, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP);

	if (check_add_overflow(uapi->slba, uapi->length >> map->ns.block_shift, &end))
		return nvdm_command_refuse(cmd, -EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	capacity = nvdm_namespace_capacity(&map->ns);
	if (!capacity)
		return nvdm_namespace_is_gone(&map->ns) ?
			       nvdm_command_refuse(cmd, -ENODEV, NVME_DMABUF_REASON_GONE) :
			       nvdm_command_refuse(cmd, -ESTALE, NVME_DMABUF_REASON_FORMAT_CHANGED);
	if (end > capacity)
		return nvdm_command_refuse(cmd, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	return 0;
}

static int nvdm_command_check_access(struct nvdm_command *cmd, u32 access)
{
	u32 reason;

	if (!(cmd->map->access & access))
		return nvdm_command_refuse(cmd, -EACCES, NVME_DMABUF_REASON_MAP_ACCESS);
	/* A device may have become read-only since it was attached. */
	if (access == NVME_DMABUF_ACCESS_WRITE &&
	    nvdm_namespace_access(&cmd->map->ns, access, &reason))
		return nvdm_command_refuse(cmd, -EACCES, reason);
	return 0;
}

/* Only opcodes whose data length is known are let through. */
static int nvdm_command_check_opcode(struct nvdm_command *cmd)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;

	switch (uapi->opcode) {
	case NVME_DMABUF_OP_READ:
		return nvdm_command_check_access(cmd, NVME_DMABUF_ACCESS_READ) ?:
			       nvdm_command_check_range(cmd);
	case NVME_DMABUF_OP_WRITE:
		return nvdm_command_check_access(cmd, NVME_DMABUF_ACCESS_WRITE) ?:
			       nvdm_command_check_range(cmd);
	case NVME_DMABUF_OP_FLUSH:
		if (uapi->slba || uapi->offset || uapi->length || uapi->flags)
			return nvdm_command_refuse(cmd, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
		return nvdm_command_check_access(cmd, NVME_DMABUF_ACCESS_WRITE);
	default:
		return nvdm_command_refuse(cmd, -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE);
	}
}

static int nvdm_command_refresh(struct nvdm_map *map, u32 *reason)
{
	return nvdm_map_refresh(map, false, NULL, reason);
}

/*
 * Before the next part, its map must be seen to. That waits for others: what was
 * issued must be on its way by then.
 */
static int nvdm_command_see_to_map(struct nvdm_command *cmd,
				   int (*see_to)(struct nvdm_map *map, u32 *reason), u32 *reason)
{
	struct blk_plug *plug = cmd->batch->plug;
	int ret;

	blk_finish_plug(plug);
	ret = see_to(cmd->map, reason);
	blk_start_plug(plug);
	return ret;
}

/*
 * Takes an inflight reference, with which nothing in the map changes, or says
 * why there is none.
 */
static int nvdm_command_get_map(struct nvdm_command *cmd, u32 *reason)
{
	struct nvdm_map *map = cmd->map;
	int ret;

	while (unlikely(!percpu_ref_tryget_live(&map->inflight))) {
		/* The state was set before the reference was killed. */
		smp_rmb();
		ret = nvdm_map_stopped(map, reason);
		if (ret == -ESTALE && map->flags & NVME_DMABUF_ATTACH_AUTO_REFRESH)
			ret = nvdm_command_see_to_map(cmd, nvdm_command_refresh, reason);
		/* A buffer that moves all the time keeps nobody alive. */
		if (!ret && fatal_signal_pending(current)) {
			*reason = NVME_DMABUF_REASON_NONE;
			ret = -EINTR;
		}
		if (ret)
			return ret;
	}
	/* Pairs with percpu_ref_reinit(): what was changed before is seen. */
	smp_acquire__after_ctrl_dep();
	return 0;
}

/*
 * Checks a command against its map as it is now. Whether that still counts when
 * a part is issued, see nvdm_command_start_part().
 */
static int nvdm_command_check(struct nvdm_command *cmd, struct nvdm_stock_io *io, u32 *max)
{
	const struct nvdm_namespace *ns = &cmd->map->ns;
	u32 reason = NVME_DMABUF_REASON_NONE;
	int ret;

	ret = nvdm_command_get_map(cmd, &reason);
	if (ret)
		return nvdm_command_refuse(cmd, ret, reason);
	ret = nvdm_command_check_opcode(cmd);
	cmd->block_shift = ns->block_shift;
	io->slba = ns->start + cmd->uapi.slba;
	*max = ns->max_command;
	percpu_ref_put(&cmd->map->inflight);
	return ret;
}

/* The map stays a map inside the context's SRCU, though it may be stopped. */
static int nvdm_command_find_map(struct nvdm_command *cmd, struct nvdm_context *ctx)
{
	cmd->map = nvdm_context_map(ctx, cmd->uapi.map);
	return cmd->map ? 0 : nvdm_command_refuse(cmd, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
}

/* The drive wants lists at addresses that this transfer's list does not have. */
static bool nvdm_command_misaligns_list(const struct nvdm_map *map, const struct nvdm_stock_io *io)
{
	u32 pages_end = (io->prp1 & PRP_PAGE_MASK) + io->length;

	return !io->sgl && pages_end > 2 * PRP_PAGE_SIZE && io->prp2 & (map->list_align - 1);
}

/*
 * With an inflight reference, which lasts until the part has ended. Nothing
 * here may sleep for long: an exporter may be waiting for that reference.
 */
static int nvdm_command_start_part(struct nvdm_command *cmd, struct request *rq,
				   struct nvdm_stock_io *io, u64 pos)
{
	const struct nvdm_map *map = cmd->map;
	u64 offset = cmd->uapi.offset + pos;
	struct nvdm_aligned_list *list;
	int ret;

	/* Formatted, and refreshed, after the command was checked. */
	if (unlikely(cmd->block_shift != map->ns.block_shift)) {
		blk_mq_free_request(rq);
		return -ESTALE;
	}
	if (io->opcode == NVME_DMABUF_OP_FLUSH)
		return nvdm_stock_request_submit(&map->ns, rq, io, nvdm_command_end_io, cmd);

	io->sgl = map->sgl;
	if (io->sgl)
		io->prp1 = map->contiguous + offset;
	else
		prp_list_window(&map->list, offset, io->length, &io->prp1, &io->prp2);

	if (likely(!nvdm_command_misaligns_list(map, io)))
		return nvdm_stock_request_submit(&map->ns, rq, io, nvdm_command_end_io, cmd);

	list = nvdm_aligned_list_create(cmd, offset, io);
	if (!list) {
		blk_mq_free_request(rq);
		return -ENOMEM;
	}
	ret = nvdm_stock_request_submit(&map->ns, rq, io, nvdm_command_end_io_aligned, list);
	if (ret)
		nvdm_aligned_list_destroy(list);
	return ret;
}

/* No error number: those may be an exporter's. */
#define PART_AGAIN 1

static int nvdm_command_submit_part(struct nvdm_command *cmd, struct nvdm_stock_io *io, u64 pos,
				    u32 *reason)
{
	struct nvdm_map *map = cmd->map;
	struct request *rq;
	int ret;

	*reason = NVME_DMABUF_REASON_GONE;
	rq = nvdm_stock_request_alloc(&map->ns, io->opcode);
	if (IS_ERR(rq))
		return PTR_ERR(rq);

	if (unlikely(nvdm_namespace_is_unverified(&map->ns))) {
		/* The request is waited for by who wants to freeze the queue again. */
		blk_mq_free_request(rq);
		return nvdm_command_see_to_map(cmd, nvdm_map_verify, reason) ?: PART_AGAIN;
	}
	if (unlikely(!percpu_ref_tryget_live(&map->inflight))) {
		/* Not while holding what others may wait for. */
		blk_mq_free_request(rq);
		ret = nvdm_command_get_map(cmd, reason);
		if (ret)
			return ret;
		percpu_ref_put(&map->inflight);
		return PART_AGAIN;
	}
	smp_acquire__after_ctrl_dep();

	atomic_inc(&cmd->parts);
	ret = nvdm_command_start_part(cmd, rq, io, pos);
	if (ret) {
		*reason = ret == -ESTALE ? NVME_DMABUF_REASON_FORMAT_CHANGED :
			  ret == -ENODEV ? NVME_DMABUF_REASON_GONE :
					   NVME_DMABUF_REASON_NONE;
		percpu_ref_put(&map->inflight);
		atomic_dec(&cmd->parts);
	}
	return ret;
}

/* Submits the parts of a command that was checked, until one fails. */
static void nvdm_command_submit_parts(struct nvdm_command *cmd, struct nvdm_stock_io *io, u32 max)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;
	u32 reason = NVME_DMABUF_REASON_NONE;
	u64 pos = 0;
	int ret;

	io->control = (uapi->flags & NVME_DMABUF_CMD_FUA ? NVME_RW_FUA : 0) |
		      (uapi->flags & NVME_DMABUF_CMD_LIMITED_RETRY ? NVME_RW_LR : 0);
	io->timeout = msecs_to_jiffies(uapi->timeout_ms);

	do {
		io->length = min_t(u64, uapi->length - pos, max);
		do {
			ret = pos && fatal_signal_pending(current) ?
				      -EINTR :
				      nvdm_command_submit_part(cmd, io, pos, &reason);
		} while (ret == PART_AGAIN && !fatal_signal_pending(current));
		if (ret == PART_AGAIN)
			ret = -EINTR;
		if (ret == -EINTR)
			reason = NVME_DMABUF_REASON_NONE;
		if (ret)
			nvdm_command_fail(cmd, pos, ret, 0, reason);
		pos += io->length;
		io->slba += io->length >> cmd->block_shift;
		cond_resched();
	} while (pos < uapi->length && READ_ONCE(cmd->failed_at) == U64_MAX);
}

static void nvdm_command_submit(struct nvdm_context *ctx, struct nvdm_command *cmd)
{
	struct nvdm_stock_io io = { .opcode = cmd->uapi.opcode };
	u32 max;

	if (!nvdm_command_check_reserved(cmd) && !nvdm_command_find_map(cmd, ctx) &&
	    !nvdm_command_check(cmd, &io, &max))
		nvdm_command_submit_parts(cmd, &io, max);
	nvdm_command_put_part(cmd);
}

/**
 * nvdm_command_describe - the completion that the caller gets
 * @cmd: a command that is complete
 * @cpl: the completion
 */
void nvdm_command_describe(const struct nvdm_command *cmd, struct nvme_dmabuf_completion *cpl)
{
	*cpl = (struct nvme_dmabuf_completion){
		.user_data = cmd->uapi.user_data,
		.result = cmd->result,
		.bytes = min(cmd->failed_at, cmd->uapi.length),
		.error = cmd->error,
		.status = cmd->status,
		.reason = cmd->reason,
	};
}

/**
 * nvdm_batch_create - memory for a submission
 * @count: number of commands, whose uapi the caller fills in
 *
 * Return: the batch, to be released by nvdm_batch_put(), or NULL.
 */
struct nvdm_batch *nvdm_batch_create(u32 count)
{
	struct nvdm_batch *batch =
		kvzalloc(struct_size(batch, commands, count), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!batch)
		return NULL;
	refcount_set(&batch->refs, 1);
	init_completion(&batch->done);
	spin_lock_init(&batch->lock);
	batch->count = count;
	for (i = 0; i < count; i++)
		batch->commands[i].batch = batch;
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
	struct blk_plug plug;
	int srcu;
	u32 i;

	refcount_inc(&batch->refs);
	atomic_set(&batch->pending, batch->count + 1);

	batch->plug = &plug;
	srcu = srcu_read_lock(&ctx->srcu);
	blk_start_plug(&plug);
	for (i = 0; i < batch->count; i++) {
		struct nvdm_command *cmd = &batch->commands[i];

		if (i % BATCH_PLUG == 0)
			plug.nr_ios = min(batch->count - i, BATCH_PLUG);
		cmd->failed_at = U64_MAX;
		atomic_set(&cmd->parts, 1);
		if (fatal_signal_pending(current)) {
			nvdm_command_refuse(cmd, -EINTR, NVME_DMABUF_REASON_NONE);
			nvdm_command_put_part(cmd);
		} else {
			nvdm_command_submit(ctx, cmd);
		}
	}
	blk_finish_plug(&plug);
	srcu_read_unlock(&ctx->srcu, srcu);

	nvdm_batch_complete_one(batch);
}
