// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: a regular file, held by all who use it together. Its leases are held from when the
 * first of them begins until the last one leaves, or somebody breaks them. Must not know
 * dma-bufs, maps or commands, nor how blocks are found.
 */
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "storage.h"

static DEFINE_SPINLOCK(files_lock);
static LIST_HEAD(files);

/* Not if it is frozen: whoever opens the file waits for this, and must not wait for a thaw. */
static void nvdm_file_set_times(struct nvdm_file *file)
{
	if (!file->written || !sb_start_write_trylock(file->sb))
		return;
	file->written = false;
	file_update_time(file->own);
	sb_end_write(file->sb);
}

/*
 * Lets others have the file, under its lock. All users are stopped. Waits for the drive at
 * most.
 */
static void nvdm_file_give_back(struct nvdm_file *file)
{
	struct address_space *mapping = file->inode->i_mapping;
	struct nvdm_file_user *user;

	list_for_each_entry(user, &file->users, node)
		user->ops->drain(user);
	if (file->own && file->writes) {
		/* Nobody had it open, so there is nothing; but what there is is old. */
		if (mapping->nrpages)
			invalidate_inode_pages2(mapping);
		nvdm_file_set_times(file);
	}
	nvdm_lease_give_back(file);
}

static void nvdm_file_watch(struct work_struct *work)
{
	struct nvdm_file *file = container_of(to_delayed_work(work), struct nvdm_file, watch);

	mutex_lock(&file->lock);
	if (!nvdm_file_is_broken(file) && nvdm_lease_is_wanted(file))
		nvdm_lease_stop_users(file);
	if (nvdm_file_is_broken(file))
		nvdm_file_give_back(file);
	else if (file->read.held && time_before(jiffies, file->watch_until))
		nvdm_lease_watch(file);
	mutex_unlock(&file->lock);
}

/* Under files_lock. */
static struct nvdm_file *nvdm_file_find(const struct nvdm_file *like)
{
	struct nvdm_file *file;

	list_for_each_entry(file, &files, node)
		if (file->inode == like->inode && file->mnt == like->mnt &&
		    file->writes == like->writes && kref_get_unless_zero(&file->ref))
			return file;
	return NULL;
}

static void nvdm_file_free(struct nvdm_file *file)
{
	mutex_destroy(&file->lock);
	kfree(file);
}

/* All who opened it for the same, by the same mount, have it in common. */
static struct nvdm_file *nvdm_file_get(const struct nvdm_namespace *ns)
{
	struct nvdm_file *new = kzalloc(sizeof(*new), NVDM_GFP), *found;

	if (!new)
		return NULL;
	kref_init(&new->ref);
	new->inode = ns->inode;
	new->sb = ns->inode->i_sb;
	new->mnt = ns->file->f_path.mnt;
	new->writes = !!(ns->mode & FMODE_WRITE);
	mutex_init(&new->lock);
	spin_lock_init(&new->users_lock);
	INIT_LIST_HEAD(&new->users);
	INIT_DELAYED_WORK(&new->watch, nvdm_file_watch);

	spin_lock(&files_lock);
	found = nvdm_file_find(new);
	if (!found)
		list_add(&new->node, &files);
	spin_unlock(&files_lock);
	if (!found)
		return new;
	nvdm_file_free(new);
	return found;
}

static void nvdm_file_release(struct kref *ref)
{
	struct nvdm_file *file = container_of(ref, struct nvdm_file, ref);

	spin_lock(&files_lock);
	list_del(&file->node);
	spin_unlock(&files_lock);
	/* Its leases were given back: nobody can break them. */
	cancel_delayed_work_sync(&file->watch);
	nvdm_file_forget(file);
	nvdm_file_free(file);
}

/**
 * nvdm_file_join - use a file that was checked, of which nothing need be held yet
 * @user: its ops are filled in; it is stopped and drained
 * @ns: the namespace below it, which keeps the inode until the user has left. How the caller
 *	opened the file says whether blocks are going to be written. As long as he has it open
 *	for writing, it cannot be held
 *
 * To be undone by nvdm_file_leave().
 *
 * Return: 0, -ENOMEM or -EINTR.
 */
