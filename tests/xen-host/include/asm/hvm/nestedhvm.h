/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_NESTEDHVM_H
#define ASM_HVM_NESTEDHVM_H

#include <xen/sched.h>

static inline bool nestedhvm_enabled(const struct domain *d)
{
	return d->nested;
}

#endif
