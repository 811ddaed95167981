/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_PAGING_H
#define ASM_PAGING_H

#include <xen/sched.h>

void paging_mark_dirty(struct domain *d, mfn_t mfn);

static inline bool hap_enabled(const struct domain *d)
{
	return d->hap;
}

#endif
