/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Xen with hv/xen as a back-end: "vpt". Guests that run already, any size of buffer,
 * filters, fine time, and vCPUs that wait while nobody has read.
 *
 *	frames, limit ─▶ setup ─▶ filter ─▶ enable … disable ─▶ teardown ─▶ frames, limit
 *
 * Each of Xen's calls about a vCPU holds it while it lasts. The guest's kernel can write
 * to tables and trace, which is found as far as it can be: buffer_is_intact().
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "hv/pt/topa.h"
#include "hv/trace-ctl.h"
#include "hv/vmtrace.h"
#include "hv/vpt.h"
#include "hv/xen-frames.h"

/* What Xen takes of a vCPU. */
#define SIZE_MAX_OF_XEN ((uint64_t)XENPT_PAGES_MAX * BUFFER_PAGE)

/* A lossless ring has so many regions at least: setup. */
#define LOSSLESS_MIN (4 * (uint64_t)BUFFER_PAGE)

static int op(struct xen_domain *xen, uint32_t vcpu, uint32_t cmd, uint64_t *key,
	      uint64_t *value)
{
	return vpt_op(xen->host->xc, xen->domid, vcpu, cmd, key, value);
}

static struct xenpt_error *vpt_open(struct xen_domain *xen)
{
	uint32_t count = xen->info.vcpus;
	uint64_t version = 0;
	struct vpt *vpt;

	if (count > XEN_GUARD_VCPUS)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "it has %u vCPUs",
					  count);
	vpt = calloc(1, sizeof(*vpt) + count * sizeof(vpt->buffers[0]));
	if (!vpt)
		return xenpt_error_no_memory();
	vpt->count = vpt->told = count;
	vpt_events_init(&vpt->events);
	xen->trace = vpt;
	if (op(xen, 0, XEN_DOMCTL_vmtrace_xenpt_caps, &version, &vpt->caps) < 0)
		return vpt_failed(xen, 0, errno, "cannot tell how it can be traced");
	if (!(vpt->caps & XENPT_CAP_EPT))
		xen->domain.mode = HV_MODE_SOFTWARE;
	return NULL;
}

/* ---- One vCPU ------------------------------------------------------------ */

static struct xenpt_error *enable(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = &vpt_of(xen)->buffers[vcpu];
	uint64_t ctl = hv_trace_ctl(&vpt_of(xen)->trace);

	if (op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_enable, NULL, &ctl) < 0)
		return vpt_failed(xen, vcpu, errno, "cannot switch its trace on");
	buffer->enabled = true;
	buffer->final = false;
	buffer->last = (struct hv_position){};
	return NULL;
}

/* Off, though nothing of its own has ended it. */
static bool is_switched_off(struct xen_domain *xen, uint32_t vcpu)
{
	uint64_t own = XPT_STATUS_STOPPED | XPT_STATUS_ERROR | XENPT_STATUS_FAULT |
		       XENPT_STATUS_SPENT | XENPT_STATUS_ON;
	uint64_t total = 0, status = 0;

	return op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_status, &total, &status) == 0 &&
	       !(status & own);
}

static struct xenpt_error *disable(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = &vpt_of(xen)->buffers[vcpu];
	bool off;

	if (!buffer->enabled)
		return NULL;
	off = !xen->gone && is_switched_off(xen, vcpu);
	if (!xen->gone && !off &&
	    op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_disable, NULL, NULL) < 0) {
		int errnum = errno;

		if (!xen_domain_is_gone(xen))
			return vpt_failed(xen, vcpu, errnum,
					  "cannot switch its trace off");
	}
	buffer->enabled = false;
	if (off)
		return xenpt_error_create(
			XENPT_ERROR_INVALID,
			"vCPU %u: another program has switched its trace off", vcpu);
	return NULL;
}

/* ---- All of them --------------------------------------------------------- */

/* The first error counts, but keeps no other vCPU from being stopped. */
static struct xenpt_error *stop_all(struct xen_domain *xen)
{
	struct xenpt_error *first = NULL, *err;

	for (uint32_t i = 0; i < vpt_of(xen)->count; i++) {
		err = disable(xen, i);
		if (first)
			xenpt_error_destroy(err);
		else
			first = err;
	}
	return first;
}

static bool tear_down_all(struct xen_domain *xen)
{
	bool all = true;

	for (uint32_t i = 0; i < vpt_of(xen)->count; i++)
		all = vpt_buffer_tear_down(xen, i) && all;
	return all;
}

/*
 * Frames that Xen still writes to are not taken away: what is left so, after a second
 * try, is the guard's.
 */
