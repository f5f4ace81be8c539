// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors that do not depend on what a call is for: unknown calls, sizes and
 * tails of structures, reserved members, and memory that is not there.
 */
#define _GNU_SOURCE
#include "contract.h"
#include "errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct member {
	size_t offset;
	size_t size;
};

#define MEMBER(type, name)                                                    \
	{                                                                     \
		offsetof(struct type, name), sizeof(((struct type *)0)->name) \
	}

/**
 * struct call
 * @size: of its structure
 * @first_size: of that in the first version, if it has grown since
 * @fill: writes inputs with which the call succeeds; the rest is zero
 * @done: cleans up after success
 * @flags: that are defined
 * @zero: members all of whose bits must be zero, but for these flags
 * @outputs: members that the call writes
 * @reason: where the reason stands, or 0
 * @of_queue: it is a call on a queue's file
 */
struct call {
	const char *name;
	unsigned long request;
	size_t size;
	size_t first_size;
	void (*fill)(struct fixture *f, union call_args *args);
	void (*done)(struct fixture *f, union call_args *args);
	uint32_t flags;
	struct member zero[2];
	struct member outputs[20];
	size_t reason;
	bool of_queue;
};

static void fill_nothing(struct fixture *f, union call_args *args)
{
	(void)f;
	(void)args;
}

static void fill_ns_info(struct fixture *f, union call_args *args)
{
	args->ns_info.ns_fd = f->rig.drive.fd;
}

static void fill_attach(struct fixture *f, union call_args *args)
{
	args->attach.ns_fd = f->rig.drive.fd;
	args->attach.dmabuf_fd = f->rig.buffer.fd;
	args->attach.access = NVME_DMABUF_ACCESS_READ;
	args->attach.length = PAGE;
}

static void done_attach(struct fixture *f, union call_args *args)
{
	check_eq(nvmedmabuf_detach(f->rig.ctx, args->attach.out_map), 0);
}

static void fill_detach(struct fixture *f, union call_args *args)
{
	if (!f->spare) {
		f->spare = attach(f->rig.ctx, f->rig.buffer.fd, f->rig.drive.fd, 0, PAGE,
				  NVME_DMABUF_ACCESS_READ);
		f->maps++;
	}
	args->detach.map = f->spare;
}

static void done_detach(struct fixture *f, union call_args *args)
{
	(void)args;
	f->spare = 0;
	f->maps--;
}

static void fill_map_info(struct fixture *f, union call_args *args)
{
	args->map_info.map = f->rig.map;
}

static struct nvme_dmabuf_placement_run run;

static void fill_placement(struct fixture *f, union call_args *args)
{
	args->placement.map = f->rig.map;
	args->placement.count = 1;
	args->placement.runs = (uintptr_t)&run;
}

static struct nvme_dmabuf_command command;
static struct nvme_dmabuf_completion completion;

static void fill_submit(struct fixture *f, union call_args *args)
{
	nvmedmabuf_prep_read(&command, f->rig.map, 0, f->rig.drive.block, f->rig.first);
	args->submit.commands = (uintptr_t)&command;
	args->submit.completions = (uintptr_t)&completion;
	args->submit.count = 1;
}

static void fill_refresh(struct fixture *f, union call_args *args)
{
	args->refresh.map = f->rig.map;
}

static struct nvme_dmabuf_event event;

static void fill_events(struct fixture *f, union call_args *args)
{
	(void)f;
	args->events.events = (uintptr_t)&event;
	args->events.count = 1;
}

static void fill_peer_info(struct fixture *f, union call_args *args)
{
	args->peer_info.ns_fd = f->rig.drive.fd;
	args->peer_info.pci_bdf = 0xffff;
}

/* SUBMIT or ENTER succeeded, or only its end went wrong: the command was executed. */
static void allow_read(struct fixture *f)
{
	rig_read(&f->rig, 0, f->rig.drive.block, f->rig.first);
}

static void fill_queue(struct fixture *f, union call_args *args)
{
	(void)f;
	args->queue.depth = 4;
}

static void done_queue(struct fixture *f, union call_args *args)
{
	(void)f;
	check_sys(close(args->queue.out_queue_fd));
}

static void fill_export(struct fixture *f, union call_args *args)
{
	args->export.addr = (uintptr_t)f->rig.mirror;
	args->export.length = PAGE;
	args->export.access = NVME_DMABUF_ACCESS_READ;
}

