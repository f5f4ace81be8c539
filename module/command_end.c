// SPDX-License-Identifier: GPL-2.0-only
/*
 * How commands end: when the drive or the nvme driver has ended their requests, or when the
 * driver keeps these from the drive for too long. Any context, and nothing is allocated.
 * Must not know dma-bufs, user memory, or who submits.
 */
#include "entry.h"
#include "storage/stock.h"

/**
 * nvdm_command_fail - a part of a command has failed
 * @cmd: the command
 * @at: offset of the part in the command's data
 * @error: negative error number, or 0
 * @status: NVMe status
 * @reason: NVME_DMABUF_REASON_*
 *
 * Parts may fail in any order: what counts is the first in order of blocks.
 */
void nvdm_command_fail(struct nvdm_command *cmd, u64 at, int error, u16 status, u32 reason)
{
	unsigned long flags;

	spin_lock_irqsave(&cmd->lock, flags);
	if (at < cmd->failed_at) {
		WRITE_ONCE(cmd->failed_at, at);
		cmd->error = error;
		cmd->status = status;
		cmd->reason = reason;
	}
	spin_unlock_irqrestore(&cmd->lock, flags);
}

/* Where in the command's data its part begins that this request is. */
static u64 nvdm_command_part_at(const struct nvdm_command *cmd, struct request *rq)
{
	const struct nvdm_map *map = cmd->map;
	u64 lba = nvdm_stock_request_slba(rq);

	if (cmd->uapi.opcode == NVME_DMABUF_OP_FLUSH)
		return 0;
	if (nvdm_map_is_of_file(map))
		lba = extents_block_at(&map->blocks.file->extents, cmd->uapi.slba,
				       cmd->uapi.length >> map->ns.block_shift, lba);
	else
		lba -= map->ns.start;
	return (lba - cmd->uapi.slba) << map->ns.block_shift;
}

/* A part that the drive did not complete, or not well. */
static noinline void nvdm_command_fail_part(struct nvdm_command *cmd, struct request *rq, u64 at)
{
	const struct nvdm_stock_result result = nvdm_stock_request_result(rq);
	const struct nvdm_map *map = cmd->map;
	u32 reason = NVME_DMABUF_REASON_NONE;
	int error = 0;

	/* Without a status the driver or the block layer gave it up before the drive had it. */
	if (result.cancelled || !result.status) {
		reason = NVME_DMABUF_REASON_CANCELLED;
		error = -EIO;
	}
	/* Which of these is told depends on how far the namespace has gone. */
	if (result.no_namespace ||
	    (error && (READ_ONCE(map->state) == NVME_DMABUF_STATE_GONE ||
		       nvdm_namespace_is_gone(&map->ns) || blk_queue_dying(rq->q)))) {
		reason = NVME_DMABUF_REASON_GONE;
		error = -ENODEV;
	}
	nvdm_command_fail(cmd, at, error, result.status, reason);
}

/* Whoever waits for the reference may free the map and unload this module. */
static void nvdm_command_put_last(struct nvdm_command *cmd, void *poll_ctx)
{
	struct nvdm_map *map = cmd->map;

	if (atomic_dec_and_test(&cmd->parts))
		cmd->complete(cmd, poll_ctx);
	percpu_ref_put(&map->inflight);
}

static void nvdm_command_end_part(struct nvdm_command *cmd, struct request *rq,
				  blk_status_t blk_status, void *poll_ctx)
{
	u64 result;

	if (unlikely(!nvdm_stock_request_succeeded(rq, &result) || blk_status))
		nvdm_command_fail_part(cmd, rq, nvdm_command_part_at(cmd, rq));
	WRITE_ONCE(cmd->result, result);
	nvdm_command_put_last(cmd, poll_ctx);
}

enum rq_end_io_ret nvdm_command_end_io(RQ_END_IO_ARGS(rq, blk_status))
{
	nvdm_stock_request_ends(rq);
	nvdm_command_end_write(rq->end_io_data);
	nvdm_command_end_part(rq->end_io_data, rq, blk_status, RQ_END_IO_POLL_CTX);
	return RQ_END_IO_FREE;
}

/* The same of a part whose PRP list is a copy. */
enum rq_end_io_ret nvdm_command_end_io_aligned(RQ_END_IO_ARGS(rq, blk_status))
{
	struct nvdm_aligned_list *list = rq->end_io_data;
	struct nvdm_command *cmd = list->owner;

	nvdm_stock_request_ends(rq);
	nvdm_aligned_list_destroy(list);
	nvdm_command_end_write(cmd);
	nvdm_command_end_part(cmd, rq, blk_status, RQ_END_IO_POLL_CTX);
	return RQ_END_IO_FREE;
}

static noinline enum rq_end_io_ret nvdm_command_end_io_any(struct request *rq,
							   blk_status_t blk_status, void *poll_ctx)
{
	struct nvdm_command *cmd = rq->end_io_data;

	nvdm_command_start(cmd);
	nvdm_command_end_part(cmd, rq, blk_status, poll_ctx);
	return RQ_END_IO_FREE;
}

/*
 * Of a plain command, which is one part and has no outcome before. The short way is that of
 * one which its queue's own poller has found.
 */
