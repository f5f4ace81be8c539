/* SPDX-License-Identifier: MIT */
/*
 * libnvmedmabuf: NVMe reads and writes between a namespace and a dma-buf that
 * stays mapped for DMA, through the device /dev/nvme-dmabuf. A regular file on
 * XFS or ext4 can stand in place of a namespace, and can be read.
 *
 * Return values. Functions that can fail return 0, or a count that is not
 * negative, on success and a negative errno value on failure; errno itself is
 * of no meaning. Outputs are written on success only, unless a function says
 * otherwise. The library prints nothing, never ends the process, reads no
 * environment variables and installs no signal handlers. What an errno means
 * is written at the top of <linux/nvme_dmabuf.h>; only additions are listed
 * here. Every call may also fail with the errno of the system call below it.
 *
 * Pointers must not be NULL unless a function says that they may be.
 *
 * Threads. A context may be used by several threads at once, in any function
 * but nvmedmabuf_close(), which must not run together with another call on the
 * same context. A queue is used by one thread, the one that made it. Different
 * queues are independent of each other, and so are different buffers. One buffer
 * may be used by several threads at once in any function but
 * nvmedmabuf_buffer_mmap() and nvmedmabuf_buffer_free(), which must have it for
 * themselves. All other functions may be called at any time.
 *
 * Flags. NVMEDMABUF_* are the library's, NVME_DMABUF_* the module's. Each of the
 * library's has a bit of its own, from 24 on, which no flag of the module's has. A flag
 * of the module's where one of the library's belongs, or the reverse, is -EINVAL.
 *
 * Libraries. The core needs libc alone. libdrm, libnvme and liburing are loaded by the
 * first call that needs one, and stay loaded: that call fails with -ELIBACC if the library
 * is not installed, and with -ENOSYS if it is too old.
 *
 * Units are bytes unless logical blocks are named.
 */
#ifndef NVMEDMABUF_H
#define NVMEDMABUF_H

#include <stdint.h>
#include <string.h>

#include <linux/nvme_dmabuf.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * nvmedmabuf_version - version of the library that is loaded
 *
 * Return: "major.minor.patch", a constant string.
 */
const char *nvmedmabuf_version(void);

/* A context: an open file of /dev/nvme-dmabuf, which owns maps and commands. */
struct nvmedmabuf;

/**
 * nvmedmabuf_open - open /dev/nvme-dmabuf
 * @ctx: gets the new context; the caller must nvmedmabuf_close() it
 *
 * The file is opened for reading and writing and is closed on execve().
 *
 * Return: 0; -ENOENT if the module is not loaded; -EACCES if the device node
 * does not allow it; -ENOMEM; and what nvmedmabuf_open_fd() returns.
 */
int nvmedmabuf_open(struct nvmedmabuf **ctx);

/**
 * nvmedmabuf_open_fd - make a context of a file that is already open
 * @fd: open file of /dev/nvme-dmabuf, e.g. one received with SCM_RIGHTS
 * @ctx: gets the new context; the caller must nvmedmabuf_close() it
 *
 * On success the context owns @fd and nvmedmabuf_close() closes it; on failure
 * it stays the caller's. Contexts made of duplicates of one descriptor share
 * their maps.
 *
 * Return: 0; -EBADF if @fd is not open; -ENOTTY if it is something else than
 * /dev/nvme-dmabuf; -ENOMEM.
 */
int nvmedmabuf_open_fd(int fd, struct nvmedmabuf **ctx);

/**
 * nvmedmabuf_close - close a context
 * @ctx: the context, which is freed; may be NULL
 *
 * If no other descriptor refers to the file, its maps are removed, after the
 * drive has finished with commands that other threads or a killed process had
 * left in flight.
 */
void nvmedmabuf_close(struct nvmedmabuf *ctx);

/**
 * nvmedmabuf_fd - file descriptor of a context
 * @ctx: the context
 *
 * For poll(), ioctl(), or handing it on. It stays the context's: do not close
 * it. poll() says POLLPRI as long as there are events: see
 * nvmedmabuf_get_events().
 *
 * Return: the descriptor.
 */
int nvmedmabuf_fd(const struct nvmedmabuf *ctx);

/**
 * nvmedmabuf_get_info - what the kernel module is and where its limits are
 * @ctx: the context
 * @info: gets the answer; need not be initialised
 *
 * Return: 0 or a negative errno.
 */
int nvmedmabuf_get_info(struct nvmedmabuf *ctx, struct nvme_dmabuf_info *info);

/**
 * nvmedmabuf_get_ns_info - whether, and how, a namespace or a file can be used
 * @ctx: the context
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of
 *	a regular file
 * @info: gets the answer; need not be initialised. Its out_reason is written on
 *	failure too.
 *
 * Succeeds for a block device or a file that cannot be used: @info->out_reason is
 * then not NVME_DMABUF_REASON_NONE. Of a file, @info->out_flags has
 * NVME_DMABUF_NS_FILE, and @info->out_capacity counts its blocks, the last of which
 * may belong to it in part only.
 *
 * Return: 0; -EBADF if @ns_fd is neither a block device nor a regular file; -ENOMEM.
 */
