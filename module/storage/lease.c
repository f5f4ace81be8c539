// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases of files. What is held of each file is a delegation for reading: a read lease that
 * is also broken by those who truncate a file without opening it for writing, as by open(2)
 * with O_RDONLY and O_TRUNC, through overlayfs, or by nfsd. Nobody has the file open for
 * writing, not even by the caller's own descriptor; whoever opens it so, truncates it, or
 * changes its attributes or its name waits until the delegation is given back. That covers all
 * that moves the blocks of a file which is open for writing, such as defragmentation.
 *
 * A layout lease covers what XFS does to files that are not: it lets the owner of a file
 * deduplicate it by a descriptor for reading. It alone is not enough either, for
 * XFS_IOC_SWAPEXT, which needs the file open for writing, breaks no layout.
 *
 * Must not know where blocks are.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/hash.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "storage.h"

/*
 * Leases of other users' files are for their owners and for CAP_LEASE. Ours give the caller
 * nothing but that others wait for a moment, so the kernel takes them. What the caller may do
 * is said by the file's open mode.
 */
static const struct cred *lease_cred;
/* Others wait for what is done here, so that it must not wait for memory. */
static struct workqueue_struct *lease_queue;

int nvdm_lease_init(void)
{
	lease_queue = alloc_workqueue("nvme-dmabuf-leases", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!lease_queue)
		return -ENOMEM;
	lease_cred = prepare_kernel_cred(&init_task);
	if (!lease_cred)
		destroy_workqueue(lease_queue);
	return lease_cred ? 0 : -ENOMEM;
}

void nvdm_lease_exit(void)
{
	put_cred(lease_cred);
	destroy_workqueue(lease_queue);
}

/*
 * Whoever breaks a lease and waits goes on when none is left, but tells only those that he
 * found at first. And some do not wait, but come again. So that all get their turn, no lease
 * is taken of a file for some time after one was broken; and for longer if nobody waited for
 * it, again and again. (Of files alike by their hash as well, which does no harm.) Whoever was
 * too slow is seen by nvdm_lease_is_wanted().
 */
#define LEASE_REST_BITS	  8
#define LEASE_REST_WAITED (HZ / 50 ?: 1)
#define LEASE_REST_MIN	  (HZ / 10 ?: 1)
#define LEASE_REST_MAX	  (8 * HZ)

struct nvdm_lease_rest {
	unsigned long since;
	unsigned long length;
};

static struct nvdm_lease_rest lease_rests[1 << LEASE_REST_BITS];

static struct nvdm_lease_rest *nvdm_lease_rest_of(const struct nvdm_file *file)
{
	return &lease_rests[hash_ptr(file_inode(file->file), LEASE_REST_BITS)];
}

static bool nvdm_lease_one_is_wanted(const struct nvdm_lease *lease)
{
	return lease->held && !list_empty_careful(&LEASE_CORE(lease->fl, blocked_requests));
}

/**
 * nvdm_lease_is_wanted - does anybody wait for a file's leases?
 * @file: the file, under its lock
 *
 * Also somebody who has not told, for he waited for others' leases before.
 */
bool nvdm_lease_is_wanted(const struct nvdm_file *file)
{
	return nvdm_lease_one_is_wanted(&file->read) || nvdm_lease_one_is_wanted(&file->layout);
}

/* Leases that were broken are about to be given back. */
static void nvdm_lease_rest_begin(const struct nvdm_file *file)
{
	struct nvdm_lease_rest *rest = nvdm_lease_rest_of(file);
	unsigned long since = READ_ONCE(rest->since), length = READ_ONCE(rest->length);

	if (nvdm_lease_is_wanted(file))
		length = max_t(unsigned long, LEASE_REST_WAITED,
			       time_in_range(jiffies, since, since + length) ?
				       since + length - jiffies :
				       0);
	else if (!length || time_after(jiffies, since + 2 * LEASE_REST_MAX))
		length = LEASE_REST_MIN;
	else
		length = clamp_t(unsigned long, 2 * length, LEASE_REST_MIN, LEASE_REST_MAX);
	WRITE_ONCE(rest->since, jiffies);
	WRITE_ONCE(rest->length, length);
}

