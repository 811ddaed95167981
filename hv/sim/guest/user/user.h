/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program has of the kernel. All programs are linked at the same address. */
#ifndef HV_SIM_GUEST_USER_H
#define HV_SIM_GUEST_USER_H

#include <stddef.h>
#include <stdint.h>

#include "../layout.h"
#include "../random.h"
#include "../syscall.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The function that the kernel starts: the image's first. */
#define ENTRY __attribute__((section(".entry"))) _Noreturn void

static inline __attribute__((always_inline)) int64_t syscall(uint64_t number, uint64_t a,
							     uint64_t b)
{
	int64_t result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "0"(number), "D"(a), "S"(b)
		     : "rcx", "r11", "memory");
	return result;
}

static inline __attribute__((always_inline)) void report(const char *text, uint64_t value)
{
	syscall(SYS_REPORT, (uint64_t)text, value);
}

static inline __attribute__((always_inline)) void *grow(size_t size)
{
	return (void *)syscall(SYS_GROW, size, 0);
}

#endif
