/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "cmd/record-pages.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"
#include "libxenpt/paging.h"

#define PAGE_MASK (~(uint64_t)(XENPT_PAGE_SIZE - 1))

/* So many are remembered: 64 MiB of pages. Past that, some are written twice. */
#define PAGES_MAX (1 << 14)
#define MAPPINGS_MAX (1 << 16)

/* Accessed and dirty: the CPU's, at any time, and nothing for a walk. */
#define TABLE_IGNORED UINT64_C(0x60)

/* CR3 without PCID and bit 63: SDM volume 3, "Control Registers". */
#define CR3_MASK UINT64_C(0x000ffffffffff000)

/* What was written last, of a page (its address, 0) or a mapping (CR3, address). */
struct known {
	uint64_t key[2];
	uint64_t gpa;  /* of a mapping */
	uint8_t *page; /* a copy */
	bool used;
};

/* Open addressing, at most half full; beyond @max all is forgotten. */
struct table {
	struct known *slots;
	size_t size, count, max;
};

struct record_pages {
	struct xenpt_mem *mem;
	struct xenpt_writer *writer;
	struct table pages, mappings;
	enum xenpt_paging paging; /* as a vCPU did of late */
	uint64_t cr3;             /* where the trace names none */
	bool cr3_fixed;           /* … and it is the only one that is traced */
	struct record_pages_counts counts;
	struct xenpt_error *error;
};

/* ---- what was written ---------------------------------------------------- */

static struct known *find_slot(const struct table *table, uint64_t a, uint64_t b)
{
	uint64_t hash = (a ^ b << 7) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i;

	hash = (hash ^ hash >> 32 ^ b) * UINT64_C(0xd6e8feb86659fd93) >> 32;
	for (i = hash & (table->size - 1);; i = (i + 1) & (table->size - 1)) {
		struct known *known = &table->slots[i];

		if (!known->used || (known->key[0] == a && known->key[1] == b))
			return known;
	}
}

static void table_clear(struct table *table)
{
	for (size_t i = 0; i < table->size; i++)
		free(table->slots[i].page);
	free(table->slots);
	table->slots = NULL;
	table->size = table->count = 0;
}

static bool table_grow(struct table *table)
{
	struct table grown = *table;

	grown.size = table->size ? 2 * table->size : 256;
	grown.slots = calloc(grown.size, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < table->size; i++) {
		const struct known *known = &table->slots[i];

		if (known->used)
			*find_slot(&grown, known->key[0], known->key[1]) = *known;
	}
	free(table->slots);
	*table = grown;
	return true;
}

/* What is known, or a new one, not used yet; NULL: no memory. */
static struct known *table_get(struct table *table, uint64_t a, uint64_t b)
{
	if (table->count == table->max)
		table_clear(table);
	if (2 * table->count >= table->size && !table_grow(table))
		return NULL;
	return find_slot(table, a, b);
}

static void use(struct table *table, struct known *known, uint64_t a, uint64_t b)
{
	table->count += !known->used;
	known->used = true;
	known->key[0] = a;
	known->key[1] = b;
}

/* ---- life ---------------------------------------------------------------- */

struct xenpt_error *record_pages_create(struct xenpt_mem *mem,
					struct xenpt_writer *writer, uint64_t cr3,
					struct record_pages **ret)
{
	struct record_pages *pages = calloc(1, sizeof(*pages));

	if (!pages)
		return xenpt_error_no_memory();
	pages->mem = mem;
	pages->writer = writer;
	pages->pages.max = PAGES_MAX;
	pages->mappings.max = MAPPINGS_MAX;
	pages->paging = XENPT_PAGING_4_LEVEL;
	pages->cr3_fixed = cr3 != XENPT_CR3_ANY;
	if (pages->cr3_fixed)
		pages->cr3 = cr3;
	*ret = pages;
	return NULL;
}

void record_pages_destroy(struct record_pages *pages)
{
	if (!pages)
		return;
	table_clear(&pages->pages);
	table_clear(&pages->mappings);
	xenpt_error_destroy(pages->error);
	free(pages);
}

