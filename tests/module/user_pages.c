// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test makes dma-bufs of its own memory, of every kind that there is, and moves data
 * between them and a namespace. What a process may not have is refused and changes nothing.
 * What becomes of the memory afterwards (a fork, an unmapping, the end of the process) never
 * moves the pages away from under a device, and at the end none is left pinned.
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
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

#define READ   NVME_DMABUF_ACCESS_READ
#define WRITE  NVME_DMABUF_ACCESS_WRITE
#define NOBODY 65534
#define HUGE   (2 * MIB)
#define SIZE   HUGE
#define MOST   16

/* The kind of memory, and what maps it at @at, or anywhere. */
struct kind {
	const char *name;
	void *(*map)(const struct kind *kind, void *at, uint64_t size, int prot);
	int flags;
};

static void *map_anonymous(const struct kind *kind, void *at, uint64_t size, int prot)
{
	void *p = mmap(at, size, prot, MAP_ANONYMOUS | (at ? MAP_FIXED : 0) | kind->flags, -1, 0);

	if (p != MAP_FAILED && !(kind->flags & MAP_HUGETLB))
		check_sys(madvise(p, size, MADV_NOHUGEPAGE));
	return p;
}

static void *map_memfd(const struct kind *kind, void *at, uint64_t size, int prot)
{
	int fd = memfd_create("test", MFD_CLOEXEC | kind->flags);
	void *p;

	if (fd < 0)
		return MAP_FAILED;
	check_sys(ftruncate(fd, size));
	p = mmap(at, size, prot, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);
	check_sys(close(fd));
	return p;
}

static void *map_system_v(const struct kind *kind, void *at, uint64_t size, int prot)
{
	int id = shmget(IPC_PRIVATE, size, 0600 | kind->flags);
	void *p;

	(void)prot;
	if (id < 0)
		return MAP_FAILED;
	p = shmat(id, at, at ? SHM_REMAP : 0);
	check_sys(shmctl(id, IPC_RMID, NULL));
	return p;
}

