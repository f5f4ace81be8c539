// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stock nvme driver: what it can do, and whether it is made as stock.h believes.
 *
 * Must not know dma-bufs, maps or user memory.
 */
#include <linux/kernfs.h>
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "storage.h"
#include "stock.h"

/* How long a wait lasts before it is looked whether there is still something to wait for. */
#define STOCK_WAIT (HZ / 10 ?: 1)

/**
 * nvdm_stock_has_format - can the length of this format's data be computed?
 * @disk: the namespace
 */
bool nvdm_stock_has_format(struct gendisk *disk)
{
	return nvdm_stock_knows_format(disk);
}

static bool nvdm_stock_parameter_is_zero(struct kobject *module, const struct kernfs_node *node)
{
	const struct kobj_type *type = get_ktype(module);
	char *text = (char *)get_zeroed_page(GFP_KERNEL);
	unsigned int value = 1;

	if (!text)
		return false;
	if (type->sysfs_ops->show(module, node->priv, text) > 0 && kstrtouint(text, 0, &value))
		value = 1;
	free_page((unsigned long)text);
	return !value;
}

/*
 * nvme.sgl_threshold=0 is what one sets for a drive that corrupts data with SGLs. The
 * parameter is not exported, and where the driver is built in, neither is a struct module
 * that would lead to it. But sysfs has it for both, among the modules where ours is, and
 * the caller's mount namespace does not matter there. The driver cannot leave: the
 * namespace is open.
 */
static bool nvdm_stock_forbids_sgl(void)
{
	struct kset *modules = THIS_MODULE->mkobj.kobj.kset;
	struct kobject *module = modules ? kset_find_obj(modules, "nvme") : NULL;
	struct kernfs_node *parameters = NULL, *threshold = NULL;
	bool forbids = false;

	if (module)
		parameters = kernfs_find_and_get(module->sd, "parameters");
	if (parameters)
		threshold = kernfs_find_and_get(parameters, "sgl_threshold");
	if (threshold)
		forbids = nvdm_stock_parameter_is_zero(module, threshold);
	kernfs_put(threshold);
	kernfs_put(parameters);
	kobject_put(module);
	return forbids;
}

/**
 * nvdm_stock_uses_sgl - does the driver use SGLs for this disk, so that we may?
 * @disk: the namespace, which is open
 *
 * Since Linux 6.18 the driver gives up the virtual boundary where it found
 * that the controller takes SGLs. Before, there is no way to know.
 */
bool nvdm_stock_uses_sgl(struct gendisk *disk)
{
	return !queue_virt_boundary(disk->queue) && !nvdm_stock_forbids_sgl();
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
	const u64 dptr[2] = { io->prp1,
			      io->sgl ? STOCK_SGL(io->length - io->sgl_short) : io->prp2 };

	if (likely(io->opcode != nvme_cmd_flush)) {
		nvdm_stock_command_fill(ns, cmd, io->opcode, io->control, io->slba, io->length,
					dptr);
		return;
	}
	memset(cmd, 0, sizeof(*cmd));
	cmd->common.opcode = io->opcode;
	cmd->common.nsid = cpu_to_le32(ns->nsid);
}

/* The hardware queue on which this CPU's requests without REQ_POLLED go. */
static struct blk_mq_hw_ctx *nvdm_stock_hctx(struct request_queue *queue)
{
	unsigned int nr = queue->tag_set->map[HCTX_TYPE_DEFAULT].mq_map[raw_smp_processor_id()];
	struct blk_mq_hw_ctx *hctx, *found = NULL;
	unsigned long i;

	queue_for_each_hw_ctx(queue, hctx, i)
		if (i == nr)
			found = hctx;
	return found;
}

/*
 * Waits in the line of those who wait for a tag, as the block layer does, so that neither
 * its waiters nor ours starve. With a reference of the queue, which keeps the tags.
 */
