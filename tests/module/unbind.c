// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test takes drives away, by unbinding their driver, by removing the PCI
 * device, by pulling the plug, or their namespaces alone, with maps idle and with I/O in flight: commands
 * end, maps say that the device is gone, and a drive that comes back works.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"
#include "leaving.h"
#include "qmp.h"
#include "slow.h"

static struct known idle_drive, slow_drive, hot_drive;

/* The map's user hears of it, once. */
static void check_told(struct rig *rig)
{
	struct nvme_dmabuf_event event;

	wait_until(nvmedmabuf_get_events(rig->ctx, &event, 1) == 1);
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
		result = attach_to(w->rig->ctx, w->rig->buffer.fd, w->rig->drive.fd, 0, MIB,
				   NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
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

static void *taker_run(void *arg)
{
	device_take(arg);
	return NULL;
}

/*
 * An exporter that takes its time holds up the drive that leaves, and the user of its
 * buffer; but neither other users of the drive, nor other drives.
 */
static void unbind_slow_exporter(const void *arg)
{
	struct exported slow, other;
	struct device d, second;
	uint32_t map, reason;
	struct wire user, w;
	pthread_t taker;
	pid_t locker, stuck;
	int status;

	(void)arg;
	require_unbind(&idle_drive);
	require_unbind(&slow_drive);
	require_exporter();
	device_find(&d, UNBIND, &idle_drive);
	device_find(&second, UNBIND, &slow_drive);
	wire_open(&w, d.path, 256 * KIB);
	exported_create_pages(&slow, 256 * KIB, EXPORTER_DYNAMIC);
	exported_create_pages(&other, 256 * KIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&w, &slow, 0, slow.bytes, &map, &reason), 0);
	locker = check_sys(fork());
	if (!locker) {
		exported_lock(&slow, 600000);
		_exit(0);
	}
	wait_until(is_in_call(locker, EXPORTER_IOC_LOCK));
	pause_ms();
	/* Somebody who waits for that exporter. */
	stuck = check_sys(fork());
	if (!stuck) {
		user = w;
		user.ctx = ctx_open();
		wire_attach(&user, &slow, 0, slow.bytes, &map, &reason);
		_exit(0);
	}
	wait_until(stays_in_call(stuck, NVME_DMABUF_IOC_ATTACH));
	/* Others use the same drive. */
	user = w;
	user.ctx = ctx_open();
	check_eq(wire_attach(&user, &other, 0, other.bytes, &map, &reason), 0);
	wire_transfers(&user, &other, map, 0, other.bytes, 0, 3);

	check_eq(pthread_create(&taker, NULL, taker_run, &d), 0);
	wait_until(nvmedmabuf_read(user.ctx, map, 0, user.drive.block, 0, NULL) == -ENODEV);
	/* And another drive is used, leaves and comes back. */
	check_works(&second);
	device_take(&second);
	device_return(&second);
	check_works(&second);
	check_eq(nvmedmabuf_detach(user.ctx, map), 0);
	nvmedmabuf_close(user.ctx);
	check_unused(&other);

	check_sys(kill(locker, SIGKILL));
	check_eq(check_sys(waitpid(locker, &status, 0)), locker);
	check_eq(pthread_join(taker, NULL), 0);
	check_eq(check_sys(waitpid(stuck, &status, 0)), stuck);
	/* The drive has gone, and is no more to be compared with. */
	nvmedmabuf_close(w.ctx);
	check_unused(&slow);
	drive_close(&w.drive);
	device_return(&d);
	check_works(&d);
}

static void detach_idle(const void *arg)
{
	(void)arg;
	idle(DETACH, &idle_drive);
}

static void detach_in_flight(const void *arg)
{
	(void)arg;
	in_flight(DETACH);
}

static void detach_busy(const void *arg)
{
	(void)arg;
	busy(DETACH);
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
	tap_add(unbind_slow_exporter, NULL, "driver unbound, a slow exporter");
	tap_add(remove_idle, NULL, "device removed, maps idle");
	tap_add(remove_in_flight, NULL, "device removed, I/O in flight");
	tap_add(remove_busy, NULL, "device removed, threads submitting");
	tap_add(unplug_idle, NULL, "device unplugged, maps idle");
	tap_add(unplug_in_flight, NULL, "device unplugged, I/O in flight");
	tap_add(unplugged, NULL, "device unplugged, threads submitting");
	tap_add(detach_idle, NULL, "namespace detached, maps idle");
	tap_add(detach_in_flight, NULL, "namespace detached, I/O in flight");
	tap_add(detach_busy, NULL, "namespace detached, threads submitting");
	return tap_run(argc, argv);
}
