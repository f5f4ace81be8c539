// SPDX-License-Identifier: MIT
/*
 * A channel: one buffer, mapped once for the CPU and once for a namespace, and
 * the commands that move data through it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

void channel_close(struct channel *ch)
{
	if (ch->map)
		nvmedmabuf_detach(ch->ctx, ch->map);
	nvmedmabuf_buffer_free(ch->buf);
	free(ch->cmds);
	free(ch->cpls);
	memset(ch, 0, sizeof(*ch));
}

/*
 * A descriptor for writing is itself in the way of the leases: it is closed, and then the map
 * takes commands.
 */
static int attach_written(struct channel *ch, const struct ns *ns,
			  struct nvmedmabuf_attach_params *params, uint32_t *reason)
{
	int fd = file_reopen(ns, O_RDWR), ret;

	if (fd < 0)
		return fd;
	params->ns_fd = fd;
	params->defer = true;
	ret = nvmedmabuf_attach(ch->ctx, params, &ch->map, reason);
	close(fd);
	return ret ? ret : nvmedmabuf_refresh(ch->ctx, ch->map, NULL, reason);
}

/* Not every device's memory can be mapped. *@unmapped gets what to say then. */
static int map_for_cpu(struct channel *ch, const char **unmapped)
{
	void *mem;
	int ret;

	ret = nvmedmabuf_buffer_mmap(ch->buf, &mem);
	if (ret)
		*unmapped =
			"its exporter does not let the CPU map it, and this tool has to see the data";
	else
		ch->mem = mem;
	return ret;
}

static int attach(struct channel *ch, const struct ns *ns, const struct nvme_dmabuf_ns_info *info,
		  uint64_t size, uint32_t access, uint32_t *reason, const char **unmapped)
{
	struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = access,
		.dmabuf_fd = nvmedmabuf_buffer_fd(ch->buf),
		.ns_fd = ns->fd,
		.length = size,
		/* Whoever moves the buffer meanwhile shall not end the copy. */
		.auto_refresh = true,
	};
	int ret;

	*unmapped = NULL;
	ret = map_for_cpu(ch, unmapped);
	if (ret)
		return ret;
	ch->size = size;
	ch->block_size = info->out_block_size;
	ch->file = ns->is_file && !ns->writes ? ns->fd : -1;
	ch->max_command = info->out_max_command - info->out_max_command % info->out_block_size;
	if (!ch->max_command)
		return -EOPNOTSUPP;
	ch->slots = (size + ch->max_command - 1) / ch->max_command;
	ch->cmds = calloc(ch->slots, sizeof(*ch->cmds));
	ch->cpls = calloc(ch->slots, sizeof(*ch->cpls));
	if (!ch->cmds || !ch->cpls)
		return -ENOMEM;
	return ns->writes ? attach_written(ch, ns, &params, reason) :
			    nvmedmabuf_attach(ch->ctx, &params, &ch->map, reason);
}

int channel_open(struct channel *ch, struct nvmedmabuf *ctx, const struct ns *ns,
		 const struct nvme_dmabuf_ns_info *info, const struct exporter *exporter,
		 uint64_t size, uint32_t access, uint32_t *reason, const char **unmapped)
{
	int ret;

	*reason = NVME_DMABUF_REASON_NONE;
	*unmapped = NULL;
	memset(ch, 0, sizeof(*ch));
	ch->ctx = ctx;
	ret = exporter_create(exporter, size, &ch->buf);
	if (!ret)
		ret = attach(ch, ns, info, size, access, reason, unmapped);
	if (ret)
		channel_close(ch);
	return ret;
}

int channel_open_or_report(struct channel *ch, struct nvmedmabuf *ctx, const struct ns *ns,
			   const struct nvme_dmabuf_ns_info *info, struct exporter *exporter,
			   uint64_t size, uint32_t access)
{
	uint32_t reason = NVME_DMABUF_REASON_NONE;
	const char *unmapped;
	int ret;

	memset(ch, 0, sizeof(*ch));
	ch->ctx = ctx;
	ret = exporter_create_or_report(exporter, size, &ch->buf);
	if (ret)
		return ret;
	ret = attach(ch, ns, info, size, access, &reason, &unmapped);
	if (!ret)
		return TOOL_OK;
	channel_close(ch);
	if (unmapped)
		return report_error(TOOL_FAILED, "no-cpu-mapping",
				    "cannot use a buffer of %s: %s (%s); try another --buffer",
				    exporter->name, unmapped, errno_name(ret));
	if (reason == NVME_DMABUF_REASON_NONE)
		return report_error(TOOL_FAILED, "cannot-map",
				    "cannot map a buffer of %s for %s: %s", exporter->name,
				    ns->path, strerror(-ret));
	put_u64(report_root(), "reason_number", reason);
	return report_error(reason < NVME_DMABUF_REASON_EXPORTER ? TOOL_REFUSED : TOOL_FAILED,
			    nvmedmabuf_reason_name(reason),
			    "cannot map a buffer of %s for %s (reason %" PRIu32 ", %s): %s",
			    exporter->name, ns->path, reason, errno_name(ret),
			    nvmedmabuf_reason_text(reason));
}

