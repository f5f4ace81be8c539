// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has many maps share what is mapped of one buffer: it is mapped once, unmapped
 * with the last of them, and taken back from all of them at once. What one of them does,
 * or its user, is not felt by the others.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"
#include "line.h"

#define COPY  EXPORTER_MOVE_COPY
#define FORCE EXPORTER_MOVE_FORCE
#define WAIT  EXPORTER_MOVE_WAIT

#define WINDOW (256 * KIB)
#define MANY   1000U
#define FEW    8U

/* Attached once, mapped once and never unmapped, however many maps there are. */
static void check_mapped_once(const struct exported *b)
{
	struct exporter_query q = exported_query(b);

	check_eq(q.out_attached, 1);
	check_eq(q.out_mapped, 1);
	check_eq(q.out_maps - q.out_unmaps, 1);
}

/* Two contexts that exchange data with the same blocks. */
static void wires_open(struct wire w[2])
{
	wire_open(&w[0], main_drive(), WINDOW);
	w[1] = w[0];
	w[1].ctx = ctx_open();
}

static void wires_close(struct wire w[2])
{
	nvmedmabuf_close(w[1].ctx);
	wire_close(&w[0]);
}

static uint32_t new_map(struct wire *w, struct exported *b)
{
	uint32_t map, reason;

	check_eq(wire_attach(w, b, 0, WINDOW, &map, &reason), 0);
	return map;
}

/* By turns of two contexts. */
static void many(const void *arg)
{
	static uint32_t maps[MANY];
	struct nvme_dmabuf_map_info first = { .size = sizeof(first) },
				    info = { .size = sizeof(info) };
	struct wire w[2];
	struct exported b;

	(void)arg;
	wires_open(w);
	exported_create_pages(&b, WINDOW, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < MANY; i++) {
		maps[i] = new_map(&w[i % 2], &b);
		check_eq(nvmedmabuf_get_map_info(w[i % 2].ctx, maps[i], &info), 0);
		if (!i)
			first = info;
		check_eq(info.out_segments, first.out_segments);
		check_eq(info.out_list_bytes, first.out_list_bytes);
		check_eq(info.out_flags, first.out_flags);
		check_eq(info.out_generation, 1);
	}
	check_mapped_once(&b);
	check_eq(exported_query(&b).out_maps, 1);
	wire_transfers(&w[0], &b, maps[0], 0, WINDOW, WINDOW / 2, 3);
	/* In another order than they came, with commands between. */
	for (unsigned int i = 0; i < MANY; i++) {
		unsigned int at = (i * 7 + 3) % MANY;

		check_mapped_once(&b);
		if (i % 100 == 0)
			wire_transfers(&w[at % 2], &b, maps[at], 0, WINDOW, WINDOW / 2, 1);
		check_eq(nvmedmabuf_detach(w[at % 2].ctx, maps[at]), 0);
	}
	check_unused(&b);
	check_eq(exported_query(&b).out_maps, 1);
	check_eq(exported_query(&b).out_unmaps, 1);
	exported_verify(&b);
	exported_close(&b);
	wires_close(w);
}

/* Other ranges and other directions are other mappings. */
static void others(const void *arg)
{
	static const struct {
		uint32_t access;
		uint64_t start;
		uint64_t length;
	} kinds[] = {
		{ NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE, 0, WINDOW },
		{ NVME_DMABUF_ACCESS_READ, 0, WINDOW },
		{ NVME_DMABUF_ACCESS_WRITE, 0, WINDOW },
		{ NVME_DMABUF_ACCESS_READ, 4, WINDOW - 4 },
		{ NVME_DMABUF_ACCESS_READ, 0, WINDOW - 4 },
	};
	struct nvme_dmabuf_attach args = { .size = sizeof(args) };
	struct exported b;
	struct wire w;

	(void)arg;
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, WINDOW, EXPORTER_DYNAMIC);
	args.dmabuf_fd = b.fd;
	args.ns_fd = w.drive.fd;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(kinds); i++) {
		unsigned int kind = i % ARRAY_SIZE(kinds);

		args.access = kinds[kind].access;
		args.offset = kinds[kind].start;
		args.length = kinds[kind].length;
		check_sys(ioctl(nvmedmabuf_fd(w.ctx), NVME_DMABUF_IOC_ATTACH, &args));
		check_eq(exported_query(&b).out_attached, MIN(i + 1, ARRAY_SIZE(kinds)));
	}
	check_eq(exported_query(&b).out_maps, ARRAY_SIZE(kinds));
	wire_close(&w);
	check_unused(&b);
	exported_close(&b);
}

