// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory with a shape: pages, or a PCI device's BAR, cut into segments, with
 * patterns around and after them that show who wrote where he should not have.
 * Must not know dma-bufs.
 */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

#define GUARD  0x6a
#define POISON 0xd7

/* The CPU does not look at the memory while it is mapped, and x86 is coherent. */
#define MAP_ATTRS DMA_ATTR_SKIP_CPU_SYNC

static struct store *store_alloc(u32 count)
{
	struct store *store = kzalloc(sizeof(*store), GFP_KERNEL);

	if (!store)
		return NULL;
	INIT_LIST_HEAD(&store->node);
	store->chunks = kvcalloc(count, sizeof(*store->chunks), GFP_KERNEL);
	store->pieces = kvcalloc(count, sizeof(*store->pieces), GFP_KERNEL);
	if (!store->chunks || !store->pieces) {
		store_destroy(store);
		return NULL;
	}
	return store;
}

void store_destroy(struct store *store)
{
	u32 i;

	for (i = 0; i < store->nr_chunks; i++) {
		struct chunk *chunk = &store->chunks[i];

		if (chunk->pages)
			__free_pages(chunk->pages, chunk->order);
		else
			iounmap(chunk->map.vaddr_iomem);
	}
	if (store->pdev) {
		pci_disable_device(store->pdev);
		pci_dev_put(store->pdev);
	}
	kvfree(store->pieces);
	kvfree(store->chunks);
	kfree(store);
}

static size_t chunk_bytes(const struct chunk *chunk)
{
	return PAGE_SIZE << chunk->order;
}

/* Pages that do not begin where those of the chunk before end. */
static int chunk_alloc(struct store *store, unsigned int order)
{
	gfp_t gfp = GFP_KERNEL | __GFP_COMP | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;
	struct chunk *chunk = &store->chunks[store->nr_chunks];
	struct page *pages = alloc_pages(gfp, order), *neighbour = NULL;

	if (pages && store->nr_chunks &&
	    page_to_phys(pages) == chunk[-1].phys + chunk_bytes(&chunk[-1])) {
		neighbour = pages;
		pages = alloc_pages(gfp, order);
		__free_pages(neighbour, order);
	}
	if (!pages)
		return -ENOMEM;
	chunk->pages = pages;
	chunk->order = order;
	chunk->phys = page_to_phys(pages);
	iosys_map_set_vaddr(&chunk->map, page_address(pages));
	memset(page_address(pages), GUARD, chunk_bytes(chunk));
	store->nr_chunks++;
	return 0;
}

/* A chunk for a segment and those adjacent to it. */
static int chunk_alloc_for(struct store *store, const struct exporter_segment *segment, u32 left)
{
	u64 bytes = segment->offset + segment->length;
	struct chunk *chunk;
	int ret;
	u32 i;

	for (i = 1; i < left && segment[i].flags & EXPORTER_SEGMENT_ADJACENT; i++)
		bytes += segment[i].length;
	ret = chunk_alloc(store, max_t(unsigned int, segment->order, get_order(bytes)));
	if (ret)
		return ret;
	chunk = &store->chunks[store->nr_chunks - 1];
	chunk->start = segment->offset;
	chunk->end = bytes;
	memset(page_address(chunk->pages) + chunk->start, 0, chunk->end - chunk->start);
	return 0;
}

static bool segment_is_valid(const struct exporter_segment *segments, u32 i, bool bar)
{
	const struct exporter_segment *segment = &segments[i];
	u32 known = bar ? EXPORTER_SEGMENT_HOST :
			  EXPORTER_SEGMENT_ADJACENT | EXPORTER_SEGMENT_ALIAS;

	if (segment->flags & ~known || !segment->length || segment->order > 20 ||
	    segment->length > UINT_MAX || segment->offset > UINT_MAX)
		return false;
	if (segment->flags & EXPORTER_SEGMENT_HOST)
		return true;
	/* The first segment has no predecessor; an alias has no allocation. */
	if (segment->flags && (!i || segment->offset || segment->order))
		return false;
	switch (segment->flags) {
	case 0:
		return true;
	case EXPORTER_SEGMENT_ADJACENT:
		return !(segments[i - 1].flags & EXPORTER_SEGMENT_ALIAS);
	case EXPORTER_SEGMENT_ALIAS:
		return segment->length <= segments[0].length;
	default:
		return false;
	}
}

/**
 * store_create - memory of a given shape
 * @segments: the shape
 * @count: number of segments
 *
 * Return: the store or an error pointer.
 */
struct store *store_create(const struct exporter_segment *segments, u32 count)
{
	struct store *store = store_alloc(count);
	int ret = -EINVAL;
	u32 i;

