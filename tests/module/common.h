/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all module tests need: what the environment allows them to use, random
 * numbers that can be reproduced, and the namespace as seen through the block
 * layer, which is the independent witness. Does not use the module itself, and
 * compiles for 32-bit programs too.
 *
 * The environment is the contract with the scripts that run the tests:
 *
 *   NVME_DMABUF_NS		the namespace to test
 *   NVME_DMABUF_ERASE=yes	its contents, and those of all the drives below,
 *				may be destroyed
 *   NVME_DMABUF_NS_<NAME>	a drive with a special property, see tests/vm/drives.sh
 *   NVME_DMABUF_DISPOSABLE=yes	the machine is there for tests only: kernel
 *				modules may be loaded and NVMe targets made
 *   NVME_DMABUF_UNBIND=yes	drives may be taken from their driver
 *   NVME_DMABUF_SUSPEND=yes	the machine may be suspended, and survives it
 *   NVME_DMABUF_MODULE		nvme_dmabuf.ko, to be removed and inserted again
 *   NVME_DMABUF_TOOL		the tool, for what it does with real file systems
 *   NVME_DMABUF_CRASH		a port: who writes "crash" to it kills the machine, which
 *				boots a second time
 *   NVME_DMABUF_LIFE		1, or 2 in the second boot
 *   SEED, SCALE		reproduce a run; multiply the number of rounds
 *   QUEUE_COMMANDS	how many commands to count, see struct tally
 *   CANARY_ROUNDS	how often files_canary gives blocks of a file to another one
 */
#ifndef TESTS_MODULE_COMMON_H
#define TESTS_MODULE_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/nvme_dmabuf.h>

#include "tap.h"

#define DEVICE "/dev/nvme-dmabuf"

#define KIB  1024ULL
#define MIB  (1024 * KIB)
#define PAGE 4096ULL

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/** require_device - end the program with a reason if the module is not loaded */
void require_device(void);

/** device_open - open /dev/nvme-dmabuf without the library */
int device_open(void);

bool may_erase(void);
void require_erase(void);
void require_disposable(void);

/** drive_path - path of a special drive, or skip */
const char *drive_path(const char *name);

/** main_drive - path of the namespace to test, or skip */
const char *main_drive(void);

/** drive_name - what a drive is called in the environment, or its device's name */
const char *drive_name(const char *path);

/** plain_drives - namespaces without special properties; returns how many */
unsigned int plain_drives(const char *paths[3]);

/** scaled - a number of rounds, times SCALE */
unsigned int scaled(unsigned int rounds);

/**
 * struct tally - many commands, each of which is to complete once
 * @total: how many
 * @next: number of the next one
 * @done: how many have completed
 * @state: of each: 1 if it is in flight, 2 if it has ended
 */
struct tally {
	uint64_t total;
	uint64_t next;
	uint64_t done;
	uint8_t *state;
};

/** tally_open - QUEUE_COMMANDS, or 20,000 times SCALE */
void tally_open(struct tally *t);

/** tally_room - how many may be started, of which @most may be in flight */
uint64_t tally_room(const struct tally *t, uint64_t most);

/** tally_start - returns the number of a command that is to be submitted */
uint64_t tally_start(struct tally *t);

/** tally_end - fails unless that command is in flight */
void tally_end(struct tally *t, uint64_t number);

/** tally_close - fails unless all have completed */
void tally_close(struct tally *t);

/*
 * Random numbers. Every test starts from the seed and its own name, so it does
 * the same when it is run alone. A thread starts a stream of its own; the first
 * stream starts by itself.
 */
void rnd_start(unsigned int stream);
uint64_t rnd(void);
uint64_t rnd_below(uint64_t limit);
void rnd_fill(void *to, size_t length);

/** pages_alloc - zeroed memory, aligned to a page */
void *pages_alloc(size_t length);

/** compare - fail, with where and what, if two pieces of memory differ */
void compare(const char *what, const void *actual, const void *expected, size_t length,
	     uint64_t first);

/**
 * struct drive - a block device, used past the page cache
 * @path: as given
 * @fd: open O_DIRECT; for writing if and only if may_erase()
 * @block: bytes of a logical block
 * @blocks: how many
 */
struct drive {
	const char *path;
	int fd;
	uint32_t block;
	uint64_t blocks;
};

void drive_open(struct drive *drive, const char *path);
void drive_close(struct drive *drive);
void drive_read(const struct drive *drive, uint64_t slba, void *to, size_t length);
void drive_write(const struct drive *drive, uint64_t slba, const void *from, size_t length);

/** drive_attribute - read a sysfs attribute below /sys/class/block/<disk> */
bool drive_attribute(const char *path, const char *attribute, char *to, size_t size);

/** drive_attribute_put - write to one, which must succeed */
void drive_attribute_put(const char *path, const char *attribute, const char *text);

/**
 * struct pci_address - a PCI device
 * @name: as in sysfs
 * @domain, @bdf: the same, as in the uapi
 */
struct pci_address {
	char name[16];
	uint32_t domain;
	uint32_t bdf;
};

/** pci_find - the device with these numbers, after so many others */
bool pci_find(unsigned int vendor, unsigned int device, unsigned int skip,
	      struct pci_address *address);

/*
 * Waiting for something that the kernel announces nowhere: looks every
 * millisecond, and fails after a minute.
 */
#define wait_until(condition)                                                           \
	do {                                                                            \
		uint64_t end_ = now_ms() + 60000;                                       \
		while (!(condition)) {                                                  \
			check_that(now_ms() < end_, "never came true: %s", #condition); \
			pause_ms();                                                     \
		}                                                                       \
	} while (0)

uint64_t now_ms(void);
void pause_ms(void);

/** file_number - the first number in a file, or -1 */
long long file_number(const char *path);

/** file_put - write a short text to a file of sysfs or configfs; returns success */
bool file_put(const char *path, const char *text);

/** parameter_swap - set a parameter of the module's, and return in @value what it was */
void parameter_swap(const char *name, char value[16]);

/**
 * partition_change - add, resize or delete a partition
 * @disk: the whole device's file
 * @operation: BLKPG_*_PARTITION of linux/blkpg.h
 * @number: the partition's
 * @start, @length: in bytes; 0 to delete it
 *
 * Return: 0 or a negative error number.
 */
int partition_change(int disk, int operation, int number, uint64_t start, uint64_t length);

/** open_files - descriptors that this process has, and a few more */
unsigned int open_files(void);

/** next_file - the descriptor that the next file gets: also shows what is reserved */
int next_file(void);

/** module_path - the module's file, or skip */
const char *module_path(void);

/** module_remove - returns 0 or -errno */
int module_remove(void);

/** module_insert - returns when the device is there */
void module_insert(const char *path, const char *parameters);

/** run_quietly - run a shell command; returns whether it succeeded */
bool run_quietly(const char *command, ...) PRINTF(1, 2);

#endif
