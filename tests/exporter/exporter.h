/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/nvme-dmabuf-exporter: dma-bufs of any shape, whose exporter does on
 * demand what real ones do when they please: moves, revokes, refuses, makes
 * importers wait. For tests, for root, never installed, and so without the
 * extension scheme that a lasting interface needs.
 *
 * Every ioctl but EXPORTER_IOC_CREATE and _HOLD names its dma-buf by @dmabuf_fd. Members
 * named out_* are written by the module, on failure too. Unknown flags are
 * refused with EINVAL. EBADF: not a dma-buf; EINVAL: one of another exporter.
 */
#ifndef TESTS_EXPORTER_EXPORTER_H
#define TESTS_EXPORTER_EXPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define EXPORTER_DEVICE	  "/dev/nvme-dmabuf-exporter"
#define EXPORTER_IOC_TYPE 0xDF

#define EXPORTER_IOC_CREATE _IO(EXPORTER_IOC_TYPE, 0x00)
#define EXPORTER_IOC_MOVE   _IO(EXPORTER_IOC_TYPE, 0x01)
#define EXPORTER_IOC_FENCE  _IO(EXPORTER_IOC_TYPE, 0x02)
#define EXPORTER_IOC_SIGNAL _IO(EXPORTER_IOC_TYPE, 0x03)
#define EXPORTER_IOC_FAIL   _IO(EXPORTER_IOC_TYPE, 0x04)
#define EXPORTER_IOC_QUERY  _IO(EXPORTER_IOC_TYPE, 0x05)
#define EXPORTER_IOC_READ   _IO(EXPORTER_IOC_TYPE, 0x06)
#define EXPORTER_IOC_WRITE  _IO(EXPORTER_IOC_TYPE, 0x07)
#define EXPORTER_IOC_HOLD   _IO(EXPORTER_IOC_TYPE, 0x08)
#define EXPORTER_IOC_LOCK   _IO(EXPORTER_IOC_TYPE, 0x09)

/* flags of struct exporter_segment */
#define EXPORTER_SEGMENT_ADJACENT (1U << 0) /* directly behind the one before */
#define EXPORTER_SEGMENT_ALIAS	  (1U << 1) /* the first segment's memory once more */
#define EXPORTER_SEGMENT_HOST	  (1U << 2) /* with BAR: not of it, but an allocation */

/**
 * struct exporter_segment - one entry of the scatter-gather list
 * @offset: bytes from the start of its allocation, which is naturally aligned,
 *	or from the start of the BAR. 0 with ADJACENT and ALIAS.
 * @length: its bytes, not 0; with ALIAS, at most the first segment's
 * @order: the allocation has 2^@order pages or more, and is so aligned
 * @flags: EXPORTER_SEGMENT_*; with BAR, _HOST or 0
 *
 * A segment without ADJACENT is never the physical neighbour of the one before.
 * What an allocation has besides its segments is a guard area, see
 * EXPORTER_IOC_QUERY.
 */
struct exporter_segment {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 order;
	__u32 flags;
};

/* flags of struct exporter_create */
#define EXPORTER_DYNAMIC       (1U << 0) /* has pin and unpin: may move while mapped */
#define EXPORTER_NOTIFY_ON_PIN (1U << 1) /* pinning moves it, as amdgpu does; needs DYNAMIC */
#define EXPORTER_BAR	       (1U << 2) /* memory without struct pages: a PCI device's BAR */
#define EXPORTER_NO_PATH       (1U << 3) /* finds no peer-to-peer path to anybody, and says so */

/**
 * struct exporter_create - EXPORTER_IOC_CREATE; returns the dma-buf's descriptor
 * @size: the dma-buf's bytes as importers are told; an exporter tells the truth
 *	if they are the sum of the segments
 * @segments: address of @count struct exporter_segment
 * @count: number of segments, not 0
 * @flags: EXPORTER_DYNAMIC, _NOTIFY_ON_PIN, _BAR, _NO_PATH
 * @open_flags: O_RDONLY, O_WRONLY or O_RDWR
 * @pci_domain: the PCI device's, with BAR
 * @pci_bdf: bus << 8 | device << 3 | function, with BAR
 * @bar: number of the BAR, with BAR
 *
 * Attaching to a BAR's dma-buf needs an importer that allows peer-to-peer
 * (EOPNOTSUPP). The content of new memory is zero, that of a BAR as found.
 */
struct exporter_create {
	__aligned_u64 size;
	__aligned_u64 segments;
	__u32 count;
	__u32 flags;
	__u32 open_flags;
	__u32 pci_domain;
	__u32 pci_bdf;
	__u32 bar;
};

/* flags of struct exporter_move */
#define EXPORTER_MOVE_REVOKE  (1U << 0) /* mapping fails with ENODEV until restored */
#define EXPORTER_MOVE_RESTORE (1U << 1) /* allow mapping again, after telling importers */
#define EXPORTER_MOVE_COPY    (1U << 2) /* to new pages; poison the old ones and keep them */
#define EXPORTER_MOVE_FORCE   (1U << 3) /* even if pinned, or mapped by who cannot be told */
#define EXPORTER_MOVE_WAIT    (1U << 4) /* then, unlocked, wait for importers to unmap */

