/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libipt's events, as ours. */
#include "flow-ipt.h"

static uint8_t mode_bits(enum pt_exec_mode mode)
{
	switch (mode) {
	case ptem_16bit:
		return 16;
	case ptem_32bit:
		return 32;
	case ptem_64bit:
		return 64;
	default:
		return 0;
	}
}

/*
 * A PSB+ repeats the state: nothing to tell, except at the start of the span,
 * where who puts the spans together knows whether it is news.
 */
static bool is_news(const struct flow *flow, const struct pt_event *ev, bool changed)
{
	return !ev->status_update || flow->first || changed;
}

static void set_ip(struct xenpt_event *event, const struct pt_event *ev, uint64_t ip)
{
	if (ev->ip_suppressed)
		return;
	event->ip = ip;
	event->has_ip = 1;
}

static void paging(struct flow *flow, struct out *out, const struct pt_event *ev,
		   const uint64_t *ip)
{
	bool changed = flow->now.cr3 != ev->variant.paging.cr3;
	struct xenpt_event *event;

	flow->now.cr3 = ev->variant.paging.cr3;
	if (!is_news(flow, ev, changed))
		return;
	event = emit(flow, out, XENPT_EVENT_CR3);
	event->value = ev->variant.paging.cr3;
	event->non_root = ev->variant.paging.non_root;
	if (ip)
		set_ip(event, ev, *ip);
}

static void vmcs(struct flow *flow, struct out *out, const struct pt_event *ev,
		 const uint64_t *ip)
{
	bool changed = flow->now.vmcs != ev->variant.vmcs.base;
	struct xenpt_event *event;

	flow->now.vmcs = ev->variant.vmcs.base;
	if (!is_news(flow, ev, changed))
		return;
	event = emit(flow, out, XENPT_EVENT_VMCS);
	event->value = ev->variant.vmcs.base;
	if (ip)
		set_ip(event, ev, *ip);
}

/* Events that change the state in which instructions run. */
static bool state_event(struct flow *flow, struct out *out, const struct pt_event *ev)
{
	struct xenpt_event *event;
	bool changed;

	switch (ev->type) {
	case ptev_paging:
		paging(flow, out, ev, NULL);
		return true;
	case ptev_async_paging:
		paging(flow, out, ev, &ev->variant.async_paging.ip);
		return true;
	case ptev_vmcs:
		vmcs(flow, out, ev, NULL);
		return true;
	case ptev_async_vmcs:
		vmcs(flow, out, ev, &ev->variant.async_vmcs.ip);
		return true;
	case ptev_exec_mode:
		changed = flow->now.mode != mode_bits(ev->variant.exec_mode.mode);
		set_mode(flow, mode_bits(ev->variant.exec_mode.mode));
		if (!is_news(flow, ev, changed))
			return true;
		event = emit(flow, out, XENPT_EVENT_MODE);
		set_ip(event, ev, ev->variant.exec_mode.ip);
		return true;
	case ptev_tsx: {
		uint8_t tsx = ev->variant.tsx.speculative | ev->variant.tsx.aborted << 1;

		changed = flow->now.tsx != tsx;
		flow->now.tsx = tsx;
		if (!is_news(flow, ev, changed))
			return true;
		event = emit(flow, out, XENPT_EVENT_TSX);
		event->value = tsx;
		set_ip(event, ev, ev->variant.tsx.ip);
		return true;
	}
	case ptev_cbr:
		/* Written at each wake-up, changed or not: SDM, "Core:Bus Ratio". */
		changed = flow->now.cbr != ev->variant.cbr.ratio;
		flow->now.cbr = ev->variant.cbr.ratio;
		if (!changed && !flow->first)
			return true;
		event = emit(flow, out, XENPT_EVENT_CBR);
		event->value = ev->variant.cbr.ratio;
		return true;
	default:
		return false;
	}
}

/* Events that change where instructions run, or whether they are seen. */
static bool flow_event(struct flow *flow, struct out *out, const struct pt_event *ev)
{
	struct xenpt_event *event;

	switch (ev->type) {
	case ptev_enabled:
		if (ev->status_update)
			return true; /* newer libipt: where the PSB+ was written */
		event = emit(flow, out, XENPT_EVENT_ON);
		set_ip(event, ev, ev->variant.enabled.ip);
		event->resumed = ev->variant.enabled.resumed;
		return true;
	case ptev_disabled:
		if (!ev->ip_suppressed)
			went_to(out, ev->variant.disabled.ip);
		out->block = NULL;
		event = emit(flow, out, XENPT_EVENT_OFF);
		event->to = ev->variant.disabled.ip;
		event->has_to = !ev->ip_suppressed;
		return true;
	case ptev_async_disabled:
		went_to(out, ev->variant.async_disabled.at);
		event = emit(flow, out, XENPT_EVENT_OFF);
		event->ip = ev->variant.async_disabled.at;
		event->has_ip = 1;
		event->async = 1;
		event->to = ev->variant.async_disabled.ip;
		event->has_to = !ev->ip_suppressed;
		return true;
	case ptev_async_branch:
		went_to(out, ev->variant.async_branch.from);
		event = emit(flow, out, XENPT_EVENT_INTERRUPT);
		event->ip = ev->variant.async_branch.from;
		event->has_ip = 1;
		event->to = ev->variant.async_branch.to;
		event->has_to = !ev->ip_suppressed;
		return true;
	case ptev_overflow:
		out->block = NULL;
		event = emit(flow, out, XENPT_EVENT_OVERFLOW);
		set_ip(event, ev, ev->variant.overflow.ip);
		return true;
	case ptev_stop:
		out->block = NULL;
		emit(flow, out, XENPT_EVENT_STOP);
		return true;
	default:
		return false;
	}
}

