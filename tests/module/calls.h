/* SPDX-License-Identifier: MIT */
/*
 * The library's calls that take structures, with everything in a row, for tests that call
 * them in many ways.
 */
#ifndef TESTS_MODULE_CALLS_H
#define TESTS_MODULE_CALLS_H

#include <nvmedmabuf.h>

/** attach_to - nvmedmabuf_attach() with NVME_DMABUF_ATTACH_* as @flags */
static inline int attach_to(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd, uint64_t offset,
			    uint64_t length, uint32_t access, uint32_t flags, uint32_t *map,
			    uint32_t *reason)
{
	const struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = access,
		.dmabuf_fd = dmabuf_fd,
		.ns_fd = ns_fd,
		.offset = offset,
		.length = length,
		.require_p2p = flags & NVME_DMABUF_ATTACH_REQUIRE_P2P,
		.auto_refresh = flags & NVME_DMABUF_ATTACH_AUTO_REFRESH,
		.defer = flags & NVME_DMABUF_ATTACH_DEFER,
	};

	return nvmedmabuf_attach(ctx, &params, map, reason);
}

/* Kinds of the library's queues. */
#define KIND_POLLED (1U << 0)
#define KIND_URING  (1U << 1)

/** queue_of - nvmedmabuf_queue_create() with KIND_POLLED and KIND_URING as @kind */
static inline int queue_of(struct nvmedmabuf *ctx, uint32_t depth, uint32_t kind,
			   struct nvmedmabuf_queue **queue)
{
	const struct nvmedmabuf_queue_params params = {
		.size = sizeof(params),
		.polled = kind & KIND_POLLED,
		.uring = kind & KIND_URING,
	};

	return nvmedmabuf_queue_create(ctx, depth, &params, queue);
}

#endif
