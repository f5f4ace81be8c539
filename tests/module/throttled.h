/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The drives of file systems, slowed down from outside, so that commands stay in flight.
 */
#ifndef TESTS_MODULE_THROTTLED_H
#define TESTS_MODULE_THROTTLED_H

#include "filesystem.h"

/** filesystem_slow_down - have its drive move no more than so many bytes a second, or skip */
void filesystem_slow_down(const struct filesystem *fs, unsigned int bytes_per_second);

/** filesystem_speed_up - as it was; if nothing slowed it down, nothing happens */
void filesystem_speed_up(const struct filesystem *fs);

#endif
