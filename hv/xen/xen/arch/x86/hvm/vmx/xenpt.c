/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the CPUs can do, and what the toolstack asks for.
 */
#include <xen/domain.h>
#include <xen/errno.h>
#include <xen/event.h>
#include <xen/param.h>
#include <xen/sched.h>
#include <xen/vmap.h>

#include <asm/hvm/hvm.h>
#include <asm/hvm/nestedhvm.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/processor.h>

#include <public/domctl.h>

#include "xenpt-private.h"

#define SETUP_FLAGS \
    (XENPT_SETUP_SOFT | XENPT_SETUP_LOSSLESS | XENPT_SETUP_NO_PIP)
/* Of IA32_RTIT_CTL: Xen's. */
#define CTL_XEN (XPT_CTL_TRACE_EN | XPT_CTL_FABRIC_EN | XPT_CTL_TOPA)

static bool __read_mostly opt_xenpt = true;
bool __read_mostly xenpt_opt_guest;

/* "xenpt=<bool>", "xenpt=guest": guests may use PT, too. */
static int __init cf_check parse_xenpt(const char *s)
{
    const char *end;
    int val, rc = 0;

    do {
        end = strchr(s, ',');
        if ( !end )
            end = strchr(s, '\0');

        if ( (val = parse_bool(s, end)) >= 0 )
            opt_xenpt = val;
        else if ( (val = parse_boolean("guest", s, end)) >= 0 )
            xenpt_opt_guest = val;
        else
            rc = -EINVAL;

        s = end + 1;
    } while ( *end );

    return rc;
}
custom_param("xenpt", parse_xenpt);

struct xenpt_cpu __read_mostly xenpt_cpu;
bool __read_mostly xenpt_cpu_used;

/* The bits that a capability MSR allows to be set. */
static uint32_t allowed(unsigned int msr)
{
    uint64_t value;

    rdmsrl(msr, value);

    return value >> 32;
}

static void probe(uint32_t secondary, uint64_t misc, struct xenpt_cpu *cpu)
{
    uint32_t eax, edx, exit, entry;
    struct xpt_caps *caps = &cpu->caps;

    memset(cpu, 0, sizeof(*cpu));
    if ( !cpu_has_proc_trace || !(misc & VMX_MISC_PROC_TRACE) ||
         !(secondary & SECONDARY_EXEC_ENABLE_EPT) )
        return;

    cpuid_count(0x14, 0, &eax, &caps->ebx0, &caps->ecx0, &edx);
    if ( eax )
        cpuid_count(0x14, 1, &caps->eax1, &caps->ebx1, &eax, &edx);
    caps->maxphyaddr = paddr_bits;

    exit = allowed(MSR_IA32_VMX_EXIT_CTLS);
    entry = allowed(MSR_IA32_VMX_ENTRY_CTLS);
    cpu->conceal_guest = allowed(MSR_IA32_VMX_PROCBASED_CTLS2) &
                         SECONDARY_EXEC_CONCEAL_FROM_PT;
    cpu->conceal_exit = exit & VM_EXIT_CONCEAL_FROM_PT;
    cpu->conceal_entry = entry & VM_ENTRY_CONCEAL_FROM_PT;
    cpu->available = (caps->ecx0 & XPT_CAP0_ECX_TOPA) &&
                     (allowed(MSR_IA32_VMX_PROCBASED_CTLS2) &
                      SECONDARY_EXEC_PT_USE_GPA) &&
                     (exit & VM_EXIT_CLEAR_RTIT_CTL) &&
                     (entry & VM_ENTRY_LOAD_RTIT_CTL);
}

int xenpt_cpu_init(bool bsp, uint32_t secondary, uint64_t misc)
{
    static bool __read_mostly done;
    struct xenpt_cpu cpu;

    if ( bsp && !done )
    {
        done = true;
        if ( opt_xenpt )
            probe(secondary, misc, &xenpt_cpu);
        return 0;
    }

    if ( !xenpt_cpu.available )
        return 0;

    probe(secondary, misc, &cpu);
    if ( !memcmp(&cpu, &xenpt_cpu, sizeof(cpu)) )
        return 0;

    /* Whose controls are set may come to run there: it is too late to do without. */
    printk("VMX: Processor Trace differs between CPU%u and BSP: %s\n",
           smp_processor_id(),
           xenpt_cpu_used ? "the CPU is refused" : "not used");
    if ( xenpt_cpu_used )
        return -EINVAL;
    xenpt_cpu.available = false;

    return 0;
}

