// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.6: commands of io_uring lead to the submission queue entry. */
#include "../uring_header.h"

const void *probe(const struct io_uring_cmd *ioucmd);
const void *probe(const struct io_uring_cmd *ioucmd)
{
#ifndef PROBE_ABSENT
	return ioucmd->sqe->cmd;
#else
	return ioucmd->cmd;
#endif
}
