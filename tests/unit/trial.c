// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test reads (module/storage/trial.c), of drives that do what they should, and of drives that are
 * wrong in one way each. Whatever a drive does, it must find no address but those of the
 * trial's own memory.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#include "controller.h"
#include "trial.h"

#define PAGE	  4096U
#define MEMORY	  0x7fff12340000ULL
#define MAX_PAGES (TRIAL_DATA + 258)
#define BLOCK	  512U
#define PLAIN	  (3 * PAGE)

/**
 * struct drive - what is wrong with it, or nothing
 * @mask: bits that it clears in an address that is a list's
 * @most: bytes that it moves at most, or 0
 * @less: bytes that it leaves out at the end
 * @more: bytes that it moves too many of, per block
 * @nothing: moves nothing at all
 * @backwards: takes the list's entries from the last to the first
 * @at: byte of what it holds with which the data begins
 * @alike: what it holds is everywhere this word, if that is not 0
 * @no_sgl: takes an SGL for PRPs
 * @any_length: does not compare the length of an SGL with the command's
 */
struct drive {
	uint64_t mask;
	uint32_t most;
	uint32_t less;
	uint32_t more;
	bool nothing;
	bool backwards;
	uint64_t at;
	uint64_t alike;
	bool no_sgl;
	bool any_length;
};

static const struct drive good;

static __le64 memory[MAX_PAGES * PAGE / 8];
static struct trial trial;
static struct controller_run runs[1024];

static void use_memory(uint32_t pages)
{
	memset(&trial, 0, sizeof(trial));
	trial.words = memory;
	trial.dma = MEMORY;
	trial.nr_pages = pages;
}

static bool is_ours(uint64_t addr, uint64_t length)
{
	return addr >= MEMORY && addr + length <= MEMORY + (uint64_t)trial.nr_pages * PAGE;
}

static const uint64_t *find_page(const void *unused, uint64_t addr)
{
	(void)unused;
	assert_true(is_ours(addr, PAGE));
	return (const uint64_t *)memory + (addr - MEMORY) / 8;
}

static uint64_t content(const struct drive *drive, uint64_t at)
{
	return drive->alike ? drive->alike : 0x0123456789abcdefULL * (at / 8 + 1);
}

/* Copies a part of what the drive holds, from byte @at on, to the memory. */
static void put(const struct drive *drive, uint64_t addr, uint32_t length, uint64_t at)
{
	uint8_t *to = (uint8_t *)memory + (addr - MEMORY);

	assert_true(is_ours(addr, length));
	for (uint32_t i = 0; i < length; i++) {
		uint64_t word = htole64(content(drive, at + i));

		to[i] = ((const uint8_t *)&word)[(at + i) % 8];
	}
}

/* Moves @moved bytes of a command that the drive believes to be of @length. */
static void move(const struct drive *drive, uint64_t prp1, uint64_t prp2, uint32_t length,
		 uint32_t moved)
{
	uint32_t in_first = PAGE - prp1 % PAGE, at = 0, here;
	size_t nr, i;

	if (length <= in_first)
		prp2 = 0;
	else if (length > in_first + PAGE)
		prp2 &= ~drive->mask;
	assert_null(controller_walk(find_page, NULL, prp1, prp2, length, runs, 1024, &nr));
	for (i = 0; i < nr && at < moved; i++) {
		const struct controller_run *to = &runs[drive->backwards && i ? nr - i : i];

		here = runs[i].length < to->length ? runs[i].length : to->length;
		here = here < moved - at ? here : moved - at;
		put(drive, to->addr, here, drive->at + at);
		at += here;
	}
}

static uint32_t moved_of(const struct drive *drive, uint32_t length)
{
	if (drive->nothing)
		return 0;
	if (drive->most && length > drive->most)
		length = drive->most;
	return length > drive->less ? length - drive->less : 0;
}

static uint32_t believed_by(const struct drive *drive, uint32_t length)
{
	return length + length / BLOCK * drive->more;
}

/* The drive executes what was prepared. */
static void execute(const struct drive *drive)
{
	uint32_t length = believed_by(drive, trial.length);

	move(drive, trial.prp1, trial.prp2, length, moved_of(drive, length));
}

/*
 * An SGL for a command of @length bytes. Returns whether the drive says that it is too
 * short.
 */
static bool execute_sgl(const struct drive *drive, uint32_t length)
{
	uint32_t believed = believed_by(drive, length), moved = moved_of(drive, believed);

	if (drive->no_sgl) {
		/* The descriptor's second half, which nothing may have use for. */
		move(drive, trial.prp1, trial.length, believed, moved);
		return false;
	}
	if (length != trial.length && !drive->any_length)
		return true;
	if (moved)
		put(drive, trial.prp1, moved < trial.length ? moved : trial.length, drive->at);
	return false;
}

