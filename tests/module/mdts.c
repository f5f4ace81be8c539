// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test finds the largest command of drives with different limits, and
 * looks at commands longer than that: they are split, also around a media
 * error, and at the end of a zone. Multipath namespaces work as well.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/blkzoned.h>
#include <linux/fs.h>

#include "rig.h"

#define UNRECOVERED_READ_ERROR 0x281
#define WRITE_FAULT	       0x280
#define STATUS_CODE	       0x7ff

static uint32_t max_command_of(struct rig *rig)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_info module = { .size = sizeof(module) };
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	char block_layer[32];
	uint64_t most;

	check_eq(nvmedmabuf_get_info(rig->ctx, &module), 0);
	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(nvmedmabuf_get_drive(rig->drive.fd, &drive), 0);
	most = drive.max_transfer ? drive.max_transfer : ~0ULL;
	if (!drive_attribute(rig->drive.path, "queue/max_hw_sectors_kb", block_layer,
			     sizeof(block_layer)))
		strcpy(block_layer, "?");
	note("%s: MDTS %llu KiB, the block layer sends %s KiB, commands of %u KiB",
	     drive_name(rig->drive.path), (unsigned long long)drive.max_transfer / 1024,
	     block_layer, info.out_max_command / 1024);
	/* Not less because of an IOMMU, and never more than the drive takes. */
	check_eq(info.out_max_command, min_u64(most, module.out_max_command));
	return info.out_max_command;
}

static void split_commands(struct rig *rig)
{
	uint64_t most, block;

	rig_attach_all(rig);
	most = max_command_of(rig);
	check_eq(rig->max_command, most);
	block = rig->drive.block;
	for (unsigned int parts = 1; parts <= 4; parts++)
		for (int more = -1; more <= 1; more++) {
			uint64_t length = parts * most + more * block;

			rig_read(rig, 4 * parts, length, rig->first + parts);
			if (may_erase())
				rig_write(rig, 4 * parts, length, rig->first + parts);
		}
	rig_read(rig, 0, rig->length / block * block, rig->first);
	rig_verify(rig);
	rig_close(rig);
}

static void splitting(const char *path)
{
	struct rig rig;

	rig_open(&rig, path, exporter_any(), 6 * MIB, 8 * MIB);
	split_commands(&rig);
}

static void odd(const void *arg)
{
	splitting(drive_path(arg));
}

/* The limit is found elsewhere, and the controller can be used. */
static void bad_start(const void *arg)
{
	const char *path = drive_path("BADSTART");
	uint64_t blocks;
	struct rig rig;

	(void)arg;
	rig_open(&rig, path, exporter_any(), 6 * MIB, 0);
	blocks = 8 * MIB / rig.drive.block;
	rig_window(&rig, 1, blocks, blocks);
	split_commands(&rig);
}

/* Commands of every length that there is, from every block, whatever lists may be tried. */
static void tiny(const void *arg)
{
	const char *path = drive_path(arg);
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct rig rig;

	rig_open(&rig, path, exporter_any(), 128 * KIB, 64 * KIB);
	rig_attach_all(&rig);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(info.out_max_command, rig.drive.blocks * rig.drive.block);
	for (uint64_t blocks = 1; blocks <= rig.drive.blocks; blocks += 1 + blocks / 8) {
		uint64_t slba = rnd_below(rig.drive.blocks - blocks + 1);
		uint64_t bytes = blocks * rig.drive.block;

		rig_read(&rig, rnd_below(64 * KIB / 4) * 4, bytes, slba);
		if (may_erase())
			rig_write(&rig, rnd_below(64 * KIB / 4) * 4, bytes, slba);
	}
	rig_verify(&rig);
	rig_close(&rig);
}

static void main_namespace(const void *arg)
{
	(void)arg;
	splitting(main_drive());
}

static void small(const void *arg)
{
	const char *path = drive_path("SMALLMDTS");
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;

	(void)arg;
	drive_open(&drive, path);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	check_eq(info.out_max_command, 128 * KIB);
	drive_close(&drive);
	splitting(path);
}

static void large(const void *arg)
{
	const char *path = drive_path("PLAIN512");
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;

	(void)arg;
	drive_open(&drive, path);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	check_eq(info.out_max_command, MIB);
	drive_close(&drive);
	splitting(path);
}

/*
 * A command that covers the bad block: the drive's status arrives, and @bytes
 * says how much from the start is good. Only one NVMe command's worth may be
 * given up before the bad block.
 */
