/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which Xen domains there are, what they are, and what a user may call them. */
#ifndef HV_XEN_LIST_H
#define HV_XEN_LIST_H

#include "hv/xen.h"

/*
 * The domain of that id, UUID (with or without dashes, upper or lower case) or name, in
 * this order, for others choose names. Not one that is being destroyed.
 */
struct xenpt_error *xen_find(struct xen_host *host, const char *text,
			     xc_domaininfo_t *ret);

/*
 * All but what can trace it (backend, why). Deinit frees what @ret points to, also of an
 * error.
 */
struct xenpt_error *xen_info_init(struct xen_host *host, const xc_domaininfo_t *info,
				  struct hv_info *ret);
void xen_info_deinit(struct hv_info *info);

/* "HVM", "PVH" or "PV". Static. */
const char *xen_type(const xc_domaininfo_t *info);

/* Whether it is the domain that this program runs in, which Xen lets nobody trace. */
bool xen_is_self(struct xen_host *host, uint32_t domid);

/* struct hv_ops's. */
struct xenpt_error *xen_list(hv_list_fn *fn, void *arg);

#endif
