// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test tries to attach files that have one thing wrong with them: each is refused with
 * its own reason, which NS_INFO gives too, and where it can be put right the file is attached
 * after that.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>

#include "file_rig.h"

#define BYTES (64 * KIB)

static struct filesystem *const xfs = &filesystems[0], *const ext4 = &filesystems[2];

/* What the others are not made with. */
static struct filesystem special = {
	.name = "ext4 with all features",
	.kind = "ext4",
	.drive = "FILES4K",
	.mkfs = "-b 4096 -I 256 -O encrypt,verity,inline_data",
};
static struct filesystem journal = {
	.name = "ext4 with journalled data",
	.kind = "ext4",
	.drive = "FILES4K",
	.mkfs = "-b 4096",
	.options = "data=journal",
};
static struct filesystem vfat = { .name = "vfat", .kind = "vfat", .drive = "FILES512" };
static struct filesystem btrfs = {
	.name = "btrfs",
	.kind = "btrfs",
	.drive = "FILES512",
};

/* A file of a file system, to be refused. */
struct trial {
	struct file_rig rig;
	struct file file;
};

static void trial_begin(struct trial *t, struct filesystem *fs, int flags)
{
	filesystem_mount(fs);
	file_create(fs, &t->file, "file", BYTES);
	file_sync(&t->file);
	file_rig_open(&t->rig, fs, &t->file, BYTES);
	if (flags >= 0)
		file_open(&t->file, flags);
}

/* It was all that was wrong. */
static void trial_works(struct trial *t)
{
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };

	check_eq(nvmedmabuf_get_ns_info(t->rig.ctx, t->file.fd, &ns), 0);
	check_that(!ns.out_reason, "NS_INFO: %s (%u)", nvmedmabuf_reason_name(ns.out_reason),
		   ns.out_reason);
	check_eq(ns.out_capacity, t->file.bytes / t->rig.block);
	file_rig_attach(&t->rig, 0);
	file_rig_read(&t->rig, 0, BYTES, 0);
	file_rig_detach(&t->rig);
}

static void check_no_lease(struct trial *t)
{
	check_eq(file_leases(&t->file), 0);
}

static void trial_refused(struct trial *t, int error, uint32_t reason)
{
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };

	file_rig_check_refused(&t->rig, ACCESS_READ, error, reason);
	check_eq(nvmedmabuf_get_ns_info(t->rig.ctx, t->file.fd, &ns), 0);
	check_that(ns.out_reason == reason, "NS_INFO: %s (%u), not %s (%u)",
		   nvmedmabuf_reason_name(ns.out_reason), ns.out_reason,
		   nvmedmabuf_reason_name(reason), reason);
	check_eq(ns.out_capacity, 0);
	check_no_lease(t);
}

static void trial_end(struct trial *t)
{
	file_rig_close(&t->rig);
	file_remove(&t->file);
}

