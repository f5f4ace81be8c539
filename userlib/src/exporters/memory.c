// SPDX-License-Identifier: MIT
/* Memory of this process, which the module exports. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memfd.h"

/* Has the module make a dma-buf of memory; returns it or -errno. */
static int memory_export(void *addr, uint64_t size)
{
	struct nvme_dmabuf_export export = {
		.size = sizeof(export),
		.addr = (uintptr_t)addr,
		.length = size,
		.access = NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE,
	};
	int dev, ret;

	dev = open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	ret = ioctl(dev, NVME_DMABUF_IOC_EXPORT, &export) < 0 ?
		      -errno : export.out_dmabuf_fd;
	close(dev);
	return ret;
}

static bool takes(const char *argument)
{
	return !argument || strcmp(argument, "huge") == 0;
}

/* What stands after the colon can only be "huge". */
static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	void *addr;
	int memfd, ret;

	memfd = memfd_for(&size, argument);
	if (memfd < 0)
		return memfd;
	ret = ftruncate(memfd, (off_t)size) < 0 ? -errno : 0;
	if (!ret && size != (size_t)size)
		ret = -ENOMEM;
	if (ret) {
		close(memfd);
		return ret;
	}

	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ret = addr == MAP_FAILED ? -errno : 0;
	close(memfd);
	if (ret)
		return ret;

	ret = memory_export(addr, size);
	if (ret >= 0)
		ret = buffer_new(ret, buf);
	if (ret < 0)
		munmap(addr, size);
	else
		(*buf)->addr = addr;
	return ret;
}

const struct exporter exporter_memory = {
	.takes = takes,
	.create = create,
};
