/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * /dev/nvme-dmabuf: NVMe reads and writes between a namespace and a dma-buf
 * that stays mapped for DMA. This file is the whole binary interface.
 *
 * Extension scheme. Every ioctl takes one structure that starts with its
 * @size, set by the caller to the sizeof() it was compiled with. A newer
 * kernel module accepts a shorter structure and takes the missing tail as
 * zero; an older module accepts a longer one if the tail it does not know is
 * zero, and says E2BIG if not. A size less than that of the first version is EINVAL,
 * one of more than 4096 E2BIG. After these errors, and if it cannot be read (EFAULT), the
 * structure is as it was. Members named out_* are written by the module, on other
 * failures too where a member says so; what stood in them before is ignored.
 * All other members are inputs. Flags that are not defined here, and reserved
 * members, must be zero, and are refused with EINVAL if not.
 *
 * Error numbers. Each has one meaning:
 *
 *  ENOTTY      unknown ioctl
 *  EFAULT      a pointer of the caller's does not lead to accessible memory
 *  EINVAL      malformed: flags, reserved members, alignment, a length of zero
 *  E2BIG       a structure's tail, unknown to this module, is not zero
 *  EOVERFLOW   an offset and a length, or a block and a count, wrap around
 *  ERANGE      outside the dma-buf, the map or the namespace
 *  EBADF       a number that is no open file, or a file of the wrong kind
 *  ENOENT      no map of that number in this context
 *  EACCES      the files' access modes, or the map's, do not allow this, or a security
 *              module does not (which may have an error number of its own)
 *  EPERM       only an administrator may do this: it needs CAP_SYS_ADMIN
 *  ETXTBSY     the block device or the file is swap space, and must not be written to, or
 *              be attached to
 *  EBUSY       somebody has the file open for writing, or, if it is to be written, open at all
 *  ENODATA     a part of the file that was never written
 *  EOPNOTSUPP  this device, exporter or kernel cannot do it
 *  ESTALE      the mapping was revoked, or the namespace's format changed
 *  ENODEV      the controller or the namespace is gone
 *  ENOSPC      a limit of this module is reached
 *  EAGAIN      no room for a command now, or a fence has not signalled, and the caller did
 *              not want to wait, or for no longer
 *  EMFILE      a limit of open files is reached (also ENFILE)
 *  ECANCELED   a fence to be waited for signalled an error
 *  ENOMEM      the kernel has no memory for it
 *  EINTR       a signal ended the wait, and its handler has no SA_RESTART; of
 *              NVME_DMABUF_IOC_SUBMIT without fences, a fatal one. The waits of
 *              NVME_DMABUF_IOC_ENTER are ended by any signal, and by work that io_uring
 *              has for the thread (rarely, if its ring has IORING_SETUP_DEFER_TASKRUN)
 *  EIO         the drive did not answer a command of the module's own as it
 *              must, or the nvme driver gave a command up
 *
 * A refusal also comes with a reason, one of NVME_DMABUF_REASON_*, where the
 * structure has a place for it. What the drive itself says of a command, an
 * NVMe status, is a result and not an error: see
 * struct nvme_dmabuf_completion.
 *
 * Units are bytes unless a member says logical blocks. "Specification" is the
 * NVM Express Base Specification and its NVM Command Set Specification.
 */
#ifndef _NVME_DMABUF_H
#define _NVME_DMABUF_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define NVME_DMABUF_IOC_TYPE	0xDE

#define NVME_DMABUF_IOC_INFO		_IO(NVME_DMABUF_IOC_TYPE, 0x00)
#define NVME_DMABUF_IOC_NS_INFO		_IO(NVME_DMABUF_IOC_TYPE, 0x01)
#define NVME_DMABUF_IOC_ATTACH		_IO(NVME_DMABUF_IOC_TYPE, 0x02)
#define NVME_DMABUF_IOC_DETACH		_IO(NVME_DMABUF_IOC_TYPE, 0x03)
#define NVME_DMABUF_IOC_MAP_INFO	_IO(NVME_DMABUF_IOC_TYPE, 0x04)
#define NVME_DMABUF_IOC_PLACEMENT	_IO(NVME_DMABUF_IOC_TYPE, 0x05)
#define NVME_DMABUF_IOC_SUBMIT		_IO(NVME_DMABUF_IOC_TYPE, 0x06)
#define NVME_DMABUF_IOC_REFRESH		_IO(NVME_DMABUF_IOC_TYPE, 0x07)
#define NVME_DMABUF_IOC_EVENTS		_IO(NVME_DMABUF_IOC_TYPE, 0x08)
#define NVME_DMABUF_IOC_PEER_INFO	_IO(NVME_DMABUF_IOC_TYPE, 0x09)
#define NVME_DMABUF_IOC_QUEUE		_IO(NVME_DMABUF_IOC_TYPE, 0x0a)

/* On the file that NVME_DMABUF_IOC_QUEUE makes, and only there. */
#define NVME_DMABUF_IOC_ENTER		_IO(NVME_DMABUF_IOC_TYPE, 0x0b)

/* cmd_op of io_uring's IORING_OP_URING_CMD: see NVME_DMABUF_CQE_BYTES. */
#define NVME_DMABUF_URING_CMD		_IO(NVME_DMABUF_IOC_TYPE, 0x0c)

#define NVME_DMABUF_IOC_EXPORT		_IO(NVME_DMABUF_IOC_TYPE, 0x0d)

/*
 * Reasons: why something was refused. The numbers never change; new ones are
 * added at the end. A program shown a number that it does not know should
 * print it.
 */
#define NVME_DMABUF_REASON_NONE			0	/* nothing was refused */

/* About the files passed in. */
#define NVME_DMABUF_REASON_NOT_BLOCK_DEVICE	1	/* EBADF: not a block device */
#define NVME_DMABUF_REASON_NOT_DMABUF		2	/* EBADF: not a dma-buf */
#define NVME_DMABUF_REASON_NS_NOT_READABLE	3	/* EACCES: namespace not open for reading */
#define NVME_DMABUF_REASON_NS_NOT_WRITABLE	4	/* EACCES: not open for writing, or read-only */
#define NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE	5	/* EACCES: dma-buf must not be a read's target */

/* About the device: none of these changes without an administrator. */
#define NVME_DMABUF_REASON_NOT_NVME		6	/* EOPNOTSUPP: block device of another driver */
#define NVME_DMABUF_REASON_NOT_PCIE		7	/* EOPNOTSUPP: NVMe over another transport */
#define NVME_DMABUF_REASON_NO_PATH		8	/* EOPNOTSUPP: multipath device without a PCIe path */
#define NVME_DMABUF_REASON_NO_CAPACITY		9	/* EOPNOTSUPP: format the kernel cannot use */
#define NVME_DMABUF_REASON_METADATA		10	/* EOPNOTSUPP: metadata other than 8-byte PI */
#define NVME_DMABUF_REASON_PARTITION_UNALIGNED	11	/* EOPNOTSUPP: partition not on block bounds */
#define NVME_DMABUF_REASON_DRIVER_LAYOUT	12	/* EOPNOTSUPP: nvme driver of unknown layout */
#define NVME_DMABUF_REASON_TRANSFER_LENGTH	13	/* EOPNOTSUPP: drive moves other bytes than it should */
#define NVME_DMABUF_REASON_PROBE_FAILED		14	/* EIO: test reads failed at attach */
#define NVME_DMABUF_REASON_DMA_BOUNCED		15	/* EOPNOTSUPP: DMA would go through a copy */
#define NVME_DMABUF_REASON_GONE			16	/* ENODEV: controller or namespace gone */

