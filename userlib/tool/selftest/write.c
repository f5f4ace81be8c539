// SPDX-License-Identifier: MIT
/*
 * The part of 'selftest' that writes: random writes through dma-bufs into one
 * range of blocks, against an image of what must then be there, the blocks
 * around the range included. The original contents are put back whatever
 * happens, short of a crash. A file is opened only to compare it, when no command is in
 * flight: the maps stop then, and the next command starts them again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "selftest.h"

#define DEFAULT_BYTES (4 * MIB)
#define MAX_BYTES     (64 * MIB)

/* Blocks before and behind the range that are watched too. */
#define MARGIN 64

struct write_test {
	struct selftest *st;
	const char *part;
	struct channel out; /* to the namespace */
	struct channel in;  /* and back */
	uint64_t first;	    /* the window: the range and its margins */
	uint64_t blocks;
	uint64_t bytes;
	uint8_t *saved; /* the window before the test */
	uint8_t *image; /* what the window must hold now */
	uint8_t *seen;
	uint64_t commands;
	uint64_t split;
	bool wrote; /* or may have, by whatever exporter */
};

/* Counts from the start of the namespace; the window's buffers from its own. */
static uint8_t *in_window(const struct write_test *t, uint8_t *window, uint64_t slba)
{
	return window + (slba - t->first) * t->st->info.out_block_size;
}

static bool failed(struct write_test *t, const char *what, int err)
{
	selftest_fail(t->st, t->part, "%s: %s", what, strerror(-err));
	return false;
}

/* A signal came while a command waited to start a map again. That is told at the end. */
static bool interrupted(int err)
{
	return err == -EINTR && stop_requested();
}

/* Whatever is not read shows: no byte is what it must become. */
static void poison(uint8_t *mem, const uint8_t *image, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		mem[i] = ~image[i];
}

static int read_cached(const struct write_test *t, uint8_t *mem)
{
	int fd = file_reopen(&t->st->ns, O_RDONLY);
	int64_t n;

	if (fd < 0)
		return fd;
	n = file_pread(fd, mem, t->bytes, t->first * t->st->info.out_block_size);
	close(fd);
	return n < 0 ? n : (uint64_t)n < t->bytes ? -EIO : 0;
}

/* The whole window equals the image. */
static bool window_reads(struct write_test *t, const uint8_t *image, const char *when, bool cached)
{
	uint64_t at, block;
	int ret;

	poison(t->seen, image, t->bytes);
	ret = cached ? read_cached(t, t->seen) :
		       direct_read(&t->st->direct, t->seen, t->first, t->bytes);
	if (ret)
		return failed(t, cached ? "pread without O_DIRECT" : "pread", ret);
	if (memcmp(t->seen, image, t->bytes) == 0)
		return true;
	at = first_difference(t->seen, image, t->bytes);
	block = t->first + at / t->st->info.out_block_size;
	selftest_fail(t->st, t->part, "%s, block %" PRIu64 " differs at byte %" PRIu64 "%s%s", when,
		      block, at % t->st->info.out_block_size,
		      cached ? ", read without O_DIRECT" : "",
		      block < t->st->start || block >= t->st->start + t->st->count ?
			      ", OUTSIDE the range that was to be written" :
			      "");
	return false;
}

/* By the block layer, and of a file through the page cache, too, which is coherent there. */
static bool window_holds(struct write_test *t, const uint8_t *image, const char *when)
{
	return window_reads(t, image, when, false) &&
	       (!t->st->ns.is_file || window_reads(t, image, when, true));
}

static bool fill_buffer(struct write_test *t)
{
	int ret = nvmedmabuf_buffer_begin_cpu(t->out.buf, NVMEDMABUF_CPU_WRITE);

	if (ret)
		return failed(t, "the CPU may not fill the buffer", ret);
	pattern_fill(t->out.mem, 0, t->out.size, selftest_random(t->st, UINT32_MAX));
	ret = nvmedmabuf_buffer_end_cpu(t->out.buf, NVMEDMABUF_CPU_WRITE);
	return ret ? failed(t, "the buffer cannot be given to the drive", ret) : true;
}

