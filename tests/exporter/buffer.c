// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test exporter's dma-bufs, as importers and mmap() see them.
 */
#include <linux/dma-buf.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"
#include "../../module/compat/compat.h"

/* Delete when 7.1 is the oldest kernel. */
#ifndef HAVE_INVALIDATE_MAPPINGS
#define dma_buf_invalidate_mappings dma_buf_move_notify
#endif

/* A mapping, in the memory that the dma-buf had when it was made. */
struct mapping {
	struct sg_table sgt;
	struct store *store;
	u64 generation;
};

static int buffer_fail(struct buffer *buf, u32 call)
{
	if (atomic_dec_if_positive(&buf->fail[call].count) < 0)
		return 0;
	return -READ_ONCE(buf->fail[call].error);
}

/* Under the reservation lock: tells importers to give up their mappings. */
void buffer_notify(struct buffer *buf)
{
	buf->held += buf->mapped;
	buf->mapped = 0;
	buf->generation++;
	dma_buf_invalidate_mappings(buf->dmabuf);
}

static int buffer_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct buffer *buf = dmabuf->priv;
	int ret = buffer_fail(buf, EXPORTER_FAIL_ATTACH);

	if (ret)
		return ret;
	/* As graphics drivers do, who then offer memory of the host's. */
	if (buf->flags & EXPORTER_NO_PATH)
		attach->peer2peer = false;
	if (buf->flags & EXPORTER_BAR && !attach->peer2peer)
		return -EOPNOTSUPP;
	atomic_inc(&buf->attached);
	return 0;
}

static void buffer_detach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct buffer *buf = dmabuf->priv;

	atomic_dec(&buf->attached);
}

static int buffer_pin(struct dma_buf_attachment *attach)
{
	struct buffer *buf = attach->dmabuf->priv;
	int ret = buffer_fail(buf, EXPORTER_FAIL_PIN);

	dma_resv_assert_held(attach->dmabuf->resv);
	if (ret)
		return ret;
	if (buf->flags & EXPORTER_NOTIFY_ON_PIN && !buf->pins)
		buffer_notify(buf);
	buf->pins++;
	return 0;
}

static void buffer_unpin(struct dma_buf_attachment *attach)
{
	struct buffer *buf = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	buf->pins--;
}

/* Under the reservation lock. */
int buffer_add_fence(struct buffer *buf, const struct exporter_fence *args)
{
	static const enum dma_resv_usage usages[] = {
		[EXPORTER_FENCE_KERNEL] = DMA_RESV_USAGE_KERNEL,
		[EXPORTER_FENCE_WRITE] = DMA_RESV_USAGE_WRITE,
		[EXPORTER_FENCE_READ] = DMA_RESV_USAGE_READ,
	};

	return fences_add(&buf->fences, buf->dmabuf->resv, usages[args->usage], args->timeout_ms);
}

static struct sg_table *buffer_map(struct dma_buf_attachment *attach, enum dma_data_direction dir)
{
	struct buffer *buf = attach->dmabuf->priv;
	struct mapping *mapping;
	int ret;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (buf->revoked)
		return ERR_PTR(-ENODEV);
	ret = buffer_fail(buf, EXPORTER_FAIL_MAP);
	if (!ret && buf->map_fence_armed) {
		buf->map_fence_armed = false;
		ret = buffer_add_fence(buf, &buf->map_fence);
	}
	if (ret)
		return ERR_PTR(ret);
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL);
	if (!mapping)
		return ERR_PTR(-ENOMEM);
	ret = store_map(buf->store, attach->dev, &mapping->sgt, dir);
	if (ret) {
		kfree(mapping);
		return ERR_PTR(ret);
	}
	mapping->store = buf->store;
	mapping->generation = buf->generation;
	buf->mapped++;
	buf->maps++;
	return &mapping->sgt;
}

static void buffer_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			 enum dma_data_direction dir)
{
	struct mapping *mapping = container_of(sgt, struct mapping, sgt);
	struct buffer *buf = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	store_unmap(mapping->store, attach->dev, sgt, dir);
	if (mapping->generation == buf->generation)
		buf->mapped--;
	else
		WRITE_ONCE(buf->held, buf->held - 1);
	buf->unmaps++;
	kfree(mapping);
	wake_up_all(&buf->unmapped);
}

void buffer_free(struct buffer *buf)
{
	struct store *store, *next;

	list_for_each_entry_safe(store, next, &buf->old, node)
		store_destroy(store);
	if (buf->store)
		store_destroy(buf->store);
	kvfree(buf->segments);
	kfree(buf);
}

static void buffer_release(struct dma_buf *dmabuf)
{
	struct buffer *buf = dmabuf->priv;

	fences_signal(&buf->fences);
	WARN_ON_ONCE(buf->mapped || buf->held || buf->pins || atomic_read(&buf->attached));
	buffer_free(buf);
}

static int buffer_begin_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	return 0;
}

static int buffer_end_cpu_access(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	return 0;
}

static vm_fault_t buffer_fault(struct vm_fault *vmf)
{
	struct buffer *buf = vmf->vma->vm_private_data;
	struct page *page;

	if (dma_resv_lock_interruptible(buf->dmabuf->resv, NULL))
		return VM_FAULT_NOPAGE;
	page = store_page(buf->store, (u64)vmf->pgoff << PAGE_SHIFT);
	if (page)
		get_page(page);
	dma_resv_unlock(buf->dmabuf->resv);
	vmf->page = page;
	return page ? 0 : VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct buffer_vm_ops = {
	.fault = buffer_fault,
};

static int buffer_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	struct buffer *buf = dmabuf->priv;

	/* Whatever it moves to has the same shape. */
	if (!store_can_mmap(buf->store) || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_private_data = buf;
	vma->vm_ops = &buffer_vm_ops;
	return 0;
}

const struct dma_buf_ops buffer_static_ops = {
	.attach = buffer_attach,
	.detach = buffer_detach,
	.map_dma_buf = buffer_map,
	.unmap_dma_buf = buffer_unmap,
	.release = buffer_release,
	.begin_cpu_access = buffer_begin_cpu_access,
	.end_cpu_access = buffer_end_cpu_access,
	.mmap = buffer_mmap,
};

const struct dma_buf_ops buffer_dynamic_ops = {
	.attach = buffer_attach,
	.detach = buffer_detach,
	.pin = buffer_pin,
	.unpin = buffer_unpin,
	.map_dma_buf = buffer_map,
	.unmap_dma_buf = buffer_unmap,
	.release = buffer_release,
	.begin_cpu_access = buffer_begin_cpu_access,
	.end_cpu_access = buffer_end_cpu_access,
	.mmap = buffer_mmap,
};

/* The dma-buf of a descriptor, with a reference, if it is one of ours. */
struct buffer *buffer_get(int fd)
{
	struct dma_buf *dmabuf = dma_buf_get(fd);

	if (IS_ERR(dmabuf))
		return ERR_PTR(-EBADF);
	if (dmabuf->ops != &buffer_static_ops && dmabuf->ops != &buffer_dynamic_ops) {
		dma_buf_put(dmabuf);
		return ERR_PTR(-EINVAL);
	}
	return dmabuf->priv;
}
