/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stock nvme driver: how it is made, and how commands get to it and back. It
 * executes a command whose data pointer is already filled in if the request has no
 * segments of its own: then it maps nothing, copies the command to the submission queue
 * as it is, and keeps timeouts, aborts, resets and teardown.
 *
 * Only stock.c, plug.c, command_end.c, uring.c and submit.h, for whose sake this is inline, may
 * include it.
 */
#ifndef NVME_DMABUF_STOCK_H
#define NVME_DMABUF_STOCK_H

#include <linux/blk-integrity.h>

#include "storage.h"

/* Exported by the driver, and declared in a header of its own. */
void nvme_init_request(struct request *req, struct nvme_command *cmd);

/*
 * The head of the driver's struct nvme_request, which starts the request's
 * private data. It is the same in Linux 6.1 to 7.3, and not public:
 * nvdm_stock_check_layout() verifies it before it is relied upon.
 */
struct nvdm_stock_pdu {
	struct nvme_command *cmd;
	union nvme_result result;
	u8 genctr;
	u8 retries;
	u8 flags;
	u16 status;
};

static_assert(offsetof(struct nvdm_stock_pdu, status) == 20);

/* A command, word by word: the compiler writes its smaller members one by one. */
struct nvdm_stock_words {
	__le64 opcode_nsid;
	__le64 cdw2_3;
	__le64 metadata;
	__le64 dptr[2];
	__le64 slba;
	__le64 cdw12_13;
	__le64 cdw14_15;
};

static_assert(sizeof(struct nvdm_stock_words) == sizeof(struct nvme_command));

static_assert((__force u32)REQ_OP_DRV_OUT - 1 == (__force u32)REQ_OP_DRV_IN);

/* An opcode and its operation together. */
#define STOCK_OPS ((__force u32)REQ_OP_DRV_OUT + nvme_cmd_write)

static_assert(STOCK_OPS == (__force u32)REQ_OP_DRV_IN + nvme_cmd_read);

#define STOCK_REQ_CANCELLED (1 << 0) /* in flags: the driver gave it up */
#define STOCK_STATUS_MASK   0x7ff    /* status code type and status code */

/*
 * A block of data may come with metadata. Where that is 8 bytes of Protection
 * Information alone, PRACT makes the controller insert and strip it, so that
 * only data moves, and check it on the way (NVM Command Set Specification,
 * "Protection Information"). Without an integrity profile, interleaved
 * Protection Information cannot be told from no metadata at all, so PRACT is
 * always set: it means nothing to namespaces without Protection Information.
 */
#define STOCK_PRINFO (NVME_RW_PRINFO_PRACT | NVME_RW_PRINFO_PRCHK_GUARD)

/* The second half of an SGL Data Block descriptor: NVM Express Base Specification, "SGL" */
#define STOCK_SGL(length) ((u64)(length) | (u64)NVME_SGL_FMT_DATA_DESC << 60)

/* Can the length of this format's data be computed? */
static __always_inline bool nvdm_stock_knows_format(struct gendisk *disk)
{
	struct blk_integrity *integrity = blk_get_integrity(disk);

	return !integrity || integrity_is_pi_alone(integrity);
}

/*
 * With a request allocated, which holds the queue. The driver freezes the queue while it
 * formats, and then lets it go shortly before it reads the new format; in that moment its
 * own reads and writes believe the old one as well.
 */
static __always_inline int nvdm_stock_check_format(const struct nvdm_namespace *ns)
{
	/* The first thing that the driver does to a namespace that goes. */
	if (unlikely(!get_capacity(ns->disk)))
		return nvdm_namespace_lost(ns);
	if (unlikely(queue_logical_block_size(ns->disk->queue) != ns->block_size ||
		     !nvdm_stock_knows_format(ns->disk)))
		return -ESTALE;
	return 0;
}

