// SPDX-License-Identifier: MIT
/* Buffers: what the exporters are asked for, and that nothing of it is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <drm.h>

#include <nvmedmabuf.h>

#include "mock.h"

#define UDMABUF		"/dev/udmabuf"
#define MODULE		"/dev/nvme-dmabuf"
#define HEAP		"/dev/dma_heap/system"
#define CARD		"/dev/dri/card7"
#define HUGE		1U
#define HUGE_PAGE	(2UL << 20)

static uint64_t page;

static int udmabuf(uint64_t size, uint32_t flags, struct nvmedmabuf_buffer **buf)
{
	return nvmedmabuf_buffer_create(flags & HUGE ? "huge" : "udmabuf", size, buf);
}

static int heap(uint64_t size, uint32_t flags, struct nvmedmabuf_buffer **buf)
{
	(void)flags;
	return nvmedmabuf_buffer_create("heap:system", size, buf);
}

static int drm(uint64_t size, uint32_t flags, struct nvmedmabuf_buffer **buf)
{
	(void)flags;
	return nvmedmabuf_buffer_create("drm:" CARD, size, buf);
}

static int memory(uint64_t size, uint32_t flags, struct nvmedmabuf_buffer **buf)
{
	return nvmedmabuf_buffer_create(flags & HUGE ? "memory:huge" : "memory", size, buf);
}

/* udmabuf */

static struct udmabuf_create udmabuf_in;
static char udmabuf_memfd[32];
static int udmabuf_seals, udmabuf_cloexec;
static uint64_t udmabuf_file_size;

static void look_at_udmabuf(void *arg)
{
	const char *name;
	struct stat st;

	memcpy(&udmabuf_in, arg, sizeof(udmabuf_in));
	name = mock_name((int)udmabuf_in.memfd);
	assert_non_null(name);
	strncpy(udmabuf_memfd, name, sizeof(udmabuf_memfd) - 1);
	udmabuf_seals = fcntl((int)udmabuf_in.memfd, F_GET_SEALS);
	udmabuf_cloexec = fcntl((int)udmabuf_in.memfd, F_GETFD);
	assert_int_equal(fstat((int)udmabuf_in.memfd, &st), 0);
	udmabuf_file_size = (uint64_t)st.st_size;
}

static void expect_udmabuf(uint64_t size, int err)
{
	int ret = err ? -1 : mock_dmabuf(size, O_RDWR);

	MOCK_IOCTLS({ UDMABUF, UDMABUF_CREATE, NULL, 0, look_at_udmabuf, err, ret });
}

static void udmabuf_rounds_up_to(uint64_t size, uint32_t flags, uint64_t rounded)
{
	struct nvmedmabuf_buffer *buf;

	expect_udmabuf(rounded, 0);
	assert_int_equal(udmabuf(size, flags, &buf), 0);
	assert_int_equal(udmabuf_in.size, rounded);
	assert_int_equal(udmabuf_file_size, rounded);
	assert_int_equal(nvmedmabuf_buffer_size(buf), rounded);
	nvmedmabuf_buffer_free(buf);
}

