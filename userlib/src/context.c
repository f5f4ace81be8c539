// SPDX-License-Identifier: MIT
/*
 * Contexts, and everything asked of /dev/nvme-dmabuf through one: information,
 * maps and commands. Knows the binary interface and nothing of buffers or NVMe.
 *
 * A context does not change after it was opened, so threads can share it
 * without a lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <nvmedmabuf.h>

#include "params.h"

struct nvmedmabuf {
	int fd;
	uint32_t max_commands;
};

const char *nvmedmabuf_version(void)
{
	return NVMEDMABUF_VERSION;
}

static int device_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int nvmedmabuf_open_fd(int fd, struct nvmedmabuf **ctx)
{
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	struct nvmedmabuf *new;
	int err;

	err = device_ioctl(fd, NVME_DMABUF_IOC_INFO, &info);
	if (err)
		return err;

	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;

	new->fd = fd;
	new->max_commands = info.out_max_commands;
	*ctx = new;
	return 0;
}

int nvmedmabuf_open(struct nvmedmabuf **ctx)
{
	int fd, err;

	fd = open("/dev/nvme-dmabuf", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	err = nvmedmabuf_open_fd(fd, ctx);
	if (err)
		close(fd);
	return err;
}

void nvmedmabuf_close(struct nvmedmabuf *ctx)
{
	if (!ctx)
		return;
	close(ctx->fd);
	free(ctx);
}

int nvmedmabuf_fd(const struct nvmedmabuf *ctx)
{
	return ctx->fd;
}

int nvmedmabuf_get_info(struct nvmedmabuf *ctx, struct nvme_dmabuf_info *info)
{
	int err = ANSWER_BEGIN(info, out_max_queues);

	return err ? err : device_ioctl(ctx->fd, NVME_DMABUF_IOC_INFO, info);
}

int nvmedmabuf_get_ns_info(struct nvmedmabuf *ctx, int ns_fd,
			   struct nvme_dmabuf_ns_info *info)
{
	int err = ANSWER_BEGIN(info, out_pci_bdf);

	if (err)
		return err;
	info->ns_fd = ns_fd;
	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_NS_INFO, info);
}

int nvmedmabuf_export(struct nvmedmabuf *ctx, void *addr, uint64_t length,
		      enum nvmedmabuf_access access, int *dmabuf_fd,
		      uint32_t *reason)
{
	struct nvme_dmabuf_export export = {
		.size = sizeof(export),
		.addr = (uintptr_t)addr,
		.length = length,
		.access = access,
	};
	int err;

	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_EXPORT, &export);
	if (reason)
		*reason = export.out_reason;
	if (!err)
		*dmabuf_fd = export.out_dmabuf_fd;
	return err;
}

static uint32_t attach_flags(const struct nvmedmabuf_attach_params *params)
{
	return (params->require_p2p ? NVME_DMABUF_ATTACH_REQUIRE_P2P : 0) |
	       (params->auto_refresh ? NVME_DMABUF_ATTACH_AUTO_REFRESH : 0) |
	       (params->defer ? NVME_DMABUF_ATTACH_DEFER : 0);
}

int nvmedmabuf_attach(struct nvmedmabuf *ctx,
		      const struct nvmedmabuf_attach_params *params,
		      uint32_t *map, uint32_t *reason)
{
	struct nvme_dmabuf_attach attach = { .size = sizeof(attach) };
	struct nvmedmabuf_attach_params p;
	int err;

	if (reason)
		*reason = NVME_DMABUF_REASON_NONE;
	err = PARAMS_READ(&p, params);
	if (err)
		return err;

	attach.flags = attach_flags(&p);
	attach.dmabuf_fd = p.dmabuf_fd;
	attach.ns_fd = p.ns_fd;
	attach.access = p.access;
	attach.offset = p.offset;
	attach.length = p.length;
	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_ATTACH, &attach);
	if (reason)
		*reason = attach.out_reason;
	if (!err)
		*map = attach.out_map;
	return err;
}

int nvmedmabuf_detach(struct nvmedmabuf *ctx, uint32_t map)
{
	struct nvme_dmabuf_detach detach = {
		.size = sizeof(detach),
		.map = map,
	};

	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_DETACH, &detach);
}

int nvmedmabuf_refresh(struct nvmedmabuf *ctx, uint32_t map,
		       uint64_t *generation, uint32_t *reason)
{
	struct nvme_dmabuf_refresh refresh = {
		.size = sizeof(refresh),
		.map = map,
	};
	int err;

	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_REFRESH, &refresh);
	if (reason)
		*reason = refresh.out_reason;
	if (!err && generation)
		*generation = refresh.out_generation;
	return err;
}

int nvmedmabuf_get_events(struct nvmedmabuf *ctx,
			  struct nvme_dmabuf_event *events, uint32_t max)
{
	struct nvme_dmabuf_events query = {
		.size = sizeof(query),
		.events = (uintptr_t)events,
		.count = max > INT_MAX ? INT_MAX : max,
	};
	int err;

	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_EVENTS, &query);
	return err ? err : (int)query.out_count;
}

int nvmedmabuf_get_map_info(struct nvmedmabuf *ctx, uint32_t map,
			    struct nvme_dmabuf_map_info *info)
{
	int err = ANSWER_BEGIN(info, out_file_bytes);

	if (err)
		return err;
	info->map = map;
	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_MAP_INFO, info);
}

int nvmedmabuf_get_placement(struct nvmedmabuf *ctx, uint32_t map,
			     struct nvme_dmabuf_placement_run *runs,
			     uint32_t max)
{
	struct nvme_dmabuf_placement placement = {
		.size = sizeof(placement),
		.map = map,
		.count = max,
		.runs = (uintptr_t)runs,
	};
	int err;

	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_PLACEMENT, &placement);
	if (err)
		return err;
	if (placement.out_count > INT_MAX)
		return -EOVERFLOW;
	return (int)placement.out_count;
}

int nvmedmabuf_get_peer_info(struct nvmedmabuf *ctx, int ns_fd,
			     uint32_t domain, uint32_t bdf,
			     struct nvme_dmabuf_peer_info *info)
{
	int err = ANSWER_BEGIN(info, out_flags);

	if (err)
		return err;
	info->ns_fd = ns_fd;
	info->pci_domain = domain;
	info->pci_bdf = bdf;
	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_PEER_INFO, info);
}

/* What is submitted, and what it waits for; a queue's member is not taken. */
static int read_submit_params(struct nvme_dmabuf_submit *submit,
			      const struct nvmedmabuf_submit_params *params)
{
	struct nvmedmabuf_submit_params p;
	int err;

	err = PARAMS_READ(&p, params);
	if (err)
		return err;
	if (p.nowait)
		return -EINVAL;

	if (p.implicit_sync)
		submit->flags |= NVME_DMABUF_SUBMIT_IMPLICIT_SYNC;
	/* The module wants 0 where there is no fence. */
	if (p.in_fence) {
		submit->flags |= NVME_DMABUF_SUBMIT_IN_FENCE;
		submit->in_fence_fd = p.in_fence_fd;
	}
	return 0;
}

