// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test moves data between a drive and another PCI device's memory, which
 * vfio-pci exports and takes back: as the device's memory is disabled, as it is
 * reset, as it is closed, as its user dies. Nobody waits for long.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"
#include "line.h"
#include "p2p.h"
#include "qmp.h"
#include "ring.h"
#include "slow.h"

#define SIZE   P2P_SIZE
#define WINDOW P2P_WINDOW

/* Whoever takes memory back waits for commands in flight, and not much longer. */
#define LIMIT_MS 30000

/** struct way - how commands get to the drive; @flags: of the queue, or of the ring's setup */
struct way {
	enum { SUBMIT, QUEUE, URING } by;
	uint32_t flags;
	const char *name;
};

static const struct way ways[] = {
	{ SUBMIT, 0, "SUBMIT" },
	{ QUEUE, 0, "a queue" },
	{ QUEUE, NVME_DMABUF_QUEUE_POLLED, "a polled queue" },
	{ URING, 0, "io_uring" },
	{ URING, IORING_SETUP_IOPOLL, "io_uring that polls" },
};

struct channel {
	const struct way *way;
	struct nvmedmabuf *ctx;
	struct line line;
	struct io_uring ring;
};

static void channel_open(struct channel *ch, const struct way *way, struct nvmedmabuf *ctx,
			 uint32_t depth)
{
	ch->way = way;
	ch->ctx = ctx;
	if (way->by == QUEUE)
		line_open(&ch->line, nvmedmabuf_fd(ctx), depth, way->flags, 0);
	else if (way->by == URING)
		ring_open(&ch->ring, depth, way->flags);
}

static void channel_close(struct channel *ch)
{
	if (ch->way->by == QUEUE)
		line_close(&ch->line);
	else if (ch->way->by == URING)
		io_uring_queue_exit(&ch->ring);
}

/* Not by SUBMIT, which does not return before they are done. */
static void channel_start(struct channel *ch, const struct nvme_dmabuf_command *commands,
			  uint32_t count)
{
	if (ch->way->by == QUEUE) {
		line_submit(&ch->line, commands, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		ring_prepare(&ch->ring, nvmedmabuf_fd(ch->ctx), &commands[i]);
	check_eq(io_uring_submit(&ch->ring), count);
}

/* Whose user_data are their places. */
static void channel_end(struct channel *ch, struct nvme_dmabuf_completion *completions,
			uint32_t count)
{
	struct nvme_dmabuf_completion c;

	if (ch->way->by == QUEUE)
		line_wait(&ch->line, count);
	for (uint32_t i = 0; i < count; i++) {
		if (ch->way->by == QUEUE)
			check(line_next(&ch->line, &c));
		else
			ring_wait(&ch->ring, &c);
		check(c.user_data < count);
		completions[c.user_data] = c;
	}
}

static void channel_transfer(struct channel *ch, const struct nvme_dmabuf_command *commands,
			     struct nvme_dmabuf_completion *completions, uint32_t count)
{
	if (ch->way->by == SUBMIT) {
		check_eq(nvmedmabuf_submit(ch->ctx, commands, completions, count), count);
		return;
	}
	channel_start(ch, commands, count);
	channel_end(ch, completions, count);
}

/* Returns when the drive has work to do. */
static void slow_start(struct channel *ch, struct submitter *s, const struct way *way,
		       const struct rig *rig)
{
	channel_open(ch, way, rig->ctx, SLOW_COMMANDS);
	if (way->by == SUBMIT) {
		submitter_start(s, rig->ctx, rig->map, rig->drive.block);
		return;
	}
	slow_commands(s->commands, rig->map, rig->drive.block);
	memset(s->completions, 0xff, sizeof(s->completions));
	channel_start(ch, s->commands, SLOW_COMMANDS);
}

static void slow_end(struct channel *ch, struct submitter *s)
{
	if (ch->way->by == SUBMIT)
		submitter_join(s);
	else
		channel_end(ch, s->completions, SLOW_COMMANDS);
}

static int attach_flags(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd, uint64_t length,
			uint32_t flags, uint32_t *map, uint32_t *reason)
{
	*map = 0;
	*reason = ~0U;
	return attach_to(ctx, dmabuf_fd, ns_fd, 0, length, rig_access(), flags, map, reason);
}

static struct nvme_dmabuf_peer_info peer_info(struct nvmedmabuf *ctx, int ns_fd,
					      const struct pci_address *peer)
{
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info) };

	memset(&info, 0xa5, sizeof(info));
	info.size = sizeof(info);
	check_eq(nvmedmabuf_get_peer_info(ctx, ns_fd, peer->domain, peer->bdf, &info), 0);
	check_eq(info.out_flags, 0);
	return info;
}

static bool kernel_has_p2p(void)
{
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_info(ctx, &info), 0);
	nvmedmabuf_close(ctx);
	return info.out_features & NVME_DMABUF_FEATURE_PEER_TO_PEER;
}

