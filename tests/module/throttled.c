// SPDX-License-Identifier: GPL-2.0-only
/*
 * Drives of file systems that are slow. See throttled.h.
 */
#define _GNU_SOURCE
#include "throttled.h"

#include <stdlib.h>

#include "leaving.h"
#include "qmp.h"

static void throttle(const struct filesystem *fs, unsigned int bytes_per_second)
{
	struct known known;

	known_remember(fs->drive, &known);
	drive_throttle(&known, bytes_per_second);
}

void filesystem_slow_down(const struct filesystem *fs, unsigned int bytes_per_second)
{
	require_qmp();
	throttle(fs, bytes_per_second);
}

void filesystem_speed_up(const struct filesystem *fs)
{
	if (getenv("NVME_DMABUF_QMP") && drive_path(fs->drive))
		throttle(fs, 0);
}
