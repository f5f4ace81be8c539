// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.15 or so: attachments of another kind than their exporter cache a mapping. */
#include <linux/dma-buf.h>

#ifndef PROBE_ABSENT
struct sg_table **sgt(struct dma_buf_attachment *attach);
struct sg_table **sgt(struct dma_buf_attachment *attach)
{
	return &attach->sgt;
}
#else
struct absent {
	struct dma_buf_attachment;
	int sgt;
};
#endif
