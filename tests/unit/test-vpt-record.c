/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is in the file, of a guest of a Xen with hv/xen: every byte, or a gap. */
#include "tests/unit/vpt-record.h"

static struct xenpt_file *open_file(struct recording *r)
{
	struct xenpt_file *file;

	check_error(r->err);
	check_error(xenpt_file_open(r->file.path, &file));
	assert_true(xenpt_file_info(file)->complete);
	assert_string_equal("vpt", xenpt_file_info(file)->domain->backend);
	return file;
}

static void test_wrap(void **state)
{
	static const uint32_t counts[] = { 1, 3, 16 };

	for (size_t i = 0; i < 6; i++) {
		struct xenpt_file *file;
		struct recording r;

		vpt_recording_init(&r, counts[i / 2]);
		r.rig.script->vpt_counts_not = i % 2;
		/* 16 vCPUs run on 32 times before one is looked at again. */
		r.step = counts[i / 2] == 16 ? 400 : STEP / 2;
		r.end_at = counts[i / 2] == 16 ? 140 : 60;
		record(&r);
		file = open_file(&r);
		assert_true(r.rig.written[0] > 3 * VPT_SIZE);
		check_whole(&r, file);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* Faster than its reader by any factor: it waits, and each byte is there. */
static void test_lossless(void **state)
{
	static const size_t steps[] = { VPT_SIZE - 1, VPT_SIZE, 3 * VPT_SIZE };

	for (size_t i = 0; i < 6; i++) {
		struct xenpt_file *file;
		struct recording r;

		vpt_recording_init(&r, i < 3 ? 1 : 4);
		r.options.trace.lossless = true;
		r.step = steps[i % 3];
		record(&r);
		file = open_file(&r);
		assert_true(r.rig.written[0] > 2 * VPT_SIZE);
		check_whole(&r, file);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* Where Xen counts, how much was lost is known. */
static void test_lap(void **state)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;
	size_t at, rest;

	vpt_recording_init(&r, 1);
	r.step = STEP / 2;
	r.big_at = 10;
	r.big = 5 * VPT_SIZE;
	record(&r);
	file = open_file(&r);
	read_trace(file, 0, &recorded);
	assert_true(recorded.gap_count >= 1);
	assert_int_equal(XENPT_GAP_LAPPED, recorded.gaps[0].reason);
	at = recorded.gaps[0].at;
	check_bytes(&recorded, 0, 0, at, 0);
	for (size_t i = 0; i < recorded.gap_count; i++) {
		assert_true(recorded.gaps[i].lost > 0);
		rest = i + 1 < recorded.gap_count ? recorded.gaps[i + 1].at
						  : recorded.size;
		at += recorded.gaps[i].lost;
		check_bytes(&recorded, 0, recorded.gaps[i].at, rest - recorded.gaps[i].at,
			    at);
		at += rest - recorded.gaps[i].at;
	}
	assert_int_equal(r.rig.written[0], at);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

static unsigned int trouble_at;
static void (*trouble)(struct rig *rig);

/* At one look, or at all from 1 on. */
static void make_trouble(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;
	unsigned int steps = r->steps;

	run_guest(script, name, arg);
	if (r->steps != steps && (!trouble_at || r->steps == trouble_at) &&
	    r->rig.guest->vcpus[0].vpt.enabled)
		trouble(&r->rig);
}

static void take_page(struct rig *rig)
{
	xen_script_take_away(rig->guest, rig->guest->vcpus[0].vpt.base / BUFFER_PAGE + 2);
}

static void rewrite_table(struct rig *rig)
{
	vpt_table(rig, 0)[2] ^= 2;
}

/* The trace goes on after a gap that says why. */
static void check_gap(unsigned int at, void (*fn)(struct rig *rig),
		      enum xenpt_gap_reason reason)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;

	trouble_at = at;
	trouble = fn;
	vpt_recording_init(&r, 2);
	r.step = STEP / 2;
	r.end_at = 60;
	r.rig.script->on_call = make_trouble;
	record(&r);
	file = open_file(&r);
	read_trace(file, 0, &recorded);
	assert_int_equal(1, recorded.gap_count);
	assert_int_equal(reason, recorded.gaps[0].reason);
	check_bytes(&recorded, 0, 0, recorded.gaps[0].at, 0);
	assert_true(recorded.size > recorded.gaps[0].at + VPT_SIZE);
	free(recorded.bytes);
	read_trace(file, 1, &recorded);
	assert_int_equal(0, recorded.gap_count);
	check_bytes(&recorded, 1, 0, r.rig.written[1], 0);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

static void test_fault(void **state)
{
	check_gap(7, take_page, XENPT_GAP_FAULT);
}

static void test_tampered(void **state)
{
	check_gap(7, rewrite_table, XENPT_GAP_TAMPERED);
}

/* A guest that does nothing else: its trace ends, the recording does not fail. */
static void test_tampers_always(void **state)
{
	struct xenpt_file *file;
	struct recording r;

	trouble_at = 0;
	trouble = rewrite_table;
	vpt_recording_init(&r, 1);
	r.end_at = NEVER;
	r.rig.script->on_call = make_trouble;
	record(&r);
	assert_int_equal(RECORDER_END_GIVEN_UP, r.end);
	assert_int_equal(1, r.warned);
	file = open_file(&r);
	xenpt_file_close(file);
	recording_deinit(&r);
}

static void test_flight(void **state)
{
	for (int counts_not = 0; counts_not < 2; counts_not++) {
		struct recorded recorded;
		struct xenpt_file *file;
		struct recording r;

		vpt_recording_init(&r, 1);
		r.rig.script->vpt_counts_not = counts_not;
		r.end_at = 60;
		r.options.flight = true;
		record(&r);
		file = open_file(&r);
		read_trace(file, 0, &recorded);
		assert_int_equal(0, recorded.gap_count);
		assert_int_equal(VPT_SIZE, recorded.size);
		check_bytes(&recorded, 0, 0, VPT_SIZE, r.rig.written[0] - VPT_SIZE);
		free(recorded.bytes);
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

/* ---- Software mode ------------------------------------------------------------ */

static void software_init(struct recording *r, uint32_t vcpus, uint64_t insns)
{
	vpt_recording_init(r, vcpus);
	r->rig.script->vpt_caps = VPT_CAPS_SOFT;
	r->end_at = NEVER;
	r->options.trace.insns = insns;
}

/* Where the hypervisor steps: the recording says so, and ends after so many steps. */
static void test_software(void **state)
{
	for (int flight = 0; flight < 2; flight++) {
		struct recorded recorded;
		struct xenpt_file *file;
		struct recording r;

		software_init(&r, 2, 5000);
		r.options.flight = flight;
		record(&r);
		check_error(r.err);
		assert_int_equal(RECORDER_END_INSNS, r.end);
		assert_non_null(strstr(r.warning, "software mode"));
		check_error(xenpt_file_open(r.file.path, &file));
		assert_string_equal("vpt (software mode)",
				    xenpt_file_info(file)->domain->backend);
		for (uint32_t i = 0; i < 2; i++) {
			read_trace(file, i, &recorded);
			assert_int_equal(0, recorded.gap_count);
			check_bytes(&recorded, i, 0, 5000, 0);
			free(recorded.bytes);
		}
		xenpt_file_close(file);
		recording_deinit(&r);
	}
}

static void come_online(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;

	if (r->steps == 4)
		r->rig.guest->vcpus[1].offline = false;
	run_guest(script, name, arg);
}

/* A vCPU that is offline does not run: only if it does is it waited for. */
static void test_software_offline(void **state)
{
	for (int i = 0; i < 4; i++) {
		bool online = i & 1;
		struct recording r;

		software_init(&r, 2, 5 * STEP);
		r.end_at = 200;
		r.options.flight = i & 2;
		r.rig.guest->vcpus[1].offline = true;
		if (online)
			r.rig.script->on_call = come_online;
		record(&r);
		check_error(r.err);
		assert_int_equal(RECORDER_END_INSNS, r.end);
		assert_int_equal(5 * STEP, r.rig.written[0]);
		assert_int_equal(online ? 5 * STEP : 0, r.rig.written[1]);
		recording_deinit(&r);
	}
}

static void fault(struct rig *rig)
{
	rig->guest->vcpus[0].vpt.fault = true;
}

/* The budget is spent, and there is trouble before anybody has seen that it is … */
static void trouble_when_spent(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;

	if (strcmp(name, "xenpt_status") == 0 && r->rig.guest->vcpus[0].vpt.spent)
		trouble(&r->rig);
	run_guest(script, name, arg);
}

/* … or after the status was told, and before the position. */
static void trouble_while_told(struct xen_script *script, const char *name, void *arg)
{
	struct recording *r = arg;

	run_guest(script, name, arg);
	if (strcmp(name, "xenpt_position") == 0 && r->rig.guest->vcpus[0].vpt.spent)
		trouble(&r->rig);
}

static void check_ends(void (*fn)(struct rig *rig), int variant)
{
	struct recorded recorded;
	struct xenpt_file *file;
	struct recording r;

	trouble = fn;
	software_init(&r, 1, 3 * STEP);
	r.end_at = 200;
	r.options.flight = variant & 1;
	r.rig.script->on_call = variant & 2 ? trouble_when_spent : trouble_while_told;
	record(&r);
	check_error(r.err);
	assert_int_equal(RECORDER_END_INSNS, r.end);
	assert_int_equal(3 * STEP, r.rig.written[0]);
	check_error(xenpt_file_open(r.file.path, &file));
	read_trace(file, 0, &recorded);
	assert_int_equal(1, recorded.gap_count);
	assert_int_equal(fn == fault ? XENPT_GAP_FAULT : XENPT_GAP_TAMPERED,
			 recorded.gaps[0].reason);
	check_bytes(&recorded, 0, 0, recorded.gaps[0].at, 0);
	free(recorded.bytes);
	xenpt_file_close(file);
	recording_deinit(&r);
}

/* What the guest does then does not have it stepped on and on. */
static void test_spent_in_trouble(void **state)
{
	for (int variant = 0; variant < 4; variant++) {
		check_ends(rewrite_table, variant);
		check_ends(fault, variant);
	}
}

/* Begun anew it runs what is left, or, where Xen has lost count, as much again. */
static void test_trouble_before(void **state)
{
	for (int i = 0; i < 4; i++) {
		struct recording r;

		trouble_at = 4;
		trouble = i % 2 ? take_page : rewrite_table;
		software_init(&r, 1, 6 * VPT_SIZE);
		r.step = STEP / 2;
		r.end_at = 500;
		r.options.flight = i / 2;
		r.rig.script->on_call = make_trouble;
		record(&r);
		check_error(r.err);
		assert_int_equal(RECORDER_END_INSNS, r.end);
		if (i % 2)
			assert_in_range(r.rig.written[0], 6 * VPT_SIZE, 12 * VPT_SIZE);
		else
			assert_int_equal(6 * VPT_SIZE, r.rig.written[0]);
		recording_deinit(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_lossless),
		cmocka_unit_test(test_lap),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_tampered),
		cmocka_unit_test(test_tampers_always),
		cmocka_unit_test(test_flight),
		cmocka_unit_test(test_software),
		cmocka_unit_test(test_software_offline),
		cmocka_unit_test(test_spent_in_trouble),
		cmocka_unit_test(test_trouble_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
