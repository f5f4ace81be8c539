// SPDX-License-Identifier: MIT
/* Queues by the module's own calls: what it is asked, and how its ring is read. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../module/calls.h"
#include "device.h"

#define POLLED KIND_POLLED
#define URING  KIND_URING

#define QUEUE	    "/dev/queue"
#define MAX_ENTRIES (2 * MAX_DEPTH)

/* The queue as the module sees it. */
struct ring {
	struct nvme_dmabuf_ring head;
	struct nvme_dmabuf_completion completions[MAX_ENTRIES];
};

static const struct nvmedmabuf_submit_params nowait = { .size = sizeof(nowait), .nowait = true };

static int queue_fd;
static uint32_t entries;
static struct ring *ring;

/* Commands that the module has taken, and of them those that it has completed. */
static struct nvme_dmabuf_command taken[512];
static uint32_t nr_taken, nr_completed;

static void complete(uint32_t count)
{
	uint32_t tail = ring->head.tail;

	while (count--) {
		const struct nvme_dmabuf_command *cmd = &taken[nr_completed];
		struct nvme_dmabuf_completion *cpl = &NVME_DMABUF_RING_COMPLETIONS(ring)[tail++ & (entries - 1)];

		assert_true(nr_completed < nr_taken);
		assert_true(tail - ring->head.head <= entries);
		*cpl = (struct nvme_dmabuf_completion){
			.user_data = cmd->user_data,
			.bytes = cmd->length,
			.result = ++nr_completed,
		};
		__atomic_store_n(&ring->head.tail, tail, __ATOMIC_RELEASE);
	}
}

static void complete_one(void)
{
	complete(1);
}

/* What is asked to make a queue, and of a queue. */

static struct nvme_dmabuf_queue make_in = { .size = sizeof(make_in) };

static void answer_make(void *arg)
{
	struct nvme_dmabuf_queue *make = arg;

	make->out_queue_fd = queue_fd;
	make->out_ring_entries = entries;
	make->out_ring_bytes = sizeof(*ring);
}

#define EXPECT_MAKE(error)                                                                      \
	{                                                                                       \
		DEVICE, NVME_DMABUF_IOC_QUEUE, &make_in, sizeof(make_in), answer_make, error, 0 \
	}

/**
 * struct enter - a NVME_DMABUF_IOC_ENTER that is expected
 * @count, @min_complete, @timeout_ns, @flags: what it must be
 * @submitted: commands that the module takes
 * @completed: commands that it completes then
 * @fence: the fence to wait for, or 0
 */
struct enter {
	uint32_t count;
	uint32_t min_complete;
	uint64_t timeout_ns;
	uint32_t flags;
	uint32_t submitted;
	uint32_t completed;
	int fence;
};

static struct enter enters[16];
static unsigned int next_enter, nr_enters;

static void answer_enter(void *arg)
{
	const struct enter *expected = &enters[next_enter++ % 16];
	struct nvme_dmabuf_enter *enter = arg;

	assert_int_equal(enter->size, expected->fence ? sizeof(*enter) : NVME_DMABUF_ENTER_SIZE_VER0);
	if (expected->fence)
		assert_int_equal(enter->in_fence_fd, expected->fence);
	assert_int_equal(enter->flags, expected->flags);
	assert_int_equal(enter->count, expected->count);
	assert_int_equal(enter->min_complete, expected->min_complete);
	assert_int_equal(enter->timeout_ns, expected->timeout_ns);
	memcpy(taken + nr_taken, (void *)(uintptr_t)enter->commands,
	       expected->submitted * sizeof(*taken));
	nr_taken += expected->submitted;
	complete(expected->completed);
	enter->out_submitted = expected->submitted;
	enter->out_completed = ring->head.tail - ring->head.head;
}

static void expect_enter_error(const struct enter *enter, int error)
{
	enters[nr_enters++ % 16] = *enter;
	MOCK_IOCTLS({ QUEUE, NVME_DMABUF_IOC_ENTER, NULL, 0, answer_enter, error, 0 });
}

#define EXPECT_ENTER(...) expect_enter_error(&(struct enter){ __VA_ARGS__ }, 0)

