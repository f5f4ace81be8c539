/* SPDX-License-Identifier: MIT */
/*
 * A kernel for the library's tests: it answers open() of device nodes and every
 * ioctl(), also those that libdrm and libnvme make, from a list that the test
 * gives beforehand. All other system calls are real, on memfds that stand for
 * devices and dma-bufs, unless a test makes them fail.
 */
#ifndef MOCK_H
#define MOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define MOCK_DMABUF	"dma-buf"

/**
 * struct mock_ioctl - an ioctl() that is expected
 * @file: what it must be made on: the path of a device or MOCK_DMABUF
 * @request: its number
 * @in: what its argument must be, byte for byte; NULL to leave that to @effect
 * @size: sizeof(*@in)
 * @effect: writes what the kernel would to the argument; may be NULL
 * @err: errno it fails with, after @effect; 0 if it succeeds
 * @ret: what it returns if it succeeds
 */
struct mock_ioctl {
	const char *file;
	unsigned long request;
	const void *in;
	size_t size;
	void (*effect)(void *arg);
	int err;
	int ret;
};

/* Expect @calls next, in this order, and no others. */
void mock_ioctls(const struct mock_ioctl *calls, size_t count);
#define MOCK_IOCTLS(...)						\
	mock_ioctls((const struct mock_ioctl[]){ __VA_ARGS__ },		\
		    sizeof((const struct mock_ioctl[]){ __VA_ARGS__ }) / \
		    sizeof(struct mock_ioctl))

/* Every ioctl expected so far was made. */
void mock_all_done(void);

/* A dma-buf of the mock's, open with @mode (O_RDONLY or O_RDWR). */
int mock_dmabuf(uint64_t size, int mode);

/* A file of the mock's, for ioctl()s that return one. */
int mock_file(const char *name);

/* Where the next readlink() leads; and which link that was. */
void mock_link(const char *target);
extern char mock_link_path[300];

/*
 * dlopen() finds the libraries of a folder of this name, beside the test program, and no
 * others. How it was called last; and how many libraries are open.
 */
#define MOCK_LIBRARIES "standin"
extern char mock_library[64];
extern int mock_library_flags;
extern int mock_libraries;

/* What a library that need not be open yet has under this name. */
void *mock_symbol(const char *library, const char *name);

/* dlsym() does not find this one, until it is told NULL. */
void mock_missing(const char *symbol);

/* The next call of @function ("open", "mmap", "malloc"...) fails with @err. */
void mock_fail(const char *function, int err);

/* What was passed to the last open() of a device node, memfd_create(), mmap() */
extern char mock_open_path[300];
extern int mock_open_flags;
extern unsigned int mock_memfd_flags;
extern int mock_mmap_prot;
extern off_t mock_mmap_offset;

/*
 * What poll() finds, which must be called for one descriptor and without waiting:
 * @revents, after @effect, which may be NULL. How often it was called.
 */
void mock_poll(short revents, void (*effect)(void));
extern int mock_polls;

/* The name of the memfd behind a descriptor, or NULL if it is none. */
const char *mock_name(int fd);

/*
 * For every test: nothing is expected at its start, and at its end everything
 * expected was called and no descriptor or CPU mapping is left.
 */
int mock_setup(void **state);
int mock_teardown(void **state);
#define mock_test(f)	cmocka_unit_test_setup_teardown(f, mock_setup, mock_teardown)

#endif /* MOCK_H */
