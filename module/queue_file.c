// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue files: how user space submits to a queue, waits for it, and sees its ring.
 * Besides chardev.c the only code that touches user memory. Each value of the
 * caller's is read once.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>

#include "entry.h"
#include "fence.h"
#include "queue.h"

#define ENTER_FLAGS \
	(NVME_DMABUF_ENTER_NOWAIT | NVME_DMABUF_ENTER_IN_FENCE | NVME_DMABUF_ENTER_OUT_FENCE)

static_assert(offsetofend(struct nvme_dmabuf_enter, out_completed) == NVME_DMABUF_ENTER_SIZE_VER0);

/*
 * What is copied is as long as a number of words, and they are few: no loop of the
 * processor's does it with fewer instructions.
 */
#define unsafe_read_words(to, from, bytes, fault)                                      \
	do {                                                                           \
		const u64 __user *source_ = (const u64 __user *)(from);                \
		u64 *to_ = (u64 *)(to);                                                \
		u32 i_;                                                                \
                                                                                       \
		static_assert(sizeof(*(to)) == sizeof(*(from)));                       \
		static_assert((bytes) <= sizeof(*(to)) && (bytes) % sizeof(u64) == 0); \
		_Pragma("GCC unroll 8") for (i_ = 0; i_ < (bytes) / sizeof(u64); i_++) \
			unsafe_get_user(to_[i_], &source_[i_], fault);                 \
	} while (0)

/* Fills commands in, as far as their list goes. */
static __always_inline int nvdm_queue_read(struct nvdm_command *cmd,
					   const struct nvme_dmabuf_command __user *from, u32 count,
					   u32 *done)
{
	u32 i = 0;

	*done = 0;
	if (!user_access_begin(from, count * sizeof(*from)))
		return -EFAULT;
	for (; cmd && i < count; cmd = cmd->next, i++)
		unsafe_read_words(&cmd->uapi, &from[i], sizeof(cmd->uapi), fault);
	user_access_end();
	*done = i;
	return 0;
fault:
	user_access_end();
	*done = i;
	return -EFAULT;
}

/*
 * Submits what there is room for. Counts it in @args. A call would be dear. Unless @fence is
 * NULL, it waits for what is submitted.
 */
static __always_inline int nvdm_queue_submit_some(struct nvdm_queue *queue,
						  struct nvme_dmabuf_enter *args, ktime_t deadline,
						  struct dma_fence *fence)
{
	const struct nvme_dmabuf_command __user *from = u64_to_user_ptr(args->commands);
	struct nvdm_submitter sub = {
		.ctx = queue->ctx,
		.sources = &queue->sources,
		.opf = queue->flags & NVME_DMABUF_QUEUE_POLLED ? REQ_POLLED : 0,
		.nowait = args->flags & NVME_DMABUF_ENTER_NOWAIT,
		.state = TASK_INTERRUPTIBLE,
		/* Not long, for other threads of the caller's may want to submit. */
		.patience = HZ / 10,
		.deadline = deadline,
	};
	struct nvdm_command *spare;
	u32 count, read = 0, done = 0;
	/* All of it is written below: the compiler need not clear it for each call. */
	struct blk_plug plug __uninitialized;
	int ret;

	if (!nvdm_queue_in_flight(queue))
		WRITE_ONCE(queue->sources, 0);
	blk_start_plug(&plug);
	do {
		ret = 0;
		spare = nvdm_queue_spare(queue);
		count = min3(args->count - args->out_submitted, nvdm_queue_room(queue),
			     COMMAND_PLUG);
		if (!spare || !count)
			break;
		ret = nvdm_queue_read(spare, &from[args->out_submitted], count, &read);
		if (!read)
			break;
		plug.nr_ios = read;
		if (fence)
			nvdm_queue_expect(queue, read, fence);
		done = nvdm_queue_submit(queue, &sub, read);
		if (fence)
			nvdm_queue_unexpect(queue, read - done, fence);
		args->out_submitted += done;
		if (ret || done < read || args->out_submitted == args->count)
			break;
		/* Completions may make room for more, again and again. */
		cond_resched();
	} while (!signal_pending(current));
	blk_finish_plug(&plug);
	/* What was read could not be submitted: to read on is for the next time. */
	return done < read ? 0 : ret;
}

static __always_inline int nvdm_queue_lock(struct nvdm_queue *queue, u32 flags)
{
	if (flags & NVME_DMABUF_ENTER_NOWAIT)
		return mutex_trylock(&queue->submit_lock) ? 0 : -EAGAIN;
	return mutex_lock_interruptible(&queue->submit_lock);
}

static __always_inline int nvdm_queue_submit_for(struct nvdm_queue *queue,
						 struct nvme_dmabuf_enter *args, ktime_t deadline,
						 struct dma_fence *fence)
{
	int ret;

