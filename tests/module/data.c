// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test moves data in both directions between dma-bufs of every exporter
 * and plain namespaces, at every kind of offset and length, and verifies it,
 * and all that must not have changed, through the block layer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

/* What a test is run on. */
struct pair {
	const char *path;
	const struct exporter *exporter;
};

static uint64_t random_length(const struct rig *rig, uint64_t limit)
{
	uint64_t block = rig->drive.block, length;

	/* As many short ones as long ones. */
	length = block << rnd_below(64 - __builtin_clzll(limit / block));
	length += rnd_below(length / block) * block;
	return min_u64(length, limit / block * block);
}

static void transfer_random(struct rig *rig, uint64_t limit)
{
	uint64_t length = random_length(rig, min_u64(limit, rig->length));
	uint64_t offset = rnd_below((rig->length - length) / 4 + 1) * 4;
	uint64_t slba = rig->first + rnd_below(rig->count - length / rig->drive.block + 1);

	if (may_erase() && rnd() % 2)
		rig_write(rig, offset, length, slba);
	else
		rig_read(rig, offset, length, slba);
}

static void random_transfers(const void *arg)
{
	const struct pair *pair = arg;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 6 * MIB, 8 * MIB);
	rig_attach_all(&rig);
	for (unsigned int i = 0; i < scaled(25); i++)
		transfer_random(&rig, 5 * MIB);
	rig_verify(&rig);
	rig_close(&rig);
}

/*
 * All lengths near the edges of a page, of two pages and of a command, at all
 * kinds of offsets in a page. The page itself varies from command to command
 * around those where a list page begins or ends.
 */
static void edges(const void *arg)
{
	static const uint32_t offsets[] = { 0, 4, 508, 512, 2048, 3584, 4088, 4092 };
	static const uint32_t pages[] = { 0, 1, 255, 256, 257, 510, 511, 512, 513 };
	const struct pair *pair = arg;
	uint64_t lengths[16], block, slba;
	unsigned int count = 0, turn = 0;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 6 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	block = rig.drive.block;
	const uint64_t near[] = { PAGE, 2 * PAGE, MIB, rig.max_command };

	lengths[count++] = block;
	for (unsigned int i = 0; i < ARRAY_SIZE(near); i++)
		for (uint64_t length = near[i] - block; length <= near[i] + block; length += block)
			if (length > lengths[count - 1])
				lengths[count++] = length;

	for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++)
		for (unsigned int j = 0; j < count; j++, turn++) {
			uint64_t page = pages[turn % ARRAY_SIZE(pages)];
			uint64_t offset = page * PAGE + offsets[i];

			check(offset + lengths[j] <= rig.length);
			slba = rig.first + rnd_below(rig.count - lengths[j] / block + 1);
			rig_read(&rig, offset, lengths[j], slba);
			if (may_erase())
				rig_write(&rig, offset, lengths[j], slba);
		}
	rig_verify(&rig);
	rig_close(&rig);
}

/* The range may begin at any multiple of 4 and end at any byte. */
static void part_of_buffer(const void *arg)
{
	const struct pair *pair = arg;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 3 * MIB, 4 * MIB);
	for (unsigned int i = 0; i < scaled(7); i++) {
		uint64_t block = rig.drive.block, start, length, most;

		start = rnd_below((rig.buffer.size - block) / 4) * 4;
		length = block + rnd_below(rig.buffer.size - start - block + 1);
		if (i % 3 == 0)
			length = min_u64(length, block > 3 * PAGE ? block : 3 * PAGE);
		rig_attach(&rig, start, length, rig_access());
		most = length / block * block;
		/* The most that fits, flush with either end. */
		rig_read(&rig, 0, most, rig.first);
		rig_read(&rig, (length - most) / 4 * 4, most, rig.first + 1);
		if (may_erase()) {
			rig_write(&rig, 0, most, rig.first + 2);
			rig_write(&rig, (length - most) / 4 * 4, most, rig.first + 3);
		}
		for (unsigned int j = 0; j < 3; j++)
			transfer_random(&rig, length);
		rig_verify(&rig);
		rig_detach(&rig);
	}
	rig_close(&rig);
}

