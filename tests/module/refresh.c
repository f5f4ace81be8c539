// SPDX-License-Identifier: GPL-2.0-only
/*
 * This test has exporters take buffers back, and maps them again: by the call
 * for it, and before commands where that was asked for at attach; and it reads
 * the events that tell of it. Also what memory a map may be restricted to.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exported.h"
#include "ring.h"

#define WINDOW (256 * KIB)

#define REVOKE	(EXPORTER_MOVE_REVOKE | EXPORTER_MOVE_FORCE | EXPORTER_MOVE_WAIT)
#define RESTORE (EXPORTER_MOVE_RESTORE | EXPORTER_MOVE_WAIT)
#define MOVE	(EXPORTER_MOVE_COPY | EXPORTER_MOVE_FORCE | EXPORTER_MOVE_WAIT)

#define AUTO	    NVME_DMABUF_ATTACH_AUTO_REFRESH
#define REQUIRE_P2P NVME_DMABUF_ATTACH_REQUIRE_P2P

static int attach_flags(struct wire *w, int dmabuf_fd, uint64_t length, uint32_t flags,
			uint32_t *map, uint32_t *reason)
{
	struct nvme_dmabuf_attach args = {
		.size = sizeof(args),
		.flags = flags,
		.dmabuf_fd = dmabuf_fd,
		.ns_fd = w->drive.fd,
		.access = rig_access(),
		.length = length,
		.out_reason = ~0U,
	};
	int result = ioctl(nvmedmabuf_fd(w->ctx), NVME_DMABUF_IOC_ATTACH, &args) ? -errno : 0;

	*map = args.out_map;
	*reason = args.out_reason;
	return result;
}

static int refresh(struct wire *w, uint32_t map, struct nvme_dmabuf_refresh *out)
{
	*out = (struct nvme_dmabuf_refresh){ .size = sizeof(*out), .map = map, .out_reason = ~0U };
	return ioctl(nvmedmabuf_fd(w->ctx), NVME_DMABUF_IOC_REFRESH, out) ? -errno : 0;
}

static void check_refreshed(struct wire *w, uint32_t map, uint64_t generation)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct nvme_dmabuf_refresh out;

	check_eq(refresh(w, map, &out), 0);
	check_eq(out.out_reason, NVME_DMABUF_REASON_NONE);
	check_eq(out.out_generation, generation);
	check_eq(out.out_block_size, w->drive.block);
	check_eq(out.out_reserved, 0);
	check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
	check_eq(info.out_state, NVME_DMABUF_STATE_LIVE);
	check_eq(info.out_generation, generation);
}

static void check_refused(struct wire *w, uint32_t map, int error, uint32_t reason)
{
	struct nvme_dmabuf_completion c;

	check_eq(nvmedmabuf_read(w->ctx, map, 0, w->drive.block, w->first, &c), error);
	check_eq(c.reason, reason);
	check_eq(c.bytes, 0);
}

static void move(const struct exported *b, uint32_t flags)
{
	struct exporter_move result;

	check_eq(exported_move(b, flags, &result), 0);
	check_eq(result.out_left, 0);
	check_eq(result.out_held, 0);
}

/* Tells the reason why nothing can be tested where importers cannot be told. */
static void open_told(struct wire *w, struct exported *b, const void *flags)
{
	uint32_t kind = *(const uint32_t *)flags;

	if (!(kind & EXPORTER_DYNAMIC) && !kernel_is_movable())
		skip("this kernel cannot tell importers of a static exporter");
	wire_open(w, main_drive(), WINDOW);
	exported_create_pages(b, MIB, kind);
}

static void close_unused(struct wire *w, struct exported *b)
{
	exported_verify(b);
	wire_close(w);
	check_unused(b);
	exported_close(b);
}

