/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest-physical memory: of a live domain, of a file, of a core dump. All that walks
 * page tables or reads a guest's structures does it through this.
 */
#ifndef XENPT_MEM_H
#define XENPT_MEM_H

#include "xenpt.h"

#define XENPT_PAGE_SIZE 4096u

struct xenpt_mem {
	/*
	 * Copy @size bytes at @gpa, within one 4-KiB page. False: the page is not
	 * there; @buf is left alone.
	 */
	bool (*read)(struct xenpt_mem *mem, uint64_t gpa, void *buf, size_t size);
};

static inline bool xenpt_mem_read(struct xenpt_mem *mem, uint64_t gpa, void *buf,
				  size_t size)
{
	return mem->read(mem, gpa, buf, size);
}

#endif
