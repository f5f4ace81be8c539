// SPDX-License-Identifier: MIT
/*
 * Memory of PCI devices: a BAR of one that is bound to vfio-pci, on Linux 6.19 and later. The
 * kernel takes the memory back when the device's file is closed, so that the buffer keeps it
 * open, and with it the group, which nobody else can use meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "exporter.h"

/* Older headers lack it. */
#define FEATURE_DMA_BUF 11

/* struct vfio_device_feature, and the data of FEATURE_DMA_BUF for one range */
struct feature_dma_buf {
	uint32_t argsz;
	uint32_t feature_flags;
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr_ranges;
	uint64_t offset;
	uint64_t length;
};

#define BARS	6
#define ANY_BAR BARS

struct target {
	char address[sizeof("12345678:12:12.1")];
	unsigned int bar;
};

/* What keeps the memory the buffer's. */
struct vfio {
	int container;
	int group;
	int device;
};

/* DDDD:BB:DD.F[:BAR] */
static bool parse(const char *text, struct target *target)
{
	unsigned int domain, bus, device, function;
	const char *bar;
	int length = 0;

	/* sscanf() alone would take signs and spaces. */
	if (!text || text[strspn(text, "0123456789abcdefABCDEF:.")] ||
	    sscanf(text, "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function,
		   &length) != 4 ||
	    device > 31 || function > 7)
		return false;
	snprintf(target->address, sizeof(target->address), "%04x:%02x:%02x.%x",
		 domain, bus & 0xff, device, function);

	bar = text + length;
	target->bar = ANY_BAR;
	if (!*bar)
		return true;
	if (bar[0] != ':' || bar[1] < '0' || bar[1] >= '0' + BARS || bar[2])
		return false;
	target->bar = (unsigned int)(bar[1] - '0');
	return true;
}

static bool takes(const char *argument)
{
	struct target target;

	return parse(argument, &target);
}

/* Opens /dev/vfio/<number of the device's IOMMU group>. */
static int open_group(const char *address)
{
	char link[64], group[PATH_MAX], path[sizeof("/dev/vfio/") + NAME_MAX];
	const char *number;
	ssize_t length;
	int fd;

	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s/iommu_group",
		 address);
	length = readlink(link, group, sizeof(group) - 1);
	if (length < 0)
		return -errno;
	group[length] = '\0';
	number = strrchr(group, '/');
	snprintf(path, sizeof(path), "/dev/vfio/%.*s", NAME_MAX,
		 number ? number + 1 : group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_device(const char *address, struct vfio *vfio)
{
	vfio->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (vfio->container < 0)
		return -errno;

	vfio->group = open_group(address);
	if (vfio->group < 0)
		return vfio->group;

	if (ioctl(vfio->group, VFIO_GROUP_SET_CONTAINER, &vfio->container) < 0 ||
	    ioctl(vfio->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		return -errno;
	vfio->device = ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD, address);
	return vfio->device < 0 ? -errno : 0;
}

static void release(void *kept)
{
	struct vfio *vfio = kept;

	if (vfio->device >= 0)
		close(vfio->device);
	if (vfio->group >= 0)
		close(vfio->group);
	if (vfio->container >= 0)
		close(vfio->container);
	free(vfio);
}

/* Is BAR @bar memory of @size bytes? Its place in the device's file goes to *@offset. */
static int look_at_bar(int device, unsigned int bar, uint64_t size,
		       uint64_t *offset)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0)
		return -errno;
	/* What cannot be mapped is I/O ports, or less than a page. */
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP) || info.size < size)
		return -EINVAL;
	*offset = info.offset;
	return 0;
}

static int choose_bar(int device, unsigned int *bar, uint64_t size,
		      uint64_t *offset)
{
	int ret = -EINVAL;

	if (*bar != ANY_BAR)
		return look_at_bar(device, *bar, size, offset);
	for (unsigned int i = 0; i < BARS && ret == -EINVAL; i++) {
		ret = look_at_bar(device, i, size, offset);
		*bar = i;
	}
	return ret;
}

/* The start of a BAR as a buffer, which does not keep the device yet. */
static int export_bar(int device, unsigned int bar, uint64_t size,
		      struct nvmedmabuf_buffer **buf)
{
	struct feature_dma_buf get = {
		.argsz = sizeof(get),
		.feature_flags = FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET,
		.open_flags = O_RDWR | O_CLOEXEC,
		.nr_ranges = 1,
		.length = size,
	};
	struct nvmedmabuf_buffer *new;
	uint64_t offset = 0;
	int ret;

	ret = choose_bar(device, &bar, size, &offset);
	if (ret)
		return ret;

	get.region_index = bar;
	ret = ioctl(device, VFIO_DEVICE_FEATURE, &get);
	ret = ret < 0 ? -errno : buffer_new(ret, &new);
	if (ret)
		return ret;
	new->cpu_fd = device;
	new->cpu_offset = (off_t)offset;
	*buf = new;
	return 0;
}

static int create(const char *argument, uint64_t size,
		  struct nvmedmabuf_buffer **buf)
{
	struct target target;
	struct vfio *vfio;
	int ret;

	if (!size || !parse(argument, &target))
		return -EINVAL;
	ret = round_size(&size, (uint64_t)sysconf(_SC_PAGESIZE));
	if (ret)
		return ret;

	vfio = malloc(sizeof(*vfio));
	if (!vfio)
		return -ENOMEM;
	*vfio = (struct vfio){ .container = -1, .group = -1, .device = -1 };

	ret = open_device(target.address, vfio);
	if (!ret)
		ret = export_bar(vfio->device, target.bar, size, buf);
	if (ret) {
		release(vfio);
		return ret;
	}
	(*buf)->kept = vfio;
	(*buf)->release = release;
	return 0;
}

const struct exporter exporter_vfio = {
	.takes = takes,
	.create = create,
};
