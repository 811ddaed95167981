/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guest and its hypervisor agree on. All of it is what Xen gives a PVH
 * guest, so that the same ELF file boots there; xenpt-sim plays that part of Xen.
 *
 * Start: by the PVH entry (32-bit, its note in the ELF file), or, by xenpt-sim,
 * in long mode at the ELF entry point with CR3 = boot_pml4 (a symbol; tables that
 * are initialised data), EFER.LME|LMA|SCE|NXE, CR0 = PE|MP|NE|WP|PG, CR4 = PAE, RFLAGS
 * = 2. Either way EBX/RBX is the guest-physical address of struct hvm_start_info, whose
 * command line is "scenario=NAME seed=N …".
 *
 * CPUID 4000'0000H says "XenVMMXenVMM". Hypercalls are VMCALL (GenuineIntel) or VMMCALL
 * (AuthenticAMD) with RAX the number, RDI, RSI, RDX the arguments:
 * sched_op(SCHEDOP_shutdown) and vcpu_op(VCPUOP_initialise with struct
 * vcpu_hvm_context in 64-bit mode, VCPUOP_up).
 * Text goes to I/O port 0xe9, a byte at a time. HLT waits for the next interrupt.
 * The timer is the local APIC's, in x2APIC mode where CPUID 1 has it (1BH, bits 10
 * and 11, switches it on), by its page at FEE0'0000H elsewhere: WRMSR 832H (LVT timer:
 * the vector, bit 17 periodic, bit 16 masked), 83EH (divide), 838H (initial count: starts
 * it), 80BH (EOI), 80FH (spurious: enable). xenpt-sim counts instructions for its ticks.
 */
#ifndef HV_SIM_GUEST_ABI_H
#define HV_SIM_GUEST_ABI_H

#define KERNEL_BASE 0xffffffff80000000

#define GUEST_RAM_SIZE (32u << 20)
/*
 * Guest-physical memory past RAM where xenpt-sim lets a trace buffer be placed;
 * a hostile guest looks for it there. Pages without a buffer read as zero.
 */
#define GUEST_WINDOW_BASE (64u << 20)
#define GUEST_WINDOW_SIZE (192u << 20)

#define GUEST_PORT_CONSOLE 0xe9
#define GUEST_PORT_QEMU_EXIT 0xf4 /* isa-debug-exit: where there is no Xen */

#define HYPERVISOR_MEMORY_OP 12
#define XENMEM_DECREASE_RESERVATION 1
#define DOMID_SELF 0x7ff0
#define HYPERVISOR_VCPU_OP 24
#define HYPERVISOR_SCHED_OP 29
#define SCHEDOP_SHUTDOWN 2
#define SHUTDOWN_POWEROFF 0
#define SHUTDOWN_CRASH 3
#define VCPUOP_INITIALISE 0
#define VCPUOP_UP 1
#define VCPU_HVM_MODE_64B 1

#ifndef __ASSEMBLER__
#include <stdint.h>

/* struct hvm_start_info: what the guest reads of it. */
struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modules;
	uint64_t command_line;
};

/* struct xen_memory_reservation. */
struct memory_reservation {
	uint64_t frames; /* address of their numbers */
	uint64_t count;
	uint32_t order;
	uint32_t flags;
	uint16_t domain;
};

/* struct vcpu_hvm_context, in 64-bit mode. */
struct vcpu_context {
	uint32_t mode;
	uint32_t pad;
	uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, rip, rflags;
	uint64_t cr0, cr3, cr4, efer;
};
#endif

#endif
