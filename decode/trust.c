/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "trust.h"

#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LMA (1ull << 10)

#define PIP_SIZE 8

/* Where to look for the last PSBs of a span. */
#define TAIL_SIZE (8 << 10)

const struct trust_state trust_unknown = { .cr3 = XENPT_CR3_ANY };

/* Read on from this byte, a packet's first, knowing nothing. */
static void go_to(struct trust *trust, size_t byte)
{
	trust->now = trust_unknown;
	trust->used = byte;
	packet_reset(&trust->state, byte);
	trust->state.synced = true;
	trust->next = trust->count = 0;
	trust->ahead = trust->told = false;
}

void trust_init(struct trust *trust, const struct flow_span *span)
{
	trust->span = span;
	go_to(trust, 0);
	trust->sample = 0;
	trust->skip_from = trust->skip_to = SIZE_MAX;
	trust->in_psb = false;
	trust->first = true;
	trust->psb = (struct trust_psb){ .cr3 = XENPT_CR3_ANY };
}

/* ---- doubts ---- */

static bool doubt(const struct trust_state *now, unsigned int reason, uint64_t offset,
		  uint64_t cr3, struct xenpt_event *ret)
{
	*ret = (struct xenpt_event){
		.type = XENPT_EVENT_DOUBT,
		.reason = reason,
		.value = now->since,
		.offset = offset,
		.named = now->cr3,
		.cr3 = cr3,
		.misfit = now->misfit > now->since,
	};
	return true;
}

static void confirm(struct trust_state *now, uint64_t cr3, uint64_t offset)
{
	now->cr3 = cr3;
	now->since = offset;
	now->wrong = now->resumed = false;
}

/* Tracing went off and on, where a CR3 write may be emulated, and then code did not fit.
 */
static bool is_suspect(const struct trust_state *now)
{
	return now->resumed && now->misfit > now->since;
}

/*
 * What was wrong, or may have been, up to here. Where registers told another CR3, that is
 * all until the trace tells one again.
 */
static bool end_wrong(const struct trust_state *now, uint64_t offset, uint64_t cr3,
		      struct xenpt_event *ret)
{
	if (now->wrong)
		return now->resumed &&
		       doubt(now, XENPT_DOUBT_REGISTERS, offset, cr3, ret);
	if (now->cr3 == XENPT_CR3_ANY || !is_suspect(now))
		return false;
	doubt(now, XENPT_DOUBT_EARLIER, offset, cr3, ret);
	ret->status = 1;
	return true;
}

/* A PIP may have been lost, or was not written for a reason of its own. */
static bool forget(struct trust_state *now, uint64_t offset, struct xenpt_event *ret)
{
	bool found = end_wrong(now, offset, XENPT_CR3_ANY, ret);

	confirm(now, XENPT_CR3_ANY, offset);
	now->left = now->fup = now->still = false;
	return found;
}

/*
 * While tracing is off, CR3 may change without a PIP: SDM, "PIP Packet", needs
 * TriggerEn and ContextEn. Only code that was traced was in the wrong address space; with
 * erratum BDM70, a PSB+ before TIP.PGE has a FUP, too.
 */
static bool is_quiet(const struct trust_state *now, const struct trust_psb *psb)
{
	/* The vCPU was held, and goes on where it was: see check_sample(). */
	if (now->left && psb->resumed && now->ip == psb->ip)
		return false;
	/* No code ran, or none that was traced: CR3 may have changed then. */
	return !now->on || !psb->has_ip || (now->still && now->ip == psb->ip);
}

static bool check_psb(const struct trust_state *now, const struct trust_psb *psb,
		      struct xenpt_event *ret)
{
	if (now->cr3 == XENPT_CR3_ANY || psb->cr3 == XENPT_CR3_ANY)
		return false;
	if (now->wrong || is_quiet(now, psb) || psb->cr3 == now->cr3)
		return end_wrong(now, psb->offset, psb->cr3, ret);
	return doubt(now, XENPT_DOUBT_PSB, psb->offset, psb->cr3, ret);
}

