// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test moves data between a drive and memory of GPUs, which the library gets by the
 * vendors' libraries: those of this machine, or in a test machine those that stand in for them.
 * It prints what is to be known of the machine, for whoever reads its results.
 *
 *   NVME_DMABUF_GPU=N	the GPU's number, for each vendor (0)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "rig.h"

#define SIZE (4 * MIB)

/**
 * struct gpu - a buffer in a GPU's memory, attached to a drive
 * @addr: where the CPU sees it, or NULL
 * @expected, @got: what is compared
 */
struct gpu {
	struct nvmedmabuf *ctx;
	struct drive drive;
	struct nvmedmabuf_buffer *buffer;
	uint8_t *addr;
	uint32_t map;
	uint8_t *expected;
	uint8_t *got;
};

static void note_first_line(const char *path)
{
	char line[200];
	FILE *f = fopen(path, "r");

	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		note("%s: %s", path, line);
	}
	fclose(f);
}

static void note_machine(const struct gpu *g)
{
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct utsname name;

	check_sys(uname(&name));
	check_eq(nvmedmabuf_get_info(g->ctx, &info), 0);
	check_eq(nvmedmabuf_get_ns_info(g->ctx, g->drive.fd, &ns), 0);
	note("Linux %s, features of the module %#llx", name.release,
	     (unsigned long long)info.out_features);
	note("drive at %04x:%02x:%02x.%x, flags %#x", ns.out_pci_domain, ns.out_pci_bdf >> 8,
	     ns.out_pci_bdf >> 3 & 0x1f, ns.out_pci_bdf & 7, ns.out_flags);
	note_first_line("/proc/driver/nvidia/version");
	note_first_line("/sys/module/nvidia/version");
	note_first_line("/sys/module/amdgpu/version");
}

static void note_placement(const struct gpu *g)
{
	struct nvme_dmabuf_placement_run runs[8];
	int count = nvmedmabuf_get_placement(g->ctx, g->map, runs, ARRAY_SIZE(runs));

	check(count > 0);
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(runs); i++) {
		const struct nvme_dmabuf_placement_run *run = &runs[i];

		if (run->kind == NVME_DMABUF_PLACEMENT_PCI)
			note("%llu bytes: BAR %u of %04x:%02x:%02x.%x, distance %d",
			     (unsigned long long)run->length, run->bar, run->pci_domain,
			     run->pci_bdf >> 8, run->pci_bdf >> 3 & 0x1f, run->pci_bdf & 7,
			     run->distance);
		else
			note("%llu bytes: %s", (unsigned long long)run->length,
			     run->kind == NVME_DMABUF_PLACEMENT_RAM ? "memory of the host" :
								      "of unknown place");
	}
	if (count > (int)ARRAY_SIZE(runs))
		note("%d runs", count);
}

static void gpu_open(struct gpu *g, const char *kind)
{
	const char *number = getenv("NVME_DMABUF_GPU");
	char name[32];
	void *addr;
	int ret;

	snprintf(name, sizeof(name), "%s:%s", kind, number ? number : "0");
	ret = nvmedmabuf_buffer_create(name, SIZE, &g->buffer);
	if (ret)
		skip("%s gives no buffer: %s; nvmedmabuf_buffer(3) tells what it needs", name,
		     strerror(-ret));
	g->ctx = ctx_open();
	drive_open(&g->drive, main_drive());
	note_machine(g);
	check(nvmedmabuf_buffer_size(g->buffer) >= SIZE);
	g->map =
		attach(g->ctx, nvmedmabuf_buffer_fd(g->buffer), g->drive.fd, 0, SIZE, rig_access());
	note_placement(g);

	ret = nvmedmabuf_buffer_mmap(g->buffer, &addr);
	g->addr = ret ? NULL : addr;
	note("%s: the CPU %s (%d)", name, ret ? "cannot map it" : "maps it", -ret);
	g->expected = pages_alloc(SIZE);
	g->got = pages_alloc(SIZE);
}

static void gpu_close(struct gpu *g)
{
	check_eq(nvmedmabuf_detach(g->ctx, g->map), 0);
	nvmedmabuf_buffer_free(g->buffer);
	drive_close(&g->drive);
	nvmedmabuf_close(g->ctx);
	check_sys(munmap(g->expected, SIZE));
	check_sys(munmap(g->got, SIZE));
}

static void by_cpu(struct gpu *g, uint64_t offset, uint64_t length)
{
	check_eq(nvmedmabuf_buffer_begin_cpu(g->buffer, NVMEDMABUF_CPU_READ), 0);
	memcpy(g->got, g->addr + offset, length);
	check_eq(nvmedmabuf_buffer_end_cpu(g->buffer, NVMEDMABUF_CPU_READ), 0);
}

/* To other blocks of the drive, and from there. */
static void by_drive(struct gpu *g, uint64_t offset, uint64_t length)
{
	const uint64_t slba = g->drive.blocks - SIZE / g->drive.block;

	check_eq(nvmedmabuf_write(g->ctx, g->map, offset, length, slba, NULL), 0);
	drive_read(&g->drive, slba, g->got, length);
}

/* The drive's blocks, in the GPU's memory, are what the block layer reads. */
static void moved(struct gpu *g, void (*look)(struct gpu *g, uint64_t offset, uint64_t length))
{
	const uint64_t block = g->drive.block, most = SIZE / block;

	/* What is written must not be what is read. */
	check(g->drive.blocks >= 3 * most);
	if (may_erase()) {
		rnd_fill(g->expected, SIZE);
		drive_write(&g->drive, 0, g->expected, SIZE);
	}
	for (unsigned int i = 0; i < scaled(16); i++) {
		const uint64_t length = (i ? 1 + rnd_below(most) : most) * block;
		const uint64_t offset = rnd_below((SIZE - length) / 4 + 1) * 4;
		const uint64_t slba = rnd_below(most - length / block + 1);

		check_eq(nvmedmabuf_read(g->ctx, g->map, offset, length, slba, NULL), 0);
		drive_read(&g->drive, slba, g->expected, length);
		look(g, offset, length);
		compare("blocks in the GPU's memory", g->got, g->expected, length, offset);
	}
}

static void seen_by_cpu(const void *kind)
{
	struct gpu g;

	gpu_open(&g, kind);
	if (!g.addr)
		skip("the CPU cannot map this memory");
	moved(&g, by_cpu);
	gpu_close(&g);
}

static void seen_by_drive(const void *kind)
{
	struct gpu g;

	require_erase();
	gpu_open(&g, kind);
	moved(&g, by_drive);
	gpu_close(&g);
}

/* Maps keep the memory. */
static void freed(const void *kind)
{
	struct gpu g;

	require_erase();
	gpu_open(&g, kind);
	nvmedmabuf_buffer_free(g.buffer);
	g.buffer = NULL;
	moved(&g, by_drive);
	gpu_close(&g);
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "cuda", "hip", "ze" };

	require_device();
	main_drive();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		tap_add(seen_by_cpu, kinds[i], "%s: data as the CPU sees it", kinds[i]);
		tap_add(seen_by_drive, kinds[i], "%s: data as the drive writes it back", kinds[i]);
		tap_add(freed, kinds[i], "%s: data of a buffer that was freed", kinds[i]);
	}
	return tap_run(argc, argv);
}
