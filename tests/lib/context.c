// SPDX-License-Identifier: MIT
/* Contexts, maps and commands: what the library asks of the module and tells of it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <nvmedmabuf.h>

#include "device.h"

static void open_opens_the_device(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	assert_string_equal(mock_open_path, DEVICE);
	assert_int_equal(mock_open_flags, O_RDWR | O_CLOEXEC);
	assert_string_equal(mock_name(nvmedmabuf_fd(ctx)), DEVICE);
	nvmedmabuf_close(ctx);
}

static void open_fails_as_the_system_call(void **state)
{
	struct nvmedmabuf *ctx = NULL;

	(void)state;
	mock_fail("open", ENOENT);
	assert_int_equal(nvmedmabuf_open(&ctx), -ENOENT);
	mock_fail("open", EACCES);
	assert_int_equal(nvmedmabuf_open(&ctx), -EACCES);
	assert_null(ctx);
}

static void open_refuses_another_driver(void **state)
{
	struct nvmedmabuf *ctx = NULL;

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(ENOTTY));
	assert_int_equal(nvmedmabuf_open(&ctx), -ENOTTY);
	assert_null(ctx);
}

static void open_without_memory(void **state)
{
	struct nvmedmabuf *ctx = NULL;

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(0));
	mock_fail("malloc", ENOMEM);
	assert_int_equal(nvmedmabuf_open(&ctx), -ENOMEM);
	assert_null(ctx);
}

static void open_fd_adopts_the_descriptor(void **state)
{
	struct nvmedmabuf *ctx;
	int fd = open(DEVICE, O_RDWR);

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(nvmedmabuf_open_fd(fd, &ctx), 0);
	assert_int_equal(nvmedmabuf_fd(ctx), fd);
	nvmedmabuf_close(ctx);
	assert_int_equal(close(fd), -1);
	assert_int_equal(errno, EBADF);
}

static void open_fd_leaves_the_descriptor_on_failure(void **state)
{
	struct nvmedmabuf *ctx = NULL;
	int fd = open(DEVICE, O_RDWR);

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(ENOTTY));
	assert_int_equal(nvmedmabuf_open_fd(fd, &ctx), -ENOTTY);
	MOCK_IOCTLS(EXPECT_INFO(0));
	mock_fail("malloc", ENOMEM);
	assert_int_equal(nvmedmabuf_open_fd(fd, &ctx), -ENOMEM);
	assert_null(ctx);
	assert_int_equal(close(fd), 0);
}

static void open_fd_of_no_file(void **state)
{
	struct nvmedmabuf *ctx = NULL;
	int fd = open(DEVICE, O_RDWR);

	(void)state;
	close(fd);
	assert_int_equal(nvmedmabuf_open_fd(fd, &ctx), -EBADF);
	assert_int_equal(nvmedmabuf_open_fd(-1, &ctx), -EBADF);
	assert_null(ctx);
}

static void close_takes_null(void **state)
{
	(void)state;
	nvmedmabuf_close(NULL);
}

static void get_info_asks_each_time(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_info info, answer = info_in;

	(void)state;
	for (int i = 0; i < 2; i++) {
		max_commands = 100 + i;
		MOCK_IOCTLS(EXPECT_INFO(0));
		memset(&info, GARBAGE, sizeof(info));
		info.size = sizeof(info);
		assert_int_equal(nvmedmabuf_get_info(ctx, &info), 0);
		answer_info(&answer);
		assert_memory_equal(&info, &answer, sizeof(info));
		assert_int_equal(info.out_max_commands, 100 + i);
	}
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_INFO(*e));
		assert_int_equal(nvmedmabuf_get_info(ctx, &info), -*e);
	}
	nvmedmabuf_close(ctx);
}

static void answer_ns_info(void *arg)
{
	struct nvme_dmabuf_ns_info *info = arg;

	info->out_reason = NVME_DMABUF_REASON_NOT_PCIE;
	info->out_capacity = 0x123456789aULL;
	info->out_start = 2048;
	info->out_block_size = 4096;
	info->out_nsid = 3;
	info->out_max_command = 512 * 1024;
	info->out_flags = NVME_DMABUF_NS_PARTITION;
	info->out_pci_domain = 1;
	info->out_pci_bdf = 0x1234;
}

static void get_ns_info_passes_the_file(void **state)
{
	const struct nvme_dmabuf_ns_info in = { .size = sizeof(in), .ns_fd = 77 };
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_ns_info info, answer = in;

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_NS_INFO, &in, sizeof(in), answer_ns_info, 0, 0 });
	memset(&info, GARBAGE, sizeof(info));
	info.size = sizeof(info);
	assert_int_equal(nvmedmabuf_get_ns_info(ctx, 77, &info), 0);
	answer_ns_info(&answer);
	assert_memory_equal(&info, &answer, sizeof(info));
	nvmedmabuf_close(ctx);
}

static void get_ns_info_gives_the_reason_on_failure(void **state)
{
	const struct nvme_dmabuf_ns_info in = { .size = sizeof(in), .ns_fd = 77 };
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_NS_INFO, &in, sizeof(in), answer_ns_info, *e, 0 });
		memset(&info, GARBAGE, sizeof(info));
		info.size = sizeof(info);
		assert_int_equal(nvmedmabuf_get_ns_info(ctx, 77, &info), -*e);
		assert_int_equal(info.out_reason, NVME_DMABUF_REASON_NOT_PCIE);
	}
	nvmedmabuf_close(ctx);
}

static const struct nvme_dmabuf_attach attach_in = {
	.size = sizeof(attach_in),
	.dmabuf_fd = 55,
	.ns_fd = 66,
	.access = NVME_DMABUF_ACCESS_WRITE,
	.offset = 0x1122334455667788ULL,
	.length = 0x99aabbccddeeff00ULL,
};

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	attach->out_map = 9;
	attach->out_reason = NVME_DMABUF_REASON_NONE;
}

static void refuse_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	attach->out_map = 9;
	attach->out_reason = NVME_DMABUF_REASON_EXPORTER;
}

static const struct nvmedmabuf_attach_params attach_params = {
	.size = sizeof(attach_params),
	.access = NVMEDMABUF_ACCESS_WRITE,
	.dmabuf_fd = 55,
	.ns_fd = 66,
	.offset = 0x1122334455667788ULL,
	.length = 0x99aabbccddeeff00ULL,
};

static int attach(struct nvmedmabuf *ctx, uint32_t *map, uint32_t *reason)
{
	return nvmedmabuf_attach(ctx, &attach_params, map, reason);
}

#define EXPECT_ATTACH(answer, error) \
	{ DEVICE, NVME_DMABUF_IOC_ATTACH, &attach_in, sizeof(attach_in), answer, error, 0 }

static void attach_passes_everything(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t map = 0, reason = GARBAGE;

	(void)state;
	MOCK_IOCTLS(EXPECT_ATTACH(answer_attach, 0));
	assert_int_equal(attach(ctx, &map, &reason), 0);
	assert_int_equal(map, 9);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_close(ctx);
}

static void attach_passes_each_flag(void **state)
{
	static const uint32_t flags[] = { NVME_DMABUF_ATTACH_REQUIRE_P2P,
					  NVME_DMABUF_ATTACH_AUTO_REFRESH, NVME_DMABUF_ATTACH_DEFER };
	struct nvmedmabuf *ctx = open_context();
	uint32_t map;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct nvmedmabuf_attach_params params = attach_params;
		struct nvme_dmabuf_attach in = attach_in;

		params.require_p2p = i == 0;
		params.auto_refresh = i == 1;
		params.defer = i == 2;
		in.flags = flags[i];
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_ATTACH, &in, sizeof(in), answer_attach, 0, 0 });
		assert_int_equal(nvmedmabuf_attach(ctx, &params, &map, NULL), 0);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

/* Structures of other versions of the library. */
static void attach_checks_the_size(void **state)
{
	struct {
		struct nvmedmabuf_attach_params params;
		uint64_t later;
	} longer = { .params = attach_params };
	struct nvmedmabuf_attach_params short_one = attach_params;
	struct nvmedmabuf *ctx = open_context();
	uint32_t map, reason = GARBAGE;

	(void)state;
	longer.params.size = sizeof(longer);
	MOCK_IOCTLS(EXPECT_ATTACH(answer_attach, 0));
	assert_int_equal(nvmedmabuf_attach(ctx, &longer.params, &map, &reason), 0);
	mock_all_done();
	longer.later = 1;
	assert_int_equal(nvmedmabuf_attach(ctx, &longer.params, &map, &reason), -E2BIG);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	short_one.size--;
	assert_int_equal(nvmedmabuf_attach(ctx, &short_one, &map, &reason), -EINVAL);
	short_one.size = 0;
	assert_int_equal(nvmedmabuf_attach(ctx, &short_one, &map, &reason), -EINVAL);
	nvmedmabuf_close(ctx);
}