/* The file of a queue for so many commands, with counters that soon wrap around. */
static void make_file(uint32_t depth, uint32_t counter)
{
	queue_fd = open(QUEUE, O_RDWR | O_CLOEXEC);
	assert_true(queue_fd >= 0);
	assert_int_equal(ftruncate(queue_fd, sizeof(*ring)), 0);
	ring = (void *)syscall(SYS_mmap, NULL, sizeof(*ring), PROT_READ | PROT_WRITE, MAP_SHARED,
			       queue_fd, 0);
	assert_ptr_not_equal(ring, MAP_FAILED);
	for (entries = 2; entries < 2 * depth; entries *= 2)
		;
	ring->head.entries = entries;
	ring->head.head = ring->head.tail = counter;
	nr_taken = nr_completed = 0;
}

static struct nvmedmabuf_queue *make_queue(struct nvmedmabuf *ctx, uint32_t depth, uint32_t flags)
{
	struct nvmedmabuf_queue *queue;

	make_file(depth, -5U);
	make_in.depth = depth;
	make_in.flags = flags & POLLED ? NVME_DMABUF_QUEUE_POLLED : 0;
	MOCK_IOCTLS(EXPECT_MAKE(0));
	assert_int_equal(queue_of(ctx, depth, flags, &queue), 0);
	return queue;
}

static void unmap_ring(void)
{
	syscall(SYS_munmap, ring, sizeof(*ring));
}

static void free_all(struct nvmedmabuf *ctx, struct nvmedmabuf_queue *queue)
{
	nvmedmabuf_queue_free(queue);
	nvmedmabuf_close(ctx);
	unmap_ring();
}

/* Fills in the next command, which is known by its number from then on. */
static void prepare(struct nvmedmabuf_queue *queue, uint64_t number)
{
	struct nvme_dmabuf_command *cmd = nvmedmabuf_queue_get(queue);

	assert_non_null(cmd);
	nvmedmabuf_prep_read(cmd, 7, number * 4096, 4096, number);
	cmd->user_data = number;
}

static void prepare_many(struct nvmedmabuf_queue *queue, uint64_t first, unsigned int count)
{
	while (count--)
		prepare(queue, first++);
}

/* The module took these commands, in this order. */
static void check_taken(uint64_t first, uint32_t count)
{
	assert_int_equal(nr_taken, first + count);
	for (uint64_t n = first; n < first + count; n++) {
		struct nvme_dmabuf_command cmd;

		nvmedmabuf_prep_read(&cmd, 7, n * 4096, 4096, n);
		cmd.user_data = n;
		assert_memory_equal(&taken[n], &cmd, sizeof(cmd));
	}
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
			.user_data = first + n,
			.bytes = 4096,
			.result = first + n + 1,
		};

		assert_memory_equal(&cpls[n], &cpl, sizeof(cpl));
	}
	if (count < MAX_DEPTH)
		assert_memory_equal(&cpls[count], &after, sizeof(after));
}

/* Making and freeing. */

static void create_makes_a_queue(void **state)
{
	static const uint32_t depths[] = { 1, 2, 3, 64 };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (size_t i = 0; i < sizeof(depths) / sizeof(*depths); i++) {
		struct nvmedmabuf_queue *queue = make_queue(ctx, depths[i], i % 2 ? POLLED : 0);

		assert_int_equal(mock_mmap_prot, PROT_READ | PROT_WRITE);
		assert_int_equal(nvmedmabuf_queue_fd(queue), queue_fd);
		nvmedmabuf_queue_free(queue);
		assert_int_equal(fcntl(queue_fd, F_GETFD), -1);
		unmap_ring();
	}
	nvmedmabuf_close(ctx);
}

static void create_fails_as_the_module(void **state)
{
	struct nvmedmabuf_queue *queue = NULL;
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	queue_fd = -1;
	make_in.depth = UINT32_MAX;
	make_in.flags = 0;
	for_each_errno(e)
	{
		MOCK_IOCTLS(EXPECT_MAKE(*e));
		assert_int_equal(nvmedmabuf_queue_create(ctx, UINT32_MAX, NULL, &queue), -*e);
	}
	assert_null(queue);
	nvmedmabuf_close(ctx);
}

