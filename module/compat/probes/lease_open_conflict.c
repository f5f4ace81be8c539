// SPDX-License-Identifier: GPL-2.0-only
/* Linux 7.0: a lease's manager says which opens are in its way. */
#include <linux/fs.h>
#if __has_include(<linux/filelock.h>)
#include <linux/filelock.h>
#endif

#ifndef PROBE_ABSENT
void *probe(struct lease_manager_operations *ops);
void *probe(struct lease_manager_operations *ops)
{
	return ops->lm_open_conflict;
}
#else
/* Before Linux 6.9 there is no such structure, and this declares an empty one. */
struct lease_manager_operations;
struct absent {
	struct lock_manager_operations;
	int lm_open_conflict;
};
#endif