static void udmabuf_is_a_sealed_memfd(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	expect_udmabuf(4 * page, 0);
	assert_int_equal(udmabuf(4 * page, 0, &buf), 0);
	assert_string_equal(mock_open_path, UDMABUF);
	assert_int_equal(mock_open_flags & O_CLOEXEC, O_CLOEXEC);
	assert_int_equal(mock_memfd_flags, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_string_equal(udmabuf_memfd, "nvmedmabuf");
	assert_int_equal(udmabuf_seals, F_SEAL_SHRINK);
	assert_int_equal(udmabuf_cloexec, FD_CLOEXEC);
	assert_int_equal(udmabuf_in.flags, UDMABUF_FLAGS_CLOEXEC);
	assert_int_equal(udmabuf_in.offset, 0);
	assert_string_equal(mock_name(nvmedmabuf_buffer_fd(buf)), MOCK_DMABUF);
	nvmedmabuf_buffer_free(buf);
}

static void udmabuf_rounds_to_pages(void **state)
{
	(void)state;
	udmabuf_rounds_up_to(1, 0, page);
	udmabuf_rounds_up_to(page - 1, 0, page);
	udmabuf_rounds_up_to(page, 0, page);
	udmabuf_rounds_up_to(page + 1, 0, 2 * page);
}

static void udmabuf_rounds_to_huge_pages(void **state)
{
	(void)state;
	udmabuf_rounds_up_to(1, HUGE, HUGE_PAGE);
	assert_int_equal(mock_memfd_flags, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	udmabuf_rounds_up_to(HUGE_PAGE, HUGE, HUGE_PAGE);
	udmabuf_rounds_up_to(HUGE_PAGE + 1, HUGE, 2 * HUGE_PAGE);
}

/* The largest size that can be rounded goes on to the kernel, the next does not. */
static void udmabuf_refuses_sizes_that_wrap(void **state)
{
	const uint64_t largest = INT64_MAX - (page - 1);
	struct nvmedmabuf_buffer *buf;

	(void)state;
	mock_fail("ftruncate", EFBIG);
	assert_int_equal(udmabuf(largest, 0, &buf), -EFBIG);
	assert_int_equal(udmabuf(largest + 1, 0, &buf), -EOVERFLOW);
	assert_int_equal(udmabuf(UINT64_MAX, 0, &buf), -EOVERFLOW);

	mock_fail("ftruncate", EFBIG);
	assert_int_equal(udmabuf(INT64_MAX - (HUGE_PAGE - 1), HUGE, &buf), -EFBIG);
	assert_int_equal(udmabuf(INT64_MAX - (HUGE_PAGE - 2), HUGE, &buf), -EOVERFLOW);
}

static void udmabuf_fails_as_its_system_calls(void **state)
{
	static const char *const before[] = { "memfd_create", "fstat", "ftruncate", "fcntl", "open" };
	struct nvmedmabuf_buffer *buf = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		mock_fail(before[i], EDQUOT);
		assert_int_equal(udmabuf(page, 0, &buf), -EDQUOT);
		mock_all_done();
	}
	/* above size_limit_mb */
	expect_udmabuf(page, EINVAL);
	assert_int_equal(udmabuf(page, 0, &buf), -EINVAL);
	assert_null(buf);
}

/* Own memory */

static struct nvme_dmabuf_export memory_in;
static int memory_fd;

static void look_at_memory(void *arg)
{
	struct nvme_dmabuf_export *export = arg;
	char *addr = (char *)(uintptr_t)export->addr;

	memory_in = *export;
	/* All of it is there. */
	addr[0] = 'a';
	addr[export->length - 1] = 'z';
	export->out_dmabuf_fd = memory_fd;
}

static void expect_export(uint64_t size, int err)
{
	memory_fd = err ? -1 : mock_dmabuf(size, O_RDWR);
	MOCK_IOCTLS({ MODULE, NVME_DMABUF_IOC_EXPORT, NULL, 0, look_at_memory, err, 0 });
}

static void memory_is_exported_and_mapped(void **state)
{
	const struct {
		uint64_t size, rounded;
		uint32_t flags;
	} cases[] = {
		{ 1, page, 0 },
		{ page, page, 0 },
		{ page + 1, 2 * page, 0 },
		{ 1, HUGE_PAGE, HUGE },
		{ HUGE_PAGE + 1, 2 * HUGE_PAGE, HUGE },
	};
	struct nvmedmabuf_buffer *buf;
	void *addr;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		expect_export(cases[i].rounded, 0);
		assert_int_equal(memory(cases[i].size, cases[i].flags, &buf), 0);
		assert_string_equal(mock_open_path, MODULE);
		assert_int_equal(mock_open_flags & O_CLOEXEC, O_CLOEXEC);
		assert_int_equal(!!(mock_memfd_flags & MFD_HUGETLB), !!cases[i].flags);
		assert_int_equal(memory_in.size, sizeof(memory_in));
		assert_int_equal(memory_in.flags | memory_in.reserved, 0);
		assert_int_equal(memory_in.access,
				 NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE);
		assert_int_equal(memory_in.length, cases[i].rounded);
		assert_int_equal(nvmedmabuf_buffer_fd(buf), memory_fd);
		assert_int_equal(nvmedmabuf_buffer_size(buf), cases[i].rounded);
		/* It is where it was exported from, not mapped once more. */
		assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), 0);
		assert_int_equal((uintptr_t)addr, memory_in.addr);
		assert_int_equal(((char *)addr)[cases[i].rounded - 1], 'z');
		nvmedmabuf_buffer_free(buf);
	}
}