/* A Read or Write; all of @cmd is written. */
static __always_inline void nvdm_stock_command_fill(const struct nvdm_namespace *ns,
						    struct nvme_command *cmd, u16 opcode_flags,
						    u16 control, u64 slba, u32 length,
						    const u64 dptr[2])
{
	struct nvdm_stock_words *words = (struct nvdm_stock_words *)cmd;
	u64 blocks = (u64)length >> (ns->block_shift & 63);

	words->opcode_nsid = cpu_to_le64(opcode_flags | (u64)ns->nsid << 32);
	words->cdw2_3 = 0;
	words->metadata = 0;
	words->dptr[0] = cpu_to_le64(dptr[0]);
	words->dptr[1] = cpu_to_le64(dptr[1]);
	words->slba = cpu_to_le64(slba);
	words->cdw12_13 = cpu_to_le64((blocks - 1) | (u64)(control | STOCK_PRINFO) << 16);
	/* The reference tag that other readers of Type 1 information expect. */
	words->cdw14_15 = cpu_to_le64(lower_32_bits(slba));
}

/* A command that never reaches the drive keeps the result that stands here. */
static __always_inline void nvdm_stock_request_init(struct request *rq, struct nvme_command *cmd,
						    u8 flags)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	nvme_init_request(rq, cmd);
	/* Which that takes from the command. */
	pdu->cmd->common.flags |= flags;
	pdu->result.u64 = 0;
}

/* What nvme_init_request() sets, of two members of a request. */
#define STOCK_CMD_FLAGS (REQ_FAILFAST_DRIVER | REQ_POLLED)
#define STOCK_RQ_FLAGS	((__force req_flags_t)(RQF_QUIET | RQF_DONTPREP))

/* Besides these flags, which it has set in a request like this one. */
static __always_inline void nvdm_stock_request_init_pdu(struct request *rq)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	pdu->result.u64 = 0;
	pdu->retries = 0;
	pdu->flags = 0;
	pdu->status = 0;
}

/*
 * What nvme_init_request() does, and has done to the last request of the plug: the same
 * to this one.
 */
static __always_inline void nvdm_stock_request_init_like(struct request *rq,
							 const struct request *last)
{
	rq->cmd_flags |= last->cmd_flags & STOCK_CMD_FLAGS;
	rq->rq_flags |= last->rq_flags & STOCK_RQ_FLAGS;
	nvdm_stock_request_init_pdu(rq);
}

/* Bit 1 of an opcode tells that data comes from the controller. */
static __always_inline blk_opf_t nvdm_stock_op(u8 opcode)
{
	return (__force blk_opf_t)((__force u32)REQ_OP_DRV_OUT - (opcode >> 1 & 1));
}

/**
 * nvdm_stock_request_set_end - say what is to be called when a request has ended
 * @rq: the request, which is ready to be submitted but for this
 * @end_io: called in any context; must call nvdm_stock_request_ends() first
 * @data: the request's end_io_data
 *
 * From here on nvdm_parked_find() may find it.
 */
static __always_inline void nvdm_stock_request_set_end(struct request *rq, rq_end_io_fn *end_io,
						       void *data)
{
	rq->end_io_data = data;
	smp_store_release(&rq->end_io, end_io);
}

/* An end_io calls this first, before the block layer makes the request idle. */
static __always_inline void nvdm_stock_request_ends(struct request *rq)
{
	WRITE_ONCE(rq->end_io, NULL);
	/* Pairs with nvdm_parked_find(). */
	smp_wmb();
}

/**
 * nvdm_stock_request_disown - leave a request to the block layer
 * @rq: a request that was submitted, and found by nvdm_parked_find()
 * @nsid: namespace identifier
 *
 * When the driver lets its queue go, the drive gets a Flush instead of the command, which
 * touches no memory, and the block layer frees the request itself. Nothing of this module
 * hears of that: it may be unloaded by then.
 */
static inline void nvdm_stock_request_disown(struct request *rq, u32 nsid)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	memset(pdu->cmd, 0, sizeof(*pdu->cmd));
	pdu->cmd->common.opcode = nvme_cmd_flush;
	pdu->cmd->common.nsid = cpu_to_le32(nsid);
	rq->end_io_data = NULL;
	WRITE_ONCE(rq->end_io, NULL);
}

