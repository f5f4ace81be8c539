// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test exporter: see exporter.h. Makes dma-bufs, and has them do what tests
 * ask for. It cannot be unloaded while one exists: the dma-buf core holds the
 * owner of each.
 */
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"
#include "../../module/compat/compat.h"

#define MAX_SEGMENTS (1U << 20)
#define IO_BYTES     (64U << 10)

static struct store *create_store(const struct buffer *buf, const struct exporter_create *args)
{
	struct pci_dev *pdev;

	if (!(args->flags & EXPORTER_BAR))
		return store_create(buf->segments, buf->count);
	pdev = pci_get_domain_bus_and_slot(args->pci_domain, args->pci_bdf >> 8,
					   args->pci_bdf & 0xff);
	if (!pdev)
		return ERR_PTR(-ENODEV);
	return store_create_bar(buf->segments, buf->count, pdev, args->bar);
}

static struct buffer *create_buffer(const struct exporter_create *args)
{
	struct buffer *buf = kzalloc(sizeof(*buf), GFP_KERNEL);
	struct store *store;
	void *segments;

	if (!buf)
		return ERR_PTR(-ENOMEM);
	buf->flags = args->flags;
	buf->count = args->count;
	INIT_LIST_HEAD(&buf->old);
	init_waitqueue_head(&buf->unmapped);
	fences_init(&buf->fences);

	segments = vmemdup_user(u64_to_user_ptr(args->segments),
				array_size(args->count, sizeof(*buf->segments)));
	if (IS_ERR(segments)) {
		buffer_free(buf);
		return segments;
	}
	buf->segments = segments;
	store = create_store(buf, args);
	if (IS_ERR(store)) {
		buffer_free(buf);
		return ERR_CAST(store);
	}
	buf->store = store;
	return buf;
}

static int ioctl_create(void *data)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct exporter_create *args = data;
	struct dma_buf *dmabuf;
	struct buffer *buf;
	int fd;

	if (args->flags & ~(EXPORTER_DYNAMIC | EXPORTER_NOTIFY_ON_PIN | EXPORTER_BAR |
			    EXPORTER_NO_PATH) ||
	    (args->flags & (EXPORTER_DYNAMIC | EXPORTER_NOTIFY_ON_PIN)) == EXPORTER_NOTIFY_ON_PIN ||
	    args->open_flags & ~O_ACCMODE || !args->count || args->count > MAX_SEGMENTS ||
	    !args->size || args->size > LONG_MAX)
		return -EINVAL;
	buf = create_buffer(args);
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	info.ops = args->flags & EXPORTER_DYNAMIC ? &buffer_dynamic_ops : &buffer_static_ops;
	info.size = args->size;
	info.flags = args->open_flags;
	info.priv = buf;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		buffer_free(buf);
		return PTR_ERR(dmabuf);
	}
	buf->dmabuf = dmabuf;
	fd = dma_buf_fd(dmabuf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(dmabuf);
	return fd;
}

static u64 us_since(ktime_t start)
{
	return ktime_us_delta(ktime_get(), start);
}

/* Under the reservation lock. Takes the new memory, if it comes to that. */
static int move_locked(struct buffer *buf, struct exporter_move *args, struct store **store)
{
	bool force = args->flags & EXPORTER_MOVE_FORCE;
	ktime_t start = ktime_get();
	long left;

	if (buf->pins && !force)
		return -EBUSY;
	if (args->flags & EXPORTER_MOVE_REVOKE)
		buf->revoked = true;
	buffer_notify(buf);
	args->out_left = buf->held;
	args->out_notify_us = us_since(start);

	start = ktime_get();
	left = dma_resv_wait_timeout(buf->dmabuf->resv, DMA_RESV_USAGE_BOOKKEEP, true,
				     msecs_to_jiffies(args->timeout_ms));
	args->out_fence_us = us_since(start);
	if (left <= 0)
		return left ? -EINTR : -ETIMEDOUT;

	if (*store) {
		if (buf->held && !(buf->flags & EXPORTER_DYNAMIC) && !force)
			return -EBUSY;
		store_copy(*store, buf->store);
		store_poison(buf->store);
		list_add_tail(&buf->store->node, &buf->old);
		buf->store = *store;
		*store = NULL;
		unmap_mapping_range(buf->dmabuf->file->f_mapping, 0, 0, 1);
	}
	if (args->flags & EXPORTER_MOVE_RESTORE)
		buf->revoked = false;
	return 0;
}

static int move_wait(struct buffer *buf, struct exporter_move *args)
{
	ktime_t start = ktime_get();
	long left;

	left = wait_event_interruptible_timeout(buf->unmapped, !READ_ONCE(buf->held),
						msecs_to_jiffies(args->timeout_ms));
	args->out_unmap_us = us_since(start);
	if (left <= 0)
		return left ? -EINTR : -ETIMEDOUT;
	return 0;
}

