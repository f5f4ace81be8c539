// SPDX-License-Identifier: MIT
/* The example of single commands, run as it stands. */
#define main read_blocks
#include "../../userlib/examples/read-blocks.c"
#undef main

#include <errno.h>

#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "example.h"

static int dmabuf;

static void answer_info(void *arg)
{
	((struct nvme_dmabuf_info *)arg)->out_max_commands = 32;
}

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	assert_string_equal(mock_name(attach->dmabuf_fd), MOCK_DMABUF);
	assert_string_equal(mock_name(attach->ns_fd), NAMESPACE);
	assert_int_equal(attach->offset, 0);
	assert_int_equal(attach->length, 65536);
	assert_int_equal(attach->access, NVME_DMABUF_ACCESS_READ);
	attach->out_map = 8;
}

static void refuse_attach(void *arg)
{
	((struct nvme_dmabuf_attach *)arg)->out_reason = NVME_DMABUF_REASON_NOT_PCIE;
}

/* The drive puts a byte at each end of the buffer. */
static void answer_submit(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;
	const struct nvme_dmabuf_command *cmd = (void *)(uintptr_t)submit->commands;

	assert_int_equal(submit->count, 1);
	assert_int_equal(cmd->opcode, NVME_DMABUF_OP_READ);
	assert_int_equal(cmd->map, 8);
	assert_int_equal(cmd->length, 65536);
	assert_int_equal(pwrite(dmabuf, "A", 1, 0), 1);
	assert_int_equal(pwrite(dmabuf, "Z", 1, 65535), 1);
	submit->out_completed = 1;
}

static void fail_submit(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;
	struct nvme_dmabuf_completion *cpl = (void *)(uintptr_t)submit->completions;

	cpl->status = 0x281;
	submit->out_completed = 1;
}

static void expect_read(void)
{
	dmabuf = mock_dmabuf(65536, O_RDWR);
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, dmabuf);
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, answer_submit, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
}

static void expect_success(void)
{
	expect_read();
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
}

static void expect_failed_end(void)
{
	expect_read();
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, EIO, 0);
}

static void example_writes_the_blocks(void **state)
{
	static char data[65537];
	FILE *out, *err;

	(void)state;
	expect_success();
	assert_int_equal(run(read_blocks, &out, &err), 0);
	assert_int_equal(fread(data, 1, sizeof(data), out), 65536);
	assert_int_equal(data[0], 'A');
	assert_int_equal(data[65535], 'Z');
	assert_int_equal(fgetc(err), EOF);
	fclose(out);
	fclose(err);
}

static void example_says_why_it_failed(void **state)
{
	(void)state;
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, mock_dmabuf(65536, O_RDWR));
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, refuse_attach, EOPNOTSUPP, 0);
	run_in_vain(read_blocks, "Only NVMe controllers on PCI Express", "Operation not supported");

	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, mock_dmabuf(65536, O_RDWR));
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, fail_submit, 0, 0);
	run_in_vain(read_blocks, "the drive says: ", "Unrecovered Read Error");

	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, ENOTTY, 0);
	run_in_vain(read_blocks, "Inappropriate ioctl", "ENOTTY");

	mock_fail("open", EACCES);
	run_in_vain(read_blocks, NAMESPACE, "Permission denied");
}

static void example_notices_what_goes_wrong_at_the_end(void **state)
{
	FILE *out = tmpfile(), *err = tmpfile();

	(void)state;
	run_on_full_disk(expect_success, read_blocks);
	assert_int_equal(run_apart(expect_failed_end, read_blocks, out, err), 1);
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
