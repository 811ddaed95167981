/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The software generator: fed one instruction at a time, it makes the packets that
 * the CPU would. SDM volume 3, "Intel Processor Trace", "Trace Packets and Data
 * Types" and "Packet Generation Scenarios".
 *
 * The order of calls is that of what the vCPU does:
 *
 *	xpt_soft_start()     TraceEn is set, or VM entry with it
 *	  xpt_soft_retire()  … each instruction that retires
 *	  xpt_soft_event()   … each interrupt, exception or fault that is delivered
 *	xpt_soft_stop()      TraceEn is cleared, or VM exit
 */
#ifndef HV_PT_SOFT_H
#define HV_PT_SOFT_H

#include "msr.h"
#include "topa.h"

#define XPT_INSN_MAX 15
#define XPT_RET_STACK 64 /* depth of the return stack of compressed returns */

/* What the vCPU is in before its next instruction. */
struct xpt_cpu_state {
	uint64_t ip;
	uint64_t cr3;
	uint64_t tsc; /* also counts the core's cycles */
	uint8_t cpl;
	bool csl, csd; /* CS.L with EFER.LMA, CS.D */
	bool pae;      /* PAE paging: CR3[11:5] count */
};

struct xpt_insn {
	uint64_t ip;
	uint8_t size; /* 1..XPT_INSN_MAX */
	uint8_t bytes[XPT_INSN_MAX];
	uint64_t ptwrite; /* PTWRITE's operand */
};

struct xpt_soft {
	struct xpt_topa *topa;
	const struct xpt_msrs
		*msrs;         /* CTL and the filters; not to change while started */
	uint8_t nominal_ratio; /* CBR */
	uint8_t mtc_shift;     /* CTC = tsc >> mtc_shift: the crystal clock */
	bool non_root;         /* PIP.NR */

	/* The rest is the generator's. Layout is private, size is not. */
	struct xpt_soft_state {
		struct xpt_cpu_state now;
		uint64_t last_ip;
		uint64_t tnt;
		uint8_t tnt_count;
		bool started, packet_en, context_en, mode_known, csl, csd;
		uint64_t stream_cr3;
		uint64_t psb_at; /* topa->written when the last PSB went out */
		uint64_t ret[XPT_RET_STACK];
		uint8_t ret_top, ret_count;
		uint64_t cyc_at; /* TSC of the last CYC */
		uint64_t ctc;    /* of the last MTC */
		bool overflow;   /* bytes were lost: OVF comes first */
	} s;
};

/* @topa and @msrs must outlive it. */
void xpt_soft_init(struct xpt_soft *soft, struct xpt_topa *topa,
		   const struct xpt_msrs *msrs, uint8_t nominal_ratio, uint8_t mtc_shift,
		   bool non_root);

/*
 * The trace starts or goes on in @state: PSB+ if STATUS.PacketByteCnt is 0, and TIP.PGE
 * if what runs is to be traced.
 */
void xpt_soft_start(struct xpt_soft *soft, const struct xpt_cpu_state *state);

/* @insn has retired, and the vCPU is in @after, at its next instruction. */
void xpt_soft_retire(struct xpt_soft *soft, const struct xpt_insn *insn,
		     const struct xpt_cpu_state *after);

/*
 * An interrupt, exception or fault was delivered: @from is the IP of the instruction
 * that did not retire (faults), or that would have been next; @after is at the handler.
 */
void xpt_soft_event(struct xpt_soft *soft, uint64_t from,
		    const struct xpt_cpu_state *after);

/* The trace stops before the instruction at @ip: FUP and TIP.PGD if it was on. */
void xpt_soft_stop(struct xpt_soft *soft, uint64_t ip);

#endif
