/* SPDX-License-Identifier: MIT */
/*
 * <linux/ublk_cmd.h>, and what it lacks in older distributions: Debian 12 has that of Linux 6.1.
 */
#ifndef EXAMPLES_UBLK_H
#define EXAMPLES_UBLK_H

#include <linux/ublk_cmd.h>

#ifndef UBLK_U_CMD_GET_FEATURES
#define UBLK_U_CMD_ADD_DEV	_IOWR('u', UBLK_CMD_ADD_DEV, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_START_DEV	_IOWR('u', UBLK_CMD_START_DEV, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_STOP_DEV	_IOWR('u', UBLK_CMD_STOP_DEV, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_SET_PARAMS	_IOWR('u', UBLK_CMD_SET_PARAMS, struct ublksrv_ctrl_cmd)
#define UBLK_U_CMD_GET_FEATURES	_IOR('u', 0x13, struct ublksrv_ctrl_cmd)

#define UBLK_U_IO_FETCH_REQ	_IOWR('u', UBLK_IO_FETCH_REQ, struct ublksrv_io_cmd)
#define UBLK_U_IO_COMMIT_AND_FETCH_REQ \
	_IOWR('u', UBLK_IO_COMMIT_AND_FETCH_REQ, struct ublksrv_io_cmd)
#endif

#ifndef UBLK_U_CMD_DEL_DEV_ASYNC
#define UBLK_U_CMD_DEL_DEV_ASYNC _IOR('u', 0x14, struct ublksrv_ctrl_cmd)
#endif

#ifndef UBLK_U_CMD_REG_BUF /* Linux 7.1 */
#define UBLK_U_CMD_REG_BUF	_IOWR('u', 0x18, struct ublksrv_ctrl_cmd)

struct ublk_shmem_buf_reg {
	__u64 addr;
	__u64 len;
	__u32 flags;
	__u32 reserved;
};

#define UBLK_F_SHMEM_ZC		(1ULL << 19)
#define UBLK_IO_F_SHMEM_ZC	(1U << 19)
#define UBLK_SHMEM_ZC_OFF_MASK	0xffffffffULL
#endif

#endif /* EXAMPLES_UBLK_H */