/**
 * nvdm_stock_request_alloc - a request of the driver's
 * @ns: the namespace
 * @opcode: enum nvme_opcode
 * @opf: REQ_POLLED for a polled queue, if there are any, or 0
 *
 * Does not wait: see nvdm_stock_request_wait().
 *
 * Return: the request, for nvdm_stock_request_submit() or _plug(), or
 * blk_mq_free_request(); or -EAGAIN if there is none, or if the driver keeps new ones out
 * or the namespace is gone; or another negative error number.
 */
static inline struct request *nvdm_stock_request_alloc(const struct nvdm_namespace *ns, u8 opcode,
						       blk_opf_t opf)
{
	enum hctx_type type = opf & REQ_POLLED ? HCTX_TYPE_POLL : HCTX_TYPE_DEFAULT;
	struct request_queue *queue = ns->disk->queue;
	struct blk_plug *plug = current->plug;
	struct request *rq = plug ? plug_peek(plug) : NULL;

	opf |= nvdm_stock_op(opcode);
	if (likely(rq && rq->q == queue && rq->mq_hctx->type == type)) {
		plug_pop(plug, rq, opf);
		return rq;
	}
	/*
	 * The plug keeps what it allocates at once for others as well. But Linux 6.12 does
	 * not prepare it for an I/O scheduler, which these commands pass by and others do
	 * not: it would count theirs for ever.
	 */
	if (unlikely(queue->elevator && plug))
		plug->nr_ios = 1;
	return blk_mq_alloc_request(queue, opf, BLK_MQ_REQ_NOWAIT);
}

struct request *nvdm_stock_request_wait(const struct nvdm_namespace *ns, u8 opcode,
					unsigned int state, long patience);
int nvdm_stock_request_submit(const struct nvdm_namespace *ns, struct request *rq,
			      const struct nvdm_stock_io *io, rq_end_io_fn *end_io, void *data);

/**
 * nvdm_stock_request_plug - the same of a Read or Write, in little time
 * @ns: as for nvdm_stock_request_submit()
 * @rq: likewise
 * @end_io: likewise
 * @data: likewise
 * @plug: the plug
 * @last: what plug_takes() has found for @rq and @end_io, and which was therefore
 *	initialised here or by nvdm_stock_request_submit(); or NULL
 * @opcode_flags: bytes 0 and 1 of the command
 * @slba: first logical block on the namespace
 * @length: bytes of data
 * @dptr: its data pointer
 *
 * Return: as nvdm_stock_request_submit().
 */
static __always_inline int nvdm_stock_request_plug(const struct nvdm_namespace *ns,
						   struct request *rq, rq_end_io_fn *end_io,
						   void *data, struct blk_plug *plug,
						   struct request *last, u16 opcode_flags, u64 slba,
						   u32 length, const u64 dptr[2])
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);
	int ret = nvdm_stock_check_format(ns);

	if (unlikely(ret)) {
		blk_mq_free_request(rq);
		return ret;
	}
	nvdm_stock_command_fill(ns, pdu->cmd, opcode_flags, 0, slba, length, dptr);
	if (last)
		nvdm_stock_request_init_like(rq, last);
	else
		nvdm_stock_request_init(rq, pdu->cmd, opcode_flags >> 8);
	nvdm_stock_request_set_end(rq, end_io, data);
	plug_add(plug, last, rq);
	return 0;
}

/**
 * struct nvdm_stock_run - what requests one after the other in a plug have in common
 * @last: the last of them, and of the plug
 * @plug: the plug
 * @queue: of each
 * @cmd_flags: of each
 * @rq_flags: likewise
 * @block_size: the format that was found when all but the first lay in the plug's cache
 *
 * Those in the cache hold the queue. So it cannot be frozen before they are taken, and
 * what changes only while it is frozen stays what it was: format and I/O scheduler. Of a
 * namespace that goes, the driver ends the commands. Whoever sleeps flushes the plug, and
 * with it the cache: that ends the run.
 */
struct nvdm_stock_run {
	struct request *last;
	struct blk_plug *plug;
	struct request_queue *queue;
	blk_opf_t cmd_flags;
	req_flags_t rq_flags;
	u32 block_size;
};

