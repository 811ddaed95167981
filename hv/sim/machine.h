/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the embedded hypervisor share: see sim.h. */
#ifndef HV_SIM_MACHINE_H
#define HV_SIM_MACHINE_H

#include "hv/pt/insn.h"
#include "hv/pt/pip.h"
#include "hv/pt/soft.h"
#include "hv/sim/engine.h"
#include "hv/sim/guest/abi.h"
#include "hv/sim/sim.h"
#include "hv/sim/truth.h"

#define SIM_PAGE 4096ull
#define SIM_VCPUS_MAX 4
#define SIM_CONSOLE_SIZE 16384
#define SIM_TSC_PER_STEP 2 /* TSC ticks of an instruction */
#define SIM_MTC_SHIFT 6    /* TSC / crystal clock = 64 */
#define SIM_NOMINAL_RATIO 24

#define SIM_VECTOR_PF 14

/* ---- Pages ------------------------------------------------------------- */

#define SIM_PAGES ((GUEST_WINDOW_BASE + GUEST_WINDOW_SIZE) / SIM_PAGE)

/* By page frame number. */
enum sim_page_flag {
	SIM_PAGE_BUFFER = 1 << 0, /* the client's: PT may write to it */
	SIM_PAGE_RAN = 1 << 1,    /* code of it was translated by the engine */
};
#define SIM_LINE 64 /* bytes: what watch.c tells apart; as many to a page */

/* A page of code, by its virtual address. */
struct code_page {
	uint64_t va;  /* of the page */
	uint64_t tag; /* of the vCPU's translations, when it was found */
	uint64_t gfn;
	uint64_t watched; /* sim->watch_round when it was marked */
	const uint8_t *host;
};
#define CODE_PAGES 256

/* ---- A vCPU ------------------------------------------------------------ */

/* Instructions that the hypervisor, not the CPU, carries out. */
enum sim_exit {
	SIM_EXIT_NONE,
	SIM_EXIT_CPUID,
	SIM_EXIT_HYPERCALL,
	SIM_EXIT_IN,
	SIM_EXIT_OUT,
	SIM_EXIT_RDMSR,
	SIM_EXIT_WRMSR,
	SIM_EXIT_HLT,
	SIM_EXIT_MOV_TO_CR3,
	SIM_EXIT_FORCED_CR3, /* … behind Xen's forced emulation prefix */
	/* Those that Unicorn does not do as a CPU; to the guest they are no exits. */
	SIM_CPU_RDTSC,
	SIM_CPU_RDTSCP,
	SIM_CPU_SYSCALL,
};

/* Where the trace goes while the guest leaves the table alone. */
struct sim_region {
	uint64_t gpa, size;
};
#define SIM_REGIONS_MAX 64

struct sim_trace {
	struct sim_trace_setup setup;
	struct xpt_msrs msrs;
	struct xpt_topa topa;
	struct xpt_soft soft;
	struct xpt_pip pip;
	bool set_up;
	bool enabled;  /* TraceEn */
	bool on;       /* … and the vCPU is in the guest: between entry and exit */
	bool fault;    /* a page of the output was not there: nothing more is put out */
	bool fresh;    /* the next entry begins with a PSB+ */
	bool told_end; /* the client knows of fault, STOP, ERROR */
	bool told_full;
	uint64_t told;     /* total when the client was last told of data */
	uint64_t consumed; /* total that the client has read */
	struct sim_region regions[SIM_REGIONS_MAX];
	size_t region_count; /* 0: not known */
	uint64_t psb_at;     /* xpt_soft_psb_at() when truth was told last */
};

struct sim_timer {
	uint64_t deadline; /* sim->now; 0: off */
	uint32_t lvt, divide, initial;
	bool requested, in_service;
};

struct vcpu {
	struct sim *sim;
	uint32_t id;
	bool up, initialised, halted;

	uc_context *context;
	struct engine_state *state; /* in it; valid after cpu_sync() */
	uint64_t flags;             /* RFLAGS; the same */
	uint64_t cr2;               /* the same */
	struct xpt_cpu_state now;   /* before its next instruction */

