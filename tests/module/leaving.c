// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drives that go away and come back. See leaving.h.
 */
#define _GNU_SOURCE
#include "leaving.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/nvme_ioctl.h>

#include "qmp.h"

/* NVM Express Base Specification, "Namespace Attachment command" */
#define NAMESPACE_ATTACHMENT 0x15
#define SELECT_ATTACH	     0
#define SELECT_DETACH	     1

void known_remember(const char *name, struct known *known)
{
	char variable[64], link[256], real[PATH_MAX];
	const char *path;

	snprintf(variable, sizeof(variable), "NVME_DMABUF_NS_%s", name);
	path = getenv(variable);
	if (!path || !drive_attribute(path, "device/serial", known->serial, sizeof(known->serial)))
		return;
	snprintf(link, sizeof(link), "/sys/class/block/%s/device/device", strrchr(path, '/') + 1);
	if (realpath(link, real))
		snprintf(known->pci, sizeof(known->pci), "%.31s", strrchr(real, '/') + 1);
}

bool known_find(const struct known *known, char *path, size_t size)
{
	char found[32];
	bool done = false;
	glob_t disks;
	int fd;

	if (glob("/sys/class/block/nvme*n*", 0, NULL, &disks))
		return false;
	for (size_t i = 0; i < disks.gl_pathc && !done; i++) {
		const char *name = strrchr(disks.gl_pathv[i], '/') + 1;
		unsigned int controller, ns;
		char rest;

		if (sscanf(name, "nvme%un%u%c", &controller, &ns, &rest) != 2 ||
		    !drive_attribute(name, "device/serial", found, sizeof(found)) ||
		    strcmp(found, known->serial))
			continue;
		snprintf(path, size, "/dev/%s", name);
		/* A new disk has a name a little before it can be opened. */
		fd = open(path, O_RDONLY | O_CLOEXEC);
		done = fd >= 0;
		if (done)
			close(fd);
	}
	globfree(&disks);
	return done;
}

void require_unbind(const struct known *known)
{
	const char *allowed = getenv("NVME_DMABUF_UNBIND");

	if (!allowed || strcmp(allowed, "yes"))
		skip("would take drives from their driver; NVME_DMABUF_UNBIND=yes allows it");
	if (!*known->pci)
		skip("no such drive here");
}

void drive_throttle(const struct known *known, unsigned int bytes_per_second)
{
	require_qmp();
	check(qmp("qom-set",
		  "{\"path\": \"/objects/%s-speed\", \"property\": \"limits\", "
		  "\"value\": {\"bps-total\": %u}}",
		  known->serial, bytes_per_second));
}

void device_file(const struct device *d, const char *name, char *path, size_t size)
{
	snprintf(path, size, "/sys/bus/pci/devices/%s/%s", d->known->pci, name);
}

/* As tests/vm/drives.sh makes it, but that the controller makes the namespace. */
static bool plug(const struct known *known)
{
	const char *serial = known->serial;

	return qmp(
		"device_add",
		"{\"driver\": \"nvme\", \"id\": \"%s\", \"serial\": \"%s\", \"bus\": \"hotport\", "
		"\"mdts\": 9, \"drive\": \"%s-filter\", \"share-rw\": true}",
		serial, serial, serial);
}

/* Attaches the namespace to its controller, or detaches it; the driver then looks anew. */
static bool attach_namespace(const struct device *d, unsigned int select)
{
	uint16_t list[2048] = { 1 };
	struct nvme_admin_cmd command = {
		.opcode = NAMESPACE_ATTACHMENT,
		.nsid = 1,
		.addr = (uintptr_t)list,
		.data_len = sizeof(list),
		.cdw10 = select,
	};
	char path[256];
	glob_t found;
	bool done;
	int fd;

	device_file(d, "nvme/nvme*/cntlid", path, sizeof(path));
	if (glob(path, 0, NULL, &found))
		return false;
	list[1] = file_number(found.gl_pathv[0]);
	*strrchr(found.gl_pathv[0], '/') = '\0';
	snprintf(path, sizeof(path), "/dev/%s", strrchr(found.gl_pathv[0], '/') + 1);
	fd = check_sys(open(path, O_RDWR | O_CLOEXEC));
	done = !ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command);
	close(fd);
	snprintf(path, sizeof(path), "%.200s/rescan_controller", found.gl_pathv[0]);
	globfree(&found);
	return done && file_put(path, "1");
}

/*
 * The device leaves its slot as soon as nothing powers that any more: the registers of
 * its port say so, which are a part of the PCI Express capability (PCI Express, 7.5.3.10).
 */
static void pull(const struct device *d)
{
	uint8_t config[256], at;
	uint16_t control;
	char path[128];
	int fd;

	device_file(d, "../config", path, sizeof(path));
	fd = check_sys(open(path, O_RDWR | O_CLOEXEC));
	check_eq(pread(fd, config, sizeof(config), 0), sizeof(config));
	for (at = config[0x34]; at && config[at] != 0x10; at = config[at + 1])
		;
	check_that(at, "%s: not a PCI Express port", path);
	memcpy(&control, &config[at + 0x18], sizeof(control));
	/* The power indicator and the power controller: off. */
	control |= 0x0700;
	check_eq(pwrite(fd, &control, sizeof(control), at + 0x18), sizeof(control));
	check_sys(close(fd));
}

