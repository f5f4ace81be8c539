// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stock nvme driver: what it can do, and whether it is made as stock.h believes.
 *
 * Must not know dma-bufs, maps or user memory.
 */
#include "internal.h"
#include "stock.h"

/**
 * nvdm_stock_has_format - can the length of this format's data be computed?
 * @disk: the namespace
 */
bool nvdm_stock_has_format(struct gendisk *disk)
{
	return nvdm_stock_knows_format(disk);
}

/*
 * Since Linux 6.18 the driver gives up the virtual boundary where it found
 * that the controller takes SGLs. Before, there is no way to know.
 */
bool nvdm_stock_takes_sgl(struct gendisk *disk)
{
	return !queue_virt_boundary(disk->queue);
}

/**
 * nvdm_stock_polls - has the driver polled queues for this disk?
 * @disk: the namespace, or a path of it
 *
 * The queue's reference keeps the driver's part of a path, which nobody has open. There is
 * none to get while the queue is empty and frozen: then no, for no request can tell.
 */
bool nvdm_stock_polls(struct gendisk *disk)
{
	struct request_queue *queue = disk->queue;
	const struct blk_mq_tag_set *set;
	bool polls;

	if (!percpu_ref_tryget(&queue->q_usage_counter))
		return false;
	set = queue->tag_set;
	polls = set->nr_maps > HCTX_TYPE_POLL && set->map[HCTX_TYPE_POLL].nr_queues;
	percpu_ref_put(&queue->q_usage_counter);
	return polls;
}

/* Of the flags nothing, which nvme_init_request() clears. */
static __always_inline void nvdm_stock_command_make(const struct nvdm_namespace *ns,
						    const struct nvdm_stock_io *io,
						    struct nvme_command *cmd)
{
	const u64 dptr[2] = { io->prp1, io->sgl ? STOCK_SGL(io->length) : io->prp2 };

	if (likely(io->opcode != nvme_cmd_flush)) {
		nvdm_stock_command_fill(ns, cmd, io->opcode, io->control, io->slba, io->length,
					dptr);
		return;
	}
	memset(cmd, 0, sizeof(*cmd));
	cmd->common.opcode = io->opcode;
	cmd->common.nsid = cpu_to_le32(ns->nsid);
}

static __always_inline int nvdm_stock_request_prepare(const struct nvdm_namespace *ns,
						      struct request *rq,
						      const struct nvdm_stock_io *io,
						      struct nvme_command *cmd)
{
	int ret = nvdm_stock_check_format(ns);

	if (ret)
		return ret;
	nvdm_stock_command_make(ns, io, cmd);
	nvdm_stock_request_init(rq, cmd,
				io->sgl && io->opcode != nvme_cmd_flush ? NVME_CMD_SGL_METABUF : 0);
	if (io->timeout && io->timeout < rq->q->rq_timeout)
		rq->timeout = io->timeout;
	return 0;
}

/**
 * nvdm_stock_request_submit - hand a command to the driver
 * @ns: the namespace, whose controller's layout was checked
 * @rq: from nvdm_stock_request_alloc(); no longer the caller's, on failure too
 * @io: the command
 * @end_io: called when it has ended, in any context; must return
 *	RQ_END_IO_FREE
 * @data: the request's end_io_data
 *
 * Return: 0 if @end_io will be called; -ESTALE if the namespace's format
 * changed; -ENODEV if the namespace is gone.
 */
int nvdm_stock_request_submit(const struct nvdm_namespace *ns, struct request *rq,
			      const struct nvdm_stock_io *io, rq_end_io_fn *end_io, void *data)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);
	/* Made where the driver will look for it: copied there, it is what it was. */
	int ret = nvdm_stock_request_prepare(ns, rq, io, pdu->cmd);
	struct request_queue *queue = rq->q;
	bool direct = !current->plug || queue->elevator;

	if (ret) {
		blk_mq_free_request(rq);
		return ret;
	}
	rq->end_io = end_io;
	rq->end_io_data = data;
	/*
	 * If it does not wait in a plug, it may have ended, and with it the driver's part
	 * of a path that is removed, before the block layer is done with the queue.
	 */
	if (direct)
		percpu_ref_get(&queue->q_usage_counter);
	/*
	 * At the head means past the plug. Before Linux 6.5 a plugged request
	 * was given to the I/O scheduler, and bfq expects a bio in each.
	 */
	blk_execute_rq_nowait(rq, queue->elevator);
	if (direct)
		percpu_ref_put(&queue->q_usage_counter);
	return 0;
}