/* Events that the program or the power management logged. */
static void log_event(struct flow *flow, struct out *out, const struct pt_event *ev)
{
	struct xenpt_event *event;

	switch (ev->type) {
	case ptev_ptwrite:
		event = emit(flow, out, XENPT_EVENT_PTWRITE);
		event->value = ev->variant.ptwrite.payload;
		set_ip(event, ev, ev->variant.ptwrite.ip);
		break;
	case ptev_exstop:
		event = emit(flow, out, XENPT_EVENT_EXSTOP);
		set_ip(event, ev, ev->variant.exstop.ip);
		break;
	case ptev_mwait:
		event = emit(flow, out, XENPT_EVENT_MWAIT);
		event->value = ev->variant.mwait.hints | (uint64_t)ev->variant.mwait.ext
								 << 32;
		set_ip(event, ev, ev->variant.mwait.ip);
		break;
	case ptev_pwre:
		event = emit(flow, out, XENPT_EVENT_PWRE);
		event->value = ev->variant.pwre.state | ev->variant.pwre.sub_state << 8 |
			       ev->variant.pwre.hw << 16;
		break;
	case ptev_pwrx:
		event = emit(flow, out, XENPT_EVENT_PWRX);
		event->value = ev->variant.pwrx.last | ev->variant.pwrx.deepest << 8 |
			       ev->variant.pwrx.interrupt << 16 |
			       ev->variant.pwrx.store << 17 |
			       ev->variant.pwrx.autonomous << 18;
		break;
	default:
		/* Ticks have told the time; MNT is undocumented. */
		break;
	}
}

/* The IP at which the first status of a PSB+ takes effect: where the PSB was. */
static const uint64_t *status_ip(const struct pt_event *ev)
{
	if (ev->ip_suppressed)
		return NULL;
	switch (ev->type) {
	case ptev_enabled:
		return &ev->variant.enabled.ip;
	case ptev_exec_mode:
		return &ev->variant.exec_mode.ip;
	case ptev_tsx:
		return &ev->variant.tsx.ip;
	case ptev_async_paging:
		return &ev->variant.async_paging.ip;
	case ptev_async_vmcs:
		return &ev->variant.async_vmcs.ip;
	default:
		return NULL;
	}
}

/*
 * Doubts of a PSB+ go out before the states that it tells; what else libipt has read
 * ahead of may come after blocks that it did not give yet.
 */
static void put_doubts(struct flow *flow, struct out *out, bool status)
{
	struct xenpt_event doubt;
	size_t limit = offset_now(flow);

	if (!status) {
		size_t sample = trust_sample(&flow->trust);

		if (sample > limit)
			return;
		limit = sample;
	}
	for (size_t i = 0; i < DOUBTS_MAX && trust_next(&flow->trust, limit, &doubt); i++)
		emit_doubt(flow, out, &doubt);
}

bool event_ipt_take(struct flow *flow, struct out *out)
{
	struct pt_event ev;
	size_t before;

	flow->status = pt_blk_event(flow->decoder, &ev, sizeof(ev));
	if (flow->status < 0)
		return true;
	/* Until a span's first instruction, it is its own PSB+ that tells. */
	if (ev.status_update && !flow->first && offset_now(flow) > flow->span.size) {
		const uint64_t *ip = status_ip(&ev);

		if (ip)
			went_to(out, *ip);
		return false;
	}
	if (!ev.status_update)
		flow->first = false;
	if (ev.has_tsc)
		flow->now.time = ev.tsc;
	put_doubts(flow, out, ev.status_update);
	before = out->count;
	if (!state_event(flow, out, &ev) && !flow_event(flow, out, &ev))
		log_event(flow, out, &ev);
	if (out->count > before) {
		struct xenpt_event *event = &out->events[out->count - 1];

		event->status = ev.status_update;
		event->offset = flow->span.offset + offset_now(flow);
	}
	return true;
}
