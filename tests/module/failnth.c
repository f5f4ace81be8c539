// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has one allocation or copy fail in each call: the first, then the
 * second, and so on until there is none left. The call fails with an error that
 * the interface allows, or succeeds; it leaves what was there as it was, and
 * nothing behind. Needs a kernel with fault injection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/dma-buf.h>

#include "contract.h"
#include "exported.h"
#include "line.h"
#include "ring.h"

#define DEBUGFS "/sys/kernel/debug/"

#define IMPLICIT NVME_DMABUF_SUBMIT_IMPLICIT_SYNC
#define IN	 NVME_DMABUF_SUBMIT_IN_FENCE
#define OUT	 NVME_DMABUF_SUBMIT_OUT_FENCE

#define AUTO_REFRESH NVME_DMABUF_ATTACH_AUTO_REFRESH
#define REQUIRE_P2P  NVME_DMABUF_ATTACH_REQUIRE_P2P

/*
 * Drives that take lists anywhere are treated as if they wanted them aligned. And given
 * lists: an IOMMU makes maps contiguous.
 */
#define ALIGNED "4096"
#define NO_SGL	"N"

/* A command that needs a list, wherever it begins. */
#define LISTED (4 * PAGE)

/* Commands of a large batch, of a page each or more if blocks are larger. */
#define MANY   64U
#define WINDOW (MANY * PAGE)

/* Many pages of list: a page of them holds 2 MiB. */
#define LARGE (8 * MIB)

/* Of a queue, and commands given to it at once. */
#define DEPTH	64U
#define ENTERED 4U

/* Partition number that nobody uses by accident. */
#define NUMBER 63

/*
 * The fault has struck where the nvme driver completes a command, which then has this
 * status: Invalid Command Opcode, Do Not Retry.
 */
#define INJECTED 0x4001

/* No mapping is near, so that one here needs page tables of its own. */
#define LONELY ((void *)(1UL << 44))

/* No call has nearly as many places where something can fail. */
#define MOST_FAULTS 20000U

/**
 * struct state - what a call finds
 * @w, @b, @map: a map that works
 * @fd: its context
 * @ns: the drive, or a partition of it
 * @max_command: bytes that one NVMe command moves
 * @auto_map: another map of @b, which refreshes itself
 * @other: a dma-buf to attach, of whatever exporter
 * @exported: @other, if it is one of the test exporter's; else its fd is -1
 * @spare: a map to detach
 * @fence: a sync_file that has signalled
 * @line: a queue of @fd
 * @count: commands to give to it
 * @enter_flags: and how, with fences
 * @own, @ring: a context that has not had a command of io_uring's, and a ring
 * @maps: maps made so far, or tried to
 * @refused: completions that had an error, or the status that is INJECTED
 * @files: descriptors open before the call
 * @next: the next one
 */
struct state {
	struct wire w;
	struct exported b;
	uint32_t map, auto_map;
	int fd;
	int ns;
	uint32_t max_command;
	int other;
	struct exported exported;
	struct buffer buffer;
	uint32_t spare;
	int fence;
	struct line line;
	uint32_t count;
	uint32_t enter_flags;
	struct nvmedmabuf *own;
	struct io_uring ring;
	uint32_t maps;
	unsigned int refused;
	unsigned int files;
	int next;
	/* What is passed and what comes back, where no page fault can happen. */
	struct nvme_dmabuf_command commands[MANY];
	struct nvme_dmabuf_completion completions[MANY];
	struct nvme_dmabuf_placement_run runs[MANY];
	struct nvme_dmabuf_event event;
	union call_args args;
	int result;
};

/**
 * struct subject - a call in which something fails
 * @open: makes what it needs, once
 * @prepare: makes it so that the call can succeed
 * @run: the call; returns 0 or -errno
 * @settle: looks at what it did and undoes it
 * @close: undoes what @open made, if it outlives this program
 * @number: _IOC_NR() of the ioctl, or CALLS if it is none of the device's
 * @drive: a special drive; NULL is the one to test
 * @attach: flags of ATTACH
 * @length: bytes of each command; 0 is a page
 * @moves: the map that it uses has to be refreshed
 * @aligned: a command that needs a list needs memory, for one that is aligned
 * @polled: the call also completes its commands, so that the fault may strike there
 * @frugal: it needs no memory, so that nothing can fail
 */
struct subject {
	const char *name;
	void (*open)(struct state *s, const struct subject *subject);
	void (*prepare)(struct state *s, const struct subject *subject);
	int (*run)(struct state *s);
	void (*settle)(struct state *s, const struct subject *subject);
	void (*close)(struct state *s, const struct subject *subject);
	unsigned int number;
	const char *drive;
	uint32_t flags;
	uint32_t attach;
	uint32_t count;
	uint64_t size;
	uint64_t length;
	bool moves;
	bool aligned;
	bool polled;
	bool frugal;
};

static int nth_fd = -1;

static void fault_arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	check_eq(pwrite(nth_fd, text, length, 0), length);
}

/*
 * Has it struck? To ask, and to disarm it, is to copy as well: if that fails it
 * had not.
 */
static bool fault_disarm(void)
{
	char text[16] = "";
	bool struck = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && !atoi(text);

	while (!struck && pwrite(nth_fd, "0", 1, 0) != 1)
		;
	return struck;
}

/* All faults, also of allocations that can sleep; and not a word of them. */
static void fault_setup(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "failslab/task-filter", "N" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_page_alloc/task-filter", "N" },
		{ "fail_usercopy/verbose", "0" },
		{ "fail_usercopy/task-filter", "N" },
	};
	char path[128];
	glob_t drives;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s", settings[i][0]);
		if (!file_put(path, settings[i][1]))
			note("%s: %m", path);
	}
	if (glob(DEBUGFS "nvme*/fault_inject/verbose", 0, NULL, &drives))
		return;
	for (size_t i = 0; i < drives.gl_pathc; i++)
		if (!file_put(drives.gl_pathv[i], "0"))
			note("%s: %m", drives.gl_pathv[i]);
	globfree(&drives);
}

