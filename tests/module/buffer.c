// SPDX-License-Identifier: GPL-2.0-only
/*
 * udmabuf, DMA heap and DRM dumb buffers, and own memory. See buffer.h.
 */
#define _GNU_SOURCE
#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/nvme_dmabuf.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common.h"

#define HUGE_PAGE (2 * MIB)

static struct exporter known[16] = {
	{ UDMABUF_PAGES, NULL, "udmabuf" },
	{ UDMABUF_SCATTERED, NULL, "udmabuf scattered" },
	{ UDMABUF_HUGE, NULL, "udmabuf huge pages" },
	{ DMA_HEAP, "/dev/dma_heap/system", "heap system" },
	{ USER_PAGES, "/dev/nvme-dmabuf", "own memory" },
	{ USER_HUGE, "/dev/nvme-dmabuf", "own huge pages" },
};
static unsigned int known_count = 6;

static void find_cards(void)
{
	static glob_t cards;

	if (glob("/dev/dri/card*", 0, NULL, &cards)) {
		known[known_count++] = (struct exporter){ DRM_DUMB, "/dev/dri/card0", "drm card0" };
		return;
	}
	for (size_t i = 0; i < cards.gl_pathc && known_count < ARRAY_SIZE(known); i++) {
		struct exporter *card = &known[known_count++];

		card->kind = DRM_DUMB;
		card->path = cards.gl_pathv[i];
		snprintf(card->name, sizeof(card->name), "drm %.32s", strrchr(card->path, '/') + 1);
	}
}

unsigned int exporters(const struct exporter **list)
{
	/* Threads that open a rig each come here at once. */
	static pthread_once_t found = PTHREAD_ONCE_INIT;

	check_eq(pthread_once(&found, find_cards), 0);
	*list = known;
	return known_count;
}

/*
 * Cuts the pages into at most @limit runs of about equal length, and shuffles
 * the runs: a list of udmabuf items.
 */
static struct udmabuf_create_list *shuffled(struct buffer *buffer, unsigned int limit)
{
	uint32_t pages = buffer->size / PAGE, runs = min_u64(pages, limit), next = 0;
	struct udmabuf_create_list *list;

	list = calloc(1, sizeof(*list) + runs * sizeof(list->list[0]));
	buffer->page = calloc(pages, sizeof(*buffer->page));
	check(list && buffer->page);
	list->flags = UDMABUF_FLAGS_CLOEXEC;
	list->count = runs;
	for (uint32_t i = 0; i < runs; i++) {
		uint64_t start = (uint64_t)pages * i / runs, end = (uint64_t)pages * (i + 1) / runs;

		list->list[i].memfd = buffer->memfd;
		list->list[i].offset = start * PAGE;
		list->list[i].size = (end - start) * PAGE;
	}
	for (uint32_t i = runs; i-- > 1;) {
		uint32_t j = rnd_below(i + 1);
		struct udmabuf_create_item item = list->list[i];

		list->list[i] = list->list[j];
		list->list[j] = item;
	}
	for (uint32_t i = 0; i < runs; i++)
		for (uint32_t j = 0; j < list->list[i].size / PAGE; j++)
			buffer->page[next++] = list->list[i].offset / PAGE + j;
	return list;
}

static void udmabuf_alloc(struct buffer *buffer, uint64_t size)
{
	bool huge = buffer->exporter->kind == UDMABUF_HUGE;
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	long long limit = file_number("/sys/module/udmabuf/parameters/list_limit");
	void *memory;

	if (device < 0)
		skip("/dev/udmabuf: %m");
	buffer->size = huge ? (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE : size;
	buffer->memfd = check_sys(
		memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0)));
	check_sys(ftruncate(buffer->memfd, buffer->size));
	/*
	 * Touched, not only allocated: the kernel would clear pages that were
	 * not when somebody maps the memory file for the first time.
	 */
	memory = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->memfd, 0);
	if (memory == MAP_FAILED || madvise(memory, buffer->size, MADV_POPULATE_WRITE))
		skip("%s of %llu bytes: %m", huge ? "huge pages" : "memory",
		     (unsigned long long)buffer->size);
	munmap(memory, buffer->size);
	check_sys(fcntl(buffer->memfd, F_ADD_SEALS, F_SEAL_SHRINK));

	if (buffer->exporter->kind == UDMABUF_SCATTERED) {
		struct udmabuf_create_list *list = shuffled(buffer, limit > 0 ? limit : 1024);

		buffer->fd = ioctl(device, UDMABUF_CREATE_LIST, list);
		free(list);
	} else {
		struct udmabuf_create create = { .memfd = buffer->memfd,
						 .flags = UDMABUF_FLAGS_CLOEXEC,
						 .size = buffer->size };

		buffer->fd = ioctl(device, UDMABUF_CREATE, &create);
	}
	if (buffer->fd < 0)
		skip("/dev/udmabuf refuses %llu bytes: %m", (unsigned long long)buffer->size);
	close(device);
}

static int heap_alloc(const char *path, uint64_t size, int access)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = access | O_CLOEXEC };
	int heap = open(path, O_RDONLY | O_CLOEXEC);

	if (heap < 0 || ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data)) {
		data.fd = -errno;
		if (heap >= 0)
			close(heap);
		return (int)data.fd;
	}
	close(heap);
	return data.fd;
}

