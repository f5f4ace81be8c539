// SPDX-License-Identifier: GPL-2.0-only
/*
 * io_uring: commands as IORING_OP_URING_CMD on /dev/nvme-dmabuf. The submission
 * queue entry is user space's memory, and is read once: a command that a worker has to
 * try again is the one that was read, for Linux 6.10 to 6.15 show the worker whatever
 * user space has put in the entry since. It is kept where io_uring keeps the rest, for the
 * worker may never come. There is also what a plain command needs until it has ended.
 * Others need a struct nvdm_command; these are kept by their context, so that none is
 * allocated as soon as there were as many before.
 */
#include <linux/slab.h>

#include "entry.h"
#include "storage/stock.h"

/* In flags of struct io_uring_cmd, of which io_uring uses other bits. */
#define URING_KEPT (1U << 29)

/**
 * struct nvdm_uring_command - a command of a context
 * @cmd: the command
 * @all: the context's next command, free or not
 */
struct nvdm_uring_command {
	struct nvdm_command cmd;
	struct nvdm_uring_command *all;
};

/**
 * struct nvdm_uring_kept - a command that was read
 * @slba: of struct nvme_dmabuf_command
 * @offset: likewise
 * @length: likewise
 * @map: likewise
 * @rest: opcode in bits 7:0, flags in 9:8, timeout_ms in 31:10
 */
struct nvdm_uring_kept {
	u64 slba;
	u64 offset;
	u64 length;
	u32 map;
	u32 rest;
};

static_assert((NVME_DMABUF_CMD_FUA | NVME_DMABUF_CMD_LIMITED_RETRY) < 1U << 2);
static_assert(COMMAND_MAX_TIMEOUT_MS < 1U << 22);

/**
 * struct nvdm_uring - what io_uring keeps for us of a command under way
 * @result: dword 0 and 1 of the big completion queue entry
 * @map: the map of a plain command
 * @sources: what to poll for its completion, as for nvdm_poll_once()
 * @length: of a plain command
 * @error: res of the completion queue entry
 * @kept: instead of these the command that was read, with URING_KEPT
 */
struct nvdm_uring {
	union {
		struct {
			union {
				u64 result;
				struct nvdm_map *map;
			};
			u64 sources;
			u32 length;
			s32 error;
		};
		struct nvdm_uring_kept kept;
	};
};

static_assert(sizeof(struct nvdm_uring) <= sizeof_field(struct io_uring_cmd, pdu));

static struct nvdm_uring *nvdm_uring_of(struct io_uring_cmd *ioucmd)
{
	return (struct nvdm_uring *)&ioucmd->pdu;
}

static struct nvdm_command *nvdm_uring_get(struct nvdm_context *ctx)
{
	struct nvdm_command *cmd;

	spin_lock_irq(&ctx->commands_lock);
	cmd = ctx->commands;
	if (cmd)
		ctx->commands = cmd->next;
	spin_unlock_irq(&ctx->commands_lock);
	return cmd;
}

static void nvdm_uring_put(struct nvdm_context *ctx, struct nvdm_command *cmd)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->commands_lock, flags);
	cmd->next = ctx->commands;
	ctx->commands = cmd;
	spin_unlock_irqrestore(&ctx->commands_lock, flags);
}

static void nvdm_uring_done(URING_TASK_ARGS)
{
	struct io_uring_cmd *ioucmd = URING_TASK_CMD;
	const struct nvdm_uring *uring = nvdm_uring_of(ioucmd);

	uring_cmd_done(ioucmd, uring->error, uring->result, URING_TASK_FLAGS);
}

/* What the completion queue entry is to say, for the command may be used again before. */
static __always_inline struct io_uring_cmd *nvdm_uring_describe(const struct nvdm_command *cmd)
{
	struct io_uring_cmd *ioucmd = cmd->owner;
	struct nvdm_uring *uring = nvdm_uring_of(ioucmd);

	uring->error = cmd->error ?: cmd->status;
	uring->result = min(cmd->failed_at, cmd->uapi.length) | (u64)cmd->reason << 48;
	return ioucmd;
}

/*
 * If the ring itself polls, its command ends here; otherwise in a task of the ring's, which
 * is the only one that may.
 */
static __always_inline void nvdm_uring_end(struct io_uring_cmd *ioucmd, void *poll_ctx)
{
	const struct nvdm_uring *uring = nvdm_uring_of(ioucmd);

	if (uring_polls_itself(ioucmd, poll_ctx))
		uring_cmd_done(ioucmd, uring->error, uring->result, 0);
	else
		uring_cmd_in_task(ioucmd, nvdm_uring_done);
}

/* Any context. */
static void nvdm_uring_complete(struct nvdm_command *cmd, void *poll_ctx)
{
	struct io_uring_cmd *ioucmd = nvdm_uring_describe(cmd);

	nvdm_uring_put(ioucmd->file->private_data, cmd);
	nvdm_uring_end(ioucmd, poll_ctx);
}

/**
 * struct nvdm_uring_poller - a ring that polls
 * @iob: gets requests that the drive has completed
 * @ring: the ring
 */
