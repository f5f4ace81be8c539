// SPDX-License-Identifier: MIT
/* The C++ header: what its classes own, in which order they free it, and what they throw. */
#include <nvmedmabuf.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

extern "C" {
#include "mock.h"
}

using namespace libnvmedmabuf;

#define DEVICE	  "/dev/nvme-dmabuf"
#define NAMESPACE "/dev/nvme7n1"
#define QUEUE	  "/dev/queue"

static constexpr std::uint32_t block = 4096, depth = 4, entries = 2 * depth;

template <typename T> constexpr bool owns_alone =
	!std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> &&
	std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
	std::is_nothrow_destructible_v<T> && std::is_nothrow_default_constructible_v<T>;
static_assert(owns_alone<context> && owns_alone<storage> && owns_alone<buffer> &&
	      owns_alone<map> && owns_alone<queue>);
static_assert(std::is_base_of_v<std::system_error, error>);
static_assert(std::is_nothrow_copy_constructible_v<error> && std::is_nothrow_destructible_v<error>);

static constexpr int errnos[] = { EINVAL, ENOENT, EBADF, EACCES, ESTALE, ENODEV, ENOMEM, EINTR };

/* Allocations of the C++ library, which are not to be found where speed counts. */
static unsigned int allocations;

void *operator new(std::size_t size)
{
	allocations++;
	if (void *memory = std::malloc(size))
		return memory;
	throw std::bad_alloc();
}

void operator delete(void *memory) noexcept
{
	std::free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
	std::free(memory);
}

/* What the kernel is asked, and answers. */

static mock_ioctl call(unsigned long request, void (*effect)(void *) = nullptr, int err = 0,
		       int ret = 0)
{
	return { DEVICE, request, nullptr, 0, effect, err, ret };
}

static mock_ioctl call_on(const char *file, unsigned long request, void (*effect)(void *) = nullptr,
			  int err = 0, int ret = 0)
{
	return { file, request, nullptr, 0, effect, err, ret };
}

static void expect(std::initializer_list<mock_ioctl> calls)
{
	mock_ioctls(calls.begin(), calls.size());
}

static mock_ioctl detach_of(std::uint32_t number, int err = 0)
{
	static nvme_dmabuf_detach in[8];
	static unsigned int next;
	nvme_dmabuf_detach &detach = in[next++ % 8];

	detach = {};
	detach.size = sizeof(detach);
	detach.map = number;
	return { DEVICE, NVME_DMABUF_IOC_DETACH, &detach, sizeof(detach), nullptr, err, 0 };
}

static std::uint32_t next_map, reason_given;

static void answer_info(void *arg)
{
	static_cast<nvme_dmabuf_info *>(arg)->out_max_commands = depth;
	static_cast<nvme_dmabuf_info *>(arg)->out_max_maps = 17;
}

static void answer_ns_info(void *arg)
{
	auto *info = static_cast<nvme_dmabuf_ns_info *>(arg);

	info->out_reason = reason_given;
	info->out_block_size = block;
	info->out_capacity = 1000;
}

static void answer_attach(void *arg)
{
	auto *attach = static_cast<nvme_dmabuf_attach *>(arg);

	assert_int_equal(attach->length, block);
	attach->out_map = ++next_map;
}

static void refuse_attach(void *arg)
{
	static_cast<nvme_dmabuf_attach *>(arg)->out_reason = reason_given;
}

static void refuse_export(void *arg)
{
	static_cast<nvme_dmabuf_export *>(arg)->out_reason = reason_given;
}

static void answer_refresh(void *arg)
{
	static_cast<nvme_dmabuf_refresh *>(arg)->out_generation = 1ULL << 40;
}

static void refuse_refresh(void *arg)
{
	static_cast<nvme_dmabuf_refresh *>(arg)->out_reason = reason_given;
}

/* How the next command ends that somebody waits for. */
static nvme_dmabuf_completion ending;
static nvme_dmabuf_command submitted;

static void end_one(void *arg)
{
	auto *submit = static_cast<nvme_dmabuf_submit *>(arg);

	assert_int_equal(submit->count, 1);
	std::memcpy(&submitted, reinterpret_cast<void *>(submit->commands), sizeof(submitted));
	std::memcpy(reinterpret_cast<void *>(submit->completions), &ending, sizeof(ending));
	submit->out_completed = 1;
}

static int queue_fd;
static std::uint32_t tail;

