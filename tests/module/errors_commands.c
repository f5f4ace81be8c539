// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors of commands: each alone, and between two commands that must work all
 * the same.
 */
#define _GNU_SOURCE
#include "errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* A valid command, to be spoilt: into the buffer's second page. */
static struct nvme_dmabuf_command valid(struct fixture *f, uint8_t opcode)
{
	struct nvme_dmabuf_command command;

	nvmedmabuf_prep_read(&command, f->rig.map, PAGE, f->rig.drive.block, f->rig.first);
	command.opcode = opcode;
	return command;
}

static int submit(struct fixture *f, const void *commands, void *completions, uint32_t count)
{
	struct nvme_dmabuf_submit args = {
		.size = sizeof(args),
		.commands = (uintptr_t)commands,
		.completions = (uintptr_t)completions,
		.count = count,
	};

	if (ioctl(f->fd, NVME_DMABUF_IOC_SUBMIT, &args)) {
		check_eq(args.out_completed, 0);
		return -errno;
	}
	check_eq(args.out_completed, count);
	return 0;
}

static void check_refusal(const char *what, const struct nvme_dmabuf_completion *c,
			  uint64_t user_data, int error, uint32_t reason)
{
	check_that(c->error == error && c->reason == reason, "%s: error %s, reason %s", what,
		   c->error ? strerrorname_np(-c->error) : "none",
		   nvmedmabuf_reason_name(c->reason));
	check_eq(c->user_data, user_data);
	check_eq(c->bytes, 0);
	check_eq(c->result, 0);
	check_eq(c->status, 0);
}

/* Submits a bad command alone and between good ones; nothing else may happen. */
static void refused(struct fixture *f, const char *what, struct nvme_dmabuf_command bad, int error,
		    uint32_t reason)
{
	struct nvme_dmabuf_command commands[3];
	struct nvme_dmabuf_completion c[3];
	uint32_t block = f->rig.drive.block;

	bad.user_data = 0xbad;
	memset(c, 0xff, sizeof(c));
	check_eq(submit(f, &bad, c, 1), 0);
	check_refusal(what, &c[0], 0xbad, error, reason);
	intact(f);

	nvmedmabuf_prep_read(&commands[0], f->rig.map, 0, block, f->rig.first);
	commands[1] = bad;
	nvmedmabuf_prep_read(&commands[2], f->rig.map, 2 * PAGE, block, f->rig.first + 1);
	rig_prepare(&f->rig, &commands[0], 1);
	rig_prepare(&f->rig, &commands[2], 1);
	memset(c, 0xff, sizeof(c));
	check_eq(submit(f, commands, c, 3), 0);
	check_refusal(what, &c[1], 0xbad, error, reason);
	for (int i = 0; i < 3; i += 2) {
		check_eq(c[i].error | c[i].status | c[i].reason, 0);
		check_eq(c[i].bytes, block);
	}
	intact(f);
}

/* With writes too, if they could do no harm. */
static unsigned int opcodes(uint8_t list[2])
{
	list[0] = NVME_DMABUF_OP_READ;
	list[1] = NVME_DMABUF_OP_WRITE;
	return may_erase() ? 2 : 1;
}

static void reserved_bits(const void *arg)
{
	static const struct {
		const char *name;
		size_t offset;
		unsigned int first, bits;
	} members[] = {
		{ "reserved", offsetof(struct nvme_dmabuf_command, reserved), 0, 8 },
		{ "flags", offsetof(struct nvme_dmabuf_command, flags), 2, 16 },
		{ "reserved1", offsetof(struct nvme_dmabuf_command, reserved1), 0, 32 },
		{ "reserved2", offsetof(struct nvme_dmabuf_command, reserved2), 0, 128 },
	};
	struct nvme_dmabuf_completion *c;
	struct nvme_dmabuf_command *commands;
	uint8_t list[2];
	struct fixture f;
	unsigned int n = 0, kinds = opcodes(list);
	char what[64];

	(void)arg;
	fixture_open(&f);
	commands = calloc(512, sizeof(*commands));
	c = calloc(512, sizeof(*c));
	check(commands && c);
	for (unsigned int op = 0; op < kinds; op++)
		for (size_t i = 0; i < ARRAY_SIZE(members); i++)
			for (unsigned int bit = members[i].first; bit < members[i].bits; bit++) {
				struct nvme_dmabuf_command bad = valid(&f, list[op]);

				((uint8_t *)&bad)[members[i].offset + bit / 8] |= 1 << bit % 8;
				snprintf(what, sizeof(what), "%s bit %u", members[i].name, bit);
				if (bit == members[i].first)
					refused(&f, what, bad, -EINVAL,
						NVME_DMABUF_REASON_RESERVED);
				bad.user_data = bit;
				commands[n++] = bad;
			}
	/* And all at once. */
	check_eq(submit(&f, commands, c, n), 0);
	for (unsigned int i = 0; i < n; i++)
		check_refusal("a reserved bit", &c[i], commands[i].user_data, -EINVAL,
			      NVME_DMABUF_REASON_RESERVED);
	intact(&f);
}