static enum trial_verdict judge(const struct drive *drive, uint32_t length, uint32_t offset,
				uint32_t slot)
{
	enum trial_verdict verdict;

	trial_prepare(&trial, length, offset, slot);
	execute(drive);
	verdict = trial_judge(&trial);
	if (verdict == TRIAL_AGAIN) {
		trial_again(&trial);
		execute(drive);
		verdict = trial_judge(&trial);
	}
	return verdict;
}

static enum trial_verdict judge_list(const struct drive *drive, uint32_t slot)
{
	return judge(drive, PLAIN, TRIAL_OFFSET, slot);
}

/* What nvdm_probe_compare() does: is it the same without a list? */
static bool same_as_plain(const struct drive *drive, uint32_t offset, uint32_t slot)
{
	struct drive later = *drive;
	uint64_t list, plain = 0;

	trial_prepare(&trial, PLAIN, offset, slot);
	execute(drive);
	list = trial_sum(&trial, 0);
	for (later.at = 0; later.at < PLAIN; later.at += PAGE) {
		trial_prepare(&trial, PAGE, 0, 0);
		execute(&later);
		plain = trial_sum(&trial, plain);
	}
	return list == plain;
}

static void good_drive(void **state)
{
	(void)state;
	use_memory(TRIAL_PAGES);
	for (uint32_t block = BLOCK; block <= 65536; block *= 2)
		assert_int_equal(judge(&good, block, TRIAL_OFFSET, 0), TRIAL_RIGHT);
	for (uint32_t length = 8; length <= PRP_MAX_BYTES; length += length < 65536 ? 8 : 4096)
		assert_int_equal(judge(&good, length, TRIAL_OFFSET, TRIAL_ODD_SLOT), TRIAL_RIGHT);
	for (uint32_t slot = 0; slot < PRP_STRIDE; slot++)
		assert_int_equal(judge_list(&good, slot), TRIAL_RIGHT);
	assert_true(same_as_plain(&good, TRIAL_OFFSET, TRIAL_ODD_SLOT));
	assert_true(same_as_plain(&good, 0, 0));
}

/* Data that is what the memory was filled with is no less right. */
static void data_like_the_fill(void **state)
{
	const struct drive sink = { .alike = MEMORY + TRIAL_SINK * PAGE };
	const struct drive guard = { .alike = MEMORY + (TRIAL_PAGES - 1) * PAGE };

	(void)state;
	use_memory(TRIAL_PAGES);
	assert_int_equal(judge(&sink, BLOCK, TRIAL_OFFSET, 0), TRIAL_RIGHT);
	assert_int_equal(judge(&guard, BLOCK, TRIAL_OFFSET, 0), TRIAL_RIGHT);
	assert_int_equal(judge_list(&sink, TRIAL_ODD_SLOT), TRIAL_RIGHT);
	assert_int_equal(judge_list(&guard, TRIAL_ODD_SLOT), TRIAL_RIGHT);
}

/* Zeroes everywhere are what a new drive holds. */
static void masked_lists(void **state)
{
	(void)state;
	use_memory(TRIAL_PAGES);
	for (int zeroes = 0; zeroes <= 1; zeroes++)
		for (uint64_t align = 16; align <= PAGE; align *= 2) {
			const struct drive drive = {
				.mask = align - 1,
				.alike = zeroes ? 0x100 : 0,
			};

			assert_int_equal(judge_list(&drive, TRIAL_ODD_SLOT), TRIAL_WRONG);
			assert_int_equal(judge(&drive, PRP_MAX_BYTES, TRIAL_OFFSET, TRIAL_ODD_SLOT),
					 TRIAL_WRONG);
			/* Copies that begin with a page are right. */
			assert_int_equal(judge_list(&drive, 0), TRIAL_RIGHT);
			assert_int_equal(judge(&drive, PRP_MAX_BYTES, TRIAL_OFFSET, 0),
					 TRIAL_RIGHT);
		}
}

static void order_of_entries(void **state)
{
	const struct drive drive = { .backwards = true };

	(void)state;
	use_memory(TRIAL_PAGES);
	/* Each page is filled, but with another's data: only the sum can tell. */
	assert_int_equal(judge(&drive, PLAIN, 0, TRIAL_ODD_SLOT), TRIAL_RIGHT);
	assert_false(same_as_plain(&drive, 0, TRIAL_ODD_SLOT));
	assert_false(same_as_plain(&drive, TRIAL_OFFSET, TRIAL_ODD_SLOT));
}

