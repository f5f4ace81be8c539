// SPDX-License-Identifier: MIT
/*
 * What 'read' and 'write' have in common.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"

#define DEFAULT_CHUNK (4 * MIB)
#define MAX_CHUNK     (1024 * MIB)

static int parse_option(struct copy *c, int opt)
{
	switch (opt) {
	case 'i':
	case 'o':
		c->file = optarg;
		return TOOL_OK;
	case OPT_START:
		c->has_start = true;
		return report_parse_value("--start", optarg, parse_number, &c->start);
	case OPT_COUNT:
		c->has_count = true;
		return report_parse_value("--count", optarg, parse_number, &c->count);
	case OPT_BYTES:
		c->has_bytes = true;
		return report_parse_value("--bytes", optarg, parse_size, &c->bytes);
	case OPT_CHUNK:
		return report_parse_value("--chunk", optarg, parse_size, &c->chunk);
	case OPT_BUFFER:
		return exporter_parse_or_report(optarg, &c->exporter);
	case OPT_FUA:
		c->fua = true;
		return TOOL_OK;
	case OPT_PAD:
		c->pad = true;
		return TOOL_OK;
	case OPT_VERIFY:
		c->verify = true;
		return TOOL_OK;
	case OPT_FORCE:
		c->force = true;
		return TOOL_OK;
	case OPT_PROGRESS:
		c->progress_forced = true;
		return TOOL_OK;
	case OPT_SHOW_MAP:
		c->show_map = true;
		return TOOL_OK;
	case OPT_JSON:
		report_use_json();
		return TOOL_OK;
	case 'h':
		c->help = true;
		return TOOL_OK;
	default:
		return TOOL_USAGE;
	}
}

int copy_parse(struct copy *c, int argc, char **argv, const char *short_options,
	       const struct option *options)
{
	bool chunk_given = false;
	int opt, ret;

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->ns.fd = -1;
	exporter_parse("auto", &c->exporter);

	opterr = 0;
	while ((opt = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			return report_bad_option(opt, argv);
		chunk_given |= opt == OPT_CHUNK;
		ret = parse_option(c, opt);
		if (ret || c->help)
			return ret;
	}
	ret = report_parse_namespace(argc, argv, &c->ns_word);
	if (ret)
		return ret;

	if (c->has_count && c->has_bytes)
		return report_usage("--count and --bytes exclude each other");
	if ((c->has_count && !c->count) || (c->has_bytes && !c->bytes))
		return report_usage("nothing to copy: the length is 0");
	if (chunk_given && (!c->chunk || c->chunk > MAX_CHUNK))
		return report_usage("--chunk must be from one block to 1 GiB");
	return TOOL_OK;
}

uint64_t copy_in_blocks(const struct copy *c, uint64_t bytes)
{
	uint64_t rest = bytes % c->info.out_block_size;

	return rest ? bytes + c->info.out_block_size - rest : bytes;
}

int copy_set_range(struct copy *c)
{
	uint64_t bs = c->info.out_block_size;
	/* Rounded up by hand: the sum in copy_in_blocks() might wrap. */
	uint64_t blocks = c->total / bs + !!(c->total % bs);
	uint64_t bytes;
	int ret;

	ret = ns_check_range(&c->ns, &c->info, c->start, blocks);
	if (ret)
		return ret;
	bytes = blocks * bs;
	if (c->chunk % bs)
		return report_usage(
			"--chunk must be a multiple of the block size, %" PRIu64 " bytes", bs);
	if (!c->chunk)
		c->chunk = DEFAULT_CHUNK - DEFAULT_CHUNK % bs;
	if (c->chunk > bytes)
		c->chunk = bytes;
	return TOOL_OK;
}

static int no_digest(void)
{
	return report_error(TOOL_FAILED, "no-digest", "libcrypto cannot compute SHA-256");
}

int copy_digest(struct copy *c, const uint8_t *data, uint64_t length)
{
	return digest_add(c->digest, data, length) ? no_digest() : TOOL_OK;
}

