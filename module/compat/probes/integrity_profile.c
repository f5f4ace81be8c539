// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.10: an integrity profile is an object with a name. */
#include <linux/blk-integrity.h>

#ifndef PROBE_ABSENT
const char *name(struct blk_integrity *integrity);
const char *name(struct blk_integrity *integrity)
{
	return integrity->profile->name;
}
#else
struct absent {
	struct blk_integrity;
	int profile;
};
#endif