static void truncated(void **state)
{
	(void)state;
	use_memory(TRIAL_PAGES);
	for (uint32_t most = 8; most < PRP_MAX_BYTES; most = most * 3 / 2 / 8 * 8 + 8) {
		const struct drive drive = { .most = most };

		assert_int_equal(judge(&drive, PRP_MAX_BYTES, TRIAL_OFFSET, TRIAL_ODD_SLOT),
				 TRIAL_WRONG);
		assert_int_equal(judge(&drive, most + 8, TRIAL_OFFSET, 0), TRIAL_WRONG);
		assert_int_equal(judge(&drive, most, TRIAL_OFFSET, 0), TRIAL_RIGHT);
	}
	for (uint32_t less = 8; less < BLOCK; less += 8) {
		const struct drive drive = { .less = less };

		assert_int_equal(judge(&drive, BLOCK, TRIAL_OFFSET, 0), TRIAL_WRONG);
		assert_int_equal(judge_list(&drive, 0), TRIAL_WRONG);
	}
}

static void too_long(void **state)
{
	const uint32_t more[] = { 8, 16, 64, 512, 4096 };

	(void)state;
	use_memory(TRIAL_PAGES);
	for (size_t i = 0; i < sizeof(more) / sizeof(*more); i++) {
		const struct drive drive = { .more = more[i] };

		for (uint32_t block = BLOCK; block <= 16384; block *= 2)
			assert_int_equal(judge(&drive, block, TRIAL_OFFSET, 0), TRIAL_WRONG);
		assert_int_equal(judge_list(&drive, TRIAL_ODD_SLOT), TRIAL_WRONG);
	}
}

static void nothing_at_all(void **state)
{
	const struct drive drive = { .nothing = true };

	(void)state;
	use_memory(TRIAL_PAGES);
	assert_int_equal(judge(&drive, BLOCK, TRIAL_OFFSET, 0), TRIAL_NOTHING);
	assert_int_equal(judge_list(&drive, TRIAL_ODD_SLOT), TRIAL_NOTHING);
	assert_int_equal(judge(&drive, PRP_MAX_BYTES, TRIAL_OFFSET, 0), TRIAL_NOTHING);
}

static enum trial_verdict judge_sgl(const struct drive *drive, uint32_t length)
{
	enum trial_verdict verdict;

	trial_prepare_sgl(&trial, length, TRIAL_OFFSET);
	assert_false(execute_sgl(drive, length));
	verdict = trial_judge(&trial);
	if (verdict == TRIAL_AGAIN) {
		trial_again(&trial);
		execute_sgl(drive, length);
		verdict = trial_judge(&trial);
	}
	return verdict;
}

static void sgls(void **state)
{
	const struct drive truncating = { .most = PLAIN - 8 }, longer = { .more = 8 };

	(void)state;
	use_memory(TRIAL_PAGES);
	assert_int_equal(judge_sgl(&good, PLAIN), TRIAL_RIGHT);
	assert_int_equal(judge_sgl(&truncating, PLAIN), TRIAL_WRONG);
	assert_int_equal(judge_sgl(&longer, PLAIN), TRIAL_RIGHT); /* the SGL keeps it */
	use_memory(TRIAL_DATA + PRP_MAX_BYTES / PAGE + 2);
	assert_int_equal(judge_sgl(&good, PRP_MAX_BYTES), TRIAL_RIGHT);
	assert_int_equal(judge_sgl(&truncating, PRP_MAX_BYTES), TRIAL_WRONG);
}

/* Before an SGL is relied upon, one that is too short, in one page. */
static void short_sgls(void **state)
{
	const struct drive ignorant = { .no_sgl = true }, lenient = { .any_length = true };

	(void)state;
	use_memory(TRIAL_PAGES);
	for (uint32_t block = BLOCK; block <= PAGE; block *= 2) {
		trial_prepare_sgl(&trial, block / 2, 0);
		assert_true(execute_sgl(&good, block));
		assert_int_not_equal(trial_judge(&trial), TRIAL_WRONG);

		trial_prepare_sgl(&trial, block / 2, 0);
		assert_false(execute_sgl(&ignorant, block));
		assert_int_equal(trial_judge(&trial), TRIAL_WRONG);

		trial_prepare_sgl(&trial, block / 2, 0);
		assert_false(execute_sgl(&lenient, block));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_drive),	  cmocka_unit_test(data_like_the_fill),
		cmocka_unit_test(masked_lists),	  cmocka_unit_test(order_of_entries),
		cmocka_unit_test(truncated),	  cmocka_unit_test(too_long),
		cmocka_unit_test(nothing_at_all), cmocka_unit_test(sgls),
		cmocka_unit_test(short_sgls),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