/* Nothing is mapped before it is asked for. */
static void deferred(const void *arg)
{
	static const uint32_t flags[] = { NVME_DMABUF_ATTACH_DEFER,
					  NVME_DMABUF_ATTACH_DEFER | AUTO };
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		check_eq(attach_flags(&w, b.fd, b.bytes, flags[i], &map, &reason), 0);
		check_eq(reason, NVME_DMABUF_REASON_NONE);
		check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
		check_eq(info.out_state, NVME_DMABUF_STATE_REVOKED);
		check_eq(info.out_generation, 0);
		check_eq(info.out_segments, 0);
		if (!i) {
			check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_DEFERRED);
			check_refreshed(&w, map, 1);
		}
		wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
		check_refreshed(&w, map, 1);
		check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	}
	/* One that is never mapped goes as well. */
	check_eq(attach_flags(&w, b.fd, b.bytes, flags[0], &map, &reason), 0);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	close_unused(&w, &b);
}

static void refreshed(const void *arg)
{
	struct nvme_dmabuf_refresh out;
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 4, b.bytes - 4, &map, &reason), 0);
	check_refreshed(&w, map, 1);
	for (unsigned int i = 0; i < scaled(10); i++) {
		wire_transfers(&w, &b, map, 4, b.bytes - 4, 0, 3);
		move(&b, MOVE);
		check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);
		check_refreshed(&w, map, 2 + i);
		check_refreshed(&w, map, 2 + i);
		check_eq(exported_query(&b).out_mapped, 1);
		check_eq(exported_query(&b).out_attached, 1);
	}
	wire_transfers(&w, &b, map, 4, b.bytes - 4, 0, 3);
	check_eq(refresh(&w, map + 1, &out), -ENOENT);
	check_eq(out.out_reason, NVME_DMABUF_REASON_NO_MAP);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_eq(refresh(&w, map, &out), -ENOENT);
	close_unused(&w, &b);
}

/* What fails leaves the map as it was, and can be repeated. */
static void refresh_fails(const void *arg)
{
	static const int errors[] = { EIO, ENOMEM, EAGAIN, ESTALE, EINVAL, EOPNOTSUPP };
	struct nvme_dmabuf_refresh out;
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	move(&b, REVOKE);
	for (int i = 0; i < 3; i++) {
		check_eq(refresh(&w, map, &out), -ENODEV);
		check_eq(out.out_reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
		check_eq(out.out_generation, 1);
		check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);
	}
	move(&b, RESTORE);
	for (unsigned int i = 0; i < ARRAY_SIZE(errors); i++) {
		exported_fail(&b, EXPORTER_FAIL_MAP, errors[i], 1);
		check_eq(refresh(&w, map, &out), -errors[i]);
		check_eq(out.out_reason, NVME_DMABUF_REASON_EXPORTER);
		check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);
		check_eq(exported_query(&b).out_mapped, 0);
	}
	check_refreshed(&w, map, 2);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
	close_unused(&w, &b);
}

/* A thread that refreshes a map whose buffer's fences it waits for, itself or by a read. */
struct refresher {
	struct wire *w;
	uint32_t map;
	unsigned long request;
	volatile pid_t thread;
	struct nvme_dmabuf_refresh out;
	struct nvme_dmabuf_completion c;
	volatile int result;
	pthread_t handle;
};

static void *refresher_run(void *arg)
{
	struct refresher *r = arg;

	r->thread = gettid();
	if (r->request == NVME_DMABUF_IOC_REFRESH)
		r->result = refresh(r->w, r->map, &r->out);
	else
		r->result = nvmedmabuf_read(r->w->ctx, r->map, 0, r->w->drive.block, r->w->first,
					    &r->c);
	return NULL;
}

static void waiting_start(struct refresher *r, struct wire *w, uint32_t map, unsigned long request)
{
	*r = (struct refresher){ .w = w, .map = map, .request = request };
	check_eq(pthread_create(&r->handle, NULL, refresher_run, r), 0);
	wait_until(r->thread && stays_in_call(r->thread, request));
}

static void refresher_start(struct refresher *r, struct wire *w, uint32_t map)
{
	waiting_start(r, w, map, NVME_DMABUF_IOC_REFRESH);
}

static void on_signal(int number)
{
	(void)number;
}

