// SPDX-License-Identifier: GPL-2.0-only
/* Linux 6.17: the attributes of files have another name. */
#include <linux/fs.h>
#include <linux/fileattr.h>

#ifndef PROBE_ABSENT
u32 probe(struct file_kattr *attr);
u32 probe(struct file_kattr *attr)
{
	return attr->flags;
}
#else
u32 probe(struct fileattr *attr);
u32 probe(struct fileattr *attr)
{
	return attr->flags;
}
#endif