static void modes(const void *arg)
{
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	file_rig_check_refused(&t.rig, ACCESS_WRITE, -EACCES, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	file_rig_check_refused(&t.rig, ACCESS_BOTH, -EACCES, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	check_no_lease(&t);
	trial_works(&t);
	file_close(&t.file);
	file_open(&t.file, O_WRONLY);
	file_rig_check_refused(&t.rig, ACCESS_READ, -EACCES, NVME_DMABUF_REASON_NS_NOT_READABLE);
	check_no_lease(&t);
	trial_end(&t);
}

/* A descriptor that is open for writing is in the way itself. */
static void writing(const void *arg)
{
	static const int flags[] = { O_WRONLY, O_RDWR };
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, -1);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		file_open(&t.file, flags[i]);
		file_rig_check_refused(&t.rig, ACCESS_WRITE, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
		if (flags[i] == O_RDWR)
			file_rig_check_refused(&t.rig, ACCESS_BOTH, -EBUSY,
					       NVME_DMABUF_REASON_FILE_BUSY);
		check_no_lease(&t);
		file_close(&t.file);
	}
	file_verify(&t.file, -1);
	file_open(&t.file, O_RDONLY);
	trial_works(&t);
	trial_end(&t);
}

/* What is neither a file nor a block device. */
static void other_files(const void *arg)
{
	int pipes[2], sockets[2], fds[6];
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	uint32_t map, reason;
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	check_sys(pipe2(pipes, O_CLOEXEC));
	check_sys(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	fds[0] = check_sys(open(t.rig.fs->where, O_RDONLY | O_DIRECTORY));
	fds[1] = pipes[0];
	fds[2] = sockets[0];
	fds[3] = check_sys(open("/dev/null", O_RDWR));
	fds[4] = check_sys(open(t.file.path, O_PATH));
	fds[5] = nvmedmabuf_fd(t.rig.ctx);
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++) {
		int result = file_rig_try(&t.rig, fds[i], ACCESS_READ, 0, &map, &reason);

		check_that(result == -EBADF && reason == NVME_DMABUF_REASON_NOT_BLOCK_DEVICE,
			   "descriptor %u: %s, %s (%u)", i, strerror(-result),
			   nvmedmabuf_reason_name(reason), reason);
		check_eq(nvmedmabuf_get_ns_info(t.rig.ctx, fds[i], &ns), -EBADF);
	}
	trial_works(&t);
	trial_end(&t);
}

/* Who reads must be sure that nobody writes. */
static void busy(const void *arg)
{
	static const int flags[] = { O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_RDWR | O_DIRECT };
	struct trial t;
	int other;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		other = check_sys(open(t.file.path, flags[i]));
		trial_refused(&t, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
		check_sys(close(other));
		trial_works(&t);
	}
	/* Others may read. */
	other = check_sys(open(t.file.path, O_RDONLY));
	trial_works(&t);
	check_sys(close(other));
	/* The caller's own file is no exception. */
	file_close(&t.file);
	file_open(&t.file, O_RDWR);
	trial_refused(&t, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
	file_close(&t.file);
	file_open(&t.file, O_RDONLY);
	trial_works(&t);
	trial_end(&t);
}

/* Leases of users: one for reading is no obstacle. */
static void leased(const void *arg)
{
	struct trial t;
	int other;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	other = check_sys(open(t.file.path, O_RDONLY));
	check_sys(fcntl(other, F_SETLEASE, F_RDLCK));
	trial_works(&t);
	check_eq(file_leases(&t.file), 1);
	check_eq(fcntl(other, F_GETLEASE), F_RDLCK);
	/* By the same descriptor too, whose lease is the user's own. */
	check_sys(fcntl(t.file.fd, F_SETLEASE, F_RDLCK));
	trial_works(&t);
	check_eq(fcntl(t.file.fd, F_GETLEASE), F_RDLCK);
	check_sys(fcntl(t.file.fd, F_SETLEASE, F_UNLCK));
	check_sys(close(other));
	check_no_lease(&t);
	trial_end(&t);
}

/* An administrator can forbid leases. */
static void no_leases(const void *arg)
{
	static const char path[] = "/proc/sys/fs/leases-enable";
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	uint32_t map, reason;
	struct trial t;
	int result, asked;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	check_eq(file_number(path), 1);
	check(file_put(path, "0"));
	result = file_rig_try(&t.rig, t.file.fd, ACCESS_READ, 0, &map, &reason);
	asked = nvmedmabuf_get_ns_info(t.rig.ctx, t.file.fd, &ns);
	check(file_put(path, "1"));
	check_that(result == -EOPNOTSUPP && reason == NVME_DMABUF_REASON_FILE_LEASE, "%s, %s (%u)",
		   strerror(-result), nvmedmabuf_reason_name(reason), reason);
	check_eq(asked, 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_FILE_LEASE);
	trial_works(&t);
	trial_end(&t);
}

static void swapped(const void *arg)
{
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	uint32_t map, reason;
	struct trial t;
	int result, asked;

	trial_begin(&t, (struct filesystem *)arg, -1);
	file_write(&t.file, BYTES, MIB, O_DIRECT);
	check_sys(chmod(t.file.path, 0600));
	file_sync(&t.file);
	if (!run_quietly("mkswap -q %s", t.file.path) || swapon(t.file.path, 0))
		skip("this machine makes no swap space: %m");
	file_open(&t.file, O_RDONLY);
	result = file_rig_try(&t.rig, t.file.fd, ACCESS_READ, 0, &map, &reason);
	asked = nvmedmabuf_get_ns_info(t.rig.ctx, t.file.fd, &ns);
	/* Before anything else, for it would keep the file system from being unmounted. */
	check_sys(swapoff(t.file.path));
	check_that(result == -ETXTBSY && reason == NVME_DMABUF_REASON_SWAP, "%s, %s (%u)",
		   strerror(-result), nvmedmabuf_reason_name(reason), reason);
	check_eq(asked, 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_SWAP);
	check_no_lease(&t);
	/* What mkswap has written is what it holds. */
	check_eq(pread(t.file.fd, t.file.data, t.file.bytes, 0), t.file.bytes);
	trial_works(&t);
	trial_end(&t);
}

static void *map_file(int fd, int protection, int flags)
{
	void *p = mmap(NULL, BYTES, protection, flags, fd, 0);

	check_that(p != MAP_FAILED, "mmap: %m");
	return p;
}

/* A store needs no call, so nobody could be told of it. It counts as open for writing. */
static void mapped(const void *arg)
{
	struct trial t;
	void *p;
	int fd;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	fd = check_sys(open(t.file.path, O_RDWR));
	p = map_file(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	check_sys(close(fd));
	trial_refused(&t, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
	munmap(p, BYTES);
	trial_works(&t);

	/* Others can only look, or have pages of their own. */
	p = map_file(t.file.fd, PROT_READ, MAP_SHARED);
	trial_works(&t);
	munmap(p, BYTES);
	p = map_file(t.file.fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	*(volatile char *)p = 1;
	trial_works(&t);
	munmap(p, BYTES);
	trial_end(&t);
}

static void set_flags(const struct file *file, int add)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC)), flags;

	check_sys(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_JOURNAL_DATA_FL);
	flags |= add;
	check_sys(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	check_sys(close(fd));
}

/* These cannot change at all. */
static void immutable(const void *arg)
{
	static const int flags[] = { FS_IMMUTABLE_FL, FS_APPEND_FL };
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		set_flags(&t.file, flags[i]);
		trial_works(&t);
	}
	set_flags(&t.file, 0);
	trial_works(&t);
	trial_end(&t);
}

/* Blocks that two files share: both are refused. A copy of its own blocks is not. */
static void reflinked(const void *arg)
{
	struct trial t;
	struct file copy;
	int target;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	file_name(t.rig.fs, &copy, "copy", BYTES);
	memcpy(copy.data, t.file.data, BYTES);
	copy.bytes = BYTES;
	target = check_sys(open(copy.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	check_sys(ioctl(target, FICLONE, t.file.fd));
	check_sys(close(target));
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SHARED);
	t.rig.file = &copy;
	file_open(&copy, O_RDONLY);
	file_rig_check_refused(&t.rig, ACCESS_READ, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SHARED);
	file_close(&copy);
	/* As the reason's text advises. */
	check_sys(unlink(copy.path));
	check(run_quietly("cp --reflink=never %s %s", t.file.path, copy.path));
	file_open(&copy, O_RDONLY);
	file_rig_attach(&t.rig, 0);
	file_rig_read(&t.rig, 0, BYTES, 0);
	file_rig_detach(&t.rig);
	file_remove(&copy);
	t.rig.file = &t.file;
	trial_end(&t);
}

/* Data that are on the drive in the journal first. */
static void journalled(const void *arg)
{
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, -1);
	set_flags(&t.file, FS_JOURNAL_DATA_FL);
	file_open(&t.file, O_RDONLY);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_JOURNALLED);
	file_close(&t.file);
	set_flags(&t.file, 0);
	file_open(&t.file, O_RDONLY);
	trial_works(&t);
	trial_end(&t);
}

static void all_journalled(const void *arg)
{
	uint32_t map, reason;
	struct trial t;

	(void)arg;
	trial_begin(&t, &journal, -1);
	/* What was written last is in the journal only, until the blocks are asked for. */
	for (unsigned int i = 0; i < 3; i++) {
		file_write(&t.file, 0, BYTES, 0);
		file_open(&t.file, O_RDONLY);
		file_rig_attach(&t.rig, 0);
		file_rig_read(&t.rig, 0, BYTES, 0);
		file_rig_detach(&t.rig);
		file_close(&t.file);
	}
	/* After a crash it would come down once more. */
	file_open(&t.file, O_RDWR);
	check_eq(file_rig_try(&t.rig, t.file.fd, ACCESS_BOTH, NVME_DMABUF_ATTACH_DEFER, &map,
			      &reason),
		 -EOPNOTSUPP);
	check_eq(reason, NVME_DMABUF_REASON_FILE_JOURNALLED);
	file_close(&t.file);
	trial_end(&t);
}

static void inline_data(const void *arg)
{
	struct trial t;

	(void)arg;
	trial_begin(&t, &special, O_RDONLY);
	trial_works(&t);
	trial_end(&t);
	/* What is so short stands in the inode. */
	file_create(&special, &t.file, "inline", 40);
	file_sync(&t.file);
	file_rig_open(&t.rig, &special, &t.file, PAGE);
	file_open(&t.file, O_RDONLY);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_INLINE);
	trial_end(&t);
}

