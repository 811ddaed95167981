/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only tracer of the rig's tools: it takes every domain, and traces none. */
#include "hv/xen.h"

static const struct hv_ops no_trace_ops = {
	.name = "none",
	.close = xen_close,
	.pause = xen_pause,
	.resume = xen_resume,
	.registers = xen_registers,
	.fd = xen_fd,
	.event = xen_event,
	.console = xen_console,
};

static bool no_trace_can(struct xen_host *host, const xc_domaininfo_t *info,
			 char **why_ret)
{
	return true;
}

static struct xenpt_error *no_trace_open(struct xen_domain *domain)
{
	return NULL;
}

static void no_trace_close(struct xen_domain *domain)
{
}

static const struct xen_tracer no_tracer = {
	.ops = &no_trace_ops,
	.can = no_trace_can,
	.open = no_trace_open,
	.close = no_trace_close,
};

const struct xen_tracer *const xen_tracers[] = { &no_tracer, NULL };
