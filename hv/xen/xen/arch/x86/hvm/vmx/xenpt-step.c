/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Software mode: one instruction at a time.
 *
 * By the monitor trap flag where the CPU has it: it exits after each instruction,
 * and at the first one of the handler of an event that the entry injects.
 *
 * Otherwise by RFLAGS.TF, whose #DB Xen intercepts anyway:
 *
 *   entry with TF ----------> an instruction -------> #DB exit
 *   entry with an event ----> NMI window exit at the handler's first instruction
 *
 * The CPU clears TF when it delivers an event.  So that no handler runs unseen, all
 * exceptions are intercepted and injected again, and INT n is injected in place of
 * running it.
 *
 * What is set for that is set at each entry, in the VMCS only: what Xen keeps of
 * its controls is not changed.
 */
#include <xen/sched.h>

#include <asm/debugreg.h>
#include <asm/guest_access.h>
#include <asm/hvm/hvm.h>
#include <asm/hvm/support.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "xenpt-private.h"

/* Of the qualification of a debug exception: B0-B3, BD. */
#define DEBUG_GUEST 0x200fu
/* Never taken away from Xen. */
#define EXCEPTIONS_XEN \
    ((1u << TRAP_debug) | (1u << TRAP_nmi) | (1u << TRAP_machine_check))

#define SHADOW (VMX_INTR_SHADOW_STI | VMX_INTR_SHADOW_MOV_SS)

/* IPs in packets are linear: SDM, "Trace Packets and Data Types". */
void xenpt_step_state(const struct vcpu *v, struct xpt_cpu_state *ret)
{
    unsigned long cs, ss, base;

    __vmread(GUEST_CS_AR_BYTES, &cs);
    __vmread(GUEST_SS_AR_BYTES, &ss);
    __vmread(GUEST_CS_BASE, &base);

    ret->ip = guest_cpu_user_regs()->rip;
    ret->cr3 = v->arch.hvm.hw_cr[3];
    ret->tsc = hvm_get_guest_tsc((struct vcpu *)v);
    ret->cpl = (ss & X86_SEG_AR_DPL) >> 5;
    ret->csl = hvm_long_mode_active(v) && (cs & X86_SEG_AR_CS_LM_ACTIVE);
    ret->csd = !ret->csl && (cs & X86_SEG_AR_DEF_OP_SIZE);
    ret->pae = xenpt_is_pae(v);
    if ( !ret->csl )
        ret->ip = (uint32_t)(base + ret->ip);
}

/* ---- The instruction that is next ---------------------------------------- */

static uint32_t pfec(const struct xpt_cpu_state *now)
{
    return PFEC_page_present | (now->cpl == 3 ? PFEC_user_mode : 0);
}

/* As many bytes as there are. */
static void fetch(const struct xpt_cpu_state *now, struct xpt_insn *insn)
{
    unsigned long address = insn->ip;
    unsigned int first, size = 0;
    pagefault_info_t info;

    first = min_t(unsigned int, XPT_INSN_MAX, PAGE_SIZE - (address & ~PAGE_MASK));
    if ( hvm_copy_from_guest_linear(insn->bytes, address, first,
                                    pfec(now) | PFEC_insn_fetch,
                                    &info) == HVMTRANS_okay )
    {
        size = first;
        if ( first < XPT_INSN_MAX &&
             hvm_copy_from_guest_linear(insn->bytes + first, address + first,
                                        XPT_INSN_MAX - first,
                                        pfec(now) | PFEC_insn_fetch,
                                        &info) == HVMTRANS_okay )
            size = XPT_INSN_MAX;
    }
    insn->size = size;
}

/* Cut to what it is, where that has to be known. */
static bool cut(const struct xpt_cpu_state *now, struct xpt_insn *insn)
{
    size_t size = xpt_insn_size(insn->bytes, insn->size, now->csl, now->csd);

    if ( size )
        insn->size = size;

    return size;
}

static enum xenpt_flow flow_of(const struct xpt_cpu_state *now,
                               const struct xpt_insn *insn)
{
    switch ( xpt_insn_opcode(insn->bytes, insn->size, now->csl) )
    {
    case 0x9c:
        return XENPT_FLOW_PUSHF;
    case 0x9d:
    case 0xcf:
        return XENPT_FLOW_POPF;
    case 0x0f07:
        return XENPT_FLOW_SYSRET;
    case 0x0f05:
        return XENPT_FLOW_SYSCALL;
    case 0xcd:
        return XENPT_FLOW_INT;
    default:
        return XENPT_FLOW_PLAIN;
    }
}