/* What is behind the members that this library knows is cleared, and what is too short refused. */
static void answers_check_the_size(void **state)
{
	struct {
		struct nvme_dmabuf_info info;
		uint64_t later[2];
	} longer = { .info = { .size = sizeof(longer) }, .later = { 1, 2 } };
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_info info = { .size = sizeof(info) - 1 };
	struct nvme_dmabuf_ns_info ns = { .size = sizeof(ns) - 1 };
	struct nvme_dmabuf_map_info map = { .size = sizeof(map) - 1 };
	struct nvme_dmabuf_peer_info peer = { .size = 0 };

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_INFO, NULL, 0, answer_info, 0, 0 });
	assert_int_equal(nvmedmabuf_get_info(ctx, &longer.info), 0);
	mock_all_done();
	assert_int_equal(longer.info.size, sizeof(longer));
	assert_int_equal(longer.later[0] | longer.later[1], 0);
	assert_int_equal(nvmedmabuf_get_info(ctx, &info), -EINVAL);
	assert_int_equal(nvmedmabuf_get_ns_info(ctx, 77, &ns), -EINVAL);
	assert_int_equal(nvmedmabuf_get_map_info(ctx, 1, &map), -EINVAL);
	assert_int_equal(nvmedmabuf_get_peer_info(ctx, 77, 0, 0, &peer), -EINVAL);
	nvmedmabuf_close(ctx);
}

