// SPDX-License-Identifier: GPL-2.0-only
/* A tree, calculators behind pointers, a switch, and an INT3, round after round. */
#include "path.h"

void left_start(uint64_t seed);

PATH_PROGRAM(left);

#define LEFT_NODES 15
#define LEFT_DIRECTION 0x400 /* RFLAGS.DF */

struct left_node {
	uint32_t value;
	uint32_t below[2]; /* 0: nothing */
};

static struct left_node left_nodes[LEFT_NODES + 1];
static uint32_t left_used;
static uint64_t left_sum;
static uint64_t left_random;

static uint32_t left_node_new(uint32_t value)
{
	left_nodes[++left_used] = (struct left_node){ .value = value };
	return left_used;
}

static uint32_t left_insert(uint32_t node, uint32_t value)
{
	uint32_t side;

	if (!node)
		return left_node_new(value);
	side = value > left_nodes[node].value;
	left_nodes[node].below[side] = left_insert(left_nodes[node].below[side], value);
	return node;
}

static uint32_t left_depth(uint32_t node)
{
	uint32_t a, b;

	if (!node)
		return 0;
	a = left_depth(left_nodes[node].below[0]);
	b = left_depth(left_nodes[node].below[1]);
	return 1 + (a > b ? a : b);
}

static void left_tree(void)
{
	uint32_t root = 0, count = random_between(&left_random, 3, LEFT_NODES);

	left_used = 0;
	for (; count; count--)
		root = left_insert(root, random_next(&left_random));
	left_sum += left_depth(root);
}

static uint64_t left_double(uint64_t x)
{
	return 2 * x;
}

static uint64_t left_halve(uint64_t x)
{
	return x / 2;
}

static uint64_t left_odd(uint64_t x)
{
	return x & 1 ? 3 * x + 1 : x;
}

static uint64_t left_mix(uint64_t x)
{
	for (uint64_t i = x & 3; i; i--)
		x ^= x >> 7 ^ i;
	return x;
}

static uint64_t (*const left_functions[])(uint64_t) = {
	left_double,
	left_halve,
	left_odd,
	left_mix,
};

static void left_calculate(void)
{
	uint64_t x = random_next(&left_random);

	for (uint64_t which = x & 0xffff; which; which >>= 2)
		x = left_functions[which & 3](x);
	left_sum ^= x;
}

static uint64_t left_choose(uint64_t what)
{
	switch (what) {
	case 0:
		return left_sum + 1;
	case 1:
		return syscall(SYS_YIELD, 0, 0);
	case 2:
		return left_sum & 0xff;
	case 3:
		asm volatile("int3");
		return 3;
	case 4:
		return left_sum ? 1 : 2;
	case 5:
		return left_double(left_sum);
	default:
		return what;
	}
}

static void left_copy(uint8_t *heap)
{
	uint64_t count = random_between(&left_random, 0, 40);

	fill_words(heap, left_sum, 8);
	copy_bytes(heap + 100, heap, count);
	left_sum += heap[100 + count / 2];
}

/* RFLAGS, changed as a program may, are seen again. */
static void left_flags(void)
{
	uint64_t flags = flags_read();

	flags_write(flags | LEFT_DIRECTION);
	if (flags_read() & LEFT_DIRECTION)
		left_sum++;
	flags_write(flags);
}

static void left_round(uint8_t *heap)
{
	left_tree();
	syscall(SYS_YIELD, 0, 0);
	left_calculate();
	for (uint64_t i = 0; i < 6; i++)
		left_sum += left_choose(random_next(&left_random) % 8);
	syscall(SYS_HIDE, (uint64_t)heap, 0);
	left_copy(heap);
	syscall(SYS_YIELD, 0, 0);
	left_flags();
	syscall(SYS_YIELD, 0, 0);
}

ENTRY left_start(uint64_t seed)
{
	uint8_t *heap = grow(PAGE_SIZE);
	uint64_t round = 0;

	left_random = random_start(seed, 'l');
	do {
		left_round(heap);
	} while (syscall(SYS_ROUND, ++round, 0) > 0);
	syscall(SYS_EXIT, 0, 0);
	__builtin_unreachable();
}
