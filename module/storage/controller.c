// SPDX-License-Identifier: GPL-2.0-only
/*
 * Controllers: PCI devices bound to the stock nvme driver, and what happens to
 * the users of one whose driver is unbound or which is unplugged. Must not know
 * maps, commands or user memory.
 */
#include <linux/device.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "storage.h"

/* How often it is looked whether the driver keeps commands from a drive. */
#define WATCH_PERIOD (2 * HZ)
/* And for completions of those that were left to it, on polled queues. */
#define ORPHANS_PERIOD (HZ / 20 ?: 1)

static LIST_HEAD(controllers);
static DEFINE_MUTEX(controllers_lock);
/* Woken when a controller has left the list. */
static DECLARE_WAIT_QUEUE_HEAD(controllers_wait);
/* Reclaim may wait for a fence, and a fence for this. */
static struct workqueue_struct *controllers_queue;
/* Ends commands that the driver has kept from a drive for too long. */
static void (*controllers_end_late)(const struct nvdm_namespace *ns);

static void nvdm_controller_release_devres(struct device *dev, void *res);
static void nvdm_controller_watch(struct work_struct *work);

static bool nvdm_controller_is_bound(struct pci_dev *pdev)
{
	struct device_driver *driver = READ_ONCE(pdev->dev.driver);

	return driver && !strcmp(driver->name, "nvme");
}

static struct nvdm_controller *nvdm_controller_create(struct pci_dev *pdev)
{
	struct nvdm_controller *ctrl = kzalloc(sizeof(*ctrl), GFP_KERNEL);

	if (!ctrl)
		return NULL;
	/* Now, for when it is needed nothing may fail. */
	ctrl->release =
		devres_alloc(nvdm_controller_release_devres, sizeof(*ctrl->release), GFP_KERNEL);
	if (!ctrl->release) {
		kfree(ctrl);
		return NULL;
	}
	*ctrl->release = ctrl;
	kref_init(&ctrl->ref);
	nvdm_importer_init(&ctrl->importer, pci_dev_get(pdev));
	spin_lock_init(&ctrl->users_lock);
	mutex_init(&ctrl->probe_lock);
	mutex_init(&ctrl->parked_lock);
	INIT_LIST_HEAD(&ctrl->users);
	INIT_DELAYED_WORK(&ctrl->watch, nvdm_controller_watch);
	return ctrl;
}

/* Under controllers_lock. */
static struct nvdm_controller *nvdm_controller_find(struct device *dev)
{
	struct nvdm_controller *ctrl;

	list_for_each_entry(ctrl, &controllers, node) {
		if (nvdm_controller_device(ctrl) == dev) {
			kref_get(&ctrl->ref);
			return ctrl;
		}
	}
	return NULL;
}

/**
 * nvdm_controller_get - the controller that a PCI device is
 * @pdev: the device
 *
 * Return: the controller, to be released by nvdm_controller_put(), or -ENODEV if
 * the device is not bound to the nvme driver, or -ENOMEM.
 */
struct nvdm_controller *nvdm_controller_get(struct pci_dev *pdev)
{
	/* Not under the lock, which every unbinding of a PCI device takes. */
	struct nvdm_controller *new = nvdm_controller_create(pdev);
	struct nvdm_controller *ctrl;

	if (!new)
		return ERR_PTR(-ENOMEM);

	mutex_lock(&controllers_lock);
	ctrl = nvdm_controller_find(&pdev->dev);
	if (!ctrl) {
		/*
		 * First into the list, then look: either the driver is still
		 * bound here and our notifier will find the controller, or not.
		 */
		list_add(&new->node, &controllers);
		smp_mb();
		if (nvdm_controller_is_bound(pdev)) {
			/* Who asks for it later may find the root bus removed. */
			new->domain = pci_domain_nr(pdev->bus);
			new->bdf = pci_dev_id(pdev);
			kref_get(&new->ref);
			ctrl = new;
			new = NULL;
		} else {
			list_del(&new->node);
			ctrl = ERR_PTR(-ENODEV);
		}
	}
	mutex_unlock(&controllers_lock);

	if (new)
		nvdm_controller_put(new);
	return ctrl;
}

static void nvdm_controller_release(struct kref *ref)
{
	struct nvdm_controller *ctrl = container_of(ref, struct nvdm_controller, ref);

	devres_free(ctrl->release);
	pci_dev_put(ctrl->importer.pdev);
	kfree(ctrl);
}

void nvdm_controller_put(struct nvdm_controller *ctrl)
{
	kref_put(&ctrl->ref, nvdm_controller_release);
}

/**
 * nvdm_controller_join - somebody is to use a controller
 * @ctrl: the controller
 * @user: who, with ops and disk filled in; nothing is mapped yet
 *
 * Return: 0, or -ENODEV if the controller is gone.
 */
