// SPDX-License-Identifier: MIT
/*
 * Memory of AMD's GPUs, by the HSA runtime of ROCm (ROCr): libhsa-runtime64.so.1. HIP is built
 * upon it, exports dma-bufs in later releases only, and its library has another name in each
 * major release. What is declared here is documented in hsa.h ("HSA Runtime Programmer's
 * Reference Manual" 1.2) and hsa_ext_amd.h, which has the export since version 1.1 of its
 * interface.
 */
#include <errno.h>
#include <unistd.h>

#include "vendor.h"

#define LIBRARY "libhsa-runtime64.so.1"

/* ROCr cuts smaller pieces out of blocks of this size, and the dma-buf is all of a block. */
#define BLOCK (2 << 20)

/* hsa_status_t */
#define HSA_STATUS_SUCCESS		    0x0
#define HSA_STATUS_INFO_BREAK		    0x1
#define HSA_STATUS_ERROR		    0x1000
#define HSA_STATUS_ERROR_INVALID_ALLOCATION 0x1003
#define HSA_STATUS_ERROR_INVALID_AGENT	    0x1004
#define HSA_STATUS_ERROR_OUT_OF_RESOURCES   0x1008

/* hsa_agent_info_t, hsa_device_type_t */
#define HSA_AGENT_INFO_DEVICE 17
#define HSA_DEVICE_TYPE_GPU   1

/* hsa_amd_memory_pool_info_t, hsa_amd_segment_t, hsa_amd_memory_pool_global_flag_t */
#define HSA_AMD_MEMORY_POOL_INFO_SEGMENT	       0
#define HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS	       1
#define HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALLOWED 5
#define HSA_AMD_SEGMENT_GLOBAL			       0
#define HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED 4

/* hsa_agent_t, hsa_amd_memory_pool_t */
struct agent {
	uint64_t handle;
};

struct pool {
	uint64_t handle;
};

struct functions {
	int (*init)(void);
	int (*shut_down)(void);
	int (*iterate_agents)(int (*callback)(struct agent agent, void *data), void *data);
	int (*agent_get_info)(struct agent agent, int attribute, void *value);
	int (*iterate_pools)(struct agent agent, int (*callback)(struct pool pool, void *data),
			     void *data);
	int (*pool_get_info)(struct pool pool, int attribute, void *value);
	int (*pool_allocate)(struct pool pool, size_t size, uint32_t flags, void **address);
	int (*pool_free)(void *address);
	int (*export_dmabuf)(const void *address, size_t size, int *fd, uint64_t *offset);
};

static const char *const symbols[VENDOR_SYMBOLS(struct functions)] = {
	VENDOR_SYMBOL(struct functions, init, "hsa_init"),
	VENDOR_SYMBOL(struct functions, shut_down, "hsa_shut_down"),
	VENDOR_SYMBOL(struct functions, iterate_agents, "hsa_iterate_agents"),
	VENDOR_SYMBOL(struct functions, agent_get_info, "hsa_agent_get_info"),
	VENDOR_SYMBOL(struct functions, iterate_pools, "hsa_amd_agent_iterate_memory_pools"),
	VENDOR_SYMBOL(struct functions, pool_get_info, "hsa_amd_memory_pool_get_info"),
	VENDOR_SYMBOL(struct functions, pool_allocate, "hsa_amd_memory_pool_allocate"),
	VENDOR_SYMBOL(struct functions, pool_free, "hsa_amd_memory_pool_free"),
	VENDOR_SYMBOL(struct functions, export_dmabuf, "hsa_amd_portable_export_dmabuf"),
};

/* What a buffer keeps: @address is NULL until there is memory. */
struct hip {
	struct functions call;
	bool initialised;
	void *address;
};

