// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps: a mapping of memory joined to a namespace, for as long as the map lives and both
 * sides let it. Either can be taken back: then nothing new is let in, and what is in flight
 * is waited for. Must not know user memory.
 */
#include <linux/poll.h>
#include <linux/slab.h>

#include "command.h"

static void nvdm_map_release_inflight(struct percpu_ref *ref)
{
	struct nvdm_map *map = container_of(ref, struct nvdm_map, inflight);

	complete_all(&map->idle);
}

/* Under the map's lock. */
static void nvdm_map_set_event(struct nvdm_map *map, bool event)
{
	if (map->event == event)
		return;
	map->event = event;
	if (event) {
		atomic_inc(&map->events->pending);
		wake_up_poll(&map->events->wait, EPOLLPRI);
	} else {
		atomic_dec(&map->events->pending);
	}
}

/* @why: NVME_DMABUF_REASON_*, which counts if the state is REVOKED. */
static void nvdm_map_change_state(struct nvdm_map *map, int state, u32 why, bool tell)
{
	spin_lock(&map->lock);
	if (map->state < state) {
		bool live = map->state == NVME_DMABUF_STATE_LIVE;

		/* Before the reference is killed: who gets none looks here why. */
		WRITE_ONCE(map->why, why);
		smp_wmb();
		WRITE_ONCE(map->state, state);
		smp_wmb();
		if (live) {
			WRITE_ONCE(map->stopped, jiffies);
			percpu_ref_kill(&map->inflight);
		}
		if (tell || state == STATE_DETACHED)
			nvdm_map_set_event(map, tell);
	}
	spin_unlock(&map->lock);
}

/**
 * nvdm_map_stop - let no new command in
 * @map: the map
 * @state: what new commands are to be told: NVME_DMABUF_STATE_REVOKED, _GONE or
 *	STATE_DETACHED
 *
 * Allocates nothing, and does not sleep.
 */
void nvdm_map_stop(struct nvdm_map *map, int state)
{
	nvdm_map_change_state(map, state, NVME_DMABUF_REASON_REVOKED, state != STATE_DETACHED);
}

/**
 * nvdm_map_take_event - has a map stopped, and nobody has read so?
 * @map: the map
 * @event: what to tell, but for the map's number
 */
bool nvdm_map_take_event(struct nvdm_map *map, struct nvme_dmabuf_event *event)
{
	bool taken;

	spin_lock(&map->lock);
	taken = map->event;
	nvdm_map_set_event(map, false);
	event->state = map->state;
	event->generation = map->generation;
	spin_unlock(&map->lock);
	return taken;
}

/**
 * nvdm_map_return_event - an event that was taken could not be told
 * @map: the map
 */
void nvdm_map_return_event(struct nvdm_map *map)
{
	spin_lock(&map->lock);
	if (map->state != STATE_DETACHED)
		nvdm_map_set_event(map, true);
	spin_unlock(&map->lock);
}

/**
 * nvdm_map_stopped - why does a map take no commands?
 * @map: the map
 * @reason: NVME_DMABUF_REASON_* if it takes none
 *
 * Return: 0 if it takes commands, -ESTALE, -ENODEV or -ENOENT.
 */
int nvdm_map_stopped(const struct nvdm_map *map, u32 *reason)
{
	switch (READ_ONCE(map->state)) {
	case NVME_DMABUF_STATE_LIVE:
		return 0;
	case NVME_DMABUF_STATE_REVOKED:
		smp_rmb();
		*reason = READ_ONCE(map->why);
		return -ESTALE;
	case NVME_DMABUF_STATE_GONE:
		*reason = NVME_DMABUF_REASON_GONE;
		return -ENODEV;
	default:
		*reason = NVME_DMABUF_REASON_NO_MAP;
		return -ENOENT;
	}
}

/**
 * nvdm_map_drain - wait until the drive has finished with a map
 * @map: a map for which nvdm_map_stop() was called
 *
 * Ends whatever the driver does: it ends each request that has started, by its timeout if
 * need be, and those that it keeps from the drive are ended here. Whoever submitted to
 * polled queues may not be looking. Allocates nothing.
 */
