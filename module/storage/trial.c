// SPDX-License-Identifier: GPL-2.0-only
/*
 * Trials: see trial.h. Must not know devices, user memory or kernel objects.
 */
#include "trial.h"

#define WORDS_PER_PAGE (PRP_PAGE_SIZE / sizeof(__le64))

static __u64 trial_address(const struct trial *trial, __u32 page)
{
	return trial->dma + (__u64)page * PRP_PAGE_SIZE;
}

/* The page of the memory where a page of the data goes. */
static __u32 trial_page(const struct trial *trial, __u32 nth)
{
	const __u32 half = TRIAL_DATA_PAGES / 2;

	if (trial->data_pages <= TRIAL_DATA_PAGES || nth < half)
		return TRIAL_DATA + nth;
	if (nth >= trial->data_pages - half)
		return TRIAL_DATA + TRIAL_DATA_PAGES - (trial->data_pages - nth);
	return TRIAL_REST;
}

/* What the CPU writes to a word of the memory. The list's words come first. */
static __u64 trial_word(const struct trial *trial, __u32 word)
{
	if (word >= trial->slot && word - trial->slot < trial->nr_slots)
		return trial_address(trial, trial_page(trial, word - trial->slot + 1));
	return trial->fill;
}

static void trial_fill(struct trial *trial)
{
	__u32 i;

	for (i = 0; i < trial->nr_pages * WORDS_PER_PAGE; i++)
		trial->words[i] = cpu_to_le64(trial_word(trial, i));
}

static void trial_add_run(struct trial *trial, __u32 from, __u32 length)
{
	trial->runs[trial->nr_runs++] = (struct trial_run){ from, from + length };
}

static void trial_begin(struct trial *trial, __u32 length, __u32 offset)
{
	trial->fill = trial_address(trial, TRIAL_SINK);
	trial->data_pages = (offset + length + PRP_PAGE_MASK) >> PRP_PAGE_SHIFT;
	trial->slot = 0;
	trial->nr_slots = 0;
	trial->nr_runs = 0;
	trial->prp1 = trial_address(trial, TRIAL_DATA) + offset;
	trial->prp2 = trial_address(trial, TRIAL_LIST);
	trial->length = length;
	trial->again = 0;
	trial->moved = 0;
}

/**
 * trial_prepare - a read by PRPs
 * @trial: the trial, with its memory
 * @length: bytes to read, not 0, a multiple of 8
 * @offset: where in its first page the data begins, a multiple of 8
 * @slot: where the list begins if there is one; TRIAL_ODD_SLOT and up to PRP_MAX_BYTES
 *	from any offset fit in
 *
 * If there is no list, the PRP Entry 2 still leads into the memory, for a drive that
 * moves more than it should.
 */
void trial_prepare(struct trial *trial, __u32 length, __u32 offset, __u32 slot)
{
	__u32 nth, left = length, page, here;

	trial_begin(trial, length, offset);
	if (trial->data_pages == 2)
		trial->prp2 = trial_address(trial, TRIAL_DATA + 1);
	if (trial->data_pages > 2) {
		trial->slot = slot;
		trial->nr_slots = trial->data_pages - 1;
		trial->prp2 += slot * sizeof(__le64);
	}
	for (nth = 0; nth < trial->data_pages; nth++) {
		page = trial_page(trial, nth);
		here = PRP_PAGE_SIZE - offset;
		if (here > left)
			here = left;
		/* One run for all pages of the data that share a page of the memory. */
		if (page != TRIAL_REST || trial_page(trial, nth - 1) != TRIAL_REST)
			trial_add_run(trial, page * PRP_PAGE_SIZE + offset, here);
		left -= here;
		offset = 0;
	}
	trial_fill(trial);
}

/**
 * trial_prepare_sgl - a read by an SGL of one descriptor
 * @trial: the trial, with its memory
 * @length: bytes that the descriptor says, a multiple of 8
 * @offset: where in its first page the data begins, a multiple of 8
 *
 * The data must end before the memory's last page. While it stays in its first page, a
 * drive that takes the descriptor for PRPs moves it there as well, and no further.
 */
void trial_prepare_sgl(struct trial *trial, __u32 length, __u32 offset)
{
	trial_begin(trial, length, offset);
	trial_add_run(trial, TRIAL_DATA * PRP_PAGE_SIZE + offset, length);
	trial_fill(trial);
}

/**
 * trial_again - prepare the same read with other words in the memory
 * @trial: a trial of which trial_judge() has said TRIAL_AGAIN
 */
void trial_again(struct trial *trial)
{
	trial->again = 1;
	trial->fill = trial_address(trial, trial->nr_pages - 1);
	trial_fill(trial);
}

static __u8 trial_expects(const struct trial *trial, __u32 word)
{
	__u32 at = word * sizeof(__le64), i;

	for (i = 0; i < trial->nr_runs; i++)
		if (at >= trial->runs[i].from && at < trial->runs[i].to)
			return 1;
	return 0;
}

/**
 * trial_judge - what has a read shown, that the drive completed without an error?
 * @trial: the trial
 */
enum trial_verdict trial_judge(struct trial *trial)
{
	__u8 complete = 1;
	__u32 i;

	for (i = 0; i < trial->nr_pages * WORDS_PER_PAGE; i++) {
		__u8 changed = le64_to_cpu(trial->words[i]) != trial_word(trial, i);

		if (!trial_expects(trial, i)) {
			if (changed)
				return TRIAL_WRONG;
		} else if (changed) {
			trial->moved = 1;
		} else {
			complete = 0;
		}
	}
	if (complete)
		return TRIAL_RIGHT;
	if (!trial->again)
		return TRIAL_AGAIN;
	return trial->moved ? TRIAL_WRONG : TRIAL_NOTHING;
}

/**
 * trial_sum - a checksum of the data, in which the order counts
 * @trial: a trial that was read
 * @sum: 0, or the sum of the data before
 */
__u64 trial_sum(const struct trial *trial, __u64 sum)
{
	__u32 i, at;

	for (i = 0; i < trial->nr_runs; i++)
		for (at = trial->runs[i].from; at < trial->runs[i].to; at += sizeof(__le64)) {
			sum ^= le64_to_cpu(trial->words[at / sizeof(__le64)]);
			/* The multiplier of the 64-bit FNV hash; high bits come down, too. */
			sum *= 0x100000001b3ULL;
			sum ^= sum >> 29;
		}
	return sum;
}
