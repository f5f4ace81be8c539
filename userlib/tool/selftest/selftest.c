// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf selftest: the command line, and the list of results. The results
 * are in TAP, for people and for prove(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../subcommands.h"
#include "selftest.h"

static const char help[] =
	"Usage: nvme-dmabuf selftest NAMESPACE|FILE [OPTION]...\n"
	"       nvme-dmabuf selftest NAMESPACE|FILE --write --start LBA [OPTION]...\n"
	"Check that data moves right between this namespace, or FILE on one, and dma-bufs:\n"
	"random reads compared with the block layer's, memory around them, and refusals.\n"
	"Changes nothing without --write.\n"
	"\n"
	"  --buffer KIND    test one exporter: " EXPORTER_HELP "\n"
	"                   (default: all there are, but for V4L2 and vfio)\n"
	"  --rounds N       rounds of up to 8 commands for each exporter (default 32)\n"
	"  --seed N         repeat the random choices of an earlier run\n"
	"  -v, --show-map   show how each buffer is mapped, and where it is\n"
	"  --json           print JSON\n"
	"  -h, --help       this text\n"
	"\n"
	"Options of the part that OVERWRITES data, and puts it back at the end:\n"
	"  --write          test writing too, after showing what will be overwritten and\n"
	"                   asking for the serial number of the drive, or the path of FILE\n"
	"  --start LBA      first logical block to overwrite; no default\n"
	"  --count BLOCKS   logical blocks to overwrite (default: 4 MiB)\n"
	"  --save COPY      keep what was there in this file too\n"
	"  --yes-overwrite=SERIAL|FILE\n"
	"                   do not ask if this is the drive's serial number, or FILE again\n"
	"\n"
	"See nvme-dmabuf(8).\n";

enum {
	OPT_BUFFER = 256,
	OPT_ROUNDS,
	OPT_SEED,
	OPT_JSON,
	OPT_WRITE,
	OPT_START,
	OPT_COUNT,
	OPT_SAVE,
	OPT_YES,
};

static const struct option options[] = { { "buffer", required_argument, NULL, OPT_BUFFER },
					 { "rounds", required_argument, NULL, OPT_ROUNDS },
					 { "seed", required_argument, NULL, OPT_SEED },
					 { "show-map", no_argument, NULL, 'v' },
					 { "json", no_argument, NULL, OPT_JSON },
					 { "write", no_argument, NULL, OPT_WRITE },
					 { "start", required_argument, NULL, OPT_START },
					 { "count", required_argument, NULL, OPT_COUNT },
					 { "save", required_argument, NULL, OPT_SAVE },
					 { "yes-overwrite", required_argument, NULL, OPT_YES },
					 { "help", no_argument, NULL, 'h' },
					 { 0 } };

static void add_result(struct selftest *st, const char *result, const char *part, const char *fmt,
		       va_list args)
{
	struct json_object *obj = append_new_object(st->results);
	unsigned int number = st->passed + st->failed + st->skipped;
	char message[640];

	vsnprintf(message, sizeof(message), fmt, args);
	put_str(obj, "part", part);
	put_str(obj, "result", result);
	put_str(obj, "message", message);
	if (report_json())
		return;
	if (strcmp(result, "skip") == 0)
		printf("ok %u - %s # SKIP %s\n", number, part, message);
	else
		printf("%s %u - %s: %s\n", strcmp(result, "pass") == 0 ? "ok" : "not ok", number,
		       part, message);
	fflush(stdout);
}

void selftest_pass(struct selftest *st, const char *part, const char *fmt, ...)
{
	va_list args;

	st->passed++;
	va_start(args, fmt);
	add_result(st, "pass", part, fmt, args);
	va_end(args);
}

void selftest_fail(struct selftest *st, const char *part, const char *fmt, ...)
{
	va_list args;

	st->failed++;
	va_start(args, fmt);
	add_result(st, "fail", part, fmt, args);
	va_end(args);
}

void selftest_skip(struct selftest *st, const char *part, const char *fmt, ...)
{
	va_list args;

	st->skipped++;
	va_start(args, fmt);
	add_result(st, "skip", part, fmt, args);
	va_end(args);
}

void selftest_note(const char *fmt, ...)
{
	va_list args;

	if (report_json())
		return;
	fputs("# ", stdout);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

static int parse_option(struct selftest *st, int opt)
{
	switch (opt) {
	case OPT_BUFFER:
		return exporter_parse_or_report(optarg, &st->exporter);
	case OPT_ROUNDS:
		return report_parse_value("--rounds", optarg, parse_number, &st->rounds);
	case OPT_SEED:
		st->has_seed = true;
		return report_parse_value("--seed", optarg, parse_number, &st->seed);
	case OPT_START:
		st->has_start = true;
		return report_parse_value("--start", optarg, parse_number, &st->start);
	case OPT_COUNT:
		st->has_count = true;
		return report_parse_value("--count", optarg, parse_number, &st->count);
	case OPT_JSON:
		report_use_json();
		return TOOL_OK;
	case OPT_WRITE:
		st->write = true;
		return TOOL_OK;
	case OPT_SAVE:
		st->save_file = optarg;
		return TOOL_OK;
	case OPT_YES:
		st->confirmed = optarg;
		return TOOL_OK;
	case 'v':
		st->show_map = true;
		return TOOL_OK;
	case 'h':
		st->help = true;
		return TOOL_OK;
	default:
		return TOOL_USAGE;
	}
}

static int parse(struct selftest *st, int argc, char **argv)
{
	int opt, ret;

	memset(st, 0, sizeof(*st));
	st->ns.fd = -1;
	st->direct.fd = -1;
	st->rounds = 32;
	exporter_parse("auto", &st->exporter);

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":vh", options, NULL)) != -1) {
		if (opt == '?' || opt == ':')
			return report_bad_option(opt, argv);
		ret = parse_option(st, opt);
		if (ret || st->help)
			return ret;
	}
	ret = report_parse_namespace(argc, argv, &st->ns_word);
	if (ret)
		return ret;
	if (!st->rounds || st->rounds > 1000000)
		return report_usage("--rounds must be from 1 to 1000000");
	if (!st->write && (st->has_start || st->has_count || st->save_file || st->confirmed))
		return report_usage("--start, --count, --save and --yes-overwrite need --write");
	if (st->write && !st->has_start)
		return report_usage("which blocks may be overwritten? Give --start LBA");
	if (st->has_count && !st->count)
		return report_usage("--count must not be 0");
	return TOOL_OK;
}

