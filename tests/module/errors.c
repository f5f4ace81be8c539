// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test does one thing wrong at a time and checks the error number, the
 * reason, and that nothing else happened: for every error of the interface.
 */
#define _GNU_SOURCE
#include "errors.h"

#include <errno.h>

void fixture_open(struct fixture *f)
{
	uint64_t blocks;

	f->spare = 0;
	f->line.ring = NULL;
	rig_open(&f->rig, main_drive(), exporter_any(), 16 * PAGE, 0);
	blocks = 8 * PAGE / f->rig.drive.block;
	rig_window(&f->rig, f->rig.drive.blocks - blocks, blocks, blocks);
	rig_attach_all(&f->rig);
	f->fd = nvmedmabuf_fd(f->rig.ctx);
	f->maps = 1;
}

/* Numbers of maps are small for as long as few were made. */
static unsigned int count_maps(struct fixture *f)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	unsigned int count = 0;

	for (uint32_t map = 1; map < 1024; map++)
		count += !nvmedmabuf_get_map_info(f->rig.ctx, map, &info);
	return count;
}

void intact(struct fixture *f)
{
	rig_verify(&f->rig);
	rig_read(&f->rig, 0, f->rig.drive.block, f->rig.first);
	check_eq(count_maps(f), f->maps);
}

int main(int argc, char **argv)
{
	require_device();
	errors_add_calls();
	errors_add_files();
	errors_add_commands();
	errors_add_who();
	return tap_run(argc, argv);
}
