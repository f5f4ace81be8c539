// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches files that another process holds in some way, or begins to hold: open,
 * locked, leased, or watched. To read a file none of that is an obstacle. A file that is to be
 * written must not be open, whatever else the descriptor is for. And a listener that is asked
 * whether the file may be opened, as those that look for viruses are, is asked by an attach too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file_rig.h"

#define BYTES (256 * KIB)
#define BUSY  -EBUSY, NVME_DMABUF_REASON_FILE_BUSY

/**
 * struct kind - a way to hold a file
 * @take: in the other process; returns a descriptor or -errno
 * @serve: what it does as long as it holds the file, or NULL
 * @is_open: the file is open
 * @late: why it cannot be taken of a file that is being read, or 0
 */
struct kind {
	const char *name;
	int (*take)(const char *path);
	void (*serve)(int fd);
	bool is_open;
	int late;
};

struct holder {
	pid_t pid;
	int until;
	int error;
};

static int open_file(const char *path, int flags)
{
	return check_sys(open(path, flags | O_CLOEXEC));
}

static int take_open(const char *path)
{
	return open_file(path, O_RDONLY);
}

static int take_path(const char *path)
{
	return open_file(path, O_PATH);
}

static int take_flock(const char *path)
{
	int fd = open_file(path, O_RDONLY);

	check_sys(flock(fd, LOCK_EX));
	return fd;
}

static int take_posix(const char *path)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open_file(path, O_RDONLY);

	check_sys(fcntl(fd, F_SETLK, &lock));
	return fd;
}

static int take_ofd(const char *path)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = open_file(path, O_RDONLY);

	check_sys(fcntl(fd, F_OFD_SETLK, &lock));
	return fd;
}

static int leased;

/* Whoever wants to open the file waits for this. */
static void give_back(int signal)
{
	(void)signal;
	fcntl(leased, F_SETLEASE, F_UNLCK);
}

static int take_lease(const char *path, int type)
{
	leased = open_file(path, O_RDONLY);
	check(signal(SIGIO, give_back) != SIG_ERR);
	return fcntl(leased, F_SETLEASE, type) ? -errno : leased;
}

static int take_read_lease(const char *path)
{
	return take_lease(path, F_RDLCK);
}

static int take_write_lease(const char *path)
{
	return take_lease(path, F_WRLCK);
}

static int take_inotify(const char *path)
{
	int fd = check_sys(inotify_init1(IN_CLOEXEC));

	check_sys(inotify_add_watch(fd, path, IN_ALL_EVENTS));
	return fd;
}

static int listen_to(const char *path, unsigned int flags, uint64_t events)
{
	int fd = check_sys(fanotify_init(flags | FAN_CLOEXEC, O_RDONLY | O_LARGEFILE));

	check_sys(fanotify_mark(fd, FAN_MARK_ADD, events, AT_FDCWD, path));
	return fd;
}

static int take_fanotify(const char *path)
{
	return listen_to(path, FAN_CLASS_NOTIF | FAN_REPORT_FID,
			 FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE);
}

static int take_scanner(const char *path)
{
	return listen_to(path, FAN_CLASS_CONTENT, FAN_OPEN_PERM);
}

/* Reads an event, whose descriptor is the caller's then. */
static int next_event(int fd)
{
	struct fanotify_event_metadata event;

	check_eq(check_sys(read(fd, &event, sizeof(event))), sizeof(event));
	check(event.fd >= 0);
	return event.fd;
}

static void answer(int fd, int event, uint32_t what)
{
	struct fanotify_response response = { .fd = event, .response = what };

	check_eq(check_sys(write(fd, &response, sizeof(response))), sizeof(response));
}

/* It has the file open until it has answered, and a moment longer. */
static void serve_scanner(int fd)
{
	int event = next_event(fd);
	char data[PAGE];

	check_eq(check_sys(pread(event, data, sizeof(data), 0)), sizeof(data));
	answer(fd, event, FAN_ALLOW);
	check_sys(close(event));
}

