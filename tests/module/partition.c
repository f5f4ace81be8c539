// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches partitions: blocks count from their start, their bounds
 * are enforced as they are now, and what does not begin or end with a block is
 * refused. No partition table stays on the namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <endian.h>
#include <linux/blkpg.h>
#include <linux/fs.h>

#include "rig.h"

/* Partition number that nobody uses by accident. */
#define NUMBER 63

static void partition_path(const char *disk, int number, char *path, size_t size)
{
	snprintf(path, size, "%sp%d", disk, number);
}

/* A window of the namespace, and in its middle a partition. */
struct fixture {
	struct rig rig;
	int disk;
	int fd;
	uint64_t start, blocks;
	char path[64];
	uint32_t map;
};

static void fixture_open(struct fixture *f, const char *path)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t block;

	require_erase();
	rig_open(&f->rig, path, exporter_any(), MIB, MIB);
	rig_attach_all(&f->rig);
	block = f->rig.drive.block;
	f->disk = check_sys(open(path, O_RDONLY | O_CLOEXEC));
	partition_change(f->disk, BLKPG_DEL_PARTITION, NUMBER, 0, 0);
	f->start = f->rig.first + f->rig.count / 4;
	f->blocks = f->rig.count / 2;
	check_eq(partition_change(f->disk, BLKPG_ADD_PARTITION, NUMBER, f->start * block,
				  f->blocks * block),
		 0);
	partition_path(path, NUMBER, f->path, sizeof(f->path));
	/* udev may be busy with the new node, or may even make it. */
	wait_until((f->fd = open(f->path, O_RDWR | O_CLOEXEC)) >= 0);
	f->map = attach(f->rig.ctx, f->rig.buffer.fd, f->fd, 0, f->rig.buffer.size, ACCESS_BOTH);
	check_eq(nvmedmabuf_get_map_info(f->rig.ctx, f->map, &info), 0);
	check_eq(info.out_block_size, block);
}

static void fixture_close(struct fixture *f)
{
	check_eq(nvmedmabuf_detach(f->rig.ctx, f->map), 0);
	close(f->fd);
	check_eq(partition_change(f->disk, BLKPG_DEL_PARTITION, NUMBER, 0, 0), 0);
	close(f->disk);
	rig_close(&f->rig);
}

/* The same transfer as rig_transfer(), by way of the partition. */
static void transfer(struct fixture *f, uint8_t opcode, uint64_t offset, uint64_t length,
		     uint64_t slba)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_read(&command, f->rig.map, offset, length, f->start + slba);
	command.opcode = opcode;
	rig_prepare(&f->rig, &command, 1);
	command.map = f->map;
	command.slba = slba;
	rig_submit(&f->rig, &command, 1);
}

static void refused(struct fixture *f, uint64_t length, uint64_t slba, int error)
{
	struct nvme_dmabuf_completion c;

	for (int write = 0; write < 2; write++) {
		memset(&c, 0xff, sizeof(c));
		if (write)
			nvmedmabuf_write(f->rig.ctx, f->map, 0, length, slba, &c);
		else
			nvmedmabuf_read(f->rig.ctx, f->map, 0, length, slba, &c);
		check_that(c.error == -error && c.reason == NVME_DMABUF_REASON_OUTSIDE_NAMESPACE,
			   "block %llu: error %d, reason %s", (unsigned long long)slba, c.error,
			   nvmedmabuf_reason_name(c.reason));
		check_eq(c.bytes, 0);
		rig_verify(&f->rig);
	}
}