/* What the kernel says of a map must fit the buffer. */
static void description(const void *arg)
{
	const struct pair *pair = arg;
	struct nvme_dmabuf_placement_run runs[64], one;
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint64_t next = 0;
	struct rig rig;
	int count;

	rig_open(&rig, pair->path, pair->exporter, 4 * MIB, MIB);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, rig.drive.fd, &ns), 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(ns.out_block_size, rig.drive.block);
	check_eq(ns.out_capacity, rig.drive.blocks);
	check_eq(ns.out_start, 0);
	check_eq(ns.out_flags & (NVME_DMABUF_NS_PARTITION | NVME_DMABUF_NS_READ_ONLY), 0);

	rig_attach(&rig, 4, rig.buffer.size - 8, rig_access());
	check_eq(nvmedmabuf_get_map_info(rig.ctx, rig.map, &info), 0);
	check_eq(info.out_nsid, ns.out_nsid);
	check_eq(info.out_max_command, ns.out_max_command);
	check_eq(info.out_pci_domain, ns.out_pci_domain);
	check_eq(info.out_pci_bdf, ns.out_pci_bdf);
	note("%s: %llu segments, %llu bytes of lists, flags %#x", pair->exporter->name,
	     (unsigned long long)info.out_segments, (unsigned long long)info.out_list_bytes,
	     info.out_flags);
	/* Shuffled pages stay shuffled unless an IOMMU puts them in order. */
	if (pair->exporter->kind == UDMABUF_SCATTERED && !(ns.out_flags & NVME_DMABUF_NS_IOMMU))
		check(info.out_segments > rig.buffer.size / PAGE / 2);
	if (!(info.out_flags & NVME_DMABUF_MAP_SGL))
		check(info.out_list_bytes > 0);

	memset(runs, 0xff, sizeof(runs));
	count = nvmedmabuf_get_placement(rig.ctx, rig.map, runs, ARRAY_SIZE(runs));
	check(count >= 1 && count <= (int)ARRAY_SIZE(runs));
	for (int i = 0; i < count; i++) {
		check_eq(runs[i].offset, next);
		check(runs[i].length);
		next += runs[i].length;
		if (pair->exporter->kind != DRM_DUMB)
			check_eq(runs[i].kind, NVME_DMABUF_PLACEMENT_RAM);
		if (runs[i].kind != NVME_DMABUF_PLACEMENT_PCI)
			check_eq(runs[i].pci_domain | runs[i].pci_bdf | runs[i].bar, 0);
	}
	check_eq(next, rig.length);
	for (int i = count; i < (int)ARRAY_SIZE(runs); i++)
		check_eq(runs[i].length, ~0ULL);

	/* Asking for fewer says how many there are. */
	check_eq(nvmedmabuf_get_placement(rig.ctx, rig.map, NULL, 0), count);
	check_eq(nvmedmabuf_get_placement(rig.ctx, rig.map, &one, 1), count);
	check_eq(memcmp(&one, &runs[0], sizeof(one)), 0);
	rig_close(&rig);
}

/* The pages of a shuffled udmabuf, seen through the memory file behind it. */
static void page_order(const void *arg)
{
	const struct pair *pair = arg;
	uint8_t *memory, *expected;
	uint32_t pages;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	memory = mmap(NULL, rig.buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, rig.buffer.memfd,
		      0);
	check(memory != MAP_FAILED);
	pages = rig.buffer.size / PAGE;
	expected = pages_alloc(rig.buffer.size);

	rig_read(&rig, 0, rig.buffer.size, rig.first);
	for (uint32_t i = 0; i < pages; i++)
		memcpy(expected + i * PAGE, memory + rig.buffer.page[i] * PAGE, PAGE);
	compare("memory file after a read", expected, rig.disk, rig.buffer.size, 0);

	if (may_erase()) {
		rnd_fill(memory, rig.buffer.size);
		for (uint32_t i = 0; i < pages; i++)
			memcpy(rig.mirror + i * PAGE, memory + rig.buffer.page[i] * PAGE, PAGE);
		rig_write(&rig, 0, rig.buffer.size, rig.first);
		rig_verify(&rig);
	}
	rig_close(&rig);
}

/*
 * The same random lengths in one order in the buffer and in another on the
 * namespace, so that no two commands touch the same bytes.
 */
