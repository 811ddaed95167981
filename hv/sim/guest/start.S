/* SPDX-License-Identifier: GPL-2.0-only */
/* The ways in: PVH (32-bit, paging off), long mode, and a second vCPU. */
#include "layout.h"

#define PHYS(symbol) (symbol - KERNEL_BASE)

/* XEN_ELFNOTE_PHYS32_ENTRY: where a PVH guest starts. */
	.section .note.Xen, "a", @note
	.balign 4
	.long 2f - 1f
	.long 8
	.long 18
1:	.asciz "Xen"
2:	.balign 4
	.quad PHYS(pvh_start)

	.text
	.code32
	.globl pvh_start
	.type pvh_start, @function
pvh_start:
	cld
	lgdt PHYS(boot_gdt_register)
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $PHYS(boot_pml4), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $(EFER_SCE | EFER_LME | EFER_NXE), %eax
	wrmsr
	mov $BOOT_CR0, %eax
	mov %eax, %cr0
	ljmp $KERNEL_CS, $PHYS(long_start)
	.size pvh_start, . - pvh_start

	.code64
	.type long_start, @function
long_start:
	movabs $start, %rax
	jmp *%rax
	.size long_start, . - long_start

/* In long mode, at the kernel's own addresses; RBX: struct hvm_start_info. */
	.globl start
	.type start, @function
start:
	mov $(idle_stacks + PAGE_SIZE), %rsp
	xor %ebp, %ebp
	mov %ebx, %edi
	call kernel_main
	.size start, . - start

/* A second vCPU: Xen gave it its stack; RDI: its number. */
	.globl start_secondary
	.type start_secondary, @function
start_secondary:
	xor %ebp, %ebp
	call secondary_main
	.size start_secondary, . - start_secondary

/*
 * The first GiB of physical memory twice, at 0 (until boot is done) and at
 * KERNEL_BASE, and the local APIC's page at its own address below 2^64.
 */
	.data
	.balign PAGE_SIZE
	.globl boot_pml4
	.type boot_pml4, @object
boot_pml4:
	.quad PHYS(low_pdpt) + PTE_TABLE
	.fill 510, 8, 0
	.quad PHYS(high_pdpt) + PTE_TABLE
	.size boot_pml4, PAGE_SIZE

low_pdpt:
	.quad PHYS(ram_pd) + PTE_TABLE
	.fill 511, 8, 0
high_pdpt:
	.fill 510, 8, 0
	.quad PHYS(ram_pd) + PTE_TABLE
	.quad PHYS(apic_pd) + PTE_TABLE
ram_pd:
	.set page, 0
	.rept 512
	.quad page + PTE_KERNEL_2M
	.set page, page + 0x200000
	.endr
apic_pd:
	.fill 503, 8, 0
	.quad 0xfee00000 + PTE_KERNEL_2M + PTE_UNCACHED
	.fill 8, 8, 0

	.balign 8
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* KERNEL_CS */
	.quad 0x00cf93000000ffff /* KERNEL_DS */
boot_gdt_register:
	.word . - boot_gdt - 1
	.long PHYS(boot_gdt)

	.section .note.GNU-stack, "", @progbits
