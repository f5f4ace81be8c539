// SPDX-License-Identifier: MIT
/* Libraries that are loaded at run time: see library.h. Knows none of them. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#include "library.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int look_up(const struct library *library, void *handle)
{
	for (int i = 0; library->symbols[i]; i++) {
		library->functions[i] = dlsym(handle, library->symbols[i]);
		if (!library->functions[i])
			return -ENOSYS;
	}
	return 0;
}

static int load(struct library *library)
{
	/* What it depends on must not come before the program's own symbols. */
	void *handle = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
	int err;

	if (!handle)
		return -ELIBACC;
	err = look_up(library, handle);
	if (err)
		dlclose(handle);
	return err;
}

int library_load(struct library *library)
{
	int err = 0;

	if (__atomic_load_n(&library->loaded, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&lock);
	if (!library->loaded)
		err = load(library);
	if (!err)
		__atomic_store_n(&library->loaded, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return err;
}
