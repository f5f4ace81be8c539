// SPDX-License-Identifier: GPL-2.0-only
/* Until Linux 6.12, cdd30ebb1b9f: MODULE_IMPORT_NS() takes an identifier. */
#include <linux/module.h>

MODULE_IMPORT_NS(DMA_BUF);
