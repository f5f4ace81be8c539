/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extents: where the pieces of a file are, as a sorted array without gaps. Pure: knows no
 * file and no device, and compiles in user space, where tests/unit compares it with a list of
 * all blocks.
 */
#ifndef NVME_DMABUF_EXTENTS_H
#define NVME_DMABUF_EXTENTS_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include "prp_user.h"
#endif

/* A piece of a file that was never written: what is on the drive is somebody else's. */
#define EXTENT_HOLE (~0ULL)

/**
 * struct extent - a piece of a file that lies together on the namespace, or nowhere
 * @first: its first block in the file; it ends where the next one begins
 * @start: its first block on the namespace, or EXTENT_HOLE
 */
struct extent {
	__u64 first;
	__u64 start;
};

/**
 * struct extents - all pieces of a file
 * @all: sorted; one more than @count, which ends the last one
 * @count: how many
 * @pieces: of these, how many are no holes
 * @index: for each 2^@shift blocks of the file the number of the extent that has the first of
 *	them; and one more, which is the last extent's
 * @shift: so that there are about as many as extents: then hardly any has to be searched
 */
struct extents {
	struct extent *all;
	size_t count;
	size_t pieces;
	__u32 *index;
	__u32 shift;
};

bool extents_continue(const struct extents *list, __u64 first, __u64 start);
void extents_add(struct extents *list, __u64 first, __u64 start);
size_t extents_end(struct extents *list, __u64 blocks);
void extents_make_index(struct extents *list);
bool extents_have_hole(const struct extents *list, __u64 block, __u64 count);
__u64 extents_block_at(const struct extents *list, __u64 block, __u64 count, __u64 lba);

/**
 * extents_find - the piece that has a block
 * @list: the pieces, with their index
 * @block: a block of the file
 */
static inline const struct extent *extents_find(const struct extents *list, __u64 block)
{
	const __u32 *index = &list->index[block >> list->shift];
	__u32 low = index[0], high = index[1], middle;

	/* The last one that begins at the block or before it. */
	while (low < high) {
		middle = high - (high - low) / 2;
		if (list->all[middle].first <= block)
			low = middle;
		else
			high = middle - 1;
	}
	return &list->all[low];
}

#endif
