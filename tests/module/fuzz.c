// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test calls with arguments at random: most are right but for one or two
 * things. What is refused is refused as the interface says, what is done is
 * done right, and nothing else changes: not the rest of the drive, not what lies
 * around the maps. From one thread, where the same seed gives the same calls and
 * the same results, and from two.
 *
 *   FUZZ_CALLS	how many calls the one thread makes, instead of 20,000, after it has
 *		made the first tenth of them once before; the two make a fifth of that
 *
 * What one thread does is repeated exactly by SEED=N fuzz 'one thread*', with as many
 * calls. Two threads share their maps, so that what each calls depends on what the other
 * has done: the seed gives such a run again, but not the same one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/dma-buf.h>

#include "contract.h"
#include "exported.h"
#include "ring.h"

#define THREADS	 2
#define CONTEXTS 3
#define MAPS	 24
#define BUFFERS	 8
#define FILES	 64
#define FENCES	 4
#define QUEUES	 3

/* Commands that a ring of io_uring has at once; one that it refuses does not stop others. */
#define ENTRIES	   4
#define RING_FLAGS (IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL)

#define QUEUE_NR  _IOC_NR(NVME_DMABUF_IOC_QUEUE)
#define SUBMIT_NR _IOC_NR(NVME_DMABUF_IOC_SUBMIT)
#define ATTACH_NR _IOC_NR(NVME_DMABUF_IOC_ATTACH)
#define DETACH_NR _IOC_NR(NVME_DMABUF_IOC_DETACH)
#define ENTER_NR  _IOC_NR(NVME_DMABUF_IOC_ENTER)
#define EXPORT_NR _IOC_NR(NVME_DMABUF_IOC_EXPORT)

/* What is done besides these calls, numbered on. */
enum {
	UNKNOWN = EXPORT_NR + 1,
	URING,
	POLL,
	MMAP,
	EXPORTER,
	ACTIONS,
};

/* Of each buffer the last pages are never mapped for the drive to write to. */
#define BUFFER (256 * KIB)
#define GUARD  (4 * PAGE)

/*
 * Blocks that commands may write have these numbers, whether they are counted
 * from the start of the namespace or from that of the partition: so it makes no
 * difference which map a command turns out to name.
 */
#define SAFE  MIB
#define SHIFT MIB

/* What may be transferred by one submission. */
#define MOST_BYTES (256 * KIB)

/* How long a call waits for what need not happen. */
#define PATIENCE_NS 5000000ULL

#define PARTITION 62
#define MOST	  4096U

/* A thread's memory, at the same address in each run. */
struct arena {
	uint8_t args[PAGE];
	struct nvme_dmabuf_command commands[MOST];
	uint8_t out[64 * PAGE];
	uint8_t readonly[PAGE]; /* and no valid arguments */
	uint8_t edge[PAGE];
	uint8_t hole[PAGE]; /* not there */
};

/* A dma-buf: of the test exporter, or of another one. */
struct target {
	int fd;
	uint64_t size;
	bool moves;
	bool is_exported;
	struct exported exported;
	struct buffer buffer;
};

struct world {
	struct wire w; /* its window is what commands may write, twice SAFE */
	uint64_t safe; /* first block of the numbers that are safe */
	int contexts[CONTEXTS];
	struct target targets[BUFFERS];
	unsigned int target_count;
	int namespaces[16]; /* files of block devices */
	unsigned int namespace_count;
	int files[FILES]; /* of every other kind */
	unsigned int file_count;
	uint64_t maps[MAPS]; /* see struct known_map; atomic */
	uint8_t *guards[4];  /* content of blocks around the window and far away */
	uint64_t guard_at[4];
	unsigned int threads; /* that make calls */
};

/* A map as it stands in the world's table. */
struct known_map {
	uint32_t number; /* 0: none */
	uint32_t context;
	uint64_t length;
};

/* A queue of the thread's own. */
struct known_queue {
	int fd; /* -1: none */
	uint32_t context;
	struct nvme_dmabuf_ring *ring;
	uint64_t bytes;
	bool wrong; /* the head was: what the ring holds may be overwritten */
};

/* What the first calls of one thread came to; shared with who makes them again. */
struct trace {
	bool again; /* they are compared, not remembered */
	unsigned int count;
	struct {
		uint64_t hash; /* of this call and all before */
		int error;
	} calls[];
};

struct fuzzer {
	struct world *world;
	struct arena *arena;
	unsigned int number;
	unsigned int rounds;
	int fences[FENCES];
	struct known_queue queues[QUEUES];
	struct io_uring rings[2]; /* the second polls */
	bool has_rings;
	uint64_t hash;
	int error; /* hashed last; commands have their own */
	struct trace *trace;
	unsigned int calls[ACTIONS], succeeded[ACTIONS];
	unsigned int reads, writes, flushes, refused, moves;
	pthread_t handle;
};

static uint64_t pack(struct known_map map)
{
	return (uint64_t)map.number << 32 | map.length / 4 << 4 | map.context;
}

static struct known_map unpack(uint64_t value)
{
	return (struct known_map){ value >> 32, value & 15, (value & 0xfffffff0) / 4 };
}

static void hash_in(struct fuzzer *f, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++)
		f->hash = (f->hash ^ bytes[i]) * 0x100000001b3ULL;
}

static void hash_error(struct fuzzer *f, int error)
{
	f->error = error;
	hash_in(f, &error, sizeof(error));
}

static bool one_in(unsigned int n)
{
	return !rnd_below(n);
}

static uint64_t boundary(const struct fuzzer *f)
{
	const struct world *world = f->world;
	static const uint64_t list[] = {
		0,	 1,	    2,		3,	    4,		5,	    7,
		8,	 16,	    63,		64,	    511,	512,	    513,
		4092,	 4095,	    4096,	4097,	    8192,	65535,	    65536,
		1 << 20, INT32_MAX, 0x80000000, UINT32_MAX, 1ULL << 32, 1ULL << 63, UINT64_MAX,
		-2ULL,	 -4ULL,	    -512ULL,	-4096ULL,   INT64_MAX,
	};
	const uint64_t others[] = {
		BUFFER,
		BUFFER - GUARD,
		world->w.drive.blocks,
		world->w.drive.blocks - 1,
		world->w.drive.blocks + 1,
		world->safe,
	};
	uint64_t which = rnd_below(ARRAY_SIZE(list) + ARRAY_SIZE(others));

	return which < ARRAY_SIZE(list) ? list[which] : others[which - ARRAY_SIZE(list)];
}

static int any_file(const struct fuzzer *f)
{
	const struct world *world = f->world;

	switch (rnd_below(7)) {
	case 0:
		return world->targets[rnd_below(world->target_count)].fd;
	case 1:
		return world->namespaces[rnd_below(world->namespace_count)];
	case 2:
		return world->contexts[rnd_below(CONTEXTS)];
	case 3:
		return f->fences[rnd_below(FENCES)];
	case 4:
		return f->queues[rnd_below(QUEUES)].fd;
	default:
		return world->files[rnd_below(world->file_count)];
	}
}

static uint64_t any_address(struct fuzzer *f)
{
	struct arena *a = f->arena;
	uint64_t at[] = {
		0,
		8,
		(uintptr_t)a->args,
		(uintptr_t)a->commands,
		(uintptr_t)&a->commands[rnd_below(MOST)],
		(uintptr_t)a->out + rnd_below(64),
		(uintptr_t)a->readonly,
		(uintptr_t)a->readonly - rnd_below(256),
		(uintptr_t)a->edge,
		(uintptr_t)a->hole,
		(uintptr_t)a->hole - rnd_below(256),
		0xffff888000000000ULL,
		0x7ffffffff000ULL,
		0x800000000000ULL,
		-4096ULL,
		-1ULL,
	};

	return at[rnd_below(ARRAY_SIZE(at))];
}

