/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Asks QEMU for something from within the guest, through the virtio port that
 * tests/vm/run connects to its monitor. NVME_DMABUF_QMP names the port.
 */
#ifndef TESTS_MODULE_QMP_H
#define TESTS_MODULE_QMP_H

#include "common.h"

/** require_qmp - skip where there is no such port */
void require_qmp(void);

/**
 * qmp - a QMP command, such as device_del
 * @arguments: its arguments in JSON, for printf()
 *
 * Returns whether QEMU has done it.
 */
bool qmp(const char *command, const char *arguments, ...) PRINTF(2, 3);

#endif
