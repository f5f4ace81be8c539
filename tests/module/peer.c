// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's ivshmem device under vfio-pci. See peer.h.
 */
#define _GNU_SOURCE
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#define VENDOR	  0x1af4
#define DEVICE_ID 0x1110

/* Since Linux 6.19; the host's headers may be older. */
#define FEATURE_DMA_BUF 11

struct feature_dma_buf {
	struct vfio_device_feature feature;
	uint32_t region_index;
	uint32_t open_flags;
	uint32_t flags;
	uint32_t nr_ranges;
	struct peer_range ranges[16];
};

/* Any AMD CPU since Zen is; QEMU's host bridges are not. */
bool peer_is_allowed(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	bool amd = false, zen = false;
	unsigned int family;
	char line[512];

	check(f);
	while (fgets(line, sizeof(line), f)) {
		amd |= !strncmp(line, "vendor_id", 9) && strstr(line, "AuthenticAMD");
		if (sscanf(line, "cpu family : %u", &family) == 1)
			zen = family >= 0x17;
	}
	fclose(f);
	return amd && zen;
}

static void device_file(const struct pci_address *address, const char *name, char *path,
			size_t size)
{
	snprintf(path, size, "/sys/bus/pci/devices/%s/%s", address->name, name);
}

static bool has_driver(const struct pci_address *address, char *name, size_t size)
{
	char path[128], real[PATH_MAX];

	device_file(address, "driver", path, sizeof(path));
	if (!realpath(path, real))
		return false;
	snprintf(name, size, "%s", strrchr(real, '/') + 1);
	return true;
}

static void bind(const struct pci_address *address)
{
	char path[128], driver[32];

	if (has_driver(address, driver, sizeof(driver))) {
		if (!strcmp(driver, "vfio-pci"))
			return;
		skip("the peer %s is the driver's %s", address->name, driver);
	}
	device_file(address, "driver_override", path, sizeof(path));
	check(file_put(path, "vfio-pci"));
	check(file_put("/sys/bus/pci/drivers_probe", address->name));
	check(has_driver(address, driver, sizeof(driver)) && !strcmp(driver, "vfio-pci"));
}

void peers_release(void)
{
	struct pci_address address;
	char path[128], driver[32];

	for (unsigned int i = 0; pci_find(VENDOR, DEVICE_ID, i, &address); i++) {
		if (!has_driver(&address, driver, sizeof(driver)) || strcmp(driver, "vfio-pci"))
			continue;
		file_put("/sys/bus/pci/drivers/vfio-pci/unbind", address.name);
		device_file(&address, "driver_override", path, sizeof(path));
		file_put(path, "\n");
	}
}

static uint64_t region(int device, uint32_t index, uint64_t *size)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	check_sys(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info));
	*size = info.size;
	return info.offset;
}

void peer_bind(struct pci_address *address, unsigned int number, unsigned int *group)
{
	char path[128], real[PATH_MAX];

	require_disposable();
	if (!pci_find(VENDOR, DEVICE_ID, number, address))
		skip("no ivshmem device here");
	device_file(address, "iommu_group", path, sizeof(path));
	if (!realpath(path, real))
		skip("vfio-pci needs an IOMMU");
	if (!run_quietly("modprobe vfio-pci"))
		skip("this kernel has no vfio-pci");
	bind(address);
	*group = strtoul(strrchr(real, '/') + 1, NULL, 10);
}

void peer_open(struct peer *p, unsigned int number)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	unsigned int group;
	char path[32];
	uint64_t size;

	memset(p, 0, sizeof(*p));
	peer_bind(&p->address, number, &group);
	snprintf(path, sizeof(path), "/dev/vfio/%u", group);
	p->container = check_sys(open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
	p->group = open(path, O_RDWR | O_CLOEXEC);
	check_that(p->group >= 0, "%s: %m", path);
	check_sys(ioctl(p->group, VFIO_GROUP_SET_CONTAINER, &p->container));
	check_sys(ioctl(p->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	p->device = check_sys(ioctl(p->group, VFIO_GROUP_GET_DEVICE_FD, p->address.name));
	check_sys(ioctl(p->device, VFIO_DEVICE_GET_INFO, &info));
	p->can_reset = info.flags & VFIO_DEVICE_FLAGS_RESET;
	p->config = region(p->device, VFIO_PCI_CONFIG_REGION_INDEX, &size);
	p->bar = region(p->device, PEER_BAR, &p->size);
	check(p->size);
	peer_set_memory(p, false);
}

void peer_close(struct peer *p)
{
	check_sys(close(p->device));
	check_sys(close(p->group));
	check_sys(close(p->container));
}

void peer_set_memory(const struct peer *p, bool enabled)
{
	uint16_t command;

	check_eq(pread(p->device, &command, sizeof(command), p->config + PCI_COMMAND),
		 sizeof(command));
	command &= ~PCI_COMMAND_MEMORY;
	if (enabled)
		command |= PCI_COMMAND_MEMORY;
	check_eq(pwrite(p->device, &command, sizeof(command), p->config + PCI_COMMAND),
		 sizeof(command));
}

int peer_reset(const struct peer *p)
{
	return ioctl(p->device, VFIO_DEVICE_RESET) ? -errno : 0;
}

int peer_export(const struct peer *p, const struct peer_range *ranges, uint32_t count)
{
	struct feature_dma_buf get = {
		.feature = {
			.argsz = sizeof(get),
			.flags = FEATURE_DMA_BUF | VFIO_DEVICE_FEATURE_GET,
		},
		.region_index = PEER_BAR,
		.open_flags = O_RDWR | O_CLOEXEC,
		.nr_ranges = count,
	};
	int fd;

	check(count <= ARRAY_SIZE(get.ranges));
	memcpy(get.ranges, ranges, count * sizeof(*ranges));
	fd = ioctl(p->device, VFIO_DEVICE_FEATURE, &get);
	return fd < 0 ? -errno : fd;
}

void peer_buffer(const struct peer *p, const struct peer_range *ranges, uint32_t count,
		 struct buffer *buffer)
{
	uint64_t at = 0;

	*buffer = (struct buffer){ .memfd = -1 };
	for (uint32_t i = 0; i < count; i++)
		buffer->size += ranges[i].length;
	buffer->fd = peer_export(p, ranges, count);
	check_that(buffer->fd >= 0, "vfio-pci exports no dma-buf: %s", strerror(-buffer->fd));
	buffer->addr = pages_alloc(buffer->size);
	for (uint32_t i = 0; i < count; at += ranges[i++].length)
		check_sys(mmap(buffer->addr + at, ranges[i].length, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, p->device, p->bar + ranges[i].offset));
}