/* With a request of nvdm_stock_request_plug(). */
static __always_inline void nvdm_stock_run_begin(struct nvdm_stock_run *run, struct blk_plug *plug,
						 const struct nvdm_namespace *ns,
						 struct request *rq)
{
	run->last = rq;
	run->plug = plug;
	run->queue = rq->q;
	run->cmd_flags = rq->cmd_flags & STOCK_CMD_FLAGS;
	run->rq_flags = rq->rq_flags & STOCK_RQ_FLAGS;
	run->block_size = ns->block_size;
}

/**
 * nvdm_stock_run_next - the request of the next command of a run
 * @run: the run
 * @ns: the namespace of the next command
 * @hctx: the hardware queue of the run
 *
 * Return: a request for nvdm_stock_request_join(), which the plug still has; or NULL, if
 * something has to be looked at.
 */
static __always_inline struct request *nvdm_stock_run_next(const struct nvdm_stock_run *run,
							   const struct nvdm_namespace *ns,
							   const struct blk_mq_hw_ctx *hctx)
{
	struct request *rq;

	if (!plug_has_room(run->plug) || ns->disk->queue != run->queue ||
	    ns->block_size != run->block_size)
		return NULL;
	rq = plug_would_peek(run->plug);
	return rq && rq->mq_hctx == hctx ? rq : NULL;
}

/**
 * nvdm_stock_request_join - nvdm_stock_request_plug() of the next request of a run
 * @run: the run
 * @ns: as for nvdm_stock_run_next()
 * @rq: what that has returned
 * @end_io: as for the run's first request
 * @data: the request's end_io_data
 * @opcode_flags: as for nvdm_stock_request_plug()
 * @slba: likewise
 * @length: likewise
 * @dptr: likewise
 */
static __always_inline void nvdm_stock_request_join(struct nvdm_stock_run *run,
						    const struct nvdm_namespace *ns,
						    struct request *rq, rq_end_io_fn *end_io,
						    void *data, u16 opcode_flags, u64 slba,
						    u32 length, const u64 dptr[2])
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	/* As nvdm_stock_op(), of a Read or a Write. */
	plug_pop(run->plug, rq, (__force blk_opf_t)(STOCK_OPS - (u8)opcode_flags) | run->cmd_flags);
	rq->rq_flags = run->rq_flags;
	nvdm_stock_command_fill(ns, pdu->cmd, opcode_flags, 0, slba, length, dptr);
	nvdm_stock_request_init_pdu(rq);
	nvdm_stock_request_set_end(rq, end_io, data);
	plug_add(run->plug, run->last, rq);
	run->last = rq;
}

/**
 * nvdm_stock_request_result - what became of a command
 * @rq: a request that has ended
 *
 * A command that the driver gave up is told by the member cancelled, wherever that caught
 * it: the driver has a status of its own for it, or the drive's is that of a command that
 * was aborted, or whose queue was deleted.
 */
static inline struct nvdm_stock_result nvdm_stock_request_result(struct request *rq)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);
	u16 status = pdu->status & STOCK_STATUS_MASK;

	return (struct nvdm_stock_result){
		.result = le64_to_cpu(pdu->result.u64),
		.status = pdu->status,
		.cancelled = pdu->flags & STOCK_REQ_CANCELLED ||
			     status == NVME_SC_HOST_PATH_ERROR ||
			     status == NVME_SC_HOST_ABORTED_CMD || status == NVME_SC_ABORT_REQ ||
			     status == NVME_SC_ABORT_QUEUE,
		.no_namespace = status == NVME_SC_INVALID_NS,
	};
}

/**
 * nvdm_stock_request_succeeded - did the drive complete a command without an error?
 * @rq: a request that has ended
 * @result: where to return dwords 0 and 1 of the completion queue entry
 */
static inline bool nvdm_stock_request_succeeded(struct request *rq, u64 *result)
{
	const struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	*result = le64_to_cpu(pdu->result.u64);
	return !pdu->status && !(pdu->flags & STOCK_REQ_CANCELLED);
}

/**
 * nvdm_stock_request_slba - first logical block of a Read or Write
 * @rq: a request that was submitted
 */
static inline u64 nvdm_stock_request_slba(struct request *rq)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);

	return le64_to_cpu(pdu->cmd->rw.slba);
}

#endif
