// SPDX-License-Identifier: GPL-2.0-only
/* A naive NVMe controller: see controller.h. */
#include <endian.h>

#include "controller.h"

#define PAGE	     4096U /* CC.MPS = 0 */
#define OFFSET(addr) ((uint32_t)((addr) & (PAGE - 1)))
#define LAST_SLOT    511U

/**
 * controller_walk - move the data of a command
 * @resolve: finds list pages
 * @memory: passed to @resolve
 * @prp1: the command's PRP1
 * @prp2: the command's PRP2
 * @length: bytes that the command moves, not 0
 * @runs: where to note them, one run for each controller page
 * @max: room in @runs
 * @nr: number of runs noted
 *
 * Return: NULL, or what is wrong.
 */
const char *controller_walk(controller_resolve *resolve, const void *memory, uint64_t prp1,
			    uint64_t prp2, uint32_t length, struct controller_run *runs, size_t max,
			    size_t *nr)
{
	uint32_t in_first = PAGE - OFFSET(prp1);
	const uint64_t *slots;
	uint32_t slot;

	*nr = 0;
	if (!max)
		return "more pages than a command may touch";
	if (prp1 % 4)
		return "PRP1 is not dword aligned";
	if (length <= in_first) {
		runs[(*nr)++] = (struct controller_run){ prp1, length };
		return prp2 ? "PRP2 is set though it is not used" : NULL;
	}
	runs[(*nr)++] = (struct controller_run){ prp1, in_first };
	length -= in_first;

	if (length <= PAGE) {
		if (max < 2)
			return "more pages than a command may touch";
		if (OFFSET(prp2))
			return "PRP2 is a page and has an offset";
		runs[(*nr)++] = (struct controller_run){ prp2, length };
		return NULL;
	}

	if (prp2 % 8)
		return "PRP2 is a list and not qword aligned";
	slots = resolve(memory, prp2 - OFFSET(prp2));
	if (!slots)
		return "PRP2 is a list and points to no list page";
	slot = OFFSET(prp2) / 8;

	while (length) {
		uint64_t entry = le64toh(slots[slot]);
		uint32_t now = length < PAGE ? length : PAGE;

		if (entry == CONTROLLER_POISON)
			return "an entry was never written";
		if (OFFSET(entry))
			return "an entry has an offset";
		if (slot == LAST_SLOT && length > PAGE) {
			slots = resolve(memory, entry);
			if (!slots)
				return "a chain pointer points to no list page";
			slot = 0;
			continue;
		}
		if (*nr == max)
			return "more pages than a command may touch";
		runs[(*nr)++] = (struct controller_run){ entry, now };
		length -= now;
		slot++;
	}
	return NULL;
}
