// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's that counts which cache lines several CPUs touch. It looks at each
 * memory access of the guest's kernel, between two messages of a program in the guest
 * (lines.h). It must not know what that program does, nor the module: it is told where
 * the code lies whose accesses matter ("own" code), and which of the kernel's functions
 * work on that code's own data, such as locks ("helpers").
 *
 * A line is shared if one CPU writes it and another one reads or writes it. How often it
 * really moves between the CPUs' caches depends on when the CPUs run. What is told
 * instead does not: the most moves that the accesses allow (moves_of()).
 *
 * Each CPU has a thread of QEMU's (thread=multi): where CPUs take turns, as they do under
 * -icount, QEMU 11.1 tells a plugin the CPU for which code was translated, and not the
 * one that executes it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_PLUGIN
#include "lines.h"

#define LINE_SHIFT 6
#define MAX_CPUS   16U
#define MAX_RANGES 256U
#define KERNEL	   (1ULL << 63) /* the first address of the kernel's half */

PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

/*
 * A CPU that accesses a line several times in a row uses it once: that is what can make the
 * line move. In a row means with fewer other accesses in between than a command takes.
 */
#define USE_GAP 64U

/*
 * struct accesses - of one CPU to a line
 * @uses: how often it used it
 * @changes: of these, uses with a write
 * @last: struct cpu's accesses at the last one
 * @changed: the last use has a write
 */
struct accesses {
	uint32_t reads;
	uint32_t writes;
	uint32_t uses;
	uint32_t changes;
	uint64_t last;
	bool changed;
};

/*
 * struct line - a cache line that was touched
 * @number: its physical address, in lines
 * @vaddr: where own code saw it last
 * @own: by own code, and helpers that it calls
 * @all: the same, and by all other code of the kernel in calls
 */
struct line {
	uint64_t number;
	uint64_t vaddr;
	struct accesses own[MAX_CPUS];
	struct accesses all[MAX_CPUS];
};

/*
 * struct site - an instruction of own code or a helper, and a line that it touched
 * @cpus: bit for each CPU that did
 */
struct site {
	uint64_t number;
	uint64_t pc;
	uint64_t cpus;
	uint32_t reads;
	uint32_t writes;
};

/* An open hash table, of which a key of zero is free: no line has the number 0. */
struct table {
	void *entries;
	size_t entry_size;
	size_t size;
	size_t used;
};

struct range {
	uint64_t start;
	uint64_t end;
	bool helper;
};

/*
 * struct cpu - what a CPU's own thread alone uses
 * @value: of a message, which comes before what to do with it
 * @in_call: of the program's
 * @in_own: own code was executed, and since then only helpers
 * @accesses: counts those to any line, and makes a jump where a call begins
 */
struct cpu {
	_Alignas(64) uint64_t value;
	uint64_t accesses;
	bool in_call;
	bool in_own;
};

static struct cpu cpus[MAX_CPUS];

/* Held for everything below. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct table lines = { .entry_size = sizeof(struct line) };
static struct table sites = { .entry_size = sizeof(struct site) };
static struct range ranges[MAX_RANGES];
static uint32_t range_count;
static uint64_t window;
static atomic_bool is_open; /* also looked at without the lock, which saves time */
static uint32_t cpu_count;
static FILE *out;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "lines: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Both tables' entries begin with a line's number; a site's has the instruction next. */
static void *find_slot(const struct table *table, uint64_t number, const uint64_t *pc)
{
	uint64_t hash = (number ^ (pc ? *pc << 20 : 0)) * 0x9e3779b97f4a7c15ULL;

	for (size_t i = hash >> 20;; i++) {
		uint64_t *entry = (uint64_t *)((char *)table->entries +
					       (i & (table->size - 1)) * table->entry_size);

		if (!entry[0] || (entry[0] == number && (!pc || entry[1] == *pc)))
			return entry;
	}
}

static void grow(struct table *table, bool has_pc)
{
	struct table old = *table;

	table->size = old.size ? 2 * old.size : 1024;
	table->entries = calloc(table->size, table->entry_size);
	if (!table->entries)
		die("no memory");
	for (size_t i = 0; i < old.size; i++) {
		uint64_t *entry = (uint64_t *)((char *)old.entries + i * old.entry_size);

		if (entry[0])
			memcpy(find_slot(table, entry[0], has_pc ? &entry[1] : NULL), entry,
			       table->entry_size);
	}
	free(old.entries);
}

