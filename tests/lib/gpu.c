// SPDX-License-Identifier: MIT
/*
 * Buffers in GPUs' memory, by libraries that stand in for the vendors'. These look at every
 * argument; here each of their calls fails once, while a buffer is made and while it is freed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <nvmedmabuf.h>

#include "mock.h"
#include "standin.h"

#define CUDA_LIBRARY "libcuda.so.1"
#define HIP_LIBRARY  "libhsa-runtime64.so.1"
#define ZE_LIBRARY   "libze_loader.so.1"

/* A result that no exporter knows, and which stands for all of these */
#define STRANGE 0x7ffffffe

static uint64_t page;

static int export_dmabuf(uint64_t size)
{
	return mock_dmabuf(size, O_RDWR);
}

/* The stand-in of a library, as at the start. */
static struct standin *fresh(const char *library, int trait)
{
	struct standin *s = mock_symbol(library, "standin");

	assert_int_equal(s->live, 0);
	*s = (struct standin){ .exported = export_dmabuf, .trait = trait };
	return s;
}

/* Nothing was wrong, and nothing is left. */
static void check(const struct standin *s)
{
	assert_string_equal(s->wrong, "");
	assert_int_equal(s->live, 0);
	assert_int_equal(mock_libraries, 0);
}

static int create(const char *name, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	*buf = NULL;
	return nvmedmabuf_buffer_create(name, size, buf);
}

static void refused(const char *library, int trait, const char *name, int err)
{
	const struct standin *s = fresh(library, trait);
	struct nvmedmabuf_buffer *buf;

	assert_int_equal(create(name, page, &buf), err);
	assert_null(buf);
	check(s);
}

/**
 * struct vendor - what holds for each of them
 * @unit: a buffer's bytes are a multiple of it
 * @more: bytes that are allocated besides
 * @devices: how many the stand-in has
 */
struct vendor {
	const char *name;
	const char *library;
	uint64_t unit;
	uint64_t more;
	unsigned int devices;
	const char *const *functions;
};

static const char *const cuda_functions[] = {
	"cuInit", "cuDeviceGet", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain",
	"cuDevicePrimaryCtxRelease_v2", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2",
	"cuMemAlloc_v2", "cuMemFree_v2", "cuMemGetHandleForAddressRange", NULL,
};

static const char *const hip_functions[] = {
	"hsa_init", "hsa_shut_down", "hsa_iterate_agents", "hsa_agent_get_info",
	"hsa_amd_agent_iterate_memory_pools", "hsa_amd_memory_pool_get_info",
	"hsa_amd_memory_pool_allocate", "hsa_amd_memory_pool_free",
	"hsa_amd_portable_export_dmabuf", NULL,
};

static const char *const ze_functions[] = {
	"zeInit", "zeDriverGet", "zeDeviceGet", "zeDeviceGetExternalMemoryProperties",
	"zeContextCreate", "zeContextDestroy", "zeMemAllocDevice", "zeMemFree",
	"zeMemGetAllocProperties", NULL,
};

static struct vendor vendors[] = {
	{ "cuda", CUDA_LIBRARY, 0, 0, 2, cuda_functions },
	{ "hip", HIP_LIBRARY, 2 << 20, 0, 2, hip_functions },
	{ "ze", ZE_LIBRARY, 0, 0, 3, ze_functions },
};

#define for_each_vendor(v) \
	for (struct vendor *v = vendors; v < vendors + sizeof(vendors) / sizeof(*vendors); v++)

static void names_lead_to_devices(void **state)
{
	struct nvmedmabuf_buffer *buf;
	struct standin *s;
	char name[32];
	void *addr;

	(void)state;
	for_each_vendor(v) {
		for (unsigned int n = 0; n < v->devices; n++) {
			s = fresh(v->library, 0);
			snprintf(name, sizeof(name), n ? "%s:%u" : "%s", v->name, n);
			assert_int_equal(create(name, v->unit + 1, &buf), 0);
			assert_string_equal(mock_library, v->library);
			assert_true(mock_library_flags & RTLD_NODELETE);
			assert_true(mock_library_flags & RTLD_NOW);
			assert_false(mock_library_flags & RTLD_GLOBAL);
			assert_int_equal(s->number, n);
			assert_int_equal(s->size, 2 * v->unit + v->more);
			assert_int_equal(nvmedmabuf_buffer_size(buf), 2 * v->unit);
			assert_string_equal(mock_name(nvmedmabuf_buffer_fd(buf)), MOCK_DMABUF);
			assert_true(fcntl(nvmedmabuf_buffer_fd(buf), F_GETFD) >= 0);
			assert_true(s->live > 0);
			assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), 0);
			assert_int_equal(mock_mmap_offset, 0);
			nvmedmabuf_buffer_free(buf);
			check(s);
		}
		/* "NAME:0" is "NAME" */
		s = fresh(v->library, 0);
		snprintf(name, sizeof(name), "%s:000", v->name);
		assert_int_equal(create(name, v->unit, &buf), 0);
		assert_int_equal(s->number, 0);
		assert_int_equal(nvmedmabuf_buffer_size(buf), v->unit);
		nvmedmabuf_buffer_free(buf);
		check(s);

		snprintf(name, sizeof(name), "%s:%u", v->name, v->devices);
		refused(v->library, 0, name, -ENODEV);
		snprintf(name, sizeof(name), "%s:999", v->name);
		refused(v->library, 0, name, -ENODEV);
	}
}

