/* SPDX-License-Identifier: MIT */
/* What tests of contexts share: an open one, and every errno of the module. */
#ifndef DEVICE_H
#define DEVICE_H

#include <errno.h>

#include <nvmedmabuf.h>

#include "mock.h"

#define DEVICE		"/dev/nvme-dmabuf"
#define MAX_COMMANDS	4
#define MAX_DEPTH	64
#define GARBAGE		0xa5

static const int errnos[] = {
	ENOTTY, EFAULT, EINVAL, E2BIG, EOVERFLOW, ERANGE, EBADF, ENOENT, EACCES,
	EOPNOTSUPP, ESTALE, ENODEV, ENOSPC, EMFILE, ENFILE, ENOMEM, EINTR, EIO,
	EAGAIN, ECANCELED,
};
#define for_each_errno(e) \
	for (const int *e = errnos; e < errnos + sizeof(errnos) / sizeof(*errnos); e++)

static const struct nvme_dmabuf_info info_in = { .size = sizeof(info_in) };

static uint32_t max_commands;

static inline void answer_info(void *arg)
{
	struct nvme_dmabuf_info *info = arg;

	info->out_version = 0x10203;
	info->out_max_commands = max_commands;
	info->out_features = NVME_DMABUF_FEATURE_SGL | NVME_DMABUF_FEATURE_URING;
	info->out_max_maps = 17;
	info->out_max_command = 1 << 20;
	info->out_min_timeout_ms = 100;
	info->out_max_timeout_ms = 120000;
	info->out_max_depth = MAX_DEPTH;
	info->out_max_queues = 3;
}

#define EXPECT_INFO(error) { DEVICE, NVME_DMABUF_IOC_INFO, &info_in, \
			     sizeof(info_in), answer_info, error, 0 }

static inline struct nvmedmabuf *open_context(void)
{
	struct nvmedmabuf *ctx;

	max_commands = MAX_COMMANDS;
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(nvmedmabuf_open(&ctx), 0);
	return ctx;
}

#endif /* DEVICE_H */
