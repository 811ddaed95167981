/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Xen does not notice that a program is gone which has paused or traced a domain. So a
 * second process waits for that, with the list of what is then to be undone in memory
 * that both share.
 *
 *	xenpt ──pipe──▶ guard: end of file ─▶ undo what is listed ─▶ exit
 */
#ifndef HV_XEN_GUARD_H
#define HV_XEN_GUARD_H

#include "hv/xen-calls.h"
#include "libxenpt/xenpt.h"

#define XEN_GUARD_VCPUS 512 /* HVM_MAX_VCPUS is 128; some builds have more */
#define XEN_GUARD_RUNS (2 * XEN_GUARD_VCPUS)

/* What is to be undone; written before it is done, and cleared after it is undone. */
struct xen_guard_list {
	uint32_t domid;
	xen_domain_handle_t handle; /* another domain of that id is left alone */
	volatile uint32_t pauses;
	volatile bool param_set; /* HVM_PARAM_TRIPLE_FAULT_REASON */
	volatile uint64_t param;
	volatile bool traced[XEN_GUARD_VCPUS];  /* xc_vmtrace_disable(), … */
	volatile bool ctl_set[XEN_GUARD_VCPUS]; /* … then IA32_RTIT_CTL is put back */
	volatile uint64_t ctl[XEN_GUARD_VCPUS];
	volatile bool set_up[XEN_GUARD_VCPUS]; /* XEN_DOMCTL_vmtrace_xenpt_teardown; … */
	struct {
		volatile uint64_t gfn, count; /* count 0: none */
	} runs[XEN_GUARD_RUNS];  /* … then frames are taken from the domain, … */
	volatile bool limit_set; /* … and its limit, in pages, is put back, … */
	volatile uint64_t limit, limit_raised; /* … if it is still this */
};

struct xen_guard {
	struct xen_guard_list *list; /* shared */
	int pipe;
	int pid;
};

struct xenpt_error *xen_guard_create(uint32_t domid, const xen_domain_handle_t handle,
				     struct xen_guard **ret);
/* It does what is still listed; returns when that is done. */
void xen_guard_destroy(struct xen_guard *guard);

/* What the guard does, also called by tests: undo all of @list. */
void xen_guard_undo(xc_interface *xc, struct xen_guard_list *list);

#endif
