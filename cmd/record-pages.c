/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/record-pages.h"
#include "libxenpt/array.h"
#include "libxenpt/cleanup.h"
#include "libxenpt/paging.h"

#define PAGE_MASK (~(uint64_t)(XENPT_PAGE_SIZE - 1))

/* 4 GiB of pages. Past that, some are written twice. */
#define WRITTEN_MAX (1 << 20)

/* CR3 without PCID and bit 63: SDM volume 3, "Control Registers". */
#define CR3_MASK UINT64_C(0x000ffffffffff000)

/* Guest-physical addresses of pages; open addressing, 0: free. */
struct page_set {
	uint64_t *slots; /* address | 1 */
	size_t size, count;
};

struct record_pages {
	struct xenpt_mem *mem;
	struct xenpt_writer *writer;
	struct page_set written;  /* in this epoch */
	enum xenpt_paging paging; /* as a vCPU did of late */
	uint64_t cr3;             /* of a vCPU, of late */
	struct record_pages_counts counts;
	struct xenpt_error *error;
};

XENPT_DEFINE_CLEANUP(struct record_pages, record_pages, record_pages_destroy)

/* ---- which were written -------------------------------------------------- */

static uint64_t *find_slot(const struct page_set *set, uint64_t gpa)
{
	size_t i = (gpa >> 12) * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (set->size - 1);

	while (set->slots[i] && set->slots[i] != (gpa | 1))
		i = (i + 1) & (set->size - 1);
	return &set->slots[i];
}

static void page_set_clear(struct page_set *set)
{
	free(set->slots);
	*set = (struct page_set){};
}

static bool page_set_grow(struct page_set *set)
{
	struct page_set grown = { .size = set->size ? 2 * set->size : 256,
				  .count = set->count };

	grown.slots = calloc(grown.size, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < set->size; i++) {
		if (set->slots[i])
			*find_slot(&grown, set->slots[i] & PAGE_MASK) = set->slots[i];
	}
	free(set->slots);
	*set = grown;
	return true;
}

/* False: it was there. Where there is no memory, it is as if it was not. */
static bool page_set_add(struct page_set *set, uint64_t gpa)
{
	uint64_t *slot;

	if (set->count == WRITTEN_MAX)
		page_set_clear(set);
	if (2 * set->count >= set->size && !page_set_grow(set))
		return true;
	slot = find_slot(set, gpa);
	if (*slot)
		return false;
	*slot = gpa | 1;
	set->count++;
	return true;
}

/* ---- life ---------------------------------------------------------------- */

struct xenpt_error *record_pages_create(struct xenpt_mem *mem,
					struct xenpt_writer *writer,
					struct record_pages **ret)
{
	struct record_pages *pages = calloc(1, sizeof(*pages));

	if (!pages)
		return xenpt_error_no_memory();
	pages->mem = mem;
	pages->writer = writer;
	pages->paging = XENPT_PAGING_4_LEVEL;
	*ret = pages;
	return NULL;
}

void record_pages_destroy(struct record_pages *pages)
{
	if (!pages)
		return;
	page_set_clear(&pages->written);
	xenpt_error_destroy(pages->error);
	free(pages);
}

void record_pages_hint(struct record_pages *pages, const struct xenpt_registers *regs)
{
	enum xenpt_paging paging = xenpt_paging_of(regs);

	pages->cr3 = regs->cr3;
	/* One that is yet to start will, and tells nothing of what comes. */
	if (paging != XENPT_PAGING_NONE)
		pages->paging = paging;
}

void record_pages_forget(struct record_pages *pages)
{
	page_set_clear(&pages->written);
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

/* Write a page once; false: it is not there. */
static bool take_page(struct record_pages *pages, uint64_t gpa,
		      uint8_t page[XENPT_PAGE_SIZE])
{
	if (!xenpt_mem_read(pages->mem, gpa, page, XENPT_PAGE_SIZE))
		return false;
	if (!page_set_add(&pages->written, gpa))
		return true;
	pages->counts.written++;
	fail(pages, xenpt_writer_pages(pages->writer, gpa, page, XENPT_PAGE_SIZE));
	return true;
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
	struct xenpt_mapping mapping = { address, XENPT_GPA_NONE };
	struct xenpt_translation translation = {};
	bool found;

	/* What stands on the disk is whole without what follows. */
	if (pages->error)
		return false;
	found = translate(pages, cr3 == XENPT_CR3_ANY ? pages->cr3 : cr3, address,
			  &translation);
	for (unsigned int i = 0; i < translation.levels; i++)
		take_page(pages, translation.tables[i] & PAGE_MASK, page);
	found = found && take_page(pages, translation.gpa & PAGE_MASK, page);
	if (found)
		mapping.gpa = translation.gpa & PAGE_MASK;
	else
		pages->counts.missing++;
	fail(pages, xenpt_writer_map(pages->writer, cr3, &mapping, 1));
	return found && !pages->error;
}
