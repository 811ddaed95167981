/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the flow engine on libipt's block decoder is made of. */
#ifndef DECODE_FLOW_IPT_H
#define DECODE_FLOW_IPT_H

#include "code-ipt.h"
#include "flow.h"
#include "trust.h"

/* Doubts that go out before an event; more of them later. */
#define DOUBTS_MAX 4

/* Events held back until a block's way on is known; past that it stays unknown. */
#define PENDING_MAX 8

struct flow {
	struct flow_code *code;
	struct pt_block_decoder *decoder;
	struct flow_span span;
	struct xenpt_stats *counts; /* blocks are added here; NULL: they are events */

	int status;  /* of the last call into libipt */
	bool synced; /* else: look for the next PSB, from resume on */
	uint64_t resume;
	uint64_t sync; /* offset of the PSB that decoding is in sync from */
	bool first;    /* nothing but the span's first PSB+ was seen yet */
	struct flow_state now;
	struct trust trust;
	bool started, ended; /* what trust has to say, first and last, is to come */

	struct xenpt_event trouble; /* not yet out, for what it skips is not known */
	bool troubled;

	/* The last block, whose way on is not known yet, and what came after. */
	struct xenpt_event pending[PENDING_MAX];
	size_t pendings;

	uint64_t progress; /* the offset when work was 0 */
	uint64_t work;     /* instructions and blocks since, without the last block */
};

/* Where the events go in this call. */
struct out {
	struct xenpt_event *events;
	size_t count;
	struct xenpt_event *block; /* the last one, if a block without its way on */
};

static inline struct xenpt_event *emit(struct flow *flow, struct out *out,
				       unsigned int type)
{
	struct xenpt_event *event = &out->events[out->count++];

	*event = (struct xenpt_event){
		.type = type,
		.time = flow->now.time,
		.cr3 = flow->now.cr3,
		.mode = flow->now.mode,
	};
	return event;
}

/* A doubt, without the time. */
static inline void emit_doubt(struct flow *flow, struct out *out,
			      const struct xenpt_event *doubt)
{
	struct xenpt_event *event = &out->events[out->count++];

	*event = *doubt;
	event->time = flow->now.time;
	event->mode = flow->now.mode;
}

/* The last block went on at @ip. */
static inline void went_to(struct out *out, uint64_t ip)
{
	if (!out->block)
		return;
	if (out->block->branch != XENPT_BRANCH_NONE) {
		out->block->to = ip;
		out->block->has_to = 1;
	}
	out->block = NULL;
}

static inline void set_mode(struct flow *flow, uint8_t mode)
{
	flow->now.mode = mode;
	/* It fails for no decoder only. */
	pt_blk_set_image(flow->decoder, code_sections(flow->code, mode));
}

static inline uint64_t offset_now(const struct flow *flow)
{
	uint64_t offset;

	if (pt_blk_get_offset(flow->decoder, &offset) < 0)
		return flow->sync;
	return offset;
}

/* Take libipt's next event. False: it belongs to the next span. */
bool event_ipt_take(struct flow *flow, struct out *out);

#endif
