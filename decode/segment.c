/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "packet.h"
#include "segment.h"
#include "stream.h"

/* A span: big enough to make its start cheap, small enough for many at once. */
#define SPAN_SIZE (64 << 10)

/* PSBs are at most 64 MiB apart: PSBFreq 15, SDM "IA32_RTIT_CTL MSR". */
#define SPAN_MAX ((64 << 20) + SPAN_SIZE)

/* No PSB+, PADs and all, is longer; nor what comes between it and TIP.PGE. */
#define PSB_PLUS_MAX (4 << 10)

#define PSB_SIZE 16

/* Branch packets that no engine reads ahead of the instructions; libipt: 2. */
#define READ_AHEAD 4

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

	/* About the span that starts at buf: */
	size_t checked;  /* the last PSB that is no place to cut */
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

/* ---- packets ---- */

/* Walks the packets of a piece of trace that starts with one. */
struct walk {
	struct packet_state state;
	const uint8_t *data;
	size_t pos, end;
	struct xenpt_packet packets[64];
	size_t next, count;
};

static void walk_init(struct walk *walk, const uint8_t *data, size_t pos, size_t end)
{
	packet_reset(&walk->state, pos);
	walk->state.synced = true;
	walk->data = data;
	walk->pos = pos;
	walk->end = end;
	walk->next = walk->count = 0;
}

/* NULL: the end, or a packet that is cut by it. */
static const struct xenpt_packet *walk_next(struct walk *walk)
{
	if (walk->next == walk->count) {
		size_t used;

		walk->next = 0;
		walk->count = packet_decode(&walk->state, walk->data + walk->pos,
					    walk->end - walk->pos, false, walk->packets,
					    64, &used);
		walk->pos += used;
		if (!walk->count)
			return NULL;
	}
	return &walk->packets[walk->next++];
}

/*
 * Whether the PSB at @psb is one that a walk from the PSB before it comes to
 * (no payload that looks like one), and whether enough happened in between: an
 * engine reads ahead, and must not take the one PSB+ for the other.
 */
static bool psb_is_reached(const uint8_t *data, size_t before, size_t psb)
{
	const struct xenpt_packet *packet;
	unsigned int branches = 0;
	uint64_t end = before;
	struct walk walk;

	walk_init(&walk, data, before, psb);
	while ((packet = walk_next(&walk))) {
		end = packet->offset + packet->size;
		switch (packet->type) {
		case XENPT_PACKET_TNT_8:
		case XENPT_PACKET_TNT_64:
		case XENPT_PACKET_TIP:
		case XENPT_PACKET_TIP_PGE:
			branches++;
			break;
		}
	}
	return end == psb && branches >= READ_AHEAD;
}

/* What a decoder that starts at a PSB gets to know before the first instruction. */
struct psb_plus {
	size_t end; /* after PSBEND */
	bool complete;
	bool pip;
	bool mode;
};

static void psb_plus_read(const uint8_t *data, size_t psb, size_t size,
			  struct psb_plus *ret)
{
	const struct xenpt_packet *packet;
	bool ended = false, fup = false;
	struct walk walk;

	*ret = (struct psb_plus){};
	if (size - psb > PSB_PLUS_MAX)
		size = psb + PSB_PLUS_MAX;
	walk_init(&walk, data, psb, size);
	while ((packet = walk_next(&walk))) {
		switch (packet->type) {
		case XENPT_PACKET_PSB:
			if (packet->offset != psb)
				return;
			break;
		case XENPT_PACKET_PIP:
			ret->pip = true;
			break;
		case XENPT_PACKET_MODE_EXEC:
			ret->mode = true;
			break;
		case XENPT_PACKET_FUP:
			fup = true;
			if (ended)
				return;
			break;
		case XENPT_PACKET_PSBEND:
			ret->end = packet->offset + packet->size;
			ended = true;
			/* With an IP, the code runs on from here. */
			if (fup) {
				ret->complete = true;
				return;
			}
			break;
		case XENPT_PACKET_TIP_PGE:
			ret->complete = ended;
			return;
		case XENPT_PACKET_TNT_8:
		case XENPT_PACKET_TNT_64:
		case XENPT_PACKET_TIP:
		case XENPT_PACKET_TIP_PGD:
		case XENPT_PACKET_OVF:
		case XENPT_PACKET_BAD:
			return;
		}
	}
}

