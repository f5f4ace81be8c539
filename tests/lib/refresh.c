// SPDX-License-Identifier: MIT
/* Maps that move: attaching with flags, refreshing, events; and asking for peers. */
#include <limits.h>
#include <string.h>

#include "../module/calls.h"
#include "device.h"

#define FLAGS	(NVME_DMABUF_ATTACH_REQUIRE_P2P | NVME_DMABUF_ATTACH_AUTO_REFRESH)

static struct nvme_dmabuf_attach attach_in = {
	.size = sizeof(attach_in),
	.dmabuf_fd = 55,
	.ns_fd = 66,
	.access = NVME_DMABUF_ACCESS_READ,
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
	attach->out_reason = NVME_DMABUF_REASON_NOT_PEER;
}

static int attach(struct nvmedmabuf *ctx, uint32_t flags, uint32_t *map, uint32_t *reason)
{
	return attach_to(ctx, attach_in.dmabuf_fd, attach_in.ns_fd, attach_in.offset, attach_in.length, attach_in.access, flags, map, reason);
}

#define EXPECT_ATTACH(answer, error) \
	{ DEVICE, NVME_DMABUF_IOC_ATTACH, &attach_in, sizeof(attach_in), answer, error, 0 }

static void attach_flags_passes_everything(void **state)
{
	static const uint32_t flags[] = {
		0, NVME_DMABUF_ATTACH_REQUIRE_P2P, NVME_DMABUF_ATTACH_AUTO_REFRESH, FLAGS,
	};
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		uint32_t map = 0, reason = GARBAGE;

		attach_in.flags = flags[i];
		MOCK_IOCTLS(EXPECT_ATTACH(answer_attach, 0), EXPECT_ATTACH(answer_attach, 0));
		assert_int_equal(attach(ctx, flags[i], &map, &reason), 0);
		assert_int_equal(map, 9);
		assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
		map = 0;
		assert_int_equal(attach(ctx, flags[i], &map, NULL), 0);
		assert_int_equal(map, 9);
	}
	nvmedmabuf_close(ctx);
}

static void attach_flags_gives_the_reason_on_failure(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	attach_in.flags = FLAGS;
	for_each_errno(e) {
		uint32_t map = 123, reason = GARBAGE;

		MOCK_IOCTLS(EXPECT_ATTACH(refuse_attach, *e), EXPECT_ATTACH(refuse_attach, *e));
		assert_int_equal(attach(ctx, FLAGS, &map, &reason), -*e);
		assert_int_equal(reason, NVME_DMABUF_REASON_NOT_PEER);
		assert_int_equal(attach(ctx, FLAGS, &map, NULL), -*e);
		assert_int_equal(map, 123);
	}
	nvmedmabuf_close(ctx);
}

/* Refresh */

#define GENERATION	0x123456789abcULL

static const struct nvme_dmabuf_refresh refresh_in = { .size = sizeof(refresh_in), .map = 21 };

static void answer_refresh(void *arg)
{
	struct nvme_dmabuf_refresh *refresh = arg;

	refresh->out_reason = NVME_DMABUF_REASON_NONE;
	refresh->out_generation = GENERATION;
}

static void refuse_refresh(void *arg)
{
	struct nvme_dmabuf_refresh *refresh = arg;

	refresh->out_reason = NVME_DMABUF_REASON_EXPORTER_REVOKED;
	refresh->out_generation = GENERATION;
}

#define EXPECT_REFRESH(answer, error) \
	{ DEVICE, NVME_DMABUF_IOC_REFRESH, &refresh_in, sizeof(refresh_in), answer, error, 0 }

static void refresh_passes_the_map(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t reason = GARBAGE;
	uint64_t generation = 0;

	(void)state;
	MOCK_IOCTLS(EXPECT_REFRESH(answer_refresh, 0));
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, &generation, &reason), 0);
	assert_true(generation == GENERATION);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_close(ctx);
}

