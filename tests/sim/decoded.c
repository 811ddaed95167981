/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libxenpt/cleanup.h"
#include "decode/stream.h"
#include "truth.h"

XENPT_DEFINE_CLEANUP(struct xenpt_decoder, decoder, xenpt_decoder_destroy)
XENPT_DEFINE_CLEANUP(struct xenpt_packets, packets, xenpt_packets_destroy)

typedef ARRAY(uint64_t) offset_array;

static void offsets_deinit(offset_array *offsets)
{
	array_deinit(offsets);
}

static struct xenpt_error *find_psbs(const struct xenpt_file *file, uint32_t vcpu,
				     offset_array *psbs)
{
	_cleanup_(packets_cleanup) struct xenpt_packets *packets = NULL;
	const struct xenpt_packet *list;
	size_t count;

	XENPT_TRY(xenpt_packets_create(file, vcpu, &packets));
	for (;;) {
		XENPT_TRY(xenpt_packets_next(packets, &list, &count));
		if (!count)
			return NULL;
		for (size_t i = 0; i < count; i++) {
			uint64_t *psb;

			if (list[i].type != XENPT_PACKET_PSB)
				continue;
			psb = array_add(psbs);
			if (!psb)
				return xenpt_error_no_memory();
			*psb = list[i].offset;
		}
	}
}

/* Where decoding stands. */
struct reader {
	struct decoded *decoded;
	offset_array psbs;
	size_t psb; /* the first that is not behind */
	struct segment next;
	bool pending; /* the next run begins a segment */
	uint64_t offset;
};

/* The last PSB before the states that it told. */
static uint64_t psb_before(struct reader *reader, uint64_t offset)
{
	while (reader->psb < reader->psbs.count &&
	       reader->psbs.data[reader->psb] < offset)
		reader->psb++;
	return reader->psb ? reader->psbs.data[reader->psb - 1] : NO_PSB;
}

static void break_here(struct reader *reader, enum segment_start start)
{
	if (!reader->pending)
		reader->next = (struct segment){};
	reader->next.start = start;
	/* What a PSB told before the hole is not where code goes on after it. */
	reader->next.psb = NO_PSB;
	reader->pending = true;
}

/* Whether it takes a packet to tell how a block ended. */
static bool is_told(const struct xenpt_event *event)
{
	return event->has_to && event->branch != XENPT_BRANCH_NONE &&
	       event->branch != XENPT_BRANCH_JUMP && event->branch != XENPT_BRANCH_CALL;
}

/* A packet told that all runs so far were gone through. */
static void make_certain(struct reader *reader)
{
	struct decoded *decoded = reader->decoded;
	struct segment *segment;

	if (!decoded->segments.count || reader->pending)
		return;
	segment = &decoded->segments.data[decoded->segments.count - 1];
	segment->certain = segment->count;
}

static struct xenpt_error *add_run(struct reader *reader, const struct xenpt_event *event)
{
	struct decoded *decoded = reader->decoded;
	struct segment *segment;
	struct run *run;

	if (reader->pending) {
		reader->next.first = decoded->runs.count;
		reader->pending = false;
		segment = array_add(&decoded->segments);
		if (!segment)
			return xenpt_error_no_memory();
		*segment = reader->next;
	}
	decoded->segments.data[decoded->segments.count - 1].count++;
	run = array_add(&decoded->runs);
	if (!run)
		return xenpt_error_no_memory();
	*run = (struct run){
		.ip = event->ip,
		.last = event->last,
		.cr3 = event->cr3,
		.insns = event->insns,
		.offset = reader->offset,
	};
	if (is_told(event))
		make_certain(reader);
	return NULL;
}

/* Runs from the last PSB up to a gap: a missing PIP shows only at the next PSB. */
static void mark_unseen(struct reader *reader, uint64_t gap)
{
	uint64_t psb = psb_before(reader, gap);
	size_t i = reader->decoded->runs.count;

	while (i > 0 && psb != NO_PSB && reader->decoded->runs.data[i - 1].offset >= psb)
		reader->decoded->runs.data[--i].unseen = true;
}

static void note_restart(struct reader *reader, uint64_t offset)
{
	reader->next.restarts++;
	reader->next.restart = offset;
}

static void take_gap(struct reader *reader, const struct xenpt_event *event)
{
	mark_unseen(reader, event->offset);
	reader->decoded->gaps++;
	break_here(reader, SEGMENT_HOLE);
	if (event->reason == XENPT_GAP_LAPPED && event->value)
		reader->next.lost += event->value;
	else if (event->reason != XENPT_GAP_NO_PSB)
		note_restart(reader, event->offset);
}

static void take_state(struct reader *reader, const struct xenpt_event *event)
{
	uint64_t psb = psb_before(reader, event->offset);

	if (!event->status)
		return;
	/* News in the middle of a trace: it was wrong. */
	if (!reader->pending && event->type == XENPT_EVENT_CR3)
		break_here(reader, SEGMENT_CR3);
	if (reader->pending)
		reader->next.psb = psb;
}

