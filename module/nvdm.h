/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all of the module's files share. Here is also how they belong together: the objects,
 * their locks and their lifetimes.
 *
 *   context     an open file of /dev/nvme-dmabuf; owns maps          context.h
 *   map         what a caller numbers: a mapping and a namespace     map.h
 *   mapping     a range of a dma-buf, mapped for a controller        memory/memory.h
 *   user pages  a process's memory that was made a dma-buf           memory/user_pages.c
 *   namespace   an open namespace, and the path to it                storage/storage.h
 *   controller  a PCI device bound to the stock nvme driver          storage/storage.h
 *   command     an NVMe Read, Write or Flush, in one or more parts   command.h
 *   submitter   a run of submissions, and what it has looked up      command.h
 *   batch       commands that their submitter waits for              batch.h
 *   queue       commands in flight, and a ring for completions       queue.h
 *   fence       a sync_file waited for, or given away                fence.h
 *
 * Two sides. A map joins memory, which an exporter can take back, and storage, which can be
 * formatted or go. Neither side knows the other, or maps: a map is a user of a mapping and of
 * a controller, and each asks its users to stop, to drain and to leave.
 *
 * Lifetimes. A context holds its maps; a map holds its mapping, which holds the dma-buf, and
 * its namespace, which holds the open file, the path's disk and the controller. A mapping is
 * shared by all maps, of any context, that want the same range, direction and controller; it
 * is attached while there are users, and mapped from when the first of them begins until the
 * last one leaves or the exporter takes it back. So is a file, whose leases are held from when
 * the first of them begins until the last one leaves or somebody breaks them. Whoever looks up
 * a map uses it inside the context's SRCU, and a map is destroyed after that. Whoever finds a
 * map inside RCU alone may only try to take its inflight reference, for a map's memory is
 * freed a grace period after that. Each part of a command holds its map's inflight reference
 * from before its addresses are looked up until the drive has finished with it; only then may
 * the map be unmapped. nvdm_map_stop() lets no new part in, nvdm_map_drain() waits for the rest.
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
 * has its mapping mapped and makes it LIVE; nvdm_map_stop() ends that, for good if the state is
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
 * Invalidation. An exporter calls nvdm_mapping_invalidate() with its reservation
 * lock held. When that returns, no command of any user is in flight, none will be, and the
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
 *                          detaching it (map->attached is set and cleared under it). It is
 *                          the map's own, for an exporter may take its time
 *   mapping->lock          who is the first to join a mapping, and who the last to leave
 *                          (mapping->attach is set and cleared under it)
 *   file->lock             the leases of a file, and its blocks. Inside it locks of inodes,
 *                          which file systems take
 *   controller->probe_lock test reads, and their memory
 *   plug_lock              what is known of the block layer's plugs
 *   importer->lists_lock   the memory of aligned lists
 *   controllers_lock       the list of controllers
 *   dmabuf->resv           a mapping, its list and its users; alone it is
 *                          enough to undo a mapping, as an exporter that invalidates,
 *                          which holds it when it calls us, makes us do
 *   pages->lock            of own memory that was exported: who maps it. Inside it the DMA
 *                          API only
 *   controller->parked_lock  one at a time: looking for requests that the driver keeps back
 *   importer->lock         (spinlock) the importer's list of mappings
 *   controller->users_lock (spinlock) the controller's list of users, and gone
 *   flc_lock               (spinlock) of an inode's leases: held by whoever breaks one
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
 * and nothing here takes it. Before the driver is unbound only controllers_lock, users_lock
 * and map->lock are taken, so that whatever an exporter does, the driver can leave. After
 * that exporters are waited for, with the device lock held and nothing else. Completion
 * takes the last four, none inside another but what those have who wait for a queue or a
 * fence, and of the others none; but who polls, or ends parked commands, completes under
 * the lock that it has.
 */
#ifndef NVME_DMABUF_NVDM_H
#define NVME_DMABUF_NVDM_H

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/percpu-refcount.h>
#include <linux/sched/signal.h>
#include <linux/nvme_dmabuf.h>

#include "compat/compat.h"

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

/* Sleeps for some jiffies, or until that is so, with no lock held unless interruptibly. */
static inline void nvdm_wait_for(unsigned int state, long jiffies_to_wait)
{
	if (current->flags & PF_IO_WORKER || !(state & TASK_INTERRUPTIBLE))
		state = TASK_KILLABLE | TASK_FREEZABLE;
	else
		state = TASK_INTERRUPTIBLE;
	__set_current_state(state);
	schedule_timeout(jiffies_to_wait);
}

/* Jiffies until then; none if it is over. */
static inline s64 nvdm_jiffies_until(ktime_t deadline)
{
	s64 left = ktime_to_ns(ktime_sub(deadline, ktime_get()));

	return left > 0 ? nsecs_to_jiffies(left) + 1 : 0;
}

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

#endif
