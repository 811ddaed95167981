/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scripted Xen's calls have in common, and those of xen-script-trace.c. */
#ifndef XEN_SCRIPT_CALLS_H
#define XEN_SCRIPT_CALLS_H

#include "tests/unit/xen-script.h"

/* Count a call. True: it is to fail, as errno says. */
bool script_fails(const char *name);
/* -1 and NULL, with errno. */
int script_fail(int errnum);
void *script_fail_null(int errnum);
/* A domctl about a domain, counted. NULL: it fails. */
struct script_domain *script_domctl(xc_interface *xc, const char *name, uint32_t domid);

int script_enable(xc_interface *xc, uint32_t domid, uint32_t vcpu);
int script_disable(xc_interface *xc, uint32_t domid, uint32_t vcpu);
int script_reset_and_enable(xc_interface *xc, uint32_t domid, uint32_t vcpu);
int script_output_position(xc_interface *xc, uint32_t domid, uint32_t vcpu,
			   uint64_t *pos);
int script_get_option(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint64_t key,
		      uint64_t *value);
int script_set_option(xc_interface *xc, uint32_t domid, uint32_t vcpu, uint64_t key,
		      uint64_t value);
int script_maximum_gpfn(xc_interface *xc, uint32_t domid, xen_pfn_t *gpfn);
int script_setmaxmem(xc_interface *xc, uint32_t domid, uint64_t kb);
int script_populate(xc_interface *xc, uint32_t domid, unsigned long count,
		    unsigned int order, unsigned int flags, xen_pfn_t *gfns);
int script_decrease(xc_interface *xc, uint32_t domid, unsigned long count,
		    unsigned int order, xen_pfn_t *gfns);
int script_vmtrace_op(xc_interface *xc, struct xen_domctl *domctl);
size_t script_vpt_trace(struct script_domain *domain, uint32_t vcpu, const uint8_t *bytes,
			size_t size);

int script_evtchn_bind(xenevtchn_handle *handle, uint32_t domid, evtchn_port_t port);
int script_evtchn_fd(xenevtchn_handle *handle);
int script_evtchn_pending(xenevtchn_handle *handle);
int script_evtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port);
int script_evtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port);
/* The last handle is closed. */
void script_evtchn_close_all(void);

void *script_map2(xenforeignmemory_handle *fm, uint32_t domid, void *at, int prot,
		  int flags, size_t pages, const xen_pfn_t gfns[], int errs[]);
void *script_map(xenforeignmemory_handle *fm, uint32_t domid, int prot, size_t pages,
		 const xen_pfn_t gfns[], int errs[]);
int script_unmap(xenforeignmemory_handle *fm, void *at, size_t pages);
int script_resource_size(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
			 unsigned int id, size_t *size);
xenforeignmemory_resource_handle *
script_map_resource(xenforeignmemory_handle *fm, domid_t domid, unsigned int type,
		    unsigned int id, unsigned long frame, unsigned long frames, void **at,
		    int prot, int flags);
int script_unmap_resource(xenforeignmemory_handle *fm,
			  xenforeignmemory_resource_handle *resource);

#endif
