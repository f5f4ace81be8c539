// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs each test in a child process and prints TAP. See tap.h.
 */
#define _GNU_SOURCE
#include "tap.h"

#include <fnmatch.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PASSED = 0, FAILED = 1, SKIPPED = 77 };

struct test {
	void (*run)(const void *arg);
	const void *arg;
	char *name;
};

static struct test *tests;
static unsigned int test_count;
static const struct test *running;
static char *skip_reason; /* shared with the child */
static const size_t reason_size = 1024;

void tap_add(void (*run)(const void *arg), const void *arg, const char *name, ...)
{
	struct test test = { run, arg, NULL };
	va_list args;

	va_start(args, name);
	if (vasprintf(&test.name, name, args) < 0)
		abort();
	va_end(args);
	tests = reallocarray(tests, test_count + 1, sizeof(*tests));
	if (!tests)
		abort();
	tests[test_count++] = test;
}

void tap_skip_all(const char *reason, ...)
{
	va_list args;

	va_start(args, reason);
	printf("1..0 # SKIP ");
	vprintf(reason, args);
	printf("\n");
	va_end(args);
	exit(0);
}

const char *tap_name(void)
{
	return running ? running->name : "";
}

void skip(const char *reason, ...)
{
	va_list args;

	va_start(args, reason);
	vsnprintf(skip_reason, reason_size, reason, args);
	va_end(args);
	fflush(NULL);
	_exit(SKIPPED);
}

/* One write per line, because threads and children print too. */
static void print_line(const char *prefix, const char *format, va_list args)
{
	char line[1024];
	int length = snprintf(line, sizeof(line), "# %s", prefix);

	vsnprintf(line + length, sizeof(line) - length - 1, format, args);
	strcat(line, "\n");
	fputs(line, stdout);
	fflush(stdout);
}

void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("", format, args);
	va_end(args);
}

void fail_at(const char *file, int line, const char *format, ...)
{
	char prefix[128];
	va_list args;

	snprintf(prefix, sizeof(prefix), "%s:%d: ", file, line);
	va_start(args, format);
	print_line(prefix, format, args);
	va_end(args);
	_exit(FAILED);
}

/* Where in the kernel is everything that the test's process group runs? */
static void print_stacks(pid_t pid)
{
	char pattern[64], line[256];
	glob_t tasks;

	snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stack", pid);
	if (glob(pattern, 0, NULL, &tasks))
		return;
	for (size_t i = 0; i < tasks.gl_pathc; i++) {
		FILE *stack = fopen(tasks.gl_pathv[i], "r");

		if (!stack)
			continue;
		note("%s:", tasks.gl_pathv[i]);
		while (fgets(line, sizeof(line), stack)) {
			line[strcspn(line, "\n")] = 0;
			note("  %s", line);
		}
		fclose(stack);
	}
	globfree(&tasks);
}

/* Waits for the child, but not forever. Returns false if it still runs. */
static bool wait_child(pid_t pid, int seconds, int *status)
{
	struct timespec end, now;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	for (;;) {
		struct timespec left;

		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = (struct timespec){ .tv_sec = end.tv_sec - now.tv_sec };
		if (left.tv_sec <= 0)
			return false;
		sigtimedwait(&child, NULL, &left);
	}
}

static bool run_test(unsigned int number, const struct test *test)
{
	const char *limit = getenv("TEST_TIMEOUT");
	int seconds = limit ? atoi(limit) : 300, status;
	struct timespec start, end;
	pid_t pid;

	*skip_reason = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		running = test;
		test->run(test->arg);
		fflush(NULL);
		_exit(PASSED);
	}
	if (pid < 0) {
		printf("Bail out! fork: %m\n");
		exit(FAILED);
	}
	if (!wait_child(pid, seconds, &status)) {
		note("still running after %d s", seconds);
		print_stacks(pid);
		kill(pid, SIGKILL);
		if (!wait_child(pid, 30, &status)) {
			printf("not ok %u - %s\nBail out! the test cannot be killed\n", number,
			       test->name);
			exit(FAILED);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (end.tv_sec - start.tv_sec > 1)
		note("took %d s", (int)(end.tv_sec - start.tv_sec));
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		printf("ok %u - %s # SKIP %s\n", number, test->name, skip_reason);
		return true;
	}
	if (WIFSIGNALED(status))
		note("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	printf("%sok %u - %s\n", status ? "not " : "", number, test->name);
	return status == 0;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!fnmatch(argv[i], name, 0))
			return true;
	return argc < 2;
}

int tap_run(int argc, char **argv)
{
	unsigned int wanted = 0, failed = 0, number = 0;
	sigset_t child;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	skip_reason =
		mmap(NULL, reason_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (skip_reason == MAP_FAILED)
		abort();

	for (unsigned int i = 0; i < test_count; i++)
		wanted += is_wanted(tests[i].name, argc, argv);
	printf("1..%u\n", wanted);
	for (unsigned int i = 0; i < test_count; i++)
		if (is_wanted(tests[i].name, argc, argv))
			failed += !run_test(++number, &tests[i]);
	return failed ? FAILED : PASSED;
}