/* QEMU tells the kernel nothing, and it would find out by a timeout. */
static void notice(const struct device *d)
{
	char address[32], path[300];
	bool done = false;
	glob_t slots;

	check(!glob("/sys/bus/pci/slots/*", 0, NULL, &slots));
	for (size_t i = 0; i < slots.gl_pathc && !done; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/address", slots.gl_pathv[i]);
		f = fopen(path, "re");
		if (f && fscanf(f, "%31s", address) == 1 &&
		    !strncmp(address, d->known->pci, strlen(address))) {
			snprintf(path, sizeof(path), "%s/power", slots.gl_pathv[i]);
			done = file_put(path, "0");
		}
		if (f)
			fclose(f);
	}
	globfree(&slots);
	check_that(done, "%s is in no slot that can be switched off", d->known->pci);
}

void device_find(struct device *d, enum way way, const struct known *known)
{
	d->way = way;
	d->known = known;
	if (!known_find(known, d->path, sizeof(d->path))) {
		if (way == UNPLUG || way == PULL)
			plug(known);
		if (way == DETACH)
			attach_namespace(d, SELECT_ATTACH);
		file_put("/sys/bus/pci/rescan", "1");
		file_put("/sys/bus/pci/drivers/nvme/bind", known->pci);
	}
	wait_until(known_find(known, d->path, sizeof(d->path)));
}

void device_take(const struct device *d)
{
	char path[128];

	switch (d->way) {
	case UNBIND:
		check(file_put("/sys/bus/pci/drivers/nvme/unbind", d->known->pci));
		break;
	case REMOVE:
		device_file(d, "remove", path, sizeof(path));
		check(file_put(path, "1"));
		break;
	case UNPLUG:
		check(qmp("device_del", "{\"id\": \"%s\"}", d->known->serial));
		/* That was a wish, which the kernel fulfils. */
		device_file(d, "", path, sizeof(path));
		wait_until(access(path, F_OK));
		break;
	case DETACH:
		if (!attach_namespace(d, SELECT_DETACH))
			skip("this drive lets no namespace be detached");
		wait_until(!known_find(d->known, path, sizeof(path)));
		break;
	case PULL:
		device_file(d, "", path, sizeof(path));
		pull(d);
		/* Until then commands wait for a drive that is not there. */
		for (uint64_t pause = rnd_below(20); pause; pause--)
			pause_ms();
		notice(d);
		wait_until(access(path, F_OK));
		break;
	}
}

void device_return(struct device *d)
{
	switch (d->way) {
	case UNBIND:
		check(file_put("/sys/bus/pci/drivers/nvme/bind", d->known->pci));
		break;
	case REMOVE:
		check(file_put("/sys/bus/pci/rescan", "1"));
		break;
	case UNPLUG:
	case PULL:
		/* The slot takes another when it is empty and its power is off. */
		wait_until(plug(d->known));
		break;
	case DETACH:
		check(attach_namespace(d, SELECT_ATTACH));
		break;
	}
	wait_until(known_find(d->known, d->path, sizeof(d->path)));
}

void check_gone(struct rig *rig)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct nvme_dmabuf_completion c;
	uint32_t map, reason = ~0U;

	wait_until(!nvmedmabuf_get_map_info(rig->ctx, rig->map, &info) &&
		   info.out_state == NVME_DMABUF_STATE_GONE);
	check_eq(nvmedmabuf_read(rig->ctx, rig->map, 0, rig->drive.block, 0, &c), -ENODEV);
	check_eq(c.reason, NVME_DMABUF_REASON_GONE);
	check_eq(c.bytes, 0);
	check_eq(nvmedmabuf_get_placement(rig->ctx, rig->map, NULL, 0), -ENODEV);
	check_eq(attach_to(rig->ctx, rig->buffer.fd, rig->drive.fd, 0, PAGE,
			   NVME_DMABUF_ACCESS_READ, 0, &map, &reason),
		 -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_GONE);
	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, &ns), 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_GONE);
}

void check_works(const struct device *d)
{
	struct rig rig;

	rig_open(&rig, d->path, exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	rig_read(&rig, 0, MIB / 2, rig.first);
	if (may_erase())
		rig_write(&rig, 4, MIB / 2, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
}

void check_ended(const struct nvme_dmabuf_completion *c, uint64_t length)
{
	if (c->error)
		check_that((c->error == -ENODEV && c->reason == NVME_DMABUF_REASON_GONE) ||
				   (c->error == -EIO && c->reason == NVME_DMABUF_REASON_CANCELLED),
			   "error %d, reason %s", c->error, nvmedmabuf_reason_name(c->reason));
	if (c->error || c->status)
		check_that(c->bytes < length, "error %d, status %#x, but %llu bytes", c->error,
			   c->status, (unsigned long long)c->bytes);
	else
		check_eq(c->bytes, length);
}

static void *worker_run(void *arg)
{
	struct nvme_dmabuf_completion c[16];
	struct nvme_dmabuf_command commands[16];
	struct worker *w = arg;
	bool gone = false;

	while (!gone) {
		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
			nvmedmabuf_prep_read(&commands[i], w->rig->map, i * 4 * PAGE,
					     (1 + i % 4) * PAGE, i * 64);
		check_eq(nvmedmabuf_submit(w->rig->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
		for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
			check_ended(&c[i], commands[i].length);
			gone |= c[i].error == -ENODEV;
		}
		w->rounds++;
	}
	return NULL;
}

void workers_start(struct worker *workers, unsigned int count, struct rig *rig)
{
	for (unsigned int i = 0; i < count; i++) {
		workers[i].rig = rig;
		workers[i].rounds = 0;
		check_eq(pthread_create(&workers[i].handle, NULL, worker_run, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < count; i++)
		wait_until(workers[i].rounds > 3);
}

void workers_join(struct worker *workers, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		check_eq(pthread_join(workers[i].handle, NULL), 0);
}
