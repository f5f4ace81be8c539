// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: a regular file on XFS or ext4 as a sorted array of extents on a namespace, held by
 * all who use it together. Its blocks are found by bmap(), which writes back what the page
 * cache holds and tells of no block that is a hole, was never written, or is shared with
 * another file: what is there may be other people's. Must not know dma-bufs, maps or commands.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "storage.h"

/* Blocks after which others get the processor. */
#define FILE_REST 1024

static DEFINE_SPINLOCK(files_lock);
static LIST_HEAD(files);

static int nvdm_file_refuse(u32 why, u32 *reason)
{
	*reason = why;
	return -EOPNOTSUPP;
}

/* What the file system says of a file. */
static int nvdm_file_check_attributes(const struct path *path, bool writes, u32 *reason)
{
	struct file_kattr attr = { .flags = 0 };
	struct kstat stat = { .result_mask = 0 };

	if (vfs_fileattr_get(path->dentry, &attr) ||
	    vfs_getattr_nosec(path, &stat, STATX_DIOALIGN, AT_STATX_DONT_SYNC) ||
	    !(stat.result_mask & STATX_DIOALIGN))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_SYSTEM, reason);
	if (attr.flags & FS_INLINE_DATA_FL)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_INLINE, reason);
	/*
	 * By a flag of its own; or all are, which shows by their taking no O_DIRECT. What the
	 * journal holds is on the drive when the blocks are found, but after a crash it would come
	 * down once more on what commands have written.
	 */
	if (attr.flags & FS_JOURNAL_DATA_FL || (writes && !stat.dio_offset_align))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_JOURNALLED, reason);
	if (attr.fsx_xflags & FS_XFLAG_REALTIME)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_REALTIME, reason);
	return 0;
}

/**
 * nvdm_file_check - can the blocks of a file be read, and written?
 * @path: a regular file
 * @writes: they are to be written too
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Looks at nothing that a file may be while it is not leased.
 *
 * Return: 0, -EOPNOTSUPP, -ETXTBSY or -EACCES.
 */
