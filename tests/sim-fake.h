/* SPDX-License-Identifier: GPL-2.0-only */
/* What the stand-in for the embedded CPU and the test of its client agree on. */
#ifndef TESTS_SIM_FAKE_H
#define TESTS_SIM_FAKE_H

#include <stdint.h>

/* The entry of a table that a hostile guest rewrites; nothing uses it. */
#define SIM_FAKE_HOSTILE_ENTRY 100

/* The byte of "trace" that a vCPU puts out as its @total-th. */
static inline uint8_t sim_fake_byte(uint32_t vcpu, uint64_t total)
{
	uint64_t x = (total + 1 + vcpu * 1000003ull) * UINT64_C(0x9e3779b97f4a7c15);

	return (x ^ x >> 29) >> 32;
}

#endif