/* Where a function of the kernel begins and the next one does. */
static bool find_function(const char *wanted, unsigned long *start, unsigned long *end)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	unsigned long address;
	char line[512], name[128];

	*start = 0;
	*end = ~0UL;
	/* They are not in order. */
	for (int pass = 0; f && pass < 2; pass++) {
		rewind(f);
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%lx %*c %127s", &address, name) != 2)
				continue;
			if (!pass && !strcmp(name, wanted))
				*start = address;
			if (pass && address > *start && address < *end)
				*end = address;
		}
	}
	if (f)
		fclose(f);
	return *start;
}

/* Faults strike in what this function calls, or ("reject") not there. */
static void fault_limit(const char *how, const char *function)
{
	static const char *const files[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	unsigned long range[2];
	char path[128], text[32];

	if (!find_function(function, &range[0], &range[1])) {
		note("no %s in this kernel", function);
		return;
	}
	for (size_t i = 0; i < 2 * ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), DEBUGFS "%s/%s-%s", files[i / 2], how,
			 i % 2 ? "end" : "start");
		snprintf(text, sizeof(text), "%#lx", range[i % 2]);
		if (!file_put(path, text))
			note("%s: %m", path);
	}
}

static int invoke(struct state *s, unsigned int number)
{
	return ioctl(s->fd, _IO(NVME_DMABUF_IOC_TYPE, number), &s->args) ? -errno : 0;
}

/* The arguments, with nothing in them but their size. */
static void *arguments(struct state *s, const struct subject *subject)
{
	memset(&s->args, 0, sizeof(s->args));
	s->args.size = call_size(subject->number);
	return &s->args;
}

static void prepare_plain(struct state *s, const struct subject *subject)
{
	arguments(s, subject);
}

static int run_info(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_INFO));
}

static void prepare_ns_info(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_ns_info *args = arguments(s, subject);

	args->ns_fd = s->ns;
}

static int run_ns_info(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_NS_INFO));
}

static void settle_ns_info(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_ns_info *args = &s->args.ns_info;
	uint32_t kinds = NVME_DMABUF_NS_PARTITION | NVME_DMABUF_NS_MULTIPATH;

	if (!s->result) {
		check_eq(args->out_reason, NVME_DMABUF_REASON_NONE);
		check_eq(args->out_block_size, s->w.drive.block);
		check_eq(args->out_flags & kinds, subject->flags);
	}
}

static void prepare_peer_info(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_peer_info *args = arguments(s, subject);
	struct pci_address address;

	/* QEMU has one beside the drives, and one behind a port. */
	if (!pci_find(0x1af4, 0x1110, subject->count, &address))
		skip("no ivshmem device here");
	args->ns_fd = s->ns;
	args->pci_domain = address.domain;
	args->pci_bdf = address.bdf;
}

static int run_peer_info(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_PEER_INFO));
}

/* Near or out of reach, the kernel knows the peer. */
static void settle_peer_info(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_peer_info *args = &s->args.peer_info;

	(void)subject;
	if (s->result)
		return;
	check_eq(args->out_distance >= 0, args->out_reason == NVME_DMABUF_REASON_NONE);
	check(args->out_reason != NVME_DMABUF_REASON_NO_SUCH_PEER);
}

static void open_event(struct state *s, const struct subject *subject)
{
	(void)subject;
	s->other = check_sys(eventfd(0, EFD_CLOEXEC));
}

static void prepare_queue(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_queue *args = arguments(s, subject);

	args->flags = subject->flags;
	/* The memory of one that fits in a page is sought in one way only. */
	args->depth = subject->flags ? 1 : DEPTH;
	args->event_fd = subject->flags & NVME_DMABUF_QUEUE_EVENTFD ? s->other : 0;
}

static int run_queue(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_QUEUE));
}

static void settle_queue(struct state *s, const struct subject *subject)
{
	(void)subject;
	if (!s->result)
		check_sys(close(s->args.queue.out_queue_fd));
}

/* Every other page, so that hardly any follows its neighbour; all are there. */
static void open_memory(struct state *s, const struct subject *subject)
{
	s->buffer.addr = pages_alloc(2 * subject->size);
	memset(s->buffer.addr, 1, 2 * subject->size);
	for (uint64_t at = PAGE; at < subject->size; at += PAGE)
		check(mremap(s->buffer.addr + 2 * at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     s->buffer.addr + at) != MAP_FAILED);
}

static void prepare_export(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_export *args = arguments(s, subject);

	args->addr = (uintptr_t)s->buffer.addr;
	args->length = subject->size;
	args->access = NVME_DMABUF_ACCESS_READ;
}

static int run_export(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_EXPORT));
}

static void settle_export(struct state *s, const struct subject *subject)
{
	(void)subject;
	if (!s->result)
		check_sys(close(s->args.export.out_dmabuf_fd));
}

static void prepare_mmap(struct state *s, const struct subject *subject)
{
	(void)subject;
	check(line_try(s->fd, DEPTH, 0, 0, &s->args.queue) >= 0);
}

static int run_mmap(struct state *s)
{
	s->line.ring = mmap(LONELY, s->args.queue.out_ring_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED, s->args.queue.out_queue_fd, 0);
	return s->line.ring == MAP_FAILED ? -errno : 0;
}

static void settle_mmap(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_queue *args = &s->args.queue;

	(void)subject;
	if (s->result) {
		check_eq(s->result, -ENOMEM);
	} else {
		check_eq(s->line.ring->entries, args->out_ring_entries);
		check_sys(munmap(s->line.ring, args->out_ring_bytes));
	}
	check_sys(close(args->out_queue_fd));
}

static void prepare_map_info(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_map_info *args = arguments(s, subject);

	args->map = s->map;
}

static int run_map_info(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_MAP_INFO));
}

static void prepare_placement(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_placement *args = arguments(s, subject);

	args->map = s->map;
	args->runs = (uintptr_t)s->runs;
	args->count = MANY;
}

static int run_placement(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_PLACEMENT));
}

static void prepare_placement_bar(struct state *s, const struct subject *subject)
{
	uint32_t map, reason;

	prepare_placement(s, subject);
	check_eq(wire_attach(&s->w, &s->exported, 0, s->exported.bytes, &map, &reason), 0);
	s->args.placement.map = map;
	s->maps++;
	memset(s->runs, 0, sizeof(s->runs));
}

static void settle_placement_bar(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_placement *args = &s->args.placement;

	(void)subject;
	if (!s->result) {
		check_eq(args->out_count, 1);
		check_eq(s->runs[0].kind, NVME_DMABUF_PLACEMENT_PCI);
		check_eq(s->runs[0].length, s->exported.bytes);
	}
	check_eq(nvmedmabuf_detach(s->w.ctx, args->map), 0);
	check_unused(&s->exported);
}

