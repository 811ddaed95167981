/* SPDX-License-Identifier: GPL-2.0-only */
/* Marsaglia's xorshift64*: the same seed decides the same. */
#ifndef HV_SIM_GUEST_RANDOM_H
#define HV_SIM_GUEST_RANDOM_H

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull >> 16;
}

/* In [low, high). */
static inline uint64_t random_between(uint64_t *state, uint64_t low, uint64_t high)
{
	return low + random_next(state) % (high - low);
}

/* Neighbouring seeds shall not begin alike; never 0, which stays 0. */
static inline uint64_t random_start(uint64_t seed, uint64_t stream)
{
	uint64_t state =
		(seed * 0x9e3779b97f4a7c15ull ^ stream * 0xd1342543de82ef95ull) | 1;

	random_next(&state);
	return state;
}

#endif
