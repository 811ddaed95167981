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
 * the reader: these bytes are there yet unless the writer has come around. They reach
 * over a PSB or more (each 2 KiB at IA32_RTIT_CTL.PSBFreq 0), so that a guest that does
 * the same over and over is seen to lap, too: its PSBs are elsewhere each time.
 */
#define RING_TAIL 8192

struct ring {
	const uint8_t *data;
	uint64_t size;
	uint64_t read; /* total of what was read or given up */
	uint64_t last; /* … when the writer was last looked at: read, but for follow() */
	size_t tail_size;
	uint8_t tail[RING_TAIL]; /* the bytes before last */
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
 * position that went back is a lap too: nothing is taken then; nor after a lap of a ring
 * whose writer is gone, for where it ended is not known.
 */
void ring_read(struct ring *ring, const struct hv_position *position, size_t max,
	       struct ring_spans *ret);

/*
 * After the copy: how many bytes from its start were overwritten meanwhile, at
 * @position; those are lost. The rest counts as read. Where laps are not told, the
 * position may be the one of read(): what tells is the bytes behind the reader, which
 * come before those that were copied.
 */
uint64_t ring_check(struct ring *ring, const struct ring_spans *spans,
		    const struct hv_position *position);

/* Nothing is read yet, but where the writer is now (--flight): how often it wrapped. */
void ring_follow(struct ring *ring, const struct hv_position *position);

/*
 * All that was not read of a ring that nobody writes any more, the oldest byte first
 * (--flight). It counts as read; there is nothing to check. Of a writer that is gone the
 * newer half only: it may have written on into the other.
 */
void ring_read_all(struct ring *ring, const struct hv_position *position,
		   struct ring_spans *ret);

#endif
