// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test takes drives away, by unbinding their driver, by removing the PCI
 * device, by pulling the plug, with maps idle and with I/O in flight: commands
 * end, maps say that the device is gone, and a drive that comes back works.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "slow.h"

/*
 * The drives, by serial number and PCI address: the names of their namespaces
 * may change when they come back.
 */
struct known {
	char serial[32];
	char pci[32];
};

static struct known idle_drive, slow_drive, hot_drive;

static void remember(const char *variable, struct known *known)
{
	const char *path = getenv(variable);
	char link[256], real[PATH_MAX];

	if (!path || !drive_attribute(path, "device/serial", known->serial, sizeof(known->serial)))
		return;
	snprintf(link, sizeof(link), "/sys/class/block/%s/device/device", strrchr(path, '/') + 1);
	if (realpath(link, real))
		snprintf(known->pci, sizeof(known->pci), "%.31s", strrchr(real, '/') + 1);
}

static bool find(const char *serial, char *path, size_t size)
{
	char found[32];
	bool done = false;
	glob_t disks;

	if (glob("/sys/class/block/nvme*n*", 0, NULL, &disks))
		return false;
	for (size_t i = 0; i < disks.gl_pathc && !done; i++) {
		const char *name = strrchr(disks.gl_pathv[i], '/') + 1;
		unsigned int controller, ns;
		char rest;

		if (sscanf(name, "nvme%un%u%c", &controller, &ns, &rest) != 2 ||
		    !drive_attribute(name, "device/serial", found, sizeof(found)) ||
		    strcmp(found, serial))
			continue;
		snprintf(path, size, "/dev/%s", name);
		done = !access(path, R_OK);
	}
	globfree(&disks);
	return done;
}

static void require_unbind(const struct known *known)
{
	const char *allowed = getenv("NVME_DMABUF_UNBIND");

	if (!allowed || strcmp(allowed, "yes"))
		skip("would take drives from their driver; NVME_DMABUF_UNBIND=yes allows it");
	if (!*known->pci)
		skip("no such drive here");
}

/* A way to take a drive away, and to get it back. */
enum way { UNBIND, REMOVE };

struct device {
	enum way way;
	const struct known *known;
	char path[64]; /* of the namespace */
};

static void device_find(struct device *d, enum way way, const struct known *known)
{
	d->way = way;
	d->known = known;
	/* A test that failed may not have returned it. */
	if (!find(known->serial, d->path, sizeof(d->path))) {
		file_put("/sys/bus/pci/rescan", "1");
		file_put("/sys/bus/pci/drivers/nvme/bind", known->pci);
	}
	wait_until(find(known->serial, d->path, sizeof(d->path)));
}

static void device_take(const struct device *d)
{
	char path[128];

	if (d->way == UNBIND) {
		check(file_put("/sys/bus/pci/drivers/nvme/unbind", d->known->pci));
	} else {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", d->known->pci);
		check(file_put(path, "1"));
	}
}

static void device_return(struct device *d)
{
	if (d->way == UNBIND)
		check(file_put("/sys/bus/pci/drivers/nvme/bind", d->known->pci));
	else
		check(file_put("/sys/bus/pci/rescan", "1"));
	wait_until(find(d->known->serial, d->path, sizeof(d->path)));
}

/* What is left of a map when its controller is gone. */
static void check_gone(struct rig *rig)
{
	struct nvme_dmabuf_map_info info;
	struct nvme_dmabuf_ns_info ns;
	struct nvme_dmabuf_completion c;
	uint32_t map, reason = ~0U;

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_MAP_GONE);
	check_eq(nvmedmabuf_read(rig->ctx, rig->map, 0, rig->drive.block, 0, &c), -ENODEV);
	check_eq(c.reason, NVME_DMABUF_REASON_GONE);
	check_eq(c.bytes, 0);
	check_eq(nvmedmabuf_get_placement(rig->ctx, rig->map, NULL, 0), -ENODEV);
	check_eq(nvmedmabuf_attach(rig->ctx, rig->buffer.fd, rig->drive.fd, 0, PAGE,
				   NVME_DMABUF_ACCESS_READ, &map, &reason),
		 -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_GONE);
	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, &ns), 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_GONE);
}

static void check_works(const struct device *d)
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

