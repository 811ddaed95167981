/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the pages of code that a trace reaches, and the page tables that lead there. */
#ifndef XENPT_RECORD_PAGES_H
#define XENPT_RECORD_PAGES_H

#include "libxenpt/mem.h"
#include "libxenpt/xenpt.h"

struct record_pages;

/*
 * @mem and @writer must outlive it. @cr3: of the only address space that is traced, or
 * XENPT_CR3_ANY.
 */
struct xenpt_error *record_pages_create(struct xenpt_mem *mem,
					struct xenpt_writer *writer, uint64_t cr3,
					struct record_pages **ret);
void record_pages_destroy(struct record_pages *pages);

/* A xenpt_capture_page_fn; @arg is the struct record_pages. */
bool record_pages_take(void *arg, uint64_t cr3, uint64_t address, uint8_t page[4096]);

/*
 * What a vCPU was in: how it translates, and the address space to take where the trace
 * names none and is not of one alone. Of no use while it has paging off.
 */
void record_pages_hint(struct record_pages *pages, const struct xenpt_registers *regs);

/* What could not be written: the first error, the caller's; NULL: none. */
struct xenpt_error *record_pages_error(struct record_pages *pages);

struct record_pages_counts {
	uint64_t written; /* pages, those of page tables too */
	uint64_t missing; /* pages of code that could not be read */
};

struct record_pages_counts record_pages_counts(const struct record_pages *pages);

#endif
