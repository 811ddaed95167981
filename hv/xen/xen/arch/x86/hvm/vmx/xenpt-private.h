/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __XENPT_PRIVATE_H__
#define __XENPT_PRIVATE_H__

#include <xen/sched.h>

#include <asm/hvm/vmx/xenpt.h>

#include <public/xenpt.h>

#include "pt/msr.h"
#include "pt/pip.h"
#include "pt/soft.h"
#include "pt/topa.h"

#define XENPT_TABLE_ENTRIES (PAGE_SIZE / sizeof(uint64_t))

/* A page of the guest's that the output can reach, by GFN. */
struct xenpt_page {
    unsigned long gfn;
    struct page_info *pg;
    const uint64_t *table; /* Xen's copy of a table; NULL: a region's page */
};

struct xenpt_table {
    uint64_t base;
    uint64_t *entries;  /* Xen's copy */
    unsigned int first; /* its first region, of all */
    unsigned int nr;
};

/* Tables and regions, as they were at set-up. */
struct xenpt_output {
    struct xenpt_page *pages; /* sorted */
    unsigned int nr_pages;
    void *map; /* pages[], in their order */

    struct xenpt_table tables[XENPT_TABLES_MAX];
    unsigned int nr_tables;

    uint32_t *start; /* of each region, in the stream; then the end of all */
    unsigned int nr_regions;
    uint32_t largest;

    bool ring;     /* leads back to its start; else ends in STOP */
    bool each_int;
};

/* How the next exit is made to come after one instruction. */
enum xenpt_by {
    XENPT_BY_NONE,       /* it is not: out of the filters */
    XENPT_BY_MTF,
    XENPT_BY_TF,         /* #DB */
    XENPT_BY_NMI_WINDOW, /* an event is injected: at its handler */
    XENPT_BY_GATES,      /* nor then: until it comes to the level that is traced */
};

/* What an instruction does to RFLAGS.TF. */
enum xenpt_flow {
    XENPT_FLOW_PLAIN,
    XENPT_FLOW_PUSHF,   /* shows it */
    XENPT_FLOW_POPF,    /* or IRET: what it is then is the guest's */
    XENPT_FLOW_SYSRET,  /* takes it from R11 */
    XENPT_FLOW_SYSCALL, /* shows it in R11 */
    XENPT_FLOW_INT,     /* INT n: the handler would run without it */
    XENPT_FLOW_INT_86,  /* and does: where that may be in virtual-8086 mode */
};

/* What of the VMCS is another while the vCPU runs free: xenpt-gate.c. */
struct xenpt_gates {
    bool to_user;
    bool nmis;      /* the guest has not blocked them */
    bool efer_seen; /* RDMSR of it does not exit */
    unsigned long efer, sysenter_cs, idt_limit;
};

/* Software mode. */
struct xenpt_step {
    struct xpt_soft gen;
    bool on; /* the generator traces: TraceEn, in the guest */

    /* The next instruction, and the one behind it if it may load SS. */
    struct xpt_insn insn, shadowed;
    enum xenpt_flow flow;
    unsigned long base; /* CS's: IPs are linear */

    /* The last entry. */
    enum xenpt_by by;
    bool guest_tf; /* TF is the guest's own */
    bool traps;    /* the #DB after the instruction is, too */
    bool injects;
    uint8_t shadow; /* of STI, MOV SS: taken out of the VMCS */
    struct xenpt_gates gates;

    /* The last exit, until the generator is told. */
    bool exited;
    bool stepped;   /* the instruction has retired */
    bool delivered; /* the event was */
    bool blind;     /* nobody saw the handler begin */
    bool hidden;    /* a CPU with PT would not have exited; also when told */
    bool shows;     /* TF is in what was pushed, until it is taken out */
    bool stopped;   /* a gate has, what is next: it is stepped */
    bool gated;     /* the last entry did so */
    bool slipped;   /* it was at no gate that CPL has changed */
    struct xpt_cpu_state at;

    uint64_t budget; /* instructions; 0: no end */
};

