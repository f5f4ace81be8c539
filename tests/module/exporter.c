// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches dma-bufs of every shape, and those of exporters that lie,
 * refuse or are not ready: each works to the last byte or is refused with the
 * reason, and a refusal leaves nothing behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "exporter.h"

/* The dma-buf says 64 KiB, but 20 KiB are mapped. */
static void lying(const void *arg)
{
	const struct exporter_segment segments[] = { { .length = 4 * PAGE }, { .length = PAGE } };
	const struct exporter_create create = {
		.size = 64 * KIB,
		.flags = *(const uint32_t *)arg,
		.open_flags = O_RDWR,
	};
	const struct {
		uint64_t start, length;
		int result;
	} ranges[] = {
		{ 0, 5 * PAGE, 0 },
		{ 4 * PAGE, PAGE, 0 },
		{ 5 * PAGE - 4, 4, 0 },
		{ 0, 64 * KIB, -EOPNOTSUPP },
		{ 0, 5 * PAGE + 1, -EOPNOTSUPP },
		{ 4, 5 * PAGE, -EOPNOTSUPP },
		{ 5 * PAGE - 4, 8, -EOPNOTSUPP },
		{ 4 * PAGE, 12 * PAGE, -EOPNOTSUPP },
		{ 5 * PAGE, PAGE, -EOPNOTSUPP },
		{ 5 * PAGE, 11 * PAGE, -EOPNOTSUPP },
		{ 64 * KIB - 4, 4, -EOPNOTSUPP },
	};
	uint32_t map, reason;
	struct exported b;
	struct wire w;
	int result;

	wire_open(&w, main_drive(), WINDOW);
	check_eq(exported_try(&b, create, segments, ARRAY_SIZE(segments)), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
		result = wire_attach(&w, &b, ranges[i].start, ranges[i].length, &map, &reason);
		check_that(result == ranges[i].result, "%#llx+%#llx: %d, %s",
			   (unsigned long long)ranges[i].start,
			   (unsigned long long)ranges[i].length, result,
			   nvmedmabuf_reason_name(reason));
		if (result) {
			check_eq(reason, NVME_DMABUF_REASON_SEGMENTS);
		} else {
			wire_transfers(&w, &b, map, ranges[i].start, ranges[i].length, 0, 4);
			check_eq(nvmedmabuf_detach(w.ctx, map), 0);
		}
		check_unused(&b);
	}
	check_eq(wire_attach(&w, &b, 0, 64 * KIB + 4, &map, &reason), -ERANGE);
	check_eq(reason, NVME_DMABUF_REASON_OUTSIDE_DMABUF);
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

/* What the module makes of an exporter's error number. */
static uint32_t reason_of(const struct exported *b, uint32_t what, int error)
{
	if (error == ENODEV)
		return NVME_DMABUF_REASON_EXPORTER_REVOKED;
	/* Older kernels let nobody be more than a static importer of such a one. */
	if (error == EOPNOTSUPP && what == EXPORTER_FAIL_ATTACH && !b->dynamic &&
	    !kernel_is_movable())
		return NVME_DMABUF_REASON_NOT_DYNAMIC;
	return NVME_DMABUF_REASON_EXPORTER;
}

static void refuses(struct wire *w, struct exported *b, uint32_t what)
{
	static const int errors[] = { EIO, ENOMEM, ENODEV, EOPNOTSUPP, EAGAIN, EPERM, ENOSPC };
	uint32_t map, reason;

	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++) {
		exported_fail(b, what, errors[i], 2);
		for (int j = 0; j < 2; j++) {
			check_eq(wire_attach(w, b, 0, b->bytes, &map, &reason), -errors[i]);
			check_eq(reason, reason_of(b, what, errors[i]));
			check_unused(b);
		}
		check_eq(wire_attach(w, b, 0, b->bytes, &map, &reason), 0);
		wire_transfers(w, b, map, 0, b->bytes, 0, 2);
		/* What fails concerns nobody who is there already. */
		exported_fail(b, what, errors[i], 1);
		wire_transfers(w, b, map, 0, b->bytes, 0, 2);
		exported_fail(b, what, errors[i], 0);
		check_eq(nvmedmabuf_detach(w->ctx, map), 0);
		check_unused(b);
	}
}

