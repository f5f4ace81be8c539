// SPDX-License-Identifier: GPL-2.0-only
/* A request has this member, which blk_mq_alloc_request() sets, as plug_pop() does. */
#include <linux/blk-mq.h>

#ifndef PROBE_ABSENT
void probe(struct request *rq);
void probe(struct request *rq)
{
	rq->phys_gap_bit = 0;
}
#else
struct absent {
	struct request;
	int phys_gap_bit;
};
#endif