static void require_p2p(void)
{
	if (!kernel_has_p2p())
		skip("this kernel has no PCI_P2PDMA");
	if (!peer_is_allowed())
		skip("this host bridge is not on the kernel's list, which another test is about");
}

/* A part of the BAR somewhere in its middle, filled with random data. */
static struct peer_range some_range(const struct peer *p)
{
	uint64_t pages = (p->size - SIZE) / PAGE + 1;

	return (struct peer_range){ .offset = rnd_below(pages) * PAGE, .length = SIZE };
}

void open_range(struct rig *rig, struct peer *p, unsigned int number, const char *path,
		uint64_t window)
{
	struct peer_range range;
	struct buffer buffer;

	require_p2p();
	peer_open(p, number);
	peer_set_memory(p, true);
	range = some_range(p);
	peer_buffer(p, &range, 1, &buffer);
	rig_open_buffer(rig, path, &buffer, window);
}

/* Nobody may see the BAR through us any more, or VFIO keeps the device open. */
static void forget_cpu(struct rig *rig)
{
	munmap(rig->buffer.addr, rig->buffer.size);
	rig->buffer.addr = pages_alloc(rig->buffer.size);
}

static void check_transfers(struct rig *rig, unsigned int count)
{
	for (; count; count--) {
		uint64_t blocks =
			1 + rnd_below(min_u64(rig->count, rig->length / rig->drive.block));
		uint64_t bytes = blocks * rig->drive.block;
		uint64_t slba = rig->first + rnd_below(rig->count - blocks + 1);
		uint64_t offset = rnd_below((rig->length - bytes) / 4 + 1) * 4;

		rig_read(rig, offset, bytes, slba);
		if (!may_erase())
			continue;
		slba = rig->first + rnd_below(rig->count - blocks + 1);
		rig_write(rig, offset, bytes, slba);
	}
	rig_verify(rig);
}

static void check_state(struct rig *rig, uint32_t state, uint64_t generation)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, state);
	check_eq(info.out_generation, generation);
}

static void check_stale(const struct nvme_dmabuf_completion *c)
{
	check_eq(c->error, -ESTALE);
	check_eq(c->reason, NVME_DMABUF_REASON_REVOKED);
	check_eq(c->bytes, 0);
}

static void check_command_refused(struct rig *rig)
{
	struct nvme_dmabuf_completion c;

	check_eq(nvmedmabuf_read(rig->ctx, rig->map, 0, rig->drive.block, rig->first, &c), -ESTALE);
	check_stale(&c);
}

