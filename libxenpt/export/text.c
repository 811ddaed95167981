/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows for people, on a terminal of a hundred columns. */
#include "packet-text.h"
#include "sink.h"

#define LABEL_WIDTH 24
#define BYTES_WIDTH 21 /* seven: most instructions */
#define KIND_WIDTH 10
#define INDENT_DEPTH 32 /* deeper frames are not indented further */

#define DIM "\33[2m"
#define NAME "\33[36m"
#define ALERT "\33[31m"
#define ACCENT "\33[33m"
#define PLAIN "\33[0m"

static void color(struct xenpt_sink *sink, const char *sequence)
{
	if (sink->options.color)
		out_str(&sink->out, sequence);
}

static void put_time(struct xenpt_sink *sink, uint64_t time)
{
	struct xenpt_out *out = &sink->out;
	bool clock = sink->options.clock.ns_per_tick > 0;
	int64_t ns;

	if (!sink->first_time)
		return;
	color(sink, DIM);
	if (xenpt_sink_ns(sink, time, &ns)) {
		out_thousandths(out, ns, 12);
	} else if (time) {
		out_dec_column(out, time, 16);
	} else {
		out_fill(out, clock ? 11 : 15);
		out_char(out, '-');
	}
	out_char(out, ' ');
	color(sink, PLAIN);
}

static void put_prefix(struct xenpt_sink *sink, uint64_t time, uint32_t vcpu)
{
	struct xenpt_out *out = &sink->out;
	bool several = sink->options.vcpu_count > 1;
	size_t begin;

	if (several && sink->tree && (!sink->shown || sink->shown_vcpu != vcpu)) {
		out_str(out, "--- vCPU ");
		out_dec(out, vcpu);
		out_str(out, " ---\n");
		sink->shown = true;
		sink->shown_vcpu = vcpu;
	}
	put_time(sink, time);
	if (!several)
		return;
	begin = out->size;
	out_char(out, '[');
	out_dec(out, vcpu);
	out_char(out, ']');
	out_pad(out, begin, 5);
}

static void put_name(struct xenpt_sink *sink, const struct xenpt_label *label)
{
	struct xenpt_out *out = &sink->out;

	out_text(out, label->name, label->name_size);
	if (label->offset) {
		out_str(out, "+0x");
		out_hex(out, label->offset);
	}
}

/* Symbol+offset in a column; width 0: at the end of the line. */
static void put_label(struct xenpt_sink *sink, uint64_t cr3, uint64_t address,
		      size_t width)
{
	struct xenpt_out *out = &sink->out;
	const struct xenpt_label *label;
	size_t begin;

	if (!sink->options.symtab)
		return;
	label = xenpt_labels_find(sink->labels, cr3, address);
	if (!label->name && !width)
		return;
	out_char(out, ' ');
	color(sink, NAME);
	begin = out->size;
	if (label->name)
		put_name(sink, label);
	else
		out_char(out, '-');
	out_pad(out, begin, width);
	color(sink, PLAIN);
}

static void put_address(struct xenpt_sink *sink, uint64_t address)
{
	out_str(&sink->out, "0x");
	out_hex(&sink->out, address);
}

static void put_kind(struct xenpt_sink *sink, const struct xenpt_event *event,
		     size_t width)
{
	struct xenpt_out *out = &sink->out;
	bool accent = event->type == XENPT_EVENT_INTERRUPT ||
		      event->branch == XENPT_BRANCH_SYSCALL;
	size_t begin;

	if (accent)
		color(sink, ACCENT);
	begin = out->size;
	out_str(out, xenpt_sink_branch_name(event));
	out_pad(out, begin, width);
	if (accent)
		color(sink, PLAIN);
}

static void text_insn(struct xenpt_sink *sink, const struct xenpt_event *event,
		      const struct xenpt_insn *insn)
{
	struct xenpt_out *out = &sink->out;
	size_t begin;

	put_prefix(sink, event->time, sink->vcpu);
	out_hex_column(out, insn->ip, 16);
	put_label(sink, event->cr3, insn->ip, LABEL_WIDTH);
	out_char(out, ' ');
	if (!insn->size) {
		out_str(out, "(no instruction here)");
		return;
	}
	begin = out->size;
	for (size_t i = 0; i < insn->size; i++) {
		if (i)
			out_char(out, ' ');
		out_bytes(out, &insn->bytes[i], 1);
	}
	out_pad(out, begin, BYTES_WIDTH);
	out_char(out, ' ');
	out_text(out, insn->text, insn->text_size);
}

