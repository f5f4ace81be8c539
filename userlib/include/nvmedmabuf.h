/* SPDX-License-Identifier: MIT */
/*
 * libnvmedmabuf: NVMe reads and writes between a namespace and a dma-buf that
 * stays mapped for DMA, through the device /dev/nvme-dmabuf. A regular file on
 * XFS or ext4 can stand in place of a namespace.
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
 * same context. A queue is used by one thread at a time; if it uses io_uring, by the
 * thread that made it. Different queues are independent of each other, and so are
 * different buffers. One buffer may be used by several threads at once in any function
 * but nvmedmabuf_buffer_mmap() and nvmedmabuf_buffer_free(), which must have it for
 * themselves. All other functions may be called at any time.
 *
 * Structures. Each begins with its size. The caller sets it to sizeof, and every member
 * that he does not use to 0. New members are added at the end. If a newer program sets a
 * member that an older library does not know, the call fails with -E2BIG. In an answer such
 * a member is 0. A structure that is too short is -EINVAL. The functions that answer clear
 * the structure first, and leave it so on failure; nvmedmabuf_get_drive() leaves it as it
 * was. The elements of arrays (commands, completions, events, runs) never grow.
 *
 * Libraries. The core needs libc alone. The first call that needs libdrm, libnvme, liburing
 * or the library of a GPU's vendor loads it. The library stays loaded. The call fails with
 * -ELIBACC if the library is not installed, and with -ENOSYS if it is too old.
 *
 * Units are bytes unless logical blocks are named.
 */
#ifndef NVMEDMABUF_H
#define NVMEDMABUF_H

#include <stdbool.h>
#include <stddef.h>
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
 * @info: gets the answer; its size must be set
 *
 * Return: 0 or a negative errno.
 */
int nvmedmabuf_get_info(struct nvmedmabuf *ctx, struct nvme_dmabuf_info *info);

/**
 * nvmedmabuf_get_ns_info - whether, and how, a namespace or a file can be used
 * @ctx: the context
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of
 *	a regular file
 * @info: gets the answer; its size must be set. Its out_reason is written on
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

/* What a map, or a dma-buf of the program's own memory, is for. */
enum nvmedmabuf_access {
	/* NVMe Read: the drive fills the memory */
	NVMEDMABUF_ACCESS_READ = NVME_DMABUF_ACCESS_READ,
	/* NVMe Write, and Flush: the drive reads the memory */
	NVMEDMABUF_ACCESS_WRITE = NVME_DMABUF_ACCESS_WRITE,
	NVMEDMABUF_ACCESS_READ_WRITE = NVMEDMABUF_ACCESS_READ | NVMEDMABUF_ACCESS_WRITE
};

/**
 * nvmedmabuf_export - make a dma-buf of memory that the program has
 * @ctx: the context
 * @addr: first byte, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0
 * @access: what maps of the dma-buf may ask for
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
		      enum nvmedmabuf_access access, int *dmabuf_fd, uint32_t *reason);

/**
 * struct nvmedmabuf_attach_params - what is to be mapped, for what, and how
 * @size: sizeof(struct nvmedmabuf_attach_params)
 * @access: what commands may do with the map
 * @dmabuf_fd: the dma-buf; open for writing if @access has READ, for reading if
 *	it has WRITE
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of a regular
 *	file; open for reading if @access has READ, for writing if it has WRITE
 * @offset: first byte of the range in the dma-buf, a multiple of 4
 * @length: bytes of the range, not 0
 * @require_p2p: refuse a buffer that is not in a PCI device's memory entirely, now and at
 *	each refresh
 * @auto_refresh: commands refresh the map if its exporter took the buffer back, or somebody
 *	its file
 * @defer: the map takes no commands until it is refreshed, as of a file to be written
 * @reserved: 0
 */
struct nvmedmabuf_attach_params {
	uint32_t size;
	enum nvmedmabuf_access access;
	int32_t dmabuf_fd;
	int32_t ns_fd;
	uint64_t offset;
	uint64_t length;
	bool require_p2p;
	bool auto_refresh;
	bool defer;
	uint8_t reserved[5];
};

