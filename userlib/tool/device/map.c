// SPDX-License-Identifier: MIT
/*
 * What a map looks like: its address lists, and where its memory is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "device.h"

/* More runs than this are counted but not listed. */
#define MAX_RUNS 64

static const char *kind_name(uint32_t kind)
{
	switch (kind) {
	case NVME_DMABUF_PLACEMENT_RAM:
		return "host-ram";
	case NVME_DMABUF_PLACEMENT_PCI:
		return "peer-bar";
	default:
		return "unknown";
	}
}

static const char *state_name(uint32_t state)
{
	switch (state) {
	case NVME_DMABUF_STATE_LIVE:
		return "live";
	case NVME_DMABUF_STATE_REVOKED:
		return "revoked";
	case NVME_DMABUF_STATE_GONE:
		return "gone";
	default:
		return "unknown";
	}
}

static const char *access_name(uint32_t access)
{
	switch (access) {
	case NVME_DMABUF_ACCESS_READ:
		return "read";
	case NVME_DMABUF_ACCESS_WRITE:
		return "write";
	default:
		return "read-write";
	}
}

const char *map_lease(const struct nvme_dmabuf_map_info *info)
{
	if (!(info->out_flags & NVME_DMABUF_MAP_FILE))
		return NULL;
	if (info->out_flags & NVME_DMABUF_MAP_EXCLUSIVE)
		return "write";
	return info->out_flags & NVME_DMABUF_MAP_LAYOUT ? "layout" : "read";
}

static void file_to_json(struct json_object *map, const struct nvme_dmabuf_map_info *info)
{
	struct json_object *file;

	if (!map_lease(info)) {
		put_null(map, "file");
		return;
	}
	file = put_new_object(map, "file");
	put_str(file, "lease", map_lease(info));
	put_u64(file, "extents", info->out_extents);
	put_u64(file, "blocks", info->out_blocks);
	put_u64(file, "bytes", info->out_file_bytes);
}

static void file_to_text(FILE *out, const struct nvme_dmabuf_map_info *info)
{
	char size[SIZE_TEXT];

	if (map_lease(info))
		fprintf(out, "map: of a file of %s in %" PRIu64 " extent%s, by a %s lease\n",
			size_text(info->out_file_bytes, size), (uint64_t)info->out_extents,
			info->out_extents == 1 ? "" : "s", map_lease(info));
}

static void info_to_json(struct json_object *map, const struct nvme_dmabuf_map_info *info)
{
	char pci[PCI_TEXT];

	put_str(map, "state", state_name(info->out_state));
	put_str(map, "access", access_name(info->out_access));
	put_u64(map, "offset", info->out_offset);
	put_u64(map, "length", info->out_length);
	put_u64(map, "segments", info->out_segments);
	put_u64(map, "list_bytes", info->out_list_bytes);
	put_u64(map, "generation", info->out_generation);
	put_str(map, "descriptor", info->out_flags & NVME_DMABUF_MAP_SGL ? "sgl" : "prp");
	put_bool(map, "contiguous", info->out_flags & NVME_DMABUF_MAP_CONTIGUOUS);
	put_bool(map, "dynamic", info->out_flags & NVME_DMABUF_MAP_DYNAMIC);
	put_bool(map, "pinned", info->out_flags & NVME_DMABUF_MAP_PINNED);
	put_u64(map, "block_size", info->out_block_size);
	put_u64(map, "max_command_bytes", info->out_max_command);
	put_u64(map, "nsid", info->out_nsid);
	put_str(map, "pci_address", pci_text(info->out_pci_domain, info->out_pci_bdf, pci));
	file_to_json(map, info);
}

static void info_to_text(FILE *out, const struct nvme_dmabuf_map_info *info)
{
	char a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT], pci[PCI_TEXT];

	fprintf(out, "map: %s for %s by %s, %s, generation %" PRIu64 "\n",
		size_text(info->out_length, a), access_name(info->out_access),
		pci_text(info->out_pci_domain, info->out_pci_bdf, pci), state_name(info->out_state),
		(uint64_t)info->out_generation);
	fprintf(out, "map: %" PRIu64 " DMA segment%s%s, %s, %s of lists, commands of up to %s\n",
		(uint64_t)info->out_segments, info->out_segments == 1 ? "" : "s",
		info->out_flags & NVME_DMABUF_MAP_DYNAMIC ? ", movable" :
		info->out_flags & NVME_DMABUF_MAP_PINNED  ? ", pinned" :
							    "",
		info->out_flags & NVME_DMABUF_MAP_SGL ? "SGL" : "PRP",
		size_text(info->out_list_bytes, b), size_text(info->out_max_command, c));
	file_to_text(out, info);
}

static void run_to_json(struct json_object *array, const struct nvme_dmabuf_placement_run *run)
{
	struct json_object *obj = append_new_object(array);
	char pci[PCI_TEXT];

	put_u64(obj, "offset", run->offset);
	put_u64(obj, "length", run->length);
	put_str(obj, "kind", kind_name(run->kind));
	if (run->kind != NVME_DMABUF_PLACEMENT_PCI)
		return;
	put_str(obj, "pci_address", pci_text(run->pci_domain, run->pci_bdf, pci));
	put_u64(obj, "bar", run->bar);
	if (run->distance >= 0)
		put_u64(obj, "distance", run->distance);
	else
		put_null(obj, "distance");
}

static void run_to_text(FILE *out, const struct nvme_dmabuf_placement_run *run)
{
	char size[SIZE_TEXT], pci[PCI_TEXT], where[96], distance[32] = "";

	if (run->distance >= 0)
		snprintf(distance, sizeof(distance), ", distance %" PRId32, run->distance);
	if (run->kind == NVME_DMABUF_PLACEMENT_PCI)
		snprintf(where, sizeof(where), "BAR %" PRIu32 " of PCI device %s (peer to peer%s)",
			 run->bar, pci_text(run->pci_domain, run->pci_bdf, pci), distance);
	else if (run->kind == NVME_DMABUF_PLACEMENT_RAM)
		snprintf(where, sizeof(where), "memory of this host");
	else
		snprintf(where, sizeof(where), "neither host memory nor a known BAR");
	fprintf(out, "map: %s at 0x%" PRIx64 ": %s\n", size_text(run->length, size),
		(uint64_t)run->offset, where);
}

int map_show(struct nvmedmabuf *ctx, uint32_t map, FILE *out, struct json_object *obj)
{
	struct nvme_dmabuf_placement_run *runs;
	struct json_object *json = NULL, *array = NULL;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	int count, ret;

	ret = nvmedmabuf_get_map_info(ctx, map, &info);
	if (ret)
		return ret;
	runs = calloc(MAX_RUNS, sizeof(*runs));
	if (!runs)
		return -ENOMEM;
	count = nvmedmabuf_get_placement(ctx, map, runs, MAX_RUNS);

	if (obj) {
		json = put_new_object(obj, "map");
		info_to_json(json, &info);
		put_u64(json, "placement_runs", count < 0 ? 0 : count);
		array = put_new_array(json, "placement");
	} else {
		info_to_text(out, &info);
	}
	for (int i = 0; i < count && i < MAX_RUNS; i++) {
		if (array)
			run_to_json(array, &runs[i]);
		else
			run_to_text(out, &runs[i]);
	}
	if (count > MAX_RUNS && !obj)
		fprintf(out, "map: and %d more runs\n", count - MAX_RUNS);
	free(runs);
	return count < 0 ? count : 0;
}
