/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory of a live Xen domain, mapped in aligned batches of guest frames, of which a
 * bounded number is kept, the one not used for longest given up first. A frame that is
 * not there is an error of that page alone: touching it would be a SIGBUS.
 */
#ifndef HV_XEN_MEM_H
#define HV_XEN_MEM_H

#include "hv/xen-host.h"

struct xen_mem;

struct xenpt_error *xen_mem_create(struct xen_host *host, uint32_t domid,
				   struct xen_mem **ret);
void xen_mem_destroy(struct xen_mem *mem);
/* What other code reads it by; valid until destroy(). */
struct xenpt_mem *xen_mem_reader(struct xen_mem *mem);
/*
 * Unmap all: the guest may have given frames back and got others in their place, which a
 * mapping does not follow.
 */
void xen_mem_forget(struct xen_mem *mem);
/*
 * The domain is gone: what is mapped can still be read, but nothing more is mapped, for
 * its id may be another domain's.
 */
void xen_mem_freeze(struct xen_mem *mem);

#endif
