// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers with a witness. See rig.h.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* How far around a transfer to look for damage each time. */
#define GUARD (2 * PAGE)

struct nvmedmabuf *ctx_open(void)
{
	struct nvmedmabuf *ctx;
	int result = nvmedmabuf_open(&ctx);

	check_that(!result, "%s: %s", DEVICE, strerror(-result));
	return ctx;
}

uint32_t attach(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd, uint64_t offset, uint64_t length,
		uint32_t access)
{
	uint32_t map = 0, reason = ~0U;
	int result = attach_to(ctx, dmabuf_fd, ns_fd, offset, length, access, 0, &map, &reason);

	check_that(!result, "attach of %#llx+%#llx refused: %s, %s", (unsigned long long)offset,
		   (unsigned long long)length, strerror(-result), nvmedmabuf_reason_name(reason));
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	check(map);
	return map;
}

void rig_open(struct rig *rig, const char *path, const struct exporter *exporter, uint64_t size,
	      uint64_t window)
{
	struct buffer buffer;

	buffer_alloc(&buffer, exporter, size);
	rig_open_buffer(rig, path, &buffer, window);
}

void rig_open_buffer(struct rig *rig, const char *path, const struct buffer *buffer,
		     uint64_t window)
{
	uint64_t count;

	memset(rig, 0, sizeof(*rig));
	drive_open(&rig->drive, path);
	rig->ctx = ctx_open();
	rig->buffer = *buffer;

	rig->mirror = pages_alloc(rig->buffer.size);
	rnd_fill(rig->mirror, rig->buffer.size);
	buffer_begin_cpu(&rig->buffer);
	memcpy(rig->buffer.addr, rig->mirror, rig->buffer.size);
	buffer_end_cpu(&rig->buffer);

	count = min_u64(window / rig->drive.block, rig->drive.blocks);
	if (count)
		rig_window(rig, rnd_below(rig->drive.blocks - count + 1), count, count);
}

void rig_window(struct rig *rig, uint64_t first, uint64_t count, uint64_t filled)
{
	uint64_t bytes = filled * rig->drive.block;

	if (rig->disk)
		munmap(rig->disk, rig->count * rig->drive.block);
	rig->first = first;
	rig->count = count;
	rig->disk = pages_alloc(count * rig->drive.block);
	if (!may_erase()) {
		drive_read(&rig->drive, first, rig->disk, bytes);
		return;
	}
	rnd_fill(rig->disk, bytes);
	drive_write(&rig->drive, first, rig->disk, bytes);
}

void rig_attach(struct rig *rig, uint64_t start, uint64_t length, uint32_t access)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	rig->map = attach(rig->ctx, rig->buffer.fd, rig->drive.fd, start, length, access);
	rig->start = start;
	rig->length = length;

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_offset, start);
	check_eq(info.out_length, length);
	check_eq(info.out_access, access);
	check_eq(info.out_block_size, rig->drive.block);
	check_eq(info.out_generation, 1);
	check_eq(info.out_reserved, 0);
	check(info.out_max_command >= rig->drive.block);
	check(info.out_segments >= 1 && info.out_segments <= length / PAGE + 2);
	check_eq(!!(info.out_flags & NVME_DMABUF_MAP_CONTIGUOUS), info.out_segments == 1);
	rig->max_command = info.out_max_command;
}

void rig_attach_all(struct rig *rig)
{
	rig_attach(rig, 0, rig->buffer.size, rig_access());
}

void rig_detach(struct rig *rig)
{
	check_eq(nvmedmabuf_detach(rig->ctx, rig->map), 0);
	rig->map = 0;
}

/* Marks every 512 bytes with a number that was never used before. */
static void stamp(uint8_t *data, uint64_t length)
{
	static uint64_t serial;

	for (uint64_t i = 0; i + sizeof(serial) <= length; i += 512) {
		uint64_t number = __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED);
		uint64_t mark = number * 0x9e3779b97f4a7c15ULL;

		memcpy(data + i, &mark, sizeof(mark));
	}
}

void rig_prepare_one(struct rig *rig, const struct nvme_dmabuf_command *command)
{
	uint64_t start = rig->start + command->offset, length = command->length;
	uint8_t *memory = rig->mirror + start;
	uint8_t *disk = rig->disk + (command->slba - rig->first) * rig->drive.block;

	check(start + length <= rig->start + rig->length);
	check(command->slba >= rig->first);
	check(command->slba + length / rig->drive.block <= rig->first + rig->count);

	if (command->opcode == NVME_DMABUF_OP_WRITE) {
		stamp(memory, length);
		memcpy(rig->buffer.addr + start, memory, length);
		memcpy(disk, memory, length);
	} else {
		memset(rig->buffer.addr + start, (int)rnd(), length);
		memcpy(memory, disk, length);
	}
}

/* An exporter may look at each page of the buffer when the CPU begins, and ends. */
void rig_prepare(struct rig *rig, const struct nvme_dmabuf_command *commands, unsigned int count)
{
	buffer_begin_cpu(&rig->buffer);
	for (unsigned int i = 0; i < count; i++)
		rig_prepare_one(rig, &commands[i]);
	buffer_end_cpu(&rig->buffer);
}