/**
 * nvmedmabuf_attach - map a range of a dma-buf for DMA by a namespace
 * @ctx: the context
 * @params: what, and how
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
 * @params->ns_fd is open for writing, open at all. Such a descriptor is itself in the way:
 * attach with @params->defer, close it, and refresh; nvmedmabuf_storage_attach() does that.
 * Somebody who opens the file so, truncates it or moves its blocks waits for the commands in
 * flight; later ones fail with -ESTALE and NVME_DMABUF_REASON_FILE_CHANGED until
 * nvmedmabuf_refresh(). Commands that touch a hole fail with -ENODATA, and none changes the
 * file's size. The call takes longer the larger the file is.
 *
 * Return: 0; -EINVAL, -E2BIG, -EOVERFLOW, -ERANGE, -EBADF, -EACCES, -EBUSY (somebody has the
 * file open: see above), -ETXTBSY (the file is swap space, or the device is and the
 * access has WRITE), -EOPNOTSUPP, -ESTALE, -ENODEV, -ENOSPC, -ENOMEM, -EINTR (a signal
 * arrived), -EIO, or what the exporter says (with NVME_DMABUF_REASON_EXPORTER).
 */
int nvmedmabuf_attach(struct nvmedmabuf *ctx,
		      const struct nvmedmabuf_attach_params *params,
		      uint32_t *map, uint32_t *reason);

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
 * @info: gets the answer; its size must be set. Its out_extents, out_blocks and
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
 * @info: gets the answer; its size must be set
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
 * struct nvmedmabuf_submit_params - what a submission waits for, and what not
 * @size: sizeof(struct nvmedmabuf_submit_params)
 * @in_fence_fd: a sync_file, if @in_fence is set; else not looked at. It stays the caller's.
 * @in_fence: nothing is issued before @in_fence_fd has signalled; not for queues by io_uring
 * @implicit_sync: nothing is issued before the fences of each command's dma-buf have
 *	signalled: those of writers before a Write, those of readers as well before a Read. Not
 *	for queues.
 * @nowait: submit only what there is room for, and do not wait for @in_fence_fd. For queues
 *	alone.
 * @reserved: 0
 */
struct nvmedmabuf_submit_params {
	uint32_t size;
	int32_t in_fence_fd;
	bool in_fence;
	bool implicit_sync;
	bool nowait;
	uint8_t reserved[5];
};

/**
 * nvmedmabuf_submit_with - wait for fences, then nvmedmabuf_submit()
 * @ctx: the context
 * @cmds: as for nvmedmabuf_submit()
 * @cpls: as for nvmedmabuf_submit()
 * @count: as for nvmedmabuf_submit()
 * @params: what to wait for
 *
 * Nothing of a system call is issued before its fences have signalled. Commands
 * above the module's limit are handed over in several calls, as by
 * nvmedmabuf_submit().
 *
 * Return: as nvmedmabuf_submit(); -EINVAL or -E2BIG for wrong @params; -EBADF if
 * the fence is no sync_file; -ECANCELED if it signalled an error; -EINTR if
 * a signal arrived before the fences had signalled: then nothing was executed.
 */
int nvmedmabuf_submit_with(struct nvmedmabuf *ctx,
			   const struct nvme_dmabuf_command *cmds,
			   struct nvme_dmabuf_completion *cpls, uint32_t count,
			   const struct nvmedmabuf_submit_params *params);

/**
 * nvmedmabuf_submit_fence - submit commands, and get a fence instead of waiting
 * @ctx: the context
 * @cmds: @count commands; need not be kept after the call
 * @count: number of commands, from 1 to the module's limit (out_max_commands of
 *	struct nvme_dmabuf_info)
 * @params: what to wait for, in the call; may be NULL
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
 * Return: 0; -EINVAL if @count is 0, or for wrong @params; -E2BIG; -ENOSPC if @count is
 * above the limit; -EBADF if the fence to wait for is no sync_file, -ECANCELED if that
 * signalled an error; -EMFILE if there cannot be another file; -EINTR if a signal
 * arrived before the fences had signalled; -EFAULT; -ENOMEM. Of all but -EFAULT nothing
 * was executed.
 */
