/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recordings on a Xen with hv/xen in which each call fails in turn, with each errno, in
 * which the guest ends at each, and in which the recorder is killed at each: no page,
 * limit, trace or event channel is left, and what is said to have succeeded has.
 */
#include "tests/unit/vpt-record.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void start(struct recording *r, bool lossless)
{
	vpt_recording_init(r, 2);
	r->end_at = 4;
	r->options.trace.lossless = lossless;
	r->options.trace.cr3 = 0x1000;
	r->options.trace.range_count = 1;
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

/* False: it makes fewer calls than @n. */
static bool fail_at(unsigned int n, unsigned int count, int errnum,
		    unsigned int *failures)
{
	struct recording r;
	unsigned int calls;

	start(&r, n % 2);
	r.rig.script->fail_at = n;
	r.rig.script->fail_count = count;
	r.rig.script->fail_errno = errnum;
	record(&r);
	calls = r.rig.script->calls;
	if (r.err)
		++*failures;
	else
		check_file(&r);
	recording_deinit(&r);
	return calls >= n;
}

/* What Xen, its libraries, privcmd, evtchn and xenstored give. */
static const int errnums[] = { EIO,    EPERM,  ENOENT, ESRCH,      ENXIO,
			       EAGAIN, ENOMEM, EACCES, EFAULT,     EINVAL,
			       EBUSY,  EDOM,   EXDEV,  EOPNOTSUPP, EEXIST };

/* Calls that opening it takes: what they may fail with is a test of its own. */
static unsigned int count_open(void)
{
	struct hv_domain *domain;
	struct recording r;
	unsigned int calls;

	start(&r, false);
	domain = vpt_rig_open(&r.rig);
	calls = r.rig.script->calls;
	domain->ops->close(domain);
	recording_deinit(&r);
	return calls;
}

static void test_each_call(void **state)
{
	unsigned int failures = 0, open = count_open();

	for (size_t i = 0; i < sizeof(errnums) / sizeof(errnums[0]); i++) {
		for (unsigned int n = i ? open + 1 : 1;
		     fail_at(n, 1, errnums[i], &failures); n++)
			;
	}
	/* It is not that all of them are passed over. */
	assert_true(failures > 20 * sizeof(errnums) / sizeof(errnums[0]));
}

/* Two at once: what undoes the first fails, too. */
static void test_two_calls(void **state)
{
	unsigned int failures = 0;

	for (unsigned int n = 1; fail_at(n, 2, EFAULT, &failures); n++)
		;
	assert_true(failures > 30);
}

/* From one call on nothing works any more: then the guard's process undoes it all. */
static void test_all_from_a_call_on(void **state)
{
	unsigned int failures = 0;

	for (unsigned int n = 1; fail_at(n, UINT_MAX, EIO, &failures); n++)
		;
	assert_true(failures > 30);
}

/* The guest ends at each call, in each way. */
static void test_ends_at_each_call(void **state)
{
	for (int how = SCRIPT_CRASH; how < SCRIPT_REUSE; how++) {
		for (unsigned int n = 1;; n++) {
			struct recording r;
			unsigned int calls;

			start(&r, n % 2);
			r.rig.script->end_at = n;
			r.rig.script->end_how = (enum script_end)how;
			r.rig.script->end_domain = r.rig.guest;
			record(&r);
			calls = r.rig.script->calls;
			/* Before it is traced, that it is gone is an error. */
			if (r.err && r.began)
				fail_msg("traced, but: %s", r.err->message);
			if (!r.err)
				check_file(&r);
			recording_deinit(&r);
			if (calls < n)
				break;
		}
	}
}

static unsigned int kill_at;

static void kill_self(struct xen_script *script, const char *name, void *arg)
{
	if (script->calls == kill_at)
		raise(SIGKILL);
	run_guest(script, name, arg);
}

/* The kernel closes and unmaps what a killed process had. */
static void forget_process(struct xen_script *script)
{
	script->xc_handles = script->fm_handles = script->xs_handles = 0;
	script->evtchn_handles = 0;
	script->evtchn.domain = NULL;
	memset(script->mappings, 0, sizeof(script->mappings));
	memset(script->watches, 0, sizeof(script->watches));
	for (size_t i = 0; i < script->domain_count; i++)
		script->domains[i].mappings = 0;
	/* What was listed, but not done yet, Xen refuses to undo. */
	script->unbalanced = 0;
}

/* kill -9 at each call: the guard's process undoes what is listed. */
static void test_killed_at_each_call(void **state)
{
	int status = 0;

	for (kill_at = 1; !WIFEXITED(status) || kill_at == 1; kill_at++) {
		struct recording r;
		int pid;

		start(&r, kill_at % 2);
		r.rig.script->on_call = kill_self;
		pid = fork();
		assert_return_code(pid, errno);
		if (!pid) {
			r.rig.script->pid = getpid();
			record(&r);
			_exit(0);
		}
		assert_int_equal(pid, waitpid(pid, &status, 0));
		assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGKILL);
		/* Its guard, which is this process's child now. */
		while (waitpid(-1, NULL, 0) > 0)
			;
		forget_process(r.rig.script);
		recording_deinit(&r);
	}
	assert_true(kill_at > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_two_calls),
		cmocka_unit_test(test_all_from_a_call_on),
		cmocka_unit_test(test_ends_at_each_call),
		cmocka_unit_test(test_killed_at_each_call),
	};

	/* What a killed program leaves comes to this one. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
