// SPDX-License-Identifier: MIT
/*
 * One namespace, or a file on one, for 'info': what the module, the drive, the block
 * layer and sysfs say of it. Whatever cannot be found out is null in JSON, and left out
 * of the text.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <linux/fs.h>
#include <sys/ioctl.h>

#include "info.h"

#define MAX_CONTROLLERS 8

struct facts {
	struct ns ns;
	struct file_facts file; /* if it is one */
	struct nvme_dmabuf_ns_info info;
	struct nvmedmabuf_drive drive;
	struct controller controllers[MAX_CONTROLLERS];
	struct use uses[MAX_USES];
	char iommu_domain[16]; /* sysfs' word: DMA, DMA-FQ, identity */
	char pci[PCI_TEXT];
	uint64_t bytes; /* by the block layer, or of the file */
	uint64_t blocks;
	uint64_t block_layer_max;
	int block_size;
	int controller_count;
	int use_count;
	bool has_info;
	bool has_drive;
	const char *reason; /* NULL if it can be used */
	char message[512];
};

static bool has_flag(const struct facts *f, uint32_t flag)
{
	return f->info.out_flags & flag;
}

static void refuse(struct facts *f, const char *reason, const char *message)
{
	f->reason = reason;
	snprintf(f->message, sizeof(f->message), "%s", message);
}

static void ask_module(struct facts *f, struct nvmedmabuf *ctx)
{
	uint32_t reason;
	int ret;

	if (!ctx) {
		refuse(f, "no-module", "Without the module nothing can be used.");
		return;
	}
	f->info.size = sizeof(f->info);
	ret = nvmedmabuf_get_ns_info(ctx, f->ns.fd, &f->info);
	reason = f->info.out_reason;
	f->has_info = !ret;
	if (reason != NVME_DMABUF_REASON_NONE)
		refuse(f, nvmedmabuf_reason_name(reason), nvmedmabuf_reason_text(reason));
	else if (ret)
		refuse(f, "query-failed", strerror(-ret));
}

static void measure(struct facts *f)
{
	if (f->ns.is_file) {
		f->bytes = f->ns.bytes;
		f->blocks = f->info.out_capacity;
		f->block_size = f->info.out_block_size;
		return;
	}
	if (ioctl(f->ns.fd, BLKSSZGET, &f->block_size))
		f->block_size = 0;
	if (ioctl(f->ns.fd, BLKGETSIZE64, &f->bytes))
		f->bytes = 0;
	f->blocks = f->block_size ? f->bytes / f->block_size : 0;
}

/* A map tells more than the module's answer about the file, and can be refused besides. */
static void gather_file(struct facts *f, struct nvmedmabuf *ctx)
{
	info_file_gather(&f->file, f->reason ? NULL : ctx, &f->ns);
	if (f->file.reason)
		refuse(f, nvmedmabuf_reason_name(f->file.reason),
		       nvmedmabuf_reason_text(f->file.reason));
}

static void find_pci(struct facts *f)
{
	const struct controller *first = &f->controllers[0];

	if (f->has_info && f->info.out_pci_bdf)
		pci_text(f->info.out_pci_domain, f->info.out_pci_bdf, f->pci);
	else if (f->controller_count && strcmp(first->transport, "pcie") == 0)
		snprintf(f->pci, sizeof(f->pci), "%.*s", PCI_TEXT - 1, first->address);
	if (f->pci[0])
		sysfs_read(f->iommu_domain, sizeof(f->iommu_domain),
			   "/sys/bus/pci/devices/%s/iommu_group/type", f->pci);
}

static void gather(struct facts *f, struct nvmedmabuf *ctx)
{
	char value[32];

	ask_module(f, ctx);
	f->drive.size = sizeof(f->drive);
	f->has_drive = !ns_get_drive(&f->ns, &f->drive);
	measure(f);
	if (f->ns.is_file)
		gather_file(f, ctx);
	if (!sysfs_read(value, sizeof(value), "/sys/class/block/%s/queue/max_hw_sectors_kb",
			f->ns.disk))
		f->block_layer_max = strtoull(value, NULL, 10) * KIB;
	f->controller_count = ns_controllers(&f->ns, f->controllers, MAX_CONTROLLERS);
	/* Those of a file's device are of no interest: nobody writes. */
	if (!f->ns.is_file)
		f->use_count = ns_uses(&f->ns, f->uses, MAX_USES);
	find_pci(f);
}