static void *find(struct table *table, uint64_t number, const uint64_t *pc)
{
	uint64_t *entry;

	if (2 * table->used >= table->size)
		grow(table, pc);
	entry = find_slot(table, number, pc);
	if (!entry[0]) {
		entry[0] = number;
		if (pc)
			entry[1] = *pc;
		table->used++;
	}
	return entry;
}

static void clear(struct table *table)
{
	if (table->size)
		memset(table->entries, 0, table->size * table->entry_size);
	table->used = 0;
}

/* Ranges change only while there is no window. */
static bool is_in_range(uint64_t pc, bool helper)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (pc >= ranges[i].start && pc < ranges[i].end && ranges[i].helper == helper)
			return true;
	return false;
}

static void add(struct accesses *accesses, bool store, uint64_t now)
{
	if (!accesses->uses || now - accesses->last > USE_GAP) {
		accesses->uses++;
		accesses->changed = false;
	}
	accesses->last = now;
	if (!store) {
		accesses->reads++;
		return;
	}
	accesses->writes++;
	accesses->changes += !accesses->changed;
	accesses->changed = true;
}

static void note_line(unsigned int cpu, uint64_t number, uint64_t vaddr, uint64_t pc, bool store)
{
	struct line *line = find(&lines, number, NULL);
	struct site *site;

	add(&line->all[cpu], store, cpus[cpu].accesses);
	if (!cpus[cpu].in_own)
		return;
	line->vaddr = vaddr;
	add(&line->own[cpu], store, cpus[cpu].accesses);
	site = find(&sites, number, &pc);
	if (store)
		site->writes++;
	else
		site->reads++;
	site->cpus |= 1ULL << cpu;
}

