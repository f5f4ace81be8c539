/* SPDX-License-Identifier: MIT */
/* Assertions about constants and structures, for C and C++. */
#include <stddef.h>

#ifdef __cplusplus
#define EQUAL(a, b)	static_assert((a) == (b), #a " is not " #b)
#else
#define EQUAL(a, b)	_Static_assert((a) == (b), #a " is not " #b)
#endif

/* Alignment matters where 32-bit programs put a structure into one of theirs. */
#ifdef __cplusplus
#define ALIGN(type, bytes)		EQUAL(alignof(struct type), bytes)
#else
#define ALIGN(type, bytes)		EQUAL(_Alignof(struct type), bytes)
#endif
#define SIZE(type, bytes)		EQUAL(sizeof(struct type), bytes)
#define MEMBER(type, member, at, bytes)				\
	EQUAL(offsetof(struct type, member), at);		\
	EQUAL(sizeof(((struct type *)0)->member), bytes)
