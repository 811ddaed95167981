/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains of the scripted Xen, opened through hv_open(): with a tracer that traces
 * nothing, in the place of those that hv/ has. Each program that includes it is one.
 */
#ifndef XEN_DOMAIN_H
#define XEN_DOMAIN_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/hv.h"
#include "hv/xen.h"
#include "tests/trace.h"
#include "tests/unit/xen-script.h"

#define GUEST 7

static unsigned int tracers_open;

static bool tracer_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret)
{
	if (info->flags & XEN_DOMINF_hap)
		return true;
	*why_ret = strdup("put hap=1 into its xl.cfg");
	return false;
}

/* With a call that may fail, as a tracer has. */
static struct xenpt_error *tracer_open(struct xen_domain *xen)
{
	xc_physinfo_t info;

	xen->trace = &tracers_open;
	tracers_open++;
	XENPT_TRY(xen_triple_fault_catch(xen));
	if (xen_calls->xc_physinfo(xen->host->xc, &info) < 0)
		return xen_host_error(xen->host, errno, "no trace");
	return NULL;
}

static void tracer_close(struct xen_domain *xen)
{
	xen->trace = NULL;
	tracers_open--;
}

static const struct hv_ops tracer_ops = {
	.name = "test",
	.close = xen_close,
	.pause = xen_pause,
	.resume = xen_resume,
	.registers = xen_registers,
	.fd = xen_fd,
	.event = xen_event,
	.console = xen_console,
};

static const struct xen_tracer tracer = {
	.ops = &tracer_ops,
	.can = tracer_can,
	.open = tracer_open,
	.close = tracer_close,
};

const struct xen_tracer *const xen_tracers[] = { &tracer, NULL };

/* A host with one guest, of two vCPUs and 4 MiB. */
static inline struct script_domain *start_guest(struct xen_script *script)
{
	struct script_domain *guest = xen_script_add(script, GUEST, "guest");

	guest->vcpu_count = 2;
	xen_script_add_memory(script, guest, 1024);
	for (uint64_t i = 0; i < guest->page_count; i++)
		memset(guest->memory + i * 4096, (int)(i & 255), 4096);
	xen_script_add_rings(script, guest, 4096);
	return guest;
}

static inline struct hv_domain *open_domain(const char *name)
{
	struct hv_domain *domain;

	check_error(hv_open(name, NULL, &domain));
	return domain;
}

static inline void close_domain(struct hv_domain *domain)
{
	domain->ops->close(domain);
}

/* Whoever reads the message knows. */
static inline void check_says(struct xenpt_error *err, const char *what)
{
	assert_non_null(err);
	if (!strstr(err->message, what))
		fail_msg("'%s' lacks '%s'", err->message, what);
	xenpt_error_destroy(err);
}

static inline void check_refused(const char *name, const char *why)
{
	struct hv_domain *domain = NULL;

	check_says(hv_open(name, NULL, &domain), why);
	assert_null(domain);
}

/* And that nothing is left of it. */
static inline void end_script(struct xen_script *script)
{
	assert_true(xen_script_is_clean(script));
	assert_int_equal(tracers_open, 0);
	xen_script_destroy(script);
}

#endif
