// SPDX-License-Identifier: GPL-2.0-only
/*
 * File systems and files for tests. See filesystem.h.
 */
#define _GNU_SOURCE
#include "filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>

/* Partition number that nobody uses by accident. */
#define NUMBER 63

/* mkfs.xfs wants 300 MB. A partition that begins with no track, page or MiB. */
#define PART_START (MIB + 5 * PAGE)
#define PART_BYTES (320 * MIB)

/* All that is done to a drive is done in pieces of this many bytes. */
#define AT_ONCE MIB

struct filesystem filesystems[FILESYSTEMS] = {
	{ .name = "XFS on FILES512", .kind = "xfs", .drive = "FILES512" },
	{ .name = "XFS on a partition of FILES4K",
	  .kind = "xfs",
	  .drive = "FILES4K",
	  .start = PART_START,
	  .bytes = PART_BYTES },
	{ .name = "ext4 on FILES4K", .kind = "ext4", .drive = "FILES4K", .mkfs = "-b 4096" },
	{ .name = "ext4 of 1 KiB blocks on a partition of FILES512",
	  .kind = "ext4",
	  .drive = "FILES512",
	  .start = PART_START,
	  .bytes = PART_BYTES,
	  .mkfs = "-b 1024" },
};

static char base[] = "/tmp/nvme-dmabuf-files.XXXXXX";

bool filesystem_is(const struct filesystem *fs, const char *kind)
{
	return !strcmp(fs->kind, kind);
}

/* What the command has to say is of interest only if it fails. */
static PRINTF(1, 2) bool run_loudly(const char *command, ...)
{
	static char lines[32][256];
	unsigned int count = 0;
	char line[512];
	va_list args;
	FILE *pipe;
	int status;

	va_start(args, command);
	vsnprintf(line, sizeof(line), command, args);
	va_end(args);
	check(strlen(line) + strlen(" 2>&1") < sizeof(line));
	strcat(line, " 2>&1");
	pipe = popen(line, "r");
	check(pipe);
	while (fgets(lines[count % ARRAY_SIZE(lines)], sizeof(lines[0]), pipe))
		count++;
	status = pclose(pipe);
	if (!status)
		return true;
	note("'%s' ended with status %#x", line, status);
	for (unsigned int i = count > ARRAY_SIZE(lines) ? count - ARRAY_SIZE(lines) : 0; i < count;
	     i++)
		note("  %.*s", (int)strcspn(lines[i % ARRAY_SIZE(lines)], "\n"),
		     lines[i % ARRAY_SIZE(lines)]);
	return false;
}

void filesystems_begin(void)
{
	/* Others than root must find the files. */
	if (!mkdtemp(base) || chmod(base, 0755))
		tap_skip_all("%s: %m", base);
}

static void thaw(const char *where)
{
	int fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		ioctl(fd, FITHAW, 0);
		close(fd);
	}
}

/* Unmounts what begins so, and says whether there was anything. */
static bool unmount_one(const char *device, const char *where)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	char found[256] = "";
	struct mntent *m;

	check(mounts);
	while ((m = getmntent(mounts)))
		if (device ? !strncmp(m->mnt_fsname, device, strlen(device)) :
			     !strncmp(m->mnt_dir, where, strlen(where)))
			snprintf(found, sizeof(found), "%s", m->mnt_dir);
	endmntent(mounts);
	if (!*found)
		return false;
	/* What a test that failed has left behind must not keep the next ones from running. */
	if (umount2(found, 0)) {
		thaw(found);
		umount2(found, MNT_DETACH);
	}
	return true;
}

void filesystems_end(void)
{
	while (unmount_one(NULL, base))
		;
	run_quietly("rmdir %s/* %s", base, base);
}

static bool is_mounted(const struct filesystem *fs)
{
	struct stat here, above;

	return !stat(fs->where, &here) && !stat(base, &above) && here.st_dev != above.st_dev;
}