int nvdm_controller_join(struct nvdm_controller *ctrl, struct nvdm_controller_user *user)
{
	int ret = 0;

	spin_lock(&ctrl->users_lock);
	if (ctrl->importer.gone)
		ret = -ENODEV;
	else
		list_add_tail(&user->node, &ctrl->users);
	spin_unlock(&ctrl->users_lock);
	if (!ret)
		queue_delayed_work(controllers_queue, &ctrl->watch, WATCH_PERIOD);
	return ret;
}

/**
 * nvdm_controller_leave - somebody uses a controller no more
 * @ctrl: the controller
 * @user: who joined, and has nothing mapped
 */
void nvdm_controller_leave(struct nvdm_controller *ctrl, struct nvdm_controller_user *user)
{
	spin_lock(&ctrl->users_lock);
	list_del(&user->node);
	spin_unlock(&ctrl->users_lock);
}

/**
 * nvdm_controller_poll_for - look for completions that nobody else may look for
 * @ctrl: the controller
 * @disk: a disk of it, with requests on polled queues that were left to the block layer
 */
void nvdm_controller_poll_for(struct nvdm_controller *ctrl, struct gendisk *disk)
{
	spin_lock(&ctrl->users_lock);
	/* A driver that leaves ends them all. */
	if (!ctrl->importer.gone) {
		if (!ctrl->orphans) {
			get_device(disk_to_dev(disk));
			ctrl->orphans = disk;
		}
		ctrl->orphans_until = jiffies + disk->queue->rq_timeout;
		mod_delayed_work(controllers_queue, &ctrl->watch, ORPHANS_PERIOD);
	}
	spin_unlock(&ctrl->users_lock);
}

static void nvdm_controller_forget_orphans(struct nvdm_controller *ctrl)
{
	struct gendisk *disk;

	spin_lock(&ctrl->users_lock);
	disk = ctrl->orphans;
	ctrl->orphans = NULL;
	spin_unlock(&ctrl->users_lock);
	if (disk)
		put_device(disk_to_dev(disk));
}

/* Returns whether there may be any left. Only here, and once this is over, they are forgotten. */
static bool nvdm_controller_poll_orphans(struct nvdm_controller *ctrl)
{
	struct gendisk *disk = READ_ONCE(ctrl->orphans);

	if (!disk)
		return false;
	nvdm_poll_orphans(disk);
	/* As long as the driver keeps them back, the time does not run. */
	if (test_bit(GD_DEAD, &disk->state))
		nvdm_controller_forget_orphans(ctrl);
	else if (blk_queue_quiesced(disk->queue))
		WRITE_ONCE(ctrl->orphans_until, jiffies + disk->queue->rq_timeout);
	else if (time_after(jiffies, READ_ONCE(ctrl->orphans_until)))
		nvdm_controller_forget_orphans(ctrl);
	return true;
}

/* The next disk that is used, in the order of their addresses, with a reference. */
static struct gendisk *nvdm_controller_next_disk(struct nvdm_controller *ctrl,
						 const struct gendisk *last)
{
	struct nvdm_controller_user *user;
	struct gendisk *next = NULL;

	spin_lock(&ctrl->users_lock);
	list_for_each_entry(user, &ctrl->users, node)
		if (user->disk > last && (!next || user->disk < next))
			next = user->disk;
	if (next)
		get_device(disk_to_dev(next));
	spin_unlock(&ctrl->users_lock);
	return next;
}

/*
 * Commands that the driver keeps from the drive have no timeout, and perhaps nobody who
 * waits for them but a fence, or an io_uring that was closed.
 */
static void nvdm_controller_watch(struct work_struct *work)
{
	struct nvdm_controller *ctrl =
		container_of(to_delayed_work(work), struct nvdm_controller, watch);
	struct nvdm_namespace ns = { .ctrl = ctrl };
	struct gendisk *last = NULL;

	while ((ns.disk = nvdm_controller_next_disk(ctrl, last))) {
		controllers_end_late(&ns);
		last = ns.disk;
		put_device(disk_to_dev(last));
	}
	/* If none is left, the next to join begins anew. */
	if (nvdm_controller_poll_orphans(ctrl))
		queue_delayed_work(controllers_queue, &ctrl->watch, ORPHANS_PERIOD);
	else if (last)
		queue_delayed_work(controllers_queue, &ctrl->watch, WATCH_PERIOD);
}

/* The driver is about to leave: let no new command in. It ends the others. */
static void nvdm_controller_stop(struct nvdm_controller *ctrl)
{
	struct nvdm_controller_user *user;

	spin_lock(&ctrl->users_lock);
	WRITE_ONCE(ctrl->importer.gone, true);
	list_for_each_entry(user, &ctrl->users, node)
		user->ops->stop(user);
	spin_unlock(&ctrl->users_lock);
}

