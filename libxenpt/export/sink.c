/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "../cleanup.h"
#include "sink.h"

XENPT_DEFINE_CLEANUP(struct xenpt_sink, sink, xenpt_sink_destroy)

struct xenpt_error *xenpt_sink_create(const struct xenpt_sink_options *options,
				      const struct xenpt_format *format,
				      struct xenpt_sink **ret)
{
	_cleanup_(sink_cleanup) struct xenpt_sink *sink = calloc(1, sizeof(*sink));

	if (!sink)
		return xenpt_error_no_memory();
	sink->options = *options;
	sink->format = format;
	sink->taken.image = options->image;
	XENPT_TRY(xenpt_out_init(&sink->out, options->out, options->skip, options->last));
	XENPT_TRY(xenpt_labels_create(options->symtab, &sink->labels));
	if (options->rows & XENPT_ROW_INSN) {
		if (!options->image)
			return xenpt_error_create(XENPT_ERROR_INVALID,
						  "instructions cannot be listed "
						  "without their code");
		XENPT_TRY(xenpt_disasm_create(options->image, &sink->disasm));
	}
	if (options->rows & XENPT_ROW_TREE)
		XENPT_TRY(xenpt_tree_create(&sink->tree));
	if (format->header) {
		xenpt_out_begin(&sink->out);
		format->header(sink);
		xenpt_out_end_header(&sink->out);
	}
	*ret = no_cleanup_ptr(sink);
	return NULL;
}

void xenpt_sink_destroy(struct xenpt_sink *sink)
{
	if (!sink)
		return;
	xenpt_out_deinit(&sink->out);
	xenpt_labels_destroy(sink->labels);
	xenpt_disasm_destroy(sink->disasm);
	xenpt_tree_destroy(sink->tree);
	free(sink);
}

const char *xenpt_sink_branch_name(const struct xenpt_event *event)
{
	const char *name = event->type == XENPT_EVENT_BLOCK
				   ? xenpt_branch_name(event->branch)
				   : xenpt_event_type_name(event->type);

	return name ? name : "branch";
}

/* ---- rows --------------------------------------------------------------- */

/* Of a block that is selected: it may reach out of the range of addresses. */
static bool wants_insn(struct xenpt_sink *sink, const struct xenpt_event *event,
		       uint64_t ip)
{
	const struct xenpt_sink_options *options = &sink->options;

	if (ip < options->filter.ip_lo || ip > options->filter.ip_hi)
		return false;
	if (options->period_ticks && event->time) {
		if (event->time < sink->next_time)
			return false;
		if (__builtin_add_overflow(event->time, options->period_ticks,
					   &sink->next_time))
			sink->next_time = UINT64_MAX;
	}
	return options->period < 2 || ++sink->insns % options->period == 0;
}

static uint32_t epoch_now(const struct xenpt_sink *sink)
{
	return sink->vcpu < XENPT_VCPUS_MAX ? sink->epochs[sink->vcpu] : 0;
}

static void insn_rows(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	uint64_t ip = event->ip;

	for (unsigned int i = 0; i < event->insns; i++) {
		const struct xenpt_insn *insn = xenpt_disasm_at(
			sink->disasm, epoch_now(sink), event->cr3, event->mode, ip);

		if (wants_insn(sink, event, ip)) {
			xenpt_out_begin(&sink->out);
			sink->format->insn(sink, event, insn);
			xenpt_out_end(&sink->out);
		}
		if (!insn->size)
			return;
		ip = insn->next;
	}
}

/* The rows that show a block's end, or an interrupt. */
static unsigned int branch_rows(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	if (event->type == XENPT_EVENT_INTERRUPT)
		return XENPT_ROW_BRANCH | XENPT_ROW_CALL;
	switch (event->branch) {
	case XENPT_BRANCH_NONE:
		return 0;
	case XENPT_BRANCH_COND:
		return event->has_to && (sink->options.rows & XENPT_ROW_BRANCH) &&
				       xenpt_taken(&sink->taken, epoch_now(sink), event)
			       ? XENPT_ROW_BRANCH
			       : 0;
	case XENPT_BRANCH_CALL:
	case XENPT_BRANCH_SYSCALL:
	case XENPT_BRANCH_FAR_CALL:
		return XENPT_ROW_BRANCH | XENPT_ROW_CALL;
	case XENPT_BRANCH_RETURN:
	case XENPT_BRANCH_FAR_RETURN:
		return XENPT_ROW_BRANCH | XENPT_ROW_RETURN;
	default:
		return XENPT_ROW_BRANCH;
	}
}

