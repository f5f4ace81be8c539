// SPDX-License-Identifier: GPL-2.0-only
/* Compiles for no kernel, with or without PROBE_ABSENT. */
#include <linux/module.h>
#include <linux/no_such_header.h>
