/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which code a trace reaches: it is decoded as it comes, span by span, and what the
 * decoder reads is what was reached. The events are of no use here.
 *
 * It reads as far as a decoder of the whole trace would, and a little further: up to
 * the branch that the next packet would have decided.
 */
#include <string.h>

#include "code-cache.h"
#include "flow.h"
#include "host-pip.h"
#include "libxenpt/array.h"
#include "libxenpt/image.h"
#include "psb.h"

/* 64 MiB of code. */
#define PAGES_MAX (1 << 14)

/* Spans: less would cost more to start than to decode. */
#define SPAN_SIZE (4 << 10)

/* A trace without PSBs is decoded in pieces, and what is left of a piece is lost. */
#define SPAN_MAX (4 << 20)

/*
 * Instructions to decode: so many for a byte of trace, and so many saved up. Programs
 * need about 100; a guest that forges its trace can ask for a million.
 */
#define WORK_PER_BYTE 1024
#define WORK_MAX (64 << 20)

#define EVENTS 32

/* The PSB+ that may end the span. */
struct cut {
	size_t psb;
	bool found, mode, pip, fup;
	size_t ahead; /* after PSBEND, in bytes from psb; 0: not seen yet */
};

struct stream {
	uint8_t *buf; /* the span, and what follows it */
	size_t size, capacity;
	uint64_t offset; /* of buf in what was fed */
	bool synced;     /* buf starts with a PSB */
	uint64_t peeked; /* up to here the span has been decoded */

	/* How far packets were looked at. */
	struct packet_state state;
	size_t scanned;
	unsigned int branches; /* since the last PSB */
	bool pip;              /* was seen in the span */
	struct cut cut;
};

struct xenpt_capture {
	struct xenpt_cpu cpu;
	xenpt_capture_page_fn *page;
	void *arg;
	struct code_cache *cache;
	struct xenpt_image *image;
	struct flow_code *code;
	ARRAY(struct stream) streams; /* by vCPU */
	uint64_t work;                /* instructions that may be decoded */
	bool no_memory;               /* for a page */
};

XENPT_DEFINE_CLEANUP(struct xenpt_capture, capture, xenpt_capture_destroy)

/* ---- code ---------------------------------------------------------------- */

static const struct code_page *find_page(struct xenpt_capture *capture, uint64_t cr3,
					 uint64_t address)
{
	const struct code_page *page = code_cache_find(capture->cache, cr3, address);
	uint8_t data[XENPT_PAGE_SIZE];
	bool found;

	if (page)
		return page;
	found = capture->page(capture->arg, cr3, address, data);
	page = code_cache_add(capture->cache, cr3, address, found ? data : NULL);
	if (!page)
		capture->no_memory = true;
	return page;
}

static size_t read_code(void *arg, uint64_t cr3, uint64_t address, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		uint64_t at = address + done;
		size_t in_page = at % XENPT_PAGE_SIZE, here = XENPT_PAGE_SIZE - in_page;
		const struct code_page *page;

		/* An instruction may seem to go on where it does not. */
		page = find_page(arg, cr3, at - in_page);
		if (!page || !page->data)
			break;
		if (here > size - done)
			here = size - done;
		memcpy((uint8_t *)buf + done, page->data + in_page, here);
		done += here;
	}
	return done;
}

/* ---- life ---------------------------------------------------------------- */

struct xenpt_error *xenpt_capture_create(const struct xenpt_cpu *cpu,
					 xenpt_capture_page_fn *page, void *arg,
					 struct xenpt_capture **ret)
{
	_cleanup_(capture_cleanup) struct xenpt_capture *capture =
		calloc(1, sizeof(*capture));

	if (!capture)
		return xenpt_error_no_memory();
	capture->cpu = *cpu;
	capture->page = page;
	capture->arg = arg;
	capture->work = WORK_MAX;
	XENPT_TRY(code_cache_create(PAGES_MAX, &capture->cache));
	XENPT_TRY(xenpt_image_create_live(read_code, capture, &capture->image));
	XENPT_TRY(flow_ipt.code_create(capture->image, &capture->code));
	*ret = no_cleanup_ptr(capture);
	return NULL;
}

void xenpt_capture_destroy(struct xenpt_capture *capture)
{
	if (!capture)
		return;
	for (size_t i = 0; i < capture->streams.count; i++)
		free(capture->streams.data[i].buf);
	array_deinit(&capture->streams);
	if (capture->code)
		flow_ipt.code_destroy(capture->code);
	xenpt_image_destroy(capture->image);
	code_cache_destroy(capture->cache);
	free(capture);
}

