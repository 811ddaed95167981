/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain: can it be traced, is it, and what may be missed if it is. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "hv/xen-check.h"
#include "hv/xen-list.h"
#include "hv/xen/xen/include/public/xenpt.h"
#include "hv/xl-config.h"

#include <xen/hvm/params.h>
#include <xen/memory.h>

#define RTIT_CTL 0x570 /* the key of XEN_DOMCTL_vmtrace_get_option: the MSR's number */
#define RTIT_CTL_TRACE_EN 1u
#define SMALL_BUFFER (1u << 20)

static uint32_t vcpu_count(const xc_domaininfo_t *info)
{
	if (info->max_vcpu_id == XEN_INVALID_MAX_VCPU_ID)
		return 0;
	return info->max_vcpu_id < XEN_GUARD_VCPUS ? info->max_vcpu_id + 1
						   : XEN_GUARD_VCPUS;
}

/* ---- What it is ---------------------------------------------------------- */

static bool is_hvm(const xc_domaininfo_t *info)
{
	return info->flags & XEN_DOMINF_hvm_guest;
}

static const char *const state_names[] = {
	[HV_RUNNING] = "running", [HV_PAUSED] = "paused",   [HV_CRASHED] = "crashed",
	[HV_ENDED] = "ended",     [HV_OFFERED] = "offered",
};

/* NULL: nothing is in the way. */
static const char *state_remedy(struct xen_check *check, const xc_domaininfo_t *info,
				enum hv_state state)
{
	if (xen_is_self(check->host, info->domain))
		return "xenpt runs in it, and Xen traces no domain that asks for itself";
	if (!is_hvm(info))
		return "only HVM and PVH domains can be traced: type=\"pvh\" or "
		       "type=\"hvm\" in its xl.cfg";
	if (state == HV_CRASHED)
		return "nothing runs in it any more: 'xl dump-core' saves its memory; "
		       "then "
		       "'xl destroy' it, and create it anew";
	if (state == HV_ENDED)
		return "create it anew";
	return NULL;
}

static struct xenpt_error *check_state(struct xen_check *check,
				       const xc_domaininfo_t *info)
{
	struct xen_state state;
	const char *remedy;

	xen_state_of(info, &state);
	remedy = state_remedy(check, info, state.state);
	if (remedy)
		return xen_check_say(check, HV_BAD, "domain", remedy, "number %u, %s, %s",
				     info->domain, xen_type(info),
				     state_names[state.state]);
	return xen_check_say(check, state.state == HV_PAUSED ? HV_NOTE : HV_GOOD,
			     "domain", "'xl unpause' lets it run",
			     "number %u, %s, vCPUs: %u, %s", info->domain, xen_type(info),
			     vcpu_count(info), state_names[state.state]);
}

static struct xenpt_error *check_hap(struct xen_check *check, const xc_domaininfo_t *info)
{
	bool hap = info->flags & XEN_DOMINF_hap;

	return xen_check_say(
		check, hap ? HV_GOOD : HV_BAD, "HAP",
		"take hap=0 out of its xl.cfg and create it anew: with shadow "
		"page tables a trace names Xen's page tables, not the guest's",
		hap ? "used" : "not used");
}

/* ---- Tracing ------------------------------------------------------------- */

#define BUFFER_REMEDY                                                               \
	"put vmtrace_buf_kb=16384 into its xl.cfg (4 to 65536, a power of two; xl " \
	"ignores a name that is misspelt) and create it anew: a buffer cannot be "  \
	"added to a domain that is there"

