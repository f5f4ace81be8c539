// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test changes files that are attached, in each way that there is: whoever does so waits
 * until commands in flight have ended, and for nothing else, and sees no error. The map says
 * that it takes no more commands, and why; a refresh finds the file as it is then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "file_rig.h"
#include "line.h"
#include "qmp.h"
#include "throttled.h"

#define BYTES	 (2 * MIB)
#define COMMANDS 24U
#define LENGTH	 (64 * KIB)
#define SPEED	 MIB /* a second */

/* What takes no longer than this waits for no timeout: fs.lease-break-time is 45 s. */
#define SOON 20000

static struct filesystem *const xfs = &filesystems[0], *const ext4 = &filesystems[2];

/**
 * struct watch - an attached file that somebody is about to change
 * @line: a queue, for commands that are in flight meanwhile
 */
struct watch {
	struct file_rig rig;
	struct file file;
	struct line line;
};

static void watch_open(struct watch *w, struct filesystem *fs, uint32_t flags)
{
	filesystem_speed_up(fs);
	filesystem_mount(fs);
	file_create(fs, &w->file, "file", BYTES);
	file_sync(&w->file);
	file_open(&w->file, O_RDONLY);
	file_rig_open(&w->rig, fs, &w->file, BYTES);
	file_rig_attach(&w->rig, flags);
	line_open(&w->line, nvmedmabuf_fd(w->rig.ctx), COMMANDS, 0, 0);
}

static void watch_close(struct watch *w)
{
	line_close(&w->line);
	file_rig_close(&w->rig);
	check_eq(file_leases(&w->file), 0);
	file_remove(&w->file);
}

static bool has_event(struct file_rig *rig)
{
	struct pollfd p = { .fd = nvmedmabuf_fd(rig->ctx), .events = POLLPRI };

	check(poll(&p, 1, 0) >= 0);
	return p.revents & POLLPRI;
}

/* All that is to be seen of a map whose file was changed. */
static void check_changed(struct file_rig *rig)
{
	struct nvme_dmabuf_event events[2];

	check_eq(file_rig_state(rig), NVME_DMABUF_STATE_REVOKED);
	check(has_event(rig));
	check_eq(nvmedmabuf_get_events(rig->ctx, events, 2), 1);
	check_eq(events[0].map, rig->map);
	check_eq(events[0].state, NVME_DMABUF_STATE_REVOKED);
	check(!has_event(rig));
	for (int i = 0; i < 2; i++)
		file_rig_refused(rig, rig->block, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
}

/* Refreshed, it reads what is there. */
static void check_renewed(struct file_rig *rig)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	file_rig_refresh(rig, 0, NVME_DMABUF_REASON_NONE);
	file_rig_info(rig, &info);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_file_bytes, rig->file->bytes);
	if (rig->file->bytes / rig->block)
		file_rig_read(rig, 0, min_u64(rig->file->bytes / rig->block * rig->block, BYTES),
			      0);
	file_rig_refused(rig, rig->block, info.out_blocks, -ERANGE,
			 NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
}

/* Ways to change a file. Each returns when it is done, and has closed the file. */

static void open_and_close(struct watch *w, int flags)
{
	check_sys(close(check_sys(open(w->file.path, flags | O_CLOEXEC))));
}

static void open_write(struct watch *w)
{
	open_and_close(w, O_WRONLY);
}

static void open_both(struct watch *w)
{
	open_and_close(w, O_RDWR | O_DIRECT);
}

static void open_truncate(struct watch *w)
{
	check_sys(close(file_open_truncate(&w->file, O_WRONLY)));
}

/* It truncates, though it is open for reading only. */
static void open_read_truncate(struct watch *w)
{
	check_sys(close(file_open_truncate(&w->file, O_RDONLY)));
}

static void shorter(struct watch *w)
{
	check_sys(truncate(w->file.path, BYTES / 2));
}

static void longer(struct watch *w)
{
	check_sys(truncate(w->file.path, BYTES + 64 * KIB));
}

static void overwrite(struct watch *w)
{
	file_write(&w->file, BYTES / 4, BYTES / 4, 0);
}

