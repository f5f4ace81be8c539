// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs of the test exporter, and a namespace to exchange data with. See
 * exported.h.
 */
#define _GNU_SOURCE
#include "exported.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How far around a transfer to look for damage each time. */
#define GUARD PAGE

/* A move takes no longer than the commands in flight, or not much. */
#define MOVE_LIMIT_US (30 * 1000000ULL)

static int exporter_open(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open(EXPORTER_DEVICE, O_RDWR | O_CLOEXEC);
	return fd;
}

void require_exporter(void)
{
	if (exporter_open() < 0)
		tap_skip_all("%s: %m; is the test exporter loaded?", EXPORTER_DEVICE);
}

bool kernel_is_movable(void)
{
	struct nvmedmabuf *ctx = ctx_open();
	struct nvme_dmabuf_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_info(ctx, &info), 0);
	nvmedmabuf_close(ctx);
	return info.out_features & NVME_DMABUF_FEATURE_MOVABLE;
}

/* /proc shows a system call's number and arguments only while it sleeps. */
bool is_in_call(pid_t thread, unsigned long request)
{
	unsigned long number, fd, actual;
	char path[64];
	bool found;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", thread);
	f = fopen(path, "r");
	if (!f)
		return false;
	found = fscanf(f, "%lu %lx %lx", &number, &fd, &actual) == 3 && number == SYS_ioctl &&
		actual == request;
	fclose(f);
	return found;
}

bool stays_in_call(pid_t thread, unsigned long request)
{
	for (int i = 0; i < 100; i++) {
		if (!is_in_call(thread, request))
			return false;
		pause_ms();
	}
	return true;
}

static int call(unsigned long request, void *args)
{
	int result = ioctl(exporter_open(), request, args);

	return result < 0 ? -errno : result;
}

int exported_try(struct exported *b, struct exporter_create create,
		 const struct exporter_segment *segments, uint32_t count)
{
	bool aliases = false;
	uint8_t *content;

	memset(b, 0, sizeof(*b));
	for (uint32_t i = 0; i < count; i++) {
		b->bytes += segments[i].length;
		aliases |= segments[i].flags & EXPORTER_SEGMENT_ALIAS;
	}
	b->size = create.size ? create.size : b->bytes;
	b->dynamic = create.flags & EXPORTER_DYNAMIC;

	create.size = b->size;
	create.segments = (uintptr_t)segments;
	create.count = count;
	b->fd = call(EXPORTER_IOC_CREATE, &create);
	if (b->fd < 0)
		return b->fd;
	if (aliases)
		return 0;

	content = pages_alloc(b->bytes);
	b->mirror = pages_alloc(b->bytes);
	rnd_fill(content, b->bytes);
	exported_write(b, 0, content, b->bytes);
	munmap(content, b->bytes);
	return 0;
}

void exported_create(struct exported *b, const struct exporter_segment *segments, uint32_t count,
		     uint32_t flags)
{
	struct exporter_create create = { .flags = flags, .open_flags = O_RDWR };
	int result = exported_try(b, create, segments, count);

	if (result == -ENOMEM)
		skip("not enough memory for %llu bytes", (unsigned long long)b->size);
	check_that(!result, "the exporter makes no such dma-buf: %s", strerror(-result));
}

void exported_create_pages(struct exported *b, uint64_t size, uint32_t flags)
{
	uint32_t count = 0, limit = size / PAGE;
	struct exporter_segment *segments = calloc(limit, sizeof(*segments));

	check(segments);
	while (size) {
		uint64_t length = min_u64(size, (1 + rnd_below(16)) * PAGE);

		segments[count++].length = length;
		size -= length;
	}
	exported_create(b, segments, count, flags);
	free(segments);
}

#define BAR 2

static struct pci_address bar_device(void)
{
	struct pci_address address;

	if (!pci_find(0x1af4, 0x1110, 0, &address))
		skip("no ivshmem device here");
	return address;
}

void check_in_bar(const struct nvme_dmabuf_placement_run *run)
{
	struct pci_address address = bar_device();

	check_eq(run->kind, NVME_DMABUF_PLACEMENT_PCI);
	check_eq(run->pci_domain, address.domain);
	check_eq(run->pci_bdf, address.bdf);
	check_eq(run->bar, BAR);
	check_eq(run->reserved, 0);
}

