/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Xen domain, whatever traces it: what the Xen back-ends share. xen.c finds and
 * opens it, and chooses the back-end that can trace it, whose ops these are from then on.
 *
 *	hv_open() ─▶ hv_xen_ops.open ─▶ xen_domain, ops = &vmtrace_ops
 */
#ifndef HV_XEN_H
#define HV_XEN_H

#include "hv/xen-guard.h"
#include "hv/xen-host.h"
#include "hv/xen-mem.h"
#include "hv/xen-watch.h"

struct xen_domain {
	struct hv_domain domain; /* first */
	struct hv_info info;
	struct xen_host *host;
	struct xen_mem *mem;
	struct xen_guard *guard; /* undoes what is below when this program is gone */
	const struct xen_tracer *tracer; /* whose trace it is */
	uint32_t domid;
	xen_domain_handle_t handle;
	bool gone;           /* no call about it can succeed any more */
	bool news;           /* info.state has changed, and event() has not said so */
	unsigned int pauses; /* of ours */
	bool has_param;      /* HVM_PARAM_TRIPLE_FAULT_REASON was changed, … */
	uint64_t param;      /* … and was this */
	void *trace;         /* the back-end's, from its open() to its close() */
};

static inline struct xen_domain *xen_domain_of(struct hv_domain *domain)
{
	return (struct xen_domain *)domain;
}

/*
 * Whether a back-end can trace @domain, or why not and what to change: xl.cfg's line, a
 * package. *@why_ret is to be freed.
 */
struct xen_tracer {
	const struct hv_ops
		*ops;        /* the whole of it; those of xen.c where it has no own */
	const char *missing; /* what it takes, where can() says no reason */
	bool (*can)(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret);
	/* Attach: domain->trace. And undo all that is not undone. */
	struct xenpt_error *(*open)(struct xen_domain *domain);
	void (*close)(struct xen_domain *domain);
};

extern const struct xen_tracer vmtrace_tracer;
extern const struct xen_tracer vpt_tracer;

/* All, the preferred one first, the last NULL. */
extern const struct xen_tracer *const xen_tracers[];

/*
 * Which of them can trace it; NULL: none, *@why_ret (to be freed) says why. One that
 * gives no reason is not what the host is missing.
 */
const struct xen_tracer *xen_tracer_find(struct xen_host *host,
					 const xc_domaininfo_t *info, char **why_ret);

/* ---- What the ops of all back-ends share: xen.c -------------------------- */

void xen_close(struct hv_domain *domain);
struct xenpt_error *xen_pause(struct hv_domain *domain);
struct xenpt_error *xen_resume(struct hv_domain *domain);
/* All zero, mode too, where there are none: of a vCPU that is offline, of one gone. */
struct xenpt_error *xen_registers(struct hv_domain *domain, uint32_t vcpu,
				  struct xenpt_registers *ret);
int xen_fd(struct hv_domain *domain);
/* HV_EVENT_STATE, or none. */
struct xenpt_error *xen_event(struct hv_domain *domain, struct hv_event *ret);
/* The tail of Xen's own console: a guest's panic is there only where Xen says so. */
struct xenpt_error *xen_console(struct hv_domain *domain, char **ret);
/*
 * Have a triple fault count as a crash, not as a reboot, until xen_close() or
 * xen_triple_fault_restore().
 */
struct xenpt_error *xen_triple_fault_catch(struct xen_domain *domain);
struct xenpt_error *xen_triple_fault_restore(struct xen_domain *domain);

/*
 * After a call about @domain failed with errno: look whether it is gone. True: it is;
 * info->state and ->gone say so, and the failure is no error.
 */
bool xen_domain_is_gone(struct xen_domain *domain);

#endif
