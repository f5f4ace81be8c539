// SPDX-License-Identifier: GPL-2.0-only
/* A range, its PRP list, and the check of one against the other: see model.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "controller.h"
#include "model.h"

#define PAGE  4096ULL
#define SLOTS 512ULL

/*
 * List page p of n stands at LIST_BASE + 2 * (n - 1 - p) pages: backwards and
 * with holes between, so that nothing can run from one into the next.
 */
#define LIST_BASE 0x00c0ffee00000000ULL

/* List memory, each page allocated alone for ASan to guard; never shrinks. */
static struct {
	__le64 **pages;
	size_t nr;
} pool;

/* splitmix64 */
uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint64_t rng_below(uint64_t *state, uint64_t limit)
{
	return rng_next(state) % limit;
}

void model_reset(struct model *model)
{
	free(model->list.pages);
	memset(&model->list, 0, sizeof(model->list));
	model->nr = 0;
	model->length = 0;
	model->seed = 0;
}

void model_free(struct model *model)
{
	model_reset(model);
	free(model->segments);
	memset(model, 0, sizeof(*model));
	while (pool.nr)
		free(pool.pages[--pool.nr]);
	free(pool.pages);
	pool.pages = NULL;
}

void model_segment(struct model *model, uint64_t addr, uint64_t length)
{
	if (model->nr == model->room) {
		model->room = model->room ? 2 * model->room : 64;
		model->segments = realloc(model->segments, model->room * sizeof(*model->segments));
		assert_non_null(model->segments);
	}
	model->segments[model->nr++] = (struct segment){ addr, length };
	model->length += length;
}

/* A range of pages of which no two are neighbours. */
void model_scattered(struct model *model, uint32_t first, size_t entries)
{
	size_t i;

	model_reset(model);
	for (i = 0; i < entries; i++) {
		uint64_t page = (0x100000ULL + 3 * ((i * 7919) % 65536)) * PAGE;

		if (i)
			model_segment(model, page, PAGE);
		else
			model_segment(model, page + first, PAGE - first);
	}
}

static uint64_t random_page(uint64_t *rng, uint64_t pages)
{
	switch (rng_below(rng, 8)) {
	case 0: /* 32 bits */
		return rng_below(rng, (1ULL << 20) - pages) * PAGE;
	case 1: /* around 4 GiB */
		return (1ULL << 32) - rng_below(rng, 2 * pages) * PAGE;
	case 2: /* around 2^63 */
		return (1ULL << 63) - rng_below(rng, 2 * pages) * PAGE;
	case 3: /* almost at the top */
		return -(pages + 1 + rng_below(rng, 16)) * PAGE;
	default: /* what an IOMMU or a BAR gives */
		return rng_below(rng, 1ULL << 36) * PAGE;
	}
}

static uint64_t random_pages(uint64_t *rng)
{
	switch (rng_below(rng, 16)) {
	case 0:
		return 1 + rng_below(rng, 700);
	case 1:
	case 2:
		return 1 + rng_below(rng, 64);
	case 3:
	case 4:
	case 5:
	case 6:
		return 1 + rng_below(rng, 8);
	default:
		return 1;
	}
}

/* Hand an extent to the builder in several portions, cut at any byte. */
static void random_portions(struct model *model, uint64_t *rng, uint64_t addr, uint64_t length)
{
	while (length > 1 && rng_below(rng, 4)) {
		static const uint64_t limits[] = { 64, 6000, UINT64_MAX };
		uint64_t limit = limits[rng_below(rng, 3)];
		uint64_t portion = 1 + rng_below(rng, limit < length ? limit : length - 1);

		model_segment(model, addr, portion);
		addr += portion;
		length -= portion;
	}
	model_segment(model, addr, length);
}

/**
 * model_random - make up a range that PRPs can express
 * @model: the model
 * @rng: random state, of which the range is a function
 */
void model_random(struct model *model, uint64_t *rng)
{
	uint64_t seed = *rng;
	size_t extents = 1 + rng_below(rng, rng_below(rng, 2) ? 700 : 8);
	uint64_t budget = 4096;
	uint64_t end = 0;
	size_t i;

	model_reset(model);
	model->seed = seed;
	for (i = 0; i < extents; i++) {
		uint64_t pages = random_pages(rng);
		bool joined = i && end < -(1 + pages) * PAGE && !rng_below(rng, 6);
		uint64_t addr = joined ? end : random_page(rng, pages);
		uint64_t length = pages * PAGE;

		budget = pages < budget ? budget - pages : 0;
		end = addr + length;
		if (i == 0 && rng_below(rng, 4)) {
			uint32_t first = 4 * rng_below(rng, PAGE / 4);

			addr += first;
			length -= first;
		}
		if ((!budget || i == extents - 1) && rng_below(rng, 4))
			length -= rng_below(rng, length < PAGE ? length : PAGE);

		if (rng_below(rng, 3))
			model_segment(model, addr, length);
		else
			random_portions(model, rng, addr, length);
		if (!budget)
			break;
	}
}

