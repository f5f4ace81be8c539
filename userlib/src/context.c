// SPDX-License-Identifier: MIT
/*
 * Contexts, and everything asked of /dev/nvme-dmabuf through one: information,
 * maps and commands. Knows the binary interface and nothing of buffers or NVMe.
 *
 * A context does not change after it was opened, so threads can share it
 * without a lock.
 *
 * The structures that callers pass in (nvme_dmabuf_info and so on) have, for
 * programs linked against NVMEDMABUF_0.1, the sizes they had then. One that
 * grows needs a new version of the symbol that fills it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <nvmedmabuf.h>

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

static int device_info(int fd, struct nvme_dmabuf_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return device_ioctl(fd, NVME_DMABUF_IOC_INFO, info);
}

int nvmedmabuf_open_fd(int fd, struct nvmedmabuf **ctx)
{
	struct nvme_dmabuf_info info;
	struct nvmedmabuf *new;
	int err;

	err = device_info(fd, &info);
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
	return device_info(ctx->fd, info);
}

int nvmedmabuf_get_ns_info(struct nvmedmabuf *ctx, int ns_fd,
			   struct nvme_dmabuf_ns_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->ns_fd = ns_fd;
	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_NS_INFO, info);
}

int nvmedmabuf_export(struct nvmedmabuf *ctx, void *addr, uint64_t length,
		      uint32_t access, int *dmabuf_fd, uint32_t *reason)
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

int nvmedmabuf_attach_flags(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd,
			    uint64_t offset, uint64_t length, uint32_t access,
			    uint32_t flags, uint32_t *map, uint32_t *reason)
{
	struct nvme_dmabuf_attach attach = {
		.size = sizeof(attach),
		.flags = flags,
		.dmabuf_fd = dmabuf_fd,
		.ns_fd = ns_fd,
		.access = access,
		.offset = offset,
		.length = length,
	};
	int err;

	err = device_ioctl(ctx->fd, NVME_DMABUF_IOC_ATTACH, &attach);
	if (reason)
		*reason = attach.out_reason;
	if (!err)
		*map = attach.out_map;
	return err;
}

int nvmedmabuf_attach(struct nvmedmabuf *ctx, int dmabuf_fd, int ns_fd,
		      uint64_t offset, uint64_t length, uint32_t access,
		      uint32_t *map, uint32_t *reason)
{
	return nvmedmabuf_attach_flags(ctx, dmabuf_fd, ns_fd, offset, length,
				       access, 0, map, reason);
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
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
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
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->ns_fd = ns_fd;
	info->pci_domain = domain;
	info->pci_bdf = bdf;
	return device_ioctl(ctx->fd, NVME_DMABUF_IOC_PEER_INFO, info);
}

/* What may be waited for before commands are issued. */
#define SUBMIT_WAITS	(NVME_DMABUF_SUBMIT_IMPLICIT_SYNC | \
			 NVME_DMABUF_SUBMIT_IN_FENCE)

/* The module wants 0 where there is no fence. */
static int in_fence(uint32_t flags, int in_fence_fd)
{
	return flags & NVME_DMABUF_SUBMIT_IN_FENCE ? in_fence_fd : 0;
}

int nvmedmabuf_submit_flags(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    struct nvme_dmabuf_completion *cpls,
			    uint32_t count, uint32_t flags, int in_fence_fd)
{
	uint32_t done = 0;

	if (count > INT_MAX || flags & ~SUBMIT_WAITS)
		return -EINVAL;

	while (done < count) {
		struct nvme_dmabuf_submit submit = {
			.size = sizeof(submit),
			.flags = flags,
			.commands = (uintptr_t)(cmds + done),
			.completions = (uintptr_t)(cpls + done),
			.count = count - done,
			.in_fence_fd = in_fence(flags, in_fence_fd),
		};
		int err;

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

int nvmedmabuf_submit(struct nvmedmabuf *ctx,
		      const struct nvme_dmabuf_command *cmds,
		      struct nvme_dmabuf_completion *cpls, uint32_t count)
{
	return nvmedmabuf_submit_flags(ctx, cmds, cpls, count, 0, 0);
}

int nvmedmabuf_submit_fence(struct nvmedmabuf *ctx,
			    const struct nvme_dmabuf_command *cmds,
			    uint32_t count, uint32_t flags, int in_fence_fd,
			    int *out_fence_fd)
{
	struct nvme_dmabuf_submit submit = {
		.size = sizeof(submit),
		.flags = flags | NVME_DMABUF_SUBMIT_OUT_FENCE,
		.commands = (uintptr_t)cmds,
		.count = count,
		.in_fence_fd = in_fence(flags, in_fence_fd),
	};
	int err;

	if (flags & ~SUBMIT_WAITS)
		return -EINVAL;

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
