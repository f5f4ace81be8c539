// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test runs the example ublk-serve, and is its client: what it writes to the block device
 * is on the drive afterwards, what it reads is in its memory, and the server's own count tells
 * which way each request went. Clients are killed while they read and write, and the server is
 * told to end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

#include "../../userlib/examples/ublk.h"
#include "filesystem.h"
#include "ring.h"

#define SERVER	"../../userlib/examples/ublk-serve"
#define SHARED	(4 * MIB) /* what the server and its clients share */
#define WINDOW	(4 * MIB) /* what is used of the drive, from its start */
#define LONGEST (512 * KIB)
#define CLIENTS 4
#define FUA	(1 << 14) /* Force Unit Access, in the control field of a Write */
#define TRACING "/sys/kernel/tracing/"

/**
 * struct served - a block device that the server makes
 * @server, @says: the process and its output
 * @path: of the namespace or file below
 * @name, @fd: of the block device; open with O_DIRECT
 * @block: bytes of its logical block
 * @shared: the memory that all share
 * @mirror, @disk: what that and the window must hold
 */
struct served {
	pid_t server;
	FILE *says;
	const char *path;
	char name[32];
	int fd;
	uint64_t block;
	uint8_t *shared;
	uint8_t *mirror;
	uint8_t *disk;
};

/* Ends with this process, whatever becomes of the test. */
static pid_t start_server(const char *path, FILE **says)
{
	char program[512] = "", *slash;
	int output[2];
	pid_t child;

	check_sys(readlink("/proc/self/exe", program, sizeof(program) - sizeof(SERVER) - 1));
	slash = strrchr(program, '/');
	check(slash);
	strcpy(slash + 1, SERVER);
	check_sys(pipe2(output, O_CLOEXEC));
	child = check_sys(fork());
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(output[1], STDOUT_FILENO);
		execl(program, program, path, "4", NULL);
		fail("%s: %m", program);
	}
	check_sys(close(output[1]));
	*says = fdopen(output[0], "r");
	check(*says);
	return child;
}

static void read_window(const char *path, uint8_t *to)
{
	int fd = check_sys(open(path, O_RDONLY | O_DIRECT | O_CLOEXEC));

	for (uint64_t at = 0; at < WINDOW; at += MIB)
		check_eq(pread(fd, to + at, MIB, at), MIB);
	check_sys(close(fd));
}

/* The window has random content. */
static void open_served(struct served *s, const char *path)
{
	char memory[64];
	int fd, block;

	*s = (struct served){ .path = path };
	s->mirror = pages_alloc(SHARED);
	s->disk = pages_alloc(WINDOW);
	rnd_fill(s->disk, WINDOW);
	fd = check_sys(open(path, O_WRONLY | O_DIRECT | O_CLOEXEC));
	for (uint64_t at = 0; at < WINDOW; at += MIB)
		check_eq(pwrite(fd, s->disk + at, MIB, at), MIB);
	check_sys(close(fd));

	s->server = start_server(path, &s->says);
	check_that(fscanf(s->says, "%31s %63s", s->name, memory) == 2, "the server did not start");
	s->fd = check_sys(open(s->name, O_RDWR | O_DIRECT | O_CLOEXEC));
	check_sys(ioctl(s->fd, BLKSSZGET, &block));
	s->block = block;
	fd = check_sys(open(memory, O_RDWR | O_CLOEXEC));
	s->shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(s->shared != MAP_FAILED);
	check_sys(close(fd));
}

/* The server ends well, its device is gone, and the drive has what was written. */
static void close_served(struct served *s, unsigned long long *direct, unsigned long long *copied)
{
	uint8_t *actual = pages_alloc(WINDOW);
	int status;

	check_sys(kill(s->server, SIGTERM));
	check_eq(fscanf(s->says, " %llu requests went directly, %llu were copied", direct, copied),
		 2);
	check_eq(check_sys(waitpid(s->server, &status, 0)), s->server);
	check_eq(status, 0);
	check_that(access(s->name, F_OK) && errno == ENOENT, "%s is still there", s->name);
	note("%llu requests went directly, %llu were copied", *direct, *copied);
	compare("the shared memory", s->shared, s->mirror, SHARED, 0);
	read_window(s->path, actual);
	compare("the drive", actual, s->disk, WINDOW, 0);
	fclose(s->says);
	check_sys(close(s->fd));
	check_sys(munmap(s->shared, SHARED));
	check_sys(munmap(actual, WINDOW));
	check_sys(munmap(s->mirror, SHARED));
	check_sys(munmap(s->disk, WINDOW));
}