static void create_leaves_nothing_behind(void **state)
{
	static const char *const calls[] = { "mmap", "calloc" };
	struct nvmedmabuf_queue *queue = NULL;
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	make_in.depth = 4;
	make_in.flags = 0;
	for (size_t i = 0; i < 2; i++) {
		make_file(4, 0);
		MOCK_IOCTLS(EXPECT_MAKE(0));
		mock_fail(calls[i], ENOMEM);
		assert_int_equal(nvmedmabuf_queue_create(ctx, 4, NULL, &queue), -ENOMEM);
		mock_all_done();
		assert_int_equal(fcntl(queue_fd, F_GETFD), -1);
		unmap_ring();
	}
	assert_null(queue);
	nvmedmabuf_close(ctx);
}

static void create_passes_an_eventfd(void **state)
{
	const struct nvmedmabuf_queue_params params = {
		.size = sizeof(params),
		.event_fd = 99,
		.event = true,
	};
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = NULL;

	(void)state;
	make_in.depth = 4;
	make_in.flags = NVME_DMABUF_QUEUE_EVENTFD;
	make_in.event_fd = 99;
	MOCK_IOCTLS(EXPECT_MAKE(EBADF));
	assert_int_equal(nvmedmabuf_queue_create(ctx, 4, &params, &queue), -EBADF);
	mock_all_done();
	assert_null(queue);
	make_in.event_fd = 0;
	nvmedmabuf_close(ctx);
}

/* Nobody would see completions that nobody polls for. */
static void create_refuses_what_is_malformed(void **state)
{
	struct {
		struct nvmedmabuf_queue_params params;
		uint64_t later;
	} longer = { .params = { .size = sizeof(longer) } };
	struct nvmedmabuf_queue_params params = { .size = sizeof(params), .polled = true };
	struct nvmedmabuf_queue *queue = NULL;
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	assert_int_equal(nvmedmabuf_queue_create(ctx, 0, NULL, &queue), -EINVAL);
	assert_int_equal(queue_of(ctx, 0, URING, &queue), -EINVAL);
	params.event = true;
	assert_int_equal(nvmedmabuf_queue_create(ctx, 1, &params, &queue), -EINVAL);
	params.size--;
	assert_int_equal(nvmedmabuf_queue_create(ctx, 1, &params, &queue), -EINVAL);
	longer.later = 1;
	assert_int_equal(nvmedmabuf_queue_create(ctx, 1, &longer.params, &queue), -E2BIG);
	assert_null(queue);
	nvmedmabuf_close(ctx);
}

static void free_takes_null(void **state)
{
	(void)state;
	nvmedmabuf_queue_free(NULL);
}

/* Whatever ends a wait before all is done: it goes on. */
static void free_waits_for_what_is_in_flight(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare_many(queue, 0, 3);
	EXPECT_ENTER(.count = 3, .submitted = 3, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	prepare(queue, 3);
	EXPECT_ENTER(.min_complete = 3, .completed = 1);
	EXPECT_ENTER(.min_complete = 3);
	EXPECT_ENTER(.min_complete = 3, .completed = 1);
	free_all(ctx, queue);
	check_taken(0, 3);
}

static void free_does_not_wait_without_need(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 2, 0);

	(void)state;
	prepare_many(queue, 0, 2);
	EXPECT_ENTER(.count = 2, .min_complete = 1, .submitted = 2, .completed = 2);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 1, 0), 2);
	free_all(ctx, queue);
}

/* The kernel waits when the file is closed. */
static void free_leaves_a_wait_that_fails_to_the_kernel(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 1, 0);

	(void)state;
	prepare(queue, 0);
	EXPECT_ENTER(.count = 1, .submitted = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
	expect_enter_error(&(struct enter){ .min_complete = 1 }, EFAULT);
	free_all(ctx, queue);
}

/* Submitting. */

static void submit_hands_over_what_was_prepared(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	prepare_many(queue, 0, 3);
	EXPECT_ENTER(.count = 3, .submitted = 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	check_taken(0, 3);
	prepare_many(queue, 3, 5);
	EXPECT_ENTER(.count = 5, .submitted = 5, .completed = 8);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 5);
	check_taken(3, 5);
	free_all(ctx, queue);
}