/* One that is there, if there is any; or a number that may not be. */
static struct known_map any_map(const struct fuzzer *f)
{
	struct known_map map;
	unsigned int slot = rnd_below(MAPS);

	for (unsigned int i = 0; i < MAPS; i++) {
		map = unpack(__atomic_load_n(&f->world->maps[(slot + i) % MAPS], __ATOMIC_RELAXED));
		if (map.number)
			break;
	}
	if (one_in(20))
		map.number = one_in(2) ? rnd_below(64) : rnd();
	if (one_in(20))
		map.context = rnd_below(CONTEXTS);
	return map;
}

/* Mostly one of the context. */
static struct known_map any_map_of(const struct fuzzer *f, unsigned int context)
{
	struct known_map map = any_map(f);

	for (unsigned int i = 0; i < 4 && map.context != context; i++)
		map = any_map(f);
	return map;
}

static struct known_queue *any_queue(struct fuzzer *f)
{
	unsigned int slot = rnd_below(QUEUES);

	for (unsigned int i = 0; i < QUEUES; i++)
		if (f->queues[(slot + i) % QUEUES].fd >= 0)
			return &f->queues[(slot + i) % QUEUES];
	return NULL;
}

static uint32_t args_size(unsigned int number)
{
	return number == ENTER_NR ? sizeof(struct nvme_dmabuf_enter) : call_size(number);
}

/* Arguments with which the call can succeed. Returns the context. */
static unsigned int fill_attach(struct fuzzer *f, struct nvme_dmabuf_attach *args)
{
	const struct world *world = f->world;
	const struct target *target = &world->targets[rnd_below(world->target_count)];

	args->dmabuf_fd = target->fd;
	args->ns_fd = world->namespaces[rnd_below(one_in(4) ? world->namespace_count : 3)];
	args->access = 1 + rnd_below(3);
	args->flags = one_in(2) ? NVME_DMABUF_ATTACH_AUTO_REFRESH : 0;
	args->flags |= one_in(20) ? NVME_DMABUF_ATTACH_REQUIRE_P2P : 0;
	args->offset = one_in(2) ? 0 : rnd_below(16 * PAGE / 4) * 4;
	args->length = BUFFER - GUARD - args->offset;
	if (one_in(4))
		args->length = 4 + rnd_below(args->length / 4) * 4;
	return rnd_below(CONTEXTS);
}

static void fill_command(struct fuzzer *f, struct nvme_dmabuf_command *c, struct known_map map)
{
	const struct world *world = f->world;
	uint64_t block = world->w.drive.block, most = map.length / block;
	uint64_t blocks = 1 + rnd_below(one_in(8) ? 64 : 8);

	memset(c, 0, sizeof(*c));
	c->user_data = rnd();
	c->map = map.number;
	if (one_in(16)) {
		c->opcode = NVME_DMABUF_OP_FLUSH;
		return;
	}
	if (blocks > most)
		blocks = most ? most : 1;
	c->opcode = one_in(3) ? NVME_DMABUF_OP_WRITE : NVME_DMABUF_OP_READ;
	c->length = blocks * block;
	c->slba = world->safe + rnd_below(SAFE / block - blocks);
	if (map.length > c->length)
		c->offset = rnd_below((map.length - c->length) / 4 + 1) * 4;
	c->flags = rnd() & rnd() & 3;
	c->timeout_ms = one_in(8) ? 1000 + rnd_below(100000) : 0;
}

static unsigned int fill_submit(struct fuzzer *f, struct nvme_dmabuf_submit *args)
{
	struct known_map map = any_map(f);
	unsigned int context = map.context;

	args->count = 1 + rnd_below(one_in(20) ? 64 : 6);
	if (one_in(500))
		args->count = MOST;
	args->commands = (uintptr_t)f->arena->commands;
	args->completions = (uintptr_t)f->arena->out;
	for (uint32_t i = 0; i < args->count; i++) {
		fill_command(f, &f->arena->commands[i], map);
		if (one_in(4))
			map = any_map(f);
	}
	if (one_in(4))
		args->flags |= NVME_DMABUF_SUBMIT_IMPLICIT_SYNC;
	if (one_in(4)) {
		args->flags |= NVME_DMABUF_SUBMIT_OUT_FENCE;
		args->completions = 0;
	}
	if (one_in(4)) {
		args->flags |= NVME_DMABUF_SUBMIT_IN_FENCE;
		args->in_fence_fd = f->fences[rnd_below(FENCES)];
	}
	return context;
}

static void fill_enter(struct fuzzer *f, const struct known_queue *q,
		       struct nvme_dmabuf_enter *args)
{
	*args = (struct nvme_dmabuf_enter){
		.size = sizeof(*args),
		.flags = one_in(2) ? NVME_DMABUF_ENTER_NOWAIT : 0,
		.commands = (uintptr_t)f->arena->commands,
		.count = rnd_below(9),
		.min_complete = rnd_below(20),
		.timeout_ns = one_in(4) ? 0 : 1 + rnd_below(PATIENCE_NS),
	};
	for (uint32_t i = 0; i < args->count; i++)
		fill_command(f, &f->arena->commands[i], any_map_of(f, q->context));
	/* Fences of an ENTER are not kept, for which error they have depends on the time. */
	if (one_in(4))
		args->flags |= NVME_DMABUF_ENTER_OUT_FENCE;
	if (one_in(8)) {
		args->flags |= NVME_DMABUF_ENTER_IN_FENCE;
		args->in_fence_fd = f->fences[rnd_below(FENCES)];
	}
	/* The first version, which most use. */
	if (one_in(2))
		args->size = NVME_DMABUF_ENTER_SIZE_VER0;
}

static unsigned int fill(struct fuzzer *f, unsigned int number, union call_args *args)
{
	const struct world *world = f->world;
	struct known_map map = any_map(f);
	unsigned int which = one_in(3) ? rnd_below(world->namespace_count) : 0;

	memset(args, 0, sizeof(*args));
	args->size = call_size(number);
	switch (_IO(NVME_DMABUF_IOC_TYPE, number)) {
	case NVME_DMABUF_IOC_NS_INFO:
		args->ns_info.ns_fd = world->namespaces[which];
		break;
	case NVME_DMABUF_IOC_ATTACH:
		return fill_attach(f, &args->attach);
	case NVME_DMABUF_IOC_DETACH:
		args->detach.map = map.number;
		break;
	case NVME_DMABUF_IOC_MAP_INFO:
		args->map_info.map = map.number;
		break;
	case NVME_DMABUF_IOC_PLACEMENT:
		args->placement.map = map.number;
		args->placement.count = rnd_below(one_in(50) ? 100000 : 64);
		args->placement.runs = (uintptr_t)f->arena->out;
		break;
	case NVME_DMABUF_IOC_SUBMIT:
		return fill_submit(f, &args->submit);
	case NVME_DMABUF_IOC_REFRESH:
		args->refresh.map = map.number;
		break;
	case NVME_DMABUF_IOC_EVENTS:
		args->events.events = (uintptr_t)f->arena->out;
		args->events.count = 1 + rnd_below(8);
		break;
	case NVME_DMABUF_IOC_PEER_INFO:
		args->peer_info.ns_fd = world->namespaces[which];
		args->peer_info.pci_bdf = rnd_below(10) << 3;
		break;
	case NVME_DMABUF_IOC_QUEUE:
		args->queue.depth = 1 + rnd_below(8);
		args->queue.flags = one_in(3) ? NVME_DMABUF_QUEUE_POLLED : 0;
		break;
	case NVME_DMABUF_IOC_EXPORT:
		args->export.addr = (uintptr_t)f->arena->out + rnd_below(16) * PAGE;
		args->export.length = (1 + rnd_below(16)) * PAGE;
		args->export.access = 1 + rnd_below(3);
		break;
	}
	return map.context;
}

