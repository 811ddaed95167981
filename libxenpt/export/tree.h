/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which rows of a call tree the events make. */
#ifndef XENPT_EXPORT_TREE_H
#define XENPT_EXPORT_TREE_H

#include "../xenpt.h"

enum xenpt_tree_kind {
	XENPT_TREE_ROOT,    /* where the trace begins or a gap ended */
	XENPT_TREE_CALLER,  /* returned to; its call was not seen */
	XENPT_TREE_RESUMED, /* another thread goes on */
	XENPT_TREE_CALL,
	XENPT_TREE_SYSCALL,
	XENPT_TREE_INTERRUPT,
};

struct xenpt_tree_row {
	struct xenpt_frame frame;
	uint64_t time;
	size_t depth;   /* index of the frame */
	uint64_t count; /* successive calls that this row stands for */
	uint32_t vcpu;
	uint8_t kind; /* enum xenpt_tree_kind */
};

struct xenpt_tree;
struct xenpt_sink;

struct xenpt_error *xenpt_tree_create(struct xenpt_tree **ret);
void xenpt_tree_destroy(struct xenpt_tree *tree);

/* Feed any event of sink->vcpu; draws its rows if @show. */
struct xenpt_error *xenpt_tree_event(struct xenpt_sink *sink,
				     const struct xenpt_event *event, bool show);

/* Draw the row that is held back; to be called before any other is drawn. */
void xenpt_tree_flush(struct xenpt_sink *sink);

#endif
