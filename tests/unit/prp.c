// SPDX-License-Identifier: GPL-2.0-only
/*
 * Long-lived PRP lists (module/memory/prp.c) as a controller reads them. In the
 * environment, SEED is the seed and CASES the number of the random cases.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <time.h>
#include <cmocka.h>

#include "controller.h"
#include "model.h"

#ifndef DEFAULT_CASES
#define DEFAULT_CASES 10000000
#endif

#define PAGE	  4096ULL
#define LAST_SLOT 511U
#define LIST_FULL ((uint64_t)U32_MAX * PRP_STRIDE * PAGE)

static const uint32_t in_page_offsets[] = { 0, 4, 8, 512, 2048, 4092 };

#define NR_OFFSETS (sizeof(in_page_offsets) / sizeof(*in_page_offsets))

static struct model model;

/* -- The naive controller itself: it must see what is wrong. -- */

#define CHAIN_A 0x10000ULL
#define CHAIN_B 0x30000ULL

static uint64_t chain_a[512], chain_b[512];

static const uint64_t *resolve_chain(const void *memory, uint64_t addr)
{
	(void)memory;
	return addr == CHAIN_A ? chain_a : addr == CHAIN_B ? chain_b : NULL;
}

static struct controller_run chain_runs[1024];
static size_t chain_nr;

static const char *walk_chain(uint64_t prp1, uint64_t prp2, uint32_t length)
{
	return controller_walk(resolve_chain, NULL, prp1, prp2, length, chain_runs, 1024,
			       &chain_nr);
}

static void set_up_chain(void)
{
	size_t i;

	for (i = 0; i < 512; i++) {
		chain_a[i] = htole64((0x1000 + 2 * i) * PAGE);
		chain_b[i] = htole64((0x9000 + 2 * i) * PAGE);
	}
	chain_a[LAST_SLOT] = htole64(CHAIN_B);
}

static void controller_follows_chain(void **state)
{
	(void)state;
	set_up_chain();

	/* One page from PRP1, slots 509 and 510, then two from the next list page. */
	assert_null(walk_chain(0x5000, CHAIN_A + 509 * 8, 5 * PAGE));
	assert_int_equal(chain_nr, 5);
	assert_int_equal(chain_runs[0].addr, 0x5000);
	assert_int_equal(chain_runs[1].addr, (0x1000 + 2 * 509) * PAGE);
	assert_int_equal(chain_runs[2].addr, (0x1000 + 2 * 510) * PAGE);
	assert_int_equal(chain_runs[3].addr, 0x9000 * PAGE);
	assert_int_equal(chain_runs[4].addr, 0x9002 * PAGE);

	/* Two bytes after slot 510 fit in one entry: slot 511 is data. */
	assert_null(walk_chain(0x5000, CHAIN_A + 509 * 8, 3 * PAGE + 2));
	assert_int_equal(chain_nr, 4);
	assert_int_equal(chain_runs[3].addr, CHAIN_B);
	assert_int_equal(chain_runs[3].length, 2);

	/* So does one page; one byte more does not. */
	assert_null(walk_chain(0x5000, CHAIN_A + 509 * 8, 4 * PAGE));
	assert_int_equal(chain_runs[3].addr, CHAIN_B);
	assert_int_equal(chain_runs[3].length, PAGE);
	assert_null(walk_chain(0x5000, CHAIN_A + 509 * 8, 4 * PAGE + 1));
	assert_int_equal(chain_nr, 5);
	assert_int_equal(chain_runs[3].addr, 0x9000 * PAGE);
	assert_int_equal(chain_runs[4].length, 1);
}

