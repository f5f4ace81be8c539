// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers that move and move while threads use them, and while the drive goes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "leaving.h"
#include "revoke.h"

#define THREADS 4
#define PART	(512 * KIB)
#define PIECE	(16 * KIB)
#define PIECES	16

static unsigned int stop;

/*
 * A user, with a part of the buffer of its own and maps of its own. What a
 * command has read is there, wherever the buffer is by then.
 */
struct user {
	struct wire *w;
	struct exported *b;
	unsigned int number;
	unsigned int done, stale, maps;
	pthread_t handle;
};

/* Returns whether the map still took all commands. */
static bool user_transfer(struct user *u, struct wire *own, uint32_t map)
{
	struct nvme_dmabuf_completion c[PIECES];
	struct nvme_dmabuf_command commands[PIECES];
	uint64_t start = u->number * PART, window = own->count * own->drive.block;
	uint64_t at = rnd_below((PART - PIECES * PIECE) / 4) * 4;
	unsigned int stale = u->stale;
	uint8_t *actual;

	/* Reads, of which it then looks what they brought. */
	for (unsigned int i = 0; i < PIECES; i++)
		nvmedmabuf_prep_read(&commands[i], map, at + i * PIECE, PIECE,
				     own->first + (i * PIECE % window) / own->drive.block);
	check_eq(nvmedmabuf_submit(own->ctx, commands, c, PIECES), PIECES);
	for (unsigned int i = 0; i < PIECES; i++) {
		if (c[i].error) {
			check_eq(c[i].error, -ESTALE);
			check_eq(c[i].reason, NVME_DMABUF_REASON_REVOKED);
			check_eq(c[i].bytes, 0);
			u->stale++;
			continue;
		}
		check_eq(c[i].status, 0);
		check_eq(c[i].bytes, PIECE);
		u->done++;
		memcpy(u->b->mirror + start + at + i * PIECE, own->disk + i * PIECE % window,
		       PIECE);
	}
	actual = pages_alloc(PART);
	exported_read(u->b, start, actual, PART);
	compare("this thread's part", actual, u->b->mirror + start, PART, start);
	munmap(actual, PART);
	return u->stale == stale;
}

