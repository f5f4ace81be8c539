// SPDX-License-Identifier: MIT
/*
 * The part of 'selftest' that changes nothing: random reads through a dma-buf
 * against the block layer's reads of the same blocks, with all memory around
 * them watched.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "selftest.h"

/* A namespace in use changes under the test; then look again, this often. */
#define RETRIES 4

struct read_test {
	struct selftest *st;
	struct channel ch;
	const char *part;
	uint8_t *expected; /* what the block layer reads */
	uint8_t *again;
	uint32_t salt;
	struct extent extents[SELFTEST_BATCH];
	uint32_t count;
	/* Statistics for the result. */
	uint64_t commands;
	uint64_t split;
	uint64_t longest;
	uint64_t unsteady; /* changed by others during the comparison */
	bool only_zeroes;  /* no block said which one it is */
};

static bool cpu_begin(struct read_test *t, int flags)
{
	int ret = nvmedmabuf_buffer_begin_cpu(t->ch.buf, flags);

	if (ret)
		selftest_fail(t->st, t->part, "the CPU may not use the buffer: %s", strerror(-ret));
	return !ret;
}

static bool cpu_end(struct read_test *t, int flags)
{
	int ret = nvmedmabuf_buffer_end_cpu(t->ch.buf, flags);

	if (ret)
		selftest_fail(t->st, t->part, "the buffer cannot be given back: %s",
			      strerror(-ret));
	return !ret;
}

static bool paint(struct read_test *t, uint64_t from, uint64_t to)
{
	if (!cpu_begin(t, NVMEDMABUF_CPU_WRITE))
		return false;
	pattern_fill(t->ch.mem, from, to, t->salt);
	return cpu_end(t, NVMEDMABUF_CPU_WRITE);
}

/* Each command gets its own part of the buffer. */
static void plan(struct read_test *t)
{
	struct selftest *st = t->st;
	uint64_t share;

	t->count = 1 + selftest_random(st, SELFTEST_BATCH);
	share = t->ch.size / t->count / 4096 * 4096;
	for (uint32_t i = 0; i < t->count; i++)
		extent_pick(st, &t->extents[i], i * share, share, 0, st->blocks);
}

static bool submit(struct read_test *t)
{
	struct nvme_dmabuf_completion cpls[SELFTEST_BATCH];
	struct nvme_dmabuf_command cmds[SELFTEST_BATCH];
	char text[512];
	int ret;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct extent *e = &t->extents[i];

		nvmedmabuf_prep_read(&cmds[i], t->ch.map, e->offset, e->length, e->slba);
		cmds[i].user_data = t->commands + i;
	}
	ret = nvmedmabuf_submit(t->ch.ctx, cmds, cpls, t->count);
	if (ret != (int)t->count) {
		selftest_fail(t->st, t->part, "%" PRIu32 " commands were submitted: %s", t->count,
			      ret < 0 ? strerror(-ret) : "not all were taken");
		return false;
	}
	for (uint32_t i = 0; i < t->count; i++) {
		const struct extent *e = &t->extents[i];

		if (cpls[i].error || cpls[i].status || cpls[i].bytes != e->length ||
		    cpls[i].user_data != t->commands + i) {
			selftest_fail(t->st, t->part,
				      "Read of %" PRIu64 " bytes at block %" PRIu64
				      " to offset %" PRIu64 ": %" PRIu64 " bytes, %s",
				      e->length, e->slba, e->offset, (uint64_t)cpls[i].bytes,
				      nvmedmabuf_error_text(text, sizeof(text), 0, 0, &cpls[i]));
			return false;
		}
		t->split += e->length > t->ch.max_command;
		if (e->length > t->longest)
			t->longest = e->length;
	}
	t->commands += t->count;
	return true;
}

static bool pread_extent(struct read_test *t, const struct extent *e, uint8_t *mem)
{
	int ret = direct_read(&t->st->direct, mem, e->slba, e->length);

	if (ret)
		selftest_fail(t->st, t->part, "pread of %" PRIu64 " bytes at block %" PRIu64 ": %s",
			      e->length, e->slba, strerror(-ret));
	return !ret;
}

static bool report_difference(struct read_test *t, const struct extent *e)
{
	uint64_t at = first_difference(t->ch.mem + e->offset, t->expected, e->length);

	selftest_fail(t->st, t->part,
		      "Read of %" PRIu64 " bytes at block %" PRIu64 " to offset %" PRIu64
		      " differs from pread at byte %" PRIu64,
		      e->length, e->slba, e->offset, at);
	return false;
}

/*
 * Compare with what the block layer reads. If someone uses the namespace, only
 * blocks that hold still can be wrong: then both ways are tried again.
 */
