/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of the benchmark. Each prints lines of its name and a JSON object,
 * and notes of how far it is.
 */
#ifndef TESTS_BENCH_PARTS_H
#define TESTS_BENCH_PARTS_H

#include "bench.h"

/** count_part - instructions for each read; changes @job */
void count_part(struct job *job);

/** events_part - what the kernel does for each read; changes @job */
void events_part(struct job *job);

/** attach_part - what attaching takes, by the buffer's size */
void attach_part(struct job *job);

/** files_part - instructions for each transfer of a file; destroys what is on the drive */
void files_part(struct job *job);

/** attach_files - what it takes to attach each of these to a buffer that is mapped already */
void attach_files(const struct memory *memory, const char *block, const char *const paths[],
		  unsigned int count);

/** sharing_part - cache lines that CPUs share; changes @job */
void sharing_part(struct job *job);

/** where_part - where instructions of reads and of attaching are executed; changes @job */
void where_part(struct job *job);

/** print_start - print the start of an object: of which part, path (or NULL), kernel, IOMMU */
void print_start(const char *part, const char *path);

/** error_name - of what a path returned */
const char *error_name(int error);

/** note - print a line that says how far the part is */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** wanted - is a word among those of an environment variable, or is there none? */
bool wanted(const char *variable, const char *word);
bool wanted_number(const char *variable, uint64_t number);

#endif
