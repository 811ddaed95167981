/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_GUEST_ACCESS_H
#define ASM_GUEST_ACCESS_H

#include <asm/hvm/support.h>

#endif
