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
	*builder = (struct prp_builder){ .list = list, .end = list->first };
}

/*
 * Where entries stand, from this one to at most the one before @end: in list page
 * entry / PRP_STRIDE, and also in the one before if it reaches. What counts is how few
 * instructions it takes to write each, so where there is no other, it is the same again.
 * Returns how many entries.
 */
static __always_inline __u32 prp_list_slots(struct prp_list *list, __u64 entry, __u64 end,
					    __le64 **slots, __le64 **others)
{
	struct prp_list_page *page = &list->pages[entry / PRP_STRIDE];
	__u32 at = entry % PRP_STRIDE;
	__u32 count = PRP_STRIDE - at;

	*slots = page->slots + at;
	*others = *slots;
	if (at + PRP_STRIDE < PRP_SLOTS) {
		count = PRP_SLOTS - PRP_STRIDE - at;
		if (entry >= PRP_STRIDE)
			*others = page[-1].slots + at + PRP_STRIDE;
	}
	return count < end - entry ? count : end - entry;
}

/* Entries of contiguous pages. */
static void prp_list_fill(struct prp_list *list, __u64 entry, __u64 end, __u64 addr)
{
	while (entry < end) {
		__le64 *slots, *others;
		__u32 count = prp_list_slots(list, entry, end, &slots, &others), i;

		entry += count;
		for (; count >= 32; count -= 32) {
#pragma GCC unroll 32
			for (i = 0; i < 32; i++)
				slots[i] = others[i] = cpu_to_le64(addr + i * PRP_PAGE_SIZE);
			slots += 32;
			others += 32;
			addr += 32 * PRP_PAGE_SIZE;
		}
		for (; count; count--) {
			*slots++ = *others++ = cpu_to_le64(addr);
			addr += PRP_PAGE_SIZE;
		}
	}
}

/* Where the run of whole pages after the last segment goes, up to the range's last one. */
static void prp_builder_start_run(struct prp_builder *builder)
{
	struct prp_list *list = builder->list;
	struct prp_run *run = &builder->run;
	__u64 entry = builder->end >> PRP_PAGE_SHIFT;
	__u64 end = (list->first + list->length) >> PRP_PAGE_SHIFT;

	run->at = 0;
	run->room = 0;
	run->joins = 0;
	if (!(builder->end & PRP_PAGE_MASK) && entry < end)
		run->room = prp_list_slots(list, entry, end, &run->slots, &run->others);
}

/**
 * prp_builder_next_run - find room for more whole pages after a run that is full
 * @builder: the builder
 *
 * Return: whether there is room; false also if the run is not full, or the range's first
 * segment was not added yet: what comes before it is not of the range.
 */
bool prp_builder_next_run(struct prp_builder *builder)
{
	struct prp_run *run = &builder->run;
	__u64 end = prp_builder_pos(builder);
	__u64 segments = prp_builder_segments(builder);

	if (!segments || run->at < run->room)
		return false;
	builder->end = end;
	builder->segments = segments;
	prp_builder_start_run(builder);
	return run->room;
}

/* prp_builder_add() of any segment. */
int prp_builder_add_any(struct prp_builder *builder, __u64 addr, __u64 length)
{
	struct prp_list *list = builder->list;
	__u64 pos = prp_builder_pos(builder);
	__u64 segments = prp_builder_segments(builder);
	__u32 in_page = pos & PRP_PAGE_MASK;
	__u64 page = addr - in_page;

	if (!length || addr + length < addr)
		return -EINVAL;
	if (length > list->first + list->length - pos)
		return -ERANGE;

	if (!segments || addr != builder->run.next) {
		/* Only the range's first segment may start inside a page. */
		if ((addr & PRP_PAGE_MASK) != in_page || (segments && in_page))
			return -EINVAL;
		segments++;
	}
	builder->run.next = addr + length;
	builder->end = pos + length;
	builder->segments = segments;

	/* The entry of a page that the segment before began is set to what it is. */
	prp_list_fill(list, pos >> PRP_PAGE_SHIFT, (builder->end + PRP_PAGE_MASK) >> PRP_PAGE_SHIFT,
		      page);
	prp_builder_start_run(builder);
	return 0;
}

/**
 * prp_list_clear_rest - zero the slots that no entry is for
 * @list: the list, whose pages may hold anything there
 *
 * They are at the end of the last list page, and of those before it that reach so far.
 */
void prp_list_clear_rest(struct prp_list *list)
{
	__u32 page = list->nr_pages;

	while (page-- && (__u64)page * PRP_STRIDE + PRP_SLOTS > list->entries) {
		__u32 slot = list->entries - (__u64)page * PRP_STRIDE;

		for (; slot < PRP_SLOTS; slot++)
			list->pages[page].slots[slot] = 0;
	}
}
