/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "emit.h"
#include "packet.h"

#define NEVER UINT64_MAX

/* ---- output ------------------------------------------------------------------ */

void xpt_emit_status(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;
	uint64_t status = soft->topa->status;

	status &= ~(XPT_STATUS_FILTER_EN | XPT_STATUS_CONTEXT_EN | XPT_STATUS_TRIGGER_EN);
	if (s->trigger_en)
		status |= XPT_STATUS_TRIGGER_EN;
	if (s->context_en)
		status |= XPT_STATUS_CONTEXT_EN;
	if (s->filter_en)
		status |= XPT_STATUS_FILTER_EN;
	soft->topa->status = status;
}

void xpt_emit_off(struct xpt_soft *soft)
{
	soft->s.trigger_en = false;
	soft->s.packet_en = false;
	soft->s.context_en = false;
	soft->s.tnt_count = 0;
	xpt_emit_status(soft);
}

enum xpt_topa_result xpt_emit_drain(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;
	enum xpt_topa_result result;
	size_t done;

	if (!s->used)
		return XPT_TOPA_OK;
	result = xpt_topa_write(soft->topa, s->out, s->used, &done);
	if (result == XPT_TOPA_STOPPED || result == XPT_TOPA_ERROR) {
		/* What was still on its way is gone: "Stopped", "Error". */
		s->used = 0;
		s->overflow = false; /* OVF would be read as part of a cut packet */
		s->cut = true;
		xpt_emit_off(soft);
		return result;
	}
	s->used -= done;
	for (size_t i = 0; i < s->used; i++)
		s->out[i] = s->out[i + done];
	return result;
}

/* Room for a packet, which put() then takes or, after a loss, forgets. */
static uint8_t *room(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;

	if (s->used > XPT_SOFT_HELD && xpt_emit_drain(soft) == XPT_TOPA_FAULT &&
	    s->used > XPT_SOFT_HELD) {
		s->overflow = true;
		s->deadline = 0;
	}
	return s->used > XPT_SOFT_HELD ? s->scratch : s->out + s->used;
}

/* False: it is lost. */
static bool put(struct xpt_soft *soft, size_t size)
{
	struct xpt_soft_state *s = &soft->s;

	if (s->overflow || soft->topa->status & (XPT_STATUS_STOPPED | XPT_STATUS_ERROR))
		return false;
	s->used += size;
	s->since_psb += size;
	return true;
}

/* ---- time -------------------------------------------------------------------- */

/*
 * The same, for a packet that a CYC goes before: "Cycle-Accurate Mode", the
 * CYC-eligible packets.
 */
static uint8_t *timed_room(struct xpt_soft *soft)
{
	unsigned int threshold = xpt_ctl_field(soft, XPT_CTL_CYC_THRESH_SHIFT);
	struct xpt_soft_state *s = &soft->s;
	uint64_t cycles = s->now.tsc - s->cyc_at;

	if (xpt_ctl(soft, XPT_CTL_CYC_EN) && !s->overflow && cycles &&
	    cycles >= (threshold ? 1ull << (threshold - 1) : 0)) {
		put(soft, xpt_packet_cyc(cycles, room(soft)));
		s->cyc_at = s->now.tsc;
	}
	return room(soft);
}

void xpt_emit_deadline(struct xpt_soft *soft)
{
	unsigned int shift =
		soft->mtc_shift + xpt_ctl_field(soft, XPT_CTL_MTC_FREQ_SHIFT);
	struct xpt_soft_state *s = &soft->s;

	s->deadline = NEVER;
	if (xpt_ctl(soft, XPT_CTL_MTC_EN))
		s->deadline = ((s->now.tsc >> shift) + 1) << shift;
}

/* TSC, and TMA that ties it to the crystal clock of MTC. */
static void put_tsc(struct xpt_soft *soft)
{
	uint64_t tsc = soft->s.now.tsc;

	if (!xpt_ctl(soft, XPT_CTL_TSC_EN))
		return;
	put(soft, xpt_packet_tsc(tsc, timed_room(soft)));
	if (xpt_ctl(soft, XPT_CTL_MTC_EN))
		put(soft,
		    xpt_packet_tma(tsc >> soft->mtc_shift,
				   tsc & ((1ull << soft->mtc_shift) - 1), room(soft)));
	xpt_emit_deadline(soft);
}

/* The crystal clock has passed a multiple of the MTC period. */
void xpt_emit_mtc(struct xpt_soft *soft)
{
	unsigned int freq = xpt_ctl_field(soft, XPT_CTL_MTC_FREQ_SHIFT);
	unsigned int shift = soft->mtc_shift + freq;
	struct xpt_soft_state *s = &soft->s;

	/* MTC holds eight bits: after more than they count, time has to be told anew. */
	if (s->now.tsc - s->deadline >= 255ull << shift)
		put_tsc(soft);
	put(soft, xpt_packet_mtc(s->now.tsc >> shift, timed_room(soft)));
	xpt_emit_deadline(soft);
}

void xpt_emit_time(struct xpt_soft *soft)
{
	put_tsc(soft);
	put(soft, xpt_packet_cbr(soft->nominal_ratio, room(soft)));
}