/* Reports if random reads would meet what no drive can read. */
static int choose_blocks(struct selftest *st)
{
	struct nvme_dmabuf_ns_info whole = st->info;

	file_leave_out_tail(&st->ns, &whole);
	st->blocks = whole.out_capacity;
	if (!st->blocks)
		return report_error(TOOL_REFUSED, "too-small",
				    "%s has no whole block that could be read", st->ns.path);
	return file_check_holes(&st->ns, &st->info, 0, st->blocks);
}

static int open_namespace(struct selftest *st)
{
	int ret;

	ret = module_open(&st->ctx, &st->module, NULL);
	if (ret)
		return ret;
	ret = ns_open_for_test(&st->ns, st->ns_word, st->write);
	if (ret)
		return ret;
	ret = ns_query(st->ctx, &st->ns, &st->info);
	if (ret)
		return ret;
	ret = choose_blocks(st);
	if (ret)
		return ret;
	/*
	 * Without a claim nothing is known of who writes: the test must be lenient. While a
	 * file is attached nobody can write to it.
	 */
	st->busy = !st->write && !st->ns.is_file && ns_is_busy(&st->ns);
	return direct_open_or_report(&st->direct, &st->ns, &st->info, st->write);
}

/* It is read as without --write, and closed before the module writes to it. Reports. */
static int open_file_for_reading(struct selftest *st)
{
	int fd;

	ns_close(&st->ns);
	fd = file_reopen(&st->ns, O_RDONLY);
	if (fd < 0)
		return ns_report_open(&st->ns, O_RDONLY, fd);
	st->ns.fd = fd;
	st->ns.writes = false;
	return TOOL_OK;
}

static void close_file_for_writing(struct selftest *st)
{
	ns_close(&st->ns);
	st->ns.writes = true;
}

uint64_t selftest_random(struct selftest *st, uint64_t limit)
{
	return random_below(&st->random, limit);
}

