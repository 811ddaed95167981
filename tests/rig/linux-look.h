/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the Linux guest: its own view of its memory. */
#ifndef TESTS_RIG_LINUX_LOOK_H
#define TESTS_RIG_LINUX_LOOK_H

#include <stdint.h>

/* Make the report, say "ready", and spin in user mode with known registers. */
_Noreturn void look(void (*say)(const char *what));

/* Of the kernel. */
uint64_t symbol(const char *name);

/* Say what failed, and wait. */
_Noreturn void die(const char *what);

#endif