static void write_shared(struct served *s, uint64_t at, uint64_t length, uint64_t position)
{
	rnd_fill(s->shared + at, length);
	memcpy(s->mirror + at, s->shared + at, length);
	memcpy(s->disk + position, s->shared + at, length);
	check_eq(pwrite(s->fd, s->shared + at, length, position), length);
}

static void read_shared(struct served *s, uint64_t at, uint64_t length, uint64_t position)
{
	memcpy(s->mirror + at, s->disk + position, length);
	check_eq(pread(s->fd, s->shared + at, length, position), length);
	compare("the shared memory", s->shared, s->mirror, SHARED, 0);
}

/* One request anywhere, aligned no more than ublk and the drive want it. */
static void transfer(struct served *s)
{
	uint64_t length = s->block * (1 + rnd_below(LONGEST / s->block));
	uint64_t at = 4 * rnd_below((SHARED - length) / 4 + 1);
	uint64_t position = s->block * rnd_below((WINDOW - length) / s->block + 1);

	if (rnd_below(2))
		write_shared(s, at, length, position);
	else
		read_shared(s, at, length, position);
}

/* The kernel itself looks for partitions, so there are also requests that are copied. */
static void directly(const char *path)
{
	unsigned long long direct, copied;
	unsigned int count = scaled(40);
	struct iovec parts[2];
	struct served s;

	open_served(&s, path);
	read_shared(&s, 0, LONGEST, 0);
	read_shared(&s, SHARED - s.block, s.block, WINDOW - s.block);
	write_shared(&s, SHARED - LONGEST, LONGEST, WINDOW - LONGEST);
	write_shared(&s, PAGE - 4, s.block, 0);
	for (unsigned int i = 0; i < count; i++)
		transfer(&s);
	/* Two parts that are one in the shared memory. */
	parts[0] = (struct iovec){ s.shared, PAGE };
	parts[1] = (struct iovec){ s.shared + PAGE, 2 * PAGE };
	memcpy(s.mirror, s.disk + MIB, 3 * PAGE);
	check_eq(preadv(s.fd, parts, 2, MIB), 3 * PAGE);
	close_served(&s, &direct, &copied);
	check_eq(direct, 5 + count);
}

static void namespace_directly(const void *arg)
{
	directly(drive_path(arg));
}

static void file_directly(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;
	struct file file;

	filesystem_mount(fs);
	file_create(fs, &file, "served", WINDOW);
	file_sync(&file);
	directly(file.path);
	file_remove(&file);
}

/* Memory of the client's own, the page cache, and shared memory in another order. */
static void copied_instead(const void *arg)
{
	uint8_t *own = pages_alloc(LONGEST + PAGE);
	unsigned long long direct, copied;
	struct iovec parts[2];
	struct served s;
	int cached;

	(void)arg;
	open_served(&s, main_drive());
	/* Nobody mounts it meanwhile. */
	check(open(main_drive(), O_RDONLY | O_EXCL | O_CLOEXEC) < 0 && errno == EBUSY);
	for (unsigned int shift = 0; shift < PAGE; shift += PAGE / 2 + 4) {
		rnd_fill(own, LONGEST + PAGE);
		memcpy(s.disk + MIB, own + shift, LONGEST);
		check_eq(pwrite(s.fd, own + shift, LONGEST, MIB), LONGEST);
		rnd_fill(own, LONGEST + PAGE);
		check_eq(pread(s.fd, own + shift, LONGEST, MIB), LONGEST);
		compare("memory of one's own", own + shift, s.disk + MIB, LONGEST, 0);
	}
	cached = check_sys(open(s.name, O_RDWR | O_CLOEXEC));
	rnd_fill(own, LONGEST);
	memcpy(s.disk, own, LONGEST);
	check_eq(pwrite(cached, own, LONGEST, 0), LONGEST);
	check_sys(fsync(cached));
	check_eq(pread(cached, own, LONGEST, 2 * MIB), LONGEST);
	compare("what is cached", own, s.disk + 2 * MIB, LONGEST, 0);
	check_sys(close(cached));
	parts[0] = (struct iovec){ s.shared + PAGE, PAGE };
	parts[1] = (struct iovec){ s.shared, PAGE };
	memcpy(s.mirror + PAGE, s.disk, PAGE);
	memcpy(s.mirror, s.disk + PAGE, PAGE);
	check_eq(preadv(s.fd, parts, 2, 0), 2 * PAGE);
	close_served(&s, &direct, &copied);
	check_eq(direct, 0);
	check(copied >= 7);
	check_sys(munmap(own, LONGEST + PAGE));
}

