// SPDX-License-Identifier: MIT
/*
 * Random numbers that a seed repeats, patterns in memory, and what differs in it.
 */
#include <string.h>
#include <time.h>

#include "common.h"

uint64_t random_seed(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec << 20 ^ ts.tv_nsec) & 0xffffffff;
}

/* splitmix64: short, and good enough to choose places. */
uint64_t random_below(uint64_t *state, uint64_t limit)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return limit ? z % limit : 0;
}

static uint32_t word_at(uint64_t offset, uint32_t salt)
{
	return (uint32_t)(offset / 4 * 2654435761U) ^ salt;
}

void pattern_fill(uint8_t *mem, uint64_t from, uint64_t to, uint32_t salt)
{
	for (uint64_t at = from; at < to; at += 4) {
		uint32_t word = word_at(at, salt);

		memcpy(mem + at, &word, 4);
	}
}

uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t length)
{
	uint64_t at = 0;

	while (at < length && a[at] == b[at])
		at++;
	return at;
}

bool is_zero(const uint8_t *mem, uint64_t length)
{
	/* The first byte is, and each equals the one before. */
	return !mem[0] && memcmp(mem, mem + 1, length - 1) == 0;
}

uint64_t pattern_find(const uint8_t *mem, uint64_t from, uint64_t to, uint32_t salt)
{
	for (uint64_t at = from; at < to; at += 4) {
		uint32_t word;

		memcpy(&word, mem + at, 4);
		if (word != word_at(at, salt))
			return at;
	}
	return to;
}
