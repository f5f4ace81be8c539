// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O that takes long enough to do something meanwhile. See slow.h.
 */
#define _GNU_SOURCE
#include "slow.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void slow_commands(struct nvme_dmabuf_command *commands, uint32_t map, uint32_t block)
{
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		nvmedmabuf_prep_read(&commands[i], map, i * SLOW_LENGTH, SLOW_LENGTH,
				     i * (SLOW_LENGTH / block));
		commands[i].user_data = i;
	}
}

/* /proc shows a system call's number and arguments only while it sleeps. */
bool is_waiting_in(pid_t thread, unsigned long request)
{
	unsigned long call, fd, actual;
	char path[64];
	bool waiting;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", thread);
	f = fopen(path, "r");
	if (!f)
		return false;
	waiting = fscanf(f, "%lu %lx %lx", &call, &fd, &actual) == 3 && call == SYS_ioctl &&
		  actual == request;
	fclose(f);
	return waiting;
}

bool is_waiting(pid_t thread)
{
	return is_waiting_in(thread, NVME_DMABUF_IOC_SUBMIT);
}

static void *submitter_run(void *arg)
{
	struct submitter *s = arg;

	s->thread = gettid();
	s->result = nvmedmabuf_submit(s->ctx, s->commands, s->completions, SLOW_COMMANDS);
	return NULL;
}

void submitter_start(struct submitter *s, struct nvmedmabuf *ctx, uint32_t map, uint32_t block)
{
	s->ctx = ctx;
	s->thread = 0;
	slow_commands(s->commands, map, block);
	memset(s->completions, 0xff, sizeof(s->completions));
	check_eq(pthread_create(&s->handle, NULL, submitter_run, s), 0);
	wait_until(s->thread && is_waiting(s->thread));
}

void submitter_join(struct submitter *s)
{
	check_eq(pthread_join(s->handle, NULL), 0);
	check_eq(s->result, SLOW_COMMANDS);
}

void check_all_read(const struct submitter *s)
{
	for (unsigned int i = 0; i < SLOW_COMMANDS; i++) {
		check_eq(s->completions[i].error | s->completions[i].status, 0);
		check_eq(s->completions[i].bytes, SLOW_LENGTH);
	}
}
