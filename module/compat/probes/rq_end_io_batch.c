// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.18 or so: a request's end_io is told of the completion batch. */
#include <linux/blk-mq.h>

#ifndef PROBE_ABSENT
static enum rq_end_io_ret end_io(struct request *rq, blk_status_t status,
				 const struct io_comp_batch *iob)
#else
static enum rq_end_io_ret end_io(struct request *rq, blk_status_t status)
#endif
{
	return RQ_END_IO_FREE;
}

rq_end_io_fn *fn = end_io;
