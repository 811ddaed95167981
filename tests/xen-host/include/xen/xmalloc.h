/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_XMALLOC_H
#define XEN_XMALLOC_H

#include <xen/mm.h>
#include <xen/vmap.h>

#define xzalloc(type) ((type *)vzalloc(sizeof(type)))
#define XFREE(p)            \
	do {                \
		vfree(p);   \
		(p) = NULL; \
	} while (0)

#endif
