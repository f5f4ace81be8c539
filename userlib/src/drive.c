// SPDX-License-Identifier: MIT
/*
 * What a drive says of itself, asked with Identify through the stock driver.
 * Together with the status strings of text.c the only user of libnvme; knows
 * nothing of the module.
 */
#include <endian.h>
#include <errno.h>
#include <stddef.h>

#include <libnvme.h>
#include <nvmedmabuf.h>

#include "library.h"
#include "params.h"

#define NVME_FUNCTIONS(f) \
	f(nvme_get_nsid)  \
	f(nvme_identify)

LIBRARY(nvme, "libnvme.so.1", NVME_FUNCTIONS);

#define DRIVE_MIN_SIZE	(offsetof(struct nvmedmabuf_drive, firmware) + \
			 sizeof(((struct nvmedmabuf_drive *)0)->firmware))

/* MDTS counts the smallest pages a controller has. Linux binds to none whose
 * smallest page is larger than 4 KiB, and 4 KiB is the least there is. */
#define CTRL_PAGE_SHIFT	12

static int identify(int ns_fd, enum nvme_identify_cns cns, uint32_t nsid, void *data)
{
	struct nvme_identify_args args = {
		.args_size = sizeof(args),
		.fd = ns_fd,
		.data = data,
		.cns = cns,
		.csi = NVME_CSI_NVM,
		.nsid = nsid,
		.cntid = NVME_CNTLID_NONE,
		.cns_specific_id = NVME_CNSSPECID_NONE,
	};
	/* 0, an NVMe status, or -1 with errno set. */
	int ret = nvme.nvme_identify(&args);

	if (ret < 0)
		return -errno;
	return ret ? -EIO : 0;
}

/* Identify's strings are padded with spaces and not terminated. */
static void copy_string(char *to, const char *from, size_t len)
{
	size_t i;

	while (len && (from[len - 1] == ' ' || !from[len - 1]))
		len--;
	for (i = 0; i < len; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[len] = '\0';
}

static int identify_controller(int ns_fd, struct nvmedmabuf_drive *drive)
{
	struct nvme_id_ctrl id;
	int err;

	memset(&id, 0, sizeof(id));
	err = identify(ns_fd, NVME_IDENTIFY_CNS_CTRL, NVME_NSID_NONE, &id);
	if (err)
		return err;

	copy_string(drive->model, id.mn, sizeof(id.mn));
	copy_string(drive->serial, id.sn, sizeof(id.sn));
	copy_string(drive->firmware, id.fr, sizeof(id.fr));
	if (id.mdts && id.mdts < 64 - CTRL_PAGE_SHIFT)
		drive->max_transfer = 1ULL << (id.mdts + CTRL_PAGE_SHIFT);
	drive->sgl_supported = le32toh(id.sgls) & NVME_CTRL_SGLS_SUPPORTED;
	drive->write_cache = !!(id.vwc & NVME_CTRL_VWC_PRESENT);
	return 0;
}

static int identify_namespace(int ns_fd, struct nvmedmabuf_drive *drive)
{
	const struct nvme_lbaf *lbaf;
	struct nvme_id_ns id;
	uint8_t format;
	int err;

	memset(&id, 0, sizeof(id));
	err = identify(ns_fd, NVME_IDENTIFY_CNS_NS, drive->nsid, &id);
	if (err)
		return err;

	nvme_id_ns_flbas_to_lbaf_inuse(id.flbas, &format);
	lbaf = &id.lbaf[format];
	if (lbaf->ds < 9 || lbaf->ds > 31)
		return -EIO;

	drive->blocks = le64toh(id.nsze);
	drive->block_size = 1U << lbaf->ds;
	drive->metadata_size = le16toh(lbaf->ms);
	drive->metadata_interleaved = !!(id.flbas & NVME_NS_FLBAS_META_EXT);
	drive->pi_type = id.dps & NVME_NS_DPS_PI_MASK;
	drive->pi_first = !!(id.dps & NVME_NS_DPS_PI_FIRST);
	return 0;
}

int nvmedmabuf_get_drive(int ns_fd, struct nvmedmabuf_drive *drive)
{
	struct nvmedmabuf_drive known = { .size = drive->size };
	int err;

	/* Its strings were the end of the first version. */
	if (drive->size < DRIVE_MIN_SIZE)
		return -EINVAL;

	err = library_load(&nvme_library);
	if (err)
		return err;
	if (nvme.nvme_get_nsid(ns_fd, &known.nsid) < 0)
		return -errno;
	err = identify_controller(ns_fd, &known);
	if (err)
		return err;
	err = identify_namespace(ns_fd, &known);
	if (err)
		return err;

	err = ANSWER_BEGIN(drive, firmware);
	memcpy(drive, &known, known.size < sizeof(known) ? known.size : sizeof(known));
	return err;
}
