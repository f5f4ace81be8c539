// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain commands, the short way: most commands are a Read or Write of one part, without
 * flags or a timeout. Nothing here sleeps, and each instruction counts. What is not plain, or
 * meets something unusual, goes to command.c. Must not know dma-bufs or user memory.
 */
#include <linux/nospec.h>

#include "entry.h"
#include "submit.h"

/**
 * nvdm_command_recognise - prepare to recognise plain commands for a map
 * @map: the map
 * @id: its number in its context
 */
void nvdm_command_recognise(struct nvdm_map *map, u32 id)
{
	const struct nvme_dmabuf_command read = { .map = id, .opcode = NVME_DMABUF_OP_READ };
	const struct nvme_dmabuf_command write = { .map = id, .opcode = NVME_DMABUF_OP_WRITE };
	bool reads = map->access & NVME_DMABUF_ACCESS_READ;
	bool writes = map->access & NVME_DMABUF_ACCESS_WRITE;
	/* Those to a file are more than plain. A map for nothing else has a max_plain of 0. */
	bool plain_writes = writes && !(nvdm_map_is_of_file(map) && reads);

	map->id = id;
	map->plain_read = nvdm_command_words(reads ? &read : &write)->kind;
	map->plain_write = nvdm_command_words(plain_writes ? &write : &read)->kind;
	map->file_write = nvdm_command_words(writes ? &write : &read)->kind;
}

/*
 * Is there nothing to be said against this command, nor anything special about it? What
 * is not so is looked at by nvdm_command_issue(), which knows what to say. With an
 * inflight reference.
 */
static __always_inline bool nvdm_plain_check(const struct nvdm_map *map,
					     const struct command_words *words)
{
	const struct nvdm_namespace *ns = &map->ns;
	u64 capacity = nvdm_namespace_capacity(ns);
	u64 length = words->length, blocks;

	/* A map for one direction has the same kind twice. */
	if (words->kind != map->plain_write) {
		if (words->kind != map->plain_read)
			return false;
	} else if (map->access & NVME_DMABUF_ACCESS_WRITE && nvdm_namespace_forbids_writes(ns)) {
		return false;
	}
	blocks = length >> (ns->block_shift & 63);
	return !(words->rest[0] | words->rest[1] | words->rest[2]) && length - 1 < ns->max_plain &&
	       !(length & ns->block_mask) && !(words->offset & 3) && length <= map->length &&
	       words->offset <= map->length - length && blocks <= capacity &&
	       words->slba <= capacity - blocks;
}

/* The data pointer of a plain command. False if its list has to be copied. */
static __always_inline bool nvdm_plain_point(const struct nvdm_map *map,
					     const struct nvme_dmabuf_command *uapi,
					     u16 *opcode_flags, u64 dptr[2])
{
	u64 offset;

	*opcode_flags = uapi->opcode;
	if (map->sgl) {
		*opcode_flags |= NVME_CMD_SGL_METABUF << 8;
		dptr[0] = map->contiguous + uapi->offset;
		dptr[1] = STOCK_SGL(uapi->length);
		return true;
	}
	/* As in nvdm_command_start_part(). */
	offset = array_index_nospec(uapi->offset, map->length);
	prp_list_window(&map->list, offset, uapi->length, &dptr[0], &dptr[1]);
	return likely(!nvdm_command_misaligns_list(map, uapi->length, dptr[0], dptr[1]));
}

/* The next of a run. If it returns false, nothing has happened. */
static __always_inline bool nvdm_plain_join(const struct nvdm_submitter *sub,
					    struct nvdm_stock_run *run, const struct nvdm_map *map,
					    const struct nvme_dmabuf_command *uapi,
					    rq_end_io_fn *end_io, void *data)
{
	struct request *rq;
	u16 opcode_flags;
	u64 dptr[2];

	if (unlikely(!nvdm_submitter_tells(sub, map) ||
		     !nvdm_plain_point(map, uapi, &opcode_flags, dptr)))
		return false;
	rq = nvdm_stock_run_next(run, &map->ns, sub->hctx);
	/* The request, though still in the plug, has kept freezes out since the run began. */
	if (unlikely(!rq || nvdm_namespace_is_still_unverified(&map->ns)))
		return false;
	nvdm_stock_request_join(run, &map->ns, rq, end_io, data, opcode_flags,
				map->ns.start + uapi->slba, uapi->length, dptr);
	return true;
}

