/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "insn.h"

/* What a byte is where an opcode may start, beyond enum xpt_insn_class. */
enum {
	PREFIX = 0x10,
	REX,     /* in 64-bit mode; INC and DEC elsewhere */
	ESCAPE,  /* 0F */
	GROUP_5, /* FF */
	FAR_PTR, /* not in 64-bit mode */
	INTO,    /* not in 64-bit mode */
};

static const uint8_t first_bytes[256] = {
	[0x0f] = ESCAPE,
	[0x26] = PREFIX, /* segment overrides, branch hints */
	[0x2e] = PREFIX,
	[0x36] = PREFIX,
	[0x3e] = PREFIX,
	[0x40 ... 0x4f] = REX,
	[0x64] = PREFIX,
	[0x65] = PREFIX,
	[0x66] = PREFIX, /* operand and address size */
	[0x67] = PREFIX,
	[0x70 ... 0x7f] = XPT_INSN_COND,
	[0x9a] = FAR_PTR,
	[0xc2] = XPT_INSN_RET,
	[0xc3] = XPT_INSN_RET,
	[0xca] = XPT_INSN_FAR,
	[0xcb] = XPT_INSN_FAR,
	[0xcc] = XPT_INSN_INT,
	[0xcd] = XPT_INSN_INT,
	[0xce] = INTO,
	[0xcf] = XPT_INSN_FAR,
	[0xe0 ... 0xe3] = XPT_INSN_COND, /* LOOPNE, LOOPE, LOOP, JCXZ */
	[0xe8] = XPT_INSN_CALL,
	[0xe9] = XPT_INSN_JUMP,
	[0xea] = FAR_PTR,
	[0xeb] = XPT_INSN_JUMP,
	[0xf0] = PREFIX, /* LOCK, REPNE, REP */
	[0xf1] = XPT_INSN_INT,
	[0xf2] = PREFIX,
	[0xf3] = PREFIX,
	[0xff] = GROUP_5,
};

static enum xpt_insn_class group_5(uint8_t modrm)
{
	switch (modrm >> 3 & 7) {
	case 2:
		return XPT_INSN_CALL_INDIRECT;
	case 4:
		return XPT_INSN_JUMP_INDIRECT;
	case 3:
	case 5:
		return XPT_INSN_FAR;
	default:
		return XPT_INSN_OTHER;
	}
}

/* @opcode comes after 0F, and @next after it. */
static enum xpt_insn_class two_byte(uint8_t opcode, uint8_t next, bool rep, uint8_t rex)
{
	switch (opcode) {
	case 0x80 ... 0x8f:
		return XPT_INSN_COND;
	case 0x05: /* SYSCALL, SYSRET, SYSENTER, SYSEXIT */
	case 0x07:
	case 0x34:
	case 0x35:
		return XPT_INSN_FAR;
	case 0x01: /* VMCALL, VMLAUNCH, VMRESUME */
		return next >= 0xc1 && next <= 0xc3 ? XPT_INSN_FAR : XPT_INSN_OTHER;
	case 0x22: /* REX.R would make it CR11 */
		return (next >> 3 & 7) == 3 && !(rex & 4) ? XPT_INSN_MOV_CR3
							  : XPT_INSN_OTHER;
	case 0xae:
		return rep && (next >> 3 & 7) == 4 ? XPT_INSN_PTWRITE : XPT_INSN_OTHER;
	default:
		return XPT_INSN_OTHER;
	}
}

enum xpt_insn_class xpt_insn_class(const uint8_t *bytes, size_t size, bool wide)
{
	uint8_t kind, rex = 0;
	bool rep = false;

	for (size_t i = 0; i < size; i++) {
		kind = first_bytes[bytes[i]];
		switch (kind) {
		case PREFIX:
			rep |= bytes[i] == 0xf3;
			rex = 0; /* REX counts as the last prefix only */
			break;
		case REX:
			if (!wide)
				return XPT_INSN_OTHER;
			rex = bytes[i];
			break;
		case ESCAPE:
			if (i + 1 == size)
				return XPT_INSN_OTHER;
			return two_byte(bytes[i + 1], i + 2 < size ? bytes[i + 2] : 0,
					rep, rex);
		case GROUP_5:
			return i + 1 < size ? group_5(bytes[i + 1]) : XPT_INSN_OTHER;
		case FAR_PTR:
			return wide ? XPT_INSN_OTHER : XPT_INSN_FAR;
		case INTO:
			return wide ? XPT_INSN_OTHER : XPT_INSN_INT;
		default:
			return (enum xpt_insn_class)kind;
		}
	}
	return XPT_INSN_OTHER;
}
