/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stock Xen, from 4.15 on, as a back-end: "vmtrace". Each vCPU of a domain that was
 * created so has a ring of Xen's own, which the CPU writes around and around, with
 * nothing that tells of a wrap (xen/arch/x86/hvm/vmx/vmx.c, vmtrace_*()).
 *
 *	0          position                 size, a power of 2
 *	| new ......... | old ............. |
 *
 * What Xen does not check, and nothing here may do: set an option while a vCPU is
 * traced (the trace ends, and Xen thinks that it goes on), or set TraceEn as an option
 * (the CPU writes wherever its output registers happen to point). So the order is
 *
 *	get_option ─▶ set_option ─▶ reset_and_enable … disable ─▶ set_option, the old
 *
 * Each of these calls holds the vCPU while it lasts, and a lock that all domctls share.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "hv/pt/msr.h"
#include "hv/trace-ctl.h"
#include "hv/vmtrace.h"
#include "hv/vpt-op.h"
#include "libxenpt/cleanup.h"

#define PAGE 4096u

/* IA32_RTIT_OUTPUT_MASK_PTRS has 32 bits for it: SDM volume 3, "Single Range Output". */
#define RING_MAX (UINT64_C(1) << 32)

/* What Xen 4.15 to 4.23 give a domain at most, xen/arch/x86/domain.c. */
#define SIZE_LARGEST (UINT64_C(64) << 20)

/* One vCPU's. */
struct vmtrace_buffer {
	xenforeignmemory_resource_handle *resource; /* NULL: the vCPU is not traced */
	const uint8_t *ring;
	size_t size;
	uint64_t ctl; /* IA32_RTIT_CTL, … */
	bool has_ctl; /* … before it was changed */
	bool enabled;
	bool final; /* nothing is written after the last position */
	struct hv_position last;
};

struct vmtrace {
	bool patched; /* Xen has hv/xen: there is vpt, too */
	uint32_t count;
	struct vmtrace_buffer buffers[];
};

static struct vmtrace *of(struct xen_domain *xen)
{
	return xen->trace;
}

/* ---- Errors -------------------------------------------------------------- */

static struct xenpt_error *failed(int errnum, uint32_t vcpu, const char *what)
{
	const char *why = vmtrace_remedy(errnum);

	if (why)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "vCPU %u: %s: %s",
					  vcpu, what, why);
	return xenpt_error_os(errnum, "vCPU %u: %s", vcpu, what);
}

static struct xenpt_error *gone(const struct xen_domain *xen)
{
	return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "%s is not there any more",
				  xen->info.name);
}

/* Of a call that was to begin something. */
static struct xenpt_error *call_failed(struct xen_domain *xen, uint32_t vcpu,
				       const char *what)
{
	int errnum = errno;

	return xen_domain_is_gone(xen) ? gone(xen) : failed(errnum, vcpu, what);
}

static struct xenpt_error *traced_already(uint32_t vcpu)
{
	return xenpt_error_create(
		XENPT_ERROR_INVALID,
		"vCPU %u is traced already, by another program (xen-vmtrace, DRAKVUF, "
		"KF/x), or by one that was killed: end it, or else start the domain anew",
		vcpu);
}

/* ---- Life ---------------------------------------------------------------- */

static struct xenpt_error *vmtrace_open(struct xen_domain *xen)
{
	uint64_t version = 0, caps = 0;
	uint32_t count = xen->info.vcpus;
	struct vmtrace *vmtrace;

	if (count > XEN_GUARD_VCPUS)
		return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
					  "%u vCPUs: no more than %u can be traced",
					  count, XEN_GUARD_VCPUS);
	vmtrace = calloc(1, sizeof(*vmtrace) + count * sizeof(vmtrace->buffers[0]));
	if (!vmtrace)
		return xenpt_error_no_memory();
	vmtrace->count = count;
	xen->trace = vmtrace;
	/* Stock Xen does not know the question. */
	vmtrace->patched = vpt_op(xen->host->xc, xen->domid, 0,
				  XEN_DOMCTL_vmtrace_xenpt_caps, &version, &caps) == 0;
	if (caps & XENPT_CAP_STOCK_SOFT)
		xen->domain.mode = HV_MODE_SOFTWARE;
	return NULL;
}

static void unmap_ring(struct xen_domain *xen, struct vmtrace_buffer *buffer)
{
	if (buffer->resource)
		xen_calls->fm_unmap_resource(xen->host->fm, buffer->resource);
	buffer->resource = NULL;
	buffer->ring = NULL;
}

