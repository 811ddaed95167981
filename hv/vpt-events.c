/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One descriptor for two: who waits hears of trace and of the domain's end.
 *
 *	/dev/xen/evtchn ──┐
 *	                  ├─▶ epoll ─▶ hv_ops.fd
 *	xenstored ────────┘
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "hv/vpt.h"

void vpt_events_init(struct vpt_events *events)
{
	*events = (struct vpt_events){ .epoll = -1, .store = -1, .port = -1 };
}

static struct xenpt_error *add(struct vpt_events *events, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0 || epoll_ctl(events->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return xenpt_error_os(errno, "cannot wait for event channels");
	return NULL;
}

struct xenpt_error *vpt_events_open(struct xen_domain *xen, struct vpt_events *events,
				    uint32_t port)
{
	errno = 0;
	events->evtchn = xen_calls->evtchn_open(xen->host->log, 0);
	if (!events->evtchn)
		return xen_host_error(xen->host, errno,
				      "/dev/xen/evtchn (modprobe xen-evtchn)");
	events->port =
		xen_calls->evtchn_bind_interdomain(events->evtchn, xen->domid, port);
	if (events->port < 0)
		return vpt_failed(xen, 0, errno, "cannot bind its event channel");
	events->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (events->epoll < 0)
		return xenpt_error_os(errno, "cannot wait for event channels");
	XENPT_TRY(add(events, xen_calls->evtchn_fd(events->evtchn)));
	events->store = xen_watch_fd(xen->host);
	return events->store < 0 ? NULL : add(events, events->store);
}

void vpt_events_close(struct vpt_events *events)
{
	if (events->epoll >= 0)
		close(events->epoll);
	/* What fails ends with the handle. */
	if (events->port >= 0)
		xen_calls->evtchn_unbind(events->evtchn, (evtchn_port_t)events->port);
	if (events->evtchn)
		xen_calls->evtchn_close(events->evtchn);
	vpt_events_init(events);
}

int vpt_events_fd(struct xen_domain *xen, struct vpt_events *events)
{
	if (events->epoll < 0)
		return xen_watch_fd(xen->host);
	/* A connection that broke would be readable for ever. */
	if (events->store >= 0 && !xen->host->watching) {
		epoll_ctl(events->epoll, EPOLL_CTL_DEL, events->store, NULL);
		events->store = -1;
	}
	return events->epoll;
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

struct xenpt_error *vpt_events_take(struct xen_domain *xen, struct vpt_events *events,
				    bool *ret)
{
	int fd, port;

	*ret = false;
	if (events->port < 0)
		return NULL;
	fd = xen_calls->evtchn_fd(events->evtchn);
	if (fd < 0)
		return vpt_failed(xen, 0, errno, "its event channel");
	if (!is_readable(fd))
		return NULL;
	port = xen_calls->evtchn_pending(events->evtchn);
	if (port < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	/* Before the trace is looked at: what is put out after it tells again. */
	if (port < 0 || xen_calls->evtchn_unmask(events->evtchn, (evtchn_port_t)port) < 0)
		return xen_host_error(xen->host, errno, "domain %u: its event channel",
				      xen->domid);
	*ret = port == events->port;
	return NULL;
}