/* If the plug does not take it. */
static noinline int nvdm_plain_start(const struct nvdm_map *map, struct request *rq,
				     const struct nvme_dmabuf_command *uapi, u64 slba,
				     rq_end_io_fn *end_io, void *data, const u64 dptr[2])
{
	const struct nvdm_stock_io io = {
		.opcode = uapi->opcode,
		.sgl = map->sgl,
		.slba = slba,
		.length = uapi->length,
		.prp1 = dptr[0],
		.prp2 = dptr[1],
	};

	return nvdm_stock_request_submit(&map->ns, rq, &io, end_io, data);
}

/* Where a command's first block is on the namespace, unless that was found out before. */
static __always_inline u64 nvdm_plain_slba(const struct nvdm_map *map,
					   const struct nvme_dmabuf_command *uapi,
					   const u64 *in_file)
{
	return in_file ? *in_file : map->ns.start + uapi->slba;
}

/*
 * Any plain command. If it returns false, likewise. In *@joined is its request if that waits
 * in the plug, or NULL. @in_file is where its first block is, if it has to be told.
 */
static __always_inline bool nvdm_plain_begin(struct nvdm_submitter *sub, struct nvdm_map *map,
					     const struct nvme_dmabuf_command *uapi,
					     const u64 *in_file, rq_end_io_fn *end_io, void *data,
					     struct request **joined)
{
	struct blk_plug *plug = current->plug;
	struct request *rq, *last;
	u16 opcode_flags;
	u64 dptr[2];

	*joined = NULL;
	if (unlikely(!nvdm_plain_point(map, uapi, &opcode_flags, dptr)))
		return false;
	rq = nvdm_command_request(sub, map, uapi->opcode);
	if (IS_ERR(rq))
		return false;
	if (unlikely(nvdm_namespace_is_unverified(&map->ns))) {
		blk_mq_free_request(rq);
		return false;
	}
	if (!plug_takes(plug, rq, end_io, &last))
		return !nvdm_plain_start(map, rq, uapi, nvdm_plain_slba(map, uapi, in_file), end_io,
					 data, dptr);
	if (nvdm_stock_request_plug(&map->ns, rq, end_io, data, plug, last, opcode_flags,
				    nvdm_plain_slba(map, uapi, in_file), uapi->length, dptr))
		return false;
	*joined = rq;
	return true;
}

/* Rare, so that it need not be inline, where it would take a register from what is not. */
static noinline void nvdm_plain_put(struct nvdm_map *map)
{
	percpu_ref_put(&map->inflight);
}

/* Of an address that nvdm_plain_take_map() returns. */
#define NOT_PLAIN 1UL

static __always_inline bool nvdm_plain_is_map(const struct nvdm_map *taken)
{
	return !((unsigned long)taken & NOT_PLAIN);
}

/* The map that was taken nevertheless, or NULL. */
static struct nvdm_map *nvdm_plain_other(struct nvdm_map *taken)
{
	return (struct nvdm_map *)((unsigned long)taken & ~NOT_PLAIN);
}

/*
 * The map of a plain command, with an inflight reference. If the command is not plain, the
 * map with NOT_PLAIN, for there are others than plain commands; if there is no map, that
 * alone. Inside RCU, which keeps the map's memory. That each command takes a reference of its
 * own costs four instructions, and as much for many maps as for one.
 */
static __always_inline struct nvdm_map *nvdm_plain_take_map(const struct nvdm_map_table *table,
							    const struct nvme_dmabuf_command *uapi)
{
	struct nvdm_map *map = nvdm_map_table_find(table, uapi->map);

	if (unlikely(!map || !percpu_ref_tryget_live_rcu(&map->inflight)))
		return (struct nvdm_map *)NOT_PLAIN;
	/* As in nvdm_command_get_map(). */
	smp_acquire__after_ctrl_dep();
	if (likely(nvdm_plain_check(map, nvdm_command_words(uapi))))
		return map;
	return (struct nvdm_map *)((unsigned long)map | NOT_PLAIN);
}

