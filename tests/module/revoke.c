// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has exporters take buffers back, with maps idle and with I/O in
 * flight, while others submit, detach, close and die: commands end, the map
 * says why it takes no more, the exporter never waits for long, and memory that
 * it has taken back is left alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "revoke.h"
#include "slow.h"

#define WINDOW (256 * KIB)

static void check_live(struct wire *w, struct exported *b, uint32_t map)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	wire_transfers(w, b, map, info.out_offset, info.out_length, 0, 1);
}

static void check_refused(struct wire *w, struct nvme_dmabuf_command *command)
{
	struct nvme_dmabuf_completion c;

	memset(&c, 0xa5, sizeof(c));
	check_eq(nvmedmabuf_submit(w->ctx, command, &c, 1), 1);
	check_eq(c.error, -ESTALE);
	check_eq(c.reason, NVME_DMABUF_REASON_REVOKED);
	check_eq(c.status, 0);
	check_eq(c.bytes, 0);
}

/* What is left of a map whose buffer was taken back. */
static void check_stale(struct wire *w, uint32_t map)
{
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_REVOKED);
	nvmedmabuf_prep_read(&command, map, 0, w->drive.block, w->first);
	check_refused(w, &command);
	/* Being revoked comes before anything that may be wrong with a command. */
	nvmedmabuf_prep_write(&command, map, 0, w->drive.block, w->first);
	check_refused(w, &command);
	nvmedmabuf_prep_flush(&command, map);
	check_refused(w, &command);
	check_eq(nvmedmabuf_get_placement(w->ctx, map, NULL, 0), -ESTALE);
}

/* Can this exporter tell this kernel's importers anything? */
static bool is_told(uint32_t flags)
{
	return flags & EXPORTER_DYNAMIC || kernel_is_movable();
}

/* Does the kernel say so, and what it does instead? */
static void check_may_move(struct wire *w, uint32_t map, uint32_t flags)
{
	uint32_t expected = kernel_is_movable()	     ? NVME_DMABUF_MAP_DYNAMIC :
			    flags & EXPORTER_DYNAMIC ? NVME_DMABUF_MAP_PINNED :
						       0;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
	check_eq(info.out_flags & (NVME_DMABUF_MAP_DYNAMIC | NVME_DMABUF_MAP_PINNED), expected);
}

static void idle(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map, again, reason;
	struct exporter_move move;
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, flags);
	check_eq(wire_attach(&w, &b, 4, b.bytes - 4, &map, &reason), 0);
	check_may_move(&w, map, flags);
	wire_transfers(&w, &b, map, 4, b.bytes - 4, 0, 4);

	if (!is_told(flags)) {
		/* Nobody can tell this importer. An honest exporter waits. */
		check_eq(exported_move(&b, COPY, &move), -EBUSY);
		check_eq(move.out_left, 1);
		check_live(&w, &b, map);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
		check_unused(&b);
		goto close;
	}
	if (!kernel_is_movable()) {
		check_eq(exported_query(&b).out_pins, 1);
		check_eq(exported_move(&b, REVOKE, &move), -EBUSY);
		check_live(&w, &b, map);
	}
	check_eq(exported_move(&b, REVOKE | FORCE | WAIT, &move), 0);
	check_moved(&move);
	check_eq(exported_query(&b).out_pins, 0);
	check_eq(exported_query(&b).out_attached, 1);
	check_stale(&w, map);

	check_eq(wire_attach(&w, &b, 0, b.bytes, &again, &reason), -ENODEV);
	check_eq(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
	check_eq(exported_query(&b).out_attached, 1);
	check_stale(&w, map);

	/* What is restored does not revive a map. */
	check_eq(exported_move(&b, RESTORE | WAIT, &move), 0);
	check_moved(&move);
	check_stale(&w, map);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &again, &reason), 0);
	wire_transfers(&w, &b, again, 0, b.bytes, 0, 4);
	check_stale(&w, map);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_eq(nvmedmabuf_detach(w.ctx, map), -ENOENT);
	wire_transfers(&w, &b, again, 0, b.bytes, 0, 4);
	check_eq(exported_move(&b, REVOKE | FORCE | WAIT, &move), 0);
	check_moved(&move);
	check_stale(&w, again);
close:
	exported_verify(&b);
	/* The second map is left to the end of the context. */
	nvmedmabuf_close(w.ctx);
	check_unused(&b);
	w.ctx = ctx_open();
	exported_close(&b);
	wire_close(&w);
}

