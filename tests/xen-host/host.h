/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for the files of hv/xen, in a program: domains with memory, vCPUs, CPUs that
 * trace. What Xen has around those files is in domain.c, memory.c and run.c; what the CPU
 * is, in cpu.c and pt.c.
 *
 * All of it is one thread: CPUs run in turns, when they are told to. What Xen may never
 * do ends the program: a fault, a lock held where it may not be, a page that is not let
 * go of, a write to memory that is not pinned.
 */
#ifndef XEN_HOST_H
#define XEN_HOST_H

#include <xen/config.h>

#include <asm/apic.h>
#include <asm/hvm/vmx/vmx.h>
#include <asm/hvm/vmx/xenpt.h>
#include <asm/p2m.h>
#include <asm/processor.h>
#include <public/domctl.h>
#include <xen/mm.h>
#include <xen/sched.h>

#include "hv/pt/msr.h"
#include "hv/pt/topa.h"

#define HOST_CPUS 3 /* the first is dom0's */
#define HOST_PAGES (17 * 1024)
#define HOST_DOMAINS 8
#define HOST_CR3 0x7ffff000ull /* Xen's own */
#define HOST_ALL_SUCCEED UINT64_MAX

/* What a CPU has, and how Xen is started there. */
struct host_model {
	bool guest_pt; /* xenpt=guest */
	bool vmx, proc_trace, vnmi;
	struct xpt_caps caps; /* also its width of physical addresses */
	uint64_t misc;        /* IA32_VMX_MISC */
	uint32_t primary, secondary, exit, entry;
};
/* All that there is. */
extern const struct host_model host_model;

struct host_cpu {
	struct host_model model;
	struct vcpu *idle, *vcpu; /* that is on it */
	struct vcpu *loaded;      /* whose MSRs it has, which may not be who runs */
	struct vcpu *vmcs;
	bool guest;  /* in VMX non-root operation */
	bool traced; /* since the entry, which may end in a fault of the output */

	struct xpt_msrs pt;
	uint64_t perf_status; /* IA32_PERF_GLOBAL_STATUS */
	uint32_t lvtpc;
	uint64_t fmask;
	bool pmi; /* is to come */
};

/* Where vCPUs may wait: wait_event(). */
enum host_place {
	HOST_IN_EXIT, /* its event finds a full ring */
	HOST_IN_COPY, /* of memory that is paged out */
};

struct host {
	struct host_cpu cpus[HOST_CPUS];
	unsigned int cpu; /* which runs now */
	struct domain *domains[HOST_DOMAINS], *dom0;

	/* For who tests to set. */
	size_t skid;        /* bytes that a CPU puts out before it takes the interrupt */
	uint64_t successes; /* of allocations, before one fails */
	bool preempt;       /* something else is always to run */
	/* Once, while Xen lets a vCPU wait there. */
	void (*asleep)(struct vcpu *v);
	enum host_place place;
	/* Before an operation that was preempted goes on. */
	void (*between)(struct domain *d);
	unsigned int restarts; /* of what was preempted */

	/* What Xen has, and who tests must find as it was. */
	unsigned int heap_pages, blocks, maps, page_maps, gfns;
	bool irqs_off;
	bool asked;            /* an operation is under way */
	unsigned int messages; /* printed */

	uint64_t tsc, dirtied;        /* pages, by Xen */
	unsigned int vpmu_interrupts; /* that were not PT's */
	uint64_t injected; /* bytes that Xen has changed in its guests' memory */
};
extern struct host host;

/*
 * Boot: all CPUs are @model, and Xen knows of them. It has dom0, with a vCPU, and no
 * other domain.
 */
void host_boot(const struct host_model *model, bool opt_xenpt);
/* The same before xenpt_cpu_init(). */
void host_power_on(const struct host_model *model, bool opt_xenpt);
int host_cpu_init(unsigned int cpu);
/* Kills what is there, and looks that nothing is left. */
void host_end(void);

