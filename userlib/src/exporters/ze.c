// SPDX-License-Identifier: MIT
/*
 * Memory of Intel's GPUs, and of others that have a driver for oneAPI Level Zero: its loader,
 * libze_loader.so.1. What is declared here is documented in "oneAPI Level Zero Specification"
 * 1.0 and later, "Core Programming Guide", section "External Memory Import and Export", and
 * "Core API".
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vendor.h"

#define LIBRARY "libze_loader.so.1"

/* More than a machine has. */
#define MAX_DRIVERS 16
#define MAX_DEVICES 64

/* ze_result_t */
#define ZE_RESULT_SUCCESS			 0
#define ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY	 0x70000002
#define ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY	 0x70000003
#define ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS 0x70010000
#define ZE_RESULT_ERROR_UNINITIALIZED		 0x78000001
#define ZE_RESULT_ERROR_UNSUPPORTED_VERSION	 0x78000002
#define ZE_RESULT_ERROR_UNSUPPORTED_FEATURE	 0x78000003
#define ZE_RESULT_ERROR_UNSUPPORTED_SIZE	 0x78000009
#define ZE_RESULT_ERROR_UNSUPPORTED_ENUMERATION	 0x7800000d

/* ze_init_flag_t, ze_external_memory_type_flag_t */
#define ZE_INIT_FLAG_GPU_ONLY		     (1U << 0)
#define ZE_EXTERNAL_MEMORY_TYPE_FLAG_DMA_BUF (1U << 1)

/* ze_structure_type_t */
#define ZE_STRUCTURE_TYPE_DEVICE_EXTERNAL_MEMORY_PROPERTIES 0xc
#define ZE_STRUCTURE_TYPE_CONTEXT_DESC			    0xd
#define ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC		    0x15
#define ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES	    0x17
#define ZE_STRUCTURE_TYPE_EXTERNAL_MEMORY_EXPORT_DESC	    0x18
#define ZE_STRUCTURE_TYPE_EXTERNAL_MEMORY_EXPORT_FD	    0x1a

/* Every structure begins with its type, and the next one in a chain. */

/* ze_context_desc_t */
struct context_desc {
	uint32_t type;
	const void *next;
	uint32_t flags;
};

/* ze_device_external_memory_properties_t */
struct external_memory_properties {
	uint32_t type;
	void *next;
	uint32_t memory_import_types;
	uint32_t memory_export_types;
	uint32_t image_import_types;
	uint32_t image_export_types;
};

/* ze_device_mem_alloc_desc_t */
struct device_mem_alloc_desc {
	uint32_t type;
	const void *next;
	uint32_t flags;
	uint32_t ordinal;
};

/* ze_external_memory_export_desc_t */
struct export_desc {
	uint32_t type;
	const void *next;
	uint32_t flags;
};

/* ze_memory_allocation_properties_t */
struct allocation_properties {
	uint32_t type;
	void *next;
	uint32_t memory_type;
	uint64_t id;
	uint64_t page_size;
};

/* ze_external_memory_export_fd_t */
struct export_fd {
	uint32_t type;
	const void *next;
	uint32_t flags;
	int fd;
};

/* Drivers, devices and contexts are pointers to what is the library's own. */
struct functions {
	unsigned int (*init)(uint32_t flags);
	unsigned int (*driver_get)(uint32_t *count, void **drivers);
	unsigned int (*device_get)(void *driver, uint32_t *count, void **devices);
	unsigned int (*get_external_memory)(void *device,
					    struct external_memory_properties *properties);
	unsigned int (*context_create)(void *driver, const struct context_desc *desc,
				       void **context);
	unsigned int (*context_destroy)(void *context);
	unsigned int (*mem_alloc)(void *context, const struct device_mem_alloc_desc *desc,
				  size_t size, size_t alignment, void *device, void **address);
	unsigned int (*mem_free)(void *context, void *address);
	unsigned int (*get_allocation)(void *context, const void *address,
				       struct allocation_properties *properties, void **device);
};

static const char *const symbols[VENDOR_SYMBOLS(struct functions)] = {
	VENDOR_SYMBOL(struct functions, init, "zeInit"),
	VENDOR_SYMBOL(struct functions, driver_get, "zeDriverGet"),
	VENDOR_SYMBOL(struct functions, device_get, "zeDeviceGet"),
	VENDOR_SYMBOL(struct functions, get_external_memory,
			"zeDeviceGetExternalMemoryProperties"),
	VENDOR_SYMBOL(struct functions, context_create, "zeContextCreate"),
	VENDOR_SYMBOL(struct functions, context_destroy, "zeContextDestroy"),
	VENDOR_SYMBOL(struct functions, mem_alloc, "zeMemAllocDevice"),
	VENDOR_SYMBOL(struct functions, mem_free, "zeMemFree"),
	VENDOR_SYMBOL(struct functions, get_allocation, "zeMemGetAllocProperties"),
};

