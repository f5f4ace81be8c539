// SPDX-License-Identifier: MIT
/*
 * This test will check the histogram of 'nvme-dmabuf bench' against sorted
 * lists of the same values: counts, means and extremes exactly, percentiles to
 * the precision that it promises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../userlib/tool/bench/histogram.h"

#define LIMIT	  (1ULL << HISTOGRAM_MAX_BITS)
#define PRECISION (1U << HISTOGRAM_BITS)

/* One for all tests: too large for a stack. */
static struct histogram h;

static int begin(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	return 0;
}

static uint64_t next_random(void)
{
	static uint64_t state = 1;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* @seen is @value, or above by less than the precision. */
static void assert_precise(uint64_t seen, uint64_t value)
{
	assert_true(seen >= value);
	assert_true(seen - value <= value / PRECISION);
}

static void empty_has_zeroes(void **state)
{
	(void)state;
	assert_int_equal(histogram_mean(&h), 0);
	assert_int_equal(histogram_percentile(&h, 1), 0);
	assert_int_equal(histogram_percentile(&h, 1000000), 0);
}

static void one_value_is_all_percentiles(void **state)
{
	const uint64_t values[] = { 0, 1, 63, 64, 127, 128, 1000003, LIMIT - 1, LIMIT, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		memset(&h, 0, sizeof(h));
		histogram_add(&h, values[i]);
		assert_int_equal(h.count, 1);
		assert_int_equal(h.min, values[i]);
		assert_int_equal(h.max, values[i]);
		assert_int_equal(histogram_mean(&h), values[i]);
		assert_int_equal(histogram_percentile(&h, 1), values[i]);
		assert_int_equal(histogram_percentile(&h, 500000), values[i]);
		assert_int_equal(histogram_percentile(&h, 1000000), values[i]);
	}
}

/* The first and the last value of every bucket, and those next to them. */
static void buckets_are_as_fine_as_promised(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < HISTOGRAM_MAX_BITS; bit++) {
		uint64_t step = bit > HISTOGRAM_BITS ? 1ULL << (bit - HISTOGRAM_BITS) : 1;

		for (uint64_t v = 1ULL << bit; v < 2ULL << bit; v += step) {
			const uint64_t values[] = { v - 1, v, v + step - 1, v + step };

			for (int i = 0; i < 4; i++) {
				if (values[i] >= LIMIT)
					continue;
				memset(&h, 0, sizeof(h));
				histogram_add(&h, values[i]);
				/* Something larger, or the percentile would be the maximum. */
				histogram_add(&h, UINT64_MAX);
				assert_precise(histogram_percentile(&h, 500000), values[i]);
			}
		}
	}
}

static void small_values_are_exact(void **state)
{
	(void)state;
	for (uint64_t v = 0; v < 100; v++)
		histogram_add(&h, v);
	assert_int_equal(histogram_mean(&h), 49);
	assert_int_equal(histogram_percentile(&h, 1), 0);
	assert_int_equal(histogram_percentile(&h, 10000), 0);
	assert_int_equal(histogram_percentile(&h, 10001), 1);
	assert_int_equal(histogram_percentile(&h, 500000), 49);
	assert_int_equal(histogram_percentile(&h, 900000), 89);
	assert_int_equal(histogram_percentile(&h, 990000), 98);
	assert_int_equal(histogram_percentile(&h, 999900), 99);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void percentiles_are_those_of_the_sorted_list(void **state)
{
	static const uint32_t ppms[] = { 1, 1000, 500000, 900000, 990000, 999000, 999900, 1000000 };
	static uint64_t values[54321];
	const size_t count = sizeof(values) / sizeof(values[0]);
	uint64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		/* From nanoseconds to minutes, each power of two alike. */
		values[i] = next_random() >> (24 + next_random() % 36);
		histogram_add(&h, values[i]);
		sum += values[i];
	}
	qsort(values, count, sizeof(values[0]), by_value);
	assert_int_equal(h.count, count);
	assert_int_equal(h.min, values[0]);
	assert_int_equal(h.max, values[count - 1]);
	assert_int_equal(histogram_mean(&h), sum / count);
	for (size_t i = 0; i < sizeof(ppms) / sizeof(ppms[0]); i++) {
		uint64_t rank = (count * ppms[i] + 999999) / 1000000;

		assert_precise(histogram_percentile(&h, ppms[i]), values[rank - 1]);
	}
}

/* Of more values than could be multiplied by a million. */
static void counts_do_not_wrap(void **state)
{
	(void)state;
	h.count = 1ULL << 60;
	h.buckets[10] = h.count / 2;
	h.buckets[20] = h.count / 2;
	h.max = 20;
	assert_int_equal(histogram_percentile(&h, 500000), 10);
	assert_int_equal(histogram_percentile(&h, 500001), 20);
}

static void long_values_are_kept_apart(void **state)
{
	(void)state;
	for (int i = 0; i < 9; i++)
		histogram_add(&h, 100);
	histogram_add(&h, LIMIT * 5);
	assert_int_equal(histogram_percentile(&h, 900000), 100);
	assert_int_equal(histogram_percentile(&h, 900001), LIMIT * 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(empty_has_zeroes, begin),
		cmocka_unit_test_setup(one_value_is_all_percentiles, begin),
		cmocka_unit_test_setup(buckets_are_as_fine_as_promised, begin),
		cmocka_unit_test_setup(small_values_are_exact, begin),
		cmocka_unit_test_setup(percentiles_are_those_of_the_sorted_list, begin),
		cmocka_unit_test_setup(counts_do_not_wrap, begin),
		cmocka_unit_test_setup(long_values_are_kept_apart, begin),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