/* Aligned, so that there can be a huge page. */
static void *map_transparent(const struct kind *kind, void *at, uint64_t size, int prot)
{
	uint8_t *p = at ?: mmap(NULL, size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
	if (!at)
		p += -(uintptr_t)p % HUGE;
	p = mmap(p, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	return p == MAP_FAILED || madvise(p, size, kind->flags) ? MAP_FAILED : p;
}

static const struct kind transparent = { "transparent huge pages", map_transparent, MADV_HUGEPAGE };
static const struct kind private_huge = { "huge pages", map_anonymous, MAP_PRIVATE | MAP_HUGETLB };
static const struct kind private_pages = { "private pages", map_anonymous, MAP_PRIVATE };
static const struct kind shared_pages = { "shared pages", map_anonymous, MAP_SHARED };
static const struct kind memfd = { "memfd", map_memfd, 0 };

static const struct kind system_v = { "System V", map_system_v, 0 };
static const struct kind memfd_huge = { "memfd of huge pages", map_memfd, MFD_HUGETLB };

static const struct kind *const kinds[] = {
	&private_pages, &shared_pages, &memfd, &system_v, &transparent, &private_huge, &memfd_huge,
};

static void *memory(const struct kind *kind, void *at, uint64_t size)
{
	void *p = kind->map(kind, at, size, PROT_READ | PROT_WRITE);

	if (p == MAP_FAILED || madvise(p, size, MADV_POPULATE_WRITE))
		skip("%s: %m", kind->name);
	return p;
}

/* Which must succeed. */
static int export_memory(int context, void *addr, uint64_t length, uint32_t access)
{
	uint32_t reason;
	int fd = user_export(context, addr, length, access, &reason);

	check_that(fd >= 0, "export: %s, %s", strerror(-fd), nvmedmabuf_reason_name(reason));
	check_eq(reason, NVME_DMABUF_REASON_NONE);
	return fd;
}

/* Connects own memory with a namespace; nothing is attached. */
static void open_rig(struct rig *rig, void *addr, uint64_t size)
{
	struct buffer buffer = { .size = size, .addr = addr, .memfd = -1 };
	int context = device_open();

	buffer.fd = export_memory(context, addr, size, READ | WRITE);
	check_sys(close(context));
	check_eq(lseek(buffer.fd, 0, SEEK_END), size);
	rig_open_buffer(rig, main_drive(), &buffer, size);
}

static void transfer(struct rig *rig, unsigned int rounds)
{
	struct nvme_dmabuf_command commands[MOST];

	for (unsigned int i = 0; i < rounds; i++) {
		unsigned int count = rig_random(rig, commands, MOST);

		if (count)
			rig_submit(rig, commands, count);
		rig_verify(rig);
	}
}

/* Has the drive read the memory, which must hold what is expected. */
static void write_and_compare(struct nvmedmabuf *ctx, uint32_t map, const struct drive *drive,
			      uint64_t slba, const uint8_t *expected)
{
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_command command;
	uint8_t *back = pages_alloc(SIZE);

	nvmedmabuf_prep_write(&command, map, 0, SIZE, slba);
	check_eq(nvmedmabuf_submit(ctx, &command, &completion, 1), 1);
	check_good(&completion);
	drive_read(drive, slba, back, SIZE);
	compare("namespace", back, expected, SIZE, 0);
	check_sys(munmap(back, SIZE));
}

/* How many pages are pinned now, in the whole machine. */
static long long pinned(void)
{
	long long acquired = -1, released = -1;
	char line[128];
	FILE *f;

	/* Adds up what each CPU has counted. */
	check(file_put("/proc/sys/vm/stat_refresh", "1"));
	f = fopen("/proc/vmstat", "r");
	check(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "nr_foll_pin_acquired %lld", &acquired);
		sscanf(line, "nr_foll_pin_released %lld", &released);
	}
	fclose(f);
	check(acquired >= 0 && released >= 0);
	return acquired - released;
}

/* What this process shows as pinned, in bytes. */
static uint64_t shown(void)
{
	unsigned long long kib = ~0ULL;
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	check(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %llu kB", &kib);
	fclose(f);
	return kib * KIB;
}

static void data(const void *arg)
{
	long long before = pinned();
	struct rig rig;

	require_erase();
	open_rig(&rig, memory(arg, NULL, SIZE), SIZE);
	check_eq(pinned() - before, SIZE / PAGE);
	check_eq(shown(), SIZE);
	rig_attach_all(&rig);
	transfer(&rig, 10);
	/* A part of it, as of other buffers. */
	rig_detach(&rig);
	rig_attach(&rig, PAGE + 4, SIZE / 2, READ | WRITE);
	transfer(&rig, 5);
	rig_close(&rig);
	check_eq(pinned(), before);
	check_eq(shown(), 0);
}

/* Pages are pinned 2 MiB at a time: so an entry goes on over the border of two turns. */
static void from_second_page(const void *arg)
{
	uint8_t *p = memory(&private_huge, NULL, 3 * HUGE);
	long long before = pinned();
	struct rig rig;

	(void)arg;
	require_erase();
	open_rig(&rig, p + PAGE, 2 * HUGE);
	rig_attach_all(&rig);
	transfer(&rig, 10);
	rig_close(&rig);
	check_eq(pinned(), before);
}

/* One dma-buf of memory of several kinds, side by side. */
static void side_by_side(const void *arg)
{
	uint8_t *p = memory(&private_pages, NULL, 4 * SIZE);
	long long before = pinned();
	struct rig rig;

	(void)arg;
	require_erase();
	memory(&memfd, p + PAGE, PAGE);
	memory(&shared_pages, p + SIZE, SIZE);
	memory(&memfd, p + 2 * SIZE, SIZE);
	open_rig(&rig, p, 4 * SIZE);
	rig_attach_all(&rig);
	transfer(&rig, 10);
	rig_close(&rig);
	check_eq(pinned(), before);
}

static uint8_t *protect(uint8_t *p, int fd)
{
	(void)fd;
	check_sys(mprotect(p, SIZE, PROT_READ));
	return p;
}

/* Of a file that is open for reading only. */
static uint8_t *open_again(uint8_t *p, int fd)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = check_sys(open(path, O_RDONLY | O_CLOEXEC));
	check_sys(munmap(p, SIZE));
	p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, again, 0);
	check(p != MAP_FAILED);
	check_sys(close(again));
	return p;
}

