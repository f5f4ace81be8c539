/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Storage: namespaces, files on them, the controllers behind them, and the stock nvme driver
 * whose requests carry commands. Knows of memory only that a controller is an importer. Must not know
 * dma-bufs, maps, commands or user memory.
 *
 *   controller  a PCI device bound to the stock nvme driver
 *   namespace   an open namespace and the path by which it is reached
 *   file        a regular file on a namespace, and where its blocks are: file.h
 *   poll        polled hardware queues, of which somebody must look for completions
 */
#ifndef NVME_DMABUF_STORAGE_H
#define NVME_DMABUF_STORAGE_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/hash.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../memory/memory.h"
#include "../nvdm.h"
#include "file.h"
#include "trial.h"

struct nvdm_controller_user;
struct nvdm_namespace;

/**
 * struct nvdm_controller_user_ops - what a user of a controller does when it is told to
 * @get: takes a reference of the user. Under a spinlock
 * @stop: the driver is about to leave: let no new command in. Under a spinlock
 * @leave: the driver has left, and has ended all requests: wait until the commands have ended,
 *	give back what is mapped, and call nvdm_controller_leave(). Drops the reference
 */
struct nvdm_controller_user_ops {
	void (*get)(struct nvdm_controller_user *user);
	void (*stop)(struct nvdm_controller_user *user);
	void (*leave)(struct nvdm_controller_user *user);
};

/**
 * struct nvdm_controller_user - who has something mapped for a controller, and commands for it
 * @ops: what it does
 * @disk: whose queue takes the commands
 * @node: in the controller's list
 */
struct nvdm_controller_user {
	const struct nvdm_controller_user_ops *ops;
	struct gendisk *disk;
	struct list_head node;
};

/**
 * struct nvdm_controller - a PCI device bound to the stock nvme driver
 * @node: in the list of controllers, while the driver is bound
 * @ref: references, of which the list holds one
 * @importer: the device, as memory knows it; its gone is set under @users_lock
 * @domain, @bdf: its address
 * @users_lock: protects @users and @orphans
 * @users: who uses it
 * @orphans: a disk of whose polled queues nobody may look for completions, or NULL
 * @orphans_until: when that ends, in jiffies
 * @watch: looks after commands that nobody waits for, while there are users or @orphans
 * @release: its place among the device's resources, for when the driver has left
 * @parked_lock: held while requests that the driver keeps from the drive are looked for
 * @probe_lock: protects the members below
 * @trial: test reads, and memory for them, once there was need for it
 * @checked: the stock driver's layout was verified
 * @sgl_checked: test reads found whether SGLs work
 * @sgl_works: whether they do
 * @max_command: bytes that a command may move as test reads found, or 0
 * @list_align: alignment of PRP lists that the drive wants as test reads found, or 0
 */
struct nvdm_controller {
	struct list_head node;
	struct kref ref;
	struct nvdm_importer importer;
	u32 domain;
	u32 bdf;
	spinlock_t users_lock;
	struct list_head users;
	struct gendisk *orphans;
	unsigned long orphans_until;
	struct delayed_work watch;
	struct nvdm_controller **release;
	struct mutex parked_lock;
	struct mutex probe_lock;
	struct trial trial;
	bool checked;
	bool sgl_checked;
	bool sgl_works;
	u32 max_command;
	u32 list_align;
};

int nvdm_controller_init(void (*end_late)(const struct nvdm_namespace *ns));
void nvdm_controller_exit(void);
struct nvdm_controller *nvdm_controller_get(struct pci_dev *pdev);
void nvdm_controller_put(struct nvdm_controller *ctrl);

static inline void nvdm_controller_hold(struct nvdm_controller *ctrl)
{
	kref_get(&ctrl->ref);
}

static inline struct device *nvdm_controller_device(const struct nvdm_controller *ctrl)
{
	return &ctrl->importer.pdev->dev;
}

static inline bool nvdm_controller_is_gone(const struct nvdm_controller *ctrl)
{
	return READ_ONCE(ctrl->importer.gone);
}

int nvdm_controller_join(struct nvdm_controller *ctrl, struct nvdm_controller_user *user);
void nvdm_controller_leave(struct nvdm_controller *ctrl, struct nvdm_controller_user *user);
void nvdm_controller_poll_for(struct nvdm_controller *ctrl, struct gendisk *disk);

