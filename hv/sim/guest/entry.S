/* SPDX-License-Identifier: GPL-2.0-only */
/* From the CPU's hands into struct frame, and back; and from stack to stack. */
#include "layout.h"

#define FRAME_CS 24 /* where a vector and an error code are on top of the stack */

	.text

/* One stub a vector: the CPU pushes an error code for some only. */
	.macro stub vector
	.balign 16
	.globl trap_\vector
	.type trap_\vector, @function
trap_\vector:
	.if \vector != 8 && (\vector < 10 || \vector > 14) && \vector != 17
	push $0
	.endif
	push $\vector
	jmp trap_common
	.size trap_\vector, . - trap_\vector
	.endm

	.altmacro
	.set vector, 0
	.rept VECTOR_PMI + 1
	stub %vector
	.set vector, vector + 1
	.endr
	.noaltmacro
	stub 128
	stub 255

	.macro push_registers
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rax
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	.endm

	.macro pop_registers
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	.endm

	.type trap_common, @function
trap_common:
	testb $3, FRAME_CS(%rsp)
	jz 1f
	swapgs
1:	push_registers
	xor %ebp, %ebp
	cld
	mov %rsp, %rdi
	call trap
	.size trap_common, . - trap_common

	.globl trap_return
	.type trap_return, @function
trap_return:
	pop_registers
	testb $3, FRAME_CS(%rsp)
	jz 1f
	swapgs
1:	add $16, %rsp
	iretq
	.size trap_return, . - trap_return

	.globl syscall_entry
	.type syscall_entry, @function
syscall_entry:
	swapgs
	mov %rsp, %gs:CPU_USER_RSP
	mov %gs:CPU_KERNEL_RSP, %rsp
	push $USER_DS
	push %gs:CPU_USER_RSP
	push %r11
	push $USER_CS
	push %rcx
	push $0
	push $VECTOR_SYSCALL
	push_registers
	xor %ebp, %ebp
	cld
	mov %rsp, %rdi
	call trap
	pop_registers
	mov 40(%rsp), %rsp
	swapgs
	sysretq
	.size syscall_entry, . - syscall_entry

/* void switch_to(uint64_t **save, uint64_t *load): returns on the other stack. */
	.globl switch_to
	.type switch_to, @function
switch_to:
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size switch_to, . - switch_to

/* Where switch_to returns to for the first time: process_new made these stacks. */
	.globl process_begin
	.type process_begin, @function
process_begin:
	call schedule_done
	jmp trap_return
	.size process_begin, . - process_begin

	.globl thread_begin
	.type thread_begin, @function
thread_begin:
	call schedule_done
	sti
	call *%rbx
	call process_exit
	.size thread_begin, . - thread_begin

	.section .rodata
	.balign 8
	.globl trap_stubs
trap_stubs:
	.altmacro
	.macro stub_address vector
	.quad trap_\vector
	.endm
	.set vector, 0
	.rept VECTOR_PMI + 1
	stub_address %vector
	.set vector, vector + 1
	.endr
	.noaltmacro

	.section .note.GNU-stack, "", @progbits