	if (!store)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < count; i++) {
		struct piece *piece = &store->pieces[i];

		if (!segment_is_valid(segments, i, false))
			goto destroy;
		piece->length = segments[i].length;
		if (segments[i].flags & EXPORTER_SEGMENT_ALIAS) {
			piece->start = segments[0].offset;
		} else if (segments[i].flags & EXPORTER_SEGMENT_ADJACENT) {
			piece->chunk = piece[-1].chunk;
			piece->start = piece[-1].start + piece[-1].length;
		} else {
			ret = chunk_alloc_for(store, &segments[i], count - i);
			if (ret)
				goto destroy;
			piece->chunk = store->nr_chunks - 1;
			piece->start = segments[i].offset;
		}
		store->bytes += piece->length;
		store->nr_pieces++;
		cond_resched();
	}
	return store;

destroy:
	store_destroy(store);
	return ERR_PTR(ret);
}

/**
 * store_create_bar - a PCI device's memory
 * @segments: parts of the BAR
 * @count: number of segments
 * @pdev: the device; the store takes over the caller's reference
 * @bar: which BAR
 *
 * Return: the store or an error pointer.
 */
struct store *store_create_bar(const struct exporter_segment *segments, u32 count,
			       struct pci_dev *pdev, unsigned int bar)
{
	struct store *store;
	struct chunk *chunk;
	int ret;
	u32 i;

	ret = -EINVAL;
	if (bar >= PCI_STD_NUM_BARS || !(pci_resource_flags(pdev, bar) & IORESOURCE_MEM))
		goto put;
	ret = pci_enable_device_mem(pdev);
	if (ret)
		goto put;
	/* The BAR is one more, and the first. */
	store = store_alloc(count + 1);
	if (!store) {
		ret = -ENOMEM;
		goto disable;
	}
	store->pdev = pdev;
	chunk = &store->chunks[0];
	chunk->phys = pci_resource_start(pdev, bar);
	chunk->end = pci_resource_len(pdev, bar);
	iosys_map_set_vaddr_iomem(&chunk->map, ioremap(chunk->phys, chunk->end));
	if (iosys_map_is_null(&chunk->map)) {
		ret = -ENOMEM;
		goto destroy;
	}
	store->nr_chunks = 1;

	for (i = 0; i < count; i++) {
		struct piece *piece = &store->pieces[i];

		ret = -EINVAL;
		if (!segment_is_valid(segments, i, true))
			goto destroy;
		if (segments[i].flags & EXPORTER_SEGMENT_HOST) {
			ret = chunk_alloc_for(store, &segments[i], 1);
			if (ret)
				goto destroy;
			piece->chunk = store->nr_chunks - 1;
		} else if (segments[i].offset > chunk->end ||
			   segments[i].length > chunk->end - segments[i].offset) {
			goto destroy;
		}
		piece->start = segments[i].offset;
		piece->length = segments[i].length;
		store->bytes += piece->length;
		store->nr_pieces++;
	}
	return store;

destroy:
	store_destroy(store);
	return ERR_PTR(ret);
disable:
	pci_disable_device(pdev);
put:
	pci_dev_put(pdev);
	return ERR_PTR(ret);
}

/**
 * store_access - read or write the content
 * @store: the store
 * @pos: first byte
 * @data: where to or from
 * @length: bytes
 * @write: from @data to the store
 *
 * Return: 0, or -ERANGE if that is not all within the store.
 */
int store_access(struct store *store, u64 pos, void *data, size_t length, bool write)
{
	u32 i;

	if (pos > store->bytes || length > store->bytes - pos)
		return -ERANGE;
	for (i = 0; length; pos -= store->pieces[i++].length) {
		const struct piece *piece = &store->pieces[i];
		struct chunk *chunk = &store->chunks[piece->chunk];
		size_t part;

		if (pos >= piece->length)
			continue;
		part = min_t(u64, length, piece->length - pos);
		if (write)
			iosys_map_memcpy_to(&chunk->map, piece->start + pos, data, part);
		else
			iosys_map_memcpy_from(data, &chunk->map, piece->start + pos, part);
		data += part;
		length -= part;
		pos += part;
	}
	return 0;
}

/**
 * store_copy - copy all content
 * @to: a store in memory
 * @from: another one of the same shape
 */
void store_copy(struct store *to, struct store *from)
{
	u32 i;

	for (i = 0; i < to->nr_chunks; i++) {
		struct chunk *chunk = &to->chunks[i];

		memcpy(chunk->map.vaddr + chunk->start, from->chunks[i].map.vaddr + chunk->start,
		       chunk->end - chunk->start);
	}
}

/**
 * store_poison - fill memory so that later writes show
 * @store: a store in memory
 */
void store_poison(struct store *store)
{
	u32 i;

	for (i = 0; i < store->nr_chunks; i++)
		memset(store->chunks[i].map.vaddr, POISON, chunk_bytes(&store->chunks[i]));
}

/* Bytes of a part of a chunk that are not what they should be. */
static u64 chunk_damage(const struct chunk *chunk, u64 start, u64 end, u8 value)
{
	const u8 *byte = chunk->map.vaddr + start, *last = chunk->map.vaddr + end;
	u64 count = 0;

	while (byte < last && (byte = memchr_inv(byte, value, last - byte))) {
		count++;
		byte++;
	}
	return count;
}

