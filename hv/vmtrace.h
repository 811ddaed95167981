/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to stock Xen's trace besides tracing: whether it can, what it takes. */
#ifndef HV_VMTRACE_H
#define HV_VMTRACE_H

#include "hv/xen.h"

/* Of struct xen_tracer. */
bool vmtrace_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret);

/* What to change, where the errno of a call tells more than its name; else NULL. */
const char *vmtrace_remedy(int errnum);

/*
 * What a position is said to take, after it has been @cost (0: nothing was said yet), and
 * one took @ns: a mean of late, in which no single one counts for much. It took longer
 * than it held the vCPU if dom0 had to wait, too.
 */
uint64_t vmtrace_cost(uint64_t cost, uint64_t ns);

#endif
