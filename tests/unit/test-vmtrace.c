/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end on stock Xen, call by call. */
#include "tests/unit/vmtrace.h"

#include <errno.h>

#include "hv/pt/msr.h"
#include "hv/vmtrace.h"
#include "hv/xen/xen/include/public/xenpt.h"

#define SIZE 16384

/* ---- Whether it can ------------------------------------------------------ */

static void check_cannot(struct rig *rig, const char *what)
{
	struct hv_domain *domain = NULL;

	check_says(hv_xen_ops.open("guest", NULL, &domain), what);
	assert_null(domain);
	assert_true(xen_script_is_clean(rig->script));
	xen_script_destroy(rig->script);
}

static void test_says_what_to_change(void **state)
{
	struct rig rig;

	rig_init(&rig, 1, SIZE);
	xen_script_make_pv(rig.guest);
	check_cannot(&rig, "type = \"pvh\"");

	rig_init(&rig, 1, 0);
	check_cannot(&rig, "vmtrace_buf_kb = 16384");

	rig_init(&rig, 1, SIZE);
	rig.guest->flags &= ~XEN_DOMINF_hap;
	check_cannot(&rig, "hap = 1");

	rig_init(&rig, 1, SIZE);
	rig.script->capabilities &= ~XEN_SYSCTL_PHYSCAP_vmtrace;
	check_cannot(&rig, "IA32_VMX_MISC[14]");

	rig_init(&rig, 1, SIZE);
	rig.script->old_kernel = true;
	check_cannot(&rig, "Linux 5.11");
}

static void check_why(struct xen_host *host, domid_t domid, const char *what)
{
	xc_domaininfo_t info = { .domain = domid,
				 .flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap };
	char *why = NULL;

	assert_false(vmtrace_can(host, &info, &why));
	assert_non_null(why);
	if (!strstr(why, what))
		fail_msg("'%s' lacks '%s'", why, what);
	free(why);
}

/* Each errno that the first calls to fail can have. */
static void test_no_permission(void **state)
{
	static const struct {
		int errnum;
		const char *what;
	} cases[] = {
		{ EPERM, "run xenpt as root" },
		{ EACCES, "libxenctrl is not of the version" },
		{ EIO, "Input/output error" },
	};
	struct xen_host *host;
	struct rig rig;

	rig_init(&rig, 1, SIZE);
	check_error(xen_host_create(&host));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig.script->domctl_errno = cases[i].errnum;
		check_why(host, GUEST, cases[i].what);
	}
	rig.script->domctl_errno = 0;
	check_why(host, 0, "control domain");
	xen_host_destroy(host);
	rig_deinit(&rig);
}

/* ---- Starting and stopping ------------------------------------------------- */

