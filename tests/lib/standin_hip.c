// SPDX-License-Identifier: MIT
/*
 * Stands in for libhsa-runtime64.so.1: the host and two GPUs, each with several pools, of which
 * the last one is what can be exported. One allocation at a time.
 */
#include "standin.h"

#include <stddef.h>
#include <string.h>

#define SUCCESS          0
#define OUT_OF_RESOURCES 0x1008

#define ADDRESS ((void *)0x7f5500200000)

/* Handles: of agents; of the pools of an agent, from its hundred on. */
#define AGENTS 3
#define AGENT  7
#define POOLS  4

struct agent {
	uint64_t handle;
};

struct pool {
	uint64_t handle;
};

static unsigned int initialised;
static void *allocated;

int hsa_init(void);
int hsa_shut_down(void);
int hsa_iterate_agents(int (*callback)(struct agent, void *), void *data);
int hsa_agent_get_info(struct agent agent, int attribute, void *value);
int hsa_amd_agent_iterate_memory_pools(struct agent agent, int (*callback)(struct pool, void *),
				       void *data);
int hsa_amd_memory_pool_get_info(struct pool pool, int attribute, void *value);
int hsa_amd_memory_pool_allocate(struct pool pool, size_t size, uint32_t flags, void **address);
int hsa_amd_memory_pool_free(void *address);
int hsa_amd_portable_export_dmabuf(const void *address, size_t size, int *fd, uint64_t *offset);

int hsa_init(void)
{
	if (standin_fails(__func__))
		return standin.fail_with;
	initialised++;
	standin.live++;
	return SUCCESS;
}

int hsa_shut_down(void)
{
	expect(initialised);
	expect(!allocated || initialised > 1);
	initialised--;
	standin.live--;
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

/* What a callback returns ends the search, and is returned. */
int hsa_iterate_agents(int (*callback)(struct agent, void *), void *data)
{
	int ret = SUCCESS;

	expect(initialised);
	expect(callback);
	if (standin_fails(__func__))
		return standin.fail_with;
	for (uint64_t i = 0; i < AGENTS && !ret; i++)
		ret = callback((struct agent){ AGENT + i }, data);
	return ret;
}

int hsa_agent_get_info(struct agent agent, int attribute, void *value)
{
	uint32_t type = agent.handle > AGENT && standin.trait != HSA_ONLY_CPU;

	expect(initialised);
	expect(agent.handle >= AGENT && agent.handle < AGENT + AGENTS);
	expect(attribute == 17);
	expect(value);
	if (standin_fails(__func__))
		return standin.fail_with;
	memcpy(value, &type, sizeof(type));
	return SUCCESS;
}

int hsa_amd_agent_iterate_memory_pools(struct agent agent, int (*callback)(struct pool, void *),
				       void *data)
{
	int ret = SUCCESS;

	expect(initialised);
	expect(agent.handle > AGENT && agent.handle < AGENT + AGENTS);
	expect(callback);
	if (standin_fails(__func__))
		return standin.fail_with;
	for (uint64_t i = 0; i < POOLS - (standin.trait == HSA_NO_POOL) && !ret; i++)
		ret = callback((struct pool){ agent.handle * 100 + i }, data);
	return ret;
}

int hsa_amd_memory_pool_get_info(struct pool pool, int attribute, void *value)
{
	static const struct {
		uint32_t segment, flags;
		bool allowed;
	} pools[POOLS] = {
		{ 3, 4, true },	 /* of work-groups */
		{ 0, 2, true },	 /* fine-grained */
		{ 0, 4, false }, /* nobody can allocate of it */
		{ 0, 4, true },
	};
	const uint64_t i = pool.handle % 100;

	expect(initialised);
	expect(i < POOLS);
	expect(value);
	expect(attribute == 0 || attribute == 1 || attribute == 5);
	if (standin_fails(__func__))
		return standin.fail_with;
	if (attribute == 0)
		memcpy(value, &pools[i].segment, sizeof(uint32_t));
	else if (attribute == 1)
		memcpy(value, &pools[i].flags, sizeof(uint32_t));
	else
		memcpy(value, &pools[i].allowed, sizeof(bool));
	return SUCCESS;
}

int hsa_amd_memory_pool_allocate(struct pool pool, size_t size, uint32_t flags, void **address)
{
	expect(initialised);
	expect(pool.handle % 100 == POOLS - 1);
	expect(size && size % (2 << 20) == 0);
	expect(!flags);
	expect(address);
	expect(!allocated);
	if (standin_fails(__func__))
		return standin.fail_with;
	standin.number = (unsigned int)(pool.handle / 100 - AGENT - 1);
	standin.size = size;
	allocated = *address = ADDRESS;
	standin.live++;
	return SUCCESS;
}

int hsa_amd_memory_pool_free(void *address)
{
	expect(initialised);
	expect(address && address == allocated);
	allocated = NULL;
	standin.live--;
	return standin_fails(__func__) ? standin.fail_with : SUCCESS;
}

int hsa_amd_portable_export_dmabuf(const void *address, size_t size, int *fd, uint64_t *offset)
{
	int new;

	expect(initialised);
	expect(address && address == allocated);
	expect(size == standin.size);
	expect(fd);
	expect(offset);
	if (standin_fails(__func__))
		return standin.fail_with;
	new = standin_export(size);
	if (new < 0)
		return OUT_OF_RESOURCES;
	*fd = new;
	*offset = standin.trait == HSA_INSIDE_A_BLOCK ? 4096 : 0;
	return SUCCESS;
}
