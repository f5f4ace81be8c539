// SPDX-License-Identifier: MIT
/* Storage by its path: how it is opened for maps, and positions in bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"

#define NAMESPACE "/dev/nvme7n1"
#define FILE_PATH "/mnt/file"
#define BLOCK	  4096U

static uint32_t reason_of_ns, block_size = BLOCK;
static int ns_mode; /* as it was open when the module was asked */

static void answer_ns(void *arg)
{
	struct nvme_dmabuf_ns_info *info = arg;

	ns_mode = fcntl(info->ns_fd, F_GETFL) & O_ACCMODE;
	info->out_reason = reason_of_ns;
	info->out_block_size = block_size;
	info->out_capacity = 1000;
}

#define EXPECT_NS { DEVICE, NVME_DMABUF_IOC_NS_INFO, NULL, 0, answer_ns, 0, 0 }

static struct nvme_dmabuf_attach attached;
static char attached_name[64];
static int attached_fd;

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	attached = *attach;
	attached_fd = fcntl(attach->ns_fd, F_GETFL) & O_ACCMODE;
	snprintf(attached_name, sizeof(attached_name), "%s", mock_name(attach->ns_fd));
	attach->out_map = 5;
}

/* The descriptor is closed by then. */
static void answer_refresh(void *arg)
{
	(void)arg;
	assert_int_equal(fcntl(attached.ns_fd, F_GETFD), -1);
}

#define EXPECT_ATTACH  { DEVICE, NVME_DMABUF_IOC_ATTACH, NULL, 0, answer_attach, 0, 0 }
#define EXPECT_REFRESH(error) { DEVICE, NVME_DMABUF_IOC_REFRESH, NULL, 0, answer_refresh, error, 0 }
#define EXPECT_DETACH  { DEVICE, NVME_DMABUF_IOC_DETACH, NULL, 0, NULL, 0, 0 }

static struct nvmedmabuf_storage *open_storage(struct nvmedmabuf *ctx, const char *path,
					       enum nvmedmabuf_access access)
{
	struct nvmedmabuf_storage *storage;
	uint32_t reason = 99;

	MOCK_IOCTLS(EXPECT_NS);
	assert_int_equal(nvmedmabuf_storage_open(ctx, path, access, &storage, &reason), 0);
	assert_int_equal(reason, reason_of_ns);
	mock_all_done();
	return storage;
}

static void close_all(struct nvmedmabuf *ctx, struct nvmedmabuf_storage *storage)
{
	nvmedmabuf_storage_close(storage);
	nvmedmabuf_close(ctx);
}

static void open_measures(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ);

	(void)state;
	assert_int_equal(nvmedmabuf_storage_size(storage), 1000 * BLOCK);
	assert_int_equal(nvmedmabuf_storage_block_size(storage), BLOCK);
	assert_int_equal(ns_mode, O_RDONLY);
	close_all(ctx, storage);
}

/* A file to be written is asked about without being in the way; its size is its own. */
static void open_of_a_file(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage;

	(void)state;
	storage = open_storage(ctx, FILE_PATH, NVMEDMABUF_ACCESS_READ_WRITE);
	assert_int_equal(ns_mode, O_RDONLY);
	assert_int_equal(nvmedmabuf_storage_size(storage), 0);
	nvmedmabuf_storage_close(storage);
	/* Somebody has it open now, perhaps the caller. */
	reason_of_ns = NVME_DMABUF_REASON_FILE_BUSY;
	storage = open_storage(ctx, FILE_PATH, NVMEDMABUF_ACCESS_WRITE);
	assert_int_equal(ns_mode, O_WRONLY);
	reason_of_ns = 0;
	close_all(ctx, storage);
}

