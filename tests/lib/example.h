/* SPDX-License-Identifier: MIT */
/* Running an example of the library's as it stands, its main() renamed. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <string.h>
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

/* It must fail, write nothing, and say all of this. */
static inline void run_in_vain(int (*example)(int argc, char **argv), const char *one,
			       const char *other)
{
	char message[512] = "";
	FILE *out, *err;

	assert_int_equal(run(example, &out, &err), 1);
	assert_int_equal(fgetc(out), EOF);
	assert_true(fread(message, 1, sizeof(message) - 1, err) > 0);
	assert_non_null(strstr(message, one));
	assert_non_null(strstr(message, other));
	fclose(out);
	fclose(err);
}

#endif /* EXAMPLE_H */
