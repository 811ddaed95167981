/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whatever fails, and whenever the domain ends: nothing of it is left open, mapped,
 * paused or changed, and whoever asked is told.
 */
#include <errno.h>
#include <limits.h>

#include "hv/backend.h"
#include "tests/unit/xen-domain.h"

static const int errnos[] = { EIO, EPERM, EACCES, ESRCH, EINVAL, ENOMEM, EAGAIN, EINTR };

#define ERRNOS (sizeof(errnos) / sizeof(errnos[0]))

/* More calls than a run makes. */
#define CALLS_MAX 200

static struct xenpt_error *use(struct hv_domain *domain)
{
	const struct hv_ops *ops = domain->ops;
	_cleanup_free_ char *console = NULL;
	struct xenpt_registers regs;
	struct hv_event event;
	uint8_t buf[64];

	XENPT_TRY(ops->pause(domain));
	XENPT_TRY(ops->registers(domain, 0, &regs));
	XENPT_TRY(ops->registers(domain, 1, &regs));
	/* Memory that is not to be had is not there: no error. */
	for (uint64_t gpa = 0; gpa < 4 << 20; gpa += 1 << 20)
		xenpt_mem_read(domain->mem, gpa, buf, sizeof(buf));
	XENPT_TRY(ops->resume(domain));
	ops->fd(domain);
	for (unsigned int i = 0; i < 3; i++)
		XENPT_TRY(ops->event(domain, &event));
	XENPT_TRY(xen_triple_fault_restore(xen_domain_of(domain)));
	XENPT_TRY(xen_triple_fault_catch(xen_domain_of(domain)));
	XENPT_TRY(ops->console(domain, &console));
	/* It is paused when it is closed, as after a signal. */
	return ops->pause(domain);
}

static struct xenpt_error *run(void)
{
	struct hv_domain *domain;
	struct xenpt_error *err;

	XENPT_TRY(hv_open("guest", NULL, &domain));
	err = use(domain);
	domain->ops->close(domain);
	return err;
}

static struct xenpt_error *count_one(void *arg, const struct hv_info *info)
{
	++*(unsigned int *)arg;
	return NULL;
}

/* As a person can read it, and not "Success". */
static void check_told(struct xenpt_error *err, const struct xen_script *script)
{
	if (!err)
		return;
	assert_non_null(err->message);
	if (strlen(err->message) < 10 || strstr(err->message, "Success") ||
	    strstr(err->message, "(null)"))
		fail_msg("%s: '%s'", script->failed_call, err->message);
	xenpt_error_destroy(err);
}

/* Those whose failure changes nothing for who records: or else run() is to fail. */
static bool is_harmless(const char *call)
{
	static const char *const calls[] = {
		"xc_interface_close",
		"xenforeignmemory_close",
		"xs_close",
		"xenforeignmemory_map",
		"xenforeignmemory_unmap",
		"xs_open",
		"xs_read",
		"xs_unwatch",
		"xs_fileno",
		"xs_check_watch",
		"xc_version",
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (strcmp(call, calls[i]) == 0)
			return true;
	}
	return false;
}

/* False: the run makes fewer than @n calls. */
static bool fail_call(unsigned int n, int errnum, unsigned int count)
{
	struct xen_script *script = xen_script_create();
	struct xenpt_error *err;
	unsigned int calls;
	bool closing;

	start_guest(script);
	script->fail_at = n;
	script->fail_count = count;
	script->fail_errno = errnum;
	err = run();
	calls = script->calls;
	if (script->failed_call && !err && !is_harmless(script->failed_call)) {
		/* What failed while closing was undone by the guard. */
		closing = strcmp(script->failed_call, "xc_domain_unpause") == 0 ||
			  strcmp(script->failed_call, "xc_hvm_param_set") == 0;
		if (!closing)
			fail_msg("call %u, %s: errno %d, but no error", n,
				 script->failed_call, errnum);
	}
	check_told(err, script);
	end_script(script);
	return calls >= n;
}

static void test_each_call(void **state)
{
	unsigned int n = 0;

	do {
		n++;
		assert_true(n < CALLS_MAX);
		for (size_t i = 1; i < ERRNOS; i++)
			fail_call(n, errnos[i], 1);
	} while (fail_call(n, errnos[0], 1));
	assert_true(n > 40);
}

/* Nothing works any more from there on, but for the guard. */
static void test_all_calls_from(void **state)
{
	for (unsigned int n = 1; n < 60; n++) {
		fail_call(n, EIO, UINT_MAX);
		fail_call(n, ESRCH, UINT_MAX);
	}
}

static bool end_at_call(unsigned int n, enum script_end how)
{
	struct xen_script *script = xen_script_create();
	struct script_domain *guest = start_guest(script);
	unsigned int calls;

	script->end_at = n;
	script->end_how = how;
	script->end_domain = guest;
	check_told(run(), script);
	calls = script->calls;
	end_script(script);
	return calls >= n;
}

/* But for its id: Xen gives it to another domain only after all others. */
static void test_end_at_each_call(void **state)
{
	for (unsigned int how = SCRIPT_CRASH; how < SCRIPT_REUSE; how++) {
		unsigned int n = 1;

		while (end_at_call(n, (enum script_end)how))
			assert_true(++n < CALLS_MAX);
	}
}

/* Once it is open, that it ends is no error, whenever. */
static void test_end_is_no_error(void **state)
{
	unsigned int after = 1, calls, wanted;

	do {
		struct xen_script *script = xen_script_create();
		struct script_domain *guest = start_guest(script);
		struct hv_domain *domain = open_domain("guest");

		script->end_at = script->calls + after++;
		script->end_how = after & 1 ? SCRIPT_DESTROY : SCRIPT_CRASH;
		script->end_domain = guest;
		check_error(use(domain));
		close_domain(domain);
		calls = script->calls;
		wanted = script->end_at;
		end_script(script);
	} while (calls >= wanted);
}

static void test_list(void **state)
{
	unsigned int n = 1, calls, count;

	do {
		struct xen_script *script = xen_script_create();
		struct xenpt_error *err;

		start_guest(script);
		script->fail_at = n;
		script->fail_errno = EIO;
		count = 0;
		err = hv_xen_ops.list(count_one, &count);
		assert_true(err || count);
		check_told(err, script);
		calls = script->calls;
		end_script(script);
	} while (calls >= n++);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call),
		cmocka_unit_test(test_all_calls_from),
		cmocka_unit_test(test_end_at_each_call),
		cmocka_unit_test(test_end_is_no_error),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
