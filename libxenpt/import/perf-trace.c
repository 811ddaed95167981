/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream as it lies in the file, in pieces among those of other CPUs:
 *
 *	offset	0       0x1b3              0x400
 *		| piece 00000 | next piece ... | ...
 *		         ^^^^^ zeros up to a multiple of 8, counted in its size
 *
 * Only the offset of the next piece tells whether zeros at the end of one are
 * padding, or PAD packets of the CPU.
 */
#include <stdio.h>
#include <string.h>

#include "libxenpt/array.h"
#include "perf.h"

#define PADDING_MAX 7
#define GAPS_MAX (1u << 22) /* … and paddings */

void perf_trace_deinit(struct perf_trace *trace)
{
	array_deinit(&trace->queues);
	array_deinit(&trace->gaps);
	array_deinit(&trace->paddings);
}

static struct perf_queue *queue_find(struct perf_trace *trace,
				     const struct perf_piece *piece)
{
	struct perf_queue *queue = trace->last;

	if (queue && queue->index == piece->index && queue->cpu == piece->cpu)
		return queue;
	for (size_t i = 0; i < trace->queues.count; i++) {
		queue = &trace->queues.data[i];
		if (queue->index == piece->index && queue->cpu == piece->cpu)
			return trace->last = queue;
	}
	return NULL;
}

static struct xenpt_error *too_many(const char *what)
{
	return xenpt_error_create(XENPT_ERROR_UNSUPPORTED, "more than %u %s", GAPS_MAX,
				  what);
}

/* The piece before this one goes further than the stream: by its padding. */
static struct xenpt_error *padding_find(struct perf_trace *trace,
					const struct perf_queue *queue, uint64_t offset)
{
	struct perf_padding *padding;

	if (trace->snapshot || !queue->started || offset >= queue->next ||
	    queue->next - offset > PADDING_MAX)
		return NULL;
	if (trace->paddings.count == GAPS_MAX)
		return too_many("odd pieces of trace");
	padding = array_add(&trace->paddings);
	if (!padding)
		return xenpt_error_no_memory();
	padding->end = queue->end;
	padding->size = (unsigned int)(queue->next - offset);
	return NULL;
}

struct xenpt_error *perf_trace_add_piece(struct perf_trace *trace,
					 const struct perf_piece *piece)
{
	struct perf_queue *queue = queue_find(trace, piece);

	if (!queue) {
		if (trace->queues.count == XENPT_VCPUS_MAX)
			return xenpt_error_create(XENPT_ERROR_UNSUPPORTED,
						  "more than %u AUX buffers",
						  XENPT_VCPUS_MAX);
		trace->last = NULL;
		queue = array_add(&trace->queues);
		if (!queue)
			return xenpt_error_no_memory();
		*queue = (struct perf_queue){ .index = piece->index,
					      .cpu = piece->cpu,
					      .tid = piece->tid };
	}
	XENPT_TRY(padding_find(trace, queue, piece->offset));
	queue->started = true;
	queue->next = piece->offset + piece->size;
	queue->end = piece->position + piece->size;
	return NULL;
}

struct xenpt_error *perf_trace_add_gap(struct perf_trace *trace,
				       const struct perf_gap *gap)
{
	struct perf_gap *added;

	if (trace->gaps.count == GAPS_MAX)
		return too_many("gaps in the trace");
	added = array_add(&trace->gaps);
	if (!added)
		return xenpt_error_no_memory();
	*added = *gap;
	return NULL;
}

/* ---- announcing ---------------------------------------------------------- */

/* The numbers of the CPUs are the best names for vCPUs, if they can be. */
static bool cpus_are_ids(const struct perf_trace *trace)
{
	bool taken[XENPT_VCPUS_MAX] = {};

	for (size_t i = 0; i < trace->queues.count; i++) {
		int32_t cpu = trace->queues.data[i].cpu;

		if (cpu < 0 || cpu >= XENPT_VCPUS_MAX || taken[cpu])
			return false;
		taken[cpu] = true;
	}
	return true;
}

