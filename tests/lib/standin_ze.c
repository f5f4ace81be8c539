// SPDX-License-Identifier: MIT
/*
 * Stands in for libze_loader.so.1: a driver with one device, and one with two. One allocation
 * at a time, whose descriptor stays the library's.
 */
#include "standin.h"

#include <stddef.h>
#include <unistd.h>

#define SUCCESS		     0
#define OUT_OF_DEVICE_MEMORY 0x70000003
#define UNINITIALIZED	     0x78000001

#define DRIVERS 2
#define DEVICES 3
#define ADDRESS ((void *)0x7f5500000000)
#define DMA_BUF 2

/* As the vendor's header has them. */
struct base {
	uint32_t stype;
	const void *next;
};

struct desc {
	struct base base;
	uint32_t flags;
	uint32_t ordinal;
};

struct external_memory {
	struct base base;
	uint32_t types[4];
};

struct allocation {
	struct base base;
	uint32_t type;
	uint64_t id;
	uint64_t page_size;
};

struct export_fd {
	struct base base;
	uint32_t flags;
	int fd;
};

static char drivers[DRIVERS], devices[DEVICES], contexts[DRIVERS];
static bool initialised, created;
static int owner; /* whose context there is */
static void *allocated;
static int fd = -1;

int zeInit(uint32_t flags);
int zeDriverGet(uint32_t *count, void **list);
int zeDeviceGet(void *driver, uint32_t *count, void **list);
int zeDeviceGetExternalMemoryProperties(void *device, struct external_memory *properties);
int zeContextCreate(void *driver, const struct desc *desc, void **context);
int zeContextDestroy(void *context);
int zeMemAllocDevice(void *context, const struct desc *desc, size_t size, size_t alignment,
		     void *device, void **address);
int zeMemFree(void *context, void *address);
int zeMemGetAllocProperties(void *context, const void *address, struct allocation *properties,
			    void **device);

int zeInit(uint32_t flags)
{
	expect(flags == 1);
	if (standin_fails(__func__))
		return standin.fail_with;
	if (standin.trait == ZE_NO_DRIVER)
		return UNINITIALIZED;
	initialised = true;
	return SUCCESS;
}

static void give(uint32_t *count, void **list, char *from, uint32_t have)
{
	if (!*count || *count > have)
		*count = have;
	for (uint32_t i = 0; list && i < *count; i++)
		list[i] = from + i;
}

int zeDriverGet(uint32_t *count, void **list)
{
	expect(initialised);
	expect(count);
	if (standin_fails(__func__))
		return standin.fail_with;
	give(count, list, drivers, DRIVERS);
	return SUCCESS;
}

int zeDeviceGet(void *driver, uint32_t *count, void **list)
{
	expect(initialised);
	expect(driver == &drivers[0] || driver == &drivers[1]);
	expect(count);
	if (standin_fails(__func__))
		return standin.fail_with;
	if (driver == &drivers[0])
		give(count, list, devices, 1);
	else
		give(count, list, devices + 1, 2);
	return SUCCESS;
}

static bool is_device(const void *device)
{
	return device == &devices[0] || device == &devices[1] || device == &devices[2];
}

int zeDeviceGetExternalMemoryProperties(void *device, struct external_memory *properties)
{
	expect(initialised);
	expect(is_device(device));
	expect(properties->base.stype == 0xc);
	expect(!properties->base.next);
	if (standin_fails(__func__))
		return standin.fail_with;
	/* What can be imported, and what with images, is another matter. */
	properties->types[0] = 3;
	properties->types[1] = standin.trait == ZE_NO_DMABUF ? 1 : 3;
	properties->types[2] = properties->types[3] = 2;
	return SUCCESS;
}

int zeContextCreate(void *driver, const struct desc *desc, void **context)
{
	expect(initialised);
	expect(driver == &drivers[0] || driver == &drivers[1]);
	expect(desc->base.stype == 0xd);
	expect(!desc->base.next);
	expect(!desc->flags);
	expect(context);
	expect(!created);
	if (standin_fails(__func__))
		return standin.fail_with;
	created = true;
	owner = (int)((char *)driver - drivers);
	*context = &contexts[owner];
	standin.live++;
	return SUCCESS;
}

int zeContextDestroy(void *context)
{
	expect(created && context == &contexts[owner]);
	expect(!allocated);
	created = false;
	standin.live--;
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int zeMemAllocDevice(void *context, const struct desc *desc, size_t size, size_t alignment,
		     void *device, void **address)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct desc *export = desc->base.next;

	expect(created && context == &contexts[owner]);
	expect(desc->base.stype == 0x15);
	expect(!desc->flags);
	expect(!desc->ordinal);
	expect(export && export->base.stype == 0x18);
	expect(!export->base.next);
	expect(export->flags == DMA_BUF);
	expect(size && size % page == 0);
	expect(alignment == page);
	expect(is_device(device));
	expect((device == &devices[0]) == (owner == 0));
	expect(address);
	expect(!allocated);
	if (standin_fails(__func__))
		return standin.fail_with;
	standin.number = (unsigned int)((char *)device - devices);
	standin.size = size;
	allocated = *address = ADDRESS;
	standin.live++;
	return SUCCESS;
}

/* With the memory goes the descriptor that was given away. */
int zeMemFree(void *context, void *address)
{
	expect(created && context == &contexts[owner]);
	expect(address && address == allocated);
	if (fd >= 0)
		expect(!close(fd));
	fd = -1;
	allocated = NULL;
	standin.live--;
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int zeMemGetAllocProperties(void *context, const void *address, struct allocation *properties,
			    void **device)
{
	struct export_fd *export = (void *)properties->base.next;

	expect(created && context == &contexts[owner]);
	expect(address && address == allocated);
	expect(properties->base.stype == 0x17);
	expect(export && export->base.stype == 0x1a);
	expect(!export->base.next);
	expect(export->flags == DMA_BUF);
	if (standin_fails(__func__))
		return standin.fail_with;
	if (fd < 0)
		fd = standin_export(standin.size);
	if (fd < 0)
		return OUT_OF_DEVICE_MEMORY;
	properties->type = 2;
	properties->id = 1;
	properties->page_size = 65536;
	export->fd = fd;
	if (device)
		*device = &devices[standin.number];
	return SUCCESS;
}
