// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches dma-bufs where the kernel has the CPU copy whatever a device
 * transfers, which a map that stays gives it no occasion to do: refused, before the
 * exporter is asked for anything.
 */
#include <errno.h>

#include "exported.h"

static const uint32_t kinds[] = { 0, EXPORTER_DYNAMIC };

static void refused(const void *arg)
{
	uint32_t map, reason;
	struct exported b;
	struct wire w;
	void *data;

	wire_open(&w, main_drive(), MIB);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);
	check_eq(wire_attach(&w, &b, 0, b.size, &map, &reason), -EOPNOTSUPP);
	check_eq(reason, NVME_DMABUF_REASON_DMA_BOUNCED);
	check_unused(&b);
	check_eq(exported_query(&b).out_maps, 0);
	exported_verify(&b);

	/* The stock driver copies, and works. */
	data = pages_alloc(MIB);
	drive_read(&w.drive, w.first, data, MIB);
	compare("namespace", data, w.disk, MIB, 0);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	if (!run_quietly("grep -qw swiotlb=force /proc/cmdline"))
		tap_skip_all("not booted with swiotlb=force: DMA is not bounced");
	tap_add(refused, &kinds[0], "a dma-buf that stays where it is");
	tap_add(refused, &kinds[1], "a dma-buf that may move");
	return tap_run(argc, argv);
}
