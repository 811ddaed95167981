/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_SORT_H
#define XEN_SORT_H

#include <xen/lib.h>

/* As Xen 4.17's: what @swap does is what is sorted, and there is no other. */
void sort(void *base, size_t num, size_t size, int (*cmp)(const void *a, const void *b),
	  void (*swap)(void *a, void *b, size_t size));

#endif
