// SPDX-License-Identifier: MIT
/*
 * Finding and opening namespaces, or files in their place, and what the block layer
 * and sysfs tell of them. Knows nothing of who uses them: see inuse.c.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"

static const char *skip_digits(const char *s)
{
	while (isdigit((unsigned char)*s))
		s++;
	return s;
}

/* nvme0n1, but neither its partitions nor a hidden path such as nvme0c1n1. */
static bool is_whole_namespace(const char *name)
{
	const char *s = name;

	if (strncmp(s, "nvme", 4) != 0 || !isdigit((unsigned char)s[4]))
		return false;
	s = skip_digits(s + 4);
	if (s[0] != 'n' || !isdigit((unsigned char)s[1]))
		return false;
	return *skip_digits(s + 1) == '\0';
}

int ns_list(char ***names)
{
	int count = names_list("/sys/class/block", is_whole_namespace, names);

	/* No block layer, no namespaces. */
	return count == -ENOENT ? 0 : count;
}

/* Opening it for writing works; writing would not. */
static bool is_read_only(const struct ns *ns)
{
	char value[8];

	return !sysfs_read(value, sizeof(value), "/sys/class/block/%s/ro", ns->name) &&
	       strcmp(value, "0") != 0;
}

static int identify(struct ns *ns)
{
	char value[16];
	int ret;

	ret = sysfs_link_name(ns->name, sizeof(ns->name), "/sys/dev/block/%u:%u", major(ns->dev),
			      minor(ns->dev));
	if (ret)
		return ret;
	if (sysfs_read(value, sizeof(value), "/sys/class/block/%s/partition", ns->name)) {
		memcpy(ns->disk, ns->name, sizeof(ns->disk));
		return 0;
	}
	ns->partition = strtoul(value, NULL, 10);
	return sysfs_link_name(ns->disk, sizeof(ns->disk), "/sys/class/block/%s/..", ns->name);
}

static int set_path(struct ns *ns, const char *dir, const char *word, struct stat *st)
{
	int n = snprintf(ns->path, sizeof(ns->path), "%s%s", dir, word);

	if (n < 0 || (size_t)n >= sizeof(ns->path))
		return -ENAMETOOLONG;
	return stat(ns->path, st) ? -errno : 0;
}

/* A word without a slash is a name in /dev first. */
static int find(struct ns *ns, const char *word, struct stat *st)
{
	struct stat file;
	int ret;

	memset(ns, 0, sizeof(*ns));
	ns->fd = -1;
	if (strchr(word, '/'))
		return set_path(ns, "", word, st);
	ret = set_path(ns, "/dev/", word, st);
	if (ret != -ENOENT || stat(word, &file) || !S_ISREG(file.st_mode))
		return ret;
	return set_path(ns, "", word, st);
}

bool ns_may_be_file(const char *word)
{
	struct stat st;
	struct ns ns;

	return find(&ns, word, &st) || S_ISREG(st.st_mode);
}

static bool is_same(const struct ns *ns, const struct stat *found, const struct stat *opened)
{
	if (ns->is_file)
		return S_ISREG(opened->st_mode) && opened->st_dev == found->st_dev &&
		       opened->st_ino == found->st_ino;
	return S_ISBLK(opened->st_mode) && opened->st_rdev == found->st_rdev;
}

int ns_open(struct ns *ns, const char *word, int open_flags)
{
	bool writes = (open_flags & O_ACCMODE) != O_RDONLY;
	struct stat found, opened;
	int ret;

	ret = find(ns, word, &found);
	if (ret)
		return ret;
	/* Opening something else may have effects, or hang, as with a FIFO. */
	ns->is_file = S_ISREG(found.st_mode);
	if (!ns->is_file && !S_ISBLK(found.st_mode))
		return -ENOTBLK;
	ns->dev = ns->is_file ? found.st_dev : found.st_rdev;
	ret = identify(ns);
	/* What is wrong with a file's device is the module's to say. */
	if (ret && !ns->is_file)
		return ret;
	if (writes && is_read_only(ns))
		return -EROFS;
	ns->fd = open(ns->path, open_flags | O_CLOEXEC);
	if (ns->fd < 0)
		return -errno;
	if (fstat(ns->fd, &opened) || !is_same(ns, &found, &opened)) {
		ns_close(ns);
		return -ENXIO;
	}
	if (ns->is_file) {
		ns->inode = opened.st_ino;
		ns->bytes = opened.st_size;
		ns->modified = opened.st_mtim;
		ns->writes = writes;
	}
	return 0;
}

void ns_close(struct ns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	ns->fd = -1;
}

const char *ns_open_reason(int err)
{
	switch (err) {
	case -ENOTBLK:
		return nvmedmabuf_reason_name(NVME_DMABUF_REASON_NOT_BLOCK_DEVICE);
	case -ENOENT:
		return "no-such-namespace";
	case -EACCES:
	case -EPERM:
		return "no-permission";
	case -EROFS:
		return "read-only";
	default:
		return "cannot-open";
	}
}

const char *ns_open_text(int err)
{
	switch (err) {
	case -ENOTBLK:
		return "it is neither a block device nor a regular file; name a namespace such as /dev/nvme0n1, a partition of one, or a file on one";
	case -ENOENT:
		return "there is no such device or file; 'nvme-dmabuf info' lists the namespaces of this machine";
	case -EACCES:
	case -EPERM:
		return "its access rights do not allow it, and they count, not those of /dev/nvme-dmabuf; run this as root, or as a member of the node's group";
	case -EROFS:
		return "it is read-only; see blockdev --setrw, and whether the drive is write-protected";
	default:
		return strerror(-err);
	}
}

