// SPDX-License-Identifier: GPL-2.0-only
/*
 * A drive that is wrong, for tests: changes the commands that a program reads a drive with,
 * just before the nvme driver hands them over. What then happens is what a drive would
 * do that masks the address of a PRP list, moves less than it is told, or ignores
 * SGLs. Reads of the block layer's own are left alone, as the witness of the tests.
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nvme.h>

static char disk[DISK_NAME_LEN];
module_param_string(disk, disk, sizeof(disk), 0644);
MODULE_PARM_DESC(disk, "Which drive, such as nvme0n1");

static unsigned int list_align = 8;
module_param(list_align, uint, 0644);
MODULE_PARM_DESC(list_align, "PRP lists begin at multiples of this (bytes, a power of 2)");

static unsigned int most;
module_param(most, uint, 0644);
MODULE_PARM_DESC(most, "Moves at most so much, but says that all is well (bytes; 0: any length)");

static bool no_sgl;
module_param(no_sgl, bool, 0644);
MODULE_PARM_DESC(no_sgl, "Takes SGLs for PRPs");

static void wrong_drive_change(struct request *rq, struct nvme_command *cmd)
{
	u32 block_size = queue_logical_block_size(rq->q);
	u32 length = (le16_to_cpu(cmd->rw.length) + 1) * block_size;
	u64 prp1 = le64_to_cpu(cmd->rw.dptr.prp1), prp2 = le64_to_cpu(cmd->rw.dptr.prp2);
	bool sgl = cmd->rw.flags & NVME_CMD_SGL_ALL;

	if (!sgl && (prp1 & 4095) + length > 2 * 4096)
		cmd->rw.dptr.prp2 = cpu_to_le64(prp2 & ~((u64)list_align - 1));
	if (most && length > most) {
		cmd->rw.length = cpu_to_le16(most / block_size - 1);
		if (sgl)
			cmd->rw.dptr.sgl.length = cpu_to_le32(most);
	}
	if (no_sgl)
		cmd->rw.flags &= ~NVME_CMD_SGL_ALL;
}

/* nvme_setup_cmd(ns, rq), for each request of the driver's */
static int wrong_drive_setup_cmd(struct kprobe *probe, struct pt_regs *regs)
{
	struct request *rq = (struct request *)regs_get_kernel_argument(regs, 1);
	struct nvme_command *cmd;

	if (req_op(rq) != REQ_OP_DRV_IN || !rq->q->disk || strcmp(rq->q->disk->disk_name, disk))
		return 0;
	cmd = *(struct nvme_command **)blk_mq_rq_to_pdu(rq);
	if (cmd->rw.opcode == nvme_cmd_read)
		wrong_drive_change(rq, cmd);
	return 0;
}

static struct kprobe setup_cmd = {
	.symbol_name = "nvme_setup_cmd",
	.pre_handler = wrong_drive_setup_cmd,
};

static int __init wrong_drive_init(void)
{
	return register_kprobe(&setup_cmd);
}
module_init(wrong_drive_init);

static void __exit wrong_drive_exit(void)
{
	unregister_kprobe(&setup_cmd);
}
module_exit(wrong_drive_exit);

MODULE_DESCRIPTION("A drive that is wrong, for tests of nvme-dmabuf");
MODULE_LICENSE("GPL");
