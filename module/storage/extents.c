// SPDX-License-Identifier: GPL-2.0-only
/*
 * Extents: see extents.h. Must not know files, devices or kernel objects.
 */
#include "extents.h"

/**
 * extents_continue - do blocks that come next in the file belong to its last piece?
 * @list: the pieces so far
 * @first: the first of these blocks in the file, behind all before
 * @start: where it is on the namespace, or EXTENT_HOLE
 */
bool extents_continue(const struct extents *list, __u64 first, __u64 start)
{
	const struct extent *last;

	if (!list->count)
		return false;
	last = &list->all[list->count - 1];
	if (start == EXTENT_HOLE || last->start == EXTENT_HOLE)
		return start == last->start;
	return last->start + (first - last->first) == start;
}

/**
 * extents_add - add a piece
 * @list: the pieces so far, with room for this one and its end
 * @first: its first block in the file, behind all before
 * @start: where it is on the namespace, or EXTENT_HOLE
 */
void extents_add(struct extents *list, __u64 first, __u64 start)
{
	list->all[list->count++] = (struct extent){ .first = first, .start = start };
	list->pieces += start != EXTENT_HOLE;
}

/**
 * extents_end - end the last piece
 * @list: the pieces, of which there is one at least
 * @blocks: of the file
 *
 * Return: for how many numbers the index is to have room.
 */
size_t extents_end(struct extents *list, __u64 blocks)
{
	list->all[list->count] = (struct extent){ .first = blocks, .start = EXTENT_HOLE };
	list->shift = 0;
	while ((blocks - 1) >> list->shift >= list->count)
		list->shift++;
	return ((blocks - 1) >> list->shift) + 2;
}

/**
 * extents_make_index - so that pieces can be found
 * @list: the pieces, ended, with room for the index
 */
void extents_make_index(struct extents *list)
{
	__u64 blocks = list->all[list->count].first, block;
	__u32 extent = 0;
	size_t i;

	for (i = 0; (block = (__u64)i << list->shift) < blocks; i++) {
		while (list->all[extent + 1].first <= block)
			extent++;
		list->index[i] = extent;
	}
	list->index[i] = list->count - 1;
}

/**
 * extents_have_hole - was any of these blocks never written?
 * @list: the pieces, ended
 * @block: the first one
 * @count: how many, not 0, all of the file's
 */
bool extents_have_hole(const struct extents *list, __u64 block, __u64 count)
{
	const struct extent *extent = extents_find(list, block);

	for (; extent < &list->all[list->count] && extent->first < block + count; extent++)
		if (extent->start == EXTENT_HOLE)
			return true;
	return false;
}

/**
 * extents_block_at - which of these blocks is there?
 * @list: the pieces, ended
 * @block: the first one
 * @count: how many, none of them in a hole
 * @lba: a block of the namespace that is one of them
 */
__u64 extents_block_at(const struct extents *list, __u64 block, __u64 count, __u64 lba)
{
	const struct extent *extent = extents_find(list, block);

	for (; extent < &list->all[list->count] && extent->first < block + count; extent++)
		if (lba - extent->start < extent[1].first - extent->first)
			return extent->first + (lba - extent->start);
	return block;
}
