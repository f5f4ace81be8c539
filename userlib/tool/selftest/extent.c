// SPDX-License-Identifier: MIT
/*
 * Which blocks 'selftest' moves to or from where in a buffer.
 */
#include "selftest.h"

/* Short ones and long ones, and those just at a limit, alike. */
static uint64_t pick_blocks(struct selftest *st, uint64_t most)
{
	uint64_t bs = st->info.out_block_size;
	const uint64_t limits[] = {
		1,
		8,
		128 * KIB / bs,
		st->info.out_max_command / bs,
		st->info.out_max_command / bs + 1,
		3 * MIB / bs,
		most,
	};
	uint64_t limit = limits[selftest_random(st, ARRAY_SIZE(limits))];

	if (limit > most)
		limit = most;
	if (limit == 0)
		limit = 1;
	/* One in four is as long as it may be. */
	return selftest_random(st, 4) ? 1 + selftest_random(st, limit) : limit;
}

void extent_pick(struct selftest *st, struct extent *e, uint64_t base, uint64_t size,
		 uint64_t first, uint64_t blocks)
{
	static const uint32_t alignments[] = { 4, 4, 512, 4096 };
	uint64_t bs = st->info.out_block_size;
	uint64_t most = size / bs < blocks ? size / bs : blocks;
	uint64_t align = alignments[selftest_random(st, ARRAY_SIZE(alignments))];
	uint64_t n = pick_blocks(st, most), room;

	e->length = n * bs;
	e->slba = first + selftest_random(st, blocks - n + 1);
	room = (size - e->length) / align;
	e->offset = base + selftest_random(st, room + 1) * align;
}