/* The content moves with the buffer, again and again. */
static void moved(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map, reason;
	struct exporter_move move;
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, flags);
	if (!is_told(flags))
		skip("this kernel cannot tell importers of a static exporter");
	for (unsigned int i = 0; i < scaled(20); i++) {
		check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
		wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
		check_eq(exported_move(&b, COPY | FORCE | WAIT, &move), 0);
		check_moved(&move);
		check_stale(&w, map);
		/* Told once more, with nothing mapped. */
		check_eq(exported_move(&b, COPY | WAIT, &move), 0);
		check_moved(&move);
		if (i % 2)
			check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	}
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

/* Every map of the buffer ends, of whatever context and drive, and no other. */
static void several_maps(const void *arg)
{
	const char *paths[3];
	unsigned int drives = plain_drives(paths);
	struct exported b, other;
	struct exporter_move move;
	uint32_t maps[3][2], others[3], reason;
	struct wire w[3];

	(void)arg;
	if (drives < 2)
		skip("only one drive to test with");
	exported_create_pages(&b, MIB, EXPORTER_DYNAMIC);
	exported_create_pages(&other, MIB, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < drives; i++) {
		wire_open(&w[i], paths[i], WINDOW);
		check_eq(wire_attach(&w[i], &b, 0, b.bytes, &maps[i][0], &reason), 0);
		check_eq(wire_attach(&w[i], &b, b.bytes / 2, b.bytes / 2, &maps[i][1], &reason), 0);
		check_eq(wire_attach(&w[i], &other, 0, other.bytes, &others[i], &reason), 0);
		wire_transfers(&w[i], &b, maps[i][1], b.bytes / 2, b.bytes / 2, 0, 3);
	}
	check_eq(exported_query(&b).out_mapped, 2 * drives);
	check_eq(exported_move(&b, COPY | FORCE | WAIT, &move), 0);
	check_moved(&move);
	for (unsigned int i = 0; i < drives; i++) {
		check_stale(&w[i], maps[i][0]);
		check_stale(&w[i], maps[i][1]);
		check_live(&w[i], &other, others[i]);
	}
	for (unsigned int i = 0; i < drives; i++)
		wire_close(&w[i]);
	check_unused(&b);
	check_unused(&other);
	exported_verify(&b);
	exported_close(&b);
	exported_close(&other);
}

/* A thread that moves the buffer, once. */
struct mover {
	struct exported *b;
	uint32_t flags;
	struct exporter_move move;
	volatile pid_t thread;
	volatile bool done;
	int result;
	pthread_t handle;
};

static void *mover_run(void *arg)
{
	struct mover *m = arg;

	m->thread = gettid();
	m->result = exported_move(m->b, m->flags, &m->move);
	m->done = true;
	return NULL;
}

static void mover_start(struct mover *m, struct exported *b, uint32_t flags)
{
	*m = (struct mover){ .b = b, .flags = flags };
	check_eq(pthread_create(&m->handle, NULL, mover_run, m), 0);
}

static void mover_join(struct mover *m)
{
	check_eq(pthread_join(m->handle, NULL), 0);
	check_eq(m->result, 0);
	check_moved(&m->move);
}

/* The drive works for the submitter for a second or two. */
static void slow_open(struct wire *w, struct exported *b, struct submitter *s, uint32_t *map)
{
	uint32_t reason;

	wire_open(w, drive_path("SLOW"), 64 * KIB);
	exported_create_pages(b, 2 * MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(w, b, 0, b->bytes, map, &reason), 0);
	submitter_start(s, w->ctx, *map, w->drive.block);
}

/* What the reads have brought is where the buffer is now. */
static void slow_verify(struct wire *w, struct exported *b, const struct submitter *s)
{
	check_all_read(s);
	drive_read(&w->drive, 0, b->mirror, SLOW_COMMANDS * SLOW_LENGTH);
	exported_verify(b);
}

