/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hv/xen.h"

const struct xen_tracer *const xen_tracers[] = { &vpt_tracer, &vmtrace_tracer, NULL };
