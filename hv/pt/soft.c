/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emit.h"
#include "insn.h"

#define INTO 0xce

/* ---- what is traced ---------------------------------------------------------- */

static bool in_context(const struct xpt_soft *soft, const struct xpt_cpu_state *state)
{
	uint64_t mask = state->pae ? XPT_CR3_MASK_PAE : XPT_CR3_MASK;

	if (!xpt_ctl(soft, state->cpl ? XPT_CTL_USER : XPT_CTL_OS))
		return false;
	return !xpt_ctl(soft, XPT_CTL_CR3_FILTER) ||
	       !((state->cr3 ^ soft->msrs->cr3_match) & mask);
}

/* Is @ip in a range of that kind? Both ends of a range belong to it. */
static bool in_range(const struct xpt_soft *soft, enum xpt_addr_cfg kind, uint64_t ip)
{
	const struct xpt_msrs *msrs = soft->msrs;
	bool any = false;

	for (unsigned int i = 0; i < XPT_ADDR_RANGES_MAX; i++) {
		if (xpt_ctl_field(soft, XPT_CTL_ADDR_CFG_SHIFT(i)) != kind)
			continue;
		any = true;
		if (ip >= msrs->addr[2 * i] && ip <= msrs->addr[2 * i + 1])
			return true;
	}
	return !any && kind == XPT_ADDR_FILTER;
}

static bool has_ranges(const struct xpt_soft *soft)
{
	return soft->msrs->ctl >> XPT_CTL_ADDR_CFG_SHIFT(0);
}

static void set_enables(struct xpt_soft *soft, bool context, bool filter, bool stop)
{
	struct xpt_soft_state *s = &soft->s;

	s->context_en = context;
	s->filter_en = filter;
	s->packet_en = context && filter && !stop && xpt_ctl(soft, XPT_CTL_BRANCH_EN);
	xpt_emit_status(soft);
}

/* TraceEn is set and the vCPU is at @at. TraceStop is for who comes by a branch. */
static void enable(struct xpt_soft *soft, const struct xpt_cpu_state *at)
{
	bool context = soft->s.trigger_en && in_context(soft, at);

	set_enables(soft, context, in_range(soft, XPT_ADDR_FILTER, at->ip), false);
}

/*
 * The vCPU comes to @to; whether that is a TraceStop region. The filters see only where
 * a taken branch or an event lands, or where the context begins: "Filtering by IP".
 */
static bool move(struct xpt_soft *soft, const struct xpt_cpu_state *to, bool landed)
{
	const struct xpt_soft_state *s = &soft->s;
	bool context = s->trigger_en && in_context(soft, to);
	bool filter = s->filter_en, stop = false;

	if (has_ranges(soft) && context && (landed || !s->context_en)) {
		filter = in_range(soft, XPT_ADDR_FILTER, to->ip);
		stop = in_range(soft, XPT_ADDR_STOP, to->ip);
	}
	set_enables(soft, context, filter, stop);
	return stop;
}

/* Where output waits for a page, or was lost, Stopped is set after that is told. */
static void trace_stop(struct xpt_soft *soft)
{
	xpt_emit_stop(soft);
	xpt_emit_off(soft);
	soft->s.stopping = true;
	xpt_soft_flush(soft);
}

/* MODE.Exec if there is news, and TIP.PGE. No return is compressed across it. */
static void switch_on(struct xpt_soft *soft, const struct xpt_cpu_state *at)
{
	soft->s.ret_count = 0;
	xpt_emit_mode(soft, at);
	xpt_emit_ip(soft, XPT_TIP_PGE, at->ip);
}

/* ---- transfers of control ---------------------------------------------------- */

/*
 * The vCPU has come to @to, by a TIP if @tip, or else by what a decoder knows; @was_on:
 * PacketEn before. "Packet Generation Scenarios".
 */
static void arrive(struct xpt_soft *soft, const struct xpt_cpu_state *to, bool was_on,
		   bool stop, bool tip)
{
	struct xpt_soft_state *s = &soft->s;

	if (!was_on) {
		if (s->packet_en)
			switch_on(soft, to);
	} else if (!s->packet_en) {
		if (s->context_en)
			xpt_emit_ip(soft, XPT_TIP_PGD, to->ip);
		else
			xpt_emit_pgd(soft);
	} else if (tip) {
		xpt_emit_mode(soft, to);
		xpt_emit_ip(soft, XPT_TIP, to->ip);
	}
	if (stop)
		trace_stop(soft);
}

/* A far transfer to @to, or, with @fup, an event before the instruction at @from. */
static void transfer(struct xpt_soft *soft, bool fup, uint64_t from,
		     const struct xpt_cpu_state *to)
{
	bool new_cr3 = to->cr3 != soft->s.now.cr3, was_on = soft->s.packet_en, stop;

	if (fup && was_on)
		xpt_emit_ip(soft, XPT_FUP, from);
	stop = move(soft, to, true);
	if (new_cr3) /* a task switch */
		xpt_emit_pip(soft, to);
	arrive(soft, to, was_on, stop, true);
}

