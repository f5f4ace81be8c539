// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/nvme-dmabuf: the ioctls. But for queue_file.c the only code that touches user
 * memory. Each value of the caller's is read once; all that is copied out was
 * initialised.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "entry.h"
#include "fence.h"
#include "queue.h"

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
	struct nvme_dmabuf_refresh refresh;
	struct nvme_dmabuf_events events;
	struct nvme_dmabuf_peer_info peer_info;
	struct nvme_dmabuf_queue queue;
	struct nvme_dmabuf_export export;
};

/**
 * struct nvdm_ioctl_call - an ioctl under way
 * @args: its arguments
 * @file: a new file, for which the caller gets a descriptor if all goes well
 * @fd: that descriptor
 */
struct nvdm_ioctl_call {
	union ioctl_args args;
	struct file *file;
	int fd;
};

#define ATTACH_FLAGS                                                        \
	(NVME_DMABUF_ATTACH_REQUIRE_P2P | NVME_DMABUF_ATTACH_AUTO_REFRESH | \
	 NVME_DMABUF_ATTACH_DEFER)
#define SUBMIT_FLAGS                                                      \
	(NVME_DMABUF_SUBMIT_IMPLICIT_SYNC | NVME_DMABUF_SUBMIT_IN_FENCE | \
	 NVME_DMABUF_SUBMIT_OUT_FENCE)

static int nvdm_ioctl_info(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_info *info = &call->args.info;

	info->out_version = NVME_DMABUF_VERSION_CODE;
	info->out_max_commands = BATCH_MAX_COMMANDS;
	info->out_features =
		(IS_ENABLED(CONFIG_PCI_P2PDMA) ? NVME_DMABUF_FEATURE_PEER_TO_PEER : 0) |
		(COMPAT_MOVABLE ? NVME_DMABUF_FEATURE_MOVABLE : 0) |
		(READ_ONCE(use_sgl) ? NVME_DMABUF_FEATURE_SGL : 0) |
		(IS_ENABLED(CONFIG_IO_URING) ? NVME_DMABUF_FEATURE_URING : 0) |
		NVME_DMABUF_FEATURE_FILE | NVME_DMABUF_FEATURE_FILE_WRITE |
		NVME_DMABUF_FEATURE_EXPORT;
	info->out_max_maps = READ_ONCE(max_maps);
	info->out_max_command = COMMAND_MAX_BYTES;
	info->out_min_timeout_ms = COMMAND_MIN_TIMEOUT_MS;
	info->out_max_timeout_ms = COMMAND_MAX_TIMEOUT_MS;
	info->out_max_depth = QUEUE_MAX_DEPTH;
	info->out_max_queues = CONTEXT_MAX_QUEUES;
	return 0;
}

/* That a block device cannot be used is the answer, not a failure. */
static int nvdm_ns_info_result(int ret)
{
	return ret == -EOPNOTSUPP || ret == -ENODEV || ret == -EIO || ret == -ESTALE ||
			       ret == -EBUSY || ret == -ETXTBSY || ret == -EACCES || ret == -EPERM ?
		       0 :
		       ret;
}

/**
 * struct nvdm_ns_info_user - who asks about a file
 * @user: its part in the file, of which nothing is read by it
 * @blocks: of the file
 */
struct nvdm_ns_info_user {
	struct nvdm_file_user user;
	u64 blocks;
};

static void nvdm_ns_info_begin(struct nvdm_file_user *user)
{
	container_of(user, struct nvdm_ns_info_user, user)->blocks = user->file->blocks;
}

static void nvdm_ns_info_ignore(struct nvdm_file_user *user)
{
}

static const struct nvdm_file_user_ops ns_info_file_ops = {
	.begin = nvdm_ns_info_begin,
	.stop = nvdm_ns_info_ignore,
	.drain = nvdm_ns_info_ignore,
};

/* The only way to find out about a file is to hold it. */
static int nvdm_ns_info_of_file(struct nvdm_namespace *ns, struct nvme_dmabuf_ns_info *info)
{
	struct nvdm_ns_info_user asks = { .user.ops = &ns_info_file_ops };
	int ret;

	ret = nvdm_file_join(&asks.user, ns);
	while (!ret && (ret = nvdm_file_hold(&asks.user, ns, &info->out_reason)) > 0)
		ret = nvdm_map_wait(NULL, ret);
	nvdm_file_leave(&asks.user);
	info->out_capacity = asks.blocks;
	return ret;
}

