// SPDX-License-Identifier: GPL-2.0-only
/*
 * Long-lived PRP lists: see prp.h. Must not know devices, user memory or
 * kernel objects.
 */
#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/limits.h>
#include <asm/byteorder.h>
#endif
#include "prp.h"

/**
 * prp_list_init - lay out a list
 * @list: the list, to which the caller then gives @list->nr_pages pages
 * @first_addr: DMA address of the range's first byte
 * @length: bytes of the range, not 0
 *
 * Return: 0, or -EINVAL if the first address is not dword aligned, as PRP1
 * must be, or -EOVERFLOW if there would be too many list pages to count.
 */
int prp_list_init(struct prp_list *list, __u64 first_addr, __u64 length)
{
	__u32 first = first_addr & PRP_PAGE_MASK;

	if (!length || first_addr & 3)
		return -EINVAL;
	if (length > (__u64)U32_MAX * PRP_STRIDE * PRP_PAGE_SIZE - first)
		return -EOVERFLOW;

	list->first = first;
	list->length = length;
	list->entries = (list->first + length + PRP_PAGE_MASK) >> PRP_PAGE_SHIFT;
	list->nr_pages = (list->entries + PRP_STRIDE - 1) / PRP_STRIDE;
	list->pages = NULL;
	return 0;
}

/**
 * prp_builder_init - start to fill a list
 * @builder: the builder
 * @list: the list to fill, with its pages
 */
void prp_builder_init(struct prp_builder *builder, struct prp_list *list)
{
	builder->list = list;
	builder->pos = list->first;
	builder->next = 0;
	builder->segments = 0;
}

/* Entry e stands in list page e / S, and also in the one before if it reaches. */
static void prp_list_set(struct prp_list *list, __u64 entry, __u64 addr)
{
	__u32 page = entry / PRP_STRIDE;
	__u32 slot = entry % PRP_STRIDE;

	list->pages[page].slots[slot] = cpu_to_le64(addr);
	if (page && slot + PRP_STRIDE < PRP_SLOTS)
		list->pages[page - 1].slots[slot + PRP_STRIDE] = cpu_to_le64(addr);
}

/**
 * prp_builder_add - add the next segment of the range
 * @builder: the builder
 * @addr: DMA address of the segment
 * @length: its bytes, not 0
 *
 * Return: 0; -EINVAL if PRPs cannot express it, because this or the last
 * segment does not meet the other on a controller page's boundary; -ERANGE if
 * it is more than the list was laid out for.
 */
int prp_builder_add(struct prp_builder *builder, __u64 addr, __u64 length)
{
	struct prp_list *list = builder->list;
	__u32 in_page = builder->pos & PRP_PAGE_MASK;
	bool started = builder->segments != 0;
	__u64 entry = builder->pos >> PRP_PAGE_SHIFT;
	__u64 page = addr - in_page;

	if (!length || addr + length < addr)
		return -EINVAL;
	if (length > list->first + list->length - builder->pos)
		return -ERANGE;

	if (!started || addr != builder->next) {
		/* Only the range's first segment may start inside a page. */
		if ((addr & PRP_PAGE_MASK) != in_page || (started && in_page))
			return -EINVAL;
		builder->segments++;
	}
	builder->next = addr + length;
	builder->pos += length;

	/* The entry of a page that the segment before began is set to what it is. */
	for (; entry << PRP_PAGE_SHIFT < builder->pos; entry++, page += PRP_PAGE_SIZE)
		prp_list_set(list, entry, page);
	return 0;
}