/* What the caller may only read, a drive may read as well, and nothing else. */
static void read_only(const void *arg)
{
	uint8_t *(*const make)(uint8_t * p, int fd) = arg;
	int file = check_sys(memfd_create("test", MFD_CLOEXEC));
	uint8_t *p;
	int context = device_open(), fd;
	uint32_t reason, map;
	struct drive drive;
	struct nvmedmabuf *ctx = ctx_open();

	require_erase();
	drive_open(&drive, main_drive());
	check_sys(ftruncate(file, SIZE));
	p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	check(p != MAP_FAILED);
	rnd_fill(p, SIZE);
	p = make(p, file);
	check_sys(close(file));
	check_eq(user_export(context, p, SIZE, READ, &reason), -EFAULT);
	check_eq(reason, NVME_DMABUF_REASON_MEMORY_ACCESS);
	check_eq(user_export(context, p, SIZE, READ | WRITE, &reason), -EFAULT);
	fd = export_memory(context, p, SIZE, WRITE);
	check_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	check_eq(attach_to(ctx, fd, drive.fd, 0, SIZE, READ, 0, &map, &reason), -EACCES);
	check_eq(reason, NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE);
	map = attach(ctx, fd, drive.fd, 0, SIZE, WRITE);
	write_and_compare(ctx, map, &drive, 0, p);
	nvmedmabuf_close(ctx);
	check_sys(close(fd));
	check_sys(close(context));
	drive_close(&drive);
}

/* A direction that was not asked for. */
static void one_way(const void *arg)
{
	static const struct {
		uint32_t access, other, reason;
		int mode;
	} ways[] = {
		{ READ, WRITE, NVME_DMABUF_REASON_DMABUF_NOT_READABLE, O_WRONLY },
		{ WRITE, READ, NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE, O_RDONLY },
	};
	uint8_t *p = memory(&private_pages, NULL, PAGE);
	struct nvmedmabuf *ctx = ctx_open();
	struct drive drive;

	(void)arg;
	require_erase();
	drive_open(&drive, main_drive());
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		uint32_t reason, map;
		int fd = export_memory(nvmedmabuf_fd(ctx), p, PAGE, ways[i].access);

		check_eq(fcntl(fd, F_GETFL) & O_ACCMODE, ways[i].mode);
		check_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		check_eq(attach_to(ctx, fd, drive.fd, 0, PAGE, ways[i].other, 0, &map, &reason),
			 -EACCES);
		check_eq(reason, ways[i].reason);
		map = attach(ctx, fd, drive.fd, 0, PAGE, ways[i].access);
		check_eq(nvmedmabuf_detach(ctx, map), 0);
		check_sys(close(fd));
	}
	nvmedmabuf_close(ctx);
	drive_close(&drive);
}

/*
 * Memory that is refused. @at: of two pages, of which the first could be had; the fault is
 * made by @make. @offset, @length: of what is exported.
 */
struct refused {
	const char *name;
	void (*make)(uint8_t *at);
	uint64_t offset, length;
	uint32_t access;
	int error;
	uint32_t reason;
};

static void make_nothing(uint8_t *at)
{
	(void)at;
}

static void make_hole(uint8_t *at)
{
	check_sys(munmap(at + PAGE, PAGE));
}

static void make_read_only(uint8_t *at)
{
	check_sys(mprotect(at + PAGE, PAGE, PROT_READ));
}

static void make_none(uint8_t *at)
{
	check_sys(mprotect(at + PAGE, PAGE, PROT_NONE));
}

static void map_device(uint8_t *at, int flags)
{
	int fd = check_sys(open(main_drive(), O_RDWR | O_CLOEXEC));

	check(mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == at + PAGE);
	check_sys(close(fd));
}

static void make_block_device(uint8_t *at)
{
	map_device(at, MAP_SHARED);
}

