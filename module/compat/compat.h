/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the module builds for. The core is
 * written for the newest; this file gives older ones the same names, as the
 * probes beside it found. Each part says when it can be deleted.
 */
#ifndef NVME_DMABUF_COMPAT_H
#define NVME_DMABUF_COMPAT_H

#include <linux/blk-integrity.h>
#include <linux/blk-mq.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/eventfd.h>
#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/t10-pi.h>
/* Needs what comes before it. */
#include <linux/fs.h>
#include <linux/fileattr.h>
#include "uring_header.h"

/* Delete when 6.13 is the oldest kernel. */
#ifdef HAVE_IMPORT_NS_IDENTIFIER
#define COMPAT_IMPORT_NS(ns) MODULE_IMPORT_NS(ns)
#else
#define COMPAT_IMPORT_NS(ns) MODULE_IMPORT_NS(#ns)
#endif

/* Delete when 6.18 is the oldest kernel. */
#ifdef HAVE_RQ_END_IO_BATCH
#define RQ_END_IO_ARGS(rq, status) \
	struct request *rq, blk_status_t status, const struct io_comp_batch *iob
#define RQ_END_IO_PASS(rq, status) rq, status, iob
#else
#define RQ_END_IO_ARGS(rq, status) struct request *rq, blk_status_t status
#define RQ_END_IO_PASS(rq, status) rq, status
#endif

/* Delete when 7.0 is the oldest kernel. NULL: nobody knows who polls, or nobody does. */
#ifdef HAVE_POLL_CTX
#define RQ_END_IO_POLL_CTX (iob ? iob->poll_ctx : NULL)
#else
#define RQ_END_IO_POLL_CTX NULL
#endif

/* The structure of a poller that has set its poll_ctx, which holds the iob. */
#ifdef HAVE_POLL_CTX
#define RQ_END_IO_POLLER(type, member) container_of(iob, const type, member)
#else
#define RQ_END_IO_POLLER(type, member) ((const type *)NULL)
#endif

static inline void *io_comp_batch_poll_ctx(const struct io_comp_batch *iob)
{
#ifdef HAVE_POLL_CTX
	return iob->poll_ctx;
#else
	return NULL;
#endif
}

static inline void io_comp_batch_set_poll_ctx(struct io_comp_batch *iob, void *poll_ctx)
{
#ifdef HAVE_POLL_CTX
	iob->poll_ctx = poll_ctx;
#endif
}

/*
 * Delete when 7.1 is the oldest kernel. Before it, buffers stay where they
 * are while they are mapped unless the kernel was configured otherwise.
 */
#ifdef HAVE_INVALIDATE_MAPPINGS
#define COMPAT_MOVABLE true
#else
#define invalidate_mappings move_notify
#define COMPAT_MOVABLE	    IS_ENABLED(CONFIG_DMABUF_MOVE_NOTIFY)
#endif

/* Delete when 6.3 is the oldest kernel: leases had no header of their own. */
#ifdef HAVE_FILELOCK_HEADER
#include <linux/filelock.h>
#endif

/* Delete when 6.9 is the oldest kernel: a lease was a file lock. */
#ifdef HAVE_FILE_LEASE
#define LEASE_CORE(fl, member) ((fl)->c.flc_##member)
#else
#define LEASE_CORE(fl, member)	 ((fl)->fl_##member)
#define file_lease		 file_lock
#define lease_manager_operations lock_manager_operations
#define locks_alloc_lease	 locks_alloc_lock
#define locks_free_lease	 locks_free_lock
#endif

/* Delete when 7.0 is the oldest kernel: whose lease it is decides who is in its way. */
#ifdef HAVE_LEASE_OPEN_CONFLICT
#define LEASE_OPEN_CONFLICT(function) .lm_open_conflict = function,
#else
#define LEASE_OPEN_CONFLICT(function)
#endif

/* A lease of which the owner is asked to give it back. */
static inline void lease_fill(struct file_lease *fl, struct file *file, unsigned int flags,
			      int type, const struct lease_manager_operations *ops, void *owner)
{
	fl->fl_lmops = ops;
	LEASE_CORE(fl, flags) = flags;
	LEASE_CORE(fl, type) = type;
	LEASE_CORE(fl, owner) = owner;
	LEASE_CORE(fl, pid) = current->tgid;
	LEASE_CORE(fl, file) = file;
#ifndef HAVE_FILE_LEASE
	fl->fl_end = OFFSET_MAX;
#endif
}

