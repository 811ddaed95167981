/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xenpt.h"

#define NAME(table, i) ((i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : NULL)

const char *xenpt_packet_type_name(unsigned int type)
{
	static const char *const names[XENPT_PACKET_TYPES] = {
		[XENPT_PACKET_BAD] = "bad",
		[XENPT_PACKET_PAD] = "pad",
		[XENPT_PACKET_PSB] = "psb",
		[XENPT_PACKET_PSBEND] = "psbend",
		[XENPT_PACKET_TNT_8] = "tnt.8",
		[XENPT_PACKET_TNT_64] = "tnt.64",
		[XENPT_PACKET_TIP] = "tip",
		[XENPT_PACKET_TIP_PGE] = "tip.pge",
		[XENPT_PACKET_TIP_PGD] = "tip.pgd",
		[XENPT_PACKET_FUP] = "fup",
		[XENPT_PACKET_PIP] = "pip",
		[XENPT_PACKET_VMCS] = "vmcs",
		[XENPT_PACKET_MODE_EXEC] = "mode.exec",
		[XENPT_PACKET_MODE_TSX] = "mode.tsx",
		[XENPT_PACKET_TSC] = "tsc",
		[XENPT_PACKET_MTC] = "mtc",
		[XENPT_PACKET_TMA] = "tma",
		[XENPT_PACKET_CYC] = "cyc",
		[XENPT_PACKET_CBR] = "cbr",
		[XENPT_PACKET_OVF] = "ovf",
		[XENPT_PACKET_STOP] = "stop",
		[XENPT_PACKET_PTW] = "ptw",
		[XENPT_PACKET_EXSTOP] = "exstop",
		[XENPT_PACKET_MWAIT] = "mwait",
		[XENPT_PACKET_PWRE] = "pwre",
		[XENPT_PACKET_PWRX] = "pwrx",
		[XENPT_PACKET_MNT] = "mnt",
		[XENPT_PACKET_BBP] = "bbp",
		[XENPT_PACKET_BIP] = "bip",
		[XENPT_PACKET_BEP] = "bep",
		[XENPT_PACKET_CFE] = "cfe",
		[XENPT_PACKET_EVD] = "evd",
		[XENPT_PACKET_GAP] = "gap",
	};

	return NAME(names, type);
}

const char *xenpt_event_type_name(unsigned int type)
{
	static const char *const names[XENPT_EVENT_TYPES] = {
		[XENPT_EVENT_BLOCK] = "block",
		[XENPT_EVENT_INTERRUPT] = "interrupt",
		[XENPT_EVENT_ON] = "on",
		[XENPT_EVENT_OFF] = "off",
		[XENPT_EVENT_CR3] = "cr3",
		[XENPT_EVENT_VMCS] = "vmcs",
		[XENPT_EVENT_MODE] = "mode",
		[XENPT_EVENT_TSX] = "tsx",
		[XENPT_EVENT_OVERFLOW] = "overflow",
		[XENPT_EVENT_STOP] = "stop",
		[XENPT_EVENT_PTWRITE] = "ptwrite",
		[XENPT_EVENT_CBR] = "cbr",
		[XENPT_EVENT_EXSTOP] = "exstop",
		[XENPT_EVENT_MWAIT] = "mwait",
		[XENPT_EVENT_PWRE] = "pwre",
		[XENPT_EVENT_PWRX] = "pwrx",
		[XENPT_EVENT_GAP] = "gap",
		[XENPT_EVENT_ERROR] = "error",
		[XENPT_EVENT_CODE] = "code",
		[XENPT_EVENT_DOUBT] = "doubt",
	};

	return NAME(names, type);
}

const char *xenpt_branch_name(unsigned int branch)
{
	static const char *const names[] = {
		[XENPT_BRANCH_NONE] = "none",
		[XENPT_BRANCH_COND] = "cond",
		[XENPT_BRANCH_JUMP] = "jump",
		[XENPT_BRANCH_CALL] = "call",
		[XENPT_BRANCH_RETURN] = "return",
		[XENPT_BRANCH_SYSCALL] = "syscall",
		[XENPT_BRANCH_FAR_CALL] = "far call",
		[XENPT_BRANCH_FAR_RETURN] = "far return",
		[XENPT_BRANCH_FAR_JUMP] = "far jump",
	};

	return NAME(names, branch);
}

const char *xenpt_trouble_name(unsigned int trouble)
{
	static const char *const names[] = {
		[XENPT_TROUBLE_BAD_PACKET] = "bad packet",
		[XENPT_TROUBLE_BAD_CONTEXT] = "packet out of place",
		[XENPT_TROUBLE_NO_CODE] = "no code",
		[XENPT_TROUBLE_BAD_CODE] = "no instruction",
		[XENPT_TROUBLE_BAD_FLOW] = "code does not fit the trace",
		[XENPT_TROUBLE_ENDLESS] = "endless loop",
		[XENPT_TROUBLE_OTHER] = "decoder failure",
	};
	const char *name = NAME(names, trouble);

	return name ? name : "trouble";
}

const char *xenpt_doubt_name(unsigned int doubt)
{
	static const char *const names[] = {
		[XENPT_DOUBT_PSB] = "PSB+",
		[XENPT_DOUBT_REGISTERS] = "registers",
		[XENPT_DOUBT_EARLIER] = "earlier",
	};
	const char *name = NAME(names, doubt);

	return name ? name : "doubt";
}

const char *xenpt_gap_reason_name(unsigned int reason)
{
	static const char *const names[] = {
		[XENPT_GAP_SEAM] = "seam",         [XENPT_GAP_LAPPED] = "lapped",
		[XENPT_GAP_STOPPED] = "stopped",   [XENPT_GAP_FAULT] = "output fault",
		[XENPT_GAP_DROPPED] = "dropped",   [XENPT_GAP_DAMAGED] = "damaged file",
		[XENPT_GAP_NO_PSB] = "no PSB yet", [XENPT_GAP_ERROR] = "output error",
		[XENPT_GAP_TAMPERED] = "tampered", [XENPT_GAP_GONE] = "destroyed",
	};
	const char *name = NAME(names, reason);

	return name ? name : "gap";
}
