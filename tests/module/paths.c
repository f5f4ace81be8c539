// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test takes the paths of a multipath namespace away, with maps idle and with
 * I/O in flight. A map stays on the path that it was made for: it ends with that path
 * and with no other, and the next one is made for a path that is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "leaving.h"

#define PATHS 2

/** struct path - a controller by which the namespace is reached */
struct path {
	struct known known;
	struct device device;
};

static void path_is(struct path *p, enum way way, const struct nvme_dmabuf_map_info *info)
{
	*p = (struct path){ .known.serial = "MPATH", .device = { way, &p->known } };
	snprintf(p->known.pci, sizeof(p->known.pci), "%04x:%02x:%02x.%x", info->out_pci_domain,
		 info->out_pci_bdf >> 8, info->out_pci_bdf >> 3 & 31, info->out_pci_bdf & 7);
}

/* The path's own disk is hidden, and has the controller's number in its name. */
static bool path_is_there(const struct path *p)
{
	char pattern[128];
	glob_t found;
	bool there;

	device_file(&p->device, "nvme/nvme*/nvme*c*n*", pattern, sizeof(pattern));
	there = !glob(pattern, 0, NULL, &found);
	if (there)
		globfree(&found);
	return there;
}

static void path_take(struct path *p)
{
	device_take(&p->device);
	check(!path_is_there(p));
}

static void path_return(struct path *p)
{
	device_return(&p->device);
	/* The namespace was there all the time, by another. */
	wait_until(path_is_there(p));
}

static void open_multipath(struct rig *rig)
{
	const struct known any = { .pci = "any" };

	require_unbind(&any);
	rig_open(rig, drive_path("MPATH"), exporter_any(), MIB, MIB);
}

/* Attaches, and tells on which path; all that is attached moves the right data. */
static uint32_t attach_path(struct rig *rig, enum way way, struct path *p)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	rig_attach_all(rig);
	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	path_is(p, way, &info);
	check_that(path_is_there(p), "no path at %s", p->known.pci);
	rig_read(rig, 0, MIB / 2, rig->first);
	if (may_erase())
		rig_write(rig, 4, MIB / 2, rig->first);
	rig_verify(rig);
	return rig->map;
}

static void check_map_gone(struct rig *rig, uint32_t map)
{
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t reason = ~0U;

	check_eq(nvmedmabuf_get_map_info(rig->ctx, map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_GONE);
	check_eq(nvmedmabuf_read(rig->ctx, map, 0, rig->drive.block, rig->first, &c), -ENODEV);
	check_eq(c.reason, NVME_DMABUF_REASON_GONE);
	check_eq(c.bytes, 0);
	check_eq(nvmedmabuf_refresh(rig->ctx, map, NULL, &reason), -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_GONE);
}

static void idle(const void *arg)
{
	enum way way = *(const enum way *)arg;
	struct path first, second, again;
	uint32_t map, other;
	struct rig rig;

	open_multipath(&rig);
	map = attach_path(&rig, way, &first);
	path_take(&first);
	check_map_gone(&rig, map);

	/* The other one, which does not go when the first comes back. */
	other = attach_path(&rig, way, &second);
	check(strcmp(first.known.pci, second.known.pci));
	path_return(&first);
	check_map_gone(&rig, map);
	check_eq(nvmedmabuf_detach(rig.ctx, map), 0);
	rig_read(&rig, 0, MIB / 2, rig.first);
	rig_verify(&rig);

	/* Nor the other way round. */
	path_take(&second);
	check_map_gone(&rig, other);
	map = attach_path(&rig, way, &again);
	check(!strcmp(first.known.pci, again.known.pci));
	path_return(&second);
	rig_read(&rig, 0, MIB / 2, rig.first);
	rig_verify(&rig);
	check_eq(nvmedmabuf_detach(rig.ctx, other), 0);
	rig_close(&rig);
}

/* While threads submit. */
static void busy(const void *arg)
{
	enum way way = *(const enum way *)arg;
	struct worker workers[3];
	struct path first, second;
	struct rig rig;
	uint32_t map;

	for (unsigned int i = 0; i < scaled(2); i++) {
		open_multipath(&rig);
		map = attach_path(&rig, way, &first);
		workers_start(workers, ARRAY_SIZE(workers), &rig);
		path_take(&first);
		workers_join(workers, ARRAY_SIZE(workers));
		check_map_gone(&rig, map);
		/* What they have read is not what the rig knows. */
		rig_close(&rig);

		open_multipath(&rig);
		attach_path(&rig, way, &second);
		check(strcmp(first.known.pci, second.known.pci));
		path_return(&first);
		rig_close(&rig);
	}
}

/* A controller that is reset takes nothing with it. */
static void reset(const void *arg)
{
	struct path p;
	char pattern[128];
	struct rig rig;
	glob_t found;

	(void)arg;
	open_multipath(&rig);
	attach_path(&rig, UNBIND, &p);
	device_file(&p.device, "nvme/nvme*/reset_controller", pattern, sizeof(pattern));
	check_that(!glob(pattern, 0, NULL, &found), "no %s", pattern);
	for (unsigned int i = 0; i < scaled(3); i++) {
		check(file_put(found.gl_pathv[0], "1"));
		rig_read(&rig, 0, MIB / 2, rig.first);
		rig_verify(&rig);
	}
	globfree(&found);
	rig_close(&rig);
}

/* Without any the namespace is gone, and what comes back is another. */
static void all_gone(const void *arg)
{
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct path paths[PATHS];
	uint32_t maps[PATHS], map, reason = ~0U;
	struct rig rig;

	(void)arg;
	open_multipath(&rig);
	for (unsigned int i = 0; i < PATHS; i++) {
		maps[i] = attach_path(&rig, UNBIND, &paths[i]);
		path_take(&paths[i]);
	}
	for (unsigned int i = 0; i < PATHS; i++)
		check_map_gone(&rig, maps[i]);
	check_eq(attach_to(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE, NVME_DMABUF_ACCESS_READ,
			   0, &map, &reason),
		 -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_GONE);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &ns), 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_GONE);
	rig_close(&rig);
	for (unsigned int i = 0; i < PATHS; i++)
		path_return(&paths[i]);
	check_works(&paths[0].device);
}

int main(int argc, char **argv)
{
	static const enum way ways[] = { UNBIND, REMOVE };

	require_device();
	drive_path("MPATH");
	tap_add(idle, &ways[0], "the path's driver is unbound, maps idle");
	tap_add(idle, &ways[1], "the path's device is removed, maps idle");
	tap_add(busy, &ways[0], "the path's driver is unbound, threads submitting");
	tap_add(busy, &ways[1], "the path's device is removed, threads submitting");
	tap_add(reset, NULL, "the path's controller is reset");
	tap_add(all_gone, NULL, "all paths unbound");
	return tap_run(argc, argv);
}