static struct request *nvdm_stock_wait_tag(const struct nvdm_namespace *ns, u8 opcode,
					   unsigned int state, long timeout)
{
	struct request_queue *queue = ns->disk->queue;
	struct blk_mq_hw_ctx *hctx = nvdm_stock_hctx(queue);
	struct sbitmap_queue *tags;
	struct sbq_wait_state *line;
	struct request *rq;
	bool woken;
	DEFINE_SBQ_WAIT(wait);

	if (!hctx)
		return ERR_PTR(-EAGAIN);
	tags = &(hctx->sched_tags ?: hctx->tags)->bitmap_tags;
	line = sbq_wait_ptr(tags, &hctx->wait_index);
	sbitmap_prepare_to_wait(tags, line, &wait, state);
	rq = nvdm_stock_request_alloc(ns, opcode, 0);
	if (IS_ERR(rq)) {
		schedule_timeout(timeout);
		rq = nvdm_stock_request_alloc(ns, opcode, 0);
	}
	woken = list_empty(&wait.wait.entry);
	sbitmap_finish_wait(tags, line, &wait);
	/* Woken in vain: a freeze has begun, or this is another CPU. Then it is another's turn. */
	if (woken && (IS_ERR(rq) || rq->mq_hctx != hctx))
		sbitmap_queue_wake_up(tags, tags->wake_batch);
	return rq;
}

/* Waits until the driver lets new requests in. */
static void nvdm_stock_wait_thaw(struct request_queue *queue, unsigned int state, long timeout)
{
	DEFINE_WAIT(wait);

	prepare_to_wait(&queue->mq_freeze_wq, &wait, state);
	if (percpu_ref_is_dying(&queue->q_usage_counter))
		schedule_timeout(timeout);
	finish_wait(&queue->mq_freeze_wq, &wait);
}

/**
 * nvdm_stock_request_wait - wait for a request of the driver's
 * @ns: the namespace, of which @disk and @ctrl are looked at
 * @opcode: enum nvme_opcode
 * @state: TASK_KILLABLE or TASK_INTERRUPTIBLE, of a worker of io_uring's the former
 * @patience: how long in jiffies, or MAX_SCHEDULE_TIMEOUT
 *
 * The driver may keep new requests out for ever, so that this waits as long: not with
 * anything that others wait for.
 *
 * Return: the request; -ENODEV if the namespace is gone; -EINTR; or -ETIME.
 */
