// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test writes to attached files: what arrives is what read(2) gives, at once and after a
 * crash of the file system, and nothing else on the drive changes. Nobody else has the file
 * open meanwhile; whoever opens it waits, and sees all that was written. And it tries what must
 * not be written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "file_rig.h"
#include "line.h"
#include "qmp.h"
#include "throttled.h"
#include "ways.h"

#define NOBODY	 65534
#define BYTES	 MIB
#define COMMANDS 16U
#define SPEED	 MIB /* a second */

#define DEFER NVME_DMABUF_ATTACH_DEFER
#define AUTO  NVME_DMABUF_ATTACH_AUTO_REFRESH
#define BUSY  -EBUSY, NVME_DMABUF_REASON_FILE_BUSY
#define FINE  0, NVME_DMABUF_REASON_NONE

static struct filesystem *const xfs = &filesystems[0], *const ext4 = &filesystems[2];

struct written {
	struct file_rig rig;
	struct file file;
};

/* In one piece, on the drive, and attached. */
static void written_open(struct written *w, const void *arg, uint32_t access, uint32_t flags)
{
	struct filesystem *fs = (struct filesystem *)arg;

	filesystem_mount(fs);
	file_create(fs, &w->file, "file", BYTES);
	file_rig_open(&w->rig, fs, &w->file, BYTES);
	file_rig_attach_written(&w->rig, access, flags);
}

/* Once nobody has it attached, anybody sees what was written. */
static void written_close(struct written *w)
{
	file_rig_close(&w->rig);
	check_eq(file_leases(&w->file), 0);
	file_verify(&w->file, -1);
	file_sync(&w->file);
	file_verify(&w->file, -1);
	file_remove(&w->file);
}

/* The order of things: attached, closed, refreshed. */
static void deferred(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct nvme_dmabuf_event event;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct file_rig rig;
	struct file file;
	uint32_t reason;
	int other;

	filesystem_mount(fs);
	file_create(fs, &file, "file", BYTES);
	file_rig_open(&rig, fs, &file, BYTES);
	rig.access = ACCESS_BOTH;
	file_open(&file, O_RDWR);
	other = check_sys(dup(file.fd));
	check_eq(file_rig_try(&rig, file.fd, ACCESS_BOTH, DEFER, &rig.map, &reason), 0);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	file_rig_info(&rig, &info);
	check_eq(info.out_state, NVME_DMABUF_STATE_REVOKED);
	check_eq(info.out_generation, 0);
	check_eq(file_leases(&file), 0);
	check_eq(nvmedmabuf_get_events(rig.ctx, &event, 1), 0);
	file_rig_refused(&rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_DEFERRED);
	file_rig_write_refused(&rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_DEFERRED);
	file_rig_refresh(&rig, BUSY);
	file_close(&file);
	file_rig_refresh(&rig, BUSY);
	file_rig_write_refused(&rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_DEFERRED);
	check_sys(close(other));
	file_rig_refresh(&rig, FINE);
	file_rig_info(&rig, &info);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_extents, 1);
	check_eq(file_leases(&file), filesystem_is(fs, "xfs") ? 3 : 2);
	file_rig_write(&rig, 0, BYTES, 0);
	file_rig_read(&rig, 0, BYTES, 0);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* The library opens, attaches, closes and refreshes. */
static void by_path(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = NVMEDMABUF_ACCESS_READ_WRITE,
		.length = BYTES,
	};
	struct nvmedmabuf_storage *storage;
	struct file_rig rig;
	struct file file;
	uint32_t reason;

	filesystem_mount(fs);
	file_create(fs, &file, "file", BYTES);
	file_rig_open(&rig, fs, &file, BYTES);
	rig.access = ACCESS_BOTH;
	check_eq(nvmedmabuf_storage_open(rig.ctx, file.path, params.access, &storage, &reason), 0);
	check_eq(nvmedmabuf_storage_size(storage), BYTES);
	check_eq(nvmedmabuf_storage_block_size(storage), rig.block);
	params.dmabuf_fd = rig.buffer.fd;
	check_eq(nvmedmabuf_storage_attach(storage, &params, &rig.map, &reason), 0);
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	file_rig_write(&rig, 0, BYTES, 0);
	file_rig_read(&rig, 0, BYTES, 0);

	/* Somebody else makes it longer. */
	file_open(&file, O_RDWR);
	check_sys(ftruncate(file.fd, BYTES + 100));
	check_eq(nvmedmabuf_storage_refresh(storage, rig.map, &reason), -EBUSY);
	check_eq(reason, NVME_DMABUF_REASON_FILE_BUSY);
	file_close(&file);
	check_eq(nvmedmabuf_storage_refresh(storage, rig.map, &reason), 0);
	check_eq(nvmedmabuf_storage_size(storage), BYTES + 100);
	/* It has not ended its own lease. */
	file_rig_write(&rig, 0, BYTES, 0);
	check_sys(truncate(file.path, BYTES));
	nvmedmabuf_storage_close(storage);
	file_rig_refresh(&rig, FINE);
	file_rig_write(&rig, 0, BYTES, 0);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* With AUTO_REFRESH the first command does it, unless somebody has the file open. */