static void attach_gives_the_reason_on_failure(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		uint32_t map = 123, reason = GARBAGE;

		MOCK_IOCTLS(EXPECT_ATTACH(refuse_attach, *e));
		assert_int_equal(attach(ctx, &map, &reason), -*e);
		assert_int_equal(reason, NVME_DMABUF_REASON_EXPORTER);
		assert_int_equal(map, 123);
	}
	nvmedmabuf_close(ctx);
}

/* A module that could not even read the structure gives no reason. */
static void attach_has_no_reason_if_none_was_written(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t map, reason = GARBAGE;

	(void)state;
	MOCK_IOCTLS(EXPECT_ATTACH(NULL, EFAULT));
	assert_int_equal(attach(ctx, &map, &reason), -EFAULT);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_close(ctx);
}

static void attach_without_a_place_for_the_reason(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t map = 0;

	(void)state;
	MOCK_IOCTLS(EXPECT_ATTACH(refuse_attach, EOPNOTSUPP),
		    EXPECT_ATTACH(answer_attach, 0));
	assert_int_equal(attach(ctx, &map, NULL), -EOPNOTSUPP);
	assert_int_equal(attach(ctx, &map, NULL), 0);
	assert_int_equal(map, 9);
	nvmedmabuf_close(ctx);
}