static void refresh_waits(const void *arg)
{
	struct refresher first, second;
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	check(!sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	move(&b, MOVE);
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);

	refresher_start(&first, &w, map);
	check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);
	check_eq(pthread_kill(first.handle, SIGUSR1), 0);
	check_eq(pthread_join(first.handle, NULL), 0);
	check_eq(first.result, -EINTR);
	check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);

	/* Both get the same mapping. */
	refresher_start(&first, &w, map);
	refresher_start(&second, &w, map);
	exported_signal(&b);
	check_eq(pthread_join(first.handle, NULL), 0);
	check_eq(pthread_join(second.handle, NULL), 0);
	check_eq(first.result, 0);
	check_eq(second.result, 0);
	check_eq(first.out.out_generation, 2);
	check_eq(second.out.out_generation, 2);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);

	/* Moved once more while what mapping began is not done. */
	move(&b, MOVE);
	exported_fence_on_map(&b);
	refresher_start(&first, &w, map);
	check_eq(exported_query(&b).out_mapped, 1);
	check_refused(&w, map, -ESTALE, NVME_DMABUF_REASON_REVOKED);
	exported_signal(&b);
	move(&b, MOVE);
	check_eq(pthread_join(first.handle, NULL), 0);
	check_eq(first.result, 0);
	/* The move may have come a moment later: then this maps it anew. */
	check_eq(refresh(&w, map, &first.out), 0);
	/* What was mapped, and moved before the map took commands, need not count. */
	check(first.out.out_generation >= 3 &&
	      first.out.out_generation <= exported_query(&b).out_maps);
	check_refreshed(&w, map, first.out.out_generation);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
	close_unused(&w, &b);
}

/* The same in a thread for which its ring has work as soon as there is an event. */
struct notified {
	struct refresher refresher;
	struct io_uring ring;
	int event;
};

static void *notified_run(void *arg)
{
	struct notified *n = arg;
	struct io_uring_sqe *sqe;

	ring_open(&n->ring, 1, 0);
	sqe = io_uring_get_sqe(&n->ring);
	memset(sqe, 0, 2 * sizeof(*sqe));
	io_uring_prep_poll_add(sqe, n->event, POLLIN);
	check_eq(io_uring_submit(&n->ring), 1);
	return refresher_run(&n->refresher);
}

static void check_goes_on(struct wire *w, struct exported *b, uint32_t map, unsigned long request)
{
	const uint64_t one = 1;
	struct notified n = {
		.refresher = { .w = w, .map = map, .request = request },
		.event = check_sys(eventfd(0, EFD_CLOEXEC)),
	};
	struct refresher *r = &n.refresher;

	move(b, MOVE);
	exported_fence(b, EXPORTER_FENCE_KERNEL, 0);
	check_eq(pthread_create(&r->handle, NULL, notified_run, &n), 0);
	wait_until(r->thread && stays_in_call(r->thread, request));
	/* When this returns, there is work. */
	check_eq(write(n.event, &one, sizeof(one)), sizeof(one));
	/* A command that has to wait is ended by any signal. */
	if (request == NVME_DMABUF_IOC_REFRESH)
		check_eq(pthread_kill(r->handle, SIGUSR1), 0);
	wait_until(r->result || stays_in_call(r->thread, request));
	exported_signal(b);
	check_eq(pthread_join(r->handle, NULL), 0);
	check_eq(r->result, 0);
	check_eq(io_uring_cq_ready(&n.ring), 1);
	io_uring_queue_exit(&n.ring);
	check_sys(close(n.event));
}

/* Neither by what io_uring has to do nor by a signal that does not want it is a call ended. */
static void goes_on(const void *arg)
{
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	uint32_t map, automatic, reason;
	struct exported b;
	struct wire w;

	check(!sigaction(SIGUSR1, &action, NULL));
	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(attach_flags(&w, b.fd, b.bytes, AUTO, &automatic, &reason), 0);
	check_goes_on(&w, &b, map, NVME_DMABUF_IOC_REFRESH);
	check_goes_on(&w, &b, automatic, NVME_DMABUF_IOC_SUBMIT);
	check_refreshed(&w, map, 3);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
	close_unused(&w, &b);
}

