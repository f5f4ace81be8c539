// SPDX-License-Identifier: GPL-2.0-only
/*
 * Until Linux 6.2, and in the first releases of 6.1.y, before 9d2789ac9d60: a task of the
 * ring's is given the command alone, and io_uring_cmd_done() takes no flags.
 */
#include "../uring_header.h"

#define ALONE                                                                \
	__builtin_types_compatible_p(typeof(&io_uring_cmd_complete_in_task), \
				     void (*)(struct io_uring_cmd *,         \
					      void (*)(struct io_uring_cmd *)))

#ifndef PROBE_ABSENT
_Static_assert(ALONE, "it is given more");
#else
_Static_assert(!ALONE, "it is given the command alone");
#endif
