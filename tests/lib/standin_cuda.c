// SPDX-License-Identifier: MIT
/* Stands in for libcuda.so.1, which has two devices and one allocation at a time. */
#include "standin.h"

#include <stddef.h>
#include <unistd.h>

#define SUCCESS	       0
#define INVALID_VALUE  1
#define INVALID_DEVICE 101
#define NOT_SUPPORTED  801

#define DEVICES 2
#define DEVICE	40 /* the first one's handle */

/* cuMemAlloc() aligns to 256 bytes. */
#define ADDRESS 0x7f5500000300ULL

static bool initialised;
static unsigned int retained[DEVICES];
static char contexts[DEVICES];

/* The calling thread's contexts: below these are the program's, which nobody may pop. */
static void *stack[4];
static unsigned int depth;

static uint64_t allocated;
static unsigned int owner;

int cuInit(unsigned int flags);
int cuDeviceGet(int *device, int number);
int cuDeviceGetAttribute(int *value, int attribute, int device);
int cuDevicePrimaryCtxRetain(void **context, int device);
int cuDevicePrimaryCtxRelease_v2(int device);
int cuCtxPushCurrent_v2(void *context);
int cuCtxPopCurrent_v2(void **context);
int cuMemAlloc_v2(uint64_t *address, size_t size);
int cuMemFree_v2(uint64_t address);
int cuMemGetHandleForAddressRange(void *handle, uint64_t address, size_t size, int type,
				  unsigned long long flags);

static bool is_device(int device)
{
	return device >= DEVICE && device < DEVICE + DEVICES;
}

int cuInit(unsigned int flags)
{
	expect(!flags);
	if (standin_fails(__func__))
		return standin.fail_with;
	initialised = true;
	return SUCCESS;
}

int cuDeviceGet(int *device, int number)
{
	expect(initialised);
	expect(device);
	expect(number >= 0);
	if (standin_fails(__func__))
		return standin.fail_with;
	if (number >= DEVICES)
		return INVALID_DEVICE;
	*device = DEVICE + number;
	return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
	expect(initialised);
	expect(value);
	expect(attribute == 124);
	expect(is_device(device));
	if (standin_fails(__func__))
		return standin.fail_with;
	*value = standin.trait != CUDA_NO_DMABUF;
	return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
	expect(initialised);
	expect(context);
	expect(is_device(device));
	if (standin_fails(__func__))
		return standin.fail_with;
	*context = &contexts[device - DEVICE];
	retained[device - DEVICE]++;
	standin.live++;
	return SUCCESS;
}

/* A context takes its memory along. */
int cuDevicePrimaryCtxRelease_v2(int device)
{
	expect(is_device(device));
	expect(retained[device - DEVICE]);
	expect(!depth);
	standin.live--;
	if (!--retained[device - DEVICE] && allocated && owner == (unsigned int)(device - DEVICE)) {
		allocated = 0;
		standin.live--;
	}
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int cuCtxPushCurrent_v2(void *context)
{
	expect(context == &contexts[0] || context == &contexts[1]);
	expect(retained[(char *)context - contexts]);
	expect(depth < 4);
	if (standin_fails(__func__))
		return standin.fail_with;
	stack[depth++] = context;
	return SUCCESS;
}

int cuCtxPopCurrent_v2(void **context)
{
	expect(context);
	expect(depth);
	*context = stack[--depth];
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int cuMemAlloc_v2(uint64_t *address, size_t size)
{
	expect(depth);
	expect(address);
	expect(size);
	expect(!allocated);
	if (standin_fails(__func__))
		return standin.fail_with;
	owner = (unsigned int)((char *)stack[depth - 1] - contexts);
	standin.number = owner;
	standin.size = size;
	allocated = *address = ADDRESS;
	standin.live++;
	return SUCCESS;
}

int cuMemFree_v2(uint64_t address)
{
	expect(depth && stack[depth - 1] == &contexts[owner]);
	expect(address && address == allocated);
	allocated = 0;
	standin.live--;
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int cuMemGetHandleForAddressRange(void *handle, uint64_t address, size_t size, int type,
				  unsigned long long flags)
{
	static bool flag_refused;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd;

	expect(depth && stack[depth - 1] == &contexts[owner]);
	expect(handle);
	expect(size && size % page == 0);
	expect(address % page == 0);
	expect(allocated && address >= allocated);
	expect(address + size <= allocated + standin.size);
	expect(type == 1);
	/* First with the flag of PCIe, then without any. */
	expect(flags == !flag_refused);
	flag_refused = false;
	if (standin_fails(__func__)) {
		flag_refused = flags && (standin.fail_with == INVALID_VALUE ||
					 standin.fail_with == NOT_SUPPORTED);
		return standin.fail_with;
	}
	if (flags && standin.trait != CUDA_COHERENT) {
		flag_refused = true;
		return standin.trait == CUDA_OLD ? INVALID_VALUE : NOT_SUPPORTED;
	}
	fd = standin_export(size);
	if (fd < 0)
		return NOT_SUPPORTED;
	*(int *)handle = fd;
	return SUCCESS;
}
