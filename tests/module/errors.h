/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the errors test share: a map that works, and the question
 * whether it and all data are still as they were.
 */
#ifndef TESTS_MODULE_ERRORS_H
#define TESTS_MODULE_ERRORS_H

#include "line.h"

/**
 * struct fixture - a map that works
 * @rig: a small buffer and the last blocks of the namespace
 * @fd: the context
 * @spare: a second map, for calls that need one to remove; 0 if there is none
 * @line: a queue, once a call needs one
 * @maps: maps that the context should have
 */
struct fixture {
	struct rig rig;
	int fd;
	uint32_t spare;
	struct line line;
	unsigned int maps;
};

void fixture_open(struct fixture *f);

/** intact - the map still works, none was added or lost, and no data changed */
void intact(struct fixture *f);

void errors_add_calls(void);
void errors_add_files(void);
void errors_add_commands(void);
void errors_add_who(void);

#endif
