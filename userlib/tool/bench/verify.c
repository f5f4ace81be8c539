// SPDX-License-Identifier: MIT
/*
 * What comes before a measurement: a few commands by the same path, of the same
 * size and as many at once, compared with what the block layer reads. Figures of
 * a path that moves the wrong data are never shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* How much is compared, but for one command that is larger. */
#define MAX_BYTES (8 * MIB)

/* A namespace in use changes under the comparison; then look again, this often. */
#define RETRIES 4

/* At least so many commands, even if only one is in flight at a time. */
#define MIN_COMMANDS 16

#define REAP_MAX 64

struct verify {
	struct bench_queue *q;
	struct bench_result *result;
	uint32_t count;
	uint64_t *slbas;
	uint8_t *expected; /* one command's data, by the block layer */
	uint32_t salt;
};

static bool end(struct verify *v, enum bench_state state, const char *reason, const char *text)
{
	v->result->state = state;
	v->result->reason = reason;
	snprintf(v->result->message, sizeof(v->result->message), "%s", text);
	return false;
}

static bool end_with(struct verify *v, const char *what, int err)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s", what, strerror(-err));
	return end(v, BENCH_FAILED, "not-verified", text);
}

static bool cpu_begin(struct verify *v, int flags)
{
	struct nvmedmabuf_buffer *buf = v->q->buf;
	int ret = buf ? nvmedmabuf_buffer_begin_cpu(buf, flags) : 0;

	return ret ? end_with(v, "the CPU may not use the buffer", ret) : true;
}

static bool cpu_end(struct verify *v, int flags)
{
	struct nvmedmabuf_buffer *buf = v->q->buf;
	int ret = buf ? nvmedmabuf_buffer_end_cpu(buf, flags) : 0;

	return ret ? end_with(v, "the buffer cannot be given back", ret) : true;
}

/* All of the buffer: whatever is written later shall not be zeroes. */
static bool fill(struct verify *v)
{
	if (!cpu_begin(v, NVMEDMABUF_CPU_WRITE))
		return false;
	v->salt = random_below(&v->q->bench->random, UINT32_MAX);
	pattern_fill(v->q->mem, 0, v->q->bench->channel.size, v->salt);
	return cpu_end(v, NVMEDMABUF_CPU_WRITE);
}

/* Commands in flight together share no block: one in each part of the range. */
static void plan(struct verify *v)
{
	uint64_t places = bench_places(v->q), share = places / v->count;

	for (uint32_t i = 0; i < v->count; i++)
		v->slbas[i] =
			bench_slba(v->q, i * share + random_below(&v->q->bench->random, share));
}

/* What the block layer allows for one command of a drive; nothing if that is not known. */
static void block_limits(const char *disk, char *text, size_t size)
{
	static const char fmt[] = "/sys/class/block/%s/queue/%s";
	char kib[16], segments[16];

	if (!sysfs_read(kib, sizeof(kib), fmt, disk, "max_hw_sectors_kb") &&
	    !sysfs_read(segments, sizeof(segments), fmt, disk, "max_segments"))
		snprintf(text, size, "; the block layer's limits for it: %s KiB, %s segments", kib,
			 segments);
}

/*
 * A path that is there for comparison may have limits that the module's do not
 * have; then it is not measured, and that is all.
 */
static bool command_failed(struct verify *v, const struct nvme_dmabuf_completion *cpl)
{
	const struct bench *b = v->q->bench;
	bool refused = v->q->path == &bench_path_kernel &&
		       (cpl->error == -EINVAL || cpl->error == -EOPNOTSUPP);
	char size[SIZE_TEXT], what[256], limits[96] = "", text[400];

	/* A signal came while it waited to start a map again. */
	if (cpl->error == -EINTR && stop_requested())
		return end(v, BENCH_INTERRUPTED, "interrupted", "stopped by a signal");
	if (cpl->error == -EINVAL)
		block_limits(b->ns.disk, limits, sizeof(limits));
	snprintf(text, sizeof(text), "a command of %s failed: %s%s",
		 size_text(v->q->point->size, size),
		 nvmedmabuf_error_text(what, sizeof(what), 0, 0, cpl), refused ? limits : "");
	if (!refused)
		return end(v, BENCH_FAILED, cpl->error ? "command-failed" : "nvme-status", text);
	return end(v, BENCH_SKIPPED, "refused", text);
}