static void detach_passes_the_map(void **state)
{
	const struct nvme_dmabuf_detach in = { .size = sizeof(in), .map = 0xfffffffe };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_DETACH, &in, sizeof(in), NULL, 0, 0 });
	assert_int_equal(nvmedmabuf_detach(ctx, 0xfffffffe), 0);
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_DETACH, &in, sizeof(in), NULL, *e, 0 });
		assert_int_equal(nvmedmabuf_detach(ctx, 0xfffffffe), -*e);
	}
	nvmedmabuf_close(ctx);
}

static void answer_map_info(void *arg)
{
	struct nvme_dmabuf_map_info *info = arg;

	memset(&info->out_state, 0x3c, sizeof(*info) - offsetof(struct nvme_dmabuf_map_info, out_state));
}

static void get_map_info_passes_the_map(void **state)
{
	const struct nvme_dmabuf_map_info in = { .size = sizeof(in), .map = 31 };
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_map_info info, answer = in;

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_MAP_INFO, &in, sizeof(in), answer_map_info, 0, 0 });
	memset(&info, GARBAGE, sizeof(info));
	info.size = sizeof(info);
	assert_int_equal(nvmedmabuf_get_map_info(ctx, 31, &info), 0);
	answer_map_info(&answer);
	assert_memory_equal(&info, &answer, sizeof(info));
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_MAP_INFO, &in, sizeof(in), NULL, *e, 0 });
		assert_int_equal(nvmedmabuf_get_map_info(ctx, 31, &info), -*e);
	}
	nvmedmabuf_close(ctx);
}

/* A module that knows nothing of files leaves what it does not know. */
static void answer_old_map_info(void *arg)
{
	const size_t end = offsetof(struct nvme_dmabuf_map_info, out_extents);
	const size_t start = offsetof(struct nvme_dmabuf_map_info, out_state);

	memset((char *)arg + start, 0x3c, end - start);
}

static void get_map_info_of_an_older_module(void **state)
{
	const struct nvme_dmabuf_map_info in = { .size = sizeof(in), .map = 31 };
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_MAP_INFO, &in, sizeof(in), answer_old_map_info, 0, 0 });
	memset(&info, GARBAGE, sizeof(info));
	info.size = sizeof(info);
	assert_int_equal(nvmedmabuf_get_map_info(ctx, 31, &info), 0);
	assert_int_equal(info.out_state, 0x3c3c3c3c);
	assert_int_equal(info.out_extents, 0);
	assert_int_equal(info.out_blocks, 0);
	assert_int_equal(info.out_file_bytes, 0);
	nvmedmabuf_close(ctx);
}

static uint32_t nr_runs;

static void answer_placement(void *arg)
{
	struct nvme_dmabuf_placement *placement = arg;

	placement->out_count = nr_runs;
}

static void get_placement_counts_all_runs(void **state)
{
	struct nvme_dmabuf_placement_run runs[2];
	const struct nvme_dmabuf_placement in = {
		.size = sizeof(in), .map = 4, .count = 2, .runs = (uintptr_t)runs,
	};
	struct nvmedmabuf *ctx = open_context();
	static const uint32_t counts[] = { 0, 1, 2, 3, INT_MAX };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		nr_runs = counts[i];
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_PLACEMENT, &in, sizeof(in), answer_placement, 0, 0 });
		assert_int_equal(nvmedmabuf_get_placement(ctx, 4, runs, 2), counts[i]);
	}
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_PLACEMENT, &in, sizeof(in), answer_placement, *e, 0 });
		assert_int_equal(nvmedmabuf_get_placement(ctx, 4, runs, 2), -*e);
	}
	nvmedmabuf_close(ctx);
}

static void get_placement_without_room(void **state)
{
	const struct nvme_dmabuf_placement in = { .size = sizeof(in), .map = 4 };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	nr_runs = 5;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_PLACEMENT, &in, sizeof(in), answer_placement, 0, 0 });
	assert_int_equal(nvmedmabuf_get_placement(ctx, 4, NULL, 0), 5);
	nvmedmabuf_close(ctx);
}