/* Internal, with XENPT_SETUP_*: the output is v->vmtrace.pg. */
#define XENPT_SETUP_STOCK (1u << 31)
/* The guest's own trace: its tables, and no accounts. */
#define XENPT_SETUP_GUEST (1u << 30)

struct xenpt_vcpu {
    unsigned int flags; /* XENPT_SETUP_* */
    const struct xpt_caps *caps;
    bool enabled;
    bool closing; /* some of the output is unpinned */
    bool fault;  /* the output was found missing, or not as it was */
    bool spent;  /* the budget is */
    bool reload; /* the CPU has none of these MSRs */
    bool moved;  /* nor where the output is */
    bool waits;
    bool notify;
    bool pmi; /* a region with INT is full */

    struct xpt_msrs msrs; /* CTL and the filters */
    struct xpt_topa topa; /* OUTPUT_BASE, MASK_PTRS, STATUS */
    struct xpt_pip pip;

    uint64_t total;    /* bytes put out */
    uint64_t consumed; /* of these */
    uint32_t position; /* in the stream, at the last look */

    /* An output fault that the guest's paging may see to. */
    uint64_t fault_gpa, fault_total;
    unsigned int fault_count;

    struct xenpt_output out;
    struct xenpt_step step;
};

static inline bool xenpt_is_soft(const struct xenpt_vcpu *xp)
{
    return xp->flags & XENPT_SETUP_SOFT;
}

/* By the operations of this interface: their port tells of it. */
static inline bool xenpt_is_told(const struct xenpt_vcpu *xp)
{
    return xp && !(xp->flags & (XENPT_SETUP_STOCK | XENPT_SETUP_GUEST));
}

static inline bool xenpt_runs(const struct xenpt_vcpu *xp)
{
    return xp && xp->enabled && !xp->fault && !xp->spent;
}

/* By the filter of privilege levels. */
static inline bool xenpt_level_traced(const struct xenpt_vcpu *xp,
                                      const struct xpt_cpu_state *state)
{
    return xp->msrs.ctl & (state->cpl ? XPT_CTL_USER : XPT_CTL_OS);
}

static inline bool xenpt_ended(const struct xenpt_vcpu *xp)
{
    return xp->topa.status & (XPT_STATUS_ERROR | XPT_STATUS_STOPPED);
}

/* The CPUs: xenpt.c. */
struct xenpt_cpu {
    struct xpt_caps caps;
    bool available;
    bool conceal_guest, conceal_exit, conceal_entry;
};
extern struct xenpt_cpu xenpt_cpu;
/* There is, or was, a vCPU that is to use it. */
extern bool xenpt_cpu_used;
extern bool xenpt_opt_guest;
void xenpt_write_controls(struct vcpu *v, bool on);
/* Traced by whomever. */
bool xenpt_is_owned(const struct vcpu *v);

/* Disable, unpin, forget.  -ERESTART: as xenpt_output_unpin(). */
int xenpt_teardown(struct vcpu *v, bool scrub);
extern const struct xpt_caps xenpt_soft_caps;
bool xenpt_soft_available(void);
bool xenpt_hardware_available(void);

static inline bool xenpt_single_entry(const struct xpt_caps *caps)
{
    return !(caps->ecx0 & XPT_CAP0_ECX_TOPA_MULTI);
}

/* The output: xenpt-output.c. */
int xenpt_output_init(struct xenpt_output *out, struct domain *d,
                      const struct xpt_caps *caps, uint64_t base);
/*
 * The guest's pages are its own again, and hold no trace if @scrub.  -ERESTART: some
 * are left, and it is to be called again.
 */
int xenpt_output_unpin(struct xenpt_output *out, bool scrub);
void xenpt_output_free(struct xenpt_output *out);
extern const struct xpt_mem_ops xenpt_output_ops;
/* Where OUTPUT_BASE and MASK_PTRS are in the stream. */
bool xenpt_output_position(const struct xenpt_output *out,
                           const struct xpt_topa *topa, uint32_t *pos);

