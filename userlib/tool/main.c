// SPDX-License-Identifier: MIT
/*
 * nvme-dmabuf: looks at, tests and uses /dev/nvme-dmabuf from the command line.
 * This file finds the subcommand. info/, copy/, selftest/ and bench/ have the
 * subcommands and do not know each other. They share device/ and common/.
 */
#include <stdio.h>
#include <string.h>

#include <nvmedmabuf.h>

#include "common/common.h"
#include "subcommands.h"

static const struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);
} subcommands[] = {
	/* clang-format off */
	{ "info", cmd_info },
	{ "peers", cmd_peers },
	{ "read", cmd_read },
	{ "write", cmd_write },
	{ "selftest", cmd_selftest },
	{ "bench", cmd_bench },
	/* clang-format on */
};

#define HELP                                                                               \
	"Usage: nvme-dmabuf SUBCOMMAND [OPTION]... [ARGUMENT]...\n"                        \
	"Move data between dma-bufs and NVMe namespaces, by /dev/nvme-dmabuf.\n"           \
	"\n"                                                                               \
	"Subcommands:\n"                                                                   \
	"  info       show what can be used, and why the rest cannot\n"                    \
	"  peers      show which PCI devices' memory a drive can reach, and why not\n"     \
	"  read       copy from a namespace to a file, through a dma-buf\n"                \
	"  write      copy from a file to a namespace, through a dma-buf\n"                \
	"  selftest   check that data moves right on this machine\n"                       \
	"  bench      measure a drive, by this module and by the kernel's own paths\n"     \
	"\n"                                                                               \
	"  --help     this text; 'nvme-dmabuf SUBCOMMAND --help' tells more\n"             \
	"  --version  the tool's version\n"                                                \
	"\n"                                                                               \
	"Exit codes: 0 all went well, 1 the operation failed, 2 wrong usage,\n"            \
	"3 no module or no access to it, 4 the namespace cannot or must not be used, or\n" \
	"the peer not be reached.\n"                                                       \
	"See nvme-dmabuf(8) and nvme-dmabuf(7).\n"

static int show_version(void)
{
	put_str(report_root(), "tool_version", nvmedmabuf_version());
	if (!report_json())
		printf("nvme-dmabuf %s\n", nvmedmabuf_version());
	return TOOL_OK;
}

/* Even an error in the options before --json must come out as JSON. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--json") == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	bool json = wants_json(argc, argv);

	for (size_t i = 0; word && i < ARRAY_SIZE(subcommands); i++) {
		if (strcmp(word, subcommands[i].name) == 0) {
			report_begin(word, json);
			return report_end(subcommands[i].run(argc - 1, argv + 1));
		}
	}

	report_begin(NULL, json);
	if (!word)
		return report_end(report_usage("no subcommand"));
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return report_end(report_help(HELP));
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return report_end(show_version());
	return report_end(
		report_usage("unknown %s '%s'", word[0] == '-' ? "option" : "subcommand", word));
}
