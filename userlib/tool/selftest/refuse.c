// SPDX-License-Identifier: MIT
/*
 * The part of 'selftest' that asks for what must be refused. Each request has
 * one thing wrong, and none could write to the namespace if it were taken: they
 * are reads, or for a map of another kind.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "selftest.h"

struct refusal {
	const char *what;
	int error;
	uint32_t reason;
};

struct refuser {
	struct selftest *st;
	struct channel *ch;
	const char *part;
	unsigned int asked;
	unsigned int wrong;
};

static void check(struct refuser *r, const struct refusal *want, int error, uint32_t reason)
{
	r->asked++;
	if (error == -want->error && reason == want->reason)
		return;
	r->wrong++;
	selftest_fail(r->st, r->part, "%s: got %s, reason %s instead of %s, %s", want->what,
		      error ? errno_name(error) : "no error", nvmedmabuf_reason_name(reason),
		      errno_name(want->error), nvmedmabuf_reason_name(want->reason));
}

static void refuse_commands(struct refuser *r)
{
	const struct selftest *st = r->st;
	const uint64_t bs = st->info.out_block_size, size = r->ch->size;
	const uint64_t blocks = st->info.out_capacity;
	const uint32_t map = r->ch->map;
	struct {
		struct refusal want;
		struct nvme_dmabuf_command cmd;
	} cases[] = {
		{ { "a read behind the last block", ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		  { .map = map, .length = bs, .slba = blocks } },
		{ { "a read across the last block", ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		  { .map = map, .length = 2 * bs, .slba = blocks - 1 } },
		{ { "blocks that wrap around", EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE },
		  { .map = map, .length = 2 * bs, .slba = UINT64_MAX } },
		{ { "data behind the map", ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		  { .map = map, .length = bs, .offset = size } },
		{ { "data across the map's end", ERANGE, NVME_DMABUF_REASON_OUTSIDE_MAP },
		  { .map = map, .length = 2 * bs, .offset = size - bs } },
		{ { "an offset that wraps around", EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_MAP },
		  { .map = map, .length = bs, .offset = UINT64_MAX - 3 } },
		{ { "an offset that is no multiple of 4", EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		  { .map = map, .length = bs, .offset = 2 } },
		{ { "a length that is no multiple of the block size", EINVAL,
		    NVME_DMABUF_REASON_BLOCK_MULTIPLE },
		  { .map = map, .length = bs + 4 } },
		{ { "a length of 0", EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH }, { .map = map } },
		{ { "a map that does not exist", ENOENT, NVME_DMABUF_REASON_NO_MAP },
		  { .map = 0, .length = bs } },
		{ { "an unknown flag", EINVAL, NVME_DMABUF_REASON_RESERVED },
		  { .map = map, .length = bs, .flags = 1U << 15 } },
		{ { "a reserved member that is set", EINVAL, NVME_DMABUF_REASON_RESERVED },
		  { .map = map, .length = bs, .reserved2 = { 0, 1 } } },
		{ { "a timeout that is too short", EINVAL, NVME_DMABUF_REASON_TIMEOUT },
		  { .map = map, .length = bs, .timeout_ms = st->module.out_min_timeout_ms - 1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct nvme_dmabuf_completion cpl = { 0 };
		int ret;

		cases[i].cmd.opcode = NVME_DMABUF_OP_READ;
		/* 0 is no timeout: it means the default. */
		if (cases[i].want.reason == NVME_DMABUF_REASON_TIMEOUT &&
		    st->module.out_min_timeout_ms < 2)
			continue;
		ret = nvmedmabuf_submit(st->ctx, &cases[i].cmd, &cpl, 1);
		check(r, &cases[i].want, ret == 1 ? cpl.error : ret, cpl.reason);
	}
}

static void refuse_maps(struct refuser *r)
{
	const int buf = nvmedmabuf_buffer_fd(r->ch->buf), ns = r->st->ns.fd;
	const uint64_t real = nvmedmabuf_buffer_size(r->ch->buf);
	const struct {
		struct refusal want;
		int buf, ns;
		uint64_t offset, length;
		enum nvmedmabuf_access access;
	} cases[] = {
		{ { "a map of length 0", EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH },
		  buf,
		  ns,
		  0,
		  0,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a map at an offset that is no multiple of 4", EINVAL,
		    NVME_DMABUF_REASON_DWORD_ALIGN },
		  buf,
		  ns,
		  2,
		  4096,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a map across the dma-buf's end", ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		  buf,
		  ns,
		  4096,
		  real,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a map that wraps around", EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		  buf,
		  ns,
		  4096,
		  UINT64_MAX - 3,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a namespace in place of a dma-buf", EBADF, NVME_DMABUF_REASON_NOT_DMABUF },
		  ns,
		  ns,
		  0,
		  4096,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a dma-buf in place of a namespace", EBADF,
		    NVME_DMABUF_REASON_NOT_BLOCK_DEVICE },
		  buf,
		  buf,
		  0,
		  4096,
		  NVMEDMABUF_ACCESS_READ },
		{ { "a map for writing of a namespace open for reading", EACCES,
		    NVME_DMABUF_REASON_NS_NOT_WRITABLE },
		  buf,
		  ns,
		  0,
		  4096,
		  NVMEDMABUF_ACCESS_WRITE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct nvmedmabuf_attach_params params = {
			.size = sizeof(params),
			.access = cases[i].access,
			.dmabuf_fd = cases[i].buf,
			.ns_fd = cases[i].ns,
			.offset = cases[i].offset,
			.length = cases[i].length,
		};
		uint32_t map = 0, reason = NVME_DMABUF_REASON_NONE;
		int ret;

		/* With --write the namespace is open for writing, but no file is. */
		if (cases[i].want.reason == NVME_DMABUF_REASON_NS_NOT_WRITABLE && r->st->write &&
		    !r->st->ns.is_file)
			continue;
		ret = nvmedmabuf_attach(r->st->ctx, &params, &map, &reason);
		check(r, &cases[i].want, ret, reason);
		if (!ret)
			nvmedmabuf_detach(r->st->ctx, map);
	}
}

void selftest_refusals(struct selftest *st, struct channel *ch, const char *part)
{
	struct refuser r = { .st = st, .ch = ch, .part = part };
	uint8_t *before = malloc(ch->size);

	if (!before) {
		selftest_fail(st, part, "out of memory");
		return;
	}
	nvmedmabuf_buffer_begin_cpu(ch->buf, NVMEDMABUF_CPU_READ);
	memcpy(before, ch->mem, ch->size);
	nvmedmabuf_buffer_end_cpu(ch->buf, NVMEDMABUF_CPU_READ);

	refuse_commands(&r);
	refuse_maps(&r);

	nvmedmabuf_buffer_begin_cpu(ch->buf, NVMEDMABUF_CPU_READ);
	if (memcmp(before, ch->mem, ch->size))
		selftest_fail(st, part, "a refused request moved data");
	else if (!r.wrong)
		selftest_pass(st, part,
			      "%u wrong requests were refused as documented, and moved nothing",
			      r.asked);
	nvmedmabuf_buffer_end_cpu(ch->buf, NVMEDMABUF_CPU_READ);
	free(before);
}
