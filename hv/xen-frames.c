/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "hv/xen-frames.h"
#include "hv/xen.h"

/* Of one call. */
#define BATCH 1024

#define KB_PER_PAGE 4

static void list_frames(xen_pfn_t gfns[], uint64_t gfn, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		gfns[i] = gfn + i;
}

static unsigned long batch_of(uint64_t left)
{
	return left < BATCH ? (unsigned long)left : BATCH;
}

static struct xenpt_error *failed(struct xen_domain *xen, int errnum, const char *what)
{
	if (xen_domain_is_gone(xen))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND,
					  "%s is not there any more", xen->info.name);
	return xen_host_error(xen->host, errnum, "domain %u: %s", xen->domid, what);
}

/* ---- The limit ----------------------------------------------------------- */

static bool ask_limit(xc_interface *xc, uint32_t domid, uint64_t *ret)
{
	xc_domaininfo_t info = {};
	int count = xen_calls->xc_domain_getinfolist(xc, domid, 1, &info);

	if (count < 0)
		return false;
	if (!count || info.domain != domid) {
		errno = ESRCH;
		return false;
	}
	*ret = info.max_pages;
	return true;
}

struct xenpt_error *xen_frames_raise_limit(struct xen_domain *xen, uint64_t pages)
{
	struct xen_guard_list *list = xen->guard->list;
	xc_interface *xc = xen->host->xc;
	uint64_t before, raised;

	if (!ask_limit(xc, xen->domid, &before))
		return failed(xen, errno, "cannot tell its memory limit");
	/* There are domains without one: it is all ones, or nearly. */
	if (__builtin_add_overflow(before, pages, &raised) ||
	    raised > UINT64_MAX / KB_PER_PAGE)
		return NULL;
	list->limit = before;
	list->limit_raised = raised;
	list->limit_set = true;
	if (xen_calls->xc_domain_setmaxmem(xc, xen->domid, raised * KB_PER_PAGE) < 0)
		return failed(xen, errno, "cannot raise its memory limit");
	return NULL;
}

bool xen_frames_restore_limit(xc_interface *xc, struct xen_guard_list *list)
{
	uint64_t now;

	if (!list->limit_set)
		return true;
	if (!ask_limit(xc, list->domid, &now))
		return false;
	if (now == list->limit_raised &&
	    xen_calls->xc_domain_setmaxmem(xc, list->domid, list->limit * KB_PER_PAGE) <
		    0)
		return false;
	list->limit_set = false;
	return true;
}

/* ---- Frames -------------------------------------------------------------- */

/* Xen says no more than how many it had room for: what it lacks is to be found out. */
static struct xenpt_error *no_room(struct xen_domain *xen, uint64_t missing)
{
	xc_physinfo_t info = {};
	uint64_t mb = (missing + 255) / 256;

	if (xen_calls->xc_physinfo(xen->host->xc, &info) == 0 &&
	    info.free_pages < missing)
		return xenpt_error_create(
			XENPT_ERROR_NO_MEMORY,
			"no memory for the trace buffers: the host has %" PRIu64
			" MiB free, and they need %" PRIu64
			" MiB more: 'xl mem-set' takes some from a domain, or a smaller "
			"-b needs less",
			(uint64_t)info.free_pages / 256, mb);
	return xenpt_error_create(
		XENPT_ERROR_NO_MEMORY,
		"Xen does not map %" PRIu64
		" MiB of the trace buffers into the domain, though the host has them: "
		"most likely its pool of page tables is too small: put "
		"\"shadow_memory = \" (in MiB) with more than it has into its xl.cfg, "
		"and start it anew, or take a smaller -b",
		mb);
}

static struct xenpt_error *populate(struct xen_domain *xen, uint64_t gfn, uint64_t count)
{
	xen_pfn_t gfns[BATCH];
	uint64_t done = 0;
	int n;

	while (done < count) {
		unsigned long size = batch_of(count - done);

		list_frames(gfns, gfn + done, size);
		n = xen_calls->xc_domain_populate_physmap(xen->host->xc, xen->domid, size,
							  0, 0, gfns);
		if (n < 0 && errno != ENOMEM)
			return failed(xen, errno, "cannot give it trace buffers");
		if (n < 0 || (unsigned long)n < size) {
			if (xen_domain_is_gone(xen))
				return failed(xen, ESRCH, "");
			return no_room(xen, count - done - (n < 0 ? 0 : (uint64_t)n));
		}
		done += size;
	}
	return NULL;
}

struct xenpt_error *xen_frames_add(struct xen_domain *xen, uint64_t gfn, uint64_t count)
{
	struct xen_guard_list *list = xen->guard->list;
	size_t i = 0;

	while (i < XEN_GUARD_RUNS && list->runs[i].count)
		i++;
	if (i == XEN_GUARD_RUNS)
		return xenpt_error_create(XENPT_ERROR_INVALID,
					  "trace buffers for so many vCPUs");
	list->runs[i].gfn = gfn;
	list->runs[i].count = count;
	return populate(xen, gfn, count);
}

struct xenpt_error *xen_frames_add_again(struct xen_domain *xen, uint64_t gfn)
{
	return populate(xen, gfn, 1);
}

/* One that is not there, which is the guest's doing or was never added, ends a call. */
static bool give_run_back(xc_interface *xc, uint32_t domid, uint64_t gfn, uint64_t count)
{
	xen_pfn_t gfns[BATCH];
	uint64_t done = 0;
	int n;

	while (done < count) {
		unsigned long size = batch_of(count - done);

		list_frames(gfns, gfn + done, size);
		n = xen_calls->xc_domain_decrease_reservation(xc, domid, size, 0, gfns);
		if (n < 0)
			return false;
		done += (unsigned long)n < size ? (unsigned long)n + 1 : size;
	}
	return true;
}

bool xen_frames_give_back(xc_interface *xc, struct xen_guard_list *list)
{
	bool all = true;

	for (size_t i = 0; i < XEN_GUARD_RUNS; i++) {
		if (!list->runs[i].count)
			continue;
		if (give_run_back(xc, list->domid, list->runs[i].gfn,
				  list->runs[i].count))
			list->runs[i].count = 0;
		else
			all = false;
	}
	return all;
}

void xen_frames_forget(struct xen_guard_list *list)
{
	for (size_t i = 0; i < XEN_GUARD_RUNS; i++)
		list->runs[i].count = 0;
	list->limit_set = false;
}