static void seed(struct selftest *st)
{
	if (!st->has_seed)
		st->seed = random_seed();
	st->random = st->seed;
	put_u64(report_root(), "seed", st->seed);
}

/* All exporters but those that are used on request only. */
static int list_exporters(struct exporter **list)
{
	int count = exporter_list(list), kept = 0;

	if (count < 0)
		return count;
	for (int i = 0; i < count; i++)
		if (!(*list)[i].on_request)
			(*list)[kept++] = (*list)[i];
	return kept;
}

/* The exporters to test: the one asked for, or all. */
static int choose_exporters(struct selftest *st, struct exporter **list)
{
	if (exporter_is_auto(&st->exporter))
		return list_exporters(list);
	*list = malloc(sizeof(**list));
	if (!*list)
		return -ENOMEM;
	**list = st->exporter;
	return 1;
}

static int conclude(struct selftest *st)
{
	struct json_object *root = report_root();

	put_u64(root, "passed", st->passed);
	put_u64(root, "failed", st->failed);
	put_u64(root, "skipped", st->skipped);
	if (!report_json())
		printf("1..%u\n", st->passed + st->failed + st->skipped);
	if (stop_requested())
		return report_error(TOOL_FAILED, "interrupted", "stopped by a signal");
	if (st->failed)
		return report_error(TOOL_FAILED, "selftest-failed",
				    "%u of %u checks failed; do not trust %s with data here",
				    st->failed, st->passed + st->failed, "/dev/nvme-dmabuf");
	if (!st->passed && !exporter_is_auto(&st->exporter))
		return report_error(TOOL_FAILED, "nothing-tested",
				    "nothing could be tested with %s; try another --buffer",
				    st->exporter.name);
	if (!st->passed)
		return report_error(
			TOOL_FAILED, "nothing-tested",
			"nothing could be tested: no dma-buf exporter works; 'nvme-dmabuf info' shows what they need");
	return TOOL_OK;
}

static void begin_results(struct selftest *st)
{
	put_str(report_root(), "namespace", st->ns.path);
	st->results = put_new_array(report_root(), "results");
	if (st->show_map)
		st->maps = put_new_object(report_root(), "maps");
	if (!report_json())
		printf("TAP version 13\n");
	selftest_note("%s, %" PRIu64 " blocks of %" PRIu32 " bytes; --seed %" PRIu64
		      " repeats this run",
		      st->ns.path, (uint64_t)st->info.out_capacity, st->info.out_block_size,
		      st->seed);
}

static int run(struct selftest *st)
{
	struct exporter *list;
	int count, ret;
	bool writes;

	ret = open_namespace(st);
	if (ret)
		return ret;
	stop_on_signals();
	writes = st->write && !(st->info.out_flags & NVME_DMABUF_NS_ZONED);
	if (writes) {
		ret = selftest_write_prepare(st);
		if (ret)
			return ret;
	}
	if (st->ns.writes) {
		ret = open_file_for_reading(st);
		if (ret)
			return ret;
	}
	count = choose_exporters(st, &list);
	if (count < 0)
		return report_error(TOOL_FAILED, "no-exporter-list",
				    "cannot look for dma-buf exporters: %s", strerror(-count));
	seed(st);
	begin_results(st);
	for (int i = 0; i < count && !stop_requested(); i++)
		selftest_read_exporter(st, &list[i]);
	/* Where reading goes wrong, nothing shall be written. */
	if (writes && !st->failed && !stop_requested()) {
		if (st->ns.is_file)
			close_file_for_writing(st);
		selftest_write(st, list, count);
	} else if (st->write && !writes) {
		selftest_skip(
			st, "writing",
			"not tested, since a zoned namespace can only be read; nothing was written");
	} else if (st->write) {
		selftest_skip(
			st, "writing",
			"not tested, since the part before did not end well; nothing was written");
	}
	free(list);
	return conclude(st);
}

int cmd_selftest(int argc, char **argv)
{
	struct selftest st;
	int ret;

	ret = parse(&st, argc, argv);
	if (ret)
		return ret;
	if (st.help)
		return report_help(help);
	ret = run(&st);
	selftest_write_free(&st);
	direct_close(&st.direct);
	ns_close(&st.ns);
	nvmedmabuf_close(st.ctx);
	return ret;
}