static void test_options(void **state)
{
	static const struct {
		bool kernel, user, tsc;
		uint64_t ctl;
	} cases[] = {
		{ false, false, false, XPT_CTL_OS | XPT_CTL_USER },
		{ true, true, true, XPT_CTL_OS | XPT_CTL_USER | XPT_CTL_TSC_EN },
		{ true, false, false, XPT_CTL_OS },
		{ false, true, false, XPT_CTL_USER },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hv_trace trace = TRACE_ALL;
		struct hv_domain *domain;
		struct rig rig;

		rig_init(&rig, 2, SIZE);
		domain = rig_open(&rig);
		trace.kernel = cases[i].kernel;
		trace.user = cases[i].user;
		trace.tsc = cases[i].tsc;
		/* Not that it can: but it may be asked for. */
		trace.watch_code = true;
		check_error(domain->ops->trace_start(domain, &trace));
		for (int j = 0; j < 2; j++) {
			assert_int_equal(cases[i].ctl | XPT_CTL_BRANCH_EN |
						 XPT_CTL_TRACE_EN,
					 rig.guest->vcpus[j].ctl);
			assert_true(rig.guest->vcpus[j].active);
		}
		check_error(domain->ops->trace_stop(domain));
		assert_int_equal(BEFORE, rig.guest->vcpus[0].ctl);
		rig_check_traced(&rig, 0);
		/* And once more. */
		check_error(domain->ops->trace_start(domain, &trace));
		rig_check_traced(&rig, 3);
		check_error(domain->ops->trace_stop(domain));
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

static void test_one_vcpu(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	const uint32_t vcpus[] = { 2 }, wrong[] = { 1, 4 };
	struct hv_position position;
	struct hv_domain *domain;
	struct rig rig;
	size_t size;

	rig_init(&rig, 4, SIZE);
	domain = rig_open(&rig);
	trace.vcpus = wrong;
	trace.vcpu_count = 2;
	check_says(domain->ops->trace_start(domain, &trace), "no vCPU 4");
	rig_check_traced(&rig, 0);
	trace.vcpus = vcpus;
	trace.vcpu_count = 1;
	check_error(domain->ops->trace_start(domain, &trace));
	rig_check_traced(&rig, 1u << 2);
	assert_null(domain->ops->buffer(domain, 0, &size));
	assert_null(domain->ops->buffer(domain, 100, &size));
	assert_non_null(domain->ops->buffer(domain, 2, &size));
	assert_int_equal(SIZE, size);
	check_says(domain->ops->position(domain, 0, &position), "vCPU 0 is not traced");
	check_says(domain->ops->restart(domain, 0), "vCPU 0 is not traced");
	/* What was not stopped is when it is closed. */
	domain->ops->close(domain);
	rig_deinit(&rig);
}

static void check_refuses(struct hv_domain *domain, const char *takes)
{
	static const char *const names[] = { "--cr3",    "--filter",   "--mtc",
					     "--cyc",    "--lossless", "--insns",
					     "--no-pip", "--ptw" };
	struct hv_trace traces[] = { TRACE_ALL, TRACE_ALL, TRACE_ALL, TRACE_ALL,
				     TRACE_ALL, TRACE_ALL, TRACE_ALL, TRACE_ALL };

	traces[0].cr3 = 0x1000;
	traces[1].range_count = 1;
	traces[2].mtc = 3;
	traces[3].cyc = 0;
	traces[4].lossless = true;
	traces[5].insns = 1000;
	traces[6].no_pip = true;
	traces[7].ptw = true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct xenpt_error *err = domain->ops->trace_start(domain, &traces[i]);

		assert_non_null(err);
		assert_non_null(strstr(err->message, takes));
		check_says(err, names[i]);
	}
}

static void test_refuses_options(void **state)
{
	for (int patched = 0; patched < 2; patched++) {
		struct hv_domain *domain;
		struct rig rig;

		rig_init(&rig, 1, SIZE);
		if (patched)
			rig.script->vpt_caps = XENPT_CAP_SOFT | XENPT_CAP_STOCK_SOFT;
		check_error(hv_xen_ops.open("guest", "vmtrace", &domain));
		check_refuses(domain,
			      patched ? "it takes --backend vpt" : "xenpt's patch");
		rig_check_traced(&rig, 0);
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

/* Its trace goes on, with its options; the vCPUs before it are as they were. */
static void test_another_user(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	struct hv_domain *domain;
	struct script_vcpu *vcpu;
	struct rig rig;

	rig_init(&rig, 4, SIZE);
	vcpu = &rig.guest->vcpus[2];
	vcpu->active = true;
	vcpu->ctl = XPT_CTL_TRACE_EN | XPT_CTL_BRANCH_EN | XPT_CTL_USER;
	domain = rig_open(&rig);
	check_says(domain->ops->trace_start(domain, &trace), "vCPU 2 is traced already");
	domain->ops->close(domain);
	assert_true(vcpu->active);
	assert_int_equal(XPT_CTL_TRACE_EN | XPT_CTL_BRANCH_EN | XPT_CTL_USER, vcpu->ctl);
	rig_check_traced(&rig, 1u << 2);
	vcpu->active = false;
	vcpu->ctl = BEFORE;
	rig_deinit(&rig);
}

/* … or it begins between our looking and our starting. */
static void begin_between(struct xen_script *script, const char *name, void *arg)
{
	struct script_vcpu *vcpu = arg;

	if (strcmp(name, "xc_vmtrace_reset_and_enable") == 0 && !vcpu->active) {
		vcpu->active = true;
		vcpu->ctl |= XPT_CTL_TRACE_EN;
	}
}

static void test_another_user_meanwhile(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	struct hv_domain *domain;
	struct rig rig;

	rig_init(&rig, 1, SIZE);
	domain = rig_open(&rig);
	rig.script->on_call = begin_between;
	rig.script->arg = &rig.guest->vcpus[0];
	check_says(domain->ops->trace_start(domain, &trace), "vCPU 0 is traced already");
	domain->ops->close(domain);
	assert_true(rig.guest->vcpus[0].active);
	assert_int_equal(0, rig.script->traced_while_set);
	rig.guest->vcpus[0].active = false;
	rig.guest->vcpus[0].ctl = BEFORE;
	rig_deinit(&rig);
}

/* Somebody else ends our trace: no silent success. */
static void test_switched_off_by_another(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	struct rig rig;

	rig_init(&rig, 2, SIZE);
	domain = rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	rig_run(&rig, 1, 1000);
	rig.guest->vcpus[1].active = false;
	rig.guest->vcpus[1].ctl &= ~XPT_CTL_TRACE_EN;
	check_says(domain->ops->trace_stop(domain),
		   "vCPU 1: another program has switched its trace off");
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(1000, position.total);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* ---- Buffers and positions --------------------------------------------------- */

static void test_sizes(void **state)
{
	static const struct {
		size_t size;
		bool good;
	} cases[] = { { 4096, true },
		      { 8192, true },
		      { 1 << 20, true },
		      { 12288, false },
		      { 16384 + 4096, false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hv_trace trace = TRACE_ALL;
		struct hv_domain *domain;
		struct xenpt_error *err;
		struct rig rig;

		rig_init(&rig, 1, cases[i].size);
		domain = rig_open(&rig);
		err = domain->ops->trace_start(domain, &trace);
		if (cases[i].good)
			check_error(err);
		else
			check_says(err, "no power of 2");
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

static void test_size_note(void **state)
{
	static const struct {
		uint64_t wanted;
		const char *line; /* NULL: it is what was wanted */
	} cases[] = {
		{ SIZE, NULL },
		{ 4096, "vmtrace_buf_kb = 4\"" },
		{ 5 << 20, "vmtrace_buf_kb = 8192\"" },
		{ UINT64_C(1) << 36, "vmtrace_buf_kb = 65536\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hv_trace trace = TRACE_ALL;
		struct hv_domain *domain;
		struct rig rig;

		rig_init(&rig, 1, SIZE);
		domain = rig_open(&rig);
		trace.size = cases[i].wanted;
		check_error(domain->ops->trace_start(domain, &trace));
		if (cases[i].line) {
			assert_non_null(domain->size_note);
			assert_non_null(strstr(domain->size_note, "have 16 KiB"));
			assert_non_null(strstr(domain->size_note, cases[i].line));
		} else {
			assert_null(domain->size_note);
		}
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

static void test_positions(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	struct hv_position position;
	struct hv_domain *domain;
	const uint8_t *ring;
	struct rig rig;
	size_t size;

	rig_init(&rig, 2, SIZE);
	domain = rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	rig_run(&rig, 1, SIZE + 100);
	check_error(domain->ops->position(domain, 0, &position));
	assert_int_equal(0, position.total);
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(100, position.total);
	assert_false(position.has_total);
	assert_false(position.gone);
	ring = domain->ops->buffer(domain, 1, &size);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(rig_byte(1, SIZE + i), ring[i]);
	check_error(domain->ops->consume(domain, 1, 100));
	check_error(domain->ops->restart(domain, 1));
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(0, position.total);
	rig_check_traced(&rig, 3);

	rig.guest->vcpus[1].offset = SIZE;
	check_says(domain->ops->position(domain, 1, &position),
		   "vCPU 1: its trace is said to be at 0x4000");
	rig.guest->vcpus[1].offset = SIZE - 1;
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(SIZE - 1, position.total);
	/* Once it is stopped no vCPU is held for it any more. */
	check_error(domain->ops->trace_stop(domain));
	check_error(domain->ops->position(domain, 1, &position));
	rig.guest->vcpus[1].pauses = 0;
	check_error(domain->ops->position(domain, 1, &position));
	assert_int_equal(SIZE - 1, position.total);
	assert_int_equal(0, rig.guest->vcpus[1].pauses);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

/* It follows what positions take, but not the one during which dom0 had to wait. */
static void test_cost(void **state)
{
	uint64_t cost = 0;

	cost = vmtrace_cost(cost, UINT64_MAX);
	assert_in_range(cost, 1, 20000);
	for (int i = 0; i < 100; i++)
		cost = vmtrace_cost(cost, 5000);
	assert_in_range(cost, 4900, 5100);
	assert_in_range(vmtrace_cost(cost, 30000000), 5000, 7000);
	assert_in_range(vmtrace_cost(cost, UINT64_MAX), 5000, 7000);
	for (int i = 0; i < 100; i++)
		cost = vmtrace_cost(cost, 400000);
	assert_in_range(cost, 390000, 400000);
}

/* ---- Ends ---------------------------------------------------------------------- */

/* What is mapped stays; where it ends is not known, unless it had ended before. */
static void test_destroyed(void **state)
{
	for (int ended = 0; ended < 2; ended++) {
		struct hv_trace trace = TRACE_ALL;
		struct hv_position position;
		struct hv_domain *domain;
		const uint8_t *ring;
		struct hv_event event;
		struct rig rig;
		size_t size;

		rig_init(&rig, 1, SIZE);
		domain = rig_open(&rig);
		check_error(domain->ops->trace_start(domain, &trace));
		rig_run(&rig, 0, 500);
		if (ended)
			xen_script_end(rig.script, rig.guest, SCRIPT_POWEROFF);
		check_error(domain->ops->event(domain, &event));
		check_error(domain->ops->position(domain, 0, &position));
		xen_script_end(rig.script, rig.guest, SCRIPT_REUSE);
		check_error(domain->ops->position(domain, 0, &position));
		assert_int_equal(500, position.total);
		assert_int_equal(!ended, position.gone);
		ring = domain->ops->buffer(domain, 0, &size);
		for (size_t i = 0; i < 500; i++)
			assert_int_equal(rig_byte(0, i), ring[i]);
		check_error(domain->ops->restart(domain, 0));
		check_error(domain->ops->trace_stop(domain));
		domain->ops->close(domain);
		rig_deinit(&rig);
	}
}

static void test_triple_fault(void **state)
{
	struct hv_trace trace = TRACE_ALL;
	struct hv_domain *domain;
	uint64_t *param;
	struct rig rig;

	rig_init(&rig, 1, SIZE);
	param = &rig.guest->params[HVM_PARAM_TRIPLE_FAULT_REASON];
	domain = rig_open(&rig);
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(SHUTDOWN_reboot, *param);
	check_error(domain->ops->trace_stop(domain));
	domain->ops->close(domain);

	domain = rig_open(&rig);
	trace.catch_triple_fault = true;
	check_error(domain->ops->trace_start(domain, &trace));
	assert_int_equal(SHUTDOWN_crash, *param);
	check_error(domain->ops->trace_stop(domain));
	assert_int_equal(SHUTDOWN_reboot, *param);
	domain->ops->close(domain);
	rig_deinit(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_what_to_change),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_one_vcpu),
		cmocka_unit_test(test_refuses_options),
		cmocka_unit_test(test_another_user),
		cmocka_unit_test(test_another_user_meanwhile),
		cmocka_unit_test(test_switched_off_by_another),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_size_note),
		cmocka_unit_test(test_positions),
		cmocka_unit_test(test_cost),
		cmocka_unit_test(test_destroyed),
		cmocka_unit_test(test_triple_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