static void encrypted(const void *arg)
{
	struct {
		struct fscrypt_add_key_arg arg;
		uint8_t raw[64];
	} key = {
		.arg = { .key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER,
			 .raw_size = sizeof(key.raw) },
	};
	struct fscrypt_policy_v2 policy = {
		.version = FSCRYPT_POLICY_V2,
		.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS,
		.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS,
		.flags = FSCRYPT_POLICY_FLAGS_PAD_32,
	};
	struct filesystem below = special;
	struct trial t;
	char folder[sizeof(below.where)];
	int fd;

	(void)arg;
	filesystem_mount(&special);
	snprintf(folder, sizeof(folder), "%.80s/%d", special.where, getpid());
	check_sys(mkdir(folder, 0700));
	fd = check_sys(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	rnd_fill(key.raw, sizeof(key.raw));
	if (ioctl(fd, FS_IOC_ADD_ENCRYPTION_KEY, &key))
		skip("no encryption here: %m");
	memcpy(policy.master_key_identifier, key.arg.key_spec.u.identifier,
	       sizeof(policy.master_key_identifier));
	check_sys(ioctl(fd, FS_IOC_SET_ENCRYPTION_POLICY, &policy));
	check_sys(close(fd));

	memcpy(below.where, folder, sizeof(folder));
	file_create(&below, &t.file, "file", BYTES);
	file_sync(&t.file);
	file_open(&t.file, O_RDONLY);
	file_rig_open(&t.rig, &special, &t.file, BYTES);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_ENCRYPTED);
	trial_end(&t);
	check_sys(rmdir(folder));
}

