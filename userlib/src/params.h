/* SPDX-License-Identifier: MIT */
/*
 * Structures that grow. Each begins with its size, as its user's header knew it.
 */
#ifndef NVMEDMABUF_PARAMS_H
#define NVMEDMABUF_PARAMS_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

/*
 * params_read - what a caller passes in
 * @to: gets it, as this library knows it: @known bytes
 * @from: the caller's structure, or NULL: all of it is 0
 * @least: bytes that the first version of it had
 *
 * Return: 0; -EINVAL if it is too short; -E2BIG if it says something that is unknown here.
 */
static inline int params_read(void *to, uint32_t known, const void *from, uint32_t least)
{
	const uint8_t *bytes = from;
	uint32_t size = known;

	memset(to, 0, known);
	if (!from)
		return 0;
	memcpy(&size, from, sizeof(size));
	if (size < least)
		return -EINVAL;
	for (uint32_t i = known; i < size; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(to, from, size < known ? size : known);
	return 0;
}

/* What is reserved may become a member, which this library would not know. */
static inline int params_unused(const uint8_t *reserved, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (reserved[i])
			return -E2BIG;
	return 0;
}

/* Of a structure that ends with a member "reserved". */
#define PARAMS_READ(to, from)                                                           \
	(params_read(to, sizeof(*(to)), from, sizeof(*(to))) ?:                         \
		 params_unused((to)->reserved, sizeof((to)->reserved)))

/*
 * answer_begin - clear the caller's structure, which is to get an answer
 * @answer: the structure, of which the size stays
 * @least: bytes that the first version of it had
 *
 * Return: 0, or -EINVAL if it is too short.
 */
static inline int answer_begin(void *answer, uint32_t least)
{
	uint32_t size;

	memcpy(&size, answer, sizeof(size));
	if (size < least)
		return -EINVAL;
	memset((uint8_t *)answer + sizeof(size), 0, size - sizeof(size));
	return 0;
}

#define ANSWER_BEGIN(answer, last)                              \
	answer_begin(answer, offsetof(__typeof__(*(answer)), last) + sizeof((answer)->last))

#endif /* NVMEDMABUF_PARAMS_H */