static struct xenpt_error *map_ring(struct xen_domain *xen, uint32_t vcpu)
{
	struct vmtrace_buffer *buffer = &of(xen)->buffers[vcpu];
	xenforeignmemory_handle *fm = xen->host->fm;
	void *ring = NULL;
	size_t size = 0;

	if (xen_calls->fm_resource_size(fm, xen->domid, XENMEM_resource_vmtrace_buf, vcpu,
					&size) < 0)
		return call_failed(xen, vcpu, "cannot tell the size of its buffer");
	if (size < PAGE || size > RING_MAX || size & (size - 1))
		return xenpt_error_create(
			XENPT_ERROR_FORMAT,
			"vCPU %u: its buffer is said to have %zu bytes, "
			"which is no power of 2 from 4 KiB to 4 GiB",
			vcpu, size);
	buffer->resource =
		xen_calls->fm_map_resource(fm, xen->domid, XENMEM_resource_vmtrace_buf,
					   vcpu, 0, size / PAGE, &ring, PROT_READ, 0);
	if (!buffer->resource)
		return call_failed(xen, vcpu, "cannot map its buffer");
	buffer->ring = ring;
	buffer->size = size;
	return NULL;
}

/* ---- One vCPU ------------------------------------------------------------ */

static struct xenpt_error *set_option(struct xen_domain *xen, uint32_t vcpu, uint64_t ctl)
{
	struct xen_guard_list *list = xen->guard->list;
	struct vmtrace_buffer *buffer = &of(xen)->buffers[vcpu];
	xc_interface *xc = xen->host->xc;
	uint64_t before;

	if (xen_calls->xc_vmtrace_get_option(xc, xen->domid, vcpu, XPT_MSR_CTL, &before) <
	    0)
		return call_failed(xen, vcpu, "cannot tell how it is traced");
	if (before & XPT_CTL_TRACE_EN)
		return traced_already(vcpu);
	buffer->ctl = list->ctl[vcpu] = before;
	buffer->has_ctl = list->ctl_set[vcpu] = true;
	if (xen_calls->xc_vmtrace_set_option(xc, xen->domid, vcpu, XPT_MSR_CTL, ctl) < 0)
		return call_failed(xen, vcpu, "cannot say how to trace it");
	return NULL;
}

/* Unless another program has begun to trace it: then it is that one's. */
static struct xenpt_error *put_option_back(struct xen_domain *xen, uint32_t vcpu)
{
	struct vmtrace_buffer *buffer = &of(xen)->buffers[vcpu];
	xc_interface *xc = xen->host->xc;
	uint64_t now = 0;
	bool ok;

	if (!buffer->has_ctl || buffer->enabled)
		return NULL;
	ok = xen->gone || xen_calls->xc_vmtrace_get_option(xc, xen->domid, vcpu,
							   XPT_MSR_CTL, &now) == 0;
	if (ok && !xen->gone && !(now & XPT_CTL_TRACE_EN))
		ok = xen_calls->xc_vmtrace_set_option(xc, xen->domid, vcpu, XPT_MSR_CTL,
						      buffer->ctl) == 0;
	if (!ok) {
		int errnum = errno;

		if (!xen_domain_is_gone(xen))
			return failed(errnum, vcpu, "cannot put its options back");
	}
	buffer->has_ctl = xen->guard->list->ctl_set[vcpu] = false;
	return NULL;
}

static struct xenpt_error *enable(struct xen_domain *xen, uint32_t vcpu)
{
	volatile bool *listed = &xen->guard->list->traced[vcpu];
	struct vmtrace_buffer *buffer = &of(xen)->buffers[vcpu];
	xc_interface *xc = xen->host->xc;
	int errnum;

	*listed = true;
	if (xen_calls->xc_vmtrace_reset_and_enable(xc, xen->domid, vcpu) == 0) {
		buffer->enabled = true;
		buffer->final = false;
		buffer->last = (struct hv_position){};
		return NULL;
	}
	errnum = errno;
	/* What it did, and could not say, is undone; but not what another one did. */
	if (errnum != EINVAL)
		xen_calls->xc_vmtrace_disable(xc, xen->domid, vcpu);
	*listed = false;
	if (xen_domain_is_gone(xen))
		return gone(xen);
	return errnum == EINVAL ? traced_already(vcpu)
				: failed(errnum, vcpu, "cannot switch its trace on");
}

/* Xen's EINVAL of disable() may mean that it is off, or that something else is wrong. */
static bool is_off(struct xen_domain *xen, uint32_t vcpu)
{
	uint64_t now = XPT_CTL_TRACE_EN;

	return xen_calls->xc_vmtrace_get_option(xen->host->xc, xen->domid, vcpu,
						XPT_MSR_CTL, &now) == 0 &&
	       !(now & XPT_CTL_TRACE_EN);
}

