/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "libxenpt/cleanup.h"
#include "libxenpt/mem-core.h"
#include "tests/rig/rig-walk.h"

static void core_cleanup(struct xenpt_core **core)
{
	xenpt_core_close(*core);
}

/*
 * Frames that Xen's tools leave out of any HVM guest's dump, where a PVH guest has RAM
 * and Xen its own pages: xc_core_arch_gpfn_may_present() in
 * tools/libs/guest/xg_core_x86.c.
 */
static bool is_left_out(uint64_t gpa)
{
	return (gpa >= 0xa0000 && gpa < 0xc0000) ||
	       (gpa >= 0xf0000000 && gpa < 1ull << 32);
}

static void compare_page(struct rig_tally *tally, struct xenpt_mem *mem,
			 struct xenpt_mem *core, uint64_t gpa)
{
	uint8_t live[XENPT_PAGE_SIZE], dumped[XENPT_PAGE_SIZE];
	bool is_live = xenpt_mem_read(mem, gpa, live, sizeof(live));
	bool is_dumped = xenpt_mem_read(core, gpa, dumped, sizeof(dumped));

	if (is_live != is_dumped && !(is_live && is_left_out(gpa)))
		rig_differs(tally, "presence", gpa, is_dumped, is_live);
	if (!is_live || !is_dumped)
		return;
	tally->compared++;
	if (memcmp(live, dumped, sizeof(live)))
		rig_differs(tally, "contents", gpa, *(uint64_t *)dumped,
			    *(uint64_t *)live);
}

struct xenpt_error *rig_core(struct hv_domain *domain, const char *path)
{
	_cleanup_(core_cleanup) struct xenpt_core *core = NULL;
	struct rig_tally tally = {};
	struct xenpt_registers live, dumped;

	XENPT_TRY(xenpt_core_open(path, &core));
	/* All RAM, and some that is not there. */
	for (uint64_t gpa = 0; gpa < domain->info->memory + (16u << 20);
	     gpa += XENPT_PAGE_SIZE)
		compare_page(&tally, domain->mem, xenpt_core_mem(core), gpa);
	if (tally.compared != xenpt_core_pages(core))
		rig_differs(&tally, "number of pages", 0, tally.compared,
			    xenpt_core_pages(core));
	XENPT_TRY(domain->ops->registers(domain, 0, &live));
	if (!xenpt_core_registers(core, 0, &dumped))
		rig_differs(&tally, "registers", 0, 0, 1);
	else if (dumped.rip != live.rip || dumped.cr3 != live.cr3 ||
		 memcmp(dumped.gpr, live.gpr, sizeof(live.gpr)))
		rig_differs(&tally, "RIP", live.rip, dumped.rip, live.rip);
	return rig_conclude(&tally, "pages");
}
