/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Xen with hv/xen as a back-end, "vpt": each vCPU puts its trace through ToPA tables
 * into frames of the guest's own, which it gets for that, and loses after it.
 *
 *	vpt-host.c	whether it can, what to ask for, what to change where it fails
 *	vpt-place.c	which guest frames
 *	vpt-buffer.c	a vCPU's tables and regions: populated, mapped, set up, undone
 *	vpt-events.c	the domain's event channel
 *	vpt.c		struct hv_ops
 */
#ifndef HV_VPT_H
#define HV_VPT_H

#include "hv/buffer.h"
#include "hv/vpt-op.h"
#include "hv/xen.h"

/* One vCPU's. */
struct vpt_buffer {
	struct buffer *layout; /* NULL: the vCPU is not traced */
	void *tables;          /* guest memory */
	uint8_t *ring;         /* all regions, one after the other; read-only */
	bool ring_is_ours;     /* nothing of the guest's could be mapped there again */
	bool set_up, enabled;
	bool final; /* nothing is written after the last position */
	struct hv_position last;
};

struct vpt_events {
	xenevtchn_handle *evtchn;
	int epoll; /* of the event channels, and xenstored's if there is one */
	int store; /* which one; -1: none */
	int port;  /* -1: none */
};

struct vpt {
	uint64_t caps;         /* XENPT_CAP_* */
	struct hv_trace trace; /* as it was started; its vcpus are not kept */
	struct vpt_events events;
	uint32_t told; /* vCPUs below it were looked at since the last event */
	uint32_t count;
	struct vpt_buffer buffers[];
};

static inline struct vpt *vpt_of(struct xen_domain *xen)
{
	return xen->trace;
}

/* ---- vpt-host.c ---------------------------------------------------------- */

/* Of struct xen_tracer. */
bool vpt_can(struct xen_host *host, const xc_domaininfo_t *info, char **why_ret);

/*
 * Why domains cannot be traced on this CPU, and what to change: @caps are XENPT_CAP_*,
 * @capabilities XEN_SYSCTL_PHYSCAP_*. NULL: they can. Software mode is for CPUs without
 * PT for guests: no guest becomes a thousand times slower that the CPU could trace.
 */
const char *vpt_why_no_cpu(uint64_t caps, uint32_t capabilities);

/* A call about a vCPU, or what was to begin with it, failed with @errnum. */
struct xenpt_error *vpt_failed(struct xen_domain *xen, uint32_t vcpu, int errnum,
			       const char *what);

/* Whether the CPU has what is asked for. */
struct xenpt_error *vpt_check_trace(uint64_t caps, const struct hv_trace *trace);

/* ---- vpt-place.c --------------------------------------------------------- */

/* Where in guest-physical space there is room: the next frame of each area. */
struct vpt_place {
	struct {
		uint64_t gfn, end;
		bool check; /* somebody else may be there */
	} areas[3];
	size_t count;
	unsigned int bits; /* of an address */
};

struct xenpt_error *vpt_place_init(struct xen_domain *xen, struct vpt_place *ret);

/* A buffer, in frames that are not there yet. */
struct xenpt_error *vpt_place_buffer(struct xen_domain *xen, struct vpt_place *place,
				     const struct buffer_layout *wanted,
				     struct buffer **ret);

/* ---- vpt-buffer.c -------------------------------------------------------- */

/* Pages that it takes. */
uint64_t vpt_buffer_pages(const struct buffer *layout);

/* Populate and map buffer->layout, and write the tables. */
struct xenpt_error *vpt_buffer_make(struct xen_domain *xen, uint32_t vcpu);
void vpt_buffer_write_tables(struct vpt_buffer *buffer);
/* Have Xen use it. */
struct xenpt_error *vpt_buffer_set_up(struct xen_domain *xen, uint32_t vcpu);
/*
 * *@ret: the budget was spent after the last look, and nothing is to begin anew. What was
 * written is lost, as if it had been reset.
 */
struct xenpt_error *vpt_buffer_is_spent(struct xen_domain *xen, uint32_t vcpu, bool *ret);
/* After a fault: pages that the guest took away are there again, and it is set up. */
struct xenpt_error *vpt_buffer_make_again(struct xen_domain *xen, uint32_t vcpu);
/* End the trace, and Xen's use of it. What fails stays as it is: false. */
bool vpt_buffer_tear_down(struct xen_domain *xen, uint32_t vcpu);
/* Unmapped, and as if it had never been; its frames are still to be given back. */
void vpt_buffer_forget(struct xen_domain *xen, struct vpt_buffer *buffer);

/* ---- vpt-events.c -------------------------------------------------------- */

void vpt_events_init(struct vpt_events *events);
struct xenpt_error *vpt_events_open(struct xen_domain *xen, struct vpt_events *events,
				    uint32_t port);
void vpt_events_close(struct vpt_events *events);
int vpt_events_fd(struct xen_domain *xen, struct vpt_events *events);
/* *@ret: there was one since. Does not wait. */
struct xenpt_error *vpt_events_take(struct xen_domain *xen, struct vpt_events *events,
				    bool *ret);

#endif
