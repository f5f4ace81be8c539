// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches maps whose lists take more memory than there is: more than the caller's
 * memory cgroup allows, more than any machine has, and so much that there is time to kill
 * the caller before it is done. The caller gets ENOMEM or dies at once, and nothing is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exported.h"

#define GIB   (1024 * MIB)
#define PIECE (4 * MIB)

/* A dma-buf of any size, in which the same 4 MiB stand again and again. */
static void large_create(struct exported *b, uint64_t size)
{
	uint32_t count = size / PIECE;
	struct exporter_segment *segments = calloc(count, sizeof(*segments));

	check(segments);
	for (uint32_t i = 0; i < count; i++)
		segments[i] = (struct exporter_segment){
			.length = PIECE,
			.flags = i ? EXPORTER_SEGMENT_ALIAS : 0,
		};
	exported_create(b, segments, count, 0);
	free(segments);
}

/*
 * A memory cgroup of version 2, below a mount of its own. The test machine's init mounts none.
 */
struct cgroup {
	char root[32];
	char path[64];
};

static void cgroup_file(const struct cgroup *group, const char *name, char path[128])
{
	snprintf(path, 128, "%s/%s", group->path, name);
}

static void cgroup_open(struct cgroup *group, uint64_t limit)
{
	char path[128], text[32];

	require_disposable();
	strcpy(group->root, "/tmp/nvme-dmabuf-XXXXXX");
	check(mkdtemp(group->root));
	if (mount("none", group->root, "cgroup2", 0, NULL)) {
		rmdir(group->root);
		skip("no cgroup2 here: %m");
	}
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group->root);
	if (!file_put(path, "+memory")) {
		umount(group->root);
		rmdir(group->root);
		skip("no memory cgroups here");
	}
	/* Of this process: what a test that failed has left is not in the way. */
	snprintf(group->path, sizeof(group->path), "%s/test-%d", group->root, getpid());
	check_sys(mkdir(group->path, 0700));
	cgroup_file(group, "memory.max", path);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)limit);
	check(file_put(path, text));
}

static void cgroup_enter(const struct cgroup *group)
{
	char path[128];

	cgroup_file(group, "cgroup.procs", path);
	check(file_put(path, "0"));
}

static long long cgroup_oom_kills(const struct cgroup *group)
{
	char path[128], line[64];
	long long kills = -1;
	FILE *f;

	cgroup_file(group, "memory.events", path);
	f = fopen(path, "r");
	check(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "oom_kill %lld", &kills);
	fclose(f);
	return kills;
}

static void cgroup_close(struct cgroup *group)
{
	/* Its last process may still be leaving. */
	wait_until(!rmdir(group->path) || errno != EBUSY);
	check_sys(umount(group->root));
	check_sys(rmdir(group->root));
}