/* The exporter has taken the memory back and gives it to nobody. */
static void check_revoked(struct rig *rig, uint64_t generation)
{
	uint32_t map, reason = ~0U;

	check_state(rig, NVME_DMABUF_STATE_REVOKED, generation);
	check_command_refused(rig);
	check_eq(nvmedmabuf_get_placement(rig->ctx, rig->map, NULL, 0), -ESTALE);
	check_eq(attach_to(rig->ctx, rig->buffer.fd, rig->drive.fd, 0, PAGE, rig_access(), 0, &map,
			   &reason),
		 -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
	reason = ~0U;
	check_eq(nvmedmabuf_refresh(rig->ctx, rig->map, NULL, &reason), -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
	check_state(rig, NVME_DMABUF_STATE_REVOKED, generation);
}

static void check_refreshed(struct rig *rig, uint64_t generation)
{
	uint64_t now = 0;
	uint32_t reason = ~0U;

	check_eq(nvmedmabuf_refresh(rig->ctx, rig->map, &now, &reason), 0);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	check_eq(now, generation);
	check_state(rig, NVME_DMABUF_STATE_LIVE, generation);
}

static void check_placement(struct rig *rig, const struct peer *p)
{
	struct nvme_dmabuf_placement_run run;

	memset(&run, 0xa5, sizeof(run));
	check_eq(nvmedmabuf_get_placement(rig->ctx, rig->map, &run, 1), 1);
	check_eq(run.offset, 0);
	check_eq(run.length, rig->length);
	check_eq(run.kind, NVME_DMABUF_PLACEMENT_PCI);
	check_eq(run.pci_domain, p->address.domain);
	check_eq(run.pci_bdf, p->address.bdf);
	check_eq(run.bar, PEER_BAR);
	check_eq(run.reserved, 0);
	check_that(run.distance >= 0, "distance %d", run.distance);
	check_eq(run.distance, peer_info(rig->ctx, rig->drive.fd, &p->address).out_distance);
}

static void placement(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct peer p;
	struct rig rig;

	for (unsigned int number = 0; number < 2; number++) {
		open_range(&rig, &p, number, arg, WINDOW);
		rig_attach(&rig, 4, SIZE - 8, rig_access());
		check_eq(nvmedmabuf_get_map_info(rig.ctx, rig.map, &info), 0);
		check(info.out_flags & NVME_DMABUF_MAP_DYNAMIC);
		check(!(info.out_flags & NVME_DMABUF_MAP_PINNED));
		check_placement(&rig, &p);
		check_transfers(&rig, 1);
		rig_close(&rig);
		peer_close(&p);
	}
}

/* The library's, which keeps the device until the buffer is freed. */
static struct nvmedmabuf_buffer *named_buffer(struct pci_address *address, const char *bar)
{
	struct nvmedmabuf_buffer *made, *second;
	unsigned int group;
	char name[32];

	require_p2p();
	peer_bind(address, 0, &group);
	snprintf(name, sizeof(name), "vfio:%s%s", address->name, bar);
	check_eq(nvmedmabuf_buffer_create(name, SIZE, &made), 0);
	check_eq(nvmedmabuf_buffer_size(made), SIZE);
	/* All of the device's group is taken. */
	check_eq(nvmedmabuf_buffer_create(name, SIZE, &second), -EBUSY);
	return made;
}

/* With a descriptor of the rig's own, which rig_close() closes, and the library's mapping. */
static void open_named(struct rig *rig, const char *path, struct nvmedmabuf_buffer *made)
{
	struct buffer buffer = { .memfd = -1, .size = nvmedmabuf_buffer_size(made) };
	void *addr;

	check_eq(nvmedmabuf_buffer_mmap(made, &addr), 0);
	buffer.fd = check_sys(dup(nvmedmabuf_buffer_fd(made)));
	buffer.addr = addr;
	rig_open_buffer(rig, path, &buffer, WINDOW);
}

/* Takes the mapping with it; rig_close() unmaps another. */
static void free_named(struct rig *rig, struct nvmedmabuf_buffer *made)
{
	rig->buffer.addr = pages_alloc(rig->buffer.size);
	nvmedmabuf_buffer_free(made);
}

/* A BAR that is chosen by the device's address, in each direction. */
static void named(const void *arg)
{
	static const uint32_t accesses[] = { NVME_DMABUF_ACCESS_READ, NVME_DMABUF_ACCESS_WRITE,
					     ACCESS_BOTH };
	struct nvme_dmabuf_placement_run run;
	struct nvmedmabuf_buffer *made;
	struct pci_address address;
	struct rig rig;

	require_erase();
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		made = named_buffer(&address, i ? "" : ":2");
		open_named(&rig, arg, made);
		rig_attach(&rig, 4, SIZE - 8, accesses[i]);
		check_eq(nvmedmabuf_get_placement(rig.ctx, rig.map, &run, 1), 1);
		check_eq(run.kind, NVME_DMABUF_PLACEMENT_PCI);
		check_eq(run.pci_bdf, address.bdf);
		check_eq(run.bar, PEER_BAR);
		for (uint64_t bytes = rig.drive.block; bytes <= WINDOW / 2; bytes *= 4) {
			uint64_t offset = rnd_below((rig.length - bytes) / 4 + 1) * 4;

			if (accesses[i] & NVME_DMABUF_ACCESS_READ)
				rig_read(&rig, offset, bytes, rig.first);
			if (accesses[i] & NVME_DMABUF_ACCESS_WRITE)
				rig_write(&rig, offset, bytes, rig.first);
		}
		rig_verify(&rig);
		free_named(&rig, made);
		rig_close(&rig);
	}
}

/* The kernel takes the memory back when the buffer is freed, under a map of it. */
static void named_and_freed(const void *arg)
{
	struct nvmedmabuf_buffer *made;
	struct pci_address address;
	struct rig rig;

	made = named_buffer(&address, "");
	open_named(&rig, arg, made);
	rig_attach_all(&rig);
	rig_read(&rig, 0, rig.drive.block, rig.first);
	free_named(&rig, made);
	check_revoked(&rig, 1);
	rig_close(&rig);
	/* And the device is free. */
	nvmedmabuf_buffer_free(named_buffer(&address, ""));
}

/* What the device has no BAR for. */
static void named_wrongly(const void *arg)
{
	struct nvmedmabuf_buffer *made = NULL;
	struct pci_address address;
	unsigned int group;
	char name[32];

	(void)arg;
	require_p2p();
	peer_bind(&address, 0, &group);
	snprintf(name, sizeof(name), "vfio:%s", address.name);
	check_eq(nvmedmabuf_buffer_create(name, 1ULL << 40, &made), -EINVAL);
	/* Its registers are less than a page. */
	snprintf(name, sizeof(name), "vfio:%s:0", address.name);
	check_eq(nvmedmabuf_buffer_create(name, PAGE, &made), -EINVAL);
	snprintf(name, sizeof(name), "vfio:%s:5", address.name);
	check_eq(nvmedmabuf_buffer_create(name, PAGE, &made), -EINVAL);
	check_eq(nvmedmabuf_buffer_create("vfio:7fff:00:00.0", PAGE, &made), -ENOENT);
	check(!made);
}

static void data(const void *arg)
{
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, arg, WINDOW);
	for (unsigned int i = 0; i < scaled(4); i++) {
		uint64_t start = rnd_below(SIZE / 8) * 4;

		rig_attach(&rig, start, rig.drive.block + rnd_below((SIZE - start) / 8) * 4,
			   rig_access());
		check_transfers(&rig, 4);
		rig_detach(&rig);
	}
	/* All of it, a page at a time and at once. */
	rig_attach_all(&rig);
	rig_read(&rig, 0, WINDOW, rig.first);
	rig_read(&rig, SIZE - WINDOW, WINDOW, rig.first);
	rig_read(&rig, 4, WINDOW, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
	peer_close(&p);
}

/* Parts of the BAR with gaps between them, and not in its order. */
static void pieces(const void *arg)
{
	struct peer_range ranges[8];
	uint32_t map, reason;
	struct buffer buffer;
	uint64_t part;
	int result;
	struct peer p;
	struct rig rig;

	require_p2p();
	peer_open(&p, 0);
	peer_set_memory(&p, true);
	part = p.size / ARRAY_SIZE(ranges);
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		uint64_t pages = 1 + rnd_below(64);

		ranges[i].length = pages * PAGE;
		ranges[i].offset = (i * 5 % 8) * part + rnd_below(part / PAGE - pages + 1) * PAGE;
	}
	peer_buffer(&p, ranges, ARRAY_SIZE(ranges), &buffer);
	rig_open_buffer(&rig, arg, &buffer, WINDOW);
	/* Linux 7.3 maps each part to the same place in the IOMMU's address space. */
	result = attach_flags(rig.ctx, rig.buffer.fd, rig.drive.fd, PAGE, 0, &map, &reason);
	if (result == -EADDRINUSE && reason == NVME_DMABUF_REASON_EXPORTER)
		skip("this kernel's vfio-pci cannot map more than one part through an IOMMU");
	check_eq(nvmedmabuf_detach(rig.ctx, map), 0);
	rig_attach_all(&rig);
	check_placement(&rig, &p);
	check_transfers(&rig, scaled(10));
	rig_close(&rig);
	peer_close(&p);
}

