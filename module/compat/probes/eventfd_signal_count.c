// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.7: eventfd_signal() takes how much is to be added. */
#include <linux/eventfd.h>

void probe(struct eventfd_ctx *event);
void probe(struct eventfd_ctx *event)
{
#ifndef PROBE_ABSENT
	eventfd_signal(event, 1);
#else
	eventfd_signal(event);
#endif
}
