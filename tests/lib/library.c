// SPDX-License-Identifier: MIT
/* Libraries that are loaded when they are needed, and what is said when they are not there. */
#include <errno.h>
#include <string.h>

#include <nvmedmabuf.h>

#include "../../userlib/src/library.h"
#include "mock.h"

#define FUNCTIONS(f) f(strlen) f(strcmp)
#define ABSENT(f)    f(strlen)

LIBRARY(here, "libc.so.6", FUNCTIONS);
LIBRARY(absent, "libnvmedmabuf-no-such-library.so.9", ABSENT);

static void is_loaded(void **state)
{
	(void)state;
	assert_int_equal(library_load(&here_library), 0);
	assert_int_equal(here.strlen("abc"), 3);
	assert_int_equal(here.strcmp("a", "a"), 0);
	/* Once is enough. */
	mock_fail("dlopen", 0);
	assert_int_equal(library_load(&here_library), 0);
	assert_int_equal(library_load(&absent_library), -ELIBACC);
}

static void is_absent(void **state)
{
	(void)state;
	assert_int_equal(library_load(&absent_library), -ELIBACC);
}

static void is_too_old(void **state)
{
	static const char *const symbols[] = { "strlen", "no_such_function", NULL };
	void *functions[2];
	struct library old = { .soname = "libc.so.6", .symbols = symbols, .functions = functions };

	(void)state;
	assert_int_equal(library_load(&old), -ENOSYS);
	assert_int_equal(library_load(&old), -ENOSYS);
}

/* Each call that needs a library says so, and works once it is there. */
static void calls_say_so(void **state)
{
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	struct nvmedmabuf_buffer *buf;

	(void)state;
	mock_fail("dlopen", 0);
	assert_int_equal(nvmedmabuf_get_drive(0, &drive), -ELIBACC);
	mock_fail("dlsym", 0);
	assert_int_equal(nvmedmabuf_get_drive(0, &drive), -ENOSYS);
	mock_fail("dlopen", 0);
	assert_int_equal(nvmedmabuf_buffer_create("drm", 4096, &buf), -ELIBACC);
	mock_fail("dlopen", 0);
	assert_string_equal(nvmedmabuf_status_text(0x281),
			    "Media or data integrity error; libnvme, if installed, says more");
	mock_fail("dlopen", 0);
	assert_string_equal(nvmedmabuf_status_text(0), "Success");
	assert_non_null(strstr(nvmedmabuf_status_text(0x281), "Read"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_loaded),
		cmocka_unit_test(is_absent),
		cmocka_unit_test(is_too_old),
		cmocka_unit_test(calls_say_so),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
