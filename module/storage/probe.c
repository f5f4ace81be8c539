// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test reads, into memory of the module's own, before a namespace is trusted
 * with anybody else's. Is the stock driver what stock.c believes? Does the drive
 * move exactly as many bytes as computed? Does it follow PRP lists and SGLs as commands
 * use them? How much may one command move? A command's PRPs have no length, so a wrong
 * belief would be DMA outside the buffer. Must not know dma-bufs or user memory.
 *
 * What is found of a controller is found once, with about a dozen commands that move
 * 3 MiB at most; blocks that cannot be read have a command repeated elsewhere, twice at
 * most. After that a namespace is read one block of.
 */
#include <linux/blk-integrity.h>
#include <linux/dma-mapping.h>
#include <linux/sched/signal.h>

#include "storage.h"

/* For lists and SGLs: enough for each data page of a trial to be another. */
#define PROBE_BYTES ((TRIAL_DATA_PAGES - 1) * PRP_PAGE_SIZE)

/* Blocks may be unreadable, or be written meanwhile: where else to look. */
#define PROBE_PLACES 3

/* Resets give commands up: how often to try again. */
#define PROBE_TRIES 3

/**
 * struct nvdm_probe - test reads of a namespace
 * @ns: the namespace
 * @trial: the memory
 * @place: which of PROBE_PLACES could be read
 * @status: what the drive said of the last read
 */
struct nvdm_probe {
	struct nvdm_namespace *ns;
	struct trial *trial;
	unsigned int place;
	u16 status;
};

static int nvdm_probe_alloc(struct nvdm_controller *ctrl)
{
	struct trial *trial = &ctrl->trial;
	dma_addr_t dma;

	if (trial->words)
		return 0;
	trial->words = dma_alloc_coherent(nvdm_controller_device(ctrl), TRIAL_PAGES * PRP_PAGE_SIZE,
					  &dma, GFP_KERNEL);
	if (!trial->words)
		return -ENOMEM;
	trial->dma = dma;
	trial->nr_pages = TRIAL_PAGES;
	return 0;
}

/**
 * nvdm_probe_free - free a controller's memory for test reads
 * @ctrl: the controller, bound to its driver or about to lose its device
 */
void nvdm_probe_free(struct nvdm_controller *ctrl)
{
	struct trial *trial = &ctrl->trial;

	mutex_lock(&ctrl->probe_lock);
	if (trial->words)
		dma_free_coherent(nvdm_controller_device(ctrl), TRIAL_PAGES * PRP_PAGE_SIZE,
				  trial->words, trial->dma);
	trial->words = NULL;
	mutex_unlock(&ctrl->probe_lock);
}

/* The bytes that one read of this namespace can be of. */
static u64 nvdm_probe_span(const struct nvdm_namespace *ns)
{
	u64 bytes = (u64)get_capacity(ns->disk) << SECTOR_SHIFT;

	return ns->zone_blocks ? min(bytes, ns->zone_blocks << ns->block_shift) : bytes;
}

static u64 nvdm_probe_slba(const struct nvdm_probe *probe, u32 length)
{
	const struct nvdm_namespace *ns = probe->ns;
	u64 blocks = get_capacity(ns->disk) >> (ns->block_shift - SECTOR_SHIFT);
	u64 last = blocks - (length >> ns->block_shift);
	u64 slba = probe->place == 0 ? 0 : probe->place == 1 ? last : last / 2;

	/* A read must not cross the end of a zone. */
	return ns->zone_blocks ? slba & ~(ns->zone_blocks - 1) : slba;
}

/*
 * Has the drive execute the read that was prepared, of @length bytes, which an SGL may
 * be too short for. Returns 0 if it did, whatever its status.
 */
static int nvdm_probe_execute(struct nvdm_probe *probe, u64 slba, u32 length, bool sgl)
{
	const struct trial *trial = probe->trial;
	const struct nvdm_stock_io io = {
		.opcode = nvme_cmd_read,
		.sgl = sgl,
		.sgl_short = length - trial->length,
		.slba = slba,
		.length = length,
		.prp1 = trial->prp1,
		.prp2 = trial->prp2,
	};
	unsigned long deadline = jiffies + probe->ns->disk->queue->rq_timeout;
	struct nvdm_stock_result result = { .status = 0 };
	unsigned int tries = 0;
	int ret;

	do {
		/* A drive may be slow. */
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = nvdm_stock_execute(probe->ns, &io, &result);
		/* Not after a timeout: a drive that hangs would be waited for again. */
	} while (ret == -EAGAIN && ++tries < PROBE_TRIES && time_before(jiffies, deadline));
	probe->status = result.status & 0x7ff; /* status code type and status code */
	return ret == -EAGAIN ? -EIO : ret;
}

