/* SPDX-License-Identifier: MIT */
/* Memory for exporters that have none of their own. */
#ifndef NVMEDMABUF_MEMFD_H
#define NVMEDMABUF_MEMFD_H

#include "exporter.h"

#pragma GCC visibility push(hidden)

/*
 * An empty memfd of small pages, or of @huge ones. @size is rounded up to them. Returns the
 * memfd or -errno.
 */
int memfd_for(uint64_t *size, bool huge);

#pragma GCC visibility pop

#endif /* NVMEDMABUF_MEMFD_H */
