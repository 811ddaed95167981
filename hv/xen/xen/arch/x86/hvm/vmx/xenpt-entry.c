/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VM entry and exit of a traced vCPU.
 *
 * "Clear IA32_RTIT_CTL" at exit and "load IA32_RTIT_CTL" at entry make the CPU
 * trace the guest only, so that in between the other MSRs can be read and
 * written (SDM, "IA32_RTIT_CTL MSR": while TraceEn is set they cannot).
 */
#include <xen/event.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include <asm/apic.h>
#include <asm/altp2m.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/io.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/msr.h>
#include <asm/nmi.h>
#include <asm/p2m.h>
#include <asm/vpmu.h>

#include <irq_vectors.h>

#include "xenpt-private.h"

/*
 * SDM, "Exit Qualification for EPT Violations", and for APIC accesses.  Newer
 * CPUs set it for PEBS as well: it is PT's only while PT runs.
 */
#define QUALIFICATION_ASYNC (1ul << 16)
/* IA32_PERF_GLOBAL_STATUS: Trace_ToPA_PMI. */
#define GLOBAL_STATUS_TOPA (1ull << 55)
/* So often may one fault be left to the guest's paging. */
#define FAULT_TRIES 8

/* Of the vCPU whose VMCS is loaded. */
void xenpt_end(struct xenpt_vcpu *xp)
{
    xp->fault = true;
    xp->notify = true;
    if ( !xenpt_is_soft(xp) )
        __vmwrite(GUEST_IA32_RTIT_CTL, xp->msrs.ctl & ~XPT_CTL_TRACE_EN);
}

/* False: the output is not where Xen knows it. */
static bool account(struct xenpt_vcpu *xp)
{
    const struct xenpt_output *out = &xp->out;
    uint32_t pos, size;

    /* The generator is Xen's own, or nobody asks. */
    if ( xenpt_is_soft(xp) || (xp->flags & XENPT_SETUP_GUEST) )
    {
        xp->total = xp->topa.written;
        return true;
    }

    size = xenpt_output_size(out);
    if ( !xenpt_output_position(out, &xp->topa, &pos) )
        return false;
    if ( pos < xp->position && !out->ring )
        return false;

    if ( pos < xp->position )
        xp->total += size - xp->position + pos;
    else
        xp->total += pos - xp->position;
    xp->position = pos;

    return true;
}

void xenpt_reset(struct vcpu *v, struct xenpt_vcpu *xp)
{
    if ( xenpt_is_soft(xp) )
        xenpt_soft_reset(v, xp);
    else if ( xp->flags & XENPT_SETUP_GUEST )
        xpt_topa_init(&xp->topa, &xenpt_p2m_ops, v, 0, 0, 0, false, paddr_bits,
                      xenpt_single_entry(xp->caps));
    else
        xpt_topa_init(&xp->topa, &xenpt_output_ops, &xp->out,
                      xp->out.tables[0].base, 0, 0, false, paddr_bits,
                      xenpt_single_entry(xp->caps));
    xp->pip.stream_cr3 = XPT_CR3_UNKNOWN;
    xp->pip.entry_cr3 = XPT_CR3_UNKNOWN;
    xp->total = 0;
    xp->consumed = 0;
    xp->position = 0;
    xp->fault = false;
    xp->fault_count = 0;
    xp->notify = false;
}

/*
 * Whoever has LVTPC gets PT's interrupts: the guest, which can set INT in its
 * tables, must not be able to send the watchdog's NMI, nor a vPMU's interrupt.
 */
bool xenpt_may_int(void)
{
    return vpmu_mode == XENPMU_MODE_OFF && !opt_watchdog &&
           nmi_watchdog == NMI_NONE;
}

/*
 * Whether the reader must catch up before the vCPU goes on.  The interrupt at a
 * region's end is not precise: this region and the next may be filled before
 * the vCPU comes out of the guest.
 */
bool xenpt_is_full(const struct xenpt_vcpu *xp)
{
    uint32_t room = 2 * xp->out.largest;

    return (xp->flags & XENPT_SETUP_LOSSLESS) &&
           xp->total - xp->consumed + room > xenpt_output_size(&xp->out);
}

void xenpt_switch_to(struct vcpu *v)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( xp )
        xp->reload = true;
}

bool xenpt_is_pae(const struct vcpu *v)
{
    return hvm_pae_enabled(v) && !hvm_long_mode_active(v);
}

