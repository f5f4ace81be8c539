// SPDX-License-Identifier: GPL-2.0-only
/*
 * sync_files. See sync.h.
 */
#define _GNU_SOURCE
#include "sync.h"

#include <poll.h>
#include <sys/ioctl.h>

#include <linux/dma-buf.h>
#include <linux/sync_file.h>

int sync_status(int fd)
{
	struct sync_file_info info = { .num_fences = 0 };

	check_sys(ioctl(fd, SYNC_IOC_FILE_INFO, &info));
	return info.status;
}

bool sync_signals(int fd, int timeout)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return check_sys(poll(&p, 1, timeout)) == 1;
}

int sync_merge(int fd, int other)
{
	struct sync_merge_data args = { .name = "test", .fd2 = other };

	check_sys(ioctl(fd, SYNC_IOC_MERGE, &args));
	return args.fence;
}

int sync_export(const struct exported *b)
{
	struct dma_buf_export_sync_file args = { .flags = DMA_BUF_SYNC_RW };

	if (ioctl(b->fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args))
		skip("this kernel gives no sync_file of a dma-buf: %m");
	return args.fd;
}
