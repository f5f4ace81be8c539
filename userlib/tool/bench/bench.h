/* SPDX-License-Identifier: MIT */
/*
 * What the parts of 'bench' share: what is measured, by which paths, and what
 * came out.
 */
#ifndef NVME_DMABUF_TOOL_BENCH_H
#define NVME_DMABUF_TOOL_BENCH_H

#include "../device/device.h"
#include "histogram.h"

enum bench_direction {
	BENCH_READ,
	BENCH_WRITE,
	BENCH_DIRECTIONS,
};

enum bench_pattern {
	BENCH_RANDOM,
	BENCH_SEQUENTIAL,
	BENCH_PATTERNS,
};

/* The ways to the drive: those of the library, and the kernel's own. */
enum bench_path_id {
	BENCH_IOCTL,
	BENCH_URING,
	BENCH_READ_FIXED,
	BENCH_URING_CMD,
	BENCH_PATHS,
};

/* The words for them, as options take them and as they are shown. */
extern const char *const bench_direction_names[BENCH_DIRECTIONS];
extern const char *const bench_pattern_names[BENCH_PATTERNS];
extern const char *const bench_path_names[BENCH_PATHS];

#define BENCH_MAX_LIST 16

/* The argument of an option that is a list of numbers. */
struct bench_list {
	uint64_t values[BENCH_MAX_LIST];
	unsigned int count;
};

struct bench {
	/* What was asked for. Sets of names have a bit for each. */
	const char *ns_word;
	struct exporter exporter;
	unsigned int directions;
	unsigned int patterns;
	unsigned int paths;
	struct bench_list sizes;  /* bytes of a command */
	struct bench_list depths; /* commands in flight */
	uint64_t seconds;	  /* for each measurement; or */
	uint64_t ios;		  /* commands, if not 0 */
	uint64_t buffer_size;
	uint64_t start; /* logical blocks that may be used */
	uint64_t count;
	uint64_t seed;
	const char *confirmed; /* --yes-overwrite */
	bool has_seconds;
	bool has_start;
	bool has_count;
	bool has_seed;
	bool polled;
	bool progress_forced;
	bool help;

	/* What it is done with. */
	struct nvmedmabuf *ctx;
	struct nvme_dmabuf_info module;
	struct ns ns;
	struct nvme_dmabuf_ns_info info;
	struct direct direct;
	struct channel channel; /* for one direction */
	bool busy;		/* others may write to it meanwhile */
	uint64_t random;
	struct progress progress;
	struct json_object *results;

	/* What came out, of single paths. */
	unsigned int measurements;
	unsigned int measured;
	unsigned int skipped;
	unsigned int failed;
	unsigned int wrong_data;
};

/* What is measured, once for each path. */
struct bench_point {
	enum bench_direction direction;
	enum bench_pattern pattern;
	uint64_t size;
	uint32_t depth;
};

/*
 * A path, opened for one measurement. Whoever runs it numbers the commands in
 * flight, which are fewer than the depth when another is prepared.
 */
struct bench_queue {
	struct bench *bench;
	const struct bench_point *point;
	enum bench_path_id id;
	const struct bench_path *path;
	void *state; /* the path's own */

	/* The memory, as large as the channel's buffer. */
	uint8_t *mem;
	struct nvmedmabuf_buffer *buf; /* if that is a dma-buf: for the CPU's accesses */
	const char *memory;	       /* "dma-buf", "memfd" or "memfd-huge" */

	/* Why it cannot be used: a token and a sentence. */
	const char *reason;
	char obstacle[320];
};

/* Functions that return an int return a negative errno on failure. */
struct bench_path {
	/* Sets up the members above. On failure there is an obstacle. */
	int (*open)(struct bench_queue *q);

	/* Fill in one command, between @offset of the memory and block @slba. */
	int (*prepare)(struct bench_queue *q, uint32_t tag, uint64_t offset, uint64_t slba);

	/* Submit what was prepared, and wait for one completion or a signal. */
	int (*submit)(struct bench_queue *q);

	/* Completions, up to @max, with the tag as user_data. */
	int (*reap)(struct bench_queue *q, struct nvme_dmabuf_completion *cpls, uint32_t max);

	/* May be called at any stage of open. */
	void (*close)(struct bench_queue *q);
};

/* Of the library, and of the kernel. */
extern const struct bench_path bench_path_library;
extern const struct bench_path bench_path_kernel;

/* Say why a path cannot be used. Returns -EOPNOTSUPP. */
int bench_obstacle(struct bench_queue *q, const char *reason, const char *fmt, ...) PRINTF(3, 4);

/* How commands failed, and how many did so. */
struct bench_error {
	struct nvme_dmabuf_completion example;
	uint64_t count;
};

#define BENCH_MAX_ERRORS 8

enum bench_state {
	BENCH_MEASURED,
	BENCH_SKIPPED,	   /* cannot be measured here */
	BENCH_FAILED,	   /* should have been possible */
	BENCH_WRONG_DATA,  /* moved something else than it should have */
	BENCH_INTERRUPTED, /* by a signal */
};

struct bench_result {
	enum bench_path_id path;
	enum bench_state state;
	const char *reason; /* why it was not measured */
	char message[480];
	const char *memory;
	bool only_zeroes; /* the comparison could not have shown much */

	/* If it was. */
	struct histogram latency; /* nanoseconds; of those that succeeded */
	uint64_t elapsed_ns;
	uint64_t user_ns;
	uint64_t system_ns;
	uint64_t errors;
	struct bench_error kinds[BENCH_MAX_ERRORS]; /* the first that were seen */
	unsigned int kind_count;
};

/* How many commands have room side by side in the buffer, and in the range. */
uint32_t bench_slots(const struct bench_queue *q);
uint64_t bench_places(const struct bench_queue *q);
uint64_t bench_slba(const struct bench_queue *q, uint64_t place);

/*
 * A few commands, compared with what the block layer reads. Returns whether data
 * moved as it should; if not, @result tells what was wrong.
 */
bool bench_verify(struct bench_queue *q, struct bench_result *result);

/* Verify, then measure. @result->path is set; the rest is made here. */
void bench_measure(struct bench *b, const struct bench_point *point, struct bench_result *result);

/* The report: what is common to all, and what each path of one point gave. */
void bench_report_begin(struct bench *b);
void bench_report_point(struct bench *b, const struct bench_point *point,
			const struct bench_result *results, unsigned int count);

/* "random read, 4 KiB, depth 8" */
const char *bench_point_text(const struct bench_point *point, char *text, size_t size);

#endif /* NVME_DMABUF_TOOL_BENCH_H */