	/* The instruction that the engine was given last, and that may yet fault. */
	struct xpt_insn insn;
	uint64_t insn_cr3;
	enum xpt_insn_class class;
	bool pending, rep;
	uint64_t store_va, store_size; /* what it wrote to last */

	uint64_t tag; /* of translations: another after each change of the tables */
	struct code_page pages[CODE_PAGES];

	struct sim_timer timer;
	bool wants_interrupt; /* stop where IF may have been set */
	struct sim_trace trace;
	struct truth_record block; /* insns 0: none */
};

/* ---- The domain -------------------------------------------------------- */

/* Why the engine was stopped. */
enum sim_stop {
	SIM_STOP_NONE,
	SIM_STOP_LIMIT, /* at vcpu->now.ip, all before it has retired */
	SIM_STOP_EXIT,  /* sim->exit, which is vcpu->insn */
	SIM_STOP_INTERRUPT,
};

/* A page that a vCPU has changed and the client should see as it was. */
struct changed_page {
	uint8_t *host;
	uint8_t before[SIM_PAGE], after[SIM_PAGE];
};
#define CHANGED_PAGES 4

struct sim {
	struct sim_scenario scenario;
	sim_notify_fn *notify;
	void *notify_arg;
	enum hv_state state;
	bool paused, code_held;

	int fd;
	int guest_fd; /* a memfd with the guest's ELF file */
	struct engine_memory memory;
	uint8_t page_flags[SIM_PAGES];
	struct engine *engine;

	uint32_t vcpu_count;
	struct vcpu vcpus[SIM_VCPUS_MAX];
	struct vcpu *current; /* who is in the engine; may be NULL */
	uint32_t turn;        /* whose slice it is */
	uint64_t slice_end;
	uint64_t now; /* time: instructions of all vCPUs, and idle time */
	uint64_t random;

	enum sim_stop stop;
	enum sim_exit exit;
	uint64_t stop_at;
	uint32_t interrupt;
	uint64_t cr3_writes; /* that exited */
	bool forget_code;    /* PT wrote where code was */

	/* watch.c */
	bool watching;
	uint64_t watch_round;
	uint64_t code_lines[SIM_PAGES];    /* that ran while traced */
	uint64_t table_lines[SIM_PAGES];   /* through which those were found */
	uint64_t written_lines[SIM_PAGES]; /* since the client was last told */
	struct vcpu *changer; /* wrote to code, or is about to run what is new; or NULL */
	size_t changed_count;
	struct changed_page changed[CHANGED_PAGES];

	FILE *truth;
	char console[SIM_CONSOLE_SIZE]; /* NUL-terminated */
	size_t console_length;
};

/* A number below @below, 0 excluded: the next of the seed's. */
uint64_t sim_random(struct sim *sim, uint64_t below);
/* Say something on the domain's console. */
void sim_print(struct sim *sim, const char *text, size_t length);
void sim_printf(struct sim *sim, const char *fmt, ...) XENPT_PRINTF(2, 3);
void sim_set_state(struct sim *sim, enum hv_state state);

/* ---- loader.c ---------------------------------------------------------- */

struct sim_image {
	uint64_t entry; /* where vCPU 0 starts, in long mode, with … */
	uint64_t cr3;
	uint64_t start_info; /* … this in RBX */
};
struct xenpt_error *sim_load(struct sim *sim, struct sim_image *ret);

/* ---- cpu.c ------------------------------------------------------------- */

/* Read the vCPU out of the engine, to look at it or change it; and put it back. */
void cpu_sync(struct vcpu *vcpu);
void cpu_commit(struct vcpu *vcpu);
/* now, from the rest of the state, but for ip. */
void cpu_refresh(struct vcpu *vcpu);
/* vcpu->now with the time as it is now. */
const struct xpt_cpu_state *cpu_now(struct vcpu *vcpu);
/* What translations the vCPU knows may be wrong now. */
void cpu_forget(struct vcpu *vcpu);
struct xenpt_error *cpu_create(struct sim *sim);
void cpu_destroy(struct sim *sim);
/* What it starts with: VCPUOP_initialise. */
void cpu_start(struct vcpu *vcpu, const struct vcpu_context *start);
/* vcpu->insn, which the hypervisor has done, is behind: at @ip is the next. */
void cpu_skip(struct vcpu *vcpu);

