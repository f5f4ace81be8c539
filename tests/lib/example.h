/* SPDX-License-Identifier: MIT */
/* Running an example of the library's as it stands, its main() renamed. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mock.h"

#define DEVICE		"/dev/nvme-dmabuf"
#define NAMESPACE	"/dev/nvme9n9"

#define EXPECT(file, request, effect, err, ret) \
	MOCK_IOCTLS({ file, request, NULL, 0, effect, err, ret })

/* Runs an example, which leaves the namespace's descriptor to its exit. */
static inline int run(int (*example)(int argc, char **argv), FILE **out, FILE **err)
{
	char *argv[] = { "example", NAMESPACE, NULL };
	int lowest = dup(0), saved_stdout, saved_stderr, ret;

	close(lowest);
	*out = tmpfile();
	*err = tmpfile();
	fflush(stdout);
	saved_stdout = dup(1);
	saved_stderr = dup(2);
	dup2(fileno(*out), 1);
	dup2(fileno(*err), 2);
	ret = example(2, argv);
	fflush(stdout);
	dup2(saved_stdout, 1);
	dup2(saved_stderr, 2);
	close(saved_stdout);
	close(saved_stderr);
	for (int fd = lowest; fd < lowest + 16; fd++)
		if (mock_name(fd) && !strcmp(mock_name(fd), NAMESPACE))
			close(fd);
	rewind(*out);
	rewind(*err);
	return ret;
}

/* Closes what an example wrote that ended with @ret: all of this, to @err alone. */
static inline void failed_saying(int ret, FILE *out, FILE *err, const char *one,
				 const char *other)
{
	char message[512] = "";

	assert_int_equal(ret, 1);
	assert_int_equal(fgetc(out), EOF);
	assert_true(fread(message, 1, sizeof(message) - 1, err) > 0);
	assert_non_null(strstr(message, one));
	assert_non_null(strstr(message, other));
	fclose(out);
	fclose(err);
}

/* It must fail, write nothing, and say all of this. */
static inline void run_in_vain(int (*example)(int argc, char **argv), const char *one,
			       const char *other)
{
	FILE *out, *err;
	int ret = run(example, &out, &err);

	failed_saying(ret, out, err, one, other);
}

/*
 * Runs an example in a process of its own, which it may end. @expect says there what
 * calls it makes; the process aborts if one is wrong or missing.
 */
static inline int run_apart(void (*expect)(void), int (*example)(int argc, char **argv),
			    FILE *out, FILE *err)
{
	char *argv[] = { "example", NAMESPACE, NULL };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		expect();
		dup2(fileno(out), 1);
		dup2(fileno(err), 2);
		atexit(mock_all_done);
		exit(example(2, argv));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	rewind(out);
	rewind(err);
	return WEXITSTATUS(status);
}

static inline void run_apart_in_vain(void (*expect)(void), int (*example)(int argc, char **argv),
				     const char *one, const char *other)
{
	FILE *out = tmpfile(), *err = tmpfile();
	int ret = run_apart(expect, example, out, err);

	failed_saying(ret, out, err, one, other);
}

/* What an example writes does not fit: it must fail and say so. */
static inline void run_on_full_disk(void (*expect)(void), int (*example)(int argc, char **argv))
{
	FILE *full = fopen("/dev/full", "r+"), *out = tmpfile(), *err = tmpfile();
	int ret;

	assert_non_null(full);
	ret = run_apart(expect, example, full, err);
	fclose(full);
	failed_saying(ret, out, err, "No space left on device", "");
}

#endif /* EXAMPLE_H */