int nvdm_file_join(struct nvdm_file_user *user, const struct nvdm_namespace *ns)
{
	struct nvdm_file *file = nvdm_file_get(ns);

	if (!file)
		return -ENOMEM;
	if (mutex_lock_interruptible(&file->lock)) {
		kref_put(&file->ref, nvdm_file_release);
		return -EINTR;
	}
	user->file = file;
	user->stopped = true;
	spin_lock(&file->users_lock);
	list_add_tail(&user->node, &file->users);
	spin_unlock(&file->users_lock);
	mutex_unlock(&file->lock);
	return 0;
}

/**
 * nvdm_file_leave - use a file no more
 * @user: the user, which is stopped and drained; if it did not join, nothing happens
 *
 * The last one gives the leases back.
 */
void nvdm_file_leave(struct nvdm_file_user *user)
{
	struct nvdm_file *file = user->file;

	if (!file)
		return;
	mutex_lock(&file->lock);
	spin_lock(&file->users_lock);
	list_del(&user->node);
	spin_unlock(&file->users_lock);
	if (list_empty(&file->users))
		nvdm_file_give_back(file);
	mutex_unlock(&file->lock);
	user->file = NULL;
	kref_put(&file->ref, nvdm_file_release);
}

/*
 * Has anybody the file open who must not? Those who hold it for another purpose, or by another
 * mount, do not count: they give it back when it is opened. In *@held whether there are any.
 */
static bool nvdm_file_is_busy(const struct nvdm_file *file, bool *held)
{
	const struct inode *inode = file->inode;
	int writers = 0, readers = 0;
	const struct nvdm_file *other;

	/* First, for whoever has closed it since then does not count any more. */
	spin_lock(&files_lock);
	list_for_each_entry(other, &files, node) {
		if (other == file || other->inode != inode || !READ_ONCE(other->own))
			continue;
		writers += other->writes;
		readers += !other->writes;
	}
	spin_unlock(&files_lock);
	*held = writers || readers;
	return atomic_read(&inode->i_writecount) > writers ||
	       (file->writes && atomic_read(&inode->i_readcount) > readers);
}

/* Opens the file once more, as the caller had: the leases are of that. */
static int nvdm_file_open_own(struct nvdm_file *file, const struct nvdm_namespace *ns, u32 *reason)
{
	int flags = (file->writes ? O_WRONLY : O_RDONLY) | O_LARGEFILE;
	struct file *own;
	bool held;

	*reason = NVME_DMABUF_REASON_FILE_BUSY;
	/* Looked at before it is opened, which breaks others' leases. */
	if (nvdm_file_is_busy(file, &held))
		return -EBUSY;
	/* For leases that are not ours nobody waits here. */
	own = dentry_open(&ns->file->f_path, flags | (held ? 0 : O_NONBLOCK), ns->file->f_cred);
	if (!IS_ERR(own)) {
		*reason = NVME_DMABUF_REASON_NONE;
		WRITE_ONCE(file->own, own);
		return 0;
	}
	switch (PTR_ERR(own)) {
	case -EWOULDBLOCK:
	case -ETXTBSY:
		return -EBUSY;
	case -EROFS:
		*reason = NVME_DMABUF_REASON_NS_NOT_WRITABLE;
		return -EACCES;
	case -EACCES:
	case -EPERM:
		*reason = NVME_DMABUF_REASON_SECURITY;
		return PTR_ERR(own);
	}
	*reason = NVME_DMABUF_REASON_NONE;
	switch (PTR_ERR(own)) {
	case -ERESTARTSYS:
	case -EINTR:
		return -EINTR;
	case -ENOMEM:
	case -ENFILE:
		return PTR_ERR(own);
	default:
		return -EIO;
	}
}

/* Of what changes the file: FILE_LATER if the file system is frozen, which has an end. */
static int nvdm_file_change(struct nvdm_file *file, int (*change)(struct nvdm_file *file))
{
	int ret;

	if (!sb_start_write_trylock(file->sb))
		return FILE_LATER;
	ret = change(file);
	sb_end_write(file->sb);
	return ret && ret != -EINTR && ret != -ENOMEM ? -EIO : ret;
}