/* Lay out the list and give it poisoned memory. */
void model_layout(struct model *model, uint64_t first_addr, uint64_t length)
{
	struct prp_list *list = &model->list;
	size_t i;

	free(list->pages);
	list->pages = NULL;
	assert_int_equal(prp_list_init(list, first_addr, length), 0);
	if (list->nr_pages > pool.nr) {
		pool.pages = realloc(pool.pages, list->nr_pages * sizeof(*pool.pages));
		assert_non_null(pool.pages);
		while (pool.nr < list->nr_pages) {
			pool.pages[pool.nr] = aligned_alloc(PAGE, PAGE);
			assert_non_null(pool.pages[pool.nr]);
			pool.nr++;
		}
	}
	list->pages = malloc(list->nr_pages * sizeof(*list->pages));
	assert_non_null(list->pages);
	for (i = 0; i < list->nr_pages; i++) {
		list->pages[i].slots = pool.pages[i];
		list->pages[i].dma = LIST_BASE + 2 * (list->nr_pages - 1 - i) * PAGE;
		memset(pool.pages[i], CONTROLLER_POISON_BYTE, PAGE);
	}
	prp_builder_init(&model->builder, list);
}

/* How to have a random range again. */
static const char *origin(const struct model *model)
{
	static char text[64];

	if (!model->seed)
		return "";
	snprintf(text, sizeof(text), "SEED=%#llx CASES=1000: ", (unsigned long long)model->seed);
	return text;
}

/* Every slot of every list page, those that no window reaches included: these have @rest. */
static void check_memory(const struct model *model, uint64_t rest)
{
	const struct prp_list *list = &model->list;
	uint32_t first = model->segments[0].addr % PAGE;
	uint64_t touched = (first + model->length + PAGE - 1) / PAGE;
	const struct segment *segment = model->segments;
	uint64_t start = 0; /* of the segment in the range */
	uint64_t *entries;
	uint64_t i, has = 0, wants = 0;

	assert_int_equal(list->entries, touched);
	entries = malloc(touched * sizeof(*entries));
	assert_non_null(entries);
	for (i = 0; i < touched; i++) {
		uint64_t offset = i ? i * PAGE - first : 0;

		while (offset - start >= segment->length)
			start += (segment++)->length;
		entries[i] = (segment->addr + offset - start) & -PAGE;
	}

	for (i = 0; i < list->nr_pages * SLOTS; i++) {
		uint64_t entry = i / SLOTS * PRP_STRIDE + i % SLOTS;

		has = le64toh(list->pages[i / SLOTS].slots[i % SLOTS]);
		wants = entry < touched ? entries[entry] : rest;
		if (has != wants)
			break;
	}
	free(entries);
	if (i < list->nr_pages * SLOTS)
		fail_msg("%slist page %llu slot %llu has %#llx, wants %#llx", origin(model),
			 (unsigned long long)(i / SLOTS), (unsigned long long)(i % SLOTS),
			 (unsigned long long)has, (unsigned long long)wants);
}

/* Add a segment, as any. */
static void build_one(struct model *model, size_t i)
{
	const struct segment *segment = &model->segments[i];
	int ret = prp_builder_add(&model->builder, segment->addr, segment->length);

	if (ret)
		fail_msg("%ssegment %zu of %zu refused: %d", origin(model), i, model->nr, ret);
}

/* Add several whole pages from segment @i on. Returns how many it were. */
static size_t build_turn(struct model *model, size_t i, size_t most)
{
	struct prp_run *run = &model->builder.run, before = *run;
	__u64 seen = 0;
	size_t count;

	for (count = 0; count < most && model->segments[i + count].length == PAGE; count++)
		prp_run_put(run, count, model->segments[i + count].addr, &seen);
	if (seen & PRP_NO_PAGE) {
		*run = before;
		return 0;
	}
	run->at += count;
	return count;
}