/**
 * struct nvdm_namespace - an open namespace, and the path by which it is reached
 * @file: the caller's file, which gives access and keeps a device open; or what
 *	nvdm_namespace_let_go() left of a regular file
 * @mode: how it was opened
 * @mapping: its page cache
 * @bdev: what the caller opened, or what the file system of that is on: the namespace or a
 *	partition
 * @inode: of what the caller opened
 * @disk: the disk whose queue takes the commands: the namespace's own, or that
 *	of one path of a multipath device
 * @ctrl: the controller behind @disk
 * @base: first logical block of @bdev on the namespace
 * @start: that, or of a file in one piece its first block: what is added to a command's
 * @sectors: sectors of 512 bytes of what commands may address
 * @nsid: namespace identifier
 * @block_shift: log2 of the block size, when the namespace was opened
 * @block_size: the block size
 * @block_mask: that, less 1
 * @max_command: bytes that a command may move
 * @max_plain: the same of a plain command, which may be less
 * @list_align: alignment of PRP lists that the drive wants
 * @zone_blocks: blocks of a zone, a power of 2, or 0 if there are no zones
 * @flags: NVME_DMABUF_NS_*
 * @freezes: counts how often the queue was frozen, perhaps to format the
 *	namespace, or let go
 * @verified: @freezes before test reads showed how much the drive moves
 * @freeze_wait: count, on the queue of @disk and on that of a multipath device
 * @on_gone: called when the namespace has left its controller, in any context, perhaps
 *	more than once; or NULL
 */
struct nvdm_namespace {
	struct file *file;
	fmode_t mode;
	struct address_space *mapping;
	struct block_device *bdev;
	struct inode *inode;
	struct gendisk *disk;
	struct nvdm_controller *ctrl;
	u64 base;
	u64 start;
	const sector_t *sectors;
	u32 nsid;
	u32 block_shift;
	u32 block_size;
	u32 block_mask;
	u32 max_command;
	u32 max_plain;
	u32 list_align;
	u64 zone_blocks;
	u32 flags;
	atomic_t freezes;
	int verified;
	struct wait_queue_entry freeze_wait[2];
	void (*on_gone)(struct nvdm_namespace *ns);
};

int nvdm_namespace_open(struct nvdm_namespace *ns, int fd,
			void (*on_gone)(struct nvdm_namespace *ns), u32 *reason);
void nvdm_namespace_close(struct nvdm_namespace *ns);
int nvdm_namespace_let_go(struct nvdm_namespace *ns);
int nvdm_namespace_reread(struct nvdm_namespace *ns, u32 *reason);
int nvdm_namespace_access(const struct nvdm_namespace *ns, u32 access, u32 *reason);
int nvdm_namespace_begin(const struct nvdm_namespace *ns, u32 access, u32 *reason);
void nvdm_namespace_end(const struct nvdm_namespace *ns, u32 access);

/* As write(2) asks. */
static inline bool nvdm_namespace_forbids_writes(const struct nvdm_namespace *ns)
{
	return bdev_read_only(ns->bdev) || ns->inode->i_flags & (S_SWAPFILE | S_IMMUTABLE);
}

static inline bool nvdm_namespace_is_gone(const struct nvdm_namespace *ns)
{
	return nvdm_controller_is_gone(ns->ctrl) || test_bit(GD_DEAD, &ns->disk->state);
}

/*
 * May it have been formatted since test reads showed how much the drive moves? Whoever has a
 * request, which the driver lets out again after it has formatted, sees that it froze the
 * queue before. (x86 reads in order.)
 */
static inline bool nvdm_namespace_is_unverified(const struct nvdm_namespace *ns)
{
	smp_rmb();
	return atomic_read(&ns->freezes) != READ_ONCE(ns->verified);
}

/* The same, of who has looked before, at any namespace of the queue, and held it since. */
static inline bool nvdm_namespace_is_still_unverified(const struct nvdm_namespace *ns)
{
	return atomic_read(&ns->freezes) != READ_ONCE(ns->verified);
}

