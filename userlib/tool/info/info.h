/* SPDX-License-Identifier: MIT */
/* What the parts of 'info' share. */
#ifndef NVME_DMABUF_TOOL_INFO_H
#define NVME_DMABUF_TOOL_INFO_H

#include "../device/device.h"

/*
 * Whether and how a namespace, or a file, can be used, added to @obj; @ctx may be NULL,
 * when the module cannot be reached. @named says that the user asked for it, so
 * that a refusal is an error. Returns TOOL_OK or TOOL_REFUSED.
 */
int info_show_namespace(struct nvmedmabuf *ctx, const char *word, bool named,
			struct json_object *obj);

/* What there is to say of a file. What is not known is 0, or an empty string. */
struct file_facts {
	struct mount mount;
	bool has_holes;
	bool has_map;
	struct nvme_dmabuf_map_info map; /* of a map that was made to see whether it can be */
	uint32_t reason;		 /* why it cannot */
};

/* @ctx is NULL if the module cannot be asked. */
void info_file_gather(struct file_facts *f, struct nvmedmabuf *ctx, const struct ns *ns);
void info_file_to_json(struct json_object *obj, const struct file_facts *f, const struct ns *ns);
void info_file_to_text(const struct file_facts *f, const struct ns *ns);

#endif /* NVME_DMABUF_TOOL_INFO_H */
