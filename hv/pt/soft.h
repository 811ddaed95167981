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
 *
 * As with a CPU, all that was generated is in memory after xpt_soft_stop() only: some
 * is held back before. What finds a page of the output missing (XPT_TOPA_FAULT) is
 * held as well, and then lost when there is too much of it: an OVF tells. If the
 * output stops (STATUS.Stopped or .Error), the calls do nothing until the next
 * xpt_soft_start().
 *
 * Software interrupts (INT n, INT3, INTO) may be given to either function: the CPU
 * makes an event of them, at the instruction itself (a decoder does not see it
 * retire). Filters see where taken branches and events land, so that code which is
 * left or reached by going straight on is as the CPU has it.
 */
#ifndef HV_PT_SOFT_H
#define HV_PT_SOFT_H

#include "insn.h"
#include "msr.h"
#include "packet.h"
#include "topa.h"

#define XPT_RET_STACK 64  /* depth of the return stack of compressed returns */
#define XPT_SOFT_HELD 112 /* bytes that may wait for output, but for the last packet */
#define XPT_SOFT_NO_PSB UINT64_MAX

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
	/*
	 * Where VM exits are not concealed from PT, each ends with a PIP of the host's
	 * CR3; XPT_CR3_UNKNOWN: they are. Not of init's: set it after.
	 */
	uint64_t host_cr3;

	/* The rest is the generator's. Layout is private, size is not. */
	struct xpt_soft_state {
		struct xpt_cpu_state now;
		bool trigger_en, context_en, filter_en, packet_en;

		/* What the decoder was told. */
		bool mode_known, csl, csd;
		uint64_t last_ip;
		uint8_t tnt, tnt_count; /* branches that no TNT has told yet */
		uint8_t ret_top, ret_count;
		uint64_t ret[XPT_RET_STACK];

		uint64_t deadline; /* TSC of the next MTC, or something is to be done */
		uint64_t cyc_at;   /* TSC of the last CYC */
		uint64_t since_psb;
		uint64_t psb_at; /* of the last one, as topa->written counts */

		bool stopping; /* TraceStop was met, and waits for output */
		bool overflow; /* packets were lost: OVF comes first */
		bool cut;      /* the trace broke off: PSB+ comes first when it goes on */
		size_t used;   /* of out[]: the CPU's internal buffer */
		uint8_t out[XPT_SOFT_HELD + XPT_PACKET_MAX];
		uint8_t scratch[XPT_PACKET_MAX];
	} s;
};

/* For a new trace. @topa and @msrs must outlive it. */
void xpt_soft_init(struct xpt_soft *soft, struct xpt_topa *topa,
		   const struct xpt_msrs *msrs, uint8_t nominal_ratio, uint8_t mtc_shift,
		   bool non_root);

/*
 * The trace starts or goes on in @state: PSB+ if STATUS.PacketByteCnt is 0, and TIP.PGE
 * if what runs is to be traced.
 */
void xpt_soft_start(struct xpt_soft *soft, const struct xpt_cpu_state *state);

/*
 * @insn has retired, and the vCPU is in @after, at its next instruction. A REP that is
 * not done may be told or not. What no instruction explains (CR3, CPL or the mode is
 * another after one that does not change it) is taken for a VM exit and entry.
 */
void xpt_soft_retire(struct xpt_soft *soft, const struct xpt_insn *insn,
		     const struct xpt_cpu_state *after);

/*
 * An interrupt, exception or fault was delivered: @from is the IP of the instruction
 * that did not retire (faults), or that would have been next; @after is at the handler.
 */
void xpt_soft_event(struct xpt_soft *soft, uint64_t from,
		    const struct xpt_cpu_state *after);

/*
 * The trace stops before the instruction at @ip: FUP and TIP.PGD if it was on. Then all
 * is put out, unless a page is missing: see xpt_soft_flush().
 */
void xpt_soft_stop(struct xpt_soft *soft, uint64_t ip);

/*
 * What was traced up to here is not all that ran: the vCPU is in @state, and how it came
 * there is not known. OVF and a PSB+ tell it.
 */
void xpt_soft_lost(struct xpt_soft *soft, const struct xpt_cpu_state *state);

/*
 * Put out what is held. FAULT: some still is, and nothing else may be written with the
 * same struct xpt_topa until the page is there and this has returned OK.
 */
enum xpt_topa_result xpt_soft_flush(struct xpt_soft *soft);

/*
 * Where the last PSB begins, as topa->written counts, or will once what is held is put
 * out; XPT_SOFT_NO_PSB before the first one. At most one is made by any call.
 */
static inline uint64_t xpt_soft_psb_at(const struct xpt_soft *soft)
{
	return soft->s.psb_at;
}

#endif
