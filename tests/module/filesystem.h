/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * File systems on the drives FILES512 and FILES4K or a partition of one, and files in them
 * whose contents and extents are known. A file system stays mounted from one test to the
 * next, so that it need not be made for each. Does not use the module.
 */
#ifndef TESTS_MODULE_FILESYSTEM_H
#define TESTS_MODULE_FILESYSTEM_H

#include "common.h"

/**
 * struct filesystem - a file system, made when a test first needs it
 * @name: for the names of tests
 * @kind: its type, as for mount(2)
 * @drive: what the environment calls its drive
 * @start, @bytes: of a partition, or 0 for the whole drive
 * @mkfs: more arguments of mkfs
 * @options: of mount(2)
 * @check: more arguments of what looks for damage
 * @device, @where: once it is mounted: the block device, and where it is to be seen
 * @block: bytes of a logical block of the drive
 */
struct filesystem {
	const char *name;
	const char *kind;
	const char *drive;
	uint64_t start;
	uint64_t bytes;
	const char *mkfs;
	const char *options;
	const char *check;
	char device[64];
	char where[96];
	uint32_t block;
};

/* What most tests run on. */
#define FILESYSTEMS 4U

extern struct filesystem filesystems[FILESYSTEMS];

/** filesystem_is - is it of this kind? */
bool filesystem_is(const struct filesystem *fs, const char *kind);

/** filesystems_begin, filesystems_end - around tap_run(); what is mounted ends with it */
void filesystems_begin(void);
void filesystems_end(void);

/**
 * filesystem_mount - make and mount it, unless it is mounted already, or skip
 *
 * Another one on the same drive is unmounted.
 */
void filesystem_mount(struct filesystem *fs);

/** filesystem_mount_kept - the same of one that an earlier boot has made */
void filesystem_mount_kept(struct filesystem *fs);

/** filesystem_remake - make it anew, on a drive that holds nothing but this word */
void filesystem_remake(struct filesystem *fs, uint64_t word);

/** filesystem_remount - unmount it, and mount it as it is */
void filesystem_remount(struct filesystem *fs);

/** filesystem_shut_down - as after an error of its own, or, without its log, after a crash */
void filesystem_shut_down(const struct filesystem *fs, bool log);

/** filesystem_unmount - returns 0 or -errno */
int filesystem_unmount(struct filesystem *fs);

/** filesystem_check - if it is mounted: unmount it, which must succeed, and find no damage */
void filesystem_check(struct filesystem *fs);

/** filesystem_raw - open its block device, beside the file system, for drive_read() etc. */
void filesystem_raw(const struct filesystem *fs, struct drive *drive);

/**
 * struct file - a file, and a copy of its content
 * @path: where it is
 * @fd: as file_open() opened it, or -1
 * @bytes: its size
 * @data: what it must hold, of @room bytes
 */
struct file {
	char path[160];
	int fd;
	uint64_t bytes;
	uint8_t *data;
	uint64_t room;
};

/** file_name - a file that is not there yet, with room for a copy of its content */
void file_name(const struct filesystem *fs, struct file *file, const char *name, uint64_t room);

/** file_create - with random content, which need not have reached the drive */
void file_create(const struct filesystem *fs, struct file *file, const char *name, uint64_t bytes);

/** file_create_pieces - the same, in at least so many extents, on the drive */
void file_create_pieces(const struct filesystem *fs, struct file *file, const char *name,
			unsigned int pieces);

/**
 * file_write - write random content through a descriptor of its own
 * @flags: for open(), as O_DIRECT or O_SYNC
 */
void file_write(struct file *file, uint64_t offset, uint64_t bytes, int flags);

/** filesystem_fill - a file that leaves so little room to others */
void filesystem_fill(const struct filesystem *fs, struct file *ballast, uint64_t left);

/** file_allocate - fallocate() through a descriptor of its own */
void file_allocate(const struct file *file, int mode, uint64_t offset, uint64_t bytes);

/** file_truncate - truncate(2); a file that grows has a hole at its end */
void file_truncate(struct file *file, uint64_t bytes);

/** file_sync - all of it reaches the drive, and nothing of it stays cached */
void file_sync(const struct file *file);

int file_open(struct file *file, int flags);
void file_close(struct file *file);

/** file_reload - the copy becomes what read(2) gives, and as long */
void file_reload(struct file *file);

/** file_verify - compare what read(2) gives, through this descriptor or one of its own (-1) */
void file_verify(const struct file *file, int fd);

/** file_remove - close it, remove it, and free the copy */
void file_remove(struct file *file);

/**
 * struct piece - a part of a file that is in one piece on the drive, as FIEMAP shows
 * @at: its first byte in the file
 * @physical: and on the block device
 * @bytes: how many
 * @unwritten: it reads as zeros, whatever is there
 */
struct piece {
	uint64_t at;
	uint64_t physical;
	uint64_t bytes;
	bool unwritten;
};

/** file_pieces - all pieces; the caller frees them */
unsigned int file_pieces(int fd, struct piece **pieces);

/** file_piece_count - how many there are, through a descriptor of its own */
unsigned int file_piece_count(const struct file *file);

/** file_leases - leases on it that /proc/locks shows, whoever has them */
unsigned int file_leases(const struct file *file);

/** file_physical - where a byte of it stands on the block device */
uint64_t file_physical(const struct file *file, uint64_t offset);

/** file_open_truncate - open(2) with O_TRUNC, by which a file is truncated */
int file_open_truncate(const struct file *file, int flags);

/**
 * struct filesystem_test - a test of each file system
 * @run: gets the struct filesystem
 * @name: what it tests
 */
struct filesystem_test {
	void (*run)(const void *arg);
	const char *name;
};

/** filesystem_add - add tests of a file system, named after it */
void filesystem_add(struct filesystem *fs, const struct filesystem_test *tests, unsigned int count);

/** filesystem_add_check - add a test that finds no damage, after all others of it */
void filesystem_add_check(struct filesystem *fs);

#endif