static void overwrite_direct(struct watch *w)
{
	file_write(&w->file, BYTES / 4, BYTES / 4, O_DIRECT);
}

static void append(struct watch *w)
{
	file_write(&w->file, BYTES, 64 * KIB, 0);
}

static void collapse(struct watch *w)
{
	file_allocate(&w->file, FALLOC_FL_COLLAPSE_RANGE, BYTES / 4, BYTES / 4);
}

static void by_memory(struct watch *w)
{
	int fd = check_sys(open(w->file.path, O_RDWR | O_CLOEXEC));
	uint8_t *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	check(p != MAP_FAILED);
	check_sys(close(fd));
	memset(p + BYTES / 2, 0x5e, PAGE);
	check_sys(munmap(p, BYTES));
}

/* Files for which this one is the source: it must only be open for reading. */
static void cloned(struct watch *w)
{
	char path[192];
	int target;

	snprintf(path, sizeof(path), "%s.other", w->file.path);
	target = check_sys(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	check_sys(unlink(path));
	check_sys(ioctl(target, FICLONE, w->file.fd));
	check_sys(close(target));
}

static void copy_range(struct watch *w)
{
	off_t from = 0, to = 0;
	char path[192];
	int target;

	snprintf(path, sizeof(path), "%s.other", w->file.path);
	target = check_sys(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	check_sys(unlink(path));
	check_eq(copy_file_range(w->file.fd, &from, target, &to, BYTES, 0), BYTES);
	check_sys(close(target));
}

/* XFS lets a file's owner do so by a descriptor for reading. */
static void dedupe(struct watch *w)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} d = {
		.range = { .src_length = BYTES / 2, .dest_count = 1 },
		.info = { .dest_fd = w->file.fd },
	};
	char path[192];
	int source;

	snprintf(path, sizeof(path), "%s.other", w->file.path);
	source = check_sys(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	check_sys(unlink(path));
	check_eq(pwrite(source, w->file.data, BYTES, 0), BYTES);
	check_sys(fsync(source));
	check_sys(ioctl(source, FIDEDUPERANGE, &d));
	check_eq(d.info.status, FILE_DEDUPE_RANGE_SAME);
	check_eq(d.info.bytes_deduped, BYTES / 2);
	check_sys(close(source));
}

/* The file is truncated by a file system above this one, which knows of no leases below. */
static void by_overlay(struct watch *w)
{
	static const char *const parts[] = { "lower", "work", "upper", "merged" };
	const char *name = strrchr(w->file.path, '/') + 1;
	char folder[128], path[256], above[256], options[512];

	snprintf(folder, sizeof(folder), "%.100s/%d", w->rig.fs->where, getpid());
	check_sys(mkdir(folder, 0755));
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, parts[i]);
		check_sys(mkdir(path, 0755));
	}
	snprintf(options, sizeof(options), "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work",
		 folder, folder, folder);
	snprintf(path, sizeof(path), "%s/upper/%.64s", folder, name);
	check_sys(link(w->file.path, path));
	snprintf(path, sizeof(path), "%s/merged", folder);
	snprintf(above, sizeof(above), "%s/merged/%.64s", folder, name);
	if (mount("overlay", path, "overlay", 0, options))
		skip("no overlay here: %m");
	check_sys(truncate(above, BYTES / 2));
	check_sys(umount2(path, 0));
	check(run_quietly("rm -rf %s", folder));
}

/**
 * struct change - a way to change a file
 * @idle_only: it waits for the drive itself
 * @xfs, @ext4: it works there
 * @error, @reason: what a refresh says afterwards
 */
struct change {
	const char *name;
	void (*run)(struct watch *w);
	bool idle_only, xfs, ext4;
	int error;
	uint32_t reason;
};

#define SHARED -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SHARED

