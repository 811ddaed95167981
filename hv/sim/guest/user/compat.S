/* SPDX-License-Identifier: GPL-2.0-only */
/* A 32-bit program: Fibonacci by recursion, and steps through a table. */
#include "../syscall.h"

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro end name
	.size \name, . - \name
	.endm

	.section .entry, "ax"
	.code32

/* EDI: a seed. */
function compat_start
	mov %edi, %esi
	mov $5, %edi
1:	call compat_random
	and $3, %eax
	add $6, %eax
	call compat_fibonacci
	mov %eax, %ecx
	mov $compat_text_fibonacci, %ebx
	call compat_report
	call compat_walk
	mov %eax, %ecx
	mov $compat_text_walk, %ebx
	call compat_report
	mov $SYS_YIELD, %eax
	int $0x80
	dec %edi
	jnz 1b
	mov $SYS_EXIT, %eax
	xor %ebx, %ebx
	int $0x80
	ud2
end compat_start

	.text
	.code32

/* EBX: text, ECX: value. */
function compat_report
	mov $SYS_REPORT, %eax
	int $0x80
	ret
end compat_report

/* ESI: state; EAX: a number. */
function compat_random
	imul $1103515245, %esi, %esi
	add $12345, %esi
	mov %esi, %eax
	shr $16, %eax
	ret
end compat_random

/* EAX: n; EAX: its Fibonacci number. */
function compat_fibonacci
	cmp $2, %eax
	jb 1f
	push %eax
	dec %eax
	call compat_fibonacci
	xchg %eax, (%esp)
	sub $2, %eax
	call compat_fibonacci
	pop %ecx
	add %ecx, %eax
1:	ret
end compat_fibonacci

/* 60 steps, each by the table; EAX: where that led. */
function compat_walk
	push %edi
	push %ebp
	xor %ebp, %ebp
	mov $60, %edi
1:	call compat_random
	and $3, %eax
	call *compat_steps(, %eax, 4)
	dec %edi
	jnz 1b
	mov %ebp, %eax
	pop %ebp
	pop %edi
	ret
end compat_walk

function compat_step_add
	add $7, %ebp
	ret
end compat_step_add

function compat_step_double
	lea 1(%ebp, %ebp), %ebp
	and $0xffff, %ebp
	ret
end compat_step_double

function compat_step_mix
	mov $4, %ecx
1:	rol $3, %ebp
	test $1, %ebp
	jz 2f
	xor $0x55, %ebp
2:	loop 1b
	ret
end compat_step_mix

/* Into the middle of the table's way: a jump, not a call. */
function compat_step_jump
	inc %ebp
	test $2, %esi
	mov $compat_step_add, %eax
	jz 1f
	mov $compat_step_mix, %eax
1:	jmp *%eax
end compat_step_jump

	.section .rodata
	.balign 4
compat_steps:
	.long compat_step_add
	.long compat_step_double
	.long compat_step_mix
	.long compat_step_jump
compat_text_fibonacci:
	.asciz "fibonacci"
compat_text_walk:
	.asciz "walk"

	.section .note.GNU-stack, "", @progbits
