/* SPDX-License-Identifier: MIT */
/*
 * What the files of the nvme-dmabuf tool share: the exit codes, the report
 * (text or one JSON document), numbers, patterns, the progress line and digests.
 * Nothing here knows the module, NVMe or a subcommand.
 */
#ifndef NVME_DMABUF_TOOL_COMMON_H
#define NVME_DMABUF_TOOL_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))

#define KIB 1024ULL
#define MIB (1024 * KIB)

/* Exit codes; nvme-dmabuf(8) promises them. */
#define TOOL_OK	       0
#define TOOL_FAILED    1 /* the operation failed or was interrupted */
#define TOOL_USAGE     2 /* the command line makes no sense */
#define TOOL_NO_MODULE 3 /* no module, or no access to its device */
#define TOOL_REFUSED   4 /* the namespace cannot, or must not, be used */

/*
 * The report. Errors go to stderr as text. With --json nothing but the
 * progress line and what a person must confirm goes to stderr, and the report
 * is one JSON object on stdout, an error being three members of it: "error"
 * (the class), "reason" (a stable token) and "message" (a sentence).
 */
struct json_object;

void report_begin(const char *command, bool json);
void report_use_json(void);
bool report_json(void);

/* Help: printed on stdout, or "help" of the JSON document. Returns TOOL_OK. */
int report_help(const char *text);

/* The JSON document to add members to; also kept up, unprinted, for text. */
struct json_object *report_root(void);

/* Record why the command ends and return @exit_code; the first error counts. */
int report_error(int exit_code, const char *reason, const char *fmt, ...) PRINTF(3, 4);

int report_no_memory(void);

/* The same for a wrong command line; points to --help. */
int report_usage(const char *fmt, ...) PRINTF(1, 2);

/* The same for an option that getopt_long() did not like. */
int report_bad_option(int c, char *const *argv);

/* The argument of option @name, by parse_number() or parse_size(). Reports. */
int report_parse_value(const char *name, const char *text,
		       int (*parse)(const char *text, uint64_t *value), uint64_t *value);

/* What getopt_long() left of the command line: the one namespace. Reports. */
int report_parse_namespace(int argc, char **argv, const char **word);

/* The command line of a subcommand that only knows --json and --help. */
int report_parse_options(int argc, char **argv, bool *wants_help);

/* Print the document, if it is JSON; returns @exit_code, or a failure. */
int report_end(int exit_code);

/*
 * Members of JSON objects, named so that callers read as a list of facts. In strings,
 * what is not UTF-8 is replaced.
 */
void put_str(struct json_object *obj, const char *key, const char *value);
void put_u64(struct json_object *obj, const char *key, uint64_t value);
void put_bool(struct json_object *obj, const char *key, bool value);
void put_null(struct json_object *obj, const char *key);
struct json_object *put_new_object(struct json_object *obj, const char *key);
struct json_object *put_new_array(struct json_object *obj, const char *key);
struct json_object *append_new_object(struct json_object *array);

/* The symbolic name, as in "EACCES", of a negative or positive errno. */
const char *errno_name(int err);

/*
 * Numbers. Sizes take the suffixes K, M, G and T (powers of 1024). Nothing but
 * digits, 0x and a suffix is accepted.
 */
int parse_number(const char *text, uint64_t *value);
int parse_size(const char *text, uint64_t *value);

/*
 * Random numbers from 0 to @limit - 1, which go on from *@state: not for secrets.
 * A seed to begin with is short enough to be typed again.
 */
uint64_t random_seed(void);
uint64_t random_below(uint64_t *state, uint64_t limit);

/*
 * Memory is filled with words that tell their own place, so that data that
 * went astray is seen wherever it lands. Offsets are multiples of 4.
 * pattern_find() returns the first offset that differs, or @to.
 */
void pattern_fill(uint8_t *mem, uint64_t from, uint64_t to, uint32_t salt);
uint64_t pattern_find(const uint8_t *mem, uint64_t from, uint64_t to, uint32_t salt);

/* The first byte in which two pieces of memory differ, or @length. */
uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t length);

/* Nothing but zeroes; @length is not 0. */
bool is_zero(const uint8_t *mem, uint64_t length);

/* "1.5 GiB", or "512 bytes"; @text holds at least SIZE_TEXT bytes. */
#define SIZE_TEXT 24
const char *size_text(uint64_t bytes, char *text);

/* A PCI address as in sysfs, 0000:03:00.0; @text holds PCI_TEXT bytes. */
#define PCI_TEXT 24
const char *pci_text(uint32_t domain, uint32_t bdf, char *text);

/* The reverse; the domain may be left out and is 0 then. 0 or -EINVAL. */
int parse_pci(const char *text, uint32_t *domain, uint32_t *bdf);

/*
 * SIGINT and SIGTERM ask to stop; blocking calls then fail with EINTR. Loops
 * look at stop_requested() where it is safe to end.
 */
void stop_on_signals(void);
bool stop_requested(void);

/* Nanoseconds of a clock that only goes forward. */
uint64_t now_ns(void);

/* The progress line on stderr. Off unless forced or stderr is a terminal. */
struct progress {
	bool on;
	bool tty;
	uint64_t total;
	uint64_t started_ns;
	uint64_t shown_ns;
};

void progress_begin(struct progress *p, uint64_t total, bool forced);
void progress_show(struct progress *p, uint64_t done);
void progress_end(struct progress *p, uint64_t done);

/* The same line for what is not counted in bytes; and no line, until the next. */
void progress_text(struct progress *p, const char *text);
void progress_clear(struct progress *p);

/* SHA-256 of a stream. All return 0, or -1 if the crypto library fails. */
#define SHA256_TEXT 65

struct digest;

struct digest *digest_new(void);
int digest_add(struct digest *d, const void *data, size_t length);
int digest_end(struct digest *d, char text[SHA256_TEXT]);
void digest_free(struct digest *d);

#endif /* NVME_DMABUF_TOOL_COMMON_H */
