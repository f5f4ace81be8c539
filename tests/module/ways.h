/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All ways to submit commands and to wait until they have ended, for tests that do the
 * same in each.
 */
#ifndef TESTS_MODULE_WAYS_H
#define TESTS_MODULE_WAYS_H

#include "rig.h"

enum way_kind { WAY_CALL, WAY_FENCE, WAY_QUEUE, WAY_RING };

/**
 * struct submit_way - a way to submit
 * @flags: of the queue or the ring
 */
struct submit_way {
	const char *name;
	enum way_kind kind;
	uint32_t flags;
};

#define WAYS 6

extern const struct submit_way submit_ways[WAYS];

/** way_is_polled - does somebody have to look, for commands to end? */
bool way_is_polled(const struct submit_way *way);

/**
 * way_run - submit commands, and return when all have ended, each once
 * @context: open device
 * @commands: their user_data is RIG_FIRST and up
 * @completions: of each, in their order. A fence tells only whether all went well: if not,
 *	each is said to have failed.
 * @submitted: set when they are submitted, by all ways but a call
 * @done: grows with each that has ended, by queues and rings
 */
void way_run(const struct submit_way *way, int context, const struct nvme_dmabuf_command *commands,
	     unsigned int count, struct nvme_dmabuf_completion *completions,
	     volatile bool *submitted, volatile unsigned int *done);

#endif
