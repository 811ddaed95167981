/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_ALTP2M_H
#define ASM_ALTP2M_H

#include <xen/sched.h>

static inline bool altp2m_active(const struct domain *d)
{
	return d->altp2m;
}

#endif
