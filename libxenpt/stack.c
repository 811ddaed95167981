/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Call stacks from branches alone: no disassembly, no symbols, no stack memory.
 *
 *	outermost                                                   innermost
 *	ROOT  CALL  CALL │ SYSCALL  CALL  CALL  INTERRUPT  CALL
 *	 user part       │ kernel part
 *
 * A call pushes.  A return pops the innermost frame that was called from up to
 * 15 bytes (the longest instruction) before where it returns to; what lies
 * above was left by longjmp(), an exception or a tail call.  A return that fits
 * no frame goes to a caller that was not seen, which becomes the only frame.
 *
 * Calls to the next few bytes push nothing: "call +0; pop" reads the IP, and a
 * kernel stuffs the return stack buffer with such calls (Linux:
 * FILL_RETURN_BUFFER).  Should the code return there after all, nothing is
 * popped.  When it returns elsewhere at once, it was a retpoline (Linux:
 * RETPOLINE), an indirect jump in disguise.
 *
 * The kernel returns to another thread than it was entered from: user parts
 * are kept by CR3 and the IP where they go on.  KPTI changes CR3 on each entry
 * and exit, so it is the CR3 in force while in user mode that counts.  Guests
 * whose kernel does not live in the upper half (32-bit ones) have no user part:
 * there, a switch of threads ends in an unseen caller.
 *
 * A TSX abort leaves the frames entered in the transaction.  Frames that were
 * left in the transaction are not brought back: returns from them will find an
 * unseen caller.
 */
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "xenpt.h"

#define DEPTH_MAX 65536
#define LOOK_DOWN 64 /* frames that one return may leave */
#define CALL_SIZE_MAX 15
#define SAVED_MAX 64
#define SAVED_DEPTH 1024

/* The user part of a thread that does not run. */
struct saved {
	ARRAY(struct xenpt_frame) frames;
	uint64_t cr3;
	uint64_t resume; /* the system call, or the interrupted IP */
	uint64_t used;   /* the larger, the more recent; 0: free */
};

struct xenpt_stack {
	/*
	 * The frames begin at start: forgetting the outermost one moves start,
	 * and the others only once in DEPTH_MAX times.
	 */
	ARRAY(struct xenpt_frame) all;
	size_t start;

	bool kernel; /* in the kernel, above user frames of user code */
	size_t user;

	uint64_t skip_from, skip_to; /* the last call to the next few bytes, */
	size_t skip_depth;           /* made at this depth; 0: none */

	bool transaction, aborting;
	size_t transaction_depth;

	uint64_t cr3, next; /* of the last block: where it goes on */
	uint64_t clock;     /* of saved.used */
	struct saved saved[SAVED_MAX];
};

struct xenpt_error *xenpt_stack_create(struct xenpt_stack **ret)
{
	struct xenpt_stack *stack = calloc(1, sizeof(*stack));

	if (!stack)
		return xenpt_error_no_memory();
	stack->cr3 = XENPT_CR3_ANY;
	*ret = stack;
	return NULL;
}

void xenpt_stack_destroy(struct xenpt_stack *stack)
{
	if (!stack)
		return;
	for (size_t i = 0; i < SAVED_MAX; i++)
		array_deinit(&stack->saved[i].frames);
	array_deinit(&stack->all);
	free(stack);
}

const struct xenpt_frame *xenpt_stack_frames(const struct xenpt_stack *stack,
					     size_t *count_ret)
{
	*count_ret = stack->all.count - stack->start;
	return *count_ret ? &stack->all.data[stack->start] : NULL;
}

static size_t depth(const struct xenpt_stack *stack)
{
	return stack->all.count - stack->start;
}

static struct xenpt_frame *frame_at(const struct xenpt_stack *stack, size_t index)
{
	return &stack->all.data[stack->start + index];
}

static void pop_to(struct xenpt_stack *stack, size_t count,
		   struct xenpt_stack_change *change)
{
	change->popped += depth(stack) - count;
	if (count == 0)
		stack->start = 0;
	stack->all.count = stack->start + count;
	if (stack->user > count)
		stack->user = count;
}

