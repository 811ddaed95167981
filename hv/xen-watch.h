/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hears of a domain's end: xenstored fires "@releaseDomain" when any domain's state
 * has changed, and the hypervisor is then asked which.
 */
#ifndef HV_XEN_WATCH_H
#define HV_XEN_WATCH_H

#include "hv/xen-host.h"

/* What the hypervisor says of a domain. */
struct xen_state {
	enum hv_state state;
	bool gone; /* not there any more, or dying: its vCPUs are not to be had */
	const char *reason; /* of HV_CRASHED, HV_ENDED: "crash", "watchdog", "reboot",
			       "destroyed" …; static */
};

/* Of what the hypervisor has just said. */
void xen_state_of(const xc_domaininfo_t *info, struct xen_state *ret);

/* Ask now. A domain of that id but with another handle (UUID) is gone, too. */
struct xenpt_error *xen_state_read(struct xen_host *host, uint32_t domid,
				   const xen_domain_handle_t handle,
				   struct xen_state *ret);

struct xenpt_error *xen_watch_init(struct xen_host *host);
void xen_watch_deinit(struct xen_host *host);
/* Readable when take() may have something; -1 without a xenstored. */
int xen_watch_fd(struct xen_host *host);
/*
 * Whether any domain's state may have changed since: always true without a xenstored.
 * Does not wait.
 */
bool xen_watch_take(struct xen_host *host);

#endif