/**
 * nvdm_stock_execute - execute a command and wait for it
 * @ns: the namespace
 * @io: the command
 * @result: where to return what the drive said
 *
 * Return: 0 if the drive completed the command, whatever its status; -ESTALE if the
 * namespace's format changed; -ENODEV if the namespace is gone; or -EIO.
 */
int nvdm_stock_execute(const struct nvdm_namespace *ns, const struct nvdm_stock_io *io,
		       struct nvdm_stock_result *result)
{
	struct request *rq = nvdm_stock_request_alloc(ns, io->opcode, 0, 0);
	struct nvme_command cmd;
	blk_status_t blk_status;
	int ret;

	if (IS_ERR(rq))
		return PTR_ERR(rq);

	ret = nvdm_stock_request_prepare(ns, rq, io, &cmd);
	if (!ret) {
		blk_status = blk_execute_rq(rq, false);
		*result = nvdm_stock_request_result(rq);
		if (result->cancelled || (blk_status && !result->status))
			ret = blk_queue_dying(rq->q) ? -ENODEV : -EIO;
	}
	blk_mq_free_request(rq);
	return ret;
}

/**
 * nvdm_stock_check_layout - verify what this file believes of the driver
 * @ns: a namespace of the controller, with capacity
 * @prp1: PRP Entry 1 for one block, in memory that may be overwritten
 * @prp2: PRP Entry 2 likewise
 *
 * The command must stand where the private data's first pointer leads, and the
 * status of a read past the end of the namespace must be found where it is
 * expected. Nothing is read through a pointer before it is known to lead into
 * the request's private data.
 *
 * Return: 0, -EOPNOTSUPP if the driver's layout is another, -EIO if the drive
 * did not say so, or another negative error number.
 */
int nvdm_stock_check_layout(const struct nvdm_namespace *ns, u64 prp1, u64 prp2)
{
	const struct nvdm_stock_io io = {
		.opcode = nvme_cmd_read,
		.slba = get_capacity(ns->disk) >> (ns->block_shift - SECTOR_SHIFT),
		.length = 1U << ns->block_shift,
		.prp1 = prp1,
		.prp2 = prp2,
	};
	struct request_queue *queue = ns->disk->queue;
	unsigned long start, end, at;
	struct nvme_command cmd;
	blk_status_t blk_status;
	struct nvdm_stock_pdu *pdu;
	struct request *rq;
	int ret;

	rq = nvdm_stock_request_alloc(ns, io.opcode, 0, 0);
	if (IS_ERR(rq))
		return PTR_ERR(rq);

	ret = nvdm_stock_check_format(ns);
	if (ret)
		goto free;

	nvdm_stock_command_make(ns, &io, &cmd);
	ret = -EOPNOTSUPP;
	pdu = blk_mq_rq_to_pdu(rq);
	start = (unsigned long)(pdu + 1);
	end = (unsigned long)pdu + queue->tag_set->cmd_size;
	at = (unsigned long)pdu->cmd;
	if (at < start || at > end || end - at < sizeof(cmd))
		goto free;

	nvme_init_request(rq, &cmd);
	if (memcmp(pdu->cmd, &cmd, sizeof(cmd)))
		goto free;

	pdu->status = 0;
	blk_status = blk_execute_rq(rq, false);
	/*
	 * The driver tells the block layer of this status as BLK_STS_TARGET, but of those
	 * that end in a batch nothing. With another layout the status is still 0.
	 */
	if ((pdu->status & STOCK_STATUS_MASK) == NVME_SC_LBA_RANGE)
		ret = 0;
	else if (blk_queue_dying(queue))
		ret = -ENODEV;
	else if (pdu->status || (blk_status != BLK_STS_OK && blk_status != BLK_STS_TARGET))
		ret = -EIO;
free:
	blk_mq_free_request(rq);
	return ret;
}
