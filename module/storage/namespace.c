// SPDX-License-Identifier: GPL-2.0-only
/*
 * Namespaces: from an open file, of a block device or on a file system, to the queue, the
 * namespace identifier and the PCI device behind it. Must not know dma-bufs or commands.
 */
#include <linux/blk-integrity.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <linux/pagemap.h>

#include "storage.h"

static bool nvdm_device_in_class(const struct device *dev, const char *name)
{
	return dev && dev->class && !strcmp(dev->class->name, name);
}

static bool nvdm_disk_is_dead(struct gendisk *disk)
{
	return test_bit(GD_DEAD, &disk->state);
}

/*
 * A multipath device nvme<S>n<H> has a hidden disk nvme<S>c<C>n<H> for each
 * path, under the controller that is the path.
 */
struct nvdm_path_search {
	unsigned int subsystem;
	unsigned int head;
	sector_t sectors;
	unsigned int skip;
	struct gendisk *found;
};

static int nvdm_path_match_disk(struct device *dev, void *data)
{
	struct nvdm_path_search *search = data;
	unsigned int subsystem, controller, head;
	struct gendisk *disk;
	char rest;

	if (!nvdm_device_in_class(dev, "block") ||
	    sscanf(dev_name(dev), "nvme%uc%un%u%c", &subsystem, &controller, &head, &rest) != 3 ||
	    subsystem != search->subsystem || head != search->head)
		return 0;

	disk = dev_to_disk(dev);
	if (nvdm_disk_is_dead(disk) || !queue_is_mq(disk->queue) ||
	    get_capacity(disk) != search->sectors || search->skip--)
		return 0;

	get_device(dev);
	search->found = disk;
	return 1;
}

static int nvdm_path_match_controller(struct device *dev, void *data)
{
	return nvdm_device_in_class(dev, "nvme") ?
		       device_for_each_child(dev, data, nvdm_path_match_disk) :
		       0;
}

static int nvdm_namespace_find_path(struct nvdm_namespace *ns, unsigned int path,
				    struct pci_dev **pdev, u32 *reason)
{
	struct gendisk *head = ns->bdev->bd_disk;
	struct nvdm_path_search search = { .sectors = get_capacity(head), .skip = path };
	struct pci_dev *at = NULL;
	char rest;

	ns->flags |= NVME_DMABUF_NS_MULTIPATH;
	if (sscanf(head->disk_name, "nvme%un%u%c", &search.subsystem, &search.head, &rest) == 2)
		while (!search.found && (at = pci_get_class(PCI_CLASS_STORAGE_EXPRESS, at)))
			device_for_each_child(&at->dev, &search, nvdm_path_match_controller);

	if (!search.found) {
		*reason = NVME_DMABUF_REASON_NO_PATH;
		return -EOPNOTSUPP;
	}
	ns->disk = search.found;
	*pdev = at;
	return 0;
}

/*
 * Finds the disk whose queue takes commands and the PCI device behind it, and
 * takes references to both. The disk stands under the controller's device of
 * class "nvme", which stands under the device that the driver is bound to. The
 * open file keeps the controller, and that keeps its parent.
 */
static int nvdm_namespace_find_disk(struct nvdm_namespace *ns, unsigned int path,
				    struct pci_dev **pdev, u32 *reason)
{
	struct gendisk *disk = ns->bdev->bd_disk;
	struct device *ctrl = disk_to_dev(disk)->parent;

	if (nvdm_device_in_class(ctrl, "nvme-subsystem"))
		return nvdm_namespace_find_path(ns, path, pdev, reason);

	*reason = ns->flags & NVME_DMABUF_NS_FILE ? NVME_DMABUF_REASON_FILE_DEVICE :
						    NVME_DMABUF_REASON_NOT_NVME;
	if (!nvdm_device_in_class(ctrl, "nvme"))
		return -EOPNOTSUPP;
	*reason = NVME_DMABUF_REASON_NOT_PCIE;
	if (!ctrl->parent || !dev_is_pci(ctrl->parent) || !queue_is_mq(disk->queue))
		return -EOPNOTSUPP;

