// SPDX-License-Identifier: MIT
/*
 * Exporters that are chosen by name: which names there are, what each leads to, and those that
 * nothing else leads to, V4L2 and vfio.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/udmabuf.h>
#include <linux/vfio.h>
#include <linux/videodev2.h>

#include <nvmedmabuf.h>

#include "mock.h"

#define VIDEO		"/dev/video3"
#define CONTAINER	"/dev/vfio/vfio"
#define GROUP		"/dev/vfio/17"
#define DEVICE		"vfio-device"
#define ADDRESS		"0000:03:00.1"
#define IOMMU_GROUP	"../../../kernel/iommu_groups/17"

static uint64_t page;

static int create(const char *name, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	*buf = NULL;
	return nvmedmabuf_buffer_create(name, size, buf);
}

/* Names */

static const char *const good[] = {
	"udmabuf", "huge", "heap", "heap:system", "heap:a:b", "drm", "drm:/dev/dri/card7",
	"memory", "memory:huge", "v4l2:/dev/video0", "vfio:0000:03:00.1", "vfio:10000:e1:1f.7",
	"vfio:ffffffff:FF:1f.7:5", "vfio:0000:03:00.1:0", "cuda", "cuda:0", "cuda:12", "cuda:007",
	"hip", "hip:1", "ze", "ze:0",
};

static const char *const bad[] = {
	"", ":", "tape", "auto", "udmabu", "udmabufx", "udmabuf:", "udmabuf:x", "huge:", "heap:",
	"heap:../x", "HEAP", " heap", "drm:", "drm:card0", "memory:", "memory:hug", "memory:huge:",
	"v4l2", "v4l2:", "v4l2:video0", "vfio", "vfio:", "vfio:0000", "vfio:03:00.1",
	"vfio:0000:03:00", "vfio:0000:03:00.", "vfio:0000:03:20.0", "vfio:0000:03:00.8",
	"vfio:0000:103:00.0", "vfio:100000000:03:00.0", "vfio:0000:03:00.1:", "vfio:0000:03:00.1:6",
	"vfio:0000:03:00.1:10", "vfio:0000:03:00.1:a", "vfio:0000:03:00.1:0:", "vfio:0000:03:00.1 ",
	"vfio: 0000:03:00.1", "vfio:-1:03:00.1", "vfio:0x00:03:00.1", "vfio:0000:03:00.1x",
	"vfio:0000:03:00.12", "cuda:", "cuda:x", "cuda:1000", "cuda:1x", "cuda:-1", "cuda:+1",
	"cuda: 1", "cuda:1 ", "cuda:0:1", "hip:", "hip:x", "ze:", "ze:0x1",
};

/* Nothing is opened for a name that makes no sense. */
static void names_are_checked(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (nvmedmabuf_buffer_check_name(good[i]))
			fail_msg("'%s' should be a name", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (nvmedmabuf_buffer_check_name(bad[i]) != -EINVAL)
			fail_msg("'%s' should be no name", bad[i]);
		assert_int_equal(create(bad[i], page, &buf), -EINVAL);
		assert_null(buf);
	}
	assert_string_equal(mock_open_path, "");
	assert_int_equal(mock_memfd_flags, 0);
}

/* Every kind of name is shown, and what is shown is a kind. */
static void names_are_shown(void **state)
{
	char names[300], *kind, *rest = names;
	unsigned int shown = 0, kinds = 0;

	(void)state;
	assert_true(strlen(nvmedmabuf_buffer_names()) < sizeof(names));
	strcpy(names, nvmedmabuf_buffer_names());
	while ((kind = strsep(&rest, ","))) {
		kind += *kind == ' ';
		kind[strcspn(kind, "[:")] = '\0';
		for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
			if (!strcmp(good[i], kind) ||
			    (!strncmp(good[i], kind, strlen(kind)) && good[i][strlen(kind)] == ':')) {
				shown++;
				break;
			}
		kinds++;
	}
	assert_int_equal(shown, kinds);
	assert_int_equal(kinds, 10);
}