/* One thing wrong, or at least other, in some bytes that are passed. */
static void mutate(struct fuzzer *f, uint8_t *bytes, size_t length)
{
	size_t at = rnd_below(length / 4) * 4;
	uint64_t value = boundary(f);
	int file = any_file(f);

	switch (rnd_below(5)) {
	case 0:
		bytes[rnd_below(length)] ^= 1 << rnd_below(8);
		break;
	case 1:
		memcpy(bytes + at, &value, 4);
		break;
	case 2:
		at = rnd_below(length / 8) * 8;
		memcpy(bytes + at, &value, 8);
		break;
	case 3:
		memcpy(bytes + at, &file, 4);
		break;
	case 4:
		bytes[rnd_below(length)] = rnd();
		break;
	}
}

static void mutate_files(struct fuzzer *f, union call_args *args, unsigned int number)
{
	switch (_IO(NVME_DMABUF_IOC_TYPE, number)) {
	case NVME_DMABUF_IOC_NS_INFO:
		args->ns_info.ns_fd = any_file(f);
		break;
	case NVME_DMABUF_IOC_PEER_INFO:
		args->peer_info.ns_fd = any_file(f);
		break;
	case NVME_DMABUF_IOC_QUEUE:
		args->queue.flags |= NVME_DMABUF_QUEUE_EVENTFD;
		args->queue.event_fd = any_file(f);
		break;
	case NVME_DMABUF_IOC_ATTACH:
		if (one_in(2))
			args->attach.ns_fd = any_file(f);
		else
			args->attach.dmabuf_fd = any_file(f);
		break;
	case NVME_DMABUF_IOC_SUBMIT:
		args->submit.flags |= NVME_DMABUF_SUBMIT_IN_FENCE;
		args->submit.in_fence_fd = any_file(f);
		break;
	case NVME_DMABUF_IOC_ENTER:
		args->enter.flags |= NVME_DMABUF_ENTER_IN_FENCE;
		args->enter.in_fence_fd = any_file(f);
		break;
	}
}

static void mutate_addresses(struct fuzzer *f, union call_args *args, unsigned int number)
{
	switch (_IO(NVME_DMABUF_IOC_TYPE, number)) {
	case NVME_DMABUF_IOC_PLACEMENT:
		args->placement.runs = any_address(f);
		break;
	case NVME_DMABUF_IOC_EVENTS:
		args->events.events = any_address(f);
		break;
	case NVME_DMABUF_IOC_SUBMIT:
		if (one_in(2))
			args->submit.commands = any_address(f);
		else
			args->submit.completions = any_address(f);
		break;
	case NVME_DMABUF_IOC_ENTER:
		args->enter.commands = any_address(f);
		break;
	case NVME_DMABUF_IOC_EXPORT:
		args->export.addr = any_address(f) & ~(PAGE - 1);
		break;
	}
}

static void mutate_call(struct fuzzer *f, union call_args *args, unsigned int number)
{
	for (unsigned int i = 1 + rnd_below(3); i; i--) {
		switch (rnd_below(6)) {
		case 0:
		case 1:
			mutate(f, args->bytes, args_size(number));
			break;
		case 2:
			mutate_files(f, args, number);
			break;
		case 3:
			mutate_addresses(f, args, number);
			break;
		case 4:
			args->size = one_in(2) ? rnd_below(300) : args_size(number) + 8;
			if (one_in(4))
				args->bytes[rnd_below(sizeof(*args))] = rnd();
			break;
		case 5:
			if (number == SUBMIT_NR || number == ENTER_NR)
				mutate(f, (uint8_t *)&f->arena->commands[rnd_below(6)],
				       sizeof(struct nvme_dmabuf_command));
			break;
		}
	}
}

/* Would it write what must not be written, unless it is refused as it must be? */
static bool is_safe(const struct world *world, const struct nvme_dmabuf_command *c)
{
	uint64_t blocks = c->length / world->w.drive.block;

	return c->opcode != NVME_DMABUF_OP_WRITE || c->length % world->w.drive.block ||
	       c->slba >= world->w.drive.blocks || blocks > world->w.drive.blocks - c->slba ||
	       (c->slba >= world->safe &&
		c->slba + blocks <= world->safe + SAFE / world->w.drive.block);
}

static bool are_in_arena(const struct fuzzer *f, uint64_t at, uint32_t count)
{
	uint64_t first = (uintptr_t)f->arena->commands;
	const size_t size = sizeof(*f->arena->commands);

	return at >= first && !((at - first) % size) && (at - first) / size + count <= MOST;
}

/*
 * Changes what was made up at random so that it destroys nothing that is not
 * ours, and takes no longer than others.
 */
static void make_commands_safe(struct fuzzer *f, __u64 *at, uint32_t count)
{
	const struct world *world = f->world;
	struct nvme_dmabuf_command *commands = f->arena->commands, copy;
	uint64_t first = (uintptr_t)commands, bytes = 0;

	/* More is refused before it is read. */
	if (!count || count > MOST)
		return;
	if (!are_in_arena(f, *at, count)) {
		for (uint32_t i = 0; i < count; i++) {
			struct iovec to = { &copy, sizeof(copy) };
			struct iovec from = { (void *)(*at + i * sizeof(copy)), sizeof(copy) };

			/* Nor what cannot be read as a whole. */
			if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != sizeof(copy))
				return;
			if (!is_safe(world, &copy) || copy.length > 64 * KIB || count > 64) {
				*at = 0;
				return;
			}
		}
		return;
	}
	commands += (*at - first) / sizeof(copy);
	for (uint32_t i = 0; i < count; i++) {
		struct nvme_dmabuf_command *c = &commands[i];

		if (!is_safe(world, c))
			c->slba = world->safe;
		if (c->length <= BUFFER)
			bytes += c->length;
		if (!is_safe(world, c) || (bytes > MOST_BYTES && c->length <= BUFFER))
			c->reserved1 = 1;
	}
}

static const struct target *find_target(const struct world *world, int fd)
{
	for (unsigned int i = 0; i < world->target_count; i++)
		if (world->targets[i].fd == fd)
			return &world->targets[i];
	return NULL;
}

/*
 * How many commands an ENTER submits depends on how fast others end. If one thread's calls
 * are to have the same results again, they must not refresh maps.
 */
static bool is_timely(const struct fuzzer *f, unsigned int context, uint32_t map)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info), .map = map };

	return f->world->threads > 1 ||
	       ioctl(f->world->contexts[context], NVME_DMABUF_IOC_MAP_INFO, &info) ||
	       !(info.out_flags & NVME_DMABUF_MAP_AUTO_REFRESH);
}