static void answer_queue(void *arg)
{
	auto *made = static_cast<nvme_dmabuf_queue *>(arg);

	assert_int_equal(made->depth, depth);
	made->out_queue_fd = queue_fd;
	made->out_ring_entries = entries;
	made->out_ring_bytes = sizeof(nvme_dmabuf_ring) + entries * sizeof(nvme_dmabuf_completion);
}

/* Takes the commands, and completes all of them at once. */
static void answer_enter(void *arg)
{
	auto *enter = static_cast<nvme_dmabuf_enter *>(arg);
	const auto *cmds = reinterpret_cast<const nvme_dmabuf_command *>(enter->commands);

	for (std::uint32_t n = 0; n < enter->count; n++) {
		const auto at = static_cast<off_t>(sizeof(nvme_dmabuf_ring) +
						   tail++ % entries * sizeof(nvme_dmabuf_completion));
		nvme_dmabuf_completion cpl{};

		cpl.user_data = cmds[n].user_data;
		cpl.bytes = cmds[n].length;
		assert_int_equal(pwrite(queue_fd, &cpl, sizeof(cpl), at), sizeof(cpl));
	}
	assert_int_equal(pwrite(queue_fd, &tail, sizeof(tail), offsetof(nvme_dmabuf_ring, tail)),
			 sizeof(tail));
	enter->out_submitted = enter->count;
}

/* What most tests begin with. */

static context open_context()
{
	expect({ call(NVME_DMABUF_IOC_INFO, answer_info) });
	return context::open();
}

static nvmedmabuf_attach_params params_of(nvmedmabuf_access access)
{
	nvmedmabuf_attach_params params{};

	params.access = access;
	params.dmabuf_fd = 55;
	params.ns_fd = 66;
	params.length = block;
	return params;
}

static map attach(const context &ctx)
{
	expect({ call(NVME_DMABUF_IOC_ATTACH, answer_attach) });
	return ctx.attach(params_of(NVMEDMABUF_ACCESS_READ_WRITE));
}

static storage open_storage(const context &ctx)
{
	expect({ call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info) });
	return storage::open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ_WRITE);
}

static buffer import_buffer()
{
	const int fd = mock_dmabuf(block, O_RDWR);
	buffer buf = buffer::import_fd(fd);

	close(fd);
	return buf;
}

static queue make_queue(const context &ctx)
{
	queue_fd = open(QUEUE, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(queue_fd, block), 0);
	tail = 0;
	expect({ call(NVME_DMABUF_IOC_QUEUE, answer_queue) });
	return queue::create(ctx, depth);
}

template <typename Call> static error caught(Call &&failing)
{
	try {
		failing();
	} catch (const error &e) {
		return e;
	}
	fail_msg("nothing was thrown");
	std::abort();
}

static void check_error(const error &e, int err, std::uint32_t reason,
			const nvme_dmabuf_completion *cpl)
{
	char text[400];

	assert_int_equal(e.code().value(), -err);
	assert_true(e.code().category() == std::generic_category());
	assert_int_equal(e.reason(), cpl && cpl->reason ? cpl->reason : reason);
	assert_string_equal(e.what(), nvmedmabuf_error_text(text, sizeof(text), err, reason, cpl));
	assert_int_equal(e.completion().has_value(), cpl != nullptr);
	if (cpl)
		assert_memory_equal(&*e.completion(), cpl, sizeof(*cpl));
}

/* @failing must throw just this, and make all the calls that are expected. */
template <typename Call>
static void fails(Call &&failing, int err, std::uint32_t reason = NVME_DMABUF_REASON_NONE,
		  const nvme_dmabuf_completion *cpl = nullptr)
{
	check_error(caught(failing), err, reason, cpl);
	mock_all_done();
}

/* Whatever the kernel says to @request comes out, with the reason that @effect writes. */
template <typename Call>
static void fails_as(Call &&failing, unsigned long request, void (*effect)(void *) = nullptr,
		     const char *file = DEVICE)
{
	for (int err : errnos) {
		for (std::uint32_t reason : { NVME_DMABUF_REASON_NONE, NVME_DMABUF_REASON_REVOKED }) {
			if (reason && !effect)
				continue;
			reason_given = reason;
			expect({ call_on(file, request, effect, err) });
			fails(failing, -err, reason);
		}
	}
	reason_given = NVME_DMABUF_REASON_NONE;
}

