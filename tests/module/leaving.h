/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drives that go away and come back: by their driver, as PCI devices, by their
 * plug; or a namespace alone. And what then must be true of maps and commands.
 */
#ifndef TESTS_MODULE_LEAVING_H
#define TESTS_MODULE_LEAVING_H

#include <pthread.h>

#include "rig.h"

/**
 * struct known - a drive, by serial number and PCI address: the names of its
 * namespaces may change when it comes back
 */
struct known {
	char serial[32];
	char pci[32];
};

/** known_remember - the drive NVME_DMABUF_NS_<NAME>; empty if there is none */
void known_remember(const char *name, struct known *known);

/** known_find - the path of its namespace, if the drive is there */
bool known_find(const struct known *known, char *path, size_t size);

/** require_unbind - skip unless this drive is there and may be taken from its driver */
void require_unbind(const struct known *known);

/** drive_throttle - have the drives SLOW or HOT move no more than that; 0 is no limit */
void drive_throttle(const struct known *known, unsigned int bytes_per_second);

/*
 * A way to take a drive away, and to get it back. When it is unplugged the kernel is asked
 * first, as by the button of a slot; when it is pulled it hears of it afterwards.
 * What is detached is its namespace alone.
 */
enum way { UNBIND, REMOVE, UNPLUG, PULL, DETACH };

/**
 * struct device - a drive that leaves
 * @way: how
 * @known: which
 * @path: of its namespace, while it is there
 */
struct device {
	enum way way;
	const struct known *known;
	char path[64];
};

/** device_find - get hold of it, which a test that failed may not have returned */
void device_find(struct device *d, enum way way, const struct known *known);

/** device_take - returns when it is gone */
void device_take(const struct device *d);
void device_return(struct device *d);

/** device_file - a file below the sysfs directory of its PCI device */
void device_file(const struct device *d, const char *name, char *path, size_t size);

/** check_gone - what is left of a map when its controller is gone */
void check_gone(struct rig *rig);

/** check_works - it can be attached, and moves the right data */
void check_works(const struct device *d);

/** check_ended - a command that the driver may have given up: done, or said why not */
void check_ended(const struct nvme_dmabuf_completion *c, uint64_t length);

/**
 * struct worker - a thread that submits again and again until the drive is gone
 * @rig: with a map of 256 KiB or more, which it reads to
 * @rounds: how often
 */
struct worker {
	struct rig *rig;
	volatile unsigned int rounds;
	pthread_t handle;
};

/** workers_start - returns when all of them have work done */
void workers_start(struct worker *workers, unsigned int count, struct rig *rig);
void workers_join(struct worker *workers, unsigned int count);

#endif