/* As many at once as the module takes, in the way that @how says. */
static int submit_all(struct nvmedmabuf *ctx, const struct nvme_dmabuf_command *cmds,
		      struct nvme_dmabuf_completion *cpls, uint32_t count,
		      const struct nvme_dmabuf_submit *how)
{
	uint32_t done = 0;

	if (count > INT_MAX)
		return -EINVAL;

	while (done < count) {
		struct nvme_dmabuf_submit submit = *how;
		int err;

		submit.commands = (uintptr_t)(cmds + done);
		submit.completions = (uintptr_t)(cpls + done);
		submit.count = count - done;
		if (submit.count > ctx->max_commands)
			submit.count = ctx->max_commands;

		err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_SUBMIT, &submit);
		if (err)
			return done ? (int)done : err;

		done += submit.out_completed;
		if (submit.out_completed != submit.count)
			break;
	}
	return (int)done;
}

int nvmedmabuf_submit_with(struct nvmedmabuf *ctx,
			   const struct nvme_dmabuf_command *cmds,
			   struct nvme_dmabuf_completion *cpls, uint32_t count,
			   const struct nvmedmabuf_submit_params *params)
{
	struct nvme_dmabuf_submit submit = { .size = sizeof(submit) };
	int err;

	err = read_submit_params(&submit, params);
	return err ? err : submit_all(ctx, cmds, cpls, count, &submit);
}

int nvmedmabuf_submit(struct nvmedmabuf *ctx,
		      const struct nvme_dmabuf_command *cmds,
		      struct nvme_dmabuf_completion *cpls, uint32_t count)
{
	const struct nvme_dmabuf_submit submit = { .size = sizeof(submit) };

	return submit_all(ctx, cmds, cpls, count, &submit);
}

int nvmedmabuf_submit_fence(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    uint32_t count,
			    const struct nvmedmabuf_submit_params *params,
			    int *out_fence_fd)
{
	struct nvme_dmabuf_submit submit = {
		.size = sizeof(submit),
		.flags = NVME_DMABUF_SUBMIT_OUT_FENCE,
		.commands = (uintptr_t)cmds,
		.count = count,
	};
	int err;

	err = read_submit_params(&submit, params);
	if (!err)
		err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_SUBMIT, &submit);
	if (!err)
		*out_fence_fd = submit.out_fence_fd;
	return err;
}

/* The completion is made up if the module wrote none. */
static int submit_one(struct nvmedmabuf *ctx,
		      const struct nvme_dmabuf_command *cmd,
		      struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_completion own;
	int ret;

	if (!cpl)
		cpl = &own;
	memset(cpl, 0, sizeof(*cpl));

	ret = nvmedmabuf_submit(ctx, cmd, cpl, 1);
	if (ret != 1)
		cpl->error = ret < 0 ? ret : -EIO;

	if (cpl->error)
		return cpl->error;
	return cpl->status ? -EIO : 0;
}

int nvmedmabuf_read(struct nvmedmabuf *ctx, uint32_t map, uint64_t offset,
		    uint64_t length, uint64_t slba,
		    struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_command cmd;

	nvmedmabuf_prep_read(&cmd, map, offset, length, slba);
	return submit_one(ctx, &cmd, cpl);
}

int nvmedmabuf_write(struct nvmedmabuf *ctx, uint32_t map, uint64_t offset,
		     uint64_t length, uint64_t slba,
		     struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_command cmd;

	nvmedmabuf_prep_write(&cmd, map, offset, length, slba);
	return submit_one(ctx, &cmd, cpl);
}

int nvmedmabuf_flush(struct nvmedmabuf *ctx, uint32_t map,
		     struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_command cmd;

	nvmedmabuf_prep_flush(&cmd, map);
	return submit_one(ctx, &cmd, cpl);
}
