// SPDX-License-Identifier: MIT
/*
 * Numbers as people write and read them. Independent of the locale: digits are
 * looked at one by one, and the tool never calls setlocale().
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* The number at the start of @text; *end points behind it. */
static int scan(const char *text, const char **end, uint64_t *value)
{
	unsigned int base = 10;
	uint64_t v = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (digit(*text) >= (int)base)
		return -EINVAL;
	for (; digit(*text) < (int)base; text++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit(*text), &v))
			return -ERANGE;
	}
	*end = text;
	*value = v;
	return 0;
}

int parse_number(const char *text, uint64_t *value)
{
	const char *end;
	int ret = scan(text, &end, value);

	if (ret)
		return ret;
	return *end ? -EINVAL : 0;
}

int parse_size(const char *text, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	const char *end, *suffix;
	int ret = scan(text, &end, value);

	if (ret)
		return ret;
	if (!*end)
		return 0;
	suffix = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);
	if (!suffix)
		return -EINVAL;
	/* "K", "KiB": the same; "KB" is refused, since it is not clear. */
	if (strcmp(end + 1, "") != 0 && strcmp(end + 1, "iB") != 0)
		return -EINVAL;
	if (__builtin_mul_overflow(*value, 1ULL << 10 * (suffix - suffixes + 1), value))
		return -ERANGE;
	return 0;
}

const char *size_text(uint64_t bytes, char *text)
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned int u = 0;
	uint64_t whole = bytes, rest = 0;

	if (bytes < KIB) {
		snprintf(text, SIZE_TEXT, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
		return text;
	}
	for (;; u++) {
		rest = whole % KIB;
		whole /= KIB;
		if (whole < KIB || u + 1 == ARRAY_SIZE(unit))
			break;
	}
	if (rest * 10 / KIB)
		snprintf(text, SIZE_TEXT, "%" PRIu64 ".%u %s", whole,
			 (unsigned int)(rest * 10 / KIB), unit[u]);
	else
		snprintf(text, SIZE_TEXT, "%" PRIu64 " %s", whole, unit[u]);
	return text;
}

const char *pci_text(uint32_t domain, uint32_t bdf, char *text)
{
	snprintf(text, PCI_TEXT, "%04" PRIx32 ":%02" PRIx32 ":%02" PRIx32 ".%" PRIx32, domain,
		 bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	return text;
}

/* Hexadecimal digits, from 1 to @max of them; *text moves behind. */
static bool scan_hex(const char **text, int max, uint32_t *value)
{
	int n = 0;

	for (*value = 0; n < max && digit(**text) < 16; n++, (*text)++)
		*value = *value << 4 | (uint32_t)digit(**text);
	return n > 0;
}

static bool scan_char(const char **text, char c)
{
	return *(*text)++ == c;
}

int parse_pci(const char *text, uint32_t *domain, uint32_t *bdf)
{
	uint32_t bus, device, function;
	const char *colon = strchr(text, ':');

	*domain = 0;
	if (colon && strchr(colon + 1, ':') &&
	    (!scan_hex(&text, 8, domain) || *domain > INT_MAX || !scan_char(&text, ':')))
		return -EINVAL;
	if (!scan_hex(&text, 2, &bus) || !scan_char(&text, ':') || !scan_hex(&text, 2, &device) ||
	    device > 0x1f || !scan_char(&text, '.') || !scan_hex(&text, 1, &function) ||
	    function > 7 || *text)
		return -EINVAL;
	*bdf = bus << 8 | device << 3 | function;
	return 0;
}

const char *errno_name(int err)
{
	const int number = err < 0 ? -err : err;
	const char *name = strerrorname_np(number);

	/* The kernel's own ENOTSUPP, which some drivers let through. */
	if (number == 524)
		return "ENOTSUPP";
	return name ? name : "unknown";
}