static bool extent_matches(struct read_test *t, const struct extent *e)
{
	const uint8_t *seen = t->ch.mem + e->offset;

	for (int i = 0; i < RETRIES; i++) {
		bool steady;

		if (!pread_extent(t, e, t->expected))
			return false;
		if (memcmp(seen, t->expected, e->length) == 0) {
			t->unsteady += i > 0;
			t->only_zeroes &= is_zero(t->expected, e->length);
			return true;
		}
		if (!t->st->busy)
			return report_difference(t, e);
		if (!pread_extent(t, e, t->again))
			return false;
		steady = memcmp(t->expected, t->again, e->length) == 0;
		if (!cpu_end(t, NVMEDMABUF_CPU_READ) ||
		    nvmedmabuf_read(t->ch.ctx, t->ch.map, e->offset, e->length, e->slba, NULL) ||
		    !cpu_begin(t, NVMEDMABUF_CPU_READ))
			return report_difference(t, e);
		if (steady && memcmp(seen, t->expected, e->length) != 0)
			return report_difference(t, e);
	}
	t->unsteady++;
	return true;
}

/* Everything outside the extents still has its pattern. */
static bool guards_hold(struct read_test *t)
{
	uint64_t from = 0;

	for (uint32_t i = 0; i <= t->count; i++) {
		uint64_t to = i < t->count ? t->extents[i].offset : t->ch.size;
		uint64_t bad = pattern_find(t->ch.mem, from, to, t->salt);

		if (bad < to) {
			selftest_fail(t->st, t->part,
				      "memory outside the data was overwritten at offset %" PRIu64
				      ", between data that ends at %" PRIu64
				      " and begins at %" PRIu64,
				      bad, from, to);
			return false;
		}
		if (i < t->count)
			from = to + t->extents[i].length;
	}
	return true;
}

static bool check_round(struct read_test *t)
{
	bool good;

	if (!cpu_begin(t, NVMEDMABUF_CPU_READ))
		return false;
	good = guards_hold(t);
	for (uint32_t i = 0; good && i < t->count; i++)
		good = extent_matches(t, &t->extents[i]);
	return cpu_end(t, NVMEDMABUF_CPU_READ) && good;
}

static bool run_round(struct read_test *t)
{
	plan(t);
	if (!submit(t) || !check_round(t))
		return false;
	for (uint32_t i = 0; i < t->count; i++) {
		const struct extent *e = &t->extents[i];

		if (!paint(t, e->offset, e->offset + e->length))
			return false;
	}
	return true;
}

static void run_rounds(struct read_test *t)
{
	struct selftest *st = t->st;
	char size[SIZE_TEXT], unsteady[64] = "";

	t->only_zeroes = true;
	for (uint64_t i = 0; i < st->rounds && !stop_requested(); i++) {
		if (!run_round(t))
			return;
	}
	if (t->unsteady)
		snprintf(unsteady, sizeof(unsteady),
			 "; %" PRIu64 " were changed by others meanwhile", t->unsteady);
	selftest_pass(st, t->part,
		      "%" PRIu64 " reads of up to %s, %" PRIu64
		      " of them split, equal pread; nothing else was touched%s%s",
		      t->commands, size_text(t->longest, size), t->split, unsteady,
		      t->only_zeroes ? "; all were zeroes, so that mistaken blocks would not show" :
				       "");
}

static bool open_test(struct read_test *t, const struct exporter *exporter)
{
	struct selftest *st = t->st;
	bool chosen = !exporter_is_auto(&st->exporter);
	const char *unmapped;
	uint32_t reason;
	int ret;

	if (exporter->obstacle) {
		selftest_skip(st, t->part, "%s", exporter->obstacle);
		return false;
	}
	ret = channel_open(&t->ch, st->ctx, &st->ns, &st->info, exporter, SELFTEST_BUFFER,
			   NVME_DMABUF_ACCESS_READ, &reason, &unmapped);
	/* That nobody can look says nothing against the buffer. */
	if (ret && unmapped)
		selftest_skip(st, t->part, "%s (%s)", unmapped, errno_name(ret));
	else if (ret && chosen)
		selftest_fail(st, t->part, "no buffer, or it cannot be mapped (%s): %s%s",
			      errno_name(ret),
			      reason ? nvmedmabuf_reason_text(reason) : strerror(-ret),
			      reason ? "" : exporter_hint(exporter, ret));
	else if (ret)
		selftest_skip(st, t->part, "no buffer, or it cannot be mapped (%s): %s",
			      errno_name(ret),
			      reason ? nvmedmabuf_reason_text(reason) : strerror(-ret));
	if (ret)
		return false;
	t->expected = direct_alloc(SELFTEST_BUFFER);
	t->again = direct_alloc(SELFTEST_BUFFER);
	if (!t->expected || !t->again) {
		selftest_fail(st, t->part, "out of memory");
		return false;
	}
	return true;
}

/* In JSON, each exporter's map is a member of "maps". */
static void show_map(struct read_test *t)
{
	struct json_object *obj = NULL;

	if (!t->st->show_map)
		return;
	if (report_json())
		obj = put_new_object(t->st->maps, t->part);
	else
		selftest_note("%s", t->part);
	map_show(t->st->ctx, t->ch.map, stdout, obj);
}

void selftest_read_exporter(struct selftest *st, const struct exporter *exporter)
{
	struct read_test t = { .st = st, .part = exporter->name };

	t.salt = selftest_random(st, UINT32_MAX);
	if (open_test(&t, exporter)) {
		show_map(&t);
		if (paint(&t, 0, t.ch.size)) {
			run_rounds(&t);
			selftest_refusals(st, &t.ch, t.part);
		}
	}
	channel_close(&t.ch);
	free(t.expected);
	free(t.again);
}
