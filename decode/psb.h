/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PSBs, as places to cut a trace at: what they tell, and what is between them. */
#ifndef DECODE_PSB_H
#define DECODE_PSB_H

#include "packet.h"

/* No PSB+, PADs and all, is longer; nor what comes between it and TIP.PGE. */
#define PSB_PLUS_MAX (4 << 10)

/* Branch packets that no engine reads ahead of the instructions; libipt: 2. */
#define PSB_READ_AHEAD 4

/* Walks the packets of a piece of trace that starts with one. */
struct psb_walk {
	struct packet_state state;
	const uint8_t *data;
	size_t pos, end;
	struct xenpt_packet packets[64];
	size_t next, count;
};

void psb_walk_init(struct psb_walk *walk, const uint8_t *data, size_t pos, size_t end);

/* NULL: the end, or a packet that is cut by it. */
const struct xenpt_packet *psb_walk_next(struct psb_walk *walk);

/*
 * Whether the PSB at @psb is one that a walk from the PSB before it comes to (no
 * payload that looks like one), by @enough branches: an engine reads ahead, and must
 * not take the one PSB+ for the other.
 */
bool psb_is_reached(const uint8_t *data, size_t before, size_t psb, unsigned int enough);

/* Whether no packet between tells of more than time. */
bool psb_is_quiet(const uint8_t *data, size_t from, size_t to);

/* What a decoder that starts at a PSB gets to know before the first instruction. */
struct psb_plus {
	size_t end;  /* after PSBEND; 0: there is none */
	uint64_t ip; /* 0: tracing is off */
	bool complete;
	bool pip;
	bool mode;
};

void psb_plus_read(const uint8_t *data, size_t psb, size_t size, struct psb_plus *ret);

#endif
