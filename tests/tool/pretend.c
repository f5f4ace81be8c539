// SPDX-License-Identifier: MIT
/*
 * A library without a module, for the tool's tests with regular files: buffers are plain
 * memory, and the drive is the file itself. Whatever a module must refuse it refuses, above
 * all holes. The environment tells what else is pretended:
 *
 *   PRETEND_REASON=N   the file cannot be used, for reason N
 *   PRETEND_TAIL=1     the last block has something behind the end of the file
 *   PRETEND_HOLE=A-B   blocks A to B were never written, though the file system has data there
 *   PRETEND_BUSY=N     the map stops for good before command N, counted from 0
 *   PRETEND_CHANGE=1   somebody appends a byte to the file when the first command is done
 *   PRETEND_LOSE=N     write N of a map, counted from 0, does nothing
 *   PRETEND_STRAY=N    write N of a map also changes the byte before its own
 *   PRETEND_NOBUFFER=N no exporter gives a buffer: error N
 *   PRETEND_UNMAPPED=N the CPU cannot map buffers: error N
 *
 * A map that was attached by a descriptor for writing takes no commands while the program has
 * the file open, and any other none while it has it open for writing. The former must be
 * refreshed before its first command. Maps write nothing but blocks that the file has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <nvmedmabuf.h>

#define BLOCK	    512
#define MAX_COMMAND 16384

/* A descriptor of each, so that their numbers tell them apart. */
struct nvmedmabuf_buffer {
	int fd;
	uint8_t *mem;
	uint64_t size;
	struct nvmedmabuf_buffer *next;
};

struct map {
	int file; /* the pretended module's own; -1 of a map that is not there */
	bool deferred, exclusive;
	uint32_t access;
	uint8_t *mem;
	uint64_t size;
	unsigned long commands, written;
};

#define MAPS 4

struct nvmedmabuf {
	struct map maps[MAPS];
};

struct nvmedmabuf_queue {
	struct nvmedmabuf *ctx;
	struct nvme_dmabuf_command cmds[64];
	struct nvme_dmabuf_completion cpls[64];
	unsigned int prepared, done;
};

static struct nvmedmabuf_buffer *buffers;
static struct nvmedmabuf context;

/* Of the first; the others follow. */
#define FIRST_MAP 7

static struct map *find_map(struct nvmedmabuf *ctx, uint32_t number)
{
	uint32_t i = number - FIRST_MAP;

	return i < MAPS && ctx->maps[i].file >= 0 ? &ctx->maps[i] : NULL;
}

static uint64_t setting(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_size;
}

/* Those that commands may read. */
static uint64_t file_blocks(int fd)
{
	uint64_t bytes = file_bytes(fd);

	return bytes / BLOCK + (bytes % BLOCK && !setting("PRETEND_TAIL"));
}

static bool is_own(int fd)
{
	for (int i = 0; i < MAPS; i++)
		if (context.maps[i].file == fd)
			return true;
	return false;
}

/* By any descriptor of the program's; those that the module would have do not count. */
static bool is_open(int fd, bool only_for_writing)
{
	struct stat st, other;

	if (fstat(fd, &st))
		abort();
	for (int i = 0; i < 64; i++)
		if (!is_own(i) && !fstat(i, &other) && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino &&
		    (!only_for_writing || (fcntl(i, F_GETFL) & O_ACCMODE) != O_RDONLY))
			return true;
	return false;
}

const char *nvmedmabuf_version(void)
{
	return "pretended";
}

int nvmedmabuf_open(struct nvmedmabuf **ctx)
{
	for (int i = 0; i < MAPS; i++)
		context.maps[i].file = -1;
	*ctx = &context;
	return 0;
}

void nvmedmabuf_close(struct nvmedmabuf *ctx)
{
	(void)ctx;
}

int nvmedmabuf_get_info(struct nvmedmabuf *ctx, struct nvme_dmabuf_info *info)
{
	(void)ctx;
	*info = (struct nvme_dmabuf_info){ .size = sizeof(*info),
					   .out_features = NVME_DMABUF_FEATURE_FILE,
					   .out_max_commands = 1024,
					   .out_min_timeout_ms = 100,
					   .out_max_depth = 64 };
	return 0;
}

