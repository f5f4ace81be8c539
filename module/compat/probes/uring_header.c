// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.8: commands of io_uring have a header of their own. */
#include <linux/module.h>

#if __has_include(<linux/io_uring/cmd.h>)
#ifdef PROBE_ABSENT
#error "there is one"
#endif
#elif !defined(PROBE_ABSENT)
#error "there is none"
#endif