	for (;;) {
		ret = nvdm_queue_lock(queue, args->flags);
		if (ret)
			return ret;
		ret = nvdm_queue_submit_some(queue, args, deadline, fence);
		mutex_unlock(&queue->submit_lock);
		if (ret || args->out_submitted == args->count)
			return ret;
		if (args->flags & NVME_DMABUF_ENTER_NOWAIT) {
			/* Room for the next time: perhaps nobody else looks. */
			if (queue->flags & NVME_DMABUF_QUEUE_POLLED && !nvdm_queue_poll(queue))
				nvdm_poll_disk(&queue->ctx->poll, NULL);
			return -EAGAIN;
		}
		/* Only who reads completions can make room: perhaps the caller. */
		if (args->out_submitted && !nvdm_queue_room(queue))
			return 0;
		ret = nvdm_queue_wait_room(queue, deadline);
		if (ret)
			return ret;
	}
}

/* Two copies of the same, so that commands without a fence pay nothing for those with one. */
static noinline int nvdm_queue_submit_all(struct nvdm_queue *queue, struct nvme_dmabuf_enter *args,
					  ktime_t deadline)
{
	return nvdm_queue_submit_for(queue, args, deadline, NULL);
}

static noinline int nvdm_queue_submit_fenced(struct nvdm_queue *queue,
					     struct nvme_dmabuf_enter *args, ktime_t deadline,
					     struct dma_fence *fence)
{
	return nvdm_queue_submit_for(queue, args, deadline, fence);
}

static __always_inline ktime_t nvdm_queue_deadline(const struct nvme_dmabuf_enter *args)
{
	ktime_t deadline = KTIME_MAX;

	if (args->timeout_ns)
		deadline = ktime_add_safe(ktime_get(),
					  ns_to_ktime(min_t(u64, args->timeout_ns, KTIME_MAX)));
	return deadline;
}

/* @fence waits for what is submitted, unless it is NULL. */
static __always_inline int nvdm_queue_enter(struct nvdm_queue *queue,
					    struct nvme_dmabuf_enter *args, ktime_t deadline,
					    struct dma_fence *fence)
{
	int ret = 0;

	if (args->count) {
		ret = fence ? nvdm_queue_submit_fenced(queue, args, deadline, fence) :
			      nvdm_queue_submit_all(queue, args, deadline);
		if (ret == -ETIME)
			ret = -EAGAIN;
	}
	/* It signals without this thread. */
	if (fence)
		nvdm_fence_end(fence, 1, 0);
	if (ret && !args->out_submitted)
		return ret;
	if (args->min_complete && ret != -EINTR)
		nvdm_queue_wait(queue, args->min_complete, deadline);
	return 0;
}

/**
 * struct nvdm_queue_fence - a fence that a call gives
 * @fence: waits for the commands, or NULL
 * @file: by which user space will know it
 * @fd: its descriptor, or -1
 */
struct nvdm_queue_fence {
	struct dma_fence *fence;
	struct file *file;
	int fd;
};

/* What concerns flags and fences. */
static int nvdm_queue_check(const struct nvdm_queue *queue, const struct nvme_dmabuf_enter *args)
{
	if (args->flags & ~ENTER_FLAGS)
		return -EINVAL;
	if (!(args->flags & NVME_DMABUF_ENTER_IN_FENCE) && args->in_fence_fd)
		return -EINVAL;
	if (!(args->flags & (NVME_DMABUF_ENTER_IN_FENCE | NVME_DMABUF_ENTER_OUT_FENCE)))
		return 0;
	if (!args->count || args->size < offsetofend(struct nvme_dmabuf_enter, out_fence_fd))
		return -EINVAL;
	/* Perhaps nobody polls. */
	if (args->flags & NVME_DMABUF_ENTER_OUT_FENCE && queue->flags & NVME_DMABUF_QUEUE_POLLED)
		return -EINVAL;
	return 0;
}

/* With all that may be asked for. Nothing is held while the fence is waited for. */
static noinline int nvdm_queue_enter_any(struct nvdm_queue *queue, struct nvme_dmabuf_enter *args,
					 struct nvdm_queue_fence *out)
{
	ktime_t deadline = nvdm_queue_deadline(args);
	int ret;

	if (args->flags & NVME_DMABUF_ENTER_IN_FENCE) {
		ret = nvdm_fence_wait_file(args->in_fence_fd,
					   args->flags & NVME_DMABUF_ENTER_NOWAIT, deadline);
		if (ret)
			return ret;
	}
	if (args->flags & NVME_DMABUF_ENTER_OUT_FENCE) {
		out->fd = nvdm_fence_open(&out->fence, &out->file);
		if (out->fd < 0)
			return out->fd;
	}
	return nvdm_queue_enter(queue, args, deadline, out->fence);
}

static __always_inline int nvdm_queue_write_args(const struct nvme_dmabuf_enter *args,
						 struct nvme_dmabuf_enter __user *user)
{
	if (!user_access_begin(user, NVME_DMABUF_ENTER_SIZE_VER0))
		return -EFAULT;
	unsafe_put_user(args->out_submitted, &user->out_submitted, fault);
	unsafe_put_user(args->out_completed, &user->out_completed, fault);
	user_access_end();
	return 0;
fault:
	user_access_end();
	return -EFAULT;
}

