/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_PROCESSOR_H
#define ASM_PROCESSOR_H

#include <xen/types.h>

#define X86_CR0_PG (1ul << 31)
#define X86_CR4_PAE (1ul << 5)
#define X86_EFLAGS_MBS 0x2
#define X86_EFLAGS_RF 0x00010000
#define X86_EFLAGS_TF 0x100
#define X86_EFLAGS_IF 0x200
#define X86_EFLAGS_IOPL 0x3000
#define X86_EFLAGS_VM 0x20000
#define EFER_SCE (1ull << 0)
#define EFER_LMA (1ull << 10)

#define TRAP_debug 1
#define TRAP_nmi 2
#define TRAP_int3 3
#define TRAP_invalid_op 6
#define TRAP_double_fault 8
#define TRAP_gp_fault 13
#define TRAP_page_fault 14
#define TRAP_machine_check 18

#define PFEC_page_present (1u << 0)
#define PFEC_write_access (1u << 1)
#define PFEC_user_mode (1u << 2)
#define PFEC_insn_fetch (1u << 4)

#define X86_SEG_AR_DPL 0x60
#define X86_SEG_AR_CS_LM_ACTIVE 0x2000
#define X86_SEG_AR_DEF_OP_SIZE 0x4000

struct cpu_user_regs {
	union {
		uint64_t rax;
		uint32_t eax;
	};
	union {
		uint64_t rcx;
		uint32_t ecx;
	};
	uint64_t rdx;
	uint64_t r11, rip, rflags, rsp;
};

extern unsigned int paddr_bits;
extern unsigned long cpu_khz;
unsigned long read_cr3(void);
struct cpu_user_regs *guest_cpu_user_regs(void);

/* What the first CPU has. */
bool host_has_proc_trace(void);
#define cpu_has_proc_trace (host_has_proc_trace())
bool host_has_vmx(void);
#define cpu_has_vmx (host_has_vmx())

void cpuid_count(uint32_t leaf, uint32_t subleaf, uint32_t *eax, uint32_t *ebx,
		 uint32_t *ecx, uint32_t *edx);

#endif
