// SPDX-License-Identifier: MIT
/*
 * The mock kernel of mock.h. ioctl() is defined here, so that shared libraries
 * call it too; the other calls are wrapped by the linker (ld --wrap) in the
 * library's own objects only.
 */
#include "mock.h"
#include "mock_uring.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "mock_uring.h"

#define MAX_IOCTLS	16
#define HUGE_PAGE	(2 << 20)

char mock_open_path[300];
int mock_open_flags;
unsigned int mock_memfd_flags;
int mock_mmap_prot;
off_t mock_mmap_offset;
char mock_link_path[300];
int mock_polls;
char mock_library[64];
int mock_library_flags;
int mock_libraries;

static struct mock_ioctl expected[MAX_IOCTLS];
static size_t nr_expected, nr_called;
static const char *failing;
static int failing_errno;
static void *mapping;		/* the one CPU mapping there may be */
static size_t mapping_len;
static int nr_files;
static const char *link_target;
static const char *missing_symbol;
static short poll_revents;
static void (*poll_effect)(void);

int __real_open(const char *path, int flags, ...);
int __real_memfd_create(const char *name, unsigned int flags);
int __real_fstat(int fd, struct stat *st);
int __real_ftruncate(int fd, off_t size);
int __real_fcntl(int fd, int cmd, ...);
off_t __real_lseek(int fd, off_t offset, int whence);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *addr, size_t len);
int __real_fstatfs(int fd, struct statfs *fs);
ssize_t __real_readlink(const char *path, char *to, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t nmemb, size_t size);
void *__real_dlopen(const char *file, int flags);
void *__real_dlsym(void *library, const char *name);
int __real_dlclose(void *library);

int __wrap_open(const char *path, int flags, ...);
int __wrap_memfd_create(const char *name, unsigned int flags);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fcntl(int fd, int cmd, ...);
off_t __wrap_lseek(int fd, off_t offset, int whence);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *addr, size_t len);
int __wrap_fstatfs(int fd, struct statfs *fs);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nmemb, size_t size);
void *__wrap_dlopen(const char *file, int flags);
void *__wrap_dlsym(void *library, const char *name);
int __wrap_dlclose(void *library);
int __wrap_poll(struct pollfd *fds, nfds_t nfds, int timeout);

static bool fails(const char *function)
{
	if (!failing || strcmp(failing, function))
		return false;
	failing = NULL;
	errno = failing_errno;
	return true;
}

void mock_fail(const char *function, int err)
{
	failing = function;
	failing_errno = err;
}

const char *mock_name(int fd)
{
	static char name[300];
	const char prefix[] = "/memfd:";
	char link[32], *end;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = __real_readlink(link, name, sizeof(name) - 1);
	if (len < 0)
		return NULL;
	name[len] = '\0';
	end = strstr(name, " (deleted)");
	if (strncmp(name, prefix, strlen(prefix)) || !end)
		return NULL;
	*end = '\0';
	return name + strlen(prefix);
}

static int count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void mock_ioctls(const struct mock_ioctl *calls, size_t count)
{
	if (nr_called == nr_expected)
		nr_called = nr_expected = 0;
	assert_true(nr_expected + count <= MAX_IOCTLS);
	memcpy(expected + nr_expected, calls, count * sizeof(*calls));
	nr_expected += count;
}

void mock_all_done(void)
{
	assert_int_equal(nr_called, nr_expected);
	mock_uring_all_done();
	assert_null(failing);
	assert_null(link_target);
}

int mock_setup(void **state)
{
	(void)state;
	nr_expected = nr_called = 0;
	failing = NULL;
	mapping = NULL;
	mock_open_path[0] = '\0';
	mock_open_flags = -1;
	mock_memfd_flags = 0;
	mock_mmap_prot = -1;
	mock_mmap_offset = -1;
	mock_link_path[0] = '\0';
	link_target = NULL;
	mock_library[0] = '\0';
	mock_library_flags = -1;
	mock_missing(NULL);
	mock_poll(0, NULL);
	mock_polls = 0;
	mock_uring_setup();
	nr_files = count_files();
	return 0;
}

int mock_teardown(void **state)
{
	(void)state;
	mock_all_done();
	assert_null(mapping);
	assert_int_equal(mock_libraries, 0);
	assert_int_equal(count_files(), nr_files);
	return 0;
}

int mock_dmabuf(uint64_t size, int mode)
{
	char link[32];
	int fd, again;

	fd = __real_memfd_create(MOCK_DMABUF, 0);
	assert_true(fd >= 0);
	assert_int_equal(__real_ftruncate(fd, (off_t)size), 0);
	if (mode == O_RDWR)
		return fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	again = __real_open(link, mode);
	assert_true(again >= 0);
	close(fd);
	return again;
}

int mock_file(const char *name)
{
	int fd = __real_memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

void mock_link(const char *target)
{
	link_target = target;
}

int ioctl(int fd, unsigned long request, ...)
{
	const struct mock_ioctl *call = &expected[nr_called];
	const char *name = mock_name(fd);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);

	if (!name) {
		errno = __real_fcntl(fd, F_GETFD) < 0 ? EBADF : ENOTTY;
		return -1;
	}
	if (nr_called == nr_expected)
		fail_msg("unexpected ioctl %#lx on %s", request, name);
	nr_called++;

	assert_string_equal(name, call->file);
	assert_int_equal(request, call->request);
	if (call->in)
		assert_memory_equal(arg, call->in, call->size);
	if (call->effect)
		call->effect(arg);
	if (call->err) {
		errno = call->err;
		return -1;
	}
	return call->ret;
}