static void by_itself(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct file_rig rig;
	struct file file;
	uint32_t reason;

	filesystem_mount(fs);
	file_create(fs, &file, "file", BYTES);
	file_rig_open(&rig, fs, &file, BYTES);
	rig.access = ACCESS_BOTH;
	file_open(&file, O_RDWR);
	check_eq(file_rig_try(&rig, file.fd, ACCESS_BOTH, DEFER | AUTO, &rig.map, &reason), 0);
	file_rig_write_refused(&rig, PAGE, 0, BUSY);
	file_close(&file);
	file_rig_write(&rig, 0, BYTES, 0);
	file_verify(&file, -1);
	file_rig_write(&rig, PAGE, PAGE, 1);
	file_open(&file, O_RDONLY);
	file_rig_write_refused(&rig, PAGE, 0, BUSY);
	file_verify(&file, file.fd);
	file_close(&file);
	file_rig_read(&rig, 0, BYTES, 0);
	file_rig_close(&rig);
	file_remove(&file);
}

static void edges(const void *arg)
{
	uint64_t block, blocks;
	struct written w;

	written_open(&w, arg, ACCESS_BOTH, 0);
	block = w.rig.block;
	blocks = BYTES / block;
	file_rig_write(&w.rig, 0, BYTES, 0);
	file_rig_write(&w.rig, 4, block, 0);
	file_rig_write(&w.rig, 8, block, blocks - 1);
	file_rig_write(&w.rig, PAGE - 4, BYTES - 2 * PAGE, 1);
	check_eq(nvmedmabuf_flush(w.rig.ctx, w.rig.map, NULL), 0);
	file_rig_write_refused(&w.rig, block, blocks, -ERANGE,
			       NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_write_refused(&w.rig, 2 * block, blocks - 1, -ERANGE,
			       NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_write_refused(&w.rig, block, -2ULL, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_write_refused(&w.rig, block, -1ULL, -EOVERFLOW,
			       NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_read(&w.rig, 0, BYTES, 0);
	written_close(&w);
}

/* A map for one direction only. */
static void write_only(const void *arg)
{
	struct written w;

	written_open(&w, arg, ACCESS_WRITE, 0);
	file_rig_write(&w.rig, 0, BYTES, 0);
	file_rig_write(&w.rig, 4, 8 * PAGE, 2);
	file_rig_refused(&w.rig, PAGE, 0, -EACCES, NVME_DMABUF_REASON_MAP_ACCESS);
	written_close(&w);
}

/* In each way, to a file in one piece or in many. */
static void all_ways(const void *arg, unsigned int pieces)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct nvme_dmabuf_completion completions[24];
	struct nvme_dmabuf_command commands[24];
	volatile unsigned int done;
	volatile bool submitted;
	struct file_rig rig;
	struct file file;

	filesystem_mount(fs);
	if (pieces > 1)
		file_create_pieces(fs, &file, "file", pieces);
	else
		file_create(fs, &file, "file", BYTES);
	file_rig_open(&rig, fs, &file, MIB);
	file_rig_attach_written(&rig, ACCESS_BOTH, AUTO);
	for (unsigned int i = 0; i < WAYS; i++) {
		for (unsigned int round = 0; round < scaled(3); round++) {
			unsigned int count = file_rig_random(&rig, commands, 24);

			way_run(&submit_ways[i], nvmedmabuf_fd(rig.ctx), commands, count,
				completions, &submitted, &done);
			for (unsigned int j = 0; j < count; j++) {
				check_good(&completions[j]);
				check_eq(completions[j].bytes, commands[j].length);
			}
			file_rig_verify(&rig);
		}
		file_verify(&file, -1);
	}
	file_rig_close(&rig);
	file_sync(&file);
	file_verify(&file, -1);
	file_remove(&file);
}

static void random_whole(const void *arg)
{
	all_ways(arg, 1);
}

static void random_pieces(const void *arg)
{
	all_ways(arg, 60);
}

/* What is on the drive there belongs to nobody, or to somebody else. */
static void holes(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	uint64_t part = BYTES / 4, blocks;
	struct file_rig rig;
	struct file file;

	filesystem_mount(fs);
	file_create(fs, &file, "file", part);
	file_truncate(&file, BYTES);
	file_write(&file, 2 * part, part, 0);
	file_allocate(&file, 0, 3 * part, part);
	file_rig_open(&rig, fs, &file, BYTES);
	file_rig_attach_written(&rig, ACCESS_BOTH, 0);
	blocks = part / rig.block;
	file_rig_write(&rig, 0, part, 0);
	file_rig_write_refused(&rig, rig.block, blocks, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
	file_rig_write_refused(&rig, 2 * part, 0, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
	file_rig_write(&rig, 0, part, 2 * blocks);
	file_rig_write_refused(&rig, rig.block, 3 * blocks, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
	file_rig_write_refused(&rig, part, 4 * blocks - 1, -ERANGE,
			       NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* The file system counts on zeros behind the end. */
static void tail(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct file_rig rig;
	struct file file;

	filesystem_mount(fs);
	file_create(fs, &file, "file", 5 * PAGE + 100);
	file_rig_open(&rig, fs, &file, BYTES);
	file_rig_attach_written(&rig, ACCESS_BOTH, 0);
	file_rig_info(&rig, &info);
	check_eq(info.out_blocks, 5 * PAGE / rig.block);
	file_rig_write(&rig, 0, 5 * PAGE, 0);
	file_rig_write_refused(&rig, rig.block, info.out_blocks, -ERANGE,
			       NVME_DMABUF_REASON_FILE_TAIL);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_truncate(&file, 6 * PAGE);
	file_verify(&file, -1);
	file_remove(&file);
}

/* Many buffers, contexts and processes write to one file, by descriptors of their own. */
static void shared(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct file_rig rigs[4];
	struct file file;
	uint32_t reason;
	int status;
	pid_t child;

	filesystem_mount(fs);
	file_create(fs, &file, "file", BYTES);
	file_open(&file, O_RDWR);
	for (unsigned int i = 0; i < 4; i++) {
		file_rig_open(&rigs[i], fs, &file, BYTES);
		rigs[i].access = i == 3 ? ACCESS_READ : ACCESS_BOTH;
		check_eq(file_rig_try(&rigs[i], file.fd, rigs[i].access, DEFER | AUTO, &rigs[i].map,
				      &reason),
			 0);
	}
	file_close(&file);
	for (unsigned int i = 0; i < 3; i++)
		file_rig_write(&rigs[i], 0, BYTES / 4, i * (BYTES / 4 / rigs[i].block));
	file_rig_read(&rigs[3], 0, BYTES, 0);
	check_eq(file_leases(&file), filesystem_is(fs, "xfs") ? 3 : 2);

	child = check_sys(fork());
	if (!child) {
		struct file_rig rig;

		file_rig_open(&rig, fs, &file, BYTES);
		file_rig_attach_written(&rig, ACCESS_BOTH, AUTO);
		file_rig_write(&rig, 0, BYTES / 4, 3 * (BYTES / 4 / rig.block));
		file_rig_close(&rig);
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	for (unsigned int i = 0; i < 3; i++)
		check_eq(file_rig_state(&rigs[i]), NVME_DMABUF_STATE_REVOKED);
	file_rig_write(&rigs[2], 0, BYTES / 4, 0);
	file_rig_detach(&rigs[2]);
	file_rig_detach(&rigs[0]);
	file_rig_write(&rigs[1], 0, PAGE, BYTES / 2 / fs->block);
	for (unsigned int i = 0; i < 4; i++)
		file_rig_close(&rigs[i]);
	check_eq(file_leases(&file), 0);
	file_reload(&file);
	file_remove(&file);
}

/* Others who use it at all. */
static void others(const void *arg)
{
	struct written w;
	struct file_rig second;
	uint32_t reason;
	void *p;
	int fd;

	written_open(&w, arg, ACCESS_BOTH, 0);
	/* Whoever opens it sees what was written. */
	file_rig_write(&w.rig, 0, BYTES, 0);
	fd = check_sys(open(w.file.path, O_RDONLY | O_CLOEXEC));
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_REVOKED);
	file_rig_write_refused(&w.rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	file_verify(&w.file, fd);
	file_rig_refresh(&w.rig, BUSY);
	p = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED);
	check_sys(close(fd));
	file_rig_refresh(&w.rig, BUSY);
	compare("a mapping", p, w.file.data, BYTES, 0);
	check_sys(munmap(p, BYTES));
	file_rig_refresh(&w.rig, FINE);
	file_rig_write(&w.rig, 0, BYTES, 0);

	/* Also somebody who wants to read it in the same way. */
	file_open(&w.file, O_RDONLY);
	file_rig_open(&second, w.rig.fs, &w.file, BYTES);
	check_eq(file_rig_try(&second, w.file.fd, ACCESS_READ, 0, &second.map, &reason), 0);
	file_close(&w.file);
	file_rig_read(&second, 0, BYTES, 0);
	file_rig_refresh(&w.rig, FINE);
	file_rig_refused(&second, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	file_rig_write(&w.rig, 0, BYTES, 0);
	check_eq(nvmedmabuf_refresh(second.ctx, second.map, NULL, &reason), 0);
	file_rig_read(&second, 0, BYTES, 0);
	file_rig_close(&second);
	file_rig_refresh(&w.rig, FINE);

	/* And an ordinary writer. */
	file_write(&w.file, PAGE, PAGE, 0);
	file_rig_refresh(&w.rig, FINE);
	file_rig_read(&w.rig, 0, BYTES, 0);
	file_truncate(&w.file, BYTES / 2);
	file_rig_refresh(&w.rig, FINE);
	file_rig_write(&w.rig, 0, BYTES / 2, 0);
	check_eq(rename(w.file.path, w.file.path), 0);
	check_sys(chmod(w.file.path, 0640));
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_REVOKED);
	file_rig_refresh(&w.rig, FINE);
	check_sys(access(w.file.path, R_OK));
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_LIVE);
	written_close(&w);
}

/* Whoever executes it waits as well; if he comes as it is closed, he is told that it is busy. */
static void executed(const void *arg)
{
	struct written w;
	char script[] = "#!/bin/true\n";
	int status;
	pid_t child;

	written_open(&w, arg, ACCESS_BOTH, AUTO);
	buffer_begin_cpu(&w.rig.buffer);
	memset(w.rig.buffer.addr, '\n', w.rig.block);
	memcpy(w.rig.buffer.addr, script, strlen(script));
	memcpy(w.rig.mirror, w.rig.buffer.addr, w.rig.block);
	memcpy(w.file.data, w.rig.buffer.addr, w.rig.block);
	buffer_end_cpu(&w.rig.buffer);
	check_eq(nvmedmabuf_write(w.rig.ctx, w.rig.map, 0, w.rig.block, 0, NULL), 0);
	check_sys(chmod(w.file.path, 0755));
	file_rig_read(&w.rig, PAGE, PAGE, 1);
	child = check_sys(fork());
	if (!child) {
		for (unsigned int i = 0; i < 10; i++) {
			execl(w.file.path, w.file.path, NULL);
			if (errno != ETXTBSY)
				break;
			pause_ms();
		}
		_exit(1);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	file_rig_write(&w.rig, 0, PAGE, 1);
	written_close(&w);
}

struct opener {
	pthread_t handle;
	const char *path;
	int flags;
	volatile bool done;
};

static void *opener_run(void *arg)
{
	struct opener *o = arg;
	int fd = check_sys(open(o->path, o->flags | O_CLOEXEC));

	o->done = true;
	return (void *)(intptr_t)fd;
}

static void written_slowly(struct written *w, struct line *line)
{
	struct nvme_dmabuf_command commands[COMMANDS];
	const uint64_t length = BYTES / COMMANDS;

	for (unsigned int i = 0; i < COMMANDS; i++) {
		nvmedmabuf_prep_write(&commands[i], w->rig.map, i * length, length,
				      i * length / w->rig.block);
		commands[i].user_data = RIG_FIRST + i;
	}
	file_rig_prepare(&w->rig, commands, COMMANDS);
	filesystem_slow_down(w->rig.fs, SPEED);
	line_submit(line, commands, COMMANDS);
}

/* Writes that the drive has when somebody opens the file. */
static void in_flight(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct opener o = { .flags = O_RDONLY };
	struct line line;
	struct written w;
	void *fd;

	require_qmp();
	written_open(&w, arg, ACCESS_BOTH, 0);
	line_open(&line, nvmedmabuf_fd(w.rig.ctx), COMMANDS, 0, 0);
	o.path = w.file.path;
	written_slowly(&w, &line);
	check_eq(pthread_create(&o.handle, NULL, opener_run, &o), 0);
	wait_until(file_rig_state(&w.rig) == NVME_DMABUF_STATE_REVOKED);
	check(!o.done);
	line_wait(&line, COMMANDS);
	check_eq(pthread_join(o.handle, &fd), 0);
	filesystem_speed_up(w.rig.fs);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		check(line_next(&line, &c));
		check_good(&c);
	}
	file_verify(&w.file, (int)(intptr_t)fd);
	check_sys(close((int)(intptr_t)fd));
	line_close(&line);
	written_close(&w);
}

struct freezer {
	pthread_t handle;
	int fd;
	volatile bool done;
};

/* Of a drive that the freeze does not concern. */
static int other_fd(const struct file_rig *rig)
{
	const char *drive = rig->fs == xfs ? ext4->drive : xfs->drive;

	return check_sys(open(drive_path(drive), O_RDONLY | O_CLOEXEC));
}

static void *freezer_run(void *arg)
{
	struct freezer *f = arg;

	check_sys(ioctl(f->fd, FIFREEZE, 0));
	f->done = true;
	return NULL;
}

/* Whoever freezes the file system waits for writes in flight, and later ones for the thaw. */
static void frozen(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_command command;
	struct nvme_dmabuf_enter args;
	struct freezer f = { .done = false };
	struct file_rig *rig, other;
	uint32_t map, reason;
	struct line line;
	struct written w;
	pid_t child;
	int status;
	bool done;

	require_qmp();
	written_open(&w, arg, ACCESS_BOTH, AUTO);
	rig = &w.rig;
	file_rig_open(&other, rig->fs, &w.file, PAGE);
	file_open(&w.file, O_RDWR);
	check_eq(file_rig_try(&other, w.file.fd, ACCESS_BOTH, DEFER, &other.map, &reason), 0);
	file_close(&w.file);
	file_rig_write(rig, 0, PAGE, 0);
	line_open(&line, nvmedmabuf_fd(rig->ctx), COMMANDS, 0, 0);
	f.fd = check_sys(open(rig->fs->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	written_slowly(&w, &line);
	check_eq(pthread_create(&f.handle, NULL, freezer_run, &f), 0);
	for (unsigned int i = 0; i < 100; i++)
		pause_ms();
	done = f.done;
	check_that(__atomic_load_n(&line.ring->tail, __ATOMIC_ACQUIRE) < COMMANDS,
		   "nothing was in flight");
	check(!done);
	line_wait(&line, COMMANDS);
	filesystem_speed_up(rig->fs);
	check_eq(pthread_join(f.handle, NULL), 0);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		check(line_next(&line, &c));
		check_good(&c);
	}

	/* Frozen: reads go on. If the rest hangs, the test ends, and its end thaws. */
	file_rig_read(rig, 0, BYTES, 0);
	check_eq(nvmedmabuf_flush(rig->ctx, rig->map, NULL), 0);
	nvmedmabuf_prep_write(&command, rig->map, 0, PAGE, 1);
	command.user_data = RIG_FIRST;
	check_eq(line_enter(&line, &command, 1, 0, 0, NVME_DMABUF_ENTER_NOWAIT, &args), -EAGAIN);
	check_eq(line_enter(&line, &command, 1, 0, 20 * 1000 * 1000, 0, &args), -EAGAIN);
	child = check_sys(fork());
	if (!child) {
		nvmedmabuf_write(rig->ctx, rig->map, 0, PAGE, 1, NULL);
		_exit(0);
	}
	for (unsigned int i = 0; i < 100; i++)
		pause_ms();
	check_eq(waitpid(child, &status, WNOHANG), 0);
	/* It waits so that it can be killed. */
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	/* Whoever opens the file need not wait for the thaw. */
	file_verify(&w.file, -1);
	/* A refresh does, but keeps nobody else waiting. */
	child = check_sys(fork());
	if (!child) {
		file_rig_refresh(rig, FINE);
		_exit(0);
	}
	for (unsigned int i = 0; i < 100; i++)
		pause_ms();
	check_eq(waitpid(child, &status, WNOHANG), 0);
	file_rig_close(&other);
	check_eq(file_rig_try(rig, other_fd(rig), ACCESS_READ, 0, &map, &reason), 0);
	check_eq(nvmedmabuf_detach(rig->ctx, map), 0);
	check_sys(ioctl(f.fd, FITHAW, 0));
	check_sys(close(f.fd));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	file_rig_write(rig, 0, BYTES, 0);
	line_close(&line);
	written_close(&w);
}

/* Writes in one way, again and again, to blocks that are nobody else's. */
struct writer {
	pthread_t handle;
	const struct submit_way *way;
	struct file_rig *rig;
	uint64_t slba;
	volatile unsigned int rounds;
	volatile bool *over;
};

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	struct nvme_dmabuf_completion c[COMMANDS];
	struct nvme_dmabuf_command commands[COMMANDS];
	volatile unsigned int done;
	volatile bool submitted;

	while (!*w->over) {
		for (unsigned int i = 0; i < COMMANDS; i++) {
			nvmedmabuf_prep_write(&commands[i], w->rig->map,
					      (w->rounds + i) % (BYTES / PAGE) * PAGE, PAGE,
					      w->slba + i * (PAGE / w->rig->block));
			commands[i].user_data = RIG_FIRST + i;
		}
		way_run(w->way, nvmedmabuf_fd(w->rig->ctx), commands, COMMANDS, c, &submitted,
			&done);
		for (unsigned int i = 0; i < COMMANDS; i++)
			check_good(&c[i]);
		w->rounds++;
	}
	return NULL;
}

/*
 * Whoever freezes the file system gets his turn though writes overlap, in each way, and while
 * it is frozen nothing of the file changes. So do those who write, once it is thawed.
 */
static void frozen_often(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct writer writers[WAYS];
	unsigned int before[WAYS];
	volatile bool over = false;
	struct file_rig *rig, other;
	uint32_t reason;
	struct written w;
	uint8_t *seen;
	int fd;

	written_open(&w, arg, ACCESS_BOTH, AUTO);
	rig = &w.rig;
	file_rig_open(&other, rig->fs, &w.file, BYTES);
	file_open(&w.file, O_RDWR);
	check_eq(file_rig_try(&other, w.file.fd, ACCESS_BOTH, DEFER | AUTO, &other.map, &reason),
		 0);
	file_close(&w.file);
	seen = pages_alloc(BYTES);
	fd = check_sys(open(rig->fs->where, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	for (unsigned int i = 0; i < WAYS; i++) {
		writers[i] = (struct writer){
			.way = &submit_ways[i],
			.rig = rig,
			.slba = i * COMMANDS * (PAGE / rig->block),
			.over = &over,
		};
		check_eq(pthread_create(&writers[i].handle, NULL, writer_run, &writers[i]), 0);
	}
	for (unsigned int round = 0; round < scaled(20); round++) {
		for (unsigned int i = 0; i < WAYS; i++)
			before[i] = writers[i].rounds;
		for (unsigned int i = 0; i < WAYS; i++)
			wait_until(writers[i].rounds != before[i]);
		check_sys(ioctl(fd, FIFREEZE, 0));
		check_eq(nvmedmabuf_read(other.ctx, other.map, 0, BYTES, 0, &c), 0);
		memcpy(seen, other.buffer.addr, BYTES);
		for (unsigned int i = 0; i < 20; i++)
			pause_ms();
		check_eq(nvmedmabuf_read(other.ctx, other.map, 0, BYTES, 0, &c), 0);
		compare("a frozen file", other.buffer.addr, seen, BYTES, 0);
		check_sys(ioctl(fd, FITHAW, 0));
	}
	over = true;
	for (unsigned int i = 0; i < WAYS; i++) {
		check_eq(pthread_join(writers[i].handle, NULL), 0);
		note("%s: %u times %u writes", submit_ways[i].name, writers[i].rounds, COMMANDS);
	}
	check_sys(close(fd));
	munmap(seen, BYTES);
	file_rig_close(&other);
	file_rig_write(rig, 0, BYTES, 0);
	written_close(&w);
}

/* A file system with a file that is written stays writable. */
static void remounted(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct written w;

	written_open(&w, arg, ACCESS_BOTH, 0);
	check_eq(mount(NULL, fs->where, NULL, MS_REMOUNT | MS_RDONLY, NULL), -1);
	check_eq(errno, EBUSY);
	check_eq(filesystem_unmount(fs), -EBUSY);
	file_rig_write(&w.rig, 0, BYTES, 0);
	/* But not while others have it. */
	file_verify(&w.file, -1);
	check_sys(mount(NULL, fs->where, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	file_rig_refresh(&w.rig, -EACCES, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	file_rig_write_refused(&w.rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	check_sys(mount(NULL, fs->where, NULL, MS_REMOUNT, NULL));
	file_rig_refresh(&w.rig, FINE);
	file_rig_write(&w.rig, 0, BYTES, 0);
	written_close(&w);
}

static void set_flag(const struct file *file, int flag, bool on)
{
	int fd = check_sys(open(file->path, O_RDONLY | O_CLOEXEC)), flags;

	check_sys(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	flags = on ? flags | flag : flags & ~flag;
	check_sys(ioctl(fd, FS_IOC_SETFLAGS, &flags));
	check_sys(close(fd));
}

/* Files that must not be overwritten. */
static void protected(const void *arg)
{
	static const int flags[] = { FS_APPEND_FL, FS_IMMUTABLE_FL };
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct written w;

	written_open(&w, arg, ACCESS_BOTH, 0);
	file_rig_write(&w.rig, 0, BYTES, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		set_flag(&w.file, flags[i], true);
		file_rig_write_refused(&w.rig, PAGE, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
		file_rig_refresh(&w.rig, -EACCES, NVME_DMABUF_REASON_FILE_APPEND);
		set_flag(&w.file, flags[i], false);
	}
	file_rig_refresh(&w.rig, FINE);
	file_rig_detach(&w.rig);
	set_flag(&w.file, FS_APPEND_FL, true);
	file_open(&w.file, O_WRONLY | O_APPEND);
	file_rig_check_refused(&w.rig, ACCESS_WRITE, -EACCES, NVME_DMABUF_REASON_FILE_APPEND);
	file_close(&w.file);
	set_flag(&w.file, FS_APPEND_FL, false);
	file_open(&w.file, O_RDWR | O_APPEND);
	check_eq(nvmedmabuf_get_ns_info(w.rig.ctx, w.file.fd, &ns), 0);
	check_eq(ns.out_reason, NVME_DMABUF_REASON_FILE_APPEND);
	file_rig_check_refused(&w.rig, ACCESS_BOTH, -EACCES, NVME_DMABUF_REASON_FILE_APPEND);
	file_close(&w.file);
	written_close(&w);
}

/* As after a write(2): the time is another, and nobody becomes its owner by executing it. */
static void attributes(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct stat before, held, after;
	struct file_rig rig;
	struct file file;
	int status;
	pid_t child;

	filesystem_mount(fs);
	file_create(fs, &file, "file", BYTES);
	check_sys(chown(file.path, NOBODY, NOBODY));
	check_sys(chmod(file.path, 06755));
	check_sys(stat(file.path, &before));
	file_rig_open(&rig, fs, &file, BYTES);
	child = check_sys(fork());
	if (!child) {
		check_sys(setgroups(0, NULL));
		check_sys(setresgid(NOBODY, NOBODY, NOBODY));
		check_sys(setresuid(NOBODY, NOBODY, NOBODY));
		check(open(fs->device, O_RDWR) < 0);
		file_rig_attach_written(&rig, ACCESS_BOTH, 0);
		check_sys(stat(file.path, &held));
		for (unsigned int i = 0; i < 30; i++)
			pause_ms();
		file_rig_write(&rig, 0, BYTES, 0);
		file_rig_detach(&rig);
		check_sys(stat(file.path, &after));
		check_that(!(held.st_mode & 06000), "mode %o", held.st_mode);
		check(held.st_mtim.tv_sec > before.st_mtim.tv_sec ||
		      held.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
		check(after.st_mtim.tv_sec > held.st_mtim.tv_sec ||
		      after.st_mtim.tv_nsec > held.st_mtim.tv_nsec);
		file_verify(&file, -1);
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	/* Nor does root leave them there, whose maps others may use after him. */
	check_sys(chmod(file.path, 06755));
	file_rig_attach_written(&rig, ACCESS_BOTH, 0);
	check_sys(stat(file.path, &held));
	check_that(!(held.st_mode & 06000), "mode %o", held.st_mode);
	file_rig_close(&rig);
	file_remove(&file);
}

/*
 * The file system loses all that it has not written yet, and finds itself again. A file that
 * was just made, written by the drive and flushed is there, whole.
 */
static void crashed(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct written w;

	written_open(&w, arg, ACCESS_BOTH, 0);
	file_rig_write(&w.rig, 0, BYTES, 0);
	check_eq(nvmedmabuf_flush(w.rig.ctx, w.rig.map, NULL), 0);
	filesystem_shut_down(fs, false);
	file_rig_detach(&w.rig);
	filesystem_remount(fs);
	file_verify(&w.file, -1);
	file_rig_attach_written(&w.rig, ACCESS_BOTH, 0);
	file_rig_read(&w.rig, 0, BYTES, 0);
	written_close(&w);
}

/* Blocks of the file become another's while it is written: that one stays as it is. */
struct thief {
	pthread_t handle;
	const struct file *file;
	unsigned int rounds;
	volatile bool over;
};

static void *thief_run(void *arg)
{
	struct thief *t = arg;
	uint8_t *own = pages_alloc(BYTES), *seen = pages_alloc(BYTES);
	char path[192];
	int fd;

	memset(own, 0x3c, BYTES);
	snprintf(path, sizeof(path), "%s.own", t->file->path);
	for (unsigned int i = 0; i < t->rounds; i++) {
		check_sys(truncate(t->file->path, i % 2 ? 0 : (off_t)(BYTES / 2)));
		sync();
		fd = check_sys(open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
		check_eq(pwrite(fd, own, BYTES, 0), BYTES);
		for (unsigned int j = 0; j < 5; j++)
			pause_ms();
		check_eq(pread(fd, seen, BYTES, 0), BYTES);
		compare("another file", seen, own, BYTES, 0);
		check_sys(close(fd));
		check_sys(unlink(path));
		fd = check_sys(open(t->file->path, O_WRONLY | O_CLOEXEC));
		check_eq(pwrite(fd, own, BYTES, 0), BYTES);
		check_sys(fsync(fd));
		check_sys(close(fd));
		for (unsigned int j = 0; j < 10; j++)
			pause_ms();
	}
	munmap(own, BYTES);
	munmap(seen, BYTES);
	t->over = true;
	return NULL;
}

static void stolen(const void *arg)
{
	struct nvme_dmabuf_completion c[COMMANDS];
	struct nvme_dmabuf_command commands[COMMANDS];
	unsigned int good = 0, bad = 0;
	struct written w;
	struct thief t = { .file = &w.file, .rounds = scaled(15) };

	written_open(&w, arg, ACCESS_BOTH, AUTO);
	check_eq(pthread_create(&t.handle, NULL, thief_run, &t), 0);
	while (!t.over) {
		for (unsigned int i = 0; i < COMMANDS; i++)
			nvmedmabuf_prep_write(
				&commands[i], w.rig.map, i * (BYTES / COMMANDS), BYTES / COMMANDS,
				rnd_below(BYTES / w.rig.block - BYTES / COMMANDS / w.rig.block));
		check_eq(nvmedmabuf_submit(w.rig.ctx, commands, c, COMMANDS), COMMANDS);
		for (unsigned int i = 0; i < COMMANDS; i++) {
			good += !c[i].error;
			bad += !!c[i].error;
			check_that(!c[i].error || c[i].error == -ESTALE || c[i].error == -EBUSY ||
					   c[i].error == -ERANGE || c[i].error == -ENODATA,
				   "write: %s, %s", strerror(-c[i].error),
				   nvmedmabuf_reason_name(c[i].reason));
		}
	}
	check_eq(pthread_join(t.handle, NULL), 0);
	note("%u writes went well, %u were refused", good, bad);
	check(good && bad);
	file_rig_close(&w.rig);
	check_eq(file_leases(&w.file), 0);
	file_remove(&w.file);
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ deferred, "attached, closed and refreshed" },
		{ by_path, "by its path" },
		{ by_itself, "refreshed by commands" },
		{ edges, "edges" },
		{ write_only, "for writing only" },
		{ random_whole, "random transfers in each way" },
		{ random_pieces, "random transfers in each way, in many pieces" },
		{ holes, "holes and what was never written" },
		{ tail, "the end of a file that is no whole block" },
		{ shared, "many maps of one file" },
		{ others, "others who open it" },
		{ attributes, "as nobody: times and privileges" },
	};
	/* Of each kind one is enough. */
	static const struct filesystem_test more[] = {
		{ executed, "executed" },
		{ in_flight, "opened while writes are in flight" },
		{ frozen, "frozen" },
		{ frozen_often, "frozen again and again while each way writes" },
		{ remounted, "remounted read-only" },
		{ protected, "append-only and immutable" },
		{ crashed, "a crash after Flush" },
		{ stolen, "its blocks become another file's" },
	};
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < FILESYSTEMS; i++) {
		filesystem_add(&filesystems[i], tests, ARRAY_SIZE(tests));
		if (&filesystems[i] == xfs || &filesystems[i] == ext4)
			filesystem_add(&filesystems[i], more, ARRAY_SIZE(more));
		filesystem_add_check(&filesystems[i]);
	}
	status = tap_run(argc, argv);
	filesystem_speed_up(xfs);
	filesystem_speed_up(ext4);
	filesystems_end();
	return status;
}
