// SPDX-License-Identifier: MIT
/*
 * The mounted file systems, as /proc/self/mountinfo lists them.
 */
#include <stdlib.h>
#include <string.h>

#include <sys/sysmacros.h>

#include "device.h"

FILE *mounts_open(void)
{
	return fopen("/proc/self/mountinfo", "re");
}

void mounts_unescape(char *s)
{
	char *out = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*out++ = (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0');
			s += 3;
		} else {
			*out++ = *s;
		}
	}
	*out = '\0';
}

static void take(char *to, size_t size, const char *word)
{
	snprintf(to, size, "%s", word ? word : "");
	mounts_unescape(to);
}

/* ID PARENT MAJOR:MINOR ROOT WHERE OPTIONS... - TYPE SOURCE ... */
static bool parse(char *line, struct mount *m)
{
	char *tail = strstr(line, " - "), *where = malloc(strlen(line) + 1);
	unsigned int ma, mi;
	bool good;

	good = tail && where && sscanf(line, "%lu %*u %u:%u %*s %s", &m->id, &ma, &mi, where) == 4;
	if (good) {
		m->dev = makedev(ma, mi);
		take(m->where, sizeof(m->where), where);
		take(m->type, sizeof(m->type), strtok(tail + 3, " "));
		take(m->source, sizeof(m->source), strtok(NULL, " \n"));
	}
	free(where);
	return good;
}

bool mounts_next(FILE *mounts, struct mount *m)
{
	char *line = NULL;
	bool good = false;
	size_t size = 0;

	while (!good && getline(&line, &size, mounts) > 0)
		good = parse(line, m);
	free(line);
	return good;
}