/* An access by the instruction at @data. */
static void note(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	const struct qemu_plugin_hwaddr *hwaddr;
	uint64_t first, last;

	if (!is_open || !(cpus[cpu].in_own || cpus[cpu].in_call))
		return;
	hwaddr = qemu_plugin_get_hwaddr(info, vaddr);
	if (!hwaddr || qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	/* Of an access that crosses into another page, QEMU knows the first page only. */
	first = qemu_plugin_hwaddr_phys_addr(hwaddr);
	last = first + (1U << qemu_plugin_mem_size_shift(info)) - 1;
	cpus[cpu].accesses++;
	pthread_mutex_lock(&lock);
	for (uint64_t number = first >> LINE_SHIFT; number <= last >> LINE_SHIFT; number++)
		if (number && is_open)
			note_line(cpu, number, vaddr, (uintptr_t)data,
				  qemu_plugin_mem_is_store(info));
	pthread_mutex_unlock(&lock);
}

/* A block of instructions at @data begins. */
static void enter(unsigned int cpu, void *data)
{
	uint64_t pc = (uintptr_t)data;

	if (!is_open)
		return;
	if (is_in_range(pc, false))
		cpus[cpu].in_own = true;
	else if (cpus[cpu].in_own && !is_in_range(pc, true))
		cpus[cpu].in_own = false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * The most often that a line can move. A use moves it only if another CPU used it in
 * between; and a use with a write can take it from all others, each of which fetches it
 * again.
 */
static uint64_t moves_of(const struct accesses by_cpu[MAX_CPUS])
{
	uint64_t uses = 0, changes = 0, most = 0;
	uint32_t users = 0;

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		uses += by_cpu[cpu].uses;
		changes += by_cpu[cpu].changes;
		users += by_cpu[cpu].uses > 0;
		if (by_cpu[cpu].uses > most)
			most = by_cpu[cpu].uses;
	}
	return least(least(uses, 2 * (uses - most)), changes * users);
}

static void print_accesses(const char *name, const struct accesses by_cpu[MAX_CPUS])
{
	fprintf(out, ", \"%s\": [", name);
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		fprintf(out, "%s[%u, %u]", cpu ? ", " : "", by_cpu[cpu].uses, by_cpu[cpu].changes);
	fputc(']', out);
}

static void print_sites(uint64_t number)
{
	const struct site *all = sites.entries;
	const char *comma = "";

	fprintf(out, ", \"sites\": [");
	for (size_t i = 0; i < sites.size; i++) {
		if (all[i].number != number)
			continue;
		fprintf(out, "%s{\"pc\": \"%#llx\", \"cpus\": %d, \"reads\": %u, \"writes\": %u}",
			comma, (unsigned long long)all[i].pc, __builtin_popcountll(all[i].cpus),
			all[i].reads, all[i].writes);
		comma = ", ";
	}
	fprintf(out, "]}");
}

static uint64_t touches_of(const struct accesses by_cpu[MAX_CPUS])
{
	uint64_t touches = 0;

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		touches += (uint64_t)by_cpu[cpu].reads + by_cpu[cpu].writes;
	return touches;
}

/* One object, in a line of text: how much was shared, and each line that own code shares. */
static void print_window(uint64_t reads)
{
	const struct line *all = lines.entries;
	uint64_t own = 0, total = 0, own_touches = 0;
	const char *comma = "";

	for (size_t i = 0; i < lines.size; i++) {
		if (!all[i].number)
			continue;
		own += moves_of(all[i].own);
		own_touches += touches_of(all[i].own);
		total += moves_of(all[i].all);
	}
	fprintf(out,
		"{\"window\": %llu, \"reads\": %llu, \"accesses\": %llu, \"moves\": %llu, \"moves_all\": %llu, \"lines\": [",
		(unsigned long long)window, (unsigned long long)reads,
		(unsigned long long)own_touches, (unsigned long long)own,
		(unsigned long long)total);
	for (size_t i = 0; i < lines.size; i++) {
		const struct line *line = &all[i];

		if (!line->number || !moves_of(line->own))
			continue;
		fprintf(out,
			"%s{\"physical\": \"%#llx\", \"address\": \"%#llx\", \"moves\": %llu, \"moves_all\": %llu",
			comma, (unsigned long long)line->number << LINE_SHIFT,
			(unsigned long long)line->vaddr, (unsigned long long)moves_of(line->own),
			(unsigned long long)moves_of(line->all));
		print_accesses("own", line->own);
		print_accesses("all", line->all);
		print_sites(line->number);
		comma = ",";
	}
	fprintf(out, "]}\n");
	if (fflush(out))
		die("cannot write results");
}

static void open_window(uint64_t number)
{
	clear(&lines);
	clear(&sites);
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		cpus[cpu].in_own = false;
	window = number;
	is_open = true;
}

static void add_range(uint64_t start, bool helper)
{
	if (range_count == MAX_RANGES) {
		fprintf(stderr, "lines: too many ranges of code\n");
		exit(1);
	}
	ranges[range_count++] = (struct range){ .start = start, .helper = helper };
}

static void act(unsigned int cpu, enum lines_action action, uint64_t value)
{
	switch (action) {
	case LINES_FORGET:
		range_count = 0;
		break;
	case LINES_OWN:
	case LINES_HELPER:
		add_range(value, action == LINES_HELPER);
		break;
	case LINES_END:
		if (range_count)
			ranges[range_count - 1].end = value;
		break;
	case LINES_OPEN:
		open_window(value);
		break;
	case LINES_CLOSE:
		is_open = false;
		print_window(value);
		break;
	case LINES_CALL:
		cpus[cpu].in_call = value;
		cpus[cpu].in_own = false;
		cpus[cpu].accesses += USE_GAP;
		break;
	}
}

static void hear_value(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	(void)vaddr;
	(void)data;
	cpus[cpu].value = qemu_plugin_mem_get_value(info).low;
}

static void hear_action(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	(void)vaddr;
	(void)data;
	pthread_mutex_lock(&lock);
	act(cpu, qemu_plugin_mem_get_value(info).low, cpus[cpu].value);
	pthread_mutex_unlock(&lock);
}

static void translate(struct qemu_plugin_tb *tb, void *data)
{
	size_t count = qemu_plugin_tb_n_insns(tb);
	uint64_t start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
	bool counted = start >= KERNEL || is_in_range(start, false) || is_in_range(start, true);

	(void)data;
	if (counted)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, enter, QEMU_PLUGIN_NO_REGS,
						     (void *)(uintptr_t)start);
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		void *pc = (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn);

		if (counted)
			qemu_plugin_register_vcpu_mem_cb(insn, note, QEMU_PLUGIN_NO_REGS,
							 QEMU_PLUGIN_BOTH, pc);
		else
			lines_hear(insn, hear_value, hear_action);
	}
}

int qemu_plugin_install(uint64_t id, const struct qemu_plugin_machine *machine, int argc,
			char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "lines: the argument is out=FILE\n");
		return 1;
	}
	if (!machine->is_system || machine->max_cpus < 1 || machine->max_cpus > (int)MAX_CPUS) {
		fprintf(stderr, "lines: wants a machine of at most %u CPUs\n", MAX_CPUS);
		return 1;
	}
	cpu_count = machine->max_cpus;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		die(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate, NULL);
	return 0;
}