/*
 * Of a namespace without capacity: is it gone, or has it a format that the kernel cannot
 * use? The driver takes the capacity before it marks the disk as dead, but before it
 * changes a format it freezes the queue.
 */
static inline int nvdm_namespace_lost(const struct nvdm_namespace *ns)
{
	return nvdm_namespace_is_gone(ns) || !nvdm_namespace_is_unverified(ns) ? -ENODEV : -ESTALE;
}

/* The blocks now: a namespace may have been resized since it was opened. */
static inline u64 nvdm_namespace_capacity(const struct nvdm_namespace *ns)
{
	/* The mask spares a check of the shift's range. */
	return READ_ONCE(*ns->sectors) >> ((ns->block_shift - SECTOR_SHIFT) & 63);
}

/**
 * struct nvdm_stock_io - one NVMe command as the stock driver is to execute it
 * @opcode: enum nvme_opcode
 * @sgl: @prp1 is the address of @length contiguous bytes, for an SGL
 * @sgl_short: bytes that this SGL lacks, to see whether the drive minds
 * @control: CDW12 bits 31:16, without PRINFO
 * @timeout: in jiffies, or 0 for the driver's default
 * @slba: first logical block on the namespace
 * @length: bytes of data
 * @prp1: PRP Entry 1
 * @prp2: PRP Entry 2
 */
struct nvdm_stock_io {
	u8 opcode;
	bool sgl;
	u16 control;
	unsigned int timeout;
	u64 slba;
	u32 length;
	u32 sgl_short;
	u64 prp1;
	u64 prp2;
};

/**
 * struct nvdm_stock_result - what became of one
 * @result: dwords 0 and 1 of the completion queue entry
 * @status: its status field, or what the driver put in its place
 * @cancelled: the driver gave the command up
 * @no_namespace: the controller has no such namespace any more
 */
struct nvdm_stock_result {
	u64 result;
	u16 status;
	bool cancelled;
	bool no_namespace;
};

bool nvdm_stock_uses_sgl(struct gendisk *disk);
bool nvdm_stock_has_format(struct gendisk *disk);
bool nvdm_stock_polls(struct gendisk *disk);
int nvdm_stock_execute(const struct nvdm_namespace *ns, const struct nvdm_stock_io *io,
		       struct nvdm_stock_result *result);
int nvdm_stock_check_layout(const struct nvdm_namespace *ns, u64 prp1, u64 prp2);

int nvdm_probe_namespace(struct nvdm_namespace *ns, u32 *reason);
int nvdm_probe_again(struct nvdm_namespace *ns, u32 *reason);
int nvdm_probe_tail(struct nvdm_namespace *ns, u64 slba, u32 from, bool *zero);
void nvdm_probe_free(struct nvdm_controller *ctrl);
void nvdm_plug_check(const struct nvdm_namespace *ns, u64 prp1, u64 prp2);

/**
 * struct nvdm_poll_source - where the completions of polled commands come from
 * @disk: a disk, of which it holds a reference
 * @hctx: a polled hardware queue of it, and a reference: one that a reset has no use for
 *        may go before the disk does
 */
struct nvdm_poll_source {
	struct gendisk *disk;
	struct blk_mq_hw_ctx *hctx;
};

#define POLL_MAX_SOURCES 64U
#define POLL_INDEX_BITS	 8

/**
 * struct nvdm_poll - all that the commands of a context were ever polled of
 * @lock: for adding
 * @count: of @sources; read with acquire semantics
 * @index: of the source that was added last of those whose hardware queues have this hash
 * @sources: they stay until the end
 *
 * Threads read it with each command, and write to it only as they add a source.
 */
struct nvdm_poll {
	spinlock_t lock;
	u32 count;
	u8 index[1 << POLL_INDEX_BITS];
	struct nvdm_poll_source sources[POLL_MAX_SOURCES];
};

/**
 * nvdm_poll_known - find a hardware queue
 * @poll: where it was added
 * @hctx: the hardware queue
 *
 * Return: its bit, for nvdm_poll_mask(), or 0: it was not added, or is one that only
 * nvdm_poll_add() finds.
 */
