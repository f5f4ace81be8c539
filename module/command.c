// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands, the long way: checked against their map and what it is of, with a reason for all
 * that is wrong, split into what the drive takes at once, and handed to the stock driver.
 * plain.c has the short way; command_end.c completes them. Nothing is mapped or allocated per
 * command. Must not know dma-bufs, user memory, or who submits.
 */
#include <linux/capability.h>
#include <linux/delay.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>

#include "submit.h"

/* A part of a command will not be issued, or all of them were. */
static void nvdm_command_put_part(struct nvdm_command *cmd)
{
	if (atomic_dec_and_test(&cmd->parts))
		cmd->complete(cmd, NULL);
}

/* Nothing of it is in flight, and nothing will be. */
static int nvdm_command_refusal(struct nvdm_command *cmd, int error, u32 reason)
{
	cmd->failed_at = 0;
	cmd->result = 0;
	cmd->error = error;
	cmd->reason = reason;
	return error;
}

static int nvdm_command_check_reserved(struct nvdm_command *cmd)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;

	if (uapi->reserved || uapi->reserved1 || uapi->reserved2[0] || uapi->reserved2[1] ||
	    uapi->flags & ~(NVME_DMABUF_CMD_FUA | NVME_DMABUF_CMD_LIMITED_RETRY))
		return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_RESERVED);
	if (uapi->timeout_ms && (uapi->timeout_ms < COMMAND_MIN_TIMEOUT_MS ||
				 uapi->timeout_ms > COMMAND_MAX_TIMEOUT_MS))
		return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_TIMEOUT);
	return 0;
}

/*
 * A command that times out is aborted, and in the end the controller is reset, for all who
 * use it: so how soon is for the administrator to say.
 */
static int nvdm_command_check_timeout(struct nvdm_command *cmd)
{
	u32 ms = cmd->uapi.timeout_ms;

	if (ms && msecs_to_jiffies(ms) < cmd->map->ns.disk->queue->rq_timeout &&
	    !capable(CAP_SYS_ADMIN))
		return nvdm_command_refusal(cmd, -EPERM, NVME_DMABUF_REASON_TIMEOUT_SHORT);
	return 0;
}

