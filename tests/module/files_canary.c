// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test looks for what nobody may see: a word that the whole drive was filled with before
 * the file system was made, and with which others fill blocks that a file has given back. No
 * way to read an attached file may bring it into the buffer: read(2) would not have.
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

#include <linux/falloc.h>

#include "file_rig.h"

/* As text, CANARIES. No random data holds it twice by chance. */
#define CANARY 0x53454952414e4143ULL

static struct filesystem canaries[] = {
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
	{ .name = "ext4 of 1 KiB blocks on FILES512",
	  .kind = "ext4",
	  .drive = "FILES512",
	  .mkfs = "-b 1024 -m 0",
	  .start = MIB,
	  .bytes = 64 * MIB },
};

/* Made by the first test; the others find it mounted. */
static struct filesystem *mounted(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;

	filesystem_mount(fs);
	return fs;
}

static void check_no_canary(struct file_rig *rig, const char *when)
{
	const uint64_t *words;

	buffer_begin_cpu(&rig->buffer);
	words = (const uint64_t *)rig->buffer.addr;
	for (uint64_t i = 0; i < rig->buffer.size / sizeof(*words); i++)
		check_that(words[i] != CANARY, "%s: what nobody may see is at %#llx of the buffer",
			   when, (unsigned long long)(i * sizeof(*words)));
	buffer_end_cpu(&rig->buffer);
}

static void fill_canary(uint8_t *to, uint64_t bytes)
{
	const uint64_t word = CANARY;

	for (uint64_t i = 0; i + sizeof(word) <= bytes; i += sizeof(word))
		memcpy(to + i, &word, sizeof(word));
}

/* Each block of the file by itself, and all together: what read(2) gives, or nothing. */
static void read_everywhere(struct file_rig *rig, unsigned int *read, unsigned int *refused)
{
	uint64_t blocks = rig->file->bytes / rig->block + 3, block = rig->block;
	struct nvme_dmabuf_completion *c = calloc(blocks, sizeof(*c));
	struct nvme_dmabuf_command *commands = calloc(blocks, sizeof(*commands));

	check(c && commands);
	check(blocks * block <= rig->buffer.size);
	buffer_begin_cpu(&rig->buffer);
	memset(rig->buffer.addr, 0xa5, rig->buffer.size);
	buffer_end_cpu(&rig->buffer);
	for (uint64_t i = 0; i < blocks; i++)
		nvmedmabuf_prep_read(&commands[i], rig->map, i * block, block, i);
	check_eq(nvmedmabuf_submit(rig->ctx, commands, c, blocks), blocks);
	check_no_canary(rig, "single blocks");
	*read = *refused = 0;
	buffer_begin_cpu(&rig->buffer);
	for (uint64_t i = 0; i < blocks; i++) {
		const uint8_t *actual = rig->buffer.addr + i * block;

		if (!c[i].error) {
			check_eq(c[i].status, 0);
			compare("block", actual, rig->file->data + i * block, block, i * block);
			++*read;
			continue;
		}
		check_that(c[i].error == -ENODATA || c[i].error == -ERANGE, "block %llu: %s",
			   (unsigned long long)i, strerror(-c[i].error));
		for (uint64_t j = 0; j < block; j++)
			check_eq(actual[j], 0xa5);
		++*refused;
	}
	buffer_end_cpu(&rig->buffer);
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t count = 1 + rnd_below(blocks - 1);

		nvmedmabuf_read(rig->ctx, rig->map, 0, count * block, rnd_below(blocks - count + 1),
				NULL);
	}
	check_no_canary(rig, "many blocks");
	free(commands);
	free(c);
}

static void check_seen(const struct filesystem *fs, struct file *file, bool all)
{
	unsigned int read, refused;
	struct file_rig rig;

	file_reload(file);
	file_open(file, O_RDONLY);
	file_rig_open(&rig, fs, file, file->bytes + 4 * PAGE);
	file_rig_attach(&rig, 0);
	read_everywhere(&rig, &read, &refused);
	check(read > 0 && (all || refused > 3));
	file_rig_close(&rig);
	file_remove(file);
}

/* The canary is there: without that the tests would tell nothing. */
static void made(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	uint64_t at, found = 0, bytes = 4 * MIB;
	uint8_t *blocks = pages_alloc(bytes);
	struct drive drive;
	struct file file;

	filesystem_remake(fs, CANARY);
	file_create(fs, &file, "file", 0);
	file_allocate(&file, 0, 0, bytes);
	at = file_physical(&file, 0);
	filesystem_raw(fs, &drive);
	drive_read(&drive, at / drive.block, blocks, bytes);
	for (uint64_t i = 0; i < bytes; i += 8)
		found += !memcmp(blocks + i, "CANARIES", 8);
	/* mkfs may have had a use for some of them. */
	check_that(found > bytes / 8 / 2, "%llu of %llu words", (unsigned long long)found,
		   (unsigned long long)bytes / 8);
	drive_close(&drive);
	file_remove(&file);
}