static void create_of_bar(struct exported *b, const struct exporter_segment *segments,
			  uint32_t count, uint32_t flags)
{
	struct pci_address address = bar_device();
	struct exporter_create create = {
		.flags = flags | EXPORTER_BAR,
		.open_flags = O_RDWR,
		.pci_domain = address.domain,
		.pci_bdf = address.bdf,
		.bar = BAR,
	};
	int result = exported_try(b, create, segments, count);

	check_that(!result, "no dma-buf of a BAR: %s", strerror(-result));
}

void exported_create_bar(struct exported *b, uint64_t size, uint32_t flags)
{
	/* Pieces of the BAR, not in its order. */
	struct exporter_segment segments[] = {
		{ .offset = size / 2, .length = size / 2 },
		{ .offset = 0, .length = size / 4 },
		{ .offset = size / 4 + PAGE, .length = PAGE },
	};

	create_of_bar(b, segments, ARRAY_SIZE(segments), flags);
}

void exported_create_mixed(struct exported *b, const uint64_t *lengths, uint32_t count,
			   uint32_t flags)
{
	struct exporter_segment segments[count];

	for (uint32_t i = 0; i < count; i++)
		segments[i] = (struct exporter_segment){
			.offset = i % 2 ? 0 : i * MIB,
			.length = lengths[i],
			.flags = i % 2 ? EXPORTER_SEGMENT_HOST : 0,
		};
	create_of_bar(b, segments, count, flags);
}

void exported_close(struct exported *b)
{
	check_sys(close(b->fd));
	if (b->mirror)
		munmap(b->mirror, b->bytes);
}

static void access_content(const struct exported *b, unsigned long request, uint64_t offset,
			   void *data, uint64_t length)
{
	struct exporter_io io = {
		.dmabuf_fd = b->fd,
		.offset = offset,
		.length = length,
		.data = (uintptr_t)data,
	};
	int result;

	/* What io_uring leaves to be done in this thread interrupts like a signal. */
	do
		result = call(request, &io);
	while (result == -EINTR);
	check_eq(result, 0);
}

void exported_read(const struct exported *b, uint64_t offset, void *to, uint64_t length)
{
	access_content(b, EXPORTER_IOC_READ, offset, to, length);
}

void exported_write(struct exported *b, uint64_t offset, const void *from, uint64_t length)
{
	access_content(b, EXPORTER_IOC_WRITE, offset, (void *)from, length);
	if (b->mirror)
		memcpy(b->mirror + offset, from, length);
}

static void verify_content(const struct exported *b, uint64_t start, uint64_t end)
{
	uint8_t *actual = pages_alloc(end - start);

	exported_read(b, start, actual, end - start);
	compare("dma-buf", actual, b->mirror + start, end - start, start);
	munmap(actual, end - start);
}

struct exporter_query exported_damage(const struct exported *b)
{
	struct exporter_query query = {
		.dmabuf_fd = b->fd,
		.flags = EXPORTER_QUERY_DAMAGE | EXPORTER_QUERY_FORGET,
	};

	check_eq(call(EXPORTER_IOC_QUERY, &query), 0);
	return query;
}

void exported_check_damage(const struct exported *b)
{
	struct exporter_query query = exported_damage(b);

	check_eq(query.out_guard_damage, 0);
	check_eq(query.out_old_damage, 0);
}

void exported_verify(const struct exported *b)
{
	exported_check_damage(b);
	verify_content(b, 0, b->bytes);
}

int exported_move(const struct exported *b, uint32_t flags, struct exporter_move *result)
{
	struct exporter_move move = { .dmabuf_fd = b->fd, .flags = flags, .timeout_ms = 60000 };
	int error = call(EXPORTER_IOC_MOVE, &move);

	if (result)
		*result = move;
	return error;
}

void check_moved(const struct exporter_move *move)
{
	check_eq(move->out_left, 0);
	check_eq(move->out_held, 0);
	check_that(move->out_notify_us + move->out_fence_us + move->out_unmap_us < MOVE_LIMIT_US,
		   "moving took %llu + %llu + %llu us", (unsigned long long)move->out_notify_us,
		   (unsigned long long)move->out_fence_us, (unsigned long long)move->out_unmap_us);
}

