/* SPDX-License-Identifier: MIT */
/*
 * An io_uring for the library's tests: liburing's calls that enter the kernel, on rings
 * in ordinary memory. What the kernel does is a list that the test gives beforehand.
 * There is one ring at a time.
 */
#ifndef MOCK_URING_H
#define MOCK_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>

#define MOCK_RING "io_uring"

/**
 * struct mock_enter - a call into the kernel that is expected
 * @get_events: io_uring_get_events(), not io_uring_submit_and_wait() or
 *	io_uring_submit_and_wait_timeout()
 * @submit: how many entries it must give to the kernel
 * @wait: for how many completions it must wait
 * @timeout_ns: for how long; 0 if it must be without a limit
 * @taken: entries that the kernel takes
 * @effect: what happens then; may be NULL
 * @ret: what it returns
 */
struct mock_enter {
	bool get_events;
	unsigned int submit;
	unsigned int wait;
	uint64_t timeout_ns;
	unsigned int taken;
	void (*effect)(void);
	int ret;
};

/* Expect @calls next, in this order, and no others. */
void mock_enters(const struct mock_enter *calls, size_t count);
#define MOCK_ENTERS(...)                                                 \
	mock_enters((const struct mock_enter[]){ __VA_ARGS__ },          \
		    sizeof((const struct mock_enter[]){ __VA_ARGS__ }) / \
			    sizeof(struct mock_enter))

/* What dlsym() finds, or NULL if it is none of liburing's calls that are stood in for. */
void *mock_uring_symbol(const char *name);

/* What setting up fails with, the first and the second time, and registering a file. */
extern int mock_uring_init_err[2];
extern int mock_uring_register_err;

/* What a ring was set up with, at each attempt, and the file that was registered. */
extern unsigned int mock_uring_inits;
extern unsigned int mock_uring_entries;
extern unsigned int mock_uring_flags[2];
extern int mock_uring_file;

/* The eventfd that was registered, or -1, and what that fails with. */
extern int mock_uring_eventfd, mock_uring_eventfd_err;

/* The entries that the kernel took, and how many; the oldest are the first. */
extern struct io_uring_sqe mock_uring_taken[][2];
extern unsigned int mock_uring_nr_taken;

/* Completes a command. */
void mock_uring_complete(uint64_t user_data, int res, uint64_t big);

/* Completions that were written and not read. */
unsigned int mock_uring_unread(void);

/* The kernel has work for the task of the ring, or not. */
void mock_uring_taskrun(bool on);

/* For mock_setup(), mock_all_done(). */
void mock_uring_setup(void);
void mock_uring_all_done(void);

#endif /* MOCK_URING_H */
