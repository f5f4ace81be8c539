/* SPDX-License-Identifier: MIT */
/*
 * What the tool knows of the module, of namespaces, of files and of dma-bufs; it knows no
 * subcommand. Functions that say "reports" have told the user why they failed, and
 * return the exit code to end with; all others return a negative errno and are silent.
 */
#ifndef NVME_DMABUF_TOOL_DEVICE_H
#define NVME_DMABUF_TOOL_DEVICE_H

#include <stdio.h>
#include <time.h>

#include <sys/types.h>

#include <nvmedmabuf.h>

#include "../common/common.h"

/*
 * Open the module's device. Reports. *@state gets a stable token: "ready", or
 * what the error's reason is. @state may be NULL.
 */
int module_open(struct nvmedmabuf **ctx, struct nvme_dmabuf_info *info, const char **state);

/* sysfs.c: one attribute, without its newline; the path is made by printf. */
int sysfs_read(char *value, size_t size, const char *fmt, ...) PRINTF(3, 4);
bool sysfs_exists(const char *fmt, ...) PRINTF(1, 2);

/* The last component of what a symbolic link leads to. */
int sysfs_link_name(char *name, size_t size, const char *fmt, ...) PRINTF(3, 4);

/*
 * The entries of a directory for which @want is true, sorted as people count
 * (nvme2n1 before nvme10n1). @want may be NULL. Returns how many; free with
 * names_free().
 */
int names_list(const char *dir, bool (*want)(const char *name), char ***names);
void names_free(char **names, int count);

#define NAME_SIZE 64
#define PATH_SIZE 288

/* A mounted file system. */
struct mount {
	unsigned long id;
	dev_t dev;
	char where[PATH_SIZE];
	char type[NAME_SIZE];	/* xfs */
	char source[PATH_SIZE]; /* /dev/nvme0n1p1 */
};

/* NULL if they are not told. fclose() it. mounts_next() is false behind the last. */
FILE *mounts_open(void);
bool mounts_next(FILE *mounts, struct mount *m);

/* mountinfo and swaps write space, tab, newline and backslash in octal. */
void mounts_unescape(char *s);

/*
 * A namespace or a partition of one, as the block layer sees it; or a regular file, of
 * which name, disk, partition and dev are those of the device that its file system is
 * on. The names are empty if that is no block device.
 */
struct ns {
	char path[PATH_SIZE];	/* /dev/nvme0n1p1, or what the user named */
	char name[NAME_SIZE];	/* the kernel's name: nvme0n1p1 */
	char disk[NAME_SIZE];	/* the whole namespace: nvme0n1 */
	unsigned int partition; /* number, or 0 */
	dev_t dev;
	int fd;

	/* Of a file, when it was opened. */
	bool is_file;
	bool writes; /* for writing: then it has to be closed before it can be used */
	ino_t inode;
	uint64_t bytes;
	struct timespec modified;
};

/*
 * @word is a path, a name in /dev or, if there is none, that of a regular file. On
 * failure too, @ns->path is set, and @ns->name if it is a block device. -ENOTBLK if it
 * is something else.
 */
int ns_open(struct ns *ns, const char *word, int open_flags);
void ns_close(struct ns *ns);

/* False if @word names something else than a regular file. */
bool ns_may_be_file(const char *word);

/* Identify; of a file, that of the device below, if that can be opened. */
int ns_get_drive(const struct ns *ns, struct nvmedmabuf_drive *drive);

/* The same, but a failure is reported; and that report alone. */
int ns_open_or_report(struct ns *ns, const char *word, int open_flags);

/* Why it failed: a token, and a sentence's second half. */
const char *ns_open_reason(int err);
const char *ns_open_text(int err);
int ns_report_open(const struct ns *ns, int open_flags, int err);

/* Reports if the module cannot use the namespace. */
int ns_query(struct nvmedmabuf *ctx, const struct ns *ns, struct nvme_dmabuf_ns_info *info);

/* Reports unless block @start and all @count blocks from there on are on the namespace. */
int ns_check_range(const struct ns *ns, const struct nvme_dmabuf_ns_info *info, uint64_t start,
		   uint64_t count);

/*
 * file.c: of regular files only. The last block may belong to the file in part. The module
 * does not count it if it refuses it; the first of these does, and the second never does,
 * for nobody can read it with O_DIRECT.
 */
void file_count_tail(const struct ns *ns, struct nvme_dmabuf_ns_info *info);
void file_leave_out_tail(const struct ns *ns, struct nvme_dmabuf_ns_info *info);