/*
 * Is this a command that would be plain but for writing to a file, or for the file's being in
 * many pieces, within one of them? Then *@slba is its first block on the namespace. With an
 * inflight reference.
 */
static bool nvdm_plain_is_in_piece(const struct nvdm_map *map, const struct command_words *words,
				   bool writes, u64 *slba)
{
	const struct nvdm_namespace *ns = &map->ns;
	const struct nvdm_file *file = map->blocks.file;
	u64 blocks = words->length >> ns->block_shift;
	const struct extent *extent;

	if (!file ||
	    (writes ? !(map->access & NVME_DMABUF_ACCESS_WRITE) ||
			      nvdm_namespace_forbids_writes(ns) :
		      !(map->access & NVME_DMABUF_ACCESS_READ) || words->kind != map->plain_read) ||
	    !file->extents.count || ns->zone_blocks ||
	    words->rest[0] | words->rest[1] | words->rest[2] ||
	    words->length - 1 >= ns->max_command || words->length & ns->block_mask ||
	    words->offset & 3 || words->length > map->length ||
	    words->offset > map->length - words->length || blocks > file->blocks ||
	    words->slba > file->blocks - blocks)
		return false;
	/* As in nvdm_command_start_part(). */
	extent = extents_find(&file->extents, array_index_nospec(words->slba, file->blocks));
	*slba = extent->start + (words->slba - extent->first);
	return extent->start != EXTENT_HOLE && words->slba + blocks <= extent[1].first;
}

/*
 * Such a command, or one that is not plain, of which nothing happens and false is returned. A
 * function of its own, so that the others do no more because there are files. Inside RCU, with
 * what nvdm_plain_take_map() returned.
 */
static noinline bool nvdm_plain_submit_in_file(struct nvdm_submitter *sub, struct nvdm_map *taken,
					       const struct nvme_dmabuf_command *uapi,
					       struct nvdm_map **of, rq_end_io_fn *end_io,
					       void *data)
{
	const struct command_words *words = nvdm_command_words(uapi);
	struct nvdm_map *map = nvdm_plain_other(taken);
	struct request *joined;
	bool writes;
	u64 slba;

	if (!map)
		return false;
	*of = map;
	writes = words->kind == map->file_write && uapi->opcode == NVME_DMABUF_OP_WRITE;
	if (!nvdm_plain_is_in_piece(map, words, writes, &slba))
		goto put;
	if (!writes) {
		if (nvdm_plain_begin(sub, map, uapi, &slba, end_io, data, &joined))
			return true;
		goto put;
	}
	if (!nvdm_file_begin_write(map->blocks.file))
		goto put;
	end_io = end_io == nvdm_command_end_io_plain ? nvdm_command_end_io_plain_write :
						       nvdm_uring_end_io_write;
	if (nvdm_plain_begin(sub, map, uapi, &slba, end_io, data, &joined))
		return true;
	nvdm_file_end_write(map->blocks.file);
put:
	nvdm_plain_put(map);
	return false;
}

/*
 * Those that follow a command whose request waits in the plug, as far as they make a run
 * with it. A function of its own, with the run in memory, for it needs all registers.
 */
static noinline u32 nvdm_command_join(const struct nvdm_submitter *sub, struct nvdm_stock_run *run,
				      const struct nvdm_map_table *table,
				      struct nvdm_command **list, u32 count)
{
	struct nvdm_command *cmd = *list, *next;

	for (; count; count--) {
		struct nvdm_map *map = nvdm_plain_take_map(table, &cmd->uapi);

		if (unlikely(!nvdm_plain_is_map(map))) {
			map = nvdm_plain_other(map);
			if (map)
				nvdm_plain_put(map);
			break;
		}
		/* Though it waits in the plug, it may be ended: see parked.c. */
		next = cmd->next;
		cmd->map = map;
		if (unlikely(!nvdm_plain_join(sub, run, map, &cmd->uapi, nvdm_command_end_io_plain,
					      cmd))) {
			nvdm_plain_put(map);
			break;
		}
		cmd = next;
	}
	*list = cmd;
	return count;
}

