/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands of io_uring, wherever the kernel declares them: the probes look where the
 * module looks. Delete when 6.8 is the oldest kernel.
 */
#ifdef HAVE_URING_HEADER
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif
