// SPDX-License-Identifier: GPL-2.0-only
/* A thread that visits all address spaces, for the sake of the CR3 writes. */
#include "kernel.h"

/* What the program's first page says there; it may not be there yet. */
static uint64_t peek(uint64_t cr3, uint64_t address)
{
	uint64_t value, home = read_cr3();

	write_cr3(cr3);
	value = *(const volatile uint64_t *)address;
	write_cr3(home);
	return value;
}

static uint64_t visit(const struct process *process)
{
	if (!process->program || !process->alive)
		return 0;
	/* The stack of this thread is the kernel's, and in all address spaces. */
	return peek(process->cr3,
		    (uint64_t)at_physical((uint64_t)process->program->image));
}

void introspect_thread(void)
{
	uint64_t random = random_start(options.seed, 'i');
	uint64_t rounds = random_between(&random, 20, 60), sum = 0;

	for (; rounds; rounds--) {
		for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
			sum ^= visit(&processes[i]) >> rounds % 8;
		yield();
	}
	print("introspect: sum %x\n", sum);
}