/* The device that each name leads to. */
static void names_lead_to_exporters(void **state)
{
	static const struct {
		const char *name, *path;
		unsigned int memfd;
	} cases[] = {
		{ "udmabuf", "/dev/udmabuf", MFD_ALLOW_SEALING },
		{ "huge", "/dev/udmabuf", MFD_ALLOW_SEALING | MFD_HUGETLB },
		{ "heap", "/dev/dma_heap/system", 0 },
		{ "heap:cma", "/dev/dma_heap/cma", 0 },
		{ "drm", "/dev/dri/card0", 0 },
		{ "drm:/dev/dri/card7", "/dev/dri/card7", 0 },
		{ "memory", "/dev/nvme-dmabuf", MFD_ALLOW_SEALING },
		{ "memory:huge", "/dev/nvme-dmabuf", MFD_ALLOW_SEALING | MFD_HUGETLB },
		{ "v4l2:" VIDEO, VIDEO, 0 },
		{ "vfio:" ADDRESS, CONTAINER, 0 },
	};
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		mock_memfd_flags = 0;
		mock_fail("open", ENXIO);
		assert_int_equal(create(cases[i].name, page, &buf), -ENXIO);
		assert_string_equal(mock_open_path, cases[i].path);
		assert_int_equal(mock_memfd_flags & ~MFD_CLOEXEC, cases[i].memfd);
		assert_int_equal(create(cases[i].name, 0, &buf), -EINVAL);
		mock_all_done();
	}
}

static void names_make_buffers(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	MOCK_IOCTLS({ "/dev/udmabuf", UDMABUF_CREATE, NULL, 0, NULL, 0, mock_dmabuf(page, O_RDWR) });
	assert_int_equal(create("udmabuf", 1, &buf), 0);
	assert_int_equal(nvmedmabuf_buffer_size(buf), page);
	nvmedmabuf_buffer_free(buf);
}

/* V4L2 */

static uint32_t video_caps, video_frame, video_planes, video_index, video_count;
static int video_fd;
static struct v4l2_requestbuffers video_request;
static struct v4l2_create_buffers video_larger;
static struct v4l2_exportbuffer video_export;

/* What a node can do stands apart from what its device can. */
static void answer_querycap(void *arg)
{
	struct v4l2_capability *cap = arg;

	cap->capabilities = V4L2_CAP_DEVICE_CAPS | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
	cap->device_caps = video_caps;
}

static void answer_querycap_of_old_driver(void *arg)
{
	struct v4l2_capability *cap = arg;

	cap->capabilities = video_caps;
}

static void answer_format(void *arg)
{
	struct v4l2_format *format = arg;

	if (video_caps & V4L2_CAP_VIDEO_CAPTURE) {
		assert_int_equal(format->type, V4L2_BUF_TYPE_VIDEO_CAPTURE);
		format->fmt.pix.sizeimage = video_frame;
		return;
	}
	assert_int_equal(format->type, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
	format->fmt.pix_mp.num_planes = (uint8_t)video_planes;
	format->fmt.pix_mp.plane_fmt[0].sizeimage = video_frame;
}

static void answer_request(void *arg)
{
	struct v4l2_requestbuffers *request = arg;

	video_request = *request;
	request->count = video_count;
}

static void answer_larger(void *arg)
{
	struct v4l2_create_buffers *request = arg;

	video_larger = *request;
	request->index = video_index;
	request->count = video_count;
}

static void answer_export(void *arg)
{
	struct v4l2_exportbuffer *export = arg;

	video_export = *export;
	export->fd = video_fd;
}

#define EXPECT_CAP		{ VIDEO, VIDIOC_QUERYCAP, NULL, 0, answer_querycap, 0, 0 }
#define EXPECT_OLD_CAP		{ VIDEO, VIDIOC_QUERYCAP, NULL, 0, \
				  answer_querycap_of_old_driver, 0, 0 }
