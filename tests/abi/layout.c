// SPDX-License-Identifier: MIT
/*
 * The binary interface as it was published: every ioctl number, every size and
 * offset, every constant. Compiled for C and C++, 64 and 32 bits; if it
 * compiles, the interface is what it was. Lines are added, never changed.
 */
#include <linux/nvme_dmabuf.h>
#include "layout.h"

EQUAL(NVME_DMABUF_IOC_TYPE, 0xde);
EQUAL(NVME_DMABUF_IOC_INFO, 0xde00);
EQUAL(NVME_DMABUF_IOC_NS_INFO, 0xde01);
EQUAL(NVME_DMABUF_IOC_ATTACH, 0xde02);
EQUAL(NVME_DMABUF_IOC_DETACH, 0xde03);
EQUAL(NVME_DMABUF_IOC_MAP_INFO, 0xde04);
EQUAL(NVME_DMABUF_IOC_PLACEMENT, 0xde05);
EQUAL(NVME_DMABUF_IOC_SUBMIT, 0xde06);
EQUAL(NVME_DMABUF_IOC_REFRESH, 0xde07);
EQUAL(NVME_DMABUF_IOC_EVENTS, 0xde08);
EQUAL(NVME_DMABUF_IOC_PEER_INFO, 0xde09);
EQUAL(NVME_DMABUF_IOC_QUEUE, 0xde0a);
EQUAL(NVME_DMABUF_IOC_ENTER, 0xde0b);
EQUAL(NVME_DMABUF_URING_CMD, 0xde0c);

SIZE(nvme_dmabuf_info, 48);
ALIGN(nvme_dmabuf_info, 8);
MEMBER(nvme_dmabuf_info, size, 0, 4);
MEMBER(nvme_dmabuf_info, flags, 4, 4);
MEMBER(nvme_dmabuf_info, out_version, 8, 4);
MEMBER(nvme_dmabuf_info, out_max_commands, 12, 4);
MEMBER(nvme_dmabuf_info, out_features, 16, 8);
MEMBER(nvme_dmabuf_info, out_max_maps, 24, 4);
MEMBER(nvme_dmabuf_info, out_max_command, 28, 4);
MEMBER(nvme_dmabuf_info, out_min_timeout_ms, 32, 4);
MEMBER(nvme_dmabuf_info, out_max_timeout_ms, 36, 4);
MEMBER(nvme_dmabuf_info, out_max_depth, 40, 4);
MEMBER(nvme_dmabuf_info, out_max_queues, 44, 4);

SIZE(nvme_dmabuf_ns_info, 56);
ALIGN(nvme_dmabuf_ns_info, 8);
MEMBER(nvme_dmabuf_ns_info, size, 0, 4);
MEMBER(nvme_dmabuf_ns_info, flags, 4, 4);
MEMBER(nvme_dmabuf_ns_info, ns_fd, 8, 4);
MEMBER(nvme_dmabuf_ns_info, out_reason, 12, 4);
MEMBER(nvme_dmabuf_ns_info, out_capacity, 16, 8);
MEMBER(nvme_dmabuf_ns_info, out_start, 24, 8);
MEMBER(nvme_dmabuf_ns_info, out_block_size, 32, 4);
MEMBER(nvme_dmabuf_ns_info, out_nsid, 36, 4);
MEMBER(nvme_dmabuf_ns_info, out_max_command, 40, 4);
MEMBER(nvme_dmabuf_ns_info, out_flags, 44, 4);
MEMBER(nvme_dmabuf_ns_info, out_pci_domain, 48, 4);
MEMBER(nvme_dmabuf_ns_info, out_pci_bdf, 52, 4);

SIZE(nvme_dmabuf_attach, 48);
ALIGN(nvme_dmabuf_attach, 8);
MEMBER(nvme_dmabuf_attach, size, 0, 4);
MEMBER(nvme_dmabuf_attach, flags, 4, 4);
MEMBER(nvme_dmabuf_attach, dmabuf_fd, 8, 4);
MEMBER(nvme_dmabuf_attach, ns_fd, 12, 4);
MEMBER(nvme_dmabuf_attach, access, 16, 4);
MEMBER(nvme_dmabuf_attach, reserved, 20, 4);
MEMBER(nvme_dmabuf_attach, offset, 24, 8);
MEMBER(nvme_dmabuf_attach, length, 32, 8);
MEMBER(nvme_dmabuf_attach, out_map, 40, 4);
MEMBER(nvme_dmabuf_attach, out_reason, 44, 4);

