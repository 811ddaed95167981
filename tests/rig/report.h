/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the Linux guest's init knows of its own memory and registers, put down at a fixed
 * address of its own: rig-look finds it there by walking the page tables that are being
 * tested, and compares.
 */
#ifndef TESTS_RIG_REPORT_H
#define TESTS_RIG_REPORT_H

#include <stddef.h>
#include <stdint.h>

#define REPORT_ADDRESS 0x100000000000ull
#define REPORT_MAGIC 0x74726f7065726967ull /* "gireport" */
#define REPORT_MAX 12000

#define REPORT_NOT_MAPPED UINT64_MAX    /* no walk may get there */
#define REPORT_UNKNOWN (UINT64_MAX - 1) /* Linux does not say where it is */

struct report_entry {
	uint64_t address;
	uint64_t gpa;  /* or one of the above */
	uint64_t hash; /* of its page's contents */
};

struct report {
	uint64_t magic;
	uint64_t count;
	uint64_t lstar;        /* entry_SYSCALL_64 */
	uint64_t per_cpu_base; /* in kernel mode GS.base, in user mode the shadow */
	uint64_t gpr[16];      /* as in struct xenpt_registers, while it spins */
	uint64_t fs_base, gs_base;
	uint64_t spin; /* RIP */
	struct report_entry entries[REPORT_MAX];
};

/* FNV-1a, by 64-bit words. */
static inline uint64_t report_hash(const void *page)
{
	const uint64_t *words = page;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < 4096 / sizeof(*words); i++)
		hash = (hash ^ words[i]) * 0x100000001b3;
	return hash;
}

#endif