/* Is there just this partition? */
static bool is_there(const struct filesystem *fs)
{
	char start[24], size[24];

	return drive_attribute(fs->device, "start", start, sizeof(start)) &&
	       drive_attribute(fs->device, "size", size, sizeof(size)) &&
	       strtoull(start, NULL, 10) == fs->start / 512 &&
	       strtoull(size, NULL, 10) == fs->bytes / 512;
}

/* The device, which is there from then on. */
static void find(struct filesystem *fs)
{
	const char *path = drive_path(fs->drive);
	int disk, size, fd;

	require_erase();
	if (geteuid())
		skip("needs root, to mount file systems");
	check(snprintf(fs->where, sizeof(fs->where), "%s/%s", base, fs->name) <
	      (int)sizeof(fs->where));
	for (char *space = fs->where; (space = strchr(space, ' '));)
		*space = '-';
	disk = check_sys(open(path, O_RDONLY | O_CLOEXEC));
	check_sys(ioctl(disk, BLKSSZGET, &size));
	fs->block = size;
	snprintf(fs->device, sizeof(fs->device), "%s", path);
	if (fs->start) {
		snprintf(fs->device, sizeof(fs->device), "%sp%d", path, NUMBER);
		/* It may be there from the last test. */
		if (!is_there(fs)) {
			partition_change(disk, BLKPG_DEL_PARTITION, NUMBER, 0, 0);
			check_eq(partition_change(disk, BLKPG_ADD_PARTITION, NUMBER, fs->start,
						  fs->bytes),
				 0);
		}
		wait_until((fd = open(fs->device, O_RDONLY | O_CLOEXEC)) >= 0);
		close(fd);
	}
	close(disk);
}

static void mount_it(const struct filesystem *fs)
{
	if (mkdir(fs->where, 0755))
		check_eq(errno, EEXIST);
	if (mount(fs->device, fs->where, fs->kind, 0, fs->options ? fs->options : "")) {
		if (errno == ENODEV || errno == EINVAL)
			skip("this kernel does not mount it: %s: %m", fs->name);
		fail("mount of %s at %s: %m", fs->device, fs->where);
	}
}

static void make(const struct filesystem *fs)
{
	/* Discarding is for those who look for what was there before. */
	const char *how = "-q -f -K";

	if (filesystem_is(fs, "ext4"))
		how = "-q -F -N 1024 -E nodiscard,lazy_itable_init=0";
	else if (filesystem_is(fs, "vfat"))
		how = "-I";
	if (!run_quietly("command -v mkfs.%s", fs->kind))
		skip("no mkfs.%s here", fs->kind);
	if (!run_loudly("mkfs.%s %s %s %s", fs->kind, how, fs->mkfs ? fs->mkfs : "", fs->device))
		fail("no file system: %s", fs->name);
	mount_it(fs);
	/* Users have files in it too, if its kind has users. */
	if (chmod(fs->where, 01777))
		check_eq(errno, EPERM);
}

/* Unless it is mounted already. */
static void mount_by(struct filesystem *fs, void (*how)(const struct filesystem *fs))
{
	find(fs);
	if (is_mounted(fs)) {
		/* As a test that failed may have left it. */
		thaw(fs->where);
		return;
	}
	while (unmount_one(drive_path(fs->drive), NULL))
		;
	how(fs);
}

void filesystem_mount(struct filesystem *fs)
{
	mount_by(fs, make);
}

void filesystem_mount_kept(struct filesystem *fs)
{
	mount_by(fs, mount_it);
}

void filesystem_remake(struct filesystem *fs, uint64_t word)
{
	struct drive drive;
	uint64_t *words;

	find(fs);
	while (unmount_one(drive_path(fs->drive), NULL))
		;
	words = pages_alloc(AT_ONCE);
	for (uint64_t i = 0; i < AT_ONCE / sizeof(word); i++)
		words[i] = word;
	drive_open(&drive, fs->device);
	for (uint64_t at = 0; at < drive.blocks * drive.block; at += AT_ONCE) {
		uint64_t n = min_u64(AT_ONCE, drive.blocks * drive.block - at);

		check_eq(pwrite(drive.fd, words, n, at), n);
	}
	drive_close(&drive);
	munmap(words, AT_ONCE);
	make(fs);
}

