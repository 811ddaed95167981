/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an instruction is to the trace: SDM volume 3, "Change of Flow Instruction
 * (COFI) Tracing", and volume 2, appendix A, "Opcode Map".
 */
#ifndef HV_PT_INSN_H
#define HV_PT_INSN_H

#include "types.h"

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

#endif