static void undo_all(struct xen_domain *xen)
{
	struct xen_guard_list *list = xen->guard->list;
	xc_interface *xc = xen->host->xc;

	for (int i = 0; i < 2; i++) {
		if (!tear_down_all(xen) || xen->gone)
			continue;
		if (xen_frames_give_back(xc, list))
			xen_frames_restore_limit(xc, list);
	}
	for (uint32_t i = 0; i < vpt_of(xen)->count; i++)
		vpt_buffer_forget(xen, &vpt_of(xen)->buffers[i]);
	vpt_events_close(&vpt_of(xen)->events);
}

static void vpt_close(struct xen_domain *xen)
{
	if (!vpt_of(xen))
		return;
	undo_all(xen);
	free(vpt_of(xen));
	free(xen->domain.size_note);
	xen->domain.size_note = NULL;
	xen->trace = NULL;
}

/* ---- Starting ------------------------------------------------------------ */

static uint32_t chosen(const struct hv_trace *trace, size_t i)
{
	return trace->vcpus ? trace->vcpus[i] : (uint32_t)i;
}

static struct xenpt_error *note_size(struct xen_domain *xen)
{
	free(xen->domain.size_note);
	if (asprintf(&xen->domain.size_note,
		     "the buffers have %" PRIu64 " MiB each, which is the most",
		     SIZE_MAX_OF_XEN >> 20) >= 0)
		return NULL;
	xen->domain.size_note = NULL;
	return xenpt_error_no_memory();
}

/* Where all buffers will be; nothing is done yet. *@ret: pages in all. */
static struct xenpt_error *place_all(struct xen_domain *xen, const struct hv_trace *trace,
				     size_t count, uint64_t *ret)
{
	struct buffer_layout layout = { .size = trace->size, .interrupt_each = true };
	struct vpt *vpt = vpt_of(xen);
	uint64_t pages = 0, one = BUFFER_PAGE;
	struct vpt_place place;

	if (layout.size > SIZE_MAX_OF_XEN) {
		XENPT_TRY(note_size(xen));
		layout.size = SIZE_MAX_OF_XEN;
	}
	if (trace->lossless && layout.size < LOSSLESS_MIN)
		layout.size = LOSSLESS_MIN;
	/* A table with one region: its size is a power of two. */
	if (!(vpt->caps & XENPT_CAP_TOPA_MULTI)) {
		while (one < layout.size)
			one *= 2;
		layout.sizes = &one;
		layout.size_count = 1;
	}
	XENPT_TRY(vpt_place_init(xen, &place));
	for (size_t i = 0; i < count; i++) {
		uint32_t vcpu = chosen(trace, i);

		if (vcpu >= vpt->count)
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "%s has no vCPU %u", xen->info.name,
						  vcpu);
		if (vpt->buffers[vcpu].layout)
			continue;
		XENPT_TRY(vpt_place_buffer(xen, &place, &layout,
					   &vpt->buffers[vcpu].layout));
		pages += vpt_buffer_pages(vpt->buffers[vcpu].layout);
	}
	*ret = pages;
	return NULL;
}

static struct xenpt_error *open_events(struct xen_domain *xen, uint32_t vcpu)
{
	uint64_t port = 0;

	if (op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_evtchn, NULL, &port) < 0)
		return vpt_failed(xen, vcpu, errno, "cannot tell its event channel");
	return vpt_events_open(xen, &vpt_of(xen)->events, (uint32_t)port);
}

static struct xenpt_error *for_each(struct xen_domain *xen,
				    struct xenpt_error *(*fn)(struct xen_domain *xen,
							      uint32_t vcpu))
{
	for (uint32_t i = 0; i < vpt_of(xen)->count; i++) {
		if (vpt_of(xen)->buffers[i].layout)
			XENPT_TRY(fn(xen, i));
	}
	return NULL;
}

static struct xenpt_error *start_all(struct xen_domain *xen, const struct hv_trace *trace)
{
	size_t count = trace->vcpus ? trace->vcpu_count : vpt_of(xen)->count;
	uint64_t pages;

	if (!count)
		return NULL;
	if (trace->catch_triple_fault)
		XENPT_TRY(xen_triple_fault_catch(xen));
	XENPT_TRY(place_all(xen, trace, count, &pages));
	XENPT_TRY(xen_frames_raise_limit(xen, pages));
	XENPT_TRY(for_each(xen, vpt_buffer_make));
	XENPT_TRY(for_each(xen, vpt_buffer_set_up));
	XENPT_TRY(open_events(xen, chosen(trace, 0)));
	return for_each(xen, enable);
}

