/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ASM_P2M_H
#define ASM_P2M_H

#include <xen/mm.h>

typedef enum {
	p2m_invalid,
	p2m_ram_rw,
	p2m_ram_ro,
	p2m_ram_logdirty,
	p2m_ram_shared,
	p2m_ioreq_server, /* a device model sees to writes */
	p2m_ram_paged,
	p2m_map_foreign, /* another domain's page */
	p2m_mmio_dm,
} p2m_type_t;

typedef enum {
	p2m_access_rwx,
	p2m_access_rw,
	p2m_access_rx,
	p2m_access_r,
	p2m_access_rx2rw,
	p2m_access_n,
} p2m_access_t;

typedef unsigned int p2m_query_t;
#define P2M_ALLOC 1u
#define P2M_UNSHARE 2u

#define p2m_is_ram(t) ((t) >= p2m_ram_rw && (t) <= p2m_ram_paged)

struct p2m_domain {
	struct domain *domain;
	/* The machine's. */
	struct p2m_leaf *leaves;
};

struct p2m_domain *p2m_get_hostp2m(struct domain *d);
/* With a reference, if it is a page of a domain's. */
struct page_info *p2m_get_page_from_gfn(struct p2m_domain *p2m, gfn_t gfn,
					p2m_type_t *type, p2m_access_t *access,
					p2m_query_t query);
/* The entry stays as it is until it is put. */
mfn_t get_gfn_type_access(struct p2m_domain *p2m, unsigned long gfn, p2m_type_t *type,
			  p2m_access_t *access, p2m_query_t query, unsigned int *order);
void p2m_put_gfn(struct p2m_domain *p2m, gfn_t gfn);

struct p2m_domain *p2m_get_altp2m(struct vcpu *v);
bool p2m_switch_vcpu_altp2m_by_id(struct vcpu *v, unsigned int index);

#endif
