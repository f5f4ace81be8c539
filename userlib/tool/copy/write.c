// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf write: from a file to a namespace, or to another file. Everything that can be wrong
 * is found before the first block is written, as far as that is possible.
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
	"Usage: nvme-dmabuf write NAMESPACE -i FILE --start LBA [OPTION]...\n"
	"   or: nvme-dmabuf write TARGET -i FILE [OPTION]...\n"
	"Overwrite blocks of a namespace, or of a partition of one, with a file; or write to\n"
	"TARGET, a regular file on XFS or ext4, which grows if need be.\n"
	"\n"
	"  -i, --input FILE read from FILE; '-' is standard input\n"
	"  --start LBA      first logical block (needed for a namespace; of a TARGET: 0)\n"
	"  --count BLOCKS   logical blocks to write (default: all of FILE)\n"
	"  --bytes N        bytes to write; needed, or --count, if FILE is a pipe\n"
	"  --pad            fill the last block with zeroes\n"
	"  --fua            force unit access: each command is done when it is durable\n"
	"  --verify         read back through a second buffer, and compare\n"
	"  --force          write although the namespace is mounted, swap, part of\n"
	"                   something, partitioned or claimed: DANGEROUS, see the manual\n"
	"  --buffer KIND    where the dma-buf comes from: " EXPORTER_HELP "\n"
	"                   (default: the first of udmabuf, heap, drm and memory that works)\n"
	"  --chunk BYTES    size of the buffer (default 4M)\n"
	"  --show-map       show how the buffer is mapped, and where it is\n"
	"  --progress       show progress even if stderr is no terminal\n"
	"  --json           print a summary as JSON\n"
	"  -h, --help       this text\n"
	"\n"
	"Sizes take the suffixes K, M, G and T. See nvme-dmabuf(8).\n";

static const struct option options[] = { { "input", required_argument, NULL, 'i' },
					 { "start", required_argument, NULL, OPT_START },
					 { "count", required_argument, NULL, OPT_COUNT },
					 { "bytes", required_argument, NULL, OPT_BYTES },
					 { "pad", no_argument, NULL, OPT_PAD },
					 { "fua", no_argument, NULL, OPT_FUA },
					 { "verify", no_argument, NULL, OPT_VERIFY },
					 { "force", no_argument, NULL, OPT_FORCE },
					 { "buffer", required_argument, NULL, OPT_BUFFER },
					 { "chunk", required_argument, NULL, OPT_CHUNK },
					 { "show-map", no_argument, NULL, OPT_SHOW_MAP },
					 { "progress", no_argument, NULL, OPT_PROGRESS },
					 { "json", no_argument, NULL, OPT_JSON },
					 { "help", no_argument, NULL, 'h' },
					 { 0 } };

static int open_input(struct copy *c)
{
	if (strcmp(c->file, "-") == 0) {
		c->fd = STDIN_FILENO;
		c->file = "standard input";
		return TOOL_OK;
	}
	c->fd = open(c->file, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		return report_error(TOOL_FAILED, "cannot-open", "cannot open %s: %s", c->file,
				    strerror(errno));
	return TOOL_OK;
}

/* Bytes that the input still has; UINT64_MAX if only reading can tell. */
static uint64_t input_left(int fd)
{
	struct stat st;
	off_t at, end;

	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)))
		return UINT64_MAX;
	at = lseek(fd, 0, SEEK_CUR);
	end = lseek(fd, 0, SEEK_END);
	if (at < 0 || end < 0 || lseek(fd, at, SEEK_SET) < 0)
		return UINT64_MAX;
	return at < end ? end - at : 0;
}

