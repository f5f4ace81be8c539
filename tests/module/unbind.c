// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test takes drives away, by unbinding their driver, by removing the PCI
 * device, by pulling the plug, with maps idle and with I/O in flight: commands
 * end, maps say that the device is gone, and a drive that comes back works.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "leaving.h"
#include "qmp.h"
#include "slow.h"

static struct known idle_drive, slow_drive, hot_drive;

/* The map's user hears of it, once. */
static void check_told(struct rig *rig)
{
	struct nvme_dmabuf_event event;

	check_eq(nvmedmabuf_get_events(rig->ctx, &event, 1), 1);
	check_eq(event.map, rig->map);
	check_eq(event.state, NVME_DMABUF_STATE_GONE);
	check_eq(event.generation, 1);
	check_eq(nvmedmabuf_get_events(rig->ctx, &event, 1), 0);
}

static void idle(enum way way, const struct known *known)
{
	struct device d;
	struct rig rig;

	require_unbind(known);
	device_find(&d, way, known);
	rig_open(&rig, d.path, exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	rig_read(&rig, 0, MIB / 2, rig.first);
	device_take(&d);
	check_told(&rig);
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
	idle(UNBIND, &idle_drive);
}

static void remove_idle(const void *arg)
{
	(void)arg;
	idle(REMOVE, &idle_drive);
}

static void unplug_idle(const void *arg)
{
	(void)arg;
	require_qmp();
	idle(UNPLUG, &hot_drive);
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

static void in_flight(enum way way)
{
	const struct known *drive = way == UNPLUG ? &hot_drive : &slow_drive;
	static struct submitter s;
	struct device d;
	struct rig rig;

	require_unbind(drive);
	device_find(&d, way, drive);
	rig_open(&rig, d.path, exporter_any(), 2 * MIB, 64 * KIB);
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	if (way == UNPLUG)
		drive_throttle(drive, SLOW_SPEED);
	submitter_start(&s, rig.ctx, rig.map, rig.drive.block);
	device_take(&d);
	submitter_join(&s);
	if (way == UNPLUG)
		drive_throttle(drive, 0);
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

static void unplug_in_flight(const void *arg)
{
	(void)arg;
	require_qmp();
	in_flight(UNPLUG);
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
		workers_join(workers, ARRAY_SIZE(workers));
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

/* The plug is pulled; then another drive like it comes. */
static void unplugged(const void *arg)
{
	struct worker workers[2];
	struct device d;
	struct rig rig;

	(void)arg;
	require_unbind(&hot_drive);
	require_qmp();
	device_find(&d, UNPLUG, &hot_drive);
	rig_open(&rig, d.path, exporter_any(), MIB, 64 * KIB);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	workers_start(workers, ARRAY_SIZE(workers), &rig);
	device_take(&d);
	workers_join(workers, ARRAY_SIZE(workers));
	check_gone(&rig);
	device_return(&d);
	check_gone(&rig);
	rig_close(&rig);
	check_works(&d);
}

int main(int argc, char **argv)
{
	require_device();
	known_remember("PLAIN4K", &idle_drive);
	known_remember("SLOW", &slow_drive);
	known_remember("HOT", &hot_drive);
	tap_add(unbind_idle, NULL, "driver unbound, maps idle");
	tap_add(closed_after, NULL, "driver unbound, maps never detached");
	tap_add(unbind_in_flight, NULL, "driver unbound, I/O in flight");
	tap_add(unbind_busy, NULL, "driver unbound, threads submitting");
	tap_add(unbind_attaching, NULL, "driver unbound, a thread attaching");
	tap_add(remove_idle, NULL, "device removed, maps idle");
	tap_add(remove_in_flight, NULL, "device removed, I/O in flight");
	tap_add(remove_busy, NULL, "device removed, threads submitting");
	tap_add(unplug_idle, NULL, "device unplugged, maps idle");
	tap_add(unplug_in_flight, NULL, "device unplugged, I/O in flight");
	tap_add(unplugged, NULL, "device unplugged, threads submitting");
	return tap_run(argc, argv);
}
