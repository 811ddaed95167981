/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For programs of scenario=paths, which are compiled so that each basic block calls
 * __sanitizer_cov_trace_pc: that is the program's own log function, in ../path-log.S.
 */
#ifndef HV_SIM_GUEST_USER_PATH_H
#define HV_SIM_GUEST_USER_PATH_H

#include "user.h"

#define INSN static inline __attribute__((always_inline))

#define PATH_PROGRAM(name) asm(".set __sanitizer_cov_trace_pc, " #name "_log")

/* Instructions that the compiler would not choose. */

INSN void copy_bytes(void *to, const void *from, uint64_t count)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

INSN void fill_words(void *to, uint64_t word, uint64_t count)
{
	asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(word) : "memory");
}

/* How many of the first @count bytes are not @byte, up to the first that is. */
INSN uint64_t find_byte(const void *in, uint8_t byte, uint64_t count)
{
	uint64_t left = count;

	asm volatile("repne scasb" : "+D"(in), "+c"(left) : "a"(byte) : "cc", "memory");
	return count - left;
}

INSN uint64_t flags_read(void)
{
	uint64_t flags;

	asm volatile("pushfq; pop %0" : "=r"(flags));
	return flags;
}

INSN void flags_write(uint64_t flags)
{
	asm volatile("push %0; popfq" : : "r"(flags) : "cc", "memory");
}

#endif
