// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test uses several maps in turn, in one call: data, numbers that stand for no map
 * or no longer, maps that are revoked, and many that come and go meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exported.h"
#include "line.h"
#include "ring.h"

#define DEPTH 64U
#define MAPS  5U
#define FIRST RIG_FIRST

/* How commands are submitted: to a queue, or by io_uring. */
struct way {
	const char *name;
	bool ring;
	unsigned int flags;
};

static const struct way ways[] = {
	{ "interrupts", false, 0 },
	{ "polled", false, NVME_DMABUF_QUEUE_POLLED },
	{ "io_uring", true, 0 },
	{ "io_uring, polled", true, IORING_SETUP_IOPOLL },
};

struct gate {
	const struct way *way;
	int fd;
	struct line line;
	struct io_uring ring;
};

static void gate_open(struct gate *gate, const struct way *way, struct nvmedmabuf *ctx)
{
	gate->way = way;
	gate->fd = nvmedmabuf_fd(ctx);
	if (way->ring)
		ring_open(&gate->ring, DEPTH, way->flags);
	else
		line_open(&gate->line, gate->fd, DEPTH, way->flags, 0);
}

static void gate_close(struct gate *gate)
{
	if (gate->way->ring)
		io_uring_queue_exit(&gate->ring);
	else
		line_close(&gate->line);
}

/* Submits all at once; to[i] is the completion of commands[i]. */
static void gate_run(struct gate *gate, struct nvme_dmabuf_command *commands, unsigned int count,
		     struct nvme_dmabuf_completion *to)
{
	struct nvme_dmabuf_completion c;
	bool seen[DEPTH] = { false };

	for (unsigned int i = 0; i < count; i++)
		commands[i].user_data = FIRST + i;
	if (gate->way->ring) {
		for (unsigned int i = 0; i < count; i++)
			ring_prepare(&gate->ring, gate->fd, &commands[i]);
		check_eq(io_uring_submit(&gate->ring), count);
	} else {
		line_submit(&gate->line, commands, count);
		line_wait(&gate->line, count);
	}
	for (unsigned int i = 0; i < count; i++) {
		if (gate->way->ring)
			ring_wait(&gate->ring, &c);
		else
			check(line_next(&gate->line, &c));
		check(c.user_data - FIRST < count);
		check(!seen[c.user_data - FIRST]);
		seen[c.user_data - FIRST] = true;
		to[c.user_data - FIRST] = c;
	}
}

static void check_no_map(const struct nvme_dmabuf_completion *c)
{
	check_eq(c->error, -ENOENT);
	check_eq(c->reason, NVME_DMABUF_REASON_NO_MAP);
	check_eq(c->status, 0);
	check_eq(c->bytes, 0);
}

/* Maps of a rig's buffer, of which each begins elsewhere, so that data shows which was used. */
struct maps {
	uint32_t number[MAPS];
	uint64_t start[MAPS];
};

static void maps_attach(struct maps *maps, struct rig *rig)
{
	for (unsigned int i = 0; i < MAPS; i++) {
		maps->start[i] = i * 68 * KIB + 4 * i;
		maps->number[i] = attach(rig->ctx, rig->buffer.fd, rig->drive.fd, maps->start[i],
					 rig->buffer.size - maps->start[i], rig_access());
	}
}

static void maps_take(const struct maps *maps, unsigned int i, struct nvme_dmabuf_command *command)
{
	/* The first begins where the buffer does. */
	while (command->offset < maps->start[i % MAPS])
		i++;
	command->map = maps->number[i % MAPS];
	command->offset -= maps->start[i % MAPS];
}

static void data(const void *arg)
{
	struct nvme_dmabuf_completion done[DEPTH];
	struct nvme_dmabuf_command commands[DEPTH];
	struct gate gate;
	struct maps maps;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 8 * MIB, 8 * MIB);
	rig_attach_all(&rig);
	maps_attach(&maps, &rig);
	gate_open(&gate, arg, rig.ctx);
	for (unsigned int i = 0; i < scaled(12); i++) {
		unsigned int count = rig_random(&rig, commands, 1 + rnd_below(DEPTH));

		/* In turn, or as it comes; most runs of one map are short. */
		for (unsigned int j = 0; j < count; j++)
			maps_take(&maps, i % 2 ? rnd_below(MAPS) : j, &commands[j]);
		gate_run(&gate, commands, count, done);
		for (unsigned int j = 0; j < count; j++) {
			check_good(&done[j]);
			check_eq(done[j].bytes, commands[j].length);
		}
	}
	gate_close(&gate);
	rig_verify(&rig);
	rig_close(&rig);
}

