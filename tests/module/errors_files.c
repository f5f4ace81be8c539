// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors of the files and ranges that are attached: what is no namespace, what
 * is no dma-buf, what their access modes forbid, and what lies outside.
 */
#define _GNU_SOURCE
#include "errors.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/loop.h>

static int try_attach(struct fixture *f, int dmabuf_fd, int ns_fd, uint32_t access,
		      uint32_t *reason)
{
	uint32_t map = 0;
	int result;

	*reason = ~0U;
	result = attach_to(f->rig.ctx, dmabuf_fd, ns_fd, 0, PAGE, access, 0, &map, reason);
	if (!result)
		check_eq(nvmedmabuf_detach(f->rig.ctx, map), 0);
	return result;
}

static void refused(struct fixture *f, const char *what, int dmabuf_fd, int ns_fd, uint32_t access,
		    int expected, uint32_t expected_reason)
{
	uint32_t reason;
	int result = try_attach(f, dmabuf_fd, ns_fd, access, &reason);

	check_that(result == expected && reason == expected_reason,
		   "%s: attach says %s, %s, should be %s, %s", what, strerrorname_np(-result),
		   nvmedmabuf_reason_name(reason), strerrorname_np(-expected),
		   nvmedmabuf_reason_name(expected_reason));
	intact(f);
}

static int memory_file(uint64_t size)
{
	int fd = check_sys(memfd_create("test", MFD_CLOEXEC));

	check_sys(ftruncate(fd, size));
	return fd;
}

static int closed_fd(void)
{
	int fd = check_sys(open("/dev/null", O_RDWR));

	close(fd);
	return fd;
}

/* The character device of the same namespace: /dev/ng0n1 for /dev/nvme0n1. */
static int character_device(const char *path)
{
	char name[64];
	const char *at = strstr(path, "nvme");

	snprintf(name, sizeof(name), "/dev/ng%s", at ? at + 4 : "");
	return open(name, O_RDWR | O_CLOEXEC);
}

struct bad_file {
	const char *name;
	int fd;
};

