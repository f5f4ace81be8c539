/* SPDX-License-Identifier: MIT */
/* The two halves of 'info': the machine, and one namespace. */
#ifndef NVME_DMABUF_TOOL_INFO_H
#define NVME_DMABUF_TOOL_INFO_H

#include "../device/device.h"

/*
 * All about one namespace or partition, into @obj and as text. @ctx may be NULL
 * if there is no module. Returns TOOL_REFUSED if it cannot be used, which is an
 * error if the user @named it.
 */
int info_show_namespace(struct nvmedmabuf *ctx, const char *word, bool named,
			struct json_object *obj);

#endif /* NVME_DMABUF_TOOL_INFO_H */
