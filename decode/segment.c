/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "packet.h"
#include "psb.h"
#include "segment.h"
#include "stream.h"

/* A span: big enough to make its start cheap, small enough for many at once. */
#define SPAN_SIZE (64 << 10)

/* PSBs are at most 64 MiB apart: PSBFreq 15, SDM "IA32_RTIT_CTL MSR". */
#define SPAN_MAX ((64 << 20) + SPAN_SIZE)

#define NO_LIMIT SIZE_MAX

struct segmenter {
	struct stream *stream;
	uint8_t *memory;
	size_t capacity;
	uint8_t *buf; /* in memory: trace that is in no span yet */
	size_t size;
	uint64_t offset;  /* of buf in the vCPU's trace */
	bool synced;      /* buf starts with a PSB */
	bool joined;      /* … at which the last span ended */
	uint64_t skipped; /* bytes before buf that are before the first PSB */
	uint64_t filled;  /* bytes taken from the stream */
	const struct xenpt_sample *samples; /* of the vCPU, that are in no span yet */
	size_t sample_count;

	/*
	 * Code changes: no span goes on past the limit, but what is behind it is
	 * looked at to join it.
	 *
	 *	buf        limit       size
	 *	 | epoch    | next_epoch |
	 */
	uint32_t epoch;
	size_t limit; /* NO_LIMIT: all of buf is of one epoch */
	uint32_t next_epoch;
	uint32_t noted; /* the epoch that events have told of */

	/* About the span that starts at buf: */
	size_t checked; /* the last PSB that is no place to cut */
	size_t spare;   /* a PSB that may be one, though it is early; 0: none */
	size_t spare_ahead;
	size_t searched; /* up to here there is no other */
	size_t scanned;  /* packets before this were looked at for a PIP */
	bool pip;        /* there is one */
};

void segment_deinit(struct segment *segment)
{
	free(segment->data);
	segment->data = NULL;
}

static void find_samples(struct segmenter *segmenter, const struct xenpt_file_info *info,
			 uint32_t vcpu)
{
	size_t first = 0, end;

	while (first < info->sample_count && info->samples[first].vcpu < vcpu)
		first++;
	for (end = first; end < info->sample_count; end++) {
		if (info->samples[end].vcpu != vcpu)
			break;
	}
	if (first == end)
		return;
	segmenter->samples = &info->samples[first];
	segmenter->sample_count = end - first;
}

struct xenpt_error *segmenter_create(const struct xenpt_file *file, uint32_t vcpu,
				     struct segmenter **ret)
{
	_cleanup_(segmenter_cleanup) struct segmenter *segmenter =
		calloc(1, sizeof(*segmenter));

	if (!segmenter)
		return xenpt_error_no_memory();
	segmenter->limit = NO_LIMIT;
	XENPT_TRY(stream_create(file, vcpu, &segmenter->stream));
	find_samples(segmenter, xenpt_file_info(file), vcpu);
	*ret = no_cleanup_ptr(segmenter);
	return NULL;
}

void segmenter_destroy(struct segmenter *segmenter)
{
	if (!segmenter)
		return;
	stream_destroy(segmenter->stream);
	free(segmenter->memory);
	free(segmenter);
}

/* Whether a PIP stands before @end: then CR3 must be known where a span starts. */
static bool has_pip(struct segmenter *segmenter, size_t end)
{
	const struct xenpt_packet *packet;
	struct psb_walk walk;

	if (segmenter->pip)
		return true;
	psb_walk_init(&walk, segmenter->buf, segmenter->scanned, end);
	while ((packet = psb_walk_next(&walk))) {
		segmenter->scanned = packet->offset + packet->size;
		if (packet->type == XENPT_PACKET_PIP)
			return segmenter->pip = true;
	}
	return false;
}

/* ---- cutting ---- */

