// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test formats a namespace while it is attached: no command is computed
 * from a format that is no longer there, a map that is refreshed moves the
 * right data by the new one, and a format that cannot be used is refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/nvme_ioctl.h>

#include "exported.h"

#define ADMIN_IDENTIFY 0x06
#define ADMIN_FORMAT   0x80

#define SIZE   MIB
#define WINDOW (256 * KIB)

/* A way to format a block, by what Format NVM has to be told. */
struct format {
	uint32_t block;
	uint16_t metadata;
	bool extended; /* metadata behind each block, not in a buffer of its own */
	bool pi;
};

static const struct format plain512 = { .block = 512 };
static const struct format plain4k = { .block = 4096 };

/* The controller's own device, which formats what others have open. */
static int admin_open(const char *path)
{
	unsigned int controller;
	char name[32];

	check_eq(sscanf(strrchr(path, '/'), "/nvme%un", &controller), 1);
	snprintf(name, sizeof(name), "/dev/nvme%u", controller);
	return check_sys(open(name, O_RDWR | O_CLOEXEC));
}

static uint32_t nsid_of(const char *path)
{
	int fd = check_sys(open(path, O_RDONLY | O_CLOEXEC)), nsid;

	nsid = check_sys(ioctl(fd, NVME_IOCTL_ID));
	close(fd);
	return nsid;
}

/* The number of a format of this block and metadata size, or -1. */
static int format_index(int admin, uint32_t nsid, const struct format *format)
{
	uint8_t identify[4096];
	struct nvme_admin_cmd command = {
		.opcode = ADMIN_IDENTIFY,
		.nsid = nsid,
		.addr = (uintptr_t)identify,
		.data_len = sizeof(identify),
	};

	check_eq(ioctl(admin, NVME_IOCTL_ADMIN_CMD, &command), 0);
	/* NLBAF, and from byte 128 on the formats: MS, LBADS, RP. */
	for (int i = 0; i <= identify[25]; i++) {
		const uint8_t *f = &identify[128 + 4 * i];

		if ((f[0] | f[1] << 8) == format->metadata && 1U << f[2] == format->block)
			return i;
	}
	return -1;
}

static void format_drive(const char *path, const struct format *format)
{
	int admin = admin_open(path), index;
	struct nvme_admin_cmd command = { .opcode = ADMIN_FORMAT, .timeout_ms = 60000 };

	command.nsid = nsid_of(path);
	index = format_index(admin, command.nsid, format);
	if (index < 0)
		skip("%s has no format of %u + %u bytes", path, format->block, format->metadata);
	command.cdw10 = index | format->extended << 4 | format->pi << 5;
	check_eq(ioctl(admin, NVME_IOCTL_ADMIN_CMD, &command), 0);
	close(admin);
}

static const char *format_path(void)
{
	const char *path = drive_path("FORMAT");

	require_erase();
	/* A test that failed may have left another. */
	format_drive(path, &plain512);
	return path;
}

/* What the block layer makes of it now. */
static void look_again(struct rig *rig)
{
	uint64_t bytes;
	int block;

	check_sys(ioctl(rig->drive.fd, BLKSSZGET, &block));
	check_sys(ioctl(rig->drive.fd, BLKGETSIZE64, &bytes));
	/* The copy is as long as it was. */
	munmap(rig->disk, rig->count * rig->drive.block);
	rig->disk = NULL;
	rig->drive.block = block;
	rig->drive.blocks = bytes / block;
	rig_window(rig, rnd_below(rig->drive.blocks - WINDOW / block + 1), WINDOW / block,
		   WINDOW / block);
}

static void check_refused(struct rig *rig)
{
	struct nvme_dmabuf_command commands[2];
	struct nvme_dmabuf_completion c[2];

	nvmedmabuf_prep_read(&commands[0], rig->map, 0, 4 * PAGE, 0);
	nvmedmabuf_prep_write(&commands[1], rig->map, 0, 4 * PAGE, 0);
	memset(c, 0xa5, sizeof(c));
	check_eq(nvmedmabuf_submit(rig->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
	for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
		check_that(c[i].error == -ESTALE &&
				   c[i].reason == NVME_DMABUF_REASON_FORMAT_CHANGED,
			   "opcode %u: error %d, reason %s, status %#x", commands[i].opcode,
			   c[i].error, nvmedmabuf_reason_name(c[i].reason), c[i].status);
		check_eq(c[i].bytes, 0);
	}
}

static void check_block_size(struct rig *rig, uint32_t expected)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_block_size, expected);
}