/* Nothing is left: no descriptor, no mapping. */
static void memory_fails_as_its_system_calls(void **state)
{
	static const char *const before[] = { "memfd_create", "fstat", "ftruncate", "mmap", "open" };
	static const char *const after[] = { "lseek", "calloc" };
	struct nvmedmabuf_buffer *buf = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++) {
		mock_fail(before[i], EDQUOT);
		assert_int_equal(memory(page, 0, &buf), -EDQUOT);
		mock_all_done();
	}
	expect_export(page, ENOMEM);
	assert_int_equal(memory(page, 0, &buf), -ENOMEM);
	for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++) {
		mock_fail(after[i], ENOMEM);
		expect_export(page, 0);
		assert_int_equal(memory(page, 0, &buf), -ENOMEM);
		mock_all_done();
	}
	assert_int_equal(memory(UINT64_MAX, 0, &buf), -EOVERFLOW);
	assert_null(buf);
}

/* DMA heaps */

static int heap_fd;

static void answer_heap(void *arg)
{
	struct dma_heap_allocation_data *alloc = arg;

	alloc->fd = (uint32_t)heap_fd;
}

static void expect_heap(uint64_t size, int err)
{
	static struct dma_heap_allocation_data in;

	in = (struct dma_heap_allocation_data){ .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	if (!err)
		heap_fd = mock_dmabuf(size, O_RDWR);
	MOCK_IOCTLS({ HEAP, DMA_HEAP_IOCTL_ALLOC, &in, sizeof(in), answer_heap, err, 0 });
}

static void heap_allocates_whole_pages(void **state)
{
	const uint64_t sizes[][2] = {
		{ 1, page }, { page, page }, { page + 1, 2 * page }, { 100 * page, 100 * page },
	};
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		expect_heap(sizes[i][1], 0);
		assert_int_equal(heap(sizes[i][0], 0, &buf), 0);
		assert_string_equal(mock_open_path, HEAP);
		assert_int_equal(mock_open_flags & O_CLOEXEC, O_CLOEXEC);
		assert_int_equal(nvmedmabuf_buffer_size(buf), sizes[i][1]);
		assert_int_equal(nvmedmabuf_buffer_fd(buf), heap_fd);
		nvmedmabuf_buffer_free(buf);
	}
}

static void heap_refuses_names_that_are_paths(void **state)
{
	struct nvmedmabuf_buffer *buf;
	char name[sizeof("heap:") + NAME_MAX + 1] = "heap:";

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_create("heap:", page, &buf), -EINVAL);
	assert_int_equal(nvmedmabuf_buffer_create("heap:../sda", page, &buf), -EINVAL);
	assert_int_equal(nvmedmabuf_buffer_create("heap:system/", page, &buf), -EINVAL);
	memset(name + strlen("heap:"), 'x', NAME_MAX + 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(nvmedmabuf_buffer_create(name, page, &buf), -EINVAL);
	assert_string_equal(mock_open_path, "");

	/* the longest name there can be is looked for */
	name[sizeof(name) - 2] = '\0';
	mock_fail("open", ENOENT);
	assert_int_equal(nvmedmabuf_buffer_create(name, page, &buf), -ENOENT);
	assert_int_equal(strlen(mock_open_path), strlen("/dev/dma_heap/") + NAME_MAX);
}

static void heap_refuses_sizes_that_wrap(void **state)
{
	const uint64_t largest = INT64_MAX - (page - 1);
	struct nvmedmabuf_buffer *buf;

	(void)state;
	assert_int_equal(heap(largest + 1, 0, &buf), -EOVERFLOW);
	mock_fail("open", EACCES);
	assert_int_equal(heap(largest, 0, &buf), -EACCES);
}

static void heap_fails_as_its_system_calls(void **state)
{
	struct nvmedmabuf_buffer *buf = NULL;

	(void)state;
	mock_fail("open", ENOENT);
	assert_int_equal(heap(page, 0, &buf), -ENOENT);
	expect_heap(page, ENOMEM);
	assert_int_equal(heap(page, 0, &buf), -ENOMEM);
	assert_null(buf);
}

/* DRM */

static uint64_t drm_asked;
static struct drm_mode_create_dumb dumb;
static int drm_fd;

static void answer_dumb(void *arg)
{
	struct drm_mode_create_dumb *create = arg;

	dumb = *create;
	create->handle = 42;
	create->pitch = create->width * (create->bpp / 8);
	create->size = (uint64_t)create->pitch * create->height;
}

static void answer_prime(void *arg)
{
	struct drm_prime_handle *prime = arg;

	assert_int_equal(prime->handle, 42);
	assert_int_equal(prime->flags, DRM_CLOEXEC | DRM_RDWR);
	prime->fd = drm_fd;
}

