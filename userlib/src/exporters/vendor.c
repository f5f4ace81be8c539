// SPDX-License-Identifier: MIT
/* What the exporters of GPU memory share. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../library.h"
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

/* What struct nvmedmabuf_buffer keeps; the vendor's own stands behind it. */
struct kept {
	const struct vendor *vendor;
	void *library;
	max_align_t own[];
};

static void release(void *kept)
{
	struct kept *k = kept;

	k->vendor->release(k->own);
	dlclose(k->library);
	free(k);
}

int vendor_create(const struct vendor *vendor, const char *argument, uint64_t size,
		  struct nvmedmabuf_buffer **buf)
{
	const uint64_t unit = vendor->unit ? vendor->unit : (uint64_t)sysconf(_SC_PAGESIZE);
	const unsigned int number = argument ? (unsigned int)strtoul(argument, NULL, 10) : 0;
	struct kept *k;
	int ret;

	if (!size)
		return -EINVAL;
	ret = round_size(&size, unit);
	if (ret)
		return ret;

	k = calloc(1, sizeof(*k) + vendor->kept);
	if (!k)
		return -ENOMEM;
	k->vendor = vendor;
	ret = library_open(vendor->soname, vendor->symbols, (char *)k->own + vendor->functions,
			   &k->library);
	if (ret) {
		free(k);
		return ret;
	}

	ret = vendor->export(k->own, number, size);
	if (ret >= 0)
		ret = buffer_new_of(ret, size, buf);
	if (ret) {
		release(k);
		return ret;
	}
	(*buf)->kept = k;
	(*buf)->release = release;
	return 0;
}