/* Its content would have to be checked, as read(2) does. */
static void verity(const void *arg)
{
	struct fsverity_enable_arg enable = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = PAGE,
	};
	struct trial t;

	(void)arg;
	trial_begin(&t, &special, O_RDONLY);
	if (ioctl(t.file.fd, FS_IOC_ENABLE_VERITY, &enable))
		skip("no verity here: %m");
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_VERITY);
	trial_end(&t);
}

/* XFS keeps such files on another device than itself. */
static void realtime(const void *arg)
{
	static struct filesystem fs = {
		.name = "XFS with a realtime device",
		.kind = "xfs",
		.drive = "FILES512",
		.start = 5 * MIB,
		.bytes = 320 * MIB,
	};
	const char *disk = drive_path(fs.drive);
	char mkfs[128], options[80], check[80], path[72];
	struct fsxattr attributes;
	struct trial t;
	int fd, result;

	(void)arg;
	fd = check_sys(open(disk, O_RDONLY | O_CLOEXEC));
	result = partition_change(fd, BLKPG_ADD_PARTITION, 62, 400 * MIB, 32 * MIB);
	check(!result || result == -EBUSY);
	check_sys(close(fd));
	snprintf(path, sizeof(path), "%sp62", disk);
	wait_until(!access(path, F_OK));
	snprintf(mkfs, sizeof(mkfs), "-m reflink=0,rmapbt=0 -r rtdev=%s", path);
	snprintf(options, sizeof(options), "rtdev=%s", path);
	fs.mkfs = mkfs;
	fs.options = options;
	snprintf(check, sizeof(check), "-r %s", path);
	fs.check = check;
	filesystem_mount(&fs);

	file_create(&fs, &t.file, "file", 0);
	fd = check_sys(open(t.file.path, O_RDWR | O_CLOEXEC));
	check_sys(ioctl(fd, FS_IOC_FSGETXATTR, &attributes));
	attributes.fsx_xflags |= FS_XFLAG_REALTIME;
	check_sys(ioctl(fd, FS_IOC_FSSETXATTR, &attributes));
	check_sys(close(fd));
	file_write(&t.file, 0, BYTES, 0);
	file_sync(&t.file);
	file_open(&t.file, O_RDONLY);
	file_rig_open(&t.rig, &fs, &t.file, BYTES);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_REALTIME);
	trial_end(&t);

	/* Its other files are as those of any. */
	trial_begin(&t, &fs, O_RDONLY);
	trial_works(&t);
	trial_end(&t);
	filesystem_check(&fs);
	fd = check_sys(open(disk, O_RDONLY | O_CLOEXEC));
	for (int number = 62; number < 64; number++)
		check_eq(partition_change(fd, BLKPG_DEL_PARTITION, number, 0, 0), 0);
	check_sys(close(fd));
}

