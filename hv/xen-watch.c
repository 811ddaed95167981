/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/xen-watch.h"

#include <xen/sched.h>

#define PATH "@releaseDomain"
#define TOKEN "xenpt"

/* Of one take(): whoever makes more events than that will be heard of again. */
#define EVENTS_MAX 4096

/* ---- State --------------------------------------------------------------- */

static const struct {
	enum hv_state state;
	const char *reason, *then_destroyed;
} ends[] = {
	[SHUTDOWN_poweroff] = { HV_ENDED, "poweroff", "poweroff, then destroyed" },
	[SHUTDOWN_reboot] = { HV_ENDED, "reboot", "reboot, then destroyed" },
	[SHUTDOWN_suspend] = { HV_ENDED, "suspend", "suspend, then destroyed" },
	[SHUTDOWN_crash] = { HV_CRASHED, "crash", "crash, then destroyed" },
	[SHUTDOWN_watchdog] = { HV_CRASHED, "watchdog", "watchdog, then destroyed" },
	[SHUTDOWN_soft_reset] = { HV_CRASHED, "soft reset",
				  "soft reset, then destroyed" },
};

#define ENDS (sizeof(ends) / sizeof(ends[0]))

void xen_state_of(const xc_domaininfo_t *info, struct xen_state *ret)
{
	unsigned int code =
		info->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
	bool shutdown = info->flags & XEN_DOMINF_shutdown;

	if (info->flags & XEN_DOMINF_dying) {
		*ret = (struct xen_state){ HV_ENDED, true, "destroyed" };
		if (shutdown && code < ENDS)
			ret->reason = ends[code].then_destroyed;
	} else if (shutdown && code < ENDS) {
		*ret = (struct xen_state){ ends[code].state, false, ends[code].reason };
	} else if (shutdown) {
		*ret = (struct xen_state){ HV_ENDED, false, "unknown" };
	} else {
		*ret = (struct xen_state){ info->flags & XEN_DOMINF_paused ? HV_PAUSED
									   : HV_RUNNING,
					   false, NULL };
	}
}

struct xenpt_error *xen_state_read(struct xen_host *host, uint32_t domid,
				   const xen_domain_handle_t handle,
				   struct xen_state *ret)
{
	xc_domaininfo_t info;
	int count;

	count = xen_calls->xc_domain_getinfolist(host->xc, domid, 1, &info);
	if (count < 0)
		return xen_host_error(host, errno, "domain %u", domid);
	/* It tells of the next one, if there is none of that id. */
	if (!count || info.domain != domid ||
	    memcmp(info.handle, handle, sizeof(info.handle)) != 0)
		*ret = (struct xen_state){ HV_ENDED, true, "destroyed" };
	else
		xen_state_of(&info, ret);
	return NULL;
}

/* ---- Events -------------------------------------------------------------- */

struct xenpt_error *xen_watch_init(struct xen_host *host)
{
	if (!host->xs)
		return NULL;
	errno = 0;
	if (!xen_calls->xs_watch(host->xs, PATH, TOKEN))
		return xen_host_error(host, errno, "xenstored: cannot watch " PATH);
	host->watching = true;
	return NULL;
}

void xen_watch_deinit(struct xen_host *host)
{
	if (host->watching)
		xen_calls->xs_unwatch(host->xs, PATH, TOKEN);
	host->watching = false;
}

int xen_watch_fd(struct xen_host *host)
{
	return host->watching ? xen_calls->xs_fileno(host->xs) : -1;
}

bool xen_watch_take(struct xen_host *host)
{
	bool changed = false;

	/* Whoever is not told must ask. */
	if (!host->watching)
		return true;
	for (unsigned int i = 0; i < EVENTS_MAX; i++) {
		char **event;

		errno = 0;
		event = xen_calls->xs_check_watch(host->xs);
		if (event) {
			changed = true;
			free(event);
			continue;
		}
		/* A connection that is broken would be readable for ever. */
		if (errno != EAGAIN && errno != EINTR && errno != ENOMEM) {
			host->watching = false;
			changed = true;
		}
		break;
	}
	return changed;
}