int nvdm_file_check(const struct path *path, bool writes, u32 *reason)
{
	struct inode *inode = d_inode(path->dentry);
	const char *type = inode->i_sb->s_type->name;

	/* Where nobody can hold a layout, XFS breaks none. */
	if (strcmp(type, "ext4") &&
	    !(!strcmp(type, "xfs") && IS_ENABLED(CONFIG_EXPORTFS_BLOCK_OPS)))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_SYSTEM, reason);
	if (!inode->i_sb->s_bdev)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_DEVICE, reason);
	if (IS_SWAPFILE(inode)) {
		*reason = NVME_DMABUF_REASON_SWAP;
		return -ETXTBSY;
	}
	if (writes && (IS_APPEND(inode) || IS_IMMUTABLE(inode))) {
		*reason = NVME_DMABUF_REASON_FILE_APPEND;
		return -EACCES;
	}
	if (IS_ENCRYPTED(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_ENCRYPTED, reason);
	if (IS_VERITY(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_VERITY, reason);
	if (IS_DAX(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_DAX, reason);
	return nvdm_file_check_attributes(path, writes, reason);
}

/* Not if it is frozen: whoever opens the file waits for this, and must not wait for a thaw. */
static void nvdm_file_set_times(struct nvdm_file *file)
{
	struct super_block *sb = file->inode->i_sb;

	if (!file->written || !sb_start_write_trylock(sb))
		return;
	file->written = false;
	file_update_time(file->own);
	sb_end_write(sb);
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

static void nvdm_file_forget(struct nvdm_file *file)
{
	kvfree(file->extents.all);
	kvfree(file->extents.index);
	file->extents = (struct extents){};
	file->blocks = 0;
	file->bytes = 0;
	file->tail = false;
	file->sectors = 0;
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

/* Makes room for another extent, and for what ends it. */
static int nvdm_file_grow(struct extents *list, size_t *room)
{
	struct extent *all;
	size_t more;

	if (list->count + 1 < *room)
		return 0;
	more = max_t(size_t, 4, 2 * *room);
	all = kvmalloc_array(more, sizeof(*all), NVDM_GFP);
	if (!all)
		return -ENOMEM;
	if (list->count)
		memcpy(all, list->all, list->count * sizeof(*all));
	kvfree(list->all);
	list->all = all;
	*room = more;
	return 0;
}

/* Blocks of the file system that come next in the file. */
static int nvdm_file_add(struct nvdm_file *file, size_t *room, u64 first, u64 start)
{
	int ret;

	if (extents_continue(&file->extents, first, start))
		return 0;
	ret = nvdm_file_grow(&file->extents, room);
	if (!ret)
		extents_add(&file->extents, first, start);
	return ret;
}

/*
 * The caller may be killed, and the drive may leave; and if somebody waits for the leases,
 * what would be found is of no use.
 */
static int nvdm_file_rest(const struct nvdm_file *file, const struct nvdm_namespace *ns)
{
	cond_resched();
	if (nvdm_wait_is_over(TASK_KILLABLE))
		return -EINTR;
	if (nvdm_namespace_is_gone(ns))
		return -ENODEV;
	return nvdm_file_is_broken(file) ? -EAGAIN : 0;
}

/* Where data or a hole begins, from a byte on; at the file's end there is a hole. */
static loff_t nvdm_file_seek(const struct nvdm_file *file, u64 from, int whence, u64 bytes)
{
	loff_t at = from < bytes ? vfs_llseek(file->own, from, whence) : -ENXIO;

	return at == -ENXIO ? bytes : at;
}

/* Blocks of the file system of which some may have data, from @block to before @end. */
static int nvdm_file_map_data(struct nvdm_file *file, const struct nvdm_namespace *ns, u64 block,
			      u64 end, size_t *room, u32 *reason)
{
	struct inode *inode = file->inode;
	unsigned int shift = inode->i_blkbits - ns->block_shift;
	u64 capacity = bdev_nr_sectors(ns->bdev) >> (inode->i_blkbits - SECTOR_SHIFT);
	int ret;

	for (; block < end; block++) {
		sector_t at = block;

		ret = block % FILE_REST ? 0 : nvdm_file_rest(file, ns);
		if (!ret && (bmap(inode, &at) || at >= capacity))
			ret = nvdm_file_refuse(NVME_DMABUF_REASON_FILE_SYSTEM, reason);
		if (!ret)
			ret = nvdm_file_add(file, room, block << shift,
					    at ? ns->base + ((u64)at << shift) : EXTENT_HOLE);
		if (ret)
			return ret;
	}
	return 0;
}

/* Holes may be very large, and are skipped. Sets *@data if there is anything else. */
static int nvdm_file_map_blocks(struct nvdm_file *file, const struct nvdm_namespace *ns, u64 bytes,
				bool *data, u32 *reason)
{
	struct inode *inode = file->inode;
	unsigned int shift = inode->i_blkbits - ns->block_shift;
	u64 block = 0, end = DIV_ROUND_UP_ULL(bytes, i_blocksize(inode)), first, last;
	loff_t at, hole;
	size_t room = 0;
	int ret;

	*data = false;
	while (block < end) {
		ret = nvdm_file_rest(file, ns);
		if (ret)
			return ret;
		at = nvdm_file_seek(file, block << inode->i_blkbits, SEEK_DATA, bytes);
		if (at < 0)
			return -EIO;
		first = at < bytes ? (u64)at >> inode->i_blkbits : end;
		if (first > block) {
			ret = nvdm_file_add(file, &room, block << shift, EXTENT_HOLE);
			if (ret)
				return ret;
		}
		if (first == end)
			break;
		hole = nvdm_file_seek(file, at, SEEK_HOLE, bytes);
		if (hole <= at)
			return -EIO;
		*data = true;
		last = min(DIV_ROUND_UP_ULL((u64)hole, i_blocksize(inode)), end);
		ret = nvdm_file_map_data(file, ns, first, last, &room, reason);
		if (ret)
			return ret;
		block = last;
	}
	return 0;
}

/*
 * The last block may be read if what stands behind the end of the file is all zero; it may not
 * be written.
 */
static int nvdm_file_check_tail(struct nvdm_file *file, struct nvdm_namespace *ns)
{
	u32 in_block = file->bytes & ns->block_mask;
	const struct extent *last;
	bool zero;
	int ret;

	if (!in_block)
		return 0;
	/* The file system counts on what stands there to be zero when the file grows. */
	if (file->writes) {
		file->tail = true;
		file->blocks--;
		return 0;
	}
	last = &file->extents.all[file->extents.count - 1];
	if (last->start == EXTENT_HOLE)
		return 0;
	ret = nvdm_probe_tail(ns, last->start + (file->blocks - 1 - last->first), in_block, &zero);
	if (!ret && !zero) {
		file->tail = true;
		file->blocks--;
	}
	return ret;
}

/* Nothing is looked up of a file that has no blocks. */
static int nvdm_file_index(struct nvdm_file *file)
{
	size_t room;

	if (!file->blocks)
		return 0;
	room = extents_end(&file->extents, file->blocks);
	file->extents.index = kvmalloc_array(room, sizeof(*file->extents.index), NVDM_GFP);
	if (!file->extents.index)
		return -ENOMEM;
	extents_make_index(&file->extents);
	return 0;
}

static int nvdm_file_find_blocks(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	struct inode *inode = file->inode;
	u64 bytes = i_size_read(inode);
	bool data;
	int ret;

	nvdm_file_forget(file);
	file->block_shift = ns->block_shift;
	file->base = ns->base;
	if (inode->i_blkbits < ns->block_shift)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_SYSTEM, reason);
	/*
	 * Whoever has passed the file system's own look for leases before they were taken, as a
	 * deduplication that still compares, has this lock.
	 */
	inode_lock_shared(inode);
	inode_unlock_shared(inode);
	/* Errors of earlier writers are for them to see. */
	ret = filemap_write_and_wait(inode->i_mapping);
	if (ret)
		return ret == -EINTR ? ret : -EIO;
	ret = nvdm_file_map_blocks(file, ns, bytes, &data, reason);
	if (ret)
		return ret;
	/* bmap() tells of no block of these. */
	if (data && !file->extents.pieces)
		return nvdm_file_refuse(nvdm_file_is_on(file, "xfs") ?
						NVME_DMABUF_REASON_FILE_SHARED :
						NVME_DMABUF_REASON_FILE_INLINE,
					reason);
	file->bytes = bytes;
	file->blocks = DIV_ROUND_UP_ULL(bytes, ns->block_size);
	if (bytes) {
		ret = nvdm_file_check_tail(file, ns) ?: nvdm_file_index(file);
		if (ret)
			return ret;
	}
	file->sectors = file->blocks << (ns->block_shift - SECTOR_SHIFT);
	return 0;
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
	struct super_block *sb = file->inode->i_sb;
	int ret;

	if (!sb_start_write_trylock(sb))
		return FILE_LATER;
	ret = change(file);
	sb_end_write(sb);
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
	if (nvdm_lease_rests(file) ||
	    (file->writes && file->inode->i_sb->s_writers.frozen != SB_UNFROZEN))
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