static inline void *lease_owner(const struct file_lease *fl)
{
	return LEASE_CORE(fl, owner);
}

static inline void lease_never_times_out(struct file_lease *fl)
{
	fl->fl_break_time = 0;
	fl->fl_downgrade_time = 0;
}

/* Delete when 6.17 is the oldest kernel. */
#ifndef HAVE_FILE_KATTR
#define file_kattr fileattr
#endif

/**
 * dma_buf_attaches_static - will dma_buf_attach_directed() attach statically?
 * @dmabuf: the dma-buf
 */
static inline bool dma_buf_attaches_static(struct dma_buf *dmabuf)
{
#ifdef HAVE_ATTACHMENT_CACHES_SGT
	return !dma_buf_is_dynamic(dmabuf);
#else
	return false;
#endif
}

/**
 * dma_buf_attach_directed - attach so that a mapping has the direction asked for
 * @dmabuf: the dma-buf
 * @dev: the device
 * @ops: importer's operations, for exporters that may ask for the buffer back
 * @priv: importer's data
 *
 * While attachments cached mappings, a dynamic attachment to a static exporter
 * was mapped at once, and in both directions. Such an exporter never calls
 * back, so a static attachment serves it as well. Delete when 6.16 is the
 * oldest kernel.
 */
static inline struct dma_buf_attachment *
dma_buf_attach_directed(struct dma_buf *dmabuf, struct device *dev,
			const struct dma_buf_attach_ops *ops, void *priv)
{
	if (dma_buf_attaches_static(dmabuf))
		return dma_buf_attach(dmabuf, dev);
	return dma_buf_dynamic_attach(dmabuf, dev, ops, priv);
}

/* Delete when 6.10 is the oldest kernel: until then each address has to be asked for. */
#ifndef HAVE_DMA_DEV_NEED_SYNC
static inline bool dma_dev_need_sync(const struct device *dev)
{
	return true;
}
#endif

/* Delete when 6.5 is the oldest kernel. */
static inline long pin_pages(unsigned long addr, unsigned long count, unsigned int gup_flags,
			     struct page **pages)
{
#ifdef HAVE_PIN_USER_PAGES_VMAS
	return pin_user_pages(addr, count, gup_flags, pages, NULL);
#else
	return pin_user_pages(addr, count, gup_flags, pages);
#endif
}

/**
 * integrity_is_pi_alone - is a block's metadata 8 bytes of Protection Information?
 * @integrity: the disk's integrity profile
 *
 * Delete the first variant when 6.11 is the oldest kernel, the second when
 * 6.17 is.
 */
static inline bool integrity_is_pi_alone(const struct blk_integrity *integrity)
{
#if defined(HAVE_INTEGRITY_PROFILE)
	/* Which goes while the driver looks at a new format. */
	const struct blk_integrity_profile *profile = READ_ONCE(integrity->profile);

	return integrity->tuple_size == sizeof(struct t10_pi_tuple) && profile &&
	       !strncmp(profile->name, "T10-DIF-", strlen("T10-DIF-"));
#elif defined(HAVE_INTEGRITY_TUPLE_SIZE)
	return integrity->tuple_size == sizeof(struct t10_pi_tuple) &&
	       integrity->csum_type == BLK_INTEGRITY_CSUM_CRC;
#else
	return integrity->metadata_size == sizeof(struct t10_pi_tuple) &&
	       integrity->csum_type == BLK_INTEGRITY_CSUM_CRC;
#endif
}

/* Older kernels have another list. Delete when 6.13 is the oldest kernel. */
#ifdef HAVE_PLUG_RQ_LIST
#define COMPAT_PLUG true

/** plug_has_room - may plug_add() add a request like its last one? */
static __always_inline bool plug_has_room(const struct blk_plug *plug)
{
	return plug->rq_count < 32;
}

/**
 * plug_would_take - may plug_add() add this request, if plugs are as is believed?
 * @plug: the plug, if there is one
 * @rq: a passthrough request without a bio
 * @end_io: what is to be called at its end
 * @last: where to return the plug's last request, which is then one like this, or NULL if
 *	the plug is empty
 *
 * Then blk_execute_rq_nowait() would change nothing of the plug but its list. It would also
 * emit block_plug and block_io_start.
 */