static void in_flight(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	static struct submitter s;
	struct exported b;
	struct mover m;
	struct wire w;

	slow_open(&w, &b, &s, &map);
	mover_start(&m, &b, flags | FORCE | WAIT);
	/* New commands are refused while those in flight go on. */
	wait_until(!nvmedmabuf_get_map_info(w.ctx, map, &info) &&
		   info.out_state == NVME_DMABUF_STATE_REVOKED);
	check_refused(&w, &s.commands[0]);
	check(is_waiting(s.thread) && !m.done);
	mover_join(&m);
	check(m.move.out_notify_us > 10000);
	submitter_join(&s);
	slow_verify(&w, &b, &s);
	check_stale(&w, map);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

/* The drive still reads the old pages; what it gets is no poison. */
static void written_in_flight(const void *arg)
{
	const uint64_t total = SLOW_COMMANDS * SLOW_LENGTH;
	uint8_t *actual = pages_alloc(total);
	struct nvme_dmabuf_completion c[SLOW_COMMANDS];
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
	struct exported b;
	struct mover m;
	uint32_t map, reason;
	struct wire w;

	(void)arg;
	require_erase();
	wire_open(&w, drive_path("SLOW"), 64 * KIB);
	exported_create_pages(&b, 2 * MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++)
		nvmedmabuf_prep_write(&commands[i], map, i * SLOW_LENGTH, SLOW_LENGTH,
				      i * (SLOW_LENGTH / w.drive.block));

	mover_start(&m, &b, COPY | FORCE | WAIT);
	check_eq(nvmedmabuf_submit(w.ctx, commands, c, SLOW_COMMANDS), SLOW_COMMANDS);
	mover_join(&m);
	drive_read(&w.drive, 0, actual, total);
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		if (c[i].error) {
			check_eq(c[i].error, -ESTALE);
			check_eq(c[i].reason, NVME_DMABUF_REASON_REVOKED);
			continue;
		}
		check_eq(c[i].status, 0);
		check_eq(c[i].bytes, SLOW_LENGTH);
		compare("namespace", actual + i * SLOW_LENGTH, b.mirror + i * SLOW_LENGTH,
			SLOW_LENGTH, i * SLOW_LENGTH);
	}
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

static void *detach_run(void *arg)
{
	struct submitter *s = arg;

	return (void *)(intptr_t)nvmedmabuf_detach(s->ctx, s->commands[0].map);
}

/* Both wait for the same commands; either may be first. */
static void detached_and_moved(const void *arg)
{
	bool move_first = *(const bool *)arg;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	static struct submitter s;
	pthread_t detacher;
	struct exported b;
	struct mover m;
	struct wire w;
	uint32_t map;
	void *result;

	slow_open(&w, &b, &s, &map);
	if (move_first) {
		mover_start(&m, &b, COPY | FORCE | WAIT);
		wait_until(!nvmedmabuf_get_map_info(w.ctx, map, &info) &&
			   info.out_state == NVME_DMABUF_STATE_REVOKED);
	}
	check_eq(pthread_create(&detacher, NULL, detach_run, &s), 0);
	wait_until(nvmedmabuf_get_map_info(w.ctx, map, &info) == -ENOENT);
	if (!move_first)
		mover_start(&m, &b, COPY | FORCE | WAIT);
	check(is_waiting(s.thread));
	check_eq(pthread_join(detacher, &result), 0);
	check_eq((intptr_t)result, 0);
	mover_join(&m);
	submitter_join(&s);
	slow_verify(&w, &b, &s);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

/* The submitter dies, its context with it; the drive does not know. */
static void killed_and_moved(const void *arg)
{
	struct exported b;
	struct mover m;
	struct wire w;
	int status;
	pid_t child;

	(void)arg;
	wire_open(&w, drive_path("SLOW"), 64 * KIB);
	exported_create_pages(&b, 2 * MIB, EXPORTER_DYNAMIC);
	child = check_sys(fork());
	if (!child) {
		struct nvme_dmabuf_completion c[SLOW_COMMANDS];
		struct nvme_dmabuf_command commands[SLOW_COMMANDS];
		uint32_t map, reason;

		w.ctx = ctx_open();
		check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
		slow_commands(commands, map, w.drive.block);
		nvmedmabuf_submit(w.ctx, commands, c, SLOW_COMMANDS);
		_exit(99);
	}
	wait_until(is_waiting(child));
	check_sys(kill(child, SIGKILL));
	mover_start(&m, &b, COPY | FORCE | WAIT);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	mover_join(&m);
	wait_until(!exported_query(&b).out_attached);
	check_unused(&b);
	drive_read(&w.drive, 0, b.mirror, SLOW_COMMANDS * SLOW_LENGTH);
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

/* An attach that still waits for the last move is overtaken by the next one. */
static void moved_during_attach(const void *arg)
{
	bool mapped = *(const bool *)arg;
	struct attacher a;
	struct exported b;
	struct mover m;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, EXPORTER_DYNAMIC);
	if (mapped)
		exported_fence_on_map(&b);
	else
		exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);
	attacher_start(&a, &w, &b);
	mover_start(&m, &b, COPY | FORCE | WAIT);
	wait_until(m.thread && stays_in_call(m.thread, EXPORTER_IOC_MOVE));
	check_eq(exported_query(&b).out_mapped + exported_query(&b).out_held, 0);
	exported_signal(&b);
	mover_join(&m);
	attacher_join(&a);
	/* Whoever was first: what was mapped too early was mapped once more. */
	check_eq(a.result, 0);
	check_live(&w, &b, a.map);
	wire_close(&w);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
}

/* amdgpu moves a buffer, and says so, when somebody pins it. */
static void moved_by_pinning(const void *arg)
{
	uint32_t map, second, reason;
	struct exported b;
	struct wire w;

	(void)arg;
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, EXPORTER_DYNAMIC | EXPORTER_NOTIFY_ON_PIN);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(exported_query(&b).out_moves, !kernel_is_movable());
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 4);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &second, &reason), 0);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 4);
	wire_transfers(&w, &b, second, 0, b.bytes, 0, 4);
	wire_close(&w);
	check_unused(&b);
	exported_close(&b);
}

