/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cpu.h"

static void cpu_id(const struct xenpt_cpu *cpu, struct pt_cpu *ret)
{
	*ret = (struct pt_cpu){
		.vendor = cpu->intel ? pcv_intel : pcv_unknown,
		.family = cpu->family,
		.model = cpu->model,
		.stepping = cpu->stepping,
	};
}

bool xenpt_cpu_is_known(const struct xenpt_cpu *cpu)
{
	struct pt_errata errata;
	struct pt_cpu id;

	cpu_id(cpu, &id);
	return pt_cpu_errata(&errata, &id) == 0;
}

/*
 * Errata are always worked around: with none at all, traces of guests fail at
 * every PSB+ that BDM70 has spoilt. A CPU that libipt does not know gets
 * those of the Core generations, one by one.
 */
static void cpu_errata(const struct pt_cpu *id, struct pt_errata *ret)
{
	/* Broadwell, Skylake client and server, Kaby Lake. */
	static const uint8_t models[] = { 0x3d, 0x5e, 0x55, 0x9e };

	if (pt_cpu_errata(ret, id) == 0)
		return;
	*ret = (struct pt_errata){};
	for (size_t i = 0; i < sizeof(models); i++) {
		struct pt_cpu core = { pcv_intel, 6, models[i], 0 };
		struct pt_errata errata;

		if (pt_cpu_errata(&errata, &core) < 0)
			continue;
		ret->bdm70 |= errata.bdm70;
		ret->bdm64 |= errata.bdm64;
		ret->skd007 |= errata.skd007;
		ret->skd022 |= errata.skd022;
		ret->skd010 |= errata.skd010;
		ret->skl014 |= errata.skl014;
		ret->skl168 |= errata.skl168;
	}
}

void cpu_config(const struct xenpt_cpu *cpu, struct pt_config *ret)
{
	pt_config_init(ret);
	cpu_id(cpu, &ret->cpu);
	cpu_errata(&ret->cpu, &ret->errata);
	ret->nom_freq = cpu->nom_freq;
	ret->mtc_freq = cpu->mtc_freq;
	ret->cpuid_0x15_eax = cpu->cpuid_15_eax;
	ret->cpuid_0x15_ebx = cpu->cpuid_15_ebx;
}