/* ---- decode.c ---------------------------------------------------------- */

/*
 * What @insn is to the hypervisor, at that privilege; its length in *@size_ret, which
 * is left alone for SIM_EXIT_NONE. *@stale_ret: translations may change.
 */
enum sim_exit insn_exit(const struct xpt_insn *insn, const struct xpt_cpu_state *at,
			uint8_t *size_ret, bool *stale_ret);
/* Whether the hypervisor wants to see the bytes behind it: UD2. */
bool insn_may_be_forced(const struct xpt_insn *insn);
/* Whether it begins with REP or REPNE. */
bool insn_is_rep(const struct xpt_insn *insn, bool wide);
/* Whether RFLAGS.IF may be another behind it. */
bool insn_sets_if(const struct xpt_insn *insn, enum xpt_insn_class class);

/* ---- deliver.c --------------------------------------------------------- */

enum event_kind {
	EVENT_FAULT,    /* of the instruction at ip, or a trap behind it */
	EVENT_SOFTWARE, /* INT n, INT3: returns behind it */
	EVENT_EXTERNAL, /* an interrupt */
};

struct guest_event {
	enum event_kind kind;
	uint8_t vector;
	bool has_code;
	uint32_t code;
	uint64_t from; /* the instruction that it comes before, or that it is */
	uint64_t return_ip;
	uint64_t cr2;
};

/* After cpu_sync(): to the handler, or the domain has crashed. */
void deliver_event(struct vcpu *vcpu, const struct guest_event *event);
void deliver_syscall(struct vcpu *vcpu);

/* ---- vmm.c ------------------------------------------------------------- */

/* Whether the hypervisor keeps that MSR; Unicorn has the others. */
bool vmm_owns_msr(uint32_t msr);
/* After cpu_sync(): do sim->exit. */
void vmm_exit(struct vcpu *vcpu);
/* The timer may have come to its end. */
void timer_update(struct vcpu *vcpu);
/* After cpu_sync(): deliver what is due. Whether something is, but cannot be yet. */
bool vmm_interrupt(struct vcpu *vcpu);

/* ---- trace.c ----------------------------------------------------------- */

void trace_entry(struct vcpu *vcpu); /* VM entry, at now */
void trace_exit(struct vcpu *vcpu);  /* VM exit, at now */
/* insn has retired, and led to now. */
void trace_retire(struct vcpu *vcpu);
void trace_event(struct vcpu *vcpu, uint64_t from);
/* Whether the vCPU has to wait for its client. */
bool trace_is_full(const struct vcpu *vcpu);
/* Whether the client should be told that it does. */
void trace_tell_full(struct vcpu *vcpu);
/* The guest is about to write here: of the trace, that is told to the truth. */
void trace_spoil(struct sim *sim, uint64_t gpa, uint64_t size);

/* ---- watch.c ----------------------------------------------------------- */

void watch_update(struct sim *sim); /* who watches may have changed */
/* Of @page these bytes are to run, unless sim->changer is set then. */
void watch_code(struct vcpu *vcpu, struct code_page *page, uint64_t offset,
		uint64_t size);
/* The vCPU is about to write @size bytes at @va; of up to 8 the value is known. */
void watch_write(struct vcpu *vcpu, uint64_t va, uint64_t size, uint64_t value);
void watch_hold(struct sim *sim);    /* sim->changer: show what was before */
void watch_release(struct sim *sim); /* let it happen */

/* ---- truth.c ----------------------------------------------------------- */

struct xenpt_error *truth_open(struct sim *sim);
void truth_close(struct sim *sim);
void truth_flush(struct sim *sim);
/* insn has retired; @ends: what follows is another block. */
void truth_retire(struct vcpu *vcpu, bool ends);
void truth_end_block(struct vcpu *vcpu);
void truth_mark(struct vcpu *vcpu, enum truth_type type, uint64_t offset);
void truth_spoil(struct vcpu *vcpu, uint64_t offset, uint8_t byte);

#endif