/* *@ret: the smallest; 0: there is not one for each vCPU, and that was said. */
static struct xenpt_error *check_buffer(struct xen_check *check,
					const xc_domaininfo_t *info, size_t *ret)
{
	uint32_t vcpus = vcpu_count(info);
	size_t size, least = SIZE_MAX;

	*ret = 0;
	for (uint32_t i = 0; i < vcpus; i++) {
		size = 0;
		if (xen_calls->fm_resource_size(check->host->fm, info->domain,
						XENMEM_resource_vmtrace_buf, i,
						&size) < 0 &&
		    errno != EINVAL)
			return xen_check_failed(check, HV_BAD, "trace buffer", errno,
						"the size of a vCPU's buffer");
		if (!size)
			return xen_check_say(check, HV_BAD, "trace buffer", BUFFER_REMEDY,
					     "none");
		if (size < least)
			least = size;
	}
	if (!vcpus)
		return xen_check_say(check, HV_BAD, "trace buffer", "create it anew",
				     "none, for there are no vCPUs");
	*ret = least;
	return xen_check_say(
		check, least < SMALL_BUFFER ? HV_NOTE : HV_GOOD, "trace buffer",
		"so small a buffer is written over within milliseconds, and "
		"the trace has gaps: vmtrace_buf_kb=16384 in its xl.cfg, and "
		"create it anew",
		"%zu KiB for each vCPU", least >> 10);
}

/* Each question holds its vCPU for a moment, as xc_vmtrace_output_position() does. */
static struct xenpt_error *check_other_tracer(struct xen_check *check,
					      const xc_domaininfo_t *info)
{
	uint64_t ctl;

	for (uint32_t i = 0; i < vcpu_count(info); i++) {
		ctl = 0;
		if (xen_calls->xc_vmtrace_get_option(check->host->xc, info->domain, i,
						     RTIT_CTL, &ctl) < 0)
			return xen_check_failed(check, HV_BAD, "other tracer", errno,
						"a vCPU's IA32_RTIT_CTL");
		if (ctl & RTIT_CTL_TRACE_EN)
			return xen_check_say(check, HV_BAD, "other tracer",
					     "end the other program, as xenpt record, "
					     "xen-vmtrace or DRAKVUF; if it was killed, "
					     "create the domain anew",
					     "vCPU %u is traced already", i);
	}
	return xen_check_say(check, HV_GOOD, "other tracer", NULL, "none");
}

static struct xenpt_error *check_trace(struct xen_check *check,
				       const xc_domaininfo_t *info)
{
	size_t size;

	if (check->no_vmtrace || check->no_sizes || !is_hvm(info) ||
	    info->flags & XEN_DOMINF_dying)
		return NULL;
	XENPT_TRY(check_buffer(check, info, &size));
	return size ? check_other_tracer(check, info) : NULL;
}

/* ---- What may be missed -------------------------------------------------- */

static bool outlasts_a_crash(const char *action)
{
	return strcmp(action, "preserve") == 0 || strcmp(action, "restart_rename") == 0;
}

static struct xenpt_error *check_on_crash(struct xen_check *check, const char *config)
{
	static const char remedy[] =
		"put on_crash=\"preserve\" into its xl.cfg, and 'xl destroy' it when it "
		"has crashed and was recorded: else the last of its trace and memory may "
		"be gone before they are read";
	char action[32] = "destroy"; /* the default, which libxl does not write */

	if (!config)
		return xen_check_say(check, HV_NOTE, "on_crash", remedy,
				     "not known, for libxl did not create the domain");
	xl_config_get(config, "on_crash", action, sizeof(action));
	return xen_check_say(check, outlasts_a_crash(action) ? HV_GOOD : HV_NOTE,
			     "on_crash", remedy, "%s", action);
}

static struct xenpt_error *check_nested(struct xen_check *check, const char *config)
{
	char nested[16];

	if (!config || !xl_config_get(config, "nested_hvm", nested, sizeof(nested)) ||
	    strcasecmp(nested, "true") != 0)
		return NULL;
	return xen_check_say(check, HV_NOTE, "nested",
			     "take nestedhvm=1 out of its xl.cfg if it needs no guests: "
			     "their code is in the trace, and cannot be decoded",
			     "it may run guests of its own");
}

static struct xenpt_error *check_config(struct xen_check *check,
					const xc_domaininfo_t *info)
{
	_cleanup_free_ char *config = NULL;
	_cleanup_error_ struct xenpt_error *err =
		xl_config_read(xen_calls_root, info->domain, info->handle, &config);

	if (err)
		return xen_check_say(check, HV_NOTE, "on_crash", err->message,
				     "not known, for its configuration cannot be read");
	XENPT_TRY(check_on_crash(check, config));
	return check_nested(check, config);
}

