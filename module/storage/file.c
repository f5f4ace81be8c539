// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files: a regular file on XFS or ext4 as a sorted array of extents on a namespace. Found by
 * bmap(), which writes back what the page cache holds and tells of no block that is a hole,
 * was never written, or is shared with another file: what is there may be other people's.
 * Must not know dma-bufs, maps or commands.
 */
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "storage.h"

/* Blocks after which others get the processor. */
#define FILE_REST 1024

static bool nvdm_file_is_on(const struct file *file, const char *type)
{
	return !strcmp(file_inode(file)->i_sb->s_type->name, type);
}

static int nvdm_file_refuse(u32 why, u32 *reason)
{
	*reason = why;
	return -EOPNOTSUPP;
}

/* What the file system says of a file. If it does not tell, nothing is known against it. */
static int nvdm_file_check_attributes(struct file *file, u32 *reason)
{
	struct file_kattr attr = { .flags = 0 };

	if (vfs_fileattr_get(file->f_path.dentry, &attr))
		return 0;
	if (attr.flags & FS_INLINE_DATA_FL)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_INLINE, reason);
	if (attr.flags & FS_JOURNAL_DATA_FL)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_JOURNALLED, reason);
	if (attr.fsx_xflags & FS_XFLAG_REALTIME)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_REALTIME, reason);
	return 0;
}

/**
 * nvdm_file_check - can the blocks of a file be read?
 * @file: an open regular file
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Looks at nothing that a file may be while it is not leased.
 *
 * Return: 0, -EOPNOTSUPP or -ETXTBSY.
 */
