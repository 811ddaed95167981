/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_MSR_H
#define ASM_MSR_H

#include <xen/types.h>

#define MSR_EFER 0xc0000080
#define MSR_IA32_SYSENTER_CS 0x174
#define MSR_SYSCALL_MASK 0xc0000084
#define MSR_CORE_PERF_GLOBAL_STATUS 0x38e
#define MSR_CORE_PERF_GLOBAL_OVF_CTRL 0x390
#define MSR_IA32_VMX_EXIT_CTLS 0x483
#define MSR_IA32_VMX_ENTRY_CTLS 0x484
#define MSR_IA32_VMX_PROCBASED_CTLS2 0x48b
#define MSR_RTIT_OUTPUT_BASE 0x560
#define MSR_RTIT_OUTPUT_MASK 0x561
#define MSR_RTIT_CTL 0x570
#define RTIT_CTL_TRACE_EN (1ull << 0)
#define MSR_RTIT_STATUS 0x571
#define MSR_RTIT_CR3_MATCH 0x572
#define MSR_RTIT_ADDR_A(n) (0x580 + 2 * (n))
#define MSR_RTIT_ADDR_B(n) (0x581 + 2 * (n))

/* Of the CPU that runs; a fault ends Xen. */
uint64_t host_rdmsr(uint32_t msr);
void wrmsrl(uint32_t msr, uint64_t value);
/* A fault is -EFAULT. */
int wrmsr_safe(uint32_t msr, uint64_t value);
#define rdmsrl(msr, value) ((value) = host_rdmsr(msr))

#endif
