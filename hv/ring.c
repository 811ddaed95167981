/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hv/ring.h"

/*
 * Where laps are not told: bytes behind the reader, over the last quarter of a ring.
 *
 *	      new (n)              old
 *	| ............. |   s   s   s   s  |
 *	^ read                             ^ read, around the ring
 *
 * What is old stays until the writer comes around once more than it seems to have.
 */
static void take_samples(struct ring *ring)
{
	uint64_t step = ring->size / (4 * RING_SAMPLES), offset, at;

	ring->sample_count = 0;
	if (step < sizeof(ring->samples[0]))
		return;
	offset = ring->read % ring->size;
	for (size_t i = 0; i < RING_SAMPLES; i++) {
		at = (offset + ring->size - (i + 1) * step) % ring->size;
		if (ring->size - at < sizeof(ring->samples[0]))
			at = ring->size - sizeof(ring->samples[0]);
		ring->sample_at[i] = at;
		memcpy(&ring->samples[i], ring->data + at, sizeof(ring->samples[i]));
	}
	ring->sample_count = RING_SAMPLES;
}

/* Whether all samples are there yet that @new bytes from @from on leave alone. */
static bool samples_hold(const struct ring *ring, uint64_t from, uint64_t new)
{
	uint64_t ahead, now;

	for (size_t i = 0; i < ring->sample_count; i++) {
		ahead = (ring->sample_at[i] + ring->size - from % ring->size) %
			ring->size;
		if (ahead < new || ring->size - ahead < sizeof(now))
			continue;
		memcpy(&now, ring->data + ring->sample_at[i], sizeof(now));
		if (now != ring->samples[i])
			return false;
	}
	return true;
}

/* Bytes from @from on to an offset in the ring, if there was no lap. */
static uint64_t distance(const struct ring *ring, uint64_t from, uint64_t offset)
{
	return (offset % ring->size + ring->size - from % ring->size) % ring->size;
}

void ring_init(struct ring *ring, const uint8_t *data, uint64_t size)
{
	*ring = (struct ring){ .data = data, .size = size };
	if (size)
		take_samples(ring);
}

/* @new bytes from ring->read on, at least; the last @keep of them after a lap. */
static void take(struct ring *ring, const struct hv_position *position, uint64_t keep,
		 uint64_t max, struct ring_spans *ret)
{
	uint64_t total = position->total, new, offset, n;

	*ret = (struct ring_spans){ .from = ring->read };
	if (!ring->size)
		return;
	if (!position->has_total) {
		new = distance(ring, ring->read, total);
		if (total >= ring->size || !samples_hold(ring, ring->read, new)) {
			ret->lapped = ret->unknown = true;
			new += ring->size;
		}
		total = ring->read + new;
	}
	if (total < ring->read) {
		/* No writer goes back: nothing of this ring can be believed. */
		ret->lapped = ret->unknown = true;
		ret->from = total;
	} else if (ret->lapped || total - ring->read > ring->size) {
		ret->lapped = true;
		ret->from = total - keep;
		ret->lost = ret->from - ring->read;
	}
	ring->read = ret->from;
	if (ret->lapped && !position->has_total)
		take_samples(ring);

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
		if (new < n || position->total >= ring->size ||
		    !samples_hold(ring, from, new))
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

	if (!ring->size)
		return 0;
	lost = overwritten(ring, spans->from, n, position);
	ring->read = spans->from + n;
	if (!position->has_total)
		take_samples(ring);
	return lost;
}

void ring_read_all(struct ring *ring, const struct hv_position *position,
		   struct ring_spans *ret)
{
	take(ring, position, ring->size, ring->size, ret);
	ring->read = ret->from + ret->spans[0].size + ret->spans[1].size;
	if (ring->size && !position->has_total)
		take_samples(ring);
}