/* The end of the data, or of the hole, that begins at byte @at, or the file's. */
uint64_t file_run(const struct ns *ns, uint64_t at, bool *is_hole);
bool file_has_holes(const struct ns *ns, uint64_t start, uint64_t end);

/* Reports if blocks of a file are in a hole, which commands must not touch. */
int file_check_holes(const struct ns *ns, const struct nvme_dmabuf_ns_info *info, uint64_t start,
		     uint64_t count);

/* Open it once more: that and nothing else that has its name now. A descriptor, or -errno. */
int file_reopen(const struct ns *ns, int open_flags);

/* By read(2), through the page cache. How many bytes, fewer only at the end, or -errno. */
int64_t file_pread(int fd, uint8_t *mem, uint64_t length, uint64_t at);

/* Whether somebody changed it since it was opened. */
bool file_has_changed(const struct ns *ns);

/* The file system that it is on. */
int file_get_mount(const struct ns *ns, struct mount *m);

/* Names of all whole NVMe namespaces that can be opened. */
int ns_list(char ***names);

/* A path to a namespace: a controller and how it is connected. */
struct controller {
	char name[NAME_SIZE];
	char transport[16];
	char address[NAME_SIZE];
	char state[16];
};

/* Fills in up to @max; returns how many there are. */
int ns_controllers(const struct ns *ns, struct controller *list, int max);

/* Why a write would hurt someone. */
struct use {
	const char *reason; /* "mounted", "swap", "held", "has-partitions", "in-use" */
	char device[NAME_SIZE];
	char detail[PATH_SIZE]; /* mount point, holder or partition */
};

#define MAX_USES 32

/*
 * Who uses the namespace or, if it is a whole one, any of its partitions.
 * Fills in up to @max; returns how many.
 */
int ns_uses(const struct ns *ns, struct use *list, int max);
const char *use_text(const struct use *use, char *text, size_t size);
void uses_to_json(struct json_object *array, const struct use *list, int count);

/* Whether others may write to it now: used, or claimed, by someone. */
bool ns_is_busy(const struct ns *ns);

/*
 * Open to write to it. Unless @force, claims it exclusively, so that nobody
 * mounts it meanwhile, and reports anyone who uses it already. With @force
 * those are only warned of.
 */
int ns_open_for_write(struct ns *ns, const char *word, bool force);

/* Open to read it, or to write to it as well, under the same conditions. Reports. */
int ns_open_for_test(struct ns *ns, const char *word, bool writes);

/* What a person is shown, and agrees to, before blocks are overwritten. */
struct overwrite {
	const struct ns *ns;
	const struct nvme_dmabuf_ns_info *info;
	uint64_t start; /* logical blocks */
	uint64_t count;
	const uint8_t *contents; /* what is in the first of them now */
	uint64_t looked_at;	 /* how many those are */
	const char *intent;	 /* "This will overwrite …" */
	const char *warning;	 /* what cannot be undone; ends with a newline */
	const char *confirmed;	 /* --yes-overwrite, or NULL: ask */
};

/*
 * Whoever agrees types the serial number of the drive, or the path of a file. Reports if
 * nobody does, or if the drive cannot be identified. A file must still be open.
 */
int overwrite_confirm(const struct overwrite *o);

/*
 * Write back, and then forget, what the page cache has of a byte range. That of a file
 * is written back when it is attached, and when a map of it is refreshed.
 */
int ns_cache_write_back(const struct ns *ns, uint64_t start, uint64_t length);
int ns_cache_write_back_or_report(const struct ns *ns, uint64_t start, uint64_t length);
void ns_cache_drop(const struct ns *ns, uint64_t start, uint64_t length);

/*
 * A namespace by the block layer, or a file, past the page cache and past the module. A file
 * that was opened for writing is opened anew for each call, and closed again.
 */
struct direct {
	const struct ns *ns;
	int fd; /* -1 of such a file */
	uint32_t block_size;
};

/* Reports. */
int direct_open_or_report(struct direct *d, const struct ns *ns,
			  const struct nvme_dmabuf_ns_info *info, bool write);
void direct_close(struct direct *d);

/* Aligned for it; NULL if there is no memory. free() it. */
uint8_t *direct_alloc(uint64_t length);

/* Whole blocks. What was written is durable. */
int direct_read(const struct direct *d, uint8_t *mem, uint64_t slba, uint64_t length);
int direct_write(const struct direct *d, const uint8_t *mem, uint64_t slba, uint64_t length);