static void unwritten(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file file;

	/* Allocated, and written here and there, from the middle of a block too. */
	file_create(fs, &file, "file", 0);
	file_truncate(&file, MIB - 100);
	file_allocate(&file, 0, 0, MIB - 100);
	for (unsigned int i = 0; i < 20; i++)
		file_write(&file, rnd_below((MIB - 20000) / PAGE) * PAGE, PAGE,
			   i % 2 ? O_DIRECT : 0);
	for (unsigned int i = 0; i < 20; i++)
		file_write(&file, rnd_below(MIB - 20000), 1 + rnd_below(5000), 0);
	check_seen(fs, &file, false);
}

static void holes(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file file;

	file_create(fs, &file, "file", 0);
	file_truncate(&file, MIB - 100);
	for (unsigned int i = 0; i < 40; i++)
		file_write(&file, rnd_below(MIB - 20000), 1 + rnd_below(5000), 0);
	file_allocate(&file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100 * KIB + 7, 50 * KIB);
	check_seen(fs, &file, false);
}

/* Room behind the end of a file: allocated ahead, or kept. */
static void behind_the_end(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file file;

	for (unsigned int i = 0; i < 10; i++) {
		file_create(fs, &file, "file", 1 + rnd_below(64 * KIB));
		file_allocate(&file, FALLOC_FL_KEEP_SIZE, 0, 128 * KIB);
		if (i % 2)
			file_write(&file, file.bytes, 1 + rnd_below(3 * PAGE), 0);
		check_seen(fs, &file, true);
	}
}

/* A file that gets longer without being written: what is between was never written. */
static void longer(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file file;

	for (unsigned int i = 0; i < 10; i++) {
		file_create(fs, &file, "file", 1 + rnd_below(64 * KIB));
		if (i % 2)
			file_allocate(&file, FALLOC_FL_KEEP_SIZE, 0, 256 * KIB);
		if (i % 3)
			file_sync(&file);
		file_truncate(&file, file.bytes + 30 * KIB + rnd_below(64 * KIB));
		file_write(&file, file.bytes + rnd_below(64 * KIB), 100, 0);
		check_seen(fs, &file, false);
	}
}

/**
 * struct game - a file that is made shorter and longer again, while others read it
 * @file: its first half never goes
 * @secret: gets the blocks that it gives back
 * @rounds: how often
 * @how: to make it shorter
 * @seen: reads that went well, and reads that were refused
 */
struct game {
	const struct filesystem *fs;
	struct file *file;
	char secret[192];
	unsigned int rounds;
	unsigned int how;
	volatile bool seen, over;
	pthread_t handle;
};

/* A slow machine's readers may need many times the rounds. */
#define GAME_PATIENCE 50
#define GAME_BYTES (512 * KIB)

/* A block of the game's file, wherever it is read from. */
static void game_block(uint8_t *to, uint64_t at)
{
	for (uint64_t i = 0; i < 512; i += 8) {
		uint64_t word = (at + i) * 0x9e3779b97f4a7c15ULL + 1;

		memcpy(to + i, &word, sizeof(word));
	}
}

static void game_fill(struct file *file)
{
	for (uint64_t at = 0; at < GAME_BYTES; at += 512)
		game_block(file->data + at, at);
}

static void game_shorten(const struct game *g)
{
	static const int flags[] = { O_WRONLY, O_RDONLY };
	int fd;

	if (g->how < ARRAY_SIZE(flags)) {
		check_sys(close(file_open_truncate(g->file, flags[g->how])));
	} else if (g->how == 2) {
		check_sys(truncate(g->file->path, GAME_BYTES / 2));
	} else {
		fd = check_sys(open(g->file->path, O_RDWR | O_CLOEXEC));
		check_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, GAME_BYTES / 4,
				    GAME_BYTES / 2));
		check_sys(close(fd));
	}
}

/* Returns false if there is no room for all of it. */
static bool game_write(const char *path, const uint8_t *data, int flags)
{
	int fd = check_sys(open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600));
	uint64_t at;
	bool done;

	for (at = 0; at < GAME_BYTES; at += 64 * KIB)
		if (pwrite(fd, data + at, 64 * KIB, at) != 64 * KIB)
			break;
	done = at == GAME_BYTES && !fsync(fd);
	check(done || errno == ENOSPC);
	check_sys(close(fd));
	return done;
}

static void *game_run(void *arg)
{
	struct game *g = arg;
	uint8_t *secret = pages_alloc(GAME_BYTES);

	fill_canary(secret, GAME_BYTES);
	for (unsigned int i = 0; i < g->rounds || (!g->seen && i < g->rounds * GAME_PATIENCE); i++) {
		game_shorten(g);
		/* What was given back is somebody else's at once, for there is no other room. */
		sync();
		game_write(g->secret, secret, O_DIRECT);
		/* Readers have some time with that. */
		for (unsigned int j = 0; j < 10; j++)
			pause_ms();
		check_sys(unlink(g->secret));
		wait_until(game_write(g->file->path, g->file->data, i % 2 ? O_DIRECT : 0) ||
			   (sync(), false));
		for (unsigned int j = 0; j < 5; j++)
			pause_ms();
	}
	g->over = true;
	munmap(secret, GAME_BYTES);
	return NULL;
}

