// SPDX-License-Identifier: MIT
/*
 * Reads the first 64 KiB of a namespace into a udmabuf and writes them to
 * standard output: read-blocks /dev/nvme0n1 | xxd
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <nvmedmabuf.h>

#define LENGTH	(64 * 1024)

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
	struct nvme_dmabuf_completion cpl = { .status = 0 };
	struct nvmedmabuf_buffer *buf = NULL;
	struct nvmedmabuf *ctx = NULL;
	uint32_t map, reason = NVME_DMABUF_REASON_NONE;
	char text[400];
	void *data = NULL;
	int err, ns;

	ns = open(path, O_RDONLY);
	if (ns < 0) {
		perror(path);
		return 1;
	}
	err = nvmedmabuf_open(&ctx);
	if (!err)
		err = nvmedmabuf_buffer_create("udmabuf", LENGTH, &buf);
	if (!err)
		err = nvmedmabuf_buffer_mmap(buf, &data);
	if (!err)
		err = attach(ctx, buf, ns, &map, &reason);
	if (!err)
		err = nvmedmabuf_read(ctx, map, 0, LENGTH, 0, &cpl);
	if (!err)
		err = print(buf, data);
	if (err)
		fprintf(stderr, "%s\n", nvmedmabuf_error_text(text, sizeof(text), err, reason, &cpl));

	nvmedmabuf_close(ctx);	/* detaches the map as well */
	nvmedmabuf_buffer_free(buf);
	return err != 0;
}
