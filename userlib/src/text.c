// SPDX-License-Identifier: MIT
/*
 * Numbers in words: the module's reasons, and the drive's status. One table
 * entry for each NVME_DMABUF_REASON_* of the binary interface.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <libnvme.h>
#include <nvmedmabuf.h>

#include "library.h"

#define NVME_FUNCTIONS(f) f(nvme_status_to_string)

LIBRARY(nvme, "libnvme.so.1", NVME_FUNCTIONS);

struct reason {
	const char *name;
	const char *text;
};

#define REASON(id, name, text)	[NVME_DMABUF_REASON_##id] = { name, text }

static const struct reason reasons[] = {
	REASON(NONE, "none",
	       "Nothing was refused."),
	REASON(NOT_BLOCK_DEVICE, "not-block-device",
	       "What was given as the namespace is neither a block device nor a regular file. Open the namespace's block device, such as /dev/nvme0n1, or a file on XFS or ext4."),
	REASON(NOT_DMABUF, "not-dmabuf",
	       "The file given as the buffer is no dma-buf. Export the memory as a dma-buf and pass that descriptor."),
	REASON(NS_NOT_READABLE, "ns-not-readable",
	       "The namespace is not open for reading, which a map for reads needs. Open it with O_RDONLY or O_RDWR."),
	REASON(NS_NOT_WRITABLE, "ns-not-writable",
	       "The namespace is not open for writing, or is read-only. Open it with O_RDWR, and see whether it is write-protected."),
	REASON(DMABUF_NOT_WRITABLE, "dmabuf-not-writable",
	       "The dma-buf is not open for writing, so a read must not fill it. Export it for writing (DRM_RDWR with DRM devices)."),
	REASON(NOT_NVME, "not-nvme",
	       "The block device belongs to a driver other than nvme. Use a namespace such as /dev/nvme0n1, not a volume made of it."),
	REASON(NOT_PCIE, "not-pcie",
	       "The controller is reached over a network or another transport. Only NVMe controllers on PCI Express can be used."),
	REASON(NO_PATH, "no-path",
	       "No path of this multipath device leads through a PCI Express controller that works. See nvme list-subsys."),
	REASON(NO_CAPACITY, "no-capacity",
	       "The kernel cannot use the format of this namespace and shows it with capacity 0. Another LBA format is needed (nvme format)."),
	REASON(METADATA, "metadata",
	       "The format of this namespace has metadata other than 8 bytes of protection information. Another LBA format is needed (nvme format)."),
	REASON(PARTITION_UNALIGNED, "partition-unaligned",
	       "The partition does not begin and end at logical blocks of the drive. Use the whole namespace or move the partition."),
	REASON(DRIVER_LAYOUT, "driver-layout",
	       "The running kernel's nvme driver is not laid out as the module expects. Build the module for this kernel, or look for a newer version of it."),
	REASON(TRANSFER_LENGTH, "transfer-length",
	       "A test read moved more or fewer bytes than it should, or to other places, so the drive could write past the buffer or leave a part of it as it was. Check the LBA format (nvme id-ns) and the drive's firmware."),
	REASON(PROBE_FAILED, "probe-failed",
	       "The test reads that come before a first use failed. The kernel log and nvme error-log say what is wrong with the drive."),
	REASON(DMA_BOUNCED, "dma-bounced",
	       "The kernel would copy the data through a bounce buffer, because the device cannot reach this memory. Turn the IOMMU on, or remove swiotlb=force from the kernel's command line."),
	REASON(GONE, "gone",
	       "The controller or the namespace was removed, or its driver unbound. Attach again when it is back."),
	REASON(EXPORTER, "exporter",
	       "The exporter of the dma-buf refused; the error number is its own. The driver that owns the memory may not allow this device to reach it."),
	REASON(SEGMENTS, "segments",
	       "The buffer's DMA addresses cannot be written as PRP entries: its pieces do not meet at 4 KiB boundaries. Attach a range that does, or use another exporter."),
	REASON(RESERVED, "reserved",
	       "A flag is not known, no access is asked for, or a reserved member is not zero. The program may need a newer module."),
	REASON(OPCODE, "opcode",
	       "The command is neither Read, Write nor Flush. No other opcode is allowed."),
	REASON(ZERO_LENGTH, "zero-length",
	       "The length is zero. Give the bytes to transfer or to map."),
	REASON(BLOCK_MULTIPLE, "block-multiple",
	       "The length is no multiple of the namespace's logical block size. Round it to whole blocks."),
	REASON(DWORD_ALIGN, "dword-align",
	       "The offset is no multiple of 4, which NVMe demands of addresses. Move the data."),
	REASON(OUTSIDE_DMABUF, "outside-dmabuf",
	       "The range is not within the dma-buf. Compare it with the buffer's size."),
	REASON(OUTSIDE_MAP, "outside-map",
	       "The data is not within the map. Offsets of commands count from the start of the map."),
	REASON(OUTSIDE_NAMESPACE, "outside-namespace",
	       "The blocks are not within the namespace, the partition or the file. Compare them with its capacity."),
	REASON(NO_MAP, "no-map",
	       "This context has no map of that number. It may have been detached, or belong to another open file."),
	REASON(MAP_ACCESS, "map-access",
	       "The map was attached for the other direction. Reads need ACCESS_READ, writes and Flush ACCESS_WRITE."),
	REASON(TIMEOUT, "timeout",
	       "The timeout is out of range. The module's info tells the smallest and the largest; 0 is the default."),
	REASON(REVOKED, "revoked",
	       "The exporter took the buffer back. Refresh the map, or attach with AUTO_REFRESH so that commands do."),
	REASON(FORMAT_CHANGED, "format-changed",
	       "The namespace has another block size than when it was attached. Refresh the map, and count in the new blocks."),
	REASON(MAP_LIMIT, "map-limit",
	       "The context has as many maps as it may. Detach some, or raise the module parameter max_maps."),
	REASON(FLUSH_RANGE, "flush-range",
	       "A Flush was given blocks, a range or flags. It covers the whole namespace and takes none."),
	REASON(DMABUF_NOT_READABLE, "dmabuf-not-readable",
	       "The dma-buf is not open for reading, so a write must not take data from it. Export it for reading as well."),
	REASON(CANCELLED, "cancelled",
	       "The nvme driver gave the command up, after a timeout, a reset or the loss of the controller. The kernel log says which; whether the command was executed is not known."),
	REASON(EXPORTER_REVOKED, "exporter-revoked",
	       "The exporter has revoked the buffer, or lost the device that holds it. Refresh the map once the device works again, or attach another buffer."),
	REASON(NOT_PEER, "not-peer",
	       "Peer-to-peer was required, and not all of the buffer is in a PCI device's memory. Have the exporter place it there, or attach without REQUIRE_P2P."),
	REASON(NO_P2PDMA, "no-p2pdma",
	       "This kernel has no PCI peer-to-peer DMA (CONFIG_PCI_P2PDMA). Use a kernel that has it, or a buffer in host memory."),
	REASON(PEER_HOST_BRIDGE, "peer-host-bridge",
	       "No bridge is common to the drive and the peer, and their host bridge is not on the kernel's list of those that pass peer-to-peer DMA on. Put both below one PCI Express switch, or use a buffer in host memory."),
	REASON(PEER_ACS, "peer-acs",
	       "Access Control Services send what the drive and the peer exchange to a host bridge that is not on the kernel's list for peer-to-peer DMA. Boot with pci=disable_acs_redir= for the bridges between them, which gives up isolation, or use a buffer in host memory."),
	REASON(EXPORTER_NO_PATH, "exporter-no-path",
	       "Peer-to-peer was required, and the exporter found no path to the drive and offers host memory instead. See what 'nvme-dmabuf peers' says of its device, or attach without REQUIRE_P2P."),
	REASON(NOT_DYNAMIC, "not-dynamic",
	       "The exporter serves only importers that can give the buffer back or do peer-to-peer DMA, and this kernel lets nobody be one for it. Use Linux 7.1 or later, or another exporter."),
	REASON(NO_SUCH_PEER, "no-such-peer",
	       "There is no PCI device at this address. See lspci -D for those there are."),
	REASON(TIMEOUT_SHORT, "timeout-short",
	       "The timeout is shorter than the nvme driver's, which needs CAP_SYS_ADMIN: others would feel the controller's reset. Ask for no timeout, or for a longer one."),
	REASON(SWAP, "swap",
	       "The block device or the file is active swap space. Switch it off with swapoff, or use another one."),
	REASON(SECURITY, "security",
	       "A security module, such as SELinux or AppArmor, does not allow this access to the namespace. Its log tells which rule is missing."),
	REASON(ZONED, "zoned",
	       "The namespace is zoned and can only be read, because writes to a zone must arrive in order. Attach for reading, and write by other means."),
	REASON(FILE_SYSTEM, "file-system",
	       "The file is on a file system other than XFS and ext4. Copy it to one of these, or attach the namespace's block device."),
	REASON(FILE_DEVICE, "file-device",
	       "The file system is not on one NVMe namespace or a partition of one, but on a volume, an array, an encrypted device or another drive. Copy the file to a file system that is on a namespace itself."),
	REASON(FILE_BUSY, "file-busy",
	       "Somebody has the file open or mapped: for writing, or at all if this map is to write it. Perhaps it is this program, by the descriptor that it gave. To read, open the file with O_RDONLY; to write, attach with DEFER, close the descriptor, and refresh the map. lsof names others."),
	REASON(FILE_CHANGED, "file-changed",
	       "Somebody opened the file, truncated it, changed its attributes or moved its blocks. Refresh the map when the others have closed it, or attach with AUTO_REFRESH so that commands do; what was read before may be out of date."),
	REASON(FILE_HOLE, "file-hole",
	       "The blocks touch a hole, or a part of the file that was allocated and never written. It reads as zeroes: take it from read(2), or write it with write(2) before it is attached for writing; find the parts with data by lseek(2) with SEEK_DATA and SEEK_HOLE."),
	REASON(FILE_TAIL, "file-tail",
	       "The last block of the file is one in part: it cannot be written, and not be read if something other than zeroes stands behind the end of the file. Use read(2) and write(2) for this block."),
	REASON(FILE_SHARED, "file-shared",
	       "The file shares blocks with another file, as after cp --reflink, which cp of coreutils 9 does on XFS unasked. Make a copy with blocks of its own by cp --reflink=never, and use that."),
	REASON(FILE_ENCRYPTED, "file-encrypted",
	       "The file system encrypts this file, and the drive holds it encrypted. Copy it to a directory that is not encrypted."),
	REASON(FILE_VERITY, "file-verity",
	       "The file is protected by fs-verity, which checks what is read, and would not be asked. Use a copy of the file."),
	REASON(FILE_INLINE, "file-inline",
	       "The file is so small that its data is in the inode and has no blocks of its own. Read it with read(2)."),
	REASON(FILE_DAX, "file-dax",
	       "The file is used by DAX, without blocks that a drive could read. Switch DAX off (mount option dax=never), or use another file."),
	REASON(FILE_JOURNALLED, "file-journalled",
	       "The file's data goes through the journal of ext4. Switch that off with chattr -j, or mount the file system without data=journal."),
	REASON(FILE_REALTIME, "file-realtime",
	       "The file is on the realtime device of XFS. Copy it to a file that is not, in a directory without the inheritance flag (xfs_io -c 'chattr -t')."),
	REASON(FILE_LEASE, "file-lease",
	       "The kernel gives no lease of the file, without which nobody would say when its blocks move. Allow leases with sysctl fs.leases-enable=1."),
	REASON(FILE_APPEND, "file-append",
	       "The file is append-only or immutable (see lsattr), or was opened with O_APPEND: what it holds must not be overwritten. Open it without O_APPEND, or use another file."),
	REASON(DEFERRED, "deferred",
	       "The map was attached with DEFER and takes no commands yet. Close the file's descriptors, and refresh the map; with AUTO_REFRESH the first command does."),
	REASON(PAGE_ALIGN, "page-align",
	       "The memory does not begin and end on pages. Allocate it with aligned_alloc(3) or mmap(2), of whole pages."),
	REASON(MEMORY_ACCESS, "memory-access",
	       "There is no memory at some of these addresses, or the program may not write to it. What a drive only reads may be read-only if it is shared; all other memory must be writable."),
	REASON(MEMORY_KIND, "memory-kind",
	       "This memory is a file's or a device's. Use anonymous memory, shared memory (memfd, tmpfs, System V) or huge pages; a file on XFS or ext4 is attached by its descriptor."),
	REASON(MEMLOCK, "memlock",
	       "The user would have pinned more memory than RLIMIT_MEMLOCK allows. Raise the limit (ulimit -l, or memlock in limits.conf), or export less."),
};

#define NR_REASONS	(sizeof(reasons) / sizeof(reasons[0]))

const char *nvmedmabuf_reason_name(uint32_t reason)
{
	return reason < NR_REASONS ? reasons[reason].name : "unknown";
}

const char *nvmedmabuf_reason_text(uint32_t reason)
{
	if (reason < NR_REASONS)
		return reasons[reason].text;
	return "The module gave a reason that this version of the library does not know. Update the library.";
}

/* The status code types of the NVMe Base Specification. */
static const char *status_type(uint16_t status)
{
	switch (status >> 8 & 7) {
	case 0:
		return "Generic command status; libnvme, if installed, says more";
	case 1:
		return "Command specific status; libnvme, if installed, says more";
	case 2:
		return "Media or data integrity error; libnvme, if installed, says more";
	case 3:
		return "Path related status; libnvme, if installed, says more";
	default:
		return "Status of the vendor's";
	}
}

