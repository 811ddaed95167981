/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has each write of CR3 by a guest exit, as programs do that introspect it: Xen asks here
 * first, by its vm_event ring, and the write is done, or not, when the answer has come.
 *
 *	rig-monitor DOMAIN cr3 [deny=N]		N: each N-th is denied, from 2 on
 *
 * Says "watches" when it does. Ends by SIGTERM or SIGINT, or with the domain, says how
 * many it answered, and leaves the domain as it was.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include "hv/xen-list.h"
#include "libxenpt/cleanup.h"

#include <xen/vm_event.h>

#define LOOK_MS 1000 /* whether the domain is still there */

struct monitor {
	struct xen_host *host;
	uint32_t domid;
	xenevtchn_handle *evtchn;
	evtchn_port_t port; /* here; 0: not bound */
	void *page;         /* NULL: not enabled */
	vm_event_back_ring_t ring;
	bool watches;
	uint64_t deny; /* 0: none */
	uint64_t answered, denied;
};

/* ---- answers ------------------------------------------------------------- */

static void answer(struct monitor *monitor, const vm_event_request_t *request)
{
	vm_event_response_t response = {
		.version = VM_EVENT_INTERFACE_VERSION,
		.flags = request->flags & VM_EVENT_FLAG_VCPU_PAUSED,
		.reason = request->reason,
		.vcpu_id = request->vcpu_id,
	};

	if (request->reason == VM_EVENT_REASON_WRITE_CTRLREG) {
		monitor->answered++;
		/* Xen looks here for what to deny. */
		response.u.write_ctrlreg.index = request->u.write_ctrlreg.index;
		if (monitor->deny && monitor->answered % monitor->deny == 0) {
			response.flags |= VM_EVENT_FLAG_DENY;
			monitor->denied++;
		}
	}
	*RING_GET_RESPONSE(&monitor->ring, monitor->ring.rsp_prod_pvt) = response;
	monitor->ring.rsp_prod_pvt++;
}

/* All that are there. A wrong version is the caller's end. */
static struct xenpt_error *answer_all(struct monitor *monitor)
{
	vm_event_back_ring_t *ring = &monitor->ring;
	vm_event_request_t request;
	bool any = false;

	while (RING_HAS_UNCONSUMED_REQUESTS(ring)) {
		memcpy(&request, RING_GET_REQUEST(ring, ring->req_cons), sizeof(request));
		ring->req_cons++;
		ring->sring->req_event = ring->req_cons + 1;
		if (request.version != VM_EVENT_INTERFACE_VERSION)
			return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
						  "vm_event version %" PRIu32,
						  request.version);
		answer(monitor, &request);
		any = true;
	}
	if (!any)
		return NULL;
	RING_PUSH_RESPONSES(ring);
	if (xenevtchn_notify(monitor->evtchn, monitor->port) < 0)
		return xenpt_error_os(errno, "event channel");
	return NULL;
}

/* ---- begin and end ------------------------------------------------------- */

/* Without it a register has its new value before Xen asks, and what is denied is done. */
static struct xenpt_error *wait_with_writes(struct monitor *monitor)
{
	struct xen_domctl domctl = {
		.cmd = XEN_DOMCTL_monitor_op,
		.domain = (domid_t)monitor->domid,
		.u.monitor_op.op = XEN_DOMCTL_MONITOR_OP_CONTROL_REGISTERS,
	};

	if (xen_calls->xc_domctl(monitor->host->xc, &domctl) < 0)
		return xen_host_error(monitor->host, errno, "writes that wait");
	return NULL;
}

static struct xenpt_error *begin(struct monitor *monitor)
{
	xc_interface *xc = monitor->host->xc;
	xenevtchn_port_or_error_t port;
	uint32_t remote;

	monitor->evtchn = xenevtchn_open(NULL, 0);
	if (!monitor->evtchn)
		return xenpt_error_os(errno, "event channels");
	monitor->page = xc_monitor_enable(xc, monitor->domid, &remote);
	if (!monitor->page)
		return xen_host_error(monitor->host, errno, "the monitor ring");
	SHARED_RING_INIT((vm_event_sring_t *)monitor->page);
	BACK_RING_INIT(&monitor->ring, (vm_event_sring_t *)monitor->page, XC_PAGE_SIZE);
	port = xenevtchn_bind_interdomain(monitor->evtchn, monitor->domid, remote);
	if (port < 0)
		return xenpt_error_os(errno, "event channel");
	monitor->port = port;
	if (monitor->deny)
		XENPT_TRY(wait_with_writes(monitor));
	if (xc_monitor_write_ctrlreg(xc, monitor->domid, VM_EVENT_X86_CR3, true, true, 0,
				     false) < 0)
		return xen_host_error(monitor->host, errno, "writes of CR3");
	monitor->watches = true;
	return NULL;
}