/* However long a move takes, nobody else has to wait for it. */
static void detached_while_moving(const void *arg)
{
	uint32_t map, automatic, other, reason;
	struct refresher refresher, reader;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &other, &reason), 0);
	check_eq(attach_flags(&w, b.fd, b.bytes, AUTO, &automatic, &reason), 0);
	move(&b, MOVE);
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);
	refresher_start(&refresher, &w, map);
	waiting_start(&reader, &w, automatic, NVME_DMABUF_IOC_SUBMIT);

	check_eq(nvmedmabuf_detach(w.ctx, other), 0);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	check_eq(nvmedmabuf_detach(w.ctx, automatic), 0);
	check_unused(&b);
	check(stays_in_call(refresher.thread, NVME_DMABUF_IOC_REFRESH));
	check(stays_in_call(reader.thread, NVME_DMABUF_IOC_SUBMIT));

	exported_signal(&b);
	check_eq(pthread_join(refresher.handle, NULL), 0);
	check_eq(refresher.result, -ENOENT);
	check_eq(refresher.out.out_reason, NVME_DMABUF_REASON_NO_MAP);
	check_eq(pthread_join(reader.handle, NULL), 0);
	check_eq(reader.result, -ENOENT);
	check_eq(reader.c.reason, NVME_DMABUF_REASON_NO_MAP);
	check_eq(reader.c.bytes, 0);
	close_unused(&w, &b);
}

/* Moved again and again, with nothing in between but commands. */
static void check_follows(struct wire *w, struct exported *b, uint32_t map, unsigned int rounds)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };

	for (unsigned int i = 0; i < rounds; i++) {
		move(b, MOVE);
		wire_transfers(w, b, map, 0, b->bytes, 0, 3);
		check_eq(nvmedmabuf_get_map_info(w->ctx, map, &info), 0);
		check_eq(info.out_generation, 2 + i);
	}
}

static void refreshed_by_itself(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	uint32_t map, plain, reason;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	check_eq(attach_flags(&w, b.fd, b.bytes, AUTO, &map, &reason), 0);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &plain, &reason), 0);
	check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
	check(info.out_flags & NVME_DMABUF_MAP_AUTO_REFRESH);
	check_follows(&w, &b, map, scaled(5));
	check_refused(&w, plain, -ESTALE, NVME_DMABUF_REASON_REVOKED);
	move(&b, REVOKE);
	check_refused(&w, map, -ENODEV, NVME_DMABUF_REASON_EXPORTER_REVOKED);
	move(&b, RESTORE);
	exported_fail(&b, EXPORTER_FAIL_MAP, EAGAIN, 1);
	check_refused(&w, map, -EAGAIN, NVME_DMABUF_REASON_EXPORTER);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 3);
	close_unused(&w, &b);
}

/* The same through queues; io_uring has a worker do it. */
struct way {
	const char *name;
	uint32_t flags;
	uint32_t kind;
};

static void refreshed_in_queue(const void *arg)
{
	const struct way *way = arg;
	uint32_t map, reason;
	struct exported b;
	struct wire w;
	int result;

	open_told(&w, &b, &way->kind);
	check_eq(attach_flags(&w, b.fd, b.bytes, AUTO, &map, &reason), 0);
	result = queue_of(w.ctx, 1, way->flags, &w.queue);
	if (result == -EOPNOTSUPP)
		skip("no io_uring here");
	check_eq(result, 0);
	check_follows(&w, &b, map, scaled(2));
	close_unused(&w, &b);
}

/* No command of a map that refreshes itself is ever refused. */
#define PIECES 16
#define PIECE  (16 * KIB)

struct user {
	struct wire *w;
	struct exported *b;
	uint32_t map;
	unsigned int number, rounds;
	pthread_t handle;
};

static unsigned int stop;