static void text_block(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	put_prefix(sink, event->time, sink->vcpu);
	out_hex_column(out, event->ip, 16);
	put_label(sink, event->cr3, event->ip, LABEL_WIDTH);
	out_dec_column(out, event->insns, 5);
	if (event->branch == XENPT_BRANCH_NONE)
		return;
	out_char(out, ' ');
	put_kind(sink, event, event->has_to ? KIND_WIDTH : 0);
	if (!event->has_to)
		return;
	out_str(out, " -> ");
	put_address(sink, event->to);
	put_label(sink, event->cr3, event->to, 0);
}

static void text_branch(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;
	uint64_t from = event->type == XENPT_EVENT_BLOCK ? event->last : event->ip;

	put_prefix(sink, event->time, sink->vcpu);
	put_kind(sink, event, KIND_WIDTH);
	out_char(out, ' ');
	out_hex_column(out, from, 16);
	if (!event->has_to) {
		put_label(sink, event->cr3, from, 0);
		return;
	}
	put_label(sink, event->cr3, from, LABEL_WIDTH);
	out_str(out, " -> ");
	out_hex_column(out, event->to, 16);
	put_label(sink, event->cr3, event->to, 0);
}

/* ---- other events ------------------------------------------------------- */

static void put_at(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	if (!event->has_ip)
		return;
	out_str(&sink->out, " at ");
	put_address(sink, event->ip);
	put_label(sink, event->cr3, event->ip, 0);
}

static void put_lost(struct xenpt_sink *sink, uint64_t bytes, const char *what)
{
	out_grouped(&sink->out, bytes);
	out_str(&sink->out, bytes == 1 ? " byte of trace " : " bytes of trace ");
	out_str(&sink->out, what);
}

static void put_gap(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	static const char *const why[] = {
		[XENPT_GAP_SEAM] = "the recorder cannot tell",
		[XENPT_GAP_LAPPED] = "overwritten before they were read (a larger buffer "
				     "helps)",
		[XENPT_GAP_STOPPED] = "the buffer was full (a larger one helps)",
		[XENPT_GAP_FAULT] = "the CPU could not write its output",
		[XENPT_GAP_DROPPED] = "the recorder could not keep up",
		[XENPT_GAP_DAMAGED] = "the file is damaged here (see xenpt info)",
		[XENPT_GAP_NO_PSB] = "decoding begins at the first PSB",
		[XENPT_GAP_ERROR] = "the CPU did not take its output tables",
		[XENPT_GAP_TAMPERED] = "the guest rewrote the output tables",
		[XENPT_GAP_GONE] = "the domain was destroyed before it was read",
	};
	struct xenpt_out *out = &sink->out;
	const char *fate = event->reason == XENPT_GAP_NO_PSB ? "skipped" : "lost";

	if (event->value) {
		put_lost(sink, event->value, fate);
	} else if (event->reason == XENPT_GAP_SEAM) {
		out_str(out, "trace may be lost");
	} else {
		out_str(out, "trace is ");
		out_str(out, fate);
	}
	out_str(out, ": ");
	if (event->reason && event->reason < sizeof(why) / sizeof(why[0]))
		out_str(out, why[event->reason]);
	else
		out_str(out, "why, this version does not know");
}

static void put_error(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	static const char *const advice[] = {
		[XENPT_TROUBLE_NO_CODE] = "import the code with --elf or --raw",
		[XENPT_TROUBLE_BAD_CODE] = "is this the code that ran?",
		[XENPT_TROUBLE_BAD_FLOW] = "is this the code that ran, and the CPU?",
	};
	struct xenpt_out *out = &sink->out;

	out_str(out, xenpt_trouble_name(event->reason));
	put_at(sink, event);
	out_str(out, ": ");
	put_lost(sink, event->value, "skipped, from offset ");
	out_dec(out, event->offset);
	if (event->reason < sizeof(advice) / sizeof(advice[0]) && advice[event->reason]) {
		out_str(out, " (");
		out_str(out, advice[event->reason]);
		out_char(out, ')');
	}
}