u64 store_guard_damage(const struct store *store)
{
	u64 count = 0;
	u32 i;

	for (i = 0; i < store->nr_chunks; i++) {
		const struct chunk *chunk = &store->chunks[i];

		if (!chunk->pages)
			continue;
		count += chunk_damage(chunk, 0, chunk->start, GUARD);
		count += chunk_damage(chunk, chunk->end, chunk_bytes(chunk), GUARD);
	}
	return count;
}

u64 store_poison_damage(const struct store *store)
{
	u64 count = 0;
	u32 i;

	for (i = 0; i < store->nr_chunks; i++)
		count += chunk_damage(&store->chunks[i], 0, chunk_bytes(&store->chunks[i]), POISON);
	return count;
}

/* Can a page table express it? */
bool store_can_mmap(const struct store *store)
{
	u32 i;

	for (i = 0; i < store->nr_pieces; i++)
		if (!PAGE_ALIGNED(store->pieces[i].start | store->pieces[i].length))
			return false;
	return !store->pdev;
}

/* The page of a byte of a store that can be mmapped, or NULL. */
struct page *store_page(const struct store *store, u64 pos)
{
	u32 i;

	for (i = 0; i < store->nr_pieces; pos -= store->pieces[i++].length) {
		const struct piece *piece = &store->pieces[i];

		if (pos < piece->length)
			return store->chunks[piece->chunk].pages +
			       ((piece->start + pos) >> PAGE_SHIFT);
	}
	return NULL;
}

static void store_unmap_bar(const struct store *store, struct device *dev, struct sg_table *sgt,
			    u32 count, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	u32 i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (i == count)
			break;
		if (store->chunks[store->pieces[i].chunk].pages)
			dma_unmap_page_attrs(dev, sg_dma_address(sg), sg_dma_len(sg), dir,
					     MAP_ATTRS);
		else
			dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg), dir, MAP_ATTRS);
	}
}

static dma_addr_t piece_map(const struct store *store, const struct piece *piece,
			    struct device *dev, enum dma_data_direction dir)
{
	const struct chunk *chunk = &store->chunks[piece->chunk];

	if (chunk->pages)
		return dma_map_page_attrs(dev, chunk->pages, piece->start, piece->length, dir,
					  MAP_ATTRS);
	return dma_map_resource(dev, chunk->phys + piece->start, piece->length, dir, MAP_ATTRS);
}

/* Addresses only: these entries have no pages, and importers must not look. */
static int store_map_bar(const struct store *store, struct device *dev, struct sg_table *sgt,
			 enum dma_data_direction dir)
{
	struct scatterlist *sg;
	u32 i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		const struct piece *piece = &store->pieces[i];

		sg_set_page(sg, NULL, piece->length, 0);
		sg_dma_address(sg) = piece_map(store, piece, dev, dir);
		sg_dma_len(sg) = piece->length;
		if (dma_mapping_error(dev, sg_dma_address(sg))) {
			store_unmap_bar(store, dev, sgt, i, dir);
			return -EIO;
		}
	}
	return 0;
}

static int store_map_pages(const struct store *store, struct device *dev, struct sg_table *sgt,
			   enum dma_data_direction dir)
{
	struct scatterlist *sg = sgt->sgl;
	u32 i;

	for (i = 0; i < store->nr_pieces; i++, sg = sg_next(sg)) {
		const struct piece *piece = &store->pieces[i];
		struct page *page =
			store->chunks[piece->chunk].pages + (piece->start >> PAGE_SHIFT);

		sg_set_page(sg, page, piece->length, offset_in_page(piece->start));
	}
	return dma_map_sgtable(dev, sgt, dir, MAP_ATTRS);
}

/**
 * store_map - map for DMA
 * @store: the store
 * @dev: the device that will do it
 * @sgt: the table to make, to be given to store_unmap()
 * @dir: its direction
 *
 * Return: 0 or a negative error number.
 */
int store_map(const struct store *store, struct device *dev, struct sg_table *sgt,
	      enum dma_data_direction dir)
{
	int ret = sg_alloc_table(sgt, store->nr_pieces, GFP_KERNEL);

	if (ret)
		return ret;
	if (store->pdev)
		ret = store_map_bar(store, dev, sgt, dir);
	else
		ret = store_map_pages(store, dev, sgt, dir);
	if (ret)
		sg_free_table(sgt);
	return ret;
}

void store_unmap(const struct store *store, struct device *dev, struct sg_table *sgt,
		 enum dma_data_direction dir)
{
	if (store->pdev)
		store_unmap_bar(store, dev, sgt, store->nr_pieces, dir);
	else
		dma_unmap_sgtable(dev, sgt, dir, MAP_ATTRS);
	sg_free_table(sgt);
}
