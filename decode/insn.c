/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "insn.h"

static bool is_prefix(uint8_t byte, unsigned int mode)
{
	switch (byte) {
	case 0x26: /* segment overrides, branch hints */
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66: /* operand and address size */
	case 0x67:
	case 0xf0: /* LOCK, BND or REPNE, REP */
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return mode == 64 && (byte & 0xf0) == 0x40; /* REX */
	}
}

/* Opcodes after 0F; @next is what follows. */
static enum xenpt_branch two_byte_branch(uint8_t opcode, uint8_t next)
{
	switch (opcode) {
	case 0x05: /* SYSCALL */
	case 0x34: /* SYSENTER */
		return XENPT_BRANCH_SYSCALL;
	case 0x07: /* SYSRET */
	case 0x35: /* SYSEXIT */
		return XENPT_BRANCH_FAR_RETURN;
	case 0x01:
		if (next == 0xc1) /* VMCALL */
			return XENPT_BRANCH_FAR_CALL;
		if (next == 0xc2 || next == 0xc3) /* VMLAUNCH, VMRESUME */
			return XENPT_BRANCH_FAR_RETURN;
		return XENPT_BRANCH_NONE;
	default:
		return opcode >= 0x80 && opcode <= 0x8f ? XENPT_BRANCH_COND
							: XENPT_BRANCH_NONE;
	}
}

/* Group 5, FF: ModRM's reg field tells. */
static enum xenpt_branch group_5_branch(uint8_t modrm)
{
	switch (modrm >> 3 & 7) {
	case 2:
		return XENPT_BRANCH_CALL;
	case 3:
		return XENPT_BRANCH_FAR_CALL;
	case 4:
		return XENPT_BRANCH_JUMP;
	case 5:
		return XENPT_BRANCH_FAR_JUMP;
	default:
		return XENPT_BRANCH_NONE;
	}
}

enum xenpt_branch insn_branch(const uint8_t *insn, size_t size, unsigned int mode)
{
	uint8_t opcode, next;
	size_t i = 0;

	while (i < size && is_prefix(insn[i], mode))
		i++;
	if (i == size)
		return XENPT_BRANCH_NONE;
	opcode = insn[i++];
	next = i < size ? insn[i++] : 0;
	if (opcode >= 0x70 && opcode <= 0x7f)
		return XENPT_BRANCH_COND;

	switch (opcode) {
	case 0x0f:
		return two_byte_branch(next, i < size ? insn[i] : 0);
	case 0xff:
		return group_5_branch(next);
	case 0xe8:
		return XENPT_BRANCH_CALL;
	case 0xe9:
	case 0xeb:
		return XENPT_BRANCH_JUMP;
	case 0xc2:
	case 0xc3:
		return XENPT_BRANCH_RETURN;
	case 0xe0: /* LOOPNE, LOOPE, LOOP, JCXZ */
	case 0xe1:
	case 0xe2:
	case 0xe3:
		return XENPT_BRANCH_COND;
	case 0xca:
	case 0xcb:
	case 0xcf: /* IRET */
		return XENPT_BRANCH_FAR_RETURN;
	case 0xcc: /* INT3, INT n, INTO, INT1 */
	case 0xcd:
	case 0xce:
	case 0xf1:
		return XENPT_BRANCH_SYSCALL;
	case 0x9a:
		return mode == 64 ? XENPT_BRANCH_NONE : XENPT_BRANCH_FAR_CALL;
	case 0xea:
		return mode == 64 ? XENPT_BRANCH_NONE : XENPT_BRANCH_FAR_JUMP;
	default:
		return XENPT_BRANCH_NONE;
	}
}