static void done_export(struct fixture *f, union call_args *args)
{
	(void)f;
	check_sys(close(args->export.out_dmabuf_fd));
}

static int call_file(struct fixture *f, const struct call *call)
{
	if (!call->of_queue)
		return f->fd;
	if (!f->line.ring)
		line_open(&f->line, f->fd, 4, 0, 0);
	return f->line.fd;
}

static void fill_enter(struct fixture *f, union call_args *args)
{
	nvmedmabuf_prep_read(&command, f->rig.map, 0, f->rig.drive.block, f->rig.first);
	args->enter.commands = (uintptr_t)&command;
	args->enter.count = 1;
	args->enter.min_complete = 1;
}

static void done_enter(struct fixture *f, union call_args *args)
{
	check_eq(args->enter.out_submitted, 1);
	check_eq(args->enter.out_completed, 1);
	check(line_next(&f->line, &completion));
	check_eq(completion.error | completion.status, 0);
}

static const struct call calls[] = {
	{
		.name = "INFO",
		.request = NVME_DMABUF_IOC_INFO,
		.size = sizeof(struct nvme_dmabuf_info),
		.fill = fill_nothing,
		.zero = { MEMBER(nvme_dmabuf_info, flags) },
		.outputs = { MEMBER(nvme_dmabuf_info, out_version),
			     MEMBER(nvme_dmabuf_info, out_max_commands),
			     MEMBER(nvme_dmabuf_info, out_features),
			     MEMBER(nvme_dmabuf_info, out_max_maps),
			     MEMBER(nvme_dmabuf_info, out_max_command),
			     MEMBER(nvme_dmabuf_info, out_min_timeout_ms),
			     MEMBER(nvme_dmabuf_info, out_max_timeout_ms) },
	},
	{
		.name = "NS_INFO",
		.request = NVME_DMABUF_IOC_NS_INFO,
		.size = sizeof(struct nvme_dmabuf_ns_info),
		.fill = fill_ns_info,
		.zero = { MEMBER(nvme_dmabuf_ns_info, flags) },
		.outputs = { MEMBER(nvme_dmabuf_ns_info, out_reason),
			     MEMBER(nvme_dmabuf_ns_info, out_capacity),
			     MEMBER(nvme_dmabuf_ns_info, out_start),
			     MEMBER(nvme_dmabuf_ns_info, out_block_size),
			     MEMBER(nvme_dmabuf_ns_info, out_nsid),
			     MEMBER(nvme_dmabuf_ns_info, out_max_command),
			     MEMBER(nvme_dmabuf_ns_info, out_flags),
			     MEMBER(nvme_dmabuf_ns_info, out_pci_domain),
			     MEMBER(nvme_dmabuf_ns_info, out_pci_bdf) },
		.reason = offsetof(struct nvme_dmabuf_ns_info, out_reason),
	},
	{
		.name = "ATTACH",
		.request = NVME_DMABUF_IOC_ATTACH,
		.size = sizeof(struct nvme_dmabuf_attach),
		.fill = fill_attach,
		.done = done_attach,
		.flags = NVME_DMABUF_ATTACH_REQUIRE_P2P | NVME_DMABUF_ATTACH_AUTO_REFRESH |
			 NVME_DMABUF_ATTACH_DEFER,
		.zero = { MEMBER(nvme_dmabuf_attach, flags), MEMBER(nvme_dmabuf_attach, reserved) },
		.outputs = { MEMBER(nvme_dmabuf_attach, out_map),
			     MEMBER(nvme_dmabuf_attach, out_reason) },
		.reason = offsetof(struct nvme_dmabuf_attach, out_reason),
	},
	{
		.name = "DETACH",
		.request = NVME_DMABUF_IOC_DETACH,
		.size = sizeof(struct nvme_dmabuf_detach),
		.fill = fill_detach,
		.done = done_detach,
		.zero = { MEMBER(nvme_dmabuf_detach, flags), MEMBER(nvme_dmabuf_detach, reserved) },
	},
	{
		.name = "MAP_INFO",
		.request = NVME_DMABUF_IOC_MAP_INFO,
		.size = sizeof(struct nvme_dmabuf_map_info),
		.first_size = 88,
		.fill = fill_map_info,
		.zero = { MEMBER(nvme_dmabuf_map_info, flags) },
		.outputs = { MEMBER(nvme_dmabuf_map_info, out_state),
			     MEMBER(nvme_dmabuf_map_info, out_offset),
			     MEMBER(nvme_dmabuf_map_info, out_length),
			     MEMBER(nvme_dmabuf_map_info, out_segments),
			     MEMBER(nvme_dmabuf_map_info, out_list_bytes),
			     MEMBER(nvme_dmabuf_map_info, out_generation),
			     MEMBER(nvme_dmabuf_map_info, out_access),
			     MEMBER(nvme_dmabuf_map_info, out_flags),
			     MEMBER(nvme_dmabuf_map_info, out_block_size),
			     MEMBER(nvme_dmabuf_map_info, out_max_command),
			     MEMBER(nvme_dmabuf_map_info, out_nsid),
			     MEMBER(nvme_dmabuf_map_info, out_pci_domain),
			     MEMBER(nvme_dmabuf_map_info, out_pci_bdf),
			     MEMBER(nvme_dmabuf_map_info, out_reserved),
			     MEMBER(nvme_dmabuf_map_info, out_extents),
			     MEMBER(nvme_dmabuf_map_info, out_blocks),
			     MEMBER(nvme_dmabuf_map_info, out_file_bytes) },
	},
	{
		.name = "PLACEMENT",
		.request = NVME_DMABUF_IOC_PLACEMENT,
		.size = sizeof(struct nvme_dmabuf_placement),
		.fill = fill_placement,
		.zero = { MEMBER(nvme_dmabuf_placement, flags) },
		.outputs = { MEMBER(nvme_dmabuf_placement, out_count),
			     MEMBER(nvme_dmabuf_placement, out_reserved) },
	},
	{
		.name = "SUBMIT",
		.request = NVME_DMABUF_IOC_SUBMIT,
		.size = sizeof(struct nvme_dmabuf_submit),
		.fill = fill_submit,
		.flags = NVME_DMABUF_SUBMIT_IMPLICIT_SYNC | NVME_DMABUF_SUBMIT_IN_FENCE |
			 NVME_DMABUF_SUBMIT_OUT_FENCE,
		.zero = { MEMBER(nvme_dmabuf_submit, flags),
			  MEMBER(nvme_dmabuf_submit, in_fence_fd) },
		.outputs = { MEMBER(nvme_dmabuf_submit, out_completed),
			     MEMBER(nvme_dmabuf_submit, out_fence_fd) },
	},
	{
		.name = "REFRESH",
		.request = NVME_DMABUF_IOC_REFRESH,
		.size = sizeof(struct nvme_dmabuf_refresh),
		.first_size = 24,
		.fill = fill_refresh,
		.zero = { MEMBER(nvme_dmabuf_refresh, flags) },
		.outputs = { MEMBER(nvme_dmabuf_refresh, out_reason),
			     MEMBER(nvme_dmabuf_refresh, out_generation),
			     MEMBER(nvme_dmabuf_refresh, out_block_size),
			     MEMBER(nvme_dmabuf_refresh, out_reserved) },
		.reason = offsetof(struct nvme_dmabuf_refresh, out_reason),
	},
	{
		.name = "EVENTS",
		.request = NVME_DMABUF_IOC_EVENTS,
		.size = sizeof(struct nvme_dmabuf_events),
		.fill = fill_events,
		.zero = { MEMBER(nvme_dmabuf_events, flags) },
		.outputs = { MEMBER(nvme_dmabuf_events, out_count) },
	},
	{
		.name = "PEER_INFO",
		.request = NVME_DMABUF_IOC_PEER_INFO,
		.size = sizeof(struct nvme_dmabuf_peer_info),
		.fill = fill_peer_info,
		.zero = { MEMBER(nvme_dmabuf_peer_info, flags) },
		.outputs = { MEMBER(nvme_dmabuf_peer_info, out_reason),
			     MEMBER(nvme_dmabuf_peer_info, out_distance),
			     MEMBER(nvme_dmabuf_peer_info, out_flags) },
		.reason = offsetof(struct nvme_dmabuf_peer_info, out_reason),
	},
	{
		.name = "QUEUE",
		.request = NVME_DMABUF_IOC_QUEUE,
		.size = sizeof(struct nvme_dmabuf_queue),
		.fill = fill_queue,
		.done = done_queue,
		.flags = NVME_DMABUF_QUEUE_POLLED | NVME_DMABUF_QUEUE_EVENTFD,
		.zero = { MEMBER(nvme_dmabuf_queue, flags), MEMBER(nvme_dmabuf_queue, event_fd) },
		.outputs = { MEMBER(nvme_dmabuf_queue, out_queue_fd),
			     MEMBER(nvme_dmabuf_queue, out_ring_entries),
			     MEMBER(nvme_dmabuf_queue, out_ring_bytes) },
	},
	{
		.name = "EXPORT",
		.request = NVME_DMABUF_IOC_EXPORT,
		.size = sizeof(struct nvme_dmabuf_export),
		.fill = fill_export,
		.done = done_export,
		.zero = { MEMBER(nvme_dmabuf_export, flags), MEMBER(nvme_dmabuf_export, reserved) },
		.outputs = { MEMBER(nvme_dmabuf_export, out_dmabuf_fd),
			     MEMBER(nvme_dmabuf_export, out_reason) },
		.reason = offsetof(struct nvme_dmabuf_export, out_reason),
	},
	{
		.name = "ENTER",
		.request = NVME_DMABUF_IOC_ENTER,
		.size = sizeof(struct nvme_dmabuf_enter),
		.first_size = NVME_DMABUF_ENTER_SIZE_VER0,
		.fill = fill_enter,
		.done = done_enter,
		.flags = NVME_DMABUF_ENTER_NOWAIT | NVME_DMABUF_ENTER_IN_FENCE |
			 NVME_DMABUF_ENTER_OUT_FENCE,
		.zero = { MEMBER(nvme_dmabuf_enter, flags),
			  MEMBER(nvme_dmabuf_enter, in_fence_fd) },
		.outputs = { MEMBER(nvme_dmabuf_enter, out_submitted),
			     MEMBER(nvme_dmabuf_enter, out_completed),
			     MEMBER(nvme_dmabuf_enter, out_fence_fd) },
		.of_queue = true,
	},
};