/* Of any structure. */
static int nvdm_queue_write_all_args(const struct nvme_dmabuf_enter *args,
				     struct nvme_dmabuf_enter __user *user)
{
	if (args->size >= offsetofend(struct nvme_dmabuf_enter, out_fence_fd) &&
	    put_user(args->out_fence_fd, &user->out_fence_fd))
		return -EFAULT;
	return nvdm_queue_write_args(args, user);
}

/* With a structure of any version. */
static noinline int nvdm_queue_ioctl_any(struct nvdm_queue *queue,
					 struct nvme_dmabuf_enter __user *user)
{
	struct nvdm_queue_fence out = { .fd = -1 };
	struct nvme_dmabuf_enter args;
	int ret;

	ret = nvdm_chardev_read_args(&args, sizeof(args), NVME_DMABUF_ENTER_SIZE_VER0, user);
	if (ret)
		return ret;
	ret = nvdm_queue_check(queue, &args);
	if (ret)
		return ret;

	args.out_submitted = 0;
	ret = nvdm_queue_enter_any(queue, &args, &out);
	args.out_completed = nvdm_queue_unread(queue);
	args.out_fence_fd = ret ? -1 : out.fd;
	if (nvdm_queue_write_all_args(&args, user))
		ret = -EFAULT;
	nvdm_chardev_install(out.fd, out.file, !ret);
	return ret;
}

/*
 * Most callers have a structure of the first version's size, for they ask for no more. False if
 * it is of another, or cannot be read.
 */
static __always_inline bool nvdm_queue_read_args(struct nvme_dmabuf_enter *args,
						 const struct nvme_dmabuf_enter __user *user)
{
	if (unlikely(!user_access_begin(user, NVME_DMABUF_ENTER_SIZE_VER0)))
		return false;
	unsafe_read_words(args, user, NVME_DMABUF_ENTER_SIZE_VER0, fault);
	user_access_end();
	return likely(args->size == NVME_DMABUF_ENTER_SIZE_VER0);
fault:
	user_access_end();
	return false;
}

static long nvdm_queue_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct nvme_dmabuf_enter __user *user = (void __user *)arg;
	struct nvdm_queue *queue = file->private_data;
	struct nvme_dmabuf_enter args __uninitialized;
	int ret;

	if (cmd != NVME_DMABUF_IOC_ENTER)
		return -ENOTTY;
	if (unlikely(!nvdm_queue_read_args(&args, user)))
		return nvdm_queue_ioctl_any(queue, user);
	/* Its end is where the results go: in a register of its own, which would be saved first. */
	OPTIMIZER_HIDE_VAR(user);
	if (args.flags & ~NVME_DMABUF_ENTER_NOWAIT)
		return -EINVAL;

	args.out_submitted = 0;
	ret = nvdm_queue_enter(queue, &args, nvdm_queue_deadline(&args), NULL);
	args.out_completed = nvdm_queue_unread(queue);
	return nvdm_queue_write_args(&args, user) ?: ret;
}

static __poll_t nvdm_queue_poll_file(struct file *file, struct poll_table_struct *wait)
{
	struct nvdm_queue *queue = file->private_data;

	poll_wait(file, &queue->wait, wait);
	if (!nvdm_queue_unread(queue))
		nvdm_queue_poll(queue);
	return nvdm_queue_unread(queue) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int nvdm_queue_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long start = vma->vm_pgoff, count = vma_pages(vma), i;
	struct nvdm_queue *queue = file->private_data;
	unsigned long max = queue->ring_bytes >> PAGE_SHIFT;
	int ret = 0;

	if (!(vma->vm_flags & VM_SHARED) || start > max || count > max - start)
		return -EINVAL;
	for (i = 0; i < count && !ret; i++)
		ret = vm_insert_page(
			vma, vma->vm_start + (i << PAGE_SHIFT),
			vmalloc_to_page((void *)queue->ring + ((start + i) << PAGE_SHIFT)));
	return ret;
}

static int nvdm_queue_release(struct inode *inode, struct file *file)
{
	nvdm_queue_destroy(file->private_data);
	return 0;
}

static const struct file_operations queue_fops = {
	.owner = THIS_MODULE,
	.release = nvdm_queue_release,
	.unlocked_ioctl = nvdm_queue_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = nvdm_queue_poll_file,
	.mmap = nvdm_queue_mmap,
};

/**
 * nvdm_queue_file - a file by which user space knows a queue
 * @queue: the queue, which the file takes over
 *
 * Return: the file, or a negative error number; then the queue is still the caller's.
 */
struct file *nvdm_queue_file(struct nvdm_queue *queue)
{
	return anon_inode_getfile("[nvme-dmabuf-queue]", &queue_fops, queue, O_RDWR | O_CLOEXEC);
}
