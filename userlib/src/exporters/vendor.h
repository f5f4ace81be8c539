/* SPDX-License-Identifier: MIT */
/*
 * What the exporters of GPU memory share: they open a vendor's library for each buffer, and
 * know devices by numbers. Knows no vendor.
 */
#ifndef NVMEDMABUF_VENDOR_H
#define NVMEDMABUF_VENDOR_H

#include "exporter.h"

#pragma GCC visibility push(hidden)

/* For @takes: no argument, or the number of a device. */
bool takes_number(const char *argument);

/**
 * struct vendor - how a vendor's library makes a dma-buf
 * @soname: of the library
 * @symbols: names of its functions; ends with NULL
 * @functions: where in what a buffer keeps their addresses go
 * @kept: bytes of what a buffer keeps, all of them 0 at first
 * @unit: what sizes are rounded up to, in bytes; 0 for pages
 * @export: allocates @size bytes on device @number; returns a dma-buf or -errno
 * @release: releases what @export has left in @kept, also after it failed
 */
struct vendor {
	const char *soname;
	const char *const *symbols;
	size_t functions;
	size_t kept;
	uint64_t unit;
	int (*export)(void *kept, unsigned int number, uint64_t size);
	void (*release)(void *kept);
};

/* For @symbols: the member of @type, which has function pointers alone, that calls @symbol */
#define VENDOR_SYMBOL(type, member, symbol) [offsetof(type, member) / sizeof(void *)] = symbol

/* How many entries @symbols has */
#define VENDOR_SYMBOLS(type) (sizeof(type) / sizeof(void *) + 1)

/**
 * vendor_create - make a buffer in the memory of a GPU, as @create of struct exporter
 * @vendor: whose GPU
 * @argument: the number of the device, or NULL: 0
 *
 * Return: 0; -EINVAL or -EOVERFLOW if @size is wrong; -ELIBACC; -ENOSYS; -ENOMEM; or what the
 * vendor's library says.
 */
int vendor_create(const struct vendor *vendor, const char *argument, uint64_t size,
		  struct nvmedmabuf_buffer **buf);

#pragma GCC visibility pop

#endif /* NVMEDMABUF_VENDOR_H */