/*
 * Nobody may wait for an answer that does not come any more: so the domain is held, no
 * new event begins, and those that did are answered.
 */
static void end(struct monitor *monitor)
{
	xc_interface *xc = monitor->host ? monitor->host->xc : NULL;

	if (monitor->watches) {
		bool held = xc_domain_pause(xc, monitor->domid) == 0;

		xc_monitor_write_ctrlreg(xc, monitor->domid, VM_EVENT_X86_CR3, false,
					 true, 0, false);
		xenpt_error_destroy(answer_all(monitor));
		if (held)
			xc_domain_unpause(xc, monitor->domid);
	}
	if (monitor->page) {
		munmap(monitor->page, XC_PAGE_SIZE);
		xc_monitor_disable(xc, monitor->domid);
	}
	if (monitor->port)
		xenevtchn_unbind(monitor->evtchn, monitor->port);
	if (monitor->evtchn)
		xenevtchn_close(monitor->evtchn);
	xen_host_destroy(monitor->host);
}

/* ---- between them -------------------------------------------------------- */

static bool is_over(const struct monitor *monitor)
{
	const uint32_t ends = XEN_DOMINF_dying | XEN_DOMINF_shutdown;
	xc_domaininfo_t info;

	return xc_domain_getinfolist(monitor->host->xc, monitor->domid, 1, &info) != 1 ||
	       info.domain != monitor->domid || info.flags & ends;
}

static struct xenpt_error *take_event(struct monitor *monitor)
{
	xenevtchn_port_or_error_t port = xenevtchn_pending(monitor->evtchn);

	if (port < 0 || xenevtchn_unmask(monitor->evtchn, port) < 0)
		return xenpt_error_os(errno, "event channel");
	return answer_all(monitor);
}

static struct xenpt_error *watch(struct monitor *monitor, int signals)
{
	struct pollfd fds[] = {
		{ .fd = xenevtchn_fd(monitor->evtchn), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	printf("watches\n");
	fflush(stdout);
	for (;;) {
		int count = poll(fds, 2, LOOK_MS);

		if (count < 0 && errno != EINTR)
			return xenpt_error_os(errno, "poll");
		if (count > 0 && fds[1].revents)
			return NULL;
		if (count > 0)
			XENPT_TRY(take_event(monitor));
		else if (is_over(monitor))
			return NULL;
	}
}

static struct xenpt_error *open_signals(int *ret)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return xenpt_error_os(errno, "signals");
	*ret = signalfd(-1, &set, SFD_CLOEXEC);
	return *ret < 0 ? xenpt_error_os(errno, "signals") : NULL;
}

static struct xenpt_error *monitor_run(struct monitor *monitor, const char *name)
{
	_cleanup_close_ int signals = -1;
	xc_domaininfo_t info;

	XENPT_TRY(open_signals(&signals));
	XENPT_TRY(xen_host_create(&monitor->host));
	XENPT_TRY(xen_find(monitor->host, name, &info));
	monitor->domid = info.domain;
	XENPT_TRY(begin(monitor));
	return watch(monitor, signals);
}

static bool take_deny(const char *text, uint64_t *ret)
{
	char *rest;

	if (strncmp(text, "deny=", 5) != 0)
		return false;
	*ret = strtoull(text + 5, &rest, 10);
	/* With 1 no guest would get on. */
	return *ret >= 2 && !*rest;
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct xenpt_error *err = NULL;
	struct monitor monitor = {};

	if (argc < 3 || argc > 4 || strcmp(argv[2], "cr3") != 0 ||
	    (argc == 4 && !take_deny(argv[3], &monitor.deny))) {
		fprintf(stderr, "rig-monitor DOMAIN cr3 [deny=N], N from 2 on\n");
		return 2;
	}
	err = xenpt_error_prepend(monitor_run(&monitor, argv[1]), "%s", argv[1]);
	end(&monitor);
	printf("%" PRIu64 " writes of CR3 answered, %" PRIu64 " denied\n",
	       monitor.answered, monitor.denied);
	if (err)
		fprintf(stderr, "rig-monitor: %s\n", err->message);
	return err != NULL;
}