static int error(int status)
{
	switch (status) {
	case HSA_STATUS_SUCCESS:
		return 0;
	case HSA_STATUS_ERROR_INVALID_ALLOCATION: /* more than the pool ever has */
	case HSA_STATUS_ERROR_OUT_OF_RESOURCES:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

static void release(void *kept)
{
	struct hip *hip = kept;

	if (hip->address)
		hip->call.pool_free(hip->address);
	if (hip->initialised)
		hip->call.shut_down();
}

/**
 * struct search - for a GPU by its number, then for its memory
 * @left: how many GPUs come before it
 * @found: @agent, or @pool, is the one
 */
struct search {
	const struct functions *call;
	unsigned int left;
	bool found;
	struct agent agent;
	struct pool pool;
};

static int look_at_agent(struct agent agent, void *data)
{
	struct search *search = data;
	uint32_t type = 0;
	int ret;

	ret = search->call->agent_get_info(agent, HSA_AGENT_INFO_DEVICE, &type);
	if (ret || type != HSA_DEVICE_TYPE_GPU || search->left--)
		return ret;
	search->agent = agent;
	search->found = true;
	return HSA_STATUS_INFO_BREAK;
}

/* The GPU's own memory is coarse-grained: not kept coherent with the CPU by each access. */
static int look_at_pool(struct pool pool, void *data)
{
	struct search *search = data;
	uint32_t segment = HSA_AMD_SEGMENT_GLOBAL, flags = 0;
	bool allowed = false;
	int ret;

	ret = search->call->pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_SEGMENT, &segment);
	if (ret || segment != HSA_AMD_SEGMENT_GLOBAL)
		return ret;
	ret = search->call->pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS, &flags);
	if (ret || !(flags & HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED))
		return ret;
	ret = search->call->pool_get_info(pool, HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALLOWED,
					  &allowed);
	if (ret || !allowed)
		return ret;
	search->pool = pool;
	search->found = true;
	return HSA_STATUS_INFO_BREAK;
}

/* The memory of GPU @number */
static int find_pool(const struct hip *hip, unsigned int number, struct pool *pool)
{
	struct search search = { .call = &hip->call, .left = number };
	int ret;

	ret = hip->call.iterate_agents(look_at_agent, &search);
	if (!search.found)
		return ret ? error(ret) : -ENODEV;

	search.found = false;
	ret = hip->call.iterate_pools(search.agent, look_at_pool, &search);
	if (!search.found)
		return ret ? error(ret) : -EOPNOTSUPP;
	*pool = search.pool;
	return 0;
}

/* Returns a dma-buf or -errno. */
static int export(const struct hip *hip, uint64_t size)
{
	uint64_t offset = 0;
	int fd = -1, ret;

	ret = hip->call.export_dmabuf(hip->address, size, &fd, &offset);
	/* The kernel's driver, or the device, cannot export. */
	if (ret == HSA_STATUS_ERROR || ret == HSA_STATUS_ERROR_INVALID_AGENT)
		return -EOPNOTSUPP;
	if (ret)
		return error(ret);
	if (offset) {
		/* The rest of the dma-buf is not ours. */
		close(fd);
		return -EOPNOTSUPP;
	}
	return fd;
}

static int hip_export(void *kept, unsigned int number, uint64_t size)
{
	struct hip *hip = kept;
	struct pool pool = { 0 };
	int ret;

	ret = hip->call.init();
	/* It cannot open /dev/kfd. */
	if (ret == HSA_STATUS_ERROR_OUT_OF_RESOURCES)
		return -ENODEV;
	if (ret)
		return error(ret);
	hip->initialised = true;

	ret = find_pool(hip, number, &pool);
	if (!ret)
		ret = error(hip->call.pool_allocate(pool, size, 0, &hip->address));
	if (ret)
		return ret;
	return export(hip, size);
}

static const struct vendor vendor = {
	.soname = LIBRARY,
	.symbols = symbols,
	.functions = offsetof(struct hip, call),
	.kept = sizeof(struct hip),
	.unit = BLOCK,
	.export = hip_export,
	.release = release,
};

static int create(const char *argument, uint64_t size, struct nvmedmabuf_buffer **buf)
{
	return vendor_create(&vendor, argument, size, buf);
}

const struct exporter exporter_hip = {
	.takes = takes_number,
	.create = create,
};