void nvdm_map_drain(struct nvdm_map *map)
{
	const struct nvdm_parked mine = { .map = map };
	unsigned long patience = READ_ONCE(map->stopped) + PARKED_PATIENCE;

	while (!wait_for_completion_timeout(&map->idle,
					    nvdm_map_is_polled(map) ? 1 : PARKED_PATIENCE / 10)) {
		nvdm_poll_disk(map->poll, map->ns.disk);
		if (time_after_eq(jiffies, patience)) {
			nvdm_command_end_parked(&map->ns, &mine);
			patience = jiffies + PARKED_PATIENCE;
		}
	}
}

/*
 * Under the reservation lock, of a map whose memory is mapped. Not if it is to stop for good,
 * or somebody waits for the leases of its file.
 */
static void nvdm_map_start(struct nvdm_map *map)
{
	spin_lock(&map->lock);
	if (map->state == NVME_DMABUF_STATE_REVOKED && !READ_ONCE(map->blocks.stopped)) {
		reinit_completion(&map->idle);
		/*
		 * All that was changed is visible to who gets a reference: see
		 * nvdm_command_get_map(). percpu_ref_reinit() alone sees to that only when it
		 * is through, and lets references out before. Drained, so it does not wait.
		 */
		smp_wmb();
		percpu_ref_reinit(&map->inflight);
		WRITE_ONCE(map->state, NVME_DMABUF_STATE_LIVE);
	}
	spin_unlock(&map->lock);
}

static struct nvdm_map *nvdm_map_of_memory(struct nvdm_mapping_user *user)
{
	return container_of(user, struct nvdm_map, memory);
}

/* A mapping that the map has not seen. It is drained, so no command uses the last one. */
static int nvdm_map_take_mapping(struct nvdm_map *map, u32 *reason)
{
	struct nvdm_mapping *mapping = map->memory.mapping;
	int ret;

	if (map->flags & NVME_DMABUF_ATTACH_REQUIRE_P2P) {
		ret = nvdm_placement_require_peers(mapping, reason);
		if (ret)
			return ret;
	}
	spin_lock(&map->lock);
	map->list = mapping->list;
	map->contiguous = prp_list_address(&mapping->list, 0);
	map->sgl = mapping->segments == 1 && map->ns.flags & NVME_DMABUF_NS_SGL;
	map->exporter_flags = mapping->exporter_flags;
	map->segments = mapping->segments;
	map->list_bytes = mapping->list_bytes;
	map->mapped = mapping->generation;
	map->generation++;
	spin_unlock(&map->lock);
	return 0;
}

static int nvdm_map_begin_memory(struct nvdm_mapping_user *user, u32 *reason)
{
	struct nvdm_map *map = nvdm_map_of_memory(user);
	int ret = 0;

	if (map->mapped != user->mapping->generation)
		ret = nvdm_map_take_mapping(map, reason);
	if (!ret)
		nvdm_map_start(map);
	return ret;
}

static void nvdm_map_stop_memory(struct nvdm_mapping_user *user)
{
	nvdm_map_stop(nvdm_map_of_memory(user), NVME_DMABUF_STATE_REVOKED);
}

static void nvdm_map_drain_memory(struct nvdm_mapping_user *user)
{
	nvdm_map_drain(nvdm_map_of_memory(user));
}

static int nvdm_map_memory_stopped(struct nvdm_mapping_user *user)
{
	u32 reason;

	return nvdm_map_stopped(nvdm_map_of_memory(user), &reason);
}

static const struct nvdm_mapping_user_ops map_memory_ops = {
	.begin = nvdm_map_begin_memory,
	.stop = nvdm_map_stop_memory,
	.drain = nvdm_map_drain_memory,
	.stopped = nvdm_map_memory_stopped,
};