/* The rows that show an event of another type. */
static unsigned int event_rows(const struct xenpt_event *event)
{
	switch (event->type) {
	case XENPT_EVENT_TSX:
		return XENPT_ROW_TSX;
	case XENPT_EVENT_PTWRITE:
		return XENPT_ROW_PTWRITE;
	case XENPT_EVENT_CBR:
	case XENPT_EVENT_EXSTOP:
	case XENPT_EVENT_MWAIT:
	case XENPT_EVENT_PWRE:
	case XENPT_EVENT_PWRX:
		return XENPT_ROW_POWER;
	case XENPT_EVENT_GAP:
	case XENPT_EVENT_ERROR:
	case XENPT_EVENT_DOUBT:
	case XENPT_EVENT_OVERFLOW:
		return XENPT_ROW_TROUBLE;
	default:
		return XENPT_ROW_STATE;
	}
}

static void rows(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	unsigned int wanted = sink->options.rows;
	void (*row)(struct xenpt_sink * sink, const struct xenpt_event *event);

	switch (event->type) {
	case XENPT_EVENT_BLOCK:
		if (wanted & XENPT_ROW_INSN)
			insn_rows(sink, event);
		if (wanted & XENPT_ROW_BLOCK) {
			xenpt_out_begin(&sink->out);
			sink->format->block(sink, event);
			xenpt_out_end(&sink->out);
		}
		if (!(branch_rows(sink, event) & wanted))
			return;
		row = sink->format->branch;
		break;
	case XENPT_EVENT_INTERRUPT:
		if (!(wanted & (XENPT_ROW_BLOCK | branch_rows(sink, event))))
			return;
		row = sink->format->branch;
		break;
	default:
		if (event->type >= XENPT_EVENT_TYPES || !(wanted & event_rows(event)))
			return;
		row = sink->format->event;
	}
	xenpt_tree_flush(sink);
	xenpt_out_begin(&sink->out);
	row(sink, event);
	xenpt_out_end(&sink->out);
}

static struct xenpt_error *show(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	bool match = xenpt_filter_match(&sink->options.filter, event);

	/* Shown or not: it is what later blocks are read by. */
	if (event->type == XENPT_EVENT_CODE && sink->vcpu < XENPT_VCPUS_MAX)
		sink->epochs[sink->vcpu] = event->value;
	if (sink->tree)
		XENPT_TRY(xenpt_tree_event(sink, event, match));
	if (match && (sink->options.rows & ~XENPT_ROW_TREE))
		rows(sink, event);
	return NULL;
}

struct xenpt_error *xenpt_sink_events(struct xenpt_sink *sink,
				      const struct xenpt_batch *batch)
{
	sink->vcpu = batch->vcpu;
	for (size_t i = 0; i < batch->count; i++) {
		if (!sink->first_time)
			sink->first_time = batch->events[i].time;
		XENPT_TRY(show(sink, &batch->events[i]));
	}
	return xenpt_out_error(&sink->out);
}

struct xenpt_error *xenpt_sink_packets(struct xenpt_sink *sink, uint32_t vcpu,
				       const struct xenpt_packet *packets, size_t count)
{
	sink->vcpu = vcpu;
	for (size_t i = 0; i < count; i++) {
		xenpt_out_begin(&sink->out);
		sink->format->packet(sink, &packets[i]);
		xenpt_out_end(&sink->out);
	}
	return xenpt_out_error(&sink->out);
}

struct xenpt_error *xenpt_sink_finish(struct xenpt_sink *sink)
{
	xenpt_tree_flush(sink);
	if (sink->out.dropped) {
		xenpt_out_begin(&sink->out);
		sink->format->dropped(sink, sink->out.dropped);
		xenpt_out_end_header(&sink->out);
	}
	return xenpt_out_finish(&sink->out);
}