/* ---- packets ----------------------------------------------------------------- */

/*
 * Short TNTs only: a long one takes eight bytes for 47 branches, which eight short
 * ones hold as well. No TIP is deferred, so that they are always empty before one.
 */
static void flush_tnt(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;

	if (!s->tnt_count)
		return;
	put(soft, xpt_packet_tnt_short(s->tnt, s->tnt_count, timed_room(soft)));
	s->tnt = 0;
	s->tnt_count = 0;
}

void xpt_emit_tnt(struct xpt_soft *soft, bool taken)
{
	struct xpt_soft_state *s = &soft->s;

	s->tnt = s->tnt << 1 | taken;
	if (++s->tnt_count == 6)
		flush_tnt(soft);
}

void xpt_emit_ip(struct xpt_soft *soft, enum xpt_ip_packet type, uint64_t ip)
{
	uint8_t *ret;

	flush_tnt(soft);
	ret = type == XPT_FUP ? room(soft) : timed_room(soft);
	put(soft, xpt_packet_ip(type, ip, &soft->s.last_ip, ret));
}

void xpt_emit_pgd(struct xpt_soft *soft)
{
	flush_tnt(soft);
	put(soft, xpt_packet_ip_bytes(XPT_TIP_PGD, XPT_IP_NONE, 0, timed_room(soft)));
}

void xpt_emit_pip(struct xpt_soft *soft, const struct xpt_cpu_state *state)
{
	if (!xpt_ctl(soft, XPT_CTL_OS) || !soft->s.context_en)
		return;
	flush_tnt(soft);
	put(soft,
	    xpt_packet_pip(state->cr3, state->pae, soft->non_root, timed_room(soft)));
}

void xpt_emit_host_pip(struct xpt_soft *soft)
{
	if (!xpt_ctl(soft, XPT_CTL_OS))
		return;
	flush_tnt(soft);
	put(soft, xpt_packet_pip(soft->host_cr3, false, false, timed_room(soft)));
}

void xpt_emit_mode(struct xpt_soft *soft, const struct xpt_cpu_state *state)
{
	struct xpt_soft_state *s = &soft->s;

	if (s->mode_known && s->csl == state->csl && s->csd == state->csd)
		return;
	flush_tnt(soft);
	put(soft, xpt_packet_mode_exec(state->csl, state->csd, timed_room(soft)));
	s->mode_known = true;
	s->csl = state->csl;
	s->csd = state->csd;
}

void xpt_emit_ptwrite(struct xpt_soft *soft, const struct xpt_insn *insn)
{
	const struct xpt_soft_state *s = &soft->s;
	bool fup = xpt_ctl(soft, XPT_CTL_FUP_ON_PTW), wide = false;

	if (!xpt_ctl(soft, XPT_CTL_PTW_EN) || !s->context_en || !s->filter_en)
		return;
	/* REX.W, the last prefix: eight bytes. */
	for (size_t i = 0; s->now.csl && i < insn->size && insn->bytes[i] != 0x0f; i++)
		wide = (insn->bytes[i] & 0xf8) == 0x48;
	flush_tnt(soft);
	put(soft, xpt_packet_ptwrite(insn->ptwrite, wide ? 8 : 4, fup, timed_room(soft)));
	if (fup)
		xpt_emit_ip(soft, XPT_FUP, insn->ip);
}

void xpt_emit_stop(struct xpt_soft *soft)
{
	flush_tnt(soft);
	put(soft, xpt_packet_stop(room(soft)));
}

void xpt_emit_ovf(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;

	s->overflow = false;
	s->tnt_count = 0;
	put(soft, xpt_packet_ovf(timed_room(soft)));
}

void xpt_emit_psb(struct xpt_soft *soft)
{
	struct xpt_soft_state *s = &soft->s;
	uint64_t at;

	flush_tnt(soft);
	if (xpt_emit_drain(soft) == XPT_TOPA_OK)
		soft->topa->status &= ~(XPT_STATUS_BYTES_MASK << XPT_STATUS_BYTES_SHIFT);
	at = soft->topa->written + s->used;
	if (put(soft, xpt_packet_psb(room(soft))))
		s->psb_at = at;
	s->since_psb = 0;
	s->cut = false;
	s->last_ip = 0;
	s->ret_count = 0;
	s->mode_known = false;
	xpt_emit_time(soft);
	xpt_emit_pip(soft, &s->now);
	if (s->context_en && xpt_ctl(soft, XPT_CTL_BRANCH_EN))
		put(soft, xpt_packet_mode_tsx(false, false, timed_room(soft)));
	if (s->packet_en) {
		xpt_emit_mode(soft, &s->now);
		xpt_emit_ip(soft, XPT_FUP, s->now.ip);
	}
	put(soft, xpt_packet_psbend(room(soft)));
}

void xpt_emit_psb_if_due(struct xpt_soft *soft)
{
	uint64_t period = 2048ull << xpt_ctl_field(soft, XPT_CTL_PSB_FREQ_SHIFT);

	if (soft->s.since_psb >= period && !soft->s.overflow)
		xpt_emit_psb(soft);
}
