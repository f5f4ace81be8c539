// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf info: the module, the exporters, the namespaces. What can be told
 * without the module is told without it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sys/utsname.h>

#include "../subcommands.h"
#include "info.h"

static const char help[] =
	"Usage: nvme-dmabuf info [--json] [NAMESPACE | FILE]...\n"
	"Show the module, where dma-bufs can come from, and whether and how each NVMe\n"
	"namespace, or file on one, can be used. Without arguments: all whole namespaces.\n"
	"\n"
	"  NAMESPACE    a namespace or a partition: /dev/nvme0n1, nvme0n1p1\n"
	"  FILE         a file on XFS or ext4\n"
	"  --json       print JSON\n"
	"  -h, --help   this text\n"
	"\n"
	"The exit code is 4 if what was named cannot be used, and 3 if the module cannot be\n"
	"reached. See nvme-dmabuf(8).\n";

static const struct {
	uint64_t flag;
	const char *key;
	const char *text;
} features[] = {
	{ NVME_DMABUF_FEATURE_PEER_TO_PEER, "peer_to_peer", "peer to peer" },
	{ NVME_DMABUF_FEATURE_MOVABLE, "movable", "movable buffers" },
	{ NVME_DMABUF_FEATURE_SGL, "sgl", "SGLs" },
	{ NVME_DMABUF_FEATURE_URING, "io_uring", "io_uring" },
	{ NVME_DMABUF_FEATURE_FILE, "files", "files" },
	{ NVME_DMABUF_FEATURE_FILE_WRITE, "files_write", "files to be written" },
	{ NVME_DMABUF_FEATURE_EXPORT, "memory", "memory of a program's own" },
};

static const char *version_text(uint32_t version, char *text, size_t size)
{
	snprintf(text, size, "%" PRIu32 ".%" PRIu32 ".%" PRIu32, version >> 16, version >> 8 & 0xff,
		 version & 0xff);
	return text;
}

static void module_to_json(const struct nvme_dmabuf_info *info, const char *state)
{
	struct json_object *module = put_new_object(report_root(), "module");
	struct json_object *obj;
	char version[40];

	put_str(module, "state", state);
	if (strcmp(state, "ready") != 0)
		return;
	put_str(module, "version", version_text(info->out_version, version, sizeof(version)));
	obj = put_new_object(module, "features");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		put_bool(obj, features[i].key, info->out_features & features[i].flag);
	obj = put_new_object(module, "limits");
	put_u64(obj, "max_commands", info->out_max_commands);
	put_u64(obj, "max_maps", info->out_max_maps);
	put_u64(obj, "max_command_bytes", info->out_max_command);
	put_u64(obj, "min_timeout_ms", info->out_min_timeout_ms);
	put_u64(obj, "max_timeout_ms", info->out_max_timeout_ms);
	put_u64(obj, "max_queues", info->out_max_queues);
	put_u64(obj, "max_depth", info->out_max_depth);
}

static void module_to_text(const struct nvme_dmabuf_info *info)
{
	char text[40];

	printf("module:    version %s, ready\n",
	       version_text(info->out_version, text, sizeof(text)));
	printf("features: ");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		printf("%s %s: %s", i ? "," : "", features[i].text,
		       info->out_features & features[i].flag ? "yes" : "no");
	printf("\nbuffers:   %s\npeers:     %s",
	       info->out_features & NVME_DMABUF_FEATURE_MOVABLE ?
		       "their exporters may move them while they are attached" :
		       "pinned while they are attached; from Linux 7.1 on they can be moved",
	       info->out_features & NVME_DMABUF_FEATURE_PEER_TO_PEER ?
		       "'nvme-dmabuf peers NAMESPACE' shows which PCI devices a drive can reach" :
		       "none: this kernel has no PCI peer-to-peer DMA (CONFIG_PCI_P2PDMA)");
	printf("\nlimits:    %" PRIu32 " maps per open file, %" PRIu32
	       " commands per call, %s per NVMe command,\n"
	       "           timeouts of %" PRIu32 " to %" PRIu32 " ms,\n"
	       "           %" PRIu32 " queues per open file, of up to %" PRIu32 " commands each\n",
	       info->out_max_maps, info->out_max_commands, size_text(info->out_max_command, text),
	       info->out_min_timeout_ms, info->out_max_timeout_ms, info->out_max_queues,
	       info->out_max_depth);
}

static void exporter_to_json(struct json_object *array, const struct exporter *e)
{
	struct json_object *obj = append_new_object(array);

	put_str(obj, "name", e->name);
	put_str(obj, "path", e->path);
	put_bool(obj, "available", !e->obstacle);
	put_str(obj, "message", e->obstacle);
	if (exporter_is(e, "drm") || exporter_is(e, "v4l2"))
		put_str(obj, "driver", e->driver[0] ? e->driver : NULL);
}

static void exporter_to_text(const struct exporter *e)
{
	printf("  %-20s %s%s%s%s\n", e->name, e->obstacle ? "no: " : "yes",
	       e->obstacle ? e->obstacle : "", e->driver[0] ? ", driver " : "", e->driver);
}

static int show_exporters(void)
{
	struct json_object *array = put_new_array(report_root(), "exporters");
	struct exporter *list;
	int count = exporter_list(&list);

	if (count < 0)
		return report_error(TOOL_FAILED, "no-exporter-list",
				    "cannot look for dma-buf exporters: %s", strerror(-count));
	if (!report_json())
		printf("\ndma-buf exporters:\n");
	for (int i = 0; i < count; i++) {
		exporter_to_json(array, &list[i]);
		if (!report_json())
			exporter_to_text(&list[i]);
	}
	free(list);
	return TOOL_OK;
}

static int show_all_namespaces(struct nvmedmabuf *ctx)
{
	struct json_object *array = put_new_array(report_root(), "namespaces");
	char **names;
	int count = ns_list(&names);

	if (count < 0)
		return report_error(TOOL_FAILED, "no-namespace-list",
				    "cannot look for namespaces: %s", strerror(-count));
	for (int i = 0; i < count; i++)
		info_show_namespace(ctx, names[i], false, append_new_object(array));
	names_free(names, count);
	if (!count && !report_json())
		printf("\nno NVMe namespaces\n");
	return TOOL_OK;
}

static int show_namespaces(struct nvmedmabuf *ctx, int count, char **words)
{
	struct json_object *array = put_new_array(report_root(), "namespaces");
	int ret = TOOL_OK;

	for (int i = 0; i < count; i++) {
		if (info_show_namespace(ctx, words[i], true, append_new_object(array)))
			ret = TOOL_REFUSED;
	}
	return ret;
}

int cmd_info(int argc, char **argv)
{
	struct nvme_dmabuf_info info;
	struct nvmedmabuf *ctx;
	const char *state;
	struct utsname uts;
	int module, exporters, namespaces;
	bool wants_help;

	module = report_parse_options(argc, argv, &wants_help);
	if (module)
		return module;
	if (wants_help)
		return report_help(help);

	module = module_open(&ctx, &info, &state);
	uname(&uts);
	put_str(report_root(), "tool_version", nvmedmabuf_version());
	put_str(report_root(), "kernel", uts.release);
	module_to_json(&info, state);
	if (!report_json()) {
		printf("tool:      version %s\nkernel:    %s\n", nvmedmabuf_version(), uts.release);
		if (!module)
			module_to_text(&info);
	}

	exporters = show_exporters();
	namespaces = optind < argc ? show_namespaces(ctx, argc - optind, argv + optind) :
				     show_all_namespaces(ctx);
	nvmedmabuf_close(ctx);
	return module ? module : exporters ? exporters : namespaces;
}