/* What is attached, detached or not. */
static void open_exported(struct state *s, const struct subject *subject)
{
	exported_create_pages(&s->exported, subject->size, subject->flags);
	s->other = s->exported.fd;
}

static void open_bar(struct state *s, const struct subject *subject)
{
	exported_create_bar(&s->exported, subject->size, subject->flags);
	s->other = s->exported.fd;
}

static void open_buffer(struct state *s, const struct subject *subject)
{
	const struct exporter *list;
	unsigned int count = exporters(&list);

	for (unsigned int i = 0; i < count; i++)
		if (list[i].kind == subject->flags &&
		    !access(list[i].path ? list[i].path : "/dev/udmabuf", R_OK | W_OK)) {
			buffer_alloc(&s->buffer, &list[i], subject->size);
			s->other = s->buffer.fd;
			return;
		}
	skip("no such exporter here");
}

/* The window is one. */
static void open_partition(struct state *s, const struct subject *subject)
{
	uint32_t block = s->w.drive.block;
	char path[64];

	require_erase();
	partition_change(s->w.drive.fd, BLKPG_DEL_PARTITION, NUMBER, 0, 0);
	check_eq(partition_change(s->w.drive.fd, BLKPG_ADD_PARTITION, NUMBER, s->w.first * block,
				  s->w.count * block),
		 0);
	snprintf(path, sizeof(path), "%sp%d", s->w.drive.path, NUMBER);
	/* udev may be busy with the new node, or may even make it. */
	wait_until((s->ns = open(path, O_RDWR | O_CLOEXEC)) >= 0);
	if (subject->size)
		open_exported(s, subject);
}

static void close_partition(struct state *s, const struct subject *subject)
{
	(void)subject;
	check_sys(close(s->ns));
	check_eq(partition_change(s->w.drive.fd, BLKPG_DEL_PARTITION, NUMBER, 0, 0), 0);
}

static void prepare_attach(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_attach *args = arguments(s, subject);

	args->flags = subject->attach;
	args->dmabuf_fd = s->other;
	args->ns_fd = s->ns;
	args->access = rig_access();
	args->length = s->exported.fd < 0 ? subject->size : s->exported.bytes;
	s->maps++;
}

static int run_attach(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_ATTACH));
}

/* A refusal leaves no map: also where the number could not be told. */
static void settle_attach(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_attach *args = &s->args.attach;

	(void)subject;
	if (s->result) {
		if (s->result != -EFAULT)
			check_eq(args->out_map, 0);
	} else {
		check_eq(args->out_reason, NVME_DMABUF_REASON_NONE);
		check_eq(nvmedmabuf_read(s->w.ctx, args->out_map, 0, s->w.drive.block, 0, NULL), 0);
		check_eq(nvmedmabuf_detach(s->w.ctx, args->out_map), 0);
	}
	if (s->exported.fd >= 0)
		check_unused(&s->exported);
}

static void prepare_detach(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_detach *args = arguments(s, subject);
	uint32_t reason;

	if (!s->spare) {
		check_eq(wire_attach(&s->w, &s->b, 0, PAGE, &s->spare, &reason), 0);
		s->maps++;
	}
	args->map = s->spare;
}

static int run_detach(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_DETACH));
}

static void settle_detach(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	int found = nvmedmabuf_get_map_info(s->w.ctx, s->spare, &info);

	(void)subject;
	/* The map went if the arguments could be read, though not if they could not. */
	if (s->result == -EFAULT && !found)
		check_eq(nvmedmabuf_detach(s->w.ctx, s->spare), 0);
	else
		check_eq(found, -ENOENT);
	s->spare = 0;
}

static void move(struct state *s)
{
	struct exporter_move result;

	check_eq(exported_move(&s->b, EXPORTER_MOVE_COPY | EXPORTER_MOVE_FORCE | EXPORTER_MOVE_WAIT,
			       &result),
		 0);
	check_eq(result.out_left + result.out_held, 0);
}

static void require_movable(struct state *s, const struct subject *subject)
{
	(void)s;
	(void)subject;
	if (!kernel_is_movable())
		skip("this kernel pins buffers");
}

static void prepare_refresh(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_refresh *args = arguments(s, subject);

	args->map = s->map;
	move(s);
}

static int run_refresh(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_REFRESH));
}

static void refresh_now(struct state *s)
{
	const uint32_t maps[] = { s->map, s->auto_map };

	for (int i = 0; i < 2; i++) {
		struct nvme_dmabuf_refresh args = { .size = sizeof(args), .map = maps[i] };

		check_sys(ioctl(s->fd, NVME_DMABUF_IOC_REFRESH, &args));
	}
}

static void settle_refresh(struct state *s, const struct subject *subject)
{
	(void)subject;
	refresh_now(s);
}

static void prepare_events(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_events *args = arguments(s, subject);

	args->events = (uintptr_t)&s->event;
	args->count = 1;
	move(s);
}

static int run_events(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_EVENTS));
}

/*
 * No event is lost unless it had been written when the call failed. Leaves one
 * of @map, for both maps have one.
 */
static void settle_events(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_event rest[4];
	struct nvme_dmabuf_events args = {
		.size = sizeof(args),
		.events = (uintptr_t)rest,
		.count = ARRAY_SIZE(rest),
	};
	unsigned int got = s->event.map != 0;

	(void)subject;
	if (!s->result)
		check_eq(got, 1);
	check_sys(ioctl(s->fd, NVME_DMABUF_IOC_EVENTS, &args));
	check_eq(got + args.out_count, 2);
	s->event.map = 0;
	refresh_now(s);
}

/* For maps made afterwards: only @map is made anew. */
static void open_aligned(struct state *s)
{
	char align[16] = ALIGNED, sgl[16] = NO_SGL;
	uint32_t reason;
	int result;

	require_disposable();
	check_eq(nvmedmabuf_detach(s->w.ctx, s->map), 0);
	parameter_swap("prp_list_align", align);
	parameter_swap("sgl", sgl);
	result = wire_attach(&s->w, &s->b, 0, s->b.bytes, &s->map, &reason);
	parameter_swap("prp_list_align", align);
	parameter_swap("sgl", sgl);
	check_eq(result, 0);
	s->maps++;
}