/* A device node, or a file below /mnt, is a memfd that bears its path as its name. */
int __wrap_open(const char *path, int flags, ...)
{
	if (!strncmp(path, "/proc/self/fd/", 14))
		return fails("open") ? -1 : __real_open(path, flags);
	assert_true(!strncmp(path, "/dev/", 5) || !strncmp(path, "/mnt/", 5));
	snprintf(mock_open_path, sizeof(mock_open_path), "%s", path);
	mock_open_flags = flags;
	if (fails("open"))
		return -1;
	return __real_memfd_create(path, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
}

/* There may be no huge pages here, so they are only pretended. */
int __wrap_memfd_create(const char *name, unsigned int flags)
{
	mock_memfd_flags = flags;
	if (fails("memfd_create"))
		return -1;
	return __real_memfd_create(name, flags & ~MFD_HUGETLB);
}

int __wrap_fstat(int fd, struct stat *st)
{
	const char *name = mock_name(fd);
	int ret;

	if (fails("fstat"))
		return -1;
	ret = __real_fstat(fd, st);
	if (!ret && name && !strncmp(name, "/dev/", 5))
		st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
	/* Shared memory's block size is that of huge pages on some hosts. */
	st->st_blksize = HUGE_PAGE;
	return ret;
}

int __wrap_ftruncate(int fd, off_t size)
{
	return fails("ftruncate") ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fcntl(int fd, int cmd, ...)
{
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	return fails("fcntl") ? -1 : __real_fcntl(fd, cmd, arg);
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
	return fails("lseek") ? -1 : __real_lseek(fd, offset, whence);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *ret;

	mock_mmap_prot = prot;
	mock_mmap_offset = offset;
	if (fails("mmap"))
		return MAP_FAILED;
	ret = __real_mmap(addr, len, prot, flags, fd, offset);
	if (ret != MAP_FAILED) {
		assert_null(mapping);
		mapping = ret;
		mapping_len = len;
	}
	return ret;
}

int __wrap_munmap(void *addr, size_t len)
{
	assert_ptr_equal(addr, mapping);
	assert_int_equal(len, mapping_len);
	mapping = NULL;
	return __real_munmap(addr, len);
}

int __wrap_fstatfs(int fd, struct statfs *fs)
{
	const char *name = mock_name(fd);
	int ret;

	if (fails("fstatfs"))
		return -1;
	ret = __real_fstatfs(fd, fs);
	if (!ret && name && !strcmp(name, MOCK_DMABUF))
		fs->f_type = DMA_BUF_MAGIC;
	return ret;
}

ssize_t __wrap_readlink(const char *path, char *to, size_t size)
{
	size_t length;

	snprintf(mock_link_path, sizeof(mock_link_path), "%s", path);
	if (fails("readlink"))
		return -1;
	assert_non_null(link_target);
	length = strlen(link_target);
	if (length > size)
		length = size;
	/* As the real one does, without a zero at the end. */
	memcpy(to, link_target, length);
	link_target = NULL;
	return (ssize_t)length;
}

void *__wrap_malloc(size_t size)
{
	return fails("malloc") ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t nmemb, size_t size)
{
	return fails("calloc") ? NULL : __real_calloc(nmemb, size);
}

static void *open_library(const char *file, int flags)
{
	char path[PATH_MAX + 100];
	ssize_t length = __real_readlink("/proc/self/exe", path, PATH_MAX);
	char *end;

	assert_true(length > 0 && length < PATH_MAX);
	path[length] = '\0';
	end = strrchr(path, '/');
	snprintf(end, 100, "/" MOCK_LIBRARIES "/%s", file);
	return __real_dlopen(path, flags);
}

void *mock_symbol(const char *library, const char *name)
{
	void *handle = open_library(library, RTLD_NOW | RTLD_NODELETE), *symbol;

	if (!handle)
		fail_msg("%s", dlerror());
	symbol = __real_dlsym(handle, name);
	assert_non_null(symbol);
	__real_dlclose(handle);
	return symbol;
}

void mock_missing(const char *symbol)
{
	missing_symbol = symbol;
}

void *__wrap_dlopen(const char *file, int flags)
{
	void *ret;

	assert_true(strlen(file) < sizeof(mock_library));
	strcpy(mock_library, file);
	mock_library_flags = flags;
	if (fails("dlopen"))
		return NULL;
	ret = open_library(file, flags);
	mock_libraries += ret != NULL;
	/* What there is no stand-in for is real, and stays. */
	return ret ? ret : __real_dlopen(file, flags);
}

void *__wrap_dlsym(void *library, const char *name)
{
	void *found = mock_uring_symbol(name);

	if (fails("dlsym") || (missing_symbol && !strcmp(name, missing_symbol)))
		return NULL;
	return found ? found : __real_dlsym(library, name);
}

int __wrap_dlclose(void *library)
{
	mock_libraries--;
	return __real_dlclose(library);
}

void mock_poll(short revents, void (*effect)(void))
{
	poll_revents = revents;
	poll_effect = effect;
}

int __wrap_poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	assert_int_equal(nfds, 1);
	assert_int_equal(timeout, 0);
	assert_non_null(mock_name(fds->fd));
	mock_polls++;
	if (poll_effect)
		poll_effect();
	fds->revents = fds->events & poll_revents;
	return fds->revents ? 1 : 0;
}
