// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test does to file systems what administrators do, while files of theirs are attached:
 * unmounts, remounts, freezes, trims and shuts them down. Nothing hangs, what can go on goes
 * on, and after detach all is as if there had been nothing. And it gives attached files
 * properties for which they would have been refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/fsverity.h>

#include "file_rig.h"

#define BYTES MIB

static struct filesystem *const xfs = &filesystems[0], *const ext4 = &filesystems[2];

static struct filesystem special = {
	.name = "ext4 with verity",
	.kind = "ext4",
	.drive = "FILES4K",
	.mkfs = "-b 4096 -O verity",
};

struct attached {
	struct file_rig rig;
	struct file file;
};

static void attached_open(struct attached *a, struct filesystem *fs, uint32_t flags)
{
	filesystem_mount(fs);
	file_create(fs, &a->file, "file", BYTES);
	file_sync(&a->file);
	file_open(&a->file, O_RDONLY);
	file_rig_open(&a->rig, fs, &a->file, BYTES);
	file_rig_attach(&a->rig, flags);
}

static void attached_close(struct attached *a)
{
	file_rig_close(&a->rig);
	file_remove(&a->file);
}

/* A map keeps its file open, and so the file system mounted. */
static void unmounted(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;

	attached_open(&a, fs, 0);
	file_close(&a.file);
	check_eq(filesystem_unmount(fs), -EBUSY);
	file_rig_read(&a.rig, 0, BYTES, 0);
	file_rig_detach(&a.rig);
	filesystem_remount(fs);
	file_verify(&a.file, -1);
	attached_close(&a);
}

