// SPDX-License-Identifier: MIT
/*
 * Storage: a namespace, a partition of one, or a regular file, by its path, and commands
 * in bytes. Made of the calls of context.c alone.
 *
 * What is kept of a file is no open file (O_PATH), for one that is open for writing would be
 * in the way of its own maps. It is opened for each map, which then keeps what it needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nvmedmabuf.h>

#include "params.h"

/* Commands that are submitted together. */
#define VECTOR 64

struct nvmedmabuf_storage {
	struct nvmedmabuf *ctx;
	enum nvmedmabuf_access access;
	int path_fd;
	bool is_file;
	uint32_t block_size;
	uint64_t size;
};

/* Opens what was found at the path, whatever is there now; returns it or -errno. */
static int open_again(const struct nvmedmabuf_storage *storage, enum nvmedmabuf_access access)
{
	static const int modes[] = { O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR };
	char path[sizeof("/proc/self/fd/") + 11];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", storage->path_fd);
	fd = open(path, modes[access & NVMEDMABUF_ACCESS_READ_WRITE] | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int query(const struct nvmedmabuf_storage *storage, struct nvme_dmabuf_ns_info *info)
{
	int err, fd;

	/* Opened for reading alone, the descriptor is in the way of no map that only reads. */
	fd = open_again(storage, storage->access & NVMEDMABUF_ACCESS_READ ?
				 NVMEDMABUF_ACCESS_READ : storage->access);
	if (fd < 0)
		return fd;
	err = nvmedmabuf_get_ns_info(storage->ctx, fd, info);
	close(fd);
	return err;
}

static int reason_error(uint32_t reason)
{
	switch (reason) {
	case NVME_DMABUF_REASON_NONE:
	/* Not now, perhaps, and perhaps because of the descriptor that it was asked by. */
	case NVME_DMABUF_REASON_FILE_BUSY:
		return 0;
	case NVME_DMABUF_REASON_GONE:
		return -ENODEV;
	case NVME_DMABUF_REASON_PROBE_FAILED:
		return -EIO;
	default:
		return -EOPNOTSUPP;
	}
}

/* Finds out, perhaps again, in which units it is read and written, and how large it is. */
static int measure(struct nvmedmabuf_storage *storage, uint32_t *reason)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct stat st;
	int err;

	if (fstat(storage->path_fd, &st) < 0)
		return -errno;
	err = query(storage, &info);
	*reason = info.out_reason;
	if (!err)
		err = reason_error(info.out_reason);
	if (err)
		return err;

	storage->is_file = S_ISREG(st.st_mode);
	storage->block_size = info.out_block_size;
	storage->size = storage->is_file ? (uint64_t)st.st_size :
					   info.out_capacity * info.out_block_size;
	return 0;
}

int nvmedmabuf_storage_open(struct nvmedmabuf *ctx, const char *path,
			    enum nvmedmabuf_access access,
			    struct nvmedmabuf_storage **storage, uint32_t *reason)
{
	struct nvmedmabuf_storage *new;
	uint32_t unused;
	int err = 0, fd;

	if (!reason)
		reason = &unused;
	*reason = NVME_DMABUF_REASON_NONE;
	if (!access || access & ~NVMEDMABUF_ACCESS_READ_WRITE)
		return -EINVAL;

	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->ctx = ctx;
	new->access = access;
	new->path_fd = open(path, O_PATH | O_CLOEXEC);
	if (new->path_fd < 0)
		err = -errno;
	/* May the caller do all that he wants to? */
	if (!err) {
		fd = open_again(new, access);
		err = fd < 0 ? fd : 0;
		if (!err)
			close(fd);
	}
	if (!err)
		err = measure(new, reason);
	if (err) {
		nvmedmabuf_storage_close(new);
		return err;
	}
	*storage = new;
	return 0;
}

void nvmedmabuf_storage_close(struct nvmedmabuf_storage *storage)
{
	if (!storage)
		return;
	if (storage->path_fd >= 0)
		close(storage->path_fd);
	free(storage);
}

uint64_t nvmedmabuf_storage_size(const struct nvmedmabuf_storage *storage)
{
	return storage->size;
}

uint32_t nvmedmabuf_storage_block_size(const struct nvmedmabuf_storage *storage)
{
	return storage->block_size;
}

int nvmedmabuf_storage_get_info(const struct nvmedmabuf_storage *storage,
				struct nvme_dmabuf_ns_info *info)
{
	return query(storage, info);
}

int nvmedmabuf_storage_attach(struct nvmedmabuf_storage *storage,
			      const struct nvmedmabuf_attach_params *params,
			      uint32_t *map, uint32_t *reason)
{
	struct nvmedmabuf_attach_params p;
	uint32_t number, unused;
	bool closes;
	int err;

	if (!reason)
		reason = &unused;
	*reason = NVME_DMABUF_REASON_NONE;
	err = PARAMS_READ(&p, params);
	if (err)
		return err;
	if (p.access & ~storage->access)
		return -EACCES;

	p.size = sizeof(p);
	p.ns_fd = open_again(storage, p.access);
	if (p.ns_fd < 0)
		return p.ns_fd;
	/* The descriptor would be in the way of the map's own lease. */
	closes = storage->is_file && p.access & NVMEDMABUF_ACCESS_WRITE && !p.defer;
	p.defer |= closes;
	err = nvmedmabuf_attach(storage->ctx, &p, &number, reason);
	close(p.ns_fd);
	if (!err && closes) {
		err = nvmedmabuf_refresh(storage->ctx, number, NULL, reason);
		if (err)
			nvmedmabuf_detach(storage->ctx, number);
	}
	if (!err)
		*map = number;
	return err;
}

/* To open a file would end the lease that the map has just got: the map tells all of it. */
int nvmedmabuf_storage_refresh(struct nvmedmabuf_storage *storage, uint32_t map,
			       uint32_t *reason)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t unused;
	int err;

	if (!reason)
		reason = &unused;
	err = nvmedmabuf_refresh(storage->ctx, map, NULL, reason);
	if (err)
		return err;
	if (!storage->is_file)
		return measure(storage, reason);

	err = nvmedmabuf_get_map_info(storage->ctx, map, &info);
	if (!err) {
		storage->block_size = info.out_block_size;
		storage->size = info.out_file_bytes;
	}
	return err;
}