static struct xenpt_error *disable(struct xen_domain *xen, uint32_t vcpu)
{
	struct vmtrace_buffer *buffer = &of(xen)->buffers[vcpu];
	struct xenpt_error *err = NULL;

	if (!buffer->enabled)
		return NULL;
	if (!xen->gone &&
	    xen_calls->xc_vmtrace_disable(xen->host->xc, xen->domid, vcpu) < 0) {
		int errnum = errno;
		bool is_gone = xen_domain_is_gone(xen);

		if (!is_gone && !(errnum == EINVAL && is_off(xen, vcpu)))
			return failed(errnum, vcpu, "cannot switch its trace off");
		if (!is_gone)
			err = xenpt_error_create(
				XENPT_ERROR_INVALID,
				"vCPU %u: another program has switched its trace off",
				vcpu);
	}
	buffer->enabled = xen->guard->list->traced[vcpu] = false;
	return err;
}

static struct xenpt_error *start_vcpu(struct xen_domain *xen, uint32_t vcpu, uint64_t ctl)
{
	if (vcpu >= of(xen)->count)
		return xenpt_error_create(XENPT_ERROR_INVALID, "%s has no vCPU %u",
					  xen->info.name, vcpu);
	if (of(xen)->buffers[vcpu].enabled)
		return NULL;
	if (!of(xen)->buffers[vcpu].resource)
		XENPT_TRY(map_ring(xen, vcpu));
	XENPT_TRY(set_option(xen, vcpu, ctl));
	return enable(xen, vcpu);
}

/* ---- All of them ----------------------------------------------------------- */

/* What goes wrong with one keeps no other from being stopped: the first error counts. */
static struct xenpt_error *stop_all(struct xen_domain *xen)
{
	struct xenpt_error *first = NULL, *err;

	for (uint32_t i = 0; i < of(xen)->count; i++) {
		err = disable(xen, i) ?: put_option_back(xen, i);
		if (first)
			xenpt_error_destroy(err);
		else
			first = err;
	}
	return first;
}

/* Once more, for what a first try has left; what is left then is the guard's. */
static void undo_all(struct xen_domain *xen)
{
	for (int i = 0; i < 2; i++)
		xenpt_error_destroy(stop_all(xen));
	for (uint32_t i = 0; i < of(xen)->count; i++)
		unmap_ring(xen, &of(xen)->buffers[i]);
}

static void vmtrace_close(struct xen_domain *xen)
{
	if (!of(xen))
		return;
	undo_all(xen);
	free(of(xen));
	free(xen->domain.size_note);
	xen->domain.size_note = NULL;
	xen->trace = NULL;
}

static struct xenpt_error *check_trace(const struct vmtrace *vmtrace,
				       const struct hv_trace *trace)
{
	const char *option = NULL;

	if (trace->cr3 != XENPT_CR3_ANY)
		option = "--cr3";
	else if (trace->range_count)
		option = "--filter";
	else if (trace->mtc >= 0)
		option = "--mtc";
	else if (trace->cyc >= 0)
		option = "--cyc";
	else if (trace->ptw)
		option = "--ptw";
	else if (trace->lossless)
		option = "--lossless";
	else if (trace->insns)
		option = "--insns";
	else if (trace->no_pip)
		option = "--no-pip";
	if (!option)
		return NULL;
	return xenpt_error_create(
		XENPT_ERROR_UNSUPPORTED,
		"%s: stock Xen's vmtrace cannot do that: it takes %s", option,
		vmtrace->patched ? "--backend vpt" : "Xen with xenpt's patch (hv/xen)");
}

static struct xenpt_error *start_all(struct xen_domain *xen, const struct hv_trace *trace)
{
	size_t count = trace->vcpus ? trace->vcpu_count : of(xen)->count;

	if (trace->catch_triple_fault)
		XENPT_TRY(xen_triple_fault_catch(xen));
	for (size_t i = 0; i < count; i++)
		XENPT_TRY(start_vcpu(xen, trace->vcpus ? trace->vcpus[i] : (uint32_t)i,
				     hv_trace_ctl(trace)));
	return NULL;
}

/* What would give it @size; Xen takes powers of 2 (arch_sanitise_domain_config()). */
static struct xenpt_error *note_size(struct xen_domain *xen, uint64_t size)
{
	uint64_t kb = 4, is = 0;
	char *note;

