/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the uapi header promises of errors: which ones each call and each
 * command may give. For tests that cannot know which one it will be.
 */
#ifndef TESTS_MODULE_CONTRACT_H
#define TESTS_MODULE_CONTRACT_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/nvme_dmabuf.h>

/* Calls are numbered from 0; two numbers are a queue's and io_uring's. */
#define CALLS 14

union call_args {
	__u32 size;
	struct nvme_dmabuf_info info;
	struct nvme_dmabuf_ns_info ns_info;
	struct nvme_dmabuf_attach attach;
	struct nvme_dmabuf_detach detach;
	struct nvme_dmabuf_map_info map_info;
	struct nvme_dmabuf_placement placement;
	struct nvme_dmabuf_submit submit;
	struct nvme_dmabuf_refresh refresh;
	struct nvme_dmabuf_events events;
	struct nvme_dmabuf_peer_info peer_info;
	struct nvme_dmabuf_queue queue;
	struct nvme_dmabuf_enter enter;
	struct nvme_dmabuf_export export;
	uint8_t bytes[256];
};

/** call_name - what a call is named; @number is _IOC_NR() of its request */
const char *call_name(unsigned int number);

/** call_size - bytes of its structure */
uint32_t call_size(unsigned int number);

/** call_reason - the reason in its structure, or 0 if it has no place for one */
uint32_t call_reason(unsigned int number, const union call_args *args);

/**
 * call_may_fail - may it fail so?
 * @error: errno
 * @reason: what the structure says, or 0 if it could not be written or has no
 *	place for it
 */
bool call_may_fail(unsigned int number, int error, uint32_t reason);

/** enter_may_fail - the same for NVME_DMABUF_IOC_ENTER, which is a queue's call */
bool enter_may_fail(int error);

/** command_may_fail - the same for a completion's error, a positive number here */
bool command_may_fail(int error, uint32_t reason);

#endif