/*
 * Of an INT n: #PF of the part that is not there, and #UD, are not what is injected.
 * Nor is the #GP, or where VME leads, in virtual-8086 mode (SDM, "Details of
 * Vectored-Event Injection": there IOPL is not looked at).
 */
static enum xenpt_flow flow_of_int(const struct xpt_insn *insn, bool whole)
{
    unsigned long flags = guest_cpu_user_regs()->rflags;

    /* All before its two bytes are prefixes: LOCK is one. */
    if ( !whole || memchr(insn->bytes, 0xf0, insn->size - 2) )
        return XENPT_FLOW_PLAIN;
    if ( (flags & X86_EFLAGS_VM) &&
         (flags & X86_EFLAGS_IOPL) != X86_EFLAGS_IOPL )
        return XENPT_FLOW_INT_86;

    return XENPT_FLOW_INT;
}

void xenpt_step_prepare(struct vcpu *v, struct xenpt_vcpu *xp)
{
    const struct xpt_cpu_state now = xp->step.gen.s.now;
    struct xpt_insn insn = { .ip = now.ip }, shadowed = { .size = 0 };
    enum xenpt_flow flow;
    unsigned long base = 0;
    bool whole;

    if ( !now.csl )
        __vmread(GUEST_CS_BASE, &base);
    fetch(&now, &insn);
    flow = flow_of(&now, &insn);

    whole = cut(&now, &insn);
    if ( flow == XENPT_FLOW_INT )
        flow = flow_of_int(&insn, whole);

    if ( whole && !cpu_has_monitor_trap_flag &&
         xpt_insn_class(insn.bytes, insn.size, now.csl) == XPT_INSN_OTHER )
    {
        shadowed.ip = insn.ip + insn.size;
        fetch(&now, &shadowed);
        cut(&now, &shadowed);
    }

    if ( v->arch.hvm.vmx.xenpt != xp )
        return;
    xp->step.insn = insn;
    xp->step.shadowed = shadowed;
    xp->step.flow = flow;
    xp->step.base = base;
}

/* ---- Entry --------------------------------------------------------------- */

/* In the address spaces of the filter only: others' CR3 writes exit. */
static bool runs_free(const struct xenpt_vcpu *xp)
{
    const struct xpt_cpu_state *now = &xp->step.gen.s.now;
    uint64_t mask = now->pae ? XPT_CR3_MASK_PAE : XPT_CR3_MASK;

    if ( !(xp->msrs.ctl & (XPT_CTL_OS | XPT_CTL_USER)) )
        return true;

    return (xp->msrs.ctl & XPT_CTL_CR3_FILTER) &&
           ((now->cr3 ^ xp->msrs.cr3_match) & mask);
}

/* RF may be an exit's, of a fault; in place of one there is no breakpoint to pass. */
static void inject_int(const struct xpt_insn *insn)
{
    unsigned long flags;

    __vmread(GUEST_RFLAGS, &flags);
    __vmwrite(GUEST_RFLAGS, flags & ~(unsigned long)X86_EFLAGS_RF);
    __vmwrite(VM_ENTRY_INTR_INFO,
              INTR_INFO_VALID_MASK |
              MASK_INSR(X86_EVENTTYPE_SW_INTERRUPT, INTR_INFO_INTR_TYPE_MASK) |
              insn->bytes[insn->size - 1]);
    __vmwrite(VM_ENTRY_INSTRUCTION_LEN, insn->size);
}

/* The entry injects an event, or its instruction is made one. */
static bool make_event(const struct xenpt_step *step, bool stepped)
{
    unsigned long info;

    __vmread(VM_ENTRY_INTR_INFO, &info);
    if ( info & INTR_INFO_VALID_MASK )
        return true;
    if ( step->flow != XENPT_FLOW_INT || !stepped ||
         (cpu_has_monitor_trap_flag && !step->stopped) )
        return false;
    inject_int(&step->insn);

    return true;
}

/*
 * SYSCALL and SYSRET trap by what TF is after them (XSA-204): it is made to be set
 * then.  Whether the guest itself has it set is in @step->traps.
 */
