/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many vCPUs, several threads: the same events in the same order, and no end too early.
 */
#include "decode.h"

#include <sched.h>

enum {
	VCPUS = 32
};

/* A trace of its own for each vCPU, some without time, one empty, some damaged. */
static void vcpu_trace(struct trace *trace, unsigned int vcpu)
{
	struct psb psb = psb_1000;

	if (vcpu == 7)
		return;
	for (size_t i = 0; i < 20; i++) {
		psb.tsc = vcpu % 8 == 5 ? 0 : 1000 + 97 * i + vcpu;
		trace_psb_plus(trace, &psb);
		trace_loops(trace, 50 + vcpu * (i % 5) + (vcpu == 3 ? 20000 : 0));
		if (i % 10 == vcpu)
			trace_bytes(trace, "\x02\xff\xff", 3);
	}
}

static void fixture_vcpus(struct fixture *fixture)
{
	fixture_init(fixture);
	for (unsigned int vcpu = 0; vcpu < VCPUS; vcpu++) {
		struct trace trace = {};

		vcpu_trace(&trace, vcpu);
		fixture_trace(fixture, vcpu, &trace);
		if (vcpu % 6 == 1)
			check_error(xenpt_writer_gap(fixture->file.writer, vcpu,
						     XENPT_GAP_LAPPED, 100));
	}
}

static void test_merged(void **state)
{
	struct fixture fixture;
	uint64_t last = 0;

	fixture_vcpus(&fixture);
	fixture_decode(&fixture, 1);
	for (size_t i = 0; i < fixture.count; i++) {
		if (!fixture.events[i].time)
			continue;
		assert_true(fixture.events[i].time >= last);
		last = fixture.events[i].time;
	}
	assert_true(last > 1000);
	for (unsigned int threads = 2; threads <= 8; threads += 2) {
		struct xenpt_decoder_options options = { .threads = threads };

		assert_decodes_same(&fixture, &options);
	}
	fixture_deinit(&fixture);
}

/* Each vCPU's own events are those it has when it is decoded alone. */
static void test_timeless(void **state)
{
	struct xenpt_decoder_options timeless = { .threads = 4, .timeless = true };
	struct fixture fixture;
	size_t at = 0;

	fixture_vcpus(&fixture);
	fixture_decode_with(&fixture, &timeless);
	for (uint32_t vcpu = 0; vcpu < VCPUS; vcpu++) {
		struct fixture alone = { .file = fixture.file, .opened = fixture.opened };
		struct xenpt_decoder_options options = { .threads = 1 };

		options.vcpus = &vcpu;
		options.vcpu_count = 1;
		fixture_decode_with(&alone, &options);
		assert_true(at + alone.count <= fixture.count);
		if (alone.count)
			assert_memory_equal(alone.events, fixture.events + at,
					    alone.count * sizeof(*alone.events));
		for (size_t i = 0; i < alone.count; i++)
			assert_int_equal(fixture.vcpus[at + i], vcpu);
		at += alone.count;
		free(alone.events);
		free(alone.vcpus);
	}
	assert_int_equal(at, fixture.count);
	fixture_deinit(&fixture);
}

static void test_selected(void **state)
{
	static const uint32_t ids[] = { 30, 2 };
	struct xenpt_decoder_options options = {
		.threads = 2, .vcpus = ids, .vcpu_count = 2, .timeless = true
	};
	struct fixture fixture;
	size_t switches = 0;

	fixture_vcpus(&fixture);
	fixture_decode_with(&fixture, &options);
	assert_int_equal(fixture.vcpus[0], 30);
	for (size_t i = 1; i < fixture.count; i++)
		switches += fixture.vcpus[i] != fixture.vcpus[i - 1];
	assert_int_equal(switches, 1);
	assert_int_equal(fixture.vcpus[fixture.count - 1], 2);
	fixture_deinit(&fixture);
}

