// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test reads, into memory of the module's own, before a namespace is trusted
 * with anybody else's: is the stock driver what stock.c believes, how much may
 * one command move, and does the drive move exactly as many bytes as computed?
 * A command's PRPs have no length, so a wrong belief would be DMA outside the
 * buffer. Must not know dma-bufs or user memory.
 */
#include <linux/blk-integrity.h>
#include <linux/dma-mapping.h>

#include "internal.h"

static int nvdm_probe_alloc(struct nvdm_controller *ctrl)
{
	struct nvdm_probe *probe = &ctrl->probe;

	if (probe->list)
		return 0;
	probe->list = dma_alloc_coherent(&ctrl->pdev->dev, 3 * PRP_PAGE_SIZE, &probe->list_dma,
					 GFP_KERNEL);
	if (!probe->list)
		return -ENOMEM;
	probe->data = probe->list + PRP_SLOTS;
	probe->guard = probe->data + PRP_SLOTS;
	probe->data_dma = probe->list_dma + PRP_PAGE_SIZE;
	probe->guard_dma = probe->data_dma + PRP_PAGE_SIZE;
	return 0;
}

/**
 * nvdm_probe_free - free a controller's memory for test reads
 * @ctrl: the controller, bound to its driver or about to lose its device
 */
void nvdm_probe_free(struct nvdm_controller *ctrl)
{
	mutex_lock(&ctrl->probe_lock);
	if (ctrl->probe.list)
		dma_free_coherent(&ctrl->pdev->dev, 3 * PRP_PAGE_SIZE, ctrl->probe.list,
				  ctrl->probe.list_dma);
	ctrl->probe.list = NULL;
	mutex_unlock(&ctrl->probe_lock);
}

/*
 * Wherever the drive may take one of the pages for a list, it finds the data
 * page's address there, so that even a drive which moves far more than it
 * should writes into these pages only.
 */
static void nvdm_probe_fill(struct nvdm_probe *probe)
{
	unsigned int i;

	for (i = 0; i < 3 * PRP_SLOTS; i++)
		probe->list[i] = cpu_to_le64(probe->data_dma);
}

static bool nvdm_probe_is_untouched(const struct nvdm_probe *probe, const __le64 *page, u32 from)
{
	unsigned int i;

	for (i = from / sizeof(*page); i < PRP_SLOTS; i++)
		if (page[i] != cpu_to_le64(probe->data_dma))
			return false;
	return true;
}

/*
 * Reads one block so that it ends inside the guard page, up to where it must
 * change, and whose rest must stay as it is. A block of less than a page lies in
 * the guard page alone; a longer one starts in the middle of the data page.
 */
static int nvdm_probe_transfer_length(struct nvdm_probe *probe, struct nvdm_namespace *ns,
				      u32 *reason)
{
	u32 block_size = 1U << ns->block_shift;
	u64 blocks = get_capacity(ns->disk) >> (ns->block_shift - SECTOR_SHIFT);
	const u64 tries[] = { 0, blocks - 1, blocks / 2 };
	struct nvdm_stock_io io = {
		.opcode = nvme_cmd_read,
		.length = block_size,
		.prp1 = probe->data_dma + PRP_PAGE_SIZE / 2,
		.prp2 = probe->list_dma,
	};
	u32 guard_from = PRP_PAGE_SIZE / 2;
	__le64 *start = probe->data + PRP_PAGE_SIZE / 2 / sizeof(*start);
	const __le64 first = cpu_to_le64(get_random_u64());
	const __le64 final = cpu_to_le64(get_random_u64());
	bool less = false;
	__le64 *end;
	struct nvdm_stock_result result = { .status = 0 };
	unsigned int i, last = 0;
	int ret = 0;

	if (block_size < PRP_PAGE_SIZE) {
		io.prp1 = probe->guard_dma;
		start = probe->guard;
		guard_from = block_size;
	} else if (block_size == PRP_PAGE_SIZE) {
		io.prp2 = probe->guard_dma;
	} else {
		last = min(block_size / PRP_PAGE_SIZE, PRP_SLOTS) - 1;
		probe->list[last] = cpu_to_le64(probe->guard_dma);
	}

	end = probe->guard + guard_from / sizeof(*end) - 1;

	/* A block that cannot be read says nothing: try another. */
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		io.slba = tries[i];
		ret = nvdm_stock_execute(ns, &io, &result);
		if (ret || !result.status)
			break;
	}
	/*
	 * If the block's end is as it was, that may be what the drive holds. A drive that
	 * moves nothing at all, as emulators have for measurements, does no harm.
	 */
	if (!ret && !result.status && *end == cpu_to_le64(probe->data_dma)) {
		*start = first;
		*end = final;
		ret = nvdm_stock_execute(ns, &io, &result);
		less = *end == final && *start != first;
	}
	if (last)
		probe->list[last] = cpu_to_le64(probe->data_dma);

	if (ret || result.status) {
		*reason = NVME_DMABUF_REASON_PROBE_FAILED;
		return ret ?: -EIO;
	}
	if (less || !nvdm_probe_is_untouched(probe, probe->guard, guard_from) ||
	    !nvdm_probe_is_untouched(probe, probe->list, 0)) {
		*reason = NVME_DMABUF_REASON_TRANSFER_LENGTH;
		return -EOPNOTSUPP;
	}
	return 0;
}

