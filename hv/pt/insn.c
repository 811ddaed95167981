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

/* ---- how long it is, and where it leads -------------------------------------- */

/* Of what xpt_insn_size() is for; size 0: of another, or a part of one. */
struct form {
	size_t size;
	size_t displacement; /* bytes at its end; 0: it has none */
	bool data16;         /* branches are cut to 16 bits */
};

/* ModR/M, SIB and displacement, of the @left bytes at @at; 0: that is not all. */
static size_t modrm_size(const uint8_t *at, size_t left, bool addr16)
{
	uint8_t mod, base;
	size_t size = 1;

	if (!left)
		return 0;
	mod = at[0] >> 6;
	base = at[0] & 7;
	if (mod == 3)
		return 1;
	if (addr16) {
		size += mod ? mod : base == 6 ? 2 : 0;
	} else {
		if (base == 4) {
			if (left < 2)
				return 0;
			base = at[1] & 7;
			size = 2;
		}
		if (mod == 1)
			size += 1;
		else if (mod == 2 || base == 5)
			size += 4;
	}
	return size <= left ? size : 0;
}

static bool is_prefix(uint8_t byte, bool wide)
{
	return first_bytes[byte] == PREFIX || (wide && first_bytes[byte] == REX);
}

unsigned int xpt_insn_opcode(const uint8_t *bytes, size_t size, bool wide)
{
	size_t i = 0;

	while (i < size && is_prefix(bytes[i], wide))
		i++;
	if (i == size || (bytes[i] == 0x0f && i + 1 == size))
		return 0;
	return bytes[i] == 0x0f ? 0x0f00u | bytes[i + 1] : bytes[i];
}

/* Near and direct: the size of its opcode; 0: it is none. */
static size_t branch_opcode(const uint8_t *at, size_t left, struct form *form)
{
	switch (at[0]) {
	case 0x70 ... 0x7f:
	case 0xe0 ... 0xe3:
	case 0xeb:
		form->displacement = 1;
		return 1;
	case 0xe8:
	case 0xe9:
		form->displacement = form->data16 ? 2 : 4;
		return 1;
	case 0x0f:
		if (left < 2 || at[1] < 0x80 || at[1] > 0x8f)
			return 0;
		form->displacement = form->data16 ? 2 : 4;
		return 2;
	default:
		return 0;
	}
}

/* The same of an indirect near call, and of LSS and MOV to SS. */
static size_t modrm_opcode(const uint8_t *at, size_t left)
{
	if (left < 2)
		return 0;
	if (at[0] == 0x0f)
		return at[1] == 0xb2 ? 2 : 0;
	return (at[0] == 0x8e || at[0] == 0xff) && (at[1] >> 3 & 7) == 2 ? 1 : 0;
}

/* The same of the others, with what follows it. */
static size_t plain_size(uint8_t opcode, bool wide)
{
	switch (opcode) {
	case 0x17: /* POP SS */
	case 0xce:
		return wide ? 0 : 1;
	case 0xcc:
	case 0xf1:
		return 1;
	case 0xcd:
		return 2;
	default:
		return 0;
	}
}

static size_t rest_size(const uint8_t *at, size_t left, bool wide, bool addr16,
			struct form *form)
{
	size_t size = branch_opcode(at, left, form), more;

	if (size)
		return size + form->displacement;
	size = modrm_opcode(at, left);
	if (!size)
		return plain_size(at[0], wide);
	more = modrm_size(at + size, left - size, addr16);
	return more ? size + more : 0;
}

static struct form form_of(const uint8_t *bytes, size_t size, bool wide, bool csd)
{
	struct form form = { .data16 = !wide && !csd };
	bool addr16 = form.data16;
	size_t i = 0, rest;

	for (; i < size && is_prefix(bytes[i], wide); i++) {
		if (bytes[i] == 0x66 && !wide) /* Intel: no effect on near branches */
			form.data16 = csd;
		else if (bytes[i] == 0x67 && !wide)
			addr16 = csd;
	}
	if (i == size)
		return form;
	rest = rest_size(bytes + i, size - i, wide, addr16, &form);
	if (rest && rest <= size - i)
		form.size = i + rest;
	return form;
}

size_t xpt_insn_size(const uint8_t *bytes, size_t size, bool wide, bool csd)
{
	return form_of(bytes, size, wide, csd).size;
}

static uint64_t target(const struct form *form, const uint8_t *bytes, bool wide,
		       uint64_t ip)
{
	size_t first = form->size - form->displacement;
	uint64_t displacement = 0, sign = 1ull << (8 * form->displacement - 1);

	for (size_t i = 0; i < form->displacement; i++)
		displacement |= (uint64_t)bytes[first + i] << 8 * i;
	ip += form->size + ((displacement ^ sign) - sign);
	if (form->data16)
		return ip & 0xffff;
	return wide ? ip : ip & 0xffffffff;
}

bool xpt_insn_leads_to(const uint8_t *bytes, size_t size, bool wide, bool csd,
		       uint64_t ip, uint64_t to)
{
	enum xpt_insn_class class = xpt_insn_class(bytes, size, wide);
	struct form form;

	switch (class) {
	case XPT_INSN_COND:
	case XPT_INSN_JUMP:
	case XPT_INSN_CALL:
		form = form_of(bytes, size, wide, csd);
		if (!form.size)
			return false;
		return to == target(&form, bytes, wide, ip) ||
		       (class == XPT_INSN_COND && to == ip + form.size);
	case XPT_INSN_OTHER:
	case XPT_INSN_MOV_CR3:
	case XPT_INSN_PTWRITE:
		/* 0: a repetition that is not done. */
		return to - ip <= XPT_INSN_MAX;
	default:
		return true;
	}
}