static void controller_refuses(void **state)
{
	(void)state;
	set_up_chain();

	assert_null(walk_chain(0x5ffc, 0, 4));
	assert_non_null(walk_chain(0x5ffe, 0, 2));
	assert_non_null(walk_chain(0x5ffc, 0x7000, 4));

	assert_null(walk_chain(0x5ffc, 0x7000, 4 + PAGE));
	assert_non_null(walk_chain(0x5ffc, 0x7004, 4 + PAGE));

	assert_null(walk_chain(0x5ffc, CHAIN_A + 8, 4 + PAGE + 1));
	assert_non_null(walk_chain(0x5ffc, CHAIN_A + 4, 4 + PAGE + 1));
	assert_non_null(walk_chain(0x5ffc, CHAIN_A + PAGE, 4 + PAGE + 1));

	chain_a[3] = htole64(0x7008);
	assert_null(walk_chain(0x5000, CHAIN_A + 8, 3 * PAGE));
	assert_non_null(walk_chain(0x5000, CHAIN_A + 8, 4 * PAGE));
	chain_a[3] = CONTROLLER_POISON;
	assert_non_null(walk_chain(0x5000, CHAIN_A + 8, 4 * PAGE));

	chain_a[LAST_SLOT] = htole64(0x77000);
	assert_null(walk_chain(0x5000, CHAIN_A + 510 * 8, 3 * PAGE));
	assert_non_null(walk_chain(0x5000, CHAIN_A + 510 * 8, 3 * PAGE + 1));
}

/* -- Layout -- */

static void layout_counts_pages(void **state)
{
	uint64_t entries, edge;
	size_t i;
	int delta;

	(void)state;
	for (i = 0; i < NR_OFFSETS; i++) {
		for (edge = 0; edge <= 5 * PRP_STRIDE * PAGE; edge += PAGE) {
			for (delta = -4; delta <= 4; delta++) {
				uint64_t end = edge + delta; /* from the first page's start */
				struct prp_list list;
				uint32_t pages = 0;

				if ((int64_t)end <= in_page_offsets[i])
					continue;
				for (entries = 0; entries * PAGE < end; entries++)
					if (entries % PRP_STRIDE == 0)
						pages++;
				assert_int_equal(prp_list_init(&list, 0x7000 + in_page_offsets[i],
							       end - in_page_offsets[i]),
						 0);
				assert_int_equal(list.first, in_page_offsets[i]);
				assert_int_equal(list.entries, entries);
				assert_int_equal(list.nr_pages, pages);
			}
		}
	}
}

/* A list costs at most 0.4 % of a large range. */
static void layout_is_small(void **state)
{
	uint64_t length;

	(void)state;
	for (length = 64ULL << 20; length <= 512ULL << 30; length += length / 7) {
		struct prp_list list;

		assert_int_equal(prp_list_init(&list, 0x7ffc, length), 0);
		assert_true(list.nr_pages * PAGE * 1000 <= length * 4);
	}
}

static void layout_takes_largest(void **state)
{
	struct prp_list list;

	(void)state;
	assert_int_equal(prp_list_init(&list, 0, LIST_FULL), 0);
	assert_int_equal(list.nr_pages, U32_MAX);
	assert_int_equal(list.entries, LIST_FULL / PAGE);
	assert_int_equal(prp_list_init(&list, 4, LIST_FULL - 4), 0);
	assert_int_equal(list.nr_pages, U32_MAX);
}