	get_device(disk_to_dev(disk));
	ns->disk = disk;
	*pdev = pci_dev_get(to_pci_dev(ctrl->parent));
	return 0;
}

static int nvdm_namespace_find_controller(struct nvdm_namespace *ns, unsigned int path, u32 *reason)
{
	struct nvdm_controller *ctrl;
	struct pci_dev *pdev;
	int ret;

	ret = nvdm_namespace_find_disk(ns, path, &pdev, reason);
	if (ret)
		return ret;

	ctrl = nvdm_controller_get(pdev);
	pci_dev_put(pdev);
	if (IS_ERR(ctrl)) {
		ret = PTR_ERR(ctrl);
		*reason = ret == -ENODEV ? NVME_DMABUF_REASON_GONE : NVME_DMABUF_REASON_NONE;
		return ret;
	}

	ns->ctrl = ctrl;
	if (ctrl->importer.translated)
		ns->flags |= NVME_DMABUF_NS_IOMMU;
	if (READ_ONCE(use_sgl) && nvdm_stock_uses_sgl(ns->disk))
		ns->flags |= NVME_DMABUF_NS_SGL;
	if (nvdm_stock_polls(ns->disk))
		ns->flags |= NVME_DMABUF_NS_POLL;
	return 0;
}

/* The driver knows the namespace identifier; the caller is not asked. */
static int nvdm_namespace_find_nsid(struct nvdm_namespace *ns)
{
	const struct block_device_operations *ops = ns->bdev->bd_disk->fops;
	int nsid = ops->ioctl ? ops->ioctl(ns->bdev, 0, NVME_IOCTL_ID, 0) : 0;

	if (nsid <= 0)
		return -ENODEV;
	ns->nsid = nsid;
	return 0;
}

static void nvdm_namespace_set_block_size(struct nvdm_namespace *ns, u32 block_size)
{
	ns->block_shift = ilog2(block_size);
	ns->block_size = block_size;
	ns->block_mask = block_size - 1;
}

/* The driver takes no namespace whose zones' size is not a power of 2. */
static void nvdm_namespace_find_zones(struct nvdm_namespace *ns)
{
	struct block_device *whole = ns->disk->part0;

	ns->zone_blocks = 0;
	if (!bdev_is_zoned(whole))
		return;
	ns->flags |= NVME_DMABUF_NS_ZONED;
	ns->zone_blocks = bdev_zone_sectors(whole) >> (ns->block_shift - SECTOR_SHIFT);
}

static int nvdm_namespace_find_format(struct nvdm_namespace *ns, u32 *reason)
{
	u32 block_size = queue_logical_block_size(ns->disk->queue);
	u32 sectors = block_size >> SECTOR_SHIFT;
	u64 start = ns->bdev->bd_start_sect;

	nvdm_namespace_set_block_size(ns, block_size);
	if (!get_capacity(ns->disk)) {
		/* Also the first thing that the driver does to one that goes. */
		if (nvdm_controller_is_gone(ns->ctrl) || nvdm_disk_is_dead(ns->disk)) {
			*reason = NVME_DMABUF_REASON_GONE;
			return -ENODEV;
		}
		*reason = NVME_DMABUF_REASON_NO_CAPACITY;
		return -EOPNOTSUPP;
	}
	if (bdev_is_partition(ns->bdev)) {
		if (!(ns->flags & NVME_DMABUF_NS_FILE))
			ns->flags |= NVME_DMABUF_NS_PARTITION;
		if ((start | bdev_nr_sectors(ns->bdev)) & (sectors - 1)) {
			*reason = NVME_DMABUF_REASON_PARTITION_UNALIGNED;
			return -EOPNOTSUPP;
		}
		ns->base = start >> (ns->block_shift - SECTOR_SHIFT);
		ns->start = ns->base;
	}
	if (bdev_read_only(ns->bdev))
		ns->flags |= NVME_DMABUF_NS_READ_ONLY;
	nvdm_namespace_find_zones(ns);
	if (!nvdm_stock_has_format(ns->disk)) {
		*reason = NVME_DMABUF_REASON_METADATA;
		return -EOPNOTSUPP;
	}
	if (blk_get_integrity(ns->disk))
		ns->flags |= NVME_DMABUF_NS_PI;
	return 0;
}

