/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the way of recording, as Xen and its control domain know it. */
#ifndef HV_XEN_CHECK_H
#define HV_XEN_CHECK_H

#include "hv/xen-host.h"

/* hv_ops's check. */
struct xenpt_error *xen_check(const char *domain, hv_finding_fn *fn, void *arg);

/* ---- For its parts ------------------------------------------------------- */

struct xen_check {
	hv_finding_fn *fn;
	void *arg;
	struct xen_host *host;
	uint32_t capabilities; /* XEN_SYSCTL_PHYSCAP_* */
	bool patched;          /* Xen has hv/xen, … */
	uint64_t caps;         /* … and this is XENPT_CAP_* */
	bool soft;             /* it steps */
	bool bad;              /* some finding was */
	bool no_vmtrace;       /* nothing is to be said of trace buffers */
	bool no_sizes;         /* … nor asked of dom0's kernel */
};

struct xenpt_error *xen_check_say(struct xen_check *check, enum hv_level level,
				  const char *what, const char *remedy, const char *found,
				  ...) XENPT_PRINTF(5, 6);

/* A call failed with @errnum: what was tried, and what to do about it. */
struct xenpt_error *xen_check_failed(struct xen_check *check, enum hv_level level,
				     const char *what, int errnum, const char *tried);

/* xen-check-domain.c: all about @info, which is there. */
struct xenpt_error *xen_check_domain(struct xen_check *check,
				     const xc_domaininfo_t *info);

#endif
