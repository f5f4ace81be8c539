// SPDX-License-Identifier: GPL-2.0-only
/* Compiles for no kernel. */
#include <linux/module.h>
#include <linux/no_such_header.h>
