// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench PART BLOCK-DEVICE GENERIC-DEVICE - one part of the benchmark, on one drive
 *
 * PATHS, LAYOUTS, SIZES (KiB) and DEPTHS in the environment choose what is measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench.h"
#include "parts.h"

void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	fprintf(stderr, "bench: ");
	errno = error;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void note(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

bool wanted(const char *variable, const char *word)
{
	const char *list = getenv(variable), *at = list;
	size_t length = strlen(word);

	if (!list || !*list)
		return true;
	while ((at = strstr(at, word))) {
		if ((at == list || at[-1] == ' ') && (!at[length] || at[length] == ' '))
			return true;
		at += length;
	}
	return false;
}

bool wanted_number(const char *variable, uint64_t number)
{
	char word[24];

	snprintf(word, sizeof(word), "%llu", (unsigned long long)number);
	return wanted(variable, word);
}

const struct path *const *all_paths(void)
{
	static const struct path *const known[] = { &path_read_fixed, &path_uring_cmd, &path_ioctl,
						    &path_uring };
	static const struct path *list[ARRAY_SIZE(known) + 1];
	uint32_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (wanted("PATHS", known[i]->name))
			list[count++] = known[i];
	list[count] = NULL;
	return list;
}

void random_ios(const struct job *job, struct io ios[MAX_DEPTH])
{
	uint64_t slots = job->memory->size / job->bytes;

	for (uint32_t i = 0; i < job->depth; i++) {
		uint64_t turn = random() % (slots / MAX_DEPTH);

		ios[i].offset = (i + turn * MAX_DEPTH) * job->bytes;
		ios[i].start = 2 * (random() % (job->span / 2 / job->bytes)) * job->bytes;
	}
}

void print_start(const char *part, const char *path)
{
	const char *iommu = getenv("VM_IOMMU");
	struct utsname name;

	uname(&name);
	printf("%s {", part);
	if (path)
		printf("\"path\": \"%s\", ", path);
	printf("\"kernel\": \"%s\", \"iommu\": \"%s\"", name.release, iommu ? iommu : "");
}

const char *error_name(int error)
{
	static char text[32];

	if (error < 0)
		return strerrorname_np(-error);
	snprintf(text, sizeof(text), "NVMe status %#x", error);
	return text;
}

int main(int argc, char **argv)
{
	struct job job;

	if (argc != 4)
		die("usage: bench PART BLOCK-DEVICE GENERIC-DEVICE");
	job = (struct job){
		.block = argv[2], .generic = argv[3], .span = 2 * GIB, .maps = 1, .threads = 1
	};
	srandom(1);
	if (!strcmp(argv[1], "count"))
		count_part(&job);
	else if (!strcmp(argv[1], "events"))
		events_part(&job);
	else if (!strcmp(argv[1], "attach"))
		attach_part(&job);
	else if (!strcmp(argv[1], "sharing"))
		sharing_part(&job);
	else if (!strcmp(argv[1], "files"))
		files_part(&job);
	else if (!strcmp(argv[1], "where"))
		where_part(&job);
	else
		die("no part '%s'", argv[1]);
	return 0;
}