/* Revoked, it is no less open. */
static void unmounted_revoked(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;

	attached_open(&a, fs, 0);
	file_close(&a.file);
	file_truncate(&a.file, BYTES / 2);
	file_rig_refused(&a.rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	check_eq(filesystem_unmount(fs), -EBUSY);
	check_eq(nvmedmabuf_refresh(a.rig.ctx, a.rig.map, NULL, NULL), 0);
	file_rig_read(&a.rig, 0, BYTES / 2, 0);
	file_rig_detach(&a.rig);
	filesystem_remount(fs);
	attached_close(&a);
}

/* What nobody sees any more stays as long as somebody uses it. */
static void unmounted_lazily(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;
	int fd;

	attached_open(&a, fs, 0);
	file_close(&a.file);
	check_sys(umount2(fs->where, MNT_DETACH));
	file_rig_read(&a.rig, 0, BYTES, 0);
	check_eq(open(fs->device, O_RDWR | O_EXCL | O_CLOEXEC), -1);
	check_eq(errno, EBUSY);
	nvmedmabuf_close(a.rig.ctx);
	a.rig.ctx = ctx_open();
	a.rig.map = 0;
	wait_until((fd = open(fs->device, O_RDWR | O_EXCL | O_CLOEXEC)) >= 0);
	check_sys(close(fd));
	check_sys(mount(fs->device, fs->where, fs->kind, 0, ""));
	file_verify(&a.file, -1);
	attached_close(&a);
}

static void remounted(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;

	attached_open(&a, fs, 0);
	check_sys(mount(NULL, fs->where, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	file_rig_read(&a.rig, 0, BYTES, 0);
	file_rig_detach(&a.rig);
	/* And one that is attached then. */
	file_rig_attach(&a.rig, 0);
	file_rig_read(&a.rig, 0, BYTES, 0);
	check_sys(mount(NULL, fs->where, NULL, MS_REMOUNT, NULL));
	file_rig_read(&a.rig, 0, BYTES, 0);
	attached_close(&a);
}

static void frozen(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;
	int fd;

	attached_open(&a, fs, 0);
	fd = check_sys(open(fs->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	check_sys(ioctl(fd, FIFREEZE, 0));
	/* If one of these hangs, the test ends, and what unmounts the file system thaws it. */
	file_rig_read(&a.rig, 0, BYTES, 0);
	file_rig_detach(&a.rig);
	file_rig_attach(&a.rig, 0);
	file_rig_read(&a.rig, 0, BYTES, 0);
	check_sys(ioctl(fd, FITHAW, 0));
	check_sys(close(fd));
	file_rig_read(&a.rig, 0, BYTES, 0);
	attached_close(&a);
}

static void trimmed(const void *arg)
{
	struct fstrim_range range = { .len = ~0ULL };
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;
	int fd;

	attached_open(&a, fs, 0);
	fd = check_sys(open(fs->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (ioctl(fd, FITRIM, &range))
		skip("this drive is not trimmed: %m");
	check_sys(close(fd));
	file_rig_read(&a.rig, 0, BYTES, 0);
	file_sync(&a.file);
	file_verify(&a.file, -1);
	attached_close(&a);
}

/* After an error of its own, say. Reading may fail, or not; all else must end. */
static void shut_down(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	uint32_t map, reason;
	struct nvme_dmabuf_completion c;
	struct attached a;
	int result;

	attached_open(&a, fs, 0);
	filesystem_shut_down(fs, true);
	result = nvmedmabuf_read(a.rig.ctx, a.rig.map, 0, BYTES, 0, &c);
	check(!result || result == -EIO || result == -ESTALE);
	result = file_rig_try(&a.rig, a.file.fd, ACCESS_READ, 0, &map, &reason);
	note("attach afterwards: %s, %s", strerror(-result), nvmedmabuf_reason_name(reason));
	if (!result)
		check_eq(nvmedmabuf_detach(a.rig.ctx, map), 0);
	file_rig_detach(&a.rig);
	file_close(&a.file);
	filesystem_remount(fs);
	file_verify(&a.file, -1);
	file_open(&a.file, O_RDONLY);
	file_rig_attach(&a.rig, 0);
	file_rig_read(&a.rig, 0, BYTES, 0);
	attached_close(&a);
}

/* What is written from now on goes to the journal, and to its blocks some time later. */
static void journalled_later(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct attached a;
	uint32_t reason;
	int flags, fd, result;

	attached_open(&a, fs, 0);
	check_sys(ioctl(a.file.fd, FS_IOC_GETFLAGS, &flags));
	flags |= FS_JOURNAL_DATA_FL;
	check_sys(ioctl(a.file.fd, FS_IOC_SETFLAGS, &flags));
	file_write(&a.file, 0, BYTES, 0);
	fd = check_sys(open(a.file.path, O_RDONLY | O_CLOEXEC));
	check_sys(fdatasync(fd));
	check_sys(close(fd));
	result = nvmedmabuf_refresh(a.rig.ctx, a.rig.map, NULL, &reason);
	if (!result)
		file_rig_read(&a.rig, 0, BYTES, 0);
	check_that(result == -EOPNOTSUPP && reason == NVME_DMABUF_REASON_FILE_JOURNALLED,
		   "refresh says %s, %s (%u)", strerror(-result), nvmedmabuf_reason_name(reason),
		   reason);
	attached_close(&a);
}

/* Its content does not change, but from now on read(2) checks it. */
static void verity_later(const void *arg)
{
	struct fsverity_enable_arg enable = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = PAGE,
	};
	struct nvme_dmabuf_completion c;
	struct attached a;
	int result;

	attached_open(&a, (struct filesystem *)arg, 0);
	if (ioctl(a.file.fd, FS_IOC_ENABLE_VERITY, &enable))
		skip("no verity here: %m");
	result = nvmedmabuf_read(a.rig.ctx, a.rig.map, 0, PAGE, 0, &c);
	note("a map from before: %s, %s", strerror(-result), nvmedmabuf_reason_name(c.reason));
	file_rig_detach(&a.rig);
	file_rig_check_refused(&a.rig, ACCESS_READ, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_VERITY);
	attached_close(&a);
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ unmounted, "unmounted" },
		{ unmounted_revoked, "unmounted while revoked" },
		{ unmounted_lazily, "unmounted lazily" },
		{ remounted, "remounted" },
		{ frozen, "frozen" },
		{ trimmed, "trimmed" },
		{ shut_down, "shut down" },
	};
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < 2; i++) {
		struct filesystem *fs = i ? ext4 : xfs;

		filesystem_add(fs, tests, ARRAY_SIZE(tests));
		if (i)
			tap_add(journalled_later, fs, "%s: journalled since", fs->name);
		filesystem_add_check(fs);
	}
	tap_add(verity_later, &special, "ext4: verity since");
	filesystem_add_check(&special);
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
