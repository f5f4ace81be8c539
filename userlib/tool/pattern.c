// SPDX-License-Identifier: MIT
/*
 * What 'selftest' compares with what: patterns in memory, random extents, and
 * the block layer's own reads and writes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "selftest.h"

/* splitmix64: short, and good enough to choose places. */
uint64_t selftest_random(struct selftest *st, uint64_t limit)
{
	uint64_t z = st->random += 0x9e3779b97f4a7c15ULL;

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

uint8_t *direct_alloc(uint64_t length)
{
	return aligned_alloc(4096, (length + 4095) / 4096 * 4096);
}

int direct_read(const struct selftest *st, uint8_t *mem, uint64_t slba, uint64_t length)
{
	uint64_t at = slba * st->info.out_block_size;

	while (length) {
		ssize_t n = pread(st->direct_fd, mem, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		mem += n;
		at += n;
		length -= n;
	}
	return 0;
}

int direct_write(const struct selftest *st, const uint8_t *mem, uint64_t slba, uint64_t length)
{
	uint64_t at = slba * st->info.out_block_size;

	while (length) {
		ssize_t n = pwrite(st->direct_fd, mem, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		mem += n;
		at += n;
		length -= n;
	}
	return 0;
}

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