static struct nvdm_map *nvdm_map_of_file(struct nvdm_file_user *user)
{
	return container_of(user, struct nvdm_map, blocks);
}

/* Only the commands of a file in one piece need not look where its blocks are. */
static void nvdm_map_begin_file(struct nvdm_file_user *user)
{
	struct nvdm_map *map = nvdm_map_of_file(user);
	const struct nvdm_file *file = user->file;
	bool whole = file->extents.count == 1 && file->extents.pieces == 1 && !map->ns.zone_blocks;

	spin_lock(&map->lock);
	map->ns.start = whole ? file->extents.all[0].start : 0;
	map->ns.max_plain = whole ? map->ns.max_command : 0;
	map->extents = file->extents.pieces;
	map->file_blocks = file->blocks;
	map->file_bytes = file->bytes;
	map->file_flags = NVME_DMABUF_MAP_FILE | (file->layout.held ? NVME_DMABUF_MAP_LAYOUT : 0) |
			  (file->exclusive.held ? NVME_DMABUF_MAP_EXCLUSIVE : 0);
	map->moves++;
	spin_unlock(&map->lock);
}

static void nvdm_map_stop_file(struct nvdm_file_user *user)
{
	nvdm_map_change_state(nvdm_map_of_file(user), NVME_DMABUF_STATE_REVOKED,
			      NVME_DMABUF_REASON_FILE_CHANGED, true);
}

static void nvdm_map_drain_file(struct nvdm_file_user *user)
{
	nvdm_map_drain(nvdm_map_of_file(user));
}

static const struct nvdm_file_user_ops map_file_ops = {
	.begin = nvdm_map_begin_file,
	.stop = nvdm_map_stop_file,
	.drain = nvdm_map_drain_file,
};

/*
 * Lets go of the memory of a map that is stopped and drained. Does nothing if it was done
 * before. Waits for the exporter.
 */
static void nvdm_map_detach(struct nvdm_map *map)
{
	mutex_lock(&map->attach_lock);
	if (map->attached) {
		nvdm_mapping_leave(&map->memory);
		map->attached = false;
		/* Last: a controller that leaves waits for its users. */
		nvdm_controller_leave(map->ns.ctrl, &map->storage);
	}
	mutex_unlock(&map->attach_lock);
}

static struct nvdm_map *nvdm_map_of_storage(struct nvdm_controller_user *user)
{
	return container_of(user, struct nvdm_map, storage);
}

static void nvdm_map_get_storage(struct nvdm_controller_user *user)
{
	kref_get(&nvdm_map_of_storage(user)->ref);
}

static void nvdm_map_stop_storage(struct nvdm_controller_user *user)
{
	nvdm_map_stop(nvdm_map_of_storage(user), NVME_DMABUF_STATE_GONE);
}

static void nvdm_map_leave_storage(struct nvdm_controller_user *user)
{
	struct nvdm_map *map = nvdm_map_of_storage(user);

	/* The driver has ended all requests, and what else a map has may be gone. */
	wait_for_completion(&map->idle);
	nvdm_map_detach(map);
	nvdm_map_put(map);
}

static const struct nvdm_controller_user_ops map_storage_ops = {
	.get = nvdm_map_get_storage,
	.stop = nvdm_map_stop_storage,
	.leave = nvdm_map_leave_storage,
};

/* Under the map's attach_lock. What is done is undone by nvdm_map_detach(). */
static int nvdm_map_attach_locked(struct nvdm_map *map, u32 *reason)
{
	struct nvdm_controller *ctrl = map->ns.ctrl;
	int ret = 0;

	if (map->list_align > sizeof(__le64))
		ret = nvdm_aligned_list_prepare(&ctrl->importer);
	/* First: from then on it does not go before the memory is let go. */
	if (!ret)
		ret = nvdm_controller_join(ctrl, &map->storage);
	if (ret) {
		if (ret == -ENODEV)
			*reason = NVME_DMABUF_REASON_GONE;
		return ret;
	}
	ret = nvdm_mapping_join(&map->memory, reason);
	if (ret)
		nvdm_controller_leave(ctrl, &map->storage);
	map->attached = !ret;
	return ret;
}

