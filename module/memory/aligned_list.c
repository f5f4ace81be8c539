// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private copies of PRP lists, for drives that want lists to start at a larger
 * alignment than the 8 bytes that the specification asks for. Only for those:
 * this allocates per command. Must not know dma-bufs or user memory.
 */
#include <linux/dmapool.h>
#include <linux/slab.h>

#include "memory.h"

/**
 * nvdm_aligned_list_prepare - make copies possible for a device
 * @importer: the device
 *
 * Return: 0, -ENODEV if it is gone, or -ENOMEM.
 */
int nvdm_aligned_list_prepare(struct nvdm_importer *importer)
{
	int ret = 0;

	mutex_lock(&importer->lists_lock);
	/* Set before the device's pool goes for good. */
	if (READ_ONCE(importer->gone))
		ret = -ENODEV;
	else if (!importer->lists)
		importer->lists = dma_pool_create("nvme-dmabuf", &importer->pdev->dev,
						  PRP_PAGE_SIZE, PRP_PAGE_SIZE, 0);
	if (!ret && !importer->lists)
		ret = -ENOMEM;
	mutex_unlock(&importer->lists_lock);
	return ret;
}

/**
 * nvdm_aligned_list_exit - undo nvdm_aligned_list_prepare()
 * @importer: the device, which has no command in flight
 */
void nvdm_aligned_list_exit(struct nvdm_importer *importer)
{
	mutex_lock(&importer->lists_lock);
	dma_pool_destroy(importer->lists);
	importer->lists = NULL;
	mutex_unlock(&importer->lists_lock);
}

/**
 * nvdm_aligned_list_create - copy the part of a list that a command needs
 * @importer: the device, which is prepared
 * @from: the list
 * @offset: first byte of the transfer, from the start of the range
 * @prp1: the transfer's first byte
 * @length: its bytes, of at least three pages
 * @owner: the caller's
 *
 * Return: the copy, or NULL if there is no memory.
 */
struct nvdm_aligned_list *nvdm_aligned_list_create(struct nvdm_importer *importer,
						   const struct prp_list *from, u64 offset,
						   u64 prp1, u32 length, void *owner)
{
	struct nvdm_aligned_list *list;
	u32 pos, i = 0;

	/* An exporter may wait for the command in the midst of reclaim. */
	list = kmalloc(sizeof(*list), GFP_NOWAIT | __GFP_NOWARN);
	if (!list)
		return NULL;
	list->importer = importer;
	list->owner = owner;
	list->slots = dma_pool_alloc(importer->lists, GFP_NOWAIT | __GFP_NOWARN, &list->dma);
	if (!list->slots) {
		kfree(list);
		return NULL;
	}

	/* The first page stands in PRP1. */
	for (pos = PRP_PAGE_SIZE - (prp1 & PRP_PAGE_MASK); pos < length; pos += PRP_PAGE_SIZE)
		list->slots[i++] = cpu_to_le64(prp_list_address(from, offset + pos));
	return list;
}

/**
 * nvdm_aligned_list_destroy - undo nvdm_aligned_list_create()
 * @list: the copy, which the drive has finished with; any context
 */
void nvdm_aligned_list_destroy(struct nvdm_aligned_list *list)
{
	dma_pool_free(list->importer->lists, list->slots, list->dma);
	kfree(list);
}