static void set_tf_after(struct xenpt_step *step)
{
    struct cpu_user_regs *regs = guest_cpu_user_regs();
    uint64_t mask = current->arch.hvm.vmx.sfmask;

    if ( step->flow == XENPT_FLOW_SYSCALL )
    {
        step->traps = step->guest_tf && !(mask & X86_EFLAGS_TF);
        wrmsrl(MSR_SYSCALL_MASK, mask & ~(uint64_t)X86_EFLAGS_TF);
    }
    else if ( step->flow == XENPT_FLOW_SYSRET )
    {
        step->traps = regs->r11 & X86_EFLAGS_TF;
        regs->r11 |= X86_EFLAGS_TF;
    }
}

static void set_tf(struct xenpt_step *step)
{
    unsigned long flags, shadow;

    __vmread(GUEST_RFLAGS, &flags);
    __vmwrite(GUEST_RFLAGS, flags | X86_EFLAGS_TF);
    set_tf_after(step);

    /*
     * With TF, blocking by STI or MOV SS wants a pending #DB, which would come
     * before the instruction.  It is over after it: nothing is injected now.
     */
    __vmread(GUEST_INTERRUPTIBILITY_INFO, &shadow);
    step->shadow = shadow & SHADOW;
    if ( step->shadow )
        __vmwrite(GUEST_INTERRUPTIBILITY_INFO, shadow & ~(unsigned long)SHADOW);
}

/* Which controls make the vCPU come out after one instruction. */
static uint32_t arm(struct xenpt_step *step)
{
    unsigned long info, blocked;

    step->guest_tf = guest_cpu_user_regs()->rflags & X86_EFLAGS_TF;
    step->traps = step->guest_tf;

    if ( cpu_has_monitor_trap_flag )
    {
        step->by = XENPT_BY_MTF;
        return CPU_BASED_MONITOR_TRAP_FLAG;
    }

    if ( !step->injects )
    {
        step->by = XENPT_BY_TF;
        set_tf(step);
        return 0;
    }

    step->by = XENPT_BY_NMI_WINDOW;
    /* In an NMI's handler there is no such window. */
    __vmread(VM_ENTRY_INTR_INFO, &info);
    __vmread(GUEST_INTERRUPTIBILITY_INFO, &blocked);
    step->blind = (blocked & VMX_INTR_SHADOW_NMI) ||
        MASK_EXTR(info, INTR_INFO_INTR_TYPE_MASK) == X86_EVENTTYPE_NMI;

    return step->blind ? 0 : CPU_BASED_VIRTUAL_NMI_PENDING;
}

/* It comes out after one instruction, or when it comes to what is traced. */
static uint32_t bound(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    bool stepped = step->stopped || !xenpt_gates_fit(v, xp, false);

    step->injects = make_event(step, stepped);
    if ( step->injects ? !xenpt_gates_fit(v, xp, true) : stepped )
        return arm(step);
    step->by = XENPT_BY_GATES;

    return xenpt_gates_shut(v, xp, &step->gates);
}

void xenpt_step_enter(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    uint32_t controls = v->arch.hvm.vmx.exec_control;
    uint32_t exceptions = v->arch.hvm.vmx.exception_bitmap;

    /* As vmx_update_exception_bitmap(). */
    if ( v->arch.hvm.vmx.vmx_realmode )
        exceptions = ~0u;

    if ( step->by == XENPT_BY_GATES )
        xenpt_gates_unblock(&step->gates);
    step->by = XENPT_BY_NONE;
    step->hidden = false;
    step->injects = false;
    step->blind = false;
    step->shadow = 0;

    if ( xenpt_runs(xp) && step->on )
    {
        if ( runs_free(xp) )
            controls |= CPU_BASED_CR3_LOAD_EXITING;
        else
        {
            exceptions = ~0u;
            controls |= bound(v, xp);
            /* Windows are shut: it is only here that there is no shadow. */
            if ( step->shadow )
                controls &= ~(CPU_BASED_VIRTUAL_INTR_PENDING |
                              CPU_BASED_VIRTUAL_NMI_PENDING);
        }
    }

    step->gated = step->stopped;
    step->stopped = false;

    __vmwrite(CPU_BASED_VM_EXEC_CONTROL, controls);
    __vmwrite(EXCEPTION_BITMAP, exceptions);
}

void xenpt_step_undo(struct vcpu *v)
{
    const struct xenpt_step *step = &v->arch.hvm.vmx.xenpt->step;

    vmx_vmcs_enter(v);
    if ( step->by == XENPT_BY_GATES )
        xenpt_gates_unblock(&step->gates);
    vmx_update_cpu_exec_control(v);
    vmx_update_exception_bitmap(v);
    vmx_vmcs_exit(v);
}

/* ---- Exit ---------------------------------------------------------------- */