/* How much to write, from what was asked for and what the input has. */
static int set_total(struct copy *c)
{
	uint64_t left = input_left(c->fd), bs = c->info.out_block_size;

	if (c->has_count) {
		if (__builtin_mul_overflow(c->count, bs, &c->total))
			return report_usage("--count is too large");
		/* A part of the last block may be missing if it is filled up. */
		if (c->pad && left < c->total && left > c->total - bs)
			c->total = left;
	} else if (c->has_bytes) {
		c->total = c->bytes;
	} else if (left != UINT64_MAX) {
		c->total = left;
	} else {
		return report_usage("%s does not tell its length; give --count or --bytes",
				    c->file);
	}

	if (!c->total)
		return report_error(TOOL_FAILED, "input-empty", "%s is empty", c->file);
	if (left < c->total)
		return report_error(TOOL_FAILED, "input-short",
				    "%s has %" PRIu64 " bytes, but %" PRIu64
				    " shall be written; nothing was written",
				    c->file, left, c->total);
	if (c->ns.is_file && c->pad)
		return report_usage("--pad is not for files: they end where FILE does");
	if (c->total % bs && !c->pad && !c->ns.is_file)
		return report_error(TOOL_FAILED,
				    nvmedmabuf_reason_name(NVME_DMABUF_REASON_BLOCK_MULTIPLE),
				    "%" PRIu64 " bytes are no multiple of the block size, %" PRIu64
				    "; --pad fills the last block with zeroes",
				    c->total, bs);
	return TOOL_OK;
}

static int open_namespace(struct copy *c)
{
	int ret;

	ret = module_open(&c->ctx, &c->module, NULL);
	if (ret)
		return ret;
	ret = ns_open_for_write(&c->ns, c->ns_word, c->force);
	if (ret)
		return ret;
	if (!c->ns.is_file && !c->has_start)
		return report_usage("where to? Give --start LBA");
	return ns_query(c->ctx, &c->ns, &c->info);
}

/* Reads until @length bytes are there, the input ends, or a signal comes. */
static int fill(struct copy *c, uint8_t *mem, uint64_t length, uint64_t *got)
{
	for (*got = 0; *got < length;) {
		ssize_t n = read(c->fd, mem + *got, length - *got);

		if (n < 0 && errno == EINTR) {
			if (stop_requested())
				return TOOL_OK;
			continue;
		}
		if (n < 0)
			return report_error(TOOL_FAILED, "input", "cannot read %s: %s", c->file,
					    strerror(errno));
		if (n == 0)
			return report_error(TOOL_FAILED, "input-short",
					    "%s ended after %" PRIu64 " of %" PRIu64 " bytes",
					    c->file, c->done + *got, c->total);
		*got += n;
	}
	return TOOL_OK;
}

/* One chunk of the input, with zeroes up to the next block. */
static int load_chunk(struct copy *c, uint64_t want, uint64_t *got)
{
	const int flags = NVMEDMABUF_CPU_READ_WRITE;
	uint8_t *mem = c->channel.mem;
	int ret;

	ret = nvmedmabuf_buffer_begin_cpu(c->channel.buf, flags);
	if (ret)
		return report_error(TOOL_FAILED, "cpu-access",
				    "the CPU may not fill the buffer: %s", strerror(-ret));
	ret = fill(c, mem, want, got);
	if (!ret && *got == want) {
		memset(mem + want, 0, copy_in_blocks(c, want) - want);
		ret = copy_digest(c, mem, want);
	}
	if (nvmedmabuf_buffer_end_cpu(c->channel.buf, flags) && !ret)
		ret = report_error(TOOL_FAILED, "cpu-access",
				   "the buffer cannot be handed to the drive");
	return ret;
}

int copy_compare(const struct copy *c, const uint8_t *back, uint64_t length)
{
	uint64_t at;

	if (memcmp(back, c->channel.mem, length) == 0)
		return TOOL_OK;
	at = first_difference(back, c->channel.mem, length);
	return report_error(
		TOOL_FAILED, "verify-mismatch",
		"what was read back differs from what was written, first in byte %" PRIu64
		" of block %" PRIu64,
		at % c->info.out_block_size, copy_next_block(c) + at / c->info.out_block_size);
}