SIZE(nvme_dmabuf_detach, 16);
ALIGN(nvme_dmabuf_detach, 4);
MEMBER(nvme_dmabuf_detach, size, 0, 4);
MEMBER(nvme_dmabuf_detach, flags, 4, 4);
MEMBER(nvme_dmabuf_detach, map, 8, 4);
MEMBER(nvme_dmabuf_detach, reserved, 12, 4);

SIZE(nvme_dmabuf_map_info, 88);
ALIGN(nvme_dmabuf_map_info, 8);
MEMBER(nvme_dmabuf_map_info, size, 0, 4);
MEMBER(nvme_dmabuf_map_info, flags, 4, 4);
MEMBER(nvme_dmabuf_map_info, map, 8, 4);
MEMBER(nvme_dmabuf_map_info, out_state, 12, 4);
MEMBER(nvme_dmabuf_map_info, out_offset, 16, 8);
MEMBER(nvme_dmabuf_map_info, out_length, 24, 8);
MEMBER(nvme_dmabuf_map_info, out_segments, 32, 8);
MEMBER(nvme_dmabuf_map_info, out_list_bytes, 40, 8);
MEMBER(nvme_dmabuf_map_info, out_generation, 48, 8);
MEMBER(nvme_dmabuf_map_info, out_access, 56, 4);
MEMBER(nvme_dmabuf_map_info, out_flags, 60, 4);
MEMBER(nvme_dmabuf_map_info, out_block_size, 64, 4);
MEMBER(nvme_dmabuf_map_info, out_max_command, 68, 4);
MEMBER(nvme_dmabuf_map_info, out_nsid, 72, 4);
MEMBER(nvme_dmabuf_map_info, out_pci_domain, 76, 4);
MEMBER(nvme_dmabuf_map_info, out_pci_bdf, 80, 4);
MEMBER(nvme_dmabuf_map_info, out_reserved, 84, 4);

SIZE(nvme_dmabuf_placement_run, 40);
ALIGN(nvme_dmabuf_placement_run, 8);
MEMBER(nvme_dmabuf_placement_run, offset, 0, 8);
MEMBER(nvme_dmabuf_placement_run, length, 8, 8);
MEMBER(nvme_dmabuf_placement_run, kind, 16, 4);
MEMBER(nvme_dmabuf_placement_run, pci_domain, 20, 4);
MEMBER(nvme_dmabuf_placement_run, pci_bdf, 24, 4);
MEMBER(nvme_dmabuf_placement_run, bar, 28, 4);
MEMBER(nvme_dmabuf_placement_run, distance, 32, 4);
MEMBER(nvme_dmabuf_placement_run, reserved, 36, 4);

SIZE(nvme_dmabuf_placement, 32);
ALIGN(nvme_dmabuf_placement, 8);
MEMBER(nvme_dmabuf_placement, size, 0, 4);
MEMBER(nvme_dmabuf_placement, flags, 4, 4);
MEMBER(nvme_dmabuf_placement, map, 8, 4);
MEMBER(nvme_dmabuf_placement, count, 12, 4);
MEMBER(nvme_dmabuf_placement, runs, 16, 8);
MEMBER(nvme_dmabuf_placement, out_count, 24, 4);
MEMBER(nvme_dmabuf_placement, out_reserved, 28, 4);

SIZE(nvme_dmabuf_command, 64);
ALIGN(nvme_dmabuf_command, 8);
MEMBER(nvme_dmabuf_command, user_data, 0, 8);
MEMBER(nvme_dmabuf_command, slba, 8, 8);
MEMBER(nvme_dmabuf_command, offset, 16, 8);
MEMBER(nvme_dmabuf_command, length, 24, 8);
MEMBER(nvme_dmabuf_command, map, 32, 4);
MEMBER(nvme_dmabuf_command, opcode, 36, 1);
MEMBER(nvme_dmabuf_command, reserved, 37, 1);
MEMBER(nvme_dmabuf_command, flags, 38, 2);
MEMBER(nvme_dmabuf_command, timeout_ms, 40, 4);
MEMBER(nvme_dmabuf_command, reserved1, 44, 4);
MEMBER(nvme_dmabuf_command, reserved2, 48, 16);

