/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PT for the guest itself, "xenpt=guest": CPUID leaf 14H and the RTIT MSRs.
 *
 *   WRMSR --> pt/msr.c --> TraceEn is set: a struct xenpt_vcpu of the guest's own
 *                          TraceEn is clear: it is gone again
 *
 * It is the CPU's PT, or software mode's, with the guest's tables and what it wants to
 * have traced; PIPs that Xen has to write are written for it, too.  A vCPU has one
 * owner at a time: while the toolstack traces it, the guest finds TraceEn set, as
 * if firmware used PT, and cannot set it (#GP).
 */
#include <xen/sched.h>
#include <xen/vmap.h>
#include <xen/xmalloc.h>

#include <asm/cpuid.h>
#include <asm/hvm/nestedhvm.h>
#include <asm/hvm/vlapic.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/vpmu.h>
#include <asm/x86_emulate.h>

#include "xenpt-private.h"

/* IA32_PERF_GLOBAL_STATUS: Trace_ToPA_PMI. */
#define GLOBAL_STATUS_TOPA (1ull << 55)

/* A vCPU's that has written an RTIT MSR. */
struct xenpt_guest {
    struct xpt_msrs msrs;
    bool pmi; /* not acknowledged */
};

bool xenpt_guest_has(const struct domain *d)
{
    return unlikely(xenpt_opt_guest) && cpu_has_vmx && is_hvm_domain(d) &&
           hap_enabled(d) && !nestedhvm_enabled(d) &&
           (xenpt_hardware_available() || xenpt_soft_available());
}

static struct xpt_caps caps_of(const struct domain *d)
{
    struct xpt_caps caps = xenpt_hardware_available() ? xenpt_cpu.caps
                                                      : xenpt_soft_caps;

    caps.ecx0 &= ~XPT_CAP0_ECX_FABRIC;
    caps.maxphyaddr = d->arch.cpu_policy->extd.maxphysaddr;

    return caps;
}

void xenpt_guest_cpuid(const struct domain *d, uint32_t leaf, uint32_t subleaf,
                       struct cpuid_leaf *res)
{
    struct xpt_caps caps;

    if ( likely(!xenpt_opt_guest) || !xenpt_guest_has(d) )
        return;
    caps = caps_of(d);

    switch ( leaf )
    {
    case 0:
        res->a = max_t(uint32_t, res->a, 0x14);
        break;

    case 7:
        if ( !subleaf )
            res->b |= cpufeat_mask(X86_FEATURE_PROC_TRACE);
        break;

    case 0x14:
        if ( !subleaf )
            *res = (struct cpuid_leaf){ 1, caps.ebx0, caps.ecx0, 0 };
        else if ( subleaf == 1 )
            *res = (struct cpuid_leaf){ caps.eax1, caps.ebx1, 0, 0 };
        break;
    }
}

static bool traces_itself(const struct vcpu *v)
{
    const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    return xp && (xp->flags & XENPT_SETUP_GUEST);
}

/* What the trace has made of the MSRs since. */
static void update(struct vcpu *v, struct xenpt_guest *guest)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( !traces_itself(v) )
        return;
    if ( xenpt_is_soft(xp) )
        xenpt_soft_settle(v, xp);
    guest->msrs.output_base = xp->topa.output_base;
    guest->msrs.output_mask_ptrs = xp->topa.output_mask_ptrs;
    guest->msrs.status = xp->topa.status;
    /* The CPU would have met no page, and gone on: here it ends. */
    if ( xp->fault )
        guest->msrs.status |= XPT_STATUS_ERROR;
    /* A region that the last bytes have filled: TraceEn may be cleared next. */
    if ( xp->topa.interrupt || xp->pmi )
    {
        xp->topa.interrupt = false;
        xp->pmi = false;
        xenpt_guest_pmi(v);
    }
}

static bool begin(struct vcpu *v, const struct xenpt_guest *guest)
{
    struct xenpt_vcpu *xp;

    if ( xenpt_is_owned(v) )
        return false;

    xp = vzalloc(sizeof(*xp));
    if ( !xp )
        return false;

    xp->flags = XENPT_SETUP_GUEST |
                (xenpt_hardware_available() ? 0 : XENPT_SETUP_SOFT);
    xp->caps = xenpt_is_soft(xp) ? &xenpt_soft_caps : &xenpt_cpu.caps;
    xp->msrs = guest->msrs;
    v->arch.hvm.vmx.xenpt = xp;
    xenpt_reset(v, xp);
    xp->topa.output_base = guest->msrs.output_base;
    xp->topa.output_mask_ptrs = guest->msrs.output_mask_ptrs;
    xp->topa.status = guest->msrs.status;
    xp->topa.single_range = !(guest->msrs.ctl & XPT_CTL_TOPA);
    xp->enabled = true;
    xp->reload = true;
    if ( !xenpt_is_soft(xp) )
    {
        xenpt_cpu_used = true;
        xenpt_write_controls(v, true);
    }

    return true;
}

