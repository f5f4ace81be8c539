// SPDX-License-Identifier: MIT
/* The example of queues, run as it stands. */
#define main read_queue
#include "../../userlib/examples/read-queue.c"
#undef main

#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "example.h"

#define QUEUE	"/dev/queue"
#define ENTRIES (2 * DEPTH)

static int dmabuf, queue_fd;
static uint32_t tail;

static void answer_ns_info(void *arg)
{
	((struct nvme_dmabuf_ns_info *)arg)->out_block_size = 4096;
}

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	assert_string_equal(mock_name(attach->ns_fd), NAMESPACE);
	assert_int_equal(attach->length, LENGTH);
	attach->out_map = 8;
}

static void refuse_attach(void *arg)
{
	((struct nvme_dmabuf_attach *)arg)->out_reason = NVME_DMABUF_REASON_NOT_PCIE;
}

static void answer_queue(void *arg)
{
	struct nvme_dmabuf_queue *queue = arg;

	assert_int_equal(queue->depth, DEPTH);
	queue->out_queue_fd = queue_fd;
	queue->out_ring_entries = ENTRIES;
	queue->out_ring_bytes =
		sizeof(struct nvme_dmabuf_ring) + ENTRIES * sizeof(struct nvme_dmabuf_completion);
}

static void complete(const struct nvme_dmabuf_completion *cpl)
{
	off_t at = sizeof(struct nvme_dmabuf_ring) + tail++ % ENTRIES * sizeof(*cpl);

	assert_int_equal(pwrite(queue_fd, cpl, sizeof(*cpl), at), sizeof(*cpl));
	assert_int_equal(pwrite(queue_fd, &tail, sizeof(tail),
				offsetof(struct nvme_dmabuf_ring, tail)),
			 sizeof(tail));
}

/* The drive writes to each piece where it belongs, the last one first. */
static void answer_enter(void *arg)
{
	struct nvme_dmabuf_enter *enter = arg;
	const struct nvme_dmabuf_command *cmds = (void *)(uintptr_t)enter->commands;

	assert_int_equal(enter->count, DEPTH);
	assert_int_equal(enter->min_complete, 1);
	for (uint32_t n = enter->count; n-- > 0;) {
		uint32_t number = (uint32_t)(cmds[n].slba / (PIECE / 4096));

		assert_int_equal(cmds[n].opcode, NVME_DMABUF_OP_READ);
		assert_int_equal(cmds[n].map, 8);
		assert_int_equal(cmds[n].length, PIECE);
		assert_int_equal(cmds[n].offset, (uint64_t)number * PIECE);
		assert_int_equal(pwrite(dmabuf, &number, sizeof(number), cmds[n].offset),
				 sizeof(number));
		complete(&(struct nvme_dmabuf_completion){
			.user_data = cmds[n].user_data,
			.bytes = PIECE,
		});
	}
	enter->out_submitted = enter->count;
}

/* One fails, and the others are complete when the queue is freed. */
static void fail_one(void *arg)
{
	struct nvme_dmabuf_enter *enter = arg;

	complete(&(struct nvme_dmabuf_completion){ .user_data = PIECE, .status = 0x281 });
	for (uint32_t n = 1; n < enter->count; n++)
		complete(&(struct nvme_dmabuf_completion){ .bytes = PIECE });
	enter->out_submitted = enter->count;
}

static void refuse_one(void *arg)
{
	struct nvme_dmabuf_enter *enter = arg;

	complete(&(struct nvme_dmabuf_completion){
		.error = -ESTALE,
		.reason = NVME_DMABUF_REASON_REVOKED,
	});
	for (uint32_t n = 1; n < enter->count; n++)
		complete(&(struct nvme_dmabuf_completion){ .bytes = PIECE });
	enter->out_submitted = enter->count;
}

static void expect_start(void)
{
	dmabuf = mock_dmabuf(LENGTH, O_RDWR);
	queue_fd = open(QUEUE, O_RDWR | O_CLOEXEC);
	assert_int_equal(ftruncate(queue_fd, 4096), 0);
	tail = 0;
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, NULL, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_NS_INFO, answer_ns_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, dmabuf);
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_QUEUE, answer_queue, 0, 0);
}

static void expect_reads(void)
{
	expect_start();
	for (unsigned int n = 0; n < LENGTH / PIECE / DEPTH; n++)
		EXPECT(QUEUE, NVME_DMABUF_IOC_ENTER, answer_enter, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
}

static void expect_success(void)
{
	expect_reads();
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
}

static void expect_failed_end(void)
{
	expect_reads();
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, EIO, 0);
}

static void example_writes_the_blocks(void **state)
{
	static char data[LENGTH + 1];
	FILE *out, *err;

	(void)state;
	expect_success();
	assert_int_equal(run(read_queue, &out, &err), 0);
	assert_int_equal(fread(data, 1, sizeof(data), out), LENGTH);
	for (uint32_t number = 0; number < LENGTH / PIECE; number++)
		assert_memory_equal(data + (size_t)number * PIECE, &number, sizeof(number));
	assert_int_equal(fgetc(err), EOF);
	fclose(out);
	fclose(err);
}

static void example_says_why_it_failed(void **state)
{
	(void)state;
	expect_start();
	EXPECT(QUEUE, NVME_DMABUF_IOC_ENTER, fail_one, 0, 0);
	run_in_vain(read_queue, "at byte 65536: ", "Unrecovered Read Error");
	expect_start();
	EXPECT(QUEUE, NVME_DMABUF_IOC_ENTER, refuse_one, 0, 0);
	run_in_vain(read_queue, "The exporter took the buffer back", "Stale file handle");
	expect_start();
	EXPECT(QUEUE, NVME_DMABUF_IOC_ENTER, NULL, ENOMEM, 0);
	run_in_vain(read_queue, "Cannot allocate memory", "");

	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, NULL, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_NS_INFO, answer_ns_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, mock_dmabuf(LENGTH, O_RDWR));
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, refuse_attach, EOPNOTSUPP, 0);
	run_in_vain(read_queue, "Only NVMe controllers on PCI Express", "Operation not supported");

	mock_fail("open", EACCES);
	run_in_vain(read_queue, NAMESPACE, "Permission denied");
}

static void example_notices_what_goes_wrong_at_the_end(void **state)
{
	FILE *out = tmpfile(), *err = tmpfile();

	(void)state;
	run_on_full_disk(expect_success, read_queue);
	assert_int_equal(run_apart(expect_failed_end, read_queue, out, err), 1);
	fclose(out);
	fclose(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(example_writes_the_blocks),
		mock_test(example_says_why_it_failed),
		mock_test(example_notices_what_goes_wrong_at_the_end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