/* Test reads of a namespace whose format is known. */
static int nvdm_namespace_probe(struct nvdm_namespace *ns, u32 *reason)
{
	int ret = nvdm_probe_namespace(ns, reason);

	/* Longer reads have to be looked at, for they may cross the end of a zone. */
	ns->max_plain = ns->zone_blocks ? ns->block_size : ns->max_command;
	return ret;
}

static bool nvdm_namespace_is_dead(const struct nvdm_namespace *ns)
{
	return nvdm_disk_is_dead(ns->disk) || nvdm_disk_is_dead(ns->bdev->bd_disk);
}

static int nvdm_namespace_note_freeze(struct wait_queue_entry *wait, unsigned int mode, int flags,
				      void *key)
{
	struct nvdm_namespace *ns = wait->private;

	atomic_inc(&ns->freezes);
	/* Also woken when a disk is marked as dead. */
	if (smp_load_acquire(&ns->on_gone) && nvdm_namespace_is_dead(ns))
		ns->on_gone(ns);
	return 0;
}

static void nvdm_namespace_watch_queue(struct nvdm_namespace *ns, struct gendisk *disk,
				       struct wait_queue_entry *wait)
{
	init_waitqueue_func_entry(wait, nvdm_namespace_note_freeze);
	wait->private = ns;
	/* Before whoever froze it, and then changes the format. */
	add_wait_queue_priority(&disk->queue->mq_freeze_wq, wait);
}

/* The queue's waiters are woken when it is frozen, and when it is no more. */
static void nvdm_namespace_watch_freezes(struct nvdm_namespace *ns)
{
	nvdm_namespace_watch_queue(ns, ns->disk, &ns->freeze_wait[0]);
	if (ns->bdev->bd_disk != ns->disk)
		nvdm_namespace_watch_queue(ns, ns->bdev->bd_disk, &ns->freeze_wait[1]);
}

static void nvdm_namespace_unwatch_queue(struct gendisk *disk, struct wait_queue_entry *wait)
{
	if (wait->func)
		remove_wait_queue(&disk->queue->mq_freeze_wq, wait);
	wait->func = NULL;
}

static void nvdm_namespace_close_path(struct nvdm_namespace *ns)
{
	if (ns->ctrl)
		nvdm_controller_put(ns->ctrl);
	if (ns->disk) {
		nvdm_namespace_unwatch_queue(ns->disk, &ns->freeze_wait[0]);
		nvdm_namespace_unwatch_queue(ns->bdev->bd_disk, &ns->freeze_wait[1]);
		put_device(disk_to_dev(ns->disk));
	}
	ns->ctrl = NULL;
	ns->disk = NULL;
	ns->flags = 0;
}

static int nvdm_namespace_open_path(struct nvdm_namespace *ns, unsigned int path, u32 *reason)
{
	int ret;

	if (S_ISREG(ns->inode->i_mode))
		ns->flags |= NVME_DMABUF_NS_FILE;
	ret = nvdm_namespace_find_controller(ns, path, reason);
	if (ret)
		return ret;
	nvdm_namespace_watch_freezes(ns);
	*reason = NVME_DMABUF_REASON_GONE;
	ret = nvdm_namespace_find_nsid(ns);
	if (ret)
		return ret;
	ret = nvdm_namespace_find_format(ns, reason);
	if (ret)
		return ret;
	return nvdm_namespace_probe(ns, reason);
}

static int nvdm_namespace_check_file(const struct file *file, u32 *reason)
{
	bool writes = file->f_mode & FMODE_WRITE;

	/* Whoever opened it wants to write to its end alone. */
	if (writes && file->f_flags & O_APPEND) {
		*reason = NVME_DMABUF_REASON_FILE_APPEND;
		return -EACCES;
	}
	return nvdm_file_check(&file->f_path, writes, reason);
}