static int nvdm_map_attach(struct nvdm_map *map, u32 *reason)
{
	int ret;

	mutex_lock(&map->attach_lock);
	ret = nvdm_map_attach_locked(map, reason);
	mutex_unlock(&map->attach_lock);
	return ret;
}

/*
 * Maps the buffer, if it is not mapped, and lets commands in, unless a move is under
 * way: mapping may have begun one. Under the map's attach_lock.
 */
static int nvdm_map_map(struct nvdm_map *map, u32 *reason)
{
	/* If it goes after this, what is made here is undone when we let the lock go. */
	if (!map->attached || nvdm_controller_is_gone(map->ns.ctrl)) {
		*reason = NVME_DMABUF_REASON_GONE;
		return -ENODEV;
	}
	return nvdm_mapping_begin(&map->memory, reason);
}

/* Takes over the format that the namespace has now, under the map's attach_lock. */
static int nvdm_map_reread_namespace(struct nvdm_map *map, u32 *reason)
{
	struct nvdm_namespace now = {
		.bdev = map->ns.bdev,
		.disk = map->ns.disk,
		.ctrl = map->ns.ctrl,
		.nsid = map->ns.nsid,
		.flags = map->ns.flags,
		.sectors = map->ns.sectors,
	};
	int ret;

	ret = nvdm_map_stopped(map, reason);
	if (ret && ret != -ESTALE)
		return ret;
	ret = nvdm_namespace_reread(&now, reason);
	/* It was right at attach: so a format is under way, and the kernel does not know it yet. */
	if (ret == -EOPNOTSUPP && *reason == NVME_DMABUF_REASON_TRANSFER_LENGTH) {
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		return -ESTALE;
	}
	if (ret || now.block_shift == map->ns.block_shift)
		return ret;

	/* A file system's blocks do not change their size. */
	if (nvdm_map_is_of_file(map)) {
		*reason = NVME_DMABUF_REASON_FORMAT_CHANGED;
		return -ESTALE;
	}
	/* Its user knows. */
	nvdm_map_change_state(map, NVME_DMABUF_STATE_REVOKED, NVME_DMABUF_REASON_REVOKED, false);
	nvdm_map_drain(map);
	spin_lock(&map->lock);
	map->ns.block_shift = now.block_shift;
	map->ns.block_size = now.block_size;
	map->ns.block_mask = now.block_mask;
	map->ns.base = now.base;
	map->ns.start = now.start;
	map->ns.max_command = now.max_command;
	map->ns.max_plain = now.max_plain;
	map->ns.zone_blocks = now.zone_blocks;
	spin_unlock(&map->lock);
	return 0;
}

/**
 * nvdm_map_refresh - map a buffer, again if its exporter took it back
 * @map: an attached map
 * @reread: also take over the namespace's format
 * @told: where to return how often it was mapped, and its block size, or NULL
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 if the map takes commands; MAPPING_MOVES if its KERNEL fences are to be waited
 * for first; FILE_LATER if it is to be tried again in a moment; or a negative error number.
 */
int nvdm_map_refresh(struct nvdm_map *map, bool reread, struct nvme_dmabuf_refresh *told,
		     u32 *reason)
{
	bool again = false;
	int ret;

	*reason = NVME_DMABUF_REASON_NONE;
	if (mutex_lock_interruptible(&map->attach_lock))
		return -EINTR;
	ret = reread ? nvdm_map_reread_namespace(map, reason) : 0;
	while (!ret && (ret = nvdm_map_stopped(map, reason)) == -ESTALE) {
		*reason = NVME_DMABUF_REASON_NONE;
		/* An exporter that moves the buffer all the time is not waited for. */
		if (again && signal_pending(current))
			ret = -EINTR;
		else
			ret = nvdm_map_is_of_file(map) ?
				      nvdm_file_hold(&map->blocks, &map->ns, reason) :
				      0;
		if (!ret)
			ret = nvdm_map_map(map, reason);
		again = true;
	}
	/* Changed only under this lock. */
	if (told) {
		told->out_generation = map->generation;
		told->out_block_size = 1U << map->ns.block_shift;
	}
	mutex_unlock(&map->attach_lock);
	return ret;
}