/* Errors. */

static void an_error_says_all_that_is_known(void **)
{
	nvme_dmabuf_completion cpl{};

	check_error(error(-ENOENT), -ENOENT, 0, nullptr);
	check_error(error(-EBUSY, NVME_DMABUF_REASON_FILE_BUSY), -EBUSY,
		    NVME_DMABUF_REASON_FILE_BUSY, nullptr);
	cpl.status = 0x281;
	cpl.bytes = 512;
	check_error(error(-EIO, 0, &cpl), -EIO, 0, &cpl);
	cpl.error = -ESTALE;
	cpl.reason = NVME_DMABUF_REASON_REVOKED;
	check_error(error(-ESTALE, NVME_DMABUF_REASON_GONE, &cpl), -ESTALE, NVME_DMABUF_REASON_GONE,
		    &cpl);
	assert_int_equal(error(-ESTALE, NVME_DMABUF_REASON_GONE, &cpl).reason(),
			 NVME_DMABUF_REASON_REVOKED);
}

/* A program that knows nothing of this library catches it all the same. */
static void an_error_is_a_system_error(void **)
{
	try {
		check(-ENOMEM, NVME_DMABUF_REASON_MEMLOCK);
		fail();
	} catch (const std::system_error &e) {
		char text[400];

		assert_true(e.code() == std::errc::not_enough_memory);
		assert_string_equal(e.what(), nvmedmabuf_error_text(text, sizeof(text), -ENOMEM,
								    NVME_DMABUF_REASON_MEMLOCK,
								    nullptr));
	}
}

static void an_error_can_be_copied(void **)
{
	nvme_dmabuf_completion cpl{};

	cpl.error = -ESTALE;
	cpl.reason = NVME_DMABUF_REASON_REVOKED;
	error copy(-EIO);
	{
		const error original(-ESTALE, 0, &cpl);

		copy = original;
	}
	check_error(copy, -ESTALE, 0, &cpl);
}

static int writes_a_reason(std::uint32_t *reason)
{
	*reason = NVME_DMABUF_REASON_NOT_PCIE;
	return -EOPNOTSUPP;
}

static void check_passes_what_succeeded(void **)
{
	std::uint32_t reason = NVME_DMABUF_REASON_NONE;
	nvme_dmabuf_completion cpl{};

	assert_int_equal(check(0), 0);
	assert_int_equal(check(42), 42);
	fails([&] { check(-EIO); }, -EIO);
	/* The call may write the reason that is passed beside it. */
	fails([&] { check(writes_a_reason(&reason), reason); }, -EOPNOTSUPP,
	      NVME_DMABUF_REASON_NOT_PCIE);

	cpl.bytes = block;
	check(cpl);
	cpl.status = 0x281;
	fails([&] { check(cpl); }, -EIO, 0, &cpl);
	cpl = {};
	cpl.error = -ESTALE;
	cpl.reason = NVME_DMABUF_REASON_REVOKED;
	fails([&] { check(cpl); }, -ESTALE, 0, &cpl);
}

/* Contexts. */

static void a_context_is_opened_and_closed(void **)
{
	context ctx = open_context();

	assert_true(bool(ctx));
	assert_string_equal(mock_open_path, DEVICE);
	assert_string_equal(mock_name(ctx.fd()), DEVICE);
	assert_int_equal(ctx.fd(), nvmedmabuf_fd(ctx.get()));
}

static void a_context_that_cannot_be_opened(void **)
{
	mock_fail("open", EACCES);
	fails([] { (void)context::open(); }, -EACCES);
	fails_as([] { (void)context::open(); }, NVME_DMABUF_IOC_INFO);
	/* The kernel's answer comes before the memory is asked for. */
	expect({ call(NVME_DMABUF_IOC_INFO, answer_info) });
	mock_fail("malloc", ENOMEM);
	fails([] { (void)context::open(); }, -ENOMEM);
}

static void a_context_takes_over_a_descriptor(void **)
{
	const int fd = mock_file(DEVICE);

	fails_as([=] { (void)context::open_fd(fd); }, NVME_DMABUF_IOC_INFO);
	/* It was left open. */
	assert_string_equal(mock_name(fd), DEVICE);
	expect({ call(NVME_DMABUF_IOC_INFO, answer_info) });
	{
		const context ctx = context::open_fd(fd);

		assert_int_equal(ctx.fd(), fd);
	}
	assert_null(mock_name(fd));
	fails([] { (void)context::open_fd(-1); }, -EBADF);
}

