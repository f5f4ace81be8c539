/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A dma-buf attached to a file, with copies in ordinary memory of what both must hold. Each
 * transfer is done twice, by the module and by memcpy(), as with a struct rig.
 */
#ifndef TESTS_MODULE_FILE_RIG_H
#define TESTS_MODULE_FILE_RIG_H

#include "filesystem.h"
#include "rig.h"

#define ACCESS_READ  NVME_DMABUF_ACCESS_READ
#define ACCESS_WRITE NVME_DMABUF_ACCESS_WRITE

/**
 * struct file_rig
 * @ctx, @buffer, @fs, @file: what is connected
 * @mirror: what @buffer must hold
 * @map: its number, 0 while detached
 * @block: bytes of a logical block
 * @access: of @map
 */
struct file_rig {
	struct nvmedmabuf *ctx;
	struct buffer buffer;
	const struct filesystem *fs;
	struct file *file;
	uint8_t *mirror;
	uint32_t map;
	uint32_t block;
	uint32_t access;
};

/** file_rig_open - a context and a buffer of @size random bytes; attaches nothing */
void file_rig_open(struct file_rig *rig, const struct filesystem *fs, struct file *file,
		   uint64_t size);

/** file_rig_try - attach all of the buffer to this descriptor; returns 0 or -errno */
int file_rig_try(struct file_rig *rig, int fd, uint32_t access, uint32_t flags, uint32_t *map,
		 uint32_t *reason);

/** file_rig_check_refused - an attach through the file's descriptor must fail so */
void file_rig_check_refused(struct file_rig *rig, uint32_t access, int error, uint32_t reason);

/** file_rig_attach - attach for reading, and look at what is said of the map */
void file_rig_attach(struct file_rig *rig, uint32_t flags);

/**
 * file_rig_attach_written - attach for writing too, or only for that
 *
 * By a descriptor of its own, which is closed before the map is refreshed.
 */
void file_rig_attach_written(struct file_rig *rig, uint32_t access, uint32_t flags);

/** file_rig_refresh - refresh, which must end so */
void file_rig_refresh(struct file_rig *rig, int error, uint32_t reason);
void file_rig_detach(struct file_rig *rig);

/** file_rig_info - NVME_DMABUF_IOC_MAP_INFO, and what must always be so */
void file_rig_info(struct file_rig *rig, struct nvme_dmabuf_map_info *info);

/** file_rig_state - NVME_DMABUF_STATE_* of the map */
uint32_t file_rig_state(struct file_rig *rig);

/** file_rig_prepare - make the data unlike what it is to become, and change the copies */
void file_rig_prepare(struct file_rig *rig, const struct nvme_dmabuf_command *commands,
		      unsigned int count);

/** file_rig_submit - submit, and check that each went well */
void file_rig_submit(struct file_rig *rig, struct nvme_dmabuf_command *commands,
		     unsigned int count);

/** file_rig_read - one command: prepared, submitted, and the buffer compared */
void file_rig_read(struct file_rig *rig, uint64_t offset, uint64_t length, uint64_t slba);

void file_rig_write(struct file_rig *rig, uint64_t offset, uint64_t length, uint64_t slba);

/** file_rig_refused - a read fails so, and nothing of it reaches the buffer */
void file_rig_refused(struct file_rig *rig, uint64_t length, uint64_t slba, int error,
		      uint32_t reason);

/** file_rig_write_refused - the same of a write */
void file_rig_write_refused(struct file_rig *rig, uint64_t length, uint64_t slba, int error,
			    uint32_t reason);

/**
 * file_rig_random - prepare reads and writes of whole blocks of the file, as the map allows
 * @most: how many at most; user_data of the first is RIG_FIRST, and so on
 */
unsigned int file_rig_random(struct file_rig *rig, struct nvme_dmabuf_command *commands,
			     unsigned int most);

/** file_rig_verify - compare all of the buffer */
void file_rig_verify(struct file_rig *rig);

/** file_rig_close - detach, and free all but the file */
void file_rig_close(struct file_rig *rig);

#endif
