/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Missing PIPs: that each is found, from where to where, and that nothing else
 * is taken for one.
 */
#include "decode.h"

#include "decode/trust.h"

#define A 0x5000
#define B 0x6000
#define C 0x7000

static const struct psb psb_a = { .mode = 64, .ip = 0x1000, .cr3 = A };
static const struct psb psb_b = { .mode = 64, .ip = 0x1000, .cr3 = B };
/* While tracing is off, a PSB+ has no IP. */
static const struct psb psb_b_off = { .mode = 64, .cr3 = B };

/* A VM exit at the loop's begin, and the entry after it. */
static void trace_exit(struct trace *trace)
{
	trace_ip(trace, ppt_fup, 0x1000);
	trace_no_ip(trace, ppt_tip_pgd);
}

static void trace_entry(struct trace *trace)
{
	trace_ip(trace, ppt_tip_pge, 0x1000);
}

static void fixture_run(struct fixture *fixture, struct trace *trace)
{
	fixture_init(fixture);
	fixture_trace(fixture, 0, trace);
	fixture_decode(fixture, 1);
}

static void assert_doubt(const struct xenpt_event *event, uint64_t since, uint64_t offset)
{
	assert_int_equal(event->value, since);
	assert_int_equal(event->offset, offset);
	assert_int_equal(event->reason, XENPT_DOUBT_PSB);
	assert_int_equal(event->named, A);
	assert_int_equal(event->cr3, B);
	assert_false(event->has_ip);
	assert_false(event->status);
}

/* After a missing PIP there is no trust any more: said once, at the end. */
static void assert_earlier(const struct fixture *fixture, uint64_t since, uint64_t end)
{
	const struct xenpt_event *event = &fixture->events[fixture->count - 1];

	assert_int_equal(event->type, XENPT_EVENT_DOUBT);
	assert_int_equal(event->reason, XENPT_DOUBT_EARLIER);
	assert_int_equal(event->value, since);
	assert_int_equal(event->offset, end);
}

static void assert_no_doubt(struct trace *trace)
{
	struct fixture fixture;

	fixture_run(&fixture, trace);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 0);
	fixture_deinit(&fixture);
}

/* The CR3 write was emulated in the exit: only the next PSB+ tells. */
static void test_missing(void **state)
{
	uint64_t since, found, end;
	const struct xenpt_event *event;
	struct xenpt_stats stats = {};
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0, cr3_at = 0;

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	since = trace.size;
	trace_psb_plus(&trace, &psb_a); /* agrees */
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	found = trace.size;
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	end = trace.size;
	fixture_run(&fixture, &trace);

	event = find(&fixture, &at, XENPT_EVENT_DOUBT);
	assert_doubt(event, since, found);
	assert_false(event->misfit);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 2);
	assert_earlier(&fixture, found, end);
	/* Right where the blocks of the one end and those of the other begin. */
	find(&fixture, &cr3_at, XENPT_EVENT_CR3);
	find(&fixture, &cr3_at, XENPT_EVENT_CR3);
	assert_int_equal(cr3_at, at + 1);
	for (size_t i = 0; i < fixture.count; i++) {
		if (fixture.events[i].type == XENPT_EVENT_BLOCK)
			assert_int_equal(fixture.events[i].cr3, i < at ? A : B);
	}
	xenpt_stats_add(&stats, fixture.events, fixture.count);
	assert_int_equal(stats.doubtful, end - since);
	fixture_deinit(&fixture);
}

/* A PIP confirms as well as a PSB+. */
static void test_since_pip(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	uint64_t since, found;
	size_t at = 0;

	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	since = trace.size;
	trace_pip(&trace, A, true);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	found = trace.size;
	trace_psb_plus(&trace, &psb_b);
	fixture_run(&fixture, &trace);
	assert_doubt(find(&fixture, &at, XENPT_EVENT_DOUBT), since, found);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 2);
	fixture_deinit(&fixture);
}

