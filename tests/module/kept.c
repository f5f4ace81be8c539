// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test takes a drive away while data is being written to it in every way, and
 * looks at the drive when it is back: each block whose write succeeded holds what was
 * written last. Each other block of a write holds that or what it held before, and no
 * mixture. Nothing around has changed.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "leaving.h"
#include "qmp.h"
#include "ways.h"

/*
 * A part of the window, and of the buffer, for each way to submit. A guard at both ends
 * of the window.
 */
#define BLOCK	 512U
#define PART	 512U /* blocks */
#define GUARD	 64U  /* blocks */
#define WINDOW	 (2 * GUARD + WAYS * PART)
#define COMMANDS 12U

static struct known hot_drive;

/*
 * What a block of the window holds after its write with that number: nothing else ever
 * holds the same, and each word depends on both.
 */
static void stamp(uint64_t block, uint64_t number, uint64_t to[BLOCK / 8])
{
	for (uint64_t i = 0; i < BLOCK / 8; i++) {
		uint64_t word = (number << 32 | block << 8 | i) * 0x9e3779b97f4a7c15ULL;

		to[i] = word ^ word >> 29;
	}
}

/**
 * struct writer - a thread that writes its part of the window, again and again, until a
 * write fails
 * @kept: of each block, the last number whose write succeeded; 0 is what it held first
 * @tried: of each block, the number whose write failed, or 0
 * @rounds: how often it has written with success
 * @failed: how many commands of the last round failed
 */
struct writer {
	struct rig *rig;
	unsigned int part;
	uint32_t kept[PART], tried[PART];
	volatile unsigned int rounds;
	unsigned int failed;
	pthread_t handle;
};

/* Pieces of the part that do not overlap, freshly stamped. */
static unsigned int prepare(struct writer *w, uint32_t number, struct nvme_dmabuf_command *commands)
{
	uint64_t first = w->part * PART, at = rnd_below(16);
	struct rig *rig = w->rig;
	unsigned int count;

	buffer_begin_cpu(&rig->buffer);
	for (count = 0; count < COMMANDS; count++) {
		uint64_t blocks = 1 + rnd_below(rnd() % 4 ? 32 : 128);

		if (at + blocks > PART)
			break;
		for (uint64_t i = 0; i < blocks; i++)
			stamp(GUARD + first + at + i, number,
			      (uint64_t *)(rig->buffer.addr + (first + at + i) * BLOCK));
		nvmedmabuf_prep_write(&commands[count], rig->map, (first + at) * BLOCK,
				      blocks * BLOCK, rig->first + GUARD + first + at);
		commands[count].user_data = RIG_FIRST + count;
		at += blocks + rnd_below(8);
	}
	buffer_end_cpu(&rig->buffer);
	return count;
}

static void *writer_run(void *arg)
{
	struct nvme_dmabuf_completion completions[COMMANDS];
	struct nvme_dmabuf_command commands[COMMANDS];
	volatile unsigned int done;
	volatile bool submitted;
	struct writer *w = arg;

	rnd_start(w->part + 1);
	for (uint32_t number = 1; !w->failed; number++) {
		unsigned int count = prepare(w, number, commands);

		way_run(&submit_ways[w->part], nvmedmabuf_fd(w->rig->ctx), commands, count,
			completions, &submitted, &done);
		for (unsigned int i = 0; i < count; i++) {
			uint64_t first = commands[i].slba - w->rig->first - GUARD - w->part * PART;
			bool good = !completions[i].error && !completions[i].status;

			if (submit_ways[w->part].kind != WAY_FENCE)
				check_ended(&completions[i], commands[i].length);
			w->failed += !good;
			for (uint64_t j = 0; j < commands[i].length / BLOCK; j++)
				(good ? w->kept : w->tried)[first + j] = number;
		}
		w->rounds += !w->failed;
	}
	return NULL;
}

static bool holds(const uint8_t *actual, uint64_t block, uint64_t number)
{
	uint64_t expected[BLOCK / 8];

	stamp(block, number, expected);
	return !memcmp(actual, expected, BLOCK);
}

