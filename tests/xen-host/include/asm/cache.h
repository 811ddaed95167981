/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_CACHE_H
#define ASM_CACHE_H

#include <xen/types.h>

void cache_flush(const void *memory, unsigned int size);

#endif
