/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hv/ring.h"

/*
 * Where laps are not told: the bytes behind the reader.
 *
 *	      new (n)               old        tail
 *	| ............. |                   tttttttt |
 *	^ last                                       ^ last, around the ring
 *
 * The tail stays until the writer comes around once more than it seems to have. If too
 * little of it is left, with the ring nearly full, that cannot be told: it has.
 */
static void copy_tail(const struct ring *ring, uint64_t end, uint8_t *ret)
{
	uint64_t from, first;

	if (!ring->size)
		return;
	from = (end % ring->size + ring->size - ring->tail_size) % ring->size;
	first = ring->size - from;
	if (first > ring->tail_size)
		first = ring->tail_size;
	memcpy(ret, ring->data + from, first);
	memcpy(ret + first, ring->data, ring->tail_size - first);
}

static void take_tail(struct ring *ring, uint64_t end)
{
	ring->last = end;
	copy_tail(ring, end, ring->tail);
}

/* Whether the tail is there yet, but for what @new bytes from last on may overwrite. */
static bool tail_holds(const struct ring *ring, uint64_t new)
{
	uint64_t old = ring->size - ring->tail_size;
	size_t gone = new > old ? new - old : 0;
	uint8_t now[RING_TAIL];

	if (ring->tail_size - gone < (ring->tail_size + 1) / 2)
		return false;
	copy_tail(ring, ring->last, now);
	return memcmp(now + gone, ring->tail + gone, ring->tail_size - gone) == 0;
}

/* Bytes from @from on to an offset in the ring, if there was no lap. */
static uint64_t distance(const struct ring *ring, uint64_t from, uint64_t offset)
{
	return (offset % ring->size + ring->size - from % ring->size) % ring->size;
}

void ring_init(struct ring *ring, const uint8_t *data, uint64_t size)
{
	ring->data = data;
	ring->size = size;
	ring->read = 0;
	ring->tail_size = size / 2 < RING_TAIL ? size / 2 : RING_TAIL;
	take_tail(ring, 0);
}

/* The total at a position that tells no laps; *@lapped_ret: it is one more at least. */
static uint64_t find_total(const struct ring *ring, const struct hv_position *position,
			   bool *lapped_ret)
{
	uint64_t new = distance(ring, ring->last, position->total);

	*lapped_ret = position->total >= ring->size || !tail_holds(ring, new);
	return ring->last + new + (*lapped_ret ? ring->size : 0);
}

/* What is new, up to @max bytes; the last @keep of it after a lap. */
static void take(struct ring *ring, const struct hv_position *position, uint64_t keep,
		 uint64_t max, struct ring_spans *ret)
{
	/* One that is gone may have written on. */
	uint64_t limit = position->gone ? ring->size / 2 : ring->size;
	uint64_t total = position->total, offset, n;

	*ret = (struct ring_spans){ .from = ring->read };
	if (!ring->size)
		return;
	if (!position->has_total) {
		total = find_total(ring, position, &ret->lapped);
		ret->unknown = ret->lapped;
	}
	if (total < ring->read) {
		/* No writer goes back: nothing of this ring can be believed. */
		ret->lapped = ret->unknown = true;
		ret->from = total;
	} else if (ret->lapped || total - ring->read > limit) {
		ret->lapped = true;
		ret->from = position->gone && ret->unknown ? total : total - keep;
		ret->lost = ret->from - ring->read;
	}
	ring->read = ret->from;
	if (ret->lapped && !position->has_total)
		take_tail(ring, ret->from);

	n = total - ret->from;
	if (n > max)
		n = max;
	offset = ret->from % ring->size;
	ret->spans[0].data = ring->data + offset;
	ret->spans[0].size = n < ring->size - offset ? n : ring->size - offset;
	ret->spans[1].data = ring->data;
	ret->spans[1].size = n - ret->spans[0].size;
}

void ring_read(struct ring *ring, const struct hv_position *position, size_t max,
	       struct ring_spans *ret)
{
	take(ring, position, ring->size / 2, max, ret);
}

/* How many of @n bytes from @from on the writer has come to again. */
static uint64_t overwritten(const struct ring *ring, uint64_t from, uint64_t n,
			    const struct hv_position *position)
{
	uint64_t new, over;

	if (!position->has_total) {
		new = distance(ring, from, position->total);
		/* One lap or more: by how much the copy was overtaken is unknown. */
		if (new < n || position->total >= ring->size || !tail_holds(ring, new))
			return n;
		return 0;
	}
	if (position->total < from || position->total - from < n)
		return n;
	new = position->total - from;
	over = new > ring->size ? new - ring->size : 0;
	return over < n ? over : n;
}

uint64_t ring_check(struct ring *ring, const struct ring_spans *spans,
		    const struct hv_position *position)
{
	uint64_t n = spans->spans[0].size + spans->spans[1].size, lost;
	uint8_t tail[RING_TAIL];

	if (!ring->size)
		return 0;
	/* Before it is looked at the old one, which the writer comes to first. */
	if (!position->has_total)
		copy_tail(ring, spans->from + n, tail);
	lost = overwritten(ring, spans->from, n, position);
	ring->read = ring->last = spans->from + n;
	if (!position->has_total)
		memcpy(ring->tail, tail, ring->tail_size);
	return lost;
}

void ring_follow(struct ring *ring, const struct hv_position *position)
{
	uint8_t tail[RING_TAIL];
	bool lapped;

	if (!ring->size || position->has_total)
		return;
	copy_tail(ring, position->total, tail);
	ring->last = find_total(ring, position, &lapped);
	memcpy(ring->tail, tail, ring->tail_size);
}

void ring_read_all(struct ring *ring, const struct hv_position *position,
		   struct ring_spans *ret)
{
	take(ring, position, position->gone ? ring->size / 2 : ring->size, ring->size,
	     ret);
	ring->read = ret->from + ret->spans[0].size + ret->spans[1].size;
	if (ring->size)
		take_tail(ring, ring->read);
}