int nvmedmabuf_get_ns_info(struct nvmedmabuf *ctx, int ns_fd,
			   struct nvme_dmabuf_ns_info *info);

/**
 * nvmedmabuf_export - make a dma-buf of memory that the program has
 * @ctx: the context
 * @addr: first byte, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0
 * @access: what maps of the dma-buf may ask for: NVME_DMABUF_ACCESS_READ (a
 *	drive fills the memory), _WRITE (a drive reads it), or both
 * @dmabuf_fd: gets the dma-buf, which the caller must close
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * The memory may be anonymous, shared (memfd, tmpfs, System V) or huge pages. It stays
 * pinned until the descriptor is closed and all maps of it are detached, and counts
 * against the user's RLIMIT_MEMLOCK. The dma-buf keeps the same pages whatever the
 * program does to the addresses: see nvme-dmabuf(7).
 *
 * Return: 0; -EINVAL, -EOVERFLOW, -EFAULT (no memory there, or it must not be written
 * to or read), -EOPNOTSUPP (a file's or a device's memory), -ENOMEM (with
 * NVME_DMABUF_REASON_MEMLOCK: more than the limit), -EMFILE, -ENFILE.
 */
int nvmedmabuf_export(struct nvmedmabuf *ctx, void *addr, uint64_t length,
		      uint32_t access, int *dmabuf_fd, uint32_t *reason);

/**
 * nvmedmabuf_attach - map a range of a dma-buf for DMA by a namespace
 * @ctx: the context
 * @dmabuf_fd: the dma-buf; open for writing if @access has READ, for reading if
 *	it has WRITE
 * @ns_fd: open file of a block device, a namespace or a partition of one, open
 *	for reading if @access has READ, for writing if it has WRITE; or of a regular
 *	file, open with O_RDONLY
 * @offset: first byte of the range in the dma-buf, a multiple of 4
 * @length: bytes of the range, not 0
 * @access: NVME_DMABUF_ACCESS_READ (the drive fills the buffer), _WRITE (the
 *	drive reads the buffer; Flush), or both
 * @map: gets the map's number, which is not 0
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * The map keeps both files open, so the caller may close its descriptors. It
 * lasts until nvmedmabuf_detach() or until the last descriptor of the context
 * is closed.
 *
 * Where the kernel does not pin buffers (NVME_DMABUF_FEATURE_MOVABLE) the
 * exporter may take this one back at any time: commands then fail with -ESTALE
 * until nvmedmabuf_refresh().
 *
 * A regular file must be on XFS or ext4. Blocks of commands count from the start of the
 * file. As long as the map takes commands, nobody has the file open for writing; or, if
 * @ns_fd is open for writing, open at all. Such a descriptor is itself in the way: attach
 * with NVME_DMABUF_ATTACH_DEFER, close it, and refresh. Somebody who opens the file so,
 * truncates it or moves its blocks waits for the commands in flight; later ones fail with
 * -ESTALE and NVME_DMABUF_REASON_FILE_CHANGED until nvmedmabuf_refresh(). Commands
 * that touch a hole fail with -ENODATA, and none changes the file's size. The call takes
 * longer the larger the file is.
 *
 * Return: 0; -EINVAL, -EOVERFLOW, -ERANGE, -EBADF, -EACCES, -EBUSY (somebody has the
 * file open: see above), -ETXTBSY (the file is swap space, or the device is and
 * @access has WRITE), -EOPNOTSUPP, -ESTALE, -ENODEV, -ENOSPC, -ENOMEM, -EINTR (a signal
 * arrived), -EIO, or what the exporter says (with NVME_DMABUF_REASON_EXPORTER).
 */
int nvmedmabuf_attach(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd,
		      uint64_t offset, uint64_t length, uint32_t access,
		      uint32_t *map, uint32_t *reason);

/**
 * nvmedmabuf_attach_flags - nvmedmabuf_attach() with flags
 * @ctx: the context
 * @dmabuf_fd: as for nvmedmabuf_attach()
 * @ns_fd: as for nvmedmabuf_attach()
 * @offset: as for nvmedmabuf_attach()
 * @length: as for nvmedmabuf_attach()
 * @access: as for nvmedmabuf_attach()
 * @flags: NVME_DMABUF_ATTACH_REQUIRE_P2P (refuse a buffer that is not in a PCI
 *	device's memory entirely, now and at each refresh),
 *	NVME_DMABUF_ATTACH_AUTO_REFRESH (commands refresh the map if its exporter
 *	took the buffer back, or somebody its file), NVME_DMABUF_ATTACH_DEFER (the map
 *	takes no commands until it is refreshed, as of a file to be written), or 0
 * @map: gets the map's number, which is not 0
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * Return: as nvmedmabuf_attach(); -EOPNOTSUPP if REQUIRE_P2P refuses the buffer,
 * with the reason.
 */
int nvmedmabuf_attach_flags(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd,
			    uint64_t offset, uint64_t length, uint32_t access,
			    uint32_t flags, uint32_t *map, uint32_t *reason);

/**
 * nvmedmabuf_detach - remove a map
 * @ctx: the context
 * @map: the map
 *
 * Waits until the drive has finished the commands that use the map.
 *
 * Return: 0; -ENOENT if the context has no such map.
 */