/* Whether a PIP stands before @end: then CR3 must be known where a span starts. */
static bool has_pip(struct segmenter *segmenter, size_t end)
{
	const struct xenpt_packet *packet;
	struct walk walk;

	if (segmenter->pip)
		return true;
	walk_init(&walk, segmenter->buf, segmenter->scanned, end);
	while ((packet = walk_next(&walk))) {
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
	size_t from = segmenter->checked + PSB_SIZE;
	const uint8_t *psb;

	if (from < segmenter->searched)
		from = segmenter->searched;
	if (from > segmenter->size)
		return false;
	psb = psb_find(segmenter->buf + from, segmenter->size - from);
	if (psb)
		*ret = segmenter->searched = psb - segmenter->buf;
	else if (segmenter->size - from >= PSB_SIZE)
		segmenter->searched = segmenter->size - PSB_SIZE + 1;
	return psb;
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
		size_t before = segmenter->checked, psb;
		struct psb_plus plus;

		if (!next_psb(segmenter, &psb))
			return false;
		if (!all && segmenter->size - psb < PSB_PLUS_MAX)
			return false;
		if (psb >= SPAN_SIZE && psb_is_reached(data, before, psb)) {
			psb_plus_read(data, psb, segmenter->size, &plus);
			if (plus.complete && plus.mode &&
			    (plus.pip || !has_pip(segmenter, psb))) {
				*cut_ret = psb;
				*ahead_ret = plus.end - psb;
				return true;
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

/* Append the next piece of the trace, if there is one without a gap between. */
static struct xenpt_error *fill(struct segmenter *segmenter, bool *ret)
{
	size_t size = stream_next_size(segmenter->stream);

	*ret = size > 0;
	if (!size)
		return NULL;
	if (!reserve(segmenter, size))
		return xenpt_error_no_memory();
	if (!segmenter->size)
		segmenter->offset = stream_offset(segmenter->stream);
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
	};
	take_samples(segmenter, segment);
	segment->joined = segmenter->joined;
	segmenter->joined = segmenter->synced = ahead > 0;
	segmenter->checked = segmenter->searched = 0;
	segmenter->scanned = 0;
	segmenter->pip = false;
	drop(segmenter, size);
	return NULL;
}

static void note(struct segment *segment, unsigned int reason, uint64_t offset,
		 uint64_t value)
{
	segment->notes[segment->note_count++] = (struct xenpt_event){
		.type = XENPT_EVENT_GAP,
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
		note(segment, XENPT_GAP_NO_PSB, segmenter->offset - segmenter->skipped,
		     segmenter->skipped);
	segmenter->skipped = 0;
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

	segmenter->offset += segmenter->size;
	segmenter->skipped += segmenter->size;
	segmenter->size = 0;
	segmenter->joined = false;
	note_skipped(segmenter, segment);
	if (!stream_gap(segmenter->stream, &gap))
		return !stream_end(segmenter->stream);
	note(segment, gap.reason, gap.offset, gap.lost);
	return true;
}

struct xenpt_error *segmenter_next(struct segmenter *segmenter, struct segment *ret,
				   bool *end_ret)
{
	struct segment segment = {};
	bool more = true, filled;
	size_t cut, ahead;

	/* Crossing a seam makes two notes, the start of a span one more. */
	while (more && !segment.data && segment.note_count + 3 <= SEGMENT_NOTES_MAX) {
		if (!segmenter->synced && !find_start(segmenter)) {
			XENPT_TRY(fill(segmenter, &filled));
			if (!filled)
				more = cross_seam(segmenter, &segment);
			continue;
		}
		note_skipped(segmenter, &segment);
		if (find_cut(segmenter, false, &cut, &ahead)) {
			XENPT_TRY(take_span(segmenter, cut, ahead, &segment));
			break;
		}
		filled = false;
		if (segmenter->size < SPAN_MAX)
			XENPT_TRY(fill(segmenter, &filled));
		if (filled)
			continue;
		/* A seam, or the end. */
		if (!find_cut(segmenter, true, &cut, &ahead)) {
			cut = segmenter->size;
			ahead = 0;
		}
		XENPT_TRY(take_span(segmenter, cut, ahead, &segment));
	}
	segment.read = segmenter->filled - segmenter->size;
	*end_ret = !more && !segment.note_count;
	*ret = segment;
	return NULL;
}