	for (uint32_t i = 0; i < of(xen)->count; i++) {
		if (of(xen)->buffers[i].resource)
			is = of(xen)->buffers[i].size;
	}
	if (size == is)
		return NULL;
	while (kb << 10 < size && kb < SIZE_LARGEST >> 10)
		kb *= 2;
	if (asprintf(&note,
		     "the buffers of %s have %" PRIu64 " KiB each, since it was created: "
		     "for others put \"vmtrace_buf_kb = %" PRIu64
		     "\" into its xl.cfg, and "
		     "start it anew",
		     xen->info.name, is >> 10, kb) < 0)
		return xenpt_error_no_memory();
	free(xen->domain.size_note);
	xen->domain.size_note = note;
	return NULL;
}

static struct xenpt_error *vmtrace_start(struct hv_domain *domain,
					 const struct hv_trace *trace)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct xenpt_error *err;

	XENPT_TRY(check_trace(of(xen), trace));
	err = start_all(xen, trace) ?: note_size(xen, trace->size);
	if (!err)
		return NULL;
	undo_all(xen);
	xenpt_error_destroy(xen_triple_fault_restore(xen));
	return err;
}

static struct xenpt_error *vmtrace_stop(struct hv_domain *domain)
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

static struct vmtrace_buffer *find_buffer(struct xen_domain *xen, uint32_t vcpu)
{
	if (vcpu >= of(xen)->count || !of(xen)->buffers[vcpu].resource)
		return NULL;
	return &of(xen)->buffers[vcpu];
}

static const uint8_t *vmtrace_buffer(struct hv_domain *domain, uint32_t vcpu,
				     size_t *size_ret)
{
	const struct vmtrace_buffer *buffer = find_buffer(xen_domain_of(domain), vcpu);

	if (!buffer)
		return NULL;
	*size_ret = buffer->size;
	return buffer->ring;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

static struct xenpt_error *ask_position(struct xen_domain *xen, uint32_t vcpu,
					struct vmtrace_buffer *buffer)
{
	bool ended = xen->info.state == HV_CRASHED || xen->info.state == HV_ENDED;
	uint64_t began = now_ns(), at = 0;

	if (xen_calls->xc_vmtrace_output_position(xen->host->xc, xen->domid, vcpu, &at) <
	    0) {
		int errnum = errno;

		return xen_domain_is_gone(xen)
			       ? NULL
			       : failed(errnum, vcpu, "cannot tell where its trace is");
	}
	xen->domain.position_cost =
		vmtrace_cost(xen->domain.position_cost, now_ns() - began);
	if (at >= buffer->size)
		return xenpt_error_create(
			XENPT_ERROR_FORMAT,
			"vCPU %u: its trace is said to be at %#jx, in a "
			"buffer of %#zx bytes",
			vcpu, (uintmax_t)at, buffer->size);
	buffer->last.total = at;
	buffer->final = ended || !buffer->enabled;
	return NULL;
}

static struct xenpt_error *vmtrace_position(struct hv_domain *domain, uint32_t vcpu,
					    struct hv_position *ret)
{
	struct xen_domain *xen = xen_domain_of(domain);
	struct vmtrace_buffer *buffer = find_buffer(xen, vcpu);

	if (!buffer)
		return xenpt_error_create(XENPT_ERROR_INVALID, "vCPU %u is not traced",
					  vcpu);
	if (!xen->gone && (buffer->enabled || !buffer->final))
		XENPT_TRY(ask_position(xen, vcpu, buffer));
	buffer->last.gone = xen->gone && !buffer->final;
	*ret = buffer->last;
	return NULL;
}

/* Nobody waits for room: the CPU writes on. */
static struct xenpt_error *vmtrace_consume(struct hv_domain *domain, uint32_t vcpu,
					   uint64_t total)
{
	return NULL;
}

static struct xenpt_error *vmtrace_restart(struct hv_domain *domain, uint32_t vcpu)
{
	struct xen_domain *xen = xen_domain_of(domain);

	if (!find_buffer(xen, vcpu))
		return xenpt_error_create(XENPT_ERROR_INVALID, "vCPU %u is not traced",
					  vcpu);
	XENPT_TRY(disable(xen, vcpu));
	return xen->gone ? NULL : enable(xen, vcpu);
}

static const struct hv_ops vmtrace_ops = {
	.name = "vmtrace",
	.close = xen_close,
	.trace_start = vmtrace_start,
	.trace_stop = vmtrace_stop,
	.buffer = vmtrace_buffer,
	.position = vmtrace_position,
	.consume = vmtrace_consume,
	.restart = vmtrace_restart,
	.pause = xen_pause,
	.resume = xen_resume,
	.registers = xen_registers,
	.fd = xen_fd,
	.event = xen_event,
	.console = xen_console,
};

const struct xen_tracer vmtrace_tracer = {
	.ops = &vmtrace_ops,
	.can = vmtrace_can,
	.open = vmtrace_open,
	.close = vmtrace_close,
};
