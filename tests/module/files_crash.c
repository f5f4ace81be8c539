// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test writes to attached files, and then the machine is killed: QEMU ends at once, and the
 * drives forget what they were not told to keep. What was written before a Flush is there when
 * the machine has booted again. Of all else a block holds what it held before, or what was
 * written, and never what is somebody else's.
 *
 * The program runs twice. In the machine's first life it writes, notes on a drive of its own what
 * must be found, and has the machine killed. In the second it looks.
 *
 * Some writes have FUA, and a Flush follows nevertheless: the drives of QEMU 11 ignore FUA. The
 * logs of file systems count on FUA too, so what fsync(2) wrote is durable only after a Flush.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file_rig.h"

#define BYTES	MIB
#define PAGES	(BYTES / PAGE)
#define SECTOR	512U
#define VICTIMS 2U

/* As text, CANARIES and STAMPED!. No random data holds them by chance. */
#define CANARY 0x53454952414e4143ULL
#define STAMP  0x214445504d415453ULL

static struct filesystem filesystems_crashed[VICTIMS] = {
	{ .name = "XFS on FILES512",
	  .kind = "xfs",
	  .drive = "FILES512",
	  .start = MIB,
	  .bytes = 304 * MIB },
	{ .name = "ext4 on FILES4K",
	  .kind = "ext4",
	  .drive = "FILES4K",
	  .mkfs = "-b 4096 -m 0",
	  .start = MIB,
	  .bytes = 64 * MIB },
};

/**
 * struct note - what the second life must find in a file
 * @stamp: STAMP, if there is a note
 * @seed: of the file's content
 * @version: what each page holds at least
 * @later: it may hold any later version, in each of its blocks another one
 */
struct note {
	uint64_t stamp;
	uint64_t seed;
	uint32_t version[PAGES];
	bool later[PAGES];
};

/**
 * struct victim - a file that is written when the machine is killed
 * @number: of its file system, and of its note
 * @version: the newest
 */
struct victim {
	unsigned int number;
	struct filesystem *fs;
	struct file file;
	struct file_rig rig;
	struct note note;
	uint32_t version;
	pthread_t handle;
};

/* A sector tells where it belongs, and which version it is. The first are zeros. */
static void stamp(uint8_t *to, uint64_t seed, uint64_t at, uint32_t version)
{
	uint64_t words[SECTOR / 8] = { STAMP, seed, at, version };

	if (!version) {
		memset(to, 0, SECTOR);
		return;
	}
	for (unsigned int i = 4; i < ARRAY_SIZE(words); i++)
		words[i] = (words[i - 1] ^ words[i % 4]) * 0x9e3779b97f4a7c15ULL + i;
	memcpy(to, words, SECTOR);
}

static void stamp_page(uint8_t *to, uint64_t seed, unsigned int page, uint32_t version)
{
	for (unsigned int i = 0; i < PAGE; i += SECTOR)
		stamp(to + i, seed, page * PAGE + i, version);
}

/* The file system is mounted. */
static void victim_begin(struct victim *v, unsigned int number)
{
	struct filesystem *fs = &filesystems_crashed[number];

	*v = (struct victim){ .number = number,
			      .fs = fs,
			      .file = { .fd = -1, .room = BYTES + PAGE } };
	snprintf(v->file.path, sizeof(v->file.path), "%s/victim", fs->where);
	v->file.data = pages_alloc(v->file.room);
}

/* Each note has a page of a drive that forgets nothing. */
static void note_write(const struct victim *v)
{
	uint8_t *page = pages_alloc(PAGE);
	struct drive notes;

	memcpy(page, &v->note, sizeof(v->note));
	drive_open(&notes, drive_path("NOTES"));
	drive_write(&notes, v->number * PAGE / notes.block, page, PAGE);
	drive_close(&notes);
	munmap(page, PAGE);
}

static void note_read(struct victim *v)
{
	uint8_t *page = pages_alloc(PAGE);
	struct drive notes;

	drive_open(&notes, drive_path("NOTES"));
	drive_read(&notes, v->number * PAGE / notes.block, page, PAGE);
	drive_close(&notes);
	memcpy(&v->note, page, sizeof(v->note));
	check_eq(v->note.stamp, STAMP);
	munmap(page, PAGE);
}