/* Takes the completions that there are. */
static void read_ring(struct known_queue *q)
{
	const struct nvme_dmabuf_completion *all = NVME_DMABUF_RING_COMPLETIONS(q->ring), *c;
	uint32_t tail = __atomic_load_n(&q->ring->tail, __ATOMIC_ACQUIRE);

	if (!q->wrong) {
		check(tail - q->ring->head <= q->ring->entries);
		for (uint32_t i = q->ring->head; i != tail; i++) {
			c = &all[i % q->ring->entries];
			check_that(!c->error || command_may_fail(-c->error, c->reason),
				   "ENTER: command: error %d, reason %s", c->error,
				   nvmedmabuf_reason_name(c->reason));
		}
	}
	__atomic_store_n(&q->ring->head, tail, __ATOMIC_RELEASE);
}

/* So that it ends, too: nobody else takes completions, for whose room it may wait. */
static void make_enter_safe(struct fuzzer *f, struct known_queue *q, struct nvme_dmabuf_enter *args)
{
	struct nvme_dmabuf_command *commands = f->arena->commands;
	uint32_t count = args->count;

	/* A ring may have room for more than there is memory for, but then they end there. */
	if (count > MOST) {
		count = 4;
		args->commands = (uintptr_t)commands;
	}
	make_commands_safe(f, &args->commands, count);
	if (are_in_arena(f, args->commands, count)) {
		commands += (args->commands - (uintptr_t)commands) / sizeof(*commands);
		for (uint32_t i = 0; i < count; i++)
			if (!is_timely(f, q->context, commands[i].map))
				commands[i].map = 0;
	} else if (f->world->threads == 1) {
		args->commands = 0;
	}
	if (args->count > MOST) {
		args->commands = (uintptr_t)f->arena->hole - count * sizeof(*commands);
		memcpy((void *)args->commands, commands, count * sizeof(*commands));
	}
	if (args->count && !(args->flags & NVME_DMABUF_ENTER_NOWAIT) &&
	    args->timeout_ns - 1 >= PATIENCE_NS)
		read_ring(q);
}

static void make_attach_safe(struct fuzzer *f, struct nvme_dmabuf_attach *args)
{
	const struct target *target = find_target(f->world, args->dmabuf_fd);
	uint64_t end;

	if (!target || __builtin_add_overflow(args->offset, args->length, &end) ||
	    end > target->size || end <= BUFFER - GUARD)
		return;
	if (args->offset >= BUFFER - GUARD)
		args->offset = 0;
	args->length = BUFFER - GUARD - args->offset;
}

/* Where the call finds its arguments; nearly always where they are whole. */
static uint8_t *place(struct fuzzer *f, unsigned int number, const union call_args *args)
{
	struct arena *a = f->arena;
	size_t there = rnd_below(args_size(number));
	uint8_t *at = a->args + rnd_below(64) * 8;

	switch (rnd_below(64)) {
	case 0:
		at = a->hole - there;
		memcpy(at, args, there);
		return at;
	case 1:
		/* What would be read there was not made safe, but nothing can be written. */
		if (number == ENTER_NR)
			there = offsetof(struct nvme_dmabuf_enter, out_submitted);
		at = a->readonly - there;
		memcpy(at, args, there);
		return at;
	case 2:
		/* What happens to stand there was not made safe. */
		if (number == SUBMIT_NR || number == ENTER_NR || number == ATTACH_NR)
			return a->hole;
		return (uint8_t *)any_address(f);
	default:
		memset(a->args, 0, sizeof(a->args));
		memcpy(at, args, sizeof(*args));
		return at;
	}
}

static void remember_map(struct fuzzer *f, unsigned int context,
			 const struct nvme_dmabuf_attach *args)
{
	struct world *world = f->world;
	unsigned int count = world->target_count;
	/* Of each buffer so few that what watches the use of the DMA API can count them. */
	unsigned int slot = find_target(world, args->dmabuf_fd) - world->targets +
			    count * rnd_below(MAPS / count);
	uint64_t value = pack((struct known_map){ args->out_map, context, args->length });
	struct known_map old =
		unpack(__atomic_exchange_n(&world->maps[slot], value, __ATOMIC_RELAXED));
	struct nvme_dmabuf_detach detach = { .size = sizeof(detach), .map = old.number };

	/* Somebody else may have detached it in the meantime. */
	if (old.number && ioctl(world->contexts[old.context], NVME_DMABUF_IOC_DETACH, &detach))
		check_eq(errno, ENOENT);
}

