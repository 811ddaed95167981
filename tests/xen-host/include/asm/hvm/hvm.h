/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_HVM_H
#define ASM_HVM_HVM_H

#include <asm/processor.h>
#include <xen/sched.h>

static inline bool hvm_pae_enabled(const struct vcpu *v)
{
	return v->arch.hvm.guest_cr[0] & X86_CR0_PG &&
	       v->arch.hvm.guest_cr[4] & X86_CR4_PAE;
}

static inline bool hvm_long_mode_active(const struct vcpu *v)
{
	return v->arch.hvm.guest_efer & EFER_LMA;
}

#endif
