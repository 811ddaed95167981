/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any events: what the call stack says that it did is what it did, and the tree
 * can be drawn.
 */
#include <stdio.h>
#include <stdlib.h>

#include "libxenpt/xenpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t address(uint8_t byte)
{
	/* Few places, some within a call's length of each other, in both halves. */
	return (byte & 0x80 ? 0xffffffff81000000 : 0x400000) + (byte & 0x7f) * 4;
}

static struct xenpt_event event_of(const uint8_t *data)
{
	static const uint8_t types[] = { XENPT_EVENT_BLOCK,     XENPT_EVENT_BLOCK,
					 XENPT_EVENT_BLOCK,     XENPT_EVENT_BLOCK,
					 XENPT_EVENT_INTERRUPT, XENPT_EVENT_ON,
					 XENPT_EVENT_OFF,       XENPT_EVENT_TSX };

	return (struct xenpt_event){
		.type = data[0] == 0xff ? XENPT_EVENT_OVERFLOW : types[data[0] & 7],
		.ip = address(data[1]),
		.last = address(data[1]),
		.to = address(data[2]),
		.cr3 = data[3] & 3 ? (data[3] & 3) << 12 : XENPT_CR3_ANY,
		.branch = data[3] >> 4,
		.has_ip = 1,
		.has_to = !(data[3] & 8),
		.resumed = data[3] >> 2 & 1,
	};
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void follow(const uint8_t *data, size_t size)
{
	struct xenpt_stack *stack;

	check(!xenpt_stack_create(&stack));
	for (size_t before = 0; size >= 4; data += 4, size -= 4) {
		struct xenpt_event event = event_of(data);
		/* Deep stacks are slow to come by. */
		unsigned int times = data[0] == 0x08 ? 5000 : 1;

		while (times--) {
			struct xenpt_stack_change change;
			size_t count, want;

			check(!xenpt_stack_update(stack, &event, &change));
			xenpt_stack_frames(stack, &count);
			check(change.popped <=
			      before + (event.type == XENPT_EVENT_BLOCK));
			want = before + change.pushed - change.popped + change.inferred;
			check(change.switched ? count > 0
					      : count == (want > 65536 ? 65536 : want));
			before = count;
		}
	}
	xenpt_stack_destroy(stack);
}

static void draw(const uint8_t *data, size_t size, FILE *out,
		 struct xenpt_error *(*create)(const struct xenpt_sink_options *options,
					       struct xenpt_sink **ret))
{
	struct xenpt_sink_options options = {
		.out = out,
		.rows = XENPT_ROW_TREE | XENPT_ROW_BRANCH | XENPT_ROW_TROUBLE,
		.filter = XENPT_FILTER_ALL,
		.vcpu_count = 2,
		.last = size & 1 ? 5 : 0,
	};
	struct xenpt_sink *sink;

	check(!create(&options, &sink));
	for (; size >= 4; data += 4, size -= 4) {
		struct xenpt_event event = event_of(data);
		struct xenpt_batch batch = { &event, 1, data[0] >> 6 & 1 };

		check(!xenpt_sink_events(sink, &batch));
	}
	check(!xenpt_sink_finish(sink));
	xenpt_sink_destroy(sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *out;

	if (!out)
		out = fopen("/dev/null", "w");
	follow(data, size);
	draw(data, size, out, xenpt_sink_create_text);
	draw(data, size, out, xenpt_sink_create_json);
	return 0;
}
