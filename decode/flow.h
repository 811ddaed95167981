/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flow-engine interface: from a span of trace to events.
 *
 * An engine decodes spans one at a time and independently of each other, so that
 * many can be decoded at once. A span starts at a PSB, which tells a decoder
 * all it must know. Where the trace goes on, the PSB+ that starts the next span
 * is there too: the flow runs up to the instruction at which that PSB+ was
 * written, and the next span's flow starts with this instruction.
 *
 *	data              size               ahead
 *	| PSB+ | ... | PSB+ | ... | PSB+ |
 *	`------ this span -------' `----' the next span's first
 */
#ifndef DECODE_FLOW_H
#define DECODE_FLOW_H

#include "libxenpt/xenpt.h"

struct flow_span {
	const uint8_t *data;
	size_t size;     /* bytes to decode */
	size_t ahead;    /* bytes of the next span's PSB+ after them, or 0 */
	uint64_t offset; /* of data in the vCPU's trace */
	uint32_t epoch;  /* in which it ran: of the code */
	const struct xenpt_sample *samples; /* registers, read within it or at its end */
	size_t sample_count;
};

/* What is known of the CR3 that the trace has announced: trust.h. */
struct trust_state {
	uint64_t cr3;    /* XENPT_CR3_ANY: unknown */
	uint64_t since;  /* offset at which it was last known to be right */
	uint64_t misfit; /* offset at which the code last did not fit the packets */
	uint64_t ip;     /* still: where code would go on; off: where it was left */
	bool on;         /* tracing is */
	bool still;      /* on, but nothing ran since tracing went on, or since a PSB+ */
	bool left;       /* off by an event that is no instruction's, at ip */
	bool fup;        /* the last packet is a FUP, to ip */
	bool wrong;      /* at since, registers told another CR3 */
	bool resumed;    /* tracing went on since then */
};

/* What the vCPU is known to be in. */
struct flow_state {
	uint64_t time;
	uint64_t cr3; /* XENPT_CR3_ANY: unknown */
	uint64_t vmcs;
	uint16_t cbr;
	uint8_t mode;
	uint8_t tsx;
	struct trust_state trust;
};

/* The code, as the engine wants it; used by one thread. */
struct flow_code;

/* One span being decoded. */
struct flow;

struct flow_ops {
	const char *name;

	struct xenpt_error *(*code_create)(const struct xenpt_image *image,
					   struct flow_code **ret);
	void (*code_destroy)(struct flow_code *code);

	/*
	 * @code, the span's data and @counts must outlive the flow. Where nobody
	 * wants to see the blocks, they are added to @counts; else it is NULL.
	 */
	struct xenpt_error *(*create)(const struct xenpt_cpu *cpu, struct flow_code *code,
				      const struct flow_span *span,
				      struct xenpt_stats *counts, struct flow **ret);
	void (*destroy)(struct flow *flow);

	/*
	 * Write up to @max (at least FLOW_EVENTS_MIN) events; *@count_ret less than
	 * that is no end. False: the span is done, after the events written.
	 * State that a PSB+ tells has the status bit; a span starts with all
	 * of its PSB+, news or not, and before it with a DOUBT, if it may be one; DOUBTs
	 * with the status bit are suspects.
	 */
	bool (*next)(struct flow *flow, struct xenpt_event *events, size_t max,
		     size_t *count_ret);

	/* Where the events so far have led to. */
	const struct flow_state *(*state)(const struct flow *flow);
};

#define FLOW_EVENTS_MIN 16

extern const struct flow_ops flow_ipt;

#endif
