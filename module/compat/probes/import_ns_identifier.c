// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.12, cdd30ebb1b9f: MODULE_IMPORT_NS() takes an identifier. */
#include <linux/module.h>

#ifndef PROBE_ABSENT
MODULE_IMPORT_NS(DMA_BUF);
#else
/* The older macro would take a string too, and put it in quotation marks once more. */
#undef MODULE_INFO
#define MODULE_INFO(tag, info) _Static_assert(sizeof(info) == sizeof("A"), #tag)
MODULE_IMPORT_NS("A");
#endif
