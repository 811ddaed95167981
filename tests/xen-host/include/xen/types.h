/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef XEN_TYPES_H
#define XEN_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t;

/* Frame numbers that cannot be taken for each other. */
typedef struct {
	unsigned long mfn;
} mfn_t;
typedef struct {
	unsigned long gfn;
} gfn_t;
#define _mfn(n) ((mfn_t){ n })
#define _gfn(n) ((gfn_t){ n })
#define mfn_x(m) ((m).mfn)
#define gfn_x(g) ((g).gfn)
#define INVALID_MFN _mfn(~0ul)

static inline bool mfn_eq(mfn_t x, mfn_t y)
{
	return mfn_x(x) == mfn_x(y);
}

#endif
