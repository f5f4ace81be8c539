// SPDX-License-Identifier: MIT
/* Queues by io_uring: what goes into its rings, and what comes out of them. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../module/calls.h"
#include "device.h"

#define POLLED KIND_POLLED
#define URING  KIND_URING
#include "mock_uring.h"

#define SETUP  (IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | IORING_SETUP_SUBMIT_ALL)
#define WANTED (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

static const struct nvmedmabuf_submit_params fence = { .size = sizeof(fence), .in_fence = true };
static const struct nvmedmabuf_submit_params nowait = { .size = sizeof(nowait), .nowait = true };

static struct nvmedmabuf_queue *make_queue(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags)
{
	struct nvmedmabuf_queue *queue;

	mock_uring_inits = mock_uring_nr_taken = 0;
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(queue_of(ctx, depth, URING | flags, &queue), 0);
	return queue;
}

static void free_all(struct nvmedmabuf *ctx, struct nvmedmabuf_queue *queue)
{
	nvmedmabuf_queue_free(queue);
	nvmedmabuf_close(ctx);
}

/* Fills in the next command, which is known by its number from then on. */
static void prepare(struct nvmedmabuf_queue *queue, uint64_t number)
{
	struct nvme_dmabuf_command *cmd = nvmedmabuf_queue_get(queue);

	assert_non_null(cmd);
	nvmedmabuf_prep_write(cmd, 7, number * 4096, 4096, number);
	cmd->user_data = ~number;
	cmd->timeout_ms = 99;
}

static void prepare_many(struct nvmedmabuf_queue *queue, uint64_t first, unsigned int count)
{
	while (count--)
		prepare(queue, first++);
}

/* The kernel took these commands, in this order, and nothing else was said in an entry. */
static void check_taken(uint64_t first, unsigned int count)
{
	assert_int_equal(mock_uring_nr_taken, first + count);
	for (uint64_t n = first; n < first + count; n++) {
		struct io_uring_sqe sqe[2];
		struct nvme_dmabuf_command cmd;

		nvmedmabuf_prep_write(&cmd, 7, n * 4096, 4096, n);
		cmd.user_data = ~n;
		cmd.timeout_ms = 99;
		memset(sqe, 0, sizeof(sqe));
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->flags = IOSQE_FIXED_FILE;
		sqe->cmd_op = NVME_DMABUF_URING_CMD;
		sqe->user_data = ~n;
		memcpy((char *)sqe + offsetof(struct io_uring_sqe, cmd), &cmd, sizeof(cmd));
		assert_memory_equal(mock_uring_taken[n], sqe, sizeof(sqe));
	}
}

/* Commands that are completed, in the order in which they were taken. */
static uint64_t next_completed;

static void complete_one(void)
{
	mock_uring_complete(~next_completed++, 0, 4096);
}

static void complete_two(void)
{
	complete_one();
	complete_one();
}

static void complete_three(void)
{
	complete_two();
	complete_one();
}

static int setup(void **state)
{
	next_completed = 0;
	return mock_setup(state);
}

/* Reads so many completions, which are those of the commands from @first on. */
static void check_read(struct nvmedmabuf_queue *queue, uint32_t max, uint64_t first, uint32_t count)
{
	struct nvme_dmabuf_completion cpls[MAX_DEPTH], after;

	memset(cpls, GARBAGE, sizeof(cpls));
	memset(&after, GARBAGE, sizeof(after));
	assert_int_equal(nvmedmabuf_queue_reap(queue, cpls, max), count);
	for (uint32_t n = 0; n < count; n++) {
		const struct nvme_dmabuf_completion cpl = {
			.user_data = ~(first + n),
			.bytes = 4096,
		};

		assert_memory_equal(&cpls[n], &cpl, sizeof(cpl));
	}
	assert_memory_equal(&cpls[count], &after, sizeof(after));
}

/* Making and freeing. */

static void create_sets_a_ring_up(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue;

	(void)state;
	for (uint32_t depth = 1; depth <= MAX_DEPTH; depth += 21) {
		queue = make_queue(ctx, depth, 0);
		assert_int_equal(mock_uring_inits, 1);
		assert_int_equal(mock_uring_entries, depth);
		assert_int_equal(mock_uring_flags[0], SETUP | WANTED);
		assert_int_equal(mock_uring_file, nvmedmabuf_fd(ctx));
		assert_string_equal(mock_name(nvmedmabuf_queue_fd(queue)), MOCK_RING);
		nvmedmabuf_queue_free(queue);

		queue = make_queue(ctx, depth, POLLED);
		assert_int_equal(mock_uring_flags[0], SETUP | WANTED | IORING_SETUP_IOPOLL);
		nvmedmabuf_queue_free(queue);
	}
	nvmedmabuf_close(ctx);
}

