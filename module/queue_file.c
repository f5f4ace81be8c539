// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queue files: how user space submits to a queue, waits for it, and sees its ring.
 * Besides chardev.c the only code that touches user memory. Each value of the
 * caller's is read once.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/uaccess.h>
#include <linux/sched/signal.h>
#include <linux/vmalloc.h>

#include "entry.h"
#include "queue.h"

/*
 * What is copied is as long as a number of words, and they are few: no loop of the
 * processor's does it with fewer instructions.
 */
#define unsafe_read_words(to, from, fault)                                                   \
	do {                                                                                 \
		const u64 __user *source_ = (const u64 __user *)(from);                      \
		u64 *to_ = (u64 *)(to);                                                      \
		u32 i_;                                                                      \
                                                                                             \
		static_assert(sizeof(*(to)) == sizeof(*(from)));                             \
		static_assert(sizeof(*(to)) % sizeof(u64) == 0);                             \
		_Pragma("GCC unroll 8") for (i_ = 0; i_ < sizeof(*(to)) / sizeof(u64); i_++) \
			unsafe_get_user(to_[i_], &source_[i_], fault);                       \
	} while (0)

/* Fills commands in, as far as their list goes. */
static int nvdm_queue_read(struct nvdm_command *cmd, const struct nvme_dmabuf_command __user *from,
			   u32 count, u32 *done)
{
	u32 i = 0;

	*done = 0;
	if (!user_access_begin(from, count * sizeof(*from)))
		return -EFAULT;
	for (; cmd && i < count; cmd = cmd->next, i++)
		unsafe_read_words(&cmd->uapi, &from[i], fault);
	user_access_end();
	*done = i;
	return 0;
fault:
	user_access_end();
	*done = i;
	return -EFAULT;
}

/* Submits what there is room for. Counts it in @args. A call would be dear. */
static __always_inline int nvdm_queue_submit_some(struct nvdm_queue *queue,
						  struct nvme_dmabuf_enter *args, ktime_t deadline)
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
		done = nvdm_queue_submit(queue, &sub, read);
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

static int nvdm_queue_lock(struct nvdm_queue *queue, u32 flags)
{
	if (flags & NVME_DMABUF_ENTER_NOWAIT)
		return mutex_trylock(&queue->submit_lock) ? 0 : -EAGAIN;
	return mutex_lock_interruptible(&queue->submit_lock);
}

static int nvdm_queue_submit_all(struct nvdm_queue *queue, struct nvme_dmabuf_enter *args,
				 ktime_t deadline)
{
	int ret;

	for (;;) {
		ret = nvdm_queue_lock(queue, args->flags);
		if (ret)
			return ret;
		ret = nvdm_queue_submit_some(queue, args, deadline);
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

static int nvdm_queue_enter(struct nvdm_queue *queue, struct nvme_dmabuf_enter *args)
{
	ktime_t deadline = KTIME_MAX;
	int ret = 0;

	if (args->timeout_ns)
		deadline = ktime_add_safe(ktime_get(),
					  ns_to_ktime(min_t(u64, args->timeout_ns, KTIME_MAX)));
	if (args->count) {
		ret = nvdm_queue_submit_all(queue, args, deadline);
		if (ret == -ETIME)
			ret = -EAGAIN;
	}
	if (ret && !args->out_submitted)
		return ret;
	if (args->min_complete && ret != -EINTR)
		nvdm_queue_wait(queue, args->min_complete, deadline);
	return 0;
}

/* Most callers' structure is of today's size. */
static int nvdm_queue_read_args(struct nvme_dmabuf_enter *args,
				const struct nvme_dmabuf_enter __user *user)
{
	if (likely(user_access_begin(user, sizeof(*user)))) {
		unsafe_read_words(args, user, fault);
		user_access_end();
		if (likely(args->size == sizeof(*args)))
			return 0;
	}
	goto other;
fault:
	user_access_end();
other:
	return nvdm_chardev_read_args(args, sizeof(*args),
				      offsetofend(struct nvme_dmabuf_enter, out_completed), user);
}

static int nvdm_queue_write_args(const struct nvme_dmabuf_enter *args,
				 struct nvme_dmabuf_enter __user *user)
{
	if (!user_access_begin(user, offsetofend(struct nvme_dmabuf_enter, out_completed)))
		return -EFAULT;
	unsafe_put_user(args->out_submitted, &user->out_submitted, fault);
	unsafe_put_user(args->out_completed, &user->out_completed, fault);
	user_access_end();
	return 0;
fault:
	user_access_end();
	return -EFAULT;
}

static long nvdm_queue_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct nvme_dmabuf_enter __user *user = (void __user *)arg;
	struct nvdm_queue *queue = file->private_data;
	struct nvme_dmabuf_enter args __uninitialized;
	int ret;

	if (cmd != NVME_DMABUF_IOC_ENTER)
		return -ENOTTY;
	ret = nvdm_queue_read_args(&args, user);
	if (ret)
		return ret;
	if (args.flags & ~NVME_DMABUF_ENTER_NOWAIT)
		return -EINVAL;

	args.out_submitted = 0;
	ret = nvdm_queue_enter(queue, &args);
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
