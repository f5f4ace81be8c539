/* SPDX-License-Identifier: MIT */
/*
 * libnvmedmabuf for C++17: nvmedmabuf.h with owners and exceptions, and nothing else. The
 * methods are the C functions of the same names, where units, ranges and errors are described.
 * The namespace has the library's name, because nvmedmabuf itself is a structure there.
 *
 * Ownership. An object of a class owns what its C pointer or number names, and frees it.
 * Objects can be moved, not copied. One that is empty (made without arguments, moved from or
 * released) owns nothing: only assigning, destroying, get(), release() and the test whether
 * it is empty are allowed. get() lends the C pointer or number; release() hands it over.
 *
 * Lifetimes. What a context made must be destroyed or released before the context: storage,
 * maps and queues hold its C pointer and do not keep it alive. Objects declared in the order
 * in which they are made are destroyed in the right order. A context may be moved meanwhile.
 * Buffers need no context, and maps keep their memory.
 *
 * Errors. A function that is not noexcept throws libnvmedmabuf::error where the C function
 * fails; std::system_error may need memory for that, and throws std::bad_alloc if there is
 * none. Nothing is left behind then. Destructors never throw. Who wants no exception for
 * some call makes the C call with get().
 *
 * Threads. As in nvmedmabuf.h. Of one object, functions that are const may be called by several
 * threads at once.
 *
 * Parameters. The size of structures is filled in here.
 */
#ifndef NVMEDMABUF_HPP
#define NVMEDMABUF_HPP

#if __cplusplus < 201703L
#error "nvmedmabuf.hpp needs C++17"
#endif

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <nvmedmabuf.h>

namespace libnvmedmabuf
{

/*
 * error - a call that failed
 *
 * code() is the error number, positive, of std::generic_category(). what() is
 * nvmedmabuf_error_text() of all that is known. Copying never throws.
 */
class error : public std::system_error {
public:
	/* @err: what the C function returned, a negative errno */
	explicit error(int err, std::uint32_t reason = NVME_DMABUF_REASON_NONE,
		       const nvme_dmabuf_completion *cpl = nullptr)
		: std::system_error(-err, std::generic_category()),
		  reason_(cpl && cpl->reason ? cpl->reason : reason)
	{
		if (cpl)
			completion_ = *cpl;
		nvmedmabuf_error_text(text_, sizeof(text_), err, reason, cpl);
	}

	const char *what() const noexcept override
	{
		return text_;
	}

	/* NVME_DMABUF_REASON_*, the completion's if it has one */
	std::uint32_t reason() const noexcept
	{
		return reason_;
	}

	/* The completion of a command that failed; none if no command did. */
	const std::optional<nvme_dmabuf_completion> &completion() const noexcept
	{
		return completion_;
	}

private:
	std::uint32_t reason_;
	std::optional<nvme_dmabuf_completion> completion_;
	char text_[400];
};

/*
 * check - throw if a C function failed
 * @ret: what it returned
 * @reason: the reason that it gave. A reference, because the call which writes it may be
 *	an argument as well: check(nvmedmabuf_refresh(ctx, map, nullptr, &reason), reason).
 * @cpl: the completion that it gave, or nullptr
 *
 * Return: @ret, which is not negative.
 */
inline int check(int ret, const std::uint32_t &reason = NVME_DMABUF_REASON_NONE,
		 const nvme_dmabuf_completion *cpl = nullptr)
{
	if (ret < 0)
		throw error(ret, reason, cpl);
	return ret;
}

/* check - throw if a command failed, as its completion says */
inline void check(const nvme_dmabuf_completion &cpl)
{
	if (cpl.error || cpl.status)
		throw error(cpl.error ? cpl.error : -EIO, cpl.reason, &cpl);
}

/* handle - owner of a C pointer, which the classes below are made of */
template <typename T, void (*destroy)(T *)> class handle {
public:
	/* Lent, nullptr if there is none. */
	T *get() const noexcept
	{
		return pointer_.get();
	}

	/* The caller must free it. */
	[[nodiscard]] T *release() noexcept
	{
		return pointer_.release();
	}

	explicit operator bool() const noexcept
	{
		return static_cast<bool>(pointer_);
	}

protected:
	explicit handle(T *pointer) noexcept : pointer_(pointer)
	{
	}

private:
	struct destroyer {
		void operator()(T *pointer) const noexcept
		{
			destroy(pointer);
		}
	};

	std::unique_ptr<T, destroyer> pointer_;
};

/*
 * map - a map of a context, which is detached in the end
 *
 * The context must outlive it. Detaching waits for the commands that use the map.
 */
class map {
public:
	map() noexcept = default;

