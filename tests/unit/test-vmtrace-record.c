/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in the file, of a guest of stock Xen: every byte, or a gap that says so. */
#include "tests/unit/vmtrace-record.h"

#include <stdio.h>

#define SIZE 16384

static struct xenpt_file *open_file(struct recording *r)
{
	struct xenpt_file *file;

	check_error(xenpt_file_open(r->file.path, &file));
	assert_true(xenpt_file_info(file)->complete);
	return file;
}

static void check_outcome(struct xenpt_file *file, bool crashed, const char *why)
{
	const struct xenpt_outcome *outcome = xenpt_file_info(file)->outcome;

	assert_non_null(outcome);
	assert_string_equal(why, outcome->why);
	assert_int_equal(crashed, outcome->crashed);
	assert_string_equal("(XEN) d7v0 Triple fault\n", outcome->console);
}

/* Around the ring several times, and registers of all that there are at the end. */
static void test_wrap(void **state)
{
	static const uint32_t counts[] = { 1, 3, 16 };

	for (size_t i = 0; i < 3; i++) {
		struct xenpt_file *file;
		struct recording r;

		recording_init(&r, counts[i], SIZE);
		/* 16 vCPUs run on 16 times before one is looked at again. */
		r.step = counts[i] == 16 ? 300 : STEP;
		r.end_at = counts[i] == 16 ? 200 : 60;
		record(&r);
		check_error(r.err);
		assert_int_equal(RECORDER_END_CRASHED, r.end);
		assert_true(r.rig.written[0] > 3 * SIZE);
		file = open_file(&r);
		check_whole(&r, file);
		check_outcome(file, true, "the domain crashed: crash");
		assert_int_equal(2 * counts[i], xenpt_file_info(file)->sample_count);
		assert_string_equal("vmtrace", xenpt_file_info(file)->domain->backend);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* One position for each look at a vCPU, which is held meanwhile. */
static void test_few_positions(void **state)
{
	struct recording r;

	recording_init(&r, 4, SIZE);
	r.end_at = 40;
	record(&r);
	check_error(r.err);
	assert_int_equal(4, r.positions_max);
	recording_deinit(&r);
}

static void test_offline_vcpu(void **state)
{
	struct xenpt_file *file;
	struct recording r;

	recording_init(&r, 2, SIZE);
	r.rig.guest->vcpus[1].offline = true;
	record(&r);
	check_error(r.err);
	file = open_file(&r);
	assert_int_equal(2, xenpt_file_info(file)->sample_count);
	assert_int_equal(0, xenpt_file_info(file)->samples[1].vcpu);
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* What was lost is a gap; what is there after it is the newest. */
static void test_lap(void **state)
{
	static const size_t bigs[] = { SIZE, SIZE + 1, SIZE + 500, 2 * SIZE + 5000,
				       5 * SIZE };

	for (size_t i = 0; i < sizeof(bigs) / sizeof(bigs[0]); i++) {
		struct recorded recorded;
		struct xenpt_file *file;
		struct recording r;
		uint64_t after;

		recording_init(&r, 1, SIZE);
		r.big_at = 10;
		r.big = bigs[i];
		record(&r);
		check_error(r.err);
		file = open_file(&r);
		read_trace(file, 0, &recorded);
		assert_int_equal(1, recorded.gap_count);
		assert_int_equal(XENPT_GAP_LAPPED, recorded.gaps[0].reason);
		/* How much, nobody knows. */
		assert_int_equal(0, recorded.gaps[0].lost);
		assert_int_equal(9 * STEP, recorded.gaps[0].at);
		check_bytes(&recorded, 0, 0, 9 * STEP, 0);
		after = recorded.size - 9 * STEP;
		assert_true(after >= SIZE / 2);
		check_bytes(&recorded, 0, 9 * STEP, after, r.rig.written[0] - after);
		free(recorded.bytes);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* What a hypervisor says is checked. */
static void lie(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;

	run_guest(script, name, arg);
	if (r->steps == 5)
		r->rig.guest->vcpus[1].offset = SIZE;
}

static void test_position_outside(void **state)
{
	struct recording r;

	recording_init(&r, 2, SIZE);
	r.step = 0;
	r.rig.script->on_call = lie;
	record(&r);
	assert_non_null(r.err);
	assert_non_null(strstr(r.err->message, "vCPU 1"));
	assert_int_equal(RECORDER_END_ERROR, r.end);
	recording_deinit(&r);
}

/* A position that goes back a little is all of a ring, but for that. */
static void go_back(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;

	if (r->steps == 5 && strcmp(name, "xc_vmtrace_output_position") == 0)
		r->rig.guest->vcpus[0].offset -= STEP + 100;
	run_guest(script, name, arg);
}

static void test_position_goes_back(void **state)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;

	recording_init(&r, 1, SIZE);
	r.rig.script->on_call = go_back;
	record(&r);
	check_error(r.err);
	file = open_file(&r);
	read_trace(file, 0, &recorded);
	assert_int_equal(1, recorded.gap_count);
	assert_int_equal(XENPT_GAP_LAPPED, recorded.gaps[0].reason);
	check_bytes(&recorded, 0, 0, recorded.gaps[0].at, 0);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* ---- Ends ------------------------------------------------------------------ */

static void test_reasons(void **state)
{
	static const struct {
		enum script_end how;
		enum recorder_end end;
		const char *why;
	} cases[] = {
		{ SCRIPT_CRASH, RECORDER_END_CRASHED, "the domain crashed: crash" },
		{ SCRIPT_WATCHDOG, RECORDER_END_CRASHED, "the domain crashed: watchdog" },
		{ SCRIPT_POWEROFF, RECORDER_END_ENDED, "the domain ended: poweroff" },
		{ SCRIPT_REBOOT, RECORDER_END_ENDED, "the domain ended: reboot" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xenpt_file *file;
		struct recording r;

		recording_init(&r, 2, SIZE);
		r.end_how = cases[i].how;
		record(&r);
		check_error(r.err);
		assert_int_equal(cases[i].end, r.end);
		file = open_file(&r);
		check_whole(&r, file);
		check_outcome(file, cases[i].end == RECORDER_END_CRASHED, cases[i].why);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* What was read is there, and that something may follow is said. */
static void test_destroyed(void **state)
{
	static const enum script_end ends[] = { SCRIPT_DESTROY, SCRIPT_REUSE };

	for (size_t i = 0; i < 2; i++) {
		struct xenpt_file *file;
		struct recording r;

		recording_init(&r, 2, SIZE);
		r.end_how = ends[i];
		record(&r);
		check_error(r.err);
		assert_int_equal(RECORDER_END_ENDED, r.end);
		file = open_file(&r);
		check_outcome(file, false, "the domain ended: destroyed");
		for (uint32_t vcpu = 0; vcpu < 2; vcpu++) {
			struct recorded recorded;

			read_trace(file, vcpu, &recorded);
			assert_int_equal(1, recorded.gap_count);
			assert_int_equal(XENPT_GAP_GONE, recorded.gaps[0].reason);
			assert_int_equal(recorded.size, recorded.gaps[0].at);
			check_bytes(&recorded, vcpu, 0, recorded.size, 0);
			assert_in_range(r.rig.written[vcpu] - recorded.size, 0, 3 * STEP);
			free(recorded.bytes);
		}
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* A crash that was seen is one, though the toolstack destroys what is left of it. */
static void test_crashed_then_destroyed(void **state)
{
	struct xenpt_file *file;
	struct recording r;

	recording_init(&r, 2, SIZE);
	r.then_at = 24;
	r.then_how = SCRIPT_DESTROY;
	record(&r);
	check_error(r.err);
	assert_int_equal(RECORDER_END_CRASHED, r.end);
	file = open_file(&r);
	check_outcome(file, true, "the domain crashed: crash");
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* With --until signal the end of the guest is not that of the recording. */
static void test_until_signal(void **state)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;

	recording_init(&r, 1, SIZE);
	r.end_how = SCRIPT_DESTROY;
	r.options.until = RECORDER_UNTIL_SIGNAL;
	r.options.duration = 300;
	record(&r);
	check_error(r.err);
	assert_int_equal(RECORDER_END_DURATION, r.end);
	file = open_file(&r);
	read_trace(file, 0, &recorded);
	assert_int_equal(1, recorded.gap_count);
	assert_int_equal(XENPT_GAP_GONE, recorded.gaps[0].reason);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* ---- --flight -------------------------------------------------------------- */

static void test_flight(void **state)
{
	static const unsigned int ends[] = { 3, 15, 30, 60 };

	for (size_t i = 0; i < 4; i++) {
		struct recorded recorded;
		struct xenpt_file *file;
		struct recording r;
		uint64_t size;

		recording_init(&r, 1, SIZE);
		r.end_at = ends[i];
		r.options.flight = true;
		record(&r);
		check_error(r.err);
		size = r.rig.written[0] < SIZE ? r.rig.written[0] : SIZE;
		file = open_file(&r);
		read_trace(file, 0, &recorded);
		assert_int_equal(0, recorded.gap_count);
		assert_int_equal(size, recorded.size);
		check_bytes(&recorded, 0, 0, size, r.rig.written[0] - size);
		free(recorded.bytes);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* The CPU may have written on into the older half. */
static void test_flight_destroyed(void **state)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;

	recording_init(&r, 1, SIZE);
	r.end_at = 60;
	r.end_how = SCRIPT_REUSE;
	r.options.flight = true;
	record(&r);
	check_error(r.err);
	file = open_file(&r);
	read_trace(file, 0, &recorded);
	assert_int_equal(1, recorded.gap_count);
	assert_int_equal(XENPT_GAP_GONE, recorded.gaps[0].reason);
	assert_int_equal(SIZE / 2, recorded.size);
	check_bytes(&recorded, 0, 0, SIZE / 2, r.rig.written[0] - STEP - SIZE / 2);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* ---- The user's side ------------------------------------------------------- */

static void test_warns_of_size(void **state)
{
	for (int given = 0; given < 2; given++) {
		struct recording r;

		recording_init(&r, 1, SIZE);
		r.options.trace.size = 1 << 20;
		r.options.size_given = given;
		record(&r);
		check_error(r.err);
		assert_int_equal(given, r.warned);
		if (given)
			assert_non_null(strstr(r.warning, "vmtrace_buf_kb = 1024"));
		recording_deinit(&r);
	}
}

static void test_refused(void **state)
{
	struct recording r;

	recording_init(&r, 1, SIZE);
	r.options.trace.lossless = true;
	record(&r);
	check_says(r.err, "--lossless");
	r.err = NULL;
	recording_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_few_positions),
		cmocka_unit_test(test_offline_vcpu),
		cmocka_unit_test(test_lap),
		cmocka_unit_test(test_position_outside),
		cmocka_unit_test(test_position_goes_back),
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_destroyed),
		cmocka_unit_test(test_crashed_then_destroyed),
		cmocka_unit_test(test_until_signal),
		cmocka_unit_test(test_flight),
		cmocka_unit_test(test_flight_destroyed),
		cmocka_unit_test(test_warns_of_size),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