/* CR3 as a PIP has it: SDM, "PIP Packet". */
static uint64_t pip_cr3(const struct xenpt_registers *regs)
{
	bool pae = (regs->cr4 & CR4_PAE) && !(regs->efer & EFER_LMA);

	return regs->cr3 & (pae ? 0x000fffffffffffe0 : 0x000ffffffffff000);
}

/*
 * The vCPU was held: tracing went off by an event, at the instruction that it is to
 * go on with. Had that instruction been emulated since (MOV CR3), RIP would be behind it,
 * and its PIP may be yet to come.
 */
static bool check_sample(struct trust *trust, const struct xenpt_sample *sample,
			 struct xenpt_event *ret)
{
	struct trust_state *now = &trust->now;
	uint64_t cr3 = pip_cr3(&sample->regs);

	if (now->cr3 == XENPT_CR3_ANY || trust->in_psb || now->on || !now->left ||
	    now->ip != sample->regs.rip || !(sample->regs.cr0 & CR0_PG))
		return false;
	if (cr3 == now->cr3) {
		bool found = end_wrong(now, sample->offset, cr3, ret);

		confirm(now, cr3, sample->offset);
		return found;
	}
	if (now->wrong && !now->resumed)
		return false; /* it has been said */
	doubt(now, XENPT_DOUBT_REGISTERS, sample->offset, cr3, ret);
	now->since = sample->offset;
	now->wrong = true;
	now->resumed = false;
	return true;
}

/* ---- packets ---- */

static bool end_psb(struct trust *trust, struct xenpt_event *ret)
{
	const struct trust_psb *psb = &trust->psb;
	struct trust_state *now = &trust->now;
	bool found = check_psb(now, psb, ret);

	trust->in_psb = trust->told = false;
	if (psb->cr3 != XENPT_CR3_ANY) {
		confirm(now, psb->cr3, psb->offset);
		now->still = psb->has_ip;
	} else if (!psb->has_ip || now->ip != psb->ip) {
		now->still = false;
	}
	now->on = psb->has_ip;
	now->ip = psb->ip;
	now->left = now->fup = false;
	if (!trust->first)
		return found;
	trust->first = false;
	*ret = (struct xenpt_event){
		.type = XENPT_EVENT_DOUBT,
		.offset = psb->offset,
		.cr3 = psb->cr3,
		.value = psb->ip,
		.has_to = psb->has_ip,
		.resumed = psb->resumed,
		.status = 1,
	};
	return psb->cr3 != XENPT_CR3_ANY;
}

/* A packet of a PSB+. False: it is none of its packets, which cuts it short. */
static bool take_psb_plus(struct trust *trust, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_PIP:
		trust->psb.cr3 = packet->payload;
		return true;
	case XENPT_PACKET_FUP:
		trust->psb.ip = packet->payload;
		trust->psb.has_ip = packet->aux > 0;
		return true;
	case XENPT_PACKET_PSB:
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
	case XENPT_PACKET_TIP:
	case XENPT_PACKET_TIP_PGE:
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_STOP:
	case XENPT_PACKET_BAD:
		return false;
	default:
		return true;
	}
}

/* The packet after a PSB+ that is told. False: it may yet be another that says. */
static bool take_told(struct trust *trust, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_TIP_PGE:
		trust->psb.resumed = packet->aux > 0;
		trust->psb.ip = packet->payload;
		return true;
	case XENPT_PACKET_PSB:
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
	case XENPT_PACKET_TIP:
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_FUP:
	case XENPT_PACKET_PIP:
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_STOP:
	case XENPT_PACKET_BAD:
		return true;
	default:
		return false;
	}
}