static void disabled(const void *arg)
{
	uint32_t other, reason;
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, arg, WINDOW);
	rig_attach_all(&rig);
	other = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE, NVME_DMABUF_ACCESS_READ);
	for (uint64_t generation = 1; generation < 1 + scaled(3); generation++) {
		check_transfers(&rig, 2);
		peer_set_memory(&p, false);
		check_revoked(&rig, generation);
		/* Once more is no news. */
		peer_set_memory(&p, false);
		check_revoked(&rig, generation);
		peer_set_memory(&p, true);
		check_state(&rig, NVME_DMABUF_STATE_REVOKED, generation);
		check_command_refused(&rig);
		check_refreshed(&rig, generation + 1);
		check_refreshed(&rig, generation + 1);
		check_placement(&rig, &p);
	}
	check_transfers(&rig, 2);
	/* The other map was told as well, once, and knows nothing of refreshes. */
	check_eq(nvmedmabuf_get_placement(rig.ctx, other, NULL, 0), -ESTALE);
	check_eq(nvmedmabuf_detach(rig.ctx, other), 0);

	/* As is a dma-buf made while the memory was disabled. */
	peer_set_memory(&p, false);
	rig_close(&rig);
	rig.buffer.fd = peer_export(&p, &(struct peer_range){ .length = SIZE }, 1);
	check(rig.buffer.fd >= 0);
	drive_open(&rig.drive, arg);
	rig.ctx = ctx_open();
	check_eq(attach_flags(rig.ctx, rig.buffer.fd, rig.drive.fd, SIZE, 0, &other, &reason),
		 -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
	peer_set_memory(&p, true);
	check_eq(attach_flags(rig.ctx, rig.buffer.fd, rig.drive.fd, SIZE, 0, &other, &reason), 0);
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
	close(rig.buffer.fd);
	peer_close(&p);
}

/* The user need not know. */
static void refreshed_by_itself(const void *arg)
{
	struct nvme_dmabuf_completion c;
	uint32_t reason;
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, arg, WINDOW);
	check_eq(attach_flags(rig.ctx, rig.buffer.fd, rig.drive.fd, SIZE,
			      NVME_DMABUF_ATTACH_AUTO_REFRESH, &rig.map, &reason),
		 0);
	rig.length = SIZE;
	for (uint64_t generation = 1; generation < 1 + scaled(3); generation++) {
		check_transfers(&rig, 2);
		check_state(&rig, NVME_DMABUF_STATE_LIVE, generation);
		peer_set_memory(&p, false);
		/* What the refresh was told. */
		check_eq(nvmedmabuf_read(rig.ctx, rig.map, 0, rig.drive.block, rig.first, &c),
			 -ENODEV);
		check_eq(c.reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
		check_state(&rig, NVME_DMABUF_STATE_REVOKED, generation);
		peer_set_memory(&p, true);
	}
	check_transfers(&rig, 2);
	rig_close(&rig);
	peer_close(&p);
}

