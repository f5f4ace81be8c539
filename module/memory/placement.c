// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a mapping's memory really is: host memory or a PCI device's BAR. Found
 * from the addresses that the drive uses, not believed from the exporter. Must
 * not know commands or user memory.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "memory.h"

/* A place, and the physical addresses for which it is known to be the answer. */
struct nvdm_place {
	struct nvme_dmabuf_placement_run run;
	phys_addr_t start;
	phys_addr_t end;
};

static phys_addr_t nvdm_placement_phys(struct iommu_domain *domain, dma_addr_t addr)
{
	phys_addr_t phys = domain ? iommu_iova_to_phys(domain, addr) : addr;

	/* Peers below one switch are reached by bus address, past the IOMMU. */
	return phys ?: addr;
}

static bool nvdm_placement_find_bar(struct pci_dev *pdev, phys_addr_t phys,
				    struct nvdm_place *place)
{
	struct pci_dev *peer = NULL;
	unsigned int bar;
	u32 reason;

	for_each_pci_dev(peer) {
		for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
			struct resource *res = &peer->resource[bar];

			if (!(res->flags & IORESOURCE_MEM) || !res->start || phys < res->start ||
			    phys > res->end)
				continue;
			place->start = res->start;
			place->end = res->end;
			place->run.kind = NVME_DMABUF_PLACEMENT_PCI;
			place->run.pci_domain = pci_domain_nr(peer->bus);
			place->run.pci_bdf = pci_dev_id(peer);
			place->run.bar = bar;
			place->run.distance = nvdm_peer_distance(pdev, peer, &reason);
			pci_dev_put(peer);
			return true;
		}
	}
	return false;
}

static void nvdm_placement_look_up(struct pci_dev *pdev, phys_addr_t phys, struct nvdm_place *place)
{
	if (phys >= place->start && phys <= place->end)
		return;

	memset(place, 0, sizeof(*place));
	place->start = phys & PAGE_MASK;
	place->end = phys | ~PAGE_MASK;
	if (page_is_ram(PHYS_PFN(phys)))
		place->run.kind = NVME_DMABUF_PLACEMENT_RAM;
	else if (!nvdm_placement_find_bar(pdev, phys, place))
		place->run.kind = NVME_DMABUF_PLACEMENT_UNKNOWN;
}

static bool nvdm_placement_continues(const struct nvme_dmabuf_placement_run *run,
				     const struct nvme_dmabuf_placement_run *next)
{
	return run->length && run->kind == next->kind && run->pci_domain == next->pci_domain &&
	       run->pci_bdf == next->pci_bdf && run->bar == next->bar;
}

/* What is known while a mapping is walked, a part at a time. */
struct nvdm_placement_walk {
	struct nvdm_mapping *mapping;
	struct nvme_dmabuf_placement_run *runs;
	u32 max;
	u32 count;
	bool only_peers;
	u64 offset;
	struct nvme_dmabuf_placement_run run;
	struct nvdm_place place;
};

/*
 * Under the reservation lock, with the range mapped. Returns false if it did not get
 * to the end: the task is dying, or peers were asked for and others found.
 */
static bool nvdm_placement_walk_part(struct nvdm_placement_walk *walk, u64 end)
{
	struct nvdm_mapping *mapping = walk->mapping;
	struct pci_dev *pdev = mapping->importer->pdev;
	struct iommu_domain *domain = NULL;
	u64 length;

	if (mapping->importer->translated)
		domain = iommu_get_domain_for_dev(&pdev->dev);

	for (; walk->offset < end; walk->offset += length) {
		u64 addr = prp_list_address(&mapping->list, walk->offset);

		length = min_t(u64, end - walk->offset, PRP_PAGE_SIZE - (addr & PRP_PAGE_MASK));
		nvdm_placement_look_up(pdev, nvdm_placement_phys(domain, addr), &walk->place);
		if (walk->only_peers && walk->place.run.kind != NVME_DMABUF_PLACEMENT_PCI)
			return false;
		if (nvdm_placement_continues(&walk->run, &walk->place.run)) {
			walk->run.length += length;
		} else {
			walk->run = walk->place.run;
			walk->run.offset = walk->offset;
			walk->run.length = length;
			walk->count++;
		}
		if (walk->count <= walk->max)
			walk->runs[walk->count - 1] = walk->run;
		if (fatal_signal_pending(current))
			return false;
		cond_resched();
	}
	return true;
}

/**
 * nvdm_placement_require_peers - refuse memory that is not all other PCI devices'
 * @mapping: the mapping, mapped, under the reservation lock
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 or -EOPNOTSUPP.
 */
int nvdm_placement_require_peers(struct nvdm_mapping *mapping, u32 *reason)
{
	struct nvdm_placement_walk walk = {
		.mapping = mapping,
		.only_peers = true,
		.place = { .start = 1 },
	};

	if (nvdm_placement_walk_part(&walk, mapping->length))
		return 0;
	if (!IS_ENABLED(CONFIG_PCI_P2PDMA))
		*reason = NVME_DMABUF_REASON_NO_P2PDMA;
	else if (mapping->attach->importer_ops && !mapping->attach->peer2peer)
		*reason = NVME_DMABUF_REASON_EXPORTER_NO_PATH;
	else
		*reason = NVME_DMABUF_REASON_NOT_PEER;
	return -EOPNOTSUPP;
}

/* Bytes looked at before others get the reservation lock. */
#define PLACEMENT_PART (16ULL << 20)

/**
 * nvdm_placement_find - find where a mapping's memory is
 * @user: who uses it
 * @runs: array to fill
 * @max: number of its elements
 * @count: number of runs that there are
 *
 * Return: 0, what the user's stopped() says if it does not use it, or -EINTR.
 */
int nvdm_placement_find(struct nvdm_mapping_user *user, struct nvme_dmabuf_placement_run *runs,
			u32 max, u32 *count)
{
	struct nvdm_mapping *mapping = user->mapping;
	struct nvdm_placement_walk walk = {
		.mapping = mapping,
		.runs = runs,
		.max = max,
		.place = { .start = 1 },
	};
	u64 generation = 0;
	int ret = 0;

	while (!ret && walk.offset < mapping->length) {
		/* What was found is not given up for every signal: the call would begin again. */
		if (fatal_signal_pending(current) ||
		    dma_resv_lock_interruptible(mapping->dmabuf->resv, NULL))
			return -EINTR;
		/* A new mapping may be elsewhere: what was found counts no more. */
		if (mapping->generation != generation) {
			/* An exporter that moves the buffer all the time is not waited for. */
			if (generation && signal_pending(current))
				ret = -EINTR;
			generation = mapping->generation;
			walk.offset = 0;
			walk.count = 0;
			walk.run.length = 0;
		}
		if (!ret)
			ret = user->ops->stopped(user);
		/* Who uses it has it mapped. */
		if (!ret)
			nvdm_placement_walk_part(&walk, min(mapping->length,
							    walk.offset + PLACEMENT_PART));
		dma_resv_unlock(mapping->dmabuf->resv);
		cond_resched();
	}
	*count = walk.count;
	return ret;
}