int nvmedmabuf_submit_fence(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    uint32_t count,
			    const struct nvmedmabuf_submit_params *params,
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
 * Storage: a namespace, a partition of one, or a regular file, opened by its path. It knows its
 * block size and how a file has to be opened for a map, and takes positions in bytes.
 */
struct nvmedmabuf_storage;

/**
 * nvmedmabuf_storage_open - open storage by its path
 * @ctx: the context, whose maps will be used; must outlive the storage
 * @path: of a block device or a regular file. What is open already has the path
 *	/proc/self/fd/N.
 * @access: what maps of it may ask for; the caller must be allowed to open it so
 * @storage: gets the storage; the caller must nvmedmabuf_storage_close() it
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * Several threads may use it at once in any function but nvmedmabuf_storage_close() and
 * nvmedmabuf_storage_refresh(). It keeps no file open. /proc must be mounted.
 *
 * To open a file, as this call does, nvmedmabuf_storage_get_info() and
 * nvmedmabuf_storage_attach(), ends the leases of maps that write to it, which then have to be
 * refreshed. Several are attached with @params->defer first, and then each is refreshed.
 *
 * Succeeds for a file that somebody has open in the way of maps: nvmedmabuf_storage_attach()
 * says so.
 *
 * Return: 0; -EINVAL if @access is wrong; -ENODEV, -EIO or -EOPNOTSUPP if it cannot be used,
 * with the reason; -EBADF if it is neither a block device nor a regular file; what open(2)
 * says, as -ENOENT and -EACCES; -ENOMEM.
 */
int nvmedmabuf_storage_open(struct nvmedmabuf *ctx, const char *path,
			    enum nvmedmabuf_access access,
			    struct nvmedmabuf_storage **storage, uint32_t *reason);

/**
 * nvmedmabuf_storage_close - close storage
 * @storage: the storage; may be NULL
 *
 * Maps of it stay until they are detached.
 */
void nvmedmabuf_storage_close(struct nvmedmabuf_storage *storage);

/**
 * nvmedmabuf_storage_size - size of a file, a partition or a namespace
 * @storage: the storage
 *
 * Return: bytes, as of nvmedmabuf_storage_open() or the last nvmedmabuf_storage_refresh().
 */
uint64_t nvmedmabuf_storage_size(const struct nvmedmabuf_storage *storage);

/**
 * nvmedmabuf_storage_block_size - what positions and lengths are multiples of
 * @storage: the storage
 *
 * Return: bytes of a logical block, as of nvmedmabuf_storage_open() or the last
 * nvmedmabuf_storage_refresh().
 */
uint32_t nvmedmabuf_storage_block_size(const struct nvmedmabuf_storage *storage);

/**
 * nvmedmabuf_storage_get_info - limits and properties, as nvmedmabuf_get_ns_info()
 * @storage: the storage
 * @info: gets the answer; its size must be set
 *
 * Return: as nvmedmabuf_get_ns_info().
 */
int nvmedmabuf_storage_get_info(const struct nvmedmabuf_storage *storage,
				struct nvme_dmabuf_ns_info *info);

/**
 * nvmedmabuf_storage_attach - map a range of a dma-buf for DMA by storage
 * @storage: the storage
 * @params: as for nvmedmabuf_attach(), but for @params->ns_fd, which is not looked at
 * @map: gets the map's number, which is not 0
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * Of a file to be written too: it is opened, attached to, closed and refreshed, unless
 * @params->defer leaves the refresh to the caller.
 *
 * Return: as nvmedmabuf_attach() and nvmedmabuf_refresh(); -EACCES if @params->access is more
 * than the storage was opened for.
 */
int nvmedmabuf_storage_attach(struct nvmedmabuf_storage *storage,
			      const struct nvmedmabuf_attach_params *params,
			      uint32_t *map, uint32_t *reason);

/**
 * nvmedmabuf_storage_refresh - refresh a map, and find out the block size and the size again
 * @storage: the storage
 * @map: a map of it
 * @reason: gets NVME_DMABUF_REASON_*, on failure too; may be NULL
 *
 * Return: as nvmedmabuf_refresh() and nvmedmabuf_storage_open().
 */
int nvmedmabuf_storage_refresh(struct nvmedmabuf_storage *storage, uint32_t map,
			       uint32_t *reason);

/**
 * nvmedmabuf_storage_prep_read - nvmedmabuf_prep_read() by bytes
 * @storage: the storage
 * @cmd: the command, every member of which is written
 * @map: a map of the storage with NVMEDMABUF_ACCESS_READ
 * @offset: first byte of the data from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 * @position: first byte of the data in the storage, a multiple of the block size
 *
 * Return: 0, or -EINVAL if @length or @position is no multiple of the block size.
 */
int nvmedmabuf_storage_prep_read(const struct nvmedmabuf_storage *storage,
				 struct nvme_dmabuf_command *cmd, uint32_t map,
				 uint64_t offset, uint64_t length, uint64_t position);

/**
 * nvmedmabuf_storage_prep_write - nvmedmabuf_prep_write() by bytes
 * @storage: the storage
 * @cmd: the command, every member of which is written
 * @map: a map of the storage with NVMEDMABUF_ACCESS_WRITE
 * @offset: as for nvmedmabuf_storage_prep_read()
 * @length: as for nvmedmabuf_storage_prep_read()
 * @position: as for nvmedmabuf_storage_prep_read()
 *
 * Return: as nvmedmabuf_storage_prep_read().
 */
int nvmedmabuf_storage_prep_write(const struct nvmedmabuf_storage *storage,
				  struct nvme_dmabuf_command *cmd, uint32_t map,
				  uint64_t offset, uint64_t length, uint64_t position);

/**
 * nvmedmabuf_storage_read - read from storage into the dma-buf, and wait
 * @storage: the storage
 * @map: as for nvmedmabuf_storage_prep_read()
 * @offset: as for nvmedmabuf_storage_prep_read()
 * @length: as for nvmedmabuf_storage_prep_read()
 * @position: as for nvmedmabuf_storage_prep_read()
 * @cpl: gets the completion, on failure too; may be NULL
 *
 * Return: as nvmedmabuf_read(), and -EINVAL as nvmedmabuf_storage_prep_read().
 */
int nvmedmabuf_storage_read(const struct nvmedmabuf_storage *storage, uint32_t map,
			    uint64_t offset, uint64_t length, uint64_t position,
			    struct nvme_dmabuf_completion *cpl);

/**
 * nvmedmabuf_storage_write - write from the dma-buf to storage, and wait
 * @storage: the storage
 * @map: as for nvmedmabuf_storage_prep_write()
 * @offset: as for nvmedmabuf_storage_prep_write()
 * @length: as for nvmedmabuf_storage_prep_write()
 * @position: as for nvmedmabuf_storage_prep_write()
 * @cpl: gets the completion, on failure too; may be NULL
 *
 * What was written is durable after nvmedmabuf_flush().
 *
 * Return: as nvmedmabuf_storage_read().
 */
int nvmedmabuf_storage_write(const struct nvmedmabuf_storage *storage, uint32_t map,
			     uint64_t offset, uint64_t length, uint64_t position,
			     struct nvme_dmabuf_completion *cpl);

/**
 * struct nvmedmabuf_range - a part of a map
 * @offset: first byte from the start of the map, a multiple of 4
 * @length: bytes, a multiple of the block size, not 0
 */
struct nvmedmabuf_range {
	uint64_t offset;
	uint64_t length;
};

/**
 * nvmedmabuf_storage_readv - read one part of storage into several of the dma-buf, and wait
 * @storage: the storage
 * @map: as for nvmedmabuf_storage_prep_read()
 * @ranges: where the data goes, in order
 * @count: how many @ranges there are; with 0 nothing is done
 * @position: first byte of the data in the storage, a multiple of the block size
 * @cpl: gets the first completion in order that failed, or one of success, and in bytes how
 *	many were read before the failure, of all ranges; may be NULL
 *
 * At the price of a batch: one command for each range, 64 at a time. After a failure those of
 * the same 64 behind it may have been executed, later ones not.
 *
 * Return: as nvmedmabuf_storage_read(); -EOVERFLOW if @position and the lengths exceed 64
 * bits. After that and -EINVAL nothing was executed.
 */
int nvmedmabuf_storage_readv(const struct nvmedmabuf_storage *storage, uint32_t map,
			     const struct nvmedmabuf_range *ranges, uint32_t count,
			     uint64_t position, struct nvme_dmabuf_completion *cpl);

/**
 * nvmedmabuf_storage_writev - write several parts of the dma-buf to one of storage, and wait
 * @storage: the storage
 * @map: as for nvmedmabuf_storage_prep_write()
 * @ranges: where the data is, in order
 * @count: as for nvmedmabuf_storage_readv()
 * @position: as for nvmedmabuf_storage_readv()
 * @cpl: as for nvmedmabuf_storage_readv()
 *
 * Return: as nvmedmabuf_storage_readv().
 */
int nvmedmabuf_storage_writev(const struct nvmedmabuf_storage *storage, uint32_t map,
			      const struct nvmedmabuf_range *ranges, uint32_t count,
			      uint64_t position, struct nvme_dmabuf_completion *cpl);

/*
 * A queue: commands in flight that nobody waits for, through one of two front ends,
 * the module's own calls or io_uring. Fill in commands, submit them together, read
 * their completions. It is used by one thread at a time.
 */
struct nvmedmabuf_queue;

/**
 * struct nvmedmabuf_queue_params - what kind of queue
 * @size: sizeof(struct nvmedmabuf_queue_params)
 * @event_fd: an eventfd, if @event is set, to which at least 1 is added when completions
 *	come; else not looked at. It stays the caller's.
 * @polled: poll for completions, without interrupts
 * @uring: by io_uring
 * @event: tell @event_fd; not together with @polled
 * @reserved: 0
 */
struct nvmedmabuf_queue_params {
	uint32_t size;
	int32_t event_fd;
	bool polled;
	bool uring;
	bool event;
	uint8_t reserved[5];
};

/**
 * nvmedmabuf_queue_create - make a queue
 * @ctx: the context, whose maps its commands use; must outlive the queue
 * @depth: commands that may be prepared, in flight or complete and not read, 1 to
 *	out_max_depth of struct nvme_dmabuf_info
 * @params: what kind; may be NULL: by the module's own calls, with interrupts
 * @queue: gets the queue; the caller must nvmedmabuf_queue_free() it
 *
 * A polled queue's commands go to the drive's polled queues, where it has
 * some (NVME_DMABUF_NS_POLL in out_flags of struct nvme_dmabuf_ns_info; for others
 * nothing changes): then completions come only in nvmedmabuf_queue_submit() and
 * nvmedmabuf_queue_reap().
 *
 * A queue may be handed to another thread, as with a mutex; but one by io_uring must be used
 * by the thread that made it alone.
 *
 * Return: 0; -EINVAL if @depth is 0 or for wrong @params; -E2BIG; -ENOSPC if @depth is above
 * the limit or there are too many queues; -EBADF or -EINVAL if @params->event_fd is no eventfd;
 * -EOPNOTSUPP if the kernel has no io_uring or it is switched off; -ELIBACC if
 * @params->uring finds no liburing; -ENOTTY if the module is older than queues; -EMFILE or
 * -ENFILE if there cannot be another file; -ENOMEM.
 */
int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
			    const struct nvmedmabuf_queue_params *params,
			    struct nvmedmabuf_queue **queue);

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
 * poll() says POLLIN if there are completions to read. Of a polled queue nothing would wake
 * it. It stays the queue's: do not close it.
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
 *
 * One system call, and none if there is nothing to submit and the completions are there;
 * polling by io_uring may take several. The commands may be executed in any order. A
 * command that is refused has a completion that says so. Commands that could not be
 * submitted stay prepared, and must not be filled in again.
 *
 * By io_uring nothing waits for room before submitting: what would have to wait is given
 * to a thread of the kernel's.
 *
 * Return: how many commands were submitted; the wait for completions may then have been cut
 * short, which nvmedmabuf_queue_reap() shows. If none was prepared, 0, or, if the wait was cut
 * short, -ETIME or -EINTR (a signal arrived). If there were some and none could be submitted,
 * -EAGAIN (the timeout, which counts for all waits of the call), -EINTR or -ENOMEM.
 */
