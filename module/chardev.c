// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/nvme-dmabuf: the ioctls, and the only code that touches user memory.
 * Each value of the caller's is read once; all that is copied out was
 * initialised.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

union ioctl_args {
	struct {
		__u32 size;
		__u32 flags;
	};
	struct nvme_dmabuf_info info;
	struct nvme_dmabuf_ns_info ns_info;
	struct nvme_dmabuf_attach attach;
	struct nvme_dmabuf_detach detach;
	struct nvme_dmabuf_map_info map_info;
	struct nvme_dmabuf_placement placement;
	struct nvme_dmabuf_submit submit;
};

static int nvdm_ioctl_info(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvme_dmabuf_info *info = &args->info;

	info->out_version = NVME_DMABUF_VERSION_CODE;
	info->out_max_commands = BATCH_MAX_COMMANDS;
	info->out_features =
		(IS_ENABLED(CONFIG_PCI_P2PDMA) ? NVME_DMABUF_FEATURE_PEER_TO_PEER : 0) |
		(COMPAT_MOVABLE ? NVME_DMABUF_FEATURE_MOVABLE : 0) |
		(READ_ONCE(use_sgl) ? NVME_DMABUF_FEATURE_SGL : 0);
	info->out_max_maps = READ_ONCE(max_maps);
	info->out_max_command = COMMAND_MAX_BYTES;
	info->out_min_timeout_ms = COMMAND_MIN_TIMEOUT_MS;
	info->out_max_timeout_ms = COMMAND_MAX_TIMEOUT_MS;
	return 0;
}

static int nvdm_ioctl_ns_info(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvme_dmabuf_ns_info *info = &args->ns_info;
	struct nvdm_namespace ns;
	int ret;

	ret = nvdm_namespace_open(&ns, info->ns_fd, &info->out_reason);
	info->out_nsid = ns.nsid;
	info->out_max_command = ns.max_command;
	info->out_flags = ns.flags;
	info->out_start = ns.start;
	info->out_block_size = ns.block_shift ? 1U << ns.block_shift : 0;
	info->out_capacity = ns.block_shift ? nvdm_namespace_capacity(&ns) : 0;
	info->out_pci_domain = ns.ctrl ? pci_domain_nr(ns.ctrl->pdev->bus) : 0;
	info->out_pci_bdf = ns.ctrl ? nvdm_controller_bdf(ns.ctrl) : 0;
	nvdm_namespace_close(&ns);

	/* That a block device cannot be used is the answer, not a failure. */
	if (ret == -EOPNOTSUPP || ret == -ENODEV || ret == -EIO)
		ret = 0;
	return ret;
}

static int nvdm_ioctl_attach(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvme_dmabuf_attach *attach = &args->attach;

	attach->out_map = 0;
	if (attach->reserved || !attach->access ||
	    attach->access & ~(NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE)) {
		attach->out_reason = NVME_DMABUF_REASON_RESERVED;
		return -EINVAL;
	}
	return nvdm_context_attach(ctx, attach);
}

/* The caller did not learn the map's number, so it cannot detach it. */
static void nvdm_ioctl_attach_undo(struct nvdm_context *ctx, union ioctl_args *args)
{
	nvdm_context_detach(ctx, args->attach.out_map);
}

static int nvdm_ioctl_detach(struct nvdm_context *ctx, union ioctl_args *args)
{
	if (args->detach.reserved)
		return -EINVAL;
	return nvdm_context_detach(ctx, args->detach.map);
}

static int nvdm_ioctl_map_info(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvdm_map *map;
	int srcu;

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, args->map_info.map);
	if (map)
		nvdm_map_describe(map, &args->map_info);
	srcu_read_unlock(&ctx->srcu, srcu);
	return map ? 0 : -ENOENT;
}

static int nvdm_ioctl_placement(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvme_dmabuf_placement *placement = &args->placement;
	u32 max = min(placement->count, NVME_DMABUF_PLACEMENT_MAX_RUNS);
	struct nvme_dmabuf_placement_run *runs = NULL;
	struct nvdm_map *map;
	int srcu, ret = -ENOENT;

	placement->out_count = 0;
	placement->out_reserved = 0;
	if (max) {
		runs = kvcalloc(max, sizeof(*runs), GFP_KERNEL_ACCOUNT);
		if (!runs)
			return -ENOMEM;
	}

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, placement->map);
	if (map)
		ret = nvdm_placement_find(map, runs, max, &placement->out_count);
	srcu_read_unlock(&ctx->srcu, srcu);

	max = min(max, placement->out_count);
	if (!ret &&
	    copy_to_user(u64_to_user_ptr(placement->runs), runs, array_size(max, sizeof(*runs))))
		ret = -EFAULT;
	kvfree(runs);
	return ret;
}

static int nvdm_submit_copy_in(struct nvdm_batch *batch, u64 commands)
{
	struct nvme_dmabuf_command __user *from = u64_to_user_ptr(commands);
	u32 i;

	for (i = 0; i < batch->count; i++)
		if (copy_from_user(&batch->commands[i].uapi, &from[i], sizeof(*from)))
			return -EFAULT;
	return 0;
}

static int nvdm_submit_copy_out(struct nvdm_batch *batch, u64 completions, u32 *copied)
{
	struct nvme_dmabuf_completion __user *to = u64_to_user_ptr(completions);
	struct nvme_dmabuf_completion cpl;

	for (*copied = 0; *copied < batch->count; (*copied)++) {
		nvdm_command_describe(&batch->commands[*copied], &cpl);
		if (copy_to_user(&to[*copied], &cpl, sizeof(cpl)))
			return -EFAULT;
	}
	return 0;
}

