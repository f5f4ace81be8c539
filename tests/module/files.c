// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test attaches files of XFS and ext4, in one piece or in many, and reads them: what
 * arrives is what read(2) gives. What is no data of the file's, holes and the rest of the
 * last block, is refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/falloc.h>

#include "file_rig.h"
#include "ways.h"

#define NOBODY 65534

static struct filesystem *mounted(const void *arg)
{
	struct filesystem *fs = (struct filesystem *)arg;

	filesystem_mount(fs);
	return fs;
}

static void described(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) };
	struct file_rig rig;
	struct file file;

	file_create_pieces(fs, &file, "file", 20);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, PAGE);
	check_eq(nvmedmabuf_get_ns_info(rig.ctx, file.fd, &ns), 0);
	check_that(!ns.out_reason, "NS_INFO: %s (%u)", nvmedmabuf_reason_name(ns.out_reason),
		   ns.out_reason);
	check(ns.out_flags & NVME_DMABUF_NS_FILE);
	check_eq(ns.out_capacity, file.bytes / rig.block);
	check_eq(ns.out_block_size, rig.block);
	check(ns.out_max_command >= rig.block);
	check_eq(file_leases(&file), 0);

	file_rig_attach(&rig, 0);
	check(file_leases(&file) >= 1);
	file_rig_info(&rig, &info);
	check_eq(info.out_extents, file_piece_count(&file));
	check_eq(info.out_nsid, ns.out_nsid);
	check_eq(info.out_pci_domain, ns.out_pci_domain);
	check_eq(info.out_pci_bdf, ns.out_pci_bdf);
	file_rig_detach(&rig);
	check_eq(file_leases(&file), 0);
	file_rig_close(&rig);
	file_remove(&file);
}

