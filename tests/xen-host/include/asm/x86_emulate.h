/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_X86_EMULATE_H
#define ASM_X86_EMULATE_H

#define X86EMUL_OKAY 0
#define X86EMUL_UNHANDLEABLE 1
#define X86EMUL_EXCEPTION 2

#endif
