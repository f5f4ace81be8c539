// SPDX-License-Identifier: GPL-2.0-only
/*
 * Leases of files. While an ordinary read lease is held nobody has the file open for writing,
 * not even by the caller's own descriptor; whoever opens it so, or truncates it, waits until
 * the lease is given back. That covers all that moves the blocks of a file which is open for
 * writing, such as defragmentation. A layout lease covers what a file system does to files
 * that are not: XFS lets the owner of a file deduplicate it by a descriptor for reading.
 *
 * Neither alone is enough on XFS: XFS_IOC_SWAPEXT, which needs the file open for writing,
 * breaks no layout. Must not know where blocks are.
 */
#include <linux/cred.h>
#include <linux/sched.h>
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
	queue_work(lease_queue, &file->give_back);
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
	lease_fill(fl, file->file, flags, ops, lease);
	old = override_creds(lease_cred);
	ret = vfs_setlease(file->file, F_RDLCK, &fl, NULL);
	revert_creds(old);
	if (fl)
		locks_free_lease(fl);
	lease->held = !ret;
	return ret;
}

static void nvdm_lease_give_back_one(struct nvdm_file *file, struct nvdm_lease *lease)
{
	const struct cred *old;
	void *owner = lease;

	if (!lease->held)
		return;
	old = override_creds(lease_cred);
	vfs_setlease(file->file, F_UNLCK, NULL, &owner);
	revert_creds(old);
	lease->held = false;
}

/**
 * nvdm_lease_take - take the leases of a file
 * @file: the file, under its lock, whose user is stopped and drained
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
		ret = nvdm_lease_take_one(file, &file->read, FL_LEASE, &lease_read_ops);
	if (!ret)
		return 0;
	nvdm_lease_give_back(file);
	if (ret == -ENOMEM)
		return ret;
	*reason = ret == -EAGAIN ? NVME_DMABUF_REASON_FILE_BUSY : NVME_DMABUF_REASON_FILE_LEASE;
	return ret == -EAGAIN ? -EBUSY : -EOPNOTSUPP;
}

/**
 * nvdm_lease_give_back - let others change a file
 * @file: the file, under its lock, whose user is stopped and drained
 */
void nvdm_lease_give_back(struct nvdm_file *file)
{
	nvdm_lease_give_back_one(file, &file->read);
	nvdm_lease_give_back_one(file, &file->layout);
}
