/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_NMI_H
#define ASM_NMI_H

#include <xen/types.h>

#define NMI_NONE 0
#define NMI_LOCAL_APIC 2

extern bool opt_watchdog;
extern unsigned int nmi_watchdog;

#endif