static void get_placement_of_more_runs_than_an_int_counts(void **state)
{
	const struct nvme_dmabuf_placement in = { .size = sizeof(in), .map = 4 };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	nr_runs = (uint32_t)INT_MAX + 1;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_PLACEMENT, &in, sizeof(in), answer_placement, 0, 0 });
	assert_int_equal(nvmedmabuf_get_placement(ctx, 4, NULL, 0), -EOVERFLOW);
	nvmedmabuf_close(ctx);
}

static struct nvme_dmabuf_command cmds[16];
static struct nvme_dmabuf_completion cpls[16];

static void complete_all(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_completed = submit->count;
}

static void complete_two(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_completed = 2;
}

static const struct nvme_dmabuf_submit *submit_in(uint32_t first, uint32_t count)
{
	static struct nvme_dmabuf_submit in[8];
	static unsigned int next;
	struct nvme_dmabuf_submit *submit = &in[next++ % 8];

	*submit = (struct nvme_dmabuf_submit){
		.size = sizeof(*submit),
		.commands = (uintptr_t)(cmds + first),
		.completions = (uintptr_t)(cpls + first),
		.count = count,
	};
	return submit;
}

#define EXPECT_SUBMIT(first, count, answer, error)			\
	{ DEVICE, NVME_DMABUF_IOC_SUBMIT, submit_in(first, count),	\
	  sizeof(struct nvme_dmabuf_submit), answer, error, 0 }

static void submit_of_nothing(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 0), 0);
	assert_int_equal(nvmedmabuf_submit(ctx, NULL, NULL, 0), 0);
	nvmedmabuf_close(ctx);
}

static void submit_up_to_the_limit_is_one_call(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (uint32_t n = 1; n <= MAX_COMMANDS; n++) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, n, complete_all, 0));
		assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, n), n);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void submit_splits_above_the_limit(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, complete_all, 0),
		    EXPECT_SUBMIT(4, 1, complete_all, 0));
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 5), 5);
	mock_all_done();

	MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, complete_all, 0),
		    EXPECT_SUBMIT(4, 4, complete_all, 0));
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 8), 8);
	mock_all_done();

	MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, complete_all, 0),
		    EXPECT_SUBMIT(4, 4, complete_all, 0),
		    EXPECT_SUBMIT(8, 3, complete_all, 0));
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 11), 11);
	nvmedmabuf_close(ctx);
}

/* EINTR too: it means a fatal signal, so there is no point in trying again. */
static void submit_fails_as_the_module(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, NULL, *e));
		assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 9), -*e);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void submit_that_fails_later_counts_what_completed(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, complete_all, 0),
			    EXPECT_SUBMIT(4, 4, NULL, *e));
		assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 9), 4);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void submit_stops_where_completions_stop(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, complete_all, 0),
		    EXPECT_SUBMIT(4, 4, complete_two, 0));
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 9), 6);
	mock_all_done();
	MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, NULL, 0));
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, 9), 0);
	nvmedmabuf_close(ctx);
}

static void submit_counts_with_an_int(void **state)
{
	struct nvmedmabuf *ctx;

	(void)state;
	max_commands = UINT32_MAX;
	MOCK_IOCTLS(EXPECT_INFO(0),
		    EXPECT_SUBMIT(0, INT_MAX, complete_all, 0));
	assert_int_equal(nvmedmabuf_open(&ctx), 0);
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, INT_MAX), INT_MAX);
	assert_int_equal(nvmedmabuf_submit(ctx, cmds, cpls, (uint32_t)INT_MAX + 1), -EINVAL);
	nvmedmabuf_close(ctx);
}

#define LENGTH	0x8899aabbccddee00ULL
#define OFFSET	0x1122334455667788ULL
#define SLBA	0xfedcba9876543210ULL

