/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the software generator says, packet by packet: it holds them in order (branches
 * that are not told yet, the CYC before a packet, last IP) and puts them out.
 */
#ifndef HV_PT_EMIT_H
#define HV_PT_EMIT_H

#include "soft.h"

static inline bool xpt_ctl(const struct xpt_soft *soft, uint64_t bit)
{
	return soft->msrs->ctl & bit;
}

static inline unsigned int xpt_ctl_field(const struct xpt_soft *soft, unsigned int shift)
{
	return soft->msrs->ctl >> shift & 0xf;
}

/* Tell IA32_RTIT_STATUS what is enabled. */
void xpt_emit_status(struct xpt_soft *soft);
/* TriggerEn falls: nothing is traced until TraceEn is set anew. */
void xpt_emit_off(struct xpt_soft *soft);
/* Put out what is held. What a missing page refuses stays. */
enum xpt_topa_result xpt_emit_drain(struct xpt_soft *soft);

/* Count to the next MTC from now. */
void xpt_emit_deadline(struct xpt_soft *soft);
void xpt_emit_mtc(struct xpt_soft *soft);
/* What a trace that goes on begins with: TSC, TMA, CBR. */
void xpt_emit_time(struct xpt_soft *soft);

/* All but time and TNT itself come after the branches before them. */
void xpt_emit_tnt(struct xpt_soft *soft, bool taken);
void xpt_emit_ip(struct xpt_soft *soft, enum xpt_ip_packet type, uint64_t ip);
/* TIP.PGD out of context: where it went is not told. */
void xpt_emit_pgd(struct xpt_soft *soft);
/* If the context lets it. */
void xpt_emit_pip(struct xpt_soft *soft, const struct xpt_cpu_state *state);
void xpt_emit_host_pip(struct xpt_soft *soft); /* soft->host_cr3 */
/* If the decoder does not know the mode already. */
void xpt_emit_mode(struct xpt_soft *soft, const struct xpt_cpu_state *state);
void xpt_emit_ptwrite(struct xpt_soft *soft, const struct xpt_insn *insn);
void xpt_emit_stop(struct xpt_soft *soft); /* TraceStop */
/* Packets were lost, but what is put now is not. */
void xpt_emit_ovf(struct xpt_soft *soft);
/* PSB+: all that a decoder must know to begin here. */
void xpt_emit_psb(struct xpt_soft *soft);
/* Every 2 KiB << PSBFreq. */
void xpt_emit_psb_if_due(struct xpt_soft *soft);

#endif
