// SPDX-License-Identifier: MIT
/*
 * Buffers: dma-bufs from the kernel's usual exporters and of own memory, and
 * their use by the CPU. Of the module it knows how memory is exported, and
 * nothing of NVMe.
 *
 * Whatever an exporter needed besides is released as soon as the dma-buf
 * exists, since that keeps its memory: a buffer is one descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/magic.h>
#include <linux/udmabuf.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include <nvmedmabuf.h>

struct nvmedmabuf_buffer {
	int fd;
	uint64_t size;
	void *addr;	/* NULL until mapped */
};

/* Takes over @fd, also on failure. */
static int buffer_create(int fd, struct nvmedmabuf_buffer **buf)
{
	struct nvmedmabuf_buffer *new;
	off_t size;
	int err;

	size = lseek(fd, 0, SEEK_END);
	if (size < 0) {
		err = -errno;
		goto close_fd;
	}

	new = calloc(1, sizeof(*new));
	if (!new) {
		err = -ENOMEM;
		goto close_fd;
	}

	new->fd = fd;
	new->size = size;
	*buf = new;
	return 0;

close_fd:
	close(fd);
	return err;
}

/* Rounds @size up to a multiple of @unit that file offsets can express. */
static int round_size(uint64_t *size, uint64_t unit)
{
	if (*size > INT64_MAX - (unit - 1))
		return -EOVERFLOW;
	*size = (*size + unit - 1) / unit * unit;
	return 0;
}