static void child_succeeded(pid_t child)
{
	int status;

	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_that(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	check_eq(WEXITSTATUS(status), 0);
}

/* Lists of 16 MiB in a cgroup of 8 MiB. */
static void attach_in_cgroup(const void *arg)
{
	struct cgroup group;
	struct exported b;
	uint32_t map, reason;
	struct wire w;
	pid_t child;

	(void)arg;
	cgroup_open(&group, 8 * MIB);
	wire_open(&w, main_drive(), 64 * KIB);
	large_create(&b, 4 * GIB);
	child = check_sys(fork());
	if (!child) {
		cgroup_enter(&group);
		/* What was not given back would leave no room for the last one. */
		for (int i = 0; i < 3; i++) {
			check_eq(wire_attach(&w, &b, 0, 4 * GIB, &map, &reason), -ENOMEM);
			check_eq(reason, NVME_DMABUF_REASON_NONE);
			check_unused(&b);
		}
		check_eq(wire_attach(&w, &b, 0, GIB, &map, &reason), 0);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
		_exit(0);
	}
	child_succeeded(child);
	check_eq(cgroup_oom_kills(&group), 0);
	/* Nothing but the cgroup was in the way. */
	check_eq(wire_attach(&w, &b, 0, 4 * GIB, &map, &reason), 0);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
	cgroup_close(&group);
}

/* A list of 2 MiB, which a thousand maps share, in a cgroup of 16 MiB. */
static void shared_in_cgroup(const void *arg)
{
	struct cgroup group;
	struct exported b;
	uint32_t map, reason;
	struct wire w;
	pid_t child;

	(void)arg;
	cgroup_open(&group, 16 * MIB);
	wire_open(&w, main_drive(), 64 * KIB);
	large_create(&b, GIB / 2);
	child = check_sys(fork());
	if (!child) {
		cgroup_enter(&group);
		for (int i = 0; i < 1000; i++)
			check_eq(wire_attach(&w, &b, 0, GIB / 2, &map, &reason), 0);
		_exit(0);
	}
	child_succeeded(child);
	check_eq(cgroup_oom_kills(&group), 0);
	check_eq(exported_query(&b).out_maps, 1);
	wire_close(&w);
	check_unused(&b);
	exported_close(&b);
	cgroup_close(&group);
}

/*
 * Each takes a megabyte or so, and gives it back if that is too much: this leaves enough for
 * the test itself. Without the library, whose own memory may not run out.
 */
static void queues_in_cgroup(const void *arg)
{
	struct nvme_dmabuf_queue queue = { .size = sizeof(queue), .depth = 4096 };
	int fds[64], fd = device_open();
	struct cgroup group;
	unsigned int count = 0;
	pid_t child;

	(void)arg;
	cgroup_open(&group, 8 * MIB);
	child = check_sys(fork());
	if (!child) {
		cgroup_enter(&group);
		while (count < ARRAY_SIZE(fds) && !ioctl(fd, NVME_DMABUF_IOC_QUEUE, &queue))
			fds[count++] = queue.out_queue_fd;
		check_eq(errno, ENOMEM);
		check(count && count < ARRAY_SIZE(fds));
		while (count)
			check_sys(close(fds[--count]));
		_exit(0);
	}
	child_succeeded(child);
	check_eq(cgroup_oom_kills(&group), 0);
	check_sys(close(fd));
	cgroup_close(&group);
}

/* An exporter may say of a dma-buf that it is as large as it likes. */
static void absurd(const void *arg)
{
	/* Lists of 512 GiB, with a table of 2 GiB; of 4 TiB, with 16 GiB; none. */
	static const unsigned int shifts[] = { 47, 50, 62 };
	const struct exporter_segment segment = { .length = 4 * PAGE, .order = 2 };
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	(void)arg;
	wire_open(&w, main_drive(), 64 * KIB);
	for (unsigned int i = 0; i < ARRAY_SIZE(shifts); i++) {
		struct exporter_create create = {
			.size = 1ULL << shifts[i],
			.open_flags = O_RDWR,
		};
		int result;

		check_eq(exported_try(&b, create, &segment, 1), 0);
		result = wire_attach(&w, &b, 0, create.size, &map, &reason);
		if (shifts[i] == 62) {
			check_eq(result, -EOPNOTSUPP);
			check_eq(reason, NVME_DMABUF_REASON_SEGMENTS);
		} else {
			check_eq(result, -ENOMEM);
			check_eq(reason, NVME_DMABUF_REASON_NONE);
		}
		check_unused(&b);
		exported_close(&b);
	}
	wire_close(&w);
}

static double seconds(struct timeval t)
{
	return t.tv_sec + t.tv_usec / 1e6;
}

/*
 * Attaches in a child, which is killed after a time, or not if that is 0. Returns the time
 * that the kernel worked for it, or less than 0 if the child was done before the signal came.
 */
static double attach_and_kill(struct wire *w, struct exported *b, unsigned int after_us)
{
	struct rusage usage;
	int pipes[2], status;
	uint32_t map, reason;
	char byte = 0;
	pid_t child;

	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		check_eq(write(pipes[1], &byte, 1), 1);
		check_eq(wire_attach(w, b, 0, b->size, &map, &reason), 0);
		_exit(0);
	}
	check_eq(read(pipes[0], &byte, 1), 1);
	if (after_us) {
		usleep(after_us);
		check_sys(kill(child, SIGKILL));
	}
	check_eq(check_sys(wait4(child, &status, 0, &usage)), child);
	close(pipes[0]);
	close(pipes[1]);
	if (WIFEXITED(status)) {
		check_eq(WEXITSTATUS(status), 0);
		return after_us ? -1 : seconds(usage.ru_stime);
	}
	check_eq(WTERMSIG(status), SIGKILL);
	return seconds(usage.ru_stime);
}

/* Lists of 256 MiB. A killed caller does not first make them all. */
static void killed(const void *arg)
{
	double whole, part;
	struct exported b;
	struct wire w;

	(void)arg;
	large_create(&b, 64 * GIB);
	for (int tries = 5;; tries--) {
		check_that(tries, "attaching goes on when the caller is killed");
		wire_open(&w, main_drive(), 64 * KIB);
		whole = attach_and_kill(&w, &b, 0);
		/* The map that the child has made is the context's, which we hold as well. */
		wire_close(&w);
		check_unused(&b);

		wire_open(&w, main_drive(), 64 * KIB);
		part = attach_and_kill(&w, &b, whole * 1e6 / 10);
		note("%.3f s of work for a map, %.3f s if killed", whole, part);
		if (part >= 0 && !exported_query(&b).out_attached)
			break;
		/* It was too fast for the signal, or the machine too slow. */
		wire_close(&w);
	}
	check_unused(&b);
	/* While it is filled. */
	attach_and_kill(&w, &b, whole * 1e6 * 3 / 4);
	wire_close(&w);
	check_unused(&b);
	exported_close(&b);
}

int main(int argc, char **argv)
{
	require_device();
	require_exporter();
	tap_add(attach_in_cgroup, NULL, "a list that the memory cgroup has no room for");
	tap_add(shared_in_cgroup, NULL, "a list that a thousand maps share");
	tap_add(queues_in_cgroup, NULL, "queues that the memory cgroup has no room for");
	tap_add(absurd, NULL, "lists that no machine has room for");
	tap_add(killed, NULL, "killed while a list is made");
	return tap_run(argc, argv);
}
