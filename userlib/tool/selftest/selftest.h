/* SPDX-License-Identifier: MIT */
/*
 * What the parts of 'selftest' share: what is tested, the results, and which
 * blocks go where.
 */
#ifndef NVME_DMABUF_TOOL_SELFTEST_H
#define NVME_DMABUF_TOOL_SELFTEST_H

#include "../device/device.h"

struct selftest {
	/* What was asked for. */
	const char *ns_word;
	struct exporter exporter; /* AUTO: every one there is */
	const char *confirmed;	  /* --yes-overwrite */
	const char *save_file;
	uint64_t seed;
	uint64_t rounds;
	uint64_t start; /* blocks that may be overwritten */
	uint64_t count;
	bool has_start;
	bool has_count;
	bool has_seed;
	bool write;
	bool show_map;
	bool help;

	/* What it is done with. */
	struct nvmedmabuf *ctx;
	struct nvme_dmabuf_info module;
	struct ns ns;
	struct nvme_dmabuf_ns_info info;
	uint64_t blocks;      /* that are read: of a file, those that it has all of */
	struct direct direct; /* the same namespace */
	bool busy;	      /* others may write to it meanwhile */
	uint64_t random;
	struct write_test *write_test; /* the part that writes */

	/* What came out. */
	struct json_object *results;
	struct json_object *maps;
	unsigned int passed;
	unsigned int failed;
	unsigned int skipped;
};

/* One line of the result: "udmabuf: " and what @fmt makes. */
void selftest_pass(struct selftest *st, const char *part, const char *fmt, ...) PRINTF(3, 4);
void selftest_fail(struct selftest *st, const char *part, const char *fmt, ...) PRINTF(3, 4);
void selftest_skip(struct selftest *st, const char *part, const char *fmt, ...) PRINTF(3, 4);

/* A remark below the results, in text only. */
void selftest_note(const char *fmt, ...) PRINTF(1, 2);

/* A number from 0 to @limit - 1. */
uint64_t selftest_random(struct selftest *st, uint64_t limit);

/* Where in a buffer and on the namespace a command goes. */
struct extent {
	uint64_t offset; /* in the buffer, a multiple of 4 */
	uint64_t slba;
	uint64_t length;
};

/*
 * A random extent whose data lies within @size bytes from @base of the buffer,
 * and whose blocks lie within @blocks from @first.
 */
void extent_pick(struct selftest *st, struct extent *e, uint64_t base, uint64_t size,
		 uint64_t first, uint64_t blocks);

/* How large a buffer is tested with, and how many commands at once. */
#define SELFTEST_BUFFER (8 * MIB)
#define SELFTEST_BATCH	8

/* Tests of one exporter that write nothing. */
void selftest_read_exporter(struct selftest *st, const struct exporter *exporter);

/* Commands and maps that must be refused; @ch was attached for reads only. */
void selftest_refusals(struct selftest *st, struct channel *ch, const char *part);

/*
 * The part that writes. To prepare is to show what will be overwritten, to ask,
 * and to save it; reports. selftest_write() then tests every exporter, and puts
 * the original contents back.
 */
int selftest_write_prepare(struct selftest *st);
void selftest_write(struct selftest *st, const struct exporter *list, int count);
void selftest_write_free(struct selftest *st);

#endif /* NVME_DMABUF_TOOL_SELFTEST_H */