static void a_context_answers(void **)
{
	const context ctx = open_context();
	nvme_dmabuf_event events[2];

	expect({ call(NVME_DMABUF_IOC_INFO, answer_info),
		 call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info), call(NVME_DMABUF_IOC_PEER_INFO),
		 call(NVME_DMABUF_IOC_EVENTS) });
	assert_int_equal(ctx.get_info().out_max_maps, 17);
	assert_int_equal(ctx.get_ns_info(66).ns_fd, 66);
	assert_int_equal(ctx.get_peer_info(66, 1, 2).pci_bdf, 2);
	assert_int_equal(ctx.get_events(events, 2), 0);
	/* What cannot be used is an answer. */
	reason_given = NVME_DMABUF_REASON_NOT_PCIE;
	expect({ call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info) });
	assert_int_equal(ctx.get_ns_info(66).out_reason, NVME_DMABUF_REASON_NOT_PCIE);
	reason_given = NVME_DMABUF_REASON_NONE;
	mock_all_done();

	fails_as([&] { ctx.get_info(); }, NVME_DMABUF_IOC_INFO);
	fails_as([&] { ctx.get_ns_info(66); }, NVME_DMABUF_IOC_NS_INFO, answer_ns_info);
	fails_as([&] { ctx.get_peer_info(66, 1, 2); }, NVME_DMABUF_IOC_PEER_INFO);
	fails_as([&] { ctx.get_events(events, 2); }, NVME_DMABUF_IOC_EVENTS);
}

static void a_context_exports(void **)
{
	static int fd;
	const context ctx = open_context();

	fd = mock_dmabuf(block, O_RDWR);
	expect({ call(NVME_DMABUF_IOC_EXPORT, [](void *arg) {
		auto *asked = static_cast<nvme_dmabuf_export *>(arg);

		assert_int_equal(asked->length, block);
		assert_int_equal(asked->access, NVME_DMABUF_ACCESS_READ);
		asked->out_dmabuf_fd = fd;
	}) });
	assert_int_equal(ctx.export_memory(nullptr, block, NVMEDMABUF_ACCESS_READ), fd);
	close(fd);
	fails_as([&] { (void)ctx.export_memory(nullptr, block, NVMEDMABUF_ACCESS_READ); },
		 NVME_DMABUF_IOC_EXPORT, refuse_export);
}

static void a_context_submits(void **)
{
	static int fence;
	const context ctx = open_context();
	nvmedmabuf_submit_params params{};
	nvme_dmabuf_command cmd;
	nvme_dmabuf_completion cpl;

	nvmedmabuf_prep_read(&cmd, 7, 0, block, 0);
	ending = {};
	ending.status = 0x281;
	params.implicit_sync = true;
	expect({ call(NVME_DMABUF_IOC_SUBMIT, end_one), call(NVME_DMABUF_IOC_SUBMIT, end_one) });
	/* One that failed is told of by its completion. */
	assert_int_equal(ctx.submit(&cmd, &cpl, 1), 1);
	assert_int_equal(cpl.status, 0x281);
	assert_int_equal(ctx.submit_with(&cmd, &cpl, 1, params), 1);
	mock_all_done();

	fence = mock_file("fence");
	expect({ call(NVME_DMABUF_IOC_SUBMIT, [](void *arg) {
		auto *submit = static_cast<nvme_dmabuf_submit *>(arg);

		assert_int_equal(submit->flags, NVME_DMABUF_SUBMIT_OUT_FENCE);
		submit->out_fence_fd = fence;
	}) });
	assert_int_equal(ctx.submit_fence(&cmd, 1), fence);
	close(fence);

	fails_as([&] { ctx.submit(&cmd, &cpl, 1); }, NVME_DMABUF_IOC_SUBMIT);
	fails_as([&] { ctx.submit_with(&cmd, &cpl, 1, params); }, NVME_DMABUF_IOC_SUBMIT);
	fails_as([&] { (void)ctx.submit_fence(&cmd, 1); }, NVME_DMABUF_IOC_SUBMIT);
}

/* Maps. */

static void a_map_is_detached(void **)
{
	const context ctx = open_context();
	map m = attach(ctx);

	assert_true(bool(m));
	assert_int_equal(m.get(), next_map);
	expect({ detach_of(m.get()) });
}