/* Checks what of the caller's request concerns the dma-buf alone. */
static int nvdm_map_check_range(const struct nvme_dmabuf_attach *args, const struct dma_buf *dmabuf,
				u32 *reason)
{
	u64 end;

	if (!args->length) {
		*reason = NVME_DMABUF_REASON_ZERO_LENGTH;
		return -EINVAL;
	}
	if (args->offset & 3) {
		*reason = NVME_DMABUF_REASON_DWORD_ALIGN;
		return -EINVAL;
	}
	*reason = NVME_DMABUF_REASON_OUTSIDE_DMABUF;
	if (check_add_overflow(args->offset, args->length, &end))
		return -EOVERFLOW;
	if (end > dmabuf->size)
		return -ERANGE;
	*reason = NVME_DMABUF_REASON_NONE;
	return 0;
}

static int nvdm_map_check_dmabuf_access(u32 access, const struct dma_buf *dmabuf, u32 *reason)
{
	fmode_t mode = dmabuf->file->f_mode;

	if (access & NVME_DMABUF_ACCESS_READ && !(mode & FMODE_WRITE)) {
		*reason = NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE;
		return -EACCES;
	}
	if (access & NVME_DMABUF_ACCESS_WRITE && !(mode & FMODE_READ)) {
		*reason = NVME_DMABUF_REASON_DMABUF_NOT_READABLE;
		return -EACCES;
	}
	return 0;
}

static enum dma_data_direction nvdm_map_direction(u32 access)
{
	switch (access) {
	case NVME_DMABUF_ACCESS_READ:
		return DMA_FROM_DEVICE;
	case NVME_DMABUF_ACCESS_WRITE:
		return DMA_TO_DEVICE;
	default:
		return DMA_BIDIRECTIONAL;
	}
}

static void nvdm_map_release(struct kref *ref)
{
	struct nvdm_map *map = container_of(ref, struct nvdm_map, ref);

	if (map->memory.mapping)
		nvdm_mapping_put(map->memory.mapping);
	nvdm_file_leave(&map->blocks);
	nvdm_namespace_close(&map->ns);
	cancel_work_sync(&map->gone);
	percpu_ref_exit(&map->inflight);
	mutex_destroy(&map->attach_lock);
	kfree_rcu(map, rcu);
}

/**
 * nvdm_map_put - let a map go
 * @map: the map, of which the caller has a reference
 */
void nvdm_map_put(struct nvdm_map *map)
{
	kref_put(&map->ref, nvdm_map_release);
}

static void nvdm_map_stop_gone(struct work_struct *work)
{
	nvdm_map_stop(container_of(work, struct nvdm_map, gone), NVME_DMABUF_STATE_GONE);
}

/* The namespace has left its controller. In any context, and inside locks of the block layer. */
static void nvdm_map_namespace_gone(struct nvdm_namespace *ns)
{
	schedule_work(&container_of(ns, struct nvdm_map, ns)->gone);
}

/* Opens both sides, with nothing attached yet. */
static int nvdm_map_open(struct nvdm_map *map, const struct nvme_dmabuf_attach *args,
			 struct dma_buf *dmabuf, u32 *reason)
{
	int ret;

