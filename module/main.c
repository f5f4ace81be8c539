// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module: parameters, loading and unloading.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>

#include "entry.h"

#ifndef CONFIG_X86_64
#error "so far only for x86-64, see the limits in README.md"
#endif

unsigned int max_maps = 1024;
module_param(max_maps, uint, 0644);
MODULE_PARM_DESC(max_maps, "Maps that one open file may hold (number, default 1024)");

bool use_sgl = true;
module_param_named(sgl, use_sgl, bool, 0644);
MODULE_PARM_DESC(
	sgl,
	"Use an SGL for contiguous maps where the drive takes them (bool, default Y; for maps made afterwards)");

unsigned int prp_list_align = sizeof(__le64);

static int prp_list_align_set(const char *value, const struct kernel_param *kp)
{
	unsigned int align;
	int ret = kstrtouint(value, 0, &align);

	if (ret)
		return ret;
	if (!is_power_of_2(align) || align < sizeof(__le64) || align > PRP_PAGE_SIZE)
		return -EINVAL;
	WRITE_ONCE(prp_list_align, align);
	return 0;
}

static const struct kernel_param_ops prp_list_align_ops = {
	.set = prp_list_align_set,
	.get = param_get_uint,
};
module_param_cb(prp_list_align, &prp_list_align_ops, &prp_list_align, 0644);
MODULE_PARM_DESC(
	prp_list_align,
	"Alignment of PRP lists, if it is to be more than test reads found that a drive needs (bytes, a power of 2 from 8 to 4096, default 8; for maps made afterwards)");

static int __init nvme_dmabuf_init(void)
{
	int ret;

	ret = nvdm_lease_init();
	if (ret)
		return ret;
	ret = nvdm_controller_init(nvdm_command_end_late);
	if (ret)
		goto exit_lease;
	ret = nvdm_chardev_register();
	if (ret)
		goto exit_controller;
	pr_info("version %s, up to %u KiB per command\n", NVME_DMABUF_VERSION,
		COMMAND_MAX_BYTES / 1024);
	return 0;
exit_controller:
	nvdm_controller_exit();
exit_lease:
	nvdm_lease_exit();
	return ret;
}
module_init(nvme_dmabuf_init);

static void __exit nvme_dmabuf_exit(void)
{
	nvdm_chardev_unregister();
	nvdm_controller_exit();
	nvdm_lease_exit();
	/* A completion that let the last context go may still be returning. */
	synchronize_rcu_tasks();
	rcu_barrier();
}
module_exit(nvme_dmabuf_exit);

MODULE_DESCRIPTION("NVMe reads and writes on long-lived dma-buf mappings");
MODULE_AUTHOR("The nvme-dmabuf authors");
MODULE_VERSION(NVME_DMABUF_VERSION);
MODULE_LICENSE("GPL");
COMPAT_IMPORT_NS(DMA_BUF);
