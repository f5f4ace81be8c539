// SPDX-License-Identifier: GPL-2.0-only
/*
 * Buffers whose content is still on its way when they are attached.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exporter.h"

static void on_signal(int number)
{
	(void)number;
}

static void fence_awaited(const void *arg)
{
	struct attacher a;
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);

	exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);
	attacher_start(&a, &w, &b);
	check(stays_in_call(a.thread, NVME_DMABUF_IOC_ATTACH));
	exported_signal(&b);
	attacher_join(&a);
	check_eq(a.result, 0);
	wire_transfers(&w, &b, a.map, 0, b.bytes, 0, 4);
	check_eq(nvmedmabuf_detach(w.ctx, a.map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

/* As when a GPU's driver has to bring the buffer back before it can be mapped. */
static void fence_of_mapping(const void *arg)
{
	struct attacher a;
	struct exported b;
	struct wire w;

	check(!sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);

	exported_fence_on_map(&b);
	attacher_start(&a, &w, &b);
	check_eq(exported_query(&b).out_mapped, 1);
	exported_signal(&b);
	attacher_join(&a);
	check_eq(a.result, 0);
	wire_transfers(&w, &b, a.map, 0, b.bytes, 0, 4);
	check_eq(nvmedmabuf_detach(w.ctx, a.map), 0);

	exported_fence_on_map(&b);
	attacher_start(&a, &w, &b);
	check_eq(exported_query(&b).out_mapped, 1);
	check_eq(pthread_kill(a.handle, SIGUSR1), 0);
	attacher_join(&a);
	check_eq(a.result, -EINTR);
	check_eq(a.reason, NVME_DMABUF_REASON_NONE);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

static void fence_signals_by_itself(const void *arg)
{
	uint32_t map, reason;
	struct exported b;
	uint64_t start;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);
	start = now_ms();
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 500);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	check_eq(exported_query(&b).out_fences, 0);
	check_that(now_ms() - start >= 490, "attached after %llu ms, before the fence signalled",
		   (unsigned long long)(now_ms() - start));
	exported_close(&b);
	wire_close(&w);
}

/* Reading and writing by others is theirs to synchronise; a move is not. */
static void fence_ignored(const void *arg)
{
	uint32_t map, reason;
	struct exported b;
	struct wire w;

	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);
	exported_fence(&b, EXPORTER_FENCE_WRITE, 0);
	exported_fence(&b, EXPORTER_FENCE_READ, 0);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &map, &reason), 0);
	wire_transfers(&w, &b, map, 0, b.bytes, 0, 4);
	check_eq(exported_query(&b).out_fences, 2);
	check_eq(nvmedmabuf_detach(w.ctx, map), 0);
	exported_close(&b);
	wire_close(&w);
}

static void fence_given_up(const void *arg)
{
	struct attacher a;
	struct exported b;
	struct wire w;
	int status;
	pid_t child;

	check(!sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	wire_open(&w, main_drive(), WINDOW);
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 0);

	attacher_start(&a, &w, &b);
	check_eq(pthread_kill(a.handle, SIGUSR1), 0);
	attacher_join(&a);
	check_eq(a.result, -EINTR);
	check_eq(a.reason, NVME_DMABUF_REASON_NONE);
	check_eq(a.map, 0);
	check_unused(&b);

	child = check_sys(fork());
	if (!child) {
		wire_attach(&w, &b, 0, b.bytes, &a.map, &a.reason);
		_exit(99);
	}
	wait_until(stays_in_call(child, NVME_DMABUF_IOC_ATTACH));
	check_sys(kill(child, SIGKILL));
	check_eq(check_sys(waitpid(child, &status, 0)), child);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	check_unused(&b);

	check_eq(exported_query(&b).out_fences, 1);
	exported_signal(&b);
	check_eq(wire_attach(&w, &b, 0, b.bytes, &a.map, &a.reason), 0);
	check_eq(nvmedmabuf_detach(w.ctx, a.map), 0);
	check_unused(&b);
	exported_close(&b);
	wire_close(&w);
}

/* Who waits for one buffer's fence keeps nobody from another buffer. */
static void fence_holds_up_nobody_else(const void *arg)
{
	struct nvme_dmabuf_map_info info = { .size = sizeof(info) };
	struct exported b, other;
	uint32_t map, reason;
	struct attacher a;
	struct wire w, o;

	wire_open(&w, main_drive(), WINDOW);
	o = w;
	o.ctx = ctx_open();
	exported_create_pages(&b, MIB, *(const uint32_t *)arg);
	exported_create_pages(&other, MIB, *(const uint32_t *)arg);
	check_eq(wire_attach(&o, &other, 0, other.bytes, &map, &reason), 0);
	/* It does signal, so that a module that fails this does not hang. */
	exported_fence(&b, EXPORTER_FENCE_KERNEL, 10000);
	attacher_start(&a, &w, &b);

	wire_transfers(&o, &other, map, 0, other.bytes, 0, 4);
	check_that(exported_query(&b).out_fences, "commands waited for another buffer's fence");
	check_eq(nvmedmabuf_get_map_info(o.ctx, map, &info), 0);
	check_that(exported_query(&b).out_fences, "map_info waited for another buffer's fence");
	check_eq(nvmedmabuf_detach(o.ctx, map), 0);
	check_that(exported_query(&b).out_fences, "detach waited for another buffer's fence");
	check_eq(wire_attach(&o, &other, 0, other.bytes, &map, &reason), 0);
	check_that(exported_query(&b).out_fences, "attach waited for another buffer's fence");

	exported_signal(&b);
	attacher_join(&a);
	check_eq(a.result, 0);
	nvmedmabuf_close(o.ctx);
	wire_close(&w);
}

void add_fences(const uint32_t *kind, const char *name)
{
	tap_add(fence_awaited, kind, "%s: attach waits for a kernel fence", name);
	tap_add(fence_of_mapping, kind, "%s: attach waits for a fence that mapping adds", name);
	tap_add(fence_signals_by_itself, kind, "%s: the fence signals by itself", name);
	tap_add(fence_ignored, kind, "%s: attach waits for no other fence", name);
	tap_add(fence_given_up, kind, "%s: a signal ends the wait", name);
	tap_add(fence_holds_up_nobody_else, kind, "%s: the wait holds up nobody else", name);
}