static struct xenpt_error *check_altp2m(struct xen_check *check,
					const xc_domaininfo_t *info)
{
	static const char *const modes[] = {
		[XEN_ALTP2M_mixed] = "mixed",
		[XEN_ALTP2M_external] = "external",
		[XEN_ALTP2M_limited] = "limited",
	};
	uint64_t mode;

	if (xen_calls->xc_hvm_param_get(check->host->xc, info->domain, HVM_PARAM_ALTP2M,
					&mode) < 0)
		return xen_check_failed(check, HV_NOTE, "altp2m", errno,
					"HVM_PARAM_ALTP2M");
	if (mode == XEN_ALTP2M_disabled)
		return NULL;
	return xen_check_say(
		check, HV_NOTE, "altp2m",
		"take altp2m= out of its xl.cfg if nothing needs it: code that "
		"runs from another view of memory is read from the usual one",
		"allowed: %s", mode <= XEN_ALTP2M_limited ? modes[mode] : "?");
}

/*
 * libxenguest makes a page for the monitor's ring, and xc_vm_event_enable() takes it out
 * of the guest's memory, for good, when a monitor comes.
 */
static struct xenpt_error *check_monitor(struct xen_check *check,
					 const struct xen_tracer *tracer,
					 const xc_domaininfo_t *info)
{
	xenforeignmemory_handle *fm = check->host->fm;
	xen_pfn_t gfn;
	uint64_t ring;
	int error = 0;
	void *page;

	if (xen_calls->xc_hvm_param_get(check->host->xc, info->domain,
					HVM_PARAM_MONITOR_RING_PFN, &ring) < 0)
		return xen_check_failed(check, HV_NOTE, "introspection", errno,
					"HVM_PARAM_MONITOR_RING_PFN");
	if (!ring)
		return NULL;
	gfn = ring;
	page = xen_calls->fm_map(fm, info->domain, PROT_READ, 1, &gfn, &error);
	if (page)
		xen_calls->fm_unmap(fm, page, 1);
	if (page && !error)
		return NULL;
	if (tracer == &vpt_tracer && check->caps & XENPT_CAP_PIP)
		return xen_check_say(
			check, HV_GOOD, "introspection", NULL,
			"a monitor is attached, or was: where Xen writes CR3 "
			"in the guest's place, it writes the PIP, too");
	return xen_check_say(check, HV_NOTE, "introspection",
			     "end the program that listens to the domain's events, if it "
			     "still runs: where Xen writes CR3 in the guest's place, the "
			     "trace does not say so, and xenpt decode shows doubts",
			     "a monitor is attached, or was");
}

/* ---- All of it ----------------------------------------------------------- */

/* What a back-end knows and nothing here said: no good word too many. */
static struct xenpt_error *check_tracers(struct xen_check *check,
					 const struct xen_tracer *tracer, const char *why)
{
	if (tracer)
		return xen_check_say(check, HV_GOOD, "back-end", NULL, "%s",
				     tracer->ops->name);
	if (check->bad)
		return NULL;
	return xen_check_say(check, HV_BAD, "back-end",
			     why ?: "this xenpt was built without one for it", "none");
}

struct xenpt_error *xen_check_domain(struct xen_check *check, const xc_domaininfo_t *info)
{
	_cleanup_free_ char *why = NULL;
	const struct xen_tracer *tracer = xen_tracer_find(check->host, info, &why);

	XENPT_TRY(check_state(check, info));
	if (is_hvm(info)) {
		XENPT_TRY(check_hap(check, info));
		/* Buffers of the domain's creation are vmtrace's. */
		if (tracer != &vpt_tracer)
			XENPT_TRY(check_trace(check, info));
		XENPT_TRY(check_config(check, info));
		XENPT_TRY(check_altp2m(check, info));
		XENPT_TRY(check_monitor(check, tracer, info));
	}
	return check_tracers(check, tracer, why);
}