static int nvdm_ioctl_ns_info(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_ns_info *info = &call->args.ns_info;
	struct nvdm_namespace ns;
	int ret;

	ret = nvdm_namespace_open(&ns, info->ns_fd, NULL, &info->out_reason);
	info->out_nsid = ns.nsid;
	info->out_max_command = ns.max_command;
	info->out_flags = ns.flags;
	info->out_start = ns.base;
	info->out_block_size = ns.block_shift ? 1U << ns.block_shift : 0;
	info->out_capacity = ns.block_shift ? nvdm_namespace_capacity(&ns) : 0;
	info->out_pci_domain = ns.ctrl ? ns.ctrl->domain : 0;
	info->out_pci_bdf = ns.ctrl ? ns.ctrl->bdf : 0;
	if (ns.flags & NVME_DMABUF_NS_FILE) {
		info->out_capacity = 0;
		if (!ret)
			ret = nvdm_ns_info_of_file(&ns, info);
	}
	nvdm_namespace_close(&ns);

	return nvdm_ns_info_result(ret);
}

static bool nvdm_access_is_valid(u32 access)
{
	return access && !(access & ~(NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE));
}

static int nvdm_ioctl_attach(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_attach *attach = &call->args.attach;

	attach->out_map = 0;
	if (attach->reserved || !nvdm_access_is_valid(attach->access)) {
		attach->out_reason = NVME_DMABUF_REASON_RESERVED;
		return -EINVAL;
	}
	return nvdm_context_attach(ctx, attach);
}

/* The caller did not learn the map's number, so it cannot detach it. */
static void nvdm_ioctl_attach_undo(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	nvdm_context_detach(ctx, call->args.attach.out_map);
}

static int nvdm_ioctl_detach(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	if (call->args.detach.reserved)
		return -EINVAL;
	return nvdm_context_detach(ctx, call->args.detach.map);
}

static int nvdm_ioctl_map_info(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvdm_map *map;
	int srcu, ret = -ENOENT;

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, call->args.map_info.map);
	if (map)
		ret = nvdm_map_describe(map, &call->args.map_info);
	srcu_read_unlock(&ctx->srcu, srcu);
	return ret;
}