/* Commands that the nvme driver has sent. */
struct sent {
	unsigned int writes;
	unsigned int fua;
	unsigned int flushes;
};

static struct sent traced(void)
{
	struct sent sent = { 0 };
	unsigned int control;
	char text[512], *at;
	FILE *f = fopen(TRACING "trace", "r");

	check(f);
	while (fgets(text, sizeof(text), f)) {
		sent.flushes += !!strstr(text, "(nvme_cmd_flush ");
		if (!strstr(text, "(nvme_cmd_write "))
			continue;
		at = strstr(text, "ctrl=");
		check_that(at && sscanf(at, "ctrl=%x", &control) == 1, "no ctrl: %s", text);
		sent.writes++;
		sent.fua += !!(control & FUA);
	}
	fclose(f);
	return sent;
}

static void check_sent(unsigned int writes, unsigned int fua, unsigned int flushes)
{
	struct sent sent = traced();

	check_eq(sent.writes, writes);
	check_eq(sent.fua, fua);
	check_eq(sent.flushes, flushes);
}

static void flush_and_fua(const void *arg)
{
	unsigned long long direct, copied;
	struct iovec part;
	struct served s;

	(void)arg;
	open_served(&s, main_drive());
	if (!file_put(TRACING "events/nvme/nvme_setup_cmd/enable", "1"))
		skip("the nvme driver has no trace events");
	fclose(fopen(TRACING "trace", "w"));
	write_shared(&s, 0, PAGE, 0);
	check_sent(1, 0, 0);
	check_sys(fdatasync(s.fd));
	check_sent(1, 0, 1);
	part = (struct iovec){ s.shared, PAGE };
	memcpy(s.disk + PAGE, s.mirror, PAGE);
	/* FUA for the data, and then a Flush, as for any block device. */
	check_eq(pwritev2(s.fd, &part, 1, PAGE, RWF_DSYNC), PAGE);
	check_sent(2, 1, 2);
	check(file_put(TRACING "events/nvme/nvme_setup_cmd/enable", "0"));
	close_served(&s, &direct, &copied);
	check_eq(direct, 2);
}

/* Reads to and writes from the first half of the memory, until one fails: then it ends well. */
static pid_t start_client(const struct served *s, unsigned int number, int begun)
{
	pid_t child = check_sys(fork());
	ssize_t done = 1;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rnd_start(number);
	for (unsigned int i = 0; done > 0; i++) {
		uint64_t length = s->block * (1 + rnd_below(LONGEST / s->block));
		uint8_t *at = s->shared + 4 * rnd_below((SHARED / 2 - length) / 4 + 1);
		uint64_t position = s->block * rnd_below((WINDOW - length) / s->block + 1);

		done = i % 2 ? pwrite(s->fd, at, length, position) :
			       pread(s->fd, at, length, position);
		if (i == 10)
			check_eq(write(begun, "", 1), 1);
	}
	_exit(0);
}

