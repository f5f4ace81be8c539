// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings: a range of a dma-buf, mapped for DMA by one device for as long as anybody uses
 * it or the exporter lets it, and shared by all who want the same. Must not know storage,
 * maps, commands or user memory.
 */
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "memory.h"

/**
 * nvdm_importer_init - a device that is going to map dma-bufs
 * @importer: filled in
 * @pdev: the device, which outlives it
 */
void nvdm_importer_init(struct nvdm_importer *importer, struct pci_dev *pdev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);

	importer->pdev = pdev;
	importer->translated = domain && domain->type != IOMMU_DOMAIN_IDENTITY;
	spin_lock_init(&importer->lock);
	INIT_LIST_HEAD(&importer->mappings);
	mutex_init(&importer->lists_lock);
}

/**
 * nvdm_importer_check - is this a device whose DMA needs no help from the CPU?
 * @importer: the device
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 or -EOPNOTSUPP.
 */
int nvdm_importer_check(const struct nvdm_importer *importer, u32 *reason)
{
	if (is_swiotlb_force_bounce(&importer->pdev->dev)) {
		*reason = NVME_DMABUF_REASON_DMA_BOUNCED;
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Under the importer's lock. */
static struct nvdm_mapping *nvdm_mapping_find(const struct nvdm_mapping *like)
{
	struct nvdm_mapping *mapping;

	list_for_each_entry(mapping, &like->importer->mappings, node)
		if (mapping->dmabuf == like->dmabuf && mapping->offset == like->offset &&
		    mapping->length == like->length && mapping->direction == like->direction &&
		    kref_get_unless_zero(&mapping->ref))
			return mapping;
	return NULL;
}

/**
 * nvdm_mapping_get - the mapping of a range
 * @importer: the device
 * @dmabuf: the dma-buf
 * @offset: first byte of the range, which was checked
 * @length: bytes of the range
 * @direction: of the DMA
 *
 * It is mapped only once somebody has joined, and begins.
 *
 * Return: the mapping, to be released by nvdm_mapping_put(), or NULL if there is no memory.
 */
struct nvdm_mapping *nvdm_mapping_get(struct nvdm_importer *importer, struct dma_buf *dmabuf,
				      u64 offset, u64 length, enum dma_data_direction direction)
{
	struct nvdm_mapping *new = kzalloc(sizeof(*new), NVDM_GFP), *found;

	if (!new)
		return NULL;
	kref_init(&new->ref);
	new->importer = importer;
	new->dmabuf = dmabuf;
	new->offset = offset;
	new->length = length;
	new->direction = direction;
	mutex_init(&new->lock);
	INIT_LIST_HEAD(&new->users);

	spin_lock(&importer->lock);
	found = nvdm_mapping_find(new);
	if (!found) {
		get_dma_buf(dmabuf);
		list_add(&new->node, &importer->mappings);
	}
	spin_unlock(&importer->lock);
	if (!found)
		return new;
	kfree(new);
	return found;
}

static void nvdm_mapping_release(struct kref *ref)
{
	struct nvdm_mapping *mapping = container_of(ref, struct nvdm_mapping, ref);

	spin_lock(&mapping->importer->lock);
	list_del(&mapping->node);
	spin_unlock(&mapping->importer->lock);
	dma_buf_put(mapping->dmabuf);
	mutex_destroy(&mapping->lock);
	kfree(mapping);
}

/**
 * nvdm_mapping_put - let a mapping go
 * @mapping: the mapping, which its user has left, if it joined
 */
void nvdm_mapping_put(struct nvdm_mapping *mapping)
{
	kref_put(&mapping->ref, nvdm_mapping_release);
}

/* Under the reservation lock. */
static void nvdm_mapping_unmap(struct nvdm_mapping *mapping)
{
	if (!mapping->sgt)
		return;
	dma_buf_unmap_attachment(mapping->attach, mapping->sgt, mapping->direction);
	mapping->sgt = NULL;
}

/* Under the reservation lock, which all mappings of the dma-buf have in common. */
static void nvdm_mapping_stop(struct nvdm_mapping *mapping)
{
	struct nvdm_mapping_user *user;

	list_for_each_entry(user, &mapping->users, node)
		user->ops->stop(user);
}

/*
 * Of all mappings of the buffer whose exporter tells, so that the waits for their users, each
 * a grace period at least, overlap.
 */
static void nvdm_mapping_stop_all_of_buffer(struct nvdm_mapping *mapping)
{
	struct nvdm_mapping *other;

	spin_lock(&mapping->importer->lock);
	list_for_each_entry(other, &mapping->importer->mappings, node)
		if (other == mapping ||
		    (other->dmabuf == mapping->dmabuf && READ_ONCE(other->told)))
			nvdm_mapping_stop(other);
	spin_unlock(&mapping->importer->lock);
}

/**
 * nvdm_mapping_invalidate - the exporter wants the buffer back
 * @attach: the mapping's attachment
 *
 * The contract. Called with the reservation lock held, at any time, from inside
 * our own calls to the exporter as well. When this returns, the drive has
 * finished with the buffer and it is not mapped: exporters that wait for fences
 * find none of ours, and those that wait for the unmapping find it done. Commands
 * are refused until their map is refreshed.
 *
 * Nothing here allocates or takes a lock under which anything is allocated, and
 * completion of commands needs no lock that an exporter may hold. It takes as long
 * as the slowest command that the drive has: at most the nvme driver's timeout, after
 * which that disables the controller, without allocating, and ends the command. Commands
 * that the driver keeps from the drive, as during a reset, are ended here after
 * PARKED_PATIENCE.
 */
static void nvdm_mapping_invalidate(struct dma_buf_attachment *attach)
{
	struct nvdm_mapping *mapping = attach->importer_priv;
	struct nvdm_mapping_user *user;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!mapping->sgt)
		return;
	nvdm_mapping_stop_all_of_buffer(mapping);
	list_for_each_entry(user, &mapping->users, node)
		user->ops->drain(user);
	nvdm_mapping_unmap(mapping);
}

static const struct dma_buf_attach_ops mapping_attach_ops = {
	.allow_peer2peer = true,
	.invalidate_mappings = nvdm_mapping_invalidate,
};

/* What the DMA API says of a peer that is out of reach, and what vfio says. */
static bool nvdm_mapping_error_is_of_peer(const struct nvdm_mapping *mapping, int error)
{
	return error == -EREMOTEIO ||
	       (error == -EINVAL && !strncmp(mapping->dmabuf->exp_name, "vfio", strlen("vfio")));
}

/*
 * An exporter refused. Its error number is passed on; what it is likely to mean
 * is told by the reason.
 */
static int nvdm_mapping_exporter_error(struct nvdm_mapping *mapping, int error, u32 *reason)
{
	u32 why;

	if (error == -ERESTARTSYS || error == -EINTR)
		return -EINTR;
	*reason = error == -ENODEV ? NVME_DMABUF_REASON_EXPORTER_REVOKED :
				     NVME_DMABUF_REASON_EXPORTER;
	if (!mapping->attach && error == -EOPNOTSUPP && dma_buf_attaches_static(mapping->dmabuf))
		*reason = NVME_DMABUF_REASON_NOT_DYNAMIC;
	if (mapping->attach && nvdm_mapping_error_is_of_peer(mapping, error) &&
	    nvdm_peer_unreachable(mapping->importer->pdev, &why)) {
		*reason = why;
		return -EOPNOTSUPP;
	}
	return error;
}

/* Under the mapping's lock. */
static int nvdm_mapping_attach(struct nvdm_mapping *mapping, u32 *reason)
{
	struct dma_buf_attachment *attach;

	attach = dma_buf_attach_directed(mapping->dmabuf, nvdm_mapping_device(mapping),
					 &mapping_attach_ops, mapping);
	if (IS_ERR(attach))
		return nvdm_mapping_exporter_error(mapping, PTR_ERR(attach), reason);
	mapping->attach = attach;
	WRITE_ONCE(mapping->told, attach->importer_ops);
	mapping->exporter_flags = 0;
	if (COMPAT_MOVABLE && attach->importer_ops)
		mapping->exporter_flags = NVME_DMABUF_MAP_DYNAMIC;
	else if (dma_buf_is_dynamic(mapping->dmabuf))
		mapping->exporter_flags = NVME_DMABUF_MAP_PINNED;
	return 0;
}

/**
 * nvdm_mapping_join - use a mapping
 * @user: its ops and its mapping are filled in; a device that leaves waits for it
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0, or what the exporter says; then the user has not joined.
 */
int nvdm_mapping_join(struct nvdm_mapping_user *user, u32 *reason)
{
	struct nvdm_mapping *mapping = user->mapping;
	int ret = 0;

	/* Who has it may wait for the exporter. */
	if (mutex_lock_interruptible(&mapping->lock))
		return -EINTR;
	if (!mapping->attach)
		ret = nvdm_mapping_attach(mapping, reason);
	if (!ret) {
		dma_resv_lock(mapping->dmabuf->resv, NULL);
		list_add_tail(&user->node, &mapping->users);
		dma_resv_unlock(mapping->dmabuf->resv);
	}
	mutex_unlock(&mapping->lock);
	return ret;
}

/**
 * nvdm_mapping_leave - use a mapping no more
 * @user: a user that joined, and nothing of which refers to the mapping
 *
 * The last one unmaps it. Waits for the exporter.
 */
void nvdm_mapping_leave(struct nvdm_mapping_user *user)
{
	struct nvdm_mapping *mapping = user->mapping;
	bool last;

	mutex_lock(&mapping->lock);
	dma_resv_lock(mapping->dmabuf->resv, NULL);
	list_del(&user->node);
	last = list_empty(&mapping->users);
	if (last) {
		nvdm_mapping_unmap(mapping);
		nvdm_list_free(mapping);
	}
	dma_resv_unlock(mapping->dmabuf->resv);
	if (last) {
		WRITE_ONCE(mapping->told, false);
		dma_buf_detach(mapping->dmabuf, mapping->attach);
		mapping->attach = NULL;
	}
	mutex_unlock(&mapping->lock);
}

/*
 * Under the reservation lock, of a mapping with users. Whoever used it before is drained, so
 * that the list can be made anew.
 */
static int nvdm_mapping_map(struct nvdm_mapping *mapping, u32 *reason)
{
	struct sg_table *sgt;
	int ret;

	sgt = dma_buf_map_attachment(mapping->attach, mapping->direction);
	if (IS_ERR(sgt))
		return nvdm_mapping_exporter_error(mapping, PTR_ERR(sgt), reason);

	mapping->sgt = sgt;
	nvdm_list_free(mapping);
	ret = nvdm_list_build(mapping, &mapping->segments, reason);
	if (ret) {
		nvdm_mapping_unmap(mapping);
		return ret;
	}
	mapping->list_bytes = PAGE_ALIGN((u64)mapping->list.nr_pages * PRP_PAGE_SIZE);
	mapping->generation++;
	return 0;
}

static bool nvdm_mapping_is_moving(const struct nvdm_mapping *mapping)
{
	return !dma_resv_test_signaled(mapping->dmabuf->resv, DMA_RESV_USAGE_KERNEL);
}

/**
 * nvdm_mapping_begin - map the range, if it is not mapped, and let a user begin
 * @user: a user that joined
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * The user does not begin while a move is under way: mapping may have begun one.
 *
 * Return: 0; MAPPING_MOVES if the dma-buf's KERNEL fences are to be waited for first; what
 * the exporter or the user's begin() says; -EINTR; or another negative error number.
 */
int nvdm_mapping_begin(struct nvdm_mapping_user *user, u32 *reason)
{
	struct nvdm_mapping *mapping = user->mapping;
	bool made = false;
	int ret = 0;

	/*
	 * Before, because for static exporters older kernels wait as they map,
	 * with our locks held.
	 */
	if (nvdm_mapping_is_moving(mapping))
		return MAPPING_MOVES;
	if (dma_resv_lock_interruptible(mapping->dmabuf->resv, NULL))
		return -EINTR;
	if (!mapping->sgt) {
		ret = nvdm_mapping_map(mapping, reason);
		made = !ret;
	}
	if (!ret && !nvdm_mapping_is_moving(mapping)) {
		ret = user->ops->begin(user, reason);
		if (ret && made)
			nvdm_mapping_unmap(mapping);
	}
	dma_resv_unlock(mapping->dmabuf->resv);
	return ret;
}

/**
 * nvdm_mapping_wait_fences - wait for those who use a dma-buf
 * @dmabuf: the dma-buf
 * @usage: for whom of them
 *
 * Such fences are others', and may take their time: hold nothing but the dma-buf.
 *
 * Return: 0 or -EINTR.
 */
int nvdm_mapping_wait_fences(struct dma_buf *dmabuf, enum dma_resv_usage usage)
{
	long ret = dma_resv_wait_timeout(dmabuf->resv, usage, true, MAX_SCHEDULE_TIMEOUT);

	return ret < 0 ? -EINTR : 0;
}