static void fill(const struct call *call, struct fixture *f, union call_args *args)
{
	memset(args, 0, sizeof(*args));
	args->size = call->size;
	call->fill(f, args);
}

static int invoke(const struct call *call, struct fixture *f, void *args)
{
	int result = ioctl(call_file(f, call), call->request, args) ? -errno : 0;

	if (!result && call->done)
		call->done(f, args);
	return result;
}

static void expect(const struct call *call, struct fixture *f, void *args, int expected,
		   const char *what, unsigned long long which)
{
	int result = invoke(call, f, args);

	check_that(result == expected, "%s, %s %llu: %s, not %s", call->name, what, which,
		   result ? strerrorname_np(-result) : "success",
		   expected ? strerrorname_np(-expected) : "success");
}

/* Of the first version on; what is left out comes back as if it were not there. */
static void sizes(const void *arg)
{
	const struct call *call = arg;
	struct fixture f;
	union call_args args;

	fixture_open(&f);
	for (uint32_t size = 0; size < call->size; size++) {
		bool known = call->first_size && size >= call->first_size;

		fill(call, &f, &args);
		args.size = size;
		expect(call, &f, &args, known ? 0 : -EINVAL, "size", size);
	}
	/* In large steps where the call succeeds: some take long. */
	for (uint32_t size = call->size; size < sizeof(args); size += 21) {
		fill(call, &f, &args);
		args.size = size;
		expect(call, &f, &args, 0, "size with a tail of zeros", size);
		/* Behind the size given, there may be anything. */
		fill(call, &f, &args);
		args.size = size;
		args.bytes[size] = 1;
		expect(call, &f, &args, 0, "byte set behind the tail:", size);
	}
	for (uint32_t i = call->size; i < sizeof(args); i++) {
		fill(call, &f, &args);
		args.size = sizeof(args);
		args.bytes[i] = 1;
		expect(call, &f, &args, -E2BIG, "byte set in the tail:", i);
	}
	allow_read(&f);
	intact(&f);
}

