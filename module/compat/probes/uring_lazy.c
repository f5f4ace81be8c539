// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.5: a task that waits for many completions need not be woken for each. */
#include "../uring_header.h"

#ifndef PROBE_ABSENT
void *probe(void);
void *probe(void)
{
	return io_uring_cmd_do_in_task_lazy;
}
#else
extern char io_uring_cmd_do_in_task_lazy[];
#endif