/* Jiffies for which no lease is to be taken yet, or 0. */
static long nvdm_lease_rest_left(const struct nvdm_file *file)
{
	const struct nvdm_lease_rest *rest = nvdm_lease_rest_of(file);
	unsigned long since = READ_ONCE(rest->since), end = since + READ_ONCE(rest->length);

	return time_in_range(jiffies, since, end) ? end - jiffies : 0;
}

/**
 * nvdm_lease_wait - wait until leases of a file may be taken
 * @file: the file
 * @ns: the namespace that it is on
 *
 * Return: 0, -EINTR, or -ENODEV if the namespace is gone.
 */
int nvdm_lease_wait(const struct nvdm_file *file, const struct nvdm_namespace *ns)
{
	long left;

	while ((left = nvdm_lease_rest_left(file))) {
		if (nvdm_namespace_is_gone(ns))
			return -ENODEV;
		if (nvdm_wait_is_over(TASK_INTERRUPTIBLE))
			return -EINTR;
		left = min_t(long, left, LEASE_REST_MIN);
		if (current->flags & PF_IO_WORKER)
			schedule_timeout_killable(left);
		else
			schedule_timeout_interruptible(left);
	}
	return 0;
}

/*
 * Somebody wants to change the file. Under a spinlock of the file's leases. Until the lease
 * is given back he waits, and not for a while only, as for leases that user space holds.
 */
static bool nvdm_lease_break(struct file_lease *fl)
{
	struct nvdm_lease *lease = lease_owner(fl);
	struct nvdm_file *file = lease->file;

	lease_never_times_out(fl);
	/* Before the user is stopped: who starts it looks here under the user's lock. */
	WRITE_ONCE(file->broken, true);
	file->ops->stop(file);
	mod_delayed_work(lease_queue, &file->watch, 0);
	return false;
}

/* Where the lease's kind does not say when it is refused. Called under a spinlock. */
static int __maybe_unused nvdm_lease_read_conflict(struct file *filp, int arg)
{
	return inode_is_open_for_write(file_inode(filp)) ? -EAGAIN : 0;
}

static int __maybe_unused nvdm_lease_layout_conflict(struct file *filp, int arg)
{
	return 0;
}

static const struct lease_manager_operations lease_read_ops = { .lm_break = nvdm_lease_break,
								.lm_change = lease_modify,
								LEASE_OPEN_CONFLICT(
									nvdm_lease_read_conflict) };

static const struct lease_manager_operations lease_layout_ops = {
	.lm_break = nvdm_lease_break,
	.lm_change = lease_modify,
	LEASE_OPEN_CONFLICT(nvdm_lease_layout_conflict)
};

static int nvdm_lease_take_one(struct nvdm_file *file, struct nvdm_lease *lease, unsigned int flags,
			       const struct lease_manager_operations *ops)
{
	struct file_lease *fl = locks_alloc_lease();
	const struct cred *old;
	int ret;

	if (!fl)
		return -ENOMEM;
	lease->file = file;
	/* Ours to look at until it is given back. */
	lease->fl = fl;
	lease_fill(fl, file->own, flags, ops, lease);
	old = override_creds(lease_cred);
	ret = vfs_setlease(file->own, F_RDLCK, &fl, NULL);
	revert_creds(old);
	if (fl)
		locks_free_lease(fl);
	lease->held = !ret;
	return ret;
}

/*
 * A delegation is refused while anybody has the inode's lock, if only to read, and that is no
 * reason to give up. Kernels before 7.0 leave it to the caller to look for writers: whoever
 * becomes one after this finds the delegation.
 */
