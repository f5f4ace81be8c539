// SPDX-License-Identifier: MIT
/*
 * Buffers: dma-bufs, and their use by the CPU. Where they come from stands in exporters/.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/magic.h>

#include "exporters/exporter.h"

static const struct {
	const char *name;
	const struct exporter *exporter;
} exporters[] = {
#define EXPORTER(name, form) { #name, &exporter_##name },
#include "exporters/list.h"
#undef EXPORTER
};

bool takes_nothing(const char *argument)
{
	return !argument;
}

bool takes_path(const char *argument)
{
	return argument && argument[0] == '/';
}

/* NULL if there is none, or it does not take the rest of @name, which *@argument gets. */
static const struct exporter *find_exporter(const char *name, const char **argument)
{
	const char *colon = strchrnul(name, ':');
	const size_t length = (size_t)(colon - name);

	*argument = *colon ? colon + 1 : NULL;
	for (size_t i = 0; i < sizeof(exporters) / sizeof(*exporters); i++)
		if (strlen(exporters[i].name) == length &&
		    memcmp(exporters[i].name, name, length) == 0)
			return exporters[i].exporter->takes(*argument) ? exporters[i].exporter :
									 NULL;
	return NULL;
}

int nvmedmabuf_buffer_create(const char *name, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	const char *argument;
	const struct exporter *exporter = find_exporter(name, &argument);

	return exporter ? exporter->create(argument, size, buf) : -EINVAL;
}

int nvmedmabuf_buffer_check_name(const char *name)
{
	const char *argument;

	return find_exporter(name, &argument) ? 0 : -EINVAL;
}

const char *nvmedmabuf_buffer_names(void)
{
	static const char forms[] =
#define EXPORTER(name, form) ", " form
#include "exporters/list.h"
#undef EXPORTER
		;

	return forms + strlen(", ");
}

int buffer_new(int fd, struct nvmedmabuf_buffer **buf)
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
	new->cpu_fd = fd;
	new->size = size;
	*buf = new;
	return 0;

close_fd:
	close(fd);
	return err;
}

int round_size(uint64_t *size, uint64_t unit)
{
	if (*size > INT64_MAX - (unit - 1))
		return -EOVERFLOW;
	*size = (*size + unit - 1) / unit * unit;
	return 0;
}

int buffer_new_of(int fd, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	struct nvmedmabuf_buffer *new;
	int ret;

	ret = buffer_new(fd, &new);
	if (ret)
		return ret;
	if (new->size < size) {
		nvmedmabuf_buffer_free(new);
		return -EINVAL;
	}
	*buf = new;
	return 0;
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
	return own < 0 ? -errno : buffer_new(own, buf);
}

void nvmedmabuf_buffer_free(struct nvmedmabuf_buffer *buf)
{
	if (!buf)
		return;
	if (buf->addr)
		munmap(buf->addr, buf->size);
	close(buf->fd);
	if (buf->release)
		buf->release(buf->kept);
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

		new = mmap(NULL, buf->size, prot, MAP_SHARED, buf->cpu_fd,
			   buf->cpu_offset);
		if (new == MAP_FAILED)
			return -errno;
		buf->addr = new;
	}
	*addr = buf->addr;
	return 0;
}

static int buffer_sync(struct nvmedmabuf_buffer *buf, enum nvmedmabuf_cpu access,
		       uint64_t when)
{
	struct dma_buf_sync sync = { .flags = when };
	int ret;

	if (!access || access & ~NVMEDMABUF_CPU_READ_WRITE)
		return -EINVAL;
	if (access & NVMEDMABUF_CPU_READ)
		sync.flags |= DMA_BUF_SYNC_READ;
	if (access & NVMEDMABUF_CPU_WRITE)
		sync.flags |= DMA_BUF_SYNC_WRITE;

	do {
		ret = ioctl(buf->fd, DMA_BUF_IOCTL_SYNC, &sync);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

int nvmedmabuf_buffer_begin_cpu(struct nvmedmabuf_buffer *buf, enum nvmedmabuf_cpu access)
{
	return buffer_sync(buf, access, DMA_BUF_SYNC_START);
}

int nvmedmabuf_buffer_end_cpu(struct nvmedmabuf_buffer *buf, enum nvmedmabuf_cpu access)
{
	return buffer_sync(buf, access, DMA_BUF_SYNC_END);
}
