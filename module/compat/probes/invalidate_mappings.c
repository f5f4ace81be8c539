// SPDX-License-Identifier: GPL-2.0-only
/* Linux 7.1: the importer's move_notify is called invalidate_mappings. */
#include <linux/dma-buf.h>

#ifndef PROBE_ABSENT
struct dma_buf_attach_ops ops = { .invalidate_mappings = NULL };
#else
struct dma_buf_attach_ops ops = { .move_notify = NULL };
#endif
