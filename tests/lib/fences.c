// SPDX-License-Identifier: MIT
/* Submitting with fences: what is waited for before, and what is given back. */
#include <limits.h>
#include <string.h>

#include "device.h"

#define IMPLICIT	NVME_DMABUF_SUBMIT_IMPLICIT_SYNC
#define IN		NVME_DMABUF_SUBMIT_IN_FENCE
#define OUT		NVME_DMABUF_SUBMIT_OUT_FENCE
#define IN_FD		44
#define OUT_FD		88

static struct nvme_dmabuf_command cmds[16];
static struct nvme_dmabuf_completion cpls[16];

static const uint32_t waits[] = { 0, IMPLICIT, IN, IMPLICIT | IN };
#define for_each_wait(w) for (const uint32_t *w = waits; w < waits + 4; w++)

static void complete_all(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_completed = submit->count;
	submit->out_fence_fd = -1;
}

static void complete_two(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_completed = 2;
}

static void answer_fence(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_fence_fd = OUT_FD;
}

/* A descriptor is given to the module only with the flag that tells of it. */
static const struct nvme_dmabuf_submit *submit_in(uint32_t first, uint32_t count, uint32_t flags)
{
	static struct nvme_dmabuf_submit in[8];
	static unsigned int next;
	struct nvme_dmabuf_submit *submit = &in[next++ % 8];

	*submit = (struct nvme_dmabuf_submit){
		.size = sizeof(*submit),
		.flags = flags,
		.commands = (uintptr_t)(cmds + first),
		.completions = flags & OUT ? 0 : (uintptr_t)(cpls + first),
		.count = count,
		.in_fence_fd = flags & IN ? IN_FD : 0,
	};
	return submit;
}

#define EXPECT_SUBMIT(first, count, flags, answer, error)		\
	{ DEVICE, NVME_DMABUF_IOC_SUBMIT, submit_in(first, count, flags), \
	  sizeof(struct nvme_dmabuf_submit), answer, error, 0 }

static const struct nvmedmabuf_submit_params *params_of(uint32_t flags, int fd)
{
	static struct nvmedmabuf_submit_params params;

	params = (struct nvmedmabuf_submit_params){
		.size = sizeof(params),
		.in_fence_fd = fd,
		.in_fence = flags & IN,
		.implicit_sync = flags & IMPLICIT,
	};
	return flags ? &params : NULL;
}

static int submit_waiting(struct nvmedmabuf *ctx, const struct nvme_dmabuf_command *commands,
			  struct nvme_dmabuf_completion *completions, uint32_t count,
			  uint32_t flags, int fd)
{
	return nvmedmabuf_submit_with(ctx, commands, completions, count, params_of(flags, fd));
}

static int submit_for_fence(struct nvmedmabuf *ctx, const struct nvme_dmabuf_command *commands,
			    uint32_t count, uint32_t flags, int fd, int *fence)
{
	return nvmedmabuf_submit_fence(ctx, commands, count, params_of(flags, fd), fence);
}

/* What is waited for. */

static void submit_with_passes_everything(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_wait(w) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 3, *w, complete_all, 0));
		assert_int_equal(submit_waiting(ctx, cmds, cpls, 3, *w, IN_FD), 3);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

/* A descriptor that is none is passed on where it matters, so that it is refused. */
static void submit_with_without_a_fence(void **state)
{
	struct nvme_dmabuf_submit in = *submit_in(0, 1, IN);
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	in.in_fence_fd = -1;
	MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_SUBMIT, &in, sizeof(in), NULL, EBADF, 0 });
	assert_int_equal(submit_waiting(ctx, cmds, cpls, 1, IN, -1), -EBADF);
	mock_all_done();
	MOCK_IOCTLS(EXPECT_SUBMIT(0, 1, IMPLICIT, complete_all, 0));
	assert_int_equal(submit_waiting(ctx, cmds, cpls, 1, IMPLICIT, -1), 1);
	nvmedmabuf_close(ctx);
}

/* Each call waits for the fences again, which have signalled by then. */
static void submit_with_splits_above_the_limit(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_wait(w) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, *w, complete_all, 0),
			    EXPECT_SUBMIT(4, 4, *w, complete_all, 0),
			    EXPECT_SUBMIT(8, 1, *w, complete_all, 0));
		assert_int_equal(submit_waiting(ctx, cmds, cpls, 9, *w, IN_FD), 9);
		mock_all_done();
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, *w, complete_all, 0),
			    EXPECT_SUBMIT(4, 4, *w, complete_two, 0));
		assert_int_equal(submit_waiting(ctx, cmds, cpls, 9, *w, IN_FD), 6);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