/* About the dma-buf and its exporter. */
#define NVME_DMABUF_REASON_EXPORTER		17	/* the exporter refused; errno is its own */
#define NVME_DMABUF_REASON_SEGMENTS		18	/* EOPNOTSUPP: not expressible as PRP entries */

/* About a range, a command or a limit. */
#define NVME_DMABUF_REASON_RESERVED		19	/* EINVAL: unknown flag, no access, or reserved is not 0 */
#define NVME_DMABUF_REASON_OPCODE		20	/* EOPNOTSUPP: opcode not allowed */
#define NVME_DMABUF_REASON_ZERO_LENGTH		21	/* EINVAL: nothing to transfer */
#define NVME_DMABUF_REASON_BLOCK_MULTIPLE	22	/* EINVAL: length no multiple of the block size */
#define NVME_DMABUF_REASON_DWORD_ALIGN		23	/* EINVAL: offset no multiple of 4 */
#define NVME_DMABUF_REASON_OUTSIDE_DMABUF	24	/* ERANGE or EOVERFLOW */
#define NVME_DMABUF_REASON_OUTSIDE_MAP		25	/* ERANGE or EOVERFLOW */
#define NVME_DMABUF_REASON_OUTSIDE_NAMESPACE	26	/* ERANGE or EOVERFLOW */
#define NVME_DMABUF_REASON_NO_MAP		27	/* ENOENT: no such map in this context */
#define NVME_DMABUF_REASON_MAP_ACCESS		28	/* EACCES: map attached for the other direction */
#define NVME_DMABUF_REASON_TIMEOUT		29	/* EINVAL: timeout out of range */
#define NVME_DMABUF_REASON_REVOKED		30	/* ESTALE: the exporter revoked the mapping */
#define NVME_DMABUF_REASON_FORMAT_CHANGED	31	/* ESTALE: block size differs from attach */
#define NVME_DMABUF_REASON_MAP_LIMIT		32	/* ENOSPC: module parameter max_maps */
#define NVME_DMABUF_REASON_FLUSH_RANGE		33	/* EINVAL: Flush takes no range */
#define NVME_DMABUF_REASON_DMABUF_NOT_READABLE	34	/* EACCES: dma-buf must not be a write's source */
#define NVME_DMABUF_REASON_CANCELLED		35	/* EIO: the nvme driver gave the command up */

/* About peers, fences and buffers that move. */
#define NVME_DMABUF_REASON_EXPORTER_REVOKED	36	/* ENODEV: the exporter has revoked the buffer, */
							/* or lost the device that holds it */
#define NVME_DMABUF_REASON_NOT_PEER		37	/* EOPNOTSUPP: not all of it is a peer's memory */
#define NVME_DMABUF_REASON_NO_P2PDMA		38	/* EOPNOTSUPP: kernel without PCI_P2PDMA */
#define NVME_DMABUF_REASON_PEER_HOST_BRIDGE	39	/* EOPNOTSUPP: no bridge is common to the drive */
							/* and the peer, and their host bridge is */
							/* not on the kernel's list for P2P */
#define NVME_DMABUF_REASON_PEER_ACS		40	/* EOPNOTSUPP: ACS redirects to such a host bridge */
#define NVME_DMABUF_REASON_EXPORTER_NO_PATH	41	/* EOPNOTSUPP: the exporter found no P2P path to */
							/* the drive, and offers host memory instead */
#define NVME_DMABUF_REASON_NOT_DYNAMIC		42	/* EOPNOTSUPP: the exporter wants importers that */
							/* can give the buffer back or do P2P, which */
							/* this kernel lets nobody be for it */
#define NVME_DMABUF_REASON_NO_SUCH_PEER		43	/* no such PCI device */

/* About who may do what. */
#define NVME_DMABUF_REASON_TIMEOUT_SHORT	44	/* EPERM: timeout below the nvme driver's */
#define NVME_DMABUF_REASON_SWAP			45	/* ETXTBSY: the block device is swap space */
#define NVME_DMABUF_REASON_SECURITY		46	/* a security module refused; errno is its own */
#define NVME_DMABUF_REASON_ZONED		47	/* EOPNOTSUPP: no writes to zoned namespaces */

/* About files on a mounted file system. */
#define NVME_DMABUF_REASON_FILE_SYSTEM		48	/* EOPNOTSUPP: neither XFS nor ext4 */
#define NVME_DMABUF_REASON_FILE_DEVICE		49	/* EOPNOTSUPP: file system not on one NVMe namespace, */
							/* or a partition of one */
#define NVME_DMABUF_REASON_FILE_BUSY		50	/* EBUSY: somebody has the file open for writing, */
							/* or, if it is to be written, open at all; */
							/* perhaps the caller by this descriptor */
#define NVME_DMABUF_REASON_FILE_CHANGED		51	/* ESTALE: somebody opened the file, or changed it */
							/* or where its blocks are */
#define NVME_DMABUF_REASON_FILE_HOLE		52	/* ENODATA: a hole, or a part never written */
#define NVME_DMABUF_REASON_FILE_TAIL		53	/* ERANGE: the last block, with something behind the */
							/* end of the file, or of a file to be written */
#define NVME_DMABUF_REASON_FILE_SHARED		54	/* EOPNOTSUPP: blocks shared with another file, as by */
							/* cp --reflink; cp --reflink=never makes a copy */
#define NVME_DMABUF_REASON_FILE_ENCRYPTED	55	/* EOPNOTSUPP: encrypted by the file system */
#define NVME_DMABUF_REASON_FILE_VERITY		56	/* EOPNOTSUPP: fs-verity would not be asked */
#define NVME_DMABUF_REASON_FILE_INLINE		57	/* EOPNOTSUPP: data stands in the inode */
#define NVME_DMABUF_REASON_FILE_DAX		58	/* EOPNOTSUPP: DAX */
#define NVME_DMABUF_REASON_FILE_JOURNALLED	59	/* EOPNOTSUPP: data goes through the journal */
#define NVME_DMABUF_REASON_FILE_REALTIME	60	/* EOPNOTSUPP: on the file system's realtime device */
#define NVME_DMABUF_REASON_FILE_LEASE		61	/* EOPNOTSUPP: no lease to be had: fs.leases-enable */
#define NVME_DMABUF_REASON_FILE_APPEND		62	/* EACCES: append-only, immutable, or opened with */
							/* O_APPEND: must not be overwritten */