static void sizes_are_checked_first(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for_each_vendor(v) {
		assert_int_equal(create(v->name, 0, &buf), -EINVAL);
		assert_int_equal(create(v->name, UINT64_MAX, &buf), -EOVERFLOW);
		assert_int_equal(create(v->name, (uint64_t)INT64_MAX, &buf), -EOVERFLOW);
		assert_null(buf);
	}
	assert_string_equal(mock_library, "");
}

static void libraries_may_be_missing(void **state)
{
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for_each_vendor(v) {
		mock_fail("dlopen", 0);
		assert_int_equal(create(v->name, page, &buf), -ELIBACC);
		mock_all_done();
		assert_null(buf);
	}
}

/* An older library: nothing of it is called. */
static void functions_may_be_missing(void **state)
{
	(void)state;
	for_each_vendor(v) {
		for (const char *const *f = v->functions; *f; f++) {
			mock_missing(*f);
			refused(v->library, 0, v->name, -ENOSYS);
		}
		mock_missing(NULL);
	}
}

static void devices_may_export_nothing(void **state)
{
	(void)state;
	refused(CUDA_LIBRARY, CUDA_NO_DMABUF, "cuda", -EOPNOTSUPP);
	refused(HIP_LIBRARY, HSA_NO_POOL, "hip:1", -EOPNOTSUPP);
	refused(HIP_LIBRARY, HSA_INSIDE_A_BLOCK, "hip", -EOPNOTSUPP);
	refused(HIP_LIBRARY, HSA_ONLY_CPU, "hip", -ENODEV);
	refused(ZE_LIBRARY, ZE_NO_DMABUF, "ze:2", -EOPNOTSUPP);
	refused(ZE_LIBRARY, ZE_NO_DRIVER, "ze", -ENODEV);
	for_each_vendor(v)
		refused(v->library, DMABUF_IS_SMALLER, v->name, -EINVAL);
}

/* With the PCIe flag if the driver takes it. */
static void cuda_maps_by_pcie(void **state)
{
	static const struct {
		int trait;
		unsigned int calls;
	} cases[] = { { 0, 9 }, { CUDA_OLD, 9 }, { CUDA_COHERENT, 8 } };
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct standin *s = fresh(CUDA_LIBRARY, cases[i].trait);

		assert_int_equal(create("cuda", page, &buf), 0);
		assert_int_equal(s->calls, cases[i].calls);
		nvmedmabuf_buffer_free(buf);
		check(s);
	}
}

/**
 * struct outcome - what a failed call leads to
 * @call: which; NULL stands for all others
 * @result: what it returned; STRANGE stands for all others
 * @err: what create() returns; 0 if it goes on
 */
struct outcome {
	const char *call;
	int result;
	int err;
};

static const struct outcome cuda_outcomes[] = {
	/* The work is done. */
	{ "cuCtxPopCurrent_v2", STRANGE, 0 },
	{ NULL, 2, -ENOMEM },
	{ NULL, 100, -ENODEV },
	{ NULL, 101, -ENODEV },
	{ NULL, 800, -EACCES },
	{ NULL, 801, -EOPNOTSUPP },
	{ NULL, STRANGE, -EIO },
};

static const struct outcome hip_outcomes[] = {
	{ "hsa_init", 0x1008, -ENODEV },
	{ "hsa_amd_portable_export_dmabuf", 0x1000, -EOPNOTSUPP },
	{ "hsa_amd_portable_export_dmabuf", 0x1004, -EOPNOTSUPP },
	{ NULL, 0x1003, -ENOMEM },
	{ NULL, 0x1008, -ENOMEM },
	{ NULL, STRANGE, -EIO },
};

static const struct outcome ze_outcomes[] = {
	{ NULL, 0x70000002, -ENOMEM },
	{ NULL, 0x70000003, -ENOMEM },
	{ NULL, 0x70010000, -EACCES },
	{ NULL, 0x78000001, -ENODEV },
	{ NULL, 0x78000002, -EOPNOTSUPP },
	{ NULL, 0x78000003, -EOPNOTSUPP },
	{ NULL, 0x78000009, -EINVAL },
	{ NULL, 0x7800000d, -EOPNOTSUPP },
	{ NULL, STRANGE, -EIO },
};

static int outcome_of(const struct outcome *o, const char *call, int result)
{
	while ((o->call && strcmp(o->call, call)) ||
	       (o->result != result && !(o->result == STRANGE)))
		o++;
	return o->err;
}