static int verify_chunk(struct copy *c, struct channel *back, uint64_t length)
{
	uint64_t done;
	int ret;

	ret = channel_move(back, NVME_DMABUF_OP_READ, NVME_DMABUF_CMD_FUA, copy_next_block(c),
			   length, &done);
	if (ret)
		return ret;
	if (nvmedmabuf_buffer_begin_cpu(back->buf, NVMEDMABUF_CPU_READ) ||
	    nvmedmabuf_buffer_begin_cpu(c->channel.buf, NVMEDMABUF_CPU_READ))
		return report_error(TOOL_FAILED, "cpu-access", "the CPU may not read the buffers");
	ret = copy_compare(c, back->mem, length);
	nvmedmabuf_buffer_end_cpu(c->channel.buf, NVMEDMABUF_CPU_READ);
	nvmedmabuf_buffer_end_cpu(back->buf, NVMEDMABUF_CPU_READ);
	return ret;
}

static int copy_chunk(struct copy *c, struct channel *back)
{
	uint64_t want = copy_next(c), rest = want % c->info.out_block_size, length;
	uint64_t got = 0, moved;
	int ret;

	if (c->ns.is_file && want > rest)
		want -= rest;
	length = copy_in_blocks(c, want);
	ret = load_chunk(c, want, &got);
	if (ret || got < want)
		return ret;
	if (c->ns.is_file && want < length)
		return copy_file_tail(c, want);
	ret = channel_move(&c->channel, NVME_DMABUF_OP_WRITE, c->fua ? NVME_DMABUF_CMD_FUA : 0,
			   copy_next_block(c), length, &moved);
	if (ret) {
		c->done += moved < want ? moved : want;
		return ret;
	}
	if (back)
		ret = verify_chunk(c, back, length);
	if (!ret)
		c->done += want;
	return ret;
}

static int copy_all(struct copy *c, struct channel *back)
{
	uint64_t first = c->start * c->info.out_block_size;
	int ret, flushed;

	ret = ns_cache_write_back_or_report(&c->ns, first, copy_in_blocks(c, c->total));
	if (ret)
		return ret;

	progress_begin(&c->progress, c->total, c->progress_forced);
	while (!ret && c->done < c->total && !stop_requested()) {
		ret = copy_chunk(c, back);
		progress_show(&c->progress, c->done);
	}
	ns_cache_drop(&c->ns, first, copy_in_blocks(c, c->total));

	/* What is reported as written shall survive a power failure. */
	if (c->channel.commands && !c->fua) {
		flushed = channel_flush(&c->channel);
		ret = ret ? ret : flushed;
	}
	put_bool(report_root(), "verified", back && !ret && c->done == c->total);
	return ret;
}

static int run(struct copy *c)
{
	struct channel back = { 0 };
	int ret;

	if (!c->file)
		return report_usage("what to write? Give -i FILE, or -i - for standard input");
	/* What else there may be is looked at before a pipe is read. */
	if (!c->has_start && !ns_may_be_file(c->ns_word))
		return report_usage("where to? Give --start LBA");

	ret = open_input(c);
	if (!ret)
		ret = open_namespace(c);
	if (!ret)
		ret = set_total(c);
	if (!ret && c->ns.is_file)
		ret = copy_file_prepare(c);
	if (!ret)
		ret = copy_set_range(c);
	if (!ret)
		ret = copy_open_channel(c, NVME_DMABUF_ACCESS_WRITE, stdout);
	if (!ret && c->verify)
		ret = channel_open_or_report(&back, c->ctx, &c->ns, &c->info, &c->exporter,
					     c->chunk, NVME_DMABUF_ACCESS_READ);
	if (!ret) {
		stop_on_signals();
		ret = copy_all(c, c->verify ? &back : NULL);
		ret = copy_end(c, ret, stdout);
		if (!ret && c->verify && !report_json())
			puts("read back and found equal");
	}
	channel_close(&back);
	return ret;
}

int cmd_write(int argc, char **argv)
{
	struct copy c;
	int ret;

	ret = copy_parse(&c, argc, argv, ":i:h", options);
	if (ret)
		return ret;
	if (c.help)
		return report_help(help);
	ret = run(&c);
	copy_close(&c);
	return ret;
}