static void no_block_device(const void *arg)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	struct bad_file files[] = {
		{ "-1", -1 },
		{ "INT_MIN", -0x7fffffff - 1 },
		{ "AT_FDCWD", AT_FDCWD },
		{ "a number never used", 0x7fffffff },
		{ "a closed file", closed_fd() },
		{ "/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC) },
		{ "/dev/zero", open("/dev/zero", O_RDWR | O_CLOEXEC) },
		{ "a directory", open("/dev", O_RDONLY | O_CLOEXEC) },
		{ "a memory file", memory_file(MIB) },
		{ "a socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) },
		{ "the context itself", f.fd },
		{ "the dma-buf", f.rig.buffer.fd },
		{ "a path-only file", open(f.rig.drive.path, O_PATH | O_CLOEXEC) },
		{ "the character device", character_device(f.rig.drive.path) },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int result;

		if (files[i].fd == -1 && i) {
			note("no file for '%s'", files[i].name);
			continue;
		}
		refused(&f, files[i].name, f.rig.buffer.fd, files[i].fd, NVME_DMABUF_ACCESS_READ,
			-EBADF, NVME_DMABUF_REASON_NOT_BLOCK_DEVICE);
		memset(&info, 0xff, sizeof(info));
		info.size = sizeof(info);
		result = nvmedmabuf_get_ns_info(f.rig.ctx, files[i].fd, &info);
		check_that(result == -EBADF, "%s: NS_INFO says %d", files[i].name, result);
		check_eq(info.out_reason, NVME_DMABUF_REASON_NOT_BLOCK_DEVICE);
	}
}

static void no_dmabuf(const void *arg)
{
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	struct bad_file files[] = {
		{ "-1", -1 },
		{ "INT_MIN", -0x7fffffff - 1 },
		{ "a number never used", 0x7fffffff },
		{ "a closed file", closed_fd() },
		{ "/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC) },
		{ "a memory file", memory_file(MIB) },
		{ "the memory file of a dma-buf", f.rig.buffer.memfd },
		{ "a socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) },
		{ "the context itself", f.fd },
		{ "the namespace", f.rig.drive.fd },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (files[i].fd == -1 && i) {
			note("no file for '%s'", files[i].name);
			continue;
		}
		refused(&f, files[i].name, files[i].fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_READ,
			-EBADF, NVME_DMABUF_REASON_NOT_DMABUF);
	}
}

/* A block device that the module cannot use: refused, and NS_INFO says why. */
static void unusable(struct fixture *f, const char *what, int fd, uint32_t reason)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	uint64_t bytes = 0;
	int block = 0;

	check_sys(ioctl(fd, BLKSSZGET, &block));
	check_sys(ioctl(fd, BLKGETSIZE64, &bytes));
	/* Not through the library: what stood in outputs must be overwritten. */
	memset(&info, 0xff, sizeof(info));
	info.size = sizeof(info);
	info.flags = 0;
	info.ns_fd = fd;
	refused(f, what, f->rig.buffer.fd, fd, NVME_DMABUF_ACCESS_READ, -EOPNOTSUPP, reason);
	check_sys(ioctl(f->fd, NVME_DMABUF_IOC_NS_INFO, &info));
	check_eq(info.out_reason, reason);
	check_eq(info.out_capacity, bytes / block);
	check_eq(info.out_start, 0);
	check_eq(info.out_block_size, block);
	check_eq(info.out_nsid, 0);
	check_eq(info.out_max_command, 0);
	check_eq(info.out_pci_bdf, 0);
}

static void virtio_disk(const void *arg)
{
	const char *path = drive_path("VBLK");
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	unusable(&f, "virtio disk", check_sys(open(path, O_RDONLY | O_CLOEXEC)),
		 NVME_DMABUF_REASON_NOT_NVME);
}

static void loop_device(const void *arg)
{
	struct loop_config config = { .fd = memory_file(MIB) };
	int control, number, loop;
	struct fixture f;
	char path[32];

	(void)arg;
	require_disposable();
	run_quietly("modprobe loop");
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		skip("/dev/loop-control: %m");
	number = check_sys(ioctl(control, LOOP_CTL_GET_FREE));
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	loop = check_sys(open(path, O_RDWR | O_CLOEXEC));
	check_sys(ioctl(loop, LOOP_CONFIGURE, &config));
	/* It goes when it is closed for the last time, even if this test fails. */
	check_sys(ioctl(loop, LOOP_CLR_FD, 0));
	fixture_open(&f);
	unusable(&f, "loop device", loop, NVME_DMABUF_REASON_NOT_NVME);
}

/* A device that is made of a namespace, but is none. */
static void mapped_device(const void *arg)
{
	const char *path = drive_path("PLAIN4K");
	char node[64] = "/dev/";
	struct fixture f;
	FILE *name;
	int fd;

	(void)arg;
	require_disposable();
	run_quietly("modprobe dm-mod");
	if (!run_quietly("dmsetup create nvme-dmabuf-test --table '0 2048 linear %s 0'", path))
		skip("dmsetup cannot make a linear device of %s", path);
	name = popen("dmsetup info -c --noheadings -o blkdevname nvme-dmabuf-test", "r");
	check(name && fscanf(name, "%50s", node + strlen(node)) == 1);
	pclose(name);
	wait_until((fd = open(node, O_RDONLY | O_CLOEXEC)) >= 0);
	/* It goes when it is closed for the last time, even if this test fails. */
	check(run_quietly("dmsetup remove --deferred nvme-dmabuf-test"));
	fixture_open(&f);
	unusable(&f, "linear device", fd, NVME_DMABUF_REASON_NOT_NVME);
}

#define NVMET "/sys/kernel/config/nvmet"
#define NQN   "nqn.2014-08.org.nvmexpress:nvme-dmabuf-test"

static void target_remove(void)
{
	run_quietly("rm -f %s/ports/7/subsystems/%s; rmdir %s/ports/7;"
		    "rmdir %s/subsystems/%s/namespaces/1 %s/subsystems/%s",
		    NVMET, NQN, NVMET, NVMET, NQN, NVMET, NQN);
}

/* A target in this kernel whose namespace is a file. */
static bool target_make(const char *file)
{
	return run_quietly("mkdir -p %s/subsystems/%s/namespaces/1 %s/ports/7", NVMET, NQN,
			   NVMET) &&
	       file_put(NVMET "/subsystems/" NQN "/attr_allow_any_host", "1") &&
	       file_put(NVMET "/subsystems/" NQN "/namespaces/1/device_path", file) &&
	       file_put(NVMET "/subsystems/" NQN "/namespaces/1/buffered_io", "1") &&
	       file_put(NVMET "/subsystems/" NQN "/namespaces/1/enable", "1") &&
	       file_put(NVMET "/ports/7/addr_adrfam", "ipv4") &&
	       file_put(NVMET "/ports/7/addr_traddr", "127.0.0.1") &&
	       file_put(NVMET "/ports/7/addr_trsvcid", "44201");
}

/* Makes it reachable; the port fails if the kernel has no such transport. */
static bool target_listen(const char *transport)
{
	return file_put(NVMET "/ports/7/addr_trtype", transport) &&
	       run_quietly("ln -s %s/subsystems/%s %s/ports/7/subsystems/", NVMET, NQN, NVMET);
}

/* Finds the namespace of the controller that a connection made. */
static bool fabrics_namespace(const char *reply, char *path, size_t size)
{
	int instance, length;
	char line[512];
	FILE *list;
	bool found = false;

	if (sscanf(reply, "instance=%d", &instance) != 1)
		return false;
	/* With native multipath the namespace belongs to the subsystem. */
	snprintf(
		line, sizeof(line),
		"ls -d /sys/class/nvme/nvme%d/nvme*n* /sys/class/nvme-subsystem/*/nvme%dn* 2>/dev/null | grep -v 'nvme[0-9]*c'",
		instance, instance);
	list = popen(line, "r");
	if (list && fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		length = snprintf(path, size, "/dev/%s", strrchr(line, '/') + 1);
		found = length < (int)size && !access(path, R_OK);
	}
	if (list)
		pclose(list);
	return found;
}

static void other_transport(const void *arg)
{
	const char *options = "transport=tcp,traddr=127.0.0.1,trsvcid=44201,nqn=" NQN;
	char file[] = "/tmp/nvme-dmabuf-target.XXXXXX", reply[64] = "", path[64];
	int fd, fabrics;
	struct fixture f;

	(void)arg;
	require_disposable();
	run_quietly(
		"modprobe -a nvmet nvmet-tcp nvme-tcp nvme-loop;"
		"mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config");
	fd = check_sys(mkstemp(file));
	check_sys(ftruncate(fd, 4 * MIB));
	target_remove();
	if (target_make(file) && !target_listen("tcp")) {
		options = "transport=loop,traddr=127.0.0.1,nqn=" NQN;
		target_listen("loop");
	}
	if (access(NVMET "/ports/7/subsystems/" NQN, F_OK)) {
		target_remove();
		unlink(file);
		skip("this kernel makes no NVMe target");
	}
	fabrics = open("/dev/nvme-fabrics", O_RDWR | O_CLOEXEC);
	if (fabrics < 0)
		skip("/dev/nvme-fabrics: %m");
	check_that(write(fabrics, options, strlen(options)) > 0, "connect: %m");
	check(read(fabrics, reply, sizeof(reply) - 1) > 0);
	wait_until(fabrics_namespace(reply, path, sizeof(path)));

	fixture_open(&f);
	/* A multipath device of which no path is a PCI device is also right. */
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	int ns = check_sys(open(path, O_RDONLY | O_CLOEXEC));

	check_eq(nvmedmabuf_get_ns_info(f.rig.ctx, ns, &info), 0);
	note("%s: %s", path, nvmedmabuf_reason_name(info.out_reason));
	check(info.out_reason == NVME_DMABUF_REASON_NOT_PCIE ||
	      (info.out_reason == NVME_DMABUF_REASON_NO_PATH &&
	       info.out_flags == NVME_DMABUF_NS_MULTIPATH));
	refused(&f, options, f.rig.buffer.fd, ns, NVME_DMABUF_ACCESS_READ, -EOPNOTSUPP,
		info.out_reason);
	close(ns);

	check(run_quietly("nvme disconnect -n " NQN));
	target_remove();
	unlink(file);
}

/* Where the kernel can be told to fail commands of a namespace, or of its paths. */
static void find_faults(const char *path, glob_t *faults)
{
	unsigned int subsystem, head;
	char pattern[96];

	check(sscanf(path, "/dev/nvme%un%u", &subsystem, &head) == 2);
	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/nvme%u{,c*}n%u/fault_inject",
		 subsystem, head);
	if (glob(pattern, GLOB_BRACE, NULL, faults))
		skip("this kernel cannot be told to fail commands of %s", path);
}

/* From now on all commands end with this status, but for the first few. */
static void fault_start(const char *fault, unsigned int status, unsigned int spared)
{
	check(run_quietly("cd %s && echo 0 >verbose && echo -1 >times && echo %u >space &&"
			  "echo %#x >status && echo 100 >probability",
			  fault, spared + 1, status));
}

/* As the kernel has them at first: other faults strike there too. */
static void fault_end(const char *fault)
{
	check(run_quietly("cd %s && echo 0 >probability && echo 1 >times && echo 0 >space &&"
			  "echo 1 >status",
			  fault));
}

/* While that is so, the test reads fail, and ATTACH with them. */
static void fails_to_attach(struct fixture *f, int ns_fd, const glob_t *faults, unsigned int status,
			    unsigned int spared)
{
	uint32_t reason;
	int result;

	for (size_t i = 0; i < faults->gl_pathc; i++)
		fault_start(faults->gl_pathv[i], status, spared);
	result = try_attach(f, f->rig.buffer.fd, ns_fd, NVME_DMABUF_ACCESS_READ, &reason);
	for (size_t i = 0; i < faults->gl_pathc; i++)
		fault_end(faults->gl_pathv[i]);
	check_that(result == -EIO && reason == NVME_DMABUF_REASON_PROBE_FAILED,
		   "attach says %s, %s", strerrorname_np(-result), nvmedmabuf_reason_name(reason));
	intact(f);
}

#define STATUS_CODE	       0x7ff
#define UNRECOVERED_READ_ERROR 0x281
#define HOST_PATH_ERROR	       0x370 /* the driver's, of a command that it gave up */

/**
 * struct fault - what goes wrong with the first test reads of a controller
 * @spared: how many succeed: one past the end, one of a block, and long ones
 */
static const struct fault {
	const char *name;
	unsigned int status;
	unsigned int spared;
} faults[] = {
	{ "a drive that fails all commands", UNRECOVERED_READ_ERROR, 0 },
	{ "a drive of which no block can be read", UNRECOVERED_READ_ERROR, 1 },
	{ "a drive whose commands are given up", HOST_PATH_ERROR, 0 },
	{ "a drive whose reads are given up", HOST_PATH_ERROR, 1 },
	{ "a drive whose long reads are given up", HOST_PATH_ERROR, 2 },
};

static void failing_drive(const void *arg)
{
	/* Takes less than the block layer may ask for: long reads are tried. */
	const char *path = drive_path("SMALLMDTS");
	const struct fault *fault = arg;
	struct nvme_dmabuf_completion c;
	struct fixture f;
	struct rig rig;
	glob_t at;

	require_disposable();
	find_faults(path, &at);
	/* It forgets which controllers it has seen. */
	check_eq(module_remove(), 0);
	module_insert(module_path(), "");
	fixture_open(&f);
	rig_open(&rig, path, exporter_any(), MIB, MIB);
	fails_to_attach(&f, rig.drive.fd, &at, fault->status, fault->spared);
	rig_attach_all(&rig);
	rig_read(&rig, 0, PAGE, rig.first);

	fault_start(at.gl_pathv[0], fault->status, 0);
	nvmedmabuf_read(rig.ctx, rig.map, 0, PAGE, rig.first, &c);
	fault_end(at.gl_pathv[0]);
	check_eq(c.bytes, 0);
	if (fault->status == UNRECOVERED_READ_ERROR) {
		check_eq(c.error, 0);
		check_eq(c.reason, NVME_DMABUF_REASON_NONE);
		check_eq(c.status & STATUS_CODE, UNRECOVERED_READ_ERROR);
	} else {
		check_eq(c.error, -EIO);
		check_eq(c.reason, NVME_DMABUF_REASON_CANCELLED);
	}
	rig_read(&rig, 0, PAGE, rig.first);
	rig_verify(&rig);
}

static void failing_paths(const void *arg)
{
	const char *path = drive_path("MPATH");
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t taken[2];
	struct fixture f;
	struct rig rig;
	glob_t at;

	(void)arg;
	require_disposable();
	find_faults(path, &at);
	check_eq(at.gl_pathc, 2);
	fixture_open(&f);
	rig_open(&rig, path, exporter_any(), MIB, MIB);
	for (int i = 0; i < 2; i++) {
		fault_start(at.gl_pathv[i], HOST_PATH_ERROR, 0);
		rig_attach_all(&rig);
		fault_end(at.gl_pathv[i]);
		check_eq(nvmedmabuf_get_map_info(rig.ctx, rig.map, &info), 0);
		taken[i] = info.out_pci_bdf;
		rig_read(&rig, 0, PAGE, rig.first);
		rig_detach(&rig);
	}
	check(taken[0] != taken[1]);
	fails_to_attach(&f, rig.drive.fd, &at, HOST_PATH_ERROR, 0);
	rig_attach_all(&rig);
	rig_read(&rig, 0, PAGE, rig.first);
	rig_verify(&rig);
}

/* A namespace's file gives the access it was opened with, and no more. */
static void namespace_modes(const void *arg)
{
	static const struct {
		const char *name;
		int flags;
		uint32_t allowed;
	} modes[] = {
		{ "read-only file", O_RDONLY, NVME_DMABUF_ACCESS_READ },
		{ "write-only file", O_WRONLY, NVME_DMABUF_ACCESS_WRITE },
		{ "read-write file", O_RDWR, ACCESS_BOTH },
	};
	struct fixture f;

	(void)arg;
	require_erase();
	fixture_open(&f);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		for (uint32_t access = 1; access <= ACCESS_BOTH; access++) {
			int fd = check_sys(open(f.rig.drive.path, modes[i].flags | O_CLOEXEC));
			uint32_t missing = access & ~modes[i].allowed, reason;

			if (missing)
				refused(&f, modes[i].name, f.rig.buffer.fd, fd, access, -EACCES,
					missing == NVME_DMABUF_ACCESS_READ ?
						NVME_DMABUF_REASON_NS_NOT_READABLE :
						NVME_DMABUF_REASON_NS_NOT_WRITABLE);
			else
				check_eq(try_attach(&f, f.rig.buffer.fd, fd, access, &reason), 0);
			close(fd);
		}
	intact(&f);
}

/* Without permission to write, there is still one thing to show. */
static void namespace_read_only_file(const void *arg)
{
	struct fixture f;
	int fd;

	(void)arg;
	fixture_open(&f);
	fd = check_sys(open(f.rig.drive.path, O_RDONLY | O_CLOEXEC));
	refused(&f, "write through a read-only file", f.rig.buffer.fd, fd, NVME_DMABUF_ACCESS_WRITE,
		-EACCES, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
}

static void read_only_device(const void *arg)
{
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_completion c;
	struct nvme_dmabuf_completion c_only;
	int on = 1, off = 0, result;
	uint32_t reason, only;
	struct fixture f;

	(void)arg;
	require_erase();
	fixture_open(&f);
	only = attach(f.rig.ctx, f.rig.buffer.fd, f.rig.drive.fd, 0, f.rig.length,
		      NVME_DMABUF_ACCESS_WRITE);
	check_sys(ioctl(f.rig.drive.fd, BLKROSET, &on));
	check_eq(nvmedmabuf_get_ns_info(f.rig.ctx, f.rig.drive.fd, &info), 0);
	result = try_attach(&f, f.rig.buffer.fd, f.rig.drive.fd, ACCESS_BOTH, &reason);
	/* A map made before obeys as well. */
	nvmedmabuf_write(f.rig.ctx, f.rig.map, PAGE, f.rig.drive.block, f.rig.first, &c);
	nvmedmabuf_write(f.rig.ctx, only, PAGE, f.rig.drive.block, f.rig.first, &c_only);
	/* Once more, when it is the map that was used last. */
	nvmedmabuf_write(f.rig.ctx, only, PAGE, f.rig.drive.block, f.rig.first, &c_only);
	check_sys(ioctl(f.rig.drive.fd, BLKROSET, &off));
	check_eq(nvmedmabuf_detach(f.rig.ctx, only), 0);

	check(info.out_flags & NVME_DMABUF_NS_READ_ONLY);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(result, -EACCES);
	check_eq(reason, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	check_eq(c.error, -EACCES);
	check_eq(c.reason, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	check_eq(c_only.error, -EACCES);
	check_eq(c_only.reason, NVME_DMABUF_REASON_NS_NOT_WRITABLE);
	intact(&f);

	check_sys(ioctl(f.rig.drive.fd, BLKROSET, &on));
	result = try_attach(&f, f.rig.buffer.fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_READ, &reason);
	check_sys(ioctl(f.rig.drive.fd, BLKROSET, &off));
	check_eq(result, 0);
}

static void read_only_dmabuf(const void *arg)
{
	uint32_t reason;
	struct fixture f;
	int fd;

	(void)arg;
	fixture_open(&f);
	fd = buffer_alloc_mode(MIB, O_RDONLY);
	refused(&f, "read-only dma-buf", fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_READ, -EACCES,
		NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE);
	if (!may_erase())
		return;
	refused(&f, "read-only dma-buf", fd, f.rig.drive.fd, ACCESS_BOTH, -EACCES,
		NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE);
	check_eq(try_attach(&f, fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_WRITE, &reason), 0);
	intact(&f);
}

static void write_only_dmabuf(const void *arg)
{
	uint32_t reason;
	struct fixture f;
	int fd;

	(void)arg;
	require_erase();
	fixture_open(&f);
	fd = buffer_alloc_mode(MIB, O_WRONLY);
	refused(&f, "write-only dma-buf", fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_WRITE, -EACCES,
		NVME_DMABUF_REASON_DMABUF_NOT_READABLE);
	refused(&f, "write-only dma-buf", fd, f.rig.drive.fd, ACCESS_BOTH, -EACCES,
		NVME_DMABUF_REASON_DMABUF_NOT_READABLE);
	check_eq(try_attach(&f, fd, f.rig.drive.fd, NVME_DMABUF_ACCESS_READ, &reason), 0);
	intact(&f);
}

static void attach_ranges(const void *arg)
{
	struct fixture f;
	uint32_t map, reason;
	uint64_t size;
	int result;

	(void)arg;
	fixture_open(&f);
	size = f.rig.buffer.size;
	const struct {
		uint64_t offset, length;
		int error;
		uint32_t reason;
	} ranges[] = {
		{ 0, 0, EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH },
		{ size, 0, EINVAL, NVME_DMABUF_REASON_ZERO_LENGTH },
		{ 1, 512, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ 2, 512, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ 3, 512, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ PAGE + 2, PAGE, EINVAL, NVME_DMABUF_REASON_DWORD_ALIGN },
		{ size, 1, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 0, size + 1, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ size - 4, 5, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ size + PAGE, PAGE, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 1ULL << 32, PAGE, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 0, 1ULL << 32, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 1ULL << 63, PAGE, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 0, ~0ULL, ERANGE, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 4, ~0ULL, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ ~0ULL - 3, 8, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ ~0ULL - 3, 4, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 1ULL << 63, 1ULL << 63, EOVERFLOW, NVME_DMABUF_REASON_OUTSIDE_DMABUF },
		{ 0, 1, 0, 0 },
		{ size - 4, 4, 0, 0 },
		{ size - 4, 1, 0, 0 },
		{ 4, size - 4, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		reason = ~0U;
		result = attach_to(f.rig.ctx, f.rig.buffer.fd, f.rig.drive.fd, ranges[i].offset,
				   ranges[i].length, NVME_DMABUF_ACCESS_READ, 0, &map, &reason);
		check_that(result == -ranges[i].error && reason == ranges[i].reason,
			   "attach of %#llx+%#llx: %s, %s", (unsigned long long)ranges[i].offset,
			   (unsigned long long)ranges[i].length,
			   result ? strerrorname_np(-result) : "success",
			   nvmedmabuf_reason_name(reason));
		if (!result)
			check_eq(nvmedmabuf_detach(f.rig.ctx, map), 0);
		intact(&f);
	}
}

static void attach_access(const void *arg)
{
	uint32_t reason;
	struct fixture f;

	(void)arg;
	fixture_open(&f);
	check_eq(try_attach(&f, f.rig.buffer.fd, f.rig.drive.fd, 0, &reason), -EINVAL);
	for (int bit = 2; bit < 32; bit++)
		refused(&f, "unknown access", f.rig.buffer.fd, f.rig.drive.fd,
			NVME_DMABUF_ACCESS_READ | 1U << bit, -EINVAL, NVME_DMABUF_REASON_RESERVED);
}

void errors_add_files(void)
{
	tap_add(no_block_device, NULL, "what is no block device");
	tap_add(no_dmabuf, NULL, "what is no dma-buf");
	tap_add(virtio_disk, NULL, "a disk of another driver");
	tap_add(loop_device, NULL, "a loop device");
	tap_add(mapped_device, NULL, "a device mapped onto a namespace");
	tap_add(other_transport, NULL, "NVMe over another transport");
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		tap_add(failing_drive, &faults[i], "%s", faults[i].name);
	tap_add(failing_paths, NULL, "a multipath device whose paths fail");
	tap_add(namespace_modes, NULL, "access modes of the namespace's file");
	tap_add(namespace_read_only_file, NULL, "writing through a file opened for reading");
	tap_add(read_only_device, NULL, "a device made read-only");
	tap_add(read_only_dmabuf, NULL, "a read-only dma-buf");
	tap_add(write_only_dmabuf, NULL, "a write-only dma-buf");
	tap_add(attach_ranges, NULL, "ranges of a dma-buf");
	tap_add(attach_access, NULL, "access bits");
}