/* Add all segments as module/list.c does. */
static void build_in_turns(struct model *model)
{
	const struct prp_run *run = &model->builder.run;
	const size_t turn = 8;
	size_t i = 0;

	while (i < model->nr) {
		build_one(model, i++);
		do {
			size_t count = turn;

			while (count && run->room - run->at >= turn && model->nr - i >= turn) {
				count = build_turn(model, i, turn);
				i += count;
			}
			for (; i < model->nr && run->at < run->room; i++)
				if (!prp_run_add(&model->builder.run, model->segments[i].addr,
						 model->segments[i].length, PRP_NO_PAGE))
					break;
		} while (i < model->nr && prp_builder_next_run(&model->builder));
	}
}

/* Build the list of the model's segments in both ways, and check every slot. */
void model_build(struct model *model)
{
	uint64_t contiguous = 0;
	size_t i;

	for (i = 0; i < model->nr; i++) {
		const struct segment *segment = &model->segments[i];

		if (!i || segment->addr != segment[-1].addr + segment[-1].length)
			contiguous++;
	}
	model_layout(model, model->segments[0].addr, model->length);
	build_in_turns(model);
	assert_int_equal(prp_builder_segments(&model->builder), contiguous);
	check_memory(model, CONTROLLER_POISON);

	model_layout(model, model->segments[0].addr, model->length);
	for (i = 0; i < model->nr; i++)
		build_one(model, i);
	assert_int_equal(prp_builder_segments(&model->builder), contiguous);
	check_memory(model, CONTROLLER_POISON);
	prp_list_clear_rest(&model->list);
	check_memory(model, 0);
}

/* The DMA address of a byte, by walking the segments. */
uint64_t model_address(const struct model *model, uint64_t offset)
{
	const struct segment *segment = model->segments;

	for (; offset >= segment->length; segment++)
		offset -= segment->length;
	return segment->addr + offset;
}

static const uint64_t *resolve(const void *memory, uint64_t addr)
{
	const struct prp_list *list = memory;
	uint64_t place = (addr - LIST_BASE) / PAGE;

	if (addr % PAGE || place % 2 || place / 2 >= list->nr_pages)
		return NULL;
	return (const uint64_t *)list->pages[list->nr_pages - 1 - place / 2].slots;
}

static bool same_bytes(const struct model *model, uint64_t offset, const struct controller_run *run,
		       size_t nr)
{
	const struct segment *segment = model->segments;

	for (; offset >= segment->length; segment++)
		offset -= segment->length;

	for (; nr; nr--, run++) {
		uint64_t addr = run->addr;
		uint64_t left = run->length;

		while (left) {
			uint64_t now;

			if (offset == segment->length) {
				segment++;
				offset = 0;
			}
			now = segment->length - offset;
			if (now > left)
				now = left;
			if (addr != segment->addr + offset)
				return false;
			addr += now;
			left -= now;
			offset += now;
		}
	}
	return true;
}

/**
 * model_walk - let the controller walk a command and compare
 * @model: the range
 * @offset: first byte that the command should move
 * @length: bytes that it moves
 * @prp1: its PRP1
 * @prp2: its PRP2
 * @max_pages: controller pages that it may touch
 *
 * Return: NULL, or what is wrong.
 */
const char *model_walk(const struct model *model, uint64_t offset, uint32_t length, uint64_t prp1,
		       uint64_t prp2, size_t max_pages)
{
	static struct controller_run runs[1024];
	const char *wrong;
	size_t nr;

	assert_true(max_pages <= sizeof(runs) / sizeof(*runs));
	wrong = controller_walk(resolve, &model->list, prp1, prp2, length, runs, max_pages, &nr);
	if (!wrong && !same_bytes(model, offset, runs, nr))
		wrong = "other bytes than the window's";
	return wrong;
}

/* One case: a window of the range, as a command has it. */
void model_window(const struct model *model, uint64_t offset, uint32_t length)
{
	uint64_t prp1 = CONTROLLER_POISON, prp2 = CONTROLLER_POISON;
	const char *wrong;

	prp_list_window(&model->list, offset, length, (__u64 *)&prp1, (__u64 *)&prp2);
	wrong = model_walk(model, offset, length, prp1, prp2, PRP_WINDOW);
	if (wrong)
		fail_msg(
			"%s%s: offset %llu + %u of %llu, first page from %u, %llu entries: PRP1 %#llx PRP2 %#llx",
			origin(model), wrong, (unsigned long long)offset, length,
			(unsigned long long)model->length, model->list.first,
			(unsigned long long)model->list.entries, (unsigned long long)prp1,
			(unsigned long long)prp2);
}
