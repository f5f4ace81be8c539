// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases of files. Of a file that is only read a delegation for reading is held: a read lease
 * that is also broken by those who truncate a file without opening it for writing, as by
 * open(2) with O_RDONLY and O_TRUNC, through overlayfs, or by nfsd. Nobody has the file open
 * for writing, not even by the caller's own descriptor; whoever opens it so, truncates it, or
 * changes its attributes or its name waits until the delegation is given back. That covers all
 * that moves the blocks of a file which is open for writing, such as defragmentation.
 *
 * Of a file that is written a write lease is held besides: nobody else has the file open at
 * all, so that nobody sees in the page cache what was there before. Whoever opens it waits.
 *
 * A layout lease covers what XFS does to files that are not open for writing: it lets the
 * owner of a file deduplicate it by a descriptor for reading. It alone is not enough either,
 * for XFS_IOC_SWAPEXT, which needs the file open for writing, breaks no layout.
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
/* Nobody's who may leave privileges on a file that is written. */
static struct cred *plain_cred;
/* Others wait for what is done here, so that it must not wait for memory. */
static struct workqueue_struct *lease_queue;

void nvdm_lease_exit(void)
{
	if (lease_cred)
		put_cred(lease_cred);
	if (plain_cred)
		put_cred(plain_cred);
	destroy_workqueue(lease_queue);
}