static void make_private_of_device(uint8_t *at)
{
	map_device(at, MAP_PRIVATE);
}

/* A driver's pages. */
static void make_queue(uint8_t *at)
{
	struct nvme_dmabuf_queue queue = { .size = sizeof(queue), .depth = 1 };
	int context = device_open();

	check_sys(ioctl(context, NVME_DMABUF_IOC_QUEUE, &queue));
	check(mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		   queue.out_queue_fd, 0) == at + PAGE);
	check_sys(close(queue.out_queue_fd));
	check_sys(close(context));
}

static void make_dmabuf(uint8_t *at)
{
	struct buffer buffer;

	buffer_alloc(&buffer, exporter_any(), PAGE);
	check(mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, buffer.fd, 0) ==
	      at + PAGE);
	buffer_free(&buffer);
}

static void make_after_end(uint8_t *at)
{
	int fd = check_sys(memfd_create("test", MFD_CLOEXEC));

	check(mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
	      at + PAGE);
	check_sys(close(fd));
}

#define REFUSED(what, how, at, bytes, way, err, why)                                     \
	{                                                                                \
		.name = what, .make = how, .offset = at, .length = bytes, .access = way, \
		.error = err, .reason = NVME_DMABUF_REASON_##why                         \
	}

static const struct refused all_refused[] = {
	REFUSED("no bytes", make_nothing, 0, 0, READ, EINVAL, ZERO_LENGTH),
	REFUSED("not from a page's start", make_nothing, 512, PAGE, READ, EINVAL, PAGE_ALIGN),
	REFUSED("not to a page's end", make_nothing, 0, PAGE + 4, READ, EINVAL, PAGE_ALIGN),
	REFUSED("no direction", make_nothing, 0, PAGE, 0, EINVAL, RESERVED),
	REFUSED("an unknown direction", make_nothing, 0, PAGE, READ | 4, EINVAL, RESERVED),
	REFUSED("more than there are addresses", make_nothing, 0, -PAGE, READ, EOVERFLOW,
		MEMORY_ACCESS),
	REFUSED("the kernel's addresses", make_nothing, 1ULL << 63, PAGE, READ, EFAULT,
		MEMORY_ACCESS),
	REFUSED("more than a process has", make_nothing, 0, 1ULL << 47, READ, EFAULT,
		MEMORY_ACCESS),
	REFUSED("nothing there", make_hole, 0, 2 * PAGE, READ, EFAULT, MEMORY_ACCESS),
	REFUSED("private and read-only", make_read_only, 0, 2 * PAGE, READ, EFAULT, MEMORY_ACCESS),
	REFUSED("private and read-only, to be written", make_read_only, 0, 2 * PAGE, WRITE, EFAULT,
		MEMORY_ACCESS),
	REFUSED("no access", make_none, 0, 2 * PAGE, READ, EFAULT, MEMORY_ACCESS),
	REFUSED("behind the end of a memfd", make_after_end, 0, 2 * PAGE, READ, EFAULT,
		MEMORY_ACCESS),
	REFUSED("a device's cache", make_block_device, 0, 2 * PAGE, READ, EOPNOTSUPP, MEMORY_KIND),
	REFUSED("a private copy of that", make_private_of_device, 0, 2 * PAGE, READ, EOPNOTSUPP,
		MEMORY_KIND),
	REFUSED("a driver's pages", make_queue, 0, 2 * PAGE, READ, EOPNOTSUPP, MEMORY_KIND),
	REFUSED("another dma-buf", make_dmabuf, 0, 2 * PAGE, READ, EOPNOTSUPP, MEMORY_KIND),
};

static void refused(const void *arg)
{
	const struct refused *r = arg;
	uint8_t *at = memory(&private_pages, NULL, 2 * PAGE);
	unsigned int files;
	uint32_t reason;
	long long before;
	int context;

	require_erase();
	r->make(at);
	context = device_open();
	files = open_files();
	before = pinned();
	check_eq(user_export(context, at + r->offset, r->length, r->access, &reason), -r->error);
	check_that(reason == r->reason, "reason %s", nvmedmabuf_reason_name(reason));
	check_eq(open_files(), files);
	check_eq(pinned(), before);
	check_eq(shown(), 0);
	check_sys(close(context));
}