static __always_inline enum rq_end_io_ret nvdm_command_end_plain(RQ_END_IO_ARGS(rq, blk_status),
								 bool writes_file)
{
	struct nvdm_ended *ended = RQ_END_IO_POLL_CTX;
	struct nvdm_command *cmd = rq->end_io_data;
	u64 result;

	nvdm_stock_request_ends(rq);
	if (writes_file)
		nvdm_file_end_write(cmd->map->blocks.file);
	if (!ended || ended != cmd->ended ||
	    unlikely(!nvdm_stock_request_succeeded(rq, &result) || blk_status))
		return nvdm_command_end_io_any(rq, blk_status, ended);
	cmd->result = result;
	cmd->next = ended->last;
	ended->last = cmd;
	ended->count++;
	return RQ_END_IO_FREE;
}

enum rq_end_io_ret nvdm_command_end_io_plain(RQ_END_IO_ARGS(rq, blk_status))
{
	return nvdm_command_end_plain(RQ_END_IO_PASS(rq, blk_status), false);
}

/* Likewise, of a Write to a file. */
enum rq_end_io_ret nvdm_command_end_io_plain_write(RQ_END_IO_ARGS(rq, blk_status))
{
	return nvdm_command_end_plain(RQ_END_IO_PASS(rq, blk_status), true);
}

/**
 * nvdm_plain_failed - what became of a plain command that failed
 * @cmd: memory for the outcome
 * @map: the command's map, with its inflight reference
 * @rq: its request
 */
void nvdm_plain_failed(struct nvdm_command *cmd, struct nvdm_map *map, struct request *rq)
{
	nvdm_command_init(cmd, NULL, NULL, NULL);
	nvdm_command_start(cmd);
	cmd->map = map;
	nvdm_command_fail_part(cmd, rq, 0);
}

static bool nvdm_parked_is_wanted(const struct nvdm_parked *which, struct request *rq,
				  const struct nvdm_map *map, const void *owner)
{
	return (!which->map || which->map == map) && (!which->owner || which->owner == owner) &&
	       (!which->late || nvdm_parked_is_late(rq));
}

/* What its submitter is told. */
static int nvdm_parked_error(const struct nvdm_map *map, u32 *reason)
{
	*reason = NVME_DMABUF_REASON_CANCELLED;
	return nvdm_map_stopped(map, reason) ?: -EIO;
}

static bool nvdm_command_end_if_wanted(const struct nvdm_parked *which, struct request *rq,
				       struct nvdm_command *cmd, struct nvdm_aligned_list *list,
				       bool plain)
{
	const struct nvdm_map *map = cmd->map;
	u32 reason;
	u64 at;
	int error;

	if (!nvdm_parked_is_wanted(which, rq, map, cmd->owner))
		return false;
	at = nvdm_command_part_at(cmd, rq);
	nvdm_stock_request_disown(rq, map->ns.nsid);
	if (list)
		nvdm_aligned_list_destroy(list);
	if (plain)
		nvdm_command_start(cmd);
	nvdm_command_end_write(cmd);
	error = nvdm_parked_error(map, &reason);
	WRITE_ONCE(cmd->result, 0);
	nvdm_command_fail(cmd, at, error, 0, reason);
	nvdm_command_put_last(cmd, NULL);
	return true;
}

/* Likewise, of one without a struct nvdm_command. */
static bool nvdm_uring_end_if_wanted(const struct nvdm_parked *which, struct request *rq,
				     bool writes)
{
	struct io_uring_cmd *ioucmd = rq->end_io_data;
	struct nvdm_map *map = nvdm_uring_map(ioucmd);
	u32 reason;
	int error;

	if (!nvdm_parked_is_wanted(which, rq, map, NULL))
		return false;
	nvdm_stock_request_disown(rq, map->ns.nsid);
	if (writes)
		nvdm_file_end_write(map->blocks.file);
	error = nvdm_parked_error(map, &reason);
	nvdm_uring_give_up(ioucmd, error, reason);
	percpu_ref_put(&map->inflight);
	return true;
}

/* The drive never had it, and does not get it. */
static bool nvdm_command_end_if_parked(struct request *rq, rq_end_io_fn *end_io, const void *which)
{
	struct nvdm_aligned_list *list = rq->end_io_data;

	if (end_io == nvdm_command_end_io_plain || end_io == nvdm_command_end_io_plain_write)
		return nvdm_command_end_if_wanted(which, rq, rq->end_io_data, NULL, true);
	if (end_io == nvdm_command_end_io)
		return nvdm_command_end_if_wanted(which, rq, rq->end_io_data, NULL, false);
	if (end_io == nvdm_command_end_io_aligned)
		return nvdm_command_end_if_wanted(which, rq, list->owner, list, false);
	if (end_io == nvdm_uring_end_io)
		return nvdm_uring_end_if_wanted(which, rq, false);
	if (end_io == nvdm_uring_end_io_write)
		return nvdm_uring_end_if_wanted(which, rq, true);
	return false;
}

/**
 * nvdm_command_end_parked - end commands that the nvme driver keeps from the drive
 * @ns: whose commands; of its members @disk and @ctrl the caller has references
 * @which: which of them
 *
 * They end without having touched their map's memory, and say that the map was stopped,
 * or, if it was not, that the driver gave them up. Does nothing unless the driver has
 * quiesced the queue.
 */
void nvdm_command_end_parked(const struct nvdm_namespace *ns, const struct nvdm_parked *which)
{
	nvdm_parked_find(ns, nvdm_command_end_if_parked, which);
}

/**
 * nvdm_command_end_late - end commands that were kept from the drive for too long
 * @ns: likewise
 *
 * They have no timeout, and perhaps nobody who waits for them but a fence, or an io_uring
 * that was closed.
 */
void nvdm_command_end_late(const struct nvdm_namespace *ns)
{
	const struct nvdm_parked late = { .late = true };

	nvdm_command_end_parked(ns, &late);
}
