// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions for each transfer of a file on ext4: in one piece, in very many, and beside it
 * of the namespace itself; and what it takes to attach each. The last one has as many pieces
 * as blocks: it is made of the holes that another file has left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "parts.h"

#define WHERE	  "/tmp/bench-files"
#define WHOLE	  WHERE "/whole"
#define PIECES	  WHERE "/pieces"
#define PIECES_4K 100000ULL

static void write_zeros(const char *path, uint64_t bytes)
{
	int fd = check_sys(open(path, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
	void *zeros = aligned_alloc(PAGE, MIB);

	memset(zeros, 0, MIB);
	for (uint64_t at = 0; at < bytes; at += MIB) {
		uint64_t length = bytes - at < MIB ? bytes - at : MIB;

		if (pwrite(fd, zeros, length, at) != (ssize_t)length)
			die("%s: %m", path);
	}
	check_sys(fsync(fd));
	check_sys(close(fd));
	free(zeros);
}

/* Of nearly all that is left, every other block is given back. */
static void leave_holes(void)
{
	int fd = check_sys(open(WHERE "/rest", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	uint64_t bytes = 0, step = 128 * MIB;

	while (step >= PAGE) {
		if (!fallocate(fd, 0, bytes, step))
			bytes += step;
		else if (errno == ENOSPC)
			step /= 2;
		else
			die("fallocate: %m");
	}
	for (uint64_t i = 0; i < PIECES_4K + PIECES_4K / 8; i++)
		check_sys(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * i * PAGE,
				    PAGE));
	check_sys(fsync(fd));
	check_sys(close(fd));
}

static void make_files(const char *block)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "umount " WHERE " 2>/dev/null; mkdir -p " WHERE
		 " && mkfs.ext4 -q -F -m 0 -b 4096 -O ^has_journal -E lazy_itable_init=0 %s",
		 block);
	if (system(command))
		die("cannot make a file system on %s", block);
	check_sys(mount(block, WHERE, "ext4", 0, NULL));
	note("files: making one of one piece");
	write_zeros(WHOLE, 64 * MIB);
	note("files: making one of %llu pieces", PIECES_4K);
	leave_holes();
	write_zeros(PIECES, PIECES_4K * PAGE);
}

static void count_target(struct job *job, const char *path, const char *target, uint64_t span)
{
	static const uint32_t depths[] = { 1, 32 };
	const struct path *const *list = all_paths();

	job->block = path;
	job->span = span;
	for (; *list; list++) {
		if (*list == &path_uring_cmd)
			continue;
		note("files: %s, %s, %s", target, (*list)->name, job->writes ? "writes" : "reads");
		for (size_t d = 0; d < ARRAY_SIZE(depths); d++) {
			if (!wanted_number("DEPTHS", depths[d]))
				continue;
			job->depth = depths[d];
			count_one(job->writes ? "files_write" : "files_read", *list, job, target);
		}
	}
}

void files_part(struct job *job)
{
	static const char *const files[] = { WHOLE, PIECES };
	const char *block = job->block;
	struct memory memory;

	memory_alloc(&memory, MAX_DEPTH * MIB, true);
	memory_export(&memory, memory.size);
	job->memory = &memory;
	job->bytes = 4 * KIB;
	/* Before there is a file system. */
	for (int writes = 0; writes < 2; writes++) {
		job->writes = writes;
		count_target(job, block, "namespace", 512 * MIB);
	}
	make_files(block);
	for (int writes = 0; writes < 2; writes++) {
		job->writes = writes;
		count_target(job, WHOLE, "whole", 64 * MIB);
		count_target(job, PIECES, "pieces", PIECES_4K * PAGE);
	}
	note("files: attach");
	attach_files(&memory, block, files, ARRAY_SIZE(files));
	check_sys(umount(WHERE));
	memory_free(&memory);
}
