// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.19: a task of the ring's is not given the command, but where to find it. */
#include "../uring_header.h"

#ifndef PROBE_ABSENT
struct io_uring_cmd *probe(struct io_tw_req req, io_tw_token_t tw);
struct io_uring_cmd *probe(struct io_tw_req req, io_tw_token_t tw)
{
	return io_uring_cmd_from_tw(req);
}
#else
struct io_tw_req {
	int absent;
};
#endif