static void a_map_that_cannot_be_attached(void **)
{
	const context ctx = open_context();

	fails_as([&] { (void)ctx.attach(params_of(NVMEDMABUF_ACCESS_READ)); }, NVME_DMABUF_IOC_ATTACH,
		 refuse_attach);
}

static void a_map_is_detached_early(void **)
{
	const context ctx = open_context();
	map m = attach(ctx);

	expect({ detach_of(m.get()) });
	m.detach();
	mock_all_done();
	assert_false(bool(m));
	assert_int_equal(m.get(), 0);

	/* One attempt: the second could hit a map that another thread made. */
	m = attach(ctx);
	expect({ detach_of(m.get(), ENOENT) });
	fails([&] { m.detach(); }, -ENOENT);
	assert_false(bool(m));
}

/* A destructor has nobody to tell. */
static void a_map_that_cannot_be_detached(void **)
{
	const context ctx = open_context();

	{
		map m = attach(ctx);

		expect({ detach_of(m.get(), ENOENT) });
	}
	mock_all_done();
}

static void a_map_moves(void **)
{
	const context ctx = open_context();
	map a = attach(ctx), b = attach(ctx), none;
	const std::uint32_t first = a.get(), second = b.get();

	assert_false(bool(none));
	map c(std::move(a));
	assert_int_equal(a.get(), 0);
	assert_int_equal(c.get(), first);

	/* What it had is detached at once. */
	expect({ detach_of(first) });
	c = std::move(b);
	mock_all_done();
	assert_int_equal(b.get(), 0);
	assert_int_equal(c.get(), second);

	map &itself = c;
	c = std::move(itself);
	assert_int_equal(c.get(), second);
	std::swap(a, c);
	assert_int_equal(a.get(), second);
	assert_false(bool(c));

	none = map(ctx.get(), 77);
	assert_int_equal(none.release(), 77);
	assert_false(bool(none));
	expect({ detach_of(second) });
}

static void maps_fit_in_containers(void **)
{
	const context ctx = open_context();
	std::vector<map> maps;
	std::uint32_t first;

	for (int i = 0; i < 5; i++)
		maps.push_back(attach(ctx));
	first = maps[0].get();
	mock_all_done();
	for (std::uint32_t i = 0; i < 5; i++)
		expect({ detach_of(first + i) });
	maps.clear();
	mock_all_done();
}

static void a_map_answers(void **)
{
	const context ctx = open_context();
	map m = attach(ctx);
	nvme_dmabuf_placement_run runs[2];

	expect({ call(NVME_DMABUF_IOC_REFRESH, answer_refresh),
		 call(NVME_DMABUF_IOC_MAP_INFO),
		 call(NVME_DMABUF_IOC_PLACEMENT, [](void *arg) {
			 static_cast<nvme_dmabuf_placement *>(arg)->out_count = 9;
		 }) });
	assert_int_equal(m.refresh(), 1ULL << 40);
	assert_int_equal(m.get_info().map, m.get());
	assert_int_equal(m.get_placement(runs, 2), 9);
	mock_all_done();

	fails_as([&] { m.refresh(); }, NVME_DMABUF_IOC_REFRESH, refuse_refresh);
	fails_as([&] { m.get_info(); }, NVME_DMABUF_IOC_MAP_INFO);
	fails_as([&] { m.get_placement(runs, 2); }, NVME_DMABUF_IOC_PLACEMENT);
	expect({ detach_of(m.get()) });
}

/* A command that is waited for: it succeeds, and it fails in every way there is. */
template <typename Call> static void moves_data(Call &&command, std::uint8_t opcode, std::uint64_t slba)
{
	ending = {};
	expect({ call(NVME_DMABUF_IOC_SUBMIT, end_one) });
	command();
	mock_all_done();
	assert_int_equal(submitted.opcode, opcode);
	assert_int_equal(submitted.map, next_map);
	assert_int_equal(submitted.slba, slba);

	ending.status = 0x281;
	ending.bytes = 512;
	expect({ call(NVME_DMABUF_IOC_SUBMIT, end_one) });
	fails(command, -EIO, 0, &ending);

	ending = {};
	ending.error = -ESTALE;
	ending.reason = NVME_DMABUF_REASON_REVOKED;
	expect({ call(NVME_DMABUF_IOC_SUBMIT, end_one) });
	fails(command, -ESTALE, 0, &ending);

	/* The library makes up the completion of a call that failed. */
	for (int err : errnos) {
		nvme_dmabuf_completion none{};

		none.error = -err;
		expect({ call(NVME_DMABUF_IOC_SUBMIT, nullptr, err) });
		fails(command, -err, 0, &none);
	}
}