int nvmedmabuf_detach(struct nvmedmabuf *ctx, uint32_t map);

/**
 * nvmedmabuf_refresh - make a map usable again
 * @ctx: the context
 * @map: the map, which keeps its number
 * @generation: gets how many mappings were made for this map, from 1; may be
 *	NULL
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * Maps a buffer that its exporter took back, wherever it is now, and waits for
 * its move to end. After the namespace was formatted, takes over the new block
 * size, by which offsets and lengths are then measured. After somebody wrote to the
 * file, finds out again how long it is and where its blocks are. Nothing changes for a
 * map that is usable, but the drive is tested again by reading. After a failure it may
 * be tried again; a map that took no commands takes none then, and one that was
 * usable, but for its format, may take none.
 *
 * The exporter may take the buffer back again at once, so a command may fail
 * with -ESTALE after a refresh that succeeded. Threads may refresh the same map
 * together.
 *
 * Return: 0; -ENOENT if the context has no such map; -ENODEV if the controller
 * is gone (NVME_DMABUF_REASON_GONE) or the exporter revoked the buffer
 * (_EXPORTER_REVOKED); -EBUSY if somebody has the file open for writing; -ETXTBSY if
 * the file is swap space now; -EOPNOTSUPP if the buffer, the format or the file cannot
 * be used as it is now; -ESTALE if the namespace was formatted again, or the file opened
 * for writing, meanwhile; -EIO; -ENOMEM; -EINTR (a signal arrived); or what the exporter
 * says (with NVME_DMABUF_REASON_EXPORTER).
 */
int nvmedmabuf_refresh(struct nvmedmabuf *ctx, uint32_t map,
		       uint64_t *generation, uint32_t *reason);

/**
 * nvmedmabuf_get_events - which maps stopped taking commands
 * @ctx: the context
 * @events: gets up to @max events: the map's number, its state as it is now
 *	(NVME_DMABUF_STATE_*) and its generation
 * @max: how many @events has room for, not 0
 *
 * An event says that a map's exporter took the buffer back, that somebody opened its
 * file for writing, or that its controller or its namespace went. The state is
 * NVME_DMABUF_STATE_LIVE if the map was refreshed in the meantime. A map has one event at most, which stays until it is read
 * here or the map is detached, so none is lost; several threads that read get
 * different ones. poll() on nvmedmabuf_fd() says POLLPRI if there are any.
 * Never waits.
 *
 * Return: how many were written, 0 if there are none; -EINVAL if @max is 0.
 */
int nvmedmabuf_get_events(struct nvmedmabuf *ctx,
			  struct nvme_dmabuf_event *events, uint32_t max);

/**
 * nvmedmabuf_get_map_info - describe a map
 * @ctx: the context
 * @map: the map
 * @info: gets the answer; need not be initialised. Its out_extents, out_blocks and
 *	out_file_bytes are 0 unless the map is of a file.
 *
 * Return: 0; -ENOENT if the context has no such map.
 */
int nvmedmabuf_get_map_info(struct nvmedmabuf *ctx, uint32_t map,
			    struct nvme_dmabuf_map_info *info);

/**
 * nvmedmabuf_get_placement - tell where the memory of a map is
 * @ctx: the context
 * @map: the map
 * @runs: gets the first @max runs, but never more than
 *	NVME_DMABUF_PLACEMENT_MAX_RUNS; may be NULL if @max is 0
 * @max: how many runs @runs has room for
 *
 * Return: how many runs the map has, which may be more than @max; -ENOENT if
 * the context has no such map; -ESTALE if it was revoked; -ENODEV; -ENOMEM;
 * -EINTR (a signal arrived).
 */
int nvmedmabuf_get_placement(struct nvmedmabuf *ctx, uint32_t map,
			     struct nvme_dmabuf_placement_run *runs,
			     uint32_t max);

/**
 * nvmedmabuf_get_peer_info - whether a drive can reach a PCI device's memory
 * @ctx: the context
 * @ns_fd: open file of a block device: a namespace or a partition of one
 * @domain: PCI domain (segment) of the device
 * @bdf: bus << 8 | device << 3 | function of the device
 * @info: gets the answer; need not be initialised
 *
 * Asks for peer-to-peer DMA between the namespace's controller and the device.
 * Succeeds where the answer is no: @info->out_reason is then not
 * NVME_DMABUF_REASON_NONE. @info->out_distance is the kernel's count of the
 * bridges between them, smaller is better, or -1. Whether the device has memory
 * to share, and an exporter for it, is another question.
 *
 * Return: 0; -EINVAL if @domain is above INT_MAX or @bdf above 0xffff; -EBADF if
 * @ns_fd is no block device; -ENOMEM.
 */
int nvmedmabuf_get_peer_info(struct nvmedmabuf *ctx, int ns_fd,
			     uint32_t domain, uint32_t bdf,
			     struct nvme_dmabuf_peer_info *info);