/* Seals the size of @memfd, which udmabuf demands, and exports all of it. */
static int udmabuf_export(int memfd, uint64_t size)
{
	struct udmabuf_create create = {
		.memfd = memfd,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};
	int dev, fd;

	if (ftruncate(memfd, (off_t)size) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;

	dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	fd = ioctl(dev, UDMABUF_CREATE, &create);
	if (fd < 0)
		fd = -errno;
	close(dev);
	return fd;
}

/* A memfd, whose pages @size is rounded up to; returns it or -errno. */
static int memfd_for(uint64_t *size, uint32_t flags)
{
	bool huge = flags & NVMEDMABUF_BUFFER_HUGE;
	struct stat st;
	int memfd, ret;

	if (!*size || flags & ~NVMEDMABUF_BUFFER_HUGE)
		return -EINVAL;

	memfd = memfd_create("nvmedmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING |
			     (huge ? MFD_HUGETLB : 0));
	if (memfd < 0)
		return -errno;

	/* A hugetlb file's block size is that of its pages. */
	ret = fstat(memfd, &st) < 0 ? -errno : 0;
	if (!ret)
		ret = round_size(size, huge ? (uint64_t)st.st_blksize :
					      (uint64_t)sysconf(_SC_PAGESIZE));
	if (!ret)
		return memfd;
	close(memfd);
	return ret;
}

int nvmedmabuf_buffer_udmabuf(uint64_t size, uint32_t flags,
			      struct nvmedmabuf_buffer **buf)
{
	int memfd, ret;

	memfd = memfd_for(&size, flags);
	if (memfd < 0)
		return memfd;
	ret = udmabuf_export(memfd, size);
	close(memfd);
	return ret < 0 ? ret : buffer_create(ret, buf);
}

/* Has the module make a dma-buf of memory; returns it or -errno. */
static int memory_export(void *addr, uint64_t size)
{
	struct nvme_dmabuf_export export = {
		.size = sizeof(export),
		.addr = (uintptr_t)addr,
		.length = size,
		.access = NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE,
	};
	int dev, ret;

	dev = open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	ret = ioctl(dev, NVME_DMABUF_IOC_EXPORT, &export) < 0 ?
		      -errno : export.out_dmabuf_fd;
	close(dev);
	return ret;
}

int nvmedmabuf_buffer_memory(uint64_t size, uint32_t flags,
			     struct nvmedmabuf_buffer **buf)
{
	void *addr;
	int memfd, ret;

	memfd = memfd_for(&size, flags);
	if (memfd < 0)
		return memfd;
	ret = ftruncate(memfd, (off_t)size) < 0 ? -errno : 0;
	if (!ret && size != (size_t)size)
		ret = -ENOMEM;
	if (ret) {
		close(memfd);
		return ret;
	}

	addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	ret = addr == MAP_FAILED ? -errno : 0;
	close(memfd);
	if (ret)
		return ret;

	ret = memory_export(addr, size);
	if (ret >= 0)
		ret = buffer_create(ret, buf);
	if (ret < 0)
		munmap(addr, size);
	else
		(*buf)->addr = addr;
	return ret;
}

int nvmedmabuf_buffer_heap(const char *heap, uint64_t size, uint32_t flags,
			   struct nvmedmabuf_buffer **buf)
{
	struct dma_heap_allocation_data alloc = {
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	char path[sizeof("/dev/dma_heap/") + NAME_MAX];
	int dev, ret;

	if (!size || flags)
		return -EINVAL;
	if (!*heap || strchr(heap, '/') || strlen(heap) > NAME_MAX)
		return -EINVAL;

	ret = round_size(&size, (uint64_t)sysconf(_SC_PAGESIZE));
	if (ret)
		return ret;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap);
	dev = open(path, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;

	alloc.len = size;
	ret = ioctl(dev, DMA_HEAP_IOCTL_ALLOC, &alloc) < 0 ? -errno : 0;
	close(dev);
	return ret ? ret : buffer_create((int)alloc.fd, buf);
}

/*
 * A dumb buffer is a picture of 32-bit pixels. Rows are multiples of 4 KiB, so
 * that drivers add nothing to them; as many are put in a row as keeps a large
 * buffer's picture roughly square, since drivers may limit its sides.
 */
static int drm_export(int card, uint64_t size)
{
	uint32_t handle, pitch, width = 1024, rows;
	const uint32_t pixel = 4, side = 16384;
	uint64_t real_size;
	int fd, ret;

	while (width < side && size > (uint64_t)width * pixel * side)
		width *= 2;
	rows = (uint32_t)((size + width * pixel - 1) / (width * pixel));

	ret = drmModeCreateDumbBuffer(card, width, rows, 8 * pixel, 0, &handle,
				      &pitch, &real_size);
	if (ret)
		return ret;

	if (drmPrimeHandleToFD(card, handle, DRM_CLOEXEC | DRM_RDWR, &fd))
		fd = -errno;
	drmModeDestroyDumbBuffer(card, handle);
	return fd;
}

int nvmedmabuf_buffer_drm(const char *path, uint64_t size, uint32_t flags,
			  struct nvmedmabuf_buffer **buf)
{
	int card, ret;

	/* The kernel counts a dumb buffer's bytes in 32 bits. */
	if (!size || size > UINT32_MAX || flags)
		return -EINVAL;

	card = open(path, O_RDWR | O_CLOEXEC);
	if (card < 0)
		return -errno;

	ret = drm_export(card, size);
	close(card);
	return ret < 0 ? ret : buffer_create(ret, buf);
}

int nvmedmabuf_buffer_import(int fd, struct nvmedmabuf_buffer **buf)
{
	struct statfs fs;
	int own;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != DMA_BUF_MAGIC)
		return -EBADF;

	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -errno : buffer_create(own, buf);
}

void nvmedmabuf_buffer_free(struct nvmedmabuf_buffer *buf)
{
	if (!buf)
		return;
	if (buf->addr)
		munmap(buf->addr, buf->size);
	close(buf->fd);
	free(buf);
}

int nvmedmabuf_buffer_fd(const struct nvmedmabuf_buffer *buf)
{
	return buf->fd;
}

uint64_t nvmedmabuf_buffer_size(const struct nvmedmabuf_buffer *buf)
{
	return buf->size;
}

int nvmedmabuf_buffer_mmap(struct nvmedmabuf_buffer *buf, void **addr)
{
	int prot = PROT_READ, mode;
	void *new;

	if (!buf->addr) {
		mode = fcntl(buf->fd, F_GETFL);
		if (mode < 0)
			return -errno;
		if ((mode & O_ACCMODE) == O_RDWR)
			prot |= PROT_WRITE;
		if (buf->size != (size_t)buf->size)
			return -ENOMEM;

		new = mmap(NULL, buf->size, prot, MAP_SHARED, buf->fd, 0);
		if (new == MAP_FAILED)
			return -errno;
		buf->addr = new;
	}
	*addr = buf->addr;
	return 0;
}

static int buffer_sync(struct nvmedmabuf_buffer *buf, int flags, uint64_t when)
{
	struct dma_buf_sync sync = { .flags = when };
	int ret;

	if (!flags || flags & ~(NVMEDMABUF_CPU_READ | NVMEDMABUF_CPU_WRITE))
		return -EINVAL;
	if (flags & NVMEDMABUF_CPU_READ)
		sync.flags |= DMA_BUF_SYNC_READ;
	if (flags & NVMEDMABUF_CPU_WRITE)
		sync.flags |= DMA_BUF_SYNC_WRITE;

	do {
		ret = ioctl(buf->fd, DMA_BUF_IOCTL_SYNC, &sync);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

int nvmedmabuf_buffer_begin_cpu(struct nvmedmabuf_buffer *buf, int flags)
{
	return buffer_sync(buf, flags, DMA_BUF_SYNC_START);
}

int nvmedmabuf_buffer_end_cpu(struct nvmedmabuf_buffer *buf, int flags)
{
	return buffer_sync(buf, flags, DMA_BUF_SYNC_END);
}
