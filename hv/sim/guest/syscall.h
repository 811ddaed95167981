/* SPDX-License-Identifier: GPL-2.0-only */
/* SYSCALL: RAX, RDI, RSI; INT 80H in 32-bit code: EAX, EBX, ECX. The result in RAX. */
#ifndef HV_SIM_GUEST_SYSCALL_H
#define HV_SIM_GUEST_SYSCALL_H

#define SYS_EXIT 0    /* (status) */
#define SYS_REPORT 1  /* (text, value): a line on the console */
#define SYS_YIELD 2   /* () */
#define SYS_GROW 3    /* (size): where that much new memory starts */
#define SYS_REPLACE 4 /* (to, from): a new page at TO, with what is at FROM */
#define SYS_ROUND 5   /* (number): a round is done; 0: it was the last */
#define SYS_HIDE 6    /* (address): the next access there is a page fault */

#endif
