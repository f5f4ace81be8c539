// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors of who may do what: what only an administrator may ask for, devices that the
 * kernel itself uses; and what the block layer's users see of each other.
 */
#define _GNU_SOURCE
#include "errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NOBODY 65534

static void check_completion(const struct nvme_dmabuf_completion *c, int error, uint32_t reason)
{
	check_that(c->error == error && c->reason == reason, "error %d, reason %s, not %d, %s",
		   c->error, nvmedmabuf_reason_name(c->reason), error,
		   nvmedmabuf_reason_name(reason));
	check_eq(c->status, 0);
}

/* One command, by SUBMIT and by a queue. */
static void check_both_ways(struct fixture *f, struct line *line,
			    const struct nvme_dmabuf_command *command, int error, uint32_t reason)
{
	struct nvme_dmabuf_completion c;

	check_eq(nvmedmabuf_submit(f->rig.ctx, command, &c, 1), 1);
	check_completion(&c, error, reason);
	line_submit(line, command, 1);
	line_wait(line, 1);
	check(line_next(line, &c));
	check_completion(&c, error, reason);
}

/* Others would feel the reset that a short timeout leads to. */
static void timeout_of_user(const void *arg)
{
	struct nvme_dmabuf_command command;
	struct fixture f;
	struct line line;
	char text[16];
	uint32_t ms;

	(void)arg;
	fixture_open(&f);
	line_open(&line, f.fd, 1, 0, 0);
	check(drive_attribute(f.rig.drive.path, "queue/io_timeout", text, sizeof(text)));
	ms = atoi(text);
	nvmedmabuf_prep_read(&command, f.rig.map, 0, f.rig.drive.block, f.rig.first);
	command.timeout_ms = ms - 1000;
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	check_sys(seteuid(NOBODY));
	check_both_ways(&f, &line, &command, -EPERM, NVME_DMABUF_REASON_TIMEOUT_SHORT);
	command.timeout_ms = 1000;
	check_both_ways(&f, &line, &command, -EPERM, NVME_DMABUF_REASON_TIMEOUT_SHORT);
	command.timeout_ms = ms;
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	command.timeout_ms = ms + 1000;
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	command.timeout_ms = 0;
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	check_sys(seteuid(0));
	line_close(&line);
}

/* A device that may be open for others than the test. */
static int open_shared(const char *path, int flags)
{
	return check_sys(open(path, O_RDWR | O_CLOEXEC | flags));
}

static void swap(const void *arg)
{
	const char *path = drive_path("SMALLMDTS");
	struct nvme_dmabuf_command command;
	uint32_t before, reading, map, reason;
	struct fixture f;
	struct line line;
	int ns, result;

	(void)arg;
	require_erase();
	require_disposable();
	fixture_open(&f);
	line_open(&line, f.fd, 1, 0, 0);
	ns = open_shared(path, O_DIRECT);
	before = attach(f.rig.ctx, f.rig.buffer.fd, ns, 0, 8 * PAGE, ACCESS_BOTH);
	if (!run_quietly("mkswap -q %s && swapon %s", path, path))
		skip("this machine makes no swap space");

	result = attach_to(f.rig.ctx, f.rig.buffer.fd, ns, 0, 8 * PAGE, ACCESS_BOTH, 0, &map,
			   &reason);
	check_eq(result, -ETXTBSY);
	check_eq(reason, NVME_DMABUF_REASON_SWAP);
	/* One that was there before obeys as well, also if it was used last. */
	nvmedmabuf_prep_read(&command, before, 0, 4 * PAGE, 0);
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_prep_write(&command, before, 0, 4 * PAGE, 0);
	for (unsigned int i = 0; i < 2; i++)
		check_both_ways(&f, &line, &command, -ETXTBSY, NVME_DMABUF_REASON_SWAP);
	reading = attach(f.rig.ctx, f.rig.buffer.fd, ns, 0, 8 * PAGE, NVME_DMABUF_ACCESS_READ);
	nvmedmabuf_prep_read(&command, reading, 0, 4 * PAGE, 0);
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);

	check(run_quietly("swapoff %s", path));
	nvmedmabuf_prep_write(&command, before, 0, 4 * PAGE, 0);
	check_both_ways(&f, &line, &command, 0, NVME_DMABUF_REASON_NONE);
	close(ns);
	line_close(&line);
}

/*
 * Maps read what was written to the page cache before they were made, and the page cache
 * has nothing old when they are gone.
 */
static void page_cache(const void *arg)
{
	const char *path = drive_path("SMALLMDTS");
	uint8_t *data = pages_alloc(16 * PAGE), *found = pages_alloc(16 * PAGE);
	int cached = open_shared(path, 0), ns = open_shared(path, O_DIRECT);
	struct nvme_dmabuf_completion c;
	struct buffer buffer;
	struct nvmedmabuf *ctx = ctx_open();
	uint32_t map;

	(void)arg;
	require_erase();
	buffer_alloc(&buffer, exporter_any(), 16 * PAGE);
	rnd_fill(data, 16 * PAGE);
	check_eq(pwrite(cached, data, 16 * PAGE, 0), 16 * PAGE);
	map = attach(ctx, buffer.fd, ns, 0, 16 * PAGE, NVME_DMABUF_ACCESS_READ);
	check_eq(nvmedmabuf_read(ctx, map, 0, 16 * PAGE, 0, &c), 0);
	check_eq(nvmedmabuf_detach(ctx, map), 0);
	buffer_begin_cpu(&buffer);
	compare("what was cached", buffer.addr, data, 16 * PAGE, 0);
	rnd_fill(buffer.addr, 16 * PAGE);
	memcpy(data, buffer.addr, 16 * PAGE);
	buffer_end_cpu(&buffer);

	check_eq(pread(cached, found, 16 * PAGE, 0), 16 * PAGE);
	map = attach(ctx, buffer.fd, ns, 0, 16 * PAGE, NVME_DMABUF_ACCESS_WRITE);
	check_eq(nvmedmabuf_write(ctx, map, 0, 16 * PAGE, 0, &c), 0);
	check_eq(nvmedmabuf_detach(ctx, map), 0);
	check_eq(pread(cached, found, 16 * PAGE, 0), 16 * PAGE);
	compare("what is cached", found, data, 16 * PAGE, 0);
	close(ns);
	close(cached);
}

void errors_add_who(void)
{
	tap_add(timeout_of_user, NULL, "a user's short timeout");
	tap_add(swap, NULL, "swap space");
	tap_add(page_cache, NULL, "the block device's page cache");
}