static int nvdm_ioctl_submit(struct nvdm_context *ctx, union ioctl_args *args)
{
	struct nvme_dmabuf_submit *submit = &args->submit;
	struct nvdm_batch *batch;
	int ret;

	submit->out_completed = 0;
	if (!submit->count)
		return -EINVAL;
	if (submit->count > BATCH_MAX_COMMANDS)
		return -ENOSPC;

	batch = nvdm_batch_create(submit->count);
	if (!batch)
		return -ENOMEM;
	ret = nvdm_submit_copy_in(batch, submit->commands);
	if (ret)
		goto put;

	nvdm_batch_submit(ctx, batch);
	ret = wait_for_completion_killable(&batch->done) ? -EINTR : 0;
	if (!ret)
		ret = nvdm_submit_copy_out(batch, submit->completions, &submit->out_completed);
put:
	nvdm_batch_put(batch);
	return ret;
}

/**
 * struct nvdm_ioctl_op - an ioctl
 * @size: of its structure today
 * @min_size: of its structure in the first version
 * @reason: where in it a refusal's reason stands, or 0
 * @run: does it; what it leaves in the arguments is copied out, on failure too
 * @undo: takes back a success that could not be told to the caller
 */
struct nvdm_ioctl_op {
	size_t size;
	size_t min_size;
	size_t reason;
	int (*run)(struct nvdm_context *ctx, union ioctl_args *args);
	void (*undo)(struct nvdm_context *ctx, union ioctl_args *args);
};

#define IOCTL_OP(_nr, _struct, _last, _run, ...)                                             \
	[_IOC_NR(NVME_DMABUF_IOC_##_nr)] = { .size = sizeof(struct _struct),                 \
					     .min_size = offsetofend(struct _struct, _last), \
					     .run = _run,                                    \
					     __VA_ARGS__ }

static const struct nvdm_ioctl_op ioctl_ops[] = {
	IOCTL_OP(INFO, nvme_dmabuf_info, out_max_timeout_ms, nvdm_ioctl_info),
	IOCTL_OP(NS_INFO, nvme_dmabuf_ns_info, out_pci_bdf, nvdm_ioctl_ns_info,
		 .reason = offsetof(struct nvme_dmabuf_ns_info, out_reason)),
	IOCTL_OP(ATTACH, nvme_dmabuf_attach, out_reason, nvdm_ioctl_attach,
		 .reason = offsetof(struct nvme_dmabuf_attach, out_reason),
		 .undo = nvdm_ioctl_attach_undo),
	IOCTL_OP(DETACH, nvme_dmabuf_detach, reserved, nvdm_ioctl_detach),
	IOCTL_OP(MAP_INFO, nvme_dmabuf_map_info, out_reserved, nvdm_ioctl_map_info),
	IOCTL_OP(PLACEMENT, nvme_dmabuf_placement, out_reserved, nvdm_ioctl_placement),
	IOCTL_OP(SUBMIT, nvme_dmabuf_submit, out_completed, nvdm_ioctl_submit),
};

static int nvdm_chardev_run(struct nvdm_context *ctx, const struct nvdm_ioctl_op *op,
			    union ioctl_args *args)
{
	u32 *reason = op->reason ? (void *)args + op->reason : NULL;

	if (args->flags) {
		if (reason)
			*reason = NVME_DMABUF_REASON_RESERVED;
		return -EINVAL;
	}
	if (reason)
		*reason = NVME_DMABUF_REASON_NONE;
	return op->run(ctx, args);
}

static long nvdm_chardev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct nvdm_context *ctx = file->private_data;
	void __user *user = (void __user *)arg;
	union ioctl_args args = {};
	const struct nvdm_ioctl_op *op;
	u32 size;
	int ret;

	if (cmd != _IO(NVME_DMABUF_IOC_TYPE, _IOC_NR(cmd)) || _IOC_NR(cmd) >= ARRAY_SIZE(ioctl_ops))
		return -ENOTTY;
	op = &ioctl_ops[_IOC_NR(cmd)];

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < op->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&args, op->size, user, size);
	if (ret)
		return ret;
	/* Read twice: what was checked counts. */
	args.size = size;

	ret = nvdm_chardev_run(ctx, op, &args);
	if (copy_to_user(user, &args, min_t(size_t, size, op->size))) {
		if (!ret && op->undo)
			op->undo(ctx, &args);
		return -EFAULT;
	}
	return ret;
}

static int nvdm_chardev_open(struct inode *inode, struct file *file)
{
	file->private_data = nvdm_context_create();
	return file->private_data ? nonseekable_open(inode, file) : -ENOMEM;
}

static int nvdm_chardev_release(struct inode *inode, struct file *file)
{
	nvdm_context_destroy(file->private_data);
	return 0;
}

static const struct file_operations chardev_fops = {
	.owner = THIS_MODULE,
	.open = nvdm_chardev_open,
	.release = nvdm_chardev_release,
	.unlocked_ioctl = nvdm_chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice chardev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "nvme-dmabuf",
	.fops = &chardev_fops,
	.mode = 0600,
};

int nvdm_chardev_register(void)
{
	return misc_register(&chardev);
}

void nvdm_chardev_unregister(void)
{
	misc_deregister(&chardev);
}