/* Of a trace before it nothing is left. */
static bool is_free(const struct xen_domain *xen)
{
	const struct xen_guard_list *list = xen->guard->list;

	if (list->limit_set)
		return false;
	for (size_t i = 0; i < XEN_GUARD_RUNS; i++) {
		if (list->runs[i].count)
			return false;
	}
	return true;
}

static struct xenpt_error *vpt_start(struct hv_domain *domain,
				     const struct hv_trace *trace)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct vpt *vpt = vpt_of(xen);
	struct xenpt_error *err;

	XENPT_TRY(vpt_check_trace(vpt->caps, trace));
	undo_all(xen);
	if (!is_free(xen))
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "the trace before could not be undone");
	vpt->trace = *trace;
	vpt->trace.vcpus = NULL;
	vpt->told = vpt->count;
	err = start_all(xen, trace);
	if (!err)
		return NULL;
	undo_all(xen);
	xenpt_error_destroy(xen_triple_fault_restore(xen));
	return err;
}

/* Its buffers stay until close(): they are still to be read. */
static struct xenpt_error *vpt_stop(struct hv_domain *domain)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct xenpt_error *err, *next;

	err = stop_all(xen);
	next = xen_triple_fault_restore(xen);
	/* A domain that is not there has no parameters. */
	if (err || xen->gone)
		xenpt_error_destroy(next);
	else
		err = next;
	return err;
}

/* ---- While it runs ------------------------------------------------------- */

static struct xenpt_error *find_buffer(struct xen_domain *xen, uint32_t vcpu,
				       struct vpt_buffer **ret)
{
	if (vcpu >= vpt_of(xen)->count || !vpt_of(xen)->buffers[vcpu].ring)
		return xenpt_error_create(XENPT_ERROR_INVALID, "vCPU %u is not traced",
					  vcpu);
	*ret = &vpt_of(xen)->buffers[vcpu];
	return NULL;
}

static const uint8_t *vpt_buffer(struct hv_domain *domain, uint32_t vcpu,
				 size_t *size_ret)
{
	struct vpt *vpt = vpt_of(xen_domain_of(domain));

	if (vcpu >= vpt->count || !vpt->buffers[vcpu].ring)
		return NULL;
	*size_ret = vpt->buffers[vcpu].layout->size;
	return vpt->buffers[vcpu].ring;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

/* What Xen says of a vCPU, which may have run on between the first and the last. */
struct answer {
	uint64_t total, status; /* before … */
	uint64_t base, pointers;
	uint64_t after; /* … and after: total */
};

static int ask(struct xen_domain *xen, uint32_t vcpu, struct answer *ret)
{
	uint64_t status;

	if (op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_status, &ret->total, &ret->status) <
		    0 ||
	    op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_position, &ret->base, &ret->pointers) <
		    0)
		return -1;
	ret->after = ret->total;
	if (!(ret->status & XENPT_STATUS_TOTAL))
		return 0;
	return op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_status, &ret->after, &status);
}

/*
 * The total counts what the CPU put out, wherever the tables sent it: it says where in
 * the ring that is only as long as they are ours, and the MSRs agree.
 */
static bool take_answer(struct vpt_buffer *buffer, const struct answer *answer)
{
	const struct buffer *layout = buffer->layout;
	struct hv_position *last = &buffer->last;
	uint64_t offset, ahead;

	if (!buffer_is_intact(layout, buffer->tables) ||
	    !buffer_offset(layout, answer->base, answer->pointers, &offset))
		return false;
	offset %= layout->size;
	last->has_total = answer->status & XENPT_STATUS_TOTAL;
	if (!last->has_total) {
		last->total = offset;
		return true;
	}
	ahead = (offset + layout->size - answer->total % layout->size) % layout->size;
	if (answer->total < last->total || answer->after < answer->total ||
	    ahead > answer->after - answer->total)
		return false;
	last->total = answer->total;
	return true;
}

static struct xenpt_error *ask_position(struct xen_domain *xen, uint32_t vcpu,
					struct vpt_buffer *buffer)
{
	bool ended = xen->info.state == HV_CRASHED || xen->info.state == HV_ENDED;
	struct answer answer = {};
	uint64_t began = now_ns();

