// SPDX-License-Identifier: GPL-2.0-only
/* There is a function of its own for big completion queue entries. */
#include "../uring_header.h"

void probe(struct io_uring_cmd *ioucmd);
void probe(struct io_uring_cmd *ioucmd)
{
#ifndef PROBE_ABSENT
	io_uring_cmd_done32(ioucmd, 0, 0, 0);
#else
	io_uring_cmd_done(ioucmd, 0, 0, 0);
#endif
}