/* How many calls it takes to make a buffer, or to make and to free one. */
static unsigned int calls_of(const struct vendor *v, int trait, bool freed)
{
	struct standin *s = fresh(v->library, trait);
	struct nvmedmabuf_buffer *buf;
	unsigned int made;

	assert_int_equal(create(v->name, page, &buf), 0);
	made = s->calls;
	nvmedmabuf_buffer_free(buf);
	check(s);
	return freed ? s->calls : made;
}

/*
 * Every call fails once with this result. While the buffer is freed there is nobody to tell: the
 * rest is released.
 */
static void every_call_fails(const struct vendor *v, int trait, const struct outcome *outcomes,
			     int result)
{
	const unsigned int all = calls_of(v, trait, true), made = calls_of(v, trait, false);
	struct nvmedmabuf_buffer *buf;

	for (unsigned int n = 1; n <= all; n++) {
		struct standin *s = fresh(v->library, trait);
		int ret, want = 0;

		s->fail_at = n;
		s->fail_with = result;
		ret = create(v->name, page, &buf);
		if (n <= made) {
			assert_non_null(s->failed);
			want = outcome_of(outcomes, s->failed, result);
			/* It is asked once more, without the flag. */
			if (n == made - 1 && v == vendors && (result == 1 || result == 801))
				want = 0;
		}
		if (ret != want)
			fail_msg("%s: %s returns %#x: %d instead of %d", v->name, s->failed,
				 (unsigned int)result, ret, want);
		if (ret)
			assert_null(buf);
		nvmedmabuf_buffer_free(buf);
		assert_non_null(s->failed);
		if (s->live)
			fail_msg("%s: %s fails: %d things are left", v->name, s->failed, s->live);
		check(s);
	}
}

static void cuda_fails_at_every_call(void **state)
{
	static const int results[] = { 1, 2, 3, 100, 101, 800, 801, 999 };

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		every_call_fails(&vendors[0], CUDA_COHERENT, cuda_outcomes, results[i]);
}

static void hip_fails_at_every_call(void **state)
{
	static const int results[] = { 0x1000, 0x1001, 0x1003, 0x1004, 0x1008, 40 };

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		every_call_fails(&vendors[1], 0, hip_outcomes, results[i]);
}

static void ze_fails_at_every_call(void **state)
{
	static const int results[] = { 0x70000001, 0x70000002, 0x70000003, 0x70010000, 0x78000001,
				       0x78000002, 0x78000003, 0x78000004, 0x78000009, 0x7800000d };

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		every_call_fails(&vendors[2], 0, ze_outcomes, results[i]);
}

/* Without the flag it fails for good. */
static void cuda_fails_without_the_flag(void **state)
{
	static const int results[][2] = { { 1, -EIO }, { 801, -EOPNOTSUPP }, { 2, -ENOMEM } };
	struct nvmedmabuf_buffer *buf;

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++) {
		struct standin *s = fresh(CUDA_LIBRARY, 0);

		s->fail_at = 8;
		s->fail_with = results[i][0];
		assert_int_equal(create("cuda", page, &buf), results[i][1]);
		assert_string_equal(s->failed, "cuMemGetHandleForAddressRange");
		check(s);
	}
}

static void buffers_fail_as_system_calls(void **state)
{
	static const char *const calls[] = { "calloc", "lseek" };
	struct nvmedmabuf_buffer *buf;
	struct standin *s;
	void *addr;

	(void)state;
	for_each_vendor(v) {
		for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
			mock_fail(calls[i], ENOMEM);
			refused(v->library, 0, v->name, -ENOMEM);
			mock_all_done();
		}
		/* What the exporter says; NVIDIA's driver has a number that is the kernel's own. */
		s = fresh(v->library, 0);
		assert_int_equal(create(v->name, page, &buf), 0);
		mock_fail("mmap", ENODEV);
		assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), -ENODEV);
		mock_fail("mmap", 524);
		assert_int_equal(nvmedmabuf_buffer_mmap(buf, &addr), -524);
		nvmedmabuf_buffer_free(buf);
		check(s);
	}
	mock_fail("fcntl", EMFILE);
	refused(ZE_LIBRARY, 0, "ze", -EMFILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(names_lead_to_devices),
		mock_test(sizes_are_checked_first),
		mock_test(libraries_may_be_missing),
		mock_test(functions_may_be_missing),
		mock_test(devices_may_export_nothing),
		mock_test(cuda_maps_by_pcie),
		mock_test(cuda_fails_at_every_call),
		mock_test(cuda_fails_without_the_flag),
		mock_test(hip_fails_at_every_call),
		mock_test(ze_fails_at_every_call),
		mock_test(buffers_fail_as_system_calls),
	};

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	for_each_vendor(v)
		if (!v->unit)
			v->unit = page;
	vendors[0].more = page;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
