// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test ends contexts, maps, files, processes and the module in every
 * order, with I/O in flight or not: what is in use stays, what is not goes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slow.h"

static long long module_references(void)
{
	return file_number("/sys/module/nvme_dmabuf/refcnt");
}

/*
 * The child is killed while the drive works for it. Its exit ends the context;
 * the drive finishes, and nothing of it is left.
 */
static void killed(const void *arg)
{
	const char *path = drive_path("SLOW");
	long long references = module_references();
	struct rig rig;
	int status;
	pid_t child;

	(void)arg;
	rig_open(&rig, path, exporter_any(), 4 * MIB, 64 * KIB);
	child = check_sys(fork());
	if (!child) {
		struct nvme_dmabuf_command commands[SLOW_COMMANDS];
		struct nvme_dmabuf_completion completions[SLOW_COMMANDS];
		struct nvmedmabuf *ctx = ctx_open();
		uint32_t map = attach(ctx, rig.buffer.fd, rig.drive.fd, 0, 2 * MIB,
				      NVME_DMABUF_ACCESS_READ);

		slow_commands(commands, map, rig.drive.block);
		nvmedmabuf_submit(ctx, commands, completions, SLOW_COMMANDS);
		_exit(99);
	}
	wait_until(is_waiting(child));
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_that(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		   "the child finished before it could be killed: %#x", status);
	/* Our own context is all that is open. */
	wait_until(module_references() == references + 1);

	/* Only the first 2 MiB may have changed, and by the drive's data only. */
	buffer_begin_cpu(&rig.buffer);
	compare("dma-buf behind the map", rig.buffer.addr + 2 * MIB, rig.mirror + 2 * MIB,
		rig.buffer.size - 2 * MIB, 2 * MIB);
	memcpy(rig.mirror, rig.buffer.addr, 2 * MIB);
	buffer_end_cpu(&rig.buffer);
	rig_attach_all(&rig);
	rig_read(&rig, 0, SLOW_LENGTH, rig.first);
	rig_verify(&rig);
	rig_close(&rig);
}

/* close() takes the number away; the call in progress goes on. */
static void closed_in_flight(const void *arg)
{
	const char *path = drive_path("SLOW");
	static struct submitter s;
	struct nvmedmabuf *ctx;
	struct rig rig;
	uint32_t map;

	(void)arg;
	rig_open(&rig, path, exporter_any(), 2 * MIB, 64 * KIB);
	ctx = ctx_open();
	map = attach(ctx, rig.buffer.fd, rig.drive.fd, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	submitter_start(&s, ctx, map, rig.drive.block);
	check_sys(close(nvmedmabuf_fd(ctx)));
	check(is_waiting(s.thread));
	submitter_join(&s);
	check_all_read(&s);
	wait_until(module_references() == 1);
	rig_close(&rig);
}

/* detach waits for the commands in flight; new ones find no map at once. */
static void *detach_run(void *arg)
{
	struct submitter *s = arg;

	return (void *)(intptr_t)nvmedmabuf_detach(s->ctx, s->commands[0].map);
}

static void detached_in_flight(const void *arg)
{
	const char *path = drive_path("SLOW");
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_completion c;
	static struct submitter s;
	pthread_t detacher;
	uint32_t map;
	struct rig rig;
	void *result;

	(void)arg;
	rig_open(&rig, path, exporter_any(), 2 * MIB, 64 * KIB);
	map = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
	submitter_start(&s, rig.ctx, map, rig.drive.block);
	check_eq(pthread_create(&detacher, NULL, detach_run, &s), 0);
	wait_until(nvmedmabuf_get_map_info(rig.ctx, map, &info) == -ENOENT);
	check_eq(nvmedmabuf_read(rig.ctx, map, 0, rig.drive.block, 0, &c), -ENOENT);
	check_eq(c.reason, NVME_DMABUF_REASON_NO_MAP);
	check_eq(nvmedmabuf_detach(rig.ctx, map), -ENOENT);
	check_eq(pthread_join(detacher, &result), 0);
	check_eq((intptr_t)result, 0);
	submitter_join(&s);
	check_all_read(&s);
	rig_close(&rig);
}

/* Once anybody was told that there is no such map, it takes no command. */
static void *detach_at_once(void *arg)
{
	const struct rig *rig = arg;

	return (void *)(intptr_t)nvmedmabuf_detach(rig->ctx, rig->map);
}

static void detached_at_once(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	pthread_t detacher;
	struct rig rig;
	void *result;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	for (unsigned int i = 0; i < 300; i++) {
		rig.map = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, MIB,
				 NVME_DMABUF_ACCESS_READ);
		/* So that the context remembers it. */
		check_eq(nvmedmabuf_read(rig.ctx, rig.map, 0, rig.drive.block, 0, NULL), 0);
		check_eq(pthread_create(&detacher, NULL, detach_at_once, &rig), 0);
		while (nvmedmabuf_get_map_info(rig.ctx, rig.map, &info) != -ENOENT)
			sched_yield();
		check_eq(nvmedmabuf_read(rig.ctx, rig.map, 0, rig.drive.block, 0, NULL), -ENOENT);
		check_eq(pthread_join(detacher, &result), 0);
		check_eq((intptr_t)result, 0);
	}
	rig.map = 0;
	rig_close(&rig);
}

