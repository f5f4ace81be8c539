// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.16 or so: the size of a block's metadata is called tuple_size. */
#include <linux/blk-integrity.h>

unsigned int size(struct blk_integrity *integrity);
unsigned int size(struct blk_integrity *integrity)
{
#ifndef PROBE_ABSENT
	return integrity->tuple_size;
#else
	return integrity->metadata_size;
#endif
}
