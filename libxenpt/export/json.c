/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows for programs: one JSON object a line (RFC 8259).  Addresses are strings,
 * for JSON numbers are doubles to most readers.  xenpt-decode(1) is the schema.
 */
#include "packet-text.h"
#include "sink.h"

#define SCHEMA 1

#define LITERAL(out, s) out_text(out, s, sizeof(s) - 1)

/* Append ,"KEY": */
static void put_key(struct xenpt_out *out, const char *key)
{
	LITERAL(out, ",\"");
	out_str(out, key);
	LITERAL(out, "\":");
}

static void put_dec(struct xenpt_out *out, const char *key, uint64_t value)
{
	put_key(out, key);
	out_dec(out, value);
}

static void put_hex(struct xenpt_out *out, const char *key, uint64_t value)
{
	put_key(out, key);
	LITERAL(out, "\"0x");
	out_hex(out, value);
	out_char(out, '"');
}

static void put_bool(struct xenpt_out *out, const char *key, bool value)
{
	put_key(out, key);
	if (value)
		LITERAL(out, "true");
	else
		LITERAL(out, "false");
}

/* @s is escaped, and so UTF-8 without control characters. */
static void put_string(struct xenpt_out *out, const char *key, const char *s, size_t size)
{
	put_key(out, key);
	out_char(out, '"');
	for (size_t i = 0; i < size; i++) {
		if (s[i] == '"' || s[i] == '\\')
			out_char(out, '\\');
		out_char(out, s[i]);
	}
	out_char(out, '"');
}

static void put_name(struct xenpt_out *out, const char *key, const char *s)
{
	put_string(out, key, s, strlen(s));
}

static void begin(struct xenpt_sink *sink, const char *type, uint32_t vcpu)
{
	struct xenpt_out *out = &sink->out;

	LITERAL(out, "{\"type\":\"");
	out_str(out, type);
	LITERAL(out, "\",\"vcpu\":");
	out_dec(out, vcpu);
}

static void put_time(struct xenpt_sink *sink, uint64_t time)
{
	struct xenpt_out *out = &sink->out;
	int64_t ns;

	if (!time)
		return;
	put_dec(out, "time", time);
	if (!xenpt_sink_ns(sink, time, &ns))
		return;
	LITERAL(out, ",\"ns\":");
	if (ns < 0)
		out_char(out, '-');
	out_dec(out, ns < 0 ? -(uint64_t)ns : (uint64_t)ns);
}

static void put_cr3(struct xenpt_sink *sink, uint64_t cr3)
{
	if (cr3 != XENPT_CR3_ANY)
		put_hex(&sink->out, "cr3", cr3);
}

static void end(struct xenpt_sink *sink)
{
	out_char(&sink->out, '}');
}

/* The keys for an address. */
struct address_keys {
	const char *address, *symbol, *offset, *image;
};

static const struct address_keys ip_keys = { "ip", "symbol", "offset", "image" };
static const struct address_keys to_keys = { "to", "to_symbol", "to_offset", "to_image" };
static const struct address_keys from_keys = { "from", "from_symbol", "from_offset",
					       "from_image" };

static void put_address(struct xenpt_sink *sink, const struct address_keys *keys,
			uint64_t cr3, uint64_t address)
{
	struct xenpt_out *out = &sink->out;
	const struct xenpt_label *label;

	put_hex(out, keys->address, address);
	label = xenpt_labels_find(sink->labels, cr3, address);
	if (!label->name)
		return;
	put_string(out, keys->symbol, label->name, label->name_size);
	put_dec(out, keys->offset, label->offset);
	if (label->image_size)
		put_string(out, keys->image, label->image, label->image_size);
}

static void json_header(struct xenpt_sink *sink)
{
	struct xenpt_out *out = &sink->out;
	double ns_per_tick = sink->options.clock.ns_per_tick;
	char number[32];

	LITERAL(out, "{\"type\":\"header\"");
	put_dec(out, "schema", SCHEMA);
	put_key(out, "creator");
	LITERAL(out, "\"xenpt ");
	out_str(out, xenpt_version());
	out_char(out, '"');
	if (ns_per_tick > 0) {
		snprintf(number, sizeof(number), "%.9g", ns_per_tick);
		put_key(out, "ns_per_tick");
		out_str(out, number);
	}
	end(sink);
}

static void json_dropped(struct xenpt_sink *sink, uint64_t rows)
{
	LITERAL(&sink->out, "{\"type\":\"dropped\"");
	put_dec(&sink->out, "rows", rows);
	end(sink);
}

static void json_insn(struct xenpt_sink *sink, const struct xenpt_event *event,
		      const struct xenpt_insn *insn)
{
	struct xenpt_out *out = &sink->out;

	begin(sink, "insn", sink->vcpu);
	put_time(sink, event->time);
	put_cr3(sink, event->cr3);
	put_address(sink, &ip_keys, event->cr3, insn->ip);
	if (insn->size) {
		put_key(out, "bytes");
		out_char(out, '"');
		out_bytes(out, insn->bytes, insn->size);
		out_char(out, '"');
		put_string(out, "text", insn->text, insn->text_size);
	}
	end(sink);
}