SIZE(nvme_dmabuf_completion, 32);
ALIGN(nvme_dmabuf_completion, 8);
MEMBER(nvme_dmabuf_completion, user_data, 0, 8);
MEMBER(nvme_dmabuf_completion, result, 8, 8);
MEMBER(nvme_dmabuf_completion, bytes, 16, 8);
MEMBER(nvme_dmabuf_completion, error, 24, 4);
MEMBER(nvme_dmabuf_completion, status, 28, 2);
MEMBER(nvme_dmabuf_completion, reason, 30, 2);

SIZE(nvme_dmabuf_submit, 40);
ALIGN(nvme_dmabuf_submit, 8);
MEMBER(nvme_dmabuf_submit, size, 0, 4);
MEMBER(nvme_dmabuf_submit, flags, 4, 4);
MEMBER(nvme_dmabuf_submit, commands, 8, 8);
MEMBER(nvme_dmabuf_submit, completions, 16, 8);
MEMBER(nvme_dmabuf_submit, count, 24, 4);
MEMBER(nvme_dmabuf_submit, out_completed, 28, 4);
MEMBER(nvme_dmabuf_submit, in_fence_fd, 32, 4);
MEMBER(nvme_dmabuf_submit, out_fence_fd, 36, 4);

/* The completions follow. */
SIZE(nvme_dmabuf_ring, 128);
ALIGN(nvme_dmabuf_ring, 8);
MEMBER(nvme_dmabuf_ring, head, 0, 4);
MEMBER(nvme_dmabuf_ring, reserved, 4, 60);
MEMBER(nvme_dmabuf_ring, tail, 64, 4);
MEMBER(nvme_dmabuf_ring, entries, 68, 4);
MEMBER(nvme_dmabuf_ring, reserved1, 72, 56);

SIZE(nvme_dmabuf_queue, 32);
ALIGN(nvme_dmabuf_queue, 8);
MEMBER(nvme_dmabuf_queue, size, 0, 4);
MEMBER(nvme_dmabuf_queue, flags, 4, 4);
MEMBER(nvme_dmabuf_queue, depth, 8, 4);
MEMBER(nvme_dmabuf_queue, event_fd, 12, 4);
MEMBER(nvme_dmabuf_queue, out_queue_fd, 16, 4);
MEMBER(nvme_dmabuf_queue, out_ring_entries, 20, 4);
MEMBER(nvme_dmabuf_queue, out_ring_bytes, 24, 8);

SIZE(nvme_dmabuf_enter, 40);
ALIGN(nvme_dmabuf_enter, 8);
MEMBER(nvme_dmabuf_enter, size, 0, 4);
MEMBER(nvme_dmabuf_enter, flags, 4, 4);
MEMBER(nvme_dmabuf_enter, commands, 8, 8);
MEMBER(nvme_dmabuf_enter, count, 16, 4);
MEMBER(nvme_dmabuf_enter, min_complete, 20, 4);
MEMBER(nvme_dmabuf_enter, timeout_ns, 24, 8);
MEMBER(nvme_dmabuf_enter, out_submitted, 32, 4);
MEMBER(nvme_dmabuf_enter, out_completed, 36, 4);

SIZE(nvme_dmabuf_refresh, 24);
ALIGN(nvme_dmabuf_refresh, 8);
MEMBER(nvme_dmabuf_refresh, size, 0, 4);
MEMBER(nvme_dmabuf_refresh, flags, 4, 4);
MEMBER(nvme_dmabuf_refresh, map, 8, 4);
MEMBER(nvme_dmabuf_refresh, out_reason, 12, 4);
MEMBER(nvme_dmabuf_refresh, out_generation, 16, 8);

SIZE(nvme_dmabuf_event, 16);
ALIGN(nvme_dmabuf_event, 8);
MEMBER(nvme_dmabuf_event, map, 0, 4);
MEMBER(nvme_dmabuf_event, state, 4, 4);
MEMBER(nvme_dmabuf_event, generation, 8, 8);

SIZE(nvme_dmabuf_events, 24);
ALIGN(nvme_dmabuf_events, 8);
MEMBER(nvme_dmabuf_events, size, 0, 4);
MEMBER(nvme_dmabuf_events, flags, 4, 4);
MEMBER(nvme_dmabuf_events, events, 8, 8);
MEMBER(nvme_dmabuf_events, count, 16, 4);
MEMBER(nvme_dmabuf_events, out_count, 20, 4);

