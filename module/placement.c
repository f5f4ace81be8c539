// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where a map's memory really is: host memory or a PCI device's BAR. Found
 * from the addresses that the drive uses, not believed from the exporter. Must
 * not know commands or user memory.
 */
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "internal.h"

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

static bool nvdm_placement_find_bar(struct nvdm_controller *ctrl, phys_addr_t phys,
				    struct nvdm_place *place)
{
	struct pci_dev *pdev = NULL;
	unsigned int bar;
	u32 reason;

	for_each_pci_dev(pdev) {
		for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
			struct resource *res = &pdev->resource[bar];

			if (!(res->flags & IORESOURCE_MEM) || !res->start || phys < res->start ||
			    phys > res->end)
				continue;
			place->start = res->start;
			place->end = res->end;
			place->run.kind = NVME_DMABUF_PLACEMENT_PCI;
			place->run.pci_domain = pci_domain_nr(pdev->bus);
			place->run.pci_bdf = pci_dev_id(pdev);
			place->run.bar = bar;
			place->run.distance = nvdm_peer_distance(ctrl, pdev, &reason);
			pci_dev_put(pdev);
			return true;
		}
	}
	return false;
}

static void nvdm_placement_look_up(struct nvdm_controller *ctrl, phys_addr_t phys,
				   struct nvdm_place *place)
{
	if (phys >= place->start && phys <= place->end)
		return;

	memset(place, 0, sizeof(*place));
	place->start = phys & PAGE_MASK;
	place->end = phys | ~PAGE_MASK;
	if (page_is_ram(PHYS_PFN(phys)))
		place->run.kind = NVME_DMABUF_PLACEMENT_RAM;
	else if (!nvdm_placement_find_bar(ctrl, phys, place))
		place->run.kind = NVME_DMABUF_PLACEMENT_UNKNOWN;
}

static bool nvdm_placement_continues(const struct nvme_dmabuf_placement_run *run,
				     const struct nvme_dmabuf_placement_run *next)
{
	return run->length && run->kind == next->kind && run->pci_domain == next->pci_domain &&
	       run->pci_bdf == next->pci_bdf && run->bar == next->bar;
}

/* What is known while a map is walked, a part at a time. */
struct nvdm_placement_walk {
	struct nvdm_map *map;
	struct nvme_dmabuf_placement_run *runs;
	u32 max;
	u32 count;
	bool only_peers;
	u64 offset;
	struct nvme_dmabuf_placement_run run;
	struct nvdm_place place;
};

/*
 * Under the reservation lock, with the map mapped. Returns false if it did not get
 * to the end: the task is dying, or peers were asked for and others found.
 */
static bool nvdm_placement_walk_part(struct nvdm_placement_walk *walk, u64 end)
{
	struct nvdm_map *map = walk->map;
	struct iommu_domain *domain = iommu_get_domain_for_dev(&map->ns.ctrl->pdev->dev);
	u64 length;

	if (!(map->ns.flags & NVME_DMABUF_NS_IOMMU))
		domain = NULL;

	for (; walk->offset < end; walk->offset += length) {
		u64 addr = prp_list_address(&map->list, walk->offset);

		length = min_t(u64, end - walk->offset, PRP_PAGE_SIZE - (addr & PRP_PAGE_MASK));
		nvdm_placement_look_up(map->ns.ctrl, nvdm_placement_phys(domain, addr),
				       &walk->place);
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
 * nvdm_placement_is_peers - is all of a map's memory that of other PCI devices?
 * @map: the map, mapped, under the reservation lock
 */
bool nvdm_placement_is_peers(struct nvdm_map *map)
{
	struct nvdm_placement_walk walk = {
		.map = map,
		.only_peers = true,
		.place = { .start = 1 },
	};

	return nvdm_placement_walk_part(&walk, map->length);
}

/* Bytes looked at before others get the reservation lock. */
#define PLACEMENT_PART (16ULL << 20)

/**
 * nvdm_placement_find - find where a map's memory is
 * @map: the map
 * @runs: array to fill
 * @max: number of its elements
 * @count: number of runs that the map has
 *
 * Return: 0, -ESTALE or -ENODEV if the map is not mapped, or -EINTR.
 */
int nvdm_placement_find(struct nvdm_map *map, struct nvme_dmabuf_placement_run *runs, u32 max,
			u32 *count)
{
	struct nvdm_placement_walk walk = {
		.map = map,
		.runs = runs,
		.max = max,
		.place = { .start = 1 },
	};
	u64 generation = 0;
	u32 reason;
	int ret = 0;

	while (!ret && walk.offset < map->length) {
		/* What was found is not given up for every signal: the call would begin again. */
		if (fatal_signal_pending(current) ||
		    dma_resv_lock_interruptible(map->dmabuf->resv, NULL))
			return -EINTR;
		/* A new mapping may be elsewhere: what was found counts no more. */
		if (map->generation != generation) {
			/* An exporter that moves the buffer all the time is not waited for. */
			if (generation && signal_pending(current))
				ret = -EINTR;
			generation = map->generation;
			walk.offset = 0;
			walk.count = 0;
			walk.run.length = 0;
		}
		/* Of a controller whose namespace has gone, a map stays mapped. */
		if (map->sgt && READ_ONCE(map->state) != NVME_DMABUF_STATE_GONE)
			nvdm_placement_walk_part(&walk,
						 min(map->length, walk.offset + PLACEMENT_PART));
		else if (!ret)
			ret = nvdm_map_stopped(map, &reason) ?: -ESTALE;
		dma_resv_unlock(map->dmabuf->resv);
		cond_resched();
	}
	*count = walk.count;
	return ret;
}