/* The map keeps what it needs. */
static void files_closed(const void *arg)
{
	uint64_t block;
	struct rig rig;
	int ns_fd, dmabuf_fd;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	ns_fd = check_sys(open(rig.drive.path, (may_erase() ? O_RDWR : O_RDONLY) | O_CLOEXEC));
	dmabuf_fd = check_sys(dup(rig.buffer.fd));
	rig.map = attach(rig.ctx, dmabuf_fd, ns_fd, 0, MIB, rig_access());
	rig.length = MIB;
	close(ns_fd);
	close(dmabuf_fd);
	block = rig.drive.block;
	rig_read(&rig, 0, 8 * block, rig.first);
	if (may_erase())
		rig_write(&rig, 4, 8 * block, rig.first + 8);
	rig_verify(&rig);
	rig_close(&rig);
}

/*
 * The dma-buf's last descriptor and the CPU's mapping of it are gone too: only
 * the map keeps the memory. A second map of what is left shows what was read.
 */
static void dmabuf_closed(const void *arg)
{
	struct nvme_dmabuf_completion c;
	struct buffer buffer;
	struct nvmedmabuf *ctx;
	struct drive drive;
	uint8_t *before, *after;
	uint32_t map;

	(void)arg;
	require_erase();
	drive_open(&drive, main_drive());
	ctx = ctx_open();
	buffer_alloc(&buffer, exporter_any(), MIB);
	map = attach(ctx, buffer.fd, drive.fd, 0, MIB, ACCESS_BOTH);
	buffer_free(&buffer);

	before = pages_alloc(MIB);
	after = pages_alloc(MIB);
	rnd_fill(before, MIB);
	drive_write(&drive, 0, before, MIB);
	check_eq(nvmedmabuf_read(ctx, map, 0, MIB, 0, &c), 0);
	check_eq(nvmedmabuf_write(ctx, map, 0, MIB, MIB / drive.block, &c), 0);
	drive_read(&drive, MIB / drive.block, after, MIB);
	compare("copy by way of a closed dma-buf", after, before, MIB, 0);
	check_eq(nvmedmabuf_detach(ctx, map), 0);
}

/* Sum of all "Total N devices attached" of the kernel's list of dma-bufs. */
static int attachments(void)
{
	FILE *f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "r");
	char line[256];
	int count, end, sum = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		end = 0;
		if (sscanf(line, "Total %d devices attached%n", &count, &end) == 1 && end)
			sum += count;
	}
	fclose(f);
	return sum;
}

/* dma-bufs that exist in the kernel. */
static int dmabufs(void)
{
	FILE *f = fopen("/sys/kernel/debug/dma_buf/bufinfo", "r");
	int count = -1, number, end;
	char line[256];

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		end = 0;
		if (sscanf(line, "Total %d objects%n", &number, &end) == 1 && end)
			count = number;
	}
	fclose(f);
	return count;
}

struct slab {
	char name[64];
	long active;
};

static unsigned int slabs(struct slab *list, unsigned int size)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	unsigned int count = 0;
	char line[512];

	if (!f)
		return 0;
	while (count < size && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", list[count].name, &list[count].active) == 2)
			count++;
	fclose(f);
	return count;
}

