// SPDX-License-Identifier: GPL-2.0-only
/* A plug's requests are in a list with a tail, and may be left out of the statistics. */
#include <linux/blk-mq.h>

void probe(struct blk_plug *plug, struct request *rq);
void probe(struct blk_plug *plug, struct request *rq)
{
	if (!blk_queue_passthrough_stat(rq->q) && plug->rq_count < 32)
		rq_list_add_tail(&plug->mq_list, rq);
}
