/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A runner for tests that talk to a kernel: every test is a process of its own,
 * so that a crash, a hang or an early end of one of them takes nothing away
 * from the next and leaves no open file behind. Prints TAP. It must not know
 * what is tested.
 *
 * (cmocka 1.1 reports a skipped test as "not ok", has no place for a reason,
 * and runs all tests in one process.)
 */
#ifndef TESTS_MODULE_TAP_H
#define TESTS_MODULE_TAP_H

#include <stdint.h>

#define PRINTF(string, first) __attribute__((format(printf, string, first)))

/** tap_add - add a test; @run gets @arg, the rest is the test's name */
void tap_add(void (*run)(const void *arg), const void *arg, const char *name, ...) PRINTF(3, 4);

/** tap_skip_all - end the program: none of its tests can run, for this reason */
_Noreturn void tap_skip_all(const char *reason, ...) PRINTF(1, 2);

/**
 * tap_run - run the tests that were added, in order
 * @argc, @argv: main()'s; arguments are patterns (fnmatch) of tests to run
 *
 * A test that runs for more than TEST_TIMEOUT seconds (default 300) fails.
 * Return: the program's exit status.
 */
int tap_run(int argc, char **argv);

/** tap_name - name of the test that is running */
const char *tap_name(void);

/** skip - end the running test: it cannot run here, for this reason */
_Noreturn void skip(const char *reason, ...) PRINTF(1, 2);

/** note - print a line of diagnostics */
void note(const char *format, ...) PRINTF(1, 2);

/** fail_at - end the running test: it failed; also from threads and children */
_Noreturn void fail_at(const char *file, int line, const char *format, ...) PRINTF(3, 4);

#define fail(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)

#define check(condition) ((condition) ? (void)0 : fail("not true: %s", #condition))

/** check_that - like check(), but says more */
#define check_that(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))

/** check_eq - two integers must be the same */
#define check_eq(actual, expected)                                                          \
	do {                                                                                \
		long long actual_ = (long long)(actual), expected_ = (long long)(expected); \
		if (actual_ != expected_)                                                   \
			fail("%s is %lld (%#llx), not %lld (%#llx)", #actual, actual_,      \
			     (unsigned long long)actual_, expected_,                        \
			     (unsigned long long)expected_);                                \
	} while (0)

/** check_sys - a system call must not fail; evaluates to its result */
#define check_sys(call)                              \
	({                                           \
		__typeof__(call) result_ = (call);   \
		if (result_ == (__typeof__(call))-1) \
			fail("%s: %m", #call);       \
		result_;                             \
	})

#endif