/**
 * nvmedmabuf_submit - submit commands and wait for all of them
 * @ctx: the context
 * @cmds: @count commands, see nvmedmabuf_prep_read()
 * @cpls: gets @count completions; entry n belongs to command n. Must not
 *	overlap @cmds.
 * @count: number of commands, 0 to INT_MAX
 *
 * Commands above the module's limit (out_max_commands of struct
 * nvme_dmabuf_info) are handed over in several calls, one after the other. The
 * commands of one call may be executed in any order. A command that is refused
 * or fails does not stop the others, so every completion must be looked at: a
 * command succeeded if its error and its status are both 0.
 *
 * Return: how many completions were written, from the start of @cpls. If that
 * is less than @count, a call failed, and submitting the rest says why: the
 * first part of the rest may have been executed, its outcome is unknown.
 * If none was written, -EINVAL, -EFAULT, -ENOMEM or -EINTR (a fatal signal).
 */
int nvmedmabuf_submit(struct nvmedmabuf *ctx,
		      const struct nvme_dmabuf_command *cmds,
		      struct nvme_dmabuf_completion *cpls, uint32_t count);

/**
 * nvmedmabuf_submit_flags - wait for fences, then nvmedmabuf_submit()
 * @ctx: the context
 * @cmds: as for nvmedmabuf_submit()
 * @cpls: as for nvmedmabuf_submit()
 * @count: as for nvmedmabuf_submit()
 * @flags: NVME_DMABUF_SUBMIT_IMPLICIT_SYNC (wait for the fences of each
 *	command's dma-buf: those of writers before a Write, those of readers as
 *	well before a Read), NVME_DMABUF_SUBMIT_IN_FENCE (wait for @in_fence_fd),
 *	both, or 0
 * @in_fence_fd: a sync_file, with NVME_DMABUF_SUBMIT_IN_FENCE; else not looked
 *	at. It stays the caller's.
 *
 * Nothing of a system call is issued before its fences have signalled. Commands
 * above the module's limit are handed over in several calls, as by
 * nvmedmabuf_submit().
 *
 * Return: as nvmedmabuf_submit(); -EINVAL for other flags; -EBADF if
 * @in_fence_fd is no sync_file; -ECANCELED if it signalled an error; -EINTR if
 * a signal arrived before the fences had signalled: then nothing was executed.
 */
int nvmedmabuf_submit_flags(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    struct nvme_dmabuf_completion *cpls,
			    uint32_t count, uint32_t flags, int in_fence_fd);

/**
 * nvmedmabuf_submit_fence - submit commands, and get a fence instead of waiting
 * @ctx: the context
 * @cmds: @count commands; need not be kept after the call
 * @count: number of commands, from 1 to the module's limit (out_max_commands of
 *	struct nvme_dmabuf_info)
 * @flags: as for nvmedmabuf_submit_flags(): these fences are waited for in the
 *	call
 * @in_fence_fd: as for nvmedmabuf_submit_flags()
 * @out_fence_fd: gets a new sync_file, which signals when all commands are
 *	complete; closed on execve(); the caller must close() it
 *
 * Returns when all commands are issued. There are no completions: if commands
 * were refused or failed, the fence carries the error of one of them (-EIO for
 * an NVMe status), which SYNC_IOC_FILE_INFO of <linux/sync_file.h> tells once
 * poll() says POLLIN. The data is not valid before the fence has signalled, nor if it
 * carries an error. It signals even if the context is closed, the map detached
 * or the process killed.
 *
 * Return: 0; -EINVAL if @count is 0 or for other flags; -ENOSPC if @count is
 * above the limit; -EBADF if @in_fence_fd is no sync_file, -ECANCELED if that
 * signalled an error; -EMFILE if there cannot be another file; -EINTR if a signal
 * arrived before the fences had signalled; -EFAULT; -ENOMEM. Of all but -EFAULT nothing
 * was executed.
 */
int nvmedmabuf_submit_fence(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    uint32_t count, uint32_t flags, int in_fence_fd,
			    int *out_fence_fd);

/**
 * nvmedmabuf_prep_read - fill in a Read: from the namespace to the dma-buf
 * @cmd: the command, every member of which is written
 * @map: map with NVME_DMABUF_ACCESS_READ
 * @offset: first byte of the data from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 * @slba: first logical block, from the start of the block device or file attached
 *
 * Set user_data, flags and timeout_ms afterwards if they shall not be 0.
 */
static inline void nvmedmabuf_prep_read(struct nvme_dmabuf_command *cmd,
					uint32_t map, uint64_t offset,
					uint64_t length, uint64_t slba)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->opcode = NVME_DMABUF_OP_READ;
	cmd->map = map;
	cmd->offset = offset;
	cmd->length = length;
	cmd->slba = slba;
}

/**
 * nvmedmabuf_prep_write - fill in a Write: from the dma-buf to the namespace
 * @cmd: the command, every member of which is written
 * @map: map with NVME_DMABUF_ACCESS_WRITE
 * @offset: first byte of the data from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 * @slba: first logical block, from the start of the block device attached
 *
 * Set user_data, flags and timeout_ms afterwards if they shall not be 0.
 */
static inline void nvmedmabuf_prep_write(struct nvme_dmabuf_command *cmd,
					 uint32_t map, uint64_t offset,
					 uint64_t length, uint64_t slba)
{
	nvmedmabuf_prep_read(cmd, map, offset, length, slba);
	cmd->opcode = NVME_DMABUF_OP_WRITE;
}