/* What pt/soft.c does of what a CPU may have, where it makes sense when stepped. */
const struct xpt_caps xenpt_soft_caps = {
    .ebx0 = XPT_CAP0_EBX_CR3_FILTER | XPT_CAP0_EBX_IP_FILTER,
    .ecx0 = XPT_CAP0_ECX_TOPA | XPT_CAP0_ECX_TOPA_MULTI |
            XPT_CAP0_ECX_SINGLE_RANGE,
    .eax1 = XPT_ADDR_RANGES_MAX,
    .maxphyaddr = 52,
};

/*
 * By the NMI window where there is no MTF.  With APICv interrupts are delivered
 * to the guest that Xen does not see.
 */
bool xenpt_soft_available(void)
{
    return opt_xenpt && cpu_has_vmx && cpu_has_vmx_ept &&
           !cpu_has_vmx_virtual_intr_delivery &&
           (cpu_has_monitor_trap_flag || cpu_has_vmx_vnmi);
}

static int __init cf_check soft_init(void)
{
    if ( xenpt_soft_available() && !cpu_has_proc_trace )
        vmtrace_available = true;

    return 0;
}
__initcall(soft_init);

/* The CPU's own PT; another may have its interrupt. */
bool xenpt_hardware_available(void)
{
    return xenpt_cpu.available && xenpt_may_int();
}

static uint64_t capabilities(void)
{
    const struct xpt_caps *caps = &xenpt_soft_caps;
    uint64_t value = 0;

    if ( xenpt_soft_available() )
        value |= XENPT_CAP_SOFT |
                 (cpu_has_monitor_trap_flag ? XENPT_CAP_MTF : 0) |
                 (cpu_has_proc_trace ? 0 : XENPT_CAP_STOCK_SOFT);
    if ( xenpt_hardware_available() )
    {
        value |= XENPT_CAP_EPT;
        caps = &xenpt_cpu.caps;
    }
    if ( !value )
        return 0;

    value |= XENPT_CAP_PIP | XENPT_CAP_INT;
    if ( caps->ebx0 & XPT_CAP0_EBX_CR3_FILTER )
        value |= XENPT_CAP_CR3_FILTER;
    if ( caps->ebx0 & XPT_CAP0_EBX_MTC )
        value |= XENPT_CAP_MTC;
    if ( caps->ebx0 & XPT_CAP0_EBX_PSB_CYC )
        value |= XENPT_CAP_CYC;
    if ( caps->ebx0 & XPT_CAP0_EBX_PTWRITE )
        value |= XENPT_CAP_PTWRITE;
    if ( !xenpt_single_entry(caps) )
        value |= XENPT_CAP_TOPA_MULTI;
    if ( caps->ebx0 & XPT_CAP0_EBX_IP_FILTER )
        value |= (uint64_t)min(caps->eax1 & 7, XPT_ADDR_RANGES_MAX + 0u)
                 << XENPT_CAP_RANGES_SHIFT;

    return value;
}

/* ---- The VMCS of a paused vCPU ------------------------------------------- */

