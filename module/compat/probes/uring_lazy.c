// SPDX-License-Identifier: GPL-2.0-only
/* A task that waits for many completions need not be woken for each. */
#include <linux/io_uring/cmd.h>

void *probe(void);
void *probe(void)
{
	return io_uring_cmd_do_in_task_lazy;
}
