// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.10: a device tells whether any of its DMA may need help from the CPU. */
#include <linux/dma-mapping.h>

#ifndef PROBE_ABSENT
bool probe(struct device *dev);
bool probe(struct device *dev)
{
	return dma_dev_need_sync(dev);
}
#else
extern char dma_dev_need_sync[];
#endif