/* All have read and written when it returns, and go on doing so. */
static void start_clients(const struct served *s, pid_t clients[CLIENTS])
{
	int begun[2];
	char byte;

	check_sys(pipe(begun));
	for (unsigned int i = 0; i < CLIENTS; i++)
		clients[i] = start_client(s, i, begun[1]);
	check_sys(close(begun[1]));
	for (unsigned int i = 0; i < CLIENTS; i++)
		check_eq(read(begun[0], &byte, 1), 1);
	check_sys(close(begun[0]));
}

static void end_clients(const pid_t clients[CLIENTS], int wanted)
{
	int status;

	for (unsigned int i = 0; i < CLIENTS; i++) {
		check_eq(check_sys(waitpid(clients[i], &status, 0)), clients[i]);
		check_eq(status, wanted);
	}
}

static void clients_killed(const void *arg)
{
	unsigned long long direct, copied;
	pid_t clients[CLIENTS];
	struct served s;

	(void)arg;
	open_served(&s, main_drive());
	rnd_fill(s.mirror, SHARED);
	memcpy(s.shared, s.mirror, SHARED);
	for (unsigned int round = 0; round < scaled(4); round++) {
		start_clients(&s, clients);
		for (unsigned int i = 0; i < CLIENTS; i++)
			check_sys(kill(clients[i], SIGKILL));
		end_clients(clients, SIGKILL);
		/* What they did is over now, and the others' memory is as it was. */
		memcpy(s.mirror, s.shared, SHARED / 2);
		read_window(s.name, s.disk);
		for (unsigned int i = 0; i < 5; i++)
			transfer(&s);
	}
	close_served(&s, &direct, &copied);
	check(direct >= scaled(4) * (CLIENTS * 10 + 5));
}

static void server_ends(const void *arg)
{
	unsigned long long direct, copied;
	pid_t clients[CLIENTS];
	struct served s;
	int status;

	(void)arg;
	open_served(&s, main_drive());
	start_clients(&s, clients);
	check_sys(kill(s.server, SIGTERM));
	check_eq(fscanf(s.says, " %llu requests went directly, %llu were copied", &direct, &copied),
		 2);
	check_eq(check_sys(waitpid(s.server, &status, 0)), s.server);
	check_eq(status, 0);
	end_clients(clients, 0);
	check(access(s.name, F_OK) && errno == ENOENT);
	check(direct >= CLIENTS * 10);
}

/* Asked of the kernel, and not of the server. */
static void require_ublk(void)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct ublksrv_ctrl_cmd *cmd;
	struct io_uring ring;
	uint64_t features = 0;
	int fd;

	run_quietly("modprobe ublk_drv");
	fd = open("/dev/ublk-control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		tap_skip_all("the kernel has no ublk");
	check_eq(io_uring_queue_init(1, &ring, IORING_SETUP_SQE128), 0);
	sqe = io_uring_get_sqe(&ring);
	check(sqe);
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = UBLK_U_CMD_GET_FEATURES;
	cmd = (void *)sqe->cmd;
	cmd->addr = (uintptr_t)&features;
	cmd->len = sizeof(features);
	check_eq(io_uring_submit_and_wait(&ring, 1), 1);
	check_eq(io_uring_peek_cqe(&ring, &cqe), 0);
	io_uring_queue_exit(&ring);
	close(fd);
	if (!(features & UBLK_F_SHMEM_ZC))
		tap_skip_all("the kernel's ublk shares no memory");
}

int main(int argc, char **argv)
{
	int status;

	require_device();
	require_erase();
	require_disposable();
	require_ublk();
	tap_add(copied_instead, NULL, "other memory: every request is copied");
	tap_add(flush_and_fua, NULL, "Flush and FUA reach the drive");
	tap_add(clients_killed, NULL, "clients are killed");
	tap_add(server_ends, NULL, "the server is told to end");
	tap_add(namespace_directly, "FILES512", "shared memory: every request goes directly");
	tap_add(namespace_directly, "FILES4K", "the same, with blocks of 4 KiB");
	filesystems_begin();
	/* XFS and ext4, each once. */
	for (unsigned int i = 0; i < FILESYSTEMS; i += 2)
		tap_add(file_directly, &filesystems[i], "the same, with a file on %s",
			filesystems[i].name);
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
