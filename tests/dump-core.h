/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes core dumps in the format of "xl dump-core", for tests. */
#ifndef TESTS_DUMP_CORE_H
#define TESTS_DUMP_CORE_H

#include <stdint.h>

#include "libxenpt/mem.h"

struct dump_core {
	const struct xenpt_registers
		*regs; /* of each vCPU; one that has no CR0 is offline */
	uint32_t vcpus;
	const uint64_t *pfns; /* of each page; the last ones may be ~0 */
	uint64_t pages;
	bool pv; /* .xen_p2m instead of .xen_pfn */
};

/* Where things are in what was written, so that they can be broken. */
struct dump_core_layout {
	uint64_t headers, contexts, pages, table, names, size;
};

enum {
	DUMP_CORE_NAMES = 1, /* numbers of the section headers */
	DUMP_CORE_CONTEXTS,
	DUMP_CORE_PAGES,
	DUMP_CORE_TABLE,
	DUMP_CORE_SECTIONS
};

/* Into @fd, an empty file. What @mem does not have is zero. False: it cannot. */
bool dump_core_write(int fd, const struct dump_core *core, struct xenpt_mem *mem,
		     struct dump_core_layout *ret);

#endif
