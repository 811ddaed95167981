/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The embedded hypervisor: a domain whose CPUs are Unicorn's, and which is traced as
 * a hypervisor with virtualized PT would trace it. server.c lets a client
 * control it; main.c starts it.
 *
 *	scenario.c  what to run      cpu.c      Unicorn, one vCPU after the other
 *	                             deliver.c  exceptions and interrupts
 *	                             vmm.c      VM exits, hypercalls, timer
 *	                             trace.c    hv/pt as the vCPU's PT hardware
 *	                             truth.c    what really ran
 *
 * One thread. Time is the number of instructions: for a seed, all vCPUs of a domain
 * do the same each time, whoever traces them and however slowly.
 */
#ifndef HV_SIM_SIM_H
#define HV_SIM_SIM_H

#include "hv/hv.h"

struct sim;

/* A scenario with its options: "demo,seed=7,tiny". */
struct sim_scenario {
	const char *name;  /* static: "introspect" */
	const char *about; /* static: a line for "xenpt list" */
	const char *guest; /* static: the guest's scenario= */
	uint32_t vcpus;
	bool cr3_exits; /* every CR3 write is emulated */
	uint64_t deny;  /* … and each deny-th is not done; 0: all are */
	bool no_pip;    /* … and no PIP is injected for it */
	bool tiny;      /* the smallest buffer that works */
	bool stop;      /* the last region stops the trace instead of going round */
	char topa[128]; /* sizes of regions, "4k+64k+4k"; "": the client's choice */
	uint64_t seed;
	char more[64];   /* of the guest's command line: " KEY=VALUE" for each */
	char truth[256]; /* a file to write what really ran to; "": none */
};

/* All scenarios, the last with a NULL name: their defaults. */
extern const struct sim_scenario sim_scenarios[];

/* "NAME[,OPTION]…". The error says which scenarios or options there are. */
struct xenpt_error *sim_scenario_parse(const char *text, struct sim_scenario *ret);

/* Called when there is something that a client should hear of. */
typedef void sim_notify_fn(void *arg, enum hv_event_type type, uint32_t vcpu);

/* Make the domain: memory, guest, vCPUs. Nothing runs yet. */
struct xenpt_error *sim_create(const struct sim_scenario *scenario, sim_notify_fn *notify,
			       void *arg, struct sim **ret);
void sim_destroy(struct sim *sim);

/*
 * Run about so many instructions. False: nothing can run, for the domain is paused,
 * waits for its client, or has ended. Errors are the simulator's own, never
 * the guest's.
 */
struct xenpt_error *sim_run(struct sim *sim, uint64_t insns, bool *ret);

enum hv_state sim_state(const struct sim *sim);
uint32_t sim_vcpus(const struct sim *sim);
void sim_cpu(const struct sim *sim, struct xenpt_cpu *ret);
/* Guest memory: offset = guest-physical address; GUEST_WINDOW_* of guest/abi.h is in it.
 */
int sim_memory_fd(const struct sim *sim);
/* The guest's ELF file. */
int sim_guest_fd(const struct sim *sim);
/* What the guest wrote, of late; NUL-terminated, the sim's. Not escaped. */
const char *sim_console(const struct sim *sim);

/* Whether PT may write to these pages of the window. False: they are not in it. */
bool sim_populate(struct sim *sim, uint64_t gfn, uint64_t count, bool populated);

void sim_pause(struct sim *sim);  /* what PT held back is put out */
void sim_resume(struct sim *sim); /* after sim_pause() or HV_EVENT_CODE */
void sim_registers(const struct sim *sim, uint32_t vcpu, struct xenpt_registers *ret);

/* ---- the vCPU's PT, as hypercalls would set it ---- */

struct sim_trace_setup {
	uint64_t output_base; /* a ToPA table */
	uint64_t ctl;         /* IA32_RTIT_CTL without TraceEn */
	uint64_t cr3_match;
	uint64_t addr[8]; /* ADDRn_A, ADDRn_B */
	uint64_t ring;    /* bytes of its regions */
	bool lossless; /* hold the vCPU while the ring is full of what is not consumed */
	bool watch_code; /* HV_EVENT_CODE */
};

struct sim_trace_position {
	uint64_t total; /* bytes put out since setup or reset */
	uint64_t output_base, mask_ptrs, status;
	bool fault;
};

/* The error says which MSR write a CPU would not take. */
struct xenpt_error *sim_trace_setup(struct sim *sim, uint32_t vcpu,
				    const struct sim_trace_setup *setup);
/* TraceEn, from the vCPU's next entry on. */
struct xenpt_error *sim_trace_enable(struct sim *sim, uint32_t vcpu);
void sim_trace_disable(struct sim *sim, uint32_t vcpu);
void sim_trace_teardown(struct sim *sim, uint32_t vcpu);
void sim_trace_reset(struct sim *sim, uint32_t vcpu);
void sim_trace_position(const struct sim *sim, uint32_t vcpu,
			struct sim_trace_position *ret);
void sim_trace_consume(struct sim *sim, uint32_t vcpu, uint64_t total);

#endif