static void *user_run(void *arg)
{
	struct user *u = arg;
	struct nvme_dmabuf_completion c[PIECES];
	struct nvme_dmabuf_command commands[PIECES];
	uint64_t start = u->number * PIECES * PIECE;
	uint32_t block = u->w->drive.block;
	uint8_t *actual = pages_alloc(PIECES * PIECE);

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned int shift = u->rounds++ % PIECES;

		for (unsigned int i = 0; i < PIECES; i++)
			nvmedmabuf_prep_read(&commands[i], u->map, start + i * PIECE, PIECE,
					     u->w->first + (i + shift) % PIECES * PIECE / block);
		check_eq(nvmedmabuf_submit(u->w->ctx, commands, c, PIECES), PIECES);
		for (unsigned int i = 0; i < PIECES; i++) {
			check_eq(c[i].error | c[i].status, 0);
			check_eq(c[i].bytes, PIECE);
			memcpy(u->b->mirror + start + i * PIECE,
			       u->w->disk + (i + shift) % PIECES * PIECE, PIECE);
		}
		exported_read(u->b, start, actual, PIECES * PIECE);
		compare("this thread's part", actual, u->b->mirror + start, PIECES * PIECE, start);
	}
	munmap(actual, PIECES * PIECE);
	return NULL;
}

static void moved_under_users(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct user users[4];
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	open_told(&w, &b, arg);
	check_eq(attach_flags(&w, b.fd, b.bytes, AUTO, &map, &reason), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++) {
		users[i] = (struct user){ .w = &w, .b = &b, .map = map, .number = i };
		check_eq(pthread_create(&users[i].handle, NULL, user_run, &users[i]), 0);
	}
	for (unsigned int i = 0; i < scaled(40); i++) {
		for (uint64_t pause = rnd_below(40); pause; pause--)
			pause_ms();
		move(&b, MOVE);
		exported_check_damage(&b);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++)
		check_eq(pthread_join(users[i].handle, NULL), 0);
	check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
	note("%llu mappings, %u batches of the first thread",
	     (unsigned long long)info.out_generation, users[0].rounds);
	check(info.out_generation > 1);
	close_unused(&w, &b);
}

static bool has_event(struct wire *w, int timeout)
{
	struct pollfd p = { .fd = nvmedmabuf_fd(w->ctx), .events = POLLPRI | POLLIN };
	int ready = check_sys(poll(&p, 1, timeout));

	check_eq(p.revents, ready ? POLLPRI : 0);
	return ready;
}

static uint32_t read_events(struct wire *w, struct nvme_dmabuf_event *to, uint32_t count)
{
	struct nvme_dmabuf_events args = {
		.size = sizeof(args),
		.events = (uintptr_t)to,
		.count = count,
	};

	memset(to, 0xa5, count * sizeof(*to));
	check_sys(ioctl(nvmedmabuf_fd(w->ctx), NVME_DMABUF_IOC_EVENTS, &args));
	check(args.out_count <= count);
	return args.out_count;
}

static void check_event(const struct nvme_dmabuf_event *event, uint32_t map, uint32_t state,
			uint64_t generation)
{
	check_eq(event->map, map);
	check_eq(event->state, state);
	check_eq(event->generation, generation);
}