static void refresh_without_places_for_the_answer(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t reason = GARBAGE;
	uint64_t generation = 0;

	(void)state;
	MOCK_IOCTLS(EXPECT_REFRESH(answer_refresh, 0), EXPECT_REFRESH(answer_refresh, 0),
		    EXPECT_REFRESH(answer_refresh, 0), EXPECT_REFRESH(refuse_refresh, ENODEV));
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, NULL, NULL), 0);
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, &generation, NULL), 0);
	assert_true(generation == GENERATION);
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, NULL, &reason), 0);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, NULL, NULL), -ENODEV);
	nvmedmabuf_close(ctx);
}

/* EINTR is passed on: whoever sent the signal wants the program to look up. */
static void refresh_gives_the_reason_on_failure(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		uint32_t reason = GARBAGE;
		uint64_t generation = 5;

		MOCK_IOCTLS(EXPECT_REFRESH(refuse_refresh, *e));
		assert_int_equal(nvmedmabuf_refresh(ctx, 21, &generation, &reason), -*e);
		assert_int_equal(reason, NVME_DMABUF_REASON_EXPORTER_REVOKED);
		assert_true(generation == 5);
	}
	nvmedmabuf_close(ctx);
}

/* A module that does not know the request gives no reason. */
static void refresh_has_no_reason_if_none_was_written(void **state)
{
	struct nvmedmabuf *ctx = open_context();
	uint32_t reason = GARBAGE;

	(void)state;
	MOCK_IOCTLS(EXPECT_REFRESH(NULL, ENOTTY));
	assert_int_equal(nvmedmabuf_refresh(ctx, 21, NULL, &reason), -ENOTTY);
	assert_int_equal(reason, NVME_DMABUF_REASON_NONE);
	nvmedmabuf_close(ctx);
}

/* Events */

static struct nvme_dmabuf_event events[4];
static uint32_t nr_events;

static void answer_events(void *arg)
{
	struct nvme_dmabuf_events *query = arg;
	struct nvme_dmabuf_event *to = (void *)(uintptr_t)query->events;

	for (uint32_t i = 0; i < nr_events; i++)
		to[i] = (struct nvme_dmabuf_event){
			.map = 100 + i,
			.state = NVME_DMABUF_STATE_REVOKED,
			.generation = GENERATION + i,
		};
	query->out_count = nr_events;
}

static void refuse_events(void *arg)
{
	struct nvme_dmabuf_events *query = arg;

	query->out_count = 3;
}

static const struct nvme_dmabuf_events *events_in(uint32_t count)
{
	static struct nvme_dmabuf_events in;

	in = (struct nvme_dmabuf_events){
		.size = sizeof(in),
		.events = (uintptr_t)events,
		.count = count,
	};
	return &in;
}

#define EXPECT_EVENTS(count, answer, error)			\
	{ DEVICE, NVME_DMABUF_IOC_EVENTS, events_in(count),	\
	  sizeof(struct nvme_dmabuf_events), answer, error, 0 }

static void get_events_counts_them(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for (nr_events = 0; nr_events <= 4; nr_events++) {
		memset(events, GARBAGE, sizeof(events));
		MOCK_IOCTLS(EXPECT_EVENTS(4, answer_events, 0));
		assert_int_equal(nvmedmabuf_get_events(ctx, events, 4), nr_events);
		for (uint32_t i = 0; i < nr_events; i++) {
			assert_int_equal(events[i].map, 100 + i);
			assert_int_equal(events[i].state, NVME_DMABUF_STATE_REVOKED);
			assert_true(events[i].generation == GENERATION + i);
		}
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

static void get_events_fails_as_the_module(void **state)
{
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_EVENTS(4, refuse_events, *e));
		assert_int_equal(nvmedmabuf_get_events(ctx, events, 4), -*e);
		mock_all_done();
	}
	/* that no room makes no sense is the module's to say */
	MOCK_IOCTLS(EXPECT_EVENTS(0, NULL, EINVAL));
	assert_int_equal(nvmedmabuf_get_events(ctx, events, 0), -EINVAL);
	nvmedmabuf_close(ctx);
}