/* Sizes that no structure has: not followed to the end of the address space. */
static void absurd_sizes(const void *arg)
{
	static const uint32_t absurd[] = { 1 << 20, 0x7fffffff, 0x80000000, 0xfffffff8,
					   0xffffffff };
	const struct call *call = arg;
	union call_args *args = pages_alloc(2 * PAGE);
	struct fixture f;
	int result;

	fixture_open(&f);
	for (size_t i = 0; i < ARRAY_SIZE(absurd); i++) {
		fill(call, &f, args);
		args->size = absurd[i];
		result = invoke(call, &f, args);
		check_that(result == -E2BIG || result == -EFAULT, "size %#x: %d", absurd[i],
			   result);
	}
	allow_read(&f);
	intact(&f);
}

static void reserved_bits(const void *arg)
{
	const struct call *call = arg;
	struct fixture f;
	union call_args args;

	fixture_open(&f);
	for (const struct member *m = call->zero; m < call->zero + 2 && m->size; m++)
		for (size_t bit = 0; bit < m->size * 8; bit++) {
			if (m == call->zero && call->flags >> bit & 1)
				continue;
			fill(call, &f, &args);
			args.bytes[m->offset + bit / 8] |= 1 << bit % 8;
			if (call->reason)
				memset(args.bytes + call->reason, 0xff, 4);
			expect(call, &f, &args, -EINVAL,
			       "bit set that must be zero:", m->offset * 8 + bit);
			if (call->reason)
				check_eq(*(uint32_t *)(args.bytes + call->reason),
					 NVME_DMABUF_REASON_RESERVED);
		}
	intact(&f);
}