static __always_inline u64 nvdm_poll_known(const struct nvdm_poll *poll,
					   const struct blk_mq_hw_ctx *hctx)
{
	u32 i = READ_ONCE(poll->index[hash_ptr(hctx, POLL_INDEX_BITS)]) % POLL_MAX_SOURCES;

	/* The rest of the source was written before. */
	return smp_load_acquire(&poll->sources[i].hctx) == hctx ? BIT_ULL(i) : 0;
}

void nvdm_poll_init(struct nvdm_poll *poll);
void nvdm_poll_exit(struct nvdm_poll *poll);
u64 nvdm_poll_add(struct nvdm_poll *poll, struct gendisk *disk, struct blk_mq_hw_ctx *hctx);
void nvdm_poll_add_disk(struct nvdm_poll *poll, struct gendisk *disk);
bool nvdm_poll_disk(struct nvdm_poll *poll, const struct gendisk *disk);
void nvdm_poll_orphans(struct gendisk *disk);
bool nvdm_poll_freezing(const struct nvdm_poll_source *source, struct io_comp_batch *iob);

/*
 * As blk_rq_poll() does, but without a request, which might be gone by now. Inside RCU, with
 * a reference of the queue, which keeps the driver's part of it; there is none to get of a
 * queue that no request can be in, such as that of a drive that was removed. A reset may
 * have put another hardware queue in the place of this one, or this one in another's. While
 * the driver makes its queues anew, which it does when they are quiesced, nobody may look
 * at them; it waits for RCU, and sees to what had completed itself. (While new firmware is
 * activated they are quiesced too, and what completes then is found later.)
 */
static inline bool nvdm_poll_held(const struct nvdm_poll_source *source, struct io_comp_batch *iob)
{
	struct request_queue *queue = source->disk->queue;

	return likely(source->hctx->type == HCTX_TYPE_POLL &&
		      list_empty(&source->hctx->hctx_list) && !blk_queue_quiesced(queue)) &&
	       queue->mq_ops->poll(source->hctx, iob) > 0;
}

/* Inside RCU. */
static inline bool nvdm_poll_source(const struct nvdm_poll_source *source,
				    struct io_comp_batch *iob)
{
	struct percpu_ref *usage = &source->disk->queue->q_usage_counter;
	bool found = false, live;

	live = percpu_ref_tryget_live_rcu(usage);
	if (likely(live)) {
		found = nvdm_poll_held(source, iob);
		nvdm_ref_put_rcu(usage);
	}
	return likely(live) ? found : nvdm_poll_freezing(source, iob);
}

/**
 * nvdm_poll_once - look for completions
 * @poll: where the hardware queues were added
 * @mask: their bits
 * @iob: gets requests that the caller must complete
 *
 * Inside RCU.
 *
 * Return: whether there were any.
 */
static inline bool nvdm_poll_once(const struct nvdm_poll *poll, u64 mask, struct io_comp_batch *iob)
{
	bool found = false;

	for (; mask; mask &= mask - 1)
		found |= nvdm_poll_source(&poll->sources[__ffs64(mask)], iob);
	return found;
}

/**
 * nvdm_poll_mask - look for completions, and complete what was found
 * @poll: where the hardware queues were added
 * @mask: their bits
 * @poll_ctx: for the commands' complete(), where the kernel can pass it on; or a struct
 *	nvdm_ended that the caller has taken, to which its owner's commands are added; or
 *	NULL
 *
 * Inside RCU.
 *
 * Return: whether there were any.
 */
static inline bool nvdm_poll_mask(const struct nvdm_poll *poll, u64 mask, void *poll_ctx)
{
	DEFINE_IO_COMP_BATCH(iob);
	bool found;

	io_comp_batch_set_poll_ctx(&iob, poll_ctx);
	found = nvdm_poll_once(poll, mask, &iob);
	if (iob.complete)
		iob.complete(&iob);
	return found;
}

/* parked.c */

/* How long somebody who waits for commands does so before he ends those that are parked. */
#define PARKED_PATIENCE HZ

typedef bool nvdm_parked_fn(struct request *rq, rq_end_io_fn *end_io, const void *data);
void nvdm_parked_find(const struct nvdm_namespace *ns, nvdm_parked_fn *end, const void *data);
bool nvdm_parked_is_late(struct request *rq);

#endif
