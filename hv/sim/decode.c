/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>

#include "hv/sim/machine.h"

/* Prefixes, and what is behind them. */
struct opcode {
	unsigned int at; /* of the first byte behind the prefixes */
	bool lock, rep;
};

static bool is_prefix(uint8_t byte, bool wide)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return wide && (byte & 0xf0) == 0x40;
	}
}

static struct opcode skip_prefixes(const struct xpt_insn *insn, bool wide)
{
	struct opcode opcode = {};

	for (; opcode.at < insn->size; opcode.at++) {
		uint8_t byte = insn->bytes[opcode.at];

		if (!is_prefix(byte, wide))
			break;
		opcode.lock |= byte == 0xf0;
		opcode.rep |= byte == 0xf2 || byte == 0xf3;
	}
	return opcode;
}

bool insn_is_rep(const struct xpt_insn *insn, bool wide)
{
	const uint8_t first = insn->bytes[0];
	struct opcode opcode;
	uint8_t byte;

	if (!is_prefix(first, wide))
		return false;
	opcode = skip_prefixes(insn, wide);
	if (!opcode.rep || opcode.at >= insn->size)
		return false;
	byte = insn->bytes[opcode.at];
	return (byte >= 0x6c && byte <= 0x6f) || (byte >= 0xa4 && byte <= 0xa7) ||
	       (byte >= 0xaa && byte <= 0xaf);
}

bool insn_sets_if(const struct xpt_insn *insn, enum xpt_insn_class class)
{
	/* STI, POPF with any prefix, IRET, SYSRET. */
	return class == XPT_INSN_FAR || insn->bytes[insn->size - 1] == 0xfb ||
	       insn->bytes[insn->size - 1] == 0x9d;
}

static enum sim_exit group_01(uint8_t modrm, uint8_t cpl, bool *stale_ret)
{
	switch (modrm) {
	case 0xc1: /* VMCALL */
	case 0xd9: /* VMMCALL */
		return SIM_EXIT_HYPERCALL;
	case 0xf9:
		return SIM_CPU_RDTSCP;
	default:
		/* INVLPG; LMSW is harmless. */
		*stale_ret |= (modrm >> 3 & 7) == 7 && modrm < 0xc0;
		return SIM_EXIT_NONE;
	}
}

static enum sim_exit two_bytes(const uint8_t *bytes, size_t size, uint8_t cpl,
			       uint8_t *size_ret, bool *stale_ret)
{
	enum sim_exit exit = SIM_EXIT_NONE;

	*size_ret = 2;
	switch (bytes[1]) {
	case 0x01:
		*size_ret = 3;
		return size > 2 ? group_01(bytes[2], cpl, stale_ret) : SIM_EXIT_NONE;
	case 0x05:
		return SIM_CPU_SYSCALL;
	case 0x22: /* MOV to CR */
		*size_ret = 3;
		*stale_ret = true;
		if (size > 2 && (bytes[2] & 0x38) == 0x18)
			exit = SIM_EXIT_MOV_TO_CR3;
		break;
	case 0x30:
		exit = SIM_EXIT_WRMSR;
		break;
	case 0x31:
		return SIM_CPU_RDTSC;
	case 0x32:
		exit = SIM_EXIT_RDMSR;
		break;
	case 0xa2:
		return SIM_EXIT_CPUID;
	}
	/* The CPU refuses the rest before the hypervisor hears of it. */
	return cpl ? SIM_EXIT_NONE : exit;
}

static const uint8_t forced[] = { 0x0f, 0x0b, 'x', 'e', 'n' };

bool insn_may_be_forced(const struct xpt_insn *insn)
{
	return insn->size >= 2 && memcmp(insn->bytes, forced, 2) == 0;
}

/* Xen's hvm_fep: it emulates what is behind the prefix. Here only what writes CR3. */
static enum sim_exit forced_exit(const struct xpt_insn *insn,
				 const struct xpt_cpu_state *at, uint8_t *size_ret)
{
	struct xpt_insn behind = { .size = insn->size - sizeof(forced) };
	uint8_t size;
	bool stale;

	memcpy(behind.bytes, insn->bytes + sizeof(forced), behind.size);
	if (insn_exit(&behind, at, &size, &stale) != SIM_EXIT_MOV_TO_CR3)
		return SIM_EXIT_NONE;
	*size_ret = sizeof(forced) + size;
	return SIM_EXIT_FORCED_CR3;
}

enum sim_exit insn_exit(const struct xpt_insn *insn, const struct xpt_cpu_state *at,
			uint8_t *size_ret, bool *stale_ret)
{
	struct opcode opcode = skip_prefixes(insn, at->csl);
	const uint8_t *bytes = insn->bytes + opcode.at;
	const size_t size = insn->size - opcode.at;
	enum sim_exit exit = SIM_EXIT_NONE;
	uint8_t length = 1;

	*stale_ret = false;
	if (!size || opcode.lock)
		return SIM_EXIT_NONE;
	if (!at->cpl && insn->size > sizeof(forced) &&
	    memcmp(insn->bytes, forced, sizeof(forced)) == 0)
		return forced_exit(insn, at, size_ret);
	switch (bytes[0]) {
	case 0x0f:
		if (size > 1)
			exit = two_bytes(bytes, size, at->cpl, &length, stale_ret);
		break;
	case 0xe4:
	case 0xe5:
	case 0xe6:
	case 0xe7:
		length = 2;
		exit = bytes[0] & 2 ? SIM_EXIT_OUT : SIM_EXIT_IN;
		break;
	case 0xec:
	case 0xed:
	case 0xee:
	case 0xef:
		exit = bytes[0] & 2 ? SIM_EXIT_OUT : SIM_EXIT_IN;
		break;
	case 0xf4:
		exit = SIM_EXIT_HLT;
		break;
	}
	if (at->cpl && bytes[0] != 0x0f)
		return SIM_EXIT_NONE;
	if (exit != SIM_EXIT_NONE)
		*size_ret = opcode.at + length;
	return exit;
}