/* Several drivers say so of handles; errno is then of no use any more. */
static void answer_destroy(void *arg)
{
	const struct drm_mode_destroy_dumb *destroy = arg;

	assert_int_equal(destroy->handle, 42);
	errno = EPERM;
}

#define EXPECT_DUMB(error)	{ CARD, DRM_IOCTL_MODE_CREATE_DUMB, NULL, 0, answer_dumb, error, 0 }
#define EXPECT_PRIME(error)	{ CARD, DRM_IOCTL_PRIME_HANDLE_TO_FD, NULL, 0, answer_prime, error, 0 }
#define EXPECT_DESTROY		{ CARD, DRM_IOCTL_MODE_DESTROY_DUMB, NULL, 0, answer_destroy, 0, 0 }

static void drm_exports_a_dumb_buffer(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	drm_fd = mock_dmabuf(2 * page, O_RDWR);
	MOCK_IOCTLS(EXPECT_DUMB(0), EXPECT_PRIME(0), EXPECT_DESTROY);
	assert_int_equal(drm(page + 1, 0, &buf), 0);
	assert_string_equal(mock_open_path, CARD);
	assert_int_equal(mock_open_flags & (O_ACCMODE | O_CLOEXEC), O_RDWR | O_CLOEXEC);
	assert_int_equal(dumb.flags, 0);
	assert_int_equal(nvmedmabuf_buffer_fd(buf), drm_fd);
	assert_int_equal(nvmedmabuf_buffer_size(buf), 2 * page);
	nvmedmabuf_buffer_free(buf);
}

/* 32 bits a pixel are what every driver takes; sides above 16384 some do not. */
static void drm_picture_has_room(void **state)
{
	static const uint64_t sizes[] = {
		1, 4095, 4096, 4097, 65536, 1 << 20, (1 << 20) + 1, (64 << 20) - 1, 64 << 20,
		(64 << 20) + 1, 128 << 20, (128 << 20) + 1, (1 << 30) - 1, 1 << 30,
		(1 << 30) + 1, UINT32_MAX - 65536, UINT32_MAX,
	};
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t row, bytes;

		drm_asked = sizes[i];
		drm_fd = mock_dmabuf(page, O_RDWR);
		MOCK_IOCTLS(EXPECT_DUMB(0), EXPECT_PRIME(0), EXPECT_DESTROY);
		assert_int_equal(drm(drm_asked, 0, &buf), 0);
		nvmedmabuf_buffer_free(buf);

		assert_int_equal(dumb.bpp, 32);
		row = (uint64_t)dumb.width * 4;
		bytes = row * dumb.height;
		assert_int_equal(row % 4096, 0);
		assert_true(bytes >= drm_asked);
		assert_true(bytes - drm_asked < row);
		assert_true(dumb.width <= 16384);
		assert_true(dumb.height <= 16384 || drm_asked > 1 << 30);
		if (drm_asked <= 64 << 20)
			assert_int_equal(row, 4096);
	}
}

static void drm_refuses_4_gib(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	assert_int_equal(drm(1ULL << 32, 0, &buf), -EINVAL);
	assert_int_equal(drm(UINT64_MAX, 0, &buf), -EINVAL);
}

static void drm_fails_as_its_system_calls(void **state)
{
	struct nvmedmabuf_buffer *buf = NULL;

	(void)state;
	mock_fail("open", EACCES);
	assert_int_equal(drm(page, 0, &buf), -EACCES);

	MOCK_IOCTLS(EXPECT_DUMB(ENOSYS));
	assert_int_equal(drm(page, 0, &buf), -ENOSYS);

	drm_fd = -1;
	MOCK_IOCTLS(EXPECT_DUMB(0), EXPECT_PRIME(EOPNOTSUPP), EXPECT_DESTROY);
	assert_int_equal(drm(page, 0, &buf), -EOPNOTSUPP);
	assert_null(buf);
}

/* Every exporter */

static void buffers_have_a_size(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	assert_int_equal(udmabuf(0, 0, &buf), -EINVAL);
	assert_int_equal(heap(0, 0, &buf), -EINVAL);
	assert_int_equal(drm(0, 0, &buf), -EINVAL);
}