static __always_inline bool plug_would_take(const struct blk_plug *plug, const struct request *rq,
					    rq_end_io_fn *end_io, struct request **last)
{
	*last = NULL;
	if (unlikely(!plug || !plug_has_room(plug)))
		return false;
	if (!plug->rq_count)
		return !(rq->rq_flags & RQF_SCHED_TAGS);
	*last = plug->mq_list.tail;
	return (*last)->mq_hctx == rq->mq_hctx && (*last)->end_io == end_io &&
	       !((*last)->rq_flags & RQF_IO_STAT);
}

/* Which plug_takes(), and after @last, which that has found. */
static __always_inline void plug_add(struct blk_plug *plug, struct request *last,
				     struct request *rq)
{
	rq->rq_next = NULL;
	if (last)
		last->rq_next = rq;
	else
		plug->mq_list.head = rq;
	plug->mq_list.tail = rq;
	plug->rq_count++;
}

/**
 * plug_has_added - has blk_execute_rq_nowait() done what plug_add() does, and no more?
 * @before: a copy of the plug before
 * @plug: the plug after
 * @last: what plug_would_take() had found
 * @rq: the request, which plug_would_take() allowed
 */
static inline bool plug_has_added(const struct blk_plug *before, const struct blk_plug *plug,
				  struct request *last, struct request *rq)
{
	struct blk_plug expected;

	/* Then it is in the plug, and plug_add() writes to requests what stands there. */
	if (plug->mq_list.tail != rq || rq->rq_next || (last && last->rq_next != rq) ||
	    rq->rq_flags & RQF_IO_STAT)
		return false;
	memcpy(&expected, before, sizeof(expected));
	plug_add(&expected, last, rq);
	/* A task that loses the processor forgets the time that it kept here. */
	expected.cur_ktime = plug->cur_ktime;
	return !memcmp(&expected, plug, sizeof(expected));
}
#else
#define COMPAT_PLUG false

static inline bool plug_has_room(const struct blk_plug *plug)
{
	return false;
}

static inline bool plug_would_take(const struct blk_plug *plug, const struct request *rq,
				   rq_end_io_fn *end_io, struct request **last)
{
	*last = NULL;
	return false;
}

static inline void plug_add(struct blk_plug *plug, struct request *last, struct request *rq)
{
}

static inline bool plug_has_added(const struct blk_plug *before, const struct blk_plug *plug,
				  struct request *last, struct request *rq)
{
	return false;
}
#endif

DECLARE_STATIC_KEY_FALSE(plug_trusted);

/* May plug_add() add this request? As plug_would_take(), where plugs are known: see plug.c. */
static __always_inline bool plug_takes(const struct blk_plug *plug, const struct request *rq,
				       rq_end_io_fn *end_io, struct request **last)
{
	*last = NULL;
	return COMPAT_PLUG && static_branch_likely(&plug_trusted) &&
	       plug_would_take(plug, rq, end_io, last);
}

/* plug_peek(), if plugs are as is believed. */
static __always_inline struct request *plug_would_peek(const struct blk_plug *plug)
{
#ifdef HAVE_RQ_PHYS_GAP
	struct request *rq = plug->cached_rqs.head;

	/* Flags are of an I/O scheduler, or of power management: more would be to be done. */
	return rq && !rq->rq_flags ? rq : NULL;
#else
	return NULL;
#endif
}

/**
 * plug_peek - the request that blk_mq_alloc_request() would take from a plug
 * @plug: the plug
 *
 * Return: a request for plug_pop(), if it is of the queue and type that the caller wants;
 * or NULL, and then blk_mq_alloc_request() sees what there is. The request holds its queue,
 * which has not been frozen since the plug was filled. Older kernels keep requests in
 * another way.
 */
static __always_inline struct request *plug_peek(const struct blk_plug *plug)
{
	return COMPAT_PLUG && static_branch_likely(&plug_trusted) ? plug_would_peek(plug) : NULL;
}

/**
 * plug_pop - take it, as blk_mq_alloc_request() would
 * @plug: the plug
 * @rq: the request, from plug_peek()
 * @opf: a passthrough operation and flags, none of them a flush
 *
 * When it was allocated matters to blk-iocost, which lets passthrough requests be. Whoever
 * puts it into a list sets the list's member.
 */
static __always_inline void plug_pop(struct blk_plug *plug, struct request *rq, blk_opf_t opf)
{
#ifdef HAVE_RQ_PHYS_GAP
	rq_list_pop(&plug->cached_rqs);
	rq->cmd_flags = opf;
#ifdef CONFIG_BLK_RQ_ALLOC_TIME
	rq->alloc_time_ns = 0;
#endif
	rq->__data_len = 0;
	rq->phys_gap_bit = 0;
	rq->__sector = (sector_t)-1;
	rq->bio = NULL;
	rq->biotail = NULL;
#endif
}