/* What the caller has opened, and the block device that this is or is on. */
static int nvdm_namespace_open_file(struct nvdm_namespace *ns, int fd, u32 *reason)
{
	int ret;

	ns->file = fget(fd);
	if (ns->file && nvdm_file_is_regular(ns->file)) {
		ret = nvdm_namespace_check_file(ns->file, reason);
		if (ret)
			return ret;
		ns->inode = file_inode(ns->file);
		ns->bdev = ns->inode->i_sb->s_bdev;
	} else if (ns->file && S_ISBLK(file_inode(ns->file)->i_mode)) {
		ns->inode = ns->file->f_mapping->host;
		ns->bdev = I_BDEV(ns->inode);
	} else {
		*reason = NVME_DMABUF_REASON_NOT_BLOCK_DEVICE;
		return -EBADF;
	}
	ns->mode = ns->file->f_mode;
	ns->mapping = ns->file->f_mapping;
	ns->sectors = &ns->bdev->bd_nr_sectors;
	return 0;
}

/**
 * nvdm_namespace_open - find what is behind an open file
 * @ns: filled in; on failure with what could be found
 * @fd: the caller's file descriptor
 * @on_gone: called when the namespace has left its controller, in any context, or NULL
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * To be undone by nvdm_namespace_close(), on failure too. Of a multipath device the
 * first path that works is taken.
 *
 * Return: 0, -EBADF, -EACCES, -EOPNOTSUPP, -ETXTBSY, -ENODEV, -EIO, -ESTALE, -EINTR or -ENOMEM.
 */
int nvdm_namespace_open(struct nvdm_namespace *ns, int fd,
			void (*on_gone)(struct nvdm_namespace *ns), u32 *reason)
{
	unsigned int path = 0;
	u32 path_reason;
	int ret, path_ret;

	memset(ns, 0, sizeof(*ns));
	ret = nvdm_namespace_open_file(ns, fd, reason);
	if (ret)
		return ret;
	if (nvdm_disk_is_dead(ns->bdev->bd_disk)) {
		*reason = NVME_DMABUF_REASON_GONE;
		return -ENODEV;
	}

	/* What the kernel knows even of one that is refused. */
	nvdm_namespace_set_block_size(ns, bdev_logical_block_size(ns->bdev));
	ret = nvdm_namespace_open_path(ns, path, reason);
	while ((ret == -EIO || ret == -ENODEV) && ns->flags & NVME_DMABUF_NS_MULTIPATH) {
		nvdm_namespace_close_path(ns);
		path_ret = nvdm_namespace_open_path(ns, ++path, &path_reason);
		/* None left: what was wrong with the last one stands. */
		if (path_ret && path_reason == NVME_DMABUF_REASON_NO_PATH)
			break;
		ret = path_ret;
		*reason = path_reason;
	}
	if (!ret && on_gone) {
		/* Of this path alone. If it has gone before, nobody was told. */
		smp_store_release(&ns->on_gone, on_gone);
		smp_mb();
		if (nvdm_namespace_is_dead(ns))
			on_gone(ns);
	}
	return ret;
}

/**
 * nvdm_namespace_reread - find the format of a namespace that is open
 * @ns: the namespace; its format is updated
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0, -EOPNOTSUPP, -ENODEV, -EIO, -ESTALE, -EINTR or -ENOMEM.
 */
int nvdm_namespace_reread(struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	ns->flags &= ~(NVME_DMABUF_NS_PI | NVME_DMABUF_NS_READ_ONLY | NVME_DMABUF_NS_ZONED);
	ret = nvdm_namespace_find_format(ns, reason);
	if (ret)
		return ret;
	return nvdm_namespace_probe(ns, reason);
}

void nvdm_namespace_close(struct nvdm_namespace *ns)
{
	nvdm_namespace_close_path(ns);
	if (ns->file)
		fput(ns->file);
}

/**
 * nvdm_namespace_let_go - keep a regular file, but not open
 * @ns: the namespace
 *
 * So that it does not count among those who have it open. As by O_PATH.
 *
 * Return: 0, -ENOMEM or -ENFILE.
 */
int nvdm_namespace_let_go(struct nvdm_namespace *ns)
{
	struct file *opened = ns->file;
	struct file *file = dentry_open(&opened->f_path, O_PATH, opened->f_cred);

	if (IS_ERR(file))
		return PTR_ERR(file);
	ns->file = file;
	fput(opened);
	return 0;
}