static int dumb_alloc(const char *path, uint64_t size, int access)
{
	struct drm_mode_create_dumb dumb = { .width = PAGE / 4,
					     .height = (size + PAGE - 1) / PAGE,
					     .bpp = 32 };
	struct drm_prime_handle prime = { .flags = access | DRM_CLOEXEC };
	int card = open(path, O_RDWR | O_CLOEXEC), result;

	if (card < 0 || ioctl(card, DRM_IOCTL_MODE_CREATE_DUMB, &dumb)) {
		result = -errno;
	} else {
		prime.handle = dumb.handle;
		result = ioctl(card, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime) ? -errno : prime.fd;
	}
	if (card >= 0)
		close(card);
	return result;
}

int user_export(int context, void *addr, uint64_t length, uint32_t access, uint32_t *reason)
{
	struct nvme_dmabuf_export export = {
		.size = sizeof(export),
		.addr = (uintptr_t)addr,
		.length = length,
		.access = access,
		.out_dmabuf_fd = ~0,
		.out_reason = ~0U,
	};
	int result;

	result = ioctl(context, NVME_DMABUF_IOC_EXPORT, &export) ? -errno : export.out_dmabuf_fd;
	check_that(result >= 0 || export.out_dmabuf_fd == -1, "a descriptor without a dma-buf");
	*reason = export.out_reason;
	return result;
}

static void user_alloc(struct buffer *buffer, uint64_t size)
{
	bool huge = buffer->exporter->kind == USER_HUGE;
	uint64_t unit = huge ? HUGE_PAGE : PAGE;
	int context = device_open();
	uint32_t reason;

	size = (size + unit - 1) / unit * unit;
	buffer->addr = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | (huge ? MAP_HUGETLB : 0), -1, 0);
	if (buffer->addr == MAP_FAILED)
		skip("%s of %llu bytes: %m", huge ? "huge pages" : "memory",
		     (unsigned long long)size);
	check_sys(madvise(buffer->addr, size, huge ? MADV_NORMAL : MADV_NOHUGEPAGE));
	buffer->fd = user_export(context, buffer->addr, size,
				 NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE, &reason);
	check_sys(close(context));
	if (buffer->fd == -EFAULT && huge)
		skip("huge pages of %llu bytes are not there", (unsigned long long)size);
	check_that(buffer->fd >= 0, "own memory refused: %s, reason %u", strerror(-buffer->fd),
		   reason);
}

void buffer_alloc(struct buffer *buffer, const struct exporter *exporter, uint64_t size)
{
	off_t real;

	*buffer = (struct buffer){ .exporter = exporter, .memfd = -1, .size = size };
	switch (exporter->kind) {
	case DMA_HEAP:
		buffer->fd = heap_alloc(exporter->path, size, O_RDWR);
		break;
	case DRM_DUMB:
		buffer->fd = dumb_alloc(exporter->path, size, DRM_RDWR);
		break;
	case USER_PAGES:
	case USER_HUGE:
		user_alloc(buffer, size);
		break;
	default:
		udmabuf_alloc(buffer, size);
	}
	if (buffer->fd < 0)
		skip("%s makes no dma-buf of %llu bytes: %s", exporter->path,
		     (unsigned long long)size, strerror(-buffer->fd));

	real = check_sys(lseek(buffer->fd, 0, SEEK_END));
	check_that((uint64_t)real >= size, "%s made a dma-buf of %lld bytes", exporter->name,
		   (long long)real);
	buffer->size = real;
	if (buffer->addr)
		return;
	buffer->addr = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
	if (buffer->addr == MAP_FAILED)
		skip("the CPU cannot map a dma-buf of %s: %m", exporter->name);
}

int buffer_alloc_mode(uint64_t size, int access)
{
	const struct exporter *list;
	unsigned int count = exporters(&list);
	int fd = -ENOENT;

	for (unsigned int i = 0; i < count && fd < 0; i++) {
		if (list[i].kind == DMA_HEAP)
			fd = heap_alloc(list[i].path, size, access);
		else if (list[i].kind == DRM_DUMB && access == O_RDONLY)
			fd = dumb_alloc(list[i].path, size, 0);
	}
	if (fd < 0)
		skip("no exporter here makes a %s dma-buf: %s",
		     access == O_RDONLY ? "read-only" : "write-only", strerror(-fd));
	check_eq(fcntl(fd, F_GETFL) & O_ACCMODE, access);
	return fd;
}

const struct exporter *exporter_any(void)
{
	static const enum exporter_kind preferred[] = { UDMABUF_SCATTERED, DMA_HEAP, DRM_DUMB };
	const struct exporter *list;
	unsigned int count = exporters(&list);

	for (unsigned int i = 0; i < ARRAY_SIZE(preferred); i++)
		for (unsigned int j = 0; j < count; j++)
			if (list[j].kind == preferred[i] &&
			    !access(list[j].path ? list[j].path : "/dev/udmabuf", R_OK | W_OK))
				return &list[j];
	skip("no /dev/udmabuf, DMA heap or DRM card here");
}

void buffer_free(struct buffer *buffer)
{
	munmap(buffer->addr, buffer->size);
	close(buffer->fd);
	if (buffer->memfd >= 0)
		close(buffer->memfd);
	free(buffer->page);
}

static void sync_cpu(const struct buffer *buffer, uint64_t when)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_RW | when };
	int result;

	do
		result = ioctl(buffer->fd, DMA_BUF_IOCTL_SYNC, &sync);
	while (result && (errno == EINTR || errno == EAGAIN));
	check_that(!result, "DMA_BUF_IOCTL_SYNC: %m");
}

void buffer_begin_cpu(const struct buffer *buffer)
{
	sync_cpu(buffer, DMA_BUF_SYNC_START);
}

void buffer_end_cpu(const struct buffer *buffer)
{
	sync_cpu(buffer, DMA_BUF_SYNC_END);
}
