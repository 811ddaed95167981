/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that C and assembly share: addresses, selectors, bits of tables. */
#ifndef HV_SIM_GUEST_LAYOUT_H
#define HV_SIM_GUEST_LAYOUT_H

#include "abi.h"

#define PAGE_SIZE 4096
#define FREE_BASE (4u << 20) /* physical: the allocator's, … */
#define FREE_END (30u << 20) /* … up to here; then path.h's */

/* A process' addresses: README.md. */
#define USER_IMAGE 0x00400000
#define USER_HEAP 0x10000000
#define USER_HEAP_END 0x10100000
#define USER_CODE 0x20000000 /* written and executed */
#define USER_CODE_END 0x20010000
#define USER_LOG 0x60000000     /* scenario=paths: path.h; 2 MiB */
#define USER_SELF 0x60200000    /* … and the process' CR3 / 4096 */
#define USER_SPOILED 0x60201000 /* … and what the kernel is asked to spoil */
#define USER_STACK 0x7fff0000
#define USER_STACK_END 0x80000000

/* In the order that SYSCALL and SYSRET want. */
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_CS32 0x1b
#define USER_DS 0x23
#define USER_CS 0x2b
#define TSS_SELECTOR 0x30 /* the first CPU's; 16 bytes each */

#define MSR_APIC_BASE 0x1b
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define EFER_SCE 0x001
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define EFER_NXE 0x800
#define CR4_PAE 0x20
#define CR4_PGE 0x80
#define BOOT_CR0 0x80010023 /* PG WP NE MP PE */
#define RFLAGS_IF 0x200

#define PTE_PRESENT 0x001
#define PTE_WRITE 0x002
#define PTE_USER 0x004
#define PTE_UNCACHED 0x010
#define PTE_TABLE 0x003
#define PTE_LARGE 0x080
#define PTE_KERNEL_2M 0x183 /* global */
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define VECTOR_UD 6
#define VECTOR_BP 3
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_TIMER 0x20
#define VECTOR_PMI 0x21 /* the last of the row */
#define VECTOR_INT80 0x80
#define VECTOR_SPURIOUS 0xff
#define VECTOR_SYSCALL 0x100 /* in a frame that SYSCALL made */

/* struct cpu, by GS. */
#define CPU_KERNEL_RSP 0
#define CPU_USER_RSP 8
#define CPU_SELF 16

#endif