static void put_text(struct json_object *obj, const char *key, bool known, const char *value)
{
	put_str(obj, key, known && value[0] ? value : NULL);
}

static void put_number(struct json_object *obj, const char *key, bool known, uint64_t value)
{
	if (known)
		put_u64(obj, key, value);
	else
		put_null(obj, key);
}

static void put_yes_no(struct json_object *obj, const char *key, bool known, bool value)
{
	if (known)
		put_bool(obj, key, value);
	else
		put_null(obj, key);
}

static void controllers_to_json(struct json_object *obj, const struct facts *f)
{
	struct json_object *array = put_new_array(obj, "controllers");

	for (int i = 0; i < f->controller_count && i < MAX_CONTROLLERS; i++) {
		const struct controller *c = &f->controllers[i];
		struct json_object *one = append_new_object(array);

		put_str(one, "name", c->name);
		put_text(one, "transport", true, c->transport);
		put_text(one, "address", true, c->address);
		put_text(one, "state", true, c->state);
	}
}

static void to_json(struct json_object *obj, const struct facts *f)
{
	const struct nvme_dmabuf_ns_info *info = &f->info;
	const struct nvmedmabuf_drive *drive = &f->drive;
	bool usable = !f->reason, limited = f->has_drive && drive->max_transfer;

	put_text(obj, "name", true, f->ns.name);
	put_number(obj, "partition", f->ns.partition, f->ns.partition);
	put_number(obj, "start_lba", usable, info->out_start);
	put_number(obj, "nsid", f->has_drive || info->out_nsid,
		   info->out_nsid ? info->out_nsid : drive->nsid);
	put_number(obj, "block_size", f->block_size, f->block_size);
	put_number(obj, "capacity_blocks", f->block_size, f->blocks);
	put_u64(obj, "capacity_bytes", f->bytes);
	put_yes_no(obj, "read_only", usable, has_flag(f, NVME_DMABUF_NS_READ_ONLY));
	put_text(obj, "model", f->has_drive, drive->model);
	put_text(obj, "serial", f->has_drive, drive->serial);
	put_text(obj, "firmware", f->has_drive, drive->firmware);
	put_text(obj, "pci_address", true, f->pci);
	controllers_to_json(obj, f);
	put_yes_no(obj, "multipath", usable, has_flag(f, NVME_DMABUF_NS_MULTIPATH));
	put_number(obj, "max_command_bytes", usable, info->out_max_command);
	put_number(obj, "max_transfer_bytes", limited, drive->max_transfer);
	put_number(obj, "block_layer_max_bytes", f->block_layer_max, f->block_layer_max);
	put_yes_no(obj, "iommu_translating", usable, has_flag(f, NVME_DMABUF_NS_IOMMU));
	put_text(obj, "iommu_domain", true, f->iommu_domain);
	put_yes_no(obj, "sgl", usable, has_flag(f, NVME_DMABUF_NS_SGL));
	put_yes_no(obj, "sgl_supported", f->has_drive, drive->sgl_supported);
	put_yes_no(obj, "zoned", usable, has_flag(f, NVME_DMABUF_NS_ZONED));
	put_yes_no(obj, "polled_queues", usable, has_flag(f, NVME_DMABUF_NS_POLL));
	put_yes_no(obj, "pi", usable, has_flag(f, NVME_DMABUF_NS_PI));
	put_number(obj, "pi_type", f->has_drive, drive->pi_type);
	put_number(obj, "metadata_bytes", f->has_drive, drive->metadata_size);
	put_yes_no(obj, "metadata_interleaved", f->has_drive && drive->metadata_size,
		   drive->metadata_interleaved);
	put_yes_no(obj, "volatile_write_cache", f->has_drive, drive->write_cache);
	uses_to_json(put_new_array(obj, "in_use"), f->uses, f->use_count);
	if (f->ns.is_file)
		info_file_to_json(obj, &f->file, &f->ns);
	else
		put_null(obj, "file");
}