	/* What costs nothing first; the test reads of nvdm_namespace_open() last. */
	ret = nvdm_map_check_range(args, dmabuf, reason) ?:
		      nvdm_map_check_dmabuf_access(args->access, dmabuf, reason);
	if (ret)
		return ret;
	ret = nvdm_namespace_open(&map->ns, args->ns_fd, nvdm_map_namespace_gone, reason);
	if (ret)
		return ret;
	ret = nvdm_namespace_access(&map->ns, map->access, reason) ?:
		      nvdm_importer_check(&map->ns.ctrl->importer, reason);
	ret = ret ?: nvdm_namespace_begin(&map->ns, map->access, reason);
	if (ret)
		return ret;
	if (map->ns.flags & NVME_DMABUF_NS_FILE) {
		ret = nvdm_file_join(&map->blocks, &map->ns);
		if (ret)
			return ret;
		map->file_flags = NVME_DMABUF_MAP_FILE;
		map->ns.sectors = &map->blocks.file->sectors;
		ret = nvdm_namespace_let_go(&map->ns);
		if (ret)
			return ret;
	}
	map->storage.disk = map->ns.disk;
	map->memory.mapping = nvdm_mapping_get(&map->ns.ctrl->importer, dmabuf, args->offset,
					       args->length, nvdm_map_direction(args->access));
	return map->memory.mapping ? 0 : -ENOMEM;
}

static int nvdm_map_prepare(struct nvdm_map *map, const struct nvme_dmabuf_attach *args,
			    u32 *reason)
{
	struct dma_buf *dmabuf = dma_buf_get(args->dmabuf_fd);
	int ret;

	if (IS_ERR(dmabuf)) {
		*reason = NVME_DMABUF_REASON_NOT_DMABUF;
		return -EBADF;
	}
	ret = nvdm_map_open(map, args, dmabuf, reason);
	dma_buf_put(dmabuf);
	return ret;
}

/**
 * nvdm_map_wait - wait until a map may be refreshed
 * @dmabuf: its buffer; nothing else is to be held
 * @why: what nvdm_map_refresh() said, more than 0
 *
 * Return: 0 if it is to be tried again, or -EINTR.
 */
int nvdm_map_wait(struct dma_buf *dmabuf, int why)
{
	if (why == MAPPING_MOVES)
		return nvdm_mapping_wait_fences(dmabuf, DMA_RESV_USAGE_KERNEL);
	nvdm_wait_for(TASK_INTERRUPTIBLE, FILE_LATER_WAIT);
	return nvdm_wait_is_over(TASK_INTERRUPTIBLE) ? -EINTR : 0;
}

/**
 * nvdm_map_create - map a range of a dma-buf for a namespace
 * @args: what the caller asked for; access is valid
 * @events: where to tell that the map has stopped; must outlive it
 * @poll: what its commands are polled of; must outlive it
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: the map, to be destroyed by nvdm_map_destroy(), or a negative error
 * number.
 */
struct nvdm_map *nvdm_map_create(const struct nvme_dmabuf_attach *args, struct nvdm_events *events,
				 struct nvdm_poll *poll, u32 *reason)
{
	struct nvdm_map *map;
	int ret;

	map = kzalloc(sizeof(*map), NVDM_GFP);
	if (!map)
		return ERR_PTR(-ENOMEM);
	ret = percpu_ref_init(&map->inflight, nvdm_map_release_inflight, PERCPU_REF_INIT_DEAD,
			      NVDM_GFP);
	if (ret) {
		kfree(map);
		return ERR_PTR(ret);
	}
	kref_init(&map->ref);
	INIT_WORK(&map->gone, nvdm_map_stop_gone);
	init_completion(&map->idle);
	complete_all(&map->idle);
	spin_lock_init(&map->lock);
	mutex_init(&map->attach_lock);
	map->state = NVME_DMABUF_STATE_REVOKED;
	map->why = args->flags & NVME_DMABUF_ATTACH_DEFER ? NVME_DMABUF_REASON_DEFERRED :
							    NVME_DMABUF_REASON_REVOKED;
	map->stopped = jiffies;
	map->events = events;
	map->poll = poll;
	map->access = args->access;
	map->flags = args->flags;
	map->length = args->length;
	map->memory.ops = &map_memory_ops;
	map->blocks.ops = &map_file_ops;
	map->storage.ops = &map_storage_ops;