int nvmedmabuf_queue_submit(struct nvmedmabuf_queue *queue,
			    uint32_t min_complete, uint64_t timeout_ns);

/**
 * nvmedmabuf_queue_submit_with - nvmedmabuf_queue_submit() with more to wait for, or less
 * @queue: the queue
 * @min_complete: as for nvmedmabuf_queue_submit()
 * @timeout_ns: as for nvmedmabuf_queue_submit()
 * @params: what to wait for before submitting, and what not
 *
 * Return: as nvmedmabuf_queue_submit(); -EAGAIN with @params->nowait; -EINVAL or -E2BIG for
 * wrong @params; -EBADF if the fence is no sync_file; -ECANCELED if it signalled an error;
 * -EOPNOTSUPP if it is given to a queue by io_uring.
 */
int nvmedmabuf_queue_submit_with(struct nvmedmabuf_queue *queue,
				 uint32_t min_complete, uint64_t timeout_ns,
				 const struct nvmedmabuf_submit_params *params);

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

/**
 * nvmedmabuf_error_text - what went wrong, in a sentence, for people
 * @text: gets the sentence, cut off if need be, and terminated
 * @size: bytes that @text has room for, not 0; 400 are enough
 * @error: what a function of this library returned: 0 or a negative errno
 * @reason: the reason that it gave, or NVME_DMABUF_REASON_NONE
 * @cpl: the completion that it gave, or NULL
 *
 * Of a command that the drive failed the text is what its status means. Else it is what the
 * error means, and then the reason; those of the completion, where it has them, stand in place
 * of @error and @reason.
 *
 * Return: @text.
 */
