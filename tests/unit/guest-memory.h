/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest-physical memory for the output engine: all RAM but what is said to be absent. */
#ifndef TEST_GUEST_MEMORY_H
#define TEST_GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hv/pt/topa.h"

enum {
	MEMORY_PAGE = 4096,
	MEMORY_SLOTS = 1024
};

struct memory {
	size_t count;
	struct memory_page {
		uint64_t number; /* gpa / MEMORY_PAGE */
		bool absent;
		uint8_t *bytes;
	} pages[MEMORY_SLOTS];
};

static inline struct memory_page *memory_page(struct memory *memory, uint64_t gpa)
{
	uint64_t number = gpa / MEMORY_PAGE;
	struct memory_page *page;

	for (size_t i = memory->count; i; i--)
		if (memory->pages[i - 1].number == number)
			return &memory->pages[i - 1];
	if (memory->count == MEMORY_SLOTS)
		abort();
	page = &memory->pages[memory->count++];
	page->number = number;
	page->absent = false;
	page->bytes = calloc(1, MEMORY_PAGE);
	if (!page->bytes)
		abort();
	return page;
}

static inline void memory_deinit(struct memory *memory)
{
	for (size_t i = 0; i < memory->count; i++)
		free(memory->pages[i].bytes);
	memory->count = 0;
}

/* Where @size bytes at @gpa are, or NULL. They lie within a page, as the engine says. */
static inline uint8_t *memory_at(void *arg, uint64_t gpa, size_t size)
{
	struct memory_page *page = memory_page(arg, gpa);

	if (!size || gpa % MEMORY_PAGE + size > MEMORY_PAGE)
		abort();
	return page->absent ? NULL : page->bytes + gpa % MEMORY_PAGE;
}

static inline bool memory_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
	const uint8_t *from = memory_at(arg, gpa, size);

	if (from)
		memcpy(buf, from, size);
	return from;
}

static inline bool memory_write(void *arg, uint64_t gpa, const void *buf, size_t size)
{
	uint8_t *to = memory_at(arg, gpa, size);

	if (to)
		memcpy(to, buf, size);
	return to;
}

static const struct xpt_mem_ops memory_ops = { memory_read, memory_write };

static inline void memory_entry(struct memory *memory, uint64_t table, uint64_t index,
				uint64_t entry)
{
	uint8_t *to = memory_at(memory, table + 8 * index, 8);

	for (int i = 0; i < 8; i++)
		to[i] = entry >> 8 * i;
}

static inline uint64_t mask_ptrs(uint64_t index, uint64_t offset)
{
	return offset << 32 | index << 7 | 0x7f;
}

#endif
