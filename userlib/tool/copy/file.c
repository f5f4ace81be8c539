// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf write, to a regular file. The drive overwrites blocks that the file has on it;
 * all else is the file system's to do, which knows what may be seen: it makes room for blocks
 * that the file does not have yet, and writes the end of a file that is no whole block.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "copy.h"

/* Linux 6.17. */
#ifndef FALLOC_FL_WRITE_ZEROES
#define FALLOC_FL_WRITE_ZEROES 0x80
#endif

#define ZEROES_AT_ONCE MIB

static int cannot_write(const struct copy *c)
{
	return report_error(TOOL_FAILED, "output", "cannot write to %s: %s", c->ns.path,
			    strerror(errno));
}

static int write_all(int fd, const uint8_t *from, uint64_t length, uint64_t at)
{
	while (length) {
		ssize_t n = pwrite(fd, from, length, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		from += n;
		at += n;
		length -= n;
	}
	return 0;
}

/* At once where drive and file system can. */
static int write_zeroes(struct copy *c, uint64_t at, uint64_t length)
{
	uint8_t *zeroes;
	int ret = 0;

	c->zeroed += length;
	if (!fallocate(c->ns.fd, FALLOC_FL_WRITE_ZEROES, at, length))
		return TOOL_OK;
	zeroes = calloc(1, ZEROES_AT_ONCE);
	if (!zeroes)
		return report_error(TOOL_FAILED, "no-memory", "%s", strerror(ENOMEM));
	while (!ret && length && !stop_requested()) {
		uint64_t n = length < ZEROES_AT_ONCE ? length : ZEROES_AT_ONCE;

		ret = write_all(c->ns.fd, zeroes, n, at);
		at += n;
		length -= n;
	}
	free(zeroes);
	return ret ? cannot_write(c) : TOOL_OK;
}

static int fill_holes(struct copy *c, uint64_t at, uint64_t end)
{
	while (at < end && !stop_requested()) {
		bool is_hole = true;
		uint64_t run = at < c->ns.bytes ? file_run(&c->ns, at, &is_hole) : end;
		int ret;

		/* Behind the end of the file is nothing either. */
		if (is_hole && run >= c->ns.bytes)
			run = end;
		if (run > end)
			run = end;
		ret = is_hole ? write_zeroes(c, at, run - at) : TOOL_OK;
		if (ret)
			return ret;
		at = run;
	}
	return TOOL_OK;
}

/* No room for all of it: the file gets its size back, unless somebody else has changed that. */
static void undo_growth(const struct copy *c, uint64_t end)
{
	struct stat st;

	if (!fstat(c->ns.fd, &st) && (uint64_t)st.st_size > c->ns.bytes &&
	    (uint64_t)st.st_size <= end && ftruncate(c->ns.fd, c->ns.bytes))
		fprintf(stderr, "nvme-dmabuf: %s is longer than it was, by zeros: %s\n", c->ns.path,
			strerror(errno));
}

int copy_file_prepare(struct copy *c)
{
	uint64_t bs = c->info.out_block_size, first, end, blocks;
	int ret;

	if (__builtin_mul_overflow(c->start, bs, &first) ||
	    __builtin_add_overflow(first, c->total, &end) || end > INT64_MAX)
		return report_usage("--start is too large");
	/* The page cache would have parts without a place on the drive taken for data. */
	if (fdatasync(c->ns.fd))
		return cannot_write(c);
	posix_fadvise(c->ns.fd, 0, 0, POSIX_FADV_DONTNEED);
	stop_on_signals();
	ret = fill_holes(c, first, end - end % bs);
	if (!ret && c->zeroed && fsync(c->ns.fd))
		ret = cannot_write(c);
	if (ret) {
		undo_growth(c, end);
		return ret;
	}
	blocks = end / bs + !!(end % bs);
	if (c->info.out_capacity < blocks)
		c->info.out_capacity = blocks;
	ns_close(&c->ns);
	return TOOL_OK;
}

/* The drive is read, because the page cache forgets what it has: that was written back. */
static int verify_tail(const struct copy *c, int fd, uint64_t length, uint64_t at)
{
	uint8_t *back = malloc(length);
	int64_t n;
	int ret;

	if (!back)
		return report_no_memory();
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	n = file_pread(fd, back, length, at);
	if (n == (int64_t)length)
		ret = copy_compare(c, back, length);
	else
		ret = report_error(TOOL_FAILED, "input", "cannot read back the end of %s: %s",
				   c->ns.path, n < 0 ? strerror(-n) : "it is shorter");
	free(back);
	return ret;
}

int copy_file_tail(struct copy *c, uint64_t length)
{
	uint64_t at = copy_next_block(c) * c->info.out_block_size;
	int fd = file_reopen(&c->ns, O_RDWR), ret = TOOL_OK;

	if (fd < 0) {
		errno = -fd;
		return cannot_write(c);
	}
	if (write_all(fd, c->channel.mem, length, at) || fsync(fd))
		ret = cannot_write(c);
	else if (c->verify)
		ret = verify_tail(c, fd, length, at);
	close(fd);
	if (!ret) {
		c->by_write += length;
		c->done += length;
	}
	return ret;
}