static void put_number(struct xenpt_sink *sink, const char *what, uint64_t value)
{
	out_str(&sink->out, what);
	out_str(&sink->out, " 0x");
	out_hex(&sink->out, value);
}

static void put_doubt(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	put_number(sink, "address spaces cannot be trusted from offset", event->value);
	put_number(sink, " to", event->offset);
	if (event->reason == XENPT_DOUBT_EARLIER) {
		out_str(out, ": PIPs are missing before this, and may be here");
		return;
	}
	out_str(out, ": a PIP is missing (");
	if (event->reason == XENPT_DOUBT_PSB)
		put_number(sink, "PSB+ at", event->offset);
	else
		out_str(out, "the vCPU");
	if (event->cr3 != XENPT_CR3_ANY)
		put_number(sink, " has CR3", event->cr3);
	else
		out_str(out, " had another CR3");
	put_number(sink, ", the trace said", event->named);
	if (event->misfit)
		out_str(out, ", and code did not fit it");
	out_char(out, ')');
}

static void put_trouble(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	color(sink, ALERT);
	out_str(out, "!! ");
	out_str(out, xenpt_event_type_name(event->type));
	out_char(out, ':');
	color(sink, PLAIN);
	out_char(out, ' ');
	if (event->type == XENPT_EVENT_GAP) {
		put_gap(sink, event);
	} else if (event->type == XENPT_EVENT_ERROR) {
		put_error(sink, event);
	} else if (event->type == XENPT_EVENT_DOUBT) {
		put_doubt(sink, event);
	} else {
		out_str(out, "the CPU dropped packets");
		if (event->has_ip)
			out_str(out, ", and goes on");
		put_at(sink, event);
	}
}

static void put_power(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;
	uint64_t value = event->value;

	switch (event->type) {
	case XENPT_EVENT_CBR:
		out_str(out, "core:bus ratio ");
		out_dec(out, value);
		break;
	case XENPT_EVENT_EXSTOP:
		out_str(out, "execution stops");
		break;
	case XENPT_EVENT_MWAIT:
		put_number(sink, "mwait hints", value & 0xffffffff);
		put_number(sink, " extensions", value >> 32);
		break;
	case XENPT_EVENT_PWRE:
		put_number(sink, "power state entered:", value & 0xff);
		put_number(sink, " sub-state", value >> 8 & 0xff);
		if (value >> 16)
			out_str(out, " by hardware");
		break;
	case XENPT_EVENT_PWRX:
		put_number(sink, "power state left: last", value & 0xff);
		put_number(sink, " deepest", value >> 8 & 0xff);
		put_number(sink, " reason", value >> 16);
		break;
	}
	put_at(sink, event);
}

static void put_transaction(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	out_str(&sink->out, event->value & 2   ? "transaction aborted"
			    : event->value & 1 ? "transaction begins"
					       : "transaction ends");
	put_at(sink, event);
}

static void put_on_off(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	bool on = event->type == XENPT_EVENT_ON;

	out_str(&sink->out, on ? "tracing on" : "tracing off");
	put_at(sink, event);
	if (on && event->resumed)
		out_str(&sink->out, " (where it was switched off)");
	if (!on && event->has_to) {
		out_str(&sink->out, " on the way to ");
		put_address(sink, event->to);
		put_label(sink, event->cr3, event->to, 0);
	}
}

static void put_state(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	switch (event->type) {
	case XENPT_EVENT_ON:
	case XENPT_EVENT_OFF:
		put_on_off(sink, event);
		return;
	case XENPT_EVENT_CR3:
		put_number(sink, "cr3", event->value);
		if (event->non_root)
			out_str(out, " (VMX non-root)");
		break;
	case XENPT_EVENT_VMCS:
		put_number(sink, "vmcs", event->value);
		break;
	case XENPT_EVENT_MODE:
		out_dec(out, event->mode);
		out_str(out, "-bit code");
		break;
	case XENPT_EVENT_TSX:
		put_transaction(sink, event);
		return;
	case XENPT_EVENT_CODE:
		out_str(out, "code has changed: epoch ");
		out_dec(out, event->value);
		return;
	case XENPT_EVENT_STOP:
		out_str(out, "TraceStop: an address filter ends the trace");
		break;
	case XENPT_EVENT_PTWRITE:
		put_number(sink, "ptwrite", event->value);
		break;
	default:
		put_power(sink, event);
		return;
	}
	put_at(sink, event);
}

