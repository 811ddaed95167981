/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/pt/msr.h"
#include "hv/vpt.h"
#include "hv/xen-frames.h"
#include "libxenpt/cleanup.h"

static struct vpt_buffer *buffer_of(struct xen_domain *xen, uint32_t vcpu)
{
	return &vpt_of(xen)->buffers[vcpu];
}

/* ---- Frames -------------------------------------------------------------- */

uint64_t vpt_buffer_pages(const struct buffer *layout)
{
	return layout->table_pages + layout->size / BUFFER_PAGE;
}

/* Pages that lie in a row are one run. Nobody gets those between regions. */
static struct xenpt_error *populate(struct xen_domain *xen, const struct buffer *layout)
{
	uint64_t begin = layout->table_gpa;
	uint64_t end = begin + layout->table_pages * BUFFER_PAGE;

	for (size_t i = 0; i < layout->region_count; i++) {
		const struct buffer_region *region = &layout->regions[i];

		if (region->gpa != end) {
			XENPT_TRY(xen_frames_add(xen, begin / BUFFER_PAGE,
						 (end - begin) / BUFFER_PAGE));
			begin = region->gpa;
		}
		end = region->gpa + region->size;
	}
	return xen_frames_add(xen, begin / BUFFER_PAGE, (end - begin) / BUFFER_PAGE);
}

/* The tables' frames, or those of the ring in its order; to be freed. */
static xen_pfn_t *list_frames(const struct buffer *layout, bool ring, size_t *count_ret)
{
	size_t count = ring ? layout->size / BUFFER_PAGE : layout->table_pages, at = 0;
	xen_pfn_t *gfns = calloc(count, sizeof(*gfns));

	if (!gfns)
		return NULL;
	for (size_t i = 0; !ring && i < count; i++)
		gfns[i] = layout->table_gpa / BUFFER_PAGE + i;
	for (size_t i = 0; ring && i < layout->region_count; i++) {
		const struct buffer_region *region = &layout->regions[i];

		for (uint64_t page = 0; page < region->size / BUFFER_PAGE; page++)
			gfns[at++] = region->gpa / BUFFER_PAGE + page;
	}
	*count_ret = count;
	return gfns;
}

/* ---- Mapping ------------------------------------------------------------- */

/*
 * *@at_ret: in the place of what it is, if not NULL. One page that cannot be mapped is
 * an error, for touching it would be a signal; then *@at_ret is NULL.
 */
static struct xenpt_error *map(struct xen_domain *xen, uint32_t vcpu, bool ring,
			       void **at_ret)
{
	xenforeignmemory_handle *fm = xen->host->fm;
	const struct buffer *layout = buffer_of(xen, vcpu)->layout;
	int prot = ring ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = *at_ret ? MAP_FIXED : 0, error = 0;
	_cleanup_free_ xen_pfn_t *gfns = NULL;
	_cleanup_free_ int *errs = NULL;
	size_t count;
	void *at;

	gfns = list_frames(layout, ring, &count);
	errs = gfns ? calloc(count, sizeof(*errs)) : NULL;
	if (!errs)
		return xenpt_error_no_memory();
	at = xen_calls->fm_map2(fm, xen->domid, *at_ret, prot, flags, count, gfns, errs);
	if (!at) {
		error = errno;
		*at_ret = NULL;
		return vpt_failed(xen, vcpu, error, "cannot map its buffer");
	}
	for (size_t i = 0; i < count && !error; i++)
		error = errs[i] < 0 ? -errs[i] : errs[i];
	if (error) {
		xen_calls->fm_unmap(fm, at, count);
		*at_ret = NULL;
		return vpt_failed(xen, vcpu, error, "cannot map its buffer");
	}
	*at_ret = at;
	return NULL;
}

static void unmap_tables(struct xen_domain *xen, struct vpt_buffer *buffer)
{
	if (buffer->tables)
		xen_calls->fm_unmap(xen->host->fm, buffer->tables,
				    buffer->layout->table_pages);
	buffer->tables = NULL;
}

/* The ring stays where it is, for it may be read from there until close(). */
static bool keep_place(struct vpt_buffer *buffer, int flags)
{
	buffer->ring_is_ours = true;
	if (mmap(buffer->ring, buffer->layout->size, PROT_READ,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1,
		 0) == (void *)buffer->ring)
		return true;
	buffer->ring = NULL;
	return false;
}

