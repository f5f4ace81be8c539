/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an NVMe controller does with PRP1 and PRP2, as naively as the NVM
 * Express Base Specification puts it ("Physical Region Page Entry and List").
 * Must not know how the list was built.
 */
#ifndef UNIT_CONTROLLER_H
#define UNIT_CONTROLLER_H

#include <stddef.h>
#include <stdint.h>

/* What a list slot holds (in any byte order) before anything is written. */
#define CONTROLLER_POISON      0xa5a5a5a5a5a5a5a5ULL
#define CONTROLLER_POISON_BYTE 0xa5

/**
 * struct controller_run - bytes that the controller would move
 * @addr: DMA address of the first
 * @length: how many
 */
struct controller_run {
	uint64_t addr;
	uint32_t length;
};

/**
 * controller_resolve - find the list page at a DMA address
 * @memory: what controller_walk() was given
 * @addr: address of the page, a multiple of 4096
 *
 * Return: its 512 slots, or NULL if no list page is there.
 */
typedef const uint64_t *controller_resolve(const void *memory, uint64_t addr);

const char *controller_walk(controller_resolve *resolve, const void *memory, uint64_t prp1,
			    uint64_t prp2, uint32_t length, struct controller_run *runs, size_t max,
			    size_t *nr);

#endif