/* Where dma-bufs come from: the argument of --buffer. */
struct exporter {
	char name[PATH_SIZE + 8]; /* as --buffer takes it: heap:system */
	char path[PATH_SIZE];	  /* the device node, where it was looked for */
	char driver[NAME_SIZE];	  /* DRM and V4L2 only */
	const char *obstacle;	  /* why it cannot be used; NULL if it can */
	bool on_request;	  /* somebody's device, used only if --buffer names it */
};

/* The lines of a subcommand's help after "  --buffer KIND    ". */
#define EXPORTER_HELP                                                     \
	"udmabuf, huge, heap[:NAME],\n"                                   \
	"                   drm[:/dev/dri/cardN], memory[:huge],\n"       \
	"                   v4l2:/dev/videoN, vfio:DDDD:BB:DD.F[:BAR],\n" \
	"                   cuda[:N], hip[:N], ze[:N]"

/* @text is as --buffer takes it. -EINVAL if it makes no sense. */
int exporter_parse(const char *text, struct exporter *exporter);
int exporter_parse_or_report(const char *text, struct exporter *exporter);

/* Is it the first that works? */
bool exporter_is_auto(const struct exporter *exporter);

/* Is it of this kind, as "heap"? */
bool exporter_is(const struct exporter *exporter, const char *kind);

/* Does it take huge pages, which are scarce? */
bool exporter_is_huge(const struct exporter *exporter);

/* All exporters of this machine, those that cannot be used included. */
int exporter_list(struct exporter **list);

/* What to do if it gave no buffer, for the end of a message; may be empty. */
const char *exporter_hint(const struct exporter *exporter, int err);

int exporter_create(const struct exporter *exporter, uint64_t size, struct nvmedmabuf_buffer **buf);

/* By the first exporter that works, which @exporter becomes. */
int exporter_create_any(struct exporter *exporter, uint64_t size, struct nvmedmabuf_buffer **buf);

/*
 * The same, but reports. "auto" takes the first that works, and @exporter becomes
 * that one.
 */
int exporter_create_or_report(struct exporter *exporter, uint64_t size,
			      struct nvmedmabuf_buffer **buf);

/* A dma-buf mapped for DMA by a namespace, and for the CPU. */
struct channel {
	struct nvmedmabuf *ctx;
	struct nvmedmabuf_buffer *buf;
	uint8_t *mem;
	uint64_t size;
	uint32_t map;
	uint32_t block_size;
	uint32_t max_command;
	int file;	   /* of a file that is only read; else -1 */
	uint64_t by_read;  /* bytes of it that read(2) gave */
	uint64_t commands; /* submitted so far */
	struct nvme_dmabuf_command *cmds;
	struct nvme_dmabuf_completion *cpls;
	uint32_t slots;
};

/*
 * Make a buffer of @size bytes and attach it. *@reason gets why the module refused.
 * *@unmapped gets NULL, or what to say of a buffer that the CPU cannot map. A file that
 * was opened for writing is opened here once more, and must have been closed.
 */
int channel_open(struct channel *ch, struct nvmedmabuf *ctx, const struct ns *ns,
		 const struct nvme_dmabuf_ns_info *info, const struct exporter *exporter,
		 uint64_t size, uint32_t access, uint32_t *reason, const char **unmapped);
int channel_open_or_report(struct channel *ch, struct nvmedmabuf *ctx, const struct ns *ns,
			   const struct nvme_dmabuf_ns_info *info, struct exporter *exporter,
			   uint64_t size, uint32_t access);
void channel_close(struct channel *ch);

/*
 * One submission of as many commands as @length takes, between the start of
 * the buffer and block @slba. *@done gets the bytes that certainly arrived.
 * What the drive must not read of a file, holes and the end of the last block,
 * comes by read(2). Reports.
 */
int channel_move(struct channel *ch, uint8_t opcode, uint16_t flags, uint64_t slba, uint64_t length,
		 uint64_t *done);

/* To the start of the buffer, all of it by read(2), with zeroes behind the end. Reports. */
int channel_read_file(struct channel *ch, uint64_t slba, uint64_t length);

/* Flush the drive's write cache. Reports. */
int channel_flush(struct channel *ch);

/* By which leases a map of a file is held: "read", "layout" (and read), "write", or NULL. */
const char *map_lease(const struct nvme_dmabuf_map_info *info);

/* What the map looks like, as text to @out or as a member "map" of @obj. */
int map_show(struct nvmedmabuf *ctx, uint32_t map, FILE *out, struct json_object *obj);

#endif /* NVME_DMABUF_TOOL_DEVICE_H */