/* Has any cache grown by as many objects as there were rounds, or nearly? */
static const char *grown_slab(const struct slab *before, unsigned int count, long rounds)
{
	static struct slab now[512];
	unsigned int now_count = slabs(now, ARRAY_SIZE(now));

	for (unsigned int i = 0; i < count; i++)
		for (unsigned int j = 0; j < now_count; j++)
			if (!strcmp(before[i].name, now[j].name) &&
			    now[j].active - before[i].active > rounds * 3 / 4)
				return now[j].name;
	return NULL;
}

/* KASAN keeps freed objects for a while, which then count as active. */
static void shrink_slab(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/slab/%.64s/shrink", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		note("%s: %m", path);
	close(fd);
}

static long long free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	long long value = -1;
	char line[128];

	check(f);
	while (value < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "MemAvailable: %lld", &value);
	fclose(f);
	return value;
}

/* Is about as much free again, within some time? */
static bool comes_back(long long kib)
{
	for (uint64_t end = now_ms() + 20000; now_ms() < end; pause_ms())
		if (free_kib() > kib - 8 * 1024)
			return true;
	note("%lld KiB less", kib - free_kib());
	return false;
}

static void make_maps(struct rig *rig, unsigned int rounds)
{
	uint32_t map = 0;

	/* Detaching takes a while each, closing a context all at once. */
	for (unsigned int i = 0; i < rounds; i += 50) {
		struct nvmedmabuf *ctx = ctx_open();

		for (unsigned int j = 0; j < 50; j++)
			map = attach(ctx, rig->buffer.fd, rig->drive.fd, 0, 4 * MIB, rig_access());
		for (unsigned int j = 0; j < 4; j++) {
			check_eq(nvmedmabuf_read(ctx, map, 0, rig->drive.block, 0, NULL), 0);
			check_eq(nvmedmabuf_detach(ctx, map--), 0);
		}
		nvmedmabuf_close(ctx);
	}
}

/*
 * What one round leaves behind is small; what 1,000 leave is not: one object
 * of a slab cache each, or 64 KiB of PRP lists each.
 */
static void no_growth(const void *arg)
{
	const unsigned int rounds = 1000;
	static struct slab before[512];
	long long memory, references;
	unsigned int count, files;
	const char *grown;
	struct rig rig;
	int attached;
	uint32_t map;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), 4 * MIB, 64 * KIB);
	for (int i = 0; i < 10; i++) {
		map = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, 4 * MIB, rig_access());
		check_eq(nvmedmabuf_detach(rig.ctx, map), 0);
	}
	attached = attachments();
	references = module_references();
	files = open_files();
	memory = free_kib();
	count = slabs(before, ARRAY_SIZE(before));

	make_maps(&rig, rounds);
	check_eq(open_files(), files);
	check_eq(module_references(), references);
	if (attached < 0)
		note("no debugfs: attachments not counted");
	else
		wait_until(attachments() == attached);
	/*
	 * Lists of 1,000 maps would be 16 MiB. Freed objects may wait for RCU, and the
	 * kernel's caches may grow, but not again; a debug kernel keeps what was freed for
	 * long, but finds itself what is lost.
	 */
	if (access("/sys/kernel/debug/kmemleak", F_OK) && !comes_back(memory)) {
		memory = free_kib();
		make_maps(&rig, rounds);
		check(comes_back(memory));
	}
	if (!count)
		note("no /proc/slabinfo: objects not counted");
	for (uint64_t end = now_ms() + 30000; (grown = grown_slab(before, count, rounds));
	     pause_ms()) {
		check_that(now_ms() < end, "%s grew by an object per round", grown);
		shrink_slab(grown);
	}
	rig_close(&rig);
}

/* Closing a context with many maps is as good as detaching them. */
static void contexts_closed(const void *arg)
{
	int attached, existing = dmabufs();
	struct rig rig;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, 64 * KIB);
	attached = attachments();
	for (int i = 0; i < 20; i++) {
		struct nvmedmabuf *ctx = ctx_open();

		for (int j = 0; j < 20; j++)
			attach(ctx, rig.buffer.fd, rig.drive.fd, j * PAGE, PAGE, rig_access());
		nvmedmabuf_close(ctx);
		check_eq(module_references(), 1);
	}
	if (attached < 0 || existing < 0)
		skip("no debugfs: dma-bufs and attachments cannot be counted");
	check_eq(attachments(), attached);
	/* Nobody keeps the dma-buf either. */
	check_eq(dmabufs(), existing + 1);
	rig_close(&rig);
	wait_until(dmabufs() == existing);
}

