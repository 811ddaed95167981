/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_XMALLOC_H
#define XEN_XMALLOC_H

#include <xen/mm.h>

#endif