/* Commands of one array may run in any order, so no two share a block. */
static uint32_t plan(struct write_test *t, struct extent *extents)
{
	struct selftest *st = t->st;
	uint32_t count = 1 + selftest_random(st, SELFTEST_BATCH);
	uint64_t share;

	if (count > st->count)
		count = st->count;
	share = st->count / count;
	for (uint32_t i = 0; i < count; i++)
		extent_pick(st, &extents[i], 0, t->out.size, st->start + i * share, share);
	return count;
}

static bool write_round(struct write_test *t)
{
	struct nvme_dmabuf_completion cpls[SELFTEST_BATCH];
	struct nvme_dmabuf_command cmds[SELFTEST_BATCH];
	struct extent extents[SELFTEST_BATCH];
	struct selftest *st = t->st;
	uint32_t count;
	char text[512];
	int ret;

	if (!fill_buffer(t))
		return false;
	count = plan(t, extents);
	for (uint32_t i = 0; i < count; i++) {
		const struct extent *e = &extents[i];

		nvmedmabuf_prep_write(&cmds[i], t->out.map, e->offset, e->length, e->slba);
		if (selftest_random(st, 4) == 0)
			cmds[i].flags = NVME_DMABUF_CMD_FUA;
		t->split += e->length > t->out.max_command;
	}
	t->wrote = true;
	ret = nvmedmabuf_submit(st->ctx, cmds, cpls, count);
	if (ret != (int)count)
		return failed(t, "submission", ret < 0 ? ret : -EIO);
	t->commands += count;

	nvmedmabuf_buffer_begin_cpu(t->out.buf, NVMEDMABUF_CPU_READ);
	for (uint32_t i = 0; i < count; i++)
		memcpy(in_window(t, t->image, extents[i].slba), t->out.mem + extents[i].offset,
		       extents[i].length);
	nvmedmabuf_buffer_end_cpu(t->out.buf, NVMEDMABUF_CPU_READ);

	for (uint32_t i = 0; i < count; i++) {
		const struct extent *e = &extents[i];

		if (!cpls[i].error && !cpls[i].status && cpls[i].bytes == e->length)
			continue;
		if (interrupted(cpls[i].error))
			return false;
		selftest_fail(st, t->part,
			      "Write of %" PRIu64 " bytes at block %" PRIu64 " from offset %" PRIu64
			      ": %s",
			      e->length, e->slba, e->offset,
			      nvmedmabuf_error_text(text, sizeof(text), 0, 0, &cpls[i]));
		return false;
	}
	return window_holds(t, t->image, "after writes");
}

/* Back through a second dma-buf, mapped for the other direction. */
static bool read_back(struct write_test *t)
{
	uint64_t step = t->in.size / t->st->info.out_block_size, n;
	bool same = true;
	int ret;

	for (uint64_t at = 0; same && at < t->blocks; at += n) {
		const uint8_t *image = in_window(t, t->image, t->first + at);
		uint64_t length;

		n = t->blocks - at < step ? t->blocks - at : step;
		length = n * t->st->info.out_block_size;
		nvmedmabuf_buffer_begin_cpu(t->in.buf, NVMEDMABUF_CPU_WRITE);
		poison(t->in.mem, image, length);
		nvmedmabuf_buffer_end_cpu(t->in.buf, NVMEDMABUF_CPU_WRITE);
		ret = nvmedmabuf_read(t->st->ctx, t->in.map, 0, length, t->first + at, NULL);
		if (ret)
			return interrupted(ret) ? false : failed(t, "reading back", ret);
		nvmedmabuf_buffer_begin_cpu(t->in.buf, NVMEDMABUF_CPU_READ);
		same = memcmp(t->in.mem, image, length) == 0;
		nvmedmabuf_buffer_end_cpu(t->in.buf, NVMEDMABUF_CPU_READ);
	}
	if (!same)
		selftest_fail(t->st, t->part, "what was read back through a dma-buf differs");
	return same;
}

static bool expect(struct write_test *t, const char *what, const struct nvme_dmabuf_command *cmd,
		   int error, uint32_t reason)
{
	struct nvme_dmabuf_completion cpl = { 0 };
	int ret = nvmedmabuf_submit(t->st->ctx, cmd, &cpl, 1);

	if (ret == 1 && cpl.error == -error && cpl.reason == reason)
		return true;
	selftest_fail(t->st, t->part, "%s: got %s, reason %s instead of %s, %s", what,
		      cpl.error ? errno_name(cpl.error) : "no error",
		      nvmedmabuf_reason_name(cpl.reason), errno_name(error),
		      nvmedmabuf_reason_name(reason));
	return false;
}

