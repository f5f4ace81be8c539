// SPDX-License-Identifier: MIT
/*
 * Reads the first 4 MiB of a namespace in pieces of 64 KiB, eight of them at a time, and
 * writes them to standard output: read-queue /dev/nvme0n1 | xxd
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <nvmedmabuf.h>

#define LENGTH (4 * 1024 * 1024)
#define PIECE  (64 * 1024)
#define DEPTH  8

static int check(const struct nvme_dmabuf_completion *cpl)
{
	if (!cpl->error && !cpl->status)
		return 0;
	fprintf(stderr, "at byte %llu: %s\n", (unsigned long long)cpl->user_data,
		cpl->status ? nvmedmabuf_status_text(cpl->status) :
			      nvmedmabuf_reason_text(cpl->reason));
	return cpl->error ? cpl->error : -EIO;
}

static int read_all(struct nvmedmabuf_queue *queue, uint32_t map, uint32_t block_size)
{
	struct nvme_dmabuf_completion cpls[DEPTH];
	struct nvme_dmabuf_command *cmd;
	uint64_t next = 0, done = 0;
	int i, n, err = 0;

	while (!err && done < LENGTH) {
		while (next < LENGTH && (cmd = nvmedmabuf_queue_get(queue))) {
			nvmedmabuf_prep_read(cmd, map, next, PIECE, next / block_size);
			cmd->user_data = next;
			next += PIECE;
		}
		n = nvmedmabuf_queue_submit(queue, 1, 0);
		if (n < 0)
			return n;
		n = nvmedmabuf_queue_reap(queue, cpls, DEPTH);
		for (i = 0; i < n && !err; i++) {
			err = check(&cpls[i]);
			done += cpls[i].bytes;
		}
	}
	return err;
}

/* Both calls around the access are needed; the second also after a failed write. */
static int print(struct nvmedmabuf_buffer *buf, const void *data)
{
	int err, end;

	err = nvmedmabuf_buffer_begin_cpu(buf, NVMEDMABUF_CPU_READ);
	if (err)
		return err;
	if (fwrite(data, 1, LENGTH, stdout) != LENGTH || fflush(stdout))
		err = -errno;
	end = nvmedmabuf_buffer_end_cpu(buf, NVMEDMABUF_CPU_READ);
	return err ? err : end;
}

static int attach(struct nvmedmabuf *ctx, struct nvmedmabuf_buffer *buf, int ns, uint32_t *map,
		  uint32_t *reason)
{
	const struct nvmedmabuf_attach_params params = {
		.size = sizeof(params),
		.access = NVMEDMABUF_ACCESS_READ,
		.dmabuf_fd = nvmedmabuf_buffer_fd(buf),
		.ns_fd = ns,
		.length = LENGTH,
	};

	return nvmedmabuf_attach(ctx, &params, map, reason);
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/dev/nvme0n1";
	struct nvmedmabuf_queue *queue = NULL;
	struct nvmedmabuf_buffer *buf = NULL;
	struct nvmedmabuf *ctx = NULL;
	struct nvme_dmabuf_ns_info info = { .size = sizeof(info) };
	void *data = NULL;
	uint32_t map, reason = NVME_DMABUF_REASON_NONE;
	char text[400];
	int err, ns;

	ns = open(path, O_RDONLY);
	if (ns < 0) {
		perror(path);
		return 1;
	}
	err = nvmedmabuf_open(&ctx);
	if (!err)
		err = nvmedmabuf_get_ns_info(ctx, ns, &info);
	if (!err)
		err = nvmedmabuf_buffer_create("udmabuf", LENGTH, &buf);
	if (!err)
		err = attach(ctx, buf, ns, &map, &reason);
	if (!err)
		err = nvmedmabuf_queue_create(ctx, DEPTH, NULL, &queue);
	if (!err)
		err = read_all(queue, map, info.out_block_size);

	nvmedmabuf_queue_free(queue); /* waits for what is in flight */
	nvmedmabuf_close(ctx);
	if (!err)
		err = nvmedmabuf_buffer_mmap(buf, &data);
	if (!err)
		err = print(buf, data);
	if (err)
		fprintf(stderr, "%s\n", nvmedmabuf_error_text(text, sizeof(text), err, reason, NULL));
	nvmedmabuf_buffer_free(buf);
	return err != 0;
}