int nvdm_file_check(struct file *file, u32 *reason)
{
	struct inode *inode = file_inode(file);

	/* Where nobody can hold a layout, XFS breaks none. */
	if (!nvdm_file_is_on(file, "ext4") &&
	    !(nvdm_file_is_on(file, "xfs") && IS_ENABLED(CONFIG_EXPORTFS_BLOCK_OPS)))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_SYSTEM, reason);
	if (!inode->i_sb->s_bdev)
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_DEVICE, reason);
	if (IS_SWAPFILE(inode)) {
		*reason = NVME_DMABUF_REASON_SWAP;
		return -ETXTBSY;
	}
	if (IS_ENCRYPTED(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_ENCRYPTED, reason);
	if (IS_VERITY(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_VERITY, reason);
	if (IS_DAX(inode))
		return nvdm_file_refuse(NVME_DMABUF_REASON_FILE_DAX, reason);
	return nvdm_file_check_attributes(file, reason);
}

/* The user is stopped. Waits for the drive at most. */
static void nvdm_file_give_back(struct nvdm_file *file)
{
	file->ops->drain(file);
	nvdm_lease_give_back(file);
}

static void nvdm_file_watch(struct work_struct *work)
{
	struct nvdm_file *file = container_of(to_delayed_work(work), struct nvdm_file, watch);

	mutex_lock(&file->lock);
	if (!nvdm_file_is_broken(file) && nvdm_lease_is_wanted(file)) {
		WRITE_ONCE(file->broken, true);
		file->ops->stop(file);
	}
	if (nvdm_file_is_broken(file))
		nvdm_file_give_back(file);
	else if (file->read.held && time_before(jiffies, file->watch_until))
		nvdm_lease_watch(file);
	mutex_unlock(&file->lock);
}

/**
 * nvdm_file_open - a file that was checked, of which nothing is held yet
 * @file: filled in
 * @opened: the caller's file, of which the owner of @file has a reference
 * @ops: called when somebody wants to change it
 *
 * To be undone by nvdm_file_close().
 */
void nvdm_file_open(struct nvdm_file *file, struct file *opened, const struct nvdm_file_ops *ops)
{
	file->file = opened;
	file->ops = ops;
	mutex_init(&file->lock);
	INIT_DELAYED_WORK(&file->watch, nvdm_file_watch);
}

static void nvdm_file_forget(struct nvdm_file *file)
{
	kvfree(file->extents.all);
	file->extents = (struct extents){};
	file->blocks = 0;
	file->bytes = 0;
	file->tail = false;
	file->sectors = 0;
}

/**
 * nvdm_file_close - undo nvdm_file_open()
 * @file: the file, whose user is stopped and drained; if it was not opened, nothing happens
 */
void nvdm_file_close(struct nvdm_file *file)
{
	if (!file->file)
		return;
	mutex_lock(&file->lock);
	nvdm_lease_give_back(file);
	if (file->own)
		fput(file->own);
	file->own = NULL;
	mutex_unlock(&file->lock);
	/* After this nobody can break them. */
	cancel_delayed_work_sync(&file->watch);
	nvdm_file_forget(file);
	mutex_destroy(&file->lock);
	file->file = NULL;
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
	struct inode *inode = file_inode(file->file);
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
	struct inode *inode = file_inode(file->file);
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

/* The last block may be read if what stands behind the end of the file is all zero. */
static int nvdm_file_check_tail(struct nvdm_file *file, struct nvdm_namespace *ns)
{
	u32 in_block = file->bytes & (ns->block_size - 1);
	const struct extent *last;
	bool zero;
	int ret;

	if (!in_block)
		return 0;
	last = extents_find(&file->extents, file->blocks - 1);
	if (last->start == EXTENT_HOLE)
		return 0;
	ret = nvdm_probe_tail(ns, last->start + (file->blocks - 1 - last->first), in_block, &zero);
	if (!ret && !zero) {
		file->tail = true;
		file->blocks--;
	}
	return ret;
}

static int nvdm_file_find_blocks(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	struct inode *inode = file_inode(file->file);
	u64 bytes = i_size_read(inode);
	bool data;
	int ret;

	nvdm_file_forget(file);
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
		return nvdm_file_refuse(nvdm_file_is_on(file->file, "xfs") ?
						NVME_DMABUF_REASON_FILE_SHARED :
						NVME_DMABUF_REASON_FILE_INLINE,
					reason);
	file->bytes = bytes;
	file->blocks = DIV_ROUND_UP_ULL(bytes, ns->block_size);
	if (bytes) {
		ret = nvdm_file_check_tail(file, ns);
		if (ret)
			return ret;
		extents_end(&file->extents, file->blocks);
	}
	file->sectors = file->blocks << (ns->block_shift - SECTOR_SHIFT);
	return 0;
}

/* Opens the file once more, as the caller has: the leases are of that. */
static int nvdm_file_open_own(struct nvdm_file *file, u32 *reason)
{
	struct file *own;

	if (file->own)
		return 0;
	own = dentry_open(&file->file->f_path, O_RDONLY | O_LARGEFILE, file->file->f_cred);
	if (!IS_ERR(own)) {
		file->own = own;
		return 0;
	}
	if (PTR_ERR(own) == -ERESTARTSYS || PTR_ERR(own) == -EINTR)
		return -EINTR;
	if (PTR_ERR(own) == -ENOMEM)
		return -ENOMEM;
	if (PTR_ERR(own) != -EACCES && PTR_ERR(own) != -EPERM)
		return -EIO;
	*reason = NVME_DMABUF_REASON_SECURITY;
	return PTR_ERR(own);
}

/* Takes the leases, and finds the blocks. Under the file's lock. */
static int nvdm_file_take(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	/* What takes time, before anybody has to wait for it. */
	ret = nvdm_file_open_own(file, reason) ?: nvdm_lease_wait(file, ns);
	if (!ret)
		filemap_write_and_wait(file_inode(file->file)->i_mapping);
	if (!ret)
		ret = nvdm_lease_take(file, nvdm_file_is_on(file->file, "xfs"), reason);
	if (ret)
		return ret;
	/* Again, for whoever wrote it may have changed what it is. */
	ret = nvdm_file_check(file->file, reason) ?: nvdm_file_find_blocks(file, ns, reason);
	/* As of a file that is open for writing, which it will be. */
	if (ret == -EAGAIN) {
		*reason = NVME_DMABUF_REASON_FILE_BUSY;
		ret = -EBUSY;
	}
	if (ret) {
		nvdm_lease_give_back(file);
		return ret;
	}
	file->watch_until = jiffies + LEASE_WATCH_UNTIL;
	nvdm_lease_watch(file);
	return 0;
}

/**
 * nvdm_file_hold - hold the leases of a file, and know where its blocks are
 * @file: the file, whose user is stopped and drained
 * @ns: the namespace below it, whose format is known
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * If the leases are held already and nobody waits for them, nothing happens. If somebody
 * breaks them meanwhile, @file->broken tells.
 *
 * Return: 0, -EBUSY, -EOPNOTSUPP, -ETXTBSY, -EIO, -ENODEV, -ESTALE, -ENOMEM or -EINTR.
 */
int nvdm_file_hold(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	if (mutex_lock_interruptible(&file->lock))
		return -EINTR;
	if (file->read.held && nvdm_file_is_broken(file))
		nvdm_file_give_back(file);
	ret = file->read.held ? 0 : nvdm_file_take(file, ns, reason);
	mutex_unlock(&file->lock);
	return ret;
}