/* And where the blocks are must outlast a crash. */
static int nvdm_file_write_down(struct nvdm_file *file)
{
	return file_update_time(file->own) ?: vfs_fsync(file->own, 0);
}

/* The leases are held: nobody else has the file open, or gives it privileges. */
static int nvdm_file_prepare_writes(struct nvdm_file *file, u32 *reason)
{
	struct address_space *mapping = file->inode->i_mapping;

	/* What is in the page cache would be old once commands have written. */
	if (!IS_NOSEC(file->inode) || (mapping->nrpages && invalidate_inode_pages2(mapping))) {
		*reason = NVME_DMABUF_REASON_FILE_BUSY;
		return -EBUSY;
	}
	return nvdm_file_change(file, nvdm_file_write_down);
}

/* Takes the leases, and finds the blocks. Under the file's lock. */
static int nvdm_file_take_leases(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	/* What takes time, before anybody has to wait for it. */
	ret = nvdm_file_check(&ns->file->f_path, file->writes, reason) ?:
		      nvdm_file_open_own(file, ns, reason);
	if (!ret && file->writes)
		ret = nvdm_file_change(file, nvdm_lease_remove_privileges);
	if (ret)
		return ret;
	filemap_write_and_wait(file->inode->i_mapping);
	ret = nvdm_lease_take(file, reason);
	if (ret)
		return ret;
	/* Again, for whoever wrote it may have changed what it is. */
	ret = nvdm_file_check(&ns->file->f_path, file->writes, reason) ?:
		      nvdm_file_find_blocks(file, ns, reason);
	if (!ret && file->writes)
		ret = nvdm_file_prepare_writes(file, reason);
	/* As of a file that is open for writing, which it will be. */
	if (ret == -EAGAIN) {
		*reason = NVME_DMABUF_REASON_FILE_BUSY;
		ret = -EBUSY;
	}
	return ret;
}

static int nvdm_file_take(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	/* Before it is opened: to close it may have to wait for a thaw. */
	if (nvdm_lease_rests(file) || (file->writes && file->sb->s_writers.frozen != SB_UNFROZEN))
		return FILE_LATER;
	ret = nvdm_file_take_leases(file, ns, reason);
	if (ret) {
		nvdm_lease_give_back(file);
		return ret;
	}
	file->watch_until = jiffies + LEASE_WATCH_UNTIL;
	nvdm_lease_watch(file);
	return 0;
}

/* Unless somebody has come for the leases. */
static void nvdm_file_begin(struct nvdm_file_user *user)
{
	struct nvdm_file *file = user->file;

	user->ops->begin(user);
	spin_lock(&file->users_lock);
	if (!nvdm_file_is_broken(file))
		WRITE_ONCE(user->stopped, false);
	spin_unlock(&file->users_lock);
}

/**
 * nvdm_file_hold - hold the leases of a file, know where its blocks are, and let a user begin
 * @user: a user that joined, and is stopped and drained
 * @ns: the namespace below it, whose format is known
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * If the leases are held already and nobody waits for them, nothing is done for them. If
 * somebody breaks them meanwhile, @user->stopped tells.
 *
 * Return: 0; FILE_LATER if the leases rest, or the file system is frozen; -EBUSY, -EACCES,
 * -EOPNOTSUPP, -ETXTBSY, -EIO, -ENODEV, -ESTALE, -ENOMEM, -ENFILE, -EINTR, or what a security
 * module says.
 */
int nvdm_file_hold(struct nvdm_file_user *user, struct nvdm_namespace *ns, u32 *reason)
{
	struct nvdm_file *file = user->file;
	int ret;

	if (mutex_lock_interruptible(&file->lock))
		return -EINTR;
	if (file->own && nvdm_file_is_broken(file))
		nvdm_file_give_back(file);
	ret = file->own ? 0 : nvdm_file_take(file, ns, reason);
	if (!ret && (file->block_shift != ns->block_shift || file->base != ns->base)) {
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		ret = -ESTALE;
	}
	if (!ret)
		nvdm_file_begin(user);
	mutex_unlock(&file->lock);
	return ret;
}
