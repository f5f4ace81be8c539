/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dma-buf attached to a namespace, with copies in ordinary memory of what
 * both must hold. Every transfer is done twice: by the module between the real
 * ones, and by memcpy() between the copies. Then they are compared, the
 * namespace as the block layer reads it.
 */
#ifndef TESTS_MODULE_RIG_H
#define TESTS_MODULE_RIG_H

#include <nvmedmabuf.h>

#include "buffer.h"
#include "calls.h"
#include "common.h"

#define ACCESS_BOTH (NVME_DMABUF_ACCESS_READ | NVME_DMABUF_ACCESS_WRITE)

/** ctx_open - a context of the library's */
struct nvmedmabuf *ctx_open(void);

/**
 * rig_access - what tests may ask for: reading, and writing only if the
 * namespace's contents may be destroyed
 */
static inline uint32_t rig_access(void)
{
	return may_erase() ? ACCESS_BOTH : NVME_DMABUF_ACCESS_READ;
}

/** attach - attach a range, or fail with the reason why that was refused */
uint32_t attach(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd, uint64_t offset, uint64_t length,
		uint32_t access);

/**
 * struct rig
 * @ctx, @drive, @buffer: what is connected
 * @map: its number, 0 while detached
 * @start, @length: the range of the dma-buf that is attached
 * @max_command: bytes that one NVMe command moves
 * @mirror: what the whole of @buffer must hold
 * @disk: what the window must hold
 * @first, @count: the window: blocks of the namespace
 */
struct rig {
	struct nvmedmabuf *ctx;
	struct drive drive;
	struct buffer buffer;
	uint32_t map;
	uint64_t start;
	uint64_t length;
	uint32_t max_command;
	uint8_t *mirror;
	uint8_t *disk;
	uint64_t first;
	uint64_t count;
};

/**
 * rig_open - connect a dma-buf of @size bytes with a namespace
 * @window: bytes of the namespace to use, somewhere on it; 0 if rig_window()
 *	will say which
 *
 * Fills the dma-buf, and if allowed the window, with random data. Nothing is
 * attached yet.
 */
void rig_open(struct rig *rig, const char *path, const struct exporter *exporter, uint64_t size,
	      uint64_t window);

/** rig_open_buffer - the same, with a dma-buf that there is, which rig_close() frees */
void rig_open_buffer(struct rig *rig, const char *path, const struct buffer *buffer,
		     uint64_t window);

/**
 * rig_window - use these blocks
 * @filled: so many of them are known; the rest cannot be read or written, or
 *	need not be
 */
void rig_window(struct rig *rig, uint64_t first, uint64_t count, uint64_t filled);

void rig_attach(struct rig *rig, uint64_t start, uint64_t length, uint32_t access);
void rig_attach_all(struct rig *rig);
void rig_detach(struct rig *rig);

/**
 * rig_prepare - make the data of commands unlike what they are to replace, and
 * do to the copies what the commands should do
 * @commands: reads and writes; their offsets count from the start of the map
 * @count: how many
 */
void rig_prepare(struct rig *rig, const struct nvme_dmabuf_command *commands, unsigned int count);

/** rig_prepare_one - the same, between buffer_begin_cpu() and buffer_end_cpu() */
void rig_prepare_one(struct rig *rig, const struct nvme_dmabuf_command *command);

/** rig_submit - submit exactly as the ioctl does, and check each completion */
void rig_submit(struct rig *rig, struct nvme_dmabuf_command *commands, uint32_t count);

#define RIG_FIRST 1000000ULL

/** check_good - the command, counted from RIG_FIRST, succeeded */
void check_good(const struct nvme_dmabuf_completion *c);

/**
 * rig_random - prepare commands that do not touch each other's data, on either side
 * @most: how many at most; user_data of the first is RIG_FIRST, and so on
 *
 * Returns how many there are.
 */
unsigned int rig_random(struct rig *rig, struct nvme_dmabuf_command *commands, unsigned int most);

/** rig_transfer - one command, all of the above, and a look around its data */
void rig_transfer(struct rig *rig, struct nvme_dmabuf_command command);
void rig_read(struct rig *rig, uint64_t offset, uint64_t length, uint64_t slba);
void rig_write(struct rig *rig, uint64_t offset, uint64_t length, uint64_t slba);

/** rig_verify - compare all of the dma-buf and of the window */
void rig_verify(struct rig *rig);

void rig_close(struct rig *rig);

#endif
