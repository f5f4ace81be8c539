// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.5 the areas of pinned pages could be asked for. */
#include <linux/mm.h>

#ifndef PROBE_ABSENT
long probe(struct page **pages);
long probe(struct page **pages)
{
	return pin_user_pages(0, 1, 0, pages, NULL);
}
#else
long probe(struct page **pages);
long probe(struct page **pages)
{
	return pin_user_pages(0, 1, 0, pages);
}
#endif