/*
 * Nothing of the guest's is mapped any more: a frame that it has given back is free only
 * then, and counts for its limit until it is.
 */
static struct xenpt_error *let_go(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);

	unmap_tables(xen, buffer);
	if (!buffer->ring || buffer->ring_is_ours)
		return NULL;
	xen_calls->fm_unmap(xen->host->fm, buffer->ring,
			    buffer->layout->size / BUFFER_PAGE);
	/* Not in the place of what another thread has mapped there since. */
	if (!keep_place(buffer, MAP_FIXED_NOREPLACE))
		return xenpt_error_create(
			XENPT_ERROR_OS, "vCPU %u: cannot keep its buffer's place", vcpu);
	return NULL;
}

/* An error leaves a ring that can be read, if with nothing in it. */
static struct xenpt_error *map_again(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);
	void *at = buffer->ring;
	struct xenpt_error *err;

	XENPT_TRY(map(xen, vcpu, false, &buffer->tables));
	err = map(xen, vcpu, true, &at);
	if (err) {
		keep_place(buffer, MAP_FIXED);
		return err;
	}
	buffer->ring = at;
	buffer->ring_is_ours = false;
	return NULL;
}

void vpt_buffer_write_tables(struct vpt_buffer *buffer)
{
	if (buffer->tables)
		memcpy(buffer->tables, buffer->layout->tables,
		       buffer->layout->table_pages * (size_t)BUFFER_PAGE);
}

struct xenpt_error *vpt_buffer_make(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);
	void *ring = NULL;

	XENPT_TRY(populate(xen, buffer->layout));
	XENPT_TRY(map(xen, vcpu, false, &buffer->tables));
	XENPT_TRY(map(xen, vcpu, true, &ring));
	buffer->ring = ring;
	vpt_buffer_write_tables(buffer);
	return NULL;
}

/* ---- Xen's use of it ----------------------------------------------------- */

static int ask_position(struct xen_domain *xen, uint32_t vcpu)
{
	uint64_t base = 0, pointers = 0;

	return vpt_op(xen->host->xc, xen->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_position,
		      &base, &pointers);
}

static struct xenpt_error *set_filter(struct xen_domain *xen, uint32_t vcpu, uint64_t msr,
				      uint64_t value)
{
	if (vpt_op(xen->host->xc, xen->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_filter, &msr,
		   &value) < 0)
		return vpt_failed(xen, vcpu, errno, "cannot set its filters");
	return NULL;
}

static struct xenpt_error *set_filters(struct xen_domain *xen, uint32_t vcpu)
{
	const struct hv_trace *trace = &vpt_of(xen)->trace;

	/* Bits 4:0 are reserved: SDM volume 3, IA32_RTIT_CR3_MATCH. */
	if (trace->cr3 != XENPT_CR3_ANY)
		XENPT_TRY(set_filter(xen, vcpu, XPT_MSR_CR3_MATCH,
				     trace->cr3 & ~UINT64_C(31)));
	for (size_t i = 0; i < trace->range_count && i < HV_RANGES_MAX; i++) {
		XENPT_TRY(set_filter(xen, vcpu, XPT_MSR_ADDR0_A + 2 * i,
				     trace->ranges[i].lo));
		XENPT_TRY(set_filter(xen, vcpu, XPT_MSR_ADDR0_A + 2 * i + 1,
				     trace->ranges[i].hi));
	}
	return NULL;
}

struct xenpt_error *vpt_buffer_set_up(struct xen_domain *xen, uint32_t vcpu)
{
	const struct vpt *vpt = vpt_of(xen);
	uint64_t flags = (vpt->trace.lossless ? XENPT_SETUP_LOSSLESS : 0) |
			 (vpt->trace.no_pip ? XENPT_SETUP_NO_PIP : 0) |
			 (vpt->caps & XENPT_CAP_EPT ? 0 : XENPT_SETUP_SOFT);
	uint64_t insns = vpt->trace.insns;
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);
	uint64_t gpa = buffer->layout->table_gpa;
	int errnum;

	/* Listed for the guard only if it is ours to end. */
	if (ask_position(xen, vcpu) == 0)
		return vpt_failed(xen, vcpu, EBUSY, "cannot set its trace up");
	xen->guard->list->set_up[vcpu] = true;
	buffer->set_up = true;
	if (vpt_op(xen->host->xc, xen->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_setup, &gpa,
		   &flags) < 0) {
		errnum = errno;
		if (errnum == EBUSY || errnum == EEXIST)
			buffer->set_up = xen->guard->list->set_up[vcpu] = false;
		return vpt_failed(xen, vcpu, errnum, "cannot set its trace up");
	}
	if (insns && vpt_op(xen->host->xc, xen->domid, vcpu,
			    XEN_DOMCTL_vmtrace_xenpt_budget, NULL, &insns) < 0)
		return vpt_failed(xen, vcpu, errno, "cannot limit its trace");
	return set_filters(xen, vcpu);
}

