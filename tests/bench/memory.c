// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that all paths read into: a memory file, which io_uring registers as its
 * buffer and udmabuf, or the module, makes a dma-buf of. See bench.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/nvme_dmabuf.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define HUGE_PAGE (2 * MIB)

/* Touches small pages in random order: neighbours get memory of different times. */
static void touch_scattered(uint8_t *addr, uint64_t size)
{
	uint32_t count = size / PAGE, *order = malloc(count * sizeof(*order));

	for (uint32_t i = 0; i < count; i++) {
		uint32_t j = random() % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (uint32_t i = 0; i < count; i++)
		addr[order[i] * PAGE] = 1;
	free(order);
}

/* The physical page behind @addr. */
static uint64_t frame_of(const uint8_t *addr)
{
	static int pagemap = -1;
	uint64_t entry;

	if (pagemap < 0)
		pagemap = check_sys(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	if (pread(pagemap, &entry, sizeof(entry), (uintptr_t)addr / PAGE * sizeof(entry)) !=
	    sizeof(entry))
		die("/proc/self/pagemap: %m");
	return entry & ((1ULL << 55) - 1);
}

/* How many pages follow their neighbour in physical memory. */
static uint32_t count_adjacent(const uint8_t *addr, uint64_t size)
{
	uint64_t last = frame_of(addr), frame;
	uint32_t adjacent = 0;

	for (uint64_t at = PAGE; at < size; at += PAGE, last = frame) {
		frame = frame_of(addr + at);
		adjacent += frame == last + 1;
	}
	return adjacent;
}

struct huge_page {
	uint8_t *addr;
	uint64_t frame;
};

static int by_frame(const void *a, const void *b)
{
	uint64_t x = ((const struct huge_page *)a)->frame;
	uint64_t y = ((const struct huge_page *)b)->frame;

	return x < y ? -1 : x > y;
}

/*
 * Touches huge pages so that they are one piece. Of free pages the kernel gives away
 * first what was freed last: take all, and return a piece in falling order.
 */
static void touch_contiguous(uint8_t *addr, uint64_t size)
{
	uint32_t count = size / HUGE_PAGE, all, first;
	struct huge_page *pages;
	uint8_t *pool;
	FILE *file = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "r");

	if (!file || fscanf(file, "%u", &all) != 1)
		die("huge pages: %m");
	fclose(file);
	pool = check_sys(mmap(NULL, all * HUGE_PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0));
	pages = calloc(all, sizeof(*pages));
	for (uint32_t i = 0; i < all; i++) {
		pages[i].addr = pool + i * HUGE_PAGE;
		pages[i].frame = frame_of(pages[i].addr);
	}
	qsort(pages, all, sizeof(pages[0]), by_frame);
	for (first = 0; first + count <= all; first++)
		if (pages[first + count - 1].frame - pages[first].frame ==
		    (count - 1) * HUGE_PAGE / PAGE)
			break;
	if (first + count > all)
		die("no %u of %u huge pages are one piece", count, all);
	for (uint32_t i = count; i-- > 0;)
		check_sys(madvise(pages[first + i].addr, HUGE_PAGE, MADV_REMOVE));
	for (uint64_t at = 0; at < size; at += HUGE_PAGE)
		addr[at] = 1;
	munmap(pool, all * HUGE_PAGE);
	free(pages);
	if (count_adjacent(addr, size) != size / PAGE - 1)
		die("huge pages are not one piece");
}

void memory_alloc(struct memory *memory, uint64_t size, bool scattered)
{
	memory->size = size;
	memory->dmabuf = -1;
	memory->own = false;
	memory->fd = check_sys(memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING |
							     (scattered ? 0 : MFD_HUGETLB)));
	check_sys(ftruncate(memory->fd, size));
	memory->addr = check_sys(mmap(NULL, size, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_NORESERVE, memory->fd, 0));
	if (scattered) {
		touch_scattered(memory->addr, size);
		if (count_adjacent(memory->addr, size) > size / PAGE / 50)
			die("pages are not scattered");
	} else {
		touch_contiguous(memory->addr, size);
	}
	check_sys(fcntl(memory->fd, F_ADD_SEALS, F_SEAL_SHRINK));
}

void memory_export(struct memory *memory, uint64_t bytes)
{
	uint64_t part = bytes < memory->size ? bytes : memory->size;
	uint32_t count = bytes / part;
	int device = check_sys(open("/dev/udmabuf", O_RDWR | O_CLOEXEC));
	struct udmabuf_create_list *list = calloc(1, sizeof(*list) + count * sizeof(list->list[0]));

	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = count;
	for (uint32_t i = 0; i < count; i++)
		list->list[i] = (struct udmabuf_create_item){ .memfd = memory->fd, .size = part };
	if (memory->dmabuf >= 0)
		close(memory->dmabuf);
	memory->dmabuf = check_sys(ioctl(device, UDMABUF_CREATE_LIST, list));
	memory->exported = bytes;
	free(list);
	close(device);
}

void memory_export_own(const struct memory *memory, uint64_t bytes, int device, struct memory *own)
{
	struct nvme_dmabuf_export export = {
		.size = sizeof(export),
		.addr = (uintptr_t)memory->addr,
		.length = bytes,
		.access = NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE,
	};

	if (ioctl(device, NVME_DMABUF_IOC_EXPORT, &export))
		die("export: %m, reason %u", export.out_reason);
	*own = *memory;
	own->dmabuf = export.out_dmabuf_fd;
	own->exported = bytes;
	own->own = true;
}

void memory_free(struct memory *memory)
{
	if (memory->dmabuf >= 0)
		close(memory->dmabuf);
	munmap(memory->addr, memory->size);
	close(memory->fd);
}
