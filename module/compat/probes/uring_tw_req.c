// SPDX-License-Identifier: GPL-2.0-only
/* A task of the ring's is not given the command, but where to find it. */
#include <linux/io_uring/cmd.h>

struct io_uring_cmd *probe(struct io_tw_req req, io_tw_token_t tw);
struct io_uring_cmd *probe(struct io_tw_req req, io_tw_token_t tw)
{
	return io_uring_cmd_from_tw(req);
}
