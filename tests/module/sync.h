/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sync_files: what they say, and some that signal when the test wants.
 */
#ifndef TESTS_MODULE_SYNC_H
#define TESTS_MODULE_SYNC_H

#include "exported.h"

/** sync_status - 1 if it has signalled, 0 if not, or a negative error number */
int sync_status(int fd);

/** sync_signals - does it within so many milliseconds? */
bool sync_signals(int fd, int timeout);

/** sync_merge - a sync_file that waits for both */
int sync_merge(int fd, int other);

/** sync_export - one that waits for what a buffer's fences wait for, or skip */
int sync_export(const struct exported *b);

#endif