static void check_transfers(struct rig *rig, unsigned int count)
{
	for (; count; count--) {
		uint64_t blocks = 1 + rnd_below(rig->count);
		uint64_t bytes = blocks * rig->drive.block;
		uint64_t slba = rig->first + rnd_below(rig->count - blocks + 1);
		uint64_t offset = rnd_below((rig->length - bytes) / 4 + 1) * 4;

		rig_read(rig, offset, bytes, slba);
		rig_write(rig, offset, bytes, slba);
	}
	rig_verify(rig);
}

/* An attachment made after the format works by the new one; the old one does not. */
static void attached_again(const void *arg)
{
	const char *path = format_path();
	struct rig rig;
	uint32_t old;

	(void)arg;
	rig_open(&rig, path, exporter_any(), SIZE, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 3);
	for (unsigned int i = 0; i < scaled(3); i++) {
		const struct format *format = i % 2 ? &plain512 : &plain4k;
		uint32_t block = rig.drive.block;

		format_drive(path, format);
		check_refused(&rig);
		check_block_size(&rig, block);
		look_again(&rig);
		check_eq(rig.drive.block, format->block);
		old = rig.map;
		rig_attach_all(&rig);
		check_transfers(&rig, 3);
		/* The old map is still one, and still refused. */
		block = rig.map;
		rig.map = old;
		check_refused(&rig);
		rig_detach(&rig);
		rig.map = block;
	}
	/* A format that was changed and changed back is the one that was attached. */
	format_drive(path, rig.drive.block == 512 ? &plain4k : &plain512);
	check_refused(&rig);
	format_drive(path, rig.drive.block == 512 ? &plain512 : &plain4k);
	look_again(&rig);
	check_transfers(&rig, 3);
	rig_close(&rig);
	format_drive(path, &plain512);
}

/* A refresh says itself what the block size is, unless the caller's structure has no place. */
static void check_refresh(struct rig *rig, uint32_t size, uint32_t expected)
{
	struct nvme_dmabuf_refresh args = {
		.size = size,
		.map = rig->map,
		.out_reason = ~0U,
		.out_block_size = 12345,
		.out_reserved = 12345,
	};
	bool told = size == sizeof(args);

	check_sys(ioctl(nvmedmabuf_fd(rig->ctx), NVME_DMABUF_IOC_REFRESH, &args));
	check_eq(args.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(args.out_generation, 1);
	check_eq(args.out_block_size, told ? expected : 12345);
	check_eq(args.out_reserved, told ? 0 : 12345);
	check_block_size(rig, expected);
}

static void refreshed(const void *arg)
{
	const uint32_t first_size = offsetof(struct nvme_dmabuf_refresh, out_block_size);
	const char *path = format_path();
	struct rig rig;

	(void)arg;
	rig_open(&rig, path, exporter_any(), SIZE, WINDOW);
	rig_attach_all(&rig);
	check_transfers(&rig, 2);
	for (unsigned int i = 0; i < scaled(4); i++) {
		const struct format *format = i % 2 ? &plain512 : &plain4k;

		format_drive(path, format);
		check_refused(&rig);
		check_refresh(&rig, i % 4 < 2 ? sizeof(struct nvme_dmabuf_refresh) : first_size,
			      format->block);
		look_again(&rig);
		check_transfers(&rig, 3);
		/* Once more does nothing. */
		check_refresh(&rig, sizeof(struct nvme_dmabuf_refresh), format->block);
		check_transfers(&rig, 1);
	}
	rig_close(&rig);
	format_drive(path, &plain512);
}

/* Only the caller can know what its offsets and lengths mean by the new format. */
static void not_by_itself(const void *arg)
{
	const char *path = format_path();
	uint32_t reason;
	struct rig rig;

	(void)arg;
	rig_open(&rig, path, exporter_any(), SIZE, WINDOW);
	check_eq(attach_to(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, SIZE, rig_access(),
			   NVME_DMABUF_ATTACH_AUTO_REFRESH, &rig.map, &reason),
		 0);
	rig.length = SIZE;
	check_transfers(&rig, 2);
	format_drive(path, &plain4k);
	check_refused(&rig);
	check_refused(&rig);
	check_block_size(&rig, 512);
	check_eq(nvmedmabuf_refresh(rig.ctx, rig.map, NULL, &reason), 0);
	look_again(&rig);
	check_transfers(&rig, 2);
	rig_close(&rig);
	format_drive(path, &plain512);
}

/* A format that no attach would take. */
struct unusable {
	const char *name;
	struct format format;
	uint32_t reasons[2];
};

static const struct unusable unusables[] = {
	{ "separate metadata", { .block = 512, .metadata = 8 }, { NVME_DMABUF_REASON_METADATA } },
	{ "interleaved metadata",
	  { .block = 512, .metadata = 8, .extended = true },
	  { NVME_DMABUF_REASON_NO_CAPACITY, NVME_DMABUF_REASON_METADATA } },
	{ "separate metadata, larger blocks",
	  { .block = 4096, .metadata = 64 },
	  { NVME_DMABUF_REASON_METADATA } },
};

static bool is_one_of(uint32_t reason, const uint32_t reasons[2])
{
	return reason && (reason == reasons[0] || reason == reasons[1]);
}

static void unusable(const void *arg)
{
	const struct unusable *u = arg;
	const char *path = format_path();
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	uint32_t map, reason;
	struct rig rig;

	rig_open(&rig, path, exporter_any(), SIZE, WINDOW);
	rig_attach_all(&rig);
	format_drive(path, &u->format);
	check_refused(&rig);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &ns), 0);
	check_that(is_one_of(ns.out_reason, u->reasons), "reason %s",
		   nvmedmabuf_reason_name(ns.out_reason));
	reason = ~0U;
	check_eq(attach_to(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, SIZE, rig_access(), 0, &map,
			   &reason),
		 -EOPNOTSUPP);
	check_eq(reason, ns.out_reason);
	check_block_size(&rig, 512);

	check_eq(nvmedmabuf_refresh(rig.ctx, rig.map, NULL, &reason), -EOPNOTSUPP);
	check_eq(reason, ns.out_reason);
	check_refused(&rig);
	check_block_size(&rig, 512);

	/* Nothing has happened to a map that was refused. */
	format_drive(path, &plain512);
	look_again(&rig);
	check_transfers(&rig, 2);
	rig_close(&rig);
}