/* The PSB after the one that was checked; no byte is looked at again and again. */
static bool next_psb(struct segmenter *segmenter, size_t *ret)
{
	size_t from = segmenter->checked + PSB_SIZE, end = segmenter->size;
	const uint8_t *psb;

	if (segmenter->limit < end && end - segmenter->limit > PSB_SIZE)
		end = segmenter->limit + PSB_SIZE;
	if (from < segmenter->searched)
		from = segmenter->searched;
	if (from > end)
		return false;
	psb = psb_find(segmenter->buf + from, end - from);
	if (psb)
		*ret = segmenter->searched = psb - segmenter->buf;
	else if (end - from >= PSB_SIZE)
		segmenter->searched = end - PSB_SIZE + 1;
	return psb && (size_t)(psb - segmenter->buf) <= segmenter->limit;
}

/*
 * Find the PSB that the next span starts with, such that what a decoder knows
 * there is what it would know had it come all the way: CR3 and the mode.
 * False: none yet. @all: no more bytes will come.
 */
static bool find_cut(struct segmenter *segmenter, bool all, size_t *cut_ret,
		     size_t *ahead_ret)
{
	const uint8_t *data = segmenter->buf;

	for (;;) {
		bool limited = segmenter->limit != NO_LIMIT;
		size_t before = segmenter->checked, psb;
		/* A span's own first PSB+ is known to the engine. */
		unsigned int enough = limited && !before ? 0 : PSB_READ_AHEAD;
		struct psb_plus plus;

		if (!next_psb(segmenter, &psb))
			return false;
		if (!all && segmenter->size - psb < PSB_PLUS_MAX)
			return false;
		if ((psb >= SPAN_SIZE || limited) &&
		    psb_is_reached(data, before, psb, enough)) {
			psb_plus_read(data, psb, segmenter->size, &plus);
			if (plus.complete && plus.mode &&
			    (plus.pip || !has_pip(segmenter, psb))) {
				*cut_ret = psb;
				*ahead_ret = plus.end - psb;
				if (psb >= SPAN_SIZE || psb == segmenter->limit)
					return true;
				segmenter->spare = psb;
				segmenter->spare_ahead = plus.end - psb;
			}
		}
		segmenter->checked = psb;
	}
}

/* Make room for @size more bytes at the end of the buffer. */
static bool reserve(struct segmenter *segmenter, size_t size)
{
	size_t taken = segmenter->buf - segmenter->memory;
	size_t capacity = segmenter->capacity ? segmenter->capacity : 2 * SPAN_SIZE;
	uint8_t *memory;

	if (segmenter->capacity - taken - segmenter->size >= size)
		return true;
	while (capacity < segmenter->size + size)
		capacity *= 2;
	memory = segmenter->memory;
	if (taken)
		memmove(memory, segmenter->buf, segmenter->size);
	if (capacity > segmenter->capacity)
		memory = realloc(memory, capacity);
	if (!memory)
		return false;
	segmenter->memory = segmenter->buf = memory;
	segmenter->capacity = capacity;
	return true;
}

/*
 * Append the next piece of the trace, if there is one without a gap between, and none of
 * two epochs is in the buffer.
 */
static struct xenpt_error *fill(struct segmenter *segmenter, bool *ret)
{
	size_t size = stream_next_size(segmenter->stream);
	uint32_t epoch = stream_next_epoch(segmenter->stream);
	bool limited = segmenter->limit != NO_LIMIT;

	*ret = size > 0 && (!limited || epoch == segmenter->next_epoch);
	if (!*ret)
		return NULL;
	if (!reserve(segmenter, size))
		return xenpt_error_no_memory();
	if (!segmenter->size) {
		segmenter->offset = stream_offset(segmenter->stream);
		segmenter->epoch = epoch;
	} else if (!limited && epoch != segmenter->epoch) {
		segmenter->limit = segmenter->size;
		segmenter->next_epoch = epoch;
		/* A PSB that came too early to cut at may do now. */
		segmenter->checked = segmenter->searched = 0;
	}
	XENPT_TRY(
		stream_read(segmenter->stream, segmenter->buf + segmenter->size, &size));
	*ret = size > 0;
	segmenter->size += size;
	segmenter->filled += size;
	return NULL;
}