static void events(const void *arg)
{
	struct nvme_dmabuf_events bad = { .size = sizeof(bad), .count = 4, .events = 8 };
	struct nvme_dmabuf_event event[4];
	uint32_t maps[3], reason;
	struct exported b;
	struct wire w;
	int fd;

	open_told(&w, &b, arg);
	fd = nvmedmabuf_fd(w.ctx);
	check_eq(read_events(&w, event, 4), 0);
	for (int i = 0; i < 3; i++)
		check_eq(wire_attach(&w, &b, 0, b.bytes, &maps[i], &reason), 0);
	check(!has_event(&w, 0));

	move(&b, MOVE);
	check(has_event(&w, 0));
	/* What cannot be told is told later. */
	check(ioctl(fd, NVME_DMABUF_IOC_EVENTS, &bad) == -1 && errno == EFAULT);
	check_eq(bad.out_count, 0);
	check(has_event(&w, 0));
	check_eq(read_events(&w, event, 2), 2);
	check_event(&event[0], maps[0], NVME_DMABUF_STATE_REVOKED, 1);
	check_event(&event[1], maps[1], NVME_DMABUF_STATE_REVOKED, 1);
	check(has_event(&w, 0));
	check_eq(read_events(&w, event, 4), 1);
	check_event(&event[0], maps[2], NVME_DMABUF_STATE_REVOKED, 1);
	check(!has_event(&w, 0));
	check_eq(read_events(&w, event, 4), 0);

	/* Told again, nothing was mapped: that is no news. */
	move(&b, MOVE);
	check(!has_event(&w, 0));

	check_refreshed(&w, maps[0], 2);
	check_refreshed(&w, maps[1], 2);
	check(!has_event(&w, 0));
	move(&b, MOVE);
	/* Twice before it was read is one event, with the state as it is by then. */
	check_refreshed(&w, maps[0], 3);
	move(&b, MOVE);
	check_refreshed(&w, maps[0], 4);
	/* A map that is detached takes its event along. */
	check_eq(nvmedmabuf_detach(w.ctx, maps[1]), 0);
	check_eq(read_events(&w, event, 4), 1);
	check_event(&event[0], maps[0], NVME_DMABUF_STATE_LIVE, 4);
	check(!has_event(&w, 0));
	move(&b, MOVE);
	check(has_event(&w, 0));
	check_eq(nvmedmabuf_detach(w.ctx, maps[0]), 0);
	check(!has_event(&w, 0));
	bad.count = 0;
	check(ioctl(fd, NVME_DMABUF_IOC_EVENTS, &bad) == -1 && errno == EINVAL);
	close_unused(&w, &b);
}

static void *waiter_run(void *arg)
{
	struct user *u = arg;

	check(has_event(u->w, 30000));
	return NULL;
}

static void event_awaited(const void *arg)
{
	struct nvme_dmabuf_event event;
	uint32_t map, reason;
	struct exported b;
	struct wire w;
	struct user u = { .w = &w };

	open_told(&w, &b, arg);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(pthread_create(&u.handle, NULL, waiter_run, &u), 0);
	for (int i = 0; i < 50; i++)
		pause_ms();
	move(&b, MOVE);
	check_eq(pthread_join(u.handle, NULL), 0);
	check_eq(read_events(&w, &event, 1), 1);
	check_event(&event, map, NVME_DMABUF_STATE_REVOKED, 1);
	close_unused(&w, &b);
}

static void peers_required(const void *arg)
{
	uint32_t kind = *(const uint32_t *)arg, map, reason;
	struct nvme_dmabuf_placement_run runs[8];
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct exported b;
	struct wire w;
	int count;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, kind);
	check_eq(attach_flags(&w, b.fd, b.bytes, REQUIRE_P2P, &map, &reason), -EOPNOTSUPP);
	check(reason == NVME_DMABUF_REASON_NOT_PEER || reason == NVME_DMABUF_REASON_NO_P2PDMA);
	check_eq(map, 0);
	check_unused(&b);
	exported_close(&b);

	if (!(kind & EXPORTER_DYNAMIC) && !kernel_is_movable())
		skip("this kernel lets nobody attach dynamically to a static exporter");
	exported_create_bar(&b, 4 * MIB, kind);
	check_eq(attach_flags(&w, b.fd, b.bytes, REQUIRE_P2P | AUTO, &map, &reason), 0);
	check_eq(nvmedmabuf_get_map_info(w.ctx, map, &info), 0);
	check(info.out_flags & NVME_DMABUF_MAP_REQUIRE_P2P);
	wire_transfers(&w, &b, map, 0, b.bytes, 2 * MIB, 4);
	move(&b, REVOKE);
	move(&b, RESTORE);
	wire_transfers(&w, &b, map, 0, b.bytes, 2 * MIB, 4);
	count = nvmedmabuf_get_placement(w.ctx, map, runs, ARRAY_SIZE(runs));
	check(count > 0);
	for (int i = 0; i < count; i++)
		check_in_bar(&runs[i]);
	close_unused(&w, &b);
}