void record_pages_hint(struct record_pages *pages, const struct xenpt_registers *regs)
{
	enum xenpt_paging paging = xenpt_paging_of(regs);

	/* One that is yet to start will, and tells nothing of what comes. */
	if (paging == XENPT_PAGING_NONE)
		return;
	pages->paging = paging;
	if (!pages->cr3_fixed)
		pages->cr3 = regs->cr3;
}

struct xenpt_error *record_pages_error(struct record_pages *pages)
{
	return no_cleanup_ptr(pages->error);
}

struct record_pages_counts record_pages_counts(const struct record_pages *pages)
{
	return pages->counts;
}

/* ---- taking pages -------------------------------------------------------- */

static void fail(struct record_pages *pages, struct xenpt_error *err)
{
	if (pages->error)
		xenpt_error_destroy(err);
	else
		pages->error = err;
}

/* Whether two tables lead to the same pages. */
static bool is_same_table(const uint8_t *a, const uint8_t *b)
{
	for (size_t i = 0; i < XENPT_PAGE_SIZE; i += 8) {
		uint64_t x, y;

		memcpy(&x, a + i, sizeof(x));
		memcpy(&y, b + i, sizeof(y));
		if ((x ^ y) & ~TABLE_IGNORED)
			return false;
	}
	return true;
}

/* Read a page, and write it if it is not what was written last; false: not there. */
static bool take_page(struct record_pages *pages, uint64_t gpa, bool table,
		      uint8_t page[XENPT_PAGE_SIZE])
{
	struct known *known;

	if (!xenpt_mem_read(pages->mem, gpa, page, XENPT_PAGE_SIZE))
		return false;
	known = table_get(&pages->pages, gpa, 0);
	if (known && known->used &&
	    (table ? is_same_table(known->page, page)
		   : memcmp(known->page, page, XENPT_PAGE_SIZE) == 0))
		return true;
	pages->counts.written++;
	fail(pages, xenpt_writer_pages(pages->writer, gpa, page, XENPT_PAGE_SIZE));
	if (known && !known->page)
		known->page = malloc(XENPT_PAGE_SIZE);
	if (!known || !known->page)
		return true; /* it will be written again */
	memcpy(known->page, page, XENPT_PAGE_SIZE);
	use(&pages->pages, known, gpa, 0);
	return true;
}

/* The same for where a page is, or that it is nowhere. */
static void take_mapping(struct record_pages *pages, uint64_t cr3, uint64_t address,
			 uint64_t gpa)
{
	struct xenpt_mapping mapping = { address, gpa };
	struct known *known = table_get(&pages->mappings, cr3, address);

	if (known && known->used && known->gpa == gpa)
		return;
	fail(pages, xenpt_writer_map(pages->writer, cr3, &mapping, 1));
	if (!known)
		return;
	known->gpa = gpa;
	use(&pages->mappings, known, cr3, address);
}

/*
 * Where a page is. PT does not say whether paging is on; but a guest that has not set CR3
 * yet has it off, and what it runs until paging is on must be mapped as it is.
 */
static bool translate(struct record_pages *pages, uint64_t cr3, uint64_t address,
		      struct xenpt_translation *ret)
{
	enum xenpt_paging paging = cr3 & CR3_MASK ? pages->paging : XENPT_PAGING_NONE;

	return xenpt_paging_walk(pages->mem, paging, cr3, address, ret);
}

bool record_pages_take(void *arg, uint64_t cr3, uint64_t address, uint8_t page[4096])
{
	struct record_pages *pages = arg;
	struct xenpt_translation translation = {};
	bool found;

	/* What stands on the disk is whole without what follows. */
	if (pages->error)
		return false;
	found = translate(pages, cr3 == XENPT_CR3_ANY ? pages->cr3 : cr3, address,
			  &translation);
	for (unsigned int i = 0; i < translation.levels; i++)
		take_page(pages, translation.tables[i] & PAGE_MASK, true, page);
	found = found && take_page(pages, translation.gpa & PAGE_MASK, false, page);
	pages->counts.missing += !found;
	take_mapping(pages, cr3, address,
		     found ? translation.gpa & PAGE_MASK : XENPT_GPA_NONE);
	return found && !pages->error;
}