static void open_commands(struct state *s, const struct subject *subject)
{
	if (subject->moves)
		require_movable(s, subject);
	if (subject->aligned)
		open_aligned(s);
	if (subject->drive)
		check(subject->length > s->max_command);
}

static void open_fence(struct state *s, const struct subject *subject)
{
	struct dma_buf_export_sync_file args = { .flags = DMA_BUF_SYNC_RW };

	open_commands(s, subject);
	if (!(subject->flags & IN))
		return;
	exported_fence(&s->b, EXPORTER_FENCE_WRITE, 0);
	if (ioctl(s->b.fd, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &args))
		skip("this kernel gives no sync_file of a dma-buf: %m");
	exported_signal(&s->b);
	s->fence = args.fd;
}

static uint64_t command_length(const struct subject *subject)
{
	return subject->length ? subject->length : WINDOW / MANY;
}

/* Reads; then moves what they read to, if that is wanted. */
static void prepare_commands(struct state *s, const struct subject *subject)
{
	uint64_t length = command_length(subject);
	uint8_t *noise = pages_alloc(WINDOW);

	rnd_fill(noise, WINDOW);
	exported_write(&s->b, 0, noise, WINDOW);
	munmap(noise, WINDOW);
	for (uint32_t i = 0; i < subject->count; i++) {
		nvmedmabuf_prep_read(&s->commands[i], subject->moves ? s->auto_map : s->map,
				     i * length, length,
				     s->w.first + i * length / s->w.drive.block);
		s->commands[i].user_data = i;
		/* A plain one is tried again at once, the other way. */
		if (subject->aligned && i % 2)
			s->commands[i].flags = NVME_DMABUF_CMD_FUA;
	}
	memset(s->completions, 0xa5, sizeof(s->completions));
	if (subject->moves)
		move(s);
}

static void prepare_submit(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_submit *args = arguments(s, subject);

	prepare_commands(s, subject);
	args->flags = subject->flags;
	args->commands = (uintptr_t)s->commands;
	args->completions = subject->flags & OUT ? 0 : (uintptr_t)s->completions;
	args->count = subject->count;
	args->in_fence_fd = subject->flags & IN ? s->fence : 0;
}

static int run_submit(struct state *s)
{
	return invoke(s, _IOC_NR(NVME_DMABUF_IOC_SUBMIT));
}

/* Waits for commands whose fence nobody got. */
static void drain(struct state *s)
{
	uint32_t reason;

	check_eq(nvmedmabuf_detach(s->w.ctx, s->map), 0);
	check_eq(wire_attach(&s->w, &s->b, 0, s->b.bytes, &s->map, &reason), 0);
	s->maps++;
}

/*
 * A part of a command was executed or not: all of its data are new, or none. @wanted: it
 * must have been.
 */
static void settle_part(struct state *s, const uint8_t *actual, uint64_t at, uint64_t length,
			bool wanted)
{
	if (!wanted && !memcmp(actual + at, s->b.mirror + at, length))
		return;
	compare("data of a command", actual + at, s->w.disk + at, length, at);
	memcpy(s->b.mirror + at, actual + at, length);
}

/* @told: there are completions. */
static void settle_commands(struct state *s, const struct subject *subject, bool told)
{
	uint64_t length = command_length(subject), part = min_u64(length, s->max_command);
	uint8_t *actual = pages_alloc(WINDOW);

	exported_read(&s->b, 0, actual, WINDOW);
	for (uint32_t i = 0; i < subject->count; i++) {
		const struct nvme_dmabuf_completion *c = &s->completions[i];

		if (told) {
			check_eq(c->user_data, i);
			check_that(!c->error || command_may_fail(-c->error, c->reason),
				   "command %u: error %d, reason %s", i, c->error,
				   nvmedmabuf_reason_name(c->reason));
			check_that(!c->status || (subject->polled && c->status == INJECTED),
				   "command %u: status %#x", i, c->status);
			check((c->error || c->status) == (c->bytes < length));
			check(c->bytes <= length);
			s->refused += c->error || c->status;
		}
		for (uint64_t at = 0; at < length; at += part)
			settle_part(s, actual, i * length + at, min_u64(part, length - at),
				    told && at < c->bytes);
	}
	munmap(actual, WINDOW);
	if (subject->moves)
		refresh_now(s);
}

static void settle_submit(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_submit *args = &s->args.submit;

	if (!s->result && subject->flags & OUT) {
		struct pollfd p = { .fd = args->out_fence_fd, .events = POLLIN };

		check_eq(poll(&p, 1, 60000), 1);
		check_sys(close(args->out_fence_fd));
	} else if (subject->flags & OUT) {
		drain(s);
	}
	settle_commands(s, subject, !s->result && !(subject->flags & OUT));
}

static void prepare_enter(struct state *s, const struct subject *subject)
{
	prepare_commands(s, subject);
	s->count = subject->count;
	line_open(&s->line, s->fd, DEPTH, subject->polled ? NVME_DMABUF_QUEUE_POLLED : 0, 0);
}

static int run_enter(struct state *s)
{
	return line_enter(&s->line, s->commands, s->count, s->count, 0, 0, &s->args.enter);
}

static void prepare_enter_fences(struct state *s, const struct subject *subject)
{
	prepare_enter(s, subject);
	s->enter_flags = subject->flags;
}

/* Does not wait for completions, so that these may come after it. */
static int run_enter_fences(struct state *s)
{
	return line_enter_fences(&s->line, s->commands, s->count, 0, 0, s->enter_flags,
				 s->enter_flags & NVME_DMABUF_ENTER_IN_FENCE ? s->fence : 0,
				 &s->args.enter);
}

static void read_completions(struct state *s, const struct subject *subject, uint32_t count)
{
	struct nvme_dmabuf_completion c;

	line_wait(&s->line, count);
	for (uint32_t i = 0; i < count; i++) {
		check(line_next(&s->line, &c));
		check(c.user_data < subject->count);
		s->completions[c.user_data] = c;
	}
	check(!line_next(&s->line, &c));
}

static void settle_enter(struct state *s, const struct subject *subject)
{
	if (s->result)
		check_that(enter_may_fail(-s->result), "ENTER: %s", strerror(-s->result));
	check_eq(s->args.enter.out_submitted, s->result ? 0 : subject->count);
	read_completions(s, subject, s->args.enter.out_submitted);
	line_close(&s->line);
	settle_commands(s, subject, !s->result);
}