static void submit_passes_everything(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);

	(void)state;
	prepare_many(queue, 0, 3);
	EXPECT_ENTER(.count = 3, .min_complete = 2, .timeout_ns = UINT64_MAX,
		     .flags = NVME_DMABUF_ENTER_NOWAIT, .submitted = 3, .completed = 3);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 2, UINT64_MAX, &nowait), 3);
	free_all(ctx, queue);
}

static void submit_passes_a_fence(void **state)
{
	const struct nvmedmabuf_submit_params params = {
		.size = sizeof(params),
		.in_fence_fd = 44,
		.in_fence = true,
	};
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);
	struct enter in_vain = { .count = 1, .flags = NVME_DMABUF_ENTER_IN_FENCE, .fence = 44 };

	(void)state;
	prepare(queue, 0);
	expect_enter_error(&in_vain, EBADF);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &params), -EBADF);
	EXPECT_ENTER(.count = 1, .flags = NVME_DMABUF_ENTER_IN_FENCE, .fence = 44, .submitted = 1,
		     .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &params), 1);
	free_all(ctx, queue);
}

static void submit_checks_its_structure(void **state)
{
	struct {
		struct nvmedmabuf_submit_params params;
		uint64_t later;
	} longer = { .params = { .size = sizeof(longer) }, .later = 1 };
	struct nvmedmabuf_submit_params short_one = { .size = sizeof(short_one) - 1 };
	struct nvmedmabuf_submit_params implicit = { .size = sizeof(implicit), .implicit_sync = true };
	struct nvmedmabuf_submit_params reserved = { .size = sizeof(reserved), .reserved = { 0, 1 } };
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare(queue, 0);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &longer.params), -E2BIG);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &short_one), -EINVAL);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &implicit), -EINVAL);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &reserved), -E2BIG);
	EXPECT_ENTER(.count = 1, .submitted = 1, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, NULL), 1);
	free_all(ctx, queue);
}

static void what_was_not_submitted_stays_prepared(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	prepare_many(queue, 0, 6);
	EXPECT_ENTER(.count = 6, .submitted = 2);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 2);
	check_taken(0, 2);
	prepare_many(queue, 6, 2);
	assert_null(nvmedmabuf_queue_get(queue));
	EXPECT_ENTER(.count = 6, .submitted = 5);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 5);
	check_taken(2, 5);
	EXPECT_ENTER(.count = 1, .submitted = 1, .completed = 8);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
	check_taken(7, 1);
	free_all(ctx, queue);
}

/* EAGAIN and EINTR as well: to try again is the program's decision. */
static void submit_fails_as_the_module(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);
	const struct enter in_vain = { .count = 2, .flags = NVME_DMABUF_ENTER_NOWAIT };

	(void)state;
	prepare_many(queue, 0, 2);
	for_each_errno(e)
	{
		expect_enter_error(&in_vain, *e);
		assert_int_equal(nvmedmabuf_queue_submit_with(queue, 0, 0, &nowait), -*e);
		mock_all_done();
	}
	prepare_many(queue, 2, 2);
	assert_null(nvmedmabuf_queue_get(queue));
	EXPECT_ENTER(.count = 4, .submitted = 4, .completed = 4);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 4);
	check_taken(0, 4);
	free_all(ctx, queue);
}

/* More than can come is not waited for. */
static void submit_waits_for_what_can_come(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 8, 0);

	(void)state;
	prepare_many(queue, 0, 2);
	EXPECT_ENTER(.count = 2, .min_complete = 2, .submitted = 2, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), 2);
	prepare_many(queue, 2, 2);
	EXPECT_ENTER(.count = 2, .min_complete = 4, .submitted = 2, .completed = 2);
	assert_int_equal(nvmedmabuf_queue_submit(queue, UINT32_MAX, 0), 2);
	check_read(queue, 2, 0, 2);
	EXPECT_ENTER(.min_complete = 2, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), 0);
	free_all(ctx, queue);
}

static void submit_needs_no_call_for_nothing(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 0);
	assert_int_equal(nvmedmabuf_queue_submit_with(queue, 1, 0, &nowait), 0);
	prepare_many(queue, 0, 3);
	EXPECT_ENTER(.count = 3, .submitted = 3, .completed = 2);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 0);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 0), 0);
	EXPECT_ENTER(.min_complete = 3, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 3, 0), 0);
	free_all(ctx, queue);
}

