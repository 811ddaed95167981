/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The hypervisor below this host: handles to it, and what it is. */
#ifndef HV_XEN_HOST_H
#define HV_XEN_HOST_H

#include "hv/hv.h"
#include "hv/xen-calls.h"
#include "libxenpt/cleanup.h"

struct xen_host {
	xc_interface *xc;
	xenforeignmemory_handle *fm;
	struct xs_handle *xs;   /* NULL: there is no xenstored; names are not known */
	xentoollog_logger *log; /* the libraries' own words, kept from the terminal */
	bool watching;          /* xen-watch.c: xenstored tells of ends */
};

/*
 * Whether this is a Xen host's control domain at all, without opening anything. If not,
 * *@why_ret (static) says what is missing: "/dev/xen/privcmd: …".
 */
bool xen_host_is_there(const char **why_ret);

/*
 * All handles. An error says what to do: not Xen, modprobe xen-privcmd, no permission, a
 * libxenctrl of another version than the hypervisor (EACCES).
 */
struct xenpt_error *xen_host_create(struct xen_host **ret);
void xen_host_destroy(struct xen_host *host);
XENPT_DEFINE_CLEANUP(struct xen_host, xen_host, xen_host_destroy)

/*
 * A call failed with @errnum: what was tried, what the library said of it, and what to
 * change where that is known.
 */
struct xenpt_error *xen_host_error(struct xen_host *host, int errnum, const char *fmt,
				   ...) XENPT_PRINTF(3, 4);

/* The CPU as libipt wants it, from CPUID: of a host all of whose CPUs are alike. */
void xen_host_cpu(struct xenpt_cpu *ret);

#endif