/* The exported descriptor is closed if no buffer can be made of it. */
static void export_is_undone_on_failure(void **state)
{
	struct nvmedmabuf_buffer *buf = NULL;
	static const char *const after[] = { "lseek", "calloc" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		mock_fail(after[i], ENOMEM);
		expect_udmabuf(page, 0);
		assert_int_equal(udmabuf(page, 0, &buf), -ENOMEM);
		mock_fail(after[i], ENOMEM);
		expect_heap(page, 0);
		assert_int_equal(heap(page, 0, &buf), -ENOMEM);
		mock_fail(after[i], ENOMEM);
		drm_fd = mock_dmabuf(page, O_RDWR);
		MOCK_IOCTLS(EXPECT_DUMB(0), EXPECT_PRIME(0), EXPECT_DESTROY);
		assert_int_equal(drm(page, 0, &buf), -ENOMEM);
		mock_all_done();
	}
	assert_null(buf);
}

static struct nvmedmabuf_buffer *import(uint64_t size, int mode)
{
	struct nvmedmabuf_buffer *buf;
	int fd = mock_dmabuf(size, mode);

	assert_int_equal(nvmedmabuf_buffer_import(fd, &buf), 0);
	close(fd);
	return buf;
}

static void import_duplicates_the_descriptor(void **state)
{
	int fd = mock_dmabuf(12345, O_RDWR);
	struct nvmedmabuf_buffer *buf;
	int own;

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_import(fd, &buf), 0);
	own = nvmedmabuf_buffer_fd(buf);
	assert_int_not_equal(own, fd);
	assert_int_equal(fcntl(own, F_GETFD), FD_CLOEXEC);
	assert_int_equal(nvmedmabuf_buffer_size(buf), 12345);
	nvmedmabuf_buffer_free(buf);
	assert_int_equal(fcntl(own, F_GETFD), -1);
	assert_int_equal(close(fd), 0);
}

static void import_refuses_other_files(void **state)
{
	struct nvmedmabuf_buffer *buf = NULL;
	int fd = open(UDMABUF, O_RDWR);

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_import(fd, &buf), -EBADF);
	close(fd);
	assert_int_equal(nvmedmabuf_buffer_import(fd, &buf), -EBADF);
	assert_int_equal(nvmedmabuf_buffer_import(-1, &buf), -EBADF);
	assert_null(buf);
}

static void import_fails_as_its_system_calls(void **state)
{
	static const char *const calls[] = { "fstatfs", "fcntl", "lseek", "calloc" };
	int fd = mock_dmabuf(page, O_RDWR);
	struct nvmedmabuf_buffer *buf = NULL;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int err = i < 3 ? EMFILE : ENOMEM;

		mock_fail(calls[i], err);
		assert_int_equal(nvmedmabuf_buffer_import(fd, &buf), -err);
		mock_all_done();
	}
	assert_null(buf);
	assert_int_equal(close(fd), 0);
}

static void free_takes_null(void **state)
{
	(void)state;
	nvmedmabuf_buffer_free(NULL);
}

/* The CPU's side */

static void mmap_maps_the_buffer_once(void **state)
{
	struct nvmedmabuf_buffer *buf = import(3 * page, O_RDWR);
	char *addr, *again, byte = 0;

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, (void **)&addr), 0);
	assert_int_equal(mock_mmap_prot, PROT_READ | PROT_WRITE);
	addr[3 * page - 1] = 'x';
	assert_int_equal(pread(nvmedmabuf_buffer_fd(buf), &byte, 1, (off_t)(3 * page - 1)), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, (void **)&again), 0);
	assert_ptr_equal(again, addr);
	nvmedmabuf_buffer_free(buf);
}

static void mmap_of_a_read_only_buffer(void **state)
{
	struct nvmedmabuf_buffer *buf = import(page, O_RDONLY);
	void *addr;

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), 0);
	assert_int_equal(mock_mmap_prot, PROT_READ);
	nvmedmabuf_buffer_free(buf);
}

static void mmap_fails_as_the_exporter(void **state)
{
	struct nvmedmabuf_buffer *buf = import(page, O_RDWR);
	void *addr = NULL;

	(void)state;
	mock_fail("mmap", ENODEV);
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), -ENODEV);
	assert_null(addr);
	mock_fail("fcntl", EBADF);
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), -EBADF);
	assert_null(addr);
	assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), 0);
	assert_non_null(addr);
	nvmedmabuf_buffer_free(buf);
}

#define EXPECT_SYNC(in, error)	{ MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, in, \
				  sizeof(struct dma_buf_sync), NULL, error, 0 }