#define NVME_DMABUF_REASON_DEFERRED		63	/* ESTALE: attached with NVME_DMABUF_ATTACH_DEFER, */
							/* and not refreshed yet */

/* About the caller's own memory. */
#define NVME_DMABUF_REASON_PAGE_ALIGN		64	/* EINVAL: memory does not begin and end on pages */
#define NVME_DMABUF_REASON_MEMORY_ACCESS	65	/* EFAULT or EOVERFLOW: no memory there, or the */
							/* caller may not read it, or write to it */
#define NVME_DMABUF_REASON_MEMORY_KIND		66	/* EOPNOTSUPP: a file's pages or a device's, and not */
							/* anonymous, shared (tmpfs, memfd) or huge ones */
#define NVME_DMABUF_REASON_MEMLOCK		67	/* ENOMEM: more pinned than RLIMIT_MEMLOCK allows */

/* Features of the module on this kernel, in out_features of struct nvme_dmabuf_info. */
#define NVME_DMABUF_FEATURE_PEER_TO_PEER	(1ULL << 0) /* kernel has PCI_P2PDMA */
#define NVME_DMABUF_FEATURE_MOVABLE		(1ULL << 1) /* maps do not pin dynamic exporters' buffers */
#define NVME_DMABUF_FEATURE_SGL			(1ULL << 2) /* SGLs may be used: see NVME_DMABUF_NS_SGL */
#define NVME_DMABUF_FEATURE_URING		(1ULL << 3) /* kernel has io_uring */
#define NVME_DMABUF_FEATURE_FILE		(1ULL << 4) /* files can be attached to, for reading */
#define NVME_DMABUF_FEATURE_FILE_WRITE		(1ULL << 5) /* and for writing */
#define NVME_DMABUF_FEATURE_EXPORT		(1ULL << 6) /* NVME_DMABUF_IOC_EXPORT */

/**
 * struct nvme_dmabuf_info - NVME_DMABUF_IOC_INFO
 * @size: sizeof(struct nvme_dmabuf_info)
 * @flags: 0
 * @out_version: module version, major << 16 | minor << 8 | patch
 * @out_max_commands: largest @count of NVME_DMABUF_IOC_SUBMIT
 * @out_features: NVME_DMABUF_FEATURE_*
 * @out_max_maps: maps that one context (open file) may hold
 * @out_max_command: bytes that one NVMe command may move at most; the drive
 *	may allow less, see struct nvme_dmabuf_ns_info. A longer command is
 *	split.
 * @out_min_timeout_ms: smallest timeout of a command, in milliseconds
 * @out_max_timeout_ms: largest timeout of a command, in milliseconds
 * @out_max_depth: largest @depth of NVME_DMABUF_IOC_QUEUE
 * @out_max_queues: queues that one context (open file) may hold
 *
 * What this module is and where its limits are.
 *
 * Errors: EFAULT, EINVAL, E2BIG.
 */
struct nvme_dmabuf_info {
	__u32 size;
	__u32 flags;
	__u32 out_version;
	__u32 out_max_commands;
	__aligned_u64 out_features;
	__u32 out_max_maps;
	__u32 out_max_command;
	__u32 out_min_timeout_ms;
	__u32 out_max_timeout_ms;
	__u32 out_max_depth;
	__u32 out_max_queues;
};

/* Properties of a namespace, in out_flags of struct nvme_dmabuf_ns_info. */
#define NVME_DMABUF_NS_PARTITION	(1U << 0) /* LBAs are relative to a partition */
#define NVME_DMABUF_NS_MULTIPATH	(1U << 1) /* multipath device; one path is used */
#define NVME_DMABUF_NS_PI		(1U << 2) /* the kernel shows PI, which the drive inserts and strips; */
						  /* interleaved PI works as well but is not shown */
#define NVME_DMABUF_NS_SGL		(1U << 3) /* contiguous maps use SGLs; the drive checks lengths */
#define NVME_DMABUF_NS_IOMMU		(1U << 4) /* the controller's DMA is translated by an IOMMU */
#define NVME_DMABUF_NS_READ_ONLY	(1U << 5) /* the block device is read-only */
#define NVME_DMABUF_NS_POLL		(1U << 6) /* the controller has polled queues (nvme.poll_queues) */
#define NVME_DMABUF_NS_ZONED		(1U << 7) /* a zoned namespace, which can only be read */
#define NVME_DMABUF_NS_FILE		(1U << 8) /* a file, of which blocks are counted from the start */

/**
 * struct nvme_dmabuf_ns_info - NVME_DMABUF_IOC_NS_INFO
 * @size: sizeof(struct nvme_dmabuf_ns_info)
 * @flags: 0
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of a regular
 *	file on XFS or ext4
 * @out_reason: NVME_DMABUF_REASON_NONE if this namespace or file can be attached to,
 *	else why not; written on failure too
 * @out_capacity: logical blocks of the namespace, of the partition, or of the file, the last
 *	of which may be one in part
 * @out_start: first logical block of the partition on the namespace, else 0; of a file,
 *	that of the partition that the file system is on
 * @out_block_size: bytes of a logical block, without metadata
 * @out_nsid: namespace identifier on the path that is used
 * @out_max_command: bytes that one NVMe command may move. The module finds it
 *	with test reads of the namespace when a controller is
 *	first used, which may add entries to the drive's Error Information log;
 *	it is never more than the drive allows (MDTS), and not bound by the
 *	block layer's smaller limit under a translating IOMMU.
 * @out_flags: NVME_DMABUF_NS_*
 * @out_pci_domain: PCI domain (segment) of the controller that is used
 * @out_pci_bdf: bus << 8 | device << 3 | function of the controller
 *
 * Asks whether, and how, a namespace can be used. Succeeds with a reason other
 * than NONE for any block device that cannot be used; the other out_* members
 * are then zero where the module could not find them out. @out_capacity and
 * @out_block_size are what the kernel says of any block device that is there.
 * A file is asked about as for attaching: for a moment the module holds its leases.
 *
 * Errors: EFAULT, EINVAL, E2BIG; EBADF if @ns_fd is neither; ENOMEM, EINTR.
 */
struct nvme_dmabuf_ns_info {
	__u32 size;
	__u32 flags;
	__s32 ns_fd;
	__u32 out_reason;
	__aligned_u64 out_capacity;
	__aligned_u64 out_start;
	__u32 out_block_size;
	__u32 out_nsid;
	__u32 out_max_command;
	__u32 out_flags;
	__u32 out_pci_domain;
	__u32 out_pci_bdf;
};

/* Directions, in access of struct nvme_dmabuf_attach and struct nvme_dmabuf_export. */
#define NVME_DMABUF_ACCESS_READ		(1U << 0) /* NVMe Read: the drive writes the dma-buf */
#define NVME_DMABUF_ACCESS_WRITE	(1U << 1) /* NVMe Write and Flush: the drive reads it */

/* flags of struct nvme_dmabuf_attach */
#define NVME_DMABUF_ATTACH_REQUIRE_P2P	(1U << 0) /* refuse what is not a peer's memory, */
						  /* at attach and at each refresh */
