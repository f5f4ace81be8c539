// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches files where nothing more can be written: the file system is full, or their
 * owner or project is over its quota. What a file has can be read and overwritten all the same,
 * for that needs no blocks. The tool, which makes a file longer, says what is wrong, and what
 * the file held is still there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/fs.h>

#include "file_rig.h"

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

#define NOBODY	65534
#define PROJECT 42
#define BYTES	MIB

static struct filesystem limited[] = {
	{ .name = "XFS on FILES512",
	  .kind = "xfs",
	  .drive = "FILES512",
	  .start = MIB,
	  .bytes = 304 * MIB,
	  .options = "uquota,pquota" },
	{ .name = "ext4 on FILES4K",
	  .kind = "ext4",
	  .drive = "FILES4K",
	  .mkfs = "-b 4096 -m 0 -O quota,project",
	  .options = "usrquota,prjquota",
	  .start = MIB,
	  .bytes = 64 * MIB },
};

struct full {
	struct filesystem *fs;
	struct file file;
	struct file ballast;
};

/**
 * struct limit - why there is no room for more
 * @error: what a writer is told
 * @reach: from then on
 * @lift: as before
 */
struct limit {
	int (*error)(const struct filesystem *fs);
	void (*reach)(struct full *full);
	void (*lift)(struct full *full);
};

static int no_space(const struct filesystem *fs)
{
	(void)fs;
	return ENOSPC;
}

static int no_quota(const struct filesystem *fs)
{
	(void)fs;
	return EDQUOT;
}

/* For XFS a project is a directory with an end, as a drive has one. */
static int no_project_quota(const struct filesystem *fs)
{
	return filesystem_is(fs, "xfs") ? ENOSPC : EDQUOT;
}

static void no_room(struct full *full)
{
	filesystem_fill(full->fs, &full->ballast, 0);
}

static void room(struct full *full)
{
	file_remove(&full->ballast);
}

/* Of what it may have on the drive, in KiB; 0 is no limit. */
static void set_quota(const struct full *full, int type, int id, uint64_t kib)
{
	struct dqblk quota = { .dqb_bhardlimit = kib, .dqb_valid = QIF_BLIMITS };

	check_sys(quotactl(QCMD(Q_SETQUOTA, type), full->fs->device, id, (void *)&quota));
}

static void owner_over(struct full *full)
{
	set_quota(full, USRQUOTA, NOBODY, 4);
}

static void owner_free(struct full *full)
{
	set_quota(full, USRQUOTA, NOBODY, 0);
}

static void project_over(struct full *full)
{
	int fd = check_sys(open(full->file.path, O_RDONLY | O_CLOEXEC));
	struct fsxattr attributes;

	check_sys(ioctl(fd, FS_IOC_FSGETXATTR, &attributes));
	attributes.fsx_projid = PROJECT;
	check_sys(ioctl(fd, FS_IOC_FSSETXATTR, &attributes));
	check_sys(close(fd));
	set_quota(full, PRJQUOTA, PROJECT, 4);
}

static void project_free(struct full *full)
{
	set_quota(full, PRJQUOTA, PROJECT, 0);
}

static const struct limit limits[] = {
	{ no_space, no_room, room },
	{ no_quota, owner_over, owner_free },
	{ no_project_quota, project_over, project_free },
};

static void full_open(struct full *full, const void *arg, const struct limit *limit)
{
	full->fs = (struct filesystem *)arg;
	filesystem_mount(full->fs);
	/* What a test that failed has left behind takes up all the room. */
	run_quietly("rm -f %s/*-*", full->fs->where);
	file_create(full->fs, &full->file, "file", BYTES);
	check_sys(chown(full->file.path, NOBODY, NOBODY));
	file_sync(&full->file);
	limit->reach(full);
}

static void full_close(struct full *full, const struct limit *limit)
{
	limit->lift(full);
	/* There is nothing wrong with the file. */
	file_write(&full->file, BYTES, PAGE, 0);
	file_sync(&full->file);
	file_verify(&full->file, -1);
	file_remove(&full->file);
}

