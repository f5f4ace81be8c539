// SPDX-License-Identifier: GPL-2.0-only
/*
 * Peers: can one PCI device reach another one's memory, and if not, why?
 * The kernel decides; this file asks it, and finds the words. Must not know
 * dma-bufs, commands or user memory.
 */
#include <linux/pci-p2pdma.h>

#include "memory.h"

static bool nvdm_peer_has_common_bridge(struct pci_dev *a, struct pci_dev *b)
{
	struct pci_dev *above_a, *above_b;

	for (above_a = a; above_a; above_a = pci_upstream_bridge(above_a))
		for (above_b = b; above_b; above_b = pci_upstream_bridge(above_b))
			if (above_a == above_b)
				return true;
	return false;
}

/**
 * nvdm_peer_distance - may a device reach a peer's memory?
 * @pdev: the device
 * @peer: the other device
 * @reason: NVME_DMABUF_REASON_*, why not
 *
 * Return: the distance as of the kernel, or -1 if the kernel forbids it.
 */
int nvdm_peer_distance(struct pci_dev *pdev, struct pci_dev *peer, u32 *reason)
{
	struct device *client = &pdev->dev;
	int distance;

	*reason = NVME_DMABUF_REASON_NO_P2PDMA;
	if (!IS_ENABLED(CONFIG_PCI_P2PDMA))
		return -1;
	distance = pci_p2pdma_distance_many(peer, &client, 1, false);
	if (distance >= 0)
		*reason = NVME_DMABUF_REASON_NONE;
	else if (nvdm_peer_has_common_bridge(pdev, peer))
		*reason = NVME_DMABUF_REASON_PEER_ACS;
	else
		*reason = NVME_DMABUF_REASON_PEER_HOST_BRIDGE;
	return distance;
}

static bool nvdm_peer_has_memory(struct pci_dev *pdev)
{
	unsigned int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (pci_resource_flags(pdev, bar) & IORESOURCE_MEM && pci_resource_len(pdev, bar))
			return true;
	return false;
}

/**
 * nvdm_peer_unreachable - is there a device whose memory another may not reach?
 * @pdev: the device
 * @reason: NVME_DMABUF_REASON_*, why not: what is said of the nearest ones
 *
 * To explain why one was refused, of which it is not known which one it is.
 */
bool nvdm_peer_unreachable(struct pci_dev *pdev, u32 *reason)
{
	struct pci_dev *peer = NULL;
	bool found = false;
	u32 why;

	for_each_pci_dev(peer) {
		if (peer == pdev || pci_is_bridge(peer) || !nvdm_peer_has_memory(peer) ||
		    nvdm_peer_distance(pdev, peer, &why) >= 0)
			continue;
		if (!found || why == NVME_DMABUF_REASON_PEER_ACS)
			*reason = why;
		found = true;
	}
	return found;
}
