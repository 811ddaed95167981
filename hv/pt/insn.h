/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an instruction is to the trace: SDM volume 3, "Change of Flow Instruction
 * (COFI) Tracing", and volume 2, appendix A, "Opcode Map".
 */
#ifndef HV_PT_INSN_H
#define HV_PT_INSN_H

#include "types.h"

#define XPT_INSN_MAX 15

enum xpt_insn_class {
	XPT_INSN_OTHER,
	XPT_INSN_COND, /* Jcc, JCXZ, LOOP */
	XPT_INSN_JUMP, /* near and direct */
	XPT_INSN_CALL,
	XPT_INSN_JUMP_INDIRECT, /* near */
	XPT_INSN_CALL_INDIRECT,
	XPT_INSN_RET, /* near */
	XPT_INSN_FAR, /* JMP, CALL, RET; IRET, SYSCALL, SYSRET, SYSENTER, SYSEXIT, VMX's
		       */
	XPT_INSN_INT, /* INT n, INT1, INT3, INTO */
	XPT_INSN_MOV_CR3,
	XPT_INSN_PTWRITE,
};

/*
 * The class of the instruction in the first @size bytes (up to 15) at @bytes; OTHER if
 * they hold only a part of one. @wide: 64-bit mode.
 */
enum xpt_insn_class xpt_insn_class(const uint8_t *bytes, size_t size, bool wide);

/* Its opcode, 0FH before the second byte: 0x0f05. 0: that is not all of it. */
unsigned int xpt_insn_opcode(const uint8_t *bytes, size_t size, bool wide);

/*
 * How many of the @size bytes are the instruction, for those of which it has to be known:
 * direct near branches, near calls; INT n, INT1, INT3, INTO; POP, MOV and LSS to SS. 0:
 * it is not one of them, or not all of one. @wide: 64-bit mode; @csd: else, CS.D.
 */
size_t xpt_insn_size(const uint8_t *bytes, size_t size, bool wide, bool csd);

/*
 * Whether the instruction at @ip can have been followed by the one at @to. False is
 * certain; where an indirect or far branch leads is not known.
 */
bool xpt_insn_leads_to(const uint8_t *bytes, size_t size, bool wide, bool csd,
		       uint64_t ip, uint64_t to);

#endif