void xenpt_write_controls(struct vcpu *v, bool on)
{
    const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;
    const uint32_t entry_bits = VM_ENTRY_LOAD_RTIT_CTL |
        (xenpt_cpu.conceal_entry ? VM_ENTRY_CONCEAL_FROM_PT : 0);
    const uint32_t exit_bits = VM_EXIT_CLEAR_RTIT_CTL |
        (xenpt_cpu.conceal_exit ? VM_EXIT_CONCEAL_FROM_PT : 0);
    unsigned long entry, exit;

    vmx_vmcs_enter(v);

    /* PT_USE_GPA needs both others: SDM, "VM-Execution Control Fields". */
    __vmread(VM_ENTRY_CONTROLS, &entry);
    __vmread(VM_EXIT_CONTROLS, &exit);
    if ( on )
    {
        entry |= entry_bits;
        exit |= exit_bits;
        v->arch.hvm.vmx.secondary_exec_control |= SECONDARY_EXEC_PT_USE_GPA;
        /* In its own trace a guest sees no hypervisor: PIPs have NR=0. */
        if ( (xp->flags & XENPT_SETUP_GUEST) && xenpt_cpu.conceal_guest )
            v->arch.hvm.vmx.secondary_exec_control |=
                SECONDARY_EXEC_CONCEAL_FROM_PT;
    }
    else
    {
        entry &= ~(unsigned long)entry_bits;
        exit &= ~(unsigned long)exit_bits;
        v->arch.hvm.vmx.secondary_exec_control &=
            ~(SECONDARY_EXEC_PT_USE_GPA | SECONDARY_EXEC_CONCEAL_FROM_PT);
    }
    __vmwrite(VM_ENTRY_CONTROLS, entry);
    __vmwrite(VM_EXIT_CONTROLS, exit);
    vmx_update_secondary_exec_control(v);
    __vmwrite(GUEST_IA32_RTIT_CTL,
              on ? xp->msrs.ctl : 0);

    vmx_vmcs_exit(v);
}

/* ---- Operations: the vCPU is paused, the domain locked ------------------- */

static void go_on(struct vcpu *v)
{
    if ( v->arch.hvm.vmx.xenpt->waits )
    {
        v->arch.hvm.vmx.xenpt->waits = false;
        vcpu_unpause(v);
    }
}

static bool can(uint64_t flags)
{
    return flags & XENPT_SETUP_SOFT ? xenpt_soft_available()
                                    : xenpt_hardware_available();
}

bool xenpt_is_owned(const struct vcpu *v)
{
    /* Also what the stock interface can arm without enabling it. */
    return v->arch.hvm.vmx.xenpt || v->arch.hvm.vmx.ipt_active ||
           (v->arch.msrs->rtit.ctl & RTIT_CTL_TRACE_EN);
}

static int setup(struct vcpu *v, uint64_t table, uint64_t flags)
{
    struct xenpt_vcpu *xp;
    struct xenpt_output *out;
    int rc;

    if ( flags & ~(uint64_t)SETUP_FLAGS )
        return -EINVAL;
    if ( !can(flags) )
        return -ENODEV;
    if ( xenpt_is_owned(v) )
        return -EBUSY;

    xp = vzalloc(sizeof(*xp));
    if ( !xp )
        return -ENOMEM;
    xp->flags = flags;
    xp->caps = xenpt_is_soft(xp) ? &xenpt_soft_caps : &xenpt_cpu.caps;
    if ( !xenpt_is_soft(xp) )
        xenpt_cpu_used = true;
    out = &xp->out;

    rc = xenpt_output_init(out, v->domain, xp->caps, table);
    if ( rc )
    {
        vfree(xp);
        return rc;
    }

    if ( (flags & XENPT_SETUP_LOSSLESS) &&
         (!out->ring || !out->each_int ||
          xenpt_output_size(out) < 4 * out->largest) )
    {
        xenpt_output_free(out);
        vfree(xp);
        return -EINVAL;
    }

    xenpt_reset(v, xp);
    v->arch.hvm.vmx.xenpt = xp;

    return 0;
}

static int enable(struct vcpu *v, struct xenpt_vcpu *xp, uint64_t ctl)
{
    if ( xp->enabled )
        return -EBUSY;
    if ( xp->fault || xp->spent || xenpt_ended(xp) )
        return -EIO;
    if ( (ctl & CTL_XEN) ||
         !xpt_msr_write(&xp->msrs, xp->caps, XPT_MSR_CTL,
                        ctl | XPT_CTL_TOPA | XPT_CTL_TRACE_EN) )
        return -EINVAL;

    /* The guest may have written CR3 while nobody looked. */
    xp->pip.stream_cr3 = XPT_CR3_UNKNOWN;
    xp->enabled = true;
    xp->reload = true;
    if ( !xenpt_is_soft(xp) )
        xenpt_write_controls(v, true);

    return 0;
}