/* The wrong code is what a missing PIP leads to: a hint, and no end of the proof. */
static void test_misfit(void **state)
{
	const struct xenpt_event *event;
	struct fixture fixture;
	struct trace trace = {};
	uint64_t found;
	size_t at = 0;

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_ip(&trace, ppt_tip_pge, 0x9000); /* no code of A's */
	trace_loops(&trace, 10);
	found = trace.size;
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	fixture_run(&fixture, &trace);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 1);
	event = find(&fixture, &at, XENPT_EVENT_DOUBT);
	assert_doubt(event, 0, found);
	assert_true(event->misfit);
	fixture_deinit(&fixture);
}

/*
 * Gone and come back between two PSB+s that agree: code that did not fit says so, but
 * only where a missing PIP is proven; then the doubt begins there.
 */
static void test_suspect(void **state)
{
	for (int proven = 0; proven < 2; proven++) {
		struct fixture fixture;
		struct trace trace = {};
		uint64_t since, found, end;
		size_t at = 0;

		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		since = trace.size;
		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		trace_exit(&trace);
		trace_ip(&trace, ppt_tip_pge, 0x9000);
		trace_loops(&trace, 10);
		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		trace_exit(&trace);
		trace_entry(&trace);
		trace_loops(&trace, 10);
		found = trace.size;
		trace_psb_plus(&trace, proven ? &psb_b : &psb_a);
		trace_loops(&trace, 10);
		end = trace.size;
		fixture_run(&fixture, &trace);
		assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 2 * proven);
		if (proven) {
			assert_doubt(find(&fixture, &at, XENPT_EVENT_DOUBT), since,
				     found);
			assert_earlier(&fixture, found, end);
		}
		fixture_deinit(&fixture);
	}
}

/* A PIP in what was skipped for the code's sake is there. */
static void test_pip_in_misfit(void **state)
{
	struct trace trace = {};

	trace_psb_plus(&trace, &psb_a);
	trace_ip(&trace, ppt_tip, 0x9000);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_pip(&trace, B, true);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);
}

static void test_pips_are_there(void **state)
{
	struct trace trace = {};

	for (size_t i = 0; i < 100; i++) {
		trace_psb_plus(&trace, i % 2 ? &psb_b : &psb_a);
		trace_loops(&trace, 10);
		trace_exit(&trace);
		trace_pip(&trace, i % 2 ? A : B, true);
		trace_entry(&trace);
		trace_loops(&trace, 10);
	}
	assert_no_doubt(&trace);
}

/* While tracing was off, CR3 may change; the PSB+ before it goes on tells. */
static void test_off(void **state)
{
	struct trace trace = {};

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_no_ip(&trace, ppt_tip_pgd);
	trace_psb_plus(&trace, &psb_b_off);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);

	/* Or at an event, after which it goes on elsewhere. */
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_psb_plus(&trace, &psb_b_off);
	trace_ip(&trace, ppt_tip_pge, 0x1003);
	assert_no_doubt(&trace);

	/* The first with erratum BDM70: a FUP, though it is off. */
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_psb_plus(&trace, &psb_b);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);

	/* Or without the packet that says so. */
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_psb_plus(&trace, &psb_b_off);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);

	/* Or right after it went on: no code ran in between. */
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_entry(&trace);
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);
}

/* The vCPU was held, and goes on at the same instruction: CR3 was another before. */
static void test_held(void **state)
{
	struct trace trace = {};
	struct fixture fixture;
	uint64_t psb, size;

	for (unsigned int known = 0; known < 2; known++) {
		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		trace_exit(&trace);
		psb = trace.size;
		trace_psb_plus(&trace, &psb_b_off);
		if (known)
			trace_pip(&trace, B, true); /* whose it is, is not told */
		trace_entry(&trace);
		trace_loops(&trace, 10);
		size = trace.size;
		fixture_run(&fixture, &trace);
		if (known) {
			assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 0);
		} else {
			size_t at = 0;

			assert_doubt(find(&fixture, &at, XENPT_EVENT_DOUBT), 0, psb);
			assert_earlier(&fixture, psb, size);
		}
		fixture_deinit(&fixture);
	}
}

static void trace_overflow(struct trace *trace)
{
	trace_type(trace, ppt_ovf);
	trace_ip(trace, ppt_fup, 0x1000);
}

static void trace_no_packet(struct trace *trace)
{
	trace_bytes(trace, "\x02\xff", 2);
}