static const struct kind kinds[] = {
	{ "open for reading", take_open, NULL, true, 0 },
	{ "open, but only its path", take_path, NULL, false, 0 },
	{ "locked by flock(2)", take_flock, NULL, true, 0 },
	{ "locked by a process", take_posix, NULL, true, 0 },
	{ "locked by a descriptor", take_ofd, NULL, true, 0 },
	{ "leased for reading", take_read_lease, NULL, true, 0 },
	{ "leased for writing", take_write_lease, NULL, true, EAGAIN },
	{ "watched by inotify", take_inotify, NULL, false, 0 },
	{ "watched by fanotify", take_fanotify, NULL, false, 0 },
	{ "scanned whenever it is opened", take_scanner, serve_scanner, false, 0 },
};

static _Noreturn void holder_run(const struct kind *kind, const char *path, int ready, int until)
{
	struct pollfd polls[2] = { { .fd = until, .events = POLLIN }, { .events = POLLIN } };
	int fd = kind->take(path), error = fd < 0 ? -fd : 0;

	polls[1].fd = kind->serve ? fd : -1;
	check_eq(write(ready, &error, sizeof(error)), sizeof(error));
	while (!error && !polls[0].revents) {
		if (poll(polls, 2, -1) < 0)
			check_eq(errno, EINTR);
		else if (polls[1].revents)
			kind->serve(fd);
	}
	_exit(0);
}

/* Returns when it holds the file, or cannot. */
static void holder_begin(struct holder *h, const struct kind *kind, const char *path)
{
	int ready[2], until[2];

	check_sys(pipe2(ready, O_CLOEXEC));
	check_sys(pipe2(until, O_CLOEXEC));
	h->pid = check_sys(fork());
	if (!h->pid) {
		close(until[1]);
		holder_run(kind, path, ready[1], until[0]);
	}
	close(ready[1]);
	close(until[0]);
	check_eq(read(ready[0], &h->error, sizeof(h->error)), sizeof(h->error));
	close(ready[0]);
	h->until = until[1];
}

static void holder_end(struct holder *h)
{
	int status;

	check_sys(close(h->until));
	check_eq(check_sys(waitpid(h->pid, &status, 0)), h->pid);
	check_eq(status, 0);
}

struct held {
	struct file_rig rig;
	struct file file;
};

static void held_open(struct held *held, struct filesystem *fs)
{
	filesystem_mount(fs);
	file_create(fs, &held->file, "file", BYTES);
	file_sync(&held->file);
	file_rig_open(&held->rig, fs, &held->file, BYTES);
}

static void held_close(struct held *held)
{
	file_rig_close(&held->rig);
	check_eq(file_leases(&held->file), 0);
	file_verify(&held->file, -1);
	file_remove(&held->file);
}

static void attach_read(struct held *held)
{
	file_open(&held->file, O_RDONLY);
	file_rig_attach(&held->rig, 0);
	file_close(&held->file);
}

/* Attached, and not refreshed yet. */
static void attach_deferred(struct held *held)
{
	uint32_t reason;

	file_open(&held->file, O_RDWR);
	check_eq(file_rig_try(&held->rig, held->file.fd, ACCESS_BOTH, NVME_DMABUF_ATTACH_DEFER,
			      &held->rig.map, &reason),
		 0);
	held->rig.access = ACCESS_BOTH;
	file_close(&held->file);
}

/* A scanner may have it open for a moment. */
static bool is_refreshed(struct held *held)
{
	uint32_t reason = ~0U;
	int result = nvmedmabuf_refresh(held->rig.ctx, held->rig.map, NULL, &reason);

	if (result) {
		check_eq(result, -EBUSY);
		check_eq(reason, NVME_DMABUF_REASON_FILE_BUSY);
	}
	return !result;
}

/* It is held when it is attached. */
static void before(struct held *held, const struct kind *kind)
{
	struct holder holder;

	holder_begin(&holder, kind, held->file.path);
	check_eq(holder.error, 0);
	attach_read(held);
	file_rig_read(&held->rig, 0, BYTES, 0);
	file_rig_detach(&held->rig);
	attach_deferred(held);
	if (kind->is_open) {
		file_rig_refresh(&held->rig, BUSY);
		holder_end(&holder);
	}
	wait_until(is_refreshed(held));
	file_rig_write(&held->rig, 0, BYTES, 0);
	file_rig_detach(&held->rig);
	if (!kind->is_open)
		holder_end(&holder);
}