static void text_event(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	put_prefix(sink, event->time, sink->vcpu);
	if (event->type == XENPT_EVENT_GAP || event->type == XENPT_EVENT_ERROR ||
	    event->type == XENPT_EVENT_OVERFLOW || event->type == XENPT_EVENT_DOUBT) {
		put_trouble(sink, event);
		return;
	}
	out_str(&sink->out, "-- ");
	put_state(sink, event);
}

/* ---- the tree ----------------------------------------------------------- */

static void put_function(struct xenpt_sink *sink, uint64_t cr3, uint64_t address)
{
	const struct xenpt_label *label = xenpt_labels_find(sink->labels, cr3, address);
	struct xenpt_out *out = &sink->out;
	const char *base;

	if (!label->name) {
		put_address(sink, address);
		return;
	}
	color(sink, NAME);
	put_name(sink, label);
	color(sink, PLAIN);
	if (!label->image_size)
		return;
	base = memrchr(label->image, '/', label->image_size);
	base = base ? base + 1 : label->image;
	color(sink, DIM);
	out_str(out, " (");
	out_text(out, base, label->image + label->image_size - base);
	out_char(out, ')');
	color(sink, PLAIN);
}

static void put_indent(struct xenpt_sink *sink, size_t depth)
{
	out_fill(&sink->out, 2 * (depth < INDENT_DEPTH ? depth : INDENT_DEPTH));
	if (depth > INDENT_DEPTH) {
		out_char(&sink->out, '{');
		out_dec(&sink->out, depth);
		out_str(&sink->out, "} ");
	}
}

static void text_enter(struct xenpt_sink *sink, const struct xenpt_tree_row *row)
{
	static const char *const kinds[] = {
		[XENPT_TREE_ROOT] = "in ",
		[XENPT_TREE_CALLER] = "back in ",
		[XENPT_TREE_RESUMED] = "resumed ",
		[XENPT_TREE_SYSCALL] = "system call: ",
		[XENPT_TREE_INTERRUPT] = "interrupt: ",
	};
	struct xenpt_out *out = &sink->out;

	put_prefix(sink, row->time, row->vcpu);
	put_indent(sink, row->depth);
	if (row->kind != XENPT_TREE_CALL) {
		color(sink, ACCENT);
		out_str(out, kinds[row->kind]);
		color(sink, PLAIN);
	}
	put_function(sink, row->frame.cr3, row->frame.entry);
	if (row->count > 1) {
		out_str(out, " ×");
		out_dec(out, row->count);
	}
	if (row->kind == XENPT_TREE_INTERRUPT) {
		out_str(out, " at ");
		put_address(sink, row->frame.from);
	}
}

static void text_packet(struct xenpt_sink *sink, const struct xenpt_packet *packet)
{
	struct xenpt_out *out = &sink->out;
	size_t begin;

	if (sink->options.vcpu_count > 1)
		put_prefix(sink, 0, sink->vcpu);
	out_hex_column(out, packet->offset, 10);
	out_str(out, "  ");
	if (packet->type == XENPT_PACKET_BAD || packet->type == XENPT_PACKET_GAP)
		color(sink, ALERT);
	begin = out->size;
	if (packet->type < XENPT_PACKET_TYPES)
		out_str(out, xenpt_packet_type_name(packet->type));
	xenpt_packet_text(out, packet, begin + KIND_WIDTH);
	if (packet->type == XENPT_PACKET_BAD || packet->type == XENPT_PACKET_GAP)
		color(sink, PLAIN);
}

static void text_dropped(struct xenpt_sink *sink, uint64_t rows)
{
	out_str(&sink->out, "(the first ");
	out_grouped(&sink->out, rows);
	out_str(&sink->out, " of these rows needed too much memory)");
}

static const struct xenpt_format text = {
	.collapse = true,
	.dropped = text_dropped,
	.insn = text_insn,
	.block = text_block,
	.branch = text_branch,
	.event = text_event,
	.enter = text_enter,
	.packet = text_packet,
};

struct xenpt_error *xenpt_sink_create_text(const struct xenpt_sink_options *options,
					   struct xenpt_sink **ret)
{
	return xenpt_sink_create(options, &text, ret);
}