/* Ends the program: Xen has done what it may not. */
void host_bug(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn, cold));
#define HOST_BUG_ON(condition)                                                 \
	do {                                                                   \
		if (condition)                                                 \
			host_bug("%s:%d: %s", __func__, __LINE__, #condition); \
	} while (0)
/* What must be so whenever Xen is not in the middle of an operation. */
void host_check(void);
/* Whether a vCPU's trace is written by Xen, where the guest's tables say. */
bool host_is_stepped(const struct domain *d);
/* Whether an allocation may succeed. */
bool host_succeed(void);

/* ---- domains ---- */

/* A domain that has HAP, and no memory. */
struct domain *host_domain_create(unsigned int vcpus);
/* To its end; nothing of it may be left. */
void host_domain_kill(struct domain *d);
/* A sub-operation, by dom0. @key and @value are in and out. */
int host_op(struct domain *d, uint32_t cmd, uint32_t vcpu, uint64_t *key,
	    uint64_t *value);
/*
 * The stock interface, on a Xen whose CPU has no PT: its buffer, XEN_DOMCTL_vmtrace_op
 * enable, reset and disable, and the position.
 */
void host_stock_add(struct vcpu *v, unsigned int nr_pages);
int host_stock(struct vcpu *v, bool enable, bool reset);
bool host_stock_position(struct vcpu *v, uint64_t *pos);
/* Keep a vCPU from running, or let it run again. */
void host_pause(struct vcpu *v);
void host_unpause(struct vcpu *v);

/* ---- memory ---- */

struct page_info *host_page_add(struct domain *d, unsigned long gfn);
/* What the guest gives back, or what is paged out. */
void host_page_take(struct domain *d, unsigned long gfn);
struct page_info *host_page(struct domain *d, unsigned long gfn);
void host_page_set(struct domain *d, unsigned long gfn, p2m_type_t type,
		   p2m_access_t access);
p2m_type_t host_page_type(struct domain *d, unsigned long gfn);
/* Another domain's page, there. */
void host_page_map(struct domain *d, unsigned long gfn, struct page_info *pg);
/* Of a view of altp2m: not there until it is copied, or forbidden. */
void host_view_set(struct domain *d, unsigned int view, unsigned long gfn,
		   p2m_access_t access);

uint8_t *host_bytes(const struct page_info *pg);
/* Pages one behind the other, that are nowhere in the p2m; each with a reference. */
struct page_info *host_pages_alloc(struct domain *d, unsigned int nr);
/* As the guest does. False: it may not. */
bool host_read(struct domain *d, uint64_t gpa, void *buf, size_t size);
bool host_write(struct domain *d, uint64_t gpa, const void *buf, size_t size);
/* As the CPU sees it for @v, or NULL: an EPT violation. */
uint8_t *host_ept(struct vcpu *v, uint64_t gpa, bool write);
/* Whether Xen's paging brings what the CPU has missed. */
bool host_paging(struct vcpu *v, uint64_t gpa);

void host_memory_init(void);
void host_memory_check(void);
struct p2m_domain *host_p2m_create(struct domain *d);
void host_p2m_free(struct p2m_domain *p2m);
void host_p2m_take_all(struct domain *d);
/* Around all that Xen does: @v may have a PIP put into its output; NULL: nothing. */
void host_watch(void);
void host_watched(const struct vcpu *v);
/* What is in that page now is none of that. */
void host_unwatch(struct domain *d, uint64_t gpa);

/* ---- vCPUs ---- */

/* Enter the guest, on @cpu. False: it may not run. */
bool host_run(struct vcpu *v, unsigned int cpu);
bool host_runs(const struct vcpu *v);
/* Come out as by an interrupt of the host's, and go in again unless it may not. */
bool host_cycle(struct vcpu *v);
/* Come out, and leave the CPU, which keeps the MSRs until another comes. */
void host_stop(struct vcpu *v);
/* The CPU's state is the vCPU's alone. */
void host_sync(struct vcpu *v);
/*
 * The guest runs code that makes these bytes of trace. How many were put out: if fewer,
 * the trace has ended or the vCPU waits.
 */
size_t host_trace(struct vcpu *v, const void *bytes, size_t size);
/* The guest writes CR3, and no exit tells Xen. */
void host_guest_cr3(struct vcpu *v, uint64_t cr3);
/* Xen does, while the vCPU is out. */
void host_xen_cr3(struct vcpu *v, uint64_t cr3);
/* The guest's RDMSR and WRMSR, as Xen has them: false is #GP. */
bool host_rdmsr_guest(struct vcpu *v, uint32_t msr, uint64_t *ret);
bool host_wrmsr_guest(struct vcpu *v, uint32_t msr, uint64_t value);
/* Exits for these reasons, and in again. Whether hv/xen has seen to it. */
bool host_apic_access(struct vcpu *v, bool async);
bool host_vmfunc(struct vcpu *v, uint32_t function, uint32_t view);
/* A performance counter's interrupt. Whether the vPMU got it. */
bool host_counter(struct vcpu *v);

/* ---- a CPU that runs code ---- */

struct host_exit {
	unsigned int reason; /* EXIT_REASON_* */
	unsigned long qualification;
	uint64_t gpa;
	uint32_t info, error, length; /* of an exception, or an instruction */
	struct cpu_user_regs regs;    /* of VMFUNC */
	uint32_t msr;
	uint64_t value;        /* of WRMSR, and out */
	int result;            /* out: X86EMUL_* */
	enum xenpt_exit whose; /* out */
	bool handled;          /* out */
};

/* In the guest's kernel, in 64-bit mode, at @ip; addresses are physical ones. */
void host_code_start(struct vcpu *v, uint64_t ip, uint64_t stack);
/* One instruction, or what comes before it. False: the vCPU is not in its guest. */
bool host_step(struct vcpu *v);
/* Until the vCPU is to run what is at @ip, or @most steps. */
bool host_step_to(struct vcpu *v, uint64_t ip, unsigned int most);

/* A fault, or a trap. */
#define HOST_EXCEPTION(vector)             \
	(INTR_INFO_VALID_MASK | (vector) | \
	 MASK_INSR(X86_EVENTTYPE_HW_EXCEPTION, INTR_INFO_INTR_TYPE_MASK))
/* Execution controls of each vCPU that are none of software mode's. */
#define HOST_CONTROLS 0xb6a065fau

/* What a guest has in its VMCS. */
#define HOST_EFER (EFER_LMA | EFER_SCE)
#define HOST_SYSENTER_CS 0x10
#define HOST_IDT_LIMIT 0xfff

/* What happens between instructions, and in them. */
bool host_raise(struct vcpu *v, const struct host_exit *exception);
void host_retire(struct vcpu *v, uint64_t to);
enum host_ran {
	HOST_RAN,
	HOST_RAISED, /* it did not retire */
	HOST_EXITED,
};
enum host_ran host_insn(struct vcpu *v, const uint8_t *bytes, size_t size,
			struct host_exit *exit);
/* EFER, or IA32_SYSENTER_CS. */
uint64_t host_msr(const struct vcpu *v, uint32_t msr);
unsigned int host_opcode(const uint8_t *bytes);
const struct host_model *host_cpu_model(const struct vcpu *v);
unsigned int host_cpl(const struct vcpu *v);
void host_cpl_set(struct vcpu *v, unsigned int cpl);
void host_push(struct vcpu *v, uint64_t value);
uint64_t host_pop(struct vcpu *v);
/* Delivered through the IDT. @ip is what is pushed. */
void host_deliver(struct vcpu *v, uint32_t info, uint32_t error, uint64_t ip);

/* Parts of entry and exit. */
void host_fall_asleep(struct vcpu *v, enum host_place place);
void host_cpu_enter(struct vcpu *v);
/* What is the guest's own is as it was, once hv/xen has been told of the exit. */
void host_cpu_check(const struct vcpu *v);
void host_cpu_exit(struct vcpu *v, const struct host_exit *exit);
bool host_out_and_in(struct vcpu *v, struct host_exit *exit);
/* Xen's: an event that the exit came in place of; other exits; vmx_intr_assist(). */
void host_reinject(struct vcpu *v);
void host_handle(struct vcpu *v, struct host_exit *exit);
void host_intr_assist(struct vcpu *v);

/* ---- the CPU ---- */

enum pt_result {
	PT_DONE,
	PT_FAULT, /* an EPT violation of the output */
	PT_ENDED, /* all that is lost */
};

unsigned long host_vmcs_read(const struct vcpu *v, unsigned long field);
void host_vmcs_write(struct vcpu *v, unsigned long field, unsigned long value);
/* Entry: on FAULT, the guest did not run. */
enum pt_result pt_enter(struct host_cpu *cpu, uint64_t *fault);
void pt_exit(struct host_cpu *cpu);
enum pt_result pt_put(struct host_cpu *cpu, const void *bytes, size_t size,
		      size_t *done_ret, uint64_t *fault);
void pt_mov_cr3(struct host_cpu *cpu, uint64_t cr3);
/* Whatever else ran on the CPU has left this in its MSRs. */
void pt_clobber(struct host_cpu *cpu);

#endif
