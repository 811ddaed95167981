/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "code-cache.h"

struct code_cache {
	size_t max, count;
	struct code_page *last; /* found: code stays in its page for a while */
	struct code_page *pages;
	uint32_t *slots; /* twice as many as pages: 1 + index, 0: free */
};

struct xenpt_error *code_cache_create(size_t pages, struct code_cache **ret)
{
	_cleanup_(code_cache_cleanup) struct code_cache *cache =
		calloc(1, sizeof(*cache));

	if (!cache)
		return xenpt_error_no_memory();
	cache->max = pages;
	cache->pages = calloc(pages, sizeof(*cache->pages));
	cache->slots = calloc(2 * pages, sizeof(*cache->slots));
	if (!cache->pages || !cache->slots)
		return xenpt_error_no_memory();
	*ret = no_cleanup_ptr(cache);
	return NULL;
}

void code_cache_clear(struct code_cache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		free(cache->pages[i].data);
	if (cache->count)
		memset(cache->slots, 0, 2 * cache->max * sizeof(*cache->slots));
	cache->count = 0;
	cache->last = NULL;
}

void code_cache_destroy(struct code_cache *cache)
{
	if (!cache)
		return;
	if (cache->pages && cache->slots)
		code_cache_clear(cache);
	free(cache->pages);
	free(cache->slots);
	free(cache);
}

/*
 * The slot of a page, or the free one where it would be. A guest chooses both
 * numbers, but the table is half empty, and emptied before it is full.
 */
static uint32_t *find_slot(struct code_cache *cache, uint64_t cr3, uint64_t address)
{
	size_t mask = 2 * cache->max - 1;
	uint64_t hash = (address >> 12) * UINT64_C(0x9e3779b97f4a7c15);
	size_t slot;

	hash = (hash ^ hash >> 32 ^ cr3 >> 12) * UINT64_C(0xd6e8feb86659fd93);
	for (slot = (hash >> 32) & mask;; slot = (slot + 1) & mask) {
		const struct code_page *page;

		if (!cache->slots[slot])
			return &cache->slots[slot];
		page = &cache->pages[cache->slots[slot] - 1];
		if (page->address == address && page->cr3 == cr3)
			return &cache->slots[slot];
	}
}

const struct code_page *code_cache_find(struct code_cache *cache, uint64_t cr3,
					uint64_t address)
{
	uint32_t slot;

	if (cache->last && cache->last->address == address && cache->last->cr3 == cr3)
		return cache->last;
	slot = *find_slot(cache, cr3, address);
	if (!slot)
		return NULL;
	cache->last = &cache->pages[slot - 1];
	return cache->last;
}

const struct code_page *code_cache_add(struct code_cache *cache, uint64_t cr3,
				       uint64_t address, const uint8_t *data)
{
	struct code_page page = { .cr3 = cr3, .address = address };

	if (cache->count == cache->max)
		code_cache_clear(cache);
	if (data) {
		page.data = malloc(XENPT_PAGE_SIZE);
		if (!page.data)
			return NULL;
		memcpy(page.data, data, XENPT_PAGE_SIZE);
	}
	cache->pages[cache->count] = page;
	*find_slot(cache, cr3, address) = cache->count + 1;
	return &cache->pages[cache->count++];
}
