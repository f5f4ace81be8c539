// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads and writes of files, with a witness. See file_rig.h.
 */
#define _GNU_SOURCE
#include "file_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void file_rig_open(struct file_rig *rig, const struct filesystem *fs, struct file *file,
		   uint64_t size)
{
	*rig = (struct file_rig){ .ctx = ctx_open(), .fs = fs, .file = file, .block = fs->block };
	buffer_alloc(&rig->buffer, exporter_any(), (size + PAGE - 1) / PAGE * PAGE);
	rig->mirror = pages_alloc(rig->buffer.size);
	rnd_fill(rig->mirror, rig->buffer.size);
	buffer_begin_cpu(&rig->buffer);
	memcpy(rig->buffer.addr, rig->mirror, rig->buffer.size);
	buffer_end_cpu(&rig->buffer);
}

int file_rig_try(struct file_rig *rig, int fd, uint32_t access, uint32_t flags, uint32_t *map,
		 uint32_t *reason)
{
	*map = 0;
	*reason = ~0U;
	return attach_to(rig->ctx, rig->buffer.fd, fd, 0, rig->buffer.size, access, flags, map,
			 reason);
}

void file_rig_check_refused(struct file_rig *rig, uint32_t access, int error, uint32_t reason)
{
	uint32_t map, is;
	int result = file_rig_try(rig, rig->file->fd, access, 0, &map, &is);

	check_that(result == error && is == reason, "attach says %s, %s (%u), not %s, %s (%u)",
		   strerror(-result), nvmedmabuf_reason_name(is), is, strerror(-error),
		   nvmedmabuf_reason_name(reason), reason);
	check_eq(map, 0);
}

void file_rig_info(struct file_rig *rig, struct nvme_dmabuf_map_info *info)
{
	uint64_t whole = rig->file->bytes / rig->block;

	info->size = sizeof(*info);
	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, info), 0);
	check_eq(info->out_length, rig->buffer.size);
	check_eq(info->out_block_size, rig->block);
	check_eq(info->out_access, rig->access);
	if (info->out_state != NVME_DMABUF_STATE_LIVE)
		return;
	check(info->out_flags & NVME_DMABUF_MAP_FILE);
	check_eq(!!(info->out_flags & NVME_DMABUF_MAP_LAYOUT), filesystem_is(rig->fs, "xfs"));
	check_eq(!!(info->out_flags & NVME_DMABUF_MAP_EXCLUSIVE), !!(rig->access & ACCESS_WRITE));
	check_eq(info->out_file_bytes, rig->file->bytes);
	check(info->out_blocks >= whole && info->out_blocks <= whole + 1);
	if (rig->file->bytes % rig->block == 0)
		check_eq(info->out_blocks, whole);
}

uint32_t file_rig_state(struct file_rig *rig)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	check_eq(nvmedmabuf_get_map_info(rig->ctx, rig->map, &info), 0);
	return info.out_state;
}

void file_rig_attach(struct file_rig *rig, uint32_t flags)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t reason;
	int result = file_rig_try(rig, rig->file->fd, ACCESS_READ, flags, &rig->map, &reason);

	check_that(!result, "attach refused: %s, %s (%u)", strerror(-result),
		   nvmedmabuf_reason_name(reason), reason);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	rig->access = ACCESS_READ;
	file_rig_info(rig, &info);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_generation, 1);
	check_eq(!!(info.out_flags & NVME_DMABUF_MAP_AUTO_REFRESH),
		 !!(flags & NVME_DMABUF_ATTACH_AUTO_REFRESH));
}

void file_rig_refresh(struct file_rig *rig, int error, uint32_t reason)
{
	uint32_t why = ~0U;
	int result = nvmedmabuf_refresh(rig->ctx, rig->map, NULL, &why);

	check_that(result == error && why == reason, "refresh says %s, %s (%u), not %s, %s (%u)",
		   strerror(-result), nvmedmabuf_reason_name(why), why, strerror(-error),
		   nvmedmabuf_reason_name(reason), reason);
}

void file_rig_attach_written(struct file_rig *rig, uint32_t access, uint32_t flags)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t reason;
	int result;

	file_open(rig->file, O_RDWR);
	result = file_rig_try(rig, rig->file->fd, access, flags | NVME_DMABUF_ATTACH_DEFER,
			      &rig->map, &reason);
	check_that(!result && !reason, "attach refused: %s, %s (%u)", strerror(-result),
		   nvmedmabuf_reason_name(reason), reason);
	file_close(rig->file);
	rig->access = access;
	file_rig_refresh(rig, 0, NVME_DMABUF_REASON_NONE);
	file_rig_info(rig, &info);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_generation, 1);
}

void file_rig_detach(struct file_rig *rig)
{
	check_eq(nvmedmabuf_detach(rig->ctx, rig->map), 0);
	rig->map = 0;
}

static void prepare_one(struct file_rig *rig, const struct nvme_dmabuf_command *c)
{
	uint8_t *memory = rig->mirror + c->offset, *data = rig->file->data + c->slba * rig->block;

	check(c->offset + c->length <= rig->buffer.size);
	check(c->slba * rig->block + c->length <= rig->file->room);
	if (c->opcode == NVME_DMABUF_OP_WRITE) {
		rnd_fill(memory, c->length);
		memcpy(rig->buffer.addr + c->offset, memory, c->length);
		memcpy(data, memory, c->length);
		return;
	}
	memset(rig->buffer.addr + c->offset, (int)rnd(), c->length);
	memcpy(memory, data, c->length);
}