int ns_report_open(const struct ns *ns, int open_flags, int err)
{
	return report_error(TOOL_REFUSED, ns_open_reason(err), "cannot open %s for %s: %s",
			    ns->path, (open_flags & O_ACCMODE) == O_RDONLY ? "reading" : "writing",
			    ns_open_text(err));
}

int ns_open_or_report(struct ns *ns, const char *word, int open_flags)
{
	int ret = ns_open(ns, word, open_flags);

	return ret ? ns_report_open(ns, open_flags, ret) : TOOL_OK;
}

int ns_query(struct nvmedmabuf *ctx, const struct ns *ns, struct nvme_dmabuf_ns_info *info)
{
	int ret;

	info->size = sizeof(*info);
	ret = nvmedmabuf_get_ns_info(ctx, ns->fd, info);
	if (ret)
		return report_error(TOOL_REFUSED, "query-failed",
				    "cannot ask the module about %s: %s", ns->path, strerror(-ret));
	/* Somebody may have it open for writing: this program. */
	if (info->out_reason == NVME_DMABUF_REASON_NONE ||
	    (ns->writes && info->out_reason == NVME_DMABUF_REASON_FILE_BUSY)) {
		file_count_tail(ns, info);
		return TOOL_OK;
	}
	put_u64(report_root(), "reason_number", info->out_reason);
	return report_error(TOOL_REFUSED, nvmedmabuf_reason_name(info->out_reason),
			    "%s cannot be used (reason %u): %s", ns->path, info->out_reason,
			    nvmedmabuf_reason_text(info->out_reason));
}

int ns_check_range(const struct ns *ns, const struct nvme_dmabuf_ns_info *info, uint64_t start,
		   uint64_t count)
{
	uint64_t capacity = info->out_capacity;

	if (start < capacity && count <= capacity - start)
		return TOOL_OK;
	return report_error(TOOL_FAILED,
			    nvmedmabuf_reason_name(NVME_DMABUF_REASON_OUTSIDE_NAMESPACE),
			    "%" PRIu64 " blocks from block %" PRIu64 " do not fit: %s has %" PRIu64
			    " blocks of %" PRIu32 " bytes",
			    count, start, ns->path, capacity, info->out_block_size);
}

int ns_get_drive(const struct ns *ns, struct nvmedmabuf_drive *drive)
{
	char path[PATH_SIZE];
	int fd, ret;

	if (!ns->is_file)
		return nvmedmabuf_get_drive(ns->fd, drive);
	if (!ns->name[0])
		return -ENOTTY;
	snprintf(path, sizeof(path), "/dev/%s", ns->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = nvmedmabuf_get_drive(fd, drive);
	close(fd);
	return ret;
}

static bool is_controller(const char *name)
{
	return strncmp(name, "nvme", 4) == 0 && isdigit((unsigned char)name[4]) &&
	       *skip_digits(name + 4) == '\0';
}

static void read_controller(struct controller *c, const char *name)
{
	static const char fmt[] = "/sys/class/nvme/%s/%s";

	snprintf(c->name, sizeof(c->name), "%s", name);
	sysfs_read(c->transport, sizeof(c->transport), fmt, name, "transport");
	sysfs_read(c->address, sizeof(c->address), fmt, name, "address");
	sysfs_read(c->state, sizeof(c->state), fmt, name, "state");
}

/* A disk's parent is its controller, or the subsystem if it has several. */
int ns_controllers(const struct ns *ns, struct controller *list, int max)
{
	char parent[NAME_SIZE], dir[PATH_SIZE];
	char **names;
	int count;

	if (sysfs_link_name(parent, sizeof(parent), "/sys/class/block/%s/device", ns->disk))
		return 0;
	if (is_controller(parent)) {
		if (max > 0)
			read_controller(&list[0], parent);
		return 1;
	}
	snprintf(dir, sizeof(dir), "/sys/class/nvme-subsystem/%s", parent);
	count = names_list(dir, is_controller, &names);
	if (count < 0)
		return 0;
	for (int i = 0; i < count && i < max; i++)
		read_controller(&list[i], names[i]);
	names_free(names, count);
	return count;
}

/*
 * What others wrote through the page cache must be on the drive before it is
 * read there, and must not come down later on top of what is written there.
 */
int ns_cache_write_back(const struct ns *ns, uint64_t start, uint64_t length)
{
	if (ns->is_file)
		return 0;
	if (sync_file_range(ns->fd, start, length,
			    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
				    SYNC_FILE_RANGE_WAIT_AFTER))
		return -errno;
	return 0;
}

int ns_cache_write_back_or_report(const struct ns *ns, uint64_t start, uint64_t length)
{
	int ret = ns_cache_write_back(ns, start, length);

	if (ret)
		return report_error(TOOL_FAILED, "write-back",
				    "cannot write back what the page cache has of %s: %s", ns->path,
				    strerror(-ret));
	return TOOL_OK;
}

void ns_cache_drop(const struct ns *ns, uint64_t start, uint64_t length)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t first = start - start % page;

	/* The kernel keeps pages that the range covers in part only. */
	length += start - first;
	if (length % page)
		length += page - length % page;
	if (ns->is_file)
		return;
	posix_fadvise(ns->fd, first, length, POSIX_FADV_DONTNEED);
}