/* SDM "Indirect Transfer Compression for Returns (RET)". */
static void push_return(struct xpt_soft *soft, uint64_t ip)
{
	struct xpt_soft_state *s = &soft->s;

	if (xpt_ctl(soft, XPT_CTL_DIS_RETC))
		return;
	s->ret_top = (s->ret_top + 1) % XPT_RET_STACK;
	s->ret[s->ret_top] = ip;
	if (s->ret_count < XPT_RET_STACK)
		s->ret_count++;
}

/* Whether a RET to @ip goes where its CALL said. */
static bool pop_return(struct xpt_soft *soft, uint64_t ip)
{
	struct xpt_soft_state *s = &soft->s;

	if (!s->ret_count)
		return false;
	if (s->ret[s->ret_top] != ip) {
		/*
		 * The SDM's decoder pops now, libipt does not: what is below would
		 * be one thing to the one and another to the other.
		 */
		s->ret_count = 0;
		return false;
	}
	s->ret_top = (s->ret_top + XPT_RET_STACK - 1) % XPT_RET_STACK;
	s->ret_count--;
	return true;
}

/* A near branch to @to; @next is what follows it in memory. */
static void branch(struct xpt_soft *soft, enum xpt_insn_class class, uint64_t next,
		   const struct xpt_cpu_state *to)
{
	bool was_on = soft->s.packet_en, tip = false, stop;
	bool taken = class != XPT_INSN_COND || to->ip != next;

	stop = move(soft, to, taken);
	if (was_on && soft->s.packet_en) {
		switch (class) {
		case XPT_INSN_COND:
			xpt_emit_tnt(soft, taken);
			break;
		case XPT_INSN_CALL: /* to the next instruction: "zero-length" */
			if (to->ip != next)
				push_return(soft, next);
			break;
		case XPT_INSN_CALL_INDIRECT:
			push_return(soft, next);
			tip = true;
			break;
		case XPT_INSN_RET:
			tip = !pop_return(soft, to->ip);
			if (!tip)
				xpt_emit_tnt(soft, true);
			break;
		default:
			tip = class == XPT_INSN_JUMP_INDIRECT;
			break;
		}
	}
	arrive(soft, to, was_on, stop, tip);
}

/* The PIP binds to the instruction, which what is before it has to lead to. */
static void mov_cr3(struct xpt_soft *soft, const struct xpt_cpu_state *after)
{
	bool was_on = soft->s.packet_en, stop;

	stop = move(soft, after, false);
	xpt_emit_pip(soft, after);
	arrive(soft, after, was_on, stop, false);
}

static bool same_state(const struct xpt_cpu_state *a, const struct xpt_cpu_state *b)
{
	return a->cr3 == b->cr3 && a->cpl == b->cpl && a->csl == b->csl &&
	       a->csd == b->csd && a->pae == b->pae;
}

/*
 * CR3 or the mode is another, and no instruction says why: a hypervisor did it. The
 * trace goes off and on around it, as it does at a VM exit and entry.
 */
static void changed(struct xpt_soft *soft, const struct xpt_cpu_state *to)
{
	bool was_on = soft->s.packet_en, new_cr3 = to->cr3 != soft->s.now.cr3;

	if (was_on) {
		xpt_emit_ip(soft, XPT_FUP, to->ip);
		xpt_emit_pgd(soft);
	}
	enable(soft, to);
	if (new_cr3)
		xpt_emit_pip(soft, to);
	if (soft->s.packet_en)
		switch_on(soft, to);
}

/* ---- the vCPU's life --------------------------------------------------------- */

/* The trace begins, or goes on, at soft->s.now. */
static void begin(struct xpt_soft *soft, bool psb)
{
	struct xpt_soft_state *s = &soft->s;
	bool packet_en = s->packet_en;

	/* Its PSB+ says what PacketEn clear lets it: TIP.PGE has the IP. */
	s->packet_en = false;
	s->mode_known = false;
	if (psb)
		xpt_emit_psb(soft);
	else
		xpt_emit_time(soft);
	s->packet_en = packet_en && s->trigger_en;
	if (s->packet_en)
		switch_on(soft, &s->now);
}

/* Packets were lost: "Internal Buffer Overflow". */
static void recover(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;

	xpt_emit_drain(soft);
	if (!s->trigger_en || s->used)
		return;
	xpt_emit_ovf(soft);
	xpt_emit_deadline(soft);
	begin(soft, true);
}