static unsigned int carve(struct rig *rig, struct nvme_dmabuf_command *commands, unsigned int count)
{
	uint64_t block = rig->drive.block, bytes = min_u64(rig->length, rig->count * block);
	uint64_t offset = 0, slba = rig->first;
	unsigned int made = 0;

	while (made < count) {
		uint64_t length = (1 + rnd_below(block == 512 ? 16 : 3)) * block;
		uint64_t gap = rnd_below(3) * 4;

		if (made % 400 == 7)
			length = 2 * MIB + block;
		if (offset + gap + length > bytes - block)
			break;
		offset += gap;
		nvmedmabuf_prep_read(&commands[made], rig->map, offset, length, 0);
		if (may_erase() && rnd() % 2)
			commands[made].opcode = NVME_DMABUF_OP_WRITE;
		offset += length;
		made++;
	}
	for (unsigned int i = made; i-- > 1;) {
		unsigned int j = rnd_below(i + 1);
		struct nvme_dmabuf_command swap = commands[i];

		commands[i] = commands[j];
		commands[j] = swap;
	}
	for (unsigned int i = 0; i < made; i++) {
		commands[i].slba = slba;
		slba += commands[i].length / block;
	}
	rig_prepare(rig, commands, made);
	return made;
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
	(void)signal;
	alarms++;
}

/* It takes longer than from one signal to the next, and must not begin again for each. */
static void check_placed_under_signals(struct rig *rig)
{
	const struct sigaction action = { .sa_handler = count_alarm, .sa_flags = SA_RESTART };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	int count = nvmedmabuf_get_placement(rig->ctx, rig->map, NULL, 0);

	check_sys(sigaction(SIGALRM, &action, NULL));
	check_sys(setitimer(ITIMER_REAL, &often, NULL));
	do
		check_eq(nvmedmabuf_get_placement(rig->ctx, rig->map, NULL, 0), count);
	while (alarms < 3);
	check_sys(setitimer(ITIMER_REAL, &never, NULL));
}

/* Lists are made of pieces: the largest is for 32 MiB, and what is left takes others. */
static void large_map(const void *arg)
{
	const uint64_t piece = 32 * MIB, bytes = piece + 7 * MIB, length = 128 * KIB;
	struct rig rig;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), bytes, 2 * MIB);
	rig_attach(&rig, 0, bytes, rig_access());
	check_placed_under_signals(&rig);
	for (uint64_t at = piece; at < bytes; at += MIB)
		for (uint64_t before = 0; before <= length; before += length / 4)
			if (at - before + length <= bytes)
				rig_read(&rig, at - before, length, rig.first);
	rig_read(&rig, bytes - length, length, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
}

static void batches(const void *arg)
{
	const struct pair *pair = arg;
	struct nvme_dmabuf_command *commands;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	unsigned int most, fewest;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 24 * MIB, 24 * MIB);
	rig_attach_all(&rig);
	/* As many as there are blocks for. */
	fewest = rig.drive.block > PAGE ? 1024 * PAGE / rig.drive.block : 1024;
	check_eq(nvmedmabuf_get_info(rig.ctx, &info), 0);
	check(info.out_max_commands >= 1024);
	most = min_u64(info.out_max_commands, 1500);
	commands = calloc(most, sizeof(*commands));
	check(commands);

	for (unsigned int i = 0; i < scaled(2); i++) {
		unsigned int made = carve(&rig, commands, most);

		check(made >= fewest);
		rig_submit(&rig, commands, made);
		rig_verify(&rig);
	}
	/* Around the sizes in which requests are allocated. */
	for (unsigned int count = 1; count <= 70; count += count < 30 ? 9 : 1) {
		unsigned int made = carve(&rig, commands, count);

		check_eq(made, count);
		rig_submit(&rig, commands, made);
	}
	rig_verify(&rig);
	free(commands);
	rig_close(&rig);
}

/* More commands than one ioctl takes: the library hands them over in parts. */
static void above_limit(const void *arg)
{
	const struct pair *pair = arg;
	struct nvme_dmabuf_completion *completions;
	struct nvme_dmabuf_command *commands;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	uint32_t count;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	check_eq(nvmedmabuf_get_info(rig.ctx, &info), 0);
	count = info.out_max_commands + 3;
	commands = calloc(count, sizeof(*commands));
	completions = calloc(count, sizeof(*completions));
	check(commands && completions);
	for (uint32_t i = 0; i < count; i++) {
		uint64_t slot = i % (rig.length / rig.drive.block);

		nvmedmabuf_prep_read(&commands[i], rig.map, slot * rig.drive.block, rig.drive.block,
				     rig.first + slot);
		commands[i].user_data = i;
	}
	rig_prepare(&rig, commands, count);
	check_eq(nvmedmabuf_submit(rig.ctx, commands, completions, count), count);
	for (uint32_t i = 0; i < count; i++) {
		check_eq(completions[i].user_data, i);
		check_eq(completions[i].error, 0);
		check_eq(completions[i].status, 0);
		check_eq(completions[i].bytes, rig.drive.block);
	}
	rig_verify(&rig);
	rig_close(&rig);
}

