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

/*
 * Entries of contiguous pages. Entry e stands in list page e / PRP_STRIDE, and also in the
 * one before if it reaches. What counts is how few instructions this takes for each, so
 * where there is no other, what is there is written twice.
 */
static void prp_list_fill(struct prp_list *list, __u64 entry, __u64 end, __u64 addr)
{
	for (; entry < end;) {
		__u32 slot = entry % PRP_STRIDE;
		__le64 *slots = list->pages[entry / PRP_STRIDE].slots + slot;
		__u32 count = PRP_STRIDE - slot, i;
		__le64 *others = slots;

		if (slot + PRP_STRIDE < PRP_SLOTS) {
			count = PRP_SLOTS - PRP_STRIDE - slot;
			if (entry >= PRP_STRIDE)
				others = list->pages[entry / PRP_STRIDE - 1].slots + slot +
					 PRP_STRIDE;
		}
		if (count > end - entry)
			count = end - entry;
#pragma GCC unroll 16
		for (i = 0; i < count; i++) {
			slots[i] = others[i] = cpu_to_le64(addr);
			addr += PRP_PAGE_SIZE;
		}
		entry += count;
	}
}

/* prp_builder_add() of any segment. */
int prp_builder_add_any(struct prp_builder *builder, __u64 addr, __u64 length)
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
	prp_list_fill(list, entry, (builder->pos + PRP_PAGE_MASK) >> PRP_PAGE_SHIFT, page);
	return 0;
}
