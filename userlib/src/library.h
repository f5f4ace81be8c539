/* SPDX-License-Identifier: MIT */
/*
 * Libraries that not every program needs. They are loaded when somebody asks for what they
 * serve, so that the core pulls in libc alone.
 */
#ifndef NVMEDMABUF_LIBRARY_H
#define NVMEDMABUF_LIBRARY_H

/* The static library must not offer these names to the programs that it is linked to. */
#pragma GCC visibility push(hidden)

/**
 * library_open - load a library, and find functions in it
 * @soname: what the dynamic linker knows it by
 * @symbols: names of functions; ends with NULL
 * @functions: gets their addresses, in the same order
 * @handle: gets what dlclose() takes. The code stays in memory until the program ends.
 *
 * Return: 0; -ELIBACC if it is not installed, or cannot be loaded; -ENOSYS if it is too old to
 * have all functions.
 */
int library_open(const char *soname, const char *const *symbols, void *functions,
		 void **handle);

/**
 * struct library - a shared library that is opened once
 * @soname: as for library_open()
 * @symbols: as for library_open()
 * @functions: as for library_open()
 * @loaded: they are there
 */
struct library {
	const char *soname;
	const char *const *symbols;
	void *functions;
	int loaded;
};

/*
 * LIBRARY(NAME, SONAME, FUNCTIONS), where FUNCTIONS(F) is F(function) for each function, whose
 * declaration the library's header has: after library_load(&NAME_library) it is called by
 * NAME.function().
 */
#define LIBRARY_POINTER(function) __typeof__(function) *function;
#define LIBRARY_NAME(function)	  #function,
#define LIBRARY(name, soname_, functions_)                                \
	static struct {                                                   \
		functions_(LIBRARY_POINTER)                               \
	} name;                                                           \
	static const char *const name##_symbols[] = {                     \
		functions_(LIBRARY_NAME) 0                                \
	};                                                                \
	static struct library name##_library = {                          \
		.soname = soname_,                                        \
		.symbols = name##_symbols,                                \
		.functions = &name,                                       \
	}

/**
 * library_load - open a library, unless it is open already
 * @library: the library
 *
 * Any thread.
 *
 * Return: as library_open().
 */
int library_load(struct library *library);

#pragma GCC visibility pop

#endif /* NVMEDMABUF_LIBRARY_H */