static void create_does_without_what_is_not_needed(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue;

	(void)state;
	mock_uring_init_err[0] = EINVAL;
	queue = make_queue(ctx, 4, POLLED);
	assert_int_equal(mock_uring_inits, 2);
	assert_int_equal(mock_uring_flags[1], SETUP | IORING_SETUP_IOPOLL);
	free_all(ctx, queue);
}

static int create_with_errors(struct nvmedmabuf *ctx, int first, int second)
{
	struct nvmedmabuf_queue *queue = NULL;
	int ret;

	mock_uring_inits = 0;
	mock_uring_init_err[0] = first;
	mock_uring_init_err[1] = second;
	MOCK_IOCTLS(EXPECT_INFO(0));
	ret = queue_of(ctx, 4, URING, &queue);
	mock_all_done();
	assert_null(queue);
	assert_int_equal(mock_uring_inits, first == EINVAL ? 2 : 1);
	return ret;
}

static void create_without_io_uring(void **state)
{
	static const int none[] = { ENOSYS, EPERM };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(create_with_errors(ctx, none[i], 0), -EOPNOTSUPP);
		assert_int_equal(create_with_errors(ctx, EINVAL, none[i]), -EOPNOTSUPP);
	}
	assert_int_equal(create_with_errors(ctx, EINVAL, EINVAL), -EOPNOTSUPP);
	assert_int_equal(create_with_errors(ctx, EMFILE, 0), -EMFILE);
	assert_int_equal(create_with_errors(ctx, EINVAL, ENOMEM), -ENOMEM);
	nvmedmabuf_close(ctx);
}

static void answer_without_uring(void *arg)
{
	answer_info(arg);
	((struct nvme_dmabuf_info *)arg)->out_features &= ~NVME_DMABUF_FEATURE_URING;
}

static void create_asks_the_module_first(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = NULL;

	(void)state;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_INFO, &info_in, sizeof(info_in), answer_without_uring,
		      0, 0 });
	assert_int_equal(queue_of(ctx, 4, URING, &queue), -EOPNOTSUPP);
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(queue_of(ctx, MAX_DEPTH + 1, URING, &queue), -ENOSPC);
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(queue_of(ctx, UINT32_MAX, URING | POLLED, &queue), -ENOSPC);
	for_each_errno(e)
	{
		MOCK_IOCTLS(EXPECT_INFO(*e));
		assert_int_equal(queue_of(ctx, 4, URING, &queue), -*e);
	}
	assert_int_equal(mock_uring_inits, 0);
	assert_null(queue);
	nvmedmabuf_close(ctx);
}

static void create_registers_an_eventfd(void **state)
{
	const struct nvmedmabuf_queue_params params = {
		.size = sizeof(params),
		.event_fd = 99,
		.uring = true,
		.event = true,
	};
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = NULL;

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(0));
	mock_uring_eventfd_err = EBADF;
	assert_int_equal(nvmedmabuf_queue_create(ctx, 4, &params, &queue), -EBADF);
	assert_null(queue);
	assert_int_equal(mock_uring_eventfd, 99);
	mock_uring_eventfd_err = 0;
	MOCK_IOCTLS(EXPECT_INFO(0));
	assert_int_equal(nvmedmabuf_queue_create(ctx, 4, &params, &queue), 0);
	free_all(ctx, queue);
}

static void create_leaves_nothing_behind(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = NULL;

	(void)state;
	MOCK_IOCTLS(EXPECT_INFO(0));
	mock_fail("calloc", ENOMEM);
	assert_int_equal(queue_of(ctx, 4, URING, &queue), -ENOMEM);
	assert_int_equal(mock_uring_inits, 0);
	MOCK_IOCTLS(EXPECT_INFO(0));
	mock_uring_register_err = EMFILE;
	assert_int_equal(queue_of(ctx, 4, URING, &queue), -EMFILE);
	assert_null(queue);
	nvmedmabuf_close(ctx);
}

