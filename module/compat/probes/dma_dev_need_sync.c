// SPDX-License-Identifier: GPL-2.0-only
/* A device tells whether any of its DMA may need help from the CPU. */
#include <linux/dma-mapping.h>

bool probe(struct device *dev);
bool probe(struct device *dev)
{
	return dma_dev_need_sync(dev);
}
