/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading a ring that a CPU writes meanwhile: pure arithmetic, on no hypervisor.
 *
 *	0        read               total % size       size
 *	| old ... | what is new ..... | what is old ... |
 *
 * The writer does not wait: what is copied may be overwritten meanwhile. So read()
 * is followed by a second position, and check() tells how much of the copy was still
 * what it seemed: the rest is a gap, never trace.
 *
 *	position() ─▶ ring_read() ─▶ copy the spans ─▶ position() ─▶ ring_check()
 */
#ifndef HV_RING_H
#define HV_RING_H

#include "hv.h"

/*
 * Where the back-end knows no laps (stock Xen), they are found by what changed behind
 * the reader: a few samples of bytes that are overwritten only by a lap.
 */
#define RING_SAMPLES 8

struct ring {
	const uint8_t *data;
	uint64_t size;
	uint64_t read; /* total of what was read or given up */
	uint64_t sample_at[RING_SAMPLES];
	uint64_t samples[RING_SAMPLES];
	size_t sample_count;
};

/* Bytes to copy: up to two pieces of the ring, and what is lost before them. */
struct ring_spans {
	struct {
		const uint8_t *data;
		size_t size;
	} spans[2];
	uint64_t from; /* total of the first byte */
	uint64_t lost; /* bytes before it that were lapped; with .unknown: at least */
	bool lapped;
	bool unknown; /* how many were lost cannot be told */
};

void ring_init(struct ring *ring, const uint8_t *data, uint64_t size);

/*
 * What is new at @position, at most @max bytes of it. After a lap only the newer half is
 * taken, so that the writer does not overtake at once; what is lost is told once. A
 * position that went back is a lap too: nothing is taken then.
 */
void ring_read(struct ring *ring, const struct hv_position *position, size_t max,
	       struct ring_spans *ret);

/*
 * After the copy: how many bytes from its start were overwritten meanwhile, at
 * @position; those are lost. The rest counts as read.
 */
uint64_t ring_check(struct ring *ring, const struct ring_spans *spans,
		    const struct hv_position *position);

/*
 * All that was not read of a ring that nobody writes any more, the oldest byte first
 * (--flight). It counts as read; there is nothing to check.
 */
void ring_read_all(struct ring *ring, const struct hv_position *position,
		   struct ring_spans *ret);

#endif