static void other_filesystem(const void *arg)
{
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SYSTEM);
	file_close(&t.file);
	file_open(&t.file, O_RDWR);
	file_rig_check_refused(&t.rig, ACCESS_BOTH, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SYSTEM);
	trial_end(&t);
	check_eq(filesystem_unmount((struct filesystem *)arg), 0);
}

/* The file system is a good one, but stands on something that is no NVMe namespace. */
static void refused_above(struct filesystem *fs)
{
	struct trial t;

	file_create(fs, &t.file, "file", BYTES);
	file_sync(&t.file);
	file_open(&t.file, O_RDONLY);
	file_rig_open(&t.rig, fs, &t.file, BYTES);
	trial_refused(&t, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_DEVICE);
	trial_end(&t);
}

/* A place to mount another file system at, on a drive that is free. */
static struct filesystem above(const char *kind)
{
	struct filesystem fs;

	filesystem_mount(ext4);
	check_eq(filesystem_unmount(ext4), 0);
	fs = *ext4;
	fs.kind = kind;
	return fs;
}

static bool make_above(const struct filesystem *fs, const char *device)
{
	return run_quietly("mkfs.%s -q %s %s && mount -t %s %s %s", fs->kind,
			   filesystem_is(fs, "xfs") ? "-f" : "-F", device, fs->kind, device,
			   fs->where);
}

static void on_linear(const void *arg)
{
	struct filesystem fs = above(arg);
	char name[32] = "", device[40];
	FILE *info;
	bool made;

	run_quietly("modprobe dm-mod");
	if (!run_quietly("dmsetup create nvme-dmabuf-files --table '0 786432 linear %s 0'",
			 fs.device))
		skip("dmsetup cannot make a linear device");
	info = popen("dmsetup info -c --noheadings -o blkdevname nvme-dmabuf-files", "r");
	check(info && fgets(name, sizeof(name), info));
	pclose(info);
	name[strcspn(name, "\n")] = 0;
	snprintf(device, sizeof(device), "/dev/%s", name);
	made = make_above(&fs, device);
	/* It goes when it is not used any more, whatever becomes of this test. */
	check(run_quietly("dmsetup remove --deferred nvme-dmabuf-files"));
	check(made);
	refused_above(&fs);
	check_eq(filesystem_unmount(&fs), 0);
}

static void on_loop(const void *arg)
{
	struct filesystem fs = above(arg);
	char device[100];
	FILE *setup;
	bool made;

	run_quietly("modprobe loop");
	if (!run_quietly("losetup -f"))
		skip("no loop devices here");
	snprintf(device, sizeof(device), "losetup --show -f %s", fs.device);
	setup = popen(device, "r");
	check(setup && fgets(device, sizeof(device), setup));
	pclose(setup);
	device[strcspn(device, "\n")] = 0;
	made = make_above(&fs, device);
	/* It goes as well when it is not used any more. */
	check(run_quietly("losetup -d %s", device));
	check(made);
	refused_above(&fs);
	check_eq(filesystem_unmount(&fs), 0);
}

