// SPDX-License-Identifier: MIT
/* What the exporters of GPU memory share. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vendor.h"

/* More than a machine has devices. */
#define MAX_DIGITS 3

bool takes_number(const char *argument)
{
	size_t digits;

	if (!argument)
		return true;
	digits = strspn(argument, "0123456789");
	return digits && digits <= MAX_DIGITS && !argument[digits];
}

unsigned int device_number(const char *argument)
{
	return argument ? (unsigned int)strtoul(argument, NULL, 10) : 0;
}

int vendor_load(const char *file, const struct vendor_function *list, size_t count, void *to,
		void **library)
{
	void *function;

	*library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!*library)
		return -ELIBACC;
	for (size_t i = 0; i < count; i++) {
		function = dlsym(*library, list[i].name);
		if (!function) {
			vendor_unload(*library);
			return -ENOSYS;
		}
		/* C does not convert pointers to data into pointers to functions. */
		memcpy((char *)to + list[i].offset, &function, sizeof(function));
	}
	return 0;
}

void vendor_unload(void *library)
{
	dlclose(library);
}

int vendor_buffer(int fd, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	struct nvmedmabuf_buffer *new;
	int ret;

	ret = buffer_new(fd, &new);
	if (ret)
		return ret;
	if (new->size < size) {
		nvmedmabuf_buffer_free(new);
		return -EINVAL;
	}
	*buf = new;
	return 0;
}
