/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_DEBUGREG_H
#define ASM_DEBUGREG_H

#define DR_STEP 0x4000

#endif