/*
 * The same of a read that may take place anywhere. Returns 0 and the verdict, unless
 * probe->status tells that the drive did not do it at any place.
 */
static int nvdm_probe_read(struct nvdm_probe *probe, bool sgl, enum trial_verdict *verdict)
{
	struct trial *trial = probe->trial;
	unsigned int i;
	u64 slba;
	int ret;

	for (i = 0; i < PROBE_PLACES; i++) {
		slba = nvdm_probe_slba(probe, trial->length);
		ret = nvdm_probe_execute(probe, slba, trial->length, sgl);
		if (ret)
			return ret;
		/* That is said of the command, and not of the place. */
		if (probe->status == NVME_SC_INVALID_FIELD)
			return 0;
		if (!probe->status)
			break;
		probe->place = (probe->place + 1) % PROBE_PLACES;
	}
	if (probe->status)
		return 0;
	*verdict = trial_judge(trial);
	if (*verdict != TRIAL_AGAIN)
		return 0;

	trial_again(trial);
	ret = nvdm_probe_execute(probe, slba, trial->length, sgl);
	if (!ret && !probe->status)
		*verdict = trial_judge(trial);
	return ret;
}

/* A read of one block, which shows how much the drive moves for each. */
static int nvdm_probe_block(struct nvdm_probe *probe, u32 *reason)
{
	enum trial_verdict verdict;
	int ret;

	trial_prepare(probe->trial, 1U << probe->ns->block_shift, TRIAL_OFFSET, 0);
	ret = nvdm_probe_read(probe, false, &verdict);
	if (ret || probe->status) {
		*reason = NVME_DMABUF_REASON_PROBE_FAILED;
		return ret ?: -EIO;
	}
	if (verdict == TRIAL_WRONG) {
		*reason = NVME_DMABUF_REASON_TRANSFER_LENGTH;
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The bytes for a list or an SGL, or 0 if the namespace or the drive takes less. */
static u32 nvdm_probe_list_bytes(const struct nvdm_namespace *ns)
{
	u64 most = min_t(u64, (u64)queue_max_hw_sectors(ns->disk->queue) << SECTOR_SHIFT,
			 nvdm_probe_span(ns));
	u32 block_size = 1U << ns->block_shift;
	u32 bytes = max_t(u32, PROBE_BYTES, block_size);

	if (block_size > PRP_PAGE_SIZE)
		bytes = round_up(bytes, block_size);
	else if (bytes > most)
		bytes = 2 * PRP_PAGE_SIZE; /* three pages, with TRIAL_OFFSET */
	return bytes <= most ? bytes : 0;
}

/*
 * The blocks of the last trial once more, page by page and without a list: is it the
 * same data, in the same order? Somebody may write these blocks meanwhile.
 */
static int nvdm_probe_compare(struct nvdm_probe *probe, u32 length, bool *same)
{
	u32 shift = probe->ns->block_shift;
	u64 slba = nvdm_probe_slba(probe, length);
	u64 expected = trial_sum(probe->trial, 0), sum = 0;
	u32 pos;
	int ret;

	for (pos = 0; pos < length; pos += PRP_PAGE_SIZE) {
		trial_prepare(probe->trial, PRP_PAGE_SIZE, 0, 0);
		ret = nvdm_probe_execute(probe, slba + (pos >> shift), PRP_PAGE_SIZE, false);
		if (ret)
			return ret;
		if (probe->status)
			break;
		sum = trial_sum(probe->trial, sum);
	}
	*same = !probe->status && sum == expected;
	return 0;
}

/* Sets *@right to whether lists that begin at this slot lead the drive to the right data. */
static int nvdm_probe_list_at(struct nvdm_probe *probe, u32 length, u32 slot, bool *right)
{
	enum trial_verdict verdict;
	bool same = true;
	unsigned int i;
	int ret;

	*right = false;
	for (i = 0; i < PROBE_PLACES; i++) {
		trial_prepare(probe->trial, length, TRIAL_OFFSET, slot);
		ret = nvdm_probe_read(probe, false, &verdict);
		if (ret || probe->status)
			return ret;
		if (verdict == TRIAL_WRONG)
			return 0;
		/* What moves nothing has nothing to compare; larger blocks need a list. */
		if (verdict == TRIAL_RIGHT && probe->ns->block_shift <= PRP_PAGE_SHIFT) {
			ret = nvdm_probe_compare(probe, length, &same);
			if (ret)
				return ret;
		}
		if (same) {
			probe->status = 0;
			*right = true;
			return 0;
		}
		probe->place = (probe->place + 1) % PROBE_PLACES;
	}
	probe->status = 0;
	return 0;
}

/*
 * Where may PRP lists begin? Commands have theirs begin at any slot of a page. If the
 * drive reads other entries then, or refuses, each command gets a copy of its part of the
 * list, which begins with a page.
 */
static int nvdm_probe_lists(struct nvdm_probe *probe, u32 *reason)
{
	struct nvdm_namespace *ns = probe->ns;
	struct nvdm_controller *ctrl = ns->ctrl;
	u32 length = nvdm_probe_list_bytes(ns);
	bool right;
	int ret;

	ns->list_align = ctrl->list_align ?: PRP_PAGE_SIZE;
	/* Too little to tell: the careful way, for this namespace alone. */
	if (ctrl->list_align || !length)
		return 0;

	ret = nvdm_probe_list_at(probe, length, TRIAL_ODD_SLOT, &right);
	if (ret)
		return ret;
	if (right) {
		ns->list_align = sizeof(__le64);
	} else {
		ret = nvdm_probe_list_at(probe, length, 0, &right);
		/* Blocks that cannot be read say nothing either. */
		if (ret || probe->status)
			return ret;
		if (!right) {
			*reason = NVME_DMABUF_REASON_TRANSFER_LENGTH;
			return -EOPNOTSUPP;
		}
		dev_info(nvdm_controller_device(ctrl),
			 "nvme-dmabuf: wants PRP lists to begin at pages, so they are copied\n");
	}
	ctrl->list_align = ns->list_align;
	return 0;
}

/*
 * The block layer does not send all that the drive takes if the DMA API would rather
 * have less, as it does under a translating IOMMU.
 */
static bool nvdm_probe_may_take_more(const struct nvdm_namespace *ns, u32 known)
{
	size_t most = min_t(size_t, dma_opt_mapping_size(nvdm_controller_device(ns->ctrl)), SZ_1G);

	return known == rounddown_pow_of_two(most);
}

/*
 * How much may a command move? What the block layer sends, all of which must arrive. If
 * that need not be the drive's limit, it is doubled until the drive refuses, or until not
 * all arrives.
 */
static int nvdm_probe_limit(struct nvdm_probe *probe, u32 *reason)
{
	struct nvdm_namespace *ns = probe->ns;
	u32 block_size = 1U << ns->block_shift;
	u64 span = nvdm_probe_span(ns);
	u32 known = (u64)queue_max_hw_sectors(ns->disk->queue) << SECTOR_SHIFT;
	u32 slot = ns->list_align == sizeof(__le64) ? TRIAL_ODD_SLOT : 0;
	enum trial_verdict verdict;
	bool found = true, grows;
	u32 next;
	int ret;

	if (ns->ctrl->max_command) {
		ns->max_command = max(ns->ctrl->max_command, block_size);
		return 0;
	}

	known = rounddown_pow_of_two(max(known, block_size));
	grows = nvdm_probe_may_take_more(ns, known);
	known = min(known, COMMAND_MAX_BYTES);
	for (next = known; next > span; next /= 2)
		found = false;
	ns->max_command = 0;
	while (next >= block_size && next <= span) {
		trial_prepare(probe->trial, next, TRIAL_OFFSET, slot);
		ret = nvdm_probe_read(probe, false, &verdict);
		if (ret)
			return ret;
		if (!probe->status && verdict != TRIAL_WRONG) {
			ns->max_command = next;
			if (!grows || !found || next == COMMAND_MAX_BYTES)
				break;
			next *= 2;
		} else if (ns->max_command) {
			found = !probe->status || probe->status == NVME_SC_INVALID_FIELD;
			break;
		} else if (!probe->status) {
			/* The block layer sends as much. */
			*reason = NVME_DMABUF_REASON_TRANSFER_LENGTH;
			return -EOPNOTSUPP;
		} else {
			/* Bad blocks everywhere say nothing of the controller. */
			found = found && probe->status == NVME_SC_INVALID_FIELD;
			grows = false;
			next /= 2;
		}
	}
	if (next > span)
		found = false;
	/* One block was read. */
	ns->max_command = max(ns->max_command, block_size);
	if (found)
		ns->ctrl->max_command = ns->max_command;
	return 0;
}

/* Memory for a read by an SGL of that many bytes, in one piece, or for fewer. */
static int nvdm_probe_alloc_sgl(struct nvdm_controller *ctrl, u32 *length, struct trial *trial)
{
	dma_addr_t dma;

	for (; *length > PROBE_BYTES; *length /= 2) {
		trial->nr_pages = TRIAL_DATA + *length / PRP_PAGE_SIZE + 2;
		trial->words = dma_alloc_coherent(nvdm_controller_device(ctrl),
						  trial->nr_pages * PRP_PAGE_SIZE, &dma,
						  GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
		if (trial->words) {
			trial->dma = dma;
			return 0;
		}
	}
	return -ENOMEM;
}

/* The longest SGL, or one as long as there is memory for. */
static int nvdm_probe_long_sgl(struct nvdm_probe *probe, enum trial_verdict *verdict)
{
	struct nvdm_controller *ctrl = probe->ns->ctrl;
	u32 length = probe->ns->max_command;
	struct nvdm_probe longer = *probe;
	struct trial trial = { .nr_pages = 0 };
	int ret;

	*verdict = TRIAL_RIGHT;
	probe->status = 0;
	if (nvdm_probe_alloc_sgl(ctrl, &length, &trial))
		return 0;
	longer.trial = &trial;
	trial_prepare_sgl(&trial, length, TRIAL_OFFSET);
	ret = nvdm_probe_read(&longer, true, verdict);
	probe->status = longer.status;
	dma_free_coherent(nvdm_controller_device(ctrl), trial.nr_pages * PRP_PAGE_SIZE, trial.words,
			  trial.dma);
	return ret;
}

/*
 * Do SGLs work? First one that is too short, in one page: a drive that heeds it refuses
 * and a drive that takes it for PRPs reveals itself, without looking at the PRP Entry 2,
 * which could be any address. A longer one after that.
 */
static int nvdm_probe_sgl_works(struct nvdm_probe *probe, u32 length, bool *works)
{
	u32 block_size = 1U << probe->ns->block_shift;
	enum trial_verdict verdict;
	int ret;

	*works = false;
	trial_prepare_sgl(probe->trial, block_size / 2, 0);
	ret = nvdm_probe_execute(probe, nvdm_probe_slba(probe, block_size), block_size, true);
	if (ret)
		return ret;
	if (probe->status != NVME_SC_SGL_INVALID_DATA || trial_judge(probe->trial) == TRIAL_WRONG)
		return 0;

	trial_prepare_sgl(probe->trial, length, TRIAL_OFFSET);
	ret = nvdm_probe_read(probe, true, &verdict);
	if (ret || probe->status || verdict == TRIAL_WRONG)
		return ret;
	ret = nvdm_probe_long_sgl(probe, &verdict);
	*works = !ret && !probe->status && verdict != TRIAL_WRONG;
	return ret;
}

/* If SGLs are to be used and do not work, or that cannot be found out, PRPs are used. */
static int nvdm_probe_sgl(struct nvdm_probe *probe)
{
	struct nvdm_namespace *ns = probe->ns;
	struct nvdm_controller *ctrl = ns->ctrl;
	u32 length = nvdm_probe_list_bytes(ns);
	bool works = ctrl->sgl_works;
	int ret = 0;

	if (!(ns->flags & NVME_DMABUF_NS_SGL))
		return 0;
	if (!ctrl->sgl_checked && length && ns->block_shift <= PRP_PAGE_SHIFT) {
		ret = nvdm_probe_sgl_works(probe, length, &works);
		if (ret)
			return ret;
		ctrl->sgl_works = works;
		ctrl->sgl_checked = true;
		if (!works)
			dev_info(nvdm_controller_device(ctrl),
				 "nvme-dmabuf: SGLs do not work, PRPs are used\n");
	}
	if (!works)
		ns->flags &= ~NVME_DMABUF_NS_SGL;
	return 0;
}

/* Under the probe lock. What is found holds until the queue is frozen again. */
static int nvdm_probe_begin(struct nvdm_probe *probe, struct nvdm_namespace *ns, int *freezes)
{
	struct nvdm_controller *ctrl = ns->ctrl;
	int ret;

	/* Set before the controller's pages are freed for good. */
	if (nvdm_controller_is_gone(ctrl))
		return -ENODEV;
	ret = nvdm_probe_alloc(ctrl);
	if (ret)
		return ret;
	*probe = (struct nvdm_probe){ .ns = ns, .trial = &ctrl->trial };
	*freezes = atomic_read(&ns->freezes);
	/* The test reads come after: a freeze that they do not see is counted later. */
	smp_mb();
	return 0;
}

static int nvdm_probe_layout(struct nvdm_probe *probe, u32 *reason)
{
	struct nvdm_namespace *ns = probe->ns;
	struct nvdm_controller *ctrl = ns->ctrl;
	int ret;

	if (ctrl->checked)
		return 0;
	trial_prepare(probe->trial, 1U << ns->block_shift, TRIAL_OFFSET, 0);
	ret = nvdm_stock_check_layout(ns, probe->trial->prp1, probe->trial->prp2);
	if (ret) {
		*reason = ret == -EOPNOTSUPP ? NVME_DMABUF_REASON_DRIVER_LAYOUT :
					       NVME_DMABUF_REASON_PROBE_FAILED;
		if (ret == -EOPNOTSUPP)
			dev_err_ratelimited(
				nvdm_controller_device(ctrl),
				"nvme-dmabuf: unknown layout of the nvme driver, not used\n");
		return ret;
	}
	ctrl->checked = true;
	return 0;
}

static int nvdm_probe_controller(struct nvdm_namespace *ns, u32 *reason)
{
	struct nvdm_probe probe;
	int ret, freezes;

	ret = nvdm_probe_begin(&probe, ns, &freezes);
	if (ret)
		return ret;
	ret = nvdm_probe_layout(&probe, reason) ?: nvdm_probe_block(&probe, reason);
	if (ret)
		return ret;
	WRITE_ONCE(ns->verified, freezes);
	trial_prepare(probe.trial, 1U << ns->block_shift, TRIAL_OFFSET, 0);
	nvdm_plug_check(ns, probe.trial->prp1, probe.trial->prp2);

	ret = nvdm_probe_lists(&probe, reason)	       ?:
		      nvdm_probe_limit(&probe, reason) ?:
							 nvdm_probe_sgl(&probe);
	if (ret && *reason == NVME_DMABUF_REASON_NONE)
		*reason = NVME_DMABUF_REASON_PROBE_FAILED;
	return ret;
}

/**
 * nvdm_probe_namespace - test reads of a namespace whose format is known
 * @ns: the namespace; max_command and list_align are filled in, and a flag is cleared if
 *	SGLs do not work
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
	else if (ret == -EINTR)
		*reason = NVME_DMABUF_REASON_NONE;
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
	struct nvdm_probe probe;
	int ret, freezes;

	if (mutex_lock_killable(&ns->ctrl->probe_lock))
		return -EINTR;
	ret = nvdm_probe_begin(&probe, ns, &freezes) ?: nvdm_probe_block(&probe, reason);
	if (!ret)
		WRITE_ONCE(ns->verified, freezes);
	mutex_unlock(&ns->ctrl->probe_lock);

	if (ret == -EOPNOTSUPP || ret == -ESTALE) {
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		ret = -ESTALE;
	} else if (ret == -ENODEV) {
		*reason = NVME_DMABUF_REASON_GONE;
	} else if (ret == -EINTR) {
		*reason = NVME_DMABUF_REASON_NONE;
	}
	return ret;
}

/**
 * nvdm_probe_tail - is the end of a block all zero?
 * @ns: the namespace, whose format is known
 * @slba: the block, on the namespace
 * @from: where in the block the end begins
 * @zero: where to return the answer: not if the drive does not say
 *
 * Return: 0, -ENODEV, -ESTALE, -EIO, -ENOMEM or -EINTR.
 */
int nvdm_probe_tail(struct nvdm_namespace *ns, u64 slba, u32 from, bool *zero)
{
	struct nvdm_probe probe;
	int ret, freezes;

	*zero = false;
	if (ns->block_size > PRP_PAGE_SIZE)
		return 0;
	if (mutex_lock_killable(&ns->ctrl->probe_lock))
		return -EINTR;
	ret = nvdm_probe_begin(&probe, ns, &freezes);
	if (!ret) {
		trial_prepare(probe.trial, ns->block_size, 0, 0);
		ret = nvdm_probe_execute(&probe, slba, ns->block_size, false);
	}
	if (!ret && !probe.status)
		*zero = !memchr_inv((u8 *)probe.trial->words + TRIAL_DATA * PRP_PAGE_SIZE + from, 0,
				    ns->block_size - from);
	mutex_unlock(&ns->ctrl->probe_lock);
	return ret;
}