#define NVME_DMABUF_ATTACH_AUTO_REFRESH	(1U << 1) /* refresh before a command, if the */
						  /* exporter revoked the mapping */
#define NVME_DMABUF_ATTACH_DEFER	(1U << 2) /* the map is REVOKED until it is refreshed; */
						  /* as of a file to be written: see below */

/**
 * struct nvme_dmabuf_attach - NVME_DMABUF_IOC_ATTACH
 * @size: sizeof(struct nvme_dmabuf_attach)
 * @flags: NVME_DMABUF_ATTACH_*
 * @dmabuf_fd: the dma-buf. Must be open for writing if @access has READ, and
 *	for reading if it has WRITE.
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of a regular
 *	file. Must be open for reading if @access has READ, and for writing if it has
 *	WRITE: this file is what gives access to the storage. For a regular file see
 *	below.
 * @access: NVME_DMABUF_ACCESS_*, one or both. The DMA mapping gets exactly
 *	this direction, which an IOMMU then enforces.
 * @reserved: 0
 * @offset: first byte of the range in the dma-buf, a multiple of 4
 * @length: bytes of the range, not 0
 * @out_map: number of the new map, unique in this context and not 0; valid
 *	until detach or last close
 * @out_reason: NVME_DMABUF_REASON_*, written on failure too
 *
 * Maps a range of a dma-buf for DMA by the namespace's controller and builds
 * its address lists. The map keeps both files open, so the caller may close
 * its own descriptors. Before it returns, the module waits for the buffer's
 * kernel fences (a move in progress), and tests with a few reads into memory of
 * its own that the drive moves exactly as many bytes as computed. It writes back what the
 * block device's page cache holds; see nvme-dmabuf(7) for what is coherent with it.
 *
 * The exporter may take the buffer back at any time, where the kernel has
 * NVME_DMABUF_FEATURE_MOVABLE: commands that the drive has end well, those that the nvme
 * driver keeps from the drive for longer than a second, as during a controller reset, and
 * later ones are refused with ESTALE until the map is refreshed, and there is an event (struct
 * nvme_dmabuf_events). With NVME_DMABUF_ATTACH_AUTO_REFRESH the module refreshes
 * the map itself before it issues a command, as NVME_DMABUF_IOC_REFRESH does but
 * for the format; only if that fails is the command refused. Any signal ends
 * its wait for the buffer's fences, and so does stopping or freezing the thread:
 * the command is refused with EINTR, and may be submitted again.
 *
 * Files. Of a regular file on XFS or ext4, on a namespace or a partition of one, blocks (slba)
 * are counted from its start. The caller needs no access to the block device. While a map
 * takes commands the module holds leases of the file. Which ones is said by @ns_fd, not by
 * @access. If it is open for reading only, nobody has the file open for writing. If it is open
 * for writing, nobody has the file open at all but through maps of this module that were
 * attached in the same way, by the same mount. Otherwise attach and refresh fail with EBUSY;
 * only maps that were attached in another way give the file back, as below.
 *
 * Who then opens the file (for writing, if it is only read), truncates it, changes its
 * attributes or its name, or would move its blocks waits until commands in flight have ended,
 * and goes on; the maps are then revoked, with NVME_DMABUF_REASON_FILE_CHANGED and an event. A
 * refresh, also by NVME_DMABUF_ATTACH_AUTO_REFRESH, takes the leases again and finds out anew
 * where the blocks are and how long the file is.
 *
 * A descriptor that is open for writing is itself in the way of the leases. So such a file is
 * attached with NVME_DMABUF_ATTACH_DEFER; then the descriptor, and all that are like it, are
 * closed; and then the map is refreshed.
 *
 * A command that touches a hole, or what was allocated and never written, is refused with
 * ENODATA: what is there on the drive is somebody else's. The size of a file does not change,
 * and a last block that is one in part cannot be written. Commands to a file system that is
 * frozen wait until it is thawed, if they write.
 *
 * Errors: EFAULT, EINVAL, E2BIG, EOVERFLOW, ERANGE, EBADF, EACCES, EBUSY, ETXTBSY, EOPNOTSUPP,
 * ESTALE, ENODEV, ENOSPC, ENOMEM, ENFILE, EINTR, EIO, or what the exporter says (with
 * NVME_DMABUF_REASON_EXPORTER or _EXPORTER_REVOKED) or a security module (with
 * NVME_DMABUF_REASON_SECURITY).
 */
struct nvme_dmabuf_attach {
	__u32 size;
	__u32 flags;
	__s32 dmabuf_fd;
	__s32 ns_fd;
	__u32 access;
	__u32 reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 out_map;
	__u32 out_reason;
};

/**
 * struct nvme_dmabuf_export - NVME_DMABUF_IOC_EXPORT
 * @size: sizeof(struct nvme_dmabuf_export)
 * @flags: 0
 * @addr: first byte of the caller's memory, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0
 * @access: NVME_DMABUF_ACCESS_*, one or both: what the memory is for. Decides how the dma-buf
 *	is open: for reading and writing, or for one of them.
 * @reserved: 0
 * @out_dmabuf_fd: the dma-buf, a new file that is closed on exec, or -1
 * @out_reason: NVME_DMABUF_REASON_*, written on failure too
 *
 * Makes a dma-buf of memory that the caller has already: anonymous memory, memory shared by
 * tmpfs, memfd or System V, and huge pages; private or shared. It is attached, and addressed,
 * as every other dma-buf, and other drivers can import it; whoever imports it, DMA has only
 * the directions of @access. Memory that the caller may not write to must be shared, and can
 * only be the source of NVMe Writes.
 *
 * The module pins the pages until the last descriptor of the dma-buf is closed and the last
 * map of it is detached, and charges them to the caller's user, as io_uring charges its
 * registered buffers and to the same account, which RLIMIT_MEMLOCK limits unless the caller has
 * CAP_IPC_LOCK. Of a huge page all is charged. The dma-buf refers to these pages, whatever
 * becomes of the address range:
 *
 *  fork        copies private pages for the child, at once. Shared pages remain the same for
 *              both
 *  munmap      the dma-buf keeps the pages; so it does after exec, and when the caller ends
 *  mremap      moves the same pages: the data appears at the new address
 *  MADV_DONTNEED of private memory; MADV_REMOVE, ftruncate or a punched hole of shared
 *  memory; MAP_FIXED
 *              the process sees other pages from then on, and no data that is read later
 *
 * Errors: EFAULT, EINVAL, E2BIG, EOVERFLOW, EOPNOTSUPP, ENOMEM, EMFILE, ENFILE, EINTR if a
 * signal kills the caller.
 */
struct nvme_dmabuf_export {
	__u32 size;
	__u32 flags;
	__aligned_u64 addr;
	__aligned_u64 length;
	__u32 access;
	__u32 reserved;
	__s32 out_dmabuf_fd;
	__u32 out_reason;
};