static const char *opcode_name(uint8_t opcode)
{
	switch (opcode) {
	case NVME_DMABUF_OP_READ:
		return "Read";
	case NVME_DMABUF_OP_WRITE:
		return "Write";
	default:
		return "Flush";
	}
}

static int report_completion(const struct nvme_dmabuf_command *cmd,
			     const struct nvme_dmabuf_completion *cpl)
{
	char text[512], where[80] = "";

	if (cmd->opcode != NVME_DMABUF_OP_FLUSH)
		snprintf(where, sizeof(where), " of %" PRIu64 " bytes at block %" PRIu64,
			 (uint64_t)cmd->length, (uint64_t)cmd->slba);
	if (cpl->error)
		put_str(report_root(), "errno", errno_name(cpl->error));
	if (cpl->reason)
		put_u64(report_root(), "reason_number", cpl->reason);
	/* After an error too: then it is what the nvme driver says. */
	if (cpl->status)
		put_u64(report_root(), "nvme_status", cpl->status & 0x7ff);
	return report_error(TOOL_FAILED,
			    !cpl->error ? "nvme-status" :
			    cpl->reason ? nvmedmabuf_reason_name(cpl->reason) :
					  "command-failed",
			    "%s%s failed: %s", opcode_name(cmd->opcode), where,
			    nvmedmabuf_error_text(text, sizeof(text), 0, 0, cpl));
}

static int submit(struct channel *ch, uint32_t count)
{
	int ret = nvmedmabuf_submit(ch->ctx, ch->cmds, ch->cpls, count);

	if (ret == (int)count) {
		ch->commands += count;
		return TOOL_OK;
	}
	put_str(report_root(), "errno", errno_name(ret < 0 ? ret : -EIO));
	return report_error(TOOL_FAILED, "submission-failed",
			    "the module did not take the commands: %s",
			    strerror(ret < 0 ? -ret : EIO));
}

/* Reports. */
static int read_file(struct channel *ch, uint64_t to, uint64_t from, uint64_t length)
{
	int ret = nvmedmabuf_buffer_begin_cpu(ch->buf, NVMEDMABUF_CPU_WRITE), end;
	int64_t n;

	if (ret)
		return report_error(TOOL_FAILED, "cpu-access",
				    "the CPU may not fill the buffer: %s", strerror(-ret));
	n = file_pread(ch->file, ch->mem + to, length, from);
	if (n < 0) {
		ret = report_error(TOOL_FAILED, "input", "cannot read the file: %s", strerror(-n));
	} else {
		/* Behind the end of the file. */
		memset(ch->mem + to + n, 0, length - n);
		ch->by_read += n;
	}
	end = nvmedmabuf_buffer_end_cpu(ch->buf, NVMEDMABUF_CPU_WRITE);
	if (end && !ret)
		ret = report_error(TOOL_FAILED, "cpu-access", "the buffer cannot be given back: %s",
				   strerror(-end));
	return ret;
}

int channel_read_file(struct channel *ch, uint64_t slba, uint64_t length)
{
	return read_file(ch, 0, slba * ch->block_size, length);
}

/* Refused because the drive holds something else there than the file does. */
static bool is_for_read(const struct channel *ch, const struct nvme_dmabuf_completion *cpl)
{
	return ch->file >= 0 && cpl->error &&
	       (cpl->reason == NVME_DMABUF_REASON_FILE_HOLE ||
		cpl->reason == NVME_DMABUF_REASON_FILE_TAIL);
}

int channel_move(struct channel *ch, uint8_t opcode, uint16_t flags, uint64_t slba, uint64_t length,
		 uint64_t *done)
{
	uint32_t count = 0;
	int ret;

	*done = 0;
	for (uint64_t at = 0; at < length; count++) {
		uint64_t n = length - at < ch->max_command ? length - at : ch->max_command;

		nvmedmabuf_prep_read(&ch->cmds[count], ch->map, at, n, slba + at / ch->block_size);
		ch->cmds[count].opcode = opcode;
		ch->cmds[count].flags = flags;
		at += n;
	}
	ret = submit(ch, count);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < count; i++) {
		const struct nvme_dmabuf_completion *cpl = &ch->cpls[i];
		const struct nvme_dmabuf_command *cmd = &ch->cmds[i];

		if (is_for_read(ch, cpl)) {
			ret = read_file(ch, cmd->offset, cmd->slba * ch->block_size, cmd->length);
			if (ret)
				return ret;
			*done += cmd->length;
			continue;
		}
		*done += cpl->bytes;
		if (cpl->error || cpl->status)
			return report_completion(cmd, cpl);
		if (cpl->bytes != cmd->length)
			return report_error(TOOL_FAILED, "short-transfer",
					    "%s at block %" PRIu64 " moved %" PRIu64 " of %" PRIu64
					    " bytes and reported no error",
					    opcode_name(opcode), (uint64_t)cmd->slba,
					    (uint64_t)cpl->bytes, (uint64_t)cmd->length);
	}
	return TOOL_OK;
}

int channel_flush(struct channel *ch)
{
	int ret;

	nvmedmabuf_prep_flush(&ch->cmds[0], ch->map);
	ret = submit(ch, 1);
	if (!ret && (ch->cpls[0].error || ch->cpls[0].status))
		ret = report_completion(&ch->cmds[0], &ch->cpls[0]);
	return ret;
}