	/* Takes over @number, a map of @ctx. */
	map(::nvmedmabuf *ctx, std::uint32_t number) noexcept : ctx_(ctx), number_(number)
	{
	}

	map(map &&other) noexcept : ctx_(other.ctx_), number_(other.release())
	{
	}

	map &operator=(map &&other) noexcept
	{
		map moved(std::move(other));

		std::swap(ctx_, moved.ctx_);
		std::swap(number_, moved.number_);
		return *this;
	}

	~map()
	{
		if (number_)
			nvmedmabuf_detach(ctx_, number_);
	}

	/* The map's number, 0 if there is none. */
	std::uint32_t get() const noexcept
	{
		return number_;
	}

	/* The caller must detach it. */
	[[nodiscard]] std::uint32_t release() noexcept
	{
		return std::exchange(number_, 0);
	}

	explicit operator bool() const noexcept
	{
		return number_ != 0;
	}

	/* As the destructor, but throws on failure. The map is empty afterwards. */
	void detach()
	{
		check(nvmedmabuf_detach(ctx_, release()));
	}

	/* Return: the generation. */
	std::uint64_t refresh() const
	{
		std::uint32_t reason = NVME_DMABUF_REASON_NONE;
		std::uint64_t generation = 0;

		check(nvmedmabuf_refresh(ctx_, number_, &generation, &reason), reason);
		return generation;
	}

	nvme_dmabuf_map_info get_info() const
	{
		nvme_dmabuf_map_info info{};

		info.size = sizeof(info);
		check(nvmedmabuf_get_map_info(ctx_, number_, &info));
		return info;
	}

	/* Return: how many runs there are, perhaps more than @max. */
	std::uint32_t get_placement(nvme_dmabuf_placement_run *runs, std::uint32_t max) const
	{
		return static_cast<std::uint32_t>(
			check(nvmedmabuf_get_placement(ctx_, number_, runs, max)));
	}

	/* Positions in logical blocks. */
	void read(std::uint64_t offset, std::uint64_t length, std::uint64_t slba) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_read(ctx_, number_, offset, length, slba, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

	void write(std::uint64_t offset, std::uint64_t length, std::uint64_t slba) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_write(ctx_, number_, offset, length, slba, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

	void flush() const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_flush(ctx_, number_, &cpl), NVME_DMABUF_REASON_NONE, &cpl);
	}

private:
	::nvmedmabuf *ctx_ = nullptr;
	std::uint32_t number_ = 0;
};

/* context - an open file of /dev/nvme-dmabuf */
class context : public handle<::nvmedmabuf, nvmedmabuf_close> {
public:
	/* Takes over @ctx. */
	explicit context(::nvmedmabuf *ctx = nullptr) noexcept : handle(ctx)
	{
	}

	[[nodiscard]] static context open()
	{
		::nvmedmabuf *ctx = nullptr;

		check(nvmedmabuf_open(&ctx));
		return context(ctx);
	}

	/* Takes over @fd, unless it throws. */
	[[nodiscard]] static context open_fd(int fd)
	{
		::nvmedmabuf *ctx = nullptr;

		check(nvmedmabuf_open_fd(fd, &ctx));
		return context(ctx);
	}

	/* Lent: do not close it. */
	int fd() const noexcept
	{
		return nvmedmabuf_fd(get());
	}

	nvme_dmabuf_info get_info() const
	{
		nvme_dmabuf_info info{};

		info.size = sizeof(info);
		check(nvmedmabuf_get_info(get(), &info));
		return info;
	}

	/* Does not throw for what cannot be used: out_reason says that. */
	nvme_dmabuf_ns_info get_ns_info(int ns_fd) const
	{
		nvme_dmabuf_ns_info info{};

		info.size = sizeof(info);
		check(nvmedmabuf_get_ns_info(get(), ns_fd, &info), info.out_reason);
		return info;
	}

	/* Does not throw if the drive cannot reach the device: out_reason says that. */
	nvme_dmabuf_peer_info get_peer_info(int ns_fd, std::uint32_t domain,
					    std::uint32_t bdf) const
	{
		nvme_dmabuf_peer_info info{};

		info.size = sizeof(info);
		check(nvmedmabuf_get_peer_info(get(), ns_fd, domain, bdf, &info));
		return info;
	}

	/* nvmedmabuf_export(). Return: a dma-buf, which the caller must close(). */
	[[nodiscard]] int export_memory(void *addr, std::uint64_t length,
					nvmedmabuf_access access) const
	{
		std::uint32_t reason = NVME_DMABUF_REASON_NONE;
		int fd = -1;

		check(nvmedmabuf_export(get(), addr, length, access, &fd, &reason), reason);
		return fd;
	}