static void information(const void *path)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct fixture f;

	fixture_open(&f, path);
	check_eq(nvmedmabuf_get_ns_info(f.rig.ctx, f.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check(info.out_flags & NVME_DMABUF_NS_PARTITION);
	check_eq(info.out_start, f.start);
	check_eq(info.out_capacity, f.blocks);
	check_eq(info.out_block_size, f.rig.drive.block);
	fixture_close(&f);
}

static void relative_blocks(const void *path)
{
	struct fixture f;
	uint32_t block;

	fixture_open(&f, path);
	block = f.rig.drive.block;
	transfer(&f, NVME_DMABUF_OP_READ, 0, block, 0);
	transfer(&f, NVME_DMABUF_OP_WRITE, 4, block, 0);
	transfer(&f, NVME_DMABUF_OP_WRITE, 8, block, f.blocks - 1);
	transfer(&f, NVME_DMABUF_OP_READ, 12, f.blocks * block, 0);
	transfer(&f, NVME_DMABUF_OP_WRITE, 16, f.blocks * block, 0);
	for (int i = 0; i < 10; i++) {
		uint64_t blocks = 1 + rnd_below(f.blocks);

		transfer(&f, rnd() % 2 ? NVME_DMABUF_OP_READ : NVME_DMABUF_OP_WRITE,
			 rnd_below(1000) * 4, blocks * block, rnd_below(f.blocks - blocks + 1));
	}
	rig_verify(&f.rig);
	fixture_close(&f);
}

static void bounds(const void *path)
{
	struct fixture f;
	uint32_t block;

	fixture_open(&f, path);
	block = f.rig.drive.block;
	refused(&f, block, f.blocks, ERANGE);
	refused(&f, 2 * block, f.blocks - 1, ERANGE);
	refused(&f, (f.blocks + 1) * block, 0, ERANGE);
	refused(&f, block, f.start + f.blocks / 2, ERANGE);
	/* Blocks before the partition, by wrapping around. */
	refused(&f, block, -1ULL, EOVERFLOW);
	refused(&f, block, -f.start, ERANGE);
	refused(&f, block, -2ULL, ERANGE);
	fixture_close(&f);
}

/* Made smaller behind our back: the new bounds hold at once. */
static void resized(const void *path)
{
	struct fixture f;
	uint32_t block;

	fixture_open(&f, path);
	block = f.rig.drive.block;
	transfer(&f, NVME_DMABUF_OP_READ, 0, block, f.blocks - 1);
	check_eq(partition_change(f.disk, BLKPG_RESIZE_PARTITION, NUMBER, f.start * block,
				  f.blocks / 2 * block),
		 0);
	refused(&f, block, f.blocks - 1, ERANGE);
	refused(&f, block, f.blocks / 2, ERANGE);
	transfer(&f, NVME_DMABUF_OP_WRITE, 0, block, f.blocks / 2 - 1);
	check_eq(partition_change(f.disk, BLKPG_RESIZE_PARTITION, NUMBER, f.start * block,
				  f.blocks * block),
		 0);
	transfer(&f, NVME_DMABUF_OP_WRITE, 0, block, f.blocks - 1);
	rig_verify(&f.rig);
	fixture_close(&f);
}

/* Deleting it is refused while a map keeps it open, and works afterwards. */
static void deleted(const void *path)
{
	struct fixture f;
	uint32_t block;

	fixture_open(&f, path);
	block = f.rig.drive.block;
	close(f.fd);
	check_eq(partition_change(f.disk, BLKPG_DEL_PARTITION, NUMBER, 0, 0), -EBUSY);
	transfer(&f, NVME_DMABUF_OP_WRITE, 0, block, 1);
	rig_verify(&f.rig);
	check_eq(nvmedmabuf_detach(f.rig.ctx, f.map), 0);
	wait_until(!partition_change(f.disk, BLKPG_DEL_PARTITION, NUMBER, 0, 0));
	rig_read(&f.rig, 0, block, f.rig.first);
	rig_close(&f.rig);
}

/*
 * An Apple partition map counts in blocks of its own, here 512 bytes, so that
 * on a namespace of longer blocks a partition can begin or end inside of one.
 */
struct apple_entry {
	__be16 signature;
	__be16 reserved;
	__be32 entries;
	__be32 start;
	__be32 length;
	char name[32];
	char type[32];
	char rest[512 - 80];
};

static void unaligned(const void *arg)
{
	static const struct {
		uint32_t start, length;
	} partitions[] = { { 2049, 512 }, { 4096, 511 }, { 8192, 512 } };
	const char *path = drive_path("PLAIN4K");
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct apple_entry sectors[8];
	uint8_t saved[PAGE];
	uint32_t map, reason;
	char part[64];
	struct rig rig;
	int fd, disk, result;

	(void)arg;
	require_erase();
	rig_open(&rig, path, exporter_any(), MIB, 64 * KIB);
	if (rig.drive.block != PAGE)
		skip("needs a namespace of 4096-byte blocks");
	drive_read(&rig.drive, 0, saved, sizeof(saved));
	memset(sectors, 0, sizeof(sectors));
	sectors[0].signature = htobe16(0x4552);
	sectors[0].reserved = htobe16(512);
	for (size_t i = 0; i < ARRAY_SIZE(partitions); i++) {
		sectors[i + 1].signature = htobe16(0x504d);
		sectors[i + 1].entries = htobe32(ARRAY_SIZE(partitions));
		sectors[i + 1].start = htobe32(partitions[i].start);
		sectors[i + 1].length = htobe32(partitions[i].length);
		strcpy(sectors[i + 1].type, "Apple_UNIX_SVR2");
	}
	drive_write(&rig.drive, 0, sectors, sizeof(sectors));
	/* The window's exclusive claim would keep the table from being read. */
	close(rig.drive.fd);
	disk = check_sys(open(path, O_RDWR | O_DIRECT | O_CLOEXEC));
	check_sys(ioctl(disk, BLKFLSBUF));
	check_sys(ioctl(disk, BLKRRPART));

	for (size_t i = 0; i < ARRAY_SIZE(partitions); i++) {
		bool aligned = partitions[i].start % 8 == 0 && partitions[i].length % 8 == 0;

		partition_path(path, i + 1, part, sizeof(part));
		wait_until((fd = open(part, O_RDONLY | O_CLOEXEC)) >= 0);
		check_eq(nvmedmabuf_get_ns_info(rig.ctx, fd, &info), 0);
		result = attach_to(rig.ctx, rig.buffer.fd, fd, 0, MIB, NVME_DMABUF_ACCESS_READ, 0,
				   &map, &reason);
		close(fd);
		check_that(result == (aligned ? 0 : -EOPNOTSUPP),
			   "partition of %u sectors at %u: attach says %d, %s",
			   partitions[i].length, partitions[i].start, result,
			   nvmedmabuf_reason_name(reason));
		check_eq(reason, aligned ? NVME_DMABUF_REASON_NONE :
					   NVME_DMABUF_REASON_PARTITION_UNALIGNED);
		check_eq(info.out_reason, reason);
		check_eq(info.out_block_size, rig.drive.block);
		if (aligned) {
			check_eq(info.out_start, partitions[i].start / 8);
			check_eq(info.out_capacity, partitions[i].length / 8);
			check_eq(nvmedmabuf_detach(rig.ctx, map), 0);
		}
	}
	rig.drive.fd = disk;
	drive_write(&rig.drive, 0, saved, sizeof(saved));
	check_sys(ioctl(disk, BLKFLSBUF));
	wait_until(!ioctl(disk, BLKRRPART));
}

int main(int argc, char **argv)
{
	static const char *paths[3];
	unsigned int count = plain_drives(paths);

	require_device();
	if (!count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");
	for (unsigned int i = 0; i < count; i++) {
		const char *path = paths[i], *drive = drive_name(path);

		tap_add(information, path, "%s: what is said of a partition", drive);
		tap_add(relative_blocks, path, "%s: blocks count from the start", drive);
		tap_add(bounds, path, "%s: bounds", drive);
		tap_add(resized, path, "%s: bounds that change", drive);
		tap_add(deleted, path, "%s: deletion", drive);
	}
	tap_add(unaligned, NULL, "partitions that do not begin or end with a block");
	return tap_run(argc, argv);
}
