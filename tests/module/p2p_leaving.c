// SPDX-License-Identifier: GPL-2.0-only
/* Drives that go away while they use a peer's memory, which stays. See p2p.c. */
#define _GNU_SOURCE
#include <string.h>

#include "leaving.h"
#include "p2p.h"
#include "qmp.h"

static struct known idle_drive, hot_drive;

static void drive_leaves(const void *arg)
{
	enum way way = *(const enum way *)arg;
	const struct known *drive = way == UNPLUG ? &hot_drive : &idle_drive;
	uint8_t *before = pages_alloc(P2P_SIZE);
	struct worker workers[2];
	struct device d;
	struct peer p;
	struct rig rig;

	require_unbind(drive);
	if (way == UNPLUG)
		require_qmp();
	device_find(&d, way, drive);
	open_range(&rig, &p, 0, d.path, P2P_WINDOW);
	rig_attach_all(&rig);
	rig_read(&rig, 0, P2P_WINDOW, rig.first);
	rig_verify(&rig);
	workers_start(workers, ARRAY_SIZE(workers), &rig);
	device_take(&d);
	workers_join(workers, ARRAY_SIZE(workers));
	check_gone(&rig);
	memcpy(before, rig.buffer.addr, P2P_SIZE);

	/* The peer goes its own way, and asks nobody who is gone. */
	peer_set_memory(&p, false);
	check_gone(&rig);
	peer_set_memory(&p, true);
	device_return(&d);
	check_gone(&rig);
	compare("the peer's memory", rig.buffer.addr, before, P2P_SIZE, 0);
	rig_close(&rig);
	peer_close(&p);

	open_range(&rig, &p, 0, d.path, P2P_WINDOW);
	rig_attach_all(&rig);
	rig_read(&rig, 0, P2P_WINDOW, rig.first);
	if (may_erase())
		rig_write(&rig, 4, P2P_WINDOW, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
	peer_close(&p);
}

void add_drive_leaves(void)
{
	static const enum way ways[] = { UNBIND, REMOVE, UNPLUG };

	known_remember("PLAIN4K", &idle_drive);
	known_remember("HOT", &hot_drive);
	tap_add(drive_leaves, &ways[0], "the drive is unbound, threads submitting");
	tap_add(drive_leaves, &ways[1], "the drive is removed, threads submitting");
	tap_add(drive_leaves, &ways[2], "the drive is unplugged, threads submitting");
}