static void cpu_access_is_announced(void **state)
{
	static const struct { int flags; uint64_t sync; } pairs[] = {
		{ NVMEDMABUF_CPU_READ, DMA_BUF_SYNC_READ },
		{ NVMEDMABUF_CPU_WRITE, DMA_BUF_SYNC_WRITE },
		{ NVMEDMABUF_CPU_READ_WRITE, DMA_BUF_SYNC_RW },
	};
	struct nvmedmabuf_buffer *buf = import(page, O_RDWR);

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct dma_buf_sync start = { .flags = DMA_BUF_SYNC_START | pairs[i].sync };
		struct dma_buf_sync end = { .flags = DMA_BUF_SYNC_END | pairs[i].sync };

		MOCK_IOCTLS(EXPECT_SYNC(&start, 0), EXPECT_SYNC(&end, 0));
		assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, pairs[i].flags), 0);
		assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, pairs[i].flags), 0);
		mock_all_done();
	}
	nvmedmabuf_buffer_free(buf);
}

static void cpu_access_is_tried_again_if_interrupted(void **state)
{
	const struct dma_buf_sync start = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
	const struct dma_buf_sync end = { .flags = DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ };
	struct nvmedmabuf_buffer *buf = import(page, O_RDWR);

	(void)state;
	MOCK_IOCTLS(EXPECT_SYNC(&start, EINTR), EXPECT_SYNC(&start, EAGAIN),
		    EXPECT_SYNC(&start, EINTR), EXPECT_SYNC(&start, 0));
	assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, NVMEDMABUF_CPU_READ), 0);
	mock_all_done();
	MOCK_IOCTLS(EXPECT_SYNC(&end, EAGAIN), EXPECT_SYNC(&end, EINTR), EXPECT_SYNC(&end, 0));
	assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, NVMEDMABUF_CPU_READ), 0);
	mock_all_done();

	MOCK_IOCTLS(EXPECT_SYNC(&start, EINTR), EXPECT_SYNC(&start, EIO));
	assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, NVMEDMABUF_CPU_READ), -EIO);
	MOCK_IOCTLS(EXPECT_SYNC(&end, ENOTTY));
	assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, NVMEDMABUF_CPU_READ), -ENOTTY);
	nvmedmabuf_buffer_free(buf);
}

static void cpu_access_needs_a_direction(void **state)
{
	struct nvmedmabuf_buffer *buf = import(page, O_RDWR);

	(void)state;
	assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, 0), -EINVAL);
	assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, 0), -EINVAL);
	assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, NVME_DMABUF_ACCESS_READ), -EINVAL);
	assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, NVME_DMABUF_ACCESS_WRITE), -EINVAL);
	for (unsigned int bit = 0; bit < 32; bit++) {
		int flags = NVMEDMABUF_CPU_READ | (int)(1U << bit);

		if (!(flags & ~(NVMEDMABUF_CPU_READ_WRITE)))
			continue;
		assert_int_equal(nvmedmabuf_buffer_begin_cpu(buf, flags), -EINVAL);
		assert_int_equal(nvmedmabuf_buffer_end_cpu(buf, flags), -EINVAL);
	}
	nvmedmabuf_buffer_free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(udmabuf_is_a_sealed_memfd),
		mock_test(udmabuf_rounds_to_pages),
		mock_test(udmabuf_rounds_to_huge_pages),
		mock_test(udmabuf_refuses_sizes_that_wrap),
		mock_test(udmabuf_fails_as_its_system_calls),
		mock_test(memory_is_exported_and_mapped),
		mock_test(memory_fails_as_its_system_calls),
		mock_test(heap_allocates_whole_pages),
		mock_test(heap_refuses_names_that_are_paths),
		mock_test(heap_refuses_sizes_that_wrap),
		mock_test(heap_fails_as_its_system_calls),
		mock_test(drm_exports_a_dumb_buffer),
		mock_test(drm_picture_has_room),
		mock_test(drm_refuses_4_gib),
		mock_test(drm_fails_as_its_system_calls),
		mock_test(buffers_have_a_size),
		mock_test(export_is_undone_on_failure),
		mock_test(import_duplicates_the_descriptor),
		mock_test(import_refuses_other_files),
		mock_test(import_fails_as_its_system_calls),
		mock_test(free_takes_null),
		mock_test(mmap_maps_the_buffer_once),
		mock_test(mmap_of_a_read_only_buffer),
		mock_test(mmap_fails_as_the_exporter),
		mock_test(cpu_access_is_announced),
		mock_test(cpu_access_is_tried_again_if_interrupted),
		mock_test(cpu_access_needs_a_direction),
	};

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
