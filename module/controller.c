// SPDX-License-Identifier: GPL-2.0-only
/*
 * Controllers: PCI devices bound to the stock nvme driver, and what happens to
 * the maps of one whose driver is unbound or which is unplugged. Must not know
 * commands or user memory.
 */
#include <linux/iommu.h>
#include <linux/slab.h>

#include "internal.h"

static LIST_HEAD(controllers);
static DEFINE_MUTEX(controllers_lock);

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
	kref_init(&ctrl->ref);
	mutex_init(&ctrl->lock);
	spin_lock_init(&ctrl->maps_lock);
	mutex_init(&ctrl->probe_lock);
	INIT_LIST_HEAD(&ctrl->maps);
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

/* The driver has left and disabled the device: nothing may stay mapped for it. */
static void nvdm_controller_remove(struct nvdm_controller *ctrl)
{
	struct nvdm_map *map, *next;

	nvdm_controller_stop(ctrl);
	nvdm_probe_free(ctrl);

	mutex_lock(&ctrl->lock);
	list_for_each_entry_safe(map, next, &ctrl->maps, node) {
		nvdm_map_stop(map, NVME_DMABUF_STATE_GONE);
		nvdm_map_drain(map);
		nvdm_map_detach(map);
	}
	nvdm_aligned_list_exit(ctrl);
	mutex_unlock(&ctrl->lock);

	mutex_lock(&controllers_lock);
	list_del(&ctrl->node);
	mutex_unlock(&controllers_lock);
	nvdm_controller_put(ctrl);
}

static int nvdm_controller_notify(struct notifier_block *nb, unsigned long event, void *data)
{
	struct nvdm_controller *ctrl;

	if (event != BUS_NOTIFY_UNBIND_DRIVER && event != BUS_NOTIFY_UNBOUND_DRIVER)
		return NOTIFY_DONE;

	mutex_lock(&controllers_lock);
	ctrl = nvdm_controller_find(data);
	mutex_unlock(&controllers_lock);
	if (!ctrl)
		return NOTIFY_DONE;
	if (event == BUS_NOTIFY_UNBIND_DRIVER)
		nvdm_controller_stop(ctrl);
	else
		nvdm_controller_remove(ctrl);
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
	return bus_register_notifier(&pci_bus_type, &controller_notifier);
}

/* Called when no context is open, so no map is left. */
void nvdm_controller_exit(void)
{
	struct nvdm_controller *ctrl, *next;

	/* While the notifier still sees to it that the device is there. */
	mutex_lock(&controllers_lock);
	list_for_each_entry(ctrl, &controllers, node) {
		nvdm_probe_free(ctrl);
		mutex_lock(&ctrl->lock);
		nvdm_aligned_list_exit(ctrl);
		mutex_unlock(&ctrl->lock);
	}
	mutex_unlock(&controllers_lock);

	bus_unregister_notifier(&pci_bus_type, &controller_notifier);
	list_for_each_entry_safe(ctrl, next, &controllers, node) {
		list_del(&ctrl->node);
		nvdm_controller_put(ctrl);
	}
}