void rig_submit(struct rig *rig, struct nvme_dmabuf_command *commands, uint32_t count)
{
	struct nvme_dmabuf_completion *completions = calloc(count, sizeof(*completions));
	struct nvme_dmabuf_submit submit = {
		.size = sizeof(submit),
		.commands = (uintptr_t)commands,
		.completions = (uintptr_t)completions,
		.count = count,
		.out_completed = ~0U,
	};

	check(completions);
	memset(completions, 0xa5, count * sizeof(*completions));
	for (uint32_t i = 0; i < count; i++)
		commands[i].user_data = rnd();
	check_sys(ioctl(nvmedmabuf_fd(rig->ctx), NVME_DMABUF_IOC_SUBMIT, &submit));
	check_eq(submit.out_completed, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct nvme_dmabuf_completion *c = &completions[i];

		check_that(
			!c->error && !c->status && !c->reason &&
				c->user_data == commands[i].user_data &&
				c->bytes == commands[i].length,
			"command %u of %u (opcode %u, block %llu, offset %#llx, length %#llx): error %d, status %#x, reason %s, bytes %#llx, user_data %s",
			i, count, commands[i].opcode, (unsigned long long)commands[i].slba,
			(unsigned long long)commands[i].offset,
			(unsigned long long)commands[i].length, c->error, c->status,
			nvmedmabuf_reason_name(c->reason), (unsigned long long)c->bytes,
			c->user_data == commands[i].user_data ? "right" : "wrong");
	}
	free(completions);
}

void check_good(const struct nvme_dmabuf_completion *c)
{
	check_that(!c->error && !c->status && !c->reason,
		   "command %llu: error %d, status %#x, reason %s",
		   (unsigned long long)(c->user_data - RIG_FIRST), c->error, c->status,
		   nvmedmabuf_reason_name(c->reason));
}

static void verify_memory(struct rig *rig, uint64_t start, uint64_t end)
{
	buffer_begin_cpu(&rig->buffer);
	compare("dma-buf", rig->buffer.addr + start, rig->mirror + start, end - start, start);
	buffer_end_cpu(&rig->buffer);
}

static void verify_disk(struct rig *rig, uint64_t block, uint64_t end)
{
	uint64_t bytes = (end - block) * rig->drive.block;
	uint8_t *actual = pages_alloc(bytes);

	drive_read(&rig->drive, block, actual, bytes);
	compare("namespace", actual, rig->disk + (block - rig->first) * rig->drive.block, bytes,
		block * rig->drive.block);
	munmap(actual, bytes);
}

unsigned int rig_random(struct rig *rig, struct nvme_dmabuf_command *commands, unsigned int most)
{
	uint64_t block = rig->drive.block, offset = 0, slba = rig->first;
	unsigned int n;

	for (n = 0; n < most; n++) {
		uint64_t longest = rnd() % 16 ? 64 * KIB : 2 * rig->max_command;
		uint64_t length = (1 + rnd_below(longest / block)) * block;

		offset += rnd_below(64) * 4;
		slba += rnd_below(4);
		if (offset + length > rig->length ||
		    slba + length / block > rig->first + rig->count)
			break;
		nvmedmabuf_prep_read(&commands[n], rig->map, offset, length, slba);
		if (may_erase() && rnd() % 2)
			commands[n].opcode = NVME_DMABUF_OP_WRITE;
		commands[n].user_data = RIG_FIRST + n;
		offset += length;
		slba += length / block;
	}
	rig_prepare(rig, commands, n);
	return n;
}

void rig_transfer(struct rig *rig, struct nvme_dmabuf_command command)
{
	uint64_t start = rig->start + command.offset, end = start + command.length;
	uint64_t blocks = command.length / rig->drive.block, guard = 8;
	uint64_t before = min_u64(command.slba - rig->first, guard);
	uint64_t last = min_u64(command.slba + blocks + guard, rig->first + rig->count);

	rig_prepare(rig, &command, 1);
	rig_submit(rig, &command, 1);
	verify_memory(rig, start > GUARD ? start - GUARD : 0,
		      min_u64(end + GUARD, rig->buffer.size));
	if (command.opcode == NVME_DMABUF_OP_WRITE)
		verify_disk(rig, command.slba - before, last);
}

void rig_read(struct rig *rig, uint64_t offset, uint64_t length, uint64_t slba)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_read(&command, rig->map, offset, length, slba);
	rig_transfer(rig, command);
}

void rig_write(struct rig *rig, uint64_t offset, uint64_t length, uint64_t slba)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_write(&command, rig->map, offset, length, slba);
	rig_transfer(rig, command);
}

void rig_verify(struct rig *rig)
{
	verify_memory(rig, 0, rig->buffer.size);
	verify_disk(rig, rig->first, rig->first + rig->count);
}

void rig_close(struct rig *rig)
{
	if (rig->map)
		rig_detach(rig);
	nvmedmabuf_close(rig->ctx);
	buffer_free(&rig->buffer);
	munmap(rig->mirror, rig->buffer.size);
	munmap(rig->disk, rig->count * rig->drive.block);
	drive_close(&rig->drive);
}