/*
 * What the block layer sends is known to work, but under a translating IOMMU
 * it sends less than the drive takes. Double it until the drive refuses.
 */
static int nvdm_probe_max_command(struct nvdm_probe *probe, struct nvdm_namespace *ns)
{
	u64 bytes = (u64)get_capacity(ns->disk) << SECTOR_SHIFT;
	u32 known = (u64)queue_max_hw_sectors(ns->disk->queue) << SECTOR_SHIFT;
	struct nvdm_stock_io io = {
		.opcode = nvme_cmd_read,
		.prp1 = probe->data_dma,
	};
	struct nvdm_stock_result result = { .status = 0 };
	bool refused = false;
	u32 next;
	int ret;

	known = clamp_t(u32, rounddown_pow_of_two(max(known, 1U)), 1U << ns->block_shift,
			COMMAND_MAX_BYTES);
	for (next = known * 2; next <= COMMAND_MAX_BYTES && next <= bytes; next *= 2) {
		io.length = next;
		io.prp2 = next > 2 * PRP_PAGE_SIZE ? probe->list_dma : probe->data_dma;
		ret = nvdm_stock_execute(ns, &io, &result);
		if (ret)
			return ret;
		if (result.status) {
			refused = (result.status & 0x7ff) == NVME_SC_INVALID_FIELD;
			break;
		}
		known = next;
	}
	ns->max_command = known;
	/* A small namespace or a bad block says nothing about the controller. */
	if (refused || known == COMMAND_MAX_BYTES)
		ns->ctrl->max_command = known;
	return 0;
}

/* Under the probe lock. What is found holds until the queue is frozen again. */
static int nvdm_probe_begin(struct nvdm_namespace *ns, int *freezes)
{
	struct nvdm_controller *ctrl = ns->ctrl;
	int ret;

	/* Set before the controller's pages are freed for good. */
	if (READ_ONCE(ctrl->gone))
		return -ENODEV;
	ret = nvdm_probe_alloc(ctrl);
	if (ret)
		return ret;
	nvdm_probe_fill(&ctrl->probe);
	*freezes = atomic_read(&ns->freezes);
	/* The test reads come after: a freeze that they do not see is counted later. */
	smp_mb();
	return 0;
}

static int nvdm_probe_controller(struct nvdm_namespace *ns, u32 *reason)
{
	struct nvdm_controller *ctrl = ns->ctrl;
	struct nvdm_probe *probe = &ctrl->probe;
	int ret, freezes;

	ret = nvdm_probe_begin(ns, &freezes);
	if (ret)
		return ret;
	if (!ctrl->checked) {
		ret = nvdm_stock_check_layout(ns, probe->data_dma, probe->list_dma);
		if (ret) {
			*reason = ret == -EOPNOTSUPP ? NVME_DMABUF_REASON_DRIVER_LAYOUT :
						       NVME_DMABUF_REASON_PROBE_FAILED;
			if (ret == -EOPNOTSUPP)
				dev_err_ratelimited(
					&ctrl->pdev->dev,
					"nvme-dmabuf: unknown layout of the nvme driver, not used\n");
			return ret;
		}
		ctrl->checked = true;
	}

	ret = nvdm_probe_transfer_length(probe, ns, reason);
	if (ret)
		return ret;
	WRITE_ONCE(ns->verified, freezes);
	nvdm_plug_check(ns, probe->data_dma,
			1U << ns->block_shift > 2 * PRP_PAGE_SIZE ? probe->list_dma :
								    probe->data_dma);

	if (ctrl->max_command) {
		ns->max_command = max(ctrl->max_command, 1U << ns->block_shift);
		return 0;
	}
	ret = nvdm_probe_max_command(probe, ns);
	if (ret)
		*reason = NVME_DMABUF_REASON_PROBE_FAILED;
	return ret;
}

/**
 * nvdm_probe_namespace - test reads of a namespace whose format is known
 * @ns: the namespace; max_command is filled in
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 or a negative error number.
 */
int nvdm_probe_namespace(struct nvdm_namespace *ns, u32 *reason)
{
	int ret;

	*reason = NVME_DMABUF_REASON_NONE;
	if (mutex_lock_killable(&ns->ctrl->probe_lock))
		return -EINTR;
	ret = nvdm_probe_controller(ns, reason);
	mutex_unlock(&ns->ctrl->probe_lock);
	if (ret == -ENODEV)
		*reason = NVME_DMABUF_REASON_GONE;
	else if (ret == -ESTALE)
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
	return ret;
}

/**
 * nvdm_probe_again - test reads of a namespace whose queue was frozen
 * @ns: the namespace, which is verified if all is as it was
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0, -ESTALE if the drive moves another length than before, or another
 * negative error number.
 */
int nvdm_probe_again(struct nvdm_namespace *ns, u32 *reason)
{
	int ret, freezes;

	if (mutex_lock_killable(&ns->ctrl->probe_lock))
		return -EINTR;
	ret = nvdm_probe_begin(ns, &freezes);
	if (!ret)
		ret = nvdm_probe_transfer_length(&ns->ctrl->probe, ns, reason);
	if (!ret)
		WRITE_ONCE(ns->verified, freezes);
	mutex_unlock(&ns->ctrl->probe_lock);

	if (ret == -EOPNOTSUPP || ret == -ESTALE) {
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		ret = -ESTALE;
	} else if (ret == -ENODEV) {
		*reason = NVME_DMABUF_REASON_GONE;
	}
	return ret;
}