/**
 * struct nvme_dmabuf_detach - NVME_DMABUF_IOC_DETACH
 * @size: sizeof(struct nvme_dmabuf_detach)
 * @flags: 0
 * @map: the map to remove
 * @reserved: 0
 *
 * Removes a map. New commands fail with ENOENT at once; the call waits until
 * the drive has finished those in flight, then unmaps. Commands that the nvme driver keeps
 * from the drive for longer than a second fail with ENOENT as well.
 *
 * Errors: EFAULT, EINVAL, E2BIG, ENOENT.
 */
struct nvme_dmabuf_detach {
	__u32 size;
	__u32 flags;
	__u32 map;
	__u32 reserved;
};

/**
 * struct nvme_dmabuf_refresh - NVME_DMABUF_IOC_REFRESH
 * @size: sizeof(struct nvme_dmabuf_refresh)
 * @flags: 0
 * @map: the map to make usable again
 * @out_reason: NVME_DMABUF_REASON_*, written on failure too
 * @out_generation: counts the mappings by which this map took commands, from 1
 * @out_block_size: bytes of a logical block, by which the map's commands are measured now
 * @out_reserved: 0
 *
 * After the exporter took the buffer back, maps it again, wherever it is now:
 * waits for the buffer's kernel fences, builds the lists anew and counts the
 * generation up. After the namespace was formatted, takes over its new block
 * size: offsets and lengths are then measured by that. Nothing changes for a map
 * that is usable as it is, but for test reads of the namespace. The map's number
 * stays the same. The first version of the structure ended with @out_generation.
 *
 * A call that failed may be repeated. A map that took no commands takes none after
 * a failure; one that was usable, but for its format, may take none.
 *
 * Errors: EFAULT, EINVAL, E2BIG, ENOENT, ESTALE, ENODEV, EACCES, EBUSY, EOPNOTSUPP, ETXTBSY,
 * EIO, ENOMEM, ENFILE, EINTR, or what the exporter says (with NVME_DMABUF_REASON_EXPORTER or
 * _EXPORTER_REVOKED).
 */
struct nvme_dmabuf_refresh {
	__u32 size;
	__u32 flags;
	__u32 map;
	__u32 out_reason;
	__aligned_u64 out_generation;
	__u32 out_block_size;
	__u32 out_reserved;
};

/* out_state of struct nvme_dmabuf_map_info, state of struct nvme_dmabuf_event */
#define NVME_DMABUF_STATE_LIVE	0	/* takes commands, unless its namespace was formatted */
#define NVME_DMABUF_STATE_REVOKED	1	/* the exporter took the buffer back, or */
						/* somebody the file: ESTALE */
#define NVME_DMABUF_STATE_GONE	2	/* the controller or the namespace is gone: ENODEV */

/**
 * struct nvme_dmabuf_event - what happened to a map
 * @map: its number
 * @state: NVME_DMABUF_STATE_*, when the event was read; LIVE if it was refreshed
 *	in the meantime
 * @generation: counts the mappings by which this map took commands
 */
struct nvme_dmabuf_event {
	__u32 map;
	__u32 state;
	__aligned_u64 generation;
};

/**
 * struct nvme_dmabuf_events - NVME_DMABUF_IOC_EVENTS
 * @size: sizeof(struct nvme_dmabuf_events)
 * @flags: 0
 * @events: address of an array of struct nvme_dmabuf_event to fill
 * @count: how many it has room for, not 0
 * @out_count: events that were written, perhaps 0
 *
 * Reads events: that a map stopped taking commands because its exporter took the
 * buffer back, or its controller or its namespace went. poll() tells with POLLPRI that there are
 * some. A map has one event at most, which stays until it is read here or the map
 * is detached. What was written to @events has been read, even if the call then
 * fails because this structure cannot be written. Never waits.
 *
 * Errors: EFAULT, EINVAL, E2BIG.
 */
struct nvme_dmabuf_events {
	__u32 size;
	__u32 flags;
	__aligned_u64 events;
	__u32 count;
	__u32 out_count;
};

/* out_flags of struct nvme_dmabuf_map_info */
#define NVME_DMABUF_MAP_CONTIGUOUS	(1U << 0) /* one DMA-contiguous segment */
#define NVME_DMABUF_MAP_SGL		(1U << 1) /* commands carry an SGL descriptor, not PRPs */
#define NVME_DMABUF_MAP_DYNAMIC		(1U << 2) /* the exporter may ask for the buffer back */
#define NVME_DMABUF_MAP_PINNED		(1U << 3) /* it could, but this kernel pins it instead */
#define NVME_DMABUF_MAP_AUTO_REFRESH	(1U << 4) /* NVME_DMABUF_ATTACH_AUTO_REFRESH */
#define NVME_DMABUF_MAP_REQUIRE_P2P	(1U << 5) /* NVME_DMABUF_ATTACH_REQUIRE_P2P */
#define NVME_DMABUF_MAP_FILE		(1U << 6) /* of a file, by a delegation for reading */
#define NVME_DMABUF_MAP_LAYOUT		(1U << 7) /* and by a layout lease, as on XFS */
#define NVME_DMABUF_MAP_EXCLUSIVE	(1U << 8) /* and by a write lease: nobody else has it open */

/**
 * struct nvme_dmabuf_map_info - NVME_DMABUF_IOC_MAP_INFO
 * @size: sizeof(struct nvme_dmabuf_map_info)
 * @flags: 0
 * @map: the map to describe
 * @out_state: NVME_DMABUF_STATE_LIVE, _REVOKED or _GONE
 * @out_offset: first byte of the range in the dma-buf
 * @out_length: bytes of the range
 * @out_segments: DMA-contiguous segments that the range consists of
 * @out_list_bytes: memory that holds the PRP lists, which all maps of the same range,
 *	direction and controller share
 * @out_generation: counts the mappings by which this map took commands, from 1
 * @out_access: NVME_DMABUF_ACCESS_*
 * @out_flags: NVME_DMABUF_MAP_CONTIGUOUS, _SGL, _DYNAMIC, _PINNED,
 *	_AUTO_REFRESH, _REQUIRE_P2P, _FILE, _LAYOUT, _EXCLUSIVE
 * @out_block_size: bytes of a logical block at attach, or when last refreshed
 * @out_max_command: bytes that one NVMe command of this map may move
 * @out_nsid: namespace identifier
 * @out_pci_domain: PCI domain (segment) of the controller
 * @out_pci_bdf: bus << 8 | device << 3 | function of the controller
 * @out_reserved: 0
 * @out_extents: pieces of a file that lie together on the namespace, holes not counted; 0 if
 *	this is no file
 * @out_blocks: logical blocks of a file, from its start, that commands may address, holes
 *	included; 0 if this is no file
 * @out_file_bytes: size of the file when the map last began to take commands; 0 if this is no
 *	file
 *
 * Errors: EFAULT, EINVAL, E2BIG, ENOENT.
 */