/* A fence that cannot be told is none. What went wrong before that is as if nothing was asked. */
static void settle_enter_fences(struct state *s, const struct subject *subject)
{
	const struct nvme_dmabuf_enter *args = &s->args.enter;
	bool unread = s->result == -EFAULT && args->out_submitted == ~0U;
	uint32_t submitted = unread ? 0 : args->out_submitted;
	struct pollfd p = { .fd = args->out_fence_fd, .events = POLLIN };

	if (s->result)
		check_that(enter_may_fail(-s->result), "ENTER: %s", strerror(-s->result));
	if (s->result != -EFAULT)
		check_eq(submitted, s->result ? 0 : subject->count);
	if (!s->result && subject->flags & NVME_DMABUF_ENTER_OUT_FENCE) {
		check_eq(poll(&p, 1, 60000), 1);
		check_sys(close(args->out_fence_fd));
		check_eq(__atomic_load_n(&s->line.ring->tail, __ATOMIC_ACQUIRE), submitted);
	} else if (!unread && s->result != -EFAULT) {
		check_eq(args->out_fence_fd, -1);
	}
	read_completions(s, subject, submitted);
	line_close(&s->line);
	settle_commands(s, subject, submitted);
}

/* Contexts and rings keep what commands needed, so both are new. */
static void prepare_uring(struct state *s, const struct subject *subject)
{
	struct wire w = s->w;
	uint32_t reason;

	prepare_commands(s, subject);
	w.ctx = ctx_open();
	s->own = w.ctx;
	check_eq(wire_attach(&w, &s->b, 0, s->b.bytes, &s->commands[0].map, &reason), 0);
	ring_open(&s->ring, 1, subject->polled ? IORING_SETUP_IOPOLL : 0);
	ring_prepare(&s->ring, nvmedmabuf_fd(s->own), &s->commands[0]);
}

static int run_uring(struct state *s)
{
	int result = io_uring_submit_and_wait(&s->ring, 1);

	return result < 0 ? result : 0;
}

static void settle_uring(struct state *s, const struct subject *subject)
{
	if (s->result)
		check_that(s->result == -ENOMEM || s->result == -EAGAIN, "io_uring: %s",
			   strerror(-s->result));
	else
		ring_wait(&s->ring, &s->completions[0]);
	check_eq(io_uring_cq_ready(&s->ring), 0);
	io_uring_queue_exit(&s->ring);
	nvmedmabuf_close(s->own);
	settle_commands(s, subject, !s->result);
}

static void prepare_nothing(struct state *s, const struct subject *subject)
{
	(void)s;
	(void)subject;
}

static int run_open(struct state *s)
{
	s->spare = 0;
	s->other = open(DEVICE, O_RDWR | O_CLOEXEC);
	return s->other < 0 ? -errno : 0;
}

static void settle_open(struct state *s, const struct subject *subject)
{
	(void)subject;
	if (s->result)
		check_that(s->result == -ENOMEM || s->result == -EFAULT, "open: %s",
			   strerror(-s->result));
	else
		check_sys(close(s->other));
}

/* With two maps, one of them revoked. */
static void prepare_close(struct state *s, const struct subject *subject)
{
	struct nvmedmabuf *ctx = s->w.ctx;
	uint32_t map, reason;

	s->w.ctx = ctx_open();
	for (int i = 0; i < 2; i++) {
		check_eq(wire_attach(&s->w, &s->exported, 0, subject->size, &map, &reason), 0);
		if (!i && kernel_is_movable())
			check_eq(exported_move(&s->exported,
					       EXPORTER_MOVE_COPY | EXPORTER_MOVE_FORCE |
						       EXPORTER_MOVE_WAIT,
					       NULL),
				 0);
	}
	check_eq(nvmedmabuf_read(s->w.ctx, map, 0, s->w.drive.block, s->w.first, NULL), 0);
	s->other = check_sys(dup(nvmedmabuf_fd(s->w.ctx)));
	nvmedmabuf_close(s->w.ctx);
	s->w.ctx = ctx;
}

static int run_close(struct state *s)
{
	return close(s->other) ? -errno : 0;
}

static void settle_close(struct state *s, const struct subject *subject)
{
	(void)subject;
	check_eq(s->result, 0);
	check_unused(&s->exported);
}

static void state_open(struct state *s, const struct subject *subject)
{
	struct nvme_dmabuf_attach args = {
		.size = sizeof(args),
		.flags = AUTO_REFRESH,
		.access = rig_access(),
	};
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	uint32_t reason;

	memset(s, 0, sizeof(*s));
	s->exported.fd = -1;
	wire_open(&s->w, subject->drive ? drive_path(subject->drive) : main_drive(), WINDOW);
	s->fd = nvmedmabuf_fd(s->w.ctx);
	s->ns = s->w.drive.fd;
	check_eq(nvmedmabuf_get_ns_info(s->w.ctx, s->ns, &info), 0);
	s->max_command = info.out_max_command;
	exported_create_pages(&s->b, MIB, EXPORTER_DYNAMIC);
	check_eq(wire_attach(&s->w, &s->b, 0, s->b.bytes, &s->map, &reason), 0);
	args.dmabuf_fd = s->b.fd;
	args.ns_fd = s->w.drive.fd;
	args.length = s->b.bytes;
	check_sys(ioctl(s->fd, NVME_DMABUF_IOC_ATTACH, &args));
	s->auto_map = args.out_map;
	s->maps = 2;
}

/* What was there works, and there is no more of it. */
static void intact(struct state *s)
{
	struct exporter_query query = exported_query(&s->b);
	struct nvme_dmabuf_command command;

	/* Two maps of the same range share a mapping. */
	check_eq(query.out_attached, 1 + !!s->spare);
	check(query.out_mapped <= query.out_attached);
	check_eq(query.out_maps - query.out_unmaps, query.out_mapped);
	check_eq(query.out_held, 0);
	check_eq(open_files(), s->files);
	check_eq(next_file(), s->next);
	nvmedmabuf_prep_read(&command, s->map, s->b.bytes - s->w.drive.block, s->w.drive.block,
			     s->w.first + rnd_below(s->w.count));
	wire_transfer(&s->w, &s->b, 0, command);
}