/* The first 1.5 MiB of the slow drive hold what we know, and some of the BAR is attached. */
static void open_slow(struct rig *rig, struct peer *p)
{
	uint64_t blocks;

	open_range(rig, p, 0, drive_path("SLOW"), 0);
	blocks = SLOW_COMMANDS * SLOW_LENGTH / rig->drive.block;
	rig_window(rig, 0, blocks, blocks);
	rig_attach_all(rig);
	memcpy(rig->mirror, rig->disk, SLOW_COMMANDS * SLOW_LENGTH);
}

static void check_soon(uint64_t start)
{
	uint64_t took = now_ms() - start;

	note("it took %llu ms", (unsigned long long)took);
	check(took < LIMIT_MS);
}

/* All were issued before, so all have ended well. */
static void disabled_in_flight(const void *arg)
{
	static struct submitter s;
	struct channel ch;
	uint64_t start;
	struct peer p;
	struct rig rig;

	open_slow(&rig, &p);
	slow_start(&ch, &s, arg, &rig);
	start = now_ms();
	peer_set_memory(&p, false);
	check_soon(start);
	slow_end(&ch, &s);
	check_all_read(&s);
	channel_transfer(&ch, s.commands, s.completions, SLOW_COMMANDS);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		check_stale(&s.completions[i]);
	channel_close(&ch);
	check_revoked(&rig, 1);
	peer_set_memory(&p, true);
	check_refreshed(&rig, 2);
	rig_verify(&rig);
	rig_close(&rig);
	peer_close(&p);
}

/* Threads that read the same again and again, wherever they get to it. */
#define PIECE (32 * KIB)

static unsigned int stop;

struct user {
	struct rig *rig;
	const struct way *way;
	unsigned int number;
	volatile unsigned int done, stale;
	pthread_t handle;
};

static void *user_run(void *arg)
{
	struct nvme_dmabuf_command commands[8];
	struct nvme_dmabuf_completion c[8];
	struct user *u = arg;
	struct rig *rig = u->rig;
	struct channel ch;
	uint32_t reason;
	int result;

	channel_open(&ch, u->way, rig->ctx, ARRAY_SIZE(commands));
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
		uint64_t at = (u->number * ARRAY_SIZE(commands) + i) * PIECE;

		nvmedmabuf_prep_read(&commands[i], rig->map, at, PIECE,
				     rig->first + at / rig->drive.block);
		commands[i].user_data = i;
	}
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		bool stale = false;

		channel_transfer(&ch, commands, c, ARRAY_SIZE(c));
		for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
			if (c[i].error) {
				check_stale(&c[i]);
				u->stale++;
				stale = true;
			} else {
				check_eq(c[i].status, 0);
				check_eq(c[i].bytes, PIECE);
				u->done++;
			}
		}
		/* Whoever comes first refreshes for all. */
		result = stale ? nvmedmabuf_refresh(rig->ctx, rig->map, NULL, &reason) : 0;
		check_that(!result || (result == -ENODEV &&
				       reason == NVME_DMABUF_REASON_EXPORTER_REVOKED),
			   "refresh says %s, %s", strerror(-result),
			   nvmedmabuf_reason_name(reason));
	}
	channel_close(&ch);
	return NULL;
}

static void disabled_under_users(const void *arg)
{
	struct user users[3];
	unsigned int done = 0, stale = 0;
	uint64_t length = ARRAY_SIZE(users) * 8 * PIECE, longest = 0;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, main_drive(), length);
	rig_attach_all(&rig);
	memcpy(rig.mirror, rig.disk, length);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++) {
		users[i] = (struct user){ .rig = &rig, .way = arg, .number = i };
		check_eq(pthread_create(&users[i].handle, NULL, user_run, &users[i]), 0);
	}
	for (unsigned int i = 0; i < scaled(30); i++) {
		uint64_t start;

		wait_until(users[i % ARRAY_SIZE(users)].done > done);
		done = users[(i + 1) % ARRAY_SIZE(users)].done;
		start = now_ms();
		peer_set_memory(&p, false);
		if (now_ms() - start > longest)
			longest = now_ms() - start;
		for (uint64_t pause = rnd_below(10); pause; pause--)
			pause_ms();
		peer_set_memory(&p, true);
	}
	done = users[0].done;
	wait_until(users[0].done > done + 16);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = done = 0; i < ARRAY_SIZE(users); i++) {
		check_eq(pthread_join(users[i].handle, NULL), 0);
		done += users[i].done;
		stale += users[i].stale;
	}
	check_eq(nvmedmabuf_get_map_info(rig.ctx, rig.map, &info), 0);
	note("%u done, %u refused, generation %llu, at most %llu ms to disable", done, stale,
	     (unsigned long long)info.out_generation, (unsigned long long)longest);
	check(longest < LIMIT_MS);
	check(info.out_generation > 2);
	rig_verify(&rig);
	rig_close(&rig);
	peer_close(&p);
}

