/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands, from their submission to their end.
 */
#ifndef NVME_DMABUF_COMMAND_H
#define NVME_DMABUF_COMMAND_H

#include "context.h"

struct dma_fence;

/**
 * struct nvdm_ended - plain commands that the drive has completed, and of which their
 *	poller will tell
 * @taken: bit 0: a poller protects the members below
 * @last: the last one; in its next the one before
 * @count: how many
 */
struct nvdm_ended {
	unsigned long taken;
	struct nvdm_command *last;
	u32 count;
};

/* Nobody waits for it: who does not get it polls without. */
static inline bool nvdm_ended_take(struct nvdm_ended *ended)
{
	return !test_and_set_bit_lock(0, &ended->taken);
}

static inline void nvdm_ended_leave(struct nvdm_ended *ended)
{
	ended->last = NULL;
	ended->count = 0;
	clear_bit_unlock(0, &ended->taken);
}

/**
 * struct nvdm_command - an NVMe Read, Write or Flush
 * @map: its map, which parts in flight hold
 * @complete: called once, when all of it has ended, in any context; the command
 *	is its owner's again. With iob->poll_ctx of who polls, or NULL.
 * @ended: instead of calling @complete it is added here, with its inflight reference, if
 *	this is the poll_ctx, the command plain, and the drive has completed it
 * @owner: for @complete
 * @uapi: what the caller asked for
 * @parts: NVMe commands not finished, plus one while they are being issued. Like all of the
 *	outcome but @result it is not kept for a plain command, unless something is wrong.
 * @block_shift: log2 of the block size by which it was checked
 * @moves: of the map, likewise
 * @failed_at: offset of the first part that failed, or U64_MAX
 * @result: dwords 0 and 1 of the completion queue entry
 * @error: negative error number
 * @status: NVMe status
 * @reason: NVME_DMABUF_REASON_*
 * @lock: for the outcome, when parts fail
 * @next: in a list of commands that are free, or about to be submitted, or have ended
 * @fence: for @complete, if that tells a fence as well
 */
struct nvdm_command {
	struct nvdm_map *map;
	void (*complete)(struct nvdm_command *cmd, void *poll_ctx);
	struct nvdm_ended *ended;
	void *owner;
	struct nvme_dmabuf_command uapi;
	atomic_t parts;
	u32 block_shift;
	u64 moves;
	u64 failed_at;
	u64 result;
	s32 error;
	u16 status;
	u16 reason;
	spinlock_t lock;
	struct nvdm_command *next;
	struct dma_fence *fence;
};

/**
 * struct nvdm_submitter - who submits commands, and how
 * @ctx: the context that owns their maps
 * @hctx: the hardware queue to which the last one went, of which @sources has the bit
 * @sources: where to add what to poll for the commands, as for nvdm_poll_mask()
 * @opf: REQ_POLLED if they go to polled queues, or 0, as once a drive turns out to have none.
 *	Plain commands need no more than these four
 * @srcu: of @ctx, while maps of it are used
 * @nowait: do not wait for requests
 * @nonblock: do not wait for anything
 * @state: TASK_KILLABLE or _INTERRUPTIBLE: how to wait for a command's first request
 * @patience: and how long, in jiffies, or MAX_SCHEDULE_TIMEOUT
 * @deadline: and until when, or KTIME_MAX
 */
struct nvdm_submitter {
	struct nvdm_context *ctx;
	struct blk_mq_hw_ctx *hctx;
	u64 *sources;
	blk_opf_t opf;
	int srcu;
	bool nowait;
	bool nonblock;
	unsigned int state;
	long patience;
	ktime_t deadline;
};

/* Of a command that has ended, as a fence tells it: 0 if it succeeded. */
static inline int nvdm_command_error(const struct nvdm_command *cmd)
{
	return cmd->failed_at == U64_MAX ? 0 : cmd->error ?: -EIO;
}

void nvdm_command_recognise(struct nvdm_map *map, u32 id);
void nvdm_command_init(struct nvdm_command *cmd,
		       void (*complete)(struct nvdm_command *cmd, void *poll_ctx),
		       struct nvdm_ended *ended, void *owner);
u32 nvdm_command_submit(struct nvdm_submitter *sub, struct nvdm_command **list, u32 count);
void nvdm_command_refuse(struct nvdm_command *cmd, int error, u32 reason);
bool nvdm_plain_submit(struct nvdm_submitter *sub, const struct nvme_dmabuf_command *uapi,
		       struct nvdm_map **map, void *data);
void nvdm_plain_failed(struct nvdm_command *cmd, struct nvdm_map *map, struct request *rq);

/* command_end.c */

/**
 * struct nvdm_parked - which commands that the driver keeps from the drive
 * @map: of this map, or NULL
 * @owner: of this owner, or NULL
 * @late: only those that were kept for longer than the drive might take
 */
struct nvdm_parked {
	const struct nvdm_map *map;
	const void *owner;
	bool late;
};

/* All of a command's outcome, before there is any. */
static __always_inline void nvdm_command_start(struct nvdm_command *cmd)
{
	atomic_set(&cmd->parts, 1);
	cmd->failed_at = U64_MAX;
	cmd->error = 0;
	cmd->status = 0;
	cmd->reason = NVME_DMABUF_REASON_NONE;
}

/* While it may have parts in flight: such a command began a write to its file for each. */
static inline bool nvdm_command_writes_file(const struct nvdm_command *cmd)
{
	return cmd->uapi.opcode == NVME_DMABUF_OP_WRITE && nvdm_map_is_of_file(cmd->map);
}

/* Of a part that was not plain, and has ended or was not issued. */
static inline void nvdm_command_end_write(const struct nvdm_command *cmd)
{
	if (nvdm_command_writes_file(cmd))
		nvdm_file_end_write(cmd->map->blocks.file);
}

enum rq_end_io_ret nvdm_command_end_io(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_command_end_io_plain(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_command_end_io_plain_write(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_command_end_io_aligned(RQ_END_IO_ARGS(rq, blk_status));
void nvdm_command_fail(struct nvdm_command *cmd, u64 at, int error, u16 status, u32 reason);
void nvdm_command_end_parked(const struct nvdm_namespace *ns, const struct nvdm_parked *which);
void nvdm_command_end_late(const struct nvdm_namespace *ns);

/**
 * nvdm_command_describe - the completion that the caller gets
 * @cmd: a command that is complete
 * @cpl: the completion
 */
static inline void nvdm_command_describe(const struct nvdm_command *cmd,
					 struct nvme_dmabuf_completion *cpl)
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

#endif
