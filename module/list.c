// SPDX-License-Identifier: GPL-2.0-only
/*
 * A map's PRP list: its memory, which the drive reads, and how it is filled from the
 * exporter's DMA segments. Must not know exporters, commands or user memory.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "internal.h"

/* Lists are allocated in pieces of up to 256 KiB. */
#define LIST_MAX_ORDER 6

static struct device *nvdm_list_device(const struct nvdm_map *map)
{
	return &map->ns.ctrl->pdev->dev;
}

/* Of the first page of a piece of the list. */
static unsigned int nvdm_list_order(const struct prp_list_page *page)
{
	return compound_order(virt_to_page(page->slots));
}

/**
 * nvdm_list_free - free a map's list
 * @map: the map, under the reservation lock, that no command uses
 *
 * Does nothing if there is none.
 */
void nvdm_list_free(struct nvdm_map *map)
{
	struct prp_list_page *page;
	unsigned int order;
	u32 i;

	for (i = 0; map->list.pages && i < map->list.nr_pages; i += 1U << order) {
		page = &map->list.pages[i];
		if (!page->slots)
			break;
		order = nvdm_list_order(page);
		dma_unmap_page(nvdm_list_device(map), page->dma, PRP_PAGE_SIZE << order,
			       DMA_TO_DEVICE);
		free_pages((unsigned long)page->slots, order);
	}
	kvfree(map->list.pages);
	map->list.pages = NULL;
	map->list.nr_pages = 0;
}

/* Pages of a list in one piece, for one mapping costs as much as another. */
static struct page *nvdm_list_alloc_pages(unsigned int max_order, unsigned int *order)
{
	struct page *page;

