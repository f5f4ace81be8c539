// SPDX-License-Identifier: GPL-2.0-only
/* Linux 7.0: a batch of completions knows who polls for them. */
#include <linux/blkdev.h>

#ifndef PROBE_ABSENT
void *probe(struct io_comp_batch *iob);
void *probe(struct io_comp_batch *iob)
{
	return iob->poll_ctx;
}
#else
struct absent {
	struct io_comp_batch;
	int poll_ctx;
};
#endif
