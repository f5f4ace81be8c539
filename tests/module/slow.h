/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands that stay in flight for a second or two, because the drive is slow,
 * and threads that wait for them.
 */
#ifndef TESTS_MODULE_SLOW_H
#define TESTS_MODULE_SLOW_H

#include <pthread.h>
#include <sys/types.h>

#include "rig.h"

#define SLOW_COMMANDS 24U
#define SLOW_LENGTH   (64 * KIB)
#define SLOW_SPEED    MIB /* a second, as tests/vm/drives.sh makes the drive SLOW */

/** slow_commands - reads of the first 1.5 MiB; user_data counts them */
void slow_commands(struct nvme_dmabuf_command *commands, uint32_t map, uint32_t block);

/** is_waiting_in - is this thread in the kernel, waiting in this ioctl? */
bool is_waiting_in(pid_t thread, unsigned long request);

/** is_waiting - is it waiting for commands? */
bool is_waiting(pid_t thread);

/**
 * struct submitter - a thread that submits slow commands and waits for them
 * @ctx: the context
 * @commands, @completions: what it submits
 * @thread: its number, once it runs
 * @result: of nvmedmabuf_submit()
 */
struct submitter {
	struct nvmedmabuf *ctx;
	struct nvme_dmabuf_command commands[SLOW_COMMANDS];
	struct nvme_dmabuf_completion completions[SLOW_COMMANDS];
	volatile pid_t thread;
	int result;
	pthread_t handle;
};

/** submitter_start - returns when the drive has work to do */
void submitter_start(struct submitter *s, struct nvmedmabuf *ctx, uint32_t map, uint32_t block);
void submitter_join(struct submitter *s);

/** check_all_read - all commands succeeded */
void check_all_read(const struct submitter *s);

#endif
