/* SPDX-License-Identifier: MIT */
/* What 'read' and 'write' have in common: options, set-up, loop, summary. */
#ifndef NVME_DMABUF_TOOL_COPY_H
#define NVME_DMABUF_TOOL_COPY_H

#include "../device/device.h"

struct copy {
	/* What was asked for. */
	const char *ns_word;
	const char *file;
	struct exporter exporter;
	uint64_t start; /* logical block */
	uint64_t count; /* logical blocks */
	uint64_t bytes;
	uint64_t chunk; /* bytes of the buffer; 0 until set up */
	bool has_start;
	bool has_count;
	bool has_bytes;
	bool fua;
	bool pad;
	bool verify;
	bool force;
	bool progress_forced;
	bool show_map;
	bool help;

	/* What it became. */
	struct nvmedmabuf *ctx;
	struct nvme_dmabuf_info module;
	struct ns ns;
	struct nvme_dmabuf_ns_info info;
	struct channel channel;
	struct digest *digest;
	struct progress progress;
	int fd;		   /* the file; -1 until opened */
	uint64_t total;	   /* bytes of the file's side */
	uint64_t done;	   /* of them, moved */
	uint64_t zeroed;   /* bytes written with zeroes first, of a file */
	uint64_t by_write; /* bytes at the end of a file, by write(2) */
};

struct option;

/*
 * The command line; @options has what the subcommand takes of the values below.
 * Reports. With @c->help set, there is nothing else to do.
 */
enum {
	OPT_START = 256,
	OPT_COUNT,
	OPT_BYTES,
	OPT_BUFFER,
	OPT_CHUNK,
	OPT_FUA,
	OPT_PAD,
	OPT_VERIFY,
	OPT_FORCE,
	OPT_PROGRESS,
	OPT_SHOW_MAP,
	OPT_JSON,
};

int copy_parse(struct copy *c, int argc, char **argv, const char *short_options,
	       const struct option *options);

/*
 * Check that @c->total bytes from block @c->start are on the namespace, and
 * settle the size of a chunk. Reports.
 */
int copy_set_range(struct copy *c);

/* Allocate, map and, if asked to, show the buffer. Reports. */
int copy_open_channel(struct copy *c, uint32_t access, FILE *out);

/* Add @length bytes to the digest of what was copied. Reports. */
int copy_digest(struct copy *c, const uint8_t *data, uint64_t length);

/* Bytes of the file's side that the next chunk has; and, in whole blocks. */
uint64_t copy_next(const struct copy *c);
uint64_t copy_in_blocks(const struct copy *c, uint64_t bytes);
uint64_t copy_next_block(const struct copy *c);

/*
 * The summary, and why it ended before the end if it did. @out is where text
 * goes. Returns the exit code. Reports.
 */
int copy_end(struct copy *c, int ret, FILE *out);

/*
 * file.c: what is written to a regular file. First whatever of its whole blocks in the range is
 * a hole, was never written or is behind its end gets zeroes, by write(2), and so a place on the
 * drive; the file is then closed. Last the end of the range that is no whole block. Report.
 */
int copy_file_prepare(struct copy *c);
int copy_file_tail(struct copy *c, uint64_t length);

/* write.c: what was read back of the next bytes equals the buffer. Reports. */
int copy_compare(const struct copy *c, const uint8_t *back, uint64_t length);

/* Free everything; may be called at any stage after copy_parse(). */
void copy_close(struct copy *c);

#endif /* NVME_DMABUF_TOOL_COPY_H */