/* Every flag and timeout that is allowed, on commands that are split or not. */
static void flags_and_timeouts(const void *arg)
{
	static const uint16_t flags[] = {
		NVME_DMABUF_CMD_FUA,
		NVME_DMABUF_CMD_LIMITED_RETRY,
		NVME_DMABUF_CMD_FUA | NVME_DMABUF_CMD_LIMITED_RETRY,
	};
	const struct pair *pair = arg;
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 4 * MIB, 4 * MIB);
	rig_attach_all(&rig);
	check_eq(nvmedmabuf_get_info(rig.ctx, &info), 0);
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(flags); i++) {
		uint64_t length = i % 2 ? 2 * MIB + rig.drive.block : rig.drive.block;

		nvmedmabuf_prep_read(&command, rig.map, 4, length, rig.first);
		command.flags = flags[i / 2];
		command.timeout_ms = i % 2 ? info.out_min_timeout_ms : info.out_max_timeout_ms;
		/* The shortest timeout may be too short for a slow machine. */
		if (command.timeout_ms < 10000)
			command.timeout_ms = 10000;
		rig_transfer(&rig, command);
		if (may_erase()) {
			command.opcode = NVME_DMABUF_OP_WRITE;
			rig_transfer(&rig, command);
		}
	}
	rig_close(&rig);
}

static void flush(const void *arg)
{
	const struct pair *pair = arg;
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_command command;
	struct rig rig;

	require_erase();
	rig_open(&rig, pair->path, pair->exporter, MIB, MIB);
	rig_attach_all(&rig);
	rig_write(&rig, 0, MIB, rig.first);
	memset(&completion, 0xff, sizeof(completion));
	check_eq(nvmedmabuf_flush(rig.ctx, rig.map, &completion), 0);
	check_eq(completion.error | completion.status | completion.reason, 0);
	check_eq(completion.bytes, 0);

	/* On a map for writing only, and with a timeout. */
	rig_detach(&rig);
	rig_attach(&rig, 0, PAGE, NVME_DMABUF_ACCESS_WRITE);
	nvmedmabuf_prep_flush(&command, rig.map);
	command.timeout_ms = 10000;
	rig_submit(&rig, &command, 1);
	rig_verify(&rig);
	rig_close(&rig);
}

static void ends_of_namespace(const void *arg)
{
	const struct pair *pair = arg;
	uint64_t blocks;
	struct rig rig;

	rig_open(&rig, pair->path, pair->exporter, 2 * MIB, 0);
	rig_attach_all(&rig);
	blocks = MIB / rig.drive.block;
	for (int last = 0; last < 2; last++) {
		rig_window(&rig, last ? rig.drive.blocks - blocks : 0, blocks, blocks);
		for (uint64_t count = 1; count <= blocks; count *= 2) {
			uint64_t slba = last ? rig.drive.blocks - count : 0;

			rig_read(&rig, 4, count * rig.drive.block, slba);
			if (may_erase())
				rig_write(&rig, 4, count * rig.drive.block, slba);
		}
		rig_verify(&rig);
	}
	rig_close(&rig);
}

/* Two maps of one buffer, one for each direction. */
static void one_way_maps(const void *arg)
{
	const struct pair *pair = arg;
	uint32_t reading, writing;
	struct rig rig;

	require_erase();
	rig_open(&rig, pair->path, pair->exporter, 2 * MIB, 4 * MIB);
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	reading = rig.map;
	rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_WRITE);
	writing = rig.map;
	check(reading != writing);
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t length = random_length(&rig, MIB);

		rig.map = reading;
		rig_read(&rig, i * 4, length, rig.first + i);
		rig.map = writing;
		rig_write(&rig, i * 512, length, rig.first + 2 * i);
	}
	rig_verify(&rig);
	check_eq(nvmedmabuf_detach(rig.ctx, reading), 0);
	rig_write(&rig, 0, MIB, rig.first);
	rig_close(&rig);
}

