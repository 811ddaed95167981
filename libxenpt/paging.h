/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Page-table walks over guest-physical memory: SDM volume 3, "Paging". Keyed by CR3,
 * never by what a vCPU has loaded now: the trace says which address space it was in. All
 * of it is the guest's: tables may be anything, and change under the walk.
 */
#ifndef XENPT_PAGING_H
#define XENPT_PAGING_H

#include "mem.h"

enum xenpt_paging {
	XENPT_PAGING_NONE, /* CR0.PG clear: linear is physical */
	XENPT_PAGING_32,
	XENPT_PAGING_32_PSE, /* … with CR4.PSE: pages of 4 MiB */
	XENPT_PAGING_PAE,
	XENPT_PAGING_4_LEVEL,
	XENPT_PAGING_5_LEVEL,
};

/* How a vCPU with these registers translates. */
XENPT_API enum xenpt_paging xenpt_paging_of(const struct xenpt_registers *regs);

struct xenpt_translation {
	uint64_t gpa;        /* of the address itself */
	uint64_t page_size;  /* 4 KiB, 2 MiB, 4 MiB, 1 GiB */
	uint64_t tables[5];  /* guest-physical addresses of the tables on the way, root
				first; only PAE's root need not be that of a page */
	unsigned int levels; /* of tables[]: also of a walk that failed, the last of
				which may be the one that is not there */
	bool writable, user, executable;
};

/*
 * Translate @address in @cr3 (PCID and bit 63 are not looked at). False: not mapped, or a
 * table is not there; @ret says how far it came.
 */
XENPT_API bool xenpt_paging_walk(struct xenpt_mem *mem, enum xenpt_paging paging,
				 uint64_t cr3, uint64_t address,
				 struct xenpt_translation *ret);

#endif