static void trace_cut_psb_plus(struct trace *trace)
{
	struct psb cut = psb_a;

	cut.no_end = true;
	cut.ip = 0;
	trace_psb_plus(trace, &cut);
	trace_loops(trace, 1);
}

static void trace_stop(struct trace *trace)
{
	trace_exit(trace);
	trace_type(trace, ppt_stop);
	trace_entry(trace);
}

/* What may hide a PIP: nothing is known after it, until CR3 is told anew. */
static void test_hidden(void **state)
{
	static void (*const hide[])(struct trace *) = {
		trace_overflow,
		trace_no_packet,
		trace_cut_psb_plus,
		trace_stop,
	};

	for (size_t i = 0; i < sizeof(hide) / sizeof(hide[0]); i++) {
		struct trace trace = {};

		trace_psb_plus(&trace, &psb_a);
		trace_loops(&trace, 10);
		hide[i](&trace);
		trace_loops(&trace, 10);
		trace_psb_plus(&trace, &psb_b);
		trace_loops(&trace, 10);
		assert_no_doubt(&trace);
	}
}

/* Each vCPU's trace goes on elsewhere behind a gap. */
static void test_gap(void **state)
{
	struct fixture fixture;
	struct trace trace = {};

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	fixture_trace(&fixture, 0, &trace);
	check_error(xenpt_writer_gap(fixture.file.writer, 0, XENPT_GAP_LAPPED, 0));
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 0);
	fixture_deinit(&fixture);
}

/* No PIP at all: user code only, SDM: a PIP needs RTIT_CTL.OS. */
static void test_no_pips(void **state)
{
	struct psb none = psb_a;
	struct trace trace = {};

	none.cr3 = 0;
	for (size_t i = 0; i < 10; i++) {
		trace_psb_plus(&trace, &none);
		trace_loops(&trace, 10);
		trace_exit(&trace);
		trace_entry(&trace);
	}
	trace_psb_plus(&trace, &psb_b); /* unknown until here */
	trace_loops(&trace, 10);
	assert_no_doubt(&trace);

	/* A PSB+ without a PIP (ContextEn clear) neither confirms nor denies. */
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_psb_plus(&trace, &none);
	trace_loops(&trace, 10);
	none.ip = 0;
	trace_exit(&trace);
	trace_psb_plus(&trace, &none);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_psb_plus(&trace, &psb_a);
	assert_no_doubt(&trace);
}

/*
 * A doubt at about each place where spans may be cut: all are found, the same for any
 * number of threads, and where blocks are but counted.
 */
static void test_spans(void **state)
{
	struct xenpt_decoder_options counting = { .threads = 3, .count_blocks = true };
	struct fixture fixture, counted = {};
	struct trace trace = {};
	uint64_t psbs[512], size, last = 0;
	size_t at = 0;

	for (size_t i = 0; i < 512; i++) {
		const struct psb *psb = i % 2 ? &psb_b : &psb_a;

		psbs[i] = trace.size;
		trace_psb_plus(&trace, psb);
		trace_loops(&trace, 300);
		trace_exit(&trace);
		if (i % 4 == 1 || i % 4 == 3)
			trace_pip(&trace, A, true);
		trace_entry(&trace);
		trace_loops(&trace, 100);
		if (i % 32 == 30)
			trace_exit(&trace); /* and no entry: nothing is said */
	}
	size = trace.size;
	assert_true(size > 3 * (64 << 10));
	fixture_run(&fixture, &trace);
	for (size_t i = 1; i < 512; i += 2) {
		if (i % 32 == 31)
			continue;
		/* The first since it was right, the others since the one before. */
		assert_doubt(find(&fixture, &at, XENPT_EVENT_DOUBT), last, psbs[i]);
		last = psbs[i];
	}
	assert_earlier(&fixture, last, size);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 256 - 16 + 1);
	for (unsigned int threads = 2; threads < 5; threads++) {
		struct xenpt_decoder_options options = { .threads = threads };

		assert_decodes_same(&fixture, &options);
	}
	counted.file = fixture.file;
	counted.opened = fixture.opened;
	fixture_decode_with(&counted, &counting);
	assert_int_equal(count_type(&counted, XENPT_EVENT_BLOCK), 0);
	assert_int_equal(count_type(&counted, XENPT_EVENT_DOUBT), 256 - 16 + 1);
	free(counted.events);
	free(counted.vcpus);
	fixture_deinit(&fixture);
}

