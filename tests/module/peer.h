/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PCI device whose memory others may use: QEMU's ivshmem device, bound to
 * vfio-pci, which exports its BAR as dma-bufs. Knows nothing about NVMe.
 */
#ifndef TESTS_MODULE_PEER_H
#define TESTS_MODULE_PEER_H

#include "buffer.h"
#include "common.h"

#define PEER_BAR 2

/** struct peer_range - a part of the BAR, on page bounds */
struct peer_range {
	uint64_t offset;
	uint64_t length;
};

/**
 * struct peer - the device, open
 * @address: where it is
 * @container, @group, @device: of VFIO
 * @config: offset of the configuration space in @device
 * @bar: offset of the BAR in @device
 * @size: bytes of the BAR
 * @can_reset: VFIO_DEVICE_RESET works
 */
struct peer {
	struct pci_address address;
	int container;
	int group;
	int device;
	uint64_t config;
	uint64_t bar;
	uint64_t size;
	bool can_reset;
};

/** peer_is_allowed - may devices of this host bridge reach each other, by the kernel's list? */
bool peer_is_allowed(void);

/**
 * peer_bind - bind it to vfio-pci, or skip
 * @number: as for peer_open()
 * @group: gets the number of its IOMMU group
 */
void peer_bind(struct pci_address *address, unsigned int number, unsigned int *group);

/**
 * peer_open - bind it to vfio-pci and open it, or skip; its memory is disabled
 * @number: 0, or 1 for the one in a slot, which can be reset and unplugged
 */
void peer_open(struct peer *p, unsigned int number);

/** peer_close - a device that another process has open is not closed */
void peer_close(struct peer *p);

/** peer_set_memory - Memory Space Enable; VFIO revokes what it has exported without it */
void peer_set_memory(const struct peer *p, bool enabled);

/** peer_reset - VFIO_DEVICE_RESET; returns 0 or -errno */
int peer_reset(const struct peer *p);

/** peer_export - parts of the BAR, in this order, as a dma-buf; returns it or -errno */
int peer_export(const struct peer *p, const struct peer_range *ranges, uint32_t count);

/** peer_buffer - the same, to be freed by buffer_free(), mapped for the CPU as well */
void peer_buffer(const struct peer *p, const struct peer_range *ranges, uint32_t count,
		 struct buffer *buffer);

/** peers_release - give all of them back; none is open */
void peers_release(void);

#endif