#define EXPECT_FORMAT(error)	{ VIDEO, VIDIOC_G_FMT, NULL, 0, answer_format, error, 0 }
#define EXPECT_REQUEST(error)	{ VIDEO, VIDIOC_REQBUFS, NULL, 0, answer_request, error, 0 }
#define EXPECT_LARGER(error)	{ VIDEO, VIDIOC_CREATE_BUFS, NULL, 0, answer_larger, error, 0 }
#define EXPECT_EXPORT(error)	{ VIDEO, VIDIOC_EXPBUF, NULL, 0, answer_export, error, 0 }

static void video_device(uint32_t caps, uint32_t frame)
{
	video_caps = caps;
	video_frame = frame;
	video_planes = 1;
	video_index = 0;
	video_count = 1;
	video_fd = -1;
}

static int video(uint64_t size, struct nvmedmabuf_buffer **buf)
{
	return create("v4l2:" VIDEO, size, buf);
}

static void check_video_export(uint32_t type, uint32_t index)
{
	assert_int_equal(video_export.type, type);
	assert_int_equal(video_export.index, index);
	assert_int_equal(video_export.plane, 0);
	assert_int_equal(video_export.flags, O_RDWR | O_CLOEXEC);
}

/* A frame that is as large, or larger, is one buffer of the device's. */
static void video_exports_a_frame(void **state)
{
	const uint32_t kinds[][2] = {
		{ V4L2_CAP_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_CAPTURE },
		{ V4L2_CAP_VIDEO_CAPTURE_MPLANE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE },
	};
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		video_device(kinds[i][0], 460800);
		video_fd = mock_dmabuf(113 * page, O_RDWR);
		MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_REQUEST(0), EXPECT_EXPORT(0));
		assert_int_equal(video(i ? 460800 : 1, &buf), 0);
		assert_string_equal(mock_open_path, VIDEO);
		assert_int_equal(mock_open_flags, O_RDWR | O_CLOEXEC);
		assert_int_equal(video_request.count, 1);
		assert_int_equal(video_request.type, kinds[i][1]);
		assert_int_equal(video_request.memory, V4L2_MEMORY_MMAP);
		check_video_export(kinds[i][1], 0);
		assert_int_equal(nvmedmabuf_buffer_fd(buf), video_fd);
		assert_int_equal(nvmedmabuf_buffer_size(buf), 113 * page);
		nvmedmabuf_buffer_free(buf);
	}
}

/* A larger one is asked for. */
static void video_exports_more_than_a_frame(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	video_device(V4L2_CAP_VIDEO_CAPTURE, 460800);
	video_index = 2;
	video_fd = mock_dmabuf(113 * page, O_RDWR);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(0), EXPECT_EXPORT(0));
	assert_int_equal(video(460801, &buf), 0);
	assert_int_equal(video_larger.count, 1);
	assert_int_equal(video_larger.memory, V4L2_MEMORY_MMAP);
	assert_int_equal(video_larger.format.type, V4L2_BUF_TYPE_VIDEO_CAPTURE);
	assert_int_equal(video_larger.format.fmt.pix.sizeimage, 460801);
	check_video_export(V4L2_BUF_TYPE_VIDEO_CAPTURE, 2);
	nvmedmabuf_buffer_free(buf);

	video_device(V4L2_CAP_VIDEO_CAPTURE_MPLANE, 1);
	video_fd = mock_dmabuf(2 * page, O_RDWR);
	MOCK_IOCTLS(EXPECT_OLD_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(0), EXPECT_EXPORT(0));
	assert_int_equal(video(2 * page, &buf), 0);
	assert_int_equal(video_larger.format.type, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
	assert_int_equal(video_larger.format.fmt.pix_mp.plane_fmt[0].sizeimage, 2 * page);
	nvmedmabuf_buffer_free(buf);
}