static void idle(enum way way)
{
	struct device d;
	struct rig rig;

	require_unbind(&idle_drive);
	device_find(&d, way, &idle_drive);
	rig_open(&rig, d.path, exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	rig_read(&rig, 0, MIB / 2, rig.first);
	device_take(&d);
	check_gone(&rig);
	/* Nothing but the test has touched the buffer since. */
	buffer_begin_cpu(&rig.buffer);
	compare("dma-buf", rig.buffer.addr, rig.mirror, rig.buffer.size, 0);
	buffer_end_cpu(&rig.buffer);

	/* An old map stays gone when the drive comes back. */
	device_return(&d);
	check_gone(&rig);
	rig_detach(&rig);
	rig_close(&rig);
	check_works(&d);
}

static void unbind_idle(const void *arg)
{
	(void)arg;
	idle(UNBIND);
}

static void remove_idle(const void *arg)
{
	(void)arg;
	idle(REMOVE);
}

/* A map that nobody detaches before the context is closed. */
static void closed_after(const void *arg)
{
	struct device d;
	struct rig rig;

	(void)arg;
	require_unbind(&idle_drive);
	device_find(&d, UNBIND, &idle_drive);
	rig_open(&rig, d.path, exporter_any(), MIB, MIB);
	for (int i = 0; i < 10; i++)
		rig_attach_all(&rig);
	device_take(&d);
	check_gone(&rig);
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
	device_return(&d);
	check_works(&d);
}

/* Either done, or not done and said so. */
static void check_ended(const struct nvme_dmabuf_completion *c, uint64_t length)
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

static void in_flight(enum way way)
{
	static struct submitter s;
	struct device d;
	struct rig rig;

	require_unbind(&slow_drive);
	device_find(&d, way, &slow_drive);
	rig_open(&rig, d.path, exporter_any(), 2 * MIB, 64 * KIB);
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	submitter_start(&s, rig.ctx, rig.map, rig.drive.block);
	device_take(&d);
	submitter_join(&s);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		check_ended(&s.completions[i], SLOW_LENGTH);
	check_gone(&rig);
	rig_close(&rig);
	device_return(&d);
	check_works(&d);
}

static void unbind_in_flight(const void *arg)
{
	(void)arg;
	in_flight(UNBIND);
}

static void remove_in_flight(const void *arg)
{
	(void)arg;
	in_flight(REMOVE);
}

/* A thread that submits again and again until the drive is gone. */
struct worker {
	struct rig *rig;
	volatile unsigned int rounds;
	pthread_t handle;
};

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

static void workers_start(struct worker *workers, unsigned int count, struct rig *rig)
{
	for (unsigned int i = 0; i < count; i++) {
		workers[i].rig = rig;
		workers[i].rounds = 0;
		check_eq(pthread_create(&workers[i].handle, NULL, worker_run, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < count; i++)
		wait_until(workers[i].rounds > 3);
}

static void busy(enum way way)
{
	struct worker workers[3];
	struct device d;
	struct rig rig;

	require_unbind(&idle_drive);
	for (int round = 0; round < 2; round++) {
		device_find(&d, way, &idle_drive);
		rig_open(&rig, d.path, exporter_any(), MIB, 64 * KIB);
		rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
		workers_start(workers, ARRAY_SIZE(workers), &rig);
		device_take(&d);
		for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
			check_eq(pthread_join(workers[i].handle, NULL), 0);
		check_gone(&rig);
		rig_close(&rig);
		device_return(&d);
		check_works(&d);
	}
}

static void unbind_busy(const void *arg)
{
	(void)arg;
	busy(UNBIND);
}

static void remove_busy(const void *arg)
{
	(void)arg;
	busy(REMOVE);
}

/* Attaching while the driver leaves: works, or says that the drive is gone. */
static void *attacher_run(void *arg)
{
	struct worker *w = arg;
	uint32_t map, reason;
	int result;

	do {
		result = nvmedmabuf_attach(w->rig->ctx, w->rig->buffer.fd, w->rig->drive.fd, 0, MIB,
					   NVME_DMABUF_ACCESS_READ, &map, &reason);
		if (!result)
			check_eq(nvmedmabuf_detach(w->rig->ctx, map), 0);
		w->rounds++;
	} while (!result);
	check_that(result == -ENODEV && reason == NVME_DMABUF_REASON_GONE, "attach says %s, %s",
		   strerror(-result), nvmedmabuf_reason_name(reason));
	return NULL;
}

static void unbind_attaching(const void *arg)
{
	struct worker worker;
	struct device d;
	struct rig rig;

	(void)arg;
	require_unbind(&idle_drive);
	for (unsigned int round = 0; round < 5; round++) {
		device_find(&d, UNBIND, &idle_drive);
		rig_open(&rig, d.path, exporter_any(), MIB, 64 * KIB);
		worker = (struct worker){ .rig = &rig };
		check_eq(pthread_create(&worker.handle, NULL, attacher_run, &worker), 0);
		wait_until(worker.rounds > round);
		device_take(&d);
		check_eq(pthread_join(worker.handle, NULL), 0);
		rig_close(&rig);
		device_return(&d);
	}
	check_works(&d);
}

/* The plug is pulled: the drive does not come back. */
static void unplugged(const void *arg)
{
	const char *qmp = getenv("NVME_DMABUF_QMP");
	struct worker workers[2];
	char path[64];
	struct rig rig;

	(void)arg;
	require_unbind(&hot_drive);
	if (!qmp || !*qmp)
		skip("nobody here can pull a plug; NVME_DMABUF_QMP is not set");
	check(find(hot_drive.serial, path, sizeof(path)));
	rig_open(&rig, path, exporter_any(), MIB, 64 * KIB);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	workers_start(workers, ARRAY_SIZE(workers), &rig);
	check(run_quietly("%s device_del '{\"id\": \"%s\"}'", qmp, hot_drive.serial));
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
		check_eq(pthread_join(workers[i].handle, NULL), 0);
	/* The threads end when the driver begins to leave; wait until it has left. */
	wait_until(nvmedmabuf_get_placement(rig.ctx, rig.map, NULL, 0) == -ENODEV);
	check_gone(&rig);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	require_device();
	remember("NVME_DMABUF_NS_PLAIN4K", &idle_drive);
	remember("NVME_DMABUF_NS_SLOW", &slow_drive);
	remember("NVME_DMABUF_NS_HOT", &hot_drive);
	tap_add(unbind_idle, NULL, "driver unbound, maps idle");
	tap_add(closed_after, NULL, "driver unbound, maps never detached");
	tap_add(unbind_in_flight, NULL, "driver unbound, I/O in flight");
	tap_add(unbind_busy, NULL, "driver unbound, threads submitting");
	tap_add(unbind_attaching, NULL, "driver unbound, a thread attaching");
	tap_add(remove_idle, NULL, "device removed, maps idle");
	tap_add(remove_in_flight, NULL, "device removed, I/O in flight");
	tap_add(remove_busy, NULL, "device removed, threads submitting");
	tap_add(unplugged, NULL, "device unplugged, threads submitting");
	return tap_run(argc, argv);
}
