// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.9: a lease is no longer a file lock. */
#include <linux/fs.h>
#if __has_include(<linux/filelock.h>)
#include <linux/filelock.h>
#endif

#ifndef PROBE_ABSENT
void *probe(struct file_lease *fl);
void *probe(struct file_lease *fl)
{
	return fl->c.flc_owner;
}
#else
void *probe(struct file_lock *fl);
void *probe(struct file_lock *fl)
{
	return fl->fl_owner;
}
#endif
