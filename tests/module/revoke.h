/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the revoke test share.
 */
#ifndef TESTS_MODULE_REVOKE_H
#define TESTS_MODULE_REVOKE_H

#include "exported.h"

#define REVOKE	EXPORTER_MOVE_REVOKE
#define RESTORE EXPORTER_MOVE_RESTORE
#define COPY	EXPORTER_MOVE_COPY
#define FORCE	EXPORTER_MOVE_FORCE
#define WAIT	EXPORTER_MOVE_WAIT

/** add_races - add the tests of revoke_races.c */
void add_races(void);

#endif
