/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_CPUID_H
#define ASM_CPUID_H

#include <xen/types.h>

struct cpuid_leaf {
	uint32_t a, b, c, d;
};

#define X86_FEATURE_PROC_TRACE (5 * 32 + 25)
#define cpufeat_mask(feature) (1u << ((feature)&31))

#endif
