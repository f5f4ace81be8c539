// SPDX-License-Identifier: GPL-2.0-only
/* Commands of io_uring lead to the submission queue entry. */
#include <linux/io_uring/cmd.h>

const void *probe(const struct io_uring_cmd *ioucmd);
const void *probe(const struct io_uring_cmd *ioucmd)
{
	return ioucmd->sqe->cmd;
}
