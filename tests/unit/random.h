/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers that look random and are the same each time: xorshift64*. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

/* @seed: not 0. */
static inline uint64_t random_next(struct random *random)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return random->state * 0x2545f4914f6cdd1d;
}

/* 0 .. @bound - 1. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
	return (random_next(random) >> 16) % bound;
}

#endif
