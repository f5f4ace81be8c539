// SPDX-License-Identifier: MIT
/* Dumb buffers of graphics devices. The only user of libdrm. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <xf86drm.h>
#include <xf86drmMode.h>

#include "../library.h"
#include "exporter.h"

#define DRM_FUNCTIONS(f)            \
	f(drmModeCreateDumbBuffer)  \
	f(drmModeDestroyDumbBuffer) \
	f(drmPrimeHandleToFD)

LIBRARY(drm, "libdrm.so.2", DRM_FUNCTIONS);

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

	ret = drm.drmModeCreateDumbBuffer(card, width, rows, 8 * pixel, 0, &handle,
					  &pitch, &real_size);
	if (ret)
		return ret;

	if (drm.drmPrimeHandleToFD(card, handle, DRM_CLOEXEC | DRM_RDWR, &fd))
		fd = -errno;
	drm.drmModeDestroyDumbBuffer(card, handle);
	return fd;
}

static bool takes(const char *argument)
{
	return !argument || takes_path(argument);
}

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	int card, ret;

	/* The kernel counts a dumb buffer's bytes in 32 bits. */
	if (!size || size > UINT32_MAX)
		return -EINVAL;

	ret = library_load(&drm_library);
	if (ret)
		return ret;
	card = open(argument ? argument : "/dev/dri/card0", O_RDWR | O_CLOEXEC);
	if (card < 0)
		return -errno;

	ret = drm_export(card, size);
	close(card);
	return ret < 0 ? ret : buffer_new(ret, buf);
}

const struct exporter exporter_drm = {
	.takes = takes,
	.create = create,
};