/* Blocks with protection information, which the drive inserts and strips. */
static void protection(const void *arg)
{
	const struct format *format = arg;
	const char *path = format_path();
	uint32_t reason;
	struct rig rig;

	rig_open(&rig, path, exporter_any(), SIZE, WINDOW);
	rig_attach_all(&rig);
	format_drive(path, format);
	check_eq(nvmedmabuf_refresh(rig.ctx, rig.map, NULL, &reason), 0);
	check_block_size(&rig, format->block);
	look_again(&rig);
	check_transfers(&rig, 5);
	format_drive(path, &plain512);
	check_eq(nvmedmabuf_refresh(rig.ctx, rig.map, NULL, &reason), 0);
	look_again(&rig);
	check_transfers(&rig, 2);
	rig_close(&rig);
}

static const struct format protections[] = {
	{ .block = 512, .metadata = 8, .pi = true },
	{ .block = 512, .metadata = 8, .extended = true, .pi = true },
	{ .block = 4096, .metadata = 8, .pi = true },
};

/*
 * Threads that do not know when. A command is refused or done, and the drive never
 * sees one that was computed by the wrong format, though the stock driver lets
 * commands in before it has read the new one: larger blocks would run over the
 * end of a PRP list, or take data for a list; smaller ones a list for data.
 */
static unsigned int stop;

struct user {
	struct nvmedmabuf *ctx;
	struct exported *b;
	int ns_fd;
	unsigned int number;
	volatile unsigned int done, stale, failed;
	unsigned int status; /* of the last one that failed */
	pthread_t handle;
};

static void *user_run(void *arg)
{
	struct nvme_dmabuf_completion c[16];
	struct nvme_dmabuf_command commands[16];
	struct user *u = arg;
	uint32_t map = 0, reason;
	int result;

	rnd_start(u->number + 1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		bool stale = false;

		if (!map) {
			result = attach_to(u->ctx, u->b->fd, u->ns_fd, 0, u->b->bytes, rig_access(),
					   0, &map, &reason);
			/* The driver itself does not know the format for a moment. */
			check_that(!result || result == -ESTALE || result == -EIO ||
					   (result == -EOPNOTSUPP &&
					    reason == NVME_DMABUF_REASON_TRANSFER_LENGTH),
				   "attach says %s, %s", strerror(-result),
				   nvmedmabuf_reason_name(reason));
			if (result)
				map = 0;
			continue;
		}
		for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++) {
			uint64_t length = (1 + rnd_below(8)) * PAGE;
			/* The end of the buffer most of all. */
			uint64_t room = u->b->bytes - length;
			uint64_t offset = rnd() % 2 ? room : rnd_below(room / 4 + 1) * 4;

			if (rnd() % 2)
				nvmedmabuf_prep_read(&commands[i], map, offset, length,
						     rnd_below(1024) * 8);
			else
				nvmedmabuf_prep_write(&commands[i], map, offset, length,
						      rnd_below(1024) * 8);
		}
		check_eq(nvmedmabuf_submit(u->ctx, commands, c, ARRAY_SIZE(c)), ARRAY_SIZE(c));
		for (unsigned int i = 0; i < ARRAY_SIZE(c); i++) {
			if (c[i].error) {
				check_that(c[i].error == -ESTALE &&
						   c[i].reason == NVME_DMABUF_REASON_FORMAT_CHANGED,
					   "error %d, reason %s", c[i].error,
					   nvmedmabuf_reason_name(c[i].reason));
				u->stale++;
				stale = true;
			} else if (c[i].status) {
				u->status = c[i].status;
				u->failed++;
			} else {
				u->done++;
			}
		}
		if (stale) {
			check_eq(nvmedmabuf_detach(u->ctx, map), 0);
			map = 0;
		}
	}
	if (map)
		check_eq(nvmedmabuf_detach(u->ctx, map), 0);
	return NULL;
}

