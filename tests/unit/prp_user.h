/* SPDX-License-Identifier: GPL-2.0-only */
/* What module/memory/prp.c needs of the kernel's headers, in user space. */
#ifndef NVME_DMABUF_PRP_USER_H
#define NVME_DMABUF_PRP_USER_H

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define U32_MAX	       0xffffffffU
#define cpu_to_le64(x) htole64(x)
#define le64_to_cpu(x) le64toh(x)

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#endif
