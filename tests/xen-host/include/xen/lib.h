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

#define max(a, b)                                \
	({                                       \
		const __typeof__(a) max_a = (a); \
		const __typeof__(b) max_b = (b); \
		(void)(&max_a == &max_b);        \
		max_a > max_b ? max_a : max_b;   \
	})

#define MASK_EXTR(value, mask) (((value) & (mask)) / ((mask) & -(mask)))
#define MASK_INSR(value, mask) (((value) * ((mask) & -(mask))) & (mask))

/* -1: something else. */
int parse_bool(const char *s, const char *e);
int parse_boolean(const char *name, const char *s, const char *e);

void printk(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
