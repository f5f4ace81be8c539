// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process's own memory as a dma-buf: its pages are pinned for as long as the dma-buf lives,
 * and charged to the user. From there on it is a buffer like those of other exporters, and
 * nothing else of the module knows the difference. Must not know storage, maps or commands.
 */
#include <linux/dma-mapping.h>
#include <linux/hugetlb_inline.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "memory.h"

/* Pages that are pinned at once: their array fills a page. */
#define PIN_PAGES (PAGE_SIZE / sizeof(struct page *))

/*
 * Bytes of an entry at most. An entry that begins on a boundary of 4 GiB may be padded up to the
 * next one, by the kernel's DMA code for IOMMUs: from 2 GiB on its length would wrap.
 */
#define ENTRY_MAX SZ_1G

/**
 * struct nvdm_user_pages - memory that a dma-buf was made of
 * @access: NVME_DMABUF_ACCESS_*, of the DMA that there may be
 * @user: whose RLIMIT_MEMLOCK is charged, or NULL if the caller was not bound by it
 * @mm: where the charge is shown as VmPin
 * @charged: pages
 * @last: the folio that was charged last, while pages are pinned
 * @table: the pages that are pinned, those in a row in one entry
 * @lock: for @attachments, and their mappings
 * @attachments: of the dma-buf
 */
struct nvdm_user_pages {
	u32 access;
	struct user_struct *user;
	struct mm_struct *mm;
	unsigned long charged;
	struct folio *last;
	struct sg_append_table table;
	struct mutex lock;
	struct list_head attachments;
};

/**
 * struct nvdm_user_attachment - a device that uses the memory
 * @node: in the list of attachments
 * @device: the device
 * @table: a copy of the pages' table, for its DMA addresses
 * @direction: of its mapping; DMA_NONE if there is none
 */
struct nvdm_user_attachment {
	struct list_head node;
	struct device *device;
	struct sg_table table;
	enum dma_data_direction direction;
};

/*
 * As io_uring charges its registered buffers, to the same account, and all of a large folio of
 * which a page is pinned, for nothing of it can be reclaimed.
 */
static int nvdm_user_pages_charge(struct nvdm_user_pages *memory, struct page **pinned,
				  unsigned long count, u32 *reason)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT, more = 0, i;
	long now;

	for (i = 0; i < count; i++) {
		struct folio *folio = page_folio(pinned[i]);

		if (folio == memory->last)
			continue;
		memory->last = folio;
		more += folio_nr_pages(folio);
	}
	if (memory->user) {
		now = atomic_long_read(&memory->user->locked_vm);
		do {
			if (now + more > limit) {
				*reason = NVME_DMABUF_REASON_MEMLOCK;
				return -ENOMEM;
			}
		} while (!atomic_long_try_cmpxchg(&memory->user->locked_vm, &now, now + more));
	}
	atomic64_add(more, &memory->mm->pinned_vm);
	memory->charged += more;
	return 0;
}

static void nvdm_user_pages_uncharge(struct nvdm_user_pages *memory)
{
	if (memory->user) {
		atomic_long_sub(memory->charged, &memory->user->locked_vm);
		free_uid(memory->user);
	}
	atomic64_sub(memory->charged, &memory->mm->pinned_vm);
	mmdrop(memory->mm);
}

/*
 * Memory that is nobody's cache of something else: a file system writes back the pages of its
 * files and must learn of each write, which DMA does not tell. Device nodes may stand on a
 * tmpfs as well; what they map is not its memory.
 */
static bool nvdm_user_pages_is_memory(struct vm_area_struct *vma)
{
	const struct inode *inode;

	if (!vma->vm_file || is_vm_hugetlb_page(vma))
		return true;
	inode = vma->vm_file->f_mapping->host;
	return S_ISREG(inode->i_mode) && inode->i_sb->s_magic == TMPFS_MAGIC;
}

/* How are pages of this area to be pinned? */
static int nvdm_user_pages_check_area(const struct nvdm_user_pages *memory,
				      struct vm_area_struct *vma, unsigned int *gup_flags,
				      u32 *reason)
{
	if (vma->vm_flags & (VM_IO | VM_PFNMAP) || !nvdm_user_pages_is_memory(vma)) {
		*reason = NVME_DMABUF_REASON_MEMORY_KIND;
		return -EOPNOTSUPP;
	}
	/*
	 * As for a write, even if DMA only reads: pages that are still shared with others,
	 * as after fork(), would be the caller's no more as soon as it writes to them.
	 */
	*gup_flags = FOLL_LONGTERM | FOLL_WRITE;
	if (vma->vm_flags & VM_WRITE)
		return 0;
	/* What many map, and the caller must not write to, remains the same page. */
	*gup_flags = FOLL_LONGTERM;
	if (vma->vm_flags & VM_MAYSHARE && memory->access == NVME_DMABUF_ACCESS_WRITE)
		return 0;
	*reason = NVME_DMABUF_REASON_MEMORY_ACCESS;
	return -EFAULT;
}

