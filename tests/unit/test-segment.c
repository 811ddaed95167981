/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a trace is cut into spans: only where a decoder that starts there knows what
 * one that comes from before it knows. And gaps, pieces and ends of all kinds.
 */
#include "decode.h"

#include "decode/segment.h"

#define SPAN_SIZE (64 << 10)

/* Spans of vCPU 0 but the first: where they begin. */
struct cuts {
	uint64_t offsets[64];
	size_t count;
};

static void find_cuts(struct fixture *fixture, struct cuts *cuts)
{
	struct segmenter *segmenter;
	struct segment segment;
	uint64_t end = 0;
	bool ended;

	fixture_open(fixture);
	cuts->count = 0;
	check_error(segmenter_create(fixture->opened, 0, &segmenter));
	for (;;) {
		check_error(segmenter_next(segmenter, &segment, &ended));
		if (ended)
			break;
		assert_int_equal(segment.joined, segment.span.offset > 0);
		assert_int_equal(segment.span.offset, end);
		end += segment.span.size;
		if (segment.joined) {
			assert_true(cuts->count < 64);
			cuts->offsets[cuts->count++] = segment.span.offset;
		}
		segment_deinit(&segment);
	}
	segmenter_destroy(segmenter);
}

/* All of it decodes, and no instruction of the loops is lost or seen twice. */
static void check_loops(struct fixture *fixture, size_t loops)
{
	fixture_decode(fixture, 1);
	assert_int_equal(count_type(fixture, XENPT_EVENT_ERROR), 0);
	assert_int_equal(count_type(fixture, XENPT_EVENT_GAP), 0);
	assert_int_equal(count_insns(fixture), 4 * loops + 3);
}

/* Where a PIP was seen, a PSB+ without one is no place to start. */
static void test_cr3_is_known(void **state)
{
	struct psb psb = psb_1000;
	struct fixture fixture;
	struct trace trace = {};
	uint64_t with_pip[64];
	struct cuts cuts;
	size_t count = 0;

	fixture_init(&fixture);
	for (size_t i = 0; i < 400; i++) {
		psb.cr3 = i % 70 ? 0 : CR3;
		if (psb.cr3)
			with_pip[count++] = trace.size;
		trace_psb_plus(&trace, &psb);
		trace_loops(&trace, 1000);
	}
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_int_equal(cuts.count, count - 1);
	assert_memory_equal(cuts.offsets, with_pip + 1,
			    cuts.count * sizeof(*cuts.offsets));
	check_loops(&fixture, 400 * 1000);
	for (size_t i = 0; i < fixture.count; i++)
		assert_int_equal(fixture.events[i].cr3, CR3);
	fixture_deinit(&fixture);
}

/* The first PIP comes when no PSB+ has had one: from there on there is no cut. */
static void test_cr3_changes(void **state)
{
	struct psb psb = { .mode = 64, .ip = 0x1000 };
	struct fixture fixture;
	struct trace trace = {};
	struct cuts cuts;
	uint64_t pip = 0;

	fixture_init(&fixture);
	for (size_t i = 0; i < 400; i++) {
		trace_psb_plus(&trace, &psb);
		trace_loops(&trace, 1000);
		if (i != 200)
			continue;
		/* From the call's ret to a mov to CR3, and on: ret, to the loop. */
		trace_ip(&trace, ppt_tip, 0x1040);
		pip = trace.size;
		trace_pip(&trace, CR3, true);
		trace_ip(&trace, ppt_tip, 0x1000);
	}
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_true(cuts.count > 1);
	assert_true(cuts.offsets[cuts.count - 1] < pip);
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	assert_int_equal(fixture.events[fixture.count - 1].cr3, CR3);
	/* The call; nop; ret, the mov; ret, and what is after the last jnz. */
	assert_int_equal(count_insns(&fixture), 4 * 400 * 1000 + 3 + 2 + 3);
	fixture_deinit(&fixture);
}

/* Where tracing is off at a PSB, MODE.Exec comes with what switches it on. */
static void test_trace_is_off(void **state)
{
	struct psb psb = { .cr3 = CR3 };
	struct fixture fixture;
	struct trace trace = {};
	uint64_t with_mode[64];
	struct cuts cuts;
	size_t count = 0;

	fixture_init(&fixture);
	for (size_t i = 0; i < 400; i++) {
		if (i % 70 == 0)
			with_mode[count++] = trace.size;
		trace_psb_plus(&trace, &psb);
		if (i % 70 == 0)
			trace_mode_exec(&trace, 64);
		trace_ip(&trace, ppt_tip_pge, 0x1000);
		trace_loops(&trace, 1000);
		trace_ip(&trace, ppt_fup, 0x1010);
		trace_ip(&trace, ppt_tip_pgd, 0x9000);
	}
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_int_equal(cuts.count, count - 1);
	assert_memory_equal(cuts.offsets, with_mode + 1,
			    cuts.count * sizeof(*cuts.offsets));
	fixture_decode(&fixture, 1);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_ON), 400);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_OFF), 400);
	assert_int_equal(count_insns(&fixture), 400 * (4 * 1000 + 1));
	fixture_deinit(&fixture);
}

