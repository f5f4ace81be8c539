// SPDX-License-Identifier: GPL-2.0-only
/* Compiles for every kernel. */
#include <linux/module.h>