void exported_fail(const struct exported *b, uint32_t what, uint32_t error, uint32_t count)
{
	struct exporter_fail fail = {
		.dmabuf_fd = b->fd,
		.call = what,
		.error = error,
		.count = count,
	};

	check_eq(call(EXPORTER_IOC_FAIL, &fail), 0);
}

void exported_fence(const struct exported *b, uint32_t usage, uint32_t timeout_ms)
{
	struct exporter_fence fence = {
		.dmabuf_fd = b->fd,
		.usage = usage,
		.timeout_ms = timeout_ms,
	};

	check_eq(call(EXPORTER_IOC_FENCE, &fence), 0);
}

void exported_fence_on_map(const struct exported *b)
{
	struct exporter_fence fence = {
		.dmabuf_fd = b->fd,
		.usage = EXPORTER_FENCE_KERNEL,
		.flags = EXPORTER_FENCE_ON_MAP,
	};

	check_eq(call(EXPORTER_IOC_FENCE, &fence), 0);
}

void exported_signal(const struct exported *b)
{
	struct exporter_fence fence = { .dmabuf_fd = b->fd };

	check_eq(call(EXPORTER_IOC_SIGNAL, &fence), 0);
}

void namespace_hold(const struct drive *drive, uint32_t flags)
{
	struct exporter_hold hold = { .ns_fd = drive->fd, .flags = flags };

	check_eq(call(EXPORTER_IOC_HOLD, &hold), 0);
}

void exported_lock(const struct exported *b, uint32_t ms)
{
	struct exporter_fence args = { .dmabuf_fd = b->fd, .timeout_ms = ms };

	check_eq(call(EXPORTER_IOC_LOCK, &args), 0);
}

struct exporter_query exported_query(const struct exported *b)
{
	struct exporter_query query = { .dmabuf_fd = b->fd };

	check_eq(call(EXPORTER_IOC_QUERY, &query), 0);
	return query;
}

void check_unused(const struct exported *b)
{
	struct exporter_query query = exported_query(b);

	check_eq(query.out_attached, 0);
	check_eq(query.out_mapped, 0);
	check_eq(query.out_held, 0);
	check_eq(query.out_pins, 0);
	check_eq(query.out_maps, query.out_unmaps);
}

void wire_open(struct wire *w, const char *path, uint64_t bytes)
{
	w->ctx = ctx_open();
	drive_open(&w->drive, path);
	w->count = bytes / w->drive.block;
	check(w->count && w->count <= w->drive.blocks);
	w->first = rnd_below(w->drive.blocks - w->count + 1);
	w->disk = pages_alloc(bytes);
	w->queue = NULL;
	if (may_erase()) {
		rnd_fill(w->disk, bytes);
		drive_write(&w->drive, w->first, w->disk, bytes);
	} else {
		drive_read(&w->drive, w->first, w->disk, bytes);
	}
}

void wire_close(struct wire *w)
{
	nvmedmabuf_queue_free(w->queue);
	nvmedmabuf_close(w->ctx);
	munmap(w->disk, w->count * w->drive.block);
	drive_close(&w->drive);
}

int wire_attach(struct wire *w, const struct exported *b, uint64_t start, uint64_t length,
		uint32_t *map, uint32_t *reason)
{
	*map = 0;
	*reason = ~0U;
	return attach_to(w->ctx, b->fd, w->drive.fd, start, length, rig_access(), 0, map, reason);
}

/* Unlike what is there, wherever it is needed that a transfer changes something. */
static void make_different(struct exported *b, uint64_t offset, uint64_t length)
{
	uint8_t *noise = pages_alloc(length);

	rnd_fill(noise, length);
	exported_write(b, offset, noise, length);
	munmap(noise, length);
}

/* These blocks of the window, and some around them. */
static void verify_disk(const struct wire *w, uint64_t first, uint64_t count)
{
	uint64_t before = min_u64(first, 8), last = min_u64(first + count + 8, w->count);
	uint64_t bytes = (last - (first - before)) * w->drive.block;
	uint8_t *actual = pages_alloc(bytes);

	first -= before;
	drive_read(&w->drive, w->first + first, actual, bytes);
	compare("namespace", actual, w->disk + first * w->drive.block, bytes,
		(w->first + first) * w->drive.block);
	munmap(actual, bytes);
}

