/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of all vCPUs, merged in the order of time where there is time. */
#include <stdlib.h>
#include <unistd.h>

#include "parallel.h"

/* A vCPU's events that are not out yet. */
struct cursor {
	const struct xenpt_event *events;
	size_t count;
	uint32_t vcpu;
	bool ended;
};

struct xenpt_decoder {
	struct lanes *lanes;
	struct xenpt_image *image; /* if it is ours */
	struct cursor *cursors;
	size_t cursor_count;
	bool timeless;
	uint64_t total;
};

void xenpt_decoder_destroy(struct xenpt_decoder *decoder)
{
	if (!decoder)
		return;
	lanes_destroy(decoder->lanes);
	xenpt_image_destroy(decoder->image);
	free(decoder->cursors);
	free(decoder);
}

XENPT_DEFINE_CLEANUP(struct xenpt_decoder, xenpt_decoder, xenpt_decoder_destroy)

static struct xenpt_error *choose_vcpus(struct xenpt_decoder *decoder,
					const struct xenpt_file *file,
					const struct xenpt_decoder_options *options)
{
	const struct xenpt_file_info *info = xenpt_file_info(file);
	size_t count = options->vcpus ? options->vcpu_count : info->vcpu_count;

	decoder->cursors = calloc(count ? count : 1, sizeof(*decoder->cursors));
	if (!decoder->cursors)
		return xenpt_error_no_memory();
	decoder->cursor_count = count;
	for (size_t i = 0; i < count; i++) {
		uint32_t id = options->vcpus ? options->vcpus[i] : info->vcpus[i].vcpu.id;

		decoder->cursors[i].vcpu = id;
		for (size_t j = 0; j < info->vcpu_count; j++) {
			if (info->vcpus[j].vcpu.id == id)
				decoder->total += info->vcpus[j].size;
		}
	}
	return NULL;
}

struct xenpt_error *xenpt_decoder_create(const struct xenpt_file *file,
					 const struct xenpt_decoder_options *options,
					 struct xenpt_decoder **ret)
{
	_cleanup_(xenpt_decoder_cleanup) struct xenpt_decoder *decoder =
		calloc(1, sizeof(*decoder));
	const struct xenpt_image *image = options->image;
	unsigned int threads = options->threads;
	_cleanup_free_ uint32_t *ids = NULL;

	if (!decoder)
		return xenpt_error_no_memory();
	decoder->timeless = options->timeless;
	XENPT_TRY(choose_vcpus(decoder, file, options));
	if (!image) {
		XENPT_TRY(xenpt_image_create(file, &decoder->image));
		image = decoder->image;
	}
	if (!threads) {
		long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		threads = cpus > 0 ? cpus : 1;
	}
	ids = calloc(decoder->cursor_count + 1, sizeof(*ids));
	if (!ids)
		return xenpt_error_no_memory();
	for (size_t i = 0; i < decoder->cursor_count; i++)
		ids[i] = decoder->cursors[i].vcpu;
	XENPT_TRY(lanes_create(file, image, ids, decoder->cursor_count, threads,
			       options->count_blocks, &decoder->lanes));
	*ret = no_cleanup_ptr(decoder);
	return NULL;
}

/* An event without time is due at once: a vCPU without time comes out whole. */
static uint64_t due(const struct xenpt_decoder *decoder, const struct xenpt_event *event)
{
	return decoder->timeless ? 0 : event->time;
}

/* How many events of @cursor come before all of the others, which are due @limit. */
static size_t run_length(const struct xenpt_decoder *decoder, const struct cursor *cursor,
			 uint64_t limit)
{
	size_t run = 1;

	if (limit == UINT64_MAX)
		return cursor->count;
	while (run < cursor->count && due(decoder, &cursor->events[run]) <= limit)
		run++;
	return run;
}

struct xenpt_error *xenpt_decoder_next(struct xenpt_decoder *decoder,
				       struct xenpt_batch *ret)
{
	uint64_t first = UINT64_MAX, limit = UINT64_MAX;
	struct cursor *next = NULL;
	size_t run;

	for (size_t i = 0; i < decoder->cursor_count; i++) {
		struct cursor *cursor = &decoder->cursors[i];
		uint64_t time;

		if (!cursor->count && !cursor->ended) {
			XENPT_TRY(lanes_next(decoder->lanes, i, &cursor->events,
					     &cursor->count));
			cursor->ended = !cursor->count;
		}
		if (cursor->ended)
			continue;
		time = due(decoder, &cursor->events[0]);
		if (!next || time < first) {
			if (next)
				limit = first;
			first = time;
			next = cursor;
		} else if (time < limit) {
			limit = time;
		}
	}
	if (!next) {
		*ret = (struct xenpt_batch){};
		return NULL;
	}
	run = run_length(decoder, next, limit);
	*ret = (struct xenpt_batch){ next->events, run, next->vcpu };
	next->events += run;
	next->count -= run;
	return NULL;
}

struct xenpt_progress xenpt_decoder_progress(const struct xenpt_decoder *decoder)
{
	return (struct xenpt_progress){ lanes_done(decoder->lanes), decoder->total };
}

void xenpt_decoder_add_counts(const struct xenpt_decoder *decoder, uint32_t vcpu,
			      struct xenpt_stats *stats)
{
	for (size_t i = 0; i < decoder->cursor_count; i++) {
		if (decoder->cursors[i].vcpu == vcpu)
			lanes_add_counts(decoder->lanes, i, stats);
	}
}