/* A payload that looks like a PSB, or like the beginning of the one that follows. */
static void test_payload_is_no_psb(void **state)
{
	struct pt_packet ptwrite = { .type = ppt_ptw };
	struct fixture fixture;
	struct trace trace = {};
	uint64_t psbs[500];
	struct cuts cuts;

	ptwrite.payload.ptw.plc = 1;
	ptwrite.payload.ptw.payload = UINT64_C(0x8202820282028202);
	fixture_init(&fixture);
	for (size_t i = 0; i < 400; i++) {
		psbs[i] = trace.size;
		trace_psb_plus(&trace, &psb_1000);
		trace_loops(&trace, 1000);
		trace_packet(&trace, &ptwrite);
	}
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_true(cuts.count > 2);
	for (size_t i = 0, j = 0; i < cuts.count; i++) {
		while (j < 400 && psbs[j] < cuts.offsets[i])
			j++;
		assert_int_equal(cuts.offsets[i], psbs[j]);
	}
	fixture_deinit(&fixture);
}

/* Bytes that are a whole PSB+, in front of which is the head of a longer packet. */
static void test_psb_inside_packet(void **state)
{
	struct fixture fixture;
	struct trace trace = {}, inner = {};
	struct cuts cuts;
	uint64_t inside[200];
	size_t count = 0;

	fixture_init(&fixture);
	trace_psb_plus(&inner, &psb_1000);
	for (size_t i = 0; i < 400; i++) {
		if (i % 2) {
			trace_bytes(&trace, "\x02\x32", 2); /* PTW, cut by the PSB */
			inside[count++] = trace.size;
			trace_bytes(&trace, inner.data, inner.size);
		}
		trace_psb_plus(&trace, &psb_1000);
		trace_loops(&trace, 900 + 53 * (i % 7));
	}
	trace_deinit(&inner);
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_true(cuts.count > 3);
	for (size_t i = 0; i < cuts.count; i++) {
		for (size_t j = 0; j < count; j++)
			assert_int_not_equal(cuts.offsets[i], inside[j]);
	}
	fixture_deinit(&fixture);
}

/*
 * libipt reads ahead: of PSBs with next to nothing between it must not take one for
 * another.
 */
static void check_dense_psbs(size_t loops)
{
	struct fixture fixture;
	struct trace trace = {};
	size_t sum = 0;

	fixture_init(&fixture);
	for (size_t round = 0; round < 10; round++) {
		while (trace.size < (round + 1) * SPAN_SIZE) {
			trace_psb_plus(&trace, &psb_1000);
			trace_loops(&trace, loops);
			sum += loops;
		}
		trace_loops(&trace, round);
		sum += round;
	}
	fixture_trace(&fixture, 0, &trace);
	check_loops(&fixture, sum);
	fixture_deinit(&fixture);
}

static void test_dense_psbs(void **state)
{
	for (size_t loops = 0; loops < 6; loops++)
		check_dense_psbs(loops);
}

static void test_no_psb_for_long(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	struct cuts cuts;
	uint64_t cut;

	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 5 * SPAN_SIZE);
	cut = trace.size;
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 5 * SPAN_SIZE);
	fixture_trace(&fixture, 0, &trace);
	find_cuts(&fixture, &cuts);
	assert_int_equal(cuts.count, 1);
	assert_int_equal(cuts.offsets[0], cut);
	check_loops(&fixture, 10 * SPAN_SIZE);
	fixture_deinit(&fixture);
}

/* Farther apart than a CPU puts PSBs: it is cut anyway, and the rest is counted. */
static void test_no_psb_for_ever(void **state)
{
	enum {
		MIB = 1 << 20,
		SIZE = 70 * MIB
	};
	uint8_t *pads = calloc(1, MIB);
	const struct xenpt_event *event;
	struct fixture fixture;
	struct trace trace = {};
	size_t at = 0, psb = 0;

	assert_non_null(pads);
	fixture_init(&fixture);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 1);
	psb = trace.size + SIZE;
	fixture_trace(&fixture, 0, &trace);
	for (size_t i = 0; i < SIZE / MIB; i++)
		check_error(xenpt_writer_trace(fixture.file.writer, 0, pads, MIB));
	free(pads);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 10);
	fixture_trace(&fixture, 0, &trace);
	fixture_decode(&fixture, 1);
	event = find(&fixture, &at, XENPT_EVENT_GAP);
	assert_int_equal(event->reason, XENPT_GAP_NO_PSB);
	assert_int_equal(event->offset + event->value, psb);
	assert_true(event->value < 6 * MIB);
	assert_int_equal(count_insns(&fixture), 4 + 3 + 4 * 10 + 3);
	fixture_deinit(&fixture);
}

/* ---- gaps and ends ---- */

static void add_gaps(struct fixture *fixture, uint64_t first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_error(xenpt_writer_gap(fixture->file.writer, 0, XENPT_GAP_LAPPED,
					     first + i));
}