/* These have no block device at all, and are of another kind as well. */
static void no_device(const void *arg)
{
	static const char *const files[] = { "/dev/shm", "/tmp", "/" };
	struct file_rig rig;
	uint32_t map, reason;

	(void)arg;
	filesystem_mount(xfs);
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		struct file file = { .fd = -1 };
		int result;

		file.fd = open(files[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (file.fd < 0)
			continue;
		check_eq(pwrite(file.fd, files, sizeof(files), 0), sizeof(files));
		file_rig_open(&rig, xfs, &file, PAGE);
		result = file_rig_try(&rig, file.fd, ACCESS_READ, 0, &map, &reason);
		check_that(result == -EOPNOTSUPP && (reason == NVME_DMABUF_REASON_FILE_DEVICE ||
						     reason == NVME_DMABUF_REASON_FILE_SYSTEM),
			   "%s: %s, %s (%u)", files[i], strerror(-result),
			   nvmedmabuf_reason_name(reason), reason);
		file_rig_close(&rig);
		check_sys(close(file.fd));
	}
}

/* Without any of this: what else there is to know of the calls is as with namespaces. */
static void other_arguments(const void *arg)
{
	uint32_t map = 0, reason;
	struct trial t;

	trial_begin(&t, (struct filesystem *)arg, O_RDONLY);
	check_eq(attach_to(t.rig.ctx, t.rig.buffer.fd, t.file.fd, 0, BYTES, 0, 0, &map, &reason),
		 -EINVAL);
	check_eq(reason, NVME_DMABUF_REASON_RESERVED);
	check_eq(attach_to(t.rig.ctx, t.file.fd, t.file.fd, 0, BYTES, ACCESS_READ, 0, &map,
			   &reason),
		 -EBADF);
	check_eq(reason, NVME_DMABUF_REASON_NOT_DMABUF);
	check_eq(attach_to(t.rig.ctx, t.rig.buffer.fd, t.file.fd, 0, t.rig.buffer.size + 4,
			   ACCESS_READ, 0, &map, &reason),
		 -ERANGE);
	check_eq(reason, NVME_DMABUF_REASON_OUTSIDE_DMABUF);
	check_no_lease(&t);
	trial_works(&t);
	trial_end(&t);
}

int main(int argc, char **argv)
{
	static const char kinds[2][8] = { "ext4", "xfs" };
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < 2; i++) {
		struct filesystem *fs = i ? ext4 : xfs;
		const char *name = fs->name;

		tap_add(modes, fs, "%s: not open for reading, or for writing", name);
		tap_add(other_files, fs, "%s: neither a file nor a block device", name);
		tap_add(other_arguments, fs, "%s: what is wrong with the call", name);
		tap_add(writing, fs, "%s: writing", name);
		tap_add(busy, fs, "%s: others may write", name);
		tap_add(leased, fs, "%s: users have leases", name);
		tap_add(no_leases, fs, "%s: leases are forbidden", name);
		if (i)
			tap_add(journalled, fs, "%s: a file with journalled data", name);
		else
			tap_add(reflinked, fs, "%s: shared blocks", name);
		tap_add(swapped, fs, "%s: swap space", name);
		tap_add(mapped, fs, "%s: mapped writably", name);
		tap_add(immutable, fs, "%s: immutable and append-only, which is right", name);
		filesystem_add_check(fs);
	}
	tap_add(inline_data, NULL, "ext4: inline data");
	tap_add(encrypted, NULL, "ext4: encrypted");
	tap_add(verity, NULL, "ext4: verity");
	filesystem_add_check(&special);
	tap_add(all_journalled, NULL, "ext4: all data journalled is no obstacle to reading");
	filesystem_add_check(&journal);
	tap_add(realtime, NULL, "XFS: a realtime file");
	tap_add(other_filesystem, &vfat, "vfat");
	tap_add(other_filesystem, &btrfs, "btrfs");
	for (unsigned int i = 0; i < 2; i++) {
		tap_add(on_linear, kinds[i], "%s on dm-linear", kinds[i]);
		tap_add(on_loop, kinds[i], "%s on a loop device", kinds[i]);
	}
	tap_add(no_device, NULL, "no block device");
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
