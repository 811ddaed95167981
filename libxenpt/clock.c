/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "xenpt.h"

/* The bus clock that the ratio of MSR_PLATFORM_INFO[15:8] multiplies. */
#define BUS_HZ 100e6

/*
 * CPUID 15H says how the TSC relates to the crystal; the crystal's own clock is
 * one of a few (SDM volume 3, "Time-Stamp Counter", and volume 2, CPUID). The
 * ratio tells which: it is right to the bus clock's precision.
 */
static double crystal_tsc_hz(const struct xenpt_cpu *cpu, double nominal)
{
	static const double crystals[] = { 24e6, 25e6, 19.2e6, 38.4e6 };
	double best = 0;

	if (!cpu->cpuid_15_eax || !cpu->cpuid_15_ebx)
		return 0;
	for (size_t i = 0; i < sizeof(crystals) / sizeof(crystals[0]); i++) {
		double hz = crystals[i] * cpu->cpuid_15_ebx / cpu->cpuid_15_eax;

		if (fabs(hz - nominal) < fabs(best - nominal))
			best = hz;
	}
	return fabs(best - nominal) < BUS_HZ / 2 ? best : 0;
}

struct xenpt_clock xenpt_clock_from_cpu(const struct xenpt_cpu *cpu)
{
	struct xenpt_clock clock = {};
	double nominal = cpu->nom_freq * BUS_HZ, crystal;

	if (cpu->time_mult && cpu->time_shift < 64) {
		clock.ns_per_tick = ldexp(cpu->time_mult, -cpu->time_shift);
	} else if (cpu->nom_freq) {
		crystal = crystal_tsc_hz(cpu, nominal);
		clock.ns_per_tick = 1e9 / (crystal ? crystal : nominal);
	}
	return clock;
}
