/* SPDX-License-Identifier: MIT */
/*
 * Small libraries that stand in for vendors' libraries of GPU memory: they check what they are
 * called with, and in which order, and fail when they are told to. Each is a file
 * standin_VENDOR.c, built under the vendor's file name. A test finds the structure @standin in
 * it. Without a test, as for the tool with LD_LIBRARY_PATH, their memory is that of udmabuf.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stdint.h>

/**
 * struct standin - a library that stands in for a vendor's
 * @calls: how many calls were made
 * @fail_at: which call fails, counted from 1; 0 if none does
 * @fail_with: what it returns
 * @failed: the name of the call that failed
 * @wrong: what was wrong first, and in which call; empty if nothing was
 * @live: things that were made or retained, and not released
 * @number: of the device that memory was allocated of
 * @size: bytes of the last allocation
 * @exported: gives a dma-buf of @size bytes, or -1
 * @trait: what a test can tell this vendor's devices to be, see there; 0 is ordinary
 */
struct standin {
	unsigned int calls;
	unsigned int fail_at;
	int fail_with;
	const char *failed;
	char wrong[256];
	int live;
	unsigned int number;
	uint64_t size;
	int (*exported)(uint64_t size);
	int trait;
};

extern struct standin standin;

/* Traits: of all vendors, */
#define DMABUF_IS_SMALLER  1 /* of one byte */
/* of CUDA, */
#define CUDA_NO_DMABUF	   2
#define CUDA_OLD	   3 /* before 12.8: the PCIe flag is an invalid value */
#define CUDA_COHERENT	   4 /* the PCIe flag is taken */
/* of HSA, */
#define HSA_INSIDE_A_BLOCK 5 /* the memory does not begin where its dma-buf does */
#define HSA_NO_POOL	   6
#define HSA_ONLY_CPU	   7
/* of Level Zero */
#define ZE_NO_DMABUF	   8
#define ZE_NO_DRIVER	   9

/*
 * Every function asks once: does it fail, and return standin.fail_with? One that releases
 * something does so first: it may tell of what went wrong earlier.
 */
bool standin_fails(const char *call);

void standin_expect(bool good, const char *call, const char *what);
#define expect(condition) standin_expect(condition, __func__, #condition)

/* The dma-buf of an allocation, or -1 */
int standin_export(uint64_t size);

#endif /* STANDIN_H */
