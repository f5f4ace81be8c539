// SPDX-License-Identifier: MIT
/*
 * An ioengine for fio: the memory that fio reads into and writes from is a dma-buf,
 * which stays mapped for the drive. It is built against the headers of one fio and works
 * in that fio only. Of this project it knows the library alone.
 *
 * A job has a context, a queue and one dma-buf for all its I/O; each file that it has
 * open is a namespace, or a regular file on one, for which the whole dma-buf is mapped
 * once. Regular files can only be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fio.h"
#include "optgroup.h"
#include "verify.h"

#include <nvmedmabuf.h>

#define SAY "nvme-dmabuf: "

struct options {
	void *pad; /* for fio, offset 0 is no member */
	unsigned int frontend;
	unsigned int polled;
	char *exporter;
};

static struct fio_option options[] = {
	{
		.name = "frontend",
		.lname = "Front end",
		.type = FIO_OPT_STR,
		.off1 = offsetof(struct options, frontend),
		.help = "How commands are submitted",
		.def = "ioctl",
		.posval = {
			{ .ival = "ioctl", .oval = 0, .help = "The module's own calls" },
			{ .ival = "uring", .oval = 1, .help = "io_uring" },
		},
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "polled",
		.alias = "hipri",
		.lname = "Polled completions",
		.type = FIO_OPT_BOOL,
		.off1 = offsetof(struct options, polled),
		.help = "Poll for completions on the drive's polled queues",
		.def = "0",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = "exporter",
		.lname = "Exporter of the buffer",
		.type = FIO_OPT_STR_STORE,
		.off1 = offsetof(struct options, exporter),
		.help = "Where the dma-buf comes from, as in --buffer of nvme-dmabuf(8)",
		.def = "udmabuf",
		.category = FIO_OPT_C_ENGINE,
		.group = FIO_OPT_G_INVALID,
	},
	{
		.name = NULL,
	},
};

/* What a job has, in td->io_ops_data. */
struct engine {
	struct nvmedmabuf *ctx;
	struct nvmedmabuf_queue *queue;
	struct nvmedmabuf_buffer *buffer;    /* NULL while fio has no memory of ours */
	struct nvme_dmabuf_completion *cpls; /* what getevents() found last */
	struct io_u **prepared;		     /* in the queue, not submitted; oldest first */
	unsigned int n_prepared;
	bool cpu_looks; /* the data matter to the CPU: see sync_cpu() */
};

/* What an open file has, in its engine_data. */
struct target {
	uint32_t map;
	uint32_t block_size;
	bool writable;
};

struct ioengine_ops ioengine;

/*
 * Members of fio's structures come and go with its version and its configuration, and
 * fio compares the version of ioengine_ops only.
 */
static bool same_fio(const struct thread_data *td)
{
	return td->io_ops == &ioengine;
}

static int other_fio(void)
{
	log_err(SAY "built with the headers of another fio, or of one configured otherwise\n");
	return 1;
}

static const char *explain(int err, uint32_t reason)
{
	return reason != NVME_DMABUF_REASON_NONE ? nvmedmabuf_reason_text(reason) : strerror(-err);
}

/*
 * Tells the exporter that what the CPU wrote is for the drive now (WRITE), or that the
 * CPU is about to look at what the drive wrote (READ). All through the job the CPU has
 * access, for fio fills one part of the buffer while the drive is at another: a machine
 * whose caches are not coherent with DMA would need a dma-buf for each io_u.
 */
static void sync_cpu(struct engine *e, int flags)
{
	if (!e->cpu_looks)
		return;
	nvmedmabuf_buffer_end_cpu(e->buffer, flags);
	nvmedmabuf_buffer_begin_cpu(e->buffer, flags);
}

/*
 * As long as a file is open for writing, by fio itself, the map takes no commands. What fio has
 * instead from now on reads and writes nothing, and can be closed.
 */