static const struct change changes[] = {
	{ "open for writing", open_write, false, true, true, 0, 0 },
	{ "open for reading and writing", open_both, false, true, true, 0, 0 },
	{ "open for writing, truncated", open_truncate, false, true, true, 0, 0 },
	{ "open for reading, truncated", open_read_truncate, false, true, true, 0, 0 },
	{ "truncate(2), shorter", shorter, false, true, true, 0, 0 },
	{ "truncate(2), longer", longer, false, true, true, 0, 0 },
	{ "overwritten", overwrite, false, true, true, 0, 0 },
	{ "overwritten by O_DIRECT", overwrite_direct, true, true, true, 0, 0 },
	{ "appended to", append, false, true, true, 0, 0 },
	{ "a part taken out", collapse, true, true, true, 0, 0 },
	{ "written by a memory mapping", by_memory, true, true, true, 0, 0 },
	{ "truncated through an overlay", by_overlay, false, true, true, 0, 0 },
	{ "cloned", cloned, false, true, false, SHARED },
	{ "copied by copy_file_range(2)", copy_range, true, true, false, SHARED },
	{ "deduplicated by its owner", dedupe, true, true, false, SHARED },
};

struct change_on {
	const struct change *change;
	struct filesystem *fs;
};

static void idle(const void *arg)
{
	const struct change_on *on = arg;
	uint64_t begin;
	struct watch w;

	watch_open(&w, on->fs, 0);
	file_rig_read(&w.rig, 0, BYTES, 0);
	begin = now_ms();
	on->change->run(&w);
	check(now_ms() - begin < SOON);
	check_changed(&w.rig);
	check_eq(file_leases(&w.file), 0);
	file_reload(&w.file);
	if (on->change->error) {
		file_rig_refresh(&w.rig, on->change->error, on->change->reason);
		file_rig_refused(&w.rig, w.rig.block, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	} else {
		check_renewed(&w.rig);
	}
	watch_close(&w);
}

/* Reads that take more than a second, on the drive. */
static void start_slowly(struct watch *w)
{
	struct nvme_dmabuf_command commands[COMMANDS];

	for (unsigned int i = 0; i < COMMANDS; i++) {
		nvmedmabuf_prep_read(&commands[i], w->rig.map, i * LENGTH, LENGTH,
				     i * LENGTH / w->rig.block);
		commands[i].user_data = RIG_FIRST + i;
	}
	file_rig_prepare(&w->rig, commands, COMMANDS);
	filesystem_slow_down(w->rig.fs, SPEED);
	line_submit(&w->line, commands, COMMANDS);
}

static unsigned int completed(const struct watch *w)
{
	return __atomic_load_n(&w->line.ring->tail, __ATOMIC_ACQUIRE);
}

static void check_all_good(struct watch *w)
{
	struct nvme_dmabuf_completion c;

	for (unsigned int i = 0; i < COMMANDS; i++) {
		check(line_next(&w->line, &c));
		check_good(&c);
	}
	file_rig_verify(&w->rig);
}

static void in_flight(const void *arg)
{
	const struct change_on *on = arg;
	struct watch w;
	unsigned int before, after;

	require_qmp();
	watch_open(&w, on->fs, 0);
	start_slowly(&w);
	before = completed(&w);
	on->change->run(&w);
	after = completed(&w);
	filesystem_speed_up(w.rig.fs);
	check_that(before < COMMANDS, "nothing was in flight");
	check_that(after == COMMANDS, "%u of %u commands had ended when the file was changed",
		   after, COMMANDS);
	/* What arrived is what the file held before: the copy that file_write() changes is new. */
	check_all_good(&w);
	check_changed(&w.rig);
	file_reload(&w.file);
	if (!on->change->error)
		check_renewed(&w.rig);
	watch_close(&w);
}

/* As long as a writer is there, nothing is read. */
static void writer_stays(const void *arg)
{
	struct watch w;
	int fd;

	watch_open(&w, (struct filesystem *)arg, 0);
	fd = check_sys(open(w.file.path, O_RDWR | O_CLOEXEC));
	check_changed(&w.rig);
	for (int i = 0; i < 2; i++) {
		file_rig_refresh(&w.rig, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
		file_rig_refused(&w.rig, w.rig.block, 0, -ESTALE, NVME_DMABUF_REASON_FILE_CHANGED);
	}
	check_eq(file_leases(&w.file), 0);
	check_sys(ftruncate(fd, BYTES / 4));
	check_sys(close(fd));
	file_reload(&w.file);
	check_renewed(&w.rig);
	/* And once more. */
	file_write(&w.file, w.file.bytes, 64 * KIB, 0);
	check_changed(&w.rig);
	file_reload(&w.file);
	check_renewed(&w.rig);
	watch_close(&w);
}

static void auto_refresh(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct watch w;
	int fd;

	watch_open(&w, (struct filesystem *)arg, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	for (unsigned int i = 0; i < 3; i++) {
		file_write(&w.file, i * PAGE, 64 * KIB, i % 2 ? O_DIRECT : 0);
		file_rig_read(&w.rig, 4 * i, BYTES - 64 * KIB, 0);
		check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_LIVE);
		check(has_event(&w.rig) &&
		      nvmedmabuf_get_events(w.rig.ctx, &(struct nvme_dmabuf_event){ 0 }, 1) == 1);
	}
	file_truncate(&w.file, PAGE);
	file_rig_refused(&w.rig, PAGE, PAGE / w.rig.block, -ERANGE,
			 NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_read(&w.rig, 0, PAGE, 0);
	file_rig_info(&w.rig, &info);
	check_eq(info.out_blocks, PAGE / w.rig.block);
	/* Nobody is waited for. */
	fd = check_sys(open(w.file.path, O_WRONLY | O_CLOEXEC));
	file_rig_refused(&w.rig, PAGE, 0, -EBUSY, NVME_DMABUF_REASON_FILE_BUSY);
	check_sys(close(fd));
	file_rig_read(&w.rig, 0, PAGE, 0);
	watch_close(&w);
}

/* Several maps of a file, by one descriptor or by two, of one context or of two. */
static void several_maps(const void *arg)
{
	struct nvme_dmabuf_event events[4];
	struct file other_file;
	struct file_rig other;
	struct watch w;
	uint32_t maps[3], reason;

	watch_open(&w, (struct filesystem *)arg, 0);
	other_file = w.file;
	other_file.fd = check_sys(open(w.file.path, O_RDONLY | O_CLOEXEC));
	check_eq(file_rig_try(&w.rig, w.file.fd, ACCESS_READ, 0, &maps[0], &reason), 0);
	check_eq(file_rig_try(&w.rig, other_file.fd, ACCESS_READ, 0, &maps[1], &reason), 0);
	file_rig_open(&other, w.rig.fs, &other_file, BYTES);
	file_rig_attach(&other, 0);
	maps[2] = w.rig.map;

	/* One less does not matter to the rest. */
	check_eq(nvmedmabuf_detach(w.rig.ctx, maps[0]), 0);
	file_rig_read(&w.rig, 0, BYTES, 0);
	file_rig_read(&other, 0, BYTES, 0);
	open_write(&w);
	check_changed(&other);
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_REVOKED);
	check_eq(nvmedmabuf_get_events(w.rig.ctx, events, 4), 2);
	check(events[0].map != events[1].map);
	/* Each is refreshed for itself. */
	check_renewed(&w.rig);
	check_eq(file_rig_state(&other), NVME_DMABUF_STATE_REVOKED);
	check_renewed(&other);
	w.rig.map = maps[1];
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_REVOKED);
	check_renewed(&w.rig);
	w.rig.map = maps[2];
	file_rig_close(&other);
	check_sys(close(other_file.fd));
	file_rig_read(&w.rig, 0, BYTES, 0);
	watch_close(&w);
}

/* Another file is no concern of theirs. */
static void other_file(const void *arg)
{
	struct file other;
	struct watch w;

	watch_open(&w, (struct filesystem *)arg, 0);
	file_create(w.rig.fs, &other, "other", MIB);
	file_sync(&other);
	file_truncate(&other, PAGE);
	file_remove(&other);
	check_eq(file_rig_state(&w.rig), NVME_DMABUF_STATE_LIVE);
	check(!has_event(&w.rig));
	check_sys(close(check_sys(open(w.file.path, O_RDONLY))));
	file_verify(&w.file, -1);
	file_rig_read(&w.rig, 0, BYTES, 0);
	/* What leaves its blocks as they are breaks a delegation, and that is all. */
	check_sys(chmod(w.file.path, 0444));
	check_changed(&w.rig);
	check_renewed(&w.rig);
	check_sys(chown(w.file.path, 1, 1));
	check_changed(&w.rig);
	check_renewed(&w.rig);
	watch_close(&w);
}

/* Who does not want to wait is told so, once: the leases are on their way back. */
static void not_waiting(const void *arg)
{
	struct watch w;
	int fd;

	watch_open(&w, (struct filesystem *)arg, 0);
	wait_until((fd = open(w.file.path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0 ||
		   errno != EAGAIN);
	check_that(fd >= 0, "%m");
	check_sys(close(fd));
	check_changed(&w.rig);
	check_renewed(&w.rig);
	watch_close(&w);
}

/* A child that attaches the file. It says so with a byte, and then waits, or reads for long. */
static pid_t holder(struct watch *w, bool busy)
{
	int pipes[2];
	pid_t child;
	char byte;

	check_sys(pipe2(pipes, O_CLOEXEC));
	child = check_sys(fork());
	if (!child) {
		struct watch own = *w;

		/* If the test fails, nobody ends it, and it would keep the test's output open. */
		check_sys(prctl(PR_SET_PDEATHSIG, SIGKILL));
		own.rig.ctx = ctx_open();
		file_rig_attach(&own.rig, 0);
		line_open(&own.line, nvmedmabuf_fd(own.rig.ctx), COMMANDS, 0, 0);
		if (busy)
			start_slowly(&own);
		check_eq(write(pipes[1], "", 1), 1);
		for (;;)
			pause();
	}
	check_eq(read(pipes[0], &byte, 1), 1);
	check_sys(close(pipes[0]));
	check_sys(close(pipes[1]));
	return child;
}

/* Leases end with who held them. */
static void killed(const void *arg)
{
	struct watch w;
	pid_t child;
	int status;

	for (int busy = 0; busy < 2; busy++) {
		if (busy)
			require_qmp();
		watch_open(&w, (struct filesystem *)arg, 0);
		file_rig_detach(&w.rig);
		child = holder(&w, busy);
		check(file_leases(&w.file) > 0);
		check_sys(kill(child, SIGKILL));
		if (!busy)
			check_eq(check_sys(waitpid(child, &status, 0)), child);
		/* Whether it has ended or not. */
		open_write(&w);
		if (busy) {
			filesystem_speed_up(w.rig.fs);
			check_eq(check_sys(waitpid(child, &status, 0)), child);
		}
		check(WIFSIGNALED(status));
		check_eq(file_leases(&w.file), 0);
		watch_close(&w);
	}
}

/* A process that is stopped is no obstacle, though it can do nothing. */
static void stopped(const void *arg)
{
	struct watch w;
	uint64_t begin;
	pid_t child;
	int status;

	watch_open(&w, (struct filesystem *)arg, 0);
	child = holder(&w, false);
	check_sys(kill(child, SIGSTOP));
	check_eq(check_sys(waitpid(child, &status, WUNTRACED)), child);
	check(WIFSTOPPED(status));
	begin = now_ms();
	open_write(&w);
	check(now_ms() - begin < SOON);
	check_changed(&w.rig);
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_renewed(&w.rig);
	watch_close(&w);
}

/* A context that is closed with its maps. */
static void closed(const void *arg)
{
	struct watch w;

	for (unsigned int i = 0; i < 2; i++) {
		watch_open(&w, (struct filesystem *)arg, 0);
		if (i)
			open_write(&w);
		line_close(&w.line);
		w.rig.map = 0;
		file_rig_close(&w.rig);
		check_eq(file_leases(&w.file), 0);
		open_write(&w);
		file_remove(&w.file);
	}
}

/* Somebody who wants to write, again and again, until told otherwise. */
struct writer {
	const char *path;
	volatile bool stop;
	volatile unsigned int rounds;
	pthread_t handle;
};

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	int fd;

	while (!w->stop) {
		fd = open(w->path, O_RDWR | O_CLOEXEC);
		check_that(fd >= 0, "a writer: %m");
		check_sys(close(fd));
		w->rounds++;
		if (w->rounds % 4 == 0)
			pause_ms();
	}
	return NULL;
}

/* Attach, read, refresh and detach, while others come and go: all end, in one way or other. */
static void races(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct writer writers[2];
	unsigned int refused = 0;
	uint32_t map, reason;
	struct watch w;
	int result;

	watch_open(&w, (struct filesystem *)arg, 0);
	file_rig_detach(&w.rig);
	for (unsigned int i = 0; i < ARRAY_SIZE(writers); i++) {
		writers[i] = (struct writer){ .path = w.file.path };
		check_eq(pthread_create(&writers[i].handle, NULL, writer_run, &writers[i]), 0);
	}
	for (unsigned int i = 0; i < scaled(40); i++) {
		result = file_rig_try(&w.rig, w.file.fd, ACCESS_READ,
				      i % 2 ? NVME_DMABUF_ATTACH_AUTO_REFRESH : 0, &map, &reason);
		if (result) {
			check_that(result == -EBUSY && reason == NVME_DMABUF_REASON_FILE_BUSY,
				   "attach says %s, %s (%u)", strerror(-result),
				   nvmedmabuf_reason_name(reason), reason);
			refused++;
			continue;
		}
		for (unsigned int j = 0; j < 3; j++) {
			result = nvmedmabuf_read(w.rig.ctx, map, 0, LENGTH, 0, &c);
			check_that(!result ||
					   (result == -ESTALE &&
					    c.reason == NVME_DMABUF_REASON_FILE_CHANGED) ||
					   (result == -EBUSY &&
					    c.reason == NVME_DMABUF_REASON_FILE_BUSY),
				   "read says %s, %s (%u)", strerror(-result),
				   nvmedmabuf_reason_name(c.reason), c.reason);
			result = nvmedmabuf_refresh(w.rig.ctx, map, NULL, &reason);
			check_that(!result || (result == -EBUSY &&
					       reason == NVME_DMABUF_REASON_FILE_BUSY),
				   "refresh says %s, %s (%u)", strerror(-result),
				   nvmedmabuf_reason_name(reason), reason);
		}
		check_eq(nvmedmabuf_detach(w.rig.ctx, map), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(writers); i++) {
		unsigned int before = writers[i].rounds;

		/* Nobody waits for ever. */
		wait_until(writers[i].rounds > before);
		writers[i].stop = true;
		check_eq(pthread_join(writers[i].handle, NULL), 0);
	}
	note("%u attaches were refused, %u and %u opens", refused, writers[0].rounds,
	     writers[1].rounds);
	check_eq(file_leases(&w.file), 0);
	file_rig_attach(&w.rig, 0);
	memcpy(w.rig.mirror, w.file.data, LENGTH);
	file_rig_read(&w.rig, 0, BYTES, 0);
	watch_close(&w);
}

#define VERSION_WORDS (64 * KIB / 8)

/**
 * struct versions - a file that is written again and again, each time all of it
 * @last: the version whose writer has closed the file
 */
struct versions {
	const char *path;
	volatile uint64_t last;
	unsigned int rounds;
	pthread_t handle;
};

static void *versions_run(void *arg)
{
	struct versions *v = arg;
	uint64_t *words = pages_alloc(VERSION_WORDS * 8);
	int fd;

	for (uint64_t version = 1; version <= v->rounds; version++) {
		for (uint64_t i = 0; i < VERSION_WORDS; i++)
			words[i] = version << 32 | i;
		fd = open(v->path, O_WRONLY | O_CLOEXEC | (version % 2 ? O_DIRECT : 0));
		check_that(fd >= 0, "a writer: %m");
		/* In two parts, so that there is a time between. */
		check_eq(pwrite(fd, words, VERSION_WORDS * 4, 0), VERSION_WORDS * 4);
		check_eq(pwrite(fd, words + VERSION_WORDS / 2, VERSION_WORDS * 4,
				VERSION_WORDS * 4),
			 VERSION_WORDS * 4);
		check_sys(close(fd));
		v->last = version;
		for (uint64_t i = rnd_below(60); i; i--)
			pause_ms();
	}
	v->last = ~0U;
	munmap(words, VERSION_WORDS * 8);
	return NULL;
}

/* One command reads one version of the file, and none that is older than what was there. */
static void versions(const void *arg)
{
	struct nvme_dmabuf_completion c;
	unsigned int good = 0, bad = 0;
	uint64_t first, seen = 0;
	struct versions v;
	struct watch w;

	watch_open(&w, (struct filesystem *)arg, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	v = (struct versions){ .path = w.file.path, .rounds = scaled(40) };
	memset(w.file.data, 0, 64 * KIB);
	check_eq(pthread_create(&v.handle, NULL, versions_run, &v), 0);
	wait_until(v.last);
	do {
		uint64_t last = v.last;
		const uint64_t *words = (const uint64_t *)w.rig.buffer.addr;
		int result = nvmedmabuf_read(w.rig.ctx, w.rig.map, 0, 64 * KIB, 0, &c);

		if (result) {
			check_that(result == -EBUSY || result == -ESTALE, "read says %s, %s",
				   strerror(-result), nvmedmabuf_reason_name(c.reason));
			bad++;
			continue;
		}
		buffer_begin_cpu(&w.rig.buffer);
		first = words[0] >> 32;
		check_that(first >= seen && (last == ~0U || first >= last),
			   "version %llu after %llu, when %llu was there",
			   (unsigned long long)first, (unsigned long long)seen,
			   (unsigned long long)last);
		for (uint64_t i = 0; i < VERSION_WORDS; i++)
			check_eq(words[i], first << 32 | i);
		buffer_end_cpu(&w.rig.buffer);
		seen = first;
		good++;
	} while (v.last != ~0U || !good);
	check_eq(pthread_join(v.handle, NULL), 0);
	note("%u reads went well, %u were refused", good, bad);
	file_reload(&w.file);
	buffer_begin_cpu(&w.rig.buffer);
	memcpy(w.rig.mirror, w.rig.buffer.addr, BYTES);
	buffer_end_cpu(&w.rig.buffer);
	file_rig_read(&w.rig, 0, 64 * KIB, 0);
	check_eq(*(uint64_t *)w.file.data >> 32, v.rounds);
	watch_close(&w);
}

int main(int argc, char **argv)
{
	static struct change_on all[2 * ARRAY_SIZE(changes)];
	static const struct filesystem_test tests[] = {
		{ writer_stays, "a writer that stays" },
		{ auto_refresh, "refreshed by itself" },
		{ several_maps, "several maps of a file" },
		{ other_file, "what is no change" },
		{ not_waiting, "open without waiting" },
		{ killed, "a process is killed that has it attached" },
		{ stopped, "a process is stopped that has it attached" },
		{ closed, "a context is closed" },
		{ races, "many writers and readers" },
		{ versions, "a file that is written again and again" },
	};
	struct change_on *on = all;
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < 2; i++) {
		struct filesystem *fs = i ? ext4 : xfs;

		for (unsigned int j = 0; j < ARRAY_SIZE(changes); j++) {
			if (!(i ? changes[j].ext4 : changes[j].xfs))
				continue;
			*on = (struct change_on){ &changes[j], fs };
			tap_add(idle, on, "%s: %s", fs->name, changes[j].name);
			if (!changes[j].idle_only)
				tap_add(in_flight, on, "%s: %s, with commands in flight", fs->name,
					changes[j].name);
			on++;
		}
		filesystem_add(fs, tests, ARRAY_SIZE(tests));
		filesystem_add_check(fs);
	}
	status = tap_run(argc, argv);
	filesystem_speed_up(xfs);
	filesystem_speed_up(ext4);
	filesystems_end();
	return status;
}