static void a_map_moves_data(void **)
{
	const context ctx = open_context();
	map m = attach(ctx);

	moves_data([&] { m.read(0, block, 3); }, NVME_DMABUF_OP_READ, 3);
	moves_data([&] { m.write(0, block, 4); }, NVME_DMABUF_OP_WRITE, 4);
	moves_data([&] { m.flush(); }, NVME_DMABUF_OP_FLUSH, 0);
	expect({ detach_of(m.get()) });
}

/* Storage. */

static void storage_is_opened_and_closed(void **)
{
	const context ctx = open_context();
	storage s = open_storage(ctx);

	assert_true(bool(s));
	assert_int_equal(s.size(), 1000 * block);
	assert_int_equal(s.block_size(), block);
	expect({ call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info) });
	assert_int_equal(s.get_info().out_capacity, 1000);
	fails_as([&] { s.get_info(); }, NVME_DMABUF_IOC_NS_INFO, answer_ns_info);
}

static void storage_that_cannot_be_opened(void **)
{
	const context ctx = open_context();
	const auto failing = [&] { (void)storage::open(ctx, NAMESPACE, NVMEDMABUF_ACCESS_READ); };

	mock_fail("open", ENOENT);
	fails(failing, -ENOENT);
	mock_fail("calloc", ENOMEM);
	fails(failing, -ENOMEM);
	fails([&] { (void)storage::open(ctx, NAMESPACE, nvmedmabuf_access{}); }, -EINVAL);
	reason_given = NVME_DMABUF_REASON_FILE_SYSTEM;
	expect({ call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info) });
	fails(failing, -EOPNOTSUPP, NVME_DMABUF_REASON_FILE_SYSTEM);
	fails_as(failing, NVME_DMABUF_IOC_NS_INFO, answer_ns_info);
}

static void storage_makes_maps(void **)
{
	const context ctx = open_context();
	map m;

	{
		storage s = open_storage(ctx);

		expect({ call(NVME_DMABUF_IOC_ATTACH, answer_attach) });
		m = s.attach(params_of(NVMEDMABUF_ACCESS_READ_WRITE));
		assert_int_equal(m.get(), next_map);
		fails_as([&] { (void)s.attach(params_of(NVMEDMABUF_ACCESS_READ)); },
			 NVME_DMABUF_IOC_ATTACH, refuse_attach);
		expect({ call(NVME_DMABUF_IOC_REFRESH, answer_refresh),
			 call(NVME_DMABUF_IOC_NS_INFO, answer_ns_info) });
		s.refresh(m);
		mock_all_done();
		fails_as([&] { s.refresh(m); }, NVME_DMABUF_IOC_REFRESH, refuse_refresh);
	}
	/* The map outlives the storage that made it. */
	expect({ detach_of(m.get()) });
}

static void storage_moves_data(void **)
{
	const nvmedmabuf_range range{ 0, block };
	const context ctx = open_context();
	const storage s = open_storage(ctx);
	map m = attach(ctx);

	moves_data([&] { s.read(m, 0, block, 3 * block); }, NVME_DMABUF_OP_READ, 3);
	moves_data([&] { s.write(m, 0, block, 4 * block); }, NVME_DMABUF_OP_WRITE, 4);
	moves_data([&] { s.readv(m, &range, 1, 5 * block); }, NVME_DMABUF_OP_READ, 5);
	moves_data([&] { s.writev(m, &range, 1, 6 * block); }, NVME_DMABUF_OP_WRITE, 6);
	expect({ detach_of(m.get()) });
}

static void storage_prepares_commands(void **)
{
	const context ctx = open_context();
	const storage s = open_storage(ctx);
	map m = attach(ctx);
	nvme_dmabuf_command cmd;

	s.prep_read(&cmd, m, 12, block, 3 * block);
	assert_int_equal(cmd.opcode, NVME_DMABUF_OP_READ);
	assert_int_equal(cmd.map, m.get());
	assert_int_equal(cmd.offset, 12);
	assert_int_equal(cmd.slba, 3);
	s.prep_write(&cmd, m, 12, block, 4 * block);
	assert_int_equal(cmd.opcode, NVME_DMABUF_OP_WRITE);
	assert_int_equal(cmd.slba, 4);
	fails([&] { s.prep_read(&cmd, m, 0, block, 1); }, -EINVAL);
	fails([&] { s.prep_write(&cmd, m, 0, 1, 0); }, -EINVAL);
	expect({ detach_of(m.get()) });
}

