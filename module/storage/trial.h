/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trials: test reads into memory of the module's own, laid out to show whether the
 * drive puts all data where the command says, and nothing elsewhere. Pure: knows no
 * device and no user memory, and compiles in user space, where tests/unit judges
 * drives that are wrong in many ways.
 *
 * The memory is a few pages in one piece: a PRP list, a sink, a page for what is not
 * looked at page by page, data pages, and a guard page behind them. Every 8 bytes of
 * it hold the address of one of these pages. So wherever a drive believes to find a
 * list, it finds the module's own pages, and writes to nothing else.
 *
 * Data was moved to a place if its words are no longer what the CPU wrote there. They may
 * also be unchanged because the drive holds just these words: then the same is read
 * again with other words in the memory.
 */
#ifndef NVME_DMABUF_TRIAL_H
#define NVME_DMABUF_TRIAL_H

#include "../memory/prp.h"

enum {
	TRIAL_LIST, /* the PRP list */
	TRIAL_SINK, /* where entries lead that the command does not use */
	TRIAL_REST, /* where the entries between the first and the last data pages lead */
	TRIAL_DATA, /* the first data page */
	TRIAL_DATA_PAGES = 4,
	TRIAL_PAGES = TRIAL_DATA + TRIAL_DATA_PAGES + 1, /* with a guard page at the end */
};

/* A list entered here is as misaligned as lists get, and every mask shows. */
#define TRIAL_ODD_SLOT (PRP_STRIDE - 1)

/* Where data begins in its first page: in the middle, as that of commands may. */
#define TRIAL_OFFSET (PRP_PAGE_SIZE / 2)

/**
 * enum trial_verdict - what a test read has shown
 * @TRIAL_RIGHT: all data is where it belongs, and nothing elsewhere
 * @TRIAL_AGAIN: not yet known: trial_again(), and read once more
 * @TRIAL_NOTHING: the drive moves nothing at all, as emulators have for measurements,
 *	which does no harm
 * @TRIAL_WRONG: data is missing, or was moved to where it does not belong
 */
enum trial_verdict { TRIAL_RIGHT, TRIAL_AGAIN, TRIAL_NOTHING, TRIAL_WRONG };

/**
 * struct trial_run - bytes of the memory that the data is to fill
 * @from: the first one, from the start of the memory
 * @to: behind the last one
 */
struct trial_run {
	__u32 from;
	__u32 to;
};

/**
 * struct trial - a test read
 * @words: the memory, of @nr_pages pages in one piece
 * @dma: address at which the drive finds it
 * @nr_pages: TRIAL_PAGES, or more for an SGL that is longer than TRIAL_DATA_PAGES
 * @fill: what the CPU writes to all words but the list's entries
 * @data_pages: pages that the data touches
 * @slot: the list's first entry
 * @nr_slots: the list's entries
 * @runs: where the data is to be, in the order of the data
 * @nr_runs: how many
 * @prp1: PRP Entry 1, or the address for an SGL
 * @prp2: PRP Entry 2; not for SGLs
 * @length: bytes of data
 * @again: this is the second read
 * @moved: the first read has moved a part of the data
 */
struct trial {
	__le64 *words;
	__u64 dma;
	__u32 nr_pages;
	__u64 fill;
	__u32 data_pages;
	__u32 slot;
	__u32 nr_slots;
	struct trial_run runs[TRIAL_DATA_PAGES + 1];
	__u32 nr_runs;
	__u64 prp1;
	__u64 prp2;
	__u32 length;
	__u8 again;
	__u8 moved;
};

void trial_prepare(struct trial *trial, __u32 length, __u32 offset, __u32 slot);
void trial_prepare_sgl(struct trial *trial, __u32 length, __u32 offset);
void trial_again(struct trial *trial);
enum trial_verdict trial_judge(struct trial *trial);
__u64 trial_sum(const struct trial *trial, __u64 sum);

#endif