/* One buffer attached to two namespaces: from one to the other, no copy. */
static void two_namespaces(const void *arg)
{
	const struct pair *pair = arg;
	const char *paths[3];
	uint64_t there, bytes = 2 * MIB;
	struct drive other;
	uint32_t other_map;
	struct rig rig;
	uint8_t *actual;

	require_erase();
	if (plain_drives(paths) < 2)
		skip("needs two namespaces; NVME_DMABUF_NS_PLAIN4K is not set");
	rig_open(&rig, paths[0], pair->exporter, bytes, bytes);
	drive_open(&other, paths[1]);
	rig_attach_all(&rig);
	other_map = attach(rig.ctx, rig.buffer.fd, other.fd, 0, bytes, ACCESS_BOTH);
	rig_read(&rig, 0, bytes, rig.first);
	there = rnd_below(other.blocks - bytes / other.block);
	check_eq(nvmedmabuf_write(rig.ctx, other_map, 0, bytes, there, NULL), 0);
	actual = pages_alloc(bytes);
	drive_read(&other, there, actual, bytes);
	compare("other namespace", actual, rig.disk, bytes, 0);
	rig_verify(&rig);
	check_eq(nvmedmabuf_detach(rig.ctx, other_map), 0);
	rig_read(&rig, 0, MIB, rig.first);
	rig_close(&rig);
}

/* The module's parameters choose between ways to describe memory to a drive. */
struct setting {
	const char *parameter;
	const char *value;
};

static const struct setting settings[] = {
	{ "prp_list_align", "512" },
	{ "prp_list_align", "4096" },
	{ "sgl", "N" },
};

static void with_setting(const void *arg)
{
	const struct setting *setting = arg;
	char value[16];
	struct pair pair;
	int status;
	pid_t child;

	require_disposable();
	pair = (struct pair){ main_drive(), exporter_any() };
	snprintf(value, sizeof(value), "%s", setting->value);
	parameter_swap(setting->parameter, value);
	child = fork();
	if (!child) {
		edges(&pair);
		part_of_buffer(&pair);
		batches(&pair);
		_exit(0);
	}
	waitpid(child, &status, 0);
	parameter_swap(setting->parameter, value);
	check_eq(status, 0);
}

static bool sgl_is_used(const struct drive *drive)
{
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_ns_info(ctx, drive->fd, &info), 0);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_close(ctx);
	return info.out_flags & NVME_DMABUF_NS_SGL;
}

/* The nvme driver's own switch, for drives that corrupt data with SGLs. */
static void sgl_threshold(const void *arg)
{
	static const char parameter[] = "/sys/module/nvme/parameters/sgl_threshold";
	long long before = file_number(parameter);
	struct drive drive;
	char text[24];
	bool without;

	(void)arg;
	require_disposable();
	drive_open(&drive, main_drive());
	check(before > 0);
	if (!sgl_is_used(&drive))
		skip("no SGLs with this kernel or drive");
	check(file_put(parameter, "0"));
	without = sgl_is_used(&drive);
	snprintf(text, sizeof(text), "%lld", before);
	check(file_put(parameter, text));
	check(!without);
	check(sgl_is_used(&drive));
	drive_close(&drive);
}

enum library_kind { LIBRARY_UDMABUF, LIBRARY_HUGE, LIBRARY_HEAP, LIBRARY_DRM };

