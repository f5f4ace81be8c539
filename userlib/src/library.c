// SPDX-License-Identifier: MIT
/* Libraries that are loaded at run time: see library.h. Knows none of them. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "library.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int library_open(const char *soname, const char *const *symbols, void *functions,
		 void **handle)
{
	void *function;

	/* Some leave threads and exit handlers behind, which need the code. */
	*handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!*handle)
		return -ELIBACC;
	for (size_t i = 0; symbols[i]; i++) {
		function = dlsym(*handle, symbols[i]);
		if (!function) {
			dlclose(*handle);
			return -ENOSYS;
		}
		/* C does not convert pointers to data into pointers to functions. */
		memcpy((char *)functions + i * sizeof(function), &function, sizeof(function));
	}
	return 0;
}

int library_load(struct library *library)
{
	void *handle;
	int err = 0;

	if (__atomic_load_n(&library->loaded, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&lock);
	if (!library->loaded)
		err = library_open(library->soname, library->symbols, library->functions,
				   &handle);
	if (!err)
		__atomic_store_n(&library->loaded, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return err;
}