/**
 * struct exporter_move - EXPORTER_IOC_MOVE
 * @dmabuf_fd: the dma-buf
 * @flags: EXPORTER_MOVE_*
 * @timeout_ms: how long to wait for fences, and how long for unmapping
 * @out_left: mappings that importers still held when all had been told
 * @out_held: mappings made before this call that exist at its end
 * @reserved: 0
 * @out_notify_us: microseconds that telling importers took
 * @out_fence_us: microseconds until no fence was left
 * @out_unmap_us: microseconds from then until no old mapping was left
 *
 * As real exporters do: with the reservation lock held, tells all importers and
 * waits for the fences; moves the content; unlocks; waits for the unmapping.
 *
 * Errors: EBUSY without FORCE: pinned, or COPY of a dma-buf that is not DYNAMIC
 * and still mapped; EOPNOTSUPP: COPY of a BAR; ETIMEDOUT; ENOMEM; EINTR.
 */
struct exporter_move {
	__s32 dmabuf_fd;
	__u32 flags;
	__u32 timeout_ms;
	__u32 out_left;
	__u32 out_held;
	__u32 reserved;
	__aligned_u64 out_notify_us;
	__aligned_u64 out_fence_us;
	__aligned_u64 out_unmap_us;
};

/* usage of struct exporter_fence: enum dma_resv_usage */
#define EXPORTER_FENCE_KERNEL 0
#define EXPORTER_FENCE_WRITE  1
#define EXPORTER_FENCE_READ   2

/* flags of struct exporter_fence */
#define EXPORTER_FENCE_ON_MAP (1U << 0) /* not now, but when it is mapped next */

/**
 * struct exporter_fence - EXPORTER_IOC_FENCE, EXPORTER_IOC_SIGNAL and EXPORTER_IOC_LOCK
 * @dmabuf_fd: the dma-buf
 * @usage: EXPORTER_FENCE_*; 0 for SIGNAL and LOCK
 * @timeout_ms: when it signals by itself, or 0 if never; 0 for SIGNAL; for LOCK, how long
 * @flags: EXPORTER_FENCE_ON_MAP: as if mapping began a move; 0 for SIGNAL and LOCK
 *
 * FENCE adds a fence to the reservation object; SIGNAL signals all of them, and
 * takes no lock that a waiter could hold. LOCK holds the reservation lock for some time, or
 * until a signal comes, as an exporter does that is slow.
 */
struct exporter_fence {
	__s32 dmabuf_fd;
	__u32 usage;
	__u32 timeout_ms;
	__u32 flags;
};

/* call of struct exporter_fail */
#define EXPORTER_FAIL_ATTACH 0
#define EXPORTER_FAIL_MAP    1
#define EXPORTER_FAIL_PIN    2

/**
 * struct exporter_fail - EXPORTER_IOC_FAIL
 * @dmabuf_fd: the dma-buf
 * @call: EXPORTER_FAIL_*
 * @error: errno with which that call is to fail
 * @count: how often, from now
 */
struct exporter_fail {
	__s32 dmabuf_fd;
	__u32 call;
	__u32 error;
	__u32 count;
};

/* flags of struct exporter_query */
#define EXPORTER_QUERY_DAMAGE (1U << 0) /* look for it; takes the reservation lock */
#define EXPORTER_QUERY_FORGET (1U << 1) /* then free old pages that nobody maps; with DAMAGE */

/**
 * struct exporter_query - EXPORTER_IOC_QUERY
 * @dmabuf_fd: the dma-buf
 * @flags: EXPORTER_QUERY_*
 * @out_attached: attachments
 * @out_mapped: mappings of the present memory
 * @out_held: mappings that importers were asked to give up
 * @out_pins: pins
 * @out_fences: fences that have not signalled
 * @out_revoked: 1 if mapping fails with ENODEV
 * @out_maps: calls that mapped, from the beginning
 * @out_unmaps: calls that unmapped
 * @out_moves: times that importers were told
 * @out_guard_damage: with DAMAGE, bytes written outside the segments
 * @out_old_damage: with DAMAGE, bytes written to old pages since they were left
 */
struct exporter_query {
	__s32 dmabuf_fd;
	__u32 flags;
	__u32 out_attached;
	__u32 out_mapped;
	__u32 out_held;
	__u32 out_pins;
	__u32 out_fences;
	__u32 out_revoked;
	__aligned_u64 out_maps;
	__aligned_u64 out_unmaps;
	__aligned_u64 out_moves;
	__aligned_u64 out_guard_damage;
	__aligned_u64 out_old_damage;
};

/**
 * struct exporter_io - EXPORTER_IOC_READ and EXPORTER_IOC_WRITE
 * @dmabuf_fd: the dma-buf
 * @reserved: 0
 * @offset: first byte
 * @length: how many
 * @data: address of the caller's memory
 *
 * Access by the CPU, wherever the memory is now. Waits for no fence. ERANGE:
 * outside the segments.
 */
struct exporter_io {
	__s32 dmabuf_fd;
	__u32 reserved;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 data;
};

/* flags of struct exporter_hold */
#define EXPORTER_HOLD_QUIESCE (1U << 0) /* requests do not start */
#define EXPORTER_HOLD_FREEZE  (1U << 1) /* no new requests */

/**
 * struct exporter_hold - EXPORTER_IOC_HOLD
 * @ns_fd: a block device; ignored if @flags is 0
 * @flags: EXPORTER_HOLD_*, or 0 to let go
 *
 * Does to a namespace's queue what the nvme driver does while it resets the controller, for
 * as long as the test likes, or until it closes this file: as a reset that does not end, or
 * a recovery that failed. Not together with a real one.
 *
 * Errors: EBUSY if this file holds one already.
 */
struct exporter_hold {
	__s32 ns_fd;
	__u32 flags;
};

#endif