/* Whatever ends a wait before all is done: it goes on. */
static void free_waits_for_what_is_in_flight(void **state)
{
	static const uint32_t flags[] = { 0, POLLED };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct nvmedmabuf_queue *queue = make_queue(ctx, 4, flags[i]);
		unsigned int one = flags[i] ? 1 : 0;

		next_completed = 0;
		prepare_many(queue, 0, 3);
		MOCK_ENTERS({ .submit = 3, .taken = 3, .effect = complete_one });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
		prepare(queue, 3);
		/* When it polls, what is there was put aside. */
		MOCK_ENTERS({ .wait = 3 - one, .effect = complete_one, .ret = -EINTR },
			    { .wait = 3 - 2 * one, .ret = -EINTR },
			    { .wait = 3 - 2 * one, .effect = complete_one });
		nvmedmabuf_queue_free(queue);
		mock_all_done();
		check_taken(0, 3);
	}
	nvmedmabuf_close(ctx);
}

/* What is left in the ring of an earlier, partial submission is dropped as well. */
static void free_drops_what_was_not_submitted(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare_many(queue, 0, 3);
	MOCK_ENTERS({ .submit = 3, .taken = 1, .ret = 1 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
	prepare(queue, 3);
	MOCK_ENTERS({ .wait = 1, .effect = complete_one });
	free_all(ctx, queue);
	check_taken(0, 1);
}

/* Another thread may not wait: the kernel does after the ring was closed. */
static void free_leaves_a_wait_that_fails_to_the_kernel(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare(queue, 0);
	MOCK_ENTERS({ .submit = 1, .taken = 1, .ret = 1 }, { .wait = 1, .ret = -EEXIST });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
	free_all(ctx, queue);
}

/* Submitting. */

static void submit_hands_over_what_was_prepared(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	prepare_many(queue, 0, 3);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &fence), -EOPNOTSUPP);
	MOCK_ENTERS({ .submit = 3, .taken = 3, .ret = 3 });
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &nowait), 3);
	check_taken(0, 3);
	prepare_many(queue, 3, 5);
	assert_null(nvmedmabuf_queue_get(queue));
	MOCK_ENTERS({ .submit = 5, .wait = 1, .taken = 5, .effect = complete_three, .ret = 5 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 0), 5);
	check_taken(3, 5);
	check_read(queue, 8, 0, 3);
	MOCK_ENTERS({ .wait = 5, .effect = complete_three }, { .wait = 5, .effect = complete_two });
	/* A signal came, and some completions with it. */
	assert_int_equal(nvmedmabuf_queue_submit(queue, 9, 0), -EINTR);
	free_all(ctx, queue);
}

/* The rings wrap around, and their counters; the depth is no power of 2. */
static void the_rings_wrap_around(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 3, 0);

	(void)state;
	for (unsigned int n = 0; n < 60; n += 3) {
		prepare_many(queue, n, 3);
		assert_null(nvmedmabuf_queue_get(queue));
		MOCK_ENTERS(
			{ .submit = 3, .wait = 3, .taken = 3, .effect = complete_three, .ret = 3 });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), 3);
		assert_null(nvmedmabuf_queue_get(queue));
		check_taken(n, 3);
		check_read(queue, 1, n, 1);
		check_read(queue, 3, n + 1, 2);
		assert_int_equal(mock_uring_unread(), 0);
	}
	free_all(ctx, queue);
}

static void what_was_not_submitted_stays_prepared(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	prepare_many(queue, 0, 6);
	MOCK_ENTERS({ .submit = 6, .taken = 2, .ret = 2 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 2);
	prepare_many(queue, 6, 2);
	assert_null(nvmedmabuf_queue_get(queue));
	MOCK_ENTERS({ .submit = 6, .ret = -EAGAIN });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), -ENOMEM);
	MOCK_ENTERS({ .submit = 6, .ret = -EINTR });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), -EINTR);
	MOCK_ENTERS({ .submit = 6, .ret = -EEXIST });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), -EEXIST);
	MOCK_ENTERS({ .submit = 6, .taken = 6, .ret = 6 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 6);
	check_taken(0, 8);
	for (int i = 0; i < 4; i++)
		complete_two();
	free_all(ctx, queue);
}

/* liburing may say no more than how the wait ended. */
static void submissions_are_counted_whatever_is_returned(void **state)
{
	static const int rets[] = { 0, 1, 5, -ETIME, -EINTR, -EAGAIN };
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(rets) / sizeof(*rets); i++) {
		prepare(queue, i);
		MOCK_ENTERS({ .submit = 1,
			      .wait = 1,
			      .timeout_ns = 7,
			      .taken = 1,
			      .effect = complete_one,
			      .ret = rets[i] });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 7), 1);
		check_taken(i, 1);
		check_read(queue, 1, i, 1);
	}
	free_all(ctx, queue);
}

