/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace is written once the code that it reaches is: so a file that ends anywhere
 * decodes up to its end.
 *
 *	ring ─▶ staging ─▶ capture ─▶ pages ─▶ file
 *	              `──▶ held ─────────────▶ file
 */
#include <string.h>

#include "cmd/record-drain.h"

/* A guest that breaks its own trace so often does it on purpose. */
#define TROUBLES_MAX 100

/* ---- trace --------------------------------------------------------------- */

/* Write what is held and whose code is known. */
static struct xenpt_error *write_held(struct recorder *recorder,
				      struct recorder_vcpu *vcpu)
{
	uint64_t done = xenpt_capture_done(recorder->capture, vcpu->id);
	size_t size = done - vcpu->held_from;

	XENPT_TRY(record_pages_error(recorder->pages));
	if (!size)
		return NULL;
	XENPT_TRY(xenpt_writer_trace(recorder->writer, vcpu->id, vcpu->held.data, size));
	vcpu->held.count -= size;
	memmove(vcpu->held.data, vcpu->held.data + size, vcpu->held.count);
	vcpu->held_from = done;
	vcpu->held_since = recorder_now();
	return NULL;
}

static struct xenpt_error *put_trace(struct recorder *recorder,
				     struct recorder_vcpu *vcpu, const uint8_t *data,
				     size_t size)
{
	vcpu->bytes += size;
	if (!recorder->capture)
		return xenpt_writer_trace(recorder->writer, vcpu->id, data, size);
	if (!array_reserve(&vcpu->held, vcpu->held.count + size))
		return xenpt_error_no_memory();
	if (!vcpu->held.count)
		vcpu->held_since = recorder_now();
	memcpy(vcpu->held.data + vcpu->held.count, data, size);
	vcpu->held.count += size;
	XENPT_TRY(xenpt_capture_feed(recorder->capture, vcpu->id, data, size));
	return write_held(recorder, vcpu);
}

static struct xenpt_error *put_gap(struct recorder *recorder, struct recorder_vcpu *vcpu,
				   enum xenpt_gap_reason reason, uint64_t lost)
{
	if (recorder->capture) {
		XENPT_TRY(xenpt_capture_gap(recorder->capture, vcpu->id));
		XENPT_TRY(write_held(recorder, vcpu));
	}
	vcpu->gaps[reason]++;
	return xenpt_writer_gap(recorder->writer, vcpu->id, reason, lost);
}

struct xenpt_error *drain_settle(struct recorder *recorder, struct recorder_vcpu *vcpu)
{
	if (!vcpu->held.count)
		return NULL;
	XENPT_TRY(xenpt_capture_peek(recorder->capture, vcpu->id));
	return write_held(recorder, vcpu);
}

struct xenpt_error *drain_flush(struct recorder *recorder)
{
	if (!recorder->capture)
		return NULL;
	XENPT_TRY(xenpt_capture_flush(recorder->capture));
	for (size_t i = 0; i < recorder->vcpus.count; i++)
		XENPT_TRY(write_held(recorder, &recorder->vcpus.data[i]));
	return NULL;
}

static struct xenpt_error *put_pieces(struct recorder *recorder,
				      struct recorder_vcpu *vcpu, const uint8_t *data,
				      size_t size)
{
	while (size) {
		size_t piece = size < DRAIN_STAGING ? size : DRAIN_STAGING;

		XENPT_TRY(put_trace(recorder, vcpu, data, piece));
		data += piece;
		size -= piece;
	}
	return NULL;
}

/* ---- rings --------------------------------------------------------------- */

static struct xenpt_error *position_of(struct recorder *recorder,
				       const struct recorder_vcpu *vcpu,
				       struct hv_position *ret)
{
	return xenpt_error_prepend(
		recorder->domain->ops->position(recorder->domain, vcpu->id, ret),
		"vCPU %u", vcpu->id);
}

/*
 * Where laps are told, the position after a copy says how much of it is good. Where they
 * are not, it would say no more than the bytes behind the reader do: ring.h.
 */
static struct xenpt_error *check_copy(struct recorder *recorder,
				      struct recorder_vcpu *vcpu,
				      const struct hv_position *position,
				      const struct ring_spans *spans,
				      uint64_t *overtaken_ret)
{
	struct hv_position after = *position;

	if (position->has_total)
		XENPT_TRY(position_of(recorder, vcpu, &after));
	*overtaken_ret = ring_check(&vcpu->ring, spans, &after);
	return NULL;
}

/* Move a piece; *@more_ret: there may be more. */
static struct xenpt_error *move_piece(struct recorder *recorder,
				      struct recorder_vcpu *vcpu,
				      const struct hv_position *position, bool *more_ret)
{
	struct ring_spans spans;
	uint64_t overtaken;
	size_t size;

	ring_read(&vcpu->ring, position, DRAIN_STAGING, &spans);
	size = spans.spans[0].size + spans.spans[1].size;
	*more_ret = size == DRAIN_STAGING;
	if (!size && !spans.lapped)
		return NULL;
	memcpy(recorder->staging, spans.spans[0].data, spans.spans[0].size);
	memcpy(recorder->staging + spans.spans[0].size, spans.spans[1].data,
	       spans.spans[1].size);
	XENPT_TRY(check_copy(recorder, vcpu, position, &spans, &overtaken));
	if (spans.lapped || overtaken)
		XENPT_TRY(put_gap(recorder, vcpu, XENPT_GAP_LAPPED,
				  spans.unknown ? 0 : spans.lost + overtaken));
	XENPT_TRY(put_trace(recorder, vcpu, recorder->staging + overtaken,
			    size - overtaken));
	return recorder->domain->ops->consume(recorder->domain, vcpu->id,
					      vcpu->ring.read);
}

/* Why a trace has stopped by itself; 0: it has not. */
static unsigned int stop_reason(const struct hv_position *position)
{
	if (position->tampered)
		return XENPT_GAP_TAMPERED;
	if (position->error)
		return XENPT_GAP_ERROR;
	if (position->fault)
		return XENPT_GAP_FAULT;
	if (position->stopped)
		return XENPT_GAP_STOPPED;
	return 0;
}

/*
 * Begin with an empty ring after a stop; too many that are the guest's doing end it. One
 * that is done has no budget to go on with.
 */
static struct xenpt_error *begin_anew(struct recorder *recorder,
				      struct recorder_vcpu *vcpu, unsigned int reason)
{
	struct hv_domain *domain = recorder->domain;

	if (!recorder->tracing || vcpu->done)
		return NULL;
	if (reason != XENPT_GAP_STOPPED && ++vcpu->troubles >= TROUBLES_MAX) {
		vcpu->given_up = true;
		recorder->ui->warn("vCPU %u: not traced any more, for its trace has "
				   "broken off %u times: %s",
				   vcpu->id, vcpu->troubles,
				   xenpt_gap_reason_name(reason));
		return NULL;
	}
	XENPT_TRY(domain->ops->restart(domain, vcpu->id));
	ring_init(&vcpu->ring, vcpu->ring.data, vcpu->ring.size);
	return NULL;
}

/* Its last trace was not to be had; there will be no more. */
static struct xenpt_error *put_gone(struct recorder *recorder, struct recorder_vcpu *vcpu)
{
	vcpu->gone = true;
	return put_gap(recorder, vcpu, XENPT_GAP_GONE, 0);
}

struct xenpt_error *drain_vcpu(struct recorder *recorder, struct recorder_vcpu *vcpu,
			       bool all)
{
	/* One that is faster than its reader shall not keep it from the others. */
	uint64_t pieces = all ? UINT64_MAX : 1 + vcpu->ring.size / DRAIN_STAGING;
	struct hv_position position;
	unsigned int reason;
	bool more = true;

	if (vcpu->given_up || vcpu->gone || vcpu->done)
		return NULL;
	XENPT_TRY(position_of(recorder, vcpu, &position));
	while (pieces--) {
		/* Where the trace went cannot be known. */
		if (position.tampered)
			break;
		XENPT_TRY(move_piece(recorder, vcpu, &position, &more));
		if (!more)
			break;
		/* Where a position holds a vCPU there is one for each look. */
		if (position.has_total)
			XENPT_TRY(position_of(recorder, vcpu, &position));
	}
	if (position.gone)
		return put_gone(recorder, vcpu);
	vcpu->done = position.done && (!more || position.tampered);
	reason = more ? 0 : stop_reason(&position);
	if (position.tampered)
		reason = XENPT_GAP_TAMPERED;
	if (!reason)
		return NULL;
	XENPT_TRY(put_gap(recorder, vcpu, reason, 0));
	return begin_anew(recorder, vcpu, reason);
}

struct xenpt_error *drain_check(struct recorder *recorder, struct recorder_vcpu *vcpu)
{
	struct hv_position position;
	unsigned int reason;

	if (vcpu->given_up || vcpu->done)
		return NULL;
	XENPT_TRY(position_of(recorder, vcpu, &position));
	ring_follow(&vcpu->ring, &position);
	vcpu->done = position.done;
	reason = stop_reason(&position);
	/* What a ring holds that nobody writes any more is read at the end. */
	if (!reason || vcpu->done)
		return NULL;
	vcpu->broken = reason;
	return begin_anew(recorder, vcpu, reason);
}

struct xenpt_error *drain_flight(struct recorder *recorder, struct recorder_vcpu *vcpu)
{
	struct hv_position position;
	struct ring_spans spans;

	if (vcpu->broken)
		XENPT_TRY(put_gap(recorder, vcpu, vcpu->broken, 0));
	if (vcpu->given_up)
		return NULL;
	XENPT_TRY(position_of(recorder, vcpu, &position));
	if (!position.tampered) {
		ring_read_all(&vcpu->ring, &position, &spans);
		for (int i = 0; i < 2; i++)
			XENPT_TRY(put_pieces(recorder, vcpu, spans.spans[i].data,
					     spans.spans[i].size));
	}
	if (position.gone)
		return put_gone(recorder, vcpu);
	if (stop_reason(&position))
		return put_gap(recorder, vcpu, stop_reason(&position), 0);
	return NULL;
}