/* Numbers that end in the same bits as a map's, and others. */
static uint32_t wrong_number(uint32_t number)
{
	switch (rnd_below(6)) {
	case 0:
		return 0;
	case 1:
		return number ^ 1U << (4 + rnd_below(28));
	case 2:
		return number + (16U << rnd_below(8));
	case 3:
		return ~number;
	case 4:
		return UINT32_MAX;
	default:
		return 1000 + rnd_below(1 << 20);
	}
}

static void wrong(const void *arg)
{
	struct nvme_dmabuf_completion done[DEPTH];
	struct nvme_dmabuf_command commands[DEPTH];
	bool is_wrong[DEPTH];
	struct gate gate;
	struct maps maps;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 4 * MIB);
	maps_attach(&maps, &rig);
	gate_open(&gate, arg, rig.ctx);
	for (unsigned int i = 0; i < scaled(20); i++) {
		for (unsigned int j = 0; j < DEPTH; j++) {
			is_wrong[j] = !rnd_below(3);
			nvmedmabuf_prep_read(&commands[j], maps.number[j % MAPS],
					     rnd_below(256) * PAGE, rig.drive.block, rig.first);
			if (is_wrong[j])
				commands[j].map = wrong_number(commands[j].map);
		}
		gate_run(&gate, commands, DEPTH, done);
		for (unsigned int j = 0; j < DEPTH; j++) {
			if (is_wrong[j])
				check_no_map(&done[j]);
			else
				check_good(&done[j]);
		}
	}
	gate_close(&gate);
	rig_close(&rig);
}

/* A number is never another map's, however many come after it. */
static void detached(const void *arg)
{
	struct nvme_dmabuf_completion done[DEPTH];
	struct nvme_dmabuf_command commands[DEPTH];
	uint32_t old[100], highest = 0;
	unsigned int count = 0;
	struct gate gate;
	struct maps maps;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 4 * MIB);
	maps_attach(&maps, &rig);
	for (unsigned int i = 0; i < MAPS; i++)
		highest = maps.number[i] > highest ? maps.number[i] : highest;
	gate_open(&gate, arg, rig.ctx);
	while (count < ARRAY_SIZE(old)) {
		unsigned int gone = rnd_below(MAPS);

		old[count++] = maps.number[gone];
		check_eq(nvmedmabuf_detach(rig.ctx, maps.number[gone]), 0);
		for (unsigned int j = 0; j < DEPTH; j++) {
			nvmedmabuf_prep_read(&commands[j], maps.number[j % MAPS],
					     rnd_below(256) * PAGE, rig.drive.block, rig.first);
			if (j % 5 == 3)
				commands[j].map = old[rnd_below(count)];
		}
		gate_run(&gate, commands, DEPTH, done);
		for (unsigned int j = 0; j < DEPTH; j++) {
			if (j % 5 == 3 || j % MAPS == gone)
				check_no_map(&done[j]);
			else
				check_good(&done[j]);
		}
		maps.number[gone] = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, maps.start[gone],
					   rig.buffer.size - maps.start[gone], rig_access());
		/* There were not yet so many that they would begin again. */
		check(maps.number[gone] > highest);
		highest = maps.number[gone];
	}
	gate_close(&gate);
	rig_close(&rig);
}

/* Another thread makes the table larger, and changes it, while commands go by it. */
struct crowd {
	struct rig *rig;
	bool stop;
};

static void *crowd_run(void *arg)
{
	struct crowd *crowd = arg;
	struct rig *rig = crowd->rig;
	uint32_t numbers[150];

	while (!__atomic_load_n(&crowd->stop, __ATOMIC_RELAXED)) {
		for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++)
			numbers[i] = attach(rig->ctx, rig->buffer.fd, rig->drive.fd, 0, PAGE,
					    NVME_DMABUF_ACCESS_READ);
		for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++)
			check_eq(nvmedmabuf_detach(rig->ctx, numbers[i]), 0);
	}
	return NULL;
}