static void test_no_such_vcpu(void **state)
{
	static const uint32_t ids[] = { 1, 77 };
	struct xenpt_decoder_options options = { .vcpus = ids, .vcpu_count = 2 };
	struct xenpt_decoder *decoder = NULL;
	struct xenpt_error *err;
	struct fixture fixture;

	fixture_vcpus(&fixture);
	fixture_open(&fixture);
	for (options.threads = 1; options.threads <= 3; options.threads += 2) {
		err = xenpt_decoder_create(fixture.opened, &options, &decoder);
		assert_non_null(err);
		assert_int_equal(err->code, XENPT_ERROR_NOT_FOUND);
		assert_non_null(strstr(err->message, "vCPU 77"));
		assert_non_null(strstr(err->message, fixture.file.path));
		xenpt_error_destroy(err);
		assert_null(decoder);
	}
	fixture_deinit(&fixture);
}

static void check_nothing(struct fixture *fixture,
			  const struct xenpt_decoder_options *options)
{
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;

	fixture_open(fixture);
	check_error(xenpt_decoder_create(fixture->opened, options, &decoder));
	/* Let the workers come to where they look for work. */
	for (size_t i = 0; i < 1000; i++)
		sched_yield();
	check_error(xenpt_decoder_next(decoder, &batch));
	assert_int_equal(batch.count, 0);
	assert_int_equal(xenpt_decoder_progress(decoder).total, 0);
	xenpt_decoder_destroy(decoder);
}

/* A file without vCPUs, or none of them chosen: nothing, whoever looks for work. */
static void test_no_vcpus(void **state)
{
	uint32_t none = 0;
	struct xenpt_decoder_options options = {}, chosen = { .vcpus = &none };
	struct fixture empty, fixture;

	fixture_init(&empty);
	fixture_vcpus(&fixture);
	for (unsigned int threads = 1; threads <= 5; threads += 2) {
		options.threads = chosen.threads = threads;
		check_nothing(&empty, &options);
		check_nothing(&fixture, &chosen);
	}
	fixture_deinit(&empty);
	fixture_deinit(&fixture);
}

/* Whoever has seen enough may go: no thread stays, nothing is lost. */
static void test_stopped(void **state)
{
	struct fixture fixture;

	fixture_vcpus(&fixture);
	fixture_open(&fixture);
	for (unsigned int threads = 1; threads <= 5; threads += 2) {
		for (unsigned int batches = 0; batches <= 200;
		     batches = 3 * batches + 1) {
			struct xenpt_decoder_options options = { .threads = threads };
			struct xenpt_decoder *decoder;
			struct xenpt_batch batch;

			check_error(
				xenpt_decoder_create(fixture.opened, &options, &decoder));
			for (unsigned int i = 0; i < batches; i++) {
				check_error(xenpt_decoder_next(decoder, &batch));
				assert_true(batch.count > 0);
			}
			xenpt_decoder_destroy(decoder);
		}
	}
	fixture_deinit(&fixture);
}

/* Nor does it go on past the end, or go wrong there. */
static void test_end(void **state)
{
	struct xenpt_decoder_options options = { .threads = 3 };
	struct xenpt_decoder *decoder;
	struct xenpt_batch batch;
	struct fixture fixture;

	fixture_vcpus(&fixture);
	fixture_open(&fixture);
	check_error(xenpt_decoder_create(fixture.opened, &options, &decoder));
	do {
		check_error(xenpt_decoder_next(decoder, &batch));
	} while (batch.count);
	for (size_t i = 0; i < 3; i++) {
		check_error(xenpt_decoder_next(decoder, &batch));
		assert_int_equal(batch.count, 0);
	}
	xenpt_decoder_destroy(decoder);
	fixture_deinit(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merged),   cmocka_unit_test(test_timeless),
		cmocka_unit_test(test_selected), cmocka_unit_test(test_no_such_vcpu),
		cmocka_unit_test(test_no_vcpus), cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