/**
 * nvdm_namespace_access - do the caller's file and the namespace allow this?
 * @ns: the namespace
 * @access: NVME_DMABUF_ACCESS_*
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Writes to a zone must arrive in order, and the block layer, which keeps the write
 * pointers of zones, would not hear of them.
 *
 * Return: 0, -EACCES, -ETXTBSY, or -EOPNOTSUPP for writes to a zoned namespace.
 */
int nvdm_namespace_access(const struct nvdm_namespace *ns, u32 access, u32 *reason)
{
	if (access & NVME_DMABUF_ACCESS_READ && !(ns->mode & FMODE_READ)) {
		*reason = NVME_DMABUF_REASON_NS_NOT_READABLE;
		return -EACCES;
	}
	if (access & NVME_DMABUF_ACCESS_WRITE &&
	    (!(ns->mode & FMODE_WRITE) || bdev_read_only(ns->bdev))) {
		*reason = NVME_DMABUF_REASON_NS_NOT_WRITABLE;
		return -EACCES;
	}
	if (access & NVME_DMABUF_ACCESS_WRITE && IS_IMMUTABLE(ns->inode)) {
		*reason = NVME_DMABUF_REASON_FILE_APPEND;
		return -EACCES;
	}
	if (access & NVME_DMABUF_ACCESS_WRITE && nvdm_namespace_forbids_writes(ns)) {
		*reason = NVME_DMABUF_REASON_SWAP;
		return -ETXTBSY;
	}
	if (access & NVME_DMABUF_ACCESS_WRITE && ns->flags & NVME_DMABUF_NS_ZONED) {
		*reason = NVME_DMABUF_REASON_ZONED;
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Security modules are asked as by read(2) and write(2), for the whole device or file at once. */
static int nvdm_namespace_ask_security(const struct nvdm_namespace *ns, u32 access)
{
	size_t count = min_t(u64, i_size_read(ns->mapping->host), MAX_RW_COUNT);
	loff_t pos = 0;
	int ret = 0;

	if (access & NVME_DMABUF_ACCESS_READ)
		ret = rw_verify_area(READ, ns->file, &pos, count);
	if (!ret && access & NVME_DMABUF_ACCESS_WRITE)
		ret = rw_verify_area(WRITE, ns->file, &pos, count);
	return ret;
}

/**
 * nvdm_namespace_begin - commands are to access a namespace
 * @ns: the namespace
 * @access: NVME_DMABUF_ACCESS_*
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * What was written to the block device's page cache before is on the drive after this, but
 * for what cannot be written. If commands are to write, the cache keeps nothing that they may
 * change.
 *
 * Return: 0, -EACCES, -EIO, -EINTR, or what a security module says.
 */
int nvdm_namespace_begin(const struct nvdm_namespace *ns, u32 access, u32 *reason)
{
	struct address_space *mapping = ns->mapping;
	int ret = nvdm_namespace_ask_security(ns, access);

	if (ret) {
		*reason = NVME_DMABUF_REASON_SECURITY;
		return ret == -ERESTARTSYS ? -EINTR : ret;
	}
	/* Errors of earlier writers are for them to see. */
	if (mapping->nrpages)
		filemap_fdatawrite(mapping);
	if (mapping->nrpages)
		filemap_fdatawait_keep_errors(mapping);
	nvdm_namespace_end(ns, access);
	return 0;
}

/**
 * nvdm_namespace_end - commands have accessed a namespace
 * @ns: the namespace
 * @access: NVME_DMABUF_ACCESS_*
 *
 * The block device's page cache is read anew from the drive, but for what was changed there.
 */
void nvdm_namespace_end(const struct nvdm_namespace *ns, u32 access)
{
	struct address_space *mapping = ns->mapping;

	if (!(access & NVME_DMABUF_ACCESS_WRITE) || !mapping->nrpages)
		return;
	/* As after O_DIRECT. But not waiting for reads that the driver may never end. */
	if (!nvdm_namespace_is_gone(ns) && !blk_queue_quiesced(ns->disk->queue))
		invalidate_inode_pages2_range(mapping, 0, -1);
	else
		invalidate_mapping_pages(mapping, 0, -1);
}