char *nvmedmabuf_error_text(char *text, size_t size, int error, uint32_t reason,
			    const struct nvme_dmabuf_completion *cpl);

/* A buffer: a dma-buf of one of the kernel's usual exporters, or of any other. */
struct nvmedmabuf_buffer;

/* What the CPU does with a buffer. No number is one of enum nvmedmabuf_access. */
enum nvmedmabuf_cpu {
	NVMEDMABUF_CPU_READ = 1 << 28,
	NVMEDMABUF_CPU_WRITE = 1 << 29,
	NVMEDMABUF_CPU_READ_WRITE = NVMEDMABUF_CPU_READ | NVMEDMABUF_CPU_WRITE
};

/**
 * nvmedmabuf_buffer_create - a buffer of an exporter that is chosen by its name
 * @name: one of
 *	"udmabuf"	memory of the host, through /dev/udmabuf
 *	"huge"		the same, in huge pages
 *	"heap[:NAME]"	a DMA heap, /dev/dma_heap/NAME; "system" if no name is given
 *	"drm[:PATH]"	a graphics device's dumb buffer; /dev/dri/card0 if no path is given
 *	"memory[:huge]"	memory of the process, exported by the module, perhaps in huge pages
 *	"v4l2:PATH"	a capture buffer of a video device, e.g. /dev/video0
 *	"vfio:DDDD:BB:DD.F[:BAR]"	memory of a PCI device bound to vfio-pci: the start
 *			of a BAR, of the first that is large enough if none is given
 *	"cuda[:N]"	memory of an NVIDIA GPU, by CUDA; N counts devices from 0
 *	"hip[:N]"	memory of an AMD GPU, by the HSA runtime of ROCm
 *	"ze[:N]"	memory of an Intel GPU, by oneAPI Level Zero
 * @size: bytes, not 0; rounded up to whole pages, or to a frame of the video device
 * @buf: gets the buffer; the caller must nvmedmabuf_buffer_free() it
 *
 * "udmabuf": an anonymous file (memfd), sealed against shrinking. The udmabuf module limits a
 * buffer's size (its parameter size_limit_mb, 64 in Linux 6.12 and far more in 7.3) and says
 * EINVAL above that; not every kernel takes huge pages there, and they must have been
 * reserved (vm.nr_hugepages).
 *
 * "memory": works on every kernel, and for every user who may open /dev/nvme-dmabuf. It counts
 * against RLIMIT_MEMLOCK. It is mapped already: only other processes that are given the
 * dma-buf cannot map it. For memory that the program has, see nvmedmabuf_export().
 *
 * "drm": dumb buffers are pictures, of less than 4 GiB, and may be larger than asked for: see
 * nvmedmabuf_buffer_size(). Where the memory is depends on the driver: virtio and vgem use host
 * memory, others may use their own.
 *
 * A video device is closed again. Nothing is captured into the buffer: a program that
 * captures exports its own buffers (VIDIOC_EXPBUF) for nvmedmabuf_buffer_import().
 *
 * A buffer in a PCI device keeps the device, and its IOMMU group, open. The kernel takes
 * the memory back when the buffer is freed: maps of it then fail with -ESTALE.
 *
 * The library of a GPU's vendor is loaded by this call, and stays loaded. The GPU's driver
 * may put the buffer in host memory when it is attached, and tells nobody: ask
 * nvmedmabuf_get_placement(). The CPU cannot map buffers of "cuda".
 *
 * Return: 0; -EINVAL if @name is none of these, @size is 0 or the exporter has no buffers
 * of that size; -EOVERFLOW if @size cannot be rounded up; -ENOENT if there is no such
 * device; -ENODEV if there is no GPU of that number; -ELIBACC if the exporter's library
 * (libdrm, or the vendor's) is not installed, -ENOSYS if it is too old; -EACCES; -ENOMEM if
 * there is none, or RLIMIT_MEMLOCK allows no more; -EBUSY if somebody else uses the video
 * device or the PCI device; -ENOTTY if the kernel's vfio-pci exports no memory (before Linux
 * 6.19), or PATH is another kind of device; -EOPNOTSUPP or -ENOSYS if a graphics device has
 * no dumb buffers or cannot export them, -EOPNOTSUPP if a video device does not capture
 * frames that lie in one buffer, or a GPU or its driver exports no dma-bufs; -EIO if the
 * vendor's library fails otherwise.
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
 * @access: what the CPU will do
 *
 * Makes what devices wrote visible to the CPU, and waits for those that use the
 * buffer under an implicit fence. Commands of this library have no such fence:
 * wait for them first, or for the fence of nvmedmabuf_submit_fence().
 *
 * Return: 0; -EINVAL if @access is wrong; or what the exporter says. Never
 * -EINTR or -EAGAIN.
 */
int nvmedmabuf_buffer_begin_cpu(struct nvmedmabuf_buffer *buf,
				enum nvmedmabuf_cpu access);

/**
 * nvmedmabuf_buffer_end_cpu - end what nvmedmabuf_buffer_begin_cpu() began
 * @buf: the buffer
 * @access: as given to nvmedmabuf_buffer_begin_cpu()
 *
 * Makes what the CPU wrote visible to devices.
 *
 * Return: as nvmedmabuf_buffer_begin_cpu().
 */
int nvmedmabuf_buffer_end_cpu(struct nvmedmabuf_buffer *buf,
			      enum nvmedmabuf_cpu access);

/* sgl_supported of struct nvmedmabuf_drive */
#define NVMEDMABUF_SGL_NONE	0 /* the drive takes PRPs only */
#define NVMEDMABUF_SGL_BYTE	1 /* SGLs of any alignment */
#define NVMEDMABUF_SGL_DWORD	2 /* SGLs, addresses and lengths multiples of 4 */

/**
 * struct nvmedmabuf_drive - what a drive says of itself (Identify)
 * @size: sizeof(struct nvmedmabuf_drive)
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