/* A file of ordinary writers, of which no word is a stamp or a canary. */
static void other_create(const struct victim *v, const char *name, bool synced)
{
	char path[192];
	uint64_t words[PAGE / 8];
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = i + 1;
	snprintf(path, sizeof(path), "%s/%s", v->fs->where, name);
	fd = check_sys(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	for (unsigned int i = 0; i < 16; i++)
		check_eq(write(fd, words, sizeof(words)), sizeof(words));
	if (synced)
		check_sys(fsync(fd));
	check_sys(close(fd));
}

/* A file that was just made, among others of which some have not reached the drive. */
static void victim_create(struct victim *v, unsigned int number)
{
	_Static_assert(sizeof(v->note) <= PAGE, "a note has one page");
	int fd;

	filesystem_remake(&filesystems_crashed[number], CANARY);
	victim_begin(v, number);
	v->note.stamp = STAMP;
	v->note.seed = rnd();
	other_create(v, "synced", true);
	fd = check_sys(open(v->file.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	check_eq(write(fd, v->file.data, BYTES), BYTES);
	check_sys(close(fd));
	v->file.bytes = BYTES;
	file_rig_open(&v->rig, v->fs, &v->file, BYTES);
	file_rig_attach_written(&v->rig, ACCESS_BOTH, 0);
	other_create(v, "cached", false);
}

/* A new version of these pages, each run of them by one command. Returns when all have ended. */
static void write_pages(struct victim *v, const bool wanted[PAGES])
{
	struct nvme_dmabuf_command commands[PAGES];
	unsigned int count = 0, first, end;

	v->version++;
	buffer_begin_cpu(&v->rig.buffer);
	for (unsigned int page = 0; page < PAGES; page++)
		if (wanted[page])
			stamp_page(v->rig.buffer.addr + page * PAGE, v->note.seed, page,
				   v->version);
	buffer_end_cpu(&v->rig.buffer);
	for (first = 0; first < PAGES; first = end + 1) {
		for (end = first; end < PAGES && wanted[end]; end++)
			;
		if (end == first)
			continue;
		nvmedmabuf_prep_write(&commands[count], v->rig.map, first * PAGE,
				      (end - first) * PAGE, first * PAGE / v->rig.block);
		commands[count++].flags = rnd() % 2 ? NVME_DMABUF_CMD_FUA : 0;
	}
	file_rig_submit(&v->rig, commands, count);
}

/* Some pages are written so that they stay. Then others are, and some of these too, and need not. */
static void victim_write(struct victim *v)
{
	bool kept[PAGES];

	/* The zeros stay. */
	check_eq(nvmedmabuf_flush(v->rig.ctx, v->rig.map, NULL), 0);
	for (unsigned int page = 0; page < PAGES; page++)
		kept[page] = rnd() % 2;
	write_pages(v, kept);
	check_eq(nvmedmabuf_flush(v->rig.ctx, v->rig.map, NULL), 0);
	for (unsigned int page = 0; page < PAGES; page++) {
		v->note.version[page] = kept[page] ? v->version : 0;
		v->note.later[page] = !kept[page] || rnd() % 4 == 0;
	}
	note_write(v);
	write_pages(v, v->note.later);
}

/* Goes on until the machine is killed. */
static void *victim_run(void *arg)
{
	struct victim *v = arg;
	bool some[PAGES];

	rnd_start(1 + v->number);
	for (;;) {
		for (unsigned int page = 0; page < PAGES; page++)
			some[page] = v->note.later[page] && rnd() % 4;
		write_pages(v, some);
	}
	return NULL;
}

static void killed(const void *arg)
{
	static struct victim victims[VICTIMS];

	(void)arg;
	for (unsigned int i = 0; i < VICTIMS; i++)
		victim_create(&victims[i], i);
	for (unsigned int i = 0; i < VICTIMS; i++)
		victim_write(&victims[i]);
	for (unsigned int i = 0; i < VICTIMS; i++)
		check_eq(pthread_create(&victims[i].handle, NULL, victim_run, &victims[i]), 0);
	check(file_put(getenv("NVME_DMABUF_CRASH"), "crash\n"));
	for (unsigned int i = 0; i < 60000; i++)
		pause_ms();
	fail("the machine was not killed");
}

/* The victim as it is after the log was replayed. */
static void victim_find(struct victim *v, unsigned int number)
{
	filesystem_mount_kept(&filesystems_crashed[number]);
	victim_begin(v, number);
	note_read(v);
	file_reload(&v->file);
	check_eq(v->file.bytes, BYTES);
}

/* The version of a block, which must be the same in all of it. */
static uint32_t victim_block(const struct victim *v, uint64_t at)
{
	uint8_t expected[SECTOR];
	uint64_t words[4];

	memcpy(words, v->file.data + at, sizeof(words));
	for (uint64_t i = 0; i < v->fs->block; i += SECTOR) {
		stamp(expected, v->note.seed, at + i, words[3]);
		compare("block", v->file.data + at + i, expected, SECTOR, at + i);
	}
	return words[3];
}

/*
 * Otherwise the tests would tell nothing. A file system may flush its drive at any time, but
 * hardly both do in the moment before the machine is killed.
 */
static void forgotten(const void *arg)
{
	unsigned int lost = 0, later = 0;
	struct victim v;

	(void)arg;
	for (unsigned int i = 0; i < VICTIMS; i++) {
		victim_find(&v, i);
		for (uint64_t at = 0; at < BYTES; at += v.fs->block) {
			if (!v.note.later[at / PAGE])
				continue;
			later++;
			lost += victim_block(&v, at) == v.note.version[at / PAGE];
		}
	}
	note("of %u blocks that were written and not flushed, %u hold what they held before", later,
	     lost);
	check(lost > 0);
}

static void kept(const void *arg)
{
	const struct filesystem *fs = arg;
	struct victim v;

	victim_find(&v, fs - filesystems_crashed);
	for (uint64_t at = 0; at < BYTES; at += v.fs->block) {
		uint32_t version = victim_block(&v, at), least = v.note.version[at / PAGE];

		check_that(v.note.later[at / PAGE] ? version >= least : version == least,
			   "version %u at %#llx, not %u", version, (unsigned long long)at, least);
	}
	/* It can be attached as before. */
	file_rig_open(&v.rig, v.fs, &v.file, BYTES);
	file_rig_attach_written(&v.rig, ACCESS_BOTH, 0);
	file_rig_read(&v.rig, 0, BYTES, 0);
	file_rig_write(&v.rig, 0, BYTES, 0);
	file_rig_close(&v.rig);
	file_verify(&v.file, -1);
}

/* Other files hold what was written to them, or, if that was never flushed, nothing. */
static void others(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	static const char *const names[] = { "synced", "cached" };

	filesystem_mount_kept(fs);
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		uint64_t words[PAGE / 8], bytes = 0;
		char path[192];
		ssize_t done;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", fs->where, names[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			check_eq(errno, ENOENT);
			check(i > 0);
			continue;
		}
		while ((done = check_sys(read(fd, words, sizeof(words)))) > 0) {
			for (unsigned int j = 0; j < done / 8; j++)
				check_that(words[j] == j + 1 || (i > 0 && !words[j]),
					   "%s holds %#llx", names[i],
					   (unsigned long long)words[j]);
			bytes += done;
		}
		check(bytes == 16 * PAGE || i > 0);
		check_sys(close(fd));
	}
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ kept, "what was flushed is there" },
		{ others, "other files" },
	};
	const char *text = getenv("NVME_DMABUF_LIFE");
	int life = text ? atoi(text) : 0, status;

	require_device();
	if (!getenv("NVME_DMABUF_CRASH") || !getenv("NVME_DMABUF_NS_NOTES"))
		tap_skip_all("nobody here kills the machine; see tests/vm/run --drives crash");
	filesystems_begin();
	if (life == 1) {
		tap_add(killed, NULL, "the machine is killed");
	} else {
		tap_add(forgotten, NULL, "the drives forgot what was not flushed");
		for (unsigned int i = 0; i < VICTIMS; i++) {
			filesystem_add(&filesystems_crashed[i], tests, ARRAY_SIZE(tests));
			filesystem_add_check(&filesystems_crashed[i]);
		}
	}
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