static struct xenpt_guest *find(struct vcpu *v)
{
    struct xenpt_guest **guest = &v->arch.hvm.vmx.xenpt_guest;

    if ( !*guest )
        *guest = xzalloc(struct xenpt_guest);

    return *guest;
}

static bool is_rtit(uint32_t msr)
{
    return msr >= MSR_RTIT_OUTPUT_BASE && msr <= MSR_RTIT_ADDR_B(7);
}

/* A vPMU has them, and the LVTPC, for itself. */
static bool is_pmu(uint32_t msr)
{
    return vpmu_mode == XENPMU_MODE_OFF &&
           (msr == MSR_CORE_PERF_GLOBAL_STATUS ||
            msr == MSR_CORE_PERF_GLOBAL_OVF_CTRL);
}

int xenpt_guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val)
{
    struct xpt_caps caps = caps_of(v->domain);
    struct xenpt_guest *guest;

    if ( v != current || (!is_rtit(msr) && !is_pmu(msr)) )
        return X86EMUL_UNHANDLEABLE;
    guest = find(v);
    if ( !guest )
        return X86EMUL_EXCEPTION;

    if ( is_pmu(msr) )
    {
        *val = msr == MSR_CORE_PERF_GLOBAL_STATUS && guest->pmi
               ? GLOBAL_STATUS_TOPA : 0;
        return X86EMUL_OKAY;
    }

    update(v, guest);
    if ( !xpt_msr_read(&guest->msrs, &caps, msr, val) )
        return X86EMUL_EXCEPTION;
    if ( msr == MSR_RTIT_CTL && xenpt_is_owned(v) )
        *val |= XPT_CTL_TRACE_EN;

    return X86EMUL_OKAY;
}

int xenpt_guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val)
{
    struct xpt_caps caps = caps_of(v->domain);
    struct xenpt_guest *guest;
    uint64_t ctl;

    if ( v != current || (!is_rtit(msr) && !is_pmu(msr)) )
        return X86EMUL_UNHANDLEABLE;
    guest = find(v);
    if ( !guest )
        return X86EMUL_EXCEPTION;

    if ( is_pmu(msr) )
    {
        if ( val & ~GLOBAL_STATUS_TOPA )
            return X86EMUL_EXCEPTION;
        if ( msr == MSR_CORE_PERF_GLOBAL_OVF_CTRL && val )
            guest->pmi = false;
        return X86EMUL_OKAY;
    }

    update(v, guest);
    ctl = guest->msrs.ctl;
    if ( !xpt_msr_write(&guest->msrs, &caps, msr, val) )
        return X86EMUL_EXCEPTION;

    if ( (guest->msrs.ctl & ~ctl) & XPT_CTL_TRACE_EN )
    {
        if ( !begin(v, guest) )
        {
            guest->msrs.ctl = ctl;
            return X86EMUL_EXCEPTION;
        }
    }
    else if ( (ctl & ~guest->msrs.ctl) & XPT_CTL_TRACE_EN )
        xenpt_teardown(v, false);

    return X86EMUL_OKAY;
}

/* By LVTPC, which masks itself (SDM, "Local Vector Table"). */
void xenpt_guest_pmi(struct vcpu *v)
{
    struct vlapic *vlapic = vcpu_vlapic(v);
    uint32_t lvtpc;

    if ( vpmu_mode != XENPMU_MODE_OFF )
        return;
    if ( v->arch.hvm.vmx.xenpt_guest )
        v->arch.hvm.vmx.xenpt_guest->pmi = true;
    if ( !is_vlapic_lvtpc_enabled(vlapic) )
        return;

    lvtpc = vlapic_get_reg(vlapic, APIC_LVTPC);
    vlapic_set_reg(vlapic, APIC_LVTPC, lvtpc | APIC_LVT_MASKED);
    switch ( GET_APIC_DELIVERY_MODE(lvtpc) )
    {
    case APIC_MODE_FIXED:
        vlapic_set_irq(vlapic, lvtpc & APIC_VECTOR_MASK, 0);
        break;

    case APIC_MODE_NMI:
        v->arch.nmi_pending = true;
        break;
    }
}

void xenpt_guest_free(struct vcpu *v)
{
    XFREE(v->arch.hvm.vmx.xenpt_guest);
}
