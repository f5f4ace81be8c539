// SPDX-License-Identifier: MIT
/* What the stand-ins of vendors' libraries share. */
#include "standin.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/udmabuf.h>

/* With udmabuf, so that the tool can be tried with them. */
static int udmabuf(uint64_t size)
{
	struct udmabuf_create create = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd = -1;

	create.memfd = (uint32_t)memfd_create("standin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (!ftruncate((int)create.memfd, (off_t)size) &&
	    !fcntl((int)create.memfd, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = ioctl(dev, UDMABUF_CREATE, &create);
	close((int)create.memfd);
	close(dev);
	return fd;
}

struct standin standin = { .exported = udmabuf };

bool standin_fails(const char *call)
{
	if (++standin.calls != standin.fail_at)
		return false;
	standin.failed = call;
	return true;
}

void standin_expect(bool good, const char *call, const char *what)
{
	if (!good && !standin.wrong[0])
		snprintf(standin.wrong, sizeof(standin.wrong), "%s: not %s", call, what);
}

int standin_export(uint64_t size)
{
	return standin.exported(standin.trait == DMABUF_IS_SMALLER ? 1 : size);
}