/* The exit is an exception's: was it a step, is it seen by nobody else? */
static enum xenpt_exit take_exception(struct vcpu *v, struct xenpt_step *step)
{
    unsigned long info, qualification;
    unsigned int vector;

    __vmread(VM_EXIT_INTR_INFO, &info);
    vector = info & INTR_INFO_VECTOR_MASK;

    if ( vector == TRAP_debug )
    {
        __vmread(EXIT_QUALIFICATION, &qualification);
        step->stepped = step->by == XENPT_BY_TF && (qualification & DR_STEP);
        step->hidden = step->stepped && !step->traps &&
                       !(qualification & DEBUG_GUEST);
        return step->hidden ? XENPT_EXIT_NONE : XENPT_EXIT_XEN;
    }
    if ( step->by == XENPT_BY_NONE )
        return XENPT_EXIT_XEN;

    /*
     * Or it is the instruction's own: then it comes again.  Not one of delivering what
     * was injected, which would be injected again.
     */
    step->stopped = step->by == XENPT_BY_GATES &&
        step->injects == step->delivered &&
        (vector == TRAP_invalid_op || vector == TRAP_gp_fault);
    step->hidden = step->stopped ||
        !((v->arch.hvm.vmx.exception_bitmap | EXCEPTIONS_XEN) & (1u << vector));

    if ( step->stopped )
        return XENPT_EXIT_NONE;

    return step->hidden ? XENPT_EXIT_GUEST : XENPT_EXIT_XEN;
}

/*
 * An exit that came in place of the #DB holds it back: it would come next, without
 * an instruction.  Some CPUs do so even if the instruction has not retired; whether
 * it has, RIP tells.
 */
static void drop_pending(const struct xenpt_step *step)
{
    unsigned long pending;

    if ( step->by != XENPT_BY_TF || step->traps || step->stepped )
        return;
    __vmread(GUEST_PENDING_DBG_EXCEPTIONS, &pending);
    if ( pending & DR_STEP )
        __vmwrite(GUEST_PENDING_DBG_EXCEPTIONS, pending & ~(unsigned long)DR_STEP);
}

/* The guest has not set TF: Xen and the guest do not find it set. */
static void hide_tf(const struct xenpt_step *step, struct cpu_user_regs *regs)
{
    bool after = step->stepped && (step->flow == XENPT_FLOW_SYSCALL ||
                                   step->flow == XENPT_FLOW_SYSRET);

    if ( step->by != XENPT_BY_TF )
        return;
    if ( !(after ? step->traps : step->guest_tf) &&
         !(step->stepped && step->flow == XENPT_FLOW_POPF) )
        regs->rflags &= ~(unsigned long)X86_EFLAGS_TF;
    if ( (after && step->flow == XENPT_FLOW_SYSCALL && !step->guest_tf) ||
         (step->flow == XENPT_FLOW_SYSRET && !step->traps) )
        regs->r11 &= ~(unsigned long)X86_EFLAGS_TF;
    if ( step->flow == XENPT_FLOW_SYSCALL )
        wrmsrl(MSR_SYSCALL_MASK, current->arch.hvm.vmx.sfmask);
}

/* Past the gates: it is not where they have it. */
static bool has_slipped(const struct xenpt_step *step)
{
    bool user = step->at.cpl;

    if ( !step->gates.to_user )
        return !user;

    /* What was to be injected may not have been. */
    return user && !(step->injects && !step->delivered && step->gen.s.now.cpl);
}

/* Is it a step, or one of its own making? */
static enum xenpt_exit take_exit(struct vcpu *v, struct xenpt_step *step,
                                 unsigned int reason)
{
    switch ( reason )
    {
    case EXIT_REASON_EXCEPTION_NMI:
        return take_exception(v, step);

    case EXIT_REASON_ACCESS_GDTR_OR_IDTR:
    case EXIT_REASON_ACCESS_LDTR_OR_TR:
        step->stopped = step->by == XENPT_BY_GATES &&
                        xenpt_gates_hide(v, &step->gates);
        step->hidden = step->stopped;
        return step->stopped ? XENPT_EXIT_NONE : XENPT_EXIT_XEN;

    case EXIT_REASON_MONITOR_TRAP_FLAG:
        step->stepped = step->by == XENPT_BY_MTF && !step->delivered;
        step->hidden = step->by == XENPT_BY_MTF && !v->arch.hvm.single_step;
        break;

    case EXIT_REASON_PENDING_VIRT_NMI:
        step->hidden = step->by == XENPT_BY_NMI_WINDOW &&
            !(v->arch.hvm.vmx.exec_control & CPU_BASED_VIRTUAL_NMI_PENDING);
        break;
    }

    return XENPT_EXIT_XEN;
}

