/* SPDX-License-Identifier: MIT */
/*
 * The subcommands: main.c calls them, and their own files define them. argv[0] is the
 * subcommand's name. Each returns an exit code.
 */
#ifndef NVME_DMABUF_TOOL_SUBCOMMANDS_H
#define NVME_DMABUF_TOOL_SUBCOMMANDS_H

int cmd_info(int argc, char **argv);
int cmd_peers(int argc, char **argv);
int cmd_read(int argc, char **argv);
int cmd_write(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif /* NVME_DMABUF_TOOL_SUBCOMMANDS_H */
