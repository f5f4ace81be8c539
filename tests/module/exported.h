/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma-bufs of the test exporter (tests/exporter), which have any shape and move
 * or fail on demand, with a copy of what they must hold. They need not be
 * mappable by the CPU. And a namespace's window, to move data between the two.
 */
#ifndef TESTS_MODULE_EXPORTED_H
#define TESTS_MODULE_EXPORTED_H

#include <pthread.h>
#include <sys/types.h>

#include <nvmedmabuf.h>

#include "../exporter/exporter.h"
#include "common.h"
#include "rig.h"

/** require_exporter - end the program with a reason if the test exporter is not loaded */
void require_exporter(void);

/** kernel_is_movable - do maps leave dynamic exporters free to move? Else they pin. */
bool kernel_is_movable(void);

/** is_in_call - is this thread in the kernel, asleep in this ioctl? */
bool is_in_call(pid_t thread, unsigned long request);

/**
 * stays_in_call - does it sleep there for some time, so that it waits for an
 * event and not for a lock or for the drive?
 */
bool stays_in_call(pid_t thread, unsigned long request);

/**
 * struct exported - a dma-buf of the test exporter
 * @fd: the dma-buf
 * @size: bytes that importers are told
 * @bytes: bytes that there are
 * @dynamic: it may move while it is mapped, if importers can be told
 * @mirror: what these must hold; NULL if segments share memory
 */
struct exported {
	int fd;
	uint64_t size;
	uint64_t bytes;
	bool dynamic;
	uint8_t *mirror;
};

/** exported_try - make one exactly so, with random content; returns 0 or -errno */
int exported_try(struct exported *b, struct exporter_create create,
		 const struct exporter_segment *segments, uint32_t count);

/** exported_create - make an honest one that can be read and written, or skip */
void exported_create(struct exported *b, const struct exporter_segment *segments, uint32_t count,
		     uint32_t flags);

/** exported_create_pages - the same, of scattered runs of a few pages */
void exported_create_pages(struct exported *b, uint64_t size, uint32_t flags);

/** exported_create_bar - the same, in the BAR of QEMU's ivshmem device */
void exported_create_bar(struct exported *b, uint64_t size, uint32_t flags);

/** exported_create_mixed - by turns in the BAR and in host memory */
void exported_create_mixed(struct exported *b, const uint64_t *lengths, uint32_t count,
			   uint32_t flags);

/** check_in_bar - is that where this memory is? */
void check_in_bar(const struct nvme_dmabuf_placement_run *run);

void exported_close(struct exported *b);

/** exported_read, exported_write - access by the CPU; writing updates the copy */
void exported_read(const struct exported *b, uint64_t offset, void *to, uint64_t length);
void exported_write(struct exported *b, uint64_t offset, const void *from, uint64_t length);

/**
 * exported_check_damage - nobody has written around it, or to pages that it has
 * left, which are then freed
 */
void exported_check_damage(const struct exported *b);

/** exported_verify - the same, and compare all content */
void exported_verify(const struct exported *b);

/** exported_damage - what the exporter sees, damage included */
struct exporter_query exported_damage(const struct exported *b);

/** exported_move - EXPORTER_IOC_MOVE with a minute's patience; returns 0 or -errno */
int exported_move(const struct exported *b, uint32_t flags, struct exporter_move *result);

/** check_moved - all importers had unmapped when they had been told, and that was soon */
void check_moved(const struct exporter_move *move);

void exported_fail(const struct exported *b, uint32_t call, uint32_t error, uint32_t count);

/** exported_fence - add a fence; 0 ms: until exported_signal() */
void exported_fence(const struct exported *b, uint32_t usage, uint32_t timeout_ms);

/** exported_fence_on_map - add a kernel fence when it is mapped next */
void exported_fence_on_map(const struct exported *b);
void exported_signal(const struct exported *b);

/**
 * namespace_hold - do to a namespace what the nvme driver does in a reset
 * @flags: EXPORTER_HOLD_*, until the test ends or this is called with 0
 */
void namespace_hold(const struct drive *drive, uint32_t flags);

/** exported_lock - hold its reservation lock, until a signal comes at most */
void exported_lock(const struct exported *b, uint32_t ms);

/** exported_query - what the exporter sees, without looking for damage */
struct exporter_query exported_query(const struct exported *b);

/** check_unused - nobody is attached, nothing is mapped or pinned */
void check_unused(const struct exported *b);

/**
 * struct wire - a context, and blocks of a namespace to exchange data with
 * @ctx, @drive: what they are
 * @first, @count: blocks
 * @disk: what they must hold
 * @queue: by what commands go, or NULL; wire_close() frees it
 */
struct wire {
	struct nvmedmabuf *ctx;
	struct drive drive;
	uint64_t first;
	uint64_t count;
	uint8_t *disk;
	struct nvmedmabuf_queue *queue;
};

/** wire_open - take @bytes of a namespace, and fill them if that is allowed */
void wire_open(struct wire *w, const char *path, uint64_t bytes);
void wire_close(struct wire *w);

/** wire_attach - attach a range; returns 0 or what the kernel said */
int wire_attach(struct wire *w, const struct exported *b, uint64_t start, uint64_t length,
		uint32_t *map, uint32_t *reason);

/**
 * wire_transfer - one command, whose effects are compared on both sides, with
 * what stands around them
 * @start: where the map begins in the dma-buf
 * @command: a read or write
 */
void wire_transfer(struct wire *w, struct exported *b, uint64_t start,
		   struct nvme_dmabuf_command command);

/**
 * wire_transfers - commands at both ends of a map, across @edge and at random
 * @edge: bytes from the start of the map
 */
void wire_transfers(struct wire *w, struct exported *b, uint32_t map, uint64_t start,
		    uint64_t length, uint64_t edge, unsigned int random);

/**
 * struct attacher - a thread that attaches a buffer whose fences it waits for
 * @w, @b: what it attaches to what
 * @thread: its number, once it runs
 * @map, @reason, @result: of wire_attach(), once it has ended
 */
struct attacher {
	struct wire *w;
	struct exported *b;
	volatile pid_t thread;
	uint32_t map, reason;
	int result;
	pthread_t handle;
};

/** attacher_start - returns when it waits */
void attacher_start(struct attacher *a, struct wire *w, struct exported *b);
void attacher_join(struct attacher *a);

#endif
