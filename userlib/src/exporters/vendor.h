/* SPDX-License-Identifier: MIT */
/*
 * What the exporters of GPU memory share: a vendor's library, which is loaded when somebody asks
 * for a buffer, and numbers of devices. Knows no vendor.
 */
#ifndef NVMEDMABUF_VENDOR_H
#define NVMEDMABUF_VENDOR_H

#include "exporter.h"

#pragma GCC visibility push(hidden)

/* For @takes: no argument, or the number of a device. */
bool takes_number(const char *argument);

/* The number of the device: 0 if there is no argument. */
unsigned int device_number(const char *argument);

/**
 * struct vendor_function - a function of a vendor's library
 * @name: its symbol
 * @offset: where its address goes in the structure that vendor_load() fills
 */
struct vendor_function {
	const char *name;
	size_t offset;
};

/* For a list of these: the member of @type that gets the address of function @symbol */
#define VENDOR_FUNCTION(type, member, symbol) { symbol, offsetof(type, member) }

/**
 * vendor_load - load a library, and find functions in it
 * @file: its name, as the dynamic linker takes it
 * @list: the functions, @count of them
 * @to: the structure that gets their addresses
 * @library: gets what vendor_unload() takes
 *
 * Return: 0; -ELIBACC if the library cannot be loaded; -ENOSYS if it lacks a function.
 */
int vendor_load(const char *file, const struct vendor_function *list, size_t count, void *to,
		void **library);

/* The code stays in memory: a vendor's library leaves threads and exit handlers behind. */
void vendor_unload(void *library);

/**
 * vendor_buffer - make a buffer of a vendor's dma-buf
 * @fd: the dma-buf, taken over also on failure
 * @size: what it must have at least, in bytes
 *
 * Return: 0; -EINVAL if it is smaller; -ENOMEM.
 */
int vendor_buffer(int fd, uint64_t size, struct nvmedmabuf_buffer **buf);

#pragma GCC visibility pop

#endif /* NVMEDMABUF_VENDOR_H */