static void submit(struct wire *w, const struct nvme_dmabuf_command *command,
		   struct nvme_dmabuf_completion *c)
{
	if (!w->queue) {
		check_eq(nvmedmabuf_submit(w->ctx, command, c, 1), 1);
		return;
	}
	*nvmedmabuf_queue_get(w->queue) = *command;
	check_eq(nvmedmabuf_queue_submit(w->queue, 1, 0), 1);
	check_eq(nvmedmabuf_queue_reap(w->queue, c, 1), 1);
}

void wire_transfer(struct wire *w, struct exported *b, uint64_t start,
		   struct nvme_dmabuf_command command)
{
	uint64_t from = start + command.offset, to = from + command.length;
	uint8_t *disk = w->disk + (command.slba - w->first) * w->drive.block;
	struct nvme_dmabuf_completion c;

	make_different(b, from, command.length);
	memset(&c, 0xa5, sizeof(c));
	submit(w, &command, &c);
	check_that(
		!c.error && !c.status && c.bytes == command.length,
		"opcode %u at offset %#llx, length %#llx: error %d, status %#x, reason %s, bytes %#llx",
		command.opcode, (unsigned long long)command.offset,
		(unsigned long long)command.length, c.error, c.status,
		nvmedmabuf_reason_name(c.reason), (unsigned long long)c.bytes);
	if (command.opcode == NVME_DMABUF_OP_WRITE) {
		memcpy(disk, b->mirror + from, command.length);
		verify_disk(w, command.slba - w->first, command.length / w->drive.block);
	} else {
		memcpy(b->mirror + from, disk, command.length);
	}
	verify_content(b, from - min_u64(from, GUARD), min_u64(to + GUARD, b->bytes));
}

static void transfer_at(struct wire *w, struct exported *b, uint32_t map, uint64_t start,
			uint64_t offset, uint64_t blocks)
{
	struct nvme_dmabuf_command command;
	uint64_t slba = w->first + rnd_below(w->count - blocks + 1);

	nvmedmabuf_prep_read(&command, map, offset, blocks * w->drive.block, slba);
	wire_transfer(w, b, start, command);
	if (!may_erase())
		return;
	slba = w->first + rnd_below(w->count - blocks + 1);
	nvmedmabuf_prep_write(&command, map, offset, blocks * w->drive.block, slba);
	wire_transfer(w, b, start, command);
}

void wire_transfers(struct wire *w, struct exported *b, uint32_t map, uint64_t start,
		    uint64_t length, uint64_t edge, unsigned int random)
{
	uint64_t block = w->drive.block, most = min_u64(length / block, w->count);

	if (!most)
		return;
	most = min_u64(most, 64 * KIB / block);
	transfer_at(w, b, map, start, 0, most);
	transfer_at(w, b, map, start, (length - most * block) & ~3ULL, most);
	for (; random; random--) {
		uint64_t blocks = 1 + rnd_below(most), room = length - blocks * block;
		uint64_t offset = rnd_below(room / 4 + 1) * 4;

		/* Two of three lie across the edge, if they can. */
		if (random % 3) {
			offset = edge - min_u64(edge, rnd_below(blocks * block));
			offset = min_u64(offset, room) & ~3ULL;
		}
		transfer_at(w, b, map, start, offset, blocks);
	}
}

static void *attacher_run(void *arg)
{
	struct attacher *a = arg;

	a->thread = gettid();
	a->result = wire_attach(a->w, a->b, 0, a->b->bytes, &a->map, &a->reason);
	return NULL;
}

void attacher_start(struct attacher *a, struct wire *w, struct exported *b)
{
	*a = (struct attacher){ .w = w, .b = b };
	check_eq(pthread_create(&a->handle, NULL, attacher_run, a), 0);
	wait_until(a->thread && stays_in_call(a->thread, NVME_DMABUF_IOC_ATTACH));
}

void attacher_join(struct attacher *a)
{
	check_eq(pthread_join(a->handle, NULL), 0);
}