static void exporter_refuses(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map, reason;
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, flags);
	refuses(&w, &b, EXPORTER_FAIL_ATTACH);
	refuses(&w, &b, EXPORTER_FAIL_MAP);
	if (flags & EXPORTER_DYNAMIC && !kernel_is_movable()) {
		refuses(&w, &b, EXPORTER_FAIL_PIN);
	} else {
		exported_fail(&b, EXPORTER_FAIL_PIN, EIO, 1);
		check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
		check_eq(exported_query(&b).out_pins, 0);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	}
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

static void access_of_the_dmabuf(const void *arg)
{
	static const struct {
		int open_flags;
		uint32_t access;
		uint32_t reason;
	} cases[] = {
		{ O_RDONLY, NVME_DMABUF_ACCESS_READ, NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE },
		{ O_RDONLY, NVME_DMABUF_ACCESS_WRITE, NVME_DMABUF_REASON_NONE },
		{ O_RDONLY, ACCESS_BOTH, NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE },
		{ O_WRONLY, NVME_DMABUF_ACCESS_READ, NVME_DMABUF_REASON_NONE },
		{ O_WRONLY, NVME_DMABUF_ACCESS_WRITE, NVME_DMABUF_REASON_DMABUF_NOT_READABLE },
		{ O_WRONLY, ACCESS_BOTH, NVME_DMABUF_REASON_DMABUF_NOT_READABLE },
		{ O_RDWR, ACCESS_BOTH, NVME_DMABUF_REASON_NONE },
	};
	const struct exporter_segment segment = { .length = 64 * KIB };
	struct exported b;
	struct wire w;

	(void)arg;
	require_erase();
	wire_open(&w, main_drive(), WINDOW);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct exporter_create create = { .open_flags = cases[i].open_flags };
		uint32_t map, reason = ~0U;
		int result;

		check_eq(exported_try(&b, create, &segment, 1), 0);
		result = attach_to(w.ctx, b.fd, w.drive.fd, 0, b.bytes, cases[i].access, 0, &map,
				   &reason);
		check_eq(result, cases[i].reason ? -EACCES : 0);
		check_eq(reason, cases[i].reason);
		/* A refusal comes before the exporter hears of it. */
		check_eq(exported_query(&b).out_maps, !cases[i].reason);
		if (!result)
			check_eq(nvmedmabuf_detach(w.ctx, map), 0);
		check_unused(&b);
		exported_close(&b);
	}
	wire_close(&w);
}

/* Memory without struct pages: a peer's BAR. */
static void bar(const void *arg)
{
	uint32_t flags = *(const uint32_t *)arg, map, reason;
	struct nvme_dmabuf_placement_run runs[4];
	struct exported b;
	struct wire w;
	int count;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_bar(&b, 4 * MIB, flags);
	if (!(flags & EXPORTER_DYNAMIC) && !kernel_is_movable()) {
		/* Such exporters want importers that they can call. */
		check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), -EOPNOTSUPP);
		check_eq(reason, NVME_DMABUF_REASON_NOT_DYNAMIC);
		check_unused(&b);
		skip("this kernel lets nobody attach dynamically to a static exporter");
	}
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	wire_transfers(&w, &b, map, 0, b.bytes, 2 * MIB, 16);
	wire_transfers(&w, &b, map, 0, b.bytes, 3 * MIB, 16);
	count = nvmedmabuf_get_placement(w.ctx, map, runs, ARRAY_SIZE(runs));
	check_eq(count, 1);
	check_in_bar(&runs[0]);
	check_eq(runs[0].length, b.bytes);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

