/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few functions of QEMU's plugin interface that lines.c and steps.c call. Debian has no package
 * with QEMU's own header. This is version 7 of the interface, that of QEMU 11.1: a QEMU
 * that has another one says so and does not load the plugin.
 */
#ifndef TESTS_BENCH_QEMU_PLUGIN_H
#define TESTS_BENCH_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_PLUGIN_VERSION 7

#define PLUGIN_EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;	 /* a block of instructions as QEMU translates it */
struct qemu_plugin_insn; /* one of its instructions */
struct qemu_plugin_hwaddr;

/* What an access was, for the functions that tell. */
typedef uint32_t qemu_plugin_meminfo_t;

/* What was loaded or stored: @bits is log2 of its bytes, @low the first eight of them. */
struct qemu_plugin_value {
	int bits;
	uint64_t low;
	uint64_t high;
};

/* What is to be run. */
struct qemu_plugin_machine {
	const char *target;
	struct {
		int min;
		int current;
	} version;
	bool is_system; /* and no single program, for which the rest means nothing */
	int cpus;
	int max_cpus;
};

enum { QEMU_PLUGIN_NO_REGS };
enum { QEMU_PLUGIN_READS = 1, QEMU_PLUGIN_WRITES, QEMU_PLUGIN_BOTH };

/* A plugin defines these. */
extern PLUGIN_EXPORT int qemu_plugin_version;
PLUGIN_EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_plugin_machine *machine,
				      int argc, char **argv);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*translate)(struct qemu_plugin_tb *tb, void *data),
					   void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t size);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*enter)(unsigned int cpu, void *data),
					  int registers, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*execute)(unsigned int cpu, void *data),
					    int registers, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*access)(unsigned int cpu, qemu_plugin_meminfo_t info,
						     uint64_t vaddr, void *data),
				      int registers, int which, void *data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
unsigned int qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t info);
struct qemu_plugin_value qemu_plugin_mem_get_value(qemu_plugin_meminfo_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *hwaddr);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *hwaddr);

#endif