struct xenpt_error *vpt_buffer_is_spent(struct xen_domain *xen, uint32_t vcpu, bool *ret)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);
	uint64_t total = 0, status = 0;

	*ret = false;
	if (!vpt_of(xen)->trace.insns)
		return NULL;
	if (vpt_op(xen->host->xc, xen->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_status,
		   &total, &status) < 0) {
		int errnum = errno;

		return xen_domain_is_gone(xen)
			       ? NULL
			       : vpt_failed(xen, vcpu, errnum, "cannot tell its state");
	}
	*ret = status & XENPT_STATUS_SPENT;
	if (*ret) {
		buffer->last = (struct hv_position){ .has_total = true, .done = true };
		buffer->final = true;
	}
	return NULL;
}

bool vpt_buffer_tear_down(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);

	if (!buffer->set_up)
		return true;
	if (!xen->gone &&
	    vpt_op(xen->host->xc, xen->domid, vcpu, XEN_DOMCTL_vmtrace_xenpt_teardown,
		   NULL, NULL) < 0 &&
	    !xen_domain_is_gone(xen))
		return false;
	buffer->set_up = buffer->enabled = xen->guard->list->set_up[vcpu] = false;
	return true;
}

/* ---- After a fault ------------------------------------------------------- */

/* Which pages are not there is known from mapping them one by one. */
static struct xenpt_error *fill_in(struct xen_domain *xen, uint32_t vcpu, bool ring)
{
	xenforeignmemory_handle *fm = xen->host->fm;
	_cleanup_free_ xen_pfn_t *gfns = NULL;
	_cleanup_free_ int *errs = NULL;
	size_t count;
	void *at;

	gfns = list_frames(buffer_of(xen, vcpu)->layout, ring, &count);
	errs = gfns ? calloc(count, sizeof(*errs)) : NULL;
	if (!errs)
		return xenpt_error_no_memory();
	at = xen_calls->fm_map(fm, xen->domid, PROT_READ, count, gfns, errs);
	if (!at)
		return vpt_failed(xen, vcpu, errno, "cannot map its buffer");
	xen_calls->fm_unmap(fm, at, count);
	for (size_t i = 0; i < count; i++) {
		if (errs[i])
			XENPT_TRY(xen_frames_add_again(xen, gfns[i]));
	}
	return NULL;
}

struct xenpt_error *vpt_buffer_make_again(struct xen_domain *xen, uint32_t vcpu)
{
	struct vpt_buffer *buffer = buffer_of(xen, vcpu);

	if (!vpt_buffer_tear_down(xen, vcpu))
		return xenpt_error_create(XENPT_ERROR_OS, "vCPU %u: cannot end its trace",
					  vcpu);
	if (xen->gone)
		return NULL;
	XENPT_TRY(let_go(xen, vcpu));
	XENPT_TRY(fill_in(xen, vcpu, false));
	XENPT_TRY(fill_in(xen, vcpu, true));
	XENPT_TRY(map_again(xen, vcpu));
	vpt_buffer_write_tables(buffer);
	return vpt_buffer_set_up(xen, vcpu);
}

void vpt_buffer_forget(struct xen_domain *xen, struct vpt_buffer *buffer)
{
	if (!buffer->layout)
		return;
	unmap_tables(xen, buffer);
	if (buffer->ring_is_ours && buffer->ring)
		munmap(buffer->ring, buffer->layout->size);
	else if (buffer->ring)
		xen_calls->fm_unmap(xen->host->fm, buffer->ring,
				    buffer->layout->size / BUFFER_PAGE);
	buffer_destroy(buffer->layout);
	*buffer = (struct vpt_buffer){};
}
