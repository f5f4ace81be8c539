// SPDX-License-Identifier: MIT
/*
 * The library's own structure and constants as they were published, besides
 * those of the module. Lines are added, never changed.
 */
#include <nvmedmabuf.h>
#include "layout.h"

SIZE(nvmedmabuf_drive, 112);
MEMBER(nvmedmabuf_drive, size, 0, 4);
MEMBER(nvmedmabuf_drive, nsid, 4, 4);
MEMBER(nvmedmabuf_drive, max_transfer, 8, 8);
MEMBER(nvmedmabuf_drive, blocks, 16, 8);
MEMBER(nvmedmabuf_drive, block_size, 24, 4);
MEMBER(nvmedmabuf_drive, metadata_size, 28, 2);
MEMBER(nvmedmabuf_drive, metadata_interleaved, 30, 1);
MEMBER(nvmedmabuf_drive, pi_type, 31, 1);
MEMBER(nvmedmabuf_drive, pi_first, 32, 1);
MEMBER(nvmedmabuf_drive, sgl_supported, 33, 1);
MEMBER(nvmedmabuf_drive, write_cache, 34, 1);
MEMBER(nvmedmabuf_drive, reserved, 35, 6);
MEMBER(nvmedmabuf_drive, model, 41, 41);
MEMBER(nvmedmabuf_drive, serial, 82, 21);
MEMBER(nvmedmabuf_drive, firmware, 103, 9);

SIZE(nvmedmabuf_attach_params, 40);
MEMBER(nvmedmabuf_attach_params, size, 0, 4);
MEMBER(nvmedmabuf_attach_params, access, 4, 4);
MEMBER(nvmedmabuf_attach_params, dmabuf_fd, 8, 4);
MEMBER(nvmedmabuf_attach_params, ns_fd, 12, 4);
MEMBER(nvmedmabuf_attach_params, offset, 16, 8);
MEMBER(nvmedmabuf_attach_params, length, 24, 8);
MEMBER(nvmedmabuf_attach_params, require_p2p, 32, 1);
MEMBER(nvmedmabuf_attach_params, auto_refresh, 33, 1);
MEMBER(nvmedmabuf_attach_params, defer, 34, 1);
MEMBER(nvmedmabuf_attach_params, reserved, 35, 5);

SIZE(nvmedmabuf_submit_params, 16);
MEMBER(nvmedmabuf_submit_params, size, 0, 4);
MEMBER(nvmedmabuf_submit_params, in_fence_fd, 4, 4);
MEMBER(nvmedmabuf_submit_params, in_fence, 8, 1);
MEMBER(nvmedmabuf_submit_params, implicit_sync, 9, 1);
MEMBER(nvmedmabuf_submit_params, nowait, 10, 1);
MEMBER(nvmedmabuf_submit_params, reserved, 11, 5);

SIZE(nvmedmabuf_queue_params, 16);
MEMBER(nvmedmabuf_queue_params, size, 0, 4);
MEMBER(nvmedmabuf_queue_params, event_fd, 4, 4);
MEMBER(nvmedmabuf_queue_params, polled, 8, 1);
MEMBER(nvmedmabuf_queue_params, uring, 9, 1);
MEMBER(nvmedmabuf_queue_params, event, 10, 1);
MEMBER(nvmedmabuf_queue_params, reserved, 11, 5);

SIZE(nvmedmabuf_range, 16);
MEMBER(nvmedmabuf_range, offset, 0, 8);
MEMBER(nvmedmabuf_range, length, 8, 8);

EQUAL(NVMEDMABUF_ACCESS_READ, 1);
EQUAL(NVMEDMABUF_ACCESS_WRITE, 2);
EQUAL(NVMEDMABUF_ACCESS_READ_WRITE, 3);
EQUAL(NVMEDMABUF_CPU_READ, 0x10000000);
EQUAL(NVMEDMABUF_CPU_WRITE, 0x20000000);
EQUAL(NVMEDMABUF_CPU_READ_WRITE, 0x30000000);
EQUAL(NVMEDMABUF_SGL_NONE, 0);
EQUAL(NVMEDMABUF_SGL_BYTE, 1);
EQUAL(NVMEDMABUF_SGL_DWORD, 2);