/* What was written to the file need not have reached the drive when it is attached. */
static void edges(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	uint64_t block, blocks;
	struct file_rig rig;
	struct file file;

	file_create(fs, &file, "file", MIB);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, MIB + PAGE);
	file_rig_attach(&rig, 0);
	block = rig.block;
	blocks = file.bytes / block;
	file_rig_read(&rig, 0, MIB, 0);
	file_rig_read(&rig, 4, MIB, 0);
	file_rig_read(&rig, 8, block, 0);
	file_rig_read(&rig, 12, block, blocks - 1);
	file_rig_read(&rig, PAGE, MIB - block, 1);
	file_rig_refused(&rig, block, blocks, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_refused(&rig, 2 * block, blocks - 1, -ERANGE,
			 NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_refused(&rig, MIB, 1, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_refused(&rig, block, 1ULL << 40, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_refused(&rig, block, -2ULL, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_refused(&rig, block, -1ULL, -EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	check_eq(nvmedmabuf_write(rig.ctx, rig.map, 0, block, 0, NULL), -EACCES);
	check_eq(nvmedmabuf_flush(rig.ctx, rig.map, NULL), -EACCES);
	/* The file's descriptor has done its work. */
	file_close(&file);
	file_rig_read(&rig, 16, 8 * PAGE, 3);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* Commands in each way, on a file in many pieces. */
static void all_ways(struct file_rig *rig)
{
	struct nvme_dmabuf_completion completions[24];
	struct nvme_dmabuf_command commands[24];
	volatile unsigned int done;
	volatile bool submitted;

	for (unsigned int i = 0; i < WAYS; i++) {
		for (unsigned int round = 0; round < scaled(2); round++) {
			unsigned int count = file_rig_random(rig, commands, 24);

			way_run(&submit_ways[i], nvmedmabuf_fd(rig->ctx), commands, count,
				completions, &submitted, &done);
			for (unsigned int j = 0; j < count; j++) {
				check_good(&completions[j]);
				check_eq(completions[j].bytes, commands[j].length);
			}
			file_rig_verify(rig);
		}
	}
}

static void random_reads(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file_rig rig;
	struct file file;

	file_create_pieces(fs, &file, "file", 60);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, MIB);
	file_rig_attach(&rig, 0);
	file_rig_read(&rig, 0, file.bytes < MIB ? file.bytes : MIB, 0);
	all_ways(&rig);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* One command over all of them, and a call with more parts than requests are allocated for. */
static void many_pieces(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_command commands[4];
	struct file_rig rig;
	struct file file;
	uint64_t quarter;

	file_create_pieces(fs, &file, "file", scaled(200));
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, file.bytes);
	file_rig_attach(&rig, 0);
	file_rig_info(&rig, &info);
	check(info.out_extents >= scaled(200));
	file_rig_read(&rig, 0, file.bytes, 0);
	quarter = file.bytes / 4 / PAGE * PAGE;
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
		nvmedmabuf_prep_read(&commands[i], rig.map, i * quarter, quarter,
				     (3 - i) * quarter / rig.block);
	file_rig_prepare(&rig, commands, ARRAY_SIZE(commands));
	file_rig_submit(&rig, commands, ARRAY_SIZE(commands));
	file_rig_verify(&rig);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* Holes and unwritten extents hold nothing that may be seen. Around them all works. */
static void holes(const void *arg)
{
	const uint64_t part = 64 * KIB;
	struct filesystem *fs = mounted(arg);
	struct nvme_dmabuf_completion c[3];
	struct nvme_dmabuf_command commands[3];
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct file_rig rig;
	struct file file;
	uint64_t blocks;

	/* Data, a hole, data, unwritten, data, and a hole at the end. */
	file_create(fs, &file, "file", 5 * part);
	file_allocate(&file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, part, part);
	file_allocate(&file, FALLOC_FL_ZERO_RANGE, 3 * part, part);
	memset(file.data + part, 0, part);
	memset(file.data + 3 * part, 0, part);
	file_truncate(&file, 6 * part);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, 6 * part);
	file_rig_attach(&rig, 0);
	file_rig_info(&rig, &info);
	check_eq(info.out_blocks, 6 * part / rig.block);
	check(info.out_extents >= 3);
	blocks = part / rig.block;
	for (unsigned int i = 0; i < 6; i += 2)
		if (i < 5)
			file_rig_read(&rig, 4 * i, part, i * blocks);
	for (unsigned int i = 1; i < 6; i += 2) {
		file_rig_refused(&rig, part, i * blocks, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
		file_rig_refused(&rig, rig.block, i * blocks, -ENODATA,
				 NVME_DMABUF_REASON_FILE_HOLE);
		file_rig_refused(&rig, rig.block, (i + 1) * blocks - 1, -ENODATA,
				 NVME_DMABUF_REASON_FILE_HOLE);
		file_rig_refused(&rig, 2 * rig.block, i * blocks - 1, -ENODATA,
				 NVME_DMABUF_REASON_FILE_HOLE);
	}
	file_rig_refused(&rig, 5 * part, 0, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
	/* A command that is refused does not disturb its neighbours. */
	for (unsigned int i = 0; i < ARRAY_SIZE(commands); i++)
		nvmedmabuf_prep_read(&commands[i], rig.map, i * part, part, i * blocks);
	file_rig_prepare(&rig, &commands[0], 1);
	file_rig_prepare(&rig, &commands[2], 1);
	check_eq(nvmedmabuf_submit(rig.ctx, commands, c, 3), 3);
	check_eq(c[0].error | c[0].status | c[2].error | c[2].status, 0);
	check_eq(c[1].error, -ENODATA);
	file_rig_verify(&rig);
	file_rig_close(&rig);
	file_verify(&file, -1);
	file_remove(&file);
}

/* Of these there is nothing to read at all. */
static void only_holes(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file_rig rig;
	struct file file;

	for (int unwritten = 0; unwritten < 2; unwritten++) {
		file_create(fs, &file, "file", 0);
		file_truncate(&file, 64 * KIB);
		if (unwritten)
			file_allocate(&file, 0, 0, 64 * KIB);
		file_open(&file, O_RDONLY);
		file_rig_open(&rig, fs, &file, 64 * KIB);
		file_rig_attach(&rig, 0);
		file_rig_refused(&rig, 64 * KIB, 0, -ENODATA, NVME_DMABUF_REASON_FILE_HOLE);
		file_rig_refused(&rig, rig.block, 64 * KIB / rig.block - 1, -ENODATA,
				 NVME_DMABUF_REASON_FILE_HOLE);
		file_rig_close(&rig);
		file_remove(&file);
	}
}

/* A file that ends inside of a block, which holds zeros behind the file's last byte. */
static void odd_sizes(const void *arg)
{
	static const int ends[] = { 1, -1, 100 };
	struct filesystem *fs = mounted(arg);

	for (unsigned int i = 0; i < ARRAY_SIZE(ends); i++)
		for (unsigned int blocks = 0; blocks < 20; blocks += 19) {
			uint64_t bytes = (ends[i] < 0 ? blocks + 1 : blocks) * fs->block + ends[i];
			struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
			struct file_rig rig;
			struct file file;

			file_create(fs, &file, "file", bytes);
			file_open(&file, O_RDONLY);
			file_rig_open(&rig, fs, &file, 2 * bytes + PAGE);
			file_rig_attach(&rig, 0);
			file_rig_info(&rig, &info);
			check_eq(info.out_blocks, blocks + 1);
			file_rig_read(&rig, 0, (blocks + 1) * rig.block, 0);
			file_rig_read(&rig, 4, rig.block, blocks);
			file_rig_refused(&rig, rig.block, blocks + 1, -ERANGE,
					 NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
			file_rig_refused(&rig, 2 * rig.block, blocks, -ERANGE,
					 NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
			file_rig_close(&rig);
			file_verify(&file, -1);
			file_remove(&file);
		}
}

/* No file system leaves anything there, but a raw device can. */
static void dirty_tail(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	uint64_t bytes = 5 * fs->block + 100, physical;
	struct file_rig rig;
	struct drive drive;
	struct file file;
	uint8_t *block;

	file_create(fs, &file, "file", bytes);
	file_sync(&file);
	physical = file_physical(&file, 5 * fs->block);
	filesystem_raw(fs, &drive);
	block = pages_alloc(fs->block);
	drive_read(&drive, physical / fs->block, block, fs->block);
	compare("the end of the file", block, file.data + 5 * fs->block, fs->block, 0);
	/* The very last byte alone, then all of it. */
	for (int all = 0; all < 2; all++) {
		memset(all ? block + 100 : block + fs->block - 1, 0xc5, all ? fs->block - 100 : 1);
		drive_write(&drive, physical / fs->block, block, fs->block);
		file_open(&file, O_RDONLY);
		file_rig_open(&rig, fs, &file, 8 * PAGE);
		file_rig_attach(&rig, 0);
		file_rig_refused(&rig, rig.block, 5, -ERANGE, NVME_DMABUF_REASON_FILE_TAIL);
		file_rig_refused(&rig, 6 * rig.block, 0, -ERANGE, NVME_DMABUF_REASON_FILE_TAIL);
		file_rig_read(&rig, 0, 5 * rig.block, 0);
		file_rig_close(&rig);
		file_close(&file);
	}
	memset(block + 100, 0, fs->block - 100);
	drive_write(&drive, physical / fs->block, block, fs->block);
	drive_close(&drive);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, 8 * PAGE);
	file_rig_attach(&rig, 0);
	file_rig_read(&rig, 0, 6 * rig.block, 0);
	file_rig_close(&rig);
	file_remove(&file);
}

/* Nothing can be read of a file that holds nothing. */
static void empty(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file_rig rig;
	struct file file;

	file_create(fs, &file, "file", 0);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, PAGE);
	file_rig_attach(&rig, 0);
	file_rig_refused(&rig, rig.block, 0, -ERANGE, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE);
	file_rig_close(&rig);
	file_remove(&file);
}

/* A name is not the file. */
static void renamed_and_unlinked(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file_rig rig;
	struct file file;
	char other[192];

	file_create(fs, &file, "file", 8 * PAGE);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, 8 * PAGE);
	file_rig_attach(&rig, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	snprintf(other, sizeof(other), "%s.other", file.path);
	check_sys(rename(file.path, other));
	file_rig_read(&rig, 0, 8 * PAGE, 0);
	check_sys(link(other, file.path));
	check_sys(unlink(other));
	file_rig_read(&rig, 0, 8 * PAGE, 0);
	check_sys(unlink(file.path));
	file_rig_read(&rig, 0, 8 * PAGE, 0);
	file_close(&file);
	check_sys(close(check_sys(open(file.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600))));
	file_rig_read(&rig, 0, 8 * PAGE, 0);
	file_rig_close(&rig);
	file_remove(&file);
}

/* The open file is all that somebody needs, who may neither open the drive nor own the file. */
static void as_nobody(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	struct file_rig rig;
	struct file own, others;
	int status;
	pid_t child;

	file_create(fs, &own, "own", 8 * PAGE);
	file_create(fs, &others, "others", 8 * PAGE);
	check_sys(chown(own.path, NOBODY, NOBODY));
	file_rig_open(&rig, fs, &own, 16 * PAGE);
	child = check_sys(fork());
	if (!child) {
		check_sys(setgroups(0, NULL));
		check_sys(setresgid(NOBODY, NOBODY, NOBODY));
		check_sys(setresuid(NOBODY, NOBODY, NOBODY));
		check(open(fs->device, O_RDONLY) < 0);
		check(open(others.path, O_RDWR) < 0);
		for (unsigned int i = 0; i < 2; i++) {
			rig.file = i ? &own : &others;
			file_open(rig.file, O_RDONLY);
			file_rig_attach(&rig, 0);
			file_rig_read(&rig, 0, 8 * PAGE, 0);
			file_rig_detach(&rig);
		}
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	file_rig_close(&rig);
	file_remove(&own);
	file_remove(&others);
}

/* From a file to a namespace of another drive: no copy. */
static void to_a_namespace(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	uint8_t *actual = pages_alloc(MIB);
	struct file_rig rig;
	struct drive drive;
	struct file file;
	uint32_t map;

	drive_open(&drive, drive_path("FILES4K"));
	check(fs->block != drive.block);
	file_create_pieces(fs, &file, "file", 30);
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, MIB);
	file_rig_attach(&rig, 0);
	map = attach(rig.ctx, rig.buffer.fd, drive.fd, 0, MIB, ACCESS_BOTH);
	for (unsigned int i = 0; i < scaled(4); i++) {
		uint64_t bytes = (1 + rnd_below(min_u64(file.bytes, MIB) / PAGE)) * PAGE;
		uint64_t at = rnd_below((file.bytes - bytes) / PAGE + 1) * PAGE;
		uint64_t there = rnd_below(drive.blocks - MIB / drive.block);

		file_rig_read(&rig, 0, bytes, at / fs->block);
		check_eq(nvmedmabuf_write(rig.ctx, map, 0, bytes, there, NULL), 0);
		drive_read(&drive, there, actual, bytes);
		compare("namespace", actual, file.data + at, bytes, 0);
	}
	file_rig_close(&rig);
	drive_close(&drive);
	file_remove(&file);
}

static uint64_t cpu_us(const struct rusage *usage)
{
	return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000ULL +
	       usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
}

/* Attaches the file in a process of its own, which is killed when it has worked for so long. */
static uint64_t attach_until(struct file_rig *rig, uint64_t us)
{
	struct timespec worked = { 0 };
	struct rusage usage;
	clockid_t clock;
	int status;
	pid_t child = check_sys(fork());

	if (!child) {
		/* Of its own, so that all ends with the process. */
		rig->ctx = ctx_open();
		file_rig_attach(rig, 0);
		_exit(0);
	}
	check_eq(clock_getcpuclockid(child, &clock), 0);
	while (us && worked.tv_sec * 1000000ULL + worked.tv_nsec / 1000 < us) {
		siginfo_t ended = { 0 };

		pause_ms();
		check_sys(clock_gettime(clock, &worked));
		check_sys(waitid(P_PID, child, &ended, WEXITED | WNOHANG | WNOWAIT));
		check_that(!ended.si_pid, "the attach ended before it was killed");
	}
	if (us)
		check_sys(kill(child, SIGKILL));
	check_eq(check_sys(wait4(child, &status, 0, &usage)), child);
	check(us ? WIFSIGNALED(status) : !status);
	return cpu_us(&usage);
}

/* Where a large file is takes time to find out. A process that is killed does not go on. */
static void large(const void *arg)
{
	struct filesystem *fs = mounted(arg);
	uint8_t *zeros = pages_alloc(MIB);
	uint64_t whole, killed;
	struct file_rig rig;
	struct file file;
	int fd;

	file_name(fs, &file, "file", 0);
	fd = check_sys(open(file.path, O_WRONLY | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
	for (file.bytes = 0; file.bytes < 256 * MIB; file.bytes += MIB)
		check_eq(pwrite(fd, zeros, MIB, file.bytes), MIB);
	check_sys(close(fd));
	file_open(&file, O_RDONLY);
	file_rig_open(&rig, fs, &file, PAGE);
	/* The first one has more to do than to find the blocks. */
	attach_until(&rig, 0);
	whole = attach_until(&rig, 0);
	killed = attach_until(&rig, whole / 4);
	note("an attach works for %llu ms, one that is killed for %llu ms",
	     (unsigned long long)whole / 1000, (unsigned long long)killed / 1000);
	check(killed < whole * 3 / 4);
	check_eq(file_leases(&file), 0);
	file_rig_close(&rig);
	file_remove(&file);
}

int main(int argc, char **argv)
{
	static const struct filesystem_test tests[] = {
		{ described, "what is said of a file" },
		{ edges, "first and last block, and beyond" },
		{ random_reads, "random reads of many pieces, in each way" },
		{ many_pieces, "a command over hundreds of pieces" },
		{ holes, "holes and unwritten extents" },
		{ only_holes, "files without any data" },
		{ odd_sizes, "files that end inside of a block" },
		{ dirty_tail, "a last block that holds more than the file" },
		{ empty, "an empty file" },
		{ renamed_and_unlinked, "renamed and unlinked while attached" },
		{ as_nobody, "as nobody" },
	};
	int status;

	require_device();
	filesystems_begin();
	tap_add(to_a_namespace, &filesystems[0], "from a file to a namespace of another drive");
	tap_add(large, &filesystems[0], "%s: a large file", filesystems[0].name);
	for (unsigned int i = 0; i < FILESYSTEMS; i++) {
		filesystem_add(&filesystems[i], tests, ARRAY_SIZE(tests));
		filesystem_add_check(&filesystems[i]);
	}
	status = tap_run(argc, argv);
	filesystems_end();
	return status;
}