static void prep_fills_in_everything(void **state)
{
	const struct nvme_dmabuf_command read = {
		.slba = SLBA, .offset = OFFSET, .length = LENGTH,
		.map = 6, .opcode = NVME_DMABUF_OP_READ,
	}, write = {
		.slba = SLBA, .offset = OFFSET, .length = LENGTH,
		.map = 6, .opcode = NVME_DMABUF_OP_WRITE,
	}, flush = {
		.map = 6, .opcode = NVME_DMABUF_OP_FLUSH,
	};
	struct nvme_dmabuf_command cmd;

	(void)state;
	memset(&cmd, GARBAGE, sizeof(cmd));
	nvmedmabuf_prep_read(&cmd, 6, OFFSET, LENGTH, SLBA);
	assert_memory_equal(&cmd, &read, sizeof(cmd));

	memset(&cmd, GARBAGE, sizeof(cmd));
	nvmedmabuf_prep_write(&cmd, 6, OFFSET, LENGTH, SLBA);
	assert_memory_equal(&cmd, &write, sizeof(cmd));

	memset(&cmd, GARBAGE, sizeof(cmd));
	nvmedmabuf_prep_flush(&cmd, 6);
	assert_memory_equal(&cmd, &flush, sizeof(cmd));
}

/* What single commands are submitted as, and how they are completed. */
static struct nvme_dmabuf_command seen;
static struct nvme_dmabuf_completion completion;

static void complete_one(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	assert_int_equal(submit->size, sizeof(*submit));
	assert_int_equal(submit->flags, 0);
	assert_int_equal(submit->count, 1);
	memcpy(&seen, (void *)(uintptr_t)submit->commands, sizeof(seen));
	memcpy((void *)(uintptr_t)submit->completions, &completion, sizeof(completion));
	submit->out_completed = 1;
}

static void complete_none(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	memcpy(&seen, (void *)(uintptr_t)submit->commands, sizeof(seen));
}

typedef int one_command(struct nvmedmabuf *ctx, struct nvme_dmabuf_completion *cpl);

static int one_read(struct nvmedmabuf *ctx, struct nvme_dmabuf_completion *cpl)
{
	return nvmedmabuf_read(ctx, 6, OFFSET, LENGTH, SLBA, cpl);
}

static int one_write(struct nvmedmabuf *ctx, struct nvme_dmabuf_completion *cpl)
{
	return nvmedmabuf_write(ctx, 6, OFFSET, LENGTH, SLBA, cpl);
}

static int one_flush(struct nvmedmabuf *ctx, struct nvme_dmabuf_completion *cpl)
{
	return nvmedmabuf_flush(ctx, 6, cpl);
}

#define EXPECT_ONE(answer, error) \
	{ DEVICE, NVME_DMABUF_IOC_SUBMIT, NULL, 0, answer, error, 0 }

/* One command with and without a place for its completion. */
static void check_one(struct nvmedmabuf *ctx, one_command *f, int expect)
{
	struct nvme_dmabuf_completion cpl;

	MOCK_IOCTLS(EXPECT_ONE(complete_one, 0), EXPECT_ONE(complete_one, 0));
	memset(&cpl, GARBAGE, sizeof(cpl));
	assert_int_equal(f(ctx, &cpl), expect);
	assert_memory_equal(&cpl, &completion, sizeof(cpl));
	assert_int_equal(f(ctx, NULL), expect);
	mock_all_done();
}

