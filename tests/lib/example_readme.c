// SPDX-License-Identifier: MIT
/* The program in the README, run as it stands there. */
#define main readme
#include "readme.inc"
#undef main

#include <errno.h>
#include <fcntl.h>

#include <linux/dma-buf.h>

#include "example.h"

static int dmabuf;
static char *memory;

static void answer_info(void *arg)
{
	((struct nvme_dmabuf_info *)arg)->out_max_commands = 32;
}

static void answer_export(void *arg)
{
	struct nvme_dmabuf_export *export = arg;

	assert_int_equal(export->length, LENGTH);
	memory = (char *)(uintptr_t)export->addr;
	export->out_dmabuf_fd = dmabuf;
}

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	assert_string_equal(mock_name(attach->dmabuf_fd), MOCK_DMABUF);
	assert_string_equal(mock_name(attach->ns_fd), NAMESPACE);
	assert_int_equal(attach->offset, 0);
	assert_int_equal(attach->length, LENGTH);
	assert_int_equal(attach->access, NVME_DMABUF_ACCESS_READ);
	attach->out_map = 8;
}

static void answer_ns_info(void *arg)
{
	struct nvme_dmabuf_ns_info *info = arg;

	assert_string_equal(mock_name(info->ns_fd), NAMESPACE);
	info->out_block_size = 512;
	info->out_capacity = 1 << 20;
}

static void refuse_ns_info(void *arg)
{
	((struct nvme_dmabuf_ns_info *)arg)->out_reason = NVME_DMABUF_REASON_NOT_PCIE;
}

static void refuse_attach(void *arg)
{
	((struct nvme_dmabuf_attach *)arg)->out_reason = NVME_DMABUF_REASON_NOT_PCIE;
}

static struct nvme_dmabuf_completion *completion(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;

	submit->out_completed = 1;
	return (void *)(uintptr_t)submit->completions;
}

static void answer_submit(void *arg)
{
	struct nvme_dmabuf_submit *submit = arg;
	const struct nvme_dmabuf_command *cmd = (void *)(uintptr_t)submit->commands;

	assert_int_equal(submit->count, 1);
	assert_int_equal(cmd->opcode, NVME_DMABUF_OP_READ);
	assert_int_equal(cmd->map, 8);
	assert_int_equal(cmd->length, LENGTH);
	memory[0] = '\xc5';
	completion(arg);
}

static void fail_submit(void *arg)
{
	completion(arg)->status = 0x281;
}

static void refuse_submit(void *arg)
{
	struct nvme_dmabuf_completion *cpl = completion(arg);

	cpl->error = -ESTALE;
	cpl->reason = NVME_DMABUF_REASON_REVOKED;
}

static void expect_start(void)
{
	dmabuf = mock_dmabuf(LENGTH, O_RDWR);
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_NS_INFO, answer_ns_info, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_EXPORT, answer_export, 0, 0);
}

static void expect_success(void)
{
	expect_start();
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, answer_submit, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
}

static void expect_no_device(void)
{
	mock_fail("open", EACCES);
}

static void expect_refused_namespace(void)
{
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_NS_INFO, refuse_ns_info, 0, 0);
}

static void expect_refused_attach(void)
{
	expect_start();
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, refuse_attach, EOPNOTSUPP, 0);
}

static void expect_attach_without_reason(void)
{
	expect_start();
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, NULL, ENOMEM, 0);
}

static void expect_read(void (*effect)(void *arg))
{
	expect_start();
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, effect, 0, 0);
}

static void expect_failed_read(void)
{
	expect_read(fail_submit);
}

static void expect_refused_read(void)
{
	expect_read(refuse_submit);
}

static void expect_failed_sync(void)
{
	expect_read(answer_submit);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, EIO, 0);
}

static void expect_no_memory(void)
{
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_NS_INFO, answer_ns_info, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_EXPORT, NULL, ENOMEM, 0);
}

static void it_shows_the_first_byte(void **state)
{
	FILE *out = tmpfile(), *err = tmpfile();
	char line[64] = "";

	(void)state;
	assert_int_equal(run_apart(expect_success, readme, out, err), 0);
	assert_non_null(fgets(line, sizeof(line), out));
	assert_string_equal(line, "first byte: c5\n");
	assert_int_equal(fgetc(out), EOF);
	assert_int_equal(fgetc(err), EOF);
	fclose(out);
	fclose(err);
}

static void it_says_why_it_failed(void **state)
{
	(void)state;
	run_apart_in_vain(expect_no_device, readme, DEVICE, "Permission denied");
	run_apart_in_vain(expect_refused_namespace, readme, NAMESPACE,
			  "Only NVMe controllers on PCI Express");
	run_apart_in_vain(expect_refused_attach, readme, "Only NVMe controllers on PCI Express",
			  "Operation not supported");
	run_apart_in_vain(expect_attach_without_reason, readme,
			  "attach: Cannot allocate memory", "");
	run_apart_in_vain(expect_failed_read, readme, "the drive says: ", "Unrecovered Read Error");
	run_apart_in_vain(expect_refused_read, readme, "The exporter took the buffer back",
			  "Stale file handle");
	run_apart_in_vain(expect_failed_sync, readme, "begin_cpu", "Input/output error");
	run_apart_in_vain(expect_no_memory, readme, "buffer: Cannot allocate memory", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(it_shows_the_first_byte),
		mock_test(it_says_why_it_failed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
