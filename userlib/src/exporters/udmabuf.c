// SPDX-License-Identifier: MIT
/* Memory of this host through /dev/udmabuf: "udmabuf", and "huge" in huge pages. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/udmabuf.h>

#include "memfd.h"

/* Seals the size of @memfd, which udmabuf demands, and exports all of it. */
static int udmabuf_export(int memfd, uint64_t size)
{
	struct udmabuf_create create = {
		.memfd = memfd,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};
	int dev, fd;

	if (ftruncate(memfd, (off_t)size) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;

	dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	fd = ioctl(dev, UDMABUF_CREATE, &create);
	if (fd < 0)
		fd = -errno;
	close(dev);
	return fd;
}

static int create_of(bool huge, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	int memfd, ret;

	memfd = memfd_for(&size, huge);
	if (memfd < 0)
		return memfd;
	ret = udmabuf_export(memfd, size);
	close(memfd);
	return ret < 0 ? ret : buffer_new(ret, buf);
}

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	(void)argument;
	return create_of(false, size, buf);
}

static int create_huge(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	(void)argument;
	return create_of(true, size, buf);
}

const struct exporter exporter_udmabuf = {
	.takes = takes_nothing,
	.create = create,
};

const struct exporter exporter_huge = {
	.takes = takes_nothing,
	.create = create_huge,
};
