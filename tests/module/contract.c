// SPDX-License-Identifier: GPL-2.0-only
/*
 * The error numbers that the uapi header lists. See contract.h.
 */
#include "contract.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

struct contract {
	const char *name;
	uint32_t size;
	uint32_t reason;
	bool exporter; /* or what an exporter says */
	int errors[16];
};

#define CALL(nr, type, ...) \
	[_IOC_NR(NVME_DMABUF_IOC_##nr)] = { .name = #nr, .size = sizeof(struct type), __VA_ARGS__ }

static const struct contract contracts[CALLS] = {
	CALL(INFO, nvme_dmabuf_info, .errors = { EFAULT, EINVAL, E2BIG }),
	CALL(NS_INFO, nvme_dmabuf_ns_info,
	     .reason = offsetof(struct nvme_dmabuf_ns_info, out_reason),
	     .errors = { EFAULT, EINVAL, E2BIG, EBADF, ENOMEM }),
	CALL(ATTACH, nvme_dmabuf_attach, .reason = offsetof(struct nvme_dmabuf_attach, out_reason),
	     .exporter = true,
	     .errors = { EFAULT, EINVAL, E2BIG, EOVERFLOW, ERANGE, EBADF, EACCES, EOPNOTSUPP,
			 ESTALE, ENODEV, ENOSPC, ENOMEM, EINTR, EIO }),
	CALL(DETACH, nvme_dmabuf_detach, .errors = { EFAULT, EINVAL, E2BIG, ENOENT }),
	CALL(MAP_INFO, nvme_dmabuf_map_info, .errors = { EFAULT, EINVAL, E2BIG, ENOENT }),
	CALL(PLACEMENT, nvme_dmabuf_placement,
	     .errors = { EFAULT, EINVAL, E2BIG, ENOENT, ESTALE, ENODEV, ENOMEM, EINTR }),
	CALL(SUBMIT, nvme_dmabuf_submit,
	     .errors = { EFAULT, EINVAL, E2BIG, EBADF, ECANCELED, ENOSPC, ENOMEM, EINTR, EMFILE,
			 ENFILE }),
	CALL(REFRESH, nvme_dmabuf_refresh,
	     .reason = offsetof(struct nvme_dmabuf_refresh, out_reason), .exporter = true,
	     .errors = { EFAULT, EINVAL, E2BIG, ENOENT, ESTALE, ENODEV, EOPNOTSUPP, EIO, ENOMEM,
			 EINTR }),
	CALL(EVENTS, nvme_dmabuf_events, .errors = { EFAULT, EINVAL, E2BIG }),
	CALL(PEER_INFO, nvme_dmabuf_peer_info,
	     .reason = offsetof(struct nvme_dmabuf_peer_info, out_reason),
	     .errors = { EFAULT, EINVAL, E2BIG, EBADF, ENOMEM }),
	CALL(QUEUE, nvme_dmabuf_queue,
	     .errors = { EFAULT, EINVAL, E2BIG, EBADF, ENOSPC, ENOMEM, EMFILE, ENFILE }),
	CALL(EXPORT, nvme_dmabuf_export, .reason = offsetof(struct nvme_dmabuf_export, out_reason),
	     .errors = { EFAULT, EINVAL, E2BIG, EOVERFLOW, EOPNOTSUPP, ENOMEM, EMFILE, ENFILE }),
};

static const struct contract enter_contract = {
	.errors = { EFAULT, EINVAL, E2BIG, EAGAIN, EINTR, EBADF, ECANCELED, ENOMEM, EMFILE,
		    ENFILE },
};

/* Also what refreshing by itself ends with. */
static const struct contract command_contract = {
	.exporter = true,
	.errors = { EINVAL, EOPNOTSUPP, EOVERFLOW, ERANGE, ENOENT, EACCES, ESTALE, ENODEV, ENOMEM,
		    EINTR, EIO },
};

const char *call_name(unsigned int number)
{
	return number < CALLS ? contracts[number].name : "unknown call";
}

uint32_t call_size(unsigned int number)
{
	return contracts[number].size;
}

uint32_t call_reason(unsigned int number, const union call_args *args)
{
	uint32_t reason = 0;

	if (number < CALLS && contracts[number].reason)
		memcpy(&reason, args->bytes + contracts[number].reason, sizeof(reason));
	return reason;
}

static bool allows(const struct contract *c, int error, uint32_t reason)
{
	for (unsigned int i = 0; i < sizeof(c->errors) / sizeof(*c->errors) && c->errors[i]; i++)
		if (c->errors[i] == error)
			return true;
	return c->exporter && (reason == NVME_DMABUF_REASON_EXPORTER ||
			       reason == NVME_DMABUF_REASON_EXPORTER_REVOKED);
}

bool call_may_fail(unsigned int number, int error, uint32_t reason)
{
	return number < CALLS ? allows(&contracts[number], error, reason) : error == ENOTTY;
}

bool enter_may_fail(int error)
{
	return allows(&enter_contract, error, 0);
}

bool command_may_fail(int error, uint32_t reason)
{
	return allows(&command_contract, error, reason);
}