static void waits_have_a_timeout(void **state)
{
	static const uint64_t timeouts[] = { 1, 999999999, 1000000000, 12345678901234567ULL };
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare(queue, 0);
	MOCK_ENTERS({ .submit = 1, .taken = 1, .ret = 1 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 1), 1);
	for (size_t i = 0; i < sizeof(timeouts) / sizeof(*timeouts); i++) {
		MOCK_ENTERS({ .wait = 1, .timeout_ns = timeouts[i], .ret = -ETIME });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 2, timeouts[i]), -ETIME);
		mock_all_done();
	}
	MOCK_ENTERS({ .wait = 1, .timeout_ns = 9, .ret = -EINTR });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 9), -EINTR);
	MOCK_ENTERS({ .wait = 1, .timeout_ns = 9, .ret = -EBADR });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 9), -EBADR);
	complete_one();
	free_all(ctx, queue);
}

static void submit_needs_no_call_for_nothing(void **state)
{
	static const uint32_t flags[] = { 0, POLLED };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct nvmedmabuf_queue *queue = make_queue(ctx, 4, flags[i]);

		next_completed = 0;
		assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 0);
		assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 9), 0);
		prepare_many(queue, 0, 2);
		MOCK_ENTERS({ .submit = 2, .taken = 2, .effect = complete_two, .ret = 2 });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 2);
		assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 0), 0);
		nvmedmabuf_queue_free(queue);
	}
	nvmedmabuf_close(ctx);
}

/* Completions. */

static void completions_say_all_that_is_known(void **state)
{
	static const struct {
		int res;
		uint64_t big;
		struct nvme_dmabuf_completion cpl;
	} cases[] = {
		{ 0, 0xffffffffffffULL, { .bytes = 0xffffffffffffULL } },
		{ 0x281, 512, { .status = 0x281, .bytes = 512 } },
		{ 0x7fff, 0, { .status = 0x7fff } },
		{ -ESTALE,
		  (uint64_t)NVME_DMABUF_REASON_REVOKED << 48,
		  { .error = -ESTALE, .reason = NVME_DMABUF_REASON_REVOKED } },
		{ -EIO, 0xffff000000001000ULL, { .error = -EIO, .reason = 0xffff, .bytes = 4096 } },
	};
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 1, 0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nvme_dmabuf_completion cpl, expected = cases[i].cpl;

		prepare(queue, i);
		MOCK_ENTERS({ .submit = 1, .taken = 1, .ret = 1 });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
		expected.user_data = 0x1234567890abcdefULL + i;
		mock_uring_complete(expected.user_data, cases[i].res, cases[i].big);
		memset(&cpl, GARBAGE, sizeof(cpl));
		assert_int_equal(nvmedmabuf_queue_reap(queue, &cpl, 1), 1);
		assert_memory_equal(&cpl, &expected, sizeof(cpl));
	}
	free_all(ctx, queue);
}

/* The kernel says so when it has completions to write. */
static void reap_enters_if_the_kernel_has_work(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	mock_uring_taskrun(true);
	check_read(queue, 4, 0, 0);
	mock_uring_taskrun(false);
	prepare_many(queue, 0, 3);
	MOCK_ENTERS({ .submit = 3, .taken = 3, .ret = 3 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	check_read(queue, 4, 0, 0);
	mock_uring_taskrun(true);
	MOCK_ENTERS({ .get_events = true, .effect = complete_two });
	check_read(queue, 1, 0, 1);
	check_read(queue, 4, 1, 1);
	MOCK_ENTERS({ .get_events = true, .ret = -EINTR });
	check_read(queue, 4, 2, 0);
	MOCK_ENTERS({ .get_events = true, .effect = complete_one });
	check_read(queue, 4, 2, 1);
	check_read(queue, 4, 3, 0);
	free_all(ctx, queue);
}

/* Polled rings. */

static void reap_looks_for_completions_of_a_polled_queue(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);

	(void)state;
	check_read(queue, 4, 0, 0);
	prepare_many(queue, 0, 3);
	MOCK_ENTERS({ .submit = 3, .taken = 3, .effect = complete_one, .ret = 3 });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	check_read(queue, 4, 0, 1);
	MOCK_ENTERS({ .get_events = true }, { .get_events = true, .effect = complete_two });
	check_read(queue, 4, 1, 0);
	check_read(queue, 4, 1, 2);
	check_read(queue, 4, 3, 0);
	free_all(ctx, queue);
}

static void check_ring_is_empty(void)
{
	assert_int_equal(mock_uring_unread(), 0);
}

static void check_and_complete_one(void)
{
	check_ring_is_empty();
	complete_one();
}

static void check_and_complete_two(void)
{
	check_ring_is_empty();
	complete_two();
}

/* The kernel polls only while its ring is empty, and may end before there are enough. */
static void polling_needs_an_empty_ring(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 6, POLLED);

	(void)state;
	prepare_many(queue, 0, 5);
	MOCK_ENTERS(
		{ .submit = 5, .wait = 4, .taken = 5, .effect = check_and_complete_one, .ret = 5 },
		{ .wait = 3, .effect = check_ring_is_empty },
		{ .wait = 3, .effect = check_and_complete_two },
		{ .wait = 1, .effect = check_and_complete_two });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 4, 0), 5);
	prepare(queue, 5);
	assert_null(nvmedmabuf_queue_get(queue));
	/* What was put aside comes before what is in the ring. */
	check_read(queue, 2, 0, 2);
	check_read(queue, 2, 2, 2);
	check_read(queue, 2, 4, 1);
	MOCK_ENTERS({ .submit = 1, .wait = 1, .taken = 1, .effect = check_and_complete_one });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 0), 1);
	check_read(queue, 6, 5, 1);
	free_all(ctx, queue);
}