/* Buffers. */

static void a_buffer_is_mapped_and_freed(void **)
{
	buffer buf = import_buffer();
	char *data = static_cast<char *>(buf.mmap());

	assert_string_equal(mock_name(buf.fd()), MOCK_DMABUF);
	assert_int_equal(buf.size(), block);
	expect({ call_on(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC), call_on(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC) });
	buf.begin_cpu(NVMEDMABUF_CPU_WRITE);
	data[block - 1] = 1;
	buf.end_cpu(NVMEDMABUF_CPU_WRITE);
}

static void a_buffer_fails(void **)
{
	buffer buf = import_buffer();
	const int sync_errnos[] = { EINVAL, ENODEV, EIO };

	fails([] { (void)buffer::create("no such exporter", block); }, -EINVAL);
	fails([] { (void)buffer::import_fd(-1); }, -EBADF);
	mock_fail("mmap", ENOMEM);
	fails([&] { buf.mmap(); }, -ENOMEM);
	fails([&] { buf.begin_cpu(nvmedmabuf_cpu{}); }, -EINVAL);
	for (int err : sync_errnos) {
		expect({ call_on(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, nullptr, err) });
		fails([&] { buf.begin_cpu(NVMEDMABUF_CPU_READ); }, -err);
		expect({ call_on(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, nullptr, err) });
		fails([&] { buf.end_cpu(NVMEDMABUF_CPU_READ); }, -err);
	}
}

/* Queues. */

static void a_queue_moves_data(void **)
{
	const context ctx = open_context();
	queue q = make_queue(ctx);
	nvme_dmabuf_completion cpls[depth];
	unsigned int before = allocations;

	assert_int_equal(q.fd(), queue_fd);
	for (std::uint32_t n = 0; n < depth; n++) {
		nvme_dmabuf_command *cmd = q.next();

		assert_non_null(cmd);
		nvmedmabuf_prep_read(cmd, 7, 0, block, n);
		cmd->user_data = n;
	}
	assert_null(q.next());
	const mock_ioctl enter = call_on(QUEUE, NVME_DMABUF_IOC_ENTER, answer_enter);

	mock_ioctls(&enter, 1);
	assert_int_equal(q.submit(depth), depth);
	assert_int_equal(q.reap(cpls, depth), depth);
	assert_int_equal(q.reap(cpls, depth), 0);
	assert_int_equal(allocations, before);
	for (std::uint32_t n = 0; n < depth; n++) {
		assert_int_equal(cpls[n].user_data, n);
		check(cpls[n]);
	}
}

static void a_queue_that_cannot_be_made(void **)
{
	const context ctx = open_context();
	nvmedmabuf_queue_params wrong{};

	wrong.polled = wrong.event = true;
	fails([&] { (void)queue::create(ctx, 0); }, -EINVAL);
	fails([&] { (void)queue::create(ctx, depth, wrong); }, -EINVAL);
	fails_as([&] { (void)queue::create(ctx, depth); }, NVME_DMABUF_IOC_QUEUE);
	for (const char *function : { "mmap", "calloc" }) {
		queue_fd = mock_file(QUEUE);
		assert_int_equal(ftruncate(queue_fd, block), 0);
		expect({ call(NVME_DMABUF_IOC_QUEUE, answer_queue) });
		mock_fail(function, ENOMEM);
		fails([&] { (void)queue::create(ctx, depth); }, -ENOMEM);
		/* The kernel's queue is closed again. */
		assert_null(mock_name(queue_fd));
	}
}

