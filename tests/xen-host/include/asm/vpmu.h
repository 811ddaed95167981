/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_VPMU_H
#define ASM_VPMU_H

#define XENPMU_MODE_OFF 0
#define XENPMU_MODE_SELF 1

extern unsigned int vpmu_mode;

#endif
