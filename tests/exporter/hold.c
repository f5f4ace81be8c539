// SPDX-License-Identifier: GPL-2.0-only
/*
 * A namespace's queue in the state in which the nvme driver has it during a reset. Must not
 * know dma-bufs.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/fs.h>

#include "internal.h"

void hold_init(struct hold *hold)
{
	mutex_init(&hold->lock);
}

static struct request_queue *hold_queue(const struct hold *hold)
{
	return I_BDEV(hold->file->f_mapping->host)->bd_disk->queue;
}

void hold_end(struct hold *hold)
{
	struct request_queue *queue;

	mutex_lock(&hold->lock);
	if (hold->file) {
		queue = hold_queue(hold);
		if (hold->flags & EXPORTER_HOLD_FREEZE) {
			percpu_ref_resurrect(&queue->q_usage_counter);
			wake_up_all(&queue->mq_freeze_wq);
		}
		if (hold->flags & EXPORTER_HOLD_QUIESCE)
			blk_mq_unquiesce_queue(queue);
		fput(hold->file);
		hold->file = NULL;
	}
	mutex_unlock(&hold->lock);
}

static int hold_start_locked(struct hold *hold, const struct exporter_hold *args)
{
	struct request_queue *queue;

	if (hold->file)
		return -EBUSY;
	hold->file = fget(args->ns_fd);
	if (!hold->file)
		return -EBADF;
	if (!S_ISBLK(file_inode(hold->file)->i_mode) || !queue_is_mq(hold_queue(hold))) {
		fput(hold->file);
		hold->file = NULL;
		return -EINVAL;
	}
	hold->flags = args->flags;
	queue = hold_queue(hold);
	if (args->flags & EXPORTER_HOLD_FREEZE)
		percpu_ref_kill(&queue->q_usage_counter);
	if (args->flags & EXPORTER_HOLD_QUIESCE)
		blk_mq_quiesce_queue(queue);
	return 0;
}

int hold_start(struct hold *hold, const struct exporter_hold *args)
{
	int ret;

	if (args->flags & ~(EXPORTER_HOLD_QUIESCE | EXPORTER_HOLD_FREEZE))
		return -EINVAL;
	if (!args->flags) {
		hold_end(hold);
		return 0;
	}
	mutex_lock(&hold->lock);
	ret = hold_start_locked(hold, args);
	mutex_unlock(&hold->lock);
	return ret;
}