/* Whatever read well is the file's, each block in its place. */
static void check_game(struct file_rig *rig, const struct nvme_dmabuf_command *commands,
		       const struct nvme_dmabuf_completion *c, unsigned int count)
{
	uint8_t expected[512];

	for (unsigned int i = 0; i < count; i++) {
		if (c[i].error || c[i].status)
			continue;
		for (uint64_t at = 0; at < commands[i].length; at += 512) {
			game_block(expected, commands[i].slba * rig->block + at);
			compare("what was read", rig->buffer.addr + commands[i].offset + at,
				expected, 512, commands[i].slba * rig->block + at);
		}
	}
}

/* As many as somebody has the patience for, or a few. */
static unsigned int game_rounds(void)
{
	const char *wanted = getenv("CANARY_ROUNDS");

	return wanted && *wanted ? strtoul(wanted, NULL, 0) : scaled(8);
}

static void reused(const void *arg, unsigned int how)
{
	struct filesystem *fs = mounted(arg);
	struct nvme_dmabuf_command commands[16];
	struct nvme_dmabuf_completion c[16];
	unsigned int good = 0, bad = 0;
	struct file file, ballast;
	struct file_rig rig;
	struct game g;

	/* What a test that failed has left behind takes up all the room. */
	run_quietly("rm -f %s/*-*", fs->where);
	file_name(fs, &file, "file", GAME_BYTES);
	game_fill(&file);
	g = (struct game){ .fs = fs, .file = &file, .rounds = game_rounds(), .how = how };
	snprintf(g.secret, sizeof(g.secret), "%s.secret", file.path);
	check(game_write(file.path, file.data, 0));
	file.bytes = GAME_BYTES;
	/* So that what is given back is used next. */
	filesystem_fill(fs, &ballast, GAME_BYTES / 4);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, 2 * MIB);
	file_rig_attach(&rig, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	check_eq(pthread_create(&g.handle, NULL, game_run, &g), 0);
	while (!g.over) {
		uint64_t offset = 0;

		buffer_begin_cpu(&rig.buffer);
		memset(rig.buffer.addr, 0xa5, rig.buffer.size);
		buffer_end_cpu(&rig.buffer);
		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
			uint64_t bytes = (1 + rnd_below(16)) * PAGE;

			nvmedmabuf_prep_read(&commands[i], rig.map, offset, bytes,
					     rnd_below((GAME_BYTES - bytes) / PAGE) * PAGE /
						     rig.block);
			offset += bytes;
		}
		check_eq(nvmedmabuf_submit(rig.ctx, commands, c, ARRAY_SIZE(commands)),
			 ARRAY_SIZE(commands));
		check_no_canary(&rig, "blocks that were given back");
		buffer_begin_cpu(&rig.buffer);
		check_game(&rig, commands, c, ARRAY_SIZE(commands));
		buffer_end_cpu(&rig.buffer);
		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
			good += !c[i].error;
			bad += !!c[i].error;
			check_that(!c[i].error || c[i].error == -ESTALE || c[i].error == -EBUSY ||
					   c[i].error == -ERANGE || c[i].error == -ENODATA,
				   "read: %s, %s", strerror(-c[i].error),
				   nvmedmabuf_reason_name(c[i].reason));
		}
		g.seen = good && bad;
	}
	check_eq(pthread_join(g.handle, NULL), 0);
	note("%u rounds: %u reads went well, %u were refused", g.rounds, good, bad);
	check(good && bad);
	file_rig_close(&rig);
	file_remove(&file);
	file_remove(&ballast);
}

static void reused_opened(const void *arg)
{
	reused(arg, 0);
}

static void reused_read_only(const void *arg)
{
	reused(arg, 1);
}

static void reused_truncated(const void *arg)
{
	reused(arg, 2);
}

static void reused_punched(const void *arg)
{
	reused(arg, 3);
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ made, "the drive is full of it" },
		{ unwritten, "unwritten extents" },
		{ holes, "holes" },
		{ behind_the_end, "behind the end" },
		{ longer, "files that got longer" },
		{ reused_opened, "blocks reused after open, truncated" },
		{ reused_read_only, "blocks reused after open for reading, truncated" },
		{ reused_truncated, "blocks reused after truncate(2)" },
		{ reused_punched, "blocks reused after a hole was punched" },
	};
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < ARRAY_SIZE(canaries); i++) {
		filesystem_add(&canaries[i], tests, ARRAY_SIZE(tests));
		filesystem_add_check(&canaries[i]);
	}
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
