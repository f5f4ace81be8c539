// SPDX-License-Identifier: MIT
/* Drives: Identify, through the real libnvme, and what is made of its answers. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <libnvme.h>
#include <nvmedmabuf.h>

#include "mock.h"

#define DRIVE	"/dev/nvme0n1"
#define NSID	5

static struct nvme_id_ctrl ctrl;
static struct nvme_id_ns ns;

static void answer_identify(void *arg, unsigned int cns, unsigned int nsid, const void *id)
{
	const struct nvme_passthru_cmd *cmd = arg;

	assert_int_equal(cmd->opcode, 0x06);
	assert_int_equal(cmd->nsid, nsid);
	assert_int_equal(cmd->cdw10 & 0xff, cns);
	assert_int_equal(cmd->data_len, 4096);
	memcpy((void *)(uintptr_t)cmd->addr, id, 4096);
}

static void answer_ctrl(void *arg)
{
	answer_identify(arg, 1, 0, &ctrl);
}

static void answer_ns(void *arg)
{
	answer_identify(arg, 0, NSID, &ns);
}

#define EXPECT_ID(error)	{ DRIVE, NVME_IOCTL_ID, NULL, 0, NULL, error, NSID }
#define EXPECT_CTRL(error, ret)	{ DRIVE, NVME_IOCTL_ADMIN_CMD, NULL, 0, answer_ctrl, error, ret }
#define EXPECT_NS(error, ret)	{ DRIVE, NVME_IOCTL_ADMIN_CMD, NULL, 0, answer_ns, error, ret }

/* A drive with nothing unusual: 512 bytes a block, no metadata. */
static int setup(void **state)
{
	memset(&ctrl, 0, sizeof(ctrl));
	memset(&ns, 0, sizeof(ns));
	memset(ctrl.mn, ' ', sizeof(ctrl.mn));
	memset(ctrl.sn, ' ', sizeof(ctrl.sn));
	memset(ctrl.fr, ' ', sizeof(ctrl.fr));
	memcpy(ctrl.mn, "Model X", 7);
	memcpy(ctrl.sn, "S1", 2);
	memcpy(ctrl.fr, "1.0", 3);
	ctrl.mdts = 5;
	ns.nsze = htole64(0x123456789aULL);
	ns.lbaf[0].ds = 9;
	return mock_setup(state);
}

#define drive_test(f)	cmocka_unit_test_setup_teardown(f, setup, mock_teardown)

static struct nvmedmabuf_drive get(void)
{
	struct nvmedmabuf_drive drive;
	int fd = open(DRIVE, O_RDONLY);

	memset(&drive, 0xa5, sizeof(drive));
	drive.size = sizeof(drive);
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0));
	assert_int_equal(nvmedmabuf_get_drive(fd, &drive), 0);
	mock_all_done();
	close(fd);
	return drive;
}

/* Fails with @expect and leaves the structure alone. */
static void get_fails(int expect)
{
	struct nvmedmabuf_drive drive, before;
	int fd = open(DRIVE, O_RDONLY);

	memset(&drive, 0xa5, sizeof(drive));
	drive.size = sizeof(drive);
	before = drive;
	assert_int_equal(nvmedmabuf_get_drive(fd, &drive), expect);
	assert_memory_equal(&drive, &before, sizeof(drive));
	mock_all_done();
	close(fd);
}

static void plain_drive(void **state)
{
	const struct nvmedmabuf_drive expect = {
		.size = sizeof(expect), .nsid = NSID, .max_transfer = 128 * 1024,
		.blocks = 0x123456789aULL, .block_size = 512,
		.model = "Model X", .serial = "S1", .firmware = "1.0",
	};
	struct nvmedmabuf_drive drive = get();

	(void)state;
	assert_memory_equal(&drive, &expect, sizeof(drive));
}

static void size_of_the_structure(void **state)
{
	struct { struct nvmedmabuf_drive drive; unsigned char more[8]; } newer;
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) - 1 };
	int fd = open(DRIVE, O_RDONLY);

	(void)state;
	/* too small for any version of the library */
	assert_int_equal(nvmedmabuf_get_drive(fd, &drive), -EINVAL);
	drive.size = 0;
	assert_int_equal(nvmedmabuf_get_drive(fd, &drive), -EINVAL);

	/* of a newer header: what is not known is 0 */
	memset(&newer, 0xa5, sizeof(newer));
	newer.drive.size = sizeof(newer);
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0));
	assert_int_equal(nvmedmabuf_get_drive(fd, &newer.drive), 0);
	assert_int_equal(newer.drive.size, sizeof(newer));
	assert_int_equal(newer.drive.block_size, 512);
	for (int i = 0; i < 8; i++)
		assert_int_equal(newer.more[i], 0);
	close(fd);
}

