/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Software mode: the vCPU is stepped (xenpt-step.c), and pt/soft.c makes the
 * packets that a CPU with PT would.
 *
 *   exit --> what the guest did is told --> [the trace stops, as at a VM exit]
 *        --> Xen handles the exit --> [a PIP, the trace goes on] --> entry
 *
 * What is in brackets is left out where only the stepping made the vCPU exit.  An
 * instruction that Xen emulates is not told: it comes between stop and start.
 *
 * All of it is done before entry, with IRQs on: the output is looked up in the p2m
 * for each write, as the CPU would by EPT, the guest's own tables included.
 */
#include <xen/sched.h>

#include <asm/processor.h>

#include "xenpt-private.h"

/* The ratio of TSC to crystal clock: not told, as there are no MTCs. */
#define MTC_SHIFT 0

void xenpt_soft_reset(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    uint64_t budget = step->budget;
    unsigned long ratio;

    memset(step, 0, sizeof(*step));
    step->budget = budget;
    if ( xp->flags & XENPT_SETUP_STOCK )
        xpt_topa_init(&xp->topa, &xenpt_stock_ops, v, 0, 0, 0, true,
                      paddr_bits, false);
    else
        xpt_topa_init(&xp->topa, &xenpt_p2m_ops, v, xp->out.tables[0].base, 0,
                      0, false, paddr_bits, xenpt_single_entry(xp->caps));
    /* CBR: the core's clock by the bus', of 100 MHz; a decoder refuses 0. */
    ratio = max(min(cpu_khz / 100000, 255ul), 1ul);
    xpt_soft_init(&step->gen, &xp->topa, &xp->msrs, ratio, MTC_SHIFT,
                  !(xp->flags & XENPT_SETUP_GUEST));
}

/* ---- What the guest did -------------------------------------------------- */

static bool same(const struct xpt_cpu_state *a, const struct xpt_cpu_state *b)
{
    return a->ip == b->ip && a->cr3 == b->cr3 && a->cpl == b->cpl &&
           a->csl == b->csl && a->csd == b->csd && a->pae == b->pae;
}

/* As a VM exit does. */
static void stop(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    const struct xpt_cpu_state *now = &step->gen.s.now;

    step->on = false;
    xpt_soft_stop(&step->gen, now->ip);
    xpt_pip_exit(&xp->pip, xp->msrs.ctl, now->cr3, now->pae);
    if ( xp->flags & XENPT_SETUP_STOCK )
        xenpt_stock_store(v, xp);
    xp->total = xp->topa.written;
}

/* As a VM entry does. */
static void go(struct vcpu *v, struct xenpt_vcpu *xp,
               const struct xpt_cpu_state *state)
{
    struct xenpt_step *step = &xp->step;

    if ( xp->flags & XENPT_SETUP_STOCK )
    {
        xenpt_stock_load(v, xp);
        step->gen.host_cr3 = read_cr3() & XPT_CR3_MASK;
    }
    else if ( !(xp->flags & XENPT_SETUP_NO_PIP) )
        xenpt_inject(v, xp);

    xpt_soft_start(&step->gen, state);
    step->on = !xenpt_ended(xp);
}

/* False: @insn does not lead to @after. */
static bool retire(struct xenpt_step *step, const struct xpt_insn *insn,
                   const struct xpt_cpu_state *after)
{
    const struct xpt_cpu_state *now = &step->gen.s.now;
    uint64_t ip = insn->ip - step->base, to = after->ip - step->base;

    if ( !now->csl )
    {
        ip = (uint32_t)ip;
        to = (uint32_t)to;
    }
    if ( !insn->size || insn->ip != now->ip ||
         !xpt_insn_leads_to(insn->bytes, insn->size, now->csl, now->csd, ip, to) )
        return false;

    xpt_soft_retire(&step->gen, insn, after);

    return true;
}