	for (*order = max_order; *order; (*order)--) {
		page = alloc_pages(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_COMP | __GFP_NORETRY |
					   __GFP_NOWARN,
				   *order);
		if (page)
			return page;
	}
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

static int nvdm_list_alloc(struct nvdm_map *map)
{
	struct device *dev = nvdm_list_device(map);
	unsigned int max_order = LIST_MAX_ORDER, order;
	u32 i, j;

	map->list.pages =
		kvcalloc(map->list.nr_pages, sizeof(*map->list.pages), GFP_KERNEL_ACCOUNT);
	if (!map->list.pages)
		return -ENOMEM;

	for (i = 0; i < map->list.nr_pages;) {
		struct page *page;
		dma_addr_t dma;

		max_order = min_t(unsigned int, max_order, ilog2(map->list.nr_pages - i));
		page = nvdm_list_alloc_pages(max_order, &order);
		if (!page)
			return -ENOMEM;
		/* DMA_TO_DEVICE: where there is an IOMMU, no drive can write it. */
		dma = dma_map_page(dev, page, 0, PRP_PAGE_SIZE << order, DMA_TO_DEVICE);
		if (dma_mapping_error(dev, dma)) {
			__free_pages(page, order);
			if (!order)
				return -ENOMEM;
			/* Where DMA is bounced there may be no room for large pieces. */
			max_order = 0;
			continue;
		}
		for (j = 0; j < 1U << order; j++) {
			map->list.pages[i + j].slots = page_address(page) + j * PRP_PAGE_SIZE;
			map->list.pages[i + j].dma = dma + j * PRP_PAGE_SIZE;
		}
		i += 1U << order;
		cond_resched();
	}
	return 0;
}

/* The CPU has written the entries; the drive may read them. */
static void nvdm_list_sync(struct nvdm_map *map)
{
	struct prp_list_page *page;
	unsigned int order;
	u32 i;

	for (i = 0; i < map->list.nr_pages; i += 1U << order) {
		page = &map->list.pages[i];
		order = nvdm_list_order(page);
		dma_sync_single_for_device(nvdm_list_device(map), page->dma, PRP_PAGE_SIZE << order,
					   DMA_TO_DEVICE);
	}
}

/*
 * The part of a DMA segment that lies in the range. Successive segments are
 * given in order; @pos is the segment's first byte in the dma-buf.
 */
static bool nvdm_list_clip(const struct nvdm_map *map, u64 pos, u64 *addr, u64 *length)
{
	u64 start = max(pos, map->offset);
	u64 end = min(pos + *length, map->offset + map->length);

	if (start >= end)
		return false;
	*addr += start - pos;
	*length = end - start;
	return true;
}

/*
 * A bounced segment means that the CPU copies the data on each transfer, which
 * a long-lived mapping gives it no occasion to do. Where DMA is translated,
 * unaligned segments of untrusted devices are bounced.
 */
static __always_inline bool nvdm_list_is_bounced(const struct nvdm_map *map, struct scatterlist *sg)
{
	if (map->ns.flags & NVME_DMABUF_NS_IOMMU)
		return map->ns.ctrl->pdev->untrusted &&
		       !PAGE_ALIGNED(sg_dma_address(sg) | sg_dma_len(sg));
	return dma_need_sync(nvdm_list_device(map), sg_dma_address(sg));
}

/* Of a map that is mapped: may any segment be? */
static bool nvdm_list_may_bounce(const struct nvdm_map *map)
{
	return map->ns.flags & NVME_DMABUF_NS_IOMMU ? map->ns.ctrl->pdev->untrusted :
						      dma_dev_need_sync(nvdm_list_device(map));
}

static int nvdm_list_first_address(struct nvdm_map *map, u64 *first)
{
	struct scatterlist *sg;
	u64 pos = 0;
	int i;

	for_each_sgtable_dma_sg(map->sgt, sg, i) {
		u64 addr = sg_dma_address(sg);
		u64 length = sg_dma_len(sg);

		if (nvdm_list_clip(map, pos, &addr, &length)) {
			*first = addr;
			return 0;
		}
		pos += sg_dma_len(sg);
	}
	return -EOPNOTSUPP;
}

/* sg_next() of one that is not the last: scattered memory has many. */
static struct scatterlist *nvdm_list_next_sg(struct scatterlist *sg)
{
	sg++;
	return unlikely(sg_is_chain(sg)) ? sg_chain_ptr(sg) : sg;
}

/*
 * A run of segments of one page each, in the range: most of scattered memory. Returns the
 * first segment that is not one of them, or the last one.
 */
static __always_inline struct scatterlist *nvdm_list_fill_pages(struct nvdm_map *map,
								struct prp_builder *builder,
								struct scatterlist *sg, u32 *left,
								bool bounces)
{
	/* Kept in registers. */
	struct prp_run run = builder->run;
	u64 stop = run.at + min_t(u64, run.room - run.at, *left - 1);
	u64 no_page = PRP_NO_PAGE;

	OPTIMIZER_HIDE_VAR(no_page);
#pragma GCC unroll 4
	for (; run.at != stop; sg++) {
		if (unlikely(sg_is_chain(sg) || sg_is_last(sg))) {
			if (sg_is_last(sg))
				break;
			sg = sg_chain_ptr(sg);
			if (sg_is_last(sg))
				break;
		}
		if ((bounces && nvdm_list_is_bounced(map, sg)) ||
		    !prp_run_add(&run, sg_dma_address(sg), sg_dma_len(sg), no_page))
			break;
	}
	*left -= run.at - builder->run.at;
	builder->run.at = run.at;
	builder->run.next = run.next;
	builder->run.joins = run.joins;
	return unlikely(sg_is_chain(sg)) ? sg_chain_ptr(sg) : sg;
}

static int nvdm_list_fill(struct nvdm_map *map, u64 *segments, u32 *reason)
{
	struct scatterlist *sg = map->sgt->sgl;
	u32 left = map->sgt->nents, before;
	bool bounces = nvdm_list_may_bounce(map);
	struct prp_builder builder;
	u64 pos = 0;

	prp_builder_init(&builder, &map->list);
	while (left) {
		u64 addr = sg_dma_address(sg);
		u64 length = sg_dma_len(sg);

		if (nvdm_list_clip(map, pos, &addr, &length)) {
			if (bounces && nvdm_list_is_bounced(map, sg)) {
				*reason = NVME_DMABUF_REASON_DMA_BOUNCED;
				return -EOPNOTSUPP;
			}
			if (prp_builder_add(&builder, addr, length)) {
				*reason = NVME_DMABUF_REASON_SEGMENTS;
				return -EOPNOTSUPP;
			}
		}
		if (!--left || sg_is_last(sg))
			break;
		pos += sg_dma_len(sg);
		if (pos >= map->offset + map->length)
			break;
		before = left;
		sg = nvdm_list_next_sg(sg);
		sg = bounces ? nvdm_list_fill_pages(map, &builder, sg, &left, true) :
			       nvdm_list_fill_pages(map, &builder, sg, &left, false);
		pos += (u64)(before - left) << PRP_PAGE_SHIFT;
		cond_resched();
	}
	/* An exporter that maps less than it promised. */
	if (prp_builder_pos(&builder) != map->list.first + map->list.length) {
		*reason = NVME_DMABUF_REASON_SEGMENTS;
		return -EOPNOTSUPP;
	}
	*segments = prp_builder_segments(&builder);
	return 0;
}

/**
 * nvdm_list_build - make a map's list
 * @map: the map, mapped, without a list, under the reservation lock
 * @segments: where to return how many DMA-contiguous segments there are
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 or a negative error number.
 */
int nvdm_list_build(struct nvdm_map *map, u64 *segments, u32 *reason)
{
	u64 first;
	int ret;

	if (nvdm_list_first_address(map, &first) || prp_list_init(&map->list, first, map->length)) {
		*reason = NVME_DMABUF_REASON_SEGMENTS;
		return -EOPNOTSUPP;
	}
	ret = nvdm_list_alloc(map);
	if (ret)
		return ret;
	ret = nvdm_list_fill(map, segments, reason);
	if (ret)
		return ret;
	nvdm_list_sync(map);
	return 0;
}
