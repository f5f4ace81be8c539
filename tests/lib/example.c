// SPDX-License-Identifier: MIT
/* The example of the manual and the README, run as it stands. */
#define main read_blocks
#include "../../userlib/examples/read-blocks.c"
#undef main

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

#include "mock.h"

#define DEVICE	"/dev/nvme-dmabuf"

static int dmabuf;
static int saved_stdout, saved_stderr;

static void answer_info(void *arg)
{
	((struct nvme_dmabuf_info *)arg)->out_max_commands = 32;
}

static void answer_attach(void *arg)
{
	struct nvme_dmabuf_attach *attach = arg;

	assert_string_equal(mock_name(attach->dmabuf_fd), MOCK_DMABUF);
	assert_string_equal(mock_name(attach->ns_fd), "/dev/nvme9n9");
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

#define EXPECT(file, request, effect, err, ret) \
	MOCK_IOCTLS({ file, request, NULL, 0, effect, err, ret })

/* Runs the example, which leaves the namespace's descriptor to its exit. */
static int run(FILE **out, FILE **err)
{
	char *argv[] = { "read-blocks", "/dev/nvme9n9", NULL };
	int lowest = dup(0), ret;

	close(lowest);
	*out = tmpfile();
	*err = tmpfile();
	fflush(stdout);
	saved_stdout = dup(1);
	saved_stderr = dup(2);
	dup2(fileno(*out), 1);
	dup2(fileno(*err), 2);
	ret = read_blocks(2, argv);
	fflush(stdout);
	dup2(saved_stdout, 1);
	dup2(saved_stderr, 2);
	close(saved_stdout);
	close(saved_stderr);
	for (int fd = lowest; fd < lowest + 16; fd++)
		if (mock_name(fd) && !strcmp(mock_name(fd), "/dev/nvme9n9"))
			close(fd);
	rewind(*out);
	rewind(*err);
	return ret;
}

static void example_writes_the_blocks(void **state)
{
	static char data[65537];
	FILE *out, *err;

	(void)state;
	dmabuf = mock_dmabuf(65536, O_RDWR);
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, dmabuf);
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, answer_submit, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
	EXPECT(MOCK_DMABUF, DMA_BUF_IOCTL_SYNC, NULL, 0, 0);
	assert_int_equal(run(&out, &err), 0);
	assert_int_equal(fread(data, 1, sizeof(data), out), 65536);
	assert_int_equal(data[0], 'A');
	assert_int_equal(data[65535], 'Z');
	assert_int_equal(fgetc(err), EOF);
	fclose(out);
	fclose(err);
}

static void check_message(const char *reason, const char *status)
{
	char message[256] = "";
	FILE *out, *err;

	assert_int_equal(run(&out, &err), 1);
	assert_int_equal(fgetc(out), EOF);
	assert_non_null(fgets(message, sizeof(message), err));
	assert_non_null(strstr(message, reason));
	assert_non_null(strstr(message, status));
	fclose(out);
	fclose(err);
}

static void example_says_why_it_failed(void **state)
{
	(void)state;
	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, mock_dmabuf(65536, O_RDWR));
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, refuse_attach, EOPNOTSUPP, 0);
	check_message("not-pcie", "Operation not supported");

	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, 0, 0);
	EXPECT("/dev/udmabuf", UDMABUF_CREATE, NULL, 0, mock_dmabuf(65536, O_RDWR));
	EXPECT(DEVICE, NVME_DMABUF_IOC_ATTACH, answer_attach, 0, 0);
	EXPECT(DEVICE, NVME_DMABUF_IOC_SUBMIT, fail_submit, 0, 0);
	check_message("Input/output error", "Unrecovered Read Error");

	EXPECT(DEVICE, NVME_DMABUF_IOC_INFO, answer_info, ENOTTY, 0);
	check_message("Inappropriate ioctl", "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(example_writes_the_blocks),
		mock_test(example_says_why_it_failed),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
