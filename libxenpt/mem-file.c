/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cleanup.h"
#include "mem-file.h"
#include "pages.h"

#define CACHE_PAGES 64 /* a power of two: walks come to the same tables again */

struct mem_file {
	struct xenpt_mem mem;
	const struct xenpt_file *file;
	struct page_versions *versions;
	uint32_t epoch;
	/* The chunk that was read last; NULL: none, or it could not be. */
	uint8_t *data;
	uint32_t chunk;
	struct {
		uint64_t gpa;
		bool used;
		uint8_t bytes[XENPT_PAGE_SIZE];
	} cache[CACHE_PAGES];
};

/* The chunk's data, valid until another is read; NULL: it cannot be read. */
static const uint8_t *read_chunk(struct mem_file *mem, uint32_t index)
{
	_cleanup_error_ struct xenpt_error *err = NULL;
	_cleanup_free_ uint8_t *data = NULL;
	const struct xenpt_chunk *chunks;
	size_t count;

	if (mem->data && mem->chunk == index)
		return mem->data;
	chunks = xenpt_file_pages(mem->file, &count);
	data = malloc(chunks[index].size);
	if (!data)
		return NULL;
	err = xenpt_file_read(mem->file, &chunks[index], data);
	if (err)
		return NULL;
	free(mem->data);
	mem->data = no_cleanup_ptr(data);
	mem->chunk = index;
	return mem->data;
}

static bool mem_file_read(struct xenpt_mem *base, uint64_t gpa, void *buf, size_t size)
{
	uint64_t offset = gpa % XENPT_PAGE_SIZE, page = gpa - offset;
	struct mem_file *mem = (struct mem_file *)base;
	size_t slot = page / XENPT_PAGE_SIZE % CACHE_PAGES;

	if (size > XENPT_PAGE_SIZE - offset)
		return false;
	if (!mem->cache[slot].used || mem->cache[slot].gpa != page) {
		const struct page_version *version =
			page_versions_find(mem->versions, page, mem->epoch);
		const uint8_t *data = version ? read_chunk(mem, version->chunk) : NULL;

		if (!data)
			return false;
		memcpy(mem->cache[slot].bytes,
		       data + (size_t)version->page * XENPT_PAGE_SIZE, XENPT_PAGE_SIZE);
		mem->cache[slot].gpa = page;
		mem->cache[slot].used = true;
	}
	memcpy(buf, mem->cache[slot].bytes + offset, size);
	return true;
}

struct xenpt_error *xenpt_mem_file_create(const struct xenpt_file *file, uint32_t epoch,
					  struct xenpt_mem **ret)
{
	_cleanup_free_ struct mem_file *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return xenpt_error_no_memory();
	mem->mem.read = mem_file_read;
	mem->file = file;
	mem->epoch = epoch;
	XENPT_TRY(page_versions_create(file, &mem->versions));
	*ret = &mem->mem;
	mem = NULL;
	return NULL;
}

void xenpt_mem_file_destroy(struct xenpt_mem *base)
{
	struct mem_file *mem = (struct mem_file *)base;

	if (!mem)
		return;
	page_versions_destroy(mem->versions);
	free(mem->data);
	free(mem);
}

void xenpt_mem_file_set_epoch(struct xenpt_mem *base, uint32_t epoch)
{
	struct mem_file *mem = (struct mem_file *)base;

	if (mem->epoch == epoch)
		return;
	mem->epoch = epoch;
	for (size_t i = 0; i < CACHE_PAGES; i++)
		mem->cache[i].used = false;
}