static void layout_refuses_too_many(void **state)
{
	struct prp_list list;

	(void)state;
	assert_int_equal(prp_list_init(&list, 0, LIST_FULL + 1), -EOVERFLOW);
	assert_int_equal(prp_list_init(&list, 4, LIST_FULL), -EOVERFLOW);
	assert_int_equal(prp_list_init(&list, 4092, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(prp_list_init(&list, 4092, UINT64_MAX - 4091), -EOVERFLOW);
}

static void layout_refuses_malformed(void **state)
{
	struct prp_list list;

	(void)state;
	assert_int_equal(prp_list_init(&list, 0x7000, 0), -EINVAL);
	assert_int_equal(prp_list_init(&list, 0x7001, 4096), -EINVAL);
	assert_int_equal(prp_list_init(&list, 0x7002, 4096), -EINVAL);
	assert_int_equal(prp_list_init(&list, 0x7003, 4096), -EINVAL);
}

/* -- Windows -- */

/* The figures are written out, so that no two models can agree on nonsense. */
static void window_by_hand(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t length;
		uint64_t prp1, prp2; /* below 64: a byte of list page 0 */
	} want[] = {
		{ 0, 1, 0x100000ffc, 0 },
		{ 0, 4, 0x100000ffc, 0 },
		{ 0, 5, 0x100000ffc, 0x7fffffffffffe000 },
		{ 0, 4 + 4096, 0x100000ffc, 0x7fffffffffffe000 },
		{ 0, 4 + 4097, 0x100000ffc, 8 },
		{ 0, 4 + 8192, 0x100000ffc, 8 },
		{ 4, 4096, 0x7fffffffffffe000, 0 },
		{ 4, 4097, 0x7fffffffffffe000, 0x7ffffffffffff000 },
		{ 4, 8192, 0x7fffffffffffe000, 0x7ffffffffffff000 },
		{ 4, 8193, 0x7fffffffffffe000, 16 },
		{ 8, 4096, 0x7fffffffffffe004, 0x7ffffffffffff000 },
		{ 8, 8188, 0x7fffffffffffe004, 0x7ffffffffffff000 },
		{ 8, 8189, 0x7fffffffffffe004, 16 },
		{ 4 + 8188, 5, 0x7ffffffffffffffc, 0x5000 },
		{ 4 + 8192 + 8, 0x11b, 0x5008, 0 },
	};
	uint64_t prp1, prp2;
	size_t i;

	(void)state;
	model_reset(&model);
	model_segment(&model, 0x100000ffc, 4);
	model_segment(&model, 0x7fffffffffffe000, 0x2000);
	model_segment(&model, 0x5000, 0x123);
	model_build(&model);
	assert_int_equal(model.list.nr_pages, 1);
	assert_int_equal(model.list.entries, 4);
	for (i = 0; i < sizeof(want) / sizeof(*want); i++) {
		bool in_list = want[i].prp2 && want[i].prp2 < 64;

		prp_list_window(&model.list, want[i].offset, want[i].length, (__u64 *)&prp1,
				(__u64 *)&prp2);
		assert_int_equal(prp1, want[i].prp1);
		assert_int_equal(prp2, want[i].prp2 + (in_list ? model.list.pages[0].dma : 0));
		model_window(&model, want[i].offset, want[i].length);
	}
}

/* Windows that start on a page: every length around page ends and multiples. */
static uint64_t windows_from(uint64_t entry, uint32_t in_page)
{
	const int64_t deltas[] = {
		-4, 0, 4, -4 - (int64_t)in_page, -(int64_t)in_page, 4 - (int64_t)in_page
	};
	uint64_t offset = entry * PAGE + in_page - model.list.first;
	size_t nr_deltas = in_page < 8 ? 3 : 6;
	uint64_t left = model.length - offset;
	uint64_t cases = 0;
	int64_t pages;
	size_t i;

	for (pages = 0; pages <= (int64_t)PRP_WINDOW; pages++) {
		for (i = 0; i < nr_deltas; i++) {
			int64_t length = pages * (int64_t)PAGE + deltas[i];

			if (length <= 0 || length > (int64_t)PRP_MAX_BYTES ||
			    length > (int64_t)left)
				continue;
			model_window(&model, offset, length);
			cases++;
		}
	}
	return cases;
}

/* Is a page within two of the start or the last slot of a list page, or of the end? */
static bool near_boundary(uint64_t entry, uint64_t entries)
{
	uint64_t page;

	for (page = 0; page <= entries / PRP_STRIDE; page++) {
		uint64_t start = page * PRP_STRIDE;

		if (entry + 2 >= start && entry <= start + 2)
			return true;
		if (entry + 2 >= start + LAST_SLOT && entry <= start + LAST_SLOT + 2)
			return true;
	}
	return entry + 3 >= entries;
}

static void window_at_boundaries(void **state)
{
	/* Entries for the last list page. */
	const uint64_t sizes[] = { 1, 2, PRP_STRIDE - 1, PRP_STRIDE };
	uint64_t pages, entry, cases = 0;
	size_t size, first, i;

	(void)state;
	for (pages = 1; pages <= 4; pages++) {
		for (size = 0; size < sizeof(sizes) / sizeof(*sizes); size++) {
			uint64_t entries = (pages - 1) * PRP_STRIDE + sizes[size];

			for (first = 0; first < NR_OFFSETS; first++) {
				model_scattered(&model, in_page_offsets[first], entries);
				model_build(&model);
				assert_int_equal(model.list.nr_pages, pages);
				for (entry = 0; entry < entries; entry++) {
					if (!near_boundary(entry, entries))
						continue;
					for (i = entry ? 0 : first; i < NR_OFFSETS; i++)
						cases += windows_from(entry, in_page_offsets[i]);
				}
			}
		}
	}
	fprintf(stderr, "# %llu cases at boundaries\n", (unsigned long long)cases);
}

/* The longest window, from every dword of a page and every slot of a list page. */
static void window_of_max_bytes(void **state)
{
	uint64_t entry;
	uint32_t in_page;

	(void)state;
	if (PRP_STRIDE == 256)
		assert_int_equal(PRP_MAX_BYTES, 1 << 20);
	model_scattered(&model, 0, 2 * PRP_STRIDE + PRP_WINDOW);
	model_build(&model);
	for (entry = 0; entry < 2 * PRP_STRIDE; entry++)
		for (in_page = 0; in_page < PAGE; in_page += 4)
			model_window(&model, entry * PAGE + in_page, PRP_MAX_BYTES);
}

/*
 * PRP_WINDOW entries from any on lie within one list page, up to its last slot
 * as data; one more would make the controller take that slot for a chain
 * pointer. No window goes so far: the list is entered here by hand.
 */
static void list_page_holds_window(void **state)
{
	const uint64_t entries = 3 * PRP_STRIDE + PRP_WINDOW;
	const uint32_t first = 4092;
	uint64_t entry;

	(void)state;
	model_scattered(&model, first, entries);
	model_build(&model);
	for (entry = 1; entry + PRP_WINDOW <= entries; entry++) {
		uint64_t offset = entry * PAGE - 4 - first;
		uint32_t slot = entry % PRP_STRIDE;
		uint64_t prp1 = model_address(&model, offset);
		uint64_t prp2 = model.list.pages[entry / PRP_STRIDE].dma + slot * 8;
		const char *wrong;

		wrong = model_walk(&model, offset, 4 + PRP_WINDOW * PAGE, prp1, prp2,
				   PRP_WINDOW + 1);
		if (wrong)
			fail_msg("from entry %llu: %s", (unsigned long long)entry, wrong);
		if (slot == PRP_STRIDE - 1 && entry + PRP_WINDOW < entries) {
			assert_int_equal(slot + PRP_WINDOW - 1, LAST_SLOT);
			assert_non_null(model_walk(&model, offset, 5 + PRP_WINDOW * PAGE, prp1,
						   prp2, PRP_WINDOW + 2));
		}
	}
}

static void random_window(uint64_t *rng)
{
	uint64_t offset, length, left;

	if (rng_below(rng, 2)) {
		offset = rng_below(rng, model.length);
	} else { /* near a boundary of list pages */
		offset = rng_below(rng, model.list.nr_pages + 1) * PRP_STRIDE * PAGE -
			 model.list.first + rng_below(rng, 5 * PAGE) - 2 * PAGE;
		if (offset >= model.length)
			offset = rng_below(rng, model.length);
	}
	offset &= ~3ULL;
	left = model.length - offset;

	switch (rng_below(rng, 4)) {
	case 0: /* any */
		length = 1 + rng_below(rng, PRP_MAX_BYTES);
		break;
	case 1: /* a few pages */
		length = 1 + rng_below(rng, 4 * PAGE);
		break;
	case 2: /* up to about a page's end */
		length = (1 + rng_below(rng, PRP_WINDOW)) * PAGE -
			 (model.list.first + offset) % PAGE + rng_below(rng, 9) - 4;
		break;
	default: /* what a drive takes */
		length = 512ULL << rng_below(rng, 12);
		break;
	}
	if ((int64_t)length <= 0 || length > PRP_MAX_BYTES)
		length = PRP_MAX_BYTES;
	model_window(&model, offset, length < left ? length : left);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

static void window_random(void **state)
{
	struct timespec from, to;
	uint64_t seed, cases, done = 0, lists;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &from);
	seed = from.tv_sec * 1000000007ULL + from.tv_nsec;
	seed = setting("SEED", rng_next(&seed));
	cases = setting("CASES", DEFAULT_CASES);
	fprintf(stderr, "# SEED=%#llx CASES=%llu\n", (unsigned long long)seed,
		(unsigned long long)cases);
	clock_gettime(CLOCK_MONOTONIC, &from);

	/* The seed of list n is SEED + n, so that it can be had alone. */
	for (lists = 0; done < cases; lists++) {
		uint64_t rng = seed + lists;
		uint64_t windows, i;

		model_random(&model, &rng);
		model_build(&model);
		windows = 16 + 4 * model.list.entries;
		if (windows > 1000)
			windows = 1000;
		for (i = 0; i < windows && done < cases; i++, done++)
			random_window(&rng);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	fprintf(stderr, "# %llu random cases on %llu lists in %lld s\n", (unsigned long long)done,
		(unsigned long long)lists, (long long)(to.tv_sec - from.tv_sec));
}

/* Segments, lengths and offsets that do not fit 32 bits. */
static void window_past_4g(void **state)
{
	uint64_t rng = 1, offset, i;

	(void)state;
	model_reset(&model);
	model_segment(&model, 0x7fffffff00000ffc, (5ULL << 30) + 4);
	model_segment(&model, 0x3000, PAGE);
	model_segment(&model, 0x200000000, 3 * PAGE);
	model_build(&model);
	assert_int_equal(model.list.entries, (5ULL << 18) + 1 + 1 + 3);
	for (i = 0; i < 50000; i++)
		random_window(&rng);
	for (offset = (1ULL << 32) - 4 * PAGE; offset < (1ULL << 32) + 4 * PAGE; offset += 4) {
		model_window(&model, offset, 4);
		model_window(&model, offset, 2 * PAGE);
		model_window(&model, offset, 3 * PAGE);
	}
	for (offset = model.length & ~3ULL; offset > model.length - 8 * PAGE; offset -= 4)
		model_window(&model, offset - 4, model.length - offset + 4);
}

/* -- Addresses and segments -- */

static void address_of_every_byte(void **state)
{
	uint64_t offset;

	(void)state;
	model_reset(&model);
	model_segment(&model, 0x7ffffffffffffffc - PAGE, 4); /* ends a page */
	model_segment(&model, 0xfffff000, 3 * PAGE);	     /* crosses 4 GiB */
	model_segment(&model, 0x100002000, 100);	     /* goes on in it */
	model_segment(&model, 0x100002064, PAGE);
	model_segment(&model, 0x100003064, PAGE - 100);
	model_segment(&model, 0x7fffffffffffe000, 4 * PAGE); /* crosses 2^63 */
	model_segment(&model, 0, PRP_STRIDE * PAGE);	     /* from address 0 */
	model_segment(&model, 0xffffffffffffe000, 17);	     /* ends anywhere */
	model_build(&model);
	assert_int_equal(prp_builder_segments(&model.builder), 5);
	for (offset = 0; offset < model.length; offset++)
		if (prp_list_address(&model.list, offset) != model_address(&model, offset))
			fail_msg("byte %llu", (unsigned long long)offset);
}

/* A page may stand in the range more than once. */
static void same_page_again(void **state)
{
	uint64_t i;

	(void)state;
	model_reset(&model);
	for (i = 0; i < 2 * PRP_STRIDE; i++)
		model_segment(&model, 0x5000, PAGE);
	model_build(&model);
	for (i = 0; i < PRP_STRIDE; i++)
		model_window(&model, i * PAGE + 4, PRP_MAX_BYTES);
}

/* A range at address 0, which is also where no segment came before. */
static void address_zero(void **state)
{
	(void)state;
	model_reset(&model);
	model_segment(&model, 0, 100);
	model_segment(&model, 100, 2 * PAGE);
	model_build(&model);
	model_window(&model, 0, model.length);

	model_layout(&model, 4, PAGE);
	assert_int_equal(prp_builder_add(&model.builder, 0, 8), -EINVAL);
}

/*
 * Segments before the range are no part of it: whoever walks over them must not be given room
 * for whole pages.
 */
static void no_run_before_first(void **state)
{
	(void)state;
	model_layout(&model, 0x10000, 4 * PAGE);
	assert_false(prp_builder_next_run(&model.builder));
	assert_int_equal(model.builder.run.room, 0);
	assert_int_equal(prp_builder_add(&model.builder, 0x10000, PAGE), 0);
	assert_int_equal(model.builder.run.room, 3);
	/* Nor before it is full. */
	assert_false(prp_builder_next_run(&model.builder));
}

/* What several pages have in common tells whether one of them is none. */
static void put_sees_what_is_no_page(void **state)
{
	static const struct {
		uint64_t addr;
		bool is_page;
	} all[] = {
		{ 0, true },	       { 0x30000, true },  { (1ULL << 63) - PAGE, true },
		{ 0x30001, false },    { 0x30800, false }, { 0x30fff, false },
		{ 1ULL << 63, false }, { -PAGE, false },
	};
	struct prp_run *run = &model.builder.run;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		__u64 seen = 0;

		model_layout(&model, 0x10000, 4 * PAGE);
		assert_int_equal(prp_builder_add(&model.builder, 0x10000, PAGE), 0);
		assert_int_equal(run->room, 3);
		prp_run_put(run, 0, 0x20000, &seen);
		prp_run_put(run, 1, all[i].addr, &seen);
		prp_run_put(run, 2, 0x20000, &seen);
		assert_int_equal(!(seen & PRP_NO_PAGE), all[i].is_page);
		assert_int_equal(run->at, 0);
	}
}

/* -- Refusals: one thing is wrong, and the list's memory stays as it was. -- */

static void expect_refusal(int error, uint64_t addr, uint64_t length)
{
	static uint8_t before[4096];

	assert_int_equal(model.list.nr_pages, 1);
	memcpy(before, model.list.pages[0].slots, PAGE);
	assert_int_equal(prp_builder_add(&model.builder, addr, length), -error);
	assert_memory_equal(before, model.list.pages[0].slots, PAGE);
}

static void expect_added(uint64_t addr, uint64_t length)
{
	assert_int_equal(prp_builder_add(&model.builder, addr, length), 0);
}

static void refuses_no_bytes(void **state)
{
	(void)state;
	model_layout(&model, 0x10000, 4 * PAGE);
	expect_refusal(EINVAL, 0x10000, 0);
	expect_added(0x10000, PAGE);
	expect_refusal(EINVAL, 0x11000, 0);
	expect_refusal(EINVAL, 0x20000, 0);
	expect_added(0x20000, 3 * PAGE);
	expect_refusal(EINVAL, 0x23000, 0);
}

static void refuses_first_segment(void **state)
{
	(void)state;
	model_layout(&model, 0x10200, 4 * PAGE);
	expect_refusal(EINVAL, 0x10000, PAGE);
	expect_refusal(EINVAL, 0x10204, PAGE);
	expect_refusal(EINVAL, 0x101fc, PAGE);
	expect_refusal(EINVAL, 0x10201, PAGE);

	/* It must end with its page, unless what follows continues it. */
	expect_added(0x10200, 0xdff);
	expect_refusal(EINVAL, 0x20000, PAGE);
	expect_refusal(EINVAL, 0x20fff, PAGE);
	expect_refusal(EINVAL, 0x11000, PAGE);
	expect_refusal(EINVAL, 0x10ffe, PAGE);
	expect_refusal(EINVAL, 0x11fff, PAGE);
	expect_added(0x10fff, 1);
	expect_added(0x20000, PAGE);
}

static void refuses_middle_segment(void **state)
{
	(void)state;
	model_layout(&model, 0x10000, 8 * PAGE);
	expect_added(0x10000, 2 * PAGE);

	/* starts inside a page */
	expect_refusal(EINVAL, 0x20004, PAGE);
	expect_refusal(EINVAL, 0x20800, 0x800);
	expect_refusal(EINVAL, 0x20fff, 1);
	expect_refusal(EINVAL, 0x12001, PAGE);
	expect_refusal(EINVAL, 0x11fff, PAGE);

	/* ends inside a page */
	expect_added(0x20000, PAGE + 4);
	expect_refusal(EINVAL, 0x30000, PAGE);
	expect_refusal(EINVAL, 0x30004, PAGE - 4);
	expect_refusal(EINVAL, 0x22000, PAGE);
	expect_added(0x21004, PAGE - 4);
	expect_added(0x30000, PAGE);

	/* the last page of all addresses */
	expect_refusal(EINVAL, UINT64_MAX - PAGE + 1, PAGE);
}

static void refuses_last_segment(void **state)
{
	(void)state;
	model_layout(&model, 0x10000, 3 * PAGE + 12);
	expect_added(0x10000, PAGE);
	expect_added(0x20000, 2 * PAGE);
	expect_refusal(EINVAL, 0x30ff4, 12);
	expect_refusal(EINVAL, 0x30001, 12);
	expect_refusal(EINVAL, 0x22001, 12);
	expect_added(0x30000, 12);
}

static void refuses_more_pages_than_laid_out(void **state)
{
	(void)state;
	model_layout(&model, 0x10ffc, 4 + 2 * PAGE);
	expect_refusal(ERANGE, 0x10ffc, 4 + 2 * PAGE + 1);
	expect_refusal(ERANGE, 0x10ffc, UINT64_MAX - 0x10ffc);
	expect_added(0x10ffc, 4 + PAGE);
	expect_refusal(ERANGE, 0x12000, PAGE + 1);
	expect_refusal(ERANGE, 0x20000, PAGE + 1);
	expect_refusal(ERANGE, 0x20000, 1ULL << 32);
	expect_refusal(ERANGE, 0, UINT64_MAX);
	expect_refusal(ERANGE, 0x20000, UINT64_MAX - 0x20000);
	expect_added(0x20000, PAGE);
	expect_refusal(ERANGE, 0x21000, 1);
	expect_refusal(ERANGE, 0x30000, 1);
	expect_refusal(ERANGE, 0x30000, PAGE);
}

static void refuses_more_bytes_than_laid_out(void **state)
{
	(void)state;
	model_layout(&model, 0x10ffc, 4 + PAGE + 100);
	expect_refusal(ERANGE, 0x10ffc, 4 + PAGE + 101);
	expect_added(0x10ffc, 4 + PAGE);
	expect_refusal(ERANGE, 0x20000, 101);
	expect_refusal(ERANGE, 0x20000, PAGE);
	expect_added(0x20000, 100);
	expect_refusal(ERANGE, 0x20064, 1);
}

static void refuses_wrap(void **state)
{
	(void)state;
	model_layout(&model, 0x10000, 8 * PAGE);
	expect_refusal(EINVAL, -PAGE, PAGE + 1);
	expect_refusal(EINVAL, -PAGE, 2 * PAGE);
	expect_added(0x10000, PAGE);
	expect_refusal(EINVAL, -PAGE, PAGE + 1);
	expect_refusal(EINVAL, -2 * PAGE, 3 * PAGE);
	expect_added(-3 * PAGE, PAGE);
	expect_refusal(EINVAL, -2 * PAGE, 3 * PAGE);
}

static int tear_down(void **state)
{
	(void)state;
	model_free(&model);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controller_follows_chain),
		cmocka_unit_test(controller_refuses),
		cmocka_unit_test(layout_counts_pages),
		cmocka_unit_test(layout_is_small),
		cmocka_unit_test(layout_takes_largest),
		cmocka_unit_test(layout_refuses_too_many),
		cmocka_unit_test(layout_refuses_malformed),
		cmocka_unit_test(window_by_hand),
		cmocka_unit_test(window_at_boundaries),
		cmocka_unit_test(window_of_max_bytes),
		cmocka_unit_test(list_page_holds_window),
		cmocka_unit_test(window_random),
		cmocka_unit_test(window_past_4g),
		cmocka_unit_test(address_of_every_byte),
		cmocka_unit_test(same_page_again),
		cmocka_unit_test(address_zero),
		cmocka_unit_test(no_run_before_first),
		cmocka_unit_test(put_sees_what_is_no_page),
		cmocka_unit_test(refuses_no_bytes),
		cmocka_unit_test(refuses_first_segment),
		cmocka_unit_test(refuses_middle_segment),
		cmocka_unit_test(refuses_last_segment),
		cmocka_unit_test(refuses_more_pages_than_laid_out),
		cmocka_unit_test(refuses_more_bytes_than_laid_out),
		cmocka_unit_test(refuses_wrap),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("prp", tests, NULL, tear_down);
}
