/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the two ways to submit a command have in common: plain.c and command.c alone include
 * it. Inline, for the short way's sake.
 */
#ifndef NVME_DMABUF_SUBMIT_H
#define NVME_DMABUF_SUBMIT_H

#include "command.h"
#include "storage/stock.h"

/*
 * A command as it came, in words. Most commands are plain: a Read or Write without flags
 * or a timeout. One word tells, which also has the number of the map.
 */
struct command_words {
	u64 user_data;
	u64 slba;
	u64 offset;
	u64 length;
	u64 kind;
	u64 rest[3];
};

static_assert(sizeof(struct command_words) == sizeof(struct nvme_dmabuf_command));
static_assert(offsetof(struct command_words, kind) == offsetof(struct nvme_dmabuf_command, map));
static_assert(offsetof(struct command_words, rest) ==
	      offsetof(struct nvme_dmabuf_command, timeout_ms));

static inline const struct command_words *nvdm_command_words(const struct nvme_dmabuf_command *uapi)
{
	return (const struct command_words *)uapi;
}

/* The drive wants lists at addresses that this transfer's list does not have. */
static __always_inline bool nvdm_command_misaligns_list(const struct nvdm_map *map, u32 length,
							u64 prp1, u64 prp2)
{
	return (prp1 & PRP_PAGE_MASK) + length > 2 * PRP_PAGE_SIZE && prp2 & (map->list_align - 1);
}

struct request *nvdm_command_note_request(struct nvdm_submitter *sub, struct nvdm_map *map,
					  struct request *rq, u8 opcode);
bool nvdm_command_submit_any(struct nvdm_submitter *sub, struct nvdm_command *cmd);

/* Before the request is issued: from then on somebody may have to look for its end. */
static __always_inline void nvdm_submitter_polls(struct nvdm_submitter *sub, u64 source)
{
	/* Who polls finds there what was added: see nvdm_poll_add(). */
	if (!(*sub->sources & source))
		smp_store_release(sub->sources, *sub->sources | source);
}

/* Whoever waits for this map's commands knows that they are to be polled for. */
static __always_inline bool nvdm_submitter_tells(const struct nvdm_submitter *sub,
						 const struct nvdm_map *map)
{
	return READ_ONCE(map->polled) || !sub->opf;
}

/* The context's commands went to this hardware queue before, to be polled, and this map's. */
static __always_inline bool nvdm_submitter_knows(struct nvdm_submitter *sub,
						 const struct nvdm_map *map,
						 struct blk_mq_hw_ctx *hctx)
{
	u64 source = nvdm_poll_known(&sub->ctx->poll, hctx);

	if (unlikely(!source || !nvdm_map_is_polled(map)))
		return false;
	nvdm_submitter_polls(sub, source);
	sub->hctx = hctx;
	return true;
}

/* What is to be polled for this request is known, or is noted now. */
static __always_inline struct request *nvdm_command_know_request(struct nvdm_submitter *sub,
								 struct nvdm_map *map,
								 struct request *rq, u8 opcode)
{
	if (likely(rq->mq_hctx == sub->hctx && nvdm_submitter_tells(sub, map)) ||
	    likely(nvdm_submitter_knows(sub, map, rq->mq_hctx)))
		return rq;
	return nvdm_command_note_request(sub, map, rq, opcode);
}

/* Without waiting: an inflight reference may be held. */
static __always_inline struct request *nvdm_command_request(struct nvdm_submitter *sub,
							    struct nvdm_map *map, u8 opcode)
{
	struct request *rq = nvdm_stock_request_alloc(&map->ns, opcode, sub->opf);

	return IS_ERR(rq) ? rq : nvdm_command_know_request(sub, map, rq, opcode);
}

#endif