/* What the memory management says. */
static long nvdm_user_pages_pin_error(long error, u32 *reason)
{
	switch (error) {
	case -EINTR:
	case -ERESTARTSYS:
		return -EINTR;
	case -ENOMEM:
		return error;
	case 0:
	case -EFAULT:
	case -EHWPOISON:
		*reason = NVME_DMABUF_REASON_MEMORY_ACCESS;
		return -EFAULT;
	default:
		*reason = NVME_DMABUF_REASON_MEMORY_KIND;
		return -EOPNOTSUPP;
	}
}

/*
 * Pins some pages of one area. With the lock held all the while, so that the area does not
 * become another's in between. Returns their number, or a negative error number.
 */
static long nvdm_user_pages_pin_some(const struct nvdm_user_pages *memory, unsigned long addr,
				     unsigned long most, struct page **pinned, u32 *reason)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned int gup_flags;
	long count = -EFAULT;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma)
		ret = nvdm_user_pages_check_area(memory, vma, &gup_flags, reason);
	if (vma && !ret)
		count = pin_pages(addr, min(most, (vma->vm_end - addr) >> PAGE_SHIFT), gup_flags,
				  pinned);
	mmap_read_unlock(mm);
	if (ret)
		return ret;
	return count > 0 ? count : nvdm_user_pages_pin_error(count, reason);
}

static int nvdm_user_pages_pin(struct nvdm_user_pages *memory, unsigned long addr,
			       unsigned long left, struct page **pinned, u32 *reason)
{
	long count;
	int ret;

	for (; left; addr += count << PAGE_SHIFT) {
		if (fatal_signal_pending(current))
			return -EINTR;
		count = nvdm_user_pages_pin_some(memory, addr, min(left, PIN_PAGES), pinned,
						 reason);
		if (count < 0)
			return count;
		left -= count;
		ret = nvdm_user_pages_charge(memory, pinned, count, reason);
		if (!ret)
			ret = sg_alloc_append_table_from_pages(&memory->table, pinned, count, 0,
							       (u64)count << PAGE_SHIFT, ENTRY_MAX,
							       min_t(unsigned long, left, INT_MAX),
							       NVDM_GFP);
		if (ret) {
			/* Of these the table has none. */
			unpin_user_pages(pinned, count);
			return ret;
		}
		cond_resched();
	}
	return 0;
}

static void nvdm_user_pages_destroy(struct nvdm_user_pages *memory)
{
	bool dirty = memory->access & NVME_DMABUF_ACCESS_READ;
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(&memory->table.sgt, sg, i) {
		unpin_user_page_range_dirty_lock(sg_page(sg), sg->length >> PAGE_SHIFT, dirty);
		cond_resched();
	}
	sg_free_append_table(&memory->table);
	nvdm_user_pages_uncharge(memory);
	mutex_destroy(&memory->lock);
	kfree(memory);
}

static int nvdm_user_pages_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct nvdm_user_pages *memory = dmabuf->priv;
	struct nvdm_user_attachment *attachment;
	struct scatterlist *from, *to;
	unsigned int i;
	int ret;

	attachment = kzalloc(sizeof(*attachment), NVDM_GFP);
	if (!attachment)
		return -ENOMEM;
	ret = sg_alloc_table(&attachment->table, memory->table.sgt.orig_nents, NVDM_GFP);
	if (ret) {
		kfree(attachment);
		return ret;
	}
	to = attachment->table.sgl;
	for_each_sgtable_sg(&memory->table.sgt, from, i) {
		sg_set_page(to, sg_page(from), from->length, 0);
		to = sg_next(to);
		if (!(i % 1024))
			cond_resched();
	}
	attachment->device = attach->dev;
	attachment->direction = DMA_NONE;
	attach->priv = attachment;
	mutex_lock(&memory->lock);
	list_add(&attachment->node, &memory->attachments);
	mutex_unlock(&memory->lock);
	return 0;
}

static void nvdm_user_pages_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct nvdm_user_pages *memory = dmabuf->priv;
	struct nvdm_user_attachment *attachment = attach->priv;

	mutex_lock(&memory->lock);
	list_del(&attachment->node);
	mutex_unlock(&memory->lock);
	sg_free_table(&attachment->table);
	kfree(attachment);
}

static struct sg_table *nvdm_user_pages_map(struct dma_buf_attachment *attach,
					    enum dma_data_direction direction)
{
	struct nvdm_user_pages *memory = attach->dmabuf->priv;
	struct nvdm_user_attachment *attachment = attach->priv;
	int ret;

	/* Whoever imports it. Pages that are only read were not all pinned for more. */
	if ((direction != DMA_TO_DEVICE && !(memory->access & NVME_DMABUF_ACCESS_READ)) ||
	    (direction != DMA_FROM_DEVICE && !(memory->access & NVME_DMABUF_ACCESS_WRITE)))
		return ERR_PTR(-EACCES);
	mutex_lock(&memory->lock);
	ret = dma_map_sgtable(attachment->device, &attachment->table, direction, 0);
	if (!ret)
		attachment->direction = direction;
	mutex_unlock(&memory->lock);
	return ret ? ERR_PTR(ret) : &attachment->table;
}