/* It asks for no more than it could count. */
static void get_events_counts_with_an_int(void **state)
{
	static const uint32_t counts[] = { INT_MAX, (uint32_t)INT_MAX + 1, UINT32_MAX };
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	nr_events = 2;
	for (size_t i = 0; i < 3; i++) {
		MOCK_IOCTLS(EXPECT_EVENTS(INT_MAX, answer_events, 0));
		assert_int_equal(nvmedmabuf_get_events(ctx, events, counts[i]), 2);
		mock_all_done();
	}
	nvmedmabuf_close(ctx);
}

/* Peers */

static const struct nvme_dmabuf_peer_info peer_in = {
	.size = sizeof(peer_in),
	.ns_fd = 77,
	.pci_domain = 0x10001,
	.pci_bdf = 0x1234,
};

static void answer_peer(void *arg)
{
	struct nvme_dmabuf_peer_info *info = arg;

	info->out_reason = NVME_DMABUF_REASON_PEER_ACS;
	info->out_distance = -1;
}

#define EXPECT_PEER(error) \
	{ DEVICE, NVME_DMABUF_IOC_PEER_INFO, &peer_in, sizeof(peer_in), answer_peer, error, 0 }

static void get_peer_info_passes_file_and_address(void **state)
{
	struct nvme_dmabuf_peer_info info, answer = peer_in;
	struct nvmedmabuf *ctx = open_context();

	(void)state;
	MOCK_IOCTLS(EXPECT_PEER(0));
	memset(&info, GARBAGE, sizeof(info));
	info.size = sizeof(info);
	assert_int_equal(nvmedmabuf_get_peer_info(ctx, 77, 0x10001, 0x1234, &info), 0);
	answer_peer(&answer);
	assert_memory_equal(&info, &answer, sizeof(info));
	for_each_errno(e) {
		MOCK_IOCTLS(EXPECT_PEER(*e));
		assert_int_equal(nvmedmabuf_get_peer_info(ctx, 77, 0x10001, 0x1234, &info), -*e);
	}
	nvmedmabuf_close(ctx);
}

/* Own memory */

static char memory[1] __attribute__((aligned(4096)));

static void answer_export(void *arg)
{
	struct nvme_dmabuf_export *export = arg;

	export->out_dmabuf_fd = 55;
	export->out_reason = NVME_DMABUF_REASON_MEMLOCK;
}

static void export_passes_everything(void **state)
{
	const struct nvme_dmabuf_export in = {
		.size = sizeof(in),
		.addr = (uintptr_t)memory,
		.length = 1ULL << 40,
		.access = NVME_DMABUF_ACCESS_WRITE,
	};
	struct nvmedmabuf *ctx = open_context();
	uint32_t reason = 0;
	int fd = -1;

	(void)state;
	for (int i = 0; i < 2; i++) {
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_EXPORT, &in, sizeof(in), answer_export, 0, 0 });
		assert_int_equal(nvmedmabuf_export(ctx, memory, 1ULL << 40, NVME_DMABUF_ACCESS_WRITE,
						   &fd, i ? NULL : &reason),
				 0);
		assert_int_equal(fd, 55);
		assert_int_equal(reason, NVME_DMABUF_REASON_MEMLOCK);
	}
	for_each_errno(e) {
		fd = -1;
		reason = 0;
		MOCK_IOCTLS({ DEVICE, NVME_DMABUF_IOC_EXPORT, &in, sizeof(in), answer_export, *e, 0 });
		assert_int_equal(nvmedmabuf_export(ctx, memory, 1ULL << 40, NVME_DMABUF_ACCESS_WRITE,
						   &fd, &reason),
				 -*e);
		assert_int_equal(fd, -1);
		assert_int_equal(reason, NVME_DMABUF_REASON_MEMLOCK);
	}
	nvmedmabuf_close(ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(attach_flags_passes_everything),
		mock_test(attach_flags_gives_the_reason_on_failure),
		mock_test(refresh_passes_the_map),
		mock_test(refresh_without_places_for_the_answer),
		mock_test(refresh_gives_the_reason_on_failure),
		mock_test(refresh_has_no_reason_if_none_was_written),
		mock_test(get_events_counts_them),
		mock_test(get_events_fails_as_the_module),
		mock_test(get_events_counts_with_an_int),
		mock_test(get_peer_info_passes_file_and_address),
		mock_test(export_passes_everything),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
