// SPDX-License-Identifier: GPL-2.0-only
/* eventfd_signal() takes how much is to be added. */
#include <linux/eventfd.h>

void probe(struct eventfd_ctx *event);
void probe(struct eventfd_ctx *event)
{
	eventfd_signal(event, 1);
}
