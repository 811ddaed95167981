/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_SORT_H
#define XEN_SORT_H

#include <xen/lib.h>

static inline void sort(void *base, size_t num, size_t size,
			int (*cmp)(const void *a, const void *b),
			void (*swap)(void *a, void *b, size_t size))
{
	qsort(base, num, size, cmp);
}

#endif
