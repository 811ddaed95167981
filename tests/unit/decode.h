/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A little program, traces of it, and what they decode to. */
#ifndef TEST_DECODE_H
#define TEST_DECODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/trace.h"

#define CR3 0x5000

/*
 * 0x1000  e8 0b 00 00 00  call 0x1010
 * 0x1005  75 f9           jnz  0x1000
 * 0x1007  eb f7           jmp  0x1000
 * 0x1010  90 c3           nop; ret
 * 0x1020  0f 05           syscall
 * 0x1030  eb fe           jmp  0x1030
 * 0x1040  0f 22 d8 c3     mov  %rax,%cr3; ret
 */
static const uint8_t code[0x50] = {
	[0x00] = 0xe8,
	0x0b,
	0,
	0,
	0,
	0x75,
	0xf9,
	0xeb,
	0xf7,
	[0x10] = 0x90,
	0xc3,
	[0x20] = 0x0f,
	0x05,
	[0x30] = 0xeb,
	0xfe,
	[0x40] = 0x0f,
	0x22,
	0xd8,
	0xc3,
};

/* One vCPU with this trace and the code above, in any address space. */
struct fixture {
	struct test_file file;
	struct xenpt_file *opened;
	uint32_t vcpu_count; /* announced */
	size_t piece;        /* bytes of trace in a chunk; 0: all */
	struct xenpt_event *events;
	uint32_t *vcpus; /* of each event */
	size_t count;
};

static inline void fixture_init(struct fixture *fixture)
{
	struct xenpt_cpu cpu = { .intel = 1, .family = 6, .model = 0x55 };

	*fixture = (struct fixture){};
	test_file_init(&fixture->file);
	check_error(xenpt_writer_cpu(fixture->file.writer, &cpu));
	describe_code(fixture->file.writer);
	check_error(xenpt_writer_code(fixture->file.writer, 0, XENPT_CR3_ANY, 0x1000,
				      code, sizeof(code)));
}

static inline void fixture_deinit(struct fixture *fixture)
{
	xenpt_file_close(fixture->opened);
	test_file_deinit(&fixture->file);
	free(fixture->events);
	free(fixture->vcpus);
}

static inline void fixture_trace(struct fixture *fixture, uint32_t vcpu,
				 struct trace *trace)
{
	if (vcpu >= fixture->vcpu_count) {
		describe_vcpu(fixture->file.writer, vcpu);
		fixture->vcpu_count = vcpu + 1;
	}
	for (size_t pos = 0, size; pos < trace->size; pos += size) {
		size = trace->size - pos;
		if (fixture->piece && size > fixture->piece)
			size = fixture->piece;
		check_error(xenpt_writer_trace(fixture->file.writer, vcpu,
					       trace->data + pos, size));
	}
	trace_deinit(trace);
}

static inline void fixture_open(struct fixture *fixture)
{
	if (!fixture->opened)
		fixture->opened = test_file_open(&fixture->file);
}

/* All events, those of several vCPUs as they come. */
static inline void fixture_decode_with(struct fixture *fixture,
				       const struct xenpt_decoder_options *options)
{
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;
	size_t capacity = 0;

	fixture_open(fixture);
	free(fixture->events);
	free(fixture->vcpus);
	fixture->events = NULL;
	fixture->vcpus = NULL;
	fixture->count = 0;
	check_error(xenpt_decoder_create(fixture->opened, options, &decoder));
	for (;;) {
		check_error(xenpt_decoder_next(decoder, &batch));
		if (!batch.count)
			break;
		if (fixture->count + batch.count > capacity) {
			capacity = 2 * (fixture->count + batch.count);
			fixture->events = realloc(fixture->events,
						  capacity * sizeof(*fixture->events));
			assert_non_null(fixture->events);
			fixture->vcpus = realloc(fixture->vcpus,
						 capacity * sizeof(*fixture->vcpus));
			assert_non_null(fixture->vcpus);
		}
		for (size_t i = 0; i < batch.count; i++) {
			fixture->events[fixture->count] = batch.events[i];
			fixture->vcpus[fixture->count++] = batch.vcpu;
		}
	}
	assert_int_equal(xenpt_decoder_progress(decoder).total,
			 xenpt_decoder_progress(decoder).done);
	xenpt_decoder_destroy(decoder);
}

static inline void fixture_decode(struct fixture *fixture, unsigned int threads)
{
	struct xenpt_decoder_options options = { .threads = threads };

	fixture_decode_with(fixture, &options);
}

static inline void assert_same_events(const struct fixture *a, const struct fixture *b)
{
	assert_int_equal(a->count, b->count);
	assert_memory_equal(a->events, b->events, a->count * sizeof(*a->events));
	assert_memory_equal(a->vcpus, b->vcpus, a->count * sizeof(*a->vcpus));
}

/* Decoding that file again, by other means, gives the same. */
static inline void assert_decodes_same(const struct fixture *fixture,
				       const struct xenpt_decoder_options *options)
{
	struct fixture again = { .file = fixture->file, .opened = fixture->opened };

	fixture_decode_with(&again, options);
	assert_same_events(&again, fixture);
	free(again.events);
	free(again.vcpus);
}

/* The next event of a type, from *@at on; the test fails if there is none. */
static inline const struct xenpt_event *find(const struct fixture *fixture, size_t *at,
					     unsigned int type)
{
	for (; *at < fixture->count; (*at)++) {
		if (fixture->events[*at].type == type)
			return &fixture->events[(*at)++];
	}
	for (size_t i = 0; i < fixture->count && i < 40; i++) {
		const struct xenpt_event *event = &fixture->events[i];

		print_message("%zu: %s ip %#lx to %#lx last %#lx insns %u reason %u\n", i,
			      xenpt_event_type_name(event->type), event->ip, event->to,
			      event->last, event->insns, event->reason);
	}
	fail_msg("no %s event", xenpt_event_type_name(type));
	return NULL;
}

static inline size_t count_type(const struct fixture *fixture, unsigned int type)
{
	size_t count = 0;

	for (size_t i = 0; i < fixture->count; i++)
		count += fixture->events[i].type == type;
	return count;
}

static inline uint64_t count_insns(const struct fixture *fixture)
{
	uint64_t count = 0;

	for (size_t i = 0; i < fixture->count; i++)
		count += fixture->events[i].insns;
	return count;
}

static const struct psb psb_1000 = { .mode = 64, .ip = 0x1000, .cr3 = CR3, .cbr = 30 };

/* Run the loop @n times: call, compressed return, jnz taken. */
static inline void trace_loops(struct trace *trace, size_t n)
{
	while (n--)
		trace_tnt(trace, "11");
}

#endif