/**
 * nvmedmabuf_prep_flush - fill in a Flush of the namespace's write cache
 * @cmd: the command, every member of which is written
 * @map: map with NVME_DMABUF_ACCESS_WRITE, which names the namespace
 *
 * A Flush covers the writes that had completed before it was submitted, not
 * those of the same array. Set user_data and timeout_ms afterwards if they
 * shall not be 0.
 */
static inline void nvmedmabuf_prep_flush(struct nvme_dmabuf_command *cmd,
					 uint32_t map)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->opcode = NVME_DMABUF_OP_FLUSH;
	cmd->map = map;
}

/**
 * nvmedmabuf_read - read from the namespace into the dma-buf, and wait
 * @ctx: the context
 * @map: map with NVME_DMABUF_ACCESS_READ
 * @offset: first byte of the data from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 * @slba: first logical block, from the start of the block device or file attached
 * @cpl: gets the completion, on failure too; may be NULL
 *
 * Return: 0 if all was read. -EIO if the drive failed the command: then
 * @cpl->error is 0 and @cpl->status says how. Any other failure, and -EIO
 * where the command never reached the drive or was given up, is in @cpl->error
 * too, with a @cpl->reason where there is one.
 */
int nvmedmabuf_read(struct nvmedmabuf *ctx, uint32_t map, uint64_t offset,
		    uint64_t length, uint64_t slba,
		    struct nvme_dmabuf_completion *cpl);

/**
 * nvmedmabuf_write - write from the dma-buf to the namespace, and wait
 * @ctx: the context
 * @map: map with NVME_DMABUF_ACCESS_WRITE
 * @offset: first byte of the data from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 * @slba: first logical block, from the start of the block device attached
 * @cpl: gets the completion, on failure too; may be NULL
 *
 * Return: as nvmedmabuf_read().
 */
int nvmedmabuf_write(struct nvmedmabuf *ctx, uint32_t map, uint64_t offset,
		     uint64_t length, uint64_t slba,
		     struct nvme_dmabuf_completion *cpl);

/**
 * nvmedmabuf_flush - flush the namespace's volatile write cache, and wait
 * @ctx: the context
 * @map: map with NVME_DMABUF_ACCESS_WRITE, which names the namespace
 * @cpl: gets the completion, on failure too; may be NULL
 *
 * Return: as nvmedmabuf_read().
 */
int nvmedmabuf_flush(struct nvmedmabuf *ctx, uint32_t map,
		     struct nvme_dmabuf_completion *cpl);

/*
 * A queue: commands in flight that nobody waits for, through one of two front ends,
 * the module's own calls or io_uring. Fill in commands, submit them together, read
 * their completions. It is used by one thread: the one that made it.
 */
struct nvmedmabuf_queue;

/* flags of nvmedmabuf_queue_create() */
#define NVMEDMABUF_QUEUE_POLLED	(1U << 24) /* poll for completions, without interrupts */
#define NVMEDMABUF_QUEUE_URING	(1U << 25) /* by io_uring */

/* flags of nvmedmabuf_queue_submit() */
#define NVMEDMABUF_SUBMIT_NOWAIT (1U << 26) /* submit only what there is room for */

/**
 * nvmedmabuf_queue_create - make a queue
 * @ctx: the context, whose maps its commands use; must outlive the queue
 * @depth: commands that may be prepared, in flight or complete and not read, 1 to
 *	out_max_depth of struct nvme_dmabuf_info
 * @flags: NVMEDMABUF_QUEUE_*, or 0
 * @queue: gets the queue; the caller must nvmedmabuf_queue_free() it
 *
 * With NVMEDMABUF_QUEUE_POLLED commands go to the drive's polled queues, where it has
 * some (NVME_DMABUF_NS_POLL in out_flags of struct nvme_dmabuf_ns_info; for others
 * nothing changes): then completions come only in nvmedmabuf_queue_submit() and
 * nvmedmabuf_queue_reap().
 *
 * Return: 0; -EINVAL if @depth is 0 or for other flags; -ENOSPC if @depth is above the
 * limit or there are too many queues; -EOPNOTSUPP if the kernel has no io_uring or it
 * is switched off; -ELIBACC if NVMEDMABUF_QUEUE_URING finds no liburing; -ENOTTY if the module is older than queues; -EMFILE or -ENFILE if
 * there cannot be another file; -ENOMEM.
 */
int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
			    uint32_t flags, struct nvmedmabuf_queue **queue);

/**
 * nvmedmabuf_queue_free - free a queue
 * @queue: the queue; may be NULL
 *
 * Waits for its commands in flight. Those that were only prepared are dropped.
 */
void nvmedmabuf_queue_free(struct nvmedmabuf_queue *queue);

/**
 * nvmedmabuf_queue_fd - file descriptor of a queue, for poll()
 * @queue: the queue
 *
 * poll() says POLLIN if there are completions to read. Of a queue with
 * NVMEDMABUF_QUEUE_POLLED nothing would wake it. It stays the queue's: do not close it.
 *
 * Return: the descriptor.
 */
int nvmedmabuf_queue_fd(const struct nvmedmabuf_queue *queue);