static void drive_to_text(const struct facts *f)
{
	char text[SIZE_TEXT];

	if (f->has_drive)
		printf("  drive        %s, serial %s, firmware %s\n", f->drive.model,
		       f->drive.serial, f->drive.firmware);
	for (int i = 0; i < f->controller_count && i < MAX_CONTROLLERS; i++) {
		const struct controller *c = &f->controllers[i];

		printf("  controller   %s, %s %s, %s%s\n", c->name, c->transport, c->address,
		       c->state,
		       f->controller_count > 1 && strcmp(c->address, f->pci) == 0 ? ", used" : "");
	}
	if (f->block_size)
		printf("  capacity     %" PRIu64 " blocks of %d bytes, %s\n", f->blocks,
		       f->block_size, size_text(f->bytes, text));
	if (f->has_drive && f->drive.metadata_size)
		printf("  metadata     %u bytes per block, %s, protection information %s%.0u\n",
		       f->drive.metadata_size,
		       f->drive.metadata_interleaved ? "interleaved" : "separate",
		       f->drive.pi_type ? "type " : "none", f->drive.pi_type);
}

static void module_to_text(const struct facts *f)
{
	char text[SIZE_TEXT];

	if (f->reason)
		return;
	printf("  access       nsid %" PRIu32 "%s%s%s%s%s", f->info.out_nsid,
	       f->ns.is_file ? ", a file" : "",
	       has_flag(f, NVME_DMABUF_NS_READ_ONLY) ? ", read-only" : "",
	       has_flag(f, NVME_DMABUF_NS_ZONED) ? ", zoned: can only be read" : "",
	       has_flag(f, NVME_DMABUF_NS_MULTIPATH) ? ", multipath" : "",
	       has_flag(f, NVME_DMABUF_NS_PI) ?
		       ", the drive inserts and strips protection information" :
		       "");
	if (has_flag(f, NVME_DMABUF_NS_PARTITION))
		printf(", partition %u from block %" PRIu64, f->ns.partition,
		       (uint64_t)f->info.out_start);
	printf("\n  commands     up to %s", size_text(f->info.out_max_command, text));
	if (f->has_drive)
		printf("; the drive takes %s", f->drive.max_transfer ?
						       size_text(f->drive.max_transfer, text) :
						       "any length");
	if (f->block_layer_max)
		printf(", the block layer %s", size_text(f->block_layer_max, text));
	printf("\n  descriptors  %s\n",
	       has_flag(f, NVME_DMABUF_NS_SGL)	      ? "SGL for contiguous buffers, else PRP" :
	       f->has_drive && f->drive.sgl_supported ? "PRP, although the drive takes SGLs" :
							"PRP");
	printf("  queues       polled queues: %s\n",
	       has_flag(f, NVME_DMABUF_NS_POLL) ? "yes" : "no, polling falls back to interrupts");
	printf("  iommu        %s%s%s\n",
	       has_flag(f, NVME_DMABUF_NS_IOMMU) ? "translates" : "does not translate",
	       f->iommu_domain[0] ? ", domain type " : "", f->iommu_domain);
}

static void to_text(const struct facts *f)
{
	char text[2 * PATH_SIZE];

	printf("\n%s: %s%s\n", f->ns.path, f->reason ? "cannot be used: " : "can be used",
	       f->reason ? f->reason : "");
	if (f->reason)
		printf("  %s\n", f->message);
	if (f->ns.fd < 0)
		return;
	if (f->ns.is_file)
		info_file_to_text(&f->file, &f->ns);
	drive_to_text(f);
	module_to_text(f);
	for (int i = 0; i < f->use_count && i < MAX_USES; i++)
		printf("  in use       %s\n", use_text(&f->uses[i], text, sizeof(text)));
}

int info_show_namespace(struct nvmedmabuf *ctx, const char *word, bool named,
			struct json_object *obj)
{
	struct facts *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return report_no_memory();

	ret = ns_open(&f->ns, word, O_RDONLY);
	if (ret)
		refuse(f, ns_open_reason(ret), ns_open_text(ret));
	else
		gather(f, ctx);

	put_str(obj, "path", f->ns.path);
	put_bool(obj, "usable", !f->reason);
	put_str(obj, "reason", f->reason);
	put_number(obj, "reason_number", f->has_info,
		   f->file.reason ? f->file.reason : f->info.out_reason);
	put_str(obj, "message", f->reason ? f->message : NULL);
	if (f->ns.fd >= 0)
		to_json(obj, f);
	if (!report_json())
		to_text(f);

	ret = f->reason ? TOOL_REFUSED : TOOL_OK;
	if (ret && ctx && named)
		report_error(ret, f->reason, "%s cannot be used: %s", f->ns.path, f->message);
	ns_close(&f->ns);
	free(f);
	return ret;
}
