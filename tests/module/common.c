// SPDX-License-Identifier: GPL-2.0-only
/*
 * The environment, random numbers and drives. See common.h.
 */
#define _GNU_SOURCE
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool is_yes(const char *variable)
{
	const char *value = getenv(variable);

	return value && !strcmp(value, "yes");
}

static const char *variable_or_null(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value ? value : NULL;
}

void require_device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		tap_skip_all("%s: %m; is the module loaded?", DEVICE);
	close(fd);
}

int device_open(void)
{
	return check_sys(open(DEVICE, O_RDWR | O_CLOEXEC));
}

bool may_erase(void)
{
	return is_yes("NVME_DMABUF_ERASE");
}

void require_erase(void)
{
	if (!may_erase())
		skip("would write to the namespace; NVME_DMABUF_ERASE=yes allows it");
}

void require_disposable(void)
{
	if (!is_yes("NVME_DMABUF_DISPOSABLE"))
		skip("would change this machine; NVME_DMABUF_DISPOSABLE=yes allows it");
}

const char *drive_path(const char *name)
{
	char variable[64];
	const char *path;

	snprintf(variable, sizeof(variable), "NVME_DMABUF_NS_%s", name);
	path = variable_or_null(variable);
	if (!path)
		skip("no such drive here; %s is not set", variable);
	return path;
}

const char *main_drive(void)
{
	const char *path = variable_or_null("NVME_DMABUF_NS");

	if (!path)
		skip("no namespace to test; NVME_DMABUF_NS is not set");
	return path;
}

const char *drive_name(const char *path)
{
	static const char prefix[] = "NVME_DMABUF_NS_";
	const char *slash = strrchr(path, '/');

	for (char **variable = environ; *variable; variable++) {
		char *equals = strchr(*variable, '=');

		if (!strncmp(*variable, prefix, strlen(prefix)) && !strcmp(equals + 1, path))
			return strndup(*variable + strlen(prefix),
				       equals - *variable - strlen(prefix));
	}
	return slash ? slash + 1 : path;
}

unsigned int plain_drives(const char *paths[3])
{
	static const char *const variables[] = {
		"NVME_DMABUF_NS",
		"NVME_DMABUF_NS_PLAIN512",
		"NVME_DMABUF_NS_PLAIN4K",
	};
	unsigned int count = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(variables); i++) {
		const char *path = variable_or_null(variables[i]);
		bool known = false;

		for (unsigned int j = 0; path && j < count; j++)
			known |= !strcmp(paths[j], path);
		if (path && !known)
			paths[count++] = path;
	}
	return count;
}

unsigned int scaled(unsigned int rounds)
{
	const char *scale = variable_or_null("SCALE");
	unsigned long factor = scale ? strtoul(scale, NULL, 0) : 1;

	return rounds * (factor ? factor : 1);
}

void tally_open(struct tally *t)
{
	const char *wanted = variable_or_null("QUEUE_COMMANDS");

	*t = (struct tally){ .total = wanted ? strtoull(wanted, NULL, 0) : scaled(20000) };
	t->state = calloc(t->total, 1);
	check(t->state);
}

uint64_t tally_room(const struct tally *t, uint64_t most)
{
	return min_u64(most - (t->next - t->done), t->total - t->next);
}

uint64_t tally_start(struct tally *t)
{
	t->state[t->next] = 1;
	return t->next++;
}

void tally_end(struct tally *t, uint64_t number)
{
	check(number < t->next);
	check_eq(t->state[number]++, 1);
	t->done++;
}

void tally_close(struct tally *t)
{
	note("%llu commands", (unsigned long long)t->total);
	check_eq(t->next, t->total);
	check_eq(t->done, t->total);
	free(t->state);
}

static __thread uint64_t rnd_state;

void rnd_start(unsigned int stream)
{
	static uint64_t seed;

	if (!seed) {
		const char *given = variable_or_null("SEED");

		seed = given ? strtoull(given, NULL, 0) : now_ms() << 16 ^ getpid();
		note("SEED=%llu", (unsigned long long)seed);
	}
	rnd_state = seed + stream * 0x9e3779b97f4a7c15ULL;
	for (const char *name = tap_name(); *name; name++)
		rnd_state = (rnd_state ^ (unsigned char)*name) * 0x100000001b3ULL;
	rnd_state |= 1;
}

