/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the demo traces: loops, recursion, calls through pointers. No libc. */

#define NOINLINE __attribute__((noinline))

/* Numbers that the compiler cannot work out beforehand. */
static volatile unsigned int first = 6, last = 9;

NOINLINE unsigned int fibonacci(unsigned int n)
{
	unsigned int before;

	if (n < 2)
		return n;
	before = fibonacci(n - 2);
	return before + fibonacci(n - 1);
}

NOINLINE unsigned int collatz(unsigned int n)
{
	unsigned int steps;

	for (steps = 0; n != 1; steps++)
		n = n % 2 ? 3 * n + 1 : n / 2;
	return steps;
}

NOINLINE unsigned int greatest_common_divisor(unsigned int a, unsigned int b)
{
	return b ? greatest_common_divisor(b, a % b) : a;
}

NOINLINE unsigned int pair(unsigned int n)
{
	return greatest_common_divisor(n * 12, n * 18);
}

static unsigned int (*volatile const functions[])(unsigned int) = {
	fibonacci,
	collatz,
	pair,
};

NOINLINE unsigned int work(void)
{
	unsigned int sum = 0, i;

	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		sum += functions[i](i ? last : first);
	return sum;
}

/* Its stack is not aligned as the ABI has it on a call: nothing here minds. */
__attribute__((noreturn)) void _start(void)
{
	unsigned int sum = work();

	/* exit_group(sum & 0x7f) */
	__asm__ volatile("syscall"
			 :
			 : "a"(231), "D"(sum & 0x7f)
			 : "rcx", "r11", "memory");
	__builtin_unreachable();
}
