/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libxenpt/section.h"
#include "stream.h"

struct stream {
	const struct xenpt_file *file;
	const struct xenpt_chunk *next, *end;
	uint64_t offset;
	bool damaged; /* next could not be read: it is a gap now */
};

/* Leave chunk @next behind, and with it all that hold nothing. */
static void advance(struct stream *stream)
{
	stream->offset = stream->next->offset;
	if (stream->next->type == XENPT_SECTION_TRACE)
		stream->offset += stream->next->size;
	stream->next++;
	stream->damaged = false;
}

/* Empty chunks are no pieces: a size of 0 would look like a gap. */
static void skip_empty(struct stream *stream)
{
	while (stream->next < stream->end && stream->next->type == XENPT_SECTION_TRACE &&
	       stream->next->size == 0)
		advance(stream);
	if (stream->next < stream->end)
		stream->offset = stream->next->offset;
}

static bool has_vcpu(const struct xenpt_file *file, uint32_t vcpu)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);

	for (size_t i = 0; i < info->vcpu_count; i++) {
		if (info->vcpus[i].vcpu.id == vcpu)
			return true;
	}
	return false;
}

struct xenpt_error *stream_create(const struct xenpt_file *file, uint32_t vcpu,
				  struct stream **ret)
{
	struct stream *stream;
	size_t count;

	if (!has_vcpu(file, vcpu))
		return xenpt_error_create(XENPT_ERROR_NOT_FOUND, "%s: no vCPU %u",
					  xenpt_file_info(file)->path, vcpu);
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return xenpt_error_no_memory();
	stream->file = file;
	stream->next = xenpt_file_trace(file, vcpu, &count);
	stream->end = count ? stream->next + count : stream->next;
	skip_empty(stream);
	*ret = stream;
	return NULL;
}

void stream_destroy(struct stream *stream)
{
	free(stream);
}

size_t stream_next_size(const struct stream *stream)
{
	if (stream->next == stream->end || stream->next->type != XENPT_SECTION_TRACE ||
	    stream->damaged)
		return 0;
	return stream->next->size;
}

uint32_t stream_next_epoch(const struct stream *stream)
{
	return stream_next_size(stream) ? stream->next->epoch : 0;
}

struct xenpt_error *stream_read(struct stream *stream, void *buf, size_t *size_ret)
{
	size_t size = stream_next_size(stream);
	struct xenpt_error *err;

	if (!size) {
		*size_ret = 0;
		return NULL;
	}
	err = xenpt_file_read(stream->file, stream->next, buf);
	if (err && err->code != XENPT_ERROR_FORMAT)
		return err;
	if (err) {
		/* Trouble of the trace is told in the trace. */
		xenpt_error_destroy(err);
		stream->damaged = true;
		*size_ret = 0;
		return NULL;
	}
	advance(stream);
	skip_empty(stream);
	*size_ret = size;
	return NULL;
}

bool stream_gap(struct stream *stream, struct stream_gap *ret)
{
	const struct xenpt_chunk *chunk = stream->next;

	if (stream_end(stream) || stream_next_size(stream))
		return false;
	*ret = (struct stream_gap){
		.offset = chunk->offset,
		.lost = stream->damaged ? chunk->size : chunk->lost,
		.reason = stream->damaged ? XENPT_GAP_DAMAGED : chunk->gap,
	};
	advance(stream);
	skip_empty(stream);
	return true;
}

bool stream_end(const struct stream *stream)
{
	return stream->next == stream->end;
}

uint64_t stream_offset(const struct stream *stream)
{
	return stream->offset;
}