static void disable(struct vcpu *v)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( !xp || !xp->enabled )
        return;

    if ( xenpt_is_soft(xp) )
    {
        xenpt_soft_settle(v, xp);
        xenpt_step_undo(v);
    }
    else
        xenpt_write_controls(v, false);
    xp->enabled = false;
    xp->msrs.ctl &= ~XPT_CTL_TRACE_EN;
    go_on(v);
}

int xenpt_teardown(struct vcpu *v, bool scrub)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;
    int rc;

    if ( !xp )
        return 0;

    disable(v);
    xp->closing = true;
    rc = xenpt_output_unpin(&xp->out, scrub);
    if ( rc )
        return rc;

    v->arch.hvm.vmx.xenpt = NULL;
    xenpt_output_free(&xp->out);
    vfree(xp);

    return 0;
}

static bool is_set_up(const struct domain *d)
{
    const struct vcpu *v;

    for_each_vcpu ( d, v )
        if ( xenpt_is_told(v->arch.hvm.vmx.xenpt) )
            return true;

    return false;
}

static void close_port(struct domain *d)
{
    if ( is_set_up(d) )
        return;

    if ( d->arch.hvm.vmx.xenpt_port )
        free_xen_event_channel(d, d->arch.hvm.vmx.xenpt_port);
    d->arch.hvm.vmx.xenpt_port = 0;
}

static int open_port(struct domain *d, uint64_t *port)
{
    int rc;

    /* Nothing would close it. */
    if ( !is_set_up(d) )
        return -ENODATA;

    if ( !d->arch.hvm.vmx.xenpt_port )
    {
        rc = alloc_unbound_xen_event_channel(d, 0, current->domain->domain_id,
                                             NULL);
        if ( rc < 0 )
            return rc;
        d->arch.hvm.vmx.xenpt_port = rc;
    }
    *port = d->arch.hvm.vmx.xenpt_port;

    return 0;
}

/*
 * Whether no lap is missed: the interrupt is not precise, this region and the
 * next may be filled before the vCPU comes out of the guest.
 */
static bool counts(const struct xenpt_output *out)
{
    return !out->ring ||
           (out->each_int && xenpt_output_size(out) > 2 * out->largest);
}

static uint64_t status(const struct xenpt_vcpu *xp)
{
    uint64_t value = xp->topa.status;

    if ( counts(&xp->out) || xenpt_is_soft(xp) )
        value |= XENPT_STATUS_TOTAL;
    if ( xp->waits )
        value |= XENPT_STATUS_WAITS;
    if ( xp->fault )
        value |= XENPT_STATUS_FAULT;
    if ( xp->spent )
        value |= XENPT_STATUS_SPENT;
    if ( xenpt_runs(xp) && !xenpt_ended(xp) )
        value |= XENPT_STATUS_ON;

    return value;
}

static int filter(struct xenpt_vcpu *xp, uint64_t msr, uint64_t value)
{
    if ( xp->enabled )
        return -EBUSY;

    switch ( msr )
    {
    case XPT_MSR_CR3_MATCH:
    case XPT_MSR_ADDR0_A ... XPT_MSR_ADDR0_A + 2 * XPT_ADDR_RANGES_MAX - 1:
        if ( xpt_msr_write(&xp->msrs, xp->caps, msr, value) )
            return 0;
        break;
    }

    return -EINVAL;
}

static int consume(struct vcpu *v, struct xenpt_vcpu *xp, uint64_t bytes)
{
    if ( !(xp->flags & XENPT_SETUP_LOSSLESS) || bytes < xp->consumed ||
         bytes > xp->total )
        return -EINVAL;

    xp->consumed = bytes;
    if ( !xenpt_is_full(xp) )
        go_on(v);

    return 0;
}

int xenpt_held(const struct vcpu *v)
{
    const struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;

    if ( !xp || (xp->flags & XENPT_SETUP_STOCK) )
        return 0;

    return xp->flags & XENPT_SETUP_GUEST ? -EEXIST : -EBUSY;
}

