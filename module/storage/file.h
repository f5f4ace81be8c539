/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files: where the blocks of a regular file are, and the leases by which nobody changes that
 * behind our back. Only storage.h needs to include this.
 */
#ifndef NVME_DMABUF_FILE_H
#define NVME_DMABUF_FILE_H

#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "extents.h"

struct nvdm_file;
struct nvdm_namespace;

/**
 * struct nvdm_file_ops - what the user of a file does when somebody wants to change it
 * @stop: let no new command in. Under a spinlock
 * @drain: then wait until the commands have ended
 */
struct nvdm_file_ops {
	void (*stop)(struct nvdm_file *file);
	void (*drain)(struct nvdm_file *file);
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
 * struct nvdm_file - a regular file whose blocks are read
 * @file: the caller's open file, or NULL if there is none; its owner holds a reference
 * @ops: the user's
 * @lock: one at a time: taking the leases and finding the blocks, giving the leases back
 * @own: the same file, open once more: its leases and its position are nobody else's; or NULL
 * @read: a delegation for reading: nobody has the file open for writing
 * @layout: a layout lease, where the file system moves blocks for others than writers
 * @broken: somebody waits for the leases to be given back
 * @watch: does so; for some time after they were taken, it looks whether anybody waits
 * @watch_until: when that ends, in jiffies
 * @extents: where its blocks are. These and the members below change only while the user is
 *	stopped and drained
 * @blocks: logical blocks of the file that may be read
 * @bytes: size of the file
 * @tail: the last block has something behind the end of the file, and is not among @blocks
 * @sectors: of 512 bytes, as many as @blocks are
 */
struct nvdm_file {
	struct file *file;
	const struct nvdm_file_ops *ops;
	struct mutex lock;
	struct file *own;
	struct nvdm_lease read;
	struct nvdm_lease layout;
	bool broken;
	struct delayed_work watch;
	unsigned long watch_until;
	struct extents extents;
	u64 blocks;
	u64 bytes;
	bool tail;
	sector_t sectors;
};

/* file.c */
int nvdm_file_check(struct file *file, u32 *reason);
void nvdm_file_open(struct nvdm_file *file, struct file *opened, const struct nvdm_file_ops *ops);
void nvdm_file_close(struct nvdm_file *file);
int nvdm_file_hold(struct nvdm_file *file, struct nvdm_namespace *ns, u32 *reason);

/* On a file system that can be mounted, unlike a dma-buf or a memory file. */
static inline bool nvdm_file_is_regular(const struct file *file)
{
	const struct inode *inode = file_inode(file);

	return S_ISREG(inode->i_mode) && !(inode->i_sb->s_flags & SB_NOUSER);
}

static inline bool nvdm_file_is_broken(const struct nvdm_file *file)
{
	return READ_ONCE(file->broken);
}

/* How often it is looked whether anybody waits for leases that were just taken, and how long. */
#define LEASE_WATCH	  (HZ / 2 ?: 1)
#define LEASE_WATCH_UNTIL (10 * HZ)

/* lease.c */
int nvdm_lease_init(void);
void nvdm_lease_exit(void);
int nvdm_lease_wait(const struct nvdm_file *file, const struct nvdm_namespace *ns);
int nvdm_lease_take(struct nvdm_file *file, bool layout, u32 *reason);
bool nvdm_lease_is_wanted(const struct nvdm_file *file);
void nvdm_lease_watch(struct nvdm_file *file);
void nvdm_lease_give_back(struct nvdm_file *file);

#endif
