// SPDX-License-Identifier: GPL-2.0-only
/*
 * Plain commands, the short way: most commands are a Read or Write of one part, without
 * flags or a timeout. Nothing here sleeps, and each instruction counts. What is not plain, or
 * meets something unusual, goes to command.c. Must not know dma-bufs or user memory.
 */
#include <linux/nospec.h>

#include "entry.h"
#include "submit.h"

/* Of no command, for no map has this number. */
#define NO_KIND U64_MAX

/**
 * nvdm_command_recognise - prepare to recognise plain commands for a map
 * @map: the map
 * @id: its number in its context
 */
void nvdm_command_recognise(struct nvdm_map *map, u32 id)
{
	const struct nvme_dmabuf_command read = { .map = id, .opcode = NVME_DMABUF_OP_READ };
	const struct nvme_dmabuf_command write = { .map = id, .opcode = NVME_DMABUF_OP_WRITE };
	u64 read_kind = nvdm_command_words(&read)->kind;
	u64 write_kind = nvdm_command_words(&write)->kind;
	bool reads = map->access & NVME_DMABUF_ACCESS_READ;
	bool writes = map->access & NVME_DMABUF_ACCESS_WRITE;
	bool of_file = nvdm_map_is_of_file(map);

	map->id = id;
	map->plain_read = reads ? read_kind : of_file ? NO_KIND : write_kind;
	map->plain_write = !writes ? read_kind : of_file ? NO_KIND : write_kind;
	map->file_write = writes && of_file ? write_kind : NO_KIND;
}

/* Of a command, all but its kind. */
static __always_inline bool nvdm_plain_check_range(const struct nvdm_map *map,
						   const struct command_words *words)
{
	const struct nvdm_namespace *ns = &map->ns;
	u64 capacity = nvdm_namespace_capacity(ns);
	u64 length = words->length, blocks;

	blocks = length >> (ns->block_shift & 63);
	return !(words->rest[0] | words->rest[1] | words->rest[2]) && length - 1 < ns->max_plain &&
	       !(length & ns->block_mask) && !(words->offset & 3) && length <= map->length &&
	       words->offset <= map->length - length && blocks <= capacity &&
	       words->slba <= capacity - blocks;
}

/*
 * Is there nothing to be said against this command, nor anything special about it? What
 * is not so is looked at by nvdm_command_issue(), which knows what to say. With an
 * inflight reference.
 */
static __always_inline bool nvdm_plain_check(const struct nvdm_map *map,
					     const struct command_words *words)
{
	/* A map for one direction has the same kind twice. */
	if (words->kind != map->plain_write) {
		if (words->kind != map->plain_read)
			return false;
	} else if (map->access & NVME_DMABUF_ACCESS_WRITE &&
		   nvdm_namespace_forbids_writes(&map->ns)) {
		return false;
	}
	return nvdm_plain_check_range(map, words);
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

/* Where a command's first block is on the namespace, unless that was found out before. */
static __always_inline u64 nvdm_plain_slba(const struct nvdm_map *map,
					   const struct nvme_dmabuf_command *uapi,
					   const u64 *in_file)
{
	return in_file ? *in_file : map->ns.start + uapi->slba;
}

/* The next of a run. If it returns false, nothing has happened. */
static __always_inline bool nvdm_plain_join(const struct nvdm_submitter *sub,
					    struct nvdm_stock_run *run, const struct nvdm_map *map,
					    const struct nvme_dmabuf_command *uapi,
					    const u64 *in_file, rq_end_io_fn *end_io, void *data)
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
				nvdm_plain_slba(map, uapi, in_file), uapi->length, dptr);
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

/*
 * Is this a command that would be plain but for the file's being in many pieces, within one of
 * them? Then *@slba is its first block on the namespace. With an inflight reference.
 */