struct nvme_dmabuf_map_info {
	__u32 size;
	__u32 flags;
	__u32 map;
	__u32 out_state;
	__aligned_u64 out_offset;
	__aligned_u64 out_length;
	__aligned_u64 out_segments;
	__aligned_u64 out_list_bytes;
	__aligned_u64 out_generation;
	__u32 out_access;
	__u32 out_flags;
	__u32 out_block_size;
	__u32 out_max_command;
	__u32 out_nsid;
	__u32 out_pci_domain;
	__u32 out_pci_bdf;
	__u32 out_reserved;
	__aligned_u64 out_extents;
	__aligned_u64 out_blocks;
	__aligned_u64 out_file_bytes;
};

/* kind of struct nvme_dmabuf_placement_run */
#define NVME_DMABUF_PLACEMENT_UNKNOWN	0	/* neither of these */
#define NVME_DMABUF_PLACEMENT_RAM	1	/* memory of this host */
#define NVME_DMABUF_PLACEMENT_PCI	2	/* a PCI device's BAR: peer-to-peer */

/**
 * struct nvme_dmabuf_placement_run - where a part of a map really is
 * @offset: first byte of the run, from the start of the map
 * @length: bytes of the run
 * @kind: NVME_DMABUF_PLACEMENT_*
 * @pci_domain: PCI domain (segment) of the peer, if @kind is PCI
 * @pci_bdf: bus << 8 | device << 3 | function of the peer, if @kind is PCI
 * @bar: number of the peer's BAR, if @kind is PCI
 * @distance: P2P distance between drive and peer as of the kernel (bridges to
 *	cross; smaller is better), if @kind is PCI; -1 if the kernel cannot say
 * @reserved: 0
 */
struct nvme_dmabuf_placement_run {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 kind;
	__u32 pci_domain;
	__u32 pci_bdf;
	__u32 bar;
	__s32 distance;
	__u32 reserved;
};

/* Runs that one NVME_DMABUF_IOC_PLACEMENT writes at most. */
#define NVME_DMABUF_PLACEMENT_MAX_RUNS	65536U

/**
 * struct nvme_dmabuf_placement - NVME_DMABUF_IOC_PLACEMENT
 * @size: sizeof(struct nvme_dmabuf_placement)
 * @flags: 0
 * @map: the map to look at
 * @count: how many runs @runs has room for; may be 0
 * @runs: address of an array of struct nvme_dmabuf_placement_run to fill
 * @out_count: runs that the map has, which may be more than @count; the first
 *	@count of them were written, but never more than
 *	NVME_DMABUF_PLACEMENT_MAX_RUNS
 * @out_reserved: 0
 *
 * Tells where a map's memory is: found by the kernel from the addresses that
 * the drive will use, through the IOMMU's translation where there is one, and
 * not believed from the exporter. A run is as long as its kind and its device
 * stay the same.
 *
 * Errors: EFAULT, EINVAL, E2BIG, ENOENT, ESTALE, ENODEV, ENOMEM, EINTR.
 */
struct nvme_dmabuf_placement {
	__u32 size;
	__u32 flags;
	__u32 map;
	__u32 count;
	__aligned_u64 runs;
	__u32 out_count;
	__u32 out_reserved;
};

/**
 * struct nvme_dmabuf_peer_info - NVME_DMABUF_IOC_PEER_INFO
 * @size: sizeof(struct nvme_dmabuf_peer_info)
 * @flags: 0
 * @ns_fd: open file of a block device, a namespace or a partition of one, or of a regular
 *	file on one
 * @pci_domain: PCI domain (segment) of the peer
 * @pci_bdf: bus << 8 | device << 3 | function of the peer
 * @out_reason: NVME_DMABUF_REASON_NONE if the kernel allows the namespace's
 *	controller to reach the peer's memory; else why not: _NO_P2PDMA,
 *	_PEER_HOST_BRIDGE, _PEER_ACS, _NO_SUCH_PEER, or a reason of
 *	NVME_DMABUF_IOC_NS_INFO
 * @out_distance: P2P distance as of the kernel (bridges to cross; smaller is
 *	better), or -1
 * @out_flags: 0
 *
 * Asks whether peer-to-peer DMA is possible between a namespace's controller
 * and another PCI device. Succeeds where the answer is no. A domain above
 * 0x7fffffff or a @pci_bdf above 0xffff is malformed. Whether the device
 * has memory to share, and an exporter for it, is another question.
 *
 * Errors: EFAULT, EINVAL, E2BIG; EBADF if @ns_fd is neither; ENOMEM, EINTR.
 */
struct nvme_dmabuf_peer_info {
	__u32 size;
	__u32 flags;
	__s32 ns_fd;
	__u32 pci_domain;
	__u32 pci_bdf;
	__u32 out_reason;
	__s32 out_distance;
	__u32 out_flags;
};

/* opcode of struct nvme_dmabuf_command: the NVM Command Set's own numbers */
#define NVME_DMABUF_OP_FLUSH	0x00
#define NVME_DMABUF_OP_WRITE	0x01
#define NVME_DMABUF_OP_READ	0x02

/* flags of struct nvme_dmabuf_command */
#define NVME_DMABUF_CMD_FUA		(1U << 0) /* Force Unit Access */
#define NVME_DMABUF_CMD_LIMITED_RETRY	(1U << 1) /* Limited Retry */

/**
 * struct nvme_dmabuf_command - a Read, Write or Flush
 * @user_data: returned in the completion; not looked at
 * @slba: first logical block, relative to the block device or the file that was attached
 *	(a partition's and a file's blocks are counted from its start)
 * @offset: first byte of the data, from the start of the map, a multiple of 4
 * @length: bytes of data, a multiple of the block size, not 0; may exceed
 *	out_max_command: the module then splits the command into several NVMe
 *	commands, which the drive may execute in any order, and completes it
 *	once
 * @map: the map that holds the data and names the namespace
 * @opcode: NVME_DMABUF_OP_*
 * @reserved: 0
 * @flags: NVME_DMABUF_CMD_*
 * @timeout_ms: milliseconds that the drive has for each NVMe command before
 *	the nvme driver aborts it, and in the end resets the controller. 0 is
 *	the driver's default (nvme_core.io_timeout), which a longer time does
 *	not exceed: others wait for the drive as well. A shorter time needs
 *	CAP_SYS_ADMIN (EPERM), because an abort or a reset is felt by all who
 *	use the controller.
 * @reserved1: 0
 * @reserved2: 0
 *
 * Flush takes neither @slba, @offset, @length nor flags, and needs a map with
 * NVME_DMABUF_ACCESS_WRITE. Reads and writes of one array may be executed in
 * any order.
 *
 * There is no way to give PRPs, SGLs, metadata pointers or a number of blocks:
 * the module computes them from the namespace's format.
 */
struct nvme_dmabuf_command {
	__aligned_u64 user_data;
	__aligned_u64 slba;
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 map;
	__u8  opcode;
	__u8  reserved;
	__u16 flags;
	__u32 timeout_ms;
	__u32 reserved1;
	__aligned_u64 reserved2[2];
};