static void check_one_in_every_way(one_command *f, const struct nvme_dmabuf_command *cmd)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvme_dmabuf_completion cpl;

	completion = (struct nvme_dmabuf_completion){ .bytes = LENGTH, .result = 3 };
	check_one(ctx, f, 0);
	assert_memory_equal(&seen, cmd, sizeof(*cmd));

	/* refused by the module */
	completion = (struct nvme_dmabuf_completion){
		.error = -ESTALE, .reason = NVME_DMABUF_REASON_REVOKED,
	};
	check_one(ctx, f, -ESTALE);

	/* failed by the drive: any bit of the status counts */
	for (unsigned int bit = 0; bit < 16; bit++) {
		completion = (struct nvme_dmabuf_completion){ .status = 1U << bit, .bytes = 512 };
		check_one(ctx, f, -EIO);
	}

	/* an outcome that is not known, whatever its status says */
	completion = (struct nvme_dmabuf_completion){ .error = -ENODEV, .status = 0x281 };
	check_one(ctx, f, -ENODEV);

	/* the call itself failed */
	for_each_errno(e) {
		const struct nvme_dmabuf_completion none = { .error = -*e };

		MOCK_IOCTLS(EXPECT_ONE(complete_none, *e), EXPECT_ONE(complete_none, *e));
		memset(&cpl, GARBAGE, sizeof(cpl));
		assert_int_equal(f(ctx, &cpl), -*e);
		assert_memory_equal(&cpl, &none, sizeof(cpl));
		assert_int_equal(f(ctx, NULL), -*e);
	}

	/* the call succeeded but nothing completed, which must not read as success */
	MOCK_IOCTLS(EXPECT_ONE(complete_none, 0));
	assert_int_equal(f(ctx, &cpl), -EIO);
	assert_int_equal(cpl.error, -EIO);
	nvmedmabuf_close(ctx);
}

static void read_is_one_command(void **state)
{
	struct nvme_dmabuf_command cmd;

	(void)state;
	nvmedmabuf_prep_read(&cmd, 6, OFFSET, LENGTH, SLBA);
	check_one_in_every_way(one_read, &cmd);
}

static void write_is_one_command(void **state)
{
	struct nvme_dmabuf_command cmd;

	(void)state;
	nvmedmabuf_prep_write(&cmd, 6, OFFSET, LENGTH, SLBA);
	check_one_in_every_way(one_write, &cmd);
}

static void flush_is_one_command(void **state)
{
	struct nvme_dmabuf_command cmd;

	(void)state;
	nvmedmabuf_prep_flush(&cmd, 6);
	check_one_in_every_way(one_flush, &cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(open_opens_the_device),
		mock_test(open_fails_as_the_system_call),
		mock_test(open_refuses_another_driver),
		mock_test(open_without_memory),
		mock_test(open_fd_adopts_the_descriptor),
		mock_test(open_fd_leaves_the_descriptor_on_failure),
		mock_test(open_fd_of_no_file),
		mock_test(close_takes_null),
		mock_test(get_info_asks_each_time),
		mock_test(get_ns_info_passes_the_file),
		mock_test(get_ns_info_gives_the_reason_on_failure),
		mock_test(attach_passes_everything),
		mock_test(attach_passes_each_flag),
		mock_test(attach_checks_the_size),
		mock_test(answers_check_the_size),
		mock_test(attach_gives_the_reason_on_failure),
		mock_test(attach_has_no_reason_if_none_was_written),
		mock_test(attach_without_a_place_for_the_reason),
		mock_test(detach_passes_the_map),
		mock_test(get_map_info_passes_the_map),
		mock_test(get_map_info_of_an_older_module),
		mock_test(get_placement_counts_all_runs),
		mock_test(get_placement_without_room),
		mock_test(get_placement_of_more_runs_than_an_int_counts),
		mock_test(submit_of_nothing),
		mock_test(submit_up_to_the_limit_is_one_call),
		mock_test(submit_splits_above_the_limit),
		mock_test(submit_fails_as_the_module),
		mock_test(submit_that_fails_later_counts_what_completed),
		mock_test(submit_stops_where_completions_stop),
		mock_test(submit_counts_with_an_int),
		mock_test(prep_fills_in_everything),
		mock_test(read_is_one_command),
		mock_test(write_is_one_command),
		mock_test(flush_is_one_command),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