int nvmedmabuf_get_ns_info(struct nvmedmabuf *ctx, int ns_fd, struct nvme_dmabuf_ns_info *info)
{
	(void)ctx;
	*info = (struct nvme_dmabuf_ns_info){ .size = sizeof(*info),
					      .ns_fd = ns_fd,
					      .out_reason = setting("PRETEND_REASON"),
					      .out_block_size = BLOCK,
					      .out_nsid = 1,
					      .out_max_command = MAX_COMMAND,
					      .out_flags = NVME_DMABUF_NS_FILE };
	if (!info->out_reason && is_open(ns_fd, true))
		info->out_reason = NVME_DMABUF_REASON_FILE_BUSY;
	if (!info->out_reason)
		info->out_capacity = file_blocks(ns_fd);
	return 0;
}

int nvmedmabuf_get_drive(int ns_fd, struct nvmedmabuf_drive *drive)
{
	(void)ns_fd;
	(void)drive;
	return -ENOTTY;
}

int nvmedmabuf_get_peer_info(struct nvmedmabuf *ctx, int ns_fd, uint32_t domain, uint32_t bdf,
			     struct nvme_dmabuf_peer_info *info)
{
	(void)ctx;
	(void)ns_fd;
	(void)domain;
	(void)bdf;
	(void)info;
	return -EBADF;
}

int nvmedmabuf_buffer_check_name(const char *name)
{
	(void)name;
	return 0;
}

const char *nvmedmabuf_buffer_names(void)
{
	return "pretended";
}

/* What was not filled must show. */
int nvmedmabuf_buffer_create(const char *name, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	struct nvmedmabuf_buffer *new;

	(void)name;
	if (setting("PRETEND_NOBUFFER"))
		return -(int)setting("PRETEND_NOBUFFER");
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->fd = memfd_create("pretended", MFD_CLOEXEC);
	new->size = (size + 4095) / 4096 * 4096;
	new->mem = aligned_alloc(4096, new->size);
	if (new->fd < 0 || !new->mem)
		abort();
	memset(new->mem, 0xee, new->size);
	new->next = buffers;
	buffers = *buf = new;
	return 0;
}

void nvmedmabuf_buffer_free(struct nvmedmabuf_buffer *buf)
{
	struct nvmedmabuf_buffer **at = &buffers;

	if (!buf)
		return;
	while (*at != buf)
		at = &(*at)->next;
	*at = buf->next;
	close(buf->fd);
	free(buf->mem);
	free(buf);
}

int nvmedmabuf_buffer_fd(const struct nvmedmabuf_buffer *buf)
{
	return buf->fd;
}

uint64_t nvmedmabuf_buffer_size(const struct nvmedmabuf_buffer *buf)
{
	return buf->size;
}

int nvmedmabuf_buffer_mmap(struct nvmedmabuf_buffer *buf, void **addr)
{
	*addr = buf->mem;
	return -(int)setting("PRETEND_UNMAPPED");
}

int nvmedmabuf_buffer_begin_cpu(struct nvmedmabuf_buffer *buf, enum nvmedmabuf_cpu access)
{
	(void)buf;
	(void)access;
	return 0;
}

int nvmedmabuf_buffer_end_cpu(struct nvmedmabuf_buffer *buf, enum nvmedmabuf_cpu access)
{
	(void)buf;
	(void)access;
	return 0;
}

static int refuse(uint32_t *why, uint32_t reason, int error)
{
	*why = reason;
	return -error;
}