static bool refusals(struct write_test *t)
{
	const struct selftest *st = t->st;
	struct nvme_dmabuf_command cmd;
	bool good;

	nvmedmabuf_prep_write(&cmd, t->in.map, 0, st->info.out_block_size, st->start);
	good = expect(t, "a write from a map for reads", &cmd, EACCES,
		      NVME_DMABUF_REASON_MAP_ACCESS);
	nvmedmabuf_prep_read(&cmd, t->out.map, 0, st->info.out_block_size, st->start);
	good &= expect(t, "a read into a map for writes", &cmd, EACCES,
		       NVME_DMABUF_REASON_MAP_ACCESS);
	nvmedmabuf_prep_flush(&cmd, t->in.map);
	good &= expect(t, "a flush with a map for reads", &cmd, EACCES,
		       NVME_DMABUF_REASON_MAP_ACCESS);
	return window_holds(t, t->image, "after refused writes") && good;
}

static bool open_channels(struct write_test *t, const struct exporter *exporter)
{
	struct selftest *st = t->st;
	const char *unmapped;
	uint32_t reason;
	int ret;

	ret = channel_open(&t->out, st->ctx, &st->ns, &st->info, exporter, SELFTEST_BUFFER,
			   NVME_DMABUF_ACCESS_WRITE, &reason, &unmapped);
	if (!ret)
		ret = channel_open(&t->in, st->ctx, &st->ns, &st->info, exporter, SELFTEST_BUFFER,
				   NVME_DMABUF_ACCESS_READ, &reason, &unmapped);
	/* Its blocks could be read: that the file cannot be written has nothing to do with buffers. */
	if (ret && st->ns.is_file && reason)
		selftest_fail(st, t->part, "the file cannot be written (%s): %s", errno_name(ret),
			      nvmedmabuf_reason_text(reason));
	else if (ret)
		selftest_skip(st, t->part, "no buffers for writing: %s",
			      unmapped ? unmapped : strerror(-ret));
	return !ret;
}

static void write_exporter(struct write_test *t, const struct exporter *exporter)
{
	char part[sizeof(exporter->name) + 16];
	struct selftest *st = t->st;
	bool good = true;
	int ret;

	if (exporter->obstacle)
		return;
	snprintf(part, sizeof(part), "%s, writing", exporter->name);
	t->part = part;
	t->commands = 0;
	t->split = 0;
	if (open_channels(t, exporter)) {
		for (uint64_t i = 0; good && i < st->rounds && !stop_requested(); i++)
			good = write_round(t);
		ret = nvmedmabuf_flush(st->ctx, t->out.map, NULL);
		if (ret)
			good = interrupted(ret) ? false : failed(t, "Flush", ret);
		if (good && read_back(t) && refusals(t))
			selftest_pass(
				st, part,
				"%" PRIu64 " writes, %" PRIu64
				" of them split, are where they belong; %d blocks around stayed",
				t->commands, t->split, (int)(t->blocks - st->count));
	}
	channel_close(&t->out);
	channel_close(&t->in);
}

/* The margins too: had they changed, the test would have done it. */
static void restore(struct write_test *t)
{
	struct selftest *st = t->st;
	int ret;

	t->part = "restore";
	ret = direct_write(&st->direct, in_window(t, t->saved, st->start), st->start,
			   st->count * st->info.out_block_size);
	if (ret) {
		failed(t,
		       st->save_file ?
			       "the original contents could NOT be put back; they are in the file of --save" :
			       "the original contents could NOT be put back and are lost",
		       ret);
		return;
	}
	if (window_holds(t, t->saved, "after the original contents were put back"))
		selftest_pass(st, t->part,
			      "the original contents of blocks %" PRIu64 " to %" PRIu64 " are back",
			      st->start, st->start + st->count - 1);
	else
		direct_write(&st->direct, t->saved, t->first, t->bytes);
	ns_cache_drop(&st->ns, t->first * st->info.out_block_size, t->bytes);
}

