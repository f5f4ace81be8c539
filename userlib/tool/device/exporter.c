// SPDX-License-Identifier: MIT
/*
 * Where dma-bufs come from: which exporters this kernel has, and the argument
 * of --buffer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

#define UDMABUF_NODE "/dev/udmabuf"
#define MEMORY_NODE  "/dev/nvme-dmabuf"
#define HEAP_DIR     "/dev/dma_heap"
#define DRI_DIR	     "/dev/dri"

static void set(struct exporter *e, enum exporter_kind kind, const char *prefix, const char *name,
		const char *path)
{
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	snprintf(e->name, sizeof(e->name), "%s%s", prefix, name);
	snprintf(e->path, sizeof(e->path), "%s", path);
}

static void set_heap(struct exporter *e, const char *heap)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), HEAP_DIR "/%s", heap);
	set(e, EXPORTER_HEAP, "heap:", heap, path);
}

int exporter_parse(const char *text, struct exporter *e)
{
	if (strlen(text) >= PATH_SIZE - sizeof(HEAP_DIR))
		return -EINVAL;
	if (strcmp(text, "auto") == 0) {
		set(e, EXPORTER_AUTO, "", "auto", "");
	} else if (strcmp(text, "udmabuf") == 0) {
		set(e, EXPORTER_UDMABUF, "", text, UDMABUF_NODE);
	} else if (strcmp(text, "huge") == 0) {
		set(e, EXPORTER_HUGE, "", text, UDMABUF_NODE);
	} else if (strcmp(text, "memory") == 0) {
		set(e, EXPORTER_MEMORY, "", text, MEMORY_NODE);
	} else if (strcmp(text, "memory:huge") == 0) {
		set(e, EXPORTER_MEMORY_HUGE, "", text, MEMORY_NODE);
	} else if (strcmp(text, "heap") == 0) {
		set_heap(e, "system");
	} else if (strncmp(text, "heap:", 5) == 0 && text[5] && !strchr(text, '/')) {
		set_heap(e, text + 5);
	} else if (strcmp(text, "drm") == 0) {
		set(e, EXPORTER_DRM, "drm:", DRI_DIR "/card0", DRI_DIR "/card0");
	} else if (strncmp(text, "drm:/", 5) == 0) {
		set(e, EXPORTER_DRM, "", text, text + 4);
	} else {
		return -EINVAL;
	}
	return 0;
}

int exporter_parse_or_report(const char *text, struct exporter *e)
{
	if (exporter_parse(text, e))
		return report_usage(
			"--buffer '%s' is none of auto, udmabuf, huge, heap[:NAME], drm[:/dev/dri/cardN], memory and memory:huge",
			text);
	return TOOL_OK;
}

static const char *node_obstacle(const char *path, const char *missing)
{
	if (access(path, R_OK | W_OK) == 0)
		return NULL;
	if (errno == ENOENT || errno == ENXIO)
		return missing;
	return "no permission to open it; run this as root or as a member of the node's group";
}

bool exporter_is_huge(const struct exporter *e)
{
	return e->kind == EXPORTER_HUGE || e->kind == EXPORTER_MEMORY_HUGE;
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

static struct exporter *grow(struct exporter **list, int *count)
{
	struct exporter *grown = realloc(*list, (*count + 1) * sizeof(**list));

	if (!grown)
		return NULL;
	*list = grown;
	return &grown[(*count)++];
}

static int list_udmabuf(struct exporter **list, int *count)
{
	const char *obstacle = node_obstacle(
		UDMABUF_NODE,
		"this kernel has no udmabuf (CONFIG_UDMABUF; Debian has it from 6.12 on); try modprobe vgem and --buffer drm");
	struct exporter *e;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, EXPORTER_UDMABUF, "", "udmabuf", UDMABUF_NODE);
	e->obstacle = obstacle;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, EXPORTER_HUGE, "", "huge", UDMABUF_NODE);
	e->obstacle = obstacle ? obstacle : huge_obstacle();
	return 0;
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
		set(e, EXPORTER_DRM, "drm:", DRI_DIR "/card0", DRI_DIR "/card0");
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
		set(e, EXPORTER_DRM, "drm:", path, path);
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
	const char *obstacle = node_obstacle(MEMORY_NODE, "the module is not loaded");
	struct exporter *e;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, EXPORTER_MEMORY, "", "memory", MEMORY_NODE);
	e->obstacle = obstacle;

	e = grow(list, count);
	if (!e)
		return -ENOMEM;
	set(e, EXPORTER_MEMORY_HUGE, "", "memory:huge", MEMORY_NODE);
	e->obstacle = obstacle ? obstacle : huge_obstacle();
	return 0;
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
		return count;
	free(*list);
	*list = NULL;
	return ret;
}

int exporter_create(const struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	switch (e->kind) {
	case EXPORTER_UDMABUF:
		return nvmedmabuf_buffer_udmabuf(size, 0, buf);
	case EXPORTER_HUGE:
		return nvmedmabuf_buffer_udmabuf(size, NVMEDMABUF_BUFFER_HUGE, buf);
	case EXPORTER_HEAP:
		return nvmedmabuf_buffer_heap(e->path + strlen(HEAP_DIR "/"), size, 0, buf);
	case EXPORTER_DRM:
		return nvmedmabuf_buffer_drm(e->path, size, 0, buf);
	case EXPORTER_MEMORY:
		return nvmedmabuf_buffer_memory(size, 0, buf);
	case EXPORTER_MEMORY_HUGE:
		return nvmedmabuf_buffer_memory(size, NVMEDMABUF_BUFFER_HUGE, buf);
	default:
		return -EINVAL;
	}
}

int exporter_create_any(struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	struct exporter *list;
	int count, ret = -ENOENT;

	count = exporter_list(&list);
	for (int i = 0; i < count && ret; i++) {
		/* Huge pages are scarce: only who asks gets them. */
		if (list[i].obstacle || exporter_is_huge(&list[i]))
			continue;
		ret = exporter_create(&list[i], size, buf);
		if (!ret)
			*e = list[i];
	}
	free(list);
	return ret;
}

int exporter_create_or_report(struct exporter *e, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	char text[SIZE_TEXT];
	const char *hint = "";
	int ret;

	if (e->kind == EXPORTER_AUTO) {
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
	if (ret == -ENOENT)
		hint = "; 'nvme-dmabuf info' shows which exporters exist";
	else if (ret == -ENOMEM && e->kind == EXPORTER_MEMORY)
		hint = "; perhaps it is more than RLIMIT_MEMLOCK allows: see ulimit -l";
	else if (ret == -ENOMEM && e->kind == EXPORTER_MEMORY_HUGE)
		hint = "; reserve huge pages (sysctl vm.nr_hugepages=32), or it is more than RLIMIT_MEMLOCK allows: see ulimit -l";
	else if (ret == -EINVAL && e->kind != EXPORTER_DRM)
		hint = "; perhaps it is above the exporter's limit (udmabuf: module parameter size_limit_mb): try a smaller one";
	else if (ret == -ENOMEM && exporter_is_huge(e))
		hint = "; reserve huge pages: sysctl vm.nr_hugepages=32";
	return report_error(TOOL_FAILED, "no-buffer", "%s gives no dma-buf of %s: %s%s", e->name,
			    size_text(size, text), strerror(-ret), hint);
}