static int ioctl_move(struct buffer *buf, void *data)
{
	struct exporter_move *args = data;
	struct store *store = NULL;
	int ret;

	if (args->reserved ||
	    args->flags & ~(EXPORTER_MOVE_REVOKE | EXPORTER_MOVE_RESTORE | EXPORTER_MOVE_COPY |
			    EXPORTER_MOVE_FORCE | EXPORTER_MOVE_WAIT))
		return -EINVAL;
	args->out_left = args->out_held = 0;
	args->out_notify_us = args->out_fence_us = args->out_unmap_us = 0;
	if (args->flags & EXPORTER_MOVE_COPY) {
		if (buf->flags & EXPORTER_BAR)
			return -EOPNOTSUPP;
		store = store_create(buf->segments, buf->count);
		if (IS_ERR(store))
			return PTR_ERR(store);
	}

	ret = dma_resv_lock_interruptible(buf->dmabuf->resv, NULL);
	if (!ret) {
		ret = move_locked(buf, args, &store);
		dma_resv_unlock(buf->dmabuf->resv);
		if (!ret && args->flags & EXPORTER_MOVE_WAIT)
			ret = move_wait(buf, args);
		args->out_held = READ_ONCE(buf->held);
	}
	if (store)
		store_destroy(store);
	return ret;
}

static int ioctl_fence(struct buffer *buf, void *data)
{
	struct exporter_fence *args = data;
	int ret;

	if (args->usage > EXPORTER_FENCE_READ || args->flags & ~EXPORTER_FENCE_ON_MAP)
		return -EINVAL;
	ret = dma_resv_lock_interruptible(buf->dmabuf->resv, NULL);
	if (ret)
		return ret;
	if (args->flags & EXPORTER_FENCE_ON_MAP) {
		buf->map_fence = *args;
		buf->map_fence_armed = true;
	} else {
		ret = buffer_add_fence(buf, args);
	}
	dma_resv_unlock(buf->dmabuf->resv);
	return ret;
}

static int ioctl_signal(struct buffer *buf, void *data)
{
	struct exporter_fence *args = data;

	if (args->usage || args->timeout_ms || args->flags)
		return -EINVAL;
	fences_signal(&buf->fences);
	return 0;
}

static int ioctl_lock(struct buffer *buf, void *data)
{
	struct exporter_fence *args = data;
	int ret;

	if (args->usage || args->flags)
		return -EINVAL;
	ret = dma_resv_lock_interruptible(buf->dmabuf->resv, NULL);
	if (ret)
		return ret;
	msleep_interruptible(args->timeout_ms);
	dma_resv_unlock(buf->dmabuf->resv);
	return 0;
}

static int ioctl_fail(struct buffer *buf, void *data)
{
	struct exporter_fail *args = data;

	if (args->call >= ARRAY_SIZE(buf->fail) || !args->error || args->error > MAX_ERRNO ||
	    args->count > INT_MAX)
		return -EINVAL;
	WRITE_ONCE(buf->fail[args->call].error, args->error);
	atomic_set(&buf->fail[args->call].count, args->count);
	return 0;
}

static int query_damage(struct buffer *buf, struct exporter_query *args)
{
	struct store *store, *next;
	int ret;

	ret = dma_resv_lock_interruptible(buf->dmabuf->resv, NULL);
	if (ret)
		return ret;
	args->out_guard_damage = store_guard_damage(buf->store);
	list_for_each_entry_safe(store, next, &buf->old, node) {
		args->out_old_damage += store_poison_damage(store);
		if (args->flags & EXPORTER_QUERY_FORGET && !buf->held) {
			list_del(&store->node);
			store_destroy(store);
		}
	}
	dma_resv_unlock(buf->dmabuf->resv);
	return 0;
}

static int ioctl_query(struct buffer *buf, void *data)
{
	struct exporter_query *args = data;

	if (args->flags & ~(EXPORTER_QUERY_DAMAGE | EXPORTER_QUERY_FORGET))
		return -EINVAL;
	*args = (struct exporter_query){
		.dmabuf_fd = args->dmabuf_fd,
		.flags = args->flags,
		.out_attached = atomic_read(&buf->attached),
		.out_mapped = READ_ONCE(buf->mapped),
		.out_held = READ_ONCE(buf->held),
		.out_pins = READ_ONCE(buf->pins),
		.out_fences = fences_pending(&buf->fences),
		.out_revoked = READ_ONCE(buf->revoked),
		.out_maps = READ_ONCE(buf->maps),
		.out_unmaps = READ_ONCE(buf->unmaps),
		.out_moves = READ_ONCE(buf->generation),
	};
	return args->flags & EXPORTER_QUERY_DAMAGE ? query_damage(buf, args) : 0;
}