enum xenpt_exit xenpt_step_exit(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    unsigned long reason, idtv, shadow;
    enum xenpt_exit exit;
    bool iret = false;

    if ( !step->on )
        return XENPT_EXIT_XEN;

    if ( step->by == XENPT_BY_GATES )
        iret = xenpt_gates_open(v, &step->gates);

    __vmread(VM_EXIT_REASON, &reason);
    __vmread(IDT_VECTORING_INFO, &idtv);
    step->exited = true;
    step->stepped = false;
    step->hidden = false;
    step->delivered = step->injects && !(idtv & INTR_INFO_VALID_MASK) &&
                      !(reason & VMX_EXIT_REASONS_FAILED_VMENTRY);

    /* There are flags above: a bus lock comes with any reason. */
    reason = (uint16_t)reason;
    exit = take_exit(v, step, reason);
    if ( step->delivered && step->by == XENPT_BY_NMI_WINDOW &&
         reason != EXIT_REASON_PENDING_VIRT_NMI )
        step->blind = true;
    else if ( !step->delivered )
        step->blind = false;
    drop_pending(step);
    hide_tf(step, guest_cpu_user_regs());

    if ( step->shadow && !step->stepped )
    {
        __vmread(GUEST_INTERRUPTIBILITY_INFO, &shadow);
        __vmwrite(GUEST_INTERRUPTIBILITY_INFO, shadow | step->shadow);
    }

    xenpt_step_state(v, &step->at);
    step->slipped = step->by == XENPT_BY_GATES && !iret && has_slipped(step);
    step->shows = step->by == XENPT_BY_TF && !step->guest_tf &&
                  step->flow == XENPT_FLOW_PUSHF &&
                  step->at.ip != step->insn.ip;
    /* RF is that of the exit at the gate. */
    if ( step->gated && step->stepped && step->flow == XENPT_FLOW_SYSCALL )
        guest_cpu_user_regs()->r11 &= ~(uint64_t)X86_EFLAGS_RF;

    return exit;
}

void xenpt_step_hide(struct vcpu *v, struct xenpt_step *step)
{
    const struct xpt_cpu_state now = step->at;
    unsigned long base = 0, address = guest_cpu_user_regs()->rsp;
    unsigned long attributes = X86_SEG_AR_DEF_OP_SIZE;
    pagefault_info_t info;
    uint8_t byte;

    step->shows = false;
    if ( !now.csl )
    {
        __vmread(GUEST_SS_BASE, &base);
        __vmread(GUEST_SS_AR_BYTES, &attributes);
        if ( !(attributes & X86_SEG_AR_DEF_OP_SIZE) )
            address = (uint16_t)address;
        address = (uint32_t)(base + address);
    }
    /* TF is bit 8 of what was pushed. */
    address++;
    if ( hvm_copy_from_guest_linear(&byte, address, 1, pfec(&now),
                                    &info) == HVMTRANS_okay )
    {
        byte &= ~(X86_EFLAGS_TF >> 8);
        hvm_copy_to_guest_linear(address, &byte, 1,
                                 pfec(&now) | PFEC_write_access, &info);
    }
}

/* The trace may be gone by now: Xen may have let the vCPU wait. */
bool xenpt_exception(enum xenpt_exit exit, unsigned long intr_info)
{
    struct x86_event event = {
        .vector = intr_info & INTR_INFO_VECTOR_MASK,
        .type = MASK_EXTR(intr_info, INTR_INFO_INTR_TYPE_MASK),
        .error_code = X86_EVENT_NO_EC,
    };
    unsigned long value;

    if ( exit != XENPT_EXIT_GUEST )
        return exit == XENPT_EXIT_NONE;

    if ( intr_info & INTR_INFO_DELIVER_CODE_MASK )
    {
        __vmread(VM_EXIT_INTR_ERROR_CODE, &value);
        event.error_code = value;
    }
    if ( event.type >= X86_EVENTTYPE_SW_INTERRUPT )
    {
        __vmread(VM_EXIT_INSTRUCTION_LEN, &value);
        event.insn_len = value;
    }
    if ( event.vector == TRAP_page_fault )
    {
        __vmread(EXIT_QUALIFICATION, &value);
        event.cr2 = value;
    }
    hvm_inject_event(&event);

    return true;
}