/* By the timeout or a signal. */
static void a_wait_may_be_cut_short(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);

	(void)state;
	prepare_many(queue, 0, 2);
	EXPECT_ENTER(.count = 2, .min_complete = 2, .timeout_ns = 5, .submitted = 2);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 5), 2);
	EXPECT_ENTER(.min_complete = 2, .timeout_ns = 6, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 6), -ETIME);
	check_read(queue, 4, 0, 1);
	EXPECT_ENTER(.min_complete = 1, .timeout_ns = UINT64_MAX);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, UINT64_MAX), -EINTR);
	EXPECT_ENTER(.min_complete = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 0), -EINTR);
	EXPECT_ENTER(.min_complete = 1, .completed = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 2, 0), 0);
	check_read(queue, 4, 1, 1);
	free_all(ctx, queue);
}

/* The depth, and reading. */

static void the_depth_counts_what_is_not_read(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 3, 0);

	(void)state;
	prepare_many(queue, 0, 3);
	assert_null(nvmedmabuf_queue_get(queue));
	EXPECT_ENTER(.count = 3, .submitted = 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	assert_null(nvmedmabuf_queue_get(queue));
	complete(2);
	assert_null(nvmedmabuf_queue_get(queue));
	check_read(queue, 1, 0, 1);
	prepare(queue, 3);
	assert_null(nvmedmabuf_queue_get(queue));
	check_read(queue, 3, 1, 1);
	prepare(queue, 4);
	assert_null(nvmedmabuf_queue_get(queue));
	EXPECT_ENTER(.count = 2, .submitted = 2, .completed = 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 2);
	check_read(queue, 3, 2, 3);
	free_all(ctx, queue);
}

static void reap_gives_the_room_back(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, 0);
	uint32_t head = ring->head.head;

	(void)state;
	prepare_many(queue, 0, 4);
	EXPECT_ENTER(.count = 4, .submitted = 4, .completed = 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 4);
	check_read(queue, 0, 0, 0);
	assert_int_equal(ring->head.head, head);
	check_read(queue, 2, 0, 2);
	assert_int_equal(ring->head.head, head + 2);
	check_read(queue, 2, 2, 1);
	assert_int_equal(ring->head.head, head + 3);
	check_read(queue, 2, 3, 0);
	complete(1);
	check_read(queue, 2, 3, 1);
	assert_int_equal(ring->head.head, head + 4);
	free_all(ctx, queue);
}

/* The entries, and the counters, which begin shortly before 2^32. */
static void the_ring_wraps_around(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (uint32_t depth = 1; depth <= 5; depth++) {
		struct nvmedmabuf_queue *queue = make_queue(ctx, depth, 0);
		uint64_t number = 0;

		for (unsigned int i = 0; i < 12; i++) {
			prepare_many(queue, number, depth);
			EXPECT_ENTER(.count = depth, .min_complete = depth, .submitted = depth,
				     .completed = depth);
			assert_int_equal(nvmedmabuf_queue_submit(queue, depth, 0), depth);
			check_taken(number, depth);
			check_read(queue, MAX_DEPTH, number, depth);
			number += depth;
		}
		nvmedmabuf_queue_free(queue);
		unmap_ring();
	}
	nvmedmabuf_close(ctx);
}

static void reap_never_enters_a_queue_with_interrupts(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 2, 0);

	(void)state;
	check_read(queue, 2, 0, 0);
	prepare_many(queue, 0, 1);
	EXPECT_ENTER(.count = 1, .submitted = 1);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 1);
	check_read(queue, 2, 0, 0);
	complete(1);
	check_read(queue, 2, 0, 1);
	assert_int_equal(mock_polls, 0);
	free_all(ctx, queue);
}

/* Only if there is nothing to read, and something that could come. */
static void reap_looks_for_completions_of_a_polled_queue(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, 4, POLLED);

	(void)state;
	check_read(queue, 4, 0, 0);
	assert_int_equal(mock_polls, 0);
	prepare_many(queue, 0, 3);
	EXPECT_ENTER(.count = 3, .submitted = 3);
	assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), 3);
	check_read(queue, 4, 0, 0);
	assert_int_equal(mock_polls, 1);
	mock_poll(POLLIN, complete_one);
	check_read(queue, 4, 0, 1);
	assert_int_equal(mock_polls, 2);
	complete(1);
	check_read(queue, 4, 1, 1);
	assert_int_equal(mock_polls, 2);
	check_read(queue, 4, 2, 1);
	assert_int_equal(mock_polls, 3);
	check_read(queue, 4, 3, 0);
	assert_int_equal(mock_polls, 3);
	free_all(ctx, queue);
}