/* It is attached when somebody begins to hold it. */
static void meanwhile(struct held *held, const struct kind *kind)
{
	struct holder holder;

	attach_read(held);
	holder_begin(&holder, kind, held->file.path);
	check_eq(holder.error, kind->late);
	check_eq(file_rig_state(&held->rig), NVME_DMABUF_STATE_LIVE);
	file_rig_read(&held->rig, 0, BYTES, 0);
	holder_end(&holder);
	file_rig_read(&held->rig, 0, BYTES, 0);
	file_rig_detach(&held->rig);

	attach_deferred(held);
	wait_until(is_refreshed(held));
	file_rig_write(&held->rig, 0, BYTES, 0);
	holder_begin(&holder, kind, held->file.path);
	check_eq(holder.error, 0);
	if (kind->is_open) {
		file_rig_write_refused(&held->rig, PAGE, 0, -ESTALE,
				       NVME_DMABUF_REASON_FILE_CHANGED);
		file_rig_refresh(&held->rig, BUSY);
	} else {
		check_eq(file_rig_state(&held->rig), NVME_DMABUF_STATE_LIVE);
		file_rig_write(&held->rig, 0, BYTES, 0);
	}
	holder_end(&holder);
	wait_until(is_refreshed(held));
	file_rig_write(&held->rig, 0, BYTES, 0);
	file_rig_detach(&held->rig);
}

struct pairing {
	struct filesystem *fs;
	const struct kind *kind;
};

static void held_by(const void *arg)
{
	const struct pairing *p = arg;
	struct held held;

	held_open(&held, p->fs);
	before(&held, p->kind);
	meanwhile(&held, p->kind);
	held_close(&held);
}

/* The listener says no. */
static void denied(const void *arg)
{
	struct held held;
	int fd, status;
	pid_t child;

	held_open(&held, (struct filesystem *)arg);
	file_open(&held.file, O_RDONLY);
	fd = take_scanner(held.file.path);
	child = check_sys(fork());
	if (!child) {
		file_rig_check_refused(&held.rig, ACCESS_READ, -EPERM, NVME_DMABUF_REASON_SECURITY);
		_exit(0);
	}
	answer(fd, next_event(fd), FAN_DENY);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	check_sys(close(fd));
	file_rig_attach(&held.rig, 0);
	file_close(&held.file);
	held_close(&held);
}

/* Attaches it and reads, by the listener's leave. */
static pid_t attach_listened(struct held *held, int listener)
{
	pid_t child = check_sys(fork());

	if (child)
		return child;
	/* The listener is gone when its last descriptor is. */
	check_sys(close(listener));
	file_rig_attach(&held->rig, 0);
	file_rig_read(&held->rig, 0, BYTES, 0);
	_exit(0);
}

/* The listener says nothing. Whoever waits for it can be killed, and is let in if it goes. */
static void unanswered(const void *arg)
{
	struct held held;
	int fd, status;
	pid_t child;

	held_open(&held, (struct filesystem *)arg);
	file_open(&held.file, O_RDONLY);
	fd = take_scanner(held.file.path);
	child = attach_listened(&held, fd);
	check_sys(close(next_event(fd)));
	check_eq(waitpid(child, &status, WNOHANG), 0);
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));

	child = attach_listened(&held, fd);
	check_sys(close(next_event(fd)));
	check_eq(waitpid(child, &status, WNOHANG), 0);
	check_sys(close(fd));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	file_close(&held.file);
	held_close(&held);
}

int main(int argc, char **argv)
{
	static struct filesystem *const used[] = { &filesystems[0], &filesystems[2] };
	static const struct filesystem_test tests[] = {
		{ denied, "a listener says no" },
		{ unanswered, "a listener does not answer" },
	};
	static struct pairing pairings[ARRAY_SIZE(used)][ARRAY_SIZE(kinds)];
	int status;

	require_device();
	filesystems_begin();
	for (unsigned int i = 0; i < ARRAY_SIZE(used); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(kinds); j++) {
			pairings[i][j] = (struct pairing){ used[i], &kinds[j] };
			tap_add(held_by, &pairings[i][j], "%s: %s", used[i]->name, kinds[j].name);
		}
		filesystem_add(used[i], tests, ARRAY_SIZE(tests));
		filesystem_add_check(used[i]);
	}
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
