/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sink is a listing and a format.  The listing (sink.c, tree.c) decides which
 * rows an event makes; the format (text.c, json.c) draws each of them.
 */
#ifndef XENPT_EXPORT_SINK_H
#define XENPT_EXPORT_SINK_H

#include "../disasm.h"
#include "../xenpt.h"
#include "label.h"
#include "out.h"
#include "taken.h"
#include "tree.h"

/* Each draws one row at the end of sink->out, without its line's end. */
struct xenpt_format {
	bool collapse; /* successive calls of the same leaf are one row */
	/* Before all rows; NULL: nothing. */
	void (*header)(struct xenpt_sink *sink);
	/* After all rows if kept ones were given up for memory. */
	void (*dropped)(struct xenpt_sink *sink, uint64_t rows);
	void (*insn)(struct xenpt_sink *sink, const struct xenpt_event *event,
		     const struct xenpt_insn *insn);
	void (*block)(struct xenpt_sink *sink, const struct xenpt_event *event);
	/* Of a block's end, or an interrupt. */
	void (*branch)(struct xenpt_sink *sink, const struct xenpt_event *event);
	/* All other types of events. */
	void (*event)(struct xenpt_sink *sink, const struct xenpt_event *event);
	void (*enter)(struct xenpt_sink *sink, const struct xenpt_tree_row *row);
	/* NULL: it does not show that. @popped frames were left, @depth remain. */
	void (*leave)(struct xenpt_sink *sink, const struct xenpt_event *event,
		      size_t depth, unsigned int popped);
	void (*packet)(struct xenpt_sink *sink, const struct xenpt_packet *packet);
};

struct xenpt_sink {
	struct xenpt_sink_options options;
	const struct xenpt_format *format;
	struct xenpt_out out;
	struct xenpt_labels *labels;
	struct xenpt_disasm *disasm; /* or NULL */
	struct xenpt_tree *tree;     /* or NULL */
	struct xenpt_taken taken;
	uint32_t vcpu;                    /* whose events these are */
	uint32_t epochs[XENPT_VCPUS_MAX]; /* of each vCPU's code now */
	uint64_t first_time;              /* of all events, shown or not; 0: none yet */
	uint64_t insns;                   /* listed or left out by the period */
	uint64_t next_time;               /* when the next instruction may be listed */
	bool shown; /* shown_vcpu is that of the last row of the tree */
	uint32_t shown_vcpu;
};

struct xenpt_error *xenpt_sink_create(const struct xenpt_sink_options *options,
				      const struct xenpt_format *format,
				      struct xenpt_sink **ret);

/* How a branch or an interrupt is called. */
const char *xenpt_sink_branch_name(const struct xenpt_event *event);

/*
 * Nanoseconds since the first time; false: not known. A hostile file's ticks and
 * clock make more of them than there are numbers (C11, 6.3.1.4: undefined).
 */
static inline bool xenpt_sink_ns(const struct xenpt_sink *sink, uint64_t time,
				 int64_t *ret)
{
	double ns;

	if (!time || !(sink->options.clock.ns_per_tick > 0))
		return false;
	ns = (int64_t)(time - sink->first_time) * sink->options.clock.ns_per_tick;
	*ret = ns >= 0x1p63 ? INT64_MAX : ns < -0x1p63 ? INT64_MIN : (int64_t)ns;
	return true;
}

#endif
