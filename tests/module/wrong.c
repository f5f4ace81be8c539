// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has a drive do other than it should, by tests/wrong-drive: what its test reads
 * find must keep the data right, or have the drive refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rig.h"

#define WRONG_DRIVE "nvme_dmabuf_wrong_drive"

/**
 * struct wrong - what is wrong with the drive
 * @parameter, @value: of the module
 */
struct wrong {
	const char *parameter;
	const char *value;
};

/* What is known of controllers is forgotten with the module. */
static void reload(void)
{
	wait_until(!file_number("/sys/module/nvme_dmabuf/refcnt"));
	check_eq(module_remove(), 0);
	module_insert(module_path(), "");
}

static void make_wrong(const struct wrong *wrong)
{
	char path[512], parameters[128];
	const char *slash = strrchr(module_path(), '/');
	int fd;

	require_disposable();
	/* As a test before left it that failed. */
	syscall(SYS_delete_module, WRONG_DRIVE, O_NONBLOCK);
	snprintf(path, sizeof(path), "%.*s/%s.ko", slash ? (int)(slash - module_path()) : 1,
		 slash ? module_path() : ".", WRONG_DRIVE);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		skip("no %s", path);
	snprintf(parameters, sizeof(parameters), "disk=%s %s=%s", strrchr(main_drive(), '/') + 1,
		 wrong->parameter, wrong->value);
	if (syscall(SYS_finit_module, fd, parameters, 0))
		skip("%s: %m", WRONG_DRIVE);
	close(fd);
	reload();
}

/* The drive is as it was, and known as such. */
static void make_right(void)
{
	check_sys(syscall(SYS_delete_module, WRONG_DRIVE, O_NONBLOCK));
	reload();
}

static void transfers(struct rig *rig)
{
	rig_attach_all(rig);
	for (unsigned int i = 0; i < scaled(60); i++) {
		uint64_t bytes = rig->drive.block * (1 + rnd_below(i % 2 ? 64 : 2 * MIB / 4096));

		rig_read(rig, rnd_below((rig->length - bytes) / 4) * 4, bytes,
			 rig->first + rnd_below(rig->count - bytes / rig->drive.block));
	}
	rig_verify(rig);
	rig_close(rig);
}

static uint32_t look_at(struct rig *rig, struct nvme_dmabuf_ns_info *info)
{
	info->size = sizeof(*info);
	check_eq(nvmedmabuf_get_ns_info(rig->ctx, rig->drive.fd, info), 0);
	note("%s, commands of %u KiB", nvmedmabuf_reason_name(info->out_reason),
	     info->out_max_command / 1024);
	return info->out_reason;
}

/* Lists that begin anywhere are not followed: each command has a copy of its own. */
static void masks_lists(const void *arg)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct rig rig;

	make_wrong(arg);
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 8 * MIB);
	check_eq(look_at(&rig, &info), NVME_DMABUF_REASON_NONE);
	check_eq(info.out_max_command, MIB);
	transfers(&rig);
	make_right();
}

static void truncates(const void *arg)
{
	const struct wrong *wrong = arg;
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct rig rig;

	make_wrong(wrong);
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 8 * MIB);
	if (look_at(&rig, &info)) {
		check_eq(info.out_reason, NVME_DMABUF_REASON_TRANSFER_LENGTH);
		rig_close(&rig);
	} else {
		/* More than the block layer sends. */
		check(info.out_flags & NVME_DMABUF_NS_IOMMU);
		check_that(info.out_max_command <= strtoul(wrong->value, NULL, 0),
			   "commands of %u bytes", info.out_max_command);
		transfers(&rig);
	}
	make_right();
}

static void ignores_sgls(const void *arg)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct rig rig;
	bool used;

	require_disposable();
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 8 * MIB);
	look_at(&rig, &info);
	used = info.out_flags & NVME_DMABUF_NS_SGL;
	rig_close(&rig);
	if (!used)
		skip("no SGLs with this kernel or drive");

	make_wrong(arg);
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 8 * MIB);
	check_eq(look_at(&rig, &info), NVME_DMABUF_REASON_NONE);
	check(!(info.out_flags & NVME_DMABUF_NS_SGL));
	transfers(&rig);
	make_right();

	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 8 * MIB);
	look_at(&rig, &info);
	check(info.out_flags & NVME_DMABUF_NS_SGL);
	transfers(&rig);
}

static const struct wrong lists[] = {
	{ "list_align", "16" },
	{ "list_align", "512" },
	{ "list_align", "4096" },
};

static const struct wrong lengths[] = {
	{ "most", "4096" },
	{ "most", "65536" },
	{ "most", "524288" },
};

static const struct wrong no_sgl = { "no_sgl", "1" };

int main(int argc, char **argv)
{
	require_device();
	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++)
		tap_add(masks_lists, &lists[i], "a drive whose lists begin at multiples of %s",
			lists[i].value);
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++)
		tap_add(truncates, &lengths[i], "a drive that moves %s bytes at most",
			lengths[i].value);
	tap_add(ignores_sgls, &no_sgl, "a drive that takes SGLs for PRPs");
	return tap_run(argc, argv);
}