/* A child inherits the file, and with it the maps; both can use them. */
static void forked(const void *arg)
{
	struct rig rig;
	int status;
	pid_t child;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, MIB);
	rig_attach_all(&rig);
	child = check_sys(fork());
	if (!child) {
		rig_read(&rig, 0, 8 * rig.drive.block, rig.first);
		if (may_erase())
			rig_write(&rig, 0, 8 * rig.drive.block, rig.first + 8);
		/* One more map, which the parent will find. */
		check_eq(attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE,
				NVME_DMABUF_ACCESS_READ),
			 rig.map + 1);
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	/* The copies of what must be there are each process's own: start afresh. */
	buffer_begin_cpu(&rig.buffer);
	memcpy(rig.mirror, rig.buffer.addr, rig.buffer.size);
	buffer_end_cpu(&rig.buffer);
	drive_read(&rig.drive, rig.first, rig.disk, rig.count * rig.drive.block);
	rig_read(&rig, 0, 8 * rig.drive.block, rig.first + 16);
	check_eq(nvmedmabuf_detach(rig.ctx, rig.map + 1), 0);
	rig_verify(&rig);
	rig_close(&rig);
}

static void send_file(int socket, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	check_eq(sendmsg(socket, &message, 0), 1);
}

static int receive_file(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd;

	check_eq(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
	check(CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	return fd;
}

/*
 * A process that may open nothing gets a context and uses its map; the
 * sender's own descriptors are closed by then.
 */
static void passed_on(const void *arg)
{
	struct rig rig;
	int sockets[2], status;
	uint32_t map;
	pid_t child;

	(void)arg;
	check_sys(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = check_sys(fork());
	if (!child) {
		struct nvmedmabuf *ctx;
		struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
		uint32_t number;

		check_sys(setuid(65534));
		check_eq(open(DEVICE, O_RDWR), -1);
		check_eq(errno, EACCES);
		check_eq(nvmedmabuf_open_fd(receive_file(sockets[1]), &ctx), 0);
		check_eq(read(sockets[1], &number, sizeof(number)), sizeof(number));
		check_eq(nvmedmabuf_get_map_info(ctx, number, &info), 0);
		check_eq(nvmedmabuf_read(ctx, number, 0, info.out_block_size, 0, NULL), 0);
		check_eq(nvmedmabuf_detach(ctx, number), 0);
		_exit(0);
	}
	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	map = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, MIB, NVME_DMABUF_ACCESS_READ);
	send_file(sockets[0], nvmedmabuf_fd(rig.ctx));
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
	close(rig.buffer.fd);
	check_eq(write(sockets[0], &map, sizeof(map)), sizeof(map));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	check_eq(module_references(), 0);
}

/* The context lives in the kernel's queue of messages, and dies with it. */
static void passed_to_nobody(const void *arg)
{
	int sockets[2], attached = attachments();
	struct rig rig;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, 0);
	attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, MIB, NVME_DMABUF_ACCESS_READ);
	check_sys(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	send_file(sockets[0], nvmedmabuf_fd(rig.ctx));
	nvmedmabuf_close(rig.ctx);
	check_eq(module_references(), 1);
	close(sockets[0]);
	close(sockets[1]);
	wait_until(module_references() == 0);
	if (attached >= 0)
		wait_until(attachments() == attached);
}

static void unload(const void *arg)
{
	const char *path = module_path();
	struct rig rig;

	(void)arg;
	rig_open(&rig, main_drive(), exporter_any(), MIB, 64 * KIB);
	rig_attach_all(&rig);
	check_eq(module_remove(), -EWOULDBLOCK);
	rig_read(&rig, 0, rig.drive.block, rig.first);
	rig_detach(&rig);
	check_eq(module_remove(), -EWOULDBLOCK);
	nvmedmabuf_close(rig.ctx);

	for (int i = 0; i < 5; i++) {
		check_eq(module_references(), 0);
		check_eq(module_remove(), 0);
		check_eq(access(DEVICE, F_OK), -1);
		module_insert(path, "");
		rig.ctx = ctx_open();
		rig_attach_all(&rig);
		rig_read(&rig, 0, rig.drive.block, rig.first);
		rig_detach(&rig);
		nvmedmabuf_close(rig.ctx);
	}
	rig.ctx = ctx_open();
	rig_verify(&rig);
	rig_close(&rig);
}

/* Unloading right after a submitter was killed: nothing of it may still run. */
static void unload_after_kill(const void *arg)
{
	const char *path = drive_path("SLOW"), *module = module_path();
	int status, result;
	pid_t child;

	(void)arg;
	child = check_sys(fork());
	if (!child) {
		struct nvme_dmabuf_command commands[SLOW_COMMANDS];
		struct nvme_dmabuf_completion completions[SLOW_COMMANDS];
		struct rig rig;

		rig_open(&rig, path, exporter_any(), 2 * MIB, 0);
		rig_attach(&rig, 0, 2 * MIB, NVME_DMABUF_ACCESS_READ);
		slow_commands(commands, rig.map, rig.drive.block);
		nvmedmabuf_submit(rig.ctx, commands, completions, SLOW_COMMANDS);
		_exit(99);
	}
	wait_until(is_waiting(child));
	check_sys(kill(child, SIGKILL));
	/* Try while it drains, too. */
	do
		result = module_remove();
	while (result == -EWOULDBLOCK);
	check_eq(result, 0);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status));
	module_insert(module, "");
}