/* Returns how many blocks were written though nobody was told so. */
static unsigned int check_part(const struct writer *w, const uint8_t *actual)
{
	unsigned int untold = 0;

	for (uint64_t i = 0; i < PART; i++) {
		uint64_t block = GUARD + w->part * PART + i;

		if (holds(actual + block * BLOCK, block, w->kept[i]))
			continue;
		check_that(
			w->tried[i] && holds(actual + block * BLOCK, block, w->tried[i]),
			"%s: block %llu of the window holds neither its write %u, which succeeded, nor %u, which did not",
			submit_ways[w->part].name, (unsigned long long)block, w->kept[i],
			w->tried[i]);
		untold++;
	}
	return untold;
}

static void check_kept(const struct device *d, uint64_t first, const struct writer *writers)
{
	uint8_t *actual = pages_alloc(WINDOW * BLOCK);
	unsigned int rounds = 0, failed = 0, untold = 0;
	struct drive drive;

	drive_open(&drive, d->path);
	drive_read(&drive, first, actual, WINDOW * BLOCK);
	drive_close(&drive);
	for (unsigned int i = 0; i < WAYS; i++) {
		rounds += writers[i].rounds;
		failed += writers[i].failed;
		untold += check_part(&writers[i], actual);
	}
	for (uint64_t i = 0; i < GUARD; i++) {
		check(holds(actual + i * BLOCK, i, 0));
		check(holds(actual + (WINDOW - 1 - i) * BLOCK, WINDOW - 1 - i, 0));
	}
	note("%u rounds, then %u commands failed, which wrote %u blocks", rounds, failed, untold);
	munmap(actual, WINDOW * BLOCK);
}

static void fill(struct rig *rig)
{
	uint8_t *content = pages_alloc(WINDOW * BLOCK);

	check_eq(rig->drive.block, BLOCK);
	for (uint64_t i = 0; i < WINDOW; i++)
		stamp(i, 0, (uint64_t *)(content + i * BLOCK));
	drive_write(&rig->drive, rig->first, content, WINDOW * BLOCK);
	munmap(content, WINDOW * BLOCK);
}

static void taken(const void *arg)
{
	enum way way = (enum way)(uintptr_t)arg;
	static struct writer writers[WAYS];
	struct device d;
	struct rig rig;

	require_erase();
	require_unbind(&hot_drive);
	require_qmp();
	for (unsigned int round = 0; round < scaled(1); round++) {
		device_find(&d, way, &hot_drive);
		drive_throttle(&hot_drive, 0);
		rig_open(&rig, d.path, exporter_any(), WAYS * PART * BLOCK, WINDOW * BLOCK);
		fill(&rig);
		rig_attach(&rig, 0, WAYS * PART * BLOCK, NVME_DMABUF_ACCESS_WRITE);
		/* So that there is always something in flight. */
		drive_throttle(&hot_drive, 8 * MIB);
		for (unsigned int i = 0; i < WAYS; i++) {
			writers[i] = (struct writer){ .rig = &rig, .part = i };
			check_eq(pthread_create(&writers[i].handle, NULL, writer_run, &writers[i]),
				 0);
		}
		for (unsigned int i = 0; i < WAYS; i++)
			wait_until(writers[i].rounds > 1);
		for (uint64_t pause = rnd_below(50); pause; pause--)
			pause_ms();
		device_take(&d);
		for (unsigned int i = 0; i < WAYS; i++)
			check_eq(pthread_join(writers[i].handle, NULL), 0);
		check_gone(&rig);
		drive_throttle(&hot_drive, 0);
		device_return(&d);
		check_kept(&d, rig.first, writers);
		rig_close(&rig);
		check_works(&d);
	}
}

int main(int argc, char **argv)
{
	require_device();
	known_remember("HOT", &hot_drive);
	tap_add(taken, (void *)UNBIND, "driver unbound");
	tap_add(taken, (void *)REMOVE, "device removed");
	tap_add(taken, (void *)UNPLUG, "device unplugged");
	tap_add(taken, (void *)PULL, "device pulled out of its slot");
	return tap_run(argc, argv);
}
