/* SPDX-License-Identifier: GPL-2.0-only */
/* A 32-bit program, which calls its log function itself: it changes EAX, ECX, EDX. */
#include "../syscall.h"

#define POINT call narrow_log

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro end name
	.size \name, . - \name
	.endm

	.macro yield
	mov $SYS_YIELD, %eax
	int $0x80
	.endm

	.section .entry, "ax"
	.code32

/* EDI: a seed. ESI: the random state; EBP: the round. */
function narrow_start
	POINT
	mov %edi, %esi
	xor %ebp, %ebp
1:	POINT
	call narrow_round
	inc %ebp
	mov %ebp, %ebx
	mov $SYS_ROUND, %eax
	int $0x80
	mov %eax, %ebx
	POINT
	cmp $0, %ebx
	jg 1b
	POINT
	mov $SYS_EXIT, %eax
	xor %ebx, %ebx
	int $0x80
	ud2
end narrow_start

	.text
	.code32

function narrow_round
	POINT
	call narrow_random
	and $3, %eax
	add $3, %eax
	call narrow_fibonacci
	yield
	POINT
	call narrow_walk
	yield
	pushf
	pop %eax
	push %eax
	popf
	POINT
	call narrow_copy
	yield
	POINT
	yield
	ret
end narrow_round

/* EAX: a number. */
function narrow_random
	imul $1103515245, %esi, %esi
	add $12345, %esi
	mov %esi, %eax
	shr $16, %eax
	ret
end narrow_random

/* EAX: n; EAX: its Fibonacci number. */
function narrow_fibonacci
	push %eax
	POINT
	pop %eax
	cmp $2, %eax
	jb 1f
	push %eax
	dec %eax
	call narrow_fibonacci
	xchg %eax, (%esp)
	sub $2, %eax
	call narrow_fibonacci
	pop %ecx
	add %ecx, %eax
1:	ret
end narrow_fibonacci

/* 12 steps, each by the table. */
function narrow_walk
	push %edi
	mov $12, %edi
1:	call narrow_random
	and $3, %eax
	call *narrow_steps(, %eax, 4)
	POINT
	dec %edi
	jnz 1b
	pop %edi
	ret
end narrow_walk

function narrow_step_add
	POINT
	ret
end narrow_step_add

function narrow_step_loop
	mov $3, %ebx
1:	POINT
	dec %ebx
	jnz 1b
	ret
end narrow_step_loop

/* Into the middle of the table's way: a jump, not a call. */
function narrow_step_jump
	POINT
	mov $narrow_step_add, %eax
	test $2, %esi
	jz 1f
	POINT
	mov $narrow_step_loop, %eax
1:	jmp *%eax
end narrow_step_jump

function narrow_step_flags
	POINT
	bt $5, %esi
	jc 1f
	POINT
1:	ret
end narrow_step_flags

/* A part of the table to the stack; ECX: none, sometimes. */
function narrow_copy
	push %edi
	push %esi
	sub $16, %esp
	POINT
	mov %esi, %ecx
	shr $9, %ecx
	and $3, %ecx
	mov $narrow_steps, %esi
	mov %esp, %edi
	rep movsl
	POINT
	add $16, %esp
	pop %esi
	pop %edi
	ret
end narrow_copy

	.section .rodata
	.balign 4
narrow_steps:
	.long narrow_step_add
	.long narrow_step_loop
	.long narrow_step_jump
	.long narrow_step_flags

	.section .note.GNU-stack, "", @progbits