/* All of the depth, read in parts, so that what is put aside is moved to the front. */
static void what_is_put_aside_has_room(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);
	uint64_t done = 0;

	(void)state;
	prepare_many(queue, 0, 4);
	MOCK_ENTERS(
		{ .submit = 4, .wait = 4, .taken = 4, .effect = check_and_complete_two, .ret = 4 },
		{ .wait = 2, .effect = check_and_complete_two });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 4, 0), 4);
	for (unsigned int n = 4; n < 40; n++) {
		check_read(queue, 1, done++, 1);
		prepare(queue, n);
		MOCK_ENTERS({ .submit = 1,
			      .wait = 1,
			      .taken = 1,
			      .effect = check_and_complete_one,
			      .ret = 1 });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 4, 0), 1);
	}
	check_read(queue, 4, done, 4);
	free_all(ctx, queue);
}

/* The kernel knows no timeout here, so it is asked again and again, and never to wait. */
static void polling_has_a_timeout(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);

	(void)state;
	prepare_many(queue, 0, 3);
	MOCK_ENTERS({ .submit = 3, .taken = 3, .effect = check_and_complete_one, .ret = 3 },
		    { .effect = check_ring_is_empty }, { .effect = check_and_complete_one });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, UINT64_MAX), 3);
	mock_all_done();
	check_read(queue, 4, 0, 2);
	/* one nanosecond is over after the first look */
	MOCK_ENTERS({ .effect = check_ring_is_empty });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 1), -ETIME);
	MOCK_ENTERS({ .effect = check_and_complete_one });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 1), 0);
	check_read(queue, 4, 2, 1);
	free_all(ctx, queue);
}

static void a_signal_ends_polling(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);

	(void)state;
	prepare_many(queue, 0, 3);
	MOCK_ENTERS({ .submit = 3, .wait = 3, .taken = 3, .ret = 3 },
		    { .wait = 3, .effect = complete_one, .ret = -EINTR });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), 3);
	MOCK_ENTERS({ .wait = 2, .effect = complete_one, .ret = -EINTR });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), -EINTR);
	check_read(queue, 4, 0, 2);
	MOCK_ENTERS({ .wait = 1, .ret = -EEXIST });
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 0), -EEXIST);
	complete_one();
	free_all(ctx, queue);
}

#define uring_test(f) cmocka_unit_test_setup_teardown(f, setup, mock_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		uring_test(create_sets_a_ring_up),
		uring_test(create_does_without_what_is_not_needed),
		uring_test(create_without_io_uring),
		uring_test(create_asks_the_module_first),
		uring_test(create_registers_an_eventfd),
		uring_test(create_leaves_nothing_behind),
		uring_test(free_waits_for_what_is_in_flight),
		uring_test(free_drops_what_was_not_submitted),
		uring_test(free_leaves_a_wait_that_fails_to_the_kernel),
		uring_test(submit_hands_over_what_was_prepared),
		uring_test(the_rings_wrap_around),
		uring_test(what_was_not_submitted_stays_prepared),
		uring_test(submissions_are_counted_whatever_is_returned),
		uring_test(waits_have_a_timeout),
		uring_test(submit_needs_no_call_for_nothing),
		uring_test(completions_say_all_that_is_known),
		uring_test(reap_enters_if_the_kernel_has_work),
		uring_test(reap_looks_for_completions_of_a_polled_queue),
		uring_test(polling_needs_an_empty_ring),
		uring_test(what_is_put_aside_has_room),
		uring_test(polling_has_a_timeout),
		uring_test(a_signal_ends_polling),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
