/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Software mode, where only the kernel is traced, or only user mode: the other runs
 * free, and what leads from it to the one that is traced comes out of the guest.
 *
 * No exit tells of CPL.  What changes it is made to exit, or to fault, which exits:
 *
 *   to user mode    IRET               NMIs are blocked, and their window exits: IRET
 *                                      unblocks them (SDM, "NMI-Window Exiting")
 *                   SYSRET             EFER.SCE is clear: #UD
 *                   SYSEXIT            IA32_SYSENTER_CS is 0: #GP
 *   to the kernel   SYSCALL, SYSENTER  the same
 *                   INT n              IDTR's limit is 0: #GP while it is delivered
 *                   all other events   exit anyway, or are exceptions: all of these do
 *
 * What faulted is then stepped, with all gates open.  They are shut in the VMCS, from an
 * entry to the next exit; what would show it exits as well, where the CPU can.
 *
 * A far RET to user mode, an IDT gate to a handler there, and a call gate to the kernel
 * are not stopped: whoever came so is found out at the next exit.
 */
#include <xen/sched.h>

#include <asm/hvm/hvm.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/msr.h>

#include "xenpt-private.h"

/* In the kernel they show what is not as the guest has it. */
static void intercept_msrs(struct vcpu *v, struct xenpt_gates *gates)
{
    struct vmx_msr_bitmap *bitmap = v->arch.hvm.vmx.msr_bitmap;

    vmx_set_msr_intercept(v, MSR_IA32_SYSENTER_CS, VMX_MSR_RW);
    gates->efer_seen = bitmap && !vmx_msr_is_intercepted(bitmap, MSR_EFER, false);
    if ( gates->efer_seen )
        vmx_set_msr_intercept(v, MSR_EFER, VMX_MSR_R);
}

/* But for those that a monitor watches. */
static void release_msrs(struct vcpu *v, const struct xenpt_gates *gates)
{
    vmx_clear_msr_intercept(v, MSR_IA32_SYSENTER_CS, VMX_MSR_RW);
    if ( gates->efer_seen )
        vmx_clear_msr_intercept(v, MSR_EFER, VMX_MSR_R);
}

/* But when one is injected, which does it. */
static void block_nmis(struct xenpt_gates *gates)
{
    unsigned long shadow, info;

    __vmread(GUEST_INTERRUPTIBILITY_INFO, &shadow);
    __vmread(VM_ENTRY_INTR_INFO, &info);
    gates->nmis = !(shadow & VMX_INTR_SHADOW_NMI) &&
        !((info & INTR_INFO_VALID_MASK) &&
          MASK_EXTR(info, INTR_INFO_INTR_TYPE_MASK) == X86_EVENTTYPE_NMI);
    if ( gates->nmis )
        __vmwrite(GUEST_INTERRUPTIBILITY_INFO, shadow | VMX_INTR_SHADOW_NMI);
}

void xenpt_gates_unblock(const struct xenpt_gates *gates)
{
    unsigned long shadow;

    if ( !gates->to_user || !gates->nmis )
        return;
    __vmread(GUEST_INTERRUPTIBILITY_INFO, &shadow);
    __vmwrite(GUEST_INTERRUPTIBILITY_INFO,
              shadow & ~(unsigned long)VMX_INTR_SHADOW_NMI);
}

static void hide_idt(struct vcpu *v, struct xenpt_gates *gates)
{
    __vmread(GUEST_IDTR_LIMIT, &gates->idt_limit);
    __vmwrite(GUEST_IDTR_LIMIT, 0);
    if ( cpu_has_vmx_dt_exiting )
        __vmwrite(SECONDARY_VM_EXEC_CONTROL,
                  v->arch.hvm.vmx.secondary_exec_control |
                  SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING);
}

static void show_idt(struct vcpu *v, const struct xenpt_gates *gates)
{
    unsigned long limit;

    if ( cpu_has_vmx_dt_exiting )
        __vmwrite(SECONDARY_VM_EXEC_CONTROL,
                  v->arch.hvm.vmx.secondary_exec_control);

    /* Else LIDT was run, by who came to the kernel by a call gate. */
    __vmread(GUEST_IDTR_LIMIT, &limit);
    if ( !limit )
        __vmwrite(GUEST_IDTR_LIMIT, gates->idt_limit);
}

bool xenpt_gates_fit(const struct vcpu *v, const struct xenpt_vcpu *xp, bool injects)
{
    bool user = xp->step.gen.s.now.cpl;

    if ( !cpu_has_vmx_efer )
        return false;
    if ( !(xp->msrs.ctl & XPT_CTL_USER) )
        return user && !injects;

    /* Where Xen waits for a window itself, it would come behind an IRET only. */
    return !(xp->msrs.ctl & XPT_CTL_OS) && (!user || injects) &&
           cpu_has_vmx_vnmi &&
           !(v->arch.hvm.vmx.exec_control & CPU_BASED_VIRTUAL_NMI_PENDING);
}

uint32_t xenpt_gates_shut(struct vcpu *v, const struct xenpt_vcpu *xp,
                          struct xenpt_gates *gates)
{
    gates->to_user = xp->msrs.ctl & XPT_CTL_USER;
    intercept_msrs(v, gates);
    __vmread(GUEST_EFER, &gates->efer);
    __vmwrite(GUEST_EFER, gates->efer & ~(unsigned long)EFER_SCE);
    __vmread(GUEST_SYSENTER_CS, &gates->sysenter_cs);
    __vmwrite(GUEST_SYSENTER_CS, 0);

    if ( !gates->to_user )
    {
        hide_idt(v, gates);
        return 0;
    }
    block_nmis(gates);

    return CPU_BASED_VIRTUAL_NMI_PENDING;
}

bool xenpt_gates_open(struct vcpu *v, const struct xenpt_gates *gates)
{
    unsigned long shadow;

    release_msrs(v, gates);
    __vmwrite(GUEST_EFER, gates->efer);
    __vmwrite(GUEST_SYSENTER_CS, gates->sysenter_cs);

    if ( !gates->to_user )
    {
        show_idt(v, gates);
        return false;
    }
    __vmread(GUEST_INTERRUPTIBILITY_INFO, &shadow);
    xenpt_gates_unblock(gates);

    return !(shadow & VMX_INTR_SHADOW_NMI);
}

bool xenpt_gates_hide(const struct vcpu *v, const struct xenpt_gates *gates)
{
    return !gates->to_user &&
           !(v->arch.hvm.vmx.secondary_exec_control &
             SECONDARY_EXEC_DESCRIPTOR_TABLE_EXITING);
}