/* Drivers refuse a larger buffer, do not know how to make one, or make a smaller one. */
static void video_has_no_buffer_of_that_size(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	video_device(V4L2_CAP_VIDEO_CAPTURE, 460800);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(EINVAL));
	assert_int_equal(video(460801, &buf), -EINVAL);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(ENOTTY));
	assert_int_equal(video(460801, &buf), -EINVAL);
	mock_all_done();

	video_fd = mock_dmabuf(page, O_RDWR);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(0), EXPECT_EXPORT(0));
	assert_int_equal(video(460801, &buf), -EINVAL);
	mock_all_done();

	video_fd = -1;
	assert_int_equal(video(1ULL << 32, &buf), -EINVAL);
	assert_int_equal(video(UINT64_MAX, &buf), -EINVAL);
	assert_null(buf);
}

static void video_captures_frames_in_one_buffer(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	/* The device captures, but not this node of it. */
	video_device(V4L2_CAP_VIDEO_OUTPUT, 460800);
	MOCK_IOCTLS(EXPECT_CAP);
	assert_int_equal(video(page, &buf), -EOPNOTSUPP);
	mock_all_done();

	for (unsigned int planes = 0; planes <= 3; planes++) {
		if (planes == 1)
			continue;
		video_device(V4L2_CAP_VIDEO_CAPTURE_MPLANE, 460800);
		video_planes = planes;
		MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0));
		assert_int_equal(video(page, &buf), -EOPNOTSUPP);
		mock_all_done();
	}
}

static void video_fails_as_its_system_calls(void **state)
{
	static const char *const after[] = { "lseek", "calloc" };
	struct nvmedmabuf_buffer *buf;

	(void)state;
	video_device(V4L2_CAP_VIDEO_CAPTURE, 460800);
	mock_fail("open", EACCES);
	assert_int_equal(video(page, &buf), -EACCES);
	MOCK_IOCTLS({ VIDEO, VIDIOC_QUERYCAP, NULL, 0, NULL, ENOTTY, 0 });
	assert_int_equal(video(page, &buf), -ENOTTY);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(EBUSY));
	assert_int_equal(video(page, &buf), -EBUSY);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_REQUEST(EBUSY));
	assert_int_equal(video(page, &buf), -EBUSY);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(ENOMEM));
	assert_int_equal(video(460801, &buf), -ENOMEM);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_REQUEST(0), EXPECT_EXPORT(EINVAL));
	assert_int_equal(video(page, &buf), -EINVAL);
	mock_all_done();

	video_count = 0;
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_REQUEST(0));
	assert_int_equal(video(page, &buf), -ENOMEM);
	MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_LARGER(0));
	assert_int_equal(video(460801, &buf), -ENOMEM);
	mock_all_done();

	video_count = 1;
	for (size_t i = 0; i < 2; i++) {
		mock_fail(after[i], ENOMEM);
		video_fd = mock_dmabuf(113 * page, O_RDWR);
		MOCK_IOCTLS(EXPECT_CAP, EXPECT_FORMAT(0), EXPECT_REQUEST(0), EXPECT_EXPORT(0));
		assert_int_equal(video(page, &buf), -ENOMEM);
		mock_all_done();
	}
	assert_null(buf);
}

/* vfio */

#define BAR_AT(bar)	((uint64_t)(bar) << 40)

static struct {
	uint64_t size;
	uint32_t flags;
} bars[6];
static const uint32_t memory_bar = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				   VFIO_REGION_INFO_FLAG_MMAP;
static uint32_t vfio_in[12];
static char vfio_address[32];

static void look_at_address(void *arg)
{
	snprintf(vfio_address, sizeof(vfio_address), "%s", (const char *)arg);
}

static void answer_region(void *arg)
{
	struct vfio_region_info *info = arg;

	assert_int_equal(info->argsz, sizeof(*info));
	assert_in_range(info->index, 0, 5);
	info->size = bars[info->index].size;
	info->flags = bars[info->index].flags;
	info->offset = BAR_AT(info->index);
}

/* The kernel's: argsz, flags; region, open flags, flags, ranges; offset, length. */
static void look_at_feature(void *arg)
{
	memcpy(vfio_in, arg, sizeof(vfio_in) - 8);
}

/* Every file that is needed is told apart by its name. */
static void look_at_container(void *arg)
{
	assert_string_equal(mock_name(*(const int *)arg), CONTAINER);
}