/* As vfio does when a device's memory is switched off and on. */
static void bar_switched_off(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map, again, reason;
	struct exporter_move move;
	struct exported b;
	struct wire w;

	if (!is_told(flags))
		skip("this kernel cannot tell importers of a static exporter");
	wire_open(&w, main_drive(), WINDOW);
	exported_create_bar(&b, 4 * MIB, flags);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	for (int i = 0; i < 5; i++) {
		wire_transfers(&w, &b, map, 0, b.bytes, 2 * MIB, 4);
		check_eq(exported_move(&b, REVOKE | FORCE | WAIT, &move), 0);
		check_moved(&move);
		check_stale(&w, map);
		check_eq(wire_attach(&w, &b, 0, b.bytes, &again, &reason), -ENODEV);
		check_eq(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
		check_eq(exported_move(&b, RESTORE | WAIT, &move), 0);
		check_stale(&w, map);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
		check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	}
	wire_close(&w);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
}

/*
 * Not of the module: would the tests above see it if it went on? An importer
 * that cannot be told does.
 */
static void stale_dma_is_seen(const void *arg)
{
	struct exporter_query query;
	struct exporter_move move;
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	(void)arg;
	if (kernel_is_movable())
		skip("this kernel tells every importer");
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, 0);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(exported_move(&b, COPY | FORCE, &move), 0);
	check_eq(move.out_left, 1);
	check_eq(move.out_held, 1);
	check_eq(exported_damage(&b).out_old_damage, 0);
	check_eq(nvmedmabuf_read(w.ctx, map, PAGE, PAGE, w.first, NULL), 0);
	query = exported_damage(&b);
	/* All of the random data but the bytes that are the poison's value by chance. */
	check(query.out_old_damage > PAGE * 9 / 10 && query.out_old_damage <= PAGE);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

int main(int argc, char **argv)
{
	static const uint32_t kinds[] = { 0, EXPORTER_DYNAMIC };
	static const char *const names[] = { "static", "dynamic" };
	static const uint32_t ways[] = { 0, COPY, REVOKE, REVOKE | COPY };
	static const char *const way_names[] = { "told", "moved", "revoked", "moved and revoked" };
	static const bool booleans[] = { false, true };

	require_device();
	require_exporter();
	tap_add(stale_dma_is_seen, NULL, "DMA to pages that were left is seen");
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		tap_add(idle, &kinds[i], "%s: revoked while idle", names[i]);
		tap_add(moved, &kinds[i], "%s: moved again and again", names[i]);
		tap_add(bar_switched_off, &kinds[i], "%s: a BAR that is switched off and on",
			names[i]);
	}
	tap_add(several_maps, NULL, "all maps of the buffer end, and no other");
	tap_add(moved_by_pinning, NULL, "moved by being pinned");
	tap_add(moved_during_attach, &booleans[0], "moved while it is being attached");
	tap_add(moved_during_attach, &booleans[1], "moved while it is being attached, and mapped");
	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++)
		tap_add(in_flight, &ways[i], "%s with reads in flight", way_names[i]);
	tap_add(written_in_flight, NULL, "moved with writes in flight");
	tap_add(detached_and_moved, &booleans[0], "detached, then moved, with reads in flight");
	tap_add(detached_and_moved, &booleans[1], "moved, then detached, with reads in flight");
	tap_add(killed_and_moved, NULL, "moved while the submitter is killed");
	add_races();
	return tap_run(argc, argv);
}