/* Each part is said to be where it is, and the whole is not a peer's. */
static void mixed(const void *arg)
{
	static const uint64_t lengths[] = { MIB, 256 * KIB, 512 * KIB, PAGE };
	struct nvme_dmabuf_placement_run runs[ARRAY_SIZE(lengths)];
	uint32_t map, reason;
	uint64_t offset = 0;
	struct exported b;
	struct wire w;
	int count;

	(void)arg;
	wire_open(&w, main_drive(), WINDOW);
	exported_create_mixed(&b, lengths, ARRAY_SIZE(lengths), EXPORTER_DYNAMIC);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++, offset += lengths[i - 1])
		wire_transfers(&w, &b, map, 0, b.bytes, offset, 4);
	count = nvmedmabuf_get_placement(w.ctx, map, runs, ARRAY_SIZE(runs));
	check_eq(count, ARRAY_SIZE(runs));
	offset = 0;
	for (int i = 0; i < count; offset += runs[i++].length) {
		check_eq(runs[i].offset, offset);
		check_eq(runs[i].length, lengths[i]);
		if (i % 2)
			check_eq(runs[i].kind, NVME_DMABUF_PLACEMENT_RAM);
		else
			check_in_bar(&runs[i]);
	}
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_eq(attach_to(w.ctx, b.fd, w.drive.fd, 0, b.bytes, rig_access(),
			   NVME_DMABUF_ATTACH_REQUIRE_P2P, &map, &reason),
		 -EOPNOTSUPP);
	check(reason == NVME_DMABUF_REASON_NOT_PEER || reason == NVME_DMABUF_REASON_NO_P2PDMA);
	check_unused(&b);
	exported_verify(&b);
	exported_close(&b);
	wire_close(&w);
}

/* Not of the module: what these tests rely on. */
static void exporter_stays(const void *arg)
{
	const struct exporter_segment segment = { .length = PAGE };
	struct exported b;

	(void)arg;
	require_disposable();
	exported_create(&b, &segment, 1, 0);
	check_eq(syscall(SYS_delete_module, "nvme_dmabuf_exporter", O_NONBLOCK), -1);
	check_eq(errno, EWOULDBLOCK);
	exported_close(&b);
}

/* The same: the CPU sees the content wherever it has moved. */
static void cpu_sees_it_move(const void *arg)
{
	const struct exporter_segment segments[] = {
		{ .length = 2 * PAGE },
		{ .offset = PAGE, .length = PAGE },
		{ .length = 8 * PAGE, .order = 4 },
	};
	struct exported b;
	uint8_t *seen;

	(void)arg;
	exported_create(&b, segments, ARRAY_SIZE(segments), EXPORTER_DYNAMIC);
	seen = mmap(NULL, b.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
	check(seen != MAP_FAILED);
	for (int i = 0; i < 5; i++) {
		uint64_t at = rnd_below(b.bytes - 8);

		compare("what the CPU sees", seen, b.mirror, b.bytes, 0);
		rnd_fill(seen + at, 8);
		memcpy(b.mirror + at, seen + at, 8);
		check_eq(exported_move(&b, EXPORTER_MOVE_COPY | EXPORTER_MOVE_WAIT, NULL), 0);
		compare("what the CPU sees", seen, b.mirror, b.bytes, 0);
		exported_verify(&b);
	}
	munmap(seen, b.bytes);
	exported_close(&b);
}

int main(int argc, char **argv)
{
	static const uint32_t kinds[] = { 0, EXPORTER_DYNAMIC };
	static const char *const names[] = { "static", "dynamic" };

	require_device();
	require_exporter();
	tap_add(exporter_stays, NULL, "the exporter stays while it has a dma-buf");
	tap_add(cpu_sees_it_move, NULL, "the CPU sees the content wherever it moves");
	add_shapes();
	tap_add(access_of_the_dmabuf, NULL, "a dma-buf that must not be written or read");
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		tap_add(lying, &kinds[i], "%s: maps less than it promised", names[i]);
		tap_add(exporter_refuses, &kinds[i], "%s: refuses", names[i]);
		tap_add(bar, &kinds[i], "%s: a BAR", names[i]);
		add_fences(&kinds[i], names[i]);
	}
	tap_add(mixed, NULL, "by turns a BAR and host memory");
	return tap_run(argc, argv);
}