/* Packets that say where code goes on. */
static void take_flow(struct trust_state *now, const struct xenpt_packet *packet)
{
	bool has_ip = packet->aux > 0;

	switch (packet->type) {
	case XENPT_PACKET_TIP_PGE:
		now->on = now->resumed = true;
		now->still = has_ip;
		now->ip = packet->payload;
		now->left = now->fup = false;
		break;
	case XENPT_PACKET_TIP_PGD:
		now->on = false;
		now->left = now->fup;
		now->fup = false;
		break;
	case XENPT_PACKET_FUP:
		now->on = true;
		now->still &= has_ip && packet->payload == now->ip;
		now->ip = packet->payload;
		now->fup = has_ip;
		break;
	default:
		now->still = now->fup = false;
	}
}

static bool take_pip(struct trust *trust, const struct xenpt_packet *packet,
		     struct xenpt_event *ret)
{
	struct trust_state *now = &trust->now;
	uint64_t offset = trust->span->offset + packet->offset;
	bool found = end_wrong(now, offset, packet->payload, ret);

	confirm(now, packet->payload, offset);
	now->still &= !now->on; /* where MOV CR3 is, is not told */
	now->left = now->fup = false;
	return found;
}

/* True: it makes a doubt; or, of the first PSB+, what may be one. */
static bool take(struct trust *trust, const struct xenpt_packet *packet,
		 struct xenpt_event *ret)
{
	uint64_t offset = trust->span->offset + packet->offset;
	bool found = false;

	if (trust->told) {
		if (!take_told(trust, packet))
			return false;
		found = end_psb(trust, ret);
	} else if (trust->in_psb) {
		if (packet->type == XENPT_PACKET_PSBEND) {
			trust->told = !trust->psb.has_ip;
			return !trust->told && end_psb(trust, ret);
		}
		if (take_psb_plus(trust, packet))
			return false;
		trust->in_psb = trust->first = false;
		found = forget(&trust->now, offset, ret);
	}
	trust->first &= packet->type == XENPT_PACKET_PSB;
	switch (packet->type) {
	case XENPT_PACKET_PSB:
		trust->in_psb = true;
		trust->psb = (struct trust_psb){ offset, .cr3 = XENPT_CR3_ANY };
		return found;
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
	case XENPT_PACKET_TIP:
	case XENPT_PACKET_TIP_PGE:
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_FUP:
		take_flow(&trust->now, packet);
		return found;
	case XENPT_PACKET_PIP:
		return take_pip(trust, packet, ret) || found;
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_STOP: /* TriggerEn is clear: no PIPs */
	case XENPT_PACKET_BAD:
		return forget(&trust->now, offset, ret) || found;
	default:
		return found;
	}
}

static const struct xenpt_packet *peek(struct trust *trust)
{
	const struct flow_span *span = trust->span;
	size_t used;

	if (trust->next == trust->count) {
		trust->next = 0;
		trust->count = packet_decode(&trust->state, span->data + trust->used,
					     span->size - trust->used, false,
					     trust->packets, TRUST_PACKETS, &used);
		trust->used += used;
	}
	return trust->next < trust->count ? &trust->packets[trust->next] : NULL;
}

/* One thing that comes before @limit. False: there is none. */
static bool step(struct trust *trust, size_t limit, bool *found, struct xenpt_event *ret)
{
	const struct xenpt_packet *packet = peek(trust);
	size_t end = packet ? packet->offset + packet->size : SIZE_MAX;
	size_t sample = trust_sample(trust);

	if (sample < end && sample <= limit) {
		*found = check_sample(trust, &trust->span->samples[trust->sample++], ret);
		return true;
	}
	if (!packet && trust->told) {
		*found = end_psb(trust, ret);
		return true;
	}
	/* A PSB+ tells all or nothing. */
	if (!packet || (end > limit && !trust->in_psb))
		return false;
	trust->next++;
	trust->ahead = false;
	if (trust->skip_from <= packet->offset && packet->offset < trust->skip_to) {
		trust->in_psb = trust->told = trust->first = false;
		*found = forget(&trust->now, trust->span->offset + packet->offset, ret);
	} else {
		*found = take(trust, packet, ret);
	}
	return true;
}

