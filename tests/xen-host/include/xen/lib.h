/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_LIB_H
#define XEN_LIB_H

#include <stdlib.h> /* bsearch() */
#include <string.h>

#include <xen/types.h>

#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
/* Both of one type, as Xen's want it. */
#define min(a, b)                                \
	({                                       \
		const __typeof__(a) min_a = (a); \
		const __typeof__(b) min_b = (b); \
		(void)(&min_a == &min_b);        \
		min_a < min_b ? min_a : min_b;   \
	})

void printk(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