static int save_to_file(struct write_test *t)
{
	const struct selftest *st = t->st;
	const uint8_t *mem = in_window(t, t->saved, st->start);
	uint64_t left = st->count * st->info.out_block_size;
	int fd, ret = 0;

	if (!st->save_file)
		return TOOL_OK;
	fd = open(st->save_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return report_error(TOOL_FAILED, "cannot-save",
				    "cannot create %s: %s; nothing was written to %s",
				    st->save_file, strerror(errno), st->ns.path);
	while (left && !ret) {
		ssize_t n = write(fd, mem, left);

		if (n < 0) {
			ret = errno == EINTR ? 0 : -errno;
			continue;
		}
		mem += n;
		left -= n;
	}
	if (!ret && fsync(fd))
		ret = -errno;
	if (close(fd) && !ret)
		ret = -errno;
	if (ret)
		return report_error(TOOL_FAILED, "cannot-save",
				    "cannot write %s: %s; nothing was written to %s", st->save_file,
				    strerror(-ret), st->ns.path);
	return TOOL_OK;
}

static int set_range(struct write_test *t)
{
	struct selftest *st = t->st;
	uint64_t bs = st->info.out_block_size, capacity = st->blocks;
	uint64_t end;

	if (!st->has_count) {
		st->count = DEFAULT_BYTES / bs;
		if (st->start < capacity && st->count > capacity - st->start)
			st->count = capacity - st->start;
	}
	if (st->start >= capacity || st->count > capacity - st->start)
		return report_error(TOOL_FAILED,
				    nvmedmabuf_reason_name(NVME_DMABUF_REASON_OUTSIDE_NAMESPACE),
				    "%" PRIu64 " blocks from block %" PRIu64
				    " do not fit: %s has %" PRIu64 " blocks",
				    st->count, st->start, st->ns.path, capacity);
	if (st->count > MAX_BYTES / bs)
		return report_usage("--count is too large; at most %" PRIu64
				    " blocks (64 MiB) can be overwritten",
				    (uint64_t)(MAX_BYTES / bs));

	t->first = st->start > MARGIN ? st->start - MARGIN : 0;
	end = st->start + st->count;
	end = capacity - end > MARGIN ? end + MARGIN : capacity;
	t->blocks = end - t->first;
	t->bytes = t->blocks * bs;
	return TOOL_OK;
}

static int confirm(const struct write_test *t)
{
	const struct selftest *st = t->st;
	const char *file = st->save_file;
	struct overwrite o = {
		.ns = &st->ns,
		.info = &st->info,
		.start = st->start,
		.count = st->count,
		.contents = in_window(t, t->saved, st->start),
		.looked_at = st->count,
		.intent = "This test will overwrite, and put back at the end:",
		.confirmed = st->confirmed,
	};
	char warning[160 + PATH_MAX];

	snprintf(warning, sizeof(warning),
		 "If this is interrupted by SIGKILL, a crash or a power failure, the original\n"
		 "contents are lost%s%s.\n",
		 file ? ", but for the copy in " : "; --save COPY keeps one", file ? file : "");
	o.warning = warning;
	return overwrite_confirm(&o);
}

static int prepare(struct write_test *t)
{
	struct selftest *st = t->st;
	int ret;

	t->saved = direct_alloc(t->bytes);
	t->image = direct_alloc(t->bytes);
	t->seen = direct_alloc(t->bytes);
	if (!t->saved || !t->image || !t->seen)
		return report_no_memory();
	ns_cache_write_back(&st->ns, t->first * st->info.out_block_size, t->bytes);
	ret = direct_read(&st->direct, t->saved, t->first, t->bytes);
	if (ret)
		return report_error(TOOL_FAILED, "cannot-save",
				    "cannot read what is there now: %s; nothing was written",
				    strerror(-ret));
	memcpy(t->image, t->saved, t->bytes);
	ret = confirm(t);
	return ret ? ret : save_to_file(t);
}

int selftest_write_prepare(struct selftest *st)
{
	struct write_test *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return report_no_memory();
	t->st = st;
	st->write_test = t;
	ret = set_range(t);
	return ret ? ret : prepare(t);
}

void selftest_write(struct selftest *st, const struct exporter *list, int count)
{
	for (int i = 0; i < count && !stop_requested(); i++)
		write_exporter(st->write_test, &list[i]);
	if (st->write_test->wrote)
		restore(st->write_test);
}

void selftest_write_free(struct selftest *st)
{
	struct write_test *t = st->write_test;

	if (!t)
		return;
	free(t->saved);
	free(t->image);
	free(t->seen);
	free(t);
	st->write_test = NULL;
}