static void reset(const void *arg)
{
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 1, arg, WINDOW);
	if (!p.can_reset)
		skip("the kernel knows no way to reset the peer");
	rig_attach_all(&rig);
	for (uint64_t generation = 1; generation < 1 + scaled(2); generation++) {
		check_transfers(&rig, 2);
		check_eq(peer_reset(&p), 0);
		check_state(&rig, NVME_DMABUF_STATE_REVOKED, generation);
		check_command_refused(&rig);
		/* What VFIO believes of the command register holds. */
		peer_set_memory(&p, true);
		check_refreshed(&rig, generation + 1);
	}
	check_transfers(&rig, 2);
	rig_close(&rig);
	peer_close(&p);
}

/* Another dma-buf of the same memory, after all that. */
static void check_works(const char *path)
{
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, path, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 1);
	rig_close(&rig);
	peer_close(&p);
}

static void closed(const void *arg)
{
	uint64_t start;
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, arg, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 2);
	forget_cpu(&rig);
	start = now_ms();
	peer_close(&p);
	check_soon(start);
	check_revoked(&rig, 1);
	/* Nor does it come back when somebody else opens the device. */
	peer_open(&p, 0);
	peer_set_memory(&p, true);
	check_revoked(&rig, 1);
	peer_close(&p);
	rig_detach(&rig);
	rig_close(&rig);
	check_works(arg);
}

static void closed_in_flight(const void *arg)
{
	static struct submitter s;
	uint64_t start;
	struct peer p;
	struct rig rig;

	(void)arg;
	open_slow(&rig, &p);
	forget_cpu(&rig);
	submitter_start(&s, rig.ctx, rig.map, rig.drive.block);
	start = now_ms();
	peer_close(&p);
	check_soon(start);
	submitter_join(&s);
	check_all_read(&s);
	check_revoked(&rig, 1);
	rig_close(&rig);
	check_works(main_drive());
}

/* In a child's place, which could not say why it must skip. */
static void require_peer(void)
{
	struct peer p;

	require_p2p();
	peer_open(&p, 0);
	peer_close(&p);
}

/* All of it is one process's, which dies. */
static void killed(const void *arg)
{
	int pipes[2], status;
	uint64_t start;
	pid_t child;
	char byte;

	require_peer();
	drive_path("SLOW");
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		static struct submitter s;
		struct channel ch;
		struct peer p;
		struct rig rig;

		open_slow(&rig, &p);
		slow_start(&ch, &s, arg, &rig);
		check_eq(write(pipes[1], "", 1), 1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	check_eq(read(pipes[0], &byte, 1), 1);
	start = now_ms();
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	check_soon(start);
	check_works(main_drive());
}

static int take_file(pid_t process, int fd)
{
	int pidfd = check_sys((int)syscall(SYS_pidfd_open, process, 0));
	int taken = check_sys((int)syscall(SYS_pidfd_getfd, pidfd, fd, 0));

	close(pidfd);
	return taken;
}

/* The device is another process's, which dies while we use its memory. */
static void owner_killed(const void *arg)
{
	struct buffer buffer = { .memfd = -1, .size = SIZE };
	static struct submitter s;
	int pipes[2], status, fd;
	uint64_t start;
	pid_t child;
	struct rig rig;

	(void)arg;
	require_peer();
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		struct peer p;

		peer_open(&p, 0);
		peer_set_memory(&p, true);
		fd = peer_export(&p, &(struct peer_range){ .length = SIZE }, 1);
		check(fd >= 0);
		check_eq(write(pipes[1], &fd, sizeof(fd)), sizeof(fd));
		for (;;)
			pause();
	}
	close(pipes[1]);
	check_eq(read(pipes[0], &fd, sizeof(fd)), sizeof(fd));
	buffer.fd = take_file(child, fd);
	buffer.addr = pages_alloc(SIZE);
	rig_open_buffer(&rig, drive_path("SLOW"), &buffer, 64 * KIB);
	rig_attach_all(&rig);
	submitter_start(&s, rig.ctx, rig.map, rig.drive.block);
	start = now_ms();
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	submitter_join(&s);
	check_soon(start);
	check_all_read(&s);
	check_revoked(&rig, 1);
	rig_close(&rig);
	check_works(main_drive());
}

/* Its slot is emptied, which waits until VFIO's user has let it go. */
static void unplugged(const void *arg)
{
	struct pci_address address;
	struct peer p;
	struct rig rig;

	require_qmp();
	open_range(&rig, &p, 1, arg, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 1);
	check(qmp("device_del", "{\"id\": \"HOTPEER\"}"));
	check_transfers(&rig, 1);
	forget_cpu(&rig);
	peer_close(&p);
	wait_until(!pci_find(0x1af4, 0x1110, 1, &address));
	check_revoked(&rig, 1);
	rig_close(&rig);

	/* QEMU dies of memory that was used before, if only in an attempt that failed. */
	wait_until(!qmp("qom-list", "{\"path\": \"/machine/peripheral/HOTPEER\"}"));
	check(qmp(
		"object-add",
		"{\"qom-type\": \"memory-backend-ram\", \"id\": \"hotpeer%u\", \"size\": 16777216}",
		getpid()));
	check(qmp("device_add",
		  "{\"driver\": \"ivshmem-plain\", \"id\": \"HOTPEER\", \"bus\": \"peerport\", "
		  "\"memdev\": \"hotpeer%u\"}",
		  getpid()));
	wait_until(pci_find(0x1af4, 0x1110, 1, &address));
	open_range(&rig, &p, 1, arg, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 1);
	rig_close(&rig);
	peer_close(&p);
}

