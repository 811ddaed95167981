/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "../cleanup.h"
#include "sink.h"

struct vcpu_stack {
	uint32_t vcpu;
	struct xenpt_stack *stack;
};

struct xenpt_tree {
	ARRAY(struct vcpu_stack) stacks;
	size_t current; /* the one used last */
	/* The last row, if it is a call: another to the same may follow. */
	struct xenpt_tree_row held;
	bool holds, left;   /* left: its frame, as a leaf */
	uint64_t last_time; /* of the last of held.count calls */
};

struct xenpt_error *xenpt_tree_create(struct xenpt_tree **ret)
{
	struct xenpt_tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return xenpt_error_no_memory();
	*ret = tree;
	return NULL;
}

void xenpt_tree_destroy(struct xenpt_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->stacks.count; i++)
		xenpt_stack_destroy(tree->stacks.data[i].stack);
	array_deinit(&tree->stacks);
	free(tree);
}

static struct xenpt_error *find_stack(struct xenpt_tree *tree, uint32_t vcpu,
				      struct xenpt_stack **ret)
{
	struct xenpt_error *err;
	struct vcpu_stack *slot;

	if (tree->current < tree->stacks.count &&
	    tree->stacks.data[tree->current].vcpu == vcpu) {
		*ret = tree->stacks.data[tree->current].stack;
		return NULL;
	}
	for (size_t i = 0; i < tree->stacks.count; i++) {
		if (tree->stacks.data[i].vcpu == vcpu) {
			tree->current = i;
			*ret = tree->stacks.data[i].stack;
			return NULL;
		}
	}
	if (!array_reserve(&tree->stacks, tree->stacks.count + 1))
		return xenpt_error_no_memory();
	slot = &tree->stacks.data[tree->stacks.count];
	slot->vcpu = vcpu;
	err = xenpt_stack_create(&slot->stack);
	if (err)
		return err;
	tree->current = tree->stacks.count++;
	*ret = slot->stack;
	return NULL;
}

static void draw(struct xenpt_sink *sink, const struct xenpt_tree_row *row)
{
	xenpt_out_begin(&sink->out);
	sink->format->enter(sink, row);
	xenpt_out_end(&sink->out);
}

/* Of several calls the last may not be a leaf: it gets a row of its own. */
void xenpt_tree_flush(struct xenpt_sink *sink)
{
	struct xenpt_tree *tree = sink->tree;
	struct xenpt_tree_row last;

	if (!tree || !tree->holds)
		return;
	tree->holds = false;
	last = tree->held;
	if (last.count > 1 && !tree->left) {
		tree->held.count--;
		draw(sink, &tree->held);
		last.count = 1;
		last.time = tree->last_time;
	}
	draw(sink, &last);
}

static void enter(struct xenpt_sink *sink, const struct xenpt_tree_row *row)
{
	struct xenpt_tree *tree = sink->tree;

	if (tree->holds && tree->left && row->kind == XENPT_TREE_CALL &&
	    row->depth == tree->held.depth && row->vcpu == tree->held.vcpu &&
	    row->frame.entry == tree->held.frame.entry &&
	    row->frame.cr3 == tree->held.frame.cr3) {
		tree->held.count++;
		tree->last_time = row->time;
		tree->left = false;
		return;
	}
	xenpt_tree_flush(sink);
	if (row->kind == XENPT_TREE_CALL && sink->format->collapse) {
		tree->held = *row;
		tree->last_time = row->time;
		tree->holds = true;
		tree->left = false;
	} else {
		draw(sink, row);
	}
}

static void enter_frame(struct xenpt_sink *sink, const struct xenpt_event *event,
			const struct xenpt_frame *frame, size_t depth,
			enum xenpt_tree_kind kind)
{
	struct xenpt_tree_row row = {
		.frame = *frame,
		.time = event->time,
		.depth = depth,
		.count = 1,
		.vcpu = sink->vcpu,
		.kind = kind,
	};

	enter(sink, &row);
}

static enum xenpt_tree_kind kind_of(const struct xenpt_frame *frame)
{
	switch (frame->kind) {
	case XENPT_FRAME_CALL:
		return XENPT_TREE_CALL;
	case XENPT_FRAME_SYSCALL:
		return XENPT_TREE_SYSCALL;
	case XENPT_FRAME_INTERRUPT:
		return XENPT_TREE_INTERRUPT;
	default:
		return XENPT_TREE_ROOT;
	}
}

static void leave(struct xenpt_sink *sink, const struct xenpt_event *event, size_t depth,
		  const struct xenpt_stack_change *change)
{
	struct xenpt_tree *tree = sink->tree;

	if (!tree->holds || tree->left || change->popped != 1 ||
	    depth != tree->held.depth || sink->vcpu != tree->held.vcpu)
		xenpt_tree_flush(sink);
	else if (change->pushed && tree->held.count == 1)
		tree->holds = false; /* the thunk of an indirect call */
	else
		tree->left = true;
	if (!sink->format->leave)
		return;
	xenpt_out_begin(&sink->out);
	sink->format->leave(sink, event, depth, change->popped);
	xenpt_out_end(&sink->out);
}

struct xenpt_error *xenpt_tree_event(struct xenpt_sink *sink,
				     const struct xenpt_event *event, bool show)
{
	const struct xenpt_frame *frames;
	struct xenpt_stack_change change;
	struct xenpt_stack *stack;
	size_t count;

	XENPT_TRY(find_stack(sink->tree, sink->vcpu, &stack));
	XENPT_TRY(xenpt_stack_update(stack, event, &change));
	if (!change.popped && !change.pushed && !change.inferred && !change.switched)
		return NULL;
	if (!show) {
		xenpt_tree_flush(sink);
		return NULL;
	}
	frames = xenpt_stack_frames(stack, &count);
	if (change.popped) {
		bool emptied = change.inferred || change.switched;

		leave(sink, event, emptied ? 0 : count - change.pushed, &change);
	}
	if (change.inferred || change.switched)
		enter_frame(sink, event, &frames[count - 1], count - 1,
			    change.inferred ? XENPT_TREE_CALLER : XENPT_TREE_RESUMED);
	for (size_t i = count - change.pushed; i < count; i++)
		enter_frame(sink, event, &frames[i], i, kind_of(&frames[i]));
	return NULL;
}
