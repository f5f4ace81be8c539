/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fences, as sync_files: those that a submission waits for, and those that say when commands
 * have ended.
 */
#ifndef NVME_DMABUF_FENCE_H
#define NVME_DMABUF_FENCE_H

#include <linux/dma-fence.h>
#include <linux/ktime.h>

struct dma_fence *nvdm_fence_create(void);
void nvdm_fence_signal(struct dma_fence *fence, int error);
void nvdm_fence_expect(struct dma_fence *fence, u32 count);
void nvdm_fence_end(struct dma_fence *fence, u32 count, int error);
int nvdm_fence_open(struct dma_fence **fence, struct file **file);
int nvdm_fence_wait_file(int fd, bool nowait, ktime_t deadline);

#endif
