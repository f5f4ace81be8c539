// SPDX-License-Identifier: MIT
/*
 * Where dma-bufs come from: which exporters this machine has, and what to do if one gives
 * no buffer. What their names mean, the library knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "device.h"

#define UDMABUF_NODE "/dev/udmabuf"
#define MEMORY_NODE  "/dev/nvme-dmabuf"
#define HEAP_DIR     "/dev/dma_heap"
#define DRI_DIR	     "/dev/dri"
#define VIDEO_DIR    "/sys/class/video4linux"

/* @node is what must be there to use it. */
static void set(struct exporter *e, const char *kind, const char *argument, const char *node)
{
	memset(e, 0, sizeof(*e));
	snprintf(e->name, sizeof(e->name), "%s%s", kind, argument);
	snprintf(e->path, sizeof(e->path), "%s", node);
}

static void set_heap(struct exporter *e, const char *heap)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), HEAP_DIR "/%s", heap);
	set(e, "heap:", heap, path);
}

int exporter_parse(const char *text, struct exporter *e)
{
	if (strlen(text) >= sizeof(e->name))
		return -EINVAL;
	if (strcmp(text, "auto") != 0 && nvmedmabuf_buffer_check_name(text))
		return -EINVAL;
	set(e, text, "", "");
	return 0;
}

int exporter_parse_or_report(const char *text, struct exporter *e)
{
	if (exporter_parse(text, e))
		return report_usage("--buffer '%s' is none of auto, %s", text,
				    nvmedmabuf_buffer_names());
	return TOOL_OK;
}

bool exporter_is_auto(const struct exporter *e)
{
	return strcmp(e->name, "auto") == 0;
}

bool exporter_is(const struct exporter *e, const char *kind)
{
	const size_t length = strlen(kind);

	return strncmp(e->name, kind, length) == 0 && (!e->name[length] || e->name[length] == ':');
}

bool exporter_is_huge(const struct exporter *e)
{
	return strcmp(e->name, "huge") == 0 || strcmp(e->name, "memory:huge") == 0;
}

static const char *node_obstacle(const char *path, const char *missing)
{
	if (access(path, R_OK | W_OK) == 0)
		return NULL;
	if (errno == ENOENT || errno == ENXIO)
		return missing;
	return "no permission to open it; run this as root or as a member of the node's group";
}

static const char *huge_obstacle(void)
{
	char line[128];
	unsigned long free_pages = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return NULL;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "HugePages_Free: %lu", &free_pages) == 1)
			break;
	}
	fclose(f);
	return free_pages ? NULL :
			    "no huge pages are free; reserve some: sysctl vm.nr_hugepages=32";
}

static bool is_card(const char *name)
{
	return strncmp(name, "card", 4) == 0 && name[4] >= '0' && name[4] <= '9';
}

static bool is_render_node(const char *name)
{
	return strncmp(name, "renderD", 7) == 0;
}

static struct exporter *grow(struct exporter **list, int *count)
{
	struct exporter *grown = realloc(*list, (*count + 1) * sizeof(**list));

	if (!grown)
		return NULL;
	*list = grown;
	return &grown[(*count)++];
}

/* An exporter of small pages, and under another name of huge ones. */
static int list_pages(struct exporter **list, int *count, const char *small, const char *huge,
		      const char *node, const char *missing)
{
	const char *obstacle = node_obstacle(node, missing);
	struct exporter *e;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, small, "", node);
	e->obstacle = obstacle;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, huge, "", node);
	e->obstacle = obstacle ? obstacle : huge_obstacle();
	return 0;
}

static int list_udmabuf(struct exporter **list, int *count)
{
	return list_pages(
		list, count, "udmabuf", "huge", UDMABUF_NODE,
		"this kernel has no udmabuf (CONFIG_UDMABUF; Debian has it from 6.12 on); try --buffer memory");
}

static int list_heaps(struct exporter **list, int *count)
{
	struct exporter *e;
	char **names;
	int n, ret = 0;

	n = names_list(HEAP_DIR, NULL, &names);
	if (n <= 0) {
		e = grow(list, count);
		if (!e)
			return -ENOMEM;
		set_heap(e, "system");
		e->obstacle =
			"this kernel has no DMA heaps (CONFIG_DMABUF_HEAPS_SYSTEM; Debian has them from 6.12 on)";
		return 0;
	}
	for (int i = 0; i < n && !ret; i++) {
		e = grow(list, count);
		if (e) {
			set_heap(e, names[i]);
			e->obstacle = node_obstacle(e->path, "there is no such heap");
		} else {
			ret = -ENOMEM;
		}
	}
	names_free(names, n);
	return ret;
}