	[[nodiscard]] map attach(nvmedmabuf_attach_params params) const
	{
		std::uint32_t number = 0, reason = NVME_DMABUF_REASON_NONE;

		params.size = sizeof(params);
		check(nvmedmabuf_attach(get(), &params, &number, &reason), reason);
		return map(get(), number);
	}

	/* Return: how many events were written. */
	std::uint32_t get_events(nvme_dmabuf_event *events, std::uint32_t max) const
	{
		return static_cast<std::uint32_t>(
			check(nvmedmabuf_get_events(get(), events, max)));
	}

	/* Return: how many completions were written; check() tells of each whether it failed. */
	std::uint32_t submit(const nvme_dmabuf_command *cmds, nvme_dmabuf_completion *cpls,
			     std::uint32_t count) const
	{
		return static_cast<std::uint32_t>(
			check(nvmedmabuf_submit(get(), cmds, cpls, count)));
	}

	std::uint32_t submit_with(const nvme_dmabuf_command *cmds, nvme_dmabuf_completion *cpls,
				  std::uint32_t count, nvmedmabuf_submit_params params) const
	{
		params.size = sizeof(params);
		return static_cast<std::uint32_t>(
			check(nvmedmabuf_submit_with(get(), cmds, cpls, count, &params)));
	}

	/* Return: a sync_file, which the caller must close(). */
	[[nodiscard]] int submit_fence(const nvme_dmabuf_command *cmds, std::uint32_t count,
				       nvmedmabuf_submit_params params = {}) const
	{
		int fd = -1;

		params.size = sizeof(params);
		check(nvmedmabuf_submit_fence(get(), cmds, count, &params, &fd));
		return fd;
	}
};

/*
 * storage - a namespace, a partition or a file, by its path
 *
 * The context must outlive it. Positions and lengths are bytes.
 */
class storage : public handle<::nvmedmabuf_storage, nvmedmabuf_storage_close> {
public:
	storage() noexcept : handle(nullptr)
	{
	}

	/* Takes over @opened, which was opened with @ctx. */
	storage(::nvmedmabuf *ctx, ::nvmedmabuf_storage *opened) noexcept
		: handle(opened), ctx_(ctx)
	{
	}

	[[nodiscard]] static storage open(const context &ctx, const char *path,
					  nvmedmabuf_access access)
	{
		std::uint32_t reason = NVME_DMABUF_REASON_NONE;
		::nvmedmabuf_storage *opened = nullptr;

		check(nvmedmabuf_storage_open(ctx.get(), path, access, &opened, &reason), reason);
		return storage(ctx.get(), opened);
	}

	std::uint64_t size() const noexcept
	{
		return nvmedmabuf_storage_size(get());
	}

	std::uint32_t block_size() const noexcept
	{
		return nvmedmabuf_storage_block_size(get());
	}

	nvme_dmabuf_ns_info get_info() const
	{
		nvme_dmabuf_ns_info info{};

		info.size = sizeof(info);
		check(nvmedmabuf_storage_get_info(get(), &info), info.out_reason);
		return info;
	}

	/* The map may outlive the storage. */
	[[nodiscard]] map attach(nvmedmabuf_attach_params params) const
	{
		std::uint32_t number = 0, reason = NVME_DMABUF_REASON_NONE;

		params.size = sizeof(params);
		check(nvmedmabuf_storage_attach(get(), &params, &number, &reason), reason);
		return map(ctx_, number);
	}

	void refresh(const map &m)
	{
		std::uint32_t reason = NVME_DMABUF_REASON_NONE;

		check(nvmedmabuf_storage_refresh(get(), m.get(), &reason), reason);
	}

	void prep_read(nvme_dmabuf_command *cmd, const map &m, std::uint64_t offset,
		       std::uint64_t length, std::uint64_t position) const
	{
		check(nvmedmabuf_storage_prep_read(get(), cmd, m.get(), offset, length, position));
	}

	void prep_write(nvme_dmabuf_command *cmd, const map &m, std::uint64_t offset,
			std::uint64_t length, std::uint64_t position) const
	{
		check(nvmedmabuf_storage_prep_write(get(), cmd, m.get(), offset, length, position));
	}