int nvdm_lease_init(void)
{
	lease_queue = alloc_workqueue("nvme-dmabuf-leases", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!lease_queue)
		return -ENOMEM;
	lease_cred = prepare_kernel_cred(&init_task);
	plain_cred = prepare_kernel_cred(&init_task);
	if (!lease_cred || !plain_cred) {
		nvdm_lease_exit();
		return -ENOMEM;
	}
	cap_clear(plain_cred->cap_effective);
	return 0;
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
	return &lease_rests[hash_ptr(file->inode, LEASE_REST_BITS)];
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
	return nvdm_lease_one_is_wanted(&file->exclusive) ||
	       nvdm_lease_one_is_wanted(&file->read) || nvdm_lease_one_is_wanted(&file->layout);
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

/**
 * nvdm_lease_rests - are leases of a file not to be taken yet?
 * @file: the file
 */
bool nvdm_lease_rests(const struct nvdm_file *file)
{
	const struct nvdm_lease_rest *rest = nvdm_lease_rest_of(file);
	unsigned long since = READ_ONCE(rest->since), length = READ_ONCE(rest->length);

	return length && time_in_range(jiffies, since, since + length - 1);
}

/**
 * nvdm_lease_stop_users - somebody waits for a file's leases
 * @file: the file. Does not sleep
 */
void nvdm_lease_stop_users(struct nvdm_file *file)
{
	struct nvdm_file_user *user;

	spin_lock(&file->users_lock);
	WRITE_ONCE(file->broken, true);
	list_for_each_entry(user, &file->users, node) {
		/* Before: who starts it looks here under a lock of the user's. */
		WRITE_ONCE(user->stopped, true);
		user->ops->stop(user);
	}
	spin_unlock(&file->users_lock);
}

/*
 * Somebody wants to change the file. Under a spinlock of the file's leases. Until the lease
 * is given back he waits, and not for a while only, as for leases that user space holds.
 */
static bool nvdm_lease_break(struct file_lease *fl)
{
	struct nvdm_lease *lease = lease_owner(fl);

	lease_never_times_out(fl);
	nvdm_lease_stop_users(lease->file);
	mod_delayed_work(lease_queue, &lease->file->watch, 0);
	return false;
}

/* Nobody but whoever opened this file has the inode open; or, if not @alone, for writing. */
static bool nvdm_lease_is_free(struct file *filp, bool alone)
{
	const struct inode *inode = file_inode(filp);
	int writers = filp->f_mode & FMODE_WRITE ? 1 : 0, readers = writers ? 0 : 1;

	/* Writers are less than none while the file is executed. */
	return alone ? atomic_read(&inode->i_writecount) == writers &&
			       atomic_read(&inode->i_readcount) == readers :
		       atomic_read(&inode->i_writecount) <= writers;
}

/* Where the lease's kind does not say when it is refused. Called under a spinlock. */
static int __maybe_unused nvdm_lease_exclusive_conflict(struct file *filp, int arg)
{
	return nvdm_lease_is_free(filp, true) ? 0 : -EAGAIN;
}

static int __maybe_unused nvdm_lease_read_conflict(struct file *filp, int arg)
{
	return nvdm_lease_is_free(filp, false) ? 0 : -EAGAIN;
}

static int __maybe_unused nvdm_lease_layout_conflict(struct file *filp, int arg)
{
	return 0;
}

#define LEASE_OPS(kind)                                                     \
	static const struct lease_manager_operations lease_##kind##_ops = { \
		.lm_break = nvdm_lease_break,                               \
		.lm_change = lease_modify,                                  \
		LEASE_OPEN_CONFLICT(nvdm_lease_##kind##_conflict)           \
	}

LEASE_OPS(exclusive);
LEASE_OPS(read);
LEASE_OPS(layout);

static int nvdm_lease_take_one(struct nvdm_file *file, struct nvdm_lease *lease, unsigned int flags,
			       int type, const struct lease_manager_operations *ops)
{
	struct file_lease *fl = locks_alloc_lease();
	const struct cred *old;
	int ret;

	if (!fl)
		return -ENOMEM;
	lease->file = file;
	/* Ours to look at until it is given back. */
	lease->fl = fl;
	lease_fill(fl, file->own, flags, type, ops, lease);
	old = override_creds(lease_cred);
	ret = vfs_setlease(file->own, type, &fl, NULL);
	revert_creds(old);
	if (fl)
		locks_free_lease(fl);
	lease->held = !ret;
	return ret;
}

/**
 * nvdm_lease_remove_privileges - set-user-ID and -group-ID bits, and file capabilities
 * @file: the file, under its lock, open, without leases, which would be broken
 *
 * As before a write(2), but whoever asks for it: others may write then without asking again.
 *
 * Return: 0 or a negative error number.
 */
int nvdm_lease_remove_privileges(struct nvdm_file *file)
{
	const struct cred *old = override_creds(plain_cred);
	int ret;

	inode_lock(file->inode);
	ret = file_remove_privs(file->own);
	inode_unlock(file->inode);
	revert_creds(old);
	return ret;
}

/* For so many jiffies it is tried again. */
#define LEASE_TRIES 20

/*
 * A delegation is refused while anybody has the inode's lock, if only to read; and whoever has
 * closed the file counts for a moment longer, although his leases are gone. Neither is a reason
 * to give up. Kernels before 7.0 leave it to the caller of a delegation to look for writers:
 * whoever becomes one after this finds the delegation.
 */
static int nvdm_lease_take_patiently(struct nvdm_file *file, struct nvdm_lease *lease,
				     unsigned int flags, int type,
				     const struct lease_manager_operations *ops)
{
	unsigned int tries = LEASE_TRIES;
	int ret;

	do {
		ret = lease->held ? 0 : nvdm_lease_take_one(file, lease, flags, type, ops);
		smp_mb();
		if (!ret && !nvdm_lease_is_free(file->own, false))
			ret = -EAGAIN;
	} while (ret == -EAGAIN && --tries && !nvdm_file_is_broken(file) &&
		 !fatal_signal_pending(current) && !schedule_timeout_killable(1));
	return ret;
}

/**
 * nvdm_lease_take - take the leases of a file
 * @file: the file, under its lock, open, whose users are stopped and drained
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * To be undone by nvdm_lease_give_back(), on failure too.
 *
 * Return: 0; -EBUSY if somebody has the file open for writing, or of a file that is to be
 * written at all; -EOPNOTSUPP or -ENOMEM.
 */
int nvdm_lease_take(struct nvdm_file *file, u32 *reason)
{
	int ret = 0;

	WRITE_ONCE(file->broken, false);
	/* First, for it is not granted beside others. */
	if (file->writes)
		ret = nvdm_lease_take_patiently(file, &file->exclusive, FL_LEASE, F_WRLCK,
						&lease_exclusive_ops);
	if (!ret && nvdm_file_is_on(file, "xfs"))
		ret = nvdm_lease_take_one(file, &file->layout, FL_LAYOUT, F_RDLCK,
					  &lease_layout_ops);
	if (!ret)
		ret = nvdm_lease_take_patiently(file, &file->read, FL_DELEG, F_RDLCK,
						&lease_read_ops);
	if (!ret || ret == -ENOMEM)
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
	/* If it was just told to give them back, it does. */
	queue_delayed_work(lease_queue, &file->watch, LEASE_WATCH);
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

/**
 * nvdm_lease_give_back - let others change a file
 * @file: the file, under its lock, whose users are stopped and drained
 *
 * Closes the file that the leases are of: the kernel then removes them, and asks nobody, not
 * even a security module. But it closes a file at once only for a kernel thread.
 */
void nvdm_lease_give_back(struct nvdm_file *file)
{
	struct nvdm_lease_closing closing = { .file = file->own };

	if (!closing.file)
		return;
	if ((file->exclusive.held || file->read.held || file->layout.held) &&
	    nvdm_file_is_broken(file))
		nvdm_lease_rest_begin(file);
	file->exclusive.held = false;
	file->read.held = false;
	file->layout.held = false;
	if (current->flags & PF_KTHREAD) {
		__fput_sync(closing.file);
	} else {
		INIT_WORK_ONSTACK(&closing.work, nvdm_lease_close_work);
		/* Not on the queue whose works take the file's lock. */
		schedule_work(&closing.work);
		flush_work(&closing.work);
		destroy_work_on_stack(&closing.work);
	}
	/* Until then it counts among those who have the file open. */
	WRITE_ONCE(file->own, NULL);
}
