/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether stock Xen can trace a domain, and if not, what to change. */
#ifndef HV_VMTRACE_H
#define HV_VMTRACE_H

#include "hv/xen.h"

/* Of struct xen_tracer. */
bool vmtrace_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret);

/* What to change, where the errno of a call tells more than its name; else NULL. */
const char *vmtrace_remedy(int errnum);

#endif