static void open_fails(void **state)
{
	static const struct {
		uint32_t reason;
		int error;
	} refusals[] = {
		{ NVME_DMABUF_REASON_GONE, -ENODEV },
		{ NVME_DMABUF_REASON_PROBE_FAILED, -EIO },
		{ NVME_DMABUF_REASON_FILE_SYSTEM, -EOPNOTSUPP },
		{ 4711, -EOPNOTSUPP },
	};
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage = NULL;
	uint32_t reason;

	(void)state;
	for (int access = 0; access < 8; access += 4)
		assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, access, &storage, NULL),
				 -EINVAL);
	mock_fail("open", ENOENT);
	assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ, &storage,
						 &reason),
			 -ENOENT);
	mock_fail("calloc", ENOMEM);
	assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ, &storage,
						 &reason),
			 -ENOMEM);
	mock_fail("fstat", EIO);
	assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ, &storage,
						 &reason),
			 -EIO);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		reason_of_ns = refusals[i].reason;
		MOCK_IOCTLS(EXPECT_NS);
		assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ,
							 &storage, &reason),
				 refusals[i].error);
		assert_int_equal(reason, reason_of_ns);
		mock_all_done();
	}
	reason_of_ns = 0;
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_NS_INFO, NULL, 0, NULL, *e, 0 });
		assert_int_equal(nvmedmabuf_storage_open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ,
							 &storage, NULL),
				 -*e);
		mock_all_done();
	}
	assert_null(storage);
	nvmedmabuf_close(ctx);
}

static const struct nvmedmabuf_attach_params params = {
	.size = sizeof(params),
	.access = NVMEDMABUF_ACCESS_WRITE,
	.dmabuf_fd = 55,
	.ns_fd = 4711,
	.offset = 12,
	.length = 34,
	.auto_refresh = true,
};

static void attach_to_a_namespace(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage;
	uint32_t map = 0, reason = 99;

	(void)state;
	storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ_WRITE);
	MOCK_IOCTLS(EXPECT_ATTACH);
	assert_int_equal(nvmedmabuf_storage_attach(storage, &params, &map, &reason), 0);
	mock_all_done();
	assert_int_equal(map, 5);
	assert_int_equal(reason, 0);
	assert_string_equal(attached_name, NAMESPACE);
	assert_int_equal(attached_fd, O_WRONLY);
	assert_int_equal(attached.dmabuf_fd, 55);
	assert_int_equal(attached.offset, 12);
	assert_int_equal(attached.length, 34);
	assert_int_equal(attached.flags, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	assert_int_equal(fcntl(attached.ns_fd, F_GETFD), -1);
	close_all(ctx, storage);
}

/* Closed, and refreshed then; or left to the caller. */
static void attach_to_a_file(void **state)
{
	struct nvmedmabuf_attach_params p = params;
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage;
	uint32_t map = 0, reason;

	(void)state;
	storage = open_storage(ctx, FILE_PATH, NVMEDMABUF_ACCESS_READ_WRITE);
	MOCK_IOCTLS(EXPECT_ATTACH, EXPECT_REFRESH(0));
	assert_int_equal(nvmedmabuf_storage_attach(storage, &p, &map, &reason), 0);
	mock_all_done();
	assert_int_equal(map, 5);
	assert_int_equal(attached.flags, NVME_DMABUF_ATTACH_AUTO_REFRESH | NVME_DMABUF_ATTACH_DEFER);

	map = 0;
	MOCK_IOCTLS(EXPECT_ATTACH, EXPECT_REFRESH(EBUSY), EXPECT_DETACH);
	assert_int_equal(nvmedmabuf_storage_attach(storage, &p, &map, &reason), -EBUSY);
	mock_all_done();
	assert_int_equal(map, 0);

	p.defer = true;
	MOCK_IOCTLS(EXPECT_ATTACH);
	assert_int_equal(nvmedmabuf_storage_attach(storage, &p, &map, NULL), 0);
	mock_all_done();

	p.defer = false;
	p.access = NVMEDMABUF_ACCESS_READ;
	MOCK_IOCTLS(EXPECT_ATTACH);
	assert_int_equal(nvmedmabuf_storage_attach(storage, &p, &map, NULL), 0);
	mock_all_done();
	assert_int_equal(attached_fd, O_RDONLY);
	assert_int_equal(attached.flags, NVME_DMABUF_ATTACH_AUTO_REFRESH);
	close_all(ctx, storage);
}

static void attach_no_more_than_was_opened(void **state)
{
	struct nvmedmabuf_attach_params short_one = { .size = sizeof(short_one) - 1 };
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ);
	uint32_t map = 0;

	(void)state;
	assert_int_equal(nvmedmabuf_storage_attach(storage, &params, &map, NULL), -EACCES);
	assert_int_equal(nvmedmabuf_storage_attach(storage, &short_one, &map, NULL), -EINVAL);
	assert_int_equal(map, 0);
	close_all(ctx, storage);
}