static void peers(const void *arg)
{
	struct nvme_dmabuf_peer_info info = { .size = sizeof(info), .pci_bdf = 0xffff };
	struct nvme_dmabuf_info module = { .size = sizeof(module) };
	struct nvme_dmabuf_map_info map = { .size = sizeof(map) };
	uint32_t number, reason;
	struct exported b;
	struct wire w;
	int fd;

	(void)arg;
	wire_open(&w, main_drive(), WINDOW);
	fd = nvmedmabuf_fd(w.ctx);
	exported_create_pages(&b, MIB, 0);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &number, &reason), 0);
	map.size = sizeof(map);
	module.size = sizeof(module);
	check_eq(nvmedmabuf_get_map_info(w.ctx, number, &map), 0);
	check_eq(nvmedmabuf_get_info(w.ctx, &module), 0);

	info.ns_fd = w.drive.fd;
	check_sys(ioctl(fd, NVME_DMABUF_IOC_PEER_INFO, &info));
	check_eq(info.out_reason, NVME_DMABUF_REASON_NO_SUCH_PEER);
	check_eq(info.out_distance, -1);

	/* Nobody is closer to the drive than itself. */
	info.pci_domain = map.out_pci_domain;
	info.pci_bdf = map.out_pci_bdf;
	check_sys(ioctl(fd, NVME_DMABUF_IOC_PEER_INFO, &info));
	if (module.out_features & NVME_DMABUF_FEATURE_PEER_TO_PEER) {
		check_eq(info.out_reason, NVME_DMABUF_REASON_NONE);
		check_eq(info.out_distance, 0);
	} else {
		check_eq(info.out_reason, NVME_DMABUF_REASON_NO_P2PDMA);
		check_eq(info.out_distance, -1);
	}

	info.pci_bdf = 0x10000;
	check(ioctl(fd, NVME_DMABUF_IOC_PEER_INFO, &info) == -1 && errno == EINVAL);
	info.pci_bdf = 0;
	info.pci_domain = 0x80000000;
	check(ioctl(fd, NVME_DMABUF_IOC_PEER_INFO, &info) == -1 && errno == EINVAL);
	info.pci_domain = 0;
	info.ns_fd = fd;
	check(ioctl(fd, NVME_DMABUF_IOC_PEER_INFO, &info) == -1 && errno == EBADF);
	check_eq(info.out_reason, NVME_DMABUF_REASON_NOT_BLOCK_DEVICE);
	close_unused(&w, &b);
}

int main(int argc, char **argv)
{
	static const uint32_t kinds[] = { 0, EXPORTER_DYNAMIC };
	static const char *const names[] = { "static", "dynamic" };
	static const struct way ways[] = {
		{ "queue", 0, EXPORTER_DYNAMIC },
		{ "polled queue", KIND_POLLED, EXPORTER_DYNAMIC },
		{ "io_uring", KIND_URING, EXPORTER_DYNAMIC },
		{ "io_uring, polled", KIND_URING | KIND_POLLED, EXPORTER_DYNAMIC },
		{ "static, io_uring", KIND_URING, 0 },
	};

	require_device();
	require_exporter();
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		tap_add(refreshed, &kinds[i], "%s: refreshed after each move", names[i]);
		tap_add(refresh_fails, &kinds[i], "%s: refreshing fails", names[i]);
		tap_add(deferred, &kinds[i], "%s: not mapped before it is refreshed", names[i]);
		tap_add(refresh_waits, &kinds[i], "%s: refreshing waits for fences", names[i]);
		tap_add(goes_on, &kinds[i], "%s: what is no signal ends no wait", names[i]);
		tap_add(detached_while_moving, &kinds[i],
			"%s: detached while others wait for a move", names[i]);
		tap_add(refreshed_by_itself, &kinds[i], "%s: refreshed before a command", names[i]);
		tap_add(moved_under_users, &kinds[i], "%s: moves under threads that do not care",
			names[i]);
		tap_add(events, &kinds[i], "%s: events", names[i]);
		tap_add(event_awaited, &kinds[i], "%s: an event wakes who waits for it", names[i]);
		tap_add(peers_required, &kinds[i], "%s: only the memory of peers", names[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		tap_add(refreshed_in_queue, &ways[i], "%s: refreshed before a command",
			ways[i].name);
	tap_add(peers, NULL, "which peers can be reached");
	return tap_run(argc, argv);
}
