// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test records video. The kernel's vivid, a camera without hardware, captures frames into
 * its own buffers, which are dma-bufs, and the drive reads them there. Besides, buffers of that
 * camera that the library makes by name carry data in every direction.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "rig.h"

#define BUFFERS 4
#define FRAMES	12
#define SIZE	(2 * MIB)

#define CAPTURE V4L2_BUF_TYPE_VIDEO_CAPTURE

/* Path of vivid's capture node, or skip. */
static const char *camera_path(void)
{
	static char path[32];
	char file[64], name[64];

	require_disposable();
	if (!run_quietly("modprobe vivid n_devs=1 node_types=0x1"))
		skip("this kernel has no vivid");
	for (unsigned int i = 0; i < 64; i++) {
		FILE *f;
		bool is;

		snprintf(file, sizeof(file), "/sys/class/video4linux/video%u/name", i);
		f = fopen(file, "r");
		if (!f)
			continue;
		is = fgets(name, sizeof(name), f) && !strncmp(name, "vivid", 5);
		fclose(f);
		if (!is)
			continue;
		snprintf(path, sizeof(path), "/dev/video%u", i);
		wait_until(!access(path, R_OK | W_OK));
		return path;
	}
	fail("vivid is loaded and has no node");
}

static void camera_remove(void)
{
	check(run_quietly("modprobe -r vivid"));
}

/**
 * struct camera - a camera that captures, and the drive that its frames go to
 * @frame: bytes of a frame
 * @length: the same in whole blocks
 * @buffers, @mem, @maps: where it captures them
 */
struct camera {
	int fd;
	struct nvmedmabuf *ctx;
	struct drive drive;
	uint64_t frame;
	uint64_t length;
	struct nvmedmabuf_buffer *buffers[BUFFERS];
	uint8_t *mem[BUFFERS];
	uint32_t maps[BUFFERS];
};

static void export_buffer(struct camera *c, uint32_t index)
{
	struct v4l2_exportbuffer export = { .type = CAPTURE,
					    .index = index,
					    .flags = O_RDWR | O_CLOEXEC };

	check_sys(ioctl(c->fd, VIDIOC_EXPBUF, &export));
	check_eq(nvmedmabuf_buffer_import(export.fd, &c->buffers[index]), 0);
	check_sys(close(export.fd));
	check_eq(nvmedmabuf_buffer_mmap(c->buffers[index], (void **)&c->mem[index]), 0);
	check(c->length <= nvmedmabuf_buffer_size(c->buffers[index]));
	c->maps[index] = attach(c->ctx, nvmedmabuf_buffer_fd(c->buffers[index]), c->drive.fd, 0,
				c->length, ACCESS_BOTH);
}

static void give_to_camera(struct camera *c, uint32_t index)
{
	struct v4l2_buffer buffer = { .type = CAPTURE, .memory = V4L2_MEMORY_MMAP, .index = index };

	check_sys(ioctl(c->fd, VIDIOC_QBUF, &buffer));
}

/* Returns the buffer in which the next frame is. */
static uint32_t next_frame(struct camera *c)
{
	struct v4l2_buffer buffer = { .type = CAPTURE, .memory = V4L2_MEMORY_MMAP };

	check_sys(ioctl(c->fd, VIDIOC_DQBUF, &buffer));
	check(!(buffer.flags & V4L2_BUF_FLAG_ERROR));
	check_eq(buffer.bytesused, c->frame);
	check(buffer.index < BUFFERS);
	return buffer.index;
}

static void camera_open(struct camera *c, const char *drive)
{
	struct v4l2_requestbuffers request = { .count = BUFFERS,
					       .type = CAPTURE,
					       .memory = V4L2_MEMORY_MMAP };
	struct v4l2_format format = { .type = CAPTURE };

	c->fd = check_sys(open(camera_path(), O_RDWR | O_CLOEXEC));
	c->ctx = ctx_open();
	drive_open(&c->drive, drive);
	check_sys(ioctl(c->fd, VIDIOC_G_FMT, &format));
	c->frame = format.fmt.pix.sizeimage;
	c->length = (c->frame + c->drive.block - 1) / c->drive.block * c->drive.block;
	check_sys(ioctl(c->fd, VIDIOC_REQBUFS, &request));
	check_eq(request.count, BUFFERS);
	for (uint32_t i = 0; i < BUFFERS; i++)
		export_buffer(c, i);
}

static void camera_close(struct camera *c)
{
	for (uint32_t i = 0; i < BUFFERS; i++) {
		check_eq(nvmedmabuf_detach(c->ctx, c->maps[i]), 0);
		nvmedmabuf_buffer_free(c->buffers[i]);
	}
	nvmedmabuf_close(c->ctx);
	drive_close(&c->drive);
	check_sys(close(c->fd));
}

static void begin_cpu(struct camera *c, uint32_t index)
{
	check_eq(nvmedmabuf_buffer_begin_cpu(c->buffers[index], NVMEDMABUF_CPU_READ_WRITE), 0);
}

static void end_cpu(struct camera *c, uint32_t index)
{
	check_eq(nvmedmabuf_buffer_end_cpu(c->buffers[index], NVMEDMABUF_CPU_READ_WRITE), 0);
}

/* Where the drive has the frame. */
static uint64_t block_of(const struct camera *c, uint32_t frame)
{
	return c->drive.blocks / 2 + frame * (c->length / c->drive.block);
}