#define EXPECT_CONTAINER(error)	{ GROUP, VFIO_GROUP_SET_CONTAINER, NULL, 0, look_at_container, \
				  error, 0 }
#define EXPECT_IOMMU(error)	{ CONTAINER, VFIO_SET_IOMMU, NULL, 0, NULL, error, 0 }
#define EXPECT_DEVICE(error)	{ GROUP, VFIO_GROUP_GET_DEVICE_FD, NULL, 0, look_at_address, error, \
				  (error) ? -1 : mock_file(DEVICE) }
#define EXPECT_REGION		{ DEVICE, VFIO_DEVICE_GET_REGION_INFO, NULL, 0, answer_region, 0, 0 }
#define EXPECT_FEATURE(error, fd) { DEVICE, VFIO_DEVICE_FEATURE, NULL, 0, look_at_feature, error, fd }

/* As QEMU's ivshmem: registers of less than a page, MSI-X, memory. */
static void vfio_device(void)
{
	memset(bars, 0, sizeof(bars));
	memset(vfio_in, 0, sizeof(vfio_in));
	bars[0].size = 256;
	bars[0].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	bars[1].size = page;
	bars[1].flags = memory_bar;
	bars[2].size = 64 * page;
	bars[2].flags = memory_bar;
	mock_link(IOMMU_GROUP);
}

static void vfio_exports_a_bar(void **state)
{
	static const struct {
		const char *name;
		unsigned int pages, looks, bar;
	} cases[] = {
		{ "vfio:" ADDRESS, 1, 2, 1 },
		{ "vfio:" ADDRESS, 2, 3, 2 },
		{ "vfio:" ADDRESS ":2", 1, 1, 2 },
		{ "vfio:" ADDRESS ":2", 64, 1, 2 },
	};
	struct nvmedmabuf_buffer *buf;
	void *addr;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const uint64_t size = cases[i].pages * page;
		int fd = mock_dmabuf(size, O_RDWR);

		vfio_device();
		MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0));
		for (unsigned int look = 0; look < cases[i].looks; look++)
			MOCK_IOCTLS(EXPECT_REGION);
		MOCK_IOCTLS(EXPECT_FEATURE(0, fd));
		/* rounded up to pages */
		assert_int_equal(create(cases[i].name, size - 1, &buf), 0);
		assert_string_equal(mock_link_path, "/sys/bus/pci/devices/" ADDRESS "/iommu_group");
		assert_string_equal(vfio_address, ADDRESS);
		assert_int_equal(vfio_in[0], 40);
		assert_int_equal(vfio_in[1], 11 | VFIO_DEVICE_FEATURE_GET);
		assert_int_equal(vfio_in[2], cases[i].bar);
		assert_int_equal(vfio_in[3], O_RDWR | O_CLOEXEC);
		assert_int_equal(vfio_in[4], 0);
		assert_int_equal(vfio_in[5], 1);
		assert_int_equal(vfio_in[6] | vfio_in[7], 0);
		assert_int_equal(vfio_in[8], size);
		assert_int_equal(vfio_in[9], 0);
		assert_int_equal(nvmedmabuf_buffer_fd(buf), fd);
		assert_int_equal(nvmedmabuf_buffer_size(buf), size);
		/* The CPU sees it through the device's file. */
		assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), 0);
		assert_int_equal(mock_mmap_offset, BAR_AT(cases[i].bar));
		nvmedmabuf_buffer_free(buf);
	}
}

static unsigned int files_of(const char *name)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 64; fd++) {
		const char *is = mock_name(fd);

		n += is && !strcmp(is, name);
	}
	return n;
}

/* The memory is taken back when the device's file is closed. */
static void vfio_keeps_the_device(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION,
		    EXPECT_FEATURE(0, mock_dmabuf(page, O_RDWR)));
	assert_int_equal(create("vfio:" ADDRESS ":1", page, &buf), 0);
	assert_int_equal(files_of(DEVICE), 1);
	assert_int_equal(files_of(GROUP), 1);
	assert_int_equal(files_of(CONTAINER), 1);
	nvmedmabuf_buffer_free(buf);
	assert_int_equal(files_of(DEVICE) + files_of(GROUP) + files_of(CONTAINER), 0);
}

