// SPDX-License-Identifier: MIT
/*
 * The io_uring of mock_uring.h. The library finds these calls when it looks for liburing's;
 * what liburing's header has inline is real.
 */
#include "mock_uring.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mock.h"

#define MAX_ENTERS  16
#define MAX_ENTRIES 128

/* What is behind a ring: queues of a power of 2, with completions of twice the size. */
struct rings {
	unsigned int sq_head, sq_tail, sq_flags;
	unsigned int cq_head, cq_tail;
	struct io_uring_sqe sqes[MAX_ENTRIES][2];
	uint64_t cqes[2 * MAX_ENTRIES][4];
};

int mock_uring_init_err[2];
int mock_uring_register_err;
unsigned int mock_uring_inits;
unsigned int mock_uring_entries;
unsigned int mock_uring_flags[2];
int mock_uring_file;
int mock_uring_eventfd, mock_uring_eventfd_err;
struct io_uring_sqe mock_uring_taken[4 * MAX_ENTRIES][2];
unsigned int mock_uring_nr_taken;

static struct mock_enter expected[MAX_ENTERS];
static size_t nr_expected, nr_called;
static struct rings *rings;
static unsigned int cq_mask;

int __real_memfd_create(const char *name, unsigned int flags);

void mock_uring_setup(void)
{
	memset(mock_uring_init_err, 0, sizeof(mock_uring_init_err));
	mock_uring_register_err = 0;
	mock_uring_inits = mock_uring_nr_taken = 0;
	mock_uring_file = -1;
	mock_uring_eventfd = -1;
	mock_uring_eventfd_err = 0;
	nr_expected = nr_called = 0;
}

void mock_uring_all_done(void)
{
	assert_int_equal(nr_called, nr_expected);
}

void mock_enters(const struct mock_enter *calls, size_t count)
{
	if (nr_called == nr_expected)
		nr_called = nr_expected = 0;
	assert_true(nr_expected + count <= MAX_ENTERS);
	memcpy(expected + nr_expected, calls, count * sizeof(*calls));
	nr_expected += count;
}

static int queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	unsigned int size = 1;
	int err;

	assert_true(mock_uring_inits < 2);
	err = mock_uring_init_err[mock_uring_inits];
	mock_uring_flags[mock_uring_inits++] = flags;
	mock_uring_entries = entries;
	if (err)
		return -err;

	while (size < entries)
		size *= 2;
	assert_true(size <= MAX_ENTRIES);
	cq_mask = 2 * size - 1;
	assert_null(rings);
	rings = calloc(1, sizeof(*rings));
	assert_non_null(rings);
	/* so that counters wrap around */
	rings->sq_head = rings->sq_tail = rings->cq_head = rings->cq_tail = -5U;
	*ring = (struct io_uring){
		.flags = flags,
		.ring_fd = __real_memfd_create(MOCK_RING, MFD_CLOEXEC),
		.sq = {
			.khead = &rings->sq_head,
			.ktail = &rings->sq_tail,
			.kflags = &rings->sq_flags,
			.sqes = rings->sqes[0],
			.sqe_head = rings->sq_tail,
			.sqe_tail = rings->sq_tail,
			.ring_mask = size - 1,
			.ring_entries = size,
		},
		.cq = {
			.khead = &rings->cq_head,
			.ktail = &rings->cq_tail,
			.cqes = (struct io_uring_cqe *)rings->cqes[0],
			.ring_mask = cq_mask,
			.ring_entries = 2 * size,
		},
	};
	assert_true(ring->ring_fd >= 0);
	return 0;
}

static void queue_exit(struct io_uring *ring)
{
	assert_int_equal(mock_uring_file, -1);
	close(ring->ring_fd);
	free(rings);
	rings = NULL;
}

static int register_files(struct io_uring *ring, const int *files, unsigned int count)
{
	(void)ring;
	assert_int_equal(count, 1);
	if (mock_uring_register_err)
		return -mock_uring_register_err;
	mock_uring_file = *files;
	return 0;
}

static int register_eventfd(struct io_uring *ring, int fd)
{
	(void)ring;
	mock_uring_eventfd = fd;
	return -mock_uring_eventfd_err;
}

static int unregister_files(struct io_uring *ring)
{
	(void)ring;
	assert_true(mock_uring_file >= 0);
	mock_uring_file = -1;
	return 0;
}

static const struct mock_enter *next_enter(void)
{
	if (nr_called == nr_expected)
		fail_msg("unexpected call of io_uring");
	return &expected[nr_called++];
}

static int enter(struct io_uring *ring, unsigned int wait_nr, uint64_t timeout_ns)
{
	const struct mock_enter *call = next_enter();
	unsigned int n;

	rings->sq_tail = ring->sq.sqe_tail;
	assert_false(call->get_events);
	assert_int_equal(rings->sq_tail - rings->sq_head, call->submit);
	assert_int_equal(wait_nr, call->wait);
	assert_int_equal(timeout_ns, call->timeout_ns);
	assert_true(call->taken <= call->submit);
	for (n = 0; n < call->taken; n++)
		memcpy(mock_uring_taken[mock_uring_nr_taken++],
		       rings->sqes[rings->sq_head++ & ring->sq.ring_mask], sizeof(*rings->sqes));
	if (call->effect)
		call->effect();
	return call->ret;
}

static int submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	return enter(ring, wait_nr, 0);
}

static int submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
				   unsigned int wait_nr, struct __kernel_timespec *ts,
				   sigset_t *sigmask)
{
	assert_non_null(cqe);
	assert_null(sigmask);
	assert_true(ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000);
	return enter(ring, wait_nr, (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec);
}

static int get_events(struct io_uring *ring)
{
	const struct mock_enter *call = next_enter();

	(void)ring;
	assert_true(call->get_events);
	if (call->effect)
		call->effect();
	return call->ret;
}

void mock_uring_complete(uint64_t user_data, int res, uint64_t big)
{
	struct io_uring_cqe *cqe = (void *)rings->cqes[rings->cq_tail & cq_mask];

	assert_true(mock_uring_unread() <= cq_mask);
	cqe->user_data = user_data;
	cqe->res = res;
	cqe->big_cqe[0] = big;
	io_uring_smp_store_release(&rings->cq_tail, rings->cq_tail + 1);
}

unsigned int mock_uring_unread(void)
{
	return rings->cq_tail - rings->cq_head;
}

void mock_uring_taskrun(bool on)
{
	rings->sq_flags = on ? IORING_SQ_TASKRUN : 0;
}

void *mock_uring_symbol(const char *name)
{
	static const struct {
		const char *name;
		void *function;
	} calls[] = {
		{ "io_uring_queue_init", queue_init },
		{ "io_uring_queue_exit", queue_exit },
		{ "io_uring_register_files", register_files },
		{ "io_uring_register_eventfd", register_eventfd },
		{ "io_uring_unregister_files", unregister_files },
		{ "io_uring_get_events", get_events },
		{ "io_uring_submit_and_wait", submit_and_wait },
		{ "io_uring_submit_and_wait_timeout", submit_and_wait_timeout },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (!strcmp(calls[i].name, name))
			return calls[i].function;
	return NULL;
}
