// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf read: from a namespace to a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "../subcommands.h"
#include "copy.h"

static const char help[] =
	"Usage: nvme-dmabuf read NAMESPACE --count BLOCKS | --bytes N [OPTION]...\n"
	"Copy blocks of a namespace, or of a partition of one, to a file.\n"
	"\n"
	"  -o, --output FILE\n"
	"                   write to FILE; '-', the default, is standard output\n"
	"  --start LBA      first logical block (default 0)\n"
	"  --count BLOCKS   logical blocks to read\n"
	"  --bytes N        bytes to read; the last block may be used in part\n"
	"  --buffer KIND    where the dma-buf comes from: udmabuf, huge, heap[:NAME] or\n"
	"                   drm[:/dev/dri/cardN] (default: the first that works)\n"
	"  --chunk BYTES    size of the buffer (default 4M)\n"
	"  --fua            force unit access: read from the medium, not from a cache\n"
	"  --show-map       show how the buffer is mapped, and where it is\n"
	"  --progress       show progress even if stderr is no terminal\n"
	"  --json           print a summary as JSON; needs -o FILE\n"
	"  -h, --help       this text\n"
	"\n"
	"Sizes take the suffixes K, M, G and T. See nvme-dmabuf(8).\n";

static const struct option options[] = { { "output", required_argument, NULL, 'o' },
					 { "start", required_argument, NULL, OPT_START },
					 { "count", required_argument, NULL, OPT_COUNT },
					 { "bytes", required_argument, NULL, OPT_BYTES },
					 { "buffer", required_argument, NULL, OPT_BUFFER },
					 { "chunk", required_argument, NULL, OPT_CHUNK },
					 { "fua", no_argument, NULL, OPT_FUA },
					 { "show-map", no_argument, NULL, OPT_SHOW_MAP },
					 { "progress", no_argument, NULL, OPT_PROGRESS },
					 { "json", no_argument, NULL, OPT_JSON },
					 { "help", no_argument, NULL, 'h' },
					 { 0 } };

static int check_usage(const struct copy *c, bool to_stdout)
{
	if (!c->has_count && !c->has_bytes)
		return report_usage("how much? Give --count or --bytes");
	if (to_stdout && report_json())
		return report_usage(
			"--json needs -o FILE: the data would go to standard output too");
	if (to_stdout && isatty(STDOUT_FILENO))
		return report_usage(
			"standard output is a terminal; give -o FILE, or pipe the data somewhere");
	return TOOL_OK;
}

static int open_namespace(struct copy *c)
{
	int ret;

	ret = module_open(&c->ctx, &c->module, NULL);
	if (ret)
		return ret;
	ret = ns_open_or_report(&c->ns, c->ns_word, O_RDONLY);
	if (ret)
		return ret;
	ret = ns_query(c->ctx, &c->ns, &c->info);
	if (ret)
		return ret;

	c->total = c->bytes;
	if (c->has_count &&
	    __builtin_mul_overflow(c->count, (uint64_t)c->info.out_block_size, &c->total))
		return report_usage("--count is too large");
	ret = copy_set_range(c);
	if (ret)
		return ret;
	return ns_cache_write_back_or_report(&c->ns, c->start * c->info.out_block_size,
					     copy_in_blocks(c, c->total));
}

static int open_output(struct copy *c, bool to_stdout)
{
	if (to_stdout) {
		c->fd = STDOUT_FILENO;
		return TOOL_OK;
	}
	c->fd = open(c->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (c->fd < 0)
		return report_error(TOOL_FAILED, "cannot-open", "cannot open %s: %s", c->file,
				    strerror(errno));
	return TOOL_OK;
}

/* Stops early, with c->done telling where, if a signal asks to. */
static int write_out(struct copy *c, const uint8_t *data, uint64_t length)
{
	while (length) {
		ssize_t n = write(c->fd, data, length);
		int ret;

		if (n < 0 && errno == EINTR) {
			if (stop_requested())
				return TOOL_OK;
			continue;
		}
		if (n < 0)
			return report_error(TOOL_FAILED, "output", "cannot write to %s: %s",
					    c->file ? c->file : "standard output", strerror(errno));
		ret = copy_digest(c, data, n);
		if (ret)
			return ret;
		data += n;
		length -= n;
		c->done += n;
	}
	return TOOL_OK;
}

static int copy_chunk(struct copy *c)
{
	uint64_t want = copy_next(c), got;
	int moved, ret;

	moved = channel_move(&c->channel, NVME_DMABUF_OP_READ, c->fua ? NVME_DMABUF_CMD_FUA : 0,
			     copy_next_block(c), copy_in_blocks(c, want), &got);
	ret = nvmedmabuf_buffer_begin_cpu(c->channel.buf, NVMEDMABUF_CPU_READ);
	if (ret)
		return report_error(TOOL_FAILED, "cpu-access",
				    "the CPU may not read the buffer: %s", strerror(-ret));
	/* What arrived before an error is good, and worth having. */
	ret = write_out(c, c->channel.mem, got < want ? got : want);
	nvmedmabuf_buffer_end_cpu(c->channel.buf, NVMEDMABUF_CPU_READ);
	return moved ? moved : ret;
}

static int close_output(struct copy *c)
{
	int fd = c->fd;

	if (fd <= STDERR_FILENO)
		return TOOL_OK;
	c->fd = -1;
	if (close(fd))
		return report_error(TOOL_FAILED, "output", "cannot write to %s: %s", c->file,
				    strerror(errno));
	return TOOL_OK;
}

static int run(struct copy *c)
{
	bool to_stdout = !c->file || strcmp(c->file, "-") == 0;
	FILE *out = to_stdout ? stderr : stdout;
	int ret, closed;

	ret = check_usage(c, to_stdout);
	if (ret)
		return ret;
	ret = open_namespace(c);
	if (ret)
		return ret;
	ret = copy_open_channel(c, NVME_DMABUF_ACCESS_READ, out);
	if (ret)
		return ret;
	ret = open_output(c, to_stdout);
	if (ret)
		return ret;

	stop_on_signals();
	progress_begin(&c->progress, c->total, c->progress_forced);
	while (!ret && c->done < c->total && !stop_requested()) {
		ret = copy_chunk(c);
		progress_show(&c->progress, c->done);
	}
	closed = close_output(c);
	return copy_end(c, ret ? ret : closed, out);
}

int cmd_read(int argc, char **argv)
{
	struct copy c;
	int ret;

	ret = copy_parse(&c, argc, argv, ":o:h", options);
	if (ret)
		return ret;
	if (c.help)
		return report_help(help);
	ret = run(&c);
	copy_close(&c);
	return ret;
}
