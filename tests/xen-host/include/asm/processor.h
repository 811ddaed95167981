/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_PROCESSOR_H
#define ASM_PROCESSOR_H

#include <xen/types.h>

#define X86_CR0_PG (1ul << 31)
#define X86_CR4_PAE (1ul << 5)
#define EFER_LMA (1ull << 10)

struct cpu_user_regs {
	union {
		uint64_t rax;
		uint32_t eax;
	};
	union {
		uint64_t rcx;
		uint32_t ecx;
	};
};

extern unsigned int paddr_bits;

/* What the first CPU has. */
bool host_has_proc_trace(void);
#define cpu_has_proc_trace (host_has_proc_trace())
bool host_has_vmx(void);
#define cpu_has_vmx (host_has_vmx())

void cpuid_count(uint32_t leaf, uint32_t subleaf, uint32_t *eax, uint32_t *ebx,
		 uint32_t *ecx, uint32_t *edx);

#endif
