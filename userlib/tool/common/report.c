// SPDX-License-Identifier: MIT
/*
 * The report of a subcommand: text for a person as it goes, or one JSON
 * document at the end. Knows json-c so that no other file's control flow
 * depends on the format.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "common.h"

static struct {
	struct json_object *root;
	const char *command;
	bool json;
	bool failed;
} report;

static const char *const error_class[] = {
	[TOOL_FAILED] = "failed",
	[TOOL_USAGE] = "usage",
	[TOOL_NO_MODULE] = "unavailable",
	[TOOL_REFUSED] = "refused",
};

void report_begin(const char *command, bool json)
{
	report.command = command;
	report.json = json;
	report.root = json_object_new_object();
	if (command)
		put_str(report.root, "command", command);
}

void report_use_json(void)
{
	report.json = true;
}

bool report_json(void)
{
	return report.json;
}

int report_help(const char *text)
{
	if (report.json)
		put_str(report.root, "help", text);
	else
		fputs(text, stdout);
	return TOOL_OK;
}

struct json_object *report_root(void)
{
	return report.root;
}

static void print_prefix(void)
{
	if (report.command)
		fprintf(stderr, "nvme-dmabuf: %s: ", report.command);
	else
		fprintf(stderr, "nvme-dmabuf: ");
}

int report_error(int exit_code, const char *reason, const char *fmt, ...)
{
	char message[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);

	if (!report.json) {
		fflush(stdout);
		print_prefix();
		fprintf(stderr, "%s\n", message);
	}
	if (report.failed)
		return exit_code;
	report.failed = true;
	put_str(report.root, "error", error_class[exit_code]);
	put_str(report.root, "reason", reason);
	put_str(report.root, "message", message);
	return exit_code;
}

int report_no_memory(void)
{
	return report_error(TOOL_FAILED, "no-memory", "out of memory");
}

int report_usage(const char *fmt, ...)
{
	char message[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);

	return report_error(TOOL_USAGE, "usage", "%s; see 'nvme-dmabuf %s%s--help'", message,
			    report.command ? report.command : "", report.command ? " " : "");
}

int report_bad_option(int c, char *const *argv)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		return report_usage("option '%s' needs an argument", word);
	if (optopt && strncmp(word, "--", 2) != 0)
		return report_usage("unknown option '-%c'", optopt);
	return report_usage("unknown, ambiguous or malformed option '%s'", word);
}

int report_parse_value(const char *name, const char *text,
		       int (*parse)(const char *text, uint64_t *value), uint64_t *value)
{
	int ret = parse(text, value);

	if (ret == -ERANGE)
		return report_usage("%s %s is too large", name, text);
	if (ret)
		return report_usage("%s '%s' is no number", name, text);
	return TOOL_OK;
}

int report_parse_namespace(int argc, char **argv, const char **word)
{
	if (optind == argc)
		return report_usage("no namespace named");
	if (optind + 1 < argc)
		return report_usage("unexpected argument '%s'", argv[optind + 1]);
	*word = argv[optind];
	return TOOL_OK;
}

int report_parse_options(int argc, char **argv, bool *wants_help)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "help", no_argument, NULL, 'h' },
						 { 0 } };
	int opt;

	*wants_help = false;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			report_use_json();
			break;
		case 'h':
			*wants_help = true;
			return TOOL_OK;
		default:
			return report_bad_option(opt, argv);
		}
	}
	return TOOL_OK;
}

int report_end(int exit_code)
{
	if (report.json) {
		const char *text = json_object_to_json_string_ext(
			report.root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

		puts(text ? text : "{}");
	}
	if (report.root)
		json_object_put(report.root);
	report.root = NULL;

	/* A full disk under a redirected report is a failure too. */
	if ((fflush(stdout) || ferror(stdout)) && exit_code == TOOL_OK) {
		print_prefix();
		fprintf(stderr, "cannot write the report: %s\n", strerror(errno));
		return TOOL_FAILED;
	}
	return exit_code;
}

/* Takes @value over, also if there is no memory to keep it. */
static void put_obj(struct json_object *obj, const char *key, struct json_object *value)
{
	if (json_object_object_add(obj, key, value))
		json_object_put(value);
}

/* Bytes of the UTF-8 sequence at @s (RFC 3629); 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	/* Neither more bytes than needed, nor surrogates, nor what is above U+10FFFF. */
	switch (s[0]) {
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	}
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

/* JSON is UTF-8, and a file name is any bytes: those that are not become U+FFFD. */
static struct json_object *new_string(const char *value)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *text = malloc(strlen(value) * strlen(replacement) + 1), *end = text;
	struct json_object *string;

	if (!text)
		return NULL;
	while (*value) {
		size_t length = utf8_length((const unsigned char *)value);

		end = mempcpy(end, length ? value : replacement,
			      length ? length : strlen(replacement));
		value += length ? length : 1;
	}
	*end = '\0';
	string = json_object_new_string(text);
	free(text);
	return string;
}

void put_str(struct json_object *obj, const char *key, const char *value)
{
	put_obj(obj, key, value ? new_string(value) : NULL);
}

void put_u64(struct json_object *obj, const char *key, uint64_t value)
{
	put_obj(obj, key, json_object_new_uint64(value));
}

void put_bool(struct json_object *obj, const char *key, bool value)
{
	put_obj(obj, key, json_object_new_boolean(value));
}

void put_null(struct json_object *obj, const char *key)
{
	put_obj(obj, key, NULL);
}

struct json_object *put_new_object(struct json_object *obj, const char *key)
{
	struct json_object *value = json_object_new_object();

	put_obj(obj, key, value);
	return value;
}

struct json_object *put_new_array(struct json_object *obj, const char *key)
{
	struct json_object *array = json_object_new_array();

	put_obj(obj, key, array);
	return array;
}

struct json_object *append_new_object(struct json_object *array)
{
	struct json_object *obj = json_object_new_object();

	json_object_array_add(array, obj);
	return obj;
}
