/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the PT model is written in: fixed-width integers and nothing else. The
 * same files are compiled into a hosted program, into Xen, and freestanding.
 */
#ifndef HV_PT_TYPES_H
#define HV_PT_TYPES_H

#ifdef __XEN__
#include <xen/types.h>
#ifndef UINT64_MAX
#define UINT64_MAX (~0ull)
#endif
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

#endif
