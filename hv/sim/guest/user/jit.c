// SPDX-License-Identifier: GPL-2.0-only
/*
 * Code that is written, run, written over and run again; each result is compared
 * with what it should be.
 *
 *	USER_CODE	functions that are made, and made again
 *	+ 1 page	whose page the kernel exchanges
 *	+ 2 pages	two versions of it, which are copied from
 *	+ 4 pages	code that changes its own next instruction
 */
#include "user.h"

void jit_start(uint64_t seed);

#define JIT_SLOTS 8
#define JIT_SLOT_SIZE 128

typedef uint32_t (*jit_function)(uint32_t x);

struct jit_code {
	uint8_t *at;
	uint64_t random;
};

static void jit_byte(struct jit_code *code, uint8_t byte)
{
	*code->at++ = byte;
}

static void jit_bytes(struct jit_code *code, const char *bytes, size_t count)
{
	for (; count; count--)
		jit_byte(code, *bytes++);
}

static void jit_word(struct jit_code *code, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		jit_byte(code, word >> 8 * i);
}

#define JIT(code, bytes) jit_bytes(code, bytes, sizeof(bytes) - 1)

/* Each emits code that changes EAX, and says to what it will change X. */

static uint32_t jit_add(struct jit_code *code, uint32_t x)
{
	uint32_t value = random_next(&code->random);

	JIT(code, "\x05"); /* add $value, %eax */
	jit_word(code, value);
	return x + value;
}

static uint32_t jit_xor(struct jit_code *code, uint32_t x)
{
	uint32_t value = random_next(&code->random);

	JIT(code, "\x35"); /* xor $value, %eax */
	jit_word(code, value);
	return x ^ value;
}

static uint32_t jit_loop(struct jit_code *code, uint32_t x)
{
	uint32_t count = random_between(&code->random, 1, 9);

	JIT(code, "\xb9"); /* mov $count, %ecx */
	jit_word(code, count);
	JIT(code, "\x8d\x44\x40\x01"); /* 1: lea 1(%rax, %rax, 2), %eax */
	JIT(code, "\xff\xc9\x75\xf8"); /* dec %ecx; jnz 1b */
	for (; count; count--)
		x = 3 * x + 1;
	return x;
}

static uint32_t jit_skip(struct jit_code *code, uint32_t x)
{
	JIT(code, "\xa8\x01\x74\x02"); /* test $1, %al; jz 1f */
	JIT(code, "\xf7\xd0");         /* not %eax; 1: */
	return x & 1 ? ~x : x;
}

static uint32_t jit_twice(uint32_t x)
{
	return 2 * x;
}

static uint32_t jit_call(struct jit_code *code, uint32_t x)
{
	JIT(code, "\x89\xc7\xb8"); /* mov %eax, %edi; mov $jit_twice, %eax */
	jit_word(code, (uint64_t)jit_twice);
	JIT(code, "\xff\xd0"); /* call *%rax */
	return 2 * x;
}

static uint32_t (*const jit_emitters[])(struct jit_code *, uint32_t) = {
	jit_add, jit_xor, jit_loop, jit_skip, jit_call,
};

/* A function at AT; what it will make of X. */
static uint32_t jit_make(struct jit_code *code, uint8_t *at, uint32_t x)
{
	uint64_t count = random_between(&code->random, 1, 7);

	code->at = at;
	JIT(code, "\x89\xf8"); /* mov %edi, %eax */
	for (; count; count--)
		x = jit_emitters[random_next(&code->random) % ARRAY_SIZE(jit_emitters)](
			code, x);
	JIT(code, "\xc3"); /* ret */
	return x;
}

static uint8_t *jit_slot(uint32_t i)
{
	return (uint8_t *)USER_CODE + i * JIT_SLOT_SIZE;
}

/* Made in slots in turn, so that the next round writes over code that ran. */
static uint64_t jit_round(struct jit_code *code)
{
	uint32_t expected[JIT_SLOTS];
	uint64_t wrong = 0;

	for (uint32_t i = 0; i < JIT_SLOTS; i++)
		expected[i] = jit_make(code, jit_slot(i), i);
	for (uint32_t i = 0; i < JIT_SLOTS; i++)
		wrong += ((jit_function)jit_slot(i))(i) != expected[i];
	return wrong;
}

/* The same address, another page with other code. */
static uint64_t jit_exchange(struct jit_code *code)
{
	uint8_t *page = (uint8_t *)USER_CODE + PAGE_SIZE;
	jit_function function = (jit_function)page;
	uint64_t wrong = 0;

	for (uint32_t version = 0; version < 2; version++) {
		uint8_t *from = page + (1 + version) * PAGE_SIZE;
		uint32_t expected = jit_make(code, from, version);

		syscall(SYS_REPLACE, (uint64_t)page, (uint64_t)from);
		wrong += function(version) != expected;
	}
	return wrong;
}

/*
 * It writes two bytes over the next instruction, jumps to it, and finds there
 * either nothing to do or a jump.
 */
static uint64_t jit_self(struct jit_code *code)
{
	uint8_t *at = (uint8_t *)USER_CODE + 4 * PAGE_SIZE;
	uint32_t jumps = random_next(&code->random) & 1;

	code->at = at;
	JIT(code, "\x66\xc7\x05\x02\x00\x00\x00"); /* movw $…, 1f(%rip) */
	if (jumps)
		JIT(code, "\xeb\x06"); /* jmp 2f */
	else
		JIT(code, "\x66\x90");         /* nop */
	JIT(code, "\xeb\x00");                 /* jmp 1f */
	JIT(code, "\xf4\xf4");                 /* 1: hlt; hlt */
	JIT(code, "\xb8\x00\x00\x00\x00\xc3"); /* mov $0, %eax; ret */
	JIT(code, "\xb8\x01\x00\x00\x00\xc3"); /* 2: mov $1, %eax; ret */
	return ((jit_function)at)(0) != jumps;
}

ENTRY jit_start(uint64_t seed)
{
	struct jit_code code = { .random = random_start(seed, 'j') };
	uint64_t rounds = random_between(&code.random, 12, 24), wrong = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		wrong += jit_round(&code);
		wrong += jit_exchange(&code);
		wrong += jit_self(&code);
		if (i % 4 == 0)
			report("wrong", wrong);
	}
	report("rounds", rounds);
	syscall(SYS_EXIT, wrong, 0);
	__builtin_unreachable();
}
