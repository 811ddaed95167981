/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "hv/vmtrace.h"
#include "hv/vpt.h"

/* Of a ring with several parts, each of which interrupts. */
#define LOSSLESS_CAPS (XENPT_CAP_TOPA_MULTI | XENPT_CAP_INT)

#define RANGES(caps) ((caps) >> XENPT_CAP_RANGES_SHIFT & 7)

/* ---- Errors -------------------------------------------------------------- */

static const char *remedy(int errnum)
{
	switch (errnum) {
	case EBUSY:
		return "it is traced already, by another program; if that was killed, "
		       "its guard may not be done yet";
	case EXDEV:
		return "a guest that may run guests of its own cannot be traced: take "
		       "\"nestedhvm = 1\" out of its xl.cfg, and start it anew";
	case ENXIO:
		return "Xen traces only domains with hardware-assisted paging: put "
		       "\"hap = 1\" into its xl.cfg, and start it anew; the CPU needs "
		       "EPT";
	case EFAULT:
	case ERANGE:
	case EDOM:
		return "Xen does not take the buffer: its pages were changed or taken "
		       "away meanwhile, which the guest's kernel can do";
	case ENODEV:
		return "this CPU cannot, or its interrupt for that is used by Xen's "
		       "watchdog or vPMU: take \"watchdog\" or \"vpmu\" off Xen's "
		       "command line; software mode takes \"apicv=0\" there";
	default:
		return vmtrace_remedy(errnum);
	}
}

struct xenpt_error *vpt_failed(struct xen_domain *xen, uint32_t vcpu, int errnum,
			       const char *what)
{
	const char *why = remedy(errnum);

	if (xen_domain_is_gone(xen))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "%s is not there any more", xen->info.name);
	if (why)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "vCPU %u: %s: %s",
					  vcpu, what, why);
	return xenpt_error_os(errnum, "vCPU %u: %s", vcpu, what);
}

/* ---- Whether it can ------------------------------------------------------ */

/* What the stock interface can is the CPU's, but where it says XENPT_CAP_STOCK_SOFT. */
const char *vpt_why_no_cpu(uint64_t caps, uint32_t capabilities)
{
	if (caps & (XENPT_CAP_EPT | XENPT_CAP_STOCK_SOFT))
		return NULL;
	if (capabilities & XEN_SYSCTL_PHYSCAP_vmtrace)
		return "this CPU has Processor Trace, so that no guest is run one "
		       "instruction at a time, but its output cannot go through EPT: "
		       "take \"watchdog\" and \"vpmu\", which use its interrupt, off "
		       "Xen's command line; where that does not help, the CPU cannot: "
		       "put \"vmtrace_buf_kb = 16384\" into the guest's xl.cfg, start it "
		       "anew, and record it by --backend vmtrace";
	if (caps & XENPT_CAP_SOFT)
		return NULL;
	return "the hypervisor has xenpt's patch, but this CPU cannot trace guests: it "
	       "takes Intel PT whose output goes through EPT; or, for software mode, "
	       "VMX with EPT and \"apicv=0\" on Xen's command line";
}

static const char *why_no_cpu(struct xen_host *host, uint64_t caps)
{
	xc_physinfo_t info = {};

	if (!(caps & XENPT_CAP_EPT) && xen_calls->xc_physinfo(host->xc, &info) < 0)
		return vmtrace_remedy(errno) ?: strerror(errno);
	return vpt_why_no_cpu(caps, info.capabilities);
}

static const char *why_not(struct xen_host *host, const xc_domaininfo_t *info)
{
	uint64_t version = 0, caps = 0;
	const char *why;

	if (!info->domain)
		return "it is the control domain, which Xen does not trace";
	if (!(info->flags & XEN_DOMINF_hvm_guest))
		return "a PV guest cannot be traced: put \"type = \"pvh\"\" or \"type = "
		       "\"hvm\"\" into its xl.cfg";
	if (vpt_op(host->xc, info->domain, 0, XEN_DOMCTL_vmtrace_xenpt_caps, &version,
		   &caps) < 0) {
		/* What a Xen without hv/xen says. */
		if (errno == EOPNOTSUPP || errno == EINVAL)
			return "";
		return vmtrace_remedy(errno) ?: strerror(errno);
	}
	if (version != XENPT_INTERFACE_VERSION)
		return "this xenpt and the hypervisor's patch (hv/xen) are not of the "
		       "same version: build both from one source";
	why = why_no_cpu(host, caps);
	if (why)
		return why;
	if (!(info->flags & XEN_DOMINF_hap))
		return remedy(ENXIO);
	return NULL;
}

bool vpt_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret)
{
	const char *why = why_not(host, info);

	if (!why)
		return true;
	/* Stock Xen: what other back-ends need says more. */
	*why_ret = *why ? strdup(why) : NULL;
	return false;
}

/* ---- What to trace ------------------------------------------------------- */

struct xenpt_error *vpt_check_trace(uint64_t caps, const struct hv_trace *trace)
{
	const char *option = NULL;

	if (trace->range_count && trace->range_count > RANGES(caps) && RANGES(caps))
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "--filter: this CPU has %u address ranges, "
					  "not %zu",
					  (unsigned int)RANGES(caps), trace->range_count);
	if (trace->cr3 != XENPT_CR3_ANY && !(caps & XENPT_CAP_CR3_FILTER))
		option = "--cr3: this CPU cannot filter by CR3 "
			 "(CPUID.14H:EBX[0])";
	else if (trace->range_count && !RANGES(caps))
		option = "--filter: this CPU cannot filter by address "
			 "(CPUID.14H:EBX[2])";
	else if (trace->mtc >= 0 && !(caps & XENPT_CAP_MTC))
		option = "--mtc: this CPU has no MTC packets (CPUID.14H:EBX[3])";
	else if (trace->cyc >= 0 && !(caps & XENPT_CAP_CYC))
		option = "--cyc: this CPU has no CYC packets (CPUID.14H:EBX[1])";
	else if (trace->ptw && !(caps & XENPT_CAP_PTWRITE))
		option = "--ptw: this CPU has no PTW packets (CPUID.14H:EBX[4])";
	else if (trace->insns && caps & XENPT_CAP_EPT)
		option = "--insns: this CPU has PT, and does not count instructions: "
			 "give --duration or --max-size";
	else if (trace->lossless && (caps & LOSSLESS_CAPS) != LOSSLESS_CAPS)
		option = "--lossless: this CPU does not tell when a part of a buffer "
			 "is full (CPUID.14H:ECX[1], and its interrupt)";
	if (!option)
		return NULL;
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "%s", option);
}
