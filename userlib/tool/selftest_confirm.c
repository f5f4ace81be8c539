// SPDX-License-Identifier: MIT
/*
 * What 'selftest --write' shows before it overwrites anything, and how a person
 * agrees. The only file that knows libblkid.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <blkid/blkid.h>

#include "selftest.h"

/* "ext4 (label home)", "gpt partition table"; false if nothing is known. */
static bool looks_like(int fd, char *text, size_t size)
{
	const char *type = NULL, *label = NULL, *table = NULL;
	blkid_probe pr = blkid_new_probe();
	bool known = false;

	if (!pr)
		return false;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
	blkid_probe_enable_partitions(pr, 1);
	/* 0 is one result, -2 several: then whatever is known is shown. */
	if (blkid_probe_set_device(pr, fd, 0, 0) == 0 && blkid_do_safeprobe(pr) != -1) {
		blkid_probe_lookup_value(pr, "TYPE", &type, NULL);
		blkid_probe_lookup_value(pr, "LABEL", &label, NULL);
		blkid_probe_lookup_value(pr, "PTTYPE", &table, NULL);
	}
	if (type) {
		snprintf(text, size, "%s%s%s%s", type, label ? ", label '" : "", label ? label : "",
			 label ? "'" : "");
		known = true;
	} else if (table) {
		snprintf(text, size, "%s partition table", table);
		known = true;
	}
	blkid_free_probe(pr);
	return known;
}

static void show_bytes(const uint8_t *mem, size_t length)
{
	for (size_t at = 0; at < length; at += 16) {
		fprintf(stderr, "    %04zx ", at);
		for (size_t i = at; i < at + 16; i++)
			fprintf(stderr, " %02x", mem[i]);
		fprintf(stderr, "  ");
		for (size_t i = at; i < at + 16; i++)
			fputc(isprint(mem[i]) ? mem[i] : '.', stderr);
		fputc('\n', stderr);
	}
}

static void show(const struct selftest *st, const struct nvmedmabuf_drive *drive,
		 const uint8_t *contents)
{
	uint64_t length = st->count * st->info.out_block_size, used = 0;
	char text[256], size[SIZE_TEXT];

	for (uint64_t b = 0; b < st->count; b++) {
		const uint8_t *block = contents + b * st->info.out_block_size;

		/* Zeroes: the first is, and each equals the one before. */
		used += block[0] || memcmp(block, block + 1, st->info.out_block_size - 1);
	}

	fprintf(stderr,
		"This test will overwrite, and put back at the end:\n"
		"  device        %s, namespace %" PRIu32 "\n"
		"  drive         %s, serial %s, firmware %s\n"
		"  blocks        %" PRIu64 " to %" PRIu64 " of %s, %" PRIu64 " bytes each\n",
		st->ns.path, st->info.out_nsid, drive->model, drive->serial, drive->firmware,
		st->start, st->start + st->count - 1, st->ns.name,
		(uint64_t)st->info.out_block_size);
	if (st->ns.partition)
		fprintf(stderr, "                (blocks %" PRIu64 " to %" PRIu64 " of %s)\n",
			(uint64_t)st->info.out_start + st->start,
			(uint64_t)st->info.out_start + st->start + st->count - 1, st->ns.disk);
	fprintf(stderr,
		"  size          %s (%" PRIu64 " bytes)\n"
		"  looks like    %s\n"
		"  holds         %" PRIu64 " blocks that are not all zeroes, of %" PRIu64
		"; it begins:\n",
		size_text(length, size), length,
		looks_like(st->ns.fd, text, sizeof(text)) ?
			text :
			"nothing known (no file system, no partition table)",
		used, st->count);
	show_bytes(contents, 64);
	fprintf(stderr,
		"If this is interrupted by SIGKILL, a crash or a power failure, the original\n"
		"contents are lost%s%s.\n",
		st->save_file ? ", but for the copy in " : "; --save FILE keeps a copy",
		st->save_file ? st->save_file : "");
}

int selftest_confirm(struct selftest *st, const struct nvmedmabuf_drive *drive,
		     const uint8_t *contents)
{
	/* A drive without a serial number is confirmed by its name. */
	const char *serial = drive->serial[0] ? drive->serial : st->ns.name;
	char answer[80];

	show(st, drive, contents);
	if (st->confirmed_serial) {
		if (strcmp(st->confirmed_serial, serial) == 0)
			return TOOL_OK;
		return report_error(
			TOOL_REFUSED, "not-confirmed",
			"--yes-overwrite=%s is not the serial number of this drive, %s; nothing was written",
			st->confirmed_serial, serial);
	}
	if (!isatty(STDIN_FILENO))
		return report_error(
			TOOL_REFUSED, "not-confirmed",
			"nobody can be asked: run it on a terminal, or give --yes-overwrite=%s; nothing was written",
			serial);

	fprintf(stderr, "Type the serial number of the drive to go on: ");
	fflush(stderr);
	if (fgets(answer, sizeof(answer), stdin)) {
		answer[strcspn(answer, "\n")] = '\0';
		if (strcmp(answer, serial) == 0)
			return TOOL_OK;
	}
	return report_error(TOOL_REFUSED, "not-confirmed",
			    "that is not the serial number; nothing was written");
}
