/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_APIC_H
#define ASM_APIC_H

#include <xen/types.h>

#define APIC_LVTPC 0x340
#define APIC_LVT_MASKED (1u << 16)

void apic_write(unsigned long reg, uint32_t value);

#endif
