/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a program leaves when it is killed is undone by the process that it has left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/xen-guard.h"
#include "tests/trace.h"
#include "tests/unit/xen-script.h"

#include <xen/hvm/params.h>
#include <xen/sched.h>

#define CTL 0x570
#define BEFORE 0x2800 /* of IA32_RTIT_CTL: what somebody has set and left */
#define WANTED 0x200c

struct rig {
	struct xen_script *script;
	struct script_domain *guest;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->script = xen_script_create();
	rig->guest = xen_script_add(rig->script, 7, "guest");
	rig->guest->vcpu_count = 4;
	xen_script_add_rings(rig->script, rig->guest, 4096);
	for (int i = 0; i < 4; i++)
		rig->guest->vcpus[i].ctl = rig->guest->vcpus[i].ctl_before = BEFORE;
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	xen_script_destroy(rig->script);
	free(rig);
	return 0;
}

/* What a recording does, and puts on the list. */
static void occupy(struct rig *rig, struct xen_guard_list *list)
{
	xc_interface *xc = xen_calls->xc_open(NULL);

	list->pauses = 2;
	for (int i = 0; i < 2; i++)
		xen_calls->xc_domain_pause(xc, 7);
	list->param = SHUTDOWN_reboot;
	list->param_set = true;
	xen_calls->xc_hvm_param_set(xc, 7, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_crash);
	for (uint32_t i = 0; i < 3; i++) {
		list->ctl[i] = BEFORE;
		list->ctl_set[i] = true;
		xen_calls->xc_vmtrace_set_option(xc, 7, i, CTL, WANTED);
	}
	for (uint32_t i = 0; i < 2; i++) {
		list->traced[i] = true;
		xen_calls->xc_vmtrace_reset_and_enable(xc, 7, i);
	}
	xen_calls->xc_close(xc);
}

static void check_free(const struct rig *rig)
{
	assert_int_equal(0, rig->guest->pauses);
	for (int i = 0; i < 4; i++) {
		assert_false(rig->guest->vcpus[i].active);
		assert_int_equal(BEFORE, rig->guest->vcpus[i].ctl);
	}
	assert_int_equal(SHUTDOWN_reboot,
			 rig->guest->params[HVM_PARAM_TRIPLE_FAULT_REASON]);
	assert_true(xen_script_is_clean(rig->script));
}

static void check_occupied(const struct rig *rig)
{
	assert_int_equal(2, rig->guest->pauses);
	assert_true(rig->guest->vcpus[0].active && rig->guest->vcpus[1].active);
	assert_int_equal(SHUTDOWN_crash,
			 rig->guest->params[HVM_PARAM_TRIPLE_FAULT_REASON]);
}

/* A program that attaches, and is killed. Its guard becomes a child of this one. */
static int run_killed(struct rig *rig, int signal)
{
	int pid, guard = 0, status, ends[2];

	assert_return_code(pipe(ends), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		struct xen_guard *mine;

		if (xen_guard_create(7, rig->guest->handle, &mine))
			_exit(1);
		occupy(rig, mine->list);
		if (write(ends[1], &mine->pid, sizeof(mine->pid)) < 0)
			_exit(1);
		raise(signal);
		_exit(1);
	}
	close(ends[1]);
	assert_int_equal(sizeof(guard), read(ends[0], &guard, sizeof(guard)));
	close(ends[0]);
	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_true(WIFSIGNALED(status));
	return guard;
}

static void wait_for(int pid)
{
	int status;

	assert_int_equal(pid, waitpid(pid, &status, 0));
	assert_true(WIFEXITED(status));
	assert_int_equal(0, WEXITSTATUS(status));
}

static void test_killed(void **state)
{
	static const int signals[] = { SIGKILL, SIGABRT, SIGTERM };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct rig *rig;

		set_up((void **)&rig);
		wait_for(run_killed(rig, signals[i]));
		check_free(rig);
		tear_down((void **)&rig);
	}
}

/* It ignores what ends a program, and is no part of a shell's job. */
static void test_signals(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct rig *rig = *state;
	struct xen_guard *guard;
	char path[64], name[32] = "";
	FILE *file;

	check_error(xen_guard_create(7, rig->guest->handle, &guard));
	/* Once it has said its name it has done the rest. */
	snprintf(path, sizeof(path), "/proc/%d/comm", guard->pid);
	while (strcmp(name, "xenpt-guard\n") != 0) {
		file = fopen(path, "r");
		assert_non_null(file);
		assert_non_null(fgets(name, sizeof(name), file));
		fclose(file);
	}
	assert_int_equal(guard->pid, getsid(guard->pid));
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_return_code(kill(guard->pid, signals[i]), errno);
	assert_int_equal(0, waitpid(guard->pid, NULL, WNOHANG));
	occupy(rig, guard->list);
	xen_guard_destroy(guard);
	check_free(rig);
}

