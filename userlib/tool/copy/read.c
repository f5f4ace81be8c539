// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf read: from a namespace, or from a file on one, to a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "../subcommands.h"
#include "copy.h"

static const char help[] =
	"Usage: nvme-dmabuf read NAMESPACE --count BLOCKS | --bytes N [OPTION]...\n"
	"       nvme-dmabuf read FILE [OPTION]...\n"
	"Copy blocks of a namespace, of a partition of one, or of a FILE on XFS or ext4,\n"
	"to a file. All of FILE is copied if nothing else is asked for.\n"
	"\n"
	"  -o, --output FILE\n"
	"                   write to FILE; '-', the default, is standard output\n"
	"  --start LBA      first logical block (default 0)\n"
	"  --count BLOCKS   logical blocks to read\n"
	"  --bytes N        bytes to read; the last block may be used in part\n"
	"  --buffer KIND    where the dma-buf comes from: " EXPORTER_HELP "\n"
	"                   (default: the first of udmabuf, heap, drm and memory that works)\n"
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

/* A file has an end that somebody can mean. */
static int check_length(const struct copy *c, bool is_file)
{
	if (is_file || c->has_count || c->has_bytes)
		return TOOL_OK;
	return report_usage("how much? Give --count or --bytes");
}

static int check_usage(const struct copy *c, bool to_stdout)
{
	int ret = check_length(c, ns_may_be_file(c->ns_word));

	if (ret)
		return ret;
	if (to_stdout && report_json())
		return report_usage(
			"--json needs -o FILE: the data would go to standard output too");
	if (to_stdout && isatty(STDOUT_FILENO))
		return report_usage(
			"standard output is a terminal; give -o FILE, or pipe the data somewhere");
	return TOOL_OK;
}

/* Nothing behind the end of a file is copied, although its last block goes on. */
static int end_with_file(struct copy *c)
{
	uint64_t start = c->start * c->info.out_block_size;
	uint64_t left = start < c->ns.bytes ? c->ns.bytes - start : 0;

	if (c->has_bytes && left && c->bytes > left)
		return report_error(TOOL_FAILED,
				    nvmedmabuf_reason_name(NVME_DMABUF_REASON_OUTSIDE_NAMESPACE),
				    "%s has %" PRIu64 " bytes from block %" PRIu64
				    " on, and not %" PRIu64,
				    c->ns.path, left, c->start, c->bytes);
	/* Blocks that are not there are reported as such. */
	if (!c->has_bytes &&
	    (!c->has_count || (c->total > left && c->total - left < c->info.out_block_size)))
		c->total = left;
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
	ret = check_length(c, c->ns.is_file);
	if (ret)
		return ret;
	ret = ns_query(c->ctx, &c->ns, &c->info);
	if (ret)
		return ret;

	c->total = c->bytes;
	if (c->has_count &&
	    __builtin_mul_overflow(c->count, (uint64_t)c->info.out_block_size, &c->total))
		return report_usage("--count is too large");
	if (c->ns.is_file) {
		ret = end_with_file(c);
		if (ret)
			return ret;
	}
	/* Of an empty file nothing is nothing wrong. */
	if (!c->total && !c->start)
		return TOOL_OK;
	ret = copy_set_range(c);
	if (ret)
		return ret;
	return ns_cache_write_back_or_report(&c->ns, c->start * c->info.out_block_size,
					     copy_in_blocks(c, c->total));
}

/* To empty the file that is read would be to lose it. */
static int check_output(const struct copy *c, bool to_stdout)
{
	struct stat in, out;

	if (!c->ns.is_file || fstat(c->ns.fd, &in) ||
	    (to_stdout ? fstat(STDOUT_FILENO, &out) : stat(c->file, &out)) ||
	    in.st_dev != out.st_dev || in.st_ino != out.st_ino)
		return TOOL_OK;
	return report_error(TOOL_REFUSED, "same-file",
			    "the output is %s itself; nothing was written to it", c->ns.path);
}

static int open_output(struct copy *c, bool to_stdout)
{
	int ret = check_output(c, to_stdout);

	if (ret)
		return ret;
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

/*
 * The next chunk: of a file, nothing but data or nothing but a hole, as far as the file
 * system tells. Where the drive refuses data, the channel finds it elsewhere.
 */
static uint64_t next_chunk(const struct copy *c, bool *is_hole)
{
	uint64_t want = copy_next(c), at = copy_next_block(c) * c->info.out_block_size, run;

	*is_hole = false;
	if (!c->ns.is_file)
		return want;
	run = copy_in_blocks(c, file_run(&c->ns, at, is_hole) - at);
	return run && run < want ? run : want;
}

static int move_chunk(struct copy *c, uint64_t length, bool is_hole, uint64_t *got)
{
	int ret;

	if (!is_hole)
		return channel_move(&c->channel, NVME_DMABUF_OP_READ,
				    c->fua ? NVME_DMABUF_CMD_FUA : 0, copy_next_block(c), length,
				    got);
	ret = channel_read_file(&c->channel, copy_next_block(c), length);
	*got = ret ? 0 : length;
	return ret;
}

static int copy_chunk(struct copy *c)
{
	uint64_t want, got;
	bool is_hole;
	int moved, ret;

	want = next_chunk(c, &is_hole);
	moved = move_chunk(c, copy_in_blocks(c, want), is_hole, &got);
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

/* What was read while somebody wrote may be neither what was there before nor after. */
static int check_unchanged(const struct copy *c)
{
	if (!c->ns.is_file || !file_has_changed(&c->ns))
		return TOOL_OK;
	return report_error(TOOL_FAILED, nvmedmabuf_reason_name(NVME_DMABUF_REASON_FILE_CHANGED),
			    "somebody changed %s while it was read; the copy may be of no use",
			    c->ns.path);
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
	if (!ret)
		ret = closed;
	return copy_end(c, ret ? ret : check_unchanged(c), out);
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
