/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_VMAP_H
#define XEN_VMAP_H

#include <xen/types.h>

void *vmap(const mfn_t *mfns, unsigned int nr);
void vunmap(const void *map);
void *vmalloc(size_t size);
void *vzalloc(size_t size);
void vfree(void *memory);

#endif