static void under_load(const struct format *before, const struct format *after, bool sgl)
{
	const char *path = format_path();
	struct exporter_segment segment = { .length = SIZE, .order = 8 };
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct user users[2];
	struct exported b;
	struct drive drive;
	uint32_t map;

	require_exporter();
	drive_open(&drive, path);
	if (sgl)
		exported_create(&b, &segment, 1, EXPORTER_DYNAMIC);
	else
		exported_create_pages(&b, SIZE, EXPORTER_DYNAMIC);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++)
		users[i] =
			(struct user){ .ctx = ctx_open(), .b = &b, .ns_fd = drive.fd, .number = i };
	map = attach(users[0].ctx, b.fd, drive.fd, 0, b.bytes, rig_access());
	check_eq(nvmedmabuf_get_map_info(users[0].ctx, map, &info), 0);
	if (sgl && !(info.out_flags & NVME_DMABUF_MAP_SGL))
		skip("this kernel does not tell whether the drive takes SGLs");

	for (unsigned int i = 0; i < scaled(4); i++) {
		format_drive(path, before);
		__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
		for (unsigned int j = 0; j < ARRAY_SIZE(users); j++) {
			unsigned int done = users[j].done;

			check_eq(pthread_create(&users[j].handle, NULL, user_run, &users[j]), 0);
			wait_until(users[j].done > done + 16);
		}
		format_drive(path, after);
		for (unsigned int j = 0; j < ARRAY_SIZE(users); j++) {
			unsigned int done = users[j].done;

			wait_until(users[j].done > done + 16);
		}
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		for (unsigned int j = 0; j < ARRAY_SIZE(users); j++)
			check_eq(pthread_join(users[j].handle, NULL), 0);
		exported_check_damage(&b);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++) {
		nvmedmabuf_close(users[i].ctx);
		note("thread %u: %u done, %u refused, %u failed, at last with status %#x", i,
		     users[i].done, users[i].stale, users[i].failed, users[i].status);
		check(users[i].stale);
		check_eq(users[i].failed, 0);
	}
	check_unused(&b);
	exported_check_damage(&b);
	exported_close(&b);
	drive_close(&drive);
	format_drive(path, &plain512);
}

static void smaller_under_load(const void *arg)
{
	under_load(&plain4k, &plain512, *(const bool *)arg);
}

static void larger_under_load(const void *arg)
{
	under_load(&plain512, &plain4k, *(const bool *)arg);
}

int main(int argc, char **argv)
{
	static const bool sgl[] = { false, true };

	require_device();
	tap_add(attached_again, NULL, "commands are refused until it is attached again");
	tap_add(refreshed, NULL, "refresh takes over the block size");
	tap_add(not_by_itself, NULL, "an automatic refresh does not");
	for (unsigned int i = 0; i < ARRAY_SIZE(unusables); i++)
		tap_add(unusable, &unusables[i], "refused: %s", unusables[i].name);
	for (unsigned int i = 0; i < ARRAY_SIZE(protections); i++)
		tap_add(protection, &protections[i], "protection information %s blocks of %u",
			protections[i].extended ? "in" : "beside", protections[i].block);
	for (unsigned int i = 0; i < ARRAY_SIZE(sgl); i++) {
		tap_add(smaller_under_load, &sgl[i], "%s: gets smaller blocks under load",
			sgl[i] ? "SGL" : "PRP");
		tap_add(larger_under_load, &sgl[i], "%s: gets larger blocks under load",
			sgl[i] ? "SGL" : "PRP");
	}
	return tap_run(argc, argv);
}