/* The last PSB+ of the span before is remembered, wherever the cut is. */
static void test_since_other_span(void **state)
{
	for (size_t count = 60; count < 70; count++) {
		uint64_t since = 0, found;
		struct fixture fixture;
		struct trace trace = {};
		size_t at = 0;

		for (size_t i = 0; i < count; i++) {
			since = trace.size;
			trace_psb_plus(&trace, &psb_a);
			trace_loops(&trace, 1000);
		}
		trace_exit(&trace);
		trace_entry(&trace);
		trace_loops(&trace, 1000);
		found = trace.size;
		trace_psb_plus(&trace, &psb_b);
		trace_loops(&trace, 1000);
		fixture_run(&fixture, &trace);
		assert_doubt(find(&fixture, &at, XENPT_EVENT_DOUBT), since, found);
		assert_int_equal(count_type(&fixture, XENPT_EVENT_DOUBT), 2);
		fixture_deinit(&fixture);
	}
}

static void test_shown(void **state)
{
	struct xenpt_event event = { .type = XENPT_EVENT_DOUBT, .named = A, .cr3 = B };
	struct xenpt_filter filter = XENPT_FILTER_ALL;
	struct xenpt_stack_change change;
	struct xenpt_stack *stack;

	/* Whoever looks at either address space must know. */
	filter.ip_lo = 0x1000;
	filter.user = true;
	filter.cr3 = A;
	assert_true(xenpt_filter_match(&filter, &event));
	filter.cr3 = B;
	assert_true(xenpt_filter_match(&filter, &event));
	filter.cr3 = C;
	assert_false(xenpt_filter_match(&filter, &event));

	check_error(xenpt_stack_create(&stack));
	check_error(xenpt_stack_update(stack, &event, &change));
	assert_true(change.lost);
	xenpt_stack_destroy(stack);

	assert_string_equal(xenpt_event_type_name(XENPT_EVENT_DOUBT), "doubt");
	assert_string_equal(xenpt_doubt_name(XENPT_DOUBT_PSB), "PSB+");
	assert_string_equal(xenpt_doubt_name(77), "doubt");
}

/* ---- registers: of spans, as the segmenter makes them ---- */

#define BASE 0x10000 /* of the span in the trace */

struct samples {
	struct xenpt_sample list[4];
	size_t count;
};

static struct xenpt_registers *sample(struct samples *samples, const struct trace *trace,
				      uint64_t cr3)
{
	struct xenpt_sample *added = &samples->list[samples->count++];

	*added = (struct xenpt_sample){ .offset = BASE + trace->size };
	added->regs = (struct xenpt_registers){
		.cr0 = 1ull << 31, .cr3 = cr3, .cr4 = 1 << 5, .rip = 0x1000, .efer = 0x500
	};
	return &added->regs;
}

static size_t doubts(struct trace *trace, const struct samples *samples,
		     struct xenpt_event *ret)
{
	struct flow_span span = {
		.data = trace->data,
		.size = trace->size,
		.offset = BASE,
		.samples = samples->list,
		.sample_count = samples->count,
	};
	struct xenpt_event first;
	struct trust trust;
	size_t count = 0;

	trust_init(&trust, &span);
	assert_true(trust_first(&trust, &first));
	assert_true(first.status);
	while (trust_end(&trust, &ret[count])) {
		count++;
		assert_true(count < 8);
	}
	trace_deinit(trace);
	return count;
}

