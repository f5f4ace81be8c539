/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the exporter test share.
 */
#ifndef TESTS_MODULE_EXPORTER_H
#define TESTS_MODULE_EXPORTER_H

#include "exported.h"

#define WINDOW (256 * KIB)

/** add_shapes - add the tests of exporter_shapes.c */
void add_shapes(void);

/** add_fences - add those of exporter_fences.c, for one kind of exporter */
void add_fences(const uint32_t *kind, const char *name);

#endif
