// SPDX-License-Identifier: MIT
/* Memory for exporters that have none of their own. */
#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memfd.h"

int memfd_for(uint64_t *size, bool huge)
{
	struct stat st;
	int memfd, ret;

	if (!*size)
		return -EINVAL;

	memfd = memfd_create("nvmedmabuf", MFD_CLOEXEC | MFD_ALLOW_SEALING |
			     (huge ? MFD_HUGETLB : 0));
	if (memfd < 0)
		return -errno;

	/* A hugetlb file's block size is that of its pages. */
	ret = fstat(memfd, &st) < 0 ? -errno : 0;
	if (!ret)
		ret = round_size(size, huge ? (uint64_t)st.st_blksize :
					      (uint64_t)sysconf(_SC_PAGESIZE));
	if (!ret)
		return memfd;
	close(memfd);
	return ret;
}