struct nvdm_uring_poller {
	struct io_comp_batch iob;
	void *ring;
};

/* Its address, as poll_ctx, says that the iob is that of a poller of ours. */
static const char uring_poll_ctx;

static noinline void nvdm_uring_fail(struct nvdm_uring *uring, struct nvdm_map *map,
				     struct request *rq)
{
	struct nvdm_command cmd;

	nvdm_plain_failed(&cmd, map, rq);
	uring->error = cmd.error ?: cmd.status;
	uring->result = (u64)cmd.reason << 48;
}

/* The map of a plain command that has not ended. */
struct nvdm_map *nvdm_uring_map(struct io_uring_cmd *ioucmd)
{
	return nvdm_uring_of(ioucmd)->map;
}

/* Of a plain command, or one that is so but for writing to a file. Any context. */
static __always_inline void nvdm_uring_end_plain(RQ_END_IO_ARGS(rq, blk_status), bool writes_file)
{
	struct io_uring_cmd *ioucmd = rq->end_io_data;
	struct nvdm_uring *uring = nvdm_uring_of(ioucmd);
	struct nvdm_map *map = uring->map;
	u64 result;

	nvdm_stock_request_ends(rq);
	if (writes_file)
		nvdm_file_end_write(map->blocks.file);
	if (likely(nvdm_stock_request_succeeded(rq, &result) && !blk_status)) {
		uring->error = 0;
		uring->result = uring->length;
	} else {
		nvdm_uring_fail(uring, map, rq);
	}
	if (likely(RQ_END_IO_POLL_CTX == &uring_poll_ctx)) {
		/* From nvdm_uring_iopoll(), which is inside RCU. */
		nvdm_uring_end(ioucmd, RQ_END_IO_POLLER(struct nvdm_uring_poller, iob)->ring);
		nvdm_ref_put_rcu(&map->inflight);
	} else {
		nvdm_uring_end(ioucmd, RQ_END_IO_POLL_CTX);
		percpu_ref_put(&map->inflight);
	}
}

enum rq_end_io_ret nvdm_uring_end_io(RQ_END_IO_ARGS(rq, blk_status))
{
	nvdm_uring_end_plain(RQ_END_IO_PASS(rq, blk_status), false);
	return RQ_END_IO_FREE;
}

enum rq_end_io_ret nvdm_uring_end_io_write(RQ_END_IO_ARGS(rq, blk_status))
{
	nvdm_uring_end_plain(RQ_END_IO_PASS(rq, blk_status), true);
	return RQ_END_IO_FREE;
}

/**
 * nvdm_uring_give_up - end a plain command whose request is not its own any more
 * @ioucmd: the command
 * @error: negative error number
 * @reason: NVME_DMABUF_REASON_*
 */
void nvdm_uring_give_up(struct io_uring_cmd *ioucmd, int error, u32 reason)
{
	struct nvdm_uring *uring = nvdm_uring_of(ioucmd);

	uring->error = error;
	uring->result = (u64)reason << 48;
	nvdm_uring_end(ioucmd, NULL);
}

static struct nvdm_command *nvdm_uring_alloc(struct nvdm_context *ctx)
{
	struct nvdm_uring_command *new = kmalloc(sizeof(*new), NVDM_GFP);

	if (!new)
		return NULL;
	nvdm_command_init(&new->cmd, nvdm_uring_complete, NULL, NULL);
	spin_lock_irq(&ctx->commands_lock);
	new->all = ctx->all_commands;
	ctx->all_commands = new;
	spin_unlock_irq(&ctx->commands_lock);
	return &new->cmd;
}

/**
 * nvdm_uring_free - free all commands of a context that nobody uses any more
 * @ctx: the context
 */
void nvdm_uring_free(struct nvdm_context *ctx)
{
	struct nvdm_uring_command *command;

	while ((command = ctx->all_commands)) {
		ctx->all_commands = command->all;
		kfree(command);
	}
}

/* A command that has to wait: so all of it but its map and its range was checked. */
static void nvdm_uring_keep(struct io_uring_cmd *ioucmd, const struct nvme_dmabuf_command *uapi)
{
	nvdm_uring_of(ioucmd)->kept = (struct nvdm_uring_kept){
		.slba = uapi->slba,
		.offset = uapi->offset,
		.length = uapi->length,
		.map = uapi->map,
		.rest = uapi->opcode | uapi->flags << 8 | uapi->timeout_ms << 10,
	};
	ioucmd->flags |= URING_KEPT;
}

static noinline void nvdm_uring_recall(struct io_uring_cmd *ioucmd,
				       struct nvme_dmabuf_command *uapi)
{
	const struct nvdm_uring_kept *kept = &nvdm_uring_of(ioucmd)->kept;

	*uapi = (struct nvme_dmabuf_command){
		.slba = kept->slba,
		.offset = kept->offset,
		.length = kept->length,
		.map = kept->map,
		.opcode = kept->rest & 0xff,
		.flags = kept->rest >> 8 & 3,
		.timeout_ms = kept->rest >> 10,
	};
	ioucmd->flags &= ~URING_KEPT;
}

