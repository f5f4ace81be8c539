// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's that writes down each instruction which a program in the guest and
 * the kernel execute in the program's calls, between two messages of the program (lines.h).
 * It must not know what the instructions are for: report-where finds out. The machine has
 * one CPU.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_PLUGIN
#include "lines.h"

PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/* An instruction, and how often it was executed in a row: a string instruction counts often. */
struct step {
	uint64_t pc;
	uint64_t times;
};

static struct step *steps;
static size_t step_count, step_room;
static uint64_t window, value;
static bool is_open, in_call;
static FILE *out;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "steps: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The instruction at @data is executed. */
static void note(unsigned int cpu, void *data)
{
	uint64_t pc = (uintptr_t)data;

	(void)cpu;
	if (!in_call || !is_open)
		return;
	if (step_count && steps[step_count - 1].pc == pc) {
		steps[step_count - 1].times++;
		return;
	}
	if (step_count == step_room) {
		step_room = step_room ? 2 * step_room : 1 << 16;
		steps = realloc(steps, step_room * sizeof(*steps));
		if (!steps)
			die("no memory");
	}
	steps[step_count++] = (struct step){ .pc = pc, .times = 1 };
}

/* One window: its number, and a line for each step. */
static void print_window(uint64_t reads)
{
	fprintf(out, "window %llu %llu\n", (unsigned long long)window, (unsigned long long)reads);
	for (size_t i = 0; i < step_count; i++)
		fprintf(out, "%llx %llu\n", (unsigned long long)steps[i].pc,
			(unsigned long long)steps[i].times);
	if (fflush(out))
		die("cannot write results");
}

static void act(enum lines_action action)
{
	switch (action) {
	case LINES_OPEN:
		step_count = 0;
		window = value;
		is_open = true;
		break;
	case LINES_CLOSE:
		is_open = false;
		print_window(value);
		break;
	case LINES_CALL:
		in_call = value;
		break;
	default:
		break;
	}
}

static void hear_value(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	(void)cpu;
	(void)vaddr;
	(void)data;
	value = qemu_plugin_mem_get_value(info).low;
}

static void hear_action(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	(void)cpu;
	(void)vaddr;
	(void)data;
	act(qemu_plugin_mem_get_value(info).low);
}

static void translate(struct qemu_plugin_tb *tb, void *data)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)data;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		void *pc = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);

		qemu_plugin_register_vcpu_insn_exec_cb(insn, note, QEMU_PLUGIN_NO_REGS, pc);
		lines_hear(insn, hear_value, hear_action);
	}
}

int qemu_plugin_install(uint64_t id, const struct qemu_plugin_machine *machine, int argc,
			char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "steps: the argument is out=FILE\n");
		return 1;
	}
	if (!machine->is_system || machine->max_cpus != 1) {
		fprintf(stderr, "steps: wants a machine of one CPU\n");
		return 1;
	}
	out = fopen(argv[0] + 4, "w");
	if (!out)
		die(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate, NULL);
	return 0;
}