/* Each map has one event, and says the same; one refresh maps for all. */
static void taken_back(const void *arg)
{
	struct nvme_dmabuf_event events[FEW + 1];
	struct nvme_dmabuf_events args = { .size = sizeof(args), .count = FEW + 1 };
	uint32_t maps[2][FEW], reason;
	struct exporter_move move;
	struct exported b;
	struct wire w[2];
	uint64_t before;

	(void)arg;
	if (!kernel_is_movable())
		skip("this kernel pins what it maps");
	wires_open(w);
	exported_create_pages(&b, WINDOW, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < 2 * FEW; i++)
		maps[i % 2][i / 2] = new_map(&w[i % 2], &b);
	for (unsigned int round = 0; round < scaled(5); round++) {
		before = exported_query(&b).out_unmaps;
		check_eq(exported_move(&b, COPY | FORCE | WAIT, &move), 0);
		check_moved(&move);
		check_eq(exported_query(&b).out_unmaps, before + 1);
		check_eq(exported_query(&b).out_mapped, 0);
		args.events = (uintptr_t)events;
		for (unsigned int i = 0; i < 2; i++) {
			bool seen[FEW] = { false };

			check_sys(ioctl(nvmedmabuf_fd(w[i].ctx), NVME_DMABUF_IOC_EVENTS, &args));
			check_eq(args.out_count, FEW);
			for (unsigned int e = 0; e < FEW; e++)
				for (unsigned int m = 0; m < FEW; m++)
					if (events[e].map == maps[i][m]) {
						check(!seen[m]);
						seen[m] = true;
						check_eq(events[e].state,
							 NVME_DMABUF_STATE_REVOKED);
						check_eq(events[e].generation, round + 1);
					}
			for (unsigned int m = 0; m < FEW; m++)
				check(seen[m]);
		}
		/* Who is not refreshed yet takes no command, though the buffer is mapped. */
		before = exported_query(&b).out_maps;
		for (unsigned int i = 0; i < 2 * FEW; i++) {
			struct nvme_dmabuf_completion c;
			struct nvme_dmabuf_command command;
			uint64_t generation;

			nvmedmabuf_prep_read(&command, maps[i % 2][i / 2], 0, WINDOW, w[0].first);
			check_eq(nvmedmabuf_submit(w[i % 2].ctx, &command, &c, 1), 1);
			check_eq(c.error, -ESTALE);
			check_eq(c.reason, NVME_DMABUF_REASON_REVOKED);
			check_eq(nvmedmabuf_refresh(w[i % 2].ctx, maps[i % 2][i / 2], &generation,
						    &reason),
				 0);
			check_eq(generation, round + 2);
			wire_transfers(&w[i % 2], &b, maps[i % 2][i / 2], 0, WINDOW, WINDOW / 2, 1);
		}
		check_eq(exported_query(&b).out_maps, before + 1);
		check_mapped_once(&b);
	}
	wires_close(w);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
}

/*
 * While one context moves data, others attach the same, have their commands refused, detach,
 * close and are killed.
 */
static void apart(const void *arg)
{
	struct exported b;
	struct wire w;
	uint32_t map;

	(void)arg;
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, WINDOW, EXPORTER_DYNAMIC);
	map = new_map(&w, &b);
	for (unsigned int round = 0; round < scaled(10); round++) {
		pid_t child = check_sys(fork());
		int status;

		if (!child) {
			struct nvme_dmabuf_completion c;
			struct nvme_dmabuf_command command;
			struct wire mine = { .drive = w.drive, .first = w.first };
			uint32_t other;

			mine.ctx = ctx_open();
			other = new_map(&mine, &b);
			nvmedmabuf_prep_write(&command, other, WINDOW, WINDOW, w.first);
			check_eq(nvmedmabuf_submit(mine.ctx, &command, &c, 1), 1);
			check_eq(c.error, -ERANGE);
			if (round % 3 == 0)
				check_eq(nvmedmabuf_detach(mine.ctx, other), 0);
			if (round % 3 == 1)
				nvmedmabuf_close(mine.ctx);
			kill(getpid(), SIGKILL);
		}
		do
			wire_transfers(&w, &b, map, 0, WINDOW, WINDOW / 2, 3);
		while (!check_sys(waitpid(child, &status, WNOHANG)));
		check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		wire_transfers(&w, &b, map, 0, WINDOW, WINDOW / 2, 1);
		wait_until(exported_query(&b).out_attached == 1);
		check_mapped_once(&b);
	}
	check_eq(exported_query(&b).out_maps, 1);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	wire_close(&w);
	exported_verify(&b);
	exported_close(&b);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	require_erase();
	tap_add(many, NULL, "a thousand maps, mapped once");
	tap_add(others, NULL, "other ranges and directions");
	tap_add(taken_back, NULL, "taken back from all");
	tap_add(apart, NULL, "contexts do not feel each other");
	return tap_run(argc, argv);
}
