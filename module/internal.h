/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module's files share: the objects, their locks and their lifetimes.
 *
 *   context     an open file of /dev/nvme-dmabuf; owns maps
 *   map         a range of a dma-buf, mapped for one namespace's controller
 *   namespace   an open namespace and the path by which it is reached
 *   controller  a PCI device bound to the stock nvme driver
 *   command     an NVMe Read, Write or Flush, in one or more parts
 *   batch       commands that their submitter waits for
 *   queue       commands in flight, and a ring for their completions
 *   submitter   a run of submissions, with what it need not look up again
 *
 * Lifetimes. A context holds its maps; a map holds its namespace, which holds
 * the open file, the path's disk and the controller. Whoever looks up a map
 * uses it inside the context's SRCU, and a map is destroyed after that. Whoever finds a
 * map inside RCU alone may only try to take its inflight reference, for a map's memory is
 * freed a grace period after that. Each part
 * of a command holds its map's inflight reference from before its addresses
 * are looked up until the drive has finished with it; only then may the map be
 * unmapped. nvdm_map_stop() lets no new part in, nvdm_map_drain() waits for the rest.
 * Code that holds an inflight reference, be it a command's or one that a submitter took for
 * commands to follow, must not sleep. A controller's maps are unmapped after its driver was
 * unbound and has disabled it, and before the device goes. A fence that was given away may
 * outlive all of these; it holds the module. A queue holds the context's file, and lives
 * until its commands have ended.
 *
 * Commands end, whatever the driver does. It ends each request that the drive has, by its
 * timeout and then by disabling the controller, for which it allocates nothing. A request
 * that it keeps from the drive (parked.c) is ended by who waits for its map or its queue,
 * after PARKED_PATIENCE, and otherwise by the controller's watch, once it was parked for as
 * long as the drive might have taken. Commands on polled queues end when somebody looks, so
 * who waits for a map or a queue also polls.
 *
 * Plain commands. Most commands are a Read or Write of one part, without flags or a
 * timeout. They go a short way, which sleeps nowhere and is inside RCU: the map is found in
 * the context's table, and no struct of ours need say how far the command is. All others,
 * and those that meet something unusual, go the long way, which can tell every reason and
 * wait. On the short way no memory is written by two threads that have a queue, or a ring,
 * of their own: counts are kept for each CPU, and what a context shares is only read.
 *
 * A map's states. It begins as REVOKED: attached, not mapped. nvdm_map_refresh()
 * maps it and makes it LIVE; nvdm_map_stop() ends that, for good if the state is
 * GONE or DETACHED. What commands use of a map (its list, its namespace's format)
 * changes only while it is not LIVE and drained; so it is constant for who holds
 * an inflight reference.
 *
 * Formats. A PRP has no length: were the namespace formatted behind our back, the
 * drive would move more than was computed. The driver freezes the queue before it
 * formats, which waits for every request, and tells who waits on the queue's
 * mq_freeze_wq. So a command, once its request is allocated and keeps the next
 * freeze out, is let through only if test reads that began after the last one have
 * shown that the drive moves what is computed. A request that the plug still has keeps
 * the freeze out as well. This does not see formats of others
 * than this kernel, and those for which the driver freezes nothing: through io_uring,
 * or of a drive that allows other commands meanwhile; and of those through another
 * controller of a multipath device, it does not wait for what is in flight.
 *
 * Invalidation. An exporter calls nvdm_map_invalidate() with its reservation
 * lock held. When that returns, no command is in flight, none will be, and the
 * buffer is not mapped: there is nothing left that an exporter could wait for.
 * It waits for the drive alone, and not for the driver. It does so even if the buffer is
 * mapped but the map not yet LIVE; and it finds nothing to do if nothing is mapped, as when
 * exporters call it from inside our own pinning or mapping.
 *
 * Locks, outermost first:
 *
 *   queue->submit_lock     one submitter at a time
 *   context->lock          changes to the context's table of maps
 *   context->srcu          (read side) use of a map that was looked up. What is waited
 *                          for inside is an exporter's calls and test reads, these for the
 *                          driver's timeout at most. Fences, and requests that the driver
 *                          keeps back, are waited for outside, so that maps can be detached
 *   map->attach_lock       one at a time: attaching a map, mapping it, test reads for it,
 *                          detaching it (map->attach is set and cleared under it). It is
 *                          the map's own, for an exporter may take its time
 *   controller->probe_lock test reads, and their memory
 *   plug_lock              what is known of the block layer's plugs
 *   controller->lists_lock the memory of aligned lists
 *   controllers_lock       the list of controllers
 *   dmabuf->resv           a mapping and its list (map->sgt, map->list); alone it is
 *                          enough to undo a mapping, as an exporter that invalidates,
 *                          which holds it when it calls us, makes us do
 *   controller->parked_lock  one at a time: looking for requests that the driver keeps back
 *   controller->maps_lock  (spinlock) the controller's list of maps, and gone
 *   map->lock              (spinlock) a map's state, its event and
 *                          description. Inside it that of events->wait
 *   poll->lock             (spinlock) adding a hardware queue to those to poll
 *   ended->taken           (bit) one poller of a queue at a time; only ever tried
 *   freezing_lock          (spinlock) one poller of queues that are to be frozen at a
 *                          time; only ever tried
 *
 *   queue->lock            (spinlock, interrupts off) a queue's ring and free commands
 *   context->commands_lock (spinlock, interrupts off) free commands for io_uring
 *   command->lock          (spinlock, interrupts off) a command's outcome
 *   fence->lock            (spinlock, interrupts off) taken by the dma-fence code, and
 *                          inside it whatever those take who wait for the fence
 *
 * The device lock of the PCI device may be held outside all of these, by the driver core,
 * and nothing here takes it. Before the driver is unbound only controllers_lock, maps_lock
 * and map->lock are taken, so that whatever an exporter does, the driver can leave. After
 * that exporters are waited for, with the device lock held and nothing else. Completion
 * takes the last four, none inside another but what those have who wait for a queue or a
 * fence, and of the others none; but who polls, or ends parked commands, completes under
 * the lock that it has.
 */
#ifndef NVME_DMABUF_INTERNAL_H
#define NVME_DMABUF_INTERNAL_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/hash.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/pci.h>
#include <linux/percpu-refcount.h>
#include <linux/sched/signal.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/nvme_dmabuf.h>

#include "prp.h"
#include "trial.h"
#include "compat/compat.h"

#define COMMAND_MAX_BYTES      PRP_MAX_BYTES
#define COMMAND_MIN_TIMEOUT_MS 1000U
#define COMMAND_MAX_TIMEOUT_MS (60U * 60U * 1000U)
#define BATCH_MAX_COMMANDS     4096U
#define COMMAND_PLUG	       32U /* requests that the block layer takes at once */

/*
 * For memory of which a user determines how much: it is charged to the user, who gets ENOMEM
 * if there is none. Without __GFP_RETRY_MAYFAIL the OOM killer would come instead, as soon as
 * a memory cgroup is full. kvmalloc() and vmalloc() take these flags on all kernels.
 */
#define NVDM_GFP (GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* main.c: module parameters */
extern unsigned int max_maps;
extern bool use_sgl;
extern unsigned int prp_list_align;

struct nvdm_map;

/**
 * struct nvdm_controller - a PCI device bound to the stock nvme driver
 * @node: in the list of controllers, while the driver is bound
 * @ref: references, of which the list holds one
 * @pdev: the device
 * @domain, @bdf: its address
 * @maps_lock: protects @gone, @maps and @orphans
 * @gone: the driver is being unbound: no new DMA mappings
 * @maps: maps that are attached to this device
 * @orphans: a disk of whose polled queues nobody may look for completions, or NULL
 * @orphans_until: when that ends, in jiffies
 * @watch: looks after commands that nobody waits for, while there are maps or @orphans
 * @release: its place among the device's resources, for when the driver has left
 * @parked_lock: held while requests that the driver keeps from the drive are looked for
 * @lists_lock: protects the member below
 * @lists: memory for private PRP lists, once there was need for it
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
	struct pci_dev *pdev;
	u32 domain;
	u32 bdf;
	spinlock_t maps_lock;
	bool gone;
	struct list_head maps;
	struct gendisk *orphans;
	unsigned long orphans_until;
	struct delayed_work watch;
	struct nvdm_controller **release;
	struct mutex parked_lock;
	struct mutex lists_lock;
	struct dma_pool *lists;
	struct mutex probe_lock;
	struct trial trial;
	bool checked;
	bool sgl_checked;
	bool sgl_works;
	u32 max_command;
	u32 list_align;
};

int nvdm_controller_init(void);
void nvdm_controller_exit(void);
struct nvdm_controller *nvdm_controller_get(struct pci_dev *pdev);
void nvdm_controller_put(struct nvdm_controller *ctrl);

static inline void nvdm_controller_hold(struct nvdm_controller *ctrl)
{
	kref_get(&ctrl->ref);
}
bool nvdm_controller_translates(struct nvdm_controller *ctrl);
int nvdm_controller_join(struct nvdm_controller *ctrl, struct nvdm_map *map);
void nvdm_controller_leave(struct nvdm_controller *ctrl, struct nvdm_map *map);
void nvdm_controller_poll_for(struct nvdm_controller *ctrl, struct gendisk *disk);

/**
 * struct nvdm_namespace - an open namespace, and the path by which it is reached
 * @file: the caller's file, which gives access and keeps the device open
 * @bdev: what the caller opened: the namespace or a partition
 * @inode: of @bdev
 * @disk: the disk whose queue takes the commands: the namespace's own, or that
 *	of one path of a multipath device
 * @ctrl: the controller behind @disk
 * @start: first logical block of @bdev on the namespace
 * @nsid: namespace identifier
 * @block_shift: log2 of the block size, when the namespace was opened
 * @block_size: the block size
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
	struct block_device *bdev;
	struct inode *inode;
	struct gendisk *disk;
	struct nvdm_controller *ctrl;
	u64 start;
	u32 nsid;
	u32 block_shift;
	u32 block_size;
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
int nvdm_namespace_reread(struct nvdm_namespace *ns, u32 *reason);
int nvdm_namespace_access(const struct nvdm_namespace *ns, u32 access, u32 *reason);
int nvdm_namespace_begin(const struct nvdm_namespace *ns, u32 access, u32 *reason);
void nvdm_namespace_end(const struct nvdm_namespace *ns, u32 access);

/* As write(2) asks. */
static inline bool nvdm_namespace_forbids_writes(const struct nvdm_namespace *ns)
{
	return bdev_read_only(ns->bdev) || IS_SWAPFILE(ns->inode);
}

static inline bool nvdm_namespace_is_gone(const struct nvdm_namespace *ns)
{
	return READ_ONCE(ns->ctrl->gone) || test_bit(GD_DEAD, &ns->disk->state);
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

/* The namespace's blocks now; it may have been resized since it was opened. */
static inline u64 nvdm_namespace_capacity(const struct nvdm_namespace *ns)
{
	/* The mask spares a check of the shift's range. */
	return bdev_nr_sectors(ns->bdev) >> ((ns->block_shift - SECTOR_SHIFT) & 63);
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

/* A map's state besides NVME_DMABUF_STATE_*: nobody can find it any more. */
#define STATE_DETACHED (NVME_DMABUF_STATE_GONE + 1)

int nvdm_probe_namespace(struct nvdm_namespace *ns, u32 *reason);
int nvdm_probe_again(struct nvdm_namespace *ns, u32 *reason);
void nvdm_probe_free(struct nvdm_controller *ctrl);
void nvdm_plug_check(const struct nvdm_namespace *ns, u64 prp1, u64 prp2);

/*
 * Is whoever waits in this state to give up? A worker of io_uring's waits for more than a
 * signal: it is told to by a notification. Signals other than SIGKILL are not for it; that
 * one is pending means that its process is to stop, or to be frozen, and to go on later.
 */
static inline bool nvdm_wait_is_over(unsigned int state)
{
	if (current->flags & PF_IO_WORKER)
		return fatal_signal_pending(current) || test_thread_flag(TIF_NOTIFY_SIGNAL);
	return signal_pending_state(state, current);
}

/**
 * struct nvdm_events - what poll() waits for
 * @wait: woken when an event comes
 * @pending: maps that have one
 */
struct nvdm_events {
	wait_queue_head_t wait;
	atomic_t pending;
};

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

/**
 * nvdm_ref_put_rcu - percpu_ref_put() inside RCU, which that would enter and leave each time
 * @ref: the reference, whose owner may be gone afterwards
 */
static __always_inline void nvdm_ref_put_rcu(struct percpu_ref *ref)
{
	unsigned long __percpu *count;

	if (likely(__ref_is_percpu(ref, &count)))
		this_cpu_dec(*count);
	else
		percpu_ref_put(ref);
}

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

/**
 * struct nvdm_map - a range of a dma-buf, mapped for one namespace's controller
 * @id: its number in the context
 * @plain_read: of a plain Read of this map, struct command_words' kind; if there is none,
 *	the same as @plain_write
 * @plain_write: likewise
 * @inflight: one reference for each NVMe command in flight; dead unless LIVE
 * @idle: no command is in flight and none will be, unless LIVE
 * @ns: the namespace
 * @list: PRP entries of the range
 * @contiguous: DMA address of the range if it is one segment, for SGLs
 * @sgl: commands carry an SGL descriptor
 * @list_align: alignment of PRP lists that the drive wants
 * @access: NVME_DMABUF_ACCESS_*
 * @flags: NVME_DMABUF_ATTACH_*
 * @exporter_flags: NVME_DMABUF_MAP_DYNAMIC or _PINNED
 * @told: the exporter may call nvdm_map_invalidate()
 * @offset: first byte of the range in the dma-buf
 * @length: bytes of the range
 * @segments: DMA-contiguous segments
 * @list_bytes: memory that @list takes
 * @generation: counts the mappings made
 * @lock: for changes of the members from @sgl to here, and of these
 * @state: NVME_DMABUF_STATE_* or STATE_DETACHED
 * @event: the map has stopped, and nobody has read so
 * @events: the context's
 * @poll: the context's
 * @polled: a command went to a polled queue
 * @gone: stops the map when its namespace has gone
 * @stopped: when it stopped to take commands, in jiffies
 * @ref: references: one of the context's, and one of a controller's that leaves
 * @attach_lock: held while the map is attached, refreshed, verified or detached
 * @direction: of the DMA mapping
 * @dmabuf: the dma-buf
 * @attach: its attachment, while the controller can do DMA; under @attach_lock
 * @sgt: its DMA mapping, while it lasts; under the reservation lock
 * @node: in the controller's list of maps, while attached
 * @rcu: frees the map
 */
struct nvdm_map {
	u32 id;
	u64 plain_read;
	u64 plain_write;
	struct percpu_ref inflight;
	struct completion idle;
	struct nvdm_namespace ns;
	struct prp_list list;
	u64 contiguous;
	bool sgl;
	u32 list_align;
	u32 access;
	u32 flags;
	u32 exporter_flags;
	bool told;
	u64 offset;
	u64 length;
	u64 segments;
	u64 list_bytes;
	u64 generation;
	spinlock_t lock;
	int state;
	bool event;
	struct nvdm_events *events;
	struct nvdm_poll *poll;
	bool polled;
	struct work_struct gone;
	unsigned long stopped;
	struct kref ref;
	struct mutex attach_lock;
	enum dma_data_direction direction;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	struct list_head node;
	struct rcu_head rcu;
};

/* What nvdm_map_refresh() may return. No error number, for those may be an exporter's. */
#define MAP_MOVES 1

/*
 * May have commands in flight that end only if somebody looks. Who then looks finds the
 * source among those of nvdm_poll_disk().
 */
static inline bool nvdm_map_is_polled(const struct nvdm_map *map)
{
	/* Pairs with nvdm_command_note_request(). */
	return smp_load_acquire(&map->polled);
}

struct nvdm_map *nvdm_map_create(const struct nvme_dmabuf_attach *args, struct nvdm_events *events,
				 struct nvdm_poll *poll, u32 *reason);
void nvdm_map_destroy(struct nvdm_map *map);
void nvdm_map_put(struct nvdm_map *map);
void nvdm_map_stop(struct nvdm_map *map, int state);
int nvdm_map_stopped(const struct nvdm_map *map, u32 *reason);
void nvdm_map_drain(struct nvdm_map *map);
void nvdm_map_detach(struct nvdm_map *map);
int nvdm_map_refresh(struct nvdm_map *map, bool reread, u64 *generation, u32 *reason);
int nvdm_map_wait_fences(struct dma_buf *dmabuf, enum dma_resv_usage usage);
int nvdm_map_verify(struct nvdm_map *map, u32 *reason);
bool nvdm_map_take_event(struct nvdm_map *map, struct nvme_dmabuf_event *event);
void nvdm_map_return_event(struct nvdm_map *map);
int nvdm_map_describe(struct nvdm_map *map, struct nvme_dmabuf_map_info *info);

/* list.c: a map's PRP list, its memory included */
int nvdm_list_build(struct nvdm_map *map, u64 *segments, u32 *reason);
void nvdm_list_free(struct nvdm_map *map);

int nvdm_placement_find(struct nvdm_map *map, struct nvme_dmabuf_placement_run *runs, u32 max,
			u32 *count);
bool nvdm_placement_is_peers(struct nvdm_map *map);

int nvdm_peer_distance(struct nvdm_controller *ctrl, struct pci_dev *peer, u32 *reason);
bool nvdm_peer_unreachable(struct nvdm_controller *ctrl, u32 *reason);

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

struct nvdm_parked;

/**
 * struct nvdm_map_table - the maps of a context, each in the slot that its number names
 * @rcu: frees the table
 * @mask: number of slots, a power of 2, less 1
 * @slots: the map whose number ends in the slot's bits, or NULL
 *
 * No two maps have numbers that end alike, so that one look finds a map, however many
 * there are. At least half of the slots are free.
 */
struct nvdm_map_table {
	struct rcu_head rcu;
	u32 mask;
	struct nvdm_map __rcu *slots[];
};

/**
 * nvdm_map_table_find - the only map that can have a number
 * @table: the table, inside RCU
 * @id: the number, which is to be compared with the map's
 */
static __always_inline struct nvdm_map *nvdm_map_table_find(const struct nvdm_map_table *table,
							    u32 id)
{
	/* A mask and no branch: no number reads past the slots, not even speculatively. */
	return rcu_dereference(table->slots[id & table->mask]);
}

/**
 * struct nvdm_context - an open file of /dev/nvme-dmabuf
 * @file: the open file, while anybody may use the context
 * @table: maps by number
 * @srcu: maps that were looked up are used inside it
 * @next: where to look for the next free number
 * @count: maps in the table, or about to be
 * @lock: protects all of these against change
 * @events: of the maps
 * @poll: what commands are polled of
 * @queues: how many there are
 * @commands_lock: (spinlock) protects the members below
 * @commands: free commands for io_uring
 * @all_commands: these, and those that are not free
 */
struct nvdm_context {
	struct file *file;
	struct nvdm_map_table __rcu *table;
	struct srcu_struct srcu;
	u32 next;
	u32 count;
	struct mutex lock;
	struct nvdm_events events;
	struct nvdm_poll poll;
	atomic_t queues;
	spinlock_t commands_lock;
	struct nvdm_command *commands;
	struct nvdm_uring_command *all_commands;
};

#define CONTEXT_MAX_QUEUES 256U

struct nvdm_context *nvdm_context_create(struct file *file);
void nvdm_context_destroy(struct nvdm_context *ctx);
int nvdm_context_attach(struct nvdm_context *ctx, struct nvme_dmabuf_attach *args);
int nvdm_context_detach(struct nvdm_context *ctx, u32 id);
int nvdm_context_refresh(struct nvdm_context *ctx, struct nvme_dmabuf_refresh *args);
bool nvdm_context_next_event(struct nvdm_context *ctx, u32 *from, struct nvme_dmabuf_event *event);
void nvdm_context_return_event(struct nvdm_context *ctx, u32 id);
int nvdm_context_wait_fences(struct nvdm_context *ctx, u32 id, enum dma_resv_usage usage);
struct nvdm_map *nvdm_context_map(struct nvdm_context *ctx, u32 id);
void nvdm_context_end_parked(struct nvdm_context *ctx, const struct nvdm_parked *which);

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
 * @failed_at: offset of the first part that failed, or U64_MAX
 * @result: dwords 0 and 1 of the completion queue entry
 * @error: negative error number
 * @status: NVMe status
 * @reason: NVME_DMABUF_REASON_*
 * @lock: for the outcome, when parts fail
 * @next: in a list of commands that are free, or about to be submitted, or have ended
 */
struct nvdm_command {
	struct nvdm_map *map;
	void (*complete)(struct nvdm_command *cmd, void *poll_ctx);
	struct nvdm_ended *ended;
	void *owner;
	struct nvme_dmabuf_command uapi;
	atomic_t parts;
	u32 block_shift;
	u64 failed_at;
	u64 result;
	s32 error;
	u16 status;
	u16 reason;
	spinlock_t lock;
	struct nvdm_command *next;
};

/**
 * struct nvdm_submitter - who submits commands, and how
 * @ctx: the context that owns their maps
 * @srcu: of @ctx, while maps of it are used
 * @hctx: the hardware queue to which the last one went, of which @sources has the bit
 * @sources: where to add what to poll for the commands, as for nvdm_poll_mask()
 * @opf: REQ_POLLED if they go to polled queues, or 0, as once a drive turns out to have none
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
	int srcu;
	blk_opf_t opf;
	bool nowait;
	bool nonblock;
	unsigned int state;
	long patience;
	ktime_t deadline;
};

void nvdm_command_recognise(struct nvdm_map *map, u32 id);
void nvdm_command_init(struct nvdm_command *cmd,
		       void (*complete)(struct nvdm_command *cmd, void *poll_ctx),
		       struct nvdm_ended *ended, void *owner);
u32 nvdm_command_submit(struct nvdm_submitter *sub, struct nvdm_command **list, u32 count);
void nvdm_command_refuse(struct nvdm_command *cmd, int error, u32 reason);
bool nvdm_plain_submit(struct nvdm_submitter *sub, const struct nvme_dmabuf_command *uapi,
		       struct nvdm_map **map, rq_end_io_fn *end_io, void *data);
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

enum rq_end_io_ret nvdm_command_end_io(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_command_end_io_plain(RQ_END_IO_ARGS(rq, blk_status));
enum rq_end_io_ret nvdm_command_end_io_aligned(RQ_END_IO_ARGS(rq, blk_status));
void nvdm_command_fail(struct nvdm_command *cmd, u64 at, int error, u16 status, u32 reason);
void nvdm_command_end_parked(const struct nvdm_namespace *ns, const struct nvdm_parked *which);

/* parked.c */

/* How long somebody who waits for commands does so before he ends those that are parked. */
#define PARKED_PATIENCE HZ

typedef bool nvdm_parked_fn(struct request *rq, rq_end_io_fn *end_io, const void *data);
void nvdm_parked_find(const struct nvdm_namespace *ns, nvdm_parked_fn *end, const void *data);
bool nvdm_parked_is_late(struct request *rq);

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

/**
 * struct nvdm_batch - commands that are submitted and waited for together
 * @refs: one of the submitter, one of all commands together
 * @pending: commands not complete, plus one while they are being issued
 * @done: all commands are complete
 * @fence: signals when all commands are complete, or NULL
 * @error: of a command that failed, for the fence
 * @rcu: frees the batch
 * @count: number of commands
 * @commands: the commands
 */
struct nvdm_batch {
	refcount_t refs;
	atomic_t pending;
	struct completion done;
	struct dma_fence *fence;
	int error;
	struct rcu_head rcu;
	u32 count;
	struct nvdm_command commands[] __counted_by(count);
};

struct nvdm_batch *nvdm_batch_create(u32 count);
void nvdm_batch_submit(struct nvdm_context *ctx, struct nvdm_batch *batch);
void nvdm_batch_put(struct nvdm_batch *batch);

/**
 * struct nvdm_queue - commands in flight whose completions go to a ring
 * @ctx: the context, whose file it holds
 * @flags: NVME_DMABUF_QUEUE_*
 * @depth: commands that may be in flight
 * @entries: of the ring
 * @ring: shared with user space; only its head is ever read
 * @ring_bytes: pages of the ring
 * @event: counts completions, or NULL
 * @submit_lock: one submitter at a time; protects the members below
 * @spare: commands that are free, taken from @free
 * @sources: bit for each source that commands in flight may have to be polled of
 * @submitted: counts commands; written by the submitter, read by all
 * @ended: what the poller has found; the completions are to go to the ring
 * @lock: (spinlock) protects the members below, and writes to the ring
 * @tail: counts completions
 * @free: commands that are free; who has the submit_lock takes all, without this lock
 * @wait: who waits for completions
 * @commands: all commands
 */
struct nvdm_queue {
	struct nvdm_context *ctx;
	u32 flags;
	u32 depth;
	u32 entries;
	struct nvme_dmabuf_ring *ring;
	size_t ring_bytes;
	struct eventfd_ctx *event;
	struct mutex submit_lock;
	struct nvdm_command *spare;
	u64 sources;
	u32 submitted;
	struct nvdm_ended ended;
	spinlock_t lock;
	u32 tail;
	struct nvdm_command *free;
	wait_queue_head_t wait;
	struct nvdm_command commands[] __counted_by(depth);
};

#define QUEUE_MAX_DEPTH 4096U
#define QUEUE_FLAGS	(NVME_DMABUF_QUEUE_POLLED | NVME_DMABUF_QUEUE_EVENTFD)

/* Of commands that are being submitted, completions may be counted first. */
static inline u32 nvdm_queue_in_flight_at(const struct nvdm_queue *queue, u32 tail)
{
	s32 count = READ_ONCE(queue->submitted) - tail;

	return max(count, 0);
}

/**
 * nvdm_queue_in_flight - commands that were submitted and have not ended
 * @queue: the queue
 */
static inline u32 nvdm_queue_in_flight(const struct nvdm_queue *queue)
{
	return nvdm_queue_in_flight_at(queue, READ_ONCE(queue->tail));
}

static inline u32 nvdm_queue_unread_at(const struct nvdm_queue *queue, u32 tail)
{
	return min(tail - READ_ONCE(queue->ring->head), queue->entries);
}

/**
 * nvdm_queue_unread - completions that the ring holds
 * @queue: the queue
 *
 * If user space claims to have read what was not there, all of it.
 */
static inline u32 nvdm_queue_unread(const struct nvdm_queue *queue)
{
	return nvdm_queue_unread_at(queue, READ_ONCE(queue->tail));
}

/**
 * nvdm_queue_room - of how many more commands can the ring take the completions?
 * @queue: the queue
 */
static inline u32 nvdm_queue_room(const struct nvdm_queue *queue)
{
	u32 used = READ_ONCE(queue->submitted) - READ_ONCE(queue->ring->head);

	return used < queue->entries ? queue->entries - used : 0;
}

/**
 * nvdm_queue_spare - commands that may be filled in
 * @queue: the queue, under its submit_lock
 *
 * Return: the first of a list, perhaps not of all that are free, or NULL.
 */
static inline struct nvdm_command *nvdm_queue_spare(struct nvdm_queue *queue)
{
	if (!queue->spare)
		queue->spare = xchg_acquire(&queue->free, NULL);
	return queue->spare;
}

/**
 * nvdm_queue_submit - submit commands
 * @queue: the queue, under its submit_lock
 * @sub: who submits, and how
 * @count: how many of nvdm_queue_spare(), with uapi filled in, for which the ring has room
 *
 * Return: how many were submitted; the next one would have had to wait.
 */
static inline u32 nvdm_queue_submit(struct nvdm_queue *queue, struct nvdm_submitter *sub, u32 count)
{
	u32 done = nvdm_command_submit(sub, &queue->spare, count);

	WRITE_ONCE(queue->submitted, queue->submitted + done);
	return done;
}

struct nvdm_queue *nvdm_queue_create(struct nvdm_context *ctx,
				     const struct nvme_dmabuf_queue *args);
void nvdm_queue_destroy(struct nvdm_queue *queue);
bool nvdm_queue_poll(struct nvdm_queue *queue);
int nvdm_queue_wait(struct nvdm_queue *queue, u32 completions, ktime_t deadline);
int nvdm_queue_wait_room(struct nvdm_queue *queue, ktime_t deadline);

/* queue_file.c */
struct file *nvdm_queue_file(struct nvdm_queue *queue);

/* uring.c */
void nvdm_uring_free(struct nvdm_context *ctx);
enum rq_end_io_ret nvdm_uring_end_io(RQ_END_IO_ARGS(rq, blk_status));
struct nvdm_map *nvdm_uring_map(struct io_uring_cmd *ioucmd);
void nvdm_uring_give_up(struct io_uring_cmd *ioucmd, int error, u32 reason);
int nvdm_uring_cmd(struct io_uring_cmd *ioucmd, unsigned int issue_flags);
int nvdm_uring_iopoll(struct io_uring_cmd *ioucmd, struct io_comp_batch *iob,
		      unsigned int poll_flags);

/**
 * struct nvdm_aligned_list - a private copy of a part of a PRP list
 * @cmd: the command that uses it
 * @slots: the entries
 * @dma: where the drive finds them
 */
struct nvdm_aligned_list {
	struct nvdm_command *cmd;
	__le64 *slots;
	dma_addr_t dma;
};

int nvdm_aligned_list_prepare(struct nvdm_controller *ctrl);
void nvdm_aligned_list_exit(struct nvdm_controller *ctrl);
struct nvdm_aligned_list *nvdm_aligned_list_create(struct nvdm_command *cmd, u64 offset, u64 prp1,
						   u32 length);
void nvdm_aligned_list_destroy(struct nvdm_aligned_list *list);

/* fence.c */
struct dma_fence *nvdm_fence_create(void);
void nvdm_fence_signal(struct dma_fence *fence, int error);
int nvdm_fence_wait_file(int fd);
struct file *nvdm_fence_file(struct dma_fence *fence);

/* chardev.c: but for queue_file.c the only code that touches user memory */
int nvdm_chardev_read_args(void *args, size_t size, size_t min_size, const void __user *user);
int nvdm_chardev_register(void);
void nvdm_chardev_unregister(void);

#endif
