/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "hv/vmtrace.h"

const char *vmtrace_remedy(int errnum)
{
	switch (errnum) {
	case EOPNOTSUPP:
		return "this Xen cannot trace on this CPU: it takes an Intel CPU with "
		       "Processor Trace, and VMX";
	case EPERM:
		return "no permission: run xenpt as root in the control domain; where "
		       "Xen's XSM is on, its policy must allow \"setdebugging\"";
	case EACCES:
		return "libxenctrl is not of the version of the hypervisor that runs: "
		       "install xen-utils of that version, or reboot into the other";
	case EEXIST:
		return "the guest traces itself, with the Processor Trace that Xen "
		       "offers it (\"xenpt=guest\" on Xen's command line); this can "
		       "be recorded when that has ended";
	case ENXIO:
		return "Xen had no room to switch tracing on, and has crashed the domain";
	default:
		return NULL;
	}
}

static const char *why_no_size(int errnum)
{
	const char *why = vmtrace_remedy(errnum);

	if (errnum == EINVAL)
		return "it has no trace buffer: put \"vmtrace_buf_kb = 16384\" into its "
		       "xl.cfg, spelt exactly so, for xl ignores what it does not know, "
		       "and start it anew";
	if (errnum == EOPNOTSUPP || errnum == ENOTTY || errnum == ENOSYS)
		return "the kernel of the control domain cannot tell the size of a trace "
		       "buffer: it takes Linux 5.11 or newer";
	return why ? why : strerror(errnum);
}

/* NULL: it can. */
static const char *why_not(struct xen_host *host, const xc_domaininfo_t *info)
{
	xc_physinfo_t physinfo = {};
	size_t size = 0;

	if (!info->domain)
		return "it is the control domain, which Xen does not trace";
	if (!(info->flags & XEN_DOMINF_hvm_guest))
		return "a PV guest cannot be traced: put \"type = \"pvh\"\" or \"type = "
		       "\"hvm\"\" into its xl.cfg";
	/* With shadow paging a PSB+ has the CR3 of the shadow. */
	if (!(info->flags & XEN_DOMINF_hap))
		return "it runs with shadow paging, and its trace would have the wrong "
		       "address spaces: put \"hap = 1\" into its xl.cfg, and start it "
		       "anew; the CPU needs EPT";
	if (xen_calls->xc_physinfo(host->xc, &physinfo) < 0)
		return vmtrace_remedy(errno) ?: strerror(errno);
	if (!(physinfo.capabilities & XEN_SYSCTL_PHYSCAP_vmtrace))
		return "the hypervisor has no vmtrace: it takes Xen 4.15 or newer, not "
		       "nested in another, on an Intel CPU with Processor Trace also "
		       "under VMX (IA32_VMX_MISC[14], from Skylake on)";
	if (xen_calls->fm_resource_size(host->fm, info->domain,
					XENMEM_resource_vmtrace_buf, 0, &size) < 0)
		return why_no_size(errno);
	return size ? NULL : why_no_size(EINVAL);
}

bool vmtrace_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret)
{
	const char *why = why_not(host, info);

	if (!why)
		return true;
	*why_ret = strdup(why);
	return false;
}

/* ns; a pause of a vCPU is an interrupt to its CPU, and a switch there and back. */
#define COST_AT_FIRST 20000

uint64_t vmtrace_cost(uint64_t cost, uint64_t ns)
{
	if (!cost)
		return ns < COST_AT_FIRST ? ns : COST_AT_FIRST;
	if (ns / 4 > cost)
		ns = 4 * cost;
	return cost - cost / 8 + ns / 8;
}
