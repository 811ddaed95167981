/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A PVH guest whose first exception is a triple fault: there is no IDT. */
	.section .note.xen, "a", @note
	.align 4
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.code32
	.section .text, "ax"
	.global start
start:
	lidt	no_idt
	ud2
no_idt:
	.word 0
	.long 0
	.section .note.GNU-stack, "", @progbits