/**
 * struct nvme_dmabuf_completion - what became of a command
 * @user_data: the command's
 * @result: dwords 0 and 1 of the completion queue entry; of a split command, of
 *	one of its NVMe commands
 * @bytes: bytes from the start of the command's data that were transferred
 *	without error; the command's length if all went well. What lies behind
 *	may or may not have been transferred.
 * @error: 0 if the drive completed the command, whatever its @status; else a
 *	negative error number, and the command did not reach the drive or its
 *	outcome is unknown. A command that the nvme driver gave up, after a timeout
 *	or in a reset, has EIO and NVME_DMABUF_REASON_CANCELLED wherever that caught
 *	it; only its @status differs.
 * @status: the drive's status, or what the nvme driver put in its place if
 *	@error is not 0, as in bits 15:1 of the completion queue
 *	entry's status field shifted down by one: status code in bits 7:0,
 *	status code type in 10:8, Do Not Retry in 14; 0 is success. Of a split
 *	command, that of the first part in order of blocks which failed.
 * @reason: NVME_DMABUF_REASON_* if @error is not 0
 *
 * A command succeeded if @error and @status are both 0.
 */
struct nvme_dmabuf_completion {
	__aligned_u64 user_data;
	__aligned_u64 result;
	__aligned_u64 bytes;
	__s32 error;
	__u16 status;
	__u16 reason;
};

/* flags of struct nvme_dmabuf_submit */
#define NVME_DMABUF_SUBMIT_IMPLICIT_SYNC (1U << 0) /* wait for the buffers' fences first */
#define NVME_DMABUF_SUBMIT_IN_FENCE	 (1U << 1) /* wait for in_fence_fd first */
#define NVME_DMABUF_SUBMIT_OUT_FENCE	 (1U << 2) /* do not wait; return a fence */

/**
 * struct nvme_dmabuf_submit - NVME_DMABUF_IOC_SUBMIT
 * @size: sizeof(struct nvme_dmabuf_submit)
 * @flags: NVME_DMABUF_SUBMIT_*
 * @commands: address of @count struct nvme_dmabuf_command
 * @completions: address of @count struct nvme_dmabuf_completion; entry n is
 *	written for command n. The arrays must not overlap. 0 with
 *	NVME_DMABUF_SUBMIT_OUT_FENCE.
 * @count: number of commands, 1 to out_max_commands
 * @out_completed: completions that were written
 * @in_fence_fd: with NVME_DMABUF_SUBMIT_IN_FENCE, a sync_file that must have
 *	signalled before the first command is issued; else 0. If it signals an
 *	error nothing is issued: ECANCELED.
 * @out_fence_fd: with NVME_DMABUF_SUBMIT_OUT_FENCE, a new sync_file, which is
 *	the caller's to close (O_CLOEXEC); else -1
 *
 * Submits an array of commands and waits for all of them. Each command is
 * checked and executed on its own: one that is refused does not stop the
 * others, and its completion says why. The call succeeds if every completion
 * was written, so each must be looked at.
 *
 * A fatal signal ends the wait; the commands go on, and their map and the
 * memory they use stay until the drive has finished with them.
 *
 * With NVME_DMABUF_SUBMIT_IMPLICIT_SYNC the call first waits for the fences of
 * each command's dma-buf: those of writers before the drive reads the buffer
 * (Write), and those of readers as well before the drive writes it (Read). It
 * adds no fence to the dma-buf. A signal ends this wait, and that for
 * @in_fence_fd: nothing is issued before both are over.
 *
 * With NVME_DMABUF_SUBMIT_OUT_FENCE the call returns when all commands are
 * issued, with a sync_file that signals when they are complete. It carries an
 * error if one failed: a completion's error, or EIO for an NVMe status; what
 * became of each command is not told. It depends on nothing in user space and on no
 * memory being allocated. It signals at the latest after the nvme driver's timeouts:
 * the driver ends what the drive has, and the module what the driver keeps from the
 * drive for that long, as during a controller reset that does not end.
 *
 * Errors: EFAULT (before the first command is issued if @commands cannot be
 * read; after the last one ended, or was issued, if something cannot be
 * written), EINVAL, E2BIG, EBADF if @in_fence_fd is no sync_file, ECANCELED,
 * ENOSPC if @count is above the limit, ENOMEM, EINTR, EMFILE if the process may
 * not open another file.
 */
struct nvme_dmabuf_submit {
	__u32 size;
	__u32 flags;
	__aligned_u64 commands;
	__aligned_u64 completions;
	__u32 count;
	__u32 out_completed;
	__s32 in_fence_fd;
	__s32 out_fence_fd;
};

/* flags of struct nvme_dmabuf_queue */
#define NVME_DMABUF_QUEUE_POLLED	(1U << 0) /* poll for completions, without interrupts */
#define NVME_DMABUF_QUEUE_EVENTFD	(1U << 1) /* count completions in event_fd */

/**
 * struct nvme_dmabuf_ring - the completions of a queue, shared by mmap()
 * @head: counts the completions that the caller has read; written by the caller
 *	alone
 * @reserved: 0
 * @tail: counts the completions that the module has written; written by the module
 *	alone, and never read back
 * @entries: completions that there is room for, a power of 2
 * @reserved1: 0
 *
 * The completions follow it: number n is entry n % @entries of
 * NVME_DMABUF_RING_COMPLETIONS().
 *
 * Both counters start at 0 and wrap around at 2^32. To read: load @tail with acquire
 * semantics; while @head is not @tail, read entry @head % @entries and count @head
 * up; then store @head with release semantics, which gives the entries back.
 *
 * The module believes @head for one thing: how many entries are free. With a wrong
 * one a queue has no room, or overwrites completions that were not read; nobody
 * else's memory or commands are affected.
 */
struct nvme_dmabuf_ring {
	__u32 head;
	__u32 reserved[15];
	__u32 tail;
	__u32 entries;
	__aligned_u64 reserved1[7];
};

/* The completions of a ring, given its address. */
#define NVME_DMABUF_RING_COMPLETIONS(ring) \
	((struct nvme_dmabuf_completion *)((struct nvme_dmabuf_ring *)(ring) + 1))

/**
 * struct nvme_dmabuf_queue - NVME_DMABUF_IOC_QUEUE
 * @size: sizeof(struct nvme_dmabuf_queue)
 * @flags: NVME_DMABUF_QUEUE_*
 * @depth: commands that may be in flight, 1 to out_max_depth
 * @event_fd: with NVME_DMABUF_QUEUE_EVENTFD, an eventfd, to which 1 is added for
 *	each completion; else 0
 * @out_queue_fd: the new queue, the caller's to close (O_CLOEXEC)
 * @out_ring_entries: completions that its ring holds: a power of 2, at least
 *	twice @depth
 * @out_ring_bytes: what to mmap() of @out_queue_fd, at offset 0, shared, for reading
 *	and writing, to get its struct nvme_dmabuf_ring
 *
 * Makes a queue, by which commands are submitted without waiting for them:
 * see struct nvme_dmabuf_enter. Commands on it use the maps of the context it was
 * made of, which it keeps open. Its memory is allocated here; no command allocates
 * any. A fence is allocated by the call that gives it.
 *
 * poll() on @out_queue_fd tells with POLLIN that the ring holds completions.
 *
 * With NVME_DMABUF_QUEUE_POLLED commands go to the drive's polled queues, where it
 * has some (NVME_DMABUF_NS_POLL; others complete by interrupts as ever). Their
 * completions come only while somebody looks for them: NVME_DMABUF_IOC_ENTER with
 * @min_complete, or poll(), which looks once and does not wait for them. Hence
 * there can be no eventfd: EINVAL.
 *
 * The last close (of descriptors and mappings) waits for commands in flight.
 *
 * Errors: EFAULT, EINVAL, E2BIG, EBADF if @event_fd is no eventfd, ENOSPC if @depth
 * is above the limit or the context has too many queues, ENOMEM, EMFILE.
 */