static int vcpu_op(struct vcpu *v, struct xen_domctl_vmtrace_op *op)
{
    struct xenpt_vcpu *xp = v->arch.hvm.vmx.xenpt;
    int rc;

    /* The stock interface's, or the guest's, is not for this one to end. */
    if ( xp && (xp->flags & XENPT_SETUP_GUEST) )
        return -EEXIST;
    if ( xp && (xp->flags & XENPT_SETUP_STOCK) )
        return -EBUSY;

    switch ( op->cmd )
    {
    case XEN_DOMCTL_vmtrace_xenpt_setup:
        return setup(v, op->key, op->value);

    case XEN_DOMCTL_vmtrace_xenpt_disable:
        disable(v);
        return 0;

    case XEN_DOMCTL_vmtrace_xenpt_teardown:
        rc = xenpt_teardown(v, true);
        if ( xp && !rc )
            close_port(v->domain);
        return rc;
    }

    if ( !xp || xp->closing )
        return -ENODATA;

    /* A pause is a VM exit: what the CPU holds back is put out. */
    if ( xenpt_is_soft(xp) )
        xenpt_soft_settle(v, xp);

    switch ( op->cmd )
    {
    case XEN_DOMCTL_vmtrace_xenpt_enable:
        return enable(v, xp, op->value);

    case XEN_DOMCTL_vmtrace_xenpt_position:
        op->key = xp->topa.output_base;
        op->value = xp->topa.output_mask_ptrs;
        return 0;

    case XEN_DOMCTL_vmtrace_xenpt_status:
        op->key = xp->total;
        op->value = status(xp);
        return 0;

    case XEN_DOMCTL_vmtrace_xenpt_reset:
        if ( xp->enabled )
            return -EBUSY;
        xenpt_reset(v, xp);
        return 0;

    case XEN_DOMCTL_vmtrace_xenpt_filter:
        return filter(xp, op->key, op->value);

    case XEN_DOMCTL_vmtrace_xenpt_consume:
        return consume(v, xp, op->value);

    case XEN_DOMCTL_vmtrace_xenpt_budget:
        if ( !xenpt_is_soft(xp) )
            return -EINVAL;
        xp->step.budget = op->value;
        xp->spent = false;
        return 0;
    }

    return -EOPNOTSUPP;
}

static int check_domain(const struct domain *d)
{
    if ( d == current->domain )
        return -EDEADLK; /* No vcpu_pause() */
    if ( d->is_dying )
        return -ESRCH;
    if ( !cpu_has_vmx || !is_hvm_domain(d) )
        return -EOPNOTSUPP;
    if ( !hap_enabled(d) )
        return -ENXIO;
    if ( nestedhvm_enabled(d) )
        return -EXDEV;

    return 0;
}

int xenpt_domctl(struct domain *d, struct xen_domctl_vmtrace_op *op)
{
    struct vcpu *v = NULL;
    int rc;

    if ( op->cmd == XEN_DOMCTL_vmtrace_xenpt_caps )
    {
        op->key = XENPT_INTERFACE_VERSION;
        op->value = capabilities();
        return 0;
    }

    rc = check_domain(d);
    if ( rc )
        return rc;

    if ( op->cmd != XEN_DOMCTL_vmtrace_xenpt_evtchn )
    {
        v = domain_vcpu(d, op->vcpu);
        if ( !v )
            return -ENOENT;
        /* Before the lock, which the vCPU may wait for. */
        vcpu_pause(v);
    }

    domain_lock(d);
    /* As domain_kill() waits for the lock, nothing is set up after it. */
    if ( d->is_dying )
        rc = -ESRCH;
    else if ( v )
        rc = vcpu_op(v, op);
    else
        rc = open_port(d, &op->value);
    domain_unlock(d);

    if ( v )
        vcpu_unpause(v);

    return rc;
}

int xenpt_domain_relinquish(struct domain *d)
{
    struct vcpu *v;

    /* Elsewhere, this is not what the domain has. */
    if ( !cpu_has_vmx || !is_hvm_domain(d) )
        return 0;

    for_each_vcpu ( d, v )
    {
        /* Xen scrubs all that the domain had. */
        int rc = xenpt_teardown(v, false);

        if ( rc )
            return rc;
        xenpt_guest_free(v);
    }
    /* Dying, it has closed its ports. */
    d->arch.hvm.vmx.xenpt_port = 0;

    return 0;
}