static int nvdm_ioctl_placement(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_placement *placement = &call->args.placement;
	u32 max = min(placement->count, NVME_DMABUF_PLACEMENT_MAX_RUNS);
	struct nvme_dmabuf_placement_run *runs = NULL;
	struct nvdm_map *map;
	int srcu, ret = -ENOENT;

	placement->out_count = 0;
	placement->out_reserved = 0;
	if (max) {
		runs = kvcalloc(max, sizeof(*runs), NVDM_GFP);
		if (!runs)
			return -ENOMEM;
	}

	srcu = srcu_read_lock(&ctx->srcu);
	map = nvdm_context_map(ctx, placement->map);
	if (map)
		ret = nvdm_placement_find(&map->memory, runs, max, &placement->out_count);
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

/* All that is to be waited for before the first command is issued. */
static int nvdm_submit_wait(struct nvdm_context *ctx, const struct nvme_dmabuf_submit *submit,
			    const struct nvdm_batch *batch)
{
	const struct nvme_dmabuf_command *last = NULL, *command;
	enum dma_resv_usage usage;
	int ret = 0;
	u32 i;

	if (submit->flags & NVME_DMABUF_SUBMIT_IN_FENCE)
		ret = nvdm_fence_wait_file(submit->in_fence_fd, false, KTIME_MAX);
	if (!(submit->flags & NVME_DMABUF_SUBMIT_IMPLICIT_SYNC))
		return ret;
	for (i = 0; !ret && i < batch->count; i++) {
		command = &batch->commands[i].uapi;
		if (command->opcode == NVME_DMABUF_OP_FLUSH ||
		    (last && last->map == command->map && last->opcode == command->opcode))
			continue;
		/* What the drive reads, the dma-buf's readers must not see change. */
		usage = dma_resv_usage_rw(command->opcode == NVME_DMABUF_OP_READ);
		ret = nvdm_context_wait_fences(ctx, command->map, usage);
		last = command;
	}
	return ret;
}

static int nvdm_submit_prepare_fence(struct nvdm_ioctl_call *call, struct nvdm_batch *batch)
{
	call->fd = nvdm_fence_open(&batch->fence, &call->file);
	return min(call->fd, 0);
}

static int nvdm_submit_check(const struct nvme_dmabuf_submit *submit)
{
	if (!submit->count)
		return -EINVAL;
	if (!(submit->flags & NVME_DMABUF_SUBMIT_IN_FENCE) && submit->in_fence_fd)
		return -EINVAL;
	if (submit->flags & NVME_DMABUF_SUBMIT_OUT_FENCE && submit->completions)
		return -EINVAL;
	return submit->count > BATCH_MAX_COMMANDS ? -ENOSPC : 0;
}

static int nvdm_ioctl_submit(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_submit *submit = &call->args.submit;
	struct nvdm_batch *batch;
	int ret;

	submit->out_completed = 0;
	submit->out_fence_fd = -1;
	ret = nvdm_submit_check(submit);
	if (ret)
		return ret;

	batch = nvdm_batch_create(submit->count);
	if (!batch)
		return -ENOMEM;
	ret = nvdm_submit_copy_in(batch, submit->commands) ?: nvdm_submit_wait(ctx, submit, batch);
	if (!ret && submit->flags & NVME_DMABUF_SUBMIT_OUT_FENCE)
		ret = nvdm_submit_prepare_fence(call, batch);
	if (ret)
		goto put;

	nvdm_batch_submit(ctx, batch);
	if (call->file) {
		submit->out_fence_fd = call->fd;
		goto put;
	}
	ret = wait_for_completion_killable(&batch->done) ? -EINTR : 0;
	if (!ret)
		ret = nvdm_submit_copy_out(batch, submit->completions, &submit->out_completed);
put:
	nvdm_batch_put(batch);
	return ret;
}

static int nvdm_ioctl_refresh(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_refresh *refresh = &call->args.refresh;

	refresh->out_generation = 0;
	refresh->out_block_size = 0;
	refresh->out_reserved = 0;
	return nvdm_context_refresh(ctx, refresh);
}

static int nvdm_ioctl_events(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_events *events = &call->args.events;
	struct nvme_dmabuf_event __user *to = u64_to_user_ptr(events->events);
	struct nvme_dmabuf_event event = { .map = 0 };
	u32 from = 0;

	events->out_count = 0;
	if (!events->count)
		return -EINVAL;
	while (events->out_count < events->count && nvdm_context_next_event(ctx, &from, &event)) {
		if (copy_to_user(&to[events->out_count], &event, sizeof(event))) {
			nvdm_context_return_event(ctx, event.map);
			return -EFAULT;
		}
		events->out_count++;
		/* Maps that stop again and again would have us read for ever. */
		if (signal_pending(current))
			break;
		cond_resched();
	}
	return 0;
}

static int nvdm_ioctl_peer_info(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_peer_info *info = &call->args.peer_info;
	struct nvdm_namespace ns;
	struct pci_dev *peer;
	int ret;

	info->out_distance = -1;
	info->out_flags = 0;
	if (info->pci_domain > INT_MAX || info->pci_bdf > U16_MAX)
		return -EINVAL;
	ret = nvdm_namespace_open(&ns, info->ns_fd, NULL, &info->out_reason);
	if (!ret) {
		peer = pci_get_domain_bus_and_slot(info->pci_domain, PCI_BUS_NUM(info->pci_bdf),
						   info->pci_bdf & 0xff);
		info->out_reason = NVME_DMABUF_REASON_NO_SUCH_PEER;
		if (peer)
			info->out_distance =
				nvdm_peer_distance(ns.ctrl->importer.pdev, peer, &info->out_reason);
		pci_dev_put(peer);
	}
	nvdm_namespace_close(&ns);
	return nvdm_ns_info_result(ret);
}

static int nvdm_ioctl_queue(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_queue *args = &call->args.queue;
	bool has_event = args->flags & NVME_DMABUF_QUEUE_EVENTFD;
	struct nvdm_queue *queue;
	int fd;

	args->out_queue_fd = -1;
	args->out_ring_entries = 0;
	args->out_ring_bytes = 0;
	if (!args->depth || (!has_event && args->event_fd) ||
	    (has_event && args->flags & NVME_DMABUF_QUEUE_POLLED))
		return -EINVAL;
	if (args->depth > QUEUE_MAX_DEPTH)
		return -ENOSPC;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	queue = nvdm_queue_create(ctx, args);
	if (IS_ERR(queue)) {
		put_unused_fd(fd);
		return PTR_ERR(queue);
	}
	call->file = nvdm_queue_file(queue);
	if (IS_ERR(call->file)) {
		int ret = PTR_ERR(call->file);

		call->file = NULL;
		nvdm_queue_destroy(queue);
		put_unused_fd(fd);
		return ret;
	}
	call->fd = fd;
	args->out_queue_fd = fd;
	args->out_ring_entries = queue->entries;
	args->out_ring_bytes = queue->ring_bytes;
	return 0;
}

static int nvdm_ioctl_export(struct nvdm_context *ctx, struct nvdm_ioctl_call *call)
{
	struct nvme_dmabuf_export *export = &call->args.export;
	struct dma_buf *dmabuf;
	int fd;

	export->out_dmabuf_fd = -1;
	if (export->reserved || !nvdm_access_is_valid(export->access)) {
		export->out_reason = NVME_DMABUF_REASON_RESERVED;
		return -EINVAL;
	}
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	dmabuf = nvdm_user_pages_export(export, &export->out_reason);
	if (IS_ERR(dmabuf)) {
		put_unused_fd(fd);
		return PTR_ERR(dmabuf);
	}
	call->file = dmabuf->file;
	call->fd = fd;
	export->out_dmabuf_fd = fd;
	return 0;
}

/**
 * struct nvdm_ioctl_op - an ioctl
 * @size: of its structure today
 * @min_size: of its structure in the first version
 * @reason: where in it a refusal's reason stands, or 0
 * @flags: that may be set in its member of that name
 * @run: does it; what it leaves in the arguments is copied out, on failure too
 * @undo: takes back a success that could not be told to the caller
 */
struct nvdm_ioctl_op {
	size_t size;
	size_t min_size;
	size_t reason;
	u32 flags;
	int (*run)(struct nvdm_context *ctx, struct nvdm_ioctl_call *call);
	void (*undo)(struct nvdm_context *ctx, struct nvdm_ioctl_call *call);
};

#define IOCTL_OP(_nr, _struct, _last, _run, ...)                                             \
	[_IOC_NR(NVME_DMABUF_IOC_##_nr)] = { .size = sizeof(struct _struct),                 \
					     .min_size = offsetofend(struct _struct, _last), \
					     .run = _run,                                    \
					     __VA_ARGS__ }

static const struct nvdm_ioctl_op ioctl_ops[] = {
	IOCTL_OP(INFO, nvme_dmabuf_info, out_max_queues, nvdm_ioctl_info),
	IOCTL_OP(NS_INFO, nvme_dmabuf_ns_info, out_pci_bdf, nvdm_ioctl_ns_info,
		 .reason = offsetof(struct nvme_dmabuf_ns_info, out_reason)),
	IOCTL_OP(ATTACH, nvme_dmabuf_attach, out_reason, nvdm_ioctl_attach,
		 .reason = offsetof(struct nvme_dmabuf_attach, out_reason), .flags = ATTACH_FLAGS,
		 .undo = nvdm_ioctl_attach_undo),
	IOCTL_OP(DETACH, nvme_dmabuf_detach, reserved, nvdm_ioctl_detach),
	IOCTL_OP(MAP_INFO, nvme_dmabuf_map_info, out_reserved, nvdm_ioctl_map_info),
	IOCTL_OP(PLACEMENT, nvme_dmabuf_placement, out_reserved, nvdm_ioctl_placement),
	IOCTL_OP(SUBMIT, nvme_dmabuf_submit, out_fence_fd, nvdm_ioctl_submit,
		 .flags = SUBMIT_FLAGS),
	IOCTL_OP(REFRESH, nvme_dmabuf_refresh, out_generation, nvdm_ioctl_refresh,
		 .reason = offsetof(struct nvme_dmabuf_refresh, out_reason)),
	IOCTL_OP(EVENTS, nvme_dmabuf_events, out_count, nvdm_ioctl_events),
	IOCTL_OP(PEER_INFO, nvme_dmabuf_peer_info, out_flags, nvdm_ioctl_peer_info,
		 .reason = offsetof(struct nvme_dmabuf_peer_info, out_reason)),
	IOCTL_OP(QUEUE, nvme_dmabuf_queue, out_ring_bytes, nvdm_ioctl_queue, .flags = QUEUE_FLAGS),
	IOCTL_OP(EXPORT, nvme_dmabuf_export, out_reason, nvdm_ioctl_export,
		 .reason = offsetof(struct nvme_dmabuf_export, out_reason)),
};

static int nvdm_chardev_run(struct nvdm_context *ctx, const struct nvdm_ioctl_op *op,
			    struct nvdm_ioctl_call *call)
{
	u32 *reason = op->reason ? (void *)&call->args + op->reason : NULL;

	if (call->args.flags & ~op->flags) {
		if (reason)
			*reason = NVME_DMABUF_REASON_RESERVED;
		return -EINVAL;
	}
	if (reason)
		*reason = NVME_DMABUF_REASON_NONE;
	return op->run(ctx, call);
}

/**
 * nvdm_chardev_install - a new file is the caller's only if it can learn the descriptor
 * @fd: the descriptor, reserved
 * @file: the file, or NULL: then there is nothing to do
 * @told: whether the caller can
 */
void nvdm_chardev_install(int fd, struct file *file, bool told)
{
	if (!file)
		return;
	if (told) {
		fd_install(fd, file);
	} else {
		put_unused_fd(fd);
		fput(file);
	}
}

/**
 * nvdm_chardev_read_args - read an ioctl's structure, of the size that it says
 * @args: where to put it; starts with that size
 * @size: of the structure today
 * @min_size: of the structure in the first version
 * @user: the caller's
 *
 * Return: 0, -EFAULT, -EINVAL or -E2BIG.
 */
int nvdm_chardev_read_args(void *args, size_t size, size_t min_size, const void __user *user)
{
	u32 user_size;
	int ret;

	if (get_user(user_size, (const u32 __user *)user))
		return -EFAULT;
	if (user_size < min_size)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(args, size, user, user_size);
	/* Read twice: what was checked counts. */
	*(u32 *)args = user_size;
	return ret;
}

static long nvdm_chardev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct nvdm_context *ctx = file->private_data;
	void __user *user = (void __user *)arg;
	struct nvdm_ioctl_call call = {};
	const struct nvdm_ioctl_op *op;
	bool told;
	u32 size;
	int ret;

	if (cmd != _IO(NVME_DMABUF_IOC_TYPE, _IOC_NR(cmd)) || _IOC_NR(cmd) >= ARRAY_SIZE(ioctl_ops))
		return -ENOTTY;
	op = &ioctl_ops[array_index_nospec(_IOC_NR(cmd), ARRAY_SIZE(ioctl_ops))];
	if (!op->run)
		return -ENOTTY;

	ret = nvdm_chardev_read_args(&call.args, op->size, op->min_size, user);
	if (ret)
		return ret;
	size = call.args.size;

	ret = nvdm_chardev_run(ctx, op, &call);
	told = !copy_to_user(user, &call.args, min_t(size_t, size, op->size));
	nvdm_chardev_install(call.fd, call.file, told);
	/*
	 * Nothing has come of what a signal ended, unless it kills: so that it may be begun
	 * again, after the work that io_uring has for the task. An exporter may say this for
	 * no signal.
	 */
	if (told)
		return ret == -EINTR && signal_pending(current) ? -ERESTARTSYS : ret;
	if (!ret && op->undo)
		op->undo(ctx, &call);
	return -EFAULT;
}

static __poll_t nvdm_chardev_poll(struct file *file, struct poll_table_struct *wait)
{
	struct nvdm_context *ctx = file->private_data;

	poll_wait(file, &ctx->events.wait, wait);
	return atomic_read(&ctx->events.pending) ? EPOLLPRI : 0;
}

static int nvdm_chardev_open(struct inode *inode, struct file *file)
{
	file->private_data = nvdm_context_create(file);
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
	.poll = nvdm_chardev_poll,
	.uring_cmd = nvdm_uring_cmd,
	.uring_cmd_iopoll = nvdm_uring_iopoll,
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