const char *nvmedmabuf_status_text(uint16_t status)
{
	if (library_load(&nvme_library))
		return status & 0x7ff ? status_type(status) : "Success";
	/* Anything but a status code and its type is not libnvme's business. */
	return nvme.nvme_status_to_string(status & 0x7ff, false);
}

/* Adds as much of @more as there is room for. */
static void append(char *text, size_t size, const char *more)
{
	size_t at = strlen(text);

	while (*more && at + 1 < size)
		text[at++] = *more++;
	text[at] = '\0';
}

/* In hexadecimal, as the NVMe specification has them. */
static void append_status(char *text, size_t size, uint16_t status)
{
	static const char digits[] = "0123456789abcdef";
	char hex[] = " (NVMe status 0x000)";

	for (int i = 0; i < 3; i++)
		hex[sizeof(hex) - 5 + (size_t)i] = digits[status >> (8 - 4 * i) & 0xf];
	status &= 0x7ff;
	append(text, size, nvmedmabuf_status_text(status));
	append(text, size, hex);
}

static void append_error(char *text, size_t size, int error)
{
	const char *name = strerrorname_np(-error), *description = strerrordesc_np(-error);

	append(text, size, description ? description : "Unknown error");
	if (name) {
		append(text, size, " (");
		append(text, size, name);
		append(text, size, ")");
	}
}

char *nvmedmabuf_error_text(char *text, size_t size, int error, uint32_t reason,
			    const struct nvme_dmabuf_completion *cpl)
{
	text[0] = '\0';
	if (cpl && cpl->error)
		error = cpl->error;
	if (cpl && cpl->reason)
		reason = cpl->reason;

	if (cpl && cpl->status && !cpl->error) {
		append(text, size, "the drive says: ");
		append_status(text, size, cpl->status);
		return text;
	}
	append_error(text, size, error);
	if (reason) {
		append(text, size, ": ");
		append(text, size, nvmedmabuf_reason_text(reason));
	}
	return text;
}
