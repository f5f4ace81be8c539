// SPDX-License-Identifier: MIT
/*
 * Exporters that are chosen by name: which names there are, and what each leads to.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/udmabuf.h>

#include <nvmedmabuf.h>

#include "mock.h"

static uint64_t page;

static int create(const char *name, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	*buf = NULL;
	return nvmedmabuf_buffer_create(name, size, buf);
}

/* Names */

static const char *const good[] = {
	"udmabuf", "huge", "heap", "heap:system", "heap:a:b", "drm", "drm:/dev/dri/card7",
	"memory", "memory:huge",
};

static const char *const bad[] = {
	"", ":", "tape", "auto", "udmabu", "udmabufx", "udmabuf:", "udmabuf:x", "huge:", "heap:",
	"heap:../x", "HEAP", " heap", "drm:", "drm:card0", "memory:", "memory:hug", "memory:huge:",
};

/* Nothing is opened for a name that makes no sense. */
static void names_are_checked(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (nvmedmabuf_buffer_check_name(good[i]))
			fail_msg("'%s' should be a name", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (nvmedmabuf_buffer_check_name(bad[i]) != -EINVAL)
			fail_msg("'%s' should be no name", bad[i]);
		assert_int_equal(create(bad[i], page, &buf), -EINVAL);
		assert_null(buf);
	}
	assert_string_equal(mock_open_path, "");
	assert_int_equal(mock_memfd_flags, 0);
}

/* Every kind of name is shown, and what is shown is a kind. */
static void names_are_shown(void **state)
{
	char names[300], *kind, *rest = names;
	unsigned int shown = 0, kinds = 0;

	(void)state;
	assert_true(strlen(nvmedmabuf_buffer_names()) < sizeof(names));
	strcpy(names, nvmedmabuf_buffer_names());
	while ((kind = strsep(&rest, ","))) {
		kind += *kind == ' ';
		kind[strcspn(kind, "[:")] = '\0';
		for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
			if (!strcmp(good[i], kind) ||
			    (!strncmp(good[i], kind, strlen(kind)) && good[i][strlen(kind)] == ':')) {
				shown++;
				break;
			}
		kinds++;
	}
	assert_int_equal(shown, kinds);
	assert_int_equal(kinds, 5);
}

/* The device that each name leads to. */
static void names_lead_to_exporters(void **state)
{
	static const struct {
		const char *name, *path;
		unsigned int memfd;
	} cases[] = {
		{ "udmabuf", "/dev/udmabuf", MFD_ALLOW_SEALING },
		{ "huge", "/dev/udmabuf", MFD_ALLOW_SEALING | MFD_HUGETLB },
		{ "heap", "/dev/dma_heap/system", 0 },
		{ "heap:cma", "/dev/dma_heap/cma", 0 },
		{ "drm", "/dev/dri/card0", 0 },
		{ "drm:/dev/dri/card7", "/dev/dri/card7", 0 },
		{ "memory", "/dev/nvme-dmabuf", MFD_ALLOW_SEALING },
		{ "memory:huge", "/dev/nvme-dmabuf", MFD_ALLOW_SEALING | MFD_HUGETLB },
	};
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		mock_memfd_flags = 0;
		mock_fail("open", ENXIO);
		assert_int_equal(create(cases[i].name, page, &buf), -ENXIO);
		assert_string_equal(mock_open_path, cases[i].path);
		assert_int_equal(mock_memfd_flags & ~MFD_CLOEXEC, cases[i].memfd);
		assert_int_equal(create(cases[i].name, 0, &buf), -EINVAL);
		mock_all_done();
	}
}

static void names_make_buffers(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	MOCK_IOCTLS({ "/dev/udmabuf", UDMABUF_CREATE, NULL, 0, NULL, 0, mock_dmabuf(page, O_RDWR) });
	assert_int_equal(create("udmabuf", 1, &buf), 0);
	assert_int_equal(nvmedmabuf_buffer_size(buf), page);
	nvmedmabuf_buffer_free(buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(names_are_checked),
		mock_test(names_are_shown),
		mock_test(names_lead_to_exporters),
		mock_test(names_make_buffers),
	};

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