/* After a signal nothing is tried again: to wait on is the program's decision. */
static void submit_with_fails_as_the_module(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, IN, NULL, *e));
		assert_int_equal(submit_waiting(ctx, cmds, cpls, 9, IN, IN_FD), -*e);
		mock_all_done();
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 4, IN, complete_all, 0),
			    EXPECT_SUBMIT(4, 4, IN, NULL, *e));
		assert_int_equal(submit_waiting(ctx, cmds, cpls, 9, IN, IN_FD), 4);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void submit_with_of_nothing_or_too_much(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	assert_int_equal(submit_waiting(ctx, NULL, NULL, 0, IN, IN_FD), 0);
	assert_int_equal(submit_waiting(ctx, cmds, cpls, (uint32_t)INT_MAX + 1, IN, IN_FD),
			 -EINVAL);
	nvmedmabuf_close(ctx);
}

/* Structures of other versions, and what is for queues alone. */
static void params_are_checked(void **state)
{
	struct {
		struct nvmedmabuf_submit_params params;
		uint64_t later;
	} longer = { .params = { .size = sizeof(longer), .implicit_sync = true } };
	struct nvmedmabuf_submit_params short_one = { .size = sizeof(short_one) - 1 };
	struct nvmedmabuf_submit_params nowait = { .size = sizeof(nowait), .nowait = true };
	struct nvmedmabuf *ctx = open_context();
	int fence = 123;

	(void)state;
	MOCK_IOCTLS(EXPECT_SUBMIT(0, 1, IMPLICIT, complete_all, 0));
	assert_int_equal(nvmedmabuf_submit_with(ctx, cmds, cpls, 1, &longer.params), 1);
	mock_all_done();
	longer.later = 1ULL << 63;
	assert_int_equal(nvmedmabuf_submit_with(ctx, cmds, cpls, 1, &longer.params), -E2BIG);
	assert_int_equal(nvmedmabuf_submit_fence(ctx, cmds, 1, &longer.params, &fence), -E2BIG);
	assert_int_equal(nvmedmabuf_submit_with(ctx, cmds, cpls, 1, &short_one), -EINVAL);
	assert_int_equal(nvmedmabuf_submit_fence(ctx, cmds, 1, &short_one, &fence), -EINVAL);
	assert_int_equal(nvmedmabuf_submit_with(ctx, cmds, cpls, 1, &nowait), -EINVAL);
	assert_int_equal(nvmedmabuf_submit_fence(ctx, cmds, 1, &nowait, &fence), -EINVAL);
	assert_int_equal(fence, 123);
	nvmedmabuf_close(ctx);
}

/* What is given back. */

static void submit_fence_gives_the_fence(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_wait(w) {
		int fence = -1;

		MOCK_IOCTLS(EXPECT_SUBMIT(0, 3, OUT | *w, answer_fence, 0));
		assert_int_equal(submit_for_fence(ctx, cmds, 3, *w, IN_FD, &fence), 0);
		assert_int_equal(fence, OUT_FD);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void submit_fence_fails_as_the_module(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	int fence = 123;

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_SUBMIT(0, 3, OUT, answer_fence, *e));
		assert_int_equal(submit_for_fence(ctx, cmds, 3, 0, -1, &fence), -*e);
		assert_int_equal(fence, 123);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

/* One call has one fence, so what it takes is the module's to say. */
static void submit_fence_is_one_call(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	int fence;

	(void)state;
	MOCK_IOCTLS(EXPECT_SUBMIT(0, MAX_COMMANDS + 1, OUT, NULL, ENOSPC),
		    EXPECT_SUBMIT(0, 0, OUT, NULL, EINVAL));
	assert_int_equal(submit_for_fence(ctx, cmds, MAX_COMMANDS + 1, 0, -1, &fence), -ENOSPC);
	assert_int_equal(submit_for_fence(ctx, cmds, 0, 0, -1, &fence), -EINVAL);
	nvmedmabuf_close(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(submit_with_passes_everything),
		mock_test(submit_with_without_a_fence),
		mock_test(submit_with_splits_above_the_limit),
		mock_test(submit_with_fails_as_the_module),
		mock_test(submit_with_of_nothing_or_too_much),
		mock_test(params_are_checked),
		mock_test(submit_fence_gives_the_fence),
		mock_test(submit_fence_fails_as_the_module),
		mock_test(submit_fence_is_one_call),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
