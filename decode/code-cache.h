/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pages of code by address space, as many as fit: past that all are forgotten. */
#ifndef DECODE_CODE_CACHE_H
#define DECODE_CODE_CACHE_H

#include "libxenpt/cleanup.h"
#include "libxenpt/mem.h"

struct code_cache;

/* @pages: how many to keep, a power of two. */
struct xenpt_error *code_cache_create(size_t pages, struct code_cache **ret);
void code_cache_destroy(struct code_cache *cache);
XENPT_DEFINE_CLEANUP(struct code_cache, code_cache, code_cache_destroy)

struct code_page {
	uint64_t cr3, address;
	uint8_t *data; /* NULL: it is known that it cannot be had */
};

/* The page that starts at @address; NULL: nothing is known of it. */
const struct code_page *code_cache_find(struct code_cache *cache, uint64_t cr3,
					uint64_t address);

/*
 * Keep a copy of a page that is not kept yet; @data NULL: it cannot be had. Returns
 * it, valid until the next add; NULL: no memory.
 */
const struct code_page *code_cache_add(struct code_cache *cache, uint64_t cr3,
				       uint64_t address, const uint8_t *data);

void code_cache_clear(struct code_cache *cache);

#endif