/* REQUIRE_P2P: what is not all of it a peer's is refused. */
static void required(const void *arg)
{
	const struct exporter *list;
	unsigned int count = exporters(&list), refused = 0;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct buffer buffer;
	uint32_t reason, map;
	struct peer p;
	struct rig rig;

	open_range(&rig, &p, 0, arg, WINDOW);
	check_eq(attach_flags(rig.ctx, rig.buffer.fd, rig.drive.fd, SIZE,
			      NVME_DMABUF_ATTACH_REQUIRE_P2P, &rig.map, &reason),
		 0);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	check_eq(nvmedmabuf_get_map_info(rig.ctx, rig.map, &info), 0);
	check(info.out_flags & NVME_DMABUF_MAP_REQUIRE_P2P);
	rig.length = SIZE;
	check_transfers(&rig, 2);
	peer_set_memory(&p, false);
	check_revoked(&rig, 1);
	peer_set_memory(&p, true);
	check_refreshed(&rig, 2);
	check_transfers(&rig, 1);

	for (unsigned int i = 0; i < count; i++) {
		if (list[i].kind == UDMABUF_HUGE || list[i].kind == USER_HUGE ||
		    access(list[i].path ? list[i].path : "/dev/udmabuf", R_OK | W_OK))
			continue;
		buffer_alloc(&buffer, &list[i], MIB);
		check_eq(attach_flags(rig.ctx, buffer.fd, rig.drive.fd, MIB,
				      NVME_DMABUF_ATTACH_REQUIRE_P2P, &map, &reason),
			 -EOPNOTSUPP);
		check_that(reason == NVME_DMABUF_REASON_NOT_PEER, "%s: reason %s", list[i].name,
			   nvmedmabuf_reason_name(reason));
		refused++;
		buffer_free(&buffer);
	}
	check(refused);
	rig_close(&rig);
	peer_close(&p);
}

/* The exporter offers other memory, because it finds no path to the drive. */
static void no_path(const void *arg)
{
	struct nvmedmabuf *ctx = ctx_open();
	uint32_t map, reason;
	struct drive drive;
	struct exported b;

	require_exporter();
	if (!kernel_has_p2p())
		skip("this kernel has no PCI_P2PDMA");
	drive_open(&drive, arg);
	exported_create_pages(&b, MIB, EXPORTER_DYNAMIC | EXPORTER_NO_PATH);
	check_eq(attach_flags(ctx, b.fd, drive.fd, MIB, NVME_DMABUF_ATTACH_REQUIRE_P2P, &map,
			      &reason),
		 -EOPNOTSUPP);
	check_eq(reason, NVME_DMABUF_REASON_EXPORTER_NO_PATH);
	check_unused(&b);
	check_eq(attach_flags(ctx, b.fd, drive.fd, MIB, 0, &map, &reason), 0);
	nvmedmabuf_close(ctx);
	drive_close(&drive);
	exported_close(&b);
}

static void asked(const void *arg)
{
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info) };
	struct pci_address address;
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;

	drive_open(&drive, arg);
	info = peer_info(ctx, drive.fd, &(struct pci_address){ .bdf = 0xfff8 });
	check_eq(info.out_reason, NVME_DMABUF_REASON_NO_SUCH_PEER);
	check_eq(info.out_distance, -1);
	if (!pci_find(0x1af4, 0x1110, 0, &address))
		skip("no ivshmem device here");
	info = peer_info(ctx, drive.fd, &address);
	note("distance %d, reason %s", info.out_distance, nvmedmabuf_reason_name(info.out_reason));
	if (!kernel_has_p2p()) {
		check_eq(info.out_reason, NVME_DMABUF_REASON_NO_P2PDMA);
		check_eq(info.out_distance, -1);
	} else if (!peer_is_allowed()) {
		check_eq(info.out_reason, NVME_DMABUF_REASON_PEER_HOST_BRIDGE);
		check_eq(info.out_distance, -1);
	} else {
		check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
		check(info.out_distance >= 0);
	}
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/*
 * Nor does a port below such a bridge help, if it sends up what comes from below, as
 * Linux tells it to where there is an IOMMU. The peer is the port itself.
 */