static struct xenpt_error *take_event(struct reader *reader,
				      const struct xenpt_event *event)
{
	struct doubt *doubt;

	if (event->type == XENPT_EVENT_BLOCK)
		return add_run(reader, event);
	reader->offset = event->offset;
	switch (event->type) {
	case XENPT_EVENT_GAP:
		take_gap(reader, event);
		return NULL;
	case XENPT_EVENT_ERROR:
		reader->decoded->errors++;
		break_here(reader, SEGMENT_HOLE);
		/* What was skipped ends at a PSB, whose states may be no news. */
		reader->next.psb = psb_before(reader, event->offset + event->value + 1);
		return NULL;
	case XENPT_EVENT_OVERFLOW:
		reader->decoded->overflows++;
		break_here(reader, SEGMENT_OVERFLOW);
		return NULL;
	case XENPT_EVENT_INTERRUPT:
	case XENPT_EVENT_OFF:
		make_certain(reader);
		return NULL;
	case XENPT_EVENT_CR3:
	case XENPT_EVENT_MODE:
		take_state(reader, event);
		return NULL;
	case XENPT_EVENT_DOUBT:
		doubt = array_add(&reader->decoded->doubts);
		if (!doubt)
			return xenpt_error_no_memory();
		*doubt = (struct doubt){
			.since = event->value,
			.offset = event->offset,
			.run = reader->decoded->runs.count,
		};
		return NULL;
	default:
		return NULL;
	}
}

static struct xenpt_error *read_all(struct reader *reader, const struct xenpt_file *file,
				    uint32_t vcpu)
{
	const struct xenpt_decoder_options options = {
		.threads = 1, .vcpus = &vcpu, .vcpu_count = 1, .timeless = true
	};
	_cleanup_(decoder_cleanup) struct xenpt_decoder *decoder = NULL;
	struct xenpt_batch batch;

	XENPT_TRY(find_psbs(file, vcpu, &reader->psbs));
	XENPT_TRY(xenpt_decoder_create(file, &options, &decoder));
	for (;;) {
		XENPT_TRY(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			return NULL;
		for (size_t i = 0; i < batch.count; i++)
			XENPT_TRY(take_event(reader, &batch.events[i]));
	}
}

struct xenpt_error *decoded_read(const struct xenpt_file *file, uint32_t vcpu,
				 struct decoded *ret)
{
	struct reader reader = {
		.decoded = ret,
		.next = { .start = SEGMENT_FIRST, .psb = NO_PSB },
		.pending = true,
	};
	struct xenpt_error *err;

	*ret = (struct decoded){};
	err = read_all(&reader, file, vcpu);
	ret->open = reader.pending && reader.next.start != SEGMENT_FIRST;
	offsets_deinit(&reader.psbs);
	return err;
}

/* The first byte of trace that is not what the CPU wrote. */
static struct xenpt_error *find_spoilt(const struct xenpt_file *file, uint32_t vcpu,
				       const struct truth *truth, uint64_t *ret)
{
	_cleanup_stream_ struct stream *stream = NULL;
	uint64_t limit = UINT64_MAX;

	XENPT_TRY(stream_create(file, vcpu, &stream));
	while (stream_next_size(stream)) {
		uint64_t offset = stream_offset(stream);
		size_t size = stream_next_size(stream);
		_cleanup_free_ uint8_t *data = malloc(size);

		if (!data)
			return xenpt_error_no_memory();
		XENPT_TRY(stream_read(stream, data, &size));
		for (size_t i = 0; i < truth->spoilt.count; i++) {
			const struct truth_spoilt *spoilt = &truth->spoilt.data[i];

			if (spoilt->offset - offset < size && spoilt->offset < limit &&
			    data[spoilt->offset - offset] != spoilt->byte)
				limit = spoilt->offset;
		}
	}
	*ret = limit;
	return NULL;
}

struct xenpt_error *decoded_trim(struct decoded *decoded, const struct xenpt_file *file,
				 uint32_t vcpu, const struct truth *truth)
{
	uint64_t limit, last = 0;
	size_t kept = 0;

	XENPT_TRY(find_spoilt(file, vcpu, truth, &limit));
	if (limit == UINT64_MAX || !decoded->segments.count)
		return NULL;
	/* A run's packets are anywhere up to the next offset that is told. */
	for (size_t i = 0; i < decoded->runs.count; i++) {
		if (decoded->runs.data[i].offset < limit &&
		    decoded->runs.data[i].offset > last)
			last = decoded->runs.data[i].offset;
	}
	while (kept < decoded->segments.data[0].count &&
	       decoded->runs.data[kept].offset < last)
		kept++;
	decoded->segments.data[0].count = kept;
	if (decoded->segments.data[0].certain > kept)
		decoded->segments.data[0].certain = kept;
	return NULL;
}

void decoded_deinit(struct decoded *decoded)
{
	array_deinit(&decoded->runs);
	array_deinit(&decoded->segments);
	array_deinit(&decoded->doubts);
}