/* With a reference. */
static struct nvdm_controller_user *nvdm_controller_first_user(struct nvdm_controller *ctrl)
{
	struct nvdm_controller_user *user;

	spin_lock(&ctrl->users_lock);
	user = list_first_entry_or_null(&ctrl->users, struct nvdm_controller_user, node);
	if (user)
		user->ops->get(user);
	spin_unlock(&ctrl->users_lock);
	return user;
}

/*
 * The driver has left and disabled the device: nothing may stay mapped for it. This waits
 * for exporters, but holds nothing that other drives or other users' calls need.
 */
static void nvdm_controller_remove(struct nvdm_controller *ctrl)
{
	struct nvdm_controller_user *user;

	nvdm_controller_stop(ctrl);
	nvdm_probe_free(ctrl);
	while ((user = nvdm_controller_first_user(ctrl)))
		user->ops->leave(user);
	cancel_delayed_work_sync(&ctrl->watch);
	nvdm_controller_forget_orphans(ctrl);
	nvdm_aligned_list_exit(&ctrl->importer);

	mutex_lock(&controllers_lock);
	list_del(&ctrl->node);
	wake_up_all(&controllers_wait);
	mutex_unlock(&controllers_lock);
	nvdm_controller_put(ctrl);
}

static void nvdm_controller_release_devres(struct device *dev, void *res)
{
	nvdm_controller_remove(*(struct nvdm_controller **)res);
}

/*
 * The driver's resources are released after it has left, and ours among them: that is where
 * to wait for exporters, for it holds up this device alone. The notifier's lock is all
 * drives'. Only a controller that was made while the driver was leaving is first seen after
 * that, and has no user to wait for, unless one joined in that moment.
 */
static int nvdm_controller_notify(struct notifier_block *nb, unsigned long event, void *data)
{
	struct nvdm_controller **release = NULL;
	struct nvdm_controller *ctrl;

	if (event != BUS_NOTIFY_UNBIND_DRIVER && event != BUS_NOTIFY_UNBOUND_DRIVER)
		return NOTIFY_DONE;

	mutex_lock(&controllers_lock);
	ctrl = nvdm_controller_find(data);
	if (ctrl)
		swap(release, ctrl->release);
	mutex_unlock(&controllers_lock);
	if (!ctrl)
		return NOTIFY_DONE;
	if (event == BUS_NOTIFY_UNBIND_DRIVER) {
		nvdm_controller_stop(ctrl);
		devres_add(data, release);
	} else {
		devres_free(release);
		nvdm_controller_remove(ctrl);
	}
	nvdm_controller_put(ctrl);
	return NOTIFY_OK;
}

static struct notifier_block controller_notifier = {
	.notifier_call = nvdm_controller_notify,
	/* Before the DMA API's own, which looks for mappings that are left. */
	.priority = 1,
};

/**
 * nvdm_controller_init - begin to look after controllers
 * @end_late: ends commands that the driver has kept from the drive for longer than the drive
 *	might take; of the namespace, of which it gets disk and ctrl, and of others alike
 *
 * Return: 0 or a negative error number.
 */
int nvdm_controller_init(void (*end_late)(const struct nvdm_namespace *ns))
{
	int ret;

	controllers_end_late = end_late;
	controllers_queue = alloc_workqueue("nvme-dmabuf", WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	if (!controllers_queue)
		return -ENOMEM;
	ret = bus_register_notifier(&pci_bus_type, &controller_notifier);
	if (ret)
		destroy_workqueue(controllers_queue);
	return ret;
}

/* Is a driver about to leave, and will call us? */
static bool nvdm_controller_any_leaves(void)
{
	struct nvdm_controller *ctrl;
	bool leaves = false;

	mutex_lock(&controllers_lock);
	list_for_each_entry(ctrl, &controllers, node)
		leaves |= !ctrl->release;
	mutex_unlock(&controllers_lock);
	return leaves;
}

/* Called when no context is open, so no user is left. */
void nvdm_controller_exit(void)
{
	struct nvdm_controller *ctrl, *next;

	/* While the notifier still sees to it that the device is there. */
	mutex_lock(&controllers_lock);
	list_for_each_entry(ctrl, &controllers, node) {
		nvdm_probe_free(ctrl);
		nvdm_aligned_list_exit(&ctrl->importer);
	}
	mutex_unlock(&controllers_lock);

	bus_unregister_notifier(&pci_bus_type, &controller_notifier);
	wait_event(controllers_wait, !nvdm_controller_any_leaves());
	list_for_each_entry_safe(ctrl, next, &controllers, node) {
		list_del(&ctrl->node);
		cancel_delayed_work_sync(&ctrl->watch);
		nvdm_controller_forget_orphans(ctrl);
		nvdm_controller_put(ctrl);
	}
	destroy_workqueue(controllers_queue);
}
