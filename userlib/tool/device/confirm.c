// SPDX-License-Identifier: MIT
/*
 * What is shown before blocks are overwritten for the sake of a test, and how a
 * person agrees. The only file that knows libblkid.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <blkid/blkid.h>

#include "device.h"

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

static uint64_t blocks_in_use(const struct overwrite *o)
{
	uint64_t bs = o->info->out_block_size, used = 0;

	for (uint64_t b = 0; b < o->looked_at; b++)
		used += !is_zero(o->contents + b * bs, bs);
	return used;
}

static void show_drive(const struct overwrite *o, const struct nvmedmabuf_drive *drive)
{
	fprintf(stderr,
		"  device        %s, namespace %" PRIu32 "\n"
		"  drive         %s, serial %s, firmware %s\n",
		o->ns->path, o->info->out_nsid, drive->model, drive->serial, drive->firmware);
}

static void show_file(const struct overwrite *o)
{
	struct mount m;

	fprintf(stderr, "  file          %s, %" PRIu64 " bytes\n", o->ns->path, o->ns->bytes);
	if (!file_get_mount(o->ns, &m))
		fprintf(stderr, "  file system   %s on %s, of %s\n", m.type, m.where, m.source);
}

/* @drive is NULL of a file: who may write to that need not be able to ask the drive. */
static void show(const struct overwrite *o, const struct nvmedmabuf_drive *drive)
{
	uint64_t length = o->count * o->info->out_block_size;
	char text[256], size[SIZE_TEXT];

	fprintf(stderr, "%s\n", o->intent);
	if (drive)
		show_drive(o, drive);
	else
		show_file(o);
	fprintf(stderr,
		"  blocks        %" PRIu64 " to %" PRIu64 " of %s, %" PRIu64 " bytes each\n",
		o->start, o->start + o->count - 1, drive ? o->ns->name : o->ns->path,
		(uint64_t)o->info->out_block_size);
	if (drive && o->ns->partition)
		fprintf(stderr, "                (blocks %" PRIu64 " to %" PRIu64 " of %s)\n",
			(uint64_t)o->info->out_start + o->start,
			(uint64_t)o->info->out_start + o->start + o->count - 1, o->ns->disk);
	fprintf(stderr,
		"  size          %s (%" PRIu64 " bytes)\n"
		"  looks like    %s\n"
		"  holds         %" PRIu64 " blocks that are not all zeroes, of %s%" PRIu64
		"; it begins:\n",
		size_text(length, size), length,
		looks_like(o->ns->fd, text, sizeof(text)) ?
			text :
			"nothing known (no file system, no partition table)",
		blocks_in_use(o), o->looked_at < o->count ? "the first " : "", o->looked_at);
	show_bytes(o->contents, 64);
	fputs(o->warning, stderr);
}

/* @word is the @what of this @whose. */
static int agree(const struct overwrite *o, const char *word, const char *what, const char *whose)
{
	char answer[PATH_SIZE + 1];

	if (o->confirmed) {
		if (strcmp(o->confirmed, word) == 0)
			return TOOL_OK;
		return report_error(
			TOOL_REFUSED, "not-confirmed",
			"--yes-overwrite=%s is not the %s of this %s, %s; nothing was written",
			o->confirmed, what, whose, word);
	}
	if (!isatty(STDIN_FILENO))
		return report_error(
			TOOL_REFUSED, "not-confirmed",
			"nobody can be asked: run it on a terminal, or give --yes-overwrite=%s; nothing was written",
			word);

	fprintf(stderr, "Type the %s of the %s to go on: ", what, whose);
	fflush(stderr);
	if (fgets(answer, sizeof(answer), stdin)) {
		answer[strcspn(answer, "\n")] = '\0';
		if (strcmp(answer, word) == 0)
			return TOOL_OK;
	}
	return report_error(TOOL_REFUSED, "not-confirmed",
			    "that is not the %s; nothing was written", what);
}

int overwrite_confirm(const struct overwrite *o)
{
	struct nvmedmabuf_drive drive = { .size = sizeof(drive) };
	int ret;

	if (o->ns->is_file) {
		show(o, NULL);
		return agree(o, o->ns->path, "path", "file");
	}
	ret = nvmedmabuf_get_drive(o->ns->fd, &drive);
	if (ret)
		return report_error(
			TOOL_REFUSED, "no-drive",
			"the drive behind %s cannot be identified (%s), so it is not written to; run this as root",
			o->ns->path, strerror(-ret));
	show(o, &drive);
	/* A drive without a serial number is confirmed by its name. */
	return agree(o, drive.serial[0] ? drive.serial : o->ns->name, "serial number", "drive");
}