static void forget_map(struct fuzzer *f, unsigned int context, uint32_t number)
{
	for (unsigned int i = 0; i < MAPS; i++) {
		uint64_t value = __atomic_load_n(&f->world->maps[i], __ATOMIC_RELAXED);
		struct known_map map = unpack(value);

		if (map.number == number && map.context == context)
			__atomic_compare_exchange_n(&f->world->maps[i], &value, 0, false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
}

static void remember_fence(struct fuzzer *f, int fd)
{
	int *fence = &f->fences[rnd_below(FENCES)];

	check(fd >= 0);
	if (*fence >= 0)
		check_sys(close(*fence));
	*fence = fd;
}

static void check_completion(struct fuzzer *f, const struct nvme_dmabuf_command *command,
			     const struct nvme_dmabuf_completion *c)
{
	check_eq(c->user_data, command->user_data);
	if (c->error || c->status) {
		check_that(!c->error || command_may_fail(-c->error, c->reason),
			   "command: error %d, reason %s", c->error,
			   nvmedmabuf_reason_name(c->reason));
		check(c->bytes < command->length || !command->length || c->status);
		f->refused++;
		return;
	}
	check_eq(c->bytes, command->length);
	f->reads += command->opcode == NVME_DMABUF_OP_READ;
	f->writes += command->opcode == NVME_DMABUF_OP_WRITE;
	f->flushes += command->opcode == NVME_DMABUF_OP_FLUSH;
}

static void check_completions(struct fuzzer *f, const struct nvme_dmabuf_submit *args)
{
	const struct nvme_dmabuf_completion *c = (const void *)f->arena->out;
	const struct nvme_dmabuf_command *commands;

	if (args->completions != (uintptr_t)c || args->commands < (uintptr_t)f->arena->commands ||
	    args->commands + args->count * sizeof(*commands) > (uintptr_t)f->arena->out ||
	    args->commands % 8)
		return;
	commands = (const void *)args->commands;
	check_eq(args->out_completed, args->count);
	for (uint32_t i = 0; i < args->count; i++, c++, commands++) {
		hash_in(f, &c->error, sizeof(c->error) + sizeof(c->status) + sizeof(c->reason));
		check_completion(f, commands, c);
	}
}

static void close_queue(struct known_queue *q)
{
	if (q->fd < 0)
		return;
	check_sys(munmap(q->ring, q->bytes));
	check_sys(close(q->fd));
	q->fd = -1;
}

/* It lives for some calls, in whatever state they leave it. */
static void remember_queue(struct fuzzer *f, unsigned int context,
			   const struct nvme_dmabuf_queue *args)
{
	struct known_queue *q = &f->queues[rnd_below(QUEUES)];

	check(args->out_queue_fd >= 0);
	close_queue(q);
	*q = (struct known_queue){
		.fd = args->out_queue_fd,
		.context = context,
		.bytes = args->out_ring_bytes,
	};
	q->ring = mmap(NULL, q->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	check_that(q->ring != MAP_FAILED, "mmap of a ring: %m");
	check_eq(q->ring->entries, args->out_ring_entries);
}

/* What follows from what a call returned. */
static void settle(struct fuzzer *f, unsigned int number, unsigned int context, int error,
		   union call_args *args)
{
	uint32_t reason = call_reason(number, args);

	/* If the arguments cannot be written, neither can the reason. */
	if (error == EFAULT)
		reason = 0;
	check_that(!error || call_may_fail(number, error, reason), "%s: %s, %s", call_name(number),
		   strerrorname_np(error), nvmedmabuf_reason_name(reason));
	f->calls[number]++;
	f->succeeded[number] += !error;
	if (!error && number == ATTACH_NR) {
		check_eq(args->attach.out_reason, NVME_DMABUF_REASON_NONE);
		remember_map(f, context, &args->attach);
	} else if (!error && number == DETACH_NR) {
		forget_map(f, context, args->detach.map);
	} else if (!error && number == SUBMIT_NR) {
		if (args->submit.flags & NVME_DMABUF_SUBMIT_OUT_FENCE)
			remember_fence(f, args->submit.out_fence_fd);
		else
			check_completions(f, &args->submit);
	} else if (!error && number == QUEUE_NR) {
		remember_queue(f, context, &args->queue);
	} else if (!error && number == EXPORT_NR) {
		check(args->export.out_dmabuf_fd > 2);
		check_sys(close(args->export.out_dmabuf_fd));
	}
}

static void call_at_random(struct fuzzer *f, unsigned int number)
{
	struct world *world = f->world;
	unsigned long request = _IO(NVME_DMABUF_IOC_TYPE, number);
	union call_args args;
	unsigned int context;
	uint8_t *at;
	int error;

	context = fill(f, number, &args);
	if (one_in(2))
		mutate_call(f, &args, number);
	if (number == SUBMIT_NR)
		make_commands_safe(f, &args.submit.commands, args.submit.count);
	if (number == ATTACH_NR)
		make_attach_safe(f, &args.attach);
	at = place(f, number, &args);
	error = ioctl(world->contexts[context], request, at) ? errno : 0;
	hash_in(f, &number, sizeof(number));
	hash_error(f, error);
	if (error == EFAULT || at < f->arena->args || at + sizeof(args) > f->arena->hole)
		memset(&args, 0, sizeof(args));
	else
		memcpy(&args, at, sizeof(args));
	settle(f, number, context, error, &args);
}

static void enter_at_random(struct fuzzer *f)
{
	struct known_queue *q = any_queue(f);
	union call_args args = { .size = 0 };
	struct nvme_dmabuf_enter told;
	uint8_t *at;
	int error;

	if (!q)
		return;
	fill_enter(f, q, &args.enter);
	if (one_in(2))
		mutate_call(f, &args, ENTER_NR);
	if (one_in(4)) {
		read_ring(q);
	} else if (one_in(16)) {
		q->wrong = true;
		__atomic_store_n(&q->ring->head, (uint32_t)rnd(), __ATOMIC_RELEASE);
	}
	make_enter_safe(f, q, &args.enter);
	at = place(f, ENTER_NR, &args);
	error = ioctl(q->fd, NVME_DMABUF_IOC_ENTER, at) ? errno : 0;
	check_that(!error || enter_may_fail(error), "ENTER: %s", strerrorname_np(error));
	f->calls[ENTER_NR]++;
	f->succeeded[ENTER_NR] += !error;
	/* The rest depends on how fast commands end; nor must another call read it there. */
	if (error == EINVAL || error == E2BIG)
		hash_error(f, error);
	if (at >= (uint8_t *)f->arena->commands)
		return;
	memcpy(&told, at, sizeof(told));
	memcpy(at, &args.enter, sizeof(told));
	if (error)
		return;
	if (told.flags & NVME_DMABUF_ENTER_OUT_FENCE) {
		struct pollfd p = { .fd = told.out_fence_fd, .events = POLLIN };

		check(told.out_submitted);
		check_eq(poll(&p, 1, 60000), 1);
		check_sys(close(told.out_fence_fd));
	}
	check(told.out_submitted <= told.count);
	check(q->wrong || told.out_completed <= q->ring->entries);
}

/*
 * Something else in the entry than a command needs, but for what would make it another
 * operation of io_uring's, or one that does not complete: Linux 6.12 never issues an entry
 * that waits for those before it, if others around it are refused when they are submitted.
 */
static void mutate_entry(struct fuzzer *f, struct io_uring_sqe *sqe, bool is_alone)
{
	/* Reserved, or for other operations. */
	static const uint8_t others[] = { 2, 12, 14, 16, 20, 24, 26, 40, 42, 44, 46 };
	uint64_t value = boundary(f);

	switch (rnd_below(5)) {
	case 0:
		sqe->flags = rnd() & ~IOSQE_CQE_SKIP_SUCCESS;
		if (!is_alone)
			sqe->flags &= ~IOSQE_IO_DRAIN;
		break;
	case 1:
		sqe->rw_flags = one_in(2) ? 1U << rnd_below(32) : (uint32_t)value;
		break;
	case 2:
		sqe->cmd_op = one_in(2) ? sqe->cmd_op ^ 1U << rnd_below(32) : (uint32_t)value;
		break;
	case 3:
		sqe->fd = any_file(f);
		break;
	case 4:
		memcpy((uint8_t *)sqe + others[rnd_below(ARRAY_SIZE(others))], &value, 2);
		break;
	}
}

/* Of one thread one command at a time: in which order more are done is not known. */
static void uring_at_random(struct fuzzer *f)
{
	struct io_uring *ring = &f->rings[one_in(3)];
	struct nvme_dmabuf_command *commands = f->arena->commands;
	unsigned int count = f->world->threads > 1 ? 1 + rnd_below(ENTRIES) : 1;
	unsigned int contexts[ENTRIES];
	bool is_other[ENTRIES + 1] = { false };
	__u64 at = (uintptr_t)commands;
	struct nvme_dmabuf_completion c;

	if (!f->has_rings)
		return;
	for (unsigned int i = 0; i < count; i++) {
		struct known_map map = any_map(f);

		contexts[i] = map.context;
		fill_command(f, &commands[i], map);
		if (one_in(3))
			mutate(f, (uint8_t *)&commands[i], sizeof(*commands));
		/* By which it is found again. */
		commands[i].user_data = i;
	}
	make_commands_safe(f, &at, count);
	for (unsigned int i = 0; i < count; i++) {
		struct io_uring_sqe *sqe =
			ring_prepare(ring, f->world->contexts[contexts[i]], &commands[i]);

		if (!one_in(3))
			continue;
		mutate_entry(f, sqe, count == 1);
		is_other[i] = true;
		/* If it fails, so does the next. */
		if (sqe->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK))
			is_other[i + 1] = true;
	}
	check_eq(io_uring_submit(ring), count);
	for (unsigned int i = 0; i < count; i++) {
		ring_wait(ring, &c);
		check(c.user_data < count);
		hash_in(f, &c.error, sizeof(c.error) + sizeof(c.status) + sizeof(c.reason));
		f->calls[URING]++;
		f->succeeded[URING] += !c.error && !c.status;
		/* Else io_uring may have refused it, or another file have taken it. */
		if (!is_other[c.user_data])
			check_completion(f, &commands[c.user_data], &c);
		commands[c.user_data].user_data = count;
	}
	check_eq(io_uring_cq_ready(ring), 0);
}

static void poll_at_random(struct fuzzer *f)
{
	struct known_queue *q = any_queue(f);
	struct pollfd p[2] = {
		{ .fd = f->world->contexts[rnd_below(CONTEXTS)], .events = rnd() },
		{ .fd = q ? q->fd : -1, .events = rnd() },
	};

	check_sys(poll(p, 2, one_in(4)));
	check(!(p[0].revents & ~(POLLPRI & p[0].events)));
	check(!(p[1].revents & ~((POLLIN | POLLRDNORM) & p[1].events)));
	hash_in(f, &p[0].revents, sizeof(p[0].revents));
	f->calls[POLL]++;
	f->succeeded[POLL] += p[0].revents || p[1].revents;
}

/* A queue's ring can be mapped, or a part of it; nothing else. */
static void mmap_at_random(struct fuzzer *f)
{
	struct known_queue *q = one_in(8) ? NULL : any_queue(f);
	uint64_t bytes = q ? q->bytes : 4 * PAGE;
	uint64_t offset = one_in(2) ? 0 : rnd_below(bytes / PAGE + 2) * PAGE;
	uint64_t length = 1 + rnd_below(bytes);
	int prot = rnd_below(4), flags = one_in(4) ? MAP_PRIVATE : MAP_SHARED, error;
	bool good;
	void *p;

	if (one_in(4))
		offset = one_in(2) ? boundary(f) : boundary(f) * PAGE;
	if (one_in(4))
		length = boundary(f);
	good = q && flags == MAP_SHARED && !(offset % PAGE) && length && offset < bytes &&
	       length <= bytes - offset;
	p = mmap(NULL, length, prot, flags, q ? q->fd : f->world->contexts[rnd_below(CONTEXTS)],
		 offset);
	error = p == MAP_FAILED ? errno : 0;
	check_that(good ? !error :
			  error == EINVAL || error == ENODEV || error == EOVERFLOW ||
				   error == ENOMEM,
		   "mmap of %llu bytes at %llu: %s", (unsigned long long)length,
		   (unsigned long long)offset, error ? strerrorname_np(error) : "done");
	hash_error(f, error);
	f->calls[MMAP]++;
	f->succeeded[MMAP] += !error;
	if (error)
		return;
	/* All of it is there. */
	if (prot & PROT_READ)
		for (uint64_t at = 0; at < length; at += PAGE)
			(void)*((volatile uint8_t *)p + at);
	check_sys(munmap(p, length));
}

/* A call that there is not: of contexts ENTER is one, of queues all others are. */
static void call_unknown(struct fuzzer *f)
{
	struct known_queue *q = one_in(4) ? any_queue(f) : NULL;
	unsigned int number = ENTER_NR + (q ? 1 : 0), size = 1 + rnd_below(255);
	int fd = q ? q->fd : f->world->contexts[rnd_below(CONTEXTS)];
	unsigned long request;

	number = q && one_in(2) ? rnd_below(QUEUE_NR) : number + rnd_below(256 - number);
	if (!q && number == EXPORT_NR)
		number++;
	request = one_in(2) ? _IO(NVME_DMABUF_IOC_TYPE, number) :
			      _IOC(rnd_below(4), NVME_DMABUF_IOC_TYPE, rnd_below(256), size);
	check_eq(ioctl(fd, request, f->arena->args), -1);
	check_eq(errno, ENOTTY);
	f->calls[UNKNOWN]++;
}

/* What the exporter's fences will have signalled soon, if there are any. */
static void remember_foreign_fence(struct fuzzer *f, const struct target *target)
{
	struct dma_buf_export_sync_file args = { .flags = 1 + rnd_below(3) };

	/* Linux 5.19 and older have no such call. */
	if (!ioctl(target->fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args))
		remember_fence(f, args.fd);
}

/* What exporters do: move, revoke, refuse, and use the buffer themselves. */
static void exporter_at_random(struct fuzzer *f)
{
	static const uint32_t ways[] = { EXPORTER_MOVE_COPY, EXPORTER_MOVE_REVOKE,
					 EXPORTER_MOVE_RESTORE | EXPORTER_MOVE_COPY,
					 EXPORTER_MOVE_RESTORE, EXPORTER_MOVE_RESTORE };
	static const int errors[] = { EAGAIN, EIO, ENOMEM, EPERM, ENODEV, EOPNOTSUPP };
	struct world *world = f->world;
	struct target *target = &world->targets[rnd_below(world->target_count)];
	struct exporter_move move;
	int result;

	if (!target->is_exported)
		return;
	switch (rnd_below(4)) {
	case 0:
		exported_fail(&target->exported, rnd_below(3),
			      errors[rnd_below(ARRAY_SIZE(errors))], 1);
		break;
	case 1:
		exported_fence(&target->exported, rnd_below(3), 1 + rnd_below(3));
		if (one_in(2))
			remember_foreign_fence(f, target);
		break;
	default:
		if (!target->moves)
			break;
		result = exported_move(&target->exported,
				       ways[rnd_below(ARRAY_SIZE(ways))] | EXPORTER_MOVE_FORCE,
				       &move);
		check_eq(result, 0);
		check_eq(move.out_left, 0);
		if (!(f->moves++ % 64))
			exported_check_damage(&target->exported);
	}
}

static const char *action_name(unsigned int number)
{
	static const char *const names[ACTIONS] = {
		[ENTER_NR] = "ENTER",  [UNKNOWN] = "unknown call",
		[URING] = "URING_CMD", [POLL] = "poll",
		[MMAP] = "mmap",       [EXPORTER] = "exporter",
	};

	return names[number] ?: call_name(number);
}

/* Remembers what this call came to; fails if it came to something else before. */
static void trace_call(struct fuzzer *f, unsigned int at, unsigned int number)
{
	struct trace *trace = f->trace;

	if (!trace || at >= trace->count)
		return;
	if (trace->again)
		check_that(
			trace->calls[at].hash == f->hash,
			"the same seed, but not the same results: call %u, %s: %s, and before %s",
			at, action_name(number), strerrorname_np(f->error),
			strerrorname_np(trace->calls[at].error));
	trace->calls[at].hash = f->hash;
	trace->calls[at].error = f->error;
}

static void *fuzzer_run(void *arg)
{
	static const uint8_t weights[ACTIONS] = {
		[_IOC_NR(NVME_DMABUF_IOC_INFO)] = 2,
		[_IOC_NR(NVME_DMABUF_IOC_NS_INFO)] = 3,
		[_IOC_NR(NVME_DMABUF_IOC_ATTACH)] = 9,
		[_IOC_NR(NVME_DMABUF_IOC_DETACH)] = 4,
		[_IOC_NR(NVME_DMABUF_IOC_MAP_INFO)] = 6,
		[_IOC_NR(NVME_DMABUF_IOC_PLACEMENT)] = 6,
		[_IOC_NR(NVME_DMABUF_IOC_SUBMIT)] = 23,
		[_IOC_NR(NVME_DMABUF_IOC_REFRESH)] = 7,
		[_IOC_NR(NVME_DMABUF_IOC_EVENTS)] = 5,
		[_IOC_NR(NVME_DMABUF_IOC_PEER_INFO)] = 2,
		[_IOC_NR(NVME_DMABUF_IOC_QUEUE)] = 3,
		[ENTER_NR] = 10,
		[EXPORT_NR] = 3,
		[UNKNOWN] = 3,
		[URING] = 4,
		[POLL] = 2,
		[MMAP] = 2,
		[EXPORTER] = 6,
	};
	struct fuzzer *f = arg;

	rnd_start(f->number + 1);
	for (unsigned int i = 0; i < f->rounds; i++) {
		unsigned int at = rnd_below(100), number = 0;

		while (at >= weights[number])
			at -= weights[number++];
		switch (number) {
		case ENTER_NR:
			enter_at_random(f);
			break;
		case UNKNOWN:
			call_unknown(f);
			break;
		case URING:
			uring_at_random(f);
			break;
		case POLL:
			poll_at_random(f);
			break;
		case MMAP:
			mmap_at_random(f);
			break;
		case EXPORTER:
			exporter_at_random(f);
			break;
		default:
			call_at_random(f, number);
		}
		trace_call(f, i, number);
	}
	return NULL;
}

static void fuzzer_open(struct fuzzer *f, struct world *world, unsigned int number,
			unsigned int rounds)
{
	/*
	 * Far from where the kernel puts things, and so that no few changes of one
	 * thread's address make another's.
	 */
	void *where = (void *)(0x200000000000ULL + number * 0x010101000000ULL);

	*f = (struct fuzzer){ .world = world, .number = number, .rounds = rounds };
	f->arena = mmap(where, sizeof(*f->arena), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	check(f->arena == where);
	memset(f->arena->readonly, 0xff, PAGE);
	check_sys(mprotect(f->arena->readonly, PAGE, PROT_READ));
	check_sys(mprotect(f->arena->hole, PAGE, PROT_NONE));
	for (int i = 0; i < FENCES; i++)
		f->fences[i] = -1;
	for (int i = 0; i < QUEUES; i++)
		f->queues[i].fd = -1;
	/* It can be compiled out, or disabled by a sysctl. */
	f->has_rings = !io_uring_queue_init(ENTRIES, &f->rings[0], RING_FLAGS);
	if (f->has_rings)
		check_eq(io_uring_queue_init(ENTRIES, &f->rings[1],
					     RING_FLAGS | IORING_SETUP_IOPOLL),
			 0);
}

static void fuzzer_close(struct fuzzer *f)
{
	for (int i = 0; i < FENCES; i++)
		if (f->fences[i] >= 0)
			check_sys(close(f->fences[i]));
	for (int i = 0; i < QUEUES; i++)
		close_queue(&f->queues[i]);
	for (int i = 0; i < 2 && f->has_rings; i++)
		io_uring_queue_exit(&f->rings[i]);
	check_sys(munmap(f->arena, sizeof(*f->arena)));
}

/* The target that the caller has just made. */
static void add_target(struct world *world, bool moves)
{
	struct target *target = &world->targets[world->target_count++];

	target->fd = target->exported.fd;
	target->size = target->exported.size;
	target->is_exported = true;
	target->moves = moves;
}

static void add_exported(struct world *world, uint32_t flags)
{
	exported_create_pages(&world->targets[world->target_count].exported, BUFFER, flags);
	add_target(world, flags & EXPORTER_DYNAMIC);
}

/* One whose file gives access in one direction only. */
static void add_mode(struct world *world, uint32_t access)
{
	static const struct exporter_segment segments[] = {
		{ .length = BUFFER / 2 },
		{ .length = BUFFER / 2 },
	};
	struct exporter_create create = { .open_flags = access };

	check_eq(exported_try(&world->targets[world->target_count].exported, create, segments,
			      ARRAY_SIZE(segments)),
		 0);
	add_target(world, false);
}

/* A peer's memory, if there is one. */
static void add_bar(struct world *world)
{
	struct pci_address address;

	if (!pci_find(0x1af4, 0x1110, 0, &address))
		return;
	exported_create_bar(&world->targets[world->target_count].exported, 2 * BUFFER, 0);
	add_target(world, false);
}

static void add_buffer(struct world *world)
{
	struct target *target = &world->targets[world->target_count++];

	buffer_alloc(&target->buffer, exporter_any(), BUFFER);
	target->fd = target->buffer.fd;
	target->size = target->buffer.size;
	buffer_begin_cpu(&target->buffer);
	memset(target->buffer.addr, 0x3c, target->size);
	buffer_end_cpu(&target->buffer);
}

/* Namespaces that must not be written to are not open for that. */
static void open_namespaces(struct world *world)
{
	static const char *const others[] = {
		"PLAIN4K", "SMALLMDTS", "METAINT", "METASEP", "PIINT",
		"PISEP",   "ZONED",	"MPATH",   "VBLK",
	};
	int *to = world->namespaces, disk = world->w.drive.fd;
	char path[128];

	partition_change(disk, BLKPG_DEL_PARTITION, PARTITION, 0, 0);
	check_eq(partition_change(disk, BLKPG_ADD_PARTITION, PARTITION, SHIFT,
				  (world->w.drive.blocks * world->w.drive.block - SHIFT) &
					  ~(MIB - 1)),
		 0);
	snprintf(path, sizeof(path), "%sp%d", world->w.drive.path, PARTITION);
	*to++ = disk;
	wait_until((*to = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	to++;
	*to++ = check_sys(open(world->w.drive.path, O_RDONLY | O_CLOEXEC));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		const char *other;

		snprintf(path, sizeof(path), "NVME_DMABUF_NS_%s", others[i]);
		other = getenv(path);
		*to = other ? open(other, O_RDONLY | O_CLOEXEC) : -1;
		if (*to >= 0)
			to++;
	}
	world->namespace_count = to - world->namespaces;
}

/* A fence of somebody else's that has failed, where the kernel makes such for tests. */
static int open_failed_fence(void)
{
	struct {
		uint32_t value;
		char name[32];
		int32_t fence;
	} args = { .value = 1, .fence = -1 };
	int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);

	if (timeline < 0)
		return -1;
	check_sys(ioctl(timeline, _IOWR('W', 0, args), &args));
	/* Its last fences fail then. */
	check_sys(close(timeline));
	return args.fence;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int open_ring(void)
{
	struct io_uring_params params = { .flags = 0 };

	return syscall(SYS_io_uring_setup, 1, &params);
}

static void open_files_of_all_kinds(struct world *world)
{
	int *to = world->files, pair[2];

	check_sys(pipe2(pair, O_CLOEXEC));
	*to++ = pair[0];
	*to++ = pair[1];
	check_sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	*to++ = pair[0];
	*to++ = pair[1];
	*to++ = check_sys(open("/dev/null", O_RDWR | O_CLOEXEC));
	*to++ = check_sys(open("/dev/zero", O_RDONLY | O_CLOEXEC));
	*to++ = check_sys(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	*to++ = check_sys(open("/", O_PATH | O_CLOEXEC));
	*to++ = check_sys(open("/", O_DIRECTORY | O_CLOEXEC));
	*to++ = check_sys(open(world->w.drive.path, O_PATH | O_CLOEXEC));
	*to++ = check_sys(open(EXPORTER_DEVICE, O_RDWR | O_CLOEXEC));
	*to = open("/dev/nvme0", O_RDONLY | O_CLOEXEC);
	to += *to >= 0;
	*to = eventfd(0, EFD_CLOEXEC);
	to += *to >= 0;
	*to = epoll_create1(EPOLL_CLOEXEC);
	to += *to >= 0;
	*to = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	to += *to >= 0;
	*to++ = check_sys(memfd_create("fuzz", MFD_CLOEXEC));
	*to = open_signals();
	to += *to >= 0;
	*to = syscall(SYS_pidfd_open, getpid(), 0);
	to += *to >= 0;
	*to = open_ring();
	to += *to >= 0;
	*to = open_failed_fence();
	to += *to >= 0;
	*to = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
	to += *to >= 0;
	*to = open("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);
	to += *to >= 0;
	/* Closed, and never open. */
	*to = check_sys(dup(1));
	check_sys(close(*to++));
	*to++ = -1;
	*to++ = INT32_MIN;
	*to++ = INT32_MAX;
	*to++ = AT_FDCWD;
	*to++ = 1 << 20;
	world->file_count = to - world->files;
}

/* The blocks that must not change: around the window, and at both ends. */
static void guards_open(struct world *world)
{
	const struct drive *drive = &world->w.drive;
	const uint64_t n = MIB / drive->block;
	const uint64_t at[4] = { 0, drive->blocks - n, world->w.first - n,
				 world->w.first + world->w.count };

	for (int i = 0; i < 4; i++) {
		world->guard_at[i] = at[i];
		world->guards[i] = pages_alloc(MIB);
		rnd_fill(world->guards[i], MIB);
		drive_write(drive, at[i], world->guards[i], MIB);
	}
}

static void guards_verify(struct world *world)
{
	uint8_t *actual = pages_alloc(MIB);

	for (int i = 0; i < 4; i++) {
		drive_read(&world->w.drive, world->guard_at[i], actual, MIB);
		compare("namespace outside the window", actual, world->guards[i], MIB,
			world->guard_at[i] * world->w.drive.block);
	}
	munmap(actual, MIB);
}

static void world_open(struct world *world)
{
	uint64_t n;

	memset(world, 0, sizeof(*world));
	require_erase();
	wire_open(&world->w, main_drive(), 2 * SAFE);
	/* Not too near to the guards at the ends. */
	n = 4 * MIB / world->w.drive.block;
	world->w.first = n + rnd_below(world->w.drive.blocks - 3 * n);
	world->safe = world->w.first;
	guards_open(world);
	open_namespaces(world);
	for (int i = 0; i < CONTEXTS; i++)
		world->contexts[i] = device_open();
	add_exported(world, 0);
	add_exported(world, EXPORTER_DYNAMIC);
	add_exported(world, EXPORTER_DYNAMIC);
	add_buffer(world);
	add_mode(world, O_RDONLY);
	add_mode(world, O_WRONLY);
	add_bar(world);
	open_files_of_all_kinds(world);
}

static void target_verify(const struct target *target)
{
	uint8_t *actual = pages_alloc(GUARD), *expected = pages_alloc(GUARD);
	uint64_t at = BUFFER - GUARD;

	if (target->is_exported) {
		/* A worker of io_uring's may still have a context's file. */
		wait_until(!exported_query(&target->exported).out_attached);
		check_unused(&target->exported);
		exported_check_damage(&target->exported);
		exported_read(&target->exported, at, actual, GUARD);
		memcpy(expected, target->exported.mirror + at, GUARD);
	} else {
		buffer_begin_cpu(&target->buffer);
		memcpy(actual, target->buffer.addr + at, GUARD);
		buffer_end_cpu(&target->buffer);
		memset(expected, 0x3c, GUARD);
	}
	compare("end of a dma-buf", actual, expected, GUARD, at);
	munmap(actual, GUARD);
	munmap(expected, GUARD);
}

/* All as it should be, after the fuzzers' own files were closed. */
static void world_close(struct world *world, unsigned int files, int next)
{
	uint32_t map, reason;
	struct exported *b;

	check_eq(open_files(), files);
	check_eq(next_file(), next);
	for (int i = 0; i < CONTEXTS; i++)
		check_sys(close(world->contexts[i]));
	for (unsigned int i = 0; i < world->target_count; i++)
		target_verify(&world->targets[i]);
	guards_verify(world);

	/* And all works. What commands have written is not known. */
	drive_read(&world->w.drive, world->w.first, world->w.disk, 2 * SAFE);
	b = &world->targets[1].exported;
	for (uint32_t what = 0; what < 3; what++)
		exported_fail(b, what, EIO, 0);
	check_eq(exported_move(b, EXPORTER_MOVE_RESTORE, NULL), 0);
	exported_read(b, 0, b->mirror, b->bytes);
	check_eq(wire_attach(&world->w, b, 0, b->bytes, &map, &reason), 0);
	wire_transfers(&world->w, b, map, 0, b->bytes, 0, 8);
	guards_verify(world);

	check_sys(close(world->namespaces[1]));
	check_eq(partition_change(world->w.drive.fd, BLKPG_DEL_PARTITION, PARTITION, 0, 0), 0);
}

static void report(const struct fuzzer *fuzzers, unsigned int count)
{
	unsigned int reads = 0, writes = 0, flushes = 0, refused = 0, moves = 0;

	for (unsigned int number = 0; number < EXPORTER; number++) {
		const char *name = action_name(number);
		unsigned int calls = 0, succeeded = 0;

		if (!name)
			continue;
		for (unsigned int i = 0; i < count; i++) {
			calls += fuzzers[i].calls[number];
			succeeded += fuzzers[i].succeeded[number];
		}
		note("%-12s %8u calls, %8u succeeded", name, calls, succeeded);
		if (number != UNKNOWN && (number != URING || fuzzers[0].has_rings))
			check_that(succeeded, "%s never succeeded", name);
	}
	for (unsigned int i = 0; i < count; i++) {
		reads += fuzzers[i].reads;
		writes += fuzzers[i].writes;
		flushes += fuzzers[i].flushes;
		refused += fuzzers[i].refused;
		moves += fuzzers[i].moves;
	}
	note("%u reads, %u writes, %u flushes done, %u commands refused; %u moves", reads, writes,
	     flushes, refused, moves);
	check(reads && writes && flushes && refused);
}

/* Returns a hash of calls and results. */
static uint64_t run(unsigned int threads, unsigned int calls, struct trace *trace)
{
	static struct fuzzer fuzzers[THREADS];
	static struct world world;
	unsigned int files;
	int next;

	rnd_start(0);
	world_open(&world);
	world.threads = threads;
	files = open_files();
	next = next_file();
	for (unsigned int i = 0; i < threads; i++)
		fuzzer_open(&fuzzers[i], &world, i, calls / threads);
	if (threads == 1) {
		fuzzers[0].trace = trace;
		fuzzer_run(&fuzzers[0]);
	} else {
		for (unsigned int i = 0; i < threads; i++)
			check_eq(pthread_create(&fuzzers[i].handle, NULL, fuzzer_run, &fuzzers[i]),
				 0);
		for (unsigned int i = 0; i < threads; i++)
			check_eq(pthread_join(fuzzers[i].handle, NULL), 0);
	}
	report(fuzzers, threads);
	for (unsigned int i = 0; i < threads; i++)
		fuzzer_close(&fuzzers[i]);
	world_close(&world, files, next);
	return fuzzers[0].hash;
}

static unsigned int total_calls(void)
{
	const char *given = getenv("FUZZ_CALLS");
	unsigned long calls = given ? strtoul(given, NULL, 0) : 0;

	return calls ? calls : scaled(20000);
}

static void two_threads(const void *arg)
{
	(void)arg;
	run(THREADS, total_calls() / 5, NULL);
}

/* Some of the calls, and then all, in processes of their own. */
static void one_thread(const void *arg)
{
	unsigned int all = total_calls(), first = 1 + all / 10;
	struct trace *trace;
	int status;

	(void)arg;
	rnd_start(0);
	trace = mmap(NULL, sizeof(*trace) + first * sizeof(trace->calls[0]), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(trace != MAP_FAILED);
	trace->count = first;
	for (int i = 0; i < 2; i++) {
		pid_t child = check_sys(fork());

		if (!child) {
			uint64_t hash = run(1, i ? all : first, trace);

			note("hash of %u calls and results: %016llx", i ? all : first,
			     (unsigned long long)hash);
			_exit(0);
		}
		check_eq(check_sys(waitpid(child, &status, 0)), child);
		check_eq(status, 0);
		trace->again = true;
	}
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	tap_add(one_thread, NULL, "one thread, the same calls again");
	tap_add(two_threads, NULL, "two threads");
	return tap_run(argc, argv);
}