/* splitmix64 */
uint64_t rnd(void)
{
	uint64_t z;

	if (!rnd_state)
		rnd_start(0);
	z = rnd_state += 0x9e3779b97f4a7c15ULL;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint64_t rnd_below(uint64_t limit)
{
	return rnd() % limit;
}

void rnd_fill(void *to, size_t length)
{
	uint64_t value;

	for (; length >= sizeof(value); length -= sizeof(value), to = (char *)to + sizeof(value)) {
		value = rnd();
		memcpy(to, &value, sizeof(value));
	}
	value = rnd();
	memcpy(to, &value, length);
}

void *pages_alloc(size_t length)
{
	void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check_that(p != MAP_FAILED, "mmap of %zu bytes: %m", length);
	return p;
}

void compare(const char *what, const void *actual, const void *expected, size_t length,
	     uint64_t first)
{
	const unsigned char *a = actual, *e = expected;
	size_t i, differing = 0;

	if (!memcmp(a, e, length))
		return;
	for (i = length; i-- > 0;)
		differing += a[i] != e[i];
	for (i = 0; a[i] == e[i]; i++)
		;
	fail("%s: %zu of %zu bytes differ, the first at %#llx: is %02x %02x %02x %02x, should be %02x %02x %02x %02x",
	     what, differing, length, (unsigned long long)(first + i), a[i],
	     i + 1 < length ? a[i + 1] : 0, i + 2 < length ? a[i + 2] : 0,
	     i + 3 < length ? a[i + 3] : 0, e[i], i + 1 < length ? e[i + 1] : 0,
	     i + 2 < length ? e[i + 2] : 0, i + 3 < length ? e[i + 3] : 0);
}

void drive_open(struct drive *drive, const char *path)
{
	int flags = may_erase() ? O_RDWR | O_EXCL : O_RDONLY;
	int block;
	uint64_t bytes;

	drive->path = path;
	drive->fd = open(path, flags | O_DIRECT | O_CLOEXEC);
	check_that(drive->fd >= 0, "%s: %m", path);
	check_sys(ioctl(drive->fd, BLKSSZGET, &block));
	check_sys(ioctl(drive->fd, BLKGETSIZE64, &bytes));
	drive->block = block;
	drive->blocks = bytes / block;
}

void drive_close(struct drive *drive)
{
	close(drive->fd);
	drive->fd = -1;
}

/* A buffer of this process that O_DIRECT accepts; grows as needed. */
static void *bounce(size_t length)
{
	static __thread void *memory;
	static __thread size_t size;

	if (length > size) {
		if (memory)
			munmap(memory, size);
		memory = pages_alloc(length);
		size = length;
	}
	return memory;
}

/*
 * Bytes that the block layer is asked for at once. Linux 6.1 maps one page of a
 * request's separate metadata for DMA, whatever it needs: with 512-byte blocks
 * and a translating IOMMU, its own requests of more than 256 KiB fail.
 */
#define AT_ONCE (128U << 10)

void drive_read(const struct drive *drive, uint64_t slba, void *to, size_t length)
{
	char *memory = bounce(length);
	size_t pos, n;
	ssize_t done;

	for (pos = 0; pos < length; pos += n) {
		n = length - pos < AT_ONCE ? length - pos : AT_ONCE;
		done = pread(drive->fd, memory + pos, n, slba * drive->block + pos);
		check_that(done == (ssize_t)n,
			   "%s: block layer read of %zu bytes at block %llu: %s", drive->path,
			   length, (unsigned long long)slba, done < 0 ? strerror(errno) : "short");
	}
	memcpy(to, memory, length);
}

void drive_write(const struct drive *drive, uint64_t slba, const void *from, size_t length)
{
	char *memory = bounce(length);
	size_t pos, n;
	ssize_t done;

	memcpy(memory, from, length);
	for (pos = 0; pos < length; pos += n) {
		n = length - pos < AT_ONCE ? length - pos : AT_ONCE;
		done = pwrite(drive->fd, memory + pos, n, slba * drive->block + pos);
		check_that(done == (ssize_t)n,
			   "%s: block layer write of %zu bytes at block %llu: %s", drive->path,
			   length, (unsigned long long)slba, done < 0 ? strerror(errno) : "short");
	}
}

static void attribute_path(char file[256], const char *path, const char *attribute)
{
	const char *name = strrchr(path, '/');

	snprintf(file, 256, "/sys/class/block/%s/%s", name ? name + 1 : path, attribute);
}

bool drive_attribute(const char *path, const char *attribute, char *to, size_t size)
{
	char file[256];
	size_t length;
	FILE *f;

	attribute_path(file, path, attribute);
	f = fopen(file, "r");
	if (!f)
		return false;
	length = fread(to, 1, size - 1, f);
	fclose(f);
	while (length && (to[length - 1] == '\n' || to[length - 1] == ' '))
		length--;
	to[length] = 0;
	return true;
}

void drive_attribute_put(const char *path, const char *attribute, const char *text)
{
	char file[256];

	attribute_path(file, path, attribute);
	check_that(file_put(file, text), "%s: %s: %m", file, text);
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

void pause_ms(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

long long file_number(const char *path)
{
	long long number;
	FILE *f = fopen(path, "r");

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &number) != 1)
		number = -1;
	fclose(f);
	return number;
}

bool file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

void parameter_swap(const char *name, char value[16])
{
	char path[96], before[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/nvme_dmabuf/parameters/%s", name);
	f = fopen(path, "r");
	check(f && fscanf(f, "%15s", before) == 1);
	fclose(f);
	check(file_put(path, value));
	memcpy(value, before, sizeof(before));
}

int partition_change(int disk, int operation, int number, uint64_t start, uint64_t length)
{
	struct blkpg_partition partition = { .start = start, .length = length, .pno = number };
	struct blkpg_ioctl_arg arg = {
		.op = operation,
		.datalen = sizeof(partition),
		.data = &partition,
	};

	return ioctl(disk, BLKPG, &arg) ? -errno : 0;
}

unsigned int open_files(void)
{
	unsigned int count = 0;
	DIR *directory = opendir("/proc/self/fd");

	check(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

int next_file(void)
{
	int fd = check_sys(dup(STDOUT_FILENO));

	check_sys(close(fd));
	return fd;
}

int module_remove(void)
{
	return syscall(SYS_delete_module, "nvme_dmabuf", O_NONBLOCK) ? -errno : 0;
}

void module_insert(const char *path, const char *parameters)
{
	int fd = check_sys(open(path, O_RDONLY | O_CLOEXEC));

	check_sys(syscall(SYS_finit_module, fd, parameters, 0));
	close(fd);
	wait_until(!access(DEVICE, R_OK | W_OK));
}

const char *module_path(void)
{
	const char *path = getenv("NVME_DMABUF_MODULE");

	if (!path || !*path)
		skip("the module's file is not known; NVME_DMABUF_MODULE is not set");
	return path;
}

bool run_quietly(const char *command, ...)
{
	static const char quiet[] = "exec >/dev/null 2>&1; ";
	char line[1024];
	va_list args;

	strcpy(line, quiet);
	va_start(args, command);
	vsnprintf(line + strlen(quiet), sizeof(line) - strlen(quiet), command, args);
	va_end(args);
	return system(line) == 0;
}

static unsigned int pci_number(const char *device, const char *file)
{
	unsigned int number = 0;
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", device, file);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%x", &number) != 1)
		number = 0;
	fclose(f);
	return number;
}

bool pci_find(unsigned int vendor, unsigned int device, unsigned int skip,
	      struct pci_address *address)
{
	bool found = false;
	glob_t devices;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &devices))
		return false;
	for (size_t i = 0; i < devices.gl_pathc && !found; i++) {
		const char *path = devices.gl_pathv[i], *name = strrchr(path, '/') + 1;
		unsigned int domain, bus, slot, function;

		found = pci_number(path, "vendor") == vendor &&
			pci_number(path, "device") == device &&
			sscanf(name, "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4 &&
			!skip--;
		if (found) {
			snprintf(address->name, sizeof(address->name), "%s", name);
			address->domain = domain;
			address->bdf = bus << 8 | slot << 3 | function;
		}
	}
	globfree(&devices);
	return found;
}