enum xenpt_exit xenpt_vmexit(struct vcpu *v)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;
    bool ended;

    if ( likely(!xenpt_runs(xp)) )
        return XENPT_EXIT_XEN;

    if ( xenpt_is_soft(xp) )
        return xenpt_step_exit(v, xp);

    ended = xenpt_ended(xp);
    rdmsrl(MSR_RTIT_OUTPUT_BASE, xp->topa.output_base);
    rdmsrl(MSR_RTIT_OUTPUT_MASK, xp->topa.output_mask_ptrs);
    rdmsrl(MSR_RTIT_STATUS, xp->topa.status);

    if ( xenpt_ended(xp) != ended )
        xp->notify = true;
    if ( !account(xp) )
        xenpt_end(xp);

    xpt_pip_exit(&xp->pip, xp->msrs.ctl, v->arch.hvm.hw_cr[3],
                 xenpt_is_pae(v));
    /* The CPU has told of Xen's CR3: the guest's is to be told again. */
    if ( !xenpt_cpu.conceal_exit )
        xp->pip.stream_cr3 = XPT_CR3_UNKNOWN;

    return XENPT_EXIT_XEN;
}

void xenpt_assist(struct vcpu *v)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    while ( xp && xenpt_is_soft(xp) && !xenpt_soft_assist(v, xp) )
        xp = v->arch.hvm.vmx.xenpt;
    if ( !xp )
        return;

    if ( !xenpt_is_soft(xp) && (xp->flags & XENPT_SETUP_GUEST) &&
         xenpt_runs(xp) )
        xenpt_inject(v, xp);

    if ( xp->pmi )
    {
        xp->pmi = false;
        if ( xp->flags & XENPT_SETUP_GUEST )
            xenpt_guest_pmi(v);
        else
            xp->notify = true;
    }

    if ( xenpt_runs(xp) && !xp->waits && xenpt_is_full(xp) )
    {
        xp->waits = true;
        xp->notify = true;
        vcpu_pause_nosync(v);
    }

    /* The port is there as long as one of these is. */
    if ( xp->notify && xenpt_is_told(xp) && v->domain->arch.hvm.vmx.xenpt_port )
    {
        xp->notify = false;
        notify_via_xen_event_channel(v->domain,
                                     v->domain->arch.hvm.vmx.xenpt_port);
    }
}

/*
 * The PIP that the CPU could not write, as something else than the guest has
 * changed its CR3 (SDM, "Emulation of Intel PT Traced State").
 */
void xenpt_inject(struct vcpu *v, struct xenpt_vcpu *xp)
{
    const uint64_t total = xp->total;

    switch ( xpt_pip_inject(&xp->pip, &xp->topa, xp->msrs.ctl,
                            v->arch.hvm.hw_cr[3], xenpt_is_pae(v),
                            !(xp->flags & XENPT_SETUP_GUEST)) )
    {
    case XPT_PIP_NONE:
        return;

    case XPT_PIP_WRITTEN:
        break;

    case XPT_PIP_FAILED:
        if ( !xenpt_ended(xp) )
            xenpt_end(xp);
        xp->notify = true;
        break;
    }

    if ( xp->topa.interrupt )
    {
        xp->topa.interrupt = false;
        xp->pmi = true;
    }
    if ( !account(xp) )
        xenpt_end(xp);
    /* That is not the guest getting on: a fault that stays is the same one. */
    if ( xp->fault_total == total )
        xp->fault_total = xp->total;
    xp->moved = true;
}

/* False: #GP, which nothing that Xen lets in should raise. */
static bool load_output(const struct xenpt_vcpu *xp)
{
    uint64_t status = xp->topa.status;

    /* PacketByteCnt is reserved without it. */
    if ( !(xenpt_cpu.caps.ebx0 & XPT_CAP0_EBX_PSB_CYC) )
        status &= ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);

    return !wrmsr_safe(MSR_RTIT_OUTPUT_BASE, xp->topa.output_base) &&
           !wrmsr_safe(MSR_RTIT_OUTPUT_MASK, xp->topa.output_mask_ptrs) &&
           !wrmsr_safe(MSR_RTIT_STATUS, status);
}

