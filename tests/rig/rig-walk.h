/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a guest that is held, against what it says of it itself. Each prints what
 * it compared and the first differences; any of them is an error.
 */
#ifndef TESTS_RIG_RIG_WALK_H
#define TESTS_RIG_RIG_WALK_H

#include "hv/hv.h"

/* What was compared so far. */
struct rig_tally {
	uint64_t compared, differences;
};

void rig_differs(struct rig_tally *tally, const char *what, uint64_t address,
		 uint64_t got, uint64_t want);
struct xenpt_error *rig_conclude(const struct rig_tally *tally, const char *what);

/* Of vCPU 0 in @regs, which spins in user mode: all addresses of the report. */
struct xenpt_error *rig_walk(struct xenpt_mem *mem, const struct xenpt_registers *regs);
struct xenpt_error *rig_registers(struct xenpt_mem *mem,
				  const struct xenpt_registers *regs);

/* A core dump of the domain, page by page. */
struct xenpt_error *rig_core(struct hv_domain *domain, const char *path);

#endif