/* User memory is not touched with the reservation lock held: it may fault. */
static int access_content(struct buffer *buf, const struct exporter_io *args, bool write)
{
	void __user *user = u64_to_user_ptr(args->data);
	u64 done, left;
	void *bounce;
	int ret = 0;

	if (args->reserved)
		return -EINVAL;
	bounce = kvmalloc(IO_BYTES, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	for (done = 0; !ret && done < args->length; done += left) {
		left = min_t(u64, args->length - done, IO_BYTES);
		ret = -EFAULT;
		if (write && copy_from_user(bounce, user + done, left))
			break;
		ret = dma_resv_lock_interruptible(buf->dmabuf->resv, NULL);
		if (ret)
			break;
		ret = store_access(buf->store, args->offset + done, bounce, left, write);
		dma_resv_unlock(buf->dmabuf->resv);
		if (!ret && !write && copy_to_user(user + done, bounce, left))
			ret = -EFAULT;
		cond_resched();
	}
	kvfree(bounce);
	return ret;
}

static int ioctl_read(struct buffer *buf, void *data)
{
	return access_content(buf, data, false);
}

static int ioctl_write(struct buffer *buf, void *data)
{
	return access_content(buf, data, true);
}

/* All but EXPORTER_IOC_CREATE and _HOLD start with the dma-buf's descriptor. */
static const struct {
	int (*run)(struct buffer *buf, void *data);
	size_t size;
} calls[] = {
	[_IOC_NR(EXPORTER_IOC_CREATE)] = { NULL, sizeof(struct exporter_create) },
	[_IOC_NR(EXPORTER_IOC_MOVE)] = { ioctl_move, sizeof(struct exporter_move) },
	[_IOC_NR(EXPORTER_IOC_FENCE)] = { ioctl_fence, sizeof(struct exporter_fence) },
	[_IOC_NR(EXPORTER_IOC_SIGNAL)] = { ioctl_signal, sizeof(struct exporter_fence) },
	[_IOC_NR(EXPORTER_IOC_FAIL)] = { ioctl_fail, sizeof(struct exporter_fail) },
	[_IOC_NR(EXPORTER_IOC_QUERY)] = { ioctl_query, sizeof(struct exporter_query) },
	[_IOC_NR(EXPORTER_IOC_READ)] = { ioctl_read, sizeof(struct exporter_io) },
	[_IOC_NR(EXPORTER_IOC_WRITE)] = { ioctl_write, sizeof(struct exporter_io) },
	[_IOC_NR(EXPORTER_IOC_HOLD)] = { NULL, sizeof(struct exporter_hold) },
	[_IOC_NR(EXPORTER_IOC_LOCK)] = { ioctl_lock, sizeof(struct exporter_fence) },
};

static long exporter_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	union {
		s32 dmabuf_fd;
		struct exporter_create create;
		struct exporter_move move;
		struct exporter_query query;
		struct exporter_io io;
		struct exporter_hold hold;
	} data;
	void __user *user = (void __user *)arg;
	unsigned int nr = _IOC_NR(cmd);
	struct buffer *buf;
	int ret;

	if (nr >= ARRAY_SIZE(calls) || cmd != _IO(EXPORTER_IOC_TYPE, nr))
		return -ENOTTY;
	if (copy_from_user(&data, user, calls[nr].size))
		return -EFAULT;
	if (cmd == EXPORTER_IOC_CREATE)
		return ioctl_create(&data);
	if (cmd == EXPORTER_IOC_HOLD)
		return hold_start(file->private_data, &data.hold);

	buf = buffer_get(data.dmabuf_fd);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	ret = calls[nr].run(buf, &data);
	dma_buf_put(buf->dmabuf);
	if (copy_to_user(user, &data, calls[nr].size))
		return -EFAULT;
	return ret;
}

static int exporter_open(struct inode *inode, struct file *file)
{
	struct hold *hold = kzalloc(sizeof(*hold), GFP_KERNEL);

	if (!hold)
		return -ENOMEM;
	hold_init(hold);
	file->private_data = hold;
	return 0;
}

static int exporter_release(struct inode *inode, struct file *file)
{
	hold_end(file->private_data);
	kfree(file->private_data);
	return 0;
}

static const struct file_operations exporter_fops = {
	.owner = THIS_MODULE,
	.open = exporter_open,
	.release = exporter_release,
	.unlocked_ioctl = exporter_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice exporter_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "nvme-dmabuf-exporter",
	.fops = &exporter_fops,
	.mode = 0600,
};
module_misc_device(exporter_device);

/* Loses memory: does the test that looks for leaks notice? */
static noinline int leak_set(const char *value, const struct kernel_param *kp)
{
	unsigned int count;
	int ret = kstrtouint(value, 0, &count);

	if (ret)
		return ret;
	while (count--)
		if (!kzalloc(64, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

static const struct kernel_param_ops leak_ops = {
	.set = leak_set,
};
module_param_cb(leak, &leak_ops, NULL, 0200);
MODULE_PARM_DESC(leak, "Allocate that many objects and forget them");

COMPAT_IMPORT_NS(DMA_BUF);
MODULE_DESCRIPTION("dma-bufs of any shape that move and fail on demand, for tests");
MODULE_LICENSE("GPL");
