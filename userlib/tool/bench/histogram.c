// SPDX-License-Identifier: MIT
/*
 * The histogram. Values below 2 << HISTOGRAM_BITS have a bucket each. Above, a
 * value keeps its highest bit and the HISTOGRAM_BITS below it; how many bits were
 * dropped counts the groups of buckets.
 */
#include "histogram.h"

#define GROUP (1U << HISTOGRAM_BITS)

static unsigned int bucket_of(uint64_t value)
{
	unsigned int dropped;

	if (value >> HISTOGRAM_MAX_BITS)
		return HISTOGRAM_BUCKETS - 1;
	if (value < GROUP)
		return value;
	dropped = 63 - __builtin_clzll(value) - HISTOGRAM_BITS;
	/* The highest bit, which stays, counts the group up by one. */
	return dropped * GROUP + (value >> dropped);
}

/* The largest value in a bucket. */
static uint64_t top_of(unsigned int bucket)
{
	unsigned int dropped = bucket < GROUP ? 0 : bucket / GROUP - 1;
	uint64_t kept = bucket - dropped * GROUP;

	return ((kept + 1) << dropped) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	if (!h->count || value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->count++;
	h->sum += value;
	h->buckets[bucket_of(value)]++;
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->count ? h->sum / h->count : 0;
}

/* The whole millions by themselves, so that nothing wraps. */
static uint64_t rank_of(uint64_t count, uint32_t ppm)
{
	const uint32_t million = 1000000;

	return count / million * ppm + (count % million * ppm + million - 1) / million;
}

uint64_t histogram_percentile(const struct histogram *h, uint32_t ppm)
{
	uint64_t rank = rank_of(h->count, ppm), seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen && seen >= rank)
			return top_of(i) < h->max ? top_of(i) : h->max;
	}
	return h->max;
}