struct nvme_dmabuf_queue {
	__u32 size;
	__u32 flags;
	__u32 depth;
	__s32 event_fd;
	__s32 out_queue_fd;
	__u32 out_ring_entries;
	__aligned_u64 out_ring_bytes;
};

/* flags of struct nvme_dmabuf_enter */
#define NVME_DMABUF_ENTER_NOWAIT	(1U << 0) /* submit only what there is room for */
#define NVME_DMABUF_ENTER_IN_FENCE	(1U << 1) /* wait for in_fence_fd first */
#define NVME_DMABUF_ENTER_OUT_FENCE	(1U << 2) /* give a fence as well */

/* Size of the first version, which ended with out_completed. */
#define NVME_DMABUF_ENTER_SIZE_VER0	40

/**
 * struct nvme_dmabuf_enter - NVME_DMABUF_IOC_ENTER, on a queue
 * @size: sizeof(struct nvme_dmabuf_enter); or NVME_DMABUF_ENTER_SIZE_VER0, which is the
 *	faster one for calls without fences
 * @flags: NVME_DMABUF_ENTER_*
 * @commands: address of @count struct nvme_dmabuf_command
 * @count: commands to submit, perhaps 0
 * @min_complete: then wait until the ring holds so many completions, or all that
 *	can come if they are fewer; perhaps 0
 * @timeout_ns: nanoseconds to wait at most in this call, or 0 for no limit
 * @out_submitted: commands that were submitted, from the start of @commands
 * @out_completed: completions that the ring holds
 * @in_fence_fd: with NVME_DMABUF_ENTER_IN_FENCE, a sync_file that must have signalled before
 *	the first command is submitted; else 0. If it signals an error nothing is submitted:
 *	ECANCELED.
 * @out_fence_fd: with NVME_DMABUF_ENTER_OUT_FENCE, a new sync_file, which is the caller's to
 *	close (O_CLOEXEC); else, and after a failure, -1
 *
 * Submits commands, and looks for completions. Each command submitted has one
 * completion in the ring in the end, in no particular order; one that is refused has
 * its at once. There is no way to cancel a command; its @timeout_ms bounds it.
 *
 * A command is submitted only if fewer than @depth are in flight, its completion
 * has room in the ring, beside those in flight and those not read, and the nvme driver
 * has a request for it. The call waits for that, if nothing could be submitted yet also
 * for another thread to read completions; with NVME_DMABUF_ENTER_NOWAIT it does not
 * wait, but looks for completions of a polled queue before it fails. What is rare is
 * waited for nevertheless, and beyond the timeout: the refresh of a map with
 * NVME_DMABUF_ATTACH_AUTO_REFRESH, test reads after the namespace may have been
 * formatted, and, for a command longer than out_max_command, requests for all of it
 * but its first part.
 *
 * The call succeeds if it submitted a command or if there was none to submit, and
 * says how many: the wait for completions may have been cut short by the timeout or a
 * signal, which @out_completed shows. It fails with EAGAIN if the first command could
 * not be submitted without waiting or before the timeout, and with EINTR if a signal
 * arrived before it could be. After any failure nothing was submitted.
 *
 * With NVME_DMABUF_ENTER_IN_FENCE the call first waits for @in_fence_fd. The timeout (EAGAIN) or
 * a signal (EINTR) ends this wait. With NVME_DMABUF_ENTER_NOWAIT the call does not wait: it fails
 * with EAGAIN if the sync_file has not signalled. While one call waits, others can submit to the
 * queue.
 *
 * With NVME_DMABUF_ENTER_OUT_FENCE the call also returns a sync_file, which signals when the
 * commands that this call submitted are complete, even if they are fewer than @count. Their
 * completions are in the ring before it signals. It carries an error if a command failed: its
 * completion's error, or EIO for an NVMe status. It depends on nothing in user space and on no
 * memory being allocated, and signals at the latest when a fence of NVME_DMABUF_IOC_SUBMIT would,
 * also if the queue was closed or the process killed. Completions of a polled queue come only
 * while somebody looks for them, so that such a queue gives no fences: EINVAL.
 *
 * Fences are for calls that submit: with either flag a @count of 0 is EINVAL, and so is a
 * structure that has no place for both members.
 *
 * Errors: EFAULT if the first command or this structure cannot be read, or this
 * structure cannot be written (only then commands may have been submitted, and there is no
 * fence), EINVAL, E2BIG, EAGAIN, EINTR; with fences also EBADF if @in_fence_fd is no sync_file,
 * ECANCELED, ENOMEM, and EMFILE if the process may not open another file.
 */
struct nvme_dmabuf_enter {
	__u32 size;
	__u32 flags;
	__aligned_u64 commands;
	__u32 count;
	__u32 min_complete;
	__aligned_u64 timeout_ns;
	__u32 out_submitted;
	__u32 out_completed;
	__s32 in_fence_fd;
	__s32 out_fence_fd;
};

/*
 * io_uring. IORING_OP_URING_CMD on /dev/nvme-dmabuf with cmd_op NVME_DMABUF_URING_CMD
 * submits one command: a struct nvme_dmabuf_command in the cmd area of the submission
 * queue entry, so the ring must have IORING_SETUP_SQE128. Its user_data is not looked at;
 * the completion carries the entry's own. With IORING_SETUP_IOPOLL commands go to the
 * drive's polled queues, where it has some.
 *
 * res of the completion queue entry is 0 if the command succeeded, a negative error
 * number as in error of struct nvme_dmabuf_completion, or its NVMe status. A ring with
 * IORING_SETUP_CQE32 also gets, in big_cqe[0], the bytes and the reason of struct
 * nvme_dmabuf_completion. Besides, res is -ENOTTY for another cmd_op, -EINVAL without
 * IORING_SETUP_SQE128 or with flags in the entry's uring_cmd_flags, and -ENOMEM.
 *
 * A command that would have to wait to be submitted is handed to a worker by io_uring.
 * Commands in flight are not cancelled: a ring that is closed waits for them.
 */
#define NVME_DMABUF_CQE_BYTES(big)	((big) & 0xffffffffffffULL)
#define NVME_DMABUF_CQE_REASON(big)	((__u16)((big) >> 48))

#endif /* _NVME_DMABUF_H */