	void read(const map &m, std::uint64_t offset, std::uint64_t length,
		  std::uint64_t position) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_storage_read(get(), m.get(), offset, length, position, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

	void write(const map &m, std::uint64_t offset, std::uint64_t length,
		   std::uint64_t position) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_storage_write(get(), m.get(), offset, length, position, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

	/* In an exception, the completion's bytes tell how many were read before the failure. */
	void readv(const map &m, const nvmedmabuf_range *ranges, std::uint32_t count,
		   std::uint64_t position) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_storage_readv(get(), m.get(), ranges, count, position, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

	void writev(const map &m, const nvmedmabuf_range *ranges, std::uint32_t count,
		    std::uint64_t position) const
	{
		nvme_dmabuf_completion cpl{};

		check(nvmedmabuf_storage_writev(get(), m.get(), ranges, count, position, &cpl),
		      NVME_DMABUF_REASON_NONE, &cpl);
	}

private:
	::nvmedmabuf *ctx_ = nullptr;
};

/* buffer - a dma-buf, with its descriptor and its mapping for the CPU */
class buffer : public handle<::nvmedmabuf_buffer, nvmedmabuf_buffer_free> {
public:
	/* Takes over @buf. */
	explicit buffer(::nvmedmabuf_buffer *buf = nullptr) noexcept : handle(buf)
	{
	}

	/* @name: of an exporter, as for nvmedmabuf_buffer_create() */
	[[nodiscard]] static buffer create(const char *name, std::uint64_t size)
	{
		::nvmedmabuf_buffer *buf = nullptr;

		check(nvmedmabuf_buffer_create(name, size, &buf));
		return buffer(buf);
	}

	/* nvmedmabuf_buffer_import(). Duplicates @fd, which stays the caller's. */
	[[nodiscard]] static buffer import_fd(int fd)
	{
		::nvmedmabuf_buffer *buf = nullptr;

		check(nvmedmabuf_buffer_import(fd, &buf));
		return buffer(buf);
	}

	/* Lent: do not close it. */
	int fd() const noexcept
	{
		return nvmedmabuf_buffer_fd(get());
	}

	/* Bytes. */
	std::uint64_t size() const noexcept
	{
		return nvmedmabuf_buffer_size(get());
	}

	/* Return: size() bytes, which last as long as the buffer. */
	void *mmap()
	{
		void *addr = nullptr;

		check(nvmedmabuf_buffer_mmap(get(), &addr));
		return addr;
	}

	void begin_cpu(nvmedmabuf_cpu access) const
	{
		check(nvmedmabuf_buffer_begin_cpu(get(), access));
	}

	void end_cpu(nvmedmabuf_cpu access) const
	{
		check(nvmedmabuf_buffer_end_cpu(get(), access));
	}
};

/*
 * queue - commands in flight
 *
 * The context must outlive it. Freeing it waits for its commands in flight.
 */
class queue : public handle<::nvmedmabuf_queue, nvmedmabuf_queue_free> {
public:
	/* Takes over @made. */
	explicit queue(::nvmedmabuf_queue *made = nullptr) noexcept : handle(made)
	{
	}

	[[nodiscard]] static queue create(const context &ctx, std::uint32_t depth,
					  nvmedmabuf_queue_params params = {})
	{
		::nvmedmabuf_queue *made = nullptr;

		params.size = sizeof(params);
		check(nvmedmabuf_queue_create(ctx.get(), depth, &params, &made));
		return queue(made);
	}

	/* Lent, for poll(): do not close it. */
	int fd() const noexcept
	{
		return nvmedmabuf_queue_fd(get());
	}

	/* nvmedmabuf_queue_get(). Return: a command to fill in, or nullptr if there is no room. */
	nvme_dmabuf_command *next() noexcept
	{
		return nvmedmabuf_queue_get(get());
	}

	/*
	 * Return: how many commands were submitted. A timeout (ETIME, EAGAIN) or a signal
	 * (EINTR) is an error if none was.
	 */
	std::uint32_t submit(std::uint32_t min_complete = 0, std::uint64_t timeout_ns = 0)
	{
		return static_cast<std::uint32_t>(
			check(nvmedmabuf_queue_submit(get(), min_complete, timeout_ns)));
	}

	std::uint32_t submit_with(std::uint32_t min_complete, std::uint64_t timeout_ns,
				  nvmedmabuf_submit_params params)
	{
		params.size = sizeof(params);
		return static_cast<std::uint32_t>(check(nvmedmabuf_queue_submit_with(
			get(), min_complete, timeout_ns, &params)));
	}

	/* Return: how many completions were written; check() tells of each whether it failed. */
	std::uint32_t reap(nvme_dmabuf_completion *cpls, std::uint32_t max) noexcept
	{
		return static_cast<std::uint32_t>(nvmedmabuf_queue_reap(get(), cpls, max));
	}
};

} // namespace libnvmedmabuf

#endif /* NVMEDMABUF_HPP */