/* Buffers that the library makes, from its allocation to its release. */
static void library_buffer(const void *arg)
{
	static const char *const names[] = {
		[LIBRARY_UDMABUF] = "udmabuf",
		[LIBRARY_HUGE] = "huge",
		[LIBRARY_HEAP] = "heap:system",
		[LIBRARY_DRM] = "drm",
	};
	enum library_kind kind = (enum library_kind)(uintptr_t)arg;
	struct nvmedmabuf_buffer *buffer = NULL;
	struct nvmedmabuf *ctx;
	uint64_t size = 2 * MIB;
	struct drive drive;
	uint8_t *expected;
	uint32_t map;
	void *addr;
	int result;

	drive_open(&drive, main_drive());
	ctx = ctx_open();
	result = nvmedmabuf_buffer_create(names[kind], size, &buffer);
	if (result == -ENOENT || result == -ENOMEM)
		skip("the library makes no such buffer here: %s", strerror(-result));
	check_eq(result, 0);
	check(nvmedmabuf_buffer_size(buffer) >= size);
	check_eq(nvmedmabuf_buffer_mmap(buffer, &addr), 0);
	map = attach(ctx, nvmedmabuf_buffer_fd(buffer), drive.fd, 0, size, NVME_DMABUF_ACCESS_READ);

	check_eq(nvmedmabuf_buffer_begin_cpu(buffer, NVMEDMABUF_CPU_WRITE), 0);
	memset(addr, 0x5a, size);
	check_eq(nvmedmabuf_buffer_end_cpu(buffer, NVMEDMABUF_CPU_WRITE), 0);
	expected = pages_alloc(size);
	if (may_erase()) {
		rnd_fill(expected, size);
		drive_write(&drive, 0, expected, size);
	}
	drive_read(&drive, 0, expected, size);
	check_eq(nvmedmabuf_read(ctx, map, 0, size, 0, NULL), 0);
	check_eq(nvmedmabuf_buffer_begin_cpu(buffer, NVMEDMABUF_CPU_READ), 0);
	compare("buffer", addr, expected, size, 0);
	check_eq(nvmedmabuf_buffer_end_cpu(buffer, NVMEDMABUF_CPU_READ), 0);
	check_eq(nvmedmabuf_detach(ctx, map), 0);
	nvmedmabuf_buffer_free(buffer);
	nvmedmabuf_close(ctx);
}

/* Tests that do not depend on the kind of memory use what there is. */
static void with_any(const void *arg, void (*run)(const void *))
{
	struct pair pair = { arg, exporter_any() };

	run(&pair);
}

#define ANY_EXPORTER(test)                       \
	static void any_##test(const void *path) \
	{                                        \
		with_any(path, test);            \
	}

ANY_EXPORTER(batches)
ANY_EXPORTER(above_limit)
ANY_EXPORTER(flags_and_timeouts)
ANY_EXPORTER(flush)
ANY_EXPORTER(ends_of_namespace)
ANY_EXPORTER(one_way_maps)
ANY_EXPORTER(two_namespaces)

int main(int argc, char **argv)
{
	const struct exporter *list;
	unsigned int exporter_count = exporters(&list), drive_count;
	static const char *paths[3];
	static struct pair pairs[64];
	struct pair *pair = pairs;

	require_device();
	drive_count = plain_drives(paths);
	if (!drive_count)
		tap_skip_all("no namespace to test; NVME_DMABUF_NS is not set");

	for (unsigned int i = 0; i < drive_count; i++) {
		const char *path = paths[i], *drive = drive_name(path);

		for (unsigned int j = 0; j < exporter_count; j++, pair++) {
			const char *name = list[j].name;

			*pair = (struct pair){ path, &list[j] };
			tap_add(description, pair, "%s: %s: description", drive, name);
			tap_add(edges, pair, "%s: %s: edges", drive, name);
			tap_add(random_transfers, pair, "%s: %s: random", drive, name);
			tap_add(part_of_buffer, pair, "%s: %s: part of a buffer", drive, name);
			if (list[j].kind == UDMABUF_SCATTERED)
				tap_add(page_order, pair, "%s: %s: page order", drive, name);
		}
		tap_add(any_batches, path, "%s: batches", drive);
		tap_add(any_above_limit, path, "%s: more commands than a call takes", drive);
		tap_add(any_flags_and_timeouts, path, "%s: flags and timeouts", drive);
		tap_add(any_flush, path, "%s: flush", drive);
		tap_add(any_ends_of_namespace, path, "%s: first and last block", drive);
		tap_add(any_one_way_maps, path, "%s: a map for each direction", drive);
	}
	tap_add(large_map, NULL, "a map whose list has several pieces");
	tap_add(any_two_namespaces, NULL, "from one namespace to another");
	for (unsigned int i = 0; i < ARRAY_SIZE(settings); i++)
		tap_add(with_setting, &settings[i], "with %s=%s", settings[i].parameter,
			settings[i].value);
	tap_add(sgl_threshold, NULL, "nvme.sgl_threshold=0 turns SGLs off");
	tap_add(library_buffer, (void *)LIBRARY_UDMABUF, "library: udmabuf");
	tap_add(library_buffer, (void *)LIBRARY_HUGE, "library: udmabuf of huge pages");
	tap_add(library_buffer, (void *)LIBRARY_HEAP, "library: heap");
	tap_add(library_buffer, (void *)LIBRARY_DRM, "library: dumb buffer");
	return tap_run(argc, argv);
}