/* Nothing of the program's stays open, or who reads it would wait for the guard. */
static void test_keeps_nothing_open(void **state)
{
	struct rig *rig = *state;
	struct xen_guard *guard;
	struct pollfd fd;
	int ends[2];

	assert_return_code(pipe(ends), errno);
	check_error(xen_guard_create(7, rig->guest->handle, &guard));
	close(ends[1]);
	fd = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	/* The test has a time limit of its own. */
	assert_int_equal(1, poll(&fd, 1, -1));
	assert_true(fd.revents & POLLHUP);
	close(ends[0]);
	xen_guard_destroy(guard);
}

static void test_two_guards(void **state)
{
	struct xen_guard *first, *second;
	struct rig *rig = *state;

	check_error(xen_guard_create(7, rig->guest->handle, &first));
	check_error(xen_guard_create(7, rig->guest->handle, &second));
	occupy(rig, first->list);
	/* The second has not kept the first one's pipe. */
	xen_guard_destroy(first);
	check_free(rig);
	xen_guard_destroy(second);
	xen_guard_destroy(NULL);
}

static void test_nothing_to_do(void **state)
{
	struct rig *rig = *state;
	struct xen_guard *guard;

	check_error(xen_guard_create(7, rig->guest->handle, &guard));
	xen_guard_destroy(guard);
	for (int i = 0; i < 4; i++)
		assert_int_equal(0, rig->guest->vcpus[i].pauses);
	check_free(rig);
}

/* A domain that has got the id since is another's. */
static void test_another_domain(void **state)
{
	xen_domain_handle_t other = { 1, 2, 3 };
	struct rig *rig = *state;
	struct xen_guard *guard;

	check_error(xen_guard_create(7, other, &guard));
	occupy(rig, guard->list);
	xen_guard_destroy(guard);
	check_occupied(rig);

	check_error(xen_guard_create(6, rig->guest->handle, &guard));
	guard->list->pauses = 1;
	xen_guard_destroy(guard);
	check_occupied(rig);
}

/* What another program traces meanwhile keeps the options that it gave. */
static void test_another_program(void **state)
{
	struct xen_guard_list list = { .domid = 7,
				       .ctl_set = { true },
				       .ctl = { BEFORE } };
	struct rig *rig = *state;
	xc_interface *xc = xen_calls->xc_open(NULL);

	memcpy(list.handle, rig->guest->handle, sizeof(list.handle));
	xen_calls->xc_vmtrace_set_option(xc, 7, 0, CTL, WANTED);
	xen_calls->xc_vmtrace_enable(xc, 7, 0);
	xen_guard_undo(xc, &list);
	assert_true(rig->guest->vcpus[0].active);
	assert_int_equal(WANTED | 1, rig->guest->vcpus[0].ctl);
	assert_int_equal(0, rig->script->traced_while_set);
	xen_calls->xc_vmtrace_disable(xc, 7, 0);
	xen_calls->xc_close(xc);
}

/* That one thing cannot be undone keeps nothing else from it. */
static void test_failures(void **state)
{
	for (unsigned int n = 1;; n++) {
		struct xen_guard_list list = { .domid = 7 };
		xc_interface *xc;
		struct rig *rig;
		unsigned int undone, calls;

		set_up((void **)&rig);
		memcpy(list.handle, rig->guest->handle, sizeof(list.handle));
		occupy(rig, &list);
		xc = xen_calls->xc_open(NULL);
		rig->script->fail_at = rig->script->calls + n;
		rig->script->fail_errno = EIO;
		xen_guard_undo(xc, &list);
		calls = rig->script->calls;
		undone = 2 - rig->guest->pauses;
		for (int i = 0; i < 2; i++)
			undone += !rig->guest->vcpus[i].active;
		undone += rig->guest->params[HVM_PARAM_TRIPLE_FAULT_REASON] ==
			  SHUTDOWN_reboot;
		/* The first call asks whether the domain is there. */
		if (n > 1)
			assert_in_range(undone, 4, 5);
		xen_calls->xc_close(xc);
		if (calls < rig->script->fail_at) {
			check_free(rig);
			tear_down((void **)&rig);
			break;
		}
		tear_down((void **)&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test_setup_teardown(test_signals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keeps_nothing_open, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_two_guards, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_domain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_program, set_up, tear_down),
		cmocka_unit_test(test_failures),
	};

	/* What a killed program leaves comes to this one. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
