// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test uses namespaces formatted with metadata: either the data is right
 * and nothing outside the range was touched, for us and for the stock driver
 * after us, or attaching is refused for the right reason.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "rig.h"

struct format {
	const char *name;
	bool pi;	     /* 8 bytes of protection information: must work */
	uint32_t reasons[3]; /* otherwise: what the refusal may say */
};

static const struct format formats[] = {
	{ "METAINT", false, { NVME_DMABUF_REASON_NO_CAPACITY, NVME_DMABUF_REASON_METADATA } },
	{ "METASEP", false, { NVME_DMABUF_REASON_METADATA } },
	{ "PIINT", true, { 0 } },
	{ "PISEP", true, { 0 } },
	{ "PI4K", true, { 0 } },
	{ "PI64", true, { 0 } },
	{ "PI64SEP", false, { NVME_DMABUF_REASON_METADATA } },
};

static void right_or_refused(const void *arg)
{
	const struct format *format = arg;
	const char *path = drive_path(format->name);
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	uint32_t map, reason = ~0U;
	struct nvmedmabuf *ctx = ctx_open();
	struct buffer buffer;
	struct drive drive;
	char shown[32] = "";
	bool expected = false;
	int result;

	drive_open(&drive, path);
	buffer_alloc(&buffer, exporter_any(), MIB);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	result = attach_to(ctx, buffer.fd, drive.fd, 0, MIB, rig_access(), 0, &map, &reason);
	check_eq(reason, info.out_reason);
	if (!result) {
		check_eq(reason, NVME_DMABUF_REASON_NONE);
		/* The kernel shows separate protection information only. */
		drive_attribute(path, "integrity/format", shown, sizeof(shown));
		check_eq(!!(info.out_flags & NVME_DMABUF_NS_PI), !strncmp(shown, "T10-", 4));
		return; /* that the data is right is for the next tests */
	}
	note("%s: attach says %s, %s", format->name, strerror(-result),
	     nvmedmabuf_reason_name(reason));
	/* Also of a namespace that it does not use. */
	check_eq(info.out_block_size, drive.block);
	check_eq(info.out_capacity, drive.blocks);
	check_that(!format->pi, "a namespace with PI must work");
	check_eq(result, -EOPNOTSUPP);
	for (unsigned int i = 0; i < ARRAY_SIZE(format->reasons); i++)
		expected |= format->reasons[i] && reason == format->reasons[i];
	check(expected);
}

static void skip_if_refused(const char *path)
{
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct drive drive;

	drive_open(&drive, path);
	check_eq(nvmedmabuf_get_ns_info(ctx, drive.fd, &info), 0);
	if (info.out_reason)
		skip("refused, which another test checks: %s",
		     nvmedmabuf_reason_name(info.out_reason));
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/*
 * Writes through the module, then reads through the stock driver, which has
 * the drive check guard and reference tags, and the other way round.
 */
static void both_paths(const void *arg)
{
	const struct format *format = arg;
	const char *path = drive_path(format->name);
	uint64_t block, most;
	struct rig rig;

	require_erase();
	skip_if_refused(path);
	rig_open(&rig, path, exporter_any(), 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	block = rig.drive.block;
	most = 3 * MIB / block;
	for (uint64_t blocks = 1; blocks <= most; blocks = blocks * 2 + rnd_below(2)) {
		uint64_t slba = rig.first + rnd_below(rig.count - blocks + 1);
		uint64_t offset = rnd_below((rig.length - blocks * block) / 4 + 1) * 4;

		rig_write(&rig, offset, blocks * block, slba);
		rig_read(&rig, offset, blocks * block, slba);
	}
	rig_verify(&rig);
	rig_close(&rig);
}

/* A drive that moved 520 bytes per block would run over the end of the map. */
static void end_of_map(const void *arg)
{
	const struct format *format = arg;
	const char *path = drive_path(format->name);
	struct rig rig;

	skip_if_refused(path);
	rig_open(&rig, path, exporter_any(), 2 * MIB, 2 * MIB);
	for (unsigned int i = 0; i < 6; i++) {
		uint64_t length = (1ULL << 2 * i) * rig.drive.block;

		if (length > MIB)
			break;
		rig_attach(&rig, rnd_below(MIB / 4) * 4, length, rig_access());
		rig_read(&rig, 0, length, rig.first);
		if (may_erase())
			rig_write(&rig, 0, length, rig.first);
		rig_verify(&rig);
		rig_detach(&rig);
	}
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	require_device();
	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		const struct format *format = &formats[i];

		tap_add(right_or_refused, format, "%s: works or says why not", format->name);
		tap_add(end_of_map, format, "%s: nothing past the end of a map", format->name);
		tap_add(both_paths, format, "%s: the stock driver agrees", format->name);
	}
	return tap_run(argc, argv);
}
