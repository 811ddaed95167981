// SPDX-License-Identifier: GPL-2.0-only
/* Sorting, searching, a machine that jumps from state to state, and a UD2. */
#include "path.h"

void right_start(uint64_t seed);

PATH_PROGRAM(right);

#define RIGHT_ITEMS 9

static uint64_t right_state;
static uint64_t right_hash;

static int right_less(uint32_t a, uint32_t b)
{
	return a < b;
}

static int right_more(uint32_t a, uint32_t b)
{
	return a > b;
}

static uint32_t right_sort(int (*before)(uint32_t a, uint32_t b))
{
	uint32_t items[RIGHT_ITEMS];

	for (int i = 0; i < RIGHT_ITEMS; i++) {
		uint32_t item = random_next(&right_state);
		int j = i;

		for (; j && before(item, items[j - 1]); j--)
			items[j] = items[j - 1];
		items[j] = item;
	}
	return items[RIGHT_ITEMS / 2];
}

/* Each state jumps by the table to the next one. */
static uint64_t right_machine(uint64_t steps)
{
	static const void *const states[] = { &&up, &&down, &&turn, &&rest };
	uint64_t value = 1, tape = random_next(&right_state);

next:
	if (!steps--)
		return value;
	tape = tape >> 2 | tape << 62;
	goto *states[tape & 3];
up:
	value += steps;
	goto next;
down:
	if (value & 1)
		value = value * 5 + 1;
	goto next;
turn:
	value = ~value;
rest:
	goto next;
}

static uint64_t right_gcd(uint64_t a, uint64_t b)
{
	return b ? right_gcd(b, a % b) : a;
}

static void right_search(uint8_t *heap)
{
	uint64_t word = random_next(&right_state), found;

	for (int i = 0; i < 3; i++)
		fill_words(heap + 8 * i, word >> 4 * i, 1);
	found = find_byte(heap, word >> 16, 24);
	if (found < 24)
		right_hash += found;
	else
		right_hash ^= word;
}

/* "Look here", and the kernel goes on behind it. */
static void right_stumble(void)
{
	if (random_next(&right_state) & 1)
		asm volatile("ud2");
	else
		right_hash++;
}

/* LOOP, and a carry that decides. */
static void right_rotate(void)
{
	uint64_t count = random_between(&right_state, 1, 6), value = right_hash,
		 carry = 0;

	asm volatile("1: rcr %0\n\t"
		     "jnc 2f\n\t"
		     "inc %2\n"
		     "2: loop 1b"
		     : "+r"(value), "+c"(count), "+r"(carry)
		     :
		     : "cc");
	right_hash = value + carry;
}

static void right_round(uint8_t *heap)
{
	right_hash += right_sort(right_hash & 1 ? right_less : right_more);
	syscall(SYS_YIELD, 0, 0);
	right_stumble();
	right_hash ^= right_machine(random_between(&right_state, 4, 20));
	syscall(SYS_YIELD, 0, 0);
	right_hash += right_gcd(random_next(&right_state) & 0xffff, 360);
	syscall(SYS_HIDE, (uint64_t)heap, 0);
	right_search(heap);
	syscall(SYS_YIELD, 0, 0);
	right_rotate();
	syscall(SYS_YIELD, 0, 0);
}

ENTRY right_start(uint64_t seed)
{
	uint8_t *heap = grow(PAGE_SIZE);
	uint64_t round = 0;

	right_state = random_start(seed, 'r');
	do {
		right_round(heap);
	} while (syscall(SYS_ROUND, ++round, 0) > 0);
	syscall(SYS_EXIT, 0, 0);
	__builtin_unreachable();
}