/* Is there a huge page at @p? */
static bool is_huge(const uint8_t *p)
{
	char line[256];
	unsigned long long start, end, kib = 0;
	bool found = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	check(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			found = start <= (uintptr_t)p && (uintptr_t)p < end;
		else if (found && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
			break;
	}
	fclose(f);
	return kib;
}

/* Of a huge page, all is charged. */
static void part_of_huge_page(const void *arg)
{
	int context = device_open(), fd;
	long long before = pinned();
	uint8_t *p = memory(&transparent, NULL, SIZE);

	(void)arg;
	if (!is_huge(p))
		skip("no transparent huge page came of it");
	fd = export_memory(context, p + PAGE, PAGE, READ);
	check_eq(pinned() - before, 1);
	check_eq(shown(), HUGE);
	check_sys(close(fd));
	check_eq(pinned(), before);
	check_eq(shown(), 0);
	check_sys(close(context));
}

/* A child that does as it is told; the test goes on when it has. */
static void as_nobody(void (*run)(int context), int context)
{
	pid_t child = check_sys(fork());
	int status;

	if (!child) {
		struct rlimit limit = { MIB, MIB };

		check_sys(setrlimit(RLIMIT_MEMLOCK, &limit));
		check_sys(setresuid(NOBODY, NOBODY, NOBODY));
		run(context);
		_exit(0);
	}
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
}

/* All that a user has pinned counts, whichever process did it. */
static void limit_of_user(int context)
{
	uint8_t *p = memory(&private_pages, NULL, 2 * MIB);
	uint32_t reason;
	int half, fd;

	check_eq(user_export(context, p, MIB + PAGE, READ, &reason), -ENOMEM);
	check_eq(reason, NVME_DMABUF_REASON_MEMLOCK);
	check_eq(shown(), 0);
	half = export_memory(context, p, MIB / 2, READ);
	if (!check_sys(fork())) {
		check_eq(user_export(context, p, MIB / 2 + PAGE, READ, &reason), -ENOMEM);
		check_eq(reason, NVME_DMABUF_REASON_MEMLOCK);
		fd = export_memory(context, p, MIB / 2, READ);
		check_eq(user_export(context, p, PAGE, READ, &reason), -ENOMEM);
		/* The charge goes with the dma-buf, and not with who made it. */
		_exit(0);
	}
	check_sys(wait(&fd));
	check_eq(fd, 0);
	check_sys(close(half));
	fd = export_memory(context, p, MIB, READ);
	check_eq(shown(), MIB);
	check_eq(user_export(context, p + MIB, PAGE, READ, &reason), -ENOMEM);
	check_sys(close(fd));
	check_eq(shown(), 0);
	/* A failure leaves no charge. */
	check_sys(munmap(p + PAGE, PAGE));
	check_eq(user_export(context, p, 2 * PAGE, READ, &reason), -EFAULT);
	fd = export_memory(context, p + 2 * PAGE, MIB, READ);
	check_sys(close(fd));
}

static void limit(const void *arg)
{
	long long before = pinned();
	int context = device_open();

	(void)arg;
	as_nobody(limit_of_user, context);
	check_eq(pinned(), before);
	check_sys(close(context));
}

/*
 * What the process does to its memory while the dma-buf lives. Afterwards the pages are what
 * they were: what is written is what they hold, and @sees tells whether the process sees, at
 * the address that @change returns, what is read.
 */
struct change {
	const char *name;
	const struct kind *kind;
	uint8_t *(*change)(uint8_t *p);
	bool sees;
};

static uint8_t *change_unmap(uint8_t *p)
{
	check_sys(munmap(p, SIZE));
	return NULL;
}

static uint8_t *change_move(uint8_t *p)
{
	uint8_t *to = mremap(p, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	check(to != MAP_FAILED && to != p);
	return to;
}

static uint8_t *change_dontneed(uint8_t *p)
{
	check_sys(madvise(p, SIZE, MADV_DONTNEED));
	for (uint64_t i = 0; i < SIZE; i++)
		check_eq(p[i], 0);
	return p;
}

static uint8_t *change_remove(uint8_t *p)
{
	check_sys(madvise(p, SIZE, MADV_REMOVE));
	for (uint64_t i = 0; i < SIZE; i++)
		check_eq(p[i], 0);
	return p;
}

static uint8_t *change_protect(uint8_t *p)
{
	check_sys(mprotect(p, SIZE, PROT_READ));
	return p;
}

static uint8_t *change_compact(uint8_t *p)
{
	if (!file_put("/proc/sys/vm/compact_memory", "1"))
		skip("this kernel does not compact memory when asked");
	return p;
}

static uint8_t *change_page_out(uint8_t *p)
{
	check_sys(madvise(p, SIZE, MADV_PAGEOUT));
	return p;
}

static const struct change changes[] = {
	{ "unmapped", &private_pages, change_unmap, false },
	{ "shared, unmapped", &memfd, change_unmap, false },
	{ "moved", &private_pages, change_move, true },
	{ "given back", &private_pages, change_dontneed, false },
	{ "shared, cut out of the file", &memfd, change_remove, false },
	{ "made read-only", &private_pages, change_protect, true },
	{ "compacted", &private_pages, change_compact, true },
	{ "paged out", &private_pages, change_page_out, true },
};

static void changed(const void *arg)
{
	const struct change *change = arg;
	uint8_t *p = memory(change->kind, NULL, SIZE), *seen;
	struct nvme_dmabuf_completion completion;
	struct nvme_dmabuf_command command;
	long long before = pinned();
	struct rig rig;

	require_erase();
	open_rig(&rig, p, SIZE);
	rig_attach_all(&rig);
	seen = change->change(p);

	/* The pages still hold what they held. */
	write_and_compare(rig.ctx, rig.map, &rig.drive, rig.first, rig.mirror);

	rnd_fill(rig.disk, SIZE);
	drive_write(&rig.drive, rig.first, rig.disk, SIZE);
	nvmedmabuf_prep_read(&command, rig.map, 0, SIZE, rig.first);
	check_eq(nvmedmabuf_submit(rig.ctx, &command, &completion, 1), 1);
	check_good(&completion);
	if (change->sees)
		compare("memory", seen, rig.disk, SIZE, 0);
	else if (seen)
		for (uint64_t i = 0; i < SIZE; i++)
			check_eq(seen[i], 0);
	/* And they hold it now. */
	write_and_compare(rig.ctx, rig.map, &rig.drive, rig.first, rig.disk);

	check_eq(nvmedmabuf_detach(rig.ctx, rig.map), 0);
	check_sys(close(rig.buffer.fd));
	check_eq(pinned(), before);
	nvmedmabuf_close(rig.ctx);
	drive_close(&rig.drive);
}

/*
 * A child has copies of private pages, from when it was made, and the same shared ones. The
 * parent keeps the pages that the drive knows, even if it writes to them first.
 */
static void forked(const void *arg)
{
	const struct kind *kind = arg;
	bool shared = kind == &shared_pages;
	uint8_t *p = memory(kind, NULL, SIZE), *expected = memory(&shared_pages, NULL, SIZE);
	int pipes[2], status;
	struct rig rig;
	pid_t child;
	char byte;

	require_erase();
	open_rig(&rig, p, SIZE);
	rig_attach_all(&rig);
	memcpy(expected, p, SIZE);
	check_sys(pipe(pipes));
	child = check_sys(fork());
	if (!child) {
		check_sys(close(pipes[1]));
		/* Until the parent has written, and the drive. */
		check_eq(read(pipes[0], &byte, 1), 1);
		compare("child", p, expected, SIZE, 0);
		if (!shared)
			memset(p, 0x5a, SIZE);
		_exit(0);
	}
	check_sys(close(pipes[0]));
	/* rig_write() writes to all of it, and has the drive read it. */
	rig_write(&rig, 0, SIZE, rig.first);
	rnd_fill(rig.disk, SIZE);
	drive_write(&rig.drive, rig.first, rig.disk, SIZE);
	rig_read(&rig, 0, SIZE, rig.first);
	if (shared)
		memcpy(expected, rig.disk, SIZE);
	check_eq(write(pipes[1], "", 1), 1);
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check_eq(status, 0);
	transfer(&rig, 5);
	rig_close(&rig);
}

/* A process ends, and another one has its dma-buf. */
static void ended(const void *arg)
{
	uint8_t *expected = pages_alloc(SIZE);
	struct nvmedmabuf *ctx = ctx_open();
	int context = device_open(), numbers[2], pidfd, fd, number;
	long long before = pinned();
	struct drive drive;
	uint32_t map;
	pid_t child;

	(void)arg;
	require_erase();
	drive_open(&drive, main_drive());
	rnd_fill(expected, SIZE);
	check_sys(pipe(numbers));
	child = check_sys(fork());
	if (!child) {
		uint8_t *p = memory(&private_pages, NULL, SIZE);

		memcpy(p, expected, SIZE);
		fd = export_memory(context, p, SIZE, READ | WRITE);
		check_eq(write(numbers[1], &fd, sizeof(fd)), sizeof(fd));
		pause();
	}
	check_eq(read(numbers[0], &number, sizeof(number)), sizeof(number));
	pidfd = check_sys(pidfd_open(child, 0));
	fd = check_sys(pidfd_getfd(pidfd, number, 0));
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, NULL, 0)), child);
	check_eq(pinned() - before, SIZE / PAGE);
	map = attach(ctx, fd, drive.fd, 0, SIZE, WRITE);
	write_and_compare(ctx, map, &drive, 0, expected);
	/* The map has it as well. */
	check_sys(close(fd));
	check_eq(pinned() - before, SIZE / PAGE);
	check_eq(nvmedmabuf_detach(ctx, map), 0);
	wait_until(pinned() == before);
	nvmedmabuf_close(ctx);
	check_sys(close(context));
	drive_close(&drive);
}