static void failing(struct rig *rig, uint8_t opcode, uint64_t slba, uint64_t length, uint64_t bad,
		    uint16_t expected)
{
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_command command;
	uint64_t good = (bad - slba) * rig->drive.block;

	nvmedmabuf_prep_read(&command, rig->map, 0, length, slba);
	command.opcode = opcode;
	command.user_data = 42;
	rig_prepare(rig, &command, 1);
	check_eq(nvmedmabuf_submit(rig->ctx, &command, &c, 1), 1);
	check_that((c.status & STATUS_CODE) == expected && !c.error,
		   "opcode %u, %llu bytes at block %llu: error %d, status %#x", opcode,
		   (unsigned long long)length, (unsigned long long)slba, c.error, c.status);
	check_eq(c.user_data, 42);
	check_eq(c.reason, NVME_DMABUF_REASON_NONE);
	check_that(c.bytes <= good && good - c.bytes < rig->max_command,
		   "%llu bytes are said to be good, of %llu", (unsigned long long)c.bytes,
		   (unsigned long long)good);
	check_eq(c.bytes % rig->drive.block, 0);

	buffer_begin_cpu(&rig->buffer);
	compare("what was transferred", rig->buffer.addr, rig->mirror, c.bytes, 0);
	/* What lies behind may be anything; what lies outside may not. */
	memcpy(rig->mirror + c.bytes, rig->buffer.addr + c.bytes, length - c.bytes);
	buffer_end_cpu(&rig->buffer);
}

static void media_read_error(const void *arg)
{
	const char *path = drive_path("ERR");
	uint64_t bad = 2048;
	struct rig rig;

	(void)arg;
	rig_open(&rig, path, exporter_any(), 5 * MIB, 0);
	/* The block layer cannot read the bad block either. */
	rig_window(&rig, 0, bad + 5 * MIB / rig.drive.block, bad);
	rig_attach_all(&rig);
	failing(&rig, NVME_DMABUF_OP_READ, bad, rig.drive.block, bad, UNRECOVERED_READ_ERROR);
	failing(&rig, NVME_DMABUF_OP_READ, bad - 1, 2 * rig.drive.block, bad,
		UNRECOVERED_READ_ERROR);
	/* In the first, the second, the last part of a split command. */
	failing(&rig, NVME_DMABUF_OP_READ, bad - 8, 3 * MIB, bad, UNRECOVERED_READ_ERROR);
	failing(&rig, NVME_DMABUF_OP_READ, 0, 5 * MIB, bad, UNRECOVERED_READ_ERROR);
	failing(&rig, NVME_DMABUF_OP_READ, 8, MIB + 8 * rig.drive.block, bad,
		UNRECOVERED_READ_ERROR);
	/* The drive is none the worse for it. */
	check_eq(nvmedmabuf_read(rig.ctx, rig.map, 0, bad * rig.drive.block, 0, NULL), 0);
	buffer_begin_cpu(&rig.buffer);
	compare("blocks before the bad one", rig.buffer.addr, rig.disk, bad * rig.drive.block, 0);
	buffer_end_cpu(&rig.buffer);
}

/* One bad command among many others of its batch. */
static void media_error_in_batch(const void *arg)
{
	const char *path = drive_path("ERR");
	struct nvme_dmabuf_completion c[200];
	struct nvme_dmabuf_command commands[200];
	uint64_t bad = 2048;
	struct rig rig;

	(void)arg;
	rig_open(&rig, path, exporter_any(), MIB, 0);
	rig_attach_all(&rig);
	for (unsigned int i = 0; i < 200; i++)
		nvmedmabuf_prep_read(&commands[i], rig.map, i * rig.drive.block, rig.drive.block,
				     bad - 100 + i);
	check_eq(nvmedmabuf_submit(rig.ctx, commands, c, 200), 200);
	for (unsigned int i = 0; i < 200; i++) {
		check_eq(c[i].error, 0);
		check_eq(c[i].status & STATUS_CODE, i == 100 ? UNRECOVERED_READ_ERROR : 0);
		check_eq(c[i].bytes, i == 100 ? 0 : rig.drive.block);
	}
}

static void media_write_error(const void *arg)
{
	const char *path = drive_path("ERR");
	uint64_t bad = 4096;
	struct rig rig;

	(void)arg;
	require_erase();
	rig_open(&rig, path, exporter_any(), 2 * MIB, 0);
	rig_window(&rig, bad - 1024, 1024 + 2 * MIB / rig.drive.block, 1024);
	rig_attach_all(&rig);
	failing(&rig, NVME_DMABUF_OP_WRITE, bad, rig.drive.block, bad, WRITE_FAULT);
	failing(&rig, NVME_DMABUF_OP_WRITE, bad - 64, 2 * MIB, bad, WRITE_FAULT);
	failing(&rig, NVME_DMABUF_OP_WRITE, bad - 1024, 2 * MIB, bad, WRITE_FAULT);
	buffer_begin_cpu(&rig.buffer);
	compare("dma-buf after failed writes", rig.buffer.addr, rig.mirror, rig.buffer.size, 0);
	buffer_end_cpu(&rig.buffer);
}

/* Fills the first two zones, in order, as zones want it. */
static void fill_zones(struct drive *drive, const uint8_t *data, uint64_t zone)
{
	struct blk_zone_range zones = { .nr_sectors = 2 * zone / 512 };
	uint64_t piece = 64 * KIB;

	check_sys(ioctl(drive->fd, BLKRESETZONE, &zones));
	for (uint64_t at = 0; at < 2 * zone; at += piece)
		drive_write(drive, at / drive->block, data + at, piece);
}

