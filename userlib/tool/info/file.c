// SPDX-License-Identifier: MIT
/*
 * A file, for 'info': the file system, and what a map of it looks like. To know that, one
 * is made for a moment.
 */
#include <inttypes.h>
#include <string.h>

#include "info.h"

/* Any dma-buf will do. Without one, it is not known. */
static void attach(struct file_facts *f, struct nvmedmabuf *ctx, const struct ns *ns)
{
	struct nvmedmabuf_buffer *buf;
	struct exporter exporter;
	struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = NVMEDMABUF_ACCESS_READ,
		.ns_fd = ns->fd,
		.length = 4096,
	};
	uint32_t map, reason;
	int ret;

	if (exporter_create_any(&exporter, 4096, &buf))
		return;
	params.dmabuf_fd = nvmedmabuf_buffer_fd(buf);
	ret = nvmedmabuf_attach(ctx, &params, &map, &reason);
	/* Other reasons are the buffer's. */
	if (ret && reason >= NVME_DMABUF_REASON_FILE_SYSTEM &&
	    reason <= NVME_DMABUF_REASON_FILE_APPEND)
		f->reason = reason;
	if (!ret) {
		f->map.size = sizeof(f->map);
		f->has_map = !nvmedmabuf_get_map_info(ctx, map, &f->map);
		nvmedmabuf_detach(ctx, map);
	}
	nvmedmabuf_buffer_free(buf);
}

void info_file_gather(struct file_facts *f, struct nvmedmabuf *ctx, const struct ns *ns)
{
	if (file_get_mount(ns, &f->mount))
		memset(&f->mount, 0, sizeof(f->mount));
	f->has_holes = file_has_holes(ns, 0, ns->bytes);
	if (ctx)
		attach(f, ctx, ns);
}

static void put_known(struct json_object *obj, const char *key, const char *value)
{
	put_str(obj, key, value[0] ? value : NULL);
}

void info_file_to_json(struct json_object *obj, const struct file_facts *f, const struct ns *ns)
{
	struct json_object *file = put_new_object(obj, "file");

	put_u64(file, "bytes", ns->bytes);
	put_known(file, "file_system", f->mount.type);
	put_known(file, "mount_point", f->mount.where);
	put_bool(file, "holes", f->has_holes);
	put_str(file, "lease", f->has_map ? map_lease(&f->map) : NULL);
	if (f->has_map)
		put_u64(file, "extents", f->map.out_extents);
	else
		put_null(file, "extents");
}

void info_file_to_text(const struct file_facts *f, const struct ns *ns)
{
	char size[SIZE_TEXT];

	printf("  file         %" PRIu64 " bytes (%s), %s\n", ns->bytes, size_text(ns->bytes, size),
	       f->has_holes ? "with holes, which read as zeroes and not by commands" : "no holes");
	if (f->mount.type[0])
		printf("  file system  %s on %s, mounted on %s\n", f->mount.type,
		       ns->name[0] ? ns->name : f->mount.source, f->mount.where);
	if (f->has_map)
		printf("  lease        %s, %" PRIu64 " extent%s\n", map_lease(&f->map),
		       (uint64_t)f->map.out_extents, f->map.out_extents == 1 ? "" : "s");
}
