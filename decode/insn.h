/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which branch an x86 instruction is: SDM volume 2, appendix A, opcode map. */
#ifndef DECODE_INSN_H
#define DECODE_INSN_H

#include "libxenpt/xenpt.h"

#define INSN_SIZE_MAX 15

/* NONE: no branch, or not all of it is there. @mode: 16, 32 or 64. */
enum xenpt_branch insn_branch(const uint8_t *insn, size_t size, unsigned int mode);

#endif
