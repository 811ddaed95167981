/* SPDX-License-Identifier: GPL-2.0-only */
/* The log functions of the kernel and of each program, and the kernel's beacon: path.h. */
#include "layout.h"
#include "path.h"

#define KERNEL_LOG (KERNEL_BASE + PATH_BASE)

	.macro function name
	.globl \name
	.type \name, @function
\name:
	.endm

	.macro end name
	.size \name, . - \name
	.endm

/*
 * NAME_log: changes RAX, RCX, RDX, and flags. One instruction takes the number, so that
 * an interrupt comes before or after it. What is last is the number: by it, the entry is
 * there. SP and CX are those of the mode.
 */
	.macro log_begin name, base
	function \name\()_log
	mov $1, %eax
	.globl \name\()_log_point
\name\()_log_point:
	xadd %eax, \base + PATH_COUNT
	movzwl %ax, %edx
	shl $4, %edx
	.endm

	.text
	log_begin path, KERNEL_LOG
	mov %cr3, %rcx
	shr $12, %rcx
	mov %ecx, KERNEL_LOG + PATH_ENTRIES + 8(%rdx)
	mov (%rsp), %rcx
	mov %rcx, KERNEL_LOG + PATH_ENTRIES(%rdx)
	mov %eax, KERNEL_LOG + PATH_ENTRIES + 12(%rdx)
	ret
	end path_log

/* void path_beacon(void) */
function path_beacon
	push %rbx
	push %r12
	pushf
	cli
	mov KERNEL_LOG + PATH_COUNT, %ebx
	call path_log
	.globl path_beacon_begin
path_beacon_begin:
	mov $8, %r12d
1:	rol $4, %ebx
	mov %ebx, %eax
	and $15, %eax
	lea path_digits(, %rax, 1 << PATH_DIGIT_SHIFT), %rax
	call *%rax
	dec %r12d
	jnz 1b
	popf
	pop %r12
	pop %rbx
	ret
end path_beacon

	.balign 16
function path_digits
	.rept 16
	call path_log
	ret
	.balign 1 << PATH_DIGIT_SHIFT
	.endr
end path_digits

	.macro user_log name
	.section .log.\name, "ax"
	.code64
	log_begin \name, USER_LOG
	mov USER_SELF, %ecx
	mov %ecx, USER_LOG + PATH_ENTRIES + 8(%rdx)
	mov (%rsp), %rcx
	mov %rcx, USER_LOG + PATH_ENTRIES(%rdx)
	mov %eax, USER_LOG + PATH_ENTRIES + 12(%rdx)
	ret
	end \name\()_log
	.endm

	user_log left
	user_log right

	.section .log.narrow, "ax"
	.code32
	log_begin narrow, USER_LOG
	mov USER_SELF, %ecx
	mov %ecx, USER_LOG + PATH_ENTRIES + 8(%edx)
	mov (%esp), %ecx
	mov %ecx, USER_LOG + PATH_ENTRIES(%edx)
	movl $0, USER_LOG + PATH_ENTRIES + 4(%edx)
	mov %eax, USER_LOG + PATH_ENTRIES + 12(%edx)
	ret
	end narrow_log

	.section .note.GNU-stack, "", @progbits
