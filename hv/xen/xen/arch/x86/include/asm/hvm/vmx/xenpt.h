/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Intel Processor Trace of a guest into its own memory, by EPT: what the rest
 * of Xen calls.  None of it does anything for a vCPU that was not set up.
 */
#ifndef __ASM_X86_HVM_VMX_XENPT_H__
#define __ASM_X86_HVM_VMX_XENPT_H__

#include <xen/errno.h>
#include <xen/sched.h>

#include <public/xenpt.h>

struct xen_domctl_vmtrace_op;
struct cpuid_leaf;

/* Whose an exit is. */
enum xenpt_exit {
    XENPT_EXIT_XEN,
    XENPT_EXIT_GUEST, /* an exception that only software mode intercepts */
    XENPT_EXIT_NONE,  /* nobody's: software mode has made it */
};

#ifdef CONFIG_HVM

/*
 * At each CPU's bring-up.  @secondary is what the VMCS will be given, @misc
 * IA32_VMX_MISC.  -EINVAL: this CPU can less than those which are up.
 */
int xenpt_cpu_init(bool bsp, uint32_t secondary, uint64_t misc);

/* Sub-operations from XEN_DOMCTL_vmtrace_xenpt_base on. */
int xenpt_domctl(struct domain *d, struct xen_domctl_vmtrace_op *op);
/* Of any dying domain, before its memory is let go of.  -ERESTART: call again. */
int xenpt_domain_relinquish(struct domain *d);

static inline bool xenpt_owns(const struct vcpu *v)
{
    return unlikely(v->arch.hvm.vmx.xenpt);
}

/* -EBUSY: by this interface; -EEXIST: by the guest itself; 0: not, or by the stock one. */
int xenpt_held(const struct vcpu *v);

/* The vCPU's MSRs are no longer, or not yet, in the CPU. */
void xenpt_switch_to(struct vcpu *v);
/* First thing after VM exit, IRQs off: CR3 is as the guest left it. */
enum xenpt_exit xenpt_vmexit(struct vcpu *v);
/* Before each VM entry, while softirqs and pauses still count. */
void xenpt_assist(struct vcpu *v);
/* Last thing before VM entry, IRQs off: the VMCS has the guest's registers. */
void xenpt_vmenter(struct vcpu *v);
/* True: the exception is seen to. */
bool xenpt_exception(enum xenpt_exit exit, unsigned long intr_info);
/* The PMI was one of PT's. */
bool xenpt_pmi(void);
/* True: the exit was the output's, which is seen to. */
bool xenpt_output_fault(unsigned long qualification, paddr_t gpa);
bool xenpt_apic_access(void);
/*
 * The stock interface on a CPU without PT: IA32_RTIT_CTL.TraceEn becomes @enable,
 * or the position is wanted.
 */
int xenpt_stock_enable(struct vcpu *v, bool enable);
void xenpt_stock_settle(struct vcpu *v);
/* VMFUNC 0, which exits while PT runs. */
bool xenpt_vmfunc(const struct cpu_user_regs *regs);

/* PT for the guest itself: xenpt=guest. */
bool xenpt_guest_has(const struct domain *d);
/* Adds to the leaf what that brings. */
void xenpt_guest_cpuid(const struct domain *d, uint32_t leaf, uint32_t subleaf,
                       struct cpuid_leaf *res);
/* X86EMUL_*; UNHANDLEABLE: no MSR of PT's. */
int xenpt_guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val);
int xenpt_guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val);

#else /* !CONFIG_HVM */

static inline int xenpt_domctl(struct domain *d,
                               struct xen_domctl_vmtrace_op *op)
{
    return -EOPNOTSUPP;
}

static inline int xenpt_domain_relinquish(struct domain *d)
{
    return 0;
}

static inline bool xenpt_pmi(void)
{
    return false;
}

static inline bool xenpt_guest_has(const struct domain *d)
{
    return false;
}

static inline void xenpt_guest_cpuid(const struct domain *d, uint32_t leaf,
                                     uint32_t subleaf, struct cpuid_leaf *res)
{
}

int xenpt_guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *val);
int xenpt_guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t val);

#endif /* CONFIG_HVM */

#endif /* __ASM_X86_HVM_VMX_XENPT_H__ */
