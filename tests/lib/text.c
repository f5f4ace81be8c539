// SPDX-License-Identifier: MIT
/* Words for the module's reasons and the drive's statuses. */
#include <ctype.h>
#include <string.h>

#include <nvmedmabuf.h>

#include "mock.h"

/* Every reason of the binary interface, made of its header by the Makefile. */
static const struct {
	uint32_t number;
	const char *macro;
} reasons[] = {
#define REASON(id)	{ NVME_DMABUF_REASON_##id, #id },
#include "reasons.inc"
};

#define NR_REASONS	(sizeof(reasons) / sizeof(reasons[0]))

static void reasons_are_numbered_without_gaps(void **state)
{
	(void)state;
	assert_true(NR_REASONS >= 63);
	for (uint32_t i = 0; i < NR_REASONS; i++)
		assert_int_equal(reasons[i].number, i);
}

static void reason_names_are_those_of_the_header(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NR_REASONS; i++) {
		const char *name = nvmedmabuf_reason_name(reasons[i].number);
		const char *macro = reasons[i].macro;

		assert_non_null(name);
		assert_int_equal(strlen(name), strlen(macro));
		for (size_t c = 0; macro[c]; c++)
			assert_int_equal(name[c], macro[c] == '_' ? '-' : tolower(macro[c]));
	}
}

static void reason_texts_are_sentences(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NR_REASONS; i++) {
		const char *text = nvmedmabuf_reason_text(reasons[i].number);

		assert_non_null(text);
		assert_true(strlen(text) >= 20);
		assert_true(isupper(text[0]));
		assert_int_equal(text[strlen(text) - 1], '.');
		assert_null(strchr(text, '\n'));
		for (uint32_t other = 0; other < i; other++)
			assert_string_not_equal(text, nvmedmabuf_reason_text(other));
	}
}

static void reasons_of_a_newer_module(void **state)
{
	(void)state;
	assert_string_equal(nvmedmabuf_reason_name(NR_REASONS), "unknown");
	assert_string_equal(nvmedmabuf_reason_name(UINT32_MAX), "unknown");
	assert_non_null(nvmedmabuf_reason_text(NR_REASONS));
	assert_string_equal(nvmedmabuf_reason_text(NR_REASONS), nvmedmabuf_reason_text(UINT32_MAX));
	assert_string_not_equal(nvmedmabuf_reason_text(NR_REASONS), nvmedmabuf_reason_text(0));
}

static void status_texts(void **state)
{
	(void)state;
	assert_non_null(strstr(nvmedmabuf_status_text(0x080), "LBA Out of Range"));
	assert_non_null(strstr(nvmedmabuf_status_text(0x281), "Unrecovered Read Error"));
	/* with More and Do Not Retry */
	assert_string_equal(nvmedmabuf_status_text(0x6281), nvmedmabuf_status_text(0x281));
	assert_string_equal(nvmedmabuf_status_text(0xf881), nvmedmabuf_status_text(0x081));
	for (unsigned int status = 0; status <= UINT16_MAX; status++)
		assert_non_null(nvmedmabuf_status_text((uint16_t)status));
}

static void version_is_that_of_the_file(void **state)
{
	(void)state;
	assert_string_equal(nvmedmabuf_version(), EXPECTED_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_are_numbered_without_gaps),
		cmocka_unit_test(reason_names_are_those_of_the_header),
		cmocka_unit_test(reason_texts_are_sentences),
		cmocka_unit_test(reasons_of_a_newer_module),
		cmocka_unit_test(status_texts),
		cmocka_unit_test(version_is_that_of_the_file),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