/* Callers that are killed at some time on the way. */
static void killed(const void *arg)
{
	const uint64_t size = 128 * MIB;
	long long before = pinned();
	int context = device_open();

	(void)arg;
	for (unsigned int i = 0; i < scaled(10); i++) {
		int ready[2], status;
		pid_t child;
		char byte;

		check_sys(pipe(ready));
		child = check_sys(fork());
		if (!child) {
			void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

			check(p != MAP_FAILED);
			check_eq(write(ready[1], "", 1), 1);
			export_memory(context, p, size, READ);
			_exit(0);
		}
		check_eq(read(ready[0], &byte, 1), 1);
		usleep(rnd_below(20000));
		check_sys(kill(child, SIGKILL));
		check_eq(check_sys(waitpid(child, &status, 0)), child);
		check(status == 0 || status == SIGKILL);
		wait_until(pinned() == before);
		check_sys(close(ready[0]));
		check_sys(close(ready[1]));
	}
	check_sys(close(context));
}

int main(int argc, char **argv)
{
	require_device();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		tap_add(data, kinds[i], "%s", kinds[i]->name);
	tap_add(from_second_page, NULL, "huge pages from their second page on");
	tap_add(side_by_side, NULL, "several kinds side by side");
	tap_add(read_only, protect, "shared and made read-only");
	tap_add(read_only, open_again, "of a file that is open for reading");
	tap_add(one_way, NULL, "for one direction");
	for (size_t i = 0; i < ARRAY_SIZE(all_refused); i++)
		tap_add(refused, &all_refused[i], "refused: %s", all_refused[i].name);
	tap_add(limit, NULL, "the limit of a user");
	tap_add(part_of_huge_page, NULL, "a part of a huge page");
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		tap_add(changed, &changes[i], "%s", changes[i].name);
	tap_add(forked, &private_pages, "a child of private pages");
	tap_add(forked, &private_huge, "a child of private huge pages");
	tap_add(forked, &shared_pages, "a child of shared pages");
	tap_add(ended, NULL, "a process that ended");
	tap_add(killed, NULL, "callers that are killed");
	return tap_run(argc, argv);
}