/* Drop the first @size bytes of the buffer. */
static void drop(struct segmenter *segmenter, size_t size)
{
	if (!size)
		return; /* there may be no buffer yet */
	segmenter->buf += size;
	segmenter->size -= size;
	segmenter->offset += size;
	if (segmenter->limit == NO_LIMIT)
		return;
	if (size < segmenter->limit) {
		segmenter->limit -= size;
		return;
	}
	segmenter->limit = NO_LIMIT;
	segmenter->epoch = segmenter->next_epoch;
}

/* The next span starts after the first @size bytes. */
static void leave(struct segmenter *segmenter, size_t size)
{
	segmenter->checked = segmenter->searched = segmenter->spare = 0;
	segmenter->scanned = 0;
	segmenter->pip = false;
	drop(segmenter, size);
}

static void skip_samples(struct segmenter *segmenter, size_t count)
{
	if (!count)
		return; /* there may be none */
	segmenter->samples += count;
	segmenter->sample_count -= count;
}

/*
 * The registers that were read within the span, or at its end; there only if no trace
 * is missing, for it may be older than they are.
 */
static void take_samples(struct segmenter *segmenter, struct segment *segment)
{
	struct flow_span *span = &segment->span;
	bool whole = span->ahead > 0 || stream_end(segmenter->stream);
	uint64_t end = span->offset + span->size;
	size_t count = 0;

	while (count < segmenter->sample_count &&
	       segmenter->samples[count].offset <= span->offset)
		count++;
	skip_samples(segmenter, count);
	span->samples = segmenter->samples;
	for (count = 0; count < segmenter->sample_count; count++) {
		uint64_t offset = segmenter->samples[count].offset;

		if (offset > end || (offset == end && !whole))
			break;
	}
	span->sample_count = count;
	skip_samples(segmenter, count);
}

/* Make the first @size bytes a span; its bytes and those ahead are copied out. */
static struct xenpt_error *take_span(struct segmenter *segmenter, size_t size,
				     size_t ahead, struct segment *segment)
{
	segment->data = malloc(size + ahead);
	if (!segment->data)
		return xenpt_error_no_memory();
	memcpy(segment->data, segmenter->buf, size + ahead);
	segment->span = (struct flow_span){
		.data = segment->data,
		.size = size,
		.ahead = ahead,
		.offset = segmenter->offset,
		.epoch = segmenter->epoch,
	};
	take_samples(segmenter, segment);
	segment->joined = segmenter->joined;
	segmenter->joined = segmenter->synced = ahead > 0;
	leave(segmenter, size);
	return NULL;
}

static void note(struct segment *segment, unsigned int type, unsigned int reason,
		 uint64_t offset, uint64_t value)
{
	segment->notes[segment->note_count++] = (struct xenpt_event){
		.type = type,
		.reason = reason,
		.offset = offset,
		.value = value,
		.cr3 = XENPT_CR3_ANY,
	};
}

/* Bytes that no PSB stands before cannot be decoded. */
static void note_skipped(struct segmenter *segmenter, struct segment *segment)
{
	if (segmenter->skipped)
		note(segment, XENPT_EVENT_GAP, XENPT_GAP_NO_PSB,
		     segmenter->offset - segmenter->skipped, segmenter->skipped);
	segmenter->skipped = 0;
}

/* What the next span starts with is another epoch than what ended the last one. */
static void note_epoch(struct segmenter *segmenter, struct segment *segment)
{
	if (segmenter->noted != segmenter->epoch)
		note(segment, XENPT_EVENT_CODE, 0, segmenter->offset, segmenter->epoch);
	segmenter->noted = segmenter->epoch;
	segment->joined = segmenter->joined;
}

/*
 * Look for the first PSB. False: more bytes are wanted. What is not part of one is
 * dropped; the last bytes may be the beginning of one.
 */
static bool find_start(struct segmenter *segmenter)
{
	const uint8_t *psb = psb_find(segmenter->buf, segmenter->size);
	size_t skip;

	if (psb)
		skip = psb - segmenter->buf;
	else
		skip = segmenter->size < PSB_SIZE ? 0 : segmenter->size - PSB_SIZE + 1;
	segmenter->skipped += skip;
	drop(segmenter, skip);
	segmenter->synced = psb != NULL;
	return segmenter->synced;
}