int filesystem_unmount(struct filesystem *fs)
{
	return umount2(fs->where, 0) ? -errno : 0;
}

/* XFS_IOC_GOINGDOWN and EXT4_IOC_SHUTDOWN. */
#define GOING_DOWN	     _IOR('X', 125, __u32)
#define GOING_DOWN_LOG_FLUSH 1U
#define GOING_DOWN_NO_FLUSH  2U

void filesystem_shut_down(const struct filesystem *fs, bool log)
{
	uint32_t how = log ? GOING_DOWN_LOG_FLUSH : GOING_DOWN_NO_FLUSH;
	int fd = check_sys(open(fs->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	check_sys(ioctl(fd, GOING_DOWN, &how));
	check_sys(close(fd));
}

void filesystem_remount(struct filesystem *fs)
{
	check_eq(filesystem_unmount(fs), 0);
	mount_it(fs);
}

void filesystem_check(struct filesystem *fs)
{
	uint64_t end = now_ms() + 10000;
	int result;

	find(fs);
	if (!is_mounted(fs))
		skip("not mounted: no test has used it");
	/* Processes of tests that failed may not have ended yet. */
	while ((result = filesystem_unmount(fs)) == -EBUSY && now_ms() < end)
		pause_ms();
	check_eq(result, 0);
	check(run_loudly("%s %s %s", filesystem_is(fs, "xfs") ? "xfs_repair -n" : "e2fsck -fn",
			 fs->check ? fs->check : "", fs->device));
}

void filesystem_raw(const struct filesystem *fs, struct drive *drive)
{
	uint64_t bytes;

	drive->path = fs->device;
	drive->fd = open(fs->device, O_RDWR | O_DIRECT | O_CLOEXEC);
	check_that(drive->fd >= 0, "%s: %m", fs->device);
	check_sys(ioctl(drive->fd, BLKGETSIZE64, &bytes));
	drive->block = fs->block;
	drive->blocks = bytes / fs->block;
}

void file_name(const struct filesystem *fs, struct file *file, const char *name, uint64_t room)
{
	*file = (struct file){ .fd = -1, .room = room };
	snprintf(file->path, sizeof(file->path), "%s/%d-%s", fs->where, getpid(), name);
	file->data = pages_alloc(room ? room : 1);
}

void file_write(struct file *file, uint64_t offset, uint64_t bytes, int flags)
{
	int fd = check_sys(open(file->path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644));

	check(offset + bytes <= file->room);
	rnd_fill(file->data + offset, bytes);
	/* The copy begins with a page: as aligned as O_DIRECT wants, if @offset is. */
	for (uint64_t at = 0; at < bytes; at += AT_ONCE) {
		uint64_t n = min_u64(AT_ONCE, bytes - at);

		check_eq(pwrite(fd, file->data + offset + at, n, offset + at), n);
	}
	if (offset + bytes > file->bytes)
		file->bytes = offset + bytes;
	check_sys(close(fd));
}

void file_create(const struct filesystem *fs, struct file *file, const char *name, uint64_t bytes)
{
	/* Room for a test that makes it longer. */
	file_name(fs, file, name, bytes + MIB);
	file_write(file, 0, bytes, 0);
}

/*
 * Chunks are written in any order, one by one, and every second one is taken out again: the
 * rest stands neither in order nor together.
 */
void file_create_pieces(const struct filesystem *fs, struct file *file, const char *name,
			unsigned int pieces)
{
	/* By chance some may stand together after all. */
	unsigned int chunks = 2 * (pieces + pieces / 8 + 2) + 1;
	struct {
		uint64_t at, bytes;
	} *chunk = calloc(chunks, sizeof(*chunk));
	unsigned int *order = calloc(chunks, sizeof(*order));
	uint64_t bytes = 0, kept = 0;

	check(chunk && order);
	for (unsigned int i = 0; i < chunks; i++) {
		order[i] = i;
		chunk[i].at = bytes;
		chunk[i].bytes = (1 + rnd_below(4)) * PAGE;
		bytes += chunk[i].bytes;
	}
	for (unsigned int i = chunks; i-- > 1;) {
		unsigned int j = rnd_below(i + 1), swap = order[i];

		order[i] = order[j];
		order[j] = swap;
	}
	file_name(fs, file, name, bytes + MIB);
	for (unsigned int i = 0; i < chunks; i++)
		file_write(file, chunk[order[i]].at, chunk[order[i]].bytes, O_DIRECT);
	for (unsigned int i = chunks - 1; i-- > 1; i--)
		file_allocate(file, FALLOC_FL_COLLAPSE_RANGE, chunk[i].at, chunk[i].bytes);
	for (unsigned int i = 0; i < chunks; i++) {
		if (i % 2 && i < chunks - 1)
			continue;
		memmove(file->data + kept, file->data + chunk[i].at, chunk[i].bytes);
		kept += chunk[i].bytes;
	}
	/* Behind its end the copy is zero, as blocks are. */
	memset(file->data + kept, 0, bytes - kept);
	file->bytes = kept;
	file_sync(file);
	free(order);
	free(chunk);
	check_that(file_piece_count(file) >= pieces, "%u pieces instead of %u",
		   file_piece_count(file), pieces);
}

void filesystem_fill(const struct filesystem *fs, struct file *ballast, uint64_t left)
{
	uint64_t bytes = 0, step;
	int fd;

	file_name(fs, ballast, "ballast", 0);
	fd = check_sys(open(ballast->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	for (step = 32 * MIB; step >= PAGE;) {
		if (!fallocate(fd, 0, bytes, step)) {
			bytes += step;
			continue;
		}
		check_eq(errno, ENOSPC);
		step /= 2;
	}
	check_sys(ftruncate(fd, bytes - left));
	check_sys(close(fd));
	sync();
}

void file_allocate(const struct file *file, int mode, uint64_t offset, uint64_t bytes)
{
	int fd = check_sys(open(file->path, O_WRONLY | O_CLOEXEC));

	check_sys(fallocate(fd, mode, offset, bytes));
	check_sys(close(fd));
}

void file_truncate(struct file *file, uint64_t bytes)
{
	check(bytes <= file->room);
	check_sys(truncate(file->path, bytes));
	if (bytes < file->bytes)
		memset(file->data + bytes, 0, file->bytes - bytes);
	file->bytes = bytes;
}

void file_sync(const struct file *file)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC));

	check_sys(fsync(fd));
	check_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	check_sys(close(fd));
}

int file_open(struct file *file, int flags)
{
	check_eq(file->fd, -1);
	file->fd = open(file->path, flags | O_CLOEXEC);
	check_that(file->fd >= 0, "%s: %m", file->path);
	return file->fd;
}

void file_close(struct file *file)
{
	check_sys(close(file->fd));
	file->fd = -1;
}

/* As many bytes as there are, with O_DIRECT or without. */
static uint64_t read_all(int fd, uint8_t *to, uint64_t room)
{
	uint64_t at = 0;
	ssize_t done;

	while ((done = pread(fd, to + at, min_u64(AT_ONCE, room - at), at)) > 0)
		at += done;
	check_that(!done, "read at %llu: %m", (unsigned long long)at);
	return at;
}

void file_verify(const struct file *file, int fd)
{
	int own = fd < 0 ? check_sys(open(file->path, O_RDONLY | O_CLOEXEC)) : fd;
	uint64_t room = (file->bytes / PAGE + 2) * PAGE;
	uint8_t *actual = pages_alloc(room);

	check_eq(read_all(own, actual, room), file->bytes);
	compare("file", actual, file->data, file->bytes, 0);
	munmap(actual, room);
	if (fd < 0)
		check_sys(close(own));
}

void file_reload(struct file *file)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC));

	memset(file->data, 0, file->room);
	file->bytes = read_all(fd, file->data, file->room);
	check(file->bytes < file->room);
	check_sys(close(fd));
}