static void json_block(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	begin(sink, "block", sink->vcpu);
	put_time(sink, event->time);
	put_cr3(sink, event->cr3);
	put_address(sink, &ip_keys, event->cr3, event->ip);
	put_hex(out, "last", event->last);
	put_dec(out, "insns", event->insns);
	if (event->mode)
		put_dec(out, "mode", event->mode);
	if (event->transaction)
		put_bool(out, "transaction", true);
	put_name(out, "kind", xenpt_sink_branch_name(event));
	if (event->has_to)
		put_address(sink, &to_keys, event->cr3, event->to);
	end(sink);
}

static void json_branch(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	bool block = event->type == XENPT_EVENT_BLOCK;

	begin(sink, block ? "branch" : "interrupt", sink->vcpu);
	put_time(sink, event->time);
	put_cr3(sink, event->cr3);
	if (block)
		put_name(&sink->out, "kind", xenpt_sink_branch_name(event));
	put_address(sink, &ip_keys, event->cr3, block ? event->last : event->ip);
	if (event->has_to)
		put_address(sink, &to_keys, event->cr3, event->to);
	end(sink);
}

/* ---- other events ------------------------------------------------------- */

static void put_power(struct xenpt_out *out, const struct xenpt_event *event)
{
	uint64_t value = event->value;

	switch (event->type) {
	case XENPT_EVENT_CBR:
		put_dec(out, "ratio", value);
		break;
	case XENPT_EVENT_MWAIT:
		put_dec(out, "hints", value & 0xffffffff);
		put_dec(out, "extensions", value >> 32);
		break;
	case XENPT_EVENT_PWRE:
		put_dec(out, "state", value & 0xff);
		put_dec(out, "sub_state", value >> 8 & 0xff);
		put_bool(out, "hardware", value >> 16);
		break;
	case XENPT_EVENT_PWRX:
		put_dec(out, "last", value & 0xff);
		put_dec(out, "deepest", value >> 8 & 0xff);
		put_dec(out, "reason", value >> 16);
		break;
	}
}

static void put_payload(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	struct xenpt_out *out = &sink->out;

	switch (event->type) {
	case XENPT_EVENT_ON:
		put_bool(out, "resumed", event->resumed);
		break;
	case XENPT_EVENT_OFF:
		put_bool(out, "async", event->async);
		if (event->has_to)
			put_address(sink, &to_keys, event->cr3, event->to);
		break;
	case XENPT_EVENT_CR3:
		put_hex(out, "value", event->value);
		put_bool(out, "non_root", event->non_root);
		break;
	case XENPT_EVENT_VMCS:
	case XENPT_EVENT_PTWRITE:
		put_hex(out, "value", event->value);
		break;
	case XENPT_EVENT_MODE:
		put_dec(out, "mode", event->mode);
		break;
	case XENPT_EVENT_TSX:
		put_bool(out, "transaction", event->value & 1);
		put_bool(out, "aborted", event->value & 2);
		break;
	case XENPT_EVENT_GAP:
		put_name(out, "reason", xenpt_gap_reason_name(event->reason));
		put_dec(out, event->reason == XENPT_GAP_NO_PSB ? "skipped" : "lost",
			event->value);
		break;
	case XENPT_EVENT_ERROR:
		put_name(out, "reason", xenpt_trouble_name(event->reason));
		put_dec(out, "skipped", event->value);
		break;
	case XENPT_EVENT_CODE:
		put_dec(out, "epoch", event->value);
		break;
	case XENPT_EVENT_DOUBT:
		put_name(out, "reason", xenpt_doubt_name(event->reason));
		put_dec(out, "since", event->value);
		if (event->named != XENPT_CR3_ANY)
			put_hex(out, "named", event->named);
		put_bool(out, "misfit", event->misfit);
		break;
	default:
		put_power(out, event);
	}
}

static void json_event(struct xenpt_sink *sink, const struct xenpt_event *event)
{
	begin(sink, xenpt_event_type_name(event->type), sink->vcpu);
	put_time(sink, event->time);
	put_cr3(sink, event->cr3);
	if (event->has_ip)
		put_address(sink, &ip_keys, event->cr3, event->ip);
	put_dec(&sink->out, "trace_offset", event->offset);
	put_payload(sink, event);
	end(sink);
}

/* ---- the tree ----------------------------------------------------------- */