static bool load_filters(const struct xenpt_vcpu *xp)
{
    const struct xpt_caps *caps = &xenpt_cpu.caps;
    unsigned int i, nr = 0;

    if ( (caps->ebx0 & XPT_CAP0_EBX_CR3_FILTER) &&
         wrmsr_safe(MSR_RTIT_CR3_MATCH, xp->msrs.cr3_match) )
        return false;

    if ( caps->ebx0 & XPT_CAP0_EBX_IP_FILTER )
        nr = 2 * min(caps->eax1 & 7, XPT_ADDR_RANGES_MAX + 0u);
    for ( i = 0; i < nr; i++ )
        if ( wrmsr_safe(MSR_RTIT_ADDR_A(0) + i, xp->msrs.addr[i]) )
            return false;

    return true;
}

void xenpt_vmenter(struct vcpu *v)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( xenpt_is_soft(xp) )
    {
        xenpt_step_enter(v, xp);
        return;
    }

    if ( !xenpt_runs(xp) )
        return;

    if ( !(xp->flags & (XENPT_SETUP_NO_PIP | XENPT_SETUP_GUEST)) )
        xenpt_inject(v, xp);

    if ( xp->reload && !xp->fault )
    {
        apic_write(APIC_LVTPC, PMU_APIC_VECTOR);
        if ( !load_filters(xp) )
            xenpt_end(xp);
        xp->reload = false;
        xp->moved = true;
    }

    if ( xp->moved && !xp->fault )
    {
        if ( !load_output(xp) )
            xenpt_end(xp);
        xp->moved = false;
    }
}

bool xenpt_pmi(void)
{
    struct vcpu *v = current;
    struct xenpt_vcpu *xp;
    uint64_t status;

    if ( !xenpt_cpu.available )
        return false;

    rdmsrl(MSR_CORE_PERF_GLOBAL_STATUS, status);
    if ( !(status & GLOBAL_STATUS_TOPA) )
        return false;
    wrmsrl(MSR_CORE_PERF_GLOBAL_OVF_CTRL, GLOBAL_STATUS_TOPA);

    /* The interrupt has masked itself. */
    apic_write(APIC_LVTPC, PMU_APIC_VECTOR);
    xp = is_hvm_vcpu(v) ? v->arch.hvm.vmx.xenpt : NULL;
    if ( xp )
        xp->pmi = true;

    /* A vPMU that has come since has its own to see to. */
    return status == GLOBAL_STATUS_TOPA || vpmu_mode == XENPMU_MODE_OFF;
}

/*
 * Whether the usual handling of EPT violations brings the page: log-dirty, and what an
 * altp2m view has not copied yet.
 */
static bool is_pageable(struct vcpu *v, uint64_t gpa)
{
    struct page_info *pg;

    /* It would emulate the instruction that happens to be there. */
    if ( hvm_mmio_internal(gpa) )
        return false;

    pg = xenpt_get_page(v, paddr_to_pfn(gpa), true);
    if ( pg )
        put_page(pg);

    return pg;
}

bool xenpt_output_fault(unsigned long qualification, paddr_t gpa)
{
    struct vcpu *v = current;
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( !xenpt_runs(xp) || !(qualification & QUALIFICATION_ASYNC) )
        return false;

    /* Of one page: PIPs move on in it. */
    if ( (xp->fault_gpa ^ gpa) >> PAGE_SHIFT || xp->fault_total != xp->total )
    {
        xp->fault_gpa = gpa;
        xp->fault_total = xp->total;
        xp->fault_count = 0;
    }
    if ( xp->fault_count++ < FAULT_TRIES && is_pageable(v, gpa) )
        return false;

    xenpt_end(xp);

    return true;
}

bool xenpt_apic_access(void)
{
    struct xenpt_vcpu *xp = current->arch.hvm.vmx.xenpt;
    unsigned long qualification;

    if ( likely(!xenpt_runs(xp)) )
        return false;

    __vmread(EXIT_QUALIFICATION, &qualification);
    if ( !(qualification & QUALIFICATION_ASYNC) )
        return false;

    xenpt_end(xp);

    return true;
}

bool xenpt_vmfunc(const struct cpu_user_regs *regs)
{
    struct vcpu *v = current;
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    return xenpt_runs(xp) && !xenpt_is_soft(xp) && altp2m_active(v->domain) &&
           (v->arch.hvm.vmx.secondary_exec_control &
            SECONDARY_EXEC_ENABLE_VM_FUNCTIONS) &&
           !regs->eax && p2m_switch_vcpu_altp2m_by_id(v, regs->ecx);
}
