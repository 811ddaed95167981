/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's memory as the CPU finds it by EPT, for what Xen reads and writes in the
 * place of the CPU.  The tables are the guest's: whatever keeps its own stores from a
 * page, as a monitor's mem_access or an altp2m view, keeps its trace from it.
 */
#include <xen/domain_page.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/altp2m.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#include "xenpt-private.h"

static bool allows(p2m_type_t t, p2m_access_t a, bool write)
{
    /* Xen makes log-dirty pages writable when they are written. */
    if ( write )
        return (t == p2m_ram_rw || t == p2m_ram_logdirty) &&
               (a == p2m_access_rwx || a == p2m_access_rw);

    switch ( a )
    {
    case p2m_access_rwx:
    case p2m_access_rw:
    case p2m_access_rx:
    case p2m_access_r:
    case p2m_access_rx2rw:
        return p2m_is_ram(t);

    default:
        return false;
    }
}

/* False: the view has nothing of its own there, and gets what the domain has. */
static bool look_in_view(struct p2m_domain *p2m, unsigned long gfn,
                         p2m_type_t *t, p2m_access_t *a, struct page_info **pg)
{
    mfn_t mfn = get_gfn_type_access(p2m, gfn, t, a, 0, NULL);

    *pg = NULL;
    if ( p2m_is_ram(*t) && mfn_valid(mfn) &&
         get_page(mfn_to_page(mfn), p2m->domain) )
        *pg = mfn_to_page(mfn);
    p2m_put_gfn(p2m, _gfn(gfn));

    return !mfn_eq(mfn, INVALID_MFN);
}

struct page_info *xenpt_get_page(struct vcpu *v, unsigned long gfn, bool write)
{
    struct domain *d = v->domain;
    struct p2m_domain *view = altp2m_active(d) ? p2m_get_altp2m(v) : NULL;
    struct page_info *pg;
    p2m_access_t a;
    p2m_type_t t;

    if ( !view || !look_in_view(view, gfn, &t, &a, &pg) )
        pg = p2m_get_page_from_gfn(p2m_get_hostp2m(d), _gfn(gfn), &t, &a,
                                   P2M_ALLOC | P2M_UNSHARE);

    if ( !pg )
        return NULL;
    if ( allows(t, a, write) && page_get_owner(pg) == d )
        return pg;
    put_page(pg);

    return NULL;
}

/* Within a page; NULL: the trace ends. */
static char *map(struct vcpu *v, uint64_t gpa, bool write,
                 struct page_info **pg)
{
    *pg = xenpt_get_page(v, paddr_to_pfn(gpa), write);
    if ( *pg )
        return (char *)__map_domain_page(*pg) + (gpa & ~PAGE_MASK);

    v->arch.hvm.vmx.xenpt->fault = true;

    return NULL;
}

static void unmap(const char *map, struct page_info *pg)
{
    unmap_domain_page(map);
    put_page(pg);
}

static bool cf_check p2m_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
    struct page_info *pg;
    const char *from = map(arg, gpa, false, &pg);

    if ( !from )
        return false;
    memcpy(buf, from, size);
    unmap(from, pg);

    return true;
}

static bool cf_check p2m_write(void *arg, uint64_t gpa, const void *buf,
                               size_t size)
{
    struct vcpu *v = arg;
    struct page_info *pg;
    char *to = map(v, gpa, true, &pg);

    if ( !to )
        return false;
    memcpy(to, buf, size);
    paging_mark_dirty(v->domain, page_to_mfn(pg));
    unmap(to, pg);

    return true;
}

const struct xpt_mem_ops xenpt_p2m_ops = {
    .read = p2m_read,
    .write = p2m_write,
};