/* For reading: see write_back(). */
static int open_again(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

int nvmedmabuf_attach(struct nvmedmabuf *ctx, const struct nvmedmabuf_attach_params *params,
		      uint32_t *map, uint32_t *reason)
{
	const uint64_t offset = params->offset, length = params->length;
	const struct nvmedmabuf_buffer *buf = buffers;
	const int ns_fd = params->ns_fd;
	struct map *m = ctx->maps;
	struct stat st;

	while (buf && buf->fd != params->dmabuf_fd)
		buf = buf->next;
	if (!length)
		return refuse(reason, NVME_DMABUF_REASON_ZERO_LENGTH, EINVAL);
	if (offset % 4)
		return refuse(reason, NVME_DMABUF_REASON_DWORD_ALIGN, EINVAL);
	if (!buf)
		return refuse(reason, NVME_DMABUF_REASON_NOT_DMABUF, EBADF);
	for (const struct nvmedmabuf_buffer *b = buffers; b; b = b->next) {
		if (b->fd == ns_fd)
			return refuse(reason, NVME_DMABUF_REASON_NOT_BLOCK_DEVICE, EBADF);
	}
	if (params->access & NVME_DMABUF_ACCESS_WRITE && (fcntl(ns_fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return refuse(reason, NVME_DMABUF_REASON_NS_NOT_WRITABLE, EACCES);
	if (!params->defer && is_open(ns_fd, true))
		return refuse(reason, NVME_DMABUF_REASON_FILE_BUSY, EBUSY);
	if (offset + length < offset)
		return refuse(reason, NVME_DMABUF_REASON_OUTSIDE_DMABUF, EOVERFLOW);
	if (offset + length > buf->size)
		return refuse(reason, NVME_DMABUF_REASON_OUTSIDE_DMABUF, ERANGE);
	if (fstat(ns_fd, &st) || !S_ISREG(st.st_mode))
		abort();
	while (m->file >= 0)
		if (++m == ctx->maps + MAPS)
			abort();
	*m = (struct map){ .file = open_again(ns_fd),
			   .deferred = params->defer,
			   .exclusive = (fcntl(ns_fd, F_GETFL) & O_ACCMODE) != O_RDONLY,
			   .access = params->access,
			   .mem = buf->mem + offset,
			   .size = length };
	*map = FIRST_MAP + (m - ctx->maps);
	*reason = NVME_DMABUF_REASON_NONE;
	return 0;
}

int nvmedmabuf_detach(struct nvmedmabuf *ctx, uint32_t map)
{
	struct map *m = find_map(ctx, map);

	if (!m)
		return -ENOENT;
	close(m->file);
	m->file = -1;
	return 0;
}

int nvmedmabuf_refresh(struct nvmedmabuf *ctx, uint32_t map, uint64_t *generation, uint32_t *reason)
{
	struct map *m = find_map(ctx, map);
	uint32_t unused;

	(void)generation;
	if (!reason)
		reason = &unused;
	if (!m)
		return refuse(reason, NVME_DMABUF_REASON_NO_MAP, ENOENT);
	if (is_open(m->file, !m->exclusive))
		return refuse(reason, NVME_DMABUF_REASON_FILE_BUSY, EBUSY);
	m->deferred = false;
	return 0;
}

int nvmedmabuf_get_map_info(struct nvmedmabuf *ctx, uint32_t map, struct nvme_dmabuf_map_info *info)
{
	const struct map *m = find_map(ctx, map);

	if (!m)
		return -ENOENT;
	*info = (struct nvme_dmabuf_map_info){ .size = sizeof(*info),
					       .map = map,
					       .out_length = m->size,
					       .out_flags = NVME_DMABUF_MAP_FILE |
							    NVME_DMABUF_MAP_LAYOUT,
					       .out_access = NVME_DMABUF_ACCESS_READ,
					       .out_block_size = BLOCK,
					       .out_extents = 3,
					       .out_blocks = file_blocks(m->file),
					       .out_file_bytes = file_bytes(m->file) };
	return 0;
}

int nvmedmabuf_get_placement(struct nvmedmabuf *ctx, uint32_t map,
			     struct nvme_dmabuf_placement_run *runs, uint32_t max)
{
	(void)ctx;
	(void)map;
	(void)runs;
	(void)max;
	return 0;
}

static int touches_hole(int fd, uint64_t start, uint64_t end)
{
	const char *never = getenv("PRETEND_HOLE");
	off_t data = lseek(fd, start * BLOCK, SEEK_DATA);
	off_t hole = lseek(fd, start * BLOCK, SEEK_HOLE);
	unsigned long from, to;

	if (never && sscanf(never, "%lu-%lu", &from, &to) == 2 && start <= to && end > from)
		return 1;
	if (end * BLOCK > file_bytes(fd))
		end = file_bytes(fd) / BLOCK;
	return data != (off_t)start * BLOCK || hole < (off_t)end * BLOCK;
}

static int check(const struct map *m, const struct nvme_dmabuf_command *cmd, uint32_t *why)
{
	uint64_t blocks = file_blocks(m->file), end = cmd->slba + cmd->length / BLOCK;

	if (m->deferred)
		return refuse(why, NVME_DMABUF_REASON_DEFERRED, ESTALE);
	if (!(m->access & (cmd->opcode == NVME_DMABUF_OP_READ ? NVME_DMABUF_ACCESS_READ :
								NVME_DMABUF_ACCESS_WRITE)))
		return refuse(why, NVME_DMABUF_REASON_MAP_ACCESS, EACCES);
	if (is_open(m->file, !m->exclusive))
		return refuse(why, NVME_DMABUF_REASON_FILE_BUSY, EBUSY);
	if (cmd->opcode == NVME_DMABUF_OP_FLUSH)
		return 0;
	if (cmd->opcode == NVME_DMABUF_OP_WRITE && end * BLOCK > file_bytes(m->file))
		return refuse(why, NVME_DMABUF_REASON_FILE_TAIL, ERANGE);
	if (cmd->flags & ~NVME_DMABUF_CMD_FUA || cmd->reserved2[1])
		return refuse(why, NVME_DMABUF_REASON_RESERVED, EINVAL);
	if (cmd->timeout_ms && cmd->timeout_ms < 100)
		return refuse(why, NVME_DMABUF_REASON_TIMEOUT, EINVAL);
	if (!cmd->length)
		return refuse(why, NVME_DMABUF_REASON_ZERO_LENGTH, EINVAL);
	if (cmd->length % BLOCK)
		return refuse(why, NVME_DMABUF_REASON_BLOCK_MULTIPLE, EINVAL);
	if (cmd->offset % 4)
		return refuse(why, NVME_DMABUF_REASON_DWORD_ALIGN, EINVAL);
	if (cmd->offset + cmd->length < cmd->offset)
		return refuse(why, NVME_DMABUF_REASON_OUTSIDE_MAP, EOVERFLOW);
	if (cmd->offset + cmd->length > m->size)
		return refuse(why, NVME_DMABUF_REASON_OUTSIDE_MAP, ERANGE);
	if (end < cmd->slba)
		return refuse(why, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE, EOVERFLOW);
	if (end == blocks + 1 && end * BLOCK > file_bytes(m->file) && setting("PRETEND_TAIL"))
		return refuse(why, NVME_DMABUF_REASON_FILE_TAIL, ERANGE);
	if (end > blocks)
		return refuse(why, NVME_DMABUF_REASON_OUTSIDE_NAMESPACE, ERANGE);
	if (touches_hole(m->file, cmd->slba, end))
		return refuse(why, NVME_DMABUF_REASON_FILE_HOLE, ENODATA);
	if (getenv("PRETEND_BUSY") && m->commands >= setting("PRETEND_BUSY"))
		return refuse(why, NVME_DMABUF_REASON_FILE_BUSY, EBUSY);
	return 0;
}

static void append_byte(int fd)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f = fopen(path, "a");
	if (!f || fputc('x', f) == EOF || fclose(f))
		abort();
}

static bool is_chosen(const char *name, unsigned long number)
{
	return getenv(name) && setting(name) == number;
}

static void write_back(struct map *m, const struct nvme_dmabuf_command *cmd)
{
	uint64_t at = cmd->slba * BLOCK;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		abort();
	if (!is_chosen("PRETEND_LOSE", m->written) &&
	    pwrite(fd, m->mem + cmd->offset, cmd->length, at) != (ssize_t)cmd->length)
		abort();
	if (is_chosen("PRETEND_STRAY", m->written) && pwrite(fd, "x", 1, at - 1) != 1)
		abort();
	m->written++;
	close(fd);
}

static void run(struct nvmedmabuf *ctx, const struct nvme_dmabuf_command *cmd,
		struct nvme_dmabuf_completion *cpl)
{
	struct map *m = find_map(ctx, cmd->map);
	uint32_t why = NVME_DMABUF_REASON_NONE;
	ssize_t n;

	*cpl = (struct nvme_dmabuf_completion){ .user_data = cmd->user_data };
	cpl->error = m ? check(m, cmd, &why) : refuse(&why, NVME_DMABUF_REASON_NO_MAP, ENOENT);
	cpl->reason = why;
	if (cpl->error || cmd->opcode == NVME_DMABUF_OP_FLUSH)
		return;
	if (cmd->opcode == NVME_DMABUF_OP_WRITE) {
		write_back(m, cmd);
		m->commands++;
		cpl->bytes = cmd->length;
		return;
	}
	n = pread(m->file, m->mem + cmd->offset, cmd->length, cmd->slba * BLOCK);
	if (n < 0)
		abort();
	/* A drive has zeros there. */
	memset(m->mem + cmd->offset + n, 0, cmd->length - n);
	cpl->bytes = cmd->length;
	if (!m->commands++ && setting("PRETEND_CHANGE"))
		append_byte(m->file);
}

int nvmedmabuf_submit(struct nvmedmabuf *ctx, const struct nvme_dmabuf_command *cmds,
		      struct nvme_dmabuf_completion *cpls, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		run(ctx, &cmds[i], &cpls[i]);
	return count;
}

int nvmedmabuf_read(struct nvmedmabuf *ctx, uint32_t map, uint64_t offset, uint64_t length,
		    uint64_t slba, struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_completion unused;
	struct nvme_dmabuf_command cmd;

	if (!cpl)
		cpl = &unused;
	nvmedmabuf_prep_read(&cmd, map, offset, length, slba);
	run(ctx, &cmd, cpl);
	return cpl->error;
}

int nvmedmabuf_flush(struct nvmedmabuf *ctx, uint32_t map, struct nvme_dmabuf_completion *cpl)
{
	struct nvme_dmabuf_completion unused;
	struct nvme_dmabuf_command cmd;

	if (!cpl)
		cpl = &unused;
	nvmedmabuf_prep_flush(&cmd, map);
	run(ctx, &cmd, cpl);
	return cpl->error;
}

int nvmedmabuf_queue_create(struct nvmedmabuf *ctx, uint32_t depth,
			    const struct nvmedmabuf_queue_params *params,
			    struct nvmedmabuf_queue **queue)
{
	(void)depth;
	(void)params;
	*queue = calloc(1, sizeof(**queue));
	if (!*queue)
		return -ENOMEM;
	(*queue)->ctx = ctx;
	return 0;
}

void nvmedmabuf_queue_free(struct nvmedmabuf_queue *queue)
{
	free(queue);
}

struct nvme_dmabuf_command *nvmedmabuf_queue_get(struct nvmedmabuf_queue *queue)
{
	return queue->prepared < 64 ? &queue->cmds[queue->prepared++] : NULL;
}

int nvmedmabuf_queue_submit(struct nvmedmabuf_queue *queue, uint32_t min_complete,
			    uint64_t timeout_ns)
{
	unsigned int i;

	(void)min_complete;
	(void)timeout_ns;
	for (i = 0; i < queue->prepared && queue->done < 64; i++)
		run(queue->ctx, &queue->cmds[i], &queue->cpls[queue->done++]);
	queue->prepared = 0;
	return i;
}

int nvmedmabuf_queue_reap(struct nvmedmabuf_queue *queue, struct nvme_dmabuf_completion *cpls,
			  uint32_t max)
{
	unsigned int n = queue->done < max ? queue->done : max;

	memcpy(cpls, queue->cpls, n * sizeof(*cpls));
	memmove(queue->cpls, queue->cpls + n, (queue->done - n) * sizeof(*cpls));
	queue->done -= n;
	return n;
}