/*
 * The short way, that most commands go. Returns how many are left of @count, and in *@list
 * the first of them: nothing has happened to it, for it is special, or cannot be submitted
 * now. Nothing here sleeps.
 */
static __always_inline u32 nvdm_command_submit_plain(struct nvdm_submitter *sub,
						     struct nvdm_command **list, u32 count)
{
	struct nvdm_stock_run run __uninitialized;
	const struct nvdm_map_table *table;
	struct request *joined;

	rcu_read_lock();
	table = rcu_dereference(sub->ctx->table);
	do {
		struct nvdm_command *cmd = *list, *next = cmd->next;
		struct nvdm_map *map = nvdm_plain_take_map(table, &cmd->uapi);

		if (unlikely(!nvdm_plain_is_map(map))) {
			if (!nvdm_plain_submit_in_file(sub, map, &cmd->uapi, &cmd->map,
						       nvdm_command_end_io_plain, cmd))
				break;
			*list = next;
			count--;
			continue;
		}
		cmd->map = map;
		if (unlikely(!nvdm_plain_begin(sub, map, &cmd->uapi, NULL,
					       nvdm_command_end_io_plain, cmd, &joined))) {
			nvdm_plain_put(map);
			break;
		}
		/* Once it is submitted it may be complete, and in another list. */
		*list = next;
		count--;
		if (joined && count) {
			nvdm_stock_run_begin(&run, current->plug, &map->ns, joined);
			count = nvdm_command_join(sub, &run, table, list, count);
		}
	} while (count);
	rcu_read_unlock();
	return count;
}

/**
 * nvdm_plain_submit - submit a plain command for which there is no struct nvdm_command
 * @sub: who submits, and how
 * @uapi: the command, which need not be plain
 * @map: where to return its map, before @end_io can be called
 * @end_io: must put the inflight reference of the map, which it has; for an outcome that is
 *	not success it can ask nvdm_plain_failed()
 * @data: the request's end_io_data
 *
 * Return: false if it is not plain, or cannot be submitted now: nothing has happened.
 */
bool nvdm_plain_submit(struct nvdm_submitter *sub, const struct nvme_dmabuf_command *uapi,
		       struct nvdm_map **map, rq_end_io_fn *end_io, void *data)
{
	const struct nvdm_map_table *table;
	struct request *joined;
	struct nvdm_map *taken;
	bool submitted;

	rcu_read_lock();
	table = rcu_dereference(sub->ctx->table);
	taken = nvdm_plain_take_map(table, uapi);
	if (likely(nvdm_plain_is_map(taken))) {
		*map = taken;
		submitted = nvdm_plain_begin(sub, taken, uapi, NULL, end_io, data, &joined);
		if (unlikely(!submitted))
			nvdm_plain_put(taken);
	} else {
		submitted = nvdm_plain_submit_in_file(sub, taken, uapi, map, end_io, data);
	}
	rcu_read_unlock();
	return submitted;
}

/**
 * nvdm_command_submit - check commands, and hand them to the driver
 * @sub: who submits, and how
 * @list: the first one, with uapi filled in; then the first that was not submitted
 * @count: how many, at least 1
 *
 * Also a command that is refused is completed.
 *
 * Return: how many will be completed, or were. Only if @sub has nowait or nonblock they
 * may be fewer: the next one would have to wait, and nothing of it has happened.
 */
u32 nvdm_command_submit(struct nvdm_submitter *sub, struct nvdm_command **list, u32 count)
{
	struct nvdm_command *next;
	u32 left = count;

	while ((left = nvdm_command_submit_plain(sub, list, left))) {
		next = (*list)->next;
		if (!nvdm_command_submit_any(sub, *list))
			break;
		*list = next;
		if (!--left)
			break;
	}
	return count - left;
}