static void refresh_measures_again(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ);
	struct nvme_dmabuf_command cmd;
	uint32_t reason;

	(void)state;
	attached.ns_fd = -1;
	block_size = 512;
	MOCK_IOCTLS(EXPECT_REFRESH(0), EXPECT_NS);
	assert_int_equal(nvmedmabuf_storage_refresh(storage, 5, &reason), 0);
	mock_all_done();
	block_size = BLOCK;
	assert_int_equal(nvmedmabuf_storage_block_size(storage), 512);
	assert_int_equal(nvmedmabuf_storage_size(storage), 1000 * 512);
	assert_int_equal(nvmedmabuf_storage_prep_read(storage, &cmd, 5, 0, 512, 1024), 0);
	assert_int_equal(cmd.slba, 2);
	close_all(ctx, storage);
}

static void answer_map(void *arg)
{
	struct nvme_dmabuf_map_info *info = arg;

	info->out_block_size = 512;
	info->out_file_bytes = 12345;
}

/* To open it would end the lease. */
static void refresh_of_a_file_opens_nothing(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage;
	uint32_t reason;

	(void)state;
	storage = open_storage(ctx, FILE_PATH, NVMEDMABUF_ACCESS_READ_WRITE);
	attached.ns_fd = -1;
	MOCK_IOCTLS(EXPECT_REFRESH(0),
		    { DEVICE, NVME_DMABUF_IOC_MAP_INFO, NULL, 0, answer_map, 0, 0 });
	assert_int_equal(nvmedmabuf_storage_refresh(storage, 5, &reason), 0);
	mock_all_done();
	assert_int_equal(nvmedmabuf_storage_block_size(storage), 512);
	assert_int_equal(nvmedmabuf_storage_size(storage), 12345);
	close_all(ctx, storage);
}

static void prep_counts_bytes(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ);
	struct nvme_dmabuf_command cmd;

	(void)state;
	memset(&cmd, GARBAGE, sizeof(cmd));
	assert_int_equal(nvmedmabuf_storage_prep_write(storage, &cmd, 5, 12, 3 * BLOCK, 7ULL * BLOCK),
			 0);
	assert_int_equal(cmd.opcode, NVME_DMABUF_OP_WRITE);
	assert_int_equal(cmd.map, 5);
	assert_int_equal(cmd.offset, 12);
	assert_int_equal(cmd.length, 3 * BLOCK);
	assert_int_equal(cmd.slba, 7);
	assert_int_equal(cmd.user_data, 0);
	assert_int_equal(nvmedmabuf_storage_prep_read(storage, &cmd, 5, 0, BLOCK, 512), -EINVAL);
	assert_int_equal(nvmedmabuf_storage_prep_read(storage, &cmd, 5, 0, BLOCK + 4, 0), -EINVAL);
	assert_int_equal(nvmedmabuf_storage_prep_write(storage, &cmd, 5, 0, 1, 0), -EINVAL);
	close_all(ctx, storage);
}

/* The module's part in vectors: all succeed but number @failing. */
static struct nvme_dmabuf_command executed[200];
static unsigned int nr_executed, failing;

static void execute(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;
	const struct nvme_dmabuf_command *cmds = (void *)(uintptr_t)submit->commands;
	struct nvme_dmabuf_completion *cpls = (void *)(uintptr_t)submit->completions;

	for (uint32_t i = 0; i < submit->count; i++) {
		cpls[i] = (struct nvme_dmabuf_completion){ .bytes = cmds[i].length };
		if (nr_executed == failing)
			cpls[i] = (struct nvme_dmabuf_completion){ .bytes = 512, .status = 0x281 };
		executed[nr_executed++] = cmds[i];
	}
	submit->out_completed = submit->count;
}

static void execute_less(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	execute(arg);
	submit->out_completed--;
}

#define EXPECT_SUBMIT(effect) { DEVICE, NVME_DMABUF_IOC_SUBMIT, NULL, 0, effect, 0, 0 }