	ret = nvdm_map_prepare(map, args, reason);
	if (ret) {
		/* No event is left behind. */
		nvdm_map_stop(map, STATE_DETACHED);
		nvdm_map_put(map);
		return ERR_PTR(ret);
	}
	map->list_align = max(READ_ONCE(prp_list_align), map->ns.list_align);

	ret = nvdm_map_attach(map, reason);
	/* If it is not to be mapped yet, a refresh does it. */
	while (!ret && !(map->flags & NVME_DMABUF_ATTACH_DEFER) &&
	       (ret = nvdm_map_refresh(map, false, NULL, reason)) > 0)
		ret = nvdm_map_wait(map->memory.mapping->dmabuf, ret);
	if (ret) {
		nvdm_map_destroy(map);
		return ERR_PTR(ret);
	}
	return map;
}

/**
 * nvdm_map_verify - the namespace's queue was frozen: is its format still the same?
 * @map: the map
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0, -ESTALE if it was formatted, or another negative error number.
 */
int nvdm_map_verify(struct nvdm_map *map, u32 *reason)
{
	int ret = 0;

	*reason = NVME_DMABUF_REASON_NONE;
	/* Only a fatal signal may have a command refused that asked for no refresh. */
	if (mutex_lock_killable(&map->attach_lock))
		return -EINTR;
	if (nvdm_namespace_is_unverified(&map->ns))
		ret = nvdm_probe_again(&map->ns, reason);
	mutex_unlock(&map->attach_lock);
	return ret;
}

/**
 * nvdm_map_destroy - end a map that nobody uses any more
 * @map: the map, which is gone when this returns
 *
 * Waits for commands in flight, whose submitter may have been killed.
 */
void nvdm_map_destroy(struct nvdm_map *map)
{
	nvdm_map_stop(map, STATE_DETACHED);
	nvdm_map_drain(map);
	nvdm_map_detach(map);
	nvdm_namespace_end(&map->ns, map->access);
	/* Which may keep what that looked at. */
	nvdm_file_leave(&map->blocks);
	nvdm_map_put(map);
}

static u32 nvdm_map_info_flags(const struct nvdm_map *map)
{
	u32 flags = map->exporter_flags;

	if (map->segments == 1)
		flags |= NVME_DMABUF_MAP_CONTIGUOUS;
	if (map->sgl)
		flags |= NVME_DMABUF_MAP_SGL;
	if (map->flags & NVME_DMABUF_ATTACH_AUTO_REFRESH)
		flags |= NVME_DMABUF_MAP_AUTO_REFRESH;
	if (map->flags & NVME_DMABUF_ATTACH_REQUIRE_P2P)
		flags |= NVME_DMABUF_MAP_REQUIRE_P2P;
	return flags | map->file_flags;
}

/**
 * nvdm_map_describe - answer NVME_DMABUF_IOC_MAP_INFO
 * @map: the map
 * @info: whose out_* members are filled in
 *
 * Return: 0, or -ENOENT if it is being detached.
 */
int nvdm_map_describe(struct nvdm_map *map, struct nvme_dmabuf_map_info *info)
{
	spin_lock(&map->lock);
	info->out_state = map->state;
	info->out_offset = map->memory.mapping->offset;
	info->out_length = map->length;
	info->out_segments = map->segments;
	info->out_list_bytes = map->list_bytes;
	info->out_generation = map->generation;
	info->out_access = map->access;
	info->out_flags = nvdm_map_info_flags(map);
	info->out_block_size = 1U << map->ns.block_shift;
	info->out_max_command = map->ns.max_command;
	info->out_extents = map->extents;
	info->out_blocks = map->file_blocks;
	info->out_file_bytes = map->file_bytes;
	spin_unlock(&map->lock);
	info->out_nsid = map->ns.nsid;
	info->out_pci_domain = map->ns.ctrl->domain;
	info->out_pci_bdf = map->ns.ctrl->bdf;
	info->out_reserved = 0;
	return info->out_state == STATE_DETACHED ? -ENOENT : 0;
}