/**
 * plug_has_popped - has blk_mq_alloc_request() done what plug_pop() does?
 * @plug: the plug after
 * @next: what its cache had behind the request
 * @rq: the request
 */
static inline bool plug_has_popped(const struct blk_plug *plug, const struct request *next,
				   const struct request *rq)
{
#ifdef HAVE_RQ_PHYS_GAP
	return plug->cached_rqs.head == next && !rq->rq_flags && !rq->__data_len &&
	       !rq->phys_gap_bit && rq->__sector == (sector_t)-1 && !rq->bio && !rq->biotail;
#else
	return true;
#endif
}

/* Early releases of each series lack it: there work for the task ends waits as a signal does. */
#ifndef PF_NO_NOTIFY_SIGNAL
static inline unsigned int no_notify_signal_save(void)
{
	return 0;
}

static inline void no_notify_signal_restore(unsigned int flags)
{
}
#endif

/* Delete when 6.8 is the oldest kernel. */
static inline void eventfd_signal_one(struct eventfd_ctx *event)
{
#ifdef HAVE_EVENTFD_SIGNAL_COUNT
	eventfd_signal(event, 1);
#else
	eventfd_signal(event);
#endif
}

/* Delete when 6.5 is the oldest kernel. */
#ifndef IORING_URING_CMD_MASK
#define IORING_URING_CMD_MASK IORING_URING_CMD_FIXED
#endif

/** uring_payload - the cmd area of a submission queue entry, user space's memory */
static inline const void *uring_payload(const struct io_uring_cmd *ioucmd)
{
#ifdef HAVE_URING_SQE
	return ioucmd->sqe->cmd;
#else
	return ioucmd->cmd;
#endif
}

/**
 * uring_cmd_done - complete a command
 * @ioucmd: the command, which is gone when this returns
 * @res: of the completion queue entry
 * @big: dword 0 and 1 of a big completion queue entry
 * @issue_flags: of the context in which it is called, as io_uring gave them
 */
static inline void uring_cmd_done(struct io_uring_cmd *ioucmd, s32 res, u64 big,
				  unsigned int issue_flags)
{
#ifdef HAVE_URING_CMD_DONE32
	io_uring_cmd_done32(ioucmd, res, big, issue_flags);
#elif defined(HAVE_URING_TASK_ALONE)
	io_uring_cmd_done(ioucmd, res, big);
#else
	io_uring_cmd_done(ioucmd, res, big, issue_flags);
#endif
}

/*
 * What a task of the ring's calls. Delete the second variant when 6.3 is the oldest kernel,
 * and the third when 6.19 is.
 */
#ifdef HAVE_URING_TW_REQ
#define URING_TASK_ARGS	 struct io_tw_req tw_req, io_tw_token_t tw
#define URING_TASK_CMD	 io_uring_cmd_from_tw(tw_req)
#define URING_TASK_FLAGS IO_URING_CMD_TASK_WORK_ISSUE_FLAGS
#elif defined(HAVE_URING_TASK_ALONE)
#define URING_TASK_ARGS	 struct io_uring_cmd *tw_cmd
#define URING_TASK_CMD	 tw_cmd
#define URING_TASK_FLAGS 0
#else
#define URING_TASK_ARGS	 struct io_uring_cmd *tw_cmd, unsigned int tw_flags
#define URING_TASK_CMD	 tw_cmd
#define URING_TASK_FLAGS tw_flags
#endif

/* Delete when 6.5 is the oldest kernel: until then each completion wakes the task. */
#ifdef HAVE_URING_LAZY
#define uring_cmd_in_task io_uring_cmd_do_in_task_lazy
#else
#define uring_cmd_in_task io_uring_cmd_complete_in_task
#endif

/** uring_polls_itself - is this called by the command's own ring, as it polls? */
static inline bool uring_polls_itself(struct io_uring_cmd *ioucmd, void *poll_ctx)
{
#ifdef HAVE_POLL_CTX
	return poll_ctx && poll_ctx == io_uring_cmd_ctx_handle(ioucmd);
#else
	return false;
#endif
}

/* Delete when 6.6 is the oldest kernel. */
#ifndef __counted_by
#define __counted_by(member)
#endif

#endif