static int nvdm_lease_take_delegation(struct nvdm_file *file)
{
	struct inode *inode = file_inode(file->own);
	unsigned int tries = 20;
	int ret;

	do {
		ret = nvdm_lease_take_one(file, &file->read, FL_DELEG, &lease_read_ops);
		smp_mb();
		if (inode_is_open_for_write(inode))
			return -EAGAIN;
	} while (ret == -EAGAIN && --tries && !nvdm_file_is_broken(file) &&
		 !fatal_signal_pending(current) && !schedule_timeout_killable(1));
	return ret;
}

/**
 * struct nvdm_lease_closing - a file that is closed where that has an end
 * @work: does it
 * @file: the file
 */
struct nvdm_lease_closing {
	struct work_struct work;
	struct file *file;
};

static void nvdm_lease_close_work(struct work_struct *work)
{
	__fput_sync(container_of(work, struct nvdm_lease_closing, work)->file);
}

/*
 * Closes the file that the leases are of. The kernel then removes them, and asks nobody. But
 * it closes a file at once only for a kernel thread.
 */
static void nvdm_lease_close(struct nvdm_file *file)
{
	struct nvdm_lease_closing closing = { .file = file->own };

	file->own = NULL;
	file->read.held = false;
	file->layout.held = false;
	if (current->flags & PF_KTHREAD) {
		__fput_sync(closing.file);
		return;
	}
	INIT_WORK_ONSTACK(&closing.work, nvdm_lease_close_work);
	/* Not on the queue whose works take the file's lock. */
	schedule_work(&closing.work);
	flush_work(&closing.work);
	destroy_work_on_stack(&closing.work);
}

/* Returns whether it is given back. */
static bool nvdm_lease_give_back_one(struct nvdm_file *file, struct nvdm_lease *lease)
{
	const struct cred *old;
	void *owner = lease;
	int ret;

	if (!lease->held)
		return true;
	old = override_creds(lease_cred);
	ret = vfs_setlease(file->own, F_UNLCK, NULL, &owner);
	revert_creds(old);
	lease->held = ret;
	return !ret;
}

/**
 * nvdm_lease_take - take the leases of a file
 * @file: the file, under its lock, open, whose user is stopped and drained
 * @layout: a layout lease as well
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0; -EBUSY if somebody has the file open for writing; -EOPNOTSUPP or -ENOMEM.
 */
int nvdm_lease_take(struct nvdm_file *file, bool layout, u32 *reason)
{
	int ret = 0;

	WRITE_ONCE(file->broken, false);
	if (layout)
		ret = nvdm_lease_take_one(file, &file->layout, FL_LAYOUT, &lease_layout_ops);
	if (!ret)
		ret = nvdm_lease_take_delegation(file);
	if (!ret)
		return 0;
	nvdm_lease_give_back(file);
	if (ret == -ENOMEM)
		return ret;
	*reason = ret == -EAGAIN ? NVME_DMABUF_REASON_FILE_BUSY : NVME_DMABUF_REASON_FILE_LEASE;
	return ret == -EAGAIN ? -EBUSY : -EOPNOTSUPP;
}

/**
 * nvdm_lease_watch - look for whoever wants leases that were just taken, and has not told
 * @file: the file, under its lock, whose watch does that
 */
void nvdm_lease_watch(struct nvdm_file *file)
{
	mod_delayed_work(lease_queue, &file->watch, LEASE_WATCH);
}

/**
 * nvdm_lease_give_back - let others change a file
 * @file: the file, under its lock, whose user is stopped and drained
 *
 * A security module may refuse even that; then the file is closed.
 */
void nvdm_lease_give_back(struct nvdm_file *file)
{
	if (file->read.held && nvdm_file_is_broken(file))
		nvdm_lease_rest_begin(file);
	if (!nvdm_lease_give_back_one(file, &file->read) ||
	    !nvdm_lease_give_back_one(file, &file->layout))
		nvdm_lease_close(file);
}
