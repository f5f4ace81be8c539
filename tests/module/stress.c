// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has several threads and processes attach, submit and detach at
 * random, on contexts and buffers that they share, and verifies all data.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

#define THREADS 4
#define SHARE	(2 * MIB)

struct worker {
	struct rig *shared;
	unsigned int number;
	pthread_t handle;
};

/* This thread's part of the buffer and of the window, as a rig of its own. */
static struct rig own_part(const struct worker *w)
{
	struct rig rig = *w->shared;
	uint64_t blocks = rig.count / THREADS;

	rig.first += w->number * blocks;
	rig.disk += w->number * blocks * rig.drive.block;
	rig.count = blocks;
	return rig;
}

static void *transfers_run(void *arg)
{
	struct nvme_dmabuf_command commands[16];
	struct worker *w = arg;
	struct rig rig = own_part(w);
	uint8_t *actual = pages_alloc(rig.count * rig.drive.block);

	rnd_start(w->number + 1);
	for (unsigned int i = 0; i < scaled(20); i++) {
		uint64_t start = rnd_below(SHARE / 2 / 4) * 4;
		uint64_t length = SHARE / 2 + rnd_below(SHARE / 2 - start / 2 + 1);

		length = min_u64(length, SHARE - start);
		rig_attach(&rig, w->number * SHARE + start, length, rig_access());
		for (unsigned int j = 1 + rnd_below(4); j; j--) {
			unsigned int n = rig_random(&rig, commands, 1 + rnd_below(16));

			if (n)
				rig_submit(&rig, commands, n);
		}
		buffer_begin_cpu(&rig.buffer);
		compare("this thread's part of the dma-buf", rig.buffer.addr + w->number * SHARE,
			rig.mirror + w->number * SHARE, SHARE, w->number * SHARE);
		buffer_end_cpu(&rig.buffer);
		drive_read(&rig.drive, rig.first, actual, rig.count * rig.drive.block);
		compare("this thread's part of the namespace", actual, rig.disk,
			rig.count * rig.drive.block, 0);
		rig_detach(&rig);
	}
	return NULL;
}

static void threads(const void *path)
{
	struct worker workers[THREADS];
	struct rig rig;

	rig_open(&rig, path, exporter_any(), THREADS * SHARE, THREADS * SHARE);
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ &rig, i, 0 };
		check_eq(pthread_create(&workers[i].handle, NULL, transfers_run, &workers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++)
		check_eq(pthread_join(workers[i].handle, NULL), 0);
	rig_verify(&rig);
	rig_close(&rig);
}

/* A map that others use is detached under them: done, or no such map. */
struct victim {
	struct rig *rig;
	uint32_t map;
	unsigned int done, missed, stop;
	pthread_t handles[THREADS];
};

static void *user_run(void *arg)
{
	struct nvme_dmabuf_completion c[8];
	struct nvme_dmabuf_command commands[8];
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct victim *v = arg;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		uint32_t map = __atomic_load_n(&v->map, __ATOMIC_RELAXED);
		int result;

		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
			nvmedmabuf_prep_read(&commands[i], map, i * 64 * KIB, 64 * KIB, 0);
		check_eq(nvmedmabuf_submit(v->rig->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
		for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
			if (!c[i].error) {
				check_eq(c[i].status, 0);
				check_eq(c[i].bytes, 64 * KIB);
				__atomic_add_fetch(&v->done, 1, __ATOMIC_RELAXED);
			} else {
				check_eq(c[i].error, -ENOENT);
				check_eq(c[i].reason, NVME_DMABUF_REASON_NO_MAP);
				check_eq(c[i].bytes, 0);
				__atomic_add_fetch(&v->missed, 1, __ATOMIC_RELAXED);
			}
		}
		result = nvmedmabuf_get_map_info(v->rig->ctx, map, &info);
		check(result == 0 || result == -ENOENT);
		result = nvmedmabuf_get_placement(v->rig->ctx, map, NULL, 0);
		check(result > 0 || result == -ENOENT);
	}
	return NULL;
}

