/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * io_uring as all paths use it that use it at all, so that they differ in nothing
 * but what they submit.
 */
#ifndef TESTS_BENCH_RING_H
#define TESTS_BENCH_RING_H

#include <liburing.h>

#include "bench.h"

/** ring_open - make a ring, with @file as its registered file 0 */
void ring_open(struct io_uring *ring, uint32_t depth, unsigned int flags, int file);

/** ring_register_memory - register all of @memory as buffer 0 */
void ring_register_memory(struct io_uring *ring, const struct memory *memory);

/** ring_entry - the next submission queue entry, all zero */
struct io_uring_sqe *ring_entry(struct io_uring *ring);

/**
 * ring_submit - submit the @count entries that were prepared, and do nothing else
 *
 * io_uring_submit() would also poll once, for what the drive may have done by then.
 */
void ring_submit(struct io_uring *ring, uint32_t count);

/** ring_reap - wait for @count completions, whose result must be @expected */
int ring_reap(struct io_uring *ring, uint32_t count, int32_t expected);

/** ring_run - submit @count entries and wait for them */
int ring_run(struct io_uring *ring, uint32_t count, int32_t expected);

#endif
