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

EQUAL(NVMEDMABUF_BUFFER_HUGE, 0x8000000);
EQUAL(NVMEDMABUF_CPU_READ, 0x10000000);
EQUAL(NVMEDMABUF_CPU_WRITE, 0x20000000);
EQUAL(NVMEDMABUF_SGL_NONE, 0);
EQUAL(NVMEDMABUF_SGL_BYTE, 1);
EQUAL(NVMEDMABUF_SGL_DWORD, 2);
EQUAL(NVMEDMABUF_QUEUE_POLLED, 0x1000000);
EQUAL(NVMEDMABUF_QUEUE_URING, 0x2000000);
EQUAL(NVMEDMABUF_SUBMIT_NOWAIT, 0x4000000);
