// SPDX-License-Identifier: GPL-2.0-only
/*
 * Controllers: PCI devices bound to the stock nvme driver, and what happens to
 * the maps of one whose driver is unbound or which is unplugged. Must not know
 * commands or user memory.
 */
#include <linux/device.h>
#include <linux/iommu.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "internal.h"

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
	spin_lock_init(&ctrl->maps_lock);
	mutex_init(&ctrl->probe_lock);
	mutex_init(&ctrl->parked_lock);
	mutex_init(&ctrl->lists_lock);
	INIT_LIST_HEAD(&ctrl->maps);
	INIT_DELAYED_WORK(&ctrl->watch, nvdm_controller_watch);
	ctrl->pdev = pci_dev_get(pdev);
	return ctrl;
}

/* Under controllers_lock. */
static struct nvdm_controller *nvdm_controller_find(struct device *dev)
{
	struct nvdm_controller *ctrl;

	list_for_each_entry(ctrl, &controllers, node) {
		if (&ctrl->pdev->dev == dev) {
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
	pci_dev_put(ctrl->pdev);
	kfree(ctrl);
}

void nvdm_controller_put(struct nvdm_controller *ctrl)
{
	kref_put(&ctrl->ref, nvdm_controller_release);
}

/* Is the controller's DMA translated, so that DMA addresses mean something else? */
bool nvdm_controller_translates(struct nvdm_controller *ctrl)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&ctrl->pdev->dev);

	return domain && domain->type != IOMMU_DOMAIN_IDENTITY;
}

/**
 * nvdm_controller_join - a map is to use a controller
 * @ctrl: the controller
 * @map: the map, which is not mapped yet
 *
 * Return: 0, -ENODEV if the controller is gone, or -ENOMEM.
 */
int nvdm_controller_join(struct nvdm_controller *ctrl, struct nvdm_map *map)
{
	int ret = 0;

	if (map->list_align > sizeof(__le64))
		ret = nvdm_aligned_list_prepare(ctrl);
	if (ret)
		return ret;
	spin_lock(&ctrl->maps_lock);
	if (ctrl->gone)
		ret = -ENODEV;
	else
		list_add_tail(&map->node, &ctrl->maps);
	spin_unlock(&ctrl->maps_lock);
	if (!ret)
		queue_delayed_work(controllers_queue, &ctrl->watch, WATCH_PERIOD);
	return ret;
}

/**
 * nvdm_controller_leave - a map uses a controller no more
 * @ctrl: the controller
 * @map: the map, of which nothing is mapped
 */
void nvdm_controller_leave(struct nvdm_controller *ctrl, struct nvdm_map *map)
{
	spin_lock(&ctrl->maps_lock);
	list_del(&map->node);
	spin_unlock(&ctrl->maps_lock);
}

/**
 * nvdm_controller_poll_for - look for completions that nobody else may look for
 * @ctrl: the controller
 * @disk: a disk of it, with requests on polled queues that were left to the block layer
 */
void nvdm_controller_poll_for(struct nvdm_controller *ctrl, struct gendisk *disk)
{
	spin_lock(&ctrl->maps_lock);
	/* A driver that leaves ends them all. */
	if (!ctrl->gone) {
		if (!ctrl->orphans) {
			get_device(disk_to_dev(disk));
			ctrl->orphans = disk;
		}
		ctrl->orphans_until = jiffies + disk->queue->rq_timeout;
		mod_delayed_work(controllers_queue, &ctrl->watch, ORPHANS_PERIOD);
	}
	spin_unlock(&ctrl->maps_lock);
}

static void nvdm_controller_forget_orphans(struct nvdm_controller *ctrl)
{
	struct gendisk *disk;

	spin_lock(&ctrl->maps_lock);
	disk = ctrl->orphans;
	ctrl->orphans = NULL;
	spin_unlock(&ctrl->maps_lock);
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

/* The next disk that maps use, in the order of their addresses, with a reference. */
static struct gendisk *nvdm_controller_next_disk(struct nvdm_controller *ctrl,
						 const struct gendisk *last)
{
	struct gendisk *next = NULL;
	struct nvdm_map *map;

	spin_lock(&ctrl->maps_lock);
	list_for_each_entry(map, &ctrl->maps, node)
		if (map->ns.disk > last && (!next || map->ns.disk < next))
			next = map->ns.disk;
	if (next)
		get_device(disk_to_dev(next));
	spin_unlock(&ctrl->maps_lock);
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
	const struct nvdm_parked late = { .late = true };
	struct nvdm_namespace ns = { .ctrl = ctrl };
	struct gendisk *last = NULL;

	while ((ns.disk = nvdm_controller_next_disk(ctrl, last))) {
		nvdm_command_end_parked(&ns, &late);
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
	struct nvdm_map *map;

	spin_lock(&ctrl->maps_lock);
	WRITE_ONCE(ctrl->gone, true);
	list_for_each_entry(map, &ctrl->maps, node)
		nvdm_map_stop(map, NVME_DMABUF_STATE_GONE);
	spin_unlock(&ctrl->maps_lock);
}

/* With a reference. */
static struct nvdm_map *nvdm_controller_first_map(struct nvdm_controller *ctrl)
{
	struct nvdm_map *map;

	spin_lock(&ctrl->maps_lock);
	map = list_first_entry_or_null(&ctrl->maps, struct nvdm_map, node);
	if (map)
		kref_get(&map->ref);
	spin_unlock(&ctrl->maps_lock);
	return map;
}

/*
 * The driver has left and disabled the device: nothing may stay mapped for it. This waits
 * for exporters, but holds nothing that other drives or other users' calls need.
 */
static void nvdm_controller_remove(struct nvdm_controller *ctrl)
{
	struct nvdm_map *map;

	nvdm_controller_stop(ctrl);
	nvdm_probe_free(ctrl);
	while ((map = nvdm_controller_first_map(ctrl))) {
		/* The driver has ended all requests, and what else a map has may be gone. */
		wait_for_completion(&map->idle);
		nvdm_map_detach(map);
		nvdm_map_put(map);
	}
	cancel_delayed_work_sync(&ctrl->watch);
	nvdm_controller_forget_orphans(ctrl);
	nvdm_aligned_list_exit(ctrl);

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
 * that, and has no map to wait for, unless one was attached in that moment.
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

int nvdm_controller_init(void)
{
	int ret;

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

/* Called when no context is open, so no map is left. */
void nvdm_controller_exit(void)
{
	struct nvdm_controller *ctrl, *next;

	/* While the notifier still sees to it that the device is there. */
	mutex_lock(&controllers_lock);
	list_for_each_entry(ctrl, &controllers, node) {
		nvdm_probe_free(ctrl);
		nvdm_aligned_list_exit(ctrl);
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