static bool push(struct xenpt_stack *stack, const struct xenpt_frame *frame)
{
	struct xenpt_frame *slot;

	if (depth(stack) == DEPTH_MAX) {
		stack->start++;
		if (stack->user)
			stack->user--;
	}
	if (stack->start == DEPTH_MAX) {
		memmove(stack->all.data, &stack->all.data[stack->start],
			depth(stack) * sizeof(*frame));
		stack->all.count -= stack->start;
		stack->start = 0;
	}
	slot = array_add(&stack->all);
	if (!slot)
		return false;
	*slot = *frame;
	return true;
}

static bool push_root(struct xenpt_stack *stack, const struct xenpt_event *event,
		      uint64_t entry, bool inferred)
{
	struct xenpt_frame frame = {
		.entry = entry,
		.time = event->time,
		.cr3 = event->cr3,
		.kind = XENPT_FRAME_ROOT,
		.inferred = inferred,
	};

	stack->kernel = xenpt_address_is_kernel(entry);
	stack->user = 0;
	return push(stack, &frame);
}

static bool enter(struct xenpt_stack *stack, const struct xenpt_event *event,
		  enum xenpt_frame_kind kind, uint64_t from,
		  struct xenpt_stack_change *change)
{
	struct xenpt_frame frame = {
		.entry = event->to,
		.from = from,
		.time = event->time,
		.cr3 = event->cr3,
		.kind = kind,
	};

	if (!stack->kernel && xenpt_address_is_kernel(event->to)) {
		stack->kernel = true;
		stack->user = depth(stack);
	}
	change->pushed++;
	return push(stack, &frame);
}

/* ---- threads ------------------------------------------------------------ */

static bool same_space(uint64_t a, uint64_t b)
{
	return a == b || a == XENPT_CR3_ANY || b == XENPT_CR3_ANY;
}

/*
 * Whether code left at @from goes on at @to: after the system call or at it (it
 * is restarted); at the interrupted instruction or after it (it was emulated;
 * Linux: WARN()).
 */
static bool goes_on(uint64_t from, uint64_t to)
{
	return to - from <= CALL_SIZE_MAX;
}

static bool save(struct xenpt_stack *stack, size_t count, uint64_t cr3, uint64_t resume)
{
	struct saved *slot = &stack->saved[0];
	size_t kept = count < SAVED_DEPTH ? count : SAVED_DEPTH;

	for (size_t i = 1; i < SAVED_MAX; i++) {
		if (stack->saved[i].used < slot->used)
			slot = &stack->saved[i];
	}
	if (!array_reserve(&slot->frames, kept))
		return false;
	memcpy(slot->frames.data, frame_at(stack, count - kept),
	       kept * sizeof(*slot->frames.data));
	slot->frames.count = kept;
	slot->cr3 = cr3;
	slot->resume = resume;
	slot->used = ++stack->clock;
	return true;
}

/* Keep the user part, if any, before the stack is emptied. */
static bool save_user(struct xenpt_stack *stack)
{
	const struct xenpt_frame *entry;

	if (!stack->kernel || !stack->user || stack->user >= depth(stack))
		return true;
	entry = frame_at(stack, stack->user);
	return save(stack, stack->user, entry->cr3, entry->from);
}

static struct saved *find_saved(struct xenpt_stack *stack, uint64_t cr3, uint64_t to)
{
	struct saved *found = NULL;

	for (size_t i = 0; i < SAVED_MAX; i++) {
		struct saved *saved = &stack->saved[i];

		if (saved->used && same_space(saved->cr3, cr3) &&
		    goes_on(saved->resume, to) && (!found || saved->used > found->used))
			found = saved;
	}
	return found;
}

/* Leave all frames; go on as the thread that stopped at @to, if it is known. */
static bool switch_thread(struct xenpt_stack *stack, const struct xenpt_event *event,
			  uint64_t to, struct xenpt_stack_change *change)
{
	struct saved *saved = find_saved(stack, event->cr3, to);

	pop_to(stack, 0, change);
	if (!saved) {
		change->inferred = true;
		return push_root(stack, event, to, true);
	}
	if (!array_reserve(&stack->all, saved->frames.count))
		return false;
	memcpy(stack->all.data, saved->frames.data,
	       saved->frames.count * sizeof(*stack->all.data));
	stack->all.count = saved->frames.count;
	stack->kernel = false;
	saved->used = 0;
	change->switched = true;
	return true;
}

