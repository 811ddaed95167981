/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_RIG_VPT_H
#define TESTS_RIG_VPT_H

#include "hv/xen.h"

/* What Xen says of vCPU 0's trace. */
struct vpt_seen {
	uint64_t total, status;
	uint64_t base, pointers; /* OUTPUT_BASE and MASK_PTRS, a little later */
};

struct xenpt_error *vpt_see(xc_interface *xc, uint32_t domid, struct vpt_seen *ret);

/*
 * A trace of its own, by the operations alone, through tables that end in STOP; its
 * packets go to the file @path. vpt-stop.c.
 */
struct xenpt_error *vpt_stop_run(const char *domain, const char *path);

#endif