/* With an inflight reference, which keeps the file's blocks where they are. */
static int nvdm_command_check_blocks(struct nvdm_command *cmd, u64 slba, u64 end)
{
	const struct nvdm_file *file = cmd->map->blocks.file;

	if (end > file->blocks)
		return nvdm_command_refusal(cmd, -ERANGE,
					    file->tail && end == file->blocks + 1 ?
						    NVME_DMABUF_REASON_FILE_TAIL :
						    NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	if (extents_have_hole(&file->extents, slba, end - slba))
		return nvdm_command_refusal(cmd, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
	return 0;
}

static int nvdm_command_check_range(struct nvdm_command *cmd)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;
	const struct nvdm_map *map = cmd->map;
	u64 capacity, end;

	if (!uapi->length)
		return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH);
	if (uapi->length & ((1U << map->ns.block_shift) - 1))
		return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE);
	if (uapi->offset & 3)
		return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN);

	if (check_add_overflow(uapi->offset, uapi->length, &end))
		return nvdm_command_refusal(cmd, -EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP);
	if (end > map->length)
		return nvdm_command_refusal(cmd, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP);

	if (check_add_overflow(uapi->slba, uapi->length >> map->ns.block_shift, &end))
		return nvdm_command_refusal(cmd, -EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	if (nvdm_map_is_of_file(map))
		return nvdm_command_check_blocks(cmd, uapi->slba, end);
	capacity = nvdm_namespace_capacity(&map->ns);
	if (!capacity)
		return nvdm_namespace_lost(&map->ns) == -ENODEV ?
			       nvdm_command_refusal(cmd, -ENODEV, NVME_DMABUF_REASON_GONE) :
			       nvdm_command_refusal(cmd, -ESTALE,
						    NVME_DMABUF_REASON_FORMAT_CHANGED);
	if (end > capacity)
		return nvdm_command_refusal(cmd, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	return 0;
}

static int nvdm_command_check_access(struct nvdm_command *cmd, u32 access)
{
	u32 reason;
	int ret;

	if (!(cmd->map->access & access))
		return nvdm_command_refusal(cmd, -EACCES, NVME_DMABUF_REASON_MAP_ACCESS);
	/* A device may have become read-only, or swap, since it was attached. */
	ret = nvdm_namespace_access(&cmd->map->ns, access, &reason);
	return ret ? nvdm_command_refusal(cmd, ret, reason) : 0;
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
			return nvdm_command_refusal(cmd, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
		return nvdm_command_check_access(cmd, NVME_DMABUF_ACCESS_WRITE);
	default:
		return nvdm_command_refusal(cmd, -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE);
	}
}

/*
 * What else issuing may come to. No error numbers, for those may be an exporter's.
 *
 * @ISSUE_AGAIN: something was waited for, so all must be looked at again
 * @ISSUE_LATER: something would have to be waited for, which may not be
 */
enum { ISSUE_AGAIN = 1, ISSUE_LATER };

/*
 * Before the next part, something must be waited for, perhaps for others: what
 * was issued must be on its way by then.
 */
static void nvdm_command_flush_plug(void)
{
	struct blk_plug *plug = current->plug;

	if (plug) {
		blk_finish_plug(plug);
		blk_start_plug(plug);
	}
}

/*
 * Whoever opened a file may have it open for a moment only, above all another process that is
 * about to attach it: commands wait for so long since the map was revoked.
 */
#define REFRESH_PATIENCE HZ

static int nvdm_command_refresh_map(struct nvdm_submitter *sub, struct nvdm_map *map, u32 *reason)
{
	u32 id = map->id;
	int ret;

	ret = nvdm_map_refresh(map, false, NULL, reason);
	if (ret == -EBUSY && *reason == NVME_DMABUF_REASON_FILE_BUSY &&
	    time_before(jiffies, READ_ONCE(map->stopped) + REFRESH_PATIENCE))
		ret = FILE_LATER;
	if (ret <= 0)
		return ret;

	srcu_read_unlock(&sub->ctx->srcu, sub->srcu);
	ret = nvdm_context_wait(sub->ctx, id, ret);
	sub->srcu = srcu_read_lock(&sub->ctx->srcu);
	if (nvdm_context_map(sub->ctx, id) == map)
		return ret;
	*reason = NVME_DMABUF_REASON_NO_MAP;
	return -ENOENT;
}

/*
 * Other commands may be in flight, so that the call cannot be begun again: work that io_uring
 * has for the task must not end this as a signal does. But a worker of io_uring's is so told
 * to give up.
 */
static int nvdm_command_refresh(struct nvdm_submitter *sub, struct nvdm_map *map, u32 *reason)
{
	unsigned int flags;
	int ret;

	if (sub->nonblock)
		return ISSUE_LATER;
	nvdm_command_flush_plug();
	if (current->flags & PF_IO_WORKER)
		return nvdm_command_refresh_map(sub, map, reason);
	flags = no_notify_signal_save();
	ret = nvdm_command_refresh_map(sub, map, reason);
	no_notify_signal_restore(flags);
	return ret;
}

static int nvdm_command_verify(struct nvdm_submitter *sub, struct nvdm_map *map, u32 *reason)
{
	if (sub->nonblock)
		return ISSUE_LATER;
	nvdm_command_flush_plug();
	return nvdm_map_verify(map, reason);
}

/* Takes an inflight reference: while there is one, nothing in the map changes. */
static int nvdm_command_get_map(struct nvdm_submitter *sub, struct nvdm_map *map, u32 *reason)
{
	int ret;

	while (!percpu_ref_tryget_live(&map->inflight)) {
		/* The state was set before the reference was killed. */
		smp_rmb();
		ret = nvdm_map_stopped(map, reason);
		if (ret == -ESTALE && map->flags & NVME_DMABUF_ATTACH_AUTO_REFRESH)
			ret = nvdm_command_refresh(sub, map, reason);
		/* A buffer that moves all the time keeps nobody alive. */
		if (!ret && fatal_signal_pending(current)) {
			*reason = NVME_DMABUF_REASON_NONE;
			ret = -EINTR;
		}
		if (ret)
			return ret;
	}
	/* Pairs with nvdm_map_start(): what was changed before is seen. */
	smp_acquire__after_ctrl_dep();
	return 0;
}

/* The map stays a map inside the context's SRCU, though it may be stopped. */
static int nvdm_command_find_map(struct nvdm_submitter *sub, struct nvdm_command *cmd)
{
	cmd->map = nvdm_context_map(sub->ctx, cmd->uapi.map);
	return cmd->map ? 0 : nvdm_command_refusal(cmd, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
}

static int nvdm_command_start_aligned(struct nvdm_command *cmd, struct request *rq,
				      struct nvdm_stock_io *io, u64 offset)
{
	struct nvdm_aligned_list *list = nvdm_aligned_list_create(
		&cmd->map->ns.ctrl->importer, &cmd->map->list, offset, io->prp1, io->length, cmd);
	int ret;

	if (!list) {
		blk_mq_free_request(rq);
		return -ENOMEM;
	}
	io->prp2 = list->dma;
	ret = nvdm_stock_request_submit(&cmd->map->ns, rq, io, nvdm_command_end_io_aligned, list);
	if (ret)
		nvdm_aligned_list_destroy(list);
	return ret;
}

/*
 * With an inflight reference, which lasts until the part has ended, and a part counted.
 * Nothing here may sleep for long: an exporter may be waiting for that reference.
 */
static __always_inline int nvdm_command_start_part(struct nvdm_command *cmd, struct request *rq,
						   struct nvdm_stock_io *io, u64 pos)
{
	const struct nvdm_map *map = cmd->map;
	u64 offset = cmd->uapi.offset + pos;

	io->sgl = map->sgl;
	if (io->opcode == NVME_DMABUF_OP_FLUSH) {
		/* No data. */
	} else if (io->sgl) {
		io->prp1 = map->contiguous + offset;
	} else {
		/* The check against the map's length was a branch, which may be mispredicted. */
		offset = array_index_nospec(offset, map->length);
		prp_list_window(&map->list, offset, io->length, &io->prp1, &io->prp2);
		if (nvdm_command_misaligns_list(map, io->length, io->prp1, io->prp2))
			return nvdm_command_start_aligned(cmd, rq, io, offset);
	}
	return nvdm_stock_request_submit(&map->ns, rq, io, nvdm_command_end_io, cmd);
}

/*
 * The first request on another hardware queue, or the first of a map that is polled for:
 * remembers of what completions are to be polled. If that cannot be, the command goes the
 * other way.
 */
struct request *nvdm_command_note_request(struct nvdm_submitter *sub, struct nvdm_map *map,
					  struct request *rq, u8 opcode)
{
	u64 source;

	if (rq->mq_hctx->type == HCTX_TYPE_POLL) {
		source = nvdm_poll_add(&sub->ctx->poll, map->ns.disk, rq->mq_hctx);
		if (!source) {
			blk_mq_free_request(rq);
			return nvdm_stock_request_alloc(&map->ns, opcode, 0);
		}
		nvdm_submitter_polls(sub, source);
		/* Once for each map: others read it all the time. Pairs with nvdm_map_is_polled(). */
		if (!nvdm_map_is_polled(map))
			smp_store_release(&map->polled, true);
	} else {
		/* The plug has more like it, which a request to be polled would not find. */
		sub->opf = 0;
	}
	sub->hctx = rq->mq_hctx;
	return rq;
}

/*
 * Requests of polled queues may all be in use by commands that nobody else polls for, so
 * that to wait for one is to look.
 */
static struct request *nvdm_command_poll_request(struct nvdm_submitter *sub,
						 const struct nvdm_namespace *ns, u8 opcode,
						 unsigned int state, long patience)
{
	unsigned long begin = jiffies;
	struct request *rq;

	for (;;) {
		/* Again, for it cannot be done while the queue is frozen. */
		nvdm_poll_add_disk(&sub->ctx->poll, ns->disk);
		if (!nvdm_poll_disk(&sub->ctx->poll, NULL))
			usleep_range(10, 50);
		rq = nvdm_stock_request_alloc(ns, opcode, sub->opf);
		if (!IS_ERR(rq))
			return rq;
		if (nvdm_namespace_is_gone(ns))
			return ERR_PTR(-ENODEV);
		if (nvdm_wait_is_over(state))
			return ERR_PTR(-EINTR);
		if ((long)(jiffies - begin) >= patience)
			return ERR_PTR(-ETIME);
	}
}

/*
 * Waits until there is a request, with nothing held that others wait for: the driver may
 * keep new requests out for ever. On failure the map may be gone.
 */
static struct request *nvdm_command_wait_request(struct nvdm_submitter *sub, struct nvdm_map *map,
						 u8 opcode, bool first) __must_hold(&sub->ctx->srcu)
{
	/* Once a part was issued, the rest is not given up for less than a fatal signal. */
	unsigned int state = first ? sub->state : TASK_KILLABLE;
	long patience = first ? sub->patience : MAX_SCHEDULE_TIMEOUT;
	struct nvdm_namespace ns = { .disk = map->ns.disk, .ctrl = map->ns.ctrl };
	u32 id = map->id;
	struct request *rq;

	if (first && sub->deadline != KTIME_MAX)
		patience = min_t(s64, patience, nvdm_jiffies_until(sub->deadline));
	nvdm_command_flush_plug();
	get_device(disk_to_dev(ns.disk));
	nvdm_controller_hold(ns.ctrl);
	srcu_read_unlock(&sub->ctx->srcu, sub->srcu);
	rq = sub->opf ? nvdm_command_poll_request(sub, &ns, opcode, state, patience) :
			nvdm_stock_request_wait(&ns, opcode, state, patience);
	sub->srcu = srcu_read_lock(&sub->ctx->srcu);
	if (!IS_ERR(rq) && nvdm_context_map(sub->ctx, id) != map) {
		blk_mq_free_request(rq);
		rq = ERR_PTR(-ENOENT);
	}
	nvdm_controller_put(ns.ctrl);
	put_device(disk_to_dev(ns.disk));
	return IS_ERR(rq) ? rq : nvdm_command_know_request(sub, map, rq, opcode);
}

/* A wait was ended: by who does not want to wait for less than death, or for good. */
static int nvdm_command_interrupted(void)
{
	return fatal_signal_pending(current) || current->flags & PF_IO_WORKER ? -EINTR :
										ISSUE_LATER;
}

/*
 * The file system of a map's file is frozen. Waits for a moment, with nothing held that others
 * wait for.
 */
static int nvdm_command_wait_thaw(struct nvdm_submitter *sub, struct nvdm_map *map, bool first,
				  u32 *reason) __must_hold(&sub->ctx->srcu)
{
	unsigned int state = first ? sub->state : TASK_KILLABLE;
	u32 id = map->id;

	if (first && sub->nowait)
		return ISSUE_LATER;
	nvdm_command_flush_plug();
	srcu_read_unlock(&sub->ctx->srcu, sub->srcu);
	nvdm_wait_for(state, FILE_LATER_WAIT);
	sub->srcu = srcu_read_lock(&sub->ctx->srcu);
	if (nvdm_context_map(sub->ctx, id) != map) {
		*reason = NVME_DMABUF_REASON_NO_MAP;
		return -ENOENT;
	}
	if (nvdm_wait_is_over(state))
		return nvdm_command_interrupted();
	return first && sub->patience != MAX_SCHEDULE_TIMEOUT ? ISSUE_LATER : ISSUE_AGAIN;
}

/*
 * Issues a part, with an inflight reference, which it takes over. The last part also
 * takes over the issuer's count of parts, unless it fails.
 *
 * Return: 0, ISSUE_AGAIN, ISSUE_LATER, or a negative error number.
 */
static int nvdm_command_issue_part(struct nvdm_submitter *sub, struct nvdm_command *cmd,
				   struct nvdm_stock_io *io, u64 pos, u32 *reason)
{
	bool last = cmd->uapi.length - pos == io->length;
	struct nvdm_map *map = cmd->map;
	u64 moves = map->moves;
	struct request *rq;
	int ret;

	rq = nvdm_command_request(sub, map, io->opcode);
	if (IS_ERR(rq)) {
		if (sub->opf)
			nvdm_poll_add_disk(&sub->ctx->poll, map->ns.disk);
		/* Not while holding what others may wait for. */
		percpu_ref_put(&map->inflight);
		*reason = NVME_DMABUF_REASON_GONE;
		/* What is gone may keep its queue frozen for long yet. */
		if (sub->nowait && !pos)
			return nvdm_namespace_is_gone(&map->ns) ? -ENODEV : ISSUE_LATER;
		rq = nvdm_command_wait_request(sub, map, io->opcode, !pos);
		if (IS_ERR(rq)) {
			ret = PTR_ERR(rq);
			if (ret == -EAGAIN)
				return ISSUE_AGAIN;
			if (ret == -ETIME)
				return ISSUE_LATER;
			if (ret == -EINTR)
				return nvdm_command_interrupted();
			if (ret == -ENOENT)
				*reason = NVME_DMABUF_REASON_NO_MAP;
			return ret;
		}
		if (!percpu_ref_tryget_live(&map->inflight)) {
			blk_mq_free_request(rq);
			return ISSUE_AGAIN;
		}
		smp_acquire__after_ctrl_dep();
		/* The file's blocks may be elsewhere than when @io was made. */
		if (map->moves != moves) {
			blk_mq_free_request(rq);
			percpu_ref_put(&map->inflight);
			return ISSUE_AGAIN;
		}
	}

	if (unlikely(nvdm_namespace_is_unverified(&map->ns))) {
		/* The request is waited for by who wants to freeze the queue again. */
		blk_mq_free_request(rq);
		percpu_ref_put(&map->inflight);
		return nvdm_command_verify(sub, map, reason) ?: ISSUE_AGAIN;
	}
	/* Formatted, and refreshed, after the command was checked. */
	if (unlikely(cmd->block_shift != map->ns.block_shift)) {
		blk_mq_free_request(rq);
		percpu_ref_put(&map->inflight);
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		return -ESTALE;
	}

	if (nvdm_command_writes_file(cmd) && !nvdm_file_begin_write(map->blocks.file)) {
		blk_mq_free_request(rq);
		percpu_ref_put(&map->inflight);
		return nvdm_command_wait_thaw(sub, map, !pos, reason);
	}

	if (!last)
		atomic_inc(&cmd->parts);
	ret = nvdm_command_start_part(cmd, rq, io, pos);
	if (unlikely(ret)) {
		nvdm_command_end_write(cmd);
		*reason = ret == -ESTALE ? NVME_DMABUF_REASON_FORMAT_CHANGED :
			  ret == -ENODEV ? NVME_DMABUF_REASON_GONE :
					   NVME_DMABUF_REASON_NONE;
		percpu_ref_put(&map->inflight);
		if (!last)
			atomic_dec(&cmd->parts);
	}
	return ret;
}

/*
 * Where a part begins on the namespace, and how long it is: up to what one command moves,
 * within a zone, and within an extent of a file. With an inflight reference.
 */
static void nvdm_command_place(const struct nvdm_command *cmd, struct nvdm_stock_io *io, u64 pos)
{
	const struct nvdm_namespace *ns = &cmd->map->ns;
	u64 count, in_zone, length;

	if (cmd->uapi.opcode == NVME_DMABUF_OP_FLUSH)
		return;
	io->slba = nvdm_map_locate(cmd->map, cmd->uapi.slba + (pos >> ns->block_shift), &count);
	length = min_t(u64, cmd->uapi.length - pos, ns->max_command);
	if (ns->zone_blocks) {
		in_zone = ns->zone_blocks - (io->slba & (ns->zone_blocks - 1));
		length = min(length, in_zone << ns->block_shift);
	}
	if (count <= length >> ns->block_shift)
		length = count << ns->block_shift;
	io->length = length;
}

/*
 * Where the next part begins, if all that was checked before the first one still holds: the
 * map may have been refreshed since. With an inflight reference, which is put on failure.
 */
static int nvdm_command_place_next(struct nvdm_command *cmd, struct nvdm_stock_io *io, u64 pos,
				   u32 *reason)
{
	struct nvdm_map *map = cmd->map;
	u64 at = cmd->uapi.slba + (pos >> cmd->block_shift);
	u64 end = cmd->uapi.slba + (cmd->uapi.length >> cmd->block_shift);
	u32 changed = NVME_DMABUF_REASON_NONE;

	if (cmd->block_shift != map->ns.block_shift)
		changed = NVME_DMABUF_REASON_FORMAT_CHANGED;
	else if (cmd->moves != map->moves &&
		 (end > map->blocks.file->blocks ||
		  extents_have_hole(&map->blocks.file->extents, at, end - at)))
		changed = NVME_DMABUF_REASON_FILE_CHANGED;
	if (changed) {
		percpu_ref_put(&map->inflight);
		*reason = changed;
		return -ESTALE;
	}
	nvdm_command_place(cmd, io, pos);
	return 0;
}

/*
 * The parts of a command but its first, until one fails. Returns true if the last one
 * has taken over the issuer's count: then the command may be complete, and gone.
 */
static bool nvdm_command_issue_rest(struct nvdm_submitter *sub, struct nvdm_command *cmd,
				    struct nvdm_stock_io io)
{
	u32 reason = NVME_DMABUF_REASON_NONE;
	u64 length = cmd->uapi.length;
	u64 pos;
	int ret;

	for (pos = io.length; pos < length; pos += io.length) {
		if (READ_ONCE(cmd->failed_at) != U64_MAX)
			return false;
		do {
			ret = fatal_signal_pending(current) ?
				      -EINTR :
				      nvdm_command_get_map(sub, cmd->map, &reason);
			if (!ret)
				ret = nvdm_command_place_next(cmd, &io, pos, &reason);
			if (!ret)
				ret = nvdm_command_issue_part(sub, cmd, &io, pos, &reason);
		} while (ret == ISSUE_AGAIN);
		if (ret) {
			nvdm_command_fail(cmd, pos, ret, 0,
					  ret == -EINTR ? NVME_DMABUF_REASON_NONE : reason);
			return false;
		}
		cond_resched();
	}
	return true;
}

/*
 * Returns 0 if something of it was issued, and in *@taken whether the issuer's count was
 * taken over: then the command may be complete, and gone.
 */
static int nvdm_command_issue(struct nvdm_submitter *sub, struct nvdm_command *cmd, bool *taken)
{
	const struct nvme_dmabuf_command *uapi = &cmd->uapi;
	struct nvdm_stock_io io = {
		.opcode = uapi->opcode,
		.control = (uapi->flags & NVME_DMABUF_CMD_FUA ? NVME_RW_FUA : 0) |
			   (uapi->flags & NVME_DMABUF_CMD_LIMITED_RETRY ? NVME_RW_LR : 0),
		.timeout = uapi->timeout_ms ? msecs_to_jiffies(uapi->timeout_ms) : 0,
	};
	u32 reason = NVME_DMABUF_REASON_NONE;
	u64 length = uapi->length;
	int ret;

	ret = nvdm_command_get_map(sub, cmd->map, &reason);
	if (ret)
		goto refuse;
	cmd->block_shift = cmd->map->ns.block_shift;
	cmd->moves = cmd->map->moves;
	ret = nvdm_command_check_timeout(cmd) ?: nvdm_command_check_opcode(cmd);
	if (!ret) {
		nvdm_command_place(cmd, &io, 0);
		if (unlikely(length > io.length && sub->nonblock))
			ret = ISSUE_LATER;
	}
	if (ret) {
		percpu_ref_put(&cmd->map->inflight);
		return ret;
	}
	ret = nvdm_command_issue_part(sub, cmd, &io, 0, &reason);
	if (!ret) {
		*taken = length == io.length || nvdm_command_issue_rest(sub, cmd, io);
		return 0;
	}
	if (ret == ISSUE_AGAIN && fatal_signal_pending(current))
		ret = -EINTR;
refuse:
	if (ret < 0)
		nvdm_command_refusal(cmd, ret, ret == -EINTR ? NVME_DMABUF_REASON_NONE : reason);
	return ret;
}

/**
 * nvdm_command_submit_any - submit a command the long way
 * @sub: who submits, and how
 * @cmd: the command, with uapi filled in
 *
 * Knows all reasons, and waits if it must and may.
 *
 * Return: false if it would have to wait, and may not: nothing has happened.
 */
bool nvdm_command_submit_any(struct nvdm_submitter *sub, struct nvdm_command *cmd)
{
	bool taken = false;
	int ret = 0;

	nvdm_command_start(cmd);
	sub->srcu = srcu_read_lock(&sub->ctx->srcu);
	if (!nvdm_command_check_reserved(cmd) && !nvdm_command_find_map(sub, cmd)) {
		do {
			ret = nvdm_command_issue(sub, cmd, &taken);
		} while (ret == ISSUE_AGAIN);
	}
	srcu_read_unlock(&sub->ctx->srcu, sub->srcu);
	if (ret == ISSUE_LATER)
		return false;
	if (!taken)
		nvdm_command_put_part(cmd);
	return true;
}

/**
 * nvdm_command_init - make a command of its memory
 * @cmd: the command
 * @complete: called when it has ended
 * @ended: where it goes instead if who polls says so, or NULL
 * @owner: for @complete
 */
void nvdm_command_init(struct nvdm_command *cmd,
		       void (*complete)(struct nvdm_command *cmd, void *poll_ctx),
		       struct nvdm_ended *ended, void *owner)
{
	cmd->complete = complete;
	cmd->ended = ended;
	cmd->owner = owner;
	spin_lock_init(&cmd->lock);
}

/**
 * nvdm_command_refuse - complete a command instead of submitting it
 * @cmd: the command
 * @error: negative error number
 * @reason: NVME_DMABUF_REASON_*
 */
void nvdm_command_refuse(struct nvdm_command *cmd, int error, u32 reason)
{
	nvdm_command_start(cmd);
	nvdm_command_refusal(cmd, error, reason);
	nvdm_command_put_part(cmd);
}
