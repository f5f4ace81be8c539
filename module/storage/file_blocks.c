// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a regular file is, and where its blocks are: on XFS or ext4, as a sorted array of
 * extents on a namespace. Found by bmap(), which writes back what the page cache holds and
 * tells of no block that is a hole, was never written, or is shared with another file: what
 * is there may be other people's. Must not know who holds the file.
 */
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "storage.h"

/* Blocks after which others get the processor. */
#define FILE_REST 1024

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

/**
 * nvdm_file_forget - know nothing of a file's blocks
 * @file: the file, whose users are stopped and drained
 */
void nvdm_file_forget(struct nvdm_file *file)
{
	kvfree(file->extents.all);
	kvfree(file->extents.index);
	file->extents = (struct extents){};
	file->blocks = 0;
	file->bytes = 0;
	file->tail = false;
	file->sectors = 0;
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

/**
 * nvdm_file_find_blocks - find out where a file's blocks are
 * @file: the file, under its lock, whose leases are held; all that is known of it is forgotten
 * @ns: the namespace below it, whose format is known
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0; -EAGAIN if somebody waits for the leases; -EOPNOTSUPP, -EIO, -ENODEV, -ESTALE,
 * -ENOMEM or -EINTR.
 */
int nvdm_file_find_blocks(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason)
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