static void nvdm_user_pages_unmap(struct dma_buf_attachment *attach, struct sg_table *table,
				  enum dma_data_direction direction)
{
	struct nvdm_user_pages *memory = attach->dmabuf->priv;
	struct nvdm_user_attachment *attachment = attach->priv;

	mutex_lock(&memory->lock);
	attachment->direction = DMA_NONE;
	dma_unmap_sgtable(attachment->device, table, direction, 0);
	mutex_unlock(&memory->lock);
}

/* With every device that has the memory mapped. */
static void nvdm_user_pages_sync(struct nvdm_user_pages *memory,
				 void (*sync)(struct device *device, struct sg_table *table,
					      enum dma_data_direction direction))
{
	struct nvdm_user_attachment *attachment;

	mutex_lock(&memory->lock);
	list_for_each_entry(attachment, &memory->attachments, node)
		if (attachment->direction != DMA_NONE)
			sync(attachment->device, &attachment->table, attachment->direction);
	mutex_unlock(&memory->lock);
}

static int nvdm_user_pages_begin_cpu(struct dma_buf *dmabuf, enum dma_data_direction direction)
{
	nvdm_user_pages_sync(dmabuf->priv, dma_sync_sgtable_for_cpu);
	return 0;
}

static int nvdm_user_pages_end_cpu(struct dma_buf *dmabuf, enum dma_data_direction direction)
{
	nvdm_user_pages_sync(dmabuf->priv, dma_sync_sgtable_for_device);
	return 0;
}

static void nvdm_user_pages_release(struct dma_buf *dmabuf)
{
	nvdm_user_pages_destroy(dmabuf->priv);
}

/* Not mmap: who has the memory has it mapped, and to others it is not given that way. */
static const struct dma_buf_ops user_pages_ops = {
	.attach = nvdm_user_pages_attach,
	.detach = nvdm_user_pages_detach,
	.map_dma_buf = nvdm_user_pages_map,
	.unmap_dma_buf = nvdm_user_pages_unmap,
	.begin_cpu_access = nvdm_user_pages_begin_cpu,
	.end_cpu_access = nvdm_user_pages_end_cpu,
	.release = nvdm_user_pages_release,
};

static int nvdm_user_pages_check(const struct nvme_dmabuf_export *args, u32 *reason)
{
	u64 end;

	if (!args->length) {
		*reason = NVME_DMABUF_REASON_ZERO_LENGTH;
		return -EINVAL;
	}
	if (!PAGE_ALIGNED(args->addr) || !PAGE_ALIGNED(args->length)) {
		*reason = NVME_DMABUF_REASON_PAGE_ALIGN;
		return -EINVAL;
	}
	*reason = NVME_DMABUF_REASON_MEMORY_ACCESS;
	if (check_add_overflow(args->addr, args->length, &end))
		return -EOVERFLOW;
	if (end > TASK_SIZE)
		return -EFAULT;
	*reason = NVME_DMABUF_REASON_NONE;
	return 0;
}

static int nvdm_user_pages_open_flags(u32 access)
{
	switch (access) {
	case NVME_DMABUF_ACCESS_READ:
		return O_WRONLY;
	case NVME_DMABUF_ACCESS_WRITE:
		return O_RDONLY;
	default:
		return O_RDWR;
	}
}

/**
 * nvdm_user_pages_export - make a dma-buf of the caller's memory
 * @args: what the caller asked for; access is valid
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Pages that are not there yet are made. Nothing else of the caller's is held: the memory
 * may be unmapped, and the process may end.
 *
 * Return: the dma-buf, or a negative error number.
 */
struct dma_buf *nvdm_user_pages_export(const struct nvme_dmabuf_export *args, u32 *reason)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct nvdm_user_pages *memory;
	struct dma_buf *dmabuf;
	struct page **pinned;
	int ret;

	ret = nvdm_user_pages_check(args, reason);
	if (ret)
		return ERR_PTR(ret);
	memory = kzalloc(sizeof(*memory), NVDM_GFP);
	if (!memory)
		return ERR_PTR(-ENOMEM);
	memory->access = args->access;
	/* No audit: who is bound by the limit does nothing wrong. */
	if (!ns_capable_noaudit(&init_user_ns, CAP_IPC_LOCK))
		memory->user = get_uid(current_user());
	mmgrab(current->mm);
	memory->mm = current->mm;
	mutex_init(&memory->lock);
	INIT_LIST_HEAD(&memory->attachments);

	pinned = kmalloc_array(PIN_PAGES, sizeof(*pinned), NVDM_GFP);
	ret = pinned ? nvdm_user_pages_pin(memory, args->addr, args->length >> PAGE_SHIFT, pinned,
					   reason) :
		       -ENOMEM;
	kfree(pinned);
	if (!ret) {
		info.ops = &user_pages_ops;
		info.size = args->length;
		info.flags = nvdm_user_pages_open_flags(args->access);
		info.priv = memory;
		dmabuf = dma_buf_export(&info);
		if (!IS_ERR(dmabuf))
			return dmabuf;
		ret = PTR_ERR(dmabuf);
	}
	nvdm_user_pages_destroy(memory);
	return ERR_PTR(ret);
}