/* Completions that another processor writes are read whole, in order and once. */

#define RACE_COUNT 50000
#define RACE_DEPTH 4

static volatile uint32_t race_submitted;

static void answer_race(void *arg)
{
	struct nvme_dmabuf_enter *enter = arg;

	enter->out_submitted = enter->count;
	__atomic_store_n(&race_submitted, race_submitted + enter->count, __ATOMIC_RELEASE);
}

static void *race_module(void *arg)
{
	(void)arg;
	for (uint32_t n = 0; n < RACE_COUNT; n++) {
		struct nvme_dmabuf_completion *cpl;
		uint32_t tail = ring->head.tail;

		while (__atomic_load_n(&race_submitted, __ATOMIC_ACQUIRE) <= n)
			sched_yield();
		if (tail - __atomic_load_n(&ring->head.head, __ATOMIC_ACQUIRE) >= RACE_DEPTH)
			return "overflow";
		cpl = &NVME_DMABUF_RING_COMPLETIONS(ring)[tail & (entries - 1)];
		cpl->user_data = n;
		cpl->bytes = ~(uint64_t)n;
		cpl->result = n * 3ULL;
		__atomic_store_n(&ring->head.tail, tail + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void completions_come_at_any_time(void **state)
{
	struct nvme_dmabuf_completion cpls[RACE_DEPTH];
	struct nvmedmabuf *ctx = open_context();
	struct nvmedmabuf_queue *queue = make_queue(ctx, RACE_DEPTH, 0);
	uint32_t prepared = 0, done = 0;
	pthread_t module;
	void *problem;

	(void)state;
	race_submitted = 0;
	assert_int_equal(pthread_create(&module, NULL, race_module, NULL), 0);
	while (done < RACE_COUNT) {
		uint32_t before = prepared;
		int count;

		while (prepared < RACE_COUNT && nvmedmabuf_queue_get(queue))
			prepared++;
		if (prepared != before)
			MOCK_IOCTLS({ QUEUE, NVME_DMABUF_IOC_ENTER, NULL, 0, answer_race, 0, 0 });
		assert_int_equal(nvmedmabuf_queue_submit(queue, 0, 0), prepared - before);
		count = nvmedmabuf_queue_reap(queue, cpls, RACE_DEPTH);
		if (!count)
			sched_yield();
		for (int i = 0; i < count; i++, done++) {
			assert_int_equal(cpls[i].user_data, done);
			assert_int_equal(cpls[i].bytes, ~(uint64_t)done);
			assert_int_equal(cpls[i].result, done * 3ULL);
		}
	}
	assert_int_equal(pthread_join(module, &problem), 0);
	assert_null(problem);
	free_all(ctx, queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(create_makes_a_queue),
		mock_test(create_fails_as_the_module),
		mock_test(create_leaves_nothing_behind),
		mock_test(create_passes_an_eventfd),
		mock_test(create_refuses_what_is_malformed),
		mock_test(free_takes_null),
		mock_test(free_waits_for_what_is_in_flight),
		mock_test(free_does_not_wait_without_need),
		mock_test(free_leaves_a_wait_that_fails_to_the_kernel),
		mock_test(submit_hands_over_what_was_prepared),
		mock_test(submit_passes_everything),
		mock_test(submit_passes_a_fence),
		mock_test(submit_checks_its_structure),
		mock_test(what_was_not_submitted_stays_prepared),
		mock_test(submit_fails_as_the_module),
		mock_test(submit_waits_for_what_can_come),
		mock_test(submit_needs_no_call_for_nothing),
		mock_test(a_wait_may_be_cut_short),
		mock_test(the_depth_counts_what_is_not_read),
		mock_test(reap_gives_the_room_back),
		mock_test(the_ring_wraps_around),
		mock_test(reap_never_enters_a_queue_with_interrupts),
		mock_test(reap_looks_for_completions_of_a_polled_queue),
		mock_test(completions_come_at_any_time),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
