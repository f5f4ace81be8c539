// SPDX-License-Identifier: MIT
/*
 * Reading sysfs and listing directories. Knows nothing of what is there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device.h"

static int format_path(char *path, size_t size, const char *fmt, va_list args)
{
	int n = vsnprintf(path, size, fmt, args);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int sysfs_read(char *value, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	ssize_t n;
	int fd, ret;

	value[0] = '\0';
	va_start(args, fmt);
	ret = format_path(path, sizeof(path), fmt, args);
	va_end(args);
	if (ret)
		return ret;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, value, size - 1);
	ret = n < 0 ? -errno : 0;
	close(fd);
	if (ret)
		return ret;
	while (n > 0 && (value[n - 1] == '\n' || value[n - 1] == ' '))
		n--;
	value[n] = '\0';
	return 0;
}

bool sysfs_exists(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = format_path(path, sizeof(path), fmt, args);
	va_end(args);
	return !ret && access(path, F_OK) == 0;
}

int sysfs_link_name(char *name, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX], real[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = format_path(path, sizeof(path), fmt, args);
	va_end(args);
	if (ret)
		return ret;
	if (!realpath(path, real))
		return -errno;
	ret = snprintf(name, size, "%s", strrchr(real, '/') + 1);
	return ret < 0 || (size_t)ret >= size ? -ENAMETOOLONG : 0;
}

static int by_count(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

int names_list(const char *dir, bool (*want)(const char *name), char ***names)
{
	struct dirent *entry;
	char **list = NULL;
	int count = 0;
	DIR *d = opendir(dir);

	*names = NULL;
	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		char **grown;

		if (entry->d_name[0] == '.' || (want && !want(entry->d_name)))
			continue;
		grown = realloc(list, (count + 1) * sizeof(*list));
		if (!grown)
			goto no_memory;
		list = grown;
		list[count] = strdup(entry->d_name);
		if (!list[count])
			goto no_memory;
		count++;
	}
	closedir(d);
	if (count)
		qsort(list, count, sizeof(*list), by_count);
	*names = list;
	return count;

no_memory:
	names_free(list, count);
	closedir(d);
	return -ENOMEM;
}

void names_free(char **names, int count)
{
	for (int i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