int copy_open_channel(struct copy *c, uint32_t access, FILE *out)
{
	int ret;

	c->digest = digest_new();
	if (!c->digest)
		return no_digest();
	if (!c->total)
		return TOOL_OK;
	ret = channel_open_or_report(&c->channel, c->ctx, &c->ns, &c->info, &c->exporter, c->chunk,
				     access);
	if (ret || !c->show_map)
		return ret;
	ret = map_show(c->ctx, c->channel.map, out, report_json() ? report_root() : NULL);
	if (ret)
		return report_error(TOOL_FAILED, "no-map-info",
				    "the module does not describe the map: %s", strerror(-ret));
	return TOOL_OK;
}

uint64_t copy_next(const struct copy *c)
{
	uint64_t left = c->total - c->done;

	return left < c->chunk ? left : c->chunk;
}

uint64_t copy_next_block(const struct copy *c)
{
	return c->start + c->done / c->info.out_block_size;
}

static void summary_to_json(const struct copy *c, const char *sha256)
{
	struct json_object *root = report_root();

	put_str(root, "namespace", c->ns.path);
	put_bool(root, "file", c->ns.is_file);
	put_u64(root, "block_size", c->info.out_block_size);
	put_u64(root, "start_lba", c->start);
	put_u64(root, "bytes_requested", c->total);
	put_u64(root, "bytes", c->done);
	put_u64(root, "blocks", copy_in_blocks(c, c->done) / c->info.out_block_size);
	put_u64(root, "bytes_padded", copy_in_blocks(c, c->done) - c->done);
	put_u64(root, "bytes_by_read", c->channel.by_read);
	put_u64(root, "bytes_by_write", c->by_write);
	put_u64(root, "bytes_zeroed", c->zeroed);
	put_u64(root, "commands", c->channel.commands);
	put_str(root, "buffer", c->total ? c->exporter.name : NULL);
	put_u64(root, "chunk_bytes", c->chunk);
	put_bool(root, "fua", c->fua);
	put_bool(root, "complete", c->done == c->total);
	put_str(root, "sha256", sha256);
}

static void summary_to_text(const struct copy *c, const char *sha256, FILE *out)
{
	uint64_t blocks = copy_in_blocks(c, c->done) / c->info.out_block_size;
	char size[SIZE_TEXT];

	if (!c->total)
		fprintf(out, "%s is empty\n", c->ns.path);
	else
		fprintf(out,
			"%" PRIu64 " bytes (%s), blocks %" PRIu64 " to %" PRIu64
			" of %s, through %s\n",
			c->done, size_text(c->done, size), c->start,
			c->start + (blocks ? blocks - 1 : 0), c->ns.path, c->exporter.name);
	if (c->channel.by_read)
		fprintf(out,
			"%" PRIu64 " bytes of these, holes or the end of the file, by read(2)\n",
			c->channel.by_read);
	if (c->zeroed)
		fprintf(out,
			"%" PRIu64 " bytes got a place on the drive first, by writing zeroes\n",
			c->zeroed);
	if (c->by_write)
		fprintf(out, "%" PRIu64 " bytes of these, the end of the file, by write(2)\n",
			c->by_write);
	if (sha256)
		fprintf(out, "sha256 %s\n", sha256);
}

int copy_end(struct copy *c, int ret, FILE *out)
{
	char sha256[SHA256_TEXT];
	bool complete;

	progress_end(&c->progress, c->done);
	if (!ret && c->done < c->total)
		ret = report_error(TOOL_FAILED, "interrupted",
				   "stopped by a signal after %" PRIu64 " of %" PRIu64
				   " bytes; the next block would have been %" PRIu64,
				   c->done, c->total, copy_next_block(c));
	else if (ret && !report_json())
		fprintf(stderr,
			"nvme-dmabuf: %" PRIu64 " of %" PRIu64
			" bytes were copied; the next block would have been %" PRIu64 "\n",
			c->done, c->total, copy_next_block(c));

	complete = !ret && !digest_end(c->digest, sha256);
	if (!ret && !complete)
		ret = no_digest();
	summary_to_json(c, complete ? sha256 : NULL);
	if (!report_json() && complete)
		summary_to_text(c, sha256, out);
	return ret;
}

void copy_close(struct copy *c)
{
	channel_close(&c->channel);
	digest_free(c->digest);
	if (c->fd > STDERR_FILENO)
		close(c->fd);
	ns_close(&c->ns);
	nvmedmabuf_close(c->ctx);
}