struct request *nvdm_stock_request_wait(const struct nvdm_namespace *ns, u8 opcode,
					unsigned int state, long patience)
{
	struct request_queue *queue = ns->disk->queue;
	unsigned long begin = jiffies;
	struct request *rq;
	long timeout;

	for (;;) {
		rq = nvdm_stock_request_alloc(ns, opcode, 0);
		if (!IS_ERR(rq))
			return rq;
		if (nvdm_namespace_is_gone(ns))
			return ERR_PTR(-ENODEV);
		if (nvdm_wait_is_over(state))
			return ERR_PTR(-EINTR);
		timeout = min_t(long, STOCK_WAIT, patience - (long)(jiffies - begin));
		if (timeout <= 0)
			return ERR_PTR(-ETIME);
		if (percpu_ref_tryget_live(&queue->q_usage_counter)) {
			rq = nvdm_stock_wait_tag(ns, opcode, state, timeout);
			percpu_ref_put(&queue->q_usage_counter);
			if (!IS_ERR(rq))
				return rq;
		} else {
			nvdm_stock_wait_thaw(queue, state, timeout);
		}
	}
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

/*
 * Past the plug, behind those that came before. Before Linux 6.5 a plugged request was given
 * to the I/O scheduler, and bfq expects a bio in each.
 *
 * The request may have ended, and with it the driver's part of a path that is removed,
 * before the block layer is done with the queue.
 */
static void nvdm_stock_request_insert(struct request *rq)
{
	struct request_queue *queue = rq->q;
	struct blk_plug *plug = current->plug;

	percpu_ref_get(&queue->q_usage_counter);
	current->plug = NULL;
	blk_execute_rq_nowait(rq, false);
	current->plug = plug;
	percpu_ref_put(&queue->q_usage_counter);
}

/**
 * nvdm_stock_request_submit - hand a command to the driver
 * @ns: the namespace, whose controller's layout was checked
 * @rq: from nvdm_stock_request_alloc(); no longer the caller's, on failure too
 * @io: the command
 * @end_io: called when it has ended, in any context; must call nvdm_stock_request_ends()
 *	and return RQ_END_IO_FREE
 * @data: the request's end_io_data
 *
 * Return: 0 if @end_io will be called, or nvdm_parked_find() will have found the request;
 * -ESTALE if the namespace's format changed; -ENODEV if the namespace is gone.
 */
int nvdm_stock_request_submit(const struct nvdm_namespace *ns, struct request *rq,
			      const struct nvdm_stock_io *io, rq_end_io_fn *end_io, void *data)
{
	struct nvdm_stock_pdu *pdu = blk_mq_rq_to_pdu(rq);
	/* Made where the driver will look for it: copied there, it is what it was. */
	int ret = nvdm_stock_request_prepare(ns, rq, io, pdu->cmd);

	if (ret) {
		blk_mq_free_request(rq);
		return ret;
	}
	nvdm_stock_request_set_end(rq, end_io, data);
	if (current->plug && !rq->q->elevator)
		blk_execute_rq_nowait(rq, false);
	else
		nvdm_stock_request_insert(rq);
	return 0;
}

/* A request that its submitter waits for. */
struct nvdm_stock_wait {
	struct completion done;
	struct request *rq;
	blk_status_t status;
	u32 nsid;
};

static enum rq_end_io_ret nvdm_stock_end_wait(RQ_END_IO_ARGS(rq, blk_status))
{
	struct nvdm_stock_wait *wait = rq->end_io_data;

	nvdm_stock_request_ends(rq);
	wait->status = blk_status;
	complete(&wait->done);
	return RQ_END_IO_NONE;
}

static bool nvdm_stock_end_if_parked(struct request *rq, rq_end_io_fn *end_io, const void *data)
{
	struct nvdm_stock_wait *wait = (void *)data;

	if (rq != wait->rq || end_io != nvdm_stock_end_wait)
		return false;
	nvdm_stock_request_disown(rq, wait->nsid);
	wait->rq = NULL;
	complete(&wait->done);
	return true;
}

/*
 * Executes a prepared request. Whether it has ended well or not is for the caller to see;
 * but if the driver keeps it from the drive for longer than the drive might take, or for
 * somebody who is to die, it is given up.
 *
 * Return: 0 if the request has ended, and is the caller's; otherwise -EIO or -EINTR.
 */
static int nvdm_stock_run(const struct nvdm_namespace *ns, struct request *rq, blk_status_t *status)
{
	unsigned long deadline = jiffies + rq->q->rq_timeout;
	struct nvdm_stock_wait wait = { .rq = rq, .nsid = ns->nsid };

	init_completion(&wait.done);
	nvdm_stock_request_set_end(rq, nvdm_stock_end_wait, &wait);
	nvdm_stock_request_insert(rq);
	while (!wait_for_completion_io_timeout(&wait.done, STOCK_WAIT))
		if (time_after(jiffies, deadline) || fatal_signal_pending(current))
			nvdm_parked_find(ns, nvdm_stock_end_if_parked, &wait);
	*status = wait.status;
	if (wait.rq)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -EIO;
}

/* For a command of the module's own. */
static struct request *nvdm_stock_request_get(const struct nvdm_namespace *ns, u8 opcode)
{
	struct request *rq =
		nvdm_stock_request_wait(ns, opcode, TASK_KILLABLE, ns->disk->queue->rq_timeout);

	return rq == ERR_PTR(-ETIME) ? ERR_PTR(-EIO) : rq;
}

/**
 * nvdm_stock_execute - execute a command and wait for it
 * @ns: the namespace
 * @io: the command
 * @result: where to return what the drive said
 *
 * Return: 0 if the drive completed the command, whatever its status; -EAGAIN if the driver
 * gave it up, in a reset or after a timeout; -ESTALE if the namespace's format changed;
 * -ENODEV if the namespace is gone; -EINTR; or -EIO.
 */
int nvdm_stock_execute(const struct nvdm_namespace *ns, const struct nvdm_stock_io *io,
		       struct nvdm_stock_result *result)
{
	struct request *rq = nvdm_stock_request_get(ns, io->opcode);
	struct nvme_command cmd;
	blk_status_t blk_status;
	int ret;

	if (IS_ERR(rq))
		return PTR_ERR(rq);

	ret = nvdm_stock_request_prepare(ns, rq, io, &cmd);
	if (!ret) {
		ret = nvdm_stock_run(ns, rq, &blk_status);
		if (ret)
			return ret;
		*result = nvdm_stock_request_result(rq);
		if (result->no_namespace)
			ret = -ENODEV;
		else if (result->cancelled || (blk_status && !result->status))
			ret = blk_queue_dying(rq->q) ? -ENODEV : result->cancelled ? -EAGAIN : -EIO;
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

	rq = nvdm_stock_request_get(ns, io.opcode);
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
	ret = nvdm_stock_run(ns, rq, &blk_status);
	if (ret)
		return ret;
	ret = -EOPNOTSUPP;
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
