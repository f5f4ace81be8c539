// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mapping's PRP list: its memory, which the drive reads, and how it is filled from the
 * exporter's DMA segments. Must not know exporters or users.
 */
#include <linux/dma-mapping.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "memory.h"

/*
 * Lists are allocated in pieces of up to 256 KiB, of whole kernel pages. A kernel page may
 * hold several list pages, but only of one mapping, for all of it is mapped for the drive.
 */
#define LIST_MAX_ORDER get_order(256 << 10)
#define LIST_PER_PAGE  (PAGE_SIZE / PRP_PAGE_SIZE)

static_assert(PAGE_SIZE % PRP_PAGE_SIZE == 0);

/* Segments of one page that are looked at together. */
#define LIST_TURN 8U

/* Bytes of a mapping after which others get the processor. */
#define LIST_REST (4ULL << 20)

/* A mapping may be very large: what is done for all of it lets others run, and can be killed. */
static int nvdm_list_rest(void)
{
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * struct nvdm_list_piece - memory that was allocated and mapped at once
 * @first: its first list page
 * @order: it has 2^@order kernel pages
 * @count: list pages that it holds: the last piece may have room for more
 */
struct nvdm_list_piece {
	struct prp_list_page *first;
	unsigned int order;
	u32 count;
};

/* The piece that begins with list page @at. Returns false if there is none. */
static bool nvdm_list_piece(const struct prp_list *list, u32 at, struct nvdm_list_piece *piece)
{
	if (!list->pages || at >= list->nr_pages || !list->pages[at].slots)
		return false;
	piece->first = &list->pages[at];
	piece->order = compound_order(virt_to_page(piece->first->slots));
	piece->count = min_t(u32, LIST_PER_PAGE << piece->order, list->nr_pages - at);
	return true;
}

/**
 * nvdm_list_free - free a mapping's list
 * @mapping: the mapping, under the reservation lock, that no command uses
 *
 * Does nothing if there is none.
 */
void nvdm_list_free(struct nvdm_mapping *mapping)
{
	struct prp_list *list = &mapping->list;
	struct nvdm_list_piece piece;
	u32 at;

	for (at = 0; nvdm_list_piece(list, at, &piece); at += piece.count) {
		if (piece.first->dma != DMA_MAPPING_ERROR)
			dma_unmap_page(nvdm_mapping_device(mapping), piece.first->dma,
				       PAGE_SIZE << piece.order, DMA_TO_DEVICE);
		free_pages((unsigned long)piece.first->slots, piece.order);
		cond_resched();
	}
	kvfree(list->pages);
	list->pages = NULL;
	list->nr_pages = 0;
}

/*
 * One large piece rather than many, for one mapping costs as much as another. The memory is
 * not zeroed (unless the kernel zeroes all), for all of it is written before it is mapped.
 */
static struct page *nvdm_list_alloc_pages(unsigned int max_order, unsigned int *order)
{
	gfp_t gfp = NVDM_GFP | __GFP_COMP;
	struct page *page;

	for (*order = max_order; *order; (*order)--) {
		page = alloc_pages(gfp | __GFP_NORETRY, *order);
		if (page)
			return page;
	}
	return alloc_page(gfp);
}

/* On failure the list has the pieces that were allocated so far. */
static int nvdm_list_alloc(struct nvdm_mapping *mapping, unsigned int max_order)
{
	struct prp_list *list = &mapping->list;
	unsigned int order;
	u32 at = 0, i, count;

	list->pages = kvcalloc(list->nr_pages, sizeof(*list->pages), NVDM_GFP);
	if (!list->pages)
		return -ENOMEM;

	while (at < list->nr_pages) {
		struct page *page;
		u32 left = list->nr_pages - at;
		int ret = nvdm_list_rest();

		if (ret)
			return ret;
		max_order =
			min_t(unsigned int, max_order, ilog2(DIV_ROUND_UP(left, LIST_PER_PAGE)));
		page = nvdm_list_alloc_pages(max_order, &order);
		if (!page)
			return -ENOMEM;
		count = min_t(u32, LIST_PER_PAGE << order, left);
		for (i = 0; i < count; i++) {
			list->pages[at + i].slots = page_address(page) + i * PRP_PAGE_SIZE;
			list->pages[at + i].dma = DMA_MAPPING_ERROR;
		}
		at += count;
	}
	return 0;
}

/*
 * Shows the list to the drive, all of which is written by now: what the memory held before
 * is nothing for a drive to see. Returns -EAGAIN if pieces should be smaller.
 */
static int nvdm_list_map(struct nvdm_mapping *mapping)
{
	struct nvdm_list_piece piece;
	dma_addr_t dma;
	u32 at, i;

	for (at = 0; nvdm_list_piece(&mapping->list, at, &piece); at += piece.count) {
		size_t used = piece.count * PRP_PAGE_SIZE, size = PAGE_SIZE << piece.order;
		int ret = nvdm_list_rest();

		if (ret)
			return ret;
		memset((void *)piece.first->slots + used, 0, size - used);
		/* DMA_TO_DEVICE: where there is an IOMMU, no drive can write it. */
		dma = dma_map_page(nvdm_mapping_device(mapping), virt_to_page(piece.first->slots),
				   0, size, DMA_TO_DEVICE);
		/* Where DMA is bounced there may be no room for large pieces. */
		if (dma_mapping_error(nvdm_mapping_device(mapping), dma))
			return piece.order ? -EAGAIN : -ENOMEM;
		for (i = 0; i < piece.count; i++)
			piece.first[i].dma = dma + i * PRP_PAGE_SIZE;
	}
	return 0;
}

/*
 * The part of a DMA segment that lies in the range. Successive segments are
 * given in order; @pos is the segment's first byte in the dma-buf.
 */
static bool nvdm_list_clip(const struct nvdm_mapping *mapping, u64 pos, u64 *addr, u64 *length)
{
	u64 start = max(pos, mapping->offset);
	u64 end = min(pos + *length, mapping->offset + mapping->length);

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
static __always_inline bool nvdm_list_is_bounced(const struct nvdm_mapping *mapping,
						 struct scatterlist *sg)
{
	if (mapping->importer->translated)
		return mapping->importer->pdev->untrusted &&
		       !PAGE_ALIGNED(sg_dma_address(sg) | sg_dma_len(sg));
	return dma_need_sync(nvdm_mapping_device(mapping), sg_dma_address(sg));
}

/* Of a mapping that is mapped: may any segment be? */
static bool nvdm_list_may_bounce(const struct nvdm_mapping *mapping)
{
	return mapping->importer->translated ? mapping->importer->pdev->untrusted :
					       dma_dev_need_sync(nvdm_mapping_device(mapping));
}

static int nvdm_list_first_address(struct nvdm_mapping *mapping, u64 *first)
{
	struct scatterlist *sg;
	u64 pos = 0, rest = LIST_REST;
	int i, ret;

	for_each_sgtable_dma_sg(mapping->sgt, sg, i) {
		u64 addr = sg_dma_address(sg);
		u64 length = sg_dma_len(sg);

		if (nvdm_list_clip(mapping, pos, &addr, &length)) {
			*first = addr;
			return 0;
		}
		pos += sg_dma_len(sg);
		if (pos >= rest) {
			rest = pos + LIST_REST;
			ret = nvdm_list_rest();
			if (ret)
				return ret;
		}
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
 * Adds up to LIST_TURN segments of one page each, for which there is room in @run. What
 * they have in common is tested once. Returns how many it were: the next one is no such
 * segment, or if it was none, perhaps not.
 */
static __always_inline u32 nvdm_list_add_turn(struct prp_run *run, struct scatterlist *sg,
					      u64 no_page)
{
	u64 next = run->next, joins = run->joins, seen = 0;
	unsigned long links = 0;
	u32 i;

#pragma GCC unroll 8
	for (i = 0; i < LIST_TURN; i++) {
		/* Ends at a chain entry, which has no DMA length, and reads nothing behind it. */
		if (sg_dma_len(&sg[i]) != PRP_PAGE_SIZE)
			break;
		links |= sg[i].page_link;
		prp_run_put(run, i, sg_dma_address(&sg[i]), &seen);
	}
	if (unlikely(links & (SG_CHAIN | SG_END) || seen & no_page)) {
		run->next = next;
		run->joins = joins;
		return 0;
	}
	run->at += i;
	return i;
}

/*
 * A run of segments of one page each, in the range: most of scattered memory. Returns the
 * first segment that is not one of them, or the last one.
 */
static __always_inline struct scatterlist *nvdm_list_fill_pages(struct nvdm_mapping *mapping,
								struct prp_builder *builder,
								struct scatterlist *sg, u32 *left,
								bool bounces)
{
	/* Kept in registers. */
	struct prp_run run = builder->run;
	u64 stop = run.at + min_t(u64, run.room - run.at, *left - 1);
	u64 no_page = PRP_NO_PAGE;

	OPTIMIZER_HIDE_VAR(no_page);
	while (!bounces && stop - run.at >= LIST_TURN) {
		u32 count = nvdm_list_add_turn(&run, sg, no_page);

		sg += count;
		if (likely(count == LIST_TURN))
			continue;
		if (!sg_is_chain(sg))
			break;
		sg = sg_chain_ptr(sg);
	}
	for (; run.at != stop; sg++) {
		if (unlikely(sg_is_chain(sg) || sg_is_last(sg))) {
			if (sg_is_last(sg))
				break;
			sg = sg_chain_ptr(sg);
			if (sg_is_last(sg))
				break;
		}
		if ((bounces && nvdm_list_is_bounced(mapping, sg)) ||
		    !prp_run_add(&run, sg_dma_address(sg), sg_dma_len(sg), no_page))
			break;
	}
	*left -= run.at - builder->run.at;
	builder->run.at = run.at;
	builder->run.next = run.next;
	builder->run.joins = run.joins;
	return unlikely(sg_is_chain(sg)) ? sg_chain_ptr(sg) : sg;
}

static int nvdm_list_fill(struct nvdm_mapping *mapping, u64 *segments, u32 *reason)
{
	struct scatterlist *sg = mapping->sgt->sgl;
	u32 left = mapping->sgt->nents, before;
	bool bounces = nvdm_list_may_bounce(mapping);
	u64 pos = 0, rest = LIST_REST;
	struct prp_builder builder;
	int ret;

	prp_builder_init(&builder, &mapping->list);
	while (left) {
		u64 addr = sg_dma_address(sg);
		u64 length = sg_dma_len(sg);

		if (nvdm_list_clip(mapping, pos, &addr, &length)) {
			if (bounces && nvdm_list_is_bounced(mapping, sg)) {
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
		if (pos >= mapping->offset + mapping->length)
			break;
		sg = nvdm_list_next_sg(sg);
		do {
			before = left;
			sg = bounces ? nvdm_list_fill_pages(mapping, &builder, sg, &left, true) :
				       nvdm_list_fill_pages(mapping, &builder, sg, &left, false);
			pos += (u64)(before - left) << PRP_PAGE_SHIFT;
			if (pos >= rest) {
				rest = pos + LIST_REST;
				ret = nvdm_list_rest();
				if (ret)
					return ret;
			}
		} while (left > 1 && prp_builder_next_run(&builder));
	}
	/* An exporter that maps less than it promised. */
	if (prp_builder_pos(&builder) != mapping->list.first + mapping->list.length) {
		*reason = NVME_DMABUF_REASON_SEGMENTS;
		return -EOPNOTSUPP;
	}
	prp_list_clear_rest(&mapping->list);
	*segments = prp_builder_segments(&builder);
	return 0;
}

/* A list in pieces of up to 2^@max_order pages. On failure there is none. */
static int nvdm_list_make(struct nvdm_mapping *mapping, u64 first, unsigned int max_order,
			  u64 *segments, u32 *reason)
{
	int ret;

	if (prp_list_init(&mapping->list, first, mapping->length)) {
		*reason = NVME_DMABUF_REASON_SEGMENTS;
		return -EOPNOTSUPP;
	}
	ret = nvdm_list_alloc(mapping, max_order);
	if (!ret)
		ret = nvdm_list_fill(mapping, segments, reason);
	if (!ret)
		ret = nvdm_list_map(mapping);
	if (ret)
		nvdm_list_free(mapping);
	return ret;
}

/**
 * nvdm_list_build - make a mapping's list
 * @mapping: the mapping, mapped, without a list, under the reservation lock
 * @segments: where to return how many DMA-contiguous segments there are
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0; -EOPNOTSUPP; -ENOMEM; or -EINTR if the task is being killed. On failure there
 * is no list.
 */
int nvdm_list_build(struct nvdm_mapping *mapping, u64 *segments, u32 *reason)
{
	u64 first;
	int ret = nvdm_list_first_address(mapping, &first);

	if (ret) {
		if (ret == -EOPNOTSUPP)
			*reason = NVME_DMABUF_REASON_SEGMENTS;
		return ret;
	}
	ret = nvdm_list_make(mapping, first, LIST_MAX_ORDER, segments, reason);
	return ret == -EAGAIN ? nvdm_list_make(mapping, first, 0, segments, reason) : ret;
}
