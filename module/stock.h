/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stock nvme driver: how it is made, and how commands get to it and back. It
 * executes a command whose data pointer is already filled in if the request has no
 * segments of its own: then it maps nothing, copies the command to the submission queue
 * as it is, and keeps timeouts, aborts, resets and teardown.
 *
 * Only stock.c and command.c, for whose sake this is inline, may include it.
 */
#ifndef NVME_DMABUF_STOCK_H
#define NVME_DMABUF_STOCK_H

#include <linux/blk-integrity.h>

#include "internal.h"

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

/* Can the length of this format's data be computed? */
static inline bool nvdm_stock_knows_format(struct gendisk *disk)
{
	struct blk_integrity *integrity = blk_get_integrity(disk);

	return !integrity || integrity_is_pi_alone(integrity);
}

/*
 * With the request allocated, which holds the queue. The driver freezes the
 * queue while it formats, and then lets it go shortly before it reads the new
 * format; in that moment its own reads and writes believe the old one as well. Whatever
 * is not set here is zero in @cmd, which only this function has ever changed.
 */
static __always_inline int nvdm_stock_command_fill(const struct nvdm_namespace *ns,
						   const struct nvdm_stock_io *io,
						   struct nvme_command *cmd)
{
	/* The first thing that the driver does to a namespace that goes. */
	if (unlikely(!get_capacity(ns->disk)))
		return nvdm_namespace_is_gone(ns) ? -ENODEV : -ESTALE;
	if (unlikely(queue_logical_block_size(ns->disk->queue) != ns->block_size ||
		     !nvdm_stock_knows_format(ns->disk)))
		return -ESTALE;

	if (unlikely(io->opcode == nvme_cmd_flush))
		memset(cmd, 0, sizeof(*cmd));
	cmd->rw.opcode = io->opcode;
	cmd->rw.nsid = cpu_to_le32(ns->nsid);
	if (unlikely(io->opcode == nvme_cmd_flush))
		return 0;

	cmd->rw.slba = cpu_to_le64(io->slba);
	cmd->rw.length = cpu_to_le16((io->length >> ns->block_shift) - 1);
	cmd->rw.control = cpu_to_le16(io->control | STOCK_PRINFO);
	/* The reference tag that other readers of Type 1 information expect. */
	cmd->rw.reftag = cpu_to_le32(lower_32_bits(io->slba));
	if (io->sgl)
		cmd->rw.dptr.sgl = (struct nvme_sgl_desc){
			.addr = cpu_to_le64(io->prp1),
			.length = cpu_to_le32(io->length),
			.type = NVME_SGL_FMT_DATA_DESC << 4,
		};
	else
		cmd->rw.dptr = (union nvme_data_ptr){
			.prp1 = cpu_to_le64(io->prp1),
			.prp2 = cpu_to_le64(io->prp2),
		};
	return 0;
}

static __always_inline int nvdm_stock_request_prepare(const struct nvdm_namespace *ns,
						      struct request *rq,
						      const struct nvdm_stock_io *io,
						      struct nvme_command *cmd)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);
	int ret = nvdm_stock_command_fill(ns, io, cmd);

	if (unlikely(ret))
		return ret;

	nvme_init_request(rq, cmd);
	/* A command that never reaches the drive keeps what stood here. */
	pdu->result.u64 = 0;
	/* nvme_init_request() clears these bits. */
	if (io->sgl)
		pdu->cmd->common.flags |= NVME_CMD_SGL_METABUF;
	if (io->timeout && io->timeout < rq->q->rq_timeout)
		rq->timeout = io->timeout;
	return 0;
}

/**
 * nvdm_stock_request_alloc - a request of the driver's
 * @ns: the namespace
 * @opcode: enum nvme_opcode
 * @opf: REQ_POLLED for a polled queue, if there are any, or 0
 * @flags: BLK_MQ_REQ_NOWAIT or 0
 *
 * Waits for a free request if there is none, and while the driver keeps new
 * ones out: do not hold what a reset, an unbinding or a completion may need. Or fails
 * with -EAGAIN, if it may not wait; then also if the namespace is gone.
 *
 * Return: the request, for nvdm_stock_request_submit() or blk_mq_free_request(), or
 * -ENODEV if the namespace is gone.
 */
static inline struct request *nvdm_stock_request_alloc(const struct nvdm_namespace *ns, u8 opcode,
						       blk_opf_t opf, blk_mq_req_flags_t flags)
{
	opf |= opcode == nvme_cmd_read ? REQ_OP_DRV_IN : REQ_OP_DRV_OUT;
	return blk_mq_alloc_request(ns->disk->queue, opf, flags);
}

/**
 * nvdm_stock_request_submit - hand a command to the driver
 * @ns: the namespace, whose controller's layout was checked
 * @rq: from nvdm_stock_request_alloc(); no longer the caller's, on failure too
 * @io: the command
 * @cmd: memory for it, which is zero or was used for this before
 * @end_io: called when it has ended, in any context; must return
 *	RQ_END_IO_FREE
 * @data: the request's end_io_data
 *
 * Return: 0 if @end_io will be called; -ESTALE if the namespace's format
 * changed; -ENODEV if the namespace is gone.
 */
static __always_inline int nvdm_stock_request_submit(const struct nvdm_namespace *ns,
						     struct request *rq,
						     const struct nvdm_stock_io *io,
						     struct nvme_command *cmd,
						     rq_end_io_fn *end_io, void *data)
{
	int ret = nvdm_stock_request_prepare(ns, rq, io, cmd);

	if (ret) {
		blk_mq_free_request(rq);
		return ret;
	}
	rq->end_io = end_io;
	rq->end_io_data = data;
	if (likely(plug_like_last(rq)))
		return 0;
	/*
	 * At the head means past the plug. Before Linux 6.5 a plugged request
	 * was given to the I/O scheduler, and bfq expects a bio in each.
	 */
	blk_execute_rq_nowait(rq, rq->q->elevator);
	return 0;
}

/**
 * nvdm_stock_request_result - what became of a command
 * @rq: a request that has ended
 *
 * A status that the host made up, of a command that the driver gave up, is
 * told by the member cancelled.
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
			     status == NVME_SC_HOST_ABORTED_CMD,
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