static bool return_to_user(struct xenpt_stack *stack, const struct xenpt_event *event,
			   uint64_t to, struct xenpt_stack_change *change)
{
	if (stack->user < depth(stack)) {
		const struct xenpt_frame *entry = frame_at(stack, stack->user);

		if ((entry->kind == XENPT_FRAME_SYSCALL ||
		     entry->kind == XENPT_FRAME_INTERRUPT) &&
		    same_space(entry->cr3, event->cr3) && goes_on(entry->from, to)) {
			pop_to(stack, stack->user, change);
			stack->kernel = false;
			return true;
		}
	}
	return save_user(stack) && switch_thread(stack, event, to, change);
}

/* ---- returns ------------------------------------------------------------ */

static bool unseen_caller(struct xenpt_stack *stack, const struct xenpt_event *event,
			  struct xenpt_stack_change *change)
{
	if (!save_user(stack))
		return false;
	pop_to(stack, 0, change);
	change->inferred = true;
	return push_root(stack, event, event->to, true);
}

/* The outermost frame that returns of this mode may leave. */
static size_t floor_of(const struct xenpt_stack *stack)
{
	size_t count = depth(stack);
	size_t low = stack->kernel ? stack->user : 0;

	return count > LOOK_DOWN && count - LOOK_DOWN > low ? count - LOOK_DOWN : low;
}

static bool near_return(struct xenpt_stack *stack, const struct xenpt_event *event,
			struct xenpt_stack_change *change)
{
	size_t low = floor_of(stack), count = depth(stack);

	if (!event->has_to) {
		/* It goes where nothing is traced: its caller is not known. */
		if (count && frame_at(stack, count - 1)->kind == XENPT_FRAME_CALL)
			pop_to(stack, count - 1, change);
		return true;
	}
	/*
	 * Innermost first: frames below an interrupt are reached only if none
	 * above it fits.
	 */
	for (size_t i = count; i-- > low;) {
		const struct xenpt_frame *frame = frame_at(stack, i);

		if (frame->kind == XENPT_FRAME_CALL &&
		    event->to - frame->from - 1 < CALL_SIZE_MAX) {
			pop_to(stack, i, change);
			return true;
		}
	}
	if (stack->skip_depth != count)
		return unseen_caller(stack, event, change);
	stack->skip_depth = 0;
	if (event->to - stack->skip_from - 1 < CALL_SIZE_MAX)
		return true;
	if (event->ip == stack->skip_to) {
		/* A retpoline: the thunk becomes the function that it jumps to. */
		struct xenpt_frame *frame = frame_at(stack, count - 1);

		if (frame->kind == XENPT_FRAME_CALL) {
			frame->entry = event->to;
			change->popped = change->pushed = 1;
		}
		return true;
	}
	return unseen_caller(stack, event, change);
}

static bool far_return(struct xenpt_stack *stack, const struct xenpt_event *event,
		       struct xenpt_stack_change *change)
{
	size_t low = floor_of(stack);

	if (!event->has_to) {
		/* Out of what is traced: from the kernel, back to the user. */
		if (stack->kernel)
			pop_to(stack, stack->user, change);
		stack->kernel = false;
		return true;
	}
	if (goes_on(event->last, event->to))
		return true; /* IRET to the next instruction serialises */
	if (stack->kernel && !xenpt_address_is_kernel(event->to))
		return return_to_user(stack, event, event->to, change);
	for (size_t i = depth(stack); i-- > low;) {
		const struct xenpt_frame *frame = frame_at(stack, i);

		if (frame->kind != XENPT_FRAME_ROOT && goes_on(frame->from, event->to)) {
			pop_to(stack, i, change);
			return true;
		}
	}
	/* Elsewhere in the interrupted code: a fix-up (Linux: __ex_table). */
	for (size_t i = depth(stack); stack->kernel && i-- > low;) {
		const struct xenpt_frame *frame = frame_at(stack, i);

		if (frame->kind == XENPT_FRAME_INTERRUPT &&
		    xenpt_address_is_kernel(frame->from)) {
			pop_to(stack, i, change);
			return true;
		}
	}
	return unseen_caller(stack, event, change);
}

/* ---- events ------------------------------------------------------------- */

static bool call(struct xenpt_stack *stack, const struct xenpt_event *event,
		 struct xenpt_stack_change *change)
{
	if (event->to - event->last - 1 < CALL_SIZE_MAX) {
		stack->skip_from = event->last;
		stack->skip_to = event->to;
		stack->skip_depth = depth(stack);
		return true;
	}
	return enter(stack, event, XENPT_FRAME_CALL, event->last, change);
}

