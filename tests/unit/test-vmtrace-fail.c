/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings in which each call to Xen fails in turn, with each errno that such calls
 * have, and in which the guest ends at each: nothing is left of any, and what is said to
 * have succeeded has.
 */
#include "tests/unit/vmtrace-record.h"

#define SIZE 16384

static void start(struct recording *r)
{
	recording_init(r, 2, SIZE);
	r->end_at = 4;
	r->options.trace.tsc = true;
	r->options.trace.catch_triple_fault = true;
}

/* Success is a file with all bytes, but for the part of a guest that was destroyed. */
static void check_file(struct recording *r)
{
	struct xenpt_file *file;

	check_error(xenpt_file_open(r->file.path, &file));
	assert_true(xenpt_file_info(file)->complete);
	assert_int_equal(0, xenpt_file_info(file)->damage_count);
	for (uint32_t i = 0; i < 2; i++) {
		struct recorded recorded;

		read_trace(file, i, &recorded);
		if (recorded.size < r->rig.written[i] || recorded.gap_count) {
			assert_int_equal(1, recorded.gap_count);
			assert_int_equal(XENPT_GAP_GONE, recorded.gaps[0].reason);
			assert_int_equal(recorded.size, recorded.gaps[0].at);
		}
		check_bytes(&recorded, i, 0, recorded.size, 0);
		free(recorded.bytes);
	}
	xenpt_file_close(file);
}

/* What Xen, libxenctrl, privcmd and xenstored give. */
static const int errnums[] = { EIO,    EPERM,  ENOENT, ESRCH,  ENXIO,     EAGAIN,
			       ENOMEM, EACCES, EFAULT, EINVAL, EOPNOTSUPP };

/* Calls that opening it takes: what they may fail with is a test of its own. */
static unsigned int count_open(void)
{
	struct hv_domain *domain;
	struct recording r;
	unsigned int calls;

	start(&r);
	domain = rig_open(&r.rig);
	calls = r.rig.script->calls;
	domain->ops->close(domain);
	recording_deinit(&r);
	return calls;
}

static void test_each_call(void **state)
{
	unsigned int failures = 0, open = count_open();

	for (size_t i = 0; i < sizeof(errnums) / sizeof(errnums[0]); i++) {
		for (unsigned int n = i ? open + 1 : 1;; n++) {
			struct recording r;
			unsigned int calls;

			start(&r);
			r.rig.script->fail_at = n;
			r.rig.script->fail_errno = errnums[i];
			record(&r);
			calls = r.rig.script->calls;
			if (!r.err)
				check_file(&r);
			else
				failures++;
			recording_deinit(&r);
			if (calls < n)
				break;
		}
	}
	/* It is not that all of them are passed over. */
	assert_true(failures > 20 * sizeof(errnums) / sizeof(errnums[0]));
}

/* From one call on nothing works any more: then the guard's process undoes it all. */
static void test_all_from_a_call_on(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct recording r;
		unsigned int calls;

		start(&r);
		r.rig.script->fail_at = n;
		r.rig.script->fail_count = UINT_MAX;
		r.rig.script->fail_errno = EIO;
		record(&r);
		calls = r.rig.script->calls;
		if (!r.err)
			check_file(&r);
		recording_deinit(&r);
		if (calls < n)
			break;
	}
}

/* Two at once: what undoes the first fails, too. */
static void test_two_calls(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct recording r;
		unsigned int calls;

		start(&r);
		r.rig.script->fail_at = n;
		r.rig.script->fail_count = 2;
		r.rig.script->fail_errno = EFAULT;
		record(&r);
		calls = r.rig.script->calls;
		if (!r.err)
			check_file(&r);
		recording_deinit(&r);
		if (calls < n)
			break;
	}
}

static void check_end(struct recording *r, enum script_end how)
{
	bool destroyed = how == SCRIPT_DESTROY || how == SCRIPT_REUSE;

	/* Before it is traced, that it is gone is an error; then it is but the end. */
	if (r->err) {
		if (r->began)
			fail_msg("traced, but: %s", r->err->message);
		return;
	}
	check_file(r);
	if (r->end == RECORDER_END_CRASHED)
		assert_true(!destroyed || r->steps >= r->end_at);
}

/*
 * The guest ends at each call, in each way; but that another one gets its id at once: Xen
 * gives all other ids first.
 */
static void test_ends_at_each_call(void **state)
{
	for (int how = SCRIPT_CRASH; how < SCRIPT_REUSE; how++) {
		for (unsigned int n = 1;; n++) {
			struct recording r;
			unsigned int calls;

			start(&r);
			r.rig.script->end_at = n;
			r.rig.script->end_how = (enum script_end)how;
			r.rig.script->end_domain = r.rig.guest;
			record(&r);
			calls = r.rig.script->calls;

			check_end(&r, (enum script_end)how);
			recording_deinit(&r);
			if (calls < n)
				break;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_all_from_a_call_on),
		cmocka_unit_test(test_two_calls),
		cmocka_unit_test(test_ends_at_each_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