int nvmedmabuf_storage_prep_read(const struct nvmedmabuf_storage *storage,
				 struct nvme_dmabuf_command *cmd, uint32_t map,
				 uint64_t offset, uint64_t length, uint64_t position)
{
	if (position % storage->block_size || length % storage->block_size)
		return -EINVAL;
	nvmedmabuf_prep_read(cmd, map, offset, length, position / storage->block_size);
	return 0;
}

int nvmedmabuf_storage_prep_write(const struct nvmedmabuf_storage *storage,
				  struct nvme_dmabuf_command *cmd, uint32_t map,
				  uint64_t offset, uint64_t length, uint64_t position)
{
	int err = nvmedmabuf_storage_prep_read(storage, cmd, map, offset, length, position);

	if (!err)
		cmd->opcode = NVME_DMABUF_OP_WRITE;
	return err;
}

/* All of it, before any of it is executed: what wraps around would be other blocks. */
static int check_ranges(const struct nvmedmabuf_storage *storage,
			const struct nvmedmabuf_range *ranges, uint32_t count,
			uint64_t position)
{
	if (position % storage->block_size)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		if (!ranges[i].length || ranges[i].length % storage->block_size ||
		    ranges[i].offset % 4)
			return -EINVAL;
		if (position + ranges[i].length < position)
			return -EOVERFLOW;
		position += ranges[i].length;
	}
	return 0;
}

/* The first of them that failed is told of, and how much was moved before it. */
static int first_failed(const struct nvme_dmabuf_completion *cpls, uint32_t count,
			struct nvme_dmabuf_completion *cpl)
{
	uint64_t bytes = cpl->bytes;

	for (uint32_t i = 0; i < count; i++) {
		bytes += cpls[i].bytes;
		if (!cpls[i].error && !cpls[i].status)
			continue;
		*cpl = cpls[i];
		cpl->bytes = bytes;
		return cpl->error ? cpl->error : -EIO;
	}
	cpl->bytes = bytes;
	return 0;
}

static int submit_vector(const struct nvmedmabuf_storage *storage,
			 const struct nvme_dmabuf_command *cmds, uint32_t count,
			 struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_completion cpls[VECTOR];
	int ret, err;

	ret = nvmedmabuf_submit(storage->ctx, cmds, cpls, count);
	if (ret < 0)
		return cpl->error = ret;
	err = first_failed(cpls, (uint32_t)ret, cpl);
	/* No completion is not known to be a success. */
	if (!err && (uint32_t)ret != count)
		err = cpl->error = -EIO;
	return err;
}

static int move(const struct nvmedmabuf_storage *storage, uint8_t opcode, uint32_t map,
		const struct nvmedmabuf_range *ranges, uint32_t count, uint64_t position,
		struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_command cmds[VECTOR];
	struct nvme_dmabuf_completion own;
	uint32_t n = 0;
	int err;

	if (!cpl)
		cpl = &own;
	memset(cpl, 0, sizeof(*cpl));
	err = cpl->error = check_ranges(storage, ranges, count, position);
	for (uint32_t i = 0; !err && i < count; i++) {
		nvmedmabuf_prep_read(&cmds[n], map, ranges[i].offset, ranges[i].length,
				     position / storage->block_size);
		cmds[n++].opcode = opcode;
		position += ranges[i].length;
		if (n < VECTOR && i + 1 < count)
			continue;
		err = submit_vector(storage, cmds, n, cpl);
		n = 0;
	}
	return err;
}

int nvmedmabuf_storage_readv(const struct nvmedmabuf_storage *storage, uint32_t map,
			     const struct nvmedmabuf_range *ranges, uint32_t count,
			     uint64_t position, struct nvme_dmabuf_completion *cpl)
{
	return move(storage, NVME_DMABUF_OP_READ, map, ranges, count, position, cpl);
}

int nvmedmabuf_storage_writev(const struct nvmedmabuf_storage *storage, uint32_t map,
			      const struct nvmedmabuf_range *ranges, uint32_t count,
			      uint64_t position, struct nvme_dmabuf_completion *cpl)
{
	return move(storage, NVME_DMABUF_OP_WRITE, map, ranges, count, position, cpl);
}

int nvmedmabuf_storage_read(const struct nvmedmabuf_storage *storage, uint32_t map,
			    uint64_t offset, uint64_t length, uint64_t position,
			    struct nvme_dmabuf_completion *cpl)
{
	const struct nvmedmabuf_range range = { .offset = offset, .length = length };

	return move(storage, NVME_DMABUF_OP_READ, map, &range, 1, position, cpl);
}

int nvmedmabuf_storage_write(const struct nvmedmabuf_storage *storage, uint32_t map,
			     uint64_t offset, uint64_t length, uint64_t position,
			     struct nvme_dmabuf_completion *cpl)
{
	const struct nvmedmabuf_range range = { .offset = offset, .length = length };

	return move(storage, NVME_DMABUF_OP_WRITE, map, &range, 1, position, cpl);
}
