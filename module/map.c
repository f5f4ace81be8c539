// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps: a range of a dma-buf, mapped for DMA by one controller for as long as
 * the map lives or the exporter lets it. Must not know commands or user memory.
 */
#include <linux/dma-mapping.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>

#include "internal.h"

static struct device *nvdm_map_device(const struct nvdm_map *map)
{
	return &map->ns.ctrl->pdev->dev;
}

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

static void nvdm_map_change_state(struct nvdm_map *map, int state, bool tell)
{
	spin_lock(&map->lock);
	if (map->state < state) {
		bool live = map->state == NVME_DMABUF_STATE_LIVE;

		/* Before the reference is killed: who gets none looks here why. */
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
	nvdm_map_change_state(map, state, state != STATE_DETACHED);
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
		*reason = NVME_DMABUF_REASON_REVOKED;
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

/* Under the reservation lock. */
static void nvdm_map_unmap(struct nvdm_map *map)
{
	if (!map->sgt)
		return;
	dma_buf_unmap_attachment(map->attach, map->sgt, map->direction);
	map->sgt = NULL;
}

/*
 * Of all maps of the buffer that are told, so that the waits for their commands,
 * each a grace period at least, overlap.
 */
static void nvdm_map_stop_all_of_buffer(struct nvdm_map *map)
{
	struct nvdm_controller *ctrl = map->ns.ctrl;
	struct nvdm_map *other;

	spin_lock(&ctrl->maps_lock);
	list_for_each_entry(other, &ctrl->maps, node)
		if (other->dmabuf == map->dmabuf && other->told)
			nvdm_map_stop(other, NVME_DMABUF_STATE_REVOKED);
	spin_unlock(&ctrl->maps_lock);
}

/**
 * nvdm_map_invalidate - the exporter wants the buffer back
 * @attach: the map's attachment
 *
 * The contract. Called with the reservation lock held, at any time, from inside
 * our own calls to the exporter as well. When this returns, the drive has
 * finished with the buffer and it is not mapped: exporters that wait for fences
 * find none of ours, and those that wait for the unmapping find it done. Commands
 * are refused until the map is refreshed.
 *
 * Nothing here allocates or takes a lock under which anything is allocated, and
 * completion of commands needs no lock that an exporter may hold. It takes as long
 * as the slowest command that the drive has: at most the nvme driver's timeout, after
 * which that disables the controller, without allocating, and ends the command. Commands
 * that the driver keeps from the drive, as during a reset, are ended here after
 * PARKED_PATIENCE.
 */
static void nvdm_map_invalidate(struct dma_buf_attachment *attach)
{
	struct nvdm_map *map = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!map->sgt)
		return;
	if (READ_ONCE(map->state) == NVME_DMABUF_STATE_LIVE)
		nvdm_map_stop_all_of_buffer(map);
	nvdm_map_stop(map, NVME_DMABUF_STATE_REVOKED);
	nvdm_map_drain(map);
	nvdm_map_unmap(map);
}

static const struct dma_buf_attach_ops map_attach_ops = {
	.allow_peer2peer = true,
	.invalidate_mappings = nvdm_map_invalidate,
};

/**
 * nvdm_map_detach - undo a map's DMA mapping
 * @map: a map that is stopped and drained
 *
 * Does nothing if it was done before. Waits for the exporter.
 */
void nvdm_map_detach(struct nvdm_map *map)
{
	struct nvdm_controller *ctrl = map->ns.ctrl;

	mutex_lock(&map->attach_lock);
	if (map->attach) {
		dma_resv_lock(map->dmabuf->resv, NULL);
		nvdm_map_unmap(map);
		nvdm_list_free(map);
		dma_resv_unlock(map->dmabuf->resv);
		dma_buf_detach(map->dmabuf, map->attach);
		map->attach = NULL;
		/* Last: a controller that leaves waits for the maps in its list. */
		nvdm_controller_leave(ctrl, map);
	}
	mutex_unlock(&map->attach_lock);
}

/* What the DMA API says of a peer that is out of reach, and what vfio says. */
static bool nvdm_map_error_is_of_peer(const struct nvdm_map *map, int error)
{
	return error == -EREMOTEIO ||
	       (error == -EINVAL && !strncmp(map->dmabuf->exp_name, "vfio", strlen("vfio")));
}

/*
 * An exporter refused. Its error number is passed on; what it is likely to mean
 * is told by the reason.
 */
static int nvdm_map_exporter_error(struct nvdm_map *map, int error, u32 *reason)
{
	u32 why;

	if (error == -ERESTARTSYS || error == -EINTR)
		return -EINTR;
	*reason = error == -ENODEV ? NVME_DMABUF_REASON_EXPORTER_REVOKED :
				     NVME_DMABUF_REASON_EXPORTER;
	if (!map->attach && error == -EOPNOTSUPP && dma_buf_attaches_static(map->dmabuf))
		*reason = NVME_DMABUF_REASON_NOT_DYNAMIC;
	if (map->attach && nvdm_map_error_is_of_peer(map, error) &&
	    nvdm_peer_unreachable(map->ns.ctrl, &why)) {
		*reason = why;
		return -EOPNOTSUPP;
	}
	return error;
}

/* Under the map's attach_lock. What is done is undone by nvdm_map_detach(). */
static int nvdm_map_attach_locked(struct nvdm_map *map, u32 *reason)
{
	struct dma_buf_attachment *attach;
	int ret;

	attach = dma_buf_attach_directed(map->dmabuf, nvdm_map_device(map), &map_attach_ops, map);
	if (IS_ERR(attach))
		return nvdm_map_exporter_error(map, PTR_ERR(attach), reason);
	map->told = attach->importer_ops;
	ret = nvdm_controller_join(map->ns.ctrl, map);
	if (ret) {
		if (ret == -ENODEV)
			*reason = NVME_DMABUF_REASON_GONE;
		dma_buf_detach(map->dmabuf, attach);
		return ret;
	}
	map->attach = attach;
	if (COMPAT_MOVABLE && attach->importer_ops)
		map->exporter_flags = NVME_DMABUF_MAP_DYNAMIC;
	else if (dma_buf_is_dynamic(map->dmabuf))
		map->exporter_flags = NVME_DMABUF_MAP_PINNED;
	return 0;
}

static int nvdm_map_attach(struct nvdm_map *map, u32 *reason)
{
	int ret;

	mutex_lock(&map->attach_lock);
	ret = nvdm_map_attach_locked(map, reason);
	mutex_unlock(&map->attach_lock);
	return ret;
}

/* Under the reservation lock, with the map mapped and its list made. */
static int nvdm_map_check_peers(struct nvdm_map *map, u32 *reason)
{
	if (!(map->flags & NVME_DMABUF_ATTACH_REQUIRE_P2P) || nvdm_placement_is_peers(map))
		return 0;
	if (!IS_ENABLED(CONFIG_PCI_P2PDMA))
		*reason = NVME_DMABUF_REASON_NO_P2PDMA;
	else if (map->attach->importer_ops && !map->attach->peer2peer)
		*reason = NVME_DMABUF_REASON_EXPORTER_NO_PATH;
	else
		*reason = NVME_DMABUF_REASON_NOT_PEER;
	return -EOPNOTSUPP;
}

/* Under the map's attach_lock and the reservation lock, of a map that is attached. */
static int nvdm_map_make_mapping(struct nvdm_map *map, u32 *reason)
{
	struct sg_table *sgt;
	u64 segments;
	int ret;

	sgt = dma_buf_map_attachment(map->attach, map->direction);
	if (IS_ERR(sgt))
		return nvdm_map_exporter_error(map, PTR_ERR(sgt), reason);

	map->sgt = sgt;
	nvdm_list_free(map);
	ret = nvdm_list_build(map, &segments, reason) ?: nvdm_map_check_peers(map, reason);
	if (ret) {
		nvdm_map_unmap(map);
		return ret;
	}

	spin_lock(&map->lock);
	map->segments = segments;
	map->list_bytes = PAGE_ALIGN((u64)map->list.nr_pages * PRP_PAGE_SIZE);
	map->contiguous = prp_list_address(&map->list, 0);
	map->sgl = segments == 1 && map->ns.flags & NVME_DMABUF_NS_SGL;
	map->generation++;
	spin_unlock(&map->lock);
	return 0;
}

/**
 * nvdm_map_wait_fences - wait for those who use a dma-buf
 * @dmabuf: the dma-buf
 * @usage: for whom of them
 *
 * Such fences are others', and may take their time: hold nothing but the dma-buf.
 *
 * Return: 0 or -EINTR.
 */
int nvdm_map_wait_fences(struct dma_buf *dmabuf, enum dma_resv_usage usage)
{
	long ret = dma_resv_wait_timeout(dmabuf->resv, usage, true, MAX_SCHEDULE_TIMEOUT);

	return ret < 0 ? -EINTR : 0;
}

static bool nvdm_map_is_moving(const struct nvdm_map *map)
{
	return !dma_resv_test_signaled(map->dmabuf->resv, DMA_RESV_USAGE_KERNEL);
}

/* Under the reservation lock, of a map that is mapped. Not if it is to stop for good. */
static void nvdm_map_start(struct nvdm_map *map)
{
	spin_lock(&map->lock);
	if (map->state == NVME_DMABUF_STATE_REVOKED) {
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

/*
 * Maps the buffer, if it is not mapped, and lets commands in, unless a move is under
 * way: mapping may have begun one. Under the map's attach_lock.
 */
static int nvdm_map_map(struct nvdm_map *map, u32 *reason)
{
	int ret = 0;

	/*
	 * Before, because for static exporters older kernels wait as they map,
	 * with our locks held.
	 */
	if (nvdm_map_is_moving(map))
		return MAP_MOVES;
	/* If it goes after this, what is made here is undone when we let the lock go. */
	if (!map->attach || READ_ONCE(map->ns.ctrl->gone)) {
		*reason = NVME_DMABUF_REASON_GONE;
		return -ENODEV;
	}
	if (dma_resv_lock_interruptible(map->dmabuf->resv, NULL))
		return -EINTR;
	if (!map->sgt)
		ret = nvdm_map_make_mapping(map, reason);
	if (!ret && !nvdm_map_is_moving(map))
		nvdm_map_start(map);
	dma_resv_unlock(map->dmabuf->resv);
	return ret;
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

	/* Its user knows. */
	nvdm_map_change_state(map, NVME_DMABUF_STATE_REVOKED, false);
	nvdm_map_drain(map);
	spin_lock(&map->lock);
	map->ns.block_shift = now.block_shift;
	map->ns.block_size = now.block_size;
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
 * @generation: where to return how often it was mapped, or NULL
 * @reason: NVME_DMABUF_REASON_* on failure
 *
 * Return: 0 if the map takes commands; MAP_MOVES if its KERNEL fences are to be waited
 * for first; or a negative error number.
 */
int nvdm_map_refresh(struct nvdm_map *map, bool reread, u64 *generation, u32 *reason)
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
		ret = again && signal_pending(current) ? -EINTR : nvdm_map_map(map, reason);
		again = true;
	}
	/* Changed only under this lock. */
	if (generation)
		*generation = map->generation;
	mutex_unlock(&map->attach_lock);
	return ret;
}

/* Is this map's device one whose DMA needs no help from the CPU? */
static int nvdm_map_check_device(const struct nvdm_map *map, u32 *reason)
{
	if (is_swiotlb_force_bounce(nvdm_map_device(map))) {
		*reason = NVME_DMABUF_REASON_DMA_BOUNCED;
		return -EOPNOTSUPP;
	}
	return 0;
}

static int nvdm_map_check_range(const struct nvdm_map *map, u32 *reason)
{
	u64 end;

	if (!map->length) {
		*reason = NVME_DMABUF_REASON_ZERO_LENGTH;
		return -EINVAL;
	}
	if (map->offset & 3) {
		*reason = NVME_DMABUF_REASON_DWORD_ALIGN;
		return -EINVAL;
	}
	*reason = NVME_DMABUF_REASON_OUTSIDE_DMABUF;
	if (check_add_overflow(map->offset, map->length, &end))
		return -EOVERFLOW;
	if (end > map->dmabuf->size)
		return -ERANGE;
	*reason = NVME_DMABUF_REASON_NONE;
	return 0;
}

static int nvdm_map_check_dmabuf_access(const struct nvdm_map *map, u32 *reason)
{
	fmode_t mode = map->dmabuf->file->f_mode;

	if (map->access & NVME_DMABUF_ACCESS_READ && !(mode & FMODE_WRITE)) {
		*reason = NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE;
		return -EACCES;
	}
	if (map->access & NVME_DMABUF_ACCESS_WRITE && !(mode & FMODE_READ)) {
		*reason = NVME_DMABUF_REASON_DMABUF_NOT_READABLE;
		return -EACCES;
	}
	return 0;
}

static int nvdm_map_get_dmabuf(struct nvdm_map *map, int fd, u32 *reason)
{
	struct dma_buf *dmabuf = dma_buf_get(fd);

	if (IS_ERR(dmabuf)) {
		*reason = NVME_DMABUF_REASON_NOT_DMABUF;
		return -EBADF;
	}
	map->dmabuf = dmabuf;
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

	if (map->dmabuf)
		dma_buf_put(map->dmabuf);
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

static int nvdm_map_prepare(struct nvdm_map *map, const struct nvme_dmabuf_attach *args,
			    u32 *reason)
{
	int ret;

	/* What costs nothing first; the test reads of nvdm_namespace_open() last. */
	ret = nvdm_map_get_dmabuf(map, args->dmabuf_fd, reason);
	if (ret)
		return ret;
	ret = nvdm_map_check_range(map, reason);
	if (ret)
		return ret;
	ret = nvdm_map_check_dmabuf_access(map, reason);
	if (ret)
		return ret;
	ret = nvdm_namespace_open(&map->ns, args->ns_fd, nvdm_map_namespace_gone, reason);
	if (ret)
		return ret;
	ret = nvdm_namespace_access(&map->ns, map->access, reason) ?:
		      nvdm_map_check_device(map, reason);
	return ret ?: nvdm_namespace_begin(&map->ns, map->access, reason);
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
	map->events = events;
	map->poll = poll;
	map->access = args->access;
	map->flags = args->flags;
	map->direction = nvdm_map_direction(args->access);
	map->offset = args->offset;
	map->length = args->length;

	ret = nvdm_map_prepare(map, args, reason);
	if (ret) {
		/* No event is left behind. */
		nvdm_map_stop(map, STATE_DETACHED);
		nvdm_map_put(map);
		return ERR_PTR(ret);
	}
	map->list_align = max(READ_ONCE(prp_list_align), map->ns.list_align);

	ret = nvdm_map_attach(map, reason);
	while (!ret && (ret = nvdm_map_refresh(map, false, NULL, reason)) == MAP_MOVES)
		ret = nvdm_map_wait_fences(map->dmabuf, DMA_RESV_USAGE_KERNEL);
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
	return flags;
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
	info->out_offset = map->offset;
	info->out_length = map->length;
	info->out_segments = map->segments;
	info->out_list_bytes = map->list_bytes;
	info->out_generation = map->generation;
	info->out_access = map->access;
	info->out_flags = nvdm_map_info_flags(map);
	info->out_block_size = 1U << map->ns.block_shift;
	info->out_max_command = map->ns.max_command;
	spin_unlock(&map->lock);
	info->out_nsid = map->ns.nsid;
	info->out_pci_domain = map->ns.ctrl->domain;
	info->out_pci_bdf = map->ns.ctrl->bdf;
	info->out_reserved = 0;
	return info->out_state == STATE_DETACHED ? -ENOENT : 0;
}