static void vectors(void **state)
{
	struct nvmedmabuf *ctx;
	struct nvmedmabuf_storage *storage;
	struct nvme_dmabuf_completion cpl;
	struct nvmedmabuf_range ranges[70];
	uint64_t at = 3;

	(void)state;
	for (unsigned int i = 0; i < 70; i++)
		ranges[i] = (struct nvmedmabuf_range){ i * 65536, (i % 3 + 1) * BLOCK };
	max_commands = 100;
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(nvmedmabuf_open(&ctx), 0);
	storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ_WRITE);

	nr_executed = 0;
	failing = ~0U;
	MOCK_IOCTLS(EXPECT_SUBMIT(execute), EXPECT_SUBMIT(execute));
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, ranges, 70, 3ULL * BLOCK, &cpl), 0);
	mock_all_done();
	assert_int_equal(nr_executed, 70);
	for (unsigned int i = 0; i < 70; i++) {
		assert_int_equal(executed[i].opcode, NVME_DMABUF_OP_WRITE);
		assert_int_equal(executed[i].map, 5);
		assert_int_equal(executed[i].offset, ranges[i].offset);
		assert_int_equal(executed[i].length, ranges[i].length);
		assert_int_equal(executed[i].slba, at);
		at += ranges[i].length / BLOCK;
	}
	assert_int_equal(cpl.bytes, (at - 3) * BLOCK);
	assert_int_equal(cpl.error | cpl.status, 0);

	/* What comes behind a failure is not submitted, but for those of the same call. */
	nr_executed = 0;
	failing = 4;
	MOCK_IOCTLS(EXPECT_SUBMIT(execute));
	assert_int_equal(nvmedmabuf_storage_readv(storage, 5, ranges, 70, 0, &cpl), -EIO);
	mock_all_done();
	assert_int_equal(nr_executed, 64);
	assert_int_equal(cpl.status, 0x281);
	assert_int_equal(cpl.bytes, (1 + 2 + 3 + 1) * BLOCK + 512);

	failing = ~0U;
	MOCK_IOCTLS(EXPECT_SUBMIT(execute_less));
	assert_int_equal(nvmedmabuf_storage_readv(storage, 5, ranges, 2, 0, &cpl), -EIO);
	mock_all_done();
	assert_int_equal(cpl.error, -EIO);
	for_each_errno(e) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_SUBMIT, NULL, 0, NULL, *e, 0 });
		assert_int_equal(nvmedmabuf_storage_read(storage, 5, 0, BLOCK, 0, &cpl), -*e);
		assert_int_equal(cpl.error, -*e);
		mock_all_done();
	}
	close_all(ctx, storage);
}

/* Nothing is executed, not even what would be right by itself. */
static void vectors_are_checked_first(void **state)
{
	const struct nvmedmabuf_range odd[] = { { 0, BLOCK }, { BLOCK, BLOCK + 4 } };
	const struct nvmedmabuf_range empty[] = { { 0, BLOCK }, { 0, 0 } };
	const struct nvmedmabuf_range odd_offset[] = { { 0, BLOCK }, { 2, BLOCK } };
	const struct nvmedmabuf_range long_ones[] = { { 0, BLOCK }, { 0, 0ULL - BLOCK } };
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_storage *storage;
	struct nvme_dmabuf_completion cpl;

	(void)state;
	storage = open_storage(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ_WRITE);
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, odd, 2, 0, &cpl), -EINVAL);
	assert_int_equal(cpl.error, -EINVAL);
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, odd, 1, 512, NULL), -EINVAL);
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, empty, 2, 0, &cpl), -EINVAL);
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, odd_offset, 2, 0, &cpl), -EINVAL);
	/* What wraps around would begin at the start again. */
	assert_int_equal(nvmedmabuf_storage_writev(storage, 5, long_ones, 2, 0, &cpl), -EOVERFLOW);
	assert_int_equal(nvmedmabuf_storage_write(storage, 5, 0, BLOCK, 0ULL - BLOCK, &cpl),
			 -EOVERFLOW);
	assert_int_equal(nvmedmabuf_storage_readv(storage, 5, NULL, 0, 0, &cpl), 0);
	close_all(ctx, storage);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(open_measures),
		mock_test(open_of_a_file),
		mock_test(open_fails),
		mock_test(attach_to_a_namespace),
		mock_test(attach_to_a_file),
		mock_test(attach_no_more_than_was_opened),
		mock_test(refresh_measures_again),
		mock_test(refresh_of_a_file_opens_nothing),
		mock_test(prep_counts_bytes),
		mock_test(vectors),
		mock_test(vectors_are_checked_first),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
