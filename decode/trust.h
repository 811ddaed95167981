/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the CR3 that a trace announces can be believed.
 *
 * A hypervisor that emulates a guest's CR3 write must write the PIP, too (SDM volume 3,
 * "Emulation of Intel PT Traced State"). Where it does not, what follows is decoded in
 * the wrong address space, until a PSB+ tells the right one:
 *
 *	PSB+ A ... PSB+ A ... off, on ... PSB+ B
 *	           `---- doubtful -------'
 *
 * This reads the packets, not what the engine makes of them: code that does not fit is
 * what a missing PIP leads to, and the packets after it are as good as any.
 */
#ifndef DECODE_TRUST_H
#define DECODE_TRUST_H

#include "flow.h"
#include "packet.h"

#define TRUST_PACKETS 64

/* A PSB+ being read. */
struct trust_psb {
	uint64_t offset; /* in the vCPU's trace */
	uint64_t cr3;    /* of its PIP; XENPT_CR3_ANY: it has none */
	uint64_t ip;     /* of its FUP; or, with resumed, of the TIP.PGE that follows */
	bool has_ip;     /* tracing is on */
	bool resumed;    /* it was off, and goes on */
};

struct trust {
	struct trust_state now;
	const struct flow_span *span;
	struct packet_state state;
	struct xenpt_packet packets[TRUST_PACKETS];
	size_t next, count;
	size_t used;               /* bytes of the span that were made packets of */
	size_t sample;             /* the next of the span's */
	size_t skip_from, skip_to; /* bytes of the span */
	bool in_psb, first;
	bool told; /* the PSB+ is whole, and off; what follows it says where it goes on */
	bool ahead; /* what comes before was skipped, for it makes no doubt */
	struct trust_psb psb;
};

/* Of the start of a trace, and after what may have hidden a PIP. */
extern const struct trust_state trust_unknown;

/* @span must outlive it. */
void trust_init(struct trust *trust, const struct flow_span *span);

/*
 * What doubts say of a vCPU's trace; start from { .suspect = UINT64_MAX }.
 *
 * Where one PIP is missing, others are: a hypervisor writes them or does not. Two of
 * them, there and back between two PSB+s, leave no trace. So after a proof nothing is
 * known any more up to the end; and if code had not fitted before it, not from there on.
 */
struct trust_verdict {
	uint64_t suspect; /* offset since which code has not fitted; UINT64_MAX: it has */
	bool proven;      /* a PIP was missing */
	uint64_t end;     /* of what was said to be in doubt */
};

/* Look at the next DOUBT. Those with the status bit are but suspects. False: it is none.
 */
bool trust_judge(struct trust_verdict *verdict, struct xenpt_event *event);

/* At the end of the trace: what is in doubt, too. False: nothing. */
bool trust_close(struct trust_verdict *verdict, const struct flow_state *known,
		 uint64_t end, struct xenpt_event *ret);

/*
 * What the PSB+ that the span starts with tells, as a DOUBT with the status bit:
 * trust_join() says whether it is one. False: it tells nothing.
 */
bool trust_first(struct trust *trust, struct xenpt_event *ret);

/*
 * Make the @event of trust_first() a DOUBT, if the state at the end of the span before
 * gives one. False: it is none.
 */
bool trust_join(const struct trust_state *before, struct xenpt_event *event);

/*
 * Read on: all packets that end before @limit, a byte of the span, and the rest of a PSB+
 * that does not. True: there is a
 * DOUBT, and perhaps more.
 */
bool trust_next(struct trust *trust, size_t limit, struct xenpt_event *ret);

/* The rest of the span. */
bool trust_end(struct trust *trust, struct xenpt_event *ret);

/* The next byte of the span at which registers were read; SIZE_MAX: there is none. */
size_t trust_sample(const struct trust *trust);

/* The engine could not read these packets: they prove nothing. */
void trust_skip(struct trust *trust, size_t from, size_t to);

/* At this byte, the code did not fit the packets: a hint, but no proof. */
void trust_misfit(struct trust *trust, size_t byte);

#endif