/* What stood in outputs is ignored, and every byte of them is written. */
static void outputs(const void *arg)
{
	const struct call *call = arg;
	union call_args first, second;
	struct fixture f;

	fixture_open(&f);
	fill(call, &f, &first);
	fill(call, &f, &second);
	for (const struct member *m = call->outputs; m < call->outputs + 16 && m->size; m++) {
		memset(first.bytes + m->offset, 0xff, m->size);
		memset(second.bytes + m->offset, 0x55, m->size);
	}
	expect(call, &f, &first, 0, "outputs of", 0xff);
	/* DETACH removed its map. */
	if (call->request == NVME_DMABUF_IOC_DETACH)
		fill(call, &f, &second);
	expect(call, &f, &second, 0, "outputs of", 0x55);
	if (call->request == NVME_DMABUF_IOC_ATTACH)
		second.attach.out_map = first.attach.out_map; /* may differ */
	if (call->request != NVME_DMABUF_IOC_DETACH)
		check_eq(memcmp(&first, &second, call->size), 0);
	allow_read(&f);
	intact(&f);
}

/* Two pages, of which the second one cannot be touched. */
static uint8_t *page_before_hole(int protection)
{
	uint8_t *pages = pages_alloc(2 * PAGE);

	check_sys(mprotect(pages + PAGE, PAGE, protection));
	return pages;
}

static void missing_memory(const void *arg)
{
	const struct call *call = arg;
	uint8_t *page = page_before_hole(PROT_NONE), *readonly;
	struct fixture f;
	union call_args args;

	fixture_open(&f);
	expect(call, &f, NULL, -EFAULT, "address", 0);
	expect(call, &f, page + PAGE, -EFAULT, "inaccessible", 0);
	expect(call, &f, (void *)-4096L, -EFAULT, "kernel address", 0);
	for (size_t there = 1; there < call->size; there++) {
		fill(call, &f, &args);
		memcpy(page + PAGE - there, &args, there);
		expect(call, &f, page + PAGE - there, -EFAULT, "bytes accessible:", there);
	}
	intact(&f);
	fill(call, &f, &args);
	memcpy(page + PAGE - call->size, &args, call->size);
	expect(call, &f, page + PAGE - call->size, 0, "bytes accessible:", call->size);
	allow_read(&f);
	intact(&f);

	/* Inputs can be read, outputs cannot be written. */
	if (!call->outputs[0].size)
		return;
	readonly = pages_alloc(PAGE);
	fill(call, &f, (union call_args *)readonly);
	check_sys(mprotect(readonly, PAGE, PROT_READ));
	expect(call, &f, readonly, -EFAULT, "read-only outputs", 0);
	allow_read(&f);
	intact(&f);
}

