/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_HVM_HVM_H
#define ASM_HVM_HVM_H

#include <asm/processor.h>
#include <xen/sched.h>

#define X86_EVENT_NO_EC (-1)
#define X86_EVENTTYPE_EXT_INTR 0
#define X86_EVENTTYPE_NMI 2
#define X86_EVENTTYPE_HW_EXCEPTION 3
#define X86_EVENTTYPE_SW_INTERRUPT 4
#define X86_EVENTTYPE_SW_EXCEPTION 6

struct x86_event {
	int16_t vector;
	uint8_t type, insn_len;
	int32_t error_code;
	unsigned long cr2;
};

extern bool vmtrace_available;

uint64_t hvm_get_guest_tsc(struct vcpu *v);
/* Into the vCPU that is current, at its next entry. */
void hvm_inject_event(const struct x86_event *event);

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