void xpt_soft_init(struct xpt_soft *soft, struct xpt_topa *topa,
		   const struct xpt_msrs *msrs, uint8_t nominal_ratio, uint8_t mtc_shift,
		   bool non_root)
{
	*soft = (struct xpt_soft){
		.topa = topa,
		.msrs = msrs,
		.nominal_ratio = nominal_ratio,
		.mtc_shift = mtc_shift,
		.non_root = non_root,
		.host_cr3 = XPT_CR3_UNKNOWN,
		.s.psb_at = XPT_SOFT_NO_PSB,
	};
}

void xpt_soft_start(struct xpt_soft *soft, const struct xpt_cpu_state *state)
{
	struct xpt_soft_state *s = &soft->s;
	bool fresh =
		!(soft->topa->status >> XPT_STATUS_BYTES_SHIFT & XPT_STATUS_BYTES_MASK);

	s->now = *state;
	s->tnt_count = 0;
	s->stopping = false;
	s->cyc_at = state->tsc;
	if (soft->topa->status & (XPT_STATUS_STOPPED | XPT_STATUS_ERROR)) {
		xpt_emit_off(soft);
		return;
	}
	s->trigger_en = true;
	enable(soft, state);
	xpt_emit_deadline(soft);
	if (s->overflow) {
		s->deadline = 0;
		recover(soft);
	} else {
		begin(soft, fresh || s->cut);
	}
}

void xpt_soft_retire(struct xpt_soft *soft, const struct xpt_insn *insn,
		     const struct xpt_cpu_state *after)
{
	struct xpt_soft_state *s = &soft->s;
	uint64_t next = insn->ip + insn->size;
	enum xpt_insn_class class;
	bool same;

	if (!s->trigger_en)
		return;
	class = xpt_insn_class(insn->bytes, insn->size, s->now.csl);
	same = same_state(&s->now, after);
	s->now.tsc = after->tsc;
	if (class == XPT_INSN_OTHER && same && after->tsc < s->deadline) {
		s->now.ip = after->ip;
		return; /* most instructions */
	}
	if (after->tsc >= s->deadline && !s->overflow)
		xpt_emit_mtc(soft);
	switch (class) {
	case XPT_INSN_OTHER:
		break;
	case XPT_INSN_FAR:
		transfer(soft, false, 0, after);
		same = true;
		break;
	case XPT_INSN_INT:
		if (same && after->ip == next && insn->bytes[insn->size - 1] == INTO)
			break; /* OF was clear */
		transfer(soft, true, insn->ip, after);
		same = true;
		break;
	case XPT_INSN_MOV_CR3:
		mov_cr3(soft, after);
		same = true;
		break;
	case XPT_INSN_PTWRITE:
		xpt_emit_ptwrite(soft, insn);
		break;
	default:
		s->now.ip = after->ip;
		branch(soft, class, next, &s->now);
		break;
	}
	if (!same)
		changed(soft, after);
	s->now = *after;
	if (s->overflow)
		recover(soft);
	else
		xpt_emit_psb_if_due(soft);
}

void xpt_soft_event(struct xpt_soft *soft, uint64_t from,
		    const struct xpt_cpu_state *after)
{
	struct xpt_soft_state *s = &soft->s;

	if (!s->trigger_en)
		return;
	s->now.tsc = after->tsc;
	if (after->tsc >= s->deadline && !s->overflow)
		xpt_emit_mtc(soft);
	transfer(soft, true, from, after);
	s->now = *after;
	if (s->overflow)
		recover(soft);
	else
		xpt_emit_psb_if_due(soft);
}

void xpt_soft_stop(struct xpt_soft *soft, uint64_t ip)
{
	if (soft->s.packet_en)
		xpt_emit_ip(soft, XPT_FUP, ip);
	if (soft->s.trigger_en && soft->host_cr3 != XPT_CR3_UNKNOWN)
		xpt_emit_host_pip(soft);
	if (soft->s.packet_en)
		xpt_emit_pgd(soft);
	xpt_emit_off(soft);
	xpt_soft_flush(soft);
}

void xpt_soft_lost(struct xpt_soft *soft, const struct xpt_cpu_state *state)
{
	struct xpt_soft_state *s = &soft->s;

	if (!s->trigger_en)
		return;
	s->now = *state;
	s->tnt_count = 0;
	s->overflow = true;
	enable(soft, state);
	recover(soft);
}

enum xpt_topa_result xpt_soft_flush(struct xpt_soft *soft)
{
	enum xpt_topa_result result = xpt_emit_drain(soft);
	struct xpt_soft_state *s = &soft->s;

	if (result == XPT_TOPA_OK && s->overflow && !s->trigger_en) {
		/* At once: a PIP that is injected now is not of what was lost. */
		xpt_emit_ovf(soft);
		if (s->stopping)
			xpt_emit_stop(soft);
		s->cut = true;
		result = xpt_emit_drain(soft);
	}
	if (result == XPT_TOPA_OK && s->stopping) {
		soft->topa->status |= XPT_STATUS_STOPPED;
		s->stopping = false;
	}
	return result;
}