static void detached_under_users(const void *path)
{
	struct victim v = { 0 };
	struct rig rig;

	rig_open(&rig, path, exporter_any(), MIB, 64 * KIB);
	rig_attach(&rig, 0, MIB, NVME_DMABUF_ACCESS_READ);
	v.rig = &rig;
	v.map = rig.map;
	for (unsigned int i = 0; i < THREADS; i++)
		check_eq(pthread_create(&v.handles[i], NULL, user_run, &v), 0);
	for (unsigned int i = 0; i < scaled(30); i++) {
		unsigned int before = __atomic_load_n(&v.done, __ATOMIC_RELAXED);

		wait_until(__atomic_load_n(&v.done, __ATOMIC_RELAXED) != before);
		check_eq(nvmedmabuf_detach(rig.ctx, v.map), 0);
		__atomic_store_n(&v.map,
				 attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, MIB,
					NVME_DMABUF_ACCESS_READ),
				 __ATOMIC_RELAXED);
	}
	__atomic_store_n(&v.stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < THREADS; i++)
		check_eq(pthread_join(v.handles[i], NULL), 0);
	note("%u commands done, %u came too late", v.done, v.missed);
	rig.map = v.map;
	rig_close(&rig);
}

/* Children work until they are killed in the midst of it; the buffer outlives them. */
static void processes_killed(const void *path)
{
	unsigned int *progress =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct rig rig;

	check(progress != MAP_FAILED);
	rig_open(&rig, path, exporter_any(), 4 * MIB, 4 * MIB);
	for (unsigned int i = 0; i < scaled(15); i++) {
		unsigned int limit = 1 + rnd_below(20);
		int status;
		pid_t child;

		*progress = 0;
		child = check_sys(fork());
		if (!child) {
			struct nvme_dmabuf_completion c[64];
			struct nvme_dmabuf_command commands[64];
			struct nvmedmabuf *ctx = ctx_open();

			for (;; __atomic_add_fetch(progress, 1, __ATOMIC_RELAXED)) {
				uint32_t map = attach(ctx, rig.buffer.fd, rig.drive.fd, 0, 2 * MIB,
						      NVME_DMABUF_ACCESS_READ);

				for (unsigned int j = 0; j < 64; j++)
					nvmedmabuf_prep_read(&commands[j], map, j * 32 * KIB,
							     32 * KIB, rig.first);
				nvmedmabuf_submit(ctx, commands, c, 64);
				if (*progress % 2)
					nvmedmabuf_detach(ctx, map);
			}
		}
		wait_until(__atomic_load_n(progress, __ATOMIC_RELAXED) >= limit);
		check_sys(kill(child, SIGKILL));
		check_eq(check_sys(waitpid(child, &status, 0)), child);
		check(WIFSIGNALED(status));
	}
	/* Nothing writes to the buffer any more, and it never did behind the map. */
	buffer_begin_cpu(&rig.buffer);
	compare("dma-buf behind the map", rig.buffer.addr + 2 * MIB, rig.mirror + 2 * MIB, 2 * MIB,
		2 * MIB);
	memset(rig.buffer.addr, 0x3c, 2 * MIB);
	memset(rig.mirror, 0x3c, 2 * MIB);
	buffer_end_cpu(&rig.buffer);
	rig_attach_all(&rig);
	rig_read(&rig, 2 * MIB, 2 * MIB, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	static const char *paths[3];
	unsigned int count = plain_drives(paths);

	require_device();
	if (!count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");
	for (unsigned int i = 0; i < count; i++) {
		const char *path = paths[i], *drive = drive_name(path);

		tap_add(threads, path, "%s: threads with maps of their own", drive);
		tap_add(detached_under_users, path, "%s: a map goes while threads use it", drive);
		tap_add(processes_killed, path, "%s: processes are killed", drive);
	}
	return tap_run(argc, argv);
}
