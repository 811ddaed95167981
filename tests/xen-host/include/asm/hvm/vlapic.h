/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_VLAPIC_H
#define ASM_HVM_VLAPIC_H

#include <asm/apic.h>
#include <xen/sched.h>

#define APIC_VECTOR_MASK 0xff
#define APIC_MODE_FIXED 0
#define APIC_MODE_NMI 4
#define GET_APIC_DELIVERY_MODE(lvt) ((lvt) >> 8 & 7)

#define vcpu_vlapic(v) (&(v)->arch.hvm.vlapic)

static inline uint32_t vlapic_get_reg(const struct vlapic *vlapic, uint32_t reg)
{
	return reg == APIC_LVTPC ? vlapic->lvtpc : 0;
}

static inline void vlapic_set_reg(struct vlapic *vlapic, uint32_t reg, uint32_t value)
{
	if (reg == APIC_LVTPC)
		vlapic->lvtpc = value;
}

static inline bool is_vlapic_lvtpc_enabled(const struct vlapic *vlapic)
{
	return !(vlapic->lvtpc & APIC_LVT_MASKED);
}

void vlapic_set_irq(struct vlapic *vlapic, uint8_t vector, uint8_t trigger);

#endif
