// SPDX-License-Identifier: MIT
/*
 * Memory of NVIDIA's GPUs, by the CUDA driver API as of CUDA 11.7 and later: libcuda.so.1, which
 * comes with the driver. What is declared here is documented in "CUDA Driver API": types and
 * numbers in "Data types used by CUDA driver", functions in "Device Management", "Primary
 * Context Management", "Context Management" and "Memory Management". cuda.h gives functions
 * that have changed another symbol, such as cuMemAlloc_v2.
 *
 * cuMemAlloc() serves: its memory can be exported as it is. Memory of the virtual memory
 * management API can only if it was made for that, and would need four calls more.
 */
#include <errno.h>
#include <unistd.h>

#include "vendor.h"

#define LIBRARY "libcuda.so.1"

/* CUresult */
#define CUDA_SUCCESS		  0
#define CUDA_ERROR_INVALID_VALUE  1
#define CUDA_ERROR_OUT_OF_MEMORY  2
#define CUDA_ERROR_NO_DEVICE	  100
#define CUDA_ERROR_INVALID_DEVICE 101
#define CUDA_ERROR_NOT_PERMITTED  800
#define CUDA_ERROR_NOT_SUPPORTED  801

/* CUdevice_attribute, CUmemRangeHandleType; CUmemRangeFlags, since CUDA 12.8 */
#define CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED	    124
#define CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD	    1
#define CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE 1

/* CUcontext points to what is the driver's own; CUdeviceptr is a number of 64 bits. */
struct functions {
	int (*init)(unsigned int flags);
	int (*device_get)(int *device, int number);
	int (*device_get_attribute)(int *value, int attribute, int device);
	int (*primary_ctx_retain)(void **context, int device);
	int (*primary_ctx_release)(int device);
	int (*ctx_push)(void *context);
	int (*ctx_pop)(void **context);
	int (*mem_alloc)(uint64_t *address, size_t size);
	int (*mem_free)(uint64_t address);
	int (*mem_get_handle)(void *handle, uint64_t address, size_t size, int type,
			      unsigned long long flags);
};

static const char *const symbols[VENDOR_SYMBOLS(struct functions)] = {
	VENDOR_SYMBOL(struct functions, init, "cuInit"),
	VENDOR_SYMBOL(struct functions, device_get, "cuDeviceGet"),
	VENDOR_SYMBOL(struct functions, device_get_attribute, "cuDeviceGetAttribute"),
	VENDOR_SYMBOL(struct functions, primary_ctx_retain, "cuDevicePrimaryCtxRetain"),
	VENDOR_SYMBOL(struct functions, primary_ctx_release, "cuDevicePrimaryCtxRelease_v2"),
	VENDOR_SYMBOL(struct functions, ctx_push, "cuCtxPushCurrent_v2"),
	VENDOR_SYMBOL(struct functions, ctx_pop, "cuCtxPopCurrent_v2"),
	VENDOR_SYMBOL(struct functions, mem_alloc, "cuMemAlloc_v2"),
	VENDOR_SYMBOL(struct functions, mem_free, "cuMemFree_v2"),
	VENDOR_SYMBOL(struct functions, mem_get_handle, "cuMemGetHandleForAddressRange"),
};

/* What a buffer keeps: @context and @address are 0 until there are such. */
struct cuda {
	struct functions call;
	int device;
	void *context;
	uint64_t address;
};

static int error(int result)
{
	switch (result) {
	case CUDA_SUCCESS:
		return 0;
	case CUDA_ERROR_OUT_OF_MEMORY:
		return -ENOMEM;
	case CUDA_ERROR_NO_DEVICE:
	case CUDA_ERROR_INVALID_DEVICE:
		return -ENODEV;
	case CUDA_ERROR_NOT_PERMITTED:
		return -EACCES;
	case CUDA_ERROR_NOT_SUPPORTED:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void release(void *kept)
{
	struct cuda *cuda = kept;
	void *context;

	/* Without the push the memory goes with the context, if nobody else has that. */
	if (cuda->address && !cuda->call.ctx_push(cuda->context)) {
		cuda->call.mem_free(cuda->address);
		cuda->call.ctx_pop(&context);
	}
	if (cuda->context)
		cuda->call.primary_ctx_release(cuda->device);
}

static int open_device(struct cuda *cuda, unsigned int number)
{
	int supported = 0, ret;

	ret = error(cuda->call.init(0));
	if (!ret)
		ret = error(cuda->call.device_get(&cuda->device, (int)number));
	if (!ret)
		ret = error(cuda->call.device_get_attribute(
			&supported, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, cuda->device));
	if (ret)
		return ret;
	if (!supported)
		return -EOPNOTSUPP;
	return error(cuda->call.primary_ctx_retain(&cuda->context, cuda->device));
}

/*
 * A GPU whose memory is coherent with the CPU's, as in Grace Hopper, is reached past PCIe if
 * nothing else is asked for. For other GPUs, and by drivers before CUDA 12.8, the flag is
 * refused; these always map the memory by PCIe.
 */
static int export(struct cuda *cuda, uint64_t address, uint64_t size, int *fd)
{
	int ret;

	ret = cuda->call.mem_get_handle(fd, address, size, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD,
					CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE);
	if (ret == CUDA_ERROR_INVALID_VALUE || ret == CUDA_ERROR_NOT_SUPPORTED)
		ret = cuda->call.mem_get_handle(fd, address, size,
						CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
	return error(ret);
}

/* In the current context. Returns a dma-buf or -errno. */
static int allocate(struct cuda *cuda, uint64_t size)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd = -1, ret;

	/* The range must begin and end with a page of the host. cuMemAlloc() aligns to less. */
	ret = error(cuda->call.mem_alloc(&cuda->address, size + page));
	if (!ret)
		ret = export(cuda, (cuda->address + page - 1) / page * page, size, &fd);
	return ret ? ret : fd;
}

static int cuda_export(void *kept, unsigned int number, uint64_t size)
{
	struct cuda *cuda = kept;
	void *context;
	int ret;

	ret = open_device(cuda, number);
	/* The program may have a current context, and gets it back. */
	if (!ret)
		ret = error(cuda->call.ctx_push(cuda->context));
	if (ret)
		return ret;
	ret = allocate(cuda, size);
	cuda->call.ctx_pop(&context);
	return ret;
}

static const struct vendor vendor = {
	.soname = LIBRARY,
	.symbols = symbols,
	.functions = offsetof(struct cuda, call),
	.kept = sizeof(struct cuda),
	.export = cuda_export,
	.release = release,
};

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	return vendor_create(&vendor, argument, size, buf);
}

const struct exporter exporter_cuda = {
	.takes = takes_number,
	.create = create,
};
