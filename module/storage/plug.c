// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plugs: may commands be added to one as plug_add() does it? No interface of the block layer
 * promises that this is all that blk_execute_rq_nowait() would do. So the kernel is watched
 * once, with two test reads, before the short way is taken. Must not know maps.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/moduleparam.h>

#include "storage.h"
#include "stock.h"

/* On while plug_takes() may say yes. */
DEFINE_STATIC_KEY_FALSE(plug_trusted);

static DEFINE_MUTEX(plug_lock);
static bool use_plug = true;
static enum { PLUG_UNKNOWN, PLUG_AS_BELIEVED, PLUG_DIFFERENT } plug_state;

/* Under the lock. */
static void nvdm_plug_update(void)
{
	if (use_plug && plug_state == PLUG_AS_BELIEVED)
		static_branch_enable(&plug_trusted);
	else
		static_branch_disable(&plug_trusted);
}

static int nvdm_plug_set(const char *value, const struct kernel_param *kp)
{
	int ret;

	mutex_lock(&plug_lock);
	ret = param_set_bool(value, kp);
	nvdm_plug_update();
	mutex_unlock(&plug_lock);
	return ret;
}

static const struct kernel_param_ops plug_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = nvdm_plug_set,
	.get = param_get_bool,
};
module_param_cb(plug, &plug_ops, &use_plug, 0644);
MODULE_PARM_DESC(
	plug,
	"Add commands to the block layer's plug in a shorter way than its own, where the kernel was seen to do the same (bool, default Y)");

/**
 * struct nvdm_plug_test - test reads in flight
 * @left: how many, plus one while they are being issued
 * @done: all have ended
 * @nsid: of the namespace that is read
 */
struct nvdm_plug_test {
	atomic_t left;
	struct completion done;
	u32 nsid;
};

static void nvdm_plug_put(struct nvdm_plug_test *test)
{
	if (atomic_dec_and_test(&test->left))
		complete(&test->done);
}

static enum rq_end_io_ret nvdm_plug_end_io(RQ_END_IO_ARGS(rq, status))
{
	struct nvdm_plug_test *test = rq->end_io_data;

	nvdm_stock_request_ends(rq);
	nvdm_plug_put(test);
	return RQ_END_IO_FREE;
}

static bool nvdm_plug_end_if_parked(struct request *rq, rq_end_io_fn *end_io, const void *data)
{
	struct nvdm_plug_test *test = (void *)data;

	if (end_io != nvdm_plug_end_io || rq->end_io_data != test)
		return false;
	nvdm_stock_request_disown(rq, test->nsid);
	nvdm_plug_put(test);
	return true;
}

/*
 * Has the kernel add one request to an empty plug, and one of the plug's cache to a plug that
 * has one. Whether the reads succeed does not matter.
 */
static int nvdm_plug_watch(const struct nvdm_namespace *ns, const struct nvdm_stock_io *io)
{
	struct nvdm_plug_test test = { .left = ATOMIC_INIT(1), .nsid = ns->nsid };
	struct request *rq, *last, *cached, *next;
	struct blk_plug plug, before;
	int i, state = PLUG_AS_BELIEVED;
	bool takes, popped;

	init_completion(&test.done);
	blk_start_plug(&plug);
	/* The second one comes from the plug's cache, where there is one. */
	plug.nr_ios = 2;
	for (i = 0; i < 2 && state == PLUG_AS_BELIEVED; i++) {
		state = PLUG_UNKNOWN;
		cached = plug_would_peek(&plug);
		next = cached ? cached->rq_next : NULL;
		rq = nvdm_stock_request_alloc(ns, io->opcode, 0);
		if (IS_ERR(rq))
			break;
		popped = !cached || (rq == cached && plug_has_popped(&plug, next, rq));
		takes = plug_would_take(&plug, rq, nvdm_plug_end_io, &last);
		memcpy(&before, &plug, sizeof(before));
		atomic_inc(&test.left);
		if (nvdm_stock_request_submit(ns, rq, io, nvdm_plug_end_io, &test)) {
			nvdm_plug_put(&test);
			break;
		}
		/* If not, it may have ended by now. */
		if (takes)
			state = popped && plug_has_added(&before, &plug, last, rq) ?
					PLUG_AS_BELIEVED :
					PLUG_DIFFERENT;
	}
	blk_finish_plug(&plug);
	nvdm_plug_put(&test);
	/* No matter what becomes of them, nobody waits for what the driver keeps back. */
	while (!wait_for_completion_io_timeout(&test.done, PARKED_PATIENCE))
		nvdm_parked_find(ns, nvdm_plug_end_if_parked, &test);
	return state;
}

/**
 * nvdm_plug_check - find out about plugs, unless it is known
 * @ns: a namespace whose controller's layout was checked, and whose length of data too
 * @prp1: PRP Entry 1 of a block, in memory that may be overwritten
 * @prp2: PRP Entry 2 likewise
 *
 * Waits for the drive. With an I/O scheduler nothing can be found out, and until something is,
 * commands go by blk_execute_rq_nowait().
 */
void nvdm_plug_check(const struct nvdm_namespace *ns, u64 prp1, u64 prp2)
{
	const struct nvdm_stock_io io = {
		.opcode = nvme_cmd_read,
		.length = 1U << ns->block_shift,
		.prp1 = prp1,
		.prp2 = prp2,
	};

	/* The caller's own plug would take the reads. */
	if (!COMPAT_PLUG || READ_ONCE(plug_state) != PLUG_UNKNOWN || current->plug)
		return;
	mutex_lock(&plug_lock);
	if (plug_state == PLUG_UNKNOWN) {
		WRITE_ONCE(plug_state, nvdm_plug_watch(ns, &io));
		if (plug_state == PLUG_DIFFERENT)
			pr_warn("unknown behaviour of block layer plugs, commands take longer\n");
		nvdm_plug_update();
	}
	mutex_unlock(&plug_lock);
}