static int list_drm(struct exporter **list, int *count)
{
	struct exporter *e;
	char **names, path[PATH_SIZE];
	int n, ret = 0;

	n = names_list(DRI_DIR, is_card, &names);
	if (n <= 0) {
		e = grow(list, count);
		if (!e)
			return -ENOMEM;
		set(e, "drm:", DRI_DIR "/card0", DRI_DIR "/card0");
		e->obstacle = "no graphics device; for tests, 'modprobe vgem' makes a virtual one";
		return 0;
	}
	for (int i = 0; i < n && !ret; i++) {
		e = grow(list, count);
		if (!e) {
			ret = -ENOMEM;
			break;
		}
		snprintf(path, sizeof(path), DRI_DIR "/%s", names[i]);
		set(e, "drm:", path, path);
		e->obstacle = node_obstacle(path, "there is no such graphics device");
		/* A device without hardware has no driver of its own. */
		if (sysfs_link_name(e->driver, sizeof(e->driver), "/sys/class/drm/%s/device/driver",
				    names[i]) ||
		    strcmp(e->driver, "faux_driver") == 0)
			sysfs_link_name(e->driver, sizeof(e->driver), "/sys/class/drm/%s/device",
					names[i]);
	}
	names_free(names, n);
	return ret;
}

static int list_memory(struct exporter **list, int *count)
{
	return list_pages(list, count, "memory", "memory:huge", MEMORY_NODE,
			  "the module is not loaded");
}

/* Does it capture? Such devices have other nodes, too. */
static bool is_capture_node(const char *path, struct exporter *e)
{
	const uint32_t capture = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE;
	struct v4l2_capability cap = { .capabilities = 0 };
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	uint32_t caps;
	bool is;

	if (fd < 0)
		return false;
	is = ioctl(fd, VIDIOC_QUERYCAP, &cap) == 0;
	close(fd);
	caps = cap.capabilities & V4L2_CAP_DEVICE_CAPS ? cap.device_caps : cap.capabilities;
	snprintf(e->driver, sizeof(e->driver), "%.*s", (int)sizeof(cap.driver),
		 (const char *)cap.driver);
	return is && caps & capture && caps & V4L2_CAP_STREAMING;
}

static bool is_video(const char *name)
{
	return strncmp(name, "video", 5) == 0;
}

/* Those that there are; no machine needs one. */
static int list_v4l2(struct exporter **list, int *count)
{
	struct exporter *e, device;
	char **names, path[PATH_SIZE];
	int n, ret = 0;

	n = names_list(VIDEO_DIR, is_video, &names);
	for (int i = 0; i < n && !ret; i++) {
		snprintf(path, sizeof(path), "/dev/%s", names[i]);
		set(&device, "v4l2:", path, path);
		device.on_request = true;
		if (!is_capture_node(path, &device))
			continue;
		e = grow(list, count);
		if (e)
			*e = device;
		else
			ret = -ENOMEM;
	}
	if (n > 0)
		names_free(names, n);
	return ret;
}

/* An entry, if @node is there: no machine needs one. */
static int list_gpu(struct exporter **list, int *count, const char *kind, const char *node)
{
	struct exporter *e;

	if (access(node, F_OK) != 0)
		return 0;
	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, kind, "", node);
	e->on_request = true;
	e->obstacle = node_obstacle(node, "there is no such device");
	return 0;
}

/* By the nodes of their drivers: no vendor's library is loaded to look. */
static int list_gpus(struct exporter **list, int *count)
{
	char **names, driver[NAME_SIZE], node[PATH_SIZE];
	int n, ret;

	ret = list_gpu(list, count, "cuda", "/dev/nvidiactl");
	if (!ret)
		ret = list_gpu(list, count, "hip", "/dev/kfd");
	if (ret)
		return ret;

	n = names_list(DRI_DIR, is_render_node, &names);
	for (int i = 0; i < n; i++) {
		if (sysfs_link_name(driver, sizeof(driver), "/sys/class/drm/%s/device/driver",
				    names[i]) ||
		    (strcmp(driver, "i915") != 0 && strcmp(driver, "xe") != 0))
			continue;
		snprintf(node, sizeof(node), DRI_DIR "/%s", names[i]);
		ret = list_gpu(list, count, "ze", node);
		break;
	}
	if (n > 0)
		names_free(names, n);
	return ret;
}

int exporter_list(struct exporter **list)
{
	int count = 0, ret;

	*list = NULL;
	ret = list_udmabuf(list, &count);
	if (!ret)
		ret = list_heaps(list, &count);
	if (!ret)
		ret = list_drm(list, &count);
	if (!ret)
		ret = list_memory(list, &count);
	if (!ret)
		ret = list_v4l2(list, &count);
	if (!ret)
		ret = list_gpus(list, &count);
	if (!ret)
		return count;
	free(*list);
	*list = NULL;
	return ret;
}

int exporter_create(const struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	return nvmedmabuf_buffer_create(e->name, size, buf);
}

int exporter_create_any(struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	struct exporter *list;
	int count, ret = -ENOENT;

	count = exporter_list(&list);
	for (int i = 0; i < count && ret; i++) {
		/* Huge pages are scarce: only who asks gets them. */
		if (list[i].obstacle || list[i].on_request || exporter_is_huge(&list[i]))
			continue;
		ret = exporter_create(&list[i], size, buf);
		if (!ret)
			*e = list[i];
	}
	free(list);
	return ret;
}

