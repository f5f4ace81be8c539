// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test moves data in one direction only, through maps that allow no other: between
 * every drive that can be attached and every exporter. Reading changes the bytes that it
 * should, to what the drive holds, and no other of the buffer. Writing changes no byte of
 * the buffer, and on the drive nothing around its blocks. All of both is compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exported.h"
#include "leaving.h"
#include "slow.h"

#define BYTES MIB

/* What a test is run on. */
struct pair {
	const char *name; /* of the drive */
	const char *path;
	const struct exporter *exporter;
};

/* Its data is found at once; tests/vm/drives.sh makes it slow. */
static struct known slow_drive;

static void require_attachable(const struct pair *pair)
{
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct drive drive;
	char zoned[16];

	if (drive_attribute(pair->path, "queue/zoned", zoned, sizeof(zoned)) &&
	    strncmp(zoned, "none", 4))
		skip("%s takes writes in order only", pair->name);
	drive_open(&drive, pair->path);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	if (info.out_reason)
		skip("%s is refused, which other tests check: %s", pair->name,
		     nvmedmabuf_reason_name(info.out_reason));
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/* The other direction is refused, so that what is seen is of this one. */
static void check_refused(struct nvmedmabuf *ctx, uint32_t map, uint64_t slba, uint32_t access,
			  uint32_t block)
{
	if (access == NVME_DMABUF_ACCESS_READ)
		check_eq(nvmedmabuf_write(ctx, map, 0, block, slba, NULL), -EACCES);
	else
		check_eq(nvmedmabuf_read(ctx, map, 0, block, slba, NULL), -EACCES);
}

static void transfer(struct rig *rig, uint32_t access, uint64_t offset, uint64_t length)
{
	uint64_t slba = rig->first + rnd_below(rig->count - length / rig->drive.block + 1);

	if (access == NVME_DMABUF_ACCESS_READ)
		rig_read(rig, offset, length, slba);
	else
		rig_write(rig, offset, length, slba);
}

/* A part of the buffer, from any multiple of 4 to any byte. */
static void one_way(struct rig *rig, uint32_t access)
{
	uint64_t block = rig->drive.block, start = rnd_below(16 * KIB) * 4;
	uint64_t length = BYTES - start - rnd_below(64 * KIB), most = length / block;

	rig_attach(rig, start, length, access);
	check_refused(rig->ctx, rig->map, rig->first, access, block);
	transfer(rig, access, 0, block);
	transfer(rig, access, (length - most * block) & ~3ULL, most * block);
	for (int i = 0; i < 3; i++) {
		uint64_t bytes = (1 + rnd_below(min_u64(most, 32))) * block;

		transfer(rig, access, rnd_below((length - bytes) / 4 + 1) * 4, bytes);
	}
	rig_verify(rig);
	rig_detach(rig);
}

static void each_way(const void *arg)
{
	const struct pair *pair = arg;
	struct rig rig;
	uint64_t count;

	require_attachable(pair);
	rig_open(&rig, pair->path, pair->exporter, BYTES, 0);
	/* In the upper half nothing fails on purpose. */
	count = min_u64(BYTES / rig.drive.block, rig.drive.blocks / 4);
	rig_window(&rig, rig.drive.blocks / 2 + rnd_below(rig.drive.blocks / 4), count, count);
	one_way(&rig, NVME_DMABUF_ACCESS_READ);
	if (may_erase())
		one_way(&rig, NVME_DMABUF_ACCESS_WRITE);
	rig_close(&rig);
}

/* Memory in one piece, whether there is an IOMMU or not. */
static void contiguous(const void *arg)
{
	static const struct exporter_segment segment = { .length = BYTES };
	static const uint32_t accesses[] = { NVME_DMABUF_ACCESS_READ, NVME_DMABUF_ACCESS_WRITE };
	const struct pair *pair = arg;
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct exported b;
	struct wire w;

	require_erase();
	require_attachable(pair);
	if (access(EXPORTER_DEVICE, F_OK))
		skip("the test exporter is not loaded");
	exported_create(&b, &segment, 1, 0);
	wire_open(&w, pair->path, BYTES / 2);
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		uint64_t start = rnd_below(16 * KIB) * 4, block = w.drive.block;
		uint64_t length = BYTES - start - rnd_below(64 * KIB);
		uint32_t map = attach(w.ctx, b.fd, w.drive.fd, start, length, accesses[i]);

		check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
		check(info.out_flags & NVME_DMABUF_MAP_CONTIGUOUS);
		check_refused(w.ctx, map, w.first, accesses[i], block);
		for (uint64_t blocks = 1; blocks <= w.count; blocks *= 4) {
			uint64_t offset = rnd_below((length - blocks * block) / 4 + 1) * 4;
			uint64_t slba = w.first + rnd_below(w.count - blocks + 1);

			if (accesses[i] == NVME_DMABUF_ACCESS_READ)
				nvmedmabuf_prep_read(&command, map, offset, blocks * block, slba);
			else
				nvmedmabuf_prep_write(&command, map, offset, blocks * block, slba);
			wire_transfer(&w, &b, start, command);
		}
		exported_verify(&b);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	}
	wire_close(&w);
	exported_close(&b);
}

static void add(const char *name, const char *path)
{
	const struct exporter *list;
	unsigned int count = exporters(&list);
	struct pair *pairs = calloc(count + 1, sizeof(*pairs));

	for (unsigned int i = 0; i < count; i++) {
		pairs[i] = (struct pair){ name, path, &list[i] };
		tap_add(each_way, &pairs[i], "%s: %s", name, list[i].name);
	}
	pairs[count] = (struct pair){ name, path, NULL };
	/* What fails on purpose may be anywhere in the window of this one. */
	if (strcmp(name, "ERR"))
		tap_add(contiguous, &pairs[count], "%s: contiguous", name);
}

int main(int argc, char **argv)
{
	static const char prefix[] = "NVME_DMABUF_NS_";
	const char *names[64], *paths[3];
	unsigned int count = 0;
	bool throttled;
	int status;

	require_device();
	known_remember("SLOW", &slow_drive);
	/* All that the scripts tell of. */
	for (char **variable = environ; *variable && count < ARRAY_SIZE(names); variable++) {
		char *equals = strchr(*variable, '=');

		if (!strncmp(*variable, prefix, strlen(prefix)) &&
		    strncmp(*variable, "NVME_DMABUF_NS_VBLK=", 20))
			names[count++] = strndup(*variable + strlen(prefix),
						 equals - *variable - strlen(prefix));
	}
	for (unsigned int i = 0; i < count; i++) {
		char variable[64];

		snprintf(variable, sizeof(variable), "%s%s", prefix, names[i]);
		add(names[i], getenv(variable));
	}
	if (!count && plain_drives(paths))
		add(drive_name(paths[0]), paths[0]);
	else if (!count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");
	throttled = *slow_drive.serial && getenv("NVME_DMABUF_QMP");
	if (throttled)
		drive_throttle(&slow_drive, 0);
	status = tap_run(argc, argv);
	if (throttled)
		drive_throttle(&slow_drive, SLOW_SPEED);
	return status;
}
