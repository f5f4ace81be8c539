// SPDX-License-Identifier: GPL-2.0-only
/* There is a function of its own for big completion queue entries. */
#include "../uring_header.h"

#ifndef PROBE_ABSENT
void probe(struct io_uring_cmd *ioucmd);
void probe(struct io_uring_cmd *ioucmd)
{
	io_uring_cmd_done32(ioucmd, 0, 0, 0);
}
#else
extern char io_uring_cmd_done32[];
#endif