static void check_maps(struct state *s)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	unsigned int count = 0;

	for (uint32_t map = 1; map <= s->maps + 16; map++)
		count += !nvmedmabuf_get_map_info(s->w.ctx, map, &info);
	check_eq(count, 2);
}

static void sweep(const void *arg)
{
	const struct subject *subject = arg;
	unsigned int nth, failed = 0;
	bool struck = true;
	static struct state s;
	uint32_t reason;

	state_open(&s, subject);
	nth_fd = check_sys(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	if (subject->open)
		subject->open(&s, subject);
	for (nth = 1; struck; nth++) {
		check_that(nth < MOST_FAULTS, "there is no end of it");
		s.files = open_files();
		s.next = next_file();
		subject->prepare(&s, subject);
		fault_arm(nth);
		s.result = subject->run(&s);
		struck = fault_disarm();
		failed += !!s.result;

		reason = call_reason(subject->number, &s.args);
		check_that(struck || !s.result, "without a fault: %s, %s", strerror(-s.result),
			   nvmedmabuf_reason_name(reason));
		check_that(!s.result || subject->number == CALLS ||
				   call_may_fail(subject->number, -s.result, reason),
			   "fault %u: %s, %s", nth, strerrorname_np(-s.result),
			   nvmedmabuf_reason_name(reason));
		if (subject->settle)
			subject->settle(&s, subject);
		intact(&s);
	}
	note("%u faults, of which %u made the call fail and %u a command", nth - 2, failed,
	     s.refused);
	check_eq(nth > 2, !subject->frugal);
	check_maps(&s);
	exported_verify(&s.b);
	if (subject->close)
		subject->close(&s, subject);
	wire_close(&s.w);
	check_unused(&s.b);
}

static void reload(const char *parameters)
{
	wait_until(!file_number("/sys/module/nvme_dmabuf/refcnt"));
	check_eq(module_remove(), 0);
	module_insert(module_path(), parameters);
}

/*
 * A controller that the module has not seen before: the first call that names it
 * makes what is kept for it.
 */
static void first_use(const void *arg)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	unsigned int nth, failed = 0;
	bool struck = true;
	struct drive drive;
	int fd, result;

	(void)arg;
	require_disposable();
	drive_open(&drive, main_drive());
	nth_fd = check_sys(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	for (nth = 1; struck; nth++) {
		check_that(nth < MOST_FAULTS, "there is no end of it");
		reload("");
		fd = device_open();
		info = (struct nvme_dmabuf_ns_info){ .size = sizeof(info), .ns_fd = drive.fd };
		fault_arm(nth);
		result = ioctl(fd, NVME_DMABUF_IOC_NS_INFO, &info) ? errno : 0;
		struck = fault_disarm();
		failed += !!result;
		check_that(!result || call_may_fail(_IOC_NR(NVME_DMABUF_IOC_NS_INFO), result, 0),
			   "fault %u: %s", nth, strerrorname_np(result));
		check(struck || !result);
		if (!result)
			check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
		/* What failed once works the next time. */
		check_sys(ioctl(fd, NVME_DMABUF_IOC_NS_INFO, &info));
		check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
		check_sys(close(fd));
	}
	note("%u faults, of which %u made the call fail", nth - 2, failed);
	check(failed);
}

/*
 * The first call that needs aligned lists: the pool for them is made when the first map
 * is attached, and is empty until the first command.
 */
static void first_aligned(const void *arg)
{
	unsigned int number = *(const unsigned int *)arg, nth, failed = 0, refused = 0;
	bool submits = number == _IOC_NR(NVME_DMABUF_IOC_SUBMIT), struck = true;
	static struct nvme_dmabuf_completion c;
	static struct nvme_dmabuf_command read;
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	static union call_args args;
	uint32_t map, other, reason;
	struct exported b;
	struct wire w;
	int result;

	require_disposable();
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, 0);
	nth_fd = check_sys(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	for (nth = 1; struck; nth++) {
		check_that(nth < MOST_FAULTS, "there is no end of it");
		nvmedmabuf_close(w.ctx);
		reload("prp_list_align=" ALIGNED " sgl=" NO_SGL);
		w.ctx = ctx_open();
		/* What else is made for a controller is another test's. */
		check_eq(nvmedmabuf_get_ns_info(w.ctx, w.drive.fd, &info), 0);
		memset(&args, 0, sizeof(args));
		args.size = call_size(number);
		if (submits) {
			check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
			nvmedmabuf_prep_read(&read, map, 0, LISTED, w.first);
			memset(&c, 0, sizeof(c));
			args.submit.commands = (uintptr_t)&read;
			args.submit.completions = (uintptr_t)&c;
			args.submit.count = 1;
		} else {
			args.attach.dmabuf_fd = b.fd;
			args.attach.ns_fd = w.drive.fd;
			args.attach.access = rig_access();
			args.attach.length = b.bytes;
		}
		fault_arm(nth);
		result = ioctl(nvmedmabuf_fd(w.ctx), _IO(NVME_DMABUF_IOC_TYPE, number), &args) ?
				 errno :
				 0;
		struck = fault_disarm();
		failed += !!result;
		reason = call_reason(number, &args);
		check_that(!result || call_may_fail(number, result, reason), "fault %u: %s, %s",
			   nth, strerrorname_np(result), nvmedmabuf_reason_name(reason));
		refused += submits && !result && c.error;
		check(!c.error || command_may_fail(-c.error, c.reason));
		check(struck || (!result && !c.error));
		/* What failed once works the next time. */
		check_eq(wire_attach(&w, &b, 0, b.bytes, &other, &reason), 0);
		nvmedmabuf_prep_read(&read, other, 0, LISTED, w.first);
		wire_transfer(&w, &b, 0, read);
	}
	note("%u faults, of which %u made the call fail and %u the command", nth - 2, failed,
	     refused);
	check(failed);
	check_eq(refused > 0, submits);
	exported_verify(&b);
	nvmedmabuf_close(w.ctx);
	check_unused(&b);
	reload("");
}

/* Last, for from now on faults strike nowhere else. */
static void loading(const void *arg)
{
	int file = check_sys(open(module_path(), O_RDONLY | O_CLOEXEC)), result;
	unsigned int nth, failed = 0;
	bool struck = true;

	(void)arg;
	require_disposable();
	fault_limit("require", "do_one_initcall");
	nth_fd = check_sys(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	for (nth = 1; struck; nth++) {
		check_that(nth < MOST_FAULTS, "there is no end of it");
		wait_until(file_number("/sys/module/nvme_dmabuf/refcnt") <= 0);
		if (!access("/sys/module/nvme_dmabuf", F_OK))
			check_eq(module_remove(), 0);
		fault_arm(nth);
		result = syscall(SYS_finit_module, file, "", 0) ? errno : 0;
		struck = fault_disarm();
		failed += !!result;
		check_that(struck || !result, "without a fault: %s", strerror(result));
		check_eq(!access("/sys/module/nvme_dmabuf", F_OK), !result);
		if (result)
			check(access(DEVICE, F_OK));
	}
	note("%u faults, of which %u made it fail", nth - 2, failed);
	check(failed);
	wait_until(!access(DEVICE, R_OK | W_OK));
	close(check_sys(device_open()));
}

/* Notes an object that is lost, unless it is what tests/module/leaks says of stock code. */
static bool lost_object(char *block)
{
	if (!*block || strstr(block, " dma_buf_phys_vec_to_sgt+"))
		return false;
	for (char *line = strtok(block, "\n"); line; line = strtok(NULL, "\n"))
		note("%s", line);
	return true;
}

/* kmemleak reports nothing that is younger than some seconds, or changed since it scanned. */
static void nothing_lost(const void *arg)
{
	char line[256], block[8192] = "";
	bool lost = false;
	FILE *f;

	(void)arg;
	if (access(DEBUGFS "kmemleak", W_OK))
		skip("this kernel has no kmemleak");
	check(file_put("/dev/kmsg", "nvme-dmabuf test failnth: kmemleak is looked at here"));
	sleep(6);
	for (int i = 0; i < 2; i++)
		check(file_put(DEBUGFS "kmemleak", "scan"));
	f = fopen(DEBUGFS "kmemleak", "r");
	check(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "unreferenced object", 19)) {
			lost |= lost_object(block);
			*block = 0;
		}
		strncat(block, line, sizeof(block) - 1 - strlen(block));
	}
	lost |= lost_object(block);
	fclose(f);
	check_that(!lost, "kmemleak found memory that is lost");
}

