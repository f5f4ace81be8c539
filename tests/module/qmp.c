// SPDX-License-Identifier: GPL-2.0-only
/* See qmp.h. */
#define _GNU_SOURCE
#include "qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *port_path(void)
{
	const char *path = getenv("NVME_DMABUF_QMP");

	return path && *path ? path : NULL;
}

void require_qmp(void)
{
	if (!port_path())
		skip("nobody here can pull a plug; NVME_DMABUF_QMP is not set");
}

/* Reads a line, or as much of it as there is room for. */
static void read_line(int port, char *line, size_t size)
{
	struct pollfd p = { .fd = port, .events = POLLIN };
	size_t length = 0;
	char c = 0;

	while (c != '\n') {
		check_that(poll(&p, 1, 60000) == 1, "no reply by QEMU");
		check_eq(check_sys(read(port, &c, 1)), 1);
		if (length < size - 1)
			line[length++] = c;
	}
	line[length] = 0;
}

/* Events that come in between are dropped. */
static bool ask(int port, const char *request)
{
	static const char done[] = "{\"return\"", failed[] = "{\"error\"";
	char line[64];

	check_eq(check_sys(write(port, request, strlen(request))), strlen(request));
	for (;;) {
		read_line(port, line, sizeof(line));
		if (!strncmp(line, done, strlen(done)))
			return true;
		if (!strncmp(line, failed, strlen(failed)))
			return false;
	}
}

bool qmp(const char *command, const char *arguments, ...)
{
	char filled[512], request[640];
	va_list args;
	bool done;
	int port;

	va_start(args, arguments);
	vsnprintf(filled, sizeof(filled), arguments, args);
	va_end(args);
	snprintf(request, sizeof(request), "{\"execute\": \"%s\", \"arguments\": %s}\n", command,
		 filled);

	/* It can be open once only. */
	wait_until((port = open(port_path(), O_RDWR | O_CLOEXEC)) >= 0);
	/* The first command of a connection; QEMU refuses it when it comes again. */
	ask(port, "{\"execute\": \"qmp_capabilities\"}\n");
	done = ask(port, request);
	check_sys(close(port));
	return done;
}