/* Captures and writes frames, the camera being at other buffers, and keeps copies. */
static void record(struct camera *c, uint8_t *const copies[FRAMES])
{
	int type = CAPTURE;

	for (uint32_t i = 0; i < BUFFERS; i++)
		give_to_camera(c, i);
	check_sys(ioctl(c->fd, VIDIOC_STREAMON, &type));
	for (uint32_t i = 0; i < FRAMES; i++) {
		uint32_t index = next_frame(c);

		begin_cpu(c, index);
		memcpy(copies[i], c->mem[index], c->length);
		end_cpu(c, index);
		check_eq(nvmedmabuf_write(c->ctx, c->maps[index], 0, c->length, block_of(c, i),
					  NULL),
			 0);
		give_to_camera(c, index);
	}
	check_sys(ioctl(c->fd, VIDIOC_STREAMOFF, &type));
}

/* From the drive back to a buffer of the camera's, which holds something else. */
static void play(struct camera *c, uint32_t frame, const uint8_t *copy)
{
	uint32_t index = frame % BUFFERS;

	begin_cpu(c, index);
	memset(c->mem[index], 0xa5, c->length);
	end_cpu(c, index);
	check_eq(nvmedmabuf_read(c->ctx, c->maps[index], 0, c->length, block_of(c, frame), NULL),
		 0);
	begin_cpu(c, index);
	compare("a frame that was read back", c->mem[index], copy, c->length, 0);
	end_cpu(c, index);
}

static void recorded(const void *arg)
{
	uint8_t *copies[FRAMES], *there;
	struct camera c;

	require_erase();
	camera_open(&c, arg);
	there = pages_alloc(c.length);
	for (uint32_t i = 0; i < FRAMES; i++) {
		copies[i] = pages_alloc(c.length);
		rnd_fill(there, c.length);
		drive_write(&c.drive, block_of(&c, i), there, c.length);
	}
	record(&c, copies);
	for (uint32_t i = 0; i < FRAMES; i++) {
		drive_read(&c.drive, block_of(&c, i), there, c.length);
		compare("a frame on the drive", there, copies[i], c.length, 0);
		/* It is a film, and not one picture. */
		check(!i || memcmp(copies[i], copies[i - 1], c.frame));
		play(&c, i, copies[i]);
	}
	camera_close(&c);
	camera_remove();
}

/* One of the library's, which is all that is left of it. */
static void named_buffer(struct buffer *buffer, uint64_t size)
{
	struct nvmedmabuf_buffer *made;
	char name[64];

	snprintf(name, sizeof(name), "v4l2:%s", camera_path());
	check_eq(nvmedmabuf_buffer_create(name, size, &made), 0);
	*buffer = (struct buffer){ .memfd = -1, .size = nvmedmabuf_buffer_size(made) };
	check(buffer->size >= size);
	buffer->fd = check_sys(dup(nvmedmabuf_buffer_fd(made)));
	nvmedmabuf_buffer_free(made);
	buffer->addr = check_sys(
		mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0));
}

/* Commands of every length that there is room for, in the directions that @access allows. */
static void transfer(struct rig *rig, uint32_t access)
{
	const uint64_t block = rig->drive.block, most = min_u64(rig->length / block, rig->count);

	for (unsigned int i = 0; i < scaled(8); i++) {
		uint64_t blocks = i ? 1 + rnd_below(most) : most, bytes = blocks * block;
		uint64_t offset = rnd_below((rig->length - bytes) / 4 + 1) * 4;
		uint64_t slba = rig->first + rnd_below(rig->count - blocks + 1);

		if (access == ACCESS_BOTH ? i % 2 : access == NVME_DMABUF_ACCESS_READ)
			rig_read(rig, offset, bytes, slba);
		else
			rig_write(rig, offset, bytes, slba);
	}
	rig_verify(rig);
}

static void each_direction(const void *arg)
{
	static const uint32_t accesses[] = { NVME_DMABUF_ACCESS_READ, NVME_DMABUF_ACCESS_WRITE,
					     ACCESS_BOTH };
	struct buffer buffer;
	struct rig rig;

	require_erase();
	named_buffer(&buffer, SIZE);
	check_eq(buffer.size, SIZE);
	rig_open_buffer(&rig, arg, &buffer, SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		uint64_t start = rnd_below(16 * KIB) * 4;

		rig_attach(&rig, start, SIZE - start - rnd_below(64 * KIB), accesses[i]);
		transfer(&rig, accesses[i]);
		rig_detach(&rig);
	}
	rig_close(&rig);
	camera_remove();
}

/* A buffer is a frame at least, and leaves the camera to others. */
static void small(const void *arg)
{
	struct buffer buffer;
	struct camera c;

	require_erase();
	named_buffer(&buffer, 1);
	camera_open(&c, arg);
	check_eq(buffer.size, (c.frame + PAGE - 1) / PAGE * PAGE);
	camera_close(&c);
	buffer_free(&buffer);
	camera_remove();
}

/* The memory is the buffer's, and stays. */
static void camera_leaves(const void *arg)
{
	struct buffer buffer;
	struct rig rig;

	require_erase();
	named_buffer(&buffer, SIZE);
	rig_open_buffer(&rig, arg, &buffer, SIZE);
	rig_attach_all(&rig);
	transfer(&rig, ACCESS_BOTH);
	camera_remove();
	transfer(&rig, ACCESS_BOTH);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	const char *drive;

	require_device();
	drive = main_drive();
	tap_add(recorded, drive, "frames are recorded and played");
	tap_add(each_direction, drive, "a camera's buffer, in each direction");
	tap_add(small, drive, "a buffer of one frame, and the camera in use");
	tap_add(camera_leaves, drive, "the camera goes, its buffer stays");
	return tap_run(argc, argv);
}