/* What to do if an exporter gives no buffer: the first that fits. NULL fits all exporters. */
static const struct {
	const char *kind;
	int error;
	const char *hint;
} hints[] = {
	{ "vfio", ENOENT,
	  "; is there such a device, is it bound to vfio-pci, and does it have an IOMMU?" },
	{ "vfio", ENOTTY, "; this kernel's vfio-pci exports no memory (Linux 6.19 and later)" },
	{ "vfio", EBUSY,
	  "; another buffer or program has the device, or another of its IOMMU group" },
	{ "vfio", EINVAL, "; the BAR is not memory, or smaller" },
	{ "v4l2", EINVAL,
	  "; the device's driver makes no buffers larger than a frame: set a larger format, or try a smaller one" },
	{ "cuda", ELIBACC, "; install libcuda.so.1, which is part of NVIDIA's driver" },
	{ "cuda", ENOSYS,
	  "; libcuda.so.1 is too old: dma-bufs need CUDA 11.7 (driver 515) or later" },
	{ "cuda", ENODEV,
	  "; CUDA has no such device, or its driver is not loaded: 'nvidia-smi -L' shows which there are" },
	{ "cuda", EOPNOTSUPP,
	  "; dma-bufs need NVIDIA's open kernel modules ('modinfo -F license nvidia' says MIT/GPL) and a GPU of the Turing generation or later" },
	{ "cuda", ENOMEM, "; other programs may have the GPU's memory: try a smaller one" },
	{ "cuda", EIO, "; CUDA fails with another error: does 'nvidia-smi' work?" },
	{ "hip", ELIBACC, "; install libhsa-runtime64.so.1, which is part of AMD's ROCm" },
	{ "hip", ENOSYS, "; libhsa-runtime64.so.1 is too old to export dma-bufs" },
	{ "hip", ENODEV,
	  "; HSA has no such GPU ('rocminfo' shows which there are), or this user may not open /dev/kfd: join its group" },
	{ "hip", EOPNOTSUPP,
	  "; this kernel's amdgpu driver exports no dma-bufs for ROCm (KFD 1.12 and later; Linux 6.12 has it, 6.1 has not)" },
	{ "hip", ENOMEM, "; other programs may have the GPU's memory: try a smaller one" },
	{ "hip", EIO, "; HSA fails with another error: does 'rocminfo' work?" },
	{ "ze", ELIBACC, "; install libze_loader.so.1, the loader of oneAPI Level Zero" },
	{ "ze", ENOSYS, "; libze_loader.so.1 is too old to export dma-bufs" },
	{ "ze", ENODEV,
	  "; Level Zero has no such GPU: install its driver (Intel's compute runtime), and see that this user may open /dev/dri/renderD*" },
	{ "ze", EOPNOTSUPP, "; the GPU's driver for Level Zero exports no dma-bufs" },
	{ "ze", ENOMEM, "; other programs may have the GPU's memory: try a smaller one" },
	{ "drm", ELIBACC, "; install libdrm.so.2 (package libdrm2)" },
	{ NULL, ENOENT, "; 'nvme-dmabuf info' shows which exporters exist" },
	{ "memory:huge", ENOMEM,
	  "; reserve huge pages (sysctl vm.nr_hugepages=32), or it is more than RLIMIT_MEMLOCK allows: see ulimit -l" },
	{ "memory", ENOMEM, "; perhaps it is more than RLIMIT_MEMLOCK allows: see ulimit -l" },
	{ "udmabuf", EINVAL,
	  "; perhaps it is above the exporter's limit (udmabuf: module parameter size_limit_mb): try a smaller one" },
	{ "huge", EINVAL,
	  "; perhaps it is above the exporter's limit (udmabuf: module parameter size_limit_mb): try a smaller one" },
	{ "huge", ENOMEM, "; reserve huge pages: sysctl vm.nr_hugepages=32" },
};

const char *exporter_hint(const struct exporter *e, int err)
{
	for (size_t i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		if (hints[i].error == -err && (!hints[i].kind || exporter_is(e, hints[i].kind)))
			return hints[i].hint;
	return "";
}

int exporter_create_or_report(struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	char text[SIZE_TEXT];
	int ret;

	if (exporter_is_auto(e)) {
		ret = exporter_create_any(e, size, buf);
		if (!ret)
			return TOOL_OK;
		return report_error(
			TOOL_FAILED, "no-exporter",
			"no exporter gives a dma-buf of %s (%s); 'nvme-dmabuf info' shows which exist and what they need",
			size_text(size, text), strerror(-ret));
	}

	ret = exporter_create(e, size, buf);
	if (!ret)
		return TOOL_OK;
	return report_error(TOOL_FAILED, "no-buffer", "%s gives no dma-buf of %s: %s%s", e->name,
			    size_text(size, text), strerror(-ret), exporter_hint(e, ret));
}
