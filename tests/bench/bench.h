/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the benchmark share: ways to read from a drive into the same
 * memory, and how the instructions that they take are counted. Nothing here knows
 * about virtual machines; without one in which the TSC counts instructions
 * (tests/vm/run --count) the figures mean nothing.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB  1024ULL
#define MIB  (1024 * KIB)
#define GIB  (1024 * MIB)
#define PAGE 4096ULL

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define MAX_DEPTH   32U
#define MAX_MAPS    8U
#define MAX_THREADS 2U

/** die - end the program: the benchmark itself does not work here */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** check_sys - a system call must not fail; evaluates to its result */
#define check_sys(call)                              \
	({                                           \
		__typeof__(call) result_ = (call);   \
		if (result_ == (__typeof__(call))-1) \
			die("%s: %m", #call);        \
		result_;                             \
	})

/**
 * struct memory - what is read into
 * @fd: a memory file
 * @dmabuf: a udmabuf of its start, or of all of it so many times that it has @exported
 *	bytes; -1 if there is none
 * @own: @dmabuf is the module's instead, made of what @addr leads to
 * @size: bytes
 * @exported: bytes of @dmabuf
 * @addr: where this process sees the file
 */
struct memory {
	int fd;
	int dmabuf;
	bool own;
	uint64_t size;
	uint64_t exported;
	uint8_t *addr;
};

/**
 * memory_alloc - pages that are touched and stay where they are
 * @scattered: small ones, of which hardly any follows its neighbour in physical
 *	memory; else one piece of it
 */
void memory_alloc(struct memory *memory, uint64_t size, bool scattered);

/** memory_export - make a dma-buf of @bytes; if more than the memory's, a multiple */
void memory_export(struct memory *memory, uint64_t bytes);

/**
 * memory_export_own - make a dma-buf of the start of the same memory, by the module
 * @device: an open file of the module's device
 * @own: gets the memory as it is then; only its @dmabuf is to be closed
 */
void memory_export_own(const struct memory *memory, uint64_t bytes, int device, struct memory *own);

void memory_free(struct memory *memory);

/**
 * struct io - one read
 * @offset: where to in the memory
 * @start: where from on the namespace, in bytes
 */
struct io {
	uint64_t offset;
	uint64_t start;
};

/**
 * struct shared - what several threads use together, instead of each its own
 * @device: an open file of the module's device
 * @has_map: @map is a map of it
 * @map: where to
 * @queue: a queue of @device, or -1
 * @ring_bytes: of the queue's ring
 */
struct shared {
	int device;
	bool has_map;
	uint32_t map;
	int queue;
	uint64_t ring_bytes;
};

/**
 * struct job - what a path is opened for
 * @block: path of the namespace's block device, or of a file; @generic: of its other device
 * @span: bytes of it that are used
 * @writes: write there instead of reading; by read_fixed and this module's paths
 * @memory: where to
 * @bytes: of each read
 * @depth: reads that are submitted at once
 * @maps: of the memory, that reads use in turn; this module's paths only
 * @threads: that open the path, which for this module's share an open file
 * @interrupts: completions come by interrupts; else they are polled for
 * @shared: what the path does not open itself, or NULL
 */
struct job {
	const char *block;
	const char *generic;
	uint64_t span;
	bool writes;
	const struct memory *memory;
	uint32_t bytes;
	uint32_t depth;
	uint32_t maps;
	uint32_t threads;
	bool interrupts;
	const struct shared *shared;
};

/**
 * struct path - a way to read; each thread that uses one opens it
 * @name: as in the results
 * @open: get ready; returns 0, or a negative error number if this cannot be done here
 * @prepare: write down @count reads; not counted, for an application may do that as
 *	it likes
 * @submit: submit those
 * @reap: wait for as many; returns 0, or a negative error number or a positive NVMe
 *	status if one of them failed or was short
 * @run: the same as both, by one system call if possible
 */
struct path {
	const char *name;
	int (*open)(const struct job *job);
	void (*prepare)(const struct io *ios, uint32_t count);
	void (*submit)(uint32_t count);
	int (*reap)(uint32_t count);
	int (*run)(uint32_t count);
	void (*close)(void);
};

extern const struct path path_read_fixed, path_uring_cmd, path_ioctl, path_uring, path_submit;

/**
 * open_shared - open what paths of several threads are to use together
 * @job: the threads' job, without shared
 * @map: one map, else each has its own; @queue: one queue likewise
 */
void open_shared(const struct job *job, bool map, bool queue, struct shared *shared);
void close_shared(const struct shared *shared);

/** count_one - count one way to read, and print what it took as a line of @part */
void count_one(const char *part, const struct path *path, struct job *job, const char *layout);

/** all_paths - those to be measured: the environment's PATHS, or all; NULL at the end */
const struct path *const *all_paths(void);

/** random_ios - places for @job's reads that the block layer cannot merge */
void random_ios(const struct job *job, struct io ios[MAX_DEPTH]);

#endif