static const struct subject subjects[] = {
#define IOCTL(nr) .number = _IOC_NR(NVME_DMABUF_IOC_##nr)
#define ATTACH_OF(what, how, bytes, how_flags, ...)                                        \
	{                                                                                  \
		.name = "ATTACH, " what, IOCTL(ATTACH), .open = open_##how, .size = bytes, \
		.flags = how_flags, .prepare = prepare_attach, .run = run_attach,          \
		.settle = settle_attach, ##__VA_ARGS__                                     \
	}
#define SUBMIT_OF(what, how_many, how, ...)                                                    \
	{                                                                                      \
		.name = "SUBMIT, " what, IOCTL(SUBMIT), .open = open_fence, .count = how_many, \
		.flags = how, .prepare = prepare_submit, .run = run_submit,                    \
		.settle = settle_submit, ##__VA_ARGS__                                         \
	}
#define ENTER_OF(what, how_many, ...)                                                              \
	{                                                                                          \
		.name = "ENTER, " what, .number = CALLS, .open = open_commands, .count = how_many, \
		.prepare = prepare_enter, .run = run_enter, .settle = settle_enter, ##__VA_ARGS__  \
	}
#define FENCED_OF(what, how_many, how, ...)                                                     \
	{                                                                                       \
		.name = "ENTER, " what, .number = CALLS, .open = open_fence, .count = how_many, \
		.flags = how, .prepare = prepare_enter_fences, .run = run_enter_fences,         \
		.settle = settle_enter_fences, ##__VA_ARGS__                                    \
	}
#define URING_OF(what, ...)                                                                       \
	{                                                                                         \
		.name = what " of io_uring", .number = CALLS, .open = open_commands, .count = 1,  \
		.prepare = prepare_uring, .run = run_uring, .settle = settle_uring, ##__VA_ARGS__ \
	}
#define IN_PARTS .drive = "SMALLMDTS", .length = WINDOW
	{ .name = "INFO", IOCTL(INFO), .prepare = prepare_plain, .run = run_info },
	{ .name = "NS_INFO",
	  IOCTL(NS_INFO),
	  .prepare = prepare_ns_info,
	  .run = run_ns_info,
	  .settle = settle_ns_info },
	{ .name = "NS_INFO, a partition",
	  IOCTL(NS_INFO),
	  .flags = NVME_DMABUF_NS_PARTITION,
	  .open = open_partition,
	  .close = close_partition,
	  .prepare = prepare_ns_info,
	  .run = run_ns_info,
	  .settle = settle_ns_info },
	{ .name = "NS_INFO, a multipath device",
	  IOCTL(NS_INFO),
	  .drive = "MPATH",
	  .flags = NVME_DMABUF_NS_MULTIPATH,
	  .prepare = prepare_ns_info,
	  .run = run_ns_info,
	  .settle = settle_ns_info },
	{ .name = "PEER_INFO",
	  IOCTL(PEER_INFO),
	  .prepare = prepare_peer_info,
	  .run = run_peer_info,
	  .settle = settle_peer_info },
	{ .name = "PEER_INFO, behind a port",
	  IOCTL(PEER_INFO),
	  .count = 1,
	  .prepare = prepare_peer_info,
	  .run = run_peer_info,
	  .settle = settle_peer_info },
	{ .name = "QUEUE",
	  IOCTL(QUEUE),
	  .prepare = prepare_queue,
	  .run = run_queue,
	  .settle = settle_queue },
	{ .name = "QUEUE, with an eventfd",
	  IOCTL(QUEUE),
	  .flags = NVME_DMABUF_QUEUE_EVENTFD,
	  .open = open_event,
	  .prepare = prepare_queue,
	  .run = run_queue,
	  .settle = settle_queue },
	{ .name = "QUEUE, polled",
	  IOCTL(QUEUE),
	  .flags = NVME_DMABUF_QUEUE_POLLED,
	  .prepare = prepare_queue,
	  .run = run_queue,
	  .settle = settle_queue },
	{ .name = "mmap of a queue's ring",
	  .number = CALLS,
	  .prepare = prepare_mmap,
	  .run = run_mmap,
	  .settle = settle_mmap },
	{ .name = "MAP_INFO", IOCTL(MAP_INFO), .prepare = prepare_map_info, .run = run_map_info },
	{ .name = "PLACEMENT",
	  IOCTL(PLACEMENT),
	  .prepare = prepare_placement,
	  .run = run_placement },
	{ .name = "PLACEMENT, a BAR",
	  IOCTL(PLACEMENT),
	  .open = open_bar,
	  .size = 4 * MIB,
	  .flags = EXPORTER_DYNAMIC,
	  .prepare = prepare_placement_bar,
	  .run = run_placement,
	  .settle = settle_placement_bar },
	ATTACH_OF("a page", exported, PAGE, 0),
	ATTACH_OF("several pages of list", exported, LARGE, 0),
	ATTACH_OF("an exporter that moves", exported, MIB, EXPORTER_DYNAMIC),
	ATTACH_OF("to be refreshed by itself", exported, MIB, EXPORTER_DYNAMIC,
		  .attach = AUTO_REFRESH),
	ATTACH_OF("a BAR", bar, 4 * MIB, EXPORTER_DYNAMIC),
	ATTACH_OF("a BAR, required", bar, 4 * MIB, EXPORTER_DYNAMIC,
		  .attach = REQUIRE_P2P | AUTO_REFRESH),
	ATTACH_OF("udmabuf", buffer, LARGE, UDMABUF_SCATTERED),
	ATTACH_OF("udmabuf of huge pages", buffer, LARGE, UDMABUF_HUGE),
	ATTACH_OF("a DMA heap", buffer, LARGE, DMA_HEAP),
	ATTACH_OF("DRM", buffer, LARGE, DRM_DUMB),
	ATTACH_OF("own memory", buffer, LARGE, USER_PAGES),
	ATTACH_OF("to a partition", partition, MIB, EXPORTER_DYNAMIC, .close = close_partition),
	ATTACH_OF("to a multipath device", exported, MIB, EXPORTER_DYNAMIC, .drive = "MPATH"),
	{ .name = "EXPORT",
	  IOCTL(EXPORT),
	  .size = MIB,
	  .open = open_memory,
	  .prepare = prepare_export,
	  .run = run_export,
	  .settle = settle_export },
	{ .name = "DETACH",
	  IOCTL(DETACH),
	  .prepare = prepare_detach,
	  .run = run_detach,
	  .settle = settle_detach },
	{ .name = "REFRESH",
	  IOCTL(REFRESH),
	  .open = require_movable,
	  .prepare = prepare_refresh,
	  .run = run_refresh,
	  .settle = settle_refresh },
	{ .name = "EVENTS",
	  IOCTL(EVENTS),
	  .open = require_movable,
	  .prepare = prepare_events,
	  .run = run_events,
	  .settle = settle_events },
	SUBMIT_OF("one command", 1, 0),
	SUBMIT_OF("many commands", MANY, 0),
	SUBMIT_OF("in parts", 1, 0, IN_PARTS),
	SUBMIT_OF("aligned lists", 4, 0, .aligned = true, .length = LISTED),
	SUBMIT_OF("aligned lists, in parts", 1, 0, .aligned = true, IN_PARTS),
	SUBMIT_OF("after the buffers' fences", 4, IMPLICIT),
	SUBMIT_OF("after a fence", 4, IN),
	SUBMIT_OF("with a fence", 4, OUT),
	SUBMIT_OF("many, with all fences", MANY, IMPLICIT | IN | OUT),
	SUBMIT_OF("refreshing by itself", 4, 0, .moves = true),
	SUBMIT_OF("refreshing by itself, with a fence", 4, OUT, .moves = true),
	ENTER_OF("commands", ENTERED, .frugal = true),
	ENTER_OF("in parts", 1, .frugal = true, IN_PARTS),
	ENTER_OF("aligned lists", ENTERED, .aligned = true, .length = LISTED),
	ENTER_OF("refreshing by itself", ENTERED, .moves = true),
	ENTER_OF("polled", ENTERED, .polled = true),
	ENTER_OF("in parts, polled", 1, .polled = true, IN_PARTS),
	ENTER_OF("aligned lists, polled", ENTERED, .polled = true, .aligned = true,
		 .length = LISTED),
	ENTER_OF("refreshing by itself, polled", ENTERED, .polled = true, .moves = true),
	FENCED_OF("in today's structure", ENTERED, 0),
	FENCED_OF("after a fence", ENTERED, NVME_DMABUF_ENTER_IN_FENCE),
	FENCED_OF("with a fence", ENTERED, NVME_DMABUF_ENTER_OUT_FENCE),
	FENCED_OF("refreshing by itself, with both fences", ENTERED,
		  NVME_DMABUF_ENTER_IN_FENCE | NVME_DMABUF_ENTER_OUT_FENCE, .moves = true),
	URING_OF("a command"),
	URING_OF("a polled command", .polled = true),
	{ .name = "open",
	  .number = CALLS,
	  .prepare = prepare_nothing,
	  .run = run_open,
	  .settle = settle_open },
	{ .name = "close",
	  .number = CALLS,
	  .open = open_exported,
	  .flags = EXPORTER_DYNAMIC,
	  .size = MIB,
	  .frugal = true,
	  .prepare = prepare_close,
	  .run = run_close,
	  .settle = settle_close },
};

static const unsigned int first_calls[] = {
	_IOC_NR(NVME_DMABUF_IOC_ATTACH),
	_IOC_NR(NVME_DMABUF_IOC_SUBMIT),
};

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	if (access("/proc/self/fail-nth", W_OK))
		tap_skip_all("this kernel has no fault injection");
	if (access(DEBUGFS "failslab", F_OK))
		tap_skip_all("no failslab in debugfs");
	fault_setup();
	/* What watches the use of the DMA API gives up when its own memory fails. */
	if (!access(DEBUGFS "dma-api", F_OK))
		fault_limit("reject", "add_dma_entry");
	for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
		tap_add(sweep, &subjects[i], "%s", subjects[i].name);
	tap_add(first_use, NULL, "NS_INFO, the first of a controller");
	tap_add(first_aligned, &first_calls[0], "ATTACH, the first that aligns lists");
	tap_add(first_aligned, &first_calls[1], "SUBMIT, the first that aligns lists");
	tap_add(loading, NULL, "the module is loaded");
	tap_add(nothing_lost, NULL, "no memory is lost");
	return tap_run(argc, argv);
}