/*
 * TF does not trap between an instruction that loads SS and the next one (SDM,
 * "Masking Exceptions and Interrupts When Switching Stacks").
 */
static bool feed(struct xenpt_step *step)
{
    const struct xpt_insn *insn = &step->insn;
    struct xpt_cpu_state between = step->gen.s.now;

    if ( step->shadowed.size && step->at.ip != step->shadowed.ip )
    {
        between.ip = step->shadowed.ip;
        between.tsc = step->at.tsc;
        if ( !retire(step, insn, &between) )
            return false;
        insn = &step->shadowed;
    }

    return retire(step, insn, &step->at);
}

static void spend(struct xenpt_vcpu *xp)
{
    if ( xp->step.budget && !--xp->step.budget )
    {
        xp->spent = true;
        xp->notify = true;
    }
}

static void tell(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    const struct xpt_cpu_state *now = &step->gen.s.now;
    bool traced = xenpt_level_traced(xp, now);

    if ( step->by == XENPT_BY_NONE ||
         (step->by == XENPT_BY_GATES && !step->slipped) )
        ; /* out of the filters: nothing to tell */
    else if ( step->blind || step->slipped )
        xpt_soft_lost(&step->gen, &step->at);
    else if ( step->delivered )
        xpt_soft_event(&step->gen, now->ip, &step->at);
    else if ( step->stepped || step->at.ip != now->ip )
    {
        if ( (step->by == XENPT_BY_TF && step->flow == XENPT_FLOW_INT_86) ||
             !feed(step) )
            xpt_soft_lost(&step->gen, &step->at);
        if ( traced )
            spend(xp);
    }

    if ( !step->hidden || xp->spent )
        stop(v, xp);
}

static void catch_up(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;

    if ( step->exited && step->on )
        tell(v, xp);
    step->exited = false;
}

/*
 * Without unrestricted guest, Xen runs real mode in virtual-8086 mode, and emulates
 * what does not run there: nothing of that is traced.
 */
static bool is_emulated(const struct vcpu *v)
{
    return v->arch.hvm.vmx.vmx_realmode || v->arch.hvm.vmx.vmx_emulate;
}

bool xenpt_soft_assist(struct vcpu *v, struct xenpt_vcpu *xp)
{
    struct xenpt_step *step = &xp->step;
    struct xpt_cpu_state state;
    bool ended = xenpt_ended(xp), fault = xp->fault;

    catch_up(v, xp);
    if ( step->shows )
        xenpt_step_hide(v, step);
    if ( v->arch.hvm.vmx.xenpt != xp )
        return false;

    if ( xenpt_runs(xp) && !xp->waits && !xenpt_is_full(xp) )
    {
        xenpt_step_state(v, &state);
        /* Somebody has changed it since: the toolstack. */
        if ( step->on &&
             (is_emulated(v) || !same(&state, &step->gen.s.now)) )
            stop(v, xp);
        if ( !step->on && !xp->fault && !is_emulated(v) )
            go(v, xp, &state);
        if ( step->on )
        {
            xenpt_step_prepare(v, xp);
            if ( v->arch.hvm.vmx.xenpt != xp || !step->on )
                return false;
        }
    }

    xp->total = xp->topa.written;
    if ( ended != xenpt_ended(xp) || fault != xp->fault )
        xp->notify = true;
    if ( xp->topa.interrupt )
    {
        xp->topa.interrupt = false;
        xp->pmi = true;
    }
    /* What was met in mid-step. */
    if ( xp->fault || xenpt_ended(xp) )
        step->on = false;

    return true;
}

/*
 * Any vCPU: the guest's registers may not be those of the one that runs.  It may be in
 * the middle of an exit, where Xen lets it wait: wait_event().
 */
void xenpt_soft_settle(struct vcpu *v, struct xenpt_vcpu *xp)
{
    catch_up(v, xp);
    if ( xp->step.on )
        stop(v, xp);
}