void xenpt_capture_forget(struct xenpt_capture *capture)
{
	code_cache_clear(capture->cache);
}

static struct xenpt_error *find_stream(struct xenpt_capture *capture, uint32_t vcpu,
				       struct stream **ret)
{
	if (vcpu >= XENPT_VCPUS_MAX)
		return xenpt_error_create(XENPT_ERROR_INVALID, "no vCPU has number %u",
					  vcpu);
	while (capture->streams.count <= vcpu) {
		struct stream *stream = array_add(&capture->streams);

		if (!stream)
			return xenpt_error_no_memory();
		*stream = (struct stream){};
	}
	*ret = &capture->streams.data[vcpu];
	return NULL;
}

/* ---- decoding ------------------------------------------------------------ */

static struct xenpt_error *decode_span(struct xenpt_capture *capture,
				       struct stream *stream,
				       const struct flow_span *span)
{
	struct xenpt_event events[EVENTS];
	struct flow *flow;
	bool more = true;
	size_t count;

	capture->work += span->size * (uint64_t)WORK_PER_BYTE;
	if (capture->work > WORK_MAX)
		capture->work = WORK_MAX;
	host_pips_hide(stream->buf, span->size);
	XENPT_TRY(flow_ipt.create(&capture->cpu, capture->code, span, NULL, &flow));
	while (more && capture->work) {
		uint64_t insns = 0;

		more = flow_ipt.next(flow, events, EVENTS, &count);
		for (size_t i = 0; i < count; i++)
			insns += events[i].insns;
		capture->work -= insns < capture->work ? insns : capture->work;
	}
	flow_ipt.destroy(flow);
	return capture->no_memory ? xenpt_error_no_memory() : NULL;
}

/* The span that starts at buf is looked at from its beginning. */
static void scan_from_start(struct stream *stream)
{
	packet_reset(&stream->state, stream->offset);
	stream->state.synced = true;
	stream->scanned = 0;
	stream->branches = 0;
	stream->pip = false;
	stream->cut = (struct cut){};
}

static void drop(struct stream *stream, size_t size)
{
	if (!size)
		return;
	memmove(stream->buf, stream->buf + size, stream->size - size);
	stream->size -= size;
	stream->offset += size;
}

/* Decode the first @size bytes as a span, of which the next has so many @ahead. */
static struct xenpt_error *take_span(struct xenpt_capture *capture, struct stream *stream,
				     size_t size, size_t ahead)
{
	struct flow_span span = {
		.data = stream->buf,
		.size = size,
		.ahead = ahead,
		.offset = stream->offset,
	};
	struct xenpt_error *err = size ? decode_span(capture, stream, &span) : NULL;

	drop(stream, size);
	stream->synced = ahead > 0;
	scan_from_start(stream);
	return err;
}

/* ---- cutting ------------------------------------------------------------- */

/* False: more bytes are wanted. */
static bool find_start(struct stream *stream)
{
	const uint8_t *psb = psb_find(stream->buf, stream->size);

	if (psb)
		drop(stream, psb - stream->buf);
	else if (stream->size >= PSB_SIZE)
		drop(stream, stream->size - (PSB_SIZE - 1));
	stream->synced = psb != NULL;
	scan_from_start(stream);
	return stream->synced;
}

static void begin_cut(struct stream *stream, size_t at)
{
	stream->cut = (struct cut){
		.psb = at,
		.found = at >= SPAN_SIZE && stream->branches >= PSB_READ_AHEAD,
	};
	stream->branches = 0;
}

/* Whether the PSB+ tells all that the span's decoder knows at its end. */
static bool is_complete(const struct stream *stream)
{
	const struct cut *cut = &stream->cut;

	return cut->ahead && cut->mode && (cut->pip || !stream->pip);
}