static bool begin(struct xenpt_stack *stack, const struct xenpt_event *event,
		  struct xenpt_stack_change *change)
{
	if (depth(stack))
		return true;
	change->pushed++;
	return push_root(stack, event, event->ip, false);
}

static bool block(struct xenpt_stack *stack, const struct xenpt_event *event,
		  struct xenpt_stack_change *change)
{
	if (!begin(stack, event, change))
		return false;
	stack->aborting = false;
	stack->cr3 = event->cr3;
	stack->next = event->has_to ? event->to : event->last;
	switch (event->branch) {
	case XENPT_BRANCH_RETURN:
		return near_return(stack, event, change);
	case XENPT_BRANCH_FAR_RETURN:
		return far_return(stack, event, change);
	}
	if (!event->has_to)
		return true;
	switch (event->branch) {
	case XENPT_BRANCH_CALL:
		return call(stack, event, change);
	case XENPT_BRANCH_FAR_CALL:
		return enter(stack, event, XENPT_FRAME_CALL, event->last, change);
	case XENPT_BRANCH_SYSCALL:
		return enter(stack, event, XENPT_FRAME_SYSCALL, event->last, change);
	}
	return true;
}

static bool interrupt(struct xenpt_stack *stack, const struct xenpt_event *event,
		      struct xenpt_stack_change *change)
{
	bool aborting = stack->aborting;

	/* A transaction's abort is reported as an interrupt to its fallback. */
	stack->aborting = false;
	if (aborting || !event->has_to)
		return true;
	return begin(stack, event, change) &&
	       enter(stack, event, XENPT_FRAME_INTERRUPT, event->ip, change);
}

static void transaction(struct xenpt_stack *stack, const struct xenpt_event *event,
			struct xenpt_stack_change *change)
{
	bool in = event->value & 1, aborted = event->value & 2;

	if (in && !stack->transaction)
		stack->transaction_depth = depth(stack);
	if (aborted && stack->transaction && depth(stack) > stack->transaction_depth)
		pop_to(stack, stack->transaction_depth, change);
	stack->transaction = in && !aborted;
	stack->aborting = aborted;
}

/* Tracing of user code went on in another process or thread. */
static bool on(struct xenpt_stack *stack, const struct xenpt_event *event,
	       struct xenpt_stack_change *change)
{
	if (event->resumed || !event->has_ip || !depth(stack) ||
	    xenpt_address_is_kernel(event->ip))
		return true;
	if (stack->kernel)
		return return_to_user(stack, event, event->ip, change);
	if (same_space(stack->cr3, event->cr3))
		return true;
	return save(stack, depth(stack), stack->cr3, stack->next) &&
	       switch_thread(stack, event, event->ip, change);
}

static void lose(struct xenpt_stack *stack, struct xenpt_stack_change *change)
{
	pop_to(stack, 0, change);
	for (size_t i = 0; i < SAVED_MAX; i++)
		stack->saved[i].used = 0;
	stack->kernel = stack->transaction = stack->aborting = false;
	stack->skip_depth = 0;
	change->lost = true;
}

struct xenpt_error *xenpt_stack_update(struct xenpt_stack *stack,
				       const struct xenpt_event *event,
				       struct xenpt_stack_change *ret)
{
	struct xenpt_stack_change change = {};
	bool ok = true;

	switch (event->type) {
	case XENPT_EVENT_BLOCK:
		ok = block(stack, event, &change);
		break;
	case XENPT_EVENT_INTERRUPT:
		ok = interrupt(stack, event, &change);
		break;
	case XENPT_EVENT_TSX:
		transaction(stack, event, &change);
		break;
	case XENPT_EVENT_ON:
		ok = on(stack, event, &change);
		break;
	case XENPT_EVENT_OFF:
		if (event->has_ip)
			stack->next = event->ip;
		break;
	case XENPT_EVENT_OVERFLOW:
	case XENPT_EVENT_GAP:
	case XENPT_EVENT_ERROR:
	case XENPT_EVENT_DOUBT: /* frames may be those of another process */
		lose(stack, &change);
		break;
	}
	if (!ok)
		return xenpt_error_no_memory();
	*ret = change;
	return NULL;
}
