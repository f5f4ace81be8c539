/* SPDX-License-Identifier: MIT */
/*
 * A log-linear histogram, of latencies in nanoseconds: each power of two is
 * divided into equal buckets, so that a value is known to 1/64 of itself in a
 * few KiB and adding one costs a few instructions. Knows nothing of what is
 * measured.
 */
#ifndef NVME_DMABUF_TOOL_HISTOGRAM_H
#define NVME_DMABUF_TOOL_HISTOGRAM_H

#include <stdint.h>

/* Buckets of a power of two, as a power of two: the precision. */
#define HISTOGRAM_BITS 6

/* Values from 2^40 on, of 18 minutes and more, share one bucket, the last. */
#define HISTOGRAM_MAX_BITS 40
#define HISTOGRAM_BUCKETS  (((HISTOGRAM_MAX_BITS - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS) + 1)

/* All zeroes is an empty one. */
struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t min;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* 0 if it is empty. */
uint64_t histogram_mean(const struct histogram *h);

/*
 * The smallest bucket such that @ppm of a million values are in it or below;
 * what is returned is the largest value that it may hold, but no more than the
 * largest that was added. 0 if it is empty. @ppm is from 1 to 1000000.
 */
uint64_t histogram_percentile(const struct histogram *h, uint32_t ppm);

#endif /* NVME_DMABUF_TOOL_HISTOGRAM_H */
