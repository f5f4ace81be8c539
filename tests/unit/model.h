/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A range of segments and the PRP list that module/memory/prp.c makes of it, and the
 * check of one against the other through the naive controller. The segments
 * are only ever walked from the first one on.
 */
#ifndef UNIT_MODEL_H
#define UNIT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prp.h"

struct segment {
	uint64_t addr;
	uint64_t length;
};

/**
 * struct model - a range and its list
 * @segments: the range, in the portions in which the builder gets it
 * @nr: number of segments
 * @length: bytes in all of them
 * @list: the list under test; every slot is poison until it is written, which in the end
 *	all are
 * @builder: what filled it
 * @seed: makes model_random() build the same again; 0 if it did not
 */
struct model {
	struct segment *segments;
	size_t nr;
	size_t room;
	uint64_t length;
	struct prp_list list;
	struct prp_builder builder;
	uint64_t seed;
};

uint64_t rng_next(uint64_t *state);
uint64_t rng_below(uint64_t *state, uint64_t limit);

void model_reset(struct model *model);
void model_free(struct model *model);
void model_segment(struct model *model, uint64_t addr, uint64_t length);
void model_scattered(struct model *model, uint32_t first, size_t entries);
void model_random(struct model *model, uint64_t *rng);

void model_layout(struct model *model, uint64_t first_addr, uint64_t length);
void model_build(struct model *model);

uint64_t model_address(const struct model *model, uint64_t offset);
const char *model_walk(const struct model *model, uint64_t offset, uint32_t length, uint64_t prp1,
		       uint64_t prp2, size_t max_pages);
void model_window(const struct model *model, uint64_t offset, uint32_t length);

#endif