static void a_queue_that_cannot_submit(void **)
{
	const context ctx = open_context();
	nvmedmabuf_submit_params params{};
	queue q = make_queue(ctx);

	nvmedmabuf_prep_read(q.next(), 7, 0, block, 0);
	params.nowait = true;
	fails_as([&] { q.submit(1); }, NVME_DMABUF_IOC_ENTER, nullptr, QUEUE);
	fails_as([&] { q.submit_with(1, 0, params); }, NVME_DMABUF_IOC_ENTER, nullptr, QUEUE);
	params.implicit_sync = true;
	fails([&] { q.submit_with(1, 0, params); }, -EINVAL);
	params.implicit_sync = false;
	expect({ call_on(QUEUE, NVME_DMABUF_IOC_ENTER, answer_enter) });
	assert_int_equal(q.submit_with(1, 0, params), 1);
}

/* What is owned, together. */

/* What belongs to a context is freed while it is open, also after it was moved. */
static void all_is_freed_in_order(void **)
{
	context ctx, first = open_context();
	{
		buffer buf = import_buffer();
		storage s = open_storage(first);
		map m = attach(first);
		queue q = make_queue(first);

		ctx = std::move(first);
		assert_false(bool(first));
		assert_null(first.get());
		expect({ detach_of(m.get()) });
	}
	mock_all_done();
	assert_string_equal(mock_name(ctx.fd()), DEVICE);
}

static void handles_move(void **)
{
	context ctx = open_context();
	buffer a = import_buffer(), b = import_buffer(), none;
	nvmedmabuf_buffer *second = b.get();
	const int fd = a.fd();

	/* What it had is freed at once. */
	a = std::move(b);
	assert_ptr_equal(a.get(), second);
	assert_null(b.get());
	assert_null(mock_name(fd));

	buffer &itself = a;
	a = std::move(itself);
	assert_ptr_equal(a.get(), second);
	assert_false(bool(none));
	none = buffer(a.release());
	assert_false(bool(a));
	assert_ptr_equal(none.get(), second);

	storage s = open_storage(ctx), t(std::move(s));
	assert_false(bool(s));
	assert_int_equal(t.block_size(), block);
	s = storage(ctx.get(), t.release());
	expect({ call(NVME_DMABUF_IOC_ATTACH, answer_attach) });
	map m = s.attach(params_of(NVMEDMABUF_ACCESS_READ));

	queue q = make_queue(ctx), r;
	r = std::move(q);
	assert_false(bool(q));
	q = queue(r.release());
	assert_int_equal(q.fd(), queue_fd);

	context c(ctx.release());
	assert_false(bool(ctx));
	assert_string_equal(mock_name(c.fd()), DEVICE);
	ctx = std::move(c);
	expect({ detach_of(m.get()) });
}

/* An exception on its way out frees what it passes. */
static void an_exception_frees_all(void **)
{
	fails([] {
		const context ctx = open_context();
		buffer buf = import_buffer();
		storage s = open_storage(ctx);
		map m = attach(ctx);
		queue q = make_queue(ctx);

		expect({ call(NVME_DMABUF_IOC_SUBMIT, nullptr, ENOMEM), detach_of(m.get()) });
		try {
			m.read(0, block, 0);
		} catch (const error &e) {
			throw error(-e.code().value());
		}
	}, -ENOMEM);
}

int main()
{
	const CMUnitTest tests[] = {
		mock_test(an_error_says_all_that_is_known),
		mock_test(an_error_is_a_system_error),
		mock_test(an_error_can_be_copied),
		mock_test(check_passes_what_succeeded),
		mock_test(a_context_is_opened_and_closed),
		mock_test(a_context_that_cannot_be_opened),
		mock_test(a_context_takes_over_a_descriptor),
		mock_test(a_context_answers),
		mock_test(a_context_exports),
		mock_test(a_context_submits),
		mock_test(a_map_is_detached),
		mock_test(a_map_that_cannot_be_attached),
		mock_test(a_map_is_detached_early),
		mock_test(a_map_that_cannot_be_detached),
		mock_test(a_map_moves),
		mock_test(maps_fit_in_containers),
		mock_test(a_map_answers),
		mock_test(a_map_moves_data),
		mock_test(storage_is_opened_and_closed),
		mock_test(storage_that_cannot_be_opened),
		mock_test(storage_makes_maps),
		mock_test(storage_moves_data),
		mock_test(storage_prepares_commands),
		mock_test(a_buffer_is_mapped_and_freed),
		mock_test(a_buffer_fails),
		mock_test(a_queue_moves_data),
		mock_test(a_queue_that_cannot_be_made),
		mock_test(a_queue_that_cannot_submit),
		mock_test(all_is_freed_in_order),
		mock_test(handles_move),
		mock_test(an_exception_frees_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
