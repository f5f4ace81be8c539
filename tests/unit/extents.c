// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file's extents (module/storage/extents.c), compared with an array that says of each
 * block of the file where it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "extents.h"

#define MOST 64

/* Of each block of the file: where it is. */
static uint64_t blocks[MOST];
static uint64_t block_count;

static struct extent room[MOST + 1];
static uint32_t index_room[MOST + 2];
static struct extents list;

/* As file.c does it: @step blocks at a time, of which the last may be cut by the file's end. */
static void build(uint64_t step)
{
	size_t size;

	memset(room, 0xa5, sizeof(room));
	memset(index_room, 0xa5, sizeof(index_room));
	list = (struct extents){ .all = room, .index = index_room };
	for (uint64_t first = 0; first < block_count; first += step)
		if (!extents_continue(&list, first, blocks[first]))
			extents_add(&list, first, blocks[first]);
	/* No more than extents, and the end. */
	size = extents_end(&list, block_count);
	assert_in_range(size, 2, list.count + 1);
	extents_make_index(&list);
	assert_int_equal(index_room[size], 0xa5a5a5a5);
}

static uint64_t where(uint64_t block)
{
	const struct extent *extent = extents_find(&list, block);

	assert_in_range(extent - list.all, 0, list.count - 1);
	assert_in_range(block, extent->first, extent[1].first - 1);
	return extent->start == EXTENT_HOLE ? EXTENT_HOLE : extent->start + (block - extent->first);
}

static void check(void)
{
	size_t pieces = 0;

	assert_int_equal(list.all[0].first, 0);
	assert_int_equal(list.all[list.count].first, block_count);
	for (size_t i = 0; i < list.count; i++)
		pieces += list.all[i].start != EXTENT_HOLE;
	assert_int_equal(list.pieces, pieces);

	for (uint64_t block = 0; block < block_count; block++) {
		bool hole = false;

		assert_int_equal(where(block), blocks[block]);
		for (uint64_t count = 1; count <= block_count - block; count++) {
			hole |= blocks[block + count - 1] == EXTENT_HOLE;
			assert_int_equal(extents_have_hole(&list, block, count), hole);
			for (uint64_t at = block; !hole && at < block + count; at++)
				assert_int_equal(extents_block_at(&list, block, count, blocks[at]),
						 at);
		}
	}
}

/* As few as can be: no two of them can be one. */
static void check_few(void)
{
	for (size_t i = 1; i < list.count; i++) {
		const struct extent *last = &list.all[i - 1], *next = &list.all[i];

		if (last->start == EXTENT_HOLE)
			assert_true(next->start != EXTENT_HOLE);
		else
			assert_true(next->start != last->start + (next->first - last->first));
	}
}

static void one_piece(void **state)
{
	(void)state;
	for (block_count = 1; block_count <= MOST; block_count++) {
		for (uint64_t i = 0; i < block_count; i++)
			blocks[i] = 1000 + i;
		build(1);
		assert_int_equal(list.count, 1);
		check();
	}
}

static void one_hole(void **state)
{
	(void)state;
	block_count = MOST;
	for (uint64_t i = 0; i < block_count; i++)
		blocks[i] = EXTENT_HOLE;
	build(1);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.pieces, 0);
	check();
}

/* Neighbours on the namespace that are none in the file, and the other way round. */
static void by_hand(void **state)
{
	static const uint64_t some[] = { 10, 11, 8, 9, 12, EXTENT_HOLE, 13, 14, 0, 1 };

	(void)state;
	block_count = sizeof(some) / sizeof(*some);
	memcpy(blocks, some, sizeof(some));
	build(1);
	assert_int_equal(list.count, 6);
	assert_int_equal(list.pieces, 5);
	check();
	check_few();
}

/* Pieces in random places of the namespace, none of which two blocks share. */
static void at_random(void **state)
{
	const char *seed = getenv("SEED"), *cases = getenv("CASES");
	unsigned long left = cases ? strtoul(cases, NULL, 0) / 100 : 20000;

	(void)state;
	srand(seed ? strtoul(seed, NULL, 0) : 1);
	for (; left; left--) {
		uint64_t step = 1U << rand() % 4;
		uint64_t next = 0, here = 0;

		block_count = 1 + rand() % MOST;
		for (uint64_t i = 0; i < block_count; i++) {
			if (i % step == 0 && (!i || rand() % 3 == 0)) {
				here = rand() % 3 ? (next += rand() % 2 * 100) : EXTENT_HOLE;
				if (here != EXTENT_HOLE)
					next += MOST;
			}
			blocks[i] = here;
			if (here != EXTENT_HOLE)
				here++;
		}
		build(step);
		check();
		check_few();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_piece),
		cmocka_unit_test(one_hole),
		cmocka_unit_test(by_hand),
		cmocka_unit_test(at_random),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("extents", tests, NULL, NULL);
}
