/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files: where the blocks of a regular file are, and the leases by which nobody changes that
 * behind our back. Only storage.h needs to include this.
 */
#ifndef NVME_DMABUF_FILE_H
#define NVME_DMABUF_FILE_H

#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/path.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "extents.h"

struct nvdm_file;
struct nvdm_file_user;
struct nvdm_namespace;

/**
 * struct nvdm_file_user_ops - what a user of a file does when it is told to
 * @begin: the leases are held: take over where the blocks are
 * @stop: somebody wants to change the file: let no new command in. Under a spinlock
 * @drain: then wait until the commands have ended
 */
struct nvdm_file_user_ops {
	void (*begin)(struct nvdm_file_user *user);
	void (*stop)(struct nvdm_file_user *user);
	void (*drain)(struct nvdm_file_user *user);
};

/**
 * struct nvdm_file_user - who has commands for a file's blocks
 * @ops: what it does
 * @file: the file, or NULL
 * @node: in the file's list
 * @stopped: it has not begun since it was last told to stop
 */
struct nvdm_file_user {
	const struct nvdm_file_user_ops *ops;
	struct nvdm_file *file;
	struct list_head node;
	bool stopped;
};

/**
 * struct nvdm_lease - a lease of a file that somebody may break
 * @file: of this file; the lease's address tells whose it is
 * @fl: the kernel's part of it, while it is held
 * @held: it was granted, and not given back
 */
struct nvdm_lease {
	struct nvdm_file *file;
	struct file_lease *fl;
	bool held;
};

/**
 * struct nvdm_file - a regular file whose blocks are read, or read and written
 * @node: in the list of files
 * @ref: one reference of each user
 * @inode: the file; each user's namespace keeps it
 * @sb: its file system
 * @mnt: the mount by which it was opened, likewise
 * @writes: blocks are written, and nobody else has the file open; or they are only read, and
 *	nobody has it open for writing
 * @lock: one at a time: users that come and go; taking the leases and finding the blocks,
 *	giving the leases back
 * @users_lock: protects @users, also against those who break leases
 * @users: who uses it
 * @own: the file, open once more: its leases and its position are nobody else's. Open while
 *	the leases are held, or NULL
 * @exclusive: of a file that is written, a lease for writing: nobody else has it open
 * @read: a delegation for reading: nobody else has the file open for writing
 * @layout: a layout lease, where the file system moves blocks for others than writers
 * @broken: somebody waits for the leases to be given back
 * @written: commands may have written since the file's times were last set
 * @watch: gives the leases back; for some time after they were taken, it looks whether anybody
 *	waits
 * @watch_until: when that ends, in jiffies
 * @block_shift: of the blocks by which @extents count
 * @base: first block of the file system's device on the namespace
 * @extents: where the file's blocks are. These and the members below change only while all
 *	users are stopped and drained
 * @blocks: logical blocks of the file that commands may address
 * @bytes: size of the file
 * @tail: the last block is in part behind the end of the file, and is not among @blocks
 * @sectors: of 512 bytes, as many as @blocks are
 */
struct nvdm_file {
	struct list_head node;
	struct kref ref;
	struct inode *inode;
	struct super_block *sb;
	const struct vfsmount *mnt;
	bool writes;
	struct mutex lock;
	spinlock_t users_lock;
	struct list_head users;
	struct file *own;
	struct nvdm_lease exclusive;
	struct nvdm_lease read;
	struct nvdm_lease layout;
	bool broken;
	bool written;
	struct delayed_work watch;
	unsigned long watch_until;
	u32 block_shift;
	u64 base;
	struct extents extents;
	u64 blocks;
	u64 bytes;
	bool tail;
	sector_t sectors;
};

/* file_blocks.c */
int nvdm_file_check(const struct path *path, bool writes, u32 *reason);
int nvdm_file_find_blocks(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason);
void nvdm_file_forget(struct nvdm_file *file);

/* file.c */
int nvdm_file_join(struct nvdm_file_user *user, const struct nvdm_namespace *ns);
void nvdm_file_leave(struct nvdm_file_user *user);
int nvdm_file_hold(struct nvdm_file_user *user, struct nvdm_namespace *ns, u32 *reason);

/* On a file system that can be mounted, unlike a dma-buf or a memory file. */
static inline bool nvdm_file_is_regular(const struct file *file)
{
	const struct inode *inode = file_inode(file);

	return S_ISREG(inode->i_mode) && !(inode->i_sb->s_flags & SB_NOUSER);
}

static inline bool nvdm_file_is_on(const struct nvdm_file *file, const char *type)
{
	return !strcmp(file->sb->s_type->name, type);
}

static inline bool nvdm_file_is_broken(const struct nvdm_file *file)
{
	return READ_ONCE(file->broken);
}

/**
 * nvdm_file_begin_write - a command is about to write to a file
 * @file: the file, which the caller may have commands for
 *
 * As of a write(2) with O_DIRECT: whoever freezes the file system waits for it. In any
 * context.
 *
 * Return: true, then nvdm_file_end_write() must be called when the drive has finished with
 * the command, in any context; or false if the file system is frozen.
 */
static __always_inline bool nvdm_file_begin_write(struct nvdm_file *file)
{
	if (!sb_start_write_trylock(file->sb))
		return false;
	/* Others than this task end it. */
	__sb_writers_release(file->sb, SB_FREEZE_WRITE);
	if (!READ_ONCE(file->written))
		WRITE_ONCE(file->written, true);
	return true;
}

static __always_inline void nvdm_file_end_write(const struct nvdm_file *file)
{
	__sb_writers_acquired(file->sb, SB_FREEZE_WRITE);
	sb_end_write(file->sb);
}

/* nvdm_file_hold(): not now, for a reason that has an end. Try again after FILE_LATER_WAIT. */
#define FILE_LATER	2
#define FILE_LATER_WAIT (HZ / 50 ?: 1)

/* How often it is looked whether anybody waits for leases that were just taken, and how long. */
#define LEASE_WATCH	  (HZ / 2 ?: 1)
#define LEASE_WATCH_UNTIL (10 * HZ)

/* lease.c */
int nvdm_lease_init(void);
void nvdm_lease_exit(void);
bool nvdm_lease_rests(const struct nvdm_file *file);
int nvdm_lease_remove_privileges(struct nvdm_file *file);
int nvdm_lease_take(struct nvdm_file *file, u32 *reason);
void nvdm_lease_stop_users(struct nvdm_file *file);
bool nvdm_lease_is_wanted(const struct nvdm_file *file);
void nvdm_lease_watch(struct nvdm_file *file);
void nvdm_lease_give_back(struct nvdm_file *file);

#endif