/**
 * nvmedmabuf_queue_get - the next command to fill in
 * @queue: the queue
 *
 * To be filled in by nvmedmabuf_prep_read() and its like, and user_data, before the next
 * nvmedmabuf_queue_submit(), which submits it. Until then it may be changed; no command
 * can be taken back.
 *
 * Return: a command, or NULL if as many as the queue's depth are prepared, in flight
 * or not read.
 */
struct nvme_dmabuf_command *nvmedmabuf_queue_get(struct nvmedmabuf_queue *queue);

/**
 * nvmedmabuf_queue_submit - submit the prepared commands, and wait for completions
 * @queue: the queue
 * @min_complete: how many completions to wait for, those that can be read already
 *	included, or for all that can come if they are fewer; 0 waits for none
 * @timeout_ns: nanoseconds to wait at most, or 0 for no limit
 * @flags: NVMEDMABUF_SUBMIT_NOWAIT (do not wait for room before submitting), or 0
 *
 * One system call, and none if there is nothing to submit and the completions are there;
 * polling by io_uring may take several. The commands may be executed in any order. A
 * command that is refused has a completion that says so. Commands that could not be
 * submitted stay prepared, and must not be filled in again.
 *
 * By io_uring nothing waits for room before submitting: what would have to wait is given
 * to a thread of the kernel's.
 *
 * Return: how many commands were submitted, perhaps 0 if none was prepared: then the wait
 * may have been ended by the timeout or a signal. If there were some and none could be
 * submitted, -EAGAIN (with NVMEDMABUF_SUBMIT_NOWAIT, or the timeout), -EINTR (a signal
 * arrived) or -ENOMEM. -EINVAL for other flags.
 */
int nvmedmabuf_queue_submit(struct nvmedmabuf_queue *queue,
			    uint32_t min_complete, uint64_t timeout_ns,
			    uint32_t flags);

/**
 * nvmedmabuf_queue_reap - read completions
 * @queue: the queue
 * @cpls: gets up to @max completions, in the order in which they came; user_data says
 *	which command each belongs to. By io_uring, result is always 0, and status is 0 if
 *	error is not.
 * @max: how many @cpls has room for
 *
 * Never waits. Makes a system call only if it has nothing to read, and either the queue is
 * polled or, by io_uring, the kernel has completions that it has not written yet.
 *
 * Return: how many were written, perhaps 0.
 */
int nvmedmabuf_queue_reap(struct nvmedmabuf_queue *queue,
			  struct nvme_dmabuf_completion *cpls, uint32_t max);

/**
 * nvmedmabuf_reason_name - short name of a reason, for programs
 * @reason: NVME_DMABUF_REASON_*
 *
 * The names never change: "none", "not-pcie", … as in the header, in lower
 * case, with dashes.
 *
 * Return: a constant string; "unknown" for a number that this version of the
 * library does not know: then show the number.
 */
const char *nvmedmabuf_reason_name(uint32_t reason);

/**
 * nvmedmabuf_reason_text - what a reason means and what to do, for people
 * @reason: NVME_DMABUF_REASON_*
 *
 * Return: a constant string of one or two English sentences, never NULL; the
 * wording may change.
 */
const char *nvmedmabuf_reason_text(uint32_t reason);

/**
 * nvmedmabuf_status_text - what an NVMe status means, for people
 * @status: status of struct nvme_dmabuf_completion; the Do Not Retry and More
 *	bits are ignored
 *
 * Without libnvme only the status code type is told.
 *
 * Return: a constant string, never NULL; the wording may change.
 */
const char *nvmedmabuf_status_text(uint16_t status);

/* A buffer: a dma-buf of one of the kernel's usual exporters, or of any other. */
struct nvmedmabuf_buffer;

/* flags of nvmedmabuf_buffer_udmabuf() and nvmedmabuf_buffer_memory() */
#define NVMEDMABUF_BUFFER_HUGE	(1U << 27) /* huge pages of the default size */

/* flags of nvmedmabuf_buffer_begin_cpu() and _end_cpu() */
#define NVMEDMABUF_CPU_READ	(1 << 28)
#define NVMEDMABUF_CPU_WRITE	(1 << 29)

/**
 * nvmedmabuf_buffer_create - a buffer of an exporter that is chosen by its name
 * @name: one of
 *	"udmabuf"	nvmedmabuf_buffer_udmabuf()
 *	"huge"		the same, in huge pages
 *	"heap[:NAME]"	nvmedmabuf_buffer_heap(); "system" if no name is given
 *	"drm[:PATH]"	nvmedmabuf_buffer_drm(); /dev/dri/card0 if no path is given
 *	"memory[:huge]"	nvmedmabuf_buffer_memory(), perhaps in huge pages
 *	"v4l2:PATH"	a capture buffer of a video device, e.g. /dev/video0
 *	"vfio:DDDD:BB:DD.F[:BAR]"	memory of a PCI device bound to vfio-pci: the start
 *			of a BAR, of the first that is large enough if none is given
 * @size: bytes, not 0; rounded up to whole pages, or to a frame of the video device
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * A video device is closed again. Nothing is captured into the buffer: a program that
 * captures exports its own buffers (VIDIOC_EXPBUF) for nvmedmabuf_buffer_import().
 *
 * A buffer in a PCI device keeps the device, and its IOMMU group, open. The kernel takes
 * the memory back when the buffer is freed: maps of it then fail with -ESTALE.
 *
 * Return: 0; -EINVAL if @name is none of these, @size is 0 or the exporter has no buffers
 * of that size; -EOVERFLOW if @size cannot be rounded up; -ENOENT if there is no such
 * device; -EACCES; -ENOMEM; -EBUSY if somebody else uses the video device or the PCI
 * device; -ENOTTY if the kernel's vfio-pci exports no memory (before Linux 6.19), or PATH
 * is another kind of device; -EOPNOTSUPP if a video device does not capture frames that
 * lie in one buffer.
 */
