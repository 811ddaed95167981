/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Software mode for the stock interface: on a CPU without PT, what
 * XEN_DOMCTL_vmtrace_op switches on steps the vCPU, and the packets go to
 * v->vmtrace.pg.  As with a CPU, there are the host's PIPs, and none are injected.
 */
#include <xen/domain_page.h>
#include <xen/errno.h>
#include <xen/sched.h>
#include <xen/vmap.h>

#include <asm/hvm/nestedhvm.h>
#include <asm/msr.h>
#include <asm/paging.h>

#include "xenpt-private.h"

/* Addresses are offsets in the buffer. */
static bool cf_check stock_read(void *arg, uint64_t gpa, void *buf, size_t size)
{
    return false; /* there are no tables */
}

static bool cf_check stock_write(void *arg, uint64_t gpa, const void *buf,
                                 size_t size)
{
    struct vcpu *v = arg;
    char *map;

    /* The domain's end frees it first. */
    if ( !v->vmtrace.pg || gpa + size > v->domain->vmtrace_size )
        return false;
    map = __map_domain_page(v->vmtrace.pg + paddr_to_pfn(gpa));
    memcpy(map + (gpa & ~PAGE_MASK), buf, size);
    unmap_domain_page(map);

    return true;
}

const struct xpt_mem_ops xenpt_stock_ops = {
    .read = stock_read,
    .write = stock_write,
};

void xenpt_stock_load(struct vcpu *v, struct xenpt_vcpu *xp)
{
    xp->topa.output_mask_ptrs = v->arch.msrs->rtit.output_mask;
    xp->topa.status = v->arch.msrs->rtit.status;
}

void xenpt_stock_store(struct vcpu *v, const struct xenpt_vcpu *xp)
{
    v->arch.msrs->rtit.output_mask = xp->topa.output_mask_ptrs;
    v->arch.msrs->rtit.status = xp->topa.status;
}

static bool is_stock(const struct vcpu *v)
{
    return xenpt_owns(v) && !xenpt_held(v);
}

void xenpt_stock_settle(struct vcpu *v)
{
    if ( !is_stock(v) )
        return;

    /* vm_event_resume() does not wait until it has come to the pause. */
    if ( v != current )
        vcpu_pause(v);
    domain_lock(v->domain);
    if ( is_stock(v) )
        xenpt_soft_settle(v, v->arch.hvm.vmx.xenpt);
    domain_unlock(v->domain);
    if ( v != current )
        vcpu_unpause(v);
}

static int make(struct vcpu *v)
{
    struct xenpt_vcpu *xp;

    if ( v->domain->is_dying )
        return -ESRCH;
    if ( !hap_enabled(v->domain) || nestedhvm_enabled(v->domain) )
        return -EOPNOTSUPP;

    xp = vzalloc(sizeof(*xp));
    if ( !xp )
        return -ENOMEM;

    xp->flags = XENPT_SETUP_SOFT | XENPT_SETUP_STOCK;
    xp->caps = &xenpt_soft_caps;
    xp->msrs.ctl = v->arch.msrs->rtit.ctl;
    v->arch.hvm.vmx.xenpt = xp;
    xenpt_reset(v, xp);
    xp->enabled = true;

    return 0;
}

int xenpt_stock_enable(struct vcpu *v, bool enable)
{
    int rc = 0;

    domain_lock(v->domain);
    if ( enable )
    {
        rc = make(v);
        /* Or the next one would find it set, and do nothing. */
        if ( rc )
            v->arch.msrs->rtit.ctl &= ~RTIT_CTL_TRACE_EN;
    }
    else if ( is_stock(v) )
        xenpt_teardown(v, false);
    domain_unlock(v->domain);

    return rc;
}