static int close_written(struct thread_data *td, struct fio_file *f)
{
	int fd = open(f->file_name, O_PATH | O_CLOEXEC);

	if (fd < 0 || dup2(fd, f->fd) < 0) {
		int err = -errno;

		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	/* Nor is there anything in the page cache. */
	td->o.invalidate_cache = 0;
	return 0;
}

static int attach(struct thread_data *td, struct fio_file *f)
{
	struct engine *e = td->io_ops_data;
	struct options *o = td->eo;
	struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.dmabuf_fd = nvmedmabuf_buffer_fd(e->buffer),
		.ns_fd = f->fd,
		.length = nvmedmabuf_buffer_size(e->buffer),
		.auto_refresh = true,
	};
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	struct target *t;
	uint32_t reason;
	int err;

	t = calloc(1, sizeof(*t));
	if (!t) {
		td_verror(td, ENOMEM, "attach");
		return 1;
	}

	/* Newer versions open what they only verify for reading. */
	t->writable = td_write(td) && (fcntl(f->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
	if (t->writable)
		params.access |= NVMEDMABUF_ACCESS_WRITE;
	if (td_read(td) || td->o.verify != VERIFY_NONE)
		params.access |= NVMEDMABUF_ACCESS_READ;

	params.defer = t->writable && f->filetype == FIO_TYPE_FILE;
	err = nvmedmabuf_get_ns_info(e->ctx, f->fd, &info);
	reason = info.out_reason;
	if (!err)
		err = nvmedmabuf_attach(e->ctx, &params, &t->map, &reason);
	if (!err && params.defer)
		err = close_written(td, f);
	if (err) {
		log_err(SAY "%s: %s\n", f->file_name, explain(err, reason));
		td_verror(td, -err, "attach");
		if (t->map)
			nvmedmabuf_detach(e->ctx, t->map);
		free(t);
		return 1;
	}
	if (o->polled && !(info.out_flags & NVME_DMABUF_NS_POLL))
		log_info(SAY
			 "%s has no polled queues (nvme.poll_queues): polled=1 changes nothing\n",
			 f->file_name);

	t->block_size = info.out_block_size;
	FILE_SET_ENG_DATA(f, t);
	return 0;
}

static void detach(struct thread_data *td, struct fio_file *f)
{
	struct engine *e = td->io_ops_data;
	struct target *t = FILE_ENG_DATA(f);

	if (!t)
		return;
	nvmedmabuf_detach(e->ctx, t->map);
	free(t);
	FILE_SET_ENG_DATA(f, NULL);
}

/*
 * fio also opens files only to know their size, before init(); and may allocate its
 * memory anew while it has files open.
 */
static int engine_open_file(struct thread_data *td, struct fio_file *f)
{
	struct engine *e;
	int err;

	if (!same_fio(td))
		return other_fio();
	if (generic_open_file(td, f))
		return 1;
	e = td->io_ops_data;
	if (!e || !e->buffer || !attach(td, f))
		return 0;
	err = generic_close_file(td, f);
	return err ? err : 1;
}

static int engine_close_file(struct thread_data *td, struct fio_file *f)
{
	detach(td, f);
	return generic_close_file(td, f);
}

static void engine_iomem_free(struct thread_data *td)
{
	struct engine *e = td->io_ops_data;
	struct fio_file *f;
	unsigned int i;

	if (!e || !e->buffer)
		return;
	for_each_file(td, f, i)
		detach(td, f);
	nvmedmabuf_buffer_end_cpu(e->buffer, NVMEDMABUF_CPU_READ_WRITE);
	nvmedmabuf_buffer_free(e->buffer);
	e->buffer = NULL;
}

static int engine_iomem_alloc(struct thread_data *td, size_t size)
{
	struct engine *e = td->io_ops_data;
	struct options *o = td->eo;
	struct fio_file *f;
	unsigned int i;
	void *addr;
	int err;

	if (nvmedmabuf_buffer_check_name(o->exporter)) {
		log_err(SAY "exporter=%s is none of %s\n", o->exporter, nvmedmabuf_buffer_names());
		return 1;
	}
	err = nvmedmabuf_buffer_create(o->exporter, size, &e->buffer);
	if (err) {
		log_err(SAY "no buffer of %zu bytes with exporter=%s: %s%s\n", size, o->exporter,
			strerror(-err),
			err == -ENOENT ? "; nvme-dmabuf info shows which exporters there are" : "");
		return 1;
	}
	err = nvmedmabuf_buffer_mmap(e->buffer, &addr);
	if (err) {
		log_err(SAY "exporter=%s does not let the CPU map a buffer, and fio needs that"
			    " (error %d)\n",
			o->exporter, -err);
		goto free_buffer;
	}
	err = nvmedmabuf_buffer_begin_cpu(e->buffer, NVMEDMABUF_CPU_READ_WRITE);
	if (err) {
		log_err(SAY "the CPU cannot use a buffer of exporter=%s: %s\n", o->exporter,
			strerror(-err));
		goto free_buffer;
	}
	for_each_file(td, f, i) {
		if (fio_file_open(f) && attach(td, f))
			goto free_buffer;
	}
	td->orig_buffer = addr;
	return 0;

free_buffer:
	engine_iomem_free(td);
	return 1;
}

/* Called after a failure of init(), too. */
static void engine_cleanup(struct thread_data *td)
{
	struct engine *e;

	if (!same_fio(td) || !td->io_ops_data)
		return;
	e = td->io_ops_data;
	nvmedmabuf_queue_free(e->queue);
	nvmedmabuf_close(e->ctx);
	free(e->prepared);
	free(e->cpls);
	free(e);
}

static int engine_init(struct thread_data *td)
{
	struct options *o = td->eo;
	struct nvmedmabuf_queue_params params = { .size = sizeof(params) };
	struct engine *e;
	int err;

	if (!same_fio(td))
		return other_fio();
	if (td_trim(td) || td->o.trim_percentage) {
		log_err(SAY "there are no trims\n");
		td_verror(td, EOPNOTSUPP, "init");
		return 1;
	}

	e = calloc(1, sizeof(*e));
	if (!e)
		goto no_memory;
	td->io_ops_data = e;
	e->cpu_looks = td->o.verify != VERIFY_NONE;
	e->cpls = calloc(td->o.iodepth, sizeof(*e->cpls));
	e->prepared = calloc(td->o.iodepth, sizeof(*e->prepared));
	if (!e->cpls || !e->prepared)
		goto no_memory;

	err = nvmedmabuf_open(&e->ctx);
	if (err) {
		log_err(SAY "cannot open /dev/nvme-dmabuf: %s%s\n", strerror(-err),
			err == -ENOENT ? " (is the module nvme_dmabuf loaded?)" : "");
		td_verror(td, -err, "init");
		return 1;
	}
	params.polled = o->polled;
	params.uring = o->frontend;
	err = nvmedmabuf_queue_create(e->ctx, td->o.iodepth, &params, &e->queue);
	if (err) {
		log_err(SAY "no queue with iodepth=%u and frontend=%s: %s\n", td->o.iodepth,
			o->frontend ? "uring" : "ioctl", strerror(-err));
		td_verror(td, -err, "init");
		return 1;
	}
	return 0;

no_memory:
	td_verror(td, ENOMEM, "init");
	return 1;
}

/* fio goes on, to here, where it could not have its memory. */
static int engine_post_init(struct thread_data *td)
{
	const struct engine *e = td->io_ops_data;

	return e->buffer ? 0 : 1;
}

static enum fio_q_status refuse(struct io_u *io_u, int error)
{
	io_u->error = error;
	return FIO_Q_COMPLETED;
}

static enum fio_q_status engine_queue(struct thread_data *td, struct io_u *io_u)
{
	struct engine *e = td->io_ops_data;
	const struct target *t = FILE_ENG_DATA(io_u->file);
	uint64_t offset = (char *)io_u->xfer_buf - (char *)td->orig_buffer;
	struct nvme_dmabuf_command *cmd;

	fio_ro_check(td, io_u);
	if (!t)
		return refuse(io_u, ENOMEM);

	switch (io_u->ddir) {
	case DDIR_READ:
	case DDIR_WRITE:
		if (io_u->offset % t->block_size) {
			log_err(SAY "%s: offset %llu is no multiple of the block size, %u\n",
				io_u->file->file_name, io_u->offset, t->block_size);
			return refuse(io_u, EINVAL);
		}
		break;
	case DDIR_SYNC:
	case DDIR_DATASYNC:
		/* A job that does not write has nothing to flush, nor may it. */
		if (!t->writable)
			return FIO_Q_COMPLETED;
		break;
	default:
		return refuse(io_u, EOPNOTSUPP);
	}

	cmd = nvmedmabuf_queue_get(e->queue);
	if (!cmd)
		return FIO_Q_BUSY;
	if (io_u->ddir == DDIR_READ)
		nvmedmabuf_prep_read(cmd, t->map, offset, io_u->xfer_buflen,
				     io_u->offset / t->block_size);
	else if (io_u->ddir == DDIR_WRITE)
		nvmedmabuf_prep_write(cmd, t->map, offset, io_u->xfer_buflen,
				      io_u->offset / t->block_size);
	else
		nvmedmabuf_prep_flush(cmd, t->map);
	if (io_u->ddir == DDIR_WRITE && td->o.sync_io)
		cmd->flags = NVME_DMABUF_CMD_FUA;
	cmd->user_data = (uintptr_t)io_u;
	e->prepared[e->n_prepared++] = io_u;
	return FIO_Q_QUEUED;
}

/* The first @n of those prepared are submitted. */
static void submitted(struct thread_data *td, unsigned int n)
{
	struct engine *e = td->io_ops_data;
	struct timespec now;
	unsigned int i;

	if (fio_fill_issue_time(td)) {
		fio_gettime(&now, NULL);
		for (i = 0; i < n; i++)
			e->prepared[i]->issue_time = now;
		if (td->o.read_iolog_file)
			td->last_issue = now;
	}
	for (i = 0; i < n; i++)
		io_u_queued(td, e->prepared[i]);
	io_u_mark_submit(td, n);
	e->n_prepared -= n;
	memmove(e->prepared, e->prepared + n, e->n_prepared * sizeof(*e->prepared));
}

/* 0 if there was no room, none to submit, or a signal. */
static int submit(struct thread_data *td, unsigned int min_complete)
{
	struct engine *e = td->io_ops_data;
	int ret;

	ret = nvmedmabuf_queue_submit(e->queue, min_complete, 0);
	if (ret > 0)
		submitted(td, ret);
	return ret == -EAGAIN || ret == -EINTR ? 0 : ret;
}

static int engine_commit(struct thread_data *td)
{
	struct engine *e = td->io_ops_data;
	bool writes = false;
	unsigned int i;
	int ret;

	for (i = 0; i < e->n_prepared; i++)
		writes |= e->prepared[i]->ddir == DDIR_WRITE;
	if (writes)
		sync_cpu(e, NVMEDMABUF_CPU_WRITE);

	while (e->n_prepared) {
		ret = submit(td, 0);
		if (ret < 0)
			return ret;
		/* fio reads completions, and comes again. */
		if (!ret)
			break;
	}
	return 0;
}

/* fio gives a timeout only where it does not wait, with a min of 0. */
static int engine_getevents(struct thread_data *td, unsigned int min, unsigned int max,
			    const struct timespec *timeout fio_unused)
{
	struct engine *e = td->io_ops_data;
	unsigned int n = 0, i;
	bool reads = false;
	int ret = 0;

	for (;;) {
		n += nvmedmabuf_queue_reap(e->queue, e->cpls + n, max - n);
		if (n >= min || ret < 0)
			break;
		ret = engine_commit(td);
		if (!ret)
			ret = submit(td, min - n);
	}

	for (i = 0; i < n; i++)
		reads |= ((struct io_u *)(uintptr_t)e->cpls[i].user_data)->ddir == DDIR_READ;
	if (reads)
		sync_cpu(e, NVMEDMABUF_CPU_READ);
	return n ? (int)n : ret;
}

static struct io_u *engine_event(struct thread_data *td, int event)
{
	struct engine *e = td->io_ops_data;
	const struct nvme_dmabuf_completion *cpl = &e->cpls[event];
	struct io_u *io_u = (struct io_u *)(uintptr_t)cpl->user_data;

	io_u->error = 0;
	if (cpl->error) {
		io_u->error = -cpl->error;
		log_err(SAY "%s\n", explain(cpl->error, cpl->reason));
	} else if (cpl->status) {
		io_u->error = EIO;
		log_err(SAY "NVMe status %#x: %s\n", cpl->status,
			nvmedmabuf_status_text(cpl->status));
	}
	return io_u;
}

struct ioengine_ops ioengine = {
	.name = "nvme-dmabuf",
	.version = FIO_IOOPS_VERSION,
	/* The kernel does not count these commands as the disk's. */
	.flags = FIO_RAWIO | FIO_MEMALIGN | FIO_NODISKUTIL | FIO_NO_OFFLOAD |
		 FIO_ASYNCIO_SETS_ISSUE_TIME,
	.init = engine_init,
	.post_init = engine_post_init,
	.queue = engine_queue,
	.commit = engine_commit,
	.getevents = engine_getevents,
	.event = engine_event,
	.cleanup = engine_cleanup,
	.open_file = engine_open_file,
	.close_file = engine_close_file,
	.get_file_size = generic_get_file_size,
	.iomem_alloc = engine_iomem_alloc,
	.iomem_free = engine_iomem_free,
	.options = options,
	.option_struct_size = sizeof(struct options),
};
