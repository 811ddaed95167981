/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct vcpu_guest_context of x86-64, Xen's xen/include/public/arch-x86/xen.h, which
 * ".xen_prstatus" is an array of: the offsets of what is wanted of it.
 */
#ifndef XENPT_MEM_CORE_XEN_H
#define XENPT_MEM_CORE_XEN_H

enum {
	XEN_CONTEXT_FLAGS = 512,
	XEN_CONTEXT_USER_REGS = 520, /* R15 first: struct cpu_user_regs */
	XEN_CONTEXT_CTRLREG = 4984,  /* CR0 … CR7 */
	XEN_CONTEXT_FS_BASE = 5144,
	XEN_CONTEXT_GS_BASE_KERNEL = 5152,
	XEN_CONTEXT_GS_BASE_USER = 5160,
	XEN_CONTEXT_SIZE = 5168,
};

/* In XEN_CONTEXT_USER_REGS. */
enum {
	XEN_USER_REGS_R15 = 0,
	XEN_USER_REGS_R14 = 8,
	XEN_USER_REGS_R13 = 16,
	XEN_USER_REGS_R12 = 24,
	XEN_USER_REGS_RBP = 32,
	XEN_USER_REGS_RBX = 40,
	XEN_USER_REGS_R11 = 48,
	XEN_USER_REGS_R10 = 56,
	XEN_USER_REGS_R9 = 64,
	XEN_USER_REGS_R8 = 72,
	XEN_USER_REGS_RAX = 80,
	XEN_USER_REGS_RCX = 88,
	XEN_USER_REGS_RDX = 96,
	XEN_USER_REGS_RSI = 104,
	XEN_USER_REGS_RDI = 112,
	XEN_USER_REGS_RIP = 128,
	XEN_USER_REGS_CS = 136,
	XEN_USER_REGS_RFLAGS = 144,
	XEN_USER_REGS_RSP = 152,
	XEN_USER_REGS_SS = 160,
};

#define XEN_VGCF_ONLINE (1u << 5)

#endif