/*
 * With a struct nvdm_command, whatever it is, and whatever has to be waited for. Only here is
 * said how, for most commands do not come here.
 */
static noinline int nvdm_uring_submit_any(struct nvdm_submitter *sub, struct io_uring_cmd *ioucmd,
					  const struct nvme_dmabuf_command *uapi,
					  unsigned int issue_flags)
{
	struct nvdm_command *cmd = nvdm_uring_get(sub->ctx);

	sub->nowait = sub->nonblock = issue_flags & IO_URING_F_NONBLOCK;
	sub->state = TASK_KILLABLE;
	sub->patience = MAX_SCHEDULE_TIMEOUT;
	sub->deadline = KTIME_MAX;
	if (unlikely(!cmd))
		cmd = nvdm_uring_alloc(sub->ctx);
	if (!cmd)
		return -ENOMEM;
	cmd->owner = ioucmd;
	cmd->uapi = *uapi;
	if (nvdm_command_submit(sub, &cmd, 1))
		return -EIOCBQUEUED;
	nvdm_uring_keep(ioucmd, &cmd->uapi);
	nvdm_uring_put(sub->ctx, cmd);
	return -EAGAIN;
}

/* A command that was kept: it has waited once, so that it is probably not plain. */
static noinline int nvdm_uring_submit_again(struct nvdm_submitter *sub, struct io_uring_cmd *ioucmd,
					    unsigned int issue_flags)
{
	struct nvme_dmabuf_command uapi;

	nvdm_uring_recall(ioucmd, &uapi);
	nvdm_uring_of(ioucmd)->sources = 0;
	return nvdm_uring_submit_any(sub, ioucmd, &uapi, issue_flags);
}

static __always_inline int nvdm_uring_submit(struct nvdm_submitter *sub,
					     struct io_uring_cmd *ioucmd, unsigned int issue_flags)
{
	struct nvdm_uring *uring = nvdm_uring_of(ioucmd);
	/* User space's memory: each word is read once. */
	struct nvme_dmabuf_command uapi =
		*(const struct nvme_dmabuf_command *)uring_payload(ioucmd);

	barrier_data(&uapi);
	uring->sources = 0;
	uring->length = uapi.length;
	if (likely(nvdm_plain_submit(sub, &uapi, &uring->map, ioucmd)))
		return -EIOCBQUEUED;
	return nvdm_uring_submit_any(sub, ioucmd, &uapi, issue_flags);
}

/**
 * nvdm_uring_cmd - submit a command
 * @ioucmd: io_uring's
 * @issue_flags: io_uring's
 *
 * Return: -EIOCBQUEUED if it will be completed, or was; -EAGAIN if it would have to
 * wait and may not, and a worker of io_uring's is to try again; -EINVAL, -ENOTTY or
 * -ENOMEM.
 */
int nvdm_uring_cmd(struct io_uring_cmd *ioucmd, unsigned int issue_flags)
{
	struct nvdm_submitter sub __uninitialized;
	u64 sources = 0;
	int ret;

	if (ioucmd->cmd_op != NVME_DMABUF_URING_CMD)
		return -ENOTTY;
	if (!(issue_flags & IO_URING_F_SQE128) || ioucmd->flags & IORING_URING_CMD_MASK)
		return -EINVAL;
	sub.ctx = ioucmd->file->private_data;
	sub.hctx = NULL;
	sub.sources = &sources;
	sub.opf = issue_flags & IO_URING_F_IOPOLL ? REQ_POLLED : 0;
	ret = unlikely(ioucmd->flags & URING_KEPT) ?
		      nvdm_uring_submit_again(&sub, ioucmd, issue_flags) :
		      nvdm_uring_submit(&sub, ioucmd, issue_flags);
	/* Not before we return does a ring that polls let it go, or look at it. */
	if (ret == -EIOCBQUEUED && sub.opf)
		nvdm_uring_of(ioucmd)->sources = sources;
	return ret;
}

/**
 * nvdm_uring_iopoll - look for a command's completion
 * @ioucmd: io_uring's
 * @iob: tells the ring, or gets requests that the caller will complete
 * @poll_flags: io_uring's
 *
 * Return: whether there were any, perhaps of others.
 */
int nvdm_uring_iopoll(struct io_uring_cmd *ioucmd, struct io_comp_batch *iob,
		      unsigned int poll_flags)
{
	struct nvdm_context *ctx = ioucmd->file->private_data;
	u64 sources = nvdm_uring_of(ioucmd)->sources;
	struct nvdm_uring_poller poller = { .ring = io_comp_batch_poll_ctx(iob) };
	bool found;

	rcu_read_lock();
	if (likely(poller.ring)) {
		io_comp_batch_set_poll_ctx(&poller.iob, (void *)&uring_poll_ctx);
		found = nvdm_poll_once(&ctx->poll, sources, &poller.iob);
		if (poller.iob.complete)
			poller.iob.complete(&poller.iob);
	} else {
		found = nvdm_poll_once(&ctx->poll, sources, iob);
	}
	rcu_read_unlock();
	return found;
}