/* At a seam: nothing before it goes on behind it. False: the trace has ended. */
static bool cross_seam(struct segmenter *segmenter, struct segment *segment)
{
	struct stream_gap gap;

	segmenter->skipped += segmenter->size;
	drop(segmenter, segmenter->size);
	segmenter->joined = false;
	note_skipped(segmenter, segment);
	if (!stream_gap(segmenter->stream, &gap))
		return !stream_end(segmenter->stream);
	note(segment, XENPT_EVENT_GAP, gap.reason, gap.offset, gap.lost);
	return true;
}

/* Whether what a cut at the limit needs is there, and no more will help. */
static bool limit_is_ready(const struct segmenter *segmenter)
{
	return segmenter->limit != NO_LIMIT &&
	       segmenter->size - segmenter->limit >= PSB_PLUS_MAX;
}

/*
 * Where to cut where find_cut() found nothing, at a seam, the end, or a limit. If the
 * PSB at the limit comes too soon after another, then before that one; else what
 * comes next does not join.
 */
static void force_cut(const struct segmenter *segmenter, size_t *cut_ret,
		      size_t *ahead_ret)
{
	if (segmenter->limit != NO_LIMIT && segmenter->checked == segmenter->limit &&
	    segmenter->spare) {
		*cut_ret = segmenter->spare;
		*ahead_ret = segmenter->spare_ahead;
		return;
	}
	*cut_ret =
		segmenter->limit < segmenter->size ? segmenter->limit : segmenter->size;
	*ahead_ret = 0;
}

/*
 * Whether nothing ran up to @cut: two PSB+ at the same IP, with but time in between. An
 * engine would go on past the second, which looks like the first.
 */
static bool nothing_ran(const struct segmenter *segmenter, size_t cut)
{
	struct psb_plus first, second;

	psb_plus_read(segmenter->buf, 0, cut, &first);
	psb_plus_read(segmenter->buf, cut, segmenter->size, &second);
	return first.end && first.ip == second.ip &&
	       psb_is_quiet(segmenter->buf, first.end, cut);
}

/* More bytes to look for the first PSB in; @more_ret false: the trace has ended. */
static struct xenpt_error *fill_unsynced(struct segmenter *segmenter,
					 struct segment *segment, bool *more_ret)
{
	bool filled;

	XENPT_TRY(fill(segmenter, &filled));
	if (!filled && segmenter->limit != NO_LIMIT) {
		segmenter->skipped += segmenter->limit;
		drop(segmenter, segmenter->limit);
	} else if (!filled) {
		*more_ret = cross_seam(segmenter, segment);
	}
	return NULL;
}

struct xenpt_error *segmenter_next(struct segmenter *segmenter, struct segment *ret,
				   bool *end_ret)
{
	struct segment segment = {};
	bool more = true, filled, found;
	size_t cut, ahead;

	/* Crossing a seam makes two notes, the start of a span two more. */
	while (more && !segment.data && segment.note_count + 4 <= SEGMENT_NOTES_MAX) {
		if (!segmenter->synced && !find_start(segmenter)) {
			XENPT_TRY(fill_unsynced(segmenter, &segment, &more));
			continue;
		}
		note_skipped(segmenter, &segment);
		note_epoch(segmenter, &segment);
		found = find_cut(segmenter, false, &cut, &ahead);
		filled = false;
		if (!found && segmenter->size < SPAN_MAX && !limit_is_ready(segmenter))
			XENPT_TRY(fill(segmenter, &filled));
		if (filled)
			continue;
		/* A seam, a limit, or the end. */
		if (!found && !find_cut(segmenter, true, &cut, &ahead))
			force_cut(segmenter, &cut, &ahead);
		if (ahead && nothing_ran(segmenter, cut))
			leave(segmenter, cut);
		else
			XENPT_TRY(take_span(segmenter, cut, ahead, &segment));
	}
	segment.read = segmenter->filled - segmenter->size;
	*end_ret = !more && !segment.note_count;
	*ret = segment;
	return NULL;
}
