/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions that C has no name for. */
#ifndef HV_SIM_GUEST_X86_H
#define HV_SIM_GUEST_X86_H

#include <stdint.h>

#define INSN static inline __attribute__((always_inline))

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

INSN struct cpuid cpuid_count(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	asm volatile("cpuid"
		     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
		     : "a"(leaf), "c"(subleaf));
	return r;
}

INSN struct cpuid cpuid(uint32_t leaf)
{
	return cpuid_count(leaf, 0);
}

INSN void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

INSN uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

INSN void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr"
		     :
		     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
		     : "memory");
}

INSN uint64_t read_cr2(void)
{
	uint64_t value;

	asm volatile("mov %%cr2, %0" : "=r"(value));
	return value;
}

INSN uint64_t read_cr3(void)
{
	uint64_t value;

	asm volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

INSN void write_cr3(uint64_t value)
{
	asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

/* A Xen that has this prefix, with hvm_fep=1, emulates what is behind it. */
INSN void write_cr3_forced(uint64_t value)
{
	asm volatile("ud2a; .ascii \"xen\"; mov %0, %%cr3" : : "r"(value) : "memory");
}

INSN uint64_t read_cr4(void)
{
	uint64_t value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

INSN void write_cr4(uint64_t value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

INSN void invlpg(uint64_t address)
{
	asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

INSN void interrupts_on(void)
{
	asm volatile("sti" : : : "memory");
}

INSN void interrupts_off(void)
{
	asm volatile("cli" : : : "memory");
}

/* HLT in STI's shadow: no interrupt is lost between the two. */
INSN void wait_for_interrupt(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

INSN void copy_words(void *to, const void *from, uint64_t words)
{
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

INSN void zero_words(void *to, uint64_t words)
{
	asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0ul) : "memory");
}

#endif