static int gap_compare(const void *a, const void *b)
{
	const struct perf_gap *x = a, *y = b;

	if (x->queue != y->queue)
		return x->queue < y->queue ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool gap_is_of(const struct perf_gap *gap, const struct perf_queue *queue)
{
	return queue->cpu >= 0 ? gap->cpu == queue->cpu : gap->tid == queue->tid;
}

/* Give each stream its gaps, in order. Returns how many are nobody's. */
static size_t gaps_assign(struct perf_trace *trace)
{
	size_t queues = trace->queues.count, at = 0, last = 0;

	for (size_t i = 0; i < trace->gaps.count; i++) {
		struct perf_gap *gap = &trace->gaps.data[i];

		if (queues > 1 && !gap_is_of(gap, &trace->queues.data[last]))
			for (last = 0; last < queues; last++)
				if (gap_is_of(gap, &trace->queues.data[last]))
					break;
		gap->queue = last;
		if (last == queues)
			last = 0;
	}
	if (trace->gaps.count)
		qsort(trace->gaps.data, trace->gaps.count, sizeof(*trace->gaps.data),
		      gap_compare);
	for (size_t i = 0; i < queues; i++) {
		trace->queues.data[i].gap = at;
		while (at < trace->gaps.count && trace->gaps.data[at].queue == i)
			at++;
		trace->queues.data[i].gap_end = at;
	}
	return trace->gaps.count - at;
}

static int padding_compare(const void *a, const void *b)
{
	const struct perf_padding *x = a, *y = b;

	return x->end < y->end ? -1 : x->end > y->end;
}

struct xenpt_error *perf_trace_announce(struct perf_trace *trace,
					struct xenpt_writer *writer,
					const struct xenpt_import *import)
{
	bool ids = cpus_are_ids(trace);
	size_t lost = gaps_assign(trace);

	if (lost)
		import_warn(import,
			    "%zu records of missing trace do not say of which CPU", lost);
	if (trace->paddings.count)
		qsort(trace->paddings.data, trace->paddings.count,
		      sizeof(*trace->paddings.data), padding_compare);
	for (size_t i = 0; i < trace->queues.count; i++) {
		struct perf_queue *queue = &trace->queues.data[i];
		char name[32];
		struct xenpt_vcpu vcpu = { .name = name };

		queue->started = false;
		queue->vcpu = ids ? (uint32_t)queue->cpu : (uint32_t)i;
		vcpu.id = queue->vcpu;
		if (queue->cpu >= 0)
			snprintf(name, sizeof(name), "cpu %d", queue->cpu);
		else
			snprintf(name, sizeof(name), "thread %d", queue->tid);
		XENPT_TRY(xenpt_writer_vcpu(writer, &vcpu));
	}
	return NULL;
}

/* ---- writing ------------------------------------------------------------- */

/* A full buffer stops the trace until perf has made room: the size is not known. */
static struct xenpt_error *gaps_write(struct perf_trace *trace, struct perf_queue *queue,
				      struct xenpt_writer *writer, uint64_t offset)
{
	for (; queue->gap < queue->gap_end; queue->gap++) {
		if (trace->gaps.data[queue->gap].offset > offset)
			break;
		XENPT_TRY(xenpt_writer_gap(writer, queue->vcpu, XENPT_GAP_DROPPED, 0));
	}
	return NULL;
}

/* Between the piece before and the one at @offset. */
static struct xenpt_error *seam_write(struct perf_trace *trace, struct perf_queue *queue,
				      struct xenpt_writer *writer, uint64_t offset)
{
	if (!queue->started || (!trace->snapshot && offset == queue->next))
		return NULL;
	if (trace->snapshot || offset < queue->next)
		return xenpt_writer_gap(writer, queue->vcpu, XENPT_GAP_SEAM, 0);
	return xenpt_writer_gap(writer, queue->vcpu, XENPT_GAP_LAPPED,
				offset - queue->next);
}

/* The padding of the piece that ends here; pieces come in file order. */
static unsigned int padding_size(struct perf_trace *trace, uint64_t end)
{
	size_t *next = &trace->paddings.next;

	while (*next < trace->paddings.count && trace->paddings.data[*next].end < end)
		++*next;
	return *next < trace->paddings.count && trace->paddings.data[*next].end == end
		       ? trace->paddings.data[*next].size
		       : 0;
}

struct xenpt_error *perf_trace_write(struct perf_trace *trace,
				     struct xenpt_writer *writer,
				     struct import_file *file,
				     const struct perf_piece *piece)
{
	unsigned int padding = padding_size(trace, piece->position + piece->size);
	uint64_t size = piece->size > padding ? piece->size - padding : 0;
	struct perf_queue *queue = queue_find(trace, piece);
	const void *data;
	size_t n;

	if (!queue)
		return xenpt_error_create(XENPT_ERROR_FORMAT, "has changed meanwhile");
	XENPT_TRY(seam_write(trace, queue, writer, piece->offset));
	for (uint64_t done = 0; done < size; done += n) {
		uint64_t gap = UINT64_MAX;

		XENPT_TRY(gaps_write(trace, queue, writer, piece->offset + done));
		if (queue->gap < queue->gap_end)
			gap = trace->gaps.data[queue->gap].offset - piece->offset - done;
		n = size - done < IMPORT_WINDOW ? size - done : IMPORT_WINDOW;
		if (n > gap)
			n = gap;
		XENPT_TRY(import_file_peek(file, piece->position + done, n, &data));
		XENPT_TRY(xenpt_writer_trace(writer, queue->vcpu, data, n));
	}
	queue->started = true;
	queue->next = piece->offset + size;
	return piece->missing ? xenpt_writer_gap(writer, queue->vcpu, XENPT_GAP_DROPPED,
						 piece->missing)
			      : NULL;
}

struct xenpt_error *perf_trace_finish(struct perf_trace *trace,
				      struct xenpt_writer *writer)
{
	for (size_t i = 0; i < trace->queues.count; i++)
		XENPT_TRY(gaps_write(trace, &trace->queues.data[i], writer, UINT64_MAX));
	return NULL;
}