static void vfio_address_is_as_in_sysfs(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	mock_fail("readlink", ENOENT);
	assert_int_equal(create("vfio:0:E1:1F.7:3", page, &buf), -ENOENT);
	assert_string_equal(mock_link_path, "/sys/bus/pci/devices/0000:e1:1f.7/iommu_group");
	mock_fail("readlink", ENOENT);
	assert_int_equal(create("vfio:10000:03:00.0", page, &buf), -ENOENT);
	assert_string_equal(mock_link_path, "/sys/bus/pci/devices/10000:03:00.0/iommu_group");
}

static void vfio_needs_a_bar_that_is_large_enough(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION,
		    EXPECT_REGION, EXPECT_REGION, EXPECT_REGION, EXPECT_REGION, EXPECT_REGION);
	assert_int_equal(create("vfio:" ADDRESS, 64 * page + 1, &buf), -EINVAL);
	mock_all_done();

	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION);
	assert_int_equal(create("vfio:" ADDRESS ":1", page + 1, &buf), -EINVAL);
	mock_all_done();

	/* not memory, however large */
	vfio_device();
	bars[4].size = 64 * page;
	bars[4].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION);
	assert_int_equal(create("vfio:" ADDRESS ":4", page, &buf), -EINVAL);
	mock_all_done();

	mock_link(NULL);
	assert_int_equal(create("vfio:" ADDRESS, UINT64_MAX, &buf), -EOVERFLOW);
	assert_null(buf);
}

static void vfio_fails_as_its_system_calls(void **state)
{
	static const char *const after[] = { "lseek", "calloc" };
	struct nvmedmabuf_buffer *buf;

	(void)state;
	mock_fail("malloc", ENOMEM);
	assert_int_equal(create("vfio:" ADDRESS, page, &buf), -ENOMEM);

	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(EPERM));
	assert_int_equal(create("vfio:" ADDRESS, page, &buf), -EPERM);
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(ENODEV));
	assert_int_equal(create("vfio:" ADDRESS, page, &buf), -ENODEV);
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(EBUSY));
	assert_int_equal(create("vfio:" ADDRESS, page, &buf), -EBUSY);
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0),
		    { DEVICE, VFIO_DEVICE_GET_REGION_INFO, NULL, 0, NULL, EIO, 0 });
	assert_int_equal(create("vfio:" ADDRESS, page, &buf), -EIO);
	/* an older kernel's */
	vfio_device();
	MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION,
		    EXPECT_FEATURE(ENOTTY, 0));
	assert_int_equal(create("vfio:" ADDRESS ":1", page, &buf), -ENOTTY);
	mock_all_done();

	for (size_t i = 0; i < 2; i++) {
		vfio_device();
		mock_fail(after[i], ENOMEM);
		MOCK_IOCTLS(EXPECT_CONTAINER(0), EXPECT_IOMMU(0), EXPECT_DEVICE(0), EXPECT_REGION,
			    EXPECT_FEATURE(0, mock_dmabuf(page, O_RDWR)));
		assert_int_equal(create("vfio:" ADDRESS ":1", page, &buf), -ENOMEM);
		mock_all_done();
	}
	assert_null(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(names_are_checked),
		mock_test(names_are_shown),
		mock_test(names_lead_to_exporters),
		mock_test(names_make_buffers),
		mock_test(video_exports_a_frame),
		mock_test(video_exports_more_than_a_frame),
		mock_test(video_has_no_buffer_of_that_size),
		mock_test(video_captures_frames_in_one_buffer),
		mock_test(video_fails_as_its_system_calls),
		mock_test(vfio_exports_a_bar),
		mock_test(vfio_keeps_the_device),
		mock_test(vfio_address_is_as_in_sysfs),
		mock_test(vfio_needs_a_bar_that_is_large_enough),
		mock_test(vfio_fails_as_its_system_calls),
	};

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