static void unknown_opcodes(const void *arg)
{
	struct nvme_dmabuf_completion c[256];
	struct nvme_dmabuf_command commands[256];
	struct fixture f;
	unsigned int n = 0;

	(void)arg;
	require_erase(); /* if one of these went through, it might be Format or Write Zeroes */
	fixture_open(&f);
	for (unsigned int opcode = 3; opcode < 256; opcode++, n++) {
		commands[n] = valid(&f, opcode);
		commands[n].user_data = opcode;
	}
	check_eq(submit(&f, commands, c, n), 0);
	for (unsigned int i = 0; i < n; i++)
		check_refusal("opcode", &c[i], commands[i].user_data, -EOPNOTSUPP,
			      NVME_DMABUF_REASON_OPCODE);
	intact(&f);
	refused(&f, "Write Zeroes", valid(&f, 0x08), -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE);
	refused(&f, "Compare", valid(&f, 0x05), -EOPNOTSUPP, NVME_DMABUF_REASON_OPCODE);
}

static void ranges(const void *arg)
{
	uint64_t size, block, blocks;
	uint8_t list[2];
	unsigned int kinds = opcodes(list);
	struct fixture f;
	char what[96];

	(void)arg;
	fixture_open(&f);
	size = f.rig.length;
	block = f.rig.drive.block;
	blocks = f.rig.drive.blocks;
	const struct {
		uint64_t offset, length, slba;
		int error;
		uint32_t reason;
	} rows[] = {
		{ 0, 0, 0, EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH },
		{ 0, 1, 0, EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		{ 0, 4, 0, EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		{ 0, block - 1, 0, EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		{ 0, block + 1, 0, EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		{ 0, block + block / 2, 0, EINVAL, NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		{ 1, block, 0, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ 2, block, 0, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ 3, block, 0, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ PAGE - 2, block, 0, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ size, block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ size - block + 4, block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ size - 4, block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 0, size + block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 4, size, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 1ULL << 32, block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 0, 1ULL << 32, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 0, (1ULL << 32) + block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 1ULL << 63, block, 0, ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ -4ULL, block, 0, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ -block, block, 0, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ block, -block, 0, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 1ULL << 63, 1ULL << 63, 0, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP },
		{ 0, block, blocks, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, 2 * block, blocks - 1, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, 4 * block, blocks - 3, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, block, blocks + 1000, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, block, 1ULL << 55, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, block, 1ULL << 63, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, block, -2ULL, ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, block, -1ULL, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, 4 * block, -4ULL, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		{ 0, 4 * block, -3ULL, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
	};

	for (unsigned int op = 0; op < kinds; op++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct nvme_dmabuf_command bad = valid(&f, list[op]);

			bad.offset = rows[i].offset;
			bad.length = rows[i].length;
			if (rows[i].slba)
				bad.slba = rows[i].slba;
			snprintf(what, sizeof(what),
				 "opcode %u, offset %#llx, length %#llx, block %#llx", bad.opcode,
				 (unsigned long long)bad.offset, (unsigned long long)bad.length,
				 (unsigned long long)bad.slba);
			refused(&f, what, bad, -rows[i].error, rows[i].reason);
		}
	/* The very last block and the very last bytes are inside. */
	rig_read(&f.rig, size - block, block, blocks - 1);
	if (may_erase())
		rig_write(&f.rig, size - block, block, blocks - 1);
	intact(&f);
}

static void timeouts(const void *arg)
{
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	check_eq(nvmedmabuf_get_info(f.rig.ctx, &info), 0);
	check(info.out_min_timeout_ms < info.out_max_timeout_ms);
	const uint32_t bad[] = { 1, info.out_min_timeout_ms - 1, info.out_max_timeout_ms + 1,
				 0x80000000, ~0U };
	const uint32_t good[] = { 0, info.out_min_timeout_ms, info.out_min_timeout_ms + 1,
				  info.out_max_timeout_ms };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!bad[i] || bad[i] == info.out_min_timeout_ms)
			continue;
		command = valid(&f, NVME_DMABUF_OP_READ);
		command.timeout_ms = bad[i];
		refused(&f, "timeout", command, -EINVAL, NVME_DMABUF_REASON_TIMEOUT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		command = valid(&f, NVME_DMABUF_OP_READ);
		command.timeout_ms = good[i];
		rig_transfer(&f.rig, command);
	}
	intact(&f);
}

static void directions(const void *arg)
{
	uint32_t reading, writing;
	struct nvme_dmabuf_command command;
	struct fixture f;

	(void)arg;
	require_erase();
	fixture_open(&f);
	reading = attach(f.rig.ctx, f.rig.buffer.fd, f.rig.drive.fd, 0, f.rig.length,
			 NVME_DMABUF_ACCESS_READ);
	writing = attach(f.rig.ctx, f.rig.buffer.fd, f.rig.drive.fd, 0, f.rig.length,
			 NVME_DMABUF_ACCESS_WRITE);
	f.maps += 2;

	command = valid(&f, NVME_DMABUF_OP_WRITE);
	command.map = reading;
	refused(&f, "write through a map for reading", command, -EACCES,
		NVME_DMABUF_REASON_MAP_ACCESS);
	command = valid(&f, NVME_DMABUF_OP_READ);
	command.map = writing;
	refused(&f, "read through a map for writing", command, -EACCES,
		NVME_DMABUF_REASON_MAP_ACCESS);
	nvmedmabuf_prep_flush(&command, reading);
	refused(&f, "flush through a map for reading", command, -EACCES,
		NVME_DMABUF_REASON_MAP_ACCESS);
}

static void flushes(const void *arg)
{
	struct nvme_dmabuf_command command;
	struct fixture f;

	(void)arg;
	require_erase();
	fixture_open(&f);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.slba = 1;
	refused(&f, "flush of a block", command, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.offset = 4;
	refused(&f, "flush with an offset", command, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.length = f.rig.drive.block;
	refused(&f, "flush of a length", command, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.flags = NVME_DMABUF_CMD_FUA;
	refused(&f, "flush with FUA", command, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.flags = NVME_DMABUF_CMD_LIMITED_RETRY;
	refused(&f, "flush with limited retry", command, -EINVAL, NVME_DMABUF_REASON_FLUSH_RANGE);
	nvmedmabuf_prep_flush(&command, f.rig.map);
	command.flags = 1U << 7;
	refused(&f, "flush with an unknown flag", command, -EINVAL, NVME_DMABUF_REASON_RESERVED);
}

static void missing_maps(const void *arg)
{
	struct nvme_dmabuf_command command;
	uint8_t list[2];
	unsigned int kinds = opcodes(list);
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	for (unsigned int op = 0; op < kinds; op++) {
		command = valid(&f, list[op]);
		command.map = 0;
		refused(&f, "map 0", command, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
		command.map = ~0U;
		refused(&f, "map 2^32 - 1", command, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
		command.map = f.rig.map + 1;
		refused(&f, "a map never made", command, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
	}
	if (!may_erase())
		return;
	nvmedmabuf_prep_flush(&command, f.rig.map + 1);
	refused(&f, "flush of a map never made", command, -ENOENT, NVME_DMABUF_REASON_NO_MAP);
}

static void counts(const void *arg)
{
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	check_eq(nvmedmabuf_get_info(f.rig.ctx, &info), 0);
	command = valid(&f, NVME_DMABUF_OP_READ);
	check_eq(submit(&f, &command, &completion, 0), -EINVAL);
	check_eq(submit(&f, NULL, NULL, 0), -EINVAL);
	check_eq(submit(&f, &command, &completion, info.out_max_commands + 1), -ENOSPC);
	check_eq(submit(&f, &command, &completion, 0x80000000), -ENOSPC);
	check_eq(submit(&f, &command, &completion, ~0U), -ENOSPC);
	intact(&f);
}

/*
 * The commands' array ends in a hole: nothing is executed, not even what could
 * be read.
 */
static void missing_commands(const void *arg)
{
	uint8_t *page = pages_alloc(2 * PAGE);
	struct nvme_dmabuf_command *commands;
	struct nvme_dmabuf_completion c[4];
	uint8_t list[2];
	unsigned int kinds = opcodes(list);
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	check_sys(mprotect(page + PAGE, PAGE, PROT_NONE));
	for (unsigned int op = 0; op < kinds; op++) {
		commands = (void *)(page + PAGE - 4 * sizeof(*commands));
		for (int i = 0; i < 4; i++) {
			commands[i] = valid(&f, list[op]);
			commands[i].offset = i * PAGE;
		}
		check_eq(submit(&f, NULL, c, 1), -EFAULT);
		check_eq(submit(&f, page + PAGE, c, 1), -EFAULT);
		check_eq(submit(&f, (void *)-4096L, c, 1), -EFAULT);
		check_eq(submit(&f, commands, c, 5), -EFAULT);
		check_eq(submit(&f, (uint8_t *)(commands + 3) + 8, c, 1), -EFAULT);
		intact(&f);
		memmove(page + PAGE - 3 * sizeof(*commands) - 60, commands, 3 * sizeof(*commands));
		check_eq(submit(&f, page + PAGE - 3 * sizeof(*commands) - 60, c, 4), -EFAULT);
		intact(&f);
	}
}

/*
 * No room for completions: the commands have been executed all the same. Reads
 * show that, and that the drive was done when the call returned.
 */
static void missing_completions(const void *arg)
{
	uint8_t *page = pages_alloc(2 * PAGE), *readonly = pages_alloc(PAGE);
	struct nvme_dmabuf_command commands[3];
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	check_sys(mprotect(page + PAGE, PAGE, PROT_NONE));
	check_sys(mprotect(readonly, PAGE, PROT_READ));
	uint8_t *places[] = { NULL,
			      page + PAGE,
			      (uint8_t *)-4096L,
			      readonly,
			      page + PAGE - 2 * sizeof(struct nvme_dmabuf_completion),
			      page + PAGE - 12 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct nvme_dmabuf_submit args = {
			.size = sizeof(args),
			.commands = (uintptr_t)commands,
			.completions = (uintptr_t)places[i],
			.count = ARRAY_SIZE(commands),
		};

		for (unsigned int j = 0; j < ARRAY_SIZE(commands); j++) {
			commands[j] = valid(&f, NVME_DMABUF_OP_READ);
			commands[j].offset = 2 * j * PAGE;
			commands[j].slba += j;
		}
		rig_prepare(&f.rig, commands, ARRAY_SIZE(commands));
		check_eq(ioctl(f.fd, NVME_DMABUF_IOC_SUBMIT, &args) ? errno : 0, EFAULT);
		check(args.out_completed < ARRAY_SIZE(commands));
		intact(&f);
	}
}

void errors_add_commands(void)
{
	tap_add(reserved_bits, NULL, "commands: each reserved bit");
	tap_add(unknown_opcodes, NULL, "commands: all other opcodes");
	tap_add(ranges, NULL, "commands: ranges");
	tap_add(timeouts, NULL, "commands: timeouts");
	tap_add(directions, NULL, "commands: against a map's direction");
	tap_add(flushes, NULL, "commands: malformed flushes");
	tap_add(missing_maps, NULL, "commands: maps that are not there");
	tap_add(counts, NULL, "SUBMIT: counts");
	tap_add(missing_commands, NULL, "SUBMIT: missing memory for commands");
	tap_add(missing_completions, NULL, "SUBMIT: missing memory for completions");
}
