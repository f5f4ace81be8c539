// SPDX-License-Identifier: MIT
/*
 * What is to be known of a regular file in place of a namespace: holes, the last block,
 * whether somebody changed it, and the file system that it is on.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "device.h"

void file_count_tail(const struct ns *ns, struct nvme_dmabuf_ns_info *info)
{
	uint64_t bs = info->out_block_size;

	if (ns->is_file)
		info->out_capacity = ns->bytes / bs + !!(ns->bytes % bs);
}

void file_leave_out_tail(const struct ns *ns, struct nvme_dmabuf_ns_info *info)
{
	if (ns->is_file)
		info->out_capacity = ns->bytes / info->out_block_size;
}

/* A file system that knows of no holes says that all is data. */
uint64_t file_run(const struct ns *ns, uint64_t at, bool *is_hole)
{
	off_t data = lseek(ns->fd, at, SEEK_DATA), end;

	*is_hole = data < 0 ? errno == ENXIO : (uint64_t)data > at;
	if (data < 0)
		return ns->bytes;
	end = *is_hole ? data : lseek(ns->fd, at, SEEK_HOLE);
	return end < 0 || (uint64_t)end > ns->bytes ? ns->bytes : (uint64_t)end;
}

bool file_has_holes(const struct ns *ns, uint64_t start, uint64_t end)
{
	bool is_hole;

	return start < end && (file_run(ns, start, &is_hole) < end || is_hole);
}

int file_check_holes(const struct ns *ns, const struct nvme_dmabuf_ns_info *info, uint64_t start,
		     uint64_t count)
{
	uint64_t bs = info->out_block_size, first = start * bs, end;
	bool is_hole;

	if (!ns->is_file || !file_has_holes(ns, first, first + count * bs))
		return TOOL_OK;
	end = file_run(ns, first, &is_hole);
	if (!is_hole)
		first = end;
	return report_error(
		TOOL_REFUSED, nvmedmabuf_reason_name(NVME_DMABUF_REASON_FILE_HOLE),
		"%s has a hole at block %" PRIu64
		", which no drive can read; choose blocks without any, or make a copy without holes: cp --sparse=never --reflink=never",
		ns->path, first / bs);
}

int file_reopen(const struct ns *ns, int open_flags)
{
	struct stat st;
	int fd;

	/* It waits for commands in flight, for as long as the drive takes. */
	do
		fd = open(ns->path, open_flags | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && st.st_dev == ns->dev && st.st_ino == ns->inode)
		return fd;
	close(fd);
	return -ENXIO;
}

int64_t file_pread(int fd, uint8_t *mem, uint64_t length, uint64_t at)
{
	uint64_t done = 0;
	ssize_t n = 1;

	while (done < length && n) {
		n = pread(fd, mem + done, length - done, at + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
	}
	return done;
}

bool file_has_changed(const struct ns *ns)
{
	struct stat st;

	return fstat(ns->fd, &st) || (uint64_t)st.st_size != ns->bytes ||
	       st.st_mtim.tv_sec != ns->modified.tv_sec ||
	       st.st_mtim.tv_nsec != ns->modified.tv_nsec;
}

int file_get_mount(const struct ns *ns, struct mount *m)
{
	struct statx stx;
	FILE *mounts;
	bool found;

	if (statx(ns->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx))
		return -errno;
	if (!(stx.stx_mask & STATX_MNT_ID))
		return -ENOSYS;
	mounts = mounts_open();
	if (!mounts)
		return -errno;
	do {
		found = mounts_next(mounts, m);
	} while (found && m->id != stx.stx_mnt_id);
	fclose(mounts);
	return found ? 0 : -ENOENT;
}
