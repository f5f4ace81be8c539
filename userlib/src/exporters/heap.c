// SPDX-License-Identifier: MIT
/* DMA heaps. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-heap.h>

#include "exporter.h"

static bool is_file_name(const char *heap)
{
	return *heap && !strchr(heap, '/') && strlen(heap) <= NAME_MAX;
}

static bool takes(const char *argument)
{
	return !argument || is_file_name(argument);
}

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	const char *heap = argument ? argument : "system";
	struct dma_heap_allocation_data alloc = {
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	char path[sizeof("/dev/dma_heap/") + NAME_MAX];
	int dev, ret;

	if (!size)
		return -EINVAL;

	ret = round_size(&size, (uint64_t)sysconf(_SC_PAGESIZE));
	if (ret)
		return ret;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap);
	dev = open(path, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	alloc.len = size;
	ret = ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &alloc) < 0 ? -errno : 0;
	close(dev);
	return ret ? ret : buffer_new((int)alloc.fd, buf);
}

const struct exporter exporter_heap = {
	.takes = takes,
	.create = create,
};
