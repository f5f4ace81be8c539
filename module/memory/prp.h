/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Long-lived PRP lists: where the pages of a DMA mapping are, in memory that
 * the controller reads, such that any transfer can refer to its part of it
 * without anything being built. Pure: knows no device and no user memory, and
 * compiles in user space, where tests/unit walks it as a controller does.
 *
 * List pages overlap and hold no chain pointers. List page p holds the entries
 * p * PRP_STRIDE to p * PRP_STRIDE + 511, so that a window of up to
 * PRP_WINDOW entries from any entry on lies within one list page. A chained
 * list could not be entered in the middle: its last slot is a pointer if data
 * remains after it, and data if none does (NVM Express Base Specification,
 * "Physical Region Page List").
 */
#ifndef NVME_DMABUF_PRP_H
#define NVME_DMABUF_PRP_H

#ifdef __KERNEL__
#include <linux/types.h>
#include <asm/byteorder.h>
#else
#include "prp_user.h"
#endif

/* The controller's page is CC.MPS = 0, 4 KiB, whatever the host's is. */
#define PRP_PAGE_SHIFT 12
#define PRP_PAGE_SIZE  (1U << PRP_PAGE_SHIFT)
#define PRP_PAGE_MASK  (PRP_PAGE_SIZE - 1)

#define PRP_SLOTS  512U /* entries in a list page */
#define PRP_STRIDE 256U /* entries from one list page to the next */
#define PRP_WINDOW (PRP_SLOTS - PRP_STRIDE + 1)

/* An entry stands in two list pages at most: see prp_list_slots(). */
_Static_assert(PRP_STRIDE * 2 >= PRP_SLOTS, "list pages leave slots empty");

/*
 * Bytes that one command can move at any alignment: such a transfer touches
 * at most PRP_WINDOW pages, the first of which stands in PRP1.
 */
#define PRP_MAX_BYTES ((PRP_WINDOW - 1) * PRP_PAGE_SIZE)

/**
 * struct prp_list_page - one page of a PRP list
 * @slots: its PRP_SLOTS entries
 * @dma: address at which the controller reads them
 */
struct prp_list_page {
	__le64 *slots;
	__u64 dma;
};

/**
 * struct prp_list - the PRP entries of a range of DMA addresses
 * @entries: controller pages that the range touches
 * @length: bytes of the range
 * @first: offset of the range's first byte in its controller page
 * @nr_pages: number of list pages
 * @pages: the list pages, provided by the caller
 */
struct prp_list {
	__u64 entries;
	__u64 length;
	__u32 first;
	__u32 nr_pages;
	struct prp_list_page *pages;
};

/**
 * struct prp_run - where the entries of whole pages are to stand, one after the other
 * @slots: in one list page
 * @others: in the other one that has them, or @slots
 * @at: how many are there
 * @room: how many can be
 * @next: DMA address that would continue the last segment
 * @joins: how often one did, of these
 */
struct prp_run {
	__le64 *slots;
	__le64 *others;
	__u64 at;
	__u64 room;
	__u64 next;
	__u64 joins;
};

/**
 * struct prp_builder - fills a list, segment by segment
 * @list: the list; prp_list_init() was called and its pages are allocated
 * @end: how far the list is filled without @run: bytes from the start of the first page
 * @segments: DMA-contiguous segments seen, without @run
 * @run: what follows
 */
struct prp_builder {
	struct prp_list *list;
	__u64 end;
	__u64 segments;
	struct prp_run run;
};

int prp_list_init(struct prp_list *list, __u64 first_addr, __u64 length);
void prp_builder_init(struct prp_builder *builder, struct prp_list *list);
int prp_builder_add_any(struct prp_builder *builder, __u64 addr, __u64 length);
bool prp_builder_next_run(struct prp_builder *builder);
void prp_list_clear_rest(struct prp_list *list);

/* How far the list is filled. */
static __always_inline __u64 prp_builder_pos(const struct prp_builder *builder)
{
	return builder->end + (builder->run.at << PRP_PAGE_SHIFT);
}