/* Its owner cannot make it longer: otherwise the tests would tell nothing. */
static void check_limited(struct full *full, const struct limit *limit)
{
	int status;
	pid_t child = check_sys(fork());

	if (!child) {
		uint8_t *data = pages_alloc(BYTES);
		uint64_t at = BYTES;
		ssize_t done;
		int fd;

		check_sys(setgroups(0, NULL));
		check_sys(setresgid(NOBODY, NOBODY, NOBODY));
		check_sys(setresuid(NOBODY, NOBODY, NOBODY));
		fd = check_sys(open(full->file.path, O_WRONLY | O_CLOEXEC));
		while ((done = pwrite(fd, data, BYTES, at)) > 0)
			at += done;
		check_eq(errno, limit->error(full->fs));
		check(at < BYTES + MIB);
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	file_truncate(&full->file, BYTES);
}

static void overwritten(const void *arg, const struct limit *limit)
{
	struct file_rig rig;
	struct full full;

	full_open(&full, arg, limit);
	check_limited(&full, limit);
	file_rig_open(&rig, full.fs, &full.file, BYTES);
	file_open(&full.file, O_RDONLY);
	file_rig_attach(&rig, 0);
	file_close(&full.file);
	file_rig_read(&rig, 0, BYTES, 0);
	file_rig_detach(&rig);
	file_rig_attach_written(&rig, ACCESS_BOTH, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	file_rig_write(&rig, 0, BYTES, 0);
	check_eq(nvmedmabuf_flush(rig.ctx, rig.map, NULL), 0);
	/* Leases are broken, and taken again. */
	file_verify(&full.file, -1);
	file_rig_write(&rig, 0, BYTES / 2, 0);
	file_rig_close(&rig);
	check_limited(&full, limit);
	full_close(&full, limit);
}

/* Runs the tool as somebody for whom limits hold, and returns its exit status. */
static int run_tool(const char *path, const char *input, char *said, size_t size)
{
	const char *tool = getenv("NVME_DMABUF_TOOL");
	size_t length = 0;
	int pipes[2], status;
	ssize_t n;
	pid_t child;

	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		check_sys(dup2(pipes[1], STDOUT_FILENO));
		check_sys(dup2(pipes[1], STDERR_FILENO));
		check_sys(prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE));
		close(pipes[0]);
		close(pipes[1]);
		execl(tool, tool, "write", path, "-i", input, NULL);
		_exit(127);
	}
	close(pipes[1]);
	while ((n = read(pipes[0], said + length, size - 1 - length)) > 0)
		length += n;
	said[length] = 0;
	close(pipes[0]);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Random bytes for the tool, outside of the file system. */
static void input_create(struct file *input, const struct full *full, uint64_t bytes)
{
	file_name(full->fs, input, "input", bytes);
	snprintf(input->path, sizeof(input->path), "/tmp/nvme-dmabuf-input.%d", getpid());
	file_write(input, 0, bytes, 0);
}

static void by_tool(const void *arg, const struct limit *limit)
{
	const uint64_t longer = 16 * MIB;
	struct file input;
	struct full full;
	char said[4096];
	struct stat s;

	if (!getenv("NVME_DMABUF_TOOL"))
		skip("where is the tool? NVME_DMABUF_TOOL is not set");
	full_open(&full, arg, limit);
	input_create(&input, &full, BYTES);
	check_that(!run_tool(full.file.path, input.path, said, sizeof(said)), "the tool says: %s",
		   said);
	memcpy(full.file.data, input.data, BYTES);
	file_verify(&full.file, -1);
	file_remove(&input);

	input_create(&input, &full, longer);
	check_eq(run_tool(full.file.path, input.path, said, sizeof(said)), 1);
	note("the tool says: %.*s", (int)strcspn(said, "\n"), said);
	check_that(strstr(said, strerror(limit->error(full.fs))), "the tool says: %s", said);
	file_remove(&input);
	/* Nothing is left of the attempt. */
	check_sys(stat(full.file.path, &s));
	check_eq(s.st_size, BYTES);
	file_verify(&full.file, -1);
	full_close(&full, limit);
}

static void overwritten_full(const void *arg)
{
	overwritten(arg, &limits[0]);
}

static void overwritten_owner(const void *arg)
{
	overwritten(arg, &limits[1]);
}

static void overwritten_project(const void *arg)
{
	overwritten(arg, &limits[2]);
}

static void tool_full(const void *arg)
{
	by_tool(arg, &limits[0]);
}

static void tool_owner(const void *arg)
{
	by_tool(arg, &limits[1]);
}

static void tool_project(const void *arg)
{
	by_tool(arg, &limits[2]);
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ overwritten_full, "full, and overwritten" },
		{ overwritten_owner, "its owner over his quota, and overwritten" },
		{ overwritten_project, "its project over its quota, and overwritten" },
		{ tool_full, "full, and written by the tool" },
		{ tool_owner, "its owner over his quota, and written by the tool" },
		{ tool_project, "its project over its quota, and written by the tool" },
	};
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < ARRAY_SIZE(limited); i++) {
		filesystem_add(&limited[i], tests, ARRAY_SIZE(tests));
		filesystem_add_check(&limited[i]);
	}
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