static bool run_commands(struct verify *v)
{
	struct nvme_dmabuf_completion cpls[REAP_MAX];
	const struct bench_path *path = v->q->path;
	uint32_t done = 0;
	int ret = 0;

	for (uint32_t i = 0; i < v->count && !ret; i++)
		ret = path->prepare(v->q, i, i * v->q->point->size, v->slbas[i]);
	while (!ret && done < v->count) {
		ret = path->submit(v->q);
		if (stop_requested())
			return end(v, BENCH_INTERRUPTED, "interrupted", "stopped by a signal");
		if (ret == -EINTR || ret == -EAGAIN)
			ret = 0;
		if (ret)
			break;
		ret = path->reap(v->q, cpls, REAP_MAX);
		for (int i = 0; i < ret; i++) {
			if (cpls[i].error || cpls[i].status)
				return command_failed(v, &cpls[i]);
			done++;
		}
		ret = ret < 0 ? ret : 0;
	}
	return ret ? end_with(v, "commands were not taken", ret) : true;
}

/* The first command whose data differs, or the count. */
static uint32_t find_difference(struct verify *v, int *err)
{
	uint64_t size = v->q->point->size;
	uint32_t i;

	for (i = 0; i < v->count; i++) {
		*err = direct_read(&v->q->bench->direct, v->expected, v->slbas[i], size);
		if (*err || memcmp(v->q->mem + i * size, v->expected, size) != 0)
			break;
		v->result->only_zeroes &= is_zero(v->expected, size);
	}
	return i;
}

static bool report_difference(struct verify *v, uint32_t command)
{
	uint64_t size = v->q->point->size;
	uint64_t at = first_difference(v->q->mem + command * size, v->expected, size);
	char text[200];

	snprintf(text, sizeof(text),
		 "what was %s differs from what pread reads at byte %" PRIu64 " of the %" PRIu64
		 " from block %" PRIu64 " on",
		 v->q->point->direction == BENCH_WRITE ? "written" : "read", at, size,
		 v->slbas[command]);
	return end(v, BENCH_WRONG_DATA, "wrong-data", text);
}

/* One round of commands; *@again says that it may be someone else's doing. */
static bool run_round(struct verify *v, bool may_change, bool *again)
{
	uint32_t differs;
	bool good;
	int err = 0;

	*again = false;
	plan(v);
	if (!fill(v) || !run_commands(v) || !cpu_begin(v, NVMEDMABUF_CPU_READ))
		return false;
	differs = find_difference(v, &err);
	if (err)
		good = end_with(v, "the block layer cannot read the same blocks", err);
	else if (differs == v->count)
		good = true;
	else
		good = report_difference(v, differs);
	*again = !good && !err && may_change;
	return cpu_end(v, NVMEDMABUF_CPU_READ) && good;
}

static uint32_t command_count(const struct bench_queue *q)
{
	uint64_t n = MAX_BYTES / q->point->size;

	if (n > q->point->depth)
		n = q->point->depth;
	if (n > bench_places(q))
		n = bench_places(q);
	return n ? n : 1;
}

/* A difference is forgiven if the next comparison finds none. */
static bool run_rounds(struct verify *v)
{
	unsigned int tries = 0;
	bool again;

	for (uint32_t done = 0; done < MIN_COMMANDS;) {
		if (run_round(v, v->q->bench->busy && ++tries < RETRIES, &again)) {
			done += v->count;
			tries = 0;
		} else if (!again) {
			return false;
		}
	}
	return true;
}

bool bench_verify(struct bench_queue *q, struct bench_result *result)
{
	struct verify v = { .q = q, .result = result, .count = command_count(q) };
	bool good = false;

	result->only_zeroes = true;
	v.slbas = calloc(v.count, sizeof(*v.slbas));
	v.expected = direct_alloc(q->point->size);
	if (!v.slbas || !v.expected)
		end_with(&v, "the data cannot be compared", -ENOMEM);
	else
		good = run_rounds(&v);
	free(v.slbas);
	free(v.expected);
	return good;
}