/* What a buffer keeps: @context and @address are NULL until there are such. */
struct ze {
	struct functions call;
	void *driver;
	void *device;
	void *context;
	void *address;
};

static int error(unsigned int result)
{
	switch (result) {
	case ZE_RESULT_SUCCESS:
		return 0;
	case ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY:
	case ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY:
		return -ENOMEM;
	case ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS:
		return -EACCES;
	case ZE_RESULT_ERROR_UNINITIALIZED: /* no driver has a device */
		return -ENODEV;
	case ZE_RESULT_ERROR_UNSUPPORTED_SIZE:
		return -EINVAL;
	case ZE_RESULT_ERROR_UNSUPPORTED_VERSION:
	case ZE_RESULT_ERROR_UNSUPPORTED_FEATURE:
	case ZE_RESULT_ERROR_UNSUPPORTED_ENUMERATION:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void release(void *kept)
{
	struct ze *ze = kept;

	if (ze->address)
		ze->call.mem_free(ze->context, ze->address);
	if (ze->context)
		ze->call.context_destroy(ze->context);
}

/* The GPUs of all drivers are counted, in their order. */
static int find_device(struct ze *ze, unsigned int number)
{
	uint32_t drivers_count = MAX_DRIVERS, count;
	void *drivers[MAX_DRIVERS], *devices[MAX_DEVICES];
	int ret;

	ret = error(ze->call.init(ZE_INIT_FLAG_GPU_ONLY));
	if (!ret)
		ret = error(ze->call.driver_get(&drivers_count, drivers));
	if (ret)
		return ret;
	for (uint32_t i = 0; i < drivers_count; i++) {
		count = MAX_DEVICES;
		ret = error(ze->call.device_get(drivers[i], &count, devices));
		if (ret)
			return ret;
		if (number < count) {
			ze->driver = drivers[i];
			ze->device = devices[number];
			return 0;
		}
		number -= count;
	}
	return -ENODEV;
}

static int check_device(const struct ze *ze)
{
	struct external_memory_properties properties = {
		.type = ZE_STRUCTURE_TYPE_DEVICE_EXTERNAL_MEMORY_PROPERTIES,
	};
	int ret;

	ret = error(ze->call.get_external_memory(ze->device, &properties));
	if (ret)
		return ret;
	return properties.memory_export_types & ZE_EXTERNAL_MEMORY_TYPE_FLAG_DMA_BUF ? 0 :
										       -EOPNOTSUPP;
}

static int allocate(struct ze *ze, uint64_t size)
{
	const struct context_desc context = { .type = ZE_STRUCTURE_TYPE_CONTEXT_DESC };
	const struct export_desc export = {
		.type = ZE_STRUCTURE_TYPE_EXTERNAL_MEMORY_EXPORT_DESC,
		.flags = ZE_EXTERNAL_MEMORY_TYPE_FLAG_DMA_BUF,
	};
	const struct device_mem_alloc_desc desc = {
		.type = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC,
		.next = &export,
	};
	int ret;

	ret = error(ze->call.context_create(ze->driver, &context, &ze->context));
	if (ret)
		return ret;
	return error(ze->call.mem_alloc(ze->context, &desc, size, (size_t)sysconf(_SC_PAGESIZE),
					ze->device, &ze->address));
}

/* Returns a dma-buf or -errno. */
static int export(const struct ze *ze)
{
	struct export_fd export = {
		.type = ZE_STRUCTURE_TYPE_EXTERNAL_MEMORY_EXPORT_FD,
		.flags = ZE_EXTERNAL_MEMORY_TYPE_FLAG_DMA_BUF,
		.fd = -1,
	};
	struct allocation_properties properties = {
		.type = ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES,
		.next = &export,
	};
	int ret;

	ret = error(ze->call.get_allocation(ze->context, ze->address, &properties, NULL));
	if (ret)
		return ret;
	/*
	 * The specification does not say who closes the descriptor. Intel's driver does, in
	 * zeMemFree(), and gives the same one to whoever asks again.
	 */
	ret = fcntl(export.fd, F_DUPFD_CLOEXEC, 0);
	return ret < 0 ? -errno : ret;
}

static int ze_export(void *kept, unsigned int number, uint64_t size)
{
	struct ze *ze = kept;
	int ret;

	ret = find_device(ze, number);
	if (!ret)
		ret = check_device(ze);
	if (!ret)
		ret = allocate(ze, size);
	return ret ? ret : export(ze);
}

static const struct vendor vendor = {
	.soname = LIBRARY,
	.symbols = symbols,
	.functions = offsetof(struct ze, call),
	.kept = sizeof(struct ze),
	.export = ze_export,
	.release = release,
};

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	return vendor_create(&vendor, argument, size, buf);
}

const struct exporter exporter_ze = {
	.takes = takes_number,
	.create = create,
};