int nvmedmabuf_buffer_create(const char *name, uint64_t size,
			     struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_check_name - whether nvmedmabuf_buffer_create() knows a name
 * @name: the name
 *
 * Looks at the text only: the exporter or the device need not exist.
 *
 * Return: 0 or -EINVAL.
 */
int nvmedmabuf_buffer_check_name(const char *name);

/**
 * nvmedmabuf_buffer_names - the names that nvmedmabuf_buffer_create() takes, for people
 *
 * Return: a constant string: "udmabuf, huge, heap[:NAME], …"; the wording may change.
 */
const char *nvmedmabuf_buffer_names(void);

/**
 * nvmedmabuf_buffer_udmabuf - host memory as a dma-buf, through /dev/udmabuf
 * @size: bytes, not 0; rounded up to whole pages
 * @flags: 0 or NVMEDMABUF_BUFFER_HUGE
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * The memory is an anonymous file (memfd) sealed against shrinking. The udmabuf
 * module limits a buffer's size (its parameter size_limit_mb, 64 in Linux 6.12
 * and far more in 7.3) and says EINVAL above that; not every kernel takes huge
 * pages there, and they must have been reserved (vm.nr_hugepages).
 *
 * Return: 0; -EINVAL if @size or @flags is wrong; -EOVERFLOW if @size cannot
 * be rounded up; -ENOENT if the kernel has no udmabuf; -EACCES; -ENOMEM.
 */
int nvmedmabuf_buffer_udmabuf(uint64_t size, uint32_t flags,
			      struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_memory - host memory as a dma-buf, through the module
 * @size: bytes, not 0; rounded up to whole pages
 * @flags: 0 or NVMEDMABUF_BUFFER_HUGE
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * Works on every kernel, and for every user who may open /dev/nvme-dmabuf. The memory
 * counts against RLIMIT_MEMLOCK. It is mapped already: only other processes that are
 * given the dma-buf cannot map it. For memory that the program has, see
 * nvmedmabuf_export().
 *
 * Return: 0; -EINVAL if @size or @flags is wrong; -EOVERFLOW if @size cannot
 * be rounded up; -ENOENT if the module is not loaded; -EACCES; -ENOMEM if there is none, or
 * RLIMIT_MEMLOCK allows no more.
 */
int nvmedmabuf_buffer_memory(uint64_t size, uint32_t flags,
			     struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_heap - memory of a DMA heap, /dev/dma_heap/<heap>
 * @heap: name of the heap, e.g. "system"
 * @size: bytes, not 0; rounded up to whole pages
 * @flags: 0
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * Return: 0; -EINVAL if @heap is not a file name, or @size or @flags is wrong;
 * -EOVERFLOW if @size cannot be rounded up; -ENOENT if there is no such heap;
 * -EACCES; -ENOMEM.
 */
int nvmedmabuf_buffer_heap(const char *heap, uint64_t size, uint32_t flags,
			   struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_drm - a graphics device's dumb buffer
 * @path: primary node of the device, e.g. "/dev/dri/card0"
 * @size: bytes, not 0, below 4 GiB
 * @flags: 0
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * Dumb buffers are pictures, so the buffer may be larger than asked for: see
 * nvmedmabuf_buffer_size(). Where its memory is depends on the driver: virtio
 * and vgem use host memory, others may use their own.
 *
 * Return: 0; -EINVAL if @size or @flags is wrong; -EOPNOTSUPP or -ENOSYS if
 * the driver has no dumb buffers or cannot export them; -ENOENT, -EACCES,
 * -ENOMEM; -ELIBACC if there is no libdrm.
 */
int nvmedmabuf_buffer_drm(const char *path, uint64_t size, uint32_t flags,
			  struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_import - a buffer of a dma-buf that is already open
 * @fd: the dma-buf, e.g. from CUDA, ROCm, Level Zero, Vulkan or vfio
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * The descriptor is duplicated: @fd stays the caller's.
 *
 * Return: 0; -EBADF if @fd is not open or is no dma-buf; -EMFILE; -ENOMEM.
 */
int nvmedmabuf_buffer_import(int fd, struct nvmedmabuf_buffer **buf);

/**
 * nvmedmabuf_buffer_free - free a buffer, its descriptor and its CPU mapping
 * @buf: the buffer; may be NULL
 *
 * A map made of it keeps the memory until it is detached.
 */
void nvmedmabuf_buffer_free(struct nvmedmabuf_buffer *buf);

/**
 * nvmedmabuf_buffer_fd - the dma-buf, for nvmedmabuf_attach()
 * @buf: the buffer
 *
 * Return: the descriptor, which stays the buffer's: do not close it.
 */
int nvmedmabuf_buffer_fd(const struct nvmedmabuf_buffer *buf);

/**
 * nvmedmabuf_buffer_size - size of the dma-buf
 * @buf: the buffer
 *
 * Return: bytes, at least as many as were asked for.
 */
uint64_t nvmedmabuf_buffer_size(const struct nvmedmabuf_buffer *buf);

/**
 * nvmedmabuf_buffer_mmap - map a buffer for the CPU
 * @buf: the buffer
 * @addr: gets the address of nvmedmabuf_buffer_size() bytes
 *
 * The mapping lasts as long as the buffer, and calling again gives the same
 * address. It can be written to unless the dma-buf was imported read-only.
 * Put accesses between nvmedmabuf_buffer_begin_cpu() and _end_cpu().
 *
 * Return: 0; -ENOMEM; or what the exporter says: not every one allows it.
 */
int nvmedmabuf_buffer_mmap(struct nvmedmabuf_buffer *buf, void **addr);

/**
 * nvmedmabuf_buffer_begin_cpu - begin to access a buffer through its mapping
 * @buf: the buffer
 * @flags: NVMEDMABUF_CPU_READ, NVMEDMABUF_CPU_WRITE or both
 *
 * Makes what devices wrote visible to the CPU, and waits for those that use the
 * buffer under an implicit fence. Commands of this library have no such fence:
 * wait for them first, or for the fence of nvmedmabuf_submit_fence().
 *
 * Return: 0; -EINVAL if @flags is wrong; or what the exporter says. Never
 * -EINTR or -EAGAIN.
 */
int nvmedmabuf_buffer_begin_cpu(struct nvmedmabuf_buffer *buf, int flags);

/**
 * nvmedmabuf_buffer_end_cpu - end what nvmedmabuf_buffer_begin_cpu() began
 * @buf: the buffer
 * @flags: as given to nvmedmabuf_buffer_begin_cpu()
 *
 * Makes what the CPU wrote visible to devices.
 *
 * Return: as nvmedmabuf_buffer_begin_cpu().
 */
int nvmedmabuf_buffer_end_cpu(struct nvmedmabuf_buffer *buf, int flags);

/* sgl of struct nvmedmabuf_drive */
#define NVMEDMABUF_SGL_NONE	0 /* the drive takes PRPs only */
#define NVMEDMABUF_SGL_BYTE	1 /* SGLs of any alignment */
#define NVMEDMABUF_SGL_DWORD	2 /* SGLs, addresses and lengths multiples of 4 */

/**
 * struct nvmedmabuf_drive - what a drive says of itself (Identify)
 * @size: set by the caller to sizeof(struct nvmedmabuf_drive); gets the bytes
 *	that this version of the library knows, if those are fewer
 * @nsid: namespace identifier
 * @max_transfer: largest data transfer of one command (MDTS) in bytes; 0 if
 *	there is no limit
 * @blocks: logical blocks of the namespace (NSZE)
 * @block_size: bytes of data in a logical block
 * @metadata_size: bytes of metadata of a logical block
 * @metadata_interleaved: 1 if metadata follows each block's data in memory, 0
 *	if it is separate
 * @pi_type: protection information type 1 to 3, 0 if there is none
 * @pi_first: 1 if protection information is the first bytes of the metadata, 0
 *	if it is the last
 * @sgl_supported: NVMEDMABUF_SGL_*
 * @write_cache: 1 if the drive has a volatile write cache, which Flush empties
 * @reserved: 0
 * @model: model number, without trailing spaces
 * @serial: serial number, without trailing spaces
 * @firmware: firmware revision, without trailing spaces
 *
 * New members are added at the end. Initialise it with
 * struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
 * and those that an older library does not know read as 0.
 *
 * Bytes of the strings that are not printable ASCII are replaced by '?'.
 */
struct nvmedmabuf_drive {
	uint32_t size;
	uint32_t nsid;
	uint64_t max_transfer;
	uint64_t blocks;
	uint32_t block_size;
	uint16_t metadata_size;
	uint8_t metadata_interleaved;
	uint8_t pi_type;
	uint8_t pi_first;
	uint8_t sgl_supported;
	uint8_t write_cache;
	uint8_t reserved[6];
	char model[41];
	char serial[21];
	char firmware[9];
};

/**
 * nvmedmabuf_get_drive - ask a drive what it is
 * @ns_fd: open file of a namespace, /dev/nvme0n1 or /dev/ng0n1, or of a
 *	partition. Needs neither the module nor a context.
 * @drive: gets the answer; its size must be set
 *
 * The kernel allows it to everybody who may open the namespace (from 6.2), and
 * to CAP_SYS_ADMIN only for a partition or an older kernel.
 *
 * Return: 0; -EINVAL if @drive->size is smaller than in the first version of
 * the library; -ENOTTY if @ns_fd is no NVMe namespace; -EACCES; -ENODEV; -EIO
 * if the drive fails the command or its answer makes no sense; -ELIBACC if there is no
 * libnvme.
 */
int nvmedmabuf_get_drive(int ns_fd, struct nvmedmabuf_drive *drive);

#ifdef __cplusplus
}
#endif

#endif /* NVMEDMABUF_H */