/* DMA-contiguous segments seen. */
static __always_inline __u64 prp_builder_segments(const struct prp_builder *builder)
{
	return builder->segments + builder->run.at - builder->run.joins;
}

/* Bits of an address that is not a page's, or so high that the page might wrap. */
#define PRP_NO_PAGE (1ULL << 63 | PRP_PAGE_MASK)

/*
 * prp_builder_add() of a whole page after another segment, for which there is room: most
 * segments of scattered memory. @no_page is PRP_NO_PAGE, which in a loop had better be in
 * a register. Returns whether it was one.
 */
static __always_inline bool prp_run_add(struct prp_run *run, __u64 addr, __u64 length,
					__u64 no_page)
{
	if (length != PRP_PAGE_SIZE || addr & no_page)
		return false;
	run->slots[run->at] = run->others[run->at] = cpu_to_le64(addr);
	run->at++;
	if (addr == run->next) {
		/* Keeps this a branch, which for scattered memory is the least work. */
		__asm__("" : "+r"(run->joins));
		run->joins++;
	}
	run->next = addr + PRP_PAGE_SIZE;
	return true;
}

/*
 * Writes a whole page's entry @index places after the last one of @run, which has room for
 * it. It counts once @run->at is beyond it. What is wrong with the address, if anything,
 * is in @seen (PRP_NO_PAGE), which gathers several pages': then whoever asks restores
 * @run, and adds these pages otherwise, which writes their entries again.
 */
static __always_inline void prp_run_put(struct prp_run *run, __u32 index, __u64 addr, __u64 *seen)
{
	run->slots[run->at + index] = run->others[run->at + index] = cpu_to_le64(addr);
	*seen |= addr;
	if (addr == run->next) {
		/* As in prp_run_add(). */
		__asm__("" : "+r"(run->joins));
		run->joins++;
	}
	run->next = addr + PRP_PAGE_SIZE;
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
static __always_inline int prp_builder_add(struct prp_builder *builder, __u64 addr, __u64 length)
{
	return builder->run.at < builder->run.room &&
			       prp_run_add(&builder->run, addr, length, PRP_NO_PAGE) ?
		       0 :
		       prp_builder_add_any(builder, addr, length);
}

/* The DMA address of a controller page, of which the range's first byte is in page 0. */
static __always_inline __u64 prp_list_entry(const struct prp_list *list, __u64 entry)
{
	return le64_to_cpu(list->pages[entry / PRP_STRIDE].slots[entry % PRP_STRIDE]);
}

/**
 * prp_list_address - the DMA address of a byte
 * @list: a filled list
 * @offset: the byte, from the start of the range, within it
 */
static __always_inline __u64 prp_list_address(const struct prp_list *list, __u64 offset)
{
	__u64 pos = list->first + offset;

	return prp_list_entry(list, pos >> PRP_PAGE_SHIFT) + (pos & PRP_PAGE_MASK);
}

/**
 * prp_list_window - the PRP1 and PRP2 of a transfer
 * @list: a filled list
 * @offset: first byte, from the start of the range; dword aligned with it
 * @length: bytes, 1 to PRP_MAX_BYTES, ending within the range
 * @prp1: address of the first byte
 * @prp2: not used (0) if the transfer touches one page, the second page's
 *	address if two, the address of the second page's slot in the list if more
 */
static __always_inline void prp_list_window(const struct prp_list *list, __u64 offset, __u32 length,
					    __u64 *prp1, __u64 *prp2)
{
	__u64 pos = list->first + offset;
	/* Bytes from the start of the first page to the end of the transfer. */
	__u64 end = (pos & PRP_PAGE_MASK) + length;
	__u64 second;

	*prp1 = prp_list_address(list, offset);
	*prp2 = 0;
	if (end <= PRP_PAGE_SIZE)
		return;
	second = (pos >> PRP_PAGE_SHIFT) + 1;
	if (end <= 2 * PRP_PAGE_SIZE)
		*prp2 = prp_list_entry(list, second);
	else
		*prp2 = list->pages[second / PRP_STRIDE].dma + second % PRP_STRIDE * sizeof(__le64);
}

#endif
