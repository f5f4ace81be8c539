// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linux 6.13: a plug's requests are in a list with a tail, and may be left out of the
 * statistics. A kernel that has only one of the two counts as an older one.
 */
#include <linux/blk-mq.h>

#ifndef PROBE_ABSENT
void probe(struct blk_plug *plug, struct request *rq);
void probe(struct blk_plug *plug, struct request *rq)
{
	if (!blk_queue_passthrough_stat(rq->q) && plug->rq_count < 32)
		rq_list_add_tail(&plug->mq_list, rq);
}
#elif defined(blk_queue_passthrough_stat)
struct request *probe(struct blk_plug *plug);
struct request *probe(struct blk_plug *plug)
{
	return plug->mq_list;
}
#else
extern char blk_queue_passthrough_stat[];
#endif
