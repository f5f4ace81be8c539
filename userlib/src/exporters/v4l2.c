// SPDX-License-Identifier: MIT
/*
 * Capture buffers of video devices (V4L2). The device is closed again, and the dma-buf keeps
 * its memory: nothing is captured into it. A program that captures has the device's buffers
 * exported itself, and passes them to nvmedmabuf_buffer_import().
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "exporter.h"

static uint32_t frame_size(const struct v4l2_format *format)
{
	return V4L2_TYPE_IS_MULTIPLANAR(format->type) ?
		       format->fmt.pix_mp.plane_fmt[0].sizeimage :
		       format->fmt.pix.sizeimage;
}

static void set_frame_size(struct v4l2_format *format, uint32_t size)
{
	if (V4L2_TYPE_IS_MULTIPLANAR(format->type))
		format->fmt.pix_mp.plane_fmt[0].sizeimage = size;
	else
		format->fmt.pix.sizeimage = size;
}

/* What the device captures now. A frame must lie in one buffer. */
static int capture_format(int dev, struct v4l2_format *format)
{
	struct v4l2_capability cap = { .capabilities = 0 };
	uint32_t caps;

	if (ioctl(dev, VIDIOC_QUERYCAP, &cap) < 0)
		return -errno;
	caps = cap.capabilities & V4L2_CAP_DEVICE_CAPS ? cap.device_caps :
							 cap.capabilities;
	if (caps & V4L2_CAP_VIDEO_CAPTURE)
		format->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	else if (caps & V4L2_CAP_VIDEO_CAPTURE_MPLANE)
		format->type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	else
		return -EOPNOTSUPP;

	if (ioctl(dev, VIDIOC_G_FMT, format) < 0)
		return -errno;
	if (V4L2_TYPE_IS_MULTIPLANAR(format->type) &&
	    format->fmt.pix_mp.num_planes != 1)
		return -EOPNOTSUPP;
	return 0;
}

/* A buffer for a frame; returns its index or -errno. */
static int request_frame(int dev, const struct v4l2_format *format)
{
	struct v4l2_requestbuffers request = {
		.count = 1,
		.type = format->type,
		.memory = V4L2_MEMORY_MMAP,
	};

	if (ioctl(dev, VIDIOC_REQBUFS, &request) < 0)
		return -errno;
	return request.count ? 0 : -ENOMEM;
}

/* One that is larger than a frame, which drivers may refuse. */
static int request_larger(int dev, const struct v4l2_format *format,
			  uint32_t size)
{
	struct v4l2_create_buffers request = {
		.count = 1,
		.memory = V4L2_MEMORY_MMAP,
		.format = *format,
	};

	set_frame_size(&request.format, size);
	if (ioctl(dev, VIDIOC_CREATE_BUFS, &request) < 0)
		return errno == ENOTTY ? -EINVAL : -errno;
	return request.count ? (int)request.index : -ENOMEM;
}

/* Returns a dma-buf or -errno. */
static int v4l2_export(int dev, uint32_t size)
{
	struct v4l2_exportbuffer export = { .flags = O_RDWR | O_CLOEXEC };
	struct v4l2_format format = { .type = 0 };
	int ret;

	ret = capture_format(dev, &format);
	if (ret)
		return ret;

	ret = frame_size(&format) >= size ? request_frame(dev, &format) :
					    request_larger(dev, &format, size);
	if (ret < 0)
		return ret;

	export.type = format.type;
	export.index = (uint32_t)ret;
	return ioctl(dev, VIDIOC_EXPBUF, &export) < 0 ? -errno : export.fd;
}

static int create(const char *path, uint64_t size,
		  struct nvmedmabuf_buffer **buf)
{
	int dev, ret;

	/* V4L2 counts a buffer's bytes in 32 bits. */
	if (!size || size > UINT32_MAX)
		return -EINVAL;

	dev = open(path, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		return -errno;
	ret = v4l2_export(dev, (uint32_t)size);
	close(dev);
	/* Drivers may ignore the size that was asked for. */
	return ret < 0 ? ret : buffer_new_of(ret, size, buf);
}

const struct exporter exporter_v4l2 = {
	.takes = takes_path,
	.create = create,
};