/* At the start, at the end, and more in a row than a segment can take. */
static void test_gaps(void **state)
{
	struct fixture fixture;
	struct trace trace = {};
	uint64_t lost = 1;
	size_t at = 0, next = 0;

	fixture_init(&fixture);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 1, 1);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 10);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 2, 30);
	trace_bytes(&trace, "no PSB", 6);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 32, 1);
	trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, 20);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 33, 3);
	fixture_decode(&fixture, 2);

	while (lost <= 35) {
		const struct xenpt_event *event = find(&fixture, &at, XENPT_EVENT_GAP);

		if (lost == 32 && event->reason == XENPT_GAP_NO_PSB) {
			assert_int_equal(event->value, 6);
			next = at;
			continue;
		}
		assert_int_equal(event->reason, XENPT_GAP_LAPPED);
		assert_int_equal(event->value, lost++);
	}
	assert_true(next);
	assert_int_equal(at, fixture.count);
	assert_int_equal(fixture.events[0].type, XENPT_EVENT_GAP);
	assert_int_equal(count_type(&fixture, XENPT_EVENT_GAP), 36);
	assert_int_equal(count_insns(&fixture), 4 * 10 + 3 + 4 * 20 + 3);
	fixture_deinit(&fixture);
}

static void test_gaps_and_junk(void **state)
{
	struct fixture fixture;
	struct trace trace = {};

	fixture_init(&fixture);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 1, 1);
	for (size_t i = 0; i < 30; i++) {
		trace_bytes(&trace, "no PSB", 6);
		fixture_trace(&fixture, 0, &trace);
		add_gaps(&fixture, 1, 1);
	}
	fixture_decode(&fixture, 1);
	assert_int_equal(fixture.count, 61);
	for (size_t i = 0; i < 61; i++)
		assert_int_equal(fixture.events[i].reason,
				 i % 2 ? XENPT_GAP_NO_PSB : XENPT_GAP_LAPPED);
	fixture_deinit(&fixture);
}

static void test_only_gaps(void **state)
{
	struct fixture fixture;
	struct trace trace = {};

	fixture_init(&fixture);
	fixture_trace(&fixture, 0, &trace);
	add_gaps(&fixture, 1, 20);
	fixture_decode(&fixture, 1);
	assert_int_equal(fixture.count, 20);
	fixture_deinit(&fixture);
}

/* A trace that ends anywhere within a PSB+ has all that was before. */
static void check_end_in_psb_plus(size_t loops)
{
	struct trace trace = {};
	size_t begin, end;

	if (loops)
		trace_psb_plus(&trace, &psb_1000);
	trace_loops(&trace, loops);
	begin = trace.size;
	trace_psb_plus(&trace, &psb_1000);
	end = trace.size;
	for (size_t cut = begin + !loops; cut < end; cut++) {
		struct fixture fixture;
		struct trace copy = {};

		fixture_init(&fixture);
		trace_bytes(&copy, trace.data, cut);
		fixture_trace(&fixture, 0, &copy);
		fixture_decode(&fixture, 1);
		assert_int_equal(count_insns(&fixture), loops ? 4 * loops + 3 : 0);
		assert_int_equal(count_type(&fixture, XENPT_EVENT_ERROR), 0);
		fixture_deinit(&fixture);
	}
	trace_deinit(&trace);
}

static void test_end_in_psb_plus(void **state)
{
	check_end_in_psb_plus(0);
	check_end_in_psb_plus(10);
}

/* In which pieces a trace was recorded is no matter. */
static void check_pieces(size_t psbs, size_t piece)
{
	struct fixture whole, pieces;
	struct trace trace = {}, copy = {};

	fixture_init(&whole);
	fixture_init(&pieces);
	pieces.piece = piece;
	trace_bytes(&trace, "\x02\x82\x02", 3);
	for (size_t i = 0; i < psbs; i++) {
		trace_psb_plus(&trace, &psb_1000);
		trace_loops(&trace, 100);
		if (i % 7 == 3)
			trace_bytes(&trace, "\x02\xff\x02\x82", 4);
	}
	trace_bytes(&copy, trace.data, trace.size);
	fixture_trace(&whole, 0, &trace);
	fixture_trace(&pieces, 0, &copy);
	fixture_decode(&whole, 1);
	fixture_decode(&pieces, 2);
	assert_true(count_type(&whole, XENPT_EVENT_ERROR) > 0);
	assert_same_events(&pieces, &whole);
	fixture_deinit(&whole);
	fixture_deinit(&pieces);
}

static void test_pieces(void **state)
{
	check_pieces(50, 1);
	check_pieces(50, 15);
	check_pieces(2000, 97);
	check_pieces(2000, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cr3_is_known),
		cmocka_unit_test(test_cr3_changes),
		cmocka_unit_test(test_trace_is_off),
		cmocka_unit_test(test_payload_is_no_psb),
		cmocka_unit_test(test_psb_inside_packet),
		cmocka_unit_test(test_dense_psbs),
		cmocka_unit_test(test_no_psb_for_long),
		cmocka_unit_test(test_no_psb_for_ever),
		cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_gaps_and_junk),
		cmocka_unit_test(test_only_gaps),
		cmocka_unit_test(test_end_in_psb_plus),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