/* Packets that the engine could not read prove nothing, whatever this makes of them. */
static void test_skipped(void **state)
{
	struct trace trace = {};
	struct flow_span span = {};
	struct xenpt_event event;
	struct trust trust;
	size_t from, to;

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	from = trace.size;
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	to = trace.size;
	trace_psb_plus(&trace, &psb_b);
	span.data = trace.data;
	span.size = trace.size;
	trust_init(&trust, &span);
	assert_true(trust_end(&trust, &event)); /* what the first PSB+ tells */
	assert_true(trust_end(&trust, &event));
	assert_int_equal(event.value, from);
	trust_init(&trust, &span);
	assert_true(trust_first(&trust, &event));
	trust_skip(&trust, from, from + 10);
	trust_skip(&trust, from + 10, to);
	assert_false(trust_end(&trust, &event));
	trace_deinit(&trace);
}

static void test_registers_agree(void **state)
{
	struct samples samples = {};
	struct xenpt_event found[8];
	struct trace trace = {};
	struct xenpt_registers *regs;

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	/* PCID and the bit that keeps the TLB are in no PIP. */
	sample(&samples, &trace, 1ull << 63 | A | 0x123);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_pip(&trace, 0x6020, true); /* with PAE paging, bits 11:5 are */
	trace_entry(&trace);
	trace_exit(&trace);
	regs = sample(&samples, &trace, 0x603f);
	regs->efer = 0;
	assert_int_equal(doubts(&trace, &samples, found), 0);
}

/* Where a write is being emulated, or the vCPU was left otherwise, nothing is known. */
static void test_registers_say_nothing(void **state)
{
	struct samples samples = {};
	struct xenpt_event found[8];
	struct trace trace = {};

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	sample(&samples, &trace, B); /* on */
	trace_exit(&trace);
	sample(&samples, &trace, B)->rip = 0x1003;
	sample(&samples, &trace, B)->cr0 = 0;
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_ip(&trace, ppt_tip_pgd, 0x1000); /* by MOV CR3, with a CR3 filter */
	sample(&samples, &trace, B);
	assert_int_equal(doubts(&trace, &samples, found), 0);
}

static void test_registers_disagree(void **state)
{
	uint64_t since, held, told;
	struct samples samples = {};
	struct xenpt_event found[8];
	struct trace trace = {};

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	since = BASE + trace.size;
	sample(&samples, &trace, A);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	held = BASE + trace.size;
	sample(&samples, &trace, B);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	told = BASE + trace.size;
	trace_psb_plus(&trace, &psb_b);
	trace_loops(&trace, 10);
	assert_int_equal(doubts(&trace, &samples, found), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(found[i].reason, XENPT_DOUBT_REGISTERS);
		assert_int_equal(found[i].named, A);
		assert_int_equal(found[i].cr3, B);
		assert_int_equal(found[i].value, i ? held : since);
		assert_int_equal(found[i].offset, i ? told : held);
	}
}

/* At the end of all, there is no PSB+ any more. */
static void test_registers_at_end(void **state)
{
	struct samples samples = {};
	struct xenpt_event found[8];
	struct trace trace = {};
	uint64_t held, end;

	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	end = BASE + trace.size;
	sample(&samples, &trace, B);
	assert_int_equal(doubts(&trace, &samples, found), 1);
	assert_int_equal(found[0].value, BASE);
	assert_int_equal(found[0].offset, end);
	assert_int_equal(found[0].cr3, B);

	samples.count = 0;
	trace_psb_plus(&trace, &psb_a);
	trace_loops(&trace, 10);
	trace_exit(&trace);
	held = BASE + trace.size;
	sample(&samples, &trace, B);
	trace_entry(&trace);
	trace_loops(&trace, 10);
	end = BASE + trace.size;
	assert_int_equal(doubts(&trace, &samples, found), 2);
	assert_int_equal(found[1].value, held);
	assert_int_equal(found[1].offset, end);
	assert_int_equal(found[1].cr3, XENPT_CR3_ANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_since_pip),
		cmocka_unit_test(test_misfit),
		cmocka_unit_test(test_suspect),
		cmocka_unit_test(test_pip_in_misfit),
		cmocka_unit_test(test_pips_are_there),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_no_pips),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_since_other_span),
		cmocka_unit_test(test_shown),
		cmocka_unit_test(test_skipped),
		cmocka_unit_test(test_registers_agree),
		cmocka_unit_test(test_registers_say_nothing),
		cmocka_unit_test(test_registers_disagree),
		cmocka_unit_test(test_registers_at_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