void file_remove(struct file *file)
{
	if (file->fd >= 0)
		file_close(file);
	if (unlink(file->path))
		check_eq(errno, ENOENT);
	munmap(file->data, file->room ? file->room : 1);
}

static bool follows(const struct piece *last, const struct fiemap_extent *next, bool unwritten)
{
	return last->at + last->bytes == next->fe_logical && last->unwritten == unwritten &&
	       last->physical + last->bytes == next->fe_physical;
}

unsigned int file_pieces(int fd, struct piece **pieces)
{
	struct fiemap ask = { .fm_length = ~0ULL, .fm_flags = FIEMAP_FLAG_SYNC };
	struct fiemap *map;
	unsigned int count = 0;

	check_sys(ioctl(fd, FS_IOC_FIEMAP, &ask));
	map = calloc(1, sizeof(*map) + (ask.fm_mapped_extents + 1) * sizeof(map->fm_extents[0]));
	*pieces = calloc(ask.fm_mapped_extents + 1, sizeof(**pieces));
	check(map && *pieces);
	*map = ask;
	map->fm_extent_count = ask.fm_mapped_extents;
	if (map->fm_extent_count)
		check_sys(ioctl(fd, FS_IOC_FIEMAP, map));
	for (unsigned int i = 0; i < map->fm_extent_count && i < map->fm_mapped_extents; i++) {
		const struct fiemap_extent *e = &map->fm_extents[i];
		bool unwritten = e->fe_flags & FIEMAP_EXTENT_UNWRITTEN;

		check(!(e->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC)));
		if (count && follows(&(*pieces)[count - 1], e, unwritten))
			(*pieces)[count - 1].bytes += e->fe_length;
		else
			(*pieces)[count++] = (struct piece){ e->fe_logical, e->fe_physical,
							     e->fe_length, unwritten };
	}
	free(map);
	return count;
}

