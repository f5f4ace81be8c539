// SPDX-License-Identifier: GPL-2.0-only
/*
 * io_uring: commands as IORING_OP_URING_CMD on /dev/nvme-dmabuf. The submission
 * queue entry is user space's memory, and is read once: a command that a worker has to
 * try again is the one that was read, for Linux 6.10 to 6.15 show the worker whatever
 * user space has put in the entry since. It is kept where io_uring keeps the rest, for the
 * worker may never come. Commands are kept by their context, so that none is allocated as
 * soon as there were as many before.
 */
#include <linux/slab.h>

#include "internal.h"

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
 * @sources: what to poll for its completion, as for nvdm_poll_once()
 * @error: res of the completion queue entry
 * @kept: instead of these the command that was read, with URING_KEPT
 */
struct nvdm_uring {
	union {
		struct {
			u64 result;
			u64 sources;
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

/* Ends what the poller has found, whose ring has the file open. */
static void nvdm_uring_finish(struct nvdm_context *ctx, void *poll_ctx)
{
	struct nvdm_command *cmd, *last = NULL;
	u32 refs = 0;

	/* There is one at least. */
	for (cmd = ctx->ended.last; cmd; cmd = cmd->next) {
		nvdm_uring_end(nvdm_uring_describe(cmd), poll_ctx);
		nvdm_ended_put(cmd, &refs);
		last = cmd;
	}
	spin_lock_irq(&ctx->commands_lock);
	last->next = ctx->commands;
	ctx->commands = ctx->ended.last;
	spin_unlock_irq(&ctx->commands_lock);
}

static struct nvdm_command *nvdm_uring_alloc(struct nvdm_context *ctx)
{
	struct nvdm_uring_command *new = kmalloc(sizeof(*new), NVDM_GFP);

	if (!new)
		return NULL;
	nvdm_command_init(&new->cmd, nvdm_uring_complete, &ctx->ended, NULL);
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

static struct nvdm_command *nvdm_uring_prepare(struct nvdm_context *ctx,
					       struct io_uring_cmd *ioucmd)
{
	struct nvdm_command *cmd = nvdm_uring_get(ctx);

	if (unlikely(!cmd))
		cmd = nvdm_uring_alloc(ctx);
	if (!cmd)
		return NULL;
	cmd->owner = ioucmd;
	if (unlikely(ioucmd->flags & URING_KEPT))
		nvdm_uring_recall(ioucmd, &cmd->uapi);
	else
		memcpy(&cmd->uapi, uring_payload(ioucmd), sizeof(cmd->uapi));
	return cmd;
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
	struct nvdm_context *ctx = ioucmd->file->private_data;
	struct nvdm_uring *uring = nvdm_uring_of(ioucmd);
	bool nonblock = issue_flags & IO_URING_F_NONBLOCK;
	u64 sources = 0;
	struct nvdm_submitter sub = {
		.ctx = ctx,
		.sources = &sources,
		.opf = issue_flags & IO_URING_F_IOPOLL ? REQ_POLLED : 0,
		.nowait = nonblock,
		.nonblock = nonblock,
		.state = TASK_KILLABLE,
		.patience = MAX_SCHEDULE_TIMEOUT,
	};
	struct nvdm_command *cmd;
	bool submitted;

	if (ioucmd->cmd_op != NVME_DMABUF_URING_CMD)
		return -ENOTTY;
	if (!(issue_flags & IO_URING_F_SQE128) || ioucmd->flags & IORING_URING_CMD_MASK)
		return -EINVAL;
	cmd = nvdm_uring_prepare(ctx, ioucmd);
	if (!cmd)
		return -ENOMEM;

	uring->sources = 0;
	submitted = nvdm_command_submit(&sub, &cmd, 1);
	if (submitted) {
		/* Not before we return does a ring that polls let it go, or look at it. */
		if (sub.opf)
			uring->sources = sources;
		return -EIOCBQUEUED;
	}
	nvdm_uring_keep(ioucmd, &cmd->uapi);
	nvdm_uring_put(ctx, cmd);
	return -EAGAIN;
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
	bool found;

	if (!io_comp_batch_poll_ctx(iob) || !nvdm_ended_take(&ctx->ended))
		return nvdm_poll_once(&ctx->poll, sources, iob);
	found = nvdm_poll_mask(&ctx->poll, sources, &ctx->ended);
	if (ctx->ended.last)
		nvdm_uring_finish(ctx, io_comp_batch_poll_ctx(iob));
	nvdm_ended_leave(&ctx->ended);
	return found;
}