static void map_limit(const void *arg)
{
	static const char parameter[] = "/sys/module/nvme_dmabuf/parameters/max_maps";
	struct nvme_dmabuf_info info = { .size = sizeof(info) };
	uint32_t maps[5], reason, extra;
	struct nvmedmabuf *other;
	char limit[16];
	struct rig rig;
	int result;

	(void)arg;
	require_disposable();
	rig_open(&rig, main_drive(), exporter_any(), MIB, 64 * KIB);
	check_eq(nvmedmabuf_get_info(rig.ctx, &info), 0);
	check_eq(info.out_max_maps, file_number(parameter));
	check(file_put(parameter, "5"));

	for (int i = 0; i < 5; i++)
		maps[i] = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE,
				 NVME_DMABUF_ACCESS_READ);
	reason = ~0U;
	result = attach_to(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE, NVME_DMABUF_ACCESS_READ,
			   0, &extra, &reason);
	/* Of this context only. */
	other = ctx_open();
	attach(other, rig.buffer.fd, rig.drive.fd, 0, PAGE, NVME_DMABUF_ACCESS_READ);
	check_eq(nvmedmabuf_detach(rig.ctx, maps[2]), 0);
	maps[2] = attach(rig.ctx, rig.buffer.fd, rig.drive.fd, 0, PAGE, NVME_DMABUF_ACCESS_READ);

	snprintf(limit, sizeof(limit), "%u", info.out_max_maps);
	check(file_put(parameter, limit));
	check_eq(result, -ENOSPC);
	check_eq(reason, NVME_DMABUF_REASON_MAP_LIMIT);
	for (int i = 0; i < 5; i++)
		check_eq(nvmedmabuf_detach(rig.ctx, maps[i]), 0);
	rig_close(&rig);
}

int main(int argc, char **argv)
{
	require_device();
	tap_add(files_closed, NULL, "files are closed after attach");
	tap_add(dmabuf_closed, NULL, "the last descriptor of a dma-buf is closed");
	tap_add(contexts_closed, NULL, "contexts are closed with their maps");
	tap_add(no_growth, NULL, "1,000 maps leave nothing behind");
	tap_add(map_limit, NULL, "the limit of maps");
	tap_add(forked, NULL, "a context is inherited");
	tap_add(passed_on, NULL, "a context is passed to another process");
	tap_add(passed_to_nobody, NULL, "a context is in a message that nobody reads");
	tap_add(killed, NULL, "a process is killed with I/O in flight");
	tap_add(closed_in_flight, NULL, "a context is closed with I/O in flight");
	tap_add(detached_in_flight, NULL, "a map is detached with I/O in flight");
	tap_add(detached_at_once, NULL, "a map that is being detached takes no command");
	tap_add(unload, NULL, "the module is unloaded");
	tap_add(unload_after_kill, NULL, "the module is unloaded after a process was killed");
	return tap_run(argc, argv);
}
