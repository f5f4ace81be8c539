/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of p2p have in common: a part of a peer's BAR that a drive uses.
 */
#ifndef TESTS_MODULE_P2P_H
#define TESTS_MODULE_P2P_H

#include "peer.h"
#include "rig.h"

#define P2P_SIZE   (4 * MIB)
#define P2P_WINDOW MIB

/** open_range - connect some P2P_SIZE bytes of a peer's BAR with a drive, or skip */
void open_range(struct rig *rig, struct peer *p, unsigned int number, const char *path,
		uint64_t window);

/** add_drive_leaves - the tests in p2p_leaving.c */
void add_drive_leaves(void);

#endif
