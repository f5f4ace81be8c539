// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.3: locks and leases have a header of their own. */
#include <linux/module.h>

#if __has_include(<linux/filelock.h>)
#ifdef PROBE_ABSENT
#error "there is one"
#endif
#elif !defined(PROBE_ABSENT)
#error "there is none"
#endif