SIZE(nvme_dmabuf_peer_info, 32);
ALIGN(nvme_dmabuf_peer_info, 4);
MEMBER(nvme_dmabuf_peer_info, size, 0, 4);
MEMBER(nvme_dmabuf_peer_info, flags, 4, 4);
MEMBER(nvme_dmabuf_peer_info, ns_fd, 8, 4);
MEMBER(nvme_dmabuf_peer_info, pci_domain, 12, 4);
MEMBER(nvme_dmabuf_peer_info, pci_bdf, 16, 4);
MEMBER(nvme_dmabuf_peer_info, out_reason, 20, 4);
MEMBER(nvme_dmabuf_peer_info, out_distance, 24, 4);
MEMBER(nvme_dmabuf_peer_info, out_flags, 28, 4);

EQUAL(NVME_DMABUF_REASON_NONE, 0);
EQUAL(NVME_DMABUF_REASON_NOT_BLOCK_DEVICE, 1);
EQUAL(NVME_DMABUF_REASON_NOT_DMABUF, 2);
EQUAL(NVME_DMABUF_REASON_NS_NOT_READABLE, 3);
EQUAL(NVME_DMABUF_REASON_NS_NOT_WRITABLE, 4);
EQUAL(NVME_DMABUF_REASON_DMABUF_NOT_WRITABLE, 5);
EQUAL(NVME_DMABUF_REASON_NOT_NVME, 6);
EQUAL(NVME_DMABUF_REASON_NOT_PCIE, 7);
EQUAL(NVME_DMABUF_REASON_NO_PATH, 8);
EQUAL(NVME_DMABUF_REASON_NO_CAPACITY, 9);
EQUAL(NVME_DMABUF_REASON_METADATA, 10);
EQUAL(NVME_DMABUF_REASON_PARTITION_UNALIGNED, 11);
EQUAL(NVME_DMABUF_REASON_DRIVER_LAYOUT, 12);
EQUAL(NVME_DMABUF_REASON_TRANSFER_LENGTH, 13);
EQUAL(NVME_DMABUF_REASON_PROBE_FAILED, 14);
EQUAL(NVME_DMABUF_REASON_DMA_BOUNCED, 15);
EQUAL(NVME_DMABUF_REASON_GONE, 16);
EQUAL(NVME_DMABUF_REASON_EXPORTER, 17);
EQUAL(NVME_DMABUF_REASON_SEGMENTS, 18);
EQUAL(NVME_DMABUF_REASON_RESERVED, 19);
EQUAL(NVME_DMABUF_REASON_OPCODE, 20);
EQUAL(NVME_DMABUF_REASON_ZERO_LENGTH, 21);
EQUAL(NVME_DMABUF_REASON_BLOCK_MULTIPLE, 22);
EQUAL(NVME_DMABUF_REASON_DWORD_ALIGN, 23);
EQUAL(NVME_DMABUF_REASON_OUTSIDE_DMABUF, 24);
EQUAL(NVME_DMABUF_REASON_OUTSIDE_MAP, 25);
EQUAL(NVME_DMABUF_REASON_OUTSIDE_NAMESPACE, 26);
EQUAL(NVME_DMABUF_REASON_NO_MAP, 27);
EQUAL(NVME_DMABUF_REASON_MAP_ACCESS, 28);
EQUAL(NVME_DMABUF_REASON_TIMEOUT, 29);
EQUAL(NVME_DMABUF_REASON_REVOKED, 30);
EQUAL(NVME_DMABUF_REASON_FORMAT_CHANGED, 31);
EQUAL(NVME_DMABUF_REASON_MAP_LIMIT, 32);
EQUAL(NVME_DMABUF_REASON_FLUSH_RANGE, 33);
EQUAL(NVME_DMABUF_REASON_DMABUF_NOT_READABLE, 34);
EQUAL(NVME_DMABUF_REASON_CANCELLED, 35);
EQUAL(NVME_DMABUF_REASON_EXPORTER_REVOKED, 36);
EQUAL(NVME_DMABUF_REASON_NOT_PEER, 37);
EQUAL(NVME_DMABUF_REASON_NO_P2PDMA, 38);
EQUAL(NVME_DMABUF_REASON_PEER_HOST_BRIDGE, 39);
EQUAL(NVME_DMABUF_REASON_PEER_ACS, 40);
EQUAL(NVME_DMABUF_REASON_EXPORTER_NO_PATH, 41);
EQUAL(NVME_DMABUF_REASON_NOT_DYNAMIC, 42);
EQUAL(NVME_DMABUF_REASON_NO_SUCH_PEER, 43);
EQUAL(NVME_DMABUF_REASON_TIMEOUT_SHORT, 44);
EQUAL(NVME_DMABUF_REASON_SWAP, 45);
EQUAL(NVME_DMABUF_REASON_SECURITY, 46);
EQUAL(NVME_DMABUF_REASON_ZONED, 47);
EQUAL(NVME_DMABUF_FEATURE_PEER_TO_PEER, 0x1);
EQUAL(NVME_DMABUF_FEATURE_MOVABLE, 0x2);
EQUAL(NVME_DMABUF_FEATURE_SGL, 0x4);
EQUAL(NVME_DMABUF_FEATURE_URING, 0x8);
EQUAL(NVME_DMABUF_NS_PARTITION, 0x1);
EQUAL(NVME_DMABUF_NS_MULTIPATH, 0x2);
EQUAL(NVME_DMABUF_NS_PI, 0x4);
EQUAL(NVME_DMABUF_NS_SGL, 0x8);
EQUAL(NVME_DMABUF_NS_IOMMU, 0x10);
EQUAL(NVME_DMABUF_NS_READ_ONLY, 0x20);
EQUAL(NVME_DMABUF_NS_POLL, 0x40);
EQUAL(NVME_DMABUF_NS_ZONED, 0x80);
EQUAL(NVME_DMABUF_ACCESS_READ, 0x1);
EQUAL(NVME_DMABUF_ACCESS_WRITE, 0x2);
EQUAL(NVME_DMABUF_ATTACH_REQUIRE_P2P, 0x1);
EQUAL(NVME_DMABUF_ATTACH_AUTO_REFRESH, 0x2);
EQUAL(NVME_DMABUF_STATE_LIVE, 0);
EQUAL(NVME_DMABUF_STATE_REVOKED, 1);
EQUAL(NVME_DMABUF_STATE_GONE, 2);
EQUAL(NVME_DMABUF_MAP_CONTIGUOUS, 0x1);
EQUAL(NVME_DMABUF_MAP_SGL, 0x2);
EQUAL(NVME_DMABUF_MAP_DYNAMIC, 0x4);
EQUAL(NVME_DMABUF_MAP_PINNED, 0x8);
EQUAL(NVME_DMABUF_MAP_AUTO_REFRESH, 0x10);
EQUAL(NVME_DMABUF_MAP_REQUIRE_P2P, 0x20);
EQUAL(NVME_DMABUF_PLACEMENT_UNKNOWN, 0);
EQUAL(NVME_DMABUF_PLACEMENT_RAM, 1);
EQUAL(NVME_DMABUF_PLACEMENT_PCI, 2);
EQUAL(NVME_DMABUF_PLACEMENT_MAX_RUNS, 65536);
EQUAL(NVME_DMABUF_OP_FLUSH, 0x0);
EQUAL(NVME_DMABUF_OP_WRITE, 0x1);
EQUAL(NVME_DMABUF_OP_READ, 0x2);
EQUAL(NVME_DMABUF_CMD_FUA, 0x1);
EQUAL(NVME_DMABUF_CMD_LIMITED_RETRY, 0x2);
EQUAL(NVME_DMABUF_SUBMIT_IMPLICIT_SYNC, 0x1);
EQUAL(NVME_DMABUF_SUBMIT_IN_FENCE, 0x2);
EQUAL(NVME_DMABUF_SUBMIT_OUT_FENCE, 0x4);
EQUAL(NVME_DMABUF_QUEUE_POLLED, 0x1);
EQUAL(NVME_DMABUF_QUEUE_EVENTFD, 0x2);
EQUAL(NVME_DMABUF_ENTER_NOWAIT, 0x1);

/* 48 bits and 16, of big_cqe[0] of a completion of io_uring */
EQUAL(NVME_DMABUF_CQE_BYTES(0x123456789abcdef0ULL), 0x56789abcdef0ULL);
EQUAL(NVME_DMABUF_CQE_REASON(0xfedcba9876543210ULL), 0xfedc);