/* Reads around the end of a zone: commands that fit in one part otherwise, and longer ones. */
static void zoned(const void *arg)
{
	const char *path = drive_path("ZONED");
	struct nvme_dmabuf_command batch[32];
	struct nvme_dmabuf_completion c[32];
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	uint32_t map, reason, sectors;
	struct buffer buffer;
	struct drive drive;
	struct nvmedmabuf *ctx;
	uint64_t zone, end;
	uint8_t *data;

	(void)arg;
	drive_open(&drive, path);
	check_sys(ioctl(drive.fd, BLKGETZONESZ, &sectors));
	zone = sectors * 512ULL;
	end = zone / drive.block;
	data = pages_alloc(2 * zone);
	rnd_fill(data, 2 * zone);
	if (may_erase())
		fill_zones(&drive, data, zone);
	drive_read(&drive, 0, data, 2 * zone);

	ctx = ctx_open();
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check(info.out_flags & NVME_DMABUF_NS_ZONED);
	buffer_alloc(&buffer, exporter_any(), 2 * zone);
	map = attach(ctx, buffer.fd, drive.fd, 0, 2 * zone, NVME_DMABUF_ACCESS_READ);
	for (unsigned int i = 0; i < 200; i++) {
		uint64_t before = i < 4 ? i : rnd_below(i % 2 ? 8 : end + 1);
		uint64_t after = i < 4 ? 3 - i : rnd_below(i % 3 ? 8 : end) + !before;
		uint64_t bytes = (before + after) * drive.block;
		uint64_t at = (end - before) * drive.block;

		buffer_begin_cpu(&buffer);
		memset(buffer.addr, (int)rnd(), bytes);
		buffer_end_cpu(&buffer);
		check_that(!nvmedmabuf_read(ctx, map, 0, bytes, end - before, c) &&
				   c[0].bytes == bytes,
			   "%llu blocks before the end of a zone and %llu after it: status %#x",
			   (unsigned long long)before, (unsigned long long)after, c[0].status);
		buffer_begin_cpu(&buffer);
		compare("dma-buf", buffer.addr, data + at, bytes, at);
		buffer_end_cpu(&buffer);
	}
	/* Some of a batch cross it. */
	for (unsigned int i = 0; i < ARRAY_SIZE(batch); i++)
		nvmedmabuf_prep_read(&batch[i], map, i * 4 * drive.block, 4 * drive.block,
				     end - 19 + i);
	check_eq(nvmedmabuf_submit(ctx, batch, c, ARRAY_SIZE(batch)), ARRAY_SIZE(batch));
	buffer_begin_cpu(&buffer);
	for (unsigned int i = 0; i < ARRAY_SIZE(batch); i++) {
		check_eq(c[i].error, 0);
		check_eq(c[i].status, 0);
		compare("dma-buf", buffer.addr + batch[i].offset,
			data + (end - 19 + i) * drive.block, 4 * drive.block, 0);
	}
	buffer_end_cpu(&buffer);

	require_erase();
	check_eq(attach_to(ctx, buffer.fd, drive.fd, 0, MIB, ACCESS_BOTH, 0, &map, &reason),
		 -EOPNOTSUPP);
	check_eq(reason, NVME_DMABUF_REASON_ZONED);
	check_eq(attach_to(ctx, buffer.fd, drive.fd, 0, MIB, NVME_DMABUF_ACCESS_WRITE, 0, &map,
			   &reason),
		 -EOPNOTSUPP);
	check_eq(reason, NVME_DMABUF_REASON_ZONED);
}

static void multipath(const void *arg)
{
	const char *path = drive_path("MPATH");
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;

	(void)arg;
	drive_open(&drive, path);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check(info.out_flags & NVME_DMABUF_NS_MULTIPATH);
	check(info.out_nsid);
	check(info.out_pci_bdf);
	drive_close(&drive);
	splitting(path);
}

int main(int argc, char **argv)
{
	require_device();
	tap_add(main_namespace, NULL, "the namespace's largest command");
	tap_add(small, NULL, "a drive that takes 128 KiB");
	tap_add(large, NULL, "a drive that takes 1 MiB and more");
	tap_add(odd, "MDTS1", "a drive that takes 8 KiB");
	tap_add(odd, "BLOCK16K", "a drive with blocks of 16 KiB");
	tap_add(bad_start, NULL, "a drive whose first block cannot be read");
	tap_add(tiny, "TINY", "a drive of 64 KiB");
	tap_add(tiny, "TINIEST", "a drive of 8 KiB");
	tap_add(media_read_error, NULL, "a block that cannot be read");
	tap_add(media_error_in_batch, NULL, "a block that cannot be read, in a batch");
	tap_add(media_write_error, NULL, "a block that cannot be written");
	tap_add(zoned, NULL, "a zoned namespace");
	tap_add(multipath, NULL, "a multipath namespace");
	return tap_run(argc, argv);
}
