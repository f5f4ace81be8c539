// SPDX-License-Identifier: MIT
/*
 * The kernel's own reads and writes of a namespace or a file, past the page cache and past
 * the module: what others are compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

int direct_open_or_report(struct direct *d, const struct ns *ns,
			  const struct nvme_dmabuf_ns_info *info, bool write)
{
	d->ns = ns;
	d->block_size = info->out_block_size;
	d->fd = open(ns->path, (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0)
		return report_error(TOOL_REFUSED, "cannot-open",
				    "cannot open %s for direct I/O: %s", ns->path, strerror(errno));
	/* A map by which a file is written takes commands only while nobody has the file open. */
	if (ns->writes)
		direct_close(d);
	return TOOL_OK;
}

void direct_close(struct direct *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}

/*
 * Bytes at once: Linux 6.1 has drives put metadata of more than a page beside its buffer,
 * where it keeps metadata apart. That page is one of 512 blocks.
 */
#define PIECE (128 << 10)

uint8_t *direct_alloc(uint64_t length)
{
	return aligned_alloc(4096, (length + 4095) / 4096 * 4096);
}

static int transfer_pieces(int fd, bool write, uint8_t *mem, uint64_t length, uint64_t at)
{
	while (length) {
		size_t piece = length < PIECE ? length : PIECE;
		ssize_t n = write ? pwrite(fd, mem, piece, at) : pread(fd, mem, piece, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		mem += n;
		at += n;
		length -= n;
	}
	return write && fsync(fd) ? -errno : 0;
}

static int transfer(const struct direct *d, bool write, uint8_t *mem, uint64_t slba,
		    uint64_t length)
{
	int fd = d->fd, ret;

	if (fd < 0)
		fd = file_reopen(d->ns, (write ? O_RDWR : O_RDONLY) | O_DIRECT);
	if (fd < 0)
		return fd;
	ret = transfer_pieces(fd, write, mem, length, slba * d->block_size);
	if (fd != d->fd)
		close(fd);
	return ret;
}

int direct_read(const struct direct *d, uint8_t *mem, uint64_t slba, uint64_t length)
{
	return transfer(d, false, mem, slba, length);
}

int direct_write(const struct direct *d, const uint8_t *mem, uint64_t slba, uint64_t length)
{
	return transfer(d, true, (uint8_t *)mem, slba, length);
}