static void crowded(const void *arg)
{
	struct nvme_dmabuf_completion done[DEPTH];
	struct nvme_dmabuf_command commands[DEPTH];
	struct crowd crowd = { 0 };
	pthread_t thread;
	struct gate gate;
	struct maps maps;
	struct rig rig;

	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 4 * MIB);
	maps_attach(&maps, &rig);
	gate_open(&gate, arg, rig.ctx);
	crowd.rig = &rig;
	check_eq(pthread_create(&thread, NULL, crowd_run, &crowd), 0);
	for (unsigned int i = 0; i < scaled(200); i++) {
		for (unsigned int j = 0; j < DEPTH; j++)
			nvmedmabuf_prep_read(&commands[j], maps.number[j % MAPS],
					     rnd_below(256) * PAGE, rig.drive.block, rig.first);
		gate_run(&gate, commands, DEPTH, done);
		for (unsigned int j = 0; j < DEPTH; j++)
			check_good(&done[j]);
	}
	__atomic_store_n(&crowd.stop, true, __ATOMIC_RELAXED);
	check_eq(pthread_join(thread, NULL), 0);
	gate_close(&gate);
	rig_close(&rig);
}

/* Of maps in turn one is revoked, and later is refreshed. */
static void revoked(const void *arg)
{
	struct nvme_dmabuf_completion done[DEPTH];
	struct nvme_dmabuf_command commands[DEPTH];
	uint32_t maps[3], reason;
	struct exporter_move move;
	struct exported b[3];
	struct gate gate;
	struct wire w;

	if (access(EXPORTER_DEVICE, R_OK))
		skip("the test exporter is not loaded");
	wire_open(&w, main_drive(), MIB);
	for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++) {
		exported_create_pages(&b[i], MIB, EXPORTER_DYNAMIC);
		check_eq(wire_attach(&w, &b[i], 0, b[i].bytes, &maps[i], &reason), 0);
	}
	gate_open(&gate, arg, w.ctx);
	for (unsigned int i = 0; i < scaled(6); i++) {
		unsigned int gone = i % ARRAY_SIZE(maps);
		bool stale = !(i & 1);

		if (stale) {
			check_eq(exported_move(&b[gone],
					       EXPORTER_MOVE_REVOKE | EXPORTER_MOVE_FORCE |
						       EXPORTER_MOVE_WAIT,
					       &move),
				 0);
			check_moved(&move);
		}
		for (unsigned int j = 0; j < DEPTH; j++)
			nvmedmabuf_prep_read(&commands[j], maps[j % ARRAY_SIZE(maps)],
					     rnd_below(64) * PAGE, w.drive.block, w.first);
		gate_run(&gate, commands, DEPTH, done);
		for (unsigned int j = 0; j < DEPTH; j++) {
			if (stale && j % ARRAY_SIZE(maps) == gone) {
				check_eq(done[j].error, -ESTALE);
				check_eq(done[j].reason, NVME_DMABUF_REASON_REVOKED);
				check_eq(done[j].bytes, 0);
			} else {
				check_good(&done[j]);
			}
		}
		if (stale) {
			check_eq(exported_move(&b[gone], EXPORTER_MOVE_RESTORE | EXPORTER_MOVE_WAIT,
					       &move),
				 0);
			check_eq(nvmedmabuf_refresh(w.ctx, maps[gone], NULL, &reason), 0);
		}
	}
	gate_close(&gate);
	wire_close(&w);
	for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++)
		exported_close(&b[i]);
}

int main(int argc, char **argv)
{
	static const struct {
		void (*run)(const void *arg);
		const char *name;
	} tests[] = {
		{ data, "data" },
		{ wrong, "numbers that stand for no map" },
		{ detached, "maps are detached" },
		{ crowded, "others come and go meanwhile" },
		{ revoked, "one is revoked" },
	};

	require_device();
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		for (size_t j = 0; j < ARRAY_SIZE(ways); j++)
			tap_add(tests[i].run, &ways[j], "%s: %s", ways[j].name, tests[i].name);
	return tap_run(argc, argv);
}