/* On the kind of file that takes the call given. */
static void unknown_calls(const void *arg)
{
	static const unsigned int directions[] = { _IOC_NONE, _IOC_READ, _IOC_WRITE,
						   _IOC_READ | _IOC_WRITE };
	static const unsigned int types[] = { NVME_DMABUF_IOC_TYPE, NVME_DMABUF_IOC_TYPE - 1, 'N',
					      0x12, 0 };
	const struct call *call = arg;
	struct fixture f;
	union call_args args;
	int fd;

	fixture_open(&f);
	fd = call_file(&f, call);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		for (size_t j = 0; j < ARRAY_SIZE(directions); j++)
			for (unsigned int nr = 0; nr < 256; nr++)
				for (unsigned int size = 0; size <= 64; size += 32) {
					unsigned int request =
						_IOC(directions[j], types[i], nr, size);
					bool known = false;

					for (size_t k = 0; k < ARRAY_SIZE(calls); k++)
						known |= request == calls[k].request &&
							 calls[k].of_queue == call->of_queue;
					/* What the VFS answers itself, as FIOCLEX. */
					if (known || types[i] == 'f' || types[i] == 'T' ||
					    request == _IO(0, 1) || request == _IO(0, 2))
						continue;
					memset(&args, 0, sizeof(args));
					args.size = 64;
					if (!ioctl(fd, request, &args) || errno != ENOTTY)
						fail("request %#x: %m", request);
				}
	intact(&f);
}

static void map_numbers(const void *arg)
{
	uint32_t numbers[5];
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvmedmabuf *other;
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	other = ctx_open();
	numbers[0] = 0;
	numbers[1] = ~0U;
	numbers[2] = 0x80000000;
	/* One that was there. */
	numbers[3] = attach(f.rig.ctx, f.rig.buffer.fd, f.rig.drive.fd, 0, PAGE,
			    NVME_DMABUF_ACCESS_READ);
	check_eq(nvmedmabuf_detach(f.rig.ctx, numbers[3]), 0);
	/* One of another context: more are made there, so it is none of ours. */
	for (int i = 0; i < 8; i++)
		numbers[4] = attach(other, f.rig.buffer.fd, f.rig.drive.fd, 0, PAGE,
				    NVME_DMABUF_ACCESS_READ);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct nvme_dmabuf_completion c = { 0 };

		check_eq(nvmedmabuf_detach(f.rig.ctx, numbers[i]), -ENOENT);
		check_eq(nvmedmabuf_get_map_info(f.rig.ctx, numbers[i], &info), -ENOENT);
		check_eq(nvmedmabuf_get_placement(f.rig.ctx, numbers[i], NULL, 0), -ENOENT);
		check_eq(nvmedmabuf_read(f.rig.ctx, numbers[i], 0, f.rig.drive.block, f.rig.first,
					 &c),
			 -ENOENT);
		check_eq(c.reason, NVME_DMABUF_REASON_NO_MAP);
	}
	/* ... and there it still is. */
	check_eq(nvmedmabuf_get_map_info(other, numbers[4], &info), 0);
	intact(&f);
}

static void placement_memory(const void *arg)
{
	uint8_t *page = page_before_hole(PROT_NONE);
	struct nvme_dmabuf_placement args;
	struct fixture f;
	uint64_t bad[] = { 0, (uintptr_t)(page + PAGE), (uintptr_t)(page + PAGE - 8), -4096ULL };

	(void)arg;
	fixture_open(&f);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		args = (struct nvme_dmabuf_placement){
			.size = sizeof(args), .map = f.rig.map, .count = 1, .runs = bad[i]
		};
		check_eq(ioctl(f.fd, NVME_DMABUF_IOC_PLACEMENT, &args) ? errno : 0, EFAULT);
	}
	/* No room asked for, so none is needed. */
	args = (struct nvme_dmabuf_placement){ .size = sizeof(args), .map = f.rig.map };
	check_eq(ioctl(f.fd, NVME_DMABUF_IOC_PLACEMENT, &args), 0);
	check(args.out_count >= 1);
	intact(&f);
}

void errors_add_calls(void)
{
	tap_add(unknown_calls, &calls[0], "unknown calls");
	tap_add(unknown_calls, &calls[ARRAY_SIZE(calls) - 1], "unknown calls on a queue");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];

		tap_add(sizes, call, "%s: sizes and tails", call->name);
		tap_add(absurd_sizes, call, "%s: absurd sizes", call->name);
		tap_add(reserved_bits, call, "%s: each reserved bit", call->name);
		tap_add(outputs, call, "%s: outputs", call->name);
		tap_add(missing_memory, call, "%s: missing memory", call->name);
	}
	tap_add(map_numbers, NULL, "numbers of maps");
	tap_add(placement_memory, NULL, "PLACEMENT: missing memory for runs");
}
