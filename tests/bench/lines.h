/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a program in the guest talks to the plugins lines.c, which counts the cache lines
 * that CPUs share, and steps.c, which hears of windows and calls only. A message is two
 * stores, each by an instruction that the plugin knows by its bytes: the second operand is
 * at a constant distance that no compiler makes. Without a plugin the stores go to a
 * variable that nobody reads.
 */
#ifndef TESTS_BENCH_LINES_H
#define TESTS_BENCH_LINES_H

#include <stdint.h>

/* The bytes of the instructions, up to the distance: mov %rax, distance(%rdx). */
#define LINES_STORE	  0x48, 0x89, 0x82
#define LINES_VALUE_DISP  0x4c4e5631 /* the message's value, which comes first */
#define LINES_ACTION_DISP 0x4c4e4132 /* what to do with it */

/**
 * enum lines_action - what the plugin is told
 * @LINES_FORGET: no code is own code, nor a helper
 * @LINES_OWN: value is where code begins whose lines are counted
 * @LINES_HELPER: value is where a function begins whose lines are counted as own code's
 *	while own code calls it
 * @LINES_END: value is the end of the code that was named last
 * @LINES_OPEN: begin to count; value is a number for the results
 * @LINES_CLOSE: stop, and write results; value is the number of reads that there were
 * @LINES_CALL: this CPU is in a call, if value is 1, or no longer, if it is 0; what other
 *	code does is counted in calls only
 */
enum lines_action {
	LINES_FORGET = 1,
	LINES_OWN,
	LINES_HELPER,
	LINES_END,
	LINES_OPEN,
	LINES_CLOSE,
	LINES_CALL
};

#ifndef LINES_PLUGIN
static inline void lines_tell(enum lines_action action, uint64_t value)
{
	static uint64_t mailbox;
	uintptr_t at = (uintptr_t)&mailbox;

	asm volatile("mov %%rax, %c2(%%rdx)"
		     :
		     : "a"(value), "d"(at - LINES_VALUE_DISP), "i"(LINES_VALUE_DISP)
		     : "memory");
	asm volatile("mov %%rax, %c2(%%rdx)"
		     :
		     : "a"((uint64_t)action), "d"(at - LINES_ACTION_DISP), "i"(LINES_ACTION_DISP)
		     : "memory");
}
#else
#include <stdbool.h>
#include <string.h>

#include "qemu_plugin.h"

/* Whether an instruction is one of lines_tell()'s stores. */
static inline bool lines_is_store(const struct qemu_plugin_insn *insn, uint32_t disp)
{
	uint8_t known[] = { LINES_STORE, disp, disp >> 8, disp >> 16, disp >> 24 };
	uint8_t bytes[sizeof(known)];

	return qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) == sizeof(bytes) &&
	       !memcmp(bytes, known, sizeof(known));
}

typedef void lines_heard_fn(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr,
			    void *data);

/* Has the plugin called for an instruction of a program in the guest that tells it something. */
static inline void lines_hear(struct qemu_plugin_insn *insn, lines_heard_fn *value,
			      lines_heard_fn *action)
{
	if (lines_is_store(insn, LINES_VALUE_DISP))
		qemu_plugin_register_vcpu_mem_cb(insn, value, QEMU_PLUGIN_NO_REGS,
						 QEMU_PLUGIN_WRITES, NULL);
	else if (lines_is_store(insn, LINES_ACTION_DISP))
		qemu_plugin_register_vcpu_mem_cb(insn, action, QEMU_PLUGIN_NO_REGS,
						 QEMU_PLUGIN_WRITES, NULL);
}
#endif

#endif