/* While the buffer is revoked there is nothing to be had. */
static uint32_t user_attach(struct user *u, struct wire *own)
{
	uint32_t map, reason;
	int result;

	do {
		result = attach_to(own->ctx, u->b->fd, own->drive.fd, u->number * PART, PART,
				   NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
		check_that(!result || (result == -ENODEV &&
				       reason == NVME_DMABUF_REASON_EXPORTER_REVOKED),
			   "attach: %d, %s", result, nvmedmabuf_reason_name(reason));
	} while (result && !__atomic_load_n(&stop, __ATOMIC_RELAXED));
	u->maps += !result;
	return result ? 0 : map;
}

static void *user_run(void *arg)
{
	struct user *u = arg;
	struct wire own = *u->w;
	uint32_t map;

	rnd_start(u->number + 1);
	own.ctx = ctx_open();
	while ((map = user_attach(u, &own))) {
		while (user_transfer(u, &own, map) && rnd() % 8 &&
		       !__atomic_load_n(&stop, __ATOMIC_RELAXED))
			;
		if (__atomic_load_n(&stop, __ATOMIC_RELAXED))
			break;
		/* A new map, or a new context with its first one. */
		if (rnd() % 2) {
			check_eq(nvmedmabuf_detach(own.ctx, map), 0);
		} else {
			nvmedmabuf_close(own.ctx);
			own.ctx = ctx_open();
		}
	}
	nvmedmabuf_close(own.ctx);
	return NULL;
}

static void moved_under_users(const void *path)
{
	struct user users[THREADS];
	unsigned int done = 0, stale = 0, maps = 0;
	struct exporter_move move;
	uint64_t longest = 0;
	struct exported b;
	struct wire w;

	wire_open(&w, path, 64 * KIB);
	exported_create_pages(&b, THREADS * PART, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < THREADS; i++) {
		users[i] = (struct user){ .w = &w, .b = &b, .number = i };
		check_eq(pthread_create(&users[i].handle, NULL, user_run, &users[i]), 0);
	}
	for (unsigned int i = 0; i < scaled(50); i++) {
		uint32_t flags = i % 8 == 6 ? REVOKE : RESTORE;
		uint64_t time;

		for (uint64_t pause = rnd_below(50); pause; pause--)
			pause_ms();
		check_eq(exported_move(&b, flags | FORCE | WAIT | (rnd() % 4 ? COPY : 0), &move),
			 0);
		check_moved(&move);
		time = move.out_notify_us + move.out_fence_us + move.out_unmap_us;
		longest = time > longest ? time : longest;
		exported_check_damage(&b);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < THREADS; i++) {
		check_eq(pthread_join(users[i].handle, NULL), 0);
		done += users[i].done;
		stale += users[i].stale;
		maps += users[i].maps;
	}
	note("%u commands done, %u came too late, %u maps; the longest move took %llu us", done,
	     stale, maps, (unsigned long long)longest);
	check(done && stale);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

static void *moves_run(void *arg)
{
	struct exporter_move move;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		check_eq(exported_move(arg, COPY | FORCE | WAIT, &move), 0);
		check_moved(&move);
		exported_check_damage(arg);
	}
	return NULL;
}

/* Attaches and submits until the drive is gone. */
static void *until_gone_run(void *arg)
{
	struct nvme_dmabuf_completion c[PIECES];
	struct nvme_dmabuf_command commands[PIECES];
	struct user *u = arg;
	uint32_t map = 0, reason;
	int result;

	for (;;) {
		result = attach_to(u->w->ctx, u->b->fd, u->w->drive.fd, 0, u->b->bytes,
				   NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
		if (result) {
			check_that(result == -ENODEV && reason == NVME_DMABUF_REASON_GONE,
				   "attach: %d, %s", result, nvmedmabuf_reason_name(reason));
			return NULL;
		}
		for (unsigned int i = 0; i < PIECES; i++)
			nvmedmabuf_prep_read(&commands[i], map, i * PIECE, PIECE, 0);
		check_eq(nvmedmabuf_submit(u->w->ctx, commands, c, PIECES), PIECES);
		for (unsigned int i = 0; i < PIECES; i++) {
			u->stale += c[i].error == -ESTALE;
			u->done += !c[i].error && !c[i].status;
		}
		if (rnd() % 2)
			check_eq(nvmedmabuf_detach(u->w->ctx, map), 0);
	}
}

static void drive_goes(const void *arg)
{
	struct known known = { .pci = "" };
	struct device device;

	(void)arg;
	known_remember("PLAIN512", &known);
	require_unbind(&known);
	device_find(&device, UNBIND, &known);
	for (unsigned int i = 0; i < scaled(5); i++) {
		struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
		uint32_t idle, reason;
		struct exported b;
		pthread_t mover;
		struct wire w;
		struct user u = { .w = &w, .b = &b };

		wire_open(&w, device.path, 64 * KIB);
		exported_create_pages(&b, MIB, EXPORTER_DYNAMIC);
		check_eq(wire_attach(&w, &b, 0, b.bytes, &idle, &reason), 0);
		stop = 0;
		check_eq(pthread_create(&mover, NULL, moves_run, &b), 0);
		check_eq(pthread_create(&u.handle, NULL, until_gone_run, &u), 0);
		for (uint64_t pause = 50 + rnd_below(300); pause; pause--)
			pause_ms();
		device_take(&device);
		check_eq(pthread_join(u.handle, NULL), 0);
		check_eq(nvmedmabuf_get_map_info(w.ctx, idle, &info), 0);
		check_eq(info.out_state, NVME_DMABUF_STATE_GONE);
		check_eq(exported_query(&b).out_attached, 0);
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		check_eq(pthread_join(mover, NULL), 0);
		note("%u commands done, %u came too late, %llu moves", u.done, u.stale,
		     (unsigned long long)exported_query(&b).out_moves);

		wire_close(&w);
		check_unused(&b);
		exported_check_damage(&b);
		exported_close(&b);
		device_return(&device);
	}
}

void add_races(void)
{
	static const char *paths[3];
	unsigned int count = plain_drives(paths);

	for (unsigned int i = 0; i < count; i++)
		tap_add(moved_under_users, paths[i], "%s: moves while threads use it", paths[i]);
	/* Last, since the drive may have another name afterwards. */
	tap_add(drive_goes, NULL, "the drive goes while the buffer moves");
}
