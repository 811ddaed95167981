/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames of memory that a domain gets while it is traced, and its limit, which is raised
 * for them. All is listed for the guard before it is done.
 *
 *	raise_limit() ─▶ add() … ─▶ give_back() ─▶ restore_limit()
 */
#ifndef HV_XEN_FRAMES_H
#define HV_XEN_FRAMES_H

#include "hv/xen-guard.h"

struct xen_domain;

struct xenpt_error *xen_frames_raise_limit(struct xen_domain *xen, uint64_t pages);

/* Guest frames from @gfn on, none of which is there. An error says what to change. */
struct xenpt_error *xen_frames_add(struct xen_domain *xen, uint64_t gfn, uint64_t count);
/* One of those that were added, and that the guest has given back. */
struct xenpt_error *xen_frames_add_again(struct xen_domain *xen, uint64_t gfn);

/* The domain is gone, and all of it with it. */
void xen_frames_forget(struct xen_guard_list *list);

/*
 * All that is listed, also of a program that is gone. What fails stays listed: false.
 */
bool xen_frames_give_back(xc_interface *xc, struct xen_guard_list *list);
/* Not if somebody has set another one since. */
bool xen_frames_restore_limit(xc_interface *xc, struct xen_guard_list *list);

#endif
