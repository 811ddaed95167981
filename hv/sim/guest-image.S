/* SPDX-License-Identifier: GPL-2.0-only */
	.section .rodata
	.balign 16
	.globl sim_guest_image
	.type sim_guest_image, @object
sim_guest_image:
	.incbin "hv/sim/guest/xenpt-guest.elf"
	.globl sim_guest_image_end
sim_guest_image_end:
	.size sim_guest_image, . - sim_guest_image

	.section .note.GNU-stack, "", @progbits