static void max_transfer_is_mdts(void **state)
{
	static const struct { uint8_t mdts; uint64_t bytes; } cases[] = {
		{ 0, 0 }, { 1, 8192 }, { 9, 2 << 20 }, { 51, 1ULL << 63 }, { 52, 0 }, { 255, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ctrl.mdts = cases[i].mdts;
		assert_int_equal(get().max_transfer, cases[i].bytes);
	}
}

static void block_size_is_a_power_of_two(void **state)
{
	(void)state;
	ns.lbaf[0].ds = 12;
	assert_int_equal(get().block_size, 4096);
	ns.lbaf[0].ds = 31;
	assert_int_equal(get().block_size, 1U << 31);

	ns.lbaf[0].ds = 8;
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0));
	get_fails(-EIO);
	ns.lbaf[0].ds = 32;
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0));
	get_fails(-EIO);
	ns.lbaf[0].ds = 0;
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0));
	get_fails(-EIO);
}

static void format_in_use(void **state)
{
	struct nvmedmabuf_drive drive;

	(void)state;
	ns.flbas = 3;
	ns.lbaf[3].ds = 12;
	ns.lbaf[3].ms = htole16(8);
	drive = get();
	assert_int_equal(drive.block_size, 4096);
	assert_int_equal(drive.metadata_size, 8);
	assert_int_equal(drive.metadata_interleaved, 0);

	ns.flbas = 3 | 1 << 4;
	assert_int_equal(get().metadata_interleaved, 1);

	/* bits 6:5 of the format's index */
	ns.flbas = 2 << 5 | 15;
	ns.lbaf[47].ds = 13;
	ns.lbaf[47].ms = htole16(0x102);
	drive = get();
	assert_int_equal(drive.block_size, 8192);
	assert_int_equal(drive.metadata_size, 0x102);
	ns.flbas = 0x6f;
	ns.lbaf[63].ds = 14;
	assert_int_equal(get().block_size, 16384);
}

static void protection_information(void **state)
{
	struct nvmedmabuf_drive drive;

	(void)state;
	for (uint8_t type = 0; type <= 3; type++) {
		ns.dps = type;
		drive = get();
		assert_int_equal(drive.pi_type, type);
		assert_int_equal(drive.pi_first, 0);
	}
	ns.dps = 3 | 1 << 3;
	drive = get();
	assert_int_equal(drive.pi_type, 3);
	assert_int_equal(drive.pi_first, 1);
}

static void sgl_support(void **state)
{
	(void)state;
	ctrl.sgls = htole32(1);
	assert_int_equal(get().sgl_supported, NVMEDMABUF_SGL_BYTE);
	ctrl.sgls = htole32(2);
	assert_int_equal(get().sgl_supported, NVMEDMABUF_SGL_DWORD);
	ctrl.sgls = htole32(0xfffffffc);
	assert_int_equal(get().sgl_supported, NVMEDMABUF_SGL_NONE);
}

static void write_cache(void **state)
{
	(void)state;
	ctrl.vwc = 7;
	assert_int_equal(get().write_cache, 1);
	ctrl.vwc = 6;
	assert_int_equal(get().write_cache, 0);
}

static void strings_are_terminated_and_printable(void **state)
{
	struct nvmedmabuf_drive drive;

	(void)state;
	/* as long as they can be */
	memset(ctrl.mn, 'm', sizeof(ctrl.mn));
	memset(ctrl.sn, 's', sizeof(ctrl.sn));
	memset(ctrl.fr, 'f', sizeof(ctrl.fr));
	drive = get();
	assert_int_equal(strlen(drive.model), 40);
	assert_int_equal(strlen(drive.serial), 20);
	assert_int_equal(strlen(drive.firmware), 8);

	/* nothing but padding, of either kind */
	memset(ctrl.mn, ' ', sizeof(ctrl.mn));
	memset(ctrl.sn, 0, sizeof(ctrl.sn));
	drive = get();
	assert_string_equal(drive.model, "");
	assert_string_equal(drive.serial, "");

	/* spaces within stay, as do the ends of the printable range */
	memcpy(ctrl.mn, " a\033b\x7f\x80\xff~ z\0y", 12);
	assert_string_equal(get().model, " a?b???~ z?y");
}

static void fails_as_its_system_calls(void **state)
{
	static const int errnos[] = { ENOTTY, EACCES, ENODEV, EINTR };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		MOCK_IOCTLS(EXPECT_ID(errnos[i]));
		get_fails(-errnos[i]);
		MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(errnos[i], 0));
		get_fails(-errnos[i]);
		MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(errnos[i], 0));
		get_fails(-errnos[i]);
	}
}

static void fails_with_eio_if_the_drive_does(void **state)
{
	(void)state;
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0x4002));
	get_fails(-EIO);
	MOCK_IOCTLS(EXPECT_ID(0), EXPECT_CTRL(0, 0), EXPECT_NS(0, 0x000b));
	get_fails(-EIO);
}

static void not_a_drive(void **state)
{
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	int pipes[2];

	(void)state;
	assert_int_equal(nvmedmabuf_get_drive(-1, &drive), -EBADF);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(nvmedmabuf_get_drive(pipes[0], &drive), -ENOTTY);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		drive_test(plain_drive),
		drive_test(size_of_the_structure),
		drive_test(max_transfer_is_mdts),
		drive_test(block_size_is_a_power_of_two),
		drive_test(format_in_use),
		drive_test(protection_information),
		drive_test(sgl_support),
		drive_test(write_cache),
		drive_test(strings_are_terminated_and_printable),
		drive_test(fails_as_its_system_calls),
		drive_test(fails_with_eio_if_the_drive_does),
		drive_test(not_a_drive),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