static void redirected(const void *arg)
{
	char link[256], port[PATH_MAX], file[PATH_MAX + 16];
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info) };
	struct pci_address address;
	unsigned int bus, device, function;
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;
	struct stat config;

	(void)arg;
	if (!kernel_has_p2p())
		skip("this kernel has no PCI_P2PDMA");
	if (peer_is_allowed())
		skip("this host bridge is on the kernel's list");
	drive_open(&drive, drive_path("HOT"));
	snprintf(link, sizeof(link), "/sys/class/block/%s/device/device/..",
		 strrchr(drive.path, '/') + 1);
	check(realpath(link, port));
	check_eq(sscanf(strrchr(port, '/') + 1, "%x:%x:%x.%x", &address.domain, &bus, &device,
			&function),
		 4);
	address.bdf = bus << 8 | device << 3 | function;
	snprintf(file, sizeof(file), "%s/iommu_group", port);
	if (access(file, F_OK))
		skip("ports redirect only where there is an IOMMU");
	/* Where the capability is. */
	snprintf(file, sizeof(file), "%s/config", port);
	check_sys(stat(file, &config));
	if ((uint64_t)config.st_size < PAGE)
		skip("this kernel sees no extended configuration space");
	info = peer_info(ctx, drive.fd, &address);
	check_eq(info.out_reason, NVME_DMABUF_REASON_PEER_ACS);
	check_eq(info.out_distance, -1);
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/* The host bridge is not one that the kernel trusts with it. */
static void refused(const void *arg)
{
	static const uint32_t flags[] = { 0, NVME_DMABUF_ATTACH_REQUIRE_P2P };
	struct nvmedmabuf *ctx = ctx_open();
	uint32_t map, reason;
	struct drive drive;
	struct peer p;
	int fd;

	if (!kernel_has_p2p())
		skip("this kernel has no PCI_P2PDMA");
	if (peer_is_allowed())
		skip("this host bridge is on the kernel's list");
	drive_open(&drive, arg);
	for (unsigned int number = 0; number < 2; number++) {
		peer_open(&p, number);
		peer_set_memory(&p, true);
		fd = peer_export(&p, &(struct peer_range){ .length = SIZE }, 1);
		check(fd >= 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
			check_eq(attach_flags(ctx, fd, drive.fd, SIZE, flags[i], &map, &reason),
				 -EOPNOTSUPP);
			check_that(reason == NVME_DMABUF_REASON_PEER_HOST_BRIDGE, "reason %s",
				   nvmedmabuf_reason_name(reason));
		}
		close(fd);
		peer_close(&p);
	}
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/* A peer below the drive's own switch can be reached; that explains no other. */
static void refused_beside_another(const void *arg)
{
	const char *path = drive_path("SWITCHED");
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info) };
	struct nvmedmabuf *ctx = ctx_open();
	struct pci_address address;
	struct drive drive;

	(void)arg;
	if (!pci_find(0x1af4, 0x1110, 2, &address))
		skip("no third ivshmem device here");
	drive_open(&drive, path);
	info = peer_info(ctx, drive.fd, &address);
	if (kernel_has_p2p()) {
		check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
		check(info.out_distance > 0);
	}
	nvmedmabuf_close(ctx);
	drive_close(&drive);
	refused(path);
}

int main(int argc, char **argv)
{
	static const char *paths[3];
	unsigned int count;
	int status;

	require_device();
	count = plain_drives(paths);
	if (!count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");
	tap_add(asked, paths[0], "what is said of a peer");
	tap_add(refused, paths[0], "a host bridge that the kernel does not trust");
	tap_add(refused_beside_another, NULL, "the same, but for a peer below the same switch");
	tap_add(redirected, NULL, "a port that redirects to such a host bridge");
	tap_add(placement, paths[0], "where the memory is");
	for (unsigned int i = 0; i < count; i++)
		tap_add(data, paths[i], "%s: data", drive_name(paths[i]));
	tap_add(named, paths[0], "a BAR by its name, in each direction");
	tap_add(named_and_freed, paths[0], "a BAR by its name is freed while it is mapped");
	tap_add(named_wrongly, paths[0], "names of BARs that there are not");
	tap_add(pieces, paths[0], "parts of a BAR, not in its order");
	tap_add(required, paths[0], "nothing but a peer's memory is accepted");
	tap_add(no_path, paths[0], "an exporter that finds no path to the drive");
	tap_add(disabled, paths[0], "memory disabled and enabled");
	tap_add(refreshed_by_itself, paths[0], "memory disabled and enabled, refreshed by itself");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		tap_add(disabled_in_flight, &ways[i], "memory disabled, I/O in flight by %s",
			ways[i].name);
		tap_add(disabled_under_users, &ways[i],
			"memory disabled and enabled under threads that use %s", ways[i].name);
	}
	tap_add(reset, paths[0], "the peer is reset");
	tap_add(closed, paths[0], "the peer is closed, its memory mapped");
	tap_add(closed_in_flight, NULL, "the peer is closed, I/O in flight");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		tap_add(killed, &ways[i], "the process is killed, I/O in flight by %s",
			ways[i].name);
	tap_add(owner_killed, NULL, "the peer's owner is killed, I/O in flight");
	tap_add(unplugged, paths[0], "the peer is unplugged");
	add_drive_leaves();
	status = tap_run(argc, argv);
	peers_release();
	return status;
}