/* A packet of the span. True: it completes the PSB+ that is the next span's. */
static bool look_at(struct stream *stream, const struct xenpt_packet *packet)
{
	size_t at = packet->offset - stream->offset;
	struct cut *cut = &stream->cut;

	switch (packet->type) {
	case XENPT_PACKET_PSB:
		begin_cut(stream, at);
		return false;
	case XENPT_PACKET_PIP:
		if (cut->found && !cut->ahead)
			cut->pip = true;
		stream->pip = true;
		return false;
	case XENPT_PACKET_MODE_EXEC:
		cut->mode |= !cut->ahead;
		return false;
	case XENPT_PACKET_FUP:
		cut->fup = true;
		cut->found &= !cut->ahead;
		return false;
	case XENPT_PACKET_PSBEND:
		cut->ahead = at + packet->size - cut->psb;
		/* With an IP, the code runs on from here. */
		return cut->found && cut->fup && is_complete(stream);
	case XENPT_PACKET_TIP_PGE:
		stream->branches++;
		if (cut->found && is_complete(stream))
			return true;
		break;
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
	case XENPT_PACKET_TIP:
		stream->branches++;
		break;
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_OVF:
	case XENPT_PACKET_BAD:
		break;
	default:
		return false;
	}
	cut->found = false;
	return false;
}

/* Look at the packets that came. True: stream->cut is where the span ends. */
static bool find_cut(struct stream *stream)
{
	struct xenpt_packet packets[64];
	size_t count, used;

	do {
		count = packet_decode(&stream->state, stream->buf + stream->scanned,
				      stream->size - stream->scanned, false, packets, 64,
				      &used);
		stream->scanned += used;
		for (size_t i = 0; i < count; i++) {
			if (look_at(stream, &packets[i]))
				return true;
		}
		if (stream->cut.found && stream->scanned - stream->cut.psb > PSB_PLUS_MAX)
			stream->cut.found = false;
	} while (count == 64);
	return false;
}

static struct xenpt_error *take_all(struct xenpt_capture *capture, struct stream *stream)
{
	if (!stream->synced && !find_start(stream)) {
		drop(stream, stream->size);
		return NULL;
	}
	return take_span(capture, stream, stream->size, 0);
}

static struct xenpt_error *take_spans(struct xenpt_capture *capture,
				      struct stream *stream)
{
	while (stream->synced || find_start(stream)) {
		if (find_cut(stream))
			XENPT_TRY(take_span(capture, stream, stream->cut.psb,
					    stream->cut.ahead));
		else if (stream->size >= SPAN_MAX)
			return take_all(capture, stream);
		else
			return NULL;
	}
	return NULL;
}

/* ---- feeding ------------------------------------------------------------- */

static bool append(struct stream *stream, const uint8_t *data, size_t size)
{
	if (!array_reserve_bytes(&stream->buf, &stream->capacity, stream->size + size, 1))
		return false;
	memcpy(stream->buf + stream->size, data, size);
	stream->size += size;
	return true;
}

struct xenpt_error *xenpt_capture_feed(struct xenpt_capture *capture, uint32_t vcpu,
				       const void *data, size_t size)
{
	const uint8_t *p = data;
	struct stream *stream;

	XENPT_TRY(find_stream(capture, vcpu, &stream));
	while (size) {
		/* What is dropped after a span is moved: not too much at once. */
		size_t piece = size < 4 * SPAN_SIZE ? size : 4 * SPAN_SIZE;

		if (!append(stream, p, piece))
			return xenpt_error_no_memory();
		XENPT_TRY(take_spans(capture, stream));
		p += piece;
		size -= piece;
	}
	return NULL;
}

struct xenpt_error *xenpt_capture_gap(struct xenpt_capture *capture, uint32_t vcpu)
{
	struct stream *stream;

	XENPT_TRY(find_stream(capture, vcpu, &stream));
	return take_all(capture, stream);
}

struct xenpt_error *xenpt_capture_peek(struct xenpt_capture *capture, uint32_t vcpu)
{
	struct flow_span span = {};
	struct stream *stream;

	XENPT_TRY(find_stream(capture, vcpu, &stream));
	if (!stream->synced || stream->peeked == stream->offset + stream->size)
		return NULL;
	span.data = stream->buf;
	span.size = stream->size;
	stream->peeked = stream->offset + stream->size;
	return decode_span(capture, stream, &span);
}

uint64_t xenpt_capture_done(const struct xenpt_capture *capture, uint32_t vcpu)
{
	const struct stream *stream;

	if (vcpu >= capture->streams.count)
		return 0;
	stream = &capture->streams.data[vcpu];
	/* Without a PSB before it, trace has no code; but its end may be half of one. */
	return stream->peeked > stream->offset ? stream->peeked : stream->offset;
}

struct xenpt_error *xenpt_capture_flush(struct xenpt_capture *capture)
{
	for (size_t i = 0; i < capture->streams.count; i++)
		XENPT_TRY(take_all(capture, &capture->streams.data[i]));
	return NULL;
}