	if (ask(xen, vcpu, &answer) < 0) {
		int errnum = errno;

		return xen_domain_is_gone(xen)
			       ? NULL
			       : vpt_failed(xen, vcpu, errnum,
					    "cannot tell where its trace is");
	}
	xen->domain.position_cost =
		vmtrace_cost(xen->domain.position_cost, now_ns() - began);
	/* Empty and full look the same. */
	if (vpt_of(xen)->trace.lossless && !(answer.status & XENPT_STATUS_TOTAL))
		return xenpt_error_create(XENPT_ERROR_FORMAT,
					  "vCPU %u: --lossless: the hypervisor does not "
					  "count its trace",
					  vcpu);
	buffer->last.stopped = answer.status & XPT_STATUS_STOPPED;
	buffer->last.error = answer.status & XPT_STATUS_ERROR;
	buffer->last.fault = answer.status & XENPT_STATUS_FAULT;
	buffer->last.done = answer.status & XENPT_STATUS_SPENT;
	if (!take_answer(buffer, &answer))
		buffer->last.tampered = true;
	buffer->final = ended || !buffer->enabled;
	return NULL;
}

static struct xenpt_error *vpt_position(struct hv_domain *domain, uint32_t vcpu,
					struct hv_position *ret)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct vpt_buffer *buffer;

	XENPT_TRY(find_buffer(xen, vcpu, &buffer));
	if (!xen->gone && (buffer->enabled || !buffer->final))
		XENPT_TRY(ask_position(xen, vcpu, buffer));
	buffer->last.gone = xen->gone && !buffer->final;
	*ret = buffer->last;
	return NULL;
}

/* Without --lossless nobody waits, and the vCPU is not held for it. */
static struct xenpt_error *vpt_consume(struct hv_domain *domain, uint32_t vcpu,
				       uint64_t total)
{
	struct xen_domain *xen = xen_domain_of(domain);

	if (!vpt_of(xen)->trace.lossless || xen->gone)
		return NULL;
	if (op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_consume, NULL, &total) < 0) {
		int errnum = errno;

		return xen_domain_is_gone(xen)
			       ? NULL
			       : vpt_failed(xen, vcpu, errnum, "cannot have it go on");
	}
	return NULL;
}

static struct xenpt_error *vpt_restart(struct hv_domain *domain, uint32_t vcpu)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct vpt_buffer *buffer;
	bool spent = false;

	XENPT_TRY(find_buffer(xen, vcpu, &buffer));
	XENPT_TRY(disable(xen, vcpu));
	if (!xen->gone)
		XENPT_TRY(vpt_buffer_is_spent(xen, vcpu, &spent));
	if (xen->gone || spent)
		return NULL;
	if (buffer->last.fault) {
		XENPT_TRY(vpt_buffer_make_again(xen, vcpu));
	} else {
		vpt_buffer_write_tables(buffer);
		if (op(xen, vcpu, XEN_DOMCTL_vmtrace_xenpt_reset, NULL, NULL) < 0)
			return vpt_failed(xen, vcpu, errno, "cannot empty its buffer");
	}
	return xen->gone ? NULL : enable(xen, vcpu);
}

/* ---- Events -------------------------------------------------------------- */

static int vpt_fd(struct hv_domain *domain)
{
	struct xen_domain *xen = xen_domain_of(domain);

	return vpt_events_fd(xen, &vpt_of(xen)->events);
}

/* The channel is the domain's: which vCPU it was about is not told. */
static struct xenpt_error *vpt_event(struct hv_domain *domain, struct hv_event *ret)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct vpt *vpt = vpt_of(xen);
	bool told = false;

	if (vpt->told == vpt->count) {
		XENPT_TRY(xen_event(domain, ret));
		if (ret->type != HV_EVENT_NONE)
			return NULL;
		if (!xen->gone)
			XENPT_TRY(vpt_events_take(xen, &vpt->events, &told));
		if (told)
			vpt->told = 0;
	}
	*ret = (struct hv_event){ .type = HV_EVENT_NONE };
	while (vpt->told < vpt->count && ret->type == HV_EVENT_NONE) {
		if (vpt->buffers[vpt->told].enabled)
			*ret = (struct hv_event){ HV_EVENT_DATA, vpt->told };
		vpt->told++;
	}
	return NULL;
}

static const struct hv_ops vpt_ops = {
	.name = "vpt",
	.close = xen_close,
	.trace_start = vpt_start,
	.trace_stop = vpt_stop,
	.buffer = vpt_buffer,
	.position = vpt_position,
	.consume = vpt_consume,
	.restart = vpt_restart,
	.pause = xen_pause,
	.resume = xen_resume,
	.registers = xen_registers,
	.fd = vpt_fd,
	.event = vpt_event,
	.console = xen_console,
};

const struct xen_tracer vpt_tracer = {
	.ops = &vpt_ops,
	.missing = "it takes a Xen with xenpt's patch (hv/xen)",
	.can = vpt_can,
	.open = vpt_open,
	.close = vpt_close,
};