void file_rig_prepare(struct file_rig *rig, const struct nvme_dmabuf_command *commands,
		      unsigned int count)
{
	buffer_begin_cpu(&rig->buffer);
	for (unsigned int i = 0; i < count; i++)
		prepare_one(rig, &commands[i]);
	buffer_end_cpu(&rig->buffer);
}

void file_rig_submit(struct file_rig *rig, struct nvme_dmabuf_command *commands, unsigned int count)
{
	struct nvme_dmabuf_completion *c = calloc(count, sizeof(*c));

	check(c);
	check_eq(nvmedmabuf_submit(rig->ctx, commands, c, count), count);
	for (unsigned int i = 0; i < count; i++)
		check_that(
			!c[i].error && !c[i].status && !c[i].reason &&
				c[i].bytes == commands[i].length,
			"command %u of %u (block %llu, length %#llx): error %d, status %#x, reason %s (%u), bytes %#llx",
			i, count, (unsigned long long)commands[i].slba,
			(unsigned long long)commands[i].length, c[i].error, c[i].status,
			nvmedmabuf_reason_name(c[i].reason), c[i].reason,
			(unsigned long long)c[i].bytes);
	free(c);
}

void file_rig_read(struct file_rig *rig, uint64_t offset, uint64_t length, uint64_t slba)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_read(&command, rig->map, offset, length, slba);
	file_rig_prepare(rig, &command, 1);
	file_rig_submit(rig, &command, 1);
	file_rig_verify(rig);
}

void file_rig_write(struct file_rig *rig, uint64_t offset, uint64_t length, uint64_t slba)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_write(&command, rig->map, offset, length, slba);
	file_rig_prepare(rig, &command, 1);
	file_rig_submit(rig, &command, 1);
	file_rig_verify(rig);
}

static void refused(struct file_rig *rig, uint8_t opcode, uint64_t length, uint64_t slba, int error,
		    uint32_t reason)
{
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_completion c;

	nvmedmabuf_prep_read(&command, rig->map, 0, length, slba);
	command.opcode = opcode;
	command.user_data = RIG_FIRST;
	memset(&c, 0xa5, sizeof(c));
	check_eq(nvmedmabuf_submit(rig->ctx, &command, &c, 1), 1);
	check_that(c.error == error && c.reason == reason,
		   "%s of %#llx bytes at block %llu: %s, %s (%u), not %s, %s (%u)",
		   opcode == NVME_DMABUF_OP_READ ? "read" : "write", (unsigned long long)length,
		   (unsigned long long)slba, strerror(-c.error), nvmedmabuf_reason_name(c.reason),
		   c.reason, strerror(-error), nvmedmabuf_reason_name(reason), reason);
	check_eq(c.status, 0);
	check_eq(c.bytes, 0);
	check_eq(c.user_data, RIG_FIRST);
	file_rig_verify(rig);
}

void file_rig_refused(struct file_rig *rig, uint64_t length, uint64_t slba, int error,
		      uint32_t reason)
{
	refused(rig, NVME_DMABUF_OP_READ, length, slba, error, reason);
}

void file_rig_write_refused(struct file_rig *rig, uint64_t length, uint64_t slba, int error,
			    uint32_t reason)
{
	refused(rig, NVME_DMABUF_OP_WRITE, length, slba, error, reason);
}

/* Commands of one submission may run in any order: no two touch the same blocks to write. */
static bool meets(const struct nvme_dmabuf_command *commands, unsigned int n, uint32_t block)
{
	const struct nvme_dmabuf_command *last = &commands[n];

	for (unsigned int i = 0; i < n; i++)
		if (commands[i].slba < last->slba + last->length / block &&
		    last->slba < commands[i].slba + commands[i].length / block &&
		    (last->opcode == NVME_DMABUF_OP_WRITE ||
		     commands[i].opcode == NVME_DMABUF_OP_WRITE))
			return true;
	return false;
}

unsigned int file_rig_random(struct file_rig *rig, struct nvme_dmabuf_command *commands,
			     unsigned int most)
{
	uint64_t blocks = rig->file->bytes / rig->block, offset = 0;
	unsigned int n;

	for (n = 0; n < most; n++) {
		uint64_t longest = rnd() % 8 ? 64 * KIB : 512 * KIB;
		uint64_t count = min_u64(1 + rnd_below(longest / rig->block), blocks);

		offset += rnd_below(64) * 4;
		if (offset + count * rig->block > rig->buffer.size)
			break;
		nvmedmabuf_prep_read(&commands[n], rig->map, offset, count * rig->block,
				     rnd_below(blocks - count + 1));
		if (rig->access == ACCESS_WRITE || (rig->access != ACCESS_READ && rnd() % 2))
			commands[n].opcode = NVME_DMABUF_OP_WRITE;
		commands[n].user_data = RIG_FIRST + n;
		if (meets(commands, n, rig->block))
			break;
		offset += count * rig->block;
	}
	file_rig_prepare(rig, commands, n);
	return n;
}

void file_rig_verify(struct file_rig *rig)
{
	buffer_begin_cpu(&rig->buffer);
	compare("dma-buf", rig->buffer.addr, rig->mirror, rig->buffer.size, 0);
	buffer_end_cpu(&rig->buffer);
}

void file_rig_close(struct file_rig *rig)
{
	if (rig->map)
		file_rig_detach(rig);
	nvmedmabuf_close(rig->ctx);
	buffer_free(&rig->buffer);
	munmap(rig->mirror, rig->buffer.size);
}