static void json_enter(struct xenpt_sink *sink, const struct xenpt_tree_row *row)
{
	static const char *const kinds[] = {
		[XENPT_TREE_ROOT] = "root",       [XENPT_TREE_CALLER] = "caller",
		[XENPT_TREE_RESUMED] = "resumed", [XENPT_TREE_CALL] = "call",
		[XENPT_TREE_SYSCALL] = "syscall", [XENPT_TREE_INTERRUPT] = "interrupt",
	};
	struct xenpt_out *out = &sink->out;

	begin(sink, "enter", row->vcpu);
	put_time(sink, row->time);
	put_cr3(sink, row->frame.cr3);
	put_dec(out, "depth", row->depth);
	put_name(out, "kind", kinds[row->kind]);
	put_address(sink, &ip_keys, row->frame.cr3, row->frame.entry);
	if (row->frame.from)
		put_address(sink, &from_keys, row->frame.cr3, row->frame.from);
	end(sink);
}

static void json_leave(struct xenpt_sink *sink, const struct xenpt_event *event,
		       size_t depth, unsigned int popped)
{
	begin(sink, "leave", sink->vcpu);
	put_time(sink, event->time);
	put_dec(&sink->out, "depth", depth);
	put_dec(&sink->out, "frames", popped);
	end(sink);
}

/* ---- packets ------------------------------------------------------------ */

static void put_packet_flow(struct xenpt_out *out, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_TNT_8:
	case XENPT_PACKET_TNT_64:
		put_key(out, "bits");
		out_char(out, '"');
		xenpt_packet_tnt(out, packet);
		out_char(out, '"');
		break;
	case XENPT_PACKET_TIP:
	case XENPT_PACKET_TIP_PGE:
	case XENPT_PACKET_TIP_PGD:
	case XENPT_PACKET_FUP:
		put_dec(out, "ipbytes", packet->aux);
		if (packet->aux)
			put_hex(out, "ip", packet->payload);
		break;
	case XENPT_PACKET_PIP:
		put_hex(out, "cr3", packet->payload);
		put_bool(out, "non_root", packet->aux);
		break;
	case XENPT_PACKET_VMCS:
		put_hex(out, "base", packet->payload);
		break;
	case XENPT_PACKET_MODE_EXEC:
		put_dec(out, "mode", packet->aux);
		put_bool(out, "interrupts", packet->payload);
		break;
	case XENPT_PACKET_MODE_TSX:
		put_bool(out, "transaction", packet->payload & 1);
		put_bool(out, "aborted", packet->payload & 2);
		break;
	}
}

static void put_packet_other(struct xenpt_out *out, const struct xenpt_packet *packet)
{
	switch (packet->type) {
	case XENPT_PACKET_TSC:
		put_dec(out, "tsc", packet->payload);
		break;
	case XENPT_PACKET_TMA:
		put_dec(out, "fast", packet->aux);
		/* fall through */
	case XENPT_PACKET_MTC:
		put_dec(out, "ctc", packet->payload);
		break;
	case XENPT_PACKET_CYC:
		put_dec(out, "cycles", packet->payload);
		break;
	case XENPT_PACKET_CBR:
		put_dec(out, "ratio", packet->payload);
		break;
	case XENPT_PACKET_PTW:
	case XENPT_PACKET_MWAIT:
	case XENPT_PACKET_PWRE:
	case XENPT_PACKET_PWRX:
	case XENPT_PACKET_MNT:
		put_hex(out, "value", packet->payload);
		break;
	case XENPT_PACKET_BIP:
		put_dec(out, "id", packet->aux);
		put_hex(out, "value", packet->payload);
		break;
	case XENPT_PACKET_BBP:
		put_dec(out, "block", packet->payload);
		break;
	case XENPT_PACKET_CFE:
		put_dec(out, "event", packet->aux & 0xff);
		put_dec(out, "vector", packet->payload);
		break;
	case XENPT_PACKET_EVD:
		put_dec(out, "event", packet->aux);
		put_hex(out, "value", packet->payload);
		break;
	case XENPT_PACKET_GAP:
		put_name(out, "reason", xenpt_gap_reason_name(packet->aux));
		put_dec(out, "lost", packet->payload);
		break;
	}
}

static void json_packet(struct xenpt_sink *sink, const struct xenpt_packet *packet)
{
	const char *name = xenpt_packet_type_name(packet->type);
	struct xenpt_out *out = &sink->out;

	begin(sink, "packet", sink->vcpu);
	put_dec(out, "trace_offset", packet->offset);
	put_dec(out, "size", packet->size);
	put_name(out, "packet", name ? name : "bad");
	put_packet_flow(out, packet);
	put_packet_other(out, packet);
	end(sink);
}

static const struct xenpt_format json = {
	.header = json_header,
	.dropped = json_dropped,
	.insn = json_insn,
	.block = json_block,
	.branch = json_branch,
	.event = json_event,
	.enter = json_enter,
	.leave = json_leave,
	.packet = json_packet,
};

struct xenpt_error *xenpt_sink_create_json(const struct xenpt_sink_options *options,
					   struct xenpt_sink **ret)
{
	return xenpt_sink_create(options, &json, ret);
}