/* VM entry and exit: xenpt-entry.c. */
bool xenpt_may_int(void);
bool xenpt_is_full(const struct xenpt_vcpu *xp);
void xenpt_reset(struct vcpu *v, struct xenpt_vcpu *xp);
bool xenpt_is_pae(const struct vcpu *v);
/* The PIP that nothing else writes. */
void xenpt_inject(struct vcpu *v, struct xenpt_vcpu *xp);
/* Nothing more is traced until a reset. */
void xenpt_end(struct xenpt_vcpu *xp);

/* The guest's memory, as the CPU finds it by EPT: xenpt-p2m.c.  IRQs on. */
/* With a reference; NULL: there is none that the vCPU may read, or write. */
struct page_info *xenpt_get_page(struct vcpu *v, unsigned long gfn, bool write);
/* Of a vCPU. */
extern const struct xpt_mem_ops xenpt_p2m_ops;

/* Software mode, what is told to the generator: xenpt-soft.c. */
void xenpt_soft_reset(struct vcpu *v, struct xenpt_vcpu *xp);
/* Before each entry, IRQs on.  False: as xenpt_step_prepare(), and to be done again. */
bool xenpt_soft_assist(struct vcpu *v, struct xenpt_vcpu *xp);
/* A vCPU that is paused: all trace is in memory, as after a VM exit. */
void xenpt_soft_settle(struct vcpu *v, struct xenpt_vcpu *xp);

/* Software mode, the stepping: xenpt-step.c. */
void xenpt_step_state(const struct vcpu *v, struct xpt_cpu_state *ret);
/*
 * Look at the instruction that is next, before it is run.  Of the vCPU that runs, which
 * may wait in it for memory that is paged out: meanwhile @xp may be torn down.  IRQs on.
 */
void xenpt_step_prepare(struct vcpu *v, struct xenpt_vcpu *xp);
/* What it has shown of TF.  The same. */
void xenpt_step_hide(struct vcpu *v, struct xenpt_step *step);
enum xenpt_exit xenpt_step_exit(struct vcpu *v, struct xenpt_vcpu *xp);
void xenpt_step_enter(struct vcpu *v, struct xenpt_vcpu *xp);
/* The VMCS is Xen's own again. */
void xenpt_step_undo(struct vcpu *v);

/* Software mode, what is left out by privilege level: xenpt-gate.c.  IRQs off. */
/*
 * Whether the vCPU, or the handler of the event that the entry injects, can run free
 * until it comes to what is traced.
 */
bool xenpt_gates_fit(const struct vcpu *v, const struct xenpt_vcpu *xp, bool injects);
/* At entry: what it takes of the primary controls. */
uint32_t xenpt_gates_shut(struct vcpu *v, const struct xenpt_vcpu *xp,
                          struct xenpt_gates *gates);
/* At exit: the VMCS is as the guest has it.  Whether the last instruction was IRET. */
bool xenpt_gates_open(struct vcpu *v, const struct xenpt_gates *gates);
/* Whether the exit is theirs, of an instruction that would show them. */
bool xenpt_gates_hide(const struct vcpu *v, const struct xenpt_gates *gates);
/* After that exit: Xen may have blocked NMIs again, for an IRET that faulted. */
void xenpt_gates_unblock(const struct xenpt_gates *gates);

/* The guest's own trace: xenpt-guest.c. */
void xenpt_guest_pmi(struct vcpu *v);
void xenpt_guest_free(struct vcpu *v);

/* Software mode into the stock interface's buffer: xenpt-stock.c. */
extern const struct xpt_mem_ops xenpt_stock_ops;
void xenpt_stock_load(struct vcpu *v, struct xenpt_vcpu *xp);
void xenpt_stock_store(struct vcpu *v, const struct xenpt_vcpu *xp);

static inline uint32_t xenpt_output_size(const struct xenpt_output *out)
{
    return out->start[out->nr_regions];
}

#endif /* __XENPT_PRIVATE_H__ */