static __always_inline bool nvdm_plain_is_in_piece(const struct nvdm_map *map,
						   const struct command_words *words, u64 *slba)
{
	const struct nvdm_namespace *ns = &map->ns;
	const struct nvdm_file *file = map->blocks.file;
	u64 blocks = words->length >> (ns->block_shift & 63);
	const struct extent *extent;

	if (!file || !file->extents.count || ns->zone_blocks ||
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

/**
 * enum nvdm_plain_way - commands that are told alike, and make runs
 * @WAY_PLAIN: plain ones
 * @WAY_WRITE: Writes to a file in one piece, that are plain but for this: whoever freezes the
 *	file system waits for them
 * @WAY_READ_PIECE: Reads of a file in many pieces, of one of these
 * @WAY_WRITE_PIECE: Writes likewise
 * @WAY_LONG: all others
 */
enum nvdm_plain_way { WAY_PLAIN, WAY_WRITE, WAY_READ_PIECE, WAY_WRITE_PIECE, WAY_LONG };

static __always_inline bool nvdm_plain_writes_file(enum nvdm_plain_way way)
{
	return way == WAY_WRITE || way == WAY_WRITE_PIECE;
}

static __always_inline bool nvdm_plain_has_pieces(enum nvdm_plain_way way)
{
	return way == WAY_READ_PIECE || way == WAY_WRITE_PIECE;
}

/*
 * Does a command go this way? If it writes to a file, it has begun to, and is to be given up by
 * nvdm_plain_give_up(). *@slba is set for pieces. With an inflight reference.
 */
static __always_inline bool nvdm_plain_goes(const struct nvdm_map *map,
					    const struct command_words *words,
					    enum nvdm_plain_way way, u64 *slba)
{
	if (way == WAY_PLAIN)
		return nvdm_plain_check(map, words);
	if (words->kind != (nvdm_plain_writes_file(way) ? map->file_write : map->plain_read) ||
	    !(nvdm_plain_has_pieces(way) ? nvdm_plain_is_in_piece(map, words, slba) :
					   nvdm_plain_check_range(map, words)))
		return false;
	return !nvdm_plain_writes_file(way) || (!nvdm_namespace_forbids_writes(&map->ns) &&
						nvdm_file_begin_write(map->blocks.file));
}

/* Rare, so that it need not be inline, where it would take a register from what is not. */
static noinline void nvdm_plain_put(struct nvdm_map *map)
{
	percpu_ref_put(&map->inflight);
}

/* Likewise, of a command that goes one of these ways. */
static noinline void nvdm_plain_give_up(struct nvdm_map *map,
					const struct nvme_dmabuf_command *uapi)
{
	if (nvdm_command_words(uapi)->kind == map->file_write)
		nvdm_file_end_write(map->blocks.file);
	percpu_ref_put(&map->inflight);
}

/*
 * The map of a command, with an inflight reference, or NULL. Inside RCU, which keeps the map's
 * memory. That each command takes a reference of its own costs four instructions, and as much
 * for many maps as for one.
 */
static __always_inline struct nvdm_map *nvdm_plain_get_map(const struct nvdm_map_table *table,
							   const struct nvme_dmabuf_command *uapi)
{
	struct nvdm_map *map = nvdm_map_table_find(table, uapi->map);

	if (unlikely(!map || !percpu_ref_tryget_live_rcu(&map->inflight)))
		return NULL;
	/* As in nvdm_command_get_map(). */
	smp_acquire__after_ctrl_dep();
	return map;
}

/* Of an address that nvdm_plain_take_map() returns. */
#define NOT_TAKEN 1UL

static __always_inline bool nvdm_plain_is_map(const struct nvdm_map *taken)
{
	return !((unsigned long)taken & NOT_TAKEN);
}

/* The map of a command that does not go the way that was asked for, or NULL. */
static __always_inline struct nvdm_map *nvdm_plain_other(struct nvdm_map *taken)
{
	return (struct nvdm_map *)((unsigned long)taken & ~NOT_TAKEN);
}

/*
 * Likewise of a command that goes this way. If it does not, the map with NOT_TAKEN, for there
 * are other ways; if there is no map, that alone. In one word, for the compiler has no register
 * for another.
 */
static __always_inline struct nvdm_map *nvdm_plain_take_map(const struct nvdm_map_table *table,
							    const struct nvme_dmabuf_command *uapi,
							    enum nvdm_plain_way way, u64 *slba)
{
	struct nvdm_map *map = nvdm_plain_get_map(table, uapi);

	if (unlikely(!map))
		return (struct nvdm_map *)NOT_TAKEN;
	if (likely(nvdm_plain_goes(map, nvdm_command_words(uapi), way, slba)))
		return map;
	return (struct nvdm_map *)((unsigned long)map | NOT_TAKEN);
}

/* Which way a command goes that is not plain, and in *@slba its first block on the namespace. */
static __always_inline enum nvdm_plain_way
nvdm_plain_find_way(const struct nvdm_map *map, const struct command_words *words, u64 *slba)
{
	if (map->ns.max_plain) {
		*slba = map->ns.start + words->slba;
		return nvdm_plain_goes(map, words, WAY_WRITE, NULL) ? WAY_WRITE : WAY_LONG;
	}
	if (nvdm_plain_goes(map, words, WAY_WRITE_PIECE, slba))
		return WAY_WRITE_PIECE;
	return nvdm_plain_goes(map, words, WAY_READ_PIECE, slba) ? WAY_READ_PIECE : WAY_LONG;
}

static __always_inline rq_end_io_fn *nvdm_plain_end_io(enum nvdm_plain_way way)
{
	return nvdm_plain_writes_file(way) ? nvdm_command_end_io_plain_write :
					     nvdm_command_end_io_plain;
}

/*
 * Those that follow a command whose request waits in the plug, as far as they go the same way
 * and make a run with it.
 */
static __always_inline u32 nvdm_command_join_way(const struct nvdm_submitter *sub,
						 struct nvdm_stock_run *run,
						 const struct nvdm_map_table *table,
						 struct nvdm_command **list, u32 count,
						 enum nvdm_plain_way way)
{
	struct nvdm_command *cmd = *list, *next;
	u64 slba;

	for (; count; count--) {
		struct nvdm_map *map = nvdm_plain_take_map(table, &cmd->uapi, way, &slba);

		if (unlikely(!nvdm_plain_is_map(map))) {
			map = nvdm_plain_other(map);
			if (map)
				nvdm_plain_put(map);
			break;
		}
		/* Though it waits in the plug, it may be ended: see parked.c. */
		next = cmd->next;
		cmd->map = map;
		if (unlikely(!nvdm_plain_join(sub, run, map, &cmd->uapi,
					      nvdm_plain_has_pieces(way) ? &slba : NULL,
					      nvdm_plain_end_io(way), cmd))) {
			nvdm_plain_give_up(map, &cmd->uapi);
			break;
		}
		cmd = next;
	}
	*list = cmd;
	return count;
}

/*
 * A function for each way, with the run in memory, for each needs all registers. Flat, for the
 * compiler would call what begins a write.
 */
#define COMMAND_JOIN(name, way)                                                   \
	static noinline __flatten u32 name(const struct nvdm_submitter *sub,      \
					   struct nvdm_stock_run *run,            \
					   const struct nvdm_map_table *table,    \
					   struct nvdm_command **list, u32 count) \
	{                                                                         \
		return nvdm_command_join_way(sub, run, table, list, count, way);  \
	}

COMMAND_JOIN(nvdm_command_join_plain, WAY_PLAIN)
COMMAND_JOIN(nvdm_command_join_write, WAY_WRITE)
COMMAND_JOIN(nvdm_command_join_read_piece, WAY_READ_PIECE)
COMMAND_JOIN(nvdm_command_join_write_piece, WAY_WRITE_PIECE)

/* Which nvdm_command_join_*() that is. */
static __always_inline u32 nvdm_command_join(const struct nvdm_submitter *sub,
					     struct nvdm_stock_run *run,
					     const struct nvdm_map_table *table,
					     struct nvdm_command **list, u32 count,
					     enum nvdm_plain_way way)
{
	switch (way) {
	case WAY_PLAIN:
		return nvdm_command_join_plain(sub, run, table, list, count);
	case WAY_WRITE:
		return nvdm_command_join_write(sub, run, table, list, count);
	case WAY_READ_PIECE:
		return nvdm_command_join_read_piece(sub, run, table, list, count);
	case WAY_WRITE_PIECE:
		return nvdm_command_join_write_piece(sub, run, table, list, count);
	case WAY_LONG:
		break;
	}
	return count;
}

/*
 * A command and those that make a run with it, which are counted no more and no more in @list.
 * If it returns false, nothing has happened.
 */
static __always_inline bool nvdm_command_submit_run(struct nvdm_submitter *sub,
						    const struct nvdm_map_table *table,
						    struct nvdm_command *cmd, struct nvdm_map *map,
						    const u64 *in_file, struct nvdm_command **list,
						    u32 *count, enum nvdm_plain_way way)
{
	struct nvdm_stock_run run __uninitialized;
	struct nvdm_command *next = cmd->next;
	struct request *joined;

	cmd->map = map;
	if (unlikely(!nvdm_plain_begin(sub, map, &cmd->uapi, in_file, nvdm_plain_end_io(way), cmd,
				       &joined))) {
		nvdm_plain_give_up(map, &cmd->uapi);
		return false;
	}
	/* Once it is submitted it may be complete, and in another list. */
	*list = next;
	if (--*count && joined) {
		nvdm_stock_run_begin(&run, current->plug, &map->ns, joined);
		*count = nvdm_command_join(sub, &run, table, list, *count, way);
	}
	return true;
}

/*
 * The same of commands that are not plain. Returns how many are left of @count: if all, nothing
 * has happened. A function of its own, so that the others do no more because there are files.
 * With what nvdm_plain_take_map() returned.
 */
static noinline u32 nvdm_command_submit_in_file(struct nvdm_submitter *sub,
						const struct nvdm_map_table *table,
						struct nvdm_map *taken, struct nvdm_command **list,
						u32 count)
{
	struct nvdm_map *map = nvdm_plain_other(taken);
	struct nvdm_command *cmd = *list;
	enum nvdm_plain_way way;
	u64 slba;

	if (!map)
		return count;
	way = nvdm_plain_find_way(map, nvdm_command_words(&cmd->uapi), &slba);
	if (way == WAY_LONG)
		nvdm_plain_put(map);
	else
		nvdm_command_submit_run(sub, table, cmd, map, &slba, list, &count, way);
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
	const struct nvdm_map_table *table;
	struct nvdm_command *cmd;
	struct nvdm_map *map;
	u32 left;

	rcu_read_lock();
	table = rcu_dereference(sub->ctx->table);
	do {
		cmd = *list;
		map = nvdm_plain_take_map(table, &cmd->uapi, WAY_PLAIN, NULL);
		if (likely(nvdm_plain_is_map(map))) {
			if (!nvdm_command_submit_run(sub, table, cmd, map, NULL, list, &count,
						     WAY_PLAIN))
				break;
		} else {
			left = nvdm_command_submit_in_file(sub, table, map, list, count);
			if (left == count)
				break;
			count = left;
		}
	} while (count);
	rcu_read_unlock();
	return count;
}

/* Likewise, for who has no struct nvdm_command, of a file in many pieces. */
static noinline __flatten bool nvdm_plain_submit_in_piece(struct nvdm_submitter *sub,
							  struct nvdm_map *map,
							  const struct nvme_dmabuf_command *uapi,
							  void *data)
{
	enum nvdm_plain_way way;
	struct request *joined;
	rq_end_io_fn *end_io;
	u64 slba;

	way = nvdm_plain_find_way(map, nvdm_command_words(uapi), &slba);
	if (way == WAY_LONG) {
		nvdm_plain_put(map);
		return false;
	}
	end_io = nvdm_plain_writes_file(way) ? nvdm_uring_end_io_write : nvdm_uring_end_io;
	if (nvdm_plain_begin(sub, map, uapi, &slba, end_io, data, &joined))
		return true;
	nvdm_plain_give_up(map, uapi);
	return false;
}

static __always_inline bool nvdm_plain_submit_map(struct nvdm_submitter *sub, struct nvdm_map *map,
						  const struct nvme_dmabuf_command *uapi,
						  void *data)
{
	const struct command_words *words = nvdm_command_words(uapi);
	struct request *joined;
	rq_end_io_fn *end_io;

	if (likely(nvdm_plain_check(map, words)))
		end_io = nvdm_uring_end_io;
	else if (nvdm_plain_goes(map, words, WAY_WRITE, NULL))
		end_io = nvdm_uring_end_io_write;
	else
		return nvdm_plain_submit_in_piece(sub, map, uapi, data);
	if (likely(nvdm_plain_begin(sub, map, uapi, NULL, end_io, data, &joined)))
		return true;
	nvdm_plain_give_up(map, uapi);
	return false;
}

/**
 * nvdm_plain_submit - submit a plain command for which there is no struct nvdm_command
 * @sub: who submits, and how
 * @uapi: the command, which need not be plain
 * @map: where to return its map, before nvdm_uring_end_io() can be called, or its like for
 *	Writes to files. These put the inflight reference of the map, which they have; for an
 *	outcome that is not success they can ask nvdm_plain_failed()
 * @data: the request's end_io_data
 *
 * Return: false if it is not plain, or cannot be submitted now: nothing has happened.
 */
bool __flatten nvdm_plain_submit(struct nvdm_submitter *sub, const struct nvme_dmabuf_command *uapi,
				 struct nvdm_map **map, void *data)
{
	bool submitted;

	rcu_read_lock();
	*map = nvdm_plain_get_map(rcu_dereference(sub->ctx->table), uapi);
	submitted = likely(*map) && nvdm_plain_submit_map(sub, *map, uapi, data);
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