unsigned int file_piece_count(const struct file *file)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC));
	struct piece *pieces;
	unsigned int count = file_pieces(fd, &pieces);

	free(pieces);
	check_sys(close(fd));
	return count;
}

uint64_t file_physical(const struct file *file, uint64_t offset)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC));
	struct piece *pieces;
	unsigned int count = file_pieces(fd, &pieces);
	uint64_t physical = 0;

	for (unsigned int i = 0; i < count; i++)
		if (pieces[i].at <= offset && offset - pieces[i].at < pieces[i].bytes)
			physical = pieces[i].physical + (offset - pieces[i].at);
	free(pieces);
	check_sys(close(fd));
	check_that(physical, "nothing at %llu of %s", (unsigned long long)offset, file->path);
	return physical;
}

unsigned int file_leases(const struct file *file)
{
	FILE *locks = fopen("/proc/locks", "r");
	unsigned int count = 0;
	char line[256], id[64];
	struct stat s;

	check(locks);
	check_sys(stat(file->path, &s));
	snprintf(id, sizeof(id), " %02x:%02x:%llu ", major(s.st_dev), minor(s.st_dev),
		 (unsigned long long)s.st_ino);
	while (fgets(line, sizeof(line), locks))
		count += strstr(line, id) && (strstr(line, "DELEG") || strstr(line, "LEASE"));
	fclose(locks);
	return count;
}

int file_open_truncate(const struct file *file, int flags)
{
	int fd;

	/* One that is open for reading does not wait for a delegation, but breaks it. */
	wait_until((fd = open(file->path, flags | O_TRUNC | O_CLOEXEC)) >= 0 || errno != EAGAIN ||
		   (flags & O_ACCMODE) != O_RDONLY);
	return check_sys(fd);
}

void filesystem_add(struct filesystem *fs, const struct filesystem_test *tests, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		tap_add(tests[i].run, fs, "%s: %s", fs->name, tests[i].name);
}

static void no_damage(const void *arg)
{
	filesystem_check((struct filesystem *)arg);
}

void filesystem_add_check(struct filesystem *fs)
{
	tap_add(no_damage, fs, "%s: no damage", fs->name);
}