bool trust_next(struct trust *trust, size_t limit, struct xenpt_event *ret)
{
	bool found = false;

	while (!found && step(trust, limit, &found, ret))
		;
	return found;
}

/* Whether no PIP, nor what looks like one, tells another CR3 than the first one. */
static bool has_one_cr3(const struct flow_span *span)
{
	static const uint8_t pip[] = { 0x02, 0x43 };
	const uint8_t *end = span->data + span->size;
	const uint8_t *first = memmem(span->data, span->size, pip, sizeof(pip));
	const uint8_t *next = first;

	while (next && end - next >= PIP_SIZE) {
		if (memcmp(next, first, PIP_SIZE) != 0)
			return false;
		next = memmem(next + 1, end - next - 1, pip, sizeof(pip));
	}
	return first;
}

/*
 * Most spans are of one address space: what is known at the end of them is what the PSB+s
 * of their last bytes tell, and nothing else needs to be read as long as code fits.
 */
static void skip_to_end(struct trust *trust)
{
	const struct flow_span *span = trust->span;
	const uint8_t *psb = NULL;

	if (span->sample_count || !has_one_cr3(span))
		return;
	for (size_t size = TAIL_SIZE; !psb && size < span->size; size *= 2)
		psb = psb_find(span->data + span->size - size, size);
	if (!psb)
		return;
	go_to(trust, psb - span->data);
	trust->ahead = true;
}

bool trust_first(struct trust *trust, struct xenpt_event *ret)
{
	bool found = false;

	while (trust->first && !found && step(trust, trust->span->size, &found, ret))
		;
	skip_to_end(trust);
	return found;
}

bool trust_end(struct trust *trust, struct xenpt_event *ret)
{
	const struct flow_span *span = trust->span;

	if (trust_next(trust, span->size, ret))
		return true;
	/* Nothing follows, or not from here. */
	return !span->ahead && forget(&trust->now, span->offset + span->size, ret);
}

bool trust_join(const struct trust_state *before, struct xenpt_event *event)
{
	struct trust_psb psb = {
		.offset = event->offset,
		.cr3 = event->cr3,
		.ip = event->value,
		.has_ip = event->has_to,
		.resumed = event->resumed,
	};

	return check_psb(before, &psb, event);
}

bool trust_judge(struct trust_verdict *verdict, struct xenpt_event *event)
{
	if (event->status) {
		if (event->value < verdict->suspect)
			verdict->suspect = event->value;
		return false;
	}
	if (verdict->proven)
		event->value = verdict->end;
	else if (event->value > verdict->suspect)
		event->value = verdict->suspect;
	if (event->value >= event->offset)
		return false;
	verdict->proven = true;
	verdict->end = event->offset;
	return true;
}

bool trust_close(struct trust_verdict *verdict, const struct flow_state *known,
		 uint64_t end, struct xenpt_event *ret)
{
	if (!verdict->proven || verdict->end >= end)
		return false;
	*ret = (struct xenpt_event){
		.type = XENPT_EVENT_DOUBT,
		.reason = XENPT_DOUBT_EARLIER,
		.value = verdict->end,
		.offset = end,
		.named = known->cr3,
		.cr3 = XENPT_CR3_ANY,
		.time = known->time,
		.mode = known->mode,
	};
	verdict->end = end;
	return true;
}

size_t trust_sample(const struct trust *trust)
{
	const struct flow_span *span = trust->span;

	if (trust->sample == span->sample_count)
		return SIZE_MAX;
	return span->samples[trust->sample].offset - span->offset;
}

void trust_skip(struct trust *trust, size_t from, size_t to)
{
	/* What was skipped before, and not yet read, ends where this begins. */
	if (trust->skip_from == SIZE_MAX || trust->skip_to < from)
		trust->skip_from = from;
	trust->skip_to = to;
}

void trust_misfit(struct trust *trust, size_t byte)
{
	if (trust->ahead)
		go_to(trust, 0);
	trust->now.misfit = trust->span->offset + byte;
}
